"""Binance's tickers, mark prices, bars and forced orders as the simulator sends them."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fastfeed.sim import Frame, Knobs, Simulator
from fastfeed.sim.profiles.binance.bars import bounds

NOW = 1_785_000_000_000_000_000  # a Saturday, 17:20 UTC
SECOND = 1_000_000_000
KLINE = "t T s i f L o c h l v n x q V Q B"
FORCED = "s S o f q p ap X l z T"
SPOT_TICKER = "e E s p P w x c Q b B a A o h l v q O C F L n"
USDM_TICKER = "e E s p P w c Q o h l v q O C F L n ps st"


def make(**knobs) -> Simulator:
    return Simulator(["binance"], knobs=Knobs(**{"levels": 50, "late_ack": 0.0, **knobs}), now=NOW)


def listen(sim: Simulator, endpoint: str, path: str, *streams: str):
    client = sim.connect("binance", endpoint, path)
    client.receive(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))
    assert client.take() == [Frame(b'{"result":null,"id":1}')]
    return client


def payloads(client) -> dict[str, list[dict]]:
    """What was received, by stream."""
    found: dict[str, list[dict]] = {}
    for output in client.take():
        if isinstance(output, Frame):
            found.setdefault(output.topic, []).append(json.loads(output.payload))
    return found


def hear(endpoint: str, path: str, *streams: str, seconds: int = 65, **knobs) -> dict[str, list[dict]]:
    sim = make(**knobs)
    client = listen(sim, endpoint, path, *streams)
    sim.advance(seconds=seconds)
    return payloads(client)


# Shapes and pacing


@pytest.mark.parametrize(
    ("endpoint", "path", "stream", "fields", "inner"),
    [
        ("spot", "/ws", "btcusdt@ticker", SPOT_TICKER, ""),
        ("spot", "/ws", "btcusdt@miniTicker", "e E s c o h l v q", ""),
        ("usdm", "/market/ws", "btcusdt@miniTicker", "e E s c o h l v q ps st", ""),
        ("spot", "/ws", "btcusdt@kline_1s", "e E s k", KLINE),
        ("spot", "/ws", "btcusdt@kline_1M", "e E s k", KLINE),
        ("spot", "/ws", "btcusdt@kline_1d@+08:00", "e E s k", KLINE),
        ("usdm", "/market/ws", "btcusdt@ticker", USDM_TICKER, ""),
        ("usdm", "/market/ws", "btcusdt@markPrice@1s", "e E s p ap i P r T st", ""),
        ("usdm", "/market/ws", "btcusdt@kline_1w", "e E s k", KLINE),
        ("usdm", "/market/ws", "btcusdt@forceOrder", "e E ps st o", FORCED),
    ],
)
def test_a_payload_has_the_venues_fields_in_order(endpoint, path, stream, fields, inner):
    found = hear(endpoint, path, stream)[stream]
    assert {tuple(each) for each in found} == {tuple(fields.split())}
    if inner:
        assert {tuple(each[fields[-1]]) for each in found} == {tuple(inner.split())}


@pytest.mark.parametrize(
    ("endpoint", "path", "stream", "step_ms", "always"),
    [
        ("spot", "/ws", "btcusdt@ticker", 1000, False),
        ("spot", "/ws", "btcusdt@kline_1s", 1000, True),
        ("spot", "/ws", "btcusdt@kline_1m", 2000, False),
        ("usdm", "/market/ws", "btcusdt@ticker", 2000, False),
        ("usdm", "/market/ws", "btcusdt@kline_1m", 250, False),
        ("usdm", "/market/ws", "btcusdt@markPrice", 3000, True),
        ("usdm", "/market/ws", "btcusdt@markPrice@1s", 1000, True),
        ("usdm", "/market/ws", "btcusdt@forceOrder", 1000, False),
    ],
)
def test_a_stream_speaks_on_the_grid_of_its_speed(endpoint, path, stream, step_ms, always):
    times = [each["E"] for each in hear(endpoint, path, stream)[stream]]
    assert all(time % step_ms == 0 for time in times)
    assert len(set(times)) == len(times) > 3
    if always:
        assert len(times) == 65_000 // step_ms


def test_nothing_is_said_of_a_window_without_trades_but_marks_and_the_ends_of_bars():
    streams = ["btcusdt@ticker", "btcusdt@kline_1m", "btcusdt@markPrice@1s", "btcusdt@forceOrder"]
    found = hear("usdm", "/market/ws", *streams, rate=0.0001)
    assert set(found) == {"btcusdt@kline_1m", "btcusdt@markPrice@1s"}
    (bar,) = found["btcusdt@kline_1m"]
    assert (bar["k"]["x"], bar["k"]["n"], bar["k"]["f"], bar["k"]["L"]) == (True, 0, -1, -1)
    assert bar["k"]["o"] == bar["k"]["h"] == bar["k"]["l"] == bar["k"]["c"] == "67118.20"


@pytest.mark.parametrize(
    ("endpoint", "path", "stream"),
    [
        ("spot", "/ws", "btcusdt@forceOrder"),
        ("spot", "/ws", "btcusdt@markPrice@1s"),
        ("spot", "/ws", "btcusdt@kline_2m"),
        ("spot", "/ws", "BTCUSDT@ticker"),
        ("usdm", "/market/ws", "btcusdt@kline_1s"),
        ("usdm", "/market/ws", "btcusdt@kline_1d@+08:00"),
        ("usdm", "/public/ws", "btcusdt@ticker"),
        ("usdm", "/ws", "btcusdt@kline_1m"),
        ("usdm", "/public/ws", "btcusdt@forceOrder"),
    ],
)
def test_what_there_is_not_or_not_here_is_acknowledged_and_silent(endpoint, path, stream):
    assert hear(endpoint, path, stream) == {}


def test_the_same_seed_says_the_same():
    streams = ["btcusdt@ticker", "btcusdt@kline_1m", "btcusdt@markPrice@1s", "btcusdt@forceOrder"]
    first, again, other = (hear("usdm", "/market/ws", *streams, seed=seed) for seed in (7, 7, 8))
    assert first == again != other
    assert set(first) == set(streams)


# What they say


def test_bars_are_made_of_the_trades_and_each_is_closed_once():
    found = hear("usdm", "/stream", "btcusdt@trade", seconds=190)["btcusdt@trade"]
    trades = [each["data"] for each in found]
    bars = [each["k"] for each in hear("usdm", "/market/ws", "btcusdt@kline_1m", seconds=190)["btcusdt@kline_1m"]]
    assert len({bar["t"] for bar in bars}) == 4
    for start in sorted({bar["t"] for bar in bars})[:3]:
        states = [bar for bar in bars if bar["t"] == start]
        assert [bar["x"] for bar in states] == [False] * (len(states) - 1) + [True]
        within = [trade for trade in trades if start <= trade["T"] <= start + 59_999]
        last = states[-1]
        assert last["T"] == start + 59_999
        assert (last["f"], last["L"], last["n"]) == (within[0]["t"], within[-1]["t"], len(within))
        prices = [Decimal(trade["p"]) for trade in within]
        wanted = [prices[0], max(prices), min(prices), prices[-1]]
        assert [Decimal(last[key]) for key in "ohlc"] == wanted
        assert Decimal(last["v"]) == sum(Decimal(trade["q"]) for trade in within)
        assert Decimal(last["q"]) == sum(Decimal(trade["q"]) * Decimal(trade["p"]) for trade in within)
        assert Decimal(last["V"]) == sum(Decimal(trade["q"]) for trade in within if not trade["m"])


@pytest.mark.parametrize(
    ("length", "offset_h", "start", "end"),
    [
        ("1s", 0, "2026-07-25T17:20:00", "2026-07-25T17:20:01"),
        ("15m", 0, "2026-07-25T17:15:00", "2026-07-25T17:30:00"),
        ("12h", 0, "2026-07-25T12:00:00", "2026-07-26T00:00:00"),
        ("1d", 0, "2026-07-25T00:00:00", "2026-07-26T00:00:00"),
        ("1d", 8, "2026-07-25T16:00:00", "2026-07-26T16:00:00"),
        ("1w", 0, "2026-07-20T00:00:00", "2026-07-27T00:00:00"),
        ("1M", 0, "2026-07-01T00:00:00", "2026-08-01T00:00:00"),
    ],
)
def test_a_bar_has_the_bounds_of_the_calendar(length, offset_h, start, end):
    found = bounds(length, NOW, offset_h * 3600 * SECOND)
    assert [datetime.fromtimestamp(ts / SECOND, UTC).isoformat()[:19] for ts in found] == [start, end]


def test_a_ticker_has_the_last_trade_and_its_figures_agree():
    sim = make()
    client = listen(sim, "spot", "/stream", "btcusdt@ticker", "btcusdt@trade")
    sim.advance(seconds=30)
    last = None
    for frame in (output for output in client.take() if isinstance(output, Frame)):
        data = json.loads(frame.payload)["data"]
        if data["e"] == "trade":
            last = data
            continue
        assert (data["c"], data["Q"], data["L"]) == (last["p"], last["q"], last["t"])
        assert data["n"] == data["L"] - data["F"] + 1
        assert Decimal(data["p"]) == Decimal(data["c"]) - Decimal(data["o"])
        assert Decimal(data["l"]) <= Decimal(data["c"]) <= Decimal(data["h"])
        assert Decimal(data["b"]) < Decimal(data["a"])
        assert abs(Decimal(data["q"]) / Decimal(data["v"]) - Decimal(data["w"])) < 1
        assert data["C"] - data["O"] == 86_400_000
    assert last is not None


def test_funding_is_due_every_eight_hours_and_what_is_delivered_has_none():
    sim = make()
    (dated,) = (row.symbol.lower() for row in sim.profiles["binance"].instruments if row.expiry)
    client = listen(sim, "usdm", "/market/ws", "btcusdt@markPrice@1s", f"{dated}@markPrice@1s")
    sim.advance(seconds=30)
    found = payloads(client)
    marks = found["btcusdt@markPrice@1s"]
    assert {mark["T"] for mark in marks} == {1_785_024_000_000}
    assert len({mark["r"] for mark in marks}) > 5
    assert all(abs(Decimal(mark["r"])) < Decimal("0.001") for mark in marks)
    assert all(len(mark[key].partition(".")[2]) == 8 for mark in marks for key in ("p", "ap", "i", "P", "r"))
    assert {(mark["r"], mark["T"]) for mark in found[f"{dated}@markPrice@1s"]} == {("", 0)}
    assert marks[-1]["i"] == found[f"{dated}@markPrice@1s"][-1]["i"]


def test_of_the_forced_orders_of_a_second_the_latest_is_told():
    sim = make(rate=400)
    trades = listen(sim, "usdm", "/public/ws", "btcusdt@trade")
    forced = listen(sim, "usdm", "/market/ws", "btcusdt@forceOrder")
    sim.advance(seconds=20)
    by_id = payloads(trades)["btcusdt@trade"]
    for message in payloads(forced)["btcusdt@forceOrder"]:
        order = message["o"]
        assert message["E"] - 1000 <= order["T"] <= message["E"]
        found = [each for each in by_id if message["E"] - 1000 <= each["T"] < message["E"] and each["t"] % 16 == 0]
        trade = found[-1]
        assert (order["ap"], order["q"], order["z"], order["T"]) == (trade["p"], trade["q"], trade["q"], trade["T"])
        assert order["S"] == ("SELL" if trade["m"] else "BUY")
        assert (Decimal(order["p"]) > Decimal(order["ap"])) == (order["S"] == "BUY")


def test_microseconds_are_those_of_every_time():
    sim = make()
    client = listen(sim, "spot", "/ws?timeUnit=MICROSECOND", "btcusdt@kline_1m", "btcusdt@ticker")
    sim.advance(seconds=4)
    found = payloads(client)
    bars = [each for stream, all_ in found.items() if "kline" in stream for each in all_]
    assert bars[0]["k"]["t"] == NOW // 1000
    assert bars[0]["k"]["T"] == NOW // 1000 + 59_999_999
    (ticker, *_) = [each for stream, all_ in found.items() if "ticker" in stream for each in all_]
    assert ticker["C"] - ticker["O"] == 86_400_000_000

"""decoders/binance_figures: tickers, mark prices, bars and forced orders, and nothing else."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import Refused, StrictBinance
from pipeline import Pipeline, frame, instrument

USDM = instrument("binance:BTC/USDT:USDT", "0.10", "0.001")
MS = 1_000_000

# One payload of each shape, composed after the venue's documentation.
SAMPLES = {
    "spot-ticker": (None, "btcusdt@ticker", '{"e":"24hrTicker","E":1672515782136,"s":"BTCUSDT","p":"-81.50000000","P":"-0.121","w":"67089.93000000","x":"67204.90000000","c":"67123.40000000","Q":"0.00200000","b":"67123.40000000","B":"0.12000000","a":"67123.41000000","A":"1.34000000","o":"67204.90000000","h":"68010.00000000","l":"66800.00000000","v":"15101.12345000","q":"1013139828.12345678","O":1672429382136,"C":1672515782136,"F":100,"L":18150,"n":18051}'),
    "usdm-ticker": (USDM, "btcusdt@ticker", '{"e":"24hrTicker","E":1785000002000,"s":"BTCUSDT","p":"-81.50","P":"-0.121","w":"67089.93","c":"67123.40","Q":"0.002","o":"67204.90","h":"68010.00","l":"66800.00","v":"151012.123","q":"10131398283.12","O":1784913600000,"C":1785000001998,"F":100,"L":18150,"n":18051,"ps":"BTCUSDT","st":1}'),
    "mark": (USDM, "btcusdt@markPrice@1s", '{"e":"markPriceUpdate","E":1785000001000,"s":"BTCUSDT","p":"67120.10000000","ap":"67119.90000000","i":"67118.55123456","P":"67121.00000000","r":"-0.00010000","T":1785024000000,"st":1}'),
    "mark-2025": (USDM, "btcusdt@markPrice@1s", '{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}'),
    "mark-delivered": (USDM, "btcusdt@markPrice@1s", '{"e":"markPriceUpdate","E":1785000001000,"s":"BTCUSDT","p":"67920.10000000","ap":"67919.90000000","i":"67118.55000000","P":"67121.00000000","r":"","T":0,"st":1}'),
    "spot-bar": (None, "btcusdt@kline_1m", '{"e":"kline","E":1672515782136,"s":"BTCUSDT","k":{"t":1672515780000,"T":1672515839999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"67100.01000000","c":"67123.40000000","h":"67124.00000000","l":"67099.50000000","v":"12.34567000","n":101,"x":false,"q":"828123.12345678","V":"5.00000000","Q":"335000.00000000","B":"0"}}'),
    "spot-bar-empty": (None, "btcusdt@kline_1m", '{"e":"kline","E":1672515840012,"s":"BTCUSDT","k":{"t":1672515780000,"T":1672515839999,"s":"BTCUSDT","i":"1m","f":-1,"L":-1,"o":"67100.01000000","c":"67100.01000000","h":"67100.01000000","l":"67100.01000000","v":"0.00000000","n":0,"x":true,"q":"0.00000000","V":"0.00000000","Q":"0.00000000","B":"0"}}'),
    "usdm-bar": (USDM, "btcusdt@kline_1m", '{"e":"kline","E":1785000059750,"s":"BTCUSDT","k":{"t":1785000000000,"T":1785000059999,"s":"BTCUSDT","i":"1m","f":7100,"L":7201,"o":"67100.10","c":"67123.40","h":"67124.00","l":"67099.50","v":"12.345","n":102,"x":true,"q":"828123.12345","V":"5.000","Q":"335000.00000","B":"0"}}'),
    "forced": (USDM, "btcusdt@forceOrder", '{"e":"forceOrder","E":1785000001000,"ps":"BTCUSDT","st":1,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"66905.30","ap":"67174.0123","X":"FILLED","l":"0.002","z":"0.014","T":1785000000820}}'),
    "forced-2025": (USDM, "btcusdt@forceOrder", '{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"BUY","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}'),
}  # fmt: skip
samples = pytest.mark.parametrize("name", SAMPLES)

CHANNELS = {"btcusdt@ticker": "ticker", "btcusdt@markPrice@1s": "ticker", "btcusdt@kline_1m": "bar",
            "btcusdt@forceOrder": "liquidation"}  # fmt: skip


def routed(what: Any = None, connections: int = 1) -> Pipeline:
    pipeline = Pipeline(what, connections)
    for connection in pipeline.connections:
        for topic, channel in CHANNELS.items():
            connection.route(topic, "BTCUSDT", channel, pipeline.market)
    return pipeline


def whole(name: str) -> bytes:
    _, topic, payload = SAMPLES[name]
    return f'{{"stream":"{topic}","data":{payload}}}'.encode()


def receive(name: str) -> Any:
    (event,) = routed(SAMPLES[name][0]).receive(whole(name))
    return event


# What each says


@pytest.mark.parametrize(
    ("name", "values", "due"),
    [
        ("spot-ticker", {"last": "67123.4", "volume": "15101.12345"}, None),
        ("usdm-ticker", {"last": "67123.4", "volume": "151012.123"}, None),
        (
            "mark",
            {"mark_price": "67120.1", "index_price": "67118.55123456", "funding_rate": "-0.0001"},
            1785024000000 * MS,
        ),
        (
            "mark-2025",
            {"mark_price": "11794.15", "index_price": "11784.62659091", "funding_rate": "0.00038167"},
            1562306400000 * MS,
        ),
        ("mark-delivered", {"mark_price": "67920.1", "index_price": "67118.55"}, None),
    ],
)
def test_a_ticker_has_the_values_of_its_text(name, values, due):
    event = receive(name)
    sent = json.loads(SAMPLES[name][2])["E"] * MS
    assert (event.kind, event.ts_event, event.ts_send) == ("ticker", sent, sent)
    assert {field: str(value) for field, value in event.decimals().items()} == values
    assert event.next_funding_time == due
    for field in ("last", "volume", "mark_price", "index_price", "funding_rate", "open_interest"):
        assert getattr(event, field) == (float(values[field]) if field in values else None)


@pytest.mark.parametrize("name", [name for name in SAMPLES if "bar" in name])
def test_a_bar_has_the_values_of_its_text(name):
    event = receive(name)
    data = json.loads(SAMPLES[name][2])
    bar = data["k"]
    assert (event.kind, event.ts_event, event.ts_send) == ("bar", data["E"] * MS, data["E"] * MS)
    assert (event.start, event.interval, event.closed) == (bar["t"] * MS, 60, bar["x"])
    found = (event.open, event.high, event.low, event.close, event.volume)
    assert found == tuple(float(bar[key]) for key in "ohlcv")


@pytest.mark.parametrize(("name", "side", "px"), [("forced", "sell", "66905.30"), ("forced-2025", "buy", "9910")])
def test_a_forced_order_is_told_as_it_was_placed_with_its_own_side(name, side, px):
    event = receive(name)
    data = json.loads(SAMPLES[name][2])
    assert (event.kind, event.side) == ("liquidation", side)
    assert (USDM.price(event.px), USDM.size(event.sz)) == (Decimal(px), Decimal("0.014"))
    assert (event.ts_event, event.ts_send) == (data["o"]["T"] * MS, data["E"] * MS)


@samples
def test_what_has_no_scanner_is_no_fallback(name):
    pipeline = routed(SAMPLES[name][0])
    pipeline.receive(whole(name))
    row = pipeline.row()
    assert (row["fallbacks"], row["malformed"], row["unrouted"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("1s", 1), ("1m", 60), ("15m", 900), ("1h", 3600), ("12h", 43200), ("1d", 86400), ("3d", 259200), ("1w", 604800)],
)
def test_the_length_of_a_bar_is_that_of_its_topic(interval, seconds):
    pipeline = Pipeline()
    topic = f"btcusdt@kline_{interval}"
    pipeline.connections[0].route(topic, "BTCUSDT", "bar", pipeline.market)
    data = json.loads(SAMPLES["spot-bar"][2])
    data["k"]["i"] = interval
    (event,) = pipeline.receive(frame(data, topic))
    assert event.interval == seconds
    for other in ("5m", "1", "m", f"1{interval}", f"_{interval}", ""):
        data["k"]["i"] = other
        assert pipeline.receive(frame(data, topic)) == []
    assert pipeline.row()["malformed"] == 6


@pytest.mark.parametrize("interval", ["1M", "0m", "1.m", "111m", "-1m", "1y"])
def test_a_length_that_is_none_in_seconds_is_refused(interval):
    pipeline = Pipeline()
    topic = f"btcusdt@kline_{interval}"
    pipeline.connections[0].route(topic, "BTCUSDT", "bar", pipeline.market)
    data = json.loads(SAMPLES["spot-bar"][2])
    data["k"]["i"] = interval
    assert pipeline.receive(frame(data, topic)) == []
    assert pipeline.row()["malformed"] == 1


# Merging, and copies of two connections


def test_two_streams_make_one_ticker():
    pipeline = routed(USDM)
    first, second = (pipeline.receive(whole(name)) for name in ("usdm-ticker", "mark"))
    assert [set(event.decimals()) for event in first] == [{"last", "volume"}]
    (event,) = second
    assert {field: str(value) for field, value in event.decimals().items()} == {
        "last": "67123.4", "volume": "151012.123", "mark_price": "67120.1", "index_price": "67118.55123456",
        "funding_rate": "-0.0001",
    }  # fmt: skip
    assert event.next_funding_time == 1785024000000 * MS
    assert event.ts_event == 1785000001000 * MS


def test_a_ticker_that_says_nothing_new_or_lags_is_dropped():
    pipeline = routed(USDM, connections=2)
    data = json.loads(SAMPLES["mark"][2])
    assert len(pipeline.receive(whole("mark"))) == 1
    assert pipeline.receive(whole("mark"), 1) == []
    assert pipeline.receive(frame({**data, "E": data["E"] - 1000, "p": "1.00000000"}, "btcusdt@markPrice@1s"), 1) == []
    later = {**data, "E": data["E"] + 1000}
    assert pipeline.receive(frame(later, "btcusdt@markPrice@1s")) == []
    (event,) = pipeline.receive(frame({**later, "p": "67120.20000000"}, "btcusdt@markPrice@1s"))
    assert str(event.decimals()["mark_price"]) == "67120.2"


def test_funding_that_is_not_given_stays_what_it_was():
    pipeline = routed(USDM)
    pipeline.receive(whole("mark"))
    data = {**json.loads(SAMPLES["mark-delivered"][2]), "E": 1785000002000}
    (event,) = pipeline.receive(frame(data, "btcusdt@markPrice@1s"))
    assert str(event.decimals()["funding_rate"]) == "-0.0001"
    assert event.next_funding_time == 1785024000000 * MS


def test_the_states_of_a_bar_come_once_each_and_none_after_its_end():
    pipeline = routed(USDM, connections=2)
    closed = json.loads(SAMPLES["usdm-bar"][2])
    states = [
        {**closed, "E": closed["E"] - 500 + 250 * step, "k": {**closed["k"], "v": f"1{step}.000", "x": step == 2}}
        for step in range(3)
    ]
    events = []
    for state in states:
        for connection in (0, 1):
            events += pipeline.receive(frame(state, "btcusdt@kline_1m"), connection)
    assert [(event.volume, event.closed) for event in events] == [(10.0, False), (11.0, False), (12.0, True)]
    assert pipeline.receive(frame(states[1], "btcusdt@kline_1m"), 1) == []


def test_two_equal_forced_orders_are_two_and_their_copies_none():
    pipeline = routed(USDM, connections=2)
    events = []
    for connection in (0, 0, 1, 1):
        events += pipeline.receive(whole("forced"), connection)
    assert [event.kind for event in events] == ["liquidation"] * 2


# What is refused


@pytest.mark.parametrize(
    ("name", "change", "value"),
    [
        ("spot-ticker", "e", "24hrMiniTicker"), ("spot-ticker", "s", "ETHUSDT"), ("spot-ticker", "E", "1"),
        ("spot-ticker", "E", -1), ("spot-ticker", "c", "-1"), ("spot-ticker", "c", "x"), ("spot-ticker", "c", True),
        ("spot-ticker", "v", "-0.5"), ("spot-ticker", "v", []), ("spot-ticker", "v", "1e200"),
        ("mark", "e", "kline"), ("mark", "s", "BTCUSDT_260925"), ("mark", "p", "-1"), ("mark", "i", {}),
        ("mark", "r", "0.0001x"), ("mark", "T", "1785024000000"), ("mark", "T", -1), ("mark", "T", 2**62),
        ("mark", "T", None),
        ("spot-bar", "e", "continuous_kline"), ("spot-bar", "s", "ETHUSDT"), ("spot-bar", "k", []),
        ("spot-bar", "k.s", "ETHUSDT"), ("spot-bar", "k.i", "5m"), ("spot-bar", "k.i", 1), ("spot-bar", "k.t", "1"),
        ("spot-bar", "k.o", "-1"), ("spot-bar", "k.h", ""), ("spot-bar", "k.l", "0.00000001"), ("spot-bar", "k.c", None),
        ("spot-bar", "k.v", "-1"), ("spot-bar", "k.v", ""), ("spot-bar", "k.x", "true"), ("spot-bar", "k.x", 1),
        ("forced", "e", "aggTrade"), ("forced", "o", None), ("forced", "o.s", "ETHUSDT"), ("forced", "o.S", "sell"),
        ("forced", "o.S", True), ("forced", "o.p", "66905.30001"), ("forced", "o.q", "-1"), ("forced", "o.T", 1.5),
    ],
)  # fmt: skip
def test_what_is_not_of_the_venues_shape_is_refused(name, change, value):
    what, topic, payload = SAMPLES[name]
    message = json.loads(payload)
    outer, _, inner = change.partition(".")
    if inner:
        message[outer][inner] = value
    else:
        message[outer] = value
    pipeline = routed(what)
    text = frame(message, topic)
    assert pipeline.receive(text) == []
    ((_, offset, _),) = pipeline.connections[0].take_malformed()
    assert text.index(b'"data":') < offset < len(text)
    assert len(pipeline.receive(whole(name))) == 1


NEEDED = {"spot-ticker": ("eEscv", ""), "usdm-ticker": ("eEscv", ""), "mark": ("eEspirT", ""),
          "usdm-bar": ("eEsk", "tsiohlcvx"), "forced": ("eEo", "sSpqT")}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "depth", "field"),
    [(name, depth, field) for name, levels in NEEDED.items() for depth in (0, 1) for field in levels[depth]],
)
def test_a_missing_or_repeated_field_is_refused(name, depth, field):
    what, topic, payload = SAMPLES[name]
    message = json.loads(payload)
    place = message[NEEDED[name][0][-1]] if depth else message
    value = json.dumps(place[field], separators=(",", ":"))
    pipeline = routed(what)
    doubled = frame(message, topic).replace(f'"{field}":{value}'.encode(), f'"{field}":{value},"{field}":1'.encode())
    escaped = frame(message, topic).replace(f'"{field}":'.encode(), f'"\\u{ord(field):04x}":'.encode())
    del place[field]
    for text in (frame(message, topic), doubled, escaped):
        assert pipeline.receive(text) == []
    assert pipeline.row()["malformed"] == 3


def test_a_payload_on_the_topic_of_another_channel_is_refused():
    pipeline = routed(USDM)
    trade = '{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"1.0","X":"MARKET","m":false}'
    texts = [trade, *(payload for _, _, payload in SAMPLES.values())]
    for topic, channel in CHANNELS.items():
        for text in texts:
            kind = {"24hr": "ticker", "mark": "ticker", "klin": "bar", "forc": "liquidation"}.get(text[6:10])
            if kind != channel:
                assert pipeline.receive(f'{{"stream":"{topic}","data":{text}}}'.encode()) == []
                assert pipeline.connections[0].take_malformed() != []
    for text in texts[1:]:
        for topic in ("btcusdt@trade", "btcusdt@bookTicker"):
            assert pipeline.receive(f'{{"stream":"{topic}","data":{text}}}'.encode()) == []
            assert pipeline.connections[0].take_malformed() != []


@samples
def test_every_truncation_is_refused(name):
    text = whole(name)
    pipeline = routed(SAMPLES[name][0])
    for size in range(len(text)):
        assert pipeline.receive(text[:size]) == []
    assert pipeline.row()["malformed"] == len(text)
    assert len(pipeline.receive(text)) == 1


# Held against a strict reader

MANY = settings(max_examples=settings.default.max_examples * 5 // 2)
JUNK = [None, True, 0, -1, 1.5, "", "x", "-1", "1e2", "01", "1.", " 1", "0", "-0", [], {}, 2**53, 2**63, 10**30,
        "9223372036854775807", "1e400", "0.000000001", "123456789012345678901", "ETHUSDT", "BTCUSDT", "5m", "BUY",
        "kline", "24hrTicker", "markPriceUpdate", "forceOrder", {"s": "BTCUSDT"}]  # fmt: skip


def outcome(name: str, text: bytes) -> tuple[int, dict[str, Any] | None]:
    """How many frames were refused (0 or 1), and the event that came out, as the strict reader says it."""
    pipeline = routed(SAMPLES[name][0])
    events = pipeline.receive(text)
    assert len(events) <= 1
    if not events:
        return pipeline.row()["malformed"], None
    (event,) = events
    found = {"kind": event.kind, "ts_event": event.ts_event, "ts_send": event.ts_send}
    if event.kind == "ticker":
        found |= event.decimals()
        if event.next_funding_time is not None:
            found["next_funding_time"] = event.next_funding_time
    elif event.kind == "liquidation":
        found |= {key: getattr(event, key) for key in ("px", "sz", "side")}
    else:
        keys = ("start", "interval", "open", "high", "low", "close", "volume", "closed")
        found |= {key: getattr(event, key) for key in keys}
    return pipeline.row()["malformed"], found


def hold_against_the_strict_reader(name: str, text: bytes) -> None:
    what = SAMPLES[name][0] or instrument()
    why = None
    try:
        wanted = StrictBinance(what.px_exp, what.sz_exp, CHANNELS).read(text)
    except Refused as refusal:
        why = refusal
    if why is not None:
        assert outcome(name, text) == (1, None), f"must be refused: {why}"
        return
    if wanted is not None and wanted["kind"] == "bar":
        # A bar shows floats, the nearest to what is exact.
        for key in ("open", "high", "low", "close"):
            wanted[key] = float(what.price(wanted[key]))
        wanted["volume"] = float(wanted["volume"])
    assert outcome(name, text) == (0, wanted)


def rebuilt(draw: Any, fields: dict[str, Any]) -> str:
    """An object with some of its values and their order changed, and those of its objects."""
    texts = {
        key: rebuilt(draw, value) if isinstance(value, dict) else json.dumps(value) for key, value in fields.items()
    }
    for key in draw(st.lists(st.sampled_from(sorted(texts)), max_size=2)):
        # Values of other fields are the likeliest to be taken for something that they are not.
        texts[key] = draw(st.sampled_from([*map(json.dumps, JUNK), *texts.values()]))
    order = list(texts.items())
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    if draw(st.booleans()):
        order.insert(draw(st.integers(0, len(order))), (draw(st.sampled_from([*"eEscvT", "xx", "3"])), "1"))
    if draw(st.booleans()):
        del order[draw(st.integers(0, len(order) - 1))]
    return "{" + draw(st.sampled_from([",", ", ", "\n,"])).join(f'"{key}":{text}' for key, text in order) + "}"


@samples
@MANY
@given(data=st.data())
def test_any_values_in_any_order_are_read_as_a_strict_reader_reads_them(name, data):
    _, topic, payload = SAMPLES[name]
    text = f'{{"stream":"{topic}","data":{rebuilt(data.draw, json.loads(payload))}}}'
    hold_against_the_strict_reader(name, text.encode())


@samples
@MANY
@given(data=st.data())
def test_flipped_lost_and_doubled_bytes_are_read_as_a_strict_reader_reads_them(name, data):
    text = bytearray(whole(name))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        how = data.draw(st.sampled_from(["flip", "set", "drop", "double", "swap"]))
        if how == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            text[at] = data.draw(st.sampled_from(b'0123456789."-,:eE+[]{} \\\x00\x80\xff'))
        elif how == "drop":
            del text[at]
        elif how == "double":
            text.insert(at, text[at])
        else:
            other = data.draw(st.integers(0, len(text) - 1))
            text[at], text[other] = text[other], text[at]
    assume(b"\\" not in text)  # spellings by escape are another test's
    hold_against_the_strict_reader(name, bytes(text))


# What the venue really sent


@pytest.mark.parametrize(("folder", "count"), [("binance", 2), ("binance_usdm", 67)])
def test_recorded_bars_are_read(recordings: Path, folder, count):
    found = re.findall(
        rb'^[0-9.]+: (\{"stream":"[^"]*@kline_1m".*\})$', (recordings / folder / "ws.txt").read_bytes(), re.M
    )
    assert len(found) == count
    for text in found:
        data = json.loads(text)["data"]
        pipeline = Pipeline(instrument(tick="0.00000001", lot="0.00000001"))
        topic = json.loads(text)["stream"]
        pipeline.connections[0].route(topic, data["s"], "bar", pipeline.market)
        (event,) = pipeline.receive(text)
        assert (event.start, event.closed) == (data["k"]["t"] * MS, data["k"]["x"])
        values = (event.open, event.high, event.low, event.close, event.volume)
        assert values == tuple(float(data["k"][key]) for key in "ohlcv")

"""decoders/bybit: every shape of the venue's messages, whole or refused, in its own order of fields and in any other."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import strict_json

from fastfeed.instrument import Instrument
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.bybit import BybitDecoder
from fastfeed_core.market import Hub
from fastfeed_core.subscription import Subscription

TOPICS = {
    "orderbook.50": "book", "orderbook.1": "bbo", "publicTrade": "trade", "tickers": "ticker", "kline.1": "bar",
    "allLiquidation": "liquidation",
}  # fmt: skip

# One message of each shape, composed after the venue's documentation and the order of its wire.
SAMPLES = {
    "futures-snapshot": '{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1785000000000,"data":{"s":"BTCUSDT","b":[["67123.40","1.500"],["67123.00","0.250"]],"a":[["67123.50","0.250"]],"u":18521288,"seq":7961638724},"cts":1784999999998}',
    "futures-delta": '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1785000000020,"data":{"s":"BTCUSDT","b":[["67123.40","0"],["67123.30","0.700"]],"a":[],"u":18521289,"seq":7961638790},"cts":1785000000018}',
    "spot-delta": '{"topic":"orderbook.50.BTCUSDT","ts":1785000000020,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["67123.5","0.000021"],["67124","0"]],"u":18521289,"seq":7961638790},"cts":1785000000018}',
    "option-delta": '{"topic":"orderbook.50.BTCUSDT","ts":1785000000020,"type":"delta","id":"orderbook.50.BTCUSDT-76571748900-1785000000020","data":{"s":"BTCUSDT","b":[["22915","18.55"]],"a":[["26205","0"]],"u":4847,"seq":76571748900},"cts":1785000000018}',
    "futures-bbo": '{"topic":"orderbook.1.BTCUSDT","ts":1785000000010,"type":"snapshot","data":{"s":"BTCUSDT","b":[["67123.40","1.500"]],"a":[["67123.50","0.250"]],"u":14869255,"seq":457514742271},"cts":1785000000005}',
    "futures-trade": '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1785000000021,"data":[{"T":1785000000019,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"67123.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617},{"T":1785000000020,"s":"BTCUSDT","S":"Sell","v":"0.002","p":"67123.40","L":"MinusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023b0","BT":false,"RPI":true,"seq":1783284617}]}',
    "futures-trade-2023": '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Sell","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}',
    "spot-trade": '{"topic":"publicTrade.BTCUSDT","ts":1785000000021,"type":"snapshot","data":[{"i":"2290000000970262966","T":1785000000019,"p":"67123.5","v":"0.00862","S":"Sell","seq":111156121170,"s":"BTCUSDT","BT":false,"RPI":false}]}',
    "futures-ticker": '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"MinusTick","price24hPcnt":"-0.158315","lastPrice":"66666.60","prevPrice24h":"79206.20","markPrice":"66666.61","indexPrice":"66418.19","openInterest":"492373.72","openInterestValue":"32824881841.75","turnover24h":"4936790807.6521","volume24h":"73191.3870","fundingIntervalHour":"8","nextFundingTime":"1760342400000","fundingRate":"-0.005","bid1Price":"66666.60","bid1Size":"23789.165","preOpenPrice":"","curPreListingPhase":""},"cs":9532239429,"ts":1760325052630}',
    "futures-ticker-delta": '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Price":"67123.40","bid1Size":"1.500","markPrice":"67123.00"},"cs":24987956059,"ts":1785000000100}',
    "dated-ticker": '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","lastPrice":"109401.50","markPrice":"121144.63","indexPrice":"114132.51","openInterest":"6.622","volume24h":"0.0000","nextFundingTime":"","fundingRate":""},"cs":1,"ts":1760409119857}',
    "spot-ticker": '{"topic":"tickers.BTCUSDT","ts":1785000000003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT","lastPrice":"21109.77","highPrice24h":"21426.99","volume24h":"6780.866843","turnover24h":"141946527.22907118","price24hPcnt":"0.0196","usdIndexPrice":"21120.2400136"}}',
    "option-ticker": '{"topic":"tickers.BTCUSDT","ts":1785000000106,"type":"snapshot","id":"x","data":{"symbol":"BTCUSDT","bidPrice":"22915","bidSize":"18.55","bidIv":"0.3285","lastPrice":"0","markPrice":"24465","indexPrice":"83885","openInterest":"0","volume24h":"0","delta":"-0.5"}}',
    "bar": '{"topic":"kline.1.BTCUSDT","data":[{"start":1785000000000,"end":1785000059999,"interval":"1","open":"67100","close":"67123.5","high":"67130","low":"67090","volume":"2.081","turnover":"139686.9","confirm":false,"timestamp":1785000011000}],"ts":1785000011001,"type":"snapshot"}',
    "liquidation": '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1785000000204,"data":[{"T":1785000000029,"s":"BTCUSDT","S":"Buy","v":"0.2","p":"67044.9"},{"T":1785000000030,"s":"BTCUSDT","S":"Sell","v":"0.3","p":"67144.9"}]}',
}  # fmt: skip
SCANNED = [name for name in SAMPLES if "ticker" not in name and name not in ("bar", "liquidation")]
samples = pytest.mark.parametrize("name", SAMPLES)
ROWS = (Channel(name="book"),)


def instrument(symbol: str = "BTCUSDT", name: str = "bybit:BTC/USDT:USDT") -> Instrument:
    return Instrument(
        venue="bybit", symbol=symbol, name=name, kind="swap", base="BTC", quote="USDT", settle="USDT",
        tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), contract_size=Decimal(1), contract_unit="BTC",
        inverse=False, expiry=None, strike=None, option_type=None, status="trading", px_exp=-4, sz_exp=-6,
    )  # fmt: skip


class Pipe:
    """A receive path over a private bus; `symbols` share the group of trades of BTC."""

    def __init__(self, connections: int = 1, topics: dict[str, str] | None = None, symbols: tuple[str, ...] = ()):
        self.writer = BusWriter(ring=1 << 20, instruments=4)
        self.hub = Hub(self.writer, 1 << 16)
        self.market = open_market(self.hub, instrument(), ROWS)
        others = [open_market(self.hub, instrument(symbol, f"bybit:{symbol}"), ()) for symbol in symbols]
        self.ts = 1
        self.connections = []
        for _ in range(connections):
            path = Connection(self.hub, self.writer.add_connection("test"), BybitDecoder(), 16, 1)
            for topic, channel in (topics or TOPICS).items():
                path.route(f"{topic}.BTCUSDT", "BTCUSDT", channel, self.market)
            for symbol, market in zip(symbols, others, strict=True):
                path.route("publicTrade.BTC", symbol, "trade", market, group=True)
            self.connections.append(path)
        self.map = BusMap(writer=self.writer)
        self._events = Subscription(self.map, None, None, "oldest")

    def receive(self, text: bytes | str, connection: int = 0) -> list[Any]:
        self.ts += 1
        self.connections[connection].receive(text.encode() if isinstance(text, str) else text, self.ts)
        self.hub.flush()
        return [event for event in self._events.poll(1000) if event.kind != "status"]

    def row(self) -> dict[str, Any]:
        return self.map.connections()[0]

    def book(self, update_id: int, size: str = "1", ts: int = 1785000000000, connection: int = 0) -> list[Any]:
        """Send a whole book of one level a side."""
        return self.receive(book("snapshot", update_id, [["67000.0", size]], [["67200.0", size]], ts), connection)


def book(kind: str, update_id: int, bids: list, asks: list, ts: int = 1785000000000, depth: int = 50) -> str:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update_id, "seq": 1}
    frame = {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": ts, "data": data, "cts": ts}
    return json.dumps(frame, separators=(",", ":"))


def live(name: str) -> Pipe:
    """A pipe whose book stands right before the sample."""
    pipe = Pipe()
    pipe.book(json.loads(SAMPLES[name])["data"]["u"] - 1 if "delta" in name and "ticker" not in name else 5)
    return pipe


def said(event: Any) -> dict[str, Any]:
    fields = event.as_dict()
    for key in ("position", "ts_recv", "ts_publish"):
        del fields[key]
    return fields


@samples
def test_every_shape_is_read(name):
    pipe = live(name)
    events = pipe.receive(SAMPLES[name])
    message = json.loads(SAMPLES[name])
    data = message["data"]
    assert (pipe.row()["malformed"], pipe.row()["fallbacks"]) == (0, 0)
    assert {event.ts_send for event in events} == {message["ts"] * 1_000_000}
    if isinstance(data, dict) and "u" in data:
        (event,) = events
        assert (event.sequence, event.ts_event) == (data["u"], message["cts"] * 1_000_000)
        levels = [[(float(price), float(size)) for price, size in data[side]] for side in "ba"]
        if name == "futures-bbo":
            assert [[(event.bid, event.bid_size)], [(event.ask, event.ask_size)]] == levels
        else:
            assert (event.kind, [event.bids, event.asks]) == (message["type"], levels)
    elif "trade" in name or name == "liquidation":
        sides = {"Buy": "buy", "Sell": "sell"} if "trade" in name else {"Buy": "sell", "Sell": "buy"}
        assert [(each.price, each.size, each.side, each.ts_event) for each in events] == [
            (float(row["p"]), float(row["v"]), sides[row["S"]], row["T"] * 1_000_000) for row in data
        ]
        if "trade" in name:
            ids = [row["i"] if "-" in row["i"] else int(row["i"]) for row in data]
            assert [each.trade_id for each in events] == ids


def test_a_ticker_has_the_fields_of_its_message_and_keeps_the_others():
    pipe = Pipe()
    (first,) = pipe.receive(SAMPLES["futures-ticker"])
    assert first.decimals() == {
        "last": Decimal("66666.6"), "mark_price": Decimal("66666.61"), "index_price": Decimal("66418.19"),
        "open_interest": Decimal("246186.86"), "funding_rate": Decimal("-0.005"), "volume": Decimal("73191.387"),
    }  # fmt: skip
    assert first.next_funding_time == 1760342400000 * 1_000_000
    (second,) = pipe.receive(SAMPLES["futures-ticker-delta"])
    assert (second.mark_price, second.last, second.funding_rate) == (67123.0, 66666.6, -0.005)


@pytest.mark.parametrize(
    ("symbol", "text", "interest"),
    [
        ("BTCUSDT", "59972.256", "29986.128"),
        ("BTC-26DEC25", "6.623", "3.3115"),
        ("BTCUSD", "462590533", "231295266.5"),
        ("BTCUSD", "0", "0"),
        ("BTC-25DEC26-70000-C", "49.85", "49.85"),
        ("BTC-25DEC26-70000-P-USDT", "7", "7"),
        ("BTCUSDT", "9223372036854775807", None),
        ("BTCUSDT", "9223372036854775806", "4611686018427387903"),
    ],
)
def test_open_interest_of_futures_is_that_of_one_side(symbol, text, interest):
    pipe = Pipe()
    pipe.connections[0].route(f"tickers.{symbol}", symbol, "ticker", pipe.market)
    sample = SAMPLES["futures-ticker"].replace("BTCUSDT", symbol).replace('"492373.72"', f'"{text}"')
    (ticker,) = pipe.receive(sample)
    assert ticker.decimals().get("open_interest") == (None if interest is None else Decimal(interest))


def test_what_a_ticker_does_not_have_is_none():
    (dated,) = Pipe().receive(SAMPLES["dated-ticker"])
    assert (dated.funding_rate, dated.next_funding_time, dated.volume) == (None, None, 0.0)
    (option,) = Pipe().receive(SAMPLES["option-ticker"])
    assert (option.last, option.mark_price, option.funding_rate) == (None, 24465.0, None)
    (spot,) = Pipe().receive(SAMPLES["spot-ticker"])
    assert (spot.last, spot.index_price, spot.mark_price) == (21109.77, None, None)


def test_a_bar_has_its_interval_and_its_end():
    pipe = Pipe()
    (bar,) = pipe.receive(SAMPLES["bar"])
    assert (bar.start, bar.interval, bar.closed) == (1785000000000 * 1_000_000, 60, False)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (67100, 67130, 67090, 67123.5, 2.081)
    (closed,) = pipe.receive(SAMPLES["bar"].replace('"confirm":false', '"confirm":true'))
    assert closed.closed
    assert pipe.receive(SAMPLES["bar"].replace("1785000059999", "1785000059998")) == []
    assert pipe.row()["malformed"] == 1


def test_an_option_coins_trades_go_to_each_contract():
    pipe = Pipe(symbols=("BTC-25DEC26-70000-C-USDT", "BTC-25DEC26-64000-P"))
    row = '{"i":"%s","T":1785000000019,"p":"240","v":"0.1","S":"Buy","seq":1,"s":"%s","BT":false,"mP":"238.7","iv":"0.14"}'
    symbols = ["BTC-25DEC26-64000-P", "BTC-26SEP26-83750-C", "BTC-25DEC26-70000-C-USDT"]
    rows = [row % (f"44f06f5c-3628-5a2d-9a1c-0142ddf5e2a{n}", symbol) for n, symbol in enumerate(symbols)]
    head = '{"topic":"publicTrade.BTC","ts":1785000000020,"type":"snapshot","id":"x","data":['
    events = pipe.receive(head + ",".join(rows) + "]}")
    assert [event.name for event in events] == [f"bybit:{symbols[0]}", f"bybit:{symbols[2]}"]
    assert pipe.receive(head + rows[1] + "]}") == []
    assert (pipe.row()["malformed"], pipe.row()["fallbacks"]) == (0, 0)


# Books


def test_update_ids_chain_one_by_one_and_a_hole_costs_the_book():
    pipe = Pipe()
    pipe.book(10)
    assert len(pipe.receive(book("delta", 11, [["67001.0", "1"]], []))) == 1
    assert pipe.receive(book("delta", 11, [["67001.0", "2"]], [])) == []
    assert pipe.market.live
    pipe.receive(book("delta", 13, [], []))
    assert not pipe.market.live


def test_a_snapshot_replaces_the_book_whenever_it_comes():
    pipe = Pipe()
    for update_id in (10, 11, 500, 20):
        (event,) = pipe.book(update_id, size=str(update_id))
        assert (event.kind, event.sequence) == ("snapshot", update_id)
    pipe.receive(book("delta", 21, [["67001.0", "1"]], []))
    assert pipe.market.sequence == 21
    assert len(pipe.market.levels()[0]) == 2


def test_levels_of_size_zero_in_a_snapshot_are_none():
    pipe = Pipe()
    (event,) = pipe.receive(book("snapshot", 7, [["2.0", "0"], ["1.0", "5"]], [["3.0", "1"], ["4.0", "0.000"]]))
    assert (event.bids, event.asks) == ([(1.0, 5.0)], [(3.0, 1.0)])


def test_a_book_is_complete_down_to_the_last_of_the_levels_that_its_topic_shows():
    pipe = Pipe(topics={"orderbook.1": "book"})
    frame = book("snapshot", 7, [["67000.0", "1"]], [["67200.0", "1"]], depth=1)
    (event,) = pipe.receive(frame)
    assert event.complete_to == (67000.0, 67200.0)
    assert pipe.receive(frame) == []
    assert len(pipe.receive(frame.replace('"u":7', '"u":9'))) == 1


def test_a_restart_is_seen_by_its_number():
    pipe = Pipe()
    pipe.book(100)
    pipe.receive(book("delta", 101, [["67001.0", "1"]], []))
    assert len(pipe.book(1)) == 1
    assert len(pipe.receive(book("delta", 2, [["67001.0", "1"]], []))) == 1


def test_two_restarts_in_a_row_are_two_for_two_connections():
    pipe = Pipe(connections=2)
    for connection in (0, 1):
        pipe.book(100, ts=1000, connection=connection)
    first, second = ({"update_id": 1, "size": size, "ts": ts} for size, ts in (("2", 2000), ("3", 3000)))
    assert len(pipe.book(**first)) == 1
    assert len(pipe.book(**second)) == 1
    # The other connection lags by one restart: its numbers mean other books until it has gone through the second.
    assert pipe.book(**first, connection=1) == []
    assert pipe.receive(book("delta", 2, [["67000.0", "9"]], [], 2500), 1) == []
    assert pipe.book(**second, connection=1) == []
    assert len(pipe.receive(book("delta", 2, [["67001.0", "1"]], [], 3500), 1)) == 1
    assert pipe.receive(book("delta", 2, [["67001.0", "1"]], [], 3500), 0) == []
    assert len(pipe.receive(book("delta", 3, [["67001.0", "2"]], [], 3600), 0)) == 1
    assert pipe.market.levels()[0] == [(670010000, 2000000), (670000000, 3000000)]


@pytest.mark.parametrize("has_book", [True, False])
def test_a_book_of_level_1_brings_the_quotes_too(has_book):
    pipe = Pipe(topics={"orderbook.1": "book"} if has_book else {"tickers": "ticker"})
    market = pipe.market if has_book else open_market(pipe.hub, instrument("X", "bybit:X"), ())
    symbol = "BTCUSDT" if has_book else "X"
    pipe.connections[0].route(f"orderbook.1.{symbol}", symbol, "bbo", market, carrier="book")
    events = pipe.receive(book("snapshot", 7, [["1.0", "1"]], [["2.0", "1"]], depth=1).replace("BTCUSDT", symbol))
    assert [event.kind for event in events] == (["snapshot", "bbo"] if has_book else ["bbo"])
    assert (events[-1].bid, events[-1].ask) == (1.0, 2.0)


def test_an_empty_side_of_a_quote_has_no_price():
    (event,) = Pipe().receive(book("snapshot", 7, [], [["2.0", "1"]], depth=1))
    assert (event.bid, event.bid_size, event.ask) == (None, 0.0, 2.0)


# Strictness


@samples
@given(data=st.data())
def test_order_space_and_unknown_fields_do_not_matter(name, data):
    message = json.loads(SAMPLES[name])

    def shuffle(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffle(each) for each in value] if value and isinstance(value[0], dict) else value
        if not isinstance(value, dict):
            return value
        fields = [*((key, shuffle(each)) for key, each in value.items()), ("new", {"deep": [1, "\u20ac\n", None]})]
        return dict(data.draw(st.permutations(fields)))

    text = json.dumps(shuffle(message), indent=data.draw(st.sampled_from([None, 1])))
    pipe, reference = live(name), live(name)
    assert list(map(said, pipe.receive(text))) == list(map(said, reference.receive(SAMPLES[name])))
    assert pipe.row()["fallbacks"] == (name in SCANNED)


@samples
def test_every_truncation_is_refused(name):
    text = SAMPLES[name].encode()
    pipe = live(name)
    for size in range(len(text)):
        assert pipe.receive(text[:size]) == []
    assert pipe.row()["malformed"] == len(text)
    for _, offset, _ in pipe.connections[0].take_malformed():
        assert 0 <= offset <= len(text)


@samples
@settings(max_examples=settings.default.max_examples * 5 // 2)
@given(data=st.data())
def test_damaged_messages_are_refused_or_read_as_in_any_other_order(name, data):
    text = bytearray(SAMPLES[name].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        match data.draw(st.sampled_from(["flip", "set", "drop", "double"])):
            case "flip":
                text[at] ^= 1 << data.draw(st.integers(0, 7))
            case "set":
                text[at] = data.draw(st.sampled_from(b'0123456789."-,:eE+[]{} \\\x00\x80\xff'))
            case "drop":
                del text[at]
            case "double":
                text.insert(at, text[at])
    damaged = bytes(text)
    pipe, spaced = live(name), live(name)
    found = list(map(said, pipe.receive(damaged)))
    try:
        strict_json(damaged)
    except (ValueError, RecursionError):
        assert (found, pipe.row()["malformed"]) == ([], 1)
        return
    # A space at the start keeps the scanners away.
    assert found == list(map(said, spaced.receive(b" " + damaged)))
    assert pipe.row()["malformed"] == spaced.row()["malformed"]
    assert pipe.market.live == spaced.market.live


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("futures-delta", '"s":"BTCUSDT",', '"s":"ETHUSDT",'),
        ("futures-delta", '"u":18521289,', ""),
        ("futures-delta", '"u":18521289,', '"u":18521289,"u":18521289,'),
        ("futures-delta", '"u":18521289,', '"u":18521289,"\\u0075":1,'),
        ("futures-delta", '"u":18521289', '"u":0'),
        ("futures-delta", '"delta"', '"diff"'),
        ("futures-delta", '"ts":1785000000020,', ""),
        ("futures-delta", '"0.700"', '"-0.700"'),
        ("futures-delta", '"0.700"', '"0.0000007"'),
        ("futures-delta", '"0.700"]', '"0.700","1"]'),
        ("futures-bbo", '"snapshot"', '"delta"'),
        ("futures-trade", '"S":"Buy"', '"S":"buy"'),
        ("futures-trade", '"i":"20f43950-d8dd-5b31-9112-a178eb6023af",', ""),
        ("spot-trade", '"s":"BTCUSDT"', '"s":"BTCUSDC"'),
        ("futures-ticker", '"symbol":"BTCUSDT"', '"symbol":"ETHUSDT"'),
        ("futures-ticker", '"nextFundingTime":"1760342400000"', '"nextFundingTime":"soon"'),
        ("bar", '"confirm":false', '"confirm":0'),
        ("bar", '"low":"67090",', ""),
        ("liquidation", '"p":"67044.9"', '"p":null'),
    ],
)  # fmt: skip
def test_what_is_not_of_the_venues_shape_is_refused(name, old, new):
    assert old in SAMPLES[name]
    pipe = live(name)
    assert pipe.receive(SAMPLES[name].replace(old, new, 1)) == []
    assert pipe.row()["malformed"] == 1
    assert pipe.market.live == (name != "futures-delta")


def test_frames_without_market_data_are_told_apart():
    pipe = Pipe()
    for text in ('{"success":true,"ret_msg":"pong","op":"ping"}', '{"args":["1"],"op":"pong"}',
                 '{"success":true,"data":{"failTopics":[]},"type":"COMMAND_RESP"}'):  # fmt: skip
        pipe.receive(text)
    assert [json.loads(each).get("op") for each in pipe.connections[0].take_controls()] == ["ping", "pong", None]
    for text in ("{}", '{"topic":"orderbook.50.ETHUSDT","type":"delta","ts":1,"data":{}}', '{"hello":"world"}'):
        pipe.receive(text)
    assert pipe.row()["unrouted"] == 3
    assert pipe.receive('{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[]}') == []
    assert pipe.row()["malformed"] == 0

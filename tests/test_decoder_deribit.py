"""decoders/deribit: every shape of the venue's messages, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import mantissa, strict_json

from fastfeed.instrument import Instrument
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.deribit import DeribitDecoder
from fastfeed_core.market import Hub
from fastfeed_core.subscription import Subscription

SYMBOL = "BTC-PERPETUAL"
MS = 1_000_000

# One payload of each shape, composed after the venue's documentation, or recorded where it says so.
SAMPLES = {
    "snapshot": ("book.BTC-PERPETUAL.100ms", '{"type":"snapshot","timestamp":1700000000000,"instrument_name":"BTC-PERPETUAL","change_id":100,"bids":[["new",42500.0,1000.0],["new",42499.5,10.0]],"asks":[["new",42501.0,800.0]]}'),
    "change": ("book.BTC-PERPETUAL.100ms", '{"type":"change","timestamp":1700000000500,"prev_change_id":100,"instrument_name":"BTC-PERPETUAL","change_id":107,"bids":[["change",42500.0,950.0],["new",4.24e4,2.2e3]],"asks":[["delete",42501.0,0.0]]}'),
    "grouped": ("book.BTC-PERPETUAL.none.10.100ms", '{"timestamp":1700000000500,"instrument_name":"BTC-PERPETUAL","change_id":108,"bids":[[42500.0,950.0],[42499.5,10.0]],"asks":[[42501,800]]}'),
    "quote": ("quote.BTC-PERPETUAL", '{"timestamp":1700000000501,"instrument_name":"BTC-PERPETUAL","best_bid_price":42500.0,"best_bid_amount":950.0,"best_ask_price":42501.0,"best_ask_amount":800.0}'),
    "trades": ("trades.BTC-PERPETUAL.100ms", '[{"trade_seq":30289442,"trade_id":"48079269","timestamp":1700000000502,"tick_direction":2,"price":42500.5,"mark_price":42500.12,"instrument_name":"BTC-PERPETUAL","index_price":42498.1,"direction":"sell","contracts":5.0,"amount":50.0},{"trade_seq":30289443,"trade_id":"48079270","timestamp":1700000000503,"tick_direction":3,"price":42500,"mark_price":42500.12,"liquidation":"M","instrument_name":"BTC-PERPETUAL","index_price":42498.1,"direction":"sell","contracts":1.0,"amount":10.0,"combo_id":"BTC-FS-25DEC26_PERP"}]'),
    "ticker": ("ticker.BTC-PERPETUAL.100ms", '{"timestamp":1700000000504,"stats":{"volume_usd":123456780.0,"volume":2900.5,"price_change":0.31,"low":41000.5,"high":43000.0},"state":"open","settlement_price":42000.1,"open_interest":502097590,"min_price":41800.0,"max_price":43100.0,"mark_price":42500.12,"last_price":42500.5,"instrument_name":"BTC-PERPETUAL","index_price":42498.1,"funding_8h":3.1e-6,"estimated_delivery_price":42498.1,"current_funding":-1.423e-4,"best_bid_price":42500.0,"best_bid_amount":950.0,"best_ask_price":42501.0,"best_ask_amount":800.0}'),
    "bar": ("chart.trades.BTC-PERPETUAL.15", '{"volume":0.05219351,"tick":1700000100000,"open":42500.0,"low":42495.5,"high":42510.0,"cost":2220.0,"close":42501.5}'),
}  # fmt: skip
CHANNELS = {"snapshot": "book", "change": "book", "grouped": "book", "quote": "bbo", "trades": "trade", "ticker": "ticker", "bar": "bar"}  # fmt: skip
samples = pytest.mark.parametrize("name", SAMPLES)


def instrument(symbol: str = SYMBOL, tick: str = "0.5", lot: str = "10") -> Instrument:
    px, sz = Decimal(tick), Decimal(lot)
    return Instrument(
        venue="deribit", symbol=symbol, name=f"deribit:{symbol}", kind="swap", base="BTC", quote="USD", settle="BTC",
        tick_size=px, lot_size=sz, contract_size=Decimal(1), contract_unit="USD", inverse=True, expiry=None,
        strike=None, option_type=None, status="trading", px_exp=min(0, px.as_tuple().exponent) - 2, sz_exp=-2,
    )  # fmt: skip


class Pipeline:
    """One instrument on one connection, with all of the venue's channels."""

    def __init__(self, what: Instrument | None = None, liquidations: bool = False) -> None:
        self.instrument = what or instrument()
        self.writer = BusWriter(ring=1 << 24, instruments=2)
        self.hub = Hub(self.writer, 1 << 20)
        self.market = open_market(self.hub, self.instrument, (Channel(name="book"),))
        self.connection = Connection(self.hub, self.writer.add_connection("test"), DeribitDecoder(), 16, 1)
        for name, (topic, _) in SAMPLES.items():
            topic = topic.replace(SYMBOL, self.instrument.symbol)
            self.connection.route(topic, self.instrument.symbol, CHANNELS[name], self.market)
            if name == "trades" and liquidations:
                self.connection.route(topic, self.instrument.symbol, "liquidation", self.market, carrier="trade")
        self.map = BusMap(writer=self.writer)
        self._events = Subscription(self.map, None, None, "oldest")
        self.ts = 1

    def receive(self, frame: bytes) -> list[Any]:
        self.ts += 1
        self.connection.receive(frame, self.ts)
        self.hub.flush()
        return [event for event in self._events.poll(10_000) if event.kind != "status"]

    def row(self) -> dict[str, Any]:
        return self.map.connections()[0]


def frame(topic: str, data: str) -> bytes:
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{topic}","data":{data}}}}}'.encode()


def whole(name: str) -> bytes:
    return frame(*SAMPLES[name])


def live(name: str) -> Pipeline:
    """A pipeline whose book stands right before the sample."""
    pipeline = Pipeline()
    if name == "change":
        pipeline.receive(whole("snapshot"))
    return pipeline


# ---- each shape


def test_a_snapshot_makes_the_book_and_a_change_goes_on_from_it():
    pipeline = Pipeline()
    (snapshot,) = pipeline.receive(whole("snapshot"))
    assert (snapshot.kind, snapshot.sequence, snapshot.ts_event, snapshot.ts_send) == (
        "snapshot", 100, 1700000000000 * MS, None)  # fmt: skip
    assert snapshot.bids == [(42500.0, 1000.0), (42499.5, 10.0)]
    (delta,) = pipeline.receive(whole("change"))
    assert (delta.kind, delta.prev_sequence, delta.sequence) == ("delta", 100, 107)
    assert delta.bids == [(42500.0, 950.0), (42400.0, 2200.0)]
    assert delta.asks == [(42501.0, 0.0)]
    assert pipeline.row()["fallbacks"] == 0
    assert pipeline.market.live


def test_a_change_that_does_not_follow_costs_the_book():
    pipeline = live("change")
    assert pipeline.receive(whole("change").replace(b'"prev_change_id":100', b'"prev_change_id":101')) == []
    assert not pipeline.market.live
    assert pipeline.map.instrument_counters(0)["gaps"] == 1


def test_a_grouped_book_is_whole_and_an_older_or_equal_one_is_dropped():
    pipeline = Pipeline()
    (snapshot,) = pipeline.receive(whole("grouped"))
    assert (snapshot.kind, snapshot.sequence) == ("snapshot", 108)
    assert snapshot.asks == [(42501.0, 800.0)]
    assert pipeline.receive(whole("grouped")) == []
    assert pipeline.market.live


def test_a_quote_has_a_time_and_no_sequence():
    (quote,) = Pipeline().receive(whole("quote"))
    assert (quote.kind, quote.bid, quote.bid_size, quote.ask, quote.ask_size) == ("bbo", 42500, 950, 42501, 800)
    assert (quote.sequence, quote.ts_event, quote.derived) == (None, 1700000000501 * MS, False)


@pytest.mark.parametrize(
    ("price", "amount"), [("null", "0.0"), ("null", "null"), ("0.0", "0.0"), ("null", "5.0")], ids=str
)
def test_an_empty_side_of_a_quote_has_no_price(price, amount):
    text = whole("quote").replace(b'"best_ask_price":42501.0', b'"best_ask_price":' + price.encode())
    text = text.replace(b'"best_ask_amount":800.0', b'"best_ask_amount":' + amount.encode())
    (quote,) = Pipeline().receive(text)
    assert (quote.ask, quote.ask_size) == (None, 0)
    assert quote.bid == 42500


def test_trades_of_one_message_are_told_one_by_one():
    first, second = Pipeline().receive(whole("trades"))
    assert (first.kind, first.price, first.size, first.side) == ("trade", 42500.5, 50, "sell")
    assert (first.trade_id, first.sequence, first.ts_event) == (48079269, 30289442, 1700000000502 * MS)
    assert (second.trade_id, second.price, second.ts_event) == (48079270, 42500, 1700000000503 * MS)


@pytest.mark.parametrize(("who", "side"), [("M", "buy"), ("T", "sell"), ("MT", "sell")])
def test_a_liquidation_has_the_side_of_the_forced_order(who, side):
    # "T": the taker's order was forced, "M": the maker's, which stands on the other side.
    text = whole("trades").replace(b'"liquidation":"M"', f'"liquidation":"{who}"'.encode())
    events = Pipeline(liquidations=True).receive(text)
    assert [event.kind for event in events] == ["trade", "trade", "liquidation"]
    assert (events[2].side, events[2].price, events[2].size) == (side, 42500, 10)


def test_trade_ids_of_other_currencies_are_text():
    text = whole("trades").replace(b'"trade_id":"48079269"', b'"trade_id":"USDC-2436803"')
    assert Pipeline().receive(text)[0].trade_id == "USDC-2436803"


def test_an_empty_array_of_trades_says_nothing():
    pipeline = Pipeline()
    assert pipeline.receive(frame("trades.BTC-PERPETUAL.100ms", "[]")) == []
    assert pipeline.row()["malformed"] == 0


def test_a_ticker_has_what_the_venue_gives():
    (ticker,) = Pipeline().receive(whole("ticker"))
    assert (ticker.last, ticker.mark_price, ticker.index_price) == (42500.5, 42500.12, 42498.1)
    assert (ticker.open_interest, ticker.funding_rate, ticker.volume) == (502097590, -1.423e-4, 123456780)
    assert (ticker.next_funding_time, ticker.ts_event) == (None, 1700000000504 * MS)


def test_a_ticker_keeps_what_is_null():
    pipeline = Pipeline()
    pipeline.receive(whole("ticker"))
    text = whole("ticker").replace(b'"last_price":42500.5', b'"last_price":null').replace(b"42498.1", b"42498.2")
    text = text.replace(b'"volume_usd":123456780.0', b'"volume_usd":null')
    (ticker,) = pipeline.receive(text)
    assert (ticker.last, ticker.index_price, ticker.volume) == (42500.5, 42498.2, 123456780)


# Volume of the day and of candles is in the unit of sizes: USD of inverse futures, coins of everything else.
@pytest.mark.parametrize(
    ("symbol", "volume", "bar"),
    [("BTC-PERPETUAL", 123456780, 2220), ("BTC-25DEC26", 123456780, 2220), ("BTC_USDC-PERPETUAL", 2900.5, 0.05219351),
     ("BTC_USDC", 2900.5, 0.05219351), ("BTC-25DEC26-100000-C", 2900.5, 0.05219351),
     ("XRP_USDC-30JUN23-0d625-C", 2900.5, 0.05219351)],
)  # fmt: skip
def test_volumes_are_in_the_unit_of_sizes(symbol, volume, bar):
    pipeline = Pipeline(instrument(symbol))
    (ticker,) = pipeline.receive(whole("ticker").replace(SYMBOL.encode(), symbol.encode()))
    assert ticker.volume == volume
    (candle,) = pipeline.receive(whole("bar").replace(SYMBOL.encode(), symbol.encode()))
    assert candle.volume == bar


def test_a_candle_is_a_bar_of_the_topics_length():
    (bar,) = Pipeline().receive(whole("bar"))
    assert (bar.kind, bar.interval, bar.start, bar.closed) == ("bar", 900, 1700000100000 * MS, False)
    assert (bar.open, bar.high, bar.low, bar.close) == (42500, 42510, 42495.5, 42501.5)


def test_zero_sizes_are_no_levels_of_a_snapshot():
    text = whole("snapshot").replace(b'["new",42499.5,10.0]', b'["new",42499.5,0.0]')
    (snapshot,) = Pipeline().receive(text)
    assert snapshot.bids == [(42500.0, 1000.0)]


def test_a_removed_level_needs_no_size_of_zero():
    (delta,) = live("change").receive(whole("change").replace(b'["delete",42501.0,0.0]', b'["delete",42501.0,800.0]'))
    assert delta.asks == [(42501.0, 0.0)]


def test_both_sides_may_be_empty():
    pipeline = Pipeline()
    text = frame("book.BTC-PERPETUAL.100ms", '{"type":"snapshot","timestamp":1,"instrument_name":"BTC-PERPETUAL",'
                 '"change_id":5,"prev_change_id":null,"bids":[],"asks":[]}')  # fmt: skip
    (snapshot,) = pipeline.receive(text)
    assert (snapshot.bids, snapshot.asks) == ([], [])
    assert pipeline.market.live


# ---- what is none of an instrument


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","id":3,"result":["book.BTC-PERPETUAL.100ms"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}',
        '{"jsonrpc":"2.0","id":3,"error":{"message":"x","code":13778},"usIn":1,"usOut":2,"usDiff":1,"testnet":false}',
        '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"instrument.state.any.any","data":{"state":"open"}}}',
        '{"params":{"data":{"maintenance":true},"channel":"platform_state"},"method":"subscription","jsonrpc":"2.0"}',
        '{"error":{"code":-32600,"message":"request entity too large"}}',
    ],
)
def test_control_frames_are_handed_to_the_protocol(text):
    pipeline = Pipeline()
    assert pipeline.receive(text.encode()) == []
    assert pipeline.connection.take_controls() == [text.encode()]


def test_a_topic_that_nobody_asked_for_is_counted():
    pipeline = Pipeline()
    assert pipeline.receive(frame("quote.ETH-PERPETUAL", "{}")) == []
    assert (pipeline.row()["unrouted"], pipeline.row()["malformed"]) == (1, 0)


# ---- any order, any bytes


def plain(event: Any) -> dict[str, Any]:
    fields = event.as_dict()
    del fields["position"], fields["ts_recv"], fields["ts_publish"]
    return fields


def shuffled(draw: Any, value: Any) -> Any:
    """The same with the fields of every object in another order, and unknown ones among them."""
    if isinstance(value, dict):
        fields = [*((key, shuffled(draw, inner)) for key, inner in value.items()), ("new", [{"\u20ac": None}])]
        return dict(draw(st.permutations(fields)))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [shuffled(draw, inner) for inner in value]
    return value


@samples
@given(data=st.data())
def test_order_space_and_unknown_fields_do_not_matter(name, data):
    text = json.dumps(shuffled(data.draw, json.loads(whole(name))), indent=data.draw(st.sampled_from([None, 1])))
    found = [plain(event) for event in live(name).receive(text.encode())]
    assert found == [plain(event) for event in live(name).receive(whole(name))]
    assert found


@samples
def test_every_truncation_is_refused_and_costs_its_own_book_alone(name):
    text = whole(name)
    for size in range(len(text)):
        pipeline = live(name)
        assert pipeline.receive(text[:size]) == []
        assert pipeline.row()["malformed"] == 1
        if name == "change":
            # Once the topic is known, what was cut could have been a delta.
            assert pipeline.market.live == (size < text.index(b'","data"') + 1)


@pytest.mark.parametrize("name", ["snapshot", "change", "grouped", "quote", "trades", "ticker", "bar"])
def test_a_missing_or_repeated_field_is_refused(name):
    topic, text = SAMPLES[name]
    payload = json.loads(text)
    rows = payload if isinstance(payload, list) else [payload]
    needless = {"tick_direction", "mark_price", "index_price", "contracts", "liquidation", "combo_id", "volume"}
    if name == "ticker":
        needless |= set(payload) - {"timestamp", "instrument_name"}
    for field in set(rows[0]) - needless:
        missing = json.dumps({key: value for key, value in rows[0].items() if key != field})
        repeated = json.dumps(rows[0])[:-1] + f',"{field}":{json.dumps(rows[0][field])}}}'
        for inner in (missing, repeated):
            pipeline = live(name)
            assert pipeline.receive(frame(topic, f"[{inner}]" if name == "trades" else inner)) == [], field
            assert pipeline.row()["malformed"] == 1, field


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("change", '"instrument_name":"BTC-PERPETUAL"', '"instrument_name":"ETH-PERPETUAL"'),
        ("change", '"type":"change"', '"type":"update"'),
        ("change", '"change"', '"chang\\u0065"'),
        ("change", '"change_id":107', '"change_id":100'),
        ("change", '"change_id":107', '"change_id":-1'),
        ("change", '"change_id":107', '"change_id":107.0'),
        ("change", '["change",42500.0', '["set",42500.0'),
        ("change", "42500.0,950.0]", "42500.0,950.0,1]"),
        ("change", "42500.0,950.0]", "42500.0]"),
        ("change", "42500.0,950.0]", "42500.00001,950.0]"),
        ("change", "42500.0,950.0]", "42500.0,-950.0]"),
        ("change", '"prev_change_id":100', '"prev_change_id":null'),
        ("snapshot", '"change_id":100', '"change_id":100,"prev_change_id":90'),
        ("grouped", '"change_id":108', '"change_id":108,"type":"snapshot"'),
        ("grouped", "[42501,800]", '["new",42501,800]'),
        ("quote", '"best_ask_amount":800.0', '"best_ask_amount":null'),
        ("trades", '"direction":"sell"', '"direction":"zero"'),
        ("trades", '"trade_id":"48079269"', '"trade_id":48079269'),
        ("trades", '"liquidation":"M"', '"liquidation":"X"'),
        ("bar", '"tick":1700000100000', '"tick":99999999999999999'),
    ],
)
def test_what_is_not_of_the_venues_shape_is_refused(name, old, new):
    pipeline = live(name)
    text = whole(name).decode()
    assert old in text
    assert pipeline.receive(text.replace(old, new, 1).encode()) == []
    assert pipeline.row()["malformed"] == 1


class Refused(Exception):
    """The strict reader takes this for none of the venue's."""


def strict_levels(text: bytes) -> tuple[int, int, list, list]:
    """prev_change_id, change_id and levels of a change, as a strict and slow reader has them."""

    def fields(value: Any) -> dict[str, Any]:
        if not (isinstance(value, tuple) and value[0] == "object"):
            raise Refused
        known = dict(value[1])
        names = [key for key, _ in value[1]]
        wanted = ("type", "timestamp", "instrument_name", "change_id", "prev_change_id", "bids", "asks", "channel",
                  "data", "method", "params")  # fmt: skip
        if any(names.count(name) > 1 for name in wanted):
            raise Refused
        return known

    def amount(value: Any, exponent: int) -> int:
        found = mantissa(value if isinstance(value, str) else getattr(value, "text", ""), exponent)
        if found < 0:
            raise Refused
        return found

    what = instrument()
    data = fields(fields(fields(strict_json(text))["params"])["data"])
    counts = [data["prev_change_id"], data["change_id"], data["timestamp"]]
    if data["type"] != "change" or data["instrument_name"] != SYMBOL or not all(isinstance(n, int) for n in counts):
        raise Refused
    if not 0 <= counts[0] < counts[1] < 2**63 or not 0 <= counts[2] <= (2**63 - 1) // MS:
        raise Refused
    sides = []
    for side in (data["bids"], data["asks"]):
        if not isinstance(side, list) or any(not isinstance(level, list) or len(level) != 3 for level in side):
            raise Refused
        if any(word not in ("new", "change", "delete") for word, _, _ in side):
            raise Refused
        levels = [(word, amount(px, what.px_exp), amount(sz, what.sz_exp)) for word, px, sz in side]
        sides.append([(px, 0 if word == "delete" else sz) for word, px, sz in levels])
    return counts[0], counts[1], *sides


@settings(max_examples=settings.default.max_examples * 5)
@given(data=st.data())
def test_flipped_lost_and_doubled_bytes_are_read_as_a_strict_reader_reads_them(data):
    text = bytearray(whole("change"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        how = data.draw(st.sampled_from(["flip", "set", "drop", "double"]))
        if how == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            text[at] = data.draw(st.sampled_from(b'0123456789."-,:eE+[]{} \x00\x80\xff'))
        elif how == "drop":
            del text[at]
        else:
            text.insert(at, text[at])
    assume(b"\\" not in text)
    pipeline = Pipeline()
    try:
        wanted = strict_levels(bytes(text))
    except Exception:  # whatever is wrong with it
        wanted = None
    before = wanted[0] if wanted else 100
    pipeline.receive(whole("snapshot").replace(b'"change_id":100', f'"change_id":{before}'.encode()))
    events = pipeline.receive(bytes(text))
    if wanted is None:
        assert events == []
        return
    if not events:
        # Its topic or its method was hit, so that it is nobody's.
        assert pipeline.row()["malformed"] == 0
        assert b'"channel":"book.BTC-PERPETUAL.100ms"' not in text or b'"method":"subscription"' not in text
        return
    (event,) = events
    found = [[*map(tuple, side)] for side in (event.bid_mantissas, event.ask_mantissas)]
    assert (event.prev_sequence, event.sequence, *found) == wanted


# ---- recorded frames


def test_every_recorded_frame_is_read(recordings):
    lines = (recordings / "deribit" / "ws.txt").read_text().splitlines()
    frames = [line.partition(": ")[2] for line in lines if '"method":"subscription"' in line]
    seen: dict[str, int] = {}
    for symbol in {json.loads(text)["params"]["data"]["instrument_name"] for text in frames}:
        tick = "0.0005"
        pipeline = Pipeline(instrument(symbol, tick, "0.1"))
        for kind, channel in (("book", "book"), ("ticker", "ticker")):
            pipeline.connection.route(f"{kind}.{symbol}.raw", symbol, channel, pipeline.market)
        for text in frames:
            for event in pipeline.receive(text.encode()):
                seen[event.kind] = seen.get(event.kind, 0) + 1
        assert pipeline.row()["malformed"] == 0
        assert pipeline.row()["fallbacks"] == 0
        assert pipeline.market.live
        assert pipeline.map.instrument_counters(0)["gaps"] == 0
    assert seen == {"snapshot": 10, "delta": 36, "ticker": seen["ticker"]}

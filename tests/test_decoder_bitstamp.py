"""decoders/bitstamp: every shape of the venue's messages, and nothing else."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import Refused, mantissa, strict_json

from fastfeed.instrument import Instrument, instruments
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.bitstamp import BitstampDecoder
from fastfeed_core.market import Hub
from fastfeed_core.subscription import Subscription

LISTED = {"base_currency": "BTC", "counter_currency": "USD", "trading": "Enabled"}
SPOT, PERPETUAL = instruments("bitstamp", json.dumps([
    {**LISTED, "market_symbol": "btcusd", "base_decimals": 8, "counter_decimals": 2, "market_type": "SPOT"},
    {**LISTED, "market_symbol": "btcusd-perp", "base_decimals": 5, "counter_decimals": 0, "market_type": "PERPETUAL",
     "payoff_type": "Linear"},
]))  # fmt: skip

# One message of each shape; numbers as the venue sent them (2022, 2026), long lists cut.
SAMPLES = {
    "book": (SPOT, "order_book_btcusd", "data", '{"timestamp":"1788551766","microtimestamp":"1788551766364123","bids":[["71743.85","0.00137276"],["71740.00","1.00000000"]],"asks":[["71744.00","0.18816587"]]}'),
    "diff": (SPOT, "diff_order_book_btcusd", "data", '{"timestamp":"1641343691","microtimestamp":"1641343691310202","bids":[],"asks":[["71744.38","853.01809477"],["71744.84","0.00000000"]]}'),
    "perp-book": (PERPETUAL, "order_book_btcusd-perp", "data", '{"timestamp":"1789457617","microtimestamp":"1789457617906487","bids":[["77188","0.41122"],["77183","0.32386"],["77180","1.87131"]],"asks":[["77189","0.41124"],["77193","0.32385"],["77194","1.10113"]]}'),
    "perp-diff": (PERPETUAL, "diff_order_book_btcusd-perp", "data", '{"timestamp":"1789456316","microtimestamp":"1789456316507635","bids":[["77049","0.00000"],["77035","2.45710"]],"asks":[["77409","0.00000"]]}'),
    "trade": (SPOT, "live_trades_btcusd", "trade", '{"id":619501668,"timestamp":"1787174919","amount":0.014140160000000001,"amount_str":"0.01414016","price":69590.13,"price_str":"69590.13","type":0,"microtimestamp":"1787174919977000","buy_order_id":2041200416022642,"sell_order_id":2041200408317957}'),
    "perp-trade": (PERPETUAL, "live_trades_btcusd-perp", "trade", '{"id":2001939623936278528,"id_str":"2001939623936278528","type":1,"sell_order_id":2050545352740993,"buy_order_id":2050545360601216,"amount":0.00921,"amount_str":"0.00921","price":77204,"price_str":"77204","microtimestamp":"1789456400586000","timestamp":"1789456400586"}'),
    "perp-trade-seconds": (PERPETUAL, "live_trades_btcusd-perp", "trade", '{"id":502711286,"timestamp":"1790318552","amount":0.01,"amount_str":"0.01000","price":84010,"price_str":"84010","type":0,"microtimestamp":"1790318552115000","buy_order_id":2054076731695232,"sell_order_id":2054076732833920}'),
    "funding": (PERPETUAL, "funding_rate_btcusd-perp", "funding_rate_saved", '{"market":"btcusd-perp","mark_price":"77186.81199586","index_price":"77177.99454545454","funding_rate":"0.000123","timestamp":"1789457618","next_funding_time":"1789459200"}'),
}  # fmt: skip
samples = pytest.mark.parametrize("name", SAMPLES)
CHANNELS = {"order_book": "book", "diff_order_book": "book", "live_trades": "trade", "funding_rate": "ticker"}
FIELDS = [
    "timestamp",
    "microtimestamp",
    "bids",
    "asks",
    "id",
    "type",
    "price_str",
    "amount_str",
    "market",
    "mark_price",
]


def frame(topic: str, event: str, payload: str) -> bytes:
    return f'{{"data":{payload},"channel":"{topic}","event":"{event}"}}'.encode()


def whole(name: str) -> bytes:
    _, topic, event, payload = SAMPLES[name]
    return frame(topic, event, payload)


class Pipeline:
    """The receive path of one sample's channel, over a private bus."""

    def __init__(self, name: str) -> None:
        self.instrument, topic, _, _ = SAMPLES[name]
        self.writer = BusWriter(ring=1 << 20, instruments=2)
        self.hub = Hub(self.writer, 1 << 16)
        self.market = open_market(self.hub, self.instrument, (Channel(name="book", by_request=True, chained=False),))
        self.connection = Connection(self.hub, self.writer.add_connection("test"), BitstampDecoder(), 8, 1)
        channel = CHANNELS[topic.rpartition("_")[0]]
        self.connection.route(topic, self.instrument.symbol, channel, self.market)
        self.map = BusMap(writer=self.writer)
        self._events = Subscription(self.map, None, None, "oldest")
        if "diff" in name:
            assert self.snapshot(sequence_of(name) - 1, [["60000", "1"]], [["80000", "2"]])
        self.events()

    def snapshot(self, microtimestamp: int, bids: list, asks: list) -> bool:
        body = {"timestamp": "1", "microtimestamp": str(microtimestamp), "bids": bids, "asks": asks}
        self.market.expect_snapshot()
        return self.market.apply_snapshot(BitstampDecoder(), json.dumps(body).encode(), 0, 1)

    def receive(self, text: bytes) -> list[Any]:
        self.connection.receive(text, 2)
        return [event for event in self.events() if event.kind not in ("status", "bbo")]

    def events(self) -> list[Any]:
        self.hub.flush()
        return self._events.poll(1000)

    @property
    def row(self) -> dict[str, Any]:
        return self.map.connections()[0]


def plain(events: list[Any]) -> list[dict[str, Any]]:
    fields = [event.as_dict() for event in events]
    for each in fields:
        del each["position"], each["ts_recv"], each["ts_publish"]
    return fields


@samples
def test_every_shape_is_read(name):
    what, _, _, payload = SAMPLES[name]
    pipeline = Pipeline(name)
    (event,) = pipeline.receive(whole(name))
    data = json.loads(payload)
    assert (pipeline.row["fallbacks"], pipeline.row["malformed"]) == (0, 0)
    assert (event.name, event.ts_send) == (what.name, None)
    if "funding" in name:
        assert event.ts_event == 1789457618 * 10**9
        assert (event.mark_price, event.index_price) == (77186.81199586, 77177.99454545454)
        assert (event.funding_rate, event.next_funding_time) == (0.000123, 1789459200 * 10**9)
        assert (event.last, event.open_interest, event.volume) == (None, None, None)
        return
    assert event.ts_event == int(data["microtimestamp"]) * 1000
    if "trade" in name:
        assert (event.price, event.size) == (float(data["price_str"]), float(data["amount_str"]))
        assert (event.trade_id, event.side) == (data["id"], "sell" if data["type"] else "buy")
        return
    assert event.kind == ("delta" if "diff" in name else "snapshot")
    assert event.sequence == int(data["microtimestamp"])
    assert event.bids == [(float(p), float(q)) for p, q in data["bids"]]
    assert event.asks == [(float(p), float(q)) for p, q in data["asks"]]
    assert pipeline.market.live


def test_a_whole_book_of_a_hundred_levels_says_what_it_covers():
    pipeline = Pipeline("book")
    bids = [[f"{70000 - n}.00", "1.0"] for n in range(100)]
    body = {"timestamp": "1", "microtimestamp": "2000000", "bids": bids, "asks": [["71000.00", "1.0"]]}
    assert len(pipeline.receive(frame("order_book_btcusd", "data", json.dumps(body, separators=(",", ":"))))) == 1
    assert pipeline.market.complete_to == (SPOT.to_px("69901"), None)


def test_a_whole_book_that_is_not_newer_is_dropped():
    pipeline = Pipeline("book")
    assert len(pipeline.receive(whole("book"))) == 1
    assert pipeline.receive(whole("book")) == []
    assert pipeline.receive(whole("book").replace(b"766364123", b"766364122")) == []


def test_a_difference_from_before_the_snapshot_is_dropped():
    pipeline = Pipeline("diff")
    assert pipeline.receive(whole("diff").replace(b"310202", b"310201")) == []
    assert len(pipeline.receive(whole("diff"))) == 1


def test_an_empty_level_is_none_in_a_whole_book_and_a_removal_in_a_difference():
    zero = b'["71740.00","0.00000000"]'
    pipeline = Pipeline("book")
    (event,) = pipeline.receive(whole("book").replace(b'["71740.00","1.00000000"]', zero))
    assert event.bids == [(71743.85, 0.00137276)]
    assert pipeline.row["fallbacks"] == 1
    pipeline = Pipeline("diff")
    (event,) = pipeline.receive(whole("diff").replace(b'"bids":[]', b'"bids":[["60000.00","0"]]'))
    assert event.bids == [(60000.0, 0.0)]
    assert pipeline.market.levels()[0] == []


def test_absurd_levels_are_levels():
    pipeline = Pipeline("book")
    (event,) = pipeline.receive(
        whole("book")
        .replace(b'["71740.00","1.00000000"]', b'["0.00","69.00000000"]')
        .replace(b'["71744.00","0.18816587"]', b'["9999999999.00","112716000.00000000"]')
    )
    assert event.bids[-1] == (0.0, 69.0)
    assert event.asks == [(9999999999.0, 112716000.0)]


@samples
@given(data=st.data())
def test_order_space_and_unknown_fields_do_not_matter(name, data):
    _, topic, event, payload = SAMPLES[name]
    fields = [*json.loads(payload).items(), ("new", {"deep": [1, "\u20ac\n", None, {"a": -1.5e3}]}), ("zz", "x")]
    inner = dict(data.draw(st.permutations(fields)))
    parts = [("data", inner), ("channel", topic), ("event", event), ("event_id", "00065a"), ("more", [True])]
    text = json.dumps(dict(data.draw(st.permutations(parts))), indent=data.draw(st.sampled_from([None, 1]))).encode()
    pipeline = Pipeline(name)
    assert plain(pipeline.receive(text)) == plain(Pipeline(name).receive(whole(name)))
    assert pipeline.row["fallbacks"] == (topic.rpartition("_")[0].endswith("book"))


@samples
def test_every_truncation_is_refused(name):
    text = whole(name)
    pipeline = Pipeline(name)
    for size in range(len(text)):
        assert pipeline.receive(text[:size]) == []
    assert pipeline.row["malformed"] == len(text)
    for _, offset, sample in pipeline.connection.take_malformed():
        assert 0 <= offset <= len(sample)
    # The longest of them still named the channel: it could have been a difference.
    assert len(pipeline.receive(text)) == ("diff" not in name)


def test_a_damaged_difference_costs_its_book_while_the_end_of_the_frame_names_it():
    pipeline = Pipeline("diff")
    pipeline.receive(whole("diff").replace(b'"bids"', b'"bids'))
    assert not pipeline.market.live
    pipeline = Pipeline("diff")
    pipeline.receive(whole("diff")[:-30])  # nothing is left that says of what it was
    assert pipeline.market.live
    assert pipeline.row["malformed"] == 1


@pytest.mark.parametrize(
    "text",
    [
        b'{"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}',
        b'{"event":"bts:unsubscription_succeeded","channel":"order_book_btcusd","data":{}}',
        b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
        b'{"event":"bts:request_reconnect","channel":"","data":null}',
        b'{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}',
        b'{"hello":"world"}',
    ],
)
def test_control_frames_are_handed_to_the_protocol(text):
    pipeline = Pipeline("book")
    assert pipeline.receive(text) == []
    assert pipeline.connection.take_controls() == [text]


def test_a_channel_that_nobody_asked_for_is_counted():
    pipeline = Pipeline("book")
    pipeline.receive(whole("diff"))
    pipeline.receive(whole("book").replace(b"btcusd", b"ethusd"))
    assert pipeline.row["unrouted"] == 2


@samples
def test_another_event_of_a_known_channel_is_refused(name):
    pipeline = Pipeline(name)
    event = SAMPLES[name][2].encode()
    assert pipeline.receive(whole(name).replace(b'"event":"' + event, b'"event":"order_created')) == []
    assert pipeline.row["malformed"] == 1


def test_a_field_that_is_repeated_by_an_escaped_spelling_is_refused():
    for name, extra in (("diff", b',"b\\u0069ds":[]'), ("trade", b',"\\u0069d":7'), ("funding", b',"m\\u0061rket":1')):
        pipeline = Pipeline(name)
        assert pipeline.receive(whole(name).replace(b'},"channel"', extra + b'},"channel"')) == []
        assert pipeline.row["malformed"] == 1


REST = '{"timestamp":"1","microtimestamp":"10","bids":[["100.00","1.0"]],"asks":[["101.00","1.0"]]}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(REST.replace('"asks"', '"other"'), id="asks-missing"),
        pytest.param(REST.replace('"microtimestamp"', '"other"'), id="microtimestamp-missing"),
        pytest.param(REST.replace('"10"', "10"), id="microtimestamp-bare"),
        pytest.param(REST.replace('"10"', '"-1"'), id="microtimestamp-negative"),
        pytest.param(REST.replace('"10"', '"9223372036854776"'), id="microtimestamp-too-late"),
        pytest.param(REST.replace('"1.0"]', '"1.0","17"]'), id="with-order-ids"),
        pytest.param(REST.replace('"1.0"', '"-1"'), id="size-negative"),
        pytest.param(REST.replace('"1.0"', '"0.000000001"'), id="size-inexact"),
        pytest.param(REST.replace('"bids"', '"asks"'), id="asks-repeated"),
        pytest.param(REST + " x", id="text-behind-it"),
        pytest.param('{"status":"error","reason":"x","code":"400.002"}', id="an-error"),
        pytest.param("<html>", id="a-page"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_snapshot_that_is_not_of_the_venues_shape_is_refused(body):
    pipeline = Pipeline("book")
    pipeline.market.expect_snapshot()
    with pytest.raises(ValueError, match=r"field|number|JSON|ended") as refusal:
        pipeline.market.apply_snapshot(BitstampDecoder(), body.encode(), 0, 1)
    assert 0 <= refusal.value.args[2] <= len(body)
    assert not pipeline.market.live


@given(st.integers(0, len(REST) - 1))
def test_every_truncation_of_a_snapshot_is_refused(size):
    pipeline = Pipeline("book")
    pipeline.market.expect_snapshot()
    with pytest.raises(ValueError, match=r"ended|not JSON|field"):
        pipeline.market.apply_snapshot(BitstampDecoder(), REST[:size].encode(), 0, 1)


# A strict and slow reader


class Strict:
    """What a strict reader makes of a frame of one sample's channel; Refused."""

    def __init__(self, name: str) -> None:
        self.what: Instrument
        self.what, self.topic, self.event, _ = SAMPLES[name]
        self.kind = self.topic.rpartition("_")[0]

    def read(self, text: bytes) -> dict[str, Any] | None:
        """The event; None for what is none."""
        try:
            parts = self._known(strict_json(text), "data channel event")
        except (ValueError, RecursionError) as error:
            raise Refused(str(error)) from None
        for name in ("channel", "event"):
            if not isinstance(parts.get(name, ""), str):
                raise Refused(name)
        if len(parts) < 3 or parts["event"].startswith("bts:") or parts["channel"] != self.topic:
            return None
        if parts["event"] != self.event:
            raise Refused("event")
        reader = {"live_trades": self._trade, "funding_rate": self._funding}.get(self.kind, self._book)
        return reader(parts["data"])

    def _known(self, value: Any, names: str, required: str = "") -> dict[str, Any]:
        if not (isinstance(value, tuple) and value[0] == "object"):
            raise Refused("not an object")
        found: dict[str, Any] = {}
        for key, inner in value[1]:
            if key in names.split():
                if key in found:
                    raise Refused(f"{key} is repeated")
                found[key] = inner
        if not set(required.split()) <= found.keys():
            raise Refused("missing")
        return found

    def _quoted(self, value: Any, greatest: int) -> int:
        if not isinstance(value, str) or not re.fullmatch("-?(0|[1-9][0-9]*)", value, re.ASCII):
            raise Refused("no count in quotes")
        if not 0 <= int(value) <= greatest:
            raise Refused("out of range")
        return int(value)

    def _text(self, value: Any) -> str:
        text = value if isinstance(value, str) else getattr(value, "text", None)
        if text is None:
            raise Refused(f"no number: {value!r}")
        return text

    def _amount(self, value: Any, exponent: int) -> int:
        found = mantissa(self._text(value), exponent)
        if found < 0:
            raise Refused("negative")
        return found

    def _book(self, data: Any) -> dict[str, Any]:
        names = "microtimestamp bids asks"
        fields = self._known(data, names, names)
        last = self._quoted(fields["microtimestamp"], (2**63 - 1) // 1000)
        sides = []
        for side in (fields["bids"], fields["asks"]):
            if not isinstance(side, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in side):
                raise Refused("levels")
            pairs = [(self._amount(p, self.what.px_exp), self._amount(q, self.what.sz_exp)) for p, q in side]
            sides.append([pair for pair in pairs if pair[1] or self.kind == "diff_order_book"])
        kind = "delta" if self.kind == "diff_order_book" else "snapshot"
        return {"kind": kind, "sequence": last, "ts_event": last * 1000, "bids": sides[0], "asks": sides[1]}

    def _trade(self, data: Any) -> dict[str, Any]:
        names = "id type price_str amount_str microtimestamp"
        fields = self._known(data, names, names)
        number, side = fields["id"], fields["type"]
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63 or number.text[0] == "-":
            raise Refused("id")
        if not isinstance(side, int) or isinstance(side, bool) or side not in (0, 1):
            raise Refused("type")
        px, sz = (
            self._amount(fields["price_str"], self.what.px_exp),
            self._amount(fields["amount_str"], self.what.sz_exp),
        )
        ts = self._quoted(fields["microtimestamp"], (2**63 - 1) // 1000) * 1000
        return {"kind": "trade", "trade_id": int(number), "side": "sell" if side else "buy", "px": px, "sz": sz,
                "ts_event": ts}  # fmt: skip

    def _funding(self, data: Any) -> dict[str, Any] | None:
        prices = "mark_price index_price funding_rate"
        fields = self._known(data, f"market timestamp next_funding_time {prices}", "market timestamp")
        if fields["market"] != "btcusd-perp":
            raise Refused("market")
        most = (2**63 - 1) // 10**9
        found: dict[str, Any] = {"kind": "ticker", "ts_event": self._quoted(fields["timestamp"], most) * 10**9}
        if "next_funding_time" in fields:
            found["next_funding_time"] = self._quoted(fields["next_funding_time"], most) * 10**9
        for name in prices.split():
            if fields.get(name) not in (None, ""):
                found[name] = self._free(self._text(fields[name]))
        return found if len(found) > 2 else None  # nothing new is not published

    def _free(self, text: str) -> float:
        """A number of any exponent that int64 and an exponent of three digits hold."""
        if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text, re.ASCII):
            raise Refused("no number")
        value = Decimal(text)
        _, digits, exponent = value.as_tuple()
        whole = "".join(map(str, digits)).rstrip("0")
        if value and (int(whole) >= 2**63 or abs(int(exponent) + len(digits) - len(whole)) > 100):
            raise Refused("out of range")
        return float(value)


def outcome(name: str, text: bytes) -> tuple[int, dict[str, Any] | None]:
    """How many frames were refused (0 or 1), and the event, as the strict reader says it."""
    pipeline = Pipeline(name)
    events = pipeline.receive(text)
    assert len(events) <= 1
    if not events:
        return pipeline.row["malformed"], None
    (event,) = events
    found = {"kind": event.kind, "ts_event": event.ts_event}
    if event.kind in ("delta", "snapshot"):
        found |= {"sequence": event.sequence, "bids": [*map(tuple, event.bid_mantissas)],
                  "asks": [*map(tuple, event.ask_mantissas)]}  # fmt: skip
    elif event.kind == "trade":
        found |= {key: getattr(event, key) for key in ("trade_id", "px", "sz", "side")}
    else:
        names = ("mark_price", "index_price", "funding_rate", "next_funding_time")
        found |= {key: getattr(event, key) for key in names if getattr(event, key) is not None}
    return pipeline.row["malformed"], found


def hold_against_the_strict_reader(name: str, text: bytes) -> None:
    refusal = None
    try:
        wanted = Strict(name).read(text)
    except Refused as why:
        refusal = why
    if refusal is not None:
        assert outcome(name, text) == (1, None), f"must be refused: {refusal}"
        return
    if wanted is not None and wanted["kind"] == "delta" and wanted["sequence"] < sequence_of(name):
        wanted = None  # older than the book
    assert outcome(name, text) == (0, wanted)


def sequence_of(name: str) -> int:
    return int(json.loads(SAMPLES[name][3])["microtimestamp"])


MANY = settings(max_examples=settings.default.max_examples * 5 // 2)
JUNK = [None, True, False, 0, -1, 1.5, "", "x", "-1", "1e2", "0.1e1", "01", "1.", "+1", " 1", "1 ", "0", "-0", "0.0",
        [], {}, [1], 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, "9223372036854775807", "9223372036854775",
        "9223372036", "1e99", "NaN", "0.000000001", "12345678.12345678", "123456789012345678901", "btcusd",
        [["1", "2"]], [["1", "2"], ["1"]], [["1", "2", "3"]], [[1, 2.50]], [["1", None]], ["12"], [["1", "0.0"]]]  # fmt: skip


@samples
@MANY
@given(data=st.data())
def test_any_values_in_any_order_are_read_as_a_strict_reader_reads_them(name, data):
    _, topic, event, payload = SAMPLES[name]
    fields = json.loads(payload)
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        # Values of other fields are the likeliest to be taken for something that they are not.
        fields[key] = data.draw(st.sampled_from([*JUNK, *fields.values()]))
    order = list(fields.items())
    if data.draw(st.booleans()):
        order = data.draw(st.permutations(order))
    if data.draw(st.booleans()):
        order.insert(data.draw(st.integers(0, len(order))), (data.draw(st.sampled_from(FIELDS)), "1"))
    if data.draw(st.booleans()):
        del order[data.draw(st.integers(0, len(order) - 1))]
    inner = ",".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in order)
    space = data.draw(st.sampled_from(["", "", " ", "\n\t"]))
    hold_against_the_strict_reader(name, frame(topic, event, f"{space}{{{inner}}}"))


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


@samples
def test_every_single_byte_of_a_message_matters_or_is_ignored_on_purpose(name):
    text = whole(name)
    for at in range(len(text)):
        for other in (b"0", b'"', b"}", b"."):
            hold_against_the_strict_reader(name, text[:at] + other + text[at + 1 :])


def test_recorded_messages_are_read_without_a_doubt(recordings):
    """All 727 frames, each on a path of its own exponents; none falls back."""
    rows = [line for line in (recordings / "bitstamp" / "ws.txt").read_text().splitlines() if ': {"data"' in line]
    listing = [
        {**LISTED, "base_currency": symbol, "market_symbol": symbol, "base_decimals": base, "counter_decimals": 8,
         "market_type": "SPOT"}
        for symbol, base in {row.rpartition('_')[2].partition('"')[0]: 8 for row in rows if "diff" in row}.items()
    ]  # fmt: skip
    found = {each.symbol: each for each in instruments("bitstamp", json.dumps(listing))}
    writer = BusWriter(ring=1 << 22, instruments=len(found))
    hub = Hub(writer, 1 << 20)
    connection = Connection(hub, writer.add_connection("test"), BitstampDecoder(), 2 * len(found), 1)
    for symbol, each in found.items():
        market = open_market(hub, each, (Channel(name="book", by_request=True, chained=False),))
        connection.route(f"diff_order_book_{symbol}", symbol, "book", market)
        connection.route(f"live_trades_{symbol}", symbol, "trade", market)
    for row in rows:
        connection.receive(row.partition(": ")[2].encode(), 2)
    hub.flush()
    counts = BusMap(writer=writer).connections()[0]
    assert (counts["frames"], counts["malformed"], counts["fallbacks"], counts["unrouted"]) == (727, 0, 0, 0)

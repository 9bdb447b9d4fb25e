"""decoders/krakenfutures: every shape of the venue's messages, and nothing else."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import Refused, StrictBinance, strict_json
from pipeline import Pipeline

import fastfeed
from fastfeed_core import drive
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.krakenfutures import KrakenFuturesDecoder

LISTING = b'{"result":"success","instruments":[{"symbol":"PI_XBTUSD","type":"futures_inverse","tickSize":0.5,"contractSize":1,"tradeable":true,"contractValueTradePrecision":0},{"symbol":"PF_PEPEUSD","type":"flexible_futures","tickSize":1e-10,"contractSize":1,"tradeable":true,"contractValueTradePrecision":-3}]}'
XBT, PEPE = fastfeed.instruments("krakenfutures", LISTING)

# One message of each shape, composed after the venue's documentation or as recorded.
SAMPLES = {
    "delta": '{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326072250,"price":34981,"qty":120,"timestamp":1612269953629}',
    "delta-recorded": '{"feed":"book","product_id":"PI_XBTUSD","side":"buy","seq":326072250,"price":34981.5,"qty":4787.0,"timestamp":1626994927744}',
    "delta-remove": '{"feed":"book","product_id":"PI_XBTUSD","side":"buy","seq":326072250,"price":34000.0,"qty":0,"timestamp":1612269953629}',
    "trade": '{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell","type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}',
    "trade-liquidation": '{"feed":"trade","product_id":"PI_XBTUSD","uid":"e2429e31-8b9d-4195-900e-fd42be2dec89","side":"buy","type":"liquidation","seq":5956,"time":1626994929946,"qty":320.0,"price":34969.0}',
    "snapshot": '{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":[{"price":34892.5,"qty":6385},{"price":34892,"qty":0},{"price":34891.5,"qty":100.0}],"asks":[{"price":34911.5,"qty":0.0},{"price":34912,"qty":2300}]}',
    "trades": '{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[{"feed":"trade","product_id":"PI_XBTUSD","uid":"caa9c653-420b-4c24-a9f2-462a054d86f1","side":"sell","type":"liquidation","seq":655508,"time":1612269657781,"qty":440,"price":34893},{"feed":"trade","product_id":"PI_XBTUSD","uid":"45ee9737-1877-4682-bc68-e4ef818ef88a","side":"buy","type":"fill","seq":655507,"time":1612269656839,"qty":9643,"price":34891}]}',
    "ticker": '{"time":1676393235406,"product_id":"PI_XBTUSD","funding_rate":-6.2604214e-11,"funding_rate_prediction":-3.65989977e-10,"relative_funding_rate":-1.380384722222e-6,"relative_funding_rate_prediction":-8.047629166667e-6,"next_funding_rate_time":1676394000000,"feed":"ticker","bid":21978.5,"ask":21987.0,"bid_size":2536.0,"ask_size":13948.0,"volume":31403908.0,"dtm":0,"leverage":"50x","index":21984.54,"premium":-0.0,"last":21983.5,"change":1.9974017538161748,"suspended":false,"tag":"perpetual","pair":"XBT:USD","openInterest":30072580.0,"markPrice":21979.68641534714,"maturityTime":0,"post_only":false,"volumeQuote":31403908.0,"open":21968.5,"high":22123.0,"low":21456.0}',
    "ticker-dated": '{"time":1676393235406,"product_id":"PI_XBTUSD","feed":"ticker","bid":21978.5,"ask":21987.0,"bid_size":2536.0,"ask_size":13948.0,"volume":31403908,"dtm":40,"leverage":"50x","index":21984.54,"premium":0.1,"last":21983.5,"change":1.9,"suspended":false,"tag":"quarter","pair":"XBT:USD","openInterest":30072580.0,"markPrice":21979.68641534714,"maturityTime":1680276600000,"post_only":false,"volumeQuote":31403908.0,"open":21968.5,"high":22123.0,"low":21456.0}',
}  # fmt: skip
samples = pytest.mark.parametrize("name", SAMPLES)
flat = pytest.mark.parametrize("name", ["delta", "delta-recorded", "delta-remove", "trade", "trade-liquidation"])


class Contract(Pipeline):
    """One contract on one connection, subscribed to all that the venue has."""

    wants = ("trade", "liquidation")

    def connect(self) -> Connection:
        connection = Connection(self.hub, self.writer.add_connection("test"), KrakenFuturesDecoder(), 8, self.ts)
        symbol = self.instrument.symbol
        for feed in ("book", "ticker"):
            connection.route(f"{feed}:{symbol}", symbol, feed, self.market)
        for channel in self.wants:
            connection.route(f"trade:{symbol}", symbol, channel, self.market, carrier="trade")
        return connection

    def say(self, text: str | bytes | dict[str, Any]) -> list[Any]:
        text = json.dumps(text, separators=(",", ":")) if isinstance(text, dict) else text
        return self.receive(text.encode() if isinstance(text, str) else text)


def live(what: fastfeed.Instrument = XBT) -> Contract:
    """A path whose book stands right before the deltas of the samples."""
    path = Contract(what)
    path.say(SAMPLES["snapshot"].replace("PI_XBTUSD", what.symbol))
    assert path.market.live
    return path


def plain(event: Any) -> dict[str, Any]:
    fields = event.as_dict()
    del fields["position"], fields["ts_recv"], fields["ts_publish"]
    return fields


def test_a_delta_is_one_level_of_one_side():
    path = live()
    (event,) = path.say(SAMPLES["delta"])
    assert (event.kind, event.bids, event.asks) == ("delta", [], [(34981.0, 120.0)])
    assert (event.prev_sequence, event.sequence) == (326072249, 326072250)
    assert event.ts_event == event.ts_send == 1612269953629 * 10**6
    (event,) = live().say(SAMPLES["delta-remove"])
    assert (event.bids, event.asks) == ([(34000.0, 0.0)], [])
    assert path.row()["fallbacks"] == 0


def test_a_snapshot_is_a_book_without_its_levels_of_size_zero():
    path = Contract(XBT)
    snapshot, status = path.say(SAMPLES["snapshot"])
    assert (snapshot.kind, status.state) == ("snapshot", "live")
    assert (snapshot.sequence, snapshot.ts_event) == (326072249, 1612269825817 * 10**6)
    bids, asks = path.levels()
    assert bids == [(Decimal("34892.5"), 6385), (Decimal("34891.5"), 100)]
    assert asks == [(34912, 2300)]


def test_a_trade_has_the_takers_side_and_a_uuid():
    path = live()
    (event,) = path.say(SAMPLES["trade"])
    assert (event.kind, event.side, event.price, event.size) == ("trade", "sell", 34969.5, 15000.0)
    assert (event.trade_id, event.sequence) == ("05af78ac-a774-478c-a50c-8b9c234e071e", 653355)
    assert event.ts_event == 1612266317519 * 10**6
    assert path.row()["fallbacks"] == 0


def test_a_liquidation_is_a_trade_and_a_liquidation_as_far_as_they_are_wanted():
    path = live()
    trade, liquidation = path.say(SAMPLES["trade-liquidation"])
    assert (trade.kind, liquidation.kind) == ("trade", "liquidation")
    assert (liquidation.side, liquidation.price, liquidation.size) == ("buy", 34969.0, 320.0)
    for wants in ("trade", "liquidation"):
        path = Contract(XBT)
        path.wants = (wants,)
        path.connections = [path.connect()]
        assert [event.kind for event in path.say(SAMPLES["trade-liquidation"])] == [wants]


def test_trades_from_before_the_subscription_count_only_if_they_were_missed():
    path = live()
    assert path.say(SAMPLES["trades"]) == []
    assert path.say(SAMPLES["trades"]) == []
    path = live()
    path.say(SAMPLES["trade"].replace("653355", "655506"))
    events = path.say(SAMPLES["trades"])
    assert [(event.kind, event.sequence) for event in events] == [
        ("trade", 655507), ("trade", 655508), ("liquidation", 655508),
    ]  # fmt: skip
    assert [event.ts_event // 10**6 for event in events[:2]] == [1612269656839, 1612269657781]


def test_a_ticker_has_the_relative_rate_and_zero_where_it_is_left_out():
    path = live()
    (event,) = path.say(SAMPLES["ticker"])
    assert (event.last, event.mark_price, event.index_price) == (21983.5, 21979.68641534714, 21984.54)
    assert (event.open_interest, event.volume) == (30072580.0, 31403908.0)
    assert (event.funding_rate, event.next_funding_time) == (-1.380384722222e-6, 1676394000000 * 10**6)
    assert event.ts_event == 1676393235406 * 10**6
    without = json.loads(SAMPLES["ticker"])
    without = {key: value for key, value in without.items() if "funding_rate" not in key or "time" in key}
    (event,) = path.say(without | {"time": 1676393236406})
    assert event.funding_rate == 0.0
    (event,) = live().say(SAMPLES["ticker-dated"])
    assert (event.funding_rate, event.next_funding_time, event.last) == (None, None, 21983.5)


def test_tiny_prices_have_exponents_and_stay_exact():
    path = live(PEPE)
    delta = SAMPLES["delta-recorded"].replace("PI_XBTUSD", "PF_PEPEUSD")
    path.say(delta.replace("34981.5", "4.1237e-6").replace("4787.0", "123456789000.0"))
    assert path.levels()[0][-1] == (Decimal("0.0000041237"), 123456789000)


def test_symbols_are_the_same_in_any_case():
    path = live()
    (event,) = path.say(SAMPLES["delta"].replace("PI_XBTUSD", "pi_xbtUSD"))
    assert event.kind == "delta"


@pytest.mark.parametrize(
    "text",
    ['{"event":"info","version":1}', '{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}',
     '{"event":"alert","message":"Already subscribed to feed, re-requesting"}',
     '{"event":"error","message":"Invalid product id"}'],
)  # fmt: skip
def test_control_frames_are_handed_to_the_protocol(text):
    path = Contract(XBT)
    assert path.say(text) == []
    assert path.connections[0].take_controls() == [text.encode()]


def test_what_nobody_asked_for_is_counted():
    path = Contract(XBT)
    for text in ('{"feed":"heartbeat","time":1534262350627}', SAMPLES["delta"].replace("PI_", "FI_"), "{}",
                 '{"feed":"ticker_lite","product_id":"PI_XBTUSD","bid":1}'):  # fmt: skip
        assert path.say(text) == []
    assert path.row()["unrouted"] == 4


@samples
@given(data=st.data())
def test_order_space_and_unknown_fields_do_not_matter(name, data):
    fields = [*json.loads(SAMPLES[name]).items(), ("new", {"deep": [1, "\u20ac\n", None, {"a": -1.5e3}]}), ("zz", "x")]
    shuffled = dict(data.draw(st.permutations(fields)))
    path, reference = live(), live()
    found = path.say(json.dumps(shuffled, indent=data.draw(st.sampled_from([None, 1]))))
    assert [*map(plain, found)] == [*map(plain, reference.say(SAMPLES[name]))]
    assert path.row()["malformed"] == 0
    assert path.levels() == reference.levels()


@samples
def test_every_truncation_is_refused_and_costs_no_other_message(name):
    text = SAMPLES[name].encode()
    path = live()
    for size in range(len(text)):
        path.say(text[:size])
    assert path.row()["malformed"] == len(text)
    for _, offset, sample in path.connections[0].take_malformed():
        assert 0 <= offset <= len(sample)
    assert [event.kind for event in path.say(SAMPLES["trade"])] == ["trade"]


@pytest.mark.parametrize("name", ["delta", "trade", "snapshot", "ticker"])
def test_a_missing_or_repeated_field_is_refused(name):
    data = json.loads(SAMPLES[name])
    needed = {"ticker": ["feed", "product_id", "time"]}.get(name, [key for key in data if key != "tickSize"])
    for field in needed:
        path = live()
        path.say({key: value for key, value in data.items() if key != field})
        # Without a feed it could be anything.
        assert path.row()["malformed"] == (field != "feed"), field
        path = live()
        path.say(f'{SAMPLES[name][:-1]},"{field}":{json.dumps(data[field])}}}')
        assert path.row()["malformed"] == 1, field


def test_a_refused_delta_costs_the_book_and_a_refused_trade_does_not():
    path = live()
    (event,) = path.say(SAMPLES["delta"].replace("34981", "34981.00001"))
    assert (event.kind, event.state, event.reason) == ("status", "syncing", "malformed")
    path = live()
    assert path.say(SAMPLES["trade"].replace("sell", "hold")) == []
    assert path.market.live


@pytest.mark.parametrize(
    ("name", "was", "becomes"),
    [
        ("delta", '"feed"', '"f\\u0065ed"'),
        ("delta", '"book"', '"b\\u006fok"'),
        ("delta", '"qty":120', '"qty":120,"q\\u0074y":120'),
        ("trades", '"product_id":"PI_XBTUSD","uid"', '"product_id":"FI_XBTUSD","uid"'),
        ("trades", "]", ",]"),
        ("snapshot", "]", ",]"),
        ("snapshot", '"seq":326072249', '"seq":-1'),
        ("delta", '"seq":326072250', '"seq":0'),
        ("ticker", '"time":1676393235406', '"time":-5'),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(name, was, becomes):
    path = live()
    assert was in SAMPLES[name]
    path.say(SAMPLES[name].replace(was, becomes, 1))
    assert path.row()["malformed"] == 1


# A strict and slow reader of deltas and trades


class StrictKraken(StrictBinance):
    def read(self, text: bytes) -> dict[str, Any] | None:
        try:
            frame = strict_json(text)
        except (ValueError, RecursionError) as error:
            raise Refused(str(error)) from None
        outer = self._known(frame, {"feed", "product_id", "event"})
        if not all(isinstance(outer.get(key, ""), str) for key in ("feed", "product_id")):
            raise Refused("no text")
        if "event" in outer:
            return None
        head = outer.get("feed", "").removesuffix("_snapshot")
        if head not in ("book", "trade", "ticker") or outer["feed"] == "ticker_snapshot":
            return None
        if not outer.get("product_id", "").isascii() or "product_id" not in outer:
            raise Refused("product_id")
        if outer["product_id"].upper() != XBT.symbol:
            return None
        if outer["feed"] == "book":
            return self._delta(frame)
        if outer["feed"] == "trade":
            return self._deal(frame)
        raise Refused("another shape")

    def _of(self, frame: Any, names: str) -> dict[str, Any]:
        fields = self._known(frame, set(names.split()))
        for name in names.split():
            if name not in fields:
                raise Refused(f"{name} is missing")
        if fields["side"] not in ("buy", "sell"):
            raise Refused("side")
        return fields

    def _delta(self, frame: Any) -> dict[str, Any]:
        fields = self._of(frame, "feed product_id side seq price qty timestamp")
        level = self._amount(fields["price"], self.px_exp), self._amount(fields["qty"], self.sz_exp)
        sequence = self._count(fields["seq"])
        if not sequence:
            raise Refused("seq")
        return {"kind": "delta", "sequence": sequence, "side": fields["side"], "level": level,
                "ts_event": self._count(fields["timestamp"], self.MAX_MS) * 10**6}  # fmt: skip

    def _deal(self, frame: Any) -> dict[str, Any]:
        fields = self._of(frame, "feed product_id uid side type seq time qty price")
        uid = fields["uid"]
        if not isinstance(fields["type"], str) or not isinstance(uid, str) or not uid or not uid.isascii():
            raise Refused("type or uid")
        found: int | str = uid
        if re.fullmatch(r"0|[1-9]\d{0,18}", uid):
            found = int(uid)
        elif re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uid):
            found = uid.lower()
        elif len(uid) > 16:
            raise Refused("uid")
        return {"kind": "trade", "trade_id": found, "sequence": self._count(fields["seq"]), "side": fields["side"],
                "px": self._amount(fields["price"], self.px_exp), "sz": self._amount(fields["qty"], self.sz_exp),
                "ts_event": self._count(fields["time"], self.MAX_MS) * 10**6}  # fmt: skip


MANY = settings(max_examples=settings.default.max_examples * 5 // 2)
JUNK = [None, True, 0, -1, 1.5, "", "x", "1e2", "01", "0", "-0", [], {}, 2**53, 2**63 - 1, 2**63, 10**30, "1e400",
        "0.000000001", "PI_XBTUSD", "pi_xbtusd", "buy", "sell", "book", "trade", "event", "12345678901234567",
        "05af78ac-a774-478c-a50c-8b9c234e071", "05AF78AC-a774-478c-a50c-8b9c234e071e", "7"]  # fmt: skip


def hold_against_the_strict_reader(text: bytes) -> None:
    wanted: Any = None
    refused = 0
    try:
        wanted = StrictKraken(XBT.px_exp, XBT.sz_exp, {}).read(text)
    except Refused:
        refused = 1
    path = Contract(XBT)
    before = wanted["sequence"] - 1 if wanted and wanted["kind"] == "delta" else 326072249
    path.say(SAMPLES["snapshot"].replace("326072249", str(before)))
    found: Any = None
    for event in path.say(text):
        if event.kind == "delta":
            side, levels = ("buy", event.bid_mantissas) if event.bids else ("sell", event.ask_mantissas)
            found = {"kind": "delta", "sequence": event.sequence, "side": side, "level": tuple(levels[0])}
        elif event.kind == "trade":
            found = {key: getattr(event, key) for key in ("kind", "trade_id", "sequence", "side", "px", "sz")}
        if found and event.kind in ("delta", "trade"):
            found["ts_event"] = event.ts_event
    assert (path.row()["malformed"], found) == (refused, wanted), text


@flat
@MANY
@given(data=st.data())
def test_any_values_in_any_order_are_read_as_a_strict_reader_reads_them(name, data):
    fields = json.loads(SAMPLES[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        fields[key] = data.draw(st.sampled_from([*JUNK, *fields.values()]))
    order = list(fields.items())
    if data.draw(st.booleans()):
        order = data.draw(st.permutations(order))
    if data.draw(st.booleans()):
        extra = data.draw(st.sampled_from(["seq", "qty", "price", "time", "timestamp", "event", "type", "uid", "bids"]))
        order.insert(data.draw(st.integers(0, len(order))), (extra, 1))
    if data.draw(st.booleans()):
        del order[data.draw(st.integers(0, len(order) - 1))]
    inner = ",".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in order)
    space = data.draw(st.sampled_from(["", "", " ", "\n\t"]))
    hold_against_the_strict_reader(f"{{{space}{inner}{space}}}".encode())


@flat
@MANY
@given(data=st.data())
def test_flipped_lost_and_doubled_bytes_are_read_as_a_strict_reader_reads_them(name, data):
    text = bytearray(SAMPLES[name].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        how = data.draw(st.sampled_from(["flip", "set", "drop", "double"]))
        if how == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            text[at] = data.draw(st.sampled_from(b'0123456789."-,:eE+[]{} \\\x00\x80\xff'))
        elif how == "drop":
            del text[at]
        else:
            text.insert(at, text[at])
    assume(b"\\" not in text)  # spellings by escape are another test's
    hold_against_the_strict_reader(bytes(text))


@flat
def test_every_single_byte_of_a_message_matters_or_is_ignored_on_purpose(name):
    text = SAMPLES[name].encode()
    for at in range(len(text)):
        for other in (b"0", b'"', b"}", b"."):
            hold_against_the_strict_reader(text[:at] + other + text[at + 1 :])


@MANY
@given(data=st.data())
def test_a_mutated_snapshot_or_ticker_is_refused_or_read_as_json_says(data):
    name = data.draw(st.sampled_from(["snapshot", "ticker", "trades"]))
    text = bytearray(SAMPLES[name].encode())
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + 1] = data.draw(st.sampled_from([b"", b"0", b'"', b"}", b"]", b"-", b".", b"e", b",", b"\x80"]))
    path = Contract(XBT)
    events = path.say(bytes(text))
    if not path.row()["malformed"]:
        message = json.loads(bytes(text))
        if events and events[0].kind == "snapshot":
            for side, rows in zip(path.levels(), (message["bids"], message["asks"]), strict=True):
                wanted = {float(row["price"]): float(row["qty"]) for row in rows if float(row["qty"])}
                assert {float(price): float(size) for price, size in side} == wanted


# Recorded


def test_all_recorded_messages_are_read_by_their_scanners_without_a_gap_or_an_allocation(recordings):
    lines = [line.partition(": ")[2] for line in (recordings / "kraken_futures" / "ws.txt").read_text().splitlines()]
    listing = (recordings / "kraken_futures" / "instruments.txt").read_text().splitlines()[0].partition(": ")[2]
    deltas = 0
    for what in fastfeed.instruments("krakenfutures", listing):
        # The listing of 2021 was in lower case.
        path = Contract(msgspec.structs.replace(what, symbol=what.symbol.upper()))
        own = [line.encode() for line in lines if line.startswith('{"feed"') and f'"{path.instrument.symbol}"' in line]
        frames = drive.Frames([line for line in own if b"ticker_lite" not in line] or [b"{}"])
        assert drive.count_allocations(path.connections[0], frames, 1, 1) == 0
        row = path.row()
        assert (row["malformed"], row["fallbacks"], path.counters()["gaps"]) == (0, 0, 0)
        deltas += path.counters()["deltas"]
    assert deltas == 7014

"""message: tickers, bars, liquidations and statuses as a consumer sees them, as objects and as arrays."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import Wire

from fastfeed_core.message import INSTRUMENT_STATUSES, KINDS, REASONS
from fastfeed_core.records import Reason, ScopeCode, State, dtype
from fastfeed_core.subscription import Subscription

ABSENT = -(2**63)
FIELDS = ("last", "mark_price", "index_price", "open_interest", "funding_rate", "volume")
COMMON = {"kind", "name", "sequence", "ts_event", "ts_send", "ts_recv", "ts_publish", "position"}
number = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)


@given(st.dictionaries(st.sampled_from(FIELDS), number, min_size=1), st.integers(1, 2**62))
def test_a_ticker_has_what_the_venue_gave_exactly(values, next_funding):
    wire = Wire()
    fields = {name: str(value).encode() for name, value in values.items()}
    (event,) = wire.send("ticker", "ticker", fields=fields | {"next_funding_time": b"%d" % next_funding}, ts_event=5)
    assert event.decimals() == values
    for name in FIELDS:
        assert getattr(event, name) == (float(values[name]) if name in values else None)
    said = event.as_dict()
    assert set(said) == COMMON | set(FIELDS) | {"next_funding_time"}
    # A mantissa of fewer digits than the time has zeros behind it is still that time.
    assert event.next_funding_time == next_funding
    assert (event.ts_event, event.sequence, event.kind) == (5, None, "ticker")


def test_a_value_of_zero_is_a_value():
    wire = Wire()
    (event,) = wire.send("ticker", "ticker", fields={"funding_rate": b"0.0000"})
    assert (event.funding_rate, event.last) == (0, None)
    assert event.decimals() == {"funding_rate": Decimal(0)}
    assert "last=" not in repr(event)


@pytest.mark.parametrize("text", ["1e-20", "1e22", "9007199254740993", "0.30000000000000004", "1e100", "1e-100"])
def test_a_float_is_the_nearest_to_the_exact_value(text):
    wire = Wire()
    (event,) = wire.send("ticker", "ticker", fields={"last": text.encode()})
    assert event.last == float(text)
    assert event.decimals()["last"] == Decimal(text)


def test_a_bar():
    wire = Wire()
    px = wire.instrument.to_px("12.34")
    bar = {"start": 60, "interval": 3600, "prices": (px, px + 100, px - 100, px), "volume": b"1.5e3", "closed": True}
    (event,) = wire.send("bar", "bar", bars=[bar], ts_event=7, last=99)
    assert (event.open, event.high, event.low, event.close) == (12.34, 12.35, 12.33, 12.34)
    assert (event.start, event.interval, event.volume, event.closed) == (60, 3600, 1500, True)
    assert (event.sequence, event.ts_event) == (None, 7)
    assert set(event.as_dict()) == COMMON | {"start", "interval", "open", "high", "low", "close", "volume", "closed"}


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_liquidation(side):
    wire = Wire()
    px, sz = wire.instrument.to_px("12.34"), wire.instrument.to_sz("0.5")
    (event,) = wire.send("liquidation", "liquidation", deals=[{"px": px, "sz": sz, "side": side}], ts_send=3)
    assert (event.price, event.size, event.px, event.sz, event.side) == (12.34, 0.5, px, sz, side)
    assert (event.ts_event, event.ts_send) == (None, 3)
    assert event.as_dict()["side"] == side


@pytest.mark.parametrize("word", INSTRUMENT_STATUSES)
def test_a_status_of_an_instrument(word):
    wire = Wire()
    index = INSTRUMENT_STATUSES.index(word)
    wire.writer.status(0, -1, ScopeCode.SCOPE_INSTRUMENT, State.STATE_LIVE, Reason.REASON_INSTRUMENT, 5, index)
    (event,) = wire.events()
    assert (event.instrument_status, event.reason, event.state, event.connection) == (word, "instrument", "live", None)


def test_other_statuses_say_nothing_of_the_instrument():
    wire = Wire()
    for reason in Reason:
        if reason != Reason.REASON_INSTRUMENT:
            wire.writer.status(0, 0, ScopeCode.SCOPE_INSTRUMENT, State.STATE_SYNCING, reason, 5)
    events = wire.events()
    assert {event.instrument_status for event in events} == {None}
    assert [event.reason for event in events] == [word for word in REASONS if word != "instrument"]


def test_arrays_of_all_kinds_hold_what_the_objects_say():
    pytest.importorskip("numpy")
    wire = Wire()
    arrays = Subscription(wire.bus.map, None, None, "oldest")
    sent = []
    sent += wire.book("snapshot", last=1, bids=[(1, 1)])
    sent += wire.book("delta", prev=1, last=2, bids=[(2, 2)], asks=[(3, 3)])
    sent += wire.send("bbo", "bbo", quote=(1, 2, None, 0), last=5)
    sent += wire.send("trade", "trade", deals=[{"px": 7, "sz": 8, "id": b"9"}])
    sent += wire.send("ticker", "ticker", fields={"last": b"1.5", "volume": b"20"}, ts_event=3)
    sent += wire.send("ticker", "ticker", fields={"mark_price": b"1.25"}, ts_event=4)
    sent += wire.send("bar", "bar", bars=[{"start": 60, "prices": (1, 4, 1, 2), "volume": b"2.5"}])
    sent += wire.send("liquidation", "liquidation", deals=[{"px": 5, "sz": 6, "side": "sell"}])
    batch = arrays.batch()
    assert set(batch) == {*KINDS, "levels"}
    for kind, rows in batch.items():
        if kind == "levels":
            assert rows.dtype == dtype("LevelPair")
            continue
        record = "LevelsRecord" if kind in ("delta", "snapshot") else f"{kind.capitalize()}Record"
        fields = set(dtype(record).names) - {"stamp"}
        assert fields < set(rows.dtype.names)
        assert set(rows.dtype.names) - fields <= {"position", "first_level"}
        mine = [event for event in sent if event.kind == kind]
        assert rows["position"].tolist() == [event.position.offset for event in mine]
        assert rows["ts_recv"].tolist() == [event.ts_recv for event in mine]
    ticker, bar, liquidation = batch["ticker"], batch["bar"], batch["liquidation"]
    assert ticker["last"].tolist() == [15, 15]
    assert ticker["last_exp"].tolist() == [-1, -1]
    assert ticker["mark_price"].tolist() == [ABSENT, 125]
    assert ticker["ts_event"].tolist() == [3, 4]
    assert (bar["volume"].item(), bar["volume_exp"].item(), bar["interval"].item()) == (25, -1, 60)
    assert (bar["high"].item(), bar["closed"].item()) == (4, 0)
    assert (liquidation["px"].item(), liquidation["sz"].item(), liquidation["side"].item()) == (5, 6, 2)
    for kind, rows in batch.items():
        for name in () if rows.dtype.names is None else rows.dtype.names:
            if name.startswith("_"):
                assert not rows[name].any(), (kind, name)


def test_kinds_can_be_chosen():
    wire = Wire()
    chosen = Subscription(wire.bus.map, None, ["ticker", "liquidation"], "oldest")
    wire.send("trade", "trade", deals=[{"px": 7, "sz": 8, "id": b"9"}])
    wire.send("ticker", "ticker", fields={"last": b"1"})
    wire.send("bar", "bar", bars=[{"start": 60, "prices": (1, 4, 1, 2)}])
    wire.send("liquidation", "liquidation", deals=[{"px": 5, "sz": 6}])
    assert [event.kind for event in chosen.poll()] == ["ticker", "liquidation"]

"""conflated: of each instrument and kind what is newest, once, in the order of the first change."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import NAMES, Many
from processes import wait_for

import fastfeed

A, B, C, D = NAMES


def seen(events):
    return [(event.kind, event.name) for event in events]


def test_it_begins_with_all_that_the_ring_holds_and_all_books():
    many = Many()
    many.snapshot(A)
    many.trade(B, 1)
    for px in (5, 6, 7):
        many.quote(C, px)
    reader = many.bus.conflated(kinds=["book", "bbo", "trade"], levels=2)
    events = reader.poll()
    assert seen(events) == [*(("book", name) for name in NAMES), ("trade", B), ("bbo", C)]
    assert (events[-1].bid_px, events[-2].trade_id) == (7, 1)
    assert [event.state for event in events[:4]] == ["live", "syncing", "syncing", "syncing"]
    assert events[0].bid_mantissas == [(1_000_000, 1), (999_900, 2)]
    assert events[0].ask_mantissas == [(1_000_100, 1), (1_000_200, 2)]
    assert (events[0].sequence, events[1].sequence, events[1].bids) == (2, None, [])
    assert reader.poll() == []
    now = many.bus.conflated(kinds=["book", "bbo", "trade"], start="now")
    assert seen(now.poll()) == [("book", name) for name in NAMES]


def test_a_slow_consumer_gets_each_change_once_and_as_it_is_now():
    many = Many()
    many.snapshot(A)
    many.snapshot(B)
    reader = many.bus.conflated(kinds=["book", "bbo", "trade"])
    reader.poll()
    merged = reader.merged
    for number in range(1, 100):
        many.trade(C, number)
        many.delta(A, number)
        many.quote(B, number)
        many.quote(C, number)
    events = reader.poll()
    assert seen(events) == [("trade", C), ("book", A), ("bbo", B), ("bbo", C)]
    assert (events[0].trade_id, events[1].bid_mantissas[0], events[2].bid_px) == (99, (1_000_000, 99), 99)
    assert (reader.merged - merged, reader.lost, reader.poll()) == (4 * 98, 0, [])


def test_a_change_waits_for_its_flush_and_no_longer():
    many = Many()
    many.snapshot(A)
    reader = many.bus.conflated()
    reader.poll()
    many.delta(A, 7, flush=False)
    many.quote(B, 5, flush=False)
    # The record is there, the cell is still the old one: the quote overtakes it.
    assert seen(reader.poll()) == [("bbo", B)]
    assert not reader.await_record("spin", 1000)
    many.hub.flush()
    assert reader.await_record("spin", 0)
    many.delta(A, 8, flush=False)
    (event,) = reader.poll()
    assert (event.kind, event.bid_mantissas[0][1]) == ("book", 7)
    assert reader.poll() == []
    many.hub.flush()
    (event,) = reader.poll()
    assert event.bid_mantissas[0][1] == 8


def test_a_book_that_is_lost_is_said_to_be_so():
    many = Many()
    many.snapshot(A)
    reader = many.bus.conflated(kinds=["book"])
    assert reader.poll()[0].state == "live"
    many.send(A, "delta", prev=500, last=501, bids=[(1_000_000, 5)])
    (event,) = reader.poll()
    assert (event.name, event.state, event.bids) == (A, "syncing", [])


def test_what_is_no_state_is_refused():
    many = Many()
    for kind in ("delta", "status", "bar", "liquidation", "book2"):
        with pytest.raises(ValueError, match="expected some of book, bbo, trade, ticker"):
            many.bus.conflated(kinds=[kind])
    with pytest.raises(ValueError, match="expected 1 to 25, was 26"):
        many.bus.conflated(levels=26)
    with pytest.raises(ValueError, match="what is newest has no position"):
        many.bus.conflated(start=many.bus.reader().position)
    with pytest.raises(ValueError, match="unknown way to wait"):
        many.bus.conflated(wait="sleep")


def test_after_a_lap_every_book_comes_as_it_is_and_the_rest_is_said_to_be_old():
    many = Many(ring=1 << 16)
    for name in NAMES:
        many.snapshot(name)
    many.quote(D, 5)
    reader = many.bus.conflated(kinds=["book", "bbo"])
    reader.poll()
    before = many.bus.map.record_count
    many.delta(C, 77)
    for number in range(2000):
        many.quote(A, number)
    events = reader.poll()
    assert (events[0].kind, events[0].scope, events[0].state, events[0].reason) == ("status", "bus", "stale", "lapped")
    assert sorted(seen(events[1:])) == [("bbo", A), *(("book", name) for name in NAMES)]
    newest = {(event.kind, event.name): event for event in events[1:]}
    assert newest["book", C].bid_mantissas[0][1] == 77
    assert newest["bbo", A].bid_px == 1999
    # As much as the ring still held was looked at.
    assert 2001 - 512 <= reader.lost < 2001
    assert reader.read == many.bus.map.record_count == before + 2001
    assert reader.poll() == []


def test_books_change_when_the_heart_of_the_feed_stops(shm):
    many = Many(bus_name="heart")
    many.snapshot(A)
    many.writer.heartbeat()
    reader = fastfeed.open("heart").conflated([A], kinds=["book"])
    assert [event.state for event in reader.poll()] == ["live"]
    (event,) = wait_for(reader.poll)  # no heartbeat for a second
    assert (event.state, event.bid_mantissas[0][1]) == ("stale", 1)
    assert reader.poll() == []
    many.writer.heartbeat()
    assert [event.state for event in reader.poll()] == ["live"]
    many.delta(A, 5)
    many.writer.close()
    # What was before the stop, in its state of now; then the end.
    assert [(event.state, event.bid_mantissas[0][1]) for event in reader] == [("stale", 5)]


def test_it_follows_a_restart(shm):
    many = Many(bus_name="again")
    many.snapshot(A)
    reader = fastfeed.open("again").conflated(kinds=["book", "trade"])
    assert seen(reader.poll()) == [("book", name) for name in NAMES]
    many.writer.close()
    new = Many(bus_name="again", names=(B, A))
    new.snapshot(B)
    new.trade(A, 9)
    events: list = []
    wait_for(lambda: events.extend(reader.poll()) or any(event.kind == "trade" for event in events))
    fresh = events[[event.kind for event in events].index("status") :]
    assert (fresh[0].reason, reader.restarts) == ("restarted", 1)
    assert [(event.kind, event.name) for event in fresh[1:]] == [("book", B), ("book", A), ("trade", A)]
    assert [event.state for event in fresh[1:3]] == ["live", "syncing"]
    new.writer.close()


class Model:
    """What should come: (kind, instrument) in the order of first change, with the value of now."""

    def __init__(self, names: frozenset[str] | None, kinds: list[str]) -> None:
        self.names, self.kinds = names, kinds
        self.waiting: dict[tuple[str, str], int] = {}
        self.books: dict[str, int] = {}

    def change(self, kind: str, name: str, value: int) -> None:
        if kind == "book":
            self.books[name] = value
        if kind in self.kinds and (self.names is None or name in self.names):
            key = (kind, name)
            self.waiting[key] = value  # a key that is there keeps its place

    def take(self, most: int) -> list[tuple[str, str, int]]:
        keys = list(self.waiting)[:most]
        return [(*key, self.waiting.pop(key)) for key in keys]


def value_of(event) -> int:
    if event.kind == "book":
        return event.bid_mantissas[0][1]
    return {"bbo": lambda: event.bid_px, "trade": lambda: event.trade_id, "ticker": lambda: int(event.last)}[
        event.kind
    ]()


@settings(max_examples=40)
@given(
    names=st.sets(st.sampled_from(NAMES), min_size=1) | st.none(),
    kinds=st.lists(st.sampled_from(["book", "bbo", "trade", "ticker"]), min_size=1, unique=True),
    seed=st.integers(0, 2**32),
)
def test_it_is_what_a_dictionary_would_hold(names, kinds, seed):
    many = Many(ring=1 << 20)
    rng = random.Random(seed)
    for name in NAMES:
        many.snapshot(name)
    reader = many.bus.conflated(names, kinds)
    reader.poll()
    model = Model(None if names is None else frozenset(names), kinds)
    for number in range(1, 150):
        name = rng.choice(NAMES)
        kind = rng.choice(["book", "bbo", "trade", "ticker", "ask"])
        if kind == "ask":
            most = rng.randrange(1, 6)
            assert [(event.kind, event.name, value_of(event)) for event in reader.poll(most)] == model.take(most)
            continue
        if kind == "book":
            many.delta(name, number)
        elif kind == "bbo":
            many.quote(name, number)
        elif kind == "trade":
            many.trade(name, number)
        else:
            many.send(name, "ticker", fields={"last": b"%d" % number}, ts_event=many.ts)
        model.change(kind, name, number)
    assert [(event.kind, event.name, value_of(event)) for event in reader.poll()] == model.take(100)
    assert reader.poll() == []

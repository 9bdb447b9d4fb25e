"""Books whose best bid is not below their best ask: seen in the message that makes them so."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedDict
from wire import Wire

WANTS_BOOK = 1
LOCKED, CROSSED = 16, 8
MINUTE = 60 * 10**9


def live(policy: bool = False) -> Wire:
    wire = Wire()
    wire.market.resyncs_crossed = policy
    wire.ts = 10 * MINUTE
    wire.book("snapshot", last=10, bids=[(100, 1)], asks=[(102, 1)])
    return wire


def says(events: list[Any]) -> list[str]:
    return [event.reason or event.state if event.kind == "status" else event.kind for event in events]


def test_a_message_that_crosses_the_book_is_told_at_once_and_only_when_it_begins():
    wire = live()
    assert says(wire.book("delta", prev=10, last=11, bids=[(103, 1)])) == ["delta", "crossed"]
    assert wire.market.live
    assert says(wire.book("delta", prev=11, last=12, bids=[(104, 1)])) == ["delta"]
    assert says(wire.book("delta", prev=12, last=13, bids=[(103, 0), (104, 0)])) == ["delta"]
    assert says(wire.book("delta", prev=13, last=14, asks=[(99, 1)])) == ["delta", "crossed"]
    assert (wire.counters()["crossed"], wire.counters()["locked"]) == (3, 0)


def test_a_locked_book_is_counted_and_no_reason_to_do_anything():
    wire = live(policy=True)
    assert says(wire.book("delta", prev=10, last=11, bids=[(102, 1)])) == ["delta"]
    assert (wire.counters()["crossed"], wire.counters()["locked"]) == (0, 1)
    assert wire.market.live


def test_by_policy_the_book_is_asked_for_anew_and_not_again_for_a_minute():
    wire = live(policy=True)
    assert says(wire.book("delta", prev=10, last=11, bids=[(103, 1)])) == ["delta", "crossed"]
    assert not wire.market.live
    assert wire.calls() == [WANTS_BOOK]
    assert says(wire.book("snapshot", last=20, bids=[(103, 1)], asks=[(102, 1)])) == ["snapshot", "snapshot", "crossed"]
    assert wire.market.live  # it is so at the venue
    wire.ts += MINUTE // 2
    wire.book("delta", prev=20, last=21, bids=[(103, 0)])
    assert says(wire.book("delta", prev=21, last=22, bids=[(103, 1)])) == ["delta", "crossed"]
    assert wire.market.live
    wire.book("delta", prev=22, last=23, bids=[(103, 0)])
    wire.ts += MINUTE
    assert says(wire.book("delta", prev=23, last=24, bids=[(103, 1)])) == ["delta", "crossed"]
    assert not wire.market.live


def test_quotes_of_the_venues_own_channel_are_flagged():
    wire = Wire()
    for number, (bid, ask, flag) in enumerate([(100, 101, 0), (101, 101, LOCKED), (102, 101, CROSSED)]):
        wire.feed("bbo", "bbo", last=number + 1, quote=(bid, 1, ask, 1))
        assert last_flags(wire, "bbo") & (LOCKED | CROSSED) == flag
    wire.feed("bbo", "bbo", last=9, quote=(None, 0, 101, 1))
    assert last_flags(wire, "bbo") & (LOCKED | CROSSED) == 0


def test_books_and_events_say_so():
    wire = live()
    book = wire.bus.book(wire.instrument.name)
    assert (book.crossed, book.locked) == (False, False)
    (delta,) = wire.book("delta", prev=10, last=11, bids=[(102, 1)])
    assert (book.crossed, book.locked, delta.crossed, delta.locked) == (False, True, False, True)
    delta, _ = wire.book("delta", prev=11, last=12, bids=[(103, 1)])
    assert (book.crossed, book.locked, delta.crossed, delta.locked) == (True, False, True, False)


def last_flags(wire: Wire, kind: str) -> int:
    wire.hub.flush()
    rows = wire.bus.reader(start="oldest").batch()[kind]
    return int(rows["flags"][np.argmax(rows["position"])])


LEVEL = st.tuples(st.integers(90, 110), st.integers(0, 2))


@given(st.lists(st.tuples(st.lists(LEVEL, max_size=4), st.lists(LEVEL, max_size=4)), max_size=25))
def test_every_message_says_what_an_oracle_says(messages):
    wire = live()
    bids, asks = SortedDict({100: 1}), SortedDict({102: 1})
    for number, (more_bids, more_asks) in enumerate(messages):
        wire.feed("book", "delta", prev=10 + number, last=11 + number, bids=more_bids, asks=more_asks)
        for side, levels in ((bids, more_bids), (asks, more_asks)):
            for px, sz in levels:
                if sz:
                    side[px] = sz
                else:
                    side.pop(px, None)
        expected = 0
        if bids and asks and bids.peekitem(-1)[0] >= asks.peekitem(0)[0]:
            expected = LOCKED if bids.peekitem(-1)[0] == asks.peekitem(0)[0] else CROSSED
        assert last_flags(wire, "delta") & (LOCKED | CROSSED) == expected

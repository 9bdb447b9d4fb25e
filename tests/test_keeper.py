"""keeper: books whose snapshots come in the stream, restarts, limits, refused messages; several sources of one book."""

from __future__ import annotations

import pytest
from pipeline import instrument
from wire import Wire

from fastfeed.venues.spec import Channel
from fastfeed_core.market import Attention

BIDS, ASKS = [(100, 1), (99, 2)], [(101, 1)]


def live(connections: int = 1, last: int = 10, **options) -> Wire:
    """A book from a snapshot of each connection's stream."""
    wire = Wire(connections, **options)
    for number in range(connections):
        wire.book("snapshot", number, last=last, bids=BIDS, asks=ASKS)
    return wire


def says(events) -> list[str]:
    return [event.reason or event.state if event.kind == "status" else event.kind for event in events]


# Snapshots in the stream


def test_a_first_snapshot_makes_the_book_live_and_deltas_go_on_from_it():
    wire = Wire()
    assert says(wire.book("snapshot", last=10, bids=BIDS, asks=ASKS)) == ["snapshot", "snapshot"]
    assert (wire.market.live, wire.market.sequence, wire.market.levels()) == (True, 10, (BIDS, ASKS))
    assert says(wire.book("delta", prev=10, last=12, bids=[(100, 0), (98, 5)])) == ["delta"]
    assert wire.market.levels() == ([(99, 2), (98, 5)], ASKS)
    assert wire.calls() == []


def test_deltas_without_a_book_call_for_one_once_and_heartbeats_do_not():
    wire = Wire()
    assert wire.book("heartbeat", prev=9, last=9) == []
    assert wire.calls() == []
    for number in range(10, 15):
        assert wire.book("delta", prev=number, last=number + 1, bids=[(1, 1)]) == []
    assert wire.calls() == [Attention.WANTS_BOOK]
    assert wire.market.levels() == ([], [])


def test_a_snapshot_in_the_middle_replaces_the_book_and_says_nothing_of_its_state():
    wire = live()
    assert says(wire.book("snapshot", last=20, bids=[(50, 5)], asks=[])) == ["snapshot"]
    assert (wire.market.sequence, wire.market.levels()) == (20, ([(50, 5)], []))
    assert says(wire.book("delta", prev=20, last=21, asks=[(60, 6)])) == ["delta"]
    assert wire.counters()["resyncs"] == 1


def test_a_snapshot_that_deltas_overtook_is_no_restart():
    # Both subscriptions are new: the first one's book does not come back to life by old numbers of the second.
    wire = live(1)
    wire.connections.append(wire.connect())
    wire.book("delta", 0, prev=10, last=12, bids=[(98, 1)])
    wire.book("delta", 1, prev=11, last=12, bids=[(98, 1)])
    assert wire.book("snapshot", 1, last=11, bids=BIDS, asks=ASKS) == []
    assert wire.market.sequence == 12
    assert says(wire.book("delta", 0, prev=12, last=13, bids=[(97, 1)])) == ["delta"]
    assert says(wire.book("delta", 1, prev=13, last=14, bids=[(96, 1)])) == ["delta"]


def test_a_gap_costs_the_book_and_the_next_snapshot_brings_it_back():
    wire = live()
    assert says(wire.book("delta", prev=11, last=12)) == ["gap"]
    assert wire.calls() == [Attention.WANTS_BOOK | Attention.GAP]
    assert wire.market.levels() == ([], [])
    wire.book("delta", prev=12, last=13, bids=[(1, 1)])
    assert wire.calls() == []  # it was called for already
    # It is older than what came since, no matter.
    assert says(wire.book("snapshot", last=12, bids=BIDS)) == ["snapshot", "snapshot"]
    assert says(wire.book("delta", prev=12, last=13, bids=[(100, 7)])) == ["delta"]
    assert wire.market.levels() == ([(100, 7), (99, 2)], [])


def test_a_heartbeat_tells_of_a_lost_delta():
    wire = live()
    assert wire.book("heartbeat", prev=10, last=10) == []
    assert wire.market.live
    assert says(wire.book("heartbeat", prev=11, last=11)) == ["gap"]
    assert wire.counters()["old"] == 0


# Restarts


def test_a_lower_snapshot_restarts_the_sequence():
    wire = live(last=1000)
    assert says(wire.book("snapshot", last=5, bids=[(50, 5)])) == ["snapshot"]
    assert says(wire.book("delta", prev=5, last=6, bids=[(51, 1)])) == ["delta"]
    assert (wire.market.sequence, wire.market.levels()) == (6, ([(51, 1), (50, 5)], []))


def test_what_lags_behind_a_restart_is_ignored_until_it_restarts_too():
    wire = live(2, last=100)
    wire.book("delta", 0, prev=100, last=101, bids=[(98, 1)])
    wire.book("snapshot", 0, last=98, bids=[(50, 5)])
    # The old numbers of the other connection would fit the new ones.
    for kind, prev, last in (("delta", 97, 99), ("delta", 100, 101), ("heartbeat", 101, 101), ("snapshot", 0, 102)):
        assert wire.book(kind, 1, prev=prev, last=last, bids=[(1, 1)] * (kind != "heartbeat")) == []
    assert wire.market.levels() == ([(50, 5)], [])
    assert wire.book("snapshot", 1, last=98, bids=[(50, 5)]) == []
    assert says(wire.book("delta", 1, prev=98, last=99, bids=[(51, 1)])) == ["delta"]
    wire.close(0)
    assert wire.market.live


def test_two_restarts_that_one_connection_leads_by():
    wire = live(2, last=100)
    wire.book("snapshot", 0, last=50, bids=[(50, 5)])
    wire.book("snapshot", 0, last=20, bids=[(20, 2)])
    wire.book("snapshot", 1, last=50, bids=[(50, 5)])
    # The second one is one restart behind now, and its numbers are ahead of the book's.
    assert wire.book("delta", 1, prev=18, last=51, bids=[(1, 1)]) == []
    assert wire.market.levels() == ([(20, 2)], [])
    wire.book("snapshot", 1, last=20, bids=[(20, 2)])
    wire.close(0)
    assert wire.market.live
    assert says(wire.book("delta", 1, prev=20, last=21, bids=[(21, 2)])) == ["delta"]


def test_after_a_gap_the_numbers_of_before_are_forgotten():
    wire = live(2, last=1000)
    wire.book("snapshot", 0, last=5, bids=[(50, 5)])
    wire.close(0)
    assert not wire.market.live
    wire.connections.append(wire.connect())
    wire.book("snapshot", 2, last=7, bids=[(50, 5)])
    # For the second one that is a restart, but it is none for the book.
    wire.book("snapshot", 1, last=7, bids=[(50, 5)])
    assert says(wire.book("delta", 2, prev=7, last=8, bids=[(51, 1)])) == ["delta"]
    assert says(wire.book("delta", 1, prev=8, last=9, bids=[(52, 1)])) == ["delta"]


def test_a_reset_goes_on_at_its_own_number():
    wire = live()
    assert says(wire.book("reset", prev=10, last=2, bids=[(98, 3)])) == ["delta"]
    assert wire.market.sequence == 2
    assert wire.book("reset", prev=10, last=2, bids=[(98, 3)]) == []  # the same once more
    assert says(wire.book("delta", prev=2, last=3, bids=[(97, 4)])) == ["delta"]
    assert wire.market.levels() == ([*BIDS, (98, 3), (97, 4)], ASKS)


def test_a_reset_that_does_not_join_is_a_gap():
    wire = live()
    assert says(wire.book("reset", prev=11, last=2)) == ["gap"]
    assert says(wire.book("snapshot", last=2, bids=BIDS)) == ["snapshot", "snapshot"]
    assert says(wire.book("delta", prev=2, last=3, bids=[(97, 4)])) == ["delta"]


def test_a_reset_behind_a_lost_delta_waits_for_the_other_connection():
    wire = live(2)
    wire.book("reset", 0, prev=11, last=2, bids=[(98, 3)])  # 11 was lost here
    assert wire.book("delta", 0, prev=2, last=3, bids=[(97, 4)]) == []
    assert wire.market.live
    for kind, prev, last, level in (("delta", 10, 11, (96, 1)), ("reset", 11, 2, (98, 3)), ("delta", 2, 3, (97, 4))):
        assert says(wire.book(kind, 1, prev=prev, last=last, bids=[level])) == ["delta"]
    assert says(wire.book("delta", 0, prev=3, last=4, bids=[(95, 1)])) == ["delta"]
    wire.close(1)
    assert wire.market.live


def test_a_source_that_has_reset_does_not_wait_for_ever():
    wire = live(2)
    wire.book("reset", 0, prev=11, last=2)
    for number in range(2, 100):
        wire.book("delta", 0, prev=number, last=number + 1)
        if not wire.market.live:
            break
    assert number == 66
    assert wire.calls() == [Attention.WANTS_BOOK | Attention.GAP]


SECOND = 1_000_000_000


def test_numbers_that_fall_without_a_word_do_not_leave_a_book_that_stands_still():
    wire = live(last=1000)
    for number in (990, 980, 985):  # what comes late or twice
        assert wire.book("delta", prev=number, last=number + 1) == []
    assert says(wire.book("delta", prev=1000, last=1001, bids=[(98, 1)])) == ["delta"]
    wire.book("delta", prev=1000, last=1001)
    wire.book("heartbeat", prev=1001, last=1001)
    wire.book("delta", prev=10, last=11)
    assert wire.market.live
    assert says(wire.book("delta", prev=11, last=12)) == ["gap"]
    assert wire.calls() == [Attention.WANTS_BOOK | Attention.GAP]


def test_a_source_that_joined_below_the_book_does_not_keep_it_standing_still():
    wire = live(1, last=1000)
    wire.connections.append(wire.connect())
    wire.book("snapshot", 1, last=5, bids=[(50, 5)])  # the venue has started again; the first one does not say so
    assert wire.market.sequence == 1000
    wire.ts += 11 * SECOND
    assert says(wire.book("delta", 1, prev=5, last=6)) == ["gap"]


def test_whole_books_below_one_that_stands_still_replace_it():
    wire = Wire(2)
    wire.book("refresh", 0, last=1000, bids=BIDS)
    assert wire.book("refresh", 1, last=5, bids=[(50, 5)]) == []
    wire.ts += 11 * SECOND
    assert says(wire.book("refresh", 1, last=6, bids=[(50, 6)])) == ["snapshot"]
    assert wire.market.levels() == ([(50, 6)], [])


def test_a_connection_that_lags_by_any_number_of_messages_is_in_step():
    wire = live(2, last=1000)
    for number in range(1000, 1200):
        wire.book("delta", 0, prev=number, last=number + 1, bids=[(98, number)])
    for number in range(1000, 1150):
        wire.book("delta", 1, prev=number, last=number + 1, bids=[(98, number)])
    wire.close(0)
    assert wire.market.live


# Whole books


def test_the_newest_whole_book_wins():
    wire = Wire(2)
    assert says(wire.book("refresh", 0, last=10, bids=BIDS)) == ["snapshot", "snapshot"]
    assert wire.book("refresh", 1, last=10, bids=BIDS) == []
    assert says(wire.book("refresh", 1, last=12, bids=[(50, 5)])) == ["snapshot"]
    assert wire.book("refresh", 0, last=11, bids=[(1, 1)]) == []
    assert wire.market.levels() == ([(50, 5)], [])
    assert wire.counters()["old"] == 2
    wire.close(0)
    assert wire.market.live
    assert says(wire.close(1)) == ["disconnected"]


def test_one_older_whole_book_is_dropped_and_two_are_a_restart():
    wire = Wire(2)
    for number in (0, 1):
        wire.book("refresh", number, last=100, bids=BIDS)
    assert wire.book("refresh", 0, last=90, bids=[(1, 1)]) == []
    assert says(wire.book("refresh", 0, last=101, bids=[(50, 5)])) == ["snapshot"]
    assert wire.book("refresh", 0, last=3, bids=[(60, 6)]) == []
    assert says(wire.book("refresh", 0, last=4, bids=[(60, 6)])) == ["snapshot"]
    for last in (101, 102):
        assert wire.book("refresh", 1, last=last, bids=[(1, 1)]) == []  # from before
    assert wire.book("refresh", 1, last=4, bids=[(60, 6)]) == []
    assert says(wire.book("refresh", 1, last=5, bids=[(70, 7)])) == ["snapshot"]
    wire.close(0)
    assert wire.market.live


# Limits


def test_a_window_of_the_best_levels_knows_how_far_it_goes():
    wire = Wire()
    late = []
    wire.book("snapshot", last=1, bids=[(100, 1), (99, 1)], asks=[(101, 1)], limit=2)
    assert wire.market.complete_to == (99, None)
    for number, (bids, complete) in enumerate([
        ([(105, 3), (99, 0)], 100),
        ([(105, 0), (99, 1)], 99),
        ([(100, 0)], None),
        ([(90, 1)], 90),
        ([(99, 5)], 90),
    ], 1):  # fmt: skip
        late.append(wire.bus.book(wire.instrument.name))
        wire.book("delta", prev=number, last=number + 1, bids=bids)
        assert wire.market.complete_to == (complete, None)
        for book in late:  # whenever a reader joined
            found = book.depth()
            assert found.complete_to == (complete, None)
            assert found.bids.tolist() == wire.market.levels()[0]


def test_levels_that_found_no_room_are_missed_within_a_window_too():
    wire = Wire(levels=64, what=instrument(tick="10000000000000"))  # no window of ticks
    bids = [(px, 1) for px in range(3000, 1000, -1)]
    wire.book("snapshot", last=1, bids=bids, limit=2000)
    kept = wire.market.levels()[0]
    assert len(kept) < 2000
    for number in range(1, 4):
        worst = wire.market.complete_to[0]
        assert [level for level in kept if level[0] >= worst] == [level for level in bids if level[0] >= worst]
        found = wire.depth()
        assert found.complete_to[0] >= worst
        wire.book("delta", prev=number, last=number + 1, bids=[(3000, 1)])


def test_the_limit_goes_with_the_snapshot_that_said_it():
    wire = Wire()
    wire.book("snapshot", last=1, bids=BIDS, asks=ASKS, limit=1)
    assert wire.market.complete_to == (99, 101)
    wire.book("snapshot", last=2, bids=BIDS, asks=ASKS)
    assert wire.market.complete_to == (None, None)
    wire.book("delta", prev=2, last=3, bids=[(98, 1)])
    assert wire.market.complete_to == (None, None)
    assert wire.depth().complete_to == (None, None)


def test_a_snapshot_of_several_records_is_whole_for_readers():
    wire = Wire(ring=1 << 20)
    late = wire.bus.book(wire.instrument.name)
    bids = [(px, 1) for px in range(5000, 2000, -1)]
    wire.book("snapshot", last=1, bids=BIDS, asks=ASKS)
    assert late.depth().bids.tolist() == BIDS
    wire.book("snapshot", last=2, bids=bids, asks=[(6000, 2)], limit=3000)
    found = late.depth()
    assert (found.bids.tolist(), found.asks.tolist(), found.complete_to) == (bids, [(6000, 2)], (2001, None))


# Quotes from the book


def test_the_top_of_the_book_is_published_as_it_changes():
    wire = Wire(rows=(Channel(name="book"), Channel(name="bbo", derived=True)))

    def tops(events):
        return [(each.bid_px, each.bid_sz, each.ask_px, each.ask_sz, each.derived) for each in events
                if each.kind == "bbo"]  # fmt: skip

    assert tops(wire.book("snapshot", last=1, bids=BIDS, asks=ASKS)) == [(100, 1, 101, 1, True)]
    assert tops(wire.book("delta", prev=1, last=2, bids=[(99, 7)])) == []
    assert tops(wire.book("delta", prev=2, last=3, bids=[(100, 4)])) == [(100, 4, 101, 1, True)]
    assert tops(wire.book("delta", prev=3, last=4, asks=[(101, 0)])) == [(100, 4, None, 0, True)]
    wire.book("delta", prev=9, last=10)
    # The same top again, after a book was lost, is news.
    assert tops(wire.book("snapshot", last=10, bids=[(100, 4)])) == [(100, 4, None, 0, True)]


# Refused messages


def test_a_refused_message_costs_the_book_unless_another_connection_is_in_step():
    wire = live(2)
    assert wire.book("refused", 0) == []
    assert wire.counters()["source_gaps"] == 1
    assert says(wire.book("refused", 1)) == ["malformed"]
    assert wire.calls() == [Attention.WANTS_BOOK | Attention.REFUSED]
    assert wire.counters()["refused"] == 2


def test_a_refused_message_before_the_book_changes_nothing():
    wire = Wire()
    assert wire.book("refused") == []
    assert wire.calls() == []
    wire.market.expect_snapshot()
    wire.book("refused")
    assert wire.calls() == [Attention.REFUSED]


# Connections that go


def test_a_connection_that_goes_while_the_book_is_awaited_leaves_what_the_others_brought():
    from pipeline import rest_book

    from fastfeed_core.decoders.binance import BinanceDecoder

    wire = Wire(2)
    wire.market.expect_snapshot()
    wire.book("delta", 0, prev=9, last=11, bids=[(1, 1)])
    wire.book("delta", 1, prev=9, last=11, bids=[(1, 1)])
    wire.close(0)
    assert wire.market.holding
    wire.book("delta", 1, prev=11, last=12, bids=[(2, 2)])
    assert wire.market.apply_snapshot(BinanceDecoder(), rest_book(10, [], []), 0, 5)
    assert (wire.market.sequence, wire.market.levels()[0]) == (12, [(2, 2), (1, 1)])


def test_the_last_connection_takes_the_book_with_it_whatever_its_state():
    wire = Wire()
    wire.market.expect_snapshot()
    wire.book("delta", prev=9, last=11)
    wire.close(0)
    assert not wire.market.holding
    assert wire.market.source_count == 0


def test_a_closed_connection_brings_nothing():
    wire = live()
    wire.close(0)
    with pytest.raises(ValueError, match="closed"):
        wire.book("snapshot", last=11, bids=BIDS)

"""market: alignment, gaps, and several sources of one book."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import OracleBook
from pipeline import Pipeline, frame, rest_book, spot_depth

BIDS, ASKS = [["100.00", "1.0"], ["99.00", "2.0"]], [["101.00", "1.0"]]


def diff(first: int, last: int) -> bytes:
    return frame(spot_depth(first, last, [["99.50", f"{last}.0"]]))


@pytest.mark.parametrize(
    ("held", "live_at"),
    [
        pytest.param([], 10, id="nothing-came"),
        pytest.param([(5, 8), (9, 10)], 10, id="all-older"),
        pytest.param([(5, 8), (9, 12), (13, 15)], 15, id="in-the-middle-of-one"),
        pytest.param([(11, 12)], 12, id="on-the-boundary"),
    ],
)
def test_a_snapshot_joins_what_was_held(held, live_at):
    pipeline = Pipeline()
    pipeline.market.expect_snapshot()
    for first, last in held:
        assert pipeline.receive(diff(first, last)) == []
    assert pipeline.snapshot(rest_book(10, BIDS, ASKS))
    kinds = [event.kind for event in pipeline.events()]
    assert kinds[:2] == ["snapshot", "status"]
    assert kinds[2:] == ["delta"] * sum(last > 10 for _, last in held)
    assert pipeline.market.sequence == live_at


def test_a_snapshot_older_than_what_was_held_is_refused_and_what_was_held_kept():
    pipeline = Pipeline()
    pipeline.market.expect_snapshot()
    pipeline.receive(diff(20, 22))
    assert not pipeline.snapshot(rest_book(10, BIDS, ASKS))
    assert pipeline.market.holding
    assert pipeline.snapshot(rest_book(21, BIDS, ASKS))
    assert pipeline.market.sequence == 22


def test_a_gap_among_the_held_drops_the_book_again():
    pipeline = Pipeline()
    pipeline.market.expect_snapshot()
    for first, last in ((9, 12), (15, 16)):
        pipeline.receive(diff(first, last))
    assert not pipeline.snapshot(rest_book(10, BIDS, ASKS))
    assert not pipeline.market.live
    assert not pipeline.market.holding
    assert pipeline.levels() == ([], [])


def test_a_gap_empties_the_book_and_says_so():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 12))
    (event,) = pipeline.receive(diff(14, 15))
    assert (event.kind, event.state, event.reason) == ("status", "syncing", "gap")
    assert (event.expected, event.received) == (12, 13)
    assert pipeline.levels() == ([], [])
    ((market, flags, expected, received),) = pipeline.hub.attention()
    assert (market, expected, received) == (pipeline.market, 12, 13)
    assert flags & 3 == 3
    assert pipeline.counters()["gaps"] == 1


def test_old_and_repeated_deltas_change_nothing():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 12))
    before = pipeline.levels()
    pipeline.events()
    for first, last in ((11, 12), (5, 9), (3, 12)):
        assert pipeline.receive(diff(first, last)) == []
    assert pipeline.levels() == before
    assert pipeline.counters()["old"] == 3


def test_a_limited_snapshot_knows_how_far_it_goes():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS), limit=2)
    bid, ask = pipeline.market.complete_to
    assert (pipeline.instrument.price(bid), ask) == (99, None)


def test_the_book_goes_with_its_last_connection_and_nothing_of_it_survives():
    pipeline = Pipeline(connections=2)
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.connections[0].close(5)
    assert pipeline.market.live
    pipeline.connections[1].close(6)
    assert not pipeline.market.live
    assert pipeline.levels() == ([], [])
    assert pipeline.events()[-1].reason == "disconnected"


def test_a_pool_that_is_full_is_counted_and_the_next_snapshot_brings_the_book_back():
    pipeline = Pipeline(held_bytes=4096)
    pipeline.market.expect_snapshot()
    for number in range(11, 30):
        pipeline.receive(diff(number, number))
    assert pipeline.counters()["held_lost"] > 0
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.market.abandon_snapshot()
    assert pipeline.snapshot(rest_book(29, BIDS, ASKS))
    assert pipeline.market.sequence == 29


def test_trades_and_quotes_of_two_connections_come_once():
    pipeline = Pipeline(connections=2)
    events = []
    for number in range(1, 2000):
        trade = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "1.0", "q": "1.0", "T": 1, "m": True}
        quote = {"u": number, "s": "BTCUSDT", "b": "1.0", "B": "1.0", "a": "2.0", "A": "1.0"}
        for connection in (0, 1):
            events += pipeline.receive(frame(trade, "btcusdt@trade"), connection)
            events += pipeline.receive(frame(quote, "btcusdt@bookTicker"), connection)
    assert [event.trade_id for event in events if event.kind == "trade"] == list(range(1, 2000))
    assert [event.sequence for event in events if event.kind == "bbo"] == list(range(1, 2000))


@given(st.integers(0, 2**32))
def test_two_connections_with_losses_never_show_a_wrong_book(seed):
    rng = random.Random(seed)
    pipeline = Pipeline(connections=2)
    truth = OracleBook()
    truth.load({"lastUpdateId": 0, "bids": BIDS, "asks": ASKS})
    pipeline.snapshot(truth.snapshot())
    history = {0: truth.levels()}
    queues: list[list[bytes]] = [[], []]
    sequence = 0
    delivered_by_nobody = False
    for _ in range(60):
        first, sequence = sequence + 1, sequence + rng.randrange(1, 4)
        side = [[f"{rng.randrange(90, 100)}.00", f"{rng.randrange(3)}.0"] for _ in range(rng.randrange(4))]
        message = spot_depth(first, sequence, side)
        truth.apply(message)
        history[sequence] = truth.levels()
        lost = [rng.random() < 0.15 for _ in range(2)]
        delivered_by_nobody |= all(lost)
        for queue, is_lost in zip(queues, lost, strict=True):
            if not is_lost:
                queue.append(frame(message))
        for number, queue in enumerate(queues):
            while queue and rng.random() < 0.7:
                pipeline.receive(queue.pop(0), number)
                if pipeline.market.live:
                    assert pipeline.levels() == history[pipeline.market.sequence]
    if not delivered_by_nobody and not any(queues) and pipeline.counters()["gaps"] == 0:
        assert pipeline.market.sequence == sequence

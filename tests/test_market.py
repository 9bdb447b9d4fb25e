"""market: alignment, gaps, and several sources of one book."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import OracleBook, read_2024
from pipeline import BOOK, Pipeline, frame, instrument, rest_book, spot_depth

from fastfeed.protocol import open_market
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Attention

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
    assert flags == Attention.WANTS_BOOK | Attention.GAP
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


def test_numbers_that_fall_without_a_word_are_a_gap_and_what_comes_late_or_twice_is_none():
    pipeline = Pipeline()
    pipeline.market.expect_snapshot()
    assert pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 12))
    pipeline.receive(diff(13, 14))
    for old in (diff(13, 14), diff(11, 12), diff(9, 10)):
        assert pipeline.receive(old) == []
    # What goes on from one that fell behind is of a chain that began again.
    (event,) = pipeline.receive(diff(11, 11))
    assert (event.kind, event.state, event.reason) == ("status", "syncing", "gap")
    # Where the new numbers are the way of things, they are no gap again.
    pipeline.market.expect_snapshot()
    assert pipeline.snapshot(rest_book(13, BIDS, ASKS))
    pipeline.events()
    assert [event.kind for event in pipeline.receive(diff(14, 14))] == ["delta"]


def test_a_message_that_ends_beyond_its_chain_without_going_on_from_it_is_a_gap():
    pipeline = Pipeline()
    pipeline.market.expect_snapshot()
    assert pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 14))
    assert [event.reason for event in pipeline.receive(diff(13, 20))] == ["gap"]


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
    for number in range(63):
        is_end = number >= 60  # the last ones come by both: what is missing before them shows
        first, sequence = sequence + 1, sequence + rng.randrange(1, 4)
        side = [[f"{rng.randrange(90, 100)}.00", f"{rng.randrange(3)}.0"] for _ in range(rng.randrange(4))]
        message = spot_depth(first, sequence, side)
        truth.apply(message)
        history[sequence] = truth.levels()
        lost = [rng.random() < 0.15 and not is_end for _ in range(2)]
        for queue, is_lost in zip(queues, lost, strict=True):
            if not is_lost:
                queue.append(frame(message))
        for connection, queue in enumerate(queues):
            while queue and (is_end or rng.random() < 0.7):
                pipeline.receive(queue.pop(0), connection)
                if pipeline.market.live:
                    assert pipeline.levels() == history[pipeline.market.sequence]
    if pipeline.counters()["gaps"] == 0:
        assert pipeline.market.sequence == sequence


def test_a_gap_drops_the_book_of_its_instrument_and_no_other():
    pipeline = Pipeline()
    other = open_market(pipeline.hub, instrument("binance:ETH/USDT"), BOOK)
    pipeline.connections[0].route("ethusdt@depth@100ms", "BTCUSDT", "book", other)
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    other.expect_snapshot()
    assert other.apply_snapshot(BinanceDecoder(), rest_book(500, BIDS, ASKS), 0, 1)
    pipeline.receive(diff(12, 13))
    assert not pipeline.market.live
    assert other.live
    pipeline.receive(frame(spot_depth(501, 502, [["99.50", "7.0"]]), "ethusdt@depth@100ms"))
    assert (other.live, other.sequence, len(other.levels()[0])) == (True, 502, 3)
    assert [market for market, *_ in pipeline.hub.attention()] == [pipeline.market]


def test_a_message_that_was_late_is_old_and_one_that_was_early_is_a_gap():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 12))
    pipeline.receive(diff(14, 15))
    assert not pipeline.market.live
    # What was missing comes too late: there is no book any more that it could belong to.
    pipeline.receive(diff(13, 13))
    assert not pipeline.market.live
    assert pipeline.levels() == ([], [])


def test_a_new_connection_and_a_new_snapshot_make_a_new_book():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, [["55.00", "5.0"]], [["155.00", "5.0"]]))
    pipeline.connections[0].close(5)
    assert pipeline.market.source_count == 0
    pipeline.connections.append(pipeline.connect())
    assert pipeline.market.source_count == 1
    pipeline.market.expect_snapshot()
    pipeline.receive(diff(21, 22), 1)
    assert pipeline.snapshot(rest_book(20, BIDS, ASKS))
    bids, asks = pipeline.levels()
    assert [px for px, _ in bids] == [100, Decimal("99.5"), 99]
    assert [px for px, _ in asks] == [101]


def test_a_new_connection_takes_over_without_a_gap_if_it_is_in_step_before_the_old_one_goes():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.receive(diff(11, 12))
    pipeline.connections.append(pipeline.connect())
    pipeline.receive(diff(13, 14), 1)
    pipeline.connections[0].close(5)
    assert pipeline.market.live
    assert [event.kind for event in pipeline.receive(diff(15, 16), 1)] == ["delta"]


def test_a_new_connection_that_has_not_said_anything_does_not_keep_the_book():
    pipeline = Pipeline()
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    pipeline.connections.append(pipeline.connect())
    pipeline.connections[0].close(5)
    assert not pipeline.market.live


def test_what_a_dead_connection_had_brought_while_a_snapshot_was_awaited_is_forgotten():
    pipeline = Pipeline(connections=2)
    pipeline.market.expect_snapshot()
    pipeline.receive(diff(11, 12), 0)
    pipeline.receive(diff(13, 14), 0)
    pipeline.receive(diff(13, 14), 1)
    pipeline.connections[0].close(5)
    if not pipeline.market.holding:
        pipeline.market.expect_snapshot()
        pipeline.receive(diff(15, 16), 1)
    assert not pipeline.snapshot(rest_book(10, BIDS, ASKS))
    assert not pipeline.market.live


def test_a_source_that_stays_one_message_ahead_of_a_sound_one_makes_no_gap():
    # The first one loses a single message. From then on each of its messages comes before the book is there, and the
    # other connection, which is always one behind, brings every one of them.
    pipeline = Pipeline(connections=2)
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    for number in range(11, 400):
        if number != 20:
            pipeline.receive(diff(number, number), 0)
        if number > 11:
            pipeline.receive(diff(number - 1, number - 1), 1)
        assert pipeline.market.live, f"dropped at {number}"
    assert pipeline.counters()["gaps"] == 0


@given(st.floats(0, 0.6), st.integers(0, 2**32), st.booleans())
def test_while_one_connection_loses_nothing_the_losses_of_another_cost_nothing(loss, seed, sound_is_slow):
    rng = random.Random(seed)
    pipeline = Pipeline(connections=2)
    pipeline.snapshot(rest_book(10, BIDS, ASKS))
    queues: list[list[int]] = [[], []]  # of the sound one, of the other
    for number in range(11, 211):
        queues[0].append(number)
        if rng.random() >= loss:
            queues[1].append(number)
        for which, queue in enumerate(queues):
            # Neither lies more than 20 messages behind, far fewer than a source may be ahead.
            while queue and (len(queue) > 20 or rng.random() < (0.3 if sound_is_slow and which == 0 else 0.6)):
                at = queue.pop(0)
                pipeline.receive(diff(at, at), which)
                assert pipeline.market.live
    for which, queue in enumerate(queues):
        for at in queue:
            pipeline.receive(diff(at, at), which)
    assert pipeline.market.live
    assert pipeline.market.sequence == 210
    assert pipeline.levels()[0][1] == (Decimal("99.5"), Decimal(210))


@given(st.integers(1, 3), st.floats(0, 0.4), st.integers(0, 2**32))
def test_connections_with_losses_repairs_and_reconnects_never_show_a_wrong_book(count, loss, seed):
    rng = random.Random(seed)
    pipeline = Pipeline(connections=count)
    truth = OracleBook()
    truth.load({"lastUpdateId": 10, "bids": BIDS, "asks": ASKS})
    history = {10: truth.levels()}
    queues: list[list[bytes]] = [[] for _ in range(count)]
    numbers = list(range(count))  # of the connections that the queues lead to
    replies: list[tuple[int, bytes]] = []
    lived = False
    for step in range(120):
        first = truth.sequence + 1
        message = spot_depth(first, first + rng.randrange(3), *(
            [[f"{rng.randrange(*span)}.00", f"{rng.randrange(3)}.0"] for _ in range(rng.randrange(3))]
            for span in ((90, 100), (101, 111))
        ))  # fmt: skip
        truth.apply(message)
        history[truth.sequence] = truth.levels()
        for queue in queues:
            if rng.random() >= loss:
                queue.append(frame(message))
        if not pipeline.market.live and not pipeline.market.holding:
            pipeline.market.expect_snapshot()
            # The reply is made now or a little earlier, and comes later.
            replies.append((step + rng.randrange(4), truth.snapshot()))
        for place, queue in enumerate(queues):
            while queue and rng.random() < 0.6:
                pipeline.receive(queue.pop(0), numbers[place])
                if pipeline.market.live:
                    assert pipeline.levels() == history[pipeline.market.sequence]
        if replies and replies[0][0] <= step:
            if not pipeline.snapshot(replies.pop(0)[1]) and pipeline.market.holding:
                pipeline.market.abandon_snapshot()
            replies.clear()
        if rng.random() < 0.02:
            place = rng.randrange(count)
            pipeline.connections[numbers[place]].close(pipeline.ts)
            queues[place] = []
            numbers[place] = len(pipeline.connections)
            pipeline.connections.append(pipeline.connect())
        if pipeline.market.live:
            lived = True
            assert pipeline.levels() == history[pipeline.market.sequence]
        else:
            assert pipeline.levels() == ([], [])
    assert lived


CHECKPOINT = 250


@pytest.fixture(scope="module")
def traffic(recordings):
    """By product: what it is, its diffs, and the venue's true book before every 250th of them."""
    out = {}
    usdm = instrument("binance:BTC/USDT:USDT", "0.10", "0.001")
    for product, what in (("spot", instrument()), ("usdm", usdm)):
        messages = list(read_2024(recordings, product))
        truth, diffs, checkpoints = OracleBook(), [], {}
        # The reply stands among the diffs, some of which came before it and are needed.
        truth.load(json.loads(next(text for text in messages if not text.startswith(b'{"stream"'))))
        for text in messages:
            if b"@depth" in text[:30]:
                data = json.loads(text)["data"]
                if data["u"] <= truth.sequence:
                    continue
                if len(diffs) % CHECKPOINT == 0:
                    checkpoints[len(diffs)] = truth.snapshot()
                truth.apply(data)
                diffs.append((text, data))
        out[product] = what, diffs, checkpoints
    return out


@given(st.sampled_from(["spot", "usdm"]), st.integers(0, 10**9), st.integers(1, 30))
@settings(max_examples=max(20, settings.default.max_examples // 10))
def test_any_one_lost_diff_of_real_traffic_is_seen_at_the_next_and_repaired(traffic, product, where, later):
    what, diffs, checkpoints = traffic[product]
    lost = where % (len(diffs) - 2 * later - 2)
    start = lost // CHECKPOINT * CHECKPOINT
    truth = OracleBook()
    truth.load(json.loads(checkpoints[start]))
    depth = json.loads(diffs[0][0])["stream"]
    pipeline = Pipeline(what, depth=depth)
    assert pipeline.snapshot(checkpoints[start])
    for text, data in diffs[start:lost]:
        pipeline.receive(text)
        truth.apply(data)
    assert pipeline.levels() == truth.levels()
    truth.apply(diffs[lost][1])
    for text, data in diffs[lost + 1 : lost + 1 + later]:
        pipeline.receive(text)
        truth.apply(data)
        assert not pipeline.market.live
        assert pipeline.levels() == ([], [])
    assert pipeline.counters()["gaps"] == 1
    assert pipeline.snapshot(truth.snapshot())
    for text, data in diffs[lost + 1 + later : lost + 1 + 2 * later]:
        pipeline.receive(text)
        truth.apply(data)
    assert pipeline.market.sequence == truth.sequence
    assert pipeline.levels() == truth.levels()

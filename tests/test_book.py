"""book: the window and the far chunks together are a sorted book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from fastfeed_core.book import PyBook

WINDOW = 65536


class Model:
    def __init__(self) -> None:
        self.sides = SortedDict(), SortedDict()

    def apply(self, bids, asks) -> None:
        for side, updates in zip(self.sides, (bids, asks), strict=True):
            for px, sz in updates:
                if sz:
                    side[px] = sz
                else:
                    side.pop(px, None)

    def levels(self):
        return list(reversed(self.sides[0].items())), list(self.sides[1].items())


prices = st.one_of(
    st.integers(9_900, 10_100),
    st.integers(1, 400_000),
    st.sampled_from([10_000 - WINDOW, 10_000 + WINDOW, 10_000 + WINDOW * 3 // 4, 10_000 + 2 * WINDOW]),
)
updates = st.lists(st.tuples(prices, st.integers(0, 5)), max_size=6)


@given(st.lists(st.tuples(updates, updates), max_size=40), st.sampled_from([0, 1, 5, 7]))
def test_any_updates_leave_the_levels_of_a_sorted_dict(messages, tick):
    book, model = PyBook(tick), Model()
    for bids, asks in messages:
        book.apply(bids, asks)
        model.apply(bids, asks)
        book.check()
        assert book.levels() == model.levels()
    assert book.complete_to == (None, None)


@given(st.data(), st.integers(0, 2**32))
@settings(max_examples=20)
def test_a_wandering_touch_keeps_every_level(data, seed):
    import random

    rng = random.Random(seed)
    book, model = PyBook(10), Model()
    mid = 5_000_000
    for _ in range(60):
        mid += rng.choice([0, 10, -10, 500_000, -500_000, WINDOW * 10, -WINDOW * 4])
        mid = max(mid, 2_000_000)
        bids = [(mid - 10 * rng.randrange(1, 200), rng.randrange(3)) for _ in range(10)]
        asks = [(mid + 10 * rng.randrange(1, 200), rng.randrange(3)) for _ in range(10)]
        # A touch that moves takes away what it crosses, as a venue does.
        bids += [(px, 0) for px in model.sides[0] if px >= mid]
        asks += [(px, 0) for px in model.sides[1] if px <= mid]
        book.apply(bids, asks)
        model.apply(bids, asks)
        book.check()
    assert book.levels() == model.levels()


@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 3)), max_size=1500))
@settings(max_examples=15)
def test_a_full_book_gives_up_the_worst_levels_and_says_so(changes):
    book, model = PyBook(0, 128), Model()
    for start in range(0, len(changes), 25):
        bids = changes[start : start + 25]
        book.apply(bids, [])
        model.apply(bids, [])
        book.check()
    worst = book.complete_to[0]
    known = [level for level in model.levels()[0] if worst is None or level[0] >= worst]
    assert [level for level in book.levels()[0] if worst is None or level[0] >= worst] == known


def test_room_runs_out_with_many_levels_off_the_window():
    book = PyBook(0, 128)
    book.apply([(px, 1) for px in range(1, 2000)], [])
    book.check()
    worst = book.complete_to[0]
    assert worst is not None
    assert book.levels()[0][0] == (1999, 1)


def test_a_cleared_book_is_empty_and_usable():
    book = PyBook(1)
    book.apply([(100, 1), (400_000, 2)], [(500_000, 1)])
    book.clear()
    assert book.levels() == ([], [])
    book.apply([(7, 1)], [])
    assert book.levels() == ([(7, 1)], [])


@given(
    st.lists(st.tuples(st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 3)), max_size=60), st.booleans()),
             max_size=60),
    st.sampled_from([0, 1, 3]),
)  # fmt: skip
@settings(max_examples=max(25, settings.default.max_examples))
def test_within_its_coverage_a_book_that_gave_up_levels_is_still_exact(messages, tick):
    # Room for 64 levels outside of the window, and prices that mostly lie outside of it.
    book, model = PyBook(tick, 64), Model()
    for changes, asks in messages:
        spread = [(px * (WINDOW // 50) + px % 3, sz) for px, sz in changes]
        sides = ([], spread) if asks else (spread, [])
        book.apply(*sides)
        model.apply(*sides)
        book.check()
        for mine, wanted, worst, sign in zip(book.levels(), model.levels(), book.complete_to, (1, -1), strict=True):
            if worst is None:
                assert mine == wanted
            else:
                assert [level for level in mine if sign * level[0] >= sign * worst] == [
                    level for level in wanted if sign * level[0] >= sign * worst
                ]
                # Of what lies beyond it knows some levels, and those as they are.
                assert set(mine) <= set(wanted)


def test_a_book_gives_up_levels_on_one_side_only_and_a_clear_forgets_that():
    book = PyBook(0, 64)
    book.apply([(px, 1) for px in range(1, 2000)], [(5000, 1)])
    assert book.complete_to[0] is not None
    assert book.complete_to[1] is None
    book.clear()
    assert book.complete_to == (None, None)


@pytest.mark.parametrize("tick", [1, 100, 2**40, 2**46, 2**46 + 1])
@pytest.mark.parametrize("greatest", [2**63 - 1, 2**62])
def test_prices_at_the_end_of_int64_come_and_go(tick, greatest):
    px = greatest // tick * tick
    for side in (0, 1):
        book = PyBook(tick)
        model = Model()
        for levels in ([(px, 1)], [(px - tick, 2)], [(tick, 3)], [(px, 0)], [(px - tick, 0)], [(tick, 0)]):
            update = (levels, []) if side == 0 else ([], levels)
            book.apply(*update)
            model.apply(*update)
            book.check()
            assert book.levels() == model.levels()


def test_a_limit_gives_the_best_levels():
    book = PyBook(10)
    book.apply([(px, px) for px in range(10, 1000, 7)], [(px, px) for px in range(1000, 2000, 7)])
    bids, asks = book.levels()
    for limit in (0, 1, 5, 1000):
        assert book.levels(limit) == (bids[:limit], asks[:limit])


def test_removing_what_was_never_there_changes_nothing():
    book = PyBook(5)
    book.apply([(50, 0), (51, 0), (10**9, 0)], [(50, 0)])
    book.check()
    assert book.levels() == ([], [])
    book.apply([(50, 1)], [])
    book.apply([(45, 0), (52, 0), (10**9, 0)], [(50, 0)])
    assert book.levels() == ([(50, 1)], [])


def test_the_last_of_equal_prices_in_one_message_stands():
    book = PyBook(1)
    book.apply([(10, 1), (10, 2), (10, 0), (10, 3)], [(20, 1), (20, 0)])
    assert book.levels() == ([(10, 3)], [])


def test_the_window_holds_what_lies_around_the_touch():
    # Far levels are kept in order too, so only the place of a level tells: with room for none off the window nothing
    # may be lost.
    book = PyBook(1, 64)
    levels = [(px, 1) for px in range(10_000, 20_000)]
    book.apply([(20_000, 1)], [])
    book.apply(levels, [])
    assert book.levels()[0] == [(20_000, 1), *reversed(levels)]
    assert book.complete_to == (None, None)

"""Updates of a book of a given depth, against sides that are SortedDicts of int.

Both take Python pairs, as no compiled loop drives a book alone: what is timed of ours is mostly the unpacking of them.
The instruction counts of `benchmarks.instructions` and the pipeline tell what an update costs inside of a feed.
"""

from __future__ import annotations

import pytest

from benchmarks import frames, rivals
from fastfeed_core.book import PyBook

MESSAGES = 500
LEVELS = 20  # a side and message


def apply_all(apply, updates):
    for bids, asks in updates:
        apply(bids, asks)


@pytest.mark.parametrize("who", ["fastfeed", "sorteddict"])
@pytest.mark.parametrize("depth", [100, 1000, 5000, 20000])
def test_book(benchmark, depth, who):
    benchmark.group = f"book of {depth} levels, {MESSAGES * 2 * LEVELS} updates"
    benchmark.extra_info["updates"] = MESSAGES * 2 * LEVELS
    bids, asks, updates = frames.book_updates(depth, MESSAGES, LEVELS)

    def ours():
        book = PyBook(100, 32768)
        book.apply(bids, asks)
        return book

    def rival():
        book = rivals.IntegerBook(0, 0)
        book.apply_mantissas(bids, asks)
        return book

    one, other = ours(), rival()
    apply_all(one.apply, updates)
    apply_all(other.apply_mantissas, updates)
    assert one.levels() == other.levels(0, 0)
    one.check()

    def setup():
        return (ours().apply if who == "fastfeed" else rival().apply_mantissas, updates), {}

    benchmark.pedantic(apply_all, setup=setup, rounds=9, warmup_rounds=1)

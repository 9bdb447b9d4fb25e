"""Reading a book, against what holds a book in the reader's own process.

Ours are copies out of memory that another process may write at any time, checked, with the state, the times and the
position in them. The rivals are Python objects that their own process alone sees: sides in `SortedDict`s, and plain
dicts of which the best levels are picked at each look. They give lists of the same tuples and nothing else. What comes
out is compared before anything is timed.

`compiled` is our copy and the check of the effective state alone: the rest of ours is the making of Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest, nsmallest
from itertools import islice

import pytest
from sortedcontainers import SortedDict

import fastfeed
from benchmarks import frames
from benchmarks.stage import PRODUCTS, TICK, TS, Stage, open_stage
from fastfeed_core import drive
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Market

READS = 2000


class Sorted:
    """The sides as a strategy keeps them that holds its own book."""

    def __init__(self, book: fastfeed.Book) -> None:
        top = book.depth()
        self.bids, self.asks = (
            SortedDict((px / 1e4, sz / 1e7) for px, sz in side.tolist()) for side in (top.bids, top.asks)
        )

    def top(self, n: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        bids, asks = self.bids, self.asks
        return [(px, bids[px]) for px in islice(reversed(bids), n)], [(px, asks[px]) for px in islice(asks, n)]


class Plain(Sorted):
    """The sides as plain dicts."""

    def __init__(self, book: fastfeed.Book) -> None:
        super().__init__(book)
        self.bids, self.asks = dict(self.bids), dict(self.asks)

    def top(self, n: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        bids, asks = self.bids, self.asks
        return [(px, bids[px]) for px in nlargest(n, bids)], [(px, asks[px]) for px in nsmallest(n, asks)]


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Iterator[Stage]:
    """A bus in shared memory with a book of 1,000 levels a side."""
    with open_stage(PRODUCTS["spot"], (), frames.make("spot", 1).snapshot, clock=True, ring=1 << 22) as made:
        made.bus.heartbeat()
        yield made


def repeat(read, *arguments):
    for _ in range(READS):
        read(*arguments)


@pytest.mark.parametrize("who", ["fastfeed", "compiled", "sorteddict", "dict"])
@pytest.mark.parametrize("n", [1, 5, 25])
def test_top(benchmark, stage, n, who):
    benchmark.group = f"best {n} levels, {READS} times"
    book = fastfeed.open(stage.bus.name).book("binance:BTC/USDT")
    rival = Plain(book) if who == "dict" else Sorted(book)
    top = book.top(n)
    assert (top.state, (top.bids, top.asks)) == (fastfeed.BookState.LIVE, rival.top(n))
    reader = book._top
    read = {
        "fastfeed": lambda: repeat(book.top, n),
        "compiled": lambda: drive.read_tops(reader, n, READS),
        "sorteddict": lambda: repeat(rival.top, n),
        "dict": lambda: repeat(rival.top, n),
    }[who]
    benchmark.pedantic(read, setup=stage.bus.heartbeat, rounds=25 if who != "dict" else 3, warmup_rounds=1)


@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
def test_tops_of_two_books(benchmark, stage, together):
    benchmark.group = f"best 5 levels of two books, {READS} times"
    other = PRODUCTS["usdm"]
    row = stage.bus.add_instrument(other.row(), True)
    market = Market(stage.hub, row, other.px_exp, other.sz_exp, TICK, True)
    market.expect_snapshot()
    assert market.apply_snapshot(BinanceDecoder(), frames.make("usdm", 1).snapshot, 1000, TS)
    stage.hub.flush()
    books = fastfeed.open(stage.bus.name).books(["binance:BTC/USDT", "binance:BTC/USDT:USDT"])
    assert [len(top.bids) for top in books.top(5)] == [5, 5]
    benchmark.pedantic(repeat, (books.top, 5, False, together), rounds=25, warmup_rounds=2)


@pytest.mark.parametrize("n", [25, None], ids=["25", "all"])
def test_depth(benchmark, stage, n):
    """Nothing has come in between: the arrays are made anew all the same."""
    benchmark.group = f"a book of 1,000 levels a side as arrays, {READS} times"
    book = fastfeed.open(stage.bus.name).book("binance:BTC/USDT")
    assert len(book.depth().bids) > 500
    benchmark.pedantic(repeat, (book.depth, n), rounds=9, warmup_rounds=1)

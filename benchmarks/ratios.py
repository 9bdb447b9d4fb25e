"""How many times as fast as msgspec into typed Structs is the whole way from a frame to the ring?

`python -m benchmarks.ratios [--check] [--rounds N] [--private]`

Ours decodes, checks the sequence, keeps the book and publishes into shared memory with the real clock, a flush every 64
frames as in a large socket read; the rival only decodes, with numbers left as text. Rounds alternate, each of ours on a
fresh receive path, so that what else runs on the machine meets both; time is CPU time of the thread, the garbage
collector is off. What came out is compared with the rival's reading before anything is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks import corpus, rivals
from benchmarks.corpus import Corpus
from benchmarks.results import check_equal
from benchmarks.stage import PRODUCTS, TS
from fastfeed_core import drive

#: least ratio of medians by kind
LEAST = {"bookTicker": 2.5, "trade": 2.5, "depth": 2.0}


class Row(NamedTuple):
    """One line of the table: ns a message."""

    product: str
    kind: str
    messages: int
    ours: list[float]
    rival: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.rival) / statistics.median(self.ours)

    @property
    def best_ratio(self) -> float:
        return min(self.rival) / min(self.ours)


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Keep the garbage collector off while something is timed."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def timed(work: Callable[[], object]) -> int:
    """Return the CPU time of this thread in ns."""
    start = time.thread_time_ns()
    work()
    return time.thread_time_ns() - start


def check(data: Corpus, kind: str) -> None:
    """Send all frames through once and compare what is in the ring with what the rival reads."""
    with data.stage() as stage:
        drive.run(stage.connection, data.packed[kind], TS)
        check_equal(stage, kind, data.kinds[kind])


def measure(data: Corpus, kind: str, rounds: int, clock: bool) -> Row:
    """Time both in alternation; the first round of each is a warm-up."""
    frames = data.kinds[kind]
    packed = data.packed[kind]
    decode = rivals.typed(data.product.name, kind)
    ours, rival = [], []
    with no_collector():
        for _ in range(rounds + 1):
            with data.stage(clock=clock) as stage:
                ours.append(timed(lambda: drive.run(stage.connection, packed, TS)) / len(frames))
            rival.append(timed(lambda: rivals.drain(decode, frames)) / len(frames))
    return Row(data.product.name, kind, len(frames), ours[1:], rival[1:])


def table(rows: list[Row]) -> str:
    """The rows as text."""
    lines = [
        f"{'':17} {'messages':>8}  {'frame to ring, ns':>20}  {'msgspec typed, ns':>20}  {'ratio of':>14}",
        f"{'':17} {'':8}  {'median':>10}{'best':>10}  {'median':>10}{'best':>10}  {'medians':>8}{'bests':>6}",
    ]
    for row in rows:
        lines.append(
            f"{row.product + '-' + row.kind:17} {row.messages:8}"
            f"  {statistics.median(row.ours):10.1f}{min(row.ours):10.1f}"
            f"  {statistics.median(row.rival):10.1f}{min(row.rival):10.1f}  {row.ratio:8.2f}{row.best_ratio:6.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the table; with --check return 1 if a ratio is too low."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help=f"fail below {LEAST}")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="of each, at least 9; 11 unless given")
    parser.add_argument("--private", action="store_true", help="private memory and a given clock instead of a real bus")
    args = parser.parse_args()
    if not corpus.is_available():
        print("skipped: FASTFEED_RECORDINGS does not name a folder with recordings")
        return 0
    rows = []
    for product in PRODUCTS:
        data = corpus.load(product)
        for kind in corpus.KINDS:
            check(data, kind)
            rows.append(measure(data, kind, max(9, args.rounds), clock=not args.private))
    print(table(rows))
    low = [row for row in rows if row.ratio < LEAST[row.kind]]
    for row in low if args.check else ():
        print(f"too low: {row.product}-{row.kind} expected at least {LEAST[row.kind]}, was {row.ratio:.2f}")
    return 1 if low and args.check else 0


if __name__ == "__main__":
    sys.exit(main())

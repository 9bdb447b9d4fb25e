"""A screen of books that is painted every so often, however fast the market moves.

    python examples/dashboard.py BUS [INSTRUMENT ...] [--every SECONDS] [--paints N]

The reader is conflated: between two paints it keeps of each book, and of the trades of each instrument, only what is
newest, so a slow screen never falls behind and never shows what has passed. All that was not shown was merged.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import fastfeed

HEAD = f"{'instrument':<28} {'state':<8} {'bid':>12} {'ask':>12} {'spread bp':>9} {'last':>12}"


@dataclass
class Row:
    """What is known of an instrument."""

    state: str = "syncing"
    bid: float | None = None
    ask: float | None = None
    last: float | None = None

    @property
    def spread(self) -> float | None:
        """Basis points of the middle; None without both sides."""
        if self.bid is None or self.ask is None:
            return None
        return (self.ask - self.bid) / (self.ask + self.bid) * 20_000


class Board:
    """The rows of a bus, in the order in which they first came."""

    def __init__(self, bus: fastfeed.Bus, names: list[str] | None = None) -> None:
        self.reader = bus.conflated(names, kinds=["book", "trade"], levels=1)
        self.rows: dict[str, Row] = {}

    def take(self) -> None:
        """Take what has changed since the last time, once each."""
        for event in self.reader.poll():
            if isinstance(event, fastfeed.BookTop):
                row = self.rows.setdefault(event.name, Row())
                row.state = event.state  # a book that is not live is shown, and said to be what it was
                row.bid = event.bids[0][0] if event.bids else None
                row.ask = event.asks[0][0] if event.asks else None
            elif isinstance(event, fastfeed.Trade):
                self.rows.setdefault(event.name, Row()).last = event.price
            elif isinstance(event, fastfeed.Status) and event.reason == "restarted":
                self.rows.clear()  # another feed: all of its books come now

    def lines(self) -> list[str]:
        """Return the screen."""

        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.10g}"

        out = [HEAD]
        for name, row in self.rows.items():
            spread = "-" if row.spread is None else f"{row.spread:.4g}"
            out.append(f"{name:<28} {row.state:<8} {number(row.bid):>12} {number(row.ask):>12} {spread:>9} "
                       f"{number(row.last):>12}")  # fmt: skip
        return [*out, f"merged {self.reader.merged} lost {self.reader.lost}"]


def main(bus_name: str, names: list[str], every: float = 0.5, paints: int | None = None) -> None:
    board = Board(fastfeed.open(bus_name, timeout=10), names or None)
    home = "\x1b[H\x1b[J" if sys.stdout.isatty() else ""
    done = 0
    while done != paints:
        try:
            if not board.reader.wait():
                break  # a clean stop of the feed
            board.take()
        except fastfeed.PublisherGone as gone:
            # Said once. Its books come again as stale, and those of the next feed when there is one.
            print(gone, file=sys.stderr)
            continue
        print(home + "\n".join(board.lines()), flush=True)
        done += 1
        time.sleep(every)
    print(f"end paints {done}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bus")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--paints", type=int)
    args = parser.parse_args()
    main(args.bus, args.names, args.every, args.paints)

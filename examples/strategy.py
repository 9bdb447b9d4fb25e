"""A strategy's loop: look at tops when something has changed, act only on books that are live.

    python examples/strategy.py BUS INSTRUMENT [INSTRUMENT ...] [--looks N]

Prints a signal where the sizes at the touch are out of balance. The books are looked at, not followed: a slow look
misses nothing that still matters, and there is no queue to fall behind in.
"""

from __future__ import annotations

import argparse

import fastfeed
from fastfeed import BookState


def imbalance(top: fastfeed.Top) -> float | None:
    """Size bid less size offered, over both, of the levels in `top`: -1 to 1; None without both sides."""
    bids = sum(size for _, size in top.bids)
    asks = sum(size for _, size in top.asks)
    return (bids - asks) / (bids + asks) if bids and asks else None


def main(bus_name: str, names: list[str], looks: int | None = None) -> None:
    bus = fastfeed.open(bus_name, timeout=10)
    books = [bus.book(name) for name in names]
    # The reader only says that something has come; quotes and trades would be in the event.
    changes = bus.reader(instruments=names, kinds=["delta", "snapshot", "bbo", "status"])
    seen: dict[str, int | None] = {}
    done = 0
    for _ in changes:
        changes.poll()  # whatever else has come: one look is enough for all of it
        for book in books:
            top = book.top(5)
            if top.state is not BookState.LIVE or top.sequence == seen.get(book.name):
                continue  # never trade on a book that is syncing or stale
            seen[book.name] = top.sequence
            value = imbalance(top)
            if value is not None and abs(value) > 0.2:
                side = "buy" if value > 0 else "sell"
                print(f"{book.name} {side} {value:+.2f} bid {top.bids[0][0]} ask {top.asks[0][0]}", flush=True)
        done += 1
        if done == looks:
            break
    print(f"end looks {done} lost {changes.lost}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bus")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--looks", type=int)
    args = parser.parse_args()
    main(args.bus, args.names, args.looks)

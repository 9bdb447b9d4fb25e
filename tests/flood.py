"""A feed that writes flat out books of which any mixture can be seen, in a process of its own or in the test's.

Run as a script it writes the bus that is named until its input ends; or it reads and checks it so many times.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pipeline import BOOK, instrument

import fastfeed
from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import flood, inject
from fastfeed_core.market import Hub

Side = list[tuple[int, int]]


def name(number: int) -> str:
    return f"binance:C{number}/USDT"


def rule(sequence: int, levels: int) -> tuple[Side, Side]:
    """The book at a sequence, in mantissas: see `flood`."""
    sides = (1_000_000, -1), (1_000_002, 1)
    bids, asks = (
        [(touch + sign * (2 * i + sequence % 2), 4096 * sequence + i + 1) for i in range(levels)]
        for touch, sign in sides
    )
    return bids, asks


class Flood:
    """A bus with books of `levels` levels a side.

    Parameters
    ----------
    bus : its name; None: private
    """

    def __init__(self, bus: str | None, books: int = 1, levels: int = 5, ring: int = 1 << 20, room: int = 8192) -> None:
        self.writer = BusWriter(bus, ring=ring, instruments=books + 2, levels=room)
        self.hub = Hub(self.writer)
        self.levels = levels
        self.topics = [f"book{number}" for number in range(books)]
        self.markets = [open_market(self.hub, instrument(name(number)), BOOK) for number in range(books)]
        self.connection = Connection(self.hub, self.writer.add_connection("flood"), BinanceDecoder(), books, 1)
        self.sequence = 1
        bids, asks = rule(1, levels)
        for topic, market in zip(self.topics, self.markets, strict=True):
            self.connection.route(topic, "BTCUSDT", "book", market)
            inject(self.connection, topic, "snapshot", 1, last=1, bids=bids, asks=asks)
        self.beat()

    def beat(self) -> None:
        self.writer.heartbeat()
        self.writer.flush()

    def write(self, count: int, flush_every: int = 1) -> None:
        """So many sequences more of each book."""
        flood(self.connection, self.topics, self.sequence + 1, count, self.levels, flush_every)
        self.sequence += count


def script(bus: str, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Run this file."""
    path = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    return subprocess.Popen(
        [sys.executable, __file__, bus, *words], env=os.environ | {"PYTHONPATH": os.pathsep.join(path)}, **options
    )


@contextlib.contextmanager
def flooding(bus: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes flat out until the block is left."""
    words = [f"{key}={value}" for key, value in options.items()]
    process = script(bus, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        if process.wait(60) and sys.exc_info()[0] is None:
            raise AssertionError(f"the feed ended with {process.returncode}")


def check_top(top: fastfeed.Top, levels: int) -> None:
    """A top is of one message; stale it may be, for a feed gets no processor at times."""
    assert top.state is not fastfeed.BookState.SYNCING
    for side, (first, sign) in ((top.bids, (1_000_000, -1)), (top.asks, (1_000_002, 1))):
        assert side == [
            ((first + sign * (2 * i + top.sequence % 2)) / 1e4, (4096 * top.sequence + i + 1) / 1e7)
            for i in range(levels)
        ], f"{side} at {top.sequence}"
    assert top.ts_recv == top.sequence


def check_depth(depth: fastfeed.Depth, levels: int) -> None:
    """A book is of one message."""
    assert depth.state is not fastfeed.BookState.SYNCING
    away = 2 * np.arange(levels) + depth.sequence % 2
    for side, px in ((depth.bids, 1_000_000 - away), (depth.asks, 1_000_002 + away)):
        assert np.array_equal(side["px"], px), f"{side} at {depth.sequence}"
        assert np.array_equal(side["sz"], 4096 * depth.sequence + 1 + np.arange(levels)), f"{side} at {depth.sequence}"
    assert depth.ts_recv == depth.sequence
    assert depth.complete_to == (None, None)


def check_together(found: list[Any]) -> None:
    """Books of one moment: all written at each sequence, flushed behind the last of them."""
    assert len({one.sequence for one in found}) == 1, [one.sequence for one in found]
    assert len({one.position for one in found}) == 1


def read(bus: str, what: str, reads: int, levels: int) -> None:
    """Read books and check them."""
    opened = fastfeed.open(bus)
    books = opened.books([each.name for each in opened.instruments])
    book = opened.book(name(0))
    done = 0
    while done < reads:
        with contextlib.suppress(fastfeed.BookUnstable):
            if what == "top":
                check_top(book.top(levels), levels)
            elif what == "together":
                tops = books.top(levels)
                check_together(tops)
                check_top(tops[-1], levels)
            elif what == "image":
                check_depth(opened.book(name(0)).depth(), levels)
            else:
                check_depth(book.depth(), levels)
            done += 1


def shake(process: subprocess.Popen[bytes]) -> int:
    """Stop a process at random instants, for random times, until it ends; its exit code."""
    rng = random.Random(1)
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(rng.choice([0, 0.0001, 0.001]))
        process.send_signal(signal.SIGCONT)
        time.sleep(rng.random() * 0.0005)
    return process.wait()


def main() -> None:
    bus, *words = sys.argv[1:]
    if words and words[0] == "read":
        read(bus, words[1], int(words[2]), int(words[3]))
        return
    options = {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    chunk, flush_every = options.pop("chunk", 100), options.pop("flush_every", 1)
    feed = Flood(bus, **options)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        feed.write(chunk, flush_every)
        feed.writer.heartbeat()
    feed.writer.close()


if __name__ == "__main__":
    main()

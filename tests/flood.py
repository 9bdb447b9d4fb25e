"""A feed that writes flat out books of which any mixture can be seen, in a process of its own or in the test's.

Run as a script it writes the bus that is named until its input ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import BOOK, instrument

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


@contextlib.contextmanager
def flooding(bus: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes flat out until the block is left."""
    words = [f"{key}={value}" for key, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, __file__, bus, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])},
    )
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


def main() -> None:
    bus, *words = sys.argv[1:]
    options = {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    chunk, flush_every = options.pop("chunk", 500), options.pop("flush_every", 1)
    feed = Flood(bus, **options)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        feed.write(chunk, flush_every)
        feed.writer.heartbeat()
    feed.writer.close()


if __name__ == "__main__":
    main()

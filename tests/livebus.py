"""A bus with a name and a book, written step by step: by a test itself, or by a process that can be killed.

Run as a program it writes the bus called as its argument says, a command a line: trade, delta; it prints a line after
each, and closes the bus at the end of its input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline import BOOK, frame, instrument, rest_book, spot_depth

from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Hub


class LiveBus:
    """Two instruments: BTC/USDT with a live book of 40 levels a side, ETH/USDT still syncing."""

    def __init__(self, name: str, ring: int = 1 << 20) -> None:
        self.writer = BusWriter(name, ring=ring, instruments=4, levels=256)
        self.hub = Hub(self.writer)
        self.market = open_market(self.hub, instrument(), BOOK)
        self.quiet = open_market(self.hub, instrument("binance:ETH/USDT"), BOOK)
        self.connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), 4, 1)
        for topic, channel in (
            ("btcusdt@depth@100ms", "book"),
            ("btcusdt@trade", "trade"),
            ("btcusdt@bookTicker", "bbo"),
        ):
            self.connection.route(topic, "BTCUSDT", channel, self.market)
        self.market.expect_snapshot()
        bids = [[f"{100 - i / 100:.2f}", "1.0"] for i in range(40)]
        asks = [[f"{101 + i / 100:.2f}", "2.0"] for i in range(40)]
        self.market.apply_snapshot(BinanceDecoder(), rest_book(10, bids, asks), 40, 5)
        self.sequence = 10
        self.trades = 0
        self.quotes = 0
        self.writer.heartbeat()
        self.writer.flush()

    def delta(self, price: str = "99.50", size: str = "3.0", flush: bool = True) -> None:
        """Change a level a side."""
        self.sequence += 1
        changes = spot_depth(self.sequence, self.sequence, [[price, size]], [["102.00", "1.0"]])
        self.connection.receive(frame(changes), self.sequence)
        if flush:
            self.writer.flush()

    def trade(self) -> None:
        """Trade once, with the next id."""
        self.trades += 1
        data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": self.trades, "p": "100.01", "q": "1.5", "T": 1, "m": True}
        self.connection.receive(frame(data, "btcusdt@trade"), self.trades)
        self.writer.flush()

    def bbo(self, bid: str = "100.00", ask: str = "101.00") -> None:
        """Quote once, with the next sequence of the quotes."""
        self.quotes += 1
        data = {"u": self.quotes, "s": "BTCUSDT", "b": bid, "B": "1.25", "a": ask, "A": "2.5"}
        self.connection.receive(frame(data, "btcusdt@bookTicker"), self.quotes)
        self.writer.flush()


class RemoteBus:
    """A bus that another process writes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._line()

    def _line(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def do(self, command: str) -> None:
        """Have it write, and wait until it has."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self._line()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it cleanly."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait() == 0


@contextlib.contextmanager
def remote_bus(name: str) -> Iterator[RemoteBus]:
    """Run this file; what is left of the process at the end is killed."""
    here = Path(__file__)
    path = os.pathsep.join([str(here.parent.parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen([sys.executable, str(here), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"PYTHONPATH": path}) as process:  # fmt: skip
        try:
            yield RemoteBus(process)
        finally:
            process.kill()


def main(name: str) -> None:
    bus = LiveBus(name)
    print("done", flush=True)
    for line in sys.stdin:
        getattr(bus, line.strip())()
        bus.writer.heartbeat()
        print("done", flush=True)
    bus.writer.close()


if __name__ == "__main__":
    main(sys.argv[1])

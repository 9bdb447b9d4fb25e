"""Feeds that write a bus flat out, and what every record and book of theirs must hold.

`python feeder.py NAME RING` makes all frames once, says "ready", and then obeys lines of its standard input.
"feed N PAUSE" forks a feed that writes N chunks with so many seconds between them (more than are ready are made as it
goes); it prints the feed's process id, and "up" when its bus is there. "reap PID" waits for its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastfeed_core.drive import Frames

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))
sys.path.append(str(TESTS.parent))  # where the package is built in place and not installed
FIRST = 11  # sequence of the first delta
SLOTS = 40  # prices a side; each delta sets the size of one to its own sequence
CHUNK = 1000  # sequences that a feed writes without a look at anything else
CHUNKS = 60
NAME = "binance:BTC/USDT"


def bid(sequence: int) -> float:
    return round(100 - sequence % SLOTS / 100, 2)


def ask(sequence: int) -> float:
    return round(101 + sequence % SLOTS / 100, 2)


def newest(slot: int, sequence: int) -> int:
    """The last delta of a slot, as of a sequence: the size that it must have then."""
    found = sequence - (sequence - slot) % SLOTS
    return found if found >= FIRST else 10


def book_of(sequence: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Bids and asks as of a sequence, best first."""
    sizes = [(slot, float(newest(slot, sequence))) for slot in range(SLOTS)]
    return [(bid(slot), size) for slot, size in sizes], [(ask(slot), size) for slot, size in sizes]


def record_of(kind: str, sequence: int) -> int:
    """How many records a feed writes before this one: a snapshot and a status, then a delta and a trade in turns."""
    return 2 + 2 * (sequence - FIRST) + (kind == "trade")


def is_right(event) -> bool:
    """Whether an event holds what its own number says."""
    if event.kind == "delta":
        number = event.sequence
        return event.bids == [(bid(number), float(number))] and event.asks == [(ask(number), float(number))]
    if event.kind == "trade":
        number = event.trade_id
        return (event.price, event.size) == (bid(number), float(number))
    return event.kind in ("snapshot", "status")


class Feeder:
    """The process that forks feeds; `path` is the folder of the bus files."""

    def __init__(self, name: str, ring: int = 1 << 18) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, name, str(ring)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.alive: set[int] = set()
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fork(self, chunks: int = CHUNKS, pause: float = 0, wait: bool = True) -> int:
        """Start a feed; returns its process id, after its bus is there if asked to wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"feed {chunks} {pause}\n")
        self.process.stdin.flush()
        pid = int(self._line())
        self.alive.add(pid)
        if wait:
            assert self._line() == "up"
        return pid

    def reap(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a feed, and wait for its end."""
        assert self.process.stdin is not None
        os.kill(pid, number)
        self.process.stdin.write(f"reap {pid}\n")
        self.process.stdin.flush()
        # A feed that was not waited for may have come up before it was killed.
        while (line := self._line()) == "up":
            pass
        assert line == f"reaped {pid}", line
        self.alive.discard(pid)

    def close(self) -> None:
        for pid in list(self.alive):  # of a test that failed
            self.reap(pid)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def feeder(name: str, ring: int = 1 << 18) -> Iterator[Feeder]:
    made = Feeder(name, ring)
    try:
        yield made
    finally:
        made.close()


# ---- the process


def make_chunks(count: int) -> Iterator[Frames]:
    """Make the frames of one chunk after the other."""
    from pipeline import frame, spot_depth

    from fastfeed_core.drive import Frames

    for start in range(FIRST, FIRST + CHUNK * count, CHUNK):
        frames = []
        for n in range(start, start + CHUNK):
            price, size = f"{bid(n):.2f}", f"{n}.0"
            frames.append(frame(spot_depth(n, n, [[price, size]], [[f"{ask(n):.2f}", size]])))
            data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": n, "p": price, "q": size, "T": 1, "m": True}
            frames.append(frame(data, "btcusdt@trade"))
        yield Frames(frames)


def _feed(name: str, ring: int, chunks: Iterable[Frames], pause: float) -> None:
    """Write all chunks, then only the heart beats; SIGTERM is a clean stop."""
    from pipeline import BOOK, instrument, rest_book

    from fastfeed.protocol import open_market
    from fastfeed_core import drive
    from fastfeed_core.bus import BusWriter
    from fastfeed_core.connection import Connection
    from fastfeed_core.decoders.binance import BinanceDecoder
    from fastfeed_core.market import Hub

    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    writer = BusWriter(name, ring=ring, instruments=4, levels=256)
    hub = Hub(writer)
    market = open_market(hub, instrument(), BOOK)
    connection = Connection(hub, writer.add_connection("stress"), BinanceDecoder(), 4, 1)
    connection.route("btcusdt@depth@100ms", "BTCUSDT", "book", market)
    connection.route("btcusdt@trade", "BTCUSDT", "trade", market)
    market.expect_snapshot()
    bids = [[f"{bid(slot):.2f}", "10.0"] for slot in range(SLOTS)]
    asks = [[f"{ask(slot):.2f}", "10.0"] for slot in range(SLOTS)]
    market.apply_snapshot(BinanceDecoder(), rest_book(FIRST - 1, bids, asks), 0, 5)
    writer.heartbeat()
    writer.flush()
    os.write(1, b"up\n")
    for chunk in chunks:
        if stopped:
            break
        drive.run(connection, chunk, time.time_ns(), 8)
        until = time.monotonic() + pause
        while not stopped:
            writer.heartbeat()
            if (left := until - time.monotonic()) <= 0:
                break
            time.sleep(min(left, 0.02))
    while not stopped:
        time.sleep(0.02)
        writer.heartbeat()
    writer.close()


def main() -> None:
    name, ring = sys.argv[1], int(sys.argv[2])
    ready = list(make_chunks(CHUNKS))
    print("ready", flush=True)
    for line in sys.stdin:
        word, number, *pause = line.split()
        if word == "reap":
            os.waitpid(int(number), 0)
            os.write(1, f"reaped {number}\n".encode())
        else:
            pid = os.fork()
            if pid == 0:
                try:
                    # The first line is the parent's.
                    signal.sigtimedwait([signal.SIGUSR1], 10)
                    chunks = ready[: int(number)] if int(number) <= CHUNKS else make_chunks(int(number))
                    _feed(name, ring, chunks, float(pause[0]))
                finally:
                    os._exit(0)
            os.write(1, f"{pid}\n".encode())
            os.kill(pid, signal.SIGUSR1)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    main()

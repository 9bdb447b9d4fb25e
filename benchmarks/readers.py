"""What a reader costs: ns a record, beside its rivals.

`python -m benchmarks.readers`

Each way reads the same backlog of quotes and trades; ours and its rival take turns, and the median of the rounds'
ratios is printed beside the medians. Ratios travel to other machines, ns do not.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from decimal import Decimal
from multiprocessing import Pipe
from queue import SimpleQueue
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastfeed.bus import Bus
from fastfeed.instrument import Instrument
from fastfeed.reader import Reader
from fastfeed.rows import write_instrument
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.flood import flood

__all__ = ["RECORDS", "Backlog", "Way"]

RECORDS = 8192
LOOKS = 10_000
ROUNDS = 41
# kind, flags, instrument, connection, the times, the sequence, and the four values of a quote
QUOTE = struct.Struct("<8x 4x 2x B B I H 2x 4q q 4q")


class Way(NamedTuple):
    """Something to time: `work` after each `setup`, which is not timed."""

    setup: Callable[[], None]
    work: Callable[[], Any]


class Backlog:
    """A bus of this process with a backlog of quotes and trades in turn, all of one instrument."""

    def __init__(self) -> None:
        self.writer = BusWriter(ring=1 << 22, instruments=4, levels=256)
        one = Instrument(
            venue="binance", symbol="BTCUSDT", name="binance:BTC/USDT", kind="spot", base="BTC", quote="USDT",
            settle=None, tick_size=Decimal("0.01"), lot_size=Decimal("0.00001"), contract_size=Decimal(1),
            contract_unit="BTC", inverse=False, expiry=None, strike=None, option_type=None, status="trading",
            px_exp=-4, sz_exp=-7,
        )  # fmt: skip
        self.writer.add_instrument(write_instrument(one))
        flood(self.writer, 0, 1, RECORDS)
        self.bus = Bus(BusMap(writer=self.writer))
        self.empty = self.bus.reader()
        rows = self.reader().batch()
        # The records alone, one behind the other, as a rival would have them.
        self.quotes = np.ascontiguousarray(rows["bbo"]).tobytes()
        self.records = rows["bbo"].dtype.itemsize
        assert len(rows["bbo"]) == len(rows["trade"]) == RECORDS // 2

    def reader(self, kinds: list[str] | None = None) -> Reader:
        return self.bus.reader(kinds=kinds, start="oldest")

    def _ours(self, reader: Reader, work: Callable[[], Any]) -> Way:
        return Way(lambda: reader.attach(self.bus.map, "oldest"), work)

    def batch(self, size: int) -> Way:
        reader = self.reader()

        def work() -> int:
            rows = 0
            while batch := reader.batch(size):
                rows += len(batch["bbo"]) + len(batch["trade"])
            return rows

        return self._ours(reader, work)

    def pipe(self, size: int) -> Way:
        """Bytes of `size` records at a time, to the other end of a pipe and into an array."""
        out, into = Pipe(duplex=False)
        # A pipe holds 64 KiB: more at once would need a second process to go on.
        portion = min(size, 500) * 128
        data = bytes(portion)
        dtype = np.dtype([("words", "i8", 16)])

        def work() -> int:
            rows = 0
            while rows < RECORDS:
                into.send_bytes(data)
                rows += len(np.frombuffer(out.recv_bytes(), dtype))
            return rows

        return Way(lambda: None, work)

    def poll(self, fields: bool = False) -> Way:
        reader = self.reader(["bbo"])
        if not fields:
            return self._ours(reader, lambda: len(reader.poll(RECORDS)))
        return self._ours(reader, lambda: [(e.bid_px, e.bid_sz, e.ask_px, e.ask_sz) for e in reader.poll(RECORDS)])

    def iterate(self) -> Way:
        reader = self.reader(["bbo"])

        def work() -> int:
            count = 0
            for _ in reader:
                count += 1
                if count == RECORDS // 2:
                    break
            return count

        return self._ours(reader, work)

    def tuples(self, fields: bool = False) -> Way:
        unpack = QUOTE.unpack_from
        data = self.quotes
        places = range(16, len(data), self.records)
        if not fields:
            return Way(lambda: None, lambda: len([unpack(data, at) for at in places]))
        return Way(lambda: None, lambda: [unpack(data, at)[9:] for at in places])

    def skip(self) -> Way:
        reader = self.reader(["delta"])
        return self._ours(reader, reader.poll)

    def nothing(self) -> Way:
        return Way(lambda: None, lambda: look_often(self.empty.poll))

    def queue(self) -> Way:
        queue = SimpleQueue[int]()
        return Way(lambda: None, lambda: look_often(queue.empty))


def look_often(look: Callable[[], Any]) -> None:
    for _ in range(LOOKS):
        look()


def timed(way: Way) -> float:
    way.setup()
    start = time.perf_counter()
    way.work()
    return time.perf_counter() - start


def compare(name: str, count: int, ours: Way, rival: Way | None = None, rival_name: str = "") -> None:
    """Print ns for each of `count`, and the ratio to the rival's, by the medians of alternating rounds."""
    rounds = [(timed(ours), timed(rival) if rival else 0.0) for _ in range(ROUNDS)]
    mine = median(one for one, _ in rounds) / count * 1e9
    line = f"{name:44} {mine:8.1f}"
    if rival:
        its = median(other for _, other in rounds) / count * 1e9
        line += f" {its:8.1f}  {median(one / other for one, other in rounds):5.2f}  {rival_name}"
    print(line)


def main() -> None:
    backlog = Backlog()
    half = RECORDS // 2
    assert backlog.poll(fields=True).work() == backlog.tuples(fields=True).work()
    print(f"{'ns a record':44} {'ours':>8} {'rival':>8}  ratio")
    for size in (64, 256, 1024, 4096):
        compare(f"batch of {size}", RECORDS, backlog.batch(size), backlog.pipe(size), "bytes by pipe to numpy")
    compare("events, polled", half, backlog.poll(), backlog.tuples(), "tuples of their fields")
    compare("events, iterated", half, backlog.iterate(), backlog.tuples(), "tuples of their fields")
    compare("events and four fields", half, backlog.poll(True), backlog.tuples(True), "tuples of their fields")
    compare("a backlog in compiled code (skipped)", RECORDS, backlog.skip())
    compare("a look at nothing", LOOKS, backlog.nothing(), backlog.queue(), "SimpleQueue.empty()")


if __name__ == "__main__":
    main()

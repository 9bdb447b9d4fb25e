"""Reads a bus with nothing but Python's standard library: what docs/layout.md says, as a pattern for other languages.

    python examples/plain_reader.py BUS [COUNT]

Prints the top of the first instrument with a book, then COUNT trades. Python cannot order its loads: this is right on
x86, where loads stay in order by themselves. In a language that can, use the loads and fences that the page names.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

MAGIC, VERSION = b"FFEED_G1", 3
LIVE = 512  # where BusLive lies
TRADE, PAD = 2, 255
FORMAT = {"i1": "b", "u1": "B", "u2": "H", "u4": "I", "i8": "q", "u8": "Q"}


class Record(NamedTuple):
    """A record of the ring: where it stood, what it is, whose, and its bytes."""

    position: int
    kind: int
    instrument: int
    body: bytes


class PlainBus:
    """A bus, mapped read-only."""

    def __init__(self, name: str) -> None:
        folder = os.environ.get("FASTFEED_SHM") or "/dev/shm"
        path = os.path.join(folder, f"fastfeed.{name}.data")
        # Others may write the folder, too: no link is followed, no pipe waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path} is no plain file")
            self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        (version,) = struct.unpack_from("<I", self.map, 8)
        if self.map[:8] != MAGIC or version != VERSION:
            raise ValueError(f"{name} is no bus of layout {VERSION}")
        # The file tells each field's type and place. A compiled reader has them built in, and refuses others.
        at, size = struct.unpack_from("<QQ", self.map, 64)
        self.fields = dict(self._describe(self.map[at : at + size].decode()))
        self.generation = self.get("BusHeader.generation")
        self.control = self.get("BusHeader.control_offset")
        self.ring = self.get("BusHeader.ring_offset")
        self.capacity = self.get("BusHeader.ring_capacity")
        self.block = self.capacity // 64
        self.position = self.word(self.control + 128)  # tail: what comes from now on
        self.count = self._count_to(self.position)
        self.lost = 0

    @staticmethod
    def _describe(text: str) -> Iterator[tuple[str, tuple[str, int]]]:
        for line in text.split("\n"):
            struct_name, _, *fields = line.split(" ")
            for field in fields:
                name, kind, at = re.split("[:@]", field)
                yield f"{struct_name}.{name}", (kind, int(at))

    def get(self, field: str, at: int = 0) -> int:
        """Load one number of a struct that lies at `at`."""
        kind, offset = self.fields[field]
        return int(struct.unpack_from("<" + FORMAT[kind], self.map, at + offset)[0])

    def word(self, at: int) -> int:
        """Load one word: of the control words, or the version of a cell."""
        return int(struct.unpack_from("<Q", self.map, at)[0])

    def row(self, index: int) -> int:
        """Where the row of an instrument lies."""
        return self.get("BusHeader.instruments_offset") + index * self.get("BusHeader.instruments_stride")

    def name(self, index: int) -> str:
        """Name of an instrument."""
        at = self.row(index) + self.fields["InstrumentRow.name"][1]
        return self.map[at : at + 64].split(b"\0", 1)[0].decode()

    def exponents(self, index: int) -> tuple[int, int]:
        """Exponents of an instrument's prices and sizes."""
        at = self.row(index)
        return self.get("InstrumentRow.px_exp", at), self.get("InstrumentRow.sz_exp", at)

    def instruments(self) -> list[str]:
        """Names of all instruments, in the order of their rows."""
        return [self.name(index) for index in range(self.get("BusLive.instruments", LIVE))]

    def is_closed(self) -> bool:
        """Whether the feed has stopped cleanly."""
        return self.get("BusLive.state", LIVE) == 2

    def is_live(self) -> bool:
        """Whether the feed has said within a second that it lives."""
        age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - self.get("BusLive.heartbeat", LIVE)
        return not self.is_closed() and age < 1_000_000_000

    # ---- the ring

    def _lapped(self, position: int) -> bool:
        return position + self.capacity < self.word(self.control)  # claimed

    def _count_to(self, position: int) -> int:
        """Records before a position that the ring holds: those before its block, and those on the way from there."""
        start = position - position % self.block
        self.position = start
        self.count = self.word(self.control + 256 + 8 * (start // self.block % 64))
        while self.position < position and self._read() is not None:
            pass
        return self.count

    def _read(self) -> Record | None:
        """The record at the position, None if there is none yet; OverflowError if the reader was lapped."""
        while True:
            at = self.ring + self.position % self.capacity
            stamp, _, length, kind, _ = struct.unpack_from("<QIHBB", self.map, at)
            if stamp != ((self.generation << 48) ^ (self.position // 64 + 1)) & (2**64 - 1):
                if self._lapped(self.position):
                    raise OverflowError
                return None
            room = self.block - self.position % self.block
            body = self.map[at : at + min(length, room)]
            if self._lapped(self.position):  # what was copied may be of a later record
                raise OverflowError
            position = self.position
            if kind == PAD:
                self.position += room
                continue
            self.position += -(-length // 64) * 64
            self.count += 1
            (instrument,) = struct.unpack_from("<I", body, 16)
            return Record(position, kind, instrument, body)

    def records(self) -> Iterator[Record]:
        """What the ring holds behind the position; after a lap it goes on in the middle, and `lost` has grown."""
        while True:
            try:
                record = self._read()
            except OverflowError:
                before = self.count
                middle = self.word(self.control) - self.capacity // 2
                self._count_to(middle - middle % self.block)
                self.lost += self.count - before
                continue
            if record is None:
                return
            yield record

    # ---- the top of a book

    def top(self, index: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The published levels of a book, as pairs of mantissas, all of one moment."""
        stride, depth = self.get("BusHeader.cells_stride"), self.get("BusHeader.cells_depth")
        cell = self.get("BusHeader.cells_offset") + index * stride
        for _ in range(1000):
            version = self.word(cell)
            slot = cell + 128 + version // 2 % 2 * ((stride - 128) // 2)
            n_bids, n_asks = self.get("TopHead.n_bids", slot), self.get("TopHead.n_asks", slot)
            levels = self.map[slot + 64 : slot + 64 + 32 * depth]
            if self.word(cell) < version // 2 * 2 + 3:
                pairs = list(struct.iter_unpack("<qq", levels))
                return pairs[:n_bids], pairs[depth : depth + n_asks]
        raise TimeoutError("every copy was overwritten while it was made")


def main(name: str, count: int = 10) -> None:
    bus = PlainBus(name)
    names = bus.instruments()
    index = next(index for index in range(len(names)) if bus.get("InstrumentRow.has_book", bus.row(index)))
    px_exp, sz_exp = bus.exponents(index)
    bids, asks = bus.top(index)
    print(f"top {names[index]} {'live' if bus.is_live() else 'stale'}")
    for side, levels in (("bid", bids[:3]), ("ask", asks[:3])):
        for px, sz in levels:
            print(f"  {side} {px * 10.0**px_exp:.10g} {sz * 10.0**sz_exp:.10g}")
    printed = 0
    while printed < count and not bus.is_closed():
        for record in bus.records():
            if record.kind == TRADE and printed < count:
                px, sz = struct.unpack_from("<qq", record.body, bus.fields["TradeRecord.px"][1])
                print(f"trade {record.position} {bus.name(record.instrument)} {px} {sz}", flush=True)
                printed += 1
        time.sleep(0.001)
    print(f"end lost {bus.lost}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))

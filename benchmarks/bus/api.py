"""What a consumer in Python pays: batches, events, the top of a book, a look at an empty ring.

One process, pinned, on a real bus in shared memory whose ring was filled by the receive path. Times are of the thread,
in chunks of some milliseconds, with the garbage collector off. What comes out is compared with what went in first.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import fastfeed
from benchmarks import frames
from benchmarks.bus.table import Rows
from benchmarks.ratios import no_collector
from benchmarks.stage import PRODUCTS, TS, Stage, open_stage, pack
from fastfeed.book import Top
from fastfeed_core import drive
from fastfeed_core.top import TopReader

QUOTES = 16_384
NAME = "binance:BTC/USDT"
#: the fields of a bbo event: kind, flags, instrument, connection, five times and sequences, four prices and sizes
RECORD = struct.Struct("<14xBBIH2x9q32x")


def best(prepare: Callable[[], Callable[[], object]], count: int, runs: int = 7) -> float:
    """Return ns a piece of work that is `count` pieces: the median of some runs, so that a preempted one is none."""
    times = []
    for _ in range(runs):
        work = prepare()
        start = time.thread_time_ns()
        work()
        times.append(time.thread_time_ns() - start)
    return sorted(times)[runs // 2] / count


def repeat(call: Callable[[], object], count: int) -> Callable[[], Callable[[], object]]:
    """Return work that calls something so many times, without a bytecode between two calls."""
    return lambda: lambda: deque(itertools.starmap(call, itertools.repeat((), count)), maxlen=0)


def batches(bus: fastfeed.Bus, size: int) -> Callable[[], Callable[[], int]]:
    """Return what makes work that reads all quotes in batches, by one reader, as it stands after its first batches."""
    reader = bus.reader(start="oldest", kinds=["bbo"])

    def work() -> int:
        read = 0
        while arrays := reader.batch(size):
            if "bbo" in arrays:
                read += len(arrays["bbo"])
        return read

    def prepare() -> Callable[[], int]:
        reader.attach(bus._map, "oldest")
        return work

    work()
    return prepare


def events(bus: fastfeed.Bus) -> Callable[[], int]:
    """Return work that reads all quotes as events, and drops them."""
    reader = bus.reader(start="oldest", kinds=["bbo"])

    def work() -> int:
        read = 0
        while found := reader.poll(256):
            read += len(found)
        return read

    return work


def tuples(memory: bytes) -> Callable[[], int]:
    """Return work that makes a tuple of the fields of each record, 256 alive at a time as above."""
    rows = RECORD.iter_unpack(memory)

    def work() -> int:
        read = 0
        while found := list(itertools.islice(rows, 256)):
            read += len(found)
        return read

    return work


def check(bus: fastfeed.Bus) -> None:
    """Compare what comes out in the three ways."""
    every = bus.reader(start="oldest", kinds=["bbo"]).poll(QUOTES + 1)
    arrays = bus.reader(start="oldest", kinds=["bbo"]).batch(1 << 20)["bbo"]
    if len(every) != QUOTES or len(arrays) != QUOTES or batches(bus, 256)()() != QUOTES or events(bus)() != QUOTES:
        raise AssertionError(f"quotes: expected {QUOTES}, was {len(every)} and {len(arrays)}")
    if [event.bid_px for event in every] != arrays["bid_px"].tolist():
        raise AssertionError("prices of events and of batches differ")


def records(bus: fastfeed.Bus) -> bytes:
    """Return the quotes of the ring one behind the other, in whole lines: what the rival unpacks."""
    arrays = bus.reader(start="oldest", kinds=["bbo"]).batch(1 << 20)["bbo"]
    out = bytearray()
    for row in arrays:
        fields = [int(row[name]) for name in ("kind", "flags", "instrument", "connection")]
        values = ("ts_event", "ts_send", "ts_recv", "ts_publish", "sequence", "bid_px", "bid_sz", "ask_px", "ask_sz")
        out += RECORD.pack(*fields, *(int(row[name]) for name in values))
    return bytes(out)


def compiled_top(bus: fastfeed.Bus, count: int) -> Callable[[], object]:
    """Return work that copies a top in compiled code so many times."""
    reader = TopReader(bus._map, 0, Top, tuple(fastfeed.BookState), fastfeed.Position)
    return lambda: drive.read_tops(reader, 5, count)


def measure(stage: Stage, made: frames.Made, rows: Rows, chunks: int) -> None:
    """Fill the bus, check it, and add the chunks."""
    drive.run(stage.connection, pack(made.kinds["depth"][:200]), TS)
    drive.run(stage.connection, pack(made.kinds["bookTicker"]), TS)
    assert stage.bus.name is not None
    bus = fastfeed.open(stage.bus.name)
    check(bus)
    rival = records(bus)
    book = bus.book(NAME)
    empty = bus.reader()
    for _ in range(chunks):
        stage.bus.heartbeat()
        if len(book.top(5).bids) != 5 or book.state is not fastfeed.BookState.LIVE or empty.poll():
            raise AssertionError("the book is not live, or the ring not empty")
        for row, value in chunk(bus, book, empty, rival, stage, rows):
            row.add(value)


def chunk(
    bus: fastfeed.Bus, book: fastfeed.Book, empty: fastfeed.Reader, rival: bytes, stage: Stage, rows: Rows
) -> Iterator[tuple[Any, float]]:
    """Yield each row with its figure."""
    for size in (256, 1024, 65536):
        row = rows.row("python", f"batch({size})", "ns a record", {"": 15.0})
        yield row, best(batches(bus, size), QUOTES)
    ours = best(lambda: events(bus), QUOTES)
    theirs = best(lambda: tuples(rival), QUOTES)
    yield rows.row("python", "event of poll(256)", "ns an event"), ours
    yield rows.row("python", "tuple of its fields by struct.iter_unpack", "ns a tuple"), theirs
    yield rows.row("python", "event / tuple", "ratio", {"": 1.5}), ours / theirs
    stage.bus.heartbeat()
    yield rows.row("python", "top(5)", "ns", {"": 1500.0}), best(repeat(lambda: book.top(5), 5000), 5000)
    compiled = compiled_top(bus, 100_000)
    stage.bus.heartbeat()
    yield rows.row("python", "... its compiled part", "ns", {"": 60.0}), best(lambda: compiled, 100_000)
    yield rows.row("python", "poll of an empty ring", "ns", {"": 100.0}), best(repeat(empty.poll, 20_000), 20_000)


def run(rows: Rows, chunks: int, cpu: int) -> None:
    """Measure on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        made = frames.make("spot", QUOTES)
        with open_stage(PRODUCTS["spot"], (), made.snapshot, clock=True, ring=1 << 26) as stage, no_collector():
            measure(stage, made, rows, chunks)
    finally:
        os.sched_setaffinity(0, allowed)

"""Records through the ring, from Python, against what Python has to hand records over.

`deque` and `SimpleQueue` pass a reference within a process: they copy nothing and nobody else can read them. `Pipe` is
what another process would read: copies as the ring's, and two system calls a record.
"""

from __future__ import annotations

from collections import deque
from multiprocessing import Pipe
from queue import SimpleQueue

import pytest

from fastfeed_core.ring import Ring

RECORDS = 10_000
SIZES = [80, 1000]  # of a payload: a quote; a delta of 60 levels


def payloads(size):
    return [i.to_bytes(8, "little") * (size // 8) for i in range(RECORDS)]


def write_all(write, records):
    deque(map(write, records), maxlen=0)


def write_and_read_all(write, read, records):
    for record in records:
        write(record)
        read()


@pytest.mark.parametrize("who", ["fastfeed", "deque"])
@pytest.mark.parametrize("size", SIZES)
def test_write(benchmark, size, who):
    benchmark.group = f"ring write, {RECORDS} records of {size} bytes"
    records = payloads(size)
    ring = Ring(1 << 22)
    queue = deque(maxlen=len(records))
    for record in records[:100]:
        ring.write(record)
        assert ring.read()[2] == record
    benchmark.pedantic(
        write_all, (ring.write if who == "fastfeed" else queue.append, records), rounds=15, warmup_rounds=2
    )


@pytest.mark.parametrize("who", ["fastfeed", "deque", "simplequeue", "pipe"])
@pytest.mark.parametrize("size", SIZES)
def test_write_and_read(benchmark, size, who):
    benchmark.group = f"ring write and read, {RECORDS} records of {size} bytes"
    records = payloads(size)
    if who == "fastfeed":
        ring = Ring(1 << 22)
        write, read = ring.write, ring.read
        write(records[1])
        assert read()[2] == records[1]
    elif who == "deque":
        queue = deque()
        write, read = queue.append, queue.popleft
    elif who == "simplequeue":
        simple = SimpleQueue()
        write, read = simple.put, simple.get
    else:
        reader, writer = Pipe(duplex=False)
        write, read = writer.send_bytes, reader.recv_bytes
    benchmark.pedantic(write_and_read_all, (write, read, records), rounds=9, warmup_rounds=1)
    if who == "pipe":
        reader.close()
        writer.close()

"""A backlog of one bus, read in every way, against what else would hand the same values over.

`tuples` unpacks the same records into plain tuples of their fields, in C; `pipe` is what another process would send:
the same bytes through two system calls, given to numpy. Figures are for a whole backlog of 8,192 records of two lines
(128 bytes): divide by it. `python -m benchmarks.readers` does that, with rivals in alternating rounds.
"""

from __future__ import annotations

import pytest

from benchmarks import readers

SIZES = (256, 4096)


@pytest.fixture(scope="module")
def backlog():
    return readers.Backlog()


def run(benchmark, way):
    benchmark.pedantic(way.work, setup=way.setup, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("who", ["fastfeed", "pipe"])
@pytest.mark.parametrize("size", SIZES)
def test_batch(benchmark, backlog, size, who):
    benchmark.group = f"batches of {size} records"
    run(benchmark, backlog.batch(size) if who == "fastfeed" else backlog.pipe(size))


@pytest.mark.parametrize("who", ["fastfeed", "fastfeed-iterated", "tuples"])
def test_events(benchmark, backlog, who):
    benchmark.group = "events, one by one"
    ways = {"fastfeed": backlog.poll, "fastfeed-iterated": backlog.iterate, "tuples": backlog.tuples}
    run(benchmark, ways[who]())


@pytest.mark.parametrize("who", ["fastfeed", "tuples"])
def test_events_and_four_of_their_fields(benchmark, backlog, who):
    benchmark.group = "events, and four of their fields"
    run(benchmark, backlog.poll(fields=True) if who == "fastfeed" else backlog.tuples(fields=True))


def test_a_backlog_in_compiled_code(benchmark, backlog):
    benchmark.group = "a backlog that nobody wants"
    run(benchmark, backlog.skip())


@pytest.mark.parametrize("who", ["fastfeed", "queue"])
def test_nothing_is_there(benchmark, backlog, who):
    benchmark.group = "10,000 looks at nothing"
    run(benchmark, backlog.nothing() if who == "fastfeed" else backlog.queue())

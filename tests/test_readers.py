"""readers: the rows in which readers say how far they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from processes import wait_for
from test_reader import Feed

import fastfeed
from fastfeed_core.bus import path
from fastfeed_core.counters import Histogram
from fastfeed_core.readers import list_rows

ROWS = 256


@pytest.fixture
def feed(shm):
    made = Feed("rows")
    yield made
    made.writer.close()
    assert list(shm.iterdir()) == []


def test_a_row_says_who_reads_and_how_far(feed):
    bus = fastfeed.open("rows")
    with bus.reader(start="oldest", wait="spin", label="maker \N{EURO SIGN}") as reader:
        (row,) = bus.map.readers()
        assert (row["label"], row["pid"], row["wait"]) == ("maker \N{EURO SIGN}", os.getpid(), "spin")
        assert (row["generation"], row["read"], row["lost"], row["latency"]) == (bus.generation, 0, 0, None)
        assert row["behind"] == bus.map.record_count > 0
        assert row["heartbeat_age"] >= 0
        for number in range(1, 100):
            feed.trade(number)
        assert len(reader.poll()) == bus.map.record_count
        reader.tell_now()
        (row,) = bus.map.readers()
        assert (row["position"], row["read"], row["behind"]) == (reader.offset, bus.map.record_count, 0)
    assert bus.map.readers() == []


def test_a_row_tells_of_laps_without_being_asked(feed):
    bus = fastfeed.open("rows")
    reader = bus.reader()
    for _ in range(20_000):
        feed.delta(flush=False)
    feed.writer.flush()
    wait_for(lambda: reader.poll() or bus.map.readers()[0]["lost"])
    wait_for(lambda: reader.poll() or bus.map.readers()[0]["lost"] == reader.lost > 0)


def test_rows_are_used_again(feed):
    bus = fastfeed.open("rows")
    first, second = bus.reader(label="first"), bus.reader(label="second")
    assert (first.slot.index, second.slot.index) == (0, 1)
    first.close()
    assert [row["label"] for row in bus.map.readers()] == ["second"]
    third = bus.reader(label="third")
    assert third.slot.index == 0
    del second
    assert [row["label"] for row in bus.map.readers()] == ["third"]


def test_the_row_of_a_killed_reader_is_free(feed):
    bus = fastfeed.open("rows")
    source = (
        "import fastfeed, time; r = fastfeed.open('rows').reader(label='victim'); print(1, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        (row,) = bus.map.readers()
        assert (row["label"], row["pid"]) == ("victim", process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert bus.map.readers() == []
        assert bus.reader().slot.index == 0


def test_a_reader_without_a_row_reads_all_the_same(feed):
    bus = fastfeed.open("rows")
    readers = [bus.reader() for _ in range(ROWS + 1)]
    assert [reader.slot.index for reader in readers] == [*range(ROWS), -1]
    feed.trade(1)
    assert [event.trade_id for event in readers[-1].poll()] == [1]
    assert len(bus.map.readers()) == ROWS
    os.unlink(path("rows", "readers"))
    without = bus.reader()
    feed.trade(2)
    assert (without.slot.index, [event.trade_id for event in without.poll()]) == (-1, [2])


def test_nothing_is_followed_and_nothing_blocks(feed, tmp_path):
    bus = fastfeed.open("rows")
    file = path("rows", "readers")
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    for make in (lambda: os.symlink(mine, file), lambda: os.mkfifo(file), lambda: os.mkdir(file)):
        os.rmdir(file) if os.path.isdir(file) else os.unlink(file)
        make()
        assert bus.reader().poll() == []
        assert list_rows(file) == []
    os.rmdir(file)
    assert mine.read_bytes() == b"precious"


def test_rows_of_garbage_are_rows(feed):
    file = path("rows", "readers")
    reader = fastfeed.open("rows").reader(latency=True)
    for byte in (b"\0", b"\x7f", b"\xff"):
        with open(file, "r+b") as out:
            out.write(byte * 100_000)
        (row,) = list_rows(file)
        assert isinstance(row["label"], str)
    os.truncate(file, 50)
    assert list_rows(file) == []
    os.truncate(file, 500)
    assert list_rows(file)[0]["latency"] is None
    reader.tell_now()
    (row,) = list_rows(file)
    assert (row["label"], row["pid"]) == (reader.slot.label, os.getpid())


@pytest.mark.parametrize("how", ["poll", "batch", "iterate", "conflated"])
def test_the_time_from_publish_to_read_is_counted(feed, how):
    bus = fastfeed.open("rows")
    if how == "conflated":
        reader = bus.conflated(kinds=["trade"], latency=True)
    else:
        reader = bus.reader(kinds=["trade"], latency=True)
    without = bus.reader(kinds=["trade"])
    for number in range(1, 51):
        feed.trade(number)
        feed.delta()
        if how == "batch":
            reader.batch()
        elif how == "iterate":
            next(iter(reader))
        else:
            reader.poll()
        without.poll()
    reader.tell_now()
    row, other = bus.map.readers()
    histogram = Histogram(*row["latency"])
    assert histogram.count == 50
    assert 0 < histogram.percentile(50) <= histogram.max
    assert other["latency"] is None


def test_readers_of_another_generation_are_not_listed(feed):
    bus = fastfeed.open("rows")
    old = bus.reader(label="old")
    feed.writer.close()
    feed.writer = Feed("rows").writer
    # Its lock is on the file of its own generation, its row in that one as well.
    late = fastfeed.open("rows")
    assert late.map.readers() == []
    assert late.reader(label="new").slot.index == 0
    events = wait_for(old.poll)
    assert (events[0].reason, old.restarts) == ("restarted", 1)
    assert [row["label"] for row in late.map.readers()] == ["old"]

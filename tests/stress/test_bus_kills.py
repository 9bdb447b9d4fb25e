"""Feeds and readers of a real bus killed at random instants: whole records, exact losses, the next generation."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checked import Checked
from feeder import NAME, feeder
from pipeline import instrument
from processes import wait_for

import fastfeed
from fastfeed import BookState
from fastfeed.reader import Reader
from fastfeed.rows import write_instrument
from fastfeed_core.bus import BusWriter


def test_a_killed_feed_is_noticed_once_and_the_next_one_followed(shm, kills, seed):
    rng = random.Random(seed)
    with feeder("killed") as feeds:
        pid = feeds.fork()
        bus = fastfeed.open("killed")
        book = bus.book(NAME)
        seen = Checked(bus, bus.reader(start="oldest"))
        for number in range(kills):
            until = time.monotonic() + rng.uniform(0, 0.05)
            while time.monotonic() < until:
                seen.poll()
                seen.look()
            feeds.reap(pid)
            wait_for(lambda: seen.poll() and seen.gone > number)  # noqa: B023
            assert seen.gone == number + 1
            seen.look()  # of a dead feed, too, and whole
            if number < 2:
                wait_for(lambda: book.state is not BookState.LIVE)  # its heart has stopped
                for _ in range(20):  # once: nothing more is said of it
                    assert not seen.poll()
                    time.sleep(0.02)
            pid = feeds.fork()  # at once
            wait_for(lambda: seen.poll() and seen.restarts > number)  # noqa: B023
            assert (seen.restarts, seen.gone) == (number + 1, number + 1)
        wait_for(seen.poll)
        seen.look()
        feeds.reap(pid, signal.SIGTERM)
        wait_for(lambda: not seen.poll())
        assert (seen.gone, seen.reader.restarts) == (kills, kills)
        assert seen.depths > kills
    assert list(shm.iterdir()) == []


def test_a_reader_that_does_not_look_for_a_new_generation_never_sees_it(shm, monkeypatch):
    """The look is what the test above rests on."""
    monkeypatch.setattr(Reader, "_restart", lambda self: None)
    with feeder("unlooked") as feeds:
        pid = feeds.fork(1)
        bus = fastfeed.open("unlooked")
        seen = Checked(bus, bus.reader(start="oldest"))
        wait_for(seen.poll)
        feeds.reap(pid)
        wait_for(lambda: seen.poll() and seen.gone)
        pid = feeds.fork(1)
        with pytest.raises(AssertionError, match="waited in vain"):
            wait_for(lambda: seen.poll() and seen.restarts, seconds=1)
        feeds.reap(pid, signal.SIGTERM)


def test_a_feed_killed_while_it_starts_leaves_nothing_that_stays(shm, kills, seed):
    rng = random.Random(seed)
    with feeder("starting") as feeds:
        for _ in range(3 * kills):
            pid = feeds.fork(1, wait=False)
            time.sleep(rng.uniform(0, 0.004))
            feeds.reap(pid)
        pid = feeds.fork(1)
        bus = fastfeed.open("starting")
        seen = Checked(bus, bus.reader(start="oldest"))
        wait_for(seen.poll)
        seen.look()
        feeds.reap(pid, signal.SIGTERM)
    assert list(shm.iterdir()) == []


def test_a_feed_killed_between_a_row_and_its_book_leaves_one_of_which_nothing_is_known(shm):
    writer = BusWriter("row", ring=1 << 16, instruments=2, levels=256)
    writer.status(-1, -1, 1, 1, 1, 1)
    writer.flush()
    writer.add_instrument(write_instrument(instrument(), True), True)
    book = fastfeed.open("row").book(NAME)
    top, depth = book.top(3), book.depth()
    assert top[:6] == (BookState.SYNCING, [], [], None, None, None)
    assert (depth.state, depth.complete_to, depth.sequence) == (BookState.SYNCING, (None, None), None)
    assert top.position.offset == depth.position.offset == writer.position
    writer.close()


READER = """
import sys
sys.path[:0] = sys.argv[2:]
import fastfeed
from feeder import is_right
bus = fastfeed.open("readers", timeout=60)
print("up", flush=True)
for event in bus.reader(start="oldest", wait=sys.argv[1]):
    if not is_right(event):
        print("wrong", event, flush=True)
"""


def _reader(how: str) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    started = subprocess.Popen(
        [sys.executable, "-c", READER, how, str(here), str(here.parent), str(here.parent.parent)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    return started


def test_killed_readers_leave_the_feed_and_other_readers_alone(shm, kills, seed):
    rng = random.Random(seed)
    with feeder("readers") as feeds:
        pid = feeds.fork(pause=kills / 100)  # for as long as the readers take to start
        bus = fastfeed.open("readers")
        before = sorted(path.name for path in shm.iterdir())
        witness = Checked(bus, bus.reader(start="oldest"))
        wait_for(witness.poll)
        for number in range(kills):
            how = ("block", "yield", "spin")[number % 3]
            reader = _reader(how)
            until = time.monotonic() + rng.uniform(0, 0.1)
            while time.monotonic() < until:
                witness.poll()
            reader.kill()
            assert reader.stdout is not None
            assert reader.stdout.read() == ""  # nothing that was wrong
            reader.wait()
            reader.stdout.close()
        os.kill(pid, 0)
        witness.look()
        assert (witness.gone, witness.restarts) == (0, 0)
        assert witness.events > kills
        assert sorted(path.name for path in shm.iterdir()) == before
        feeds.reap(pid, signal.SIGTERM)
    assert list(shm.iterdir()) == []

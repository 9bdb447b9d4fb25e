"""Stopped, not killed: a reader costs the feed nothing and knows its exact loss; a feed is stale, not gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from checked import Checked
from feeder import CHUNK, CHUNKS, FIRST, NAME, feeder, record_of
from processes import wait_for
from toolchain import compile_program

import fastfeed
from fastfeed import BookState

HERE = Path(__file__).parent
ROUNDS = 20  # of the ring while the readers are stopped


def wait_for_state(pid: int, letter: str) -> None:
    """Wait until a process is stopped (T) or sleeps (S)."""
    status = Path(f"/proc/{pid}/status")
    wait_for(lambda: re.search(rf"^State:\s+{letter}", status.read_text(), re.MULTILINE))


@contextlib.contextmanager
def readers(program: Path, ring: Path, how: str, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Readers in processes of their own, each behind the last record."""
    started = [
        subprocess.Popen([program, ring, how], stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for each in started:
            each.send_signal(signal.SIGCONT)
            each.kill()
            each.communicate()


def line(process: subprocess.Popen[str]) -> dict[str, int]:
    assert process.stdout is not None
    found: dict[str, int] = json.loads(process.stdout.readline())
    return found


def produce(program: Path, ring: Path, folder: Path) -> tuple[int, dict[str, int]]:
    """Write under callgrind; returns the instructions of publishing alone, and what the program printed."""
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", "--quiet", "--toggle-collect=publish", f"--callgrind-out-file={out}"]
    done = subprocess.run([*command, program, ring, "produce", str(ROUNDS)], capture_output=True, text=True, check=True)
    total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert total is not None
    return int(total[1]), json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_stopped_readers_do_not_move_the_cost_of_publishing_and_learn_their_exact_loss(tmp_path):
    program = compile_program(tmp_path, "stop_stress")
    ring = tmp_path / "ring"
    subprocess.run([program, ring, "init"], check=True)
    produce(program, ring, tmp_path)  # its first round has one block less to claim
    alone, found = produce(program, ring, tmp_path)
    assert found["wakes"] == 0
    with readers(program, ring, "read", 3) as spinning, readers(program, ring, "sleep", 2) as sleeping:
        starts = [line(each)["start"] for each in spinning + sleeping]
        assert set(starts) == {found["written"]}
        for each in sleeping:
            wait_for_state(each.pid, "S")
        for each in spinning + sleeping:
            each.send_signal(signal.SIGSTOP)
            wait_for_state(each.pid, "T")
        # The sleepers had asked to be woken: that is done once, for all of them, and not again.
        beside, found = produce(program, ring, tmp_path)
        assert found["wakes"] == 1
        assert 0 <= beside - alone < 200
        beside, found = produce(program, ring, tmp_path)
        assert found["wakes"] == 0
        assert beside == alone
        for each in spinning + sleeping:
            each.send_signal(signal.SIGCONT)
        subprocess.run([program, ring, "end"], check=True)
        for each, start in zip(spinning + sleeping, starts, strict=True):
            got = line(each)
            assert got["torn"] == 0
            assert got["lost"] > 0
            assert start + got["read"] + got["lost"] == found["written"]


READER = """
import sys
sys.path[:0] = sys.argv[2:]
import fastfeed
from checked import Checked
bus = fastfeed.open(sys.argv[1])
seen = Checked(bus, bus.reader(start="oldest"))
while not seen.poll():
    pass
print("up", flush=True)
while not bus.map.closed:
    seen.poll()
while seen.poll():
    pass
print(seen.before + seen.read + seen.reader.lost, seen.reader.lost, seen.gone, flush=True)
"""


def test_a_stopped_reader_of_a_bus_learns_its_exact_loss(shm):
    with feeder("stopped") as feeds:
        pid = feeds.fork(pause=0.03)
        fastfeed.open("stopped", timeout=30)
        os.kill(pid, signal.SIGSTOP)  # else it could be done before the reader has started
        paths = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, "stopped", *paths], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "up\n"
        reader.send_signal(signal.SIGSTOP)
        wait_for_state(reader.pid, "T")
        os.kill(pid, signal.SIGCONT)
        bus = fastfeed.open("stopped")
        last = FIRST + CHUNK * CHUNKS - 1
        wait_for(lambda: bus.book(NAME).top().sequence == last)
        assert bus.book(NAME).state is BookState.LIVE  # the feed minds nobody
        reader.send_signal(signal.SIGCONT)
        wait_for(lambda: bus.map.record_count == record_of("trade", last) + 1)
        feeds.reap(pid, signal.SIGTERM)
        total, lost, gone = map(int, reader.communicate()[0].split())
        assert reader.returncode == 0
        assert (total, gone) == (record_of("trade", last) + 1, 0)
        assert lost > 0
    assert list(shm.iterdir()) == []


def test_a_stopped_feed_is_stale_and_not_gone_and_goes_on(shm):
    with feeder("still") as feeds:
        pid = feeds.fork(pause=0.2)
        bus = fastfeed.open("still")
        seen = Checked(bus, bus.reader(start="oldest"))
        book = bus.book(NAME)
        for _ in range(2):
            wait_for(lambda: book.state is BookState.LIVE)
            wait_for(seen.poll)
            os.kill(pid, signal.SIGSTOP)
            wait_for_state(pid, "T")
            wait_for(lambda: book.state is BookState.STALE)
            seen.look()
            for _ in range(30):  # longer than a reader waits before it asks whether the feed has died
                seen.poll()
                time.sleep(0.01)
            os.kill(pid, signal.SIGCONT)
            at = seen.events
            wait_for(lambda: seen.poll() and seen.events > at + CHUNK)  # noqa: B023
        assert (seen.gone, seen.restarts) == (0, 0)
        feeds.reap(pid, signal.SIGTERM)
    assert list(shm.iterdir()) == []

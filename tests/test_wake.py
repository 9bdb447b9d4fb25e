"""wake: no wake-up is missed, nobody who sleeps costs the feed more than one call a flush, and no file can hurt it."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from processes import run_python, wait_for
from test_reader import Feed

import fastfeed
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter, path
from fastfeed_core.records import FORMATS

CORE = Path(__file__).parent.parent / "fastfeed_core"
COMPILER = shutil.which(os.environ.get("CC", "cc"))


def race(folder: Path, tries: int, *flags: str) -> dict[str, int]:
    """Compile the race of a publishing and a sleeping thread and run it; what it counted."""
    program = folder / "wake_race"
    source = Path(__file__).with_name("wake_race.c")
    command = [COMPILER, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CORE}", *flags]
    subprocess.run([*command, str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program), str(tries)], check=True, capture_output=True, text=True)
    return {key: int(value) for key, value in (word.split("=") for word in done.stdout.split())}


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_no_wake_up_is_missed(tmp_path, request):
    tries = request.config.getoption("--wakes")
    found = race(tmp_path, tries)
    assert (found["tries"], found["missed"]) == (tries, 0)
    # It did sleep, and it did race: some records came while it was on its way to sleep.
    assert found["slept"] > 0
    assert found["caught"] > 0


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor sees its own stores in order")
def test_without_the_fence_wake_ups_are_missed(tmp_path):
    for _ in range(20):
        if race(tmp_path, 200_000, "-DFF_NO_WAKE_FENCE", "-DSTOP_AT_FIRST")["missed"]:
            return
    raise AssertionError("the race does not see what the fence prevents")


def test_all_sleepers_together_cost_one_call_a_flush_and_nobody_costs_none(shm):
    feed = Feed("sleepy")
    bus = fastfeed.open("sleepy")
    feed.trade(1)
    assert feed.writer.wakes == 0
    readers = [bus.reader(kinds=["trade"]) for _ in range(8)]
    got: list[list[int]] = [[] for _ in readers]

    def follow(number: int) -> None:
        got[number].extend(event.trade_id for event in readers[number])

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    flushes = 0
    for number in range(2, 200):
        feed.writer.heartbeat()
        feed.trade(number)
        flushes += 1
        if number % 20 == 0:
            wait_for(lambda number=number: all(len(each) == number - 1 for each in got))
    feed.writer.close()
    for thread in threads:
        thread.join(60)
    assert got == [list(range(2, 200))] * 8
    # One of them is that of the close.
    assert 0 < feed.writer.wakes <= flushes
    assert list(shm.iterdir()) == []


HOSTILE = """
import os, random, sys
path, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
for _ in range(3000):
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        what = rng.random()
        if what < 0.2:
            os.ftruncate(file.fileno(), rng.choice([0, 1, 100, 4096, 12288, 1 << 20]))
        elif what < 0.25:
            file.write(b"\\xff" * 200_000)
        else:
            file.seek(rng.randrange(max(1, size)))
            file.write(rng.randbytes(rng.randrange(1, 400)))
print("done")
"""


def test_garbage_in_the_readers_file_hurts_nobody(shm):
    feed = Feed("hostile")
    bus = fastfeed.open("hostile")
    reader = bus.reader(kinds=["trade"], latency=True)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(event.trade_id for event in reader))
    thread.start()
    out: list[str] = []
    enemy = threading.Thread(target=lambda: out.append(run_python(HOSTILE, path("hostile", "readers"), "1")))
    enemy.start()
    number = 0
    while enemy.is_alive() or number < 100:
        number += 1
        feed.writer.heartbeat()
        feed.trade(number)
        assert isinstance(bus.map.readers(), list)
        with bus.reader(label="short") as short:
            short.poll()
        wait_for(lambda number=number: len(got) == number)
    enemy.join()
    assert out == ["done\n"]
    feed.writer.close()
    thread.join(60)
    assert got == list(range(1, number + 1))


def test_a_bell_that_rings_all_the_time_costs_one_call_a_flush(shm):
    feed = Feed("rung")
    bus_map = fastfeed.open("rung").map
    for number in range(1, 101):
        for _ in range(3):
            bus_map.ask_for_wake()
        feed.trade(number)
    assert feed.writer.wakes == 100
    for number in range(101, 201):
        feed.trade(number)
    assert feed.writer.wakes == 100  # whoever asks no more costs no more
    feed.writer.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become others")
@pytest.mark.parametrize(("group", "rings"), [(65534, True), (None, False)])
def test_the_bell_is_for_those_who_may_read_the_bus(group, rings):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        os.chmod(folder, 0o755)
        patch.setenv("FASTFEED_SHM", folder)
        writer = BusWriter("shared", ring=1 << 20, instruments=4, levels=256, group=group)
        child = os.fork()
        if child == 0:
            code = 3
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                code = fastfeed.open("shared").map.has_bell
            except fastfeed.BusNotFound:
                code = 2  # not even the data
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (1 if rings else 2)
        assert BusMap("shared").has_bell
        writer.close()


def test_without_a_bell_a_blocking_reader_looks_by_itself(shm):
    feed = Feed("silent")
    # The id of nobody's segment: as in another IPC namespace.
    with open(path("silent", "data"), "r+b") as file:
        fields = {name: at for name, _, _, at in FORMATS["BusHeader"]}
        file.seek(fields["bell"])
        file.write((2**31 - 1).to_bytes(8, "little"))
    bus = fastfeed.open("silent")
    assert not bus.map.has_bell
    reader = bus.reader(kinds=["trade"])
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(event.trade_id for event in reader))
    thread.start()
    for number in range(1, 20):
        feed.writer.heartbeat()
        feed.trade(number)
        wait_for(lambda number=number: len(got) == number)
    assert feed.writer.wakes == 0
    feed.writer.close()
    thread.join(60)


def test_no_segment_is_left_behind(shm):
    before = Path("/proc/sysvipc/shm").read_text() if Path("/proc/sysvipc/shm").exists() else None
    if before is None:
        pytest.skip("no System V memory here")
    mine = os.getpid()

    def segments() -> list[str]:
        rows = [row.split() for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
        return [row[1] for row in rows if int(row[4]) == mine]  # shmid of those that this process made

    gc.collect()
    others = segments()  # of tests before this one in this process
    feed = Feed("segment")
    bus = fastfeed.open("segment")
    reader = bus.reader()
    (mine_now,) = set(segments()) - set(others)
    feed.writer.close()
    del feed
    assert mine_now in segments()  # the reader still has it
    del reader, bus
    assert mine_now not in segments()

"""A reader that means harm: it changes no byte that others see, and costs the feed at most a wake-up a flush."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from bell import ask_to_be_woken, attached
from childfeed import Feeder

import fastfeed
from fastfeed_core.bus import path

ROOT = Path(__file__).parents[1]
NOBODY = 65534

# What a process can try with a bus that it may read: each way gives the name of the error, or what happened.
ATTACK = """
import ctypes, fcntl, json, mmap, os, sys
from fastfeed_core import records
from fastfeed_core.attach import BusMap
data = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)                           # its own /proc files are its own again
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
SIZE = 1 << 16
fd = os.open(data, os.O_RDONLY)
mapped = libc.mmap(None, SIZE, 1, 1, fd, 0)         # PROT_READ, MAP_SHARED
assert mapped not in (None, 2**64 - 1)

def mprotect(at, size):
    if libc.mprotect(at, size, 3):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memset(at, 0xAA, size)

def mine():
    found = None
    for line in open("/proc/self/maps"):
        if data in line:
            start, _, end = line.split()[0].partition("-")
            mprotect(int(start, 16), min(SIZE, int(end, 16) - int(start, 16)))
            found = True
    assert found

def write_to(target):
    with open(target, "r+b", buffering=0) as file:
        file.write(b"\\xaa" * SIZE)

bus = BusMap(sys.argv[2])
ways = {
    "mprotect of a mapping": lambda: mprotect(mapped, SIZE),
    "mprotect of the library's own mapping": mine,
    "mapping it for writing": lambda: mmap.mmap(fd, SIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE),
    "writing through the descriptor": lambda: os.pwrite(fd, b"\\xaa" * SIZE, 0),
    "cutting it short through the descriptor": lambda: os.ftruncate(fd, 0),
    "taking memory away": lambda: fallocate(fd),
    "opening it for writing": lambda: write_to(data),
    "opening it again by its descriptor": lambda: write_to(f"/proc/self/fd/{fd}"),
    "cutting it short by name": lambda: os.truncate(data, 0),
    "changing its mode": lambda: os.chmod(data, 0o666),
    "removing it": lambda: os.unlink(data),
    "moving another in its place": lambda: os.rename(sys.argv[3], data),
    "opening the lock": lambda: write_to(data.replace(".data", ".lock")),
    "writing the feed's memory": lambda: write_to(f"/proc/{bus.pid}/mem"),
    "removing the bell": lambda: shmctl(0),         # IPC_RMID
    "taking the bell for itself": lambda: shmctl(1),    # IPC_SET
}

def fallocate(fd):
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(SIZE)):    # punch a hole, keep the size
        raise OSError(ctypes.get_errno(), "fallocate")

def shmctl(what):
    at = next(offset for field, _, _, offset in records.FORMATS["BusHeader"] if field == "bell")
    key = int.from_bytes(os.pread(fd, 8, at), "little")
    about = ctypes.create_string_buffer(256)
    assert libc.shmctl(key, 2, about) == 0          # IPC_STAT: it is there, and ours to look at
    if libc.shmctl(key, what, about):
        raise OSError(ctypes.get_errno(), "shmctl")

told = {}
for name, way in ways.items():
    try:
        way()
        told[name] = "done"
    except OSError as error:
        told[name] = type(error).__name__
print(json.dumps(told))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user, too")
def test_another_user_of_the_group_changes_no_byte_that_others_see(shm, tmp_path):
    shm.chmod(0o1777)  # as /dev/shm is
    feed = Feeder("shared", group=NOBODY)
    try:
        feed.send(20)
        data = path("shared", "data")
        before = hashlib.sha256(Path(data).read_bytes()).digest()
        decoy = shm / "decoy"
        decoy.write_bytes(bytes(1 << 16))
        os.chown(decoy, NOBODY, NOBODY)
        for each in shm.parents:
            if each.is_relative_to(tempfile.gettempdir()) and each != Path(tempfile.gettempdir()):
                each.chmod(each.stat().st_mode | 0o055)
        done = subprocess.run(
            [sys.executable, "-c", ATTACK, data, "shared", str(decoy)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert set(told.values()) <= {"PermissionError", "OSError"}, told  # OSError: EINVAL, EBADF
        assert len(told) == 16
        assert hashlib.sha256(Path(data).read_bytes()).digest() == before
        feed.send(20)
        book = fastfeed.open("shared").book("binance:BTC/USDT")
        assert (book.top(1).sequence, book.depth().sequence) == (40, 40)
    finally:
        feed.close()


def test_a_reader_of_the_same_user_has_nothing_to_write_through(shm):
    """Who is the feed's user may do all that the feed may; a mistake in a reader still reaches nobody."""
    feed = Feeder("own")
    try:
        feed.send(3)
        bus = fastfeed.open("own")
        maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if "fastfeed.own.data" in line]
        # Ours as the writer, and ours as the reader.
        assert sorted(line.split()[1] for line in maps) == ["r--s", "rw-s"]
        descriptors = [each for each in Path("/proc/self/fd").iterdir() if os.path.exists(each)
                       and os.readlink(each) == path("own", "data")]  # fmt: skip
        modes = []
        for each in descriptors:
            flags = Path(f"/proc/self/fdinfo/{each.name}").read_text()
            modes.append(int(re.search(r"flags:\s*([0-7]+)", flags)[1], 8) & os.O_ACCMODE)
        assert set(modes) == {os.O_RDONLY, os.O_RDWR}
        assert bus.book("binance:BTC/USDT").top(1).sequence == 3
    finally:
        feed.close()


def test_garbage_in_bell_and_readers_file_changes_nothing_of_what_is_published(shm):
    feed = Feeder("garbage")
    readers = Path(path("garbage", "readers"))
    try:
        reader = fastfeed.open("garbage").reader()
        for seed in range(200):
            garbage = hashlib.sha256(bytes([seed])).digest()
            # Rows, the whole of some, and once in a while another size.
            with readers.open("r+b", buffering=0) as file:
                file.write(garbage * 1024)
                if seed % 10 == 0:
                    file.truncate(seed * 100)
            with attached("garbage") as bell:
                bell[:] = (garbage * 5)[: len(bell)]
            feed.send()
        events = reader.poll(10_000)
        assert [each.sequence for each in events if each.kind in ("delta", "snapshot")] == list(range(1, 201))
        assert fastfeed.open("garbage").book("binance:BTC/USDT").depth().sequence == 200
    finally:
        feed.close()


def test_readers_that_ask_to_be_woken_all_the_time_cost_one_wake_a_flush(shm):
    feed = Feeder("storm")
    try:
        feed.send(100)
        assert feed.writer.wakes == 0
        for _ in range(100):
            for _ in range(3):
                ask_to_be_woken("storm")
            feed.send()
        assert feed.writer.wakes == 100
        feed.send(100)
        assert feed.writer.wakes == 100  # whoever asks no more costs no more
        assert fastfeed.open("storm").map.wakes == 100
    finally:
        feed.close()


COUNT = """
import os, sys
sys.path.insert(0, "tests")
from bell import attached
from childfeed import Feeder
from fastfeed_core.bus import path
from fastfeed_core.counters import bucket_low
feed = Feeder("count")
feed.send(200)
with open(path("count", "readers"), "r+b", buffering=0) as file, attached("count") as bell:
    for kind in ("clean", "garbage"):
        if kind == "garbage":
            file.write(bytes([165]) * os.fstat(file.fileno()).st_size)
            bell[:] = bytes([165]) * len(bell)
        feed.send(20)               # the first flush makes the wake-up that the garbage asks for
        bucket_low(1)
        feed.send(500)
        bucket_low(1)
feed.close()
"""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_a_flush_costs_the_same_whatever_readers_have_written(shm, tmp_path):
    """As callgrind counts the instructions of 500 flushes."""
    command = ["valgrind", "--tool=callgrind", "--quiet", "--dump-before=*counters*bucket_low",
               "--toggle-collect=*publisher_flush", f"--callgrind-out-file={tmp_path}/part",
               sys.executable, "-c", COUNT]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    clean, garbage = [
        int(re.search(r"^(?:summary|totals): (\d+)", (tmp_path / f"part.{part}").read_text(), re.MULTILINE)[1])
        for part in (2, 4)
    ]
    assert clean > 500 * 100
    assert garbage == clean

"""The files of a bus in a folder that everybody writes: whose they are, what stands in their place, what is removed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastfeed
from fastfeed.config import read_config
from fastfeed.engine.bus import open_bus
from fastfeed.errors import BusBusy, BusNotFound, ConfigError
from fastfeed.inventory import list_buses, remove_bus
from fastfeed_core import files
from fastfeed_core.bus import BusWriter, path

SMALL = {"ring": 1 << 16, "instruments": 4, "levels": 64}
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user, too")

CRASH = """
import os
from fastfeed_core.bus import BusWriter
writer = BusWriter("crashed", ring=1 << 16, instruments=4, levels=64)
os._exit(0)
"""


def crash():
    """A feed that dies without tidying up."""
    subprocess.run([sys.executable, "-c", CRASH], check=True, timeout=60)


def fail(*_):
    raise OSError(errno.ENOSPC, "no room")


@contextlib.contextmanager
def opened(name, **options):
    writer = BusWriter(name, **{**SMALL, **options})
    try:
        yield writer
    finally:
        writer.close()


def health(name):
    return next((each["health"] for each in list_buses() if each["bus"] == name), None)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277, 0o777])
def test_files_are_their_owners_whatever_the_umask(shm, umask):
    before = os.umask(umask)
    try:
        with opened("mine"):
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in shm.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert {"fastfeed.mine.data", "fastfeed.mine.lock"} <= set(modes)


@needs_root
def test_a_group_may_read_the_data_and_not_open_the_lock(shm):
    before = os.umask(0o077)
    try:
        with opened("ours", group=NOBODY):
            found = {each.suffix: each.stat() for each in shm.iterdir()}
    finally:
        os.umask(before)
    assert (stat.S_IMODE(found[".data"].st_mode), found[".data"].st_gid) == (0o640, NOBODY)
    assert (stat.S_IMODE(found[".lock"].st_mode), found[".lock"].st_gid == NOBODY) == (0o600, False)


@pytest.mark.parametrize("part", ["data", "readers", "lock"])
def test_a_link_in_the_place_of_a_file_is_never_followed(shm, tmp_path, part):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = Path(path("linked", part))
    link.symlink_to(victim)
    if part == "lock":
        with pytest.raises(PermissionError, match="a symbolic link stands in the place of a bus file"):
            BusWriter("linked", **SMALL)
    else:
        with opened("linked"):
            assert not link.is_symlink()  # the file has taken its place
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "folder", "hard link"])
def test_what_is_no_plain_file_is_no_lock(shm, tmp_path, kind):
    lock = Path(path("odd", "lock"))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        os.link(victim, lock)
    with pytest.raises(OSError, match=r"no plain file stands in the place of a bus file|Is a directory"):
        BusWriter("odd", **SMALL)
    assert victim.read_text() == "precious"


def test_readers_follow_no_link_and_wait_for_no_pipe(shm):
    with opened("real"):
        Path(path("alias", "data")).symlink_to(path("real", "data"))
        os.mkfifo(path("pipe", "data"))
        for name, found in (("alias", "a symbolic link"), ("pipe", "prw")):
            with pytest.raises(fastfeed.LayoutMismatch, match=f"file: expected a plain file, was {found}"):
                fastfeed.open(name)
            assert health(name) == "another layout"
        assert health("real") == "live"


@pytest.mark.parametrize("field", ["description_size", "ring_capacity", "latencies_stride", "images_stride"])
def test_no_size_in_a_header_leads_out_of_the_file(shm, field):
    from fastfeed_core import records

    crash()
    at = next(at for name, _, _, at in records.FORMATS["BusHeader"] if name == field)
    with Path(path("crashed", "data")).open("r+b") as data:
        data.seek(at)
        data.write((2**64 - 4096).to_bytes(8, "little"))  # wraps around behind any offset
    with pytest.raises(fastfeed.LayoutMismatch, match=f"{field}: expected an end at or below"):
        fastfeed.open("crashed")


def test_a_name_taken_by_another_user_is_told(shm, monkeypatch):
    config = read_config(
        '[bus]\nname = "taken"\nring = "1MiB"\n[[feed]]\nvenue = "binance"\ninstruments = ["BTC/USDT"]\n'
        'channels = ["book"]\n'
    ).bus
    Path(path("taken", "lock")).touch(0o666)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    says = f"bus: expected files that this user may write in {shm}, was .*the file belongs to user {os.getuid()}, not"
    with pytest.raises(ConfigError, match=says):
        open_bus(config)


def test_a_bus_that_others_keep_to_themselves_is_not_found(shm, monkeypatch):
    with opened("theirs"):
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
        with pytest.raises(BusNotFound, match="is its feed running, under this user"):
            fastfeed.open("theirs")
        assert health("theirs") == "not readable"
        monkeypatch.undo()


@needs_root
def test_another_users_dead_bus_is_refused_and_cleaned_by_root(shm):
    shm.chmod(0o1777)  # as /dev/shm is: there the kernel refuses to make what exists, also to root
    crash()
    for each in shm.iterdir():
        os.chown(each, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match=f"the file belongs to user {NOBODY}, not to 0"):
        BusWriter("crashed", **SMALL)
    assert health("crashed") == "dead"
    assert len(remove_bus("crashed")) >= 2
    assert list(shm.iterdir()) == []


def test_what_a_crashed_start_left_is_removed_by_the_next(shm):
    left = [shm / f"fastfeed.again.{part}.0123456789abcdef.tmp" for part in ("data", "readers")]
    others = shm / "fastfeed.again.data.backup"
    for each in (*left, others):
        each.write_bytes(bytes(100))
    assert health("again") == "unfinished"
    with opened("again"):
        assert not any(each.exists() for each in left)
        assert health("again") == "live"
    assert [each.name for each in shm.iterdir()] == [others.name]


def test_a_start_that_fails_leaves_nothing(shm, monkeypatch):
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="no room"):
        BusWriter("failed", **SMALL)
    assert list(shm.iterdir()) == []


def test_a_start_that_fails_leaves_the_bus_of_a_dead_feed_to_its_readers(shm, monkeypatch):
    crash()
    bus = fastfeed.open("crashed")
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="no room"):
        BusWriter("crashed", **SMALL)
    assert fastfeed.open("crashed").generation == bus.generation


def test_generations_grow_when_the_clock_goes_back(shm):
    crash()
    ahead = fastfeed.open("crashed").generation + 1_000_000_000_000
    Path(path("crashed", "lock")).write_text(f"{ahead:<32}")
    with opened("crashed") as writer:
        assert writer.generation == ahead + 1


def test_a_lock_file_with_nonsense_in_it_is_no_generation(shm):
    lock = Path(path("odd", "lock"))
    lock.write_bytes(b"9" * 32)
    with opened("odd") as writer:
        assert writer.generation < 1 << 62
        assert lock.read_text().strip() == str(writer.generation)


@pytest.mark.parametrize("without_lock_file", [False, True], ids=["locked", "lock removed by hand"])
def test_a_living_bus_is_not_removed(shm, without_lock_file):
    with opened("living") as writer:
        if without_lock_file:
            os.unlink(path("living", "lock"))
        with pytest.raises(BusBusy) as refused:
            remove_bus("living")
        assert refused.value.pid == os.getpid()
        assert fastfeed.open("living").generation == writer.generation


def test_a_dead_bus_is_removed_whole_and_its_readers_find_the_next(shm):
    crash()
    assert health("crashed") == "dead"
    bus = fastfeed.open("crashed")
    before = bus.generation
    removed = remove_bus("crashed")
    assert {f"fastfeed.crashed.{part}" for part in ("data", "lock")} <= {name for name, _ in removed}
    assert removed[-1][0] == "fastfeed.crashed.lock"
    assert sum(size for _, size in removed) > 1 << 16
    assert list(shm.iterdir()) == []
    assert health("crashed") is None
    with pytest.raises(BusNotFound):
        remove_bus("crashed")
    with opened("crashed") as writer:
        bus._look(now=True)
        assert bus.generation == writer.generation > before


def test_of_another_layout_only_the_lock_is_asked(shm):
    crash()
    data = Path(path("crashed", "data"))
    with data.open("r+b") as changed:
        changed.seek(8)
        changed.write((99).to_bytes(4, "little"))
    with data.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [(each["health"], each["alive"]) for each in list_buses()] == [("another layout", True)]
        with pytest.raises(BusBusy):
            remove_bus("crashed")
    assert [(each["health"], each["alive"]) for each in list_buses()] == [("another layout", False)]
    remove_bus("crashed")
    assert list(shm.iterdir()) == []


def test_a_start_that_is_under_way_is_neither_dead_nor_removed(shm):
    lock = files.take_lock("young", str(shm))
    try:
        (shm / "fastfeed.young.data.0123456789abcdef.tmp").touch()
        assert health("young") == "starting"
        with pytest.raises(BusBusy):
            remove_bus("young")
    finally:
        os.close(lock)
    assert health("young") == "unfinished"
    remove_bus("young")


def test_a_feed_that_lost_its_files_does_not_remove_its_successors(shm):
    first = BusWriter("one", **SMALL)
    for each in shm.iterdir():
        each.unlink()
    with opened("one") as second:
        first.close()
        assert fastfeed.open("one").generation == second.generation
        assert {".data", ".lock"} <= {each.suffix for each in shm.iterdir()}


def test_a_look_at_the_lock_keeps_no_feed_from_starting(shm, monkeypatch):
    Path(path("asked", "lock")).touch(0o600)
    asking = os.open(path("asked", "lock"), os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    waits = []

    def wait(seconds):
        waits.append(seconds)
        fcntl.flock(asking, fcntl.LOCK_UN)  # whoever asked has the answer

    monkeypatch.setattr(time, "sleep", wait)
    with opened("asked"):
        assert len(waits) == 1
    os.close(asking)


@pytest.mark.parametrize(
    ("entry", "bus"),
    [
        ("fastfeed.a.data", "a"),
        ("fastfeed.a.data.data", "a.data"),
        ("fastfeed.a.lock.readers", "a.lock"),
        ("fastfeed.a.data.0123456789abcdef.tmp", "a"),
        ("fastfeed.a.data.0123456789abcdef.tmp.data", "a.data.0123456789abcdef.tmp"),
        ("fastfeed.a.lock.0123456789abcdef.tmp", None),
        ("fastfeed.a.data.123.tmp", None),
        ("fastfeed..data", None),
        ("other.a.data", None),
    ],
)
def test_a_file_belongs_to_one_bus(shm, entry, bus):
    (shm / entry).touch()
    assert files.names(str(shm)) == ({} if bus is None else {bus: [entry]})

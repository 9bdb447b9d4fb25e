"""Shared memory that is not there: an error where it is asked for, never a signal, and the feed lives on."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fastfeed.config import read_config
from fastfeed.engine.bus import open_bus
from fastfeed.errors import ConfigError
from fastfeed_core import room
from fastfeed_core.bus import BusWriter
from fastfeed_core.plan import needs
from fastfeed_core.room import RESERVE, NoRoom, in_units, limits

MIB = 1 << 20
CONFIG = '[bus]\nname = "{name}"\nring = "{ring}"\n{more}\n[[feed]]\nvenue = "binance"\ninstruments = ["BTC/USDT"]\n' \
         'channels = ["book"]\n'  # fmt: skip


def bus_config(name="full", ring="1MiB", more=""):
    return read_config(CONFIG.format(name=name, ring=ring, more=more)).bus


def in_mounts(script, *arguments, shm):
    """Run Python in mounts of its own, with `shm` to mount over; its output as JSON. A signal fails the test."""
    probe = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(shm)], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"cannot mount: {probe.stderr.decode().strip()}")
    command = ["unshare", "-rm", sys.executable, "-c", MOUNTS + script, str(shm), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MOUNTS = """
import json, os, subprocess, sys
shm = sys.argv[1]
os.environ["FASTFEED_SHM"] = shm

def mount(size, more=""):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}{more}", "tmpfs", shm], check=True)

def unmount():
    subprocess.run(["umount", shm], check=True)

sys.path.insert(0, "tests")
"""

# A feed in a folder of so many pages: a bus, a connection, three instruments (two with books), records over two laps of
# the ring, readers that look at everything. What does not fit is told by an error; the rest goes on.
WALK = """
import errno, gc
from pipeline import instrument, BOOK
from fastfeed import open as open_bus
from fastfeed.cli.status import describe
from fastfeed.protocol import open_market
from fastfeed_core import bus as core
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject
from fastfeed_core.market import Hub

if sys.argv[2] == "by the kernel":
    core.require = lambda size, where: None     # as if somebody took the room between the question and the taking
told = []

def feed(pages):
    try:
        writer = core.BusWriter("walk", ring=1 << 16, instruments=4, top=5, levels=64)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        assert os.listdir(shm) == [], os.listdir(shm)
        return "no bus"
    try:
        return run(writer)
    finally:
        writer.close()

def run(writer):
    hub = Hub(writer, 1 << 16)
    markets = {}
    refused = 0
    for name, rows in (("A", BOOK), ("B", ()), ("C", BOOK)):
        try:
            markets[name] = open_market(hub, instrument(f"binance:{name}/USDT"), rows)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            refused += 1
    try:
        row = writer.add_connection("walk")
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        return f"no connection, {refused} instruments refused"
    fill = open(shm + "/filler", "wb", buffering=0)
    try:
        while fill.write(bytes(4096)):
            pass
    except OSError:
        pass                                    # now there is no page left for anybody
    connection = Connection(hub, row, BinanceDecoder(), 16, 1)
    for name, market in markets.items():
        connection.route(name, "BTCUSDT", "book" if name != "B" else "bbo", market)
    levels = [(px, 5) for px in range(1, 61)]
    for turn in range(200):
        for name in markets:
            if name == "B":
                inject(connection, name, "bbo", 2, last=turn + 1, quote=(1, 1, 2, turn))
            else:
                kind = "delta" if turn else "snapshot"
                inject(connection, name, kind, 2, prev=turn, last=turn + 1, bids=levels, asks=[(99, turn + 1)])
        hub.flush()
    if markets:
        assert writer.position > 2 << 16 or set(markets) == {"B"}, writer.position
    bus = open_bus("walk")
    described = describe(bus)
    assert len(described["instruments"]) == len(markets)
    for name in set(markets) - {"B"}:
        assert bus.book(f"binance:{name}/USDT").depth().sequence == 200
        assert len(bus.book(f"binance:{name}/USDT").top(5).bids) == 5
    del bus
    fill.close()
    os.unlink(shm + "/filler")
    return f"{refused} instruments refused"

for pages in range(1, 2000):
    mount(pages * 4096)
    try:
        told.append(feed(pages))
    finally:
        gc.collect()
        unmount()
    if told[-1] == "0 instruments refused":
        break
print(json.dumps(told))
"""


@pytest.mark.parametrize("who", ["asked before", "by the kernel"])
def test_every_point_of_growth_can_fail_and_none_is_a_signal(shm, who):
    told = in_mounts(WALK, who, shm=shm)
    assert told[0] == "no bus"
    assert told[-1] == "0 instruments refused"
    # Each growth failed somewhere on the way, and no more room ever meant less of a feed.
    lost = [4 if each == "no bus" else int(each.split()[-3]) for each in told]
    assert set(lost) == {4, 3, 2, 1, 0}
    assert lost == sorted(lost, reverse=True)
    assert any(each.startswith("no connection") for each in told)


def test_a_bus_that_does_not_fit_is_refused_with_what_to_change(shm, monkeypatch):
    monkeypatch.setattr("fastfeed_core.room.limits", lambda where: [(5 * MIB, where), (3 * MIB, "the attic")])
    with pytest.raises(ConfigError) as refused:
        open_bus(bus_config(ring="64MiB"))
    error = refused.value
    start = needs(ring=64 * MIB, instruments=4096, top=25, levels=8192)["start"]
    assert (error.path, error.was) == ("bus.ring", "64MiB")
    assert f"what fits {shm}: {in_units(start)} needed at start (ring 64.0 MiB, 4096 instruments " in error.expected
    assert "5.0 MiB free; make it less, make room (fastfeed clean, " in error.expected
    assert list(shm.iterdir()) == []


def test_the_setting_that_takes_most_is_named(shm, monkeypatch):
    monkeypatch.setattr("fastfeed_core.room.limits", lambda where: [(5 * MIB, where)])
    with pytest.raises(ConfigError) as refused:
        open_bus(bus_config(more="top = 100\ninstruments = 60000"))
    assert (refused.value.path, refused.value.was) == ("bus.instruments", "60000")


def test_an_instrument_without_room_is_left_out_and_the_next_may_fit(shm, monkeypatch):
    from pipeline import BOOK, instrument

    from fastfeed.protocol import open_market
    from fastfeed_core.market import Hub

    writer = BusWriter("tight", ring=1 << 16, instruments=4, levels=8192)
    try:
        hub = Hub(writer)
        real = room.limits
        monkeypatch.setattr("fastfeed_core.room.limits", lambda where: [(100 << 10, where)])
        with pytest.raises(NoRoom, match=r"needed, 100\.0 KiB free in "):
            open_market(hub, instrument("binance:A/USDT"), BOOK)
        open_market(hub, instrument("binance:B/USDT"), ())  # no book: its latencies fit
        monkeypatch.setattr("fastfeed_core.room.limits", real)
        open_market(hub, instrument("binance:C/USDT"), BOOK)
    finally:
        writer.close()


def test_needs_are_what_is_taken(shm):
    sizes = needs(ring=1 << 20, instruments=16, top=25, levels=1024)
    writer = BusWriter("needs", ring=1 << 20, instruments=16, top=25, levels=1024)
    try:
        row = {
            "name": "a", "symbol": "A", "venue": "v", "base": "A", "quote": "B", "settle": None, "contract_unit": "A",
            "tick_size": (1, 0), "lot_size": (1, 0), "contract_size": (1, 0), "strike": None, "expiry": None,
            "px_exp": 0, "sz_exp": 0, "kind": "spot", "option_type": None, "inverse": False, "chained": True,
            "status": 0,
        }  # fmt: skip

        def taken():
            return sum(each.stat().st_blocks * 512 for each in shm.iterdir() if each.suffix != ".lock")

        def check(expected):
            assert expected <= taken() <= expected + 4 * 4096  # the file systems of some folders count their own

        check(sizes["start"])
        writer.add_instrument(row | {"name": "b"}, book=True)
        check(sizes["start"] + sizes["book"])
        assert sizes["book"] == writer.image_size
        writer.add_instrument(row)
        writer.add_connection("c")
        check(sizes["start"] + sizes["book"] + sizes["instrument"] + sizes["connection"])
    finally:
        writer.close()


LIMITED = """
import resource
from fastfeed.config import read_config
from fastfeed.engine.bus import open_bus
from fastfeed.errors import ConfigError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
config = read_config('[bus]\\nname = "limited"\\nring = "4MiB"\\n[[feed]]\\nvenue = "binance"\\n'
                     'instruments = ["BTC/USDT"]\\nchannels = ["book"]\\n')
try:
    open_bus(config.bus)
except ConfigError as error:
    print(error)
"""


def test_a_limit_of_the_process_is_told_like_a_full_memory(shm):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True, timeout=60)
    start = needs(ring=4 * MIB, instruments=4096, top=25, levels=8192)["start"]
    assert done.stdout.startswith(f"bus.instruments: expected what fits {shm}: {in_units(start)} needed at start ")
    assert "(File too large)" in done.stdout
    assert list(shm.iterdir()) == []


COMMAND = """
from contextlib import redirect_stderr
from io import StringIO
from fastfeed.cli import main
mount(4 << 20)
said = StringIO()
with redirect_stderr(said):
    code = main(["run", sys.argv[2]])
print(json.dumps([code, said.getvalue(), os.listdir(shm)]))
"""


def test_the_command_says_so_in_one_line(shm, tmp_path):
    config = tmp_path / "feed.toml"
    config.write_text(CONFIG.format(name="full", ring="64MiB", more=""))
    code, said, left = in_mounts(COMMAND, config, shm=shm)
    assert (code, left) == (2, [])
    assert said.startswith(f"fastfeed: bus.ring: expected what fits {shm}: ")
    assert "4.0 MiB free" in said
    assert said.endswith(", was 64MiB\n")
    assert said.count("\n") == 1


GIVES_WAY = """
import os
from fastfeed import open as open_bus
from fastfeed_core.bus import BusWriter
mount(int(sys.argv[2]))
make = (
    "import os; from fastfeed_core.bus import BusWriter\\n"
    "writer = BusWriter('dead', ring=1 << 20, instruments=4); os._exit(0)"
)
subprocess.run([sys.executable, "-c", make], check=True)
before = open_bus("dead").generation
writer = BusWriter("dead", ring=1 << 20, instruments=4)
print(json.dumps(open_bus("dead").generation > before))
writer.close()
assert os.listdir(shm) == []
"""


@pytest.mark.parametrize("buses", [1.5, 3])
def test_what_a_dead_feed_left_gives_way_where_there_is_no_room_for_both(shm, buses):
    size = needs(ring=1 << 20, instruments=4, top=25, levels=8192)["start"]
    assert in_mounts(GIVES_WAY, int(buses * size), shm=shm) is True


HUGE = """
import logging
from fastfeed.config import read_config
from fastfeed.engine.bus import open_bus
from fastfeed.bus import open as attach
logging.basicConfig(stream=sys.stderr)
mount(64 << 20, ",huge=" + sys.argv[2])
config = read_config('[bus]\\nname = "huge"\\nring = "8MiB"\\nhuge_pages = true\\n[[feed]]\\nvenue = "binance"\\n'
                     'instruments = ["BTC/USDT"]\\nchannels = ["book"]\\n')
said = []
logging.getLogger("fastfeed.engine.bus").addFilter(lambda record: said.append(record.getMessage()))
writer = open_bus(config.bus)
print(json.dumps([writer.huge_bytes, attach("huge").map.huge_bytes, said]))
writer.close()
"""


@pytest.mark.parametrize("mode", ["never", "advise", "always"])
def test_huge_pages_are_taken_where_they_are_given_and_missed_aloud(shm, mode):
    got, told, said = in_mounts(HUGE, mode, shm=shm)
    assert got == told
    if mode == "never":
        assert got == 0
        assert said == [
            f"huge pages not in effect bus=huge wanted={8 * MIB} got=0: mount {shm} with huge=advise or huge=always to "
            "have them"
        ]
    else:
        if not got:
            pytest.skip("this kernel has no huge pages for shared memory")
        assert got >= 8 * MIB
        assert said == []


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


MEMINFO = f"MemTotal: 100 kB\nMemAvailable: {(RESERVE >> 10) + 700} kB\nSwapFree: 300 kB\n"


@pytest.fixture
def system(tmp_path):
    """A /proc and a /sys/fs/cgroup of files."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    write(proc, meminfo=MEMINFO)
    return proc, groups


def bounds(system):
    """What bounds a folder of shared memory, the folder's own file system left out."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("no file system in memory here")
    return limits("/dev/shm", *map(str, system))[1:]


def test_memory_and_swap_of_the_machine_bound(system):
    assert bounds(system) == [(1000 << 10, "the machine's memory")]


@pytest.mark.parametrize("text", ["", "MemAvailable:\n", "MemAvailable: x kB\nSwapFree: 1 kB\n"])
def test_a_machine_that_cannot_be_asked_does_not_bound(system, text):
    write(system[0], meminfo=text)
    assert bounds(system) == []


def test_control_groups_of_the_second_version_bound_up_to_the_root(system):
    proc, groups = system
    write(proc / "self", cgroup="0::/a/b\n")
    stat = "anon 5\ninactive_file 1000\nactive_file 500\nshmem 9\n"
    write(groups / "a" / "b", memory__max="max\n", memory__current="10\n", memory__stat=stat)
    write(groups / "a", memory__max=f"{RESERVE + 5000}\n", memory__current="2000\n", memory__stat=stat)
    # Cached files make room; shared memory itself does not.
    assert bounds(system)[1:] == [(4500, "the memory of control group /a")]
    write(groups, memory__max="1000\n", memory__current="990\n", memory__stat=stat)
    assert bounds(system)[1:] == [(4500, "the memory of control group /a"), (0, "the memory of control group /")]


def test_control_groups_of_the_first_version_bound(system):
    proc, groups = system
    write(proc / "self", cgroup="5:cpu,cpuacct:/x\n4:memory:/box\n0::/\n")
    stat = "total_inactive_file 1\ntotal_active_file 2\n"
    files = {"memory__usage_in_bytes": "100\n", "memory__stat": stat}
    write(groups / "memory" / "box", memory__limit_in_bytes=f"{RESERVE + 1100}\n", **files)
    write(groups / "memory", memory__limit_in_bytes="9223372036854771712\n", **files)
    assert bounds(system)[1:] == [(1003, "the memory of control group /box")]


@pytest.mark.parametrize("files", [{}, {"memory__max": "x"}, {"memory__max": "10", "memory__current": "1"}],
                         ids=["nothing", "nonsense", "half"])  # fmt: skip
def test_a_group_that_cannot_be_asked_does_not_bound(system, files):
    proc, groups = system
    write(proc / "self", cgroup="0::/gone\n")
    write(groups / "gone", **files)
    assert bounds(system)[1:] == []


def test_this_machine_can_be_asked(shm):
    found = limits("/dev/shm" if os.path.isdir("/dev/shm") else str(shm))
    assert found[0][0] > 0
    assert all(free >= 0 for free, _ in found)

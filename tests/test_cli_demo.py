"""The verb `demo`: three real processes, what they print, and what they leave behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastfeed
from fastfeed.venues import VENUES

ROOT = Path(__file__).parents[1]
LATENCY = r"{} +([0-9.]+) +([0-9.]+) +([0-9.]+) +([0-9.]+) +([0-9]+)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the bus files of one test, which also marks the processes of that test."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setenv("FASTFEED_SHM", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def start(*arguments, venues="binance"):
    """The demo, of one venue for the tests that need no more."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastfeed", "demo", *arguments, *(() if venues is None else ("--venues", venues))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, timeout=20.0):
    """Wait for a condition; its value."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
    return value


def processes(folder):
    """Process ids of the living processes with the folder in their environment, except this one; pid -> command."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
            command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"FASTFEED_SHM={folder}".encode() in environment:
            found[int(entry)] = command
    return found


def assert_nothing_left(folder):
    assert os.listdir(folder) == []
    assert list(folder.parent.glob("fastfeed-demo-*")) == []
    assert processes(folder) == {}


def test_demo_shows_moving_books_and_a_summary(folder):
    demo = start("--seconds", "3", "--bus", "test-demo", venues=None)
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    *tables, summary = out.split("\n\n")
    assert len(tables) >= 2
    prices = []
    for table in tables:
        title, _, *rows = table.splitlines()
        assert re.match(rf"bus test-demo: live, process [0-9]+, {len(rows)} instruments, [0-9]+ records", title)
        assert {row.partition(":")[0] for row in rows} == set(VENUES)
        assert {row.split()[1] for row in rows} == {"live"}
        prices.append({row.split()[0]: row.split()[2:6] for row in rows})
        # A market that has not opened yet may be crossed: the simulator has one.
        opened = [row for name, row in prices[-1].items() if "OPENING" not in name]
        assert all(float(bid) < float(ask) for _, bid, ask, _ in opened)
    moved = {name.partition(":")[0] for name, row in prices[0].items() if row != prices[-1][name]}
    assert moved == set(VENUES)
    counts = re.search(r"messages ([0-9]+), events read ([0-9]+), gaps 0, resyncs 0, lost 0\n", summary)
    assert counts is not None
    messages, events = map(int, counts.groups())
    assert messages > 100
    assert events > 100
    for what in ("socket to ring", "ring to consumer"):
        p50, p99, p999, most, count = map(float, re.search(LATENCY.format(what), summary).groups())
        assert 0 < p50 <= p99 <= p999 <= most
        assert count > 100
    assert_nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_demo_with_its_summary(folder, number):
    demo = start()
    assert demo.stdout.readline().startswith("bus demo: ")
    demo.send_signal(number)
    out, err = demo.communicate(timeout=30)
    assert (demo.returncode, err) == (0, "")
    assert re.search(LATENCY.format("ring to consumer"), out)
    assert_nothing_left(folder)


def test_a_signal_before_the_first_table_leaves_nothing(folder):
    demo = start()
    until(lambda: any("fastfeed sim" in command for command in processes(folder).values()))
    demo.terminate()
    out, err = demo.communicate(timeout=30)
    assert (demo.returncode, out) == (0, "")
    assert err == "fastfeed demo: stopped before the feed was up\n"
    assert_nothing_left(folder)


@pytest.mark.parametrize("verb", ["sim", "run"])
def test_a_child_that_dies_fails_the_demo(folder, verb):
    demo = start()
    demo.stdout.readline()
    [pid] = [pid for pid, command in processes(folder).items() if f"fastfeed {verb}" in command]
    os.kill(pid, signal.SIGKILL)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 1
    what = "simulator" if verb == "sim" else "feed"
    assert err == f"fastfeed demo: the {what} ended with code -9\n"
    assert_nothing_left(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system does not tell children of a death")
def test_children_end_when_the_demo_is_killed(folder):
    demo = start()
    demo.stdout.readline()
    demo.kill()
    demo.communicate(timeout=30)
    until(lambda: processes(folder) == {})
    assert_nothing_left(folder)


def test_a_living_bus_of_that_name_is_refused(folder):
    first = start("--bus", "taken")
    first.stdout.readline()
    pid = fastfeed.open("taken").map.pid
    second = start("--bus", "taken")
    assert second.communicate(timeout=30) == (
        "",
        f"fastfeed: bus taken is busy: another feed (process {pid}) writes it; stop that one or choose another "
        "bus name\n",
    )
    assert second.returncode == 1
    first.terminate()
    first.communicate(timeout=30)
    assert first.returncode == 0
    assert_nothing_left(folder)


def test_a_bus_name_that_cannot_be_is_a_configuration_error(folder):
    demo = start("--bus", "No/Bus")
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 2
    assert "bus.name: expected 1 to 64 of a-z, 0-9, dot, hyphen and underscore, was 'No/Bus'" in err
    assert_nothing_left(folder)


def test_the_files_of_a_dead_bus_are_no_obstacle(folder):
    demo = start()
    demo.stdout.readline()
    [pid] = [pid for pid, command in processes(folder).items() if "fastfeed run" in command]
    os.kill(demo.pid, signal.SIGSTOP)  # so that it cannot tidy up
    os.kill(pid, signal.SIGKILL)
    os.kill(demo.pid, signal.SIGKILL)
    demo.communicate(timeout=30)
    until(lambda: processes(folder) == {})
    assert "fastfeed.demo.data" in os.listdir(folder)
    again = start("--seconds", "0.5")
    out, err = again.communicate(timeout=60)
    assert (again.returncode, err) == (0, "")
    assert "gaps 0" in out
    assert_nothing_left(folder)

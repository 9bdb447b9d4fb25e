"""The drivers of the bus benchmark compile, check what they read, and print what the table needs; nothing is gated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bus import api, pair, table
from benchmarks.bus.native import Drivers
from benchmarks.bus.table import Rows

CPUS = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="two cores are needed")


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    return Drivers(tmp_path_factory.mktemp("drivers"), (CPUS[0], CPUS[1]))


@pytest.mark.parametrize("size", [48, 64, 128, 256, 512, 1024])
def test_round_trips(drivers, size):
    (chunk,) = drivers.run("roundtrip", size, 1, 2000)
    assert chunk["size"] == size
    assert all(len(chunk[part]) == 4 and min(chunk[part]) > 0 for part in ("before", "trip", "after"))


def test_publishing_with_readers_in_all_states(drivers):
    (chunk,) = drivers.run("throughput", "publish", 64, 1, 1)
    assert all(chunk[state] > 0 for state in ("none", "stopped", "sleeping", "backlogged"))


def test_a_backlog_and_a_lossless_run(drivers):
    (chunk,) = drivers.run("throughput", "backlog", 128, 1)
    assert chunk["same core"] > 0
    assert chunk["other core"] > 0
    (chunk,) = drivers.run("throughput", "lossless", 64, 16, 1)
    assert chunk["ns"] > 0


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_wake_ups(drivers, readers):
    (chunk,) = drivers.run("wake", readers, 20)
    assert chunk["missed"] == 0
    assert chunk["wakes per flush"] <= 1
    assert chunk["busy wakes per flush"] <= 1
    if readers == 0:
        assert chunk["wakes per flush"] == chunk["busy wakes per flush"] == 0


@pytest.mark.parametrize("transport", ["fastfeed", "multiprocessing.Queue"])
def test_bytes_from_python_to_python(drivers, transport):
    command = [sys.executable, pair.__file__, transport, "64", str(drivers.calibration()), "1", "64", *map(str, CPUS)]
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": root})
    assert done.stdout.count("trip") == 1


def test_what_a_consumer_pays(shm_folder):
    rows = Rows()
    api.run(rows, 1, CPUS[0])
    assert {"batch(256)", "top(5)", "poll of an empty ring"} <= {what for _, what in rows.rows}
    assert "| python | batch(256) |" in table.markdown(rows)


@pytest.fixture
def shm_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTFEED_SHM", str(tmp_path))
    return tmp_path


def test_the_table_says_what_misses_its_goal_and_where_chunks_are_few():
    rows = Rows()
    row = rows.row("group", "what", "ns", {"near": 2.0})
    for value in (1.0, 3.0, 5.0):
        row.add(value, "near")
    assert row.missed()
    assert "3.00 [1.00-5.00] n=3 (<= 2 MISSED)" in table.markdown(rows)
    assert rows.regime(100, 110) == "near"
    assert rows.regime(400, 500) is not None
    assert rows.regime(100, 400) is None
    assert rows.moved == 1


def test_the_table_goes_between_the_marks_of_its_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- bus -->\nold\n<!-- end of bus -->\nbelow\n")
    table.write_page(page, "bus", "new")
    assert page.read_text() == "above\n<!-- bus -->\n\nnew\n\n<!-- end of bus -->\nbelow\n"
    with pytest.raises(ValueError, match="no marks of 'variants'"):
        table.write_page(page, "variants", "new")

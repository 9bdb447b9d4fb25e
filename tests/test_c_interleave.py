"""The copies of fastfeed.h with the producer's steps put between their halves, one by one and without luck."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cprogram import ROOT, build, sanitizers

import fastfeed

HEADER = Path(fastfeed.get_include()) / "fastfeed.h"
SOURCES = [ROOT / "tests" / "c" / name for name in ("interleave.c", "producer.c")]
COMPARED = "    if (written == 0 || (uint64_t)head->as_of < cells)"


def variant(folder: Path, old: str = "", new: str = "") -> Path:
    """Build the program, with one safeguard of the header taken out."""
    text = HEADER.read_text()
    assert text.count(old) == 1 or not old
    (folder / "fastfeed.h").write_text(text.replace(old, new, 1) if old else text)
    flags = (f"-I{folder}", f"-I{ROOT / 'fastfeed_core'}", *sanitizers(folder))
    return build(folder / "interleave", *SOURCES, flags=flags)


def run(program: Path, case: str) -> str:
    done = subprocess.run([str(program), case], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    return variant(tmp_path_factory.mktemp("interleave"))


def test_without_a_producer_the_first_copy_is_good(program):
    assert run(program, "quiet") == "whole 2 of 2 tries 1\nread 20 lost 0"


def test_one_write_into_a_copy_of_a_cell_does_not_concern_it(program):
    assert run(program, "once") == "whole 2 of 3 tries 1"


def test_two_writes_into_a_copy_of_a_cell_cost_another_copy(program):
    assert run(program, "twice") == "whole 4 of 4 tries 2"


def test_a_cell_that_is_written_into_every_copy_is_an_error(program):
    assert run(program, "endless") == "code -1003 copies 3000"


def test_the_last_whole_version_outlives_a_producer_that_dies_in_the_next(program):
    assert run(program, "dead") == "whole 2 of 3 tries 1"


def test_a_flush_during_a_copy_does_not_move_its_position(program):
    assert run(program, "flush") == "whole 2 of 3 tries 1"


@pytest.mark.parametrize("records", [1, 400, 480, 511, 512, 513, 600, 1000, 1024, 5000, 100_000])
def test_records_are_whole_and_losses_exact_however_far_the_producer_runs(program, records):
    words = run(program, str(records)).split()
    read, lost = int(words[1]), int(words[3])
    assert read + lost == 20 + records
    assert (lost == 0) is (records < 480)  # the ring holds 512 records less the block being claimed


@pytest.mark.parametrize(
    ("old", "new", "case", "without"),
    [
        ("if (ff_ring_valid(&r->ring, r->ring.position)) {", "if (1) {", "600", "torn"),
        ("if (ff_cell_valid(version, seen))", "if (seen)", "twice", "torn"),
        ("*slot = (unsigned)((v >> 1) & 1);", "*slot = (unsigned)(((v + 1) >> 1) & 1);", "dead", "torn"),
        # `cells` loaded behind the copy
        (COMPARED, f"cells = ff_cells(bus->control);\n{COMPARED}", "flush", "misplaced"),
        ("r->lost += r->count - before;", "r->lost += r->count - before - 1;", "600", "miscounted"),
    ],
)
def test_without_a_safeguard_it_is_seen(tmp_path, program, old, new, case, without):
    assert run(program, case) != without
    assert run(variant(tmp_path, old, new), case) == without

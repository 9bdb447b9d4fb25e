"""The models of ring, cell, cells and wake-up hold, and each of their safeguards is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: clang first: most searches are over in a moment, and it takes half of gcc's time to make them
CC = shutil.which("clang") or shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None or CC is None, reason="spin (apt-get install spin) or a C compiler is not installed"
)

WITHOUT = {
    "ring": (
        "NO_VALIDATION", "NO_CLAIM_FENCE", "NO_CHECK_FENCE", "CLAIM_LATE", "HEAD_UNCLAIMED", "NO_COMMIT_RELEASE",
        "NO_PEEK_ACQUIRE", "NO_ZERO_AHEAD", "NO_ZERO_BEHIND_LONG", "ZERO_LATE", "ZEROED_STAYS", "ZERO_UNCLAIMED",
        "NO_ZERO_BLOCK STAMP_WITHOUT_LAP", "NO_SEEK_VALIDATION", "NO_TAIL_RELEASE", "NO_TAIL_ACQUIRE",
    ),
    "cell": (
        "NO_VALIDATION", "VALID_TOO_LONG", "NO_MARK", "MARK_RELAXED", "NO_BEGIN_FENCE", "NO_CHECK_FENCE",
        "NO_COMMIT_RELEASE", "NO_READ_ACQUIRE", "ONE_SLOT",
    ),
    "cells": (
        "CELLS_BEHIND", "CELLS_ALONE", "CELLS_EARLY", "NO_CELLS_RELEASE", "NO_CELLS_ACQUIRE", "NO_COMMIT_RELEASE",
        "NO_READ_ACQUIRE", "NO_CHECK_FENCE", "NO_QUIET", "NO_SAME", "NEXT_LATE", "LOOK_FIRST", "TAIL_LATE",
    ),
    "wake": ("NO_WAKE_FENCE", "NO_SLEEP_FENCE", "NO_WORD_RELEASE", "CLEAR_LATE", "NO_SECOND_LOOK", "NO_COMPARE"),
}  # fmt: skip

#: other bounds; and of two safeguards that stand in for each other, each alone
HOLDS = {
    "lapped-twice": ("ring", "BLOCKS=2 UNTIL=20 PERIOD=2 PATTERNS=9 ALIVE"),
    "zeroed-further": ("ring", "ZERO_LEAST=2 ZERO_MOST=3 PERIOD=2 PATTERNS=9"),
    "stamps-alone": ("ring", "NO_ZERO_BLOCK PERIOD=2 PATTERNS=9"),
    "zeros-alone": ("ring", "STAMP_WITHOUT_LAP PERIOD=2 PATTERNS=9"),
    "three-flushes": ("cells", "FLUSHES=3 READS=1"),
}


def check(folder: Path, model: str, flags: str = "") -> tuple[int, int]:
    """Search all states; returns (errors, states). A search that was cut short is an AssertionError."""
    assert CC is not None
    for source in HERE.glob("*.pml"):
        shutil.copy(source, folder)
    spin = ["spin", *(f"-D{flag}" for flag in flags.split()), "-a", f"{model}.pml"]
    made = subprocess.run(spin, cwd=folder, capture_output=True, text=True, check=False)
    assert (folder / "pan.c").exists(), made.stdout
    # -w: what spin generates is not ours. SAFETY: no cycles are looked for. -O0: an optimizer takes longer than it
    # saves.
    subprocess.run([CC, "-O0", "-w", "-DSAFETY", "-DNOFAIR", "-o", "pan", "pan.c"], cwd=folder, check=True)
    done = subprocess.run(["./pan", "-m100000", "-w22", "-n"], cwd=folder, capture_output=True, text=True, check=False)
    errors = re.search(r"errors: (\d+)", done.stdout)
    states = re.search(r"(\d+) states, stored", done.stdout)
    assert errors is not None, done.stdout
    assert states is not None, done.stdout
    found = int(errors[1])
    if not found:
        for cut in ("max search depth too small", "reached -DMEMLIM", "Search not completed", "out of memory"):
            assert cut not in done.stdout + done.stderr, done.stdout + done.stderr
    return found, int(states[1])


@pytest.mark.parametrize("model", WITHOUT)
def test_a_protocol_holds_in_all_states(tmp_path, model):
    errors, states = check(tmp_path, model)
    assert errors == 0
    assert states > 10_000  # a model that goes nowhere holds, too


@pytest.mark.parametrize("name", HOLDS)
def test_it_holds_with_other_bounds(tmp_path, name):
    errors, states = check(tmp_path, *HOLDS[name])
    assert errors == 0
    assert states > 10_000


@pytest.mark.parametrize(("model", "flags"), [(model, each) for model, all_of in WITHOUT.items() for each in all_of])
def test_without_a_safeguard_an_error_is_found(tmp_path, model, flags):
    assert check(tmp_path, model, flags)[0] > 0

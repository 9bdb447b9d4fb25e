"""The models of ring, cell and wake-up hold, and each of their safeguards is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CC = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None or CC is None, reason="spin (apt-get install spin) or a C compiler is not installed"
)

WITHOUT = {
    "ring": (
        "NO_VALIDATION", "NO_CLAIM_FENCE", "NO_CHECK_FENCE", "CLAIM_LATE", "HEAD_UNCLAIMED", "NO_COMMIT_RELEASE",
        "NO_PEEK_ACQUIRE", "NO_ZERO_AHEAD", "NO_TAIL_RELEASE", "NO_TAIL_ACQUIRE",
    ),
    "cell": (
        "NO_VALIDATION", "VALID_TOO_LONG", "NO_MARK", "MARK_RELAXED", "NO_BEGIN_FENCE", "NO_CHECK_FENCE",
        "NO_COMMIT_RELEASE", "NO_READ_ACQUIRE", "ONE_SLOT",
    ),
    "wake": ("NO_WAKE_FENCE", "NO_SLEEP_FENCE", "NO_WORD_RELEASE", "CLEAR_LATE", "NO_SECOND_LOOK", "NO_COMPARE"),
}  # fmt: skip


def check(folder: Path, model: str, *flags: str) -> tuple[int, int]:
    """Search all states; returns (errors, states). A search that was cut short is an AssertionError."""
    assert CC is not None
    for source in HERE.glob("*.pml"):
        shutil.copy(source, folder)
    spin = ["spin", *(f"-D{flag}" for flag in flags), "-a", f"{model}.pml"]
    made = subprocess.run(spin, cwd=folder, capture_output=True, text=True, check=False)
    assert (folder / "pan.c").exists(), made.stdout
    # -w: what spin generates is not ours. SAFETY: no cycles are looked for.
    subprocess.run([CC, "-O1", "-w", "-DSAFETY", "-DNOFAIR", "-o", "pan", "pan.c"], cwd=folder, check=True)
    done = subprocess.run(["./pan", "-m1000000", "-n"], cwd=folder, capture_output=True, text=True, check=False)
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


def test_a_ring_of_two_blocks_is_lapped_twice(tmp_path):
    assert check(tmp_path, "ring", "BLOCKS=2", "RECORDS=11", "PERIOD=3", "ALIVE")[0] == 0


@pytest.mark.parametrize(("model", "flag"), [(model, flag) for model, flags in WITHOUT.items() for flag in flags])
def test_without_a_safeguard_an_error_is_found(tmp_path, model, flag):
    assert check(tmp_path, model, flag)[0] > 0

"""Cells of ring.h alone: what validates a copy, and what makes several of one moment, each also taken out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLUSHES = 200_000


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Callable[..., list[int]]:
    """Return the function that builds `cells.c` with the given safeguards taken out, and runs it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("cells")

    def build(*out: str, seed: int = 1) -> list[int]:
        program = folder / "-".join(("cells", *out))
        if not program.exists():
            subprocess.run(
                [compiler, "-std=gnu11", "-O1", "-Wall", "-Werror", f"-I{ROOT / 'fastfeed_core'}",
                 *(f"-D{word}" for word in out), "-o", str(program), str(ROOT / "tests" / "cells.c")],
                check=True,
            )  # fmt: skip
        done = subprocess.run([program, str(seed), str(FLUSHES)], check=True, capture_output=True, timeout=300)
        return [int(word) for word in done.stdout.split()]

    return build


@pytest.mark.parametrize("seed", range(1, 6))
def test_no_copy_that_is_found_good_is_torn_and_no_set_is_mixed(run, seed):
    copies, torn, sets, mixed, given_up = run(seed=seed)
    assert (torn, mixed) == (0, 0)
    assert copies > 1000
    assert sets > 1000
    assert given_up > 1000  # and not because nothing came in between


def test_without_the_validation_copies_are_torn(run):
    _, torn, *_ = run("WITHOUT_VALIDATION")
    assert torn > 100


@pytest.mark.parametrize("out", ["WITHOUT_QUIET", "WITHOUT_SAME"])
def test_without_either_half_of_the_check_sets_are_mixed(run, out):
    _, torn, _, mixed, _ = run(out)
    assert torn == 0
    assert mixed > 100

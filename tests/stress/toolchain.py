"""Compiles the C programs of this folder, as they are or with a safeguard out, and runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CORE = HERE.parent.parent / "fastfeed_core"
CC = shutil.which("cc") or shutil.which("gcc")
# -z now: functions are found at the start, not at their first call, which would be counted as that call's cost.
FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-Wl,-z,now", f"-I{CORE}")


def _cc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if CC is None:
        pytest.skip("no C compiler")
    return subprocess.run([CC, *map(str, arguments)], capture_output=True, text=True, check=False)


def compile_program(
    folder: Path, name: str, without: Iterable[str] = (), sanitize: str = "", also: Iterable[str] = ()
) -> Path:
    """Compile `name`.c.

    Parameters
    ----------
    without : macros that take safeguards out
    sanitize : of thread; address,undefined; the test is skipped where the compiler does not have it
    also : further sources, compiled without the sanitizer
    """
    options = [f"-D{each}" for each in without]
    if sanitize:
        empty = folder / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        if _cc(f"-fsanitize={sanitize}", empty, "-o", folder / "empty").returncode:
            pytest.skip(f"the compiler has no -fsanitize={sanitize}")
        options += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"]
    objects = []
    for source in also:
        objects.append(folder / f"{source}.o")
        made = _cc(*FLAGS, "-c", HERE / f"{source}.c", "-o", objects[-1])
        assert made.returncode == 0, made.stderr
    program = folder / name
    made = _cc(*FLAGS, *options, HERE / f"{name}.c", *objects, "-o", program)
    assert made.returncode == 0, made.stderr
    return program


def run_program(program: Path, *arguments: object) -> dict[str, Any]:
    """Run it; returns what it printed. A report of a sanitizer is an AssertionError with the report."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found

"""The drivers in C: compiled from the ring's own header with the flags of the core, run on two pinned cores."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FLAGS = ("-O3", "-std=gnu11", "-fno-strict-aliasing")
COMPILER = "gcc"


class Drivers:
    """Compiles on demand into a folder.

    Parameters
    ----------
    folder : for the programs
    cpus : of the two processes
    defines : C macros by name: another build of the ring
    """

    def __init__(self, folder: Path, cpus: tuple[int, int], defines: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.cpus = cpus
        self.defines = [f"-D{name}={value}" for name, value in (defines or {}).items()]
        self.folder.mkdir(exist_ok=True)

    def build(self, name: str, *extra: str) -> Path:
        """Compile `name`.c unless that was done, and return the program."""
        program = self.folder / name
        if not program.exists():
            include = [f"-I{HERE}", f"-I{HERE.parent.parent / 'fastfeed_core'}"]
            source = str(HERE / f"{name}.c")
            subprocess.run([COMPILER, *FLAGS, *self.defines, *extra, *include, source, "-o", str(program)], check=True)
        return program

    def run(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        """Run a driver with the two cores as its last arguments; returns its lines.

        Raises
        ------
        subprocess.CalledProcessError : it found something wrong, and said what
        """
        command: Sequence[str] = [str(self.build(name)), *map(str, arguments), *map(str, self.cpus)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def calibration(self) -> Path:
        """Compile the ping-pong as a library."""
        return self.build("calibrate", "-shared", "-fPIC")

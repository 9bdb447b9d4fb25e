"""Programs in C, compiled by the tests that run them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastfeed import get_include
from fastfeed_core import records
from fastfeed_core.message import Event

ROOT = Path(__file__).parent.parent
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O2")


def compiler(name: str) -> str:
    """Return the path of a compiler, or skip the test plainly."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


def build(target: Path, *sources: Path, cc: str = "cc", standard: str = "c11", flags: tuple[str, ...] = ()) -> Path:
    """Compile a program with every warning an error."""
    command = [compiler(cc), f"-std={standard}", *STRICT, *flags, f"-I{get_include()}", *map(str, sources)]
    done = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def sanitizers(folder: Path) -> tuple[str, ...]:
    """Return the flags of the sanitizers, nothing where the compiler comes without them."""
    flags = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [compiler("cc"), *flags, str(folder / "empty.c"), "-o", str(folder / "empty")]
    done = subprocess.run(command, capture_output=True, check=False)
    return flags if done.returncode == 0 else ()


class Probe:
    """A C reader in a process of its own that answers one command at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.greeting = self._answer()

    def _answer(self) -> list[str]:
        lines = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == ".\n":
                return [line for line in lines if line]
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the reader ended with {self._process.wait()}: {lines}")

    def send(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def receive(self) -> list[str]:
        return self._answer()

    def ask(self, command: str) -> list[str]:
        self.send(command)
        return self._answer()


@contextlib.contextmanager
def probe(program: Path, name: str, *before: str) -> Iterator[Probe]:
    """Run the C reader of the tests on a bus; `before` is what runs it (an emulator)."""
    command = [*before, str(program), name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as process:
        try:
            yield Probe(process)
        finally:
            process.kill()


def seen_by_python(event: Event) -> str:
    """A record of one fragment in the words of the C reader of the tests."""
    head = f"{event.position.offset} {records.Kind[f'KIND_{event.kind.upper()}'].value}"
    absent = -(2**63)
    rest = [absent if event.sequence is None else event.sequence, event.ts_recv]
    if event.kind == "trade":
        rest += [event.px, event.sz, {"buy": 1, "sell": 2}[event.side]]
    elif event.kind == "bbo":
        rest += [event.bid_px, event.bid_sz, event.ask_px, event.ask_sz]
    elif event.kind in ("delta", "snapshot"):
        rest += ["bids", *(f"{px}:{sz}" for px, sz in event.bid_mantissas)]
        rest += ["asks", *(f"{px}:{sz}" for px, sz in event.ask_mantissas)]
    elif event.kind == "status":
        scope = records.ScopeCode[f"SCOPE_{event.scope.upper()}"].value
        state = records.State[f"STATE_{event.state.upper()}"].value
        rest += [scope, state, records.Reason[f"REASON_{event.reason.upper()}"].value]
    return f"{head} {' '.join(map(str, rest))}"


def seen_by_c(answer: list[str]) -> tuple[list[str], dict[str, int]]:
    """The records of a `read`, without flags and rows, and what it says at its end."""
    out = []
    for line in answer[:-1]:
        words = line.split()
        out.append(" ".join([words[0], words[1], *words[4:]]))
    last = answer[-1].split()
    return out, {last[i]: int(last[i + 1]) for i in range(0, len(last), 2)}

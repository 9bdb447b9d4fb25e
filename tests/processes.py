"""Real processes of the command line, started and ended by the tests that need them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first true value of `what`; AssertionError after the time is up."""
    until = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def fastfeed(*words: str, out: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a verb until the block is left, then end it with SIGINT; its output goes to `out`."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(out.open("wb")) if out else subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, "-m", "fastfeed", *words], stdout=sink, stderr=sink)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextlib.contextmanager
def simulator(folder: Path, *words: str, venue: str = "binance") -> Iterator[dict[str, Any]]:
    """Run `fastfeed sim`; yields what its first line says of the venue."""
    out = folder / "sim.out"
    with fastfeed("sim", *words, out=out) as process:
        line = wait_for(lambda: process.poll() is not None or (b"\n" in out.read_bytes() and out.read_text()))
        assert process.poll() is None, out.read_text()
        yield json.loads(line.splitlines()[0])[venue]


def write_config(
    folder: Path, bus: str, served: dict[str, Any], instruments: Sequence[str], connections: int = 1,
    ring: str = "64MiB", venue: str = "binance", channels: Sequence[str] = ("book", "bbo", "trade"),
    options: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write the configuration of a feed of a simulated venue."""
    tables = "\n".join(
        f"[feed.endpoints.{kind}]\n"
        + "\n".join(f"{product} = {json.dumps(url)}" for product, url in served[kind].items())
        for kind in ("ws", "rest")
    )
    ca = f'ca = "{served["ca"]}"\n' if "ca" in served else ""
    chosen = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (options or {}).items())
    path = folder / f"{bus}.toml"
    path.write_text(
        f'[bus]\nname = "{bus}"\nring = "{ring}"\n[reconnect]\ninitial_s = 0.1\ncap_s = 0.5\n'
        f'[[feed]]\nvenue = "{venue}"\ninstruments = {json.dumps(list(instruments))}\n'
        f"channels = {json.dumps(list(channels))}\nconnections = {connections}\n"
        f"{chosen}[feed.endpoints]\n{ca}{tables}\n"
    )
    return path


def run_python(source: str, *arguments: str, seconds: float = 120) -> str:
    """Run a consumer in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=os.environ.copy(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""Every block of the README does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from processes import fastfeed, wait_for

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def shape(text: str) -> str:
    """Text without its numbers, which are those of the moment."""
    return re.sub(r"\b(buy|sell)\b", "SIDE", re.sub(r"\d+(\.\d+)?(e-\d+)?", "N", text)).strip()


def test_the_configuration_is_valid_and_check_prints_what_is_shown(tmp_path):
    (config,) = blocks("toml")
    (tmp_path / "feed.toml").write_text(config)
    (console,) = blocks("console")
    command, _, shown = console.partition("\n")
    assert command == "$ fastfeed check feed.toml"
    done = subprocess.run(
        [sys.executable, "-m", "fastfeed", "check", "feed.toml"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.stdout == shown


def test_a_feed_and_a_consumer_take_six_lines_each():
    assert len(blocks("toml")[0].splitlines()) == 6
    assert len(blocks("python")[0].splitlines()) == 6


def test_the_consumer_prints_what_is_shown(shm, tmp_path):
    (source,) = blocks("python")
    (shown,) = blocks("text")
    with fastfeed("demo", "--seconds", "60", out=tmp_path / "demo.out"):
        wait_for(lambda: b"live" in (tmp_path / "demo.out").read_bytes())
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert shape(done.stdout) == shape(shown)


def test_the_two_commands_are_one_line_each():
    commands = blocks("sh")
    assert len(commands) == 2
    assert all(len(each.splitlines()) == 1 for each in commands)


def test_what_the_documents_name_exists():
    for page in ("README.md", "docs/architecture.md", "docs/adding-a-venue.md"):
        text = (ROOT / page).read_text()
        for name in re.findall(
            r"`((?:fastfeed|fastfeed_core|docs|tests|benchmarks)/[\w./]+\.\w+)`", text.replace("VENUE", "binance")
        ):
            assert (ROOT / name).exists(), f"{page} names {name}"

"""The long run under fire, for a few seconds: it starts, kills, checks and ends by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_short_soak_kills_and_finds_nothing_wrong():
    command = [sys.executable, "-m", "tests.stress.soak", "--seconds", "5", "--every", "0.7", "--seed", "1"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert (found["wrong"], found["left"], done.stderr) == ([], [], "")
    assert found["feeds_killed"] + found["readers_killed"] > 1
    assert all(each["events"] and each["books"] for each in found["readers"].values())

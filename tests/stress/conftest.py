"""How long the stress takes: seconds unless asked for more.

`python -m pytest tests/stress --stress-seconds 60 --kills 1000 --sleeps 1000000`
"""

from __future__ import annotations

import os

import pytest

OPTIONS = {
    "--stress-seconds": (float, 1.0, "seconds of each run of ring and cell"),
    "--kills": (int, 10, "producers, and readers, that are killed"),
    "--sleeps": (int, 2000, "times that a reader goes to sleep"),
}


def pytest_addoption(parser):
    group = parser.getgroup("stress")
    for name, (kind, default, text) in OPTIONS.items():
        group.addoption(name, type=kind, default=default, help=f"{text} ({default:g})")


def _option(config, name):
    # This file is read too late for the options if pytest was not told of this folder: then the defaults hold.
    return config.getoption(name, OPTIONS[name][1])


def pytest_collection_modifyitems(config, items):
    """What was asked for may take longer than a test usually may."""
    asked = (
        20 * _option(config, "--stress-seconds") + 3 * _option(config, "--kills") + _option(config, "--sleeps") / 500
    )
    for item in items:
        if item.path.parent.name == "stress":
            item.add_marker(pytest.mark.timeout(300 + asked))


@pytest.fixture(scope="session")
def seconds(request):
    return _option(request.config, "--stress-seconds")


@pytest.fixture(scope="session")
def kills(request):
    return _option(request.config, "--kills")


@pytest.fixture(scope="session")
def wakes(request):
    return _option(request.config, "--sleeps")


@pytest.fixture
def seed():
    """Another one in every run; a failing test prints it."""
    chosen = int.from_bytes(os.urandom(4), "little")
    print(f"seed {chosen}")
    return chosen


@pytest.fixture
def two_cores():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores: stores of one process are seen in order by another on the same core")

"""Fixtures and hypothesis profiles of all tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=5000)
settings.register_profile("brief", settings.get_profile("default"), max_examples=15)
settings.load_profile(os.environ.get("FASTFEED_EXAMPLES", "default"))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded messages."""
    folder = os.environ.get("FASTFEED_RECORDINGS")
    if not folder:
        pytest.skip("FASTFEED_RECORDINGS is not set")
    return Path(folder)


@pytest.fixture
def shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for bus files of this test alone; nothing may be left in it."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setenv("FASTFEED_SHM", str(folder))
    return folder


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What a test starts in the middle of itself, and is to be ended with it."""
    with contextlib.ExitStack() as made:
        yield made


def pytest_addoption(parser):
    parser.addoption("--sequences", type=int, default=20, help="random sequences of faults for each venue")
    parser.addoption(
        "--race-seconds", type=int, default=8, help="how long one of two connections is killed every second"
    )
    parser.addoption(
        "--isolation-seconds", type=float, default=5, help="how long one instrument suffers beside healthy ones"
    )
    parser.addoption("--rolls", type=int, default=2, help="times that all connections are replaced under load")
    parser.addoption("--chaos-seconds", type=float, default=5, help="how long the chaos lasts")
    parser.addoption("--chaos-seed", type=int, default=7, help="of its choices")
    parser.addoption("--wakes", type=int, default=20_000, help="records that race with a reader going to sleep")
    parser.addoption("--clients", action="store_true", help="also other people's clients against the simulator")


@pytest.fixture
def sequences(request):
    return request.config.getoption("--sequences")


@pytest.fixture
def isolation_seconds(request):
    return request.config.getoption("--isolation-seconds")


@pytest.fixture
def rolls(request):
    return request.config.getoption("--rolls")


@pytest.fixture
def race_seconds(request):
    return request.config.getoption("--race-seconds")

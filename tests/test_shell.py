"""The live shell: opening sockets, what it lets through, and when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import picows
import pytest

from fastfeed.engine import shell
from fastfeed.engine.network import Network
from fastfeed.link import Connection
from fastfeed.venues.binance import SPOT


class Wants:
    """A protocol that wants connections, and notes what became of them."""

    def __init__(self, count: int) -> None:
        self.connections = [Connection(number, f"ws://nowhere/{number}", {}) for number in range(count)]
        self.ended: list[tuple[int, str]] = []
        self.sends = self.pings = self.requests = ()

    def disconnected(self, key: int, ts: int, reason: str) -> None:
        self.connections = [each for each in self.connections if each.id != key]
        self.ended.append((key, reason))


def make(protocol: Any, **limits: Any) -> shell.Shell:
    chosen = SimpleNamespace(connects=SPOT.limits.connects, connects_per_s=SPOT.limits.connects_per_s)
    vars(chosen).update(limits)
    return shell.Shell(protocol, chosen, lambda: None, lambda: None, Network())


def test_an_address_that_does_not_answer_is_given_up(monkeypatch):
    async def connect(*args: Any, **options: Any) -> None:
        await asyncio.sleep(3600)

    async def go(protocol: Wants) -> None:
        make(protocol).carry_out()
        async with asyncio.timeout(30):
            while not protocol.ended:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(picows, "ws_connect", connect)
    monkeypatch.setattr(shell, "_OPEN_S", 0.05)
    protocol = Wants(1)
    asyncio.run(go(protocol))
    assert [key for key, _ in protocol.ended] == [0]
    assert protocol.ended[0][1].startswith("TimeoutError")


@pytest.mark.parametrize(("connects", "at_once"), [(10, 5), (3, 1), (1, 1)])
def test_no_more_attempts_at_once_than_leave_room_for_those_that_follow(monkeypatch, connects, at_once):
    tried: list[str] = []

    async def connect(make: Any, url: str, **options: Any) -> None:
        tried.append(url)
        await asyncio.sleep(3600)

    async def go(protocol: Wants) -> None:
        each = make(protocol, connects=connects, connects_per_s=3600)
        each.carry_out()
        for _ in range(20):
            await asyncio.sleep(0)
        for task in each._tasks:
            task.cancel()

    monkeypatch.setattr(picows, "ws_connect", connect)
    asyncio.run(go(Wants(20)))
    assert len(tried) == at_once


@pytest.mark.parametrize(("most", "seconds"), [(1, 1.0), (3, 1.0), (32, 60.0), (300, 300.0)])
def test_connections_are_no_more_than_the_venue_takes_in_any_window(most, seconds, monkeypatch):
    async def attempts() -> list[float]:
        loop = asyncio.get_running_loop()
        now = [loop.time()]
        monkeypatch.setattr(loop, "time", lambda: now[0])
        limiter = shell._limiter(most, seconds)
        times = []
        for _ in range(3 * most):
            while not limiter.has_capacity():
                now[0] += seconds / (20 * most)
            await limiter.acquire()
            times.append(now[0])
        return times

    times = asyncio.run(attempts())
    for first in times:
        assert sum(first <= each < first + seconds for each in times) <= most
    assert times[-1] - times[0] < 8 * seconds  # and not needlessly slow

"""The live shell: opening sockets, what it lets through, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import picows

from fastfeed.attempt import Connection
from fastfeed.engine import shell
from fastfeed.engine.network import Network


class Wants:
    """A protocol that wants connections, and notes what became of them."""

    def __init__(self, count: int) -> None:
        self.connections = [Connection(number, f"ws://nowhere/{number}", {}) for number in range(count)]
        self.ended: list[tuple[int, str]] = []
        self.sends = self.pings = self.requests = ()

    def disconnected(self, key: int, ts: int, reason: str) -> None:
        self.connections = [each for each in self.connections if each.id != key]
        self.ended.append((key, reason))


def make(protocol: Any) -> shell.Shell:
    return shell.Shell(protocol, lambda: None, lambda: None, Network())


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

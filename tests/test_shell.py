"""The live shell: opening sockets, what it lets through, and when."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import picows
from fakevenue import FakeVenue, coin

from fastfeed import venues
from fastfeed.attempt import Connection
from fastfeed.config import Bus, Config, Feed
from fastfeed.engine import shell
from fastfeed.engine.feed import Engine
from fastfeed.engine.network import Network
from fastfeed.engine.way import Way
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter


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


class Counts:
    """What the engine runs: a feed that counts what it is told."""

    def __init__(self) -> None:
        self.protocol = self.shell = self
        self.told: list[str] = []

    def attend(self, ts: int) -> None:
        self.told.append("attend")

    def advance(self, ts: int) -> None:
        self.told.append("advance")

    def carry_out(self) -> None:
        self.told.append("carry out")


def test_what_follows_from_the_frames_of_a_read_is_done_once_behind_the_last_of_them():
    async def go(feed: Counts) -> list[str]:
        running: Any = feed
        engine = Engine(Config(bus=Bus(name="quiet"), feeds=()), BusWriter(ring=1 << 20, instruments=1))
        engine.feeds.append(running)
        for _ in range(2):
            for _ in range(3):
                engine._attend()
            assert feed.told[-3:] == ["attend"] * 3
            await asyncio.sleep(0)
        return feed.told

    assert asyncio.run(go(Counts())) == ["attend", "attend", "attend", "advance", "carry out"] * 2


def test_feeds_that_share_an_instrument_describe_it_alike(monkeypatch):
    monkeypatch.setattr(venues, "load", lambda name: FakeVenue())
    monkeypatch.setattr(shell.Shell, "carry_out", lambda self: None)
    engine = Engine(Config(bus=Bus(name="quiet"), feeds=()), BusWriter(ring=1 << 20, instruments=2))
    books, trades = (
        engine.make(Feed(venue="fake", instruments=("*",), channels=(channel,)), Way(Network(), None))
        for channel in ("book", "trade")
    )
    engine.feeds += [books, trades]
    other = msgspec.structs.replace(coin(0), lot_size=Decimal(10))
    assert engine.subscribe(books, [coin(0)]) == engine.subscribe(trades, [other]) == []
    assert trades.protocol.subscriptions.known(other.name) == coin(0)
    assert BusMap(writer=engine._writer).count == 1

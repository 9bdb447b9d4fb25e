"""changes: requests that come while a venue does not answer; without sockets and processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastfeed.bus import Bus
from fastfeed.cli.status import describe
from fastfeed.config import load_config, select
from fastfeed.engine import changes as module
from fastfeed.engine.changes import Changes, Verb
from fastfeed.engine.feed import Engine
from fastfeed.engine.network import Unreachable
from fastfeed.engine.way import Way
from fastfeed.errors import ConfigError, VenueDown
from fastfeed.instrument import Instrument, instruments
from fastfeed.pause import SECOND
from fastfeed.sim import Knobs, Simulator
from fastfeed.venues import load
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter


class Nowhere:
    """A network that leads nowhere."""

    async def open(self, *_: Any) -> None:
        raise Unreachable("nowhere")

    async def close(self) -> None:
        pass


def listing(venue: str) -> list[Instrument]:
    sim = Simulator([venue], knobs=Knobs(seed=1))
    product = load(venue).PRODUCTS[0]
    bodies, calls = [], list(product.listing)
    for call in calls:
        bodies.append(sim.request(venue, product.name, call.path).body)
        calls += load(venue).read_listing(bodies[-1], product).more
    return instruments(venue, bodies, product.name)


LISTED = {venue: listing(venue) for venue in ("binance", "okx")}
NAMES = {"instruments": "name", "connections": "label", "venues": "name"}
TEXT = """
[bus]
name = "changes"
[[feed]]
venue = "binance"
instruments = ["BTC/USDT"]
channels = ["book"]
[[feed]]
venue = "okx"
instruments = ["BTC/USDT"]
channels = ["book", "bbo"]
"""


class Fixture:
    """An engine of two venues, of which OKX lists nothing until `answers` is set."""

    def __init__(self, path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        path.write_text(text)
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        monkeypatch.setattr(module, "fetch_listing", self._fetch)
        monkeypatch.setattr(module, "_NEWS_S", 0.05)
        config = load_config(str(path))
        self.engine = Engine(config, BusWriter(ring=1 << 22, instruments=32))
        self.changes = Changes(self.engine, str(path))
        for feed in config.feeds:
            chosen = select(LISTED[feed.venue], feed.instruments)
            self.engine.begin(self.engine.make(feed, Way(Nowhere(), None), chosen))

    async def _fetch(self, feed: Any, network: Any, places: Any) -> list[Instrument]:
        self.asked.append(feed.venue)
        if feed.venue == "okx":
            await self.answers.wait()
        return LISTED[feed.venue]

    def rewrite(self, old: str, new: str, count: int = 1) -> None:
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new, count))

    @property
    def wanted(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {each.feed.venue: each.protocol.subscriptions.wanted for each in self.engine.feeds}

    async def begin(self, **words: Any) -> asyncio.Task[dict[str, Any]]:
        """Ask, and let it come as far as it can."""
        task = asyncio.create_task(self.changes.do(Verb(**words)))
        for _ in range(10):
            await asyncio.sleep(0)
        return task


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Any, text: str = TEXT) -> None:
    async def go() -> None:
        it = Fixture(tmp_path / "feed.toml", text, monkeypatch)
        try:
            await asyncio.wait_for(what(it), 60)
        finally:
            await it.changes.stop()
            await it.engine.stop()

    asyncio.run(go())


def test_nobody_waits_for_the_listing_of_another_venue(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        monkeypatch.setattr(module, "_NEWS_S", 30)
        slow = await it.begin(verb="subscribe", venue="okx", symbols=("SATS/USDT",))
        reloading = await it.begin(verb="reload")
        assert it.asked == ["okx", "binance", "okx"]
        assert await it.changes.do(Verb(verb="resync", name="binance:BTC/USDT")) == {"resynced": "binance:BTC/USDT"}
        done = await it.changes.do(Verb(verb="subscribe", venue="binance", symbols=("ETH/USDT",)))
        assert done["subscribed"] == ["binance:ETH/USDT"]
        assert await it.changes.do(Verb(verb="unsubscribe", venue="binance", symbols=("ETH/USDT",)))
        assert not slow.done()
        it.answers.set()
        await reloading
        assert (await slow)["subscribed"] == ["okx:SATS/USDT"]

    run(tmp_path, monkeypatch, what)


def test_a_venue_that_does_not_answer_does_not_keep_others_from_changing(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        it.rewrite('["BTC/USDT"]', '["BTC/USDT", "ETH/USDT"]')
        answer = await it.changes.do(Verb(verb="reload"))
        assert answer["subscribed"] == ["binance:ETH/USDT"]
        assert answer["not_listed"] == ["okx"]
        assert it.wanted["okx"] == {"okx:BTC/USDT": ("book", "bbo")}
        # What it has can go on in other channels, and can go.
        it.rewrite('["book", "bbo"]', '["book"]')
        await it.changes.do(Verb(verb="reload"))
        assert it.wanted["okx"] == {"okx:BTC/USDT": ("book",)}

    run(tmp_path, monkeypatch, what)


def test_a_pattern_of_a_venue_that_does_not_answer_keeps_what_it_has(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        before = it.wanted["okx"]
        assert len(before) > 1
        assert (await it.changes.do(Verb(verb="reload")))["not_listed"] == ["okx"]
        assert it.wanted["okx"] == before
        it.answers.set()
        assert (await it.changes.do(Verb(verb="reload")))["not_listed"] == []
        assert it.wanted["okx"] == before

    head, tail = TEXT.split('venue = "okx"')
    run(tmp_path, monkeypatch, what, head + 'venue = "okx"' + tail.replace("BTC/USDT", "*/USDT"))


@pytest.mark.parametrize("named", ['"BTC/USDT", "ETH/USDT"', '"*/USDT"'])
def test_what_only_a_listing_can_tell_is_waited_for_and_its_error_names_the_venue(tmp_path, monkeypatch, named):
    monkeypatch.setattr(module, "_LISTING_S", 0.05)

    async def what(it: Fixture) -> None:
        before = it.wanted
        text = it.path.read_text()
        head, tail = text.split('venue = "okx"')
        it.path.write_text(head + 'venue = "okx"' + tail.replace('"BTC/USDT"', named))
        with pytest.raises(ConfigError, match="the listing of okx within"):
            await it.changes.do(Verb(verb="reload"))
        with pytest.raises(ConfigError, match="the listing of okx within"):
            await it.changes.do(Verb(verb="subscribe", venue="okx", symbols=("SATS/USDT",)))
        assert it.wanted == before

    run(tmp_path, monkeypatch, what)


def test_a_refused_listing_that_is_needed_is_the_error(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        async def refuse(feed: Any, *_: Any) -> list[Instrument]:
            raise VenueDown(feed.venue, None, "maintenance")

        monkeypatch.setattr(module, "fetch_listing", refuse)
        with pytest.raises(VenueDown, match="maintenance"):
            await it.changes.do(Verb(verb="subscribe", venue="okx", symbols=("SATS/USDT",)))
        assert (await it.changes.do(Verb(verb="reload")))["not_listed"] == ["binance", "okx"]

    run(tmp_path, monkeypatch, what)


def test_what_a_word_ended_needs_a_listing_to_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LISTING_S", 0.05)

    async def what(it: Fixture) -> None:
        await it.changes.do(Verb(verb="unsubscribe", venue="okx", symbols=("BTC/USDT",)))
        with pytest.raises(ConfigError, match="the listing of okx"):
            await it.changes.do(Verb(verb="reload"))
        it.answers.set()
        assert (await it.changes.do(Verb(verb="reload")))["subscribed"] == ["okx:BTC/USDT"]

    run(tmp_path, monkeypatch, what)


def test_a_word_while_a_reload_waits_is_seen_by_it(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        monkeypatch.setattr(module, "_NEWS_S", 30)
        reloading = await it.begin(verb="reload")
        await it.changes.do(Verb(verb="unsubscribe", venue="okx", symbols=("BTC/USDT",)))
        it.answers.set()
        assert (await reloading)["subscribed"] == ["okx:BTC/USDT"]

    run(tmp_path, monkeypatch, what)


def test_a_feed_that_comes_and_goes_leaves_no_health_and_takes_no_more_rows(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        it.answers.set()
        both = it.path.read_text()
        one = both.rpartition("[[feed]]")[0]
        bus = Bus(BusMap(writer=it.engine._writer))

        def told(venue: str) -> dict[str, set[str | None]]:
            found = describe(bus)
            rows = {key: [each for each in found[key] if each[name].startswith(venue)] for key, name in NAMES.items()}
            return {key: {each["health"] for each in chosen} for key, chosen in rows.items()}

        rows = len(bus.map.connections())
        now = time.time_ns()
        for number in range(6):
            for second in range(20):
                for each in it.engine.feeds:
                    each.protocol.advance(now + (20 * number + second) * SECOND)
            down = {"instruments": {"down"}, "connections": {"down"}, "venues": {"down"}}
            assert told("okx") == down
            assert told("binance") == down
            it.path.write_text(one)
            assert (await it.changes.do(Verb(verb="reload")))["feeds_ended"] == 1
            assert told("okx") == {"instruments": {None}, "connections": {None}, "venues": set()}
            assert told("binance") == down
            it.path.write_text(both)
            assert (await it.changes.do(Verb(verb="reload")))["feeds_added"] == 1
        assert len(bus.map.connections()) == rows

    run(tmp_path, monkeypatch, what)


def test_a_feed_that_ends_while_its_listing_comes_is_not_subscribed_to(tmp_path, monkeypatch):
    async def what(it: Fixture) -> None:
        slow = await it.begin(verb="subscribe", venue="okx", symbols=("SATS/USDT",))
        it.path.write_text(it.path.read_text().rpartition("[[feed]]")[0])
        assert (await it.changes.do(Verb(verb="reload")))["feeds_ended"] == 1
        it.answers.set()
        with pytest.raises(ConfigError, match="ended meanwhile"):
            await slow

    run(tmp_path, monkeypatch, what)

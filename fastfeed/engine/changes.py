"""What can change while a feed runs: its subscriptions and its feeds, at a word or from its configuration file.

All that can fail is tried before anything changes. Requests are carried out one after the other, but nobody waits for
the listing of another one's venue: it is fetched before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fastfeed.config import Config, Feed, check_feed, is_pattern, load_config, refuse_overlap, select
from fastfeed.engine.listing import fetch_listing
from fastfeed.engine.network import Network
from fastfeed.engine.reload import Pair, choose, keep, needs_listing, pair_feeds, steps
from fastfeed.engine.way import find_way
from fastfeed.errors import ConfigError, FastfeedError, did_you_mean
from fastfeed.instrument import Instrument

if TYPE_CHECKING:
    from fastfeed.engine.feed import Engine, Running

__all__ = ["Changes", "Verb"]

_log = logging.getLogger(__name__)

_LISTING_S = 60.0  # for the listings that a request needs; a feed that starts has longer
_NEWS_S = 10.0  # for those without which a feed can go on as it is
_BATCH = 32  # instruments that are made at a time: between two batches, what came in is read


class Verb(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request; which of the keys it needs depends on its verb."""

    verb: Literal["status", "subscribe", "unsubscribe", "reload", "roll", "resync", "stop"]
    venue: str | None = None  # of subscribe, unsubscribe; of roll, None for all
    symbols: tuple[str, ...] = ()  # of subscribe: unified symbols or patterns, without the venue; of unsubscribe too
    channels: tuple[str, ...] | None = None  # None: those of the feed; of unsubscribe, all
    name: str | None = None  # of resync: of an instrument, with the venue

    @property
    def stops(self) -> bool:
        """Whether the feed is to stop when this was answered."""
        return self.verb == "stop"


class Changes:
    """Changes of a running feed.

    Parameters
    ----------
    file : of the configuration; None: it was not read from one
    """

    def __init__(self, engine: Engine, file: str | None) -> None:
        self._engine = engine
        self._file = file
        self._busy = asyncio.Lock()  # held while something changes
        self._one_reload = asyncio.Lock()  # which feeds there are changes below it alone
        self._reloading: asyncio.Task[None] | None = None
        self._again = False

    def reload_soon(self) -> None:
        """Read the file again; what is wrong with it goes to the log. Asked for meanwhile, it is read once more."""
        if self._reloading is not None and not self._reloading.done():
            self._again = True
        elif not self._engine.feeds:
            _log.warning("not reloaded error=the feed is still starting")
        else:
            self._reloading = asyncio.get_running_loop().create_task(self._reload_logged())

    async def _reload_logged(self) -> None:
        while True:
            self._again = False
            try:
                await self.do(Verb(verb="reload"))
            except FastfeedError as error:
                _log.error("not reloaded, nothing has changed error=%s", error)
            except Exception:
                _log.exception("not reloaded")
            if not self._again:
                return

    async def stop(self) -> None:
        """Give up what is under way."""
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.gather(self._reloading, return_exceptions=True)

    async def do(self, verb: Verb) -> dict[str, Any]:
        """Carry out a request and return what came of it.

        Raises
        ------
        FastfeedError : it cannot be done; nothing has changed
        """
        if verb.verb == "status":
            return self._status()
        if verb.verb == "stop":
            _log.info("stop asked for")
            return {}
        if verb.verb == "reload":
            async with self._one_reload:
                return await self._reload()
        if verb.verb in ("subscribe", "unsubscribe") and (verb.venue is None or not verb.symbols):
            raise ConfigError("venue, symbols", "a venue and one symbol or more", "nothing")
        if verb.verb == "subscribe":
            assert verb.venue is not None
            return await self._subscribe(verb.venue, verb.symbols, verb.channels)
        async with self._busy:
            if verb.verb == "roll":
                return self._roll(verb.venue)
            if verb.verb == "resync":
                return self._resync(verb.name)
            assert verb.venue is not None
            return self._unsubscribe(verb.venue, verb.symbols, verb.channels)

    # ---- at a word

    def _of(self, venue: str) -> list[Running]:
        found = [each for each in self._engine.feeds if each.feed.venue == venue]
        if not found:
            known = sorted({each.feed.venue for each in self._engine.feeds})
            raise ConfigError(
                "venue", f"one of this feed ({', '.join(known)})", f"{venue!r}{did_you_mean(venue, known)}"
            )
        return found

    async def _subscribe(
        self, venue: str, symbols: tuple[str, ...], channels: tuple[str, ...] | None
    ) -> dict[str, Any]:
        feeds = self._of(venue)
        running = next((each for each in feeds if set(channels or ()) <= set(each.feed.channels)), feeds[0])
        wanted = running.feed.channels if channels is None else channels
        asked = msgspec.structs.replace(running.feed, instruments=symbols, channels=wanted)
        check_feed(asked, "request")
        (listed,) = await self._listings([(asked, running.network, True)])
        assert listed is not None
        chosen = select(listed, symbols, "symbols")
        async with self._busy:
            if running not in self._engine.feeds:
                raise ConfigError("venue", "a feed that runs", f"{venue!r}, which has ended meanwhile")
            return await self._enter(running, asked, listed, chosen)

    async def _enter(
        self, running: Running, asked: Feed, listed: Sequence[Instrument], chosen: Sequence[Instrument]
    ) -> dict[str, Any]:
        venue, wanted = asked.venue, asked.channels
        for other in self._of(venue):
            taken = other.protocol.subscriptions.wanted if other is not running else {}
            for each in chosen:
                for channel in set(wanted) & set(taken.get(each.name, ())):
                    raise ConfigError(
                        "symbols", f"{channel} of an instrument in one feed", f"{each.name}, in another one"
                    )
        before = running.protocol.subscriptions.wanted
        more = [each for each in chosen if not set(wanted) <= set(before.get(each.name, ()))]
        left_out = set(await self._add(running, more, wanted))
        running.protocol.subscriptions.relist(listed, {product.name for product in asked.products}, time.time_ns())
        done = [each.name for each in more if each.name not in left_out]
        _log.info("subscribed venue=%s instruments=%d channels=%s", venue, len(done), ",".join(wanted))
        new = {each.name for each in more}
        already = [each.name for each in chosen if each.name not in new]
        return {"subscribed": done, "already": already, "left_out": sorted(left_out)}

    def _unsubscribe(self, venue: str, symbols: tuple[str, ...], channels: tuple[str, ...] | None) -> dict[str, Any]:
        feeds = self._of(venue)
        names: dict[str, None] = {}
        wanted = [
            name
            for running in feeds
            for name, has in running.protocol.subscriptions.wanted.items()
            if channels is None or set(channels) & set(has)
        ]
        known = set(wanted)
        for index, symbol in enumerate(symbols):
            full = f"{venue}:{symbol}"
            # Only real patterns are compared with everything: a request can have thousands of symbols.
            found = [each for each in wanted if fnmatchcase(each, full)] if is_pattern(symbol) else {full} & known
            if not found:
                raise ConfigError(f"symbols[{index}]", "an instrument that is subscribed to", f"{symbol!r}")
            names |= dict.fromkeys(found)
        for running in feeds:
            running.protocol.unsubscribe(names, time.time_ns(), channels)
            running.shell.carry_out()
        _log.info("unsubscribed venue=%s instruments=%d", venue, len(names))
        return {"unsubscribed": list(names)}

    def _roll(self, venue: str | None) -> dict[str, Any]:
        feeds = list(self._engine.feeds) if venue is None else self._of(venue)
        rolled = 0
        for running in feeds:
            rolled += running.protocol.roll(time.time_ns())
            running.shell.carry_out()
        return {"connections": rolled}

    def _resync(self, name: str | None) -> dict[str, Any]:
        for running in self._engine.feeds:
            if name is not None and running.protocol.resync(name, time.time_ns()):
                running.shell.carry_out()
                return {"resynced": name}
        known = [each for running in self._engine.feeds for each in running.protocol.subscriptions.wanted]
        raise ConfigError("name", "an instrument whose book is kept", f"{name!r}{did_you_mean(name or '', known)}")

    def _status(self) -> dict[str, Any]:
        now = time.time_ns()
        return {
            "bus": self._engine.config.bus.name,
            "feeds": [
                {
                    "venue": running.feed.venue,
                    "channels": list(running.feed.channels),
                    "instruments": {
                        name: list(channels) for name, channels in running.protocol.subscriptions.wanted.items()
                    },
                    "connections": running.protocol.describe(now),
                }
                for running in self._engine.feeds
            ],
        }

    # ---- from the file

    async def _reload(self) -> dict[str, Any]:
        if self._file is None:
            raise ConfigError("", "a configuration that was read from a file", "one that was not")
        new = load_config(self._file)
        living = list(self._engine.feeds)
        pairs, gone = pair_feeds(self._engine.config, [each.feed for each in living], new)
        ways = {index: find_way(new, index) for index, pair in enumerate(pairs) if pair.place is None}
        async with AsyncExitStack() as stack:
            for way in ways.values():
                await stack.enter_async_context(way.network)
            listings = await self._listings(
                (pair.new, ways[index].network, True)
                if pair.place is None
                else (pair.new, living[pair.place].network, self._needs_listing(living[pair.place], pair.new))
                for index, pair in enumerate(pairs)
            )
            async with self._busy:
                chosen = [
                    self._choose(None if pair.place is None else living[pair.place], pair.new, listed, f"feed[{index}]")
                    for index, (pair, listed) in enumerate(zip(pairs, listings, strict=True))
                ]
                refuse_overlap(new.feeds, chosen)
                added = [
                    self._engine.make(pair.new, ways[index]) if pair.place is None else None
                    for index, pair in enumerate(pairs)
                ]
                stack.pop_all()  # the feeds close them from now on
                return await self._apply(new, [living[index] for index in gone], pairs, living, added, chosen, listings)

    async def _apply(
        self,
        new: Config,
        gone: Sequence[Running],
        pairs: Sequence[Pair],
        living: Sequence[Running],
        added: Sequence[Running | None],
        chosen: Sequence[Sequence[Instrument]],
        listings: Sequence[Sequence[Instrument] | None],
    ) -> dict[str, Any]:
        # From here on nothing is refused any more. What ends goes first: a book can move from one feed to another.
        ended, begun, left_out = set[str](), set[str](), set[str]()
        for each in gone:
            ended |= each.protocol.subscriptions.wanted.keys()
            await self._engine.end(each)
        work: list[tuple[Running, dict[tuple[str, ...], list[Instrument]]]] = []
        for pair, fresh, wanted in zip(pairs, added, chosen, strict=True):
            running = fresh if pair.place is None else living[pair.place]
            assert running is not None
            less, more = steps(running.protocol.subscriptions.wanted, wanted, pair.new.channels)
            for channels, names in less.items():
                ended.update(names)
                running.protocol.unsubscribe(names, time.time_ns(), channels)
            running.feed = pair.new
            running.protocol.subscriptions.channels = pair.new.channels
            if fresh is not None:
                self._engine.begin(fresh)
            else:
                running.shell.carry_out()
            work.append((running, more))
        for (running, more), listed in zip(work, listings, strict=True):
            for channels, instruments in more.items():
                begun.update(each.name for each in instruments)
                left_out.update(await self._add(running, instruments, channels))
            if listed is not None:
                products = {product.name for product in running.feed.products}
                running.protocol.subscriptions.relist(listed, products, time.time_ns())
            running.shell.carry_out()
        self._engine.config = new
        result = {
            "feeds_added": sum(each is not None for each in added),
            "feeds_ended": len(gone),
            "subscribed": sorted(begun - left_out),
            "unsubscribed": sorted(ended),
            "left_out": sorted(left_out),
            "not_listed": sorted(
                {feed.venue for feed, listed in zip(new.feeds, listings, strict=True) if listed is None}
            ),
        }
        _log.info(
            "reloaded file=%s feeds_added=%d feeds_ended=%d subscribed=%d unsubscribed=%d left_out=%d",
            self._file, result["feeds_added"], result["feeds_ended"], len(begun - left_out), len(ended), len(left_out),
        )  # fmt: skip
        return result

    def _needs_listing(self, running: Running, new: Feed) -> bool:
        return needs_listing(running.feed.instruments, new.instruments, running.protocol.subscriptions.wanted)

    def _choose(
        self, running: Running | None, new: Feed, listed: Sequence[Instrument] | None, path: str
    ) -> list[Instrument]:
        """What a feed is to subscribe to; without a listing, what it has of that."""
        known = {} if running is None else running.protocol.subscriptions.instruments
        if listed is not None:
            return choose(listed, new.instruments, known, f"{path}.instruments")
        if running is not None and self._needs_listing(running, new):  # by a word that was carried out meanwhile
            raise ConfigError(f"{path}.instruments", f"the listing of {new.venue}", "none")
        return keep(known.values(), new.instruments)

    async def _listings(self, feeds: Iterable[tuple[Feed, Network, bool]]) -> list[list[Instrument] | None]:
        """The listings for feeds, None for one that could not be fetched; the flag says that it is needed.

        Raises
        ------
        FastfeedError : one that is needed could not be fetched
        """
        tasks = [asyncio.create_task(self._listing(*each)) for each in feeds]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listing(self, feed: Feed, network: Network, needed: bool) -> list[Instrument] | None:
        seconds = _LISTING_S if needed else _NEWS_S
        try:
            async with asyncio.timeout(seconds):
                return await fetch_listing(feed, network, self._engine.places)
        except TimeoutError:
            error: FastfeedError = ConfigError("", f"the listing of {feed.venue} within {seconds:g} s", "none")
        except FastfeedError as other:
            error = other
        if needed:
            raise error
        _log.warning("not listed venue=%s, it goes on with what it has error=%s", feed.venue, error)
        return None

    async def _add(self, running: Running, instruments: Sequence[Instrument], channels: Iterable[str]) -> list[str]:
        """Subscribe to more, a batch at a time; return the names of those that there was no room for."""
        left_out = []
        for at in range(0, len(instruments), _BATCH):
            left_out += self._engine.subscribe(running, instruments[at : at + _BATCH], channels)
            await asyncio.sleep(0)
        return left_out

"""The feed process: configuration in, a bus out, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import grp
import logging
import signal
import ssl
import time
from random import Random

import aiohttp
import uvloop

from fastfeed import venues
from fastfeed.config import Bus, Config, Feed, refuse_overlap
from fastfeed.engine.listing import list_instruments
from fastfeed.engine.shell import Shell
from fastfeed.errors import BusBusy, BusFull, ConfigError
from fastfeed.instrument import Instrument
from fastfeed.places import Places
from fastfeed.protocol import Endpoint, Protocol, open_market
from fastfeed.venues.spec import Channel, Options, rows_for
from fastfeed_core.bus import BusWriter, folder
from fastfeed_core.market import Hub, Market
from fastfeed_core.records import Reason, ScopeCode, State

__all__ = ["run", "serve"]

_log = logging.getLogger(__name__)

_TICK_S = 0.02  # how often time passes for the protocols
_HEARTBEAT_EVERY = 5  # ticks


def run(config: Config) -> None:
    """Run a feed until SIGINT or SIGTERM.

    Raises
    ------
    BusBusy : another feed writes the bus
    ConfigError : an instrument that the venue does not list
    VenueError : a listing could not be fetched
    """
    uvloop.run(_run_until_signal(config))


async def _run_until_signal(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop)


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run a feed until `stop` is set; errors as of `run`."""
    writer = open_bus(config.bus)
    ticker: asyncio.Task[None] | None = None
    engine = _Engine(config, writer)
    try:
        ticker = asyncio.create_task(engine.tick())
        async with aiohttp.ClientSession() as http:
            starting = asyncio.create_task(engine.start(http))
            stopping = asyncio.create_task(stop.wait())
            # A signal ends the start too; a ticker that fails ends everything.
            await asyncio.wait({starting, stopping, ticker}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not stop.is_set():
                starting.result()
                await asyncio.wait({stopping, ticker}, return_when=asyncio.FIRST_COMPLETED)
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await engine.stop()
        if ticker.done():
            ticker.result()
    finally:
        if ticker is not None:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await ticker
        writer.close()
        _log.info("stopped bus=%s", config.bus.name)


def open_bus(bus: Bus) -> BusWriter:
    """Create the files of the bus that the configuration describes."""
    group = None if bus.group is None else grp.getgrnam(bus.group).gr_gid
    try:
        return BusWriter(
            bus.name, ring=bus.ring, instruments=bus.instruments, top=bus.top, levels=bus.levels, group=group
        )
    except BlockingIOError:
        raise BusBusy(bus.name, _producer(bus.name)) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ConfigError("bus.ring", f"a size that fits the shared memory in {folder()}", str(bus.ring)) from None


def _producer(name: str) -> int | None:
    """Process id of the feed that writes a bus, if it can be told."""
    from fastfeed_core.attach import BusMap, Mismatch

    try:
        return int(BusMap(name).pid)
    except (OSError, Mismatch):
        return None


class _Engine:
    """All protocols of the process, their shells, and the clock that drives them."""

    def __init__(self, config: Config, writer: BusWriter) -> None:
        self._config = config
        self._writer = writer
        self._hub = Hub(writer)
        self._shells: list[Shell] = []
        self._attending = False

    async def start(self, http: aiohttp.ClientSession) -> None:
        """List the instruments, make their markets, and let the protocols begin."""
        random = Random()
        places = Places(random, self._config.reconnect.connects_per_s)
        contexts = [_context(feed) for feed in self._config.feeds]
        chosen = await asyncio.gather(
            *(
                list_instruments(feed, f"feed[{index}]", http, contexts[index], places)
                for index, feed in enumerate(self._config.feeds)
            )
        )
        refuse_overlap(self._config.feeds, chosen)
        markets = self._open_markets(chosen)
        for feed, listed, context in zip(self._config.feeds, chosen, contexts, strict=True):
            venue = venues.load(feed.venue)
            protocol = Protocol(
                venue,
                self._hub,
                [each for each in listed if each.name in markets],
                markets,
                feed.channels,
                endpoints={product.name: Endpoint(feed.ws(product), feed.rest(product)) for product in feed.products},
                options=feed.options,
                connections=feed.connections,
                reconnect=self._config.reconnect,
                credentials=feed.login(),
                random=random,
                places=places,
            )
            self._shells.append(Shell(protocol, self._attend, self._writer.flush, http, context))
        _log.info(
            "started bus=%s generation=%d instruments=%d feeds=%d",
            self._config.bus.name,
            self._writer.generation,
            len(markets),
            len(self._shells),
        )
        # What lives now lives for ever: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        now = time.time_ns()
        for shell in self._shells:
            shell.protocol.start(now)
            shell.carry_out()

    def _open_markets(self, chosen: list[list[Instrument]]) -> dict[str, Market]:
        """One market an instrument, whatever feeds name it; without room for one, the others go on."""
        rows: dict[str, list[Channel]] = {}
        options: dict[str, Options] = {}
        for feed, listed in zip(self._config.feeds, chosen, strict=True):
            for each in listed:
                found = rows_for(venues.load(feed.venue), each, feed.channels, feed.options)
                rows.setdefault(each.name, []).extend(found)
                if any(row.name == "book" for row in found):
                    options[each.name] = feed.options
        markets: dict[str, Market] = {}
        for each in (instrument for listed in chosen for instrument in listed):
            if each.name in markets:
                continue
            try:
                markets[each.name] = open_market(self._hub, each, rows[each.name], options.get(each.name))
            except OSError as error:
                full = BusFull(self._config.bus.name, each.name, self._writer.image_size)
                _log.error("instrument left out error=%s (%s)", full, error)
        return markets

    def _attend(self) -> None:
        """Have every protocol look: a market that calls belongs to one of them."""
        if self._attending:
            return
        self._attending = True
        try:
            now = time.time_ns()
            for shell in self._shells:
                shell.protocol.attend(now)
                shell.carry_out()
        finally:
            self._attending = False

    async def tick(self) -> None:
        """Let time pass, and the heart beat, until cancelled."""
        count = 0
        while True:
            if count % _HEARTBEAT_EVERY == 0:
                self._writer.heartbeat()
            count += 1
            now = time.time_ns()
            for shell in self._shells:
                shell.protocol.advance(now)
                shell.carry_out()
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """Close all connections and say so on the bus."""
        for shell in self._shells:
            await shell.stop()
        now = time.time_ns()
        self._writer.status(-1, -1, ScopeCode.SCOPE_BUS, State.STATE_STALE, Reason.REASON_STOPPED, now)
        self._writer.flush()


def _context(feed: Feed) -> ssl.SSLContext | None:
    """TLS with the authorities of the file; None where nothing is said, or nothing is encrypted."""
    return None if feed.endpoints.ca is None else ssl.create_default_context(cafile=feed.endpoints.ca)

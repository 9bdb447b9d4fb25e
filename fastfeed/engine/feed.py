"""The feed process: configuration in, a bus out, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import uvloop

from fastfeed import venues
from fastfeed.config import Config, Feed, refuse_overlap
from fastfeed.engine.bus import open_bus, told_if_full
from fastfeed.engine.changes import Changes
from fastfeed.engine.control import open_control
from fastfeed.engine.listing import list_instruments
from fastfeed.engine.network import Network
from fastfeed.engine.shell import Shell
from fastfeed.engine.way import Way, find_way
from fastfeed.errors import BusFull
from fastfeed.instrument import Instrument
from fastfeed.markets import Markets
from fastfeed.places import Places
from fastfeed.protocol import Endpoint, Protocol
from fastfeed.venues.spec import Channel, Product, rows_for
from fastfeed_core.bus import BusWriter
from fastfeed_core.market import Hub
from fastfeed_core.records import Reason, ScopeCode, State

__all__ = ["Engine", "Running", "run", "serve"]

_log = logging.getLogger(__name__)

_TICK_S = 0.02  # how often time passes for the protocols
_HEARTBEAT_EVERY = 5  # ticks


def run(config: Config, file: str | None = None) -> None:
    """Run a feed until SIGINT or SIGTERM.

    Parameters
    ----------
    file : where the configuration is read from again at SIGHUP; None: it never changes

    Raises
    ------
    BusBusy : another feed writes the bus
    ConfigError : an instrument that the venue does not list; a secret that the environment does not hold
    VenueError : a listing could not be fetched
    """
    uvloop.run(_run_until_signal(config, file))


async def _run_until_signal(config: Config, file: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop, file)


async def serve(config: Config, stop: asyncio.Event, file: str | None = None) -> None:
    """Run a feed until `stop` is set; parameters and errors as of `run`."""
    ways = [find_way(config, index) for index in range(len(config.feeds))]
    writer = open_bus(config.bus)
    ticker: asyncio.Task[None] | None = None
    engine = Engine(config, writer)
    changes = Changes(engine, file)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, changes.reload_soon)
    try:
        ticker = asyncio.create_task(engine.tick())
        async with contextlib.AsyncExitStack() as stack:
            for way in ways:
                await stack.enter_async_context(way.network)
            starting = asyncio.create_task(engine.start(ways))
            stopping = asyncio.create_task(stop.wait())
            # A signal ends the start too; a ticker that fails ends everything.
            await asyncio.wait({starting, stopping, ticker}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not stop.is_set():
                with told_if_full():
                    starting.result()
                async with open_control(config.bus.name, changes, stop):
                    await asyncio.wait({stopping, ticker}, return_when=asyncio.FIRST_COMPLETED)
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await changes.stop()
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


@dataclass
class Running:
    """A feed of the configuration, as it runs."""

    feed: Feed
    shell: Shell
    network: Network

    @property
    def protocol(self) -> Protocol:
        """The machine of its venue."""
        return self.shell.protocol


class Engine:
    """All protocols of the process, their shells, and the clock that drives them."""

    def __init__(self, config: Config, writer: BusWriter) -> None:
        self.config = config
        self.feeds: list[Running] = []
        self._writer = writer
        self._hub = Hub(writer)
        self._markets = Markets(self._hub)
        self._random = Random()
        #: what feeds of a venue share
        self.places = Places(self._random, config.reconnect.connects_per_s)
        self._following = False

    async def start(self, ways: Sequence[Way]) -> None:
        """List the instruments, make their markets, and let the protocols begin."""
        feeds = self.config.feeds
        chosen = await asyncio.gather(
            *(
                list_instruments(feed, f"feed[{index}]", ways[index].network, self.places)
                for index, feed in enumerate(feeds)
            )
        )
        refuse_overlap(feeds, chosen)
        running = []
        for feed, listed, way in zip(feeds, chosen, ways, strict=True):
            running.append(self.make(feed, way, listed))
        _log.info(
            "started bus=%s generation=%d instruments=%d feeds=%d",
            self.config.bus.name,
            self._writer.generation,
            len(self._markets),
            len(running),
        )
        # What lives now lives for ever: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        for each in running:
            self.begin(each)

    def make(self, feed: Feed, way: Way, listed: Iterable[Instrument] = ()) -> Running:
        """Make what runs a feed, with these instruments."""
        venue = venues.load(feed.venue)
        fit = [self._fit(feed, each, rows_for(venue, each, feed.channels, feed.options)) for each in listed]
        protocol = Protocol(
            venue,
            self._hub,
            [each for each in fit if each is not None],
            self._markets,
            feed.channels,
            # Of all products: instruments of others can be wanted later.
            endpoints={product.name: _endpoint(feed, product) for product in venue.PRODUCTS},
            options=feed.options,
            connections=feed.connections,
            reconnect=self.config.reconnect,
            credentials=way.login,
            random=self._random,
            places=self.places,
        )
        return Running(feed, Shell(protocol, self._attend, self._writer.flush, way.network), way.network)

    def begin(self, running: Running) -> None:
        """Let a feed begin."""
        self.feeds.append(running)
        running.protocol.start(time.time_ns())
        running.shell.carry_out()

    async def end(self, running: Running) -> None:
        """End a feed, and say so of its books."""
        running.protocol.unsubscribe(list(running.protocol.subscriptions.wanted), time.time_ns())
        running.shell.carry_out()
        self.feeds.remove(running)
        await running.shell.stop()
        await running.network.close()

    def subscribe(
        self, running: Running, instruments: Iterable[Instrument], channels: Iterable[str] | None = None
    ) -> list[str]:
        """Subscribe to more in a feed; return the names of those that there was no room for."""
        more = None if channels is None else tuple(channels)
        fit: list[Instrument] = []
        left_out: list[Instrument] = []
        for each in instruments:
            rows, known = running.protocol.subscriptions.rows_with(each, more)
            found = self._fit(running.feed, known, rows)
            (left_out if found is None else fit).append(found or known)
        try:
            running.protocol.subscribe(fit, self._markets, time.time_ns(), more)
        except OSError as error:
            _log.error("instruments left out count=%d error=%s", len(fit), error)
            left_out += fit
        running.shell.carry_out()
        return [each.name for each in left_out]

    def _fit(self, feed: Feed, instrument: Instrument, rows: Iterable[Channel]) -> Instrument | None:
        """See that there is a market, whatever feeds name it; without room for one, the others go on.

        Returns the instrument as its market describes it; None if there is no room.
        """
        # While any feed has it, its description stays: the channels of one instrument share a row.
        had = (each.protocol.subscriptions.known(instrument.name) for each in self.feeds)
        instrument = next((each for each in had if each is not None), instrument)
        try:
            self._markets.open(instrument, rows, feed.options)
        except OSError as error:
            full = BusFull(self.config.bus.name, instrument.name, self._writer.image_size)
            _log.error("instrument left out error=%s (%s)", full, error.strerror)
            return None
        return instrument

    def _attend(self) -> None:
        """Have every protocol look: a market that calls belongs to one of them."""
        now = time.time_ns()
        for each in self.feeds:
            each.protocol.attend(now)
        if not self._following:
            # Once for all frames of a read, when those behind this one are on the bus.
            self._following = True
            asyncio.get_running_loop().call_soon(self._follow)

    def _follow(self) -> None:
        """Do what follows from what the protocols saw."""
        self._following = False
        self._advance()

    def _advance(self) -> None:
        now = time.time_ns()
        for each in list(self.feeds):
            each.protocol.advance(now)
            each.shell.carry_out()

    async def tick(self) -> None:
        """Let time pass, and the heart beat, until cancelled."""
        count = 0
        while True:
            if count % _HEARTBEAT_EVERY == 0:
                self._writer.heartbeat()
            count += 1
            self._advance()
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """Close all connections and say so on the bus."""
        feeds, self.feeds = self.feeds, []  # what is still to follow is of nobody any more
        for each in feeds:
            await each.shell.stop()
            await each.network.close()
        now = time.time_ns()
        self._writer.status(-1, -1, ScopeCode.SCOPE_BUS, State.STATE_STALE, Reason.REASON_STOPPED, now)
        self._writer.flush()


def _endpoint(feed: Feed, product: Product) -> Endpoint:
    bases = tuple(feed.ws(product, copy) for copy in range(feed.connections))
    return Endpoint(bases, feed.rest(product), feed.local_addresses)

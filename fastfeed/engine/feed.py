"""The feed process: configuration in, a bus out, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from random import Random

import uvloop

from fastfeed import venues
from fastfeed.config import Config, refuse_overlap
from fastfeed.engine.bus import open_bus, told_if_full
from fastfeed.engine.listing import list_instruments
from fastfeed.engine.network import Network
from fastfeed.engine.shell import Shell
from fastfeed.errors import BusFull
from fastfeed.instrument import Instrument
from fastfeed.places import Places
from fastfeed.protocol import Endpoint, Protocol, open_market
from fastfeed.venues.spec import Channel, Credentials, Options, rows_for
from fastfeed_core.bus import BusWriter
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
    ConfigError : an instrument that the venue does not list; a secret that the environment does not hold
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
    networks = [_network(config, index) for index in range(len(config.feeds))]
    logins = [feed.login(f"feed[{index}]") for index, feed in enumerate(config.feeds)]
    writer = open_bus(config.bus)
    ticker: asyncio.Task[None] | None = None
    engine = _Engine(config, writer, networks, logins)
    try:
        ticker = asyncio.create_task(engine.tick())
        async with contextlib.AsyncExitStack() as stack:
            for network in networks:
                await stack.enter_async_context(network)
            starting = asyncio.create_task(engine.start())
            stopping = asyncio.create_task(stop.wait())
            # A signal ends the start too; a ticker that fails ends everything.
            await asyncio.wait({starting, stopping, ticker}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not stop.is_set():
                with told_if_full():
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


class _Engine:
    """All protocols of the process, their shells, and the clock that drives them."""

    def __init__(
        self, config: Config, writer: BusWriter, networks: list[Network], logins: list[Credentials | None]
    ) -> None:
        self._config = config
        self._writer = writer
        self._networks = networks
        self._logins = logins
        self._hub = Hub(writer)
        self._shells: list[Shell] = []
        self._attending = False

    async def start(self) -> None:
        """List the instruments, make their markets, and let the protocols begin."""
        chosen = await asyncio.gather(
            *(
                list_instruments(feed, f"feed[{index}]", self._networks[index])
                for index, feed in enumerate(self._config.feeds)
            )
        )
        refuse_overlap(self._config.feeds, chosen)
        markets = self._open_markets(chosen)
        random = Random()
        places = Places(random, self._config.reconnect.connects_per_s)
        for feed, listed, network, login in zip(self._config.feeds, chosen, self._networks, self._logins, strict=True):
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
                credentials=login,
                random=random,
                places=places,
            )
            self._shells.append(Shell(protocol, self._attend, self._writer.flush, network))
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
                _log.error("instrument left out error=%s (%s)", full, error.strerror)
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


def _network(config: Config, index: int) -> Network:
    """The way of one feed to its venue."""
    feed = config.feeds[index]
    return Network(config.proxy(index), feed.endpoints.ca, feed.rest_headers, f"feed[{index}]")

"""All venues, simulated, a feed of them, and a proxy in front of each endpoint: one process, one loop, real sockets.

What the feed publishes is held against the venues' true books whenever something has changed. Choices come of a seed;
what they meet is a matter of the moment, as sockets and clocks are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from chaos.proxy import Proxy

import fastfeed
from fastfeed import BookState
from fastfeed.config import read_config
from fastfeed.engine.feed import serve
from fastfeed.sim import Knobs, Simulator
from fastfeed.sim.faults import Fault
from fastfeed.sim.server import Server

#: how often the venues themselves misbehave, of messages
FAULTS = {
    "drop": 0.003, "gap": 0.001, "duplicate": 0.01, "reorder": 0.005, "garbage": 0.005, "truncate": 0.003,
    "disconnect": 0.0005, "reset": 0.001, "old_snapshot": 0.2, "429": 0.02,
}  # fmt: skip
LOOK_EVERY_S = 0.002
GIVEN_UP_S = 600  # a book that has not come back by then never will


class World:
    """Used inside of `async with`; `wrong` must stay empty.

    Parameters
    ----------
    folder : for the configuration file of the feed
    options : of all feeds, as lines of TOML
    """

    def __init__(self, folder: Path, venues: list[str], seed: int, rate: float = 20, options: str = "") -> None:
        self.random = Random(seed)
        self.wrong: list[str] = []
        self.checked = 0
        self.struck: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.proxies: list[Proxy] = []
        self._folder = folder
        self._venues = venues
        self._seed = seed
        self._options = options
        self.sim = Simulator(
            venues, knobs=Knobs(seed=seed, rate=rate, levels=40, symbols=1, journal=True, late_ack=0.0)
        )
        self._stack = contextlib.AsyncExitStack()
        self._books: dict[str, fastfeed.Book] = {}

    async def __aenter__(self) -> World:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server(self.sim))
            config = read_config(await self._config(server.endpoints, stack))
            stop = asyncio.Event()
            feed = asyncio.create_task(serve(config, stop))
            stack.push_async_callback(self._end, feed, stop)
            while True:
                try:
                    self.bus = fastfeed.open("chaos")
                    break
                except fastfeed.BusNotFound:
                    await self._sleep(feed)
            while not self.bus.instruments:
                await self._sleep(feed)
            self.instruments = {each.name: each for each in self.bus.instruments}
            self._books = {name: self.bus.book(name) for name in self.instruments}
            self._reader = self.bus.reader(start="oldest", kinds=["delta", "snapshot", "status"])
            looking = asyncio.create_task(self._look_on())
            stack.push_async_callback(_cancel, looking)
            self._tasks = (feed, looking)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._stack.aclose()

    async def _config(self, endpoints: dict[str, Any], stack: contextlib.AsyncExitStack) -> str:
        """The file of a feed that reaches all venues through proxies."""
        text = '[bus]\nname = "chaos"\nring = "64MiB"\n[reconnect]\ninitial_s = 0.1\ncap_s = 0.5\n'
        for venue in self._venues:
            text += f'[[feed]]\nvenue = "{venue}"\ninstruments = ["*"]\nchannels = ["book", "bbo", "trade"]\n'
            text += f"{self._options}\n"
            for base in ("ws", "rest"):
                text += f"[feed.endpoints.{base}]\n"
                for product, url in endpoints[venue][base].items():
                    scheme, _, place = url.rpartition(":")
                    proxy = Proxy(int(place), seed=self._seed + len(self.proxies))
                    self.proxies.append(await stack.enter_async_context(proxy))
                    text += f"{product} = {json.dumps(f'{scheme}:{proxy.port}')}\n"
        return text

    async def _sleep(self, feed: asyncio.Task[None]) -> None:
        if feed.done():
            feed.result()
        await asyncio.sleep(0.01)

    async def _end(self, feed: asyncio.Task[None], stop: asyncio.Event) -> None:
        stop.set()
        await feed

    @property
    def opened(self) -> int:
        """Connections that the feed has opened so far, of all kinds."""
        return sum(proxy.accepted for proxy in self.proxies)

    # ---- the truth

    async def _look_on(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Hold each book that has changed against the truth."""
        changed = set()
        for event in self._reader.poll(1_000_000):
            if event.name is not None:
                changed.add(event.name)
            if isinstance(event, fastfeed.Status) and event.scope == "instrument":
                self.states[event.state if event.state == "live" else event.reason] += 1
        for name in changed:
            depth = self._books[name].depth()
            if depth.state is BookState.LIVE:
                self.checked += 1
                self._compare(name, depth)

    def _compare(self, name: str, depth: fastfeed.Depth) -> None:
        instrument = self.instruments[name]
        tick, lot = instrument.to_px(instrument.tick_size), instrument.to_sz(instrument.lot_size)
        try:
            truth = self.sim.book_at(name, depth.sequence).levels(10_000)  # in ticks and lots
        except ValueError as error:
            self.wrong.append(f"{name}: {error}")
            return
        for side, (mine, true, worst, sign) in {
            "bids": (depth.bids, truth[0], depth.complete_to[0], 1),
            "asks": (depth.asks, truth[1], depth.complete_to[1], -1),
        }.items():
            wanted = [(px * tick, sz * lot) for px, sz in true if worst is None or sign * px * tick >= sign * worst]
            found = [(px, sz) for px, sz in mine.tolist() if worst is None or sign * px >= sign * worst]
            if found != wanted:
                self.wrong.append(f"{name} {side} at {depth.sequence}")

    # ---- what happens to it

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; what failed in the background is raised."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)

    async def all_live(self) -> None:
        """Wait until every book is live, all at one moment, and has gone on since this call."""
        before = {name: book.top().sequence for name, book in self._books.items()}
        async with asyncio.timeout(GIVEN_UP_S):
            while True:
                tops = {name: book.top() for name, book in self._books.items()}
                stand = {name for name, top in tops.items() if top.sequence == before[name]}
                if not stand and all(top.state is BookState.LIVE for top in tops.values()):
                    return
                await self.pass_time(0.02)

    async def rage(self, seconds: float) -> None:
        """Let random faults happen, of the venues and on the way to them."""
        self._misbehave()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            self.strike()
            await self.pass_time(self.random.uniform(0.01, 0.1))

    def _misbehave(self) -> None:
        for kind, probability in FAULTS.items():
            self.sim.faults.add(Fault(kind, probability=probability))

    def strike(self) -> None:
        """One fault on the way, on one connection or one endpoint."""
        random = self.random
        proxy = random.choice(self.proxies)
        kind = random.choice(
            ["reset", "swallow", "delay", "trickle", "bytes", "limit", "cut", "close", "refuse", "accept", "well"]
        )
        if kind in ("refuse", "accept"):
            proxy.refuses = kind == "refuse"
        else:
            line = proxy.pick()
            if line is None:
                return
            match kind:
                case "reset":
                    line.reset()
                case "swallow":
                    line.swallow()
                case "delay":
                    line.delay(random.uniform(0.01, 0.5))
                case "trickle":
                    line.trickle(random.randrange(2, 500))
                case "bytes":
                    line.trickle(1)
                case "limit":
                    line.limit(random.randrange(500, 100_000))
                case "cut":
                    line.close_mid_frame()
                case "close":
                    line.close()
                case "well":
                    line.treatment = None
        self.struck[kind] += 1

    def heal(self) -> None:
        """End all faults."""
        self.sim.faults.clear()
        for proxy in self.proxies:
            proxy.heal()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

"""Reading the events of a bus in order: as an iterator, by polling, in numpy batches, or awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from fastfeed.errors import PublisherGone
from fastfeed_core.message import Event, Position, make_status
from fastfeed_core.subscription import Subscription

if TYPE_CHECKING:
    import numpy as np

    from fastfeed.bus import Bus

__all__ = ["LOOK_EVERY_S", "Reader", "Wait"]

LOOK_EVERY_S = 0.1  # how often an idle reader asks whether the feed still lives

Wait = Literal["block", "spin", "yield"]


class Reader:
    """Reads a bus's events in order. Made by `Bus.reader`.

    When the feed dies, PublisherGone is raised once; the reader stays usable, and goes on with a `status` event (scope
    "bus", reason "restarted") when a new generation appears. What was lost in between is not known. A clean stop of the
    feed ends an iteration.
    """

    def __init__(
        self,
        bus: Bus,
        instruments: Iterable[str] | None,
        kinds: Iterable[str] | None,
        start: Literal["now", "oldest"] | Position,
        wait: Wait,
    ) -> None:
        if wait not in ("block", "spin", "yield"):
            raise ValueError(f"unknown way to wait {wait!r}: expected block, spin or yield")
        self._bus = bus
        self._names = None if instruments is None else frozenset(instruments)
        self._kinds = None if kinds is None else tuple(kinds)
        self._wait = wait
        self._lost_before = 0
        self._gone = False
        self._looked = time.monotonic()
        self._executor: ThreadPoolExecutor | None = None
        self._waiting: Future[bool] | None = None
        self.restarts = 0
        place: Any = start
        if not isinstance(start, str):
            generation, place = start
            if generation != bus.generation:
                raise LookupError(f"expected a position of generation {bus.generation}, was one of {generation}")
        self._subscription = Subscription(bus.map, self._names, self._kinds, place)

    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read, before any filter; what a restart cost is not known."""
        return self._lost_before + int(self._subscription.lost)

    @property
    def position(self) -> Position:
        """Place of the next record, for `start` of another reader."""
        return Position(self._subscription.map.generation, self._subscription.offset)

    def poll(self, max: int = 1000) -> list[Event]:
        """Return up to `max` events that are there, without waiting.

        Raises
        ------
        PublisherGone : the feed died; once
        """
        self._settle()
        events: list[Event] = self._subscription.poll(max)
        if not events:
            status = self._look()
            if status is not None:
                events = [status]
        return events

    def batch(self, max: int = 65536) -> dict[str, np.ndarray]:
        """Return up to `max` records that are there as numpy arrays by kind, without waiting.

        `delta` and `snapshot` are heads with `first_level`, `n_bids` and `n_asks` into the array `levels`; the column
        `position` keeps the ring's order.

        Raises
        ------
        PublisherGone : the feed died; once
        """
        self._settle()
        arrays: dict[str, np.ndarray] = self._subscription.batch(max)
        if not arrays:
            self._look()
        return arrays

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._next()
            if event is not None:
                yield event
            elif self._ended():
                return
            else:
                self._subscription.wait(self._wait, int(LOOK_EVERY_S * 1e9))

    async def __aiter__(self) -> AsyncIterator[Event]:
        # A helper thread sleeps in the kernel, so that the event loop stays idle while nothing comes.
        loop = asyncio.get_running_loop()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "fastfeed-reader")
        try:
            while True:
                event = self._next()
                if event is not None:
                    yield event
                elif self._ended():
                    return
                else:
                    self._waiting = self._executor.submit(self._subscription.wait, "block", int(LOOK_EVERY_S * 1e9))
                    await asyncio.wrap_future(self._waiting, loop=loop)
        finally:
            self._executor.shutdown(wait=True)
            self._executor = None

    def _next(self) -> Event | None:
        self._settle()
        event: Event | None = self._subscription.next()
        return event if event is not None else self._look()

    def _settle(self) -> None:
        """A wait that was cancelled may still run in its thread; the cursor is one thread's at a time."""
        if self._waiting is not None:
            if not self._waiting.cancel():
                self._waiting.result()
            self._waiting = None

    def _ended(self) -> bool:
        bus_map = self._subscription.map
        if not bus_map.closed:
            return False
        # Closed, and what was written before that has been read: the state is stored after the last record.
        return not self._subscription.wait("yield", 2000)

    def _look(self) -> Event | None:
        """On the idle path, every so often: has the feed gone, or come back?"""
        at = time.monotonic()
        if at - self._looked < LOOK_EVERY_S:
            return None
        self._looked = at
        bus_map = self._subscription.map
        if not bus_map.is_current() and not self._subscription.wait("yield", 2000):
            return self._restart()
        if not self._gone and not bus_map.closed and bus_map.heartbeat_age > LOOK_EVERY_S and not bus_map.is_alive():
            if bus_map.closed:
                return None  # stopped between the two looks
            self._gone = True
            raise PublisherGone(self._bus.name, time.time_ns() - int(bus_map.heartbeat_age * 1e9))
        return None

    def _restart(self) -> Event | None:
        self._bus._look(now=True)
        bus_map = self._bus._map
        if bus_map is self._subscription.map:
            return None
        self._lost_before += int(self._subscription.lost)
        self._subscription = Subscription(bus_map, self._names, self._kinds, "oldest")
        self._gone = False
        self.restarts += 1
        return make_status(
            scope="bus", state="syncing", reason="restarted", ts=time.time_ns(), generation=bus_map.generation
        )

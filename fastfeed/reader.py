"""Reading the events of a bus in order: as an iterator, by polling, in numpy batches, or awaited."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Literal, Self

from fastfeed.errors import PositionLost, PublisherGone
from fastfeed.waiting import Helper
from fastfeed_core.conflation import Conflation
from fastfeed_core.follower import Follower, Overwritten
from fastfeed_core.message import Event, Position, make_status
from fastfeed_core.subscription import Subscription

if TYPE_CHECKING:
    from fastfeed.bus import Bus

__all__ = ["LOOK_EVERY_S", "Conflated", "Live", "Reader", "Wait"]

LOOK_EVERY_S = 0.1  # how often an idle reader asks whether the feed still lives
_TURN = 128  # events of an async iteration between two turns for other tasks

Wait = Literal["block", "spin", "yield"]


class Live(Follower):
    """What readers have in common: following the feed's restarts, waiting, and their row for others to see."""

    _bus: Bus
    _wait: Wait
    _gone: bool
    _helper: Helper | None
    _awaited: bool
    restarts: int

    def _begin(self, bus: Bus, wait: Wait, label: str | None, latency: bool) -> None:
        self._bus = bus
        self._wait = wait
        self._gone = False
        self._helper = None
        self._awaited = False
        self.restarts = 0
        self.enrol(_program() if label is None else label, wait, latency)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._bus.name!r} at {self.position} lost={self.lost}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> Position:
        """Place of the next record, for `start` of another reader; `str` of it can be kept, and parsed again."""
        return Position(self.map.generation, self.offset)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, in the way that was chosen, until there is something to read.

        Parameters
        ----------
        timeout : seconds; None: without end

        Returns
        -------
        True if there is; False after the time, or after a clean stop of the feed when all has been read

        Raises
        ------
        PublisherGone : the feed died; once
        """
        if self._awaited:
            self._claim_back()
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK_EVERY_S if until is None else min(LOOK_EVERY_S, until - time.monotonic())
            closed = self.map.closed
            if self.await_record(self._wait, max(0, int(left * 1e9))):
                return True
            self.idle()
            if closed or (until is not None and time.monotonic() >= until):
                return self.await_record(self._wait, 0)

    async def ready(self) -> bool:
        """Wait until there is something to read, without keeping the event loop busy: for `poll` and `batch`.

        Returns
        -------
        True if there is; False after a clean stop of the feed when all has been read

        Raises
        ------
        PublisherGone : the feed died; once
        """
        if self._awaited:
            raise RuntimeError("expected one task at a time to await a reader, was a second one")
        while True:
            closed = self.map.closed
            if self.await_record("spin", 0) or self.idle():
                return True
            if closed:
                return self.await_record("spin", 0)
            await self._lend()
            if not self.await_record("spin", 0):
                self.rest_now()

    async def __aiter__(self) -> AsyncIterator[Event]:
        count = 0
        try:
            while await self.ready():
                while (event := self.next()) is not None:
                    yield event
                    count += 1
                    if count % _TURN == 0:
                        await asyncio.sleep(0)
        finally:
            if self._helper is not None:
                self._helper.close()

    async def _lend(self) -> None:
        if self._helper is None:
            self._helper = Helper(self._watch, self.interrupt)
        self.lend(True)
        self._awaited = True
        try:
            await self._helper.wait()
        finally:
            self._awaited = False
            self.lend(False)
            self.interrupt(False)

    def _claim_back(self) -> None:
        """Another task uses the reader while one awaits it: that one waits anew."""
        if self._helper is not None:
            self._helper.fetch_back()
        self.lend(False)
        self.interrupt(False)

    def _watch(self) -> None:
        """In the helper's thread: return when there is something to read, or to tell."""
        bus_map = self.map
        while not self.await_record("block", int(LOOK_EVERY_S * 1e9)):
            if self.interrupted or bus_map.closed or not bus_map.is_current():
                return
            if not self._gone and bus_map.heartbeat_age > LOOK_EVERY_S and not bus_map.is_alive():
                return
            self.tell_now()

    def _look(self) -> None:
        """On the idle path, every so often: has the feed gone, or come back?"""
        bus_map = self.map
        if not bus_map.is_current() and not self.await_record("yield", 2000):
            self._restart()
        elif not self._gone and not bus_map.closed and bus_map.heartbeat_age > LOOK_EVERY_S and not bus_map.is_alive():
            if bus_map.closed:
                return  # stopped between the two looks
            self._gone = True
            raise PublisherGone(self._bus.name, time.time_ns() - int(bus_map.heartbeat_age * 1e9))

    def _restart(self) -> None:
        self._bus._look(now=True)
        bus_map = self._bus._map
        if bus_map is self.map:
            return
        self.attach(bus_map)
        self._gone = False
        self.restarts += 1
        now = time.time_ns()
        self.push(make_status(scope="bus", state="syncing", reason="restarted", ts=now, generation=bus_map.generation))


class Reader(Live, Subscription):
    """Reads a bus's events in order. Made by `Bus.reader`; an iterator, also an asynchronous one.

    When the feed dies, PublisherGone is raised once; the reader stays usable, and goes on with a `status` event (scope
    "bus", reason "restarted") when a new generation appears. What was lost in between is not known. A clean stop of the
    feed ends an iteration.

    A reader that is overtaken goes on in the middle of the ring; `lost` says how many records that cost.
    """

    def __init__(
        self,
        bus: Bus,
        instruments: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
        start: Literal["now", "oldest"] | Position = "now",
        wait: Wait = "block",
        label: str | None = None,
        latency: bool = False,
    ) -> None:
        check_wait(wait)
        names = None if instruments is None else frozenset(instruments)
        place: Any = start
        if not isinstance(start, str):
            generation, place = start
            if generation != bus.generation:
                raise PositionLost(
                    bus.name, f"{generation}:{place}", f"one of generation {bus.generation}: the feed was started anew"
                )
        try:
            super().__init__(bus.map, names, None if kinds is None else tuple(kinds), place)
        except Overwritten as error:
            raise PositionLost(bus.name, str(Position(*start)), str(error).partition(", was")[0][9:]) from None
        self._begin(bus, wait, label, latency)


class Conflated(Live, Conflation):
    """Yields, of each instrument and kind that changed, only what is newest. Made by `Bus.conflated`; an iterator.

    A slow consumer never queues: what changed since it last asked comes once, as it is now, in the order of the first
    change. `merged` counts the records that gave way to newer ones, which is what conflation is for; `lost` those that
    were overwritten in the ring before they were read, which is not. After such a lap a `status` event (scope "bus",
    reason "lapped") comes first, then every book: these are read from their cells, and never stale. A bbo, trade or
    ticker that was among the lost is not known before its next record.

    All books come again when the feed's heart stops and when it beats again, since that changes their state. Deaths
    and restarts of the feed are as for `Reader`.
    """

    def __init__(
        self,
        bus: Bus,
        instruments: Iterable[str] | None = None,
        kinds: Iterable[str] = ("book", "bbo", "ticker"),
        levels: int = 5,
        start: Literal["now", "oldest"] = "oldest",
        wait: Wait = "block",
        label: str | None = None,
        latency: bool = False,
    ) -> None:
        check_wait(wait)
        names = None if instruments is None else frozenset(instruments)
        super().__init__(bus.map, names, tuple(kinds), start, levels)
        self._begin(bus, wait, label, latency)


def check_wait(wait: str) -> None:
    if wait not in ("block", "spin", "yield"):
        raise ValueError(f"unknown way to wait {wait!r}: expected block, spin or yield")


def _program() -> str:
    """What this process is called, as far as it says."""
    return os.path.basename(sys.argv[0] if sys.argv and sys.argv[0] else "") or "python"

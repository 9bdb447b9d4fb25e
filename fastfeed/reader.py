"""The consumer's side of a bus: open it, look at books, read events.

Imports the reading half of the core and nothing of the networking packages. One thread at a time may use a reader; any
number of readers and processes may use a bus, and none of them can slow the feed down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastfeed.errors import BookNotLive, BusNotFound, LayoutMismatch, PublisherGone, did_you_mean
from fastfeed.instrument import Instrument
from fastfeed.rows import read_instrument, with_status
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.message import (
    Bar,
    Bbo,
    Event,
    Levels,
    Liquidation,
    Position,
    Status,
    Ticker,
    Trade,
    make_status,
)
from fastfeed_core.replica import Replica, TopReader
from fastfeed_core.subscription import Subscription

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Bar",
    "Bbo",
    "Book",
    "BookState",
    "Bus",
    "Depth",
    "Event",
    "Levels",
    "Liquidation",
    "Position",
    "Reader",
    "Status",
    "Ticker",
    "Top",
    "Trade",
    "open",
]

_LOOK_EVERY_S = 0.1  # how often an idle reader asks whether the feed still lives

Wait = Literal["block", "spin", "yield"]


class BookState(IntEnum):
    """What can be said of a book: SYNCING there is none yet, LIVE in step with the venue, STALE the last known."""

    SYNCING = 0
    LIVE = 1
    STALE = 2


class Top(NamedTuple):
    """The best levels of a book at one moment: (price, size), best first; times are ns since the epoch."""

    state: BookState
    bids: list[tuple[Any, Any]]
    asks: list[tuple[Any, Any]]
    sequence: int | None
    ts_event: int | None
    ts_recv: int | None
    position: Position


class Depth(NamedTuple):
    """A whole book at one moment.

    `bids` and `asks` are structured arrays with the int64 fields px and sz (mantissas), best first. `complete_to` holds
    the worst px of each side down to which every level is known; None: the whole side.
    """

    state: BookState
    bids: np.ndarray
    asks: np.ndarray
    complete_to: tuple[int | None, int | None]
    sequence: int | None
    ts_event: int | None
    ts_recv: int | None
    position: Position


def open(name: str, timeout: float = 0) -> Bus:
    """Open the bus of a feed.

    Parameters
    ----------
    name : of the bus
    timeout : seconds to wait for it to appear

    Raises
    ------
    BusNotFound : there is none, also not after the timeout
    LayoutMismatch : it was written by another version
    """
    until = time.monotonic() + timeout
    while True:
        try:
            return Bus(_attach(name))
        except FileNotFoundError:
            if time.monotonic() >= until:
                raise BusNotFound(name) from None
            time.sleep(min(0.02, max(0.0, until - time.monotonic())))


def _attach(name: str) -> BusMap:
    try:
        return BusMap(name)
    except Mismatch as error:
        field, expected, found = error.args
        raise LayoutMismatch(name, field, str(expected), str(found)) from None


class Bus:
    """A bus that a feed writes, followed across the feed's restarts. Made by `fastfeed.open`."""

    def __init__(self, bus_map: BusMap) -> None:
        self._map = bus_map
        self._looked = time.monotonic()
        self._rows: list[Instrument] = []
        self._index: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Bus {self.name!r} generation={self.generation} instruments={self._map.count}>"

    @property
    def name(self) -> str:
        """Name of the bus."""
        return str(self._map.name)

    @property
    def generation(self) -> int:
        """Number of the bus file in use; greater after each start of the feed."""
        return int(self._map.generation)

    @property
    def map(self) -> BusMap:
        """The mapping in use: counters, connections and heartbeat, as the feed wrote them."""
        self._look()
        return self._map

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instruments of the bus, in the order of their ids, with their status of now."""
        self._look()
        self._load_rows()
        self._rows = [with_status(row, word) for row, word in zip(self._rows, self._map.statuses(), strict=False)]
        return tuple(self._rows)

    def book(self, name: str) -> Book:
        """Return a live view of the book of the instrument called `name`.

        Raises
        ------
        LookupError : the bus has no such instrument, or keeps no book of it
        """
        index = self._find(name)
        if index is None:
            hint = did_you_mean(name, self._index)
            raise LookupError(f"expected an instrument of bus {self.name}, was {name!r}{hint}")
        return Book(self, name)

    def reader(
        self,
        instruments: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
        start: Literal["now", "oldest"] | Position = "now",
        wait: Wait = "block",
    ) -> Reader:
        """Return a reader of the bus's events.

        Parameters
        ----------
        instruments : names to deliver; None: all
        kinds : of bbo, trade, delta, snapshot, status; None: all
        start : "now", "oldest" (all that the ring still holds) or a position of this generation
        wait : how an iteration waits: "block" sleeps, "yield" looks between turns of others, "spin" keeps its core

        Raises
        ------
        LookupError : the ring does not hold that position any more
        ValueError : an unknown kind or way to wait, or no record starts at that position
        """
        return Reader(self, instruments, kinds, start, wait)

    def _load_rows(self) -> None:
        for index in range(len(self._rows), self._map.count):
            row = read_instrument(self._map.instrument(index))
            self._rows.append(row)
            # A later row of the same name is the instrument as it is now.
            self._index[row.name] = index

    def _find(self, name: str) -> int | None:
        self._look()
        index = self._index.get(name)
        if index is None:
            self._load_rows()
            index = self._index.get(name)
        return index

    def _look(self, now: bool = False) -> None:
        """Move to a new generation if there is one; asks the system every so often."""
        at = time.monotonic()
        if now or at - self._looked >= _LOOK_EVERY_S:
            self._looked = at
            if not self._map.is_current():
                self._move()

    def _move(self) -> None:
        try:
            self._map = _attach(self.name)
        except FileNotFoundError:
            return  # gone again
        self._rows = []
        self._index = {}


class Book:
    """A view of one instrument's book; each call looks at the book of now. Made by `Bus.book`."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.name = name
        self._bus = bus
        self._generation = -1
        self._top: TopReader | None = None
        self._replica: Replica | None = None
        self._follow()
        if self._top is None:
            raise LookupError(f"no book is kept of {name} on bus {bus.name}")

    def __repr__(self) -> str:
        return f"<Book {self.name} {self.state.name}>"

    def _follow(self) -> TopReader | None:
        """The reader of the instrument's cell in the generation of now; None if it has none there."""
        bus = self._bus
        bus._look()
        if bus.generation != self._generation:
            self._generation = bus.generation
            self._top = self._replica = None
        if self._top is None:
            index = bus._find(self.name)
            if index is not None and bus._map.instrument(index)["has_book"]:
                self._top = TopReader(bus._map, index)
        return self._top

    @property
    def state(self) -> BookState:
        """The effective state: LIVE only while the feed lives and says so."""
        top = self._follow()
        return BookState.SYNCING if top is None else BookState(top.state())

    @property
    def chained(self) -> bool:
        """True if a lost message is seen at the next one.

        False where the venue's messages carry nothing that shows a hole: such a book can be wrong until the feed has
        compared it with a fresh one, which it does every `verify_s` seconds.
        """
        index = self._bus._find(self.name)
        return index is None or bool(self._bus._map.instrument(index)["chained"])

    def top(self, n: int = 1, exact: bool = False, require_live: bool = False) -> Top:
        """Return a consistent copy of the best levels, also of a book that is not live (look at `state`).

        Parameters
        ----------
        n : levels a side, 1 to what the bus publishes (25 unless configured); fewer come if there are fewer
        exact : prices and sizes as Decimal, not as float
        require_live : raise BookNotLive rather than return a book that is not live

        Raises
        ------
        BookNotLive : asked for, and so
        ValueError : `n` is out of range
        """
        reader = self._follow()
        if reader is None:
            found = Top(BookState.SYNCING, [], [], None, None, None, Position(self._generation, 0))
        else:
            state, bids, asks, sequence, ts_event, ts_recv, as_of = reader.read(n, exact)
            position = Position(self._generation, as_of)
            found = Top(BookState(state), bids, asks, sequence, ts_event, ts_recv, position)
        if require_live and found.state is not BookState.LIVE:
            raise BookNotLive(self._bus.name, self.name, found.state.name.lower())
        return found

    def depth(self) -> Depth:
        """Return the whole book of now: the published image, brought up to date from the ring. Needs numpy."""
        import numpy as np

        reader = self._follow()
        dtype = np.dtype([("px", "i8"), ("sz", "i8")])
        if reader is None:
            none = np.zeros(0, dtype)
            return Depth(BookState.SYNCING, none, none, (None, None), None, None, None, Position(self._generation, 0))
        if self._replica is None:
            index = self._bus._find(self.name)
            assert index is not None  # it has a cell
            self._replica = Replica(self._bus._map, index)
        state, bids, asks, complete_to, sequence, ts_event, ts_recv, offset = self._replica.depth()
        return Depth(
            BookState(state),
            np.frombuffer(bids, dtype),
            np.frombuffer(asks, dtype),
            complete_to,
            sequence,
            ts_event,
            ts_recv,
            Position(self._generation, offset),
        )


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
                self._subscription.wait(self._wait, int(_LOOK_EVERY_S * 1e9))

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
                    self._waiting = self._executor.submit(self._subscription.wait, "block", int(_LOOK_EVERY_S * 1e9))
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
        if at - self._looked < _LOOK_EVERY_S:
            return None
        self._looked = at
        bus_map = self._subscription.map
        if not bus_map.is_current() and not self._subscription.wait("yield", 2000):
            return self._restart()
        if not self._gone and not bus_map.closed and bus_map.heartbeat_age > _LOOK_EVERY_S and not bus_map.is_alive():
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

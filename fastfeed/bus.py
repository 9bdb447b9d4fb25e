"""A bus as a consumer sees it: open it, follow it across the feed's restarts.

Imports the reading half of the core and nothing of the networking packages. One thread at a time may use a reader; any
number of readers and processes may use a bus, and none of them can slow the feed down.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from fastfeed.book import Book, Books
from fastfeed.errors import BusNotFound, LayoutMismatch, did_you_mean
from fastfeed.instrument import Instrument
from fastfeed.reader import LOOK_EVERY_S, Conflated, Reader, Wait
from fastfeed.rows import read_instrument, with_status
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.message import Position

__all__ = ["Bus", "open"]


def open(name: str, timeout: float = 0) -> Bus:
    """Open the bus of a feed.

    Parameters
    ----------
    name : of the bus
    timeout : seconds to wait for it to appear

    Raises
    ------
    BusNotFound : there is none, also not after the timeout; or it is another user's, who does not let us read it
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
    except PermissionError:
        raise BusNotFound(name) from None
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

    def books(self, names: Iterable[str]) -> Books:
        """Return a live view of several books, which one call reads all.

        Raises
        ------
        LookupError : as of `book`
        ValueError : no name, or one that is there twice
        """
        return Books(self, names)

    def reader(
        self,
        instruments: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
        start: Literal["now", "oldest"] | Position = "now",
        wait: Wait = "block",
        label: str | None = None,
        latency: bool = False,
    ) -> Reader:
        """Return a reader of the bus's events.

        Parameters
        ----------
        instruments : names to deliver; None: all
        kinds : of bbo, trade, delta, snapshot, ticker, bar, liquidation, status; None: all
        start : "now", "oldest" (all that the ring still holds) or a position of this generation
        wait : how an iteration waits: "block" sleeps, "yield" looks between turns of others, "spin" keeps its core
        label : what `fastfeed status` calls the reader; None: the program's name
        latency : count the time from publish to read for `fastfeed status`; costs a clock read an event, or a batch

        Raises
        ------
        PositionLost : the ring does not hold that position any more, or it is of another generation; a LookupError
        ValueError : an unknown kind or way to wait, or no record starts at that position
        """
        return Reader(self, instruments, kinds, start, wait, label, latency)

    def conflated(
        self,
        instruments: Iterable[str] | None = None,
        kinds: Iterable[str] = ("book", "bbo", "ticker"),
        levels: int = 5,
        start: Literal["now", "oldest"] = "oldest",
        wait: Wait = "block",
        label: str | None = None,
        latency: bool = False,
    ) -> Conflated:
        """Return a reader that yields only what is newest of each instrument and kind, for those who may be slow.

        Parameters
        ----------
        instruments : names to deliver; None: all
        kinds : of book (the best levels, from the book's cell), bbo, trade (the last one), ticker
        levels : of a side of a book, 1 to what the bus publishes (25 unless configured)
        start : "oldest" begins with the newest of what the ring still holds; "now" with the books, then what changes
        wait, label, latency : as for `reader`

        Raises
        ------
        ValueError : an unknown kind, start or way to wait, or levels out of range
        """
        return Conflated(self, instruments, kinds, levels, start, wait, label, latency)

    def _load_rows(self) -> None:
        for index in range(len(self._rows), self._map.count):
            row = read_instrument(self._map.instrument(index))
            self._rows.append(row)
            # A later row of the same name is the instrument as it is now.
            self._index[row.name] = index

    def _find(self, name: str) -> int | None:
        self._look()
        if len(self._rows) != self._map.count:
            self._load_rows()
        return self._index.get(name)

    def _look(self, now: bool = False) -> None:
        """Move to a new generation if there is one; asks the system every so often."""
        at = time.monotonic()
        if now or at - self._looked >= LOOK_EVERY_S:
            self._looked = at
            if not self._map.is_current():
                self._move()
            elif self._map.heartbeat_age > LOOK_EVERY_S:
                self._map.is_alive()  # books of one that is dead are stale from now on, not when a second has passed

    def _move(self) -> None:
        try:
            self._map = _attach(self.name)
        except FileNotFoundError:
            return  # gone again
        self._rows = []
        self._index = {}

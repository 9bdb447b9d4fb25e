"""A book as a consumer sees it: its state, its best levels, or the whole of it; one book, or several at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeed.errors import BookNotLive, BookUnstable
from fastfeed_core.message import Position
from fastfeed_core.records import Flag
from fastfeed_core.replica import Replicas
from fastfeed_core.top import TopReader, TopSet, Unstable

if TYPE_CHECKING:
    import numpy as np

    from fastfeed.bus import Bus

__all__ = ["Book", "BookState", "Books", "Depth", "Top"]


class BookState(IntEnum):
    """What can be said of a book: SYNCING there is none yet, LIVE in step with the venue, STALE the last known."""

    SYNCING = 0
    LIVE = 1
    STALE = 2


class Top(NamedTuple):
    """The best levels of a book at one moment.

    Attributes
    ----------
    state : effective state: LIVE only while the feed lives
    bids, asks : (price, size), best first; floats, or Decimals if wanted so
    sequence : the venue's, of the last message in it; None if the venue has none, or there is no book
    ts_event, ts_recv : of that message, ns since the epoch
    position : every record of the instrument before it is in the top, none behind it: where a reader goes on
    complete_to : worst (bid, ask) price down to which the book is known whole; None: the whole side
    """

    state: BookState
    bids: list[tuple[Any, Any]]
    asks: list[tuple[Any, Any]]
    sequence: int | None
    ts_event: int | None
    ts_recv: int | None
    position: Position
    complete_to: tuple[Any, Any] = (None, None)


class Depth(NamedTuple):
    """A whole book at one moment.

    `bids` and `asks` are structured arrays with the int64 fields px and sz (mantissas), best first. `complete_to` holds
    the worst px of each side down to which every level is known; None: the whole side. `position` is where a reader
    goes on: every record of the instrument before it is in the book, none behind it.
    """

    state: BookState
    bids: np.ndarray
    asks: np.ndarray
    complete_to: tuple[int | None, int | None]
    sequence: int | None
    ts_event: int | None
    ts_recv: int | None
    position: Position

    def __repr__(self) -> str:
        sides = " ".join(
            f"{name}={len(levels)} best={levels[0].tolist() if len(levels) else None} complete_to={worst}"
            for name, levels, worst in (
                ("bids", self.bids, self.complete_to[0]),
                ("asks", self.asks, self.complete_to[1]),
            )
        )
        return f"<Depth {self.state.name} {sides} sequence={self.sequence} position={tuple(self.position)}>"


_STATES = tuple(BookState)


class Book:
    """A view of one instrument's book; each call looks at the book of now. Made by `Bus.book`."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.name = name
        self._bus = bus
        self._top: TopReader[Top] | None = None
        self._replicas: Replicas | None = None
        if self._follow() is None:
            raise LookupError(f"no book is kept of {name} on bus {bus.name}")

    def __repr__(self) -> str:
        try:
            top = self.top(1)
        except BookUnstable as error:
            return f"<Book {self.name} unstable: {error.reason}>"
        words = [top.state.name]
        for side, levels in (("bid", top.bids), ("ask", top.asks)):
            words.append(f"{side}={levels[0][0]} x {levels[0][1]}" if levels else f"{side}=none")
        words.append(f"sequence={top.sequence}")
        if top.ts_recv is not None:
            words.append(f"received {(time.time_ns() - top.ts_recv) / 1e9:.3f} s ago")
        if top.complete_to != (None, None):
            words.append(f"complete_to={top.complete_to}")
        words.append("chained" if self.chained else "unchained")
        return f"<Book {self.name} {' '.join(words)}>"

    def _follow(self) -> TopReader[Top] | None:
        """The reader of the instrument's cell in the generation of now; None if it has none there."""
        bus = self._bus
        bus._look()
        row = bus._find(self.name)
        if row is not None and not bus._map.instrument(row)["has_book"]:
            row = None
        if row is None:
            self._top = self._replicas = None
        elif self._top is None or self._top.map is not bus._map or self._top.instrument != row:
            self._top = TopReader(bus._map, row, Top, _STATES, Position)
            self._replicas = None
        if self._top is not None:
            self._top.looked()
        return self._top

    def _nowhere(self) -> Position:
        return Position(self._bus.generation, 0)

    @property
    def state(self) -> BookState:
        """The effective state: LIVE only while the feed lives and says so.

        Raises
        ------
        BookUnstable : see `top`
        """
        try:
            found = None if self._top is None else self._top.state()
            while found is None:
                top = self._follow()
                found = BookState.SYNCING if top is None else top.state()
        except Unstable as error:
            raise BookUnstable(self._bus.name, self.name, str(error)) from None
        return found  # type: ignore[no-any-return]

    @property
    def chained(self) -> bool:
        """True if a lost message is seen at the next one.

        False where the venue's messages carry nothing that shows a hole: such a book can be wrong until the feed has
        compared it with a fresh one, which it does every `verify_s` seconds.
        """
        index = self._bus._find(self.name)
        return index is None or bool(self._bus._map.instrument(index)["chained"])

    @property
    def crossed(self) -> bool:
        """True if the best bid is above the best ask, as it is at venues for moments, or wrong for longer."""
        return self._has(Flag.FLAG_CROSSED)

    @property
    def locked(self) -> bool:
        """True if the best bid is equal to the best ask."""
        return self._has(Flag.FLAG_LOCKED)

    def _has(self, flag: Flag) -> bool:
        top = self._follow()
        try:
            return top is not None and bool(top.flags() & flag)
        except Unstable as error:
            raise BookUnstable(self._bus.name, self.name, str(error)) from None

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
        BookUnstable : 1,000 copies were overwritten: this process gets no processor
        ValueError : `n` is out of range
        """
        try:
            found = None if self._top is None else self._top.read(n, exact)
            while found is None:
                reader = self._follow()
                if reader is None:
                    found = Top(BookState.SYNCING, [], [], None, None, None, self._nowhere())
                else:
                    found = reader.read(n, exact)
        except Unstable as error:
            raise BookUnstable(self._bus.name, self.name, str(error)) from None
        if require_live and found.state is not BookState.LIVE:
            raise BookNotLive(self._bus.name, self.name, found.state.name.lower())
        return found

    def depth(self, n: int | None = None) -> Depth:
        """Return the whole book of now: the published image, brought up to date from the ring. Needs numpy.

        The first call reads the image, later ones only what came since. The arrays are the caller's own.

        Parameters
        ----------
        n : levels a side; None: all. Where that leaves some out, `complete_to` is the last that is there

        Raises
        ------
        BookUnstable : the ring overtook this process every time: it is too slow for this bus, or the ring too small
        ValueError : `n` is negative
        """
        if self._follow() is None:
            return _no_depth(self._nowhere())
        assert self._top is not None
        if self._replicas is None:
            self._replicas = Replicas(self._top.map, [self._top.instrument])
        return _depths(self._bus, self._replicas, n, self.name)[0]


class Books:
    """A view of several instruments' books, read in one call. Made by `Bus.books`."""

    def __init__(self, bus: Bus, names: Iterable[str]) -> None:
        self.names = tuple(names)
        if not self.names:
            raise ValueError("expected at least one name")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"expected each name once, was {', '.join(self.names)}")
        self._bus = bus
        self._books = [bus.book(name) for name in self.names]
        self._top: TopSet[Top] | None = None
        self._tops: list[TopReader[Top] | None] = []
        self._replicas: Replicas | None = None
        self._follow()

    def __repr__(self) -> str:
        return f"<Books {' '.join(repr(book) for book in self._books)}>"

    def __len__(self) -> int:
        return len(self.names)

    def _follow(self) -> None:
        """Look at names and generation."""
        tops = [book._follow() for book in self._books]
        while len({top.map for top in tops if top is not None}) > 1:
            tops = [book._follow() for book in self._books]  # another generation came in between
        if tops != self._tops:
            self._tops = tops
            there = [top for top in tops if top is not None]
            self._top = TopSet(there) if there else None
            self._replicas = None

    def top(self, n: int = 1, exact: bool = False, together: bool = True) -> list[Top]:
        """Return consistent copies of the best levels of all books, in the order of the names.

        With `together` they are of one moment, too: all have the same `position`, every record before it is in them
        and none behind it, whatever its instrument. Without, each is consistent in itself, and another may have moved
        on while it was read; that never waits for the feed.

        Parameters
        ----------
        n, exact : as of `Book.top`
        together : all of one moment

        Raises
        ------
        BookUnstable : the books moved, or the feed was in the middle of a flush, at each of 1,500 looks (the feed may
            have died or been stopped there: `together=False` still gives the last of each)
        ValueError : `n` is out of range
        """
        try:
            found = None if self._top is None else self._top.read(n, exact, together)
            while found is None:
                self._follow()
                found = [] if self._top is None else self._top.read(n, exact, together)
        except Unstable as error:
            raise BookUnstable(self._bus.name, ", ".join(self.names), str(error)) from None
        if len(found) == len(self.names):
            return found
        # A generation that lacks some of the books.
        place = found[0].position if found else Position(self._bus.generation, 0)
        there = iter(found)
        nothing = Top(BookState.SYNCING, [], [], None, None, None, place)
        return [nothing if top is None else next(there) for top in self._tops]

    def depth(self, n: int | None = None) -> list[Depth]:
        """Return all books of now, in the order of the names, as of one `position` of the ring. Needs numpy.

        Parameters and errors are those of `Book.depth`.
        """
        self._follow()
        there = [top for top in self._tops if top is not None]
        if self._replicas is None and there:
            self._replicas = Replicas(there[0].map, [top.instrument for top in there])
        found = [] if self._replicas is None else _depths(self._bus, self._replicas, n, ", ".join(self.names))
        place = found[0].position if found else Position(self._bus.generation, 0)
        depths = iter(found)
        return [_no_depth(place) if top is None else next(depths) for top in self._tops]


_LEVEL: Any = None  # numpy is loaded by the first who needs it


def _level() -> Any:
    global _LEVEL
    if _LEVEL is None:
        import numpy as np

        _LEVEL = np.dtype([("px", "i8"), ("sz", "i8")])
    return _LEVEL


def _no_depth(place: Position) -> Depth:
    import numpy as np

    none = np.zeros(0, _level())
    return Depth(BookState.SYNCING, none, none, (None, None), None, None, None, place)


def _depths(bus: Bus, replicas: Replicas, n: int | None, name: str) -> list[Depth]:
    import numpy as np

    if n is not None and n < 0:
        raise ValueError(f"levels out of range: expected 0 or more, was {n}")
    try:
        books, offset = replicas.depth(-1 if n is None else n)
    except Unstable as error:
        raise BookUnstable(bus.name, name, str(error)) from None
    position = Position(replicas.map.generation, offset)
    dtype = _level()
    return [
        Depth(
            _STATES[state],
            np.frombuffer(bids, dtype),
            np.frombuffer(asks, dtype),
            complete_to,
            sequence,
            ts_event,
            ts_recv,
            position,
        )
        for state, bids, asks, complete_to, sequence, ts_event, ts_recv in books
    ]

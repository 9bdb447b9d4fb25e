"""A book as a consumer sees it: its state, its best levels, or the whole of it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeed.errors import BookNotLive
from fastfeed_core.message import Position
from fastfeed_core.replica import Replica, TopReader

if TYPE_CHECKING:
    import numpy as np

    from fastfeed.bus import Bus

__all__ = ["Book", "BookState", "Depth", "Top"]


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

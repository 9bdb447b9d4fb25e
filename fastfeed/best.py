"""Which venue's book to trust now, of several that offer the same.

For consumers: imports the reading side alone. A look costs a copy of each book's state, some microseconds in all, and
no system call but ten times a second. One thread at a time may use a `BestVenue`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from fastfeed.book import Book, BookState, Top
from fastfeed.bus import Bus
from fastfeed.bus import open as open_bus
from fastfeed.errors import BusNotFound
from fastfeed.reader import LOOK_EVERY_S
from fastfeed_core.message import INSTRUMENT_STATUSES

__all__ = ["BestVenue", "Chooser", "Health"]

_log = logging.getLogger(__name__)

_SECOND = 1_000_000_000
_LOOK_EVERY = int(LOOK_EVERY_S * _SECOND)
_IDLE = ("halted", "cancel_only", "pending", "closed")
_OPEN_EVERY = _SECOND  # how often a bus that is not there yet is tried


class Health(IntEnum):
    """How far a book can be trusted; less is better.

    GOOD : live, fresh, and its instrument trades
    DOUBTFUL : live, but older than `max_age_s`, or its instrument does not trade
    DOWN : not live
    """

    GOOD = 0
    DOUBTFUL = 1
    DOWN = 2


class Chooser:
    """The decision alone: books by some key and their health at a moment go in, the key to use comes out.

    A book that is not live is left at once. Every other move waits until its goal has been good for `hold` ns without
    a break, so that a book which comes and goes is left once, and returned to once.
    """

    def __init__(self, hold: int) -> None:
        self.chosen: str | None = None
        self._hold = hold
        self._good_since: dict[str, int] = {}

    def choose(self, healths: Mapping[str, Health], now: int) -> str | None:
        """Return the key to use now, None if no book is live; `healths` are in the order of preference."""
        # A clock that was set back starts the wait anew rather than make it longer.
        self._good_since = {
            key: min(self._good_since.get(key, now), now) for key, health in healths.items() if health is Health.GOOD
        }
        current = Health.DOWN if self.chosen is None else healths.get(self.chosen, Health.DOWN)
        if current is Health.DOWN:
            live = [key for key, health in healths.items() if health is not Health.DOWN]
            # Of equals the first is the most preferred. One that only just came back is taken if none is steadier.
            self.chosen = min(live, key=lambda key: (healths[key], self.waits(key, now) > 0), default=None)
        else:
            for key, health in healths.items():
                if key == self.chosen and current is Health.GOOD:
                    break  # none that is more preferred is ready
                if key != self.chosen and health is Health.GOOD and self.waits(key, now) == 0:
                    self.chosen = key
                    break
        return self.chosen

    def waits(self, key: str, now: int) -> int:
        """Return for how many ns more a book has to be good before it is moved to."""
        since = self._good_since.get(key)
        return self._hold if since is None else max(0, since + self._hold - now)


class _Candidate(NamedTuple):
    """A book that may be chosen."""

    bus: Bus
    book: Book


class BestVenue:
    """Tells which venue's book of an instrument to trust now, and gives that book.

    Each call looks at all the books. One that is not live any more is left at that call; the switch back to a more
    preferred one waits until that has been good for `hold_s`. The result is None while no book is live: there is
    nothing to trade on then.

    Parameters
    ----------
    buses : a bus or several, open or by name, of equals the first is preferred; one that is not there is tried each
        second
    instruments : a unified symbol (`BTC/USDT`, `BTC/USDT:USDT`), which takes that of every venue, or full names
    prefer : venues, or full names, most preferred first; the others follow in the order given, or that of the bus
    hold_s : seconds that a book must have been good before it is returned to; as far as was looked
    max_age_s : a book whose last message is older gives way to a fresh one; None: any age will do, because a quiet
        market is not a dead one
    clock : ns since the epoch

    Raises
    ------
    ValueError : a name, or a symbol, is none; a time is negative

    Examples
    --------
    ::

        best = fastfeed.BestVenue(fastfeed.open("main"), "BTC/USDT", prefer=["venue_a", "venue_b"], hold_s=5)
        while True:
            top = best.top(5)
            if top is None:
                stand_aside(best.reason)
            else:
                quote(best.venue, top.bids, top.asks)
    """

    def __init__(
        self,
        buses: Bus | str | Iterable[Bus | str],
        instruments: str | Iterable[str],
        *,
        prefer: Iterable[str] = (),
        hold_s: float = 2.0,
        max_age_s: float | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        given = [buses] if isinstance(buses, (Bus, str)) else list(buses)
        self._several = len(given) > 1
        self._wanted = (instruments,) if isinstance(instruments, str) else tuple(instruments)
        self._prefer = (prefer,) if isinstance(prefer, str) else tuple(prefer)
        if not given:
            raise ValueError("expected a bus or more, was none")
        if not self._wanted:
            raise ValueError("expected a symbol or names of instruments, was none")
        for word in self._wanted:
            if "/" not in word:
                raise ValueError(f"expected a symbol (BTC/USDT) or a name (venue:BTC/USDT), was {word!r}")
        if hold_s < 0 or (max_age_s is not None and max_age_s <= 0):
            raise ValueError(f"expected hold_s of 0 or more and max_age_s above 0, was {hold_s} and {max_age_s}")
        self._hold = int(hold_s * _SECOND)
        self._max_age = None if max_age_s is None else int(max_age_s * _SECOND)
        self._clock = clock
        self._given = given  # a name gives way to its bus once that is there: the order is one of preference
        self._tried = self._looked = -(1 << 62)
        self._known: list[tuple[int, int]] = []
        self._candidates: dict[str, _Candidate] = {}
        self._gone: set[str] = set()  # candidates whose feed is dead, as of the last look at feeds
        self._idle: dict[str, str] = {}  # ... whose instrument does not trade, and its status
        self._notes: dict[str, str] = {}  # why a book is not good, of the last look
        self._chooser = Chooser(self._hold)
        self._last: str | None = None  # the last that was chosen: what comes back after nothing is no switch
        self.switches = 0  #: changes from one book to another
        self._now = 0

    def __repr__(self) -> str:
        return f"<BestVenue {', '.join(self._wanted)} chosen={self._chooser.chosen} switches={self.switches}>"

    def book(self) -> Book | None:
        """Look, and return the book to trust now; None while none is live."""
        chosen = self._look()
        return None if chosen is None else self._candidates[chosen].book

    def top(self, n: int = 1, exact: bool = False) -> Top | None:
        """Look, and return a copy of the best levels of the book to trust now, always live; None while none is.

        Parameters
        ----------
        n, exact : as of `Book.top`

        Raises
        ------
        ValueError : `n` is out of range
        """
        # A book can go between the look and the copy; each round then leaves one.
        for _ in range(len(self._candidates) + 1):
            book = self.book()
            if book is None:
                return None
            found = book.top(n, exact)
            if found.state is BookState.LIVE:
                return found
        return None

    @property
    def name(self) -> str | None:
        """Name of the instrument chosen at the last look; None if no book was live."""
        chosen = self._chooser.chosen
        return None if chosen is None else self._candidates[chosen].book.name

    @property
    def venue(self) -> str | None:
        """Venue chosen at the last look; None if no book was live."""
        return None if self.name is None else self.name.partition(":")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The instruments to choose from, most preferred first, as of the last look; with their bus if of several."""
        return tuple(self._candidates)

    @property
    def reason(self) -> str:
        """Why this one, as of the last look: what is wrong with those that are more preferred."""
        chosen = self._chooser.chosen
        if not self._candidates:
            names = [each for each in self._given if isinstance(each, str)]
            missing = f" (not found: {', '.join(names)})" if names else ""
            return f"no book of {', '.join(self._wanted)} on the bus{missing}"
        names = list(self._candidates)
        better = names if chosen is None else names[: names.index(chosen)]
        why = [self._why_not(name) for name in better]
        if chosen is not None and chosen in self._notes:
            why.append(self._notes[chosen])  # it is doubtful itself, and the others are no better
        if chosen is None:
            return f"no book is live: {'; '.join(why)}"
        return "; ".join(why) or "it is the most preferred, and good"

    def _why_not(self, name: str) -> str:
        if name in self._notes:
            return self._notes[name]
        waits = self._chooser.waits(name, self._now)
        return f"{name} is good again, for {(self._hold - waits) / 1e9:.1f} of {self._hold / 1e9:g} s"

    def _look(self) -> str | None:
        now = self._now = self._clock()
        if not 0 <= now - self._looked < _LOOK_EVERY:
            self._looked = now
            self._look_at_feeds(now)
        self._notes.clear()
        healths = {key: self._judge(key, each.book, now) for key, each in self._candidates.items()}
        chosen = self._chooser.choose(healths, now)
        if chosen is not None and chosen != self._last:
            if self._last is not None:
                self.switches += 1
                _log.info("switched from=%s to=%s reason=%s", self._last, chosen, self.reason)
            self._last = chosen
        return chosen

    def _judge(self, key: str, book: Book, now: int) -> Health:
        """The health of a book, and in `_notes` what is wrong with it."""
        if key in self._gone:
            self._notes[key] = f"{key}: its feed is gone"
            return Health.DOWN
        top = None if self._max_age is None else book.top(1)
        state = book.state if top is None else top.state
        if state is not BookState.LIVE:
            self._notes[key] = f"{key} is {state.name.lower()}"
            return Health.DOWN
        if key in self._idle:
            self._notes[key] = f"{key} does not trade: {self._idle[key]}"
            return Health.DOUBTFUL
        if top is not None and self._max_age is not None:
            age = None if top.ts_recv is None else now - top.ts_recv
            if age is None or age > self._max_age:
                self._notes[key] = f"{key} is late: " + (
                    "no message" if age is None else f"its last message came {age / 1e9:.1f} s ago"
                )
                return Health.DOUBTFUL
        return Health.GOOD

    def _look_at_feeds(self, now: int) -> None:
        """What costs system calls or time: buses that came, instruments that came, feeds that died."""
        if not 0 <= now - self._tried < _OPEN_EVERY:
            self._tried = now
            self._given = [_opened(each) for each in self._given]
        buses = [each for each in self._given if isinstance(each, Bus)]
        known = [(bus.map.generation, bus.map.count) for bus in buses]
        if known != self._known:
            self._known = known
            self._candidates = self._find(buses)
        # A feed that was killed leaves its books as they were: without this they would be live for a second more.
        dead = {id(bus) for bus in buses if _is_dead(bus)}
        self._gone = {key for key, (bus, _) in self._candidates.items() if id(bus) in dead}
        statuses = {key: _status(bus, book.name) for key, (bus, book) in self._candidates.items()}
        self._idle = {key: status for key, status in statuses.items() if status in _IDLE}

    def _find(self, buses: list[Bus]) -> dict[str, _Candidate]:
        """The books that are asked for, most preferred first."""
        ranked = []
        for bus in buses:
            for instrument in bus.instruments:
                name = instrument.name
                venue, _, symbol = name.partition(":")
                given = [place for place, word in enumerate(self._wanted) if word in (name, symbol)]
                preferred = [place for place, word in enumerate(self._prefer) if word in (name, venue)]
                if given:
                    ranked.append((min(preferred, default=len(self._prefer)), given[0], name, bus))
        found: dict[str, _Candidate] = {}
        for *_, name, bus in sorted(ranked, key=lambda each: each[:2]):
            with contextlib.suppress(LookupError):  # no book is kept of it
                found[f"{name} on {bus.name}" if self._several else name] = _Candidate(bus, bus.book(name))
        return found


def _opened(bus: Bus | str) -> Bus | str:
    try:
        return open_bus(bus) if isinstance(bus, str) else bus
    except BusNotFound:
        return bus


def _is_dead(bus: Bus) -> bool:
    return bus.map.heartbeat_age > LOOK_EVERY_S and not bus.map.is_alive()


def _status(bus: Bus, name: str) -> str | None:
    index = bus._find(name)
    return None if index is None else INSTRUMENT_STATUSES[bus._map.instrument(index)["status"]]

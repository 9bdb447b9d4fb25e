"""True books and a random order flow over them.

Prices count ticks and sizes count lots, as integers, so that the truth has no rounding. All randomness comes from one
generator per instrument, seeded by the seed and its name: leaving an instrument out does not change another one's flow.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from random import Random
from typing import NamedTuple

from sortedcontainers import SortedDict

from fastfeed.sim.interface import Knobs

SECOND = 1_000_000_000

# Shares of the order flow; what is left places or resizes a level.
CANCEL_SHARE = 0.36
TAKE_SHARE = 0.14
UNKNOWN_SHARE = 0.02

# Share of the placed levels that join the touch or narrow the spread.
TOUCH_SHARE = 0.4

# Mean distance of a placed or cancelled level from the touch, in levels.
MEAN_DEPTH = 25


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the simulated venue lists.

    `name` is the unified symbol without the venue. `tick_size` and `lot_size` keep the decimals with which the venue
    writes them. `price` is where the random walk starts, `size` the mean size of a level. `expiry` is ns, None without;
    `option` is "call" or "put". Sizes are in the venue's own unit, of which one is worth `contract_size`: of the base,
    or of the quote where the contract is `inverse`.
    """

    name: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    price: Decimal
    size: Decimal
    settle: str | None = None
    expiry: int | None = None
    strike: Decimal | None = None
    option: str | None = None
    contract_size: Decimal = Decimal(1)
    inverse: bool = False


class Change(NamedTuple):
    """A level's new total size, in ticks and lots; 0 removes it."""

    sequence: int
    is_bid: bool
    px: int
    sz: int


class Trade(NamedTuple):
    """One fill, in ticks and lots."""

    trade_id: int
    px: int
    sz: int
    taker_buys: bool


@dataclass(frozen=True, slots=True)
class Event:
    """What one action in the market did: several changes and trades may belong together."""

    ts: int
    instrument: Instrument
    changes: list[Change]
    trades: list[Trade]


@dataclass(slots=True)
class TrueBook:
    """The book as the venue's matching engine has it."""

    instrument: Instrument
    sequence: int = 0
    ts: int = 0
    bids: SortedDict = field(default_factory=SortedDict)
    asks: SortedDict = field(default_factory=SortedDict)

    def apply(self, change: Change) -> None:
        """Set or remove one level; removing an unknown one is no error. O(log levels)."""
        side = self.bids if change.is_bid else self.asks
        if change.sz:
            side[change.px] = change.sz
        else:
            side.pop(change.px, None)
        self.sequence = change.sequence

    def copy(self) -> TrueBook:
        """Return an independent copy. O(levels)."""
        return TrueBook(self.instrument, self.sequence, self.ts, self.bids.copy(), self.asks.copy())

    def top(self) -> tuple[int, int, int, int]:
        """Return bid px, bid sz, ask px, ask sz; a flow never empties a side."""
        return *self.bids.peekitem(-1), *self.asks.peekitem(0)

    def levels(self, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return up to `limit` (px, sz) a side, bids falling and asks rising."""
        bids = [(px, self.bids[px]) for px in islice(reversed(self.bids), limit)]
        asks = list(self.asks.items()[:limit])
        return bids, asks

    def prices(self, limit: int | None = None) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Return (price, size) a side, exact, bids falling and asks rising."""
        tick, lot = self.instrument.tick_size, self.instrument.lot_size
        bids, asks = self.levels(len(self.bids) + len(self.asks) if limit is None else limit)
        return [(px * tick, sz * lot) for px, sz in bids], [(px * tick, sz * lot) for px, sz in asks]


def dense_ids(rng: Random) -> Callable[[], int]:
    """Return a counter of its own, from a random start, without holes."""
    last = rng.randrange(10**9, 10**11)

    def allocate() -> int:
        nonlocal last
        last += 1
        return last

    return allocate


def shared_ids(seed: str) -> Callable[[Random], Callable[[], int]]:
    """Return a maker that hands all instruments one counter, which leaves holes: a platform shares it."""
    rng = Random(seed)
    last = rng.randrange(10**12, 10**13)

    def allocate() -> int:
        nonlocal last
        last += 1 + int(rng.expovariate(0.1))
        return last

    return lambda _: allocate


class Flow:
    """The order flow of one instrument."""

    def __init__(
        self, instrument: Instrument, rng: Random, allocate: Callable[[], int], rate: float, levels: int, now: int
    ) -> None:
        self.book = TrueBook(instrument, ts=now)
        self.journal: list[Change] | None = None
        self._rng = rng
        self._allocate = allocate
        self._rate = rate
        self._levels = levels
        self._home = int(instrument.price / instrument.tick_size)
        self._mean_sz = max(1, int(instrument.size / instrument.lot_size))
        # A level every 0.4 basis points, or every other tick of a coarse instrument.
        self._mean_gap = max(1.5, self._home * 4e-5)
        self._trade_id = rng.randrange(10**6, 10**9)
        self._fill()
        self._thin = max(2, min(len(self.book.bids), len(self.book.asks)) // 2)
        self.origin = self.book.copy()
        self.due = self._next(now)

    def step(self) -> Event:
        """Let the action that is due happen, and return it."""
        book, rng = self.book, self._rng
        changes: list[Change] = []
        trades: list[Trade] = []
        choice = rng.random()
        if choice < TAKE_SHARE:
            self._take(changes, trades)
        elif choice < TAKE_SHARE + CANCEL_SHARE:
            self._cancel(changes)
        elif choice < TAKE_SHARE + CANCEL_SHARE + UNKNOWN_SHARE:
            self._remove_unknown(changes)
        else:
            self._place(changes)
        ts, self.due = self.due, self._next(self.due)
        book.ts = ts
        if self.journal is not None:
            self.journal.extend(changes)
        return Event(ts, book.instrument, changes, trades)

    def _next(self, ts: int) -> int:
        return ts + max(1, int(self._rng.expovariate(self._rate) * SECOND))

    def _gap(self) -> int:
        return 1 + int(self._rng.expovariate(1 / (self._mean_gap - 1)))

    def _size(self) -> int:
        return 1 + int(self._rng.expovariate(1 / self._mean_sz))

    def _fill(self) -> None:
        book = self.book
        bid, ask = self._home, self._home + 1
        for _ in range(self._levels):
            if bid > 0:
                book.bids[bid] = self._size()
                bid -= self._gap()
            book.asks[ask] = self._size()
            ask += self._gap()
        book.sequence = self._allocate()

    def _set(self, is_bid: bool, px: int, sz: int, changes: list[Change]) -> None:
        change = Change(self._allocate(), is_bid, px, sz)
        self.book.apply(change)
        changes.append(change)

    def _place(self, changes: list[Change]) -> None:
        """Set a level: often an existing one, sometimes a new one, which may lie inside the spread."""
        book, rng = self.book, self._rng
        is_bid = rng.random() < 0.5
        side = book.bids if is_bid else book.asks
        if len(side) > self._levels:
            self._set(is_bid, side.keys()[0 if is_bid else -1], 0, changes)
            return
        bid, _, ask, _ = book.top()
        if rng.random() < TOUCH_SHARE:
            px = rng.randrange(bid, ask) + (not is_bid)
        else:
            away = int(rng.expovariate(1 / MEAN_DEPTH) * self._mean_gap)
            px = max(1, bid - away) if is_bid else ask + away
        self._set(is_bid, px, self._size(), changes)

    def _cancel(self, changes: list[Change]) -> None:
        book, rng = self.book, self._rng
        is_bid = rng.random() < 0.5
        side = book.bids if is_bid else book.asks
        # The emptier the side, the rarer: it settles between half of the levels and all.
        if rng.random() * (self._levels - self._thin) > len(side) - self._thin:
            self._place(changes)
            return
        index = min(int(rng.expovariate(1 / MEAN_DEPTH)), len(side) - 1)
        self._set(is_bid, side.keys()[-1 - index if is_bid else index], 0, changes)

    def _remove_unknown(self, changes: list[Change]) -> None:
        """Remove a level that nobody has: venues do, and it takes an id like any other change."""
        px = self.book.asks.keys()[-1] + self._gap()
        self._set(False, px, 0, changes)

    def _take(self, changes: list[Change], trades: list[Trade]) -> None:
        """Let a taker eat from the touch, leaning back to where the walk started so that no price runs away."""
        book, rng = self.book, self._rng
        lean = (self._home - book.top()[0]) / self._home
        taker_buys = rng.random() < 0.5 + max(-0.4, min(0.4, lean * 20))
        side = book.asks if taker_buys else book.bids
        wanted = self._size() // 2 + 1
        while wanted:
            px, resting = side.peekitem(0 if taker_buys else -1)
            if resting <= wanted and self._is_thin(side):
                break
            filled = min(wanted, resting)
            wanted -= filled
            self._trade_id += 1
            trades.append(Trade(self._trade_id, px, filled, taker_buys))
            self._set(not taker_buys, px, resting - filled, changes)
        if not changes:
            self._place(changes)

    def _is_thin(self, side: SortedDict) -> bool:
        return len(side) <= self._thin


class Market:
    """The order flows of the instruments of one product, in the order of their events.

    Parameters
    ----------
    ids : makes an allocator of sequences for an instrument; give the same one to all for ids shared by a platform.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        ids: Callable[[Random], Callable[[], int]],
        knobs: Knobs,
        scope: str,
        now: int,
    ) -> None:
        self.flows: dict[str, Flow] = {}
        for instrument in instruments:
            rng = Random(f"{knobs.seed}/{scope}/{instrument.name}")
            flow = Flow(instrument, rng, ids(rng), knobs.rate, knobs.levels, now)
            if knobs.journal:
                flow.journal = []
            self.flows[instrument.name] = flow
        self._replayed: dict[str, tuple[int, TrueBook]] = {}  # changes, and the book that they lead to
        self._queue = [(flow.due, index, flow) for index, flow in enumerate(self.flows.values())]
        heapq.heapify(self._queue)

    def next_due(self) -> int:
        """Return when the next event happens, ns."""
        return self._queue[0][0]

    def step(self) -> Event:
        """Let the next event happen. O(log levels)."""
        _, index, flow = self._queue[0]
        event = flow.step()
        heapq.heapreplace(self._queue, (flow.due, index, flow))
        return event

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return a copy of the book as of `sequence`; ValueError without the journal.

        O(changes since the last call) if they come in order, else O(changes so far).
        """
        flow = self.flows[name]
        if flow.journal is None:
            raise ValueError("the book at a sequence needs the journal, which was not kept")
        done, book = self._replayed.get(name, (0, flow.origin))
        if book.sequence > sequence:
            done, book = 0, flow.origin
        book = book.copy()
        while done < len(flow.journal) and flow.journal[done].sequence <= sequence:
            book.apply(flow.journal[done])
            done += 1
        self._replayed[name] = done, book.copy()
        return book

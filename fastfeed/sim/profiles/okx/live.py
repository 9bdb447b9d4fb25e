"""OKX over a random market."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Instrument, Market, TrueBook, dense_ids
from fastfeed.sim.profiles.okx.channels import PATHS
from fastfeed.sim.profiles.okx.products import (
    PRE_OPEN,
    announced_row,
    future_instruments,
    option_instruments,
    spot_instruments,
    swap_instruments,
)
from fastfeed.sim.profiles.okx.rest import Book, Rest
from fastfeed.sim.profiles.okx.session import OkxSession, Source
from fastfeed.sim.profiles.okx.streams import OkxStreams
from fastfeed.sim.replay import Timeline

VENUE = "okx"
CONNECTIONS_PER_SECOND = 3


class Door:
    """Opens connections: at most three a second, `/ws/v5/public` or `/ws/v5/business`."""

    def __init__(self, source: Source, knobs: Knobs) -> None:
        self._source = source
        self._knobs = knobs
        self._recent: deque[int] = deque(maxlen=CONNECTIONS_PER_SECOND)
        self._count = 0

    def open(self, endpoint: str, path: str, now: int) -> OkxSession | Reply:
        """Return a session, or the reply that refuses the upgrade."""
        base, _, last = path.rstrip("/").rpartition("/")
        if base != "/ws/v5" or last not in PATHS:
            return Reply(404, b"Not Found")
        if len(self._recent) == CONNECTIONS_PER_SECOND and self._recent[0] > now - SECOND:
            return Reply(429, b"Too Many Requests")
        self._recent.append(now)
        self._count += 1
        connection_id = f"{crc32(f'{self._knobs.seed}/{self._count}'.encode()):08x}"
        return OkxSession(endpoint, last, self._source, self._knobs, connection_id, now)


class LiveProfile:
    """The market of all types of instruments, its streams and REST."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        count = knobs.symbols
        self.instruments = [
            *spot_instruments(count),
            *swap_instruments(count),
            *future_instruments(count, now),
            *option_instruments(count, now),
        ]
        self.states = {PRE_OPEN: "preopen"}
        self._market = Market(self.instruments, dense_ids, knobs, VENUE, now)
        self._flows = {flow.book.instrument.symbol: flow for flow in self._market.flows.values()}
        self._streams = OkxStreams(VENUE, self._market, self.states, knobs, now)
        self._door = Door(self._streams, knobs)
        self._rest = Rest(self)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> OkxSession | Reply:
        """Open a connection."""
        return self._door.open(endpoint, path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Move the market to `now`."""
        return self._streams.advance(now)

    def next_due(self) -> int:
        """Return when the market has something to do, ns."""
        return self._streams.next_due()

    def reset(self, name: str) -> None:
        """Let the numbers of an instrument's messages start again, as after a maintenance."""
        self._streams.sequences[self._symbol(name)].restart()

    def set_state(self, name: str, state: str) -> None:
        """Change an instrument's state, such as to `suspend`: the channel `instruments` tells it within a second."""
        self.states[self._symbol(name)] = state

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of an instrument; the asks of a call auction where they are shown."""
        return self._streams.writers[self._symbol(name)].shown(self._market.flows[name].book)

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book that the channel `books` showed with a seqId."""
        symbol = self._symbol(name)
        shown = self._streams.shown(symbol)
        return self._streams.writers[symbol].shown(shown.at(sequence))

    def listing(self, now: int) -> list[dict[str, Any]]:
        """Return the rows of all instruments, and of one that is announced only."""
        rows = self._streams.listing(now)
        return [*rows, announced_row(rows[0])]

    def book(self, symbol: str, limit: int, is_old: bool) -> Book | None:
        """Return the book of now, which may be in the middle of a push's window, or the one at the start."""
        flow = self._flows.get(symbol)
        if flow is None:
            return None
        book = flow.origin if is_old else flow.book
        sequence = book.sequence if is_old else self._streams.sequences[symbol].now()
        sides = self._streams.writers[symbol].sides(*book.levels(limit))
        return Book(sides, book.ts // 1_000_000, sequence)

    def _symbol(self, name: str) -> str:
        return self._market.flows[name].book.instrument.symbol

"""Deribit over a random market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Instrument, Market, TrueBook, shared_ids
from fastfeed.sim.profiles.deribit.connections import Connections
from fastfeed.sim.profiles.deribit.products import instruments, listing
from fastfeed.sim.profiles.deribit.rest import Rest
from fastfeed.sim.profiles.deribit.rpc import Methods
from fastfeed.sim.profiles.deribit.session import DeribitSession
from fastfeed.sim.profiles.deribit.streams import ENDPOINT, DeribitStreams
from fastfeed.sim.replay import Timeline


class LiveBooks:
    """Listing and true books, as the methods show them."""

    def __init__(self, rows: list[Instrument], market: Market, streams: DeribitStreams) -> None:
        self._rows = rows
        self._market = market
        self._streams = streams
        self._names = {row.symbol: row.name for row in rows}

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of `get_instruments`."""
        return listing(self._rows)

    def order_book(self, symbol: str, depth: int, is_old: bool, now: int) -> str | None:
        """Return the book of now, which may be in the middle of a channel's window, or the one at the start."""
        writer = self._streams.writer(symbol)
        if writer is None:
            return None
        flow = self._market.flows[self._names[symbol]]
        book = flow.origin if is_old else flow.book
        return writer.order_book(now, book.sequence, *book.levels(depth))


class LiveProfile:
    """One market, its channels and REST; every change of every book takes its id from one counter."""

    venue: str = "deribit"
    ws_endpoints: Sequence[str] = (ENDPOINT,)
    rest_endpoints: Sequence[str] = (ENDPOINT,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        rows = instruments(knobs.symbols, now)
        self.instruments = rows
        self._market = Market(rows, shared_ids(f"{knobs.seed}/ids"), knobs, self.venue, now)
        self._streams = DeribitStreams(self._market, knobs.journal, now)
        self.next_due = self._streams.next_due
        methods = Methods(LiveBooks(rows, self._market, self._streams))
        self._connections = Connections(self._streams, methods, knobs)
        self._rest = Rest(methods, now)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> DeribitSession | Reply:
        """Open a connection."""
        return self._connections.open(path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Move the market to `now`."""
        self._connections.passed(now)
        yield from self._streams.advance(now)

    def reset(self, name: str) -> None:
        """Do nothing: this venue's sequences never start again."""

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of an instrument."""
        return self._market.flows[name].book

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book that the default channel showed at a change id."""
        return self._streams.book_at(self._market.flows[name].book.instrument.symbol, sequence)

"""Kraken Futures over a random market."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Instrument, Market, TrueBook, dense_ids
from fastfeed.sim.profiles.krakenfutures.products import VENUE, instruments, listing_row
from fastfeed.sim.profiles.krakenfutures.rest import Rest
from fastfeed.sim.profiles.krakenfutures.session import FuturesSession
from fastfeed.sim.profiles.krakenfutures.streams import Contract, LiveSource
from fastfeed.sim.replay import Timeline

WS_PATH = "/ws/v1"


class LiveRest:
    """What REST shows of the contracts."""

    def __init__(self, source: LiveSource) -> None:
        self.symbol = source.symbol
        self._contracts = source.contracts
        self._rows = [listing_row(each.flow.book.instrument) for each in source.contracts.values()]

    def listing(self) -> list[dict[str, Any]]:
        """Return the entries of `instruments`."""
        return self._rows

    def book(self, symbol: str, is_old: bool) -> tuple[str, str]:
        """Return the whole book of now, or the one at the start."""
        contract = self._contracts[symbol]
        book = contract.flow.origin if is_old else contract.flow.book
        writer = contract.writer
        bids, asks = (
            "[" + ",".join([f"[{writer.price(px)},{writer.size(sz)}]" for px, sz in side]) + "]"
            for side in book.levels(len(book.bids) + len(book.asks))
        )
        return bids, asks

    def ticker(self, symbol: str, now: int) -> dict[str, Any]:
        """Return the figures of now."""
        figures: dict[str, Any] = json.loads(self._contracts[symbol].first("ticker", now).payload)
        return figures

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        """Return the last trades, newest first."""
        return [json.loads(payload) for payload in self._contracts[symbol].recent]


class LiveProfile:
    """The venue's only product: one market, one WebSocket, one REST."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        self.instruments = instruments(knobs.symbols, now)
        self._knobs = knobs
        self._market = Market(self.instruments, dense_ids, knobs, self.venue, now)
        self._source = LiveSource(VENUE, self._market, knobs.seed, now)
        self._rest = Rest(LiveRest(self._source))
        self._contracts: dict[str, Contract] = {
            each.flow.book.instrument.name: each for each in self._source.contracts.values()
        }

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> FuturesSession | Reply:
        """Open a connection; there is one path."""
        return FuturesSession(self._source, self._knobs, now) if path == WS_PATH else Reply(404, b"Not Found")

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Move the market to `now`."""
        return self._source.advance(now)

    def next_due(self) -> int:
        """Return when the market has something to do, ns."""
        return self._source.next_due()

    def reset(self, name: str) -> None:
        """Number a book's changes anew and forget its trades, as a restart of the engine does."""
        contract = self._contracts[name]
        contract.numbering.restart(contract.flow.book.sequence)
        contract.recent.clear()

    def true_book(self, name: str) -> TrueBook:
        """Return the book as it was last shown, which is the true one between two events."""
        contract = self._contracts[name]
        return contract.flow.book if contract.shown is None else contract.shown

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book as of a sequence of the feed `book`."""
        contract = self._contracts[name]
        book = self._market.book_at(name, contract.numbering.market(sequence, contract.flow.book.sequence))
        book.sequence = sequence
        return book

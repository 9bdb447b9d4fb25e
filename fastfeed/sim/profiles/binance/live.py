"""Binance over a random market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Instrument, Market, TrueBook, dense_ids, shared_ids
from fastfeed.sim.profiles.binance.messages import Writer
from fastfeed.sim.profiles.binance.products import (
    PRODUCTS,
    SPOT,
    USDM,
    Product,
    listing,
    spot_instruments,
    usdm_instruments,
)
from fastfeed.sim.profiles.binance.rest import Depth, Rest
from fastfeed.sim.profiles.binance.session import BinanceSession, open_session
from fastfeed.sim.profiles.binance.streams import BinanceStreams
from fastfeed.sim.replay import Timeline


class LiveBooks:
    """One product's listing and true books, as REST shows them."""

    def __init__(self, product: Product, instruments: list[Instrument], market: Market) -> None:
        self._product = product
        self._instruments = instruments
        self._flows = {flow.book.instrument.symbol: flow for flow in market.flows.values()}
        self._writers = {row.symbol: Writer(product, row, 1_000_000) for row in instruments}

    def listing(self, now: int) -> dict[str, Any]:
        """Return the body of `exchangeInfo`."""
        return listing(self._product, self._instruments, now)

    def depth(self, symbol: str, limit: int, is_old: bool) -> Depth | None:
        """Return the book of now, which may be in the middle of a diff's window, or the one at the start."""
        flow = self._flows.get(symbol)
        if flow is None:
            return None
        book = flow.origin if is_old else flow.book
        bids, asks = book.levels(limit)
        writer = self._writers[symbol]
        return Depth(book.sequence, book.ts // 1_000_000, writer.levels(bids), writer.levels(asks))


class LiveProfile:
    """Both products, each with its market, streams and REST."""

    venue: str = "binance"
    ws_endpoints: Sequence[str] = tuple(PRODUCTS)
    rest_endpoints: Sequence[str] = tuple(PRODUCTS)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        listed = {
            SPOT.name: spot_instruments(knobs.symbols),
            USDM.name: usdm_instruments(knobs.symbols, now),
        }
        # Spot numbers the changes of each book without holes; the futures' ids are shared by the whole platform.
        ids = {SPOT.name: dense_ids, USDM.name: shared_ids(f"{knobs.seed}/ids")}
        self.instruments = [row for rows in listed.values() for row in rows]
        self._knobs = knobs
        self._markets = {
            name: Market(rows, ids[name], knobs, f"{self.venue}/{name}", now) for name, rows in listed.items()
        }
        self._streams = {name: BinanceStreams(PRODUCTS[name], market, now) for name, market in self._markets.items()}
        self._rest = {
            name: Rest(PRODUCTS[name], LiveBooks(PRODUCTS[name], rows, self._markets[name]))
            for name, rows in listed.items()
        }

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BinanceSession | Reply:
        """Open a connection to a product."""
        return open_session(PRODUCTS[endpoint], self._streams[endpoint], self._knobs, path, query, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call to a product."""
        return self._rest[endpoint].answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Move both markets to `now`, one after the other."""
        for streams in self._streams.values():
            yield from streams.advance(now)

    def next_due(self) -> int:
        """Return when one of the markets has something to do, ns."""
        return min(streams.next_due() for streams in self._streams.values())

    def reset(self, name: str) -> None:
        """Do nothing: this venue's sequences never start again."""

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of an instrument."""
        return self._market(name).flows[name].book

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book as of an update id."""
        return self._market(name).book_at(name, sequence)

    def _market(self, name: str) -> Market:
        return next(market for market in self._markets.values() if name in market.flows)

"""Bybit over a random market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import cast

from fastfeed.sim.frames import Frame
from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Flow, Instrument, Market, TrueBook, shared_ids
from fastfeed.sim.profiles.bybit.doors import Doors
from fastfeed.sim.profiles.bybit.products import OPTION, PRODUCTS, Product, instruments
from fastfeed.sim.profiles.bybit.rest import Rest, RestBook
from fastfeed.sim.profiles.bybit.session import BybitSession
from fastfeed.sim.profiles.bybit.stats import BAR_INTERVALS, BarStream, LiquidationStream, TickerStream
from fastfeed.sim.profiles.bybit.streams import BookStream, ClientStream, TradeStream, Writer
from fastfeed.sim.replay import Timeline
from fastfeed.sim.streams import LiveStreams


class LiveProduct:
    """One product: its market, its topics and its books for REST."""

    def __init__(self, product: Product, rows: list[Instrument], knobs: Knobs, now: int) -> None:
        self.product = product
        self.instruments: Sequence[Instrument] = rows
        # The matching engine numbers what happens in all of a product's books together.
        ids = shared_ids(f"{knobs.seed}/{product.name}/ids")
        # Books of the wire are noted by its own sequence: the market keeps no journal.
        self.market = Market(rows, ids, replace(knobs, journal=False), f"bybit/{product.name}", now)
        self._flows = {flow.book.instrument.symbol: flow for flow in self.market.flows.values()}
        self._knobs = knobs
        self._now = now
        self._live = LiveStreams(product.name, self.market, self._make, now)
        self.next_due = self._live.next_due

    def advance(self, now: int) -> Iterator[Publication]:
        """Let the market run up to `now`."""
        yield from self._live.advance(now)
        self._now = now

    def lists(self, symbol: str) -> bool:
        """Say whether there is such an instrument."""
        return symbol in self._flows

    def resolve(self, topic: str) -> list[str]:
        """Return the keys of a topic, and begin their streams: one, or one an instrument of a coin's option trades."""
        kind, _, base = topic.partition(".")
        keys = [topic]
        if self.product is OPTION and kind == "publicTrade":
            keys = [f"{topic}|{row.symbol}" for row in self.instruments if row.base == base]
        return [key for key in keys if self._live.resolve(key) is not None]

    def first(self, key: str, topic: str, now: int) -> Frame | None:
        """Return the snapshot with which a topic answers a subscription, if it does."""
        stream = self._stream(key)
        payload = stream.first(now)
        symbol = key.rpartition("|" if "|" in key else ".")[2]
        name = self._flows[symbol].book.instrument.name
        return Frame(payload, topic, name, stale=stream.stale()) if payload else None

    def book(self, symbol: str, limit: int, is_old: bool) -> RestBook | None:
        """Return the book of the stream of most levels as of its last message, or as it was first shown."""
        if symbol not in self._flows:
            return None
        stream = self._book_stream(symbol, self.product.rest_depth)
        update_id, sequence, cts, (bids, asks) = (
            stream.origin if is_old else (stream.update_id, stream.sequence, stream.cts, stream.levels())
        )
        writer = Writer(self.product, self._flows[symbol].book.instrument)
        return RestBook(update_id, sequence, cts, writer.levels(bids[:limit]), writer.levels(asks[:limit]))

    def restart(self, name: str) -> None:
        """Begin the sequences of all books of an instrument again."""
        for stream in self._live.of(name):
            cast(ClientStream, stream).restart()

    def book_at(self, name: str, update_id: int) -> TrueBook:
        """Return the book of the default depth as of an `u`; ValueError if there was none."""
        symbol = self.market.flows[name].book.instrument.symbol
        return self._book_stream(symbol, self.product.default_depth).at(update_id)

    def _stream(self, key: str) -> ClientStream:
        return cast(ClientStream, self._live.resolve(key))

    def _book_stream(self, symbol: str, depth: int) -> BookStream:
        return cast(BookStream, self._live.resolve(f"orderbook.{depth}.{symbol}"))

    def _make(self, key: str) -> tuple[ClientStream, Flow] | None:
        topic, bar, contract = key.partition("|")
        kind, _, rest = topic.partition(".")
        length, _, symbol = rest.partition(".") if kind in ("orderbook", "kline") else ("", "", rest)
        flow = self._flows.get(contract if bar else symbol)
        if flow is None:
            return None
        writer = Writer(self.product, flow.book.instrument)
        rng = Random(f"{self._knobs.seed}/{self.product.name}/{key}")
        stream: ClientStream | None = None
        match kind:
            case "orderbook" if (interval := self._book_interval(length)) is not None:
                depth, journal = int(length), self._knobs.journal
                stream = BookStream(writer, topic, flow, depth, interval, journal, rng, self._now)
            case "publicTrade" if bool(bar) == (self.product is OPTION):
                stream = TradeStream(writer, topic, flow, rng)
            case "tickers":
                stream = TickerStream(self.product, writer, topic, flow, rng)
            case "kline" if self.product.has_bars and length in BAR_INTERVALS:
                stream = BarStream(writer, topic, flow, length, self._now)
            case "allLiquidation" if self.product.has_liquidations:
                stream = LiquidationStream(writer, topic, flow, rng)
        return None if stream is None else (stream, flow)

    def _book_interval(self, depth: str) -> int | None:
        return next((ms * 1_000_000 for levels, ms in self.product.depths if str(levels) == depth), None)


class LiveProfile:
    """All products, each with its market; one host for REST, one for WebSocket."""

    venue: str = "bybit"
    ws_endpoints: Sequence[str] = tuple(PRODUCTS)
    rest_endpoints: Sequence[str] = tuple(PRODUCTS)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        self._products = {
            name: LiveProduct(product, instruments(product, knobs.symbols, now), knobs, now)
            for name, product in PRODUCTS.items()
        }
        self.instruments = [row for product in self._products.values() for row in product.instruments]
        self._rest = Rest(self._products)
        self._doors = Doors(self._products, knobs)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BybitSession | Reply:
        """Open a connection to the product of the path."""
        return self._doors.open(endpoint, path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call: the category of the query says of which product."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Move all markets to `now`, one after the other."""
        for product in self._products.values():
            yield from product.advance(now)

    def next_due(self) -> int:
        """Return when one of the markets has something to do, ns."""
        return min(product.next_due() for product in self._products.values())

    def reset(self, name: str) -> None:
        """Send the books of an instrument whole at their next message, with `u` 1: the service was restarted."""
        self._of(name).restart(name)

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of an instrument."""
        return self._of(name).market.flows[name].book

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book that the default depth had at an `u`."""
        return self._of(name).book_at(name, sequence)

    def _of(self, name: str) -> LiveProduct:
        return next(product for product in self._products.values() if name in product.market.flows)

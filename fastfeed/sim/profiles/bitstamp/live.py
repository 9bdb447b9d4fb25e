"""Bitstamp over a random market."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Event, Flow, Instrument, Market, TrueBook, dense_ids
from fastfeed.sim.profiles.bitstamp.markets import VENUE, instruments, is_perpetual, listed, wire_name
from fastfeed.sim.profiles.bitstamp.rest import Rest
from fastfeed.sim.profiles.bitstamp.session import BitstampSession, open_session
from fastfeed.sim.profiles.bitstamp.streams import DEPTH, BitstampStreams, next_funding, prices
from fastfeed.sim.replay import Timeline

# Orders that nobody means to trade at rest on these markets: a bid at zero, an ask at ten thousand million.
_ABSURD = ("ethusd", 0, Decimal("9999999999"))


class TimedMarket(Market):
    """A market that remembers when each change happened: this venue's sequences are microseconds."""

    def __init__(self, rows: Sequence[Instrument], knobs: Knobs, now: int) -> None:
        super().__init__(rows, dense_ids, knobs, VENUE, now)
        for flow in self.flows.values():
            if flow.book.instrument.symbol == _ABSURD[0]:
                _rest_absurd_orders(flow)
        self._history = {name: [(now // 1_000, flow.book.sequence)] for name, flow in self.flows.items()}
        self._keeps_history = knobs.journal

    def step(self) -> Event:
        """Let the next event happen."""
        event = super().step()
        if self._keeps_history:
            self._history[event.instrument.name].append((event.ts // 1_000, event.changes[-1].sequence))
        return event

    def book_as_of(self, name: str, microseconds: int) -> TrueBook:
        """Return the book after the last change at a time; ValueError without a change then, or without the journal."""
        history = self._history[name]
        index = bisect_right(history, microseconds, key=lambda entry: entry[0]) - 1
        if index < 0 or history[index][0] != microseconds:
            raise ValueError(f"no message with microtimestamp {microseconds} was sent of {name}")
        return self.book_at(name, history[index][1])


class LiveBooks:
    """Listing, books and tickers as REST shows them."""

    def __init__(self, rows: Sequence[Instrument], streams: BitstampStreams) -> None:
        self._rows = {row.symbol: row for row in rows}
        self._streams = streams

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of `/markets/`."""
        return [listed(row) for row in self._rows.values()]

    def book(self, symbol: str, group: str, is_old: bool) -> str | None:
        """Return the book of the last window of differences, or the one at the start; `group` 0 and 2 show orders."""
        if symbol not in self._rows:
            return None
        flow, writer = self._streams.flows[symbol], self._streams.writers[symbol]
        if is_old:
            return writer.book(flow.origin.ts, *flow.origin.levels(len(flow.origin.bids) + len(flow.origin.asks)))
        if group in ("0", "2"):
            return writer.book_of(flow.book.ts, *self._streams.orders(symbol).entries(with_ids=group == "2"))
        return self._streams.diffs(symbol).book()

    def tickers(self, now: int) -> dict[str, dict[str, Any]]:
        """Return all tickers; those of perpetuals with mark, index and open interest."""
        return {symbol: self._ticker(row, now // SECOND) for symbol, row in self._rows.items()}

    def funding(self, symbol: str, now: int) -> dict[str, Any] | None:
        """Return the funding rate of a perpetual, None for others."""
        row = self._rows.get(symbol)
        if row is None or not is_perpetual(row):
            return None
        seconds = now // SECOND
        rate = prices(self._streams.flows[symbol], seconds)[2]
        times = {"timestamp": str(seconds), "next_funding_time": str(next_funding(seconds))}
        return {"funding_rate": rate, "market": wire_name(row), **times}

    def _ticker(self, row: Instrument, now: int) -> dict[str, Any]:
        flow, writer = self._streams.flows[row.symbol], self._streams.writers[row.symbol]
        bid, _, ask, _ = flow.book.top()
        start = flow.origin.top()[0]
        ticker = {
            "timestamp": str(now),
            "open": writer.price(start),
            "high": writer.price(max(start, ask)),
            "low": writer.price(min(start, bid)),
            "last": writer.price(bid),
            "volume": writer.size(int(row.size / row.lot_size) * 1000),
            "vwap": writer.price((start + bid) // 2),
            "bid": writer.price(bid),
            "ask": writer.price(ask),
            "side": "1",
            "open_24": writer.price(start),
            "percent_change_24": f"{(bid - start) / start * 100:.2f}",
            "market_type": "PERPETUAL" if is_perpetual(row) else "SPOT",
            "pair": wire_name(row),
            "market": wire_name(row),
        }
        if is_perpetual(row):
            mark, index, _ = prices(flow, now)
            interest = row.size * 100 + now % 1000 * row.lot_size
            value = f"{interest * Decimal(mark):f}"
            ticker |= {"index_price": index, "mark_price": mark}
            ticker |= {"open_interest": f"{interest:f}", "open_interest_value": value}
        return ticker


class LiveProfile:
    """One place for spot and perpetuals."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline] = ()

    def __init__(self, knobs: Knobs, now: int) -> None:
        self.instruments = instruments(knobs.symbols)
        self._knobs = knobs
        self._market = TimedMarket(self.instruments, knobs, now)
        self._streams = BitstampStreams(self._market, now)
        self._rest = Rest(LiveBooks(self.instruments, self._streams))

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BitstampSession | Reply:
        """Open a connection."""
        return open_session(self._streams, self._knobs, path, query, now)

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
        """Do nothing: times do not start again."""

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of an instrument."""
        return self._market.flows[name].book

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book as of a microtimestamp: the levels of `order_book` if that channel sent it, else all."""
        book = self._market.book_as_of(name, sequence)
        book.sequence = sequence
        stream = self._streams.books.get(f"order_book_{book.instrument.symbol}")
        if stream is not None and sequence in stream.shown:
            for side, worst in ((book.bids, False), (book.asks, True)):
                while len(side) > DEPTH:
                    side.popitem(-1 if worst else 0)
        return book


def _rest_absurd_orders(flow: Flow) -> None:
    """Put orders at absurd prices in place of the worst levels of both sides."""
    _, bid, ask = _ABSURD
    for book in (flow.book, flow.origin):
        book.bids.popitem(0)
        book.asks.popitem(-1)
        book.bids[bid] = 69
        book.asks[int(ask / book.instrument.tick_size)] = 69

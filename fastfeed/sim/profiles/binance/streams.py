"""The market data streams of Binance over a random market: what each makes of an event, and which there are."""

from __future__ import annotations

import re

from fastfeed.sim.market import Event, Flow, Market, Trade
from fastfeed.sim.profiles.binance.bars import bar_stream
from fastfeed.sim.profiles.binance.figures import figure_stream
from fastfeed.sim.profiles.binance.messages import Writer
from fastfeed.sim.profiles.binance.products import SPOT, Product
from fastfeed.sim.streams import LiveStreams, Stream

# Streams of futures that the route /public serves; all others stand on /market.
PUBLIC_KINDS = ("depth", "bookTicker", "trade")
MICROSECONDS = "|us"

_DEPTH = re.compile(r"depth(?:@(\d{1,5})ms)?")


def kind_of(stream: str) -> str:
    """Return the kind of a stream, such as `depth` of `btcusdt@depth@100ms`."""
    return stream.partition("@")[2].partition("@")[0]


class DepthStream:
    """Diffs of the book; `U` to `u` covers the window, or one event where the interval is 0."""

    def __init__(self, writer: Writer, flow: Flow, interval: int) -> None:
        self.interval = interval
        self._writer = writer
        self._flow = flow
        self._previous = flow.book.sequence
        self._first: int | None = None
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def on_event(self, event: Event) -> list[bytes]:
        for change in event.changes:
            if self._first is None:
                self._first = change.sequence
            self._sides[not change.is_bid][change.px] = change.sz
        return [] if self.interval else self.flush(event.ts)

    def flush(self, ts: int) -> list[bytes]:
        if self._first is None:
            return []
        book = self._flow.book
        bids, asks = (sorted(side.items()) for side in self._sides)
        sequences = (self._first, book.sequence, self._previous)
        payload = self._writer.depth(ts, book.ts, sequences, bids[::-1], asks)
        self._previous, self._first = book.sequence, None
        self._sides = ({}, {})
        return [payload]


class BookTickerStream:
    """Best bid and ask, whenever one of them changed."""

    interval = 0

    def __init__(self, writer: Writer, flow: Flow) -> None:
        self._writer = writer
        self._flow = flow
        self._top = flow.book.top()

    def on_event(self, event: Event) -> list[bytes]:
        top = self._flow.book.top()
        if top == self._top:
            return []
        self._top = top
        return [self._writer.book_ticker(event.ts, self._flow.book.sequence, top)]

    def flush(self, ts: int) -> list[bytes]:
        return []


class TradeStream:
    """Every fill."""

    interval = 0

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def on_event(self, event: Event) -> list[bytes]:
        return [self._writer.trade(event.ts, trade) for trade in event.trades]

    def flush(self, ts: int) -> list[bytes]:
        return []


class AggregateStream:
    """Fills of one taker side at one price: of one order (interval 0), or of a window."""

    def __init__(self, writer: Writer, interval: int, first_id: int) -> None:
        self.interval = interval
        self._writer = writer
        self._next_id = first_id
        self._fills: dict[tuple[int, bool], list[Trade]] = {}
        self._event_ts = 0

    def on_event(self, event: Event) -> list[bytes]:
        for trade in event.trades:
            self._fills.setdefault((trade.px, trade.taker_buys), []).append(trade)
            self._event_ts = event.ts
        return [] if self.interval else self.flush(event.ts)

    def flush(self, ts: int) -> list[bytes]:
        payloads = []
        for fills in self._fills.values():
            payloads.append(self._writer.aggregate(ts, self._event_ts, self._next_id, fills))
            self._next_id += 1
        self._fills = {}
        return payloads


class BinanceStreams:
    """All streams of one product that somebody ever subscribed to."""

    def __init__(self, product: Product, market: Market, now: int) -> None:
        self._product = product
        self._flows = {flow.book.instrument.symbol: flow for flow in market.flows.values()}
        self._live = LiveStreams(product.name, market, self._make, now)
        self.next_due = self._live.next_due
        self.advance = self._live.advance

    def resolve(self, stream: str, microseconds: bool) -> str | None:
        """Return the key of the stream that a client names, begin it if it is new; None if there is no such stream."""
        key = stream + MICROSECONDS if microseconds else stream
        return None if self._live.resolve(key) is None else key

    def _make(self, key: str) -> tuple[Stream, Flow] | None:
        stream, bar, _ = key.partition("|")
        symbol = stream.partition("@")[0].upper()
        # Names are lowercase on the wire; one in capitals is accepted and silent.
        if symbol not in self._flows or not stream.startswith(symbol.lower()):
            return None
        flow = self._flows[symbol]
        made = self._make_kind(stream.partition("@")[2], flow, 1_000 if bar else 1_000_000)
        return None if made is None else (made, flow)

    def _make_kind(self, kind: str, flow: Flow, unit: int) -> Stream | None:
        writer = Writer(self._product, flow.book.instrument, unit)
        if match := _DEPTH.fullmatch(kind):
            interval_ms = self._product.depth_ms if match[1] is None else int(match[1])
            return DepthStream(writer, flow, interval_ms * 1_000_000)
        match kind:
            case "bookTicker":
                return BookTickerStream(writer, flow)
            case "trade":
                return TradeStream(writer)
            case "aggTrade":
                interval = 0 if self._product is SPOT else 100_000_000
                return AggregateStream(writer, interval, flow.book.sequence % 10**9)
        # A future is on what the perpetual of its pair is on.
        index = self._flows.get(writer.pair, flow)
        figures = figure_stream(kind, self._product, flow, index, writer)
        return figures or bar_stream(kind, self._product, flow, writer)

"""The channels of Bitstamp over a random market: what each makes of an event.

How often the book channels send was measured on the venue, which documents "every change" (2026-09): whole books after
about 100 ms on spot and 200 ms on perpetuals, differences after about 200 and 600 ms. Neither repeats itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastfeed.sim.interface import Publication
from fastfeed.sim.market import SECOND, Event, Flow, Market
from fastfeed.sim.profiles.bitstamp.markets import VENUE, is_perpetual
from fastfeed.sim.profiles.bitstamp.messages import Writer, envelope
from fastfeed.sim.profiles.bitstamp.orders import DetailStream, OrderStream
from fastfeed.sim.streams import Levels, LiveStreams, ShownBook, Stream

DEPTH = 100
FUNDING_S = 8 * 3600

_MS = SECOND // 1_000
_EVERYTHING = 1 << 60


class BookStream:
    """The best levels of each side, whole, whenever they changed. Nothing is sent for a subscription."""

    def __init__(self, channel: str, writer: Writer, flow: Flow, interval: int) -> None:
        self.interval = interval
        self.first = b""
        self.shown: set[int] = set()
        self._channel = channel
        self._writer = writer
        self._flow = flow
        self._last: tuple[Levels, Levels] = flow.book.levels(DEPTH)
        self._is_changed = False

    def on_event(self, event: Event) -> list[bytes]:
        self._is_changed = True
        return []

    def flush(self, ts: int) -> list[bytes]:
        if not self._is_changed:
            return []
        self._is_changed = False
        book = self._flow.book
        levels = book.levels(DEPTH)
        if levels == self._last:
            return []
        self._last = levels
        self.shown.add(book.ts // 1_000)
        payload = envelope(self._channel, "data", self._writer.book(book.ts, *levels))
        self.first = self.first or payload
        return [payload]


class DiffStream:
    """What differs from the book of the window before. REST shows these same books, so that the next diff fits."""

    def __init__(self, channel: str, writer: Writer, flow: Flow, interval: int) -> None:
        self.interval = interval
        self.ts = flow.book.ts
        self._channel = channel
        self._writer = writer
        self._flow = flow
        # With a depth, a level that went back to what it was is not sent.
        self._shown = ShownBook(flow, _EVERYTHING)

    def book(self) -> str:
        """Return the book as of the end of the last window, as REST shows it."""
        return self._writer.book(self.ts, *self._shown.levels())

    def on_event(self, event: Event) -> list[bytes]:
        self._shown.touch(event)
        return []

    def flush(self, ts: int) -> list[bytes]:
        self.ts = self._flow.book.ts
        diff = self._shown.advance()
        if not diff.bids and not diff.asks:
            return []
        return [envelope(self._channel, "data", self._writer.book(self.ts, *diff))]


class TradeStream:
    """Every fill."""

    interval = 0

    def __init__(self, channel: str, writer: Writer) -> None:
        self._channel = channel
        self._writer = writer

    def on_event(self, event: Event) -> list[bytes]:
        return [envelope(self._channel, "trade", self._writer.trade(event.ts, trade)) for trade in event.trades]

    def flush(self, ts: int) -> list[bytes]:
        return []


class FundingStream:
    """Mark, index and funding rate of a perpetual, once a second whatever happens."""

    interval = SECOND

    def __init__(self, channel: str, flow: Flow) -> None:
        self._channel = channel
        self._flow = flow

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        now = ts // SECOND
        mark, index, rate = prices(self._flow, now)
        data = (
            f'{{"market":"{self._flow.book.instrument.symbol}","mark_price":"{mark}","index_price":"{index}",'
            f'"funding_rate":"{rate}","timestamp":"{now}","next_funding_time":"{next_funding(now)}"}}'
        )
        return [envelope(self._channel, "funding_rate_saved", data)]


def prices(flow: Flow, now: int) -> tuple[str, str, str]:
    """Return mark price, index price and funding rate of a perpetual at a second, in the venue's notation."""
    bid, _, ask, _ = flow.book.top()
    mark = float((bid + ask) * flow.book.instrument.tick_size) / 2
    premium = 100e-6 + now % 60 * 2e-6
    rate = f"{premium:.6f}".rstrip("0")
    return f"{mark:.8f}", repr(mark / (1 + premium)), rate


def next_funding(now: int) -> int:
    """Return the next of the instants 00:00, 08:00 and 16:00 UTC, in seconds."""
    return (now // FUNDING_S + 1) * FUNDING_S


class BitstampStreams:
    """All channels that somebody ever subscribed to."""

    def __init__(self, market: Market, now: int) -> None:
        self.flows = {flow.book.instrument.symbol: flow for flow in market.flows.values()}
        self.writers = {symbol: Writer(flow.book.instrument) for symbol, flow in self.flows.items()}
        self.books: dict[str, BookStream] = {}
        self._diffs: dict[str, DiffStream] = {}
        self._orders: dict[str, OrderStream] = {}
        self._live = LiveStreams(VENUE, market, self._make, now)
        self.next_due = self._live.next_due

    def advance(self, now: int) -> Iterator[Publication]:
        """Let the market run up to `now`."""
        return self._live.advance(now)

    def resolve(self, channel: str) -> bool:
        """Say whether a channel exists, and begin it if it is new."""
        return self._live.resolve(channel) is not None

    def first_book(self, channel: str) -> bytes:
        """Return the first message of a channel of whole books, empty for others."""
        return self.books[channel].first if channel in self.books else b""

    def diffs(self, symbol: str) -> DiffStream:
        """Return the differences of a market, which go on from now if nobody asked before."""
        self._live.resolve(f"diff_order_book_{symbol}")
        return self._diffs[symbol]

    def orders(self, symbol: str) -> OrderStream:
        """Return the single orders of a market."""
        self._live.resolve(f"live_orders_{symbol}")
        return self._orders[symbol]

    def _make(self, channel: str) -> tuple[Stream, Flow] | None:
        kind, _, symbol = channel.rpartition("_")
        flow = self.flows.get(symbol)
        if flow is None:
            return None
        stream = self._make_kind(kind, channel, flow)
        return None if stream is None else (stream, flow)

    def _make_kind(self, kind: str, channel: str, flow: Flow) -> Stream | None:
        instrument = flow.book.instrument
        symbol, writer = instrument.symbol, self.writers[instrument.symbol]
        slow = is_perpetual(instrument)
        match kind:
            case "order_book":
                self.books[channel] = BookStream(channel, writer, flow, (200 if slow else 100) * _MS)
                return self.books[channel]
            case "diff_order_book":
                self._diffs[symbol] = DiffStream(channel, writer, flow, (600 if slow else 200) * _MS)
                return self._diffs[symbol]
            case "live_orders":
                self._orders[symbol] = OrderStream(channel, writer, flow)
                return self._orders[symbol]
            case "detail_order_book":
                return DetailStream(channel, writer, flow, self.orders(symbol), 200 * _MS)
            case "live_trades":
                return TradeStream(channel, writer)
            case "funding_rate" if is_perpetual(instrument):
                return FundingStream(channel, flow)
        return None

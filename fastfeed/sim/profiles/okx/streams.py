"""Which streams a random market has, and what a client gets of them at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from fastfeed.sim.frames import Frame
from fastfeed.sim.interface import Knobs
from fastfeed.sim.market import SECOND, Event, Flow, Instrument, Market
from fastfeed.sim.profiles.okx.books import DeltaStream, Sequence, TopStream, Writer
from fastfeed.sim.profiles.okx.channels import (
    BOOKS,
    BY_TYPE,
    DEFAULT_BOOK,
    MILLISECOND,
    candle_of,
    key_of,
    split_key,
    subject_of,
    topic_of,
)
from fastfeed.sim.profiles.okx.figures import (
    CandleStream,
    Figures,
    FigureStream,
    LiquidationStream,
    TickerStream,
    TradeStream,
)
from fastfeed.sim.profiles.okx.products import SPOT, index_of, listing_row, pays_funding, type_of
from fastfeed.sim.streams import LiveStreams, ShownBook, Stream


class OkxStream(Stream, Protocol):
    """A stream that answers a subscription with what it last said, and knows an older answer if it is a book."""

    stale: bytes

    def first(self) -> bytes:
        """Return what a subscriber gets at once, nothing if empty."""


class OkxStreams:
    """All streams that somebody ever subscribed to.

    Parameters
    ----------
    states : of the instruments by symbol; a change is told in the channel `instruments`
    """

    def __init__(self, endpoint: str, market: Market, states: Mapping[str, str], knobs: Knobs, now: int) -> None:
        self._market = market
        self._flows = {flow.book.instrument.symbol: flow for flow in market.flows.values()}
        self._states = states
        self._has_journal = knobs.journal
        self._codes = {symbol: number for number, symbol in enumerate(self._flows, 10459)}
        self.writers = {symbol: Writer(flow.book.instrument) for symbol, flow in self._flows.items()}
        self.sequences = {symbol: Sequence(flow) for symbol, flow in self._flows.items()}
        self._live = LiveStreams(endpoint, market, self._make, now)
        self.next_due = self._live.next_due
        self.advance = self._live.advance

    def keys(self, arg: Mapping[str, Any]) -> list[str] | None:
        """Return the keys of all streams that a client's argument asks for; None if it names what does not exist."""
        channel, subject = str(arg.get("channel")), subject_of(arg)
        if channel in BY_TYPE:
            rows = [symbol for symbol, flow in self._flows.items() if type_of(flow.book.instrument) == subject]
            keys = [key_of(channel, symbol) for symbol in rows]
        else:
            keys = [key_of(channel, subject)]
        return keys if keys and all(self._live.resolve(key) is not None for key in keys) else None

    def first(self, key: str) -> Frame | None:
        """Return what a new subscriber of a stream gets at once, if there is anything."""
        stream, flow = self._stream(key), self._flow(*split_key(key))
        payload = b"" if stream is None else stream.first()
        if stream is None or flow is None or not payload:
            return None
        return Frame(payload, topic_of(key), flow.book.instrument.name, stale=stream.stale)

    def shown(self, symbol: str) -> ShownBook:
        """Return what the default book channel of an instrument shows; it begins if nobody ever subscribed to it."""
        stream = self._stream(key_of(DEFAULT_BOOK, symbol))
        assert isinstance(stream, DeltaStream)
        return stream.shown

    def listing(self, now: int) -> list[dict[str, Any]]:
        """Return the rows of all instruments."""
        return [self._row(flow.book.instrument, now) for flow in self._flows.values()]

    def _row(self, instrument: Instrument, now: int) -> dict[str, Any]:
        symbol = instrument.symbol
        return listing_row(instrument, self._codes[symbol], self._states.get(symbol, "live"), now)

    def _stream(self, key: str) -> OkxStream | None:
        return cast("OkxStream | None", self._live.resolve(key))

    def _flow(self, channel: str, subject: str) -> Flow | None:
        if channel == "index-tickers":
            return next((flow for flow in self._flows.values() if index_of(flow.book.instrument) == subject), None)
        return self._flows.get(subject)

    def _make(self, key: str) -> tuple[Stream, Flow] | None:
        channel, subject = split_key(key)
        flow = self._flow(channel, subject)
        if flow is None:
            return None
        stream = self._make_channel(channel, flow)
        return None if stream is None else (stream, flow)

    def _make_channel(self, channel: str, flow: Flow) -> OkxStream | None:
        instrument = flow.book.instrument
        writer, sequence = self.writers[instrument.symbol], self.sequences[instrument.symbol]
        if depth := BOOKS.get(channel):
            if depth.is_incremental:
                return DeltaStream(writer, flow, sequence, channel, depth, self._has_journal)
            return TopStream(writer, flow, sequence, channel, depth)
        if candle := candle_of(channel):
            return CandleStream(writer, flow, channel, candle)
        match channel:
            case "trades" | "trades-all":
                return TradeStream(writer, sequence, channel)
            case "tickers":
                return TickerStream(writer, flow)
            case "liquidation-orders" if type_of(instrument) != SPOT:
                return LiquidationStream(writer)
        return self._make_figure(channel, flow)

    def _make_figure(self, channel: str, flow: Flow) -> OkxStream | None:
        instrument = flow.book.instrument
        figures = Figures(flow)
        arg = f'{{"channel":"{channel}","instId":"{instrument.symbol}"}}'
        match channel:
            case "mark-price":
                figure, interval, repeat = figures.mark, 200 * MILLISECOND, 10 * SECOND
            case "index-tickers":
                figure, interval, repeat = figures.index, 100 * MILLISECOND, 60 * SECOND
                arg = f'{{"channel":"{channel}","instId":"{index_of(instrument)}"}}'
            case "funding-rate" if pays_funding(instrument):
                figure, interval, repeat = figures.funding, 60 * SECOND, 0
            case "open-interest" if type_of(instrument) != SPOT:
                figure, interval, repeat = figures.interest, 3 * SECOND, 0
            case "instruments":
                return InstrumentStream(instrument, lambda now: self._row(instrument, now), self._market.next_due())
            case _:
                return None
        return FigureStream(arg, figure, flow.book.ts, interval, repeat)


class InstrumentStream:
    """An instrument's row in the listing, whenever it changed; a subscriber gets nothing at once."""

    interval = SECOND
    stale = b""

    def __init__(self, instrument: Instrument, row: Callable[[int], dict[str, Any]], now: int) -> None:
        self._row = row
        self._said = row(now)
        self._arg = {"channel": "instruments", "instType": type_of(instrument)}

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        row = self._row(ts)
        if row == self._said:
            return []
        self._said = row
        return [json.dumps({"arg": self._arg, "data": [row]}, separators=(",", ":")).encode()]

    def first(self) -> bytes:
        """Return nothing: the channel tells changes only."""
        return b""

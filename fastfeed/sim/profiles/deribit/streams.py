"""The channels of Deribit over a random market: what each makes of an event, and what a new subscriber gets at once."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple, Protocol, cast

from fastfeed.sim.market import SECOND, Event, Flow, Instrument, Market, Trade, TrueBook
from fastfeed.sim.profiles.deribit.messages import DAY, SETTLEMENT_AT, SETTLEMENT_NS, Writer
from fastfeed.sim.profiles.deribit.products import CURRENCIES, KINDS, index_of, matches
from fastfeed.sim.streams import Levels, LiveStreams, ShownBook, Stream

ENDPOINT = "deribit"
DEFAULT_INTERVAL = "100ms"

# `agg2` is measured at about one second; its name and the documentation's words differ.
INTERVALS = {"100ms": SECOND // 10, "agg2": SECOND, "raw": 0}

# Of `book.{i}.{group}.{depth}.{iv}`. Groups count cents for ETH. Source: docs.deribit.com,
# "book.(instrument_name).(group).(depth).(interval)" (2026-07).
GROUPS = {"BTC": ("none", "1", "2", "5", "10"), "ETH": ("none", "5", "10", "25", "100", "250")}
DEPTHS = ("1", "10", "20")
RESOLUTIONS = {**{str(count): count for count in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)}, "1D": 1440}

_WIDE = re.compile(r"(trades|instrument\.state)\.([a-z_]+)\.([A-Za-z]+)(?:\.(\w+))?")


class Opening(NamedTuple):
    """What a new subscriber is sent at once; `stale` is an older one of the same book, empty where there is none."""

    name: str
    data: bytes
    stale: bytes = b""


class Source(Protocol):
    """Where a session finds channels: a random market, or a recording."""

    def resolve(self, channel: str) -> list[str]:
        """Return the keys under which a channel's messages are published; none if there is no such channel."""

    def opening(self, key: str) -> Opening | None:
        """Return what a new subscriber of a key is sent at once."""

    def indices(self) -> list[str]:
        """Return the names of all price indices."""


class ChannelStream(Stream, Protocol):
    """A stream that may have something for a new subscriber."""

    def opening(self) -> Opening | None:
        """Return what a new subscriber is sent at once."""


class BookStream:
    """The book in increments that are chained by `change_id`."""

    def __init__(self, writer: Writer, flow: Flow, interval: int, journal: bool) -> None:
        self.interval = interval
        self.shown = ShownBook(flow, journal=journal)
        self._writer = writer
        self._flow = flow
        self._sequence, self._ts = flow.book.sequence, flow.book.ts
        self._known = (set(self.shown.sides[0]), set(self.shown.sides[1]))
        self._first = self._snapshot()
        self.shown.note(self._sequence)

    def on_event(self, event: Event) -> list[bytes]:
        self.shown.touch(event)
        return [] if self.interval else self.flush(event.ts)

    def flush(self, ts: int) -> list[bytes]:
        diff = self.shown.advance()
        bids, asks = (self._mark(index, levels) for index, levels in enumerate(diff))
        if not bids and not asks:
            return []
        book = self._flow.book
        payload = self._writer.change(book.ts, (self._sequence, book.sequence), bids, asks)
        self._sequence, self._ts = book.sequence, book.ts
        self.shown.note(self._sequence, diff)
        return [payload]

    def opening(self) -> Opening:
        return Opening(self._writer.instrument.name, self._snapshot(), self._first)

    def _snapshot(self) -> bytes:
        return self._writer.snapshot(self._ts, self._sequence, *self.shown.levels())

    def _mark(self, index: int, levels: Levels) -> list[tuple[str, int, int]]:
        """Say of each level what happened to it; one that came and went unseen is left out."""
        known, marked = self._known[index], []
        for px, sz in levels:
            if sz:
                marked.append(("change" if px in known else "new", px, sz))
                known.add(px)
            elif px in known:
                marked.append(("delete", px, 0))
                known.remove(px)
        return marked


class GroupedStream:
    """The best levels, whole, after a window in which anything happened; the same ones may come again."""

    def __init__(self, writer: Writer, flow: Flow, interval: int, depth: int, step: int) -> None:
        self.interval = interval
        self._writer = writer
        self._flow = flow
        self._depth = depth
        self._step = step
        self._is_due = False

    def on_event(self, event: Event) -> list[bytes]:
        self._is_due = True
        return []

    def flush(self, ts: int) -> list[bytes]:
        is_due, self._is_due = self._is_due, False
        return [self._payload()] if is_due else []

    def opening(self) -> Opening:
        return Opening(self._writer.instrument.name, self._payload())

    def _payload(self) -> bytes:
        book = self._flow.book
        bids, asks = book.levels(self._depth if self._step == 1 else len(book.bids) + len(book.asks))
        if self._step > 1:
            bids, asks = (self._group(side, is_ask)[: self._depth] for is_ask, side in enumerate((bids, asks)))
        return self._writer.grouped(book.ts, book.sequence, bids, asks)

    def _group(self, levels: Levels, is_ask: int) -> Levels:
        """Add up what lies between multiples of the step: bids are rounded down, asks up."""
        sums: dict[int, int] = {}
        for px, sz in levels:
            rounded = (-(-px // self._step) if is_ask else px // self._step) * self._step
            sums[rounded] = sums.get(rounded, 0) + sz
        return list(sums.items())


class QuoteStream:
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
        return [self._writer.quote()]

    def flush(self, ts: int) -> list[bytes]:
        return []

    def opening(self) -> Opening:
        return Opening(self._writer.instrument.name, self._writer.quote())


class TradeStream:
    """Fills, in one array a window."""

    def __init__(self, writer: Writer, interval: int) -> None:
        self.interval = interval
        self._writer = writer
        self._trades: list[tuple[int, Trade]] = []

    def on_event(self, event: Event) -> list[bytes]:
        self._trades += [(event.ts, trade) for trade in event.trades]
        return [] if self.interval else self.flush(event.ts)

    def flush(self, ts: int) -> list[bytes]:
        trades, self._trades = self._trades, []
        return [self._writer.trades(trades)] if trades else []

    def opening(self) -> None:
        return None


class TickerStream:
    """The ticker, after a window in which anything happened."""

    def __init__(self, writer: Writer, flow: Flow, interval: int) -> None:
        self.interval = interval
        self._writer = writer
        self._flow = flow
        self._is_due = False

    def on_event(self, event: Event) -> list[bytes]:
        self._is_due = True
        return [] if self.interval else self.flush(event.ts)

    def flush(self, ts: int) -> list[bytes]:
        is_due, self._is_due = self._is_due, False
        return [self._writer.ticker(ts)] if is_due else []

    def opening(self) -> Opening:
        return Opening(self._writer.instrument.name, self._writer.ticker(self._flow.book.ts))


class CandleStream:
    """The candle of now after every trade, and one that only repeats the last price when there was none."""

    def __init__(self, writer: Writer, flow: Flow, interval: int) -> None:
        self.interval = interval
        self._writer = writer
        self._last = flow.book.top()[0]
        self._trades: list[Trade] = []

    def on_event(self, event: Event) -> list[bytes]:
        if not event.trades:
            return []
        self._trades += event.trades
        return [self._payload(event.ts - event.ts % self.interval)]

    def flush(self, ts: int) -> list[bytes]:
        payloads = [] if self._trades else [self._payload(ts - self.interval)]
        self._trades = []
        return payloads

    def opening(self) -> None:
        return None

    def _payload(self, tick: int) -> bytes:
        prices = [trade.px for trade in self._trades] or [self._last]
        self._last = prices[-1]
        instrument = self._writer.instrument
        coins = money = Decimal(0)
        for trade in self._trades:
            price, amount = trade.px * instrument.tick_size, trade.sz * instrument.lot_size
            # Amounts of inverse contracts are USD.
            coins += round(amount / price, 8) if instrument.inverse else amount
            money += amount if instrument.inverse else amount * price
        return self._writer.candle(tick, (prices[0], max(prices), min(prices), prices[-1]), coins, money)


class StateStream:
    """The state of the instrument, when it changes: at the daily settlement and after it."""

    interval = SECOND

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        return [self._writer.state(ts)] if ts % DAY - SETTLEMENT_AT in (0, SETTLEMENT_NS) else []

    def opening(self) -> None:
        return None


class DeribitStreams:
    """All channels that somebody ever subscribed to."""

    def __init__(self, market: Market, journal: bool, now: int) -> None:
        self._flows = {flow.book.instrument.symbol: flow for flow in market.flows.values()}
        self._writers = {symbol: Writer(flow) for symbol, flow in self._flows.items()}
        self._journal = journal
        self._live = LiveStreams(ENDPOINT, market, self._make, now)
        self.next_due = self._live.next_due
        self.advance = self._live.advance

    def resolve(self, channel: str) -> list[str]:
        """Return the keys of a channel; a channel of many instruments has one for each of them."""
        match = _WIDE.fullmatch(channel)
        if match and match[2] in KINDS and match[3] in CURRENCIES:
            rows = [flow.book.instrument for flow in self._flows.values()]
            suffix = f".{match[4]}" if match[4] else ""
            keys = [f"{match[1]}.{row.symbol}{suffix}" for row in rows if matches(row, match[2], match[3])]
        else:
            # The state of one instrument is not a channel of its own.
            keys = [] if channel.startswith("instrument.") else [channel]
        return [key for key in keys if self._live.resolve(key) is not None]

    def opening(self, key: str) -> Opening | None:
        """Return what a new subscriber of a key is sent at once."""
        stream = cast("ChannelStream | None", self._live.resolve(key))
        return None if stream is None else stream.opening()

    def indices(self) -> list[str]:
        """Return the names of all price indices."""
        return sorted({index_of(flow.book.instrument) for flow in self._flows.values()})

    def writer(self, symbol: str) -> Writer | None:
        """Return what writes the messages of an instrument."""
        return self._writers.get(symbol)

    def book_at(self, symbol: str, sequence: int) -> TrueBook:
        """Return the book that the default channel showed at a sequence; ValueError if it did not."""
        stream = self._live.resolve(f"book.{symbol}.{DEFAULT_INTERVAL}")
        assert isinstance(stream, BookStream)
        return stream.shown.at(sequence)

    def _make(self, key: str) -> tuple[Stream, Flow] | None:
        parts = key.split(".")
        symbol = parts[2 if parts[0] in ("chart", "instrument") and len(parts) > 2 else 1] if len(parts) > 1 else ""
        flow = self._flows.get(symbol)
        stream = None if flow is None else self._make_kind(parts, flow, self._writers[symbol])
        return None if flow is None or stream is None else (stream, flow)

    def _make_kind(self, parts: list[str], flow: Flow, writer: Writer) -> Stream | None:
        interval = INTERVALS.get(parts[-1], -1)
        match parts:
            case ["book", _, _] if interval >= 0:
                return BookStream(writer, flow, interval, self._journal and parts[-1] == DEFAULT_INTERVAL)
            case ["book", _, group, depth, _] if interval > 0 and depth in DEPTHS:
                step = _step(flow.book.instrument, group)
                return GroupedStream(writer, flow, interval, int(depth), step) if step else None
            case ["quote", _]:
                return QuoteStream(writer, flow)
            case ["trades", _, _] if interval >= 0:
                return TradeStream(writer, interval)
            case ["ticker", _, _] if interval >= 0:
                return TickerStream(writer, flow, interval)
            case ["chart", "trades", _, resolution] if resolution in RESOLUTIONS:
                return CandleStream(writer, flow, RESOLUTIONS[resolution] * 60 * SECOND)
            case ["instrument", "state", _]:
                return StateStream(writer)
        return None


def _step(instrument: Instrument, group: str) -> int:
    """Return a group in ticks, 1 for none, 0 where the instrument has no such group."""
    if group not in GROUPS.get(instrument.base, ("none",)):
        return 0
    if group == "none":
        return 1
    return max(1, int(Decimal(group) / (100 if instrument.base == "ETH" else 1) / instrument.tick_size))

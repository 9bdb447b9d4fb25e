"""The streams of Kraken Futures over a random market, and what a subscription is answered with.

A key is the feed and the contract, `book:PI_XBTUSD`. The book is sent whole once and then level by level, each change
under a number of its own, which follows the last one without a hole.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from fastfeed.sim.interface import Publication
from fastfeed.sim.market import SECOND, Event, Flow, Market, Trade, TrueBook
from fastfeed.sim.profiles.krakenfutures.wire import MS, Figures, Writer, trade_snapshot
from fastfeed.sim.streams import LiveStreams, Stream

# Tickers come at most once in this time.
TICKER_NS = SECOND

# Trades of a snapshot.
RECENT = 100

# How far below its last number a book begins after a restart of the engine: far enough that none comes twice.
RESTART_BELOW = 1_000_000

HOUR = 3600 * SECOND


class First(NamedTuple):
    """What is sent first for a subscription; `stale` is the same from the past, where it is a book."""

    payload: bytes
    stale: bytes = b""


class Numbering:
    """The numbers of a book on the wire: those of the market, until the engine restarts and counts from lower ones."""

    def __init__(self, first: int) -> None:
        # The market's first number of each epoch, and what is taken off it on the wire.
        self._epochs = [(first, 0)]

    def restart(self, last: int) -> None:
        """Begin again, with the market at its number `last`."""
        self._epochs.append((last, self._epochs[-1][1] + RESTART_BELOW))

    def wire(self, sequence: int) -> int:
        """Return how a number of the market, of now, is written."""
        return sequence - self._epochs[-1][1]

    def market(self, sequence: int, last: int) -> int:
        """Return the market's number of one on the wire, the latest that had it; ValueError if none did."""
        for first, offset in reversed(self._epochs):
            if first <= sequence + offset <= last:
                return sequence + offset
            last = first
        raise ValueError(f"no message with sequence {sequence} was shown")


class Contract:
    """One contract: its book as it was shown, its latest trades, and the figures of its ticker.

    Funding and the index are functions of the seed and the time, so that they do not depend on who asks.
    """

    def __init__(self, flow: Flow, seed: int) -> None:
        self.flow = flow
        self.writer = Writer(flow.book.instrument)
        self.numbering = Numbering(flow.origin.sequence)
        self.shown: TrueBook | None = None
        self.removed: list[int | None] = [None, None]
        self.recent: deque[bytes] = deque(maxlen=RECENT)
        self._seed = f"{seed}/{flow.book.instrument.symbol}"
        rng = Random(self._seed)
        self._phase = rng.random() * math.tau
        self._open_interest = rng.randrange(10**6, 10**8)
        self._volume = rng.randrange(10**6, 10**8)
        self._last = self._open = self._high = self._low = flow.book.top()[0]

    def take_trade(self, trade: Trade, payload: bytes) -> None:
        """Count a trade into the figures and the history."""
        self.recent.appendleft(payload)
        self._volume += trade.sz
        self._open_interest += trade.sz if trade.taker_buys else -min(trade.sz, self._open_interest)
        self._last = trade.px
        self._high, self._low = max(self._high, trade.px), min(self._low, trade.px)

    def figures(self, ts: int) -> Figures:
        """Return what the ticker says at `ts`."""
        bid, _, ask, _ = self.flow.book.top()
        mark = (bid + ask) / 2 * float(self.flow.book.instrument.tick_size)
        hour = ts // HOUR
        return Figures(
            index_price=mark * (1 + 1e-3 * math.sin(ts / (60 * SECOND) + self._phase)),
            mark_price=mark,
            last=self._last,
            open=self._open,
            high=self._high,
            low=self._low,
            volume=self._volume,
            open_interest=self._open_interest,
            funding=self._funding(hour),
            next_funding=self._funding(hour + 1),
            next_funding_ms=(hour + 1) * HOUR // MS,
        )

    def _funding(self, hour: int) -> float:
        """Return the rate of an hour, which is zero in some of them."""
        rng = Random(f"{self._seed}/{hour}")
        return 0.0 if rng.random() < 0.25 else round(rng.gauss(0, 1e-5), 15)

    def snapshot(self) -> First:
        """Return the book of now, with a level of size zero a side where one was removed lately."""
        book = self.flow.book
        sides = book.levels(len(book.bids) + len(book.asks))
        for levels, true, px in zip(sides, (book.bids, book.asks), self.removed, strict=True):
            if px is not None and px not in true:
                levels.append((px, 0))
                levels.sort(reverse=levels is sides[0])
        origin = self.flow.origin
        old = origin.levels(len(origin.bids) + len(origin.asks))
        return First(
            self.writer.snapshot(book.ts, self.numbering.wire(book.sequence), *sides),
            self.writer.snapshot(origin.ts, origin.sequence, *old),
        )

    def first(self, feed: str, ts: int) -> First:
        """Return what a new subscription to a feed is sent."""
        top = self.flow.book.top()
        match feed:
            case "book":
                return self.snapshot()
            case "trade":
                return First(trade_snapshot(self.flow.book.instrument.symbol, self.recent))
            case "ticker":
                return First(self.writer.ticker(ts, top, self.figures(ts)))
        return First(self.writer.ticker_lite(ts, top, self.figures(ts)))


class BookStream:
    """One message a level. The shown book follows message by message, though an event changes several levels."""

    interval = 0

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        contract.shown = contract.flow.book.copy()

    def on_event(self, event: Event) -> Iterator[bytes]:
        contract = self._contract
        assert contract.shown is not None
        for change in event.changes:
            contract.shown.apply(change)
            contract.shown.ts = event.ts
            if not change.sz:
                contract.removed[not change.is_bid] = change.px
            yield contract.writer.delta(event.ts, contract.numbering.wire(change.sequence), change)

    def flush(self, ts: int) -> list[bytes]:
        return []


class TradeStream:
    """Every fill."""

    interval = 0

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def on_event(self, event: Event) -> list[bytes]:
        payloads = []
        for trade in event.trades:
            payload = self._contract.writer.trade(event.ts, trade)
            self._contract.take_trade(trade, payload)
            payloads.append(payload)
        return payloads

    def flush(self, ts: int) -> list[bytes]:
        return []


class TickerStream:
    """The figures, once a window in which something happened."""

    interval = TICKER_NS

    def __init__(self, contract: Contract, feed: str) -> None:
        self._contract = contract
        self._feed = feed
        self._is_stirred = False

    def on_event(self, event: Event) -> Iterable[bytes]:
        self._is_stirred = True
        return ()

    def flush(self, ts: int) -> list[bytes]:
        if not self._is_stirred:
            return []
        self._is_stirred = False
        return [self._contract.first(self._feed, ts).payload]


class LiveSource:
    """The contracts of a random market, and all streams that somebody ever subscribed to."""

    def __init__(self, endpoint: str, market: Market, seed: int, now: int) -> None:
        self.contracts = {flow.book.instrument.symbol: Contract(flow, seed) for flow in market.flows.values()}
        self._live = LiveStreams(endpoint, market, self._make, now)
        self.next_due = self._live.next_due
        # Trades have a history, and figures depend on them, whether anybody listens or not.
        for symbol in self.contracts:
            self._live.resolve(f"trade:{symbol}")

    def advance(self, now: int) -> Iterator[Publication]:
        """Let the market run up to `now`."""
        return self._live.advance(now)

    def symbol(self, product_id: str) -> str | None:
        """Return the symbol that a client names in any case; None if there is none."""
        symbol = product_id.upper()
        return symbol if symbol in self.contracts else None

    def name(self, symbol: str) -> str:
        """Return the name of a listed contract."""
        return self.contracts[symbol].flow.book.instrument.name

    def subscribe(self, feed: str, symbol: str, now: int) -> First | None:
        """Begin the stream if it is new, and return what the subscriber is sent first."""
        self._live.resolve(f"{feed}:{symbol}")
        return self.contracts[symbol].first(feed, now)

    def _make(self, key: str) -> tuple[Stream, Flow]:
        feed, _, symbol = key.partition(":")
        contract = self.contracts[symbol]
        match feed:
            case "book":
                return BookStream(contract), contract.flow
            case "trade":
                return TradeStream(contract), contract.flow
        return TickerStream(contract, feed), contract.flow

"""Binance's tickers, mark prices and forced orders over a random market.

What a book does not tell (yesterday, marks, indices, funding) is made up from it: plausible, and the same for the same
seed. Source: developers.binance.com, "Individual Symbol Ticker Streams" of spot (2026-07) and of USDS-margined futures,
"Mark Price Stream" and "Liquidation Order Streams" (2026-08).
"""

from __future__ import annotations

from decimal import Decimal

from fastfeed.sim.market import SECOND, Event, Flow, Trade
from fastfeed.sim.profiles.binance.messages import Writer
from fastfeed.sim.profiles.binance.products import SPOT, Product
from fastfeed.sim.streams import Stream

DAY_NS = 86400 * SECOND
FUNDING_PERIOD_NS = 8 * 3600 * SECOND

# Trades of the day before the first that was seen.
EARLIER_TRADES = 100_000

# One in so many trades has a forced order as its taker.
FORCED_SHARE = 16


def figure_stream(kind: str, product: Product, flow: Flow, index: Flow, writer: Writer) -> Stream | None:
    """Return the stream of a kind; None if there is no such. `index` is the flow of what the contract is on."""
    if kind in ("ticker", "miniTicker"):
        return TickerStream(writer, flow, product.ticker_ms * 1_000_000, is_mini=kind == "miniTicker")
    if product is SPOT:
        return None
    match kind:
        case "markPrice":
            return MarkStream(writer, flow, index, 3 * SECOND)
        case "markPrice@1s":
            return MarkStream(writer, flow, index, SECOND)
        case "forceOrder":
            return ForcedOrderStream(writer)
    return None


class TickerStream:
    """Statistics of 24 hours, after each interval with trades.

    {"e":"24hrTicker","E":1,"s":"BTCUSDT","p":"-1.0","P":"-1.000","w":"99.5","x":"100.0","c":"99.0","Q":"1.0","b":"99.0",
    "B":"1.0","a":"99.1","A":"1.0","o":"100.0","h":"100.0","l":"99.0","v":"2.0","q":"199.0","O":0,"C":1,"F":1,"L":2,
    "n":2}; USD-M has none of x, b, B, a, A, and ends with "ps":"BTCUSDT","st":1
    The mini one: {"e":"24hrMiniTicker","E":1,"s":"BTCUSDT","c":"99.0","o":"100.0","h":"100.0","l":"99.0","v":"2.0",
    "q":"199.0"}; on USD-M with the same end
    """

    def __init__(self, writer: Writer, flow: Flow, interval: int, is_mini: bool) -> None:
        self.interval = interval
        self._is_mini = is_mini
        self._writer = writer
        self._book = flow.book
        price = flow.book.top()[0]
        self._open = self._high = max(1, price * 101 // 100)
        self._low = price
        self._first_id = 0
        self._last: Trade | None = None
        self._size = self._worth = 0
        self._is_touched = False

    def on_event(self, event: Event) -> list[bytes]:
        for trade in event.trades:
            if self._last is None:
                self._first_id = trade.trade_id - EARLIER_TRADES
                self._size = EARLIER_TRADES * trade.sz
                self._worth = self._size * self._open
            self._last = trade
            self._high, self._low = max(self._high, trade.px), min(self._low, trade.px)
            self._size += trade.sz
            self._worth += trade.sz * trade.px
            self._is_touched = True
        return []

    def flush(self, ts: int) -> list[bytes]:
        if self._last is None or not self._is_touched:
            return []
        self._is_touched = False
        return [self._message(ts, self._last)]

    def _message(self, ts: int, last: Trade) -> bytes:
        writer = self._writer
        head = f'"E":{ts // writer.unit},"s":"{writer.symbol}"'
        close = f'"c":"{writer.price(last.px)}"'
        day = (
            f'"o":"{writer.price(self._open)}","h":"{writer.price(self._high)}","l":"{writer.price(self._low)}",'
            f'"v":"{writer.size(self._size)}","q":"{writer.worth(self._worth)}"'
        )
        end = "" if writer.is_spot else f',"ps":"{writer.pair}","st":1'
        if self._is_mini:
            return f'{{"e":"24hrMiniTicker",{head},{close},{day}{end}}}'.encode()
        change = last.px - self._open
        before = quote = ""
        if writer.is_spot:
            bid, bid_sz, ask, ask_sz = self._book.top()
            before = f'"x":"{writer.price(self._open)}",'
            quote = (
                f'"b":"{writer.price(bid)}","B":"{writer.size(bid_sz)}",'
                f'"a":"{writer.price(ask)}","A":"{writer.size(ask_sz)}",'
            )
        return (
            f'{{"e":"24hrTicker",{head},"p":"{"-" * (change < 0)}{writer.price(abs(change))}",'
            f'"P":"{Decimal(100 * change) / self._open:.3f}","w":"{writer.price(self._worth // self._size)}",{before}'
            f'{close},"Q":"{writer.size(last.sz)}",{quote}{day},"O":{(ts - DAY_NS) // writer.unit},'
            f'"C":{ts // writer.unit},"F":{self._first_id},"L":{last.trade_id},'
            f'"n":{last.trade_id - self._first_id + 1}{end}}}'
        ).encode()


class MarkStream:
    """Mark, index and funding, whether anything happened or not; what is delivered has no funding.

    {"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"67120.10000000","ap":"67119.90000000","i":"67118.55000000",
    "P":"67121.00000000","r":"0.00010000","T":1785024000000,"st":1}; a dated future: "r":"","T":0
    """

    def __init__(self, writer: Writer, flow: Flow, index: Flow, interval: int) -> None:
        self.interval = interval
        self._writer = writer
        self._flow = flow
        self._index = index
        self._is_dated = flow.book.instrument.expiry is not None
        self._average = _middle(flow)

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        mark = _middle(self._flow)
        # It wanders around two basis points below the perpetual, by the second.
        index = _middle(self._index) * (1 - Decimal(2000 + ts // SECOND * 7919 % 6001 - 3000).scaleb(-7))
        self._average += (mark - self._average) / 16
        rate, due = "", 0
        if not self._is_dated:
            rate = f"{(mark - index) / index / 2:.8f}"
            due = (ts // FUNDING_PERIOD_NS + 1) * FUNDING_PERIOD_NS // self._writer.unit
        return [
            (
                f'{{"e":"markPriceUpdate","E":{ts // self._writer.unit},"s":"{self._writer.symbol}","p":"{mark:.8f}",'
                f'"ap":"{self._average:.8f}","i":"{index:.8f}","P":"{index:.8f}","r":"{rate}","T":{due},"st":1}}'
            ).encode()
        ]


class ForcedOrderStream:
    """The latest forced order of each second that has one.

    {"e":"forceOrder","E":1,"ps":"BTCUSDT","st":1,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",
    "p":"9870.30","ap":"9910.00","X":"FILLED","l":"0.014","z":"0.014","T":1}}
    """

    interval = SECOND

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._latest: tuple[int, Trade] | None = None

    def on_event(self, event: Event) -> list[bytes]:
        for trade in event.trades:
            if trade.trade_id % FORCED_SHARE == 0:
                self._latest = event.ts, trade
        return []

    def flush(self, ts: int) -> list[bytes]:
        if self._latest is None:
            return []
        (event_ts, trade), self._latest = self._latest, None
        writer, size = self._writer, self._writer.size(trade.sz)
        # Its limit is where the position is bankrupt: beyond the price that it gets.
        limit = trade.px * (1004 if trade.taker_buys else 996) // 1000
        return [
            (
                f'{{"e":"forceOrder","E":{ts // writer.unit},"ps":"{writer.pair}","st":1,"o":{{"s":"{writer.symbol}",'
                f'"S":"{"BUY" if trade.taker_buys else "SELL"}","o":"LIMIT","f":"IOC","q":"{size}",'
                f'"p":"{writer.price(limit)}","ap":"{writer.price(trade.px)}","X":"FILLED","l":"{size}","z":"{size}",'
                f'"T":{event_ts // writer.unit}}}}}'
            ).encode()
        ]


def _middle(flow: Flow) -> Decimal:
    bid, _, ask, _ = flow.book.top()
    return (bid + ask) * flow.book.instrument.tick_size / 2

"""Binance's bars (klines) over a random market.

Source: developers.binance.com, "Kline/Candlestick Streams" of spot (2026-07) and of USDS-margined futures (2026-08).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastfeed.sim.market import SECOND, Event, Flow, Trade
from fastfeed.sim.profiles.binance.messages import Writer, text_of
from fastfeed.sim.profiles.binance.products import SPOT, Product

_STREAM = re.compile(r"kline_(\d+[smhdwM])(@\+08:00)?")

_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND, "w": 7 * 86400 * SECOND}

# The first Monday after the epoch.
_MONDAY = 4 * 86400 * SECOND


def bar_stream(kind: str, product: Product, flow: Flow, writer: Writer) -> BarStream | None:
    """Return the stream `kline_1m`, or on spot `kline_1m@+08:00`; None if there is no such."""
    match = _STREAM.fullmatch(kind)
    if match is None or match[1] not in product.bars or (match[2] and product is not SPOT):
        return None
    interval_ms = 1000 if match[1].endswith("s") else product.bar_ms
    return BarStream(writer, flow, match[1], interval_ms * 1_000_000, 8 * _UNITS["h"] if match[2] else 0)


def bounds(length: str, ts: int, offset: int = 0) -> tuple[int, int]:
    """Return when the bar of `ts` begins and when the next one does, ns; `offset` is that of the time zone."""
    local = ts + offset
    if length == "1M":
        day = datetime.fromtimestamp(local // SECOND, UTC).replace(day=1, hour=0, minute=0, second=0)
        ends = (day + timedelta(days=31)).replace(day=1)
        return int(day.timestamp()) * SECOND - offset, int(ends.timestamp()) * SECOND - offset
    period = int(length[:-1]) * _UNITS[length[-1]]
    start = local - (local - (_MONDAY if length == "1w" else 0)) % period
    return start - offset, start + period - offset


@dataclass(slots=True)
class Bar:
    """One bar, in ticks and lots; without a trade so far it stands at the last price, and its ids are -1."""

    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    first_id: int = -1
    last_id: int = -1
    count: int = 0
    size: int = 0
    worth: int = 0
    bought: int = 0
    paid: int = 0

    def add(self, trade: Trade) -> None:
        """Take a fill into it."""
        if not self.count:
            self.first_id = trade.trade_id
            self.open = self.high = self.low = trade.px
        self.last_id = trade.trade_id
        self.high, self.low, self.close = max(self.high, trade.px), min(self.low, trade.px), trade.px
        self.count += 1
        self.size += trade.sz
        self.worth += trade.sz * trade.px
        if trade.taker_buys:
            self.bought += trade.sz
            self.paid += trade.sz * trade.px


class BarStream:
    """The bar of now, after each interval with trades, and each bar once more when it is closed.

    {"e":"kline","E":1,"s":"BTCUSDT","k":{"t":0,"T":59999,"s":"BTCUSDT","i":"1m","f":1,"L":2,"o":"1.0","c":"1.0",
    "h":"1.0","l":"1.0","v":"2.0","n":2,"x":false,"q":"2.0","V":"1.0","Q":"1.0","B":"0"}}
    """

    def __init__(self, writer: Writer, flow: Flow, length: str, interval: int, offset: int) -> None:
        self.interval = interval
        self._writer = writer
        self._length = length
        self._offset = offset
        self._bar = self._begin(flow.book.ts, flow.book.top()[0])
        self._is_touched = False

    def on_event(self, event: Event) -> list[bytes]:
        for trade in event.trades:
            self._bar.add(trade)
            self._is_touched = True
        return []

    def flush(self, ts: int) -> list[bytes]:
        bar = self._bar
        is_closed = ts >= bar.end
        if not is_closed and not self._is_touched:
            return []
        self._is_touched = False
        if is_closed:
            self._bar = self._begin(ts, bar.close)
        return [self._message(ts, bar, is_closed)]

    def _begin(self, ts: int, px: int) -> Bar:
        return Bar(*bounds(self._length, ts, self._offset), px, px, px, px)

    def _message(self, ts: int, bar: Bar, is_closed: bool) -> bytes:
        writer = self._writer
        first, last = bar.start // writer.unit, bar.end // writer.unit - 1
        return (
            f'{{"e":"kline","E":{ts // writer.unit},"s":"{writer.symbol}","k":{{"t":{first},"T":{last},'
            f'"s":"{writer.symbol}","i":"{self._length}","f":{bar.first_id},"L":{bar.last_id},'
            f'"o":"{writer.price(bar.open)}","c":"{writer.price(bar.close)}","h":"{writer.price(bar.high)}",'
            f'"l":"{writer.price(bar.low)}","v":"{writer.size(bar.size)}","n":{bar.count},"x":{text_of(is_closed)},'
            f'"q":"{writer.worth(bar.worth)}","V":"{writer.size(bar.bought)}","Q":"{writer.worth(bar.paid)}","B":"0"}}}}'
        ).encode()

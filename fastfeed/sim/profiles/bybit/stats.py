"""Tickers, bars and liquidations of Bybit, made up from the random market's trades.

Sources: bybit-exchange.github.io/docs/v5/websocket, "Ticker", "Kline" and "All Liquidation" (2026-07).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from fastfeed.sim.market import SECOND, Event, Flow, Instrument
from fastfeed.sim.profiles.bybit.products import FUNDING_MINUTES, OPTION, SPOT, Product
from fastfeed.sim.profiles.bybit.streams import ClientStream, Direction, Writer

HOUR = 3600 * SECOND
FUNDING_NS = FUNDING_MINUTES * 60 * SECOND

# Share of the takers that are somebody's liquidation.
LIQUIDATED_SHARE = 0.1

BAR_MINUTES = {text: int(text) for text in ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720")}
BAR_INTERVALS = (*BAR_MINUTES, "D", "W", "M")


class TickerStream(ClientStream):
    """Statistics of a day: futures send what changed since the last message, spot and options everything."""

    def __init__(self, product: Product, writer: Writer, topic: str, flow: Flow, rng: Random) -> None:
        self.interval = product.ticker_ms * 1_000_000
        self._product = product
        self._writer = writer
        self._topic = topic
        self._flow = flow
        self._instrument = flow.book.instrument
        self._basis = rng.randrange(1, 20)
        self._rate = rng.randrange(-30_000, 40_000)
        self._last = self._open = self._high = self._low = flow.book.top()[0]
        self._volume = self._interest = 10_000 * max(1, int(self._instrument.size / self._instrument.lot_size))
        self._turnover = turnover(self._instrument, self._last, self._volume)
        self._direction = Direction(self._last)
        self._is_changed = False
        self._sent = self._fields(flow.book.ts)

    def on_event(self, event: Event) -> list[bytes]:
        self._is_changed = True
        for trade in event.trades:
            self._last = trade.px
            self._high, self._low = max(self._high, trade.px), min(self._low, trade.px)
            self._volume += trade.sz
            self._interest += trade.sz if trade.taker_buys else -(trade.sz // 2)
            self._turnover += turnover(self._instrument, trade.px, trade.sz)
            self._direction.move(trade.px)
        return []

    def flush(self, ts: int) -> list[bytes]:
        if not self._is_changed:
            return []
        self._is_changed = False
        fields = self._fields(ts)
        changed = {key: value for key, value in fields.items() if self._sent.get(key) != value}
        self._sent = fields
        if not changed:
            return []
        if self._product in (SPOT, OPTION):
            return [self._message("snapshot", ts, fields)]
        return [self._message("delta", ts, {"symbol": self._instrument.symbol, **changed})]

    def first(self, now: int) -> bytes:
        return self._message("snapshot", now, self._sent)

    def _message(self, kind: str, ts: int, fields: dict[str, str]) -> bytes:
        """Return a ticker; spot writes `cs` and `ts` before `data`, futures behind it, options have no `cs`."""
        data = "{" + ",".join([f'"{key}":"{value}"' for key, value in fields.items()]) + "}"
        sequence, ms = self._flow.book.sequence, ts // 1_000_000
        if self._product is OPTION:
            return (self._writer.head(self._topic, kind, ts, sequence) + data + "}").encode()
        if self._product is SPOT:
            return f'{{"topic":"{self._topic}","ts":{ms},"type":"{kind}","cs":{sequence},"data":{data}}}'.encode()
        return f'{{"topic":"{self._topic}","type":"{kind}","data":{data},"cs":{sequence},"ts":{ms}}}'.encode()

    def _fields(self, ts: int) -> dict[str, str]:
        price, size = self._writer.price, self._writer.size
        bid, bid_sz, ask, ask_sz = self._flow.book.top()
        mark = (bid + ask) // 2
        index = max(1, mark - self._basis)
        change = f"{(self._last - self._open) / self._open:.6f}"
        day = {"highPrice24h": price(self._high), "lowPrice24h": price(self._low)}
        totals = {"turnover24h": f"{self._turnover:.4f}", "volume24h": size(self._volume)}
        symbol = {"symbol": self._instrument.symbol}
        if self._product is SPOT:
            return {
                **symbol,
                "lastPrice": price(self._last),
                **day,
                "prevPrice24h": price(self._open),
                "volume24h": totals["volume24h"],
                "turnover24h": totals["turnover24h"],
                "price24hPcnt": change,
                "usdIndexPrice": price(index),
            }
        if self._product is OPTION:
            underlying = f"{67000 + (mark - self._open) * 5}.1"
            return {
                **symbol,
                "bidPrice": price(bid),
                "bidSize": size(bid_sz),
                "bidIv": "0.4412",
                "askPrice": price(ask),
                "askSize": size(ask_sz),
                "askIv": "0.4618",
                "lastPrice": price(self._last),
                **day,
                "markPrice": f"{price(mark)}.00482911",
                "indexPrice": underlying,
                "markPriceIv": "0.4512",
                "underlyingPrice": underlying,
                "openInterest": size(self._interest),
                **totals,
                "totalVolume": size(self._volume),
                "totalTurnover": totals["turnover24h"],
                "delta": "0.47831",
                "gamma": "0.00021453",
                "vega": "81.351067",
                "theta": "-19.9115368",
                "predictedDeliveryPrice": "0",
                "change24h": change,
            }
        value = turnover(self._instrument, mark, self._interest)
        return {
            **symbol,
            "tickDirection": self._direction.name,
            "price24hPcnt": change,
            "lastPrice": price(self._last),
            "prevPrice24h": price(self._open),
            **day,
            "prevPrice1h": price(self._open),
            "markPrice": price(mark),
            "indexPrice": price(index),
            # Of both sides together, and of one.
            "openInterest": size(2 * self._interest),
            "openInterestValue": f"{2 * value:.4f}",
            "singleOpenInterest": size(self._interest),
            "singleOpenInterestValue": f"{value:.4f}",
            **totals,
            **self._terms(ts, mark, index),
            "bid1Price": price(bid),
            "bid1Size": size(bid_sz),
            "ask1Price": price(ask),
            "ask1Size": size(ask_sz),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def _terms(self, ts: int, mark: int, index: int) -> dict[str, str]:
        """Return the funding of a perpetual, or the delivery of a dated future, whose funding is empty."""
        expiry = self._instrument.expiry
        if expiry is None:
            rate = self._rate + ts // (60 * SECOND) % 7
            due = (ts // FUNDING_NS + 1) * FUNDING_NS // 1_000_000
            hours = str(FUNDING_MINUTES // 60)
            funding = {"nextFundingTime": str(due), "fundingRate": f"{rate / 10**8:.8f}"}
            return {"fundingIntervalHour": hours, "fundingCap": "0.005", **funding}
        basis = f"{(mark - index) / index:.8f}"
        return {
            "deliveryTime": f"{datetime.fromtimestamp(expiry / SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "basisRate": basis,
            "deliveryFeeRate": "0",
            "predictedDeliveryPrice": "0.00",
            "basis": self._writer.price(mark - index),
            "basisRateYear": basis,
            "nextFundingTime": "",
            "fundingRate": "",
        }


@dataclass(slots=True)
class Bar:
    """One bar, in ticks and lots; times in ns, `end` is the next one's start."""

    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    traded_at: int
    volume: int = 0
    turnover: Decimal = Decimal(0)


class BarStream(ClientStream):
    """Bars of one interval: every second that had trades, and closed at the end."""

    interval = SECOND

    def __init__(self, writer: Writer, topic: str, flow: Flow, length: str, now: int) -> None:
        self._writer = writer
        self._topic = topic
        self._instrument = flow.book.instrument
        self._length = length
        self._bar = self._begin(flow.book.top()[0], now)
        self._is_changed = False

    def on_event(self, event: Event) -> list[bytes]:
        bar = self._bar
        for trade in event.trades:
            bar.high, bar.low, bar.close = max(bar.high, trade.px), min(bar.low, trade.px), trade.px
            bar.volume += trade.sz
            bar.turnover += turnover(self._instrument, trade.px, trade.sz)
            bar.traded_at, self._is_changed = event.ts, True
        return []

    def flush(self, ts: int) -> list[bytes]:
        bar, is_closed = self._bar, ts >= self._bar.end
        if not is_closed and not self._is_changed:
            return []
        self._is_changed = False
        if is_closed:
            self._bar = self._begin(bar.close, ts)
        return [self._message(ts, bar, is_closed)]

    def _begin(self, px: int, ts: int) -> Bar:
        return Bar(*bar_of(self._length, ts), px, px, px, px, ts)

    def _message(self, ts: int, bar: Bar, is_closed: bool) -> bytes:
        price, size = self._writer.price, self._writer.size
        times = f'"start":{bar.start // 1_000_000},"end":{bar.end // 1_000_000 - 1},"interval":"{self._length}"'
        prices = (
            f'"open":"{price(bar.open)}","close":"{price(bar.close)}",'
            f'"high":"{price(bar.high)}","low":"{price(bar.low)}"'
        )
        sums = f'"volume":"{size(bar.volume)}","turnover":"{bar.turnover:.4f}"'
        end = f'"confirm":{"true" if is_closed else "false"},"timestamp":{bar.traded_at // 1_000_000}'
        data = f"[{{{times},{prices},{sums},{end}}}]"
        return f'{{"topic":"{self._topic}","data":{data},"ts":{ts // 1_000_000},"type":"snapshot"}}'.encode()


class LiquidationStream(ClientStream):
    """Positions that were liquidated; the side is that of the position: Buy where a long was sold."""

    interval = SECOND // 2

    def __init__(self, writer: Writer, topic: str, flow: Flow, rng: Random) -> None:
        self._writer = writer
        self._topic = topic
        self._symbol = flow.book.instrument.symbol
        self._rng = rng
        self._rows: list[str] = []

    def on_event(self, event: Event) -> list[bytes]:
        if event.trades and self._rng.random() < LIQUIDATED_SHARE:
            last = event.trades[-1]
            size = self._writer.size(sum(trade.sz for trade in event.trades))
            side = "Sell" if last.taker_buys else "Buy"
            self._rows.append(
                f'{{"T":{event.ts // 1_000_000},"s":"{self._symbol}","S":"{side}","v":"{size}",'
                f'"p":"{self._writer.price(last.px)}"}}'
            )
        return []

    def flush(self, ts: int) -> list[bytes]:
        rows, self._rows = self._rows, []
        if not rows:
            return []
        return [f"{self._writer.head(self._topic, 'snapshot', ts, 0)}[{','.join(rows)}]}}".encode()]


def turnover(instrument: Instrument, px: int, sz: int) -> Decimal:
    """Return what a fill was worth: in the quote, of an inverse contract in the base."""
    price, size = px * instrument.tick_size, sz * instrument.lot_size
    return size / price if instrument.inverse else size * price


def bar_of(length: str, ts: int) -> tuple[int, int]:
    """Return when the bar around `ts` begins and ends, ns; weeks begin on Monday."""
    if length in BAR_MINUTES:
        step = BAR_MINUTES[length] * 60 * SECOND
        start = ts - ts % step
        return start, start + step
    day = datetime.fromtimestamp(ts // SECOND, UTC).replace(hour=0, minute=0, second=0)
    if length == "D":
        end = day + timedelta(days=1)
    elif length == "W":
        day -= timedelta(days=day.weekday())
        end = day + timedelta(days=7)
    else:
        day = day.replace(day=1)
        end = (day + timedelta(days=32)).replace(day=1)
    return int(day.timestamp()) * SECOND, int(end.timestamp()) * SECOND

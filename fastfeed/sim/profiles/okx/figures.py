"""The other channels over a random market: trades, tickers, candles, and what derivatives have besides.

Marks, indices, funding and open interest are made up from the book: plausible, and the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fastfeed.sim.market import SECOND, Event, Flow, Trade
from fastfeed.sim.profiles.okx.books import Sequence, Writer
from fastfeed.sim.profiles.okx.channels import MILLISECOND, Candle
from fastfeed.sim.profiles.okx.products import SPOT, index_of, text, type_of

FUNDING_PERIOD_NS = 8 * 3600 * SECOND
LIQUIDATION_SHARE = 16


class TradeStream:
    """Fills: of one taker order at one price together (`trades`), or each (`trades-all`).

    Raw: {"arg":{..},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"130639474","px":"67123.5","sz":"12.3","side":"buy",
    "ts":"1785000000097","count":"3","source":"0","seqId":15}]}
    """

    interval = 0
    stale = b""

    def __init__(self, writer: Writer, sequence: Sequence, channel: str) -> None:
        self._writer = writer
        self._sequence = sequence
        self._channel = channel
        self._last = b""

    def on_event(self, event: Event) -> list[bytes]:
        if self._writer.is_auction or not event.trades:
            return []
        payloads = [self._message(event.ts, fills) for fills in self._groups(event.trades)]
        self._last = payloads[-1]
        return payloads

    def flush(self, ts: int) -> list[bytes]:
        return []

    def first(self) -> bytes:
        """Return the last trade, nothing before there was one."""
        return self._last

    def _groups(self, trades: list[Trade]) -> list[list[Trade]]:
        if self._channel == "trades-all":
            return [[trade] for trade in trades]
        groups: dict[int, list[Trade]] = {}
        for trade in trades:
            groups.setdefault(trade.px, []).append(trade)
        return list(groups.values())

    def _message(self, ts: int, fills: list[Trade]) -> bytes:
        writer, last = self._writer, fills[-1]
        deal = (
            f'{{"instId":"{writer.instrument.symbol}","tradeId":"{last.trade_id}","px":"{writer.price(last.px)}",'
            f'"sz":"{writer.size(sum(fill.sz for fill in fills))}","side":"{_side(last.taker_buys)}",'
            f'"ts":"{_ms(ts)}"'
        )
        if self._channel == "trades-all":
            return writer.push(self._channel, f'{deal},"source":"0"}}')
        seq = self._sequence.now()
        return writer.push(self._channel, f'{deal},"count":"{len(fills)}","source":"0","seqId":{seq}}}')


class TickerStream:
    """Last trade, best levels and the day's figures, at most every 100 ms."""

    interval = 100 * MILLISECOND
    stale = b""

    def __init__(self, writer: Writer, flow: Flow) -> None:
        self._writer = writer
        self._flow = flow
        bid = flow.book.top()[0]
        self._open = max(1, bid * 99 // 100)
        self._last = Trade(0, bid, 1, True)
        self._range = self._open, max(bid, self._open)
        self._volume = 1_000_000
        self._shown = self._message(flow.book.ts)
        self._is_touched = False

    def on_event(self, event: Event) -> list[bytes]:
        self._is_touched = True
        for trade in () if self._writer.is_auction else event.trades:
            self._last = trade
            self._range = min(self._range[0], trade.px), max(self._range[1], trade.px)
            self._volume += trade.sz
        return []

    def flush(self, ts: int) -> list[bytes]:
        if not self._is_touched:
            return []
        self._is_touched = False
        self._shown = self._message(ts)
        return [self._shown]

    def first(self) -> bytes:
        """Return the ticker as last sent."""
        return self._shown

    def _message(self, ts: int) -> bytes:
        writer, instrument = self._writer, self._writer.instrument
        bid, bid_sz, ask, ask_sz = self._flow.book.top()
        begin = writer.price(self._open)
        volume = self._volume * instrument.lot_size
        price = self._last.px * instrument.tick_size
        # Of spot in the quote, else in the base.
        worth = volume * instrument.contract_size * (1 / price if instrument.inverse and not instrument.option else 1)
        turnover = text(round(worth * price if type_of(instrument) == SPOT else worth, 4))
        data = (
            f'{{"instType":"{type_of(instrument)}","instId":"{instrument.symbol}","last":"{writer.price(self._last.px)}",'
            f'"lastSz":"{writer.size(self._last.sz)}","askPx":"{writer.ask(ask)}","askSz":"{writer.size(ask_sz)}",'
            f'"bidPx":"{writer.price(bid)}","bidSz":"{writer.size(bid_sz)}","open24h":"{begin}",'
            f'"high24h":"{writer.price(self._range[1])}","low24h":"{writer.price(self._range[0])}",'
            f'"volCcy24h":"{turnover}","vol24h":"{text(volume)}","sodUtc0":"{begin}","sodUtc8":"{begin}",'
            f'"ts":"{_ms(ts)}"}}'
        )
        return writer.push("tickers", data)


class CandleStream:
    """Bars, the one of now at most every second; a closed one says so once.

    Raw: {"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1785000000000","67123.4","67125","67120.1",
    "67121","4.2","281910.9","281910.9","0"]]}
    """

    interval = SECOND
    stale = b""

    def __init__(self, writer: Writer, flow: Flow, channel: str, candle: Candle) -> None:
        self._writer = writer
        self._channel = channel
        self._candle = candle
        self._start = self._volume = self._open = self._high = self._low = self._close = 0
        self._begin(flow.book.ts, flow.book.top()[0])
        self._shown = self._message(False)
        self._is_touched = False

    def on_event(self, event: Event) -> list[bytes]:
        for trade in () if self._writer.is_auction else event.trades:
            self._is_touched = True
            self._high, self._low = max(self._high, trade.px), min(self._low, trade.px)
            self._close = trade.px
            self._volume += trade.sz
        return []

    def flush(self, ts: int) -> list[bytes]:
        payloads = []
        if ts >= self._start + self._candle.length:
            payloads.append(self._message(True))
            self._begin(ts, self._close)
        if payloads or self._is_touched:
            self._is_touched = False
            self._shown = self._message(False)
            payloads.append(self._shown)
        return payloads

    def first(self) -> bytes:
        """Return the bar as last sent."""
        return self._shown

    def _begin(self, ts: int, px: int) -> None:
        length, offset = self._candle.length, self._candle.offset
        self._start = ts - (ts + offset) % length
        self._open = self._high = self._low = self._close = px
        self._volume = 0

    def _message(self, is_closed: bool) -> bytes:
        writer, instrument = self._writer, self._writer.instrument
        prices = (writer.price(px) for px in (self._open, self._high, self._low, self._close))
        base = self._volume * instrument.lot_size * instrument.contract_size
        quote = round(base * self._close * instrument.tick_size, 4)
        fields = (str(_ms(self._start)), *prices, writer.size(self._volume), text(base), text(quote), "01"[is_closed])
        return writer.push(self._channel, "[" + ",".join(f'"{field}"' for field in fields) + "]")


class FigureStream:
    """A channel that says one thing now and then: when it changed, and when it was long not said.

    Parameters
    ----------
    arg : of the channel, as JSON
    figure : returns the body of the data for a time; what stands in it besides the time is compared
    interval : ns between looks
    repeat : ns after which the same is sent again
    """

    stale = b""

    def __init__(self, arg: str, figure: Callable[[int], str], now: int, interval: int, repeat: int) -> None:
        self.interval = interval
        self._arg = arg
        self._figure = figure
        self._repeat = repeat
        self._sent_at = now
        self._said = figure(now)

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        said = self._figure(ts)
        if said == self._said and ts - self._sent_at < self._repeat:
            return []
        self._said, self._sent_at = said, ts
        return [self.first()]

    def first(self) -> bytes:
        """Return what was last said."""
        return f'{{"arg":{self._arg},"data":[{{{self._said},"ts":"{_ms(self._sent_at)}"}}]}}'.encode()


class LiquidationStream:
    """Some takers are liquidated, at most one a second.

    Raw: {"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"67100",
    "ccy":"","posSide":"long","side":"sell","sz":"13","ts":"1785000000097"}],"instFamily":"BTC-USDT",
    "instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}
    """

    interval = 0
    stale = b""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._sent_at = 0

    def on_event(self, event: Event) -> list[bytes]:
        struck = [trade for trade in event.trades if trade.trade_id % LIQUIDATION_SHARE == 0]
        if not struck or event.ts < self._sent_at + SECOND:
            return []
        self._sent_at = event.ts
        trade, writer, instrument = struck[0], self._writer, self._writer.instrument
        kind = type_of(instrument)
        index = index_of(instrument)
        position = "short" if trade.taker_buys else "long"
        text = (
            f'{{"arg":{{"channel":"liquidation-orders","instType":"{kind}"}},"data":[{{"details":[{{"bkLoss":"0",'
            f'"bkPx":"{writer.price(trade.px)}","ccy":"","posSide":"{position}","side":"{_side(trade.taker_buys)}",'
            f'"sz":"{writer.size(trade.sz)}","ts":"{_ms(event.ts)}"}}],"instFamily":"{index}",'
            f'"instId":"{instrument.symbol}","instType":"{kind}","uly":"{index}"}}]}}'
        )
        return [text.encode()]

    def flush(self, ts: int) -> list[bytes]:
        return []

    def first(self) -> bytes:
        """Return nothing: what is over is not told again."""
        return b""


class Figures:
    """Marks, indices, funding and open interest of one instrument, as the body of their data."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        instrument = flow.book.instrument
        self._instrument = instrument
        self._head = f'"instType":"{type_of(instrument)}","instId":"{instrument.symbol}"'

    def mark(self, now: int) -> str:
        """Return the mark price: the middle."""
        return f'{self._head},"markPx":"{text(self._middle())}"'

    def index(self, now: int) -> str:
        """Return the index price: a bit below the middle."""
        price = text(self._index())
        day = ",".join(f'"{key}":"{price}"' for key in ("high24h", "low24h", "open24h", "sodUtc0", "sodUtc8"))
        return f'"instId":"{index_of(self._instrument)}","idxPx":"{price}",{day}'

    def funding(self, now: int) -> str:
        """Return the funding: the rate follows the mark's distance from the index; the next one is not known."""
        rate = round((self._middle() - self._index()) / self._index() / 2, 8)
        due = (now // FUNDING_PERIOD_NS + 1) * FUNDING_PERIOD_NS
        return (
            f'{self._head},"fundingRate":"{text(rate)}","fundingTime":"{_ms(due)}","nextFundingRate":"",'
            f'"nextFundingTime":"{_ms(due + FUNDING_PERIOD_NS)}","method":"current_period","formulaType":"withRate",'
            f'"minFundingRate":"-0.00375","maxFundingRate":"0.00375","premium":"{text(rate * 2)}",'
            f'"settState":"settled","settFundingRate":"0.0001"'
        )

    def interest(self, now: int) -> str:
        """Return the open interest: it wanders by the second."""
        instrument, price = self._instrument, self._middle()
        contracts = 100_000 + now // SECOND * 7919 % 997
        coins = contracts * instrument.contract_size / (price if instrument.inverse and not instrument.option else 1)
        worth = round(coins * price, 2)
        return f'{self._head},"oi":"{contracts}","oiCcy":"{text(round(coins, 4))}","oiUsd":"{text(worth)}"'

    def _middle(self) -> Decimal:
        bid, _, ask, _ = self._flow.book.top()
        return (bid + ask) * self._instrument.tick_size / 2

    def _index(self) -> Decimal:
        return round(self._middle() * Decimal("0.9998"), decimals_beyond(self._instrument.tick_size))


def decimals_beyond(tick: Decimal) -> int:
    """Return with how many decimals a price is written that is finer than the tick."""
    return 1 - tick.adjusted()


def _side(buys: bool) -> str:
    return "buy" if buys else "sell"


def _ms(ts: int) -> int:
    return ts // 1_000_000

"""The market data streams of Binance over a random market: messages, and what each stream makes of an event."""

from __future__ import annotations

import re

from fastfeed.sim.market import Event, Flow, Instrument, Market, Trade
from fastfeed.sim.profiles.binance.products import SPOT, Product, pair, wire_decimals
from fastfeed.sim.streams import LiveStreams, Stream, fixed_point

# Streams of futures that the route /public serves; all others stand on /market.
PUBLIC_KINDS = ("depth", "bookTicker", "trade")
MICROSECONDS = "|us"

_DEPTH = re.compile(r"depth(?:@(\d{1,5})ms)?")


def kind_of(stream: str) -> str:
    """Return the kind of a stream, such as `depth` of `btcusdt@depth@100ms`."""
    return stream.partition("@")[2].partition("@")[0]


class Writer:
    """Writes one instrument's numbers and messages as the venue does; `unit` is ns per unit of time."""

    def __init__(self, product: Product, instrument: Instrument, unit: int) -> None:
        self.price = fixed_point(instrument.tick_size, wire_decimals(product, instrument.tick_size))
        self.size = fixed_point(instrument.lot_size, wire_decimals(product, instrument.lot_size))
        self._is_spot = product is SPOT
        self._symbol = instrument.symbol
        self._pair = pair(instrument)
        self._unit = unit

    def levels(self, levels: list[tuple[int, int]]) -> str:
        """Return `[["67123.40","1.500"],..]`."""
        return "[" + ",".join([f'["{self.price(px)}","{self.size(sz)}"]' for px, sz in levels]) + "]"

    def depth(
        self,
        ts: int,
        event_ts: int,
        sequences: tuple[int, int, int],
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
    ) -> bytes:
        """Return a diff; `sequences` are its first, its last and the last one's before.

        Spot:  {"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[..],"a":[..]}
        USD-M: {"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","ps":"BTCUSDT","st":1,"U":9,"u":12,"pu":5,"b":[..],"a":[..]}
        """
        first, last, previous = sequences
        levels = f'"b":{self.levels(bids)},"a":{self.levels(asks)}}}'
        if self._is_spot:
            head = f'{{"e":"depthUpdate","E":{ts // self._unit},"s":"{self._symbol}","U":{first},"u":{last},'
        else:
            head = (
                f'{{"e":"depthUpdate","E":{ts // self._unit},"T":{event_ts // self._unit},"s":"{self._symbol}",'
                f'"ps":"{self._pair}","st":1,"U":{first},"u":{last},"pu":{previous},'
            )
        return (head + levels).encode()

    def book_ticker(self, ts: int, sequence: int, top: tuple[int, int, int, int]) -> bytes:
        """Return the best bid and ask.

        Spot:  {"u":1,"s":"BTCUSDT","b":"1.00000000","B":"1.00000000","a":"2.00000000","A":"1.00000000"}
        USD-M: {"e":"bookTicker","u":1,"E":1,"T":1,"s":"BTCUSDT","ps":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","st":1}
        """
        bid, bid_sz, ask, ask_sz = top
        quote = f'"b":"{self.price(bid)}","B":"{self.size(bid_sz)}","a":"{self.price(ask)}","A":"{self.size(ask_sz)}"'
        if self._is_spot:
            return f'{{"u":{sequence},"s":"{self._symbol}",{quote}}}'.encode()
        time = ts // self._unit
        return (
            f'{{"e":"bookTicker","u":{sequence},"E":{time},"T":{time},"s":"{self._symbol}","ps":"{self._pair}",'
            f'{quote},"st":1}}'
        ).encode()

    def trade(self, ts: int, trade: Trade) -> bytes:
        """Return one fill.

        Spot:  {"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.00000000","q":"1.00000000","T":1,"m":true,"M":true}
        USD-M: {"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"0.1","X":"MARKET","m":true}
        """
        time = ts // self._unit
        deal = f'"t":{trade.trade_id},"p":"{self.price(trade.px)}","q":"{self.size(trade.sz)}"'
        maker = _bool(not trade.taker_buys)
        if self._is_spot:
            text = f'{{"e":"trade","E":{time},"s":"{self._symbol}",{deal},"T":{time},"m":{maker},"M":true}}'
        else:
            text = f'{{"e":"trade","E":{time},"T":{time},"s":"{self._symbol}",{deal},"X":"MARKET","m":{maker}}}'
        return text.encode()

    def aggregate(self, ts: int, event_ts: int, aggregate_id: int, fills: list[Trade]) -> bytes:
        """Return fills of one side at one price.

        Spot:  {"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1.0","q":"1.0","f":1,"l":2,"T":1,"m":true,"M":true}
        USD-M: {"e":"aggTrade","E":1,"a":1,"s":"BTCUSDT","p":"1.0","q":"1","nq":"1","f":1,"l":2,"T":1,"m":true,"st":1}
        """
        first, last = fills[0], fills[-1]
        price, size = self.price(first.px), self.size(sum(fill.sz for fill in fills))
        head = f'{{"e":"aggTrade","E":{ts // self._unit},'
        ends = (
            f'"f":{first.trade_id},"l":{last.trade_id},"T":{event_ts // self._unit},"m":{_bool(not first.taker_buys)}'
        )
        if self._is_spot:
            deal = f'"s":"{self._symbol}","a":{aggregate_id},"p":"{price}","q":"{size}"'
            text = f'{head}{deal},{ends},"M":true}}'
        else:
            deal = f'"a":{aggregate_id},"s":"{self._symbol}","p":"{price}","q":"{size}","nq":"{size}"'
            text = f'{head}{deal},{ends},"st":1}}'
        return text.encode()


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
        return None


def _bool(flag: bool) -> str:
    return "true" if flag else "false"

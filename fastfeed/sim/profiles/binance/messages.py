"""The messages of Binance's books, quotes and trades, as the venue writes them."""

from __future__ import annotations

from fastfeed.sim.market import Instrument, Trade
from fastfeed.sim.profiles.binance.products import SPOT, Product, pair, wire_decimals
from fastfeed.sim.streams import fixed_point


class Writer:
    """Writes one instrument's numbers and messages as the venue does; `unit` is ns per unit of time."""

    def __init__(self, product: Product, instrument: Instrument, unit: int) -> None:
        self.price = fixed_point(instrument.tick_size, wire_decimals(product, instrument.tick_size))
        self.size = fixed_point(instrument.lot_size, wire_decimals(product, instrument.lot_size))
        self._worth = instrument.tick_size * instrument.lot_size
        self._worth_decimals = wire_decimals(product, self._worth)
        self.is_spot = product is SPOT
        self.symbol = instrument.symbol
        self.pair = pair(instrument)
        self.unit = unit

    def worth(self, count: int) -> str:
        """Return a sum of prices times sizes, in ticks times lots: with the decimals of both, or with the product's."""
        return f"{count * self._worth:.{self._worth_decimals}f}"

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
        if self.is_spot:
            head = f'{{"e":"depthUpdate","E":{ts // self.unit},"s":"{self.symbol}","U":{first},"u":{last},'
        else:
            head = (
                f'{{"e":"depthUpdate","E":{ts // self.unit},"T":{event_ts // self.unit},"s":"{self.symbol}",'
                f'"ps":"{self.pair}","st":1,"U":{first},"u":{last},"pu":{previous},'
            )
        return (head + levels).encode()

    def book_ticker(self, ts: int, sequence: int, top: tuple[int, int, int, int]) -> bytes:
        """Return the best bid and ask.

        Spot:  {"u":1,"s":"BTCUSDT","b":"1.00000000","B":"1.00000000","a":"2.00000000","A":"1.00000000"}
        USD-M: {"e":"bookTicker","u":1,"E":1,"T":1,"s":"BTCUSDT","ps":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","st":1}
        """
        bid, bid_sz, ask, ask_sz = top
        quote = f'"b":"{self.price(bid)}","B":"{self.size(bid_sz)}","a":"{self.price(ask)}","A":"{self.size(ask_sz)}"'
        if self.is_spot:
            return f'{{"u":{sequence},"s":"{self.symbol}",{quote}}}'.encode()
        time = ts // self.unit
        return (
            f'{{"e":"bookTicker","u":{sequence},"E":{time},"T":{time},"s":"{self.symbol}","ps":"{self.pair}",'
            f'{quote},"st":1}}'
        ).encode()

    def trade(self, ts: int, trade: Trade) -> bytes:
        """Return one fill.

        Spot:  {"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.00000000","q":"1.00000000","T":1,"m":true,"M":true}
        USD-M: {"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"0.1","X":"MARKET","m":true}
        """
        time = ts // self.unit
        deal = f'"t":{trade.trade_id},"p":"{self.price(trade.px)}","q":"{self.size(trade.sz)}"'
        maker = text_of(not trade.taker_buys)
        if self.is_spot:
            text = f'{{"e":"trade","E":{time},"s":"{self.symbol}",{deal},"T":{time},"m":{maker},"M":true}}'
        else:
            text = f'{{"e":"trade","E":{time},"T":{time},"s":"{self.symbol}",{deal},"X":"MARKET","m":{maker}}}'
        return text.encode()

    def aggregate(self, ts: int, event_ts: int, aggregate_id: int, fills: list[Trade]) -> bytes:
        """Return fills of one side at one price.

        Spot:  {"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1.0","q":"1.0","f":1,"l":2,"T":1,"m":true,"M":true}
        USD-M: {"e":"aggTrade","E":1,"a":1,"s":"BTCUSDT","p":"1.0","q":"1","nq":"1","f":1,"l":2,"T":1,"m":true,"st":1}
        """
        first, last = fills[0], fills[-1]
        price, size = self.price(first.px), self.size(sum(fill.sz for fill in fills))
        head = f'{{"e":"aggTrade","E":{ts // self.unit},'
        ends = (
            f'"f":{first.trade_id},"l":{last.trade_id},"T":{event_ts // self.unit},"m":{text_of(not first.taker_buys)}'
        )
        if self.is_spot:
            deal = f'"s":"{self.symbol}","a":{aggregate_id},"p":"{price}","q":"{size}"'
            text = f'{head}{deal},{ends},"M":true}}'
        else:
            deal = f'"a":{aggregate_id},"s":"{self.symbol}","p":"{price}","q":"{size}","nq":"{size}"'
            text = f'{head}{deal},{ends},"st":1}}'
        return text.encode()


def text_of(flag: bool) -> str:
    """Return a flag as JSON."""
    return "true" if flag else "false"

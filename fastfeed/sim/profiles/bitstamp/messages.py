"""Bitstamp's market data messages, as text.

Shapes: www.bitstamp.net/websocket/v2, "Public channels" (2026-09), in the order of keys that the venue sends.
"""

from __future__ import annotations

from fastfeed.sim.market import SECOND, Instrument, Trade
from fastfeed.sim.profiles.bitstamp.markets import is_perpetual
from fastfeed.sim.streams import Levels, decimals_of, fixed_point

MICROSECOND, MILLISECOND = 1_000, 1_000_000

# The first ids of perpetuals' trades are above 2**53.
PERPETUAL_TRADE_ID = 2_001_939_623_936_278_528
ORDER_ID = 1_443_875_737_346_049


def envelope(channel: str, event: str, data: str, more: str = "") -> bytes:
    """Return {"data":{..},"channel":"order_book_btcusd","event":"data"}."""
    return f'{{"data":{data},"channel":"{channel}","event":"{event}"{more}}}'.encode()


def number(value: float) -> str:
    """Write a JSON number as the venue does: a float, the fraction of a whole one left out."""
    return repr(value).removesuffix(".0")


def coarse(ts: int) -> int:
    """Return the microseconds of trades and orders, which have no more than milliseconds."""
    return ts // MILLISECOND * 1_000


class Writer:
    """Writes one instrument's numbers and messages."""

    def __init__(self, instrument: Instrument) -> None:
        self.price = fixed_point(instrument.tick_size, decimals_of(instrument.tick_size))
        self.size = fixed_point(instrument.lot_size, decimals_of(instrument.lot_size))
        self._lot = float(instrument.lot_size)
        self._is_perpetual = is_perpetual(instrument)

    def book(self, ts: int, bids: Levels, asks: Levels) -> str:
        """Return {"timestamp":"1","microtimestamp":"1000000","bids":[["1.5","2.0"]],"asks":[]}; the same by REST."""
        return self.book_of(ts, self._levels(bids), self._levels(asks))

    def book_of(self, ts: int, bids: str, asks: str) -> str:
        """Return a book of levels that are JSON already."""
        times = f'"timestamp":"{ts // SECOND}","microtimestamp":"{ts // MICROSECOND}"'
        return f'{{{times},"bids":{bids},"asks":{asks}}}'

    def trade(self, ts: int, trade: Trade) -> str:
        """Return a fill.

        Spot:      {"id":1,"timestamp":"1","amount":0.1,"amount_str":"0.10000000","price":2.5,"price_str":"2.50",
                    "type":0,"microtimestamp":"1000000","buy_order_id":2,"sell_order_id":3}
        Perpetual: {"id":1,"id_str":"1","type":0,"sell_order_id":3,"buy_order_id":2,"amount":0.1,"amount_str":"0.10000",
                    "price":2,"price_str":"2","microtimestamp":"1000000","timestamp":"1000"}
        """
        # Amounts carry the noise of float arithmetic, prices do not.
        deal = (
            f'"amount":{number(trade.sz * self._lot)},"amount_str":"{self.size(trade.sz)}",'
            f'"price":{number(float(self.price(trade.px)))},"price_str":"{self.price(trade.px)}"'
        )
        side, micros = int(not trade.taker_buys), coarse(ts)
        maker, taker = ORDER_ID + trade.trade_id * 2, ORDER_ID + trade.trade_id * 2 + 1
        buy, sell = (taker, maker) if trade.taker_buys else (maker, taker)
        if self._is_perpetual:
            trade_id = PERPETUAL_TRADE_ID + trade.trade_id
            return (
                f'{{"id":{trade_id},"id_str":"{trade_id}","type":{side},"sell_order_id":{sell},"buy_order_id":{buy},'
                f'{deal},"microtimestamp":"{micros}","timestamp":"{micros // 1_000}"}}'
            )
        return (
            f'{{"id":{trade.trade_id},"timestamp":"{ts // SECOND}",{deal},"type":{side},'
            f'"microtimestamp":"{micros}","buy_order_id":{buy},"sell_order_id":{sell}}}'
        )

    def order(self, ts: int, order_id: int, is_bid: bool, px: int, amounts: tuple[int, int, int]) -> str:
        """Return a resting order; `amounts` are what is left, what was traded now, and what it began with, in lots.

        {"id":1,"id_str":"1","order_type":0,"order_subtype":0,"datetime":"1","microtimestamp":"1000000","amount":0.1,
         "amount_str":"0.10000000","amount_traded":"0","amount_at_create":"0.10000000","price":2.5,"price_str":"2.50",
         "is_liquidation":false}
        """
        left, traded, created = amounts
        return (
            f'{{"id":{order_id},"id_str":"{order_id}","order_type":{int(not is_bid)},"order_subtype":0,'
            f'"datetime":"{ts // SECOND}","microtimestamp":"{coarse(ts)}",'
            f'"amount":{number(left * self._lot)},"amount_str":"{self.size(left)}",'
            f'"amount_traded":"{self.size(traded) if traded else 0}","amount_at_create":"{self.size(created)}",'
            f'"price":{number(float(self.price(px)))},"price_str":"{self.price(px)}","is_liquidation":false}}'
        )

    def _levels(self, levels: Levels) -> str:
        return "[" + ",".join([f'["{self.price(px)}","{self.size(sz)}"]' for px, sz in levels]) + "]"

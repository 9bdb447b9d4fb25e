"""The payloads of Deribit's channels, of one instrument: what stands under `data` of a notification.

Fields come in one of two orders, because the venue promises none. What a real venue computes from its other markets
(mark, index, funding, open interest) is made up from the book, so that all channels and REST agree on it. Source:
docs.deribit.com, pages of the channels below "Subscriptions" (2026-07).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from fastfeed.sim.market import SECOND, Flow, Trade
from fastfeed.sim.profiles.deribit.numbers import decimal_text, float_text, scaled, writer
from fastfeed.sim.profiles.deribit.products import index_of, kind_of
from fastfeed.sim.streams import Levels

DAY = 24 * 3600 * SECOND
SETTLEMENT_AT = 8 * 3600 * SECOND
SETTLEMENT_NS = 4 * SECOND

# Every so many fills of a future are a liquidation: of the maker, the taker, or both.
_LIQUIDATIONS = ((101, "MT"), (37, "M"), (23, "T"))
_TRADE_IDS_FROM = 3_000_000_000

Marked = Sequence[tuple[str, int, int]]
"""Levels with the word of their change: new, change or delete."""


class Writer:
    """Writes one instrument's numbers and messages."""

    def __init__(self, flow: Flow) -> None:
        self.instrument = flow.book.instrument
        self.price = writer(self.instrument.tick_size, integers=True)
        self.size = writer(self.instrument.lot_size)
        self._flow = flow
        self._kind = kind_of(self.instrument)
        # Marks are finer than ticks.
        tick, exponent = scaled(self.instrument.tick_size)
        self._fine_tick, self._fine = tick * 100, exponent - 2
        # Options are settled against the index of their underlying.
        strike = self.instrument.strike
        home = int(self.instrument.price / self.instrument.tick_size)
        self._index = self.price(home) if strike is None else decimal_text(strike * Decimal("0.8"))

    def pairs(self, levels: Levels) -> str:
        """Return `[[67118.5,1200.0],..]`."""
        return "[" + ",".join([f"[{self.price(px)},{self.size(sz)}]" for px, sz in levels]) + "]"

    def marked(self, levels: Marked) -> str:
        """Return `[["change",67118.5,1200.0],..]`."""
        return "[" + ",".join([f'["{word}",{self.price(px)},{self.size(sz)}]' for word, px, sz in levels]) + "]"

    def snapshot(self, ts: int, sequence: int, bids: Levels, asks: Levels) -> bytes:
        """Return the whole book.

        {"type":"snapshot","timestamp":1,"instrument_name":"BTC-PERPETUAL","change_id":9,"bids":[["new",1.0,2.0]],..}
        """
        sides = (self.marked([("new", px, sz) for px, sz in side]) for side in (bids, asks))
        head = f'"type":"snapshot","timestamp":{ts // 1_000_000},"instrument_name":"{self.instrument.symbol}"'
        return f'{{{head},"change_id":{sequence},"bids":{next(sides)},"asks":{next(sides)}}}'.encode()

    def change(self, ts: int, sequences: tuple[int, int], bids: Marked, asks: Marked) -> bytes:
        """Return an increment; `sequences` are the one before and its own.

        {"type":"change","timestamp":1,"prev_change_id":9,"instrument_name":"..","change_id":12,"bids":[],"asks":[..]}
        """
        previous, last = sequences
        name, time = f'"instrument_name":"{self.instrument.symbol}"', f'"timestamp":{ts // 1_000_000}'
        sides = f'"bids":{self.marked(bids)},"asks":{self.marked(asks)}'
        if last % 8:
            text = f'"type":"change",{time},"prev_change_id":{previous},{name},"change_id":{last},{sides}'
        else:
            text = f'"prev_change_id":{previous},"change_id":{last},{name},{sides},{time},"type":"change"'
        return f"{{{text}}}".encode()

    def grouped(self, ts: int, sequence: int, bids: Levels, asks: Levels) -> bytes:
        """Return the best levels, whole.

        {"timestamp":1,"instrument_name":"BTC-PERPETUAL","change_id":9,"bids":[[67118.5,10.0]],"asks":[]}
        """
        head = f'"timestamp":{ts // 1_000_000},"instrument_name":"{self.instrument.symbol}","change_id":{sequence}'
        return f'{{{head},"bids":{self.pairs(bids)},"asks":{self.pairs(asks)}}}'.encode()

    def quote(self) -> bytes:
        """Return the best bid and ask of now.

        {"timestamp":1,"instrument_name":"..","best_bid_price":1.0,"best_bid_amount":2.0,"best_ask_price":..}
        """
        ts = self._flow.book.ts // 1_000_000
        return f'{{"timestamp":{ts},"instrument_name":"{self.instrument.symbol}",{self._best()}}}'.encode()

    def trades(self, trades: Sequence[tuple[int, Trade]]) -> bytes:
        """Return the array of fills, each with its time.

        [{"trade_seq":7,"trade_id":"3000000007","timestamp":1,"tick_direction":0,"price":1.0,"mark_price":1.0,
        "instrument_name":"BTC-PERPETUAL","index_price":1.0,"direction":"buy","contracts":1.0,"amount":10.0}]
        """
        return b"[" + b",".join([self._trade(ts, trade) for ts, trade in trades]) + b"]"

    def candle(self, tick: int, prices: tuple[int, int, int, int], volume: Decimal, cost: Decimal) -> bytes:
        """Return a candle that begins at `tick`, ns; `prices` are open, high, low, close, `volume` is in the coin.

        {"volume":0.5,"tick":1655403420000,"open":20951.0,"low":20951.0,"high":20951.0,"cost":0.0,"close":20951.0}
        """
        first, high, low, last = (self.price(px) for px in prices)
        return (
            f'{{"volume":{decimal_text(volume)},"tick":{tick // 1_000_000},"open":{first},"low":{low},"high":{high},'
            f'"cost":{decimal_text(cost)},"close":{last}}}'
        ).encode()

    def state(self, ts: int) -> bytes:
        """Return {"timestamp":1,"state":"open","instrument_name":"BTC-PERPETUAL"}."""
        name = self.instrument.symbol
        return f'{{"timestamp":{ts // 1_000_000},"state":"{state_at(ts)}","instrument_name":"{name}"}}'.encode()

    def ticker(self, now: int) -> bytes:
        """Return the ticker; without a trade on the day, as here for options, its statistics are null."""
        return f"{{{self._ticker(now)}}}".encode()

    def order_book(self, now: int, sequence: int, bids: Levels, asks: Levels) -> str:
        """Return the result of `get_order_book`: the ticker, and a book."""
        book = f'"change_id":{sequence},"bids":{self.pairs(bids)},"asks":{self.pairs(asks)}'
        return f"{{{self._ticker(now)},{book}}}"

    def _ticker(self, now: int) -> str:
        book = self._flow.book
        bid, _, ask, _ = book.top()
        home = int(self.instrument.price / self.instrument.tick_size)
        parts = [
            *self._own_fields(book.sequence),
            f'"timestamp":{book.ts // 1_000_000}',
            f'"stats":{{{self._stats(now, home)}}}',
            f'"state":"{state_at(now)}"',
            f'"settlement_price":{self.price(home)}',
            f'"open_interest":{self.size(1000 + book.sequence // 1000 % 500)}',
            f'"min_price":{self.price(max(1, home // 2))}',
            f'"max_price":{self.price(home * 2)}',
            f'"mark_price":{self._mark()}',
            f'"last_price":{self.price(bid if book.sequence % 2 else ask)}',
            f'"instrument_name":"{self.instrument.symbol}"',
            f'"index_price":{self._index}',
            f'"estimated_delivery_price":{self._index}',
            self._best(),
        ]
        return ",".join(parts)

    def _own_fields(self, sequence: int) -> list[str]:
        """Return the fields that only this kind of instrument has."""
        if self._kind == "option":
            index = index_of(self.instrument)
            greeks = '"greeks":{"vega":0.20072,"theta":-1.64029,"rho":0.01188,"gamma":2.0e-5,"delta":0.03127}'
            ivs = '"mark_iv":52.4,"bid_iv":51.9,"ask_iv":52.8,"interest_rate":0.0'
            return [f'"underlying_price":{self._index}', f'"underlying_index":"{index}"', ivs, greeks]
        if self._kind == "future" and self.instrument.expiry is None:
            funding = float_text(sequence % 2000 - 1000, -8)
            return [f'"current_funding":{funding}', '"funding_8h":2.177e-5', '"interest_value":0.0123']
        return []

    def _stats(self, now: int, home: int) -> str:
        if self._kind == "option":
            return '"volume":null,"price_change":null,"low":null,"high":null'
        # Amounts of inverse contracts are USD; `volume` counts coins of all kinds.
        amount, price = Decimal(now // SECOND % 86_400 * 5).scaleb(-1), self.instrument.price
        coins = round(amount / price, 8) if self.instrument.inverse and price else amount
        money = amount if self.instrument.inverse else amount * price
        low, high = self.price(max(1, home * 98 // 100)), self.price(home * 103 // 100)
        money_text = decimal_text(money)
        return (
            f'"volume_usd":{money_text},"volume_notional":{money_text},"volume":{decimal_text(coins)},'
            f'"price_change":0.31,"low":{low},"high":{high}'
        )

    def _best(self) -> str:
        bid, bid_sz, ask, ask_sz = self._flow.book.top()
        return (
            f'"best_bid_price":{self.price(bid)},"best_bid_amount":{self.size(bid_sz)},'
            f'"best_ask_price":{self.price(ask)},"best_ask_amount":{self.size(ask_sz)}'
        )

    def _mark(self) -> str:
        bid, _, ask, _ = self._flow.book.top()
        return float_text((bid + ask) * self._fine_tick // 2 + 1, self._fine)

    def _trade(self, ts: int, trade: Trade) -> bytes:
        name = self.instrument
        # Ids are told apart by currency: digits alone are BTC's.
        prefix = "" if name.settle == "BTC" else f"{name.settle or name.quote}-"
        extra = ',"iv":52.4' if self._kind == "option" else ""
        if self._kind == "future":
            extra = next((f',"liquidation":"{who}"' for every, who in _LIQUIDATIONS if not trade.trade_id % every), "")
        return (
            f'{{"trade_seq":{trade.trade_id},"trade_id":"{prefix}{_TRADE_IDS_FROM + trade.trade_id}",'
            f'"timestamp":{ts // 1_000_000},"tick_direction":{trade.trade_id % 4},'
            f'"price":{self.price(trade.px)}{extra},'
            f'"mark_price":{self._mark()},"instrument_name":"{name.symbol}","index_price":{self._index},'
            f'"direction":"{"buy" if trade.taker_buys else "sell"}","contracts":{float_text(trade.sz, 0)},'
            f'"amount":{self.size(trade.sz)}}}'
        ).encode()


def state_at(ts: int) -> str:
    """Return the state of all instruments at `ts`: every day at 08:00 UTC the venue settles for some seconds."""
    return "settlement" if 0 <= ts % DAY - SETTLEMENT_AT < SETTLEMENT_NS else "open"

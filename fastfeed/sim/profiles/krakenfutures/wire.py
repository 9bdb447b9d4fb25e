"""The texts of Kraken Futures' messages: numbers are JSON numbers, times are ms.

Whole numbers are written both ways, `35` and `35.0`: snapshots have the fraction here, single messages do not. A number
below 1e-6 has an exponent. Source: docs.kraken.com, "Futures WebSocket", Book, Trade, Ticker, Ticker lite (2026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from typing import NamedTuple
from uuid import UUID

from fastfeed.sim.market import Change, Instrument, Trade
from fastfeed.sim.profiles.krakenfutures.products import tag, wire_pair
from fastfeed.sim.streams import Levels, decimals_of, fixed_point

MS = 1_000_000
DAY_MS = 86_400_000
SMALLEST_PLAIN = Decimal("0.000001")

# Trades that are not ordinary fills, by their cumulated share: this is the only word of liquidations.
TRADE_TYPES = (("liquidation", 0.06), ("termination", 0.07), ("block", 0.08))


class Figures(NamedTuple):
    """What a ticker says beside the touch: prices in ticks, the rest in human numbers; a rate of 0 is left out."""

    index_price: float
    mark_price: float
    last: int
    open: int
    high: int
    low: int
    volume: int
    open_interest: int
    funding: float
    next_funding: float
    next_funding_ms: int


def json_number(step: Decimal) -> Callable[[int], str]:
    """Return a function that writes a count of steps as the shortest JSON number."""
    plain = fixed_point(step, decimals_of(step))
    first_plain = -(-SMALLEST_PLAIN // step)

    def write(count: int) -> str:
        if 0 < count < first_plain:
            digits = str(count * step.scaleb(decimals_of(step)).to_integral_value())
            exponent = len(digits) - 1 - decimals_of(step)
            fraction = digits[1:].rstrip("0")
            return f"{digits[0]}{'.' if fraction else ''}{fraction}e{exponent}"
        text = plain(count)
        return text.rstrip("0").rstrip(".") if "." in text else text

    return write


def with_fraction(text: str) -> str:
    """Return a number's text with a fraction, `35.0` for `35`."""
    return text if "." in text or "e" in text else text + ".0"


class Writer:
    """Writes one contract's messages."""

    def __init__(self, instrument: Instrument) -> None:
        self.price = json_number(instrument.tick_size)
        self.size = json_number(instrument.lot_size)
        self._instrument = instrument
        self._symbol = instrument.symbol
        self._pair = wire_pair(instrument.symbol)
        self._tag = tag(instrument)

    def snapshot(self, ts: int, sequence: int, bids: Levels, asks: Levels) -> bytes:
        """Return the whole book.

        {"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,
        "bids":[{"price":34892.5,"qty":6385.0}],"asks":[{"price":34911.5,"qty":20598.0}]}
        """
        return (
            f'{{"feed":"book_snapshot","product_id":"{self._symbol}","timestamp":{ts // MS},"seq":{sequence},'
            f'"tickSize":null,"bids":{self._levels(bids)},"asks":{self._levels(asks)}}}'
        ).encode()

    def _levels(self, levels: Levels) -> str:
        price, size = self.price, self.size
        rows = [f'{{"price":{with_fraction(price(px))},"qty":{with_fraction(size(sz))}}}' for px, sz in levels]
        return "[" + ",".join(rows) + "]"

    def delta(self, ts: int, sequence: int, change: Change) -> bytes:
        """Return the new size of one level.

        {"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326072250,"price":34981,"qty":0,
        "timestamp":1612269953629}
        """
        return (
            f'{{"feed":"book","product_id":"{self._symbol}","side":"{"buy" if change.is_bid else "sell"}",'
            f'"seq":{sequence},"price":{self.price(change.px)},"qty":{self.size(change.sz)},"timestamp":{ts // MS}}}'
        ).encode()

    def trade(self, ts: int, trade: Trade) -> bytes:
        """Return one fill; `side` is the taker's, and forced ones are told by their type alone.

        {"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",
        "type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}
        """
        uid, kind = self.trade_identity(trade)
        return (
            f'{{"feed":"trade","product_id":"{self._symbol}","uid":"{uid}",'
            f'"side":"{"buy" if trade.taker_buys else "sell"}","type":"{kind}","seq":{trade.trade_id},'
            f'"time":{ts // MS},"qty":{self.size(trade.sz)},"price":{self.price(trade.px)}}}'
        ).encode()

    def trade_identity(self, trade: Trade) -> tuple[str, str]:
        """Return the UUID and the type of a trade, always the same for the same trade."""
        rng = Random(f"{self._symbol}/{trade.trade_id}")
        uid = UUID(int=rng.getrandbits(128), version=4)
        chance = rng.random()
        return str(uid), next((kind for kind, share in TRADE_TYPES if chance < share), "fill")

    def ticker(self, ts: int, top: tuple[int, int, int, int], figures: Figures) -> bytes:
        """Return all figures, of which those of funding are missing where they are zero.

        {"time":1676393235406,"product_id":"PI_XBTUSD","funding_rate":-6.2604214e-11,..,"feed":"ticker","bid":21978.5,..}
        """
        bid, bid_sz, ask, ask_sz = top
        instrument, price = self._instrument, self.price
        rates: list[tuple[str, object]] = []
        if instrument.expiry is None:
            # The absolute rate is in the currency that the contract does not count in.
            scale = 1 / figures.index_price if instrument.inverse else figures.index_price
            rates = [
                ("funding_rate", figures.funding * scale),
                ("funding_rate_prediction", figures.next_funding * scale),
                ("relative_funding_rate", figures.funding),
                ("relative_funding_rate_prediction", figures.next_funding),
            ]
            rates = [entry for entry in rates if entry[1]] + [("next_funding_rate_time", figures.next_funding_ms)]
        return _object(
            [
                ("time", ts // MS),
                ("product_id", f'"{self._symbol}"'),
                *rates,
                ("feed", '"ticker"'),
                ("bid", price(bid)),
                ("ask", price(ask)),
                ("bid_size", self.size(bid_sz)),
                ("ask_size", self.size(ask_sz)),
                ("volume", self.size(figures.volume)),
                ("dtm", self._days(ts)),
                ("leverage", '"50x"'),
                ("index", figures.index_price),
                ("premium", _premium(figures)),
                ("last", price(figures.last)),
                ("change", 100 * (figures.last - figures.open) / figures.open),
                ("suspended", "false"),
                ("tag", f'"{self._tag}"'),
                ("pair", f'"{self._pair}"'),
                ("openInterest", with_fraction(self.size(figures.open_interest))),
                ("markPrice", figures.mark_price),
                ("maturityTime", (instrument.expiry or 0) // MS),
                ("post_only", "false"),
                ("volumeQuote", self._turnover(figures)),
                ("open", price(figures.open)),
                ("high", price(figures.high)),
                ("low", price(figures.low)),
            ]
        )

    def ticker_lite(self, ts: int, top: tuple[int, int, int, int], figures: Figures) -> bytes:
        """Return the touch without sizes, and a few figures.

        {"feed":"ticker_lite","product_id":"FI_ETHUSD_210625","bid":1753.45,"ask":1760.35,"change":13.4,"premium":9.1,
        "volume":6899673.0,"tag":"semiannual","pair":"ETH:USD","dtm":141,"maturityTime":1624633200000,"volumeQuote":..}
        """
        return _object(
            [
                ("feed", '"ticker_lite"'),
                ("product_id", f'"{self._symbol}"'),
                ("bid", self.price(top[0])),
                ("ask", self.price(top[2])),
                ("change", 100 * (figures.last - figures.open) / figures.open),
                ("premium", _premium(figures)),
                ("volume", with_fraction(self.size(figures.volume))),
                ("tag", f'"{self._tag}"'),
                ("pair", f'"{self._pair}"'),
                ("dtm", self._days(ts)),
                ("maturityTime", (self._instrument.expiry or 0) // MS),
                ("volumeQuote", self._turnover(figures)),
            ]
        )

    def _days(self, ts: int) -> int:
        expiry = self._instrument.expiry
        return 0 if expiry is None else (expiry - ts) // MS // DAY_MS

    def _turnover(self, figures: Figures) -> float:
        volume = float(figures.volume * self._instrument.lot_size)
        return volume if self._instrument.inverse else volume * figures.index_price


def trade_snapshot(symbol: str, trades: Iterable[bytes]) -> bytes:
    """Return the most recent trades, newest first.

    {"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[{"feed":"trade",..},..]}
    """
    return b'{"feed":"trade_snapshot","product_id":"%b","trades":[%b]}' % (symbol.encode(), b",".join(trades))


def _premium(figures: Figures) -> float:
    return round(100 * (figures.mark_price - figures.index_price) / figures.index_price, 1)


def _object(fields: Iterable[tuple[str, object]]) -> bytes:
    return ("{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}").encode()

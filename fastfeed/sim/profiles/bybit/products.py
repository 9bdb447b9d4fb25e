"""Bybit's products as rows, what is listed in each, and how the listing looks.

Sources: bybit-exchange.github.io/docs/v5, "Connect" (limits of arguments), "Orderbook" (depths and their speed) and
"Get Instruments Info" (2026-07).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import SECOND, Instrument

LAUNCH_MS = 1585526400000
FUNDING_MINUTES = 480

# Of futures without separators, such as BTCUSDZ26; quarters alone are listed.
_MONTH_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}


@dataclass(frozen=True, slots=True)
class Product:
    """One category of the venue, with a WebSocket path of its own.

    `depths` are (levels, ms between messages) of the books, the default first; level 1 has snapshots only.
    `book_limit` and `default_limit` are levels of the REST book; `rest_depth` is the stream whose numbers it has.
    `is_trimmed` says that numbers have no trailing zeros; `ack_names_op` that `ret_msg` of an answer does, and
    `acks_topics` that it lists the topics instead, which may be anything. `request_args` and `connection_args` are how
    many topics there may be.
    """

    name: str
    depths: tuple[tuple[int, int], ...]
    ticker_ms: int
    rest_depth: int
    book_limit: int
    default_limit: int
    is_trimmed: bool = False
    has_liquidations: bool = False
    has_bars: bool = True
    ack_names_op: bool = False
    acks_topics: bool = False
    request_args: int | None = None
    connection_args: int | None = None

    @property
    def default_depth(self) -> int:
        """Return the levels of the book that a client takes if it has no wish of its own."""
        return self.depths[0][0]


_DEPTHS = ((200, 100), (1000, 200), (50, 20), (1, 10))

SPOT = Product("spot", _DEPTHS, 50, 1000, 1000, 1, is_trimmed=True, ack_names_op=True, request_args=10)
LINEAR = Product("linear", _DEPTHS, 100, 1000, 1000, 25, has_liquidations=True)
INVERSE = Product("inverse", _DEPTHS, 100, 1000, 1000, 25, has_liquidations=True)
OPTION = Product(
    "option",
    ((100, 100), (25, 20)),
    ticker_ms=100,
    rest_depth=100,
    book_limit=25,
    default_limit=1,
    is_trimmed=True,
    has_bars=False,
    acks_topics=True,
    connection_args=2000,
)

PRODUCTS = {product.name: product for product in (SPOT, LINEAR, INVERSE, OPTION)}

# Base, tick, lot, start price, mean size: an ordinary coin or two, and one of 1e-10 that is traded by the billion.
_SPOT_ROWS = (
    ("BTC", "0.1", "0.000001", "67123.4", "0.4"),
    ("ETH", "0.01", "0.00001", "3512.75", "6"),
    ("AIDOGE", "0.00000000000001", "1", "0.00000000008123", "300000000000"),
)


def instruments(product: Product, count: int | None, now: int) -> list[Instrument]:
    """Return the first `count` instruments of a product; those beyond its own list are invented."""
    rows = _MAKERS[product.name](_next_quarter(now))
    wanted = len(rows) if count is None else count
    return [*rows[:wanted], *(_invented(product, rows[0], number) for number in range(len(rows), wanted))]


def _spot(expiry: datetime) -> list[Instrument]:
    return [
        Instrument(
            f"{base}/USDT", f"{base}USDT", base, "USDT", Decimal(tick), Decimal(lot), Decimal(price), Decimal(size)
        )
        for base, tick, lot, price, size in _SPOT_ROWS
    ]


def _linear(expiry: datetime) -> list[Instrument]:
    tick, lot, size = Decimal("0.10"), Decimal("0.001"), Decimal("1.2")
    name = f"BTC/USDT:USDT-{expiry:%y%m%d}"
    return [
        Instrument("BTC/USDT:USDT", "BTCUSDT", "BTC", "USDT", tick, lot, Decimal("67118.20"), size, "USDT"),
        Instrument("BTC/USDC:USDC", "BTCPERP", "BTC", "USDC", tick, lot, Decimal("67110.50"), size, "USDC"),
        Instrument(
            name, f"BTCUSDT-{_date(expiry)}", "BTC", "USDT", tick, lot, Decimal("68020.00"), size, "USDT", _ns(expiry)
        ),
    ]


def _inverse(expiry: datetime) -> list[Instrument]:
    lot, size = Decimal(1), Decimal(9000)
    perpetual = Instrument(
        "BTC/USD:BTC", "BTCUSD", "BTC", "USD", Decimal("0.10"), lot, Decimal("67125.60"), size, "BTC", inverse=True
    )
    dated = Instrument(
        f"BTC/USD:BTC-{expiry:%y%m%d}",
        f"BTCUSD{_MONTH_CODES[expiry.month]}{expiry:%y}",
        "BTC",
        "USD",
        Decimal("0.50"),
        lot,
        Decimal("68011.50"),
        size,
        "BTC",
        _ns(expiry),
        inverse=True,
    )
    return [perpetual, dated]


def _option(expiry: datetime) -> list[Instrument]:
    return [
        option_of("USDT", expiry, Decimal(70000), "call", Decimal(4250)),
        option_of("USDC", expiry, Decimal(64000), "put", Decimal(2930)),
    ]


def option_of(settle: str, expiry: datetime, strike: Decimal, kind: str, price: Decimal) -> Instrument:
    """Return a Bitcoin option: settled in USDC it is quoted in USD and its symbol names no coin."""
    quote, suffix = ("USD", "") if settle == "USDC" else (settle, f"-{settle}")
    letter = kind[0].upper()
    return Instrument(
        f"BTC/{quote}:{settle}-{expiry:%y%m%d}-{strike}-{letter}",
        f"BTC-{_date(expiry)}-{strike}-{letter}{suffix}",
        "BTC",
        quote,
        Decimal(5),
        Decimal("0.01"),
        price,
        Decimal(6),
        settle,
        _ns(expiry),
        strike,
        kind,
    )


_MAKERS = {"spot": _spot, "linear": _linear, "inverse": _inverse, "option": _option}


def _invented(product: Product, first: Instrument, number: int) -> Instrument:
    if product is OPTION:
        assert first.expiry is not None
        expiry = datetime.fromtimestamp(first.expiry / SECOND, UTC)
        return option_of("USDT", expiry, Decimal(70000 + 500 * number), "call", first.price)
    base, quote = f"SIM{number}", first.quote
    settle = base if product is INVERSE else first.settle
    name = f"{base}/{quote}" + (f":{settle}" if settle else "")
    tick, lot, price = Decimal("0.0001"), Decimal("0.1"), Decimal("12.3456")
    if product is INVERSE:
        lot = first.lot_size
    return Instrument(
        name, f"{base}{quote}", base, quote, tick, lot, price, Decimal(300), settle, inverse=product is INVERSE
    )


def _next_quarter(now: int) -> datetime:
    """Return the last Friday, 08:00 UTC, of the first quarter of which that day is a month or more after `now`."""
    day = datetime.fromtimestamp(now / SECOND, UTC) + timedelta(days=30)
    year, month = day.year, (day.month + 2) // 3 * 3
    while True:
        last = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC) - timedelta(days=1)
        friday = last - timedelta(days=(last.weekday() - 4) % 7)
        if friday > day:
            return friday
        year, month = (year, month + 3) if month < 12 else (year + 1, 3)


def _date(expiry: datetime) -> str:
    """Return 25DEC26, or 1JAN27: the day has no leading zero."""
    return f"{expiry.day}{expiry:%b%y}".upper()


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND


def listed(product: Product, row: Instrument) -> dict[str, Any]:
    """Return an entry of `result.list` of /v5/market/instruments-info."""
    tick, lot = f"{row.tick_size:f}", f"{row.lot_size:f}"
    most = f"{row.lot_size * 10**6:f}"
    head = {"symbol": row.symbol, "status": "Trading", "baseCoin": row.base, "quoteCoin": row.quote}
    if product is SPOT:
        sizes = {"basePrecision": lot, "quotePrecision": "0.0000001", "minOrderQty": lot, "maxOrderQty": most}
        return {
            **head,
            "innovation": "0",
            "marginTrading": "utaOnly",
            "stTag": "0",
            "lotSizeFilter": {**sizes, "minOrderAmt": "5", "maxLimitOrderQty": most, "maxMarketOrderQty": most},
            "priceFilter": {"tickSize": tick},
            "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
            "symbolType": "",
        }
    delivery = 0 if row.expiry is None else row.expiry // 1_000_000
    prices = {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick}
    sizes = {"maxOrderQty": most, "minOrderQty": lot, "qtyStep": lot}
    times = {"launchTime": str(LAUNCH_MS), "deliveryTime": str(delivery), "deliveryFeeRate": ""}
    if product is OPTION:
        assert row.option is not None
        kind = {"settleCoin": row.settle, "optionsType": row.option.capitalize()}
        times["deliveryFeeRate"] = "0.00015"
        return {**head, **kind, **times, "priceFilter": prices, "lotSizeFilter": sizes, "displayName": row.symbol}
    return {
        **head,
        "contractType": product.name.capitalize() + ("Perpetual" if row.expiry is None else "Futures"),
        **times,
        "priceScale": str(len(tick.partition(".")[2])),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": prices,
        "lotSizeFilter": {**sizes, "postOnlyMaxOrderQty": most, "maxMktOrderQty": most, "minNotionalValue": "5"},
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_MINUTES if row.expiry is None else 0,
        "settleCoin": row.settle,
        "copyTrading": "both",
        "isPreListing": False,
        "preListingInfo": None,
        "displayName": "",
        "symbolType": "",
    }

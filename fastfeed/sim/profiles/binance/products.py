"""Binance's products as rows: how spot and USD-M futures differ, and what is listed.

Figures: developers.binance.com, "WebSocket Streams" and "General API Information" of spot (2026-07), "Connect" and
"Market Data Endpoints" of USDS-margined futures (2026-08).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import SECOND, Instrument

MINUTE = 60 * SECOND
PERPETUAL_DELIVERY_MS = 4133404800000


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the venue.

    `depth_weights` are (greatest limit, weight) pairs. `decimals` is how many decimals every price and size has on the
    wire, None for those of tick and lot. `routes` are the first parts of a WebSocket path that select streams. `bars`
    are the lengths of bars; `ticker_ms`, `bar_ms` and `depth_ms` how often their streams speak.
    """

    name: str
    prefix: str
    weight_limit: int
    messages_per_second: int
    ping_interval_s: float
    pong_timeout_s: float
    depth_ms: int
    depth_weights: tuple[tuple[int, int], ...]
    exact_depth_limits: bool
    default_depth_limit: int
    listing_weight: int
    decimals: int | None
    routes: tuple[str, ...]
    ticker_ms: int
    bar_ms: int
    bars: tuple[str, ...]
    has_microseconds: bool
    announces_shutdown: bool
    lifetime_s: float = 24 * 3600


_BARS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")

SPOT = Product(
    name="spot",
    prefix="/api/v3",
    weight_limit=6000,
    messages_per_second=5,
    ping_interval_s=20,
    pong_timeout_s=60,
    depth_ms=1000,
    depth_weights=((100, 5), (500, 25), (1000, 50), (5000, 250)),
    exact_depth_limits=False,
    default_depth_limit=100,
    listing_weight=20,
    decimals=8,
    routes=(),
    ticker_ms=1000,
    bar_ms=2000,
    bars=("1s", *_BARS),
    has_microseconds=True,
    announces_shutdown=True,
)

USDM = Product(
    name="usdm",
    prefix="/fapi/v1",
    weight_limit=2400,
    messages_per_second=10,
    ping_interval_s=180,
    pong_timeout_s=600,
    depth_ms=250,
    depth_weights=((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1000, 20)),
    exact_depth_limits=True,
    default_depth_limit=500,
    listing_weight=1,
    decimals=None,
    routes=("public", "market", "private"),
    ticker_ms=2000,
    bar_ms=250,
    bars=_BARS,
    has_microseconds=False,
    announces_shutdown=False,
)

PRODUCTS = {product.name: product for product in (SPOT, USDM)}

# Base, tick, lot, start price, mean size: ordinary coins, one with a tick of 1e-8, one traded by the ten billion.
_SPOT_ROWS = (
    ("BTC", "0.01", "0.00001", "67123.40", "0.4"),
    ("ETH", "0.01", "0.0001", "3512.75", "6"),
    ("SOL", "0.01", "0.001", "171.42", "80"),
    ("DOGE", "0.00001", "1", "0.17342", "40000"),
    ("PEPE", "0.00000001", "1", "0.00001234", "900000000"),
    ("BTTC", "0.00000001", "0.1", "0.00000412", "25000000000"),
)

_USDM_ROWS = (
    ("BTC", "0.10", "0.001", "67118.20", "1.2"),
    ("ETH", "0.01", "0.001", "3511.90", "25"),
)


def spot_instruments(count: int | None) -> list[Instrument]:
    """Return the instruments of the simulated spot market."""
    rows = _rows(_SPOT_ROWS, count)
    return [
        Instrument(
            f"{base}/USDT", f"{base}USDT", base, "USDT", Decimal(tick), Decimal(lot), Decimal(price), Decimal(size)
        )
        for base, tick, lot, price, size in rows
    ]


def usdm_instruments(count: int | None, now: int) -> list[Instrument]:
    """Return the instruments of the simulated futures market: perpetuals, and one future that expires after `now`."""
    perpetuals = [
        replace(instrument, name=f"{instrument.name}:USDT", settle="USDT")
        for instrument in (
            Instrument(
                f"{base}/USDT", f"{base}USDT", base, "USDT", Decimal(tick), Decimal(lot), Decimal(price), Decimal(size)
            )
            for base, tick, lot, price, size in _rows(_USDM_ROWS, None if count is None else max(1, count - 1))
        )
    ]
    if count == 1:
        return perpetuals
    expiry = _next_quarter(now)
    bitcoin = perpetuals[0]
    dated = replace(
        bitcoin,
        name=f"{bitcoin.name}-{expiry:%y%m%d}",
        symbol=f"{bitcoin.symbol}_{expiry:%y%m%d}",
        price=bitcoin.price + 900,
        expiry=int(expiry.timestamp()) * SECOND,
    )
    return [*perpetuals, dated]


def _rows(rows: tuple[tuple[str, ...], ...], count: int | None) -> list[tuple[str, ...]]:
    if count is None:
        return list(rows)
    invented = ((f"SIM{number}", "0.0001", "0.1", "12.3456", "300") for number in range(len(rows), count))
    return [*rows[:count], *invented]


def _next_quarter(now: int) -> datetime:
    """Return the last Friday, 08:00 UTC, of the first quarter that ends a month or more after `now`."""
    day = datetime.fromtimestamp(now / SECOND, UTC) + timedelta(days=30)
    while True:
        month = (day.month + 2) // 3 * 3
        first_after = datetime(day.year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
        friday = first_after - timedelta(days=(first_after.weekday() - 5) % 7 + 1)
        if friday > day:
            return friday
        day = first_after


def listing(product: Product, instruments: list[Instrument], now: int) -> dict[str, Any]:
    """Return the body of `exchangeInfo`.

    As spot: {"timezone":"UTC","serverTime":1,"rateLimits":[..],"exchangeFilters":[],"symbols":[{"symbol":"BTCUSDT"}]}
    """
    symbols = [_spot_symbol(row) if product is SPOT else _usdm_symbol(row) for row in instruments]
    if product is SPOT:
        orders = [_limit("ORDERS", "SECOND", 10, 50), _limit("ORDERS", "DAY", 1, 160000)]
        limits = [*orders, _limit("RAW_REQUESTS", "MINUTE", 5, 300000)]
        kind: dict[str, Any] = {}
        assets: dict[str, Any] = {}
    else:
        limits = [_limit("ORDERS", "MINUTE", 1, 1200), _limit("ORDERS", "SECOND", 10, 300)]
        kind = {"futuresType": "U_MARGINED"}
        assets = {"assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]}
    return {
        "timezone": "UTC",
        "serverTime": now // 1_000_000,
        **kind,
        "rateLimits": [_limit("REQUEST_WEIGHT", "MINUTE", 1, product.weight_limit), *limits],
        "exchangeFilters": [],
        **assets,
        "symbols": symbols,
    }


def _limit(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def _spot_symbol(row: Instrument) -> dict[str, Any]:
    tick, lot = f"{row.tick_size:.8f}", f"{row.lot_size:.8f}"
    return {
        "symbol": row.symbol,
        "status": "TRADING",
        "baseAsset": row.base,
        "baseAssetPrecision": 8,
        "quoteAsset": row.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": f"{row.lot_size * 10**9:.8f}", "stepSize": lot},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }


def _usdm_symbol(row: Instrument) -> dict[str, Any]:
    tick, lot = f"{row.tick_size:f}", f"{row.lot_size:f}"
    return {
        "symbol": row.symbol,
        "pair": pair(row),
        "contractType": "PERPETUAL" if row.expiry is None else "CURRENT_QUARTER",
        "deliveryDate": PERPETUAL_DELIVERY_MS if row.expiry is None else row.expiry // 1_000_000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": row.base,
        "quoteAsset": row.quote,
        "marginAsset": row.settle,
        "pricePrecision": _decimals(row.tick_size),
        "quantityPrecision": _decimals(row.lot_size),
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": f"{row.lot_size * 10**6:f}", "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def pair(row: Instrument) -> str:
    """Return the pair of a future, which several delivery dates share."""
    return row.symbol.partition("_")[0]


def wire_decimals(product: Product, step: Decimal) -> int:
    """Return with how many decimals the venue writes multiples of a tick or lot."""
    return _decimals(step) if product.decimals is None else product.decimals


def common_step(texts: list[str]) -> Decimal:
    """Return the greatest power of ten, at most 1, of which all decimals in `texts` are multiples, as they write it."""
    fractions = [text.partition(".")[2] for text in texts]
    decimals = max(len(fraction) for fraction in fractions)
    used = max(len(fraction.rstrip("0")) for fraction in fractions)
    return Decimal(10 ** (decimals - used)).scaleb(-decimals)


def _decimals(step: Decimal) -> int:
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

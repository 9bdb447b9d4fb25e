"""What Kraken Futures lists: perpetual and dated contracts, inverse (PI_, FI_) and linear (PF_, FF_).

An inverse contract is worth 1 USD; a linear one counts the coin itself, in steps of `contractValueTradePrecision`
decimals, which may be negative. Bitcoin is XBT in symbols and BTC in names. Source: docs.kraken.com,
"Futures REST", Get instruments (2026).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import SECOND, Instrument
from fastfeed.sim.streams import decimals_of

VENUE = "krakenfutures"

TYPES = {"PI": "futures_inverse", "FI": "futures_inverse", "PF": "flexible_futures", "FF": "flexible_futures"}

# Prefix, coin, tick, digits of the size, start price, mean size of a level. The coins of little worth are there for
# ticks down to 1e-13 and for sizes above 1e11; the order is such that the first few rows have every kind of contract.
_ROWS = (
    ("PI", "XBT", "0.5", 0, "67123.5", "9000"),
    ("PF", "XBT", "1", 4, "67118", "0.4"),
    ("FI", "XBT", "0.5", 0, "68020.5", "20000"),
    ("PF", "PEPE", "0.0000000001", -3, "0.0000041237", "80000000"),
    ("PI", "ETH", "0.05", 0, "3511.95", "4000"),
    ("FF", "XBT", "1", 4, "68015", "0.9"),
    ("PF", "ETH", "0.1", 3, "3512.3", "6"),
    ("PF", "BABYDOGE", "0.0000000000001", -6, "0.0000000012345", "400000000000"),
)


def instruments(count: int | None, now: int) -> list[Instrument]:
    """Return the simulated contracts; dated ones expire in the first quarter that ends a month or more after `now`."""
    rows = list(_ROWS if count is None else _ROWS[:count])
    invented = range(len(_ROWS), count or 0)
    rows += [("PF", f"SIM{number}", "0.0001", 1, "12.3456", "300") for number in invented]
    expiry = _next_quarter(now)
    return [
        contract(
            f"{prefix}_{coin}USD" + (f"_{expiry:%y%m%d}" if prefix in ("FI", "FF") else ""),
            Decimal(tick),
            digits,
            expiry,
            Decimal(price),
            Decimal(size),
        )
        for prefix, coin, tick, digits, price, size in rows
    ]


def contract(
    symbol: str, tick: Decimal, digits: int, expiry: datetime | None, price: Decimal, size: Decimal
) -> Instrument:
    """Return the instrument of a symbol such as `FI_XBTUSD_261225`; `expiry` counts for dated ones only."""
    prefix, pair = symbol.split("_")[:2]
    base = pair.removesuffix("USD")
    base = "BTC" if base == "XBT" else base
    settle = base if TYPES[prefix] == "futures_inverse" else "USD"
    name = f"{base}/USD:{settle}"
    is_dated = prefix in ("FI", "FF")
    if is_dated:
        assert expiry is not None
        name += f"-{expiry:%y%m%d}"
    return Instrument(
        name,
        symbol,
        base,
        "USD",
        tick,
        Decimal(1).scaleb(-digits) if digits > 0 else Decimal(10**-digits),
        price,
        size,
        settle,
        int(expiry.timestamp()) * SECOND if is_dated and expiry is not None else None,
        inverse=settle == base,
    )


def _next_quarter(now: int) -> datetime:
    """Return the last Friday of a quarter, at 16:00 in London."""
    day = datetime.fromtimestamp(now / SECOND, UTC) + timedelta(days=30)
    while True:
        month = (day.month + 2) // 3 * 3
        first_after = datetime(day.year + month // 12, month % 12 + 1, 1, 15 if month in (6, 9) else 16, tzinfo=UTC)
        friday = first_after - timedelta(days=(first_after.weekday() - 5) % 7 + 1)
        if friday > day:
            return friday
        day = first_after


def listing_row(row: Instrument) -> dict[str, Any]:
    """Return an entry of `instruments`: {"symbol":"PI_XBTUSD","type":"futures_inverse","tickSize":0.5,..}."""
    prefix = row.symbol.partition("_")[0]
    dated = {} if row.expiry is None else {"lastTradingTime": iso(row.expiry)}
    funding = {"fundingRateCoefficient": 24, "maxRelativeFundingRate": 0.0025} if row.expiry is None else {}
    levels = "contracts" if row.inverse else "numNonContractUnits"
    digits = decimals_of(row.lot_size) or -(len(str(int(row.lot_size))) - 1)
    return {
        "symbol": row.symbol,
        "type": TYPES[prefix],
        "underlying": f"rr_{row.symbol.split('_')[1].lower()}",
        **dated,
        "tickSize": float(row.tick_size),
        "contractSize": 1,
        "tradeable": True,
        "impactMidSize": float(row.lot_size * 1000),
        "maxPositionSize": 75000000.0,
        "openingDate": "2022-03-22T13:18:45Z",
        "marginLevels": [{levels: 0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
        **funding,
        "isin": "GB00J62YGL67",
        "contractValueTradePrecision": digits,
        "postOnly": False,
        "isExpired": False,
        "mtf": True,
        "tradfi": False,
        "base": row.base,
        "quote": row.quote,
        "pair": f"{row.base}:{row.quote}",
        "category": "Layer 1",
        "tags": [],
    }


def wire_pair(symbol: str) -> str:
    """Return the pair as messages on the stream write it: `XBT:USD` of `PI_XBTUSD`."""
    return symbol.split("_")[1].removesuffix("USD") + ":USD"


def tag(row: Instrument) -> str:
    """Return what a ticker calls the kind of a contract."""
    return "perpetual" if row.expiry is None else "quarter"


def iso(ts: int) -> str:
    """Return a time in ns as REST writes it: 2026-09-25T15:00:00.000Z."""
    moment = datetime.fromtimestamp(ts // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts % SECOND // 1_000_000:03d}Z"

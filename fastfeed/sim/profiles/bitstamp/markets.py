"""Bitstamp's markets: what is listed, and how the listing shows it.

Fields of the listing: www.bitstamp.net/api, "Market info", "Markets" (2026-09); `tick_size` is documented there, but
the venue does not send it: prices have `counter_decimals` decimals and sizes `base_decimals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import Instrument
from fastfeed.sim.streams import decimals_of

VENUE = "bitstamp"
PERPETUAL = "-perp"

Row = dict[str, Any]

# Base, quote, tick, lot, start price, mean size: ordinary coins, one in whole units, one with prices around 1e-9 that
# is traded by the hundred thousand million.
_SPOT_ROWS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("BTC", "USD", "0.01", "0.00000001", "71743.85", "0.4"),
    ("ETH", "USD", "0.01", "0.00000001", "2700.50", "6"),
    ("XRP", "EUR", "0.00001", "0.00000001", "1.17342", "4000"),
    ("USDT", "USD", "0.00001", "0.00001", "0.99948", "3000"),
    ("SLP", "USD", "0.00001", "1", "0.04120", "25000"),
    ("PEPE", "BTC", "0.000000000001", "0.01", "0.000000001733", "250000000000"),
)

_PERPETUAL_ROWS = (
    ("BTC", "USD", "1", "0.00001", "77204", "0.9"),
    ("ASTER", "USD", "0.00001", "1", "0.68810", "2100"),
)


def instruments(count: int | None) -> list[Instrument]:
    """Return `count` instruments, spot before perpetuals; beyond the list they are invented spot markets."""
    perpetuals = _PERPETUAL_ROWS if count is None else _PERPETUAL_ROWS[: count // 2]
    spot = _SPOT_ROWS
    if count is not None:
        wanted = count - len(perpetuals)
        invented = ((f"SIM{n}", "USD", "0.0001", "0.00000001", "12.3456", "300") for n in range(len(spot), wanted))
        spot = (*spot[:wanted], *invented)
    return [_instrument(*row, perpetual=False) for row in spot] + [
        _instrument(*row, perpetual=True) for row in perpetuals
    ]


def _instrument(base: str, quote: str, tick: str, lot: str, price: str, size: str, *, perpetual: bool) -> Instrument:
    return Instrument(
        f"{base}/{quote}:{quote}" if perpetual else f"{base}/{quote}",
        f"{base}{quote}".lower() + (PERPETUAL if perpetual else ""),
        base,
        quote,
        Decimal(tick),
        Decimal(lot),
        Decimal(price),
        Decimal(size),
        quote if perpetual else None,
    )


def is_perpetual(instrument: Instrument) -> bool:
    """Say whether an instrument is a perpetual, which has mark, index and funding rate."""
    return instrument.settle is not None


def wire_name(instrument: Instrument) -> str:
    """Return the name of a market inside of REST bodies: `BTC/USD`, `BTC/USD-PERP`."""
    suffix = PERPETUAL.upper() if is_perpetual(instrument) else ""
    return f"{instrument.base}/{instrument.quote}{suffix}"


def listed(instrument: Instrument) -> Row:
    """Return an instrument's row of `/markets/`."""
    name = wire_name(instrument)
    row: Row = {
        "name": name,
        "market_symbol": instrument.symbol,
        "base_currency": instrument.base,
        "base_decimals": decimals_of(instrument.lot_size),
        "counter_currency": instrument.quote,
        "counter_decimals": decimals_of(instrument.tick_size),
        "minimum_order_value": "10",
        "trading": "Enabled",
        "instant_order_counter_decimals": 2,
        "instant_and_market_orders": "Enabled",
        "description": f"{instrument.base} / {instrument.quote}",
        "market_type": "SPOT",
    }
    if is_perpetual(instrument):
        row |= {
            "description": f"{instrument.base} / {instrument.quote} Perpetual",
            "market_type": "PERPETUAL",
            "maximum_order_value": "500000.00000000",
            "minimum_order_amount": f"{instrument.lot_size:.8f}",
            "maximum_order_amount": f"{instrument.size * 1000:.8f}",
            "underlying_asset": f"Kaiko {instrument.base} Reference Rate",
            "payoff_type": "Linear",
            "contract_size": "1.00000000",
            "isin": "EZHKD4DNKHY3",
            "asset_class": "CRYPTO",
            "has_market_hours": False,
            "max_leverage": "10.00",
        }
    return row


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """Return the instrument of a row of `/markets/`."""
    return _instrument(
        row["base_currency"],
        row["counter_currency"],
        f"{Decimal(1).scaleb(-row['counter_decimals']):f}",
        f"{Decimal(1).scaleb(-row['base_decimals']):f}",
        "0",
        "0",
        perpetual=row["market_type"] == "PERPETUAL",
    )

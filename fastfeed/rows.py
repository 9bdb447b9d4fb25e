"""Turn instruments into rows of a bus's table and back: the feed writes them, consumers read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from fastfeed.instrument import Instrument, to_decimal
from fastfeed_core.message import INSTRUMENT_STATUSES

__all__ = ["read_instrument", "with_status", "write_instrument"]


def read_instrument(row: dict[str, Any]) -> Instrument:
    """Return the instrument of a row of a bus's table."""

    def decimal(pair: tuple[int, int]) -> Decimal:
        return to_decimal(*pair)

    return Instrument(
        venue=row["venue"],
        symbol=row["symbol"],
        name=row["name"],
        kind=row["kind"],
        base=row["base"],
        quote=row["quote"],
        settle=row["settle"],
        tick_size=decimal(row["tick_size"]),
        lot_size=decimal(row["lot_size"]),
        contract_size=decimal(row["contract_size"]),
        contract_unit=row["contract_unit"],
        inverse=row["inverse"],
        expiry=row["expiry"],
        strike=None if row["strike"] is None else decimal(row["strike"]),
        option_type=row["option_type"],
        status=INSTRUMENT_STATUSES[row["status"]],
        px_exp=row["px_exp"],
        sz_exp=row["sz_exp"],
    )


def with_status(instrument: Instrument, word: int) -> Instrument:
    """Return the instrument with the status of index `word`."""
    status = INSTRUMENT_STATUSES[word]
    return instrument if instrument.status == status else msgspec.structs.replace(instrument, status=status)


def write_instrument(instrument: Instrument, chained: bool = True) -> dict[str, Any]:
    """Return the row of a bus's table for an instrument."""

    def pair(value: Decimal) -> tuple[int, int]:
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        mantissa = int("".join(map(str, digits)))
        while mantissa and mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        return (-mantissa if sign else mantissa), exponent

    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "name": instrument.name,
        "kind": instrument.kind,
        "base": instrument.base,
        "quote": instrument.quote,
        "settle": instrument.settle,
        "tick_size": pair(instrument.tick_size),
        "lot_size": pair(instrument.lot_size),
        "contract_size": pair(instrument.contract_size),
        "contract_unit": instrument.contract_unit,
        "inverse": instrument.inverse,
        "expiry": instrument.expiry,
        "strike": None if instrument.strike is None else pair(instrument.strike),
        "option_type": instrument.option_type,
        "status": INSTRUMENT_STATUSES.index(instrument.status),
        "px_exp": instrument.px_exp,
        "sz_exp": instrument.sz_exp,
        "chained": chained,
    }

"""What the simulated Deribit lists: perpetuals and futures, options, spot, and the rows of `get_instruments`.

One socket serves all of it. Amounts of inverse contracts are in USD, all others in the base coin; `contract_size` turns
amounts into contracts and does not scale the book. Source: docs.deribit.com, "public/get_instruments" and
"book.{instrument_name}.{interval}" (2026-07).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import SECOND, Instrument

PERPETUAL_EXPIRY_MS = 32503708800000
CREATED_MS = 1766736000000

# What the `currency` of a request may be.
CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR", "any")
KINDS = ("future", "option", "spot", "future_combo", "option_combo", "combo", "any")

# Dear options have a coarser tick. The simulated ones stay below.
_OPTION_STEPS = [{"above_price": 5.0, "tick_size": 0.001}]

# Not those of the system's language.
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class Row:
    """How an instrument is made: numbers as text, `dated` for one that expires, `option` the letter of its type.

    `settle` is empty for spot. The contract is inverse if it settles in its base.
    """

    base: str
    quote: str
    settle: str
    tick: str
    lot: str
    price: str
    size: str
    dated: bool = False
    strike: str = ""
    option: str = ""


# Of every kind one comes early, so that a short list has several. Options of BTC are priced in BTC. One coin costs
# billionths of a dollar and is traded by the hundred billion.
_ROWS = (
    Row("BTC", "USD", "BTC", "0.5", "10", "67118.5", "24000"),
    Row("BTC", "USDC", "USDC", "0.1", "0.0001", "67121.3", "0.8"),
    Row("BTC", "USD", "BTC", "2.5", "10", "68030", "9000", dated=True),
    Row("BTC", "USD", "BTC", "0.0005", "0.1", "0.0425", "12", dated=True, strike="90000", option="C"),
    Row("BTC", "USDC", "", "1", "0.0001", "67119", "0.3"),
    Row("ETH", "USD", "ETH", "0.05", "1", "3512.75", "31000"),
    Row("ETH", "USD", "ETH", "0.0005", "1", "0.0615", "55", dated=True, strike="3400", option="P"),
    Row("XRP", "USDC", "USDC", "0.0001", "1", "0.0532", "8000", dated=True, strike="0.625", option="C"),
    Row("BABYDOGE", "USDC", "", "0.000000000001", "100000", "0.00000000123", "250000000000"),
)


def instruments(count: int | None, now: int) -> list[Instrument]:
    """Return the instruments; beyond those of the venue's own list, linear perpetuals are invented."""
    rows = list(_ROWS[:count])
    if count is not None:
        numbers = range(len(_ROWS), count)
        rows += [Row(f"SIM{number}", "USDC", "USDC", "0.001", "0.1", "12.345", "300") for number in numbers]
    expiry = next_quarter(now)
    return [_instrument(row, expiry) for row in rows]


def _instrument(row: Row, quarter: datetime) -> Instrument:
    symbol = f"{row.base}_{row.quote}" if row.settle in ("", row.quote) else row.base
    expiry = int(quarter.timestamp()) * SECOND if row.dated else None
    strike = Decimal(row.strike) if row.option else None
    option = {"C": "call", "P": "put", "": None}[row.option]
    if row.dated:
        symbol += f"-{quarter.day}{_MONTHS[quarter.month - 1]}{quarter:%y}"
    elif row.settle:
        symbol += "-PERPETUAL"
    if row.option:
        symbol += f"-{row.strike.replace('.', 'd')}-{row.option}"
    return Instrument(
        instrument_name(row.base, row.quote, row.settle, expiry, strike, option),
        symbol,
        row.base,
        row.quote,
        Decimal(row.tick),
        Decimal(row.lot),
        Decimal(row.price),
        Decimal(row.size),
        settle=row.settle or None,
        expiry=expiry,
        strike=strike,
        option=option,
        inverse=row.settle == row.base and option is None,
    )


def instrument_name(
    base: str, quote: str, settle: str, expiry: int | None, strike: Decimal | None, option: str | None
) -> str:
    """Return the unified name: BTC/USDC, BTC/USD:BTC, BTC/USD:BTC-261225, BTC/USD:BTC-261225-90000-C."""
    name = f"{base}/{quote}" + (f":{settle}" if settle else "")
    if expiry is not None:
        name += f"-{datetime.fromtimestamp(expiry / SECOND, UTC):%y%m%d}"
    return name if option is None else f"{name}-{strike:f}-{option[0].upper()}"


def next_quarter(now: int) -> datetime:
    """Return the last Friday, 08:00 UTC, of the first quarter that ends a month or more after `now`."""
    day = datetime.fromtimestamp(now / SECOND, UTC) + timedelta(days=30)
    while True:
        month = (day.month + 2) // 3 * 3
        first_after = datetime(day.year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
        friday = first_after - timedelta(days=(first_after.weekday() - 5) % 7 + 1)
        if friday > day:
            return friday
        day = first_after


def kind_of(row: Instrument) -> str:
    """Return the venue's kind: spot, option or future, of which perpetuals are some."""
    return "option" if row.option else "future" if row.settle else "spot"


def index_of(row: Instrument) -> str:
    """Return the price index of an instrument, such as `btc_usd`."""
    return f"{row.base}_{row.quote}".lower()


def matches(row: Instrument, kind: str, currency: str) -> bool:
    """Say whether an instrument belongs to `kind` and `currency`, either of which may be `any`."""
    currencies = {row.settle} if row.settle else {row.base, row.quote}
    return kind in ("any", kind_of(row)) and (currency == "any" or currency in currencies)


def listing(rows: list[Instrument]) -> list[dict[str, Any]]:
    """Return the rows of `get_instruments`, with a combination of futures that does not trade."""
    listed = [listed_row(row, number) for number, row in enumerate(rows)]
    dated = next((row for row in rows if row.expiry is not None and not row.option), None)
    if dated is not None:
        combo = listed_row(dated, len(rows))
        combo |= {"kind": "future_combo", "instrument_name": f"{dated.base}-FS-{dated.symbol.partition('-')[2]}_PERP"}
        listed.append(combo | {"is_active": False, "state": "inactive"})
    return listed


def listed_row(row: Instrument, number: int) -> dict[str, Any]:
    """Return one instrument as `get_instruments` shows it."""
    kind = kind_of(row)
    listed = {
        "tick_size": float(row.tick_size),
        "tick_size_steps": _OPTION_STEPS if kind == "option" else [],
        "taker_commission": 0.0005,
        "state": "open",
        "settlement_period": _period(row),
        "settlement_currency": row.settle,
        "quote_currency": row.base if kind == "option" and row.settle == row.base else row.quote,
        "price_index": index_of(row),
        "min_trade_amount": float(row.lot_size),
        "max_leverage": 50,
        "maker_commission": 0.0,
        "kind": kind,
        "is_active": True,
        "instrument_type": "reversed" if row.settle == row.base else "linear",
        "instrument_name": row.symbol,
        "instrument_id": 210_000 + number,
        "expiration_timestamp": PERPETUAL_EXPIRY_MS if row.expiry is None else row.expiry // 1_000_000,
        "creation_timestamp": CREATED_MS,
        "counter_currency": row.quote,
        "contract_size": 1.0 if kind == "option" else float(row.lot_size),
        "block_trade_commission": 0.0003,
        "base_currency": row.base,
    }
    if row.option:
        listed |= {"strike": float(row.strike or 0), "option_type": row.option}
    if not row.settle:
        for field in ("settlement_currency", "settlement_period", "expiration_timestamp", "max_leverage"):
            del listed[field]
    return listed


def _period(row: Instrument) -> str:
    return "perpetual" if row.expiry is None else "month"

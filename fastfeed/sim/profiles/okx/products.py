"""What OKX lists: instruments of four types, and their rows in the listing.

Source: okx.com/docs-v5, "Get instruments" (2026-07). Sizes of derivatives are contracts of ctVal * ctMult each.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import SECOND, Instrument
from fastfeed.sim.streams import decimals_of

SPOT, SWAP, FUTURES, OPTION = TYPES = ("SPOT", "SWAP", "FUTURES", "OPTION")

LISTED_MS = 1_611_907_200_000
AUCTION_STEP_NS = 30 * SECOND

# Extended perpetuals are futures by type that pay funding; their ids do not split at dashes like others.
XPERP = "_XPERP-"

# Base, tick, lot, start price, mean size: ordinary coins, one with a tick of 1e-13 that is traded by the hundred
# billion, and one before its opening.
_SPOT_ROWS = (
    ("BTC", "0.1", "0.00000001", "67123.4", "0.4"),
    ("SATS", "0.00000000001", "1", "0.0000000412", "3000000000"),
    ("BABYDOGE", "0.0000000000001", "1", "0.0000000006104", "250000000000"),
    ("OPENING", "0.0001", "0.01", "2.5012", "400"),
)
PRE_OPEN = "OPENING-USDT"

# In a call auction asks may stand below bids: by so many ticks.
CROSSED_TICKS = 40

# A contract that is announced has little more than its name.
_ANNOUNCED = {"instType": SWAP, "instId": "ETH-USD_UM-SWAP", "state": "preopen"}


def spot_instruments(count: int | None) -> list[Instrument]:
    """Return the instruments of the simulated spot market."""
    rows = list(_SPOT_ROWS[:count])
    rows += [(f"SIM{number}", "0.0001", "0.01", "12.3456", "300") for number in range(len(rows), count or 0)]
    return [
        Instrument(
            f"{base}/USDT", f"{base}-USDT", base, "USDT", Decimal(tick), Decimal(lot), Decimal(price), Decimal(size)
        )
        for base, tick, lot, price, size in rows
    ]


def swap_instruments(count: int | None) -> list[Instrument]:
    """Return the perpetuals: a linear and an inverse one, and invented linear ones."""
    rows = [
        _contract("BTC/USDT:USDT", "BTC-USDT-SWAP", tick="0.1", lot="0.01", price="67118.2", size="40", value="0.01"),
        _contract("BTC/USD:BTC", "BTC-USD-SWAP", tick="0.1", lot="1", price="67120.9", size="300", value="100"),
    ][:count]
    for number in range(len(rows), count or 0):
        pair = f"SIM{number}/USDT:USDT", f"SIM{number}-USDT-SWAP"
        rows.append(_contract(*pair, tick="0.0001", lot="1", price="12.3456", size="300", value="10"))
    return rows


def future_instruments(count: int | None, now: int) -> list[Instrument]:
    """Return an inverse future that expires after `now`, and an extended perpetual."""
    expiry = next_quarter(now)
    dated = _contract(
        f"BTC/USD:BTC-{expiry:%y%m%d}",
        f"BTC-USD-{expiry:%y%m%d}",
        tick="0.1",
        lot="1",
        price="68020.5",
        size="120",
        value="100",
    )
    extended = _contract(
        "BTC/USD:USD-310404", "BTC-USD_UM_XPERP-310404", tick="0.1", lot="1", price="67119", size="4000", value="0.0001"
    )
    end = datetime(2031, 4, 4, 8, tzinfo=UTC)
    return [replace(dated, expiry=_ns(expiry)), replace(extended, expiry=_ns(end))][:count]


def option_instruments(count: int | None, now: int) -> list[Instrument]:
    """Return a call and a put that expire after `now`."""
    expiry = next_quarter(now)
    rows = []
    for strike, option, price in (("70000", "call", "0.0561"), ("60000", "put", "0.0312")):
        tail = f"{expiry:%y%m%d}-{strike}-{option[0].upper()}"
        row = _contract(
            f"BTC/USD:BTC-{tail}", f"BTC-USD-{tail}", tick="0.0001", lot="1", price=price, size="30", value="0.01"
        )
        rows.append(replace(row, expiry=_ns(expiry), strike=Decimal(strike), option=option, inverse=True))
    return rows[:count]


def next_quarter(now: int) -> datetime:
    """Return the last Friday, 08:00 UTC, of the first quarter that ends a month or more after `now`."""
    day = datetime.fromtimestamp(now / SECOND, UTC) + timedelta(days=30)
    quarter = day.year * 4 + (day.month + 2) // 3
    while True:
        after = datetime(quarter // 4, quarter % 4 * 3 + 1, 1, 8, tzinfo=UTC)
        friday = after - timedelta(days=(after.weekday() - 5) % 7 + 1)
        if friday > day:
            return friday
        quarter += 1


def type_of(instrument: Instrument) -> str:
    """Return the instrument's instType."""
    if instrument.option is not None:
        return OPTION
    if instrument.expiry is not None:
        return FUTURES
    return SPOT if instrument.settle is None else SWAP


def index_of(instrument: Instrument) -> str:
    """Return the index or underlying, which are called alike, such as BTC-USD."""
    return f"{instrument.base}-{instrument.quote}"


def pays_funding(instrument: Instrument) -> bool:
    """Say whether funding is paid: by perpetuals, extended ones too."""
    return type_of(instrument) == SWAP or XPERP in instrument.symbol


def listing_row(instrument: Instrument, code: int, state: str, now: int) -> dict[str, Any]:
    """Return an instrument as listed; all values but `instIdCode` are text, empty where they mean nothing."""
    kind = type_of(instrument)
    is_spot, is_option = kind == SPOT, kind == OPTION
    value = {"ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": ""}
    if not is_spot:
        # An option's value is 1 coin, its multiplier the contract's size.
        ct_val, ct_mult = ("1", text(instrument.contract_size)) if is_option else (text(instrument.contract_size), "1")
        is_quote = instrument.inverse and not is_option
        value = {
            "ctVal": ct_val,
            "ctMult": ct_mult,
            "ctValCcy": instrument.quote if is_quote else instrument.base,
            "ctType": "" if is_option else "inverse" if instrument.inverse else "linear",
        }
    is_extended = XPERP in instrument.symbol
    auction_ms = (now // AUCTION_STEP_NS + 4) * AUCTION_STEP_NS // 1_000_000 if state == "preopen" else 0
    return {
        "instType": kind,
        "instId": instrument.symbol,
        "instIdCode": code,
        "instFamily": "" if is_spot else instrument.symbol.rpartition("-")[0] if is_extended else index_of(instrument),
        "uly": "" if is_spot else index_of(instrument),
        "baseCcy": instrument.base if is_spot else "",
        "quoteCcy": instrument.quote if is_spot else "",
        "settleCcy": instrument.settle or "",
        **value,
        "tickSz": text(instrument.tick_size),
        "lotSz": text(instrument.lot_size),
        "minSz": text(instrument.lot_size),
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "lever": "" if is_option else "10",
        "listTime": str(LISTED_MS),
        "expTime": "" if instrument.expiry is None else str(instrument.expiry // 1_000_000),
        "optType": "" if instrument.option is None else instrument.option[0].upper(),
        "stk": "" if instrument.strike is None else text(instrument.strike),
        "state": state,
        "ruleType": "xperp" if is_extended else "normal",
        "auctionEndTime": str(auction_ms or ""),
        "contTdSwTime": str(auction_ms or LISTED_MS),
        "tradeQuoteCcyList": [instrument.quote] if is_spot else [],
    }


def announced_row(blank: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a swap that is only announced: `blank` is any row, whose other values are emptied."""
    empty = {key: [] if isinstance(value, list) else "" for key, value in blank.items()}
    return {**empty, "instIdCode": None, **_ANNOUNCED}


def listed_instrument(row: dict[str, Any]) -> Instrument:
    """Return the instrument of a listing's row."""
    kind = row["instType"]
    base, quote = (row["baseCcy"], row["quoteCcy"]) if kind == SPOT else row["uly"].split("-")
    name = f"{base}/{quote}" if kind == SPOT else f"{base}/{quote}:{row['settleCcy']}"
    expiry = int(row["expTime"]) * 1_000_000 if row["expTime"] and kind in (FUTURES, OPTION) else None
    if expiry is not None:
        name += f"-{datetime.fromtimestamp(expiry / SECOND, UTC):%y%m%d}"
    if kind == OPTION:
        name += f"-{row['stk']}-{row['optType']}"
    return Instrument(
        name,
        row["instId"],
        base,
        quote,
        Decimal(row["tickSz"]),
        Decimal(row["lotSz"]),
        Decimal(0),
        Decimal(0),
        row["settleCcy"] or None,
        expiry,
        Decimal(row["stk"]) if row["stk"] else None,
        {"C": "call", "P": "put"}.get(row["optType"]),
        Decimal(row["ctVal"]) * Decimal(row["ctMult"]) if row["ctVal"] else Decimal(1),
        kind != SPOT and row["settleCcy"] == base,
    )


def text(value: Decimal) -> str:
    """Return a decimal as the venue writes it: no exponent, no zeros at the end."""
    return f"{value:.{decimals_of(value.normalize())}f}"


def _contract(name: str, symbol: str, *, tick: str, lot: str, price: str, size: str, value: str) -> Instrument:
    pair, _, tail = name.partition(":")
    base, _, quote = pair.partition("/")
    settle = tail.partition("-")[0]
    numbers = Decimal(tick), Decimal(lot), Decimal(price), Decimal(size)
    inverse = settle == base
    return Instrument(name, symbol, base, quote, *numbers, settle, contract_size=Decimal(value), inverse=inverse)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND

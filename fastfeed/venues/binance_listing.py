"""Rows of Binance's listings, spot and USD-M, to instruments.

Rows are read one by one, so that a malformed row costs itself and not the listing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from fastfeed.instrument import Instrument, Status, derive_exponents, plain

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Millis = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 10**6)]  # ns since the epoch fit an int64


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: Decimal | None = None
    max_price: Decimal | None = None
    step_size: Decimal | None = None
    max_qty: Decimal | None = None


class _Row(msgspec.Struct, rename="camel"):
    symbol: _Name
    base_asset: _Name
    quote_asset: _Name
    filters: list[_Filter]
    status: str = ""
    # USD-M only
    contract_type: str = ""
    delivery_date: _Millis = 0
    margin_asset: str = ""


# filters.md, PRICE_FILTER and LOT_SIZE. The fields called ...Precision are not the steps, on either product.
_PRICE, _LOT = "PRICE_FILTER", "LOT_SIZE"

# Delivery date of what is never delivered; also given for listed contracts without a type (seen in 2021: BTCSTUSDT).
_NEVER = 4133404800000

# ccxt's codes for assets that Binance names differently
_CURRENCIES = {"XBT": "BTC", "BCHSV": "BSV", "YOYO": "YOYOW"}

# enums.md, Symbol status; common-definition, Contract status. Others have appeared unannounced, and are unknown.
STATUSES: dict[str, Status] = {
    "TRADING": "trading",
    "CANCEL_ONLY": "cancel_only",
    "HALT": "halted",
    "BREAK": "halted",
    "AUCTION_MATCH": "halted",
    "TRADING_HALT": "halted",
    "DOWN": "halted",
    "PENDING_TRADING": "pending",
    "PRE_TRADING": "pending",
    "POST_TRADING": "closed",
    "END_OF_DAY": "closed",
    "PRE_DELIVERING": "closed",
    "DELIVERING": "closed",
    "DELIVERED": "closed",
    "PRE_SETTLE": "closed",
    "SETTLING": "closed",
    "CLOSE": "closed",
    "PRE_DELISTING": "closed",
    "DELISTING": "closed",
}


def read_row(row: msgspec.Raw, venue: str, is_contract: bool) -> Instrument:
    """Return the instrument of a row of `exchangeInfo`.

    Parameters
    ----------
    is_contract : the row is one of USD-M

    Raises
    ------
    ValueError : the row is malformed, or its numbers do not fit
    """
    try:
        return _instrument(msgspec.json.decode(row, type=_Row), venue, is_contract)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row, venue: str, is_contract: bool) -> Instrument:
    filters = {each.filter_type: each for each in row.filters}
    price, lot = filters.get(_PRICE), filters.get(_LOT)
    if price is None or price.tick_size is None:
        raise ValueError(f"expected a {_PRICE} with a tickSize, was none")
    if lot is None or lot.step_size is None:
        raise ValueError(f"expected a {_LOT} with a stepSize, was none")
    # filters.md: a limit of 0 is no limit
    px_exp, sz_exp = derive_exponents(price.tick_size, lot.step_size, price.max_price or None, lot.max_qty or None)

    base, quote = _currency(row.base_asset), _currency(row.quote_asset)
    kind: Literal["spot", "swap", "future"] = "spot"
    settle = expiry = None
    unified = f"{base}/{quote}"
    if is_contract:
        settle = _currency(row.margin_asset)
        if settle != quote:
            raise ValueError(f"expected a contract that settles in {quote}, was {settle or 'none'}")
        unified = f"{unified}:{settle}"
        kind = "swap"
        if not row.contract_type.endswith("PERPETUAL") and row.delivery_date != _NEVER:
            kind = "future"
            if not row.delivery_date:
                raise ValueError(f"expected a deliveryDate of a {row.contract_type} contract, was none")
            expiry = row.delivery_date * 10**6
            day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row.delivery_date)
            unified = f"{unified}-{day:%y%m%d}"
    return Instrument(
        venue=venue,
        symbol=row.symbol,
        name=f"{venue}:{unified}",
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        tick_size=plain(price.tick_size),
        lot_size=plain(lot.step_size),
        contract_size=Decimal(1),
        contract_unit=base,
        inverse=False,
        expiry=expiry,
        strike=None,
        option_type=None,
        status=STATUSES.get(row.status, "unknown"),
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _currency(asset: str) -> str:
    code = asset.upper()
    return _CURRENCIES.get(code, code)


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"symbol": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])

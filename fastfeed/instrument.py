"""Describe what is traded: instruments, their names, and the exponents that make their numbers integers.

A price or size is kept as an int64 mantissa with a fixed exponent per instrument: value = mantissa * 10**exponent. `px`
and `sz` name mantissas, `price` and `size` human numbers. No number is ever rounded on its way: it is exact or an
error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from fastfeed.errors import MalformedReply

__all__ = [
    "Instrument",
    "Kind",
    "Status",
    "derive_exponents",
    "instruments",
    "plain",
    "read_instruments",
    "to_decimal",
    "to_float",
    "to_mantissa",
]

_log = logging.getLogger(__name__)

Kind = Literal["spot", "swap", "future", "option"]
Status = Literal["trading", "cancel_only", "halted", "pending", "closed", "unknown"]

INT64_MAX = 2**63 - 1
_FINER = 2  # digits beyond tick and lot that are wanted: average prices and odd lots need them
_MARGIN = 100  # a level adds up many orders, and a venue raises its maximum as a price grows
_PIECE = 64  # rows of a listing that are read at a time: about a millisecond
_EXPONENT_MIN = -18  # 10**18 is the largest power of ten in an int64


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a venue trades, as its listing describes it."""

    venue: str  # the venue's id
    symbol: str  # the venue's own text
    name: str  # venue, colon, ccxt's unified symbol
    kind: Kind
    base: str
    quote: str
    settle: str | None  # currency that a contract settles in; None for spot
    tick_size: Decimal  # step of prices
    lot_size: Decimal  # step of sizes
    contract_size: Decimal  # how much of `contract_unit` a size of 1 is
    contract_unit: str
    inverse: bool  # settles in the base currency
    expiry: int | None  # ns since the epoch; None for what never expires
    strike: Decimal | None
    option_type: Literal["call", "put"] | None
    status: Status
    px_exp: int  # price = px * 10**px_exp
    sz_exp: int  # size = sz * 10**sz_exp

    def price(self, px: int) -> Decimal:
        """Return the price that the mantissa `px` stands for, exactly."""
        return to_decimal(px, self.px_exp)

    def size(self, sz: int) -> Decimal:
        """Return the size that the mantissa `sz` stands for, exactly."""
        return to_decimal(sz, self.sz_exp)

    def to_px(self, price: Decimal | int | str) -> int:
        """Return the mantissa of `price`.

        Raises
        ------
        ValueError : `px_exp` cannot hold it exactly.
        """
        return to_mantissa(price, self.px_exp)

    def to_sz(self, size: Decimal | int | str) -> int:
        """Return the mantissa of `size`.

        Raises
        ------
        ValueError : `sz_exp` cannot hold it exactly.
        """
        return to_mantissa(size, self.sz_exp)

    def to_base(self, size: Decimal, price: Decimal | None = None) -> Decimal:
        """Return `size` in units of the base currency.

        Contracts of an amount of another currency (inverse ones: 10 USD, 100 USD) need the price.

        Raises
        ------
        ValueError : the price is needed, and was not given or is not positive.
        """
        if self.contract_unit == self.base:
            return size * self.contract_size
        if price is None or price <= 0:
            raise ValueError(
                f"expected the price of {self.name}, whose contracts are in {self.contract_unit}, was {price}"
            )
        return size * self.contract_size / price


def to_decimal(mantissa: int, exponent: int) -> Decimal:
    """Return mantissa * 10**exponent exactly, whatever the current decimal context."""
    return Decimal(f"{mantissa}E{exponent}")


def plain(value: Decimal) -> Decimal:
    """Return `value` without trailing zeros behind the point: 0.01000000 as 0.01, 100 as it is."""
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def to_float(mantissa: int, exponent: int) -> float:
    """Return the float nearest to mantissa * 10**exponent."""
    if -(2**53) <= mantissa <= 2**53 and -22 <= exponent <= 0:
        # Both operands are exact floats, so the division rounds once. A multiplication by 1e-2 would round twice.
        return mantissa / 10.0**-exponent
    return float(to_decimal(mantissa, exponent))


def to_mantissa(value: Decimal | int | str, exponent: int) -> int:
    """Return the mantissa with mantissa * 10**exponent == value.

    Raises
    ------
    ValueError : `value` is no number, has a digit below the exponent, or does not fit an int64.
    """
    try:
        sign, digits, own = Decimal(value).as_tuple()
    except ArithmeticError:
        raise ValueError(f"expected a number, was {value!r}") from None
    if not isinstance(own, int):  # infinities and NaN have a letter there
        raise ValueError(f"expected a finite number, was {value!r}")
    mantissa = int("".join(map(str, digits)))
    if mantissa == 0:
        return 0
    shift = own - exponent
    # The bounds come first: 10**shift of "1E+999999999" would take all memory.
    if shift > 18 or shift < -len(digits):
        rest, mantissa = 1, 0
    elif shift >= 0:
        rest, mantissa = 0, mantissa * 10**shift
    else:
        mantissa, rest = divmod(mantissa, 10**-shift)
    if rest or mantissa > INT64_MAX:
        raise ValueError(f"expected a multiple of 1e{exponent} that fits 64 bits, was {value}")
    return -mantissa if sign else mantissa


def derive_exponents(
    tick: Decimal, lot: Decimal, max_price: Decimal | None = None, max_size: Decimal | None = None
) -> tuple[int, int]:
    """Return the exponents `(px_exp, sz_exp)` of an instrument.

    The rule, for price and size alike. Start at the exponent of the step's last digit (0.05 has -2), or 0 for a step of
    whole numbers. Go two digits finer; take back one, then the other, while a hundredfold of the largest value that the
    venue allows would not fit an int64. The step itself is the end: if even there the largest value does not fit,
    refuse. Exponents are from -18 to 0.

    Raises
    ------
    ValueError : a step is not positive, or int64 cannot hold both the step and the largest value.
    """
    return _derive_exponent("tick size", tick, max_price), _derive_exponent("lot size", lot, max_size)


def _derive_exponent(what: str, step: Decimal, largest: Decimal | None) -> int:
    if not (step.is_finite() and step > 0):
        raise ValueError(f"expected a positive {what}, was {step}")
    own = _last_digit(step)
    most = step if largest is None or not largest.is_finite() else max(step, largest)
    for exponent in range(max(own - _FINER, _EXPONENT_MIN), own):
        if _fits(most, _MARGIN, exponent):
            return exponent
    if own < _EXPONENT_MIN or not _fits(most, 1, own):
        raise ValueError(f"expected a {what} that fits 64 bits together with a value of {most}, was {step}")
    return own


def _last_digit(step: Decimal) -> int:
    """The exponent of the last digit that is not zero, at most 0."""
    _, digits, exponent = step.as_tuple()
    assert isinstance(exponent, int)  # finite
    text = "".join(map(str, digits))
    return min(exponent + len(text) - len(text.rstrip("0")), 0)


def _fits(value: Decimal, factor: int, exponent: int) -> bool:
    # `adjusted` is the exponent of the first digit: it rules out what would be integers of any length below.
    if value.adjusted() - exponent > 18:
        return False
    numerator, denominator = value.as_integer_ratio()
    scale: int = 10**-exponent
    return numerator * factor * scale <= INT64_MAX * denominator


def instruments(venue: str, body: bytes | str | Iterable[bytes | str], product: str | None = None) -> list[Instrument]:
    """Read a venue's listing.

    Parameters
    ----------
    venue : the venue's id.
    body : the reply of the venue's listing call, or a list of such pages.
    product : the product that was asked; told from each page if None.

    Returns
    -------
    instruments in the venue's order, one per name. A row that cannot be read costs itself and is logged.

    Raises
    ------
    ConfigError, ValueError : there is no such venue or product.
    MalformedReply : a page is not a listing, or none of its rows can be read.
    """
    found: dict[str, Instrument] = {}
    for _ in read_instruments(found, venue, [body] if isinstance(body, (bytes, str)) else body, product):
        pass
    return list(found.values())


def read_instruments(
    found: dict[str, Instrument], venue: str, pages: Iterable[bytes | str], product: str | None = None
) -> Iterator[None]:
    """Read a venue's listing a piece at a time, for who cannot wait until it is done; errors as of `instruments`.

    Parameters
    ----------
    found : the instruments by name, complete at the end
    """
    from fastfeed import venues  # late: venue files import this module
    from fastfeed.venues.spec import product_named

    module = venues.load(venue)
    chosen = None if product is None else product_named(module, product)
    for page in pages:
        listed = module.read_listing(page, chosen)
        page_product, rows = listed.product, listed.rows
        skipped: list[str] = []
        for number, row in enumerate(rows):
            if number % _PIECE == 0:
                yield
            try:
                _add(found, module.read_instrument(row, page_product))
            except ValueError as error:
                skipped.append(str(error))
        if not skipped:
            continue
        if len(skipped) == len(rows):
            raise MalformedReply(venue, None, f"listing ({page_product.name})", f"no row can be read: {skipped[0]}")
        _log.warning(
            "listing rows skipped venue=%s product=%s skipped=%d of=%d first=%r",
            venue,
            page_product.name,
            len(skipped),
            len(rows),
            skipped[0],
        )


def _add(found: dict[str, Instrument], new: Instrument) -> None:
    """Enter `new`, unless a living instrument has its name: venues keep settled ones listed under a changed symbol."""
    old = found.setdefault(new.name, new)
    if old is new:
        return
    if new.status == "trading" and old.status != "trading":
        found[new.name], new = new, old
    raise ValueError(f"{new.symbol}: expected a name of its own, was {new.name}, which is {found[new.name].symbol}")

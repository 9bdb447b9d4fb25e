"""Numbers as Deribit writes them: JSON numbers, never strings, in the shorter of decimal and exponent form."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache


def writer(step: Decimal, *, integers: bool = False) -> Callable[[int], str]:
    """Return a function that writes a count of steps exactly, as 1054.0, 4.25e4 or 1.423e-4.

    With `integers`, steps without decimals are written as such, as the venue does with whole prices.
    """
    factor, exponent = scaled(step)
    if integers and exponent >= 0:
        return lambda count: str(count * factor * 10**exponent)
    return lru_cache(maxsize=4096)(lambda count: float_text(count * factor, exponent))


def scaled(value: Decimal) -> tuple[int, int]:
    """Return mantissa and exponent of a decimal number."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return int(value.scaleb(-exponent)), exponent


def decimal_text(value: Decimal) -> str:
    """Return a decimal number as a float, as `float_text` does."""
    return float_text(*scaled(value))


def float_text(mantissa: int, exponent: int) -> str:
    """Return mantissa * 10**exponent as a float, exact and as short as can be; decimal where both are as long."""
    if mantissa < 0:
        return "-" + float_text(-mantissa, exponent)
    text = str(mantissa)
    digits = text.rstrip("0")
    if not digits:
        return "0.0"
    point = len(text) + exponent  # digits before the decimal point; zero or less for 0.0..
    if point > len(digits):
        decimal = digits + "0" * (point - len(digits)) + ".0"
    elif point > 0:
        decimal = f"{digits[:point]}.{digits[point:] or '0'}"
    else:
        decimal = "0." + "0" * -point + digits
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{point - 1}"
    return scientific if len(scientific) < len(decimal) else decimal

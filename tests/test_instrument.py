"""Exponents and exact numbers, by property; the listing function, by example."""

import math
import subprocess
import sys
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastfeed.errors import ConfigError, MalformedReply
from fastfeed.instrument import (
    INT64_MAX,
    Instrument,
    derive_exponents,
    instruments,
    plain,
    to_decimal,
    to_float,
    to_mantissa,
)

EXPONENTS = st.integers(-18, 0)
MANTISSAS = st.integers(-INT64_MAX, INT64_MAX)
STEPS = st.builds(to_decimal, st.integers(1, 10**6), st.integers(-18, 6))


def make(**changes):
    fields = {
        "venue": "okx",
        "symbol": "BTC-USDT",
        "name": "okx:BTC/USDT",
        "kind": "spot",
        "base": "BTC",
        "quote": "USDT",
        "settle": None,
        "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.00001"),
        "contract_size": Decimal(1),
        "contract_unit": "BTC",
        "inverse": False,
        "expiry": None,
        "strike": None,
        "option_type": None,
        "status": "trading",
        "px_exp": -4,
        "sz_exp": -7,
    }
    return Instrument(**fields | changes)


# Exponents


@pytest.mark.parametrize(
    ("step", "largest", "exponent"),
    [
        ("0.01", "1000000", -4),
        ("0.01000000", "1000000.00000000", -4),
        ("0.05", None, -4),
        ("1e-12", "100", -14),
        ("1", "46116860414.00", -2),
        ("10.00000000", None, -2),
        ("100", None, -2),
        ("100000", None, -2),
        ("0.00000001", "1000", -10),
        ("0.00000001", "90000000", -9),  # of which a hundredfold, at -9, is 9e18; at -10 it is past 64 bits
        ("0.00000001", "90000000000", -8),  # 9e18 without any margin
        ("1e-18", "9", -18),
    ],
)
def test_exponent_of_known_steps(step, largest, exponent):
    found = derive_exponents(Decimal(step), Decimal(step), *(2 * [largest and Decimal(largest)]))
    assert found == (exponent, exponent)


def test_price_and_size_have_exponents_of_their_own():
    assert derive_exponents(Decimal("0.1"), Decimal("0.001")) == (-3, -5)


@given(STEPS, st.none() | st.decimals(0, 10**12, allow_nan=False))
def test_exponent_holds_every_step_and_the_largest_value(step, largest):
    try:
        exponent, _ = derive_exponents(step, Decimal(1), largest)
    except ValueError:
        assume(False)
    assert -18 <= exponent <= 0
    assert to_decimal(to_mantissa(step, exponent), exponent) == step
    if largest is not None:
        assert largest <= INT64_MAX * to_decimal(1, exponent)


@given(STEPS)
def test_exponent_is_two_digits_finer_where_64_bits_allow(step):
    own = min(step.normalize().as_tuple().exponent, 0)
    assume(own >= -16)
    exponent, _ = derive_exponents(step, Decimal(1), step)
    assert exponent <= own
    if step * 100 / Decimal(10) ** (own - 2) <= INT64_MAX:
        assert exponent == own - 2


@pytest.mark.parametrize(
    ("tick", "largest"),
    [
        ("0", None),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e-19", None),
        ("1e-8", "1e12"),
        ("1e-8", "1e999999"),
    ],
)
def test_step_that_64_bits_cannot_hold_is_refused(tick, largest):
    with pytest.raises(ValueError, match="tick size"):
        derive_exponents(Decimal(tick), Decimal(1), largest and Decimal(largest))


# Exact numbers


@given(MANTISSAS, EXPONENTS)
def test_mantissa_to_text_to_mantissa_is_the_identity(mantissa, exponent):
    assert to_mantissa(str(to_decimal(mantissa, exponent)), exponent) == mantissa
    assert to_mantissa(f"{to_decimal(mantissa, exponent):f}", exponent) == mantissa


@given(MANTISSAS, EXPONENTS)
def test_decimal_is_exact_in_any_context(mantissa, exponent):
    with localcontext(prec=3):
        value = to_decimal(mantissa, exponent)
    assert Fraction(value) == Fraction(mantissa, 10**-exponent)


@given(MANTISSAS, EXPONENTS)
def test_float_is_the_nearest_one(mantissa, exponent):
    assert to_float(mantissa, exponent) == float(f"{mantissa}e{exponent}")


def test_float_of_a_price_is_what_its_text_reads_as():
    assert to_float(6712345, -2) == 67123.45
    assert to_float(3, -1) == 0.3  # 3 * 0.1 is 0.30000000000000004


@given(st.decimals(allow_nan=True, allow_infinity=True), EXPONENTS)
def test_to_mantissa_is_exact_or_refuses(value, exponent):
    try:
        mantissa = to_mantissa(value, exponent)
    except ValueError:
        scaled = value.as_tuple()
        if value.is_finite() and value.adjusted() - exponent < 18:
            # Refused although small enough: then it has a digit below the exponent.
            digits = "".join(map(str, scaled.digits)).rstrip("0")
            assert scaled.exponent + len(scaled.digits) - len(digits) < exponent
        return
    assert abs(mantissa) <= INT64_MAX
    assert to_decimal(mantissa, exponent) == value


@pytest.mark.parametrize(
    "value", ["", "abc", "1e999999999", "1e-999999999", "0.001", "nan", "inf", 2**63, 0.1, "1e17"], ids=str
)
def test_number_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match="expected"):
        to_mantissa(value, -2)


def test_zero_has_a_mantissa_whatever_its_exponent():
    assert to_mantissa("0E-999999999", -2) == to_mantissa("-0.000000000", -2) == 0


@pytest.mark.parametrize(
    ("text", "shown"), [("0.01000000", "0.01"), ("100.00", "100"), ("100", "100"), ("1E+2", "100"), ("0.10", "0.1")]
)
def test_plain_drops_trailing_zeros_behind_the_point(text, shown):
    assert str(plain(Decimal(text))) == shown


# Instruments


def test_mantissas_become_prices_and_sizes_and_return():
    instrument = make()
    assert instrument.price(671234500) == Decimal("67123.45")
    assert instrument.to_px("67123.45") == 671234500
    assert instrument.size(15000000) == Decimal("1.5")
    assert instrument.to_sz(Decimal("1.5")) == 15000000


def test_size_in_base_currency_needs_contracts_in_it():
    assert make(contract_size=Decimal("0.01")).to_base(Decimal(3)) == Decimal("0.03")
    with pytest.raises(ValueError, match=r"expected the price of .*, whose contracts are in USD, was None"):
        make(contract_unit="USD").to_base(Decimal(3))
    inverse = make(contract_unit="USD", contract_size=Decimal(10))
    assert inverse.to_base(Decimal(3), Decimal(60_000)) == Decimal("0.0005")


def test_instrument_is_frozen_and_hashable():
    instrument = make()
    assert hash(instrument) == hash(make())
    with pytest.raises(AttributeError):
        instrument.px_exp = 0


def test_unknown_venue_is_named_with_a_hint():
    with pytest.raises(ConfigError, match=r"expected one of .*binance.*, was 'binanse' \(did you mean binance\?\)"):
        instruments("binanse", b"{}")


def test_unknown_product_is_named():
    with pytest.raises(ValueError, match="expected a product of binance"):
        instruments("binance", b"{}", product="options")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"{}", b'{"symbols":{}}', "null"], ids=repr)
def test_body_that_is_no_listing_is_refused(body):
    with pytest.raises(MalformedReply, match="malformed listing of binance: "):
        instruments("binance", body)


def test_module_imports_no_networking_and_no_venue():
    code = (
        "import sys, fastfeed.instrument; "
        "print(sorted({'aiohttp', 'picows', 'uvloop', 'asyncio', 'fastfeed.venues'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_infinite_float_is_not_a_mantissa():
    with pytest.raises(ValueError, match="finite"):
        to_mantissa(math.inf, 0)

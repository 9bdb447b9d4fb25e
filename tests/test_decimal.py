"""decimal: text to mantissa is exact or an error."""

from __future__ import annotations

import decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastfeed_core.decimal import parse

numbers = st.from_regex(rb"-?(0|[1-9][0-9]{0,21})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
plain = st.from_regex(rb"(0|[1-9][0-9]{0,9})(\.[0-9]{1,10})?", fullmatch=True)


def expected(text: bytes, exponent: int) -> int | None:
    """The mantissa by exact arithmetic; None if there is none."""
    sign, digits, own = decimal.Decimal(text.decode()).as_tuple()
    whole = int("".join(map(str, digits)))
    if whole == 0:
        return 0
    shift = own - exponent
    if shift < -60 or shift > 60:
        return None
    value, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    if rest or value >= 2**63:
        return None
    return -value if sign else value


@given(st.one_of(numbers, plain), st.integers(-18, 18))
@example(b"61737.63000000", -4)
@example(b"0.00000000", -7)
@example(b"9223372036854775807", 0)
@example(b"9223372036854775808", 0)
@example(b"92233720368547758.07", -2)
@example(b"1e-12", -12)
@example(b"46116860414.00000000", -8)
@example(b"9999999.99999999", -8)
@example(b"0.12345678", -4)
@example(b"7.12340000", -4)
def test_every_number_is_exact_or_refused(text, exponent):
    wanted = expected(text, exponent)
    if wanted is None:
        with pytest.raises(ValueError, match="cannot read"):
            parse(text, exponent)
    else:
        assert parse(text, exponent) == wanted


@given(plain, st.integers(-12, 0), st.integers(0, 30))
def test_a_number_reads_the_same_wherever_its_buffer_ends(text, exponent, room):
    # Eight characters are read at a time where there are eight: the end of the buffer must not matter.
    wanted = expected(text, exponent)
    try:
        found = parse(text, exponent)
    except ValueError:
        found = None
    assert found == wanted


@pytest.mark.parametrize(
    "text", [b"", b"-", b".", b"1.", b".5", b"+1", b"01", b"00", b"-01", b"1e", b"1e+", b"1.e1", b"0x1", b"1 ", b"NaN"]
)
def test_what_is_no_json_number_is_refused(text):
    with pytest.raises(ValueError, match="cannot read"):
        parse(text, -8)


@given(st.binary(max_size=24))
def test_garbage_is_read_only_if_it_is_a_number(text):
    try:
        found = parse(text, -6)
    except ValueError:
        return
    assert found == expected(text, -6)

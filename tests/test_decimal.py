"""decimal: text to mantissa is exact or an error."""

from __future__ import annotations

import decimal
import re
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastfeed_core.decimal import parse, parse_any
from fastfeed_core.inject import read_id, read_number, read_pairs

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


wide = st.from_regex(rb"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def normal(value: decimal.Decimal) -> tuple[int, int] | None:
    """Mantissa without trailing zeros but for those in front of the point, and exponent; None if there is no room."""
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits)))
    while whole and whole % 10 == 0:
        whole, exponent = whole // 10, exponent + 1
    if whole == 0:
        return 0, 0
    while exponent > 0 and whole * 10 < 2**63:
        whole, exponent = whole * 10, exponent - 1
    if whole >= 2**63 or not -100 <= exponent <= 100:
        return None
    return (-whole if sign else whole), exponent


@given(st.one_of(numbers, plain, wide))
@example(b"0")
@example(b"-0.000e5")
@example(b"100")
@example(b"1e18")
@example(b"1e19")
@example(b"9223372036854775807")
@example(b"9223372036854775808")
@example(b"92233720368547758070")
@example(b"0.00010000")
@example(b"1e-100")
@example(b"1e-101")
@example(b"1e119")
@example(b"1e118")
@example(b"1e9999")
@example(b"0.0000000000000000000000000000000000000001e40")
@example(b"12345678901234567890")
@example(b"1234567890123456789000000")
@example(b"1.2345678901234567890")
def test_a_number_of_any_exponent_is_exact_or_refused(text):
    wanted = normal(decimal.Decimal(text.decode()))
    if wanted is None:
        with pytest.raises(ValueError, match="cannot read"):
            parse_any(text)
    else:
        mantissa, exponent = parse_any(text)
        assert (mantissa, exponent) == wanted
        assert decimal.Decimal(mantissa).scaleb(exponent) == decimal.Decimal(text.decode())


@pytest.mark.parametrize("text", [b"", b"-", b"+1", b"01", b"1.", b".5", b"1e", b"1e+", b"0x1", b"1 ", b"NaN", b"1_0"])
def test_what_is_no_json_number_is_refused_with_any_exponent(text):
    with pytest.raises(ValueError, match="cannot read"):
        parse_any(text)


@pytest.mark.parametrize(("text", "wanted"), [
    (b"1.50", (15, -1)), (b'"1.50"', (15, -1)), (b'"-0.0001"', (-1, -4)), (b'"0"', (0, 0)),
    (b'""', None), (b"null", None),
])  # fmt: skip
def test_a_field_of_a_ticker(text, wanted):
    assert read_number(text) == wanted


@pytest.mark.parametrize("text", [
    b'"', b'"1', b'"1"x', b'"1e"', b"nul", b"nothing", b"true", b"[1]", b'"null"', b"", b"n", b"1e99999999999999999999",
])  # fmt: skip
def test_a_field_that_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        read_number(text)


# Ids of trades


@given(st.integers(0, 10**19 - 1))
def test_an_integer_id(number):
    kind, raw = read_id(b'"%d"' % number)
    assert (kind, int.from_bytes(raw[:8], "little"), raw[8:]) == (1, number, bytes(8))


@given(st.uuids(), st.booleans())
def test_a_uuid(value, upper):
    text = str(value).upper() if upper else str(value)
    assert read_id(f'"{text}"'.encode()) == (2, value.bytes)


@given(st.text(st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=("Cs",)), min_size=1,
               max_size=24))  # fmt: skip
def test_an_id_of_text(text):
    raw = text.encode()
    if raw.isdigit() and raw.isascii() and len(raw) <= 19 and (raw[:1] != b"0" or len(raw) == 1):
        wanted = (1, int(raw).to_bytes(16, "little"))
    elif len(raw) <= 16:
        wanted = (3, raw.ljust(16, b"\0"))
    else:
        with pytest.raises(ValueError, match=r"."):
            read_id(b'"' + raw + b'"')
        return
    assert read_id(b'"' + raw + b'"') == wanted


@given(st.uuids().map(lambda value: bytearray(str(value).encode())), st.integers(0, 35), st.sampled_from(b"-gz0 ."))
def test_a_uuid_with_one_character_changed_is_refused_or_another_uuid(text, at, byte):
    text[at] = byte
    shape = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    wanted = uuid.UUID(text.decode()).bytes if re.fullmatch(shape, text) else None
    if wanted is None:
        with pytest.raises(ValueError, match=r"."):
            read_id(b'"' + bytes(text) + b'"')
    else:
        assert read_id(b'"' + bytes(text) + b'"') == (2, wanted)


@pytest.mark.parametrize("text", [
    b'""', b'"a\\u0062"', b'"00000000000000000001"', b'"18446744073709551616"', b'"' + b"a" * 17 + b'"',
])  # fmt: skip
def test_an_id_without_room_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        read_id(text)


# Levels


@pytest.mark.parametrize(("text", "more", "wanted"), [
    (b"[]", False, []),
    (b"[ ]", True, []),
    (b'[["1.5","2"]]', False, [(15, 200)]),
    (b"[[1.5, 2] , [1, 0]]", False, [(15, 200), (10, 0)]),
    (b'[["1","2","0","4"],["3","4"]]', True, [(10, 200), (30, 400)]),
    (b'[["1","2",{"a":[1]}, null ]]', True, [(10, 200)]),
])  # fmt: skip
def test_levels(text, more, wanted):
    assert read_pairs(text, -1, -2, more) == wanted


@pytest.mark.parametrize(("text", "more"), [
    (b'[["1","2","3"]]', False), (b'[["1"]]', True), (b'[["1","2",]]', True), (b'[["1","2"],]', False),
    (b"[[1,2]", False), (b"[[1,2", True), (b"[[1,2,3", True), (b"[[-1,2]]", False), (b"[[1,-2]]", True), (b"{}", False),
    (b"[1,2]", False), (b'[["1","2",3 4]]', True), (b"[[0.01,2]]", False), (b'[["1" "2"]]', True), (b"", False),
    (b'[["1","2",tru]]', True), (b"[" + b"[1,1]," * 16 + b"[1,1]]", False),
])  # fmt: skip
def test_levels_of_another_shape_are_refused(text, more):
    with pytest.raises(ValueError, match=r"."):
        read_pairs(text, -1, -2, more)

"""Levels that are read by their shape are those that are read digit by digit, and nothing else is taken for one."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed_core.inject import read_pairs

PX, SZ = -2, -5

digits = st.text("0123456789", min_size=1, max_size=6)
numbers = st.builds(
    lambda whole, fraction, zeros: str(int(whole)) + (f".{fraction}{'0' * zeros}" if fraction else ""),
    digits, st.sampled_from(["", "0", "5", "50", "07", "99"]), st.integers(0, 6),
)  # fmt: skip
levels = st.lists(st.tuples(numbers, numbers), min_size=6, max_size=30)
ways = st.sampled_from([("[", '"{}"', ",", "]"), ("[", "{}", ",", "]"), ("[ ", '"{}"', ", ", " ]")])


def write(pairs, way, extra=()) -> bytes:
    opening, number, comma, closing = way
    rows = (opening + comma.join([*(number.format(each) for each in pair), *extra]) + closing for pair in pairs)
    return ("[" + ",".join(rows) + "]").encode()


def read(text: bytes, more: bool, shapes: bool):
    """What comes out, or what is wrong."""
    try:
        return read_pairs(text, PX, SZ, more, 64, shapes)
    except ValueError as error:
        return str(error)


@given(levels, ways, st.sampled_from([(), ('"0"', '"4"'), ("12",), ("null", "1.5e3")]))
def test_they_are_what_the_text_says(pairs, way, extra):
    text = write(pairs, way, extra)
    wanted = [(int(Decimal(px).scaleb(-PX)), int(Decimal(sz).scaleb(-SZ))) for px, sz in pairs]
    assert json.loads(text)[0][:2] in ([*pairs[0]], [float(each) for each in pairs[0]])
    for _ in range(2):  # learnt, then known
        assert read(text, bool(extra), True) == wanted


@given(levels, ways, st.booleans(), st.data())
def test_a_text_of_a_known_shape_that_is_changed_is_read_as_without_shapes(pairs, way, more, data):
    text = write(pairs, way, ('"0"', "7") if more else ())
    read(text, more, True)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        byte = data.draw(st.sampled_from(b'0123456789.,"[]-+eE \\x\x00\xff'))
        cut = data.draw(st.integers(0, 1))
        text = text[:at] + bytes([byte]) + text[at + cut :]
        assert read(text, more, True) == read(text, more, False)


KNOWN = ["1234.50", "0.120"]


@pytest.mark.parametrize(("px", "sz"), [
    ("0234.50", "0.120"), ("1234.50", "0.12a"), ("1234.5:", "0.120"), ("1234,50", "0.120"), ("1234.50", "0,120"),
    ("-234.50", "0.120"), ("1234.50", "1e120"), ("12 4.50", "0.120"),
])  # fmt: skip
def test_one_of_the_same_length_that_is_no_number_is_refused(px, sz):
    head = [KNOWN] * 4
    way = ("[", '"{}"', ",", "]")
    assert len(read(write(head * 4, way), False, True)) == 16
    found = read(write([*head, (px, sz), *head], way), False, True)
    assert isinstance(found, str)
    assert found == read(write([*head, (px, sz), *head], way), False, False)


def test_digits_that_are_not_kept_are_zeros_or_the_text_is_refused():
    way = ("[", '"{}"', ",", "]")
    zeros, other = [("61234.56000000", "1.00000000")] * 8, [("61234.56000001", "1.00000000")] * 8
    for _ in range(2):
        assert read(write(zeros, way), False, True) == [(6123456, 100000)] * 8
        assert isinstance(read(write(other, way), False, True), str)
        assert isinstance(read(write([("61234.56000000", "1.00000100")] * 8, way), False, True), str)


def test_the_same_text_at_other_exponents_is_another_shape():
    text = write([("12.5", "3.25")] * 10, ("[", '"{}"', ",", "]"))
    for px, sz in [(-1, -2), (-3, -2), (-2, -3), (-1, -4), (-1, -2), (-9, -9)]:
        assert read_pairs(text, px, sz, False, 16, True) == [(125 * 10 ** (-px - 1), 325 * 10 ** (-sz - 2))] * 10
    with pytest.raises(ValueError, match="more digits"):
        read_pairs(text, 0, -2, False, 16, True)


def test_room_is_counted():
    way = ("[", '"{}"', ",", "]")
    assert len(read_pairs(write([KNOWN] * 16, way), PX, SZ, False, 16, True)) == 16
    with pytest.raises(ValueError, match=r"."):
        read_pairs(write([KNOWN] * 17, way), PX, SZ, False, 16, True)

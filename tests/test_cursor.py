"""cursor: what is JSON, held against the standard library."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed_core.cursor import check

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def is_json(text: bytes) -> bool:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        decoded = text.decode("utf-8")
        if decoded.startswith("\ufeff"):
            return False
        json.loads(decoded, parse_constant=refuse)
    except ValueError:
        return False
    return True


@given(documents, st.sampled_from([None, 1]), st.booleans())
def test_valid_documents_are_accepted(document, indent, ascii_only):
    assert check(json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()) is None


@given(documents, st.data())
def test_mutated_documents_are_accepted_exactly_if_they_are_json(document, data):
    text = bytearray(json.dumps(document, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "cut" or at == len(text):
            del text[at:]
        elif kind == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            text.insert(at, data.draw(st.sampled_from(b'{}[]",:0-.eE \\u\x00\xff')))
    found = check(bytes(text))
    assert (found is None) == is_json(bytes(text))
    if found is not None:
        assert 0 <= found[0] <= len(text)


@given(st.binary(max_size=40))
def test_garbage_is_refused_unless_it_is_json(text):
    assert (check(text) is None) == is_json(text)


def test_deep_nesting_is_refused_and_does_not_overflow():
    assert check(b"[" * 31 + b"]" * 31) is None
    assert check(b"[" * 100_000) is not None


@given(documents, st.data())
def test_every_cut_is_refused_within_the_text_unless_it_is_json(document, data):
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    cut = text[: data.draw(st.integers(0, len(text)))]
    found = check(cut)
    assert (found is None) == is_json(cut)
    assert found is None or 0 <= found[0] <= len(cut)


@pytest.mark.parametrize(
    "text",
    [b'"\\ud800"', b'"\\udc00"', b'"\\ud83d\\ude00"', b'"\\ud800\\ud800"', b'"\\uD800x"', b'{"\\ud800":1}'],
)
def test_escaped_surrogates_are_text_alone_or_in_pairs(text):
    assert is_json(text)
    assert check(text) is None


@pytest.mark.parametrize(
    "text",
    [b"NaN", b"Infinity", b"-Infinity", b"nan", b'"\n"', b'"\x00"', b'"\x1f"', b'"\\x41"', b'"\\u12g4"', b'"\\u 123"',
     b"'a'", b"[1,]", b'{"a":1,}', b"[1 2]", b"{1:2}", b'{"a" 1}', b"01", b"-", b"1.", b".1", b"1e", b"+1", b"0x1",
     b"\xef\xbb\xbf1", b"\xc0\xaf", b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xff"', b'"\xe2\x82"',
     b"//", b"1//", b"tru", b"truee", b"[", b"]", b"", b" ", b"\x0b1", b"1\x0c", b"\xc2\xa01"],
)  # fmt: skip
def test_what_looks_like_json_and_is_not_is_refused(text):
    assert not is_json(text)
    offset, reason = check(text)
    assert 0 <= offset <= len(text)
    assert reason


@pytest.mark.parametrize(
    "text",
    [b"0", b"-0", b"1E+2", b"1e-2", b"0.0e0", b" \t\r\n1 \t\r\n", b'"\x7f"', b'"\xf4\x8f\xbf\xbf"', b'"\xee\x80\x80"',
     b'""', b"{}", b"[ ]", b'{ "a" : [ ] , "a" : { } }', b'"\\/\\b\\f\\n\\r\\t\\"\\\\"', b"1" * 400, b"1e" + b"9" * 20],
)  # fmt: skip
def test_what_is_json_and_looks_odd_is_accepted(text):
    assert is_json(text)
    assert check(text) is None


@pytest.mark.parametrize(("head", "tail"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_nesting_is_followed_31_deep_and_no_deeper(head, tail):
    assert check(head * 31 + b"1" + tail * 31) is None
    assert check(head * 32 + b"1" + tail * 32) is not None
    assert check(head * 100_000) is not None

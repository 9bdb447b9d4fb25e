"""cursor: what is JSON, held against the standard library."""

from __future__ import annotations

import json

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

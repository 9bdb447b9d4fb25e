"""ring: a lossy broadcast, held against a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed_core.ring import Ring


def payload(number: int, size: int) -> bytes:
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


sizes = st.one_of(st.integers(8, 60), st.integers(8, 490))


@given(st.lists(st.tuples(st.lists(sizes, max_size=400), st.integers(0, 400)), max_size=12))
def test_a_reader_gets_every_record_or_counts_it_as_lost(steps):
    ring = Ring(65536)
    written: list[bytes] = []
    expected = 0
    for batch, reads in steps:
        for size in batch:
            written.append(payload(len(written), size))
            ring.write(written[-1])
        for _ in range(reads):
            before = ring.lost
            found = ring.read()
            if found is None:
                break
            expected += ring.lost - before
            seq, kind, body = found
            assert (seq, kind, body) == (expected, 1, written[expected])
            expected += 1
    while (found := ring.read()) is not None:
        assert found[2] == written[found[0]]
        expected = found[0] + 1
    assert expected == len(written)
    assert ring.written == len(written)


def test_a_lap_is_counted_exactly():
    ring = Ring(65536)
    for number in range(10_000):
        ring.write(payload(number, 48))
    seq, _, body = ring.read()
    assert ring.lost == seq > 0
    assert body == payload(seq, 48)
    rest = 1
    while ring.read() is not None:
        rest += 1
    assert ring.lost + rest == 10_000


def test_a_reader_can_start_at_the_oldest_the_newest_and_any_record():
    ring = Ring(65536)
    for number in range(5_000):
        ring.write(payload(number, 48))
    ring.flush()
    ring.seek("oldest")
    places = {}
    while True:
        at = ring.position
        found = ring.read()
        if found is None:
            break
        places[found[0]] = at
    last = max(places)
    assert last == 4_999
    for seq in (min(places) + 40, last):
        ring.seek(places[seq])
        assert ring.read()[0] >= seq
    ring.seek("tail")
    assert ring.read() is None
    ring.write(b"12345678")
    assert ring.read()[2] == b"12345678"


def test_positions_that_the_ring_does_not_hold_are_refused():
    ring = Ring(65536)
    with pytest.raises(LookupError, match="does not hold"):
        ring.seek(64)
    for number in range(5_000):
        ring.write(payload(number, 100))
    ring.flush()
    with pytest.raises(LookupError, match="does not hold"):
        ring.seek(0)
    with pytest.raises(ValueError, match="no record starts"):
        ring.seek(ring.tail - 64)


def test_a_record_may_be_as_large_as_said_and_not_larger():
    ring = Ring(1 << 20)
    body = payload(1, ring.max_payload)
    for _ in range(300):
        ring.write(body)
        assert ring.read()[2] == body
    with pytest.raises(ValueError, match="payload out of range"):
        ring.write(body + b"x")


@pytest.mark.parametrize("capacity", [0, 4096, 65535, 100_000])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity):
    with pytest.raises(ValueError, match="power of two"):
        Ring(capacity)

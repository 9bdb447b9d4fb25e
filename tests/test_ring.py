"""ring: a lossy broadcast, held against a list."""

from __future__ import annotations

import mmap
import random

import pytest
from hypothesis import given, settings
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


@given(st.integers(1, 1500), st.integers(0, 2**32))
@settings(max_examples=max(30, settings.default.max_examples // 2))
def test_every_position_that_was_passed_leads_back_to_its_record(count, seed):
    rng = random.Random(seed)
    ring = Ring(65536)
    written = [payload(number, rng.choice([rng.randrange(8, 60), rng.randrange(8, 490)])) for number in range(count)]
    for body in written:
        ring.write(body)
    ring.flush()
    ring.seek("oldest")
    places: list[tuple[int, int]] = []
    while True:
        at = ring.position
        found = ring.read()
        if found is None:
            break
        places.append((at, found[0]))
    assert [seq for _, seq in places] == list(range(places[0][1], count))
    assert ring.lost == 0 or places[0][1] > 0
    for at, seq in rng.choices(places, k=5):
        ring.seek(at)
        assert ring.position == at
        assert ring.read() == (seq, 1, written[seq])
        following = ring.read()
        assert following == (None if seq + 1 == count else (seq + 1, 1, written[seq + 1]))
    # No record starts inside of another, nor off the line.
    at, seq = rng.choice(places)
    ring.seek(at)
    ring.read()
    lines = (16 + len(written[seq]) + 63) // 64
    start = ring.position - 64 * lines  # behind the padding that may stand before it
    for offset in {1, 8, 63, *(64 * line for line in range(1, lines))}:
        with pytest.raises(ValueError, match="no record starts"):
            ring.seek(start + offset)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=10), sizes)
def test_what_was_read_and_what_was_lost_make_what_was_written(steps, size):
    ring = Ring(65536)
    total = read = 0
    for writes, reads in [*steps, (0, 100_000)]:
        for _ in range(writes):
            ring.write(payload(total, size))
            total += 1
        for _ in range(reads):
            found = ring.read()
            if found is None:
                break
            read += 1
            assert found == (read + ring.lost - 1, 1, payload(found[0], size))
    assert read + ring.lost == total == ring.written


def test_laps_of_the_largest_and_the_smallest_records_are_counted_exactly():
    ring = Ring(65536)
    total = read = 0
    for lap in range(40):
        for number in range(1, 200 + lap * 37):
            ring.write(payload(total, ring.max_payload if number % 3 else 8))
            total += 1
        for _ in range(10):
            seq, _, body = ring.read()
            read += 1
            assert seq == read + ring.lost - 1
            assert body == payload(seq, len(body))
    while ring.read() is not None:
        read += 1
    assert read + ring.lost == total
    assert ring.lost > 0


def test_the_kind_of_a_record_is_kept():
    ring = Ring(65536)
    for kind in (1, 2, 200, 254):
        ring.write(b"x", kind)
        assert ring.read()[1] == kind


def test_an_empty_payload_is_a_record():
    ring = Ring(65536)
    ring.write(b"")
    assert ring.read() == (0, 1, b"")


@pytest.mark.parametrize("lines", [(1, 2, 3), (1, 6, 4), (4, 5, 17, 1), (30, 1, 2)], ids=str)
def test_old_bytes_that_look_like_a_stamp_are_no_record(lines):
    capacity, generation = 65536, 3
    if max(lines) > 7:
        capacity *= 8
    ring = Ring(capacity, generation)
    rng = random.Random(str(lines))

    def stamp(position: int) -> bytes:
        return ((generation << 48) ^ ((position >> 6) + 1)).to_bytes(8, "little")

    written = 0
    while ring.tail < 6 * capacity:
        count = rng.choice(lines)
        # The record starts here, or behind the padding at the next block. Each line of it begins with the stamp that a
        # record would have there one lap later, which is when a reader stands there with nothing written yet.
        block = capacity // 64
        at = ring.tail if ring.tail % block + 64 * count < block else (ring.tail // block + 1) * block
        body = bytes(48) + b"".join(stamp(at + capacity + 64 * line) + bytes(56) for line in range(1, count))
        ring.write(body)
        assert ring.tail == at + 64 * count
        assert ring.read() == (written, 1, body)
        written += 1
        assert ring.read() is None
    assert ring.lost == 0


@pytest.mark.parametrize("lines", [1, 3, 7])
def test_nothing_is_written_beyond_what_is_claimed(lines):
    ring = Ring(65536)
    size = 64 * lines - 16
    written = 0
    while ring.tail % 1024 + 64 * lines < 1024 or ring.tail < 65536 - 1024:
        ring.write(payload(written, size))
        written += 1
    # The next record claims the block that the reader stands in; until then all of the ring is there.
    for number in range(written):
        assert ring.read() == (number, 1, payload(number, size))
    assert ring.lost == 0


@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read-only"])
def test_a_ring_in_shared_memory_is_read_through_another_object(writable):
    memory = mmap.mmap(-1, Ring.size(65536))
    producer = Ring(65536, 5, memory)
    reader = Ring(65536, 5, memory if writable else memoryview(memory).toreadonly(), attach=True)
    other_generation = Ring(65536, 6, memory, attach=True)
    for number in range(5000):
        producer.write(payload(number, 40), 7)
        assert reader.read() == (number, 7, payload(number, 40))
        assert reader.read() is None
        assert other_generation.read() is None or other_generation.lost
    producer.flush()
    reader.seek("tail")
    assert reader.position == producer.tail
    with pytest.raises(ValueError, match="producer of this ring is another process"):
        reader.write(b"x")
    del producer, reader, other_generation
    memory.close()


def test_memory_of_another_size_is_refused():
    memory = bytearray(Ring.size(65536))
    with pytest.raises(ValueError, match="expected memory of"):
        Ring(131072, 1, memory)


def test_compiled_loops_write_and_read_what_the_others_do():
    ring = Ring(65536)
    ring.write_same(b"twelve bytes", 100)
    assert [ring.read() for _ in range(40)] == [(seq, 1, b"twelve bytes") for seq in range(40)]
    assert ring.skip() == 60
    assert ring.skip() == 0
    ring.write_same(bytes(100), 5000)
    assert ring.skip() + ring.lost == 5000
    assert ring.lost > 0
    assert ring.written == 5100

"""reader: where it is, what it has lost, what it is behind, and what it is given."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from many import NAMES, Many

from fastfeed import Position, PositionLost
from fastfeed_core.records import dtype

A, B, C, D = NAMES


def test_the_lag_is_exact():
    many = Many()
    reader = many.bus.reader(kinds=["trade"])
    assert reader.lag == (0, 0, 0)
    for number in range(100):
        many.trade(A, number)
        many.quote(B, number)
    assert reader.lag[:2] == (200, many.bus.map.tail)
    assert reader.lag.ns > 0
    for read in range(1, 101):
        assert len(reader.poll(1)) == 1
        # Up to the trade that was read, with the quotes between.
        assert reader.lag[:2] == (201 - 2 * read, many.bus.map.tail - reader.offset)
        assert reader.read == 2 * read - 1
    assert reader.poll() == []
    assert reader.lag == (0, 0, 0)


def test_what_is_not_flushed_is_no_negative_lag():
    many = Many()
    reader = many.bus.reader()
    many.trade(A, 1, flush=False)
    assert len(reader.poll()) == 1
    assert reader.lag == (0, 0, 0)
    # ... and a place to go on from.
    again = many.bus.reader(start=reader.position)
    many.trade(A, 2)
    assert [event.trade_id for event in again.poll()] == [2]


def test_a_position_is_a_short_text():
    place = Position(1767225600000, 4096)
    assert str(place) == "1767225600000:4096"
    assert Position.parse(str(place)) == place
    assert Position.parse("0:0") < Position.parse("0:64") < Position.parse("1:0")
    for wrong in ("", "1", "1:", ":1", "a:1", "1:-1", "1:1:1", "1 :1", "\N{SUPERSCRIPT TWO}:1"):
        with pytest.raises(ValueError, match="expected a position"):
            Position.parse(wrong)


def test_a_lost_position_says_what_there_is():
    many = Many(ring=1 << 16)
    place = many.bus.reader().position
    for number in range(2000):
        many.trade(A, number)
    with pytest.raises(PositionLost, match=r'expected an offset from \d+ to \d+; start="oldest" goes on') as caught:
        many.bus.reader(start=place)
    assert isinstance(caught.value, LookupError)
    assert caught.value.position == str(place)
    with pytest.raises(PositionLost, match="expected one of generation"):
        many.bus.reader(start=Position(place.generation - 1, place.offset))
    with pytest.raises(PositionLost, match="expected an offset"):
        many.bus.reader(start=Position(place.generation, 1 << 40))
    with pytest.raises(ValueError, match="no record starts"):
        many.bus.reader(start=Position(place.generation, many.bus.reader().position.offset - 64))


def test_instruments_that_come_later_are_taken_by_name():
    many = Many(names=(A, B))
    some, everything = many.bus.reader([B, C]), many.bus.reader()
    many.trade(A, 1)
    many.trade(B, 2)
    assert [event.trade_id for event in some.poll()] == [2]
    many.add(C)
    many.add(D)
    for number, name in enumerate((C, D, A, B, C)):
        many.trade(name, 10 + number)
    assert [(event.name, event.trade_id) for event in some.poll()] == [(C, 10), (B, 13), (C, 14)]
    assert [event.name for event in everything.poll()] == [A, B, C, D, A, B, C]
    assert some.batch() == {}
    many.trade(D, 20)
    many.trade(C, 21)
    assert some.batch()["trade"]["px"].tolist() == [1021]


@given(
    names=st.sets(st.sampled_from(NAMES)) | st.none(),
    kinds=st.sets(st.sampled_from(["bbo", "trade", "delta", "snapshot", "status", "ticker"])) | st.none(),
    seed=st.integers(0, 2**32),
)
def test_filters_choose_the_same_in_events_and_batches(names, kinds, seed):
    many = Many()
    rng = random.Random(seed)
    readers = [many.bus.reader(names, kinds) for _ in range(3)]
    everything = many.bus.reader()
    for name in NAMES:
        many.snapshot(name)
    for number in range(60):
        act = rng.choice([many.trade, many.quote, lambda name, n: many.delta(name, n + 1), "ticker"])
        name = rng.choice(NAMES)
        if act == "ticker":
            many.send(name, "ticker", fields={"last": b"%d" % number}, ts_event=many.ts)
        else:
            act(name, number)
    wanted = [
        event for event in everything.poll(10_000)
        if (kinds is None or event.kind in kinds) and (names is None or event.name is None or event.name in names)
    ]  # fmt: skip
    positions = [event.position.offset for event in wanted]
    assert [event.position.offset for event in readers[0].poll(10_000)] == positions
    found = []
    while events := readers[1].poll(rng.randrange(1, 9)):
        found += events
    assert [event.position.offset for event in found] == positions
    rows = []
    while batch := readers[2].batch(rng.randrange(1, 9)):
        batch.pop("levels", None)
        rows += [offset for array in batch.values() for offset in array["position"].tolist()]
    assert sorted(rows) == positions
    assert {reader.read for reader in readers} == {everything.read}


# 26 pairs fit a record of this ring: a message of 60 levels is three of them
SMALL, FRAGMENTS = 1 << 16, 3


def test_messages_of_several_records_count_as_lost_when_a_part_is():
    many = Many(ring=SMALL)
    losses = 0
    for rounds in range(60):
        reader = many.bus.reader()
        before = many.bus.map.record_count
        records = 0

        def take(most: int, reader=reader) -> int:
            events = reader.poll(most)
            return sum(1 if event.kind == "status" else FRAGMENTS for event in events)

        many.snapshot(A, 30)
        for number in range(10 + 7 * rounds):
            many.delta(A, number + 1, levels=60)
            if number % 40 == 5:
                records += take(2)
        while got := take(1000):
            records += got
        assert records + reader.lost == many.bus.map.record_count - before
        assert reader.read == many.bus.map.record_count
        losses += reader.lost > 0
    assert 0 < losses < 60


def poke(many: Many, at: int, value: int) -> int:
    """Change a word of the bus behind everybody's back; returns what it was."""
    with memoryview(many.writer.map) as memory:
        before = int.from_bytes(memory[at : at + 8], "little")
        memory[at : at + 8] = value.to_bytes(8, "little")
    return before


def header(many: Many, field: str) -> int:
    at = dtype("BusHeader").fields[field][1]
    with memoryview(many.writer.map) as memory:
        return int.from_bytes(memory[at : at + 8], "little")


@contextmanager
def uncommitted(many: Many, offset: int) -> Iterator[None]:
    """As if the record there were still being written: its commit word is taken away for a while."""
    at = header(many, "ring_offset") + offset % header(many, "ring_capacity")
    stamp = poke(many, at, 0)
    yield
    poke(many, at, stamp)


@pytest.mark.parametrize("come", [1, 2])
@pytest.mark.parametrize("goes_on", ["same", "other", "batch"])
def test_nothing_of_a_message_is_passed_over_before_all_of_it_is_there(come, goes_on):
    many = Many(ring=SMALL)
    many.snapshot(A, 3)
    reader, rows = many.bus.reader(), many.bus.reader()
    place, read = reader.position, reader.read
    many.delta(A, 7, levels=60)
    offsets = rows.batch()["delta"]["position"].tolist()
    assert len(offsets) == FRAGMENTS
    with uncommitted(many, offsets[come]):
        assert reader.poll() == []
        assert (reader.position, reader.read, reader.lag.records) == (place, read, FRAGMENTS)
        assert reader.poll() == []
        other = many.bus.reader(start=reader.position)
    if goes_on == "batch":
        assert reader.batch()["delta"]["position"].tolist() == offsets
    else:
        (event,) = (reader if goes_on == "same" else other).poll()
        assert (event.position, event.bid_mantissas) == (
            place,
            [(1_000_000 - 100 * i, 7) for i in range(60)],
        )
    assert reader.lost == other.lost == 0


@pytest.mark.parametrize("how", ["poll", "one by one", "skip", "batch", "conflated"])
@pytest.mark.parametrize("kind", ["trade", "bbo", "delta", "status"])
def test_what_is_overwritten_while_it_is_copied_is_lost_and_not_delivered(how, kind):
    many = Many(ring=SMALL)
    many.snapshot(A)
    while many.bus.map.tail < SMALL * 3 // 4:
        if kind == "trade":
            many.trade(A, many.ts)
        elif kind == "bbo":
            many.quote(A, 1)
        elif kind == "delta":
            many.delta(A, 1)
        else:
            many.writer.status(0, 0, 0, 1, 0, 5)
            many.hub.flush()
    rows = many.bus.reader(start="oldest").batch()
    rows.pop("levels")
    offsets = sorted(offset for array in rows.values() for offset in array["position"].tolist())
    # As it looks when the producer has claimed the space after the stamp was seen: the stamp, and what is copied, are
    # still there, and may have been half of each.
    edge = SMALL + 2048
    readers = {
        "poll": many.bus.reader(start="oldest"),
        "one by one": many.bus.reader(start="oldest"),
        "skip": many.bus.reader([B], start="oldest"),
        "batch": many.bus.reader(start="oldest"),
        "conflated": many.bus.conflated(["none"], ["bbo", "trade", "book"]),
    }
    reader = readers[how]
    poke(many, header(many, "control_offset"), edge)
    if how == "conflated":
        reader.poll()
        first = next(offset for offset in offsets if offset >= edge - SMALL + SMALL // 64)
    else:
        first = next(offset for offset in offsets if offset >= edge - SMALL // 2)
    if how == "poll":
        found = [event.position.offset for event in reader.poll(10_000)]
    elif how == "one by one":
        found = [event.position.offset for event in iter(reader.next, None)]
    elif how == "batch":
        batch = reader.batch()
        batch.pop("levels", None)
        found = sorted(offset for array in batch.values() for offset in array["position"].tolist())
    else:
        reader.poll()
        found = [offset for offset in offsets if offset >= first]
    assert found == [offset for offset in offsets if offset >= first]
    assert reader.lost == offsets.index(first)
    assert reader.read == len(offsets)

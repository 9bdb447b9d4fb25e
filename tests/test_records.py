"""records: the layout that other processes read, as the compiler laid it out."""

from __future__ import annotations

import pytest

from fastfeed_core import records
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.bus import BusWriter

structs = pytest.mark.parametrize("name", records.FORMATS)
ring_records = pytest.mark.parametrize("name", ["BboRecord", "TradeRecord", "LevelsRecord", "StatusRecord"])


def width(kind: str) -> int:
    return int(kind[1:])


@structs
def test_sizes_are_multiples_of_eight(name):
    assert records.SIZES[name] % 8 == 0


@structs
def test_fields_are_aligned_by_their_own_width_and_leave_no_hole(name):
    end = 0
    for field, kind, count, at in records.FORMATS[name]:
        if not kind.startswith("S"):
            assert at % width(kind) == 0, field
        assert at == end, f"a hole before {field}"
        end = at + width(kind) * count
    assert end == records.SIZES[name]


@structs
def test_field_names_are_unique(name):
    names = [field for field, *_ in records.FORMATS[name] if not field.startswith("_")]
    assert len(names) == len(set(names))


@ring_records
def test_every_record_begins_with_the_head_of_the_ring(name):
    head = records.FORMATS["Head"]
    assert records.FORMATS[name][: len(head)] == head
    # The ring itself knows the first sixteen bytes only.
    places = [(field, width(kind), at) for field, kind, _, at in head[:5]]
    assert places == [("stamp", 8, 0), ("seq", 4, 8), ("length", 2, 12), ("kind", 1, 14), ("flags", 1, 15)]
    assert records.SIZES["Head"] == 64


def test_quotes_and_trades_take_two_cache_lines_at_most():
    assert records.SIZES["BboRecord"] <= 128
    assert records.SIZES["TradeRecord"] <= 128


@structs
def test_a_numpy_dtype_has_every_public_field_where_the_compiler_put_it(name):
    dtype = records.dtype(name)
    assert dtype.itemsize == records.SIZES[name]
    public = [field for field in records.FORMATS[name] if not field[0].startswith("_")]
    assert list(dtype.names) == [field for field, *_ in public]
    for field, kind, count, at in public:
        sub, offset = dtype.fields[field][:2]
        assert offset == at
        assert sub.itemsize == width(kind) * count


@structs
def test_what_numpy_writes_numpy_reads_and_the_bytes_lie_at_the_offsets(name):
    import numpy as np

    dtype = records.dtype(name)
    row = np.zeros(1, dtype)
    for number, field in enumerate(dtype.names, 1):
        row[field] = str(number).encode() if dtype.fields[field][0].kind == "S" else number
    raw = row.tobytes()
    again = np.frombuffer(raw, dtype)
    assert all(np.array_equal(again[field], row[field]) for field in dtype.names)
    for number, field in enumerate(dtype.names, 1):
        sub, at = dtype.fields[field][:2]
        if sub.kind in "iu":
            assert int.from_bytes(raw[at : at + sub.itemsize], "little") == number


def test_a_layout_does_not_differ_from_itself():
    assert records.difference(records.description()) is None


@structs
def test_one_changed_field_is_named(name):
    lines = records.description().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(name + " "))
    words = lines[at].split(" ")
    for number in range(2, len(words)):
        field, rest = words[number].split(":", 1)
        changed = f"{field}:{rest}0"
        other = [*lines[:at], " ".join([*words[:number], changed, *words[number + 1 :]]), *lines[at + 1 :]]
        assert records.difference("\n".join(other)) == (f"{name}.{field}", words[number], changed)


def test_a_missing_struct_a_missing_field_and_another_size_are_differences():
    lines = records.description().split("\n")
    assert records.difference("\n".join(lines[1:]))[0] == "Head"
    assert records.difference("\n".join([lines[0].rsplit(" ", 1)[0], *lines[1:]]))[0].startswith("Head")
    name, size, rest = lines[0].split(" ", 2)
    assert records.difference("\n".join([f"{name} {int(size) + 8} {rest}", *lines[1:]]))[0].startswith("Head")
    assert records.difference("")[0] == "Head"


def test_a_reader_refuses_a_bus_of_another_layout_and_names_the_field(shm):
    writer = BusWriter("other", ring=1 << 20, instruments=1)
    (data,) = [path for path in shm.rglob("*") if path.is_file() and b"bid_px" in path.read_bytes()[:65536]]
    raw = data.read_bytes()
    assert raw.count(b"ask_px:i8") == 1
    at = raw.index(b"ask_px:i8")
    with data.open("r+b") as file:
        file.seek(at)
        file.write(b"ask_py:i8")
    with pytest.raises(Mismatch) as refusal:
        BusMap("other")
    assert refusal.value.args[0] == "BboRecord.ask_px"
    writer.close()


def test_text_ends_at_the_first_zero():
    assert records.text(b"BTC\0\0\0ETH") == "BTC"
    assert records.text(b"") == ""
    assert records.text(b"\xff\0") == "\ufffd"

"""records: the layout of shared memory, derived once."""

from __future__ import annotations

import numpy as np
import pytest

from fastfeed_core import records

NAMES = sorted(records.FORMATS)


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_aligned_and_leave_no_holes(name):
    end = 0
    for field, kind, count, offset in records.FORMATS[name]:
        size = int(kind[1:])
        assert offset == end, f"a hole before {name}.{field}"
        if kind[0] != "S":
            assert offset % size == 0
        end = offset + size * count
    assert end == records.SIZES[name]
    assert end % 8 == 0


def test_a_head_is_one_cache_line_and_its_first_words_are_the_rings():
    assert records.SIZES["Head"] == 64
    ring = [(field, offset) for field, _, _, offset in records.FORMATS["Head"]][:5]
    assert ring == [("stamp", 0), ("seq", 8), ("length", 12), ("kind", 14), ("flags", 15)]
    assert records.SIZES["BboRecord"] <= 128
    assert records.SIZES["TradeRecord"] <= 128


@pytest.mark.parametrize("name", NAMES)
def test_numpy_reads_what_the_compiler_laid_out(name):
    dtype = records.dtype(name)
    assert dtype.itemsize == records.SIZES[name]
    for field, kind, count, offset in records.FORMATS[name]:
        if not field.startswith("_"):
            found, at = dtype.fields[field][:2]
            assert (found.base, at) == (np.dtype(kind), offset)
            assert found.shape == (() if count == 1 else (count,))


def test_another_layout_is_told_by_its_first_field_that_differs():
    ours = records.description()
    assert records.difference(ours) is None
    field, expected, found = records.difference(ours.replace("bid_sz:i8@72", "bid_sz:i8@80"))
    assert (field, expected, found) == ("BboRecord.bid_sz", "bid_sz:i8@72", "bid_sz:i8@80")
    assert records.difference(ours.split("\n", 1)[1])[0] == "Head"

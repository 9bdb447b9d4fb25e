"""counters: histograms whose percentiles are within 3 % of the exact ones."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed_core.counters import Histogram, bucket_high, bucket_low

BUCKETS = 1216
GREATEST = 2**42 - 1

values = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 10**9), st.integers(0, GREATEST)), min_size=1)
percents = st.sampled_from([0.1, 1, 25, 50, 90, 99, 99.9, 100])


def filled(counted: list[int]) -> Histogram:
    histogram = Histogram()
    for value in counted:
        histogram.record(value)
    return histogram


def exact(counted: list[int], percent: float) -> int:
    """The value at the rank that covers `percent` of all."""
    return sorted(counted)[max(1, math.ceil(round(len(counted) * percent / 100, 6))) - 1]


@given(values, percents)
def test_a_percentile_is_never_below_the_exact_one_and_at_most_a_bucket_above(counted, percent):
    found = filled(counted).percentile(percent)
    wanted = exact(counted, percent)
    assert wanted <= found <= wanted * (1 + 1 / 32) + 1


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_percentiles_of_latencies_are_within_three_percent(sigma):
    rng = random.Random(5)
    counted = [int(rng.lognormvariate(9, sigma)) for _ in range(20_000)]
    histogram = filled(counted)
    for percent in (50, 90, 99, 99.9, 100):
        wanted = exact(counted, percent)
        assert histogram.percentile(percent) == pytest.approx(wanted, rel=0.032, abs=1)
    assert histogram.count == len(counted)
    assert histogram.max == max(counted)


def test_buckets_meet_without_a_gap_and_are_three_percent_wide():
    for index in range(BUCKETS - 1):
        low, high = bucket_low(index), bucket_high(index)
        assert bucket_low(index + 1) == high + 1
        assert high - low <= max(0, low / 32)


@given(st.integers(0, BUCKETS - 1), st.booleans())
def test_both_ends_of_a_bucket_are_counted_in_it(index, at_low):
    histogram = Histogram()
    histogram.record(bucket_low(index) if at_low else bucket_high(index))
    histogram.record(GREATEST)  # so that the greatest value does not cap the answer
    assert histogram.percentile(50) == bucket_high(index)


@given(values, values)
def test_merging_counts_what_both_have(first, second):
    merged = filled(first)
    merged.merge(filled(second))
    whole = filled(first + second)
    assert (merged.count, merged.max) == (whole.count, whole.max)
    assert [merged.percentile(p) for p in (1, 50, 99)] == [whole.percentile(p) for p in (1, 50, 99)]


def test_a_negative_value_counts_as_zero_and_a_huge_one_in_the_last_bucket():
    histogram = filled([-5, -(2**63)])
    assert (histogram.count, histogram.max, histogram.percentile(100)) == (2, 0, 0)
    histogram = filled([2**63 - 1])
    assert (histogram.count, histogram.max, histogram.percentile(50)) == (1, 2**63 - 1, GREATEST)


def test_an_empty_histogram_answers_zero():
    assert Histogram().percentile(99) == 0
    assert Histogram().count == 0


@given(values)
def test_counts_as_bytes_make_the_same_histogram(counted):
    raw = bytearray(BUCKETS * 8)
    for value in counted:
        at = next(i for i in range(BUCKETS) if value <= bucket_high(i)) * 8
        raw[at : at + 8] = (int.from_bytes(raw[at : at + 8], "little") + 1).to_bytes(8, "little")
    read, recorded = Histogram(bytes(raw), max(counted)), filled(counted)
    assert read.count == recorded.count
    assert [read.percentile(p) for p in (1, 50, 100)] == [recorded.percentile(p) for p in (1, 50, 100)]


def test_bytes_of_another_size_are_refused():
    with pytest.raises(ValueError, match="histogram size"):
        Histogram(b"\0" * 8)

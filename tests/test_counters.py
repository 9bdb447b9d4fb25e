"""counters: percentiles to three per cent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastfeed_core.counters import Histogram, bucket_high, bucket_low


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=300), st.sampled_from([0.1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_within_three_per_cent_of_the_exact_one(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    rank = max(1, -(-len(values) * percent // 100))
    exact = sorted(values)[min(len(values), int(rank)) - 1]
    assert exact <= histogram.percentile(percent) <= exact * 1.032 + 1
    assert (histogram.count, histogram.max) == (len(values), max(values))


def test_buckets_touch_and_cover_all_values():
    for index in range(1215):
        assert bucket_high(index) + 1 == bucket_low(index + 1)


def test_values_of_clocks_that_disagree_count_as_nothing():
    histogram = Histogram()
    histogram.record(-5)
    assert (histogram.count, histogram.percentile(50)) == (1, 0)


def test_merged_histograms_count_both():
    one, other = Histogram(), Histogram()
    one.record(10)
    other.record(1000)
    one.merge(other)
    assert (one.count, one.max) == (2, 1000)

"""pause: doubled from failure to failure, up to a cap, with jitter."""

from __future__ import annotations

from random import Random

import pytest

from fastfeed.pause import SECOND, Backoff, pause


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0.0), (0.5, 0.5)], ids=["full", "half"])
@pytest.mark.parametrize("failures", range(12))
def test_a_pause_doubles_up_to_the_cap_and_uses_its_range(failures, jitter, least):
    backoff = Backoff(0.5, 30.0, jitter)
    longest = min(30.0, 0.5 * 2**failures)
    pauses = [pause(failures, backoff, Random(seed)) / SECOND / longest for seed in range(500)]
    assert least <= min(pauses) < least + 0.02
    assert 0.98 < max(pauses) <= 1


def test_failures_without_end_are_waited_for_as_the_cap_says():
    assert pause(10**6, Backoff(0.01, 7.0, jitter=0.0), Random(0)) == 7 * SECOND


def test_the_same_random_numbers_make_the_same_pauses():
    one, two = Random(3), Random(3)
    assert [pause(n, Backoff(1, 60), one) for n in range(9)] == [pause(n, Backoff(1, 60), two) for n in range(9)]

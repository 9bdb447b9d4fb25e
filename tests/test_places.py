"""places, breaker: how often a host is tried, and when it is left alone."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed.breaker import Breaker
from fastfeed.places import Places, Window
from fastfeed.venues.binance import SPOT, USDM

SECOND = 1_000_000_000
MS = SECOND // 1000


def try_all(window: Window, until: int, step: int = 10 * MS) -> list[int]:
    taken = []
    for ts in range(0, until, step):
        while window.has_room(ts):
            window.take(ts)
            taken.append(ts)
    return taken


@pytest.mark.parametrize(("most", "seconds"), [(1, 1.0), (3, 1.0), (32, 60.0), (300, 300.0)])
def test_no_stretch_of_time_sees_more_than_the_venue_takes(most, seconds):
    taken = try_all(Window(most, seconds), int(3.5 * seconds * SECOND))
    assert len(taken) > 3 * most  # and not needlessly few
    for first in taken:
        assert sum(first <= each < first + seconds * SECOND for each in taken) <= most


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 5))
def test_a_window_lets_through_whenever_there_is_room(pauses, most):
    window, taken, now = Window(most, 1.0), [], 0
    for pause in pauses:
        now += pause * MS
        room = sum(now - each < 1100 * MS for each in taken) < most
        assert window.has_room(now) is room
        if room:
            window.take(now)
            taken.append(now)


def test_products_of_one_host_share_its_place_and_others_do_not():
    places = Places(Random(1), 1000)
    assert places.of("wss://a:1/x", SPOT.limits) is places.of("wss://a:1/y", USDM.limits)
    assert places.of("wss://b:1/x", SPOT.limits) is not places.of("wss://a:1/x", SPOT.limits)


def test_each_local_address_has_a_breaker_and_all_share_what_the_host_takes():
    limits = msgspec.structs.replace(SPOT.limits, connects=8, connects_per_s=10)
    places = Places(Random(1), 1000)
    bad, good = (places.of("wss://a", limits, local) for local in ("10.0.0.1", "10.0.0.2"))
    assert places.of("wss://a/y", limits, "10.0.0.1") is bad
    while bad.may_connect(0):
        bad.breaker.failed(0)
    assert bad.breaker.state(0) == "open"
    assert [good.may_connect(0) for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_process_has_a_budget_over_all_hosts():
    places = Places(Random(1), 4)
    hosts = [places.of(f"wss://{name}", SPOT.limits) for name in "abcdef"]
    assert [host.may_connect(0) for host in hosts] == [True] * 4 + [False] * 2
    assert [host.may_connect(2 * SECOND) for host in hosts] == [True] * 4 + [False] * 2


def test_what_a_venue_takes_is_kept_for_each_host():
    limits = msgspec.structs.replace(SPOT.limits, connects=2, connects_per_s=10)
    places = Places(Random(1), 100)
    one, two = places.of("wss://a", limits), places.of("wss://b", limits)
    assert [one.may_connect(0) for _ in range(3)] == [True, True, False]
    assert two.may_connect(0)
    assert not one.may_connect(9 * SECOND)
    assert one.may_connect(12 * SECOND)


# Breaker


def broken(failures: int = 3) -> Breaker:
    breaker = Breaker(Random(1), failures=failures, pause_s=1.0, cap_s=8.0)
    for _ in range(failures):
        assert breaker.allows(0)
        breaker.failed(0)
    return breaker


def test_failures_in_a_row_open_it_and_others_do_not():
    breaker = Breaker(Random(1), failures=3)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) == "closed"
    assert broken().state(0) == "open"
    assert not broken().allows(SECOND // 10)


def test_half_open_one_probe_decides():
    breaker = broken()
    assert breaker.state(SECOND) == "half-open"
    assert [breaker.allows(SECOND) for _ in range(5)] == [True, False, False, False, False]
    breaker.failed(2 * SECOND)
    assert breaker.state(2 * SECOND) == "open"
    assert breaker.allows(5 * SECOND)
    breaker.succeeded()
    assert breaker.state(5 * SECOND) == "closed"
    assert all(breaker.allows(5 * SECOND) for _ in range(5))


def test_pauses_double_up_to_the_cap():
    breaker, now, pauses = broken(), 0, []
    for _ in range(8):
        began = now
        while not breaker.allows(now):
            now += 10 * MS
        pauses.append((now - began) / SECOND)
        breaker.failed(now)
    for number, pause in enumerate(pauses):
        cap = min(8.0, 2.0**number)
        assert cap / 2 <= pause + 0.01
        assert pause <= cap + 0.01


def test_a_probe_that_nobody_hears_of_any_more_is_followed_by_another():
    breaker = broken()
    assert breaker.allows(SECOND)
    assert not breaker.allows(30 * SECOND)
    assert breaker.allows(61 * SECOND)


def test_what_was_on_its_way_when_it_opened_does_not_lengthen_the_pause():
    breaker = broken()
    for _ in range(50):
        breaker.failed(0)
    assert breaker.allows(SECOND)

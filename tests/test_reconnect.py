"""Reconnecting: what a venue sees of a hundred connections dropped at once, and a host that does not answer."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from fakevenue import SECOND, FakeVenue, Talk

from fastfeed.config import Reconnect

LINKS = 100


def storm(monkeypatch: pytest.MonkeyPatch, per_s: int, **reconnect: Any) -> Talk:
    """A feed of a hundred connections, none of which is open yet."""
    limits = {"topics_per_connection": 1, "connects": 1000, "connects_per_s": 60}
    pace = Reconnect(connects_per_s=per_s, **reconnect)
    it = Talk(monkeypatch, FakeVenue(limits=limits), count=LINKS, channels=("trade",), reconnect=pace, paced=True)
    it.attempts = []
    return it


def connect_all(it: Any, answers: bool = True, seconds: float = 600) -> None:
    """Take every attempt, or refuse it, until all are open or the time is up; notes when each was made."""
    until = it.now + int(seconds * SECOND)
    links = it.feed._protocol._links
    while it.now < until and not all(link.is_open for link in links):
        for attempt in [each for link in links for each in link.attempts if not each.is_open]:
            it.attempts.append(it.now)
            (it.feed.connected if answers else it.feed.disconnected)(attempt.connection.id, it.now)
        it.accept()
        it.now += SECOND // 20
        it.feed.advance(it.now)


def most_in_a_second(times: list[int]) -> int:
    return max(sum(first <= each < first + SECOND for each in times) for first in times)


def test_a_hundred_connections_dropped_five_times_come_back_within_the_budget(monkeypatch, capsys):
    it = storm(monkeypatch, 20)
    connect_all(it)
    assert len(it.open()) == LINKS
    rounds = []
    for _ in range(5):
        began, at = len(it.attempts), it.now
        for key in it.open():
            it.feed.disconnected(key, it.now)
        connect_all(it)
        assert len(it.open()) == LINKS
        rounds.append(Counter((each - at) // SECOND for each in it.attempts[began:]))
    assert most_in_a_second(it.attempts) <= 20
    with capsys.disabled():
        print()
        for number, histogram in enumerate(rounds, 1):
            counts = " ".join(str(histogram[second]) for second in range(max(histogram) + 1))
            print(f"drop {number}: attempts in each second: {counts}")


def test_those_that_fail_again_and_again_spread_out(monkeypatch):
    it = storm(monkeypatch, 50, initial_s=1, cap_s=30)
    connect_all(it, answers=False, seconds=120)
    late = [each for each in it.attempts if each > it.now - 60 * SECOND]
    # The host does not answer: one probe every few seconds, and not a hundred connections' own patience.
    assert 5 <= len(late) <= 60
    assert most_in_a_second(it.attempts) <= 50
    connect_all(it, seconds=60)
    assert len(it.open()) == LINKS


def test_a_short_life_does_not_count_as_health(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "fastfeed.link")
    it = Talk(monkeypatch, FakeVenue(), channels=("trade",), reconnect=Reconnect(initial_s=1, cap_s=64, healthy_s=60))
    waits = []
    for life in [1] * 6 + [61, 1]:
        it.connect()
        it.accept()
        it.wait(life)
        died = it.now
        it.feed.disconnected(it.key(), it.now)
        while not it.feed.connections:
            it.wait(0.1, step=0.1)
        waits.append((it.now - died) / SECOND)
    assert waits[0] == waits[6] == 0
    assert max(waits[1:6]) > 2
    assert waits[7] <= 1.1
    # A storm is a line at its 1st, 10th, 100th time; the rest is there for who asks for it.
    told = [record.levelno for record in caplog.records if record.getMessage().startswith("disconnected")]
    assert told.count(logging.WARNING) == 2
    assert told.count(logging.DEBUG) == 6


def test_a_probe_that_nobody_wants_any_more_makes_way_for_another(monkeypatch):
    it = Talk(monkeypatch, FakeVenue(limits={"topics_per_connection": 1}), count=2, channels=("trade",))
    links = list(it.feed._protocol._links)
    for key in it.open():
        it.feed.disconnected(key, it.now)
    breaker = links[0].place.breaker
    while breaker.state(it.now) == "closed":
        for each in list(it.feed.connections):
            it.feed.disconnected(each.id, it.now)
        it.wait(1)
    for _ in range(600):
        if it.feed.connections:
            break
        it.wait(0.1, step=0.1)
    (probing,) = (link for link in links if link.attempts)
    it.feed.unsubscribe([probing.subscriptions[0].instrument.name], it.now)
    assert breaker.state(it.now) == "half-open"
    (other,) = it.feed._protocol._links
    it.now = max(it.now, other._not_before)
    it.feed.advance(it.now)
    assert len(it.feed.connections) == 1

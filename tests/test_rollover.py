"""Make before break: a connection is replaced while it lives, and not a message is missed."""

from __future__ import annotations

import logging

import pytest
from fakevenue import BY_REQUEST, FakeVenue, Talk
from rig import Rig

from fastfeed.config import Reconnect
from fastfeed.venues import VENUES


def talk(monkeypatch, roll_s: float = 100.0, **venue) -> Talk:
    """A book in the stream that is live on its first connection."""
    it = Talk(monkeypatch, FakeVenue(**venue), channels=("book", "trade"), reconnect=Reconnect(roll_s=roll_s))
    it.accept()
    it.stream("snapshot", last=10, bids=[(100, 1)], asks=[(101, 1)])
    assert it.live
    return it


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("venue", VENUES)
def test_no_sequence_is_missed_while_every_connection_is_replaced_again_and_again(venue, connections, caplog):
    caplog.set_level(logging.INFO, "fastfeed.link")
    rig = Rig(venue=venue, symbols=2, rate=60, connections=connections, reconnect=Reconnect(roll_s=5))
    rig.run_until_live()
    gaps = [event for event in rig.events if event.kind == "status" and event.reason == "gap"]
    rig.run(25)
    rolled = [record for record in caplog.records if record.getMessage().startswith("rolled over")]
    assert len(rolled) >= 3 * connections
    assert gaps == []
    assert rig.wrong == []
    assert rig.all_live()
    # Each book came once and was never lost; the first one's time is before the first roll.
    assert set(map(tuple, rig.states.values())) == {("live",)}
    no_trade_missed_or_twice(rig)


def no_trade_missed_or_twice(rig: Rig) -> None:
    for instrument in rig.instruments:
        ids = [each.trade_id for each in rig.events if each.kind == "trade" and each.name == instrument.name]
        assert len(ids) == len(set(ids))
        if ids and all(isinstance(each, int) for each in ids):
            assert sorted(ids) == list(range(min(ids), max(ids) + 1))


def test_the_old_connection_goes_when_the_new_one_is_in_step_and_not_before(monkeypatch):
    it = talk(monkeypatch)
    it.wait(100)
    old, new = it.key(0), it.key(1)
    it.wait(5)
    assert it.open() == [old]  # the new one is not open yet
    it.feed.connected(new, it.now)
    it.wait(5)
    assert it.open() == [old, new]  # nothing is acknowledged
    it.accept()
    it.stream("delta", 0, prev=10, last=11, bids=[(99, 1)])
    it.wait(5)
    assert it.open() == [old, new]  # the book has moved, and the new one has not shown that it would
    it.stream("snapshot", 1, last=11, bids=[(100, 1), (99, 1)], asks=[(101, 1)])
    it.wait(1)
    assert it.open() == [new]
    assert it.live
    it.stream("delta", 0, prev=11, last=12, bids=[(98, 1)])
    assert it.levels() == [(100, 1), (99, 1), (98, 1)]
    assert it.reasons() == ["snapshot"]


def by_request(monkeypatch) -> Talk:
    """A book whose snapshot comes by request, live on its first connection."""
    it = Talk(monkeypatch, FakeVenue(**BY_REQUEST), reconnect=Reconnect(roll_s=100))
    it.accept()
    (request,) = it.requested()
    it.reply(request, 10, [(100, 1)])
    assert it.live
    return it


def test_a_book_that_does_not_move_goes_on_with_the_new_connection(monkeypatch):
    it = by_request(monkeypatch)
    it.wait(100)
    new = it.key(1)
    it.connect()
    it.accept()
    it.wait(1)
    assert len(it.open()) == 2  # what was sent before the last answer may be on its way
    it.wait(5)
    assert it.open() == [new]
    assert it.live
    it.stream("delta", 0, prev=10, last=11, bids=[(99, 1)])
    assert it.live
    assert it.levels() == [(100, 1), (99, 1)]


def test_a_book_whose_subscription_the_new_connection_is_refused_stays_with_the_old_one(monkeypatch):
    it = by_request(monkeypatch)
    it.wait(100)
    old, new = it.key(0), it.key(1)
    it.connect()
    ((_, _, number),) = it.sent(1)
    it.say(("Refusal", {"request_id": number, "reason": "no"}), connection=1)
    it.wait(30)
    assert it.open() == [old, new]
    it.feed.disconnected(old, it.now)
    assert not it.live  # nobody has it now


def test_a_book_in_the_stream_that_the_new_connection_does_not_bring_stays_with_the_old_one(monkeypatch):
    it = talk(monkeypatch)
    it.wait(100)
    old, new = it.key(0), it.key(1)
    it.connect()
    it.accept()
    it.wait(30)
    assert it.open() == [old, new]
    it.feed.disconnected(old, it.now)
    assert not it.live


def test_a_stop_on_the_way_is_a_stop(monkeypatch):
    it = talk(monkeypatch)
    it.wait(100)
    it.connect()
    it.feed._protocol.stop(it.now)
    it.wait(5)
    assert it.feed.connections == []


def test_a_successor_that_is_refused_is_tried_again_and_the_old_one_kept(monkeypatch):
    it = talk(monkeypatch)
    old = it.key()
    refused = 0
    it.wait(90)
    for _ in range(200):
        it.wait(1)
        for key in [each.id for each in it.feed.connections if each.id not in it.open()]:
            refused += 1
            it.feed.disconnected(key, it.now)
    assert refused > 3
    assert it.open() == [old]
    assert it.live
    assert it.reasons() == ["snapshot"]


def test_a_successor_that_brings_no_book_is_given_up_and_tried_later(monkeypatch):
    it = talk(monkeypatch)
    it.wait(100)
    old = it.key(0)
    it.connect()
    it.accept()
    for number in range(80):
        it.stream("delta", 0, prev=10 + number, last=11 + number, bids=[(99, 1 + number)])
        it.wait(1)
        it.accept()
    assert it.open() == [old]
    it.wait(200)
    assert len(it.feed.connections) == 1
    it.wait(100)
    assert len(it.feed.connections) == 2


def test_the_old_connection_may_die_on_the_way(monkeypatch):
    it = talk(monkeypatch)
    it.wait(100)
    old, new = it.key(0), it.key(1)
    it.connect()
    it.accept()
    it.stream("snapshot", 1, last=10, bids=[(100, 1)], asks=[(101, 1)])
    it.feed.disconnected(old, it.now)
    assert it.live
    it.wait(50)
    assert it.open() == [new]
    assert it.reasons() == ["snapshot"]


def test_a_venue_that_says_that_it_will_close_is_believed_in_time(monkeypatch):
    it = talk(monkeypatch)
    old = it.key()
    it.say(("Shutdown", {"reason": "in five minutes"}))
    assert it.open() == [old]
    it.connect()
    it.accept()
    it.wait(5)
    assert it.open() != [old]
    assert it.live
    assert it.reasons() == ["snapshot"]


def test_one_that_the_venue_does_not_serve_is_left_at_once(monkeypatch):
    it = Talk(monkeypatch, FakeVenue())
    first = it.key()
    it.say(("Shutdown", {"reason": "too many requests"}))
    assert first not in it.open()


def test_all_can_be_replaced_at_a_word(monkeypatch):
    it = talk(monkeypatch, roll_s=10_000)
    it.wait(1)
    it.feed._protocol.roll(it.now)
    new = it.key(1)
    it.connect()
    it.accept()
    it.stream("snapshot", 1, last=10, bids=[(100, 1)], asks=[(101, 1)])
    it.wait(5)
    assert it.open() == [new]
    assert it.live

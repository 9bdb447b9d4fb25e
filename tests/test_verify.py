"""verify: books without a chain are held against fresh snapshots, and repaired."""

from __future__ import annotations

import json

import pytest
from fakevenue import BY_REQUEST, SECOND, UNCHAINED, FakeVenue, Talk


def unchained(monkeypatch, count: int = 1, venue: FakeVenue | None = None, **options) -> Talk:
    talk = Talk(monkeypatch, venue or FakeVenue(**UNCHAINED), count, verify_s=60, **options)
    talk.accept()
    talk.wait(3.5)
    for number, request in enumerate(talk.requested()):
        talk.stream("delta", coin=number, last=9, bids=[(1, 1)])
        talk.reply(request, 10, [(100, 1), (99, 1)])
    assert talk.live
    return talk


def verification(talk: Talk):
    """The next request, within the interval."""
    for _ in range(70):
        talk.wait(1, step=1)
        found = talk.requested()
        if found:
            return found[0]
    raise AssertionError("not verified")


def test_deltas_are_held_before_an_unchained_book_is_asked_for(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**UNCHAINED))
    talk.accept()
    talk.wait(2.5)
    assert talk.requested() == []
    talk.stream("delta", last=10, bids=[(98, 1)])
    talk.wait(1)
    (request,) = talk.requested()
    talk.stream("delta", last=20, bids=[(97, 1)])
    # It is older than the first one held: what is between is not known.
    talk.reply(request, 5, [(100, 1)])
    assert not talk.live
    talk.wait(1)
    (request,) = talk.requested()
    talk.reply(request, 15, [(100, 2)])
    assert (talk.live, talk.levels()) == (True, [(100, 2), (97, 1)])


def test_a_refused_message_among_the_held_ones_is_no_hole_in_the_book(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**UNCHAINED))
    talk.accept()
    talk.stream("delta", last=10, bids=[(98, 1)])
    talk.stream("refused")  # 20
    talk.stream("delta", last=30, bids=[(97, 1)])
    talk.wait(3.5)
    (request,) = talk.requested()
    talk.reply(request, 15, [(100, 1)])
    assert not talk.live
    talk.wait(1)
    (request,) = talk.requested()
    talk.reply(request, 35, [(100, 2)])
    assert (talk.live, talk.levels()) == (True, [(100, 2)])


def test_a_lost_delta_is_repaired_within_the_interval(monkeypatch):
    talk = unchained(monkeypatch)
    # 20 removed 99, and was lost.
    talk.stream("delta", last=30, bids=[(98, 3)])
    assert talk.levels() == [(100, 1), (99, 1), (98, 3)]
    request = verification(talk)
    talk.stream("delta", last=50, bids=[(97, 4)])
    events = talk.reply(request, 40, [(100, 1), (98, 3)])
    assert [(each.kind, getattr(each, "reason", None)) for each in events] == [
        ("snapshot", None), ("status", "repaired"), ("delta", None),
    ]  # fmt: skip
    assert (talk.live, talk.levels()) == (True, [(100, 1), (98, 3), (97, 4)])
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 1


@pytest.mark.parametrize("connections", [1, 2])
def test_a_sound_book_is_found_the_same_again_and_again(monkeypatch, connections):
    talk = unchained(monkeypatch, connections=connections)
    number = 20
    for _ in range(3):
        request = verification(talk)
        # While the snapshot is on its way the second connection lags, and tells old sizes behind new ones.
        for step in range(4):
            number += 10
            talk.stream("delta", 0, last=number, bids=[(98, number)])
            if connections == 2 and step:
                talk.stream("delta", 1, last=number - 10, bids=[(98, number - 10)])
        levels = [(100, 1), (99, 1)]
        assert talk.reply(request, number - 20, [*levels, (98, number - 20)]) == []
    assert talk.live
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 0


def test_a_reply_from_before_it_was_asked_for_is_of_use(monkeypatch):
    talk = unchained(monkeypatch)
    for second in range(3, 70):
        talk.wait(1, step=1)
        talk.stream("delta", last=100 + second, bids=[(98, second)])
        requests = talk.requested()
        if requests:
            break
    talk.reply(requests[0], 98 + second, [(100, 1), (99, 1), (98, second - 2)])  # from a cache
    talk.wait(20)
    assert talk.requested() == []
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 0


def test_a_loss_while_a_snapshot_is_on_its_way_calls_for_another_one(monkeypatch):
    talk = unchained(monkeypatch)
    request = verification(talk)
    talk.feed.receive(b'{"stream":', talk.now)
    talk.reply(request, 15, [(100, 1), (99, 1)])
    talk.wait(5)
    (request,) = talk.requested()
    talk.reply(request, 20, [(100, 1), (99, 2)])
    talk.wait(3)
    assert talk.levels() == [(100, 1), (99, 2)]
    talk.wait(20)
    assert talk.requested() == []


def test_an_older_snapshot_proves_nothing(monkeypatch):
    talk = unchained(monkeypatch)
    talk.stream("delta", last=30, bids=[(98, 3)])
    request = verification(talk)
    talk.reply(request, 29, [(1, 1)])
    assert talk.levels()[0] == (100, 1)
    talk.wait(5)
    (request,) = talk.requested()
    talk.reply(request, 30, [(100, 1), (99, 1), (98, 3)])
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 0


def test_a_snapshot_ahead_of_the_stream_waits_for_it(monkeypatch):
    talk = unchained(monkeypatch)
    request = verification(talk)
    talk.reply(request, 40, [(100, 1), (99, 1), (98, 3)])
    assert talk.levels() == [(100, 1), (99, 1)]
    talk.wait(1)
    talk.stream("delta", last=40, bids=[(98, 3)])
    talk.wait(3)
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 0
    # It does not come: the last delta was lost.
    request = verification(talk)
    talk.reply(request, 50, [(100, 1), (99, 1), (98, 4)])
    talk.wait(3)
    assert talk.levels() == [(100, 1), (99, 1), (98, 4)]
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 1
    # A snapshot's own time ahead of a quiet stream is no difference.
    request = verification(talk)
    talk.reply(request, 99, [(100, 1), (99, 1), (98, 4)])
    talk.wait(3)
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 1
    assert talk.live


def test_a_connection_that_goes_while_a_book_is_verified_does_not_take_its_deltas_from_it(monkeypatch):
    talk = unchained(monkeypatch, connections=2)
    talk.stream("delta", 1, last=10)
    request = verification(talk)
    talk.stream("delta", 0, last=20, bids=[(98, 3)])
    talk.feed.disconnected(talk.key(0), talk.now)
    assert talk.live
    talk.reply(request, 15, [(100, 1), (99, 1)])
    assert talk.levels() == [(100, 1), (99, 1), (98, 3)]
    assert talk.feed.bus.map.instrument_counters(0)["repairs"] == 0


def test_a_refused_message_costs_an_unchained_book_and_it_comes_back(monkeypatch):
    talk = unchained(monkeypatch)
    request = verification(talk)
    talk.stream("refused")
    assert not talk.live
    talk.reply(request, 40, [(100, 1)])
    assert not talk.live  # it was asked for to compare, and nothing was held for it
    talk.wait(3)
    talk.reply(talk.requested()[0], 50, [(90, 1)])
    assert talk.live
    request = verification(talk)
    talk.reply(request, 60, [(90, 1)])
    assert talk.live


def test_one_instrument_whose_snapshot_is_refused_does_not_keep_others_from_being_verified(monkeypatch):
    talk = unchained(monkeypatch, 2)
    talk.stream("refused", coin=1)
    talk.wait(3)
    seen = set()
    for _ in range(200):
        talk.wait(1, step=1)
        for request in talk.requested():
            seen.add(request.url)
            talk.reply(request, 0, status=400 if "C1" in request.url else 500)
    assert {url.rpartition("/")[2] for url in seen} == {"C0USDT", "C1USDT"}


@pytest.mark.parametrize(
    ("status", "headers", "pause"), [(200, {"x-used": "6000"}, 60), (429, {}, 30)], ids=["used up", "refused"]
)
def test_what_a_reply_to_a_verification_says_of_the_budget_holds_for_snapshots(monkeypatch, status, headers, pause):
    venue = FakeVenue(**UNCHAINED)
    venue.USED_WEIGHT_HEADER = "X-Used"
    talk = unchained(monkeypatch, venue=venue)
    request = verification(talk)
    talk.feed.reply(request, b'{"lastUpdateId":10,"bids":[],"asks":[]}', status, headers, talk.now)
    talk.stream("refused")
    assert not talk.live
    talk.wait(pause - 1)
    assert talk.requested() == []
    talk.wait(2)
    assert len(talk.requested()) == 1


def test_verifications_spread_over_the_interval_and_keep_the_budget(monkeypatch):
    venue = FakeVenue(**UNCHAINED, limits={"weight_per_minute": 300})
    talk = Talk(monkeypatch, venue, 12, verify_s=60)
    times: dict[str, list[int]] = {}
    spent: list[int] = []
    for second in range(300):
        talk.accept()
        talk.wait(1, step=1)
        for request in talk.requested():
            spent.append(second)
            times.setdefault(request.url, []).append(second)
            talk.reply(request, 1000 + second)
    assert all(len(each) >= 4 for each in times.values())
    assert len(times) == 12
    for second in range(300):
        # After the books themselves: half of what may be spent.
        assert sum(10 for each in spent[12:] if second <= each < second + 60) <= 135


def test_where_the_budget_is_too_small_for_all_each_has_its_turn(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**UNCHAINED, limits={"weight_per_minute": 100}), 12, verify_s=60)
    times: dict[str, int] = {}
    for second in range(1200):
        talk.accept()
        talk.wait(1, step=1)
        for request in talk.requested():
            times[request.url] = times.get(request.url, 0) + 1
            talk.reply(request, 10_000 + second)
    assert len(times) == 12
    assert min(times.values()) > 4
    assert max(times.values()) - min(times.values()) <= 1


def test_verifications_leave_room_for_books_that_are_lost(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST, limits={"weight_per_minute": 300}), 50)
    live: set[str] = set()
    looks = 0
    for _ in range(300):
        talk.accept()
        talk.wait(1, step=1)
        requests = talk.requested()
        for request in requests:
            looks += request.url in live
            live.add(request.url)
            talk.reply(request, 10, [(100, 1)])
        if looks >= 10 and not requests:
            break  # all are quiet, more are due, and may not be looked at
    assert len(live) == 50
    for coin in range(5):
        talk.stream("delta", prev=11, last=12, coin=coin)
    assert len(talk.requested()) == 5


def test_verifications_under_way_are_few(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), 30)
    for _ in range(20):
        talk.accept()
        talk.wait(0.5)
        for request in talk.requested():
            talk.reply(request, 10, [(100, 1)])
    waiting = []
    for _ in range(30):
        talk.wait(1, step=1)
        waiting += talk.requested()
    assert len(waiting) == 4
    talk.reply(waiting[0], 10, [(100, 1)])
    talk.wait(1, step=1)
    assert len(talk.requested()) == 1


def late(talk: Talk, last: int) -> None:
    """A delta of the first instrument, as a frame: of a topic that feeds nothing it is nothing."""
    data = {"e": "depthUpdate", "E": 1, "s": "C0USDT", "U": last, "u": last, "b": [["99", "7"]], "a": []}
    talk._note(talk.feed.receive(json.dumps({"stream": "book:C0USDT", "data": data}), talk.now, talk.key()))


@pytest.mark.parametrize("ways", [UNCHAINED, BY_REQUEST], ids=["unchained", "chained"])
def test_what_still_comes_of_an_ended_subscription_begins_no_book(monkeypatch, ways):
    talk = Talk(monkeypatch, FakeVenue(**ways), count=2)
    talk.accept()
    talk.wait(3.5)
    for request in talk.requested():
        talk.reply(request, 10, [(100, 1)])
    assert talk.live
    talk._note(talk.feed.unsubscribe([talk.instruments[0].name], talk.now))
    ((verb, _, number),) = talk.sent()
    assert verb == "unsubscribe"
    talk._note(talk.feed.subscribe(talk.instruments[:1], talk.now))
    # Of the old subscription: between it and the new one nobody tells what changes.
    late(talk, 11)
    talk.wait(4.5)
    assert (talk.live, talk.requested(), talk.sent()) == (False, [], [])
    talk.say(("Ack", {"request_id": number, "ended": True}))
    assert talk.accept() == [("sub", ["book:C0USDT"])]
    talk.stream("delta", prev=39, last=40, bids=[(98, 1)])
    talk.wait(3.5)
    (request,) = talk.requested()
    talk.stream("delta", prev=40, last=50, bids=[(97, 1)])
    talk.reply(request, 45, [(99, 7), (98, 1)])
    assert (talk.live, talk.levels()) == (True, [(99, 7), (98, 1), (97, 1)])


def test_wanted_again_and_ended_again_nothing_of_it_comes(monkeypatch):
    talk = unchained(monkeypatch, count=2)
    names = [talk.instruments[0].name]
    talk._note(talk.feed.unsubscribe(names, talk.now))
    talk._note(talk.feed.subscribe(talk.instruments[:1], talk.now))
    talk._note(talk.feed.unsubscribe(names, talk.now))
    assert talk.accept() == [("unsubscribe", ["book:C0USDT"])]
    late(talk, 11)
    assert talk.feed.bus.map.connections()[0]["unrouted"] == 1
    talk.wait(5)
    assert (talk.live, talk.requested(), talk.sent()) == (False, [], [])
    talk._note(talk.feed.subscribe(talk.instruments[:1], talk.now))
    assert talk.accept() == [("sub", ["book:C0USDT"])]
    talk.stream("delta", last=30, bids=[(98, 1)])
    talk.wait(3.5)
    (request,) = talk.requested()
    talk.reply(request, 35, [(97, 1)])
    assert (talk.live, talk.levels()) == (True, [(97, 1)])


def test_books_are_not_looked_at_in_every_tick(monkeypatch):
    talk = unchained(monkeypatch, count=2)
    verifications = talk.feed._protocol.subscriptions.books["main"]._verifications
    looks: list[int] = []
    monkeypatch.setattr(verifications._snapshots, "busy", lambda ts: bool(looks.append(ts)))
    talk.wait(1, step=0.02)
    assert len(looks) == 10
    # Nor for longer, when the clock is set back.
    talk.now -= 3600 * SECOND
    talk._note(talk.feed.advance(talk.now))
    assert len(looks) == 11

"""books: who gets them anew, and who notices a subscription that never brings anything."""

from __future__ import annotations

import itertools
import json
import random

import fakevenue
import msgspec
import pytest
from fakevenue import BY_REQUEST, SECOND, START, FakeVenue, Talk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastfeed.cli.status import describe
from fastfeed.venues.spec import Channel, SnapshotSize
from fastfeed_core.inject import inject


def verbs(requests) -> list[str]:
    return [verb for verb, *_ in requests]


# Books in the stream


def in_stream(monkeypatch, **options) -> Talk:
    talk = Talk(monkeypatch, FakeVenue(), **options)
    talk.accept()
    for connection in range(len(talk.feed.connections)):
        talk.stream("snapshot", connection, last=10, bids=[(100, 1)])
    assert talk.live
    return talk


def test_a_lost_book_is_subscribed_to_again_on_all_connections(monkeypatch):
    talk = in_stream(monkeypatch, connections=2)
    talk.stream("delta", 0, prev=11, last=12)
    assert talk.live  # the other one is in step
    talk.stream("delta", 1, prev=11, last=12)
    assert not talk.live
    assert talk.accept() == [("unsubscribe", ["book:C0USDT"])] * 2 + [("sub", ["book:C0USDT"])] * 2
    talk.stream("snapshot", 1, last=12, bids=[(100, 2)])
    assert talk.live
    assert talk.requested() == []
    talk.wait(60)
    assert talk.sent() == []


def test_a_new_subscription_is_given_a_moment_before_it_is_made_again(monkeypatch):
    talk = in_stream(monkeypatch)
    talk.stream("delta", prev=11, last=12)
    talk.accept()
    # Its snapshot comes, and a gap at once behind it.
    talk.stream("snapshot", last=20)
    talk.stream("delta", prev=21, last=22)
    assert not talk.live
    talk.wait(0.4, step=0.1)
    assert len(talk.sent()) <= 1
    talk.wait(5)
    talk.accept()
    talk.stream("snapshot", last=30)
    assert talk.live


def test_a_subscription_that_never_brings_a_book_is_noticed_and_made_again(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    talk.accept()
    talk.wait(14)
    assert talk.sent() == []
    talk.wait(3)
    assert talk.reasons() == ["no data"]
    assert verbs(talk.sent()) == ["unsubscribe"]
    talk.wait(30)  # not answered: the socket is given up, and the next one asks anew
    talk.connect()
    assert "sub" in verbs(talk.sent())
    assert talk.feed.bus.map.instrument_counters(0)["no_data"] == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 2))
def test_a_book_comes_back_whatever_the_venue_does_not_send(monkeypatch, seed, connections):
    rng = random.Random(seed)
    talk = Talk(monkeypatch, FakeVenue(), connections=connections, seed=seed % 1000)
    for _ in range(60):
        talk.wait(rng.choice([0.5, 2, 8]))
        talk.connect()
        for key in talk.open():
            if rng.random() < 0.1:
                talk.feed.disconnected(key, talk.now)
        if rng.random() < 0.6:
            talk.accept()
        for place, each in enumerate(talk.feed.connections):
            if each.id in talk.open() and rng.random() < 0.5:
                kind = rng.choice(["delta", "delta", "snapshot", "refused", "heartbeat"])
                number = rng.randrange(10)
                talk.stream(kind, place, prev=number, last=number if kind == "heartbeat" else number + 1)
    # The venue is well again: what is subscribed to brings a snapshot.
    for _ in range(40):
        talk.connect()
        for verb, _ in talk.accept():
            if verb == "sub":
                for place, each in enumerate(talk.feed.connections):
                    if each.id in talk.open():
                        talk.stream("snapshot", place, last=1000)
        talk.wait(2)
    assert talk.live


def test_several_books_are_lost_and_found_each_on_its_own(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(), 3)
    talk.accept()
    for coin in range(3):
        talk.stream("snapshot", coin=coin, last=10)
    talk.stream("delta", coin=1, prev=11, last=12)
    assert talk.accept() == [("unsubscribe", ["book:C1USDT"]), ("sub", ["book:C1USDT"])]
    assert talk.live


# Books by request, chained: a subscription without data


def by_request(monkeypatch, **options) -> Talk:
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), **options)
    talk.accept()
    (request,) = talk.requested()
    talk.reply(request, 10, [(100, 1)])
    assert talk.live
    return talk


def next_request(talk: Talk, within: float = 700):
    """The next request, and after how many seconds it came."""
    for second in range(1, int(within) + 1):
        talk.wait(1, step=1)
        found = talk.requested()
        if found:
            (request,) = found
            return request, second
    raise AssertionError("nothing was asked for")


def test_a_quiet_market_is_left_alone_and_looked_at_less_and_less_often(monkeypatch):
    talk = by_request(monkeypatch)
    pauses = []
    for _ in range(7):
        request, pause = next_request(talk)
        pauses.append(pause)
        talk.reply(request, 10, [(100, 1)])
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert talk.live
    assert talk.sent() == []


def test_a_quiet_market_that_moves_on_is_looked_at_as_often_as_at_first(monkeypatch):
    talk = by_request(monkeypatch)
    for _ in range(4):
        request, _ = next_request(talk)
        talk.reply(request, 10, [(100, 1)])
    request, _ = next_request(talk)
    talk.reply(request, 11, [(90, 1)])
    talk.wait(3)
    assert talk.reasons()[-1] == "no data"
    talk.accept()
    (request,) = talk.requested()
    talk.reply(request, 20, [(80, 1)])
    assert talk.live
    request, pause = next_request(talk)
    assert pause == 30


def test_a_connection_that_stays_silent_while_another_moves_a_quiet_book_on_is_noticed_soon(monkeypatch):
    talk = by_request(monkeypatch, connections=2)
    for _ in range(6):
        talk.wait(100)
        for request in talk.requested():
            talk.reply(request, 10, [(100, 1)])
    assert talk.sent() == []
    talk.stream("delta", 0, prev=10, last=11)
    talk.wait(31, step=1)
    assert verbs(talk.sent(1)) == ["unsubscribe"]
    assert talk.live


DEEP = [(1000 - place, 1) for place in range(150)]


def deep(monkeypatch) -> Talk:
    """A book that a small snapshot does not show whole."""
    sizes = (SnapshotSize(100, 5), SnapshotSize(1000, 50))
    talk = Talk(monkeypatch, FakeVenue(**(BY_REQUEST | {"snapshots": sizes})))
    talk.accept()
    (request,) = talk.requested()
    assert "/1000/" in request.url
    talk.reply(request, 10, DEEP)
    assert talk.live
    return talk


def test_a_quiet_market_is_looked_at_by_small_snapshots(monkeypatch):
    talk = deep(monkeypatch)
    for _ in range(5):
        request, _ = next_request(talk)
        assert "/100/" in request.url
        talk.reply(request, 10, DEEP[:100])
    assert talk.live
    assert talk.sent() == []
    request, _ = next_request(talk)
    talk.reply(request, 11, [*DEEP[:99], (901, 2)])
    talk.wait(3)
    assert not talk.live


def test_what_a_small_snapshot_does_not_show_is_looked_at_where_the_sequence_goes_on(monkeypatch):
    talk = deep(monkeypatch)
    request, _ = next_request(talk)
    talk.reply(request, 20, DEEP[:100])
    request, _ = next_request(talk)
    assert "/1000/" in request.url
    talk.reply(request, 30, DEEP)  # as where one sequence counts for all books
    request, _ = next_request(talk)
    assert "/100/" in request.url
    talk.reply(request, 40, DEEP[:100])
    assert talk.live
    request, _ = next_request(talk)
    assert "/1000/" in request.url
    talk.reply(request, 50, [*DEEP[:120], (5, 5)])
    talk.wait(3)
    assert not talk.live
    assert talk.reasons()[-1] == "no data"


def test_a_connection_that_brought_nothing_yet_gets_the_book_that_another_takes_along(monkeypatch):
    talk = by_request(monkeypatch, connections=2)
    talk.feed.disconnected(talk.key(1), talk.now)
    talk.wait(2)
    talk.connect()
    talk.accept()
    assert talk.live
    assert talk.requested() == []
    talk.feed.disconnected(talk.key(0), talk.now)
    assert not talk.live
    (request,) = talk.requested()  # at once: the market may be quiet
    talk.reply(request, 10, [(100, 1)])
    assert talk.live


def test_a_book_that_is_the_same_under_a_later_sequence_is_left_alone(monkeypatch):
    # The sequence may be the time of the reply, or count what happens to other books.
    talk = by_request(monkeypatch)
    for number in range(5):
        request, _ = next_request(talk)
        talk.reply(request, 20 + number, [(100, 1)])
        talk.wait(3)
    assert talk.live
    assert talk.reasons() == ["snapshot"]
    assert talk.sent() == []


def test_a_subscription_without_data_is_noticed_where_the_venues_book_moves_on(monkeypatch):
    talk = by_request(monkeypatch)
    talk.wait(31)
    (request,) = talk.requested()
    talk.reply(request, 50, [(90, 1)])
    assert talk.live  # what is on its way may still come
    talk.wait(3)
    assert not talk.live
    assert talk.reasons()[-1] == "no data"
    assert talk.accept() == [("unsubscribe", ["book:C0USDT"]), ("sub", ["book:C0USDT"])]
    (request,) = talk.requested()
    talk.reply(request, 60, [(80, 1)])
    assert (talk.live, talk.levels()) == (True, [(80, 1)])
    # The new one is watched too.
    talk.wait(31)
    (request,) = talk.requested()
    talk.reply(request, 70)
    talk.wait(3)
    assert not talk.live


def test_a_subscription_whose_first_delta_comes_late_is_none_without_data(monkeypatch):
    talk = by_request(monkeypatch)
    talk.wait(31)
    (request,) = talk.requested()
    talk.reply(request, 50)
    talk.stream("delta", prev=10, last=50, bids=[(99, 1)])
    talk.wait(25)
    assert talk.live
    assert talk.requested() == []
    assert talk.sent() == []


def test_the_silent_one_of_two_is_subscribed_again_while_the_other_leads(monkeypatch):
    talk = by_request(monkeypatch, connections=2)
    for number in range(10, 80):
        talk.stream("delta", 0, prev=number, last=number + 1)
        talk.wait(1, step=1)
        for request in talk.requested():
            talk.reply(request, number + 1)
    assert talk.live
    assert "no data" not in talk.reasons()
    assert verbs(talk.sent(1)) == ["unsubscribe"]


def test_two_silent_connections_do_not_keep_a_book_that_the_venue_has_left_behind(monkeypatch):
    talk = by_request(monkeypatch, connections=2)
    talk.wait(31)
    for request in talk.requested():
        talk.reply(request, 50)
    talk.wait(3)
    assert not talk.live
    assert "no data" in talk.reasons()
    talk.accept()
    for request in talk.requested():
        talk.reply(request, 60, [(80, 1)])
    assert talk.live


def test_a_reply_that_is_none_changes_nothing_and_is_asked_for_again(monkeypatch):
    talk = by_request(monkeypatch)
    talk.wait(31)
    (request,) = talk.requested()
    talk.feed.reply(request, b"<html>", ts=talk.now)
    assert talk.live
    talk.wait(5)
    (request,) = talk.requested()
    talk.reply(request, 10, status=500)
    talk.wait(5)
    (request,) = talk.requested()
    talk.reply(request, 10, status=429)
    talk.wait(29)
    assert talk.requested() == []
    talk.wait(2)
    (request,) = talk.requested()
    talk.wait(21)  # no reply at all
    assert len(talk.requested()) == 0
    talk.wait(6)
    (again,) = talk.requested()
    talk.reply(request, 99)  # too late, and of no meaning
    talk.reply(again, 10)
    assert talk.live


def test_a_connection_that_goes_takes_its_watch_along(monkeypatch):
    talk = by_request(monkeypatch)
    talk.wait(31)
    (request,) = talk.requested()
    talk.feed.disconnected(talk.key(), talk.now)
    talk.reply(request, 99)
    talk.wait(10, alive=False)
    assert not talk.live
    assert talk.requested() == []


def test_forms_of_books_beside_each_other_in_one_product(monkeypatch):
    channels = (Channel(name="book", form="whole"), Channel(name="book", form="diff", by_request=True))
    venue = FakeVenue(**(BY_REQUEST | {"channels": channels}))
    talk = Talk(monkeypatch, venue)
    talk.accept()
    assert talk.requested() == []
    talk.stream("refresh", last=1, bids=[(1, 1)])
    assert talk.live
    talk = Talk(monkeypatch, venue, book="diff")
    talk.accept()
    assert len(talk.requested()) == 1


# What the venue refuses

OPENS = {"channels": (Channel(name="book", opens=True), Channel(name="trade"))}


def answer(talk: Talk, refused: set[int], book: int | None = None) -> list[str]:
    """Answer all requests, and what follows; subscriptions on `refused` are, others bring a book of that sequence."""
    out = []
    while talk.feed.sends:
        key, payload = talk.feed.sends.popleft()
        verb, topics, number = json.loads(payload)
        out.append(verb)
        control = ["Ack", {"request_id": number, "ended": verb == "unsubscribe"}]
        if verb == "sub" and key in refused and topics != ["status"]:
            control = ["Refusal", {"request_id": number, "reason": "too many requests"}]
        talk._note(talk.feed.receive(json.dumps({"result": [control]}), talk.now, key))
        talk._note(talk.feed.advance(talk.now))
        if control[0] == "Ack" and verb == "sub" and book is not None and topics == ["book:C0USDT"]:
            talk.stream("snapshot", talk.open().index(key), last=book, bids=[(100, 1)])
    return out


def opened(monkeypatch, connections: int) -> Talk:
    talk = Talk(monkeypatch, FakeVenue(**OPENS), connections=connections)
    talk.accept()
    for connection in range(connections):
        talk.stream("snapshot", connection, last=10, bids=[(100, 1)])
    assert talk.live
    return talk


def quiet(talk: Talk, refused: set[int], seconds: int = 200, book: int | None = 10) -> None:
    """A quiet market: the feed makes its subscriptions again, and the venue refuses that on some connections."""
    for _ in range(seconds):
        talk.wait(1, step=1)
        answer(talk, refused, book)


def test_a_book_whose_subscription_is_refused_when_made_again_is_not_live(monkeypatch):
    talk = opened(monkeypatch, 1)
    quiet(talk, set(talk.open()))
    assert not talk.live
    assert talk.reasons()[-1] == "refused"


def test_a_refused_subscription_is_asked_for_again_less_and_less_often(monkeypatch):
    talk = opened(monkeypatch, 1)
    asked = []
    for second in range(7200):
        talk.wait(1, step=1)
        asked += [second for verb in answer(talk, set(talk.open())) if verb == "sub"]
    pauses = [two - one for one, two in itertools.pairwise(asked)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 3
    assert 500 <= pauses[-1] <= 700
    assert not talk.live
    quiet(talk, set(), 700, book=20)
    assert talk.live
    talk.wait(10)
    assert health(talk) == "ok"


def test_a_book_that_another_connection_keeps_stays_live_and_dies_with_that_one(monkeypatch):
    talk = opened(monkeypatch, 2)
    bad, good = talk.open()
    quiet(talk, {bad})
    assert talk.live
    talk.stream("delta", 1, prev=10, last=11, bids=[(100, 2)])
    assert talk.live
    talk._note(talk.feed.disconnected(good, talk.now))
    assert not talk.live


def test_a_book_that_both_connections_were_refused_is_not_live(monkeypatch):
    talk = opened(monkeypatch, 2)
    quiet(talk, set(talk.open()), 400)
    assert not talk.live


def test_a_book_whose_streams_stand_still_on_both_connections_is_not_live(monkeypatch):
    talk = opened(monkeypatch, 2)
    quiet(talk, set(), 400, book=None)
    assert not talk.live
    assert "no data" in talk.reasons()


@pytest.mark.parametrize("channel", ["book", "trade"])
def test_a_refusal_is_forgotten_when_the_venue_takes_the_subscription(monkeypatch, channel):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), channels=(channel,))
    quiet(talk, set(talk.open()), 30)
    assert health(talk) == "degraded"
    quiet(talk, set(), 40, book=None)
    for request in talk.requested():
        talk.reply(request, 10, [(100, 1)])
    talk.wait(10)
    assert health(talk) == "ok"


def test_a_refusal_ends_with_its_socket(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), channels=("trade",))
    quiet(talk, set(talk.open()), 30)
    assert health(talk) == "degraded"
    talk._note(talk.feed.disconnected(talk.key(), talk.now))
    talk.connect()
    talk.accept()
    talk.wait(10)
    assert health(talk) == "ok"


def test_a_refused_subscription_that_is_asked_for_again_in_vain_costs_nobody_the_socket(monkeypatch):
    talk = opened(monkeypatch, 1)
    before = talk.open()
    quiet(talk, set(before))
    talk.sent()
    talk.wait(1300)
    assert talk.open() == before
    assert any(verb == "sub" for verb, *_ in talk.sent())


def test_a_resync_makes_no_book_live_that_has_no_subscription(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    talk.stream("delta", prev=10, last=11)
    (request,) = talk.requested()
    talk.reply(request, 10, [(100, 1)])
    assert talk.live
    # It stands still while the venue's book moves: the subscription is made again, and refused.
    for _ in range(80):
        talk.wait(1, step=1)
        for request in talk.requested():
            talk.reply(request, 500, [(98, 1)])
        answer(talk, set(talk.open()))
    assert not talk.live
    assert talk.feed._protocol.resync("fake:C0/USDT", talk.now)
    talk._note(talk.feed.advance(talk.now))
    for request in talk.requested():
        talk.reply(request, 500, [(98, 1)])
    assert not talk.live
    quiet(talk, set(), 100, book=None)
    for request in talk.requested():
        talk.reply(request, 600, [(97, 1)])
    assert talk.live


# What is traded no more


def closing(monkeypatch, refused: bool = False, status: str = "closed") -> Talk:
    """An instrument in the stream that was live, whose connection came back after it was closed."""
    talk = Talk(monkeypatch, FakeVenue(notices=True, **OPENS))
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(100, 1)])
    talk.wait(10)
    talk.say(("InstrumentStatus", {"symbol": "C0USDT", "status": status}))
    talk._note(talk.feed.disconnected(talk.key(), talk.now))
    talk.connect()
    answer(talk, set(talk.open()) if refused else set())
    return talk


@pytest.mark.parametrize("refused", [False, True])
def test_of_a_closed_instrument_nothing_is_asked_and_nothing_is_bad(monkeypatch, refused, caplog):
    talk = closing(monkeypatch, refused)
    caplog.clear()
    talk.wait(3 * 3600, step=1)
    assert talk.sent() == []
    assert health(talk) == "ok"
    assert not talk.live
    assert caplog.records == []


def test_a_closed_book_that_is_live_is_left_alone(monkeypatch):
    talk = opened(monkeypatch, 1)
    talk.say(("InstrumentStatus", {"symbol": "C0USDT", "status": "closed"}))
    talk.wait(3600, step=1)
    assert talk.sent() == []
    assert (health(talk), talk.live) == ("ok", True)


def test_an_instrument_that_opens_again_gets_its_book(monkeypatch):
    talk = closing(monkeypatch)
    talk.wait(1000, step=1)
    talk.say(("InstrumentStatus", {"symbol": "C0USDT", "status": "trading"}))
    assert "sub" in answer(talk, set(), book=20)
    assert talk.live


def test_a_closed_book_whose_stream_goes_on_is_asked_for_after_a_gap(monkeypatch):
    talk = opened(monkeypatch, 1)
    talk.say(("InstrumentStatus", {"symbol": "C0USDT", "status": "closed"}))
    talk.stream("delta", prev=20, last=21)
    assert not talk.live
    assert "sub" in answer(talk, set(), book=30)
    assert talk.live


def test_an_expired_instrument_is_as_one_that_is_closed(monkeypatch):
    expired = msgspec.structs.replace(fakevenue.coin(0), expiry=START + SECOND)
    monkeypatch.setattr(fakevenue, "coin", lambda number: expired)
    talk = Talk(monkeypatch, FakeVenue(**OPENS))
    talk.accept()
    talk.wait(3600, step=1)
    assert talk.sent() == []
    assert health(talk) == "ok"


def test_a_book_that_never_comes_is_asked_for_less_and_less_often(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    asked = []
    for second in range(7200):
        talk.wait(1, step=1)
        asked += [second for verb, _ in talk.accept() if verb == "sub"]
    assert len(asked) < 30
    assert 300 <= asked[-1] - asked[-2] <= 620


def test_silent_books_leave_frames_of_the_hour_for_one_that_was_live(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(limits={"sends_per_hour": 60}, **OPENS), 20)
    talk.accept()
    sequence = 10
    talk.stream("snapshot", last=sequence)
    for second in range(3 * 3600):
        talk.wait(1, step=1)
        sequence += 1
        if second % 1200 == 1199:
            sequence += 5
            talk.stream("delta", prev=sequence - 1, last=sequence)
            assert not talk.live
            assert "sub" in answer(talk, set())
            talk.stream("snapshot", last=sequence)
        else:
            talk.stream("delta", prev=sequence - 1, last=sequence)
            answer(talk, set())
        assert talk.live


def health(talk: Talk) -> str:
    return describe(talk.feed.bus)["instruments"][0]["health"]


def test_books_lost_in_one_read_are_asked_for_together(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(limits={"frame_bytes": 4000}), count=100)
    talk.accept()
    for number in range(100):
        talk.stream("snapshot", coin=number, last=10, bids=[(100, 1)])
    talk.wait(20)
    protocol = talk.feed._protocol
    path = protocol.attempt(talk.key()).path
    looks: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "advance", looks.append)
        for each in talk.instruments:
            assert inject(path, f"book:{each.symbol}", "delta", talk.now, prev=50, last=60, bids=[(99, 1)])
            protocol.attend(talk.now)
    assert (looks, talk.sent()) == ([], [])  # what all books cost is not paid for each of them
    talk.feed.advance(talk.now)
    ((verb, topics, _),) = talk.sent()
    assert (verb, len(topics)) == ("unsubscribe", 100)


def test_what_stands_behind_a_gap_in_the_same_read_is_held_for_the_snapshot(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    talk.reply(talk.requested()[0], 10, [(100, 1)])
    assert talk.live
    path = talk.feed._protocol.attempt(talk.key()).path
    for prev in (20, 21):
        inject(path, "book:C0USDT", "delta", talk.now, prev=prev, last=prev + 1, bids=[(90 + prev, 1)])
        talk.feed._protocol.attend(talk.now)  # what follows is done when the read is
    talk._note(talk.feed.advance(talk.now))
    (request,) = talk.requested()
    talk.reply(request, 21, [(100, 1)])
    assert (talk.live, talk.book.top(2).sequence, talk.levels()) == (True, 22, [(111, 1), (100, 1)])


def test_books_that_wait_for_their_turn_hold_nothing(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), count=12)
    talk.accept()
    assert len(talk.requested()) == 8
    (link,) = talk.feed._protocol.subscriptions.links
    assert [each.market.holding for each in link.subscriptions].count(True) == 8

"""requests: one answer for each topic, however the venue answers; pacing, keep-alive and status of the connection."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from fakevenue import BY_REQUEST, SECOND, START, FakeVenue, Talk
from hypothesis import given
from hypothesis import strategies as st

from fastfeed.requests import Requests
from fastfeed.venues.spec import Ack, Refusal, Topic


def topics(*texts: str, frame: str = "") -> list[Topic]:
    return [Topic("/ws", text, frame) for text in texts]


class Desk:
    """Requests of a venue, and what was sent of them."""

    def __init__(self, **venue: Any) -> None:
        self.venue = FakeVenue(**venue)
        self.requests = Requests(self.venue, self.venue.PRODUCTS[0], None, itertools.count(1).__next__)
        self.now = START

    def send(self) -> list[tuple[str, list[str], int]]:
        out = []
        while (payload := self.requests.next(self.now)) is not None:
            out.append(tuple(json.loads(payload)))
        return out

    def subscribe(self, *texts: str) -> list[tuple[str, list[str], int]]:
        self.requests.subscribe(topics(*texts))
        return self.send()

    def ack(self, **fields: Any) -> list[str]:
        return self.requests.acknowledged(Ack(**fields))

    def refuse(self, **fields: Any) -> list[str] | None:
        return self.requests.refused(Refusal(reason="no", **fields))


# Frames


@given(st.lists(st.text("ab:@é", min_size=1, max_size=30), unique=True, max_size=60), st.integers(60, 200),
       st.integers(1, 10))  # fmt: skip
def test_frames_hold_all_topics_once_within_the_limits(texts, size, most):
    desk = Desk(limits={"frame_bytes": size, "topics_per_frame": most})
    desk.requests.subscribe(topics(*texts))
    frames = []
    while (payload := desk.requests.next(START)) is not None:
        asked = json.loads(payload)[1]
        assert 1 <= len(asked) <= most
        assert len(payload) <= size or len(asked) == 1
        frames.append(asked)
    assert [text for asked in frames for text in asked] == texts
    # No frame could have taken the next topic too.
    for asked, following in itertools.pairwise(frames):
        longer = len(desk.venue.encode_subscribe([*asked, following[0]], 10**9))
        assert len(asked) == most or longer + 4 > size


def test_the_frames_that_end_subscriptions_keep_the_limits_too():
    desk = Desk(limits={"frame_bytes": 60})
    desk.requests.again(topics(*(f"topic{number}" for number in range(50))))
    while (payload := desk.requests.next(START)) is not None:
        assert json.loads(payload)[0] == "unsubscribe"
        assert len(payload) <= 60


def test_topics_that_cannot_share_a_request_do_not():
    desk = Desk()
    desk.requests.subscribe([*topics("a", frame="1"), *topics("b", frame="2"), *topics("c", frame="1")])
    assert [asked for _, asked, _ in desk.send()] == [["a", "c"], ["b"]]


def test_nothing_is_sent_before_the_answer_to_the_greeting():
    desk = Desk(greets=True)
    desk.requests.greet(START)
    desk.requests.subscribe(topics("a"))
    ((verb, _, number),) = desk.send()
    assert verb == "hello"
    assert desk.ack() == []  # says nothing about the greeting
    assert desk.send() == []
    assert desk.ack(request_id=number) == []
    assert desk.send() == [("sub", ["a"], number + 1)]


def test_a_greeting_without_an_answer_ends_the_socket_and_a_refused_one_does_not():
    desk = Desk(greets=True, acks_topics=True)
    desk.requests.greet(START)
    desk.requests.subscribe(topics("a"))
    desk.send()
    assert desk.requests.overdue(START + 10 * SECOND) is None
    assert desk.requests.overdue(START + 11 * SECOND) is not None
    assert desk.refuse() == []
    assert [verb for verb, *_ in desk.send()] == ["sub"]


# Acks


def test_an_ack_by_its_id():
    desk = Desk()
    ((_, _, number),) = desk.subscribe("a", "b")
    assert desk.ack(request_id=99) == []
    assert desk.ack(request_id=number) == ["a", "b"]
    assert desk.ack(request_id=number) == []
    assert desk.requests.overdue(START + 100 * SECOND) is None


def test_acks_by_topic_without_an_id():
    desk = Desk(acks_topics=True)
    desk.subscribe("a", "b")
    desk.subscribe("c")
    assert desk.ack(topics=("c", "unknown")) == ["c"]
    assert desk.ack(topics=("a",)) == ["a"]
    assert desk.ack(topics=("a",)) == []
    assert desk.ack(topics=("b",)) == ["b"]
    assert desk.requests.overdue(START + 100 * SECOND) is None


def test_an_ack_without_anything_is_that_of_the_request_that_waits_longest():
    desk = Desk()
    for text in ("a", "b", "c"):
        desk.subscribe(text)
    assert [desk.ack(), desk.ack(), desk.ack(), desk.ack()] == [["a"], ["b"], ["c"], []]


def test_what_a_complete_answer_leaves_out_is_refused():
    desk = Desk()
    ((_, _, number),) = desk.subscribe("a", "b", "c")
    assert desk.ack(request_id=number, topics=("a", "c"), complete=True) == ["a", "c"]
    ((texts, refusal),) = desk.requests.take_left_out()
    assert (texts, refusal.request_id) == (["b"], number)
    assert desk.requests.take_left_out() == []
    assert desk.requests.overdue(START + 100 * SECOND) is None


def test_a_complete_answer_without_an_id_is_about_one_request():
    desk = Desk()
    desk.subscribe("a", "b")
    desk.subscribe("c", "d")
    assert desk.ack(topics=("c",), complete=True) == ["c"]
    assert [texts for texts, _ in desk.requests.take_left_out()] == [["d"]]
    assert desk.ack(topics=(), complete=True) == []  # nothing at all was taken, of the one that is left
    assert [texts for texts, _ in desk.requests.take_left_out()] == [["a", "b"]]


# Refusals


def test_a_refusal_that_names_its_topics():
    desk = Desk()
    ((_, _, number),) = desk.subscribe("a", "b", "c")
    assert desk.refuse(request_id=number, topics=("b", "x")) == ["b"]
    assert desk.ack(request_id=number) == ["a", "c"]


def test_of_a_refused_request_with_several_topics_each_is_asked_for_alone():
    desk = Desk()
    ((_, _, number),) = desk.subscribe("a", "b", "c")
    assert desk.refuse(request_id=number) is None
    alone = desk.send()
    assert [asked for _, asked, _ in alone] == [["a"], ["b"], ["c"]]
    assert desk.ack(request_id=alone[0][2]) == ["a"]
    assert desk.refuse(request_id=alone[1][2]) == ["b"]
    assert desk.ack(request_id=alone[2][2]) == ["c"]
    assert desk.send() == []


def test_a_refusal_without_an_id_is_that_of_the_request_that_waits_longest():
    desk = Desk()
    desk.subscribe("a")
    desk.subscribe("b")
    assert desk.refuse() == ["a"]
    assert desk.refuse() == ["b"]
    assert desk.refuse() == []


def test_where_topics_are_acknowledged_one_by_one_who_is_left_was_refused():
    desk = Desk(acks_topics=True)
    desk.subscribe("a", "bad", "c")
    assert desk.refuse(code=7) is None
    assert desk.ack(topics=("a",)) + desk.ack(topics=("c",)) == ["a", "c"]
    assert desk.requests.overdue(START + 9 * SECOND) is None
    assert desk.requests.take_left_out() == []
    assert desk.requests.overdue(START + 11 * SECOND) is None
    ((texts, refusal),) = desk.requests.take_left_out()
    assert (texts, refusal.code) == (["bad"], 7)


@pytest.mark.parametrize("taken", [[], ["a"]], ids=["none", "first"])
def test_one_bad_topic_does_not_cost_those_that_were_not_answered_beside_it(taken):
    desk = Desk(acks_topics=True)
    desk.subscribe("a", "bad", "c")
    for text in taken:
        assert desk.ack(topics=(text,)) == [text]
    assert desk.refuse(code=7) is None
    assert desk.requests.overdue(START + 11 * SECOND) is None
    assert desk.requests.take_left_out() == []
    desk.now += 11 * SECOND
    left = [text for text in ("a", "bad", "c") if text not in taken]
    assert [asked for _, asked, _ in desk.send()] == [[text] for text in left]
    desk.refuse(code=7)
    for text in left:
        if text != "bad":
            assert desk.ack(topics=(text,)) == [text]
    assert desk.requests.overdue(desk.now + 11 * SECOND) is None
    assert [texts for texts, _ in desk.requests.take_left_out()] == [["bad"]]


@pytest.mark.parametrize("order", list(itertools.permutations(["a", "bad", "c"])), ids="-".join)
def test_nobody_is_refused_for_another_whatever_the_order_of_answers(order):
    desk = Desk(acks_topics=True, limits={"topics_per_frame": 1})
    desk.subscribe("a", "bad", "c")
    taken = []
    for text in order:
        if text == "bad":
            assert desk.refuse(code=7) is None
        else:
            taken += desk.ack(topics=(text,))
    assert sorted(taken) == ["a", "c"]
    assert desk.requests.overdue(START + 11 * SECOND) is None
    assert [texts for texts, _ in desk.requests.take_left_out()] == [["bad"]]
    assert desk.requests.overdue(START + 100 * SECOND) is None


def test_a_topic_that_is_not_answered_beside_others_was_refused_and_a_request_without_any_answer_ends_the_socket():
    desk = Desk(acks_topics=True)
    desk.subscribe("a", "b")
    desk.ack(topics=("a",))
    assert desk.requests.overdue(START + 11 * SECOND) is None
    assert [texts for texts, _ in desk.requests.take_left_out()] == [["b"]]
    desk.subscribe("c")
    assert desk.requests.overdue(START + 11 * SECOND) is not None


# Ending and making again


def test_a_subscription_is_made_again_when_its_end_is_acknowledged():
    desk = Desk()
    desk.requests.again(topics("a", "b"))
    ((verb, asked, number),) = desk.send()
    assert (verb, asked) == ("unsubscribe", ["a", "b"])
    desk.requests.again(topics("a"))  # it is on its way
    assert desk.send() == []
    assert desk.ack(request_id=number, ended=True) == []
    ((verb, asked, number),) = desk.send()
    assert (verb, asked) == ("sub", ["a", "b"])
    assert desk.ack(request_id=number) == ["a", "b"]


def test_acks_of_ends_and_of_subscriptions_are_not_mixed_up():
    desk = Desk(acks_topics=True)
    desk.requests.again(topics("a"))
    desk.send()
    assert desk.ack(topics=("a",)) == []
    assert desk.send() == []
    assert desk.ack(topics=("a",), ended=True) == []
    assert [(verb, asked) for verb, asked, _ in desk.send()] == [("sub", ["a"])]
    assert desk.ack(topics=("a",), ended=True) == []
    assert desk.ack(topics=("a",)) == ["a"]


@pytest.mark.parametrize("answer", ["complete", "refused alone", "refused by name", "said", "some"])
def test_what_was_not_subscribed_need_not_be_ended(answer):
    desk = Desk(acks_topics=answer in ("said", "some"))
    desk.requests.again(topics("a", "b"))
    ((_, _, number),) = desk.send()
    if answer == "complete":
        desk.ack(request_id=number, topics=("b",), complete=True, ended=True)
    elif answer == "refused by name":
        assert desk.refuse(request_id=number, topics=("a",)) == []
        desk.ack(request_id=number, ended=True)
    elif answer == "refused alone":
        assert desk.refuse(request_id=number) is None
        one, two = desk.send()
        assert desk.refuse(request_id=one[2]) == []
        desk.ack(request_id=two[2], ended=True)
    else:
        if answer == "said":
            desk.refuse()
        else:
            desk.ack(topics=("b",), ended=True)
        assert desk.requests.overdue(START + 11 * SECOND) is None
    assert sorted(text for verb, asked, _ in desk.send() for text in asked if verb == "sub") == ["a", "b"]
    assert desk.requests.take_left_out() == []


# The connection around them


def test_an_answer_to_the_venue_goes_before_all_else(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(limits={"sends_per_second": 1, "topics_per_frame": 1}), 3)
    assert len(talk.sent()) == 1
    talk.say(("Answer", {"payload": "WyJhbnN3ZXIiLFtdLDBd"}))  # ["answer",[],0]
    assert talk.sent() == [("answer", [], 0)]
    talk.wait(1, alive=False)
    assert [verb for verb, *_ in talk.sent()] == ["sub"]


def test_no_more_frames_an_hour_than_the_venue_takes(monkeypatch):
    venue = FakeVenue(limits={"sends_per_hour": 5, "topics_per_frame": 1}, mute_after_s=10**6)
    talk = Talk(monkeypatch, venue, 8)
    for _ in range(10):
        talk.accept()
        talk.wait(0.5)
    for number in range(5):
        talk.stream("snapshot", coin=number, last=1)
    assert talk.sent() == []
    talk.wait(3590, step=100)
    assert talk.sent() == []
    talk.wait(12)
    assert len(talk.sent()) == 3


@pytest.mark.parametrize(("silent", "busy", "wanted"), [(False, True, 3), (True, True, 0), (True, False, 3)])
def test_pings_are_sent_as_often_as_the_venue_wants(monkeypatch, silent, busy, wanted):
    venue = FakeVenue(pings=b'["ping",[],0]', ping_every_s=10, ping_when_silent=silent)
    talk = Talk(monkeypatch, venue)
    talk.accept()
    talk.stream("snapshot", last=1)
    talk.wait(34, alive=busy)
    assert [verb for verb, *_ in talk.sent()] == ["ping"] * wanted


def test_pings_of_the_protocol_are_asked_for_by_connection(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(ping_every_s=10))
    talk.accept()
    talk.stream("snapshot", last=1)
    talk.wait(25)
    assert list(talk.feed.pings) == [talk.key(), talk.key()]


def test_pings_count_as_what_is_sent(monkeypatch):
    limits = {"sends_per_second": 1, "topics_per_frame": 1}
    talk = Talk(monkeypatch, FakeVenue(ping_every_s=0.5, limits=limits), 2)
    assert len(talk.sent()) == 1
    talk.wait(1, step=0.5, alive=False)
    assert len(talk.feed.pings) == 2
    assert talk.sent() == []


def test_notices_have_room_on_a_connection_that_is_full(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(notices=True, limits={"topics_per_connection": 3}), 3)
    topics = [len(asked) for _, asked in talk.accept()]
    assert len(talk.feed.connections) == 2
    assert topics == [3, 1]


def test_books_are_spread_over_more_connections_than_what_else_there_is(monkeypatch):
    limits = {"topics_per_connection": 5, "books_per_connection": 2}
    talk = Talk(monkeypatch, FakeVenue(notices=True, limits=limits), 7, channels=("book", "trade"))
    asked = [topics for _, topics in talk.accept()]
    assert [sorted(topics) for topics in asked] == [
        ["book:C0USDT", "book:C1USDT", "status", "trade:C0USDT", "trade:C1USDT"],
        ["book:C2USDT", "book:C3USDT", "trade:C2USDT", "trade:C3USDT"],
        ["book:C4USDT", "book:C5USDT", "trade:C4USDT", "trade:C5USDT"],
        ["book:C6USDT", "trade:C6USDT"],
    ]


def test_where_books_are_few_only_the_limit_of_topics_splits(monkeypatch):
    limits = {"topics_per_connection": 5, "books_per_connection": 4}
    talk = Talk(monkeypatch, FakeVenue(limits=limits), 4, channels=("book", "trade", "bbo"))
    assert [len(topics) for _, topics in talk.accept()] == [5, 5, 2]


def test_a_topic_left_out_of_the_answer_costs_itself(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(acks_topics=True), 2)
    key = talk.key()
    talk.sent()
    talk.say(("Ack", {"topics": ["book:C0USDT"]}))
    talk.stream("snapshot", last=1, bids=[(1, 1)])
    events = talk.wait(12)
    assert [(each.name, each.reason) for each in events] == [("fake:C1/USDT", "refused")]
    assert talk.key() == key
    assert talk.live


def test_a_venue_that_greets_is_greeted_on_each_connection(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(greets=True), connections=2)
    assert [verb for verb, *_ in talk.sent()] == ["hello", "hello"]
    talk = Talk(monkeypatch, FakeVenue(greets=True))
    assert talk.accept() == [("hello", []), ("sub", ["book:C0USDT"])]


def test_a_change_of_an_instruments_status_reaches_readers(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(notices=True), 2, connections=2)
    assert [asked for _, asked in talk.accept()] == [["book:C0USDT", "book:C1USDT", "status"]] * 2
    change = ("InstrumentStatus", {"symbol": "C1USDT", "status": "halted"})
    (event,) = talk.say(change)
    assert (event.name, event.reason, event.instrument_status, event.state) == (
        "fake:C1/USDT", "instrument", "halted", "syncing",
    )  # fmt: skip
    assert [each.status for each in talk.feed.bus.instruments] == ["trading", "halted"]
    assert talk.say(change, connection=1) == []
    assert talk.say(("InstrumentStatus", {"symbol": "UNKNOWN", "status": "closed"})) == []
    (event,) = talk.say(("InstrumentStatus", {"symbol": "C1USDT", "status": "trading"}))
    assert event.instrument_status == "trading"
    assert [each.status for each in talk.feed.bus.instruments] == ["trading", "trading"]


def test_a_status_says_nothing_of_the_book_beside_it(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(notices=True))
    talk.accept()
    talk.stream("snapshot", last=1, bids=[(1, 1)])
    (event,) = talk.say(("InstrumentStatus", {"symbol": "C0USDT", "status": "halted"}))
    assert event.state == "live"
    assert talk.live


def test_control_frames_of_all_kinds_and_none_of_them_ends_the_feed(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST), 2)
    talk.accept()
    for control in (
        ("Ack", {}), ("Ack", {"request_id": 10**12}), ("Ack", {"topics": ["book:C0USDT", "?"], "ended": True}),
        ("Ack", {"topics": [], "complete": True}), ("Refusal", {"reason": ""}),
        ("Refusal", {"reason": "", "topics": ["?", "?"]}), ("Refusal", {"reason": "", "request_id": 10**12}),
        ("Pong", {}), ("Unknown", {"text": "?"}), ("Unknown", {"text": "?"}),
    ):  # fmt: skip
        talk.say(control)
    assert len(talk.requested()) == 2


def test_a_topic_that_finds_no_way_costs_itself(monkeypatch):
    venue = FakeVenue()
    shared = {"trade": "same:topic"}
    plain = venue.topics
    monkeypatch.setattr(
        venue,
        "topics",
        lambda instrument, row, options: (
            (Topic("/ws", shared[row.name]),) if row.name in shared else plain(instrument, row, options)
        ),
    )
    talk = Talk(monkeypatch, venue, 2, channels=("book", "trade"))
    assert talk.accept() == [("sub", ["book:C0USDT", "same:topic", "book:C1USDT"])]
    for coin in (0, 1):
        talk.stream("snapshot", coin=coin, last=1)
        assert talk.feed.book(f"fake:C{coin}/USDT").state.name == "LIVE"

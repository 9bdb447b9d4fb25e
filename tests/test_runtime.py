"""Subscriptions that change while the feed runs: what is new comes, what ends is ended, and nobody else notices."""

from __future__ import annotations

import errno
import itertools
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from fakevenue import BY_REQUEST, FakeVenue, Talk, coin
from rig import Rig

import fastfeed
from fastfeed import venues
from fastfeed.venues import VENUES
from fastfeed.venues.spec import Topic


def two(monkeypatch, **ways) -> Talk:
    """A feed of two instruments, whose books come in the stream and are live."""
    options = {name: ways.pop(name) for name in ("channels", "connections") if name in ways}
    it = Talk(monkeypatch, FakeVenue(**ways), count=2, **options)
    it.instruments += [coin(number) for number in range(2, 6)]
    it.accept()
    for connection, number in itertools.product(range(len(it.feed.connections)), range(2)):
        it.stream("snapshot", connection, number, last=10, bids=[(100, 1)], asks=[(101, 1)])
    assert [state(it, 0), state(it, 1)] == ["LIVE", "LIVE"]
    it.wait(5)
    return it


def subscribe(it: Talk, *coins: int, channels: Any = None) -> list[Any]:
    return it._note(it.feed.subscribe([it.instruments[each] for each in coins], it.now, channels))


def unsubscribe(it: Talk, *coins: int, channels: Any = None) -> list[Any]:
    return it._note(it.feed.unsubscribe([it.instruments[each].name for each in coins], it.now, channels))


def state(it: Talk, number: int) -> str:
    return it.feed.book(it.instruments[number].name).state.name


def said(events: list[Any], scope: str = "instrument") -> list[tuple[str, str, str]]:
    return [(each.name, each.state, each.reason) for each in events if each.kind == "status" and each.scope == scope]


# What the venue hears


def test_a_new_instrument_is_subscribed_to_on_the_open_connection_and_comes(monkeypatch):
    it = two(monkeypatch)
    before = it.open()
    subscribe(it, 2)
    assert it.accept() == [("sub", ["book:C2USDT"])]
    assert it.open() == before
    it.stream("snapshot", coin=2, last=7, bids=[(50, 1)])
    assert (state(it, 2), it.live) == ("LIVE", True)
    it.stream("delta", coin=2, prev=7, last=8, bids=[(49, 2)])
    assert it.feed.book("fake:C2/USDT").depth().bids.tolist() == [(50, 1), (49, 2)]


def test_what_is_wanted_already_is_not_asked_for_again(monkeypatch):
    it = two(monkeypatch)
    subscribe(it, 0, 1, 0)
    assert it.accept() == []
    assert len(said(it.events)) == 2


def test_an_ended_instrument_is_unsubscribed_and_its_book_says_so_at_once(monkeypatch):
    it = two(monkeypatch)
    before = it.open()
    events = unsubscribe(it, 0)
    assert said(events) == [("fake:C0/USDT", "syncing", "unsubscribed")]
    assert state(it, 0) == "SYNCING"
    assert it.book.depth().bids.tolist() == []
    assert it.accept() == [("unsubscribe", ["book:C0USDT"])]
    assert it.open() == before
    assert said(it.wait(60)) == []  # nobody waits for its book
    assert it.accept() == []


def test_what_still_comes_of_an_ended_instrument_is_nothing(monkeypatch):
    it = two(monkeypatch, channels=("book", "trade"))
    frame = '{"stream":"trade:C%dUSDT","data":{"e":"trade","E":1,"s":"C%dUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
    unsubscribe(it, 0)
    for number, kinds in ((0, []), (1, ["trade"])):
        events = it.feed.receive(frame % (number, number), it.now, it.key())
        assert [each.kind for each in events] == kinds
    assert it.feed.bus.map.connections()[0]["malformed"] == 0


def test_an_instrument_without_a_book_says_so_too(monkeypatch):
    it = two(monkeypatch)
    subscribe(it, 2, channels=["trade"])
    assert said(unsubscribe(it, 2)) == [("fake:C2/USDT", "syncing", "unsubscribed")]
    assert unsubscribe(it, 2) == []


def test_subscribed_again_it_goes_on_in_its_row(monkeypatch):
    it = two(monkeypatch)
    unsubscribe(it, 0)
    it.accept()
    subscribe(it, 0)
    assert it.accept() == [("sub", ["book:C0USDT"])]
    it.stream("snapshot", last=90, bids=[(70, 1)])
    assert it.live
    assert it.levels() == [(70, 1)]
    assert [each.name for each in it.feed.bus.instruments] == ["fake:C0/USDT", "fake:C1/USDT"]


def test_a_change_of_mind_before_the_venue_has_answered_ends_as_the_last_word_says(monkeypatch):
    it = two(monkeypatch)
    unsubscribe(it, 0)
    subscribe(it, 0)
    assert it.accept() == [("unsubscribe", ["book:C0USDT"]), ("sub", ["book:C0USDT"])]
    subscribe(it, 2)
    unsubscribe(it, 2)
    assert it.accept() == [("sub", ["book:C2USDT"]), ("unsubscribe", ["book:C2USDT"])]
    subscribe(it, 3)
    unsubscribe(it, 3)
    subscribe(it, 3)
    assert it.accept() == [("sub", ["book:C3USDT"])]
    unsubscribe(it, 3)
    subscribe(it, 3)
    unsubscribe(it, 3)
    assert it.accept() == [("unsubscribe", ["book:C3USDT"])]


@pytest.mark.parametrize("words", list(itertools.product((True, False), repeat=5)), ids=str)
def test_whatever_is_said_in_whatever_order_the_last_word_holds(monkeypatch, words):
    it = two(monkeypatch)
    asked: list[tuple[str, list[str]]] = []
    for number, wanted in enumerate(words):
        (subscribe if wanted else unsubscribe)(it, 2)
        if number % 2:
            asked += it.accept()
    asked += it.accept()
    verbs = [verb for verb, topics in asked if topics == ["book:C2USDT"]]
    # The venue heard them by turns, and last what holds.
    assert verbs == [verb for _, verb in zip(verbs, itertools.cycle(("sub", "unsubscribe")), strict=False)]
    assert (verbs[-1:] == ["sub"]) == words[-1]


def test_the_end_of_a_subscription_that_is_not_answered_costs_nobody_the_connection(monkeypatch):
    it = two(monkeypatch)
    before = it.open()
    unsubscribe(it, 0)
    assert [verb for verb, *_ in it.sent()] == ["unsubscribe"]
    it.wait(60)
    assert it.open() == before
    subscribe(it, 0)
    assert it.accept() == [("sub", ["book:C0USDT"])]


def test_a_refused_instrument_can_be_asked_for_again(monkeypatch):
    it = two(monkeypatch)
    subscribe(it, 2)
    ((_, _, number),) = it.sent()
    events = it.say(("Refusal", {"request_id": number, "reason": "no"}))
    assert said(events) == [("fake:C2/USDT", "syncing", "refused")]
    unsubscribe(it, 2)
    subscribe(it, 2)
    verb, topics = it.accept()[-1]
    assert (verb, topics) == ("sub", ["book:C2USDT"])


def test_what_changed_while_no_connection_was_open_is_asked_for_when_one_is(monkeypatch):
    it = two(monkeypatch)
    it._note(it.feed.disconnected(it.key(), it.now))
    subscribe(it, 2)
    unsubscribe(it, 0)
    it.wait(1)
    it.connect()
    assert it.accept() == [("sub", ["book:C1USDT", "book:C2USDT"])]


# Channels


def test_channels_come_and_go_one_by_one_and_the_book_stays(monkeypatch):
    it = two(monkeypatch)
    subscribe(it, 0, channels=["trade"])
    assert it.accept() == [("sub", ["trade:C0USDT"])]
    assert said(unsubscribe(it, 0, channels=["trade"])) == []
    assert it.accept() == [("unsubscribe", ["trade:C0USDT"])]
    assert it.live


def test_a_book_can_be_wanted_later_than_trades(monkeypatch):
    it = Talk(monkeypatch, FakeVenue(), channels=("trade", "book"))
    other = coin(1)
    it.instruments.append(other)
    it.accept()
    it._note(it.feed.subscribe([other], it.now, ["trade"]))
    assert it.accept() == [("sub", ["trade:C1USDT"])]
    assert not it.feed.bus.map.instrument(1)["has_book"]
    subscribe(it, 1, channels=["book"])
    assert it.accept() == [("sub", ["book:C1USDT"])]
    it.stream("snapshot", coin=1, last=5, bids=[(9, 1)])
    assert state(it, 1) == "LIVE"
    assert it.feed.book(other.name).depth().bids.tolist() == [(9, 1)]
    assert len(it.feed.bus.instruments) == 2
    # And the book can go alone.
    assert said(unsubscribe(it, 1, channels=["book"])) == [(other.name, "syncing", "unsubscribed")]
    assert it.accept() == [("unsubscribe", ["book:C1USDT"])]
    assert it.feed._protocol.subscriptions.wanted[other.name] == ("trade",)


def test_a_channel_that_the_venue_does_not_have_changes_nothing(monkeypatch):
    it = two(monkeypatch)
    with pytest.raises(ValueError, match="expected a channel of main"):
        subscribe(it, 2, channels=["bar"])
    assert it.accept() == []
    assert len(it.feed.bus.instruments) == 2


# Connections


def test_a_full_connection_is_left_alone_and_another_one_opened_and_closed_again(monkeypatch):
    it = two(monkeypatch, limits={"topics_per_connection": 3})
    (first,) = it.open()
    subscribe(it, 2, 3, 4)
    it.connect()
    assert it.open()[0] == first
    assert it.accept() == [("sub", ["book:C2USDT"]), ("sub", ["book:C3USDT", "book:C4USDT"])]
    unsubscribe(it, 3)
    assert len(it.open()) == 2
    unsubscribe(it, 4)
    assert it.open() == [first]
    # Its row is there for the next one.
    subscribe(it, 3)
    it.connect()
    assert len(it.feed.bus.map.connections()) == 2


def test_room_that_became_free_is_used(monkeypatch):
    it = two(monkeypatch, limits={"topics_per_connection": 2})
    unsubscribe(it, 0)
    it.accept()
    subscribe(it, 2)
    assert len(it.feed.connections) == 1
    subscribe(it, 0)
    assert len(it.feed.connections) == 2


def test_few_books_a_connection_are_heeded_later_too(monkeypatch):
    it = two(monkeypatch, channels=("book", "trade"), limits={"books_per_connection": 2})
    subscribe(it, 2)
    it.connect()
    assert it.accept() == [("sub", ["book:C2USDT", "trade:C2USDT"])]


def test_when_nothing_is_wanted_nothing_is_open_and_all_can_come_back(monkeypatch):
    it = two(monkeypatch, notices=True)
    unsubscribe(it, 0, 1)
    assert it.feed.connections == []
    assert said(it.wait(5), "connection") == []
    subscribe(it, 0)
    it.wait(1)
    it.connect()
    assert it.accept() == [("sub", ["book:C0USDT", "status"])]
    assert len(it.feed.bus.map.connections()) == 1


def test_a_bus_without_room_for_a_connection_refuses_and_nothing_has_changed(monkeypatch):
    it = two(monkeypatch, limits={"topics_per_connection": 2})

    def full(label: str) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(it.feed._protocol.subscriptions._links, "_new_row", full)
        with pytest.raises(OSError, match="full"):
            subscribe(it, 2)
    assert len(it.feed.connections) == 1
    assert it.feed._protocol.subscriptions.wanted.keys() == {"fake:C0/USDT", "fake:C1/USDT"}
    subscribe(it, 2)
    it.connect()
    assert it.accept() == [("sub", ["book:C2USDT"])]


def test_both_of_two_redundant_connections_change(monkeypatch):
    it = two(monkeypatch, connections=2)
    subscribe(it, 2)
    unsubscribe(it, 0)
    assert sorted(it.accept()) == [("sub", ["book:C2USDT"])] * 2 + [("unsubscribe", ["book:C0USDT"])] * 2
    it.stream("snapshot", 1, coin=2, last=7, bids=[(50, 1)])
    assert (state(it, 0), state(it, 2)) == ("SYNCING", "LIVE")


def test_a_change_in_the_middle_of_a_rollover_is_made_on_both_sockets(monkeypatch):
    it = two(monkeypatch)
    it.feed._protocol.roll(it.now)
    it.connect()
    subscribe(it, 2)
    asked = it.accept()
    assert asked.count(("sub", ["book:C2USDT"])) == 2
    for number in range(2):
        it.stream("snapshot", 1, number, last=10, bids=[(100, 1)], asks=[(101, 1)])
    it.wait(1)
    it.stream("snapshot", 0, coin=2, last=3, bids=[(1, 1)])
    it.wait(5)
    assert len(it.open()) == 2  # of the new book, the new connection has brought nothing
    it.stream("snapshot", 1, coin=2, last=3, bids=[(1, 1)])
    it.wait(1)
    assert len(it.open()) == 1
    assert [state(it, number) for number in range(3)] == ["LIVE"] * 3
    assert "disconnected" not in {reason for _, _, reason in said(it.events)}


class Shared(FakeVenue):
    """A venue with one topic for the trades of all."""

    def topics(self, instrument, channel, options):
        if channel.name == "trade":
            return (Topic("/ws", "trades", group=True),)
        return super().topics(instrument, channel, options)


def test_a_topic_of_many_is_ended_with_the_last_of_them(monkeypatch):
    it = Talk(monkeypatch, Shared(), count=2, channels=("book", "trade"))
    assert it.accept() == [("sub", ["book:C0USDT", "trades", "book:C1USDT"])]
    it.instruments.append(coin(2))
    subscribe(it, 2)
    assert it.accept() == [("sub", ["book:C2USDT"])]
    unsubscribe(it, 0, 2)
    assert it.accept() == [("unsubscribe", ["book:C0USDT", "book:C2USDT"])]
    unsubscribe(it, 1, channels=["book"])
    assert it.accept() == [("unsubscribe", ["book:C1USDT"])]
    unsubscribe(it, 1)
    assert it.feed.connections == []


# Books


def test_a_snapshot_on_its_way_when_its_book_is_ended_is_not_taken(monkeypatch):
    it = Talk(monkeypatch, FakeVenue(**BY_REQUEST), count=2)
    it.accept()
    it.wait(0.5)
    first, second = it.requested()
    unsubscribe(it, 0)
    it.accept()
    it.reply(first, 10, [(100, 1)])
    it.reply(second, 10, [(100, 1)])
    assert (state(it, 0), state(it, 1)) == ("SYNCING", "LIVE")
    it.wait(120)
    assert all("C0USDT" not in each.url for each in it.requested())
    subscribe(it, 0)
    it.accept()
    it.wait(0.5)
    (request,) = [each for each in it.requested() if "C0USDT" in each.url]
    it.reply(request, 20, [(99, 1)])
    assert it.levels() == [(99, 1)]


def test_a_book_is_asked_for_anew_at_a_word(monkeypatch):
    it = two(monkeypatch)
    assert it.feed._protocol.resync("fake:C0/USDT", it.now)
    events = it.wait(0.5)
    assert ("fake:C0/USDT", "syncing", "requested") in said(events)
    assert it.accept() == [("unsubscribe", ["book:C0USDT"]), ("sub", ["book:C0USDT"])]
    it.stream("snapshot", last=30, bids=[(60, 1)])
    assert it.levels() == [(60, 1)]
    assert not it.feed._protocol.resync("fake:C4/USDT", it.now)


def test_a_new_listing_tells_of_changes_and_of_what_is_gone(monkeypatch):
    it = two(monkeypatch)
    halted = msgspec.structs.replace(it.instruments[0], status="halted")
    it.feed._protocol.subscriptions.relist([halted], {"main"}, it.now)
    events = it._note(it.feed.advance(it.now))
    assert [(each.name, each.instrument_status) for each in events] == [
        ("fake:C0/USDT", "halted"), ("fake:C1/USDT", "closed"),
    ]  # fmt: skip
    assert [each.status for each in it.feed.bus.instruments] == ["halted", "closed"]
    assert it.live


# All venues


def of_others(rig: Rig, names: set[str]) -> dict[str, list[Any]]:
    """What came of each instrument, without what depends on the moment of publishing and on the ring."""
    out: dict[str, list[Any]] = {name: [] for name in names}
    for each in rig.events:
        if each.kind != "status" and each.name in names:
            out[each.name].append((each.kind, each.ts_recv, repr(each).partition("position")[0]))
    return out


@pytest.mark.parametrize("venue", VENUES)
def test_others_on_the_same_sockets_keep_every_message(venue):
    """Two runs of one seed, one of them with instruments that come and go: the others' events are the same."""

    def run(changes: bool) -> tuple[Rig, set[str], list[str]]:
        rig = Rig(venue=venue, symbols=4, rate=60)
        rig.run_until_live()
        moved = [each for product in rig.products for each in rig._list(product)[2:4]]
        names = [each.name for each in moved]
        rest = {each.name for each in rig.instruments} - set(names)
        sockets = [each.id for each in rig.feed.connections]
        for _ in range(3):
            if changes:
                rig._take(rig.feed.unsubscribe(names, rig.sim.now))
                assert all(rig.states[name][-1] == "unsubscribed" for name in names)
            rig.run(2)
            if changes:
                assert all(rig.feed.book(name).state is fastfeed.BookState.SYNCING for name in names)
                rig._take(rig.feed.subscribe(moved, rig.sim.now))
            rig.run(4)
        if changes:
            rig.run_until_live()
        assert [each.id for each in rig.feed.connections] == sockets
        return rig, rest, names

    calm, rest, _ = run(False)
    busy, _, names = run(True)
    assert busy.wrong == []
    assert all(busy.states[name] == calm.states[name] for name in rest)
    came = [each.name for each in busy.events if each.kind == "status" and each.reason in ("snapshot", "subscribed")]
    assert {name: came.count(name) for name in names} == dict.fromkeys(names, 4)
    assert all(row["malformed"] == 0 and row["disconnects"] == 0 for row in busy.feed.bus.map.connections())
    one, other = of_others(calm, rest), of_others(busy, rest)
    for name in rest:
        assert one[name], name
        assert other[name][: len(one[name])] == one[name], name


@pytest.mark.parametrize("venue", VENUES)
def test_all_channels_come_and_go_on_every_venue(venue):
    """Whatever is taken away and given back, books are right and the rest is as if it had always been so."""
    offered = [list(dict.fromkeys(row.name for row in each.channels)) for each in venues.load(venue).PRODUCTS]
    channels = [name for name in offered[0] if all(name in each for each in offered) and name != "orders"]
    rig = Rig(venue=venue, symbols=2, rate=60, channels=("book", "trade"))
    rig.run_until_live()
    names = [each.name for each in rig.instruments]
    for name in channels:
        rig._take(rig.feed.subscribe(rig.instruments, rig.sim.now, [name]))
        rig.run(1)
    for name in channels:
        rig._take(rig.feed.unsubscribe(names, rig.sim.now, [name]))
        rig.run(1)
    assert rig.feed.connections == []
    rig._take(rig.feed.subscribe(rig.instruments, rig.sim.now))
    rig.run_until_live()
    rig.run(2)
    assert rig.all_live()
    assert rig.wrong == []
    trades = [(each.name, each.trade_id) for each in rig.events if each.kind == "trade"]
    assert len(trades) == len(set(trades)) > 0


# Descriptions


@pytest.mark.parametrize("field", ["tick_size", "lot_size", "contract_size"])
def test_subscribed_again_under_another_description_it_has_another_row(monkeypatch, field):
    it = two(monkeypatch)
    name = it.instruments[0].name
    reader = it.feed.bus.reader([name])
    unsubscribe(it, 0)
    it.accept()
    it.instruments[0] = msgspec.structs.replace(it.instruments[0], **{field: Decimal(10)})
    subscribe(it, 0)
    assert it.accept() == [("sub", ["book:C0USDT"])]
    it.stream("snapshot", last=90, bids=[(70, 1)])
    assert (state(it, 0), it.levels()) == ("LIVE", [(70, 1)])
    assert [getattr(each, field) for each in it.feed.bus.instruments if each.name == name] == [1, 10]
    assert reader.poll()[-1].name == name
    # And so it stays while it is wanted: those who read it go by it.
    subscribe(it, 0, channels=["trade"])
    assert len(it.feed.bus.instruments) == 3


def test_another_status_or_the_same_description_is_no_other_row(monkeypatch):
    it = two(monkeypatch)
    unsubscribe(it, 0)
    it.accept()
    it.instruments[0] = msgspec.structs.replace(it.instruments[0], status="halted", tick_size=Decimal("1.0"))
    subscribe(it, 0)
    assert [(each.name, each.status) for each in it.feed.bus.instruments] == [
        ("fake:C0/USDT", "halted"),
        ("fake:C1/USDT", "trading"),
    ]

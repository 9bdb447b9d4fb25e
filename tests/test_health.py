"""health, streams: who is called bad, when, and who is not."""

from __future__ import annotations

import itertools
import json

import pytest
from fakevenue import BY_REQUEST, SECOND, START, FakeVenue, Talk
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig

from fastfeed import venues
from fastfeed.cli.status import describe
from fastfeed.health import Gauge, quiet_after
from fastfeed.protocol import Endpoint, Protocol
from fastfeed.sim import FaultPlan
from fastfeed.venues.spec import Channel, Stale
from fastfeed_core.records import Health, Reason

OK = Health.HEALTH_OK, Reason.REASON_NONE
QUIET = Health.HEALTH_DEGRADED, Reason.REASON_QUIET
DOWN = Health.HEALTH_DOWN, Reason.REASON_DISCONNECTED
UNREACHABLE = Health.HEALTH_DOWN, Reason.REASON_UNREACHABLE
OPENS = {"channels": (Channel(name="book", opens=True), Channel(name="bbo", opens=True), Channel(name="trade"))}


def told(events, scope=None) -> list[tuple[str, str, str]]:
    """(scope, health, reason) of the events that are about health."""
    return [
        (each.scope, each.health, each.reason)
        for each in events
        if each.kind == "status" and each.health is not None and scope in (None, each.scope)
    ]


# Gauge


def test_a_reason_that_lasts_takes_the_place_of_the_first_one():
    gauge = Gauge()
    gauge.judge(OK, 0)
    gauge.judge(DOWN, 1 * SECOND)
    assert gauge.judge(DOWN, 2 * SECOND)
    assert not gauge.judge(UNREACHABLE, 10 * SECOND)
    assert not gauge.judge(DOWN, 12 * SECOND)
    assert not gauge.judge(UNREACHABLE, 13 * SECOND)
    assert not gauge.judge(UNREACHABLE, 17 * SECOND)
    assert gauge.judge(UNREACHABLE, 18 * SECOND)
    assert (gauge.health, gauge.reason) == UNREACHABLE
    assert not gauge.judge(UNREACHABLE, 99 * SECOND)


def test_what_begins_well_is_told_at_once_and_what_does_not_has_time_to():
    gauge = Gauge()
    assert not gauge.judge(DOWN, 0)
    assert not gauge.judge(DOWN, 14 * SECOND)
    assert gauge.judge(DOWN, 15 * SECOND)
    assert Gauge().judge(OK, 0)


def test_a_change_is_told_when_it_has_lasted():
    gauge = Gauge()
    gauge.judge(OK, 0)
    assert not gauge.judge(DOWN, 10 * SECOND)
    assert gauge.judge(DOWN, 11 * SECOND)
    assert not gauge.judge(OK, 12 * SECOND)
    assert not gauge.judge(DOWN, 14 * SECOND)
    assert not gauge.judge(OK, 18 * SECOND)
    assert gauge.judge(OK, 23 * SECOND)


@given(st.lists(st.sampled_from([OK, QUIET, DOWN]), max_size=200))
def test_nothing_flaps_and_what_stays_is_told(judgements):
    gauge = Gauge()
    changes = []
    for second, judgement in enumerate(judgements):
        before = gauge.health
        if gauge.judge(judgement, second * SECOND):
            assert gauge.health != before
            changes.append((second, before, gauge.health))
    betters = [at for at, before, after in changes if after < before]
    assert all(two - one >= 5 for one, two in itertools.pairwise(betters))
    last = judgements[-1] if judgements else OK
    for second in range(len(judgements), len(judgements) + 20):
        gauge.judge(last, second * SECOND)
    assert gauge.health == last[0]


# Connections


def test_a_silent_connection_is_degraded_at_half_of_its_time_and_down_when_it_is_given_up(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(mute_after_s=40))
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    talk.wait(19, alive=False)
    assert told(talk.events) == []
    talk.wait(3, alive=False)
    assert ("connection", "degraded", "quiet") in told(talk.events)
    assert ("instrument", "degraded", "quiet") in told(talk.wait(2, alive=False) + talk.events)
    events = talk.wait(20, alive=False)
    assert ("connection", "down", "disconnected") in told(events)
    assert ("instrument", "down", "disconnected") in told(events)
    assert ("venue", "down", "disconnected") in told(events)


def test_a_host_that_does_not_answer_is_said_to_be_that(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    talk.feed.disconnected(talk.key(), talk.now)
    events = []
    for _ in range(60):
        for each in talk.feed.connections:
            events += talk.feed.disconnected(each.id, talk.now)
        events += talk.wait(1, step=1)
    assert ("connection", "down", "unreachable") in told(events)


def test_a_host_that_is_gone_later_is_said_to_be_that_too(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    talk.wait(30)
    talk.feed.disconnected(talk.key(), talk.now)
    events = []
    for _ in range(120):
        for each in talk.feed.connections:
            events += talk.feed.disconnected(each.id, talk.now)
        events += talk.wait(1, step=1)
    assert told(events, "connection") == [
        ("connection", "down", "disconnected"), ("connection", "down", "unreachable")
    ]  # fmt: skip
    assert told(events, "venue")[-1] == ("venue", "down", "unreachable")
    assert row(talk)["health_reason"] == "unreachable"


def test_a_reconnect_is_no_news_of_health(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    talk.wait(10)
    talk.feed.disconnected(talk.key(), talk.now)
    talk.feed.advance(talk.now)
    talk.connect()
    talk.accept()
    talk.stream("snapshot", last=20, bids=[(1, 1)])
    talk.wait(20)
    assert told(talk.events) == []


def row(talk: Talk) -> dict:
    return describe(talk.feed.bus)["connections"][0]


@pytest.mark.parametrize("pings", [None, b'["ping"]'], ids=["of the protocol", "as text"])
def test_the_round_trip_of_a_heartbeat_is_measured(monkeypatch, pings):
    talk = Talk(monkeypatch, FakeVenue(pings=pings, ping_every_s=10, mute_after_s=60))
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    assert row(talk)["round_trip_ms"] is None
    for ms in (30, 80, 50):
        talk.now += 10 * SECOND
        talk.feed.advance(talk.now)
        talk.say(("Pong", {"answers": False}))
        talk.now += ms * 1_000_000
        if pings is None:
            talk.feed.heard(talk.feed.pings.popleft(), talk.now, True)
        else:
            assert talk.feed.sends.popleft()[1] == pings
            talk.say(("Pong", {}))
        talk.wait(2, alive=False)
        assert row(talk)["round_trip_ms"] == ms
    assert row(talk)["round_trip_max_ms"] == 80


# Instruments


def test_a_book_that_does_not_come_back_degrades_its_instrument_and_a_short_loss_does_not(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    talk.reply(talk.requested()[0], 10, [(1, 1)])
    talk.wait(2)
    talk.stream("delta", prev=20, last=21)
    talk.wait(3)
    talk.reply(talk.requested()[-1], 30, [(1, 1)])
    assert talk.live
    assert told(talk.wait(10)) == []
    talk.stream("delta", prev=40, last=41)
    assert told(talk.wait(10)) == [("instrument", "degraded", "syncing")]
    told_row = describe(talk.feed.bus)["instruments"][0]
    assert (told_row["health"], told_row["health_reason"]) == ("degraded", "syncing")


@pytest.mark.parametrize("channel", ["book", "bbo"])
def test_a_quiet_stream_that_answers_is_well_and_one_that_does_not_is_not(monkeypatch, channel):
    talk = Talk(monkeypatch, FakeVenue(**OPENS), channels=(channel,))
    kind = {"book": "snapshot", "bbo": "bbo"}[channel]
    message = {"book": {"last": 10, "bids": [(1, 1)]}, "bbo": {"bids": [(1, 1)], "asks": [(2, 1)]}}[channel]
    talk.accept()
    talk.stream(kind, topic=channel, **message)
    asked = 0
    for _ in range(3600):
        talk.wait(1, step=1)
        verbs = [verb for verb, _ in talk.accept()]
        if "sub" in verbs:
            asked += 1
            talk.stream(kind, topic=channel, **message)
    assert 5 <= asked <= 8
    assert told(talk.events) == []
    # It does not answer any more.
    events = []
    for _ in range(700):
        events += talk.wait(1, step=1)
        talk.accept()
    news = told(events, "instrument")
    assert news[0][1] == "degraded"
    assert [each[1] for each in news] == ["degraded"]
    talk.stream(kind, topic=channel, **message)
    assert told(talk.wait(10), "instrument") == [("instrument", "ok", "")]


def test_a_quote_that_never_comes_is_noticed_and_asked_for_again(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**OPENS), channels=("bbo", "trade"))
    talk.accept()
    talk.wait(14)
    assert talk.sent() == []
    events = talk.wait(5)
    assert told(events) == [("instrument", "degraded", "stalled")]
    ((verb, topics, _),) = talk.sent()
    assert (verb, topics) == ("unsubscribe", ["bbo:C0USDT"])  # no trade is no fault


@pytest.mark.parametrize("venue", [{}, OPENS], ids=["no first message", "first message"])
def test_redundant_connections_are_not_asked_at_once_so_that_one_always_has_the_stream(monkeypatch, venue):
    talk = Talk(monkeypatch, FakeVenue(**venue), channels=("bbo", "trade"), connections=2, stale=Stale(trade=60))
    talk.accept()
    topics = {"bbo:C0USDT", "trade:C0USDT"}
    has = {key: set(topics) for key in talk.open()}
    asked = dict.fromkeys(has, 0)
    under_way = []
    for _ in range(12_000):
        talk.wait(0.05, step=0.05)
        for key, verb, told, number in under_way:
            frame = json.dumps({"result": [["Ack", {"request_id": number, "ended": verb == "unsubscribe"}]]})
            talk._note(talk.feed.receive(frame, talk.now, key))
            has[key] = has[key] - set(told) if verb == "unsubscribe" else has[key] | set(told)
        assert set.union(*has.values()) == topics
        under_way = [(key, *json.loads(payload)) for key, payload in talk.feed.sends]
        talk.feed.sends.clear()
        for key, verb, *_ in under_way:
            asked[key] += verb == "sub"
    assert all(each >= 2 for each in asked.values())


def test_a_single_connection_is_not_asked_for_what_brings_no_first_message(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(), channels=("bbo", "trade"), stale=Stale(trade=60))
    talk.accept()
    talk.wait(3600, step=1)
    assert talk.sent() == []


def test_what_the_user_never_wants_suspected_is_not(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**OPENS), channels=("book",), stale=Stale(book=0))
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    talk.wait(3600, step=5)
    assert talk.sent() == []


def test_a_chained_book_that_stands_still_while_the_venues_moves_on_is_noticed_within_70_s(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    talk.reply(talk.requested()[0], 10, [(100, 1)])
    for number in range(100):
        talk.wait(1, step=1)
        talk.stream("delta", prev=10 + number, last=11 + number, bids=[(99, number)])
    assert talk.requested() == []
    stood_still = talk.now
    for _ in range(70):
        talk.wait(1, step=1)
        for request in talk.requested():
            talk.reply(request, 500, [(98, 1)])
        if "no data" in talk.reasons():
            break
    assert "no data" in talk.reasons()
    assert talk.now - stood_still <= 70 * SECOND
    assert not talk.live
    assert [verb for verb, _ in talk.accept()][:1] == ["unsubscribe"]


def test_of_an_instrument_in_two_feeds_both_are_told(monkeypatch):
    venue = FakeVenue()
    talk = Talk(monkeypatch, venue)
    ours = talk.feed._protocol
    places = ours.subscriptions._links._places
    other = Protocol(venue, talk.feed._hub, talk.instruments, talk.feed._markets, ["trade"],
                     endpoints={"main": Endpoint(("wss://fake",), "https://fake")}, places=places)  # fmt: skip
    other.start(talk.now)

    def connect_other():
        (connection,) = other.connections
        other.connected(connection.id, talk.now)
        _, payload = other.sends.popleft()
        path = other.attempt(connection.id).path
        path.receive(json.dumps({"result": [["Ack", {"request_id": json.loads(payload)[2]}]]}).encode(), talk.now)
        other.attend(talk.now)

    def wait(seconds, ours_fails=False, other_fails=False):
        for _ in range(seconds):
            for each in ours.connections if ours_fails else ():
                talk._note(talk.feed.disconnected(each.id, talk.now))
            for each in other.connections:
                if other_fails:
                    other.disconnected(each.id, talk.now)
                else:
                    other.heard(each.id, talk.now, True)
            talk.wait(1, step=1)
            other.advance(talk.now)

    def said():
        told_row = describe(talk.feed.bus)["instruments"][0]
        return told_row["health"], told_row["health_reason"]

    connect_other()
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    wait(20)
    assert said() == ("ok", None)
    talk.events.clear()
    wait(20, ours_fails=True)
    assert said() == ("degraded", "disconnected")
    wait(20, ours_fails=True, other_fails=True)
    assert said() == ("down", "disconnected")
    while not other.connections:
        wait(1, ours_fails=True)
    connect_other()
    wait(20, ours_fails=True)
    assert said() == ("degraded", "disconnected")
    while not ours.connections:
        wait(1)
    talk.connect()
    talk.accept()
    talk.stream("snapshot", last=20, bids=[(1, 1)])
    wait(20)
    assert said() == ("ok", None)
    assert [each[1] for each in told(talk.events, "instrument")] == ["degraded", "down", "degraded", "ok"]
    other.unsubscribe([talk.instruments[0].name], talk.now)
    wait(5)
    assert said() == ("ok", None)


# The venues


ALL = {
    "binance": {}, "bybit": {"products": ("linear",)}, "okx": {}, "deribit": {}, "krakenfutures": {}, "bitstamp": {},
}  # fmt: skip
# Mark prices come every second, quiet or not; one venue with them will do.
CHANNELS = {"binance": ("book", "bbo", "trade", "ticker"), "krakenfutures": ("book", "trade", "ticker"),
            "bitstamp": ("book", "trade")}  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("venue", ALL)
def test_an_hour_of_quiet_markets_raises_no_alarm(venue):
    rig = Rig(venue=venue, symbols=10, rate=0.002, channels=CHANNELS.get(venue, ("book", "bbo", "trade")),
              **ALL[venue])  # fmt: skip
    for _ in range(3600 * 2):
        rig.step(500)
    assert rig.all_live()
    assert rig.wrong == []
    assert told(rig.events) == []
    reasons = [each.reason for each in rig.events if each.kind == "status"]
    assert {"no data", "disconnected", "gap"} & set(reasons) == set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("venue", ALL)
def test_a_mute_socket_is_noticed_within_its_time(venue):
    rig = Rig(venue=venue, symbols=1, channels=("book",), **ALL[venue])
    rig.run_until_live()
    rig.run(3)
    rig.sim.faults.faults.extend(faults := FaultPlan.parse("stall:1.0").faults)
    rig.sim.faults.stream_faults.extend(faults)
    rig.run(2)
    began, seen = rig.sim.now, len(rig.events)
    products = {each.name: each for each in rig.products}
    limit = max(each.mute_after_s for each in products.values())
    quiet = max(quiet_after(each) for each in products.values())
    times: dict[str, float] = {}
    while len(times) < 2 and rig.sim.now - began < (limit + 10) * SECOND:
        rig.step(100)
        for _, health, _ in told(rig.events[seen:], "connection"):
            times.setdefault(health, (rig.sim.now - began) / SECOND)
        for each in rig.events[seen:]:
            if each.kind == "status" and each.scope == "connection" and each.reason == "disconnected":
                times.setdefault("given up", (rig.sim.now - began) / SECOND)
    assert times["degraded"] <= quiet + 3
    assert times["given up"] <= limit + 3


def test_every_venue_has_time_for_a_ping_before_a_connection_is_called_quiet():
    for name in venues.VENUES:
        for product in venues.load(name).PRODUCTS:
            assert product.ping_every_s < quiet_after(product) < product.mute_after_s


def test_the_venue_is_degraded_while_it_asks_for_a_pause(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    (request,) = talk.requested()
    talk.wait(2)
    talk.reply(request, 10, status=429)
    assert told(talk.wait(5), "venue") == [("venue", "degraded", "limited")]
    assert describe(talk.feed.bus)["venues"] == [{"name": "fake", "health": "degraded", "health_reason": "limited"}]
    events = []
    for _ in range(60):
        for each in talk.requested():
            events += talk.reply(each, 10, [(1, 1)])
        events += talk.wait(1)
    assert told(events, "venue") == [("venue", "ok", "")]
    assert talk.now > START


def test_a_rest_base_that_nobody_calls_any_more_is_not_called_bad_for_ever(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue())
    talk.accept()
    talk.stream("snapshot", last=10, bids=[(1, 1)])
    talk.wait(2)
    (door,) = talk.feed._protocol.subscriptions.doors
    for _ in range(5):  # as listings do, which nobody asks for again
        assert door.may_call(1, talk.now)
        door.answered(0, talk.now)
    assert told(talk.wait(10), "venue") == [("venue", "degraded", "unreachable")]
    assert talk.live
    assert told(talk.wait(120), "venue") == [("venue", "ok", "")]
    assert not door.breaker.is_bad(talk.now)


def test_a_rest_base_that_is_tried_in_vain_stays_bad(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST))
    talk.accept()
    events = []
    for _ in range(600):
        for each in talk.requested():
            events += talk.reply(each, 10, status=500)
        events += talk.wait(1, step=1)
    assert told(events, "venue") == [("venue", "degraded", "unreachable")]

"""protocol: limits, acks, retries and budgets, without a socket."""

from __future__ import annotations

import json

import msgspec
import pytest
from pipeline import instrument, rest_book

import fastfeed
from fastfeed import BookState
from fastfeed.budget import Budget
from fastfeed.config import Reconnect

START = 1_785_000_000_000_000_000
SECOND = 1_000_000_000


def named(number: int) -> fastfeed.Instrument:
    return msgspec.structs.replace(instrument(f"binance:C{number:04d}/USDT"), symbol=f"C{number:04d}USDT")


def make(count: int = 1, **options) -> fastfeed.OfflineFeed:
    return fastfeed.OfflineFeed("binance", [named(n) for n in range(count)], ["book", "trade"], **options)


def drain(queue) -> list:
    out = []
    while queue:
        out.append(queue.popleft())
    return out


def acknowledge(feed: fastfeed.OfflineFeed, sends: list, now: int) -> list:
    events = []
    for key, payload in sends:
        events += feed.receive(json.dumps({"result": None, "id": json.loads(payload)["id"]}), now, key)
    return events


def test_subscriptions_keep_the_venues_limits():
    feed = make(1200)
    feed.start(START)
    assert len(feed.connections) == 3  # 2,400 topics, 1,024 a connection
    topics: dict[int, list[str]] = {}
    for tenth in range(600):
        now = START + tenth * SECOND // 10
        feed.advance(now)
        sends = drain(feed.sends)
        acknowledge(feed, sends, now)
        for key, payload in sends:
            assert len(payload) <= 4088
            topics.setdefault(key, []).extend((now, topic) for topic in json.loads(payload)["params"])
    for key, sent in topics.items():
        assert key in {each.id for each in feed.connections}
        assert len(sent) <= 1024
        frames = sorted({now for now, _ in sent})
        for first in frames:
            assert len([now for now, _ in sent if first <= now < first + SECOND]) <= 2 * 200
    assert len({topic for sent in topics.values() for _, topic in sent}) == 2400


def test_no_more_frames_a_second_than_the_venue_takes():
    feed = make(500)
    feed.start(START)
    times = []
    for ms in range(0, 20_000, 50):
        now = START + ms * 1_000_000
        feed.advance(now)
        sends = drain(feed.sends)
        acknowledge(feed, sends, now)
        times += [now] * len(sends)
    assert len(times) > 5
    for first in times:
        assert sum(first <= other < first + SECOND for other in times) <= 2


def test_a_refused_subscription_costs_itself():
    feed = make()
    feed.start(START)
    ((key, payload),) = drain(feed.sends)
    refusal = {"error": {"code": 2, "msg": "Invalid request"}, "id": json.loads(payload)["id"]}
    # Which of the two it is shows when they are asked for one by one.
    assert feed.receive(json.dumps(refusal), START, key) == []
    feed.advance(START + SECOND)
    (_, book), (_, trade) = drain(feed.sends)
    assert [json.loads(each)["params"] for each in (book, trade)] == [["c0000usdt@depth@100ms"], ["c0000usdt@trade"]]
    feed.receive(json.dumps({"result": None, "id": json.loads(book)["id"]}), START, key)
    events = feed.receive(json.dumps(refusal | {"id": json.loads(trade)["id"]}), START, key)
    assert [(event.kind, event.reason) for event in events] == [("status", "refused")]
    assert [each.id for each in feed.connections] == [key]


def test_a_subscription_without_an_answer_ends_the_connection():
    feed = make()
    feed.start(START)
    (before,) = feed.connections
    assert feed.advance(START + 9 * SECOND) == []
    events = feed.advance(START + 11 * SECOND)
    assert [event.reason for event in events] == ["disconnected"]
    feed.advance(START + 20 * SECOND)
    (after,) = feed.connections
    assert after.id != before.id


def test_a_mute_connection_is_given_up_and_a_quiet_one_not():
    feed = make()
    feed.start(START)
    acknowledge(feed, drain(feed.sends), START)
    (before,) = feed.connections
    for second in range(1, 300):
        now = START + second * SECOND
        feed.advance(now)
        if second % 20 == 0:
            feed.receive(b'{"result":["x"],"id":99}', now)  # any frame is a sign of life
    assert [each.id for each in feed.connections] == [before.id]
    feed.advance(START + 361 * SECOND)
    feed.advance(START + 400 * SECOND)
    assert [each.id for each in feed.connections] != [before.id]


def test_retries_back_off_with_full_jitter_up_to_the_cap():
    waits: list[list[float]] = [[] for _ in range(12)]
    for seed in range(60):
        feed = make(reconnect=Reconnect(initial_s=0.5, cap_s=30, healthy_s=60), seed=seed)
        now = START
        feed.start(now, connect=False)
        for attempt in waits:
            (each,) = feed.connections
            feed.disconnected(each.id, now)
            failed = now
            while not feed.connections:
                now += SECOND // 50
                feed.advance(now)
            attempt.append((now - failed) / SECOND)
    for number, attempt in enumerate(waits):
        if number == 0:
            assert attempt == [0.0] * 60  # the first retry comes at once
            continue
        cap = min(30.0, 0.5 * 2 ** (number - 1))
        assert max(attempt) <= cap + 0.03
        # Full jitter: all of the range is used.
        assert min(attempt) < cap * 0.25
        assert max(attempt) > cap * 0.6


def test_snapshots_of_five_hundred_books_stay_within_the_budget():
    feed = make(500)
    feed.start(START)
    spent: list[tuple[int, int]] = []
    book = rest_book(10, [["1.00", "1.0"]], [["2.00", "1.0"]])
    live: set[str] = set()
    for tenth in range(6000):
        now = START + tenth * SECOND // 10
        if tenth % 100 == 0:
            for each in feed.connections:
                feed.receive(b'{"result":["x"],"id":99}', now, each.id)
        feed.advance(now)
        acknowledge(feed, drain(feed.sends), now)
        for request in drain(feed.requests):
            spent.append((now, 50))
            events = feed.reply(request, book, ts=now)
            live |= {event.name for event in events if event.kind == "status" and event.state == "live"}
        if len(live) == 500:
            break
    assert len(live) == 500
    for first, _ in spent:
        assert sum(weight for now, weight in spent if first <= now < first + 60 * SECOND) <= 6000


@pytest.mark.parametrize(("status", "headers", "pause"), [(429, {"Retry-After": "17"}, 17), (418, {}, 120)])
def test_a_ban_is_obeyed_to_the_second(status, headers, pause):
    feed = make()
    feed.start(START)
    acknowledge(feed, drain(feed.sends), START)
    (request,) = drain(feed.requests)
    feed.reply(request, b'{"code":-1003,"msg":"Too much"}', status, headers, START)
    for second in range(1, pause):
        now = START + second * SECOND
        feed.receive(b'{"result":["x"],"id":99}', now)
        feed.advance(now)
        assert not feed.requests
    feed.advance(START + pause * SECOND)
    assert len(feed.requests) == 1


def take(budget: Budget, weight: int, ts: int, share: float = 1.0) -> bool:
    has_room = budget.has_room(weight, ts, share)
    if has_room:
        budget.spend(weight, ts)
    return has_room


def test_what_the_venue_counted_is_counted():
    budget = Budget(6000)
    budget.correct(5390, START)
    assert take(budget, 10, START)
    assert not take(budget, 10, START)
    assert take(budget, 10, START + 61 * SECOND)


def test_a_share_of_the_budget_leaves_the_rest_to_others():
    budget = Budget(1000)
    assert [take(budget, 100, START, 0.5) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [take(budget, 100, START) for _ in range(6)] == [True] * 5 + [False]
    assert not take(budget, 100, START + 59 * SECOND, 0.5)
    assert take(budget, 100, START + 61 * SECOND, 0.5)


def test_a_call_that_is_more_than_a_share_is_made_when_nothing_else_was():
    budget = Budget(1000)
    assert take(budget, 600, START, 0.5)
    assert not take(budget, 600, START, 0.5)
    assert take(budget, 600, START + 61 * SECOND, 0.5)


def test_a_reply_to_a_connection_that_is_gone_is_ignored():
    feed = make()
    feed.start(START)
    sends = drain(feed.sends)
    acknowledge(feed, sends, START)
    (request,) = drain(feed.requests)
    feed.disconnected(sends[0][0], START)
    assert feed.reply(request, rest_book(10, [["1.00", "1.0"]], []), ts=START) == []
    assert feed.book("binance:C0000/USDT").state is BookState.SYNCING


def test_a_venue_that_shuts_down_is_left_when_another_connection_has_taken_over():
    feed = make()
    feed.start(START)
    (before,) = feed.connections
    acknowledge(feed, drain(feed.sends), START)
    feed.receive(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}', START)
    feed.advance(START)
    first, after = feed.connections
    assert first.id == before.id
    feed.connected(after.id, START + SECOND)
    acknowledge(feed, drain(feed.sends), START + SECOND)
    assert len(feed.connections) == 2
    feed.advance(START + 5 * SECOND)
    assert [each.id for each in feed.connections] == [after.id]


def test_frames_for_a_closed_connection_are_refused():
    feed = make()
    feed.start(START, connect=False)
    with pytest.raises(ValueError, match="was closed"):
        feed.receive(b"{}", START)

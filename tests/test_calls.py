"""calls, places: what REST calls of a host may cost, what its replies say, and when it is left alone."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from fakevenue import BY_REQUEST, SECOND, START, FakeVenue, Talk
from rig import Rig

from fastfeed.calls import Calls
from fastfeed.errors import RateLimited
from fastfeed.places import Places
from fastfeed.sim import FaultPlan
from fastfeed.venues import binance, krakenfutures
from fastfeed.venues.spec import Call

LIMITS = FakeVenue().PRODUCTS[0].limits
CALL = Call("/x", 10)
DAY = 86_400


def calls(places: Places, rest: str = "https://a", per_minute: int = 6000, venue: object | None = None) -> Calls:
    venue = venue or FakeVenue()
    ids = iter(range(1, 10_000))
    limits = msgspec.structs.replace(LIMITS, weight_per_minute=per_minute)
    return Calls(venue, rest, places.door(venue.ID, rest, limits), lambda: next(ids))


def may(which: Calls, ts: int) -> bool:
    return which.ask(CALL, None, ts) is not None


def test_two_feeds_of_one_host_share_its_budget_and_the_lowest_holds():
    places = Places(Random(1), None)
    one, two, other = calls(places, per_minute=1000), calls(places, per_minute=100), calls(places, "https://b")
    assert [may(each, START) for each in (one, two) * 5] == [True] * 9 + [False]
    assert may(other, START)
    assert may(one, START + 60 * SECOND)


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_host_that_does_not_answer_is_probed_by_one_call_of_all(status):
    places = Places(Random(1), None)
    one, two = calls(places), calls(places)
    for _ in range(5):
        one.heed(one.ask(CALL, None, START).id, status, {}, b"", START)
    assert not may(two, START)
    probe = two.ask(CALL, None, START + SECOND)
    assert probe is not None
    assert not may(one, START + SECOND)
    assert two.heed(probe.id, 200, {}, b"", START + SECOND) == (True, None)
    assert may(one, START + SECOND)
    assert may(two, START + SECOND)


def test_a_refusal_is_an_answer():
    one = calls(Places(Random(1), None))
    for _ in range(20):
        one.heed(one.ask(CALL, None, START).id, 400, {}, b"", START)
    assert may(one, START)


def test_a_call_that_is_never_answered_has_failed():
    one = calls(Places(Random(1), None))
    asked = [one.ask(CALL, None, START) for _ in range(5)]
    one.advance(START + 21 * SECOND)
    assert not may(one, START + 21 * SECOND)
    assert one.heed(asked[0].id, 200, {}, b"", START + 21 * SECOND) == (False, None)


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("17", 17),
        ("0", 1),
        ("Sat, 25 Jul 2026 17:20:42 GMT", 42),
        ("soon", None),
        ("", None),
        ("1785000030", 30),
        ("1784999990", 1),
        ("Thu, 01 Jan 9999 00:00:00 GMT", 3 * DAY),
        ("999999999", 3 * DAY),
        ("1785000030000", 3 * DAY),
        ("9" * 400, 3 * DAY),
        ("9" * 5000, 3 * DAY),
    ],
    ids=[
        "seconds",
        "none",
        "date",
        "nonsense",
        "empty",
        "time",
        "time gone by",
        "never",
        "32 years",
        "time in ms",
        "400 digits",
        "5000 digits",
    ],
)
@pytest.mark.parametrize("venue", [FakeVenue(), binance, krakenfutures], ids=["fake", "binance", "krakenfutures"])
def test_the_venues_own_word_on_the_pause_holds(text, pause, venue):
    one = calls(Places(Random(1), None), venue=venue)
    error = one.heed(one.ask(CALL, None, START).id, 429, {"retry-AFTER": text}, b"", START)[1]
    assert isinstance(error, RateLimited)
    if pause is None:
        pause = int(error.retry_after_s)  # the venue's own
    assert error.retry_after_s <= 3 * DAY
    assert not may(one, START + pause * SECOND - 1)
    assert may(one, START + pause * SECOND)


def test_a_ban_whose_text_names_an_end_beyond_reason_is_cut_short():
    one = calls(Places(Random(1), None), venue=binance)
    body = b'{"code":-1003,"msg":"Way too many requests; IP banned until 9999999999999."}'
    one.heed(one.ask(CALL, None, START).id, 418, {}, body, START)
    assert not may(one, START + 3 * DAY * SECOND - 1)
    assert may(one, START + 3 * DAY * SECOND)


@pytest.mark.parametrize("used", ["9" * 400, "9" * 5000])
def test_a_count_beyond_reason_is_none(used):
    one = calls(Places(Random(1), None), venue=binance)
    one.heed(one.ask(CALL, None, START).id, 200, {binance.USED_WEIGHT_HEADER: used}, b"", START)
    assert may(one, START)


def test_a_server_that_asks_to_be_left_alone_is():
    one = calls(Places(Random(1), None))
    one.heed(one.ask(CALL, None, START).id, 503, {"Retry-After": "40"}, b"", START)
    assert not may(one, START + 39 * SECOND)
    assert may(one, START + 40 * SECOND)


@pytest.mark.parametrize(("status", "others"), [(429, True), (418, False), (403, False)])
def test_a_ban_is_of_the_whole_venue_and_a_limit_of_the_host(status, others):
    places = Places(Random(1), None)
    spot, other = calls(places, "https://a", venue=binance), calls(places, "https://b", venue=binance)
    stranger = calls(places, "https://c")
    error = spot.heed(spot.ask(CALL, "x", START).id, status, {"Retry-After": "7"}, b"", START)[1]
    assert isinstance(error, RateLimited)
    later = calls(places, "https://d", venue=binance)  # a door that nobody has used yet
    assert [may(each, START) for each in (spot, other, later, stranger)] == [False, others, others, True]
    assert all(may(each, START + 7 * SECOND) for each in (spot, other, later))


def test_books_that_were_lost_come_before_those_that_never_were(monkeypatch):
    talk = Talk(monkeypatch, FakeVenue(**BY_REQUEST, limits={"weight_per_minute": 45}), 6)
    talk.accept()
    asked = []
    for _ in range(130):
        talk.wait(1, step=1)
        for request in talk.requested():
            asked.append(request.url[-5])
            if asked == ["0"]:
                talk.reply(request, 10, status=500)
            else:
                talk.reply(request, 10, [(100, 1)])
                if len(asked) == 3:
                    talk.stream("delta", prev=50, last=60, coin=1)  # a gap: lost
    # One failed, then the file's order; the lost one goes first, and the one that failed last.
    assert asked[:8] == ["0", "1", "2", "3", "1", "4", "5", "0"]


class Ledger:
    """The calls that a rig makes: (time, product, status)."""

    def __init__(self, rig: Rig) -> None:
        self.calls: list[tuple[int, str, int, int]] = []
        ask = rig.sim.request

        def request(venue: str, product: str, target: str):
            reply = ask(venue, product, target)
            retry = int(reply.headers.get("Retry-After", 0))
            self.calls.append((rig.sim.now, product, reply.status, retry))
            return reply

        rig.sim.request = request


@pytest.mark.timeout(600)
@pytest.mark.parametrize("faults", ["", "429:@40,429:@200,418:@120"], ids=["quiet", "429 and 418"])
def test_five_hundred_symbols_at_start_stay_inside_the_budget(faults, capsys):
    rig = Rig(symbols=500, rate=0.02, products=("spot",), channels=("book",))
    rig.sim.faults = FaultPlan.parse(faults)
    ledger = Ledger(rig)
    began = rig.sim.now
    for _ in range(1000):
        rig.step(500)
        if rig.all_live():
            break
    assert rig.all_live()
    assert rig.wrong == []
    seconds = (rig.sim.now - began) / SECOND
    with capsys.disabled():
        print(f"\n500 symbols, {faults or 'no faults'}: all live after {seconds:.0f} s, {len(ledger.calls)} calls")
    refusals = [(at, product, status, retry) for at, product, status, retry in ledger.calls if status != 200]
    assert [status for _, _, status, _ in refusals] == [int(each[:3]) for each in sorted_faults(faults)]
    for at, _, _, retry in refusals:
        until = at + retry * SECOND
        assert not any(at < other < until for other, *_ in ledger.calls)
    # The budget lets 108 a minute through; a refusal costs its pause and no more than that.
    assert seconds <= 4 * 60 + 15


def sorted_faults(text: str) -> list[str]:
    return sorted(filter(None, text.split(",")), key=lambda each: int(each.partition("@")[2]))

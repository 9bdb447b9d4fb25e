"""The best venue: decisions against what is promised of them, and the books behind them."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline import BOOK, instrument, rest_book

import fastfeed
from fastfeed import BookState
from fastfeed.best import Chooser, Health
from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Hub
from fastfeed_core.message import INSTRUMENT_STATUSES
from fastfeed_core.records import Reason

SECOND = 1_000_000_000
HOLD = 10
GOOD, DOUBTFUL, DOWN = Health
PAIR = "BTC/USDT"


class Clock:
    """The time, as the test says."""

    def __init__(self) -> None:
        self.now = 1_785_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Feed:
    """A bus with a name and a book of each of some venues, written by the test itself."""

    def __init__(self, clock: Clock, venues: tuple[str, ...], name: str = "best") -> None:
        self.clock = clock
        self.writer = BusWriter(name, ring=1 << 20, instruments=8, levels=256)
        self.hub = Hub(self.writer)
        self.markets = {}
        self.rows = {}
        self.sequence = 10
        for venue in venues:
            self.add(venue)
        self.beat()

    def add(self, venue: str) -> None:
        what = msgspec.structs.replace(instrument(f"{venue}:{PAIR}"), venue=venue)
        self.rows[venue] = len(self.rows)
        self.markets[venue] = open_market(self.hub, what, BOOK)

    def beat(self) -> None:
        self.writer.heartbeat()
        self.writer.flush()

    def up(self, venue: str) -> None:
        """The book is live, or has a fresh message."""
        self.sequence += 1
        market = self.markets[venue]
        market.drop(Reason.REASON_GAP, self.clock.now)
        market.expect_snapshot()
        body = rest_book(self.sequence, [["100.00", "1.0"]], [["101.00", "2.0"]])
        assert market.apply_snapshot(BinanceDecoder(), body, 1000, self.clock.now)
        self.beat()

    def down(self, venue: str) -> None:
        self.markets[venue].drop(Reason.REASON_DISCONNECTED, self.clock.now)
        self.beat()

    def status(self, venue: str, status: str) -> None:
        self.writer.instrument_status(self.rows[venue], INSTRUMENT_STATUSES.index(status))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def feeds(shm, clock):
    made = []

    def make(*venues: str, name: str = "best") -> Feed:
        made.append(Feed(clock, venues, name))
        return made[-1]

    yield make
    for feed in made:
        feed.writer.close()
    assert list(shm.iterdir()) == []


# ---- the decision

LOOKS = st.lists(
    st.tuples(st.integers(0, 2 * HOLD), st.tuples(*[st.sampled_from(list(Health))] * 3)), min_size=1, max_size=60
)


@given(LOOKS)
def test_no_decision_breaks_what_is_promised(looks):
    chooser = Chooser(HOLD)
    now = 0
    seen: list[tuple[int, dict[str, Health]]] = []
    before, forced, moves = None, 0, {}
    for wait, healths in looks:
        now += wait
        found = dict(zip("abc", healths, strict=True))
        seen.append((now, found))
        chosen = chooser.choose(found, now)
        # A live book if there is one, and nothing else.
        assert (chosen is None) == (set(healths) == {DOWN})
        if chosen is not None:
            assert found[chosen] is not DOWN
        # A live book is left only for one that was good at every look of the time to hold, for a reason.
        if before is not None and chosen != before:
            if found[before] is DOWN:
                forced += 1
            else:
                within = [each for at, each in seen if at > now - HOLD]
                at_first = [each for at, each in seen if at <= now - HOLD][-1:]
                assert at_first  # else it has not been looked at for so long
                assert all(each[chosen] is GOOD for each in at_first + within)
                assert found[before] is DOUBTFUL or chosen < before
                # So nothing is returned to more often than once in that time.
                assert now - moves.get(chosen, now - HOLD) >= HOLD
                moves[chosen] = now
        before = chosen
    losses = sum(
        earlier[name] is not DOWN and later[name] is DOWN
        for (_, earlier), (_, later) in itertools.pairwise(seen)
        for name in "abc"
    )
    assert forced <= losses


@given(LOOKS, st.tuples(*[st.sampled_from(list(Health))] * 3))
def test_once_nothing_changes_the_most_preferred_of_the_good_is_chosen(looks, healths):
    chooser = Chooser(HOLD)
    now = 0
    for wait, each in looks:
        now += wait
        chooser.choose(dict(zip("abc", each, strict=True)), now)
    final = dict(zip("abc", healths, strict=True))
    chooser.choose(final, now)
    chosen = chooser.choose(final, now + HOLD)
    if GOOD in healths:
        assert chosen == next(name for name in "abc" if final[name] is GOOD)


def test_a_preferred_book_that_comes_and_goes_is_left_once():
    chooser = Chooser(HOLD)
    chosen = [chooser.choose({"a": GOOD if now % 4 else DOWN, "b": GOOD}, now) for now in range(1, 100)]
    assert chosen == ["a"] * 3 + ["b"] * 96


def test_of_those_that_are_live_a_steady_one_is_taken_before_one_that_just_came_back():
    chooser = Chooser(HOLD)
    for now in range(HOLD + 1):
        assert chooser.choose({"a": DOWN, "b": GOOD, "c": GOOD}, now) == "b"
    assert chooser.choose({"a": GOOD, "b": DOWN, "c": GOOD}, HOLD + 1) == "c"


def test_a_clock_that_is_set_back_makes_the_wait_no_longer_than_it_is():
    chooser = Chooser(HOLD)
    chooser.choose({"a": DOWN, "b": GOOD}, 1000)
    chooser.choose({"a": GOOD, "b": GOOD}, 1001)
    assert chooser.choose({"a": GOOD, "b": GOOD}, 100) == "b"
    assert chooser.choose({"a": GOOD, "b": GOOD}, 100 + HOLD) == "a"


# ---- the books behind it


def test_it_leaves_a_book_at_once_and_returns_after_a_while(feeds, clock):
    feed = feeds("binance", "okx")
    feed.up("binance")
    feed.up("okx")
    best = fastfeed.BestVenue(fastfeed.open("best"), PAIR, prefer=["okx", "binance"], hold_s=5, clock=clock)
    assert best.book().name == "okx:BTC/USDT"
    assert (best.venue, best.name, best.switches) == ("okx", "okx:BTC/USDT", 0)
    assert best.names == ("okx:BTC/USDT", "binance:BTC/USDT")
    assert best.reason == "it is the most preferred, and good"
    assert best.top(1).bids == [(100.0, 1.0)]

    feed.down("okx")
    assert best.top(1).state is BookState.LIVE
    assert (best.venue, best.switches, best.reason) == ("binance", 1, "okx:BTC/USDT is syncing")

    feed.up("okx")
    best.book()
    clock.advance(4.9)
    feed.beat()
    best.book()
    assert (best.venue, best.reason) == ("binance", "okx:BTC/USDT is good again, for 4.9 of 5 s")
    clock.advance(0.1)
    best.book()
    assert (best.venue, best.switches) == ("okx", 2)


def test_it_gives_nothing_while_no_book_is_live(feeds, clock):
    feed = feeds("binance", "okx")
    best = fastfeed.BestVenue(fastfeed.open("best"), PAIR, clock=clock)
    assert (best.book(), best.top(), best.venue, best.name) == (None, None, None, None)
    assert best.reason == "no book is live: binance:BTC/USDT is syncing; okx:BTC/USDT is syncing"
    feed.up("okx")
    assert best.book().name == "okx:BTC/USDT"
    feed.down("okx")
    assert best.top(3) is None
    feed.up("okx")
    best.book()
    assert (best.venue, best.switches) == ("okx", 0)  # what comes back after nothing is no switch
    feed.down("okx")
    best.book()
    feed.up("binance")
    best.book()
    assert (best.venue, best.switches) == ("binance", 1)


def test_a_late_book_gives_way_to_a_fresh_one_and_is_better_than_none(feeds, clock):
    feed = feeds("binance", "okx")
    feed.up("binance")
    best = fastfeed.BestVenue(fastfeed.open("best"), PAIR, hold_s=1, max_age_s=2, clock=clock)
    best.book()
    clock.advance(2.5)
    feed.beat()
    best.book()
    assert best.venue == "binance"
    assert best.reason == "binance:BTC/USDT is late: its last message came 2.5 s ago"
    feed.up("okx")
    best.book()
    clock.advance(1)
    feed.beat()
    best.book()
    assert (best.venue, best.switches) == ("okx", 1)
    assert best.reason == "binance:BTC/USDT is late: its last message came 3.5 s ago"


def test_a_quiet_market_is_not_left_for_its_age_alone(feeds, clock):
    feed = feeds("binance", "okx")
    feed.up("binance")
    clock.advance(3600)
    feed.up("okx")
    best = fastfeed.BestVenue(fastfeed.open("best"), PAIR, clock=clock)
    best.book()
    assert best.venue == "binance"


def test_an_instrument_that_does_not_trade_gives_way(feeds, clock):
    feed = feeds("binance", "okx")
    feed.up("binance")
    feed.up("okx")
    best = fastfeed.BestVenue(fastfeed.open("best"), PAIR, hold_s=1, clock=clock)
    best.book()
    feed.status("binance", "halted")
    clock.advance(1)
    best.book()
    assert (best.venue, best.reason) == ("okx", "binance:BTC/USDT does not trade: halted")


def test_a_feed_that_is_killed_is_left_for_another_that_lives(feeds, clock, monkeypatch):
    first, second = feeds("binance", name="first"), feeds("binance", name="second")
    first.up("binance")
    second.up("binance")
    buses = [fastfeed.open("first"), fastfeed.open("second")]
    best = fastfeed.BestVenue(buses, PAIR, clock=clock)
    assert best.names == ()
    best.book()
    assert best.names == ("binance:BTC/USDT on first", "binance:BTC/USDT on second")
    assert best.top().position.generation == buses[0].generation
    # What a reader sees of a feed that was killed a moment ago: no lock, and books as they were.
    monkeypatch.setattr("fastfeed.best._is_dead", lambda bus: bus is buses[0])
    clock.advance(0.1)
    assert best.top().position.generation == buses[1].generation
    assert buses[0].book("binance:BTC/USDT").state is BookState.LIVE
    assert best.reason == "binance:BTC/USDT on first: its feed is gone"
    assert (best.venue, best.name, best.switches) == ("binance", "binance:BTC/USDT", 1)


def test_what_comes_later_is_found(feeds, clock):
    feed = feeds("binance")
    best = fastfeed.BestVenue(["best", "late"], ["okx:BTC/USDT"], clock=clock)
    assert best.book() is None
    assert best.reason == "no book of okx:BTC/USDT on the bus (not found: late)"
    feed.add("okx")
    feed.up("okx")
    clock.advance(0.1)
    assert best.book().name == "okx:BTC/USDT"
    late = feeds("okx", name="late")
    late.up("okx")
    clock.advance(1)
    feed.beat()
    feed.down("okx")
    best.book()
    assert best.names == ("okx:BTC/USDT on best", "okx:BTC/USDT on late")
    assert best.switches == 1


def test_buses_stand_in_the_order_given_whichever_comes_first(feeds, clock):
    best = fastfeed.BestVenue(["first", "second"], PAIR, hold_s=1, clock=clock)
    for name in ("second", "first"):
        feeds("binance", name=name).up("binance")
        clock.advance(1)
        best.book()
    assert best.names == ("binance:BTC/USDT on first", "binance:BTC/USDT on second")


def test_names_stand_in_the_order_of_preference(feeds, clock):
    feed = feeds("binance", "okx", "bybit")
    for venue in feed.markets:
        feed.up(venue)
    bus = fastfeed.open("best")

    def order(instruments, prefer=()):
        best = fastfeed.BestVenue(bus, instruments, prefer=prefer, clock=clock)
        best.book()
        return [name.partition(":")[0] for name in best.names]

    assert order(PAIR) == ["binance", "okx", "bybit"]
    assert order(["bybit:BTC/USDT", "okx:BTC/USDT"]) == ["bybit", "okx"]
    assert order(PAIR, prefer="okx") == ["okx", "binance", "bybit"]
    assert order(PAIR, prefer=["bybit:BTC/USDT", "okx"]) == ["bybit", "okx", "binance"]
    assert order("BTC/USDT:USDT") == []


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (([], PAIR), {}, "expected a bus or more"),
        ((["a"], []), {}, "expected a symbol or names"),
        ((["a"], "BTC"), {}, r"expected a symbol \(BTC/USDT\) or a name"),
        ((["a"], PAIR), {"hold_s": -1}, "hold_s of 0 or more"),
        ((["a"], PAIR), {"max_age_s": 0}, "max_age_s above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, options, says):
    with pytest.raises(ValueError, match=says):
        fastfeed.BestVenue(*arguments, **options)


def test_a_number_of_levels_that_is_out_of_range_is_refused(feeds, clock):
    feed = feeds("binance")
    feed.up("binance")
    with pytest.raises(ValueError, match="26"):
        fastfeed.BestVenue("best", PAIR, clock=clock).top(26)

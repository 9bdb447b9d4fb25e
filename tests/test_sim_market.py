"""The simulator's true books: deterministic, never crossed, and known at every sequence."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.sim import Instrument, Knobs
from fastfeed.sim.market import Market, dense_ids, shared_ids

NOW = 1_785_000_000_000_000_000
BTC = Instrument("BTC/USDT", "BTCUSDT", "BTC", "USDT", *map(Decimal, ("0.01", "0.001", "67123.40", "0.4")))
TINY = Instrument("TINY/USDT", "TINYUSDT", "TINY", "USDT", *map(Decimal, ("0.00000001", "0.1", "0.00000090", "3e10")))


def make(*instruments: Instrument, ids=dense_ids, **knobs) -> Market:
    return Market(instruments, ids, Knobs(**{"levels": 40, **knobs}), "test", NOW)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), levels=st.integers(4, 80))
def test_books_are_never_crossed_nor_empty(seed, levels):
    market = make(BTC, TINY, seed=seed, levels=levels)
    for _ in range(400):
        event = market.step()
        assert event.changes
        bid, bid_sz, ask, ask_sz = market.flows[event.instrument.name].book.top()
        assert 0 < bid < ask
        assert min(bid_sz, ask_sz) > 0


def test_the_same_seed_gives_the_same_events():
    first, second = make(BTC, TINY), make(BTC, TINY)
    assert [first.step() for _ in range(300)] == [second.step() for _ in range(300)]


def test_leaving_an_instrument_out_does_not_change_the_others():
    both, alone = make(BTC, TINY), make(TINY)
    events = [event for event in (both.step() for _ in range(300)) if event.instrument is TINY]
    assert events == [alone.step() for _ in events]


def test_events_come_in_the_order_of_time_and_at_the_rate():
    market = make(BTC, TINY, rate=100)
    times = [market.step().ts for _ in range(4000)]
    assert times == sorted(times)
    assert (times[-1] - NOW) / 1e9 == pytest.approx(20, rel=0.1)


def test_dense_ids_have_no_holes_and_shared_ids_have():
    market = make(BTC)
    start = market.flows[BTC.name].book.sequence
    sequences = [change.sequence for _ in range(200) for change in market.step().changes]
    assert sequences == list(range(start + 1, start + 1 + len(sequences)))

    market = make(BTC, TINY, ids=shared_ids("7"))
    sequences = [change.sequence for _ in range(200) for change in market.step().changes]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] - sequences[0] > 2 * len(sequences)


def test_the_book_at_a_sequence_is_the_book_of_then():
    market = make(BTC, journal=True)
    then = []
    for _ in range(200):
        market.step()
        then.append(market.flows[BTC.name].book.copy())
    for book in then[::20]:
        at = market.book_at(BTC.name, book.sequence)
        assert (at.bids, at.asks, at.sequence) == (book.bids, book.asks, book.sequence)


def test_the_book_at_a_sequence_needs_the_journal():
    with pytest.raises(ValueError, match="journal"):
        make(BTC).book_at(BTC.name, 1)


def test_unknown_levels_are_removed_now_and_then():
    market = make(BTC)
    removed = 0
    for _ in range(1000):
        known = market.flows[BTC.name].book.copy()
        for change in market.step().changes:
            side = known.bids if change.is_bid else known.asks
            removed += change.sz == 0 and change.px not in side
            known.apply(change)
    assert removed > 5


def test_trades_hit_the_touch_and_tell_the_taker():
    market = make(BTC)
    trades = 0
    for _ in range(1000):
        before = market.flows[BTC.name].book.copy()
        for trade in market.step().trades:
            side = before.asks if trade.taker_buys else before.bids
            assert trade.sz <= side[trade.px]
            trades += 1
    assert trades > 50

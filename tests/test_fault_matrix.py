"""Every venue by every fault: no live book is ever wrong, every book comes back, and the others see nothing.

`pytest tests/test_fault_matrix.py --sequences 100000` runs as many random sequences of faults a venue.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from random import Random

import pytest
from rig import Rig

from fastfeed.sim.faults import Fault
from fastfeed.venues import VENUES, load

#: how often a fault strikes a message of a book, so that some happen in a few seconds
RATES = {
    "drop": 0.03, "gap": 0.01, "duplicate": 0.05, "reorder": 0.05, "garbage": 0.05, "truncate": 0.03,
    "disconnect": 0.004, "reset": 0.01, "old_snapshot": 0.5,
}  # fmt: skip
EPISODES = 50  # of one rig


def heal(rig: Rig, seconds: float) -> None:
    """Inject nothing any more, and wait until every book is live again."""
    rig.sim.faults.clear()
    waited = 0.0
    while not rig.all_live():
        # The longer it lasts the longer the strides: a connection that went mute is given up after minutes.
        stride = 20 if waited < 0.2 else 60 if waited < 20 else 500
        rig.step(stride)
        waited += stride / 1000
        assert waited < seconds, {name: states[-4:] for name, states in rig.states.items()}


@pytest.mark.parametrize("fault", RATES)
@pytest.mark.parametrize("venue", VENUES)
def test_a_live_book_is_never_wrong_and_every_book_comes_back(venue, fault):
    struck = 0
    for seed in (1, 2):
        rig = Rig(f"{fault}:{RATES[fault]}", venue=venue, seed=seed, symbols=1, connections=seed, rate=30)
        rig.run(4)
        heal(rig, 600)
        rig.run(1)
        assert rig.wrong == []
        assert rig.checked > 0
        struck += rig.sim.faults.counts.get(fault, 0)
    assert struck


@pytest.mark.parametrize("venue", VENUES)
def test_without_faults_no_gap_is_seen_and_no_trade_comes_twice(venue):
    rig = Rig(venue=venue, symbols=1)
    heal(rig, 60)
    rig.run(5)
    assert rig.wrong == []
    assert rig.checked > 50
    assert set(map(tuple, rig.states.values())) == {("live",)}
    trades = [(event.name, event.trade_id) for event in rig.events if event.kind == "trade"]
    assert len(trades) == len(set(trades)) > 0


@pytest.mark.parametrize("venue", VENUES)
def test_one_lost_delta_costs_one_book_at_most(venue):
    for at in (200, 333):
        rig = Rig(venue=venue, symbols=2)
        heal(rig, 60)
        rig.sim.faults.add(Fault("drop", at=at))
        rig.run(10)
        heal(rig, 60)
        assert rig.sim.faults.counts == {"drop": 1}
        assert rig.wrong == []
        disturbed = [states for states in rig.states.values() if states != ["live"]]
        assert len(disturbed) <= 1
        assert all(set(states) == {"live", "gap"} for states in disturbed)


@pytest.mark.parametrize("venue", VENUES)
def test_a_connection_that_goes_mute_is_given_up(venue):
    rig = Rig("stall:@60", venue=venue, symbols=1, rate=10)
    rig.run(8)
    assert rig.sim.faults.counts == {"stall": 1}
    rig.sim.faults.clear()
    waited = 0
    # Some are found out sooner: their venue is asked whether its book has moved on.
    while not any({"disconnected", "no data"} & set(states) for states in rig.states.values()):
        rig.step(1000)
        waited += 1
        assert waited < 65  # nobody should have to trust a dead connection for longer
    heal(rig, 100)
    assert rig.wrong == []


UNCHAINED = [
    (venue, row.form)
    for venue in VENUES
    for product in load(venue).PRODUCTS
    for row in product.channels
    if row.name == "book" and not row.chained
]
VERIFY_S = 5
SLACK_S = 4  # the request, its reply, and the stream that has to come up to it


@pytest.mark.parametrize("fault", ["drop", "gap", "reorder", "truncate"])
@pytest.mark.parametrize(("venue", "form"), UNCHAINED)
def test_an_unchained_book_is_wrong_no_longer_than_stated(venue, form, fault):
    rig = Rig(f"{fault}:0.02", venue=venue, symbols=1, book=form, verify_s=VERIFY_S)
    rig.run(40)
    rig.sim.faults.clear()
    rig.run(VERIFY_S + SLACK_S)
    assert rig.wrong  # a loss that nobody sees: else this test shows nothing
    assert rig.wrong_since == {}
    assert not any(rig.feed.book(each.name).chained for each in rig.instruments)
    assert rig.longest_wrong <= VERIFY_S + SLACK_S
    assert any(event.kind == "status" and event.reason == "repaired" for event in rig.events)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("venue", VENUES)
def test_random_sequences(venue, sequences, caplog):
    caplog.set_level(logging.CRITICAL)  # what is logged of a million faults would be kept
    done = 0
    seed = 0
    while done < sequences:
        seed += 1
        random = Random(f"{venue} {seed}")
        product = random.choice(load(venue).PRODUCTS).name
        rig = Rig(venue=venue, seed=seed, products=(product,), symbols=1, rate=random.choice([10, 30]),
                  connections=random.choice([1, 1, 2]))  # fmt: skip
        heal(rig, 60)
        for _ in range(min(EPISODES, sequences - done)):
            kinds = random.sample(sorted(RATES), random.choice([1, 1, 1, 2, 3]))
            for kind in kinds:
                rig.sim.faults.add(Fault(kind, probability=min(1.0, RATES[kind] * random.choice([1, 3, 10]))))
            stride = random.choice([20, 60])
            for _ in range(random.choice([100, 200, 400, 800]) // stride):
                rig.step(stride)
            heal(rig, 600)
            assert rig.wrong == [], (seed, kinds)
            done += 1


def test_coins_of_tiny_prices_and_huge_sizes_are_exact():
    prices, sizes = [], []
    for venue in VENUES:
        rig = Rig(venue=venue, symbols=None, rate=20)
        heal(rig, 60)
        rig.run(2)
        assert rig.wrong == []
        for instrument in rig.instruments:
            top = rig.feed.book(instrument.name).top(1, exact=True)
            ((price, size),) = top.bids
            assert price % instrument.tick_size == 0
            assert size % instrument.lot_size == 0
            prices.append(price)
            sizes.extend(size for _, size in rig.feed.book(instrument.name).top(25, exact=True).asks)
    assert min(prices) < Decimal("1e-10")
    assert max(sizes) > 10**11

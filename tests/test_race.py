"""Redundant connections: who was first and by how much, and that nothing is lost or comes twice while one is up."""

from __future__ import annotations

import pytest
from rig import Rig
from wire import Wire

from fastfeed.venues import VENUES

LEVELS = {"bids": [(100, 1)], "asks": [(101, 1)]}


def rows(wire: Wire) -> list[tuple[int, int, int, int, int]]:
    """(wins, losses, leads, sum, longest) of each connection."""
    names = ("wins", "losses", "leads", "lead_sum", "lead_max")
    return [tuple(row[name] for name in names) for row in wire.bus.map.connections()]


def live(connections: int = 2) -> Wire:
    wire = Wire(connections)
    for number in range(connections):
        wire.book("snapshot", number, last=10, **LEVELS)
    return wire


def test_the_first_to_bring_a_delta_wins_and_the_other_ones_delay_is_its_lead():
    wire = live()
    wire.ts = 1000
    wire.book("delta", 0, prev=10, last=11, bids=[(99, 1)])
    wire.ts = 1400
    wire.book("delta", 1, prev=10, last=11, bids=[(99, 1)])
    wire.ts = 2000
    wire.book("delta", 1, prev=11, last=12, bids=[(99, 2)])
    wire.ts = 2099
    wire.book("delta", 0, prev=11, last=12, bids=[(99, 2)])
    assert rows(wire) == [(1, 1, 1, 400, 400), (1, 1, 1, 99, 99)]


def test_a_burst_that_one_brings_before_the_other_begins_is_won_message_by_message():
    wire = live()
    for number in range(10, 40):
        wire.book("delta", 0, prev=number, last=number + 1, bids=[(99, 1)])
    for number in range(10, 40):
        wire.book("delta", 1, prev=number, last=number + 1, bids=[(99, 1)])
    assert rows(wire) == [(30, 0, 30, 30 * 30, 30), (0, 30, 0, 0, 0)]


def test_what_one_connection_sends_twice_is_no_race():
    wire = live()
    for _ in range(3):
        wire.book("delta", 0, prev=10, last=11, bids=[(99, 1)])
    assert rows(wire) == [(1, 0, 0, 0, 0), (0, 0, 0, 0, 0)]


def test_one_connection_alone_has_nobody_to_beat():
    wire = live(1)
    wire.book("delta", 0, prev=10, last=11, bids=[(99, 1)])
    wire.send("bbo", "bbo", last=5, quote=(1, 1, 2, 1))
    wire.send("trade", "trade", deals=[{"px": 1, "sz": 1, "side": "buy", "id": b"7"}])
    assert rows(wire) == [(0, 0, 0, 0, 0)]


def test_quotes_and_trades_race_too():
    wire = Wire(2)
    for number in (1, 0):
        wire.send("bbo", "bbo", number, last=5, quote=(1, 1, 2, 1))
        wire.send("trade", "trade", number, deals=[{"px": 1, "sz": 1, "side": "buy", "id": b"7"}])
    assert rows(wire) == [(0, 2, 0, 0, 0), (2, 0, 2, 4, 2)]


def kill(rig: Rig, side: int) -> bool:
    """Cut the connections of one side, if those of the other could do without them."""
    both = side_by_side(rig)
    links = rig.feed._protocol._links
    if len(both[1 - side]) < len(links) // 2 or not all(each._has_settled for each in both[1 - side]):
        return False
    for each in both[side]:
        if each.is_open:
            rig.clients.pop(each.connection.id).close()
            rig._take(rig.feed.disconnected(each.connection.id, rig.sim.now))
    return True


@pytest.mark.parametrize("alternate", [False, True], ids=["one side", "in turn"])
@pytest.mark.parametrize("venue", VENUES)
def test_with_a_side_killed_every_second_nothing_is_lost_and_nothing_comes_twice(venue, alternate, race_seconds):
    rig = Rig(venue=venue, symbols=2, rate=40, connections=2)
    rig.run_until_live()
    rig.run(3)
    before = {name: list(states) for name, states in rig.states.items()}
    began = len(rig.events)
    killed = 0
    for number in range(race_seconds):
        rig.run(1)
        killed += kill(rig, number % 2 if alternate else 0)
    rig.run(2)
    assert killed >= (2 if alternate else race_seconds)
    assert rig.wrong == []
    assert rig.states == before  # not one book was lost for a moment
    every_trade_once(rig, began)


def side_by_side(rig: Rig) -> list[list]:
    links = rig.feed._protocol._links
    return [[each for link in links[side::2] for each in link.attempts] for side in (0, 1)]


def every_trade_once(rig: Rig, began: int) -> None:
    """The ids are those of the venue's own journal, each once, from the first one that came to the last."""
    for instrument in rig.instruments:
        mine = [each for each in rig.events[began:] if each.kind == "trade" and each.name == instrument.name]
        ids = [each.trade_id for each in mine]
        assert len(ids) == len(set(ids))
        if ids and all(isinstance(each, int) for each in ids):
            assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize("venue", VENUES)
def test_with_random_loss_on_both_sides_no_live_book_is_wrong(venue):
    rig = Rig("drop:0.05,disconnect:0.002", venue=venue, symbols=2, rate=40, connections=2)
    rig.run(8)
    rig.sim.faults.clear()
    rig.run_until_live(120)
    rig.run(1)
    assert rig.wrong == []
    wins = [row["wins"] for row in rig.feed.bus.map.connections()]
    assert sum(wins) > 50
    assert min(wins[:2]) > 0

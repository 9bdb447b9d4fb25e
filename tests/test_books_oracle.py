"""Books of several instruments as all kinds of readers get them, against SortedDicts, whatever the venue sends."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline import BOOK, instrument
from sortedcontainers import SortedDict

import fastfeed
from fastfeed import BookState
from fastfeed.bus import Bus
from fastfeed.protocol import open_market
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject
from fastfeed_core.market import Hub

Shown = tuple[list[tuple[int, int]], list[tuple[int, int]]]
EMPTY: Shown = ([], [])
TICK = 100  # mantissas of the instruments' prices


class Oracle:
    """One instrument's book and everything that it has been."""

    def __init__(self, number: int) -> None:
        self.name = f"binance:C{number}/USDT"
        self.topic = f"book{number}"
        self.sides = SortedDict(), SortedDict()
        self.shown = 0  # levels a side that the venue's stream shows; 0: all
        self.sequence: int | None = None
        self.flushed: int | None = None
        self.history: dict[int | None, tuple[Shown, tuple[int | None, int | None]]] = {None: (EMPTY, (None, None))}

    def levels(self) -> Shown:
        most = self.shown or None
        return list(reversed(self.sides[0].items()))[:most], list(self.sides[1].items())[:most]

    def note(self) -> None:
        sides = self.levels()
        worst = tuple(side[-1][0] if self.shown and len(side) >= self.shown else None for side in sides)
        self.history[self.sequence] = (sides, worst)

    def check(self, found: Any, bids: list[Any], asks: list[Any], limit: int, room: int) -> None:
        """A copy of `limit` levels from an image with room for `room` is the book at its sequence."""
        (true_bids, true_asks), worst = self.history[found.sequence]
        assert found.state is (BookState.SYNCING if found.sequence is None else BookState.LIVE)
        for side, true, known, complete, sign in (
            (bids, true_bids, worst[0], found.complete_to[0], 1),
            (asks, true_asks, worst[1], found.complete_to[1], -1),
        ):
            if complete is not None:
                # What lies beyond is known as it changed; up to there nothing is missing and nothing is more.
                side = [level for level in side if sign * level[0] >= sign * complete]
                true = [level for level in true if sign * level[0] >= sign * complete]
            assert side == true[:limit]
            if room >= 8192:  # with less an image may have been cut off, and says so
                assert complete in (known, None if known is None else side[-1][0])


class Desk:
    """Some instruments on one private bus, and readers of every kind."""

    def __init__(self, rng: random.Random, count: int, ring: int, room: int, deltas: int = 20) -> None:
        self.rng = rng
        self.deltas = deltas  # to two snapshots and a loss of the book
        self.room = room
        self.removals = rng.choice([0.1, 0.5])
        self.writer = BusWriter(ring=ring, instruments=count, levels=room)
        self.hub = Hub(self.writer)
        self.oracles = [Oracle(number) for number in range(count)]
        self.connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), count, 1)
        for each in self.oracles:
            market = open_market(self.hub, instrument(each.name), BOOK)
            self.connection.route(each.topic, "BTCUSDT", "book", market)
        self.bus = Bus(BusMap(writer=self.writer))
        self.names = [each.name for each in self.oracles]
        self.kept = {each: self.bus.book(each) for each in self.names}
        self.together = self.bus.books(self.names)
        self.sequence = 0
        self.laps = 0
        self.followed = 0
        self.follow()

    # What the venue does

    def price(self, side: int) -> int:
        """Mostly near the touch, some outside of the window of ticks, some off the tick."""
        away = self.rng.choice([self.rng.randrange(40), self.rng.randrange(40), self.rng.randrange(200_000)])
        off = self.rng.randrange(TICK) if self.rng.random() < 0.1 else 0
        return 50_000_000 + (1 if side else -1) * (TICK * (1 + away) + off)

    def tick(self, oracle: Oracle) -> None:
        self.sequence += 1
        kind = self.rng.choices(["delta", "snapshot", "refused"], [self.deltas, 2, 1])[0]
        if oracle.sequence is None and kind == "delta":
            kind = "snapshot"
        if kind == "refused":
            for side in oracle.sides:
                side.clear()
            oracle.sequence = None
            self.send(oracle, kind)
            return
        before = EMPTY if kind == "snapshot" else oracle.levels()
        if kind == "snapshot":
            oracle.shown = self.rng.choice([0, 0, 5, 40])
            for side in oracle.sides:
                side.clear()
        changes = self.rng.choice([0, 1, 3, 3, 10, 200 if kind == "snapshot" else 30])
        for _ in range(changes):
            number = self.rng.randrange(2)
            side = oracle.sides[number]
            if side and self.rng.random() < self.removals:
                side.pop(self.rng.choice([side.keys()[0], side.keys()[-1], self.rng.choice(side.keys())]))
            else:
                side[self.price(number)] = self.rng.randrange(1, 10**6)
        previous, oracle.sequence = oracle.sequence, self.sequence
        oracle.note()
        now = oracle.levels()
        if kind == "delta":
            now = tuple(  # type: ignore[assignment]
                [each for each in ({px: 0 for px, _ in old} | dict(new)).items() if each not in old]
                for old, new in zip(before, now, strict=True)
            )
        self.send(oracle, kind, prev=previous, last=self.sequence, bids=now[0], asks=now[1], limit=oracle.shown)

    def send(self, oracle: Oracle, kind: str, **message: Any) -> None:
        inject(self.connection, oracle.topic, kind, self.sequence, **message)
        self.hub.attention()
        if self.rng.random() < 0.3:
            self.hub.flush()
            for each in self.oracles:
                each.flushed = each.sequence
            self.look(True)
        elif self.rng.random() < 0.1:
            self.look(False)

    # What readers see

    def look(self, flushed: bool) -> None:
        depths = self.together.depth()
        tops = self.together.top(25, exact=True)
        assert len({one.position for one in depths}) == len({one.position for one in tops}) == 1
        for oracle, depth, top in zip(self.oracles, depths, tops, strict=True):
            found = [depth]
            if self.rng.random() < 0.3:
                found.append(self.kept[oracle.name].depth())
            if self.rng.random() < 0.1:
                found.append(self.bus.book(oracle.name).depth())  # of one who comes now
            for one in found:
                assert one.sequence == oracle.sequence or not flushed
                oracle.check(one, one.bids.tolist(), one.asks.tolist(), 10**6, self.room)
            cut = self.kept[oracle.name].depth(3)
            assert (len(cut.bids), len(cut.asks)) == tuple(min(3, len(side)) for side in (cut.bids, cut.asks))
            oracle.check(cut, cut.bids.tolist(), cut.asks.tolist(), 3, 0)
            for one in (top, self.kept[oracle.name].top(25, exact=True)):
                assert one.sequence == oracle.flushed
                self.check_top(oracle, one)
        self.read_on()

    def check_top(self, oracle: Oracle, top: fastfeed.Top) -> None:
        sides = [[(int(price.scaleb(4)), int(size.scaleb(7))) for price, size in side] for side in top[1:3]]
        complete = tuple(None if price is None else int(Decimal(price).scaleb(4)) for price in top.complete_to)
        (bids, asks), worst = oracle.history[top.sequence]
        assert sides == [bids[:25], asks[:25]]
        assert complete == worst
        assert top.state is (BookState.SYNCING if top.sequence is None else BookState.LIVE)

    def follow(self) -> None:
        """Take a book, and read on from where it stands."""
        self.watched = self.rng.choice(self.oracles)
        book = self.bus.book(self.watched.name)
        found = book.depth()
        self.copy = SortedDict(found.bids.tolist()), SortedDict(found.asks.tolist())
        self.copied = found.sequence
        self.reader = self.bus.reader(
            instruments=[self.watched.name], kinds=["delta", "snapshot", "status"], start=found.position
        )

    def read_on(self) -> None:
        for event in self.reader.poll(10**6):
            if self.reader.lost:
                break
            if event.kind == "status":
                if event.state == "syncing":
                    self.copy[0].clear()
                    self.copy[1].clear()
                    self.copied = None
                continue
            if event.kind == "snapshot":
                self.copy[0].clear()
                self.copy[1].clear()
            else:
                assert event.prev_sequence == self.copied
            for side, pairs in zip(self.copy, (event.bid_mantissas, event.ask_mantissas), strict=True):
                for px, sz in pairs:
                    if sz:
                        side[px] = sz
                    else:
                        side.pop(px, None)
            self.copied = event.sequence
            self.followed += 1
            if self.room >= 8192:  # an image with less has not the whole book
                shown = list(reversed(self.copy[0].items())), list(self.copy[1].items())
                assert shown == self.watched.history[event.sequence][0]
        if self.reader.lost:
            self.laps += 1
            self.follow()
        elif self.rng.random() < 0.05:
            self.follow()


@given(
    st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([1 << 16, 1 << 18, 1 << 20]), st.sampled_from([32, 8192])
)
def test_every_reader_has_the_book_at_its_sequence(seed, count, ring, room):
    desk = Desk(random.Random(seed), count, ring, room)
    for _ in range(120):
        desk.tick(desk.rng.choice(desk.oracles))


@pytest.mark.parametrize("room", [32, 8192])
def test_so_do_readers_that_the_ring_overtakes(room):
    desk = Desk(random.Random(room), 3, 1 << 16, room, deltas=200)
    while desk.laps < 8 or desk.followed < 500:
        for _ in range(desk.rng.choice([1, 100, 300])):
            oracle = desk.rng.choice(desk.oracles)
            looks, desk.look = desk.look, lambda flushed: None  # type: ignore[method-assign]
            desk.tick(oracle)
            desk.look = looks  # type: ignore[method-assign]
        desk.hub.flush()
        for each in desk.oracles:
            each.flushed = each.sequence
        desk.look(True)

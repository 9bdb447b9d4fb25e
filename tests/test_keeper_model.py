"""keeper against a venue with a book of its own: whatever is lost, late or restarted, a live book is the venue's."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedDict
from wire import Wire

Shown = tuple[list[tuple[int, int]], list[tuple[int, int]]]


class Venue:
    """A book and the messages that tell of it.

    Parameters
    ----------
    form : how it restarts, "snapshot" or "reset"; or "refresh": every message is the whole book
    shown : levels a side that the stream shows; 0: all
    overlap : numbers after a restart are those of just before; else they are far lower
    """

    def __init__(self, rng: random.Random, form: str, shown: int, overlap: bool) -> None:
        self.rng = rng
        self.form = form
        self.shown = shown
        self.overlap = overlap
        self.sides = SortedDict(), SortedDict()
        self.sequence = 10**6
        self.books: dict[int, list[Shown]] = {}  # by sequence: more than one where numbers were used again
        self.change(20)
        self.note()

    def change(self, count: int) -> None:
        for _ in range(count):
            side, low = self.rng.choice([(self.sides[0], 80), (self.sides[1], 101)])
            px = low + self.rng.randrange(20)
            if self.rng.random() < 0.4:
                side.pop(px, None)
            else:
                side[px] = self.rng.randrange(1, 1000)

    def book(self) -> Shown:
        most = self.shown or 1000
        bids = [(px, self.sides[0][px]) for px in reversed(self.sides[0])]
        return bids[:most], list(self.sides[1].items())[:most]

    def note(self) -> None:
        self.books.setdefault(self.sequence, []).append(self.book())

    def snapshot(self) -> dict[str, Any]:
        bids, asks = self.book()
        kind = "refresh" if self.form == "refresh" else "snapshot"
        return {"kind": kind, "last": self.sequence, "bids": bids, "asks": asks, "limit": self.shown}

    def tick(self, restart: bool = False) -> list[dict[str, Any]]:
        """Something happens: the messages of it."""
        if restart and self.form != "reset":
            self.sequence -= self.rng.randrange(2, 12) if self.overlap else 10_000
            self.change(5)
            self.note()
            return [self.snapshot()]
        if self.form != "refresh" and self.rng.random() < 0.1:
            return [{"kind": "heartbeat", "prev": self.sequence, "last": self.sequence}]
        before, prev = self.book(), self.sequence
        self.change(self.rng.randrange(4))
        self.sequence += self.rng.randrange(1, 4)
        kind = "delta"
        if restart:
            kind = "reset"
            self.sequence = prev - (self.rng.randrange(2, 12) if self.overlap else 10_000)
        self.note()
        if self.form == "refresh" or (kind == "delta" and self.rng.random() < 0.03):
            return [self.snapshot()]
        changes = []
        for old, new in zip(before, self.book(), strict=True):
            gone = {px: 0 for px, _ in old}
            changes.append([each for each in (gone | dict(new)).items() if each not in old])
        return [{"kind": kind, "prev": prev, "last": self.sequence, "bids": changes[0], "asks": changes[1]}]


class Line:
    """What is on its way to the feed by one connection."""

    def __init__(self, number: int, venue: Venue) -> None:
        self.number = number  # of the connection
        self.queue = deque([venue.snapshot()])


class Model:
    """A venue, lines that lag behind each other, and a market that must never be wrong."""

    def __init__(self, rng: random.Random, count: int, form: str, shown: int, overlap: bool) -> None:
        self.rng = rng
        self.venue = Venue(rng, form, shown, overlap)
        self.wire = Wire(count)
        self.wire.step = 100_000_000
        self.lines = [Line(number, self.venue) for number in range(count)]
        self.reader = self.wire.bus.book(self.wire.instrument.name)
        self.lived = 0
        self.wanted = False

    def tick(self, restart: bool = False, loss: float = 0.0) -> None:
        for message in self.venue.tick(restart):
            for line in self.lines:
                if self.rng.random() >= loss:
                    line.queue.append(message)

    def deliver(self, line: Line, refused: float = 0.0) -> None:
        message = dict(line.queue.popleft())
        if self.rng.random() < refused:
            message = {"kind": "refused"}
        self.wire.book(message.pop("kind"), line.number, **message)
        self.look()

    def drain(self) -> None:
        for line in self.lines:
            while line.queue:
                self.deliver(line)

    def look(self) -> None:
        self.wanted |= bool(self.wire.calls())
        market = self.wire.market
        if not market.live:
            assert market.levels() == ([], [])
            return
        self.lived += 1
        true = self.venue.books[market.sequence]
        assert market.levels() in true
        if self.rng.random() < 0.1:
            found = self.reader.depth()
            assert (found.bids.tolist(), found.asks.tolist()) == market.levels()
            assert found.sequence == market.sequence
            assert found.complete_to == market.complete_to
        complete = market.complete_to
        shown = self.venue.shown
        for side, worst in zip(market.levels(), complete, strict=True):
            assert worst == (side[-1][0] if shown and len(side) >= shown else None)

    def reconnect(self, place: int) -> None:
        self.wire.close(self.lines[place].number)
        self.look()
        self.wire.connections.append(self.wire.connect())
        self.lines[place] = Line(len(self.wire.connections) - 1, self.venue)

    def subscribe_again(self) -> None:
        self.wanted = False
        for line in self.lines:
            line.queue.append(self.venue.snapshot())


forms = st.sampled_from(["snapshot", "reset", "refresh"])
shown = st.sampled_from([0, 5])


@given(st.integers(1, 3), forms, shown, st.floats(0, 0.3), st.integers(0, 2**32))
def test_faults_of_all_kinds_never_show_a_wrong_book_and_it_comes_back(count, form, shown, loss, seed):
    rng = random.Random(seed)
    model = Model(rng, count, form, shown, overlap=False)
    for _ in range(150):
        model.tick(restart=rng.random() < 0.02, loss=loss)
        if rng.random() < 0.02:
            model.reconnect(rng.randrange(count))
        if model.wanted and rng.random() < 0.3:
            model.subscribe_again()
        for line in model.lines:
            while line.queue and (rng.random() < 0.6 or len(line.queue) > 20):
                model.deliver(line, refused=loss / 10)
    model.drain()
    # Without further faults the book is there again: as soon as it is asked for (a restart that was lost shows after 10
    # seconds), or a while after the venue took a subscription whose snapshot was refused.
    for number in range(180):
        if model.wanted or (number == 150 and not model.wire.market.live):
            model.subscribe_again()
        model.tick()
        model.drain()
    assert model.wire.market.live
    assert model.wire.market.sequence == model.venue.sequence
    assert model.lived


@given(st.integers(1, 3), forms, shown, st.floats(0.2, 0.9), st.integers(0, 2**32))
def test_restarts_cost_nothing_where_nothing_is_lost(count, form, shown, speed, seed):
    rng = random.Random(seed)
    model = Model(rng, count, form, shown, overlap=True)
    model.drain()
    for _ in range(150):
        model.tick(restart=rng.random() < 0.05)
        for place, line in enumerate(model.lines):
            # The first one lags, by up to 15 messages.
            while line.queue and (rng.random() < (speed / 2 if place == 0 else speed) or len(line.queue) > 15):
                model.deliver(line)
                assert model.wire.market.live
    model.drain()
    for _ in range(3):
        model.tick()
    model.drain()
    assert model.wire.market.sequence == model.venue.sequence
    assert model.wire.counters()["gaps"] == 0
    # All are in step again: whichever goes, the others have the book.
    rng.shuffle(model.lines)
    while len(model.lines) > 1:
        model.wire.close(model.lines.pop().number)
        assert model.wire.market.live
        model.tick()
        model.drain()
        assert model.wire.market.sequence == model.venue.sequence


@pytest.mark.parametrize("form", ["snapshot", "reset", "refresh"])
def test_a_connection_made_while_another_lives_takes_over(form):
    for seed in range(30):
        rng = random.Random(seed)
        model = Model(rng, 1, form, 0, overlap=True)
        model.drain()
        for _ in range(40):
            if rng.random() < 0.2:
                model.wire.connections.append(model.wire.connect())
                model.lines.append(Line(len(model.wire.connections) - 1, model.venue))
                for _ in range(rng.randrange(1, 6)):
                    model.tick()
                model.drain()
                model.wire.close(model.lines.pop(0).number)
                assert model.wire.market.live
            model.tick(restart=rng.random() < 0.1)
            model.tick()  # of whole books it takes two to see a restart
            model.drain()
        assert model.wire.market.sequence == model.venue.sequence

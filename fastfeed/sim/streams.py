"""Streams over a random market: what venues have in common between an order flow and the messages of a topic.

A stream exists from its first subscription on and is shared by all connections, so that two connections see the same
messages. What is collected over a window is sent on a grid of the clock; the rest is sent at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple, Protocol

from fastfeed.sim.interface import Publication
from fastfeed.sim.market import Event, Flow, Market, TrueBook

Levels = list[tuple[int, int]]


class Stream(Protocol):
    """One stream: events go in, payloads come out, at once or when its window ends."""

    interval: int

    def on_event(self, event: Event) -> Iterable[bytes]:
        """Take what happened; return what is sent at once, each when it is asked for."""

    def flush(self, ts: int) -> list[bytes]:
        """End the window at `ts`; return what is sent for it. Never called where the interval is 0."""


class LiveStreams:
    """All streams of one market that somebody ever subscribed to, by the venue's own keys.

    Parameters
    ----------
    endpoint : of the publications
    make : makes the stream of a key and names its flow; None if there is no such stream
    """

    def __init__(
        self, endpoint: str, market: Market, make: Callable[[str], tuple[Stream, Flow] | None], now: int
    ) -> None:
        self.market = market
        self._endpoint = endpoint
        self._make = make
        self._now = now
        self._streams: dict[str, Stream] = {}
        self._names: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {name: [] for name in market.flows}
        self._windows: list[tuple[int, str]] = []

    def resolve(self, key: str) -> Stream | None:
        """Return the stream of a key, and begin it if it is new; None if there is no such stream."""
        if key not in self._streams:
            made = self._make(key)
            if made is None:
                return None
            stream, flow = made
            name = flow.book.instrument.name
            self._streams[key] = stream
            self._names[key] = name
            self._by_name[name].append(key)
            if stream.interval:
                heapq.heappush(self._windows, (self._now - self._now % stream.interval + stream.interval, key))
        return self._streams[key]

    def of(self, name: str) -> list[Stream]:
        """Return the streams of an instrument that exist."""
        return [self._streams[key] for key in self._by_name[name]]

    def next_due(self) -> int:
        """Return when the next event or end of a window is, ns."""
        due = self.market.next_due()
        return min(due, self._windows[0][0]) if self._windows else due

    def advance(self, now: int) -> Iterator[Publication]:
        """Let the market run up to `now`; yield each message while the true book is the one that it speaks of."""
        while (due := self.next_due()) <= now:
            self._now = max(self._now, due)
            if self._windows and self._windows[0][0] == due:
                key = self._windows[0][1]
                stream = self._streams[key]
                heapq.heapreplace(self._windows, (due + stream.interval, key))
                yield from self._publish(key, stream.flush(due))
            else:
                event = self.market.step()
                for key in self._by_name[event.instrument.name]:
                    yield from self._publish(key, self._streams[key].on_event(event))
        self._now = now

    def _publish(self, key: str, payloads: Iterable[bytes]) -> Iterator[Publication]:
        for payload in payloads:
            yield Publication(self._endpoint, key, self._names[key], payload)


class Diff(NamedTuple):
    """What changed between two messages: levels in ticks and lots, bids falling and asks rising, size 0 removed."""

    bids: Levels
    asks: Levels


class ShownBook:
    """The book as a stream of increments has shown it so far: what a client knows that missed nothing.

    A venue that sends the book in the stream answers a subscription with this, not with the book of now: the next
    increment follows it.

    Parameters
    ----------
    flow : of the instrument
    depth : levels a side that the stream shows; None for all. A level that leaves this window is shown as removed, one
        that enters it is shown whole.
    journal : keep the book of every sequence, for `at`
    """

    def __init__(self, flow: Flow, depth: int | None = None, journal: bool = False) -> None:
        self._flow = flow
        self._depth = depth
        self._touched: tuple[set[int], set[int]] = (set(), set())
        bids, asks = flow.book.levels(depth or len(flow.book.bids) + len(flow.book.asks))
        self.sides: tuple[dict[int, int], dict[int, int]] = (dict(bids), dict(asks))
        self._journal: list[Diff] | None = [] if journal else None
        self._last_of: dict[int, int] = {}  # places in the journal
        self._replayed: tuple[int, TrueBook | None] = (0, None)  # messages, and the book that they lead to

    def touch(self, event: Event) -> None:
        """Remember what an event changed."""
        for change in event.changes:
            self._touched[not change.is_bid].add(change.px)

    def advance(self) -> Diff:
        """Return what changed since the last call, and take it as shown. O(changes), or O(depth) with a depth."""
        bids, asks = (self._changed(index) for index in (0, 1))
        for shown, changes in zip(self.sides, (bids, asks), strict=True):
            for px, sz in changes:
                if sz:
                    shown[px] = sz
                else:
                    shown.pop(px, None)
        return Diff(sorted(bids, reverse=True), sorted(asks))

    def _changed(self, index: int) -> Levels:
        true = self._flow.book.asks if index else self._flow.book.bids
        shown, touched = self.sides[index], self._touched[index]
        if self._depth is None:
            changes = [(px, true.get(px, 0)) for px in touched]
        elif touched:
            window = dict(self._flow.book.levels(self._depth)[index])
            changes = [(px, 0) for px in shown if px not in window]
            changes += [level for level in window.items() if shown.get(level[0]) != level[1]]
        else:
            changes = []
        touched.clear()
        return changes

    def levels(self) -> tuple[Levels, Levels]:
        """Return the shown book, bids falling and asks rising."""
        return sorted(self.sides[0].items(), reverse=True), sorted(self.sides[1].items())

    def note(self, sequence: int, diff: Diff | None = None) -> None:
        """Enter into the journal that `diff` led to the book of `sequence`; without one, the whole book of now did."""
        if self._journal is not None:
            self._last_of[sequence] = len(self._journal)
            self._journal.append(diff or Diff(*self.levels()))

    def at(self, sequence: int) -> TrueBook:
        """Return the book of `sequence`, the last that had it; it is changed by the next call.

        O(messages since the last call) if they come in order, else O(messages so far).

        Raises
        ------
        ValueError : there was none, or no journal is kept.
        """
        last = self._last_of.get(sequence)
        if last is None or self._journal is None:
            raise ValueError(f"no message with sequence {sequence} was shown")
        done, book = self._replayed
        if book is None or done > last + 1:
            done, book = 0, TrueBook(self._flow.book.instrument, sequence)
        for diff in self._journal[done : last + 1]:
            for side, levels in ((book.bids, diff.bids), (book.asks, diff.asks)):
                for px, sz in levels:
                    if sz:
                        side[px] = sz
                    else:
                        side.pop(px, None)
        book.sequence = sequence
        self._replayed = last + 1, book
        return book


def fixed_point(step: Decimal, decimals: int) -> Callable[[int], str]:
    """Return a function that writes a count of steps with a fixed number of decimals, exactly."""
    scaled = step.scaleb(decimals)
    factor = int(scaled)
    if factor != scaled:
        raise ValueError(f"step {step} has more than {decimals} decimals")
    if not decimals:
        return lambda count: str(count * factor)
    unit = 10**decimals

    def write(count: int) -> str:
        whole, rest = divmod(count * factor, unit)
        return f"{whole}.{rest:0{decimals}d}"

    return write


def decimals_of(step: Decimal) -> int:
    """Return how many decimals a tick or lot is written with."""
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

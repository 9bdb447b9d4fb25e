"""Hold live books against fresh snapshots, where nothing in the stream shows that a message was lost.

Two kinds of book need it. An unchained one (its deltas have no sequence that shows a hole) is compared every so often,
and repaired. One whose subscription has brought no message yet, or none for a while, is looked at, less and less often
while the market is as quiet as its stream: if the venue's book has moved on, the subscription is dead, though the venue
took it. Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from fastfeed.calls import REPLY_WITHIN_S, Calls, Request
from fastfeed.errors import FastfeedError
from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND
from fastfeed.reports import Reports
from fastfeed.snapshots import HOLD_S, Snapshots
from fastfeed_core.market import Market

__all__ = ["FIRST_DELTA_S", "Silence", "Verifications"]

_log = logging.getLogger(__name__)

_JOINED_S = 2  # from another connection's subscription to a look at the book
FIRST_DELTA_S = 30  # from a live book to its first delta, before the venue is asked whether there should be one
_QUIET_CAP_S = 600  # ... and doubled up to this while the venue's book is found to be as quiet
_LOOK_LEVELS = 100  # a side: a quiet book is looked at often, and a small snapshot costs a tenth of a whole one
_SHARE = 0.5  # of the budget: snapshots of books that are lost always find room
_IN_FLIGHT = 4  # ... also among the requests that are under way
_HOLD = int(HOLD_S * SECOND)
_LOOK_EVERY = SECOND // 10  # all books: nothing here is in more of a hurry, and a tick is shorter
_CATCH_UP_S = 2  # the stream gets so long to come up to a snapshot
_RETRY_S = 5


class Silence(NamedTuple):
    """How to tell that a subscription brings nothing, and what to do if it should have."""

    messages: Callable[[], int | None]  # messages that it brought; None: its socket is gone
    dead: Callable[[int, bool], None]  # called with the time, and whether the venue's book is ahead of ours


class _Watch:
    """One market, and how far its verification is."""

    __slots__ = (
        "began",
        "behind_since",
        "body",
        "doubted",
        "due",
        "held_since",
        "instrument",
        "key",
        "levels",
        "market",
        "quiet",
        "request",
        "seen",
        "silence",
        "since",
        "until",
        "whole",
    )

    def __init__(
        self, key: tuple[str, int], market: Market, instrument: Instrument, due: int, silence: Silence | None
    ) -> None:
        self.key = key
        self.market = market
        self.instrument = instrument
        self.silence = silence  # None: an unchained book
        self.seen = None if silence is None else silence.messages()
        self.began = market.sequence
        self.behind_since: int | None = None  # another connection has moved the book on since
        self.due = due
        self.held_since: int | None = None  # of an unchained book: copies of its deltas are held for the snapshot
        self.doubted = False  # something was lost since the snapshot was asked for
        self.quiet = 0  # looks in a row that found the venue's book to be ours
        self.whole = False  # the next look is at all levels
        self.request: int | None = None
        self.levels = 0  # a side, of the snapshot that was asked for
        self.since = 0
        self.body: bytes | None = None  # a snapshot that the stream has still to come up to
        self.until = 0

    def step_due(self) -> int:
        """Return when the next step is due: to hold deltas, or to ask for the snapshot.

        A reply can be older than the moment at which it was asked for, and is of use if all since was held.
        """
        if self.silence is not None:
            return self.due
        return self.due - _HOLD if self.held_since is None else max(self.due, self.held_since + _HOLD)


class Verifications:
    """The verifications of one product.

    Parameters
    ----------
    snapshots : of the product: they go first
    calls : of the product
    every_s : how often an unchained book is verified
    stale_s : for how long a stream brings nothing before the venue is asked; 0: only before its first message
    """

    def __init__(self, snapshots: Snapshots, calls: Calls, every_s: float, stale_s: float, random: Random) -> None:
        self._snapshots = snapshots
        self._calls = calls
        self._every = int(every_s * SECOND)
        self._stale = int(stale_s * SECOND)
        self._look_levels = snapshots.size(_LOOK_LEVELS)
        self._random = random
        self._reports = Reports(_log)
        self._watches: dict[tuple[str, int], _Watch] = {}
        self._in_flight: dict[int, _Watch] = {}
        self._looked = 0

    def watch_unchained(self, market: Market, instrument: Instrument, ts: int) -> None:
        """A book is kept without a chain: verify it from now on."""
        # Half an interval at random, so that many books do not come due at once.
        due = ts + int(self._every * (0.5 + self._random.random() / 2))
        key = (instrument.name, -1)
        watch = self._watches.setdefault(key, _Watch(key, market, instrument, due, None))
        if watch.due != due:
            # Another connection joins: what it brings first can overtake what is on its way by the others, unseen.
            self._doubt(watch, ts + _JOINED_S * SECOND)

    def watch_silent(self, market: Market, instrument: Instrument, link: int, ts: int, silence: Silence) -> None:
        """A subscription on a link was taken: see that it brings something."""
        key = (instrument.name, link)
        self._drop(key)
        self._watches[key] = _Watch(key, market, instrument, ts + FIRST_DELTA_S * SECOND, silence)

    def doubt(self, ts: int) -> None:
        """Something was lost, and nobody can say of which book: verify the unchained ones now."""
        for watch in self._watches.values():
            if watch.silence is not None:
                continue
            self._doubt(watch, ts)

    def _doubt(self, watch: _Watch, due: int) -> None:
        if watch.request is None and watch.body is None:
            watch.due = min(watch.due, due)
            watch.held_since = None
        else:
            watch.doubted = True  # the snapshot on its way may be from before the loss

    def forget(self, instrument: Instrument) -> None:
        """No connection has the book."""
        for key in [key for key in self._watches if key[0] == instrument.name]:
            self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        watch = self._watches.pop(key, None)
        if watch is not None:
            if watch.silence is None:
                watch.market.end_verifying()
            if watch.request is not None:
                del self._in_flight[watch.request]

    def advance(self, ts: int, requests: deque[Request]) -> None:
        """Append the requests that are due to `requests`."""
        if 0 <= ts - self._looked < _LOOK_EVERY:
            return
        self._looked = ts
        due: list[_Watch] = []
        busy = self._snapshots.busy(ts)
        for watch in list(self._watches.values()):
            if watch.silence is not None and self._has_spoken(watch, watch.silence, ts):
                continue
            if watch.request is not None:
                if ts - watch.since > REPLY_WITHIN_S * SECOND:
                    self._again(watch, ts)
            elif watch.body is not None:
                self._compare(watch, watch.body, ts, ts >= watch.until)
            elif not watch.market.live:
                continue
            elif watch.silence is not None and self._is_behind(watch, ts):
                if watch.behind_since is None:
                    watch.behind_since = ts  # this one has a moment to follow
                elif ts - watch.behind_since >= FIRST_DELTA_S * SECOND:
                    self._end(watch, watch.silence, ts, False)
            elif ts < watch.step_due() or busy:
                continue
            elif watch.silence is None and watch.held_since is None:
                if watch.market.begin_verifying():
                    watch.held_since = ts
            else:
                due.append(watch)
        # Whoever waits longest goes first: where the budget is too small for all, each has its turn.
        for watch in sorted(due, key=_Watch.step_due):
            if len(self._in_flight) >= _IN_FLIGHT or not self._ask(watch, ts, requests):
                return

    def _has_spoken(self, watch: _Watch, silence: Silence, ts: int) -> bool:
        """Return whether a stream is none to look at now: it moved, or its socket is gone."""
        idle = watch.request is None and watch.body is None and watch.behind_since is None and not watch.quiet
        if idle and ts < watch.due:
            return False  # what is not due need not be counted
        count = silence.messages()
        if count == watch.seen:
            return False
        self._drop(watch.key)
        if count is not None and self._stale:
            self._watches[watch.key] = _Watch(watch.key, watch.market, watch.instrument, ts + self._stale, silence)
        return True

    def _is_behind(self, watch: _Watch, ts: int) -> bool:
        """Return whether another connection moved the book on while this one brought nothing."""
        is_looked_at = watch.quiet or watch.behind_since is not None or ts >= watch.due
        return bool(is_looked_at) and watch.began is not None and watch.began != watch.market.sequence

    def _ask(self, watch: _Watch, ts: int, requests: deque[Request]) -> bool:
        """Ask for a snapshot if there is budget for it."""
        is_small = watch.silence is not None and not watch.whole
        levels = self._look_levels if is_small else self._snapshots.levels
        request = self._calls.ask(self._snapshots.call(watch.instrument, levels), watch.instrument.name, ts, _SHARE)
        if request is None:
            return False
        watch.began = watch.market.sequence
        watch.levels = levels
        watch.request = request.id
        watch.since = ts
        self._in_flight[request.id] = watch
        requests.append(request)
        return True

    def reply(self, request_id: int, body: bytes, error: FastfeedError | None, ts: int) -> bool:
        """Take the reply to a request; False if it is none of ours (any more)."""
        watch = self._in_flight.pop(request_id, None)
        if watch is None:
            return False
        watch.request = None
        if error is not None:
            name = watch.instrument.name
            self._reports.tell(name, "not verified", f"verification failed instrument={name} error={error}")
            self._again(watch, ts)
        else:
            watch.until = ts + _CATCH_UP_S * SECOND
            self._compare(watch, body, ts, False)
        return True

    def _again(self, watch: _Watch, ts: int, after_s: float = _RETRY_S) -> None:
        if watch.request is not None:
            del self._in_flight[watch.request]
            watch.request = None
        if watch.silence is None:
            watch.market.end_verifying()
        watch.held_since = None
        watch.body = None
        if watch.doubted:
            self._looked = 0  # it begins anew at once
        watch.due = ts if watch.doubted else ts + int(after_s * SECOND)
        watch.doubted = False

    def _compare(self, watch: _Watch, body: bytes, ts: int, final: bool) -> None:
        name, market = watch.instrument.name, watch.market
        try:
            if watch.silence is not None:
                self._look(watch, watch.silence, body, ts, final)
                return
            found = market.verify(self._snapshots.decoder, body, watch.levels, ts, final)
        except ValueError as error:
            self._reports.tell(name, "not verified", f"verification failed instrument={name} error={error.args[0]}")
            self._again(watch, ts)
            return
        if found == "ahead":
            watch.body = body
        elif found in ("old", "gone"):
            self._again(watch, ts)
        else:
            if found == "repaired":
                self._reports.tell(name, "repaired", f"book repaired instrument={name}")
            self._again(watch, ts, self._every / SECOND)

    def _look(self, watch: _Watch, silence: Silence, body: bytes, ts: int, final: bool) -> None:
        """A book without a delta: has the venue's moved on?"""
        found = watch.market.compare(self._snapshots.decoder, body, watch.levels)
        if found != "other":
            # The market is as quiet as its stream. A small snapshot that is later says nothing of what is below it.
            watch.quiet = watch.quiet + 1 if watch.began == watch.market.sequence else 0
            watch.whole = found == "later" and not watch.whole
            self._again(watch, ts, min(_QUIET_CAP_S, FIRST_DELTA_S * 2 ** min(watch.quiet, 10)))
        elif not final:
            watch.body = body
        else:
            self._end(watch, silence, ts, True)

    def _end(self, watch: _Watch, silence: Silence, ts: int, behind: bool) -> None:
        name = watch.instrument.name
        self._reports.tell(name, "no data", f"no data from a subscription instrument={name}")
        self._drop(watch.key)
        silence.dead(ts, behind)

"""What all who talk to one host share: how often connections and calls may be tried, and whether it is worth trying.

Feeds and products of a process meet here, because venues count by address. Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from random import Random
from urllib.parse import urlsplit

from fastfeed.breaker import Breaker
from fastfeed.budget import Budget
from fastfeed.pause import LONGEST_S, SECOND
from fastfeed.venues.spec import Limits
from fastfeed_core.records import Health, Reason

__all__ = ["Door", "Place", "Places", "Window"]

_log = logging.getLogger(__name__)

_SLACK = 1.1  # what leaves us evenly can arrive in less time than it took to leave


class Window:
    """At most `most` within any `seconds`: what was taken is remembered, so that no stretch of time ever sees more."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self._length = int(seconds * _SLACK * SECOND)
        self._taken: deque[int] = deque(maxlen=most)

    def has_room(self, ts: int) -> bool:
        """Return whether one more may be taken at `ts`."""
        # A time ahead of ours is of a clock that was set back since: it says nothing any more.
        first = self._taken[0] if self._taken else 0
        return len(self._taken) < self.most or not ts - self._length < first <= ts

    def take(self, ts: int) -> None:
        """Take one; `has_room` was asked before."""
        self._taken.append(ts)


class Place:
    """One host's part in a process, as seen from one address of this machine."""

    def __init__(self, windows: Sequence[Window], breaker: Breaker) -> None:
        self.breaker = breaker
        self._windows = windows

    def may_connect(self, ts: int) -> bool:
        """Return whether a connection may be tried now, and count it if so."""
        if not all(window.has_room(ts) for window in self._windows) or not self.breaker.allows(ts):
            return False
        for window in self._windows:
            window.take(ts)
        return True


class Ban:
    """Until when a venue shuts out this address, from all that it serves."""

    def __init__(self) -> None:
        self.until = 0


class Door:
    """One REST base: the rate budget and the breaker of all calls below it.

    Parameters
    ----------
    rest : for logs
    ban : shared with the other doors of the venue
    """

    def __init__(self, rest: str, per_minute: int, breaker: Breaker, ban: Ban) -> None:
        self.rest = rest
        self.budget = Budget(per_minute)
        self.breaker = breaker
        self._ban = ban

    def may_call(self, weight: int, ts: int, share: float = 1.0) -> bool:
        """Return whether a call of `weight` may be made now, and count it if so; what became of it must be told."""
        # The breaker is asked last: half open, who is let through is the probe.
        if ts < self._ban.until or not self.budget.has_room(weight, ts, share) or not self.breaker.allows(ts):
            return False
        self.budget.spend(weight, ts)
        return True

    def is_shut(self, ts: int) -> bool:
        """Return whether the venue asked for a pause that is not over."""
        return ts < max(self._ban.until, self.budget.blocked_until)

    def answered(self, status: int, ts: int) -> None:
        """A call ended; status 0: there was no answer. A refusal is an answer: the host lives."""
        if status == 0 or status >= 500:
            self.breaker.failed(ts)
        else:
            self.breaker.succeeded()

    def block(self, seconds: float, ts: int, banned: bool) -> None:
        """Make no call for a while, at most `LONGEST_S`; `banned`: at none of the venue's doors."""
        seconds = min(seconds, LONGEST_S)
        if ts + int(seconds * SECOND) > self.budget.blocked_until:
            _log.warning("calls paused rest=%s pause_s=%.0f banned=%s", self.rest, seconds, banned)
        self.budget.block(seconds, ts)
        if banned:
            self._ban.until = max(self._ban.until, self.budget.blocked_until)


class Places:
    """The hosts that a process talks to, and what else its machines share.

    Parameters
    ----------
    connects_per_s : connection attempts of the whole process within any second; None: no attempts are counted at all
    """

    def __init__(self, random: Random, connects_per_s: int | None) -> None:
        self._random = random
        self._everyone = None if connects_per_s is None else Window(connects_per_s, 1)
        self._windows: dict[str, list[Window]] = {}  # by host
        self._by_way: dict[tuple[str, str | None], Place] = {}  # by host and address of this machine
        self._doors: dict[tuple[str, str], Door] = {}
        self._bans: dict[str, Ban] = {}
        #: what each machine says of the health of an instrument, by row: channels of one can be in two feeds
        self.healths: dict[int, dict[object, tuple[Health, Reason]]] = {}
        #: rows of the bus's connection table that no link has any more, by label: they are few and never removed
        self.free_rows: dict[str, list[int]] = {}

    def of(self, url: str, limits: Limits, local: str | None = None) -> Place:
        """Return the place of a WebSocket URL; who comes first says how many connections its venue allows.

        Parameters
        ----------
        local : the address of this machine that its connections leave from; None: any
        """
        host = urlsplit(url).netloc
        if host not in self._windows:
            own = [] if self._everyone is None else [self._everyone, Window(limits.connects, limits.connects_per_s)]
            self._windows[host] = own
        if (host, local) not in self._by_way:
            # An address that leads nowhere must not shut the way of the others: each has a breaker. What the venue
            # takes is counted together, since a router may make one address of all of them.
            self._by_way[host, local] = Place(self._windows[host], Breaker(self._random))
        return self._by_way[host, local]

    def door(self, venue: str, rest: str, limits: Limits) -> Door:
        """Return the door of a REST base; products that share one share the lowest of their budgets."""
        if (venue, rest) not in self._doors:
            ban = self._bans.setdefault(venue, Ban())
            self._doors[venue, rest] = Door(rest, limits.weight_per_minute, Breaker(self._random), ban)
        door = self._doors[venue, rest]
        door.budget.narrow(limits.weight_per_minute)
        return door

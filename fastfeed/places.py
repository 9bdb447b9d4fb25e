"""What all who talk to one host share: how often connections may be tried, and whether it is worth trying.

Feeds and products of a process meet here, because venues count by address. Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from urllib.parse import urlsplit

from fastfeed.breaker import Breaker
from fastfeed.pause import SECOND
from fastfeed.venues.spec import Limits

__all__ = ["Place", "Places", "Window"]

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
    """One host's part in a process."""

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


class Places:
    """The hosts that a process talks to.

    Parameters
    ----------
    connects_per_s : connection attempts of the whole process within any second; None: no attempts are counted at all
    """

    def __init__(self, random: Random, connects_per_s: int | None) -> None:
        self._random = random
        self._everyone = None if connects_per_s is None else Window(connects_per_s, 1)
        self._by_host: dict[str, Place] = {}

    def of(self, url: str, limits: Limits) -> Place:
        """Return the place of a WebSocket URL; who comes first says how many connections its venue allows."""
        host = urlsplit(url).netloc
        if host not in self._by_host:
            windows = [] if self._everyone is None else [self._everyone, Window(limits.connects, limits.connects_per_s)]
            self._by_host[host] = Place(windows, Breaker(self._random))
        return self._by_host[host]

"""A circuit breaker: many callers of one place that does not answer become a single probe every now and then.

Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from fastfeed.pause import SECOND, Backoff, pause

__all__ = ["Breaker"]

_PROBE_WITHIN_S = 60  # a probe that nobody hears of any more has failed
_NEWS_S = 60  # a failure says something for so long behind the pause that it made


class Breaker:
    """Closed: all may try. Open: nobody. Half open, after a pause: one may; what becomes of it decides.

    Parameters
    ----------
    failures : in a row that open it
    pause_s : before the first probe; doubled with each one that fails, up to `cap_s`, half of it at random
    """

    def __init__(self, random: Random, failures: int = 5, pause_s: float = 1.0, cap_s: float = 5.0) -> None:
        self._random = random
        self._most = failures
        self._backoff = Backoff(pause_s, cap_s, 0.5)
        self._failures = 0
        self._opened = 0  # times in a row
        self._until = 0
        self._probe: int | None = None  # when it began

    def state(self, ts: int) -> Literal["closed", "open", "half-open"]:
        """Return what may be tried at `ts`: all, nothing, or one probe."""
        if not self._opened:
            return "closed"
        return "open" if ts < self._until else "half-open"

    def is_bad(self, ts: int) -> bool:
        """Return whether the place is known not to answer: half open, nothing is when nobody has tried for long."""
        last = self._until if self._probe is None else max(self._until, self._probe)
        return self._opened > 0 and ts < last + _NEWS_S * SECOND

    def allows(self, ts: int) -> bool:
        """Return whether to try now; half open, the first to ask is the probe, and must say how it ended."""
        state = self.state(ts)
        if state == "closed":
            return True
        if state == "open" or (self._probe is not None and ts - self._probe < _PROBE_WITHIN_S * SECOND):
            return False
        self._probe = ts
        return True

    def succeeded(self) -> None:
        """A try went well."""
        self._failures = 0
        self._opened = 0
        self._probe = None

    def abandoned(self) -> None:
        """A try was given up before it ended: if it was the probe, another one may be."""
        self._probe = None

    def failed(self, ts: int) -> None:
        """A try failed."""
        self._failures += 1
        probed = self._probe is not None
        if not probed and (self._opened or self._failures < self._most):
            return  # one that was on its way when it opened says nothing new
        self._until = ts + pause(self._opened, self._backoff, self._random)
        self._opened += 1
        self._probe = None

"""What may be spent on REST calls, and when: weights, as venues count them.

Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

from collections import deque

from fastfeed.pause import SECOND

__all__ = ["Budget"]

_MINUTE = 60 * SECOND
_SHARE = 0.9  # of the venue's budget: other programs may run behind the same address


class Budget:
    """Weight that may still be spent within any minute, our own count corrected by the venue's."""

    def __init__(self, per_minute: int) -> None:
        self.limit = int(per_minute * _SHARE)
        self.blocked_until = 0
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    def narrow(self, per_minute: int) -> None:
        """Take over a limit if it is lower: of several that share a budget, the lowest holds."""
        self.limit = min(self.limit, int(per_minute * _SHARE))

    def used(self, ts: int) -> int:
        """Return the weight spent in the minute before `ts`."""
        while self._spent and self._spent[0][0] <= ts - _MINUTE:
            self._total -= self._spent.popleft()[1]
        return self._total

    def has_room(self, weight: int, ts: int, share: float = 1.0) -> bool:
        """Return whether `weight` may be spent now, so that no more than `share` of all that may be is spent then."""
        # A single call above the limit is let through when nothing else was spent: it could never be made otherwise.
        used = self.used(ts)
        return ts >= self.blocked_until and not (used and used + weight > self.limit * share)

    def spend(self, weight: int, ts: int) -> None:
        """Count what a call costs."""
        self._spent.append((ts, weight))
        self._total += weight

    def correct(self, used: int, ts: int) -> None:
        """Take over the venue's count of the weight used, if it has seen more than we have."""
        missing = used - self.used(ts)
        if missing > 0:
            self.spend(missing, ts)

    def block(self, seconds: float, ts: int) -> None:
        """Make no call for a while."""
        self.blocked_until = max(self.blocked_until, ts + int(seconds * SECOND))

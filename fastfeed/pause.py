"""How long to wait before something that failed is tried again; a pure function, the random number is handed in."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

__all__ = ["SECOND", "Backoff", "pause"]

SECOND = 1_000_000_000  # in the unit of all times, ns


class Backoff(NamedTuple):
    """Pauses that double from `initial_s` to `cap_s`; `jitter` is the share of each that is random, 1 for all of it."""

    initial_s: float
    cap_s: float
    jitter: float = 1.0


def pause(failures: int, backoff: Backoff, random: Random) -> int:
    """Return the pause in ns before the next attempt, after so many failures in a row before the last one.

    Jitter keeps many that failed together from coming back in step.
    """
    # 2**30 times any initial pause is beyond any cap, and 2**1024 is no float.
    longest = min(backoff.cap_s, backoff.initial_s * 2 ** min(failures, 30))
    return int(longest * (1 - backoff.jitter + backoff.jitter * random.random()) * SECOND)

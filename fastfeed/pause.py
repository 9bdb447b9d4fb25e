"""How long to wait before something that failed is tried again; pure functions, the random number is handed in."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from random import Random
from typing import NamedTuple

__all__ = ["LONGEST_S", "SECOND", "Backoff", "pause", "retry_after"]

SECOND = 1_000_000_000  # in the unit of all times, ns
LONGEST_S = 3 * 86_400.0  # the longest ban that a venue speaks of: who asks for more is mistaken
_EPOCH_S = 1e9  # a number of seconds beyond this is a time: nobody pauses for 30 years


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


def retry_after(text: str, ts: int | None) -> float | None:
    """Return the seconds of a Retry-After header: 1 to `LONGEST_S`, None if it says nothing that can be understood.

    Parameters
    ----------
    text : a number of seconds, a date, or a time in seconds since the epoch
    ts : now; None: what names a time is not understood
    """
    now = None if ts is None else ts / SECOND
    if text.isascii() and text.isdigit():
        seconds = float(text)
        if seconds > _EPOCH_S:
            if now is None:
                return None
            seconds -= now
    elif now is None:
        return None
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 1.0), LONGEST_S)

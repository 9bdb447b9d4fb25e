"""Get books anew where their snapshots come in the stream: by ending the subscription and making it again.

Also notices the subscription that the venue took and that never brings anything. Sans-I/O; times are ns since epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from random import Random

from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND, Backoff, pause
from fastfeed.reports import Reports
from fastfeed_core.market import Market
from fastfeed_core.records import Reason

__all__ = ["FIRST_DATA_S", "Resubscribes"]

_log = logging.getLogger(__name__)

FIRST_DATA_S = 15  # from the venue's answer to a live book; venues send their snapshot within a second
_SETTLE_S = 1.0  # deltas may overtake their snapshot: a subscription this young is left alone
_RETRY = Backoff(0.5, 600.0, jitter=0.5)
_SPARING = 5  # failures after which a book waits if frames of the hour are short: others were live a moment ago


class _Job:
    """What is known of one market that waits for its book."""

    __slots__ = ("due", "failures", "instrument", "market", "until")

    def __init__(self, market: Market, instrument: Instrument) -> None:
        self.market = market
        self.instrument = instrument
        self.failures = 0
        self.due: int | None = None  # when to subscribe anew
        self.until: int | None = None  # when the snapshot should be here


class Resubscribes:
    """The books of one product that come in the stream.

    Parameters
    ----------
    again : subscribes anew to the books of instruments, on all connections that have them; True: if frames are left
    is_over : whether an instrument is traded no more
    """

    def __init__(
        self,
        again: Callable[[Iterable[Instrument], bool], None],
        is_over: Callable[[Instrument, int], bool],
        random: Random,
    ) -> None:
        self._again = again
        self._is_over = is_over
        self._reports = Reports(_log)
        self._random = random
        self._jobs: dict[str, _Job] = {}

    def want(self, market: Market, instrument: Instrument, ts: int) -> None:
        """The book is lost: subscribe anew, unless that was done just now."""
        job = self._jobs.setdefault(instrument.name, _Job(market, instrument))
        if job.until is not None:
            job.until = min(job.until, ts + int(_SETTLE_S * SECOND))
        elif job.due is None:
            job.due = ts

    def expect(self, market: Market, instrument: Instrument, ts: int) -> None:
        """The venue took the subscription: its snapshot is due."""
        job = self._jobs.setdefault(instrument.name, _Job(market, instrument))
        job.due = None
        job.until = ts + FIRST_DATA_S * SECOND

    def forget(self, instrument: Instrument) -> None:
        """No connection has the book: what comes back subscribes by itself."""
        self._jobs.pop(instrument.name, None)

    def advance(self, ts: int) -> None:
        """Time has passed."""
        due: dict[bool, list[Instrument]] = {False: [], True: []}  # sparing frames or not
        for name, job in list(self._jobs.items()):
            if job.market.live:
                del self._jobs[name]
            elif job.until is not None and ts >= job.until:
                if self._is_over(job.instrument, ts):
                    del self._jobs[name]  # there is none any more; a message of it would ask for it again
                    continue
                self._reports.tell(name, "no book", f"no book after a subscription instrument={name}")
                job.market.drop(Reason.REASON_NO_DATA, ts)
                self._retry(job, ts)
            elif job.due is not None and ts >= job.due:
                job.due = None
                job.until = ts + FIRST_DATA_S * SECOND
                due[job.failures > _SPARING].append(job.instrument)
        for sparing, instruments in due.items():
            if instruments:
                self._again(instruments, sparing)

    def _retry(self, job: _Job, ts: int) -> None:
        job.until = None
        job.due = ts + pause(job.failures, _RETRY, self._random)
        job.failures += 1

"""Fetch book snapshots: which next, and what to do with the replies.

Sans-I/O: requests come out of `requests`, replies and the passing of time go in. All times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from heapq import nsmallest
from random import Random

from fastfeed.calls import REPLY_WITHIN_S, Calls, Request
from fastfeed.errors import FastfeedError, MalformedReply, Recovery
from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND, Backoff, pause
from fastfeed.reports import Reports
from fastfeed.venues.spec import Call, Product, Venue
from fastfeed_core.market import Market

__all__ = ["HOLD_S", "Snapshots"]

_log = logging.getLogger(__name__)

HOLD_S = 3.0  # of an unchained book: deltas are held so long before a snapshot is asked for, which can be old
_IN_FLIGHT = 8  # requests of a product that wait for their replies at a time
_RETRY = Backoff(0.25, 30.0, jitter=0.5)


class _Job:
    """What is known of one market's wish for a snapshot."""

    __slots__ = ("failures", "fresh", "instrument", "market", "not_before", "request", "sent", "was_live")

    def __init__(self, market: Market, instrument: Instrument, was_live: bool) -> None:
        self.market = market
        self.instrument = instrument
        self.was_live = was_live
        self.failures = 0
        self.fresh = False  # deltas are held for a request that may go out at the next `advance`
        self.not_before = 0
        self.request: int | None = None  # in flight
        self.sent = 0

    def urgency(self) -> tuple[bool, int, int]:
        """Order of those that are due: somebody may trade on a book that was lost; then whoever failed least."""
        return not self.was_live, self.failures, self.market.instrument


class Snapshots:
    """The snapshots of one product.

    Parameters
    ----------
    levels : levels a side wanted
    """

    def __init__(self, venue: Venue, product: Product, calls: Calls, levels: int, random: Random) -> None:
        self._venue = venue
        self._product = product
        self._calls = calls
        self.levels = product.snapshot_size(levels).levels
        self.decoder = venue.decoder(product)()
        self._random = random
        self._jobs: dict[str, _Job] = {}
        self._in_flight: dict[int, _Job] = {}
        self._reports = Reports(_log)
        self._were_live: set[str] = set()

    def busy(self, ts: int) -> bool:
        """Whether a book could have its snapshot requested now: one that is tried again later keeps nobody waiting."""
        return any(job.request is None and ts >= job.not_before for job in self._jobs.values())

    def want(self, market: Market, instrument: Instrument, ts: int, chained: bool = True) -> None:
        """Fetch a snapshot for `market`, unless one is on its way or wished for already.

        What comes is held from now on, also what is behind this in the socket read: a snapshot can be as old as that.
        Without a chain only deltas from before the snapshot show that none is missing behind it: hold them first.
        """
        if instrument.name in self._jobs:
            return
        job = self._jobs[instrument.name] = _Job(market, instrument, instrument.name in self._were_live)
        market.expect_snapshot()
        if chained:
            job.fresh = True
        else:
            job.not_before = ts + int(HOLD_S * SECOND)

    def forget(self, instrument: Instrument) -> None:
        """The market lost its connection: no snapshot is wanted, and a reply on its way is not either."""
        job = self._jobs.pop(instrument.name, None)
        if job is None:
            return
        if job.request is not None:
            del self._in_flight[job.request]
        if job.request is not None or job.fresh:
            job.market.abandon_snapshot()

    def advance(self, ts: int, requests: deque[Request]) -> None:
        """Append the requests that are due to `requests`."""
        for request_id, job in list(self._in_flight.items()):
            if ts - job.sent > REPLY_WITHIN_S * SECOND:
                name = job.instrument.name
                self._reports.tell(name, "timeout", f"snapshot timed out instrument={name}")
                del self._in_flight[request_id]
                self._fail(job, ts)
        self._ask(ts, requests)
        for job in self._jobs.values():
            if job.fresh:
                job.fresh = False
                if job.request is None:  # its turn may be minutes away: nothing is held for so long
                    job.market.abandon_snapshot()

    def _ask(self, ts: int, requests: deque[Request]) -> None:
        free = _IN_FLIGHT - len(self._in_flight)
        if free <= 0:
            return
        due = [job for job in self._jobs.values() if job.request is None and ts >= job.not_before]
        for job in nsmallest(free, due, key=_Job.urgency):
            request = self._calls.ask(self.call(job.instrument, self.levels), job.instrument.name, ts)
            if request is None:
                return
            job.request = request.id
            job.sent = ts
            self._in_flight[request.id] = job
            job.market.expect_snapshot()
            requests.append(request)

    def size(self, levels: int) -> int:
        """Return how many levels a side the smallest snapshot with `levels` has, of at most as many as are wanted."""
        return self._product.snapshot_size(min(levels, self.levels)).levels

    def call(self, instrument: Instrument, levels: int) -> Call:
        """Return the call for a snapshot of an instrument, of a size that there is."""
        return self._venue.snapshot(instrument, levels)

    def reply(self, request_id: int, body: bytes, error: FastfeedError | None, ts: int) -> bool:
        """Take the reply to a request; False if it is none of ours (any more)."""
        job = self._in_flight.pop(request_id, None)
        if job is None:
            return False
        if error is None:
            self._apply(job, body, ts)
        else:
            self._refuse(job, error, ts)
        return True

    def _apply(self, job: _Job, body: bytes, ts: int) -> None:
        try:
            live = job.market.apply_snapshot(self.decoder, body, self.levels, ts)
        except ValueError as error:
            text, _, offset = error.args
            reason = f"{text} at byte {offset}"
            self._refuse(job, MalformedReply(self._venue.ID, job.instrument.name, "snapshot", reason), ts)
            return
        if live:
            del self._jobs[job.instrument.name]
            self._were_live.add(job.instrument.name)
        elif job.market.holding:
            _log.info("snapshot too old instrument=%s", job.instrument.name)
            self._fail(job, ts, keep=True)
        else:
            # Held deltas had a hole: start again with what comes now.
            self._fail(job, ts)

    def _refuse(self, job: _Job, error: FastfeedError, ts: int) -> None:
        name = job.instrument.name
        self._reports.tell(name, type(error).__name__, f"snapshot failed instrument={name} error={error}")
        if error.recovery is Recovery.STOP:
            # The venue does not know the instrument: asking again soon only costs budget.
            job.failures = max(job.failures, 8)
        self._fail(job, ts)

    def _fail(self, job: _Job, ts: int, keep: bool = False) -> None:
        """Try again later; `keep` what is held if a newer snapshot can still join it."""
        job.request = None
        if not keep:
            job.market.abandon_snapshot()
        job.not_before = ts + pause(job.failures, _RETRY, self._random)
        job.failures += 1

"""Fetch book snapshots: which next, within the venue's rate budget, and what to do with the replies.

Sans-I/O: requests come out of `requests`, replies and the passing of time go in. All times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, Recovery
from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND, Backoff, pause
from fastfeed.venues.spec import Call, Product, Venue
from fastfeed_core.market import Market

__all__ = ["HOLD_S", "REPLY_WITHIN_S", "Budget", "Request", "Snapshots"]

_log = logging.getLogger(__name__)

_MINUTE = 60 * SECOND
_SHARE = 0.9  # of the venue's budget: other programs may run behind the same address
HOLD_S = 3.0  # of an unchained book: deltas are held so long before a snapshot is asked for, which can be old
_IN_FLIGHT = 8  # requests of a product that wait for their replies at a time
_RETRY = Backoff(0.25, 30.0, jitter=0.5)
REPLY_WITHIN_S = 20


class Request(msgspec.Struct, frozen=True):
    """An HTTP request that the caller is asked to make."""

    id: int
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Budget:
    """Weight that may still be spent within any minute, our own count corrected by the venue's."""

    def __init__(self, per_minute: int) -> None:
        self.limit = int(per_minute * _SHARE)
        self.blocked_until = 0
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    def used(self, ts: int) -> int:
        """Return the weight spent in the minute before `ts`."""
        while self._spent and self._spent[0][0] <= ts - _MINUTE:
            self._total -= self._spent.popleft()[1]
        return self._total

    def take(self, weight: int, ts: int, share: float = 1.0) -> bool:
        """Spend `weight` if it may be spent now, and no more than `share` of all that may be is spent then."""
        # A single call above the limit is let through when nothing else was spent: it could never be made otherwise.
        used = self.used(ts)
        if ts < self.blocked_until or (used and used + weight > self.limit * share):
            return False
        self._add(weight, ts)
        return True

    def correct(self, used: int, ts: int) -> None:
        """Take over the venue's count of the weight used, if it has seen more than we have."""
        missing = used - self.used(ts)
        if missing > 0:
            self._add(missing, ts)

    def block(self, seconds: float, ts: int) -> None:
        """Make no call for a while."""
        self.blocked_until = max(self.blocked_until, ts + int(seconds * SECOND))

    def _add(self, weight: int, ts: int) -> None:
        self._spent.append((ts, weight))
        self._total += weight


class _Job:
    """What is known of one market's wish for a snapshot."""

    __slots__ = ("failures", "instrument", "market", "not_before", "request", "sent")

    def __init__(self, market: Market, instrument: Instrument) -> None:
        self.market = market
        self.instrument = instrument
        self.failures = 0
        self.not_before = 0
        self.request: int | None = None  # in flight
        self.sent = 0


class Snapshots:
    """The snapshots of one product.

    Parameters
    ----------
    rest : base URL
    levels : levels a side wanted
    next_id : gives ids of requests, unique in the venue's machine
    """

    def __init__(
        self, venue: Venue, product: Product, rest: str, levels: int, random: Random, next_id: Callable[[], int]
    ) -> None:
        self._venue = venue
        self._product = product
        self._rest = rest
        self.levels = product.snapshot_size(levels).levels
        self.decoder = venue.decoder(product)()
        self._random = random
        self._next_id = next_id
        self._jobs: dict[str, _Job] = {}
        self._in_flight: dict[int, _Job] = {}
        self.budget = Budget(product.limits.weight_per_minute)

    def busy(self, ts: int) -> bool:
        """Whether a book could have its snapshot requested now: one that is tried again later keeps nobody waiting."""
        return any(job.request is None and ts >= job.not_before for job in self._jobs.values())

    def want(self, market: Market, instrument: Instrument, ts: int, chained: bool = True) -> None:
        """Fetch a snapshot for `market`, unless one is on its way or wished for already.

        Without a chain only deltas from before the snapshot show that none is missing behind it: hold them first.
        """
        if instrument.name in self._jobs:
            return
        job = self._jobs[instrument.name] = _Job(market, instrument)
        if not chained:
            market.expect_snapshot()
            job.not_before = ts + int(HOLD_S * SECOND)

    def forget(self, instrument: Instrument) -> None:
        """The market lost its connection: no snapshot is wanted, and a reply on its way is not either."""
        job = self._jobs.pop(instrument.name, None)
        if job is not None and job.request is not None:
            del self._in_flight[job.request]
            job.market.abandon_snapshot()

    def advance(self, ts: int, requests: deque[Request]) -> None:
        """Append the requests that are due to `requests`."""
        for request_id, job in list(self._in_flight.items()):
            if ts - job.sent > REPLY_WITHIN_S * SECOND:
                _log.warning("snapshot timed out instrument=%s", job.instrument.name)
                del self._in_flight[request_id]
                self._fail(job, ts)
        for job in self._jobs.values():
            if len(self._in_flight) >= _IN_FLIGHT:
                return
            if job.request is not None or ts < job.not_before:
                continue
            call = self.call(job.instrument, self.levels)
            if not self.budget.take(call.weight, ts):
                return
            job.request = self._next_id()
            job.sent = ts
            self._in_flight[job.request] = job
            job.market.expect_snapshot()
            requests.append(self.request(job.request, call))

    def size(self, levels: int) -> int:
        """Return how many levels a side the smallest snapshot with `levels` has, of at most as many as are wanted."""
        return self._product.snapshot_size(min(levels, self.levels)).levels

    def call(self, instrument: Instrument, levels: int) -> Call:
        """Return the call for a snapshot of an instrument, of a size that there is."""
        return self._venue.snapshot(instrument, levels)

    def request(self, request_id: int, call: Call) -> Request:
        """Return the request that makes a call."""
        return Request(request_id, "GET", self._rest + call.path, {})

    def heed(
        self, status: int, headers: Mapping[str, str], body: bytes, instrument: Instrument, ts: int
    ) -> FastfeedError | None:
        """Take what a reply says of the budget, and return what a status other than 200 means."""
        self._read_used_weight(headers, ts)
        if status == 200:
            return None
        error = self._venue.read_rest_error(status, headers, body, instrument.name, ts)
        if isinstance(error, RateLimited):
            self.budget.block(error.retry_after_s, ts)
        return error

    def reply(self, request_id: int, body: bytes, status: int, headers: Mapping[str, str], ts: int) -> bool:
        """Take the reply to a request; False if it is none of ours (any more). Status 0: it could not be made."""
        job = self._in_flight.pop(request_id, None)
        if job is None:
            return False
        error = self.heed(status, headers, body, job.instrument, ts)
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
        elif job.market.holding:
            _log.info("snapshot too old instrument=%s", job.instrument.name)
            self._fail(job, ts, keep=True)
        else:
            # Held deltas had a hole: start again with what comes now.
            self._fail(job, ts)

    def _refuse(self, job: _Job, error: FastfeedError, ts: int) -> None:
        _log.warning("snapshot failed instrument=%s error=%s", job.instrument.name, error)
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

    def _read_used_weight(self, headers: Mapping[str, str], ts: int) -> None:
        wanted = (self._venue.USED_WEIGHT_HEADER or "").lower()
        for key, value in headers.items():
            if wanted and key.lower() == wanted and value.isdigit():
                self.budget.correct(int(value), ts)

    @property
    def status(self) -> dict[str, Any]:
        """What is waiting, for logs and status commands."""
        return {"wanted": len(self._jobs), "in_flight": len(self._in_flight)}

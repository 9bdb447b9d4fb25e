"""REST calls of one product: whether one may be made now, and what its reply says of the next ones.

Sans-I/O. Every call asks its door, and every reply passes here before anybody reads its body. Times are ns since the
epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from fastfeed.errors import FastfeedError, RateLimited
from fastfeed.pause import SECOND, retry_after
from fastfeed.places import Door
from fastfeed.venues.spec import Call, Venue

__all__ = ["REPLY_WITHIN_S", "Calls", "Request"]

REPLY_WITHIN_S = 20
_DIGITS = 10  # of a weight: longer ones are none


class Request(msgspec.Struct, frozen=True):
    """An HTTP request that the caller is asked to make."""

    id: int
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Calls:
    """The calls of one product.

    Parameters
    ----------
    rest : base URL
    door : what all who talk to that base share
    next_id : gives ids of requests, unique in the venue's machine
    """

    def __init__(self, venue: Venue, rest: str, door: Door, next_id: Callable[[], int]) -> None:
        self._venue = venue
        self._rest = rest
        self._door = door
        self._next_id = next_id
        self._asked: dict[int, tuple[int, str | None]] = {}  # when, and for which instrument

    def ask(self, call: Call, instrument: str | None, ts: int, share: float = 1.0) -> Request | None:
        """Return the request that makes a call; None if it may not be made now.

        Parameters
        ----------
        share : of the budget that may be spent then
        """
        if not self._door.may_call(call.weight, ts, share):
            return None
        number = self._next_id()
        self._asked[number] = ts, instrument
        return Request(number, "GET", self._rest + call.path, {})

    def heed(
        self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, ts: int
    ) -> tuple[bool, FastfeedError | None]:
        """Take what a reply says of the host and its budget, whoever still waits for it.

        Returns whether the request was one of these, and what a status other than 200 means; 0: it could not be made.
        """
        asked = self._asked.pop(request_id, None)
        if asked is None:
            return False, None
        return True, heed(self._venue, self._door, asked[1], status, headers, body, ts)

    def advance(self, ts: int) -> None:
        """Time has passed: a call that is not answered has failed."""
        for number, (began, _) in list(self._asked.items()):
            if ts - began > REPLY_WITHIN_S * SECOND:
                del self._asked[number]
                self._door.breaker.failed(ts)


def heed(
    venue: Venue, door: Door, instrument: str | None, status: int, headers: Mapping[str, str], body: bytes, ts: int
) -> FastfeedError | None:
    """Tell a door what a reply says of the next calls; return what a status other than 200 means."""
    door.answered(status, ts)
    lowered = {key.lower(): value.strip() for key, value in headers.items()}
    used = lowered.get((venue.USED_WEIGHT_HEADER or "").lower(), "")
    if used.isascii() and used.isdigit() and len(used) < _DIGITS:
        door.budget.correct(int(used), ts)
    if status == 200:
        return None
    error = venue.read_rest_error(status, headers, body, instrument, ts)
    seconds = retry_after(lowered.get("retry-after", ""), ts)
    if seconds is None and isinstance(error, RateLimited):
        seconds = error.retry_after_s
    if seconds is not None:
        door.block(seconds, ts, isinstance(error, RateLimited) and error.banned)
    return error

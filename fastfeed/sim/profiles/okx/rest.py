"""OKX's public REST: listing, books, tickers, time, and how often each may be asked.

Limits count in a sliding window of 2 seconds for each address and call; beyond it a call is answered with 429.
Source: okx.com/docs-v5, "Rate limits", "Get instruments", "Get underlying", "Get order book" and "Get system time"
(2026-07).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.okx.products import FUTURES, OPTION, SWAP, TYPES

WINDOW_NS = 2 * SECOND

_JSON = {"Content-Type": "application/json"}


class Book(NamedTuple):
    """A book for REST: its levels as JSON, when it was made, ms, and its number."""

    sides: str
    ts: int
    sequence: int


class BookSource(Protocol):
    """Where REST finds what it answers."""

    def listing(self, now: int) -> list[dict[str, Any]]:
        """Return the rows of all instruments."""

    def book(self, symbol: str, limit: int, is_old: bool) -> Book | None:
        """Return a book of now, or an old one; None for an unknown symbol."""


class ApiError(Exception):
    """A call that is answered with an error body."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Rest:
    """The REST endpoint, for one client address."""

    def __init__(self, source: BookSource) -> None:
        self._source = source
        self._recent: dict[str, deque[int]] = {}
        # Each with its calls in two seconds.
        self._calls: dict[str, tuple[int, Callable[[Request, int], str]]] = {
            "/api/v5/public/time": (10, lambda request, now: f'{{"ts":"{now // 1_000_000}"}}'),
            "/api/v5/public/instruments": (20, self._listing),
            "/api/v5/public/underlying": (20, self._underlyings),
            "/api/v5/market/books": (40, lambda request, now: self._book(request, 400)),
            "/api/v5/market/books-full": (10, lambda request, now: self._book(request, 5000)),
        }

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call, or refuse it for its rate."""
        if request.path not in self._calls or request.method != "GET":
            return Reply(404, b'{"code":"404","data":[],"msg":"404 Not Found"}', _JSON)
        limit, call = self._calls[request.path]
        try:
            # There is no ban: whoever goes on is refused for as long.
            if request.fault in ("429", "418") or self._is_too_fast(self._bucket(request), limit, now):
                raise ApiError(50011, "Too Many Requests", 429)
            data = call(request, now)
        except ApiError as error:
            body = json.dumps({"code": str(error.code), "msg": str(error), "data": []}, separators=(",", ":"))
            return Reply(error.status, body.encode(), _JSON)
        return Reply(200, f'{{"code":"0","msg":"","data":[{data}]}}'.encode(), _JSON)

    def _bucket(self, request: Request) -> str:
        return request.path + request.query.get("instType", "") if "instruments" in request.path else request.path

    def _is_too_fast(self, bucket: str, limit: int, now: int) -> bool:
        recent = self._recent.setdefault(bucket, deque())
        while recent and recent[0] <= now - WINDOW_NS:
            recent.popleft()
        if len(recent) >= limit:
            return True
        recent.append(now)
        return False

    def _underlyings(self, request: Request, now: int) -> str:
        kind = _type(request, (SWAP, FUTURES, OPTION))
        names = {row["uly"]: None for row in self._source.listing(now) if row["instType"] == kind and row["uly"]}
        return json.dumps(list(names), separators=(",", ":"))

    def _listing(self, request: Request, now: int) -> str:
        query = request.query
        kind = _type(request, (*TYPES, "MARGIN", "EVENTS"))
        family = query.get("instFamily") or query.get("uly")
        if kind == OPTION and not family:
            raise ApiError(50015, "Either parameter uly or instFamily is required.")
        rows = [row for row in self._source.listing(now) if row["instType"] == kind]
        if family:
            rows = [row for row in rows if family in (row["instFamily"], row["uly"])]
        if symbol := query.get("instId"):
            rows = [row for row in rows if row["instId"] == symbol]
            if not rows:
                raise ApiError(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 200)
        return json.dumps(rows, separators=(",", ":"))[1:-1]

    def _book(self, request: Request, greatest: int) -> str:
        symbol, size = request.query.get("instId", ""), request.query.get("sz", "1")
        if not symbol:
            raise ApiError(50014, "Parameter instId cannot be empty.")
        if not size.isdecimal() or not 1 <= int(size) <= greatest:
            raise ApiError(51000, "Parameter sz error")
        book = self._source.book(symbol, int(size), request.fault == "old_snapshot")
        if book is None:
            raise ApiError(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 200)
        # The number is there for who asks for the matching engine's own book.
        sequence = f',"seqId":{book.sequence}' if request.query.get("source") == "0" else ""
        return f'{{{book.sides},"ts":"{book.ts}"{sequence}}}'


def _type(request: Request, known: tuple[str, ...]) -> str:
    kind = request.query.get("instType", "")
    if not kind:
        raise ApiError(50014, "Parameter instType cannot be empty.")
    if kind not in known:
        raise ApiError(51000, "Parameter instType error")
    return kind

"""Bitstamp's public REST: listing, books, tickers, funding rates, and what is refused.

Source: www.bitstamp.net/api, "Market info", "Order book", "Tickers", "Derivatives", "Request limits" (2026-09). There
is no call for the time: the header `Date` has it. Which status a call gets that is refused for its rate is not
documented; its response code begins with 400. Errors come in several shapes, as the venue's hosts differ.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Protocol

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.market import SECOND

PREFIX = "/api/v2/"
PER_SECOND, PER_TEN_MINUTES = 400, 10_000
CACHE_NS = SECOND

_NOT_FOUND = (
    b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n"
)
_FORBIDDEN = b"<html><head><title>Access denied</title></head><body>Error code 15</body></html>"
_TOO_MANY = "Request rejected due to exceeded rate limit"


class BookSource(Protocol):
    """Where REST finds what it answers."""

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of `/markets/`."""

    def book(self, symbol: str, group: str, is_old: bool) -> str | None:
        """Return the body of a book, of now or an old one; None for an unknown market."""

    def tickers(self, now: int) -> dict[str, dict[str, Any]]:
        """Return the ticker of each market that has one, by symbol."""

    def funding(self, symbol: str, now: int) -> dict[str, Any] | None:
        """Return the funding rate of a perpetual, None for others."""


class Rest:
    """The REST endpoint, for one client address."""

    def __init__(self, source: BookSource) -> None:
        self._source = source
        self._recent: deque[int] = deque()
        self._cache: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, str]] = {}

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call, or refuse it for its rate; the slash at the end and capital letters make no difference."""
        if request.fault == "429" or self._is_too_fast(now):
            code = {"code": "400.002", "response_code": "400.002", "response_explanation": _TOO_MANY}
            return _json(400, {"status": "error", "reason": _TOO_MANY, **code}, now)
        if request.fault == "418":
            return _html(403, _FORBIDDEN, now)
        path = request.path.lower()
        if not path.startswith(PREFIX) or request.method != "GET":
            return _html(404, _NOT_FOUND, now)
        call, _, symbol = path.removeprefix(PREFIX).strip("/").partition("/")
        match call:
            case "markets" if not symbol:
                return _json(200, self._source.listing(), now)
            case "order_book" if symbol:
                return self._book(symbol, request, now)
            case "ticker":
                tickers = self._source.tickers(now)
                # A market that does not exist is no error: all of them are the answer.
                return _json(200, tickers.get(symbol) or list(tickers.values()), now)
            case "funding_rate" if symbol:
                funding = self._source.funding(symbol, now)
                return _reply(404, b"", now) if funding is None else _json(200, funding, now)
        return _json(404, {"message": "Not found."}, now)

    def _book(self, symbol: str, request: Request, now: int) -> Reply:
        """Answer with a book; the same request is answered from a cache for about a second."""
        is_old = request.fault == "old_snapshot"
        key = (symbol, tuple(sorted(request.query.items())))
        made_at, body = self._cache.get(key, (0, ""))
        if is_old or now - made_at >= CACHE_NS:
            book = self._source.book(symbol, request.query.get("group", "1"), is_old)
            if book is None:
                return _html(404, _NOT_FOUND, now)
            body = book
            if not is_old:
                self._cache[key] = (now, body)
        return _reply(200, body.encode(), now)

    def _is_too_fast(self, now: int) -> bool:
        recent = self._recent
        while recent and recent[0] <= now - 600 * SECOND:
            recent.popleft()
        in_second = sum(1 for ts in list(recent)[-PER_SECOND:] if ts > now - SECOND)
        if in_second >= PER_SECOND or len(recent) >= PER_TEN_MINUTES:
            return True
        recent.append(now)
        return False


def _json(status: int, body: Any, now: int) -> Reply:
    return _reply(status, json.dumps(body, separators=(", ", ": ")).encode(), now)


def _html(status: int, body: bytes, now: int) -> Reply:
    return _reply(status, body, now, {"Content-Type": "text/html"})


def _reply(status: int, body: bytes, now: int, headers: Mapping[str, str] | None = None) -> Reply:
    date = formatdate(now // SECOND, usegmt=True)
    return Reply(status, body, {"Content-Type": "application/json", "Date": date, **(headers or {})})

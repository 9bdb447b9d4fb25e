"""Bybit's public REST: listing, books and time, for one client address.

Sources: bybit-exchange.github.io/docs/v5, "Rate Limit Rules" (600 requests in 5 s; then HTTP 403 for ten minutes, and
`retCode` 10006 in HTTP 200 for the limits of an endpoint), "Get Instruments Info", "Get Orderbook", "Get Bybit Server
Time" and "Error Codes" (2026-07).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.market import SECOND, Instrument
from fastfeed.sim.profiles.bybit.products import LINEAR, OPTION, PRODUCTS, SPOT, Product, listed

MAX_REQUESTS, WINDOW_NS, BAN_NS = 600, 5 * SECOND, 600 * SECOND
DEFAULT_PAGE, MAX_PAGE = 500, 1000

# An injected ban is over soon, so that a client under test goes on.
INJECTED_BAN_NS = 2 * SECOND


class RestBook(NamedTuple):
    """A book for REST, its levels as JSON and cut; `cts` in ns."""

    update_id: int
    sequence: int
    cts: int
    bids: str
    asks: str


class BookSource(Protocol):
    """Where REST finds what it answers of one product."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Return what is listed."""

    def book(self, symbol: str, limit: int, is_old: bool) -> RestBook | None:
        """Return the book of now, or an old one; None for an unknown symbol."""


class ApiError(Exception):
    """A call that is answered with `retCode` other than 0, in HTTP 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rest:
    """The one host of all products."""

    def __init__(self, sources: Mapping[str, BookSource]) -> None:
        self._sources = sources
        self._recent: deque[int] = deque()
        self._banned_until = 0

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call, or refuse it for its rate."""
        if request.fault == "418":
            self._banned_until = now + INJECTED_BAN_NS
        if self._is_banned(now):
            return Reply(403, b"403, access too frequent", {"Content-Type": "text/plain"})
        limit = {"X-Bapi-Limit": "600", "X-Bapi-Limit-Status": str(MAX_REQUESTS - len(self._recent))}
        limit["X-Bapi-Limit-Reset-Timestamp"] = str(now // 1_000_000)
        if request.fault == "429":
            error = ApiError(10006, "Too many visits!")
            limit["X-Bapi-Limit-Status"] = "0"
            limit["X-Bapi-Limit-Reset-Timestamp"] = str(now // 1_000_000 + 1000)
            return _reply(error.code, str(error), "{}", now, limit)
        calls = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._listing,
            "/v5/market/orderbook": self._book,
        }
        call = calls.get(request.path)
        if call is None or request.method != "GET":
            return Reply(404, b"404 page not found", {"Content-Type": "text/plain"})
        try:
            return _reply(0, "OK", call(request, now), now, limit)
        except ApiError as error:
            return _reply(error.code, str(error), "{}", now, limit)

    def _is_banned(self, now: int) -> bool:
        if now < self._banned_until:
            return True
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - WINDOW_NS:
            recent.popleft()
        if len(recent) > MAX_REQUESTS:
            recent.clear()
            self._banned_until = now + BAN_NS
        return now < self._banned_until

    def _time(self, request: Request, now: int) -> str:
        return f'{{"timeSecond":"{now // SECOND}","timeNano":"{now}"}}'

    def _listing(self, request: Request, now: int) -> str:
        query = request.query
        product = _product(query)
        rows = list(self._sources[product.name].instruments) if product.name in self._sources else []
        if "symbol" in query:
            rows = [row for row in rows if row.symbol == query["symbol"]]
        base = query.get("baseCoin", "BTC" if product is OPTION and "symbol" not in query else "")
        if base and product is not SPOT:
            rows = [row for row in rows if row.base == base]
        # All that is listed is trading: a filter for anything else finds nothing.
        if query.get("status", "Trading") != "Trading":
            rows = []
        if product is SPOT:
            return _dump({"category": product.name, "list": [listed(product, row) for row in rows]})
        start, stop = _page(query)
        page = rows[start:stop]
        # The cursor is opaque, and percent-encoded already.
        cursor = quote(f"first={page[0].symbol}&last={stop}", safe="") if stop < len(rows) else ""
        entries = [listed(product, row) for row in page]
        return _dump({"category": product.name, "list": entries, "nextPageCursor": cursor})

    def _book(self, request: Request, now: int) -> str:
        product = _product(request.query)
        symbol = request.query.get("symbol", "")
        limit = _limit(request.query, product.default_limit, product.book_limit)
        source = self._sources.get(product.name)
        book = source.book(symbol, limit, request.fault == "old_snapshot") if source else None
        if book is None:
            raise ApiError(10001, f"params error: symbol invalid {symbol}")
        return (
            f'{{"s":"{symbol}","b":{book.bids},"a":{book.asks},"ts":{now // 1_000_000},"u":{book.update_id},'
            f'"seq":{book.sequence},"cts":{book.cts // 1_000_000}}}'
        )


def _product(query: Mapping[str, str]) -> Product:
    category = query.get("category", LINEAR.name)
    if category not in PRODUCTS or "category" not in query:
        raise ApiError(10001, "params error: category invalid")
    return PRODUCTS[category]


def _limit(query: Mapping[str, str], default: int, most: int) -> int:
    text = query.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ApiError(10001, "params error: limit invalid")
    return int(text)


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    """Return the first row of a page and the one after its last."""
    limit = _limit(query, DEFAULT_PAGE, MAX_PAGE)
    if not query.get("cursor"):
        return 0, limit
    # Clients send the cursor as they got it, or encoded once more.
    start = query["cursor"].replace("%3D", "=").rpartition("last=")[2]
    if not start.isdecimal():
        raise ApiError(10001, "params error: cursor invalid")
    return int(start), int(start) + limit


def _reply(code: int, message: str, result: str, now: int, headers: Mapping[str, str]) -> Reply:
    envelope = (
        f'{{"retCode":{code},"retMsg":"{message}","result":{result},"retExtInfo":{{}},"time":{now // 1_000_000}}}'
    )
    return Reply(200, envelope.encode(), {"Content-Type": "application/json; charset=utf-8", **headers})


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

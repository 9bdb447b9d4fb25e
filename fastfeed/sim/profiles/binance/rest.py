"""Binance's public REST: listing, books, time, and the weight that every call costs.

Weights count in windows of a minute of the clock. Beyond the limit a call is answered with 429 and, when the client
goes on, with 418 and a ban. Source: developers.binance.com, "General API Information" and "Limits" (2026-07).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.binance.products import MINUTE, SPOT, Product

BAN_NS = 2 * MINUTE
REFUSALS_BEFORE_BAN = 5

# An injected refusal is over soon, so that a client under test goes on.
INJECTED_429_S = 1
INJECTED_418_S = 2


class Depth(NamedTuple):
    """A book for REST, its levels as JSON; `ts` is when it was last changed, ms."""

    sequence: int
    ts: int
    bids: str
    asks: str


class BookSource(Protocol):
    """Where REST finds what it answers."""

    def listing(self, now: int) -> dict[str, Any]:
        """Return the body of `exchangeInfo`."""

    def depth(self, symbol: str, limit: int, is_old: bool) -> Depth | None:
        """Return a book of now, or an old one; None for an unknown symbol."""


class ApiError(Exception):
    """A call that is answered with an error body."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Rest:
    """The REST endpoint of one product, for one client address."""

    def __init__(self, product: Product, source: BookSource) -> None:
        self._product = product
        self._source = source
        self._minute = 0
        self._used = 0
        self._refused = 0
        self._banned_until = 0
        prefix = product.prefix
        self._calls: dict[str, Callable[[Request, int], Any]] = {
            f"{prefix}/ping": lambda request, now: {},
            f"{prefix}/time": lambda request, now: {"serverTime": now // 1_000_000},
            f"{prefix}/exchangeInfo": self._listing,
            f"{prefix}/depth": self._depth,
        }

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call, or refuse it for its weight."""
        if request.fault == "429":
            return self._too_many(INJECTED_429_S)
        if request.fault == "418":
            return self._ban(now + INJECTED_418_S * SECOND, now)
        call = self._calls.get(request.path)
        if call is None or request.method != "GET":
            return Reply(404, b"<html><body><h2>404 Not found</h2></body></html>", {"Content-Type": "text/html"})
        refusal = self._charge(self._weight(request), now)
        if refusal is not None:
            return refusal
        try:
            return self._reply(200, call(request, now))
        except ApiError as error:
            return self._reply(error.status, {"code": error.code, "msg": str(error)})

    def _weight(self, request: Request) -> int:
        match request.path.rpartition("/")[2]:
            case "exchangeInfo":
                return self._product.listing_weight
            case "depth":
                weights = self._product.depth_weights
                text = request.query.get("limit", str(self._product.default_depth_limit))
                limit = int(text) if text.isdecimal() else 0
                return next((weight for greatest, weight in weights if limit <= greatest), weights[-1][1])
        return 1

    def _charge(self, weight: int, now: int) -> Reply | None:
        if now < self._banned_until:
            return self._ban(self._banned_until, now)
        if now // MINUTE != self._minute:
            self._minute, self._used, self._refused = now // MINUTE, 0, 0
        self._used += weight
        if self._used <= self._product.weight_limit:
            return None
        self._refused += 1
        if self._refused > REFUSALS_BEFORE_BAN:
            self._banned_until = now + BAN_NS
            return self._ban(self._banned_until, now)
        return self._too_many(_seconds(MINUTE - now % MINUTE))

    def _too_many(self, retry_after: int) -> Reply:
        message = (
            f"Too much request weight used; current limit is {self._product.weight_limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return self._reply(429, {"code": -1003, "msg": message}, {"Retry-After": str(retry_after)})

    def _ban(self, until: int, now: int) -> Reply:
        message = (
            f"Way too much request weight used; IP banned until {until // 1_000_000}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return self._reply(418, {"code": -1003, "msg": message}, {"Retry-After": str(_seconds(until - now))})

    def _reply(self, status: int, body: Any, extra: Mapping[str, str] | None = None) -> Reply:
        headers = {"Content-Type": "application/json", "X-MBX-USED-WEIGHT-1M": str(self._used), **(extra or {})}
        text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        return Reply(status, text.encode(), headers)

    def _listing(self, request: Request, now: int) -> Any:
        body = self._source.listing(now)
        wanted = _wanted_symbols(request.query) if self._product is SPOT else None
        if wanted is None:
            return body
        symbols = {row["symbol"]: row for row in body["symbols"]}
        if not wanted <= symbols.keys():
            raise ApiError(-1121, "Invalid symbol.")
        return {**body, "symbols": [row for symbol, row in symbols.items() if symbol in wanted]}

    def _depth(self, request: Request, now: int) -> str:
        symbol = request.query.get("symbol", "")
        if not symbol:
            raise ApiError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        depth = self._source.depth(symbol, self._limit(request.query), request.fault == "old_snapshot")
        if depth is None:
            raise ApiError(-1121, "Invalid symbol.")
        times = "" if self._product is SPOT else f'"E":{max(now // 1_000_000, depth.ts)},"T":{depth.ts},'
        return f'{{"lastUpdateId":{depth.sequence},{times}"bids":{depth.bids},"asks":{depth.asks}}}'

    def _limit(self, query: Mapping[str, str]) -> int:
        text = query.get("limit")
        if text is None:
            return self._product.default_depth_limit
        if not re.fullmatch("[0-9]{1,20}", text):
            raise ApiError(-1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.")
        limit = int(text)
        greatest = [entry[0] for entry in self._product.depth_weights]
        if self._product.exact_depth_limits and limit not in greatest:
            raise ApiError(-4021, f"{limit} is not valid depth limit.")
        if limit < 1:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, greatest[-1])


def _wanted_symbols(query: Mapping[str, str]) -> set[str] | None:
    """Return the symbols of `symbol=A` or `symbols=["A","B"]`, None for all."""
    if "symbol" in query:
        return {query["symbol"]}
    if "symbols" not in query:
        return None
    try:
        symbols = json.loads(query["symbols"])
    except json.JSONDecodeError:
        symbols = None
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.")
    return set(symbols)


def _seconds(ns: int) -> int:
    return max(1, -(-ns // SECOND))

"""Kraken Futures' public REST below /derivatives/api/v3: listing, tickers, books, trades.

Every body has `result` and `serverTime`; errors come with HTTP 200. Public calls cost nothing, but may be refused.
A book has no sequence: it can be looked at, not followed. Source: docs.kraken.com, "Futures REST" (2026).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.profiles.krakenfutures.products import iso

PREFIX = "/derivatives/api/v3/"


class RestSource(Protocol):
    """Where REST finds what it answers; a symbol is one that `symbol` returned."""

    def symbol(self, product_id: str) -> str | None:
        """Return the symbol that a client names in any case; None if there is none."""

    def listing(self) -> list[dict[str, Any]]:
        """Return the entries of `instruments`."""

    def book(self, symbol: str, is_old: bool) -> tuple[str, str]:
        """Return the levels of a side as JSON, [[34892.5,6385],..], bids and asks."""

    def ticker(self, symbol: str, now: int) -> dict[str, Any]:
        """Return the last message of the feed `ticker`, or of `ticker_lite`."""

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        """Return the last trades as the feed `trade` has them, newest first."""


class ApiError(Exception):
    """A call that is answered with an error body."""


class Rest:
    """The REST endpoint."""

    def __init__(self, source: RestSource) -> None:
        self._source = source
        self._calls: dict[str, Callable[[Request, int], str]] = {
            "instruments": self._instruments,
            "tickers": self._tickers,
            "orderbook": self._book,
            "history": self._history,
        }

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call at `now`, or with the fault that it carries."""
        if request.fault == "429":
            return _refusal("apiLimitExceeded", now)
        if request.fault == "418":
            # This venue bans nobody that its documents know of: it is out of service for a moment.
            return _refusal("Unavailable", now, 503)
        call = self._calls.get(request.path.removeprefix(PREFIX))
        if call is None or request.method != "GET" or not request.path.startswith(PREFIX):
            return _refusal("notFound", now, 404)
        try:
            body = f'{{"result":"success",{call(request, now)},"serverTime":"{iso(now)}"}}'
        except ApiError as error:
            return _refusal(str(error), now)
        return Reply(200, body.encode(), {"Content-Type": "application/json"})

    def _instruments(self, request: Request, now: int) -> str:
        kinds = request.query.get("contractType", "").split(",")
        rows = [row for row in self._source.listing() if kinds == [""] or row["type"] in kinds]
        return f'"instruments":{_dump(rows)}'

    def _tickers(self, request: Request, now: int) -> str:
        wanted = request.query.get("symbol")
        symbols = [self._symbol(wanted)] if wanted else [row["symbol"] for row in self._source.listing()]
        return f'"tickers":{_dump([_ticker(self._source.ticker(symbol, now)) for symbol in symbols])}'

    def _book(self, request: Request, now: int) -> str:
        symbol = self._symbol(request.query.get("symbol", ""))
        bids, asks = self._source.book(symbol, request.fault == "old_snapshot")
        return f'"orderBook":{{"bids":{bids},"asks":{asks}}}'

    def _history(self, request: Request, now: int) -> str:
        trades = self._source.trades(self._symbol(request.query.get("symbol", "")))
        rows = [
            {
                "time": iso(trade["time"] * 1_000_000),
                "trade_id": trade["seq"],
                "price": trade["price"],
                "size": trade["qty"],
                "side": trade["side"],
                "type": trade["type"],
                "uid": trade["uid"],
            }
            for trade in trades
        ]
        return f'"history":{_dump(rows)}'

    def _symbol(self, text: str) -> str:
        if not text:
            raise ApiError("requiredArgumentMissing")
        symbol = self._source.symbol(text)
        if symbol is None:
            raise ApiError("invalidArgument")
        return symbol


# REST has other names than the feed for the same figures.
_RENAMED = {
    "last": "last", "tag": "tag", "pair": "pair", "markPrice": "markPrice", "bid": "bid", "bid_size": "bidSize",
    "ask": "ask", "ask_size": "askSize", "volume": "vol24h", "volumeQuote": "volumeQuote",
    "openInterest": "openInterest", "open": "open24h", "high": "high24h", "low": "low24h", "change": "change24h",
    "funding_rate": "fundingRate", "funding_rate_prediction": "fundingRatePrediction", "index": "indexPrice",
    "suspended": "suspended", "post_only": "postOnly",
}  # fmt: skip


def _ticker(message: dict[str, Any]) -> dict[str, Any]:
    return {"symbol": message["product_id"]} | {_RENAMED[key]: message[key] for key in message if key in _RENAMED}


def _refusal(error: str, now: int, status: int = 200) -> Reply:
    body = {"result": "error", "serverTime": iso(now), "error": error}
    return Reply(status, _dump(body).encode(), {"Content-Type": "application/json"})


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

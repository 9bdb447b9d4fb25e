"""Deribit's JSON-RPC: envelopes, errors, credits, and the public methods that REST and WebSocket share.

Source: docs.deribit.com, "JSON-RPC Overview", "Rate Limits" and "RPC Error Codes" (2026-07).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.deribit.products import CURRENCIES, KINDS

BOOK_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
DEFAULT_BOOK_DEPTH = 5

VERSION = "1.2.26"


class RpcError(Exception):
    """A call that is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Raw(str):
    """A result that is JSON already."""

    __slots__ = ()


class BookSource(Protocol):
    """Where the methods find what they answer."""

    def listing(self) -> list[dict[str, Any]]:
        """Return the rows of `get_instruments`."""

    def order_book(self, symbol: str, depth: int, is_old: bool, now: int) -> str | None:
        """Return ticker and book of now, or of the start, as JSON; None for an unknown instrument."""


class Credits:
    """A pool of credits that fills up again; a call takes `cost` of it.

    Parameters
    ----------
    refill : credits a second.
    """

    def __init__(self, pool: int, cost: int, refill: int, now: int) -> None:
        self._pool = pool * SECOND
        self._cost = cost * SECOND
        self._refill = refill
        self._left = self._pool
        self._at = now

    def take(self, now: int) -> None:
        """Pay for a call; RpcError 10028 if too little is left."""
        self._left = min(self._pool, self._left + (now - self._at) * self._refill)
        self._at = now
        if self._left < self._cost:
            raise too_many_requests()
        self._left -= self._cost


class Pools:
    """The credits of one client's connections.

    The venue counts calls by subaccount, and those without a login by address, of which it does not say how many it
    takes. Here the pools are those of subaccounts for both.
    """

    def __init__(self) -> None:
        self._calls = Credits(50_000, 500, 10_000, 0)
        self._subscriptions = Credits(30_000, 3_000, 10_000, 0)
        self._listings = Credits(50_000, 10_000, 1_000, 0)

    def take(self, method: str, now: int) -> None:
        """Pay for a call of a method, without its scope; RpcError 10028 if too little is left."""
        pool = self._listings if method == "get_instruments" else self._calls
        (self._subscriptions if "subscribe" in method else pool).take(now)


def too_many_requests() -> RpcError:
    """Return the refusal of a call that came too soon."""
    return RpcError(10028, "too_many_requests")


def invalid(param: str, reason: str) -> RpcError:
    """Return the refusal of a parameter."""
    return RpcError(-32602, "Invalid params", {"reason": reason, "param": param})


def envelope(answer: Any, request_id: Any, now: int) -> bytes:
    """Return the reply to a call, with its id if it had one.

    {"jsonrpc":"2.0","id":7,"result":..,"usIn":1,"usOut":2,"usDiff":1,"testnet":false}, or "error" with code and message
    """
    head = '"jsonrpc":"2.0"' + ("" if request_id is None else f',"id":{_dump(request_id)}')
    if isinstance(answer, RpcError):
        error: dict[str, Any] = {"message": str(answer)}
        if answer.data is not None:
            error["data"] = answer.data
        body = f'"error":{_dump({**error, "code": answer.code})}'
    else:
        body = f'"result":{answer if isinstance(answer, Raw) else _dump(answer)}'
    us = now // 1_000
    return f'{{{head},{body},"usIn":{us},"usOut":{us + 87},"usDiff":87,"testnet":false}}'.encode()


class Methods:
    """The public methods that need no session."""

    def __init__(self, source: BookSource) -> None:
        self._source = source
        self._methods: dict[str, Callable[[Mapping[str, Any], int, bool], Any]] = {
            "public/test": lambda params, now, is_old: {"version": VERSION},
            "public/get_time": lambda params, now, is_old: now // 1_000_000,
            "public/status": lambda params, now, is_old: {"locked": "false", "locked_indices": []},
            "public/get_currencies": self._currencies,
            "public/get_instruments": self._instruments,
            "public/get_instrument": self._instrument,
            "public/get_order_book": self._order_book,
            "public/ticker": self._ticker,
        }

    def call(self, method: str, params: Mapping[str, Any], now: int, *, is_old: bool = False) -> Any:
        """Return the result of a method; `is_old` asks for a book of the past.

        Raises
        ------
        RpcError : the call is refused.
        """
        call = self._methods.get(method)
        if call is None:
            raise RpcError(-32601, "Method not found")
        return call(params, now, is_old)

    def _currencies(self, params: Mapping[str, Any], now: int, is_old: bool) -> Any:
        codes = sorted({row["base_currency"] for row in self._source.listing()} | {"USDC"})
        return [{"currency": code, "currency_long": code, "coin_type": code, "fee_precision": 4} for code in codes]

    def _instruments(self, params: Mapping[str, Any], now: int, is_old: bool) -> Any:
        """Without a currency it answers as with `any`, which clients in the wild rely on."""
        currency, kind = params.get("currency", "any"), params.get("kind", "any")
        if currency not in CURRENCIES:
            raise invalid("currency", "invalid currency")
        if kind not in KINDS:
            raise invalid("kind", "invalid kind")
        if str(params.get("expired", "false")).lower() == "true":
            return []
        rows = self._source.listing()
        return [row for row in rows if kind in ("any", row["kind"]) and (currency == "any" or currency in _coins(row))]

    def _instrument(self, params: Mapping[str, Any], now: int, is_old: bool) -> Any:
        name = params.get("instrument_name")
        for row in self._source.listing():
            if row["instrument_name"] == name:
                return row
        raise invalid("instrument_name", "instrument not found")

    def _order_book(self, params: Mapping[str, Any], now: int, is_old: bool) -> Any:
        try:
            depth = int(params.get("depth", DEFAULT_BOOK_DEPTH))
        except (TypeError, ValueError):
            depth = 0
        if depth not in BOOK_DEPTHS:
            raise invalid("depth", "value is not in the allowed list")
        return self._shown(params, depth, is_old, now)

    def _ticker(self, params: Mapping[str, Any], now: int, is_old: bool) -> Any:
        shown = json.loads(self._shown(params, 1, is_old, now))
        return {field: value for field, value in shown.items() if field not in ("bids", "asks", "change_id")}

    def _shown(self, params: Mapping[str, Any], depth: int, is_old: bool, now: int) -> Raw:
        text = self._source.order_book(str(params.get("instrument_name")), depth, is_old, now)
        if text is None:
            raise invalid("instrument_name", "instrument not found")
        return Raw(text)


def _coins(row: Mapping[str, Any]) -> set[str]:
    """Return the currencies by which an instrument is found: what it settles in, or a spot pair's two."""
    settle = row.get("settlement_currency")
    return {settle} if settle else {row["base_currency"], row["quote_currency"]}


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

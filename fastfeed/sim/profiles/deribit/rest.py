"""Deribit's HTTP: the public methods by GET, or as JSON-RPC in the body of a POST, for one client address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastfeed.sim.interface import Reply, Request
from fastfeed.sim.profiles.deribit.rpc import Credits, Methods, RpcError, envelope, too_many_requests

PREFIX = "/api/v2"


class Rest:
    """The HTTP endpoint; over its limits, as when a fault says so, it answers 429 with error 10028."""

    def __init__(self, methods: Methods, now: int) -> None:
        self._methods = methods
        self._credits = Credits(50_000, 500, 10_000, now)
        self._listing_credits = Credits(500_000, 10_000, 10_000, now)

    def answer(self, request: Request, now: int) -> Reply:
        """Answer a call. A ban, which this venue does not have, is its closing of unauthenticated methods."""
        request_id: Any = None
        try:
            method, params, request_id = _parse(request)
            if request.fault == "429":
                raise too_many_requests()
            if request.fault == "418":
                raise RpcError(11056, "unauthenticated_public_requests_temporarily_disabled")
            (self._listing_credits if method == "public/get_instruments" else self._credits).take(now)
            if method.startswith("private/"):
                raise RpcError(13009, "unauthorized", {"reason": "invalid_token"})
            answer = self._methods.call(method, params, now, is_old=request.fault == "old_snapshot")
            status = 200
        except RpcError as error:
            answer, status = error, {10028: 429, 13009: 401}.get(error.code, 400)
        return Reply(status, envelope(answer, request_id, now), {"Content-Type": "application/json"})


def _parse(request: Request) -> tuple[str, Mapping[str, Any], Any]:
    """Return method, parameters and id of a call."""
    method = request.path.removeprefix(PREFIX).strip("/")
    if not request.path.startswith(PREFIX):
        raise RpcError(-32601, "Method not found")
    if request.method == "GET":
        return method, request.query, None
    try:
        body = json.loads(request.body)
    except ValueError:
        raise RpcError(11050, "bad_request", "invalid json") from None
    if not isinstance(body, dict) or not isinstance(body.get("params", {}), dict):
        raise RpcError(-32600, "Invalid Request")
    return str(body.get("method", method)), body.get("params", {}), body.get("id")

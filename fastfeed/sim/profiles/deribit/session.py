"""One client's WebSocket connection to Deribit: calls, subscriptions, heartbeats, limits.

Source: docs.deribit.com, "JSON-RPC Overview", "Notifications", "Connection Management", "Rate Limits" and
"Authentication" (2026-07). Times of heartbeats and of the idle close were measured in September 2026: the documentation
has none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Set
from random import Random
from typing import Any

from fastfeed.sim.frames import Abort, Close, Frame, Output, Pong
from fastfeed.sim.interface import Knobs, Publication
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.deribit.rpc import VERSION, Methods, Pools, RpcError, envelope, invalid
from fastfeed.sim.profiles.deribit.streams import ENDPOINT, Source

PATH = "/ws/api/v2"
PLATFORM = "platform_state"

MAX_CHANNELS = 500
MAX_REQUEST_BYTES = 32_768
MIN_HEARTBEAT_S = 10

# With an interval of 10 s the first test_request came after 12.3 s, the others every 10.65 s.
FIRST_TEST_NS = 2_300_000_000
TEST_NS = 650_000_000
HEARTBEAT_TIMEOUT_S = 10.0
IDLE_NS = 60_500_000_000
HEARTBEAT_CLOSE, GOING_AWAY, POLICY_VIOLATION = 4000, 1001, 1008

# Whoever signs with these is logged in; they are those of the venue's own example.
CLIENT_ID, CLIENT_SECRET = "AMANDA", "AMANDASECRECT"
SIGNATURE_VALID_MS = 60_000


class DeribitSession:
    """State of one connection.

    Parameters
    ----------
    knobs : `ping_interval_s` replaces the interval of heartbeats that the client asked for.
    """

    endpoint = ENDPOINT

    def __init__(self, source: Source, methods: Methods, pools: Pools, knobs: Knobs, now: int) -> None:
        self.seen_at = now
        self._source = source
        self._methods = methods
        self._pools = pools
        self._knobs = knobs
        self._channels: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        self._topics: frozenset[str] = frozenset()
        self._rng = Random(f"{knobs.seed}/ack/{now}")
        self._is_authorized = False
        self._active_at = now
        self._ends_at = None if knobs.lifetime_s is None else now + round(knobs.lifetime_s * SECOND)
        self._timeout_ns = round((knobs.pong_timeout_s or HEARTBEAT_TIMEOUT_S) * SECOND)
        self._heartbeat_ns = 0
        self._next_test = 0
        self._next_beat = 0
        self._tested_at: int | None = None

    def topics(self) -> Set[str]:
        """Return the keys of the channels that it subscribed to."""
        return self._topics

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer a call; over its credits the venue answers once more and closes."""
        self._active_at = now
        request_id: Any = None
        outputs: list[Output] = []
        try:
            method, params, request_id = _parse(text)
            answer = self._execute(method, params, now, outputs)
        except RpcError as error:
            answer = error
        reply = Frame(envelope(answer, request_id, now))
        if isinstance(answer, RpcError) and answer.code == 10028:
            return [reply, Close(POLICY_VIOLATION, "too_many_requests")]
        # Replies may overtake data, and data replies.
        return [*outputs, reply] if self._rng.random() < self._knobs.late_ack else [reply, *outputs]

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping."""
        self._active_at = now
        return [Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong, which nobody asked for."""
        return []

    def tick(self, now: int) -> list[Output]:
        """Send heartbeats that are due; close a connection that does not answer them, is idle or too old."""
        self.seen_at = now
        if self._ends_at is not None and now >= self._ends_at:
            return [Close(GOING_AWAY)]
        if self._tested_at is not None and now - self._tested_at >= self._timeout_ns:
            return [Close(HEARTBEAT_CLOSE, "heartbeat close")]
        if not self._channels and now - self._active_at >= IDLE_NS:
            return [Abort()]
        if not self._heartbeat_ns:
            return []
        outputs: list[Output] = []
        if now >= self._next_beat:
            self._next_beat = now + self._heartbeat_ns
            outputs.append(_heartbeat("heartbeat"))
        if now >= self._next_test:
            self._next_test = now + self._heartbeat_ns + TEST_NS
            if self._tested_at is None:
                self._tested_at = now
            outputs.append(_heartbeat("test_request"))
        return outputs

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the notification under each channel by which this client asked for it."""
        names = self._names.get(publication.topic)
        if names is None:
            return []
        # On a busy connection only test requests come.
        self._next_beat = max(self._next_beat, self.seen_at + self._heartbeat_ns)
        return [Frame(notification(name, publication.data), name, publication.name) for name in names]

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether messages of all `topics` go out under these very names."""
        return all(self._names.get(topic) == [topic] for topic in topics)

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return the notice of maintenance, to those who subscribed to the state of the platform."""
        return [Frame(notification(PLATFORM, b'{"maintenance":true}'))] if PLATFORM in self._channels else []

    def _execute(self, method: str, params: Mapping[str, Any], now: int, outputs: list[Output]) -> Any:
        scope, _, name = method.partition("/")
        self._pools.take(name, now)
        if scope == "private" and not self._is_authorized:
            raise RpcError(13009, "unauthorized", {"reason": "invalid_token"})
        match name:
            case "subscribe":
                return self._subscribe(_channels(params), outputs)
            case "unsubscribe":
                return self._unsubscribe(_channels(params))
            case "unsubscribe_all":
                self._unsubscribe(list(self._channels))
                return "ok"
            case "set_heartbeat":
                return self._set_heartbeat(params, now)
            case "disable_heartbeat":
                self._heartbeat_ns, self._tested_at = 0, None
                return "ok"
            case "hello":
                return {"version": VERSION}
            case "auth":
                return self._authorize(params, now)
            case "logout" if scope == "private":
                outputs.append(Close(1000))
                return "ok"
            case "test":
                self._tested_at = None
        return self._methods.call(method, params, now)

    def _subscribe(self, channels: list[str], outputs: list[Output]) -> list[str]:
        """Add channels; what does not exist is left out without a word, what is there already has no new snapshot."""
        if not self._is_authorized and any(channel.endswith(".raw") for channel in channels):
            raise RpcError(13778, "raw_subscriptions_not_available_for_unauthorized")
        accepted = {}
        for channel in channels:
            keys = [PLATFORM] if channel == PLATFORM else self._source.resolve(channel)
            if keys:
                accepted[channel] = keys
        ordered = sorted(accepted, reverse=True)
        for channel in ordered:
            if channel not in self._channels:
                self._channels[channel] = accepted[channel]
                outputs += self._openings(channel)
        self._index()
        return ordered

    def _openings(self, channel: str) -> list[Frame]:
        if channel == PLATFORM:
            states = [b'{"price_index":"%b","locked":false}' % index.encode() for index in self._source.indices()]
            return [Frame(notification(channel, state)) for state in states]
        frames = []
        for key in self._channels[channel]:
            opening = self._source.opening(key)
            if opening is not None:
                stale = notification(channel, opening.stale) if opening.stale else b""
                frames.append(Frame(notification(channel, opening.data), channel, opening.name, stale=stale))
        return frames

    def _unsubscribe(self, channels: list[str]) -> list[str]:
        removed = [channel for channel in channels if self._channels.pop(channel, None) is not None]
        self._index()
        return removed

    def _index(self) -> None:
        self._names = {}
        for channel, keys in self._channels.items():
            for key in keys:
                self._names.setdefault(key, []).append(channel)
        self._topics = frozenset(self._names)

    def _set_heartbeat(self, params: Mapping[str, Any], now: int) -> str:
        interval = params.get("interval")
        if not isinstance(interval, int | float) or interval < MIN_HEARTBEAT_S:
            raise invalid("interval", f"must be at least {MIN_HEARTBEAT_S}")
        self._heartbeat_ns = round((self._knobs.ping_interval_s or interval) * SECOND)
        self._next_beat = now + self._heartbeat_ns
        self._next_test = now + self._heartbeat_ns + FIRST_TEST_NS
        self._tested_at = None
        return "ok"

    def _authorize(self, params: Mapping[str, Any], now: int) -> dict[str, Any]:
        """Log in with `client_credentials`, or with `client_signature` over "timestamp\\nnonce\\ndata"."""
        if params.get("client_id") != CLIENT_ID or not _proves(params, now // 1_000_000):
            raise RpcError(13004, "invalid_credentials")
        self._is_authorized = True
        scope = "account:read connection mainaccount trade:read"
        tokens = {"access_token": f"{now}.access", "refresh_token": f"{now}.refresh"}
        return {**tokens, "expires_in": 31536000, "scope": scope, "token_type": "bearer"}


def notification(channel: str, data: bytes) -> bytes:
    """Return the message of a channel."""
    return b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%b","data":%b}}' % (channel.encode(), data)


def _heartbeat(kind: str) -> Frame:
    return Frame(b'{"params":{"type":"%b"},"method":"heartbeat","jsonrpc":"2.0"}' % kind.encode())


def _parse(text: bytes) -> tuple[str, Mapping[str, Any], Any]:
    if len(text) > MAX_REQUEST_BYTES:
        raise RpcError(-32600, "request entity too large")
    try:
        call = json.loads(text)
    except ValueError:
        raise RpcError(11050, "bad_request", "invalid json") from None
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        raise RpcError(-32600, "Invalid Request")
    params = call.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(-32602, "Invalid params")
    return call["method"], params, call.get("id")


def _channels(params: Mapping[str, Any]) -> list[str]:
    channels = params.get("channels")
    if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
        raise invalid("channels", "must be a list of strings")
    if len(channels) > MAX_CHANNELS:
        raise invalid("channels", f"at most {MAX_CHANNELS} channels")
    return channels


def _proves(params: Mapping[str, Any], now_ms: int) -> bool:
    """Say whether a login knows the secret."""
    match params.get("grant_type"):
        case "client_credentials":
            return params.get("client_secret") == CLIENT_SECRET
        case "client_signature":
            at = params.get("timestamp")
            if not isinstance(at, int) or abs(now_ms - at) > SIGNATURE_VALID_MS:
                return False
            signed = f"{at}\n{params.get('nonce', '')}\n{params.get('data', '')}"
            digest = hmac.new(CLIENT_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
            return hmac.compare_digest(digest, str(params.get("signature")))
    return False

"""One client's WebSocket connection to Bitstamp: subscriptions, heartbeats, limits, keep-alive.

Source: www.bitstamp.net/websocket/v2, "Subscriptions", "Heartbeat", "Forced reconnection", "Limits" (2026-09).
Any channel whose name is well formed is acknowledged; one that does not exist is silent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from typing import Any, Protocol

from fastfeed.sim.frames import Abort, Close, Frame, Output, Ping, Pong
from fastfeed.sim.interface import Knobs, Publication, Reply
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.bitstamp.markets import VENUE

MAX_CHANNELS = 1024
MAX_FRAME_BYTES = 512
LIFETIME_S = 90 * 24 * 3600

# Measured on the venue, which documents no ping; how long it waits for the pong is not known.
PING_INTERVAL_S = 54.0
PONG_TIMEOUT_S = 60.0

POLICY_VIOLATION, GOING_AWAY, TOO_BIG = 1008, 1001, 1009

_CHANNEL = re.compile(r"[a-z0-9_-]+")

HEARTBEAT = b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'
RECONNECT = b'{"event":"bts:request_reconnect","channel":"","data":null}'


class Source(Protocol):
    """Where a session finds channels: a random market, or a recording."""

    def resolve(self, channel: str) -> bool:
        """Say whether a channel exists, and begin it if it is new."""

    def first_book(self, channel: str) -> bytes:
        """Return the first whole book that a channel ever sent, empty if it sends none."""


class RefusedError(Exception):
    """A message that is answered with `bts:error`."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def open_session(
    source: Source, knobs: Knobs, path: str, query: Mapping[str, str], now: int
) -> BitstampSession | Reply:
    """Return the session for an upgrade; there is one path for everything."""
    if path.strip("/"):
        return Reply(404, b"Not Found")
    return BitstampSession(source, knobs, now)


class BitstampSession:
    """State of one connection."""

    endpoint = VENUE

    def __init__(self, source: Source, knobs: Knobs, now: int) -> None:
        self._source = source
        self._channels: dict[str, bool] = {}
        self._topics: frozenset[str] = frozenset()
        self._ping_ns = _ns(knobs.ping_interval_s, PING_INTERVAL_S)
        self._pong_ns = _ns(knobs.pong_timeout_s, PONG_TIMEOUT_S)
        self._ends_at = now + _ns(knobs.lifetime_s, LIFETIME_S)
        self._next_ping = now + self._ping_ns
        self._unanswered_since: int | None = None

    def topics(self) -> Set[str]:
        """Return the subscribed channels that exist."""
        return self._topics

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer a message, such as {"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}."""
        if len(text) > MAX_FRAME_BYTES:
            return [Close(TOO_BIG, f"read limited at {MAX_FRAME_BYTES + 1} bytes")]
        try:
            event, channel = _parse(text)
            if event == "bts:heartbeat":
                return [Frame(HEARTBEAT)]
            _check(channel)
        except RefusedError as error:
            return [Frame(_message("bts:error", "", {"code": error.code, "message": str(error)}))]
        if event == "bts:unsubscribe":
            self._channels.pop(channel, None)
            self._index()
            return [Frame(_message("bts:unsubscription_succeeded", channel, {}))]
        if channel not in self._channels and len(self._channels) == MAX_CHANNELS:
            return [Abort()]
        self._channels[channel] = self._source.resolve(channel)
        self._index()
        return [Frame(_message("bts:subscription_succeeded", channel, {}))]

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping."""
        return [Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong, which keeps the connection."""
        self._unanswered_since = None
        return []

    def tick(self, now: int) -> list[Output]:
        """Send the ping that is due; close a connection that is too old or does not answer."""
        if now >= self._ends_at:
            return [Close(GOING_AWAY, "Connection lifetime exceeded")]
        if self._unanswered_since is not None and now - self._unanswered_since >= self._pong_ns:
            return [Close(POLICY_VIOLATION, "Pong timeout")]
        if now < self._next_ping:
            return []
        self._next_ping = now + self._ping_ns
        if self._unanswered_since is None:
            self._unanswered_since = now
        return [Ping(b"")]

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the message, if this client subscribed to its channel; all clients get the same."""
        channel, data = publication.topic, publication.data
        if channel not in self._topics:
            return []
        first = self._source.first_book(channel)
        return [Frame(data, channel, publication.name, stale=b"" if first == data else first)]

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether this client takes all `topics`: nothing is ever added to a message."""
        return topics <= self._topics

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return the request to connect again within a few seconds."""
        return [Frame(RECONNECT)]

    def _index(self) -> None:
        self._topics = frozenset(channel for channel, exists in self._channels.items() if exists)


def _parse(text: bytes) -> tuple[str, str]:
    """Return event and channel of a message."""
    try:
        message = json.loads(text)
    except ValueError:
        raise RefusedError("Incorrect JSON format.") from None
    event = message.get("event") if isinstance(message, dict) else None
    if event == "bts:heartbeat":
        return event, ""
    data = message.get("data") if isinstance(message, dict) else None
    channel = data.get("channel") if isinstance(data, dict) else None
    if event not in ("bts:subscribe", "bts:unsubscribe") or not isinstance(channel, str) or not channel:
        raise RefusedError("Bad subscription string.")
    return event, channel


def _check(channel: str) -> None:
    if channel.startswith("private-"):
        raise RefusedError("Connection is unauthorized.", 4009)
    if not _CHANNEL.fullmatch(channel):
        raise RefusedError("Invalid channel provided.")


def _message(event: str, channel: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"event": event, "channel": channel, "data": data}, separators=(",", ":")).encode()


def _ns(seconds: float | None, default: float) -> int:
    return round((default if seconds is None else seconds) * SECOND)

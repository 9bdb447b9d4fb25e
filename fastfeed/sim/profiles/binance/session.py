"""One client's WebSocket connection to Binance: routes, commands, keep-alive and limits.

Source: developers.binance.com, spot "WebSocket Streams" (2026-07) and futures "Connect" and "Important WebSocket Change
Notice" (2026-04): any stream is acknowledged, and one that does not exist, or not on this route, is silent.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping, Set
from random import Random
from typing import Any, Protocol
from urllib.parse import unquote

from fastfeed.sim.frames import Close, Frame, Output, Ping, Pong
from fastfeed.sim.interface import Knobs, Publication, Reply
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.binance.products import Product
from fastfeed.sim.profiles.binance.streams import PUBLIC_KINDS, kind_of

MAX_STREAMS = 1024
LATE_ACK_NS = SECOND // 5

POLICY_VIOLATION, GOING_AWAY = 1008, 1001

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_TEXT_ID = re.compile(r"[A-Za-z0-9]{1,36}")


class Source(Protocol):
    """Where a session finds streams: a random market, or a recording."""

    def resolve(self, stream: str, microseconds: bool) -> str | None:
        """Return the key under which a stream's messages are published, None if there is no such stream."""


class CommandError(Exception):
    """A command that is answered with `code` and `msg`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def open_session(
    product: Product, source: Source, knobs: Knobs, path: str, query: Mapping[str, str], now: int
) -> BinanceSession | Reply:
    """Return the session for an upgrade of `path`: `[/route]/ws[/stream..]` or `[/route]/stream?streams=a/b`."""
    parts = unquote(path).strip("/").split("/")
    route = parts.pop(0) if parts[0] in product.routes else ""
    kind, streams = parts[0] if parts else "", parts[1:]
    if kind == "stream" and not streams:
        streams = query.get("streams", "").split("/")
    elif kind != "ws":
        return Reply(404, b"Not Found")
    streams = [stream for stream in streams if stream]
    if len(streams) > MAX_STREAMS:
        return Reply(400, b"Too many streams")
    microseconds = product.has_microseconds and query.get("timeUnit", "").upper() == "MICROSECOND"
    session = BinanceSession(product, source, knobs, route, kind == "stream", microseconds, now)
    session.subscribe(streams)
    return session


class BinanceSession:
    """State of one connection.

    Parameters
    ----------
    route : first part of the path on futures, empty without; what /market serves is silent without a route.
    is_combined : payloads are wrapped as {"stream":..,"data":..}.
    """

    def __init__(
        self,
        product: Product,
        source: Source,
        knobs: Knobs,
        route: str,
        is_combined: bool,
        microseconds: bool,
        now: int,
    ) -> None:
        self.endpoint = product.name
        self._product = product
        self._source = source
        self._route = route
        self._is_combined = is_combined
        self._microseconds = microseconds
        self._streams: dict[str, str | None] = {}
        self._names: dict[str, list[str]] = {}
        self._topics: frozenset[str] = frozenset()
        self._ping_ns = _ns(knobs.ping_interval_s, product.ping_interval_s)
        self._pong_ns = _ns(knobs.pong_timeout_s, product.pong_timeout_s)
        self._ends_at = now + _ns(knobs.lifetime_s, product.lifetime_s)
        self._next_ping = now + self._ping_ns
        self._unanswered: dict[bytes, int] = {}
        self._recent: deque[int] = deque()
        self._rng = Random(f"{knobs.seed}/ack/{now}")
        self._late_ack = knobs.late_ack
        self._held_acks: list[tuple[int, Frame]] = []

    def topics(self) -> Set[str]:
        """Return the keys of the streams that exist and that this route serves."""
        return self._topics

    def subscribe(self, streams: list[str]) -> None:
        """Add streams; one that does not exist here is listed like any other."""
        for stream in streams:
            self._streams[stream] = self._resolve(stream)
        self._index()

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer a command: {"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1} -> {"result":null,"id":1}."""
        if self._is_too_fast(now):
            return [Close(POLICY_VIOLATION, "Too many requests")]
        try:
            command = _parse(text)
            answer = {"result": self._execute(command, text), "id": command.get("id")}
        except CommandError as error:
            return [Frame(_dump({"code": error.code, "msg": str(error)}))]
        ack = Frame(_dump(answer))
        if command["method"] == "SUBSCRIBE" and self._rng.random() < self._late_ack:
            self._held_acks.append((now + LATE_ACK_NS, ack))
            return []
        return [*self._release_acks(), ack]

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping; it counts as a message."""
        if self._is_too_fast(now):
            return [Close(POLICY_VIOLATION, "Too many requests")]
        return [Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong: it counts as a message, and keeps the connection if it answers a ping of ours."""
        if self._is_too_fast(now):
            return [Close(POLICY_VIOLATION, "Too many requests")]
        if payload in self._unanswered:
            self._unanswered.clear()
        return []

    def tick(self, now: int) -> list[Output]:
        """Send the pings that are due; close a connection that is too old or does not answer them."""
        outputs: list[Output] = []
        if self._held_acks and self._held_acks[0][0] <= now:
            outputs += self._release_acks()
        if now >= self._ends_at:
            return [*outputs, Close(GOING_AWAY, "Connection lifetime exceeded")]
        if self._unanswered and now - next(iter(self._unanswered.values())) >= self._pong_ns:
            return [*outputs, Close(POLICY_VIOLATION, "Pong timeout")]
        if now >= self._next_ping:
            payload = str(now // 1_000_000).encode()
            self._unanswered[payload] = now
            self._next_ping = now + self._ping_ns
            outputs.append(Ping(payload))
        return outputs

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the payload, wrapped or raw, under each name by which this client asked for it."""
        names = self._names.get(publication.topic)
        if names is None:
            return []
        frames = [
            Frame(wrap(stream, publication.data) if self._is_combined else publication.data, stream, publication.name)
            for stream in names
        ]
        # The acknowledgement of a subscription may come after its first data.
        return [*frames, *self._release_acks()] if self._held_acks else frames

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether wrapped messages of all `topics` go out under these very names."""
        return self._is_combined and all(self._names.get(topic) == [topic] for topic in topics)

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return `serverShutdown` where the product has it (spot, since 2026-05-08)."""
        if not self._product.announces_shutdown:
            return []
        data = _dump({"e": "serverShutdown", "E": now // (1_000 if self._microseconds else 1_000_000)})
        return [Frame(wrap("!serverShutdown", data) if self._is_combined else data)]

    def _resolve(self, stream: str) -> str | None:
        if self._product.routes:
            served_on = ("public", "") if kind_of(stream) in PUBLIC_KINDS else ("market",)
            if self._route not in served_on:
                return None
        return self._source.resolve(stream, self._microseconds)

    def _index(self) -> None:
        self._names = {}
        for stream, topic in self._streams.items():
            if topic is not None:
                self._names.setdefault(topic, []).append(stream)
        self._topics = frozenset(self._names)

    def _release_acks(self) -> list[Frame]:
        acks, self._held_acks = [ack for _, ack in self._held_acks], []
        return acks

    def _is_too_fast(self, now: int) -> bool:
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - SECOND:
            recent.popleft()
        return len(recent) > self._product.messages_per_second

    def _execute(self, command: dict[str, Any], text: bytes) -> Any:
        params = command.get("params")
        match command["method"]:
            case "SUBSCRIBE":
                streams = _streams(params)
                if len(self._streams.keys() | set(streams)) > MAX_STREAMS:
                    raise CommandError(2, f"Invalid request: too many streams, at most {MAX_STREAMS}")
                self.subscribe(streams)
                return None
            case "UNSUBSCRIBE":
                for stream in _streams(params):
                    self._streams.pop(stream, None)
                self._index()
                return None
            case "LIST_SUBSCRIPTIONS":
                return list(self._streams)
            case "SET_PROPERTY":
                _, is_combined = _check_property(params, 2)
                if not isinstance(is_combined, bool):
                    raise CommandError(1, "Invalid value type: expected Boolean")
                self._is_combined = is_combined
                return None
            case _:
                _check_property(params, 1)
                return self._is_combined


def wrap(stream: str, data: bytes) -> bytes:
    """Return the message of a combined connection: {"stream":"btcusdt@trade","data":{..}}."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), data)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        command = json.loads(text)
    except UnicodeDecodeError:
        raise CommandError(3, "Invalid JSON: invalid unicode code point at line 1 column 0") from None
    except json.JSONDecodeError as error:
        raise CommandError(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}") from None
    if not isinstance(command, dict):
        raise CommandError(2, "Invalid request: expected an object at line 1 column 1")
    if "method" not in command:
        raise CommandError(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if command["method"] not in _METHODS:
        raise CommandError(2, f"Invalid request: unknown variant `{command['method']}`, expected one of {_listed()}")
    if not _is_id(command.get("id")):
        raise CommandError(2, "Invalid request: request ID must be an integer, an alphanumeric string or null")
    return command


def _listed() -> str:
    return ", ".join(f"`{method}`" for method in _METHODS)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return _TEXT_ID.fullmatch(value) is not None
    return value is None or (type(value) is int and -(1 << 63) <= value < 1 << 63)


def _streams(params: Any) -> list[str]:
    if not isinstance(params, list) or not all(isinstance(stream, str) for stream in params):
        raise CommandError(2, "Invalid request: params must be a list of streams")
    return params


def _check_property(params: Any, count: int) -> list[Any]:
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise CommandError(2, "Invalid request: property name must be a string")
    if len(params) > count:
        raise CommandError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise CommandError(0, "Unknown property")
    if len(params) < count:
        raise CommandError(2, "Invalid request: too few parameters")
    return params


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _ns(seconds: float | None, default: float) -> int:
    return round((default if seconds is None else seconds) * SECOND)

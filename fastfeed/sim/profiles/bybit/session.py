"""One client's WebSocket connection to Bybit: topics, answers, limits and the client's own pings.

Source: bybit-exchange.github.io/docs/v5/ws/connect, "Connect" (2026-07): pongs and answers by product, limits of
arguments, the end of a silent connection; "System Status" for the notice of maintenance. The texts of refusals are not
documented; they are those seen on the wire in 2025 and 2026. A refused topic refuses its whole request.
"""

from __future__ import annotations

import json
from collections.abc import Set
from random import Random
from typing import Any, Protocol
from uuid import UUID

from fastfeed.sim.frames import Abort, Frame, Output, Pong
from fastfeed.sim.interface import Knobs, Publication
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.bybit.products import SPOT, Product

STATUS_TOPIC = "system.status"

# Without a ping of the client and without data to it, a connection ends after ten minutes.
IDLE_S = 600
MAX_ARGS_CHARACTERS = 21_000

_OPS = ("subscribe", "unsubscribe", "ping")


class Source(Protocol):
    """Where a session finds topics: a random market, or a recording."""

    def resolve(self, topic: str) -> list[str]:
        """Return the keys under which a topic's messages are published, none if there is no such topic."""

    def first(self, key: str, topic: str, now: int) -> Frame | None:
        """Return the message with which a topic answers a subscription, if it does."""

    def lists(self, symbol: str) -> bool:
        """Say whether there is such an instrument."""


class Refusal(Exception):
    """A request that is answered with `"success":false` and this text."""


class BybitSession:
    """State of one connection to a product; `number` tells it from all others."""

    def __init__(self, product: Product, source: Source, knobs: Knobs, number: int, now: int) -> None:
        self.endpoint = product.name
        self._product = product
        self._source = source
        self._keys: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        self._rng = Random(f"{knobs.seed}/connection/{product.name}/{number}")
        self._conn_id = str(UUID(int=self._rng.getrandbits(128), version=4))
        self._late_ack = knobs.late_ack
        self._idle_ns = round((IDLE_S if knobs.pong_timeout_s is None else knobs.pong_timeout_s) * SECOND)
        self._ends_at = None if knobs.lifetime_s is None else now + round(knobs.lifetime_s * SECOND)
        self._active_at = now
        self._has_sent = False

    def topics(self) -> Set[str]:
        """Return the keys of what it subscribed to."""
        return self._names.keys()

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer {"req_id":"1","op":"subscribe","args":["orderbook.200.BTCUSDT"]}, or op `unsubscribe` or `ping`."""
        request: dict[str, Any] = {}
        try:
            request = _parse(text)
            if request["op"] == "ping":
                self._active_at = now
                return [self._pong(request, now)]
            topics = _args(request)
            if request["op"] == "subscribe":
                firsts = self._subscribe(topics, now)
                ack = self._ack(request, topics)
                # The first data may come before the answer.
                return [*firsts, ack] if self._rng.random() < self._late_ack else [ack, *firsts]
            self._unsubscribe(topics)
            return [self._ack(request, topics)]
        except Refusal as refusal:
            return [self._answer(request, success=False, ret_msg=str(refusal))]

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping frame, which does not count as the client's own ping."""
        return [Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong: the venue sends no ping frames."""
        return []

    def tick(self, now: int) -> list[Output]:
        """Cut a connection that was silent on both sides for too long, or that is too old by the knob."""
        if self._has_sent:
            self._active_at, self._has_sent = now, False
        is_over = self._ends_at is not None and now >= self._ends_at
        return [Abort()] if is_over or now - self._active_at >= self._idle_ns else []

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the message under the topic by which this client asked for it."""
        names = self._names.get(publication.topic, ())
        self._has_sent |= bool(names)
        written = topic_of(publication.topic)
        return [Frame(rename(publication.data, written, name), name, publication.name) for name in names]

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether messages of all `topics` go out under these very names."""
        return all(self._names.get(topic) == [topic] for topic in topics)

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return nothing: the venue tells of maintenance on a socket of its own."""
        return []

    def _subscribe(self, topics: list[str], now: int) -> list[Frame]:
        if self._product.request_args is not None and len(topics) > self._product.request_args:
            raise Refusal(f"args size >{self._product.request_args}")
        wanted = self._keys.keys() | set(topics)
        most = self._product.connection_args
        if (most is not None and len(wanted) > most) or len(_dump(list(wanted))) > MAX_ARGS_CHARACTERS:
            raise Refusal(f"args size >{most or MAX_ARGS_CHARACTERS}")
        found = {topic: self._source.resolve(topic) for topic in topics}
        # The sockets of options accept any topic; what does not exist is silent.
        if not self._product.acks_topics:
            for topic, keys in found.items():
                self._check(topic, keys)
        firsts = []
        for topic, keys in found.items():
            if topic in self._keys:
                continue
            self._keys[topic] = keys
            for key in keys:
                self._names.setdefault(key, []).append(topic)
                firsts.append(self._source.first(key, topic, now))
        return [frame for frame in firsts if frame is not None]

    def _check(self, topic: str, keys: list[str]) -> None:
        if topic in self._keys:
            raise Refusal(f"error:already subscribed,topic:{topic}")
        if not keys:
            symbol = topic.rpartition(".")[2]
            if self._product is SPOT and not self._source.lists(symbol):
                raise Refusal(f"Invalid symbol :[{topic}]")
            raise Refusal(f"error:handler not found,topic:{topic}")

    def _unsubscribe(self, topics: list[str]) -> None:
        for topic in topics:
            for key in self._keys.pop(topic, ()):
                self._names[key].remove(topic)
                if not self._names[key]:
                    del self._names[key]

    def _ack(self, request: dict[str, Any], topics: list[str]) -> Frame:
        if self._product.acks_topics:
            answer = {"failTopics": [], "successTopics": topics}
            body = {"success": True, "conn_id": self._conn_id, "data": answer, "type": "COMMAND_RESP"}
            return Frame(_dump(body))
        return self._answer(request, success=True, ret_msg=request["op"] if self._product.ack_names_op else "")

    def _pong(self, request: dict[str, Any], now: int) -> Frame:
        if self._product.acks_topics:
            return Frame(_dump({"args": [str(now // 1_000_000)], "op": "pong"}))
        return self._answer(request, success=True, ret_msg="pong")

    def _answer(self, request: dict[str, Any], success: bool, ret_msg: str) -> Frame:
        """Return {"success":true,"ret_msg":"","conn_id":"..","req_id":"1","op":"ping"}; spot has no empty `req_id`."""
        req_id = str(request.get("req_id", ""))
        named = {} if self._product is SPOT and not req_id else {"req_id": req_id}
        head = {"success": success, "ret_msg": ret_msg, "conn_id": self._conn_id}
        return Frame(_dump({**head, **named, "op": str(request.get("op", ""))}))


class StatusSession(BybitSession):
    """A connection to the system's status, where the venue tells of maintenance."""

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return the notice of a maintenance that begins in ten minutes, if the client subscribed to it."""
        if STATUS_TOPIC not in self._names:
            return []
        begin = now // 1_000_000 + IDLE_S * 1000
        notice = {
            "id": str(UUID(int=self._rng.getrandbits(128), version=4)),
            "title": "Scheduled system maintenance",
            "state": "scheduled",
            "begin": str(begin),
            "end": str(begin + 3_600_000),
            "href": "",
            "serviceTypes": [2, 3, 4, 5],
            "product": [1, 2],
            "uidSuffix": [],
            "maintainType": 1,
            "env": 1,
        }
        return [Frame(_dump({"topic": STATUS_TOPIC, "ts": now // 1_000_000, "data": [notice]}))]


def topic_of(key: str) -> str:
    """Return the topic that the messages of a key carry: `publicTrade.BTC` of `publicTrade.BTC|BTC-25DEC26-70000-C`."""
    return key.partition("|")[0]


def rename(data: bytes, written: str, name: str) -> bytes:
    """Return a message with the topic by which a client asked for it."""
    return data if written == name else data.replace(b'"%b"' % written.encode(), b'"%b"' % name.encode(), 1)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except ValueError:
        raise Refusal("error:invalid json") from None
    if not isinstance(request, dict) or request.get("op") not in _OPS:
        raise Refusal("error:invalid op")
    return request


def _args(request: dict[str, Any]) -> list[str]:
    args = request.get("args")
    if not isinstance(args, list) or not args or not all(isinstance(topic, str) for topic in args):
        raise Refusal("error:invalid args")
    return args


def _dump(value: Any) -> bytes:
    """Return JSON as the venue writes it: compact, and with `>` escaped."""
    return json.dumps(value, separators=(",", ":")).replace(">", "\\u003e").encode()

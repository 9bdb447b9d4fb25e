"""One client's WebSocket connection to Kraken Futures: requests, their replies without ids, keep-alive.

A request names one feed and many products; it is answered product by product, in its order. A client that sends no ping
frame for a minute is cut off. Source: docs.kraken.com, "Futures WebSocket", Introduction and Subscriptions;
support.kraken.com, "Subscriptions - Websockets API - Derivatives"; limits: "Futures rate limits" (2026).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Set
from random import Random
from typing import Any, Protocol

from fastfeed.sim.frames import Abort, Close, Frame, Output, Pong
from fastfeed.sim.interface import Knobs, Publication
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.krakenfutures.products import VENUE
from fastfeed.sim.profiles.krakenfutures.streams import First

FEEDS = ("book", "trade", "ticker", "ticker_lite")
PRIVATE_FEEDS = (
    "open_orders", "open_orders_verbose", "fills", "open_positions", "balances", "account_log", "notifications_auth",
)  # fmt: skip
REQUESTS_PER_SECOND = 100
PING_WITHIN_S = 60.0

# How often the feed `heartbeat` beats is not documented.
HEARTBEAT_NS = SECOND

GOING_AWAY = 1001


class Source(Protocol):
    """Where a session finds contracts and streams: a random market, or a recording."""

    def symbol(self, product_id: str) -> str | None:
        """Return the symbol that a client names in any case; None if there is none."""

    def name(self, symbol: str) -> str:
        """Return the name of a listed contract."""

    def subscribe(self, feed: str, symbol: str, now: int) -> First | None:
        """Return what a subscriber of the feed is sent first; None if that comes by itself."""


class FuturesSession:
    """State of one connection."""

    endpoint = VENUE

    def __init__(self, source: Source, knobs: Knobs, now: int) -> None:
        self._source = source
        self._topics: set[str] = set()
        self._recent: deque[int] = deque()
        self._rng = Random(f"{knobs.seed}/ack/{now}")
        self._late_ack = knobs.late_ack
        self._ping_within = round((knobs.ping_interval_s or PING_WITHIN_S) * SECOND)
        self._silent_since = now
        self._ends_at = None if knobs.lifetime_s is None else now + round(knobs.lifetime_s * SECOND)
        self._next_heartbeat: int | None = None
        self._is_greeted = False

    def topics(self) -> Set[str]:
        """Return the keys of what it is subscribed to."""
        return self._topics

    def greet(self) -> list[Output]:
        """Return the first message of all, once: {"event":"info","version":1}."""
        if self._is_greeted:
            return []
        self._is_greeted = True
        return [_event("info", version=1)]

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer a request: {"event":"subscribe","feed":"book","product_ids":["PI_XBTUSD"]}."""
        outputs = self.greet()
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - SECOND:
            recent.popleft()
        if len(recent) > REQUESTS_PER_SECOND:
            # The request is lost, which a client that does not look finds out by what it is not sent.
            return [*outputs, _event("alert", message="rate_limited")]
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict) or request.get("event") not in ("subscribe", "unsubscribe"):
            return [*outputs, _event("error", message="Json Error")]
        return outputs + self._answer(request, now)

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping, which keeps the connection."""
        self._silent_since = now
        return [*self.greet(), Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Ignore a pong: the venue sends no pings."""
        return self.greet()

    def tick(self, now: int) -> list[Output]:
        """Greet a new connection, beat if asked to; cut off a client without pings."""
        outputs = self.greet()
        if self._ends_at is not None and now >= self._ends_at:
            return [*outputs, Close(GOING_AWAY)]
        if now - self._silent_since >= self._ping_within:
            return [*outputs, Abort()]
        if self._next_heartbeat is not None and now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_NS
            outputs.append(Frame(f'{{"feed":"heartbeat","time":{now // 1_000_000}}}'.encode()))
        return outputs

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the message as it is, to those who subscribed."""
        if publication.topic not in self._topics:
            return []
        return [Frame(publication.data, publication.topic, publication.name)]

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether all `topics` go to this client: nothing is ever wrapped."""
        return topics <= self._topics

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return nothing: maintenance is announced on a private feed."""
        return []

    def _answer(self, request: dict[str, Any], now: int) -> list[Output]:
        feed, products = request.get("feed"), request.get("product_ids")
        is_on = request["event"] == "subscribe"
        if feed in PRIVATE_FEEDS:
            return [_event("alert", message="Failed to subscribe to authenticated feed")]
        if feed == "heartbeat":
            self._next_heartbeat = now if is_on else None
            return [_event("subscribed" if is_on else "unsubscribed", feed=feed)]
        if feed not in FEEDS:
            return [_event("error", message="Invalid feed")]
        if not isinstance(products, list) or not products:
            return [_event("error", message="Invalid product id")]
        replies: list[Output] = []
        firsts: list[Output] = []
        for product in products:
            symbol = self._source.symbol(product) if isinstance(product, str) else None
            if symbol is None:
                replies.append(_event("error", message="Invalid product id"))
            elif is_on:
                replies += self._subscribe(feed, symbol)
                first = self._source.subscribe(feed, symbol, now)
                if first is not None:
                    firsts.append(
                        Frame(first.payload, f"{feed}:{symbol}", self._source.name(symbol), False, first.stale)
                    )
            else:
                replies.append(self._unsubscribe(feed, symbol))
        return firsts + replies if self._rng.random() < self._late_ack else replies + firsts

    def _subscribe(self, feed: str, symbol: str) -> list[Output]:
        ack = _event("subscribed", feed=feed, product_ids=[symbol])
        topic = f"{feed}:{symbol}"
        if topic in self._topics:
            return [_event("alert", message="Already subscribed to feed, re-requesting"), ack]
        self._topics.add(topic)
        return [ack]

    def _unsubscribe(self, feed: str, symbol: str) -> Output:
        topic = f"{feed}:{symbol}"
        if topic not in self._topics:
            return _event("alert", message="Not subscribed to feed")
        self._topics.remove(topic)
        return _event("unsubscribed", feed=feed, product_ids=[symbol])


def _event(event: str, **fields: Any) -> Frame:
    return Frame(json.dumps({"event": event, **fields}, separators=(",", ":")).encode())

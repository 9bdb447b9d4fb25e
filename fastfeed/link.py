"""One wanted connection: when it should be open, what it subscribes to, and whether it is alive.

Sans-I/O. A link outlives its sockets; every attempt has a `Connection` id and, once open, a receive path of its own, so
that nothing of a dead socket can reach a new one. All times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from fastfeed.config import Reconnect
from fastfeed.instrument import Instrument
from fastfeed.venues.spec import Ack, Product, Refusal, Venue
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Hub, Market

__all__ = ["Connection", "Link", "Subscription"]

_log = logging.getLogger(__name__)

SECOND = 1_000_000_000
_ACK_WITHIN_S = 10


class Connection(msgspec.Struct, frozen=True):
    """A connection that should be open; another attempt has another id."""

    id: int
    url: str
    headers: dict[str, str]


class Subscription(NamedTuple):
    """One topic and what it feeds."""

    topic: str
    channel: str
    instrument: Instrument
    market: Market


class Link:
    """The machine of one wanted connection.

    Parameters
    ----------
    row : of the connection table of the bus
    url : with the path that the topics need
    next_id : gives ids of attempts and requests
    """

    def __init__(
        self,
        venue: Venue,
        product: Product,
        row: int,
        url: str,
        subscriptions: Sequence[Subscription],
        reconnect: Reconnect,
        random: Random,
        next_id: Callable[[], int],
    ) -> None:
        self.product = product
        self.row = row
        self.url = url
        self.subscriptions = list(subscriptions)
        self.path: ReceivePath | None = None  # while open
        self.wanted: Connection | None = None  # while it should be open, or is
        self.reason = ""  # of the last end
        self._venue = venue
        self._reconnect = reconnect
        self._random = random
        self._next_id = next_id
        self._failures = 0
        self._not_before = 0
        self._opened = 0
        self._frames: deque[tuple[int, bytes]] = deque()  # to send: (request id, payload)
        self._sent: deque[int] = deque()  # when, within the last second
        self._unacked: dict[int, tuple[list[str], int]] = {}  # request id: topics, when sent

    @property
    def is_open(self) -> bool:
        return self.path is not None

    def opened(self, hub: Hub, ts: int) -> None:
        """The socket is open: make its receive path, and queue what to subscribe to."""
        decoder = self._venue.decoder(self.product)()
        self.path = ReceivePath(hub, self.row, decoder, len(self.subscriptions), ts)
        for each in self.subscriptions:
            self.path.route(each.topic, each.instrument.symbol, each.channel, each.market)
        self._opened = ts
        self._frames.clear()
        self._sent.clear()
        self._unacked.clear()
        for topics in self._chunks():
            request_id = self._next_id()
            self._frames.append((request_id, self._venue.encode_subscribe(topics, request_id)))
            self._unacked[request_id] = (topics, 0)

    def _chunks(self) -> list[list[str]]:
        """Topics by frames that the venue takes."""
        limit = self.product.limits.frame_bytes
        chunks: list[list[str]] = []
        size = limit
        for each in self.subscriptions:
            cost = len(each.topic.encode()) + 3  # quotes and comma
            if size + cost > limit - 100:  # room for the rest of the frame
                chunks.append([])
                size = 0
            chunks[-1].append(each.topic)
            size += cost
        return chunks

    def ended(self, reason: str, ts: int) -> None:
        """The socket is gone, could not be opened, or shall be given up: plan the next attempt."""
        if self.path is not None:
            self.path.close(ts)
            self.path = None
            if ts - self._opened >= self._reconnect.healthy_s * SECOND:
                self._failures = 0
        self.wanted = None
        self.reason = reason
        # The first retry comes at once but for the jitter; the wait then doubles. Full jitter keeps many links from
        # coming back in step.
        cap = min(self._reconnect.cap_s, self._reconnect.initial_s * 2 ** min(self._failures, 30))
        pause = self._random.random() * cap
        self._failures += 1
        self._not_before = ts + int(pause * SECOND)
        _log.warning("disconnected url=%s reason=%s attempt=%d retry_s=%.2f", self.url, reason, self._failures, pause)

    def advance(self, ts: int, sends: deque[tuple[int, bytes]]) -> None:
        """Ask to be opened when it is time; send what may be sent; give a dead socket up."""
        if self.wanted is None:
            if ts >= self._not_before:
                self.wanted = Connection(self._next_id(), self.url, {})
            return
        if self.path is None:
            return
        reason = self._dead(ts)
        if reason is not None:
            self.ended(reason, ts)
            return
        while self._sent and self._sent[0] <= ts - SECOND:
            self._sent.popleft()
        while self._frames and len(self._sent) < self.product.limits.sends_per_second:
            request_id, payload = self._frames.popleft()
            self._sent.append(ts)
            self._unacked[request_id] = (self._unacked[request_id][0], ts)
            sends.append((self.wanted.id, payload))

    def _dead(self, ts: int) -> str | None:
        assert self.path is not None
        last = max(self.path.last_recv, self._opened)
        if ts - last > self.product.mute_after_s * SECOND:
            return f"no frame for {self.product.mute_after_s} s"
        for _, sent in self._unacked.values():
            if sent and ts - sent > _ACK_WITHIN_S * SECOND:
                return f"no answer to a subscription within {_ACK_WITHIN_S} s"
        return None

    def acknowledged(self, ack: Ack) -> list[Subscription]:
        """Return the subscriptions that are in force now."""
        topics, _ = self._unacked.pop(ack.request_id, ([], 0))
        return self._named(topics)

    def refused(self, refusal: Refusal) -> list[Subscription]:
        """Return the subscriptions that the venue refused; a refusal without an id is that of the oldest request."""
        request_id = refusal.request_id
        if request_id is None:
            request_id = next((each for each, (_, sent) in self._unacked.items() if sent), -1)
        topics, _ = self._unacked.pop(request_id, ([], 0))
        return self._named(topics)

    def _named(self, topics: Sequence[str]) -> list[Subscription]:
        wanted = set(topics)
        return [each for each in self.subscriptions if each.topic in wanted]

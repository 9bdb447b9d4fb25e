"""One wanted connection: when it should be open, what it subscribes to, and whether it is alive.

Sans-I/O. A link outlives its sockets; every attempt has a `Connection` id and, once open, a receive path of its own, so
that nothing of a dead socket can reach a new one. All times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from fastfeed.config import Reconnect
from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND, Backoff, pause
from fastfeed.requests import Requests
from fastfeed.venues.spec import Ack, Credentials, Product, Refusal, Topic, Venue
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Hub, Market

__all__ = ["Connection", "Link", "Sends", "Subscription"]

_log = logging.getLogger(__name__)

_HOUR = 3600 * SECOND


class Connection(msgspec.Struct, frozen=True):
    """A connection that should be open; another attempt has another id."""

    id: int
    url: str
    headers: dict[str, str]


class Subscription(NamedTuple):
    """One topic and what it feeds; several subscriptions can have one topic."""

    topic: Topic
    channel: str
    instrument: Instrument
    market: Market


class Sends(NamedTuple):
    """What the caller is asked to send: text frames as (connection id, payload), and pings of the protocol as ids."""

    frames: deque[tuple[int, bytes]]
    pings: deque[int]


class Link:
    """The machine of one wanted connection.

    Parameters
    ----------
    row : of the connection table of the bus
    url : with the path that the topics need
    notices : topics that feed no market: they come as control frames
    next_id : gives ids of attempts and requests
    sent : when links of the product sent, for those whose venue counts them together
    """

    def __init__(
        self,
        venue: Venue,
        product: Product,
        row: int,
        url: str,
        subscriptions: Sequence[Subscription],
        notices: Sequence[Topic],
        reconnect: Reconnect,
        credentials: Credentials | None,
        random: Random,
        next_id: Callable[[], int],
        sent: deque[int] | None = None,
    ) -> None:
        self.product = product
        self.row = row
        self.url = url
        self.subscriptions = list(subscriptions)
        self.topics = {each.topic.text: each.topic for each in subscriptions} | {each.text: each for each in notices}
        self.path: ReceivePath | None = None  # while open
        self.wanted: Connection | None = None  # while it should be open, or is
        self.opened_at = 0
        self._venue = venue
        self._reconnect = reconnect
        self._random = random
        self._next_id = next_id
        self._failures = 0
        self._not_before = 0
        self._pinged = 0
        self._sent: deque[int] = deque() if sent is None else sent  # when, within the last hour
        self._answers: deque[bytes] = deque()
        self._lost: dict[str, Topic] = {}  # to be subscribed to anew
        self._requests = Requests(venue, product, credentials, next_id)
        self._by_text: dict[str, list[Subscription]] = {}
        for each in subscriptions:
            self._by_text.setdefault(each.topic.text, []).append(each)

    @property
    def is_open(self) -> bool:
        return self.path is not None

    def opened(self, hub: Hub, ts: int) -> None:
        """The socket is open: make its receive path, and queue what to subscribe to."""
        decoder = self._venue.decoder(self.product)()
        self.path = ReceivePath(hub, self.row, decoder, len(self.subscriptions) + len(self.topics), ts)
        for topic, channel, instrument, market in self.subscriptions:
            try:
                self.path.route(
                    topic.text, instrument.symbol, channel, market, carrier=topic.carrier, group=topic.group
                )
            except ValueError as error:  # it costs itself, and not all that shares the connection
                _log.error("no way for a topic url=%s instrument=%s error=%s", self.url, instrument.name, error)
        self.opened_at = ts
        self._pinged = ts
        if not self.product.limits.sends_shared:
            self._sent.clear()
        self._answers.clear()
        self._lost.clear()
        self._requests.clear()
        self._requests.greet(ts)
        self._requests.subscribe(self.topics.values())

    def ended(self, reason: str, ts: int) -> None:
        """The socket is gone, could not be opened, or shall be given up: plan the next attempt."""
        if self.path is not None:
            self.path.close(ts)
            self.path = None
            if ts - self.opened_at >= self._reconnect.healthy_s * SECOND:
                self._failures = 0
        self.wanted = None
        wait = pause(self._failures, Backoff(self._reconnect.initial_s, self._reconnect.cap_s), self._random)
        self._failures += 1
        self._not_before = ts + wait
        retry_s = wait / SECOND
        _log.warning("disconnected url=%s reason=%s attempt=%d retry_s=%.2f", self.url, reason, self._failures, retry_s)

    def advance(self, ts: int, sends: Sends) -> None:
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
        if self._lost:
            # What was lost in one moment goes into as few frames as the venue takes.
            self._requests.again(self._lost.values())
            self._lost.clear()
        while self._answers:
            sends.frames.append((self.wanted.id, self._answers.popleft()))
            self._sent.append(ts)
        self._keep_alive(ts, sends)
        while self._may_send(ts):
            payload = self._requests.next(ts)
            if payload is None:
                break
            self._sent.append(ts)
            sends.frames.append((self.wanted.id, payload))

    def _may_send(self, ts: int) -> bool:
        limits = self.product.limits
        while self._sent and self._sent[0] <= ts - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= limits.sends_per_hour:
            return False
        most = limits.sends_per_second
        return len(self._sent) < most or self._sent[-most] <= ts - SECOND

    def _keep_alive(self, ts: int, sends: Sends) -> None:
        product = self.product
        if not product.ping_every_s or self.path is None or self.wanted is None:
            return
        last = max(self._pinged, self.path.last_recv) if product.ping_when_silent else self._pinged
        if ts - last < product.ping_every_s * SECOND:
            return
        self._pinged = ts
        self._sent.append(ts)  # venues count pings, too
        payload = self._venue.encode_ping(product)
        if payload is None:
            sends.pings.append(self.wanted.id)
        else:
            sends.frames.append((self.wanted.id, payload))

    def _dead(self, ts: int) -> str | None:
        assert self.path is not None
        last = max(self.path.last_recv, self.opened_at)
        if ts - last > self.product.mute_after_s * SECOND:
            return f"no frame for {self.product.mute_after_s} s"
        return self._requests.overdue(ts)

    def answer(self, payload: bytes) -> None:
        """Send a frame before all others: the venue waits for it."""
        self._answers.append(payload)

    def acknowledged(self, ack: Ack) -> list[Subscription]:
        """Return the subscriptions that are in force now."""
        return self.named(self._requests.acknowledged(ack))

    def refused(self, refusal: Refusal) -> list[Subscription] | None:
        """Return the subscriptions that the venue refused; None if it shows later which."""
        topics = self._requests.refused(refusal)
        return None if topics is None else self.named(topics)

    def left_out(self) -> list[tuple[list[Subscription], Refusal]]:
        """Return what the venue turned out to have refused, by leaving it out of an answer or not answering."""
        return [(self.named(topics), refusal) for topics, refusal in self._requests.take_left_out()]

    def resubscribe(self, topics: Iterable[str]) -> None:
        """End subscriptions and make them again: the venue sends the book anew then."""
        self._lost |= {text: self.topics[text] for text in topics}

    def named(self, topics: Iterable[str]) -> list[Subscription]:
        """Return the subscriptions of topics."""
        return [each for text in topics for each in self._by_text.get(text, ())]

"""One wanted connection: when it should be open, what it subscribes to, and who follows whom.

Sans-I/O. A link outlives its sockets. It has one attempt at a time, and while that one retires its successor beside it:
made before the old one is broken, so that nothing is missed. All times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from fastfeed.attempt import Attempt, Connection, Sends, Subscription
from fastfeed.config import Reconnect
from fastfeed.lifecycle import Happening, Phase
from fastfeed.pause import SECOND, Backoff, pause
from fastfeed.places import Place
from fastfeed.reports import is_told
from fastfeed.requests import Requests
from fastfeed.venues.spec import Ack, Credentials, Product, Refusal, Topic, Venue
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Hub

__all__ = ["Link"]

_log = logging.getLogger(__name__)

_RELIEF_WITHIN_S = 60  # for a successor to be in step; then the old one goes on for as long as the venue lets it
_ROLL_AGAIN_S = 300  # after that
_ROLL_EARLY = 0.1  # of its lifetime, at most: a connection is replaced at a moment of its own within this


class Link:
    """The machine of one wanted connection.

    Parameters
    ----------
    label : what it is called on the bus
    new_row : enters another row of a label into the connection table of the bus
    url : with the path that the topics need
    notices : topics that feed no market: they come as control frames
    place : the host, which may have no room for another attempt now
    next_id : gives ids of attempts and requests
    sent : when links of the product sent, for those whose venue counts them together
    local : the address of this machine that its sockets leave from; None: the system chooses
    """

    def __init__(
        self,
        venue: Venue,
        product: Product,
        label: str,
        new_row: Callable[[str], int],
        url: str,
        subscriptions: Sequence[Subscription],
        notices: Sequence[Topic],
        reconnect: Reconnect,
        credentials: Credentials | None,
        random: Random,
        place: Place,
        next_id: Callable[[], int],
        sent: deque[int] | None = None,
        local: str | None = None,
    ) -> None:
        self.product = product
        self.url = url
        self.local = local
        self.subscriptions = list(subscriptions)
        self.label = label
        self.topics: dict[str, Topic] = {}
        self.attempts: list[Attempt] = []  # the one in use, then its successor
        self.rolls = 0  # times that a successor took over
        self._venue = venue
        self._reconnect = reconnect
        self._credentials = credentials
        self._random = random
        self.place = place
        self._next_id = next_id
        self._new_row = new_row
        self.rows = [new_row(label)]
        self._sent = sent
        self._stopped = False
        self._failures = 0
        self._not_before = 0
        self._relief_until: int | None = None  # while one retires
        self._roll_at: int | None = None
        self._by_text: dict[str, list[Subscription]] = {}
        self._index(notices)

    def _index(self, notices: Iterable[Topic]) -> None:
        self.topics = {each.topic.text: each.topic for each in self.subscriptions} | {
            each.text: each for each in notices
        }
        self._by_text = {}
        for each in self.subscriptions:
            self._by_text.setdefault(each.topic.text, []).append(each)

    @property
    def row(self) -> int:
        """Row of the connection table: of the socket in use, else of the one before."""
        return self.attempts[0].row if self.attempts else self.rows[0]

    @property
    def is_open(self) -> bool:
        return any(each.is_open for each in self.attempts)

    @property
    def is_rolling(self) -> bool:
        """True while a socket is being replaced by another one."""
        return self._relief_until is not None

    def describe(self, ts: int) -> dict[str, Any]:
        """Return what it is doing, as plain values; `_s` are seconds."""
        return {
            "label": self.label,
            "url": self.url,
            "local": self.local,
            "topics": len(self.topics),
            "sockets": [
                {"phase": each.phase.value, "age_s": (ts - each.opened_at) / SECOND if each.opened_at else None}
                for each in self.attempts
            ],
            "failures": self._failures,
            "retry_s": max(0.0, (self._not_before - ts) / SECOND) if not self.attempts else None,
            "rolls": self.rolls,
            "endpoint": self.place.breaker.state(ts),
        }

    def attempt(self, connection: int) -> Attempt | None:
        """Return the attempt of that id; None if it was given up."""
        return next((each for each in self.attempts if each.connection.id == connection), None)

    def opened(self, attempt: Attempt, hub: Hub, ts: int) -> None:
        """The socket is open: make its receive path, and queue what to subscribe to."""
        decoder = self._venue.decoder(self.product)()
        path = ReceivePath(hub, attempt.row, decoder, len(self.subscriptions) + len(self.topics), ts)
        self._route(path, self.subscriptions)
        self.place.breaker.succeeded()
        attempt.opened(path, self.topics.values(), ts)
        lifetime = self._reconnect.roll_s or self.product.lifetime_s
        if lifetime:
            self._roll_at = ts + int(lifetime * (0.99 - _ROLL_EARLY * self._random.random()) * SECOND)

    def _route(self, path: ReceivePath, subscriptions: Iterable[Subscription]) -> None:
        for topic, channel, instrument, market in subscriptions:
            try:
                path.route(topic.text, instrument.symbol, channel, market, carrier=topic.carrier, group=topic.group)
            except ValueError as error:  # it costs itself, and not all that shares the connection
                _log.error("no way for a topic url=%s instrument=%s error=%s", self.url, instrument.name, error)

    def change(
        self, added: Sequence[Subscription], ended: Sequence[Subscription], notices: Iterable[Topic], ts: int
    ) -> None:
        """Subscribe to more, or to less, on the sockets that are open and on all to come; nothing else is touched."""
        before = self.topics
        over = set(ended)
        self.subscriptions = [each for each in self.subscriptions if each not in over] + list(added)
        self._index(notices)
        begun = {text: topic for text, topic in self.topics.items() if text not in before}
        gone = {text: topic for text, topic in before.items() if text not in self.topics}
        # Messages that were read as quotes so far, and are a book now: it begins anew.
        again = [each for each in added if each.channel == "book" and each.topic.text in before]
        for attempt in self.attempts:
            if attempt.path is None:
                continue
            for topic, channel, instrument, market in ended:
                attempt.path.unroute(topic.text, instrument.symbol, channel, market, ts, group=topic.group)
            for topic, _, instrument, market in again:
                for each in self.named([topic.text]):
                    attempt.path.unroute(topic.text, instrument.symbol, each.channel, market, ts, group=topic.group)
            attempt.change(begun, gone)
            attempt.unrouted = [each for each in attempt.unrouted if each not in over]
            attempt.unrouted += [*added, *(each for one in again for each in self.named([one.topic.text]))]
            self._route_asked(attempt.path, attempt)
            attempt.resubscribe({each.topic.text: each.topic for each in again})

    def _route_asked(self, path: ReceivePath, attempt: Attempt) -> None:
        """Route what is asked for by now: what still comes of a topic that ends first has a hole behind it."""
        waiting = attempt.requests.waiting()
        asked = [each for each in attempt.unrouted if each.topic.text not in waiting]
        attempt.unrouted = [each for each in attempt.unrouted if each.topic.text in waiting]
        path.reserve(2 * len(asked))  # a group takes a route of its own
        self._route(path, asked)

    def ended(self, attempt: Attempt, reason: str, ts: int) -> None:
        """A socket is gone, could not be opened, or shall be given up: plan the next attempt."""
        if attempt.phase is Phase.OPENING:
            self.place.breaker.failed(ts)
        began = attempt.streaming_at
        attempt.ended(Happening.DIED, ts)
        self.attempts.remove(attempt)
        if not self.attempts:
            self._relief_until = None
        if began is not None and ts - began >= self._reconnect.healthy_s * SECOND:
            self._failures = 0
        wait = 0  # the first retry comes at once
        if self._failures:
            wait = pause(self._failures - 1, Backoff(self._reconnect.initial_s, self._reconnect.cap_s), self._random)
        self._failures += 1
        self._not_before = ts + wait
        level = logging.WARNING if is_told(self._failures) else logging.DEBUG
        _log.log(
            level,
            "disconnected url=%s reason=%s attempt=%d retry_s=%.2f",
            self.url,
            reason,
            self._failures,
            wait / SECOND,
        )

    def relieve(self, attempt: Attempt, reason: str, ts: int) -> bool:
        """Replace a socket by another one before it ends; False if it is of no use, and has to end now."""
        if attempt.phase is Phase.JOINING or attempt is not self.attempts[0]:
            return False
        if attempt.phase is Phase.STREAMING:
            attempt.happen(Happening.RELIEVED)
            self._relief_until = ts + _RELIEF_WITHIN_S * SECOND
            self._roll_at = None
            _log.info("rolling over url=%s reason=%s", self.url, reason)
        return True

    def roll(self, reason: str, ts: int) -> None:
        """Replace the socket in use, if there is one, without a gap."""
        if self.attempts:
            self.relieve(self.attempts[0], reason, ts)

    def advance(self, ts: int, sends: Sends) -> list[Attempt]:
        """Ask to be opened when it is time; send what may be sent; return the sockets that were given up."""
        given_up: list[Attempt] = []
        if self._stopped:
            return given_up
        for attempt in list(self.attempts):
            reason = attempt.advance(ts, sends)
            if reason is not None:
                self.ended(attempt, reason, ts)
                given_up.append(attempt)
            elif attempt.path is not None and attempt.unrouted:
                self._route_asked(attempt.path, attempt)
        if self._relief_until is not None:
            given_up += self._hand_over(self._relief_until, ts)
        elif self._roll_at is not None and ts >= self._roll_at:
            self.roll("the end of its lifetime is near", ts)
        wanted = 1 if self._relief_until is None else 2
        if len(self.attempts) < wanted and ts >= self._not_before and self.place.may_connect(ts):
            self._open(ts)
        return given_up

    def _hand_over(self, until: int, ts: int) -> list[Attempt]:
        """Let the retiring socket go when its successor is in step, or keep it when none comes in time."""
        retiring = self.attempts[0]
        if retiring.phase is not Phase.RETIRING:  # it died: its successor is what there is
            self._relief_until = None
            return []
        if len(self.attempts) > 1 and self.attempts[1].takes_over(ts):
            self._relief_until = None
            self._release(retiring, ts)
            self.rolls += 1
            _log.info("rolled over url=%s", self.url)
            return [retiring]
        if ts < until:
            return []
        self._relief_until = None
        self._roll_at = ts + _ROLL_AGAIN_S * SECOND
        retiring.happen(Happening.KEPT)
        _log.warning("no successor came in step url=%s within_s=%d", self.url, _RELIEF_WITHIN_S)
        late = self.attempts[1:]
        for attempt in late:
            self._release(attempt, ts)
        return late

    def _release(self, attempt: Attempt, ts: int) -> None:
        """A socket is not needed any more, whether it is open yet or not."""
        if attempt.phase is Phase.OPENING:
            self.place.breaker.abandoned()
        attempt.ended(Happening.RELEASED, ts)
        self.attempts.remove(attempt)

    def _open(self, ts: int) -> None:
        used = {each.row for each in self.attempts}
        free = [row for row in self.rows if row not in used]
        if not free:
            try:
                self.rows.append(self._new_row(self.label))
            except OSError as error:  # no room: two sockets share a row, which costs figures only
                _log.warning("no row for another socket url=%s error=%s", self.url, error)
            free = self.rows[-1:]
        requests = Requests(self._venue, self.product, self._credentials, self._next_id)
        sent: deque[int] = deque() if self._sent is None else self._sent
        connection = Connection(self._next_id(), self.url, {}, self.local)
        self.attempts.append(Attempt(self._venue, self.product, connection, free[0], requests, sent))

    def stop(self, ts: int) -> None:
        """No connection is wanted any more."""
        self._stopped = True
        for attempt in list(self.attempts):
            self._release(attempt, ts)

    # ---- what the venue says

    def acknowledged(self, attempt: Attempt, ack: Ack) -> list[Subscription]:
        """Return the subscriptions that are in force now."""
        topics = attempt.requests.acknowledged(ack)
        attempt.take(topics)
        return self.named(topics)

    def refused(self, attempt: Attempt, refusal: Refusal, ts: int) -> list[Subscription] | None:
        """Return the subscriptions that the venue refused; None if it shows later which."""
        topics = attempt.requests.refused(refusal)
        return None if topics is None else self._refuse(attempt, topics, ts)

    def left_out(self, ts: int) -> list[tuple[Attempt, list[Subscription], Refusal]]:
        """Return what the venue turned out to have refused, by leaving it out of an answer or not answering."""
        return [
            (attempt, self._refuse(attempt, topics, ts), refusal)
            for attempt in self.attempts
            for topics, refusal in attempt.requests.take_left_out()
        ]

    def _refuse(self, attempt: Attempt, topics: Sequence[str], ts: int) -> list[Subscription]:
        attempt.refuse([self.topics[text] for text in topics if text in self.topics], ts)
        return self.named(topics)

    def resubscribe(self, topics: Iterable[str], sparing: bool = False) -> None:
        """End subscriptions and make them again: the venue sends the book anew then.

        `sparing`: not on sockets that have few frames left in this hour.
        """
        lost = {text: self.topics[text] for text in topics}
        for attempt in self.attempts:
            if attempt.is_open and not (sparing and attempt.is_short):
                attempt.resubscribe(lost)

    def named(self, topics: Iterable[str]) -> list[Subscription]:
        """Return the subscriptions of topics."""
        return [each for text in topics for each in self._by_text.get(text, ())]

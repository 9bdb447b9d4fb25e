"""One socket of a link, from the wish that it be open to its end: what is sent on it, and whether it is alive.

Sans-I/O. What is known of a socket dies with it: another attempt is another object, with another id and another receive
path, so that nothing of a dead socket reaches its successor. All times are ns since the epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from fastfeed.instrument import Instrument
from fastfeed.lifecycle import Happening, Phase, after
from fastfeed.pause import SECOND
from fastfeed.requests import Requests
from fastfeed.venues.spec import Product, Topic, Venue
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Market

__all__ = ["Attempt", "Connection", "Sends", "Subscription"]

_HOUR = 3600 * SECOND
_ASK_CAP_S = 600  # what the venue refused is asked for again, after twice as long each time up to this
_OVERLAP_S = 2.0  # how long two feed at least: what was sent before the last answer is here by then, on both


class Connection(msgspec.Struct, frozen=True):
    """A connection that should be open; another attempt has another id."""

    id: int
    url: str
    headers: dict[str, str]
    local: str | None = None  # the address of this machine to leave from; None: any


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


class _Refused:
    """A topic that the venue will not have now."""

    __slots__ = ("due", "times", "topic")

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.times = 0
        self.due: int | None = None  # when it is asked for again; None: it was


class Attempt:
    """One socket.

    Parameters
    ----------
    connection : what the caller is asked to open
    row : of the connection table of the bus
    sent : when frames were sent, within the last hour; shared by those whose venue counts them together
    """

    def __init__(
        self, venue: Venue, product: Product, connection: Connection, row: int, requests: Requests, sent: deque[int]
    ) -> None:
        self.connection = connection
        self.row = row
        self.phase = Phase.OPENING
        self.path: ReceivePath | None = None  # while open
        self.unrouted: list[Subscription] = []  # what the receive path lets pass by until it has been asked for
        self.opened_at = 0
        self.streaming_at: int | None = None  # when all had been answered for the first time
        self.requests = requests
        self._answered_at: int | None = None  # since when all that was asked for is answered
        self._has_settled = False  # books that are quiet are in step by now
        self._venue = venue
        self._product = product
        self.round_trip: int | None = None  # ns from a ping to its answer, until somebody takes it
        self._pinged = 0
        self._awaits: int | None = None  # when the ping was sent that has no answer yet
        self._sent = sent
        self._answers: deque[bytes] = deque()
        self._lost: dict[str, Topic] = {}  # to be subscribed to anew
        self._refused: dict[str, _Refused] = {}

    def __repr__(self) -> str:
        return f"<Attempt {self.connection.id} {self.phase.value} {self.connection.url}>"

    @property
    def is_open(self) -> bool:
        return self.path is not None

    @property
    def is_short(self) -> bool:
        """True if half of the frames of an hour are sent: the rest is for what cannot wait."""
        return len(self._sent) * 2 >= self._product.limits.sends_per_hour

    def happen(self, happening: Happening) -> Phase:
        """Go on to the phase that follows."""
        self.phase = after(self.phase, happening)
        return self.phase

    def opened(self, path: ReceivePath, topics: Iterable[Topic], ts: int) -> None:
        """The socket is open: queue what to subscribe to."""
        self.happen(Happening.OPENED)
        self.path = path
        self.opened_at = ts
        self._pinged = ts
        self.requests.greet(ts)
        self.requests.subscribe(topics)

    def ended(self, happening: Happening, ts: int) -> None:
        """The socket is gone, could not be opened, or is not needed any more."""
        self.happen(happening)
        if self.path is not None:
            self.path.close(ts)
            self.path = None

    def advance(self, ts: int, sends: Sends) -> str | None:
        """Send what may be sent; return why the socket must be dead, if it must."""
        if self.path is None:
            return None
        reason = self._dead(ts)
        if reason is not None:
            return reason
        for text, refused in self._refused.items():
            if refused.due is not None and ts >= refused.due and not self.is_short:
                refused.due = None
                self._lost[text] = refused.topic
        if self._lost:
            # What was lost in one moment goes into as few frames as the venue takes.
            self.requests.again(self._lost.values())
            self._lost.clear()
        while self._answers:
            sends.frames.append((self.connection.id, self._answers.popleft()))
            self._sent.append(ts)
        if self._awaits is not None and self.path.last_pong >= self._awaits:
            self.ponged(self.path.last_pong)
        self._keep_alive(ts, sends)
        while self._may_send(ts):
            payload = self.requests.next(ts)
            if payload is None:
                break
            self._sent.append(ts)
            sends.frames.append((self.connection.id, payload))
        if self._answered_at is None and self.requests.settled:
            self._answered_at = ts
            if self.phase is Phase.JOINING:
                self.happen(Happening.JOINED)
                self.streaming_at = ts
        if not self._has_settled and self._answered_at is not None and ts - self._answered_at >= _OVERLAP_S * SECOND:
            self._has_settled = True
            self.path.settle(self._answered_at)
        return None

    def _may_send(self, ts: int) -> bool:
        limits = self._product.limits
        while self._sent and self._sent[0] <= ts - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= limits.sends_per_hour:
            return False
        most = limits.sends_per_second
        return len(self._sent) < most or self._sent[-most] <= ts - SECOND

    def _keep_alive(self, ts: int, sends: Sends) -> None:
        product = self._product
        if not product.ping_every_s or self.path is None:
            return
        last = max(self._pinged, self.path.last_recv) if product.ping_when_silent else self._pinged
        if ts - last < product.ping_every_s * SECOND:
            return
        self._pinged = ts
        self._awaits = ts
        self._sent.append(ts)  # venues count pings, too
        payload = self._venue.encode_ping(product)
        if payload is None:
            sends.pings.append(self.connection.id)
        else:
            sends.frames.append((self.connection.id, payload))

    def _dead(self, ts: int) -> str | None:
        assert self.path is not None
        last = max(self.path.last_recv, self.opened_at)
        if ts - last > self._product.mute_after_s * SECOND:
            return f"no frame for {self._product.mute_after_s} s"
        return self.requests.overdue(ts)

    def ponged(self, ts: int) -> None:
        """The venue answered a ping."""
        if self._awaits is not None:
            self.round_trip = max(ts - self._awaits, 0)
            self._awaits = None

    def answer(self, payload: bytes) -> None:
        """Send a frame before all others: the venue waits for it."""
        self._answers.append(payload)

    def resubscribe(self, topics: Mapping[str, Topic]) -> None:
        """End subscriptions and make them again: the venue sends the book anew then."""
        self._lost |= topics

    def refuse(self, topics: Iterable[Topic], ts: int) -> None:
        """The venue refused subscriptions: a limit or a pause of its own ends, so that they are asked for again."""
        for topic in topics:
            refused = self._refused.setdefault(topic.text, _Refused(topic))
            # In whole seconds: what was refused together is asked for together.
            wait = min(_ASK_CAP_S, 1 << min(refused.times, 10)) + 1
            refused.due = (ts // SECOND + wait) * SECOND
            refused.times += 1

    def take(self, topics: Iterable[str]) -> None:
        """The venue took subscriptions."""
        for text in topics:
            self._refused.pop(text, None)

    def give_up(self, topic: str) -> None:
        """What was refused is not asked for again."""
        self._refused[topic].due = None

    def times_refused(self, topic: str) -> int:
        """Return how often in a row the venue has refused a topic on this socket."""
        refused = self._refused.get(topic)
        return 0 if refused is None else refused.times

    def is_refused(self, topics: Iterable[str]) -> bool:
        """Return whether the venue refused any of these topics, and has not taken it since."""
        return any(text in self._refused for text in topics)

    def is_asking(self, topics: Collection[str]) -> bool:
        """Return whether any of these topics is being subscribed to, or ended, just now."""
        return self.is_open and (any(text in self._lost for text in topics) or self.requests.awaits(topics))

    def has(self, topics: Collection[str]) -> bool:
        """Return whether the subscriptions to these topics, which this socket wants, are in force."""
        return (
            self.streaming_at is not None and self.is_open and not (self.is_asking(topics) or self.is_refused(topics))
        )

    def change(self, begun: Mapping[str, Topic], gone: Mapping[str, Topic]) -> None:
        """Subscribe to more topics on an open socket, and end others."""
        for text in gone:
            self._lost.pop(text, None)
            self._refused.pop(text, None)
        self.requests.unsubscribe(gone.values())
        if begun:
            # Of what is new here, nothing says yet that a quiet book is in step.
            self._answered_at = None
            self._has_settled = False
            self.requests.subscribe(begun.values())

    def takes_over(self, ts: int) -> bool:
        """Return whether an older socket with the same topics can go: nothing comes by that one alone any more.

        All is answered, so that what the venue sends from now on comes here too; what it sent before had time to
        arrive; and each book that has moved since has gone on with what came here.
        """
        if self.path is None or self._answered_at is None or not self._has_settled or not self.requests.settled:
            return False
        return bool(self.path.settle(self._answered_at))

"""The health of connections, instruments and the venue: ok, degraded or down, and why.

Judged once a second from what is known anyway; told on the bus, as an event at each change and in the rows that a
status command reads. What is told has lasted a while, so that nothing flaps. Sans-I/O; times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from fastfeed.attempt import Attempt, Subscription
from fastfeed.instrument import Instrument
from fastfeed.link import Link
from fastfeed.pause import SECOND
from fastfeed.places import Door
from fastfeed.reports import Reports
from fastfeed.streams import Streams
from fastfeed.venues.spec import Channel, Product, Stale
from fastfeed_core.bus import BusWriter
from fastfeed_core.market import Market
from fastfeed_core.message import HEALTHS, REASONS
from fastfeed_core.records import Health, Reason, ScopeCode, State

__all__ = ["Gauge", "Monitor", "quiet_after"]

_log = logging.getLogger(__name__)

_EVERY = SECOND  # between two looks
_START_S = 15  # nothing is called bad before it had time to begin
_WORSE_S = 1  # a change for the worse has lasted so long before it is told: a reconnect takes less
_BETTER_S = 5  # ... and one for the better, or of the reason alone
_PATIENCE_S = {Reason.REASON_SYNCING: 5}  # a book that lost its chain is back within a second or two, by rule
_PONG_S = 5  # a ping that is sent into silence has time to be answered

Judgement = tuple[Health, Reason]
_OK: Judgement = Health.HEALTH_OK, Reason.REASON_NONE


class Gauge:
    """The health of one thing, as it is told: only changes, of its reason too, and only those that last."""

    __slots__ = ("_reason", "_side", "_since", "health", "reason")

    def __init__(self) -> None:
        self.health = Health.HEALTH_NONE
        self.reason = Reason.REASON_NONE
        self._side = 0
        self._reason = Reason.REASON_NONE  # that is another than is told, at the same health
        self._since: int | None = None

    def judge(self, judgement: Judgement, ts: int) -> bool:
        """Take a judgement, and return whether it is told from now on."""
        health, reason = judgement
        side = (health > self.health) - (health < self.health)
        if judgement == (self.health, self.reason):
            self._since = None
            return False
        other = reason if side == 0 else Reason.REASON_NONE
        if self._since is None or (side, other) != (self._side, self._reason):
            self._side, self._reason, self._since = side, other, ts
        if self.health == Health.HEALTH_NONE:
            wait = 0 if health == Health.HEALTH_OK else _START_S
        else:
            wait = _PATIENCE_S.get(reason, _WORSE_S) if side > 0 else _BETTER_S
        if ts - self._since < wait * SECOND:
            return False
        self.health, self.reason = judgement
        self._since = None
        return True


def quiet_after(product: Product) -> float:
    """Return after how many seconds without any frame a connection is degraded."""
    return max(product.mute_after_s / 2, product.ping_every_s + _PONG_S)


def _is_news(before: Health, after: Health) -> bool:
    """Return whether a change is worth an event: that something which begins is well is not."""
    return (before, after) != (Health.HEALTH_NONE, Health.HEALTH_OK)


class _Subject:
    """One instrument: the links of each of its channels."""

    __slots__ = ("gauge", "has_book", "instrument", "links", "market")

    def __init__(self, instrument: Instrument, market: Market, gauge: Gauge) -> None:
        self.instrument = instrument
        self.market = market
        self.gauge = gauge
        self.has_book = False
        self.links: dict[str, dict[Link, list[str]]] = {}  # and the topics there, by channel


class Monitor:
    """The health of all that one venue's machine has.

    Parameters
    ----------
    links : of the venue, also those to come
    doors : of its REST bases
    rows : of the channels, by instrument row and channel
    is_over : whether an instrument is traded no more: that its streams say nothing is no fault
    healths : what all machines of the process say of instruments, by row
    lost : called with a socket, a subscription to a book whose stream there was found to stand still, and the time
    """

    def __init__(
        self,
        venue: str,
        bus: BusWriter,
        links: Sequence[Link],
        doors: Sequence[Door],
        rows: Mapping[tuple[int, str], Channel],
        stale: Stale,
        is_over: Callable[[Instrument, int], bool],
        lost: Callable[[Attempt, Subscription, int], None],
        healths: dict[int, dict[object, Judgement]],
    ) -> None:
        self._name = venue
        self._bus = bus
        self._links = links
        self._doors = doors
        self._rows = rows
        self._stale = stale
        self._is_over = is_over
        self._lost = lost
        self._healths = healths
        self._reports = Reports(_log)
        self._venue = Gauge()
        self._gauges: dict[Link, Gauge] = {}
        self._told_on: dict[Link, int] = {}  # rows that they were told on
        self._changed = True
        self._streams: dict[int, Streams] = {}  # of the sockets, by id
        self._subjects: dict[int, _Subject] = {}
        self._next = 0

    def changed(self) -> None:
        """What is subscribed to is not what it was."""
        self._changed = True

    def _renew(self) -> None:
        """See which links and instruments there are now; of what is gone nothing is known any more."""
        self._changed = False
        before, self._subjects = self._subjects, {}
        for link in self._links:
            for each in link.subscriptions:
                row = each.market.instrument
                subject = self._subjects.get(row)
                if subject is None:
                    gauge = before[row].gauge if row in before else Gauge()
                    subject = self._subjects[row] = _Subject(each.instrument, each.market, gauge)
                subject.has_book = subject.has_book or each.channel == "book"
                subject.links.setdefault(each.channel, {}).setdefault(link, []).append(each.topic.text)
        for row in before.keys() - self._subjects.keys():
            self._forget(row)
        for link in self._gauges.keys() - set(self._links):
            del self._gauges[link]
            gone = self._told_on.pop(link)
            self._bus.connection_health(gone, Health.HEALTH_NONE, Reason.REASON_NONE)
            self._bus.venue_health(gone, Health.HEALTH_NONE, Reason.REASON_NONE)
        for streams in self._streams.values():
            streams.changed()

    def _forget(self, row: int) -> None:
        """Say no more of an instrument; others may."""
        self._healths.get(row, {}).pop(self, None)
        self._bus.instrument_health(row, *self._merged(row))

    def close(self) -> None:
        """Take back what was told: of what has ended nothing is known."""
        for row in self._subjects:
            self._forget(row)
        for row in self._told_on.values():
            self._bus.connection_health(row, Health.HEALTH_NONE, Reason.REASON_NONE)
            self._bus.venue_health(row, Health.HEALTH_NONE, Reason.REASON_NONE)

    def advance(self, ts: int) -> None:
        """Time has passed: look, and tell what has changed."""
        if ts < self._next:
            return
        self._next = ts + _EVERY
        if self._changed:
            self._renew()
        self._look_at_streams(ts)
        for link in self._links:
            self._tell_link(link, ts)
        for row, subject in self._subjects.items():
            judgement = self._judge_instrument(row, subject, ts)
            if subject.gauge.judge(judgement, ts):
                before = self._merged(row)
                self._healths.setdefault(row, {})[self] = subject.gauge.health, subject.gauge.reason
                merged = self._merged(row)
                self._bus.instrument_health(row, *merged)
                if merged != before and _is_news(before[0], merged[0]):
                    state = State.STATE_LIVE if subject.market.live else State.STATE_SYNCING
                    self._say(merged, ScopeCode.SCOPE_INSTRUMENT, row, -1, state, subject.instrument.name, ts)
        if self._links:
            self._tell_venue(ts)

    def _look_at_streams(self, ts: int) -> None:
        living: dict[int, Streams] = {}
        for link in self._links:
            for attempt in link.attempts:
                if attempt.path is None or attempt.streaming_at is None:
                    continue
                if attempt.round_trip is not None:
                    self._bus.round_trip(attempt.row, attempt.round_trip)
                    attempt.round_trip = None
                key = attempt.connection.id
                streams = self._streams.get(key)
                if streams is None:
                    began = attempt.streaming_at
                    streams = Streams(
                        attempt, link.subscriptions, self._rows, self._stale, self._copies, self._is_over, began
                    )
                streams.renew(link.subscriptions, ts)
                living[key] = streams
        self._streams = living
        for streams in living.values():
            for subscription, stalled in streams.advance(ts):
                if stalled:
                    name, channel = subscription.instrument.name, subscription.channel
                    text = f"stream stands still instrument={name} channel={channel}"
                    self._reports.tell(name, channel, text)
                    if channel == "book":
                        self._lost(streams.attempt, subscription, ts)

    def _copies(self, attempt: Attempt, stream: tuple[int, str]) -> list[Attempt]:
        """The other sockets for a channel of an instrument."""
        subject = self._subjects.get(stream[0])
        links = () if subject is None else subject.links.get(stream[1], ())
        return [each for link in links for each in link.attempts if each is not attempt]

    # ---- judgements

    def _judge_link(self, link: Link, ts: int) -> Judgement:
        heard = [max(each.path.last_recv, each.opened_at) for each in link.attempts if each.path is not None]
        if not heard:
            is_shut = link.place.breaker.state(ts) != "closed"
            return Health.HEALTH_DOWN, Reason.REASON_UNREACHABLE if is_shut else Reason.REASON_DISCONNECTED
        if ts - max(heard) > quiet_after(link.product) * SECOND:
            return Health.HEALTH_DEGRADED, Reason.REASON_QUIET
        return _OK

    def _judge_instrument(self, row: int, subject: _Subject, ts: int) -> Judgement:
        is_over = self._is_over(subject.instrument, ts)
        worst = {channel: self._judge_channel(row, channel, links, is_over) for channel, links in subject.links.items()}
        if all(health == Health.HEALTH_DOWN for health, _ in worst.values()):
            return next(iter(worst.values()))
        bad = [judgement for judgement in worst.values() if judgement != _OK]
        if bad:
            return Health.HEALTH_DEGRADED, bad[0][1]
        if subject.has_book and not subject.market.live and not is_over:
            return Health.HEALTH_DEGRADED, Reason.REASON_SYNCING
        return _OK

    def _judge_channel(self, row: int, channel: str, links: Mapping[Link, Iterable[str]], is_over: bool) -> Judgement:
        """The best of its connections."""
        reasons: list[Judgement] = []
        for link, topics in links.items():
            gauge = self._gauges.get(link)
            for attempt in link.attempts:
                streams = self._streams.get(attempt.connection.id)
                if not attempt.is_open:
                    continue
                if attempt.is_refused(topics) and not is_over:
                    reasons.append((Health.HEALTH_DEGRADED, Reason.REASON_REFUSED))
                elif streams is not None and streams.is_stalled(row, channel) and not is_over:
                    reasons.append((Health.HEALTH_DEGRADED, Reason.REASON_STALLED))
                elif gauge is not None and gauge.health == Health.HEALTH_DEGRADED:
                    reasons.append((Health.HEALTH_DEGRADED, gauge.reason))
                else:
                    return _OK
        return reasons[0] if reasons else (Health.HEALTH_DOWN, Reason.REASON_DISCONNECTED)

    def _judge_venue(self, ts: int) -> Judgement:
        told = [self._gauges[link] for link in self._links]
        if all(each.health == Health.HEALTH_DOWN for each in told):
            return Health.HEALTH_DOWN, told[0].reason
        if any(door.breaker.is_bad(ts) for door in self._doors):
            return Health.HEALTH_DEGRADED, Reason.REASON_UNREACHABLE
        if any(door.is_shut(ts) for door in self._doors):
            return Health.HEALTH_DEGRADED, Reason.REASON_LIMITED
        bad = [each.reason for each in told if each.health > Health.HEALTH_OK]
        return (Health.HEALTH_DEGRADED, bad[0]) if bad else _OK

    def _merged(self, row: int) -> Judgement:
        """What all machines together say of an instrument: it is down where all of it is."""
        told = self._healths.get(row, {}).values()
        if not told:
            return Health.HEALTH_NONE, Reason.REASON_NONE
        health, reason = max(told, key=lambda each: each[0])
        if health == Health.HEALTH_DOWN and any(each[0] != health for each in told):
            health = Health.HEALTH_DEGRADED
        return health, reason

    # ---- what is told

    def _tell_link(self, link: Link, ts: int) -> None:
        gauge = self._gauges.setdefault(link, Gauge())
        before = gauge.health
        if gauge.judge(self._judge_link(link, ts), ts) and _is_news(before, gauge.health):
            state = State.STATE_LIVE if link.is_open else State.STATE_SYNCING
            self._say((gauge.health, gauge.reason), ScopeCode.SCOPE_CONNECTION, -1, link.row, state, link.url, ts)
        row = self._told_on.get(link, link.row)
        if row != link.row:
            self._bus.connection_health(row, Health.HEALTH_NONE, Reason.REASON_NONE)
        self._told_on[link] = link.row
        self._bus.connection_health(link.row, gauge.health, gauge.reason)
        self._bus.venue_health(link.row, self._venue.health, self._venue.reason)

    def _tell_venue(self, ts: int) -> None:
        before = self._venue.health
        if self._venue.judge(self._judge_venue(ts), ts) and _is_news(before, self._venue.health):
            state = State.STATE_LIVE if any(link.is_open for link in self._links) else State.STATE_SYNCING
            self._say(
                (self._venue.health, self._venue.reason),
                ScopeCode.SCOPE_VENUE,
                -1,
                self._links[0].row,
                state,
                self._name,
                ts,
            )

    def _say(
        self, told: Judgement, scope: ScopeCode, row: int, connection: int, state: State, name: str, ts: int
    ) -> None:
        health, why = told
        self._bus.status(row, connection, scope, state, why, ts, 0, health)
        word, reason = HEALTHS[health], REASONS[why] or "-"
        level = logging.INFO if health == Health.HEALTH_OK else logging.WARNING
        scopes = {ScopeCode.SCOPE_INSTRUMENT: "instrument", ScopeCode.SCOPE_CONNECTION: "connection"}
        _log.log(level, "health %s=%s health=%s reason=%s", scopes.get(scope, "venue"), name, word, reason)

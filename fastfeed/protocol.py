"""The protocol of one venue, without a socket: what happened goes in, what to do comes out.

In: `connected`, `disconnected`, frames (straight into the receive path, then `attend`), `reply`, `advance`. Out:
`connections` that should be open, queues of `sends`, `pings` and `requests`, and records on the bus. The inputs, in
order, are the whole cause of the outputs: no clock and no random number is used that was not handed in. All times are
ns since the epoch.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from fastfeed.attempt import Attempt, Connection, Sends, Subscription
from fastfeed.calls import Request
from fastfeed.config import Reconnect
from fastfeed.errors import MalformedFrame, SequenceGap, SubscriptionRefused
from fastfeed.health import Monitor
from fastfeed.instrument import Instrument
from fastfeed.link import Link
from fastfeed.links import Endpoint, Links
from fastfeed.places import Places
from fastfeed.reports import Reports
from fastfeed.rows import write_instrument
from fastfeed.subscriptions import Subscriptions
from fastfeed.venues.spec import (
    Ack,
    Answer,
    Channel,
    Credentials,
    InstrumentStatus,
    Options,
    Pong,
    Refusal,
    Shutdown,
    Unknown,
    Venue,
)
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Attention, Hub, Market
from fastfeed_core.records import Reason, ScopeCode, State
from fastfeed_core.status import describe

__all__ = ["Endpoint", "Protocol", "open_market"]

_log = logging.getLogger(__name__)


def open_market(hub: Hub, instrument: Instrument, rows: Iterable[Channel], options: Options | None = None) -> Market:
    """Enter an instrument into the bus and make its market, for what `rows` say of its channels.

    Raises
    ------
    OSError : no room (ENOSPC)
    """
    rows = list(rows)
    book = any(row.name == "book" for row in rows)
    chained = all(row.chained for row in rows)
    row = hub.bus.add_instrument(write_instrument(instrument, chained), book)
    tick = instrument.to_px(instrument.tick_size)
    derived = any(each.derived for each in rows)
    market = Market(hub, row, instrument.px_exp, instrument.sz_exp, tick, book, derived)
    market.resyncs_crossed = options is not None and options.crossed == "resync"
    return market


class Protocol:
    """The machine of one venue.

    Parameters
    ----------
    hub : what its markets share
    markets : by name, of the instruments
    channels : to subscribe to, of each instrument; what `subscribe` takes without others
    endpoints : by product
    connections : redundant connections for each topic
    random : for jitter alone
    places : what is shared with the other machines of the process
    """

    def __init__(
        self,
        venue: Venue,
        hub: Hub,
        instruments: Iterable[Instrument],
        markets: Mapping[str, Market],
        channels: Iterable[str],
        *,
        endpoints: Mapping[str, Endpoint],
        options: Options | None = None,
        connections: int = 1,
        reconnect: Reconnect | None = None,
        credentials: Credentials | None = None,
        random: Random | None = None,
        places: Places | None = None,
    ) -> None:
        self._sends = Sends(deque(), deque())
        self.requests: deque[Request] = deque()
        self._venue = venue
        self._hub = hub
        self._ids = itertools.count(1)
        self._random = random or Random(0)
        reconnect = reconnect or Reconnect()
        places = places or Places(self._random, reconnect.connects_per_s)
        self._reports = Reports(_log)
        options = options or Options()
        links = Links(venue, hub.bus, endpoints, reconnect, credentials, self._random, places, self._next_id)
        #: what is subscribed to
        self.subscriptions = Subscriptions(
            venue, hub, channels, options, endpoints, links, connections, self._random, self._next_id
        )
        self._books = self.subscriptions.books
        self._links = self.subscriptions.links
        known = self.subscriptions.doors, self.subscriptions.rows
        over = self.subscriptions.is_over
        self._monitor = Monitor(
            venue.ID, hub.bus, self._links, *known, options.stale, over, self._stands_still, places.healths
        )
        self.subscriptions.subscribe(instruments, markets, 0)

    @property
    def sends(self) -> deque[tuple[int, bytes]]:
        """Text frames to send: (connection id, payload)."""
        return self._sends.frames

    @property
    def pings(self) -> deque[int]:
        """Connections, by id, that a ping of the WebSocket protocol should be sent on."""
        return self._sends.pings

    def _next_id(self) -> int:
        return next(self._ids)

    @property
    def connections(self) -> list[Connection]:
        """What should be open now; an open one that is not in the list any more should be closed."""
        return [attempt.connection for link in self._links for attempt in link.attempts]

    def attempt(self, connection: int) -> Attempt | None:
        """Return the attempt of that id; None if it was given up."""
        return self._find(connection)[1]

    def _find(self, connection: int) -> tuple[Link, Attempt] | tuple[None, None]:
        for link in self._links:
            attempt = link.attempt(connection)
            if attempt is not None:
                return link, attempt
        return None, None

    def path(self, connection: int | None, frame: bytes) -> ReceivePath | None:
        """Return the receive path of an open connection; None: of the one whose topic the frame names, else of any."""
        if connection is not None:
            attempt = self.attempt(connection)
            return None if attempt is None else attempt.path
        paths = [each.path for link in self._links for each in link.attempts if each.path is not None]
        return next((path for path in paths if path.accepts(frame)), paths[0] if paths else None)

    def start(self, ts: int) -> None:
        """Begin."""
        self.advance(ts)

    def connected(self, connection: int, ts: int) -> None:
        """A socket is open."""
        link, attempt = self._find(connection)
        if link is None or attempt is None or attempt.is_open:
            return
        link.opened(attempt, self._hub, ts)
        self.subscriptions.say(attempt, State.STATE_LIVE, Reason.REASON_CONNECTED, ts)
        _log.info("connected url=%s topics=%d", link.url, len(link.topics))
        self.advance(ts)

    def disconnected(self, connection: int, ts: int, reason: str = "closed by the venue") -> None:
        """A socket is gone, or could not be opened."""
        link, attempt = self._find(connection)
        if link is not None and attempt is not None:
            self._end(link, attempt, reason, ts)
            self.advance(ts)

    def heard(self, connection: int, ts: int, is_pong: bool) -> None:
        """A ping or pong of the WebSocket protocol came."""
        attempt = self.attempt(connection)
        if attempt is not None and attempt.path is not None:
            attempt.path.hear(ts, is_pong)

    def roll(self, ts: int) -> int:
        """Replace every socket by another one, without a gap; return how many are being replaced now."""
        for link in self._links:
            link.roll("asked for", ts)
        self.advance(ts)
        return sum(link.is_rolling for link in self._links)

    def describe(self, ts: int) -> list[dict[str, Any]]:
        """Return what the links are doing, as plain values."""
        return [link.describe(ts) for link in self._links]

    def subscribe(
        self,
        instruments: Iterable[Instrument],
        markets: Mapping[str, Market],
        ts: int,
        channels: Iterable[str] | None = None,
    ) -> None:
        """Subscribe to more, while all else goes on; parameters and errors as of `Subscriptions.subscribe`."""
        self.subscriptions.subscribe(instruments, markets, ts, channels)
        self._monitor.changed()
        self.advance(ts)

    def unsubscribe(self, names: Iterable[str], ts: int, channels: Iterable[str] | None = None) -> None:
        """Subscribe to less, while all else goes on; parameters as of `Subscriptions.unsubscribe`."""
        self.subscriptions.unsubscribe(names, ts, channels)
        self._monitor.changed()
        self.advance(ts)

    def resync(self, name: str, ts: int) -> bool:
        """Drop the book of an instrument and ask for it anew; False if none is kept here."""
        done = self.subscriptions.resync(name, ts)
        self.advance(ts)
        return done

    def _end(self, link: Link, attempt: Attempt, reason: str, ts: int) -> None:
        was_open = attempt.is_open
        link.ended(attempt, reason, ts)
        if was_open:
            self._mourn(link, attempt, ts)
            self.attend(ts)

    def _mourn(self, link: Link, attempt: Attempt, ts: int) -> None:
        self.subscriptions.say(attempt, State.STATE_SYNCING, Reason.REASON_DISCONNECTED, ts)
        for each in link.subscriptions:
            if each.channel == "book" and not each.market.source_count:
                self._books[link.product.name].forget(each.instrument)

    def attend(self, ts: int) -> None:
        """Look at what the receive paths left for the protocol: control and refused frames, markets that call.

        What follows from it is done by the next `advance`: a read can bring hundreds of frames that call.
        """
        for link in self._links:
            for attempt in list(link.attempts):
                if attempt.path is not None and (attempt.path.controls or attempt.path.malformed):
                    self._read_controls(link, attempt, attempt.path, ts)
        for market, flags, expected, received in self._hub.attention():
            instrument = self.subscriptions.owner(market.instrument)
            if instrument is None:
                if market.source_count:
                    self._hub.call(market, flags)  # another machine has it
                continue
            if flags & Attention.GAP:
                gap = SequenceGap(self._venue.ID, instrument.name, expected, received)
                self._reports.tell(instrument.name, "gap", str(gap))
            if flags & Attention.HELD_LOST:
                self._reports.tell(instrument.name, "held", f"no room to hold deltas of {instrument.name}")
            if flags & Attention.REFUSED:
                self._reports.tell(instrument.name, "refused", f"a message of {instrument.name} was refused")
            if not market.live and market.source_count:
                self._books[self._venue.product_of(instrument).name].want(market, instrument, ts)

    def _read_controls(self, link: Link, attempt: Attempt, path: ReceivePath, ts: int) -> None:
        for code, offset, sample in path.take_malformed():
            error = MalformedFrame(self._venue.ID, None, offset, sample)
            self._reports.tell(link.url, "malformed", f"{error}: {describe(code)}")
            self._books[link.product.name].doubt(ts)
        for payload in path.take_controls():
            for control in self._venue.read_control(payload):
                if isinstance(control, Shutdown):
                    reason = control.reason or "the venue shuts down"
                    if not link.relieve(attempt, reason, ts):
                        self._end(link, attempt, reason, ts)
                        return
                else:
                    self._heed(link, attempt, control, ts)

    def _heed(
        self, link: Link, attempt: Attempt, control: Ack | Refusal | Answer | Pong | InstrumentStatus | Unknown, ts: int
    ) -> None:
        if isinstance(control, Ack):
            for each in link.acknowledged(attempt, control):
                if each.channel == "book":
                    self._books[link.product.name].subscribed(attempt, each, ts)
        elif isinstance(control, Refusal):
            refused = link.refused(attempt, control, ts)
            if refused is None:
                self._reports.tell(
                    link.url, "refusal", f"a topic of several refused: {control.reason} (code {control.code})"
                )
            else:
                self._refused(link, attempt, refused, control, ts)
        elif isinstance(control, Pong):
            if control.answers and attempt.path is not None:
                attempt.ponged(attempt.path.last_recv)
        elif isinstance(control, Answer):
            attempt.answer(control.payload)
        elif isinstance(control, InstrumentStatus):
            self.subscriptions.change_status(link.product, control.symbol, control.status, link.row, ts)
        elif isinstance(control, Unknown):
            self._reports.tell(link.url, "unknown", f"unknown control frame: {control.text}")

    def _refused(self, link: Link, attempt: Attempt, refused: list[Subscription], refusal: Refusal, ts: int) -> None:
        """A refused subscription costs itself, and its book unless another connection keeps that in step."""
        for each in refused or (None,):
            name = None if each is None else each.instrument.name
            channel = "?" if each is None else each.channel
            error = SubscriptionRefused(self._venue.ID, name, channel, refusal.code, refusal.reason)
            text = f"subscription refused url={link.url} error={error}"
            self._reports.tell(name or link.url, f"{channel} refused", text)
            if each is None:
                continue
            if not each.topic.group and self.subscriptions.is_over(each.instrument, ts):
                attempt.give_up(each.topic.text)
            books = self._books[link.product.name]
            dropped = each.channel == "book" and books.distrust(attempt, each, Reason.REASON_REFUSED, ts)
            if not dropped and attempt.times_refused(each.topic.text) <= 1:  # once: it is asked for again and again
                row = each.market.instrument
                state = State.STATE_LIVE if each.market.live else State.STATE_SYNCING
                self._hub.bus.status(row, link.row, ScopeCode.SCOPE_INSTRUMENT, state, Reason.REASON_REFUSED, ts)

    def reply(
        self, request: Request, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None, ts: int = 0
    ) -> None:
        """The answer to a request; status 0: it could not be made."""
        for books in self._books.values():
            if books.reply(request.id, body, status, headers or {}, ts):
                break
        self.attend(ts)
        self.advance(ts)

    def advance(self, ts: int) -> None:
        """Time has passed: retries and sends may be due, sockets may have died."""
        for books in self._books.values():
            books.advance(ts, self.requests)
        lost: list[tuple[Link, Attempt]] = []
        for link in self._links:
            lost += [(link, attempt) for attempt in link.advance(ts, self._sends) if attempt.opened_at]
            for attempt, refused, refusal in link.left_out(ts):
                self._refused(link, attempt, refused, refusal, ts)
        for link, attempt in lost:
            self._mourn(link, attempt, ts)
        if lost:
            self.attend(ts)
            self.advance(ts)
        self._monitor.advance(ts)

    def _stands_still(self, attempt: Attempt, subscription: Subscription, ts: int) -> None:
        """The stream of a book was found to be dead: without another source it is not to be trusted."""
        books = self._books[self._venue.product_of(subscription.instrument).name]
        books.distrust(attempt, subscription, Reason.REASON_NO_DATA, ts)
        books.want(subscription.market, subscription.instrument, ts)

    def stop(self, ts: int) -> None:
        """End: no connection is wanted any more, and books are not live."""
        for link in self._links:
            link.stop(ts)
        self._monitor.close()

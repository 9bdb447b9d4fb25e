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
from functools import partial
from random import Random
from typing import NamedTuple

from fastfeed.attempt import Attempt, Connection, Sends, Subscription
from fastfeed.books import Books
from fastfeed.config import Reconnect
from fastfeed.errors import MalformedFrame, SequenceGap, SubscriptionRefused
from fastfeed.instrument import Instrument
from fastfeed.link import Link
from fastfeed.places import Places
from fastfeed.reports import Reports
from fastfeed.rows import write_instrument
from fastfeed.snapshots import Request
from fastfeed.venues.spec import (
    Ack,
    Answer,
    Channel,
    Credentials,
    InstrumentStatus,
    Limits,
    Options,
    Pong,
    Product,
    Refusal,
    Shutdown,
    Topic,
    Unknown,
    Venue,
    rows_for,
)
from fastfeed_core.connection import Connection as ReceivePath
from fastfeed_core.market import Attention, Hub, Market
from fastfeed_core.message import INSTRUMENT_STATUSES
from fastfeed_core.records import Reason, ScopeCode, State
from fastfeed_core.status import describe

__all__ = ["Endpoint", "Protocol", "open_market"]

_log = logging.getLogger(__name__)

_NONE = -1


class Endpoint(NamedTuple):
    """Bases of a product's URLs."""

    ws: str
    rest: str


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


def _split(topics: Iterable[list[Subscription]], limits: Limits, notices: int) -> list[list[Subscription]]:
    """Return what each connection subscribes to, with room for notices on the first; neighbours stay together."""
    parts: list[list[Subscription]] = [[]]
    room, books = max(limits.topics_per_connection - notices, 1), limits.books_per_connection
    for feeds in topics:
        is_book = any(each.channel == "book" for each in feeds)
        if room == 0 or (is_book and books == 0):
            parts.append([])
            room, books = limits.topics_per_connection, limits.books_per_connection
        parts[-1] += feeds
        room -= 1
        books -= is_book
    return parts


class Protocol:
    """The machine of one venue.

    Parameters
    ----------
    hub : what its markets share
    markets : by name, of the instruments
    channels : to subscribe to, of each instrument
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
        self._reconnect = reconnect or Reconnect()
        self._places = places or Places(self._random, self._reconnect.connects_per_s)
        self._credentials = credentials
        self._options = options or Options()
        self._by_row: dict[int, Instrument] = {}
        self._by_symbol: dict[tuple[str, str], tuple[Instrument, Market]] = {}
        self._statuses: dict[str, str] = {}
        self._reports = Reports(_log)
        self._books: dict[str, Books] = {}
        self._links: list[Link] = []
        self._sent: dict[str, deque[int]] = {}
        self._plan(list(instruments), markets, list(channels), endpoints, connections)

    @property
    def sends(self) -> deque[tuple[int, bytes]]:
        """Text frames to send: (connection id, payload)."""
        return self._sends.frames

    @property
    def pings(self) -> deque[int]:
        """Connections, by id, that a ping of the WebSocket protocol should be sent on."""
        return self._sends.pings

    def _plan(
        self,
        instruments: list[Instrument],
        markets: Mapping[str, Market],
        channels: list[str],
        endpoints: Mapping[str, Endpoint],
        copies: int,
    ) -> None:
        """Group topics into links: one product, one path, no more topics than a connection may have."""
        groups: dict[tuple[str, str], dict[str, list[Subscription]]] = {}
        listed: dict[str, list[Instrument]] = {}
        products: dict[str, Product] = {}
        for instrument in instruments:
            product = self._venue.product_of(instrument)
            products[product.name] = product
            listed.setdefault(product.name, []).append(instrument)
            market = markets[instrument.name]
            self._by_symbol[product.name, instrument.symbol] = instrument, market
            self._statuses[instrument.name] = instrument.status
            rows = rows_for(self._venue, instrument, channels, self._options)
            for missing in set(channels) - {row.name for row in rows}:
                self._reports.tell(product.name, "channel", f"{instrument.name} has no channel {missing}")
            for row in rows:
                if row.name == "book":
                    self._by_row[market.instrument] = instrument
                for topic in () if row.derived else self._venue.topics(instrument, row, self._options):
                    feeds = groups.setdefault((product.name, topic.path), {}).setdefault(topic.text, [])
                    feeds.append(Subscription(topic, row.name, instrument, market))
        for name, product in products.items():
            self._books[name] = Books(
                self._venue, product, endpoints[name].rest, self._options, self._links, self._random, self._next_id
            )
        notices: dict[tuple[str, str], list[Topic]] = {}
        for name, product in products.items():
            for topic in self._venue.status_topics(product, listed[name]):
                notices.setdefault((name, topic.path), []).append(topic)
        for place in dict.fromkeys([*groups, *notices]):
            name, path = place
            by_text, told = groups.get(place, {}), notices.get(place, [])
            self._open_links(products[name], path, endpoints[name].ws + path, by_text, told, copies)

    def _open_links(
        self,
        product: Product,
        path: str,
        url: str,
        by_text: dict[str, list[Subscription]],
        notices: list[Topic],
        copies: int,
    ) -> None:
        parts = _split(by_text.values(), product.limits, len(notices))
        sent = self._sent.setdefault(product.name, deque()) if product.limits.sends_shared else None
        for (number, part), copy in itertools.product(enumerate(parts), range(copies)):
            label = f"{self._venue.ID} {product.name} {path} {number}.{copy}"
            link = Link(
                self._venue,
                product,
                partial(self._hub.bus.add_connection, label),
                url,
                part,
                notices if number == 0 else (),
                self._reconnect,
                self._credentials,
                self._random,
                self._places.of(url, product.limits),
                self._next_id,
                sent,
            )
            self._links.append(link)

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
        self._say(attempt, State.STATE_LIVE, Reason.REASON_CONNECTED, ts)
        _log.info("connected url=%s topics=%d", link.url, len(link.topics))
        self.advance(ts)

    def disconnected(self, connection: int, ts: int, reason: str = "closed by the venue") -> None:
        """A socket is gone, or could not be opened."""
        link, attempt = self._find(connection)
        if link is not None and attempt is not None:
            self._end(link, attempt, reason, ts)
            self.advance(ts)

    def roll(self, ts: int) -> None:
        """Replace every socket by another one, without a gap."""
        for link in self._links:
            link.roll("asked for", ts)
        self.advance(ts)

    def _end(self, link: Link, attempt: Attempt, reason: str, ts: int) -> None:
        was_open = attempt.is_open
        link.ended(attempt, reason, ts)
        if was_open:
            self._mourn(link, attempt, ts)
            self.attend(ts)

    def _say(self, attempt: Attempt, state: State, reason: Reason, ts: int) -> None:
        self._hub.bus.status(_NONE, attempt.row, ScopeCode.SCOPE_CONNECTION, state, reason, ts)

    def _mourn(self, link: Link, attempt: Attempt, ts: int) -> None:
        self._say(attempt, State.STATE_SYNCING, Reason.REASON_DISCONNECTED, ts)
        for each in link.subscriptions:
            if each.channel == "book" and not each.market.source_count:
                self._books[link.product.name].forget(each.instrument)

    def attend(self, ts: int) -> None:
        """Look at what the receive paths left for the protocol: control and refused frames, markets that call."""
        for link in self._links:
            for attempt in list(link.attempts):
                if attempt.path is not None and (attempt.path.controls or attempt.path.malformed):
                    self._read_controls(link, attempt, attempt.path, ts)
        for market, flags, expected, received in self._hub.attention():
            instrument = self._by_row.get(market.instrument)
            if instrument is None:
                self._hub.call(market, flags)  # another venue's machine has it
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
        self.advance(ts)

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
            refused = link.refused(attempt, control)
            if refused is None:
                self._reports.tell(
                    link.url, "refusal", f"a topic of several refused: {control.reason} (code {control.code})"
                )
            else:
                self._refused(link, refused, control, ts)
        elif isinstance(control, Answer):
            attempt.answer(control.payload)
        elif isinstance(control, InstrumentStatus):
            self._change_status(link, control, ts)
        elif isinstance(control, Unknown):
            self._reports.tell(link.url, "unknown", f"unknown control frame: {control.text}")

    def _refused(self, link: Link, refused: list[Subscription], refusal: Refusal, ts: int) -> None:
        """A refused subscription costs itself."""
        for each in refused or (None,):
            name = None if each is None else each.instrument.name
            channel = "?" if each is None else each.channel
            error = SubscriptionRefused(self._venue.ID, name, channel, refusal.code, refusal.reason)
            _log.error("subscription refused url=%s error=%s", link.url, error)
            if each is not None:
                row = each.market.instrument
                state = State.STATE_LIVE if each.market.live else State.STATE_SYNCING
                self._hub.bus.status(row, link.row, ScopeCode.SCOPE_INSTRUMENT, state, Reason.REASON_REFUSED, ts)

    def _change_status(self, link: Link, change: InstrumentStatus, ts: int) -> None:
        instrument, market = self._by_symbol.get((link.product.name, change.symbol), (None, None))
        if instrument is None or market is None or self._statuses[instrument.name] == change.status:
            return
        self._statuses[instrument.name] = change.status
        word = INSTRUMENT_STATUSES.index(change.status)
        self._hub.bus.instrument_status(market.instrument, word)
        state = State.STATE_LIVE if market.live else State.STATE_SYNCING
        self._hub.bus.status(
            market.instrument, link.row, ScopeCode.SCOPE_INSTRUMENT, state, Reason.REASON_INSTRUMENT, ts, word
        )
        _log.info("instrument status instrument=%s status=%s", instrument.name, change.status)

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
            for refused, refusal in link.left_out():
                self._refused(link, refused, refusal, ts)
        for link, attempt in lost:
            self._mourn(link, attempt, ts)
        if lost:
            self.attend(ts)

    def stop(self, ts: int) -> None:
        """End: no connection is wanted any more, and books are not live."""
        for link in self._links:
            link.stop(ts)

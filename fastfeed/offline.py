"""A venue's protocol driven by hand: no socket, no clock, a private bus. For tests, replays and experiments."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from random import Random

from fastfeed import venues
from fastfeed.attempt import Connection
from fastfeed.book import Book
from fastfeed.bus import Bus
from fastfeed.calls import Request
from fastfeed.config import Reconnect
from fastfeed.instrument import Instrument
from fastfeed.markets import Markets
from fastfeed.places import Places
from fastfeed.protocol import Endpoint, Protocol
from fastfeed.venues.spec import Credentials, Options, Stale, rows_for
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.market import Hub
from fastfeed_core.message import Event
from fastfeed_core.subscription import Subscription

__all__ = ["OfflineFeed"]

_MORE = 1024  # instruments that there is room for later; their memory is taken as they come


class OfflineFeed:
    """One venue's feed without I/O; every call returns the list of events that it caused.

    Times are ns since the epoch, and never run backwards. `ts_publish` of all records is the `ts_recv` that was given.

    Parameters
    ----------
    venue : the venue's id
    instruments : what `fastfeed.instruments` returned, or some of it
    channels : of book, bbo, trade, ticker, bar, liquidation
    book, trades, depth_speed, snapshot_levels, bar_interval, verify_s, crossed : as in the configuration file
    credentials : what logs in, where a channel needs it
    connections : redundant connections for each topic
    reconnect : pauses between attempts
    paced : keep to the limits on connection attempts, too; else `connections` has all that should be open at once
    seed : of the jitter
    ring : bytes of the private bus's ring; one call's records must fit

    Raises
    ------
    ConfigError : there is no such venue
    ValueError : the venue does not offer a channel
    """

    def __init__(
        self,
        venue: str,
        instruments: Iterable[Instrument],
        channels: Iterable[str] = ("book", "trade"),
        *,
        book: str = Options().book,
        trades: str = Options().trades,
        depth_speed: str = Options().depth_speed,
        snapshot_levels: int = Options().snapshot_levels,
        bar_interval: str = Options().bar_interval,
        verify_s: int = Options().verify_s,
        crossed: str = Options().crossed,
        stale: Stale | None = None,
        credentials: Credentials | None = None,
        connections: int = 1,
        reconnect: Reconnect | None = None,
        paced: bool = False,
        seed: int = 0,
        ring: int = 1 << 24,
    ) -> None:
        module = venues.load(venue)
        chosen = list(instruments)
        wanted = list(channels)
        self._writer = BusWriter(ring=ring, instruments=len(chosen) + _MORE)
        self._hub = Hub(self._writer)
        options = Options(
            book=book,
            trades=trades,
            depth_speed=depth_speed,
            snapshot_levels=snapshot_levels,
            bar_interval=bar_interval,
            verify_s=verify_s,
            crossed=crossed,
            stale=stale or Stale(),
        )
        self._options = options
        self._markets = Markets(self._hub)
        for each in chosen:
            self._markets.open(each, rows_for(module, each, wanted, options), options)
        random = Random(seed)
        self._protocol = Protocol(
            module,
            self._hub,
            chosen,
            self._markets,
            wanted,
            endpoints={product.name: Endpoint((product.ws,), product.rest) for product in module.PRODUCTS},
            options=options,
            connections=connections,
            reconnect=reconnect,
            credentials=credentials,
            random=random,
            places=Places(random, (reconnect or Reconnect()).connects_per_s if paced else None),
        )
        self._bus = Bus(BusMap(writer=self._writer))
        self._events = Subscription(self._bus.map, None, None, "oldest")
        self._now = 0

    @property
    def connections(self) -> list[Connection]:
        """What should be open."""
        return self._protocol.connections

    @property
    def sends(self) -> deque[tuple[int, bytes]]:
        """What should be sent: a queue of (connection id, payload) from which the caller pops."""
        return self._protocol.sends

    @property
    def pings(self) -> deque[int]:
        """Connections that a ping of the WebSocket protocol should be sent on: a queue of ids."""
        return self._protocol.pings

    @property
    def requests(self) -> deque[Request]:
        """What should be requested: a queue from which the caller pops."""
        return self._protocol.requests

    @property
    def bus(self) -> Bus:
        """The private bus, as a consumer sees it."""
        return self._bus

    def book(self, name: str) -> Book:
        """Return a view of an instrument's book."""
        return self._bus.book(name)

    def start(self, ts: int, connect: bool = True) -> list[Event]:
        """Begin; with `connect` all that should be open is taken as connected."""
        self._now = ts
        self._protocol.start(ts)
        if connect:
            for each in self.connections:
                self._protocol.connected(each.id, ts)
        return self._drain()

    def connected(self, id: int, ts: int) -> list[Event]:
        """A connection is open."""
        self._now = ts
        self._protocol.connected(id, ts)
        return self._drain()

    def disconnected(self, id: int, ts: int) -> list[Event]:
        """A connection is gone, or could not be opened."""
        self._now = ts
        self._protocol.disconnected(id, ts)
        return self._drain()

    def heard(self, id: int, ts: int, is_pong: bool = False) -> list[Event]:
        """A ping or pong of the WebSocket protocol came: no text, but a sign of life."""
        self._now = ts
        self._protocol.heard(id, ts, is_pong)
        return self._drain()

    def receive(self, frame: bytes | str, ts_recv: int, connection: int | None = None) -> list[Event]:
        """A text frame came.

        Parameters
        ----------
        connection : id of an open connection; None: the one that has the frame's topic, else any

        Raises
        ------
        ValueError : that connection is not open, or none is
        """
        self._now = ts_recv
        payload = frame.encode() if isinstance(frame, str) else bytes(frame)
        path = self._protocol.path(connection, payload)
        if path is None:
            which = "a connection" if connection is None else f"connection {connection}"
            raise ValueError(f"expected {which} to be open, was closed")
        if path.receive(payload, ts_recv):
            self._protocol.attend(ts_recv)
            self._protocol.advance(ts_recv)
        return self._drain()

    def reply(
        self,
        request: Request,
        body: bytes | str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        ts: int | None = None,
    ) -> list[Event]:
        """A request was answered (status 0: it could not be made); without `ts`, at the time of the last call."""
        self._now = self._now if ts is None else ts
        payload = body.encode() if isinstance(body, str) else bytes(body)
        self._protocol.reply(request, payload, status, headers, self._now)
        return self._drain()

    def subscribe(
        self, instruments: Iterable[Instrument], ts: int, channels: Iterable[str] | None = None
    ) -> list[Event]:
        """Subscribe to more, while all else goes on.

        Parameters
        ----------
        channels : None: those of the feed

        Raises
        ------
        ValueError : the venue does not offer a channel
        OSError : the bus has no room (ENOSPC)
        """
        self._now = ts
        more = None if channels is None else list(channels)
        chosen = list(instruments)
        for each in chosen:
            rows, instrument = self._protocol.subscriptions.rows_with(each, more)
            self._markets.open(instrument, rows, self._options)
        self._protocol.subscribe(chosen, self._markets, ts, more)
        return self._drain()

    def unsubscribe(self, names: Iterable[str], ts: int, channels: Iterable[str] | None = None) -> list[Event]:
        """End subscriptions, of `channels` or of all, while all else goes on; names that are not wanted are ignored."""
        self._now = ts
        self._protocol.unsubscribe(names, ts, channels)
        return self._drain()

    def advance(self, ts: int) -> list[Event]:
        """Time passes: what is due happens."""
        self._now = ts
        self._protocol.advance(ts)
        return self._drain()

    def _drain(self) -> list[Event]:
        self._hub.flush()
        events: list[Event] = []
        while True:
            more = self._events.poll(4096)
            if not more:
                return events
            events += more

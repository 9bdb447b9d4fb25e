"""Messages as a venue's decoder would hand them out, fed into a receive path over a private bus."""

from __future__ import annotations

from typing import Any

from pipeline import BOOK, instrument

from fastfeed.bus import Bus
from fastfeed.instrument import Instrument
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject
from fastfeed_core.market import Hub, Market
from fastfeed_core.subscription import Subscription

TOPICS = ("book", "bbo", "trade", "ticker", "bar", "liquidation")  # channels; topics are called alike
Levels = list[tuple[int, int]]


class Wire:
    """One instrument with all channels, fed by as many connections as wanted.

    Parameters
    ----------
    rows : what the market is made for
    channels : topic, channel and carrier of each route of a connection
    """

    def __init__(self, connections: int = 1, rows: tuple[Channel, ...] = BOOK, what: Instrument | None = None,
                 channels: tuple[tuple[str, str, str | None], ...] = tuple((each, each, None) for each in TOPICS),
                 held_bytes: int = 1 << 20, ring: int = 1 << 22, levels: int = 8192) -> None:  # fmt: skip
        self.instrument = what or instrument()
        self.writer = BusWriter(ring=ring, instruments=4, levels=levels)
        self.hub = Hub(self.writer, held_bytes)
        self.market: Market = open_market(self.hub, self.instrument, rows)
        self.channels = channels
        self.ts = 1
        self.step = 1  # ns from one message to the next
        self.connections = [self.connect() for _ in range(connections)]
        self.bus = Bus(BusMap(writer=self.writer))
        self._events = Subscription(self.bus.map, None, None, "oldest")

    def connect(self) -> Connection:
        connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), 16, self.ts)
        for topic, channel, carrier in self.channels:
            connection.route(topic, self.instrument.symbol, channel, self.market, carrier=carrier)
        return connection

    def feed(self, topic: str, kind: str, connection: int = 0, **message: Any) -> None:
        """One message, without looking at what comes of it."""
        self.ts += self.step
        inject(self.connections[connection], topic, kind, self.ts, **message)

    def send(self, topic: str, kind: str, connection: int = 0, **message: Any) -> list[Any]:
        """One message, and the events that it causes."""
        self.feed(topic, kind, connection, **message)
        return self.events()

    def book(self, kind: str, connection: int = 0, **message: Any) -> list[Any]:
        """One message of the book's channel."""
        return self.send("book", kind, connection, **message)

    def close(self, connection: int) -> list[Any]:
        self.ts += 1
        self.connections[connection].close(self.ts)
        return self.events()

    def events(self) -> list[Any]:
        self.hub.flush()
        return self._events.poll(100_000)

    def calls(self) -> list[int]:
        """Flags of the calls for attention since the last look."""
        return [flags for _, flags, *_ in self.hub.attention()]

    def counters(self) -> dict[str, int]:
        return self.bus.map.instrument_counters(0)

    def depth(self) -> Any:
        """The book as a reader in another process has it: image and records."""
        return self.bus.book(self.instrument.name).depth()

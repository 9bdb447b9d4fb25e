"""A receive path over a private bus, as the feed has it, without a protocol around it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from fastfeed.instrument import Instrument
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Hub
from fastfeed_core.subscription import Subscription


def instrument(name: str = "binance:BTC/USDT", tick: str = "0.01", lot: str = "0.00001") -> Instrument:
    """BTCUSDT, on spot unless the name has a settlement currency."""
    settle = name.partition("/")[2].partition(":")[2] or None
    px, sz = Decimal(tick), Decimal(lot)
    return Instrument(
        venue="binance", symbol="BTCUSDT", name=name, kind="swap" if settle else "spot", base="BTC", quote="USDT",
        settle=settle, tick_size=px, lot_size=sz, contract_size=Decimal(1), contract_unit="BTC", inverse=False,
        expiry=None, strike=None, option_type=None, status="trading",
        px_exp=px.as_tuple().exponent - 2, sz_exp=sz.as_tuple().exponent - 2,
    )  # fmt: skip


# A book by request, as open_market wants to know of it.
BOOK = (Channel(name="book", by_request=True),)


class Pipeline:
    """One instrument, fed by as many connections as wanted."""

    def __init__(self, what: Instrument | None = None, connections: int = 1, depth: str = "btcusdt@depth@100ms",
                 held_bytes: int = 1 << 20) -> None:  # fmt: skip
        self.instrument = what or instrument()
        self.writer = BusWriter(ring=1 << 24, instruments=2)
        self.hub = Hub(self.writer, held_bytes)
        self.market = open_market(self.hub, self.instrument, BOOK)
        self.depth = depth
        self.ts = 1
        self.connections = [self.connect() for _ in range(connections)]
        self.map = BusMap(writer=self.writer)
        self._events = Subscription(self.map, None, None, "oldest")

    def connect(self) -> Connection:
        connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), 8, self.ts)
        for topic, channel in ((self.depth, "book"), ("btcusdt@bookTicker", "bbo"), ("btcusdt@trade", "trade"),
                               ("btcusdt@aggTrade", "trade")):  # fmt: skip
            connection.route(topic, "BTCUSDT", channel, self.market)
            connection.taken(topic)  # the venue has answered
        return connection

    def receive(self, frame: bytes, connection: int = 0) -> list[Any]:
        self.ts += 1
        self.connections[connection].receive(frame, self.ts)
        return self.events()

    def events(self) -> list[Any]:
        self.hub.flush()
        return self._events.poll(100_000)

    def snapshot(self, body: bytes, limit: int = 0) -> bool:
        if not self.market.holding:
            self.market.expect_snapshot()
        return self.market.apply_snapshot(BinanceDecoder(), body, limit, self.ts)

    def counters(self) -> dict[str, int]:
        return self.map.instrument_counters(0)

    def row(self, connection: int = 0) -> dict[str, Any]:
        return self.map.connections()[connection]

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """The working book in decimals."""
        price, size = self.instrument.price, self.instrument.size
        return tuple([(price(px), size(sz)) for px, sz in side] for side in self.market.levels())  # type: ignore


def spot_depth(first: int, last: int, bids: list[list[str]] = (), asks: list[list[str]] = ()) -> dict[str, Any]:
    return {"e": "depthUpdate", "E": 1772506983582, "s": "BTCUSDT", "U": first, "u": last, "b": list(bids),
            "a": list(asks)}  # fmt: skip


def frame(data: dict[str, Any], topic: str = "btcusdt@depth@100ms") -> bytes:
    return json.dumps({"stream": topic, "data": data}, separators=(",", ":")).encode()


def rest_book(sequence: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return json.dumps({"lastUpdateId": sequence, "bids": bids, "asks": asks}).encode()

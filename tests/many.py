"""Several instruments with all channels on one bus, fed message by message."""

from __future__ import annotations

from typing import Any

from pipeline import BOOK, instrument
from wire import TOPICS

from fastfeed.bus import Bus
from fastfeed.protocol import open_market
from fastfeed_core.attach import BusMap
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject
from fastfeed_core.market import Hub

NAMES = ("binance:A/USDT", "binance:B/USDT", "binance:C/USDT", "binance:D/USDT")


class Many:
    """Instruments A to D; with `bus_name` on a bus that other processes could read."""

    def __init__(self, ring: int = 1 << 20, bus_name: str | None = None, names: tuple[str, ...] = NAMES) -> None:
        self.writer = BusWriter(bus_name, ring=ring, instruments=8, levels=256)
        self.hub = Hub(self.writer)
        self.connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), 64, 1)
        self.markets: list[Any] = []
        self.sequence: dict[str, int] = {}
        self.quotes = 0
        self.ts = 1
        for name in names:
            self.add(name)
        self.bus = Bus(BusMap(bus_name) if bus_name else BusMap(writer=self.writer))
        self.writer.heartbeat()

    def add(self, name: str) -> None:
        market = open_market(self.hub, instrument(name), BOOK)
        self.markets.append(market)  # kept: it owns the book
        self.sequence[name] = 1
        for topic in TOPICS:
            self.connection.route(f"{name}/{topic}", "BTCUSDT", topic, market)

    def send(self, name: str, kind: str, flush: bool = True, **message: Any) -> None:
        self.ts += 1
        topic = "book" if kind in ("delta", "snapshot") else kind
        inject(self.connection, f"{name}/{topic}", kind, self.ts, **message)
        if flush:
            self.hub.flush()

    def quote(self, name: str, px: int, flush: bool = True) -> None:
        self.quotes += 1
        self.send(name, "bbo", flush, quote=(px, 10, px + 1, 10), last=self.quotes)

    def trade(self, name: str, number: int, flush: bool = True) -> None:
        self.send(name, "trade", flush, deals=[{"px": 1000 + number, "sz": 1, "id": b"%d" % number}])

    def snapshot(self, name: str, levels: int = 3, flush: bool = True) -> None:
        self.sequence[name] += 1
        self.send(
            name, "snapshot", flush, last=self.sequence[name],
            bids=[(1_000_000 - 100 * i, 1 + i) for i in range(levels)],
            asks=[(1_000_100 + 100 * i, 1 + i) for i in range(levels)],
        )  # fmt: skip

    def delta(self, name: str, sz: int, flush: bool = True, levels: int = 1) -> None:
        last = self.sequence[name]
        self.sequence[name] += 1
        bids = [(1_000_000 - 100 * i, sz) for i in range(levels)]
        self.send(name, "delta", flush, prev=last, last=last + 1, bids=bids)

"""A named bus with one book, written by the process that makes it, without a venue's protocol around it."""

from __future__ import annotations

from typing import Any

from pipeline import BOOK, instrument

from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject
from fastfeed_core.market import Hub


class Feeder:
    """Sends deltas of one level, each flushed; the ask's size is the sequence."""

    def __init__(self, name: str, **options: Any) -> None:
        self.writer = BusWriter(name, ring=1 << 16, instruments=4, levels=64, **options)
        self.hub = Hub(self.writer)
        self.market = open_market(self.hub, instrument(), BOOK)
        self.connection = Connection(self.hub, self.writer.add_connection("feeder"), BinanceDecoder(), 8, 1)
        self.connection.route("book", "BTCUSDT", "book", self.market)
        self.sequence = 0

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            kind = "delta" if self.sequence else "snapshot"
            self.sequence += 1
            asks = [(9, self.sequence)]
            inject(
                self.connection, "book", kind, 2, prev=self.sequence - 1, last=self.sequence, bids=[(1, 5)], asks=asks
            )
            self.hub.flush()

    def close(self) -> None:
        self.writer.close()

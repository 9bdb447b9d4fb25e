"""A receive path with a bus of its own: what every benchmark of the core drives.

A stage is used once: it starts from a snapshot, so that all deltas sent through it are applied, every quote is new and
no trade is a copy. Setting it up is never timed; its ring is touched before, as the ring of a feed that runs is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.drive import Frames
from fastfeed_core.market import Hub, Market

__all__ = ["PRODUCTS", "RING", "TICK", "TS", "Product", "Stage", "open_stage", "pack"]

RING = 1 << 26  # bytes: holds all that one round writes, so that results can be read from it afterwards
TS = 1_723_161_256_000_000_000  # ns since the epoch of every receive
TICK = 100  # of both products, in price mantissas
MADV_POPULATE_WRITE = 23

_numbers = itertools.count()


@dataclass(frozen=True)
class Product:
    """What the receive path has to know of BTCUSDT on one product: topics and exponents (tick and lot, two finer)."""

    name: str
    book: str
    bbo: str
    trade: str
    px_exp: int
    sz_exp: int

    @property
    def topics(self) -> dict[str, str]:
        """Topic by channel."""
        return {"book": self.book, "bbo": self.bbo, "trade": self.trade}

    def row(self) -> dict[str, object]:
        """The instrument's row in the bus."""
        usdm = self.name == "usdm"
        return {
            "name": "binance:BTC/USDT:USDT" if usdm else "binance:BTC/USDT",
            "symbol": "BTCUSDT",
            "venue": "binance",
            "base": "BTC",
            "quote": "USDT",
            "settle": "USDT" if usdm else None,
            "contract_unit": "BTC",
            "tick_size": (1, self.px_exp + 2),
            "lot_size": (1, self.sz_exp + 2),
            "contract_size": (1, 0),
            "strike": None,
            "expiry": None,
            "px_exp": self.px_exp,
            "sz_exp": self.sz_exp,
            "kind": "swap" if usdm else "spot",
            "option_type": None,
            "inverse": False,
            "chained": True,
            "status": 0,
        }


PRODUCTS = {
    "spot": Product("spot", "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade", -4, -7),
    "usdm": Product("usdm", "btcusdt@depth@0ms", "btcusdt@bookTicker", "btcusdt@trade", -3, -5),
}


@dataclass
class Stage:
    """One bus, one instrument, one connection."""

    product: Product
    bus: BusWriter
    hub: Hub
    market: Market
    connection: Connection
    start: int  # ring position before the first frame that is timed


@contextlib.contextmanager
def open_stage(
    product: Product,
    held: Sequence[bytes] = (),
    snapshot: bytes | None = None,
    *,
    clock: bool = False,
    ring: int = RING,
) -> Iterator[Stage]:
    """Open a fresh receive path and close it afterwards.

    Parameters
    ----------
    product : topics and exponents
    held : frames that come before the snapshot
    snapshot : the reply that makes the book live; None: there is no book
    clock : publish into a named bus in shared memory with the real clock, as a feed does; else into private memory,
        where `ts_publish` is `ts_recv` and nothing depends on the time
    ring : bytes
    """
    name = f"bench-{os.getpid()}-{next(_numbers)}" if clock else None
    bus = BusWriter(name, ring=ring, instruments=4)
    try:
        hub = Hub(bus)
        decoder = BinanceDecoder()
        instrument = bus.add_instrument(product.row())
        market = Market(hub, instrument, product.px_exp, product.sz_exp, TICK, True)
        connection = Connection(hub, bus.add_connection("benchmark"), decoder, 16, TS)
        for channel, topic in product.topics.items():
            connection.route(topic, "BTCUSDT", channel, market)
        with contextlib.suppress(OSError):  # before Linux 5.14 the first round pays for page faults
            bus.map.madvise(MADV_POPULATE_WRITE)
        market.expect_snapshot()
        for frame in held:
            connection.receive(frame, TS)
        if snapshot is not None and not market.apply_snapshot(decoder, snapshot, 1000, TS):
            raise AssertionError("the snapshot does not connect to the deltas")
        bus.flush()
        yield Stage(product, bus, hub, market, connection, bus.position)
        if hub.attention():
            raise AssertionError("the book was lost while the benchmark ran")
    finally:
        bus.close()


def pack(frames: Sequence[bytes]) -> Frames:
    """Frames in one buffer, as a socket's buffer holds them."""
    return Frames(frames)

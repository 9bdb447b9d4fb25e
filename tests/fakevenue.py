"""A venue as data, whose ways of answering can be chosen; its frames are read by the decoder of Binance's.

Control frames are `{"result": [[type, fields], ...]}`, of the types of `spec`: the venue says just what a test wants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import fastfeed
from fastfeed import venues
from fastfeed.errors import FastfeedError, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument
from fastfeed.venues import spec
from fastfeed.venues.spec import (
    Call,
    Channel,
    Control,
    Credentials,
    Limits,
    Options,
    Page,
    Product,
    SnapshotSize,
    Topic,
)
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.inject import inject

START = 1_785_000_000_000_000_000
SECOND = 1_000_000_000

PRODUCT = Product(
    name="main", ws="wss://fake", rest="https://fake", ws_sandbox="", rest_sandbox="", listing=(),
    channels=(Channel(name="book"), Channel(name="trade"), Channel(name="bbo")),
    limits=Limits(topics_per_connection=100, sends_per_second=50, frame_bytes=1000, connects=10, connects_per_s=1,
                  weight_per_minute=6000),
    mute_after_s=1000,
)  # fmt: skip
BY_REQUEST = {"channels": (Channel(name="book", by_request=True), Channel(name="trade")),
              "snapshots": (SnapshotSize(1000, 10),)}  # fmt: skip
UNCHAINED = BY_REQUEST | {"channels": (Channel(name="book", by_request=True, chained=False), Channel(name="trade"))}


class FakeVenue:
    """What a module of `fastfeed.venues` holds, as an object; `product` are changes to the product above."""

    ID = "fake"
    USED_WEIGHT_HEADER = None

    def __init__(self, greets: bool = False, frames: bool = False, notices: bool = False, pings: bytes | None = None,
                 limits: Mapping[str, Any] | None = None, **product: Any) -> None:  # fmt: skip
        limits_ = msgspec.structs.replace(PRODUCT.limits, **(limits or {}))
        self.PRODUCTS = (msgspec.structs.replace(PRODUCT, limits=limits_, **product),)
        self.greets = greets
        self.frames = frames
        self.notices = notices
        self.pings = pings

    def products_for(self, pattern: str) -> tuple[Product, ...]:
        return self.PRODUCTS

    def product_of(self, instrument: Instrument) -> Product:
        return self.PRODUCTS[0]

    def check_options(self, options: Options) -> list[tuple[str, str]]:
        return []

    def read_listing(self, body: bytes | str, product: Product | None) -> Page:
        return Page(self.PRODUCTS[0], [])

    def topics(self, instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
        frame = channel.name if self.frames else ""
        return (Topic("/ws", f"{channel.name}:{instrument.symbol}", frame),)

    def status_topics(self, product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
        return (Topic("/ws", "status"),) if self.notices else ()

    def greeting(self, product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
        return json.dumps(["hello", [], request_id]).encode() if self.greets else None

    def encode_ping(self, product: Product) -> bytes | None:
        return self.pings

    def encode_subscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        return json.dumps(["sub", list(topics), request_id]).encode()

    def encode_unsubscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        return json.dumps(["unsubscribe", list(topics), request_id]).encode()

    def read_control(self, payload: bytes) -> list[Control]:
        said = json.loads(payload)["result"]
        return [msgspec.convert(fields, getattr(spec, kind)) for kind, fields in said]

    def snapshot(self, instrument: Instrument, levels: int) -> Call:
        size = self.PRODUCTS[0].snapshot_size(levels)
        return Call(f"/book/{size.levels}/{instrument.symbol}", size.weight)

    def read_rest_error(self, status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None,
                        ts: int | None = None) -> FastfeedError:  # fmt: skip
        if status == 429:
            return RateLimited(self.ID, instrument, 30.0)
        return RequestRefused(self.ID, instrument, status, "", "no") if status == 400 else VenueDown(self.ID, None, "")

    def decoder(self, product: Product) -> type[Any]:
        return BinanceDecoder


def coin(number: int) -> Instrument:
    symbol = f"C{number}USDT"
    return Instrument(
        venue="fake", symbol=symbol, name=f"fake:C{number}/USDT", kind="spot", base=f"C{number}", quote="USDT",
        settle=None, tick_size=Decimal(1), lot_size=Decimal(1), contract_size=Decimal(1), contract_unit=f"C{number}",
        inverse=False, expiry=None, strike=None, option_type=None, status="trading", px_exp=0, sz_exp=0,
    )  # fmt: skip


class Talk:
    """A feed of the fake venue, and the venue's side of the talk.

    Parameters
    ----------
    venue : its ways
    count : instruments
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, venue: FakeVenue, count: int = 1,
                 channels: Sequence[str] = ("book",), **options: Any) -> None:  # fmt: skip
        monkeypatch.setattr(venues, "load", lambda name: venue)
        self.instruments = [coin(number) for number in range(count)]
        self.feed = fastfeed.OfflineFeed("fake", self.instruments, channels, **options)
        self.now = START
        self.events: list[Any] = self.feed.start(START)
        self.book = self.feed.book(self.instruments[0].name) if "book" in channels else None

    def open(self) -> list[int]:
        """Connections, by id, that are open."""
        return [each.id for each in self.feed.connections if self.feed._protocol.attempt(each.id).is_open]

    def connect(self) -> None:
        """Open all that should be open."""
        for each in self.feed.connections:
            self._note(self.feed.connected(each.id, self.now))

    def sent(self, connection: int | None = None) -> list[tuple[str, list[str], int]]:
        """Requests since the last look: (verb, topics, id)."""
        out = []
        while self.feed.sends:
            key, payload = self.feed.sends.popleft()
            if connection is None or key == self.key(connection):
                out.append(tuple(json.loads(payload)))
        return out

    def key(self, connection: int = 0) -> int:
        return self.feed.connections[connection].id

    def say(self, *controls: tuple[str, Mapping[str, Any]], connection: int = 0) -> list[Any]:
        frame = json.dumps({"result": [[kind, dict(fields)] for kind, fields in controls]})
        return self._note(self.feed.receive(frame, self.now, self.key(connection)))

    def accept(self) -> list[tuple[str, list[str]]]:
        """Answer all requests, also those that follow from it; returns (verb, topics) of them."""
        out = []
        while self.feed.sends:
            key, payload = self.feed.sends.popleft()
            verb, topics, number = json.loads(payload)
            out.append((verb, topics))
            frame = json.dumps({"result": [["Ack", {"request_id": number, "ended": verb == "unsubscribe"}]]})
            if key not in self.open():
                continue
            self._note(self.feed.receive(frame, self.now, key))
            self._note(self.feed.advance(self.now))
        return out

    def wait(self, seconds: float, step: float = 0.5, alive: bool = True) -> list[Any]:
        """Let time pass; a live venue says something now and then."""
        events = []
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now = min(end, self.now + int(step * SECOND))
            if alive:
                for key in self.open():
                    if key not in self.open():
                        continue  # what the other one said made the feed give this one up
                    events += self._note(self.feed.receive(b'{"result":[["Pong",{}]]}', self.now, key))
            events += self._note(self.feed.advance(self.now))
        return events

    def stream(self, kind: str, connection: int = 0, coin: int = 0, topic: str = "book", **message: Any) -> list[Any]:
        """Market data, as if decoded."""
        path = self.feed._protocol.attempt(self.key(connection)).path
        if inject(path, f"{topic}:{self.instruments[coin].symbol}", kind, self.now, **message):
            self.feed._protocol.attend(self.now)
        return self._note(self.feed.advance(self.now))

    def requested(self) -> list[Any]:
        out = list(self.feed.requests)
        self.feed.requests.clear()
        return out

    def reply(self, request: Any, sequence: int, bids: Sequence[tuple[int, int]] = (), status: int = 200) -> list[Any]:
        body = json.dumps({"lastUpdateId": sequence, "bids": [[str(px), str(sz)] for px, sz in bids], "asks": []})
        return self._note(self.feed.reply(request, body, status, ts=self.now))

    def _note(self, events: list[Any]) -> list[Any]:
        self.events += events
        return events

    @property
    def live(self) -> bool:
        return self.book.state is fastfeed.BookState.LIVE

    def levels(self) -> list[tuple[int, int]]:
        return self.book.depth().bids.tolist()

    def reasons(self) -> list[str]:
        """Reasons of all changes of the book's state so far."""
        return [
            each.reason
            for each in self.events
            if each.kind == "status" and each.scope == "instrument" and each.health is None
        ]

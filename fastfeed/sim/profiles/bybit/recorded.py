"""Bybit over a recording: the same connections and REST, with the books that the venue really sent."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from fastfeed.sim.frames import Frame
from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Instrument, TrueBook
from fastfeed.sim.profiles.bybit.adapt import SERVED_DEPTHS, BookLine, derive, read_books, served_topic
from fastfeed.sim.profiles.bybit.doors import Doors
from fastfeed.sim.profiles.bybit.products import Product
from fastfeed.sim.profiles.bybit.rest import Rest, RestBook
from fastfeed.sim.profiles.bybit.session import BybitSession, rename
from fastfeed.sim.profiles.bybit.streams import Writer
from fastfeed.sim.replay import RecordedFrame, Recording, Timeline

TOPIC_KINDS = ("orderbook", "publicTrade", "tickers", "kline", "allLiquidation")

Sides = tuple[dict[str, str], dict[str, str]]


class State(NamedTuple):
    """A book as text, best levels first; `ts` and `cts` in ms."""

    ts: int
    update_id: int
    sequence: int
    cts: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class RecordedBook:
    """The book of one instrument as of the last frame sent."""

    def __init__(self, product: Product, instrument: Instrument) -> None:
        self.instrument = instrument
        self._writer = Writer(product, instrument)
        self._frames: list[RecordedFrame] = []
        self._indices: list[int] = []
        self._sides: Sides = ({}, {})
        self._last: dict[str, Any] = {}
        self._next = 0

    def add(self, index: int, frame: RecordedFrame) -> None:
        """Take the frame that is number `index` of the recording."""
        self._indices.append(index)
        self._frames.append(frame)

    def at(self, cursor: int) -> State:
        """Return the book after the first `cursor` frames, at least after its own first; a cursor never falls."""
        stop = max(1, bisect_left(self._indices, cursor))
        for frame in self._frames[self._next : stop]:
            self._apply(json.loads(frame.text))
        self._next = max(self._next, stop)
        bids, asks = (sorted(side.items(), key=lambda level: Decimal(level[0])) for side in self._sides)
        data = self._last["data"]
        return State(self._last["ts"], data["u"], data["seq"], self._last["cts"], bids[::-1], asks)

    def has_begun(self, cursor: int) -> bool:
        """Say whether its first frame is among the first `cursor` ones."""
        return self._indices[0] < cursor

    def snapshot(self, topic: str, state: State) -> bytes:
        """Return a message that says all of `state`."""
        head = self._writer.head(topic, "snapshot", state.ts * 1_000_000, state.sequence)
        levels = f'"b":{levels_of(state.bids)},"a":{levels_of(state.asks)}'
        rest = f'"u":{state.update_id},"seq":{state.sequence}}},"cts":{state.cts}}}'
        return f'{head}{{"s":"{self.instrument.symbol}",{levels},{rest}'.encode()

    def origin(self) -> bytes:
        """Return its first recorded frame."""
        return self._frames[0].text

    def _apply(self, message: dict[str, Any]) -> None:
        self._last = message
        if message["type"] == "snapshot":
            self._sides = ({}, {})
        for side, levels in zip(self._sides, (message["data"]["b"], message["data"]["a"]), strict=True):
            for price, size in levels:
                if size == "0":
                    side.pop(price, None)
                else:
                    side[price] = size


class RecordedProduct:
    """One product of a recording: its books, and a listing made for them."""

    def __init__(self, product: Product) -> None:
        self.recording = Recording(product.name)
        self.instruments: list[Instrument] = []
        self._product = product
        self._books: dict[str, RecordedBook] = {}
        self._timeline: Timeline | None = None

    def add(self, line: BookLine) -> None:
        """Take a recorded message."""
        book = self._books.get(line.symbol)
        if book is None:
            instrument = derive(line)
            book = self._books[line.symbol] = RecordedBook(self._product, instrument)
            self.instruments.append(instrument)
        publication = Publication(self._product.name, served_topic(line.symbol), book.instrument.name, line.text)
        frame = RecordedFrame(line.ts, line.text, publication)
        book.add(len(self.recording.frames), frame)
        self.recording.frames.append(frame)

    def play(self, speed: float | None, on_done: Callable[[Timeline], None]) -> Timeline:
        """Get ready to play what was added."""
        self._timeline = Timeline(self.recording, speed, on_done)
        return self._timeline

    def lists(self, symbol: str) -> bool:
        """Say whether there is such an instrument."""
        return symbol in self._books

    def resolve(self, topic: str) -> list[str]:
        """Return the recorded topic for the one that a client names; what was not recorded is taken and silent."""
        kind, _, rest = topic.partition(".")
        symbol = rest.rpartition(".")[2]
        if kind not in TOPIC_KINDS or not self.lists(symbol):
            return []
        served = [f"orderbook.{depth}.{symbol}" for depth in SERVED_DEPTHS]
        return [served_topic(symbol) if topic in served else topic]

    def first(self, key: str, topic: str, now: int) -> Frame | None:
        """Return the book as of the last frame sent; None while the recorded snapshot is still to come."""
        book = self._books[key.rpartition(".")[2]]
        if key not in self.recording.topics or not book.has_begun(self._cursor()):
            return None
        payload = book.snapshot(topic, book.at(self._cursor()))
        return Frame(payload, topic, book.instrument.name, stale=rename(book.origin(), key, topic))

    def book(self, symbol: str, limit: int, is_old: bool) -> RestBook | None:
        """Return the book as of the last frame sent; before the first, the recorded snapshot."""
        if symbol not in self._books:
            return None
        state = self._books[symbol].at(self._cursor())
        sides = (levels_of(state.bids[:limit]), levels_of(state.asks[:limit]))
        return RestBook(state.update_id, state.sequence, state.cts * 1_000_000, *sides)

    def _cursor(self) -> int:
        return 0 if self._timeline is None else self._timeline.cursor


class RecordedProfile:
    """The products that were recorded."""

    venue: str = "bybit"
    ws_endpoints: Sequence[str]
    rest_endpoints: Sequence[str]
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def __init__(self, products: dict[str, RecordedProduct], knobs: Knobs, timelines: list[Timeline]) -> None:
        self.ws_endpoints = self.rest_endpoints = tuple(products)
        self.instruments = [row for product in products.values() for row in product.instruments]
        self.timelines = timelines
        self._rest = Rest(products)
        self._doors = Doors(products, knobs)

    @classmethod
    def load(
        cls, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        products: dict[str, RecordedProduct] = {}
        for line in read_books(folder):
            if line.product.name not in products:
                products[line.product.name] = RecordedProduct(line.product)
            products[line.product.name].add(line)
        timelines = [product.play(speed, on_done) for product in products.values()]
        return cls(products, knobs, timelines) if products else None

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BybitSession | Reply:
        """Open a connection to the product of the path."""
        return self._doors.open(endpoint, path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call: the category of the query says of which product."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Yield nothing: what a recording sends is in `timelines`."""
        return iter(())

    def next_due(self) -> None:
        """Return None: see `timelines`."""

    def reset(self, name: str) -> None:
        """Do nothing, as a recording does."""

    def true_book(self, name: str) -> TrueBook:
        """Raise KeyError: a recording has no true book, only the REST one."""
        raise KeyError(name)

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Raise KeyError, as `true_book` does."""
        raise KeyError(name)


def levels_of(levels: list[tuple[str, str]]) -> str:
    """Return `[["1.9531","6203"],..]`."""
    return json.dumps(levels, separators=(",", ":"))

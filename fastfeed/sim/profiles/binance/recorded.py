"""Binance over a recording: the same connections and REST, with what the venue really sent.

A folder holds either `*.jsonl.gz` with REST books inline, or `ws.txt`, `rest.txt` and `instruments.txt`. Which product
a file belongs to is seen by the fields of its messages, since both products use the same symbols.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Instrument, TrueBook
from fastfeed.sim.profiles.binance.products import PRODUCTS, SPOT, USDM, Product, common_step, listing
from fastfeed.sim.profiles.binance.rest import Depth, Rest
from fastfeed.sim.profiles.binance.session import BinanceSession, open_session
from fastfeed.sim.replay import Hold, Line, RecordedFrame, Recording, Timeline, read_capture, read_jsonl_gz

_ENVELOPE = re.compile(rb'\{"stream":"([^"]+)","data":')
_DEPTH_STREAM = re.compile(r"([^@]+)@depth(@\d+ms)?")

# Fields that only futures have: in a depth diff, a book ticker, a trade, and a REST book.
_FUTURES_FIELDS = re.compile(rb'"pu":|"e":"bookTicker"|"X":"|^\{"lastUpdateId":\d+,"E":')

# Splits a symbol where no listing was recorded; the longer ones stand before their endings.
_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "EUR", "TRY", "BTC", "ETH", "BNB")


class RecordedBook:
    """The book of one symbol as of the last frame sent: the recorded snapshot and the diffs since.

    Parameters
    ----------
    ts : when the snapshot arrived
    """

    def __init__(self, snapshot: Mapping[str, Any], ts: int) -> None:
        self.ts = ts
        self.index = 0  # frames that had arrived before it
        self.frames: list[tuple[int, RecordedFrame]] = []
        self.snapshot = snapshot
        self._sequence: int = snapshot["lastUpdateId"]
        self._ts: int = snapshot.get("T", 0)
        self._sides = dict(snapshot["bids"]), dict(snapshot["asks"])
        self._next = 0

    def at(self, cursor: int, limit: int) -> Depth:
        """Return the book after the first `cursor` frames of the recording; a cursor never falls."""
        while self._next < len(self.frames) and self.frames[self._next][0] < cursor:
            self._apply(json.loads(self.frames[self._next][1].publication.data))
            self._next += 1
        bids, asks = (sorted(side.items(), key=lambda level: Decimal(level[0])) for side in self._sides)
        return _depth(self._sequence, self._ts, bids[::-1], asks, limit)

    def origin(self, limit: int) -> Depth:
        """Return the recorded snapshot."""
        bids, asks = self.snapshot["bids"], self.snapshot["asks"]
        return _depth(self.snapshot["lastUpdateId"], self.snapshot.get("T", 0), bids, asks, limit)

    def _apply(self, diff: Mapping[str, Any]) -> None:
        if diff["u"] <= self._sequence:
            return
        self._sequence, self._ts = diff["u"], diff.get("T", 0)
        for side, levels in zip(self._sides, (diff["b"], diff["a"]), strict=True):
            for price, size in levels:
                if size.strip("0."):
                    side[price] = size
                else:
                    side.pop(price, None)


class RecordedProduct:
    """One product of a recording: its streams, books and listing."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.recording = Recording(product.name)
        self.timeline: Timeline | None = None
        self._books: dict[str, RecordedBook] = {}
        self._listing: dict[str, Any] | None = None
        self._depth_topics: dict[str, str] = {}

    def add(self, line: Line) -> None:
        """Take a recorded message or REST reply."""
        if match := _ENVELOPE.match(line.text):
            topic = match[1].decode()
            data = line.text[match.end() : -1]
            name = topic.partition("@")[0].upper()
            publication = Publication(self.product.name, topic, name, data)
            self.recording.frames.append(RecordedFrame(line.ts, line.text, publication))
            return
        body = json.loads(line.text)
        if "symbols" in body:
            self._listing = body
        elif "lastUpdateId" in body:
            symbol = re.search("symbol=([^&]+)", line.url)
            self._books[symbol[1] if symbol else ""] = RecordedBook(body, line.ts)

    def finish(self, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> None:
        """Order what was added, and get ready to play it."""
        frames = self.recording.frames
        frames.sort(key=lambda frame: frame.ts)
        for index, frame in enumerate(frames):
            topic = frame.publication.topic
            if match := _DEPTH_STREAM.fullmatch(topic):
                symbol = match[1].upper()
                self._depth_topics[match[1]] = topic
                # An inline REST book does not name its symbol: it belongs to the only one that has diffs.
                if symbol not in self._books and "" in self._books:
                    self._books[symbol] = self._books.pop("")
                if symbol in self._books:
                    self._books[symbol].frames.append((index, frame))
        times = [frame.ts for frame in frames]
        for symbol, book in self._books.items():
            book.index = bisect_left(times, book.ts)
            if symbol.lower() in self._depth_topics:
                self.recording.holds.append(Hold(book.index, self._depth_topics[symbol.lower()]))
        self.timeline = Timeline(self.recording, speed, on_done, int(knobs.hold_s * SECOND))

    def instruments(self) -> list[Instrument]:
        """Return the instruments that occur in the recording."""
        symbols = sorted({topic.partition("@")[0].upper() for topic in self.recording.topics})
        listed = {row["symbol"]: row for row in (self._listing or {"symbols": []})["symbols"]}
        return [
            _listed_instrument(listed[symbol]) if symbol in listed else self._derived_instrument(symbol)
            for symbol in symbols
        ]

    def resolve(self, stream: str, microseconds: bool) -> str | None:
        """Return the recorded stream for the one that a client names.

        Diffs were recorded at one speed; a client that asks for another one gets them under the name that it asked for.
        """
        if stream in self.recording.topics:
            return stream
        match = _DEPTH_STREAM.fullmatch(stream)
        return self._depth_topics.get(match[1]) if match else None

    def listing(self, now: int) -> dict[str, Any]:
        """Return the recorded `exchangeInfo`, or one made for the recorded symbols."""
        return self._listing or listing(self.product, self.instruments(), now)

    def depth(self, symbol: str, limit: int, is_old: bool) -> Depth | None:
        """Return the book as of the last frame sent; up to where it was recorded, the recorded one."""
        book = self._books.get(symbol)
        if book is None:
            return None
        assert self.timeline is not None
        self.timeline.asked(self._depth_topics.get(symbol.lower(), ""))
        if is_old or self.timeline.cursor <= book.index:
            return book.origin(limit)
        return book.at(self.timeline.cursor, limit)

    def _derived_instrument(self, symbol: str) -> Instrument:
        """Make an instrument whose tick and lot are the greatest powers of ten that the recorded book allows."""
        book = self._books.get(symbol)
        levels = book.snapshot["bids"] + book.snapshot["asks"] if book else [["1.00000000", "1.00000000"]]
        pair, _, delivery = symbol.partition("_")
        quote = next((quote for quote in _QUOTES if pair.endswith(quote)), pair[-3:])
        expiry = (
            int(datetime.strptime(delivery, "%y%m%d").replace(hour=8, tzinfo=UTC).timestamp()) if delivery else None
        )
        return _instrument(
            symbol,
            pair.removesuffix(quote),
            quote,
            quote if self.product is USDM else None,
            common_step([price for price, _ in levels]),
            common_step([size for _, size in levels]),
            None if expiry is None else expiry * SECOND,
        )


class RecordedProfile:
    """The products that were recorded."""

    venue: str = "binance"
    ws_endpoints: Sequence[str]
    rest_endpoints: Sequence[str]
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def __init__(self, products: list[RecordedProduct], knobs: Knobs) -> None:
        self._products = {recorded.product.name: recorded for recorded in products}
        self._rest = {recorded.product.name: Rest(recorded.product, recorded) for recorded in products}
        self._knobs = knobs
        self.ws_endpoints = self.rest_endpoints = tuple(self._products)
        self.instruments = [row for recorded in products for row in recorded.instruments()]
        self.timelines = [recorded.timeline for recorded in products if recorded.timeline is not None]

    @classmethod
    def load(
        cls, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        products = {product.name: RecordedProduct(product) for product in PRODUCTS.values()}
        for lines in _sources(folder):
            if not any(_ENVELOPE.match(line.text) for line in lines):
                continue
            is_futures = any(_FUTURES_FIELDS.search(line.text) for line in lines)
            recorded = products[USDM.name if is_futures else SPOT.name]
            for line in lines:
                recorded.add(line)
        found = [recorded for recorded in products.values() if recorded.recording.frames]
        for recorded in found:
            recorded.finish(knobs, speed, on_done)
        return cls(found, knobs) if found else None

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BinanceSession | Reply:
        """Open a connection to a product."""
        recorded = self._products[endpoint]
        return open_session(recorded.product, recorded, self._knobs, path, query, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call to a product."""
        return self._rest[endpoint].answer(request, now)

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


def _sources(folder: Path) -> Iterator[list[Line]]:
    """Yield the lines of each file, or group of files, that belongs to one product."""
    for path in sorted(folder.glob("*.jsonl.gz")):
        yield list(read_jsonl_gz(path))
    capture = [folder / name for name in ("ws.txt", "rest.txt", "instruments.txt")]
    yield [line for path in capture if path.exists() for line in read_capture(path)]


def _depth(sequence: int, ts: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]], limit: int) -> Depth:
    texts = ("[" + ",".join([f'["{price}","{size}"]' for price, size in side[:limit]]) + "]" for side in (bids, asks))
    return Depth(sequence, ts, *texts)


def _listed_instrument(row: Mapping[str, Any]) -> Instrument:
    filters = {entry["filterType"]: entry for entry in row["filters"]}
    delivery = row.get("deliveryDate") if row.get("contractType", "PERPETUAL") != "PERPETUAL" else None
    return _instrument(
        row["symbol"],
        row["baseAsset"],
        row["quoteAsset"],
        row.get("marginAsset"),
        Decimal(filters["PRICE_FILTER"]["tickSize"]),
        Decimal(filters["LOT_SIZE"]["stepSize"]),
        None if delivery is None else delivery * 1_000_000,
    )


def _instrument(
    symbol: str, base: str, quote: str, settle: str | None, tick: Decimal, lot: Decimal, expiry: int | None
) -> Instrument:
    name = f"{base}/{quote}" if settle is None else f"{base}/{quote}:{settle}"
    if expiry is not None:
        name += f"-{datetime.fromtimestamp(expiry / SECOND, UTC):%y%m%d}"
    return Instrument(name, symbol, base, quote, tick, lot, Decimal(0), Decimal(0), settle, expiry)

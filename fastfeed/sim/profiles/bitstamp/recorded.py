"""Bitstamp over a recording: the same connections and REST, with what the venue really sent.

A folder holds `ws.txt`, `rest.txt` and `instruments.txt`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Instrument, TrueBook
from fastfeed.sim.profiles.bitstamp.adapt import TextBook, derived_row, market_row, whole_books
from fastfeed.sim.profiles.bitstamp.markets import VENUE, instrument_of
from fastfeed.sim.profiles.bitstamp.rest import Rest
from fastfeed.sim.profiles.bitstamp.session import BitstampSession, open_session
from fastfeed.sim.replay import Hold, Line, RecordedFrame, Recording, Timeline, read_capture

_ACK = b'{"event":"bts:subscription_succeeded"'
_MESSAGE = re.compile(rb'"channel":"([a-z0-9_-]+)","event":"(?!bts:)[a-z_]+"\}$')
_BOOK_URL = re.compile(r"/api/v2/order_book/([a-z0-9-]+)")


class RecordedBook:
    """The book of one market as of the last frame sent: the recorded snapshot and the differences since."""

    def __init__(self, line: Line) -> None:
        self.ts = line.ts
        self.origin = line.text.decode()
        self.snapshot: Mapping[str, Any] = json.loads(line.text)
        self.index = 0  # frames that had arrived before it
        self.frames: list[tuple[int, RecordedFrame]] = []
        self._book = TextBook(self.snapshot)
        self._next = 0

    def at(self, cursor: int) -> str:
        """Return the book after the first `cursor` frames of the recording; a cursor never falls."""
        while self._next < len(self.frames) and self.frames[self._next][0] < cursor:
            self._book.apply(json.loads(self.frames[self._next][1].text)["data"])
            self._next += 1
        return self._book.body()


class RecordedBooks:
    """Channels, books and listing of a recording."""

    def __init__(self, lines: Sequence[Line], knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]):
        self._books: dict[str, RecordedBook] = {}
        self._listing: list[dict[str, Any]] = []
        frames = []
        for line in lines:
            if match := _BOOK_URL.search(line.url):
                self._books[match[1]] = RecordedBook(line)
            elif line.url:
                self._listing = [market_row(row) for row in json.loads(line.text)]
            elif found := _MESSAGE.search(line.text):
                topic = found[1].decode()
                publication = Publication(VENUE, topic, topic.rpartition("_")[2], line.text)
                frames.append(RecordedFrame(line.ts, line.text, publication))
        frames.sort(key=lambda frame: frame.ts)
        snapshots = {symbol: book.snapshot for symbol, book in self._books.items()}
        self.recording = Recording(VENUE, list(whole_books(frames, snapshots)))
        self._first: dict[str, bytes] = {}
        self._index()
        self.timeline = Timeline(self.recording, speed, on_done, int(knobs.hold_s * SECOND))
        self.instruments = self._name()

    def resolve(self, channel: str) -> bool:
        """Say whether a channel was recorded."""
        return channel in self.recording.topics

    def first_book(self, channel: str) -> bytes:
        """Return the first message of a channel of whole books, empty for others."""
        return self._first.get(channel, b"")

    def listing(self) -> list[dict[str, Any]]:
        """Return the recorded listing, and rows for recorded markets that it lacks."""
        return self._listing

    def book(self, symbol: str, group: str, is_old: bool) -> str | None:
        """Return the book as of the last frame sent; up to where it was recorded, the recorded one, byte by byte."""
        book = self._books.get(symbol)
        if book is None:
            return None
        self.timeline.asked(f"diff_order_book_{symbol}")
        return book.origin if is_old or self.timeline.cursor <= book.index else book.at(self.timeline.cursor)

    def tickers(self, now: int) -> dict[str, dict[str, Any]]:
        """Return nothing: no ticker was recorded."""
        return {}

    def funding(self, symbol: str, now: int) -> None:
        """Return None: no perpetual was recorded."""

    def _index(self) -> None:
        times = [frame.ts for frame in self.recording.frames]
        for symbol, book in self._books.items():
            book.index = bisect_left(times, book.ts)
            self.recording.holds.append(Hold(book.index, f"diff_order_book_{symbol}"))
        for index, frame in enumerate(self.recording.frames):
            kind, _, symbol = frame.publication.topic.rpartition("_")
            if kind == "order_book":
                self._first.setdefault(frame.publication.topic, frame.text)
            elif kind == "diff_order_book" and symbol in self._books:
                self._books[symbol].frames.append((index, frame))

    def _name(self) -> list[Instrument]:
        """Return the instruments that occur in the recording, and put their names into its frames."""
        symbols = {frame.publication.name for frame in self.recording.frames} | self._books.keys()
        rows = {row["market_symbol"]: row for row in self._listing}
        for symbol in sorted(symbols - rows.keys()):
            rows[symbol] = derived_row(symbol, self._books[symbol].snapshot if symbol in self._books else None)
            self._listing.append(rows[symbol])
        instruments = {symbol: instrument_of(rows[symbol]) for symbol in sorted(symbols)}
        for frame in self.recording.frames:
            frame.publication = replace(frame.publication, name=instruments[frame.publication.name].name)
        return list(instruments.values())


class RecordedProfile:
    """What was recorded of the venue."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)

    def __init__(self, books: RecordedBooks, knobs: Knobs) -> None:
        self._books = books
        self._rest = Rest(books)
        self._knobs = knobs
        self.instruments: Sequence[Instrument] = books.instruments
        self.timelines: Sequence[Timeline] = [books.timeline]

    @classmethod
    def load(
        cls, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        paths = [folder / name for name in ("ws.txt", "rest.txt", "instruments.txt")]
        lines = [line for path in paths if path.exists() for line in read_capture(path)]
        if not any(line.text.startswith(_ACK) for line in lines):
            return None
        return cls(RecordedBooks(lines, knobs, speed, on_done), knobs)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> BitstampSession | Reply:
        """Open a connection."""
        return open_session(self._books, self._knobs, path, query, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
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

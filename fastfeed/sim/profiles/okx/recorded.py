"""OKX over a recording: the same connections and REST, with what the venue really sent.

A folder holds `ws.txt` and `instruments.txt`. A client that subscribes to a book after its recorded snapshot was sent
gets the book as of the last frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastfeed.sim.frames import Frame
from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import Instrument, TrueBook
from fastfeed.sim.profiles.okx import adapt
from fastfeed.sim.profiles.okx.channels import BY_TYPE, DEFAULT_BOOK, key_of, path_of, split_key, subject_of, topic_of
from fastfeed.sim.profiles.okx.live import VENUE, Door
from fastfeed.sim.profiles.okx.products import index_of, listed_instrument
from fastfeed.sim.profiles.okx.rest import Book, Rest
from fastfeed.sim.profiles.okx.session import OkxSession
from fastfeed.sim.replay import RecordedFrame, Recording, Timeline, read_capture

_PUSH = b'{"arg":{"channel":"'

Level = list[str]


class RecordedBook:
    """The book of one symbol as of the last frame sent: its snapshot and the updates since."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self._next = 0
        self._sides: tuple[dict[str, Level], dict[str, Level]] = ({}, {})
        self._data: dict[str, Any] = {}

    def at(self, cursor: int) -> dict[str, Any]:
        """Return the snapshot after the first `cursor` frames of the recording, empty before; a cursor never falls."""
        while self._next < len(self.frames) and self.frames[self._next][0] < cursor:
            self._apply(json.loads(self.frames[self._next][1]))
            self._next += 1
        if not self._data:
            return {}
        asks, bids = (sorted(side.values(), key=lambda level: Decimal(level[0])) for side in self._sides)
        return {"asks": asks, "bids": bids[::-1], "ts": self._data["ts"], "checksum": 0, "prevSeqId": -1,
                "seqId": self._data["seqId"]}  # fmt: skip

    def _apply(self, message: Mapping[str, Any]) -> None:
        (self._data,) = message["data"]
        for side, levels in zip(self._sides, (self._data["asks"], self._data["bids"]), strict=True):
            if message["action"] == "snapshot":
                side.clear()
            for level in levels:
                if Decimal(level[1]):
                    side[level[0]] = level
                else:
                    side.pop(level[0], None)


class RecordedProfile:
    """What was recorded, as the market that a client sees."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def __init__(
        self,
        recording: Recording,
        rows: list[dict[str, Any]],
        knobs: Knobs,
        speed: float | None,
        on_done: Callable[[Timeline], None],
    ) -> None:
        self._rows = rows
        listed = {row["instId"]: listed_instrument(row) for row in rows}
        self._names = {symbol: row.name for symbol, row in listed.items()}
        self._indices = {index_of(row) for row in listed.values()}
        self.instruments = [listed[symbol] for symbol in sorted({split_key(key)[1] for key in recording.topics})]
        self._books: dict[str, RecordedBook] = {}
        for index, frame in enumerate(recording.frames):
            if topic_of(frame.publication.topic).startswith(f"{DEFAULT_BOOK}:"):
                book = self._books.setdefault(frame.publication.topic, RecordedBook())
                book.frames.append((index, frame.publication.data))
        self._timeline = Timeline(recording, speed, on_done)
        self.timelines = (self._timeline,)
        self._door = Door(self, knobs)
        self._rest = Rest(self)

    @classmethod
    def load(
        cls, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        paths = [path for path in (folder / "ws.txt", folder / "instruments.txt") if path.exists()]
        lines = [line for path in paths for line in read_capture(path)]
        pages = [json.loads(line.text) for line in lines if "/api/v5/public/instruments" in line.url]
        pushes = [line for line in lines if not line.url and line.text.startswith(_PUSH)]
        if not pages or not pushes:
            return None
        rows = [row for page in pages for row in page["data"]]
        rows = [adapt.listing_row(row, code) for code, row in enumerate(rows, 1)]
        names = {row["instId"]: listed_instrument(row).name for row in rows}
        adapter = adapt.Adapter()
        recording = Recording(VENUE)
        for line in sorted(pushes):
            message = adapter.message(json.loads(line.text))
            symbol = message["arg"]["instId"]
            key = key_of(message["arg"]["channel"], symbol)
            data = adapt.dump(message)
            recording.frames.append(RecordedFrame(line.ts, data, Publication(VENUE, key, names[symbol], data)))
        return cls(recording, rows, knobs, speed, on_done)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> OkxSession | Reply:
        """Open a connection."""
        return self._door.open(endpoint, path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
        return self._rest.answer(request, now)

    def keys(self, arg: Mapping[str, Any]) -> list[str] | None:
        """Return the key of the stream that an argument asks for; of what is listed and not recorded, it is silent."""
        channel, subject = str(arg.get("channel")), subject_of(arg)
        if channel in BY_TYPE:
            return []
        known = self._indices if channel == "index-tickers" else self._names
        return [key_of(channel, subject)] if subject in known and path_of(channel) else None

    def first(self, key: str) -> Frame | None:
        """Return the snapshot for a client that comes after the recorded one was sent; older ones are the recorded."""
        book = self._books.get(key)
        data = {} if book is None else book.at(self._timeline.cursor)
        if book is None or not data:
            return None
        channel, symbol = split_key(key)
        message = {"arg": {"channel": channel, "instId": symbol}, "action": "snapshot", "data": [data]}
        return Frame(adapt.dump(message), topic_of(key), self._names[symbol], stale=book.frames[0][1])

    def listing(self, now: int) -> list[dict[str, Any]]:
        """Return the recorded rows."""
        return self._rows

    def book(self, symbol: str, limit: int, is_old: bool) -> Book | None:
        """Return the book as of the last frame sent, before the first one and if `is_old` the recorded snapshot."""
        book = self._books.get(key_of(DEFAULT_BOOK, symbol))
        if book is None:
            return None
        data = {} if is_old else book.at(self._timeline.cursor)
        data = data or json.loads(book.frames[0][1])["data"][0]
        sides = ",".join(f'"{side}":{adapt.dump(data[side][:limit]).decode()}' for side in ("asks", "bids"))
        return Book(sides, int(data["ts"]), data["seqId"])

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

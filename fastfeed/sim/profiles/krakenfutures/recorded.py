"""Kraken Futures over a recording: the same connections and REST, with what the venue really sent.

A folder holds `ws.txt` and `instruments.txt`. The recorded snapshot of a book or of trades is sent in its turn; who
subscribes after that is sent one made of the frames that were sent so far.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Instrument, TrueBook
from fastfeed.sim.profiles.krakenfutures import adapt
from fastfeed.sim.profiles.krakenfutures.live import WS_PATH
from fastfeed.sim.profiles.krakenfutures.products import VENUE
from fastfeed.sim.profiles.krakenfutures.rest import Rest
from fastfeed.sim.profiles.krakenfutures.session import FuturesSession
from fastfeed.sim.profiles.krakenfutures.streams import RECENT, First
from fastfeed.sim.profiles.krakenfutures.wire import trade_snapshot
from fastfeed.sim.replay import Line, RecordedFrame, Recording, Timeline, read_capture

OnDone = Callable[[Timeline], None]
Levels = list[tuple[float, float]]

_MESSAGE = re.compile(rb'\{"feed":"(book|trade|ticker|ticker_lite)(?:_snapshot)?","product_id":"([PF][IF]_[^"]+)"')


class Topic:
    """The frames of one feed of one contract, and what they amount to up to a point of the recording.

    Parameters
    ----------
    frames : (index in the recording, text)
    """

    def __init__(self, frames: list[tuple[int, bytes]]) -> None:
        self.frames = frames
        self.head: dict[str, Any] = {}
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.trades: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self._next = 0

    def advance(self, cursor: int) -> bool:
        """Take in the first `cursor` frames of the recording, which never falls; say whether any is of this topic."""
        while self._next < len(self.frames) and self.frames[self._next][0] < cursor:
            self._take(json.loads(self.frames[self._next][1]))
            self._next += 1
        return self._next > 0

    def _take(self, message: dict[str, Any]) -> None:
        match message["feed"]:
            case "book_snapshot":
                self.bids, self.asks = (
                    {row["price"]: row["qty"] for row in message[side] if row["qty"]} for side in ("bids", "asks")
                )
                self.head = message
            case "book":
                side = self.bids if message["side"] == "buy" else self.asks
                if message["qty"]:
                    side[message["price"]] = message["qty"]
                else:
                    side.pop(message["price"], None)
                self.head |= {"timestamp": message["timestamp"], "seq": message["seq"]}
            case "trade_snapshot":
                self.trades.extend(message["trades"])
            case "trade":
                self.trades.appendleft(message)
            case _:
                self.head = message

    def levels(self) -> tuple[Levels, Levels]:
        """Return the book, bids falling and asks rising."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

    def first(self, feed: str, symbol: str) -> First:
        """Return what a subscriber of now is sent."""
        if feed == "trade":
            return First(trade_snapshot(symbol, (_dump(trade).encode() for trade in self.trades)))
        if feed != "book":
            return First(_dump(self.head).encode())
        bids, asks = ([{"price": price, "qty": size} for price, size in levels] for levels in self.levels())
        return First(_dump(self.head | {"bids": bids, "asks": asks}).encode(), self.frames[0][1])


class RecordedSource:
    """The recording, and where in it the clients are."""

    def __init__(self, lines: list[Line], knobs: Knobs, speed: float | None, on_done: OnDone) -> None:
        lines.sort(key=lambda line: line.ts)
        matches = [(line, match) for line in lines if (match := _MESSAGE.match(line.text))]
        symbols = {match[2].decode() for _, match in matches}
        listings = [json.loads(line.text) for line in lines if line.url.endswith("/instruments")]
        self._listing: dict[str, Any] = listings[0] if listings else adapt.derived(sorted(symbols))
        listed = adapt.instruments_of(self._listing)
        self._names = {row.symbol: row.name for row in listed}
        self.instruments = [row for row in listed if row.symbol in symbols]
        recording = Recording(VENUE)
        self._topics: dict[str, Topic] = {}
        for line, match in matches:
            feed, symbol = match[1].decode(), match[2].decode()
            texts = {feed: line.text}
            if feed == "ticker_lite":
                texts["ticker"] = adapt.ticker(line.text, line.ts)
            for feed, text in texts.items():
                topic = f"{feed}:{symbol}"
                self._topics.setdefault(topic, Topic([])).frames.append((len(recording.frames), text))
                publication = Publication(VENUE, topic, self._names[symbol], text)
                recording.frames.append(RecordedFrame(line.ts, text, publication))
        self.timeline = Timeline(recording, speed, on_done, int(knobs.hold_s * SECOND))

    def symbol(self, product_id: str) -> str | None:
        """Return the symbol that a client names in any case; None if there is none."""
        symbol = product_id.upper()
        return symbol if symbol in self._names else None

    def name(self, symbol: str) -> str:
        """Return the name of a listed contract."""
        return self._names[symbol]

    def subscribe(self, feed: str, symbol: str, now: int) -> First | None:
        """Return what a subscriber of now is sent; None if the recorded one is still to come, or nothing was."""
        topic = self._at_cursor(feed, symbol)
        return None if topic is None else topic.first(feed, symbol)

    def listing(self) -> list[dict[str, Any]]:
        """Return the entries of `instruments`."""
        return adapt.listing_rows(self._listing)

    def book(self, symbol: str, is_old: bool) -> tuple[str, str]:
        """Return the book as of the last frame sent, or the first one."""
        topic = self._at_cursor("book", symbol)
        if (topic is None or is_old) and (recorded := self._topics.get(f"book:{symbol}")) is not None:
            topic = Topic(recorded.frames[:1])
            topic.advance(len(self.timeline.recording.frames))
        bids, asks = ([], []) if topic is None else topic.levels()
        return _dump(bids), _dump(asks)

    def ticker(self, symbol: str, now: int) -> dict[str, Any]:
        """Return the last ticker sent, or no figures."""
        topic = self._at_cursor("ticker", symbol) or self._at_cursor("ticker_lite", symbol)
        return {"product_id": symbol} if topic is None else topic.head

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        """Return the last trades sent, newest first."""
        topic = self._at_cursor("trade", symbol)
        return [] if topic is None else list(topic.trades)

    def _at_cursor(self, feed: str, symbol: str) -> Topic | None:
        topic = self._topics.get(f"{feed}:{symbol}")
        return topic if topic is not None and topic.advance(self.timeline.cursor) else None


class RecordedProfile:
    """The venue's only product, as it was recorded."""

    venue: str = VENUE
    ws_endpoints: Sequence[str] = (VENUE,)
    rest_endpoints: Sequence[str] = (VENUE,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def __init__(self, source: RecordedSource, knobs: Knobs) -> None:
        self._source = source
        self._rest = Rest(source)
        self._knobs = knobs
        self.instruments = source.instruments
        self.timelines = (source.timeline,)

    @classmethod
    def load(cls, folder: Path, knobs: Knobs, speed: float | None, on_done: OnDone) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        capture = [folder / name for name in ("ws.txt", "instruments.txt")]
        lines = [line for path in capture if path.exists() for line in read_capture(path)]
        if not any(_MESSAGE.match(line.text) for line in lines):
            return None
        return cls(RecordedSource(lines, knobs, speed, on_done), knobs)

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> FuturesSession | Reply:
        """Open a connection; there is one path."""
        return FuturesSession(self._source, self._knobs, now) if path == WS_PATH else Reply(404, b"Not Found")

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
        """Raise KeyError: a recording has no true book."""
        raise KeyError(name)

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Raise KeyError, as `true_book` does."""
        raise KeyError(name)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

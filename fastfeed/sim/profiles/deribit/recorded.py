"""Deribit over a recording: the same connections and methods, with what the venue really sent.

The recording begins with the snapshots that its subscriptions were answered with. A client that is there from the start
gets those; one that subscribes later gets the book as of the last frame sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastfeed.sim.interface import Knobs, Publication, Reply, Request
from fastfeed.sim.market import SECOND, Instrument, TrueBook
from fastfeed.sim.profiles.deribit.adapt import adapt_listed, adapt_message
from fastfeed.sim.profiles.deribit.connections import Connections
from fastfeed.sim.profiles.deribit.products import PERPETUAL_EXPIRY_MS, instrument_name
from fastfeed.sim.profiles.deribit.rest import Rest
from fastfeed.sim.profiles.deribit.rpc import Methods
from fastfeed.sim.profiles.deribit.session import DeribitSession
from fastfeed.sim.profiles.deribit.streams import ENDPOINT, Opening
from fastfeed.sim.replay import RecordedFrame, Recording, Timeline, read_capture

_NOTIFICATION = re.compile(rb'\{"jsonrpc":"2\.0","method":"subscription","params":\{"channel":"([^"]+)","data":')
_END = b"}}"
_ACK = re.compile(rb'\{"jsonrpc":"2\.0","id":\d+,"result":\[')

Level = tuple[float, float]


class RecordedBook:
    """One book as of the last frame sent; before its snapshot was, the recorded snapshot."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, dict[str, Any]]] = []
        self._next = 0
        self._sides: tuple[dict[float, float], dict[float, float]] = ({}, {})

    def begins_at(self) -> int:
        """Return the index of the frame that is its snapshot."""
        return self.frames[0][0]

    def at(self, cursor: int) -> tuple[dict[str, Any], list[Level], list[Level]]:
        """Return the last message, bids and asks after the first `cursor` frames; a cursor never falls."""
        while self._next < len(self.frames) and (self._next == 0 or self.frames[self._next][0] < cursor):
            message = self.frames[self._next][1]
            for side, levels in zip(self._sides, (message["bids"], message["asks"]), strict=True):
                if message["type"] == "snapshot":
                    side.clear()
                for _, price, amount in levels:
                    if amount:
                        side[price] = amount
                    else:
                        side.pop(price, None)
            self._next += 1
        bids, asks = (sorted(side.items()) for side in self._sides)
        return self.frames[self._next - 1][1], bids[::-1], asks


class Recorded:
    """What was recorded: streams, books, tickers and the listing."""

    def __init__(self, speed: float | None, on_done: Callable[[Timeline], None], knobs: Knobs, folder: Path) -> None:
        self.recording = Recording(ENDPOINT)
        self._accepted: set[str] = set()  # also what was silent
        self._rows: dict[str, dict[str, Any]] = {}
        self._books: dict[str, RecordedBook] = {}
        self._tickers: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for name in ("instruments.txt", "ws.txt"):
            if (folder / name).exists():
                for line in read_capture(folder / name):
                    self._add(line.ts, line.text, line.url)
        self.timeline = Timeline(self.recording, speed, on_done, round(knobs.hold_s * SECOND))

    def instruments(self) -> list[Instrument]:
        """Return the instruments that occur in the recording and in its listing."""
        symbols = sorted({topic.split(".")[1] for topic in self.recording.topics})
        return [_instrument(self._rows[symbol]) for symbol in symbols if symbol in self._rows]

    def resolve(self, channel: str) -> list[str]:
        """Return the channel itself if it was subscribed to when it was recorded."""
        return [channel] if channel in self._accepted or channel in self.recording.topics else []

    def opening(self, key: str) -> Opening | None:
        """Return the book of now to a client that subscribes after the recorded snapshot was sent."""
        book = self._books.get(key.split(".")[1]) if key.startswith("book.") else None
        if book is None or self.timeline.cursor <= book.begins_at():
            return None
        index, first = book.frames[0]
        return Opening(
            self.recording.frames[index].publication.name, _snapshot(*book.at(self.timeline.cursor)), _dump(first)
        )

    def indices(self) -> list[str]:
        """Return the names of all price indices."""
        return sorted({row["price_index"] for row in self._rows.values()})

    def listing(self) -> list[dict[str, Any]]:
        """Return the recorded rows of `get_instruments`."""
        return list(self._rows.values())

    def order_book(self, symbol: str, depth: int, is_old: bool, now: int) -> str | None:
        """Return the last ticker sent and the book as of the last frame sent, or the recorded snapshot."""
        book = self._books.get(symbol)
        if book is None:
            return None
        cursor = self.timeline.cursor
        ticker: dict[str, Any] = {"instrument_name": symbol, "state": "open"}
        for index, sent in self._tickers.get(symbol, []):
            if index < cursor or "timestamp" not in ticker:
                ticker = sent
        last, bids, asks = book.at(cursor)
        if is_old:
            last = book.frames[0][1]
            bids, asks = ([(price, amount) for _, price, amount in last[side]] for side in ("bids", "asks"))
        shown = {"timestamp": last["timestamp"], "change_id": last["change_id"]}
        return _dump({**ticker, **shown, "bids": bids[:depth], "asks": asks[:depth]}).decode()

    def _add(self, ts: int, text: bytes, url: str) -> None:
        if url:
            if "/public/get_instruments" in url:
                rows = json.loads(text)["result"]
                self._rows |= {row["instrument_name"]: adapt_listed(row) for row in rows}
            return
        text = adapt_message(text)
        if _ACK.match(text):
            self._accepted |= set(json.loads(text)["result"])
        match = _NOTIFICATION.match(text)
        if match is None:
            return
        topic = match[1].decode()
        kind, symbol = topic.split(".")[:2]
        name = _instrument(self._rows[symbol]).name if symbol in self._rows else symbol
        data = text[match.end() : -len(_END)]
        index = len(self.recording.frames)
        self.recording.frames.append(RecordedFrame(ts, text, Publication(ENDPOINT, topic, name, data)))
        if kind == "book":
            self._books.setdefault(symbol, RecordedBook()).frames.append((index, json.loads(data)))
        elif kind == "ticker":
            self._tickers.setdefault(symbol, []).append((index, json.loads(data)))


class RecordedProfile:
    """The venue as it was recorded."""

    venue: str = "deribit"
    ws_endpoints: Sequence[str] = (ENDPOINT,)
    rest_endpoints: Sequence[str] = (ENDPOINT,)
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def __init__(self, recorded: Recorded, knobs: Knobs) -> None:
        self.instruments = recorded.instruments()
        self.timelines = [recorded.timeline]
        methods = Methods(recorded)
        self._connections = Connections(recorded, methods, knobs)
        self._rest = Rest(methods, 0)

    @classmethod
    def load(
        cls, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> RecordedProfile | None:
        """Read a folder; None if it holds no recording of this venue."""
        recorded = Recorded(speed, on_done, knobs, folder)
        return cls(recorded, knobs) if recorded.recording.frames else None

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> DeribitSession | Reply:
        """Open a connection."""
        return self._connections.open(path, now)

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""
        return self._rest.answer(request, now)

    def advance(self, now: int) -> Iterator[Publication]:
        """Yield nothing: what a recording sends is in `timelines`."""
        self._connections.passed(now)
        return iter(())

    def next_due(self) -> None:
        """Return None: see `timelines`."""

    def reset(self, name: str) -> None:
        """Do nothing, as a recording does."""

    def true_book(self, name: str) -> TrueBook:
        """Raise KeyError: a recording has no true book, only the one of its frames."""
        raise KeyError(name)

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Raise KeyError, as `true_book` does."""
        raise KeyError(name)


def _snapshot(last: Mapping[str, Any], bids: list[Level], asks: list[Level]) -> bytes:
    head = {name: last[name] for name in ("timestamp", "instrument_name", "change_id")}
    sides = {name: [("new", *level) for level in side] for name, side in (("bids", bids), ("asks", asks))}
    return _dump({"type": "snapshot", **head, **sides})


def _instrument(row: Mapping[str, Any]) -> Instrument:
    expiry_ms = row.get("expiration_timestamp", PERPETUAL_EXPIRY_MS)
    expiry = None if expiry_ms == PERPETUAL_EXPIRY_MS else expiry_ms * 1_000_000
    base, quote, settle = row["base_currency"], row["counter_currency"], row["settlement_currency"]
    option = row.get("option_type")
    strike = None if option is None else Decimal(f"{row['strike']:g}")
    return Instrument(
        instrument_name(base, quote, settle, expiry, strike, option),
        row["instrument_name"],
        base,
        quote,
        Decimal(repr(row["tick_size"])),
        Decimal(repr(row["min_trade_amount"])),
        Decimal(0),
        Decimal(0),
        settle=settle,
        expiry=expiry,
        strike=strike,
        option=option,
        inverse=settle == base and option is None,
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

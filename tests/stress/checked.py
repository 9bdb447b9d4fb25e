"""A reader of a bus that a feeder writes, with every event, every book and every count checked."""

from __future__ import annotations

from feeder import NAME, book_of, is_right, record_of

import fastfeed
from fastfeed import PublisherGone
from fastfeed.book import Book, Depth


class Checked:
    """A reader whose every event is checked, and the books beside it."""

    def __init__(self, bus: fastfeed.Bus, reader: fastfeed.Reader) -> None:
        self.bus = bus
        self.reader = reader
        self.book: Book | None = None  # held: a book follows its name, also into a bus that has no instruments yet
        self.events = self.depths = self.gone = self.restarts = 0
        self.read = 0  # records of this generation
        self.before: int | None = None  # records of it before the reader's first, less its earlier losses

    def poll(self) -> bool:
        """Read what there is; False if it was nothing. A feed that is gone is counted."""
        try:
            events = self.reader.poll(500)
        except PublisherGone:
            self.gone += 1
            return True
        for event in events:
            if event.kind == "status" and event.reason == "restarted":
                self.restarts += 1
                self.read = 0
                self.before = None
                continue
            assert is_right(event), event
            self.read += 1
        self.events += len(events)
        if events and events[-1].kind in ("delta", "trade"):
            last = events[-1]
            number = last.sequence if last.kind == "delta" else last.trade_id
            # Exactly: all records before the last one were read, or counted as lost, or there before the reader.
            before = record_of(last.kind, number) - (self.read - 1) - self.reader.lost
            assert self.before in (None, before)
            self.before = before
        return bool(events)

    def look(self) -> None:
        """The book is that of its sequence, in each of its forms."""
        if self.book is None:
            if not self.bus.instruments:
                return
            self.book = self.bus.book(NAME)
        for shown in (self.book.top(25), self.book.depth()):
            if shown.sequence is None:
                continue
            bids, asks = book_of(shown.sequence)
            if isinstance(shown, Depth):
                assert [size / 10**7 for size in shown.bids["sz"].tolist()] == [size for _, size in bids]
                assert [size / 10**7 for size in shown.asks["sz"].tolist()] == [size for _, size in asks]
            else:
                assert (shown.bids, shown.asks) == (bids[:25], asks[:25]), (shown, self.bus, self.restarts)
            self.depths += 1

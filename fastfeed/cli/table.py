"""The table of best prices that `fastfeed top` and `fastfeed demo` show, and the screen that they show it on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from fastfeed.errors import ConfigError, PublisherGone
from fastfeed.inventory import health

if TYPE_CHECKING:
    from fastfeed.book import Book, BookState
    from fastfeed.bus import Bus
    from fastfeed.instrument import Instrument
    from fastfeed.reader import Reader
    from fastfeed_core.attach import BusMap
    from fastfeed_core.message import Event

__all__ = ["UPDATES", "PriceTable", "Screen", "align"]

UPDATES = ("deltas", "snapshots", "bbos", "trades")  # an instrument's counters of what it published
_COLUMNS = ("instrument", "state", "bid size", "bid", "ask", "ask size", "spread", "updates/s", "age s")
_CLEAR_LINE, _CLEAR_BELOW, _HIDE_CURSOR, _SHOW_CURSOR = "\x1b[K", "\x1b[J", "\x1b[?25l", "\x1b[?25h"


class PriceTable:
    """Best prices of all instruments of a bus, as lines of text. Rates are those since the last call of `lines`."""

    def __init__(self, bus: Bus, levels: int = 1) -> None:
        self._bus = bus
        self._levels = levels
        self._books: dict[str, Book | None] = {}
        self._quotes: dict[str | None, Event] = {}
        self._reader: Reader | None = None
        self._counts: dict[str, int] = {}
        self._counted_at = 0.0

    def states(self) -> list[BookState | None]:
        """Return the states of all books; None for an instrument without one."""
        books = (self._book(instrument.name) for instrument in self._bus.instruments)
        return [None if book is None else book.state for book in books]

    def lines(self) -> list[str]:
        """Return the table: a title, the heads of the columns, then a line for each instrument and level."""
        instruments = self._bus.instruments
        bus_map = self._bus.map
        rates = self._rates(instruments, bus_map)
        now = time.time_ns()
        cells: list[tuple[str, ...]] = [_COLUMNS]
        for instrument in instruments:
            cells += self._cells(instrument, rates.get(instrument.name), now)
        title = (
            f"bus {self._bus.name}: {health(bus_map)}, process {bus_map.pid}, {len(instruments)} instruments, "
            f"{bus_map.record_count} records"
        )
        return [title, *align(cells)]

    def _book(self, name: str) -> Book | None:
        if name not in self._books:
            try:
                self._books[name] = self._bus.book(name)
            except LookupError:
                return None  # not cached: the feed's next start may keep a book of it
        return self._books[name]

    def _rates(self, instruments: tuple[Instrument, ...], bus_map: BusMap) -> dict[str, float]:
        at = time.monotonic()
        counts: dict[str, int] = {}
        for index, instrument in enumerate(instruments[: bus_map.count]):
            counters = bus_map.instrument_counters(index)
            counts[instrument.name] = sum(counters[each] for each in UPDATES)
        before, took = self._counts, at - self._counted_at
        self._counts, self._counted_at = counts, at
        # After a restart of the feed the counters begin anew.
        return {
            name: (count - before[name]) / took for name, count in counts.items() if 0 <= before.get(name, -1) <= count
        }

    def _cells(self, instrument: Instrument, rate: float | None, now: int) -> list[tuple[str, ...]]:
        book = self._book(instrument.name)
        bids: list[tuple[Any, Any]]
        asks: list[tuple[Any, Any]]
        if book is not None:
            try:
                top = book.top(self._levels, exact=True)
            except ValueError as error:
                raise ConfigError("--levels", "at most what the bus publishes", str(self._levels)) from error
            bids, asks, ts_recv = top.bids, top.asks, top.ts_recv
            said = top.state.name.lower()
        else:
            bids, asks, ts_recv = self._quote(instrument)
            said = "no book"
        rows: list[tuple[str, ...]] = []
        for level in range(max(1, len(bids), len(asks))):
            bid, bid_size = bids[level] if level < len(bids) else (None, None)
            ask, ask_size = asks[level] if level < len(asks) else (None, None)
            tick, lot = instrument.tick_size, instrument.lot_size
            prices = (_text(bid_size, lot), _text(bid, tick), _text(ask, tick), _text(ask_size, lot))
            if level:
                rows.append(("", "", *prices, "", "", ""))
                continue
            spread = None if bid is None or ask is None else ask - bid
            age = "-" if ts_recv is None else f"{max(0, now - ts_recv) / 1e9:.1f}"
            updates = "-" if rate is None else f"{rate:.0f}"
            rows.append((instrument.name, said, *prices, _text(spread, tick), updates, age))
        return rows

    def _quote(self, instrument: Instrument) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]], int | None]:
        """The last best quote of an instrument without a book, from the ring."""
        if self._reader is None:
            self._reader = self._bus.reader(kinds=("bbo",), start="oldest")
        try:
            while events := self._reader.poll():
                self._quotes.update((event.name, event) for event in events if event.kind == "bbo")
        except PublisherGone:
            pass  # the title says it
        quote: Any = self._quotes.get(instrument.name)
        if quote is None:
            return [], [], None
        bids = [] if quote.bid_px is None else [(instrument.price(quote.bid_px), instrument.size(quote.bid_sz))]
        asks = [] if quote.ask_px is None else [(instrument.price(quote.ask_px), instrument.size(quote.ask_sz))]
        return bids, asks, quote.ts_recv


class Screen:
    """Shows one table after the other: in place on a terminal, else below each other. Leave it as a context."""

    def __init__(self, stream: TextIO) -> None:
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._shown = 0

    def __enter__(self) -> Screen:
        if self.is_terminal:
            self._stream.write(_HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_terminal:
            self._stream.write(_SHOW_CURSOR)
            self._stream.flush()

    def show(self, lines: list[str]) -> None:
        """Show a table instead of the last one, or after it."""
        if not self.is_terminal:
            self._stream.write("\n".join([*([""] if self._shown else []), *lines, ""]))
        else:
            size = shutil.get_terminal_size()
            # A line that wraps, or one above the screen's upper end, could not be drawn over.
            lines = [line[: size.columns] for line in lines[: max(1, size.lines - 1)]]
            up = f"\x1b[{self._shown}A" if self._shown else ""
            body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
            self._stream.write(f"{up}\r{body}{_CLEAR_BELOW}")
        self._stream.flush()
        self._shown = len(lines)


def _text(value: Decimal | None, step: Decimal) -> str:
    """A number with the digits of its step."""
    if value is None:
        return "-"
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    return f"{value:.{max(0, -exponent)}f}"


def align(rows: Sequence[tuple[str, ...]], left: int = 2) -> list[str]:
    """Return rows of cells as lines of equal columns: the first `left` columns flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        sized = list(zip(row, widths, strict=True))
        names = [cell.ljust(width) for cell, width in sized[:left]]
        numbers = [cell.rjust(width) for cell, width in sized[left:]]
        lines.append("  ".join(names + numbers).rstrip())
    return lines

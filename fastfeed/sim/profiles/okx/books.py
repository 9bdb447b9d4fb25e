"""The book channels over a random market, and how the venue writes numbers and messages."""

from __future__ import annotations

from fastfeed.sim.market import SECOND, Event, Flow, Instrument, TrueBook
from fastfeed.sim.profiles.okx.channels import DEFAULT_BOOK, Depth
from fastfeed.sim.profiles.okx.products import CROSSED_TICKS, PRE_OPEN
from fastfeed.sim.streams import Levels, ShownBook, decimals_of, fixed_point

HEARTBEAT_NS = 60 * SECOND

# Below this a sequence does not start again: it would not fall.
RESTARTED = 1000


class Sequence:
    """The numbers of one instrument's messages: `seqId` of all its channels. They start again at a reset."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._offset = 0

    def now(self) -> int:
        """Return the number of what the book is now, 0 or more."""
        return self._flow.book.sequence - self._offset

    def restart(self) -> None:
        """Count from 0 again, as the venue does after a maintenance."""
        if self.now() > RESTARTED:
            self._offset = self._flow.book.sequence


class Writer:
    """Writes one instrument's numbers and messages as the venue does: without zeros at the end of a fraction."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.is_auction = instrument.symbol == PRE_OPEN
        self._price = fixed_point(instrument.tick_size, decimals_of(instrument.tick_size))
        self._size = fixed_point(instrument.lot_size, decimals_of(instrument.lot_size))
        self._crossed = CROSSED_TICKS if self.is_auction else 0

    def price(self, px: int) -> str:
        """Return a price, such as 67123.5."""
        return _strip(self._price(px))

    def ask(self, px: int) -> str:
        """Return an ask's price, which in a call auction stands below bids."""
        return _strip(self._price(px - self._crossed))

    def size(self, sz: int) -> str:
        """Return a size: of the base, or in contracts."""
        return _strip(self._size(sz))

    def sides(self, bids: Levels, asks: Levels) -> str:
        """Return `"asks":[["411.8","10","0","4"],..],"bids":[..]`: price, size, a relic, and a number of orders."""
        # How many orders a level has is not simulated: any steady function of it will do.
        parts = [
            ",".join([f'["{price(px)}","{self.size(sz)}","0","{1 + (px + sz) % 9 if sz else 0}"]' for px, sz in levels])
            for levels, price in ((asks, self.ask), (bids, self.price))
        ]
        return f'"asks":[{parts[0]}],"bids":[{parts[1]}]'

    def push(self, channel: str, data: str, action: str = "") -> bytes:
        """Return {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[..]}."""
        arg = f'{{"channel":"{channel}","instId":"{self.instrument.symbol}"}}'
        act = f'"action":"{action}",' if action else ""
        return f'{{"arg":{arg},{act}"data":[{data}]}}'.encode()

    def shown(self, book: TrueBook) -> TrueBook:
        """Return a book with its asks where they are written."""
        if not self._crossed:
            return book
        book = book.copy()
        asks = [(px - self._crossed, sz) for px, sz in book.asks.items()]
        book.asks.clear()
        book.asks.update(asks)
        return book


class DeltaStream:
    """A snapshot for whoever comes, then what changed: each message names the one before.

    Raw: {"arg":{..},"action":"update","data":[{"asks":[],"bids":[["67123.4","0","0","0"]],"ts":"1785000000100",
    "checksum":0,"prevSeqId":10,"seqId":15}]}. Checksums are 0 since 2026-06.
    """

    def __init__(
        self, writer: Writer, flow: Flow, sequence: Sequence, channel: str, depth: Depth, journal: bool
    ) -> None:
        self.interval = SECOND if writer.is_auction else depth.interval
        self.shown = ShownBook(flow, depth.levels, journal and channel == DEFAULT_BOOK)
        self._writer = writer
        self._sequence = sequence
        self._channel = channel
        self._last = sequence.now()
        self._sent_at = self._ts = flow.book.ts
        self.shown.note(self._last)
        # The book as first shown: what a client gets that is answered from the past.
        self.stale = self.first()

    def on_event(self, event: Event) -> list[bytes]:
        self.shown.touch(event)
        return []

    def flush(self, ts: int) -> list[bytes]:
        diff = self.shown.advance()
        if diff.bids or diff.asks:
            previous, self._last = self._last, self._sequence.now()
            self.shown.note(self._last, diff)
        elif ts - self._sent_at >= HEARTBEAT_NS:
            previous = self._last
        else:
            return []
        self._sent_at = self._ts = ts
        if self._last < previous:
            self.stale = self.first()
        return [self._message("update", *diff, ts, previous, self._last)]

    def first(self) -> bytes:
        """Return the snapshot that the next update follows."""
        return self._message("snapshot", *self.shown.levels(), self._ts, -1, self._last)

    def _message(self, action: str, bids: Levels, asks: Levels, ts: int, previous: int, last: int) -> bytes:
        head = f'{{{self._writer.sides(bids, asks)},"ts":"{ts // 1_000_000}"'
        data = f'{head},"checksum":0,"prevSeqId":{previous},"seqId":{last}}}'
        return self._writer.push(self._channel, data, action)


class TopStream:
    """The best levels, whole each time that they changed; a quiet book is sent again.

    Raw: {"arg":{..},"data":[{"asks":[["67123.5","0.25","0","3"]],"bids":[..],"ts":"1785000000101","seqId":15}]}
    """

    stale = b""

    def __init__(self, writer: Writer, flow: Flow, sequence: Sequence, channel: str, depth: Depth) -> None:
        self.interval = SECOND if writer.is_auction else depth.interval
        self._writer = writer
        self._flow = flow
        self._sequence = sequence
        self._channel = channel
        self._levels = depth.levels
        self._top = flow.book.levels(depth.levels)
        self._sent_at = flow.book.ts
        self._is_touched = False
        self._last = self._message(self._sent_at)

    def on_event(self, event: Event) -> list[bytes]:
        self._is_touched = True
        return []

    def flush(self, ts: int) -> list[bytes]:
        top = self._flow.book.levels(self._levels) if self._is_touched else self._top
        self._is_touched = False
        if top != self._top:
            self._top = top
            self._last = self._message(ts)
        elif ts - self._sent_at < HEARTBEAT_NS:
            return []
        self._sent_at = ts
        return [self._last]

    def first(self) -> bytes:
        """Return the levels as last sent."""
        return self._last

    def _message(self, ts: int) -> bytes:
        head = self._writer.sides(*self._top)
        if self._levels == 1:
            # The matching engine's time.
            ts = self._flow.book.ts
        else:
            head += f',"instId":"{self._writer.instrument.symbol}"'
        return self._writer.push(self._channel, f'{{{head},"ts":"{ts // 1_000_000}","seqId":{self._sequence.now()}}}')


def _strip(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number

"""Books and trades of Bybit over a random market: messages, and what each topic makes of an event.

The order of the fields differs by product, as the venue's pages say and its wire shows: spot and all books of level 1
write `ts` before `type`, other futures after it; options add an `id`. Sources: bybit-exchange.github.io/docs/v5,
WebSocket "Orderbook" and "Trade" (2026-07).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Protocol
from uuid import NAMESPACE_OID, uuid5

from fastfeed.sim.market import SECOND, Event, Flow, Instrument, Trade, TrueBook
from fastfeed.sim.profiles.bybit.products import OPTION, SPOT, Product
from fastfeed.sim.streams import Diff, Levels, ShownBook, Stream, decimals_of, fixed_point

# A book of level 1 that does not change is sent again after this time, with the same `u`.
REPEAT_NS = 3 * SECOND

# Share of the messages of a book that are whole again without any reason that a client could see.
WHOLE_SHARE = 0.002

# Messages of a book between two restarts, at least: a service that was restarted runs for a while. Without it a number
# that is on its way to a client could mean two books.
RESTART_EVERY = 64

# Share of the orders with several fills whose fills come in two messages: the venue cuts at 1024.
CUT_SHARE = 0.25


class ClientStream(Stream, Protocol):
    """A stream that may begin with a message of its own for each subscription; by default it does not."""

    def first(self, now: int) -> bytes:
        """Return the message that answers a subscription, empty without one."""
        return b""

    def stale(self) -> bytes:
        """Return what the fault of an old snapshot sends in place of the first message, empty without one."""
        return b""

    def restart(self) -> None:
        """Begin the sequence again at the next message, where there is one."""
        return


class Writer:
    """Writes one instrument's numbers and messages as the venue does."""

    def __init__(self, product: Product, instrument: Instrument) -> None:
        self.price = _number(instrument.tick_size, product.is_trimmed)
        self.size = _number(instrument.lot_size, product.is_trimmed)
        self._product = product
        self._symbol = instrument.symbol

    def levels(self, levels: Levels) -> str:
        """Return `[["67123.40","1.500"],["67123.30","0"]]`: what is removed has the size 0 without decimals."""
        return "[" + ",".join([f'["{self.price(px)}","{self.size(sz) if sz else 0}"]' for px, sz in levels]) + "]"

    def head(self, topic: str, kind: str, ts: int, sequence: int, is_level_1: bool = False) -> str:
        """Return a message up to its payload; `ts` in ns."""
        ms = ts // 1_000_000
        if self._product is OPTION:
            return f'{{"topic":"{topic}","ts":{ms},"type":"{kind}","id":"{topic}-{sequence}-{ms}","data":'
        if self._product is SPOT or is_level_1:
            return f'{{"topic":"{topic}","ts":{ms},"type":"{kind}","data":'
        return f'{{"topic":"{topic}","type":"{kind}","ts":{ms},"data":'

    def book(self, head: str, update_id: int, sequence: int, cts: int, diff: Diff) -> bytes:
        """Return a snapshot or delta.

        {"topic":"orderbook.50.BTC","type":"delta","ts":1,"data":{"s":"BTC","b":[..],"a":[],"u":2,"seq":3},"cts":1}
        """
        levels = f'"b":{self.levels(diff.bids)},"a":{self.levels(diff.asks)}'
        rest = f'"u":{update_id},"seq":{sequence}}},"cts":{cts // 1_000_000}}}'
        return f'{head}{{"s":"{self._symbol}",{levels},{rest}'.encode()

    def trade(self, ts: int, sequence: int, trade: Trade, direction: str) -> str:
        """Return one fill of a message.

        Futures: {"T":1,"s":"BTCUSDT","S":"Buy","v":"1","p":"2","L":"PlusTick","i":"..","BT":false,"RPI":false,"seq":3}
        Spot:    {"i":"22900000009702629","T":1,"p":"2","v":"1","S":"Buy","seq":3,"s":"BTCUSDT","BT":false,"RPI":false}
        Option:  as spot, with a UUID, and mP, iP, mIv, iv in place of RPI
        """
        ms = ts // 1_000_000
        side = "Buy" if trade.taker_buys else "Sell"
        price, size = self.price(trade.px), self.size(trade.sz)
        if self._product not in (SPOT, OPTION):
            return (
                f'{{"T":{ms},"s":"{self._symbol}","S":"{side}","v":"{size}","p":"{price}","L":"{direction}",'
                f'"i":"{self._uuid(trade)}","BT":false,"RPI":false,"seq":{sequence}}}'
            )
        is_spot = self._product is SPOT
        trade_id = str(2290000000000000000 + trade.trade_id) if is_spot else self._uuid(trade)
        tail = '"RPI":false' if is_spot else f'"mP":"{price}","iP":"67123.45","mIv":"0.4512","iv":"0.45"'
        return (
            f'{{"i":"{trade_id}","T":{ms},"p":"{price}","v":"{size}","S":"{side}","seq":{sequence},'
            f'"s":"{self._symbol}","BT":false,{tail}}}'
        )

    def _uuid(self, trade: Trade) -> str:
        return str(uuid5(NAMESPACE_OID, f"{self._symbol}/{trade.trade_id}"))


class BookStream(ClientStream):
    """The best levels of a book: a snapshot, then deltas with `u` one higher each; of level 1 snapshots only.

    Any message may be a whole snapshot again; one with `u` 1 says that the service was restarted.
    """

    def __init__(
        self, writer: Writer, topic: str, flow: Flow, depth: int, interval: int, journal: bool, rng: Random, now: int
    ) -> None:
        self.interval = interval
        self.update_id = rng.randrange(10**6, 10**8)
        self.sequence, self.cts = flow.book.sequence, flow.book.ts
        self._writer = writer
        self._topic = topic
        self._flow = flow
        self._depth = depth
        self._rng = rng
        self._ts = now
        self._is_restarting = False
        self._since_restart = RESTART_EVERY
        self._shown = ShownBook(flow, depth, journal)
        self._shown.note(self.update_id)
        self._stale = self._whole(now)
        self.origin = (self.update_id, self.sequence, self.cts, self.levels())

    def on_event(self, event: Event) -> list[bytes]:
        self._shown.touch(event)
        return []

    def flush(self, ts: int) -> list[bytes]:
        diff = self._shown.advance()
        is_restart, self._is_restarting = self._is_restarting, False
        if diff.bids or diff.asks or is_restart:
            self.update_id = 1 if is_restart else self.update_id + 1
            self._since_restart = 0 if is_restart else self._since_restart + 1
            self.sequence, self.cts = self._flow.book.sequence, self._flow.book.ts
            self._shown.note(self.update_id, diff)
        elif self._depth > 1 or ts - self._ts < REPEAT_NS:
            return []
        self._ts = ts
        if self._depth == 1 or is_restart or self._rng.random() < WHOLE_SHARE:
            return [self._whole(ts)]
        return [self._message("delta", ts, diff)]

    def first(self, now: int) -> bytes:
        return self._whole(now)

    def stale(self) -> bytes:
        return self._stale

    def restart(self) -> None:
        self._is_restarting = self._since_restart >= RESTART_EVERY

    def levels(self) -> tuple[Levels, Levels]:
        """Return the book as of the last message."""
        return self._shown.levels()

    def at(self, update_id: int) -> TrueBook:
        """Return the book of an `u`; ValueError if there was none."""
        return self._shown.at(update_id)

    def _whole(self, ts: int) -> bytes:
        return self._message("snapshot", ts, Diff(*self._shown.levels()))

    def _message(self, kind: str, ts: int, diff: Diff) -> bytes:
        head = self._writer.head(self._topic, kind, ts, self.sequence, self._depth == 1)
        return self._writer.book(head, self.update_id, self.sequence, self.cts, diff)


class Direction:
    """Names the direction of the last price: PlusTick, ZeroPlusTick, MinusTick, ZeroMinusTick."""

    def __init__(self, px: int) -> None:
        self._px = px
        self.name = "ZeroPlusTick"

    def move(self, px: int) -> str:
        """Take a price and return its direction."""
        sign = "Plus" if px > self._px or (px == self._px and "Plus" in self.name) else "Minus"
        self.name = f"{'Zero' if px == self._px else ''}{sign}Tick"
        self._px = px
        return self.name


class TradeStream(ClientStream):
    """Every fill; those of one order have one `seq` and come in one message, or in two."""

    interval = 0

    def __init__(self, writer: Writer, topic: str, flow: Flow, rng: Random) -> None:
        self._writer = writer
        self._topic = topic
        self._direction = Direction(flow.book.top()[0])
        self._rng = rng

    def on_event(self, event: Event) -> list[bytes]:
        if not event.trades:
            return []
        sequence = event.changes[-1].sequence
        fills = [
            self._writer.trade(event.ts, sequence, trade, self._direction.move(trade.px)) for trade in event.trades
        ]
        cut = 1 if len(fills) > 1 and self._rng.random() < CUT_SHARE else len(fills)
        head = self._writer.head(self._topic, "snapshot", event.ts, sequence)
        return [f"{head}[{','.join(part)}]}}".encode() for part in (fills[:cut], fills[cut:]) if part]

    def flush(self, ts: int) -> list[bytes]:
        return []


def _number(step: Decimal, is_trimmed: bool) -> Callable[[int], str]:
    write = fixed_point(step, decimals_of(step))
    if not is_trimmed or not decimals_of(step):
        return write
    return lambda count: write(count).rstrip("0").rstrip(".")

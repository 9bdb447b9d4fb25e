"""Single orders behind the levels of a book, and the channels that show them.

The market knows levels only. What a level grows by is a new order behind the others; what it shrinks by is taken from
the oldest. So prices repeat in `detail_order_book`, and `live_orders` tells creations, changes and deletions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastfeed.sim.market import Event, Flow
from fastfeed.sim.profiles.bitstamp.messages import MICROSECOND, Writer, envelope
from fastfeed.sim.streams import Levels

FIRST_ORDER_ID = 2_046_839_978_799_111


@dataclass(slots=True)
class Order:
    """A resting order, in ticks and lots."""

    order_id: int
    is_bid: bool
    px: int
    sz: int
    created: int


class OrderStream:
    """Every change of an order; `pre_event_id` is the `event_id` of the message before."""

    interval = 0

    def __init__(self, channel: str, writer: Writer, flow: Flow) -> None:
        self._channel = channel
        self._writer = writer
        self._flow = flow
        self._next_id = FIRST_ORDER_ID
        self._queues: dict[tuple[bool, int], list[Order]] = {}
        self._count = 0
        self._event_id = self._chain(flow.book.ts)
        for is_bid, side in ((True, flow.book.bids), (False, flow.book.asks)):
            for px, sz in side.items():
                self._create(is_bid, px, sz)

    def on_event(self, event: Event) -> list[bytes]:
        traded = {trade.px for trade in event.trades}
        return [
            payload
            for change in event.changes
            for payload in self._change(event.ts, change.is_bid, change.px, change.sz, change.px in traded)
        ]

    def flush(self, ts: int) -> list[bytes]:
        return []

    def entries(self, limit: int | None = None, with_ids: bool = True) -> tuple[str, str]:
        """Return bids and asks as JSON, one entry an order: [["1.5","2.0","17"]]."""
        book = self._flow.book
        levels = book.levels(len(book.bids) + len(book.asks) if limit is None else limit)
        bids, asks = (
            self._side(side, is_bid, limit, with_ids) for side, is_bid in zip(levels, (True, False), strict=True)
        )
        return bids, asks

    def _side(self, levels: Levels, is_bid: bool, limit: int | None, with_ids: bool) -> str:
        price, size = self._writer.price, self._writer.size
        orders = [order for px, _ in levels for order in self._queues[is_bid, px]][:limit]
        ids = [f',"{order.order_id}"' if with_ids else "" for order in orders]
        rows = [f'["{price(order.px)}","{size(order.sz)}"{tail}]' for order, tail in zip(orders, ids, strict=True)]
        return "[" + ",".join(rows) + "]"

    def _create(self, is_bid: bool, px: int, sz: int) -> Order:
        order = Order(self._next_id, is_bid, px, sz, sz)
        self._next_id += 1 << 12
        self._queues.setdefault((is_bid, px), []).append(order)
        return order

    def _change(self, ts: int, is_bid: bool, px: int, sz: int, is_trade: bool) -> Iterator[bytes]:
        queue = self._queues.get((is_bid, px), [])
        grown = sz - sum(order.sz for order in queue)
        if grown > 0:
            order = self._create(is_bid, px, grown)
            yield self._message(ts, "order_created", order, order.sz, 0)
        while grown < 0:
            order = queue[0]
            taken = min(order.sz, -grown)
            grown += taken
            order.sz -= taken
            traded = taken if is_trade else 0
            if order.sz:
                yield self._message(ts, "order_changed", order, order.sz, traded)
            else:
                queue.pop(0)
                # Filled orders are deleted with nothing left, cancelled ones with what was left of them.
                yield self._message(ts, "order_deleted", order, taken - traded, traded)
        if not sz:
            self._queues.pop((is_bid, px), None)

    def _message(self, ts: int, event: str, order: Order, left: int, traded: int) -> bytes:
        previous, self._event_id = self._event_id, self._chain(ts)
        data = self._writer.order(ts, order.order_id, order.is_bid, order.px, (left, traded, order.created))
        more = f',"event_id":"{self._event_id}","pre_event_id":"{previous}","order_source":"orderbook"'
        return envelope(self._channel, event, data, more)

    def _chain(self, ts: int) -> str:
        """Return the next id: 16 hexadecimal digits of microseconds, then a counter."""
        self._count += 1
        micros = f"{ts // MICROSECOND:016x}"
        return f"{micros[:8]}-{micros[8:12]}-{micros[12:]}-0000-{self._count & 0xFFFFFF:06x}000020"


class DetailStream:
    """The best orders of each side, whole, whenever something changed."""

    def __init__(self, channel: str, writer: Writer, flow: Flow, orders: OrderStream, interval: int) -> None:
        self.interval = interval
        self._channel = channel
        self._writer = writer
        self._flow = flow
        self._orders = orders
        self._last = orders.entries(limit=100)

    def on_event(self, event: Event) -> list[bytes]:
        return []

    def flush(self, ts: int) -> list[bytes]:
        entries = self._orders.entries(limit=100)
        if entries == self._last:
            return []
        self._last = entries
        return [envelope(self._channel, "data", self._writer.book_of(self._flow.book.ts, *entries))]

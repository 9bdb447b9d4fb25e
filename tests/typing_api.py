"""Every public call of the package with the types that it promises: read by mypy, never run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import assert_type

import numpy as np

import fastfeed
from fastfeed.attempt import Connection
from fastfeed.calls import Request
from fastfeed_core.message import Bbo, Levels, Status, Trade


def consume() -> None:
    bus = fastfeed.open("demo", timeout=0)
    assert_type(bus, fastfeed.Bus)
    assert_type(bus.name, str)
    assert_type(bus.generation, int)
    assert_type(bus.instruments, tuple[fastfeed.Instrument, ...])


def look(bus: fastfeed.Bus) -> None:
    book = bus.book("binance:BTC/USDT")
    assert_type(book, fastfeed.Book)
    assert_type(book.name, str)
    assert_type(book.state, fastfeed.BookState)
    assert book.state in (fastfeed.BookState.LIVE, fastfeed.BookState.SYNCING, fastfeed.BookState.STALE)

    top = book.top(5)
    assert_type(top, fastfeed.Top)
    assert_type(top.state, fastfeed.BookState)
    for levels in (top.bids, top.asks):
        floats: list[tuple[float, float]] = levels
        del floats
    assert_type(top.sequence, int | None)
    assert_type(top.ts_event, int | None)
    assert_type(top.ts_recv, int | None)
    assert_type(top.position, fastfeed.Position)
    exact = book.top(5, exact=True)
    decimals: list[tuple[Decimal, Decimal]] = exact.bids
    del decimals
    assert_type(book.top(require_live=True), fastfeed.Top)

    books = bus.books(["binance:BTC/USDT", "binance:ETH/USDT"])
    assert_type(books, fastfeed.Books)
    assert_type(books.names, tuple[str, ...])
    assert_type(books.top(5), list[fastfeed.Top])
    assert_type(books.top(5, exact=True, together=False), list[fastfeed.Top])
    assert_type(books.depth(), list[fastfeed.Depth])
    assert_type(book.depth(10), fastfeed.Depth)

    depth = book.depth()
    assert_type(depth, fastfeed.Depth)
    assert_type(depth.state, fastfeed.BookState)
    for side in (depth.bids, depth.asks):
        assert_type(side, np.ndarray)
    assert_type(depth.complete_to, tuple[int | None, int | None])
    assert_type(depth.sequence, int | None)
    assert_type(depth.ts_event, int | None)
    assert_type(depth.ts_recv, int | None)
    assert_type(depth.position, fastfeed.Position)


def choose(bus: fastfeed.Bus, prefer: list[str]) -> None:
    best = fastfeed.BestVenue([bus, "other"], "BTC/USDT", prefer=prefer, hold_s=5, max_age_s=1, clock=lambda: 0)
    assert_type(best.book(), fastfeed.Book | None)
    assert_type(best.top(5), fastfeed.Top | None)
    assert_type(best.venue, str | None)
    assert_type(best.name, str | None)
    assert_type(best.names, tuple[str, ...])
    assert_type(best.reason, str)
    assert_type(best.switches, int)


def read(bus: fastfeed.Bus) -> None:
    reader = bus.reader()
    assert_type(reader, fastfeed.Reader)
    bus.reader(instruments=["binance:BTC/USDT"], kinds=["bbo", "trade"], start="now", wait="block")
    bus.reader(instruments=None, kinds=None, start="oldest", wait="spin")
    bus.reader(start=reader.position, wait="yield")
    bus.reader(start="then")  # type: ignore[arg-type]
    bus.reader(wait="sleep")  # type: ignore[arg-type]

    for event in reader:
        assert_type(event, fastfeed.Event)
    assert_type(iter(reader), Iterator[fastfeed.Event])
    assert_type(reader.poll(), list[fastfeed.Event])
    assert_type(reader.poll(max=1000), list[fastfeed.Event])
    assert_type(reader.batch(), dict[str, np.ndarray])
    assert_type(reader.batch(max=1000), dict[str, np.ndarray])
    assert_type(reader.lost, int)
    assert_type(reader.restarts, int)
    assert_type(reader.position, fastfeed.Position)
    assert_type(reader.position.generation, int)
    assert_type(reader.position.offset, int)


def follow(bus: fastfeed.Bus, reader: fastfeed.Reader) -> None:
    assert_type(bus.reader(label="maker", latency=True), fastfeed.Reader)
    assert_type(reader.lag, fastfeed.Lag)
    assert_type(reader.lag.records + reader.lag.bytes + reader.lag.ns, int)
    assert_type(fastfeed.Position.parse(str(reader.position)), fastfeed.Position)
    assert_type(reader.wait(), bool)
    assert_type(reader.wait(timeout=0.5), bool)
    with reader as same:
        assert_type(same, fastfeed.Reader)
    newest = bus.conflated(["binance:BTC/USDT"], kinds=["book", "bbo"], levels=3, wait="spin")
    assert_type(newest, fastfeed.Conflated)
    assert_type(newest.poll(), list[fastfeed.Event])
    assert_type(newest.merged, int)
    for event in newest:
        if isinstance(event, fastfeed.BookTop):
            assert event.state in ("syncing", "live", "stale")
            assert_type(event.bids, list[tuple[float, float]])
    bus.conflated(start=reader.position)  # type: ignore[arg-type]


async def read_async(reader: fastfeed.Reader) -> None:
    assert_type(await reader.ready(), bool)
    async for event in reader:
        assert_type(event, fastfeed.Event)


def take(event: fastfeed.Event) -> None:
    assert_type(event.name, str | None)
    assert_type(event.connection, int | None)
    assert_type(event.ts_event, int | None)
    assert_type(event.ts_send, int | None)
    assert_type(event.ts_recv, int)
    assert_type(event.ts_publish, int)
    assert_type(event.sequence, int | None)
    assert_type(event.position, fastfeed.Position)
    as_dict: dict[str, object] = event.as_dict()
    del as_dict
    match event:
        case Bbo():
            assert_type(event.name, str)
            assert_type(event.bid, float | None)
            assert_type(event.bid_size, float)
            assert_type(event.ask, float | None)
            assert_type(event.ask_size, float)
            assert_type(event.derived, bool)
        case Trade():
            assert_type(event.name, str)
            assert_type(event.price, float)
            assert_type(event.size, float)
            assert event.side in ("buy", "sell")
            assert_type(event.trade_id, int | str)
        case Levels():
            assert event.kind in ("delta", "snapshot")
            assert_type(event.bids, list[tuple[float, float]])
            assert_type(event.asks, list[tuple[float, float]])
            assert_type(event.bid_mantissas, list[tuple[int, int]])
            assert_type(event.ask_mantissas, list[tuple[int, int]])
            assert_type(event.prev_sequence, int | None)
            assert_type(event.complete_to, tuple[float | None, float | None])
        case Status():
            assert event.scope in ("instrument", "connection", "bus")
            assert event.state in ("syncing", "live", "stale")
            assert_type(event.reason, str)
            assert_type(event.expected, int | None)
            assert_type(event.received, int | None)


def describe(instrument: fastfeed.Instrument) -> None:
    for text in (instrument.venue, instrument.symbol, instrument.name, instrument.base, instrument.quote):
        assert_type(text, str)
    assert instrument.kind in ("spot", "swap", "future", "option")
    assert_type(instrument.settle, str | None)
    for number in (instrument.tick_size, instrument.lot_size, instrument.contract_size):
        assert_type(number, Decimal)
    assert_type(instrument.contract_unit, str)
    assert_type(instrument.inverse, bool)
    assert_type(instrument.expiry, int | None)
    assert_type(instrument.strike, Decimal | None)
    assert instrument.option_type in ("call", "put", None)
    status: str = instrument.status
    del status
    assert_type(instrument.px_exp, int)
    assert_type(instrument.sz_exp, int)
    assert_type(instrument.price(1), Decimal)
    assert_type(instrument.size(1), Decimal)
    assert_type(instrument.to_px(Decimal(1)), int)
    assert_type(instrument.to_sz(Decimal(1)), int)


def drive(body: bytes, frame: bytes, ts: int) -> None:
    found = fastfeed.instruments("binance", body, product=None)
    assert_type(found, list[fastfeed.Instrument])
    fastfeed.instruments("binance", [body, "{}"])

    feed = fastfeed.OfflineFeed("binance", instruments=found, channels=["book", "trade"])
    events = list[fastfeed.Event]
    assert_type(feed.start(ts), events)
    assert_type(feed.start(ts, connect=False), events)
    assert_type(feed.connections, list[Connection])
    for connection in feed.connections:
        assert_type(connection.url, str)
        assert_type(connection.headers, dict[str, str])
        assert_type(feed.connected(connection.id, ts), events)
        assert_type(feed.receive(frame, ts_recv=ts, connection=connection.id), events)
        assert_type(feed.disconnected(connection.id, ts), events)
    assert_type(feed.receive("{}", ts), events)
    assert_type(feed.sends, deque[tuple[int, bytes]])
    assert_type(feed.requests, deque[Request])
    request = feed.requests.popleft()
    assert_type(request.id, int)
    assert_type(request.method, str)
    assert_type(request.url, str)
    assert_type(request.headers, dict[str, str])
    assert_type(request.body, bytes | None)
    assert_type(feed.reply(request, body), events)
    assert_type(feed.reply(request, "{}", status=429, headers={"Retry-After": "1"}, ts=ts), events)
    assert_type(feed.advance(ts), events)
    assert_type(feed.bus, fastfeed.Bus)
    assert_type(feed.book("binance:BTC/USDT").top(5), fastfeed.Top)
    assert_type(feed.book("binance:BTC/USDT").depth(), fastfeed.Depth)
    assert_type(feed.book("binance:BTC/USDT").state, fastfeed.BookState)


def fail(error: fastfeed.FastfeedError) -> None:
    assert_type(error.recovery, fastfeed.Recovery)
    assert_type(error.scope, fastfeed.Scope)
    try:
        consume()
    except fastfeed.LayoutMismatch as mismatch:
        assert_type(mismatch.field, str)
    except fastfeed.PublisherGone as gone:
        assert_type(gone.since, int)
    except fastfeed.BusError as other:
        assert_type(other.bus, str)

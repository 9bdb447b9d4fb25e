"""reader: what a consumer may ask of a bus."""

from __future__ import annotations

import asyncio
import os
import threading

import numpy as np
import pytest
from pipeline import BOOK, frame, instrument, rest_book, spot_depth
from processes import wait_for

import fastfeed
from fastfeed import BookState
from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter, path
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Hub


class Feed:
    """A bus with a name, written by the test itself."""

    def __init__(self, name: str = "books", ring: int = 1 << 20) -> None:
        self.writer = BusWriter(name, ring=ring, instruments=4, levels=256)
        self.hub = Hub(self.writer)
        self.market = open_market(self.hub, instrument(), BOOK)
        self.quiet = open_market(self.hub, instrument("binance:ETH/USDT"), BOOK)
        self.connection = Connection(self.hub, self.writer.add_connection("test"), BinanceDecoder(), 4, 1)
        self.connection.route("btcusdt@depth@100ms", "BTCUSDT", "book", self.market)
        self.connection.route("btcusdt@trade", "BTCUSDT", "trade", self.market)
        self.market.expect_snapshot()
        bids = [[f"{100 - i / 100:.2f}", "1.0"] for i in range(40)]
        asks = [[f"{101 + i / 100:.2f}", "2.0"] for i in range(40)]
        self.market.apply_snapshot(BinanceDecoder(), rest_book(10, bids, asks), 40, 5)
        self.sequence = 10
        self.writer.heartbeat()
        self.writer.flush()

    def delta(self, price: str = "99.50", size: str = "3.0", flush: bool = True) -> None:
        self.sequence += 1
        text = frame(spot_depth(self.sequence, self.sequence, [[price, size]], [["102.00", "1.0"]]))
        self.connection.receive(text, self.sequence)
        if flush:
            self.writer.flush()

    def trade(self, number: int) -> None:
        data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "100.00", "q": "1.0", "T": 1, "m": True}
        self.connection.receive(frame(data, "btcusdt@trade"), number)
        self.writer.flush()


@pytest.fixture
def feed(shm):
    made = Feed()
    yield made
    made.writer.close()
    assert list(shm.iterdir()) == []


def test_a_bus_that_is_not_there_is_said_to_be_so(shm):
    with pytest.raises(fastfeed.BusNotFound, match="nobody"):
        fastfeed.open("nobody", timeout=0.05)


def test_instruments_come_back_as_they_went_in(feed):
    bus = fastfeed.open("books")
    assert bus.instruments == (instrument(), instrument("binance:ETH/USDT"))


def test_a_top_is_best_first_and_exact_if_wanted(feed):
    book = fastfeed.open("books").book("binance:BTC/USDT")
    top = book.top(3)
    assert top.state is BookState.LIVE
    assert top.bids == [(100.0, 1.0), (99.99, 1.0), (99.98, 1.0)]
    assert top.asks == [(101.0, 2.0), (101.01, 2.0), (101.02, 2.0)]
    assert (top.sequence, top.ts_recv) == (10, 5)
    assert [str(price) for price, _ in book.top(2, exact=True).bids] == ["100.0000", "99.9900"]
    with pytest.raises(ValueError, match="expected 1 to 25, was 26"):
        book.top(26)
    feed.delta("100.00", "0")
    assert book.top(1).bids == [(99.99, 1.0)]


def test_a_book_that_is_not_live_can_be_refused(feed):
    quiet = fastfeed.open("books").book("binance:ETH/USDT")
    assert (quiet.state, quiet.top(1).bids, quiet.top(1).sequence) == (BookState.SYNCING, [], None)
    with pytest.raises(fastfeed.BookNotLive, match="was syncing"):
        quiet.top(1, require_live=True)
    with pytest.raises(LookupError, match="did you mean binance:BTC/USDT"):
        fastfeed.open("books").book("binance:BTC/USD")


def test_a_book_is_stale_when_the_heart_does_not_beat(feed):
    book = fastfeed.open("books").book("binance:BTC/USDT")
    wait_for(lambda: book.state is BookState.STALE)
    assert book.top(1).bids == [(100.0, 1.0)]
    feed.writer.heartbeat()
    assert book.state is BookState.LIVE


def test_the_whole_book_follows_image_and_deltas_and_survives_laps(feed):
    book = fastfeed.open("books").book("binance:BTC/USDT")
    for number in range(20_000):  # many times around the ring
        feed.delta(f"{90 + number % 700 / 100:.2f}", f"{number % 3}.0", flush=number % 16 == 0)
        if number % 997 == 0:
            feed.writer.flush()
            depth = book.depth()
            assert depth.sequence == feed.sequence
            assert (depth.bids.tolist(), depth.asks.tolist()) == feed.market.levels()
            assert depth.complete_to == feed.market.complete_to
    late = fastfeed.open("books").book("binance:BTC/USDT").depth()
    feed.writer.flush()
    assert (late.bids.tolist(), late.asks.tolist()) == feed.market.levels()
    quiet = fastfeed.open("books").book("binance:ETH/USDT").depth()
    assert (quiet.state, len(quiet.bids), quiet.sequence) == (BookState.SYNCING, 0, None)


def test_events_can_be_filtered_and_read_again_from_a_position(feed):
    bus = fastfeed.open("books")
    everything = bus.reader(start="oldest")
    trades = bus.reader(kinds=["trade"], start="oldest")
    nothing = bus.reader(instruments=["binance:ETH/USDT"], start="oldest")
    assert [event.kind for event in everything.poll()] == ["snapshot", "status"]
    place = everything.position
    for number in range(1, 6):
        feed.trade(number)
        feed.delta()
    assert [event.trade_id for event in trades.poll()] == [1, 2, 3, 4, 5]
    assert nothing.poll() == []
    first = everything.poll(3)
    again = bus.reader(start=place).poll()
    assert [event.position for event in again[:3]] == [event.position for event in first]
    assert len(again) == 10
    with pytest.raises(ValueError, match="unknown kind 'book'"):
        bus.reader(kinds=["book"])
    with pytest.raises(ValueError, match="no record starts"):
        bus.reader(start=fastfeed.Position(bus.generation, place.offset + 64))
    with pytest.raises(LookupError, match="of generation"):
        bus.reader(start=fastfeed.Position(1, 0))


def test_a_lapped_reader_knows_what_it_lost(feed):
    bus = fastfeed.open("books")
    reader = bus.reader()
    before = bus.map.record_count
    for _ in range(20_000):
        feed.delta(flush=False)
    feed.writer.flush()
    read = 0
    while events := reader.poll():
        read += len(events)
    assert reader.lost > 0
    assert reader.lost + read == bus.map.record_count - before


def test_a_batch_holds_the_same_as_the_events(feed):
    bus = fastfeed.open("books")
    events, batches = bus.reader(start="oldest"), bus.reader(start="oldest")
    for number in range(1, 200):
        feed.trade(number)
        feed.delta(f"{number}.00")
    wanted = events.poll(10_000)
    batch = batches.batch()
    assert batch["trade"]["px"].tolist() == [event.px for event in wanted if event.kind == "trade"]
    deltas = [event for event in wanted if event.kind == "delta"]
    heads, levels = batch["delta"], batch["levels"]
    assert heads["sequence"].tolist() == [event.sequence for event in deltas]
    for head, event in zip(heads, deltas, strict=True):
        at = head["first_level"]
        assert levels[at : at + head["n_bids"]].tolist() == event.bid_mantissas
        assert levels[at + head["n_bids"] : at + head["n_bids"] + head["n_asks"]].tolist() == event.ask_mantissas
    order = np.concatenate([batch[kind]["position"] for kind in ("trade", "delta", "snapshot", "status")])
    assert sorted(order.tolist()) == [event.position.offset for event in wanted]
    assert batches.batch() == {}


@pytest.mark.parametrize("how", ["block", "yield", "spin"])
def test_a_waiting_reader_gets_what_comes_and_ends_with_the_feed(shm, how):
    feed = Feed("waiting")
    reader = fastfeed.open("waiting").reader(kinds=["trade"], wait=how)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(event.trade_id for event in reader))
    thread.start()
    for number in range(1, 50):
        feed.writer.heartbeat()
        feed.trade(number)
        wait_for(lambda number=number: len(got) == number)
    feed.writer.close()
    thread.join(30)
    assert not thread.is_alive()
    assert got == list(range(1, 50))


def test_async_iteration_gets_what_comes_and_can_be_cancelled(feed):
    async def main() -> list[int]:
        reader = fastfeed.open("books").reader(kinds=["trade"])
        got = []

        async def consume() -> None:
            async for event in reader:
                got.append(event.trade_id)

        task = asyncio.create_task(consume())
        for number in range(1, 20):
            await asyncio.sleep(0)
            feed.writer.heartbeat()
            feed.trade(number)
        while len(got) < 19:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        feed.trade(20)
        return got + [event.trade_id for event in reader.poll()]

    assert asyncio.run(asyncio.wait_for(main(), 60)) == list(range(1, 21))


def test_a_file_of_another_layout_is_refused_with_the_field(feed):
    file = path("books", "data")
    with open(file, "r+b") as data:
        text = data.read(65536)
        at = text.index(b"bid_sz:i8@72")
        data.seek(at)
        data.write(b"bid_sz:i8@80")
        data.flush()
        with pytest.raises(fastfeed.LayoutMismatch, match=r"BboRecord.bid_sz: expected bid_sz:i8@72, was bid_sz:i8@80"):
            fastfeed.open("books")
        data.seek(8)
        data.write((99).to_bytes(4, "little"))
        data.flush()
        with pytest.raises(fastfeed.LayoutMismatch, match="layout_version: expected 3, was 99"):
            fastfeed.open("books")
    os.truncate(file, 100)
    with pytest.raises(fastfeed.LayoutMismatch, match="size"):
        fastfeed.open("books")
    os.truncate(file, 1 << 24)  # the writer's own mapping must stay whole

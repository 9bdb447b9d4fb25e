"""Routes that come and go on an open receive path: what is taken away stops, and nothing else is touched."""

from __future__ import annotations

import itertools
import random

import pytest
from pipeline import BOOK, instrument
from wire import Wire

from fastfeed.protocol import open_market
from fastfeed_core.bus import BusWriter
from fastfeed_core.connection import Connection
from fastfeed_core.decoders.binance import BinanceDecoder
from fastfeed_core.market import Hub
from fastfeed_core.records import Reason

QUOTES = ["binance:BTC/USDT", "binance:BTC/USDC", "binance:BTC/EUR"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_of_a_topic_of_several_instruments_any_can_go_in_any_order(order):
    wire = Wire(channels=())
    (connection,) = wire.connections
    markets = [wire.market, *(open_market(wire.hub, instrument(name), BOOK) for name in QUOTES[1:])]
    for market in markets:
        connection.route("index", "BTC", "ticker", market)
    left = set(range(3))
    for number, gone in enumerate(order):
        connection.unroute("index", "BTC", "ticker", markets[gone], wire.ts)
        left.remove(gone)
        if left:
            events = wire.send("index", "ticker", fields={"index_price": b"%d" % (number + 7)})
            assert sorted(each.name for each in events) == sorted(QUOTES[each] for each in left)
    with pytest.raises(LookupError):
        wire.send("index", "ticker", fields={"index_price": b"1"})
    for market in markets:  # and all can come back
        connection.route("index", "BTC", "ticker", market)
    assert len(wire.send("index", "ticker", fields={"index_price": b"20"})) == 3
    wire.close(0)


def test_the_table_grows_and_shrinks_and_never_loses_a_route():
    hub = Hub(BusWriter(ring=1 << 20, instruments=2))
    market = open_market(hub, instrument(), BOOK)
    connection = Connection(hub, hub.bus.add_connection("test"), BinanceDecoder(), 1, 0)
    names = [f"topic{number}" for number in range(2000)]
    chance = random.Random(3)
    there: set[str] = set()
    for step in range(6000):
        name = chance.choice(names)
        if name in there and chance.random() < 0.4 + 0.2 * (step > 3000):
            connection.unroute(name, "BTCUSDT", "trade", market, step)
            there.discard(name)
        else:
            connection.reserve(1)
            connection.route(name, "BTCUSDT", "trade", market)
            there.add(name)
        if step % 500 == 0:
            frame = b'{"stream":"%s","data":{"e":"trade","E":1,"s":"BTCUSDT","t":%d,"p":"1","q":"1","T":1,"m":true}}'
            assert {each for each in names if connection.accepts(frame % (each.encode(), step))} == there
    connection.close(1)


def test_without_room_a_route_is_refused_and_reserved_room_takes_it():
    hub = Hub(BusWriter(ring=1 << 20, instruments=2))
    market = open_market(hub, instrument(), BOOK)
    connection = Connection(hub, hub.bus.add_connection("test"), BinanceDecoder(), 1, 0)
    for number in range(8):
        connection.route(f"topic{number}", "BTCUSDT", "trade", market)
    with pytest.raises(ValueError, match="no room"):
        connection.route("more", "BTCUSDT", "trade", market)
    connection.reserve(1)
    connection.route("more", "BTCUSDT", "trade", market)
    connection.close(1)


def test_the_last_channel_of_a_topic_takes_the_source_along():
    wire = Wire(channels=(("trade", "trade", None), ("trade", "liquidation", "trade")))
    connection, deals = wire.connections[0], [{"id": 1, "px": 1, "sz": 1, "ts": 1}]
    connection.unroute("trade", "BTCUSDT", "liquidation", wire.market, wire.ts)
    connection.unroute("trade", "BTCUSDT", "liquidation", wire.market, wire.ts)
    assert connection.messages("trade") == 0
    connection.unroute("nothing", "BTCUSDT", "trade", wire.market, wire.ts)
    connection.unroute("trade", "BTCUSDT", "trade", wire.market, wire.ts)
    with pytest.raises(LookupError):
        wire.send("trade", "trade", deals=deals)


def test_deltas_held_of_a_source_that_goes_are_forgotten_and_the_book_of_others_stays():
    wire = Wire(connections=2)
    for number in range(2):
        wire.book("snapshot", number, last=10, bids=[(100, 1)], asks=[(101, 1)])
    assert wire.market.live
    assert wire.market.begin_verifying()
    wire.book("delta", 0, prev=10, last=11, bids=[(99, 1)])
    wire.connections[0].unroute("book", wire.instrument.symbol, "book", wire.market, wire.ts)
    assert (wire.market.live, wire.market.source_count) == (True, 1)
    wire.book("delta", 1, prev=10, last=11, bids=[(99, 1)])
    wire.book("delta", 1, prev=11, last=12, bids=[(98, 1)])
    assert wire.market.levels()[0] == [(100, 1), (99, 1), (98, 1)]
    wire.connections[1].unroute("book", wire.instrument.symbol, "book", wire.market, wire.ts)
    assert (wire.market.live, wire.market.source_count) == (False, 0)
    assert wire.market.levels() == ([], [])


def test_a_book_begun_later_is_a_book_like_any_other():
    wire = Wire(rows=(), channels=(("trade", "trade", None),))
    assert not wire.market.has_book
    wire.market.begin_book(1, False)
    wire.market.begin_book(1, False)
    assert wire.market.has_book
    assert not wire.bus.map.instrument(0)["chained"]
    wire.connections[0].route("book", wire.instrument.symbol, "book", wire.market)
    wire.book("snapshot", last=10, bids=[(100, 1)], asks=[(101, 1)])
    wire.book("delta", prev=10, last=11, bids=[(99, 1)])
    book = wire.bus.book(wire.instrument.name)
    assert book.depth().bids.tolist() == [(100, 1), (99, 1)]
    wire.market.drop(Reason.REASON_UNSUBSCRIBED, wire.ts)
    assert [each.reason for each in wire.events() if each.kind == "status"] == ["unsubscribed"]
    wire.close(0)

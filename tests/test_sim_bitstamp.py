"""Bitstamp as the simulator speaks it: messages, limits, books of every channel, REST, and its recording."""

import json
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from fastfeed.sim import Abort, Close, Frame, Knobs, Ping, Pong, Simulator

NOW = 1_785_000_000_000_000_000


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["bitstamp"], faults=faults, knobs=Knobs(**{"levels": 150, "journal": True, **knobs}), now=NOW)


def connect(sim: Simulator, *channels: str):
    client = sim.connect("bitstamp", "bitstamp", "/")
    for channel in channels:
        client.receive(json.dumps({"event": "bts:subscribe", "data": {"channel": channel}}))
    return client


def data(client) -> list[dict]:
    return [json.loads(output.payload) for output in client.take() if isinstance(output, Frame) and output.topic]


def get(sim: Simulator, path: str):
    return sim.request("bitstamp", "bitstamp", f"/api/v2/{path}")


def body(sim: Simulator, path: str):
    reply = get(sim, path)
    assert reply.status == 200
    return json.loads(reply.body)


class Book:
    """A client's own book: whole messages replace it, differences change it."""

    def __init__(self, message: dict | None = None):
        self.sides: tuple[dict, dict] = ({}, {})
        self.sequence = 0
        if message:
            self.replace(message)

    def replace(self, message: dict) -> None:
        self.sequence = int(message["microtimestamp"])
        self.sides = tuple({Decimal(px): Decimal(sz) for px, sz, *_ in message[side]} for side in ("bids", "asks"))

    def change(self, message: dict) -> None:
        if int(message["microtimestamp"]) <= self.sequence:
            return
        self.sequence = int(message["microtimestamp"])
        for side, name in zip(self.sides, ("bids", "asks"), strict=True):
            for px, sz in message[name]:
                if Decimal(sz):
                    side[Decimal(px)] = Decimal(sz)
                else:
                    del side[Decimal(px)]  # a level that nobody has is never removed

    def levels(self) -> tuple[list, list]:
        return sorted(self.sides[0].items(), reverse=True), sorted(self.sides[1].items())


# Messages of the client


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            '{"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}',
            '{"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}',
        ),
        (
            '{"event":"bts:subscribe","data":{"channel":"order_book_fooxyz"}}',
            '{"event":"bts:subscription_succeeded","channel":"order_book_fooxyz","data":{}}',
        ),
        (
            '{"event":"bts:unsubscribe","data":{"channel":"order_book_btcusd"}}',
            '{"event":"bts:unsubscription_succeeded","channel":"order_book_btcusd","data":{}}',
        ),
        ('{"event":"bts:heartbeat"}', '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'),
        ("nojson", '{"event":"bts:error","channel":"","data":{"code":null,"message":"Incorrect JSON format."}}'),
        ("[]", '{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}'),
        (
            '{"event":"bts:ping"}',
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}',
        ),
        (
            '{"event":"bts:subscribe","data":{}}',
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}',
        ),
        (
            '{"event":"bts:subscribe","data":{"channel":"order_book_BTC/USD"}}',
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}',
        ),
        (
            '{"event":"bts:subscribe","data":{"channel":"private-my_orders_btcusd-1"}}',
            '{"event":"bts:error","channel":"","data":{"code":4009,"message":"Connection is unauthorized."}}',
        ),
    ],
)
def test_a_message_is_answered_and_the_connection_stays(text, answer):
    client = connect(make())
    client.receive(text)
    assert [output.payload.decode() for output in client.take()] == [answer]
    assert not client.is_closed


def test_a_market_that_does_not_exist_is_silent():
    sim = make()
    client = connect(sim, "order_book_fooxyz", "funding_rate_btcusd", "announcements")
    sim.advance(seconds=3)
    assert data(client) == []


def test_an_unsubscribed_channel_is_silent():
    sim = make()
    client = connect(sim, "live_trades_btcusd")
    client.receive('{"event":"bts:unsubscribe","data":{"channel":"live_trades_btcusd"}}')
    sim.advance(seconds=3)
    assert data(client) == []


def test_a_long_message_closes_the_connection():
    client = connect(make())
    client.receive('{"event":"bts:heartbeat"}'.ljust(512))
    client.receive('{"event":"bts:heartbeat"}'.ljust(513))
    assert client.take()[1:] == [Close(1009, "read limited at 513 bytes")]


def test_the_1025th_channel_cuts_the_connection_without_a_word():
    client = connect(make(), *(f"order_book_x{number}" for number in range(1024)))
    client.receive('{"event":"bts:subscribe","data":{"channel":"order_book_x7"}}')
    assert len(client.take()) == 1025
    client.receive('{"event":"bts:subscribe","data":{"channel":"order_book_x1024"}}')
    assert client.take() == [Abort()]
    assert client.is_closed


def test_another_path_is_refused():
    with pytest.raises(ValueError, match="refused with 404"):
        make().connect("bitstamp", "bitstamp", "/v2")


# Keep-alive


def test_the_venue_pings_every_54_seconds_and_closes_a_mute_connection():
    sim = make(rate=1, symbols=1)
    answering, mute = connect(sim), connect(sim)
    for _ in range(54 * 3):
        sim.advance(seconds=1)
        answering.pong()
    assert [type(output) for output in answering.take()] == [Ping] * 3
    assert mute.take()[-1] == Close(1008, "Pong timeout")


def test_a_ping_is_answered():
    client = connect(make())
    client.ping(b"abc")
    assert client.take() == [Pong(b"abc")]


def test_a_connection_has_an_end_and_a_notice_of_it():
    sim = make(lifetime_s=10, symbols=1)
    client = connect(sim)
    sim.announce_shutdown("bitstamp")
    assert client.take() == [Frame(b'{"event":"bts:request_reconnect","channel":"","data":null}')]
    sim.advance(seconds=10)
    assert client.take() == [Close(1001, "Connection lifetime exceeded")]


# Books


@pytest.mark.parametrize("name", ["BTC/USD", "PEPE/BTC", "SLP/USD", "BTC/USD:USD"])
def test_every_whole_book_is_the_true_one_of_its_time(name):
    sim = make()
    symbol = next(each.symbol for each in sim.profiles["bitstamp"].instruments if each.name == name)
    client = connect(sim, f"order_book_{symbol}")
    assert len(client.take()) == 1  # the acknowledgement: no book comes with it
    sim.advance(seconds=3)
    books = [Book(message["data"]) for message in data(client)]
    assert len(books) > 10
    assert all(a.sequence < b.sequence and a.sides != b.sides for a, b in pairwise(books))
    for book in books:
        assert book.levels() == sim.book_at(f"bitstamp:{name}", book.sequence).prices()
        assert [len(side) for side in book.sides] == [100, 100]


@pytest.mark.parametrize(("symbol", "name"), [("ethusd", "ETH/USD"), ("asterusd-perp", "ASTER/USD:USD")])
def test_a_rest_book_and_differences_are_the_true_book(symbol, name):
    sim = make()
    client = connect(sim, f"diff_order_book_{symbol}")
    sim.advance(seconds=2.05)
    book = Book(body(sim, f"order_book/{symbol}/?group=1"))
    sim.advance(seconds=2)
    messages = [message["data"] for message in data(client)]
    assert int(messages[0]["microtimestamp"]) < book.sequence < int(messages[-1]["microtimestamp"])
    for message in messages:
        book.change(message)
        assert message["bids"] or message["asks"]
    assert book.levels() == sim.book_at(f"bitstamp:{name}", book.sequence).prices()


def test_absurd_orders_are_in_the_book():
    bids, asks = (body(make(), "order_book/ethusd/")[side] for side in ("bids", "asks"))
    assert bids[-1] == ["0.00", "0.00000069"]
    assert asks[-1] == ["9999999999.00", "0.00000069"]


def test_the_same_request_is_answered_from_a_cache_for_a_second():
    sim = make()
    first = get(sim, "order_book/btcusd/").body
    sim.advance(seconds=0.9)
    assert get(sim, "order_book/btcusd/").body == first
    fresh = get(sim, "order_book/btcusd/?_=1").body
    assert fresh != first
    sim.advance(seconds=0.2)
    assert get(sim, "order_book/btcusd/").body != first


def test_a_book_as_of_a_time_without_a_change_is_unknown():
    with pytest.raises(ValueError, match="no message with microtimestamp"):
        make().book_at("bitstamp:BTC/USD", NOW // 1000 + 1)


def test_single_orders_chain_and_add_up_to_the_levels():
    sim = make()
    client = connect(sim, "live_orders_xrpeur", "detail_order_book_xrpeur")
    orders = {row[2]: Decimal(row[1]) for row in rows_of(body(sim, "order_book/xrpeur/?group=2"))}
    sim.advance(seconds=4)
    messages = data(client)
    events = [message for message in messages if message["channel"].startswith("live")]
    assert {event["event"] for event in events} == {"order_created", "order_changed", "order_deleted"}
    assert all(a["event_id"] == b["pre_event_id"] for a, b in pairwise(events))
    for event in events:
        order = event["data"]
        orders[order["id_str"]] = Decimal(order["amount_str"])
        if event["event"] == "order_deleted":
            del orders[order["id_str"]]
    now = {row[2]: Decimal(row[1]) for row in rows_of(body(sim, "order_book/xrpeur/?group=2&_=1"))}
    assert orders == now
    detail = [message["data"] for message in messages if message["channel"].startswith("detail")][-1]
    assert len(detail["bids"]) == 100 > len({row[0] for row in detail["bids"]})
    levels = defaultdict(Decimal)
    for price, size, _ in rows_of(body(sim, "order_book/xrpeur/?group=2&_=2")):
        levels[Decimal(price)] += Decimal(size)
    truth = sim.true_book("bitstamp:XRP/EUR").prices()
    assert levels == dict(truth[0] + truth[1])


def rows_of(book: dict) -> list:
    return book["bids"] + book["asks"]


# Trades, funding, listing


def test_trades_say_the_takers_side_and_their_own_time():
    sim = make()
    client = connect(sim, "live_trades_btcusd", "live_trades_btcusd-perp")
    sim.advance(seconds=4)
    messages = data(client)
    assert {message["event"] for message in messages} == {"trade"}
    spot = [message["data"] for message in messages if message["channel"] == "live_trades_btcusd"]
    perpetual = [message["data"] for message in messages if message["channel"] == "live_trades_btcusd-perp"]
    assert len(spot) > 10 < len(perpetual)
    assert {trade["type"] for trade in spot} == {0, 1}
    for trade in spot:
        assert trade["timestamp"] == trade["microtimestamp"][:-6]
        assert float(trade["price_str"]) == trade["price"]
        assert (trade["buy_order_id"] > trade["sell_order_id"]) == (trade["type"] == 0)  # the taker came later
    assert any(repr(trade["amount"]) != trade["amount_str"].rstrip("0") for trade in spot)
    for trade in perpetual:
        assert trade["timestamp"] == trade["microtimestamp"][:-3]
        assert str(trade["id"]) == trade["id_str"]
        assert trade["id"] > 2**53


def test_mark_index_and_funding_come_every_second():
    sim = make()
    client = connect(sim, "funding_rate_btcusd-perp")
    sim.advance(seconds=5)
    messages = data(client)
    assert [message["event"] for message in messages] == ["funding_rate_saved"] * 5
    first = messages[0]["data"]
    assert first["market"] == "btcusd-perp"
    assert Decimal(first["mark_price"]) > Decimal(first["index_price"]) > 70_000
    assert int(first["next_funding_time"]) % 28_800 == 0
    ticker = body(sim, "ticker/btcusd-perp/")
    assert ticker["mark_price"] == messages[-1]["data"]["mark_price"]
    assert Decimal(ticker["open_interest"]) > 0


def test_the_listing_has_all_markets_on_one_page():
    sim = make()
    rows = {row["market_symbol"]: row for row in body(sim, "markets/")}
    assert rows.keys() == {each.symbol for each in sim.profiles["bitstamp"].instruments}
    assert rows["btcusd"]["market_type"] == "SPOT"
    perpetual = rows["btcusd-perp"]
    assert (perpetual["name"], perpetual["market_type"], perpetual["payoff_type"]) == (
        "BTC/USD-PERP", "PERPETUAL", "Linear",
    )  # fmt: skip
    assert (perpetual["counter_decimals"], perpetual["base_decimals"]) == (0, 5)
    assert rows["pepebtc"]["counter_decimals"] == 12


@pytest.mark.parametrize(("count", "perpetuals"), [(1, 0), (2, 1), (5, 2), (12, 2)])
def test_instruments_can_be_fewer_or_more(count, perpetuals):
    names = [each.name for each in make(symbols=count).profiles["bitstamp"].instruments]
    assert len(set(names)) == count
    assert sum(":" in name for name in names) == perpetuals


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("order_book/fooxyz/", 404, b"<html>"),
        ("funding_rate/btcusd/", 404, b""),
        ("funding_rate/", 404, b'{"message": "Not found."}'),
        ("ticker/fooxyz/", 200, b'[{"timestamp"'),
        ("ORDER_BOOK/BTCUSD", 200, b'{"timestamp"'),
    ],
)
def test_what_is_not_there_is_answered_in_several_ways(path, status, content):
    reply = get(make(), path)
    assert (reply.status, reply.body[: len(content)]) == (status, content)
    assert reply.headers["Date"] == "Sat, 25 Jul 2026 17:20:00 GMT"


def test_more_than_400_calls_a_second_are_refused():
    sim = make(symbols=1)
    replies = [get(sim, "funding_rate/") for _ in range(401)]
    assert {reply.status for reply in replies[:-1]} == {404}
    assert json.loads(replies[-1].body)["response_code"] == "400.002"
    sim.advance(seconds=1)
    assert get(sim, "markets/").status == 200


# Faults


def test_faults_of_rest_are_answered_in_the_venues_shapes():
    sim = make("429:@1,418:@2,old_snapshot:@3")
    old = Book(body(make(), "order_book/btcusd/"))
    sim.advance(seconds=3)
    refused, denied = get(sim, "order_book/btcusd/"), get(sim, "order_book/btcusd/")
    assert (refused.status, json.loads(refused.body)["response_code"]) == (400, "400.002")
    assert denied.status == 403
    assert Book(body(sim, "order_book/btcusd/")).levels() == old.levels()
    assert Book(body(sim, "order_book/btcusd/")).sequence > old.sequence


def test_an_old_book_in_the_stream_is_the_first_one_again():
    sim = make("old_snapshot:@3")
    client = connect(sim, "order_book_btcusd")
    sim.advance(seconds=2)
    books = [message["data"] for message in data(client)]
    assert books[3] == books[0]
    assert [int(book["microtimestamp"]) for book in books[4:]] == sorted(int(b["microtimestamp"]) for b in books[4:])


def test_a_lost_difference_leaves_no_trace_but_a_wrong_book():
    sim = make("drop:@4:diff")
    client = connect(sim, "diff_order_book_btcusd")
    book = Book(body(sim, "order_book/btcusd/"))
    sim.advance(seconds=3)
    for message in data(client):
        for name, side in zip(("bids", "asks"), book.sides, strict=True):
            message["data"][name] = [row for row in message["data"][name] if Decimal(row[1]) or Decimal(row[0]) in side]
        book.change(message["data"])
    assert book.levels() != sim.book_at("bitstamp:BTC/USD", book.sequence).prices()


# The recording


def recorded(recordings) -> tuple[dict, list]:
    """REST books by symbol and messages in order, read from the files independently."""
    folder, books, messages = recordings / "bitstamp", {}, []
    for line in (folder / "rest.txt").read_text().splitlines():
        if "/order_book/" in line:
            url, _, text = line.partition(" -> ")
            books[url.rpartition("/")[2]] = json.loads(text.partition(": ")[2])
    for line in (folder / "ws.txt").read_text().splitlines():
        text = line.partition(": ")[2]
        if text.startswith('{"data"'):
            messages.append(text)
    return books, messages


def replay(recordings, **knobs) -> Simulator:
    return Simulator(["bitstamp"], replay=recordings / "bitstamp", speed=None, knobs=Knobs(**knobs), now=NOW)


def play(sim: Simulator) -> None:
    for _ in range(100):
        sim.advance(seconds=0.5)


def test_a_replay_sends_what_was_recorded_byte_by_byte(recordings):
    books, messages = recorded(recordings)
    sim = replay(recordings)
    client = connect(sim, *(f"{kind}_{symbol}" for symbol in books for kind in ("diff_order_book", "live_trades")))
    play(sim)
    frames = [output for output in client.take() if isinstance(output, Frame) and output.topic]
    assert [frame.payload.decode() for frame in frames] == messages
    assert {frame.name for frame in frames} < {each.name for each in sim.profiles["bitstamp"].instruments}


def test_the_final_books_of_a_replay_are_those_of_the_recording(recordings):
    snapshots, messages = recorded(recordings)
    truth = {symbol: Book(snapshot) for symbol, snapshot in snapshots.items()}
    for text in messages:
        message = json.loads(text)
        if message["event"] == "data":
            truth[message["channel"].rpartition("_")[2]].change(message["data"])
    sim = replay(recordings, hold_s=2)
    client = connect(sim, *(f"diff_order_book_{symbol}" for symbol in snapshots))
    whole = connect(sim, *(f"order_book_{symbol}" for symbol in snapshots))
    mine = {symbol: Book(body(sim, f"order_book/{symbol}/?group=1")) for symbol in snapshots}
    play(sim)
    for message in data(client):
        mine[message["channel"].rpartition("_")[2]].change(message["data"])
    last = {message["channel"].rpartition("_")[2]: Book(message["data"]) for message in data(whole)}
    assert len(last) == 9  # one market was quiet
    for symbol, book in truth.items():
        assert mine[symbol].levels() == book.levels()
        assert Book(body(sim, f"order_book/{symbol}/?_=1")).levels() == book.levels()
        if symbol in last:
            assert last[symbol].sequence == book.sequence
            assert last[symbol].levels() == tuple(side[:100] for side in book.levels())


def test_a_recorded_listing_is_shown_as_one_of_today(recordings):
    sim = replay(recordings)
    rows = {row["market_symbol"]: row for row in body(sim, "markets/")}
    assert len(rows) == 140
    assert rows["ethusd"] == {
        "name": "ETH/USD", "market_symbol": "ethusd", "base_currency": "ETH", "base_decimals": 8,
        "counter_currency": "USD", "counter_decimals": 2, "minimum_order_value": "20.0", "trading": "Enabled",
        "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled",
        "description": "Ether / U.S. dollar", "market_type": "SPOT",
    }  # fmt: skip


def test_markets_without_a_listing_are_derived_from_their_books(recordings, tmp_path):
    for name in ("ws.txt", "rest.txt"):
        (tmp_path / name).write_bytes((recordings / "bitstamp" / name).read_bytes())
    sim = Simulator(["bitstamp"], replay=tmp_path, speed=None, now=NOW)
    listed = {each.name: each for each in replay(recordings).profiles["bitstamp"].instruments}
    derived = {each.name: each for each in sim.profiles["bitstamp"].instruments}
    assert derived == listed


def test_recordings_of_other_venues_are_not_taken(recordings):
    for folder in ("binance", "okx", "deribit", "kraken_futures"):
        with pytest.raises(ValueError, match="no recording of bitstamp"):
            Simulator(["bitstamp"], replay=recordings / folder, now=NOW)

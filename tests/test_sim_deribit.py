"""Deribit as the simulator speaks it: calls, channels, chained books, heartbeats, limits, and its recording."""

import json
from decimal import Decimal

import pytest

from fastfeed.sim import Close, Frame, Knobs, Pong, Simulator
from fastfeed.sim.frames import Abort, Framed
from fastfeed.sim.profiles.deribit.numbers import float_text

NOW = 1_785_000_000_000_000_000
SECOND = 1_000_000_000
PATH = "/ws/api/v2"
PERPETUAL = "BTC-PERPETUAL"


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["deribit"], faults=faults, knobs=Knobs(**{"levels": 30, "late_ack": 0.0, **knobs}), now=NOW)


def connect(sim: Simulator):
    return sim.connect("deribit", "deribit", PATH)


def call(client, method: str, **params) -> list[dict]:
    """Everything that is sent at once when the client calls a method."""
    client.receive(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    outputs = client.take()
    return [json.loads(one.payload, parse_float=Decimal) if isinstance(one, Frame) else one for one in outputs]


def subscribe(client, *channels: str) -> list[dict]:
    return call(client, "public/subscribe", channels=list(channels))


def result(client, method: str, **params):
    return call(client, method, **params)[0]["result"]


def error(client, method: str, **params) -> dict:
    return call(client, method, **params)[0]["error"]


def notified(client, channel: str = "") -> list[dict]:
    """The data of all notifications since the last call."""
    params = [
        json.loads(output.payload, parse_float=Decimal)["params"]
        for output in client.take()
        if isinstance(output, Frame) and output.topic
    ]
    return [entry["data"] for entry in params if not channel or entry["channel"] == channel]


def rest(sim: Simulator, target: str):
    return sim.request("deribit", "deribit", f"/api/v2/{target}")


def order_book(sim: Simulator, symbol: str) -> dict:
    reply = rest(sim, f"public/get_order_book?instrument_name={symbol}&depth=1000")
    return json.loads(reply.body, parse_float=Decimal)["result"]


class Book:
    """What an honest client makes of a book channel."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {}
        self.sequence = None
        self.gaps = 0

    def take(self, message: dict) -> None:
        if message["type"] == "snapshot":
            assert message.get("prev_change_id") is None
            self.sides = {"bids": {}, "asks": {}}
        elif message["prev_change_id"] != self.sequence:
            self.gaps += 1
            self.sides, self.sequence = {}, None
            return
        self.sequence = message["change_id"]
        for name, side in self.sides.items():
            for word, price, amount in message[name]:
                assert (word == "delete") == (amount == 0)
                assert (price in side) == (word != "new")
                if amount:
                    side[Decimal(price)] = Decimal(amount)
                else:
                    del side[price]

    def equals(self, book) -> bool:
        bids, asks = book.prices()
        return self.sides == {"bids": dict(bids), "asks": dict(asks)}


# Calls


def test_a_call_is_answered_with_its_id_and_microseconds():
    (answer,) = call(connect(make()), "public/get_time")
    assert answer == {"jsonrpc": "2.0", "id": 7, "result": NOW // 10**6, "usIn": NOW // 1000,
                      "usOut": NOW // 1000 + 87, "usDiff": 87, "testnet": False}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "has_id"),
    [
        ("nojson", 11050, False),
        ("[]", -32600, False),
        ('{"id":1}', -32600, False),
        ('{"method":"public/test","params":[],"id":1}', -32602, False),
        ('{"method":"public/nothing","id":1}', -32601, True),
        ('{"method":"private/subscribe","params":{"channels":["x"]},"id":1}', 13009, True),
        ('{"method":"public/subscribe","params":{"channels":"x"},"id":1}', -32602, True),
        ('{"method":"public/set_heartbeat","params":{"interval":9},"id":1}', -32602, True),
        ('{"method":"public/get_instruments","params":{"currency":"DOGE"},"id":1}', -32602, True),
        ('{"method":"public/get_order_book","params":{"instrument_name":"NO"},"id":1}', -32602, True),
        (json.dumps({"method": "public/test", "id": 1, "params": {"x": "y" * 33_000}}), -32600, False),
    ],
    ids=["text", "array", "no-method", "positional", "unknown", "private", "channels", "heartbeat", "currency",
         "instrument", "large"],
)  # fmt: skip
def test_a_refused_call_leaves_the_connection_open(text, code, has_id):
    client = connect(make())
    client.receive(text)
    (answer,) = (json.loads(output.payload) for output in client.take())
    assert answer["error"]["code"] == code
    assert ("id" in answer) == has_id
    assert result(client, "public/test")["version"]


def test_a_call_without_an_id_is_answered_without_one():
    client = connect(make())
    client.receive('{"jsonrpc":"2.0","method":"public/test"}')
    assert "id" not in json.loads(client.take()[0].payload)


def test_other_paths_are_not_found():
    with pytest.raises(ValueError, match="refused with 404"):
        make().connect("deribit", "deribit", "/ws/api/v1")


# Subscriptions


def test_channels_that_do_not_exist_are_left_out_of_the_answer():
    client = connect(make())
    good = ["book.BTC-PERPETUAL.100ms", "quote.BTC_USDC", "trades.future.BTC.agg2", "chart.trades.BTC_USDC.1D"]
    bad = ["book.BTC-PERPETUAL.1ms", "book.NO-PERPETUAL.100ms", "book.BTC-PERPETUAL.none.15.100ms", "quote", "x.y.z",
           "book.BTC-PERPETUAL.25.10.100ms", "chart.trades.BTC_USDC.2", "trades.perpetual.any.100ms",
           "instrument.state.BTC_USDC", "book.BTC-PERPETUAL.none.10.100ms.more"]  # fmt: skip
    assert sorted(subscribe(client, *good, *bad)[0]["result"]) == sorted(good)
    assert subscribe(client, *bad) == [{**subscribe(client, *bad)[0], "result": []}]


def test_a_book_begins_with_a_snapshot_and_a_second_subscription_has_none():
    client = connect(make())
    ack, snapshot = subscribe(client, "book.BTC-PERPETUAL.100ms")
    assert ack["result"] == ["book.BTC-PERPETUAL.100ms"]
    assert snapshot["params"]["data"]["type"] == "snapshot"
    assert subscribe(client, "book.BTC-PERPETUAL.100ms")[0]["result"] == ["book.BTC-PERPETUAL.100ms"]
    assert len(subscribe(client, "book.BTC-PERPETUAL.100ms")) == 1
    assert result(client, "public/unsubscribe", channels=["book.BTC-PERPETUAL.100ms", "quote.BTC_USDC"]) == [
        "book.BTC-PERPETUAL.100ms"
    ]
    assert len(subscribe(client, "book.BTC-PERPETUAL.100ms")) == 2
    assert result(client, "public/unsubscribe_all") == "ok"
    client._sim.advance(seconds=1)
    assert notified(client) == []


def test_data_may_come_before_the_acknowledgement():
    snapshot, ack = subscribe(connect(make(late_ack=1.0)), "book.BTC-PERPETUAL.100ms")
    assert "params" in snapshot
    assert ack["id"] == 7


def test_raw_needs_a_login():
    sim = make()
    client = connect(sim)
    refused = error(client, "public/subscribe", channels=["quote.BTC_USDC", "book.BTC-PERPETUAL.raw"])
    assert refused == {"message": "raw_subscriptions_not_available_for_unauthorized", "code": 13778}
    wrong = {"grant_type": "client_credentials", "client_id": "AMANDA", "client_secret": "no"}
    assert error(client, "public/auth", **wrong)["code"] == 13004
    assert "access_token" in result(client, "public/auth", **{**wrong, "client_secret": "AMANDASECRECT"})
    ack, first = subscribe(client, "book.BTC-PERPETUAL.raw")
    assert ack["result"] == ["book.BTC-PERPETUAL.raw"]
    book = Book()
    book.take(first["params"]["data"])
    sim.advance(seconds=1)
    messages = notified(client)
    assert len(messages) > 20
    assert call(client, "private/logout")[0]["result"] == "ok"
    assert client.is_closed


def test_a_login_can_be_signed():
    # The venue's own example, docs.deribit.com, "Authentication".
    sim = Simulator(["deribit"], now=1576074319000 * 10**6)
    signed = {
        "grant_type": "client_signature",
        "client_id": "AMANDA",
        "timestamp": 1576074319000,
        "data": "",
        "nonce": "1iqt2wls",
        "signature": "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
    }
    client = connect(sim)
    assert error(client, "public/auth", **{**signed, "nonce": "x"})["code"] == 13004
    assert result(client, "public/auth", **signed)["token_type"] == "bearer"
    sim.advance(seconds=61)
    late = sim.connect("deribit", "deribit", PATH)
    assert error(late, "public/auth", **signed)["code"] == 13004


# Books


@pytest.mark.parametrize("interval", ["100ms", "agg2"])
@pytest.mark.parametrize("symbol", [PERPETUAL, "BTC_USDC", "BABYDOGE_USDC", "XRP_USDC-25SEP26-0d625-C"])
def test_snapshot_and_changes_rebuild_the_true_book(symbol, interval):
    sim = make()
    name = next(row.name for row in sim.profiles["deribit"].instruments if row.symbol == symbol)
    first, second = connect(sim), connect(sim)
    channel = f"book.{symbol}.{interval}"
    subscribe(first, channel)
    book, late = Book(), Book()
    sim.advance(seconds=0.2)
    notified(first)
    result(first, "public/unsubscribe", channels=[channel])
    book.take(subscribe(first, channel)[1]["params"]["data"])
    for step in range(40):
        sim.advance(seconds=0.25)
        if step == 10:
            late.take(subscribe(second, channel)[1]["params"]["data"])
        for message in notified(first):
            book.take(message)
        for message in notified(second):
            late.take(message)
    # At the end of a window nothing is held back.
    sim.advance(now=NOW + 11 * SECOND)
    for client, mine in ((first, book), (second, late)):
        for message in notified(client):
            mine.take(message)
        assert mine.gaps == 0
        assert mine.equals(sim.true_book(f"deribit:{name}"))


def test_the_book_at_a_change_id_is_what_the_default_channel_showed():
    sim = make(journal=True)
    client = connect(sim)
    book = Book()
    book.take(subscribe(client, "book.ETH-PERPETUAL.100ms")[1]["params"]["data"])
    sim.advance(seconds=5)
    messages = notified(client)
    for message in messages:
        book.take(message)
        assert book.equals(sim.book_at("deribit:ETH/USD:ETH", book.sequence))
    assert len({tuple(message) for message in messages}) == 2, "fields come in more than one order"
    with pytest.raises(ValueError, match="no message"):
        sim.book_at("deribit:ETH/USD:ETH", book.sequence + 1)


def test_change_ids_are_one_counter_of_all_instruments():
    client = connect(make())
    ids = [message["params"]["data"]["change_id"]
           for message in subscribe(client, "book.BTC-PERPETUAL.100ms", "book.BTC_USDC.100ms")[1:]]  # fmt: skip
    assert 0 < abs(ids[0] - ids[1]) < 10_000


@pytest.mark.parametrize(
    ("group", "symbol", "step"),
    [("none", PERPETUAL, "0.5"), ("10", PERPETUAL, "10"), ("25", "ETH-PERPETUAL", "0.25")],
    ids=["none", "btc-10", "eth-25"],
)
def test_grouped_books_are_whole(group, symbol, step):
    sim = make()
    client = connect(sim)
    channel = f"book.{symbol}.{group}.10.100ms"
    assert len(subscribe(client, channel)) == 2
    sim.advance(seconds=1)
    messages = notified(client, channel)
    assert 5 < len(messages) <= 10
    for message in messages:
        assert set(message) == {"timestamp", "instrument_name", "change_id", "bids", "asks"}
        for side, is_rising in (("bids", False), ("asks", True)):
            prices = [Decimal(price) for price, _ in message[side]]
            assert prices == sorted(prices, reverse=not is_rising)
            assert all(price % Decimal(step) == 0 for price in prices)
            assert 0 < len(prices) <= 10


# Other channels


def test_quotes_follow_the_touch():
    sim = make()
    client = connect(sim)
    subscribe(client, "quote.BTC_USDC")
    sim.advance(seconds=2)
    last = notified(client)[-1]
    bid, ask = (side[0] for side in sim.true_book("deribit:BTC/USDC").prices(1))
    assert (last["best_bid_price"], last["best_bid_amount"], last["best_ask_price"], last["best_ask_amount"]) == (
        *bid, *ask)  # fmt: skip


def test_trades_of_a_kind_come_for_all_its_instruments():
    sim = make()
    client = connect(sim)
    subscribe(client, "trades.future.any.100ms")
    sim.advance(seconds=20)
    trades = [trade for message in notified(client) for trade in message]
    by_name: dict[str, list[int]] = {}
    for trade in trades:
        by_name.setdefault(trade["instrument_name"], []).append(trade["trade_seq"])
        assert isinstance(trade["trade_id"], str)
        assert trade["direction"] in ("buy", "sell")
    assert set(by_name) == {PERPETUAL, "BTC_USDC-PERPETUAL", "BTC-25SEP26", "ETH-PERPETUAL"}
    for numbers in by_name.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {trade["liquidation"] for trade in trades if "liquidation" in trade} == {"M", "T", "MT"}


def test_tickers_say_what_their_kind_has():
    client = connect(make())
    tickers = {
        message["params"]["data"]["instrument_name"]: message["params"]["data"]
        for message in subscribe(client, *(f"ticker.{symbol}.100ms" for symbol in (
            PERPETUAL, "BTC-25SEP26", "BTC-25SEP26-90000-C", "BTC_USDC")))[1:]
    }  # fmt: skip
    for ticker in tickers.values():
        assert {"mark_price", "index_price", "open_interest", "last_price", "stats", "state"} <= set(ticker)
    assert "current_funding" in tickers[PERPETUAL]
    assert "current_funding" not in tickers["BTC-25SEP26"]
    assert "greeks" in tickers["BTC-25SEP26-90000-C"]
    assert tickers["BTC-25SEP26-90000-C"]["stats"]["low"] is None


@pytest.mark.parametrize("symbol", [PERPETUAL, "BTC-25SEP26", "BTC_USDC-PERPETUAL", "BTC_USDC"])
def test_the_volume_of_a_ticker_is_in_coins(symbol):
    stats = subscribe(connect(make()), f"ticker.{symbol}.100ms")[1]["params"]["data"]["stats"]
    assert stats["volume_usd"] == stats["volume_notional"]
    assert 60_000 < stats["volume_usd"] / stats["volume"] < 70_000


def test_candles_are_filled_where_nothing_traded():
    sim = make(rate=0.2)
    client = connect(sim)
    subscribe(client, "chart.trades.BTC-PERPETUAL.1")
    sim.advance(seconds=1200)
    candles = notified(client)
    ticks = [candle["tick"] for candle in candles]
    assert ticks == sorted(ticks)
    assert set(ticks) == set(range(ticks[0], ticks[-1] + 1, 60_000))
    assert any(candle["volume"] == 0 for candle in candles)
    assert all(candle["low"] <= min(candle["open"], candle["close"]) for candle in candles)


def test_the_daily_settlement_changes_the_state_and_back():
    sim = make(rate=0.1)
    client = connect(sim)
    subscribe(client, "instrument.state.any.any")
    sim.advance(seconds=24 * 3600)
    states = [(message["instrument_name"], message["state"]) for message in notified(client)]
    names = {name for name, _ in states}
    assert len(states) == 2 * len(names) == 2 * len(sim.profiles["deribit"].instruments)
    assert {state for _, state in states[: len(names)]} == {"settlement"}
    assert {state for _, state in states[len(names) :]} == {"open"}


def test_maintenance_is_told_to_who_asked_for_the_platform_state():
    sim = make()
    asked, silent = connect(sim), connect(sim)
    first = subscribe(asked, "platform_state")
    assert {message["params"]["data"]["price_index"] for message in first[1:]} >= {"btc_usd", "eth_usd"}
    sim.announce_shutdown("deribit")
    assert json.loads(asked.take()[0].payload)["params"]["data"] == {"maintenance": True}
    assert silent.take() == []


# Keep-alive and limits


def kinds(client) -> list:
    return [
        json.loads(output.payload)["params"]["type"] if isinstance(output, Frame) else output
        for output in client.take()
    ]


def test_heartbeats_ask_for_a_sign_of_life():
    sim = make()
    client = connect(sim)
    assert result(client, "public/set_heartbeat", interval=10) == "ok"
    sim.advance(seconds=10)
    assert kinds(client) == ["heartbeat"]
    sim.advance(seconds=2.3)
    assert kinds(client) == ["test_request"]
    assert result(client, "public/test")["version"]
    sim.advance(seconds=10.65)
    assert "test_request" in kinds(client)
    sim.advance(seconds=9.9)
    assert not client.is_closed
    sim.advance(seconds=0.1)
    assert kinds(client)[-1] == Close(4000, "heartbeat close")


def test_a_busy_connection_has_test_requests_only():
    sim = make()
    client = connect(sim)
    subscribe(client, "quote.BTC-PERPETUAL")
    result(client, "public/set_heartbeat", interval=10)
    texts = []
    for _ in range(125):
        sim.advance(seconds=0.1)
        texts += [output.payload for output in client.take()]
    assert sum(b"test_request" in text for text in texts) == 1
    assert not any(b'"type":"heartbeat"' in text for text in texts)


def test_a_connection_without_subscriptions_is_cut_after_a_minute():
    sim = make()
    idle, subscribed = connect(sim), connect(sim)
    subscribe(subscribed, "quote.BTC-PERPETUAL")
    sim.advance(seconds=60)
    idle.ping(b"x")
    assert idle.take() == [Pong(b"x")]
    sim.advance(seconds=60.4)
    assert idle.take() == []
    sim.advance(seconds=0.1)
    assert idle.take() == [Abort()]
    assert not subscribed.is_closed


def test_too_many_subscriptions_end_the_session():
    sim = make()
    client = connect(sim)
    for _ in range(10):
        assert subscribe(client, "quote.NOTHING")[0]["result"] == []
    refused, closed = subscribe(client, "quote.NOTHING")
    assert refused["error"] == {"message": "too_many_requests", "code": 10028}
    assert isinstance(closed, Close)
    # The credits are those of all connections.
    other = connect(sim)
    assert subscribe(other, "quote.NOTHING")[0]["error"]["code"] == 10028
    other = connect(sim)
    sim.advance(seconds=0.3)
    for _ in range(30):
        assert "result" in subscribe(other, "quote.NOTHING")[0]
        sim.advance(seconds=0.3)


def test_an_address_has_32_connections():
    sim = make()
    clients = [connect(sim) for _ in range(32)]
    sim.advance(seconds=1)
    with pytest.raises(ValueError, match="refused with 429"):
        connect(sim)
    clients[3].close()
    sim.advance(seconds=1)
    connect(sim)
    with pytest.raises(ValueError, match="refused with 429"):
        connect(sim)


def test_500_channels_a_call():
    client = connect(make())
    assert error(client, "public/subscribe", channels=["quote.BTC_USDC"] * 501)["code"] == -32602
    assert result(client, "public/subscribe", channels=["quote.BTC_USDC"] * 500) == ["quote.BTC_USDC"]


# REST


def test_the_listing_has_every_kind():
    sim = make(symbols=12)
    rows = json.loads(rest(sim, "public/get_instruments?currency=any").body)["result"]
    kinds = {(row["kind"], row["instrument_type"], row.get("settlement_period")) for row in rows}
    assert kinds == {("future", "reversed", "perpetual"), ("future", "linear", "perpetual"),
                     ("future", "reversed", "month"), ("option", "reversed", "month"), ("option", "linear", "month"),
                     ("spot", "linear", None), ("future_combo", "reversed", "month")}  # fmt: skip
    listed = {row["instrument_name"] for row in rows if row["is_active"]}
    assert listed == {row.symbol for row in sim.profiles["deribit"].instruments}
    options = json.loads(rest(sim, "public/get_instruments?currency=USDC&kind=option").body)["result"]
    assert [row["strike"] for row in options] == [0.625]
    assert json.loads(rest(sim, "public/get_instruments?currency=ETH&expired=true").body)["result"] == []


def test_the_book_by_rest_is_the_true_one():
    sim = make()
    sim.advance(seconds=1)
    shown, book = order_book(sim, PERPETUAL), sim.true_book("deribit:BTC/USD:BTC")
    assert shown["change_id"] == book.sequence
    assert [[tuple(level) for level in shown[side]] for side in ("bids", "asks")] == list(book.prices())
    assert rest(sim, f"public/get_order_book?instrument_name={PERPETUAL}&depth=7").status == 400


def test_json_rpc_by_post():
    body = json.dumps({"jsonrpc": "2.0", "id": 3, "method": "public/get_time", "params": {}}).encode()
    reply = make().request("deribit", "deribit", "/api/v2", "POST", body)
    assert json.loads(reply.body)["result"] == NOW // 10**6
    assert json.loads(reply.body)["id"] == 3


@pytest.mark.parametrize(("fault", "status", "code"), [("429", 429, 10028), ("418", 400, 11056)])
def test_rest_refusals_have_the_venues_shape(fault, status, code):
    sim = make(f"{fault}:@1")
    reply = rest(sim, "public/get_time")
    assert reply.status == status
    assert json.loads(reply.body)["error"]["code"] == code
    assert rest(sim, "public/get_time").status == 200


def test_the_credits_of_rest_come_back():
    sim = make()
    assert [rest(sim, "public/get_time").status for _ in range(101)] == [200] * 100 + [429]
    sim.advance(seconds=1)
    assert [rest(sim, "public/get_time").status for _ in range(21)] == [200] * 20 + [429]
    assert rest(sim, "private/get_positions").status in (401, 429)


# Faults


def test_a_lost_change_is_a_gap_at_the_next_one():
    sim = make("drop:@3:book")
    client = connect(sim)
    book = Book()
    book.take(subscribe(client, "book.BTC-PERPETUAL.100ms")[1]["params"]["data"])
    sim.advance(seconds=1)
    messages = notified(client)
    for message in messages[:2]:
        book.take(message)
    assert book.gaps == 1


def test_an_old_snapshot_does_not_fit_the_next_change():
    sim = make("old_snapshot:@2:book")
    client = connect(sim)
    subscribe(client, "book.BTC-PERPETUAL.100ms")
    sim.advance(seconds=1)
    call(client, "public/unsubscribe", channels=["book.BTC-PERPETUAL.100ms"])
    book = Book()
    book.take(subscribe(client, "book.BTC-PERPETUAL.100ms")[1]["params"]["data"])
    sim.advance(seconds=0.3)
    book.take(notified(client)[0])
    assert book.gaps == 1


# Numbers


@pytest.mark.parametrize(
    ("mantissa", "exponent", "text"),
    [(1054, 0, "1054.0"), (2200, 0, "2.2e3"), (1423, -7, "1.423e-4"), (5, -4, "0.0005"), (0, 0, "0.0"),
     (25, 10, "2.5e11"), (671185, -1, "67118.5"), (123, -11, "1.23e-9"), (-936, -8, "-9.36e-6"), (100, -2, "1.0")],
)  # fmt: skip
def test_numbers_are_written_in_the_shorter_form(mantissa, exponent, text):
    assert float_text(mantissa, exponent) == text
    assert Decimal(text) == Decimal(mantissa).scaleb(exponent)


# The recording


@pytest.fixture
def folder(recordings):
    return recordings / "deribit"


def replay(folder, speed: float | None = None, **options) -> Simulator:
    return Simulator(["deribit"], replay=folder, speed=speed, now=NOW, knobs=Knobs(late_ack=0.0), **options)


def recorded_books(folder) -> dict[str, Book]:
    books: dict[str, Book] = {}
    for line in (folder / "ws.txt").read_text().splitlines():
        _, _, text = line.partition(": ")
        if '"channel":"book.' in text and line[0].isdigit():
            data = json.loads(text, parse_float=Decimal)["params"]["data"]
            books.setdefault(data["instrument_name"], Book()).take(data)
    return books


def everything(sim: Simulator) -> list[str]:
    return sorted(sim.profiles["deribit"].timelines[0].recording.topics)


def test_a_replay_ends_with_the_recorded_books(folder):
    done = []
    sim = replay(folder, on_replayed=lambda venue, timeline: done.append(venue))
    client = connect(sim)
    assert len(subscribe(client, *everything(sim))) == 1
    sim.advance(seconds=2)
    books: dict[str, Book] = {}
    for message in notified(client):
        if "change_id" in message:
            books.setdefault(message["instrument_name"], Book()).take(message)
    expected = recorded_books(folder)
    assert done == ["deribit"]
    assert {name: book.sides for name, book in books.items()} == {name: book.sides for name, book in expected.items()}
    assert not any(book.gaps for book in books.values())
    for name, book in expected.items():
        shown = order_book(sim, name)
        assert shown["change_id"] == book.sequence
        assert dict(shown["bids"]) == book.sides["bids"]


def test_a_replay_is_verbatim_but_for_the_interval(folder):
    sim = replay(folder)
    client = connect(sim)
    client.takes_framed = True
    subscribe(client, *everything(sim))
    sim.advance()
    framed = [output for output in client.take() if isinstance(output, Framed)]
    assert framed
    wire = b"".join(output.wire for output in framed)
    assert wire.count(b".100ms") == 135
    assert b".raw" not in wire


def test_who_subscribes_late_gets_the_book_of_then(folder):
    sim = replay(folder, speed=1.0)
    first, late = connect(sim), connect(sim)
    subscribe(first, *everything(sim))
    sim.advance()
    sim.advance(seconds=10)
    channel = "book.BTC-24SEP21-8000-P.100ms"
    book = Book()
    book.take(subscribe(late, channel)[1]["params"]["data"])
    sim.advance(seconds=30)
    messages = notified(late, channel)
    assert messages
    for message in messages:
        book.take(message)
    assert book.gaps == 0
    assert book.sides == recorded_books(folder)["BTC-24SEP21-8000-P"].sides


def test_a_replay_accepts_what_was_silent(folder):
    client = connect(replay(folder))
    assert subscribe(client, "trades.BTC-24SEP21-8000-P.100ms", "quote.BTC-24SEP21-8000-P")[0]["result"] == [
        "trades.BTC-24SEP21-8000-P.100ms"
    ]


def test_a_replay_lists_what_was_recorded(folder):
    sim = replay(folder)
    names = [row.name for row in sim.profiles["deribit"].instruments]
    assert len(names) == 10
    assert "BTC/USD:BTC-211231-34000-P" in names
    rows = json.loads(rest(sim, "public/get_instruments?currency=BTC&kind=option").body)["result"]
    assert {row["settlement_currency"] for row in rows} == {"BTC"}
    assert {row["counter_currency"] for row in rows} == {"USD"}

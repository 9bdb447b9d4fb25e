"""Bybit as the simulator speaks it: topics, answers, limits, keep-alive, books that chain, REST, and the recording."""

import json
import os
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from fastfeed.sim import Abort, Frame, Knobs, Pong, Simulator

NOW = 1_785_000_000_000_000_000
SYMBOL = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD", "option": "BTC-25SEP26-70000-C-USDT"}
NAME = {
    "spot": "bybit:BTC/USDT",
    "linear": "bybit:BTC/USDT:USDT",
    "inverse": "bybit:BTC/USD:BTC",
    "option": "bybit:BTC/USDT:USDT-260925-70000-C",
}
DEPTH = {"spot": 200, "linear": 200, "inverse": 200, "option": 100}
PRODUCTS = list(SYMBOL)


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["bybit"], faults=faults, knobs=Knobs(**{"levels": 60, "late_ack": 0.0, **knobs}), now=NOW)


def connect(sim: Simulator, product: str = "linear"):
    return sim.connect("bybit", product, f"/v5/public/{product}")


def send(client, op: str, *args: str, **more) -> list:
    client.receive(json.dumps({"op": op, "args": list(args), **more}))
    return client.take()


def answers(outputs: list) -> list[dict]:
    return [json.loads(output.payload) for output in outputs if isinstance(output, Frame) and not output.topic]


def data(outputs: list, kind: str = "") -> list[dict]:
    frames = [output for output in outputs if isinstance(output, Frame) and output.topic.startswith(kind or "")]
    return [json.loads(frame.payload) for frame in frames if frame.topic]


def rest(sim: Simulator, target: str) -> dict:
    reply = sim.request("bybit", "linear", target)
    assert reply.status == 200
    body = json.loads(reply.body)
    assert list(body) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    return body


class ClientBook:
    """The venue's published procedure, over text and dicts."""

    def __init__(self) -> None:
        self.update_id = self.sequence = 0
        self.bids, self.asks = {}, {}

    def apply(self, message: dict) -> None:
        book = message["data"]
        if message["type"] == "snapshot":
            self.bids, self.asks = {}, {}
        else:
            assert (book["u"], book["seq"] >= self.sequence) == (self.update_id + 1, True)
        self.update_id, self.sequence = book["u"], book["seq"]
        for side, levels in ((self.bids, book["b"]), (self.asks, book["a"])):
            for price, size in levels:
                side[Decimal(price)] = Decimal(size)
                if size == "0":
                    del side[Decimal(price)]

    def apply_all(self, outputs: list) -> None:
        for message in data(outputs):
            self.apply(message)

    def prices(self):
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


# Requests and their answers


@pytest.mark.parametrize(
    ("product", "subscribed", "unsubscribed", "pong"),
    [
        ("spot", {"ret_msg": "subscribe"}, {"ret_msg": "unsubscribe"}, {"ret_msg": "pong", "op": "ping"}),
        ("linear", {"ret_msg": "", "req_id": ""}, {"ret_msg": "", "req_id": ""}, {"ret_msg": "pong", "req_id": ""}),
        ("inverse", {"ret_msg": "", "req_id": ""}, {"ret_msg": "", "req_id": ""}, {"ret_msg": "pong", "req_id": ""}),
        ("option", {"type": "COMMAND_RESP"}, {"type": "COMMAND_RESP"}, {"args": ["1785000000000"], "op": "pong"}),
    ],
)
def test_each_product_answers_in_its_own_shape(product, subscribed, unsubscribed, pong):
    client = connect(make(), product)
    topic = f"tickers.{SYMBOL[product]}"
    (ack,) = answers(send(client, "subscribe", topic))
    (end,) = answers(send(client, "unsubscribe", topic))
    (alive,) = answers(send(client, "ping"))
    assert subscribed.items() <= ack.items()
    assert unsubscribed.items() <= end.items()
    assert pong.items() <= alive.items()
    if product == "option":
        assert ack["data"] == {"failTopics": [], "successTopics": [topic]}
        assert set(alive) == {"args", "op"}
    else:
        assert (ack["success"], ack["op"], end["op"]) == (True, "subscribe", "unsubscribe")
        assert ("req_id" in ack, "req_id" in alive) == (product != "spot",) * 2


def test_a_request_id_comes_back_as_text():
    for product in ("spot", "linear"):
        (ack,) = answers(send(connect(make(), product), "subscribe", "publicTrade.BTCUSDT", req_id=7))
        assert ack["req_id"] == "7"


@pytest.mark.parametrize(
    ("product", "topic", "text"),
    [
        ("linear", "orderbook.500.BTCUSDT", "error:handler not found,topic:orderbook.500.BTCUSDT"),
        ("linear", "publicTrade.NOPEUSDT", "error:handler not found,topic:publicTrade.NOPEUSDT"),
        ("inverse", "tickers.BTCUSDT", "error:handler not found,topic:tickers.BTCUSDT"),
        ("spot", "publicTrade.NOPEUSDT", "Invalid symbol :[publicTrade.NOPEUSDT]"),
        ("spot", "allLiquidation.BTCUSDT", "error:handler not found,topic:allLiquidation.BTCUSDT"),
    ],
)
def test_a_bad_topic_refuses_the_whole_request(product, topic, text):
    sim = make()
    client = connect(sim, product)
    good = f"publicTrade.{SYMBOL[product]}"
    (refusal,) = answers(send(client, "subscribe", good, topic))
    assert (refusal["success"], refusal["ret_msg"], refusal["op"]) == (False, text, "subscribe")
    sim.advance(seconds=5)
    assert client.take() == []


def test_options_acknowledge_what_does_not_exist_and_say_nothing_of_it():
    sim = make()
    client = connect(sim, "option")
    topics = [f"orderbook.1.{SYMBOL['option']}", "tickers.NOPE", "kline.1." + SYMBOL["option"]]
    (ack,) = answers(send(client, "subscribe", *topics))
    assert ack["data"]["successTopics"] == topics
    sim.advance(seconds=5)
    assert client.take() == []


def test_limits_of_arguments_are_kept():
    spot = connect(make(), "spot")
    topics = [f"kline.{length}.BTCUSDT" for length in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720, "D")]
    assert b'"ret_msg":"args size \\u003e10"' in send(spot, "subscribe", *topics)[0].payload
    assert answers(send(spot, "subscribe", *topics[:10]))[0]["success"]
    (many,) = answers(send(connect(make(), "option"), "subscribe", *(f"x.{n}" for n in range(2001))))
    (long,) = answers(send(connect(make(), "linear"), "subscribe", *(f"x.{n}" * 10 for n in range(700))))
    assert (many["ret_msg"], long["ret_msg"]) == ("args size >2000", "args size >21000")


def test_a_topic_is_subscribed_once():
    client = connect(make())
    send(client, "subscribe", "tickers.BTCUSDT")
    (refusal,) = answers(send(client, "subscribe", "tickers.BTCUSDT"))
    assert refusal["ret_msg"] == "error:already subscribed,topic:tickers.BTCUSDT"


@pytest.mark.parametrize(
    "text", ["nojson", "[]", '{"op":"order"}', '{"op":"subscribe"}', '{"op":"subscribe","args":[1]}']
)
def test_what_makes_no_sense_is_refused(text):
    client = connect(make())
    client.receive(text)
    assert answers(client.take())[0]["success"] is False


def test_the_snapshot_may_come_before_the_acknowledgement():
    for late, first in ((0.0, ""), (1.0, "orderbook.50.BTCUSDT")):
        outputs = send(connect(make(late_ack=late)), "subscribe", "orderbook.50.BTCUSDT")
        assert (len(outputs), outputs[0].topic) == (2, first)


# Connections


def test_paths_choose_the_product_on_any_endpoint():
    sim = make()
    assert sim.connect("bybit", "spot", "/v5/public/linear").session.endpoint == "linear"
    assert sim.connect("bybit", "inverse", "/").session.endpoint == "inverse"
    for path in ("/nowhere", "/v5/private", "/v5/public/swap", "/v5/public/"):
        with pytest.raises(ValueError, match="refused with 404"):
            sim.connect("bybit", "spot", path)


def test_too_many_connections_are_refused():
    sim = make()
    for _ in range(500):
        connect(sim)
    with pytest.raises(ValueError, match="refused with 403"):
        connect(sim)
    sim.advance(seconds=300)
    connect(sim)


def test_a_silent_connection_ends_without_the_clients_ping():
    sim = make(rate=0.01)
    silent, alive = connect(sim), connect(sim)
    for _ in range(20):
        sim.advance(seconds=30)
        send(alive, "ping")
    assert silent.take() == [Abort()]
    assert not alive.is_closed
    alive.ping(b"abc")
    assert alive.take() == [Pong(b"abc")]


def test_data_keep_a_connection_and_the_knobs_end_it():
    sim = make(pong_timeout_s=3)
    fed, old = connect(sim), connect(make(lifetime_s=5))
    send(fed, "subscribe", "orderbook.50.BTCUSDT")
    for _ in range(10):
        sim.advance(seconds=2)
    assert not fed.is_closed
    old._sim.advance(seconds=5)
    assert old.is_closed


def test_maintenance_is_told_on_the_status_socket_alone():
    sim = make()
    status, public = sim.connect("bybit", "spot", "/v5/public/misc/status"), connect(sim)
    send(status, "subscribe", "system.status")
    sim.announce_shutdown("bybit")
    (notice,) = answers(status.take())
    assert (notice["topic"], notice["data"][0]["state"]) == ("system.status", "scheduled")
    assert public.take() == []


# Messages


def keys(message: dict) -> str:
    rows = message["data"]
    inner = rows[0] if isinstance(rows, list) else rows
    return " ".join(message) + " | " + " ".join(inner)


FUTURES_TRADE = "topic type ts data | T s S v p L i BT RPI seq"
BAR = "topic data ts type | start end interval open close high low volume turnover confirm timestamp"


@pytest.mark.parametrize(
    ("product", "topic", "fields"),
    [
        ("spot", "orderbook.1.{s}", "topic ts type data cts | s b a u seq"),
        ("spot", "orderbook.200.{s}", "topic ts type data cts | s b a u seq"),
        ("linear", "orderbook.1.{s}", "topic ts type data cts | s b a u seq"),
        ("linear", "orderbook.50.{s}", "topic type ts data cts | s b a u seq"),
        ("inverse", "orderbook.1000.{s}", "topic type ts data cts | s b a u seq"),
        ("option", "orderbook.25.{s}", "topic ts type id data cts | s b a u seq"),
        ("spot", "publicTrade.{s}", "topic ts type data | i T p v S seq s BT RPI"),
        ("linear", "publicTrade.{s}", FUTURES_TRADE),
        ("inverse", "publicTrade.{s}", FUTURES_TRADE),
        ("option", "publicTrade.BTC", "topic ts type id data | i T p v S seq s BT mP iP mIv iv"),
        ("spot", "kline.1.{s}", BAR),
        ("linear", "kline.D.{s}", BAR),
        ("linear", "allLiquidation.{s}", "topic type ts data | T s S v p"),
    ],
)
def test_a_message_has_the_venues_fields_in_order(product, topic, fields):
    sim = make()
    client = connect(sim, product)
    messages = data(send(client, "subscribe", topic.format(s=SYMBOL[product])))
    sim.advance(seconds=20)
    messages += data(client.take())
    assert messages
    assert {keys(message) for message in messages} == {fields}


@pytest.mark.parametrize("product", PRODUCTS)
def test_tickers_are_whole_or_tell_what_changed(product):
    sim = make()
    client = connect(sim, product)
    (first,) = data(send(client, "subscribe", f"tickers.{SYMBOL[product]}"))
    sim.advance(seconds=10)
    messages = data(client.take())
    whole = dict(first["data"])
    is_future = product in ("linear", "inverse")
    assert first["type"] == "snapshot"
    assert {message["type"] for message in messages} == {"delta" if is_future else "snapshot"}
    for message in messages:
        whole.update(message["data"])
    bids, asks = sim.true_book(NAME[product]).prices(1)
    if is_future:
        assert min(len(message["data"]) for message in messages) < len(whole)
        assert list(first)[-2:] == ["cs", "ts"]
        assert {"markPrice", "indexPrice", "openInterest", "fundingRate", "nextFundingTime"} <= whole.keys()
        assert (Decimal(whole["bid1Price"]), Decimal(whole["ask1Price"])) == (bids[0][0], asks[0][0])
        assert Decimal(whole["openInterest"]) == 2 * Decimal(whole["singleOpenInterest"])
    else:
        assert ("bidPrice" in whole, "cs" in first) == (product == "option", product == "spot")


def test_dated_futures_have_empty_funding():
    client = connect(make())
    (ticker,) = data(send(client, "subscribe", "tickers.BTCUSDT-25SEP26"))
    assert (ticker["data"]["fundingRate"], ticker["data"]["deliveryTime"]) == ("", "2026-09-25T08:00:00Z")


def test_fills_of_one_order_have_one_sequence_and_sometimes_two_messages():
    sim = make(rate=400)
    client = connect(sim)
    send(client, "subscribe", "publicTrade.BTCUSDT")
    sim.advance(seconds=30)
    messages = data(client.take())
    assert all(len({row["seq"] for row in message["data"]}) == 1 for message in messages)
    sequences = [message["data"][0]["seq"] for message in messages]
    assert sequences == sorted(sequences)
    assert len(set(sequences)) < len(sequences)
    assert max(len(message["data"]) for message in messages) > 1


def test_bars_add_up_to_the_trades_and_close():
    sim = make()
    client = connect(sim)
    sim.advance(seconds=60 - NOW // 10**9 % 60)
    send(client, "subscribe", "kline.1.BTCUSDT", "publicTrade.BTCUSDT")
    sim.advance(seconds=125)
    outputs = client.take()
    bars = [message["data"][0] for message in data(outputs, "kline")]
    closed = [bar for bar in bars if bar["confirm"]]
    trades = [row for message in data(outputs, "publicTrade") for row in message["data"]]
    assert len(closed) == 2
    for bar in closed:
        rows = [row for row in trades if bar["start"] <= row["T"] <= bar["end"]]
        assert bar["end"] - bar["start"] == 59_999
        assert Decimal(bar["volume"]) == sum(Decimal(row["v"]) for row in rows)
        assert Decimal(bar["close"]) == Decimal(rows[-1]["p"])


def test_option_trades_come_by_coin():
    sim = make()
    client = connect(sim, "option")
    send(client, "subscribe", "publicTrade.BTC")
    sim.advance(seconds=20)
    rows = [row["s"] for message in data(client.take()) for row in message["data"]]
    assert set(rows) == {"BTC-25SEP26-70000-C-USDT", "BTC-25SEP26-64000-P"}


# Books


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("product", PRODUCTS)
def test_snapshot_and_deltas_give_the_book_at_each_sequence(product, seed):
    sim = make(seed=seed, journal=True, rate=80, levels=150)
    client = connect(sim, product)
    sim.advance(seconds=0.07 * seed)
    book, depth = ClientBook(), DEPTH[product]
    messages = data(send(client, "subscribe", f"orderbook.{depth}.{SYMBOL[product]}"))
    sim.advance(seconds=10)
    messages += data(client.take())
    assert len(messages) > 80
    for message in messages:
        book.apply(message)
        assert book.prices() == sim.book_at(NAME[product], book.update_id).prices()
        assert max(map(len, book.prices())) <= depth
    sim.advance(NOW + 11_000_000_000)
    book.apply_all(client.take())
    assert book.prices() == sim.true_book(NAME[product]).prices(depth)


@pytest.mark.parametrize(("depth", "step"), [(1, 10), (50, 20), (200, 100), (1000, 200)])
def test_each_depth_has_its_own_pace_and_numbers(depth, step):
    sim = make(rate=500, levels=100)
    client = connect(sim)
    send(client, "subscribe", f"orderbook.{depth}.BTCUSDT")
    sim.advance(seconds=3)
    messages = data(client.take())
    assert min(later["ts"] - earlier["ts"] for earlier, later in pairwise(messages)) == step
    assert all(later["data"]["u"] - earlier["data"]["u"] in (0, 1) for earlier, later in pairwise(messages))
    assert all(message["ts"] >= message["cts"] for message in messages)


def test_level_1_is_whole_and_comes_again_after_three_seconds():
    sim = make(rate=0.01)
    client = connect(sim)
    first, *again = data(send(client, "subscribe", "orderbook.1.BTCUSDT"))
    sim.advance(seconds=10)
    again += data(client.take())
    assert len(again) == 3
    assert all(message["data"] == first["data"] and message["type"] == "snapshot" for message in again)


def test_a_late_client_and_an_early_one_see_the_same_deltas():
    sim = make()
    early, late = connect(sim), connect(sim)
    send(early, "subscribe", "orderbook.200.BTCUSDT")
    sim.advance(seconds=3.05)
    (first,) = data(send(late, "subscribe", "orderbook.200.BTCUSDT"))
    assert first["data"]["u"] == data(early.take())[-1]["data"]["u"]
    sim.advance(seconds=3)
    assert early.take() == late.take() != []


def test_a_restart_sends_the_book_whole_with_number_one():
    sim = make(journal=True)
    client, book = connect(sim), ClientBook()
    book.apply_all(send(client, "subscribe", "orderbook.200.BTCUSDT"))
    sim.profiles["bybit"].reset("BTC/USDT:USDT")
    sim.advance(seconds=2)
    restart, *messages = data(client.take())
    assert (restart["type"], restart["data"]["u"]) == ("snapshot", 1)
    for message in (restart, *messages):
        book.apply(message)
    assert book.update_id > 5
    assert book.prices() == sim.book_at(NAME["linear"], book.update_id).prices()


def test_a_snapshot_may_come_in_the_middle():
    sim = make(rate=200)
    client, book = connect(sim), ClientBook()
    messages = data(send(client, "subscribe", "orderbook.50.BTCUSDT"))
    sim.advance(seconds=60)
    messages += data(client.take())
    assert 1 < sum(message["type"] == "snapshot" for message in messages) < 40
    for message in messages:
        book.apply(message)
    assert [message["data"]["u"] for message in messages] == list(
        range(messages[0]["data"]["u"], messages[-1]["data"]["u"] + 1)
    )


# Faults


@pytest.mark.parametrize("fault", ["drop:@10:200", "gap:@10:200", "reorder:@10:200", "truncate:@10:200"])
def test_a_fault_breaks_the_chain(fault):
    sim = make(fault)
    client, book = connect(sim), ClientBook()
    outputs = send(client, "subscribe", "orderbook.200.BTCUSDT")
    sim.advance(seconds=5)
    outputs += client.take()
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        book.apply_all(outputs)


def test_an_old_snapshot_does_not_chain():
    sim = make("old_snapshot:@2")
    send(connect(sim), "subscribe", "orderbook.50.BTCUSDT")
    sim.advance(seconds=2)
    client, book = connect(sim), ClientBook()
    outputs = send(client, "subscribe", "orderbook.50.BTCUSDT")
    sim.advance(seconds=1)
    outputs += client.take()
    with pytest.raises(AssertionError):
        book.apply_all(outputs)


# REST


def test_the_book_of_rest_is_that_of_the_thousand_levels():
    sim = make()
    client, book = connect(sim), ClientBook()
    messages = data(send(client, "subscribe", "orderbook.1000.BTCUSDT"))
    sim.advance(seconds=3)
    for message in messages + data(client.take()):
        book.apply(message)
    result = rest(sim, "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000")["result"]
    assert (result["s"], result["u"], result["seq"]) == ("BTCUSDT", book.update_id, book.sequence)
    sides = tuple([(Decimal(price), Decimal(size)) for price, size in result[side]] for side in "ba")
    assert sides == book.prices()
    assert len(rest(sim, "/v5/market/orderbook?category=linear&symbol=BTCUSDT")["result"]["b"]) == 25
    assert len(rest(sim, "/v5/market/orderbook?category=spot&symbol=BTCUSDT")["result"]["b"]) == 1


def test_listings_have_pages_but_for_spot():
    sim = make(symbols=7)
    for product in ("linear", "inverse"):
        found, target = [], f"/v5/market/instruments-info?category={product}&limit=3"
        cursor = None
        while cursor != "":
            result = rest(sim, target + (f"&cursor={cursor}" if cursor else ""))["result"]
            found += result["list"]
            cursor = result["nextPageCursor"]
        assert len({row["symbol"] for row in found}) == len(found) == 7
    spot = rest(sim, "/v5/market/instruments-info?category=spot&limit=3")["result"]
    assert (len(spot["list"]), "nextPageCursor" in spot) == (7, False)
    assert rest(sim, "/v5/market/instruments-info?category=option&baseCoin=ETH")["result"]["list"] == []
    assert rest(sim, "/v5/market/instruments-info?category=linear&status=PreLaunch")["result"]["list"] == []


def test_kinds_of_contracts_are_listed_as_such():
    sim = make()
    listed = [
        row
        for product in PRODUCTS
        for row in rest(sim, f"/v5/market/instruments-info?category={product}")["result"]["list"]
    ]
    types = {row["symbol"]: row.get("contractType") or row.get("optionsType") for row in listed}
    assert types["BTCPERP"] == "LinearPerpetual"
    assert types["BTCUSDT-25SEP26"] == "LinearFutures"
    assert (types["BTCUSD"], types["BTCUSDU26"]) == ("InversePerpetual", "InverseFutures")
    assert types["BTC-25SEP26-64000-P"] == "Put"
    assert len(listed) == len(sim.profiles["bybit"].instruments) == 10


def test_refusals_of_rest_have_the_venues_shapes():
    sim = make("429:@1")
    assert (rest(sim, "/v5/market/time")["retCode"], rest(sim, "/v5/market/time")["retCode"]) == (10006, 0)
    assert rest(sim, "/v5/market/time")["result"] == {"timeSecond": str(NOW // 10**9), "timeNano": str(NOW)}
    assert rest(sim, "/v5/market/orderbook?category=linear&symbol=NOPE")["retCode"] == 10001
    assert rest(sim, "/v5/market/orderbook?category=swap&symbol=BTCUSDT")["retCode"] == 10001
    assert sim.request("bybit", "spot", "/v5/nothing").status == 404
    for _ in range(594):
        rest(sim, "/v5/market/time")
    banned = sim.request("bybit", "spot", "/v5/market/time")
    assert (banned.status, banned.body) == (403, b"403, access too frequent")
    sim.advance(seconds=599)
    assert sim.request("bybit", "spot", "/v5/market/time").status == 403
    sim.advance(seconds=1)
    assert sim.request("bybit", "spot", "/v5/market/time").status == 200


def test_an_injected_ban_is_short():
    sim = make("418:@1")
    assert sim.request("bybit", "spot", "/v5/market/time").status == 403
    sim.advance(seconds=2)
    assert sim.request("bybit", "spot", "/v5/market/time").status == 200


# The recording


@pytest.fixture(scope="module")
def recorded() -> Path:
    if "FASTFEED_RECORDINGS" not in os.environ:
        pytest.skip("FASTFEED_RECORDINGS names no folder of recordings")
    return Path(os.environ["FASTFEED_RECORDINGS"]) / "bybit"


def replay(folder: Path, speed: float | None = None) -> Simulator:
    return Simulator(["bybit"], replay=folder, speed=speed, knobs=Knobs(late_ack=0.0), now=NOW)


def recorded_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "orderbook500.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("depth", [200, 1000])
def test_a_recording_is_replayed_whole_under_a_topic_of_today(recorded, depth):
    sim = replay(recorded)
    assert [row.name for row in sim.profiles["bybit"].instruments] == ["XRP/USDT:USDT"]
    client = connect(sim)
    (ack,) = answers(send(client, "subscribe", f"orderbook.{depth}.XRPUSDT"))
    assert ack["success"]
    sim.advance()
    lines = recorded_lines(recorded)
    assert data(client.take()) == [{**line, "topic": f"orderbook.{depth}.XRPUSDT"} for line in lines]


def test_the_book_of_a_recording_is_known_at_its_end_and_to_late_clients(recorded):
    book, sim = ClientBook(), replay(recorded, speed=1.0)
    early = connect(sim)
    send(early, "subscribe", "orderbook.200.XRPUSDT")
    sim.advance()
    sim.advance(seconds=2)
    late = ClientBook()
    client = connect(sim)
    late.apply_all(send(client, "subscribe", "orderbook.1000.XRPUSDT"))
    sim.advance(seconds=10)
    late.apply_all(client.take())
    for line in recorded_lines(recorded):
        book.apply(line)
    assert (late.update_id, late.prices()) == (book.update_id, book.prices())
    result = rest(sim, "/v5/market/orderbook?category=linear&symbol=XRPUSDT&limit=1000")["result"]
    sides = tuple([(Decimal(price), Decimal(size)) for price, size in result[side]] for side in "ba")
    assert (result["u"], sides) == (book.update_id, book.prices())


def test_a_recording_has_a_listing(recorded):
    (row,) = rest(replay(recorded), "/v5/market/instruments-info?category=linear")["result"]["list"]
    assert (row["symbol"], row["priceFilter"]["tickSize"], row["lotSizeFilter"]["qtyStep"]) == (
        "XRPUSDT",
        "0.0001",
        "1",
    )

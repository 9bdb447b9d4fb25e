"""OKX as the simulator speaks it: requests, keep-alive, limits, books and their numbers, figures, REST, replay."""

import asyncio
import base64
import json
import zlib
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.sim import Close, Frame, Knobs, Pong, Simulator

NOW = 1_785_000_000_000_000_000
PUBLIC, BUSINESS = "/ws/v5/public", "/ws/v5/business"
BTC = {"channel": "books", "instId": "BTC-USDT"}


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["okx"], faults=faults, knobs=Knobs(**{"levels": 60, **knobs}), now=NOW)


def connect(sim: Simulator, path: str = PUBLIC):
    return sim.connect("okx", "okx", path)


def send(client, *args: dict, op: str = "subscribe", **fields) -> list[dict]:
    """Send a request; return what is not market data of what came since."""
    client.receive(json.dumps({**fields, "op": op, "args": list(args)}))
    return [json.loads(output.payload) for output in client.take() if isinstance(output, Frame) and not output.topic]


def subscribe(client, *args: dict) -> list[dict]:
    """Subscribe; return the market data that came at once."""
    client.receive(json.dumps({"op": "subscribe", "args": list(args)}))
    return pushes(client)


def pushes(client) -> list[dict]:
    return [json.loads(output.payload) for output in client.take() if isinstance(output, Frame) and output.topic]


class ClientBook:
    """The venue's published procedure, over text; `gaps` counts the updates that did not chain."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {}
        self.sequence = None
        self.gaps = 0

    def apply(self, message: dict) -> None:
        (data,) = message["data"]
        if message["action"] == "snapshot":
            assert data["prevSeqId"] == -1
            self.sides = {"bids": {}, "asks": {}}
        elif data["prevSeqId"] != self.sequence:
            self.gaps += 1
            return
        self.sequence = data["seqId"]
        for name, side in self.sides.items():
            for price, size, relic, orders in data[name]:
                assert relic == "0"
                assert (size == "0") == (orders == "0")
                if size == "0":
                    side.pop(price, None)
                else:
                    side[price] = size

    def levels(self, name: str) -> list[tuple[str, str]]:
        return sorted(self.sides[name].items(), key=lambda level: Decimal(level[0]), reverse=name == "bids")

    def prices(self):
        return tuple([(Decimal(px), Decimal(sz)) for px, sz in self.levels(name)] for name in ("bids", "asks"))

    def checksum(self) -> int:
        """The venue's checksum of before 2026-06: best 25 levels, sides in turn, as written."""
        bids, asks = self.levels("bids"), self.levels("asks")
        parts = [f"{side[n][0]}:{side[n][1]}" for n in range(25) for side in (bids, asks) if n < len(side)]
        value = zlib.crc32(":".join(parts).encode())
        return value - (1 << 32) if value >> 31 else value


# Requests


def test_each_argument_is_acknowledged_with_the_requests_id():
    client = connect(make())
    trades = {"channel": "trades", "instId": "BTC-USDT"}
    first, second = send(client, BTC, trades, id="a1")
    assert first == {"id": "a1", "event": "subscribe", "arg": BTC, "connId": first["connId"]}
    assert second == {"id": "a1", "event": "subscribe", "arg": trades, "connId": first["connId"]}
    (gone,) = send(client, BTC, op="unsubscribe")
    assert gone == {"event": "unsubscribe", "arg": BTC, "connId": first["connId"]}


@pytest.mark.parametrize(
    "arg",
    [
        {"channel": "books", "instId": "NO-SUCH"},
        {"channel": "books"},
        {"channel": "nonsense", "instId": "BTC-USDT"},
        {"channel": "candle1m", "instId": "BTC-USDT"},
        {"channel": "trades-all", "instId": "BTC-USDT"},
        {"channel": "funding-rate", "instId": "BTC-USDT"},
        {"channel": "open-interest", "instId": "BTC-USDT"},
        {"channel": "liquidation-orders", "instType": "SPOT"},
        {"channel": "instruments", "instType": "NONE"},
    ],
)
def test_what_does_not_exist_on_the_path_is_refused_alone(arg):
    refused, accepted = send(connect(make()), arg, BTC, id="1")
    assert (refused["event"], refused["code"], refused["id"]) == ("error", "60018", "1")
    assert refused["msg"].startswith(f"Wrong URL or channel:{arg['channel']},")
    assert accepted["arg"] == BTC


def test_the_business_path_serves_candles_and_no_books():
    refused, *accepted = send(
        connect(make(), BUSINESS),
        BTC,
        {"channel": "candle1m", "instId": "BTC-USDT"},
        {"channel": "candle6Hutc", "instId": "BTC-USDT"},
        {"channel": "trades-all", "instId": "BTC-USDT"},
    )
    assert refused["code"] == "60018"
    assert [answer["event"] for answer in accepted] == ["subscribe"] * 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nojson", "60012"),
        ("[]", "60012"),
        ('{"op":"buy","args":[]}', "60012"),
        ('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}],"id":"a-b"}', "60012"),
        ('{"op":"subscribe","args":[]}', "60013"),
        ('{"op":"subscribe","args":["books"]}', "60013"),
        ('{"op":"subscribe","args":[{"instId":"BTC-USDT"}]}', "60013"),
        ('{"op":"login","args":[{"apiKey":"k"}]}', "60009"),
    ],
)
def test_an_invalid_request_is_answered_with_its_code(text, code):
    client = connect(make())
    client.receive(text)
    (answer,) = client.take()
    assert json.loads(answer.payload)["code"] == code


def test_channels_of_10_ms_need_a_login_and_exclude_each_other():
    client = connect(make())
    fast = {"channel": "books-l2-tbt", "instId": "BTC-USDT"}
    assert [answer["code"] for answer in send(client, fast)] == ["64003"]
    sign = base64.b64encode(bytes(32)).decode()
    login = {"apiKey": "key", "passphrase": "word", "timestamp": str(NOW // 10**9), "sign": sign}
    assert send(client, {**login, "timestamp": "1"}, op="login")[0]["code"] == "60006"
    assert send(client, {**login, "sign": "short"}, op="login")[0]["code"] == "60007"
    (entered,) = send(client, login, op="login")
    assert (entered["event"], entered["code"]) == ("login", "0")
    accepted, refused = send(client, fast, BTC)
    assert (accepted["event"], refused["code"]) == ("subscribe", "64004")


def test_the_481st_request_of_an_hour_is_refused():
    sim = make(rate=0.01)
    client = connect(sim)
    trades = {"channel": "trades", "instId": "BTC-USDT"}
    assert all(send(client, trades)[0]["event"] == "subscribe" for _ in range(480))
    assert send(client, trades)[0]["code"] == "60014"
    client.receive("ping")
    assert client.take() == [Frame(b"pong")]


def test_a_request_beyond_64_kib_closes_the_connection():
    client = connect(make())
    client.receive(json.dumps({"op": "subscribe", "args": [BTC] * 2000}))
    (close,) = client.take()
    assert (type(close), close.code) == (Close, 1009)


# Connections


def test_there_are_two_paths_and_three_connections_a_second():
    sim = make()
    for path in ("/", "/ws/v5", "/ws/v5/private", "/v5/public"):
        with pytest.raises(ValueError, match="refused with 404"):
            connect(sim, path)
    for path in (PUBLIC, BUSINESS, PUBLIC):
        connect(sim, path)
    with pytest.raises(ValueError, match="refused with 429"):
        connect(sim)
    sim.advance(seconds=1)
    connect(sim)


def test_silence_of_30_seconds_closes_the_connection():
    sim = make(rate=0.001)
    silent, pinging, watching = connect(sim), connect(sim), connect(sim)
    subscribe(watching, {"channel": "open-interest", "instId": "BTC-USDT-SWAP"})
    for _ in range(3):
        sim.advance(seconds=20)
        pinging.receive("ping")
    assert silent.take() == [Close(4004, "No data received in 30s")]
    assert pinging.take() == [Frame(b"pong")] * 3
    assert len(pushes(watching)) == 20


def test_a_ping_frame_is_answered():
    client = connect(make())
    client.ping(b"x")
    assert client.take() == [Pong(b"x")]


def test_an_upgrade_is_announced_60_seconds_ahead():
    sim = make(rate=5)
    told, old = connect(sim), connect(make(lifetime_s=90, rate=5))
    for client in (told, old):
        subscribe(client, {"channel": "tickers", "instId": "BTC-USDT"})
    sim.announce_shutdown("okx")
    (notice,) = (json.loads(output.payload) for output in told.take())
    assert (notice["event"], notice["code"]) == ("notice", "64008")
    sim.advance(seconds=59)
    assert not any(isinstance(output, Close) for output in told.take())
    sim.advance(seconds=1)
    assert isinstance(told.take()[-1], Close)


def test_a_lifetime_ends_with_a_notice_and_a_close():
    sim = make(lifetime_s=90, rate=5)
    client = connect(sim)
    subscribe(client, {"channel": "tickers", "instId": "BTC-USDT"})
    seen = []
    for second in range(1, 91):
        sim.advance(seconds=1)
        seen += [(second, output) for output in client.take() if not getattr(output, "topic", "")]
    (at_notice, notice), (at_close, close) = seen
    assert (at_notice, at_close) == (30, 90)
    assert b"64008" in notice.payload
    assert isinstance(close, Close)


# Books


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), before_ms=st.integers(0, 1500))
def test_snapshot_and_updates_give_the_true_book(seed, before_ms):
    sim = make(seed=seed, symbols=2, journal=True)
    other, client, book = connect(sim), connect(sim), ClientBook()
    subscribe(other, BTC)
    sim.advance(seconds=before_ms / 1000)
    messages = subscribe(client, BTC)
    assert [message["action"] for message in messages] == ["snapshot"]
    sim.advance(seconds=3)
    messages += pushes(client)
    assert len(messages) > 10
    for message in messages:
        book.apply(message)
        assert book.prices() == sim.book_at("okx:BTC/USDT", book.sequence).prices()
    assert not book.gaps
    assert pushes(other)[-1] == messages[-1]
    with pytest.raises(ValueError, match="no message with sequence"):
        sim.book_at("okx:BTC/USDT", book.sequence + 1)


@pytest.mark.parametrize(
    "symbol", ["BTC-USDT", "BABYDOGE-USDT", "SATS-USDT", "OPENING-USDT", "BTC-USD_UM_XPERP-310404"]
)
def test_the_tap_sees_an_update_while_the_true_book_is_its_own(symbol):
    sim = make(rate=20)
    (name,) = (row.name for row in sim.profiles["okx"].instruments if row.symbol == symbol)
    book = ClientBook()
    client = connect(sim)
    for message in subscribe(client, {"channel": "books", "instId": symbol}):
        book.apply(message)
    seen = []

    def tap(connection, frame: Frame) -> None:
        book.apply(json.loads(frame.payload))
        seen.append(frame.name)
        assert book.prices() == sim.true_book(f"okx:{name}").prices()

    sim.tap = tap
    sim.advance(seconds=5)
    assert seen
    assert set(seen) == {name}
    assert not book.gaps


def test_a_book_before_its_opening_is_crossed_and_slow():
    sim = make()
    client, book = connect(sim), ClientBook()
    messages = subscribe(client, {"channel": "books", "instId": "OPENING-USDT"})
    sim.advance(seconds=5)
    messages += pushes(client)
    assert len(messages) == 6
    for message in messages:
        book.apply(message)
        bids, asks = book.prices()
        assert bids[0][0] > asks[0][0]


def test_a_quiet_book_beats_every_minute():
    sim = make(rate=1e-6)
    client = connect(sim)
    (snapshot,) = subscribe(client, BTC)
    for _ in range(5):
        client.receive("ping")
        sim.advance(seconds=25)
    sequence = snapshot["data"][0]["seqId"]
    beats = pushes(client)
    assert len(beats) == 2
    for beat in beats:
        (data,) = beat["data"]
        assert beat["action"] == "update"
        assert (data["asks"], data["bids"], data["prevSeqId"], data["seqId"]) == ([], [], sequence, sequence)


def test_a_quiet_top_is_sent_again_every_minute():
    sim = make(rate=1e-6)
    client = connect(sim)
    (first,) = subscribe(client, {"channel": "books5", "instId": "BTC-USDT"})
    for _ in range(5):
        client.receive("ping")
        sim.advance(seconds=25)
    assert pushes(client) == [first, first]


def test_a_reset_starts_the_sequence_again_without_a_gap():
    sim = make(faults="reset:@5:books:BTC-USDT", journal=True)
    client, book = connect(sim), ClientBook()
    messages = subscribe(client, BTC)
    for _ in range(20):
        sim.advance(seconds=0.1)
    messages += pushes(client)
    sequences = []
    for message in messages:
        book.apply(message)
        sequences.append(book.sequence)
        assert book.prices() == sim.book_at("okx:BTC/USDT", book.sequence).prices()
    assert not book.gaps
    assert sum(after < before for before, after in pairwise(sequences)) == 1


def test_a_dropped_update_is_a_gap_and_a_new_subscription_heals_it():
    sim = make(faults="drop:@5:books")
    client, book = connect(sim), ClientBook()
    messages = subscribe(client, BTC)
    sim.advance(seconds=2)
    for message in messages + pushes(client):
        book.apply(message)
    assert book.gaps
    assert subscribe(client, BTC) == []
    send(client, BTC, op="unsubscribe")
    book.gaps = 0
    messages = subscribe(client, BTC)
    sim.advance(seconds=2)
    for message in messages + pushes(client):
        book.apply(message)
    assert not book.gaps
    assert book.prices() == sim.true_book("okx:BTC/USDT").prices()


def test_an_old_snapshot_is_one_that_the_next_update_does_not_follow():
    sim = make(faults="old_snapshot:@2")
    subscribe(connect(sim), BTC)
    sim.advance(seconds=3)
    client, book = connect(sim), ClientBook()
    messages = subscribe(client, BTC)
    sim.advance(seconds=1)
    for message in messages + pushes(client):
        book.apply(message)
    assert book.gaps
    assert sim.faults.counts == {"old_snapshot": 1}


def test_pushes_that_fall_due_together_have_an_order():
    sim = make(rate=500, symbols=1)
    client = connect(sim)
    subscribe(client, *({"channel": channel, "instId": "BTC-USDT"} for channel in ("books5", "books", "bbo-tbt")))
    sim.advance(seconds=1)
    seen: dict[str, list[str]] = {}
    for message in pushes(client):
        seen.setdefault(message["data"][0]["seqId"], []).append(message["arg"]["channel"])
    together = [channels for channels in seen.values() if len(channels) == 3]
    assert together
    assert all(channels == ["bbo-tbt", "books", "books5"] for channels in together)


def test_the_best_levels_are_those_of_the_book():
    sim = make()
    client = connect(sim)
    subscribe(client, *({"channel": channel, "instId": "BTC-USDT"} for channel in ("books5", "bbo-tbt")))

    def tap(connection, frame: Frame) -> None:
        message = json.loads(frame.payload)
        (data,) = message["data"]
        limit = 1 if message["arg"]["channel"] == "bbo-tbt" else 5
        bids, asks = sim.true_book("okx:BTC/USDT").prices(limit)
        for side, levels in ((data["bids"], bids), (data["asks"], asks)):
            assert [(Decimal(level[0]), Decimal(level[1])) for level in side] == levels

    sim.tap = tap
    sim.advance(seconds=5)
    assert {message["arg"]["channel"] for message in pushes(client)} == {"books5", "bbo-tbt"}


# Other channels


@pytest.mark.parametrize(
    ("arg", "fields"),
    [
        (BTC, "asks bids ts checksum prevSeqId seqId"),
        ({"channel": "books5", "instId": "BTC-USDT"}, "asks bids instId ts seqId"),
        ({"channel": "bbo-tbt", "instId": "BTC-USDT"}, "asks bids ts seqId"),
        ({"channel": "trades", "instId": "BTC-USDT"}, "instId tradeId px sz side ts count source seqId"),
        ({"channel": "mark-price", "instId": "BTC-USDT-SWAP"}, "instType instId markPx ts"),
        ({"channel": "index-tickers", "instId": "BTC-USD"},
         "instId idxPx high24h low24h open24h sodUtc0 sodUtc8 ts"),
        ({"channel": "open-interest", "instId": "BTC-USD-SWAP"}, "instType instId oi oiCcy oiUsd ts"),
        ({"channel": "funding-rate", "instId": "BTC-USD_UM_XPERP-310404"},
         "instType instId fundingRate fundingTime nextFundingRate nextFundingTime method formulaType minFundingRate "
         "maxFundingRate premium settState settFundingRate ts"),
        ({"channel": "tickers", "instId": "BTC-USD-SWAP"},
         "instType instId last lastSz askPx askSz bidPx bidSz open24h high24h low24h volCcy24h vol24h sodUtc0 sodUtc8 "
         "ts"),
    ],
    ids=lambda value: value["channel"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_payload_has_the_venues_fields_in_order(arg, fields):
    sim = make()
    client = connect(sim)
    messages = subscribe(client, arg)
    sim.advance(seconds=10)
    messages += pushes(client)
    assert messages
    for message in messages:
        assert message["arg"] == arg
        assert [list(data) for data in message["data"]] == [fields.split()]


def test_trades_are_one_message_for_each_order_and_price():
    sim = make(rate=200, levels=400)
    public, business = connect(sim), connect(sim, BUSINESS)
    subscribe(public, {"channel": "trades", "instId": "BTC-USDT"})
    subscribe(business, {"channel": "trades-all", "instId": "BTC-USDT"})
    sim.advance(seconds=20)
    together, each = ([message["data"][0] for message in pushes(client)] for client in (public, business))
    assert sum(int(trade["count"]) for trade in together) == len(each)
    assert sum(Decimal(trade["sz"]) for trade in together) == sum(Decimal(trade["sz"]) for trade in each)
    ids = [int(trade["tradeId"]) for trade in each]
    assert ids == sorted(set(ids))
    assert {trade["tradeId"] for trade in together} <= {trade["tradeId"] for trade in each}
    assert pushes(client := connect(sim)) == []
    assert subscribe(client, {"channel": "trades", "instId": "BTC-USDT"})[0]["data"] == together[-1:]


def test_a_candle_is_confirmed_once_when_it_ends():
    sim = make()
    client = connect(sim, BUSINESS)
    messages = subscribe(client, {"channel": "candle1m", "instId": "BTC-USDT"})
    for _ in range(150):
        sim.advance(seconds=1)
    rows = [message["data"][0] for message in messages + pushes(client)]
    assert all(len(row) == 9 for row in rows)
    closed = [row for row in rows if row[-1] == "1"]
    assert [int(row[0]) for row in closed] == [NOW // 10**6, NOW // 10**6 + 60_000]
    for before, after in pairwise(rows):
        assert before[0] == after[0] or before[-1] == "1"
        assert Decimal(after[3]) <= Decimal(after[1]) <= Decimal(after[2])
    assert closed[0][4] == next(row for row in rows if row[0] == closed[1][0])[1]


def test_liquidations_come_for_all_instruments_of_a_type():
    sim = make(rate=200)
    client = connect(sim)
    subscribe(client, {"channel": "liquidation-orders", "instType": "SWAP"})
    sim.advance(seconds=20)
    messages = pushes(client)
    assert {message["data"][0]["instId"] for message in messages} == {"BTC-USDT-SWAP", "BTC-USD-SWAP"}
    for message in messages:
        assert message["arg"] == {"channel": "liquidation-orders", "instType": "SWAP"}
        (detail,) = message["data"][0]["details"]
        assert list(detail) == ["bkLoss", "bkPx", "ccy", "posSide", "side", "sz", "ts"]
        assert (detail["posSide"], detail["side"]) in {("long", "sell"), ("short", "buy")}


def test_a_changed_state_is_told():
    sim = make()
    client = connect(sim)
    assert subscribe(client, {"channel": "instruments", "instType": "SWAP"}) == []
    sim.profiles["okx"].set_state("BTC/USD:BTC", "suspend")
    sim.advance(seconds=2)
    (message,) = pushes(client)
    assert [(row["instId"], row["state"]) for row in message["data"]] == [("BTC-USD-SWAP", "suspend")]


# REST


def get(sim: Simulator, target: str):
    reply = sim.request("okx", "okx", f"/api/v5/{target}")
    return reply.status, json.loads(reply.body)


def rows_of(sim: Simulator) -> list[dict]:
    pages = [get(sim, f"public/instruments?instType={kind}") for kind in ("SPOT", "SWAP", "FUTURES")]
    pages.append(get(sim, "public/instruments?instType=OPTION&uly=BTC-USD"))
    assert all((status, body["code"], body["msg"]) == (200, "0", "") for status, body in pages)
    return [row for _, body in pages for row in body["data"]]


def test_the_listing_has_all_types_and_an_announced_contract():
    sim = make()
    rows = {row["instId"]: row for row in rows_of(sim)}
    announced = rows.pop("ETH-USD_UM-SWAP")
    assert (announced["state"], announced["tickSz"], announced["settleCcy"]) == ("preopen", "", "")
    assert list(rows) == [row.symbol for row in sim.profiles["okx"].instruments]
    assert rows["OPENING-USDT"]["state"] == "preopen"
    swap = rows["BTC-USDT-SWAP"]
    assert (swap["ctVal"], swap["ctMult"], swap["ctValCcy"], swap["ctType"]) == ("0.01", "1", "BTC", "linear")
    inverse = rows["BTC-USD-SWAP"]
    assert (inverse["ctVal"], inverse["ctValCcy"], inverse["ctType"]) == ("100", "USD", "inverse")
    (call,) = (row for row in rows.values() if row["optType"] == "C")
    assert (call["ctVal"], call["ctMult"], call["stk"]) == ("1", "0.01", "70000")


def test_the_names_are_those_of_ccxt():
    ccxt = pytest.importorskip("ccxt")
    sim = make(symbols=4)
    venue = ccxt.okx()
    markets = {row["instId"]: venue.parse_market(row) for row in rows_of(sim)}
    for row in sim.profiles["okx"].instruments:
        market = markets[row.symbol]
        assert market["symbol"] == row.name
        assert (market["linear"], market["inverse"]) == ((not row.inverse, row.inverse) if row.settle else (None, None))


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("public/instruments", 400, "50014"),
        ("public/instruments?instType=STOCK", 400, "51000"),
        ("public/instruments?instType=OPTION", 400, "50015"),
        ("public/instruments?instType=SPOT&instId=NO-SUCH", 200, "51001"),
        ("market/books", 400, "50014"),
        ("market/books?instId=NO-SUCH", 200, "51001"),
        ("market/books?instId=BTC-USDT&sz=401", 400, "51000"),
        ("market/nonsense", 404, "404"),
    ],
)
def test_a_wrong_call_is_answered_with_its_code(target, status, code):
    answered, body = get(make(), target)
    assert (answered, body["code"], body["data"]) == (status, code, [])


def test_the_rest_book_is_the_true_one():
    sim = make()
    sim.advance(seconds=2)
    _, body = get(sim, "market/books?instId=BTC-USDT&sz=20&source=0")
    (data,) = body["data"]
    bids, asks = sim.true_book("okx:BTC/USDT").prices(20)
    assert [(Decimal(level[0]), Decimal(level[1])) for level in data["bids"]] == bids
    assert [(Decimal(level[0]), Decimal(level[1])) for level in data["asks"]] == asks
    assert data["seqId"] == sim.true_book("okx:BTC/USDT").sequence
    assert "seqId" not in get(sim, "market/books?instId=BTC-USDT")[1]["data"][0]


def test_calls_beyond_the_limit_and_struck_ones_are_refused():
    sim = make(faults="429:@1:books")
    assert get(sim, "market/books?instId=BTC-USDT") == (429, {"code": "50011", "msg": "Too Many Requests", "data": []})
    assert [get(sim, "public/time")[0] for _ in range(11)] == [200] * 10 + [429]
    sim.advance(seconds=2)
    assert get(sim, "public/time") == (200, {"code": "0", "msg": "", "data": [{"ts": str(NOW // 10**6 + 2000)}]})


# Replay

RECORDED = [
    {"channel": channel, "instId": symbol}
    for symbol in ("BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT")
    for channel in ("books", "trades", "tickers")
]


def replayed(recordings, faults: str = "", speed=None) -> Simulator:
    return Simulator(["okx"], replay=recordings / "okx", speed=speed, faults=faults, now=NOW)


def test_the_recording_is_replayed_with_all_290_checksums(recordings):
    sim = replayed(recordings)
    assert [row.name for row in sim.profiles["okx"].instruments] == ["BTC/USD:BTC-220527", "BTC/USDT", "UNI/USD:UNI"]
    client = connect(sim)
    subscribe(client, *RECORDED)
    for _ in range(5):
        sim.advance(seconds=1)
    counts: dict[str, int] = {}
    books: dict[str, ClientBook] = {}
    for message in pushes(client):
        channel, symbol = message["arg"]["channel"], message["arg"]["instId"]
        counts[channel] = counts.get(channel, 0) + 1
        if channel == "books":
            book = books.setdefault(symbol, ClientBook())
            book.apply(message)
            assert book.checksum() == message["data"][0]["checksum"]
    assert counts == {"books": 290, "trades": 74, "tickers": 28}
    for symbol, book in books.items():
        assert not book.gaps
        (data,) = get(sim, f"market/books?instId={symbol}&sz=400&source=0")[1]["data"]
        assert data["seqId"] == book.sequence
        assert [(level[0], level[1]) for level in data["bids"]] == book.levels("bids")
        assert [(level[0], level[1]) for level in data["asks"]] == book.levels("asks")


def test_who_subscribes_in_the_middle_of_a_replay_gets_the_book_of_then(recordings):
    sim = replayed(recordings, speed=1.0)
    first, second, books = connect(sim), connect(sim), {}
    subscribe(first, BTC)
    for _ in range(6):
        sim.advance(seconds=1)
    messages = subscribe(second, BTC)
    assert [message["action"] for message in messages] == ["snapshot"]
    for _ in range(10):
        sim.advance(seconds=1)
    for name, parts in (("first", pushes(first)), ("second", messages + pushes(second))):
        book = books[name] = ClientBook()
        for message in parts:
            book.apply(message)
        assert not book.gaps
    assert books["first"].sides == books["second"].sides


def test_the_recorded_listing_is_served_whole(recordings):
    sim = replayed(recordings)
    rows = rows_of(sim)
    assert len(rows) == 513 + 166 + 104 + 346
    assert all(isinstance(row["instIdCode"], int) and row["state"] == "live" for row in rows)


# A client of others


def test_a_strangers_client_reads_book_trades_and_candles():
    pro = pytest.importorskip("ccxt.pro")

    async def read() -> tuple:
        async with Simulator(["okx"], knobs=Knobs(levels=60, symbols=2)) as sim:
            endpoints = sim.endpoints["okx"]
            venue = pro.okx()
            venue.urls["api"]["rest"] = endpoints["rest"]["okx"]
            venue.urls["api"]["ws"] = endpoints["ws"]["okx"] + "/ws/v5"
            try:
                for _ in range(10):
                    book = await venue.watch_order_book("BTC/USDT:USDT")
                candles = await venue.watch_ohlcv("BTC/USDT:USDT", "1m")
                return book, await venue.watch_trades("BTC/USDT:USDT"), candles
            finally:
                await venue.close()

    book, trades, candles = asyncio.run(asyncio.wait_for(read(), 30))
    assert len(book["bids"]) > 20
    assert book["bids"][0][0] < book["asks"][0][0]
    assert trades[0]["symbol"] == "BTC/USDT:USDT"
    assert len(candles[0]) == 6

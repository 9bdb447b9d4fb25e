"""Kraken Futures as the simulator speaks it: requests and replies, books, tickers, keep-alive, faults, REST, replay."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.sim import Abort, Close, Frame, Knobs, Pong, Simulator
from fastfeed.sim.frames import Framed
from fastfeed.sim.profiles.krakenfutures.wire import json_number
from fastfeed.sim.replay import read_capture

NOW = 1_785_000_000_000_000_000
VENUE = "krakenfutures"
BTC = "krakenfutures:BTC/USD:BTC"
REST = "/derivatives/api/v3/"


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator([VENUE], faults=faults, knobs=Knobs(**{"levels": 40, "late_ack": 0.0, **knobs}), now=NOW)


def connect(sim: Simulator, *feeds: str, products: tuple[str, ...] = ("PI_XBTUSD",)):
    client = sim.connect(VENUE, VENUE, "/ws/v1")
    for feed in feeds:
        client.receive(request("subscribe", feed, *products))
    return client


def request(event: str, feed: str, *products: str) -> str:
    return json.dumps({"event": event, "feed": feed, "product_ids": products})


def messages(client) -> list[dict]:
    """What came, numbers as exact decimals."""
    return [json.loads(output.payload, parse_float=Decimal, parse_int=Decimal) for output in client.take()
            if isinstance(output, Frame)]  # fmt: skip


def get(sim: Simulator, path: str) -> dict:
    reply = sim.request(VENUE, VENUE, REST + path)
    assert reply.status == 200
    return json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)


class ClientBook:
    """A stranger's book: a snapshot, and then one level a message, without a hole in the numbers."""

    def __init__(self) -> None:
        self.sequence: Decimal | None = None
        self.sides: dict[str, dict[Decimal, Decimal]] = {}
        self.gaps = 0

    def take(self, message: dict) -> bool:
        """Return whether there is a book now."""
        if message["feed"] == "book_snapshot":
            self.sides = {
                side: {row["price"]: row["qty"] for row in message[name] if row["qty"]}
                for side, name in (("buy", "bids"), ("sell", "asks"))
            }
            self.sequence = message["seq"]
        elif self.sequence is not None and message["seq"] == self.sequence + 1:
            self.sequence += 1
            side = self.sides[message["side"]]
            side[message["price"]] = message["qty"]
            if not message["qty"]:
                del side[message["price"]]
        elif self.sequence is not None:
            self.sequence = None
            self.gaps += 1
        return self.sequence is not None

    def prices(self):
        return sorted(self.sides["buy"].items(), reverse=True), sorted(self.sides["sell"].items())


# Requests and replies


def test_a_connection_is_greeted_once():
    sim = make()
    client = connect(sim)
    sim.advance(seconds=1)
    sim.advance(seconds=1)
    assert client.take() == [Frame(b'{"event":"info","version":1}')]
    with pytest.raises(ValueError, match="refused with 404"):
        sim.connect(VENUE, VENUE, "/ws/v2")


@pytest.mark.parametrize(
    ("text", "replies"),
    [
        (
            request("subscribe", "trade", "PI_XBTUSD", "pf_xbtusd"),
            ['{"event":"subscribed","feed":"trade","product_ids":["PI_XBTUSD"]}',
             '{"event":"subscribed","feed":"trade","product_ids":["PF_XBTUSD"]}'],
        ),
        (
            request("subscribe", "trade", "PI_NOSUCHUSD", "PI_XBTUSD"),
            ['{"event":"error","message":"Invalid product id"}',
             '{"event":"subscribed","feed":"trade","product_ids":["PI_XBTUSD"]}'],
        ),
        (request("unsubscribe", "trade", "PI_XBTUSD"), ['{"event":"alert","message":"Not subscribed to feed"}']),
        ('{"event":"subscribe","feed":"trade"}', ['{"event":"error","message":"Invalid product id"}']),
        (request("subscribe", "candles", "PI_XBTUSD"), ['{"event":"error","message":"Invalid feed"}']),
        ('{"event":"subscribe","feed":"fills"}',
         ['{"event":"alert","message":"Failed to subscribe to authenticated feed"}']),
        ('{"event":"subscribe","feed":"heartbeat"}', ['{"event":"subscribed","feed":"heartbeat"}']),
        ("nojson", ['{"event":"error","message":"Json Error"}']),
        ("[]", ['{"event":"error","message":"Json Error"}']),
    ],
)  # fmt: skip
def test_a_request_is_answered_product_by_product(text, replies):
    client = connect(make())
    client.receive(text)
    _, *rest = [output.payload.decode() for output in client.take()]
    assert [reply for reply in rest if not reply.startswith('{"feed"')] == replies


def test_acknowledgements_come_before_the_first_data_or_after_them():
    early, late = (connect(make(late_ack=late_ack), "book") for late_ack in (0.0, 1.0))
    orders = [[message.get("event") or message["feed"] for message in messages(client)] for client in (early, late)]
    assert orders == [["info", "subscribed", "book_snapshot"], ["info", "book_snapshot", "subscribed"]]


def test_a_second_subscription_is_told_so_and_answered_with_a_fresh_book():
    sim = make()
    client = connect(sim, "book")
    sim.advance(seconds=1)
    sequence = messages(client)[-1]["seq"]
    client.receive(request("subscribe", "book", "PI_XBTUSD"))
    alert, ack, snapshot = messages(client)
    assert (alert["event"], ack["event"]) == ("alert", "subscribed")
    assert alert["message"] == "Already subscribed to feed, re-requesting"
    assert snapshot["seq"] == sequence


def test_nothing_comes_after_an_unsubscription():
    sim = make()
    client = connect(sim, "book", "trade")
    client.receive(request("unsubscribe", "book", "PI_XBTUSD"))
    assert messages(client)[-1] == {"event": "unsubscribed", "feed": "book", "product_ids": ["PI_XBTUSD"]}
    sim.advance(seconds=5)
    assert {message["feed"] for message in messages(client)} == {"trade"}


def test_more_than_a_hundred_requests_a_second_are_lost():
    sim = make()
    client = connect(sim)
    for _ in range(100):
        client.receive("{}")
    client.take()
    client.receive(request("subscribe", "book", "PI_XBTUSD"))
    assert messages(client) == [{"event": "alert", "message": "rate_limited"}]
    sim.advance(seconds=2)
    assert messages(client) == []
    client.receive(request("subscribe", "book", "PI_XBTUSD"))
    assert messages(client)[0]["event"] == "subscribed"


# Keep-alive


def test_a_client_without_pings_is_cut_off_though_it_talks():
    sim = make(rate=0.01)
    silent, talking, pinging = connect(sim), connect(sim), connect(sim)
    for _ in range(59):
        sim.advance(seconds=1)
        talking.receive(request("subscribe", "trade", "PI_XBTUSD"))
        pinging.ping(b"x")
    assert Pong(b"x") in pinging.take()
    assert not silent.is_closed
    sim.advance(seconds=1)
    assert silent.take()[-1] == talking.take()[-1] == Abort()
    assert not pinging.is_closed


def test_a_lifetime_is_kept_where_it_is_asked_for():
    sim = make(lifetime_s=5)
    client = connect(sim)
    sim.advance(seconds=5)
    assert client.take()[-1] == Close(1001)


def test_the_heart_beats_where_it_is_subscribed():
    sim = make()
    client = connect(sim, "heartbeat")
    for _ in range(3):
        sim.advance(seconds=1)
    assert messages(client)[-1] == {"feed": "heartbeat", "time": (NOW // 10**6) + 3000}


# Books


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), before_ms=st.integers(0, 3000), product=st.sampled_from(["PI_XBTUSD", "PF_PEPEUSD"]))
def test_snapshot_and_deltas_give_the_true_book_at_every_sequence(seed, before_ms, product):
    sim = make(seed=seed, journal=True, symbols=4)
    other = connect(sim, "book", products=(product,))
    sim.advance(seconds=before_ms / 1000)
    name = next(row.name for row in sim.profiles[VENUE].instruments if row.symbol == product)
    book, truth = ClientBook(), f"{VENUE}:{name}"

    def tap(connection, frame: Frame) -> None:
        if connection is client and frame.topic == f"book:{product}":
            assert book.take(json.loads(frame.payload, parse_float=Decimal, parse_int=Decimal))
            assert book.prices() == sim.true_book(truth).prices()
            assert book.prices() == sim.book_at(truth, book.sequence).prices()

    sim.tap = tap
    client = sim.connect(VENUE, VENUE, "/ws/v1")
    client.receive(request("subscribe", "book", product))
    sim.advance(seconds=3)
    deltas = [message for message in messages(client) if message.get("feed") == "book" and "event" not in message]
    assert len(deltas) > 50
    assert messages(other)[-1] == deltas[-1]


def test_a_snapshot_may_hold_levels_of_size_zero():
    sim = make()
    connect(sim, "book")
    sim.advance(seconds=10)
    (snapshot,) = [message for message in messages(connect(sim, "book")) if "bids" in message]
    zeros = [row["price"] for side in ("bids", "asks") for row in snapshot[side] if not row["qty"]]
    bids, asks = sim.true_book(BTC).prices()
    assert zeros
    assert not set(zeros) & {price for price, _ in bids + asks}


def test_whole_numbers_come_with_a_fraction_and_without_and_small_ones_with_an_exponent():
    sim = make()
    client = connect(sim, "book", products=("PF_BABYDOGEUSD",))
    sim.advance(seconds=2)
    texts = b"".join(output.payload for output in client.take()).decode()
    assert re.search(r'"price":1\.23\d+e-9,"qty":\d{12,}\.0}', texts)
    assert re.search(r'"price":1\.23\d+e-9,"qty":\d{12,},', texts)


@given(st.sampled_from(["0.5", "1", "1000", "0.0001", "1e-10", "1e-13"]), st.integers(0, 10**15))
def test_a_number_is_written_exactly_and_as_short_as_can_be(step, count):
    text = json_number(Decimal(f"{Decimal(step):f}"))(count)
    assert Decimal(text) == Decimal(step) * count
    assert json.loads(text, parse_float=Decimal) == Decimal(step) * count
    assert "." not in text or text.partition("e")[0][-1] != "0"


# Trades and tickers


def test_trades_are_numbered_without_holes_and_some_are_liquidations():
    sim = make(rate=200)
    client = connect(sim, "trade")
    sim.advance(seconds=60)
    trades = [message for message in messages(client) if message.get("feed") == "trade" and "event" not in message]
    assert [trade["seq"] - trades[0]["seq"] for trade in trades] == list(range(len(trades)))
    assert {"fill", "liquidation"} <= {trade["type"] for trade in trades}
    late = next(message for message in messages(connect(sim, "trade")) if "trades" in message)
    assert late["trades"] == trades[:-101:-1]
    history = get(sim, "history?symbol=pi_xbtusd")["history"]
    assert [row["uid"] for row in history] == [trade["uid"] for trade in late["trades"]]


def test_tickers_come_at_most_once_a_second():
    sim = make()
    client = connect(sim, "ticker", "ticker_lite")
    messages(client)
    for _ in range(40):
        sim.advance(seconds=0.25)
    ticks = [message["feed"] for message in messages(client)]
    assert ticks == ["ticker", "ticker_lite"] * 10


def test_a_ticker_leaves_out_rates_that_are_zero_and_those_of_dated_contracts():
    sim = make(rate=0.01)
    tickers = []
    for _ in range(24):
        client = connect(sim, "ticker", products=("PI_XBTUSD", "FI_XBTUSD_260925"))
        tickers += [message for message in messages(client) if "event" not in message]
        sim.advance(seconds=3600)
    perpetual, dated = tickers[::2], tickers[1::2]
    assert {"relative_funding_rate" in tick for tick in perpetual} == {True, False}
    assert {tick["next_funding_rate_time"] - tick["time"] for tick in perpetual} == {40 * 60 * 1000}
    assert not any("next_funding_rate_time" in tick or "funding_rate" in tick for tick in dated)
    assert {tick["tag"] for tick in dated} == {"quarter"}
    assert all(tick["low"] <= tick["last"] <= tick["high"] and tick["bid"] < tick["ask"] for tick in tickers)


# Faults


@pytest.mark.parametrize("fault", ["drop:@10", "gap:@10", "reorder:@10", "duplicate:@10", "reset:@10"])
def test_a_fault_breaks_the_chain_and_a_new_subscription_mends_it(fault):
    sim = make(fault, journal=True)
    client, book = connect(sim, "book"), ClientBook()
    sequences = []
    for _ in range(50):
        sim.advance(seconds=0.1)
        for message in messages(client):
            if "event" not in message and not book.take(message) and book.gaps == 1 and message["feed"] == "book":
                client.receive(request("unsubscribe", "book", "PI_XBTUSD"))
                client.receive(request("subscribe", "book", "PI_XBTUSD"))
                book.gaps = 2
            if book.sequence is not None:
                sequences.append(book.sequence)
    assert book.gaps
    assert book.prices() == sim.book_at(BTC, book.sequence).prices() == sim.true_book(BTC).prices()
    assert (min(sequences) < sequences[0]) == fault.startswith("reset")


def test_an_old_book_is_the_one_at_the_start():
    sim = make("old_snapshot:@1x2")
    start = sim.true_book(BTC).copy()
    sim.advance(seconds=5)
    book = ClientBook()
    for message in messages(connect(sim, "book")):
        if "bids" in message:
            book.take(message)
    assert (book.sequence, book.prices()) == (start.sequence, start.prices())
    levels = get(sim, "orderbook?symbol=PI_XBTUSD")["orderBook"]
    assert [tuple(map(tuple, side)) for side in levels.values()] == [tuple(side) for side in start.prices()]


# REST


def test_the_listing_has_every_kind_of_contract():
    rows = {row["symbol"]: row for row in get(make(), "instruments")["instruments"]}
    assert {symbol[:2] for symbol in rows} == {"PI", "FI", "PF", "FF"}
    assert rows["FI_XBTUSD_260925"]["lastTradingTime"] == "2026-09-25T15:00:00.000Z"
    assert rows["PF_PEPEUSD"]["contractValueTradePrecision"] == -3
    names = {row.symbol: row.name for row in make(symbols=11).profiles[VENUE].instruments}
    assert len(names) == 11
    assert names["FF_XBTUSD_260925"] == "BTC/USD:USD-260925"
    assert len(get(make(symbols=3), "instruments?contractType=futures_inverse")["instruments"]) == 2


def test_a_book_by_rest_is_the_book_of_now():
    sim = make()
    sim.advance(seconds=3)
    levels = get(sim, "orderbook?symbol=PF_PEPEUSD")["orderBook"]
    bids, asks = sim.true_book("krakenfutures:PEPE/USD:USD").prices()
    assert [(levels["bids"], levels["asks"])] == [([list(row) for row in bids], [list(row) for row in asks])]
    assert len(get(sim, "tickers")["tickers"]) == 8


@pytest.mark.parametrize(
    ("path", "faults", "status", "error"),
    [
        ("orderbook", "", 200, "requiredArgumentMissing"),
        ("orderbook?symbol=X", "", 200, "invalidArgument"),
        ("nosuch", "", 404, "notFound"),
        ("instruments", "429:@1", 200, "apiLimitExceeded"),
        ("instruments", "418:@1", 503, "Unavailable"),
    ],
)
def test_a_call_is_refused(path, faults, status, error):
    reply = make(faults).request(VENUE, VENUE, REST + path)
    body = json.loads(reply.body)
    assert (reply.status, body["result"], body["error"]) == (status, "error", error)


# Replay


def subscribe_all(sim: Simulator, *feeds: str):
    return connect(sim, *feeds, products=tuple(row.symbol for row in sim.profiles[VENUE].instruments))


def test_a_recording_is_played_as_it_was_and_ends_with_the_same_books(recordings):
    sim = Simulator(replay=recordings / "kraken_futures", speed=None, now=NOW, knobs=Knobs(late_ack=0.0))
    assert list(sim.profiles) == [VENUE]
    assert len(sim.profiles[VENUE].instruments) == 10
    client = subscribe_all(sim, "book", "trade", "ticker_lite")
    assert not any("feed" in message for message in messages(client) if "event" not in message)
    for _ in range(40):
        sim.advance(seconds=0.1)
    got = [output.payload for output in client.take() if isinstance(output, Frame) and output.topic]
    capture = read_capture(recordings / "kraken_futures" / "ws.txt")
    lines = [line.text for line in capture if line.text.startswith(b'{"feed"')]
    assert got == lines
    books: dict[str, ClientBook] = {}
    for text in lines:
        message = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        if message["feed"].startswith("book"):
            assert books.setdefault(message["product_id"], ClientBook()).take(message)
    assert len(books) == 10
    late = [message for message in messages(subscribe_all(sim, "book")) if "bids" in message]
    for message in late:
        book, symbol = ClientBook(), message["product_id"]
        book.take(message)
        wanted = books[symbol]
        assert (book.sequence, book.prices()) == (wanted.sequence, wanted.prices())
        levels = get(sim, f"orderbook?symbol={symbol}")["orderBook"]
        assert [[tuple(row) for row in side] for side in levels.values()] == list(wanted.prices())
    assert len(late) == 10


def test_a_recorded_listing_looks_like_one_of_today(recordings):
    sim = Simulator([VENUE], replay=recordings / "kraken_futures", now=NOW)
    rows = {row["symbol"]: row for row in get(sim, "instruments")["instruments"]}
    assert len(rows) == 17
    assert rows["PI_XRPUSD"]["tickSize"] == Decimal("0.0001")
    assert rows["FI_ETHUSD_211231"]["lastTradingTime"] == "2021-12-31T16:00:00.000Z"
    assert {row.name for row in sim.profiles[VENUE].instruments} >= {"BTC/USD:BTC-210924", "XRP/USD:XRP"}


def test_a_replay_at_full_speed_goes_out_in_one_piece(recordings):
    sim = Simulator([VENUE], replay=recordings / "kraken_futures", speed=None, now=NOW)
    client = subscribe_all(sim, "book", "trade", "ticker_lite", "ticker")
    client.takes_framed = True
    for _ in range(40):
        sim.advance(seconds=0.1)
    assert sum(len(output.wire) for output in client.take() if isinstance(output, Framed)) > 10**6


def test_who_asks_for_tickers_gets_what_the_recorded_light_ones_said(recordings):
    sim = Simulator([VENUE], replay=recordings / "kraken_futures", speed=None, now=NOW)
    client = subscribe_all(sim, "ticker")
    for _ in range(40):
        sim.advance(seconds=0.1)
    tickers = [message for message in messages(client) if "event" not in message]
    assert len(tickers) == 107
    assert {message["feed"] for message in tickers} == {"ticker"}
    assert tickers[0]["volume"] == 3413476


def test_who_subscribes_in_the_middle_gets_the_book_of_then_and_what_follows_it(recordings):
    sim = Simulator([VENUE], replay=recordings / "kraken_futures", now=NOW, knobs=Knobs(late_ack=0.0))
    subscribe_all(sim, "book", "trade", "ticker_lite")
    for _ in range(100):
        sim.advance(seconds=0.1)
    client, book = connect(sim, "book", "trade", "ticker_lite", products=("PI_ETHUSD",)), ClientBook()
    sim.advance(seconds=5)
    got = [message for message in messages(client) if "event" not in message]
    assert [message["feed"] for message in got[:3]] == ["book_snapshot", "trade_snapshot", "ticker_lite"]
    assert got[1]["trades"][0]["seq"] == 103832
    assert all(book.take(message) for message in got if message["feed"].startswith("book"))
    assert len(got) > 100

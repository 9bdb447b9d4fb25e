"""OKX as a venue: its listings against ccxt's reading of them, what we send, what comes back, and a feed of it all."""

import json
import os
import re
import zlib
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import START, Rig

import fastfeed
from fastfeed.errors import MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import instruments
from fastfeed.sim import Fault, Simulator
from fastfeed.venues import okx
from fastfeed.venues.okx import OKX
from fastfeed.venues.spec import (
    Ack,
    Call,
    Credentials,
    InstrumentStatus,
    Options,
    Pong,
    Refusal,
    Shutdown,
    Unknown,
)

RECORDINGS = os.environ.get("FASTFEED_RECORDINGS")
EVERYTHING = ("book", "bbo", "trade", "ticker", "bar", "liquidation")
VIP = Credentials(key="key", secret="22582BD0CFF14C41EDBF1AB98506286D", passphrase="word")


def row(**changes) -> dict:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "instIdCode": 10459, "instFamily": "BTC-USDT", "uly": "BTC-USDT",
        "baseCcy": "", "quoteCcy": "", "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC",
        "ctType": "linear", "tickSz": "0.1", "lotSz": "0.01", "minSz": "0.01", "lever": "100",
        "listTime": "1573557408000", "expTime": "", "optType": "", "stk": "", "state": "live", "ruleType": "normal",
    } | changes  # fmt: skip


SPOT = {"instType": "SPOT", "instId": "BTC-USDT", "instFamily": "", "uly": "", "baseCcy": "BTC", "quoteCcy": "USDT",
        "settleCcy": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": "", "lotSz": "0.00000001"}  # fmt: skip
OPTION = {"instType": "OPTION", "instId": "BTC-USD-261225-90000-C", "uly": "BTC-USD", "settleCcy": "BTC", "ctVal": "1",
          "ctMult": "0.01", "ctType": "", "tickSz": "0.0001", "lotSz": "1", "expTime": "1798185600000",
          "optType": "C", "stk": "90000"}  # fmt: skip
XPERP = {"instType": "FUTURES", "instId": "BTC-USD_UM_XPERP-310404", "instFamily": "BTC-USD_UM_XPERP", "uly": "BTC-USD",
         "settleCcy": "USD", "ctVal": "0.0001", "expTime": "1933056000000", "ruleType": "xperp"}  # fmt: skip


def listing(*rows: dict) -> bytes:
    return json.dumps({"code": "0", "msg": "", "data": rows}).encode()


def one(**changes):
    (instrument,) = instruments("okx", listing(row(**changes)))
    return instrument


# Listings


def test_spot_instrument_of_a_listing():
    found = one(**SPOT)
    assert (found.venue, found.symbol, found.name, found.kind) == ("okx", "BTC-USDT", "okx:BTC/USDT", "spot")
    assert (found.settle, found.inverse, found.contract_size, found.contract_unit) == (None, False, 1, "BTC")
    assert (found.tick_size, found.lot_size) == (Decimal("0.1"), Decimal("0.00000001"))
    assert (found.px_exp, found.sz_exp) == (-3, -10)


@pytest.mark.parametrize(
    ("changes", "name", "kind", "size", "unit", "inverse"),
    [
        ({}, "BTC/USDT:USDT", "swap", "0.01", "BTC", False),
        ({"instId": "BTC-USD-SWAP", "uly": "BTC-USD", "settleCcy": "BTC", "ctVal": "100", "ctValCcy": "USD"},
         "BTC/USD:BTC", "swap", "100", "USD", True),
        (XPERP, "BTC/USD:USD-310404", "future", "0.0001", "BTC", False),
        (OPTION, "BTC/USD:BTC-261225-90000-C", "option", "0.01", "BTC", True),
    ],
    ids=["linear", "inverse", "extended-perpetual", "option"],
)  # fmt: skip
def test_contract_of_a_listing(changes, name, kind, size, unit, inverse):
    found = one(**changes)
    assert (found.name, found.kind, str(found.contract_size)) == (f"okx:{name}", kind, size)
    assert (found.contract_unit, found.inverse) == (unit, inverse)


def test_option_has_a_strike_and_an_expiry():
    found = one(**OPTION)
    assert (found.strike, found.option_type, found.expiry) == (90000, "call", 1798185600000 * 10**6)


@pytest.mark.parametrize(
    ("word", "status"),
    [("live", "trading"), ("suspend", "halted"), ("preopen", "pending"), ("post_only", "halted"), ("rebase", "halted"),
     ("settling", "closed"), ("test", "unknown"), ("new", "unknown"), ("", "unknown")],
)  # fmt: skip
def test_status_is_unified_and_an_unknown_word_is_no_failure(word, status):
    assert one(state=word).status == status


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tickSz": ""}, "tickSz"),
        ({"instType": "EVENTS"}, "instType"),
        ({"uly": ""}, "base and a quote"),
        ({"settleCcy": ""}, "settleCcy"),
        ({"ctVal": "-1"}, "contract value"),
        ({"ctVal": "x"}, "BTC-USDT-SWAP"),
        (XPERP | {"expTime": ""}, "expTime"),
        (XPERP | {"expTime": "9" * 18}, "expTime"),
        (OPTION | {"stk": "NaN"}, "strike"),
        (OPTION | {"optType": ""}, "optType"),
    ],
)
def test_malformed_row_costs_itself(changes, reason, caplog):
    assert [each.symbol for each in instruments("okx", listing(row(**changes), row(**SPOT)))] == ["BTC-USDT"]
    assert reason in caplog.text


def test_underlyings_of_options_name_further_pages():
    page = okx.read_listing(b'{"code":"0","data":[["BTC-USD","ETH-USD"]],"msg":""}', OKX)
    path = "/api/v5/public/instruments?instType=OPTION&uly="
    assert page.rows == []
    assert page.more == (Call(f"{path}BTC-USD", 1), Call(f"{path}ETH-USD", 1))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", MalformedReply),
        (b"[]", MalformedReply),
        (b'{"code":"0"}', MalformedReply),
        (b'{"data":[]}', MalformedReply),
        (b'{"code":"50011","msg":"Too Many Requests","data":[]}', RateLimited),
        ('{"code":"50013","msg":"Systems are busy. Please try again later."}', VenueDown),
        (b'{"code":"51000","msg":"Parameter instType error","data":[]}', RequestRefused),
    ],
)
def test_what_is_no_listing_is_refused_for_what_it_says(body, error):
    with pytest.raises(error):
        okx.read_listing(body, None)


def recorded_pages() -> list[bytes]:
    if RECORDINGS is None:
        pytest.skip("FASTFEED_RECORDINGS names no folder")
    lines = (Path(RECORDINGS) / "okx" / "instruments.txt").read_text().splitlines()
    pages = [re.sub(r"^\S+ -> [0-9.]+: ", "", line) for line in lines if " -> " in line[:120]]
    assert len(pages) == 5
    return [page.encode() for page in pages]


def agrees_with_ccxt(found, market) -> None:
    kinds = {"spot": "spot", "swap": "swap", "future": "future", "option": "option"}
    assert found.name == f"okx:{market['symbol']}"
    assert found.kind == kinds[market["type"]]
    assert (found.base, found.quote, found.settle or None) == (
        market["base"],
        market["quote"],
        market["settle"] or None,
    )
    assert (found.tick_size, found.lot_size) == tuple(
        Decimal(str(market["precision"][key])) for key in ("price", "amount")
    )
    if found.kind != "spot":
        assert (found.inverse, not found.inverse) == (market["inverse"], market["linear"])
        assert found.expiry == (None if market["expiry"] is None else market["expiry"] * 10**6)
    if found.kind in ("swap", "future"):
        assert found.contract_size == Decimal(str(market["contractSize"])) * Decimal(market["info"]["ctMult"])
    if found.kind == "option":
        assert found.strike == Decimal(str(market["strike"]))
        assert found.option_type == market["optionType"]
    assert (found.status == "trading") == market["active"]


def test_recorded_listing_agrees_with_ccxt(caplog):
    ccxt = pytest.importorskip("ccxt")
    oracle = ccxt.okx()
    pages = recorded_pages()
    rows = {each["instId"]: each for page in pages for each in json.loads(page)["data"]}
    found = instruments("okx", pages)
    assert Counter(each.kind for each in found) == {"spot": 513, "swap": 166, "future": 104, "option": 696}
    assert caplog.text == ""
    for each in found:
        agrees_with_ccxt(each, oracle.parse_market(rows[each.symbol]))
        assert each.to_px(each.tick_size) >= 100
        assert each.to_sz(each.lot_size) >= 100


@pytest.mark.parametrize("changes", [{}, SPOT, OPTION, XPERP], ids=["swap", "spot", "option", "extended-perpetual"])
def test_instrument_agrees_with_ccxt(changes):
    ccxt = pytest.importorskip("ccxt")
    agrees_with_ccxt(one(**changes), ccxt.okx().parse_market(row(**changes)))


# What we send


def topics_of(instrument, name: str, **options) -> list[tuple[str, str]]:
    chosen = Options(**options)
    channel = OKX.channel(name, chosen, instrument.kind)
    return [(topic.path.rpartition("/")[2], topic.text) for topic in okx.topics(instrument, channel, chosen)]


@pytest.mark.parametrize(
    ("name", "options", "topics"),
    [
        ("book", {}, [("public", "books:BTC-USDT-SWAP")]),
        ("book", {"book": "books5"}, [("public", "books5:BTC-USDT-SWAP")]),
        ("book", {"book": "books50-l2-tbt"}, [("public", "books50-l2-tbt:BTC-USDT-SWAP")]),
        ("bbo", {}, [("public", "bbo-tbt:BTC-USDT-SWAP")]),
        ("trade", {}, [("public", "trades:BTC-USDT-SWAP")]),
        ("trade", {"trades": "raw"}, [("business", "trades-all:BTC-USDT-SWAP")]),
        ("bar", {}, [("business", "candle1m:BTC-USDT-SWAP")]),
        ("bar", {"bar_interval": "4h"}, [("business", "candle4H:BTC-USDT-SWAP")]),
        ("bar", {"bar_interval": "1d"}, [("business", "candle1Dutc:BTC-USDT-SWAP")]),
        ("liquidation", {}, [("public", "liquidation-orders:SWAP")]),
        ("ticker", {}, [("public", text) for text in (
            "tickers:BTC-USDT-SWAP", "mark-price:BTC-USDT-SWAP", "index-tickers:BTC-USDT",
            "open-interest:BTC-USDT-SWAP", "funding-rate:BTC-USDT-SWAP")]),
    ],
)  # fmt: skip
def test_topics_and_paths(name, options, topics):
    assert topics_of(one(), name, **options) == topics


def test_extended_perpetual_has_funding_and_its_pairs_index():
    texts = [text for _, text in topics_of(one(**XPERP), "ticker")]
    assert "index-tickers:BTC-USD" in texts
    assert "funding-rate:BTC-USD_UM_XPERP-310404" in texts
    assert not any("funding" in text for _, text in topics_of(one(**OPTION), "ticker"))


def test_subscribe_frames():
    assert json.loads(okx.encode_subscribe(["books:BTC-USDT", "liquidation-orders:SWAP"], 7)) == {
        "id": "7",
        "op": "subscribe",
        "args": [{"channel": "books", "instId": "BTC-USDT"}, {"channel": "liquidation-orders", "instType": "SWAP"}],
    }
    assert json.loads(okx.encode_unsubscribe(["books:BTC-USDT"], 8))["op"] == "unsubscribe"


def test_login_is_signed_as_the_venue_wants():
    login = json.loads(okx.greeting(OKX, VIP, 1, 1704876947 * 10**9 + 5))
    assert login == {
        "op": "login",
        "args": [{"apiKey": "key", "passphrase": "word", "timestamp": "1704876947",
                  "sign": "5/36BgGV6m/6pmdc20zdqk0mzF5ZalmzzPD2fo3wavU="}],
    }  # fmt: skip
    assert okx.greeting(OKX, None, 1, START) is None


def test_options_that_cannot_be_done_are_named():
    assert okx.check_options(Options()) == []
    assert [key for key, _ in okx.check_options(Options(depth_speed="10ms"))] == ["depth_speed"]


# What comes back

WRONG = "Wrong URL or channel:books,instId:NO-SUCH doesn't exist. Please use the correct URL, channel and parameters."


@pytest.mark.parametrize(
    ("payload", "control"),
    [
        (b"pong", Pong()),
        (b'{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
         Ack(request_id=1, topics=("books:BTC-USDT",))),
        (b'{"event":"unsubscribe","arg":{"channel":"instruments","instType":"SPOT"},"connId":"a4d3ae55"}',
         Ack(topics=("instruments:SPOT",), ended=True)),
        (b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}', Ack(greets=True)),
        (b'{"event":"error","code":"60009","msg":"Login failed.","connId":"a4d3ae55"}',
         Refusal(code="60009", reason="Login failed.")),
        (json.dumps({"id": "2", "event": "error", "code": "60018", "msg": WRONG, "connId": "a"}).encode(),
         Refusal(request_id=2, code="60018", reason=WRONG, topics=("books:NO-SUCH",))),
        (b'{"event":"notice","code":"64008","msg":"The connection will soon be closed.","connId":"a4d3ae55"}',
         Shutdown()),
        (b'{"arg":{"channel":"instruments","instType":"SWAP"},"data":[{"instId":"BTC-USDT-SWAP","state":"suspend"}]}',
         InstrumentStatus("BTC-USDT-SWAP", "halted")),
        (b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}', None),
    ],
)  # fmt: skip
def test_control_frames_are_told_apart(payload, control):
    (found,) = okx.read_control(payload)
    assert found == (Unknown(payload.decode()) if control is None else control)


@given(st.binary(max_size=60))
def test_any_other_frame_is_unknown(payload):
    assert [type(each) for each in okx.read_control(payload)] in ([Unknown], [Pong])


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b'{"code":"50011","msg":"Too Many Requests","data":[]}', RateLimited),
        (200, b'{"code":"50011","msg":"Rate limit reached","data":[]}', RateLimited),
        (503, b"<html>", VenueDown),
        (200, b'{"code":"50001","msg":"Service temporarily unavailable","data":[]}', VenueDown),
        (400, b'{"code":"51000","msg":"Parameter sz error","data":[]}', RequestRefused),
    ],
)
def test_rest_errors_are_told_apart(status, body, kind):
    assert type(okx.read_rest_error(status, {}, body)) is kind


# A feed of the simulated venue


def test_every_channel_of_every_kind_comes():
    rig = Rig(venue="okx", channels=EVERYTHING, symbols=4)
    rig.run_until_live()
    rig.run(8)
    assert rig.wrong == []
    assert rig.checked > 100
    assert {states[0] for states in rig.states.values()} == {"live"}
    seen = {(event.kind, event.name) for event in rig.events}
    for each in rig.instruments:
        wanted = {"snapshot", "delta", "bbo", "ticker", "bar"}
        # Nothing is traded in a call auction.
        wanted |= {"trade"} if each.status == "trading" else set()
        assert wanted <= {kind for kind, name in seen if name == each.name}, each.name
    assert {name for kind, name in seen if kind == "liquidation"} & {"okx:BTC/USDT:USDT", "okx:BTC/USD:BTC"}
    trades = [(event.name, event.trade_id) for event in rig.events if event.kind == "trade"]
    assert len(trades) == len(set(trades)) > 0


def test_a_swaps_ticker_has_all_its_figures():
    rig = Rig(venue="okx", channels=("ticker",), symbols=2)
    rig.run(5)
    for name in ("okx:BTC/USDT:USDT", "okx:BTC/USD:USD-310404"):
        last = [event for event in rig.events if event.kind == "ticker" and event.name == name][-1]
        figures = (last.last, last.mark_price, last.index_price, last.open_interest, last.funding_rate, last.volume)
        assert None not in figures
        assert last.next_funding_time > START
        assert abs(last.mark_price / last.index_price - 1) < 0.001


@pytest.mark.parametrize(
    ("options", "credentials"),
    [({"book": "books5"}, None), ({"book": "books-l2-tbt"}, VIP), ({"book": "books50-l2-tbt"}, VIP)],
    ids=["books5", "books-l2-tbt", "books50-l2-tbt"],
)
def test_every_form_of_the_book_is_kept(options, credentials, monkeypatch):
    # The simulator's journal is of its default channel: here the top is held against the true book.
    monkeypatch.setattr(Rig, "_check", lambda rig, name: None)
    rig = Rig(venue="okx", channels=("book",), symbols=1, credentials=credentials, **options)
    rig.run_until_live()
    rig.run(3)
    agreed = 0
    for _ in range(100):
        rig.step()
        for each in rig.instruments:
            bids, asks = rig.sim.true_book(each.name).prices(5)
            top = rig.feed.book(each.name).top(5, exact=True)
            agreed += (top.bids, top.asks) == (bids, asks)
    assert agreed > 50 * len(rig.instruments)


def test_a_form_that_needs_a_login_is_refused_without_one():
    rig = Rig(venue="okx", channels=("book", "trade"), symbols=1, book="books-l2-tbt")
    rig.run(15)
    told = [each for each in rig.events if each.kind == "status" and each.name is not None and each.health is None]
    reasons = Counter(each.reason for each in told)
    assert reasons["refused"] == len(rig.instruments)
    assert any(event.kind == "trade" for event in rig.events)


def test_single_trades_come_by_the_other_path():
    rig = Rig(venue="okx", channels=("trade",), symbols=1, trades="raw", rate=100)
    rig.run(5)
    # Notices of the instruments' status come by the public path, whatever else is asked for.
    urls = [f"wss://ws.okx.com/ws/v5/{path}" for path in ("business", "public")]
    assert [each.url for each in rig.feed.connections] == urls
    trades = [(event.name, event.trade_id) for event in rig.events if event.kind == "trade"]
    assert len(trades) == len(set(trades)) > 20


def test_hundreds_of_instruments_need_no_more_connections_than_their_books_do():
    rows = (row(instId=f"C{n}-USDT-SWAP", instFamily=f"C{n}-USDT", uly=f"C{n}-USDT") for n in range(290))
    instruments = fastfeed.instruments("okx", listing(*rows))
    feed = fastfeed.OfflineFeed("okx", instruments, ("book", "trade", "ticker"))
    feed.start(START)
    books: Counter[int] = Counter()
    topics: Counter[int] = Counter()
    while feed.sends:
        connection, payload = feed.sends.popleft()
        channels = [each["channel"] for each in json.loads(payload)["args"]]
        books[connection] += channels.count("books")
        topics[connection] += len(channels)
    assert list(books.values()) == [29] * 10
    assert sum(topics.values()) == 290 * 7 + 1
    feed = fastfeed.OfflineFeed("okx", instruments, ("trade",))
    feed.start(START)
    assert len(feed.connections) == 1


def test_silence_is_broken_by_a_ping_and_no_connection_is_lost():
    rig = Rig(venue="okx", channels=("trade",), symbols=1, rate=0.001)
    rig.run(100)
    assert [event.reason for event in rig.events if event.kind == "status" and event.reason == "disconnected"] == []


def test_a_quiet_book_stays_live():
    rig = Rig(venue="okx", channels=("book",), symbols=1, rate=0.001)
    rig.run_until_live()
    rig.run(150)
    assert set(map(tuple, rig.states.values())) == {("live",)}


def test_a_changed_state_of_trading_is_told():
    rig = Rig(venue="okx", symbols=1)
    rig.run_until_live()
    rig.sim.profiles["okx"].set_state("BTC/USDT:USDT", "suspend")
    rig.run(3)
    changes = [event for event in rig.events if event.kind == "status" and event.reason == "instrument"]
    assert [event.name for event in changes] == ["okx:BTC/USDT:USDT"]
    assert "halted" in str(changes[0])


def test_an_announced_upgrade_moves_the_connection_before_it_is_cut():
    rig = Rig(venue="okx", symbols=1)
    rig.run_until_live()
    before = [each.id for each in rig.feed.connections]
    rig.sim.announce_shutdown("okx")
    rig.run(5)
    rig.run_until_live()
    assert not set(before) & {each.id for each in rig.feed.connections}
    assert rig.wrong == []


def test_an_instrument_that_is_gone_costs_its_own_subscription():
    rig = Rig(venue="okx", symbols=2)
    rig.run_until_live()
    ghost = instruments("okx", listing(row(**SPOT | {"instId": "GONE-USDT", "baseCcy": "GONE"})))
    rig.feed = fastfeed.OfflineFeed("okx", [*rig.instruments, *ghost], ["book"])
    rig.clients.clear()
    rig.sim.advance(seconds=2)
    rig.states |= {ghost[0].name: []}
    rig._take(rig.feed.start(rig.sim.now, connect=False))
    rig.run_until_live()
    rig.run(1)
    assert rig.states[ghost[0].name] == ["refused"]


@pytest.mark.parametrize(
    "fault", ["drop", "duplicate", "reorder", "gap", "garbage", "truncate", "disconnect", "reset", "old_snapshot"]
)
@pytest.mark.parametrize("connections", [1, 2])
@given(seed=st.integers(0, 2**16))
@settings(max_examples=3)
def test_a_live_book_is_never_wrong_and_every_book_comes_back(fault, connections, seed):
    rate = {"disconnect": "0.002", "garbage": "0.05", "old_snapshot": "0.5,drop:0.02:books"}.get(fault, "0.02")
    rig = Rig(f"{fault}:{rate}", seed=seed, venue="okx", connections=connections)
    rig.run(4)
    assert rig.sim.faults.counts.get(fault, 0) > 0 or fault in ("disconnect", "old_snapshot")
    rig.sim.faults.clear()
    rig.run(1)
    rig.run_until_live(200)
    rig.run(1)
    assert rig.wrong == []
    if fault in ("reset", "duplicate"):
        assert set(map(tuple, rig.states.values())) == {("live",)}


@pytest.mark.parametrize("connections", [1, 2])
def test_a_restart_of_numbers_whose_message_is_lost_is_seen_soon(connections):
    rig = Rig("reset:@30:books:BTC-USDT-SWAP", venue="okx", symbols=1, channels=("book",), connections=connections)
    rig.run_until_live()
    while not rig.sim.faults.counts:
        rig.step()
    rig.sim.faults.add(Fault("drop", at=1, match="books:BTC-USDT-SWAP"))
    rig.run(3)
    assert rig.sim.faults.counts == {"reset": 1, "drop": 1}
    top = rig.feed.book("okx:BTC/USDT:USDT").top(1)
    assert top.state is fastfeed.BookState.LIVE
    assert top.sequence < 10_000
    assert rig.wrong == []


# The recording, through the simulator's replay


def levels_of(book: fastfeed.Book, count: int = 25) -> list[list[tuple[Decimal, Decimal]]]:
    top = book.top(count, exact=True)
    return [top.bids, top.asks]


def test_the_recording_gives_books_that_its_checksums_prove(recordings):
    sim = Simulator(["okx"], replay=recordings / "okx", speed=None, now=START)
    names = {each.name for each in sim.profiles["okx"].instruments}
    found = [each for each in instruments("okx", recorded_pages()) if each.name.removeprefix("okx:") in names]
    feed = fastfeed.OfflineFeed("okx", found, ["book", "trade", "ticker"])
    feed.start(START)
    (connection,) = feed.connections
    client = sim.connect("okx", "okx", connection.url.removeprefix(OKX.ws))
    while feed.sends:
        client.receive(feed.sends.popleft()[1])
    by_symbol = {each.symbol: each for each in found}
    proved, trades, gaps = 0, 0, 0
    for _ in range(6):
        sim.advance(seconds=1)
        for output in client.take():
            events = feed.receive(output.payload, sim.now)
            trades += sum(event.kind == "trade" for event in events)
            gaps += sum(event.kind == "status" and event.reason in ("gap", "malformed") for event in events)
            message = json.loads(output.payload)
            if message.get("arg", {}).get("channel") == "books" and "data" in message:
                instrument = by_symbol[message["arg"]["instId"]]
                proved += checksum(feed.book(instrument.name)) == message["data"][0]["checksum"]
    assert (proved, trades, gaps) == (290, 74, 0)


def checksum(book: fastfeed.Book) -> int:
    """The venue's checksum of before 2026-06, over the numbers as the venue wrote them: without zeros at the end."""
    bids, asks = levels_of(book)
    parts = [f"{text(side[n][0])}:{text(side[n][1])}" for n in range(25) for side in (bids, asks) if n < len(side)]
    value = zlib.crc32(":".join(parts).encode())
    return value - (1 << 32) if value >> 31 else value


def text(value: Decimal) -> str:
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written

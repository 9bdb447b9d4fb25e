"""Deribit as a venue: its listings against ccxt's reading of them, what we send, what comes back, and live books."""

import json
import logging
import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import START, Rig

import fastfeed
from fastfeed.errors import MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import instruments
from fastfeed.sim import Simulator
from fastfeed.sim.profiles.deribit.rpc import RpcError
from fastfeed.sim.profiles.deribit.session import DeribitSession
from fastfeed.venues import deribit
from fastfeed.venues.deribit import DERIBIT
from fastfeed.venues.spec import (
    CHANNELS,
    Ack,
    Answer,
    Credentials,
    InstrumentStatus,
    Options,
    Pong,
    Refusal,
    Shutdown,
    Topic,
    Unknown,
)

SECOND = 1_000_000_000


def row(name="BTC-PERPETUAL", **changes):
    """A row of the listing: an inverse perpetual unless changed."""
    return {
        "instrument_name": name, "kind": "future", "base_currency": "BTC", "quote_currency": "USD",
        "counter_currency": "USD", "settlement_currency": "BTC", "settlement_period": "perpetual", "tick_size": 0.5,
        "tick_size_steps": [], "min_trade_amount": 10.0, "contract_size": 10.0, "state": "open", "is_active": True,
        "expiration_timestamp": 32503708800000, "instrument_type": "reversed", "price_index": "btc_usd",
    } | changes  # fmt: skip


LINEAR = {"quote_currency": "USDC", "counter_currency": "USDC", "settlement_currency": "USDC",
          "instrument_type": "linear", "min_trade_amount": 0.0001, "contract_size": 0.0001,
          "tick_size": 0.1}  # fmt: skip
DATED = {"settlement_period": "month", "expiration_timestamp": 1798185600000}
OPTION = {**DATED, "kind": "option", "quote_currency": "BTC", "tick_size": 0.0001, "min_trade_amount": 0.1,
          "contract_size": 1.0, "strike": 100000.0, "option_type": "call",
          "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}]}  # fmt: skip
ROWS = {
    "BTC/USD:BTC": row(),
    "BTC/USD:BTC-261225": row("BTC-25DEC26", **DATED),
    "BTC/USDC:USDC": row("BTC_USDC-PERPETUAL", **LINEAR),
    "BTC/USD:BTC-261225-100000-C": row("BTC-25DEC26-100000-C", **OPTION),
    "XRP/USDC:USDC-261225-0.625-P": row("XRP_USDC-25DEC26-0d625-P", **LINEAR | OPTION | {
        "base_currency": "XRP", "quote_currency": "USDC", "strike": 0.625, "option_type": "put"}),
    "BTC/USDC": row("BTC_USDC", **LINEAR | {"kind": "spot", "settlement_currency": None, "settlement_period": None,
                                            "expiration_timestamp": 0}),
}  # fmt: skip


def listing(*rows):
    return json.dumps({"jsonrpc": "2.0", "result": rows, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False}).encode()


def one(which):
    (instrument,) = instruments("deribit", listing(which))
    return instrument


def topic(instrument, name, **options):
    chosen = Options(**options)
    found = DERIBIT.channel(name, chosen, instrument.kind)
    return [each.text for each in deribit.topics(instrument, found, chosen)]


# Listings


def test_an_inverse_contract_is_counted_in_dollars_and_the_rest_in_coins():
    found = {name: one(each) for name, each in ROWS.items()}
    assert {name: each.name for name, each in found.items()} == {name: f"deribit:{name}" for name in ROWS}
    units = {name: (each.kind, each.contract_unit, each.inverse, each.contract_size) for name, each in found.items()}
    assert units == {
        "BTC/USD:BTC": ("swap", "USD", True, 1),
        "BTC/USD:BTC-261225": ("future", "USD", True, 1),
        "BTC/USDC:USDC": ("swap", "BTC", False, 1),
        "BTC/USD:BTC-261225-100000-C": ("option", "BTC", True, 1),
        "XRP/USDC:USDC-261225-0.625-P": ("option", "XRP", False, 1),
        "BTC/USDC": ("spot", "BTC", False, 1),
    }


def test_an_option_has_the_finest_of_its_ticks():
    option = one(ROWS["BTC/USD:BTC-261225-100000-C"])
    assert (option.tick_size, option.lot_size) == (Decimal("0.0001"), Decimal("0.1"))
    assert (option.strike, option.option_type, option.expiry) == (Decimal(100000), "call", 1798185600000 * 10**6)
    # Blocks may trade between the ticks.
    assert one(row(tick_size=2.5, block_trade_tick_size=0.01)).px_exp == -4


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "trading"), ({"state": "settlement"}, "halted"), ({"state": "locked"}, "cancel_only"),
     ({"state": "archivized"}, "closed"), ({"state": "started"}, "unknown"), ({"state": ""}, "trading"),
     ({"state": "", "is_active": False}, "closed")],
)  # fmt: skip
def test_status_is_unified_and_an_unknown_word_is_no_failure(changes, status):
    assert one(row(**changes)).status == status


def test_combinations_are_left_out(caplog):
    combo = row("BTC-FS-25DEC26_PERP", kind="future_combo", **DATED)
    assert [each.symbol for each in instruments("deribit", listing(combo, row()))] == ["BTC-PERPETUAL"]
    assert not caplog.records


@pytest.mark.parametrize(
    "bad",
    [row(kind="bond"), row(tick_size=0), row(settlement_currency="EUR"), row(tick_size="x"), {"kind": "future"}, 7,
     row(**DATED | {"expiration_timestamp": 0}), row(**OPTION | {"strike": None})],
    ids=["kind", "tick", "settle", "text", "empty", "number", "expiry", "strike"],
)  # fmt: skip
def test_a_malformed_row_costs_itself(bad, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(instruments("deribit", listing(bad, row()))) == 1
    assert len(caplog.records) == 1


def test_an_error_instead_of_a_listing_says_what_the_venue_said():
    body = b'{"jsonrpc":"2.0","error":{"message":"Invalid params","code":-32602},"usIn":1,"usOut":2,"usDiff":1}'
    with pytest.raises(MalformedReply, match=r"Invalid params \(code -32602\)"):
        instruments("deribit", body)
    with pytest.raises(MalformedReply):
        instruments("deribit", b"<html>")


@pytest.fixture(scope="module")
def oracle():
    return pytest.importorskip("ccxt").deribit()


def check_against(oracle, rows):
    """Every instrument that ccxt makes of the rows has the same name and numbers here."""
    oracle.publicGetGetInstruments = lambda params: {"result": json.loads(json.dumps(rows), parse_int=str)}
    theirs = {each["id"]: each for each in oracle.fetch_markets()}
    ours = {each.symbol: each for each in instruments("deribit", listing(*rows))}
    assert set(ours) == {symbol for symbol, each in theirs.items() if "combo" not in each["info"]["kind"]}
    for symbol, mine in ours.items():
        other = theirs[symbol]
        assert mine.name == f"deribit:{other['symbol']}"
        assert (mine.kind, mine.base, mine.quote) == (other["type"], other["base"], other["quote"])
        assert mine.settle == other["settle"]
        assert mine.inverse == bool(other["inverse"])
        assert mine.option_type == other["optionType"]
        assert mine.strike == (None if other["strike"] is None else Decimal(str(other["strike"])))
        if mine.kind in ("future", "option"):
            assert mine.expiry == other["expiry"] * 10**6
        assert float(mine.lot_size) == other["precision"]["amount"]
        assert float(mine.tick_size) == other["precision"]["price"]


def test_instruments_agree_with_ccxt(oracle):
    check_against(oracle, list(ROWS.values()))


def test_the_simulators_listing_agrees_with_ccxt(oracle):
    reply = Simulator(["deribit"], now=START).request("deribit", "deribit", DERIBIT.listing[0].path)
    check_against(oracle, json.loads(reply.body)["result"])


def recorded_pages(recordings):
    for line in (recordings / "deribit" / "instruments.txt").read_text().splitlines():
        if match := re.match(r"https://\S*/get_instruments\S* -> [0-9.]+: ", line):
            yield line[match.end() :]


def test_recorded_listings_are_read_and_agree_with_ccxt(recordings, oracle, caplog):
    pages = list(recorded_pages(recordings))
    found = {each.name: each for each in instruments("deribit", pages)}
    assert len(found) == 398 + 426 + 177 + 16
    assert "deribit:ETH/USD:ETH-210730-2800-C" in found
    assert not caplog.records
    # ccxt leaves rows without a counter currency out: those of 2021.
    for page in pages[2:]:
        check_against(oracle, json.loads(page)["result"])


# What we send


def test_topics():
    perpetual, spot = one(row()), one(ROWS["BTC/USDC"])
    assert topic(perpetual, "book") == ["book.BTC-PERPETUAL.100ms"]
    assert topic(perpetual, "book", book="agg2") == ["book.BTC-PERPETUAL.agg2"]
    assert topic(perpetual, "book", book="none.20.100ms") == ["book.BTC-PERPETUAL.none.20.100ms"]
    assert topic(spot, "bbo") == ["quote.BTC_USDC"]
    assert topic(spot, "trade") == ["trades.BTC_USDC.100ms"]
    assert topic(perpetual, "ticker") == ["ticker.BTC-PERPETUAL.100ms"]
    assert topic(perpetual, "bar", bar_interval="1d") == ["chart.trades.BTC-PERPETUAL.1D"]
    assert topic(perpetual, "bar", bar_interval="3h") == ["chart.trades.BTC-PERPETUAL.180"]
    # Liquidations are in the trades that are subscribed to anyhow.
    assert topic(perpetual, "liquidation") == topic(perpetual, "trade")
    assert topic(perpetual, "liquidation", trades="raw") == topic(perpetual, "trade", trades="raw")
    assert DERIBIT.channel("liquidation", Options(), "spot") is None
    for channel in DERIBIT.channels:
        assert channel.name in CHANNELS
        assert channel.login == channel.form.startswith("raw")


def test_frames():
    assert json.loads(deribit.encode_subscribe(["a", "b"], 5)) == {
        "jsonrpc": "2.0", "id": 10, "method": "public/subscribe", "params": {"channels": ["a", "b"]}}  # fmt: skip
    assert json.loads(deribit.encode_unsubscribe(["a"], 6)) == {
        "jsonrpc": "2.0", "id": 13, "method": "public/unsubscribe", "params": {"channels": ["a"]}}  # fmt: skip
    assert json.loads(deribit.encode_ping(DERIBIT))["method"] == "public/test"
    assert deribit.greeting(DERIBIT, None, 1, START) is None


def test_states_are_asked_for_by_kind_and_currency():
    rows = [*ROWS.values(), row("SOL-PERPETUAL", base_currency="SOL", settlement_currency="SOL")]
    found = deribit.status_topics(DERIBIT, [one(each) for each in rows])
    assert [each.text for each in found] == [
        "instrument.state.future.BTC", "instrument.state.future.USDC", "instrument.state.future.any",
        "instrument.state.option.BTC", "instrument.state.option.USDC", "instrument.state.spot.any", "platform_state",
    ]  # fmt: skip
    assert found[0] == Topic("/ws/api/v2", "instrument.state.future.BTC")


def test_other_speeds_are_forms_of_the_book():
    assert deribit.check_options(Options()) == []
    assert [key for key, _ in deribit.check_options(Options(depth_speed="raw"))] == ["depth_speed"]


# What comes back


@pytest.mark.parametrize(
    ("payload", "control"),
    [
        ('{"id":14,"result":["b","a"]}', Ack(request_id=7, topics=("b", "a"), complete=True)),
        ('{"id":14,"result":[]}', Ack(request_id=7, topics=(), complete=True)),
        ('{"id":17,"result":["a"]}', Ack(request_id=8, ended=True)),
        ('{"id":2,"result":{"access_token":"x","token_type":"bearer"}}', Ack(request_id=1)),
        ('{"id":0,"result":{"version":"1.2.26"}}', Pong()),
        ('{"id":14,"error":{"message":"raw","code":13778}}', Refusal(request_id=7, code=13778, reason="raw")),
        ('{"id":15,"error":{"message":"no","code":-32602}}', Refusal(request_id=7, code=-32602, reason="no")),
        ('{"id":14,"error":{"message":"too_many_requests","code":10028}}', Shutdown("too_many_requests (code 10028)")),
        ('{"error":{"message":"too_many_requests","code":10028}}', Shutdown("too_many_requests (code 10028)")),
        ('{"id":0,"error":{"message":"too_many_requests","code":10028}}', Shutdown("too_many_requests (code 10028)")),
        ('{"id":15,"error":{"message":"retry","code":10040}}', Shutdown("retry (code 10040)")),
        ('{"id":14,"error":{"message":"maintenance","code":11051}}', Shutdown("maintenance (code 11051)")),
        ('{"id":0,"error":{"message":"maintenance","code":11051}}',
         Refusal(request_id=0, code=11051, reason="maintenance")),
        ('{"error":{"message":"bad_request","data":"invalid json","code":11050}}',
         Refusal(code=11050, reason="bad_request: invalid json")),
        ('{"method":"heartbeat","params":{"type":"heartbeat"}}', Pong(False)),
        ('{"method":"heartbeat","params":{"type":"test_request"}}', Answer(deribit.encode_ping(DERIBIT))),
        ('{"method":"subscription","params":{"channel":"platform_state","data":{"price_index":"x","locked":true}}}',
         Pong(False)),
        ('{"method":"subscription","params":{"channel":"platform_state","data":{"maintenance":true}}}', Shutdown()),
        ('{"method":"subscription","params":{"channel":"instrument.state.any.any","data":{"timestamp":1,'
         '"state":"settlement","instrument_name":"BTC-PERPETUAL"}}}', InstrumentStatus("BTC-PERPETUAL", "halted")),
    ],
    ids=str,
)  # fmt: skip
def test_control_frames_are_told_apart(payload, control):
    assert deribit.read_control(payload.encode()) == [control]


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_any_other_frame_is_unknown(payload):
    assert isinstance(deribit.read_control(payload)[0], Unknown)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(429, b'{"error":{"message":"too_many_requests","code":10028}}', RateLimited),
     (400, b'{"error":{"message":"too_many_requests","code":10028}}', RateLimited),
     (400, b'{"error":{"message":"system_maintenance","code":11051}}', VenueDown),
     (502, b"<html>", VenueDown), (403, b"<html>", VenueDown),
     (400, b'{"error":{"message":"Invalid params","code":-32602}}', RequestRefused)],
)  # fmt: skip
def test_errors_of_rest(status, body, error):
    assert type(deribit.read_rest_error(status, {}, body)) is error


# Against the simulated venue

ALL = ("book", "bbo", "trade", "ticker", "bar", "liquidation")


def test_every_channel_of_every_kind_comes():
    rig = Rig(venue="deribit", symbols=9, channels=ALL)
    rig.run_until_live()
    rig.run(10)
    assert rig.wrong == []
    assert set(map(tuple, rig.states.values())) == {("live",)}
    kinds = {(event.kind, event.name) for event in rig.events}
    for each in rig.instruments:
        assert {("bbo", each.name), ("trade", each.name), ("ticker", each.name), ("bar", each.name)} <= kinds
    volumes = {event.name: event.volume for event in rig.events if event.kind == "ticker" and event.volume}
    # The simulator has one volume for all, in the unit of sizes: USD of inverse futures, coins of the rest.
    assert set(volumes) == {each.name for each in rig.instruments if each.kind != "option"}
    assert max(volumes.values()) - min(volumes.values()) < 10
    assert {name for kind, name in kinds if kind == "liquidation"} == {
        each.name for each in rig.instruments if each.kind in ("swap", "future")}  # fmt: skip


@pytest.mark.parametrize(
    "fault", ["drop", "duplicate", "reorder", "gap", "garbage", "truncate", "disconnect", "old_snapshot"]
)
@given(seed=st.integers(0, 2**16), connections=st.integers(1, 2))
@settings(max_examples=3)
def test_a_live_book_is_never_wrong_and_every_book_comes_back(fault, seed, connections):
    plan = {"disconnect": "disconnect:0.002", "old_snapshot": "old_snapshot:0.7,drop:0.02:book"}
    rig = Rig(plan.get(fault, f"{fault}:0.02"), seed=seed, venue="deribit", connections=connections)
    rig.run(4)
    rig.sim.faults.clear()
    rig.run(1)
    rig.run_until_live(200)
    assert rig.wrong == []


def test_a_quiet_connection_lives_by_our_pings():
    rig = Rig(venue="deribit", rate=0.001)
    rig.run_until_live()
    rig.run(200)
    assert set(map(tuple, rig.states.values())) == {("live",)}
    assert rig.wrong == []


def test_a_mute_connection_is_given_up():
    rig = Rig("stall:@60", seed=2, rate=10, venue="deribit")
    rig.run(60)
    rig.sim.faults.clear()
    rig.run_until_live()
    assert any("disconnected" in states for states in rig.states.values())
    assert rig.wrong == []


def test_maintenance_moves_the_feed_to_a_new_connection():
    rig = Rig(venue="deribit")
    rig.run_until_live()
    ((before, client),) = rig.clients.items()
    rig.sim.announce_shutdown("deribit")
    for output in client.take():
        rig.feed.receive(output.payload, rig.sim.now, before)
    rig.run(5)
    rig.run_until_live()
    assert before not in rig.clients
    assert rig.wrong == []


def test_the_feed_never_trips_the_venues_limit(monkeypatch):
    limits = msgspec.structs.replace(DERIBIT.limits, topics_per_connection=40)
    few = msgspec.structs.replace(DERIBIT, limits=limits)
    monkeypatch.setattr(deribit, "PRODUCTS", (few,))
    monkeypatch.setattr(deribit, "DERIBIT", few)
    rig = Rig(venue="deribit", symbols=150, rate=0.5, channels=("book", "trade", "ticker"), connections=2)
    assert len(rig.feed.connections) == 24
    rig.run_until_live()
    assert not any(event.kind == "status" and event.reason == "disconnected" for event in rig.events)
    assert set(map(tuple, rig.states.values())) == {("live",)}
    assert rig.wrong == []


def test_a_storm_of_gaps_does_not_trip_it_either():
    rig = Rig("gap:0.2:book", venue="deribit", symbols=60, rate=2, channels=("book",), connections=2)
    rig.run(10)
    rig.sim.faults.clear()
    rig.run_until_live(120)
    assert sum("gap" in states for states in rig.states.values()) > 30
    assert not any(event.kind == "status" and event.reason == "disconnected" for event in rig.events)
    assert rig.wrong == []


@pytest.mark.parametrize("code", [10028, 11051, 11056])
def test_a_venue_that_cannot_serve_is_asked_again_until_it_does(monkeypatch, code):
    serve = DeribitSession._subscribe

    def refuse(session, channels, outputs):
        if session.seen_at < START + 20 * SECOND:
            raise RpcError(code, "not now")
        return serve(session, channels, outputs)

    monkeypatch.setattr(DeribitSession, "_subscribe", refuse)
    rig = Rig(venue="deribit")
    rig.run(20)
    assert not any(states for states in rig.states.values())  # nothing is given up
    rig.run_until_live()
    assert rig.wrong == []


def test_the_daily_settlement_changes_the_status_of_instruments(monkeypatch):
    midnight = START - START % (24 * 3600 * SECOND)
    monkeypatch.setattr("rig.START", midnight + (8 * 3600 - 5) * SECOND)
    rig = Rig(venue="deribit")
    rig.run(20)
    words = [event.instrument_status for event in rig.events if event.kind == "status" and event.reason == "instrument"]
    assert words == ["halted"] * 2 + ["trading"] * 2


def test_a_topic_that_does_not_exist_costs_itself(caplog):
    rig = Rig(venue="deribit", symbols=1)
    gone = fastfeed.instruments("deribit", listing(row("BTC-25DEC99", **DATED)))
    feed = fastfeed.OfflineFeed("deribit", [*rig.instruments, *gone], ["book"])
    feed.start(START)
    client = rig.sim.connect("deribit", "deribit", "/ws/api/v2")
    with caplog.at_level(logging.WARNING):
        while feed.sends:
            client.receive(feed.sends.popleft()[1])
        for output in client.take():
            feed.receive(output.payload, START)
        feed.advance(START)
    assert feed.book("deribit:BTC/USD:BTC").state is fastfeed.BookState.LIVE
    assert ["BTC/USD:BTC-261225" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("form", ["agg2", "raw", "none.20.100ms", "none.1.100ms"])
def test_other_forms_of_the_book(form):
    sim = Simulator(["deribit"], now=START)
    what = fastfeed.instruments("deribit", sim.request("deribit", "deribit", DERIBIT.listing[0].path).body)
    login = Credentials(key="AMANDA", secret="AMANDASECRECT")
    feed = fastfeed.OfflineFeed("deribit", what[:2], ["book", "trade"], book=form, trades="raw", credentials=login)
    client = sim.connect("deribit", "deribit", "/ws/api/v2")
    feed.start(sim.now)
    depth = 10_000 if form[0] != "n" else int(form.split(".")[1])
    for _ in range(150):
        sim.advance(seconds=0.02)
        feed.advance(sim.now)
        while feed.sends:
            client.receive(feed.sends.popleft()[1])
        for output in client.take():
            feed.receive(output.payload, sim.now)
    for each in what[:2]:
        book, truth = feed.book(each.name), sim.true_book(each.name)
        top = book.top(1, exact=True)
        assert book.state is fastfeed.BookState.LIVE
        assert len(book.depth().bids) <= depth
        # `raw` holds nothing back, and at three seconds all windows end.
        assert [top.bids[0], top.asks[0]] == [side[0] for side in truth.prices(1)]


def test_raw_without_a_login_is_refused():
    rig = Rig(venue="deribit", symbols=1, channels=("book",), book="raw")
    rig.run(3)
    assert not rig.all_live()
    assert any(event.kind == "status" and event.reason == "refused" for event in rig.events)


def test_a_replay_gives_the_recorded_books(recordings):
    sim = Simulator(["deribit"], replay=recordings / "deribit", speed=None, now=START)
    names = {row.name for row in sim.profiles["deribit"].instruments}
    listed = fastfeed.instruments("deribit", sim.request("deribit", "deribit", DERIBIT.listing[0].path).body)
    what = [each for each in listed if each.name.removeprefix("deribit:") in names]
    assert len(what) == 10
    feed = fastfeed.OfflineFeed("deribit", what, ["book", "trade", "ticker"])
    client = sim.connect("deribit", "deribit", "/ws/api/v2")
    events = feed.start(sim.now)
    for _ in range(200):
        while feed.sends:
            client.receive(feed.sends.popleft()[1])
        sim.advance(seconds=0.02)
        for output in client.take():
            events += feed.receive(output.payload, sim.now)
        events += feed.advance(sim.now)
    assert not [event for event in events if event.kind == "status" and event.reason in ("gap", "malformed", "refused")]
    for each in what:
        path = f"/api/v2/public/get_order_book?instrument_name={each.symbol}&depth=1000"
        shown = json.loads(sim.request("deribit", "deribit", path).body, parse_float=Decimal)["result"]
        top = feed.book(each.name).top(25, exact=True)
        assert (top.state, top.sequence) == (fastfeed.BookState.LIVE, shown["change_id"])
        assert [list(level) for level in top.bids] == shown["bids"][:25]
        assert [list(level) for level in top.asks] == shown["asks"][:25]

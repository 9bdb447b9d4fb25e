"""Kraken Futures as a venue: its listings against ccxt's reading of them, what we send, and what comes back."""

import asyncio
import json
import logging
from collections import Counter
from decimal import Decimal
from random import Random
from types import SimpleNamespace

import pytest
from rig import Rig

import fastfeed
from fastfeed.engine.listing import list_instruments
from fastfeed.engine.network import Network
from fastfeed.errors import MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import instruments
from fastfeed.places import Places
from fastfeed.sim import Frame, Knobs, Simulator
from fastfeed.venues import krakenfutures
from fastfeed.venues.krakenfutures import PRODUCT
from fastfeed.venues.spec import Ack, Options, Pong, Refusal, Unknown

START = 1_785_000_000_000_000_000


def row(symbol="PI_XBTUSD", **changes):
    inverse = symbol[:2] in ("PI", "FI")
    return {
        "symbol": symbol,
        "type": "futures_inverse" if inverse else "flexible_futures",
        "underlying": "rr_xbtusd",
        "tickSize": 0.5,
        "contractSize": 1,
        "tradeable": True,
        "impactMidSize": 1000.0,
        "maxPositionSize": 75000000.0,
        "openingDate": "2018-08-31T00:00:00Z",
        "contractValueTradePrecision": 0 if inverse else 4,
        "postOnly": False,
        "isExpired": False,
        "base": "BTC",
        "quote": "USD",
        "pair": "BTC:USD",
    } | changes


def listing(*rows):
    return json.dumps({"result": "success", "instruments": rows, "serverTime": "2026-07-24T08:00:00.000Z"}).encode()


def one(entry):
    (found,) = instruments("krakenfutures", listing(entry))
    return found


# Listings


def test_an_inverse_perpetual_is_counted_in_dollars():
    found = one(row())
    assert (found.name, found.kind, found.symbol) == ("krakenfutures:BTC/USD:BTC", "swap", "PI_XBTUSD")
    assert (found.base, found.quote, found.settle, found.inverse) == ("BTC", "USD", "BTC", True)
    assert (found.contract_size, found.contract_unit, found.status) == (1, "USD", "trading")
    assert (str(found.tick_size), str(found.lot_size), found.px_exp, found.sz_exp) == ("0.5", "1", -3, -2)


def test_a_linear_one_is_counted_in_coins():
    found = one(row("PF_XBTUSD"))
    assert (found.name, found.settle, found.inverse) == ("krakenfutures:BTC/USD:USD", "USD", False)
    assert (found.contract_unit, str(found.lot_size)) == ("BTC", "0.0001")


def test_a_dated_one_ends_when_it_is_last_traded():
    found = one(row("FI_XBTUSD_260925", lastTradingTime="2026-09-25T15:00:00.000Z"))
    assert (found.name, found.kind) == ("krakenfutures:BTC/USD:BTC-260925", "future")
    assert found.expiry == 1790348400 * 10**9


def test_a_coin_that_trades_by_the_million_keeps_its_tick():
    text = json.dumps(row("PF_PEPEUSD", contractValueTradePrecision=-3, maxPositionSize=1e12))
    found = one(json.loads(text.replace('"tickSize": 0.5', '"tickSize": 1e-10')))
    assert (found.tick_size, found.lot_size) == (Decimal("0.0000000001"), 1000)
    assert (found.px_exp, found.sz_exp) == (-12, -2)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "trading"), ({"tradeable": False}, "halted"), ({"isExpired": True}, "closed")],
    ids=["trading", "not-tradeable", "expired"],
)
def test_status(changes, status):
    assert one(row(**changes)).status == status


def test_options_and_indexes_are_left_out_without_a_word(caplog):
    others = [
        {"symbol": "in_xbtusd", "type": "spot index", "tradeable": False},
        row("OF_XBTUSD_260925_90000_C", type="options"),
    ]
    with caplog.at_level(logging.WARNING):
        assert [each.symbol for each in instruments("krakenfutures", listing(*others, row()))] == ["PI_XBTUSD"]
    assert not caplog.records


BAD_ROWS = {
    "no-object": 5,
    "no-symbol": {"type": "futures_inverse"},
    "no-tick": {key: value for key, value in row("PI_BADUSD").items() if key != "tickSize"},
    "tick-of-zero": row("PI_BADUSD", tickSize=0),
    "contract-of-nothing": row("PI_BADUSD", contractSize=0),
    "type-unheard-of": row("PI_BADUSD", type="swaps"),
    "another-quote": row("PV_XRPXBT", type="futures_vanilla"),
    "no-time": row("FI_BADUSD_261225", lastTradingTime="soon"),
    "too-wide": row("PF_BADUSD", tickSize=1e-19),
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_malformed_row_is_reported_and_costs_itself(bad, caplog):
    with caplog.at_level(logging.WARNING):
        found = instruments("krakenfutures", listing(row(), bad, row("PF_XBTUSD")))
    assert [each.symbol for each in found] == ["PI_XBTUSD", "PF_XBTUSD"]
    assert "skipped=1 of=3" in caplog.text


def test_a_refusal_in_place_of_a_listing_says_what_it_is():
    for body, error in (
        (b'{"result":"error","serverTime":"2026-07-24T08:00:00.000Z","error":"apiLimitExceeded"}', RateLimited),
        (b'{"result":"error","error":"Unavailable"}', VenueDown),
        (b'{"result":"error","error":"invalidArgument"}', RequestRefused),
        (b"<html>", MalformedReply),
        (b'{"instruments":5}', MalformedReply),
    ):
        with pytest.raises(error):
            instruments("krakenfutures", body)


# ccxt as the oracle


def theirs(body):
    ccxt = pytest.importorskip("ccxt")
    exchange = ccxt.krakenfutures()
    exchange.publicGetInstruments = lambda params: json.loads(body)
    return {market["id"]: market for market in exchange.fetch_markets() if not market["index"]}


def check_against_ccxt(body):
    wanted = theirs(body)
    found = instruments("krakenfutures", body)
    assert {each.symbol for each in found} == set(wanted)
    for each in found:
        market = wanted[each.symbol]
        assert each.name == f"krakenfutures:{market['symbol']}"
        assert (each.kind, each.base, each.quote, each.settle) == tuple(
            market[key] for key in ("type", "base", "quote", "settle")
        )
        assert float(each.tick_size) == market["precision"]["price"]
        # Without the field, as in 2021, ccxt says None: sizes were whole contracts.
        assert float(each.lot_size) == (market["precision"]["amount"] or 1)
        assert float(each.contract_size) == market["contractSize"]
        assert each.expiry == (market["expiry"] and market["expiry"] * 10**6)
        assert each.inverse == market["inverse"]
        assert (each.status == "trading") == market["active"]
    return found


def test_contracts_of_every_kind_agree_with_ccxt():
    rows = [
        row(),
        row("FI_XBTUSD_261225", lastTradingTime="2026-12-25T16:00:00.000Z"),
        row("PF_AAPLxUSD", contractValueTradePrecision=2, tickSize=0.01),
        row("PF_PEPEUSD", contractValueTradePrecision=-3, tickSize=1e-10, maxPositionSize=1e12),
        row("FF_XBTUSD_261225", lastTradingTime="2026-12-25T16:00:00Z"),
        row("PV_XBTUSD", type="futures_vanilla", tradeable=False),
    ]
    assert len(check_against_ccxt(listing(*rows))) == len(rows)


def test_a_simulated_listing_agrees_with_ccxt():
    sim = Simulator(["krakenfutures"], knobs=Knobs(symbols=10), now=START)
    body = sim.request("krakenfutures", "krakenfutures", PRODUCT.listing[0].path).body
    assert Counter(each.kind for each in check_against_ccxt(body)) == {"swap": 8, "future": 2}


def test_a_recorded_listing_agrees_with_ccxt(recordings):
    text = (recordings / "kraken_futures" / "instruments.txt").read_text().splitlines()[0]
    assert len(check_against_ccxt(text.partition(": ")[2].encode())) == 17


# What we send, and what comes back


def topic(symbol, name):
    found = one(row(symbol))
    channel = PRODUCT.channel(name, Options(), found.kind)
    (each,) = krakenfutures.topics(found, channel, Options())
    return each


def test_a_request_has_one_feed_and_many_products():
    texts = [topic(symbol, "book") for symbol in ("PI_XBTUSD", "PF_AAPLxUSD")]
    assert {each.frame for each in texts} == {"book"}
    sent = krakenfutures.encode_subscribe([each.text for each in texts], 7)
    assert sent == b'{"event":"subscribe","feed":"book","product_ids":["PI_XBTUSD","PF_AAPLXUSD"]}'
    assert krakenfutures.encode_unsubscribe(["trade:PI_XBTUSD"], 8).startswith(b'{"event":"unsubscribe","feed":"trade"')


def test_liquidations_come_with_the_trades():
    assert topic("PI_XBTUSD", "liquidation").text == topic("PI_XBTUSD", "trade").text == "trade:PI_XBTUSD"
    assert topic("PI_XBTUSD", "liquidation").carrier == "trade"


@pytest.mark.parametrize(
    ("text", "controls"),
    [
        ('{"event":"info","version":1}', [Pong(False)]),
        ('{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}', [Ack(topics=("book:PI_XBTUSD",))]),
        (
            '{"event":"unsubscribed","feed":"book","product_ids":["PI_XBTUSD","pf_xbtusd"]}',
            [Ack(topics=("book:PI_XBTUSD", "book:PF_XBTUSD"), ended=True)],
        ),
        (
            '{"event":"subscribed_failed","feed":"trade","product_ids":["PI_X"]}',
            [Refusal(reason="subscribed_failed", topics=("trade:PI_X",))],
        ),
        ('{"event":"error","message":"Invalid product id"}', [Refusal(reason="Invalid product id")]),
        ('{"event":"alert","message":"Already subscribed to feed, re-requesting"}', [Pong(False)]),
        ('{"event":"alert","message":"Not subscribed to feed"}', [Refusal(reason="Not subscribed to feed")]),
        ('{"event":"alert","message":"rate_limited"}', [Unknown('{"event":"alert","message":"rate_limited"}')]),
        ('{"event":"subscribed"}', [Unknown('{"event":"subscribed"}')]),
        ("{", [Unknown("{")]),
    ],
)
def test_control_frames(text, controls):
    assert krakenfutures.read_control(text.encode()) == controls


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (429, {"Retry-After": "7"}, b"", RateLimited("krakenfutures", None, 7.0)),
        (429, {}, b"Too many", RateLimited("krakenfutures", None, 10.0)),
        (503, {}, b'{"error":"Unavailable"}', VenueDown("krakenfutures", None, "status 503: Unavailable")),
        (403, {}, b"<html>", VenueDown("krakenfutures", None, "status 403: b'<html>'")),
        (404, {}, b'{"error":"notFound"}', RequestRefused("krakenfutures", None, 404, None, "notFound")),
    ],
)  # fmt: skip
def test_rest_errors(status, headers, body, error):
    found = krakenfutures.read_rest_error(status, headers, body)
    assert (type(found), str(found)) == (type(error), str(error))


def test_the_speed_of_the_book_cannot_be_chosen():
    assert krakenfutures.check_options(Options()) == []
    assert [key for key, _ in krakenfutures.check_options(Options(depth_speed="250ms"))] == ["depth_speed"]


def test_a_listing_that_is_refused_with_status_200_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(krakenfutures, "_PAUSE_S", 0.01)

    async def run():
        async with Simulator(["krakenfutures"], faults="429:@1x3") as sim, Network() as network:
            rest = str(sim.endpoints["krakenfutures"]["rest"]["krakenfutures"])
            feed = SimpleNamespace(
                venue="krakenfutures", products=[PRODUCT], instruments=["*/USD:USD"], rest=lambda product: rest
            )
            return await list_instruments(feed, "feed[0]", network, Places(Random(0), None)), sim.faults.counts

    found, counts = asyncio.run(run())
    assert len(found) == 4
    assert counts == {"429": 3}


# Against the simulator


def rig(faults="", channels=("book", "bbo", "trade", "ticker", "liquidation"), **options):
    return Rig(faults, venue="krakenfutures", channels=channels, **options)


def test_every_channel_of_every_kind_of_contract_comes():
    made = rig(symbols=8)
    made.run_until_live()
    made.run(6)
    assert made.wrong == []
    seen = Counter((event.name, event.kind) for event in made.events if event.name)
    for each in made.instruments:
        assert {kind for name, kind in seen if name == each.name} >= {"snapshot", "delta", "bbo", "trade", "ticker"}
    assert any(event.kind == "liquidation" for event in made.events)
    funding = {event.name: event.funding_rate for event in made.events if event.kind == "ticker"}
    assert {funding[each.name] is None for each in made.instruments if each.kind == "future"} == {True}
    assert {funding[each.name] is None for each in made.instruments if each.kind == "swap"} == {False}


def test_the_feed_pings_in_time_and_is_not_cut_off():
    made = rig(symbols=1, rate=0.2)
    made.run_until_live()
    for _ in range(300):
        made.step(1000)
    assert made.states == {"krakenfutures:BTC/USD:BTC": ["live"]}


def test_a_feed_that_did_not_ping_would_be_cut_off(monkeypatch):
    made = rig(symbols=1, rate=0.2)
    made.run_until_live()
    for _ in range(70):
        made.feed.pings.clear()
        monkeypatch.setattr(type(made.feed), "pings", property(lambda self: []))
        made.step(1000)
    assert "disconnected" in made.states["krakenfutures:BTC/USD:BTC"]


def test_a_product_that_is_not_there_costs_itself(caplog):
    sim = Simulator(["krakenfutures"], knobs=Knobs(symbols=2), now=START)
    body = sim.request("krakenfutures", "krakenfutures", PRODUCT.listing[0].path).body
    gone = json.loads(body)
    gone["instruments"].append(row("PI_GONEUSD"))
    feed = fastfeed.OfflineFeed("krakenfutures", instruments("krakenfutures", json.dumps(gone)), ["book"])
    feed.start(START, connect=False)
    (wanted,) = feed.connections
    client = sim.connect("krakenfutures", "krakenfutures", "/ws/v1")
    events = feed.connected(wanted.id, START)
    for step in range(1, 30):
        sim.advance(seconds=0.5)
        while feed.sends:
            client.receive(feed.sends.popleft()[1])
        for output in client.take():
            if isinstance(output, Frame):
                events += feed.receive(output.payload, sim.now)
        events += feed.advance(START + step * 500_000_000)
    states = {event.name: event.reason for event in events if event.kind == "status" and event.name}
    assert states["krakenfutures:GONE/USD:GONE"] == "refused"
    assert feed.connections == [wanted]
    assert feed.book("krakenfutures:BTC/USD:BTC").state is fastfeed.BookState.LIVE
    assert "Invalid product id" in caplog.text


def test_the_feed_never_trips_the_venues_limit():
    made = rig(symbols=150, rate=0.5, channels=("book", "trade", "ticker"))
    made.run_until_live()
    assert made.wrong == []
    assert set(map(tuple, made.states.values())) == {("live",)}


@pytest.mark.parametrize("connections", [1, 2])
def test_a_restart_of_the_engine_costs_its_books_and_they_come_back(connections):
    made = rig(symbols=2, connections=connections)
    made.run_until_live()
    for _ in range(3):
        for each in made.instruments:
            made.sim.profiles["krakenfutures"].reset(each.name.partition(":")[2])
        made.run(1)
        made.run_until_live()
        made.run(1)
    assert made.wrong == []
    sequences = [event.sequence for event in made.events if event.kind == "snapshot"]
    assert min(sequences) < sequences[0] - 10**6


def test_what_one_of_two_connections_missed_comes_once():
    made = rig("disconnect:@200,disconnect:@900", symbols=1, rate=60, connections=2)
    made.run_until_live()
    made.run(12)
    assert made.sim.faults.counts == {"disconnect": 2}
    numbers = [event.sequence for event in made.events if event.kind == "trade"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 60
    assert made.states == {"krakenfutures:BTC/USD:BTC": ["live"]}


def test_the_recording_is_read_whole_and_ends_with_the_venues_books(recordings):
    sim = Simulator(replay=recordings / "kraken_futures", speed=None, now=START)
    body = sim.request("krakenfutures", "krakenfutures", PRODUCT.listing[0].path).body
    recorded = {row.symbol for row in sim.profiles["krakenfutures"].instruments}
    listed = [each for each in instruments("krakenfutures", body) if each.symbol in recorded]
    feed = fastfeed.OfflineFeed("krakenfutures", listed, ["book", "trade", "bbo"])
    feed.start(START)
    client = sim.connect("krakenfutures", "krakenfutures", "/ws/v1")
    kinds: Counter[str] = Counter()
    for _ in range(60):
        sim.advance(seconds=0.1)
        while feed.sends:
            client.receive(feed.sends.popleft()[1])
        for output in client.take():
            if isinstance(output, Frame):
                kinds.update(event.kind for event in feed.receive(output.payload, sim.now))
        feed.advance(sim.now)
    assert (kinds["delta"], kinds["snapshot"], kinds["trade"], kinds["status"]) == (7014, 10, 3, 10)
    for each in listed:
        reply = sim.request("krakenfutures", "krakenfutures", f"/derivatives/api/v3/orderbook?symbol={each.symbol}")
        book = json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)["orderBook"]
        depth = feed.book(each.name).depth()
        for side, found in (("bids", depth.bids), ("asks", depth.asks)):
            assert [(each.price(px), each.size(sz)) for px, sz in found.tolist()] == [tuple(one) for one in book[side]]

"""Bybit as a venue: its listings against ccxt's reading of them, what we send, what comes back, and whole feeds."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig

from fastfeed.config import Endpoints, Feed
from fastfeed.engine.listing import list_instruments
from fastfeed.engine.network import Network
from fastfeed.errors import MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import instruments
from fastfeed.places import Places
from fastfeed.sim import Knobs, Simulator
from fastfeed.venues import bybit
from fastfeed.venues.bybit import INVERSE, LINEAR, OPTION, SPOT
from fastfeed.venues.spec import Ack, Call, Options, Pong, Refusal, Topic, Unknown


def row(symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", tick="0.10", lot="0.001", **more):
    contract = {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": base, "quoteCoin": quote,
        "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": lot, "qtyStep": lot, "minNotionalValue": "5"},
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": settle, "isPreListing": False,
    }  # fmt: skip
    return contract | more


def spot(symbol="BTCUSDT", base="BTC", quote="USDT", tick="0.1", lot="0.000001", **more):
    return {
        "symbolId": 9, "symbol": symbol, "baseCoin": base, "quoteCoin": quote, "innovation": "0", "status": "Trading",
        "marginTrading": "utaOnly", "stTag": "0",
        "lotSizeFilter": {"basePrecision": lot, "quotePrecision": "0.0000001", "minOrderQty": lot, "maxOrderQty": "83",
                          "minOrderAmt": "5", "maxLimitOrderQty": "83", "maxMarketOrderQty": "41.5"},
        "priceFilter": {"tickSize": tick}, "symbolType": "",
    } | more  # fmt: skip


def option(symbol, base="BTC", quote="USDT", settle="USDT", kind="Call", tick="5", lot="0.01", **more):
    return {
        "symbol": symbol, "status": "Trading", "baseCoin": base, "quoteCoin": quote, "settleCoin": settle,
        "optionsType": kind, "launchTime": "1743669649256", "deliveryTime": "1798185600000",
        "priceFilter": {"minPrice": tick, "maxPrice": "1110000", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "500", "minOrderQty": lot, "qtyStep": lot},
    } | more  # fmt: skip


DATED = {"deliveryTime": "1798185600000"}
ROWS = {
    "spot": [
        spot(), spot("AIDOGEUSDT", "AIDOGE", tick="0.00000000000001", lot="1"), spot("SOLBTC", "SOL", "BTC"),
        spot("TSLAXUSDT", "TSLAX", symbolType="xstocks"),
    ],
    "linear": [
        row(), row("BTCPERP", quote="USDC", settle="USDC"), row("1000PEPEUSDT", "1000PEPE", tick="0.0000001"),
        row("BTCUSDT-25DEC26", contractType="LinearFutures", **DATED),
        row("BTC-25DEC26", quote="USDC", settle="USDC", contractType="LinearFutures", **DATED),
        row("BIOUSDT", "BIO", status="PreLaunch"), row("LUNAUSDT", "LUNA", deliveryTime="1798185600000"),
    ],
    "inverse": [
        row("BTCUSD", quote="USD", settle="BTC", lot="1", contractType="InversePerpetual"),
        row("BTCUSDZ26", quote="USD", settle="BTC", tick="0.50", lot="1", contractType="InverseFutures", **DATED),
    ],
    "option": [
        option("BTC-25DEC26-70000-C-USDT"), option("BTC-25DEC26-64000-P", quote="USD", settle="USDC", kind="Put"),
        option("XRP-25DEC26-0.4-P-USDT", "XRP", kind="Put", tick="0.0001", lot="10"),
    ],
}  # fmt: skip
ALL = [(product, each) for product, rows in ROWS.items() for each in rows]


def reply(result, code=0, message="OK"):
    body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": 1785000000000}
    return json.dumps(body).encode()


def listing(product, *rows, cursor=None):
    more = {} if product == "spot" else {"nextPageCursor": cursor or ""}
    return reply({"category": product, "list": list(rows), **more})


def one(product, each):
    (found,) = instruments("bybit", listing(product, each))
    return found


class Answers:
    """ccxt with its listing calls answered from rows."""

    def __init__(self, ccxt, product, each):
        self.exchange = ccxt.bybit({"options": {"fetchCurrencies": False}})
        body = json.loads(listing(product, each))
        empty = json.loads(listing(product))
        self.exchange.public_get_v5_market_instruments_info = lambda params: (
            empty if params.get("status") == "PreLaunch" else body
        )
        # The generated names are what it calls.
        self.exchange.publicGetV5MarketInstrumentsInfo = self.exchange.public_get_v5_market_instruments_info

    def market(self, product):
        exchange = self.exchange
        match product:
            case "spot":
                (found,) = exchange.fetch_spot_markets({})
            case "option":
                exchange.options["fetchMarkets"] = {"loadAllOptions": True}
                (found,) = exchange.fetch_option_markets({"cursor": None})
            case _:
                (found,) = exchange.fetch_future_markets({"category": product})
        return found


@pytest.mark.parametrize(("product", "each"), ALL, ids=[each["symbol"] for _, each in ALL])
def test_instrument_agrees_with_ccxt(product, each):
    ours, theirs = one(product, each), Answers(pytest.importorskip("ccxt"), product, each).market(product)
    assert ours.name == f"bybit:{theirs['symbol']}"
    assert (ours.symbol, ours.kind) == (theirs["id"], theirs["type"])
    assert (ours.base, ours.quote, ours.settle) == (theirs["base"], theirs["quote"], theirs["settle"])
    assert (float(ours.tick_size), float(ours.lot_size)) == (
        theirs["precision"]["price"],
        theirs["precision"]["amount"],
    )
    assert float(ours.contract_size) == (theirs["contractSize"] or 1)
    assert ours.expiry == (theirs["expiry"] and theirs["expiry"] * 10**6)
    assert (ours.strike and float(ours.strike), ours.option_type) == (theirs["strike"], theirs["optionType"])
    assert (ours.inverse, ours.status == "trading") == (bool(theirs["inverse"]), theirs["active"])
    assert bybit.product_of(ours).name == product
    assert bybit.product_of(ours) in bybit.products_for(ours.name.partition(":")[2])


def test_sizes_of_inverse_contracts_are_of_the_quote_currency():
    inverse, linear = one("inverse", ROWS["inverse"][0]), one("linear", row())
    assert (inverse.contract_unit, linear.contract_unit) == ("USD", "BTC")
    assert inverse.to_base(Decimal(100), Decimal(50000)) == Decimal("0.002")


@pytest.mark.parametrize(
    ("product", "each", "reason"),
    [
        ("linear", row(contractType="LinearSwap"), "contractType"),
        ("linear", row(contractType="LinearFutures"), "deliveryTime"),
        ("linear", row(settle=""), "settleCoin"),
        ("linear", row(tick="0"), "tick"),
        ("option", option("BTC-25DEC26-70000-P-USDT"), "strike"),
        ("option", option("BTC-25DEC26-7e4-C-USDT"), "strike"),
        ("spot", spot(lotSizeFilter={}), "basePrecision"),
        ("spot", {"symbol": "X"}, "missing"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(product, each, reason):
    with pytest.raises(MalformedReply, match=reason):
        instruments("bybit", listing(product, each))


def test_pages_name_the_next_one():
    cursor = "first%3DBTCUSDT%26last%3DBTCUSDT"
    page = bybit.read_listing(listing("linear", row(), cursor=cursor), LINEAR)
    assert page.more == (Call(f"/v5/market/instruments-info?category=linear&limit=1000&cursor={cursor}", 1),)
    page = bybit.read_listing(listing("option", ROWS["option"][2], cursor="0%2C2"), None)
    path = "/v5/market/instruments-info?category=option&limit=1000&baseCoin=XRP&cursor=0%2C2"
    assert (page.product, page.more) == (OPTION, (Call(path, 1),))
    assert bybit.read_listing(listing("inverse", cursor="x"), INVERSE).more == ()
    assert bybit.read_listing(listing("spot", spot()), SPOT).more == ()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (reply({}, 10006, "Too many visits!"), RateLimited),
        (reply({}, 10016, "Server error"), VenueDown),
        (reply({}, 10001, "params error"), RequestRefused),
        (reply({"category": "spread", "list": []}), MalformedReply),
        (reply({"category": "spot", "list": []}), MalformedReply),
        (b"<html>", MalformedReply),
        (b"[]", MalformedReply),
    ],
)
def test_what_is_no_listing_is_refused_for_what_it_says(body, error):
    with pytest.raises(error):
        bybit.read_listing(body, LINEAR)


@pytest.mark.parametrize(
    ("pattern", "products"),
    [
        ("BTC/USDT", [SPOT]), ("BTC/USDT:USDT", [LINEAR]), ("BTC/USDT:USDT-261225", [LINEAR]),
        ("BTC/USD:BTC", [INVERSE]), ("BTC/USD:BTC-261225", [INVERSE]), ("BTC/USD:USDC-261225-70000-P", [OPTION]),
        ("BTC/USDT:USDT-261225-0.4-P", [OPTION]), ("*/USDT", [SPOT]), ("BTC/*", [SPOT, LINEAR, INVERSE, OPTION]),
        ("*", [SPOT, LINEAR, INVERSE, OPTION]), ("BTC/USDT:USDT-*", [LINEAR, INVERSE, OPTION]),
    ],
)  # fmt: skip
def test_a_pattern_names_the_products_that_may_list_it(pattern, products):
    assert list(bybit.products_for(pattern)) == products


# What we send


def topics(product, each, name, **options):
    found, chosen = one(product, each), Options(**options)
    channel = bybit.product_of(found).channel(name, chosen, found.kind)
    return bybit.topics(found, channel, chosen)


def test_topics_of_each_product():
    linear, path = row(), "/v5/public/linear"
    assert topics("linear", linear, "book") == (Topic(path, "orderbook.200.BTCUSDT"),)
    assert topics("linear", linear, "book", book="1000") == (Topic(path, "orderbook.1000.BTCUSDT"),)
    assert topics("linear", linear, "bbo") == (Topic(path, "orderbook.1.BTCUSDT"),)
    assert topics("linear", linear, "bbo", book="1") == (Topic(path, "orderbook.1.BTCUSDT", carrier="book"),)
    assert topics("linear", linear, "trade") == (Topic(path, "publicTrade.BTCUSDT"),)
    assert topics("linear", linear, "ticker") == (Topic(path, "tickers.BTCUSDT"),)
    assert topics("linear", linear, "bar", bar_interval="4h") == (Topic(path, "kline.240.BTCUSDT"),)
    assert topics("linear", linear, "liquidation") == (Topic(path, "allLiquidation.BTCUSDT"),)
    assert topics("spot", spot(), "book") == (Topic("/v5/public/spot", "orderbook.200.BTCUSDT"),)
    call = ROWS["option"][0]
    assert topics("option", call, "book") == (Topic("/v5/public/option", f"orderbook.100.{call['symbol']}"),)
    assert topics("option", call, "trade") == (Topic("/v5/public/option", "publicTrade.BTC", group=True),)


def test_the_longest_topics_of_a_connection_fit_its_limit():
    for product in bybit.PRODUCTS:
        longest = max((text for channel in product.channels for text in channel.topics), key=len)
        text = longest.format(symbol="BTC-25DEC26-1000000-C-USDT", base="1000000BABYDOGE", interval="720")
        assert len(json.dumps([text] * product.limits.topics_per_connection, separators=(",", ":"))) < 21_000


def test_frames_that_are_sent():
    assert bybit.encode_subscribe(["a", "b"], 7) == b'{"req_id":"7","op":"subscribe","args":["a","b"]}'
    assert bybit.encode_unsubscribe(["a"], 8) == b'{"req_id":"8","op":"unsubscribe","args":["a"]}'
    assert bybit.encode_ping(SPOT) == b'{"op":"ping"}'
    assert bybit.check_options(Options()) == []
    assert bybit.check_options(Options(depth_speed="10ms")) == [("depth_speed", "no choice on this venue")]


# What comes back


@pytest.mark.parametrize(
    ("payload", "controls"),
    [
        ('{"success":true,"ret_msg":"","conn_id":"c","req_id":"7","op":"subscribe"}', [Ack(request_id=7)]),
        ('{"success":true,"ret_msg":"subscribe","conn_id":"c","req_id":"7","op":"subscribe"}', [Ack(request_id=7)]),
        (
            '{"success":true,"ret_msg":"","conn_id":"c","req_id":"8","op":"unsubscribe"}',
            [Ack(request_id=8, ended=True)],
        ),
        (
            '{"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"c","req_id":"7","op":"subscribe"}',
            [Refusal(request_id=7, reason="error:handler not found,topic:x")],
        ),
        ('{"success":false,"ret_msg":"args size \\u003e10","op":"subscribe"}', [Refusal(reason="args size >10")]),
        ('{"success":true,"ret_msg":"","conn_id":"c","req_id":"","op":"subscribe"}', [Ack()]),
        ('{"success":true,"ret_msg":"","conn_id":"c","req_id":null,"op":"unsubscribe"}', [Ack(ended=True)]),
        (
            '{"success":false,"ret_msg":"error:already subscribed,topic:x.Y","req_id":"7","op":"subscribe"}',
            [
                Ack(request_id=7, topics=("x.Y",)),
                Refusal(request_id=7, reason="error:already subscribed,topic:x.Y"),
            ],
        ),
        ('{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}', [Pong()]),
        ('{"args":["1672916271846"],"op":"pong"}', [Pong()]),
        (
            '{"success":true,"conn_id":"c","data":{"failTopics":["y"],"successTopics":["x"]},"type":"COMMAND_RESP"}',
            [
                Ack(topics=("x",)),
                Ack(topics=("x",), ended=True),
                Refusal(topics=("y",), reason="one of the failTopics"),
            ],
        ),
        (
            '{"success":true,"data":{"failTopics":null,"successTopics":["x"]},"type":"COMMAND_RESP"}',
            [Ack(topics=("x",)), Ack(topics=("x",), ended=True)],
        ),
    ],
)
def test_control_frames_are_told_apart(payload, controls):
    assert bybit.read_control(payload.encode()) == controls


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_any_other_frame_is_unknown(payload):
    assert isinstance(bybit.read_control(payload)[0], Unknown)


@pytest.mark.parametrize(
    ("status", "body", "error", "pause"),
    [
        (403, b"403, access too frequent", RateLimited, 600),
        (403, b"<html>The distribution is configured to block access from your country.", RequestRefused, None),
        (429, b"", RateLimited, 5),
        (400, reply({}, 10006, "Too many visits!"), RateLimited, 1),
        (503, b"", VenueDown, None),
        (404, b"404 page not found", VenueDown, None),
        (400, reply({}, 10001, "params error"), RequestRefused, None),
    ],
)
def test_refusals_of_rest(status, body, error, pause):
    found = bybit.read_rest_error(status, {}, body)
    assert type(found) is error
    assert getattr(found, "retry_after_s", None) == pause


# Feeds against the simulated venue


def test_a_listing_is_asked_for_again_when_the_venue_says_too_many_visits():
    async def main():
        async with (
            Simulator(["bybit"], knobs=Knobs(symbols=2, levels=20), faults="429:@1,429:@3x2") as sim,
            Network() as network,
        ):
            places = sim.endpoints["bybit"]
            feed = Feed(venue="bybit", instruments=("*",), channels=("book",), endpoints=Endpoints(rest=places["rest"]))
            return await list_instruments(feed, "feed[0]", network, Places(Random(0), None))

    found = asyncio.run(asyncio.wait_for(main(), 60))
    assert len(found) == 8


@pytest.mark.parametrize(
    ("products", "channels", "kinds"),
    [
        (("linear", "inverse"), ("book", "bbo", "trade", "ticker", "bar", "liquidation"), 6),
        (("spot",), ("book", "bbo", "trade", "ticker", "bar"), 5),
        (("option",), ("book", "bbo", "trade", "ticker"), 4),
    ],
)
def test_every_channel_of_every_product_comes(products, channels, kinds):
    rig = Rig(venue="bybit", products=products, channels=channels, symbols=2, rate=60)
    rig.run_until_live()
    rig.run(30)
    assert rig.wrong == []
    names = {each.name for each in rig.instruments}
    seen = {}
    for event in rig.events:
        if event.name in names and event.kind not in ("status", "snapshot"):
            seen.setdefault("book" if event.kind == "delta" else event.kind, set()).add(event.name)
    assert seen == dict.fromkeys(channels, names)
    assert len(seen) == kinds


def test_a_connection_lives_by_our_pings_alone():
    rig = Rig(venue="bybit", products=("spot", "option"), symbols=1, rate=0.001)
    rig.run_until_live()
    for _ in range(1300):
        rig.step(1000)
    assert {tuple(states) for states in rig.states.values()} == {("live",)}


def test_more_topics_than_a_request_takes_are_sent_in_several():
    rig = Rig(venue="bybit", products=("spot",), symbols=12, rate=5)
    rig.run_until_live()
    assert rig.all_live()


@pytest.mark.parametrize("form", ["1000", "50", "1"])
def test_other_depths_of_the_book_are_right_too(form):
    rig = Rig("drop:0.01", venue="bybit", products=("spot", "linear"), symbols=1, book=form)
    for product in rig.sim.profiles["bybit"]._products.values():
        # The book at a sequence is that of the depth in front.
        depths = sorted(product.product.depths, key=lambda depth: depth[0] != int(form))
        product.product = replace(product.product, depths=tuple(depths))
    rig.run_until_live()
    rig.run(8)
    assert rig.wrong == []
    assert rig.checked > 100
    kinds = {event.kind for event in rig.events}
    assert kinds >= {"bbo", "trade", "snapshot"}
    assert {event.derived for event in rig.events if event.kind == "bbo"} == {form == "1"}


def test_a_topic_that_is_in_force_already_is_taken_and_costs_no_other():
    rig = Rig(venue="bybit", products=("linear",), symbols=3, channels=("book",))
    client = rig.sim.connect("bybit", "linear", "/v5/public/linear")
    client.receive(bybit.encode_subscribe([f"orderbook.200.{rig.instruments[1].symbol}"], 10**6))
    client.take()
    (wanted,) = rig.feed.connections
    rig.clients[wanted.id] = client
    rig._take(rig.feed.connected(wanted.id, rig.sim.now))
    rig._exchange(rig.sim.now)
    rig.run(20)
    # Its snapshot was before our time: it is asked for when none comes.
    states = {name: tuple(each) for name, each in rig.states.items()}
    assert states.pop(rig.instruments[1].name) == ("no data", "live")
    assert set(states.values()) == {("live",)}
    assert rig.wrong == []


def test_a_topic_that_the_venue_refuses_costs_itself():
    rig = Rig(venue="bybit", products=("linear",), symbols=3, channels=("book",))
    gone = rig.instruments[1]
    profile = rig.sim.profiles["bybit"]
    resolve = profile._products["linear"].resolve
    profile._products["linear"].resolve = lambda topic: [] if gone.symbol in topic else resolve(topic)
    rig.run(5)
    live = {name: states[-1:] for name, states in rig.states.items()}
    assert live[gone.name] == ["refused"]
    assert [states for name, states in live.items() if name != gone.name] == [["live"]] * 2

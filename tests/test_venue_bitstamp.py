"""Bitstamp as a venue: its listing against ccxt's reading of it, what we send, what comes back, and a feed of it."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig

import fastfeed
from fastfeed.errors import MalformedReply, RateLimited, Recovery, RequestRefused, Scope, VenueDown
from fastfeed.instrument import instruments
from fastfeed.sim import Frame, Simulator
from fastfeed.venues import bitstamp
from fastfeed.venues.bitstamp import PRODUCT
from fastfeed.venues.spec import Ack, Call, Options, Pong, Refusal, Shutdown, Topic, Unknown

NOW = 1_785_000_000_000_000_000


def row(**changes: Any) -> dict[str, Any]:
    found = {
        "name": "BTC/USD", "market_symbol": "btcusd", "base_currency": "BTC", "base_decimals": 8,
        "counter_currency": "USD", "counter_decimals": 0, "minimum_order_value": "10", "trading": "Enabled",
        "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled",
        "description": "Bitcoin / U.S. dollar", "market_type": "SPOT",
    }  # fmt: skip
    return found | changes


def perpetual(**changes: Any) -> dict[str, Any]:
    return row(
        name="BTC/USD-PERP", market_symbol="btcusd-perp", base_decimals=5, maximum_order_value="500000.00000000",
        minimum_order_amount="0.00001000", maximum_order_amount="10.00000000", market_type="PERPETUAL",
        underlying_asset="Kaiko BTC Benchmark Reference Rate", payoff_type="Linear", contract_size="1.00000000",
        isin="EZHKD4DNKHY3", **changes,
    )  # fmt: skip


def one(changed: dict[str, Any]) -> fastfeed.Instrument:
    (found,) = instruments("bitstamp", json.dumps([changed]))
    return found


# Listing


def test_spot_instrument_of_a_listing():
    found = one(row())
    assert (found.venue, found.symbol, found.name, found.kind) == ("bitstamp", "btcusd", "bitstamp:BTC/USD", "spot")
    assert (found.base, found.quote, found.settle, found.inverse) == ("BTC", "USD", None, False)
    assert (str(found.tick_size), found.lot_size) == ("1", Decimal("1E-8"))
    assert (found.px_exp, found.sz_exp) == (-2, -8)
    assert (found.contract_size, found.contract_unit, found.status) == (1, "BTC", "trading")
    assert (found.expiry, found.strike, found.option_type) == (None, None, None)


def test_perpetual_of_a_listing():
    found = one(perpetual())
    assert (found.name, found.symbol, found.kind) == ("bitstamp:BTC/USD:USD", "btcusd-perp", "swap")
    assert (found.settle, found.inverse, found.contract_size, found.contract_unit) == ("USD", False, 1, "BTC")
    assert found.lot_size == Decimal("0.00001")


@pytest.mark.parametrize(
    ("prices", "sizes", "exponents"),
    [(2, 8, (-4, -8)), (5, 8, (-6, -8)), (8, 8, (-8, -8)), (5, 0, (-6, -2)), (12, 2, (-12, -4)), (18, 18, (-18, -18))],
)
def test_exponents_leave_room_for_absurd_orders(prices, sizes, exponents):
    found = one(row(counter_decimals=prices, base_decimals=sizes))
    assert (found.px_exp, found.sz_exp) == exponents
    if prices <= 8:
        assert found.to_px("9999999999") > 0
        assert found.to_sz("9999999999") > 0


@pytest.mark.parametrize(
    ("word", "status"), [("Enabled", "trading"), ("Disabled", "halted"), ("Whatever", "unknown"), ("", "unknown")]
)
def test_status_is_unified(word, status):
    assert one(row(trading=word)).status == status


def test_what_only_perpetuals_have_may_be_null_on_spot():
    assert one(row(payoff_type=None, contract_size=None)) == one(row())


BAD_ROWS = {
    "no-object": 5,
    "no-symbol": {"trading": "Enabled"},
    "decimals-no-number": row(market_symbol="bad", base_decimals="8"),
    "decimals-negative": row(market_symbol="bad", counter_decimals=-1),
    "decimals-too-many": row(market_symbol="bad", counter_decimals=19),
    "unknown-type": row(market_symbol="bad", market_type="FUTURE"),
    "inverse": row(market_symbol="bad", market_type="PERPETUAL", payoff_type="Inverse"),
    "no-contract": row(market_symbol="bad", contract_size="0"),
    "empty-base": row(market_symbol="bad", base_currency=""),
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS)
def test_malformed_row_is_reported_and_costs_itself(bad, caplog):
    other = row(market_symbol="ethusd", base_currency="ETH")
    with caplog.at_level(logging.WARNING):
        found = instruments("bitstamp", json.dumps([row(), bad, other]))
    assert [each.symbol for each in found] == ["btcusd", "ethusd"]
    assert "skipped=1 of=3" in caplog.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"status":"error","reason":"x","code":"400.002"}', r"x \(code 400.002\)"),
        (b"<html>", "malformed"),
        (b"", "truncated"),
    ],
)
def test_what_is_no_listing_is_refused(body, said):
    with pytest.raises(MalformedReply, match=said):
        instruments("bitstamp", body)


def test_an_empty_listing_has_no_instruments():
    assert instruments("bitstamp", b"[]") == []


# ccxt as the oracle


@pytest.fixture(scope="module")
def oracle():
    ccxt = pytest.importorskip("ccxt")

    def read(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        exchange = ccxt.bitstamp()
        exchange.fetch_markets_from_cache = lambda params: rows
        return exchange.fetch_markets()

    return read


def check_against(oracle, rows: list[dict[str, Any]]) -> None:
    ours = {each.symbol: each for each in instruments("bitstamp", json.dumps(rows))}
    assert len(ours) == len(rows) > 0
    for theirs in oracle(rows):
        found = ours[theirs["id"]]
        assert found.name == f"bitstamp:{theirs['symbol']}"
        assert found.kind == theirs["type"]
        assert (found.base, found.quote, found.settle) == (theirs["base"], theirs["quote"], theirs["settle"])
        assert float(found.tick_size) == theirs["precision"]["price"]
        assert float(found.lot_size) == theirs["precision"]["amount"]
        assert found.inverse == bool(theirs["inverse"])
        assert (found.status == "trading") == theirs["active"]
        assert found.expiry is theirs["expiry"] is None


def test_instruments_agree_with_ccxt(oracle):
    check_against(oracle, [
        row(), perpetual(), row(market_symbol="eth2eth", base_currency="ETH2", counter_currency="ETH"),
        row(market_symbol="ustusd", base_currency="UST", trading="Disabled"),
        row(market_symbol="tslausd", base_currency="TSLA", counter_decimals=2),
        row(market_symbol="pepebtc", base_currency="PEPE", counter_currency="BTC", counter_decimals=12),
        row(market_symbol="wtiusd-perp", base_currency="WTI", market_type="PERPETUAL", payoff_type="Linear"),
    ])  # fmt: skip


def test_a_recorded_listing_agrees_with_ccxt(recordings, oracle):
    sim = Simulator(["bitstamp"], replay=recordings / "bitstamp", now=NOW)
    rows = json.loads(sim.request("bitstamp", "bitstamp", "/api/v2/markets/").body)
    assert len(rows) == 140
    check_against(oracle, rows)


# What we send


def topics(found: fastfeed.Instrument, name: str, options: Options) -> list[Topic]:
    channel = PRODUCT.channel(name, options, found.kind)
    return [] if channel is None else list(bitstamp.topics(found, channel, options))


def test_topics_are_the_venues_channels():
    spot, swap = one(row()), one(perpetual())
    assert topics(spot, "book", Options()) == [Topic("/", "order_book_btcusd")]
    assert topics(spot, "book", Options(book="diff")) == [Topic("/", "diff_order_book_btcusd")]
    assert topics(swap, "trade", Options()) == [Topic("/", "live_trades_btcusd-perp")]
    assert topics(swap, "ticker", Options()) == [Topic("/", "funding_rate_btcusd-perp")]
    assert topics(spot, "ticker", Options()) == []
    assert topics(spot, "bbo", Options()) == []
    assert bitstamp.status_topics(PRODUCT, [spot]) == ()


def test_frames():
    channel = "order_book_silverusd-perp"
    assert bitstamp.encode_subscribe([channel], 1) == (
        b'{"event":"bts:subscribe","data":{"channel":"order_book_silverusd-perp"}}'
    )
    assert bitstamp.encode_unsubscribe([channel], 1) == (
        b'{"event":"bts:unsubscribe","data":{"channel":"order_book_silverusd-perp"}}'
    )
    assert bitstamp.encode_ping(PRODUCT) == b'{"event":"bts:heartbeat"}'
    assert bitstamp.greeting(PRODUCT, None, 1, 1) is None


def test_snapshot_asks_for_all_levels():
    assert bitstamp.snapshot(one(perpetual()), 5) == Call("/api/v2/order_book/btcusd-perp/?group=1", 1)


def test_every_pattern_is_of_the_one_product():
    assert bitstamp.products_for("BTC/USD") == bitstamp.products_for("*:USD") == (PRODUCT,)
    assert bitstamp.product_of(one(row())) is PRODUCT
    assert bitstamp.decoder(PRODUCT).__name__ == "BitstampDecoder"


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (Options(), []),
        (Options(book="diff", snapshot_levels=5), []),
        (Options(depth_speed="0ms"), ["depth_speed"]),
        (Options(snapshot_levels=0), ["snapshot_levels"]),
    ],
    ids=str,
)
def test_options_that_cannot_be_done_are_named(options, keys):
    assert [key for key, _ in bitstamp.check_options(options)] == keys


def test_limits_leave_room_below_the_venues_own():
    limits = PRODUCT.limits
    assert limits.topics_per_connection < 1024
    assert limits.topics_per_frame == 1
    assert limits.frame_bytes < 512
    assert limits.weight_per_minute <= 1000
    assert PRODUCT.mute_after_s > 2 * PRODUCT.ping_every_s


# What comes back


@pytest.mark.parametrize(
    ("payload", "control"),
    [
        (
            b'{"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}',
            Ack(topics=("order_book_btcusd",)),
        ),
        (
            b'{"event":"bts:unsubscription_succeeded","channel":"order_book_btcusd","data":{}}',
            Ack(topics=("order_book_btcusd",), ended=True),
        ),
        (
            b'{"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}',
            Refusal(reason="Invalid channel provided."),
        ),
        (
            b'{"event":"bts:error","channel":"x","data":{"code":4009,"message":"Connection is unauthorized."}}',
            Refusal(code=4009, reason="Connection is unauthorized.", topics=("x",)),
        ),
        (b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}', Pong()),
        (b'{"event":"bts:request_reconnect","channel":"","data":null}', Shutdown()),
        (b'{"event":"bts:request_reconnect","channel":"","data":""}', Shutdown()),
        (b'{"event":"bts:news","channel":"","data":{}}', Unknown('{"event":"bts:news","channel":"","data":{}}')),
        (b'{"event":7}', Unknown('{"event":7}')),
        (b"\xff", Unknown("\ufffd")),
    ],
    ids=str,
)
def test_control_frames_are_told_apart(payload, control):
    assert bitstamp.read_control(payload) == [control]


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_any_other_frame_is_unknown(payload):
    assert isinstance(bitstamp.read_control(payload)[0], Unknown)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"status": "error", "reason": "x", "response_code": "400.002"}, RateLimited, None),
        (400, {"code": "400.067", "message": "x", "field": ""}, RateLimited, None),
        (200, [{"code": "400.068", "message": "x"}], RateLimited, None),
        (429, None, RateLimited, None),
        (403, None, RateLimited, None),
        (403, {"status": "error", "reason": "x", "code": "API0006"}, RequestRefused, "API0006"),
        (400, {"status": "error", "reason": {"__all__": ["Minimum order size is 10.0 EUR."]}}, RequestRefused, ""),
        (403, {"error": "No permission found"}, RequestRefused, ""),
        (404, None, RequestRefused, None),
        (404, {"message": "Not found."}, RequestRefused, ""),
        (500, {"status": "error", "reason": "x", "response_code": "500.016"}, VenueDown, None),
        (502, None, VenueDown, None),
        (400, None, VenueDown, None),
    ],
)
def test_errors_of_rest_in_all_their_shapes(status, body, kind, code):
    text = b"<html>" if body is None else json.dumps(body).encode()
    error = bitstamp.read_rest_error(status, {}, text, "bitstamp:BTC/USD")
    assert type(error) is kind
    if kind is RequestRefused:
        assert (error.code, error.status) == (code, status)
        assert (error.recovery, error.scope) == (Recovery.STOP, Scope.INSTRUMENT)
    if kind is RateLimited:
        assert error.retry_after_s >= 1


# A feed and the simulated venue


def feed(faults: str = "", **options: Any) -> Rig:
    given = {"symbols": 8, "channels": ("book", "bbo", "trade", "ticker"), **options}
    return Rig(faults, venue="bitstamp", **given)


@pytest.mark.parametrize("form", ["", "diff"])
def test_every_kind_of_instrument_is_right(form):
    rig = feed(book=form)
    rig.run_until_live(5)
    rig.run(4)
    assert rig.wrong == []
    assert rig.checked > 200
    assert set(map(tuple, rig.states.values())) == {("live",)}
    kinds = {(event.kind, event.name) for event in rig.events}
    names = {each.name for each in rig.instruments}
    for kind in ("trade", "bbo", "delta" if form else "snapshot"):
        assert {name for found, name in kinds if found == kind} == names
    assert {name for kind, name in kinds if kind == "ticker"} == {name for name in names if name.endswith(":USD")}
    assert all(event.derived for event in rig.events if event.kind == "bbo")


def test_absurd_orders_of_a_snapshot_are_levels():
    rig = feed()
    rig.run_until_live(1)
    first = next(event for event in rig.events if event.kind == "snapshot" and event.name == "bitstamp:ETH/USD")
    assert (first.bids[-1][0], first.asks[-1][0]) == (0.0, 9999999999.0)
    assert rig.wrong == []


def test_a_quiet_book_is_live_before_its_first_message():
    rig = feed(rate=0.005)
    rig.run_until_live(1)
    rig.run(120)
    assert rig.wrong == []
    assert set(map(tuple, rig.states.values())) == {("live",)}


def test_a_request_to_reconnect_is_followed_without_losing_a_book():
    rig = feed(symbols=2)
    rig.run(2)
    (first,) = [each.id for each in rig.feed.connections]
    rig.sim.announce_shutdown("bitstamp")
    rig.run(8)
    (second,) = [each.id for each in rig.feed.connections]
    assert second != first
    assert set(map(tuple, rig.states.values())) == {("live",)}
    assert rig.wrong == []


def test_the_feed_trips_no_limit_and_keeps_its_connection_alive():
    rig = feed(symbols=40, rate=0.2)
    rig.run(130)  # two pings of the venue, six heartbeats of ours
    assert set(map(tuple, rig.states.values())) == {("live",)}
    assert len(rig.clients) == 1
    assert rig.wrong == []


# Of differences a lost one cannot be seen: such a book is wrong until it is verified, and no longer.


@pytest.mark.parametrize(
    "fault", ["duplicate:0.1", "garbage:0.05", "disconnect:0.004", "reset:0.02", "old_snapshot:0.5"]
)
def test_differences_are_never_wrong_while_none_is_lost(fault):
    for seed in (1, 2):
        rig = feed(fault, book="diff", symbols=2, seed=seed, connections=seed)
        rig.run(8)
        rig.sim.faults.clear()
        rig.run_until_live(30)
        assert rig.wrong == []


@pytest.mark.parametrize("fault", ["drop", "reorder", "truncate"])
def test_a_lost_difference_is_repaired_by_verification(fault):
    rig = feed(f"{fault}:0.1:diff", book="diff", symbols=2, verify_s=5)
    rig.run(10)
    rig.sim.faults.clear()
    assert rig.sim.faults.counts[fault]
    rig.run(12)
    rig.wrong.clear()
    rig.run(4)
    assert rig.wrong == []
    assert any(event.kind == "status" and event.reason == "repaired" for event in rig.events)


def test_calls_that_are_refused_are_made_again():
    rig = feed("429:@1x2:order_book,418:@3:order_book", book="diff", symbols=1)
    rig.run_until_live(120)
    rig.run(2)
    assert rig.wrong == []


# The recording


def recorded_books(recordings) -> dict[str, tuple[int, list, list]]:
    """Sequence, bids and asks of each market at the end of the recording, from the files alone."""
    books: dict[str, list] = {}
    for line in (recordings / "bitstamp" / "rest.txt").read_text().splitlines():
        url, _, rest = line.partition(" -> ")
        if "/order_book/" in url:
            body = json.loads(rest.partition(": ")[2])
            sides = [{Decimal(p): Decimal(q) for p, q in body[side]} for side in ("bids", "asks")]
            books[url.rpartition("/")[2]] = [int(body["microtimestamp"]), *sides]
    for line in (recordings / "bitstamp" / "ws.txt").read_text().splitlines():
        if '"channel":"diff_order_book_' not in line or '{"data":{"t' not in line:
            continue
        message = json.loads(line.partition(": ")[2])
        book, body = books[message["channel"].rpartition("_")[2]], message["data"]
        if int(body["microtimestamp"]) <= book[0]:
            continue
        book[0] = int(body["microtimestamp"])
        for side, levels in zip(book[1:], (body["bids"], body["asks"]), strict=True):
            side.update((Decimal(p), Decimal(q)) for p, q in levels)
    for book in books.values():
        for n in (1, 2):
            book[n] = [level for level in sorted(book[n].items(), reverse=n == 1) if level[1]]
    return {symbol: tuple(book) for symbol, book in books.items()}


@pytest.mark.parametrize("form", ["", "diff"])
def test_a_replay_ends_with_the_books_of_the_recording(recordings, form):
    truth = recorded_books(recordings)
    sim = Simulator(["bitstamp"], replay=recordings / "bitstamp", speed=1.0, now=NOW)
    listing = instruments("bitstamp", sim.request("bitstamp", "bitstamp", "/api/v2/markets/").body)
    found = [each for each in listing if each.symbol in truth]
    offline = fastfeed.OfflineFeed("bitstamp", found, ["book", "trade"], book=form)
    events = offline.start(sim.now)
    client = sim.connect("bitstamp", "bitstamp", "/")
    for _ in range(800):
        sim.advance(seconds=0.05)
        events += offline.advance(sim.now)
        while offline.sends:
            client.receive(offline.sends.popleft()[1])
        while offline.requests:
            request = offline.requests.popleft()
            reply = sim.request("bitstamp", "bitstamp", request.url.removeprefix(PRODUCT.rest))
            events += offline.reply(request, reply.body, reply.status, ts=sim.now)
        for output in client.take():
            if isinstance(output, Frame):
                events += offline.receive(output.payload, sim.now)
    assert sim.profiles["bitstamp"].timelines[0].is_done
    assert sum(event.kind == "trade" for event in events) == 10
    assert not [event for event in events if event.kind == "status" and event.reason == "malformed"]
    for each in found:
        last, *sides = truth[each.symbol]
        depth = offline.book(each.name).depth()
        assert depth.sequence == last
        for side, mine in zip(sides, (depth.bids, depth.asks), strict=True):
            wanted = [(each.to_px(price), each.to_sz(size)) for price, size in side]
            # A quiet market has its book from REST alone, whole.
            most = 100 if form == "" and each.symbol != "sgbeur" else None
            assert mine.tolist() == wanted[:most]

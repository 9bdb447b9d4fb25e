"""Binance's tickers, bars and liquidations from the simulated venue to a consumer, through the whole feed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from rig import START, Rig

from fastfeed import venues

EVERYTHING = ("book", "bbo", "trade", "ticker", "bar", "liquidation")
SECOND = 1_000_000_000


def by_kind(rig: Rig) -> dict[str, list]:
    found: dict[str, list] = {}
    for event in rig.events:
        found.setdefault(event.kind, []).append(event)
    return found


def test_every_channel_of_usdm_arrives():
    rig = Rig(products=("usdm",), channels=EVERYTHING)
    rig.run_until_live()
    rig.run(12)
    assert rig.wrong == []
    found = by_kind(rig)
    names = {each.name for each in rig.instruments}
    for kind in ("delta", "bbo", "trade", "ticker", "bar", "liquidation"):
        assert {event.name for event in found[kind]} == names, kind
    for row in rig.feed.bus.map.connections():
        assert row["frames"] > 0
        assert row["malformed"] == row["unrouted"] == row["fallbacks"] == 0

    for instrument in rig.instruments:
        mine = {kind: [event for event in events if event.name == instrument.name] for kind, events in found.items()}
        trades = mine["trade"]
        ticker = mine["ticker"][-1]
        values = {"last", "volume", "mark_price", "index_price"}
        perpetual = instrument.kind == "swap"
        assert set(ticker.decimals()) == (values | {"funding_rate"} if perpetual else values)
        assert ticker.next_funding_time == (1_785_024_000 * SECOND if perpetual else None)
        assert ticker.decimals()["last"] in {instrument.price(trade.px) for trade in trades}
        assert abs(ticker.mark_price / ticker.last - 1) < 0.01
        # Each forced order took from the book: it is one of the trades, at a worse limit.
        forced = {(trade.ts_event, trade.side, trade.sz) for trade in trades}
        for event in mine["liquidation"]:
            assert (event.ts_event, event.side, event.sz) in forced
        bars = mine["bar"]
        assert {(bar.start, bar.interval, bar.closed) for bar in bars} == {(START, 60, False)}
        assert bars[-1].close in {trade.price for trade in trades}


@pytest.mark.parametrize("connections", [1, 2])
def test_bars_of_spot_are_those_of_its_trades_however_many_bring_them(connections):
    rig = Rig(products=("spot",), channels=EVERYTHING[:-1], bar_interval="1s", connections=connections)
    rig.run_until_live()
    rig.run(5)
    assert rig.wrong == []
    found = by_kind(rig)
    assert set(found) >= {"delta", "bbo", "trade", "ticker", "bar"}
    assert set(found["ticker"][-1].decimals()) == {"last", "volume"}
    for instrument in rig.instruments:
        trades = [event for event in found["trade"] if event.name == instrument.name]
        bars = [event for event in found["bar"] if event.name == instrument.name]
        assert all(bar.closed and bar.interval == 1 for bar in bars)
        assert len({bar.start for bar in bars}) == len(bars) >= 4
        # The first second began before the subscription.
        for bar in bars[1:]:
            within = [trade for trade in trades if bar.start <= trade.ts_event < bar.start + SECOND]
            total = sum((instrument.size(trade.sz) for trade in within), Decimal(0))
            assert bar.volume == float(total)
            if within:
                assert (bar.open, bar.close) == (within[0].price, within[-1].price)
                assert (bar.high, bar.low) == (max(each.price for each in within), min(each.price for each in within))


def test_lost_and_broken_messages_cost_figures_nothing_but_themselves():
    rig = Rig("drop:0.1:ticker,truncate:0.1:markPrice,disconnect:@60:kline", products=("usdm",), channels=EVERYTHING)
    rig.run(15)
    assert {"drop", "truncate", "disconnect"} <= set(rig.sim.faults.counts)
    rig.sim.faults.clear()
    start = len(rig.events)
    rig.run(15)
    assert {"ticker", "bar", "liquidation"} <= {event.kind for event in rig.events[start:]}
    assert rig.wrong == []
    for instrument in rig.instruments:
        bars = [event for event in rig.events if event.kind == "bar" and event.name == instrument.name]
        assert [bar.ts_event for bar in bars] == sorted(bar.ts_event for bar in bars)


@pytest.mark.parametrize("channels", [EVERYTHING, ("book",)], ids=["everything", "book"])
def test_figures_and_notices_of_usdm_need_one_connection_more(channels):
    product = next(each for each in venues.load("binance").PRODUCTS if each.name == "usdm")
    rig = Rig(products=("usdm",), channels=channels)
    assert {each.url.removeprefix(product.ws) for each in rig.feed.connections} == {"/public/stream", "/market/stream"}


def test_a_notice_of_a_contract_reaches_readers():
    rig = Rig(products=("usdm",), channels=("book",))
    rig.run_until_live()
    notice = '{"stream":"!contractInfo","data":{"e":"contractInfo","E":1,"s":"%s","cs":"%s","st":1}}'
    market = next(each.id for each in rig.feed.connections if "/market" in each.url)
    perpetual = next(each for each in rig.instruments if each.kind == "swap")
    (event,) = rig.feed.receive(notice % (perpetual.symbol, "TRADING_HALT"), rig.sim.now, market)
    assert (event.name, event.reason, event.instrument_status) == (perpetual.name, "instrument", "halted")
    assert rig.feed.receive(notice % ("BTCUSD_PERP", "CLOSE"), rig.sim.now, market) == []  # another product's
    assert rig.all_live()

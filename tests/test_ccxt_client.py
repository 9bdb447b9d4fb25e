"""A stranger's client reads books and trades from the simulated venues: ccxt.pro, pointed at them by its URLs.

Slow, and of a package that is not ours: runs with `pytest --clients tests/test_ccxt_client.py`.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest

from fastfeed.sim import Knobs, Simulator

# Of each venue: instruments to watch, which place of the simulator replaces which base of ccxt, options.
CLIENTS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, str]], dict[str, Any]]] = {
    "binance": (
        ("BTC/USDT", "BTC/USDT:USDT"),
        {
            "https://api.binance.com": ("rest", "spot"), "https://fapi.binance.com": ("rest", "usdm"),
            "wss://stream.binance.com:9443": ("ws", "spot"), "wss://fstream.binance.com": ("ws", "usdm"),
        },
        {"options": {"fetchMarkets": ["spot", "linear"], "fetchCurrencies": False}},
    ),
    "bybit": (
        ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"),
        # One host serves all products by path, of which ccxt reads "spot".
        {"https://api.{hostname}": ("rest", "spot"), "wss://stream.{hostname}": ("ws", "spot")},
        {"options": {"fetchMarkets": {"types": ["spot", "linear", "inverse"]}, "loadAllOptions": False}},
    ),
    "okx": (
        ("BTC/USDT", "BTC/USDT:USDT"),
        {"https://{hostname}": ("rest", "okx"), "wss://ws.okx.com:443": ("ws", "okx")},
        {"options": {"fetchMarkets": {"types": ["spot", "swap"]}}},
    ),
    "deribit": (
        ("BTC/USD:BTC",),
        {"https://www.deribit.com": ("rest", "deribit"), "wss://www.deribit.com": ("ws", "deribit")},
        {"options": {"code": "BTC", "fetchCurrencies": False}},
    ),
    "bitstamp": (
        ("BTC/USD",),
        {"https://www.bitstamp.net": ("rest", "bitstamp"), "wss://ws.bitstamp.net": ("ws", "bitstamp")},
        {},
    ),
    "krakenfutures": (
        ("BTC/USD:USD",),
        {"https://futures.kraken.com": ("rest", "krakenfutures"), "wss://futures.kraken.com": ("ws", "krakenfutures")},
        {},
    ),
}  # fmt: skip


@pytest.fixture
def clients(request):
    if not request.config.getoption("--clients"):
        pytest.skip("runs with --clients")
    return pytest.importorskip("ccxt.pro")


def redirect(value: Any, bases: dict[str, str]) -> Any:
    """Replace the bases of all URLs in a nested dictionary, the longest that fits each."""
    if isinstance(value, dict):
        return {key: redirect(each, bases) for key, each in value.items()}
    for base in sorted(bases, key=len, reverse=True):
        if isinstance(value, str) and value.startswith(base):
            return bases[base] + value[len(base) :]
    return value


async def watch(venue: str) -> None:
    symbols, bases, options = CLIENTS[venue]
    async with Simulator([venue], knobs=Knobs(seed=3, rate=20, levels=30, journal=True)) as sim:
        places = sim.endpoints[venue]
        exchange = getattr(importlib.import_module("ccxt.pro"), venue)(options | {"newUpdates": True})
        urls = {base: str(places[kind][name]) for base, (kind, name) in bases.items()}  # type: ignore[index]
        if venue == "binance":
            # ccxt tells spot by "/stream" in the URL: as the name of a user it can stand in any.
            urls["wss://stream.binance.com:9443"] = str(places["ws"]["spot"]).replace("//", "//stream@")  # type: ignore
        exchange.urls["api"] = redirect(exchange.urls["api"], urls)
        try:
            await exchange.load_markets()
            for symbol in symbols:
                await asyncio.wait_for(compare_books(sim, exchange, venue, symbol), 60)
                trades = await asyncio.wait_for(exchange.watch_trades(symbol), 60)
                assert trades
                assert all(each["side"] in ("buy", "sell") and each["price"] > 0 for each in trades)
        finally:
            await exchange.close()


async def compare_books(sim: Simulator, exchange: Any, venue: str, symbol: str) -> None:
    """Hold some of the client's books against the true one."""
    agreed = 0
    for _ in range(200):
        book = await exchange.watch_order_book(symbol)
        is_exact = book["nonce"] is not None
        try:
            truth = sim.book_at(f"{venue}:{symbol}", book["nonce"]) if is_exact else sim.true_book(f"{venue}:{symbol}")
        except ValueError:
            # What the client calls a nonce is no sequence of the venue's: of Deribit it is the time.
            is_exact, truth = False, sim.true_book(f"{venue}:{symbol}")
        bids, asks = truth.levels(10)
        tick, lot = truth.instrument.tick_size, truth.instrument.lot_size
        wanted = [[[float(px * tick), float(sz * lot)] for px, sz in side] for side in (bids, asks)]
        found = [[level[:2] for level in book[side][:10]] for side in ("bids", "asks")]
        if found == wanted:
            agreed += 1
        elif is_exact:
            raise AssertionError(f"{symbol} at {book['nonce']}: expected {wanted}, was {found}")
        if agreed >= 5:
            return
    raise AssertionError(f"{symbol}: agreed {agreed} times of 200")


@pytest.mark.parametrize("venue", CLIENTS)
def test_ccxt_reads_the_true_books(clients, venue):
    asyncio.run(watch(venue))

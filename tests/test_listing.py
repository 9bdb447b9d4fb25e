"""listing: what a venue lists is fetched while other feeds run, and they do not wait for it."""

from __future__ import annotations

import asyncio
import json
import time
from random import Random
from types import SimpleNamespace

from fastfeed.engine.listing import fetch_listing
from fastfeed.engine.network import Reply
from fastfeed.instrument import instruments
from fastfeed.pause import SECOND
from fastfeed.places import Places
from fastfeed.sim import Knobs, Simulator
from fastfeed.venues import binance


def large(rows: int) -> bytes:
    """A listing of Binance with so many symbols."""
    sim = Simulator(["binance"], knobs=Knobs(seed=1))
    listing = json.loads(sim.request("binance", "spot", "/api/v3/exchangeInfo").body)
    first = listing["symbols"][0]
    names = [f"C{number}" for number in range(rows)]
    listing["symbols"] = [{**first, "symbol": f"{each}USDT", "baseAsset": each, "quoteAsset": "USDT"} for each in names]
    return json.dumps(listing).encode()


def test_a_large_listing_is_read_in_pieces():
    body = large(2000)
    feed = SimpleNamespace(venue="binance", products=[binance.SPOT], rest=lambda product: "http://venue")

    class Network:
        async def request(self, *_):
            return Reply(200, {}, body)

    async def run():
        turns = 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        found = await fetch_listing(feed, Network(), Places(Random(0), None))
        task.cancel()
        return found, turns

    found, turns = asyncio.run(run())
    assert found == instruments("binance", body, "spot")
    assert len(found) == 2000
    assert turns > 2000 / 100


def test_a_probe_that_is_given_up_lets_others_try():
    feed = SimpleNamespace(venue="binance", products=[binance.SPOT], rest=lambda product: "http://venue")
    places = Places(Random(0), None)
    door = places.door("binance", "http://venue", binance.SPOT.limits)
    hour_ago = time.time_ns() - 3600 * SECOND
    for _ in range(5):
        door.answered(0, hour_ago)
    asked = asyncio.Event()

    class Network:
        async def request(self, *_):
            asked.set()
            await asyncio.Event().wait()

    async def run():
        task = asyncio.create_task(fetch_listing(feed, Network(), places))
        await asked.wait()
        assert not door.may_call(1, time.time_ns())  # it is the probe
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert door.may_call(1, time.time_ns())

    asyncio.run(asyncio.wait_for(run(), 60))

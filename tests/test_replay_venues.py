"""Every recording, over real sockets, through the feed process, to a consumer: final books and every trade, exactly."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from processes import fastfeed, run_python, simulator, write_config
from recorded import RECORDINGS

import fastfeed as fastfeed_package
from fastfeed.sim import Simulator
from fastfeed.venues import VENUES, load
from fastfeed_core.decimal import parse

# Reads until nothing comes any more, and prints books, trades and counters as JSON.
CONSUMER = """
import json, sys, time
import fastfeed

bus = fastfeed.open(sys.argv[1], timeout=30)
reader = bus.reader(start="oldest")
trades, reasons, kinds, names = [], [], {}, int(sys.argv[2])
last = time.monotonic()
while time.monotonic() < last + 6 or len(bus.instruments) < names or not any(
        bus.book(each.name).state is fastfeed.BookState.LIVE for each in bus.instruments):
    assert time.monotonic() < last + 40, "nothing comes"
    for event in reader.poll():
        last = time.monotonic()
        kinds[event.kind] = kinds.get(event.kind, 0) + 1
        if event.kind == "trade":
            trades.append([event.name, str(event.trade_id), event.px, event.sz, event.side])
        elif event.kind == "status" and event.scope == "instrument":
            reasons.append([event.name, event.reason])
    time.sleep(0.01)
out = {"trades": {}, "books": {}, "lost": reader.lost, "reasons": reasons, "kinds": kinds}
for each in bus.instruments:
    depth = bus.book(each.name).depth()
    out["books"][each.symbol.upper()] = [depth.state.name] + [
        [[str(each.price(px)), str(each.size(sz))] for px, sz in side.tolist()] for side in (depth.bids, depth.asks)]
    out["trades"][each.symbol.upper()] = [
        [number, str(each.price(px)), str(each.size(sz)), side] for name, number, px, sz, side in trades
        if name == each.name]
out["counters"] = [bus.map.instrument_counters(i) for i in range(len(bus.instruments))]
out["connections"] = [{k: v for k, v in row.items() if "latency" not in k} for row in bus.map.connections()]
print(json.dumps(out))
"""


@pytest.mark.parametrize("folder", [name for name, each in RECORDINGS.items() if each.venue in VENUES])
def test_books_and_trades_of_a_recording_arrive_exactly(recordings, shm, tmp_path, folder):
    recording = RECORDINGS[folder]
    wanted = recording.read(recordings / folder)
    arguments = ["--replay", str(recordings / folder), "--speed", "max"]
    with simulator(tmp_path, *arguments, venue=recording.venue) as served:
        names = served["instruments"]
        config = write_config(
            tmp_path, "replayed", served, names, venue=recording.venue, channels=recording.channels,
            options=recording.options,
        )  # fmt: skip
        with fastfeed("run", str(config), out=tmp_path / "run.out"):
            found = json.loads(run_python(CONSUMER, "replayed", str(len(names))))
    said = (tmp_path / "run.out").read_text()
    assert found["books"].keys() >= wanted.books.keys()
    for symbol, (bids, asks) in wanted.books.items():
        state, *sides = found["books"][symbol]
        assert state == "LIVE", symbol
        mine = [{Decimal(price): Decimal(size) for price, size in side} for side in sides]
        assert mine == [bids, asks], symbol
    for symbol, trades in found["trades"].items():
        mine = [(number, Decimal(price), Decimal(size), side) for number, price, size, side in trades]
        assert mine == wanted.trades.get(symbol, []), symbol
    assert {reason for _, reason in found["reasons"]} == {"snapshot"}, said
    assert found["lost"] == 0
    for row in found["counters"]:
        assert (row["gaps"], row["refused"], row["held_lost"]) == (0, 0, 0)
    for row in found["connections"]:
        assert (row["malformed"], row["unrouted"]) == (0, 0), said
    for channel in set(recording.channels) - {"book", "trade"}:
        assert found["kinds"].get(channel), channel


@pytest.mark.parametrize("folder", [name for name, each in RECORDINGS.items() if each.venue in VENUES])
def test_every_price_and_size_of_a_recording_survives_as_a_mantissa(recordings, folder):
    recording = RECORDINGS[folder]
    instruments = {each.symbol.upper(): each for each in listed(recording.venue, recordings / folder)}
    for symbol, (prices, sizes) in recording.read(recordings / folder).texts.items():
        instrument = instruments[symbol]
        assert prices
        assert sizes
        for texts, exponent, back in (
            (prices, instrument.px_exp, instrument.price), (sizes, instrument.sz_exp, instrument.size)
        ):  # fmt: skip
            for text in texts:
                mantissa = parse(text.encode(), exponent)
                assert back(mantissa) == Decimal(text)
                # With the decimals of the text the text itself comes back.
                assert f"{back(mantissa):.{max(0, -Decimal(text).as_tuple().exponent)}f}" == text


def listed(venue: str, folder) -> list[fastfeed_package.Instrument]:
    """The instruments that a replay of the recording lists, asked for as a feed asks."""
    sim = Simulator([venue], replay=folder, now=0)
    module = load(venue)
    found = []
    for product in module.PRODUCTS:
        if product.name not in sim.profiles[venue].rest_endpoints:
            continue
        bodies = []
        calls = list(product.listing)
        for call in calls:
            reply = sim.request(venue, product.name, call.path)
            assert reply.status == 200, reply
            bodies.append(reply.body)
            calls += module.read_listing(reply.body, product).more
        found += fastfeed_package.instruments(venue, bodies, product.name)
    return found

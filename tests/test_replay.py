"""Recorded traffic, over real sockets, through the feed process, to a consumer in a third: nothing lost, all exact."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from oracles import final_book_2024, read_2024
from processes import fastfeed, run_python, simulator, write_config

# Reads all there is, keeps books of its own from the events, and prints what it has as JSON.
CONSUMER = """
import json, sys, time
import fastfeed

trades, quotes, deltas = map(int, sys.argv[2:5])
bus = fastfeed.open(sys.argv[1], timeout=30)
reader = bus.reader(start="oldest")
out = {"trades": [], "quotes": [], "reasons": []}
own, count, until = {}, 0, time.monotonic() + 90
while (len(out["trades"]), len(out["quotes"])) != (trades, quotes) or count < deltas:
    assert time.monotonic() < until, (len(out["trades"]), len(out["quotes"]), count)
    for event in reader.poll():
        if event.kind == "trade":
            out["trades"].append([event.name, event.trade_id, event.px, event.sz, event.side, event.ts_event])
        elif event.kind == "bbo":
            out["quotes"].append([event.name, event.sequence, event.bid_px, event.bid_sz, event.ask_px, event.ask_sz])
        elif event.kind == "status":
            out["reasons"].append(event.reason)
        else:
            if event.kind == "snapshot":
                own[event.name] = {}, {}
            count += event.sequence == event.sequence
            for side, levels in zip(own[event.name], (event.bid_mantissas, event.ask_mantissas)):
                for px, sz in levels:
                    if sz:
                        side[px] = sz
                    else:
                        side.pop(px, None)
    if all(bus.book(each.name).top(1).sequence == int(wanted) for each, wanted in zip(bus.instruments, sys.argv[5:])):
        deltas = count
out["lost"] = reader.lost
out["books"] = {}
for each in bus.instruments:
    depth = bus.book(each.name).depth()
    top = bus.book(each.name).top(25, exact=True)
    out["books"][each.name] = {
        "state": depth.state.name, "sequence": depth.sequence,
        "bids": [[str(each.price(px)), str(each.size(sz))] for px, sz in depth.bids.tolist()],
        "asks": [[str(each.price(px)), str(each.size(sz))] for px, sz in depth.asks.tolist()],
        "top": [[[str(p), str(q)] for p, q in side] for side in (top.bids, top.asks)],
        "own": [sorted(own[each.name][0].items(), reverse=True) == depth.bids.tolist(),
                sorted(own[each.name][1].items()) == depth.asks.tolist()],
    }
out["counters"] = [bus.map.instrument_counters(i) for i in range(len(bus.instruments))]
out["connections"] = [{k: v for k, v in row.items() if "latency" not in k} for row in bus.map.connections()]
print(json.dumps(out))
"""


def exact(levels):
    return [(Decimal(price), Decimal(size)) for price, size in levels]


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["plain", "tls"])
def test_recorded_books_trades_and_quotes_arrive_exactly(recordings, shm, tmp_path, tls):
    names = {"spot": "binance:BTC/USDT", "usdm": "binance:BTC/USDT:USDT"}
    books = {product: final_book_2024(recordings, product) for product in names}
    wanted: dict[str, list] = {"trades": [], "quotes": []}
    exponents = {}
    with simulator(tmp_path, "--replay", str(recordings / "binance_2024"), "--speed", "max", *tls) as venue:
        config = write_config(tmp_path, "replayed", venue, ["BTC/USDT", "BTC/USDT:USDT"])
        with fastfeed("run", str(config), out=tmp_path / "run.out") as feed:
            text = run_python(
                CONSUMER, "replayed", "31070", "94129", "1000000", *(str(book.sequence) for book in books.values())
            )
        assert feed.returncode == 0, (tmp_path / "run.out").read_text()
    found = json.loads(text)
    for product, name in names.items():
        book, mine = books[product], found["books"][name]
        bids, asks = book.levels()
        assert (mine["state"], mine["sequence"]) == ("LIVE", book.sequence)
        assert (exact(mine["bids"]), exact(mine["asks"])) == (bids, asks)
        assert [exact(side) for side in mine["top"]] == [bids[:25], asks[:25]]
        assert mine["own"] == [True, True]
        exponents[name] = (-4, -7) if product == "spot" else (-3, -5)
        wanted["trades"] += _trades(recordings, product, name, *exponents[name])
        wanted["quotes"] += _quotes(recordings, product, name, *exponents[name])
    for kind, rows in wanted.items():
        for name in names.values():
            assert [row for row in found[kind] if row[0] == name] == [row for row in rows if row[0] == name]
    assert found["lost"] == 0
    assert "gap" not in found["reasons"]
    for row in found["counters"]:
        assert (row["gaps"], row["resyncs"], row["refused"]) == (0, 1, 0)
    for row in found["connections"]:
        assert (row["malformed"], row["unrouted"], row["fallbacks"]) == (0, 0, 0)
    assert list(shm.iterdir()) == []


def _mantissa(text: str, exponent: int) -> int:
    value = Decimal(text).scaleb(-exponent)
    assert value == value.to_integral_value()
    return int(value)


def _trades(folder, product, name, px, sz):
    for text in read_2024(folder, product):
        if b"@trade" in text[:30]:
            d = json.loads(text)["data"]
            side = "sell" if d["m"] else "buy"
            yield [name, d["t"], _mantissa(d["p"], px), _mantissa(d["q"], sz), side, d["T"] * 1_000_000]


def _quotes(folder, product, name, px, sz):
    for text in read_2024(folder, product):
        if b"@bookTicker" in text[:40]:
            d = json.loads(text)["data"]
            yield [name, d["u"], *(_mantissa(d[key], sz if key in "BA" else px) for key in "bBaA")]

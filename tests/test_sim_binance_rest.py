"""Binance's REST as the simulator speaks it: listing, books, weights, refusals."""

import json

import pytest

from fastfeed.sim import Frame, Knobs, Simulator

NOW = 1_785_000_000_000_000_000


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["binance"], faults=faults, knobs=Knobs(**{"levels": 50, **knobs}), now=NOW)


def get(sim: Simulator, target: str, endpoint: str = "spot"):
    reply = sim.request("binance", endpoint, target)
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize(("endpoint", "prefix"), [("spot", "/api/v3"), ("usdm", "/fapi/v1")])
def test_rest_answers_ping_and_time(endpoint, prefix):
    sim = make()
    assert get(sim, f"{prefix}/ping", endpoint) == (200, {})
    assert get(sim, f"{prefix}/time", endpoint) == (200, {"serverTime": NOW // 1_000_000})
    assert sim.request("binance", endpoint, f"{prefix}/nothing").status == 404
    assert sim.request("binance", endpoint, f"{prefix}/depth?symbol=BTCUSDT", "POST").status == 404


def test_the_listing_can_be_filtered_on_spot():
    sim = make()
    everything = [row["symbol"] for row in get(sim, "/api/v3/exchangeInfo")[1]["symbols"]]
    assert everything[:2] == ["BTCUSDT", "ETHUSDT"]
    for query in ('symbols=["BTCUSDT","DOGEUSDT"]', "symbols=%5B%22BTCUSDT%22%2C%22DOGEUSDT%22%5D"):
        status, body = get(sim, f"/api/v3/exchangeInfo?{query}")
        assert (status, [row["symbol"] for row in body["symbols"]]) == (200, ["BTCUSDT", "DOGEUSDT"])
    assert [row["symbol"] for row in get(sim, "/api/v3/exchangeInfo?symbol=ETHUSDT")[1]["symbols"]] == ["ETHUSDT"]
    assert get(sim, "/api/v3/exchangeInfo?symbol=NOSUCH") == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert get(sim, "/api/v3/exchangeInfo?symbols=x")[1]["code"] == -1100


def test_the_listing_has_ticks_and_lots():
    sim = make()
    for endpoint, prefix, tick, lot in (
        ("spot", "/api/v3", "0.01000000", "0.00001000"),
        ("usdm", "/fapi/v1", "0.10", "0.001"),
    ):
        row = get(sim, f"{prefix}/exchangeInfo", endpoint)[1]["symbols"][0]
        filters = {entry["filterType"]: entry for entry in row["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == tick
        assert filters["LOT_SIZE"]["stepSize"] == lot


@pytest.mark.parametrize(("count", "spot", "usdm"), [(1, 1, 1), (2, 2, 2), (6, 6, 6), (40, 40, 40)])
def test_any_number_of_symbols_can_be_listed(count, spot, usdm):
    sim = make(symbols=count)
    assert len(get(sim, "/api/v3/exchangeInfo")[1]["symbols"]) == spot
    assert len(get(sim, "/fapi/v1/exchangeInfo", "usdm")[1]["symbols"]) == usdm


@pytest.mark.parametrize(
    ("endpoint", "target", "code"),
    [
        ("spot", "/api/v3/depth", -1102),
        ("spot", "/api/v3/depth?symbol=NOSUCH", -1121),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=many", -1100),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=0", -1130),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=7", -4021),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=5000", -4021),
        ("usdm", "/fapi/v1/depth?symbol=NOSUCH", -1121),
    ],
)
def test_a_wrong_depth_call_is_refused(endpoint, target, code):
    status, body = get(make(), target, endpoint)
    assert (status, body["code"], list(body)) == (400, code, ["code", "msg"])


@pytest.mark.parametrize(
    ("endpoint", "query", "levels"),
    [("spot", "", 100), ("spot", "&limit=3", 3), ("spot", "&limit=9999", 150), ("usdm", "&limit=20", 20)],
)
def test_a_book_has_at_most_as_many_levels_as_asked(endpoint, query, levels):
    sim = make(levels=150)
    prefix = "/api/v3" if endpoint == "spot" else "/fapi/v1"
    _, body = get(sim, f"{prefix}/depth?symbol=BTCUSDT{query}", endpoint)
    assert len(body["bids"]) == len(body["asks"]) == levels
    assert list(body) == ["lastUpdateId", *([] if endpoint == "spot" else ["E", "T"]), "bids", "asks"]


@pytest.mark.parametrize(
    ("endpoint", "target", "weight"),
    [
        ("spot", "/api/v3/ping", 1),
        ("spot", "/api/v3/exchangeInfo", 20),
        ("spot", "/api/v3/depth?symbol=BTCUSDT", 5),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=101", 25),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=1000", 50),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=5000", 250),
        ("usdm", "/fapi/v1/exchangeInfo", 1),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT", 10),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=50", 2),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=100", 5),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20),
    ],
)
def test_a_call_costs_its_weight(endpoint, target, weight):
    sim = make()
    used = [int(sim.request("binance", endpoint, target).headers["X-MBX-USED-WEIGHT-1M"]) for _ in range(2)]
    assert used == [weight, 2 * weight]


def test_too_much_weight_is_refused_then_banned_then_forgiven():
    sim = make(rate=0.01)
    sim.advance(seconds=43)  # the window is the minute of the clock, and NOW begins one
    target = "/api/v3/depth?symbol=BTCUSDT&limit=5000"
    statuses = [sim.request("binance", "spot", target).status for _ in range(31)]
    assert statuses == [200] * 24 + [429] * 5 + [418] * 2
    banned = sim.request("binance", "spot", "/api/v3/ping")
    assert (banned.status, banned.headers["Retry-After"]) == (418, "120")
    assert json.loads(banned.body)["code"] == -1003
    sim.advance(seconds=119)
    assert sim.request("binance", "spot", target).status == 418
    sim.advance(seconds=1)
    assert sim.request("binance", "spot", target).status == 200


def test_the_minute_ends_a_refusal():
    sim = make(rate=0.01)
    sim.advance(seconds=43)
    target = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    replies = [sim.request("binance", "usdm", target) for _ in range(121)]
    assert {reply.status for reply in replies[:-1]} == {200}
    assert (replies[-1].status, replies[-1].headers["Retry-After"]) == (429, "17")
    sim.advance(seconds=17)
    assert sim.request("binance", "usdm", target).status == 200


@pytest.mark.parametrize("status", [429, 418])
def test_an_injected_refusal_is_over_soon(status):
    sim = make(f"{status}:@1")
    target = "/api/v3/depth?symbol=BTCUSDT"
    refused = sim.request("binance", "spot", target)
    assert refused.status == status
    assert int(refused.headers["Retry-After"]) <= 2
    assert json.loads(refused.body)["code"] == -1003
    assert sim.request("binance", "spot", target).status == 200


def test_an_old_snapshot_is_older_than_the_stream():
    sim = make("old_snapshot:@1")
    sim.advance(seconds=5)
    client = sim.connect("binance", "spot", "/ws/btcusdt@depth@100ms")
    sim.advance(seconds=1)
    first = json.loads(next(output.payload for output in client.take() if isinstance(output, Frame)))["U"]
    target = "/api/v3/depth?symbol=BTCUSDT&limit=1000"
    assert get(sim, target)[1]["lastUpdateId"] < first - 1
    assert get(sim, target)[1]["lastUpdateId"] > first

"""What a client of the simulated venue can know: diffs over a REST book give the true book, at each sequence."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeed.sim import Frame, Knobs, Simulator

NOW = 1_785_000_000_000_000_000
PREFIX = {"spot": "/api/v3", "usdm": "/fapi/v1"}
PATH = {"spot": "/ws", "usdm": "/public/ws"}
NAME = {"spot": "binance:BTC/USDT", "usdm": "binance:BTC/USDT:USDT"}


class ClientBook:
    """The venue's published procedure, over text and dicts."""

    def __init__(self, snapshot: bytes) -> None:
        body = json.loads(snapshot)
        self.sequence = body["lastUpdateId"]
        self.bids, self.asks = (dict(map(self.level, body[side])) for side in ("bids", "asks"))
        self.last = None

    @staticmethod
    def level(level: list[str]) -> tuple[Decimal, Decimal]:
        return Decimal(level[0]), Decimal(level[1])

    def apply(self, payload: bytes) -> bool:
        diff = json.loads(payload)
        if "pu" in diff:
            if diff["u"] < self.sequence:
                return False
            chains = diff["pu"] == self.last if self.last else diff["U"] <= self.sequence <= diff["u"]
            chains = chains or diff["pu"] == self.sequence
        else:
            if diff["u"] <= self.sequence:
                return False
            chains = diff["U"] == self.sequence + 1 if self.last else diff["U"] <= self.sequence + 1
        assert chains, (self.sequence, self.last, diff["U"], diff["u"], diff.get("pu"))
        for side, levels in ((self.bids, diff["b"]), (self.asks, diff["a"])):
            for price, size in map(self.level, levels):
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self.sequence = self.last = diff["u"]
        return True

    def prices(self):
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def make(seed: int, faults: str = "", **knobs) -> Simulator:
    knobs = Knobs(**{"seed": seed, "levels": 60, "symbols": 2, "journal": True, **knobs})
    return Simulator(["binance"], faults=faults, knobs=knobs, now=NOW)


def snapshot(sim: Simulator, product: str) -> bytes:
    reply = sim.request("binance", product, f"{PREFIX[product]}/depth?symbol=BTCUSDT&limit=1000")
    assert reply.status == 200
    return reply.body


def diffs(client) -> list[bytes]:
    return [output.payload for output in client.take() if isinstance(output, Frame) and output.topic]


@pytest.mark.parametrize("product", ["spot", "usdm"])
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    speed=st.sampled_from(["", "@100ms", "@0ms", "@37ms"]),
    before_ms=st.integers(0, 2500),
    between_ms=st.integers(0, 1500),
)
def test_diffs_over_a_rest_book_give_the_true_book(product, seed, speed, before_ms, between_ms):
    sim = make(seed)
    sim.advance(seconds=before_ms / 1000)
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@depth{speed}")
    sim.advance(seconds=between_ms / 1000)
    book = ClientBook(snapshot(sim, product))
    assert book.prices() == sim.true_book(NAME[product]).prices()
    sim.advance(seconds=4)
    applied = 0
    for payload in diffs(client):
        if book.apply(payload):
            applied += 1
            assert book.prices() == sim.book_at(NAME[product], book.sequence).prices()
    assert applied


@pytest.mark.parametrize("product", ["spot", "usdm"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_tap_sees_each_diff_while_the_true_book_is_its_own(product, seed):
    sim = make(seed, faults="drop:0.3")
    book = ClientBook(snapshot(sim, product))
    seen = 0

    def tap(connection, frame: Frame) -> None:
        nonlocal seen
        book.apply(frame.payload)
        true = sim.true_book(NAME[product])
        assert (book.sequence, book.prices()) == (true.sequence, true.prices())
        seen += 1

    sim.tap = tap
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@depth@100ms")
    for _ in range(30):
        sim.advance(seconds=0.15)
    assert seen > len(diffs(client)) > 0


@pytest.mark.parametrize(("product", "holes"), [("spot", False), ("usdm", True)])
def test_update_ids_leave_holes_on_futures_only(product, holes):
    sim = make(3)
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@depth@100ms")
    sim.advance(seconds=10)
    events = [json.loads(payload) for payload in diffs(client)]
    links = [(earlier["u"], later) for earlier, later in pairwise(events)]
    assert len(links) > 50
    if holes:
        assert all(later["pu"] == last for last, later in links)
        assert sum(later["U"] != last + 1 for last, later in links) > len(links) // 2
    else:
        assert all(later["U"] == last + 1 for last, later in links)


def test_diffs_are_often_one_sided_and_remove_unknown_levels():
    sim = make(5, rate=20)
    client = sim.connect("binance", "spot", "/ws/btcusdt@depth@100ms")
    book = ClientBook(snapshot(sim, "spot"))
    one_sided = unknown = 0
    for _ in range(20):
        sim.advance(seconds=10)
        for payload in diffs(client):
            diff = json.loads(payload)
            one_sided += not diff["b"] or not diff["a"]
            for side, levels in ((book.bids, diff["b"]), (book.asks, diff["a"])):
                unknown += sum(not size and price not in side for price, size in map(book.level, levels))
            book.apply(payload)
    assert one_sided > 100
    assert unknown > 10


@pytest.mark.parametrize("product", ["spot", "usdm"])
def test_a_rest_book_may_be_in_the_middle_of_a_diff(product):
    sim = make(7, rate=100)
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@depth@500ms")
    sim.advance(seconds=0.7)
    book = ClientBook(snapshot(sim, product))
    sim.advance(seconds=1)
    covering = [json.loads(payload) for payload in diffs(client)]
    assert any(diff["U"] < book.sequence < diff["u"] for diff in covering)


@pytest.mark.parametrize("product", ["spot", "usdm"])
def test_a_rest_book_may_be_on_the_edge_of_a_diff(product):
    sim = make(7, rate=100)
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@depth@0ms")
    sim.advance(seconds=1)
    assert json.loads(diffs(client)[-1])["u"] == json.loads(snapshot(sim, product))["lastUpdateId"]


@pytest.mark.parametrize("fault", ["drop:@10", "gap:@10", "reorder:@10", "truncate:@10"])
def test_a_fault_breaks_the_chain(fault):
    sim = make(7, faults=fault)
    client = sim.connect("binance", "spot", "/ws/btcusdt@depth@100ms")
    book = ClientBook(snapshot(sim, "spot"))
    sim.advance(seconds=5)
    payloads = diffs(client)
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        list(map(book.apply, payloads))
    assert list(sim.faults.counts) == [fault.partition(":")[0]]


def test_two_connections_see_the_same_diffs():
    sim = make(7)
    first = sim.connect("binance", "usdm", "/public/ws/btcusdt@depth@100ms")
    sim.advance(seconds=1)
    early = diffs(first)
    second = sim.connect("binance", "usdm", "/public/ws/btcusdt@depth@100ms")
    sim.advance(seconds=3)
    assert early
    assert diffs(first) == diffs(second)


@pytest.mark.parametrize("product", ["spot", "usdm"])
def test_the_book_ticker_is_the_top_of_the_book(product):
    sim = make(7)
    client = sim.connect("binance", product, f"{PATH[product]}/btcusdt@bookTicker")
    sim.advance(seconds=10)
    quotes = [json.loads(payload) for payload in diffs(client)]
    assert len(quotes) > 50
    for quote in quotes:
        (bid,), (ask,) = sim.book_at(NAME[product], quote["u"]).prices(1)
        assert bid == (Decimal(quote["b"]), Decimal(quote["B"]))
        assert ask == (Decimal(quote["a"]), Decimal(quote["A"]))

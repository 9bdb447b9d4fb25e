"""One lost diff anywhere in real traffic: never a live book that is wrong."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import OracleBook, read_2024
from pipeline import instrument

import fastfeed

START = 1_723_161_250_000_000_000


@pytest.fixture(scope="module")
def traffic(recordings):
    """Frames around the depth diffs of both products, and the snapshots."""
    out = {}
    for product in ("spot", "usdm"):
        messages = list(read_2024(recordings, product))
        snapshot = json.loads(next(text for text in messages if not text.startswith(b'{"stream"')))
        diffs = [text for text in messages if b"@depth" in text[:30]][:400]
        out[product] = snapshot, diffs
    return out


def equal(book: fastfeed.Book, truth: OracleBook, what: fastfeed.Instrument) -> bool:
    """Whether the book has every level that it says it knows."""
    depth = book.depth()
    for mine, (wanted, worst, sign) in zip(
        (depth.bids, depth.asks),
        zip(truth.levels(), depth.complete_to, (1, -1), strict=True),
        strict=True,
    ):
        known = [(what.to_px(price), what.to_sz(size)) for price, size in wanted]
        found = mine.tolist()
        if worst is not None:
            known = [level for level in known if sign * level[0] >= sign * worst]
            found = [level for level in found if sign * level[0] >= sign * worst]
        if known != found:
            return False
    return True


@given(st.sampled_from(["spot", "usdm"]), st.integers(20, 380))
@settings(max_examples=20)
def test_one_lost_diff_is_seen_at_the_next_and_repaired(traffic, product, lost):
    snapshot, diffs = traffic[product]
    usdm = product == "usdm"
    what = instrument("binance:BTC/USDT:USDT", "0.1", "0.001") if usdm else instrument()
    feed = fastfeed.OfflineFeed("binance", [what], ["book"], depth_speed="0ms" if usdm else "100ms")
    feed.start(START)
    truth = OracleBook()
    truth.load(snapshot)
    now = START
    for connection, payload in list(feed.sends):
        feed.receive(json.dumps({"result": None, "id": json.loads(payload)["id"]}).encode(), now, connection)
    gaps = 0
    for number, text in enumerate(diffs):
        now += 20_000_000
        data = json.loads(text)["data"]
        if data["u"] > truth.sequence:
            truth.apply(data)
        events = [] if number == lost else feed.receive(text, now)
        events += feed.advance(now)
        gaps += sum(event.kind == "status" and event.reason == "gap" for event in events)
        while feed.requests:
            request = feed.requests.popleft()
            first = truth.sequence == snapshot["lastUpdateId"] or number < 12
            body = json.dumps(snapshot).encode() if first else truth.snapshot(1000)
            feed.reply(request, body, ts=now)
        book = feed.book(what.name)
        if book.state is fastfeed.BookState.LIVE:
            top = book.top(1, exact=True)
            if top.sequence == truth.sequence and number % 20 == 0:
                assert equal(book, truth, what)
            elif top.sequence == truth.sequence:
                assert top.bids[0] == truth.levels()[0][0]
            else:
                # Only the lost message itself lies between the feed and the venue, and only until the next one.
                assert number == lost
    assert gaps == 1
    assert feed.book(what.name).state is fastfeed.BookState.LIVE
    assert feed.book(what.name).top(1).sequence == truth.sequence
    assert equal(feed.book(what.name), truth, what)
    assert isinstance(feed.book(what.name).top(1, exact=True).bids[0][0], Decimal)

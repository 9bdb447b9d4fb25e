"""The hot path calls none of Python's allocators."""

from __future__ import annotations

import json

from oracles import read_2024
from pipeline import Pipeline, instrument, rest_book
from test_decoder_binance import SAMPLES, live, whole

from fastfeed_core import drive

MESSAGES = 1_000_000


def test_no_allocation_over_a_million_messages():
    for name in ("spot-depth", "usdm-depth"):
        pipeline = live(name)
        product = name.partition("-")[0]
        frames = drive.Frames([whole(key) for key in SAMPLES if key.startswith(product)])
        rounds = MESSAGES // 2 // frames.count + 1
        assert drive.count_allocations(pipeline.connections[0], frames, rounds, 1) == 0
        assert pipeline.row()["malformed"] == 0
        # The count can be other than 0.
        assert drive.count_allocations(pipeline.connections[0], frames, 3, 1, True) > 0


def test_no_allocation_over_the_recordings(recordings):
    for product, what in (
        ("spot", None),
        ("usdm", instrument("binance:BTC/USDT:USDT", "0.10", "0.001")),
    ):
        messages = list(read_2024(recordings, product))
        snapshot = json.loads(next(text for text in messages if not text.startswith(b'{"stream"')))
        pipeline = Pipeline(what, depth="btcusdt@depth@0ms" if what else "btcusdt@depth@100ms")
        pipeline.snapshot(rest_book(snapshot["lastUpdateId"], snapshot["bids"], snapshot["asks"]))
        frames = drive.Frames([text for text in messages if text.startswith(b'{"stream"')])
        assert drive.count_allocations(pipeline.connections[0], frames, 1, 1) == 0
        row = pipeline.row()
        assert (row["malformed"], row["unrouted"], row["fallbacks"]) == (0, 0, 0)
        assert pipeline.counters()["gaps"] == 0

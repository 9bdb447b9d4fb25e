"""Decode alone: bytes to an event of int64 mantissas, against msgspec into typed Structs and into dicts."""

from __future__ import annotations

import pytest

from benchmarks import corpus, rivals
from benchmarks.results import check_equal
from benchmarks.stage import PRODUCTS, TS
from fastfeed_core import drive

CASES = [
    pytest.param(product, kind, who, id=f"{product}-{kind}-{who}")
    for product in PRODUCTS
    for kind in corpus.KINDS
    for who in ("fastfeed", "msgspec-typed", "msgspec-untyped")
]


@pytest.mark.parametrize(("product", "kind", "who"), CASES)
def test_decode(benchmark, recording, product, kind, who):
    data = recording(product)
    frames = data.kinds[kind]
    benchmark.group = f"decode {product} {kind}, {len(frames)} messages"
    benchmark.extra_info["messages"] = len(frames)
    if who == "fastfeed":
        packed = data.packed[kind]
        with data.stage() as stage:
            drive.run(stage.connection, packed, TS)
            check_equal(stage, kind, frames)
            assert drive.decode(stage.connection, packed) == (len(frames), 0)
            benchmark.pedantic(drive.decode, (stage.connection, packed), rounds=11, warmup_rounds=1)
    else:
        decode = rivals.typed(product, kind) if who == "msgspec-typed" else rivals.untyped()
        benchmark.pedantic(rivals.drain, (decode, frames), rounds=11, warmup_rounds=1)

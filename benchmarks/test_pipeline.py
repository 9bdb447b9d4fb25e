"""Frame to ring: decode, sequence, book, publication; every round starts from the snapshot.

The bus is private memory and its clock is given; `python -m benchmarks.ratios` measures the same with a real bus.
"""

from __future__ import annotations

import contextlib

import pytest

from benchmarks import corpus, rivals
from benchmarks.results import check_equal
from benchmarks.stage import PRODUCTS, TS
from fastfeed_core import drive

ROUNDS = 9

CASES = [
    pytest.param(product, kind, who, id=f"{product}-{kind}-{who}")
    for product in PRODUCTS
    for kind in (*corpus.KINDS, "mix")
    for who in (
        "fastfeed",
        "msgspec-typed-decode-only",
        *(
            ("typed-sorteddict-int", "typed-sorteddict-decimal", "untyped-sorteddict-decimal")
            if kind == "depth"
            else ()
        ),
    )
]


def fresh_book(data, who):
    """Return a rival's book as of the snapshot."""
    book = rivals.DecimalBook()
    if who == "typed-sorteddict-int":
        book = rivals.IntegerBook(*((2, 3) if data.product.name == "usdm" else (8, 8)))
    rivals.start_book(book, data.product.name, data.held, data.snapshot)
    return book


@pytest.mark.parametrize(("product", "kind", "who"), CASES)
def test_pipeline(benchmark, recording, product, kind, who):
    data = recording(product)
    frames = data.kinds[kind]
    benchmark.group = f"pipeline {product} {kind}, {len(frames)} messages"
    benchmark.extra_info["messages"] = len(frames)
    if who == "fastfeed":
        packed = data.packed[kind]
        if kind != "mix":
            with data.stage() as stage:
                drive.run(stage.connection, packed, TS)
                check_equal(stage, kind, frames)
        with contextlib.ExitStack() as stages:
            last = []

            def setup():
                stages.close()  # the last round's
                last[:] = [stages.enter_context(data.stage())]
                return (last[0].connection, packed, TS), {}

            benchmark.pedantic(drive.run, setup=setup, rounds=ROUNDS, warmup_rounds=1)
            if kind in ("depth", "mix"):
                oracle = fresh_book(data, "typed-sorteddict-decimal")
                rivals.run_book(oracle, rivals.typed(product, "depth"), data.kinds["depth"])
                assert last[0].market.sequence == oracle.sequence
                assert last[0].market.levels() == oracle.levels(data.product.px_exp, data.product.sz_exp)
    elif who == "msgspec-typed-decode-only":
        decode = rivals.typed_mix(product) if kind == "mix" else rivals.typed(product, kind)
        benchmark.pedantic(rivals.drain, (decode, frames), rounds=ROUNDS, warmup_rounds=1)
    else:
        run = rivals.run_dicts if who.startswith("untyped") else rivals.run_book
        decode = rivals.untyped() if who.startswith("untyped") else rivals.typed(product, "depth")
        benchmark.pedantic(run, setup=lambda: ((fresh_book(data, who), decode, frames), {}), rounds=3)

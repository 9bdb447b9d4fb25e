"""What came out, in one form for ours and for the rivals: results are compared before anything is timed.

Ours is read from the ring, record by record, as a consumer would find it. A message becomes a tuple of mantissas:
(sequence, bid, bid size, ask, ask size), (id, price, size, taker bought), (prev_seq, last_seq, bids, asks).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from benchmarks.rivals import mantissa, typed
from benchmarks.stage import Product, Stage
from fastfeed_core.records import FORMATS, SIZES

__all__ = ["check_equal", "ours", "theirs"]

_LINE = 64
_KINDS = {1: "BboRecord", 2: "TradeRecord", 3: "LevelsRecord"}


def _ints(memory: memoryview, at: int, struct: str) -> dict[str, int]:
    """Fields of a struct whose numbers are integers."""
    out = {}
    for (name, kind, count, offset), (_, _, _, end) in pairwise([*FORMATS[struct], ("", "", 0, SIZES[struct])]):
        if kind[0] in "iu":
            size = int(kind[1:])
            width = size * count if kind == "u1" and count > 1 else size
            if offset + width <= end:
                out[name] = int.from_bytes(memory[at + offset : at + offset + width], "little", signed=kind[0] == "i")
    return out


def ours(stage: Stage) -> list[tuple[Any, ...]]:
    """Return the messages that the stage wrote since its start; the ring must not have wrapped."""
    with memoryview(stage.bus.map) as memory:
        header = _ints(memory, 0, "BusHeader")
        base = header["ring_offset"]
        if stage.bus.position > header["ring_capacity"]:
            raise AssertionError("the ring has wrapped: it must hold a whole round")
        block = header["ring_capacity"] // 64
        position = stage.start
        out: list[tuple[Any, ...]] = []
        parts: list[tuple[int, int]] = []
        bids = 0
        while position < stage.bus.position:
            at = base + position
            length = int.from_bytes(memory[at + 12 : at + 14], "little")
            kind = memory[at + 14]
            if kind == 255:
                position = (position // block + 1) * block
                continue
            position += (length + _LINE - 1) // _LINE * _LINE
            r = _ints(memory, at, _KINDS[kind])
            if kind == 1:
                out.append((r["sequence"], r["bid_px"], r["bid_sz"], r["ask_px"], r["ask_sz"]))
            elif kind == 2:
                out.append((r["trade_id"], r["px"], r["sz"], r["side"]))
            else:
                words = memory[at + SIZES["LevelsRecord"] : at + length].cast("q").tolist()
                parts += zip(words[::2], words[1::2], strict=True)
                bids += r["n_bids"]
                if r["flags"] & 2:
                    out.append((r["prev_sequence"], r["sequence"], parts[:bids], parts[bids:]))
                    parts, bids = [], 0
    return out


def theirs(product: Product, kind: str, frames: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """Return the same messages as the typed rival reads them."""
    decode = typed(product.name, kind)

    def px(text: str) -> int:
        return mantissa(text, product.px_exp)

    def sz(text: str) -> int:
        return mantissa(text, product.sz_exp)

    out: list[tuple[Any, ...]] = []
    for frame in frames:
        m = decode(frame).data
        if kind == "bookTicker":
            out.append((m.u, px(m.b), sz(m.B), px(m.a), sz(m.A)))
        elif kind == "trade":
            out.append((m.t, px(m.p), sz(m.q), m.m))
        else:
            previous = m.pu if hasattr(m, "pu") else m.U - 1
            out.append((previous, m.u, *([(px(p), sz(q)) for p, q in side] for side in (m.b, m.a))))
    return out


def check_equal(stage: Stage, kind: str, frames: Iterable[bytes]) -> None:
    """Compare what the stage wrote with what the rival reads.

    Raises
    ------
    AssertionError : the first message that differs
    """
    expected = theirs(stage.product, kind, frames)
    found = ours(stage)
    if kind == "trade":
        # The side is an enum: the same taker's side must always be the same number.
        sides = {theirs_[3]: ours_[3] for theirs_, ours_ in zip(expected, found, strict=False)}
        expected = [(*row[:3], sides[row[3]]) for row in expected]
        if len(set(sides.values())) != len(sides):
            raise AssertionError("both sides of trades are the same")
    if len(found) != len(expected):
        raise AssertionError(f"messages: expected {len(expected)}, was {len(found)}")
    for i, (one, other) in enumerate(zip(expected, found, strict=True)):
        if one != other:
            raise AssertionError(f"message {i}: expected {one}, was {other}")

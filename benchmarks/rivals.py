"""The rivals: what the same work costs with the fastest building blocks that Python has.

`typed` is the tightest decoder there is: msgspec into Structs that the garbage collector does not track, with only the
fields that we read (msgspec skips the others), pairs as tuples (faster than lists), drained by a loop in C. It stops at
strings: neither numbers nor sequences nor a book. The books below do the rest of the work, with `SortedDict`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from operator import neg
from typing import Any, Protocol

import msgspec
from sortedcontainers import SortedDict

__all__ = [
    "DecimalBook",
    "IntegerBook",
    "drain",
    "mantissa",
    "run_book",
    "run_dicts",
    "start_book",
    "typed",
    "typed_mix",
    "untyped",
]


class SpotDepth(msgspec.Struct, gc=False):
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class UsdmDepth(msgspec.Struct, gc=False):
    E: int
    T: int
    s: str
    U: int
    u: int
    pu: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class SpotBbo(msgspec.Struct, gc=False):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class UsdmBbo(msgspec.Struct, gc=False):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int
    E: int


class Trade(msgspec.Struct, gc=False):
    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


def _envelope(payload: type) -> type:
    return msgspec.defstruct(f"Of{payload.__name__}", [("stream", str), ("data", payload)], gc=False)


_TYPES = {
    ("spot", "depth"): SpotDepth,
    ("usdm", "depth"): UsdmDepth,
    ("spot", "bookTicker"): SpotBbo,
    ("usdm", "bookTicker"): UsdmBbo,
    ("spot", "trade"): Trade,
    ("usdm", "trade"): Trade,
}


def typed(product: str, kind: str) -> Callable[[bytes], Any]:
    """Return the decode function of one kind of message."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_envelope(_TYPES[product, kind]))
    return decoder.decode


def untyped() -> Callable[[bytes], Any]:
    """Return the decode function into dicts and lists."""
    return msgspec.json.Decoder().decode


def typed_mix(product: str) -> Callable[[bytes], Any]:
    """Return a decode function for all kinds: the topic tells which type to read, as in ours."""
    depth, bbo, trade = (typed(product, kind) for kind in ("depth", "bookTicker", "trade"))

    def decode(frame: bytes) -> Any:
        # btcusdt@d.., btcusdt@b.., btcusdt@t..: the letter behind the @
        letter = frame[19]
        if letter == 98:
            return bbo(frame)
        return trade(frame) if letter == 116 else depth(frame)

    return decode


def drain(decode: Callable[[bytes], Any], frames: Iterable[bytes]) -> None:
    """Decode all frames and drop the results, without a bytecode between two of them."""
    deque(map(decode, frames), maxlen=0)


def mantissa(text: str, exponent: int) -> int:
    """Return the mantissa of a decimal text, exact."""
    value = Decimal(text).scaleb(-exponent)
    whole = int(value)
    if whole != value:
        raise ValueError(f"not exact with exponent {exponent}: {text}")
    return whole


class Book(Protocol):
    """What `run_book` needs: apply pairs of texts to both sides, tell the levels as mantissas, best first."""

    sequence: int

    def apply(self, bids: Iterable[Sequence[str]], asks: Iterable[Sequence[str]]) -> None: ...

    def levels(self, px_exp: int, sz_exp: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...


class DecimalBook:
    """Sides are sorted dicts of Decimal: what most Python feed handlers do."""

    def __init__(self) -> None:
        self.sequence = 0
        self.bids: Any = SortedDict(neg)
        self.asks: Any = SortedDict()

    def apply(self, bids: Iterable[Sequence[str]], asks: Iterable[Sequence[str]]) -> None:
        for side, pairs in ((self.bids, bids), (self.asks, asks)):
            for px, sz in pairs:
                price = Decimal(px)
                size = Decimal(sz)
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def levels(self, px_exp: int, sz_exp: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return tuple(  # type: ignore[return-value]
            [(int(px.scaleb(-px_exp)), int(sz.scaleb(-sz_exp))) for px, sz in side.items()]
            for side in (self.bids, self.asks)
        )


class IntegerBook:
    """Sides are sorted dicts of int mantissas; the venue's texts have fixed decimals, so the point is just dropped."""

    def __init__(self, px_decimals: int, sz_decimals: int) -> None:
        self.sequence = 0
        self.px_decimals = px_decimals
        self.sz_decimals = sz_decimals
        self.bids: Any = SortedDict(neg)
        self.asks: Any = SortedDict()

    def apply(self, bids: Iterable[Sequence[str]], asks: Iterable[Sequence[str]]) -> None:
        for side, pairs in ((self.bids, bids), (self.asks, asks)):
            for px, sz in pairs:
                price = int(px.replace(".", ""))
                size = int(sz.replace(".", ""))
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def apply_mantissas(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Apply pairs that are mantissas already."""
        for side, pairs in ((self.bids, bids), (self.asks, asks)):
            for px, sz in pairs:
                if sz:
                    side[px] = sz
                else:
                    side.pop(px, None)

    def levels(self, px_exp: int, sz_exp: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        px_factor = 10 ** (-px_exp - self.px_decimals)
        sz_factor = 10 ** (-sz_exp - self.sz_decimals)
        return tuple(  # type: ignore[return-value]
            [(px * px_factor, sz * sz_factor) for px, sz in side.items()] for side in (self.bids, self.asks)
        )


def start_book(book: Book, product: str, held: Iterable[bytes], snapshot: bytes) -> None:
    """Bring a book to the state in which ours starts: the snapshot and what was held for it."""
    body = msgspec.json.decode(snapshot)
    book.apply(body["bids"], body["asks"])
    book.sequence = body["lastUpdateId"]
    run_book(book, typed(product, "depth"), held)


def run_book(book: Book, decode: Callable[[bytes], Any], frames: Iterable[bytes]) -> None:
    """Decode deltas into Structs and apply those that are new, with the sequence checked."""
    sequence = book.sequence
    for frame in frames:
        delta = decode(frame).data
        if delta.u <= sequence:
            continue
        previous = delta.pu if hasattr(delta, "pu") else delta.U - 1
        if previous > sequence:
            raise AssertionError(f"sequence gap: expected {sequence}, was {previous}")
        book.apply(delta.b, delta.a)
        sequence = delta.u
    book.sequence = sequence


def run_dicts(book: Book, decode: Callable[[bytes], Any], frames: Iterable[bytes]) -> None:
    """The same from dicts."""
    sequence = book.sequence
    for frame in frames:
        delta = decode(frame)["data"]
        if delta["u"] <= sequence:
            continue
        previous = delta["pu"] if "pu" in delta else delta["U"] - 1
        if previous > sequence:
            raise AssertionError(f"sequence gap: expected {sequence}, was {previous}")
        book.apply(delta["b"], delta["a"])
        sequence = delta["u"]
    book.sequence = sequence

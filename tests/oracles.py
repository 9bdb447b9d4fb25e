"""What the compiled code is held against: slow, plain and independent of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sortedcontainers import SortedDict


class OracleBook:
    """An order book of decimals in two SortedDicts."""

    def __init__(self) -> None:
        self.bids: SortedDict = SortedDict()
        self.asks: SortedDict = SortedDict()
        self.sequence: int | None = None

    def load(self, snapshot: dict[str, Any]) -> None:
        self.bids = SortedDict({Decimal(p): Decimal(q) for p, q in snapshot["bids"]})
        self.asks = SortedDict({Decimal(p): Decimal(q) for p, q in snapshot["asks"]})
        self.sequence = snapshot["lastUpdateId"]

    def apply(self, diff: dict[str, Any]) -> None:
        """Apply a diff unless it is old; it must connect."""
        if diff["u"] <= self.sequence:
            return
        before = diff["pu"] if "pu" in diff else diff["U"] - 1
        assert before <= self.sequence, "the recording has a gap"
        self.sequence = diff["u"]
        for side, levels in ((self.bids, diff["b"]), (self.asks, diff["a"])):
            for price, size in levels:
                if Decimal(size):
                    side[Decimal(price)] = Decimal(size)
                else:
                    side.pop(Decimal(price), None)

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Both sides, best first."""
        return list(reversed(self.bids.items())), list(self.asks.items())

    def snapshot(self, limit: int | None = None) -> bytes:
        """The REST reply of this book."""
        bids, asks = ([[str(p), str(q)] for p, q in side[:limit]] for side in self.levels())
        return json.dumps({"lastUpdateId": self.sequence, "bids": bids, "asks": asks}).encode()


def read_2024(folder: Path, product: str) -> Iterator[bytes]:
    """Messages of a 2024 recording, in order; the REST snapshot stands among them."""
    with gzip.open(folder / "binance_2024" / f"{product}_btcusdt.jsonl.gz") as file:
        for line in file:
            yield line.rstrip(b"\n").split(b" ", 1)[1]


def final_book_2024(folder: Path, product: str) -> OracleBook:
    """The book at the end of a 2024 recording."""
    messages = [json.loads(text) for text in read_2024(folder, product) if b'bookTicker"' not in text[:40]]
    book = OracleBook()
    book.load(next(message for message in messages if "stream" not in message))
    for message in messages:
        if "depth" in message.get("stream", ""):
            book.apply(message["data"])
    return book

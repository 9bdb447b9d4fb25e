"""What a recorded Bybit message needs to be one of today, and what it needs for a listing.

The recording is of 2024-12-01, one bare JSON message a line, without times of arrival and without a listing. Its topic
`orderbook.500` was removed in 2025 (bybit-exchange.github.io/docs/changelog/v5); all else is as it was. So its messages
are given the topic of the default depth, 200, and go to clients of 1000 as well; either way they carry the 500 levels a
side that the venue sent. They arrive when the venue says that it sent them. Tick and lot are the decimals of the first
snapshot, because the venue writes all numbers of futures with those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from fastfeed.sim.market import Instrument
from fastfeed.sim.profiles.bybit.products import INVERSE, LINEAR, SPOT, Product

SERVED_DEPTHS = (200, 1000)

_BOOK = re.compile(rb'\{"topic":"(orderbook\.\d+\.([A-Z0-9]+))","(type|ts)":')

# How symbols end, longer ones first: the ending and the quote.
_ENDINGS = (("USDT", "USDT"), ("USDC", "USDC"), ("PERP", "USDC"), ("USD", "USD"), ("BTC", "BTC"), ("EUR", "EUR"))


class BookLine(NamedTuple):
    """A recorded message of a book: when it was sent (ns), its product, symbol, and text as of today."""

    ts: int
    product: Product
    symbol: str
    text: bytes


def served_topic(symbol: str) -> str:
    """Return the topic under which a recorded book is served."""
    return f"orderbook.{SERVED_DEPTHS[0]}.{symbol}"


def read_books(folder: Path) -> Iterator[BookLine]:
    """Read the messages of books in a folder, of spot and of perpetuals; other files and lines are skipped."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            if match := _BOOK.match(line):
                symbol = match[2].decode()
                text = line.replace(match[1], served_topic(symbol).encode(), 1)
                product = _product(symbol, is_spot=match[3] == b"ts")
                yield BookLine(json.loads(line)["ts"] * 1_000_000, product, symbol, text)


def derive(line: BookLine) -> Instrument:
    """Make the instrument of a book from its first snapshot."""
    data = json.loads(line.text)["data"]
    tick, lot = (_step([level[field] for level in data["b"] + data["a"]]) for field in (0, 1))
    ending, quote = next(pair for pair in _ENDINGS if line.symbol.endswith(pair[0]))
    base = line.symbol.removesuffix(ending)
    settle = {SPOT: None, LINEAR: quote, INVERSE: base}[line.product]
    name = f"{base}/{quote}" + (f":{settle}" if settle else "")
    inverse = line.product is INVERSE
    zero = Decimal(0)
    return Instrument(name, line.symbol, base, quote, tick, lot, zero, zero, settle, inverse=inverse)


def _product(symbol: str, is_spot: bool) -> Product:
    """Tell the product of a book: spot and futures write their fields in another order, and coins end as they do."""
    if is_spot:
        return SPOT
    return INVERSE if symbol.endswith("USD") else LINEAR


def _step(texts: list[str]) -> Decimal:
    return Decimal(1).scaleb(-max(len(text.partition(".")[2]) for text in texts))

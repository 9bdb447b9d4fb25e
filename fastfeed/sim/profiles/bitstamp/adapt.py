"""What the recording lacks of today's wire, added here and nowhere else.

The recording is of January 2022. Its messages are those of today, word by word. Three things are not in it:

- the listing: `/trading-pairs-info/` was recorded, which is obsolete; `market_row` makes rows of `/markets/` of it;
- a market that is not in a recorded listing, or no listing at all: `derived_row` makes a row of its book;
- the channel `order_book_*`: only differences were subscribed to. `whole_books` makes of each difference, from the
  recorded REST book on, the message that the channel sends when a book has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fastfeed.sim.profiles.bitstamp.markets import PERPETUAL
from fastfeed.sim.replay import RecordedFrame

DEPTH = 100

# Splits a symbol where no listing was recorded; the longer ones stand before their endings.
_QUOTES = ("usdt", "usdc", "pax", "usd", "eur", "gbp", "btc", "eth")


class TextBook:
    """A book of the decimals that the venue wrote."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        self.microtimestamp = int(snapshot["microtimestamp"])
        self._times = snapshot["timestamp"], snapshot["microtimestamp"]
        self._sides = dict(snapshot["bids"]), dict(snapshot["asks"])

    def apply(self, diff: Mapping[str, Any]) -> bool:
        """Apply a difference; say whether it is newer than the book."""
        if int(diff["microtimestamp"]) <= self.microtimestamp:
            return False
        self.microtimestamp = int(diff["microtimestamp"])
        self._times = diff["timestamp"], diff["microtimestamp"]
        for side, levels in zip(self._sides, (diff["bids"], diff["asks"]), strict=True):
            for price, size in levels:
                if size.strip("0."):
                    side[price] = size
                else:
                    side.pop(price, None)
        return True

    def body(self, limit: int | None = None) -> str:
        """Return the book as JSON, bids falling and asks rising. O(levels)."""
        bids, asks = (sorted(side.items(), key=lambda level: Decimal(level[0])) for side in self._sides)
        timestamp, microtimestamp = self._times
        book = {
            "timestamp": timestamp,
            "microtimestamp": microtimestamp,
            "bids": bids[::-1][:limit],
            "asks": asks[:limit],
        }
        return json.dumps(book, separators=(",", ":"))


def market_row(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `/markets/` for one of `/trading-pairs-info/`."""
    base, _, counter = old["name"].partition("/")
    return {
        "name": old["name"],
        "market_symbol": old["url_symbol"],
        "base_currency": base,
        "base_decimals": old["base_decimals"],
        "counter_currency": counter,
        "counter_decimals": old["counter_decimals"],
        "minimum_order_value": old["minimum_order"].partition(" ")[0],
        "trading": old["trading"],
        "instant_order_counter_decimals": old["counter_decimals"],
        "instant_and_market_orders": old["instant_and_market_orders"],
        "description": old["description"],
        "market_type": "SPOT",
    }


def derived_row(symbol: str, snapshot: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a row of `/markets/` for a market of which only a book is known: it has the decimals that the book has."""
    level = next(iter((snapshot or {}).get("bids") or (snapshot or {}).get("asks") or ()), ("0.00000001", "0.00000001"))
    price_decimals, size_decimals = (len(text.partition(".")[2]) for text in level)
    pair = symbol.removesuffix(PERPETUAL)
    quote = next((quote for quote in _QUOTES if pair.endswith(quote)), pair[-3:])
    base = pair.removesuffix(quote)
    return {
        "name": f"{base}/{quote}".upper(),
        "market_symbol": symbol,
        "base_currency": base.upper(),
        "base_decimals": size_decimals,
        "counter_currency": quote.upper(),
        "counter_decimals": price_decimals,
        "trading": "Enabled",
        "market_type": "PERPETUAL" if symbol.endswith(PERPETUAL) else "SPOT",
    }


def whole_books(frames: Iterable[RecordedFrame], snapshots: Mapping[str, Mapping[str, Any]]) -> Iterator[RecordedFrame]:
    """Yield `frames` in order, and after each difference that changes a book the message of `order_book_*` about it."""
    books = {symbol: TextBook(snapshot) for symbol, snapshot in snapshots.items()}
    for frame in frames:
        yield frame
        kind, _, symbol = frame.publication.topic.rpartition("_")
        if kind != "diff_order_book" or symbol not in books:
            continue
        if not books[symbol].apply(json.loads(frame.text)["data"]):
            continue
        topic = f"order_book_{symbol}"
        text = f'{{"data":{books[symbol].body(DEPTH)},"channel":"{topic}","event":"data"}}'.encode()
        yield RecordedFrame(frame.ts, text, replace(frame.publication, topic=topic, data=text))

"""What a recording says by itself: final books and trades, read by a few lines of plain Python a venue."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

Side = dict[Decimal, Decimal]
Trade = tuple[str, Decimal, Decimal, str]  # id, price, size, taker's side


@dataclass
class Recorded:
    """Books (bids, asks), trades, and the texts of all prices and sizes, by the venue's symbol in capitals."""

    books: dict[str, tuple[Side, Side]] = field(default_factory=dict)
    trades: dict[str, list[Trade]] = field(default_factory=dict)
    texts: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)

    def see(self, symbol: str, price: Any, size: Any) -> None:
        prices, sizes = self.texts.setdefault(symbol.upper(), (set(), set()))
        prices.add(price if isinstance(price, str) else f"{price:f}")
        sizes.add(size if isinstance(size, str) else f"{size:f}")

    def load(self, symbol: str, bids: Any, asks: Any) -> None:
        self.books[symbol.upper()] = ({}, {})
        self.apply(symbol, bids, asks)

    def apply(self, symbol: str, bids: Any, asks: Any) -> None:
        for side, levels in zip(self.books[symbol.upper()], (bids, asks), strict=True):
            for price, size, *_ in levels:
                self.see(symbol, price, size)
                if Decimal(size):
                    side[Decimal(price)] = Decimal(size)
                else:
                    side.pop(Decimal(price), None)

    def trade(self, symbol: str, number: Any, price: Any, size: Any, side: str) -> None:
        self.see(symbol, price, size)
        self.trades.setdefault(symbol.upper(), []).append((str(number), Decimal(price), Decimal(size), side))


def loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def messages(path: Path) -> Iterator[Any]:
    """Frames that were received on the WebSocket."""
    for line in path.read_text().splitlines():
        found = re.match(r"\d+\.\d+: (\{.*)", line)
        if found:
            yield loads(found[1])


def replies(path: Path) -> Iterator[tuple[str, Any]]:
    """(URL, body) of REST calls."""
    for line in path.read_text().splitlines():
        found = re.match(r"(\S+) -> \d+\.\d+: (.*)", line)
        if found:
            yield found[1], loads(found[2])


def read_binance(folder: Path) -> Recorded:
    out = Recorded()
    sequences = {}
    for url, body in replies(folder / "rest.txt"):
        symbol = re.search(r"symbol=(\w+)", url)[1]
        sequences[symbol] = body["lastUpdateId"]
        out.load(symbol, body["bids"], body["asks"])
    for message in messages(folder / "ws.txt"):
        data = message["data"]
        if data["e" if "e" in data else "u"] == "depthUpdate" and data["u"] > sequences[data["s"]]:
            out.apply(data["s"], data["b"], data["a"])
        elif data.get("e") == "aggTrade":
            out.trade(data["s"], data["a"], data["p"], data["q"], "sell" if data["m"] else "buy")
    return out


def read_bybit(folder: Path) -> Recorded:
    out = Recorded()
    for line in (folder / "orderbook500.jsonl").read_text().splitlines():
        message = loads(line)
        put = out.load if message["type"] == "snapshot" else out.apply
        put(message["data"]["s"], message["data"]["b"], message["data"]["a"])
    return out


def read_okx(folder: Path) -> Recorded:
    out = Recorded()
    for message in messages(folder / "ws.txt"):
        channel, symbol = message.get("arg", {}).get("channel"), message.get("arg", {}).get("instId")
        for data in message.get("data", ()):
            if channel == "books":
                put = out.load if message["action"] == "snapshot" else out.apply
                put(symbol, data["bids"], data["asks"])
            elif channel == "trades":
                out.trade(symbol, data["tradeId"], data["px"], data["sz"], data["side"])
    return out


def read_deribit(folder: Path) -> Recorded:
    out = Recorded()
    for message in messages(folder / "ws.txt"):
        data = message.get("params", {}).get("data", {})
        if "change_id" in data:
            put = out.load if data["type"] == "snapshot" else out.apply
            sides = ([[price, 0 if action == "delete" else size] for action, price, size in data[side]]
                     for side in ("bids", "asks"))  # fmt: skip
            put(data["instrument_name"], *sides)
    return out


def read_bitstamp(folder: Path) -> Recorded:
    out = Recorded()
    times = {}
    for url, body in replies(folder / "rest.txt"):
        symbol = url.rstrip("/").rpartition("/")[2]
        times[symbol] = int(body["microtimestamp"])
        out.load(symbol, body["bids"], body["asks"])
    for message in messages(folder / "ws.txt"):
        symbol, data = message["channel"].rpartition("_")[2], message["data"]
        if message["event"] == "data" and int(data["microtimestamp"]) > times[symbol]:
            out.apply(symbol, data["bids"], data["asks"])
        elif message["event"] == "trade":
            out.trade(symbol, data["id"], data["price_str"], data["amount_str"], ("buy", "sell")[data["type"]])
    return out


def read_krakenfutures(folder: Path) -> Recorded:
    out = Recorded()
    for message in messages(folder / "ws.txt"):
        feed, symbol = message.get("feed"), message.get("product_id")
        if "event" in message:
            continue
        if feed == "book_snapshot":
            out.load(symbol, *([[each["price"], each["qty"]] for each in message[side]] for side in ("bids", "asks")))
        elif feed == "book":
            level = [[message["price"], message["qty"]]]
            out.apply(symbol, *((level, []) if message["side"] == "buy" else ([], level)))
        elif feed == "trade":
            out.trade(symbol, UUID(message["uid"]), message["price"], message["qty"], message["side"])
    return out


@dataclass(frozen=True)
class Recording:
    """A folder of recordings: whose it is, who reads it, and what a feed must ask for to get what it holds."""

    venue: str
    read: Callable[[Path], Recorded]
    options: dict[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ("book", "trade")


RECORDINGS = {
    "binance": Recording("binance", read_binance, {"trades": "aggregate"}, ("book", "bbo", "trade")),
    "binance_usdm": Recording("binance", read_binance, {"trades": "aggregate"}, ("book", "bbo", "trade")),
    "bybit": Recording("bybit", read_bybit),
    "okx": Recording("okx", read_okx, {"trades": "aggregate"}, ("book", "trade", "ticker")),
    "deribit": Recording("deribit", read_deribit, {}, ("book", "trade", "ticker")),
    "bitstamp": Recording("bitstamp", read_bitstamp, {"book": "diff"}),
    "kraken_futures": Recording("krakenfutures", read_krakenfutures, {}, ("book", "trade", "ticker")),
}

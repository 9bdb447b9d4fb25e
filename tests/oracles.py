"""What the compiled code is held against: slow, plain and independent of it."""

from __future__ import annotations

import gzip
import json
import re
import string
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sortedcontainers import SortedDict

from fastfeed_core.decimal import parse_any


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


class Refused(Exception):
    """A strict reader would not take this frame."""


class _Integer(int):
    """A JSON number that was written as an integer; `text` is how."""

    text: str


class _Number:
    """A JSON number with a fraction or an exponent; `text` is how it was written."""

    def __init__(self, text: str) -> None:
        self.text = text


def _integer(text: str) -> _Integer:
    value = _Integer(text)
    value.text = text
    return value


def _refuse(word: str) -> None:
    raise ValueError(word)


def strict_json(text: bytes) -> Any:
    """Decode RFC 8259 text; objects as lists of (key, value) in a tuple ("object", [...]), so that repeats are seen."""
    decoded = text.decode("utf-8")
    if decoded.startswith("\ufeff"):
        raise ValueError("a byte order mark")
    return json.loads(decoded, parse_constant=_refuse, parse_int=_integer, parse_float=_Number,
                      object_pairs_hook=lambda pairs: ("object", pairs))  # fmt: skip


NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?:[eE]([+-]?[0-9]+))?", re.ASCII)


def mantissa(text: str, exponent: int) -> int:
    """The integer whose product with 10**exponent is the JSON number `text`; Refused if there is none in int64."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise Refused(f"no number: {text!r}")
    plain = Decimal(match[1])
    if not plain:
        return 0
    power = int(match[2] or "0") - exponent
    if abs(power) > 100:
        raise Refused("far out of range")
    sign, digits, own = plain.as_tuple()
    shift = int(own) + power
    whole = int("".join(map(str, digits)))
    whole, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    if rest or whole >= 2**63:
        raise Refused("inexact or out of range")
    return -whole if sign else whole


class StrictBinance:
    """What a strict and slow reader makes of a combined stream frame.

    Parameters
    ----------
    px_exp, sz_exp : of the one instrument
    topics : channel by topic; bars are of one minute
    """

    MAX_MS = (2**63 - 1) // 10**6

    def __init__(self, px_exp: int, sz_exp: int, topics: dict[str, str], symbol: str = "BTCUSDT") -> None:
        self.px_exp = px_exp
        self.sz_exp = sz_exp
        self.topics = topics
        self.symbol = symbol

    def read(self, text: bytes) -> dict[str, Any] | None:
        """The event's fields in mantissas and ns; None for what is none of an instrument; Refused."""
        try:
            frame = strict_json(text)
        except (ValueError, RecursionError) as error:
            raise Refused(str(error)) from None
        outer = self._known(frame, {"stream", "data"})
        if "stream" in outer and not isinstance(outer["stream"], str):
            raise Refused("stream")
        if len(outer) < 2 or outer["stream"] not in self.topics:
            return None
        channel = self.topics[outer["stream"]]
        readers = {"book": self._depth, "bbo": self._quote, "trade": self._trade, "ticker": self._ticker,
                   "bar": self._bar, "liquidation": self._forced_order}  # fmt: skip
        return readers[channel](outer["data"])

    def _known(self, value: Any, names: set[str]) -> dict[str, Any]:
        """The fields of these names; others do not matter."""
        if not (isinstance(value, tuple) and value[0] == "object"):
            raise Refused("not an object")
        found: dict[str, Any] = {}
        for key, inner in value[1]:
            if key in names:
                if key in found:
                    raise Refused(f"{key} is repeated")
                found[key] = inner
        return found

    def _fields(self, data: Any, required: str, optional: str = "") -> dict[str, Any]:
        fields = self._known(data, {*required.split(), *optional.split()})
        for name in required.split():
            if name not in fields:
                raise Refused(f"{name} is missing")
        if fields["s"] != self.symbol:
            raise Refused("symbol")
        for name in ("E", "T"):
            if name in fields:
                fields[name] = self._count(fields[name], self.MAX_MS) * 10**6
        return fields

    def _count(self, value: Any, greatest: int = 2**63 - 1) -> int:
        if not isinstance(value, _Integer) or not 0 <= value <= greatest:
            raise Refused(f"no count: {value!r}")
        return int(value)

    def _amount(self, value: Any, exponent: int) -> int:
        """A number that is not negative, in quotes or bare."""
        text = value if isinstance(value, str) else getattr(value, "text", None)
        if text is None:
            raise Refused(f"no number: {value!r}")
        found = mantissa(text, exponent)
        if found < 0:
            raise Refused("negative")
        return found

    def _pairs(self, value: Any) -> list[tuple[int, int]]:
        if not isinstance(value, list):
            raise Refused("no list of levels")
        for pair in value:
            if not isinstance(pair, list) or len(pair) != 2:
                raise Refused("no pair")
        return [(self._amount(px, self.px_exp), self._amount(sz, self.sz_exp)) for px, sz in value]

    def _depth(self, data: Any) -> dict[str, Any]:
        fields = self._fields(data, "e E s U u b a", "T pu")
        first, last = self._count(fields["U"]), self._count(fields["u"])
        before = self._count(fields["pu"]) if "pu" in fields else first - 1
        if fields["e"] != "depthUpdate" or first > last or before >= last:
            raise Refused("e, U, u or pu")
        bids, asks = self._pairs(fields["b"]), self._pairs(fields["a"])
        return {"kind": "delta", "prev_sequence": before, "sequence": last, "bids": bids, "asks": asks,
                "ts_event": fields.get("T", fields["E"]), "ts_send": fields["E"]}  # fmt: skip

    def _quote(self, data: Any) -> dict[str, Any]:
        fields = self._fields(data, "u s b B a A", "e E T")
        if fields.get("e", "bookTicker") != "bookTicker":
            raise Refused("e")
        bid_sz, ask_sz = (self._amount(fields[name], self.sz_exp) for name in "BA")
        bid_px, ask_px = (self._amount(fields[name], self.px_exp) for name in "ba")
        return {"kind": "bbo", "sequence": self._count(fields["u"]), "bid_px": bid_px if bid_sz else None,
                "bid_sz": bid_sz, "ask_px": ask_px if ask_sz else None, "ask_sz": ask_sz,
                "ts_event": fields.get("T"), "ts_send": fields.get("E")}  # fmt: skip

    def _trade(self, data: Any) -> dict[str, Any] | None:
        fields = self._fields(data, "e E T s p q m", "t a X")
        own, other = {"trade": "ta", "aggTrade": "at"}.get(fields["e"] if isinstance(fields["e"], str) else "", "??")
        if own not in fields or other in fields or not isinstance(fields["m"], bool):
            raise Refused("e, t, a or m")
        if not isinstance(fields.get("X", ""), str):
            raise Refused("X")
        trade = {"kind": "trade", "trade_id": self._count(fields[own]), "px": self._amount(fields["p"], self.px_exp),
                 "sz": self._amount(fields["q"], self.sz_exp), "side": "sell" if fields["m"] else "buy",
                 "ts_event": fields["T"], "ts_send": fields["E"]}  # fmt: skip
        return trade if fields.get("X", "MARKET") == "MARKET" else None

    def _letters(self, data: Any, required: str) -> dict[str, Any]:
        """The fields whose names have one letter, none of them twice."""
        fields = self._known(data, set(string.ascii_letters))
        if not set(required) <= fields.keys():
            raise Refused("a field is missing")
        return fields

    def _figure(self, value: Any, signed: bool = False) -> Decimal | None:
        """A number of any exponent; None where the venue says that it has none."""
        if value is None or value == "":
            return None
        text = value if isinstance(value, str) else getattr(value, "text", None)
        if text is None or NUMBER.fullmatch(text) is None:
            raise Refused(f"no number: {value!r}")
        try:
            digits, exponent = parse_any(text.encode())
        except ValueError as error:
            raise Refused(str(error)) from None
        if digits < 0 and not signed:
            raise Refused("negative")
        return Decimal(digits).scaleb(exponent)

    def _ticker(self, data: Any) -> dict[str, Any] | None:
        fields = self._letters(data, "eEs")
        if fields["s"] != self.symbol:
            raise Refused("symbol")
        ts = self._count(fields["E"], self.MAX_MS) * 10**6
        found: dict[str, Any] = {}
        if fields["e"] == "24hrTicker":
            fields = self._letters(data, "cv")
            found = {"last": self._figure(fields["c"]), "volume": self._figure(fields["v"])}
        elif fields["e"] == "markPriceUpdate":
            fields = self._letters(data, "pirT")
            due = self._count(fields["T"], self.MAX_MS) * 10**6
            found = {"mark_price": self._figure(fields["p"]), "index_price": self._figure(fields["i"]),
                     "funding_rate": self._figure(fields["r"], signed=True),
                     "next_funding_time": due or None}  # fmt: skip
        else:
            raise Refused("e")
        found = {name: value for name, value in found.items() if value is not None}
        return {"kind": "ticker", "ts_event": ts, "ts_send": ts, **found} if found else None

    def _bar(self, data: Any) -> dict[str, Any]:
        fields = self._letters(data, "eEsk")
        bar = self._letters(fields["k"], "tsiohlcvx")
        if (fields["e"], fields["s"], bar["s"], bar["i"]) != ("kline", self.symbol, self.symbol, "1m"):
            raise Refused("e, s or i")
        volume = None if bar["v"] is None or bar["v"] == "" else self._figure(bar["v"])
        if volume is None or not isinstance(bar["x"], bool):
            raise Refused("v or x")
        ts = self._count(fields["E"], self.MAX_MS) * 10**6
        prices = {name: self._amount(bar[name[0]], self.px_exp) for name in ("open", "high", "low", "close")}
        return {"kind": "bar", "ts_event": ts, "ts_send": ts, "start": self._count(bar["t"], self.MAX_MS) * 10**6,
                "interval": 60, "volume": volume, "closed": bar["x"], **prices}  # fmt: skip

    def _forced_order(self, data: Any) -> dict[str, Any]:
        fields = self._letters(data, "eEo")
        order = self._letters(fields["o"], "sSpqT")
        if fields["e"] != "forceOrder" or order["s"] != self.symbol or order["S"] not in ("BUY", "SELL"):
            raise Refused("e, s or S")
        return {"kind": "liquidation", "side": order["S"].lower(), "px": self._amount(order["p"], self.px_exp),
                "sz": self._amount(order["q"], self.sz_exp),
                "ts_event": self._count(order["T"], self.MAX_MS) * 10**6,
                "ts_send": self._count(fields["E"], self.MAX_MS) * 10**6}  # fmt: skip

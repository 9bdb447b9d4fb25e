"""What a strict and slow reader makes of OKX's frames: the decoder is held against it, on whatever bytes."""

from __future__ import annotations

import re
from typing import Any

from oracles import Refused, _Integer, mantissa, strict_json

MAX_MS = (2**63 - 1) // 10**6
SIDES = {"buy": "buy", "sell": "sell"}
LIMITS = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50, "books5": 5, "bbo-tbt": 1}
VALUES = {
    "tickers": ("last", "last"),
    "mark-price": ("markPx", "mark_price"),
    "index-tickers": ("idxPx", "index_price"),
    "open-interest": ("oi", "open_interest"),
    "funding-rate": ("fundingRate", "funding_rate"),
}


class StrictOkx:
    """Reads frames of the topics of one instrument.

    Parameters
    ----------
    px_exp, sz_exp : of the instrument
    topics : texts of what was subscribed to, channel and instId with a colon between
    """

    def __init__(self, px_exp: int, sz_exp: int, topics: set[str]) -> None:
        self.px_exp = px_exp
        self.sz_exp = sz_exp
        self.topics = topics

    def read(self, text: bytes) -> list[dict[str, Any]] | str:
        """The events' fields in mantissas and ns; "control" or "unrouted" for what has none; Refused."""
        if text == b"pong":
            return "control"
        try:
            frame = strict_json(text)
        except (ValueError, RecursionError) as error:
            raise Refused(str(error)) from None
        outer = self._known(frame, "arg action data event", may_repeat="event")
        arg = self._known(outer["arg"], "channel instId instType") if "arg" in outer else {}
        if "action" in outer:
            self._text(outer["action"])
        for name in arg.values():
            self._text(name)
        if "event" in outer or arg.get("channel") == "instruments":
            return "control"
        subject = arg.get("instId", arg.get("instType"))
        topic = f"{arg.get('channel')}:{subject}"
        if topic not in self.topics or "data" not in outer:
            return "unrouted"
        self.subject = subject
        channel, data = arg["channel"], outer["data"]
        if not isinstance(data, list) or not data:
            raise Refused("data")
        if channel in LIMITS:
            return [self._book(channel, outer.get("action"), self._single(data))]
        if channel in VALUES:
            return [self._ticker(channel, self._single(data))]
        if channel in ("trades", "trades-all"):
            return [self._trade(each) for each in data]
        return [self._bar(each) for each in data]

    def _single(self, data: list[Any]) -> Any:
        if len(data) != 1:
            raise Refused("more than one")
        return data[0]

    def _known(self, value: Any, names: str, may_repeat: str = "") -> dict[str, Any]:
        if not (isinstance(value, tuple) and value[0] == "object"):
            raise Refused("not an object")
        found: dict[str, Any] = {}
        for key, inner in value[1]:
            if key in names.split():
                if key in found and key != may_repeat:
                    raise Refused(f"{key} is repeated")
                found[key] = inner
        return found

    def _fields(self, data: Any, required: str, optional: str = "") -> dict[str, Any]:
        fields = self._known(data, f"{required} {optional}")
        for name in required.split():
            if name not in fields:
                raise Refused(f"{name} is missing")
        if fields.get("instId", self.subject) != self.subject:
            raise Refused("instId")
        if "ts" in fields:
            fields["ts"] = self._ms(fields["ts"])
        return fields

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Refused(f"no text: {value!r}")
        return value

    def _ms(self, value: Any) -> int:
        if re.fullmatch("[0-9]{1,18}", self._text(value), re.ASCII) is None or int(value) > MAX_MS:
            raise Refused(f"no time: {value!r}")
        return int(value) * 10**6

    def _count(self, value: Any, least: int = 0) -> int:
        if not isinstance(value, _Integer) or not least <= value < 2**63:
            raise Refused(f"no count: {value!r}")
        return int(value)

    def _amount(self, value: Any, exponent: int) -> int:
        text = value if isinstance(value, str) else getattr(value, "text", None)
        if text is None:
            raise Refused(f"no number: {value!r}")
        found = mantissa(text, exponent)
        if found < 0:
            raise Refused("negative")
        return found

    def _levels(self, value: Any) -> list[tuple[int, int]]:
        if not isinstance(value, list) or not all(isinstance(level, list) and len(level) >= 2 for level in value):
            raise Refused("levels")
        return [(self._amount(level[0], self.px_exp), self._amount(level[1], self.sz_exp)) for level in value]

    def _book(self, channel: str, action: Any, data: Any) -> dict[str, Any]:
        limit = LIMITS[channel]
        if action not in (("snapshot", "update") if limit > 5 else (None,)):
            raise Refused("action")
        fields = self._fields(data, "asks bids ts seqId", "prevSeqId instId")
        last = self._count(fields["seqId"])
        previous = self._count(fields["prevSeqId"], -(2**63)) if "prevSeqId" in fields else None
        bids, asks = self._levels(fields["bids"]), self._levels(fields["asks"])
        if action != "update":
            bids, asks = ([level for level in side if level[1]] for side in (bids, asks))
        if limit == 1:
            if len(bids) > 1 or len(asks) > 1:
                raise Refused("more than the best")
            (bid_px, bid_sz), (ask_px, ask_sz) = (side[0] if side else (None, 0) for side in (bids, asks))
            return {"kind": "bbo", "sequence": last, "bid_px": bid_px, "bid_sz": bid_sz, "ask_px": ask_px,
                    "ask_sz": ask_sz, "ts_event": fields["ts"]}  # fmt: skip
        if action != "update":
            return {"kind": "snapshot", "sequence": last, "bids": bids, "asks": asks, "ts_event": fields["ts"]}
        if previous is None or previous < 0:
            raise Refused("prevSeqId")
        if previous == last and (bids or asks):
            raise Refused("a change without a number")
        return {"kind": "delta", "prev_sequence": previous, "sequence": last, "bids": bids, "asks": asks,
                "ts_event": fields["ts"]}  # fmt: skip

    def _trade(self, data: Any) -> dict[str, Any]:
        fields = self._fields(data, "instId tradeId px sz side ts", "seqId")
        if self._text(fields["side"]) not in SIDES:
            raise Refused("side")
        trade_id = self._text(fields["tradeId"])
        if not 0 < len(trade_id.encode()) <= 16 and not re.fullmatch("0|[1-9][0-9]{0,18}", trade_id, re.ASCII):
            raise Refused("tradeId")
        sequence = self._count(fields["seqId"]) if "seqId" in fields else None
        return {"kind": "trade", "trade_id": trade_id, "px": self._amount(fields["px"], self.px_exp),
                "sz": self._amount(fields["sz"], self.sz_exp), "side": fields["side"], "sequence": sequence,
                "ts_event": fields["ts"]}  # fmt: skip

    def _ticker(self, channel: str, data: Any) -> dict[str, Any]:
        name, field = VALUES[channel]
        optional = {"tickers": "vol24h", "funding-rate": "fundingTime"}.get(channel, "")
        fields = self._fields(data, f"instId ts {name}", optional)
        found = {"kind": "ticker", field: fields[name], "ts_event": fields["ts"]}
        if "vol24h" in fields:
            found["volume"] = fields["vol24h"]
        if fields.get("fundingTime", "") != "":
            found["next_funding_time"] = self._ms(fields["fundingTime"])
        return found

    def _bar(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, list) or len(data) != 9 or data[8] not in ("0", "1"):
            raise Refused("bar")
        prices = [self._amount(px, self.px_exp) for px in data[1:5]]
        return {"kind": "bar", "start": self._ms(data[0]), "prices": prices, "closed": data[8] == "1"}

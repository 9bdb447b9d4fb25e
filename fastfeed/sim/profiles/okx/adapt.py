"""Recordings of 2022 in the shape of today: the only place that knows how that date's messages differ.

Then, a book message had a checksum and no numbers, a trade was one fill without a number, and a listing had neither
codes nor families. Today's readers chain books by `prevSeqId` and `seqId`, so these are given in the order of the
messages, and one `seqId` to each trade in between, as the venue does. The checksum is left as it was recorded, although
the venue sends 0 since 2026-06: it proves every book of the recording.

Source: okx.com/docs-v5, "WS / Order book channel" and "WS / Trades channel" (2026-07) and the change log.
"""

from __future__ import annotations

import json
from typing import Any

from fastfeed.sim.profiles.okx.channels import BOOKS

FIRST_SEQUENCE = 1_000_000


class Adapter:
    """Numbers the messages of each instrument."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._last_book: dict[tuple[str, str], int] = {}

    def message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a recorded push as it would be today; one that is numbered already is left alone."""
        channel, symbol = message["arg"]["channel"], message["arg"].get("instId", "")
        is_book = channel in BOOKS and "action" in message
        if (is_book or channel == "trades") and "seqId" not in message["data"][0]:
            message["data"] = [self._number(data, channel, symbol, message.get("action")) for data in message["data"]]
        return message

    def _number(self, data: dict[str, Any], channel: str, symbol: str, action: str | None) -> dict[str, Any]:
        last = self._last[symbol] = self._last.get(symbol, FIRST_SEQUENCE) + 1
        if action is None:
            return {**data, "count": "1", "source": "0", "seqId": last}
        previous = -1 if action == "snapshot" else self._last_book[channel, symbol]
        self._last_book[channel, symbol] = last
        return {**data, "prevSeqId": previous, "seqId": last}


def listing_row(row: dict[str, Any], code: int) -> dict[str, Any]:
    """Return a recorded row of the listing with what rows have today; `code` is its instIdCode unless it has one."""
    added = {
        "instIdCode": code,
        "instFamily": row["uly"],
        "ruleType": "normal",
        "auctionEndTime": "",
        "contTdSwTime": row["listTime"],
        "tradeQuoteCcyList": [row["quoteCcy"]] if row["quoteCcy"] else [],
    }
    return {**added, **row}


def dump(message: dict[str, Any]) -> bytes:
    """Return a message as the venue writes JSON: without spaces."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()

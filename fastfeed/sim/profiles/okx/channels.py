"""The public channels: on which path each is served, what its argument names, how streams are called.

Source: okx.com/docs-v5, "WS / Order book channel" (2026-07), "WS / Candlesticks channel", "WS / All trades channel"
and the public data channels (2026-07).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastfeed.sim.market import SECOND

MILLISECOND = SECOND // 1000
PATHS = ("public", "business")

# Pushes that fall due together leave in this order.
_PUSH_ORDER = ("bbo-tbt", "books-l2-tbt", "books50-l2-tbt", "books", "books5")


@dataclass(frozen=True, slots=True)
class Depth:
    """A book channel: its levels a side, ns between pushes, and whether it sends changes or the whole each time."""

    levels: int
    interval: int
    is_incremental: bool
    needs_vip: bool = False


DEFAULT_BOOK = "books"

BOOKS = {
    "bbo-tbt": Depth(1, 10 * MILLISECOND, False),
    "books5": Depth(5, 100 * MILLISECOND, False),
    "books": Depth(400, 100 * MILLISECOND, True),
    "books-l2-tbt": Depth(400, 10 * MILLISECOND, True, needs_vip=True),
    "books50-l2-tbt": Depth(50, 10 * MILLISECOND, True, needs_vip=True),
}

# A connection may not have the first for an instrument together with one of the others.
EXCLUSIVE = ("books-l2-tbt", ("books50-l2-tbt", "books"))

_PUBLIC = (
    *BOOKS, "trades", "tickers", "mark-price", "index-tickers", "funding-rate", "open-interest", "liquidation-orders",
    "instruments",
)  # fmt: skip

# These take all instruments of a type.
BY_TYPE = ("liquidation-orders", "instruments")

_CANDLE = re.compile(r"candle(?:(\d+)([smHD]))(utc)?")
_UNITS = {"s": 1, "m": 60, "H": 3600, "D": 86400}
_BARS = ("1s", "1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6H", "12H", "1D")


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle channel: the bar's length, and from which time of the day its bars are counted, ns."""

    length: int
    offset: int


def candle_of(channel: str) -> Candle | None:
    """Return what a channel such as `candle1m` or `candle6Hutc` means; bars of 6 hours and more else follow UTC+8."""
    match = _CANDLE.fullmatch(channel)
    if match is None or match[1] + match[2] not in _BARS:
        return None
    length = int(match[1]) * _UNITS[match[2]] * SECOND
    is_long = length >= 6 * 3600 * SECOND
    if match[3] and not is_long:
        return None
    return Candle(length, 8 * 3600 * SECOND if is_long and not match[3] else 0)


def path_of(channel: str) -> str | None:
    """Return the last part of the URL that serves a channel, None if there is no such channel."""
    if channel in _PUBLIC:
        return "public"
    return "business" if channel == "trades-all" or candle_of(channel) else None


def subject_of(arg: Mapping[str, Any]) -> str:
    """Return the instrument or type of instruments that an argument names, empty without."""
    subject = arg.get("instType" if arg.get("channel") in BY_TYPE else "instId", "")
    return subject if isinstance(subject, str) else ""


def key_of(channel: str, symbol: str) -> str:
    """Return the key of a stream; keys sort as pushes do."""
    order = _PUSH_ORDER.index(channel) if channel in _PUSH_ORDER else len(_PUSH_ORDER)
    return f"{order} {channel}:{symbol}"


def split_key(key: str) -> tuple[str, str]:
    """Return the channel and symbol of a stream's key."""
    channel, _, symbol = topic_of(key).partition(":")
    return channel, symbol


def topic_of(key: str) -> str:
    """Return the channel and symbol of a stream's key as one text, such as `books:BTC-USDT`."""
    return key.partition(" ")[2]

"""Reads market data from crypto venues, keeps their order books, and publishes both through shared memory.

Names are loaded when they are first used, so that a consumer process never imports what only a feed needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastfeed.best import BestVenue
    from fastfeed.book import Book, Books, BookState, Depth, Top
    from fastfeed.bus import Bus, open
    from fastfeed.errors import (
        BookNotLive,
        BookUnstable,
        BusBusy,
        BusError,
        BusFull,
        BusNotFound,
        ConfigError,
        FastfeedError,
        LayoutMismatch,
        MalformedFrame,
        MalformedReply,
        PositionLost,
        PublisherGone,
        RateLimited,
        Recovery,
        RequestFailed,
        RequestRefused,
        Scope,
        SequenceGap,
        SubscriptionRefused,
        ValueOutOfRange,
        VenueDown,
        VenueError,
    )
    from fastfeed.include import get_include
    from fastfeed.instrument import Instrument, instruments
    from fastfeed.offline import OfflineFeed
    from fastfeed.reader import Conflated, Reader
    from fastfeed_core.message import (
        Bar,
        Bbo,
        BookTop,
        Event,
        Lag,
        Levels,
        Liquidation,
        Position,
        Status,
        Ticker,
        Trade,
    )

_HOME = {
    "BookNotLive": "fastfeed.errors",
    "BookUnstable": "fastfeed.errors",
    "Books": "fastfeed.book",
    "MalformedReply": "fastfeed.errors",
    "RateLimited": "fastfeed.errors",
    "RequestFailed": "fastfeed.errors",
    "RequestRefused": "fastfeed.errors",
    "ValueOutOfRange": "fastfeed.errors",
    "VenueDown": "fastfeed.errors",
    "BookTop": "fastfeed_core.message",
    "Conflated": "fastfeed.reader",
    "Depth": "fastfeed.book",
    "Lag": "fastfeed_core.message",
    "Event": "fastfeed_core.message",
    "BusBusy": "fastfeed.errors",
    "BusError": "fastfeed.errors",
    "BusFull": "fastfeed.errors",
    "BusNotFound": "fastfeed.errors",
    "ConfigError": "fastfeed.errors",
    "FastfeedError": "fastfeed.errors",
    "LayoutMismatch": "fastfeed.errors",
    "MalformedFrame": "fastfeed.errors",
    "PositionLost": "fastfeed.errors",
    "PublisherGone": "fastfeed.errors",
    "Recovery": "fastfeed.errors",
    "Scope": "fastfeed.errors",
    "SequenceGap": "fastfeed.errors",
    "SubscriptionRefused": "fastfeed.errors",
    "VenueError": "fastfeed.errors",
    "Instrument": "fastfeed.instrument",
    "get_include": "fastfeed.include",
    "instruments": "fastfeed.instrument",
    "OfflineFeed": "fastfeed.offline",
    "Bar": "fastfeed_core.message",
    "Bbo": "fastfeed_core.message",
    "BestVenue": "fastfeed.best",
    "Book": "fastfeed.book",
    "BookState": "fastfeed.book",
    "Bus": "fastfeed.bus",
    "Levels": "fastfeed_core.message",
    "Liquidation": "fastfeed_core.message",
    "Position": "fastfeed_core.message",
    "Reader": "fastfeed.reader",
    "Status": "fastfeed_core.message",
    "Ticker": "fastfeed_core.message",
    "Top": "fastfeed.book",
    "Trade": "fastfeed_core.message",
    "open": "fastfeed.bus",
}

__all__ = [
    "Bar",
    "Bbo",
    "BestVenue",
    "Book",
    "BookNotLive",
    "BookState",
    "BookTop",
    "BookUnstable",
    "Books",
    "Bus",
    "BusBusy",
    "BusError",
    "BusFull",
    "BusNotFound",
    "ConfigError",
    "Conflated",
    "Depth",
    "Event",
    "FastfeedError",
    "Instrument",
    "Lag",
    "LayoutMismatch",
    "Levels",
    "Liquidation",
    "MalformedFrame",
    "MalformedReply",
    "OfflineFeed",
    "Position",
    "PositionLost",
    "PublisherGone",
    "RateLimited",
    "Reader",
    "Recovery",
    "RequestFailed",
    "RequestRefused",
    "Scope",
    "SequenceGap",
    "Status",
    "SubscriptionRefused",
    "Ticker",
    "Top",
    "Trade",
    "ValueOutOfRange",
    "VenueDown",
    "VenueError",
    "__version__",
    "get_include",
    "instruments",
    "open",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'fastfeed' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    # A function and a submodule may share a name (instruments): importing the submodule has bound it here, so the
    # function is bound last and wins.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""Reads market data from crypto venues, keeps their order books, and publishes both through shared memory.

Names are loaded when they are first used, so that a consumer process never imports what only a feed needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastfeed.errors import (
        BookNotLive,
        BusBusy,
        BusError,
        BusFull,
        BusNotFound,
        ConfigError,
        FastfeedError,
        LayoutMismatch,
        MalformedFrame,
        MalformedReply,
        PublisherGone,
        RateLimited,
        Recovery,
        RequestRefused,
        Scope,
        SequenceGap,
        SubscriptionRefused,
        ValueOutOfRange,
        VenueDown,
        VenueError,
    )
    from fastfeed.instrument import Instrument, instruments
    from fastfeed.offline import OfflineFeed
    from fastfeed.reader import (
        Bar,
        Bbo,
        Book,
        BookState,
        Bus,
        Depth,
        Event,
        Levels,
        Liquidation,
        Position,
        Reader,
        Status,
        Ticker,
        Top,
        Trade,
        open,
    )

_HOME = {
    "BookNotLive": "errors",
    "MalformedReply": "errors",
    "RateLimited": "errors",
    "RequestRefused": "errors",
    "ValueOutOfRange": "errors",
    "VenueDown": "errors",
    "Depth": "reader",
    "Event": "reader",
    "BusBusy": "errors",
    "BusError": "errors",
    "BusFull": "errors",
    "BusNotFound": "errors",
    "ConfigError": "errors",
    "FastfeedError": "errors",
    "LayoutMismatch": "errors",
    "MalformedFrame": "errors",
    "PublisherGone": "errors",
    "Recovery": "errors",
    "Scope": "errors",
    "SequenceGap": "errors",
    "SubscriptionRefused": "errors",
    "VenueError": "errors",
    "Instrument": "instrument",
    "instruments": "instrument",
    "OfflineFeed": "offline",
    "Bar": "reader",
    "Bbo": "reader",
    "Book": "reader",
    "BookState": "reader",
    "Bus": "reader",
    "Levels": "reader",
    "Liquidation": "reader",
    "Position": "reader",
    "Reader": "reader",
    "Status": "reader",
    "Ticker": "reader",
    "Top": "reader",
    "Trade": "reader",
    "open": "reader",
}

__all__ = [
    "Bar",
    "Bbo",
    "Book",
    "BookNotLive",
    "BookState",
    "Bus",
    "BusBusy",
    "BusError",
    "BusFull",
    "BusNotFound",
    "ConfigError",
    "Depth",
    "Event",
    "FastfeedError",
    "Instrument",
    "LayoutMismatch",
    "Levels",
    "Liquidation",
    "MalformedFrame",
    "MalformedReply",
    "OfflineFeed",
    "Position",
    "PublisherGone",
    "RateLimited",
    "Reader",
    "Recovery",
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
    "instruments",
    "open",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'fastfeed' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastfeed.{home}"), name)
    # A function and a submodule may share a name (instruments): importing the submodule has bound it here, so the
    # function is bound last and wins.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

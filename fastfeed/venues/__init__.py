"""The list of venues: the one place, besides a venue's own files, that names one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from fastfeed.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from fastfeed.venues import binance, bitstamp, bybit, deribit, krakenfutures, okx
    from fastfeed.venues.spec import Venue

    # Here the type checker holds each module against the contract.
    _binance: Venue = binance
    _bitstamp: Venue = bitstamp
    _bybit: Venue = bybit
    _deribit: Venue = deribit
    _krakenfutures: Venue = krakenfutures
    _okx: Venue = okx

__all__ = ["VENUES", "load"]

VENUES = ("binance", "bitstamp", "bybit", "deribit", "krakenfutures", "okx")


def load(venue_id: str) -> Venue:
    """Import and return the venue called `venue_id`.

    Raises
    ------
    ConfigError : there is none of that name.
    """
    if venue_id not in VENUES:
        raise ConfigError("venue", f"one of {', '.join(VENUES)}", f"{venue_id!r}{did_you_mean(venue_id, VENUES)}")
    return cast("Venue", importlib.import_module(f"fastfeed.venues.{venue_id}"))

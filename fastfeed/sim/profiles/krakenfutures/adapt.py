"""The one place where a recording of 2021 is made to look as the venue does today.

The messages of the stream are sent as they were recorded: their shapes are still those of today. Of tickers only the
feed `ticker_lite` was recorded; who subscribes to `ticker` gets what that said, with the time of its arrival, and
without the figures that it does not have. The listing of 2021 had its symbols in lower case, counted whole contracts
without saying so, did not name the currencies, and had rows for indexes. Today's has upper case and these fields, and
no such rows: docs.kraken.com, "Futures REST", Get instruments (2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from fastfeed.sim.market import Instrument
from fastfeed.sim.profiles.krakenfutures.products import TYPES, contract, listing_row

_SYMBOL = re.compile(rf"({'|'.join(TYPES)})_[A-Z0-9]+USD(_\d{{6}})?")


def instruments_of(listing: Mapping[str, Any]) -> list[Instrument]:
    """Return the contracts of a recorded listing; their sizes are whole contracts."""
    return [_instrument(row) for row in listing["instruments"] if _SYMBOL.fullmatch(row["symbol"].upper())]


def listing_rows(listing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recorded entries of `instruments` as they would be today: what was recorded wins."""
    recorded = {row["symbol"].upper(): row for row in listing["instruments"]}
    rows = []
    for instrument in instruments_of(listing):
        symbol = instrument.symbol
        rows.append(listing_row(instrument) | recorded[symbol] | {"symbol": symbol})
    return rows


def ticker(lite: bytes, ts: int) -> bytes:
    """Return a message of the feed `ticker` that says what one of `ticker_lite` did; `ts` is when it came, ns."""
    message = json.loads(lite)
    fields = {key: message[key] for key in message if key not in ("feed", "product_id")}
    head = {"time": ts // 1_000_000, "product_id": message["product_id"], "feed": "ticker"}
    return json.dumps(head | fields, separators=(",", ":")).encode()


def derived(symbols: list[str]) -> dict[str, Any]:
    """Return a listing for symbols that have none: a tick that every price of the venue is a multiple of."""
    return {
        "instruments": [
            {"symbol": symbol, "type": TYPES[symbol[:2]], "tickSize": 0.0001, **_last_trading_time(symbol)}
            for symbol in symbols
        ]
    }


def _last_trading_time(symbol: str) -> dict[str, str]:
    day = symbol.split("_")[2:]
    return {"lastTradingTime": f"{datetime.strptime(day[0], '%y%m%d'):%Y-%m-%d}T15:00:00.000Z"} if day else {}


def _instrument(row: Mapping[str, Any]) -> Instrument:
    ends = row.get("lastTradingTime")
    expiry = None if ends is None else datetime.fromisoformat(ends)
    digits = row.get("contractValueTradePrecision", 0)
    return contract(row["symbol"].upper(), Decimal(str(row["tickSize"])), digits, expiry, Decimal(0), Decimal(0))

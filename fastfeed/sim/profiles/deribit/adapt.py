"""Makes what was recorded in 2021 look as the venue speaks today; the only place that changes recorded texts.

Then, anybody could subscribe to `raw`, so that is what was recorded; today it needs a login. Its messages go out under
the name of the default interval: their fields are the same, and so is the chain of `change_id`. The listing had fewer
fields: all that it held settled in its base coin, which was not written down yet.
"""

from __future__ import annotations

import re
from typing import Any

_RAW_CHANNEL = re.compile(rb'("(?:book|trades|ticker)\.[^".]+)\.raw"')


def adapt_message(text: bytes) -> bytes:
    """Rename the raw channels in a message: book.BTC-PERPETUAL.raw becomes book.BTC-PERPETUAL.100ms."""
    return _RAW_CHANNEL.sub(rb'\1.100ms"', text)


def adapt_listed(row: dict[str, Any]) -> dict[str, Any]:
    """Add the fields of `get_instruments` that came later."""
    is_linear = row["quote_currency"] == "USDC"
    later = {
        "settlement_currency": row["base_currency"],
        "counter_currency": "USD",
        "price_index": f"{row['base_currency']}_usd".lower(),
        "instrument_type": "linear" if is_linear else "reversed",
        "tick_size_steps": [],
        "state": "open",
    }
    return later | row

"""The markets of a process: made when somebody first wants an instrument, and kept, as their rows on the bus are."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fastfeed.instrument import Instrument
from fastfeed.protocol import open_market
from fastfeed.venues.spec import Channel, Options
from fastfeed_core.market import Hub, Market

__all__ = ["Markets"]


class Markets(dict[str, Market]):
    """Markets by name of the instrument."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._instruments: dict[str, Instrument] = {}  # as their rows describe them

    def open(self, instrument: Instrument, rows: Iterable[Channel], options: Options | None = None) -> Market:
        """Return the market of an instrument, made if there is none, fit for what `rows` say of its channels.

        One that was wanted before goes on in its row. Another description (a tick, a lot, the size of a contract, other
        exponents; not another state of trading) needs another row: a row's description never changes under its readers.

        Raises
        ------
        OSError : no room (ENOSPC)
        """
        rows = list(rows)
        market = self.get(instrument.name)
        if market is None or not _is_alike(self._instruments[instrument.name], instrument):
            market = self[instrument.name] = open_market(self._hub, instrument, rows, options)
            self._instruments[instrument.name] = instrument
        elif any(row.name == "book" for row in rows):
            market.begin_book(instrument.to_px(instrument.tick_size), all(row.chained for row in rows))
            market.resyncs_crossed = options is not None and options.crossed == "resync"
        return market


def _is_alike(one: Instrument, other: Instrument) -> bool:
    return msgspec.structs.replace(one, status=other.status) == other

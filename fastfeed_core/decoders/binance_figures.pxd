"""Binance's rarer payloads: tickers, mark prices, bars, forced orders."""

from fastfeed_core.cursor cimport Cursor
from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Route

#: the payload at the cursor, whose grammar was checked, of a route that is none of books, quotes and trades
cdef int read_binance_figures(Cursor* c, const Route* route, Event* event) noexcept nogil

"""OKX's trades, liquidations, tickers and bars; the cursor stands at `data`, for a ticker at its one element."""

from fastfeed_core.cursor cimport Cursor
from fastfeed_core.decoders.okx_parts cimport Envelope
from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Route, Routes

cdef int read_trades(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil
cdef int read_liquidations(Cursor* c, Routes* routes, const Route* group, Event* event) noexcept nogil
cdef int read_ticker(Cursor* c, const Envelope* envelope, Event* event) noexcept nogil
cdef int read_bars(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil

"""Bybit's bars and tickers."""

from libc.stdint cimport int64_t

from fastfeed_core.cursor cimport Cursor
from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Route

#: one bar of an array
cdef int read_bybit_bar(Cursor* c, Event* event) noexcept nogil
#: the payload of a ticker, sent at `ts`
cdef int read_bybit_ticker(Cursor* c, const Route* route, int64_t ts, Event* event) noexcept nogil

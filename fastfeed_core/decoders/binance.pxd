"""Binance spot and USD-M futures: combined stream frames to events."""

from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Routes

cdef int decode_binance(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil
cdef int decode_binance_snapshot(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil

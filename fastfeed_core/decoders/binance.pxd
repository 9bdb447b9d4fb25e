"""Binance spot and USD-M futures: combined stream frames to events."""

from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Routes

cdef int decode_binance(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil

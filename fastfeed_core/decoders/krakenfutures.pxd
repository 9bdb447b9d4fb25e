"""Kraken Futures: frames of the WebSocket feeds to events."""

from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Routes

cdef int decode_krakenfutures(const char* p, Py_ssize_t size, Routes* routes, Event* event,
                              bint* fallback) noexcept nogil

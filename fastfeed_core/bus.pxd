"""The files of a bus: their names, their layout, and the one process that writes them."""

from libc.stdint cimport uint32_t, uint64_t

from fastfeed_core.book cimport Book
from fastfeed_core.publish cimport Publication, Publisher
from fastfeed_core.records cimport BusHeader, ConnectionRow, LatencyHead
from fastfeed_core.wake cimport ff_bell

cdef enum:
    #: connections that a bus has rows for
    CONNECTIONS = 4096


cdef class BusWriter:
    cdef Publisher publisher
    cdef BusHeader* header
    cdef char* base
    cdef object _map
    cdef ff_bell* bell
    cdef unsigned char[::1] _view
    cdef int _fd
    cdef int _lock_fd
    cdef readonly str name
    cdef readonly str folder
    cdef readonly bint closed
    cdef int _fill(self, const BusHeader* plan, bytes description) except -1
    cdef LatencyHead* _latency(self, uint32_t instrument) noexcept
    cdef int publish(self, Publication* pub, uint32_t instrument, Book* book) except -1
    cdef void _clear_book(self, uint64_t index) noexcept
    cdef ConnectionRow* connection_row(self, int index) noexcept
    cdef LatencyHead* connection_latency(self, int index) noexcept

"""The files of a bus: their names, their layout, and the one process that writes them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastfeed_core.book cimport Book
from fastfeed_core.publish cimport Publication, Publisher
from fastfeed_core.records cimport BusHeader, ConnectionRow

cdef enum:
    #: the readers' file: this much with the sleepers' flag, then a row for each reader
    READERS_HEAD = 128
    READER_ROWS = 64
    #: connections that a bus has rows for
    CONNECTIONS = 256


cdef class BusWriter:
    cdef Publisher publisher
    cdef BusHeader* header
    cdef char* base
    cdef object _map
    cdef object _readers_map
    cdef unsigned char[::1] _view
    cdef unsigned char[::1] _readers_view
    cdef int _fd
    cdef int _lock_fd
    cdef readonly str name
    cdef readonly str folder
    cdef readonly bint closed
    cdef int _allocate_image(self, uint32_t instrument) except -1
    cdef int publish(self, Publication* pub, uint32_t instrument, Book* book) except -1
    cdef void _clear_book(self, uint64_t index) noexcept
    cdef ConnectionRow* connection_row(self, int index) noexcept
    cdef int64_t* histogram(self, int index) noexcept

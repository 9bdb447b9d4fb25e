"""A reader's mapping of a bus: read-only, validated before anything in it is believed."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastfeed_core.records cimport BusHeader, BusLive, ConnectionRow, InstrumentRow, State
from fastfeed_core.ring cimport ff_ring_control, ff_ring_reader
from fastfeed_core.wake cimport ff_bell


cdef class BusMap:
    cdef const BusHeader* header
    cdef const BusLive* live
    cdef const char* base
    cdef const ff_ring_control* control
    cdef ff_bell* bell              # NULL: the feed cannot be asked for wake-ups
    cdef object _map
    cdef const unsigned char[::1] _view
    cdef int _fd
    cdef bint dead                  # found to be: its lock was free
    cdef object _inode
    cdef readonly str name
    cdef readonly str folder
    cdef readonly uint64_t generation
    cdef const InstrumentRow* row(self, uint32_t index) noexcept nogil
    cdef const char* cell(self, uint32_t index) noexcept nogil
    cdef const char* image(self, uint32_t index) noexcept nogil
    cdef uint32_t instrument_count(self) noexcept nogil
    #: ns, monotonic, up to a tick of the kernel behind: for `effective`
    cdef int64_t now(self) noexcept nogil
    cdef State effective(self, State state, int64_t now) noexcept nogil
    cdef bint is_closed(self) noexcept nogil
    cdef uint64_t last_flush(self) noexcept nogil
    cdef void ring_reader(self, ff_ring_reader* reader) noexcept nogil

"""The published tops of books, read without waiting: one by one, or several as of one moment."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from fastfeed_core.attach cimport BusMap


cdef class TopReader:
    cdef readonly BusMap map
    cdef readonly uint32_t instrument
    cdef const uint64_t* version
    cdef const char* slots
    cdef uint64_t slot_size
    cdef int32_t depth
    cdef char* copy                 # of a slot
    cdef uint64_t seen              # version of the copy; 0: nothing was written yet
    cdef uint64_t position          # the copy has every record of the instrument before it, and none behind it
    cdef int64_t look_at
    cdef int px_exp
    cdef int sz_exp
    cdef double px_unit             # 10**-px_exp; 0 where no double has it exactly
    cdef double sz_unit
    cdef type _top
    cdef type _position
    cdef tuple _states
    cdef object _generation
    cdef void take(self, unsigned slot, int32_t n) noexcept nogil
    cdef bint read_cell(self, int32_t n) noexcept nogil
    cdef object make(self, int32_t n, bint exact, int64_t now, object position)
    cdef object make_position(self)
    cdef list _side(self, const int64_t* pairs, int32_t n, bint exact)
    cdef object _complete(self, bint exact)

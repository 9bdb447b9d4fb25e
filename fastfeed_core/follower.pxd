"""What all readers of the ring are made of: a place in it, filters, ways to wait, and a row for others to see."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastfeed_core.attach cimport BusMap
from fastfeed_core.message cimport Event, InstrumentRef
from fastfeed_core.readers cimport ReaderSlot
from fastfeed_core.records cimport Head
from fastfeed_core.ring cimport ff_ring_reader

cdef enum:
    NO_INSTRUMENT = 0xFFFFFFFF
    #: verdicts on a record: its instrument came after the filter was made, and must be looked up first
    UNWANTED = 0
    WANTED = 1
    UNKNOWN = 2

cdef enum:
    WAIT_BLOCK = 0
    WAIT_YIELD = 1
    WAIT_SPIN = 2


cdef class Follower:
    cdef readonly BusMap map
    cdef readonly ReaderSlot slot
    cdef ff_ring_reader ring
    cdef uint8_t[256] wanted_kinds
    cdef uint8_t* wanted            # by row of the instrument table; the first `known` are filled
    cdef uint32_t known
    cdef bint all_instruments
    cdef object names
    cdef list refs
    cdef uint64_t lost_before       # in earlier generations
    cdef uint64_t torn              # fragments that were read, of messages whose others were overwritten
    cdef int64_t* latency           # NULL: not measured
    cdef int64_t told               # when the row was written last, CLOCK_MONOTONIC_COARSE ns
    cdef int64_t looked             # when somebody last looked whether the feed lives
    cdef int how                    # to wait
    cdef uint32_t taken             # by iterating
    cdef uint32_t interrupt_flag

    cdef bint lent                  # a helper thread may stand in it
    cdef Event pushed               # to be returned before anything else

    cdef int stand(self, BusMap map, start) except -1
    cdef int learn(self) except -1
    cdef InstrumentRef ref(self, uint32_t instrument)
    cdef int verdict(self, uint8_t kind, uint32_t instrument) noexcept nogil
    cdef bint ready(self) noexcept nogil
    cdef Event take(self)
    cdef int _walk(self, uint64_t offset) noexcept nogil
    cdef int64_t _age(self) noexcept nogil
    cdef uint64_t place(self) noexcept nogil
    cdef uint64_t before(self) noexcept nogil
    cdef void tell(self) noexcept nogil
    cdef void measure(self, int64_t ts_publish, int64_t now) noexcept nogil
    cdef Event get(self)
    cdef int rest(self) except -1
    cdef int pulse(self) except -1
    cdef int claim_back(self) except -1
    cdef bint is_there(self) noexcept nogil
    cdef bint wait_for(self, int how, int64_t timeout_ns) noexcept nogil
    cdef uint32_t _mask(self) noexcept nogil
    cdef bint sleep(self, int64_t until) noexcept nogil
    cdef bint look(self, int how, int64_t until) noexcept nogil

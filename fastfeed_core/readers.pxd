"""The readers' file: a row for each reader of a bus, held by a lock."""

from libc.stdint cimport int64_t

from fastfeed_core.records cimport HISTOGRAM_SIZE, ReaderRow

cdef enum:
    READER_ROWS = 256
    #: a row, its histogram, and whole pages, so that a row without a histogram costs one
    READER_STRIDE = 12288


cdef class ReaderSlot:
    cdef ReaderRow row
    cdef int64_t* counts            # HISTOGRAM_SIZE; NULL: no latency is measured
    cdef int fd                     # -1: no row was free, nothing is told
    cdef int64_t at
    cdef void tell(self) noexcept nogil

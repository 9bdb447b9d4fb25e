"""Where everything stands in the data file of a bus, and how much memory that takes."""

from libc.stdint cimport uint64_t

from fastfeed_core.records cimport BusHeader

cdef enum:
    HUGE_PAGE = 2 << 20

cdef uint64_t plan_file(BusHeader* h, uint64_t description_size, uint64_t ring, uint64_t instruments, uint64_t top,
                        uint64_t levels, bint huge_pages) except 0

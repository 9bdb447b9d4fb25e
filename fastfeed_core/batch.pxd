"""Rows gathered by kind, and numpy arrays made of them."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.records cimport Head

cdef enum:
    KIND_COUNT = 9


#: rows of one kind: 16 bytes of position and first level, then the record
cdef struct Column:
    char* rows
    int64_t count
    int64_t capacity
    int64_t size


cdef class Batch:
    cdef Column[KIND_COUNT] columns
    cdef Column levels
    cdef list dtypes                # of the columns; None until the kind has come
    cdef object frombuffer
    cdef void clear(self) noexcept nogil
    cdef bint gather(self, const Head* head, int64_t length, uint64_t offset) noexcept nogil
    cdef dict arrays(self)

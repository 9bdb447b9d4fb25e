"""Rows gathered by kind, and numpy arrays made of them."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.records cimport Head

cdef enum:
    KIND_COUNT = 9
    #: the column of pairs, behind those of the kinds
    LEVELS = 9


#: rows of one kind: 16 bytes of position and first level, then the record; or pairs, without the 16 bytes
cdef struct Column:
    char* rows                      # of the array in use
    int64_t count
    int64_t capacity
    int64_t size


cdef class Buffer:
    cdef object array
    cdef char* rows
    cdef int64_t capacity
    cdef bint is_free(self)


cdef class Batch:
    cdef Column[KIND_COUNT + 1] columns
    cdef int64_t[KIND_COUNT + 1] largest    # capacity that was needed so far
    cdef int full                           # column that had no room, and the rows that it wanted
    cdef int64_t needed
    cdef list dtypes                        # of the columns; None until the first row
    cdef list filling                       # the buffer of each column; None: it has none
    cdef list pools                         # all of its buffers, handed over or not
    cdef object empty                       # of numpy
    cdef void clear(self) noexcept nogil
    cdef char* room(self, int column, int64_t rows) noexcept nogil
    cdef bint gather(self, const Head* head, int64_t length, uint64_t offset) noexcept nogil
    cdef int grow(self) except -1
    cdef int fill(self, int column, Buffer buffer) except -1
    cdef dict arrays(self)
    cdef object hand_over(self, int column)

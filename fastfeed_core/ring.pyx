"""The broadcast ring over a plain buffer: what the tests and the benchmarks of the ring alone drive."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from fastfeed_core.ring cimport memcpy


cdef class Ring:
    """A ring in private memory with one producer and one reader.

    Parameters
    ----------
    capacity : bytes, a power of two of at least 64 KiB
    generation : tag of the stamps
    """

    cdef ff_ring_control* control
    cdef char* base
    cdef ff_ring_writer writer
    cdef ff_ring_reader reader
    cdef readonly uint64_t capacity
    cdef char[65536] buffer

    def __cinit__(self, uint64_t capacity, uint64_t generation=1):
        if capacity < 65536 or capacity & (capacity - 1):
            raise ValueError(f"capacity out of range: expected a power of two of at least 65536, was {capacity}")
        self.capacity = capacity
        # One line more: the prefetch of the writer and the clamped copy of a lapped reader stay inside of it.
        self.control = <ff_ring_control*>calloc(1, 4096)
        self.base = <char*>calloc(1, capacity + 4096)
        if self.control == NULL or self.base == NULL:
            raise MemoryError
        ff_ring_init(&self.writer, self.control, self.base, capacity, generation)
        ff_ring_attach(&self.reader, self.control, self.base, capacity, generation)

    def __dealloc__(self):
        free(self.control)
        free(self.base)

    @property
    def max_payload(self):
        """Bytes of the largest payload of a record."""
        return ff_max_record(self.capacity) - sizeof(ff_head)

    @property
    def position(self):
        """The reader's position."""
        return self.reader.position

    @property
    def tail(self):
        """The producer's position."""
        return self.writer.position

    @property
    def written(self):
        """Records written so far."""
        return self.writer.count

    @property
    def lost(self):
        """Records that the reader lost so far."""
        return self.reader.lost

    def write(self, bytes payload not None, int kind=1):
        """Append one record."""
        cdef uint64_t length = sizeof(ff_head) + len(payload)
        cdef ff_head* head
        if length > ff_max_record(self.capacity):
            raise ValueError(f"payload out of range: expected at most {self.max_payload} bytes, was {len(payload)}")
        head = ff_ring_claim(&self.writer, length)
        memcpy(<char*>head + sizeof(ff_head), <const char*>payload, len(payload))
        ff_ring_commit(&self.writer, head, length, kind, 0)

    def flush(self):
        """Publish the tail."""
        ff_ring_flush(&self.writer)

    def read(self):
        """Return the next record as (seq, kind, payload), or None; a lapped reader goes on in the middle."""
        cdef int64_t length = ring_copy(&self.reader, self.buffer)
        cdef ff_head* head = <ff_head*>self.buffer
        while length == FF_LAPPED:
            ff_ring_recover(&self.reader)
            length = ring_copy(&self.reader, self.buffer)
        if length == FF_EMPTY:
            return None
        return head.seq, head.kind, self.buffer[sizeof(ff_head):length]

    def seek(self, where):
        """Go to "oldest", "tail" or a position; a position that the ring does not hold is a LookupError."""
        cdef int found
        if where == "oldest":
            ff_ring_seek_oldest(&self.reader)
        elif where == "tail":
            ff_ring_seek_tail(&self.reader)
        else:
            found = ff_ring_seek(&self.reader, where)
            if found == 0:
                raise LookupError(f"the ring does not hold position {where}")
            if found < 0:
                raise ValueError(f"no record starts at position {where}")

"""The broadcast ring over a plain buffer: what the tests and the benchmarks of the ring alone drive."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from fastfeed_core.ring cimport memcpy

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(__i386__)
    #define ff_relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define ff_relax() __asm__ __volatile__("yield")
    #else
    #define ff_relax() ((void)0)
    #endif
    """
    void ff_relax() noexcept nogil

cdef enum:
    #: bytes of the control words in front of the ring, and of what may be touched behind it
    MARGIN = 4096


cdef class Ring:
    """A ring with one producer and one reader, in private memory or in memory that processes share.

    Parameters
    ----------
    capacity : bytes, a power of two of at least 64 KiB
    generation : tag of the stamps
    memory : a buffer of `Ring.size(capacity)` bytes at a multiple of 64, zero for a producer; None: private memory
    attach : the producer is another process, this is a reader of what it wrote; `memory` may be read-only

    Raises
    ------
    ValueError : capacity or memory are not of that size
    """

    cdef ff_ring_control* control
    cdef char* base
    cdef ff_ring_writer writer
    cdef ff_ring_reader reader
    cdef readonly uint64_t capacity
    cdef readonly bint attached
    cdef uint64_t most                  # bytes of the largest record; 0 if another process writes
    cdef char* own
    cdef const unsigned char[::1] view
    cdef char[65536] buffer

    def __cinit__(self, uint64_t capacity, uint64_t generation=1, memory=None, bint attach=False):
        cdef unsigned char[::1] writable
        cdef char* start
        if capacity < 65536 or capacity & (capacity - 1):
            raise ValueError(f"capacity out of range: expected a power of two of at least 65536, was {capacity}")
        self.capacity = capacity
        self.attached = attach
        self.most = 0 if attach else ff_max_record(capacity)
        if memory is None:
            # The prefetch of the writer and the clamped copy of a lapped reader stay inside of the margin behind.
            start = self.own = <char*>calloc(1, capacity + 2 * MARGIN)
            if start == NULL:
                raise MemoryError
        else:
            if attach:
                self.view = memory
            else:
                writable = memory
                self.view = writable
            if <uint64_t>self.view.shape[0] != capacity + 2 * MARGIN:
                raise ValueError(f"expected memory of {capacity + 2 * MARGIN} bytes, was {self.view.shape[0]}")
            start = <char*>&self.view[0]
        self.control = <ff_ring_control*>start
        self.base = start + MARGIN
        if not attach:
            ff_ring_init(&self.writer, self.control, self.base, capacity, generation)
        ff_ring_attach(&self.reader, self.control, self.base, capacity, generation)

    def __dealloc__(self):
        free(self.own)

    @staticmethod
    def size(uint64_t capacity):
        """Bytes of memory of a ring of that capacity."""
        return capacity + 2 * MARGIN

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
        """The producer's position; 0 if that is another process."""
        return self.writer.position

    @property
    def written(self):
        """Records written so far; 0 by another process."""
        return self.writer.count

    @property
    def lost(self):
        """Records that the reader lost so far."""
        return self.reader.lost

    cdef int _refuse(self, bytes payload) except -1:
        """Say why a payload cannot be written."""
        if self.attached:
            raise ValueError("the producer of this ring is another process")
        raise ValueError(f"payload out of range: expected at most {self.max_payload} bytes, was {len(payload)}")

    def write(self, bytes payload not None, int kind=1):
        """Append one record.

        Raises
        ------
        ValueError : the payload is too long, or the producer is another process
        """
        cdef uint64_t length = sizeof(ff_head) + PyBytes_GET_SIZE(payload)
        cdef ff_head* head
        if length > self.most:
            self._refuse(payload)
        head = ff_ring_claim(&self.writer, length)
        memcpy(<char*>head + sizeof(ff_head), PyBytes_AS_STRING(payload), length - sizeof(ff_head))
        ff_ring_commit(&self.writer, head, length, kind, 0)

    def write_same(self, bytes payload not None, uint64_t count):
        """Append `count` equal records in a compiled loop.

        Raises
        ------
        ValueError : the payload is too long, or the producer is another process
        """
        cdef uint64_t length = sizeof(ff_head) + PyBytes_GET_SIZE(payload)
        cdef const char* source = payload
        cdef ff_head* head
        cdef uint64_t _i
        if length > self.most:
            self._refuse(payload)
        with nogil:
            for _i in range(count):
                head = ff_ring_claim(&self.writer, length)
                memcpy(<char*>head + sizeof(ff_head), source, length - sizeof(ff_head))
                ff_ring_commit(&self.writer, head, length, 1, 0)

    def flush(self):
        """Publish the tail."""
        ff_ring_flush(&self.writer)

    def read(self):
        """Return the next record as (seq, kind, payload), or None; a lapped reader goes on in the middle."""
        cdef int64_t length = ff_ring_copy(&self.reader, self.buffer)
        cdef ff_head* head = <ff_head*>self.buffer
        while length == FF_LAPPED:
            ff_ring_recover(&self.reader)
            length = ff_ring_copy(&self.reader, self.buffer)
        if length == FF_EMPTY:
            return None
        return head.seq, head.kind, self.buffer[sizeof(ff_head):length]

    def receive(self, uint64_t looks=1):
        """Return the payload of the next record, or None after so many looks; the GIL is held, some 10 ns a look."""
        cdef const ff_head* head = NULL
        cdef int64_t length
        cdef uint64_t _i
        cdef bytes payload
        for _i in range(looks):
            length = ff_ring_peek(&self.reader, &head)
            if length == FF_EMPTY:
                ff_relax()
                continue
            if length > 0:
                payload = (<const char*>head)[sizeof(ff_head):length]
                if ff_ring_valid(&self.reader, self.reader.position):
                    ff_ring_advance(&self.reader, length)
                    return payload
            ff_ring_recover(&self.reader)
        return None

    def skip(self):
        """Copy all records that are there in a compiled loop; return their number, without those that were lost."""
        cdef uint64_t before = self.reader.count - self.reader.lost
        cdef int64_t length
        with nogil:
            while True:
                length = ff_ring_copy(&self.reader, self.buffer)
                if length == FF_EMPTY:
                    break
                if length == FF_LAPPED:
                    ff_ring_recover(&self.reader)
        return self.reader.count - self.reader.lost - before

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

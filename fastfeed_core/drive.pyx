"""Compiled drivers for tests and benchmarks: packed frames through a receive path, and a count of allocator calls."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastfeed_core.connection cimport FRAME_CONTROL, FRAME_MALFORMED, Connection, Outcome, receive_frame
from fastfeed_core.event cimport event_begin
from fastfeed_core.publish cimport publisher_flush
from fastfeed_core.records cimport State, TopHead
from fastfeed_core.status cimport OK
from fastfeed_core.top cimport TopReader

cdef extern from "Python.h" nogil:
    ctypedef struct PyMemAllocatorEx:
        void* ctx
        void* (*malloc)(void* ctx, size_t size) noexcept nogil
        void* (*calloc)(void* ctx, size_t n, size_t size) noexcept nogil
        void* (*realloc)(void* ctx, void* p, size_t size) noexcept nogil
        void (*free)(void* ctx, void* p) noexcept nogil

    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW
        PYMEM_DOMAIN_MEM
        PYMEM_DOMAIN_OBJ

    void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx* allocator)
    void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx* allocator)


cdef class Frames:
    """Frames packed into one buffer, each behind its length: what a compiled loop walks without touching Python."""

    cdef char* memory
    cdef Py_ssize_t size
    cdef readonly Py_ssize_t count

    def __cinit__(self, frames):
        frames = list(frames)
        self.count = len(frames)
        self.size = sum(4 + len(frame) for frame in frames)
        self.memory = <char*>malloc(self.size + 64)
        if self.memory == NULL:
            raise MemoryError
        cdef char* p = self.memory
        cdef uint32_t n
        cdef bytes frame
        for frame in frames:
            n = <uint32_t>len(frame)
            memcpy(p, &n, 4)
            memcpy(p + 4, <const char*>frame, n)
            p += 4 + n

    def __dealloc__(self):
        free(self.memory)

    @property
    def bytes(self):
        """Bytes of all frames."""
        return self.size - 4 * self.count


def run(Connection connection not None, Frames frames not None, int64_t ts_recv, int flush_every=64):
    """Send all frames through a receive path as socket reads of `flush_every` frames; returns (controls, malformed)."""
    cdef const char* p = frames.memory
    cdef const char* end = p + frames.size
    cdef uint32_t n = 0
    cdef int64_t controls = 0
    cdef int64_t malformed = 0
    cdef int left = flush_every
    cdef Outcome outcome
    with nogil:
        while p < end:
            memcpy(&n, p, 4)
            outcome = receive_frame(&connection.receiver, p + 4, n, ts_recv)
            p += 4 + n
            controls += outcome == FRAME_CONTROL
            malformed += outcome == FRAME_MALFORMED
            left -= 1
            if left == 0:
                publisher_flush(connection.receiver.bus)
                left = flush_every
        publisher_flush(connection.receiver.bus)
    return controls, malformed


def decode(Connection connection not None, Frames frames not None):
    """Only decode all frames; returns (accepted, left to the cursor)."""
    cdef const char* p = frames.memory
    cdef const char* end = p + frames.size
    cdef uint32_t n = 0
    cdef int64_t accepted = 0
    cdef int64_t fallbacks = 0
    cdef bint fallback = False
    with nogil:
        while p < end:
            memcpy(&n, p, 4)
            event_begin(&connection.receiver.event)
            accepted += connection.receiver.decode(p + 4, n, &connection.receiver.routes, &connection.receiver.event,
                                                   &fallback) == OK
            fallbacks += fallback
            p += 4 + n
    return accepted, fallbacks


def read_tops(TopReader reader not None, int levels, int count):
    """Copy the best levels `count` times, with the check of the effective state; returns the copies that were live."""
    cdef int64_t live = 0
    cdef int _i
    with nogil:
        for _i in range(count):
            if reader.read_cell(levels):
                live += <int>reader.map.effective(<State>(<TopHead*>reader.copy).state, reader.map.now()) == 1
    return live


cdef PyMemAllocatorEx[3] _original
cdef PyMemAllocatorEx[3] _counting
cdef int64_t _calls = 0


cdef void* _malloc(void* ctx, size_t size) noexcept nogil:
    global _calls
    _calls += 1
    return (<PyMemAllocatorEx*>ctx).malloc((<PyMemAllocatorEx*>ctx).ctx, size)


cdef void* _calloc(void* ctx, size_t n, size_t size) noexcept nogil:
    global _calls
    _calls += 1
    return (<PyMemAllocatorEx*>ctx).calloc((<PyMemAllocatorEx*>ctx).ctx, n, size)


cdef void* _realloc(void* ctx, void* p, size_t size) noexcept nogil:
    global _calls
    _calls += 1
    return (<PyMemAllocatorEx*>ctx).realloc((<PyMemAllocatorEx*>ctx).ctx, p, size)


cdef void _free(void* ctx, void* p) noexcept nogil:
    global _calls
    _calls += 1
    (<PyMemAllocatorEx*>ctx).free((<PyMemAllocatorEx*>ctx).ctx, p)


def count_allocations(Connection connection not None, Frames frames not None, int rounds, int64_t ts_recv,
                      bint provoke=False):
    """Return how often Python's allocators were called while all frames went through `rounds` times.

    With `provoke` one object is made in every round, to show that the count can be other than 0.
    """
    global _calls
    cdef int i
    cdef int64_t before, after
    for i in range(3):
        PyMem_GetAllocator(<PyMemAllocatorDomain>i, &_original[i])
        _counting[i].ctx = &_original[i]
        _counting[i].malloc = _malloc
        _counting[i].calloc = _calloc
        _counting[i].realloc = _realloc
        _counting[i].free = _free
    for i in range(3):
        PyMem_SetAllocator(<PyMemAllocatorDomain>i, &_counting[i])
    before = _calls
    for i in range(rounds):
        _run_quietly(connection, frames, ts_recv)
        if provoke:
            _provoke(i)
    after = _calls
    for i in range(3):
        PyMem_SetAllocator(<PyMemAllocatorDomain>i, &_original[i])
    return after - before


cdef int _provoke(int i) except -1:
    bytearray(4096 + i)
    return 0


cdef void _run_quietly(Connection connection, Frames frames, int64_t ts_recv) noexcept:
    cdef const char* p = frames.memory
    cdef const char* end = p + frames.size
    cdef uint32_t n = 0
    cdef int left = 64
    while p < end:
        memcpy(&n, p, 4)
        receive_frame(&connection.receiver, p + 4, n, ts_recv)
        p += 4 + n
        left -= 1
        if left == 0:
            publisher_flush(connection.receiver.bus)
            left = 64
    publisher_flush(connection.receiver.bus)

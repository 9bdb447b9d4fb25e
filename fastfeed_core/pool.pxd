"""Deltas held while a snapshot is on its way: a bounded, preallocated pool that all instruments share."""

from libc.stdint cimport int32_t, int64_t

from fastfeed_core.event cimport Event

cdef enum:
    POOL_BLOCK = 1024
    PAIRS_FIRST = 56        # pairs that fit the first block behind its head
    PAIRS_NEXT = 63

cdef struct PoolBlock:
    PoolBlock* next
    int64_t[2 * PAIRS_NEXT] pairs

#: a held message; its pairs go on in `more`
cdef struct Held:
    Held* next
    PoolBlock* more
    void* source
    int64_t ts_recv
    int64_t ts_event
    int64_t ts_send
    int64_t prev_seq
    int64_t last_seq
    int32_t n_bids
    int32_t n_asks
    int64_t[2 * PAIRS_FIRST] pairs

cdef struct Pool:
    PoolBlock* memory
    PoolBlock* free
    int64_t free_blocks

cdef int pool_init(Pool* pool, int64_t size) except -1
cdef void pool_close(Pool* pool) noexcept
cdef Held* pool_hold(Pool* pool, const Event* event, void* source, int64_t ts_recv) noexcept nogil
cdef void pool_load(const Held* held, Event* event) noexcept nogil
cdef void pool_release(Pool* pool, Held* held) noexcept nogil

"""Deltas held while a snapshot is on its way: a bounded, preallocated pool that all instruments share."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastfeed_core.event cimport EVENT_DELTA


cdef int pool_init(Pool* pool, int64_t size) except -1:
    cdef int64_t blocks = size // POOL_BLOCK
    cdef int64_t i
    cdef PoolBlock* block
    if sizeof(Held) > POOL_BLOCK or sizeof(PoolBlock) > POOL_BLOCK:
        raise AssertionError("a held message starts in one block")
    pool.memory = <PoolBlock*>malloc(blocks * POOL_BLOCK)
    if pool.memory == NULL:
        raise MemoryError
    pool.free = NULL
    for i in range(blocks - 1, -1, -1):
        block = <PoolBlock*>(<char*>pool.memory + i * POOL_BLOCK)
        block.next = pool.free
        pool.free = block
    pool.free_blocks = blocks
    return 0


cdef void pool_close(Pool* pool) noexcept:
    free(pool.memory)
    pool.memory = NULL
    pool.free = NULL


cdef inline PoolBlock* _take(Pool* pool) noexcept nogil:
    cdef PoolBlock* block = pool.free
    pool.free = block.next
    pool.free_blocks -= 1
    return block


cdef inline void _give(Pool* pool, PoolBlock* block) noexcept nogil:
    block.next = pool.free
    pool.free = block
    pool.free_blocks += 1


cdef Held* pool_hold(Pool* pool, const Event* event, void* source, int64_t ts_recv) noexcept nogil:
    """Copy a delta into the pool; NULL if there is no room for it."""
    cdef int32_t total = event.n_bids + event.n_asks
    cdef int32_t done = min(total, <int32_t>PAIRS_FIRST)
    cdef int64_t wanted = 1 + (total - done + PAIRS_NEXT - 1) // PAIRS_NEXT
    cdef Held* held
    cdef PoolBlock* block
    cdef PoolBlock** link
    cdef int32_t n
    if wanted > pool.free_blocks:
        return NULL
    held = <Held*>_take(pool)
    held.next = NULL
    held.more = NULL
    held.source = source
    held.ts_recv = ts_recv
    held.ts_event = event.ts_event
    held.ts_send = event.ts_send
    held.prev_seq = event.prev_seq
    held.last_seq = event.last_seq
    held.n_bids = event.n_bids
    held.n_asks = event.n_asks
    memcpy(held.pairs, event.levels, 16 * <size_t>done)
    link = &held.more
    while done < total:
        n = min(total - done, <int32_t>PAIRS_NEXT)
        block = _take(pool)
        block.next = NULL
        memcpy(block.pairs, event.levels + 2 * done, 16 * <size_t>n)
        link[0] = block
        link = &block.next
        done += n
    return held


cdef void pool_load(const Held* held, Event* event) noexcept nogil:
    """Make `event` the message that was held."""
    cdef int32_t total = held.n_bids + held.n_asks
    cdef int32_t done = min(total, <int32_t>PAIRS_FIRST)
    cdef int32_t n
    cdef const PoolBlock* block = held.more
    event.kind = EVENT_DELTA
    event.ts_event = held.ts_event
    event.ts_send = held.ts_send
    event.prev_seq = held.prev_seq
    event.last_seq = held.last_seq
    event.n_bids = held.n_bids
    event.n_asks = held.n_asks
    memcpy(event.levels, held.pairs, 16 * <size_t>done)
    while done < total:
        n = min(total - done, <int32_t>PAIRS_NEXT)
        memcpy(event.levels + 2 * done, block.pairs, 16 * <size_t>n)
        block = block.next
        done += n


cdef void pool_release(Pool* pool, Held* held) noexcept nogil:
    cdef PoolBlock* block = held.more
    cdef PoolBlock* next_block
    while block != NULL:
        next_block = block.next
        _give(pool, block)
        block = next_block
    _give(pool, <PoolBlock*>held)

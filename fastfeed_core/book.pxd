"""The L2 book of one instrument: a window of ticks around the touch, sorted chunks for what lies outside of it.

A side keys its levels so that greater is better (bids by price, asks by minus price): one code serves both. The window
is an array of sizes indexed by tick, with two levels of occupancy bits above it; it is moved when the touch leaves its
middle. Levels that are off the window or off the tick live in `Far`, chunks of sorted arrays with the best at the end.
The structure is private to the process that keeps the book: published forms are flat.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    WINDOW = 65536
    WORDS = WINDOW // 64
    SUMMARIES = WORDS // 64
    CHUNK = 128

cdef struct Chunk:
    int32_t count
    int64_t[CHUNK] keys         # rising
    int64_t[CHUNK] sizes

cdef struct Far:
    Chunk* pool                 # one allocation, so that no update allocates
    Chunk** order               # chunks in use, worst first
    Chunk** spare
    int32_t used
    int32_t capacity
    int64_t count

cdef struct Side:
    int64_t* window             # sizes by slot, 0 if none
    uint64_t[WORDS] occupied
    uint64_t[SUMMARIES] summary
    int64_t base                # key of slot 0
    int64_t tick                # 0: no window, everything in far
    uint64_t inverse            # ceil(2**63 / tick)
    uint64_t span               # keys that the window covers
    int64_t count               # levels in the window
    int32_t sign                # 1 for bids, -1 for asks
    bint placed                 # the window has a base
    Far far
    int64_t complete            # every level with a key at or above it is known; INT64_MIN: the whole side is
    int64_t lost                # levels below this key were given up for want of room; INT64_MIN: none was
    int64_t watch               # an update at or above this key changes the published top
    bint touched                # such an update came

cdef struct Book:
    Side bids
    Side asks

cdef struct Walk:
    const Side* side
    int32_t slot                # next window slot to look at, going down; -1 at the end
    int32_t chunk
    int32_t index

cdef int book_init(Book* book, int64_t tick, int32_t far_levels) except -1
cdef void book_free(Book* book) noexcept
cdef void book_clear(Book* book) noexcept nogil
cdef void side_apply(Side* side, const int64_t* pairs, int64_t n) noexcept nogil
cdef void side_prime(Side* side, int64_t px) noexcept nogil
cdef void book_settle(Book* book) noexcept nogil
cdef int64_t side_count(const Side* side) noexcept nogil
cdef bint side_best(const Side* side, int64_t* px, int64_t* sz) noexcept nogil
cdef void walk_begin(Walk* walk, const Side* side) noexcept nogil
cdef bint walk_next(Walk* walk, int64_t* key, int64_t* sz) noexcept nogil
cdef int32_t side_copy(const Side* side, int64_t* pairs, int32_t limit) noexcept nogil
cdef void side_limit(Side* side, int64_t px) noexcept nogil
cdef void side_window(Side* side, int64_t levels) noexcept nogil
cdef int64_t side_complete_px(const Side* side) noexcept nogil


cdef class PyBook:
    cdef Book book
    cdef list _side(self, const Side* side, int32_t limit)
    cdef int _check_side(self, const Side* side) except -1

"""The L2 book of one instrument: a window of ticks around the touch, sorted chunks for what lies outside of it."""

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from fastfeed_core.event cimport ABSENT

cdef extern from *:
    """
    static inline int ff_high(uint64_t w) { return 63 - __builtin_clzll(w); }
    static inline int ff_low(uint64_t w) { return __builtin_ctzll(w); }
    static inline uint64_t ff_mulhi63(uint64_t a, uint64_t b)
    {
        return (uint64_t)(((unsigned __int128)a * b) >> 63);
    }
    """
    int ff_high(uint64_t word) noexcept nogil
    int ff_low(uint64_t word) noexcept nogil
    uint64_t ff_mulhi63(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    #: the touch is put here when the window is placed: most of the window lies on the side's own slope
    HOME = WINDOW * 3 // 4
    #: ... and the window is placed anew when the touch falls below this slot or leaves the window
    LOWEST = WINDOW // 4
    #: 2**46: a larger tick would take the span of the window out of int64
    MAX_TICK = 70368744177664
    #: 2**62: a window placed at a key beyond it would reach out of int64
    MAX_KEY = 4611686018427387904


# ---- far levels

cdef int _far_init(Far* far, int32_t levels) except -1:
    # Chunks are split in halves and joined when two fit one: half full on average at the worst.
    far.capacity = levels // (CHUNK // 2) + 4
    far.pool = <Chunk*>calloc(far.capacity, sizeof(Chunk))
    far.order = <Chunk**>calloc(2 * far.capacity, sizeof(Chunk*))
    if far.pool == NULL or far.order == NULL:
        raise MemoryError
    far.spare = far.order + far.capacity
    _far_clear(far)
    return 0


cdef void _far_clear(Far* far) noexcept nogil:
    cdef int32_t i
    for i in range(far.capacity):
        far.spare[i] = &far.pool[far.capacity - 1 - i]
    far.used = 0
    far.count = 0


cdef inline Chunk* _far_take(Far* far) noexcept nogil:
    cdef Chunk* chunk = far.spare[far.capacity - far.used - 1]
    chunk.count = 0
    return chunk


cdef inline void _far_insert_chunk(Far* far, int32_t at, Chunk* chunk) noexcept nogil:
    memmove(far.order + at + 1, far.order + at, (far.used - at) * sizeof(Chunk*))
    far.order[at] = chunk
    far.used += 1


cdef inline void _far_remove_chunk(Far* far, int32_t at) noexcept nogil:
    cdef Chunk* chunk = far.order[at]
    far.used -= 1
    memmove(far.order + at, far.order + at + 1, (far.used - at) * sizeof(Chunk*))
    far.spare[far.capacity - far.used - 1] = chunk


cdef inline int32_t _far_chunk(const Far* far, int64_t key) noexcept nogil:
    """The first chunk whose last key is not below `key`; `used` if there is none."""
    cdef int32_t low = 0
    cdef int32_t high = far.used
    cdef int32_t middle
    while low < high:
        middle = (low + high) >> 1
        if far.order[middle].keys[far.order[middle].count - 1] < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int32_t _chunk_index(const Chunk* chunk, int64_t key) noexcept nogil:
    """The first index whose key is not below `key`."""
    # Halves the range without a branch: where a level lies is random, a mispredicted jump a step costs more.
    cdef const int64_t* first = &chunk.keys[0]
    cdef int32_t left = chunk.count
    cdef int32_t half
    while left > 1:
        half = left >> 1
        first += half * <int64_t>(first[half - 1] < key)
        left -= half
    return <int32_t>(first - chunk.keys) + (left == 1 and first[0] < key)


cdef void _far_delete(Far* far, int32_t at, int32_t index) noexcept nogil:
    cdef Chunk* chunk = far.order[at]
    cdef Chunk* other
    chunk.count -= 1
    far.count -= 1
    memmove(chunk.keys + index, chunk.keys + index + 1, (chunk.count - index) * sizeof(int64_t))
    memmove(chunk.sizes + index, chunk.sizes + index + 1, (chunk.count - index) * sizeof(int64_t))
    if chunk.count == 0:
        _far_remove_chunk(far, at)
    elif chunk.count < CHUNK // 4 and at + 1 < far.used:
        other = far.order[at + 1]
        if chunk.count + other.count <= CHUNK // 2:
            memcpy(chunk.keys + chunk.count, other.keys, other.count * sizeof(int64_t))
            memcpy(chunk.sizes + chunk.count, other.sizes, other.count * sizeof(int64_t))
            chunk.count += other.count
            _far_remove_chunk(far, at + 1)


cdef void _far_set(Side* side, int64_t key, int64_t sz) noexcept nogil:
    cdef Far* far = &side.far
    cdef int32_t at = _far_chunk(far, key)
    cdef int32_t index, half
    cdef Chunk* chunk
    cdef Chunk* upper
    if at < far.used:
        chunk = far.order[at]
        index = _chunk_index(chunk, key)
        if index < chunk.count and chunk.keys[index] == key:
            if sz:
                chunk.sizes[index] = sz
            else:
                _far_delete(far, at, index)
            return
    if not sz:
        return                              # removal of an unknown level is normal
    if far.used == 0:
        _far_insert_chunk(far, 0, _far_take(far))
        at = 0
    elif at == far.used:
        at -= 1
    chunk = far.order[at]
    index = _chunk_index(chunk, key)
    if chunk.count == CHUNK:
        if far.used == far.capacity:
            # No room: give up the worst chunk and say so by the coverage.
            side.lost = max(side.lost, far.order[0].keys[far.order[0].count - 1] + 1)
            side.complete = max(side.complete, side.lost)
            far.count -= far.order[0].count
            _far_remove_chunk(far, 0)
            if key >= side.lost:
                _far_set(side, key, sz)
            return
        half = CHUNK // 2
        upper = _far_take(far)
        _far_insert_chunk(far, at + 1, upper)
        upper.count = CHUNK - half
        chunk.count = half
        memcpy(upper.keys, chunk.keys + half, upper.count * sizeof(int64_t))
        memcpy(upper.sizes, chunk.sizes + half, upper.count * sizeof(int64_t))
        if index > half:
            chunk = upper
            index -= half
    memmove(chunk.keys + index + 1, chunk.keys + index, (chunk.count - index) * sizeof(int64_t))
    memmove(chunk.sizes + index + 1, chunk.sizes + index, (chunk.count - index) * sizeof(int64_t))
    chunk.keys[index] = key
    chunk.sizes[index] = sz
    chunk.count += 1
    far.count += 1


# ---- the window

cdef int _side_init(Side* side, int32_t sign, int64_t tick, int32_t far_levels) except -1:
    side.sign = sign
    side.tick = tick if 0 < tick <= MAX_TICK else 0
    if side.tick:
        side.window = <int64_t*>calloc(WINDOW, sizeof(int64_t))
        if side.window == NULL:
            raise MemoryError
        side.span = <uint64_t>(WINDOW * side.tick)
        side.inverse = 9223372036854775808ULL // <uint64_t>side.tick + 1
    side.complete = INT64_MIN
    side.lost = INT64_MIN
    side.watch = INT64_MIN
    return _far_init(&side.far, far_levels)


cdef inline int32_t _slot(const Side* side, int64_t key) noexcept nogil:
    """The window's slot of `key`, -1 if the window does not hold that price."""
    cdef uint64_t offset = <uint64_t>key - <uint64_t>side.base
    cdef uint64_t slot
    if not side.placed or offset >= side.span:
        return -1
    # Exact on the tick: the rounded-up inverse is wrong by less than offset / 2**63, which is less than one slot.
    slot = ff_mulhi63(offset, side.inverse)
    if slot * <uint64_t>side.tick != offset:
        return -1
    return <int32_t>slot


cdef inline void _window_set(Side* side, int32_t slot, int64_t sz) noexcept nogil:
    """Set a slot and its bits, without a branch: whether a level comes, changes or goes is as good as random."""
    cdef int32_t word = slot >> 6
    cdef int32_t at = slot & 63
    cdef uint64_t old = side.occupied[word]
    cdef uint64_t new = (old & ~(1ULL << at)) | (<uint64_t>(sz != 0) << at)
    side.window[slot] = sz
    side.occupied[word] = new
    side.count += <int64_t>((new >> at) & 1) - <int64_t>((old >> at) & 1)
    at = word & 63
    old = side.summary[word >> 6]
    side.summary[word >> 6] = (old & ~(1ULL << at)) | (<uint64_t>(new != 0) << at)


cdef inline int32_t _occupied_below(const Side* side, int32_t slot) noexcept nogil:
    """The highest occupied slot at or below `slot`, -1 if there is none."""
    cdef int32_t word, group
    cdef uint64_t bits
    if slot < 0:
        return -1
    word = slot >> 6
    bits = side.occupied[word] & (<uint64_t>-1 >> (63 - (slot & 63)))
    if bits:
        return (word << 6) | ff_high(bits)
    word -= 1
    if word < 0:
        return -1
    group = word >> 6
    bits = side.summary[group] & (<uint64_t>-1 >> (63 - (word & 63)))
    while bits == 0:
        group -= 1
        if group < 0:
            return -1
        bits = side.summary[group]
    word = (group << 6) | ff_high(bits)
    return (word << 6) | ff_high(side.occupied[word])


cdef inline int64_t _best_far(const Side* side) noexcept nogil:
    cdef Chunk* chunk
    if side.far.used == 0:
        return INT64_MIN
    chunk = side.far.order[side.far.used - 1]
    return chunk.keys[chunk.count - 1]


cdef inline int64_t _best_key(const Side* side) noexcept nogil:
    cdef int32_t slot = _occupied_below(side, WINDOW - 1) if side.count else -1
    cdef int64_t far = _best_far(side)
    cdef int64_t near = side.base + slot * side.tick if slot >= 0 else INT64_MIN
    return near if near > far else far


cdef void _shift_window(Side* side, int64_t shift) noexcept nogil:
    """Move every level by `shift` slots, one by one in the order in which none is overwritten.

    Only what is occupied is touched: most of a window was never written, and reading it would cost its pages.
    """
    cdef uint64_t[WORDS] occupied
    cdef uint64_t bits
    cdef int32_t i, word, slot
    cdef int64_t sz
    memcpy(occupied, side.occupied, sizeof(occupied))
    memset(side.occupied, 0, sizeof(side.occupied))
    memset(side.summary, 0, sizeof(side.summary))
    side.count = 0
    for i in range(WORDS):
        word = i if shift > 0 else WORDS - 1 - i
        bits = occupied[word]
        while bits:
            slot = ff_low(bits) if shift > 0 else ff_high(bits)
            bits &= ~(1ULL << slot)
            slot |= word << 6
            sz = side.window[slot]
            side.window[slot] = 0
            _window_set(side, <int32_t>(slot - shift), sz)


cdef void _place_window(Side* side, int64_t best) noexcept nogil:
    """Move the window so that `best` lies at HOME; levels change between window and far, none is lost."""
    cdef int64_t base = best - best % side.tick - HOME * side.tick
    cdef int64_t shift
    cdef int32_t slot, first, chunk_at, index
    cdef int64_t key
    cdef Chunk* chunk
    if not -<int64_t>MAX_KEY < best < <int64_t>MAX_KEY:
        return                              # no real price; it stays in far, and the arithmetic inside of int64
    if side.placed and side.count:
        # Levels that leave the window go to far first: below it when it moves up, above it when it moves down.
        shift = (base - side.base) // side.tick
        slot = _occupied_below(side, WINDOW - 1)
        while slot >= 0:
            if not 0 <= slot - shift < WINDOW:
                key = side.base + slot * side.tick
                _far_set(side, key, side.window[slot])
                _window_set(side, slot, 0)
            slot = _occupied_below(side, slot - 1)
        _shift_window(side, shift)
    side.base = base
    side.placed = True
    # Far levels that the window covers now move in, unless they are off the tick.
    chunk_at = _far_chunk(&side.far, base)
    while chunk_at < side.far.used:
        chunk = side.far.order[chunk_at]
        first = chunk.count
        index = 0
        while index < chunk.count:
            slot = _slot(side, chunk.keys[index])
            if slot >= 0:
                _window_set(side, slot, chunk.sizes[index])
                chunk.sizes[index] = 0
            index += 1
        # Compact the chunk in place.
        index = 0
        for first in range(chunk.count):
            if chunk.sizes[first]:
                chunk.keys[index] = chunk.keys[first]
                chunk.sizes[index] = chunk.sizes[first]
                index += 1
        side.far.count -= chunk.count - index
        chunk.count = index
        if index == 0:
            _far_remove_chunk(&side.far, chunk_at)
        else:
            chunk_at += 1


cdef void _side_settle(Side* side) noexcept nogil:
    cdef int64_t best, offset
    if side.tick == 0:
        return
    best = _best_key(side)
    if best == INT64_MIN:
        return
    if side.placed:
        offset = best - side.base
        if LOWEST * side.tick <= offset < <int64_t>side.span:
            return
    _place_window(side, best)


cdef void _side_clear(Side* side) noexcept nogil:
    cdef int32_t slot = _occupied_below(side, WINDOW - 1) if side.count else -1
    while slot >= 0:
        side.window[slot] = 0
        slot = _occupied_below(side, slot - 1)
    memset(side.occupied, 0, sizeof(side.occupied))
    memset(side.summary, 0, sizeof(side.summary))
    side.count = 0
    side.placed = False
    _far_clear(&side.far)
    side.complete = INT64_MIN
    side.lost = INT64_MIN
    side.watch = INT64_MIN
    side.touched = True


# ---- the book

cdef int book_init(Book* book, int64_t tick, int32_t far_levels) except -1:
    """Prepare an empty book: `tick` in mantissas (0 if unknown), room for `far_levels` levels a side off the window."""
    memset(book, 0, sizeof(Book))
    try:
        _side_init(&book.bids, 1, tick, far_levels)
        _side_init(&book.asks, -1, tick, far_levels)
    except MemoryError:
        book_free(book)
        raise
    return 0


cdef void book_free(Book* book) noexcept:
    free(book.bids.window)
    free(book.asks.window)
    free(book.bids.far.pool)
    free(book.asks.far.pool)
    free(book.bids.far.order)
    free(book.asks.far.order)
    memset(book, 0, sizeof(Book))


cdef void book_clear(Book* book) noexcept nogil:
    _side_clear(&book.bids)
    _side_clear(&book.asks)


cdef inline void _set(Side* side, int64_t px, int64_t sz) noexcept nogil:
    cdef int64_t key = px * side.sign
    cdef int32_t slot = _slot(side, key)
    if key >= side.watch:
        side.touched = True
    if slot >= 0:
        _window_set(side, slot, sz)
    else:
        _far_set(side, key, sz)


cdef void side_apply(Side* side, const int64_t* pairs, int64_t n) noexcept nogil:
    """Set the sizes at `n` prices (px, sz), 0 removes the level; `book_settle` must follow before the side is read."""
    cdef int64_t i
    for i in range(n):
        _set(side, pairs[2 * i], pairs[2 * i + 1])


cdef void side_prime(Side* side, int64_t px) noexcept nogil:
    """Before a snapshot: place the window of an empty side at the best price to come."""
    if side.tick:
        _place_window(side, px * side.sign)


cdef void book_settle(Book* book) noexcept nogil:
    """After the updates of a message: move the windows if the touch has left them."""
    _side_settle(&book.bids)
    _side_settle(&book.asks)


cdef int64_t side_count(const Side* side) noexcept nogil:
    return side.count + side.far.count


cdef bint side_best(const Side* side, int64_t* px, int64_t* sz) noexcept nogil:
    cdef Walk walk
    cdef int64_t key = 0
    walk_begin(&walk, side)
    if not walk_next(&walk, &key, sz):
        return False
    px[0] = key * side.sign
    return True


cdef void walk_begin(Walk* walk, const Side* side) noexcept nogil:
    walk.side = side
    walk.slot = _occupied_below(side, WINDOW - 1) if side.count else -1
    walk.chunk = side.far.used - 1
    walk.index = side.far.order[walk.chunk].count - 1 if walk.chunk >= 0 else -1


cdef bint walk_next(Walk* walk, int64_t* key, int64_t* sz) noexcept nogil:
    """The next level from the best on."""
    cdef const Side* side = walk.side
    cdef const Chunk* chunk
    cdef int64_t near = INT64_MIN
    cdef int64_t far = INT64_MIN
    if walk.slot >= 0:
        near = side.base + walk.slot * side.tick
    if walk.chunk >= 0:
        chunk = side.far.order[walk.chunk]
        far = chunk.keys[walk.index]
    if near > far:
        key[0] = near
        sz[0] = side.window[walk.slot]
        walk.slot = _occupied_below(side, walk.slot - 1)
        return True
    if walk.chunk < 0:
        return False
    key[0] = far
    sz[0] = chunk.sizes[walk.index]
    walk.index -= 1
    if walk.index < 0:
        walk.chunk -= 1
        if walk.chunk >= 0:
            walk.index = side.far.order[walk.chunk].count - 1
    return True


cdef int32_t side_copy(const Side* side, int64_t* pairs, int32_t limit) noexcept nogil:
    """Copy up to `limit` levels as pairs (px, sz), best first; returns how many."""
    cdef Walk walk
    cdef int64_t key = 0
    cdef int32_t n = 0
    walk_begin(&walk, side)
    while n < limit and walk_next(&walk, &key, pairs + 2 * n + 1):
        pairs[2 * n] = key * side.sign
        n += 1
    return n


cdef void side_limit(Side* side, int64_t px) noexcept nogil:
    """Say that levels worse than `px` are not known, except as they change."""
    side.complete = max(side.complete, px * side.sign)


cdef inline int64_t _worst_key(const Side* side) noexcept nogil:
    """The lowest key of a side that has levels."""
    cdef int64_t near = INT64_MAX
    cdef int64_t far = INT64_MAX
    cdef int32_t group = 0
    cdef int32_t word
    if side.count:
        while side.summary[group] == 0:
            group += 1
        word = (group << 6) | ff_low(side.summary[group])
        near = side.base + ((word << 6) | ff_low(side.occupied[word])) * side.tick
    if side.far.used:
        far = side.far.order[0].keys[0]
    return min(near, far)


cdef void side_window(Side* side, int64_t levels) noexcept nogil:
    """The side shows the venue's best `levels` and no more: with as many, what lies beyond the worst is unknown."""
    side.complete = max(side.lost, _worst_key(side) if side_count(side) >= levels else INT64_MIN)


cdef int64_t side_complete_px(const Side* side) noexcept nogil:
    """The worst price down to which every level is known; ABSENT if the whole side is."""
    return ABSENT if side.complete == INT64_MIN else side.complete * side.sign


cdef class PyBook:
    """A book of its own, for tests and benchmarks and for readers that follow a whole book.

    Parameters
    ----------
    tick : tick size in price mantissas; 0 if unknown
    levels : levels a side that are kept outside of the window
    """

    def __cinit__(self, int64_t tick=1, int32_t levels=8192):
        book_init(&self.book, tick, levels)

    def __dealloc__(self):
        book_free(&self.book)

    def apply(self, bids, asks):
        """Set levels: iterables of (px, sz) mantissas, size 0 removes."""
        for px, sz in bids:
            _set(&self.book.bids, px, sz)
        for px, sz in asks:
            _set(&self.book.asks, px, sz)
        book_settle(&self.book)

    def clear(self):
        """Remove all levels."""
        book_clear(&self.book)

    def levels(self, int32_t limit=INT64_MAX >> 40):
        """Return (bids, asks) as lists of (px, sz), best first."""
        return self._side(&self.book.bids, limit), self._side(&self.book.asks, limit)

    cdef list _side(self, const Side* side, int32_t limit):
        cdef Walk walk
        cdef int64_t key = 0
        cdef int64_t sz = 0
        cdef list out = []
        walk_begin(&walk, side)
        while len(out) < limit and walk_next(&walk, &key, &sz):
            out.append((key * side.sign, sz))
        return out

    @property
    def complete_to(self):
        """Worst price (bid, ask) down to which every level is known; None: the whole side."""
        cdef int64_t bid = side_complete_px(&self.book.bids)
        cdef int64_t ask = side_complete_px(&self.book.asks)
        return None if bid == ABSENT else bid, None if ask == ABSENT else ask

    def check(self):
        """Walk the invariants; an AssertionError names the one that is broken."""
        self._check_side(&self.book.bids)
        self._check_side(&self.book.asks)

    cdef int _check_side(self, const Side* side) except -1:
        cdef int32_t i, j, word
        cdef int64_t seen = 0
        cdef int64_t last = INT64_MIN
        cdef Chunk* chunk
        if side.window != NULL:
            for i in range(WINDOW):
                word = i >> 6
                assert bool(side.window[i]) == bool(side.occupied[word] >> (i & 63) & 1), "bit of a slot"
                seen += side.window[i] != 0
            for word in range(WORDS):
                assert bool(side.occupied[word]) == bool(side.summary[word >> 6] >> (word & 63) & 1), "bit of a word"
        assert seen == side.count, "levels in the window"
        seen = 0
        for i in range(side.far.used):
            chunk = side.far.order[i]
            assert 0 < chunk.count <= CHUNK, "levels of a chunk"
            seen += chunk.count
            for j in range(chunk.count):
                assert chunk.keys[j] > last, "order of far levels"
                assert chunk.sizes[j] != 0, "size of a far level"
                assert _slot(side, chunk.keys[j]) < 0, "a level that belongs into the window"
                last = chunk.keys[j]
        assert seen == side.far.count, "levels in far"
        return 0

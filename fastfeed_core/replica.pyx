"""Whole books as a reader gets them: the published images, brought up to date from the ring's records.

Only whole messages are applied: what depth returns is a book that the feed had, at the position that is said.
"""

from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from fastfeed_core.attach cimport BusMap
from fastfeed_core.book cimport (
    Book,
    Side,
    book_clear,
    book_free,
    book_init,
    book_settle,
    side_apply,
    side_complete_px,
    side_copy,
    side_count,
    side_prime,
)
from fastfeed_core.event cimport ABSENT
from fastfeed_core.publish cimport CELL_HEAD
from fastfeed_core.records cimport (
    FLAG_FIRST,
    FLAG_LAST,
    KIND_DELTA,
    KIND_SNAPSHOT,
    KIND_STATUS,
    SCOPE_INSTRUMENT,
    STATE_LIVE,
    STATE_SYNCING,
    Head,
    ImageHead,
    LevelPair,
    LevelsRecord,
    State,
    StatusRecord,
)
from fastfeed_core.ring cimport (
    FF_LAPPED,
    ff_cell_read,
    ff_cell_valid,
    ff_cells,
    ff_head,
    ff_ring_advance,
    ff_ring_peek,
    ff_ring_reader,
    ff_ring_seek,
    ff_ring_valid,
)

from fastfeed_core.top import Unstable

cdef enum:
    #: copies of an image that may be overwritten under the reader before it gives up
    RETRIES = 100
    #: times in one call that the ring may overtake the reader and it takes the images again
    LOADS = 16


cdef struct Copy:
    #: an instrument's book as far as it has been read
    uint32_t instrument
    Book book
    State state
    int64_t sequence
    int64_t ts_event
    int64_t ts_recv
    uint64_t since                  # records before it are in the image already
    LevelPair* pairs                # of a message whose last fragment is still to come
    int64_t n_bids
    int64_t count
    int64_t capacity


cdef void _forget(Copy* copy) noexcept:
    book_clear(&copy.book)
    copy.state = STATE_SYNCING
    copy.sequence = ABSENT
    copy.ts_event = ABSENT
    copy.ts_recv = ABSENT
    copy.n_bids = 0
    copy.count = 0


cdef void _cover(Copy* copy, int64_t bid_px, int64_t ask_px) noexcept:
    """Take over the feed's coverage, as far as this copy has the levels: it grows and shrinks with each message."""
    copy.book.bids.complete = max(copy.book.bids.lost, bid_px)
    copy.book.asks.complete = max(copy.book.asks.lost, -ask_px if ask_px != ABSENT else INT64_MIN)


cdef void _fill(Copy* copy, const ImageHead* head, const LevelPair* pairs, uint64_t depth) noexcept:
    _forget(copy)
    copy.state = <State>head.state
    copy.sequence = head.sequence
    copy.ts_event = head.ts_event
    copy.ts_recv = head.ts_recv
    if head.n_bids:
        side_prime(&copy.book.bids, pairs[0].px)
    if head.n_asks:
        side_prime(&copy.book.asks, pairs[depth].px)
    side_apply(&copy.book.bids, <const int64_t*>pairs, head.n_bids)
    side_apply(&copy.book.asks, <const int64_t*>(pairs + depth), head.n_asks)
    book_settle(&copy.book)
    # A full image may have been cut off.
    if head.n_bids == depth:
        copy.book.bids.lost = head.complete_bid_px
    if head.n_asks == depth and head.complete_ask_px != ABSENT:
        copy.book.asks.lost = -head.complete_ask_px
    _cover(copy, head.complete_bid_px, head.complete_ask_px)


cdef int _gather(Copy* copy, const LevelPair* pairs, int64_t bids, int64_t asks) except -1:
    """Keep a fragment until the last one is there."""
    cdef int64_t needed = copy.count + bids + asks
    cdef LevelPair* memory
    if needed > copy.capacity:
        memory = <LevelPair*>realloc(copy.pairs, 2 * needed * sizeof(LevelPair))
        if memory == NULL:
            raise MemoryError
        copy.pairs = memory
        copy.capacity = 2 * needed
    memcpy(copy.pairs + copy.count, pairs, (bids + asks) * sizeof(LevelPair))
    copy.count = needed
    copy.n_bids += bids                     # all bids of a message stand before its asks
    return 0


cdef void _apply(Copy* copy, const LevelsRecord* record, const LevelPair* pairs, int64_t bids, int64_t asks) noexcept:
    """Apply a whole message; `record` is its last fragment."""
    if record.head.kind == KIND_SNAPSHOT:
        book_clear(&copy.book)
        if bids:
            side_prime(&copy.book.bids, pairs[0].px)
        if asks:
            side_prime(&copy.book.asks, pairs[bids].px)
        copy.state = STATE_LIVE
    side_apply(&copy.book.bids, <const int64_t*>pairs, bids)
    side_apply(&copy.book.asks, <const int64_t*>(pairs + bids), asks)
    book_settle(&copy.book)
    _cover(copy, record.complete_bid_px, record.complete_ask_px)
    copy.sequence = record.head.sequence
    copy.ts_event = record.head.ts_event
    copy.ts_recv = record.head.ts_recv


cdef class Replicas:
    """Whole books of one bus kept beside the feed's, all read by one cursor and therefore all of one moment.

    Parameters
    ----------
    map : the bus
    instruments : rows of the instrument table, each of an instrument with a book
    """

    cdef readonly BusMap map
    cdef Copy* copies
    cdef int count
    cdef Copy** by_row
    cdef uint32_t rows
    cdef ff_ring_reader reader
    cdef uint64_t begun             # where the message begins whose last fragment is still to come
    cdef Copy* unfinished           # ... and whose it is
    cdef char[65536] buffer
    cdef uint64_t newest            # where the newest of the images was taken
    cdef bint loaded
    cdef readonly int64_t loads     # times that images were read: 1 and one more for each lap

    def __cinit__(self, BusMap map not None, instruments):
        cdef Copy* copy
        cdef uint32_t row
        chosen = list(instruments)
        self.map = map
        self.rows = max(chosen) + 1
        self.copies = <Copy*>calloc(len(chosen), sizeof(Copy))
        self.by_row = <Copy**>calloc(self.rows, sizeof(Copy*))
        if self.copies == NULL or self.by_row == NULL:
            raise MemoryError
        for row in chosen:
            if self.by_row[row] != NULL:
                raise ValueError(f"row {row} is named twice")
            info = map.instrument(row)
            mantissa, exponent = info["tick_size"]
            copy = &self.copies[self.count]
            copy.instrument = row
            book_init(&copy.book, mantissa * 10 ** (exponent - info["px_exp"]), <int>map.header.images_depth)
            self.by_row[row] = copy
            self.count += 1

    def __dealloc__(self):
        cdef int i
        if self.copies != NULL:
            for i in range(self.count):
                book_free(&self.copies[i].book)
                free(self.copies[i].pairs)
        free(self.copies)
        free(self.by_row)

    cdef int _load(self) except -1:
        """Take the images, and stand in the ring where the first of them was taken."""
        cdef uint64_t depth = self.map.header.images_depth
        cdef LevelPair* pairs = <LevelPair*>malloc(2 * depth * sizeof(LevelPair))
        cdef uint64_t first = 0
        cdef uint64_t since
        cdef int i
        cdef int _tries
        if pairs == NULL:
            raise MemoryError
        self.unfinished = NULL
        self.loaded = False
        try:
            for _tries in range(RETRIES):
                for i in range(self.count):
                    self._load_one(&self.copies[i], pairs, depth)
                    since = self.copies[i].since
                    first = since if i == 0 else min(first, since)
                    self.newest = since if i == 0 else max(self.newest, since)
                self.map.ring_reader(&self.reader)
                if ff_ring_seek(&self.reader, first) == 1:
                    self.loaded = True
                    self.loads += 1
                    return 0
                # Overtaken meanwhile: the feed has moved the images on by now.
        finally:
            free(pairs)
        raise Unstable(f"the ring overtook {RETRIES} images")

    cdef int _load_one(self, Copy* copy, LevelPair* pairs, uint64_t depth) except -1:
        cdef const char* cell = self.map.image(copy.instrument)
        cdef const uint64_t* version = <const uint64_t*>cell
        cdef uint64_t slot_size = (self.map.header.images_stride - CELL_HEAD) // 2
        cdef ImageHead head
        cdef const char* source
        cdef unsigned slot = 0
        cdef uint64_t seen, cells
        cdef int _tries
        for _tries in range(RETRIES):
            cells = ff_cells(self.map.control)
            seen = ff_cell_read(version, &slot)
            if seen < 2:
                # The row is there, its first image still to come: no record of it stands before that.
                _forget(copy)
                copy.since = cells
                return 0
            source = cell + CELL_HEAD + slot * slot_size
            memcpy(&head, source, sizeof(ImageHead))
            # Counts are hints until the copy is found good.
            head.n_bids = min(head.n_bids, <uint32_t>depth)
            head.n_asks = min(head.n_asks, <uint32_t>depth)
            source += sizeof(ImageHead)
            memcpy(pairs, source, head.n_bids * sizeof(LevelPair))
            memcpy(pairs + depth, source + depth * sizeof(LevelPair), head.n_asks * sizeof(LevelPair))
            if ff_cell_valid(version, seen):
                _fill(copy, &head, pairs, depth)
                copy.since = <uint64_t>head.as_of
                return 0
        raise Unstable(f"{RETRIES} copies of the image of row {copy.instrument} were overwritten")

    cdef int _catch_up(self) except -1:
        """Apply what the ring holds up to the tail of now; what is written meanwhile is left for the next call."""
        cdef uint64_t target = self.map.last_flush()
        cdef int64_t last = self.loads + LOADS
        while not self.loaded or self.reader.position < target:
            if self.loaded:
                self.loaded = self._step(target) != FF_LAPPED
            elif self.loads == last:
                raise Unstable(f"the ring overtook the reader {LOADS} times")
            else:
                self._load()
                # All are of one moment, and that is no earlier than the newest image.
                target = max(target, self.newest)
        return 0

    cdef int _step(self, uint64_t target) except? -2:
        """Read one record unless the target is reached: 0, or FF_LAPPED."""
        cdef const ff_head* record = NULL
        cdef const Head* head
        cdef Copy* copy = NULL
        cdef int64_t length = ff_ring_peek(&self.reader, &record)
        cdef uint64_t at = self.reader.position     # behind the pads that it has stepped over
        cdef uint32_t row
        if length == FF_LAPPED:
            return FF_LAPPED
        if at >= target:
            return 0
        head = <const Head*>record
        # Hints until the record is found good.
        row = head.instrument
        if row < self.rows:
            copy = self.by_row[row]
        if copy != NULL:
            memcpy(self.buffer, record, length)
        if not ff_ring_valid(&self.reader, at):
            return FF_LAPPED
        ff_ring_advance(&self.reader, length)
        if copy != NULL and at >= copy.since:
            self._take(copy, at)
        return 0

    cdef int _take(self, Copy* copy, uint64_t at) except -1:
        """Take the record in the buffer, which stands at `at`."""
        cdef const Head* head = <const Head*>self.buffer
        cdef const LevelsRecord* record = <const LevelsRecord*>self.buffer
        cdef const StatusRecord* status = <const StatusRecord*>self.buffer
        cdef const LevelPair* pairs = <const LevelPair*>(self.buffer + sizeof(LevelsRecord))
        if head.kind == KIND_DELTA or head.kind == KIND_SNAPSHOT:
            if head.flags & FLAG_FIRST and head.flags & FLAG_LAST:
                _apply(copy, record, pairs, record.n_bids, record.n_asks)
                return 0
            if head.flags & FLAG_FIRST:
                self.begun = at
                self.unfinished = copy
                copy.count = 0
                copy.n_bids = 0
            elif self.unfinished != copy:
                return 0                    # its beginning was not read
            self.loaded = False             # without memory the message has a hole: take the image again
            _gather(copy, pairs, record.n_bids, record.n_asks)
            self.loaded = True
            if head.flags & FLAG_LAST:
                _apply(copy, record, copy.pairs, copy.n_bids, copy.count - copy.n_bids)
                self.unfinished = NULL
        elif head.kind == KIND_STATUS and status.scope == SCOPE_INSTRUMENT:
            if status.state == STATE_SYNCING:
                book_clear(&copy.book)
                copy.sequence = ABSENT
            copy.state = <State>status.state
        return 0

    def depth(self, int64_t limit=-1):
        """Return (books, position), all as of that position of the ring.

        A book is (state, bids, asks, complete_to, sequence, ts_event, ts_recv); bids and asks are bytearrays of pairs
        of int64 (px, sz), best first.

        Parameters
        ----------
        limit : levels a side, -1 for all

        Raises
        ------
        Unstable : images were overwritten or overtaken every time
        """
        cdef int i
        cdef int64_t now
        self._catch_up()
        now = self.map.now()
        # Of a message that has not come whole nothing is applied: who goes on from here reads it from its beginning.
        position = self.reader.position if self.unfinished == NULL else self.begun
        return [self._book(&self.copies[i], limit, now) for i in range(self.count)], position

    cdef tuple _book(self, Copy* copy, int64_t limit, int64_t now):
        cdef int64_t bid = ABSENT
        cdef int64_t ask = ABSENT
        bids = _pairs(&copy.book.bids, limit, &bid)
        asks = _pairs(&copy.book.asks, limit, &ask)
        return (
            <int>self.map.effective(copy.state, now),
            bids,
            asks,
            (None if bid == ABSENT else bid, None if ask == ABSENT else ask),
            None if copy.sequence == ABSENT else copy.sequence,
            None if copy.ts_event == ABSENT else copy.ts_event,
            None if copy.ts_recv == ABSENT else copy.ts_recv,
        )


cdef bytearray _pairs(const Side* side, int64_t limit, int64_t* complete):
    """Up to `limit` levels, best first, and the price down to which they are all there are."""
    cdef int64_t n = side_count(side)
    cdef int64_t* pairs
    cdef bytearray out
    cdef bint cut = 0 <= limit < n
    if cut:
        n = limit
    out = bytearray(n * <int64_t>sizeof(LevelPair))
    pairs = <int64_t*><char*>out
    side_copy(side, pairs, <int32_t>n)
    complete[0] = side_complete_px(side)
    if cut and n and (complete[0] == ABSENT or pairs[2 * n - 2] * side.sign > complete[0] * side.sign):
        complete[0] = pairs[2 * n - 2]
    return out

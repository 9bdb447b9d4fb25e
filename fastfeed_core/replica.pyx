"""Books as a reader gets them: the published top, and the whole book from image plus the ring's deltas."""

from decimal import Decimal

from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastfeed_core.attach cimport BusMap
from fastfeed_core.book cimport (
    Book,
    Side,
    Walk,
    book_clear,
    book_free,
    book_init,
    book_settle,
    side_apply,
    side_complete_px,
    side_count,
    side_prime,
    walk_begin,
    walk_next,
)
from fastfeed_core.event cimport ABSENT
from fastfeed_core.message cimport to_price
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
    TopHead,
)
from fastfeed_core.ring cimport (
    FF_EMPTY,
    FF_LAPPED,
    ff_cell_read,
    ff_cell_valid,
    ff_ring_reader,
    ff_ring_seek,
    ring_copy,
)

cdef enum:
    #: copies of a cell that may be overwritten under the reader before it gives up; the second hardly ever is
    RETRIES = 1000


class Unstable(Exception):
    """A cell was overwritten under every copy: the reader is starved of its processor."""


cdef class TopReader:
    """Reads the top cell of an instrument.

    Parameters
    ----------
    map : the bus
    instrument : row of the instrument table
    """

    cdef readonly BusMap map
    cdef uint32_t instrument
    cdef int px_exp
    cdef int sz_exp
    cdef char* copy
    cdef uint64_t slot_size
    cdef int32_t depth

    def __cinit__(self, BusMap map not None, uint32_t instrument):
        self.map = map
        self.instrument = instrument
        self.px_exp = map.row(instrument).px_exp
        self.sz_exp = map.row(instrument).sz_exp
        self.slot_size = (map.header.cells_stride - CELL_HEAD) // 2
        self.depth = <int32_t>map.header.cells_depth
        self.copy = <char*>malloc(self.slot_size)
        if self.copy == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.copy)

    cdef int _copy(self, int32_t n) except -1:
        cdef const uint64_t* version = <const uint64_t*>self.map.cell(self.instrument)
        cdef const char* slots = self.map.cell(self.instrument) + CELL_HEAD
        cdef unsigned slot = 0
        cdef uint64_t seen
        cdef int _tries
        cdef uint64_t side = <uint64_t>self.depth * sizeof(LevelPair)
        cdef uint64_t wanted = <uint64_t>n * sizeof(LevelPair)
        cdef const char* source
        for _tries in range(RETRIES):
            seen = ff_cell_read(version, &slot)
            source = slots + slot * self.slot_size
            memcpy(self.copy, source, sizeof(TopHead) + wanted)
            memcpy(self.copy + sizeof(TopHead) + side, source + sizeof(TopHead) + side, wanted)
            if ff_cell_valid(version, seen):
                return 0
        raise Unstable(f"top of instrument {self.instrument}: {RETRIES} copies were overwritten")

    def state(self):
        """Return the effective state: 0 syncing, 1 live, 2 stale."""
        self._copy(0)
        return <int>self.map.effective(<State>(<TopHead*>self.copy).state)

    def read(self, int32_t n, bint exact=False):
        """Return (state, bids, asks, sequence, ts_event, ts_recv, as_of): one consistent copy, whatever the state."""
        cdef const TopHead* head = <const TopHead*>self.copy
        cdef const LevelPair* pairs
        cdef State state
        if not 1 <= n <= self.depth:
            raise ValueError(f"levels out of range: expected 1 to {self.depth}, was {n}")
        self._copy(n)
        state = self.map.effective(<State>head.state)
        pairs = <const LevelPair*>(self.copy + sizeof(TopHead))
        return (
            <int>state,
            self._side(pairs, min(n, <int32_t>head.n_bids), exact),
            self._side(pairs + self.depth, min(n, <int32_t>head.n_asks), exact),
            None if head.sequence == ABSENT else head.sequence,
            None if head.ts_event == ABSENT else head.ts_event,
            None if head.ts_recv == ABSENT else head.ts_recv,
            head.as_of,
        )

    cdef list _side(self, const LevelPair* pairs, int32_t n, bint exact):
        cdef int32_t i
        if exact:
            return [(Decimal(pairs[i].px).scaleb(self.px_exp), Decimal(pairs[i].sz).scaleb(self.sz_exp))
                    for i in range(n)]
        return [(to_price(pairs[i].px, self.px_exp), to_price(pairs[i].sz, self.sz_exp)) for i in range(n)]


cdef class Replica:
    """A whole book kept beside the feed's: loaded from the image, then brought up to date from the ring.

    Parameters
    ----------
    map : the bus
    instrument : row of the instrument table, of an instrument with a book
    """

    cdef readonly BusMap map
    cdef uint32_t instrument
    cdef Book book
    cdef ff_ring_reader reader
    cdef char[65536] buffer
    cdef bint loaded
    cdef bint partial               # a message's last fragment is still to come
    cdef State state
    cdef int64_t sequence
    cdef int64_t ts_event
    cdef int64_t ts_recv
    cdef readonly int64_t loads     # images read: 1 and one more for each lap

    def __cinit__(self, BusMap map not None, uint32_t instrument):
        self.map = map
        self.instrument = instrument
        info = map.instrument(instrument)
        mantissa, exponent = info["tick_size"]
        book_init(&self.book, mantissa * 10 ** (exponent - info["px_exp"]), <int32_t>map.header.images_depth)
        self.sequence = ABSENT

    def __dealloc__(self):
        book_free(&self.book)

    cdef int _load(self) except -1:
        """Take the image, and stand in the ring where it was taken."""
        cdef const char* cell = self.map.image(self.instrument)
        cdef const uint64_t* version = <const uint64_t*>cell
        cdef uint64_t slot_size = (self.map.header.images_stride - CELL_HEAD) // 2
        cdef uint64_t depth = self.map.header.images_depth
        cdef char* copy = <char*>malloc(slot_size)
        cdef ImageHead head
        cdef const char* source
        cdef unsigned slot = 0
        cdef uint64_t seen
        cdef int _tries
        if copy == NULL:
            raise MemoryError
        try:
            for _tries in range(RETRIES):
                seen = ff_cell_read(version, &slot)
                source = cell + CELL_HEAD + slot * slot_size
                memcpy(&head, source, sizeof(ImageHead))
                # Counts are hints until the copy is found good.
                head.n_bids = min(head.n_bids, <uint32_t>depth)
                head.n_asks = min(head.n_asks, <uint32_t>depth)
                source += sizeof(ImageHead)
                memcpy(copy, source, head.n_bids * sizeof(LevelPair))
                memcpy(copy + depth * sizeof(LevelPair), source + depth * sizeof(LevelPair),
                       head.n_asks * sizeof(LevelPair))
                if not ff_cell_valid(version, seen):
                    continue
                self.map.ring_reader(&self.reader)
                if ff_ring_seek(&self.reader, head.as_of) != 1:
                    continue                # overtaken meanwhile: the feed has moved the image on by now
                self._fill(&head, <const LevelPair*>copy, depth)
                self.loads += 1
                return 0
        finally:
            free(copy)
        raise Unstable(f"image of instrument {self.instrument}: {RETRIES} copies were overwritten")

    cdef void _fill(self, const ImageHead* head, const LevelPair* pairs, uint64_t depth) noexcept:
        book_clear(&self.book)
        self.state = <State>head.state
        self.partial = False
        self.sequence = head.sequence
        self.ts_event = head.ts_event
        self.ts_recv = head.ts_recv
        self.loaded = True
        if head.n_bids:
            side_prime(&self.book.bids, pairs[0].px)
        if head.n_asks:
            side_prime(&self.book.asks, pairs[depth].px)
        side_apply(&self.book.bids, <const int64_t*>(pairs), head.n_bids)
        side_apply(&self.book.asks, <const int64_t*>(pairs + depth), head.n_asks)
        book_settle(&self.book)
        # A full image may have been cut off.
        if head.n_bids == depth:
            self.book.bids.lost = head.complete_bid_px
        if head.n_asks == depth and head.complete_ask_px != ABSENT:
            self.book.asks.lost = -head.complete_ask_px
        self._cover(head.complete_bid_px, head.complete_ask_px)

    cdef int _catch_up(self) except -1:
        """Apply the ring's records since; a lap takes the image again."""
        cdef int64_t length
        cdef int looks = RETRIES
        cdef const Head* head = <const Head*>self.buffer
        if not self.loaded:
            self._load()
        while True:
            length = ring_copy(&self.reader, self.buffer)
            if length == FF_LAPPED:
                self._load()
            elif length == FF_EMPTY:
                # The rest of a message follows at once, unless the feed died in the middle of it.
                looks -= 1
                if not self.partial or looks == 0:
                    return 0
            elif head.instrument == self.instrument:
                if head.kind == KIND_DELTA or head.kind == KIND_SNAPSHOT:
                    self._apply(<const LevelsRecord*>self.buffer)
                elif head.kind == KIND_STATUS:
                    self._status(<const StatusRecord*>self.buffer)

    cdef void _apply(self, const LevelsRecord* record) noexcept:
        cdef const LevelPair* pairs = <const LevelPair*>(<const char*>record + sizeof(LevelsRecord))
        if record.head.kind == KIND_SNAPSHOT and record.head.flags & FLAG_FIRST:
            book_clear(&self.book)
            if record.n_bids:
                side_prime(&self.book.bids, pairs[0].px)
        side_apply(&self.book.bids, <const int64_t*>(pairs), record.n_bids)
        side_apply(&self.book.asks, <const int64_t*>(pairs + record.n_bids), record.n_asks)
        book_settle(&self.book)
        self.partial = not record.head.flags & FLAG_LAST
        if not self.partial:
            self._cover(record.complete_bid_px, record.complete_ask_px)
            if record.head.kind == KIND_SNAPSHOT:
                self.state = STATE_LIVE
            self.sequence = record.head.sequence
            self.ts_event = record.head.ts_event
            self.ts_recv = record.head.ts_recv

    cdef void _cover(self, int64_t bid_px, int64_t ask_px) noexcept:
        """Take over the feed's coverage, as far as this copy has the levels: it grows and shrinks with each message."""
        self.book.bids.complete = max(self.book.bids.lost, bid_px)
        self.book.asks.complete = max(self.book.asks.lost, -ask_px if ask_px != ABSENT else INT64_MIN)

    cdef void _status(self, const StatusRecord* record) noexcept:
        if record.scope != SCOPE_INSTRUMENT:
            return
        self.state = <State>record.state
        if self.state == STATE_SYNCING:
            book_clear(&self.book)
            self.sequence = ABSENT

    def depth(self):
        """Return (state, bids, asks, complete_to, sequence, ts_event, ts_recv, offset) as of now.

        bids and asks are bytes of pairs of int64 (px, sz), best first.
        """
        cdef int64_t bid, ask
        self._catch_up()
        bid = side_complete_px(&self.book.bids)
        ask = side_complete_px(&self.book.asks)
        return (
            <int>self.map.effective(STATE_SYNCING if self.partial else self.state),
            _pairs(&self.book.bids),
            _pairs(&self.book.asks),
            (None if bid == ABSENT else bid, None if ask == ABSENT else ask),
            None if self.sequence == ABSENT else self.sequence,
            None if self.ts_event == ABSENT else self.ts_event,
            None if self.ts_recv == ABSENT else self.ts_recv,
            self.reader.position,
        )


cdef bytes _pairs(const Side* side):
    cdef Py_ssize_t size = side_count(side) * <Py_ssize_t>sizeof(LevelPair)
    cdef bytearray out = bytearray(size)
    cdef LevelPair* pairs = <LevelPair*><char*>out
    cdef Walk walk
    cdef int64_t key = 0
    cdef int64_t sz = 0
    cdef Py_ssize_t n = 0
    walk_begin(&walk, side)
    while walk_next(&walk, &key, &sz):
        pairs[n].px = key * side.sign
        pairs[n].sz = sz
        n += 1
    return bytes(out)

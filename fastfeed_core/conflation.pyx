"""Reading only what is newest: for each instrument and kind the last record, for each book the top as it is now."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from fastfeed_core.attach cimport BusMap
from fastfeed_core.event cimport ABSENT
from fastfeed_core.follower cimport NO_INSTRUMENT, UNKNOWN, WANTED, Follower
from fastfeed_core.message cimport BookTop, Event, make_event
from fastfeed_core.publish cimport CELL_HEAD
from fastfeed_core.records cimport (
    KIND_BBO,
    KIND_DELTA,
    KIND_SNAPSHOT,
    KIND_STATUS,
    KIND_TICKER,
    KIND_TRADE,
    STATE_LIVE,
    BboRecord,
    Head,
    LevelPair,
    State,
    TickerRecord,
    TopHead,
    TradeRecord,
)
from fastfeed_core.ring cimport (
    FF_EMPTY,
    FF_LAPPED,
    ff_cell_read,
    ff_cell_valid,
    ff_head,
    ff_ring_advance,
    ff_ring_peek,
    ff_ring_seek_oldest,
    ff_ring_valid,
)
from fastfeed_core.wake cimport ff_realtime

from fastfeed_core.message import STATES, make_status
from fastfeed_core.subscription import kind_numbers

#: what can be conflated: what is a state. A trade counts as the state "last trade"
STATE_KINDS = {"book": 0, "bbo": KIND_BBO, "trade": KIND_TRADE, "ticker": KIND_TICKER}

cdef enum:
    NOBODY = 0xFFFFFFFF
    MAX_RECORD = 128
    #: copies of a cell that may be overwritten under the reader before it gives up; the second hardly ever is
    RETRIES = 1000
    #: records that are read before whoever waits looks at the clock again
    RUN = 65536


#: the newest of one kind of one instrument, and its place in the queue
cdef struct Newest:
    uint64_t offset                 # of the record; a book: where the first change ends that was not delivered
    uint64_t end                    # a book: where the last one ends
    uint32_t next
    bint queued
    char[MAX_RECORD] record


class Unstable(Exception):
    """A cell was overwritten under every copy: the reader is starved of its processor."""


cdef class Conflation(Follower):
    """A reader that yields the newest of each instrument and kind that changed, in the order of the first change.

    Parameters
    ----------
    map : the bus
    names : names of the instruments to deliver; None: all
    kinds : of book, bbo, trade, ticker
    start : "oldest": with all that the ring still holds; "now": books at once, the rest as it comes
    levels : of a side of a book, 1 to what the bus publishes

    Raises
    ------
    ValueError : an unknown kind, or levels out of range
    """

    cdef readonly uint64_t merged   # records that gave way to newer ones before anybody asked
    cdef bint books
    cdef int columns                # slots of an instrument
    cdef int[256] column            # of a kind
    cdef Newest* slots
    cdef uint32_t first             # of the queue
    cdef uint32_t last
    cdef bint overtaken             # and nobody was told yet
    cdef bint heart_stopped
    cdef int levels

    def __init__(self, BusMap map not None, names=None, kinds=("book", "bbo", "ticker"), start="oldest", int levels=5):
        cdef int i
        numbers = kind_numbers(kinds, STATE_KINDS)
        if start not in ("oldest", "now"):
            raise ValueError(f"unknown start {start!r}: expected oldest or now; what is newest has no position")
        if not 1 <= levels <= <int64_t>map.header.cells_depth:
            raise ValueError(f"levels out of range: expected 1 to {map.header.cells_depth}, was {levels}")
        self.levels = levels
        self.books = 0 in numbers
        # Records that change a book mark it; what it is then stands in its cell.
        of_books = [KIND_DELTA, KIND_SNAPSHOT, KIND_STATUS] if self.books else []
        self.want(names, [each for each in numbers if each] + of_books)
        self.columns = 0
        for i in sorted(set(numbers)):
            self.column[i] = self.columns
            self.columns += 1
        for i in of_books:
            self.column[i] = 0
        self.stand(map, start)

    def __dealloc__(self):
        free(self.slots)

    cdef int stand(self, BusMap map, start) except -1:
        Follower.stand(self, map, start)
        self.first = self.last = NOBODY
        self.overtaken = False
        self.heart_stopped = False
        self.learn()
        return 0

    cdef int learn(self) except -1:
        """A slot for each kind of the new instruments; their books are news."""
        cdef uint32_t before = self.known
        cdef Newest* memory
        cdef uint64_t i
        Follower.learn(self)
        if self.known == before:
            return 0
        memory = <Newest*>realloc(self.slots, <size_t>self.known * self.columns * sizeof(Newest))
        if memory == NULL:
            self.known = before     # learned again at the next record, or never
            raise MemoryError
        self.slots = memory
        memset(&memory[before * self.columns], 0, <size_t>(self.known - before) * self.columns * sizeof(Newest))
        if self.books:
            for i in range(before, self.known):
                self.touch_book(<uint32_t>i)
        return 0

    # ---- reading

    cdef void put(self, uint32_t index, uint64_t end) noexcept nogil:
        """Queue a slot whose content is new; one that waits already keeps its place."""
        cdef Newest* slot = &self.slots[index]
        slot.end = end
        if slot.queued:
            self.merged += 1
            return
        if self.is_book(index):
            slot.offset = end
        slot.queued = True
        slot.next = NOBODY
        if self.last == NOBODY:
            self.first = index
        else:
            self.slots[self.last].next = index
        self.last = index

    cdef bint is_book(self, uint32_t index) noexcept nogil:
        return self.books and index % self.columns == 0

    cdef void touch_book(self, uint32_t instrument) noexcept nogil:
        """A book is news, whatever its last record was."""
        if self.wanted[instrument] and self.map.row(instrument).has_book:
            if not self.slots[<uint64_t>instrument * self.columns].queued:
                self.put(instrument * self.columns, 0)

    cdef void touch_books(self) noexcept nogil:
        cdef uint32_t i
        if self.books:
            for i in range(self.known):
                self.touch_book(i)

    cdef int drain(self) noexcept nogil:
        """Read what is there into the slots: True when all of it is, False if a row must be learned first."""
        cdef char[MAX_RECORD] copy
        cdef const ff_head* head = NULL
        cdef int64_t length
        cdef uint64_t offset
        cdef uint32_t instrument, index
        cdef uint8_t kind
        cdef int verdict, _i
        for _i in range(RUN):
            length = ff_ring_peek(&self.ring, &head)
            if length == FF_EMPTY:
                return True
            if length == FF_LAPPED:
                self.lapped()
                continue
            kind = head.kind
            instrument = (<const Head*>head).instrument
            verdict = self.verdict(kind, instrument)
            # Sizes that the compiler knows; the ring's guard page covers them whatever the record is.
            if kind == KIND_BBO:
                memcpy(copy, head, sizeof(BboRecord))
            elif kind == KIND_TRADE:
                memcpy(copy, head, sizeof(TradeRecord))
            elif kind == KIND_TICKER:
                memcpy(copy, head, sizeof(TickerRecord))
            offset = self.ring.position
            if not ff_ring_valid(&self.ring, offset):
                self.lapped()
                continue
            if instrument != NO_INSTRUMENT and instrument >= self.known:
                verdict = UNKNOWN if self.wanted_kinds[kind] else 0
            if verdict == UNKNOWN:
                return False
            ff_ring_advance(&self.ring, length)
            if verdict != WANTED or instrument == NO_INSTRUMENT:
                continue
            index = instrument * self.columns + self.column[kind]
            if kind == KIND_BBO or kind == KIND_TRADE or kind == KIND_TICKER:
                self.slots[index].offset = offset
                memcpy(self.slots[index].record, copy, MAX_RECORD)
                self.put(index, 0)
            elif self.map.row(instrument).has_book:
                self.put(index, self.ring.position)
        return True

    cdef void lapped(self) noexcept nogil:
        """Go on with the oldest that is safe, for as much as possible to stay known. Books are whole in their cells."""
        cdef uint64_t before = self.ring.count
        ff_ring_seek_oldest(&self.ring)
        self.ring.lost += self.ring.count - before
        self.overtaken = True
        self.touch_books()

    # ---- delivering

    cdef int64_t as_of(self, uint32_t instrument) noexcept nogil:
        """The ring position up to which the book's cell has everything."""
        cdef const char* cell = self.map.cell(instrument)
        cdef const uint64_t* version = <const uint64_t*>cell
        cdef uint64_t size = (self.map.header.cells_stride - CELL_HEAD) // 2
        cdef unsigned slot = 0
        cdef uint64_t seen
        cdef int64_t found
        while True:
            seen = ff_cell_read(version, &slot)
            found = (<const TopHead*>(cell + CELL_HEAD + slot * size)).as_of
            if ff_cell_valid(version, seen):
                return found

    cdef uint32_t next_due(self, uint32_t* before) noexcept nogil:
        """The first of the queue that can be delivered; a book waits for the flush that writes its cell."""
        cdef uint32_t index = self.first
        before[0] = NOBODY
        while index != NOBODY:
            if not self.is_book(index) or self.slots[index].offset == 0 or self.heart_stopped:
                return index
            if self.as_of(index // self.columns) >= <int64_t>self.slots[index].offset:
                return index
            before[0] = index
            index = self.slots[index].next
        return NOBODY

    cdef bint ready(self) noexcept nogil:
        cdef uint32_t before
        self.feel()
        return not self.drain() or self.overtaken or self.next_due(&before) != NOBODY

    cdef Event take(self):
        cdef uint32_t before, index
        cdef Newest* slot
        cdef Event event
        cdef bint done = False
        self.feel()
        while not done:
            with nogil:
                done = self.drain()
            if not done:
                self.meet()
        if self.overtaken:
            self.overtaken = False
            return make_status(scope="bus", state="stale", reason="lapped", ts=ff_realtime(),
                               generation=self.map.generation, offset=self.ring.position)
        index = self.next_due(&before)
        if index == NOBODY:
            return None
        slot = &self.slots[index]
        if self.is_book(index):
            event = self.top(index // self.columns)
        else:
            event = make_event(<const Head*>slot.record)
            event.offset = slot.offset
        if before == NOBODY:
            self.first = slot.next
        else:
            self.slots[before].next = slot.next
        if self.last == index:
            self.last = before
        slot.queued = False
        if self.is_book(index) and slot.end > event.offset and not self.heart_stopped:
            self.put(index, slot.end)       # of the changes since, the next flush tells
        event.generation = self.map.generation
        event.ref = self.ref(index // self.columns)
        if self.latency != NULL and event.head.ts_publish != ABSENT:
            self.measure(event.head.ts_publish, ff_realtime())
        return event

    cdef int meet(self) except -1:
        """Learn of new rows; a record of an instrument that has none is stepped over."""
        cdef const ff_head* head = NULL
        cdef int64_t length
        self.learn()
        length = ff_ring_peek(&self.ring, &head)
        if length > 0 and (<const Head*>head).instrument >= self.known and ff_ring_valid(&self.ring,
                                                                                        self.ring.position):
            ff_ring_advance(&self.ring, length)
        return 0

    cdef BookTop top(self, uint32_t instrument):
        """The best levels of now, from the cell."""
        cdef const char* cell = self.map.cell(instrument)
        cdef const uint64_t* version = <const uint64_t*>cell
        cdef uint64_t size = (self.map.header.cells_stride - CELL_HEAD) // 2
        cdef uint64_t side = self.map.header.cells_depth * sizeof(LevelPair)
        cdef unsigned slot = 0
        cdef uint64_t seen
        cdef const char* source
        cdef TopHead head
        cdef int n_bids, n_asks, _tries
        cdef BookTop event
        for _tries in range(RETRIES):
            seen = ff_cell_read(version, &slot)
            source = cell + CELL_HEAD + slot * size
            memcpy(&head, source, sizeof(TopHead))
            n_bids = min(<int>head.n_bids, self.levels)
            n_asks = min(<int>head.n_asks, self.levels)
            source += sizeof(TopHead)
            pairs = PyBytes_FromStringAndSize(NULL, (n_bids + n_asks) * <Py_ssize_t>sizeof(LevelPair))
            memcpy(<char*>pairs, source, n_bids * sizeof(LevelPair))
            memcpy(<char*>pairs + n_bids * sizeof(LevelPair), source + side, n_asks * sizeof(LevelPair))
            if ff_cell_valid(version, seen):
                break
        else:
            raise Unstable(f"cell of instrument {instrument}: {RETRIES} copies were overwritten")
        event = BookTop.__new__(BookTop)
        event.head.instrument = instrument
        event.head.connection = 0xFFFF
        event.head.ts_event = head.ts_event
        event.head.ts_send = ABSENT
        event.head.ts_recv = head.ts_recv
        event.head.ts_publish = head.ts_publish
        event.head.sequence = head.sequence
        event.offset = <uint64_t>head.as_of
        event.state = STATES[<int>self.map.effective(<State>head.state, self.map.now())]
        event._complete_bid_px = head.complete_bid_px
        event._complete_ask_px = head.complete_ask_px
        event._pairs = pairs
        event._n_bids = n_bids
        return event

    cdef void feel(self) noexcept nogil:
        """When the feed's heart stops, or beats again, the state of every book is another one."""
        cdef bint stopped = self.map.effective(STATE_LIVE, self.map.now()) != STATE_LIVE
        if stopped != self.heart_stopped:
            self.heart_stopped = stopped
            self.touch_books()

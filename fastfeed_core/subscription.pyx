"""Reading the ring in order: filters below Python, fragments put together, as events or numpy batches."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastfeed_core.attach cimport BusMap
from fastfeed_core.batch cimport KIND_COUNT, LEVELS, Batch, Column
from fastfeed_core.follower cimport UNKNOWN, WANTED, Follower
from fastfeed_core.message cimport Event, make_event, make_levels, make_status_event
from fastfeed_core.records cimport (
    FLAG_FIRST,
    FLAG_LAST,
    KIND_DELTA,
    KIND_SNAPSHOT,
    KIND_STATUS,
    Head,
    LevelPair,
    LevelsRecord,
    StatusRecord,
)
from fastfeed_core.ring cimport (
    FF_EMPTY,
    FF_LAPPED,
    ff_head,
    ff_ring_advance,
    ff_ring_peek,
    ff_ring_recover,
    ff_ring_valid,
)
from fastfeed_core.wake cimport ff_realtime

from fastfeed_core.message import KINDS

cdef enum:
    #: besides a length, FF_EMPTY and FF_LAPPED: an instrument to look up, many records stepped over, no room in a batch
    FOUND_UNKNOWN = -2
    FOUND_LATER = -3
    FOUND_NO_ROOM = -4
    #: records that are stepped over with the GIL held
    SKIP_WITH_GIL = 64
    #: records that are validated together
    RUN = 256


cdef class Subscription(Follower):
    """A reader of all wanted events, in order.

    Parameters
    ----------
    map : the bus
    names : names of the instruments to deliver; None: all
    kinds : kinds to deliver (bbo, trade, delta, snapshot, ticker, bar, liquidation, status); None: all
    start : "now", "oldest", or an offset of this generation

    Raises
    ------
    Overwritten : the ring does not hold that offset any more, or not yet; a LookupError
    ValueError : no record starts there, or an unknown kind
    """

    cdef Batch gathered
    # A message of several fragments that is not whole yet.
    cdef bytearray bids
    cdef bytearray asks
    cdef uint64_t first_offset
    cdef uint64_t first_count
    cdef bint cut                   # the last lap may have ended in the middle of a message

    def __init__(self, BusMap map not None, names=None, kinds=None, start="now"):
        self.want(names, kind_numbers(KINDS if kinds is None else kinds, KINDS))
        self.gathered = Batch()
        self.stand(map, start)

    cdef int stand(self, BusMap map, start) except -1:
        self.bids = None
        self.cut = False
        return Follower.stand(self, map, start)

    cdef uint64_t place(self) noexcept nogil:
        return self.ring.position if self.bids is None else self.first_offset

    cdef uint64_t before(self) noexcept nogil:
        return self.ring.count if self.bids is None else self.first_count

    # ---- events

    cdef int64_t find(self, const ff_head** out, int64_t skip) noexcept nogil:
        """Step over what is not wanted: the length of the record that then stands at the position, or why not."""
        cdef const ff_head* head = NULL
        cdef int64_t length
        cdef int verdict
        while skip > 0:
            length = ff_ring_peek(&self.ring, &head)
            if length == FF_EMPTY:
                return FF_EMPTY
            if length != FF_LAPPED:
                verdict = self.verdict(head.kind, (<const Head*>head).instrument)
                if verdict == WANTED:
                    out[0] = head
                    return length
                if ff_ring_valid(&self.ring, self.ring.position):
                    if verdict == UNKNOWN:
                        return FOUND_UNKNOWN
                    ff_ring_advance(&self.ring, length)
                    skip -= 1
                    continue
            self.lapped()
        return FOUND_LATER

    cdef void lapped(self) noexcept nogil:
        """Go on where there is time to catch up. What was read of a message is of no use any more: lost as well."""
        if self.bids is not None:
            self.torn += self.ring.count - self.first_count
            with gil:
                self.bids = None
        ff_ring_recover(&self.ring)
        self.cut = True

    cdef bint ready(self) noexcept nogil:
        cdef const ff_head* head = NULL
        cdef int64_t length = FOUND_LATER
        while length == FOUND_LATER:
            length = self.find(&head, 1 << 20)
        return length != FF_EMPTY

    cdef Event take(self):
        cdef const ff_head* head = NULL
        cdef Event event
        cdef StatusRecord status
        cdef uint64_t offset
        cdef int64_t length
        cdef uint8_t kind
        while True:
            length = self.find(&head, SKIP_WITH_GIL)
            while length == FOUND_LATER:
                with nogil:
                    length = self.find(&head, 1 << 20)
            if length == FF_EMPTY:
                return None
            if length == FOUND_UNKNOWN:
                self.meet()
                continue
            offset = self.ring.position
            kind = head.kind
            if kind == KIND_DELTA or kind == KIND_SNAPSHOT:
                event = self.take_levels(<const LevelsRecord*>head, length)
                if event is None:
                    continue
            else:
                if kind == KIND_STATUS:
                    status = (<const StatusRecord*>head)[0]
                else:
                    event = make_event(<const Head*>head)
                if not ff_ring_valid(&self.ring, offset):
                    self.lapped()
                    continue
                ff_ring_advance(&self.ring, length)
                if kind == KIND_STATUS:
                    event = make_status_event(&status)
                event.offset = offset
            self.cut = False
            event.generation = self.map.generation
            event.ref = self.ref(event.head.instrument)
            if self.latency != NULL:
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

    cdef Event take_levels(self, const LevelsRecord* source, int64_t length):
        """Step over a fragment: an event if it is the last one of its message, None before that or after a lap."""
        cdef LevelsRecord record = source[0]
        cdef uint64_t offset = self.ring.position
        cdef Event event
        # Counts are hints until the copy is found good.
        cdef int64_t most = max(<int64_t>0, length - <int64_t>sizeof(LevelsRecord)) // <int64_t>sizeof(LevelPair)
        cdef int64_t n_bids = min(<int64_t>record.n_bids, most)
        cdef int64_t n = min(<int64_t>record.n_bids + record.n_asks, most)
        cdef bytes pairs = PyBytes_FromStringAndSize(<const char*>source + sizeof(LevelsRecord),
                                                     n * <int64_t>sizeof(LevelPair))
        cdef Py_ssize_t bids = n_bids * <int64_t>sizeof(LevelPair)
        if not ff_ring_valid(&self.ring, offset):
            self.lapped()
            return None
        ff_ring_advance(&self.ring, length)
        if record.head.flags & FLAG_FIRST:
            self.bids = None
            if record.head.flags & FLAG_LAST:
                event = make_levels(&record, pairs, n_bids)
                event.offset = offset
                return event
            self.bids = bytearray()
            self.asks = bytearray()
            self.first_offset = offset
            self.first_count = self.ring.count - 1
        elif self.bids is None:
            # Its first fragment lies before the start, or was overwritten.
            self.torn += self.cut
            return None
        self.cut = False
        self.bids += pairs[:bids]
        self.asks += pairs[bids:]
        if not record.head.flags & FLAG_LAST:
            return None
        event = make_levels(&record, bytes(self.bids) + self.asks, len(self.bids) // <Py_ssize_t>sizeof(LevelPair))
        event.offset = self.first_offset
        self.bids = None
        return event

    # ---- batches

    def batch(self, Py_ssize_t max=65536):
        """Return up to `max` records that are there as numpy arrays by kind, without waiting.

        Returns
        -------
        {kind: structured array} of the kinds that came. Fields are those of the record and `position`, its offset in
        the ring: sorting by it restores the order between kinds. `delta` and `snapshot` hold a row for each fragment
        with `first_level`, an index into the array `levels` (px, sz): `n_bids` bids from there, then `n_asks` asks.

        Raises
        ------
        PublisherGone : the feed died; once
        """
        cdef int64_t left = max
        cdef int64_t state = 0
        if self.map is None:
            raise ValueError("expected a reader of a bus, was one of none")
        if self.lent:
            self.claim_back()
        self.pushed = None          # of a restart: `restarts` tells
        if self.bids is not None:
            # Events have taken the first fragments of a message: they are rows here.
            self.ring.position = self.first_offset
            self.ring.count = self.first_count
            self.bids = None
        self.gathered.clear()
        while left > 0:
            with nogil:
                while left > 0:
                    state = self.run(&left)
                    if state != 0:
                        break
            if state == FOUND_NO_ROOM:
                self.gathered.grow()
            elif state == FOUND_UNKNOWN:
                self.meet()
            elif state == FF_LAPPED:
                self.lapped()
            elif state == FOUND_LATER:
                break
        if left < max:
            self.pulse()
        else:
            self.rest()
            self.pushed = None
        return self.gathered.arrays()

    cdef int64_t run(self, int64_t* left) noexcept nogil:
        """Gather a run of records that one look at `claimed` validates: 0, or why it ended; FOUND_LATER is the end."""
        cdef const ff_head* head = NULL
        cdef uint64_t position = self.ring.position
        cdef uint64_t count = self.ring.count
        cdef int64_t[LEVELS + 1] before
        cdef int64_t taken = 0
        cdef int64_t length = 0
        cdef int64_t result = 0
        cdef int verdict
        cdef int i, _i
        for i in range(LEVELS + 1):
            before[i] = self.gathered.columns[i].count
        for _i in range(RUN):
            length = ff_ring_peek(&self.ring, &head)
            if length <= 0:
                result = FOUND_LATER if length == FF_EMPTY else FF_LAPPED
                break
            verdict = self.verdict(head.kind, (<const Head*>head).instrument)
            if verdict == WANTED:
                if not self.gathered.gather(<const Head*>head, length, self.ring.position):
                    result = FOUND_NO_ROOM
                    break
                taken += 1
            elif verdict == UNKNOWN:
                result = FOUND_UNKNOWN
                break
            ff_ring_advance(&self.ring, length)
            if taken == left[0]:
                break
        if result == FF_LAPPED or not ff_ring_valid(&self.ring, position):
            # The run's first record may be gone, and with it whatever was read behind it: all of it is lost.
            for i in range(LEVELS + 1):
                self.gathered.columns[i].count = before[i]
            self.ring.position = position
            self.ring.count = count
            return FF_LAPPED
        left[0] -= taken
        if self.latency != NULL and taken:
            self.measure_rows(before)
        return result

    cdef void measure_rows(self, const int64_t* before) noexcept nogil:
        """Count the latency of the rows that a run added, by one clock."""
        cdef int64_t now = ff_realtime()
        cdef const Column* column
        cdef int64_t row
        cdef int i
        for i in range(KIND_COUNT):
            column = &self.gathered.columns[i]
            for row in range(before[i], column.count):
                self.measure((<const Head*>(column.rows + row * column.size + 16)).ts_publish, now)


def kind_numbers(kinds, known):
    """Return the numbers of kinds by name; ValueError names those that are known."""
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"unknown kind {kind!r}: expected some of {', '.join(known)}")
    return [known[kind] for kind in kinds]

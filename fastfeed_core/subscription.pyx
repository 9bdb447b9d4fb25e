"""Reading the ring: filters below Python, fragments put together, events or numpy batches, and sleeping until more."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from fastfeed_core.attach cimport BusMap
from fastfeed_core.message cimport Event, InstrumentRef, make_event, make_levels
from fastfeed_core.records cimport (
    FLAG_FIRST,
    FLAG_LAST,
    KIND_BAR,
    KIND_BBO,
    KIND_DELTA,
    KIND_LIQUIDATION,
    KIND_SNAPSHOT,
    KIND_STATUS,
    KIND_TICKER,
    KIND_TRADE,
    BarRecord,
    BboRecord,
    Head,
    LevelPair,
    LevelsRecord,
    LiquidationRecord,
    StatusRecord,
    TickerRecord,
    TradeRecord,
)
from fastfeed_core.ring cimport (
    FF_EMPTY,
    FF_LAPPED,
    ff_head,
    ff_ring_peek,
    ff_ring_reader,
    ff_ring_recover,
    ff_ring_seek,
    ff_ring_seek_oldest,
    ff_ring_seek_tail,
    ring_copy,
)
from fastfeed_core.wake cimport ff_monotonic, ff_prepare_sleep, ff_sleep

from fastfeed_core import records
from fastfeed_core.message import KINDS

cdef enum:
    KIND_COUNT = 9
    NO_INSTRUMENT = 0xFFFFFFFF

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(__i386__)
    #define ff_relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define ff_relax() __asm__ __volatile__("yield")
    #else
    #define ff_relax() ((void)0)
    #endif
    #include <sched.h>
    """
    void ff_relax() noexcept nogil
    int sched_yield() noexcept nogil


#: rows of one kind gathered for a batch: 16 bytes of position and first level, then the record
cdef struct Column:
    char* rows
    int64_t count
    int64_t capacity
    int64_t size


cdef class Subscription:
    """A cursor in the ring of a bus.

    Parameters
    ----------
    map : the bus
    names : names of the instruments to deliver; None: all
    kinds : kinds to deliver (bbo, trade, delta, snapshot, ticker, bar, liquidation, status); None: all
    start : "now", "oldest", or an offset of this generation

    Raises
    ------
    LookupError : the ring does not hold that offset any more
    ValueError : no record starts there, or an unknown kind
    """

    cdef readonly BusMap map
    cdef ff_ring_reader reader
    cdef char[65536] buffer
    cdef list _refs
    cdef object _names
    cdef uint8_t[KIND_COUNT] _wanted_kinds
    cdef object _bids
    cdef object _asks
    cdef uint64_t _first_offset
    cdef Column[KIND_COUNT] columns
    cdef Column levels

    def __cinit__(self, BusMap map not None, names=None, kinds=None, start="now"):
        cdef int found
        self.map = map
        self._refs = []
        self._names = None if names is None else frozenset(names)
        for kind in (KINDS if kinds is None else kinds):
            if kind not in KINDS:
                raise ValueError(f"unknown kind {kind!r}: expected some of {', '.join(KINDS)}")
            self._wanted_kinds[<int>KINDS[kind]] = True
        map.ring_reader(&self.reader)
        if start == "now":
            ff_ring_seek_tail(&self.reader)
        elif start == "oldest":
            ff_ring_seek_oldest(&self.reader)
        else:
            found = ff_ring_seek(&self.reader, start)
            if found == 0:
                raise LookupError(f"the ring does not hold offset {start}: it ends at {map.tail}")
            if found < 0:
                raise ValueError(f"no record starts at offset {start}")
        self.columns[<int>KIND_BBO].size = 16 + sizeof(BboRecord)
        self.columns[<int>KIND_TRADE].size = 16 + sizeof(TradeRecord)
        self.columns[<int>KIND_DELTA].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_SNAPSHOT].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_STATUS].size = 16 + sizeof(StatusRecord)
        self.columns[<int>KIND_TICKER].size = 16 + sizeof(TickerRecord)
        self.columns[<int>KIND_BAR].size = 16 + sizeof(BarRecord)
        self.columns[<int>KIND_LIQUIDATION].size = 16 + sizeof(LiquidationRecord)
        self.levels.size = sizeof(LevelPair)

    def __dealloc__(self):
        cdef int i
        for i in range(KIND_COUNT):
            free(self.columns[i].rows)
        free(self.levels.rows)

    @property
    def offset(self):
        """Ring position of the next record."""
        return self.reader.position

    @property
    def lost(self):
        """Records that were overwritten before they were read, before any filter."""
        return self.reader.lost

    @property
    def read(self):
        """Records before the position."""
        return self.reader.count

    cdef InstrumentRef _ref(self, uint32_t instrument):
        """The instrument's reference; rows are append-only, so a new one is looked up once."""
        while instrument >= len(self._refs):
            row = self.map.instrument(len(self._refs))
            self._refs.append(InstrumentRef(row["name"], row["px_exp"], row["sz_exp"],
                                            self._names is None or row["name"] in self._names))
        return self._refs[instrument]

    cdef int64_t _next(self) noexcept nogil:
        """Copy the next record: its length or FF_EMPTY. A lap drops a message that was being put together."""
        cdef int64_t length = ring_copy(&self.reader, self.buffer)
        while length == FF_LAPPED:
            ff_ring_recover(&self.reader)
            length = ring_copy(&self.reader, self.buffer)
        return length

    def poll(self, Py_ssize_t max=1000):
        """Return up to `max` events, without waiting."""
        cdef list out = []
        cdef Event event
        while len(out) < max:
            event = self.next()
            if event is None:
                break
            out.append(event)
        return out

    cpdef Event next(self):
        """Return the next event, None if there is none yet."""
        cdef const Head* head = <const Head*>self.buffer
        cdef InstrumentRef ref
        cdef Event event
        cdef uint64_t offset, lost
        cdef int64_t length
        while True:
            lost = self.reader.lost
            length = self._next()
            if length == FF_EMPTY:
                return None
            if self.reader.lost != lost:
                self._bids = None
            if head.kind >= KIND_COUNT or not self._wanted_kinds[head.kind]:
                continue
            ref = None
            if head.instrument != NO_INSTRUMENT:
                ref = self._ref(head.instrument)
                if not ref.wanted:
                    continue
            offset = self.reader.position - ((length + 63) & ~<uint64_t>63)
            if head.kind == KIND_DELTA or head.kind == KIND_SNAPSHOT:
                event = self._levels(<const LevelsRecord*>self.buffer, offset, ref)
            else:
                event = make_event(self.buffer, offset, self.map.generation, ref)
            if event is not None:
                return event

    cdef Event _levels(self, const LevelsRecord* record, uint64_t offset, InstrumentRef ref):
        """An event when the last fragment is there; fragments without their first are dropped."""
        cdef const char* pairs = <const char*>record + sizeof(LevelsRecord)
        cdef Py_ssize_t bids = record.n_bids * <Py_ssize_t>sizeof(LevelPair)
        cdef Py_ssize_t asks = record.n_asks * <Py_ssize_t>sizeof(LevelPair)
        cdef uint8_t flags = record.head.flags
        if flags & FLAG_FIRST:
            if flags & FLAG_LAST:
                self._bids = None
                return make_levels(record, offset, self.map.generation, ref, pairs[:bids],
                                   (pairs + bids)[:asks])
            self._bids = bytearray()
            self._asks = bytearray()
            self._first_offset = offset
        elif self._bids is None:
            return None
        self._bids += pairs[:bids]
        self._asks += (pairs + bids)[:asks]
        if not flags & FLAG_LAST:
            return None
        event = make_levels(record, self._first_offset, self.map.generation, ref, bytes(self._bids),
                            bytes(self._asks))
        self._bids = None
        return event

    # ---- batches

    def batch(self, Py_ssize_t max=65536):
        """Return up to `max` records as numpy arrays, without waiting.

        Returns
        -------
        {kind: structured array} of the kinds that came. Fields are those of the record and `position`, its offset in
        the ring: sorting by it restores the order between kinds. `delta` and `snapshot` hold a row for each fragment
        with `first_level`, an index into the array `levels` (px, sz): `n_bids` bids from there, then `n_asks` asks.
        """
        cdef int64_t length
        cdef Py_ssize_t done = 0
        cdef const Head* head = <const Head*>self.buffer
        cdef int i
        for i in range(KIND_COUNT):
            self.columns[i].count = 0
        self.levels.count = 0
        while done < max:
            length = self._next()
            if length == FF_EMPTY:
                break
            done += 1
            if head.kind >= KIND_COUNT or not self._wanted_kinds[head.kind]:
                continue
            if self._names is not None and head.instrument != NO_INSTRUMENT and not self._ref(head.instrument).wanted:
                continue
            self._gather(<const Head*>self.buffer, self.reader.position - ((length + 63) & ~<uint64_t>63))
        return self._arrays()

    cdef int _gather(self, const Head* head, uint64_t offset) except -1:
        cdef Column* column = &self.columns[head.kind]
        cdef const LevelsRecord* record
        cdef char* row = _row(column, 1)
        cdef int64_t n
        memcpy(row, &offset, 8)
        memcpy(row + 8, &self.levels.count, 8)
        memcpy(row + 16, head, column.size - 16)
        if head.kind == KIND_DELTA or head.kind == KIND_SNAPSHOT:
            record = <const LevelsRecord*>head
            n = record.n_bids + record.n_asks
            if n:
                memcpy(_row(&self.levels, n), <const char*>record + sizeof(LevelsRecord), n * sizeof(LevelPair))
        return 0

    def _arrays(self):
        cdef int i
        cdef Column* column
        import numpy as np

        out = {}
        for name, i in KINDS.items():
            column = &self.columns[i]
            if column.count:
                out[name] = np.frombuffer(column.rows[:column.count * column.size], dtype=_batch_dtype(name))
        if self.levels.count:
            out["levels"] = np.frombuffer(self.levels.rows[:self.levels.count * self.levels.size],
                                          dtype=records.dtype("LevelPair"))
        return out

    # ---- waiting

    def wait(self, str how not None, int64_t timeout_ns):
        """Wait until the ring holds a record behind the position: True; False after the time is up.

        "block" sleeps in the kernel until the feed wakes it, "yield" gives the core away between looks, "spin" keeps
        it. The GIL is released.
        """
        cdef bint found
        cdef bint block = how == "block"
        cdef bint spin = how == "spin"
        with nogil:
            found = self._sleep(timeout_ns) if block else self._look(spin, timeout_ns)
        return bool(found)

    cdef inline bint _has_more(self) noexcept nogil:
        cdef const ff_head* head = NULL
        return ff_ring_peek(&self.reader, &head) != FF_EMPTY

    cdef bint _sleep(self, int64_t timeout_ns) noexcept nogil:
        cdef const uint32_t* word = <const uint32_t*>&self.map.live.wake
        cdef uint32_t nobody = 0
        cdef uint32_t* sleepers = self.map.sleepers
        cdef uint32_t seen
        if sleepers == NULL:
            # Nobody would wake us: look every millisecond.
            sleepers = &nobody
            timeout_ns = min(timeout_ns, <int64_t>1000000)
        if self._has_more():
            return True
        seen = ff_prepare_sleep(word, sleepers)
        if self._has_more():
            return True
        ff_sleep(word, seen, timeout_ns)
        return self._has_more()

    cdef bint _look(self, bint spin, int64_t timeout_ns) noexcept nogil:
        cdef int64_t until = ff_monotonic() + timeout_ns
        cdef int _i
        while True:
            # A clock read costs as much as a look, and a yield may take a whole time slice.
            for _i in range(256 if spin else 4):
                if self._has_more():
                    return True
                if spin:
                    ff_relax()
                else:
                    sched_yield()
            if ff_monotonic() >= until:
                return self._has_more()


cdef char* _row(Column* column, int64_t rows) except NULL:
    """Room for more rows at the column's end."""
    cdef char* memory
    cdef int64_t at = column.count
    if column.count + rows > column.capacity:
        column.capacity = 2 * (column.count + rows) + 64
        memory = <char*>realloc(column.rows, column.capacity * column.size)
        if memory == NULL:
            raise MemoryError
        column.rows = memory
    column.count += rows
    return column.rows + at * column.size


_dtypes = {}


def _batch_dtype(name):
    import numpy as np

    if name not in _dtypes:
        record = "LevelsRecord" if name in ("delta", "snapshot") else f"{name.capitalize()}Record"
        plain = records.dtype(record)
        names = [field for field in plain.names if field != "stamp"]
        if name not in ("delta", "snapshot"):
            extra = ["position"]
        else:
            extra = ["position", "first_level"]
        _dtypes[name] = np.dtype({
            "names": extra + names,
            "formats": ["i8"] * len(extra) + [plain.fields[field][0] for field in names],
            "offsets": [8 * i for i in range(len(extra))] + [16 + plain.fields[field][1] for field in names],
            "itemsize": 16 + plain.itemsize,
        })
    return _dtypes[name]

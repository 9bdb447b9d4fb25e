"""The files of a bus: their names, their layout, and the one process that writes them.

Three files in one folder of the system's shared memory: `fastfeed.NAME.lock`, held by the feed for as long as it lives;
`fastfeed.NAME.data`, which readers map read-only; `fastfeed.NAME.readers`, in which readers say how far they are and
which the feed never opens again. The data file is built under another name and renamed when it is ready, so that a
reader never sees half of one and a new generation never touches memory that others have mapped. The feed holds a lock
on the data file too: a reader that can take it knows that the feed is dead, however it died. All that the feed sees of
its readers is the bell (`wake.h`), a flag in a segment that nobody can cut short.
"""

import errno
import fcntl
import mmap
import os
import time

from fastfeed_core import records
from fastfeed_core.files import allocate, folder, make, path, remove, same_file, share, take_lock
from fastfeed_core.readers import create_rows
from fastfeed_core.room import NoRoom, huge_bytes, require

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastfeed_core.counters cimport latency_init
from fastfeed_core.event cimport ABSENT
from fastfeed_core.plan cimport HUGE_PAGE, plan_file
from fastfeed_core.publish cimport CELL_HEAD, publish_status, publisher_flush, publisher_prepare
from fastfeed_core.records cimport (
    LAYOUT_VERSION,
    MAGIC,
    MAX_PAIRS,
    BusLive,
    ImageHead,
    InstrumentRow,
    LatencyHead,
    LevelPair,
    LevelsRecord,
    Reason,
    ScopeCode,
    State,
    TopHead,
)
from fastfeed_core.ring cimport FF_LINE, ff_max_record, ff_ring_control, ff_ring_init
from fastfeed_core.wake cimport ff_bell_create, ff_bell_detach, ff_monotonic, ff_wake

cdef enum:
    LIVE_OFFSET = 512           # of BusLive inside of the header page
    LIVE_READY = 1
    LIVE_CLOSED = 2
    #: of Linux 5.14 and 6.1, and later; Python's mmap has no names for them
    MADV_POPULATE_WRITE = 23
    MADV_COLLAPSE = 25

KINDS = ("spot", "swap", "future", "option")
OPTION_TYPES = (None, "call", "put")


def process_start(int pid):
    """Return the start time of a process in clock ticks since boot, 0 if it cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[19])
    except OSError:
        return 0


cdef class BusWriter:
    """A bus that this process writes.

    Parameters
    ----------
    name : of the bus; None: private memory of this process, without files, where `ts_publish` is the given `ts_recv`
    ring : bytes of the ring, a power of two of at least 64 KiB
    instruments : rows of the instrument table; address space is reserved for all, memory is taken as they come
    top : levels a side of the top cells
    levels : levels a side of the images of whole books
    group : id of a group that may read the bus; None: only this user
    huge_pages : ask for huge pages; `huge_bytes` says how many bytes have them

    Raises
    ------
    BlockingIOError : another process writes a bus of this name
    PermissionError : what stands in the place of the files is another user's, or the group is not one of this user's
    OSError : no room (NoRoom, or ENOSPC)
    """

    def __cinit__(self, str name=None, *, uint64_t ring=1 << 28, uint64_t instruments=4096, uint64_t top=25,
                  uint64_t levels=8192, group=None, bint huge_pages=False, str where=None):
        self._fd = -1
        self._lock_fd = -1
        self.closed = True
        if ring < 65536 or ring & (ring - 1):
            raise ValueError(f"ring out of range: expected a power of two of at least 65536 bytes, was {ring}")
        if not (0 < instruments <= 1 << 20 and 0 < top <= 1000 and top <= levels <= 65536):
            raise ValueError(f"sizes out of range: instruments {instruments}, top {top}, levels {levels}")
        self.name = name
        self.folder = where or folder()
        try:
            self._create(self._lock(), ring, instruments, top, levels, group, huge_pages)
        except BaseException:
            self._give_up()
            raise
        self.closed = False

    def _lock(self):
        """Take the lock, remove what dead feeds left half made, and return the last generation that is known."""
        if self.name is None:
            return 0
        self._lock_fd = take_lock(self.name, self.folder)
        remove(self.name, self.folder, unfinished_only=True)
        text = os.pread(self._lock_fd, 32, 0).strip()
        return int(text) if text.isdigit() and len(text) < 19 else 0

    def _create(self, previous, ring, instruments, top, levels, group, huge_pages):
        cdef bytes description = records.description().encode()
        cdef BusHeader plan
        memset(&plan, 0, sizeof(BusHeader))
        start = plan_file(&plan, len(description), ring, instruments, top, levels, huge_pages)
        plan.magic = MAGIC
        plan.layout_version = LAYOUT_VERSION
        plan.line = FF_LINE
        plan.generation = max(previous + 1, time.time_ns() // 1_000_000)
        plan.pid = os.getpid()
        plan.pid_start = process_start(os.getpid())
        plan.created = time.time_ns()
        plan.bell = -1
        if self.name is None:
            self._fd = os.memfd_create("fastfeed") if hasattr(os, "memfd_create") else _unnamed()
            self._fill(&plan, description)
            self.publisher.live.state = LIVE_READY
            return
        # A full shared memory is an error here and now, never a signal later: what is touched was allocated before.
        data = path(self.name, "data", self.folder)
        try:
            require(start, self.folder)
        except NoRoom:
            # What a dead feed left gives way; whoever reads it keeps his mapping, and the memory.
            remove(self.name, self.folder, but_lock=True)
            require(start, self.folder)
        self._fd, building = make(data)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            allocate(self._fd, 0, start)
            self._fill(&plan, description)
            if huge_pages:
                self._take_huge_pages(start)
            self._populate(0, start)
            self._create_readers(group)
            share(self._fd, group, 0o640)
            os.pwrite(self._lock_fd, str(self.header.generation).encode().ljust(32), 0)
            self.publisher.live.state = LIVE_READY
            os.rename(building, data)
        except BaseException:
            os.unlink(building)
            raise

    cdef int _fill(self, const BusHeader* plan, bytes description) except -1:
        """Map the file and write all that readers need before the first record."""
        cdef Publisher* p = &self.publisher
        os.ftruncate(self._fd, plan.total_bytes)
        self._map = mmap.mmap(self._fd, plan.total_bytes)
        self._view = self._map
        self.base = <char*>&self._view[0]
        self.header = <BusHeader*>self.base
        self.header[0] = plan[0]
        memcpy(self.base + plan.description_offset, <const char*>description, plan.description_size)
        p.live = <BusLive*>(self.base + LIVE_OFFSET)
        ff_ring_init(&p.ring, <ff_ring_control*>(self.base + plan.control_offset), self.base + plan.ring_offset,
                     plan.ring_capacity, plan.generation)
        p.rows = <InstrumentRow*>(self.base + plan.instruments_offset)
        p.cells = self.base + plan.cells_offset
        p.cells_stride = plan.cells_stride
        p.cells_depth = <int>plan.cells_depth
        p.images = self.base + plan.images_offset
        p.images_stride = plan.images_stride
        p.images_depth = <int>plan.images_depth
        p.pairs_per_record = <uint32_t>min(<uint64_t>MAX_PAIRS, (ff_max_record(plan.ring_capacity)
                                                                 - sizeof(LevelsRecord)) // sizeof(LevelPair))
        p.dirty = NULL
        p.with_image = NULL
        p.next_sweep = plan.ring_capacity // 8
        p.given_clock = self.name is None
        p.sleepers = NULL
        p.live.heartbeat = ff_monotonic()
        return 0

    def _create_readers(self, group):
        """A new generation has a new readers' file and a new bell: old readers keep theirs and notice."""
        create_rows(path(self.name, "readers", self.folder), group)
        self.bell = ff_bell_create(-1 if group is None else group, self.header.generation, &self.header.bell)
        if self.bell != NULL:
            self.publisher.sleepers = &self.bell.sleepers

    def _give_up(self):
        """A start that failed leaves nothing, except what a dead feed left: its readers may still look at that."""
        try:
            if self._lock_fd >= 0 and not os.path.lexists(path(self.name, "data", self.folder)):
                remove(self.name, self.folder)
        except OSError:
            pass                            # the error that made us give up is the one to tell
        self._abandon()

    def _abandon(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    cdef int publish(self, Publication* pub, uint32_t instrument, Book* book) except -1:
        """Prepare publishing an instrument; with a book, its image is allocated now (OSError ENOSPC)."""
        cdef Publisher* p = &self.publisher
        if instrument >= p.live.instruments:
            raise ValueError(f"no such instrument: {instrument} of {p.live.instruments}")
        memset(pub, 0, sizeof(Publication))
        pub.instrument = instrument
        pub.row = &p.rows[instrument]
        pub.sequence = ABSENT
        pub.ts_event = ABSENT
        pub.ts_recv = ABSENT
        pub.ts_publish = ABSENT
        self._allocate_instrument(instrument, book != NULL)
        pub.latency = self._latency(instrument)
        if book == NULL:
            return 0
        if not pub.row.has_book:
            self._clear_book(instrument)    # the row was entered without one
        pub.cell = p.cells + instrument * p.cells_stride
        pub.image = p.images + instrument * p.images_stride
        pub.book = book
        pub.top_version = 1
        pub.book_version = 1
        pub.next_image = p.with_image
        p.with_image = pub
        pub.row.has_book = 1
        publisher_prepare(p, pub)
        return 0

    def _populate(self, uint64_t start, uint64_t size):
        """Map allocated memory now: a page fault in the first lap of the ring would cost more than a message."""
        try:
            self._map.madvise(MADV_POPULATE_WRITE, start, size)
        except (OSError, AttributeError):
            pass                            # an older kernel, or another system: faults come one by one

    def _take_huge_pages(self, uint64_t size):
        """Ask for huge pages, which the folder's file system may refuse, and see how much of the file has them."""
        try:
            self._map.madvise(mmap.MADV_HUGEPAGE, 0, self.header.total_bytes)
            # What is allocated already is in small pages: gathered here, rather than by the kernel some time later.
            self._populate(0, size)
            self._map.madvise(MADV_COLLAPSE, 0, size & ~<uint64_t>(HUGE_PAGE - 1))
        except (OSError, AttributeError):
            pass
        self.publisher.live.huge_bytes = huge_bytes(<size_t>self.base)

    def _allocate(self, uint64_t start, uint64_t size):
        """Take memory for a part of the file (NoRoom or ENOSPC)."""
        if self.name is not None:
            require(size, self.folder)
            allocate(self._fd, start, size)
            self._populate(start, size)

    def _allocate_instrument(self, uint64_t index, bint book):
        """What an instrument takes when it is activated: its latencies, and with a book its image."""
        self._allocate(self.header.latencies_offset + index * self.header.latencies_stride,
                       self.header.latencies_stride)
        if book:
            self._allocate(self.header.images_offset + index * self.header.images_stride, self.header.images_stride)

    cdef LatencyHead* _latency(self, uint32_t instrument) noexcept:
        return <LatencyHead*>(self.base + self.header.latencies_offset + instrument * self.header.latencies_stride)

    cdef void _clear_book(self, uint64_t index) noexcept:
        """Have cell and image say that nothing is known, before a row leads readers to them: zeros are numbers."""
        cdef Publisher* p = &self.publisher
        cdef TopHead* top = <TopHead*>(p.cells + index * p.cells_stride + CELL_HEAD)
        cdef ImageHead* image = <ImageHead*>(p.images + index * p.images_stride + CELL_HEAD)
        top.sequence = top.ts_event = top.ts_recv = top.ts_publish = ABSENT
        top.complete_bid_px = top.complete_ask_px = ABSENT
        top.as_of = image.as_of = <int64_t>p.ring.position
        image.sequence = image.ts_event = image.ts_recv = ABSENT
        image.complete_bid_px = image.complete_ask_px = ABSENT

    cdef ConnectionRow* connection_row(self, int index) noexcept:
        return <ConnectionRow*>(self.base + self.header.connections_offset + index * self.header.connections_stride)

    cdef LatencyHead* connection_latency(self, int index) noexcept:
        return <LatencyHead*>(self.connection_row(index) + 1)

    @property
    def generation(self):
        """Number of this bus file; a later one of the same name is greater."""
        return self.header.generation

    @property
    def position(self):
        """Ring position behind the last record."""
        return self.publisher.ring.position

    @property
    def map(self):
        """The mapping, for readers in the same process."""
        return self._map

    @property
    def image_size(self):
        """Bytes of shared memory that an instrument with a book takes when it is activated."""
        return self.header.images_stride + self.header.latencies_stride

    @property
    def huge_bytes(self):
        """Bytes that were mapped by huge pages at start; 0 unless they were asked for, and granted."""
        return self.publisher.live.huge_bytes

    @property
    def wakes(self):
        """Wake-ups of sleeping readers so far: system calls of the feed."""
        return self.publisher.live.wakes

    def add_instrument(self, row not None, bint book=False):
        """Append an instrument; returns its id. Its memory is taken first (OSError: NoRoom or ENOSPC).

        Parameters
        ----------
        row : mapping of the fields of InstrumentRow; text fields as str, absent numbers as None
        """
        cdef uint64_t index = self.publisher.live.instruments
        cdef InstrumentRow* r
        if index >= self.header.instruments_capacity:
            raise OSError(errno.ENOSPC, f"the bus has rows for {self.header.instruments_capacity} instruments")
        self._allocate_instrument(index, book)
        latency_init(self._latency(<uint32_t>index))
        if book:
            self._clear_book(index)
        r = &self.publisher.rows[index]
        memset(r, 0, sizeof(InstrumentRow))
        r.has_book = book
        _text(r.name, 64, row["name"])
        _text(r.symbol, 48, row["symbol"])
        _text(r.venue, 16, row["venue"])
        _text(r.base, 16, row["base"])
        _text(r.quote, 16, row["quote"])
        _text(r.settle, 16, row["settle"] or "")
        _text(r.contract_unit, 16, row["contract_unit"])
        r.tick_mantissa, r.tick_exp = row["tick_size"]
        r.lot_mantissa, r.lot_exp = row["lot_size"]
        r.contract_mantissa, r.contract_exp = row["contract_size"]
        if row["strike"] is None:
            r.strike_mantissa = ABSENT
        else:
            r.strike_mantissa, r.strike_exp = row["strike"]
        r.expiry = ABSENT if row["expiry"] is None else row["expiry"]
        r.px_exp = row["px_exp"]
        r.sz_exp = row["sz_exp"]
        r.kind = <uint8_t>KINDS.index(row["kind"])
        r.option_type = <uint8_t>OPTION_TYPES.index(row["option_type"])
        r.inverse = row["inverse"]
        r.chained = row["chained"]
        r.status = row["status"]
        _store_release(&self.publisher.live.instruments, index + 1)
        return index

    def add_connection(self, str label not None):
        """Append a connection; returns its id. Its row is kept for its counters; OSError: NoRoom or ENOSPC."""
        cdef uint64_t index = self.publisher.live.connections
        if index >= CONNECTIONS:
            raise OSError(errno.ENOSPC, f"the bus has rows for {CONNECTIONS} connections")
        self._allocate(self.header.connections_offset + index * self.header.connections_stride,
                       self.header.connections_stride)
        latency_init(self.connection_latency(<int>index))
        _text(self.connection_row(<int>index).label, 64, label)
        _store_release(&self.publisher.live.connections, index + 1)
        return index

    def status(self, int instrument, int connection, int scope, int state, int reason, int64_t ts,
               uint8_t instrument_status=0, uint8_t health=0):
        """Publish a status event; -1 for no instrument or no connection."""
        publish_status(&self.publisher, <uint32_t>instrument, <unsigned short>connection, <ScopeCode>scope,
                       <State>state, <Reason>reason, ABSENT, ABSENT, instrument_status, ts, health)

    def instrument_health(self, uint32_t instrument, uint8_t health, uint8_t reason):
        """Change what an instrument's row says of its health."""
        if instrument >= self.publisher.live.instruments:
            raise IndexError(f"no such instrument: {instrument} of {self.publisher.live.instruments}")
        self.publisher.rows[instrument].health = health
        self.publisher.rows[instrument].health_reason = reason

    def connection_health(self, int connection, uint8_t health, uint8_t reason):
        """Change what a connection's row says of its health."""
        cdef ConnectionRow* row = self.connection_row(connection)
        row.health = health
        row.health_reason = reason

    def venue_health(self, int connection, uint8_t health, uint8_t reason):
        """Change what a connection's row says of its feed's health."""
        cdef ConnectionRow* row = self.connection_row(connection)
        row.venue_health = health
        row.venue_reason = reason

    def round_trip(self, int connection, int64_t ns):
        """A ping was answered after so long."""
        cdef ConnectionRow* row = self.connection_row(connection)
        row.round_trip = ns
        row.round_trip_max = max(row.round_trip_max, ns)

    def instrument_status(self, uint32_t instrument, uint8_t status):
        """Change the status in an instrument's row: index of the status words."""
        if instrument >= self.publisher.live.instruments:
            raise IndexError(f"no such instrument: {instrument} of {self.publisher.live.instruments}")
        # One aligned word: a reader sees the old one or the new one.
        self.publisher.rows[instrument].status = status

    def flush(self):
        """Publish the tail and the cells of what changed, wake readers."""
        publisher_flush(&self.publisher)

    def heartbeat(self):
        """Say that this process lives; readers call a bus stale that has not said so for a second."""
        _store_release(<uint64_t*>&self.publisher.live.heartbeat, <uint64_t>ff_monotonic())

    def close(self):
        """Stop cleanly: readers' iterations end, and the files go."""
        if self.closed:
            return
        self.closed = True
        publisher_flush(&self.publisher)
        _store_release(&self.publisher.live.state, LIVE_CLOSED)
        if self.publisher.sleepers != NULL:
            self.publisher.sleepers[0] = 1
            ff_wake(<uint32_t*>&self.publisher.live.wake, self.publisher.sleepers)
        # Not those of another feed, should somebody have removed ours by hand while we lived.
        if self.name is not None and same_file(self._lock_fd, path(self.name, "lock", self.folder)):
            remove(self.name, self.folder)
        self._abandon()

    def __dealloc__(self):
        ff_bell_detach(self.bell)
        if self._fd >= 0:
            os.close(self._fd)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)


def _unnamed():
    """A file without a name, where memfd_create is missing."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


cdef extern from *:
    """
    /* Release: what the row, the state or the counter announces is visible before it is. Pairs with the acquire loads
       of attach.pyx. */
    static inline void ff_store_release(uint64_t *at, uint64_t v) { __atomic_store_n(at, v, __ATOMIC_RELEASE); }
    """
    void _store_release "ff_store_release"(uint64_t* at, uint64_t value) noexcept nogil


cdef int _text(char* target, Py_ssize_t room, str text) except -1:
    cdef bytes raw = text.encode()
    if len(raw) >= room:
        raise ValueError(f"text too long: expected at most {room - 1} bytes, was {text!r}")
    memset(target, 0, room)
    memcpy(target, <const char*>raw, len(raw))
    return 0

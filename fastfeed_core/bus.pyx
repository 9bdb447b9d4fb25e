"""The files of a bus: their names, their layout, and the one process that writes them.

Three files in one folder of the system's shared memory: `fastfeed.NAME.lock`, held by the feed for as long as it lives;
`fastfeed.NAME.data`, which readers map read-only; `fastfeed.NAME.readers`, which readers may write and the feed never
trusts. The data file is built under another name and renamed when it is ready, so that a reader never sees half of one
and a new generation never touches memory that others have mapped. The feed holds a lock on the data file too: a reader
that can take it knows that the feed is dead, however it died.
"""

import errno
import fcntl
import mmap
import os
import time

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastfeed_core.event cimport ABSENT
from fastfeed_core.publish cimport CELL_HEAD, publish_status, publisher_flush, publisher_prepare
from fastfeed_core.records cimport (
    HEADER_SIZE,
    HISTOGRAM_SIZE,
    LAYOUT_VERSION,
    MAGIC,
    MAX_PAIRS,
    BusLive,
    ImageHead,
    InstrumentRow,
    LevelPair,
    LevelsRecord,
    Reason,
    ScopeCode,
    State,
    TopHead,
)
from fastfeed_core.ring cimport FF_LINE, ff_max_record, ff_ring_control, ff_ring_init
from fastfeed_core.wake cimport ff_monotonic, ff_wake

from fastfeed_core import records

cdef enum:
    LIVE_OFFSET = 512           # of BusLive inside of the header page
    PAGE = 4096
    LIVE_READY = 1
    LIVE_CLOSED = 2
    #: of Linux 5.14 and later; Python's mmap has no name for it
    MADV_POPULATE_WRITE = 23

KINDS = ("spot", "swap", "future", "option")
OPTION_TYPES = (None, "call", "put")


def folder():
    """Return the folder of the bus files: FASTFEED_SHM if set, else the system's shared memory."""
    return os.environ.get("FASTFEED_SHM") or ("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")


def path(str name not None, str part not None, str where=None):
    """Return the path of a bus file; `part` is lock, data or readers."""
    return os.path.join(where or folder(), f"fastfeed.{name}.{part}")


def process_start(int pid):
    """Return the start time of a process in clock ticks since boot, 0 if it cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[19])
    except OSError:
        return 0


cdef uint64_t _page_up(uint64_t size):
    return (size + PAGE - 1) & ~<uint64_t>(PAGE - 1)


cdef uint64_t _slot_stride(uint64_t head, uint64_t depth):
    """Bytes of a double-buffered cell with two slots of `head` and `depth` pairs a side."""
    return CELL_HEAD + 2 * ((head + 2 * depth * sizeof(LevelPair) + 127) & ~<uint64_t>127)


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

    Raises
    ------
    BlockingIOError : another process writes a bus of this name
    OSError : no room (ENOSPC), no permission
    """

    def __cinit__(self, str name=None, *, uint64_t ring=1 << 28, uint64_t instruments=4096, uint64_t top=25,
                  uint64_t levels=8192, group=None, str where=None):
        self._fd = -1
        self._lock_fd = -1
        self.closed = True
        if ring < 65536 or ring & (ring - 1):
            raise ValueError(f"ring out of range: expected a power of two of at least 65536 bytes, was {ring}")
        if not (0 < instruments <= 1 << 20 and 0 < top <= 1000 and top <= levels <= 65536):
            raise ValueError(f"sizes out of range: instruments {instruments}, top {top}, levels {levels}")
        self.name = name
        self.folder = where or folder()
        previous = 0
        if name is not None:
            previous = self._lock(group)
        try:
            self._create(previous, ring, instruments, top, levels, group)
        except BaseException:
            self._abandon()
            raise
        self.closed = False

    def _lock(self, group):
        """Take the lock file; a file that was removed while we waited for it is made anew."""
        lock = path(self.name, "lock", self.folder)
        while True:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(lock).st_ino:
                    break
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        self._lock_fd = fd
        text = os.pread(fd, 32, 0)
        return int(text) if text.isdigit() else 0

    def _create(self, previous, ring, instruments, top, levels, group):
        cdef BusHeader* header
        cdef BusLive* live
        cdef Publisher* p = &self.publisher
        cdef bytes description = records.description().encode()
        cdef uint64_t at = HEADER_SIZE
        cdef uint64_t description_at, control_at, rows_at, connections_at, cells_at, images_at, ring_at, total
        cdef uint64_t cells_stride = _slot_stride(sizeof(TopHead), top)
        cdef uint64_t images_stride = _page_up(_slot_stride(sizeof(ImageHead), levels))
        cdef uint64_t connection_stride = _page_up(sizeof(ConnectionRow) + HISTOGRAM_SIZE * sizeof(int64_t))
        description_at = at
        at = _page_up(at + len(description))
        control_at = at
        at = _page_up(at + sizeof(ff_ring_control))
        connections_at = at
        at = _page_up(at + CONNECTIONS * connection_stride)
        rows_at = at
        at = _page_up(at + instruments * sizeof(InstrumentRow))
        cells_at = at
        at = _page_up(at + instruments * cells_stride)
        ring_at = at
        at = at + ring + PAGE               # a guard: prefetches and clamped copies stay inside of the mapping
        images_at = at
        total = at + instruments * images_stride

        data = None
        if self.name is None:
            fd = os.memfd_create("fastfeed") if hasattr(os, "memfd_create") else _unnamed()
        else:
            data = path(self.name, "data", self.folder)
            building = f"{data}.{os.getpid()}"
            fd = os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._fd = fd
        try:
            # A full shared memory is an error here and now, never a signal later. Images are allocated one by one,
            # when their instrument is activated.
            if self.name is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(fd, 0, images_at)
            os.ftruncate(fd, total)
            self._map = mmap.mmap(fd, total)
            if self.name is not None:
                self._populate(0, images_at)
            self._view = self._map
            self.base = <char*>&self._view[0]
            header = <BusHeader*>self.base
            self.header = header
            header.magic = MAGIC
            header.layout_version = LAYOUT_VERSION
            header.line = FF_LINE
            header.total_bytes = total
            header.generation = max(previous + 1, time.time_ns() // 1_000_000)
            header.pid = os.getpid()
            header.pid_start = process_start(os.getpid())
            header.created = time.time_ns()
            header.description_offset = description_at
            header.description_size = len(description)
            memcpy(self.base + description_at, <const char*>description, len(description))
            header.control_offset = control_at
            header.ring_offset = ring_at
            header.ring_capacity = ring
            header.instruments_offset = rows_at
            header.instruments_stride = sizeof(InstrumentRow)
            header.instruments_capacity = instruments
            header.connections_offset = connections_at
            header.connections_stride = connection_stride
            header.connections_capacity = CONNECTIONS
            header.cells_offset = cells_at
            header.cells_stride = cells_stride
            header.cells_depth = top
            header.images_offset = images_at
            header.images_stride = images_stride
            header.images_depth = levels
            header.histogram_size = HISTOGRAM_SIZE

            live = <BusLive*>(self.base + LIVE_OFFSET)
            p.live = live
            ff_ring_init(&p.ring, <ff_ring_control*>(self.base + control_at), self.base + ring_at, ring,
                         header.generation)
            p.rows = <InstrumentRow*>(self.base + rows_at)
            p.cells = self.base + cells_at
            p.cells_stride = cells_stride
            p.cells_depth = <int>top
            p.images = self.base + images_at
            p.images_stride = images_stride
            p.images_depth = <int>levels
            p.pairs_per_record = <uint32_t>min(<uint64_t>MAX_PAIRS,
                                               (ff_max_record(ring) - sizeof(LevelsRecord)) // sizeof(LevelPair))
            p.dirty = NULL
            p.with_image = NULL
            p.next_sweep = ring // 8
            p.given_clock = self.name is None
            p.sleepers = NULL
            live.heartbeat = ff_monotonic()
            if self.name is not None:
                self._create_readers(group)
                if group is not None:
                    os.fchown(fd, -1, group)
                    os.fchmod(fd, 0o640)
                os.pwrite(self._lock_fd, str(header.generation).encode().ljust(32), 0)
                live.state = LIVE_READY
                os.rename(building, data)
            live.state = LIVE_READY
        except BaseException:
            if self.name is not None and os.path.exists(building):
                os.unlink(building)
            raise

    def _create_readers(self, group):
        """A new generation has a new readers' file: old readers keep theirs and notice."""
        size = READERS_HEAD + READER_ROWS * 128
        readers = path(self.name, "readers", self.folder)
        building = f"{readers}.{os.getpid()}"
        fd = os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            if group is not None:
                os.fchown(fd, -1, group)
                os.fchmod(fd, 0o660)
            self._readers_map = mmap.mmap(fd, size)
            self._readers_view = self._readers_map
            self.publisher.sleepers = <uint32_t*>&self._readers_view[0]
            os.rename(building, readers)
        except BaseException:
            os.unlink(building)
            raise
        finally:
            os.close(fd)

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
        if book == NULL:
            return 0
        self._allocate_image(instrument)
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

    cdef int _allocate_image(self, uint32_t instrument) except -1:
        cdef uint64_t start = self.header.images_offset + instrument * self.header.images_stride
        if self.name is not None:
            os.posix_fallocate(self._fd, start, self.header.images_stride)
            self._populate(start, self.header.images_stride)
        return 0

    cdef ConnectionRow* connection_row(self, int index) noexcept:
        return <ConnectionRow*>(self.base + self.header.connections_offset + index * self.header.connections_stride)

    cdef int64_t* histogram(self, int index) noexcept:
        return <int64_t*>(<char*>self.connection_row(index) + sizeof(ConnectionRow))

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
        return self.publisher.images_stride

    @property
    def wakes(self):
        """Wake-ups of sleeping readers so far: system calls of the feed."""
        return self.publisher.wakes

    def add_instrument(self, row not None, bint book=False):
        """Append an instrument; returns its id. With `book`, room for its image is taken first (OSError ENOSPC).

        Parameters
        ----------
        row : mapping of the fields of InstrumentRow; text fields as str, absent numbers as None
        """
        cdef uint64_t index = self.publisher.live.instruments
        cdef InstrumentRow* r
        if index >= self.header.instruments_capacity:
            raise OSError(errno.ENOSPC, f"the bus has room for {self.header.instruments_capacity} instruments")
        if book:
            self._allocate_image(<uint32_t>index)
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
        """Append a connection; returns its id. Rows of closed connections are kept for their counters."""
        cdef uint64_t index = self.publisher.live.connections
        if index >= CONNECTIONS:
            raise OSError(errno.ENOSPC, f"the bus has room for {CONNECTIONS} connections")
        _text(self.connection_row(index).label, 64, label)
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
        if self.name is not None:
            for part in ("data", "readers", "lock"):
                try:
                    os.unlink(path(self.name, part, self.folder))
                except FileNotFoundError:
                    pass
        self._abandon()

    def __dealloc__(self):
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

"""A reader's mapping of a bus: read-only, validated before anything in it is believed."""

import errno
import fcntl
import mmap
import os
import stat

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastfeed_core.bus cimport BusWriter
from fastfeed_core.event cimport ABSENT
from fastfeed_core.records cimport (
    HEADER_SIZE,
    HISTOGRAM_SIZE,
    LAYOUT_VERSION,
    MAGIC,
    STATE_LIVE,
    STATE_STALE,
    LatencyHead,
)
from fastfeed_core.ring cimport FF_BLOCKS, ff_ring_attach
from fastfeed_core.wake cimport (
    ff_bell_attach,
    ff_bell_detach,
    ff_monotonic,
    ff_monotonic_coarse,
    ff_prepare_sleep,
)

from fastfeed_core import bus, records
from fastfeed_core.readers import list_rows

cdef enum:
    LIVE_OFFSET = 512
    LIVE_READY = 1
    LIVE_CLOSED = 2
    #: ns without a heartbeat after which what the feed said last is stale; it says so every 100 ms
    STALE_AFTER = 1000000000

cdef extern from *:
    """
    /* Acquire: pairs with the release stores of bus.pyx; what they announce is visible. */
    static inline uint64_t ff_load_acquire(const void *at)
    {
        return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
    }
    """
    #: venue_min before the first message
    const int64_t NEVER "INT64_MAX"
    uint64_t _load_acquire "ff_load_acquire"(const void* at) noexcept nogil


class Mismatch(Exception):
    """The file is no bus of this layout; (field, expected, found)."""


def _open(path):
    """Follow no link, wait for no pipe: in a folder that everybody writes, anything may have the name of a bus."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Mismatch("file", "a plain file", "a symbolic link") from None


cdef class BusMap:
    """A bus of another process (or, given a `BusWriter`, of this one), mapped for reading.

    Parameters
    ----------
    name : of the bus
    writer : a bus of this process without a name

    Raises
    ------
    FileNotFoundError : there is no such bus
    Mismatch : the file has another layout
    """

    def __cinit__(self, str name=None, *, BusWriter writer=None, str where=None):
        self._fd = -1
        self.folder = where or bus.folder()
        if writer is not None:
            self.name = ""
            self._map = writer.map
            self._view = self._map
            self._point()
            return
        self.name = name
        self._fd = _open(bus.path(name, "data", self.folder))
        try:
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise Mismatch("file", "a plain file", stat.filemode(found.st_mode))
            self._inode = (found.st_dev, found.st_ino)
            if found.st_size < HEADER_SIZE:
                raise Mismatch("size", f"at least {HEADER_SIZE}", found.st_size)
            self._map = mmap.mmap(self._fd, found.st_size, prot=mmap.PROT_READ)
            self._view = self._map
            self._point()
            self.bell = ff_bell_attach(self.header.bell, self.header.generation)
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise

    def _point(self):
        """Believe the header only after it agrees with the file and with this code's own layout."""
        cdef const BusHeader* h
        self.base = <const char*>&self._view[0]
        self.header = <const BusHeader*>self.base
        self.live = <const BusLive*>(self.base + LIVE_OFFSET)
        h = self.header
        size = self._view.shape[0]
        for field, expected, value in (
            ("magic", MAGIC, h.magic),
            ("layout_version", LAYOUT_VERSION, h.layout_version),
            ("line", 64, h.line),
            ("total_bytes", size, h.total_bytes),
        ):
            if value != expected:
                raise Mismatch(field, expected, value)
        self._inside("description_size", h.description_offset, 1, h.description_size, size)
        text = self.base[h.description_offset:h.description_offset + h.description_size].decode("ascii", "replace")
        difference = records.difference(text)
        if difference is not None:
            raise Mismatch(*difference)
        for field, offset, stride, count in (
            ("control_offset", h.control_offset, 256 + 8 * FF_BLOCKS, 1),
            ("ring_capacity", h.ring_offset, 1, h.ring_capacity),
            ("instruments_capacity", h.instruments_offset, h.instruments_stride, h.instruments_capacity),
            ("connections_capacity", h.connections_offset, h.connections_stride, h.connections_capacity),
            ("cells_stride", h.cells_offset, h.cells_stride, h.instruments_capacity),
            ("latencies_stride", h.latencies_offset, h.latencies_stride, h.instruments_capacity),
            ("images_stride", h.images_offset, h.images_stride, h.instruments_capacity),
        ):
            self._inside(field, offset, stride, count, size)
        self.generation = h.generation
        self.control = <const ff_ring_control*>(self.base + h.control_offset)

    def _inside(self, field, offset, stride, count, size):
        """Python's numbers, that no header can make wrap around."""
        end = offset + stride * count
        if end > size:
            raise Mismatch(field, f"an end at or below {size}", end)

    def __dealloc__(self):
        ff_bell_detach(self.bell)
        if self._fd >= 0:
            os.close(self._fd)

    cdef const InstrumentRow* row(self, uint32_t index) noexcept nogil:
        return <const InstrumentRow*>(self.base + self.header.instruments_offset
                                      + index * self.header.instruments_stride)

    cdef const char* cell(self, uint32_t index) noexcept nogil:
        return self.base + self.header.cells_offset + index * self.header.cells_stride

    cdef const char* image(self, uint32_t index) noexcept nogil:
        return self.base + self.header.images_offset + index * self.header.images_stride

    cdef uint32_t instrument_count(self) noexcept nogil:
        return <uint32_t>_load_acquire(&self.live.instruments)

    cdef uint64_t last_flush(self) noexcept nogil:
        return _load_acquire(&self.control.tail)

    cdef bint is_closed(self) noexcept nogil:
        return _load_acquire(&self.live.state) == LIVE_CLOSED

    cdef int64_t now(self) noexcept nogil:
        return ff_monotonic_coarse()

    cdef State effective(self, State state, int64_t now) noexcept nogil:
        """What the feed said last holds only while it lives; a private bus has no heart."""
        if state == STATE_LIVE and self._fd >= 0 and (
            self.dead or self.is_closed() or now - <int64_t>_load_acquire(&self.live.heartbeat) > STALE_AFTER
        ):
            return STATE_STALE
        return state

    cdef void ring_reader(self, ff_ring_reader* reader) noexcept nogil:
        ff_ring_attach(reader, self.control, self.base + self.header.ring_offset, self.header.ring_capacity,
                       self.generation)

    @property
    def closed(self):
        """True after a clean stop of the feed."""
        return self.is_closed()

    @property
    def heartbeat_age(self):
        """Seconds since the feed last said that it lives."""
        return (ff_monotonic() - <int64_t>_load_acquire(&self.live.heartbeat)) / 1e9

    @property
    def pid(self):
        """The producer's process id."""
        return self.header.pid

    @property
    def created(self):
        """When this generation began, ns since the epoch."""
        return self.header.created

    @property
    def ring_capacity(self):
        """Bytes of the ring."""
        return self.header.ring_capacity

    @property
    def tail(self):
        """Ring position of the last flush."""
        return _load_acquire(&self.control.tail)

    @property
    def record_count(self):
        """Records written until the last flush."""
        return _load_acquire(&self.control.count)

    @property
    def wakes(self):
        """Wake-ups of sleeping readers so far: system calls of the feed."""
        return self.live.wakes

    @property
    def allocated(self):
        """Bytes of shared memory that the data file holds; more as instruments are activated."""
        return os.fstat(self._fd).st_blocks * 512 if self._fd >= 0 else 0

    @property
    def huge_bytes(self):
        """Bytes of the data file that the feed has mapped by huge pages."""
        return self.live.huge_bytes

    @property
    def owner(self):
        """User id of the data file's owner: whose feed this is, or was."""
        return os.fstat(self._fd).st_uid if self._fd >= 0 else os.geteuid()

    @property
    def count(self):
        """Rows of the instrument table."""
        return self.instrument_count()

    def is_alive(self):
        """Return True while the producer lives: it holds a lock that the kernel drops with it, however it dies.

        Nobody takes up a generation again: after the first False its books are stale, however fresh the heartbeat.
        """
        if self._fd < 0:
            return True
        if self.dead or self.is_closed():
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.dead = True
        return False

    def is_current(self):
        """Return True while the name leads to this generation, or to nothing."""
        if self._fd < 0:
            return True
        try:
            found = os.stat(bus.path(self.name, "data", self.folder))
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) == self._inode

    def instrument(self, uint32_t index):
        """Return a row of the instrument table as a dict; absent numbers as None, decimals as (mantissa, exponent)."""
        cdef const InstrumentRow* r
        if index >= self.instrument_count():
            raise IndexError(f"no such instrument: {index} of {self.instrument_count()}")
        r = self.row(index)
        return {
            "name": records.text(r.name[:64]),
            "symbol": records.text(r.symbol[:48]),
            "venue": records.text(r.venue[:16]),
            "base": records.text(r.base[:16]),
            "quote": records.text(r.quote[:16]),
            "settle": records.text(r.settle[:16]) or None,
            "contract_unit": records.text(r.contract_unit[:16]),
            "tick_size": (r.tick_mantissa, r.tick_exp),
            "lot_size": (r.lot_mantissa, r.lot_exp),
            "contract_size": (r.contract_mantissa, r.contract_exp),
            "strike": None if r.strike_mantissa == ABSENT else (r.strike_mantissa, r.strike_exp),
            "expiry": None if r.expiry == ABSENT else r.expiry,
            "px_exp": r.px_exp,
            "sz_exp": r.sz_exp,
            "kind": bus.KINDS[r.kind],
            "option_type": bus.OPTION_TYPES[r.option_type],
            "inverse": bool(r.inverse),
            "chained": bool(r.chained),
            "has_book": bool(r.has_book),
            "status": r.status,
        }

    def statuses(self):
        """Return the index of the status word of each instrument: all else of a row stays as it is."""
        return bytes([self.row(<uint32_t>i).status for i in range(self.instrument_count())])

    def instrument_health(self, uint32_t index):
        """Return an instrument's health and the reason, as indices of their words."""
        if index >= self.instrument_count():
            raise IndexError(f"no such instrument: {index} of {self.instrument_count()}")
        return self.row(index).health, self.row(index).health_reason

    def instrument_counters(self, uint32_t index):
        """Return the counters of an instrument as a dict."""
        cdef const InstrumentRow* r
        if index >= self.instrument_count():
            raise IndexError(f"no such instrument: {index} of {self.instrument_count()}")
        r = self.row(index)
        return {
            "deltas": r.deltas, "snapshots": r.snapshots, "bbos": r.bbos, "trades": r.trades, "tickers": r.tickers,
            "bars": r.bars, "liquidations": r.liquidations, "old": r.old,
            "gaps": r.gaps, "source_gaps": r.source_gaps, "resyncs": r.resyncs, "refused": r.refused,
            "held": r.held, "held_lost": r.held_lost, "repairs": r.repairs, "no_data": r.no_data,
            "crossed": r.crossed, "locked": r.locked,
        }

    def instrument_latency(self, uint32_t index):
        """Return the latencies of an instrument, as `connections` does those of a connection."""
        if index >= self.instrument_count():
            raise IndexError(f"no such instrument: {index} of {self.instrument_count()}")
        return _latency(<const LatencyHead*>(self.base + self.header.latencies_offset
                                             + index * self.header.latencies_stride))

    def connections(self):
        """Return the connections as dicts.

        `latency` (socket read to ring) and `venue_latency` (venue to socket read) are pairs (counts as bytes, greatest
        in ns), which `Histogram` takes; `venue_ahead` counts the messages that the venue's clock had sent after they
        were read (as 0 in the histogram), `venue_min` is the least difference of the clocks in ns, None without any.
        """
        cdef const ConnectionRow* r
        cdef uint32_t i
        out = []
        for i in range(<uint32_t>_load_acquire(&self.live.connections)):
            r = <const ConnectionRow*>(self.base + self.header.connections_offset
                                       + i * self.header.connections_stride)
            out.append({
                "id": i, "label": records.text(r.label[:64]), "connected": r.connected, "connects": r.connects,
                "disconnects": r.disconnects, "frames": r.frames, "bytes": r.bytes, "controls": r.controls,
                "malformed": r.malformed, "unrouted": r.unrouted, "fallbacks": r.fallbacks,
                "last_recv": r.last_recv, "wins": r.wins, "losses": r.losses, "leads": r.leads,
                "lead_sum": r.lead_sum, "lead_max": r.lead_max,
                "round_trip": r.round_trip, "round_trip_max": r.round_trip_max,
                "health": (r.health, r.health_reason), "venue_health": (r.venue_health, r.venue_reason),
                **_latency(<const LatencyHead*>(r + 1)),
            })
        return out

    @property
    def has_bell(self):
        """True if the feed can be asked for wake-ups from here; else blocking readers look every millisecond."""
        return self.bell != NULL

    def ask_for_wake(self):
        """Ask the feed, as a reader does that is about to sleep, to wake all sleepers at its next flush."""
        if self.bell != NULL:
            ff_prepare_sleep(<const uint32_t*>&self.live.wake, &self.bell.sleepers)

    @property
    def readers_path(self):
        """Path of the readers' file; empty for a private bus."""
        return bus.path(self.name, "readers", self.folder) if self._fd >= 0 else ""

    def readers(self):
        """Return what the living readers of this generation say of themselves, as dicts (see `readers.list_rows`)."""
        return [row for row in list_rows(self.readers_path) if row["generation"] == self.generation]


cdef dict _latency(const LatencyHead* at):
    cdef Py_ssize_t size = HISTOGRAM_SIZE * sizeof(int64_t)
    cdef const char* counts = <const char*>(at + 1)
    return {
        "latency": (counts[:size], at.ring_max),
        "venue_latency": (counts[size:2 * size], at.venue_max),
        "venue_ahead": at.venue_ahead,
        "venue_min": None if at.venue_min == NEVER else at.venue_min,
    }

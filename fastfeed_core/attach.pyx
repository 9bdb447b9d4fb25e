"""A reader's mapping of a bus: read-only, validated before anything in it is believed."""

import fcntl
import mmap
import os

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
)
from fastfeed_core.ring cimport ff_ring_attach
from fastfeed_core.wake cimport ff_monotonic

from fastfeed_core import bus, records

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
    uint64_t _load_acquire "ff_load_acquire"(const void* at) noexcept nogil


class Mismatch(Exception):
    """The file is no bus of this layout; (field, expected, found)."""


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
        self._fd = os.open(bus.path(name, "data", self.folder), os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(self._fd)
            self._inode = (found.st_dev, found.st_ino)
            if found.st_size < HEADER_SIZE:
                raise Mismatch("size", f"at least {HEADER_SIZE}", found.st_size)
            self._map = mmap.mmap(self._fd, found.st_size, prot=mmap.PROT_READ)
            self._view = self._map
            self._point()
            self._map_readers()
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
        if h.description_offset + h.description_size > size:
            raise Mismatch("description_size", f"at most {size}", h.description_size)
        text = self.base[h.description_offset:h.description_offset + h.description_size].decode("ascii", "replace")
        difference = records.difference(text)
        if difference is not None:
            raise Mismatch(*difference)
        for field, end in (
            ("ring_capacity", h.ring_offset + h.ring_capacity),
            ("instruments_capacity", h.instruments_offset + h.instruments_capacity * h.instruments_stride),
            ("connections_capacity", h.connections_offset + h.connections_capacity * h.connections_stride),
            ("cells_stride", h.cells_offset + h.instruments_capacity * h.cells_stride),
            ("images_stride", h.images_offset + h.instruments_capacity * h.images_stride),
        ):
            if end > size:
                raise Mismatch(field, f"an end at or below {size}", end)
        self.generation = h.generation
        self.control = <const ff_ring_control*>(self.base + h.control_offset)

    def _map_readers(self):
        try:
            fd = os.open(bus.path(self.name, "readers", self.folder), os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            return                          # no wake-ups: a blocking reader falls back to its timeout
        try:
            self._readers_map = mmap.mmap(fd, os.fstat(fd).st_size)
            self._readers_view = self._readers_map
            self.sleepers = <uint32_t*>&self._readers_view[0]
        finally:
            os.close(fd)

    def __dealloc__(self):
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

    cdef bint is_closed(self) noexcept nogil:
        return _load_acquire(&self.live.state) == LIVE_CLOSED

    cdef State effective(self, State state) noexcept nogil:
        """What the feed said last holds only while it lives; a private bus has no heart."""
        if state == STATE_LIVE and self._fd >= 0 and (
            self.is_closed() or ff_monotonic() - <int64_t>_load_acquire(&self.live.heartbeat) > STALE_AFTER
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
    def count(self):
        """Rows of the instrument table."""
        return self.instrument_count()

    def is_alive(self):
        """Return True while the producer lives: it holds a lock that the kernel drops with it, however it dies."""
        if self._fd < 0:
            return True
        if self.is_closed():
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
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

    def connections(self):
        """Return the connections as dicts; `latency` is a pair (counts as bytes, greatest), ns from socket to ring."""
        cdef const ConnectionRow* r
        cdef const char* counts
        cdef uint32_t i
        out = []
        for i in range(<uint32_t>_load_acquire(&self.live.connections)):
            r = <const ConnectionRow*>(self.base + self.header.connections_offset
                                       + i * self.header.connections_stride)
            counts = <const char*>r + sizeof(ConnectionRow)
            out.append({
                "id": i, "label": records.text(r.label[:64]), "connected": r.connected, "connects": r.connects,
                "disconnects": r.disconnects, "frames": r.frames, "bytes": r.bytes, "controls": r.controls,
                "malformed": r.malformed, "unrouted": r.unrouted, "fallbacks": r.fallbacks,
                "last_recv": r.last_recv, "wins": r.wins, "losses": r.losses, "leads": r.leads,
                "lead_sum": r.lead_sum, "lead_max": r.lead_max,
                "round_trip": r.round_trip, "round_trip_max": r.round_trip_max,
                "health": (r.health, r.health_reason), "venue_health": (r.venue_health, r.venue_reason),
                "latency": (counts[:HISTOGRAM_SIZE * sizeof(int64_t)], r.latency_max),
            })
        return out

"""Where everything stands in the data file of a bus, and how much memory that takes."""

from libc.stdint cimport uint64_t

from fastfeed_core.bus cimport CONNECTIONS
from fastfeed_core.counters cimport latency_bytes
from fastfeed_core.publish cimport CELL_HEAD
from fastfeed_core.records cimport (
    HEADER_SIZE,
    HISTOGRAM_SIZE,
    BusHeader,
    ConnectionRow,
    ImageHead,
    InstrumentRow,
    LevelPair,
    TopHead,
)
from fastfeed_core.ring cimport ff_ring_control

from fastfeed_core import records

cdef enum:
    PAGE = 4096


cdef uint64_t _up(uint64_t size, uint64_t to=PAGE):
    return (size + to - 1) & ~(to - 1)


cdef uint64_t _slot_stride(uint64_t head, uint64_t depth):
    """Bytes of a double-buffered cell with two slots of `head` and `depth` pairs a side."""
    return CELL_HEAD + 2 * ((head + 2 * depth * sizeof(LevelPair) + 127) & ~<uint64_t>127)


cdef uint64_t plan_file(BusHeader* h, uint64_t description_size, uint64_t ring, uint64_t instruments, uint64_t top,
                        uint64_t levels, bint huge_pages) except 0:
    """Lay out the file in the header; returns how many of its bytes are allocated at start, all before the rest."""
    cdef uint64_t at = HEADER_SIZE
    h.description_offset = at
    h.description_size = description_size
    h.control_offset = at = _up(at + description_size)
    h.instruments_offset = at = _up(at + sizeof(ff_ring_control))
    h.instruments_stride = sizeof(InstrumentRow)
    h.instruments_capacity = instruments
    h.cells_offset = at = _up(at + instruments * sizeof(InstrumentRow))
    h.cells_stride = _slot_stride(sizeof(TopHead), top)
    h.cells_depth = top
    h.ring_offset = at = _up(at + instruments * h.cells_stride, HUGE_PAGE if huge_pages else PAGE)
    h.ring_capacity = ring
    # A guard page: prefetches and clamped copies stay inside of the mapping.
    h.connections_offset = at = at + ring + PAGE
    h.connections_stride = _up(sizeof(ConnectionRow) + latency_bytes())
    h.connections_capacity = CONNECTIONS
    h.latencies_offset = at = at + CONNECTIONS * h.connections_stride
    h.latencies_stride = _up(latency_bytes())
    h.images_offset = at = at + instruments * h.latencies_stride
    h.images_stride = _up(_slot_stride(sizeof(ImageHead), levels))
    h.images_depth = levels
    h.histogram_size = HISTOGRAM_SIZE
    h.total_bytes = at + instruments * h.images_stride
    return h.connections_offset


def needs(*, uint64_t ring, uint64_t instruments, uint64_t top, uint64_t levels, bint huge_pages=False):
    """Return the shared memory of a bus in bytes.

    Returns
    -------
    mapping : `start`, of which `ring`, `tops` and `rows` are parts; later `instrument` for each one that is activated,
        or `book` for one with a book, and `connection` for each connection
    """
    cdef BusHeader h
    cdef uint64_t start = plan_file(&h, len(records.description()), ring, instruments, top, levels, huge_pages)
    return {
        "start": start,
        "ring": ring,
        "tops": instruments * h.cells_stride,
        "rows": instruments * h.instruments_stride,
        "instrument": h.latencies_stride,
        "book": h.latencies_stride + h.images_stride,
        "connection": h.connections_stride,
    }

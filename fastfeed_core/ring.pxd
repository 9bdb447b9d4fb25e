"""The broadcast ring of `ring.h`, as Cython sees it."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "ring.h" nogil:
    enum:
        FF_LINE
        FF_BLOCKS
        FF_KIND_PAD
        FF_EMPTY
        FF_LAPPED

    ctypedef struct ff_head:
        uint64_t stamp
        uint32_t seq
        uint16_t length
        uint8_t kind
        uint8_t flags

    ctypedef struct ff_ring_control:
        uint64_t claimed
        uint64_t tail
        uint64_t count
        uint64_t cells_next
        uint64_t cells

    ctypedef struct ff_ring_writer:
        ff_ring_control* control
        uint64_t position
        uint64_t limit
        uint64_t count
        uint64_t block
        uint64_t mask

    ctypedef struct ff_ring_reader:
        const ff_ring_control* control
        uint64_t position
        uint64_t count
        uint64_t lost
        uint64_t mask
        uint64_t block

    uint64_t ff_lines(uint64_t length)
    uint64_t ff_max_record(uint64_t capacity)

    void ff_ring_init(ff_ring_writer* w, ff_ring_control* control, char* base, uint64_t capacity, uint64_t generation)
    ff_head* ff_ring_claim(ff_ring_writer* w, uint64_t length)
    void ff_ring_commit(ff_ring_writer* w, ff_head* head, uint64_t length, uint8_t kind, uint8_t flags)
    void ff_ring_flush(ff_ring_writer* w)

    void ff_ring_attach(ff_ring_reader* r, const ff_ring_control* control, const char* base, uint64_t capacity,
                        uint64_t generation)
    bint ff_ring_valid(const ff_ring_reader* r, uint64_t position)
    int64_t ff_ring_peek(ff_ring_reader* r, const ff_head** out)
    void ff_ring_advance(ff_ring_reader* r, uint64_t length)
    int64_t ff_ring_copy(ff_ring_reader* r, char* buffer)
    int ff_ring_seek(ff_ring_reader* r, uint64_t position)
    void ff_ring_seek_tail(ff_ring_reader* r)
    void ff_ring_seek_oldest(ff_ring_reader* r)
    void ff_ring_recover(ff_ring_reader* r)

    unsigned ff_cell_begin(uint64_t* version)
    void ff_cell_commit(uint64_t* version)
    uint64_t ff_cell_read(const uint64_t* version, unsigned* slot)
    bint ff_cell_valid(const uint64_t* version, uint64_t seen)
    bint ff_cell_same(const uint64_t* version, uint64_t seen)
    void ff_cells_begin(ff_ring_control* control, uint64_t position)
    void ff_cells_end(ff_ring_control* control, uint64_t position)
    uint64_t ff_cells(const ff_ring_control* control)
    bint ff_cells_quiet(const ff_ring_control* control, uint64_t cells)


cdef inline int64_t ring_copy(ff_ring_reader* r, char* buffer) noexcept nogil:
    """Copy the next record into `buffer` (65,536 bytes) and step over it: its length, FF_EMPTY or FF_LAPPED."""
    return ff_ring_copy(r, buffer)


cdef extern from "string.h" nogil:
    void* memcpy(void* target, const void* source, size_t size)

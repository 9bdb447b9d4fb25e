"""The memory behind an event: what a message of the venue may hold at most."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from "shapes.h" nogil:
    void* ff_shapes_new()


cdef int event_init(Event* event) except -1:
    """Make room for the largest message."""
    memset(event, 0, sizeof(Event))
    event.levels = <int64_t*>malloc(2 * MAX_LEVELS * sizeof(int64_t))
    event.deals = <Deal*>malloc(MAX_DEALS * sizeof(Deal))
    event.bars = <Bar*>malloc(MAX_BARS * sizeof(Bar))
    if event.levels == NULL or event.deals == NULL or event.bars == NULL:
        event_free(event)
        raise MemoryError
    event.shapes = ff_shapes_new()
    return 0


cdef void event_free(Event* event) noexcept:
    free(event.levels)
    free(event.deals)
    free(event.bars)
    free(event.shapes)
    event.levels = NULL
    event.deals = NULL
    event.bars = NULL
    event.shapes = NULL

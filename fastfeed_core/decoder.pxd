"""What a venue's decoder offers to the receive path: two functions without state."""

from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Routes

#: one frame to one event, or a negative Status with event.offset; sets event.route if the message names one
ctypedef int (*decode_function)(const char* p, Py_ssize_t size, Routes* routes, Event* event,
                                bint* fallback) noexcept nogil
#: a reply that holds a whole book to one snapshot event, or a negative Status with event.offset
ctypedef int (*snapshot_function)(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil


cdef class Decoder:
    cdef decode_function decode
    cdef snapshot_function decode_snapshot

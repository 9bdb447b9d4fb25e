"""The receive path of one connection: decoder, routes, counters; from a frame's bytes to the bus."""

from libc.stdint cimport int64_t

from fastfeed_core.decoder cimport decode_function
from fastfeed_core.event cimport Event
from fastfeed_core.market cimport Hub
from fastfeed_core.publish cimport Publisher
from fastfeed_core.records cimport ConnectionRow, LatencyHead
from fastfeed_core.routes cimport Route, Routes
from fastfeed_core.state cimport Source

#: what the caller has to do with a frame
cdef enum Outcome:
    FRAME_DONE = 0
    #: hand its text to the protocol
    FRAME_CONTROL = 1
    #: it was refused; event.offset tells where
    FRAME_MALFORMED = -1

cdef struct Receiver:
    decode_function decode
    Routes routes
    Event event
    Publisher* bus
    ConnectionRow* row
    LatencyHead* latency
    int last_error

cdef void dispatch_event(Route* route, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef Outcome receive_frame(Receiver* r, const char* p, Py_ssize_t size, int64_t ts_recv) noexcept nogil


cdef class Connection:
    cdef Source* _book(self, str topic)
    cdef Receiver receiver
    cdef readonly Hub hub
    cdef readonly int id
    cdef readonly bint closed
    cdef public int64_t last_pong       # when a ping was answered by the WebSocket protocol, ns since the epoch; or 0
    cdef readonly list controls
    cdef readonly list malformed
    cdef object _decoder
    cdef set _markets                   # what the routes borrow
    cdef int receive_raw(self, const char* p, Py_ssize_t size, int64_t ts_recv) except -1

"""Keeping one book from deltas, snapshots and refreshes, and dropping it when it cannot be trusted."""

from libc.stdint cimport int64_t

from fastfeed_core.event cimport Event
from fastfeed_core.records cimport Reason
from fastfeed_core.state cimport MarketState, Source

cdef void keep_levels(Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void keep_refuse(Source* source, int64_t ts_recv) noexcept nogil
cdef bint keep_reply(MarketState* m, Event* event, int limit, Reason reason, int64_t ts_recv) noexcept nogil
cdef void keep_forget_source(MarketState* m, Source* source, int64_t ts_recv) noexcept nogil

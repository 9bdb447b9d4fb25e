"""Changing one book and telling readers of it."""

from libc.stdint cimport int64_t, uint16_t

from fastfeed_core.event cimport Event
from fastfeed_core.records cimport Reason
from fastfeed_core.state cimport MarketState, Source

#: keep a copy for a snapshot to come
cdef void ledger_hold(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil
cdef void ledger_release(MarketState* m) noexcept nogil
cdef void ledger_drop(MarketState* m, Reason reason, uint16_t connection, int64_t expected, int64_t received,
                      int64_t ts_recv) noexcept nogil
cdef void ledger_apply(MarketState* m, Source* source, Event* event, int64_t ts_recv,
                       int64_t ts_publish) noexcept nogil
cdef void ledger_replace(MarketState* m, uint16_t connection, Event* event, int limit, Reason reason, int64_t ts_recv,
                         int64_t ts_publish) noexcept nogil

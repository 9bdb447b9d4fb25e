"""Changing one book and telling readers of it."""

from libc.stdint cimport int64_t, uint16_t

from fastfeed_core.book cimport Book
from fastfeed_core.event cimport Event
from fastfeed_core.records cimport Reason
from fastfeed_core.state cimport MarketState, Source

#: set the levels of a message; a snapshot of `limit` levels a side (0: of all) is complete down to its last
cdef void ledger_fill(Book* book, const Event* event, int limit) noexcept nogil
#: keep a copy for a snapshot to come
cdef void ledger_hold(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil
cdef void ledger_release(MarketState* m) noexcept nogil
cdef void ledger_drop(MarketState* m, Reason reason, uint16_t connection, int64_t expected, int64_t received,
                      int64_t ts_recv) noexcept nogil
cdef void ledger_apply(MarketState* m, Source* source, Event* event, int64_t ts_recv,
                       int64_t ts_publish) noexcept nogil
cdef void ledger_replace(MarketState* m, uint16_t connection, Event* event, int limit, Reason reason, int64_t ts_recv,
                         int64_t ts_publish) noexcept nogil

"""What passes through without a book: quotes, trades, liquidations, tickers, bars."""

from libc.stdint cimport int64_t

from fastfeed_core.event cimport Channel, Event
from fastfeed_core.routes cimport Route
from fastfeed_core.state cimport MarketState, Source

cdef void tape_bbo(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void tape_deals(Route* route, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void tape_ticker(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void tape_bars(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void tape_forget(MarketState* m) noexcept nogil
cdef void tape_attach(MarketState* m, Source* source, Channel channel) noexcept nogil
cdef void tape_detach(MarketState* m, Source* source, Channel channel) noexcept nogil

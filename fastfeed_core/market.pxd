"""What an instrument owns in the feed: sync > book > publication, fed by one or more sources."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from fastfeed_core.book cimport Book
from fastfeed_core.bus cimport BusWriter
from fastfeed_core.event cimport Event
from fastfeed_core.pool cimport Held, Pool
from fastfeed_core.publish cimport Publication, Publisher
from fastfeed_core.records cimport Reason, State
from fastfeed_core.sync cimport Chain

cdef enum:
    #: trade ids remembered to drop a second copy: venues number trades one by one, so the last ones have slots apart
    RECENT_TRADES = 1024

#: why the protocol should look at a market
cdef enum Attention:
    ATTENTION_WANTS_SNAPSHOT = 1
    ATTENTION_GAP = 2
    ATTENTION_HELD_LOST = 4
    ATTENTION_REFUSED = 8

#: one connection's channel of an instrument
cdef struct Source:
    MarketState* market
    uint16_t connection
    Chain chain
    Source* next                    # of the same market

#: what all markets of a process share
cdef struct HubState:
    Publisher* bus
    Pool pool
    MarketState* attention          # markets that want the protocol's attention

cdef struct MarketState:
    Publication pub
    Book book
    HubState* hub
    void* owner                     # the Market, borrowed: it outlives its state
    State state
    bint has_book
    int64_t sequence                # of the book; ABSENT without one
    int64_t bbo_sequence
    Source* sources                 # of the book channel
    int attached                    # sources of all channels
    bint holding                    # a snapshot is on its way: deltas are held
    bint asked                      # the protocol has been called for a snapshot
    Held* first_held
    Held* last_held
    unsigned int attention
    bint in_attention
    MarketState* next_attention
    int64_t gap_expected
    int64_t gap_received
    uint64_t[2 * RECENT_TRADES] recent_trades

cdef void market_levels(Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void market_bbo(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void market_trade(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void market_refuse(Source* source, int64_t ts_recv) noexcept nogil


cdef class Hub:
    cdef HubState state
    cdef readonly BusWriter bus
    cdef Event event
    cdef set _taken


cdef class Market:
    cdef MarketState* state
    cdef readonly Hub hub
    cdef readonly int instrument
    cdef readonly int px_exp
    cdef readonly int sz_exp
    cdef Source* attach(self, int connection, bint book) except NULL
    cdef void detach(self, Source* source, bint book, int64_t ts) noexcept

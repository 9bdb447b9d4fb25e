"""What the compiled modules know of an instrument: its book's state, its sources, what they brought last.

Only structs: `keeper` keeps the book, `tape` passes the rest on, `market` owns the memory and speaks Python.
"""

from libc.stdint cimport int64_t, uint16_t, uint64_t

from fastfeed_core.book cimport Book
from fastfeed_core.event cimport TICKER_FIELDS, Bar, Number
from fastfeed_core.pool cimport Held, Pool
from fastfeed_core.publish cimport Publication, Publisher
from fastfeed_core.race cimport Race
from fastfeed_core.records cimport ConnectionRow, State
from fastfeed_core.sync cimport Chain

cdef enum:
    #: trade ids remembered to drop a second copy: 128 sets of 8
    RECENT_SETS = 128
    RECENT_WAYS = 8
    #: liquidations remembered to drop a second source's copy: they are rare and have no ids
    RECENT_LIQUIDATIONS = 64

#: why the protocol should look at a market
cdef enum Attention:
    ATTENTION_WANTS_BOOK = 1
    ATTENTION_GAP = 2
    ATTENTION_HELD_LOST = 4
    ATTENTION_REFUSED = 8

#: one connection's channel of an instrument
cdef struct Source:
    MarketState* market
    uint16_t connection
    ConnectionRow* row              # of that connection
    Chain chain
    bint heard                      # a message of the book came by it
    bint taken                      # the venue took its subscription, which brings no snapshot of its own
    Source* next                    # of the same market's book, or of its quotes
    uint64_t bit                    # that marks what it brought, in `Seen`

#: what all markets of a process share
cdef struct HubState:
    Publisher* bus
    Pool pool
    MarketState* attention          # markets that want the protocol's attention

#: the last ids that share a place: their words, the first one plus 1 as 0 is no id
cdef struct RecentIds:
    uint64_t[RECENT_WAYS] first
    uint64_t[RECENT_WAYS] second
    uint64_t count

#: a liquidation that came, and which sources brought it
cdef struct Seen:
    uint64_t key
    uint64_t sources

cdef struct MarketState:
    Publication pub
    Book book
    HubState* hub
    void* owner                     # the Market, borrowed: it outlives its state
    State state
    bint has_book
    bint derives_bbo                # the book's top is published as bbo
    int64_t sequence                # of the book; ABSENT without one
    int64_t epoch                   # of the numbers of the book: a source that starts again is in the next one
    int shown                       # levels a side that the stream shows; 0: all
    Source* sources                 # of the book channel
    Source* quoters                 # of the bbo channel
    int attached                    # sources of all channels
    bint holding                    # a snapshot by request is on its way: deltas are held
    bint verifying                  # ... to verify a live book: copies of what applies are held
    int64_t verify_from             # the book's sequence when that began
    bint asked                      # the protocol has been called for a book
    Held* first_held
    Held* last_held
    unsigned int attention
    bint in_attention
    MarketState* next_attention
    int64_t gap_expected
    int64_t gap_received
    #: bbo: sequence, else time, of the last one, of which epoch that is, and what it said
    int64_t bbo_number
    int64_t bbo_epoch
    int64_t[4] bbo
    Race books                      # between the sources of the book, of quotes, of trades
    Race quotes
    Race trades
    bint resyncs_crossed            # a book that becomes crossed is asked for anew
    int64_t crossed_at              # when that was done last
    RecentIds[RECENT_SETS] recent_trades
    int64_t trade_sequence          # the greatest that came; ABSENT before the first
    Seen[RECENT_LIQUIDATIONS] liquidations
    int liquidation_count
    int traders                     # sources of the trade channel
    uint64_t liquidators            # bits of the sources that bring them
    unsigned int ticker_has
    Number[TICKER_FIELDS] ticker
    int64_t[TICKER_FIELDS] ticker_ts
    Bar bar                         # the last one; interval_s 0 before the first
    int64_t bar_ts


cdef inline void market_call(MarketState* m, unsigned int why) noexcept nogil:
    """Put the market on the list that the protocol reads; it stays on it once, however often it is called for."""
    m.attention |= why
    if not m.in_attention:
        m.in_attention = True
        m.next_attention = m.hub.attention
        m.hub.attention = m

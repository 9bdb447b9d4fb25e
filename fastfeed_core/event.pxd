"""What a decoder hands out: one venue message as C values, wholly parsed before any book is touched."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

cdef extern from *:
    """
    #define FF_ABSENT INT64_MIN
    """
    #: a value that the venue did not give; None in Python
    const int64_t ABSENT "FF_ABSENT"

cdef enum:
    #: levels of both sides that one message may have
    MAX_LEVELS = 32768
    #: trades, or liquidations, that one message may have
    MAX_DEALS = 2048
    #: bars that one message may have
    MAX_BARS = 64


cdef enum EventKind:
    #: belongs to no route: a topic that nobody asked for
    EVENT_UNROUTED = 0
    #: replaces levels: (prev_seq, last_seq]
    EVENT_DELTA = 1
    #: replaces the book, whatever its sequence: deltas go on from it
    EVENT_SNAPSHOT = 2
    EVENT_BBO = 3
    #: `deals`
    EVENT_TRADE = 4
    #: an ack, an error, a notice: for the protocol, as text
    EVENT_CONTROL = 5
    #: the venue lives, nothing changed since `last_seq` (= prev_seq)
    EVENT_HEARTBEAT = 6
    #: a delta after which the venue's sequence starts again: last_seq < prev_seq, and prev_seq must be the book's
    EVENT_RESET = 7
    #: the whole book once more: every message of its stream is one, and an older one is dropped
    EVENT_REFRESH = 8
    EVENT_TICKER = 9
    #: `bars`
    EVENT_BAR = 10
    #: `deals` that are liquidations, without ids
    EVENT_LIQUIDATION = 11
    #: of a route, understood, and of no interest
    EVENT_IDLE = 12


cdef enum Channel:
    CHANNEL_BOOK = 0
    CHANNEL_BBO = 1
    CHANNEL_TRADE = 2
    CHANNEL_TICKER = 3
    CHANNEL_BAR = 4
    CHANNEL_LIQUIDATION = 5


cdef enum TradeSide:
    SIDE_BUY = 1
    SIDE_SELL = 2


cdef enum IdKind:
    ID_INTEGER = 1
    ID_UUID = 2
    ID_TEXT = 3


cdef enum TickerField:
    TICKER_LAST = 0
    TICKER_MARK = 1
    TICKER_INDEX = 2
    #: in the unit of sizes
    TICKER_OPEN_INTEREST = 3
    #: the current one, per interval of the venue
    TICKER_FUNDING = 4
    #: of 24 hours, in the unit of sizes
    TICKER_VOLUME = 5
    #: ns since the epoch, with exponent 0
    TICKER_NEXT_FUNDING = 6
    TICKER_FIELDS = 7

#: a number of whatever exponent the venue's text has
cdef struct Number:
    int64_t mantissa
    int exponent

#: one trade, or one liquidation
cdef struct Deal:
    #: of this deal, where one message has deals of several instruments; NULL: the event's
    void* route
    int64_t px
    int64_t sz
    #: ABSENT: the event's
    int64_t ts_event
    #: the venue's number of it, ABSENT if it has none
    int64_t sequence
    #: the taker's; of a liquidation: that of the liquidating order
    uint8_t side
    #: of a trade: the side of the order in it that was a liquidation, 0 if none was
    uint8_t liquidated
    uint8_t id_kind
    uint8_t[16] trade_id

cdef struct Bar:
    #: ns since the epoch
    int64_t start
    int64_t interval_s
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    #: in the unit of sizes
    Number volume
    bint closed


cdef struct Event:
    EventKind kind
    #: the route that the topic resolved to, NULL if none; opaque here
    void* route
    #: bytes from the start of the frame to the offending one, after a failure
    int64_t offset
    #: ns since the epoch by the venue's clock, ABSENT if not given
    int64_t ts_event
    int64_t ts_send
    #: the message covers the venue's sequences (prev_seq, last_seq]; ABSENT where there are none
    int64_t prev_seq
    int64_t last_seq
    #: levels: n_bids pairs (px, sz), then n_asks pairs; mantissas of the instrument; room for MAX_LEVELS pairs
    int64_t* levels
    #: shapes of levels that were read, see shapes.h; NULL where the processor has no use for them
    void* shapes
    int n_bids
    int n_asks
    #: of a snapshot or refresh: the stream shows so many levels a side and no more; 0: all
    int limit
    #: of a snapshot: the venue says itself that its sequence starts again here
    bint restarts
    #: bbo; a side without a quote has size 0 and price ABSENT
    int64_t bid_px
    int64_t bid_sz
    int64_t ask_px
    int64_t ask_sz
    Deal* deals
    int n_deals
    #: the deals happened before the subscription: they count only if one of theirs was missed
    bint history
    Bar* bars
    int n_bars
    #: bits (1 << TickerField) of the fields that the message has
    unsigned int ticker_has
    Number[TICKER_FIELDS] ticker

cdef int event_init(Event* event) except -1
cdef void event_free(Event* event) noexcept


cdef inline Deal* event_deal(Event* event) noexcept nogil:
    """Room for one more deal, its rarer fields at their defaults; NULL if the message has too many."""
    cdef Deal* deal
    if event.n_deals >= MAX_DEALS:
        return NULL
    deal = &event.deals[event.n_deals]
    event.n_deals += 1
    deal.route = NULL
    deal.ts_event = ABSENT
    deal.sequence = ABSENT
    deal.liquidated = 0
    deal.id_kind = ID_INTEGER
    return deal


cdef inline Bar* event_bar(Event* event) noexcept nogil:
    """Room for one more bar, zeroed; NULL if the message has too many."""
    cdef Bar* bar
    if event.n_bars >= MAX_BARS:
        return NULL
    bar = &event.bars[event.n_bars]
    event.n_bars += 1
    memset(bar, 0, sizeof(Bar))             # bars are compared as bytes
    return bar


cdef inline void event_begin(Event* event) noexcept nogil:
    """Empty the event for the next message; quote, values and what counts have no need of it."""
    event.kind = EVENT_UNROUTED
    event.route = NULL
    event.ts_event = ABSENT
    event.ts_send = ABSENT
    event.prev_seq = ABSENT
    event.last_seq = ABSENT
    event.n_bids = 0
    event.n_asks = 0
    event.limit = 0
    event.restarts = False
    event.n_deals = 0
    event.history = False
    event.n_bars = 0
    event.ticker_has = 0

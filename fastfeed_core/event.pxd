"""What a decoder hands out: one venue message as C values, wholly parsed before any book is touched."""

from libc.stdint cimport int64_t, uint8_t

cdef extern from *:
    """
    #define FF_ABSENT INT64_MIN
    """
    #: a value that the venue did not give; None in Python
    const int64_t ABSENT "FF_ABSENT"

cdef enum:
    #: levels of both sides that one message may have
    MAX_LEVELS = 32768


cdef enum EventKind:
    #: belongs to no route: a topic that nobody asked for
    EVENT_UNROUTED = 0
    #: replaces levels: (prev_seq, last_seq]
    EVENT_DELTA = 1
    #: replaces the book
    EVENT_SNAPSHOT = 2
    EVENT_BBO = 3
    EVENT_TRADE = 4
    #: an ack, an error, a notice: for the protocol, as text
    EVENT_CONTROL = 5
    #: the venue lives, nothing changed
    EVENT_HEARTBEAT = 6
    #: the venue's sequence starts again
    EVENT_RESET = 7


cdef enum Channel:
    CHANNEL_BOOK = 0
    CHANNEL_BBO = 1
    CHANNEL_TRADE = 2


cdef enum TradeSide:
    SIDE_BUY = 1
    SIDE_SELL = 2


cdef enum IdKind:
    ID_INTEGER = 1
    ID_UUID = 2
    ID_TEXT = 3


cdef struct Event:
    EventKind kind
    #: the route that the topic resolved to, NULL if none; opaque here
    void* route
    #: bytes from the start of the frame to the offending one, after a failure
    int64_t offset
    #: ns since the epoch by the venue's clock, ABSENT if not given
    int64_t ts_event
    int64_t ts_send
    #: the message covers the venue's sequences (prev_seq, last_seq]
    int64_t prev_seq
    int64_t last_seq
    #: levels: n_bids pairs (px, sz), then n_asks pairs; mantissas of the instrument; room for MAX_LEVELS pairs
    int64_t* levels
    int n_bids
    int n_asks
    #: bbo; a side without a quote has size 0 and price ABSENT
    int64_t bid_px
    int64_t bid_sz
    int64_t ask_px
    int64_t ask_sz
    #: trade; side is the taker's
    int64_t px
    int64_t sz
    uint8_t side
    uint8_t id_kind
    uint8_t[16] trade_id

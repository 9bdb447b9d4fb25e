"""Deribit's fields, taken from an object in whatever order it has them: first where each stands, then what it says."""

from libc.stdint cimport int64_t
from libc.string cimport memset, strlen

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_first_key,
    cursor_int,
    cursor_next_key,
    cursor_skip,
    cursor_string,
    span_is,
)
from fastfeed_core.decoders.fields cimport cursor_field, cursor_ms, cursor_price
from fastfeed_core.event cimport ABSENT, Event, TickerField
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, RANGE, SHAPE

# The known fields of all payloads, in the order of NAMES.
cdef enum:
    AMOUNT
    ASKS
    ASK
    ASK_SZ
    BID
    BID_SZ
    BIDS
    CHANGE_ID
    CLOSE
    COST
    DIRECTION
    FUNDING
    HIGH
    INDEX
    LAST
    LIQUIDATION
    LOW
    MARK
    NAME
    OPEN
    OPEN_INTEREST
    PREV_CHANGE_ID
    PRICE
    STATS
    TICK
    TIME
    TRADE_ID
    TRADE_SEQ
    TYPE
    VOLUME
    VOLUME_USD
    FIELDS

cdef extern from *:
    """
    static const char *ff_deribit_names[] = {
        "amount", "asks", "best_ask_price", "best_ask_amount", "best_bid_price", "best_bid_amount", "bids",
        "change_id", "close", "cost", "direction", "current_funding", "high", "index_price", "last_price",
        "liquidation", "low", "mark_price", "instrument_name", "open", "open_interest", "prev_change_id", "price",
        "stats", "tick", "timestamp", "trade_id", "trade_seq", "type", "volume", "volume_usd"};
    """
    const char** NAMES "ff_deribit_names"


#: an object's known fields, which are taken one after the other until one fails: then `code` says why, `c.p` where
cdef struct Fields:
    Cursor* c
    int code
    #: the value of each, NULL if the object has it not
    const char* at[FIELDS]


cdef inline int find_fields(Fields* f, Cursor* c) noexcept nogil:
    """Step over an object, checking its grammar, and note where its known fields stand."""
    cdef Span key
    cdef int i, status
    cdef int code = cursor_first_key(c, &key)
    memset(f, 0, sizeof(Fields))
    f.c = c
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        for i in range(FIELDS):
            if span_is(&key, NAMES[i], strlen(NAMES[i])):
                if f.at[i] != NULL:
                    return SHAPE
                f.at[i] = c.p
                break
        status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return code


cdef inline bint has(const Fields* f, int field) noexcept nogil:
    """Whether a field is there and not null."""
    return f.at[field] != NULL and f.at[field][0] != c"n"


cdef inline bint go(Fields* f, int field) noexcept nogil:
    """Go to the value of a field that must be there."""
    if f.code == OK and f.at[field] == NULL:
        f.code = SHAPE
    if f.code == OK:
        f.c.p = f.at[field]
    return f.code == OK


cdef inline void take_int(Fields* f, int field, int64_t* out) noexcept nogil:
    if go(f, field):
        f.code = cursor_int(f.c, out)
        if f.code == OK and out[0] < 0:
            f.code = RANGE


cdef inline void take_ms(Fields* f, int field, int64_t* ns) noexcept nogil:
    cdef int64_t ms = 0
    take_int(f, field, &ms)
    if f.code == OK:
        f.code = cursor_ms(ms, ns)


cdef inline void take_price(Fields* f, int field, int exponent, int64_t* out) noexcept nogil:
    if go(f, field):
        f.code = cursor_price(f.c, exponent, out)


cdef inline void take_quoted(Fields* f, int field, int exponent, int64_t* out) noexcept nogil:
    """A price or size that is null on an empty side."""
    out[0] = ABSENT
    if go(f, field) and has(f, field):
        take_price(f, field, exponent, out)


cdef inline void take_word(Fields* f, int field, Span* out) noexcept nogil:
    if go(f, field):
        f.code = cursor_string(f.c, out)


cdef inline void take_name(Fields* f, const Route* route) noexcept nogil:
    """The instrument must be the one that the topic names."""
    cdef Span word
    take_word(f, NAME, &word)
    if f.code == OK and not span_is(&word, route.symbol, route.symbol_size):
        f.code = SHAPE


cdef inline void take_number(Fields* f, int field, Event* event, TickerField wanted) noexcept nogil:
    """A number of the ticker; not every kind of instrument has it, and null is none."""
    if f.code == OK and has(f, field):
        f.c.p = f.at[field]
        f.code = cursor_field(f.c, event, wanted)

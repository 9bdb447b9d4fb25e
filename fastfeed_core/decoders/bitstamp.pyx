"""Bitstamp, spot and perpetuals: channel messages to events.

A frame is `{"data":{...},"channel":"<kind>_<market>","event":"<what>"}`; the channel names the route, and stands behind
what needs it. Payloads as of 2026, `event` in front:

    data                order_book_*, diff_order_book_*: {"timestamp":"s","microtimestamp":"us","bids":[],"asks":[]}
    trade               live_trades_*: {"id":1,["id_str":"1",]"timestamp":"s","amount":0.1,"amount_str":"0.10000000",
                        "price":2.5,"price_str":"2.50","type":0,"microtimestamp":"us","buy_order_id":2,...}
    funding_rate_saved  funding_rate_*: {"market":"btcusd-perp","mark_price":"1.5","index_price":"1.5",
                        "funding_rate":"0.0001","timestamp":"s","next_funding_time":"s"}
    bts:...             acks, errors, heartbeats

Every message of `order_book_*` is the whole of the best 100 levels a side. Nothing chains the messages of
`diff_order_book_*`: the microtimestamp alone orders them, and the REST book among them. `type` is the taker's side, 0
buys. Bare numbers of trades have the noise of floats: the ones in quotes count. `timestamp` of trades is in seconds on
spot and in milliseconds on perpetuals, and is not looked at.
Source: www.bitstamp.net/websocket/v2, "Public channels" (2026-09).
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_finish,
    cursor_first_key,
    cursor_int,
    cursor_next_key,
    cursor_skip,
    cursor_space,
    cursor_string,
    span_is,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.decoders.fields cimport (
    cursor_field,
    cursor_pairs,
    cursor_price,
    deal_id,
    scan_int,
    scan_quoted_pairs,
    scan_text,
)
from fastfeed_core.event cimport (
    CHANNEL_BOOK,
    CHANNEL_TICKER,
    CHANNEL_TRADE,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_REFRESH,
    EVENT_SNAPSHOT,
    EVENT_TICKER,
    EVENT_TRADE,
    EVENT_UNROUTED,
    MAX_LEVELS,
    SIDE_BUY,
    SIDE_SELL,
    TICKER_FUNDING,
    TICKER_INDEX,
    TICKER_MARK,
    TICKER_NEXT_FUNDING,
    Deal,
    Event,
    Number,
    event_deal,
)
from fastfeed_core.routes cimport Route, Routes, routes_find
from fastfeed_core.status cimport OK, RANGE, SHAPE, SYNTAX, TRUNCATED

cdef enum:
    #: levels a side of `order_book_*`
    DEPTH = 100
    US = 1000
    S = 1000000000

cdef extern from *:
    """
    #define FF_MAX_US (INT64_MAX / 1000)
    #define FF_MAX_S (INT64_MAX / 1000000000)
    """
    #: times beyond these do not fit nanoseconds in an int64
    const int64_t MAX_US "FF_MAX_US"
    const int64_t MAX_S "FF_MAX_S"

# Bits of the fields that a message has shown, to refuse repeated and missing ones.
cdef enum:
    HAS_microtimestamp = 1
    HAS_bids = 2
    HAS_asks = 4
    HAS_id = 8
    HAS_type = 16
    HAS_price_str = 32
    HAS_amount_str = 64
    HAS_market = 128
    HAS_timestamp = 256
    HAS_mark_price = 512
    HAS_index_price = 1024
    HAS_funding_rate = 2048
    HAS_next_funding_time = 4096


# ---- the fast path: the venue's own order, to the last byte

cdef inline bint _is_whole(const Route* route) noexcept nogil:
    """`order_book_*`, not `diff_order_book_*`."""
    return route.topic[0] == c"o"


cdef inline bint _has_empty_level(const Event* event) noexcept nogil:
    cdef int i
    for i in range(event.n_bids + event.n_asks):
        if event.levels[2 * i + 1] == 0:
            return True
    return False


cdef inline void _finish_book(Event* event, const Route* route) noexcept nogil:
    """Nothing chains differences: `prev_seq` stays absent."""
    if _is_whole(route):
        event.kind = EVENT_REFRESH
        event.limit = DEPTH
    else:
        event.kind = EVENT_DELTA


cdef Route* _find_route(const char* p, const char* end, Routes* routes, const char** data_end) noexcept nogil:
    """The route of a book's frame by its last bytes, and where its data end; NULL if they are not as expected."""
    cdef const char* topic
    cdef Route* route
    if end - p < 64 or memcmp(end - 17, b'","event":"data"}', 17) != 0:
        return NULL
    end -= 17
    topic = end
    while topic > p and (topic - 1)[0] != c'"':
        topic -= 1
    if topic - p < 13 or memcmp(topic - 13, b'},"channel":"', 13) != 0:
        return NULL
    route = routes_find(routes, topic, end - topic)
    data_end[0] = topic - 13
    return route if route != NULL and route.channel == CHANNEL_BOOK else NULL


cdef bint _scan_book(const char* p, const char* end, const char* data_end, const Route* route,
                     Event* event) noexcept nogil:
    cdef int64_t seconds = 0
    if not (scan_text(&p, end, b'{"data":{"timestamp":"', 22) and scan_int(&p, end, &seconds)
            and scan_text(&p, end, b'","microtimestamp":"', 20) and scan_int(&p, end, &event.last_seq)
            and event.last_seq <= MAX_US and scan_text(&p, end, b'","bids":[', 10)):
        return False
    event.ts_event = event.last_seq * US
    event.n_bids = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, event.shapes)
    if event.n_bids < 0 or not scan_text(&p, end, b',"asks":[', 9):
        return False
    event.n_asks = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids,
                                     MAX_LEVELS - event.n_bids, event.shapes)
    if event.n_asks < 0 or p != data_end:
        return False
    _finish_book(event, route)
    return event.kind == EVENT_DELTA or not _has_empty_level(event)


# ---- the order-free path

cdef int _read_quoted(Cursor* c, int64_t greatest, int64_t unit, int64_t* out) noexcept nogil:
    """A count of at most `greatest` in quotes, as a multiple of `unit`."""
    cdef int code
    if c.p >= c.end:
        return TRUNCATED
    if c.p[0] != c'"':
        return SHAPE
    c.p += 1
    code = cursor_int(c, out)
    if code != OK:
        return SHAPE if code == SYNTAX else code
    if c.p >= c.end:
        return TRUNCATED
    if c.p[0] != c'"':
        return SHAPE
    if out[0] < 0 or out[0] > greatest:
        return RANGE
    c.p += 1
    out[0] *= unit
    return OK


cdef int _drop_empty_levels(Event* event, int first, int n) noexcept nogil:
    """Close the holes that levels of size 0 leave among `n` pairs; how many pairs are left."""
    cdef int64_t* pairs = event.levels + 2 * first
    cdef int i
    cdef int kept = 0
    for i in range(n):
        if pairs[2 * i + 1]:
            pairs[2 * kept] = pairs[2 * i]
            pairs[2 * kept + 1] = pairs[2 * i + 1]
            kept += 1
    return kept


cdef int _read_levels(Cursor* c, int px_exp, int sz_exp, bint whole, Event* event) noexcept nogil:
    """A book, whole or what differs: `{"timestamp":"s","microtimestamp":"us","bids":[..],"asks":[..]}`."""
    cdef Span key
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef const char* after
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        bit = 0
        if span_is(&key, b"microtimestamp", 14):
            bit = HAS_microtimestamp
            status = _read_quoted(c, MAX_US, 1, &event.last_seq)
        elif span_is(&key, b"bids", 4):
            bit = HAS_bids
            bids = c.p
            status = cursor_skip(c)
        elif span_is(&key, b"asks", 4):
            bit = HAS_asks
            asks = c.p
            status = cursor_skip(c)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        if seen & bit:
            return SHAPE
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if seen != HAS_microtimestamp | HAS_bids | HAS_asks:
        return SHAPE
    event.ts_event = event.last_seq * US
    # Bids stand before asks in the scratch, whatever the message's order.
    after = c.p
    c.p = bids
    status = cursor_pairs(c, px_exp, sz_exp, event.levels, MAX_LEVELS, &event.n_bids, event.shapes)
    if status != OK:
        return status
    if whole:
        event.n_bids = _drop_empty_levels(event, 0, event.n_bids)
    c.p = asks
    status = cursor_pairs(c, px_exp, sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                          &event.n_asks, event.shapes)
    if status != OK:
        return status
    if whole:
        event.n_asks = _drop_empty_levels(event, event.n_bids, event.n_asks)
    c.p = after
    return OK


cdef int _read_book(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef int status = _read_levels(c, route.px_exp, route.sz_exp, _is_whole(route), event)
    if status == OK:
        _finish_book(event, route)
    return status


cdef int _read_trade(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef Deal* deal = event_deal(event)
    cdef Span key, text
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef int64_t number = 0
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        bit = 0
        if span_is(&key, b"id", 2):
            bit = HAS_id
            text.p = c.p
            text.escaped = False
            status = cursor_int(c, &number)
            text.size = c.p - text.p
            if status == OK:
                status = RANGE if text.p[0] == c"-" else deal_id(deal, &text)
        elif span_is(&key, b"type", 4):
            bit = HAS_type
            status = cursor_int(c, &number)
            if status == OK and not 0 <= number <= 1:
                status = RANGE
            deal.side = SIDE_SELL if number else SIDE_BUY
        elif span_is(&key, b"price_str", 9):
            bit = HAS_price_str
            status = cursor_price(c, route.px_exp, &deal.px)
        elif span_is(&key, b"amount_str", 10):
            bit = HAS_amount_str
            status = cursor_price(c, route.sz_exp, &deal.sz)
        elif span_is(&key, b"microtimestamp", 14):
            bit = HAS_microtimestamp
            status = _read_quoted(c, MAX_US, US, &event.ts_event)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        if seen & bit:
            return SHAPE
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if seen != HAS_id | HAS_type | HAS_price_str | HAS_amount_str | HAS_microtimestamp:
        return SHAPE
    event.kind = EVENT_TRADE
    return OK


cdef int _read_funding(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef Number* due = &event.ticker[<int>TICKER_NEXT_FUNDING]
    cdef Span key, text
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        bit = 0
        if span_is(&key, b"market", 6):
            bit = HAS_market
            status = cursor_string(c, &text)
            if status == OK and not span_is(&text, route.symbol, route.symbol_size):
                status = SHAPE
        elif span_is(&key, b"timestamp", 9):
            bit = HAS_timestamp
            status = _read_quoted(c, MAX_S, S, &event.ts_event)
        elif span_is(&key, b"mark_price", 10):
            bit = HAS_mark_price
            status = cursor_field(c, event, TICKER_MARK)
        elif span_is(&key, b"index_price", 11):
            bit = HAS_index_price
            status = cursor_field(c, event, TICKER_INDEX)
        elif span_is(&key, b"funding_rate", 12):
            bit = HAS_funding_rate
            status = cursor_field(c, event, TICKER_FUNDING)
        elif span_is(&key, b"next_funding_time", 17):
            bit = HAS_next_funding_time
            status = _read_quoted(c, MAX_S, S, &due.mantissa)
            due.exponent = 0
            event.ticker_has |= 1U << <int>TICKER_NEXT_FUNDING
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        if seen & bit:
            return SHAPE
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if seen & (HAS_market | HAS_timestamp) != HAS_market | HAS_timestamp:
        return SHAPE
    event.kind = EVENT_TICKER
    return OK


cdef int _read_outer(Cursor* c, Span* channel, Span* word, const char** data) noexcept nogil:
    """Find the parts of a frame; its grammar is checked to the end."""
    cdef Span key
    cdef int code, status
    cursor_space(c)
    code = cursor_first_key(c, &key)
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        if span_is(&key, b"channel", 7):
            if channel.p != NULL:
                return SHAPE                # repeated
            status = cursor_string(c, channel)
        elif span_is(&key, b"event", 5):
            if word.p != NULL:
                return SHAPE
            status = cursor_string(c, word)
        elif span_is(&key, b"data", 4):
            if data[0] != NULL:
                return SHAPE
            data[0] = c.p
            status = cursor_skip(c)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return cursor_finish(c) if code == OK else code


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    cdef Span channel, word
    cdef const char* data = NULL
    cdef Route* route = NULL
    cdef int status
    channel.p = NULL
    word.p = NULL
    status = _read_outer(c, &channel, &word, &data)
    if channel.p != NULL:
        route = routes_find(routes, channel.p, channel.size)
    if status != OK:
        # What cannot be read could have been a difference, if only the end of the frame says of what.
        if route != NULL:
            event.route = route
        return status
    event.route = NULL
    if channel.p == NULL or word.p == NULL or data == NULL or word.size >= 4 and memcmp(word.p, b"bts:", 4) == 0:
        event.kind = EVENT_CONTROL
        return OK
    event.kind = EVENT_UNROUTED
    if route == NULL:
        return OK
    event.route = route
    c.p = data
    if route.channel == CHANNEL_BOOK and span_is(&word, b"data", 4):
        return _read_book(c, route, event)
    if route.channel == CHANNEL_TRADE and span_is(&word, b"trade", 5):
        return _read_trade(c, route, event)
    if route.channel == CHANNEL_TICKER and span_is(&word, b"funding_rate_saved", 18):
        return _read_funding(c, route, event)
    return SHAPE


cdef int decode_bitstamp(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil:
    """Decode one frame; `fallback` tells that a book was not of the expected shape, though it is valid."""
    cdef const char* data_end = NULL
    cdef Route* route = _find_route(p, p + size, routes, &data_end)
    cdef Cursor c
    cdef int status
    fallback[0] = False
    event.route = route
    if route != NULL and _scan_book(p, p + size, data_end, route, event):
        return OK
    c.p = p
    c.end = p + size
    status = _read_frame(&c, routes, event)
    event.offset = c.p - p
    fallback[0] = status == OK and event.route != NULL and (<Route*>event.route).channel == CHANNEL_BOOK
    return status


cdef int decode_bitstamp_snapshot(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil:
    """Decode the REST reply of a book with `group=1`."""
    cdef Cursor c
    cdef int status
    c.p = p
    c.end = p + size
    cursor_space(&c)
    status = _read_levels(&c, px_exp, sz_exp, True, event)
    if status == OK:
        status = cursor_finish(&c)
    event.offset = c.p - p
    event.prev_seq = event.last_seq
    event.kind = EVENT_SNAPSHOT
    return status


cdef class BitstampDecoder(Decoder):
    """Decoder of channel messages and of REST books."""

    def __cinit__(self):
        self.decode = decode_bitstamp
        self.decode_snapshot = decode_bitstamp_snapshot

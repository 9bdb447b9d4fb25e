"""Binance's books, quotes, trades and snapshots by request, whatever the order of their fields.

`binance` says what the messages are. Here a message is read again that its scanner did not take.
"""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_bool,
    cursor_finish,
    cursor_first_key,
    cursor_int,
    cursor_next_key,
    cursor_skip,
    cursor_space,
    cursor_string,
    span_is,
    span_word,
)
from fastfeed_core.decoders.fields cimport cursor_named, cursor_pairs, cursor_price, cursor_time
from fastfeed_core.event cimport ABSENT, CHANNEL_BBO, EVENT_DELTA, EVENT_SNAPSHOT, MAX_LEVELS, Event
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, RANGE, SHAPE

cdef enum:
    KEY_e = 0x65
    KEY_E = 0x45
    KEY_T = 0x54
    KEY_s = 0x73
    KEY_U = 0x55
    KEY_u = 0x75
    KEY_pu = 0x7075
    KEY_b = 0x62
    KEY_B = 0x42
    KEY_a = 0x61
    KEY_A = 0x41
    KEY_t = 0x74
    KEY_p = 0x70
    KEY_q = 0x71
    KEY_m = 0x6D
    KEY_X = 0x58
    KEY_bids = 0x62696473
    KEY_asks = 0x61736B73

# Bits of the fields that a message has shown, to refuse repeated and missing ones.
cdef enum:
    HAS_e = 1
    HAS_E = 2
    HAS_T = 4
    HAS_s = 8
    HAS_U = 16
    HAS_u = 32
    HAS_pu = 64
    HAS_b = 128
    HAS_B = 256
    HAS_a = 512
    HAS_A = 1024
    HAS_t = 2048
    HAS_p = 4096
    HAS_q = 8192
    HAS_m = 16384
    HAS_X = 32768


cdef int read_binance_depth(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef Span key
    cdef int64_t first = 0
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef uint64_t name
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef const char* after
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        name = span_word(&key)
        bit = 0
        if name == KEY_e:
            bit = HAS_e
            status = cursor_named(c, b"depthUpdate", 11)
        elif name == KEY_E:
            bit = HAS_E
            status = cursor_time(c, &event.ts_send)
        elif name == KEY_T:
            bit = HAS_T
            status = cursor_time(c, &event.ts_event)
        elif name == KEY_s:
            bit = HAS_s
            status = cursor_named(c, route.symbol, route.symbol_size)
        elif name == KEY_U:
            bit = HAS_U
            status = cursor_int(c, &first)
        elif name == KEY_u:
            bit = HAS_u
            status = cursor_int(c, &event.last_seq)
        elif name == KEY_pu:
            bit = HAS_pu
            status = cursor_int(c, &event.prev_seq)
        elif name == KEY_b:
            bit = HAS_b
            bids = c.p
            status = cursor_skip(c)
        elif name == KEY_a:
            bit = HAS_a
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
    if seen & (HAS_e | HAS_E | HAS_s | HAS_U | HAS_u | HAS_b | HAS_a) != \
            HAS_e | HAS_E | HAS_s | HAS_U | HAS_u | HAS_b | HAS_a:
        return SHAPE
    if not seen & HAS_T:
        event.ts_event = event.ts_send
    if first < 0 or event.last_seq < first:
        return RANGE
    if not seen & HAS_pu:
        event.prev_seq = first - 1
    elif event.prev_seq >= event.last_seq or event.prev_seq < 0:
        return RANGE
    # Bids stand before asks in the scratch, whatever the message's order.
    after = c.p
    c.p = bids
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, &event.n_bids, event.shapes)
    if status != OK:
        return status
    c.p = asks
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                          &event.n_asks, event.shapes)
    if status != OK:
        return status
    c.p = after
    event.kind = EVENT_DELTA
    return OK


cdef int read_binance_quote_or_trade(Cursor* c, const Route* route, Event* event) noexcept nogil:
    """bookTicker, trade and aggTrade: their fields have the same names, `a` apart."""
    cdef bint bbo = route.channel == CHANNEL_BBO
    cdef Span key, word
    cdef int64_t trade_id = 0
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef unsigned int wanted
    cdef uint64_t name
    cdef bint aggregate = False
    cdef bint maker_bought = False
    cdef bint of_market = True
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    event.ts_event = ABSENT
    event.ts_send = ABSENT
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        name = span_word(&key)
        bit = 0
        if name == KEY_e:
            bit = HAS_e
            status = cursor_string(c, &word)
            if status == OK:
                aggregate = span_is(&word, b"aggTrade", 8)
                if not (span_is(&word, b"bookTicker", 10) if bbo else aggregate or span_is(&word, b"trade", 5)):
                    status = SHAPE
        elif name == KEY_E or name == KEY_T:
            bit = HAS_E if name == KEY_E else HAS_T
            status = cursor_time(c, &event.ts_send if name == KEY_E else &event.ts_event)
        elif name == KEY_s:
            bit = HAS_s
            status = cursor_named(c, route.symbol, route.symbol_size)
        elif name == KEY_u and bbo:
            bit = HAS_u
            status = cursor_int(c, &event.last_seq)
        elif name == KEY_b and bbo:
            bit = HAS_b
            status = cursor_price(c, route.px_exp, &event.bid_px)
        elif name == KEY_B and bbo:
            bit = HAS_B
            status = cursor_price(c, route.sz_exp, &event.bid_sz)
        elif name == KEY_a and bbo:
            bit = HAS_a
            status = cursor_price(c, route.px_exp, &event.ask_px)
        elif name == KEY_A and bbo:
            bit = HAS_A
            status = cursor_price(c, route.sz_exp, &event.ask_sz)
        elif (name == KEY_t or name == KEY_a) and not bbo:
            bit = HAS_t if name == KEY_t else HAS_a
            status = cursor_int(c, &trade_id)
            if status == OK and trade_id < 0:
                status = RANGE
        elif name == KEY_p and not bbo:
            bit = HAS_p
            status = cursor_price(c, route.px_exp, &event.deals.px)
        elif name == KEY_q and not bbo:
            bit = HAS_q
            status = cursor_price(c, route.sz_exp, &event.deals.sz)
        elif name == KEY_m and not bbo:
            bit = HAS_m
            status = cursor_bool(c, &maker_bought)
        elif name == KEY_X and not bbo:
            bit = HAS_X
            status = cursor_string(c, &word)
            of_market = status == OK and span_is(&word, b"MARKET", 6)
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
    if bbo:
        wanted = HAS_u | HAS_s | HAS_b | HAS_B | HAS_a | HAS_A
        if seen & wanted != wanted:
            return SHAPE
        if event.last_seq < 0:
            return RANGE
        finish_bbo(event)
        return OK
    wanted = HAS_e | HAS_E | HAS_T | HAS_s | HAS_p | HAS_q | HAS_m | (HAS_a if aggregate else HAS_t)
    # A trade has no `a`, an aggregate no `t`: with both, which one is the id would be a guess.
    if seen & (wanted | HAS_a | HAS_t) != wanted:
        return SHAPE
    finish_trade(event, trade_id, maker_bought, of_market)
    return OK


cdef int decode_binance_snapshot(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil:
    """Decode the REST reply `{"lastUpdateId":..,["E":ms,"T":ms,]"bids":[..],"asks":[..]}`."""
    cdef const char* start = p
    cdef Cursor c
    cdef Span key
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef bint has_id = False
    cdef int code, status
    cdef uint64_t name
    c.p = p
    c.end = p + size
    event.ts_event = ABSENT
    event.ts_send = ABSENT
    cursor_space(&c)
    code = cursor_first_key(&c, &key)
    while code == 1:
        name = span_word(&key)
        event.offset = c.p - start
        if span_is(&key, b"lastUpdateId", 12) and not has_id:
            has_id = True
            status = cursor_int(&c, &event.last_seq)
        elif name == KEY_bids and bids == NULL:
            bids = c.p
            status = cursor_skip(&c)
        elif name == KEY_asks and asks == NULL:
            asks = c.p
            status = cursor_skip(&c)
        elif name == KEY_bids or name == KEY_asks or span_is(&key, b"lastUpdateId", 12):
            status = SHAPE                  # repeated
        elif name == KEY_E or name == KEY_T:
            status = cursor_time(&c, &event.ts_send if name == KEY_E else &event.ts_event)
        else:
            status = cursor_skip(&c)
        event.offset = c.p - start
        if status != OK:
            return status
        code = cursor_next_key(&c, &key)
    event.offset = c.p - start
    if code != OK:
        return code
    status = cursor_finish(&c)
    if status == OK and (not has_id or bids == NULL or asks == NULL):
        status = SHAPE
    if status == OK and event.last_seq < 0:
        status = RANGE
    if status == OK:
        c.p = bids
        status = cursor_pairs(&c, px_exp, sz_exp, event.levels, MAX_LEVELS, &event.n_bids, event.shapes)
    if status == OK:
        c.p = asks
        status = cursor_pairs(&c, px_exp, sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                              &event.n_asks, event.shapes)
    event.offset = c.p - start
    event.prev_seq = event.last_seq
    event.kind = EVENT_SNAPSHOT
    return status

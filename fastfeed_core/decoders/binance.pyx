"""Binance spot and USD-M futures: combined stream frames to events.

A frame is `{"stream":"<topic>","data":{...}}`; the topic names the route. Payloads as of 2026 (older ones lack some):

    depth   {"e":"depthUpdate","E":ms,["T":ms,]"s":"BTCUSDT",["ps":..,"st":..,]"U":..,"u":..,["pu":..,]"b":[],"a":[]}
    bbo     {["e":"bookTicker",]"u":..,["E":ms,"T":ms,]"s":..,["ps":..,]"b":"px","B":"sz","a":"px","A":"sz",[..]}
    trade   {"e":"trade","E":ms,["T":ms,]"s":..,"t":id,"p":"px","q":"sz",["T":ms|"X":..],"m":bool,["M":bool|"st":..]}
    agg     {"e":"aggTrade","E":ms,"s":..,"a":id,"p":"px","q":"sz",["nq":..,]"f":..,"l":..,"T":ms,"m":bool,[..]}

What comes a few times a second at most (tickers, bars, liquidations) is read in `binance_figures`.
Spot chains its deltas by U == last u + 1, futures by pu == last u; both become (prev_seq, last_seq]. E is the time of
sending, T that of the event; where T is missing E stands for both. `m` true: the buyer was the maker, the taker sold.
`X` of a futures trade other than MARKET: no trade of the market, but one of the insurance fund at a price of its own,
or none at all ("NA", price and size 0; undocumented, seen in 2026). Aggregates have none of these either.
Source: web-socket-streams.md, "Diff. Depth Stream" and its neighbours; USD-M "Diff. Book Depth Streams".
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

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
from fastfeed_core.decoders.binance_figures cimport read_binance_figures
from fastfeed_core.decoders.fields cimport (
    cursor_ms,
    cursor_pairs,
    cursor_price,
    scan_decimal,
    scan_int,
    scan_ms,
    scan_quoted_pairs,
    scan_text,
    scan_word,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    CHANNEL_BOOK,
    CHANNEL_TRADE,
    EVENT_BBO,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_IDLE,
    EVENT_SNAPSHOT,
    EVENT_TRADE,
    EVENT_UNROUTED,
    ID_INTEGER,
    MAX_LEVELS,
    SIDE_BUY,
    SIDE_SELL,
    Deal,
    Event,
)
from fastfeed_core.routes cimport Route, Routes, routes_find
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
    KEY_id = 0x6964
    KEY_data = 0x64617461
    KEY_code = 0x636F6465
    KEY_error = 0x6572726F72
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


# ---- the fast path: the venue's own order, to the last byte

cdef inline bint _scan_symbol(const char** p, const char* end, const Route* route) noexcept nogil:
    return scan_text(p, end, b'"s":"', 5) and scan_text(p, end, route.symbol, route.symbol_size) \
        and scan_text(p, end, b'"', 1)


cdef inline bint _scan_pair_and_status(const char** p, const char* end) noexcept nogil:
    """`,"ps":"..."` and `,"st":n`, which futures have had since 2026."""
    cdef int64_t ignored = 0
    if scan_text(p, end, b',"ps":"', 7) and not scan_word(p, end):
        return False
    if scan_text(p, end, b',"st":', 6) and not scan_int(p, end, &ignored):
        return False
    return True


cdef bint _scan_depth(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef int64_t first = 0
    if not (scan_text(&p, end, b'"e":"depthUpdate","E":', 22) and scan_ms(&p, end, &event.ts_send)):
        return False
    event.ts_event = event.ts_send
    if scan_text(&p, end, b',"T":', 5) and not scan_ms(&p, end, &event.ts_event):
        return False
    if not (scan_text(&p, end, b",", 1) and _scan_symbol(&p, end, route) and _scan_pair_and_status(&p, end)):
        return False
    if not (scan_text(&p, end, b',"U":', 5) and scan_int(&p, end, &first)
            and scan_text(&p, end, b',"u":', 5) and scan_int(&p, end, &event.last_seq)):
        return False
    if first > event.last_seq:
        return False
    event.prev_seq = first - 1
    if scan_text(&p, end, b',"pu":', 6) and not scan_int(&p, end, &event.prev_seq):
        return False
    if not scan_text(&p, end, b',"b":[', 6):
        return False
    event.n_bids = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS)
    if event.n_bids < 0 or not scan_text(&p, end, b',"a":[', 6):
        return False
    event.n_asks = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids,
                                     MAX_LEVELS - event.n_bids)
    if event.n_asks < 0 or not _scan_pair_and_status(&p, end):
        return False
    if end - p != 2 or p[0] != c"}" or p[1] != c"}" or event.prev_seq >= event.last_seq:
        return False
    event.kind = EVENT_DELTA
    return True


cdef bint _scan_bbo(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef bint timed = False
    scan_text(&p, end, b'"e":"bookTicker",', 17)
    if not (scan_text(&p, end, b'"u":', 4) and scan_int(&p, end, &event.last_seq)):
        return False
    if scan_text(&p, end, b',"E":', 5):
        if not (scan_ms(&p, end, &event.ts_send) and scan_text(&p, end, b',"T":', 5)
                and scan_ms(&p, end, &event.ts_event)):
            return False
        timed = True
    if not (scan_text(&p, end, b",", 1) and _scan_symbol(&p, end, route)):
        return False
    if scan_text(&p, end, b',"ps":"', 7) and not scan_word(&p, end):
        return False
    if not (scan_text(&p, end, b',"b":"', 6) and scan_decimal(&p, end, route.px_exp, &event.bid_px)
            and scan_text(&p, end, b'","B":"', 7) and scan_decimal(&p, end, route.sz_exp, &event.bid_sz)
            and scan_text(&p, end, b'","a":"', 7) and scan_decimal(&p, end, route.px_exp, &event.ask_px)
            and scan_text(&p, end, b'","A":"', 7) and scan_decimal(&p, end, route.sz_exp, &event.ask_sz)
            and scan_text(&p, end, b'"', 1)):
        return False
    if not timed:
        event.ts_event = ABSENT
        event.ts_send = ABSENT
        if scan_text(&p, end, b',"T":', 5):
            if not (scan_ms(&p, end, &event.ts_event) and scan_text(&p, end, b',"E":', 5)
                    and scan_ms(&p, end, &event.ts_send)):
                return False
    if not _scan_pair_and_status(&p, end):
        return False
    if end - p != 2 or p[0] != c"}" or p[1] != c"}":
        return False
    _finish_bbo(event)
    return True


cdef bint _scan_trade(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    """Trades and aggregate trades."""
    cdef int64_t trade_id = 0
    cdef int64_t ignored = 0
    cdef bint aggregate = False
    cdef bint timed = False
    cdef bint of_market = True
    cdef bint maker_bought
    if scan_text(&p, end, b'"e":"trade","E":', 16):
        pass
    elif scan_text(&p, end, b'"e":"aggTrade","E":', 19):
        aggregate = True
    else:
        return False
    if not scan_ms(&p, end, &event.ts_send):
        return False
    if scan_text(&p, end, b',"T":', 5):
        if not scan_ms(&p, end, &event.ts_event):
            return False
        timed = True
    # Futures put the aggregate's id in front of the symbol, spot behind it.
    if aggregate and scan_text(&p, end, b',"a":', 5):
        if not (scan_int(&p, end, &trade_id) and scan_text(&p, end, b",", 1) and _scan_symbol(&p, end, route)):
            return False
    elif not (scan_text(&p, end, b",", 1) and _scan_symbol(&p, end, route) and scan_text(&p, end, b',"', 2)
              and scan_text(&p, end, b'a":' if aggregate else b't":', 3) and scan_int(&p, end, &trade_id)):
        return False
    if not (scan_text(&p, end, b',"p":"', 6) and scan_decimal(&p, end, route.px_exp, &event.deals.px)
            and scan_text(&p, end, b'","q":"', 7) and scan_decimal(&p, end, route.sz_exp, &event.deals.sz)
            and scan_text(&p, end, b'"', 1)):
        return False
    if aggregate:
        if scan_text(&p, end, b',"nq":"', 7) and not scan_word(&p, end):
            return False
        if not (scan_text(&p, end, b',"f":', 5) and scan_int(&p, end, &ignored)
                and scan_text(&p, end, b',"l":', 5) and scan_int(&p, end, &ignored)):
            return False
    if not timed and not (scan_text(&p, end, b',"T":', 5) and scan_ms(&p, end, &event.ts_event)):
        return False
    if scan_text(&p, end, b',"X":"', 6):
        of_market = scan_text(&p, end, b'MARKET"', 7)
        if not of_market and not scan_word(&p, end):
            return False
    if scan_text(&p, end, b',"m":true', 9):
        maker_bought = True
    elif scan_text(&p, end, b',"m":false', 10):
        maker_bought = False
    else:
        return False
    if scan_text(&p, end, b',"M":', 5) and not (scan_text(&p, end, b"true", 4) or scan_text(&p, end, b"false", 5)):
        return False
    if not _scan_pair_and_status(&p, end):
        return False
    if end - p != 2 or p[0] != c"}" or p[1] != c"}":
        return False
    _finish_trade(event, trade_id, maker_bought, of_market)
    return True


cdef inline void _finish_bbo(Event* event) noexcept nogil:
    """The venue writes an empty side as zeros."""
    if event.bid_sz == 0:
        event.bid_px = ABSENT
    if event.ask_sz == 0:
        event.ask_px = ABSENT
    event.prev_seq = ABSENT
    event.kind = EVENT_BBO


cdef inline void _finish_trade(Event* event, int64_t trade_id, bint maker_bought, bint of_market) noexcept nogil:
    cdef Deal* deal = event.deals
    if not of_market:
        event.kind = EVENT_IDLE
        return
    event.n_deals = 1
    deal.route = NULL
    deal.ts_event = ABSENT
    deal.sequence = ABSENT
    deal.liquidated = 0
    memset(deal.trade_id, 0, 16)
    memcpy(deal.trade_id, &trade_id, 8)
    deal.id_kind = ID_INTEGER
    deal.side = SIDE_SELL if maker_bought else SIDE_BUY
    event.prev_seq = ABSENT
    event.last_seq = ABSENT
    event.kind = EVENT_TRADE


# ---- the order-free path

cdef int _read_depth(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef Span key, word
    cdef int64_t first = 0
    cdef int64_t sent = 0
    cdef int64_t happened = 0
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
            status = cursor_string(c, &word)
            if status == OK and not span_is(&word, b"depthUpdate", 11):
                status = SHAPE
        elif name == KEY_E:
            bit = HAS_E
            status = cursor_int(c, &sent)
            if status == OK:
                status = cursor_ms(sent, &event.ts_send)
        elif name == KEY_T:
            bit = HAS_T
            status = cursor_int(c, &happened)
            if status == OK:
                status = cursor_ms(happened, &event.ts_event)
        elif name == KEY_s:
            bit = HAS_s
            status = _read_symbol(c, route)
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
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, &event.n_bids)
    if status != OK:
        return status
    c.p = asks
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                          &event.n_asks)
    if status != OK:
        return status
    c.p = after
    event.kind = EVENT_DELTA
    return OK


cdef int _read_symbol(Cursor* c, const Route* route) noexcept nogil:
    cdef Span word
    cdef int status = cursor_string(c, &word)
    if status == OK and not span_is(&word, route.symbol, route.symbol_size):
        return SHAPE
    return status


cdef int _read_quote_or_trade(Cursor* c, const Route* route, Event* event) noexcept nogil:
    """bookTicker, trade and aggTrade: their fields have the same names, `a` apart."""
    cdef bint bbo = route.channel == CHANNEL_BBO
    cdef Span key, word
    cdef int64_t trade_id = 0
    cdef int64_t ms = 0
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
            status = cursor_int(c, &ms)
            if status == OK:
                status = cursor_ms(ms, &event.ts_send if name == KEY_E else &event.ts_event)
        elif name == KEY_s:
            bit = HAS_s
            status = _read_symbol(c, route)
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
        _finish_bbo(event)
        return OK
    wanted = HAS_e | HAS_E | HAS_T | HAS_s | HAS_p | HAS_q | HAS_m | (HAS_a if aggregate else HAS_t)
    # A trade has no `a`, an aggregate no `t`: with both, which one is the id would be a guess.
    if seen & (wanted | HAS_a | HAS_t) != wanted:
        return SHAPE
    _finish_trade(event, trade_id, maker_bought, of_market)
    return OK


cdef int _read_outer(Cursor* c, Span* stream, const char** data, bint* control) noexcept nogil:
    """Find the parts of a frame; its grammar is checked to the end."""
    cdef Span key, word
    cdef uint64_t name
    cdef int code, status
    cursor_space(c)
    code = cursor_first_key(c, &key)
    while code == 1:
        name = span_word(&key)
        if span_is(&key, b"stream", 6) and stream.p == NULL:
            status = cursor_string(c, stream)
        elif name == KEY_data and data[0] == NULL:
            data[0] = c.p
            status = cursor_skip(c)
        else:
            if name == KEY_data or span_is(&key, b"stream", 6):
                return SHAPE                # repeated
            if span_is(&key, b"result", 6) or name == KEY_id or name == KEY_code or name == KEY_error:
                control[0] = True
                status = cursor_skip(c)
            elif name == KEY_e and c.p < c.end and c.p[0] == c'"':
                status = cursor_string(c, &word)
                control[0] = control[0] or (status == OK and span_is(&word, b"serverShutdown", 14))
            else:
                status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return cursor_finish(c) if code == OK else code


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    """Find what kind of frame it is, then read the payload."""
    cdef Span stream
    cdef const char* data = NULL
    cdef bint control = False
    cdef Route* route = NULL
    cdef int status
    stream.p = NULL
    stream.size = 0
    status = _read_outer(c, &stream, &data, &control)
    if stream.p != NULL:
        route = routes_find(routes, stream.p, stream.size)
    if status != OK:
        event.route = route                 # what cannot be read could have been a delta
        return status
    event.kind = EVENT_CONTROL if control else EVENT_UNROUTED
    if stream.p == NULL or data == NULL:
        return OK
    if stream.size > 0 and stream.p[0] == c"!":
        event.kind = EVENT_CONTROL          # notices, serverShutdown among them
        return OK
    if route == NULL:
        event.kind = EVENT_UNROUTED
        return OK
    event.route = route
    c.p = data
    if route.channel == CHANNEL_BOOK:
        return _read_depth(c, route, event)
    if route.channel == CHANNEL_BBO or route.channel == CHANNEL_TRADE:
        return _read_quote_or_trade(c, route, event)
    return read_binance_figures(c, route, event)


cdef int decode_binance(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil:
    """Decode one frame; `fallback` tells that one with a scanner was not of the expected shape, though it is valid."""
    cdef const char* start = p
    cdef const char* end = p + size
    cdef const char* topic
    cdef Route* route
    cdef Cursor c
    cdef int status
    event.route = NULL
    fallback[0] = False
    if scan_text(&p, end, b'{"stream":"', 11):
        topic = p
        while p < end and p[0] != c'"' and p[0] != c"\\":
            p += 1
        route = routes_find(routes, topic, p - topic)
        if route != NULL and scan_text(&p, end, b'","data":{', 10):
            event.route = route
            if route.channel == CHANNEL_BOOK:
                if _scan_depth(p, end, route, event):
                    return OK
            elif route.channel == CHANNEL_BBO:
                if _scan_bbo(p, end, route, event):
                    return OK
            elif route.channel == CHANNEL_TRADE and _scan_trade(p, end, route, event):
                return OK
    event.route = NULL
    c.p = start
    c.end = end
    status = _read_frame(&c, routes, event)
    event.offset = c.p - start
    route = <Route*>event.route
    fallback[0] = status == OK and route != NULL and route.channel <= CHANNEL_TRADE
    return status


cdef int decode_binance_snapshot(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil:
    """Decode the REST reply `{"lastUpdateId":..,["E":ms,"T":ms,]"bids":[..],"asks":[..]}`."""
    cdef const char* start = p
    cdef Cursor c
    cdef Span key
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef int64_t ms = 0
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
            status = cursor_int(&c, &ms)
            if status == OK:
                status = cursor_ms(ms, &event.ts_send if name == KEY_E else &event.ts_event)
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
        status = cursor_pairs(&c, px_exp, sz_exp, event.levels, MAX_LEVELS, &event.n_bids)
    if status == OK:
        c.p = asks
        status = cursor_pairs(&c, px_exp, sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                              &event.n_asks)
    event.offset = c.p - start
    event.prev_seq = event.last_seq
    event.kind = EVENT_SNAPSHOT
    return status


cdef class BinanceDecoder(Decoder):
    """Decoder of combined stream frames and of depth snapshots, both products."""

    def __cinit__(self):
        self.decode = decode_binance
        self.decode_snapshot = decode_binance_snapshot

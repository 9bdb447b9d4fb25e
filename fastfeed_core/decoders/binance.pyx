"""Binance spot and USD-M futures: combined stream frames to events.

A frame is `{"stream":"<topic>","data":{...}}`; the topic names the route. Payloads as of 2026 (older ones lack some):

    depth   {"e":"depthUpdate","E":ms,["T":ms,]"s":"BTCUSDT",["ps":..,"st":..,]"U":..,"u":..,["pu":..,]"b":[],"a":[]}
    bbo     {["e":"bookTicker",]"u":..,["E":ms,"T":ms,]"s":..,["ps":..,]"b":"px","B":"sz","a":"px","A":"sz",[..]}
    trade   {"e":"trade","E":ms,["T":ms,]"s":..,"t":id,"p":"px","q":"sz",["T":ms|"X":..],"m":bool,["M":bool|"st":..]}
    agg     {"e":"aggTrade","E":ms,"s":..,"a":id,"p":"px","q":"sz",["nq":..,]"f":..,"l":..,"T":ms,"m":bool,[..]}

Here are the scanners, for the venue's own order of fields, and the frame; `binance_read` reads depth, bbo and trades in
any order. What comes a few times a second at most (tickers, bars, liquidations) is read in `binance_figures`.
Spot chains its deltas by U == last u + 1, futures by pu == last u; both become (prev_seq, last_seq]. E is the time of
sending, T that of the event; where T is missing E stands for both. `m` true: the buyer was the maker, the taker sold.
`X` of a futures trade other than MARKET: no trade of the market, but one of the insurance fund at a price of its own,
or none at all ("NA", price and size 0; undocumented, seen in 2026). Aggregates have none of these either.
Source: web-socket-streams.md, "Diff. Depth Stream" and its neighbours; USD-M "Diff. Book Depth Streams".
"""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_finish,
    cursor_first_key,
    cursor_next_key,
    cursor_skip,
    cursor_space,
    cursor_string,
    span_is,
    span_word,
)
from fastfeed_core.decoders.binance_figures cimport read_binance_figures
from fastfeed_core.decoders.binance_read cimport (
    decode_binance_snapshot,
    finish_bbo,
    finish_trade,
    read_binance_depth,
    read_binance_quote_or_trade,
)
from fastfeed_core.decoders.fields cimport (
    find_quote,
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
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_UNROUTED,
    MAX_LEVELS,
    Event,
)
from fastfeed_core.routes cimport Route, Routes, routes_find
from fastfeed_core.status cimport OK, SHAPE

cdef enum:
    KEY_e = 0x65
    KEY_id = 0x6964
    KEY_data = 0x64617461
    KEY_code = 0x636F6465
    KEY_error = 0x6572726F72


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
    event.n_bids = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, event.shapes)
    if event.n_bids < 0 or not scan_text(&p, end, b',"a":[', 6):
        return False
    event.n_asks = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids,
                                     MAX_LEVELS - event.n_bids, event.shapes)
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
    finish_bbo(event)
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
    finish_trade(event, trade_id, maker_bought, of_market)
    return True


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
        return read_binance_depth(c, route, event)
    if route.channel == CHANNEL_BBO or route.channel == CHANNEL_TRADE:
        return read_binance_quote_or_trade(c, route, event)
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
        p = find_quote(p, end)
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


cdef class BinanceDecoder(Decoder):
    """Decoder of combined stream frames and of depth snapshots, both products."""

    def __cinit__(self):
        self.decode = decode_binance
        self.decode_snapshot = decode_binance_snapshot

"""Kraken Futures: frames of the WebSocket feeds to events.

A frame says its feed and its product, which together are the topic, `book:PI_XBTUSD`. Payloads as of 2026:

    book            {"feed":"book","product_id":..,"side":"sell","seq":n,"price":px,"qty":sz,"timestamp":ms}
    book_snapshot   {"feed":"book_snapshot","product_id":..,"timestamp":ms,"seq":n,"tickSize":null,
                     "bids":[{"price":px,"qty":sz}],"asks":[..]}
    trade           {"feed":"trade","product_id":..,"uid":"<uuid>","side":"buy","type":"fill","seq":n,"time":ms,
                     "qty":sz,"price":px}
    trade_snapshot  {"feed":"trade_snapshot","product_id":..,"trades":[trades as above, newest first]}
    ticker          {"time":ms,"product_id":..,[funding,]"feed":"ticker","bid":px,..,"markPrice":px,..}
    control         {"event":..}

A delta is one level. Its `seq` is the one before plus one, from the snapshot's on: undocumented, and so in all of 7,014
recorded deltas of ten products. A snapshot may hold levels of size 0. `side` of a trade is the taker's, and `type`
tells a liquidation. Numbers are JSON numbers, `35` and `35.0` alike, and may have exponents; symbols come in capitals,
and the venue does not tell their case apart. Source: docs.kraken.com, "Futures WebSocket", pages Book, Trade and Ticker
(2026).
"""

from libc.stdint cimport int64_t
from libc.string cimport strlen

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_accept,
    cursor_expect,
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
    cursor_price,
    cursor_time,
    deal_id,
    scan_decimal,
    scan_int,
    scan_ms,
    scan_text,
    scan_word,
)
from fastfeed_core.event cimport (
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_SNAPSHOT,
    EVENT_TICKER,
    EVENT_TRADE,
    EVENT_UNROUTED,
    MAX_LEVELS,
    SIDE_BUY,
    SIDE_SELL,
    TICKER_FUNDING,
    TICKER_INDEX,
    TICKER_LAST,
    TICKER_MARK,
    TICKER_NEXT_FUNDING,
    TICKER_OPEN_INTEREST,
    TICKER_VOLUME,
    Deal,
    Event,
    event_begin,
    event_deal,
)
from fastfeed_core.routes cimport SYMBOL_SIZE, Route, Routes, routes_find_pair
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE

# Fields as bits, in the order of their names below: a message must show those that it needs, and none of them twice.
cdef enum:
    HAS_price = 1
    HAS_qty = 2
    HAS_feed = 4
    HAS_product = 8
    HAS_seq = 16
    HAS_side = 32
    HAS_timestamp = 64
    HAS_time = 128
    HAS_uid = 256
    HAS_type = 512
    HAS_bids = 1024
    HAS_asks = 2048
    HAS_trades = 4096
    HAS_event = 8192
    HAS_last = 16384
    HAS_index = 32768
    HAS_volume = 65536
    HAS_mark = 131072
    HAS_interest = 262144
    HAS_funding = 524288
    HAS_next_funding = 1048576
    FIELDS = 21

cdef const char** NAMES = [
    b"price", b"qty", b"feed", b"product_id", b"seq", b"side", b"timestamp", b"time", b"uid", b"type", b"bids", b"asks",
    b"trades", b"event", b"last", b"index", b"volume", b"markPrice", b"openInterest", b"relative_funding_rate",
    b"next_funding_rate_time",
]

cdef enum:
    DELTA_FIELDS = HAS_feed | HAS_product | HAS_seq | HAS_side | HAS_price | HAS_qty | HAS_timestamp
    SNAPSHOT_FIELDS = HAS_feed | HAS_product | HAS_seq | HAS_timestamp | HAS_bids | HAS_asks
    TRADE_FIELDS = HAS_product | HAS_seq | HAS_side | HAS_price | HAS_qty | HAS_time | HAS_uid | HAS_type
    TICKER_WANTED = HAS_feed | HAS_product | HAS_time | HAS_last | HAS_index | HAS_volume | HAS_mark | HAS_interest \
        | HAS_funding | HAS_next_funding


cdef unsigned int _field(const Span* key, unsigned int wanted) noexcept nogil:
    """The bit of a field's name, 0 for one that is not wanted."""
    cdef int i
    for i in range(FIELDS):
        if wanted >> i & 1 and span_is(key, NAMES[i], strlen(NAMES[i])):
            return 1U << i
    return 0


cdef inline int _known(int code, const Span* key, unsigned int wanted, unsigned int* seen,
                       unsigned int* field) noexcept nogil:
    """Which of the wanted fields the key is, 0 if none; `code` is that of reading it, and what the caller goes on."""
    if code != 1:
        return code
    if key.escaped:
        return SHAPE                        # could be a known name in other words
    field[0] = _field(key, wanted)
    if seen[0] & field[0]:
        return SHAPE
    seen[0] |= field[0]
    return 1


cdef inline int _first_field(Cursor* c, unsigned int wanted, unsigned int* seen, unsigned int* field) noexcept nogil:
    cdef Span key
    cdef int code = cursor_first_key(c, &key)
    return _known(code, &key, wanted, seen, field)


cdef inline int _next_field(Cursor* c, unsigned int wanted, unsigned int* seen, unsigned int* field) noexcept nogil:
    cdef Span key
    cdef int code = cursor_next_key(c, &key)
    return _known(code, &key, wanted, seen, field)


cdef inline int _finish_delta(Event* event, bint is_bid) noexcept nogil:
    if event.last_seq < 1:
        return RANGE
    event.n_bids = is_bid
    event.n_asks = not is_bid
    event.prev_seq = event.last_seq - 1
    event.ts_send = event.ts_event
    event.kind = EVENT_DELTA
    return OK


cdef inline int _finish_deal(Deal* deal, bint buys, const Span* kind) noexcept nogil:
    """The venue names the taker's side only; that the forced order is the one that takes is undocumented."""
    if deal.sequence < 0:
        return RANGE
    deal.side = SIDE_BUY if buys else SIDE_SELL
    if span_is(kind, b"liquidation", 11):
        deal.liquidated = deal.side
    return OK


cdef inline void _finish_trade(Event* event) noexcept nogil:
    event.ts_event = event.deals.ts_event
    event.ts_send = event.ts_event
    event.kind = EVENT_TRADE


# ---- the fast path: the venue's own order, to the last byte

cdef inline bint _scan_string(const char** p, const char* end, Span* out) noexcept nogil:
    """The rest of a plain string behind its opening quote."""
    out.p = p[0]
    out.escaped = False
    if not scan_word(p, end):
        return False
    out.size = p[0] - out.p - 1
    return True


cdef inline bint _scan_side(const char** p, const char* end, bint* buys) noexcept nogil:
    buys[0] = scan_text(p, end, b',"side":"buy"', 13)
    return buys[0] or scan_text(p, end, b',"side":"sell"', 14)


cdef bint _scan_delta(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef bint is_bid = False
    return _scan_side(&p, end, &is_bid) \
        and scan_text(&p, end, b',"seq":', 7) and scan_int(&p, end, &event.last_seq) \
        and scan_text(&p, end, b',"price":', 9) and scan_decimal(&p, end, route.px_exp, &event.levels[0]) \
        and scan_text(&p, end, b',"qty":', 7) and scan_decimal(&p, end, route.sz_exp, &event.levels[1]) \
        and scan_text(&p, end, b',"timestamp":', 13) and scan_ms(&p, end, &event.ts_event) \
        and end - p == 1 and p[0] == c"}" and _finish_delta(event, is_bid) == OK


cdef bint _scan_trade(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef Deal* deal = event_deal(event)
    cdef Span uid, kind
    cdef bint buys = False
    if not (scan_text(&p, end, b',"uid":"', 8) and _scan_string(&p, end, &uid) and _scan_side(&p, end, &buys)
            and scan_text(&p, end, b',"type":"', 9) and _scan_string(&p, end, &kind)
            and scan_text(&p, end, b',"seq":', 7) and scan_int(&p, end, &deal.sequence)
            and scan_text(&p, end, b',"time":', 8) and scan_ms(&p, end, &deal.ts_event)
            and scan_text(&p, end, b',"qty":', 7) and scan_decimal(&p, end, route.sz_exp, &deal.sz)
            and scan_text(&p, end, b',"price":', 9) and scan_decimal(&p, end, route.px_exp, &deal.px)
            and end - p == 1 and p[0] == c"}"
            and deal_id(deal, &uid) == OK and _finish_deal(deal, buys, &kind) == OK):
        return False
    _finish_trade(event)
    return True


# ---- the order-free path

cdef inline int _read_side(Cursor* c, bint* buys) noexcept nogil:
    cdef Span word
    cdef int status = cursor_string(c, &word)
    if status != OK:
        return status
    buys[0] = span_is(&word, b"buy", 3)
    return OK if buys[0] or span_is(&word, b"sell", 4) else SHAPE


cdef int _read_delta(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef bint is_bid = False
    cdef int status
    cdef int code = _first_field(c, DELTA_FIELDS, &seen, &field)
    while code == 1:
        if field == HAS_seq:
            status = cursor_int(c, &event.last_seq)
        elif field == HAS_side:
            status = _read_side(c, &is_bid)
        elif field == HAS_price:
            status = cursor_price(c, route.px_exp, &event.levels[0])
        elif field == HAS_qty:
            status = cursor_price(c, route.sz_exp, &event.levels[1])
        elif field == HAS_timestamp:
            status = cursor_time(c, &event.ts_event)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, DELTA_FIELDS, &seen, &field)
    if code != OK:
        return code
    return _finish_delta(event, is_bid) if seen == DELTA_FIELDS else SHAPE


cdef int _read_level(Cursor* c, const Route* route, int64_t* pair) noexcept nogil:
    """`{"price":px,"qty":sz}`"""
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef int status
    cdef int code = _first_field(c, HAS_price | HAS_qty, &seen, &field)
    while code == 1:
        if field == HAS_price:
            status = cursor_price(c, route.px_exp, &pair[0])
        elif field == HAS_qty:
            status = cursor_price(c, route.sz_exp, &pair[1])
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, HAS_price | HAS_qty, &seen, &field)
    if code != OK:
        return code
    return OK if seen == HAS_price | HAS_qty else SHAPE


cdef inline int _enter_array(Cursor* c) noexcept nogil:
    """1 at the first element, 0 behind an empty array, else a failure."""
    cdef int code
    if c.p < c.end and c.p[0] != c"[":
        return SHAPE
    code = cursor_expect(c, c"[")
    if code != OK:
        return code
    return 0 if cursor_accept(c, c"]") else 1


cdef inline int _next_element(Cursor* c) noexcept nogil:
    """1 at the next element, 0 behind the end of the array, else a failure."""
    cdef int code
    cursor_space(c)
    if cursor_accept(c, c"]"):
        return 0
    code = cursor_expect(c, c",")
    return 1 if code == OK else code


cdef int _read_levels(Cursor* c, const Route* route, int64_t* pairs, int room, int* n) noexcept nogil:
    """A level of size 0 is none."""
    cdef int status
    cdef int code = _enter_array(c)
    n[0] = 0
    while code == 1:
        if n[0] == room:
            return OVERSIZE
        status = _read_level(c, route, pairs + 2 * n[0])
        if status != OK:
            return status
        n[0] += pairs[2 * n[0] + 1] != 0
        code = _next_element(c)
    return code


cdef int _read_snapshot(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef const char* after
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef int status
    cdef int code = _first_field(c, SNAPSHOT_FIELDS, &seen, &field)
    while code == 1:
        if field == HAS_seq:
            status = cursor_int(c, &event.last_seq)
        elif field == HAS_timestamp:
            status = cursor_time(c, &event.ts_event)
        else:
            if field == HAS_bids:
                bids = c.p
            elif field == HAS_asks:
                asks = c.p
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, SNAPSHOT_FIELDS, &seen, &field)
    if code != OK:
        return code
    if seen != SNAPSHOT_FIELDS:
        return SHAPE
    if event.last_seq < 0:
        return RANGE
    # Bids stand before asks in the scratch, whatever the message's order.
    after = c.p
    c.p = bids
    status = _read_levels(c, route, event.levels, MAX_LEVELS, &event.n_bids)
    if status != OK:
        return status
    c.p = asks
    status = _read_levels(c, route, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids, &event.n_asks)
    if status != OK:
        return status
    c.p = after
    event.prev_seq = event.last_seq
    event.ts_send = event.ts_event
    event.kind = EVENT_SNAPSHOT
    return OK


cdef int _read_deal(Cursor* c, const Route* route, Event* event, const Span* product) noexcept nogil:
    """One trade, of the product that the frame is about."""
    cdef Deal* deal = event_deal(event)
    cdef Span uid, kind, its
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef bint buys = False
    cdef int status, code
    if deal == NULL:
        return OVERSIZE
    code = _first_field(c, TRADE_FIELDS, &seen, &field)
    while code == 1:
        if field == HAS_product:
            status = cursor_string(c, &its)
            if status == OK and not span_is(&its, product.p, product.size):
                status = SHAPE
        elif field == HAS_uid:
            status = cursor_string(c, &uid)
            if status == OK:
                status = deal_id(deal, &uid)
        elif field == HAS_side:
            status = _read_side(c, &buys)
        elif field == HAS_type:
            status = cursor_string(c, &kind)
        elif field == HAS_seq:
            status = cursor_int(c, &deal.sequence)
        elif field == HAS_time:
            status = cursor_time(c, &deal.ts_event)
        elif field == HAS_qty:
            status = cursor_price(c, route.sz_exp, &deal.sz)
        elif field == HAS_price:
            status = cursor_price(c, route.px_exp, &deal.px)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, TRADE_FIELDS, &seen, &field)
    if code != OK:
        return code
    return _finish_deal(deal, buys, &kind) if seen == TRADE_FIELDS else SHAPE


cdef int _read_trades(Cursor* c, const Route* route, Event* event, const Span* product) noexcept nogil:
    """The trades before the subscription, newest first; they are handed on oldest first."""
    cdef Deal held
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef int i, more, status
    cdef int code = _first_field(c, HAS_feed | HAS_product | HAS_trades, &seen, &field)
    while code == 1:
        if field == HAS_trades:
            more = _enter_array(c)
            while more == 1:
                status = _read_deal(c, route, event, product)
                if status != OK:
                    return status
                more = _next_element(c)
            status = more
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, HAS_feed | HAS_product | HAS_trades, &seen, &field)
    if code != OK:
        return code
    if not seen & HAS_trades:
        return SHAPE
    for i in range(event.n_deals // 2):
        held = event.deals[i]
        event.deals[i] = event.deals[event.n_deals - 1 - i]
        event.deals[event.n_deals - 1 - i] = held
    event.history = True
    event.kind = EVENT_TRADE
    return OK


cdef inline void _set_whole(Event* event, int field, int64_t value) noexcept nogil:
    event.ticker[field].mantissa = value
    event.ticker[field].exponent = 0
    event.ticker_has |= 1U << field


cdef int _read_ticker(Cursor* c, Event* event) noexcept nogil:
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef int64_t next_funding = 0
    cdef int status
    cdef int code = _first_field(c, TICKER_WANTED, &seen, &field)
    while code == 1:
        if field == HAS_time:
            status = cursor_time(c, &event.ts_event)
        elif field == HAS_next_funding:
            status = cursor_time(c, &next_funding)
            _set_whole(event, TICKER_NEXT_FUNDING, next_funding)
        elif field == HAS_last:
            status = cursor_field(c, event, TICKER_LAST)
        elif field == HAS_mark:
            status = cursor_field(c, event, TICKER_MARK)
        elif field == HAS_index:
            status = cursor_field(c, event, TICKER_INDEX)
        elif field == HAS_interest:
            status = cursor_field(c, event, TICKER_OPEN_INTEREST)
        elif field == HAS_volume:
            status = cursor_field(c, event, TICKER_VOLUME)
        elif field == HAS_funding:
            status = cursor_field(c, event, TICKER_FUNDING)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, TICKER_WANTED, &seen, &field)
    if code != OK:
        return code
    if not seen & HAS_time:
        return SHAPE
    if seen & HAS_next_funding and not seen & HAS_funding:
        # The venue leaves out a rate of zero, not when the next one comes (Ticker, Payload).
        _set_whole(event, TICKER_FUNDING, 0)
    event.ts_send = event.ts_event
    event.kind = EVENT_TICKER
    return OK


# ---- frames

cdef Route* _find(Routes* routes, const char* head, Py_ssize_t size, const Span* product) noexcept nogil:
    """The route of a product that is spelled in any case."""
    cdef char[SYMBOL_SIZE] symbol
    cdef char byte
    cdef Py_ssize_t i
    if product.size > SYMBOL_SIZE:
        return NULL
    for i in range(product.size):
        byte = product.p[i]
        symbol[i] = byte - 32 if c"a" <= byte <= c"z" else byte
    return routes_find_pair(routes, head, size, symbol, product.size)


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    """Find what kind of frame it is (its grammar is checked to the end), then read it again for what it says."""
    cdef const char* start
    cdef Span feed, product
    cdef unsigned int seen = 0
    cdef unsigned int field = 0
    cdef Py_ssize_t head
    cdef Route* route
    cdef int code, status
    cursor_space(c)
    start = c.p
    code = _first_field(c, HAS_feed | HAS_product | HAS_event, &seen, &field)
    while code == 1:
        if field == HAS_feed:
            status = cursor_string(c, &feed)
        elif field == HAS_product:
            status = cursor_string(c, &product)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = _next_field(c, HAS_feed | HAS_product | HAS_event, &seen, &field)
    if code != OK:
        return code
    status = cursor_finish(c)
    if status != OK:
        return status
    if seen & HAS_event:
        event.kind = EVENT_CONTROL
        return OK
    event.kind = EVENT_UNROUTED
    if not seen & HAS_feed:
        return OK
    if span_is(&feed, b"book", 4) or span_is(&feed, b"book_snapshot", 13):
        head = 4
    elif span_is(&feed, b"trade", 5) or span_is(&feed, b"trade_snapshot", 14):
        head = 5
    elif span_is(&feed, b"ticker", 6):
        head = 6
    else:
        return SHAPE if feed.escaped else OK
    if not seen & HAS_product or product.escaped:
        return SHAPE
    route = _find(routes, feed.p, head, &product)
    if route == NULL:
        return OK
    event.route = route
    c.p = start
    if head == 6:
        return _read_ticker(c, event)
    if head == 4:
        return _read_delta(c, route, event) if feed.size == head else _read_snapshot(c, route, event)
    if feed.size != head:
        return _read_trades(c, route, event, &product)
    status = _read_deal(c, route, event, &product)
    if status == OK:
        _finish_trade(event)
    return status


cdef int decode_krakenfutures(const char* p, Py_ssize_t size, Routes* routes, Event* event,
                              bint* fallback) noexcept nogil:
    """Decode one frame; `fallback` tells that a delta or trade was not of the expected shape, though it is valid."""
    cdef const char* start = p
    cdef const char* end = p + size
    cdef bint is_delta
    cdef Span product
    cdef Route* route = NULL
    cdef Cursor c
    cdef int status
    is_delta = scan_text(&p, end, b'{"feed":"book","product_id":"', 29)
    if is_delta or scan_text(&p, end, b'{"feed":"trade","product_id":"', 30):
        if _scan_string(&p, end, &product):
            route = routes_find_pair(routes, b"book" if is_delta else b"trade", 4 if is_delta else 5, product.p,
                                     product.size)
        if route != NULL:
            event.route = route
            if _scan_delta(p, end, route, event) if is_delta else _scan_trade(p, end, route, event):
                fallback[0] = False
                return OK
            event_begin(event)
    c.p = start
    c.end = end
    status = _read_frame(&c, routes, event)
    event.offset = c.p - start
    # Snapshots and tickers have no scanner: there is nothing to fall back from.
    fallback[0] = status == OK and (event.kind == EVENT_DELTA or event.kind == EVENT_TRADE and not event.history)
    return status


cdef class KrakenFuturesDecoder(Decoder):
    """Decoder of the public feeds."""

    def __cinit__(self):
        self.decode = decode_krakenfutures

"""Bybit v5, all products: messages of public topics to events.

A message is `{"topic":"..","type":"snapshot|delta","ts":ms,"data":..}` in one of three orders: futures write `type`
before `ts`, spot and every book of level 1 after it, options add an `id`. What `data` is, by topic:

    orderbook.N.S   {"s":"BTCUSDT","b":[["px","sz"],..],"a":[..],"u":..,"seq":..}, and `"cts":ms` behind it
    publicTrade.S   [{"T":ms,"s":..,"S":"Buy","v":"sz","p":"px","L":..,"i":"uuid","BT":false,"RPI":false,"seq":..},..]
                    spot: [{"i":"229..","T":ms,"p":..,"v":..,"S":..,"seq":..,"s":..,"BT":..,"RPI":..}]
                    option: topic publicTrade.COIN, rows of all its contracts, with mP, iP, mIv, iv
    tickers.S       {"symbol":..,"lastPrice":"..",..}: futures send what changed, spot and options everything.
                    openInterest of futures counts both sides: it is twice their singleOpenInterest
    kline.I.S       [{"start":ms,"end":ms,"interval":"1","open":..,..,"volume":"..","confirm":false,"timestamp":ms}]
    allLiquidation.S [{"T":ms,"s":..,"S":"Buy","v":"sz","p":"px"}]

Books and trades have scanners, in `bybit_scan`. Bars and tickers have none, and are read in `bybit_figures`.

`u` of a book counts the messages of its depth one by one ("always in sequence" in "Get Orderbook"; 49 deltas that were
recorded in 2024 have no hole). A snapshot replaces the book whenever it comes; `u` 1 says that the service was
restarted. A book of level 1 has snapshots only, and repeats the last one, with its `u`, after three seconds. `S` of a
trade is the taker's side; of a liquidation that of the position: Buy is a long, which is sold. `ts` is when the message
was made, `cts` and `T` when the matching engine did what it says.
Source: bybit-exchange.github.io/docs/v5/websocket/public, "Orderbook", "Trade", "Ticker", "Kline", "All Liquidation"
(2026-07). The order of the fields of spot's and options' trades is undocumented.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

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
    span_word,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.decoders.bybit_figures cimport read_bybit_bar, read_bybit_ticker
from fastfeed_core.decoders.bybit_scan cimport Head, finish_book, scan_book, scan_head, scan_trades
from fastfeed_core.decoders.fields cimport (
    cursor_named,
    cursor_pairs,
    cursor_price,
    cursor_time,
    deal_id,
    find_quote,
    scan_text,
)
from fastfeed_core.event cimport (
    CHANNEL_BAR,
    CHANNEL_BBO,
    CHANNEL_BOOK,
    CHANNEL_LIQUIDATION,
    CHANNEL_TICKER,
    CHANNEL_TRADE,
    EVENT_BAR,
    EVENT_CONTROL,
    EVENT_IDLE,
    EVENT_LIQUIDATION,
    EVENT_TRADE,
    EVENT_UNROUTED,
    MAX_LEVELS,
    SIDE_BUY,
    SIDE_SELL,
    Deal,
    Event,
    event_begin,
    event_deal,
)
from fastfeed_core.routes cimport Route, Routes, routes_find, routes_find_pair
from fastfeed_core.status cimport OK, OVERSIZE, SHAPE

cdef enum:
    KEY_topic = 0x746F706963
    KEY_type = 0x74797065
    KEY_ts = 0x7473
    KEY_cts = 0x637473
    KEY_data = 0x64617461
    KEY_success = 0x73756363657373
    KEY_op = 0x6F70
    KEY_ret_msg = 0x7265745F6D7367
    KEY_s = 0x73
    KEY_b = 0x62
    KEY_a = 0x61
    KEY_u = 0x75
    KEY_T = 0x54
    KEY_S = 0x53
    KEY_v = 0x76
    KEY_p = 0x70
    KEY_i = 0x69

#: bits of the fields that an object has shown, to refuse repeated and missing ones
cdef enum:
    HAS_topic = 1
    HAS_type = 2
    HAS_ts = 4
    HAS_cts = 8
    HAS_data = 16
    HAS_s = 1
    HAS_b = 2
    HAS_a = 4
    HAS_u = 8
    HAS_T = 16
    HAS_S = 32
    HAS_v = 64
    HAS_p = 128
    HAS_i = 256


cdef inline int _side_of(const Span* word, uint8_t* side) noexcept nogil:
    if span_is(word, b"Buy", 3):
        side[0] = SIDE_BUY
    elif span_is(word, b"Sell", 4):
        side[0] = SIDE_SELL
    else:
        return SHAPE
    return OK


cdef int _read_book(Cursor* c, const Route* route, const Head* head, Event* event) noexcept nogil:
    cdef Span key
    cdef int64_t update_id = 0
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef uint64_t name
    cdef const char* bids = NULL
    cdef const char* asks = NULL
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        name = span_word(&key)
        bit = 0
        if name == KEY_s:
            bit = HAS_s
            status = cursor_named(c, route.symbol, route.symbol_size)
        elif name == KEY_u:
            bit = HAS_u
            status = cursor_int(c, &update_id)
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
        if status == OK and seen & bit:
            status = SHAPE
        if status != OK:
            return status
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if seen != HAS_s | HAS_u | HAS_b | HAS_a:
        return SHAPE
    # Bids stand before asks in the scratch, whatever the message's order.
    c.p = bids
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, &event.n_bids, event.shapes)
    if status != OK:
        return status
    c.p = asks
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                          &event.n_asks, event.shapes)
    return finish_book(route, event, head, update_id) if status == OK else status


cdef int _read_deal(Cursor* c, const Route* route, Routes* routes, Event* event) noexcept nogil:
    """One row of trades, or of liquidations, which have no id; of a group's only those that somebody wants."""
    cdef bint is_trade = route.channel == CHANNEL_TRADE
    cdef Span key
    cdef Span symbol
    cdef Span side
    cdef Span trade_id
    cdef int64_t ts = 0
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef uint64_t name
    cdef const char* price = NULL
    cdef const char* size = NULL
    cdef const char* after
    cdef const Route* its = route
    cdef Deal* deal
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE
        name = span_word(&key)
        bit = 0
        if name == KEY_T:
            bit = HAS_T
            status = cursor_time(c, &ts)
        elif name == KEY_s:
            bit = HAS_s
            status = cursor_string(c, &symbol)
        elif name == KEY_S:
            bit = HAS_S
            status = cursor_string(c, &side)
        elif name == KEY_p:
            bit = HAS_p
            price = c.p
            status = cursor_skip(c)
        elif name == KEY_v:
            bit = HAS_v
            size = c.p
            status = cursor_skip(c)
        elif name == KEY_i and is_trade:
            bit = HAS_i
            status = cursor_string(c, &trade_id)
        else:
            status = cursor_skip(c)
        if status == OK and seen & bit:
            status = SHAPE
        if status != OK:
            return status
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if seen != HAS_T | HAS_s | HAS_S | HAS_p | HAS_v | (HAS_i if is_trade else 0):
        return SHAPE
    if route.group:
        its = routes_find_pair(routes, route.topic, route.topic_size, symbol.p, symbol.size)
        if its == NULL:
            return OK
    elif not span_is(&symbol, route.symbol, route.symbol_size):
        return SHAPE
    deal = event_deal(event)
    if deal == NULL:
        return OVERSIZE
    if route.group:
        deal.route = <void*>its
    deal.ts_event = ts
    after = c.p
    status = _side_of(&side, &deal.side)
    if status == OK:
        c.p = price
        status = cursor_price(c, its.px_exp, &deal.px)
    if status == OK:
        c.p = size
        status = cursor_price(c, its.sz_exp, &deal.sz)
    if status == OK and is_trade:
        c.p = after
        status = deal_id(deal, &trade_id)
    if status == OK:
        c.p = after
        if not is_trade:
            deal.side = SIDE_SELL if deal.side == SIDE_BUY else SIDE_BUY
    return status


cdef int _read_rows(Cursor* c, const Route* route, Routes* routes, const Head* head, Event* event) noexcept nogil:
    """An array of trades, liquidations or bars."""
    cdef int status = SHAPE if c.p < c.end and c.p[0] != c"[" else cursor_expect(c, c"[")
    if status != OK:
        return status
    if not cursor_accept(c, c"]"):
        while True:
            if route.channel == CHANNEL_BAR:
                status = read_bybit_bar(c, event)
            else:
                status = _read_deal(c, route, routes, event)
            if status != OK:
                return status
            cursor_space(c)
            if cursor_accept(c, c"]"):
                break
            status = cursor_expect(c, c",")
            if status != OK:
                return status
    event.ts_send = head.ts
    if event.n_deals:
        event.ts_event = event.deals[0].ts_event
        event.kind = EVENT_LIQUIDATION if route.channel == CHANNEL_LIQUIDATION else EVENT_TRADE
    else:
        event.kind = EVENT_BAR if event.n_bars else EVENT_IDLE
    return OK


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    """Find what kind of message it is (its grammar is checked to the end), then read the payload."""
    cdef Head head
    cdef Span key, topic, kind
    cdef const char* data = NULL
    cdef bint control = False
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef uint64_t name
    cdef Route* route = NULL
    cdef int code, status
    head.has_cts = False
    cursor_space(c)
    code = cursor_first_key(c, &key)
    while code == 1:
        if key.escaped:
            return SHAPE
        name = span_word(&key)
        bit = 0
        if name == KEY_topic:
            bit = HAS_topic
            status = cursor_string(c, &topic)
            if status == OK and not seen & HAS_topic:
                route = routes_find(routes, topic.p, topic.size)
                event.route = route
        elif name == KEY_type:
            bit = HAS_type
            status = cursor_string(c, &kind)
        elif name == KEY_ts:
            bit = HAS_ts
            status = cursor_time(c, &head.ts)
        elif name == KEY_cts:
            bit = HAS_cts
            head.has_cts = True
            status = cursor_time(c, &head.cts)
        elif name == KEY_data:
            bit = HAS_data
            data = c.p
            status = cursor_skip(c)
        else:
            control = control or name == KEY_success or name == KEY_op or name == KEY_ret_msg
            status = cursor_skip(c)
        if status == OK and seen & bit:
            status = SHAPE
        if status != OK:
            return status
        seen |= bit
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    status = cursor_finish(c)
    if status != OK:
        return status
    if route == NULL:
        event.kind = EVENT_CONTROL if control else EVENT_UNROUTED
        return OK
    if seen & (HAS_type | HAS_ts | HAS_data) != HAS_type | HAS_ts | HAS_data:
        return SHAPE
    head.is_snapshot = span_is(&kind, b"snapshot", 8)
    if not head.is_snapshot and not span_is(&kind, b"delta", 5):
        return SHAPE
    c.p = data
    if route.channel == CHANNEL_BOOK or route.channel == CHANNEL_BBO:
        return _read_book(c, route, &head, event)
    if route.channel == CHANNEL_TICKER:
        return read_bybit_ticker(c, route, head.ts, event)
    return _read_rows(c, route, routes, &head, event)


cdef inline bint _has_scanner(const Route* route) noexcept nogil:
    return route.channel <= CHANNEL_TRADE and not route.group


cdef int decode_bybit(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil:
    """Decode one message; `fallback` tells that one of books or trades was not of the expected shape, though valid."""
    cdef const char* start = p
    cdef const char* end = p + size
    cdef const char* topic
    cdef Route* route
    cdef Head head
    cdef Cursor c
    cdef int status
    fallback[0] = False
    if scan_text(&p, end, b'{"topic":"', 10):
        topic = p
        p = find_quote(p, end)
        route = routes_find(routes, topic, p - topic)
        if route != NULL and _has_scanner(route) and scan_text(&p, end, b'"', 1) and scan_head(&p, end, &head):
            event.route = route
            if route.channel == CHANNEL_TRADE:
                if scan_trades(p, end, route, &head, event):
                    return OK
            elif scan_book(p, end, route, &head, event):
                return OK
            event_begin(event)
    c.p = start
    c.end = end
    status = _read_frame(&c, routes, event)
    event.offset = c.p - start
    fallback[0] = status == OK and event.route != NULL and _has_scanner(<Route*>event.route)
    return status


cdef class BybitDecoder(Decoder):
    """Decoder of public topics, all products; books come in the stream."""

    def __cinit__(self):
        self.decode = decode_bybit

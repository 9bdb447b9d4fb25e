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

`u` of a book counts the messages of its depth one by one ("always in sequence" in "Get Orderbook"; 49 deltas that were
recorded in 2024 have no hole). A snapshot replaces the book whenever it comes; `u` 1 says that the service was
restarted. A book of level 1 has snapshots only, and repeats the last one, with its `u`, after three seconds. `S` of a
trade is the taker's side; of a liquidation that of the position: Buy is a long, which is sold. `ts` is when the message
was made, `cts` and `T` when the matching engine did what it says.
Source: bybit-exchange.github.io/docs/v5/websocket/public, "Orderbook", "Trade", "Ticker", "Kline", "All Liquidation"
(2026-07). The order of the fields of spot's and options' trades is undocumented.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_accept,
    cursor_bool,
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
from fastfeed_core.decoders.bybit_scan cimport Head, finish_book, scan_book, scan_head, scan_trades
from fastfeed_core.decoders.fields cimport (
    MAX_MS,
    MS,
    cursor_field,
    cursor_ms,
    cursor_number,
    cursor_pairs,
    cursor_price,
    deal_id,
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
    Bar,
    Deal,
    Event,
    Number,
    event_bar,
    event_begin,
    event_deal,
)
from fastfeed_core.routes cimport Route, Routes, routes_find, routes_find_pair
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE

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
    KEY_start = 0x7374617274
    KEY_end = 0x656E64
    KEY_open = 0x6F70656E
    KEY_high = 0x68696768
    KEY_low = 0x6C6F77
    KEY_close = 0x636C6F7365
    KEY_volume = 0x766F6C756D65
    KEY_confirm = 0x636F6E6669726D
    KEY_symbol = 0x73796D626F6C

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
    HAS_start = 1
    HAS_end = 2
    HAS_open = 4
    HAS_high = 8
    HAS_low = 16
    HAS_close = 32
    HAS_volume = 64
    HAS_confirm = 128
    HAS_timestamp = 256


cdef inline int _side_of(const Span* word, uint8_t* side) noexcept nogil:
    if span_is(word, b"Buy", 3):
        side[0] = SIDE_BUY
    elif span_is(word, b"Sell", 4):
        side[0] = SIDE_SELL
    else:
        return SHAPE
    return OK


cdef inline int _read_symbol(Cursor* c, const Route* route) noexcept nogil:
    cdef Span word
    cdef int status = cursor_string(c, &word)
    if status == OK and not span_is(&word, route.symbol, route.symbol_size):
        return SHAPE
    return status


cdef inline int _read_ms(Cursor* c, int64_t* ns) noexcept nogil:
    cdef int64_t ms = 0
    cdef int status = cursor_int(c, &ms)
    return cursor_ms(ms, ns) if status == OK else status


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
            status = _read_symbol(c, route)
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
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, &event.n_bids)
    if status != OK:
        return status
    c.p = asks
    status = cursor_pairs(c, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids,
                          &event.n_asks)
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
            status = _read_ms(c, &ts)
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


cdef int _read_bar(Cursor* c, Event* event) noexcept nogil:
    cdef const Route* route = <const Route*>event.route
    cdef Bar* bar = event_bar(event)
    cdef Span key
    cdef int64_t finish = 0
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef uint64_t name
    cdef int code, status
    if bar == NULL:
        return OVERSIZE
    code = cursor_first_key(c, &key)
    while code == 1:
        if key.escaped:
            return SHAPE
        name = span_word(&key)
        bit = 0
        if name == KEY_start:
            bit = HAS_start
            status = _read_ms(c, &bar.start)
        elif name == KEY_end:
            bit = HAS_end
            status = _read_ms(c, &finish)
        elif name == KEY_open:
            bit = HAS_open
            status = cursor_price(c, route.px_exp, &bar.open)
        elif name == KEY_high:
            bit = HAS_high
            status = cursor_price(c, route.px_exp, &bar.high)
        elif name == KEY_low:
            bit = HAS_low
            status = cursor_price(c, route.px_exp, &bar.low)
        elif name == KEY_close:
            bit = HAS_close
            status = cursor_price(c, route.px_exp, &bar.close)
        elif name == KEY_volume:
            bit = HAS_volume
            status = cursor_number(c, &bar.volume)
        elif name == KEY_confirm:
            bit = HAS_confirm
            status = cursor_bool(c, &bar.closed)
        elif span_is(&key, b"timestamp", 9):
            bit = HAS_timestamp
            status = _read_ms(c, &event.ts_event)
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
    if seen != 2 * HAS_timestamp - 1:
        return SHAPE
    # `end` is the last millisecond of the bar.
    finish += MS - bar.start
    if finish <= 0 or finish % (1000 * <int64_t>MS):
        return RANGE
    bar.interval_s = finish // (1000 * <int64_t>MS)
    return OK


cdef int _read_rows(Cursor* c, const Route* route, Routes* routes, const Head* head, Event* event) noexcept nogil:
    """An array of trades, liquidations or bars."""
    cdef int status = SHAPE if c.p < c.end and c.p[0] != c"[" else cursor_expect(c, c"[")
    if status != OK:
        return status
    if not cursor_accept(c, c"]"):
        while True:
            if route.channel == CHANNEL_BAR:
                status = _read_bar(c, event)
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


cdef int _read_next_funding(Cursor* c, Event* event) noexcept nogil:
    """Milliseconds as text, empty where nothing is funded."""
    cdef Span text
    cdef int64_t ms = 0
    cdef Py_ssize_t i
    cdef int status = cursor_string(c, &text)
    if status != OK or text.size == 0:
        return status
    if text.escaped:
        return SHAPE
    for i in range(text.size):
        if not c"0" <= text.p[i] <= c"9":
            return SHAPE
        ms = ms * 10 + (text.p[i] - c"0")
        if ms > MAX_MS:
            return RANGE
    # 0 is no time: nothing is funded either.
    if ms:
        event.ticker[<int>TICKER_NEXT_FUNDING].mantissa = ms * MS
        event.ticker[<int>TICKER_NEXT_FUNDING].exponent = 0
        event.ticker_has |= 1U << <int>TICKER_NEXT_FUNDING
    return OK


cdef inline int _ticker_field(const Span* key) noexcept nogil:
    """The field that a key names, -1 if it is none of ours. Spot's usdIndexPrice is of the coin, not of the pair."""
    if span_is(key, b"lastPrice", 9):
        return TICKER_LAST
    if span_is(key, b"markPrice", 9):
        return TICKER_MARK
    if span_is(key, b"indexPrice", 10):
        return TICKER_INDEX
    if span_is(key, b"openInterest", 12):
        return TICKER_OPEN_INTEREST
    if span_is(key, b"fundingRate", 11):
        return TICKER_FUNDING
    if span_is(key, b"volume24h", 9):
        return TICKER_VOLUME
    if span_is(key, b"nextFundingTime", 15):
        return TICKER_NEXT_FUNDING
    return -1


cdef inline bint _is_option(const Route* route) noexcept nogil:
    """Whether a symbol is like BTC-25DEC26-70000-C, as no future's is."""
    cdef int dashes = 0
    cdef uint32_t i
    for i in range(route.symbol_size):
        dashes += route.symbol[i] == c"-"
    return dashes >= 3


cdef inline bint _halve(Number* number) noexcept nogil:
    """Exactly; False if there is no room for it."""
    if number.mantissa % 2 == 0:
        number.mantissa = number.mantissa // 2
        return True
    if not -INT64_MAX // 5 <= number.mantissa <= INT64_MAX // 5:
        return False
    number.mantissa *= 5
    number.exponent -= 1
    return True


cdef int _read_ticker(Cursor* c, const Route* route, const Head* head, Event* event) noexcept nogil:
    cdef Span key
    cdef unsigned int seen = 0
    cdef bint has_symbol = False
    cdef int field
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE
        field = _ticker_field(&key)
        if field >= 0:
            if seen & 1U << field:
                return SHAPE
            seen |= 1U << field
            if field == TICKER_NEXT_FUNDING:
                status = _read_next_funding(c, event)
            else:
                status = cursor_field(c, event, field)
        elif span_word(&key) == KEY_symbol:
            if has_symbol:
                return SHAPE
            has_symbol = True
            status = _read_symbol(c, route)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if not has_symbol:
        return SHAPE
    # An option that never traded has a last price of 0.
    if event.ticker_has & 1U << <int>TICKER_LAST and event.ticker[<int>TICKER_LAST].mantissa == 0:
        event.ticker_has &= ~(1U << <int>TICKER_LAST)
    # A contract has two sides and is one: open interest is published once, as other venues have it.
    if event.ticker_has & 1U << <int>TICKER_OPEN_INTEREST and not _is_option(route) \
            and not _halve(&event.ticker[<int>TICKER_OPEN_INTEREST]):
        event.ticker_has &= ~(1U << <int>TICKER_OPEN_INTEREST)
    event.ts_event = head.ts
    event.ts_send = head.ts
    event.kind = EVENT_TICKER
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
            status = _read_ms(c, &head.ts)
        elif name == KEY_cts:
            bit = HAS_cts
            head.has_cts = True
            status = _read_ms(c, &head.cts)
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
        return _read_ticker(c, route, &head, event)
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
        while p < end and p[0] != c'"' and p[0] != c"\\":
            p += 1
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

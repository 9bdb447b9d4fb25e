"""OKX's trades, liquidations, tickers and bars, in whatever order their fields come."""

from libc.stdint cimport int64_t
from libc.string cimport memcmp

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
from fastfeed_core.decoders.fields cimport cursor_field, cursor_named, cursor_number, cursor_price, deal_id
from fastfeed_core.decoders.okx_parts cimport (
    HAS_ID,
    HAS_NEXT,
    HAS_PX,
    HAS_SEQ,
    HAS_SIDE,
    HAS_SZ,
    HAS_TRADE_ID,
    HAS_TS,
    HAS_VALUE,
    HAS_VOLUME,
    Envelope,
    parts_comma,
    parts_enter,
    parts_next,
    parts_only,
    parts_side,
    parts_text_ms,
)
from fastfeed_core.event cimport (
    EVENT_BAR,
    EVENT_IDLE,
    EVENT_LIQUIDATION,
    EVENT_TICKER,
    EVENT_TRADE,
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
    event_bar,
    event_deal,
)
from fastfeed_core.routes cimport Route, Routes, routes_find_pair
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE


# ---- trades and liquidations

cdef int _read_deal(Cursor* c, const Envelope* envelope, const Route* route, Deal* deal) noexcept nogil:
    """One trade, or with an empty subject one order of a liquidation."""
    cdef Span key, text
    cdef bint trade = envelope != NULL
    cdef unsigned int seen = 0
    cdef unsigned int wanted = HAS_PX | HAS_SZ | HAS_SIDE | HAS_TS
    cdef unsigned int bit
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        bit = 0
        if key.escaped:
            return SHAPE
        if span_is(&key, b"px", 2) if trade else span_is(&key, b"bkPx", 4):
            bit = HAS_PX
            status = cursor_price(c, route.px_exp, &deal.px)
        elif span_is(&key, b"sz", 2):
            bit = HAS_SZ
            status = cursor_price(c, route.sz_exp, &deal.sz)
        elif span_is(&key, b"side", 4):
            bit = HAS_SIDE
            status = parts_side(c, &deal.side)
        elif span_is(&key, b"ts", 2):
            bit = HAS_TS
            status = parts_text_ms(c, &deal.ts_event)
        elif trade and span_is(&key, b"tradeId", 7):
            bit = HAS_TRADE_ID
            status = cursor_string(c, &text)
            if status == OK:
                status = deal_id(deal, &text)
        elif trade and span_is(&key, b"instId", 6):
            bit = HAS_ID
            status = cursor_named(c, envelope.subject.p, envelope.subject.size)
        elif trade and span_is(&key, b"seqId", 5):
            bit = HAS_SEQ
            status = cursor_int(c, &deal.sequence)
            if status == OK and deal.sequence < 0:
                status = RANGE
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
    if trade:
        wanted |= HAS_TRADE_ID | HAS_ID
    return OK if seen & wanted == wanted else SHAPE


cdef int read_trades(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil:
    cdef Deal* deal
    cdef int code = parts_enter(c)
    while code == OK:
        deal = event_deal(event)
        if deal == NULL:
            return OVERSIZE
        code = _read_deal(c, envelope, route, deal)
        if code == OK:
            event.ts_event = deal.ts_event
            code = parts_next(c)
            if code == 0:
                event.kind = EVENT_TRADE
                return OK
            if code == 1:
                code = OK
    return code


cdef int read_liquidations(Cursor* c, Routes* routes, const Route* group, Event* event) noexcept nogil:
    """Elements of several instruments; those that nobody asked for are checked for their grammar alone."""
    cdef int code = parts_enter(c)
    while code == OK:
        code = _read_liquidation(c, routes, group, event)
        if code == OK:
            code = parts_next(c)
            if code == 0:
                event.kind = EVENT_LIQUIDATION if event.n_deals else EVENT_IDLE
                return OK
            if code == 1:
                code = OK
    return code


cdef int _read_liquidation(Cursor* c, Routes* routes, const Route* group, Event* event) noexcept nogil:
    cdef Span key, symbol
    cdef const char* details = NULL
    cdef const char* after
    cdef bint named = False
    cdef Route* route
    cdef Deal* deal
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE
        if span_is(&key, b"instId", 6):
            if named:
                return SHAPE
            named = True
            status = cursor_string(c, &symbol)
        elif span_is(&key, b"details", 7):
            if details != NULL:
                return SHAPE
            details = c.p
            status = cursor_skip(c)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    if not named or details == NULL:
        return SHAPE
    route = routes_find_pair(routes, group.topic, group.topic_size, symbol.p, symbol.size)
    if route == NULL:
        return OK
    after = c.p
    c.p = details
    code = parts_enter(c)
    while code == OK:
        deal = event_deal(event)
        if deal == NULL:
            return OVERSIZE
        deal.route = route
        code = _read_deal(c, NULL, route, deal)
        if code == OK:
            event.ts_event = deal.ts_event
            code = parts_next(c)
            if code == 0:
                break
            if code == 1:
                code = OK
    if code == OK:
        c.p = after
    return code


# ---- tickers and bars

cdef int read_ticker(Cursor* c, const Envelope* envelope, Event* event) noexcept nogil:
    """What one of the channels says that make a ticker together; empty text says that the venue has no value."""
    cdef Span key
    cdef const Span* channel = &envelope.channel
    cdef const char* name
    cdef Py_ssize_t size
    cdef int field
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef int code, status
    if span_is(channel, b"tickers", 7):
        name, size, field = b"last", 4, TICKER_LAST
    elif span_is(channel, b"mark-price", 10):
        name, size, field = b"markPx", 6, TICKER_MARK
    elif span_is(channel, b"index-tickers", 13):
        name, size, field = b"idxPx", 5, TICKER_INDEX
    elif span_is(channel, b"open-interest", 13):
        name, size, field = b"oi", 2, TICKER_OPEN_INTEREST
    elif span_is(channel, b"funding-rate", 12):
        name, size, field = b"fundingRate", 11, TICKER_FUNDING
    else:
        return SHAPE
    code = cursor_first_key(c, &key)
    while code == 1:
        bit = 0
        if key.escaped:
            return SHAPE
        if span_is(&key, name, size):
            bit = HAS_VALUE
            status = cursor_field(c, event, field)
        elif field == TICKER_LAST and span_is(&key, b"vol24h", 6):
            bit = HAS_VOLUME
            status = cursor_field(c, event, TICKER_VOLUME)
        elif field == TICKER_FUNDING and span_is(&key, b"fundingTime", 11):
            bit = HAS_NEXT
            status = _next_funding(c, event)
        elif span_is(&key, b"ts", 2):
            bit = HAS_TS
            status = parts_text_ms(c, &event.ts_event)
        elif span_is(&key, b"instId", 6):
            bit = HAS_ID
            status = cursor_named(c, envelope.subject.p, envelope.subject.size)
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
    event.kind = EVENT_TICKER
    return OK if seen & (HAS_VALUE | HAS_TS | HAS_ID) == HAS_VALUE | HAS_TS | HAS_ID else SHAPE


cdef int _next_funding(Cursor* c, Event* event) noexcept nogil:
    cdef int code
    if c.end - c.p >= 2 and memcmp(c.p, b'""', 2) == 0:
        c.p += 2
        return OK
    code = parts_text_ms(c, &event.ticker[<int>TICKER_NEXT_FUNDING].mantissa)
    if code == OK:
        event.ticker[<int>TICKER_NEXT_FUNDING].exponent = 0
        event.ticker_has |= 1U << <int>TICKER_NEXT_FUNDING
    return code


cdef int64_t _bar_seconds(const Span* channel) noexcept nogil:
    """The length of the bars of `candle1m` or `candle6Hutc`, 0 if it is no such channel."""
    cdef int64_t number = 0
    cdef Py_ssize_t i = 6
    cdef Py_ssize_t left
    if channel.size < 8 or memcmp(channel.p, b"candle", 6) != 0:
        return 0
    while i < channel.size and i < 10 and c"0" <= channel.p[i] <= c"9":
        number = number * 10 + (channel.p[i] - c"0")
        i += 1
    left = channel.size - i - 1
    if left != 0 and not (left == 3 and memcmp(channel.p + i + 1, b"utc", 3) == 0):
        return 0
    if channel.p[i] == c"s":
        return number
    if channel.p[i] == c"m":
        return number * 60
    if channel.p[i] == c"H":
        return number * 3600
    return number * 86400 if channel.p[i] == c"D" else 0


cdef int read_bars(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil:
    cdef int64_t seconds = _bar_seconds(&envelope.channel)
    cdef Bar* bar
    cdef int code = parts_enter(c) if seconds else SHAPE
    while code == OK:
        bar = event_bar(event)
        if bar == NULL:
            return OVERSIZE
        bar.interval_s = seconds
        code = _read_bar(c, route, bar)
        if code == OK:
            code = parts_next(c)
            if code == 0:
                event.kind = EVENT_BAR
                return OK
            if code == 1:
                code = OK
    return code


cdef int _read_bar(Cursor* c, const Route* route, Bar* bar) noexcept nogil:
    """Nine texts: start, open, high, low, close, volume thrice, whether it is closed; the first volume is in sizes."""
    cdef Span text
    cdef int64_t* prices[4]
    cdef int i, _i
    cdef int code = parts_enter(c)
    prices[0], prices[1], prices[2], prices[3] = &bar.open, &bar.high, &bar.low, &bar.close
    if code == OK:
        code = parts_text_ms(c, &bar.start)
    for i in range(4):
        if code == OK:
            code = parts_comma(c)
        if code == OK:
            code = cursor_price(c, route.px_exp, prices[i])
    if code == OK:
        code = parts_comma(c)
    if code == OK:
        code = cursor_number(c, &bar.volume)
    if code == OK and bar.volume.mantissa < 0:
        code = RANGE
    for _i in range(3):
        if code == OK:
            code = parts_comma(c)
        if code == OK:
            code = cursor_string(c, &text)
    if code != OK:
        return code
    bar.closed = span_is(&text, b"1", 1)
    if not bar.closed and not span_is(&text, b"0", 1):
        return SHAPE
    return parts_only(c)

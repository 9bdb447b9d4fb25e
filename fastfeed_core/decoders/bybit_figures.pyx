"""Bybit's bars and tickers, whatever the order of their fields; `bybit` says what they are."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_bool,
    cursor_first_key,
    cursor_next_key,
    cursor_skip,
    cursor_string,
    span_is,
    span_word,
)
from fastfeed_core.decoders.fields cimport (
    MAX_MS,
    MS,
    cursor_field,
    cursor_named,
    cursor_number,
    cursor_price,
    cursor_time,
)
from fastfeed_core.event cimport (
    EVENT_TICKER,
    TICKER_FUNDING,
    TICKER_INDEX,
    TICKER_LAST,
    TICKER_MARK,
    TICKER_NEXT_FUNDING,
    TICKER_OPEN_INTEREST,
    TICKER_VOLUME,
    Bar,
    Event,
    Number,
    event_bar,
)
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE

cdef enum:
    KEY_start = 0x7374617274
    KEY_end = 0x656E64
    KEY_open = 0x6F70656E
    KEY_high = 0x68696768
    KEY_low = 0x6C6F77
    KEY_close = 0x636C6F7365
    KEY_volume = 0x766F6C756D65
    KEY_confirm = 0x636F6E6669726D
    KEY_symbol = 0x73796D626F6C

#: bits of the fields that a bar has shown, to refuse repeated and missing ones
cdef enum:
    HAS_start = 1
    HAS_end = 2
    HAS_open = 4
    HAS_high = 8
    HAS_low = 16
    HAS_close = 32
    HAS_volume = 64
    HAS_confirm = 128
    HAS_timestamp = 256


cdef int read_bybit_bar(Cursor* c, Event* event) noexcept nogil:
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
            status = cursor_time(c, &bar.start)
        elif name == KEY_end:
            bit = HAS_end
            status = cursor_time(c, &finish)
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
            status = cursor_time(c, &event.ts_event)
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


cdef int read_bybit_ticker(Cursor* c, const Route* route, int64_t ts, Event* event) noexcept nogil:
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
            status = cursor_named(c, route.symbol, route.symbol_size)
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
    event.ts_event = ts
    event.ts_send = ts
    event.kind = EVENT_TICKER
    return OK

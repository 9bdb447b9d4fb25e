"""Binance's rarer payloads: tickers, mark prices, bars, forced orders.

As of 2026; fields come in any order, and those without a value here are skipped:

    ticker  {"e":"24hrTicker","E":ms,"s":"BTCUSDT",..,"c":"last",..,"v":"volume",..}
    mark    {"e":"markPriceUpdate","E":ms,"s":..,"p":"mark",["ap":..,]"i":"index","P":..,"r":"rate","T":ms,["st":..]}
    bar     {"e":"kline","E":ms,"s":..,"k":{"t":ms,"T":ms,"s":..,"i":"1m",..,"o","c","h","l","v",..,"x":bool,..}}
    forced  {"e":"forceOrder","E":ms,["ps":..,"st":..,]"o":{"s":..,"S":"SELL",..,"q":"sz","p":"px",..,"T":ms}}

They come a few times a second at most, so there is no scanner for them. All names that matter have one letter: an
object is stepped over once, what stands where is noted, and the values are read in the order that suits. The first
failure stays: what follows it does nothing.
Sources: web-socket-streams.md, "Individual Symbol Ticker Streams" and "Kline/Candlestick Streams for UTC"; USD-M
"Individual Symbol Ticker Streams", "Mark Price Stream", "Kline/Candlestick Streams" and "Liquidation Order Streams".
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memset

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_bool,
    cursor_first_key,
    cursor_next_key,
    cursor_skip,
    cursor_string,
    span_is,
)
from fastfeed_core.decoders.fields cimport cursor_field, cursor_number, cursor_price, cursor_time
from fastfeed_core.event cimport (
    CHANNEL_BAR,
    CHANNEL_TICKER,
    EVENT_BAR,
    EVENT_LIQUIDATION,
    EVENT_TICKER,
    SIDE_BUY,
    SIDE_SELL,
    TICKER_FUNDING,
    TICKER_INDEX,
    TICKER_LAST,
    TICKER_MARK,
    TICKER_NEXT_FUNDING,
    TICKER_VOLUME,
    Bar,
    Deal,
    Event,
    event_bar,
    event_deal,
)
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, RANGE, SHAPE

cdef struct Fields:
    Cursor* c
    int status
    #: where the value of the field with this letter as its name begins, NULL if there is none
    const char* at[128]


cdef void _find(Fields* fields, Cursor* c) noexcept nogil:
    """Step over the object at the cursor, and note where its fields are."""
    cdef Span key
    memset(fields, 0, sizeof(Fields))
    fields.c = c
    fields.status = cursor_first_key(c, &key)
    while fields.status == 1:
        if key.escaped:
            fields.status = SHAPE           # could be a known name in other words
            return
        if key.size == 1:
            if fields.at[<unsigned char>key.p[0]] != NULL:
                fields.status = SHAPE       # repeated
                return
            fields.at[<unsigned char>key.p[0]] = c.p
        fields.status = cursor_skip(c)
        if fields.status == OK:
            fields.status = cursor_next_key(c, &key)


cdef bint _go(Fields* fields, char name) noexcept nogil:
    """Put the cursor before the value of a field, which must be there; False after a failure."""
    cdef const char* value = fields.at[<unsigned char>name]
    if fields.status == OK:
        if value == NULL:
            fields.status = SHAPE
        else:
            fields.c.p = value
    return fields.status == OK


cdef void _word(Fields* fields, char name, Span* out) noexcept nogil:
    memset(out, 0, sizeof(Span))
    if _go(fields, name):
        fields.status = cursor_string(fields.c, out)


cdef void _text(Fields* fields, char name, const char* text, Py_ssize_t size) noexcept nogil:
    """A string that says just `text`."""
    cdef Span word
    _word(fields, name, &word)
    if fields.status == OK and not span_is(&word, text, size):
        fields.status = SHAPE


cdef void _ms(Fields* fields, char name, int64_t* ns) noexcept nogil:
    if _go(fields, name):
        fields.status = cursor_time(fields.c, ns)


cdef void _price(Fields* fields, char name, int exponent, int64_t* out) noexcept nogil:
    if _go(fields, name):
        fields.status = cursor_price(fields.c, exponent, out)


cdef void _figure(Fields* fields, char name, Event* event, int figure) noexcept nogil:
    """A number of a ticker; only funding can be negative."""
    if _go(fields, name):
        fields.status = cursor_field(fields.c, event, figure)
    if fields.status == OK and figure != TICKER_FUNDING and event.ticker_has >> figure & 1 \
            and event.ticker[figure].mantissa < 0:
        fields.status = RANGE


cdef int _read_ticker(Cursor* c, const Route* route, Event* event) noexcept nogil:
    """Two streams bring a ticker: one the statistics of 24 hours, one the mark price and the funding."""
    cdef Fields f
    cdef Span kind
    cdef int64_t funding = 0
    _find(&f, c)
    _ms(&f, c"E", &event.ts_send)
    _text(&f, c"s", route.symbol, route.symbol_size)
    _word(&f, c"e", &kind)
    event.ts_event = event.ts_send
    event.kind = EVENT_TICKER
    if span_is(&kind, b"24hrTicker", 10):
        _figure(&f, c"c", event, TICKER_LAST)
        _figure(&f, c"v", event, TICKER_VOLUME)
    elif span_is(&kind, b"markPriceUpdate", 15):
        _figure(&f, c"p", event, TICKER_MARK)
        _figure(&f, c"i", event, TICKER_INDEX)
        # What is delivered has no funding: "r":"" and "T":0 (COIN-M, "Mark Price Stream"; undocumented on USD-M).
        _figure(&f, c"r", event, TICKER_FUNDING)
        _ms(&f, c"T", &funding)
        if funding:
            event.ticker[<int>TICKER_NEXT_FUNDING].mantissa = funding
            event.ticker[<int>TICKER_NEXT_FUNDING].exponent = 0
            event.ticker_has |= 1U << TICKER_NEXT_FUNDING
    elif f.status == OK:
        return SHAPE
    return f.status


cdef int64_t _seconds(const Span* text) noexcept nogil:
    """Seconds of an interval such as 15m, with a number of one or two digits; 0 if it has no such length."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    cdef char unit
    if not 2 <= text.size <= 3:
        return 0
    for i in range(text.size - 1):
        if not c"0" <= text.p[i] <= c"9":
            return 0
        number = 10 * number + (text.p[i] - c"0")
    unit = text.p[text.size - 1]
    if unit == c"s":
        return number
    if unit == c"m":
        return number * 60
    if unit == c"h":
        return number * 3600
    if unit == c"d":
        return number * 86400
    if unit == c"w":
        return number * 604800
    return 0                                # M: months differ


cdef void _interval(Fields* fields, char name, const Route* route, int64_t* seconds) noexcept nogil:
    """The length of a bar, which must be the one at the end of the topic: btcusdt@kline_1m."""
    cdef Span text
    cdef Py_ssize_t rest
    _word(fields, name, &text)
    if fields.status != OK:
        return
    rest = <Py_ssize_t>route.topic_size - text.size
    seconds[0] = _seconds(&text)
    if not seconds[0] or rest < 1 or route.topic[rest - 1] != c"_" \
            or memcmp(route.topic + rest, text.p, text.size) != 0:
        fields.status = SHAPE


cdef int _read_bar(Cursor* c, const Route* route, Event* event) noexcept nogil:
    cdef Fields f, k
    cdef Bar* bar = event_bar(event)
    _find(&f, c)
    _text(&f, c"e", b"kline", 5)
    _ms(&f, c"E", &event.ts_send)
    _text(&f, c"s", route.symbol, route.symbol_size)
    if not _go(&f, c"k"):
        return f.status
    _find(&k, c)
    _ms(&k, c"t", &bar.start)
    _text(&k, c"s", route.symbol, route.symbol_size)
    _interval(&k, c"i", route, &bar.interval_s)
    _price(&k, c"o", route.px_exp, &bar.open)
    _price(&k, c"h", route.px_exp, &bar.high)
    _price(&k, c"l", route.px_exp, &bar.low)
    _price(&k, c"c", route.px_exp, &bar.close)
    if _go(&k, c"v"):
        k.status = cursor_number(c, &bar.volume)
    if k.status == OK and bar.volume.mantissa < 0:
        k.status = RANGE
    if _go(&k, c"x"):
        k.status = cursor_bool(c, &bar.closed)
    event.ts_event = event.ts_send
    event.kind = EVENT_BAR
    return k.status


cdef int _read_forced_order(Cursor* c, const Route* route, Event* event) noexcept nogil:
    """The order as it was placed: its average price (`ap`) need not be one of the instrument's."""
    cdef Fields f, o
    cdef Span side
    cdef Deal* deal = event_deal(event)
    _find(&f, c)
    _text(&f, c"e", b"forceOrder", 10)
    _ms(&f, c"E", &event.ts_send)
    if not _go(&f, c"o"):
        return f.status
    _find(&o, c)
    _text(&o, c"s", route.symbol, route.symbol_size)
    _price(&o, c"p", route.px_exp, &deal.px)
    _price(&o, c"q", route.sz_exp, &deal.sz)
    _ms(&o, c"T", &event.ts_event)
    _word(&o, c"S", &side)
    # The forced order's own side: one that sells closes a long.
    if span_is(&side, b"SELL", 4):
        deal.side = SIDE_SELL
    elif span_is(&side, b"BUY", 3):
        deal.side = SIDE_BUY
    elif o.status == OK:
        return SHAPE
    event.kind = EVENT_LIQUIDATION
    return o.status


cdef int read_binance_figures(Cursor* c, const Route* route, Event* event) noexcept nogil:
    if route.channel == CHANNEL_TICKER:
        return _read_ticker(c, route, event)
    if route.channel == CHANNEL_BAR:
        return _read_bar(c, route, event)
    return _read_forced_order(c, route, event)

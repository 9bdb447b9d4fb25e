"""OKX v5, all types of instruments: public channels to events.

A frame is `{"arg":{"channel":"books","instId":"BTC-USDT"},["action":..,]"data":[...]}`; channel and instId (instType
for liquidations), joined by a colon, are the topic. Numbers are text, except sequences. Elements of `data`:

    books          {"asks":[["px","sz","0","orders"]],"bids":[..],"ts":"ms","checksum":0,"prevSeqId":-1,"seqId":10}
                   as action snapshot or update; so do books-l2-tbt, books50-l2-tbt
    books5         {"asks":[..],"bids":[..],"instId":..,"ts":"ms","seqId":10}, the whole each time
    bbo-tbt        {"asks":[[..]],"bids":[[..]],"ts":"ms","seqId":10}; a side may be empty
    trades(-all)   {"instId":..,"tradeId":"id","px":"px","sz":"sz","side":"buy","ts":"ms",["count":..,]["source":..,]
                   ["seqId":5]}
    tickers        {"instType":..,"instId":..,"last":"px",..,"vol24h":"sz",..,"ts":"ms"}
    mark-price     {"instType":..,"instId":..,"markPx":"px","ts":"ms"}, index-tickers with idxPx, open-interest with oi
    funding-rate   {"instType":..,"instId":..,"fundingRate":"n","fundingTime":"ms",..,"ts":"ms"}
    candle1m       ["ms","o","h","l","c","vol","volCcy","volCcyQuote","confirm"]
    liquidation-orders  {"instId":..,"details":[{"side":"sell","bkPx":"px","sz":"sz","ts":"ms",..}],..}

An update follows the one whose seqId is its prevSeqId. Both alike and no levels is a sign of life; a seqId below
prevSeqId is a restart of the numbers. `side` is the taker's, and of a liquidation the forced order's. Sizes, volume and
open interest of derivatives are contracts. Source: okx.com/docs-v5, "WS / Order book channel" and the other sections
named as the channels are (2026-07). The checksum is 0 since 2026-06 and not looked at.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memmove, memset

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
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.decoders.fields cimport deal_id, scan_decimal, scan_int, scan_ms, scan_text, scan_word
from fastfeed_core.decoders.okx_book cimport finish_quote, judge_book, read_book
from fastfeed_core.decoders.okx_parts cimport Envelope, parts_enter, parts_only
from fastfeed_core.decoders.okx_tape cimport read_bars, read_liquidations, read_ticker, read_trades
from fastfeed_core.event cimport (
    CHANNEL_BAR,
    CHANNEL_BBO,
    CHANNEL_BOOK,
    CHANNEL_LIQUIDATION,
    CHANNEL_TRADE,
    EVENT_BBO,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_HEARTBEAT,
    EVENT_RESET,
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
from fastfeed_core.routes cimport Route, Routes, routes_find_pair
from fastfeed_core.status cimport OK, SHAPE


# ---- the fast path: the venue's own order, to the last byte

cdef inline int _scan_levels(const char** cursor, const char* end, const Route* route, int64_t* pairs,
                             int room) noexcept nogil:
    """`["px","sz","0","orders"],...]` behind the opening bracket, with the closing one: how many, -1 if in doubt."""
    cdef const char* p = cursor[0]
    cdef int n = 0
    if p < end and p[0] == c"]":
        cursor[0] = p + 1
        return 0
    while n < room:
        if not (scan_text(&p, end, b'["', 2) and scan_decimal(&p, end, route.px_exp, pairs + 2 * n)
                and scan_text(&p, end, b'","', 3) and scan_decimal(&p, end, route.sz_exp, pairs + 2 * n + 1)
                and scan_text(&p, end, b'","', 3) and scan_word(&p, end)
                and scan_text(&p, end, b',"', 2) and scan_word(&p, end) and end - p >= 2 and p[0] == c"]"):
            return -1
        n += 1
        if p[1] == c",":
            p += 2
            continue
        if p[1] == c"]":
            cursor[0] = p + 2
            return n
        return -1
    return -1


cdef inline bint _scan_sides(const char** p, const char* end, const Route* route, Event* event) noexcept nogil:
    """Both sides and the time; asks stand before bids on the wire and behind them in an event."""
    cdef int64_t* asks = event.levels + MAX_LEVELS
    if not scan_text(p, end, b'{"asks":[', 9):
        return False
    event.n_asks = _scan_levels(p, end, route, asks, MAX_LEVELS // 2)
    if event.n_asks < 0 or not scan_text(p, end, b',"bids":[', 9):
        return False
    event.n_bids = _scan_levels(p, end, route, event.levels, MAX_LEVELS // 2)
    if event.n_bids < 0:
        return False
    memmove(event.levels + 2 * event.n_bids, asks, 2 * event.n_asks * sizeof(int64_t))
    return scan_text(p, end, b',"ts":"', 7) and scan_ms(p, end, &event.ts_event)


cdef bint _scan_update(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef int64_t ignored = 0
    if not (scan_text(&p, end, b',"action":"update","data":[', 27) and _scan_sides(&p, end, route, event)):
        return False
    scan_text(&p, end, b'","checksum":', 13)
    scan_text(&p, end, b"-", 1)
    return scan_int(&p, end, &ignored) and scan_text(&p, end, b',"prevSeqId":', 13) \
        and scan_int(&p, end, &event.prev_seq) and scan_text(&p, end, b',"seqId":', 9) \
        and scan_int(&p, end, &event.last_seq) and _ends(p, end) and judge_book(event, False, True, True, 0) == OK


cdef bint _scan_quote(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    return scan_text(&p, end, b',"data":[', 9) and _scan_sides(&p, end, route, event) \
        and scan_text(&p, end, b'","seqId":', 10) and scan_int(&p, end, &event.last_seq) and _ends(p, end) \
        and finish_quote(event) == OK


cdef bint _scan_trade(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef Deal* deal = event_deal(event)
    cdef Span text
    if not (scan_text(&p, end, b',"data":[{"instId":"', 20) and scan_text(&p, end, route.symbol, route.symbol_size)
            and scan_text(&p, end, b'","tradeId":"', 13)):
        return False
    text.p = p
    text.escaped = False
    if not scan_word(&p, end):
        return False
    text.size = p - text.p - 1
    if not (deal_id(deal, &text) == OK
            and scan_text(&p, end, b',"px":"', 7) and scan_decimal(&p, end, route.px_exp, &deal.px)
            and scan_text(&p, end, b'","sz":"', 8) and scan_decimal(&p, end, route.sz_exp, &deal.sz)
            and scan_text(&p, end, b'","side":"', 10)):
        return False
    if scan_text(&p, end, b'buy"', 4):
        deal.side = SIDE_BUY
    elif scan_text(&p, end, b'sell"', 5):
        deal.side = SIDE_SELL
    else:
        return False
    if not (scan_text(&p, end, b',"ts":"', 7) and scan_ms(&p, end, &deal.ts_event) and scan_text(&p, end, b'"', 1)):
        return False
    if scan_text(&p, end, b',"count":"', 10) and not scan_word(&p, end):
        return False
    if scan_text(&p, end, b',"source":"', 11) and not scan_word(&p, end):
        return False
    if scan_text(&p, end, b',"seqId":', 9) and not scan_int(&p, end, &deal.sequence):
        return False
    event.ts_event = deal.ts_event
    event.kind = EVENT_TRADE
    return _ends(p, end)


cdef inline bint _ends(const char* p, const char* end) noexcept nogil:
    return end - p == 3 and p[0] == c"}" and p[1] == c"]" and p[2] == c"}"


cdef bint _scan_frame(const char* p, const char* end, Routes* routes, Event* event) noexcept nogil:
    """The kinds that are nearly all of the traffic: updates, quotes, single trades."""
    cdef const char* channel
    cdef const char* subject
    cdef Py_ssize_t channel_size, subject_size
    cdef Route* route
    if not scan_text(&p, end, b'{"arg":{"channel":"', 19):
        return False
    channel = p
    if not scan_word(&p, end):
        return False
    channel_size = p - channel - 1
    if not scan_text(&p, end, b',"instId":"', 11):
        return False
    subject = p
    if not scan_word(&p, end):
        return False
    subject_size = p - subject - 1
    if not scan_text(&p, end, b"}", 1):
        return False
    route = routes_find_pair(routes, channel, channel_size, subject, subject_size)
    if route == NULL:
        return False
    event.route = route
    if route.channel == CHANNEL_BOOK:
        return channel_size != 6 and _scan_update(p, end, route, event)     # books5 has no updates
    if route.channel == CHANNEL_BBO:
        return _scan_quote(p, end, route, event)
    return route.channel == CHANNEL_TRADE and _scan_trade(p, end, route, event)


# ---- the order-free path

cdef int _read_arg(Cursor* c, Envelope* envelope) noexcept nogil:
    """{"channel":"books","instId":"BTC-USDT"}, or with an instType; further keys do not matter."""
    cdef Span key
    cdef Span* target
    cdef int code = cursor_first_key(c, &key)
    cdef int status
    while code == 1:
        if key.escaped:
            return SHAPE
        target = NULL
        if span_is(&key, b"channel", 7):
            target = &envelope.channel
        elif span_is(&key, b"instId", 6):
            target = &envelope.subject
        elif span_is(&key, b"instType", 8):
            target = &envelope.kind
        if target == NULL:
            status = cursor_skip(c)
        elif target.p != NULL:
            return SHAPE                    # repeated
        else:
            status = cursor_string(c, target)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return code


cdef int _read_envelope(Cursor* c, Envelope* envelope, bint* control) noexcept nogil:
    """All of a frame, its grammar checked to the end."""
    cdef Span key
    cdef bint has_arg = False
    cdef int code, status
    cursor_space(c)
    code = cursor_first_key(c, &key)
    while code == 1:
        if key.escaped:
            return SHAPE
        if span_is(&key, b"arg", 3):
            if has_arg:
                return SHAPE
            has_arg = True
            status = _read_arg(c, envelope)
        elif span_is(&key, b"action", 6):
            if envelope.action.p != NULL:
                return SHAPE
            status = cursor_string(c, &envelope.action)
        elif span_is(&key, b"data", 4):
            if envelope.data != NULL:
                return SHAPE
            envelope.data = c.p
            status = cursor_skip(c)
        else:
            control[0] = control[0] or span_is(&key, b"event", 5)
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return cursor_finish(c) if code == OK else code


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    cdef Envelope envelope
    cdef const Span* subject = &envelope.subject
    cdef bint control = False
    cdef Route* route
    cdef int code
    memset(&envelope, 0, sizeof(Envelope))
    code = _read_envelope(c, &envelope, &control)
    if code == OK and (control or span_is(&envelope.channel, b"instruments", 11)):
        event.kind = EVENT_CONTROL
        return OK
    event.kind = EVENT_UNROUTED
    if subject.p == NULL:
        subject = &envelope.kind
    if envelope.channel.p == NULL or envelope.channel.escaped or subject.p == NULL or subject.escaped:
        return code
    route = routes_find_pair(routes, envelope.channel.p, envelope.channel.size, subject.p, subject.size)
    if route == NULL or code == OK and envelope.data == NULL:
        return code
    # Of a frame that is broken further on, too: it may have been a delta.
    event.route = route
    if code != OK:
        return code
    c.p = envelope.data
    if route.channel == CHANNEL_TRADE:
        return read_trades(c, &envelope, route, event)
    if route.channel == CHANNEL_BAR:
        return read_bars(c, &envelope, route, event)
    if route.channel == CHANNEL_LIQUIDATION:
        return read_liquidations(c, routes, route, event)
    code = parts_enter(c)
    if code != OK:
        return code
    if route.channel == CHANNEL_BOOK or route.channel == CHANNEL_BBO:
        code = read_book(c, &envelope, route, event)
    else:
        code = read_ticker(c, &envelope, event)
    return parts_only(c) if code == OK else code


cdef int decode_okx(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil:
    """Decode one frame."""
    cdef Cursor c
    cdef int status
    fallback[0] = False
    if size == 4 and memcmp(p, b"pong", 4) == 0:
        event.kind = EVENT_CONTROL
        return OK
    if _scan_frame(p, p + size, routes, event):
        return OK
    event_begin(event)                      # whatever a scanner left
    c.p = p
    c.end = p + size
    status = _read_frame(&c, routes, event)
    event.offset = c.p - p
    fallback[0] = status == OK and _is_scanned(event)
    return status


cdef inline bint _is_scanned(const Event* event) noexcept nogil:
    """Whether a scanner should have known this kind of message."""
    return event.kind == EVENT_DELTA or event.kind == EVENT_BBO or event.kind == EVENT_TRADE \
        or event.kind == EVENT_RESET or event.kind == EVENT_HEARTBEAT


cdef class OkxDecoder(Decoder):
    """Decoder of all public channels."""

    def __cinit__(self):
        self.decode = decode_okx

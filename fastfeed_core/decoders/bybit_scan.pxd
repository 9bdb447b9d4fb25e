"""The fast path of Bybit's messages: books and trades in the venue's own order of fields, to the last byte.

`bybit.pyx` says what the messages are. A scanner that is in doubt answers False, and the order-free path reads the
message again.
"""

from libc.stdint cimport int64_t, uint32_t

from fastfeed_core.cursor cimport Span
from fastfeed_core.decoders.fields cimport (
    deal_id,
    scan_decimal,
    scan_int,
    scan_ms,
    scan_quoted_pairs,
    scan_text,
    scan_word,
)
from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    EVENT_BBO,
    EVENT_DELTA,
    EVENT_REFRESH,
    EVENT_SNAPSHOT,
    EVENT_TRADE,
    MAX_LEVELS,
    SIDE_BUY,
    SIDE_SELL,
    Deal,
    Event,
    event_deal,
)
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, RANGE, SHAPE

#: what a message says besides its payload
cdef struct Head:
    bint is_snapshot
    int64_t ts
    int64_t cts
    bint has_cts


cdef inline int book_depth(const Route* route) noexcept nogil:
    """The levels a side that the topic `orderbook.N.SYMBOL` shows."""
    cdef uint32_t i = 10
    cdef int depth = 0
    while i < route.topic_size and c"0" <= route.topic[i] <= c"9" and depth < 100_000:
        depth = depth * 10 + (route.topic[i] - c"0")
        i += 1
    return depth


cdef inline int leave_out_empty(int64_t* pairs, int n) noexcept nogil:
    """Leave out the levels of size 0, of which a snapshot has none; how many are left."""
    cdef int kept = 0
    cdef int i
    for i in range(n):
        if pairs[2 * i + 1]:
            pairs[2 * kept] = pairs[2 * i]
            pairs[2 * kept + 1] = pairs[2 * i + 1]
            kept += 1
    return kept


cdef inline int finish_book(const Route* route, Event* event, const Head* head, int64_t update_id) noexcept nogil:
    cdef int64_t* asks = event.levels + 2 * event.n_bids
    cdef int before = event.n_bids
    cdef int i
    event.ts_send = head.ts
    event.ts_event = head.cts if head.has_cts else head.ts
    if update_id < 1:
        return RANGE
    event.last_seq = update_id
    if route.channel == CHANNEL_BBO:
        if not head.is_snapshot:
            return SHAPE
        event.bid_px = event.levels[0] if event.n_bids and event.levels[1] else ABSENT
        event.bid_sz = event.levels[1] if event.n_bids else 0
        event.ask_px = asks[0] if event.n_asks and asks[1] else ABSENT
        event.ask_sz = asks[1] if event.n_asks else 0
        event.kind = EVENT_BBO
        return OK
    if not head.is_snapshot:
        event.prev_seq = update_id - 1
        event.kind = EVENT_DELTA
        return OK
    event.n_bids = leave_out_empty(event.levels, event.n_bids)
    event.n_asks = leave_out_empty(asks, event.n_asks)
    if event.n_bids != before:
        for i in range(2 * event.n_asks):
            event.levels[2 * event.n_bids + i] = asks[i]
    event.limit = book_depth(route)
    event.restarts = update_id == 1
    # Every message of level 1 is the whole book.
    event.kind = EVENT_REFRESH if event.limit == 1 and not event.restarts else EVENT_SNAPSHOT
    return OK


cdef inline bint scan_head(const char** p, const char* end, Head* head) noexcept nogil:
    """`,"type":"..","ts":ms,` or `,"ts":ms,"type":"..",["id":"..",]`, and `"data":`."""
    head.has_cts = False
    if scan_text(p, end, b',"type":"delta","ts":', 21):
        head.is_snapshot = False
        return scan_ms(p, end, &head.ts) and scan_text(p, end, b',"data":', 8)
    if scan_text(p, end, b',"type":"snapshot","ts":', 24):
        head.is_snapshot = True
        return scan_ms(p, end, &head.ts) and scan_text(p, end, b',"data":', 8)
    if not (scan_text(p, end, b',"ts":', 6) and scan_ms(p, end, &head.ts)):
        return False
    if scan_text(p, end, b',"type":"delta",', 16):
        head.is_snapshot = False
    elif scan_text(p, end, b',"type":"snapshot",', 19):
        head.is_snapshot = True
    else:
        return False
    if scan_text(p, end, b'"id":"', 6) and not (scan_word(p, end) and scan_text(p, end, b",", 1)):
        return False
    return scan_text(p, end, b'"data":', 7)


cdef inline bint scan_book(const char* p, const char* end, const Route* route, Head* head, Event* event) noexcept nogil:
    cdef int64_t update_id = 0
    cdef int64_t ignored = 0
    if not (scan_text(&p, end, b'{"s":"', 6) and scan_text(&p, end, route.symbol, route.symbol_size)
            and scan_text(&p, end, b'","b":[', 7)):
        return False
    event.n_bids = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, event.shapes)
    if event.n_bids < 0 or not scan_text(&p, end, b',"a":[', 6):
        return False
    event.n_asks = scan_quoted_pairs(&p, end, route.px_exp, route.sz_exp, event.levels + 2 * event.n_bids,
                                     MAX_LEVELS - event.n_bids, event.shapes)
    if event.n_asks < 0:
        return False
    if not (scan_text(&p, end, b',"u":', 5) and scan_int(&p, end, &update_id)
            and scan_text(&p, end, b',"seq":', 7) and scan_int(&p, end, &ignored)
            and scan_text(&p, end, b'},"cts":', 8) and scan_ms(&p, end, &head.cts)):
        return False
    head.has_cts = True
    if end - p != 1 or p[0] != c"}":
        return False
    return finish_book(route, event, head, update_id) == OK


cdef inline bint scan_side(const char** p, const char* end, Deal* deal) noexcept nogil:
    if scan_text(p, end, b'"S":"Buy"', 9):
        deal.side = SIDE_BUY
        return True
    if scan_text(p, end, b'"S":"Sell"', 10):
        deal.side = SIDE_SELL
        return True
    return False


cdef inline bint scan_id(const char** p, const char* end, Deal* deal) noexcept nogil:
    """The rest of an id behind its opening quote, with the closing one."""
    cdef Span text
    text.p = p[0]
    text.escaped = False
    if not scan_word(p, end):
        return False
    text.size = p[0] - text.p - 1
    return deal_id(deal, &text) == OK


cdef inline bint scan_flag(const char** p, const char* end) noexcept nogil:
    return scan_text(p, end, b"false", 5) or scan_text(p, end, b"true", 4)


cdef inline bint scan_futures_trade(const char** p, const char* end, const Route* route, Deal* deal) noexcept nogil:
    cdef int64_t ignored = 0
    if not (scan_text(p, end, b'{"T":', 5) and scan_ms(p, end, &deal.ts_event) and scan_text(p, end, b',"s":"', 6)
            and scan_text(p, end, route.symbol, route.symbol_size) and scan_text(p, end, b'",', 2)
            and scan_side(p, end, deal)
            and scan_text(p, end, b',"v":"', 6) and scan_decimal(p, end, route.sz_exp, &deal.sz)
            and scan_text(p, end, b'","p":"', 7) and scan_decimal(p, end, route.px_exp, &deal.px)
            and scan_text(p, end, b'","L":"', 7) and scan_word(p, end)
            and scan_text(p, end, b',"i":"', 6) and scan_id(p, end, deal)
            and scan_text(p, end, b',"BT":', 6) and scan_flag(p, end)):
        return False
    if scan_text(p, end, b',"RPI":', 7) and not scan_flag(p, end):
        return False
    if scan_text(p, end, b',"seq":', 7) and not scan_int(p, end, &ignored):
        return False
    return scan_text(p, end, b"}", 1)


cdef inline bint scan_spot_trade(const char** p, const char* end, const Route* route, Deal* deal) noexcept nogil:
    cdef int64_t ignored = 0
    return scan_text(p, end, b'{"i":"', 6) and scan_id(p, end, deal) \
        and scan_text(p, end, b',"T":', 5) and scan_ms(p, end, &deal.ts_event) \
        and scan_text(p, end, b',"p":"', 6) and scan_decimal(p, end, route.px_exp, &deal.px) \
        and scan_text(p, end, b'","v":"', 7) and scan_decimal(p, end, route.sz_exp, &deal.sz) \
        and scan_text(p, end, b'",', 2) and scan_side(p, end, deal) \
        and scan_text(p, end, b',"seq":', 7) and scan_int(p, end, &ignored) \
        and scan_text(p, end, b',"s":"', 6) and scan_text(p, end, route.symbol, route.symbol_size) \
        and scan_text(p, end, b'","BT":', 7) and scan_flag(p, end) \
        and scan_text(p, end, b',"RPI":', 7) and scan_flag(p, end) and scan_text(p, end, b"}", 1)


cdef inline bint scan_trades(const char* p, const char* end, const Route* route, const Head* head,
                             Event* event) noexcept nogil:
    cdef Deal* deal
    cdef bint is_spot = end - p > 3 and p[2] == c'"' and p[3] == c"i"
    if not scan_text(&p, end, b"[", 1):
        return False
    while True:
        deal = event_deal(event)
        if deal == NULL:
            return False
        if is_spot:
            if not scan_spot_trade(&p, end, route, deal):
                return False
        elif not scan_futures_trade(&p, end, route, deal):
            return False
        if not scan_text(&p, end, b",", 1):
            break
    if end - p != 2 or p[0] != c"]" or p[1] != c"}":
        return False
    event.ts_send = head.ts
    event.ts_event = event.deals[0].ts_event
    event.kind = EVENT_TRADE
    return True

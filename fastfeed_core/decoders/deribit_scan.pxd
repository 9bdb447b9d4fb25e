"""Deribit's topics and names, and the scanners of its books and quotes: the fast path of `deribit`."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr

from fastfeed_core.decoders.fields cimport scan_decimal, scan_int, scan_ms, scan_text
from fastfeed_core.event cimport ABSENT, EVENT_BBO, EVENT_DELTA, EVENT_SNAPSHOT, MAX_LEVELS, Event
from fastfeed_core.routes cimport Route


cdef inline int grouped_depth(const Route* route) noexcept nogil:
    """The levels of `book.{symbol}.{group}.{depth}.{interval}`, 0 of a topic with fewer parts; no symbol has a dot."""
    cdef uint32_t i
    cdef int dots = 0
    cdef int depth = 0
    for i in range(route.topic_size):
        if route.topic[i] == c".":
            dots += 1
        elif dots == 3 and c"0" <= route.topic[i] <= c"9":
            depth = depth * 10 + (route.topic[i] - c"0")
    return depth if dots == 4 else 0


cdef inline int64_t resolution_s(const Route* route) noexcept nogil:
    """The length of `chart.trades.{symbol}.{minutes}`, or `1D`, in seconds."""
    cdef uint32_t i
    cdef int64_t length = 0
    for i in range(route.topic_size):
        if route.topic[i] == c".":
            length = 0
        elif c"0" <= route.topic[i] <= c"9":
            length = length * 10 + (route.topic[i] - c"0")
        elif i == route.topic_size - 1 and route.topic[i] == c"D":
            length *= 24 * 60
    return length * 60


cdef inline bint counts_money(const Route* route) noexcept nogil:
    """Whether amounts are USD: of inverse futures, the only names with one dash and no underscore (BTC-25DEC26)."""
    cdef const char* dash = <const char*>memchr(route.symbol, c"-", route.symbol_size)
    if dash == NULL or memchr(route.symbol, c"_", route.symbol_size) != NULL:
        return False
    return memchr(dash + 1, c"-", route.symbol + route.symbol_size - dash - 1) == NULL


# ---- the fast path: the venue's own order, to the last byte

cdef inline bint _scan_name(const char** p, const char* end, const Route* route) noexcept nogil:
    return scan_text(p, end, b',"instrument_name":"', 20) and scan_text(p, end, route.symbol, route.symbol_size) \
        and scan_text(p, end, b'"', 1)


cdef inline bint _scan_word(const char** p, const char* end, bint* removed) noexcept nogil:
    removed[0] = False
    if scan_text(p, end, b'["change",', 10) or scan_text(p, end, b'["new",', 7):
        return True
    removed[0] = True
    return scan_text(p, end, b'["delete",', 10)


cdef inline int _scan_levels(const char** cursor, const char* end, const Route* route, int64_t* pairs,
                      int room) noexcept nogil:
    """`["new",px,sz],...]` behind the opening bracket, with the closing one: how many levels, -1 if in doubt."""
    cdef const char* p = cursor[0]
    cdef bint removed = False
    cdef int n = 0
    if p < end and p[0] == c"]":
        cursor[0] = p + 1
        return 0
    while n < room:
        if not (_scan_word(&p, end, &removed) and scan_decimal(&p, end, route.px_exp, pairs + 2 * n)
                and scan_text(&p, end, b",", 1) and scan_decimal(&p, end, route.sz_exp, pairs + 2 * n + 1)):
            return -1
        if removed != (pairs[2 * n + 1] == 0) or end - p < 2 or p[0] != c"]":
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


cdef inline bint scan_book(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    cdef bint is_change = scan_text(&p, end, b'"type":"change","timestamp":', 28)
    if not (is_change or scan_text(&p, end, b'"type":"snapshot","timestamp":', 30)):
        return False
    if not scan_ms(&p, end, &event.ts_event):
        return False
    if is_change and not (scan_text(&p, end, b',"prev_change_id":', 18) and scan_int(&p, end, &event.prev_seq)):
        return False
    if not (_scan_name(&p, end, route) and scan_text(&p, end, b',"change_id":', 13)
            and scan_int(&p, end, &event.last_seq) and scan_text(&p, end, b',"bids":[', 9)):
        return False
    event.n_bids = _scan_levels(&p, end, route, event.levels, MAX_LEVELS)
    if event.n_bids < 0 or not scan_text(&p, end, b',"asks":[', 9):
        return False
    event.n_asks = _scan_levels(&p, end, route, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids)
    if event.n_asks < 0 or end - p != 3 or not scan_text(&p, end, b"}}}", 3):
        return False
    if is_change and event.prev_seq >= event.last_seq or grouped_depth(route):
        return False
    event.kind = EVENT_DELTA if is_change else EVENT_SNAPSHOT
    return True


cdef inline bint scan_quote(const char* p, const char* end, const Route* route, Event* event) noexcept nogil:
    if not (scan_text(&p, end, b'"timestamp":', 12) and scan_ms(&p, end, &event.ts_event)
            and _scan_name(&p, end, route)
            and scan_text(&p, end, b',"best_bid_price":', 18) and scan_decimal(&p, end, route.px_exp, &event.bid_px)
            and scan_text(&p, end, b',"best_bid_amount":', 19) and scan_decimal(&p, end, route.sz_exp, &event.bid_sz)
            and scan_text(&p, end, b',"best_ask_price":', 18) and scan_decimal(&p, end, route.px_exp, &event.ask_px)
            and scan_text(&p, end, b',"best_ask_amount":', 19)
            and scan_decimal(&p, end, route.sz_exp, &event.ask_sz)):
        return False
    if end - p != 3 or not scan_text(&p, end, b"}}}", 3):
        return False
    finish_quote(event)
    return True


cdef inline void finish_quote(Event* event) noexcept nogil:
    """An empty side has a price of null, or a size of 0."""
    if event.bid_sz == 0 or event.bid_px == ABSENT:
        event.bid_px = ABSENT
        event.bid_sz = 0
    if event.ask_sz == 0 or event.ask_px == ABSENT:
        event.ask_px = ABSENT
        event.ask_sz = 0
    event.kind = EVENT_BBO

"""OKX's books and quotes, one element of `data`, in whatever order its fields come."""

from libc.stdint cimport int64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_first_key,
    cursor_int,
    cursor_next_key,
    cursor_skip,
    span_is,
)
from fastfeed_core.decoders.fields cimport cursor_named, cursor_pairs
from fastfeed_core.decoders.okx_parts cimport (
    HAS_ASKS,
    HAS_BIDS,
    HAS_ID,
    HAS_PREV,
    HAS_SEQ,
    HAS_TS,
    Envelope,
    parts_text_ms,
)
from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    EVENT_BBO,
    EVENT_DELTA,
    EVENT_HEARTBEAT,
    EVENT_REFRESH,
    EVENT_RESET,
    EVENT_SNAPSHOT,
    MAX_LEVELS,
    Event,
)
from fastfeed_core.routes cimport Route
from fastfeed_core.status cimport OK, RANGE, SHAPE


cdef int _read_levels(Event* event, const Route* route, const char* bids, const char* asks, const char* end,
                      bint whole) noexcept nogil:
    """Both sides, whose grammar is known to be right; a level of size 0 in a whole book is none."""
    cdef Cursor c
    cdef int64_t* asks_at
    cdef int code
    c.end = end
    c.p = bids
    code = cursor_pairs(&c, route.px_exp, route.sz_exp, event.levels, MAX_LEVELS, &event.n_bids, event.shapes, True)
    if code == OK:
        if whole:
            event.n_bids = _filled(event.levels, event.n_bids)
        asks_at = event.levels + 2 * event.n_bids
        c.p = asks
        code = cursor_pairs(&c, route.px_exp, route.sz_exp, asks_at, MAX_LEVELS - event.n_bids, &event.n_asks,
                            event.shapes, True)
        if whole and code == OK:
            event.n_asks = _filled(asks_at, event.n_asks)
    return code


cdef int _filled(int64_t* pairs, int n) noexcept nogil:
    """Close up over levels without a size; return how many are left."""
    cdef int kept = 0
    cdef int i
    for i in range(n):
        if pairs[2 * i + 1]:
            pairs[2 * kept] = pairs[2 * i]
            pairs[2 * kept + 1] = pairs[2 * i + 1]
            kept += 1
    return kept


cdef int judge_book(Event* event, bint snapshot, bint update, bint has_prev, int limit) noexcept nogil:
    """Tell what a book message is by its action and its numbers."""
    if event.last_seq < 0:
        return RANGE
    if not update:
        # -1 of a snapshot: nothing is before it.
        event.prev_seq = ABSENT
        event.limit = limit
        event.kind = EVENT_SNAPSHOT if snapshot else EVENT_REFRESH
        return OK
    if not has_prev:
        return SHAPE
    if event.prev_seq < 0:
        return RANGE
    event.kind = EVENT_DELTA
    if event.last_seq < event.prev_seq:
        event.kind = EVENT_RESET
    elif event.last_seq == event.prev_seq:
        if event.n_bids or event.n_asks:
            return SHAPE                    # a change that takes no number cannot be placed
        event.kind = EVENT_HEARTBEAT
    return OK


cdef int read_book(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil:
    """One element of a book channel, or of bbo-tbt."""
    cdef Span key
    cdef const char* asks = NULL
    cdef const char* bids = NULL
    cdef const char* after
    cdef bint snapshot = span_is(&envelope.action, b"snapshot", 8)
    cdef bint update = span_is(&envelope.action, b"update", 6)
    cdef bint quote = route.channel == CHANNEL_BBO
    cdef int limit = _limit(&envelope.channel)
    cdef unsigned int seen = 0
    cdef unsigned int bit
    cdef int code, status
    # Only channels that send changes have an action.
    if limit == 0 or (snapshot or update) == (limit <= 5) or quote != (limit == 1):
        return SHAPE
    code = cursor_first_key(c, &key)
    while code == 1:
        bit = 0
        if key.escaped:
            return SHAPE                    # could be a known name in other words
        if span_is(&key, b"asks", 4):
            bit = HAS_ASKS
            asks = c.p
            status = cursor_skip(c)
        elif span_is(&key, b"bids", 4):
            bit = HAS_BIDS
            bids = c.p
            status = cursor_skip(c)
        elif span_is(&key, b"ts", 2):
            bit = HAS_TS
            status = parts_text_ms(c, &event.ts_event)
        elif span_is(&key, b"seqId", 5):
            bit = HAS_SEQ
            status = cursor_int(c, &event.last_seq)
        elif span_is(&key, b"prevSeqId", 9):
            bit = HAS_PREV
            status = cursor_int(c, &event.prev_seq)
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
    if seen & (HAS_ASKS | HAS_BIDS | HAS_TS | HAS_SEQ) != HAS_ASKS | HAS_BIDS | HAS_TS | HAS_SEQ:
        return SHAPE
    after = c.p
    code = _read_levels(event, route, bids, asks, c.end, not update)
    c.p = after
    if code != OK:
        return code
    if quote:
        return finish_quote(event)
    return judge_book(event, snapshot, update, seen & HAS_PREV != 0, limit)


cdef int _limit(const Span* channel) noexcept nogil:
    """How many levels a side a channel shows, 0 if it is none of ours."""
    if span_is(channel, b"books", 5) or span_is(channel, b"books-l2-tbt", 12):
        return 400
    if span_is(channel, b"books50-l2-tbt", 14):
        return 50
    if span_is(channel, b"books5", 6):
        return 5
    return 1 if span_is(channel, b"bbo-tbt", 7) else 0


cdef int finish_quote(Event* event) noexcept nogil:
    """The best level of each side; an illiquid instrument may have none."""
    if event.n_bids > 1 or event.n_asks > 1:
        return SHAPE
    if event.last_seq < 0:
        return RANGE
    event.bid_sz = event.levels[1] if event.n_bids else 0
    event.bid_px = event.levels[0] if event.bid_sz else ABSENT
    event.ask_sz = event.levels[2 * event.n_bids + 1] if event.n_asks else 0
    event.ask_px = event.levels[2 * event.n_bids] if event.ask_sz else ABSENT
    event.prev_seq = ABSENT
    event.kind = EVENT_BBO
    return OK

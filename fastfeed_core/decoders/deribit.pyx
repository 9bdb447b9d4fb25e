"""Deribit: notifications of its JSON-RPC to events.

A notification is `{"jsonrpc":"2.0","method":"subscription","params":{"channel":"<topic>","data":..}}`; the topic names
the route. Its fields come in no promised order; the orders below are those of recorded frames, all numbers are bare:

    book    {"type":"change","timestamp":ms,"prev_change_id":9,"instrument_name":"BTC-PERPETUAL","change_id":12,
             "bids":[["change",px,sz]],"asks":[["delete",px,0.0]]}, or "type":"snapshot" without prev_change_id
    grouped {"timestamp":ms,"instrument_name":..,"change_id":12,"bids":[[px,sz]],"asks":[]}
    quote   {"timestamp":ms,"instrument_name":..,"best_bid_price":px|null,"best_bid_amount":sz,"best_ask_price":..,..}
    trades  [{"trade_seq":7,"trade_id":"ETH-7","timestamp":ms,"price":px,["liquidation":"M"|"T"|"MT",]
             "instrument_name":..,"direction":"buy"|"sell","amount":sz,..}]
    ticker  {"timestamp":ms,"stats":{"volume":..,"volume_usd":..,..},"open_interest":..,"mark_price":..,"last_price":..,
             "instrument_name":..,"index_price":..,"current_funding":..,..}
    chart   {"volume":..,"tick":ms,"open":px,"low":px,"high":px,"cost":..,"close":px}

`change_id` is one counter of many instruments: only `prev_change_id` chains. `timestamp` is when the book changed, not
when it was sent. `direction` is the taker's. Source: docs.deribit.com, "book.(instrument_name).(interval)" and its
neighbours below "Subscriptions" (2026-07).
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_accept,
    cursor_expect,
    cursor_finish,
    cursor_first_key,
    cursor_next_key,
    cursor_skip,
    cursor_space,
    cursor_string,
    span_is,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.decoders.deribit_fields cimport (
    AMOUNT,
    ASK,
    ASK_SZ,
    ASKS,
    BID,
    BID_SZ,
    BIDS,
    CHANGE_ID,
    CLOSE,
    COST,
    DIRECTION,
    FUNDING,
    HIGH,
    INDEX,
    LAST,
    LIQUIDATION,
    LOW,
    MARK,
    OPEN,
    OPEN_INTEREST,
    PREV_CHANGE_ID,
    PRICE,
    STATS,
    TICK,
    TIME,
    TRADE_ID,
    TRADE_SEQ,
    TYPE,
    VOLUME,
    VOLUME_USD,
    Fields,
    find_fields,
    go,
    has,
    take_int,
    take_ms,
    take_name,
    take_number,
    take_price,
    take_quoted,
    take_word,
)
from fastfeed_core.decoders.fields cimport (
    cursor_number,
    cursor_pairs,
    cursor_price,
    deal_id,
    find_quote,
    scan_text,
)
from fastfeed_core.decoders.deribit_scan cimport (
    counts_money,
    finish_quote,
    grouped_depth,
    resolution_s,
    scan_book,
    scan_quote,
)
from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    CHANNEL_BOOK,
    CHANNEL_TICKER,
    CHANNEL_TRADE,
    EVENT_BAR,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_IDLE,
    EVENT_REFRESH,
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
    TICKER_OPEN_INTEREST,
    TICKER_VOLUME,
    Bar,
    Deal,
    Event,
    EventKind,
    event_bar,
    event_deal,
)
from fastfeed_core.routes cimport Route, Routes, routes_find
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE

cdef int _read_level(Cursor* c, const Route* route, int64_t* pair) noexcept nogil:
    """`"new",px,sz]` behind the opening bracket; what is removed has size 0."""
    cdef Span word
    cdef int code = cursor_string(c, &word)
    if code == OK and not (span_is(&word, b"change", 6) or span_is(&word, b"new", 3) or span_is(&word, b"delete", 6)):
        code = SHAPE
    if code == OK:
        code = cursor_expect(c, c",")
    if code == OK:
        code = cursor_price(c, route.px_exp, &pair[0])
    if code == OK:
        code = cursor_expect(c, c",")
    if code == OK:
        code = cursor_price(c, route.sz_exp, &pair[1])
    if code != OK:
        return code
    if word.p[0] == c"d":
        pair[1] = 0
    cursor_space(c)
    return OK if cursor_accept(c, c"]") else SHAPE


cdef inline void take_levels(Fields* f, int side, const Route* route, EventKind kind, int64_t* pairs, int room,
                             int* n) noexcept nogil:
    """One side of a book; a level of size 0 is no level of a snapshot."""
    cdef Cursor* c = f.c
    cdef int64_t[2] pair
    if not go(f, side):
        return
    if kind == EVENT_REFRESH:
        f.code = cursor_pairs(c, route.px_exp, route.sz_exp, pairs, room, n, NULL)
        return
    f.code = cursor_expect(c, c"[") if c.p[0] == c"[" else SHAPE
    if f.code != OK or cursor_accept(c, c"]"):
        return
    while True:
        f.code = cursor_expect(c, c"[") if c.p[0] == c"[" else SHAPE
        if f.code == OK:
            f.code = _read_level(c, route, pair)
        if f.code == OK and (kind != EVENT_SNAPSHOT or pair[1]):
            if n[0] == room:
                f.code = OVERSIZE
                return
            pairs[2 * n[0]] = pair[0]
            pairs[2 * n[0] + 1] = pair[1]
            n[0] += 1
        cursor_space(c)
        if f.code != OK or cursor_accept(c, c"]"):
            return
        f.code = cursor_expect(c, c",")
        if f.code != OK:
            return


cdef int _read_book(Fields* f, const Route* route, Event* event) noexcept nogil:
    cdef Span word
    event.n_bids = 0
    event.n_asks = 0
    event.prev_seq = ABSENT
    event.limit = grouped_depth(route)
    event.kind = EVENT_REFRESH
    # Only the channel of groups leaves the type out, and only a change has a predecessor.
    if event.limit:
        f.code = OK if f.at[TYPE] == NULL else SHAPE
    else:
        take_word(f, TYPE, &word)
        if f.code != OK:
            return f.code
        event.kind = EVENT_DELTA if span_is(&word, b"change", 6) else EVENT_SNAPSHOT
        if event.kind == EVENT_SNAPSHOT and not span_is(&word, b"snapshot", 8):
            return SHAPE
    if has(f, PREV_CHANGE_ID) and event.kind != EVENT_DELTA:
        return SHAPE
    take_name(f, route)
    take_ms(f, TIME, &event.ts_event)
    take_int(f, CHANGE_ID, &event.last_seq)
    if event.kind == EVENT_DELTA:
        take_int(f, PREV_CHANGE_ID, &event.prev_seq)
        if f.code == OK and event.prev_seq >= event.last_seq:
            return RANGE
    take_levels(f, BIDS, route, event.kind, event.levels, MAX_LEVELS, &event.n_bids)
    take_levels(f, ASKS, route, event.kind, event.levels + 2 * event.n_bids, MAX_LEVELS - event.n_bids, &event.n_asks)
    return f.code


cdef int _read_quote(Fields* f, const Route* route, Event* event) noexcept nogil:
    take_name(f, route)
    take_ms(f, TIME, &event.ts_event)
    take_quoted(f, BID, route.px_exp, &event.bid_px)
    take_quoted(f, BID_SZ, route.sz_exp, &event.bid_sz)
    take_quoted(f, ASK, route.px_exp, &event.ask_px)
    take_quoted(f, ASK_SZ, route.sz_exp, &event.ask_sz)
    if f.code != OK:
        return f.code
    if event.bid_px != ABSENT and event.bid_sz == ABSENT or event.ask_px != ABSENT and event.ask_sz == ABSENT:
        return SHAPE                        # a price without a size is no quote
    finish_quote(event)
    return OK


cdef int _read_deal(Cursor* c, const Route* route, Deal* deal) noexcept nogil:
    cdef Fields f
    cdef Span word
    cdef int code = find_fields(&f, c)
    cdef const char* after = c.p
    if code != OK:
        return code
    take_name(&f, route)
    take_ms(&f, TIME, &deal.ts_event)
    take_int(&f, TRADE_SEQ, &deal.sequence)
    take_price(&f, PRICE, route.px_exp, &deal.px)
    take_price(&f, AMOUNT, route.sz_exp, &deal.sz)
    take_word(&f, TRADE_ID, &word)
    if f.code == OK:
        f.code = deal_id(deal, &word)
    take_word(&f, DIRECTION, &word)
    if f.code != OK:
        return f.code
    deal.side = SIDE_BUY if span_is(&word, b"buy", 3) else SIDE_SELL
    if deal.side == SIDE_SELL and not span_is(&word, b"sell", 4):
        return SHAPE
    if has(&f, LIQUIDATION):
        take_word(&f, LIQUIDATION, &word)
        if f.code != OK:
            return f.code
        # "M": the maker's order was forced, "T": the taker's, "MT": both, of which the taker's is told.
        if span_is(&word, b"M", 1):
            deal.liquidated = SIDE_SELL if deal.side == SIDE_BUY else SIDE_BUY
        elif span_is(&word, b"T", 1) or span_is(&word, b"MT", 2):
            deal.liquidated = deal.side
        else:
            return SHAPE
    c.p = after
    return OK


cdef int _read_trades(Cursor* c, const Route* route, Event* event) noexcept nogil:
    """`[{..}, ..]`; its grammar was checked already."""
    cdef Deal* deal
    cdef int code = cursor_expect(c, c"[") if c.p[0] == c"[" else SHAPE
    event.kind = EVENT_IDLE
    if code != OK or cursor_accept(c, c"]"):
        return code
    event.kind = EVENT_TRADE
    while True:
        deal = event_deal(event)
        if deal == NULL:
            return OVERSIZE
        code = _read_deal(c, route, deal)
        if code != OK:
            return code
        cursor_space(c)
        if cursor_accept(c, c"]"):
            return OK
        code = cursor_expect(c, c",")
        if code != OK:
            return code


cdef int _read_ticker(Fields* f, const Route* route, Event* event) noexcept nogil:
    cdef Fields stats
    event.kind = EVENT_TICKER
    take_name(f, route)
    take_ms(f, TIME, &event.ts_event)
    take_number(f, LAST, event, TICKER_LAST)
    take_number(f, MARK, event, TICKER_MARK)
    take_number(f, INDEX, event, TICKER_INDEX)
    take_number(f, OPEN_INTEREST, event, TICKER_OPEN_INTEREST)
    take_number(f, FUNDING, event, TICKER_FUNDING)
    if f.code != OK or not has(f, STATS):
        return f.code
    f.c.p = f.at[STATS]
    f.code = find_fields(&stats, f.c)
    if f.code == OK:
        # In the unit of sizes: `volume` counts coins.
        take_number(&stats, VOLUME_USD if counts_money(route) else VOLUME, event, TICKER_VOLUME)
        f.code = stats.code
    return f.code


cdef int _read_bar(Fields* f, const Route* route, Event* event) noexcept nogil:
    """A candle: it says neither whose it is nor whether it is closed."""
    cdef Bar* bar = event_bar(event)
    event.kind = EVENT_BAR
    bar.interval_s = resolution_s(route)
    take_ms(f, TICK, &bar.start)
    take_price(f, OPEN, route.px_exp, &bar.open)
    take_price(f, HIGH, route.px_exp, &bar.high)
    take_price(f, LOW, route.px_exp, &bar.low)
    take_price(f, CLOSE, route.px_exp, &bar.close)
    # In the unit of sizes: `volume` counts coins, `cost` is what they were worth.
    if go(f, COST if counts_money(route) else VOLUME):
        f.code = cursor_number(f.c, &bar.volume)
    return f.code


cdef int _read_data(Cursor* c, Route* route, Event* event) noexcept nogil:
    cdef Fields f
    cdef int code
    if route.channel == CHANNEL_TRADE:
        return _read_trades(c, route, event)
    code = find_fields(&f, c)
    if code != OK:
        return code
    if route.channel == CHANNEL_BOOK:
        return _read_book(&f, route, event)
    if route.channel == CHANNEL_BBO:
        return _read_quote(&f, route, event)
    if route.channel == CHANNEL_TICKER:
        return _read_ticker(&f, route, event)
    return _read_bar(&f, route, event)


cdef int _read_params(Cursor* c, Routes* routes, Span* channel, const char** data, Event* event) noexcept nogil:
    """Find channel and data, and the route as soon as it is named: what breaks off behind it is that route's."""
    cdef Span key
    cdef int status
    cdef int code = cursor_first_key(c, &key)
    channel.p = NULL
    data[0] = NULL
    while code == 1:
        if key.escaped:
            return SHAPE
        if span_is(&key, b"channel", 7):
            if channel.p != NULL:
                return SHAPE
            status = cursor_string(c, channel)
            if status == OK and not channel.escaped:
                event.route = routes_find(routes, channel.p, channel.size)
        elif span_is(&key, b"data", 4):
            if data[0] != NULL:
                return SHAPE
            data[0] = c.p
            status = cursor_skip(c)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    return code


cdef int _read_frame(Cursor* c, Routes* routes, Event* event) noexcept nogil:
    """Check the grammar of the whole, find what kind of frame it is, then read the payload."""
    cdef Span key, word, channel
    cdef const char* data = NULL
    cdef bint has_method = False
    cdef bint has_params = False
    cdef bint is_notification = False
    cdef Route* route
    cdef int code, status
    channel.p = NULL
    cursor_space(c)
    code = cursor_first_key(c, &key)
    while code == 1:
        if key.escaped:
            return SHAPE
        if span_is(&key, b"method", 6):
            if has_method:
                return SHAPE
            has_method = True
            status = cursor_string(c, &word)
            is_notification = status == OK and span_is(&word, b"subscription", 12)
        elif span_is(&key, b"params", 6):
            if has_params:
                return SHAPE
            has_params = True
            status = _read_params(c, routes, &channel, &data, event) if c.p < c.end and c.p[0] == c"{" \
                else cursor_skip(c)
        else:
            status = cursor_skip(c)
        if status != OK:
            return status
        code = cursor_next_key(c, &key)
    if code != OK:
        return code
    status = cursor_finish(c)
    if status != OK:
        return status
    route = <Route*>event.route
    if not is_notification or channel.p == NULL:
        event.route = NULL
        event.kind = EVENT_CONTROL          # answers and heartbeats
        return OK
    if route != NULL:
        if data == NULL:
            return SHAPE
        c.p = data
        return _read_data(c, route, event)
    event.kind = EVENT_UNROUTED
    # Notices of the states of instruments and of the platform are for the protocol.
    if span_is(&channel, b"platform_state", 14) or \
            channel.size > 17 and memcmp(channel.p, b"instrument.state.", 17) == 0:
        event.kind = EVENT_CONTROL
    return OK


cdef int decode_deribit(const char* p, Py_ssize_t size, Routes* routes, Event* event, bint* fallback) noexcept nogil:
    """Decode one frame; `fallback` tells that a book or quote was not in the venue's own order, though it is valid."""
    cdef const char* start = p
    cdef const char* end = p + size
    cdef const char* topic
    cdef Route* route
    cdef Cursor c
    cdef int status
    event.route = NULL
    fallback[0] = False
    if scan_text(&p, end, b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"', 62):
        topic = p
        p = find_quote(p, end)
        route = routes_find(routes, topic, p - topic)
        if route != NULL and scan_text(&p, end, b'","data":{', 10):
            event.route = route
            if route.channel == CHANNEL_BOOK:
                if scan_book(p, end, route, event):
                    return OK
            elif route.channel == CHANNEL_BBO:
                if scan_quote(p, end, route, event):
                    return OK
    event.route = NULL
    c.p = start
    c.end = end
    status = _read_frame(&c, routes, event)
    event.offset = c.p - start
    route = <Route*>event.route
    fallback[0] = status == OK and route != NULL and (route.channel == CHANNEL_BOOK or route.channel == CHANNEL_BBO)
    return status


cdef class DeribitDecoder(Decoder):
    """Decoder of the notifications of all channels; books come in the stream."""

    def __cinit__(self):
        self.decode = decode_deribit
        self.decode_snapshot = NULL

"""Binance's books, quotes, trades and snapshots by request, whatever the order of their fields."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastfeed_core.cursor cimport Cursor
from fastfeed_core.event cimport (
    ABSENT,
    EVENT_BBO,
    EVENT_IDLE,
    EVENT_TRADE,
    ID_INTEGER,
    SIDE_BUY,
    SIDE_SELL,
    Deal,
    Event,
)
from fastfeed_core.routes cimport Route

#: the payload at the cursor, whose grammar was checked
cdef int read_binance_depth(Cursor* c, const Route* route, Event* event) noexcept nogil
cdef int read_binance_quote_or_trade(Cursor* c, const Route* route, Event* event) noexcept nogil
#: the REST reply
cdef int decode_binance_snapshot(const char* p, Py_ssize_t size, int px_exp, int sz_exp, Event* event) noexcept nogil


cdef inline void finish_bbo(Event* event) noexcept nogil:
    """The venue writes an empty side as zeros."""
    if event.bid_sz == 0:
        event.bid_px = ABSENT
    if event.ask_sz == 0:
        event.ask_px = ABSENT
    event.prev_seq = ABSENT
    event.kind = EVENT_BBO


cdef inline void finish_trade(Event* event, int64_t trade_id, bint maker_bought, bint of_market) noexcept nogil:
    cdef Deal* deal = event.deals
    if not of_market:
        event.kind = EVENT_IDLE
        return
    event.n_deals = 1
    deal.route = NULL
    deal.ts_event = ABSENT
    deal.sequence = ABSENT
    deal.liquidated = 0
    memset(deal.trade_id, 0, 16)
    memcpy(deal.trade_id, &trade_id, 8)
    deal.id_kind = ID_INTEGER
    deal.side = SIDE_SELL if maker_bought else SIDE_BUY
    event.prev_seq = ABSENT
    event.last_seq = ABSENT
    event.kind = EVENT_TRADE

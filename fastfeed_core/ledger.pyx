"""Changing one book and telling readers of it: levels, state, quotes from the top, and the deltas held for a snapshot.

What may be applied is `keeper`'s to judge.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t

from fastfeed_core.book cimport (
    book_clear,
    book_settle,
    side_apply,
    side_best,
    side_limit,
    side_prime,
    side_window,
)
from fastfeed_core.event cimport ABSENT
from fastfeed_core.pool cimport Held, pool_hold, pool_release
from fastfeed_core.publish cimport publish_bbo, publish_levels, publish_status, publisher_touch
from fastfeed_core.records cimport (
    FLAG_CROSSED,
    FLAG_DERIVED,
    FLAG_LOCKED,
    KIND_DELTA,
    KIND_SNAPSHOT,
    REASON_CROSSED,
    REASON_SNAPSHOT,
    SCOPE_INSTRUMENT,
    STATE_LIVE,
    STATE_SYNCING,
)
from fastfeed_core.state cimport ATTENTION_HELD_LOST, ATTENTION_WANTS_BOOK, market_call

cdef enum:
    #: a book is not asked for anew more often for being crossed: some are crossed for long, and rightly
    CROSSED_S = 60


cdef void ledger_release(MarketState* m) noexcept nogil:
    cdef Held* held = m.first_held
    cdef Held* following
    m.first_held = NULL
    m.last_held = NULL
    while held != NULL:
        following = held.next
        pool_release(&m.hub.pool, held)
        held = following


cdef void ledger_hold(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil:
    cdef Held* held = pool_hold(&m.hub.pool, event, source, ts_recv)
    if held == NULL:
        # What was held is useless with a hole in it; the chain shows the hole when the snapshot comes.
        m.pub.row.held_lost += 1
        ledger_release(m)
        m.verifying = False
        market_call(m, ATTENTION_HELD_LOST)
        return
    m.pub.row.held += 1
    if m.first_held == NULL:
        m.first_held = held
    else:
        m.last_held.next = held
    m.last_held = held


cdef void ledger_drop(MarketState* m, Reason reason, uint16_t connection, int64_t expected, int64_t received,
                      int64_t ts_recv) noexcept nogil:
    """The book is lost: nothing of it survives, and readers are told why."""
    cdef bint was_live = m.state == STATE_LIVE
    cdef Source* source = m.sources
    ledger_release(m)
    m.holding = False
    m.verifying = False
    m.asked = False
    while source != NULL:
        source.chain.in_step = False
        source.chain.epoch = m.epoch
        source.chain.ahead = 0
        source.chain.behind = 0
        source.chain.last = ABSENT
        source.chain.reached = ABSENT
        source.chain.fallen = ABSENT
        source = source.next
    book_clear(&m.book)
    m.state = STATE_SYNCING
    m.sequence = ABSENT
    m.pub.state = STATE_SYNCING
    m.pub.flags = 0
    m.pub.sequence = ABSENT
    m.pub.book_version += 1
    if m.derives_bbo:
        m.bbo[1] = -1                       # no top is like it: the next one is published
    publisher_touch(m.hub.bus, &m.pub)
    if was_live:
        publish_status(m.hub.bus, m.pub.instrument, connection, SCOPE_INSTRUMENT, STATE_SYNCING, reason, expected,
                       received, 0, ts_recv)


cdef void ledger_fill(Book* book, const Event* event, int limit) noexcept nogil:
    side_apply(&book.bids, event.levels, event.n_bids)
    side_apply(&book.asks, event.levels + 2 * event.n_bids, event.n_asks)
    book_settle(book)
    if 0 < limit <= event.n_bids:
        side_limit(&book.bids, event.levels[2 * event.n_bids - 2])
    if 0 < limit <= event.n_asks:
        side_limit(&book.asks, event.levels[2 * (event.n_bids + event.n_asks) - 2])


cdef inline void _set_levels(MarketState* m, const Event* event, int limit) noexcept nogil:
    ledger_fill(&m.book, event, limit)
    if m.shown:
        side_window(&m.book.bids, m.shown)
        side_window(&m.book.asks, m.shown)


cdef void _derive_bbo(MarketState* m, uint16_t connection, Event* event, int64_t ts_recv,
                      int64_t ts_publish) noexcept nogil:
    """Publish the book's top if it is another one."""
    cdef int64_t[4] top
    cdef int i
    top[0] = ABSENT
    top[1] = 0
    top[2] = ABSENT
    top[3] = 0
    side_best(&m.book.bids, &top[0], &top[1])
    side_best(&m.book.asks, &top[2], &top[3])
    if top[0] == m.bbo[0] and top[1] == m.bbo[1] and top[2] == m.bbo[2] and top[3] == m.bbo[3]:
        return
    for i in range(4):
        m.bbo[i] = top[i]
    event.bid_px = top[0]
    event.bid_sz = top[1]
    event.ask_px = top[2]
    event.ask_sz = top[3]
    publish_bbo(m.hub.bus, &m.pub, connection, event, ts_recv, ts_publish, FLAG_DERIVED | <uint8_t>m.pub.flags)


cdef inline void _look_for_cross(MarketState* m) noexcept nogil:
    """See whether the two sides overlap: what is published from here on says so."""
    cdef int64_t bid = 0
    cdef int64_t ask = 0
    cdef int64_t sz = 0
    m.pub.flags = 0
    if side_best(&m.book.bids, &bid, &sz) and side_best(&m.book.asks, &ask, &sz) and bid >= ask:
        m.pub.flags = FLAG_LOCKED if bid == ask else FLAG_CROSSED
        m.pub.row.locked += bid == ask
        m.pub.row.crossed += bid > ask


cdef void _heed_cross(MarketState* m, uint16_t connection, bint was_crossed, int64_t ts_recv) noexcept nogil:
    """Readers are told when it begins; if so wanted the book is asked for anew, once a minute at most."""
    if was_crossed or not m.pub.flags & FLAG_CROSSED:
        return
    if m.resyncs_crossed and ts_recv - m.crossed_at > <int64_t>CROSSED_S * 1000000000:
        m.crossed_at = ts_recv
        ledger_drop(m, REASON_CROSSED, connection, ABSENT, ABSENT, ts_recv)
        m.asked = True
        market_call(m, ATTENTION_WANTS_BOOK)
        return
    publish_status(m.hub.bus, m.pub.instrument, connection, SCOPE_INSTRUMENT, STATE_LIVE, REASON_CROSSED, ABSENT,
                   ABSENT, 0, ts_recv)


cdef inline void _applied(MarketState* m, uint16_t connection, Event* event, uint8_t kind, int64_t ts_recv,
                          int64_t ts_publish) noexcept nogil:
    _look_for_cross(m)
    publish_levels(m.hub.bus, &m.pub, connection, event, kind, ts_recv, ts_publish)
    if m.derives_bbo:
        _derive_bbo(m, connection, event, ts_recv, ts_publish)


cdef void ledger_apply(MarketState* m, Source* source, Event* event, int64_t ts_recv,
                       int64_t ts_publish) noexcept nogil:
    """The book goes on by one message."""
    cdef Source* other = m.sources
    cdef bint was_crossed = m.pub.flags & FLAG_CROSSED
    if m.verifying:
        ledger_hold(m, source, event, ts_recv)
    _set_levels(m, event, 0)
    m.sequence = event.last_seq
    # The book moves: what a source ahead of it waits for may still come.
    while other != NULL:
        other.chain.ahead = 0
        other = other.next
    m.pub.row.deltas += 1
    _applied(m, source.connection, event, KIND_DELTA, ts_recv, ts_publish)
    _heed_cross(m, source.connection, was_crossed, ts_recv)


cdef void ledger_replace(MarketState* m, uint16_t connection, Event* event, int limit, Reason reason, int64_t ts_recv,
                         int64_t ts_publish) noexcept nogil:
    """Make the book what the message says; readers hear of it, and of the change of state if it is one."""
    cdef bint was_live = m.state == STATE_LIVE
    cdef bint was_crossed = m.pub.flags & FLAG_CROSSED
    book_clear(&m.book)
    if event.n_bids:
        side_prime(&m.book.bids, event.levels[0])
    if event.n_asks:
        side_prime(&m.book.asks, event.levels[2 * event.n_bids])
    m.shown = event.limit
    _set_levels(m, event, limit)
    m.sequence = event.last_seq
    m.state = STATE_LIVE
    m.pub.state = STATE_LIVE
    m.asked = False
    m.pub.row.snapshots += 1
    _applied(m, connection, event, KIND_SNAPSHOT, ts_recv, ts_publish)
    if not was_live or reason != REASON_SNAPSHOT:
        m.pub.row.resyncs += not was_live
        publish_status(m.hub.bus, m.pub.instrument, connection, SCOPE_INSTRUMENT, STATE_LIVE, reason, ABSENT, ABSENT,
                       0, ts_recv)
    _heed_cross(m, connection, was_crossed, ts_recv)

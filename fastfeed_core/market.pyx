"""What an instrument owns in the feed: sync > book > publication, fed by one or more sources."""

cimport cython
from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from fastfeed_core.book cimport (
    Walk,
    book_clear,
    book_free,
    book_init,
    book_settle,
    side_apply,
    side_complete_px,
    side_limit,
    side_prime,
    walk_begin,
    walk_next,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport ABSENT, EVENT_SNAPSHOT, ID_INTEGER, MAX_LEVELS
from fastfeed_core.pool cimport pool_close, pool_hold, pool_init, pool_load, pool_release
from fastfeed_core.publish cimport (
    publish_bbo,
    publish_levels,
    publish_status,
    publish_trade,
    publisher_flush,
    publisher_forget,
    publisher_now,
    publisher_touch,
)
from fastfeed_core.records cimport (
    KIND_DELTA,
    KIND_SNAPSHOT,
    REASON_DISCONNECTED,
    REASON_GAP,
    REASON_MALFORMED,
    REASON_SNAPSHOT,
    SCOPE_INSTRUMENT,
    STATE_LIVE,
    STATE_SYNCING,
)
from fastfeed_core.status cimport OK
from fastfeed_core.sync cimport SYNC_APPLY, SYNC_OLD, SYNC_WAIT, Verdict, sync_judge

from fastfeed_core.status import describe


# ---- the hot path

cdef void _call(MarketState* m, unsigned int why) noexcept nogil:
    """Put the market on the list that the protocol reads; it stays on it once, however often it is called for."""
    m.attention |= why
    if not m.in_attention:
        m.in_attention = True
        m.next_attention = m.hub.attention
        m.hub.attention = m


cdef void _release_held(MarketState* m) noexcept nogil:
    cdef Held* held = m.first_held
    cdef Held* following
    m.first_held = NULL
    m.last_held = NULL
    while held != NULL:
        following = held.next
        pool_release(&m.hub.pool, held)
        held = following


cdef void _hold(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil:
    cdef Held* held = pool_hold(&m.hub.pool, event, source, ts_recv)
    if held == NULL:
        # What was held is useless with a hole in it; the chain shows the hole when the snapshot comes.
        m.pub.row.held_lost += 1
        _release_held(m)
        _call(m, ATTENTION_HELD_LOST)
        return
    m.pub.row.held += 1
    if m.first_held == NULL:
        m.first_held = held
    else:
        m.last_held.next = held
    m.last_held = held


cdef void _drop_book(MarketState* m, Reason reason, uint16_t connection, int64_t expected, int64_t received,
                     int64_t ts_recv) noexcept nogil:
    """The book is lost: nothing of it survives, and readers are told why."""
    cdef bint was_live = m.state == STATE_LIVE
    _release_held(m)
    m.holding = False
    m.asked = False
    book_clear(&m.book)
    m.state = STATE_SYNCING
    m.sequence = ABSENT
    m.pub.state = STATE_SYNCING
    m.pub.sequence = ABSENT
    m.pub.book_version += 1
    publisher_touch(m.hub.bus, &m.pub)
    if was_live:
        publish_status(m.hub.bus, m.pub.instrument, connection, SCOPE_INSTRUMENT, STATE_SYNCING, reason, expected,
                       received, ts_recv)


cdef inline bint _others_in_step(const MarketState* m, const Source* source) noexcept nogil:
    cdef const Source* other = m.sources
    while other != NULL:
        if other != source and other.chain.in_step:
            return True
        other = other.next
    return False


cdef inline void _set_levels(MarketState* m, const Event* event) noexcept nogil:
    side_apply(&m.book.bids, event.levels, event.n_bids)
    side_apply(&m.book.asks, event.levels + 2 * event.n_bids, event.n_asks)
    book_settle(&m.book)


cdef void _delta(MarketState* m, Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """One delta to a live book."""
    cdef Verdict verdict
    cdef Source* other
    cdef bint was_in_step = source.chain.in_step
    verdict = sync_judge(m.sequence, event.prev_seq, event.last_seq, &source.chain,
                         m.sources.next != NULL and _others_in_step(m, source))
    if verdict == SYNC_APPLY:
        _set_levels(m, event)
        m.sequence = event.last_seq
        # The book moves: what a source ahead of it waits for may still come.
        other = m.sources
        while other != NULL:
            other.chain.ahead = 0
            other = other.next
        m.pub.row.deltas += 1
        publish_levels(m.hub.bus, &m.pub, source.connection, event, KIND_DELTA, ts_recv, ts_publish)
    elif verdict == SYNC_OLD:
        m.pub.row.old += 1
    elif verdict == SYNC_WAIT:
        m.pub.row.source_gaps += was_in_step
    else:
        m.pub.row.gaps += 1
        m.gap_expected = m.sequence
        m.gap_received = event.prev_seq
        _drop_book(m, REASON_GAP, source.connection, m.gap_expected, m.gap_received, ts_recv)
        m.asked = True
        _call(m, ATTENTION_WANTS_SNAPSHOT | ATTENTION_GAP)


cdef bint _snapshot(MarketState* m, uint16_t connection, Event* event, int limit, int64_t ts_recv) noexcept nogil:
    """Replace the book, then bring it up to date with what was held; False if the snapshot is too old for that."""
    cdef Held* held = m.first_held
    cdef Held* following
    cdef Source* source
    cdef bint connects = True
    cdef int64_t ts_publish
    while held != NULL:
        if held.last_seq > event.last_seq:
            connects = False
            if held.prev_seq <= event.last_seq:
                connects = True
                break
        held = held.next
    if not connects:
        return False
    book_clear(&m.book)
    if event.n_bids:
        side_prime(&m.book.bids, event.levels[0])
    if event.n_asks:
        side_prime(&m.book.asks, event.levels[2 * event.n_bids])
    _set_levels(m, event)
    if 0 < limit <= event.n_bids:
        side_limit(&m.book.bids, event.levels[2 * event.n_bids - 2])
    if 0 < limit <= event.n_asks:
        side_limit(&m.book.asks, event.levels[2 * (event.n_bids + event.n_asks) - 2])
    m.sequence = event.last_seq
    m.state = STATE_LIVE
    m.pub.state = STATE_LIVE
    m.pub.row.snapshots += 1
    m.pub.row.resyncs += 1
    source = m.sources
    while source != NULL:
        source.chain.in_step = True
        source.chain.ahead = 0
        source = source.next
    ts_publish = publisher_now(m.hub.bus, ts_recv)
    publish_levels(m.hub.bus, &m.pub, connection, event, KIND_SNAPSHOT, ts_recv, ts_publish)
    publish_status(m.hub.bus, m.pub.instrument, connection, SCOPE_INSTRUMENT, STATE_LIVE, REASON_SNAPSHOT, ABSENT,
                   ABSENT, ts_recv)
    held = m.first_held
    m.first_held = NULL
    m.last_held = NULL
    m.holding = False
    while held != NULL:
        # A gap among the held ones drops the book again; what is behind it goes with it.
        if m.state == STATE_LIVE:
            pool_load(held, event)
            _delta(m, <Source*>held.source, event, held.ts_recv, publisher_now(m.hub.bus, held.ts_recv))
        following = held.next
        pool_release(&m.hub.pool, held)
        held = following
    return True


cdef void market_levels(Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef MarketState* m = source.market
    if event.kind == EVENT_SNAPSHOT:
        _release_held(m)
        _snapshot(m, source.connection, event, 0, ts_recv)
    elif m.state == STATE_LIVE:
        _delta(m, source, event, ts_recv, ts_publish)
    elif m.holding:
        _hold(m, source, event, ts_recv)
    elif not m.asked:
        m.asked = True
        _call(m, ATTENTION_WANTS_SNAPSHOT)


cdef void market_bbo(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """First arrival wins: a second source's copy, or an older quote, is dropped by its sequence."""
    cdef MarketState* m = source.market
    if event.last_seq != ABSENT:
        if event.last_seq <= m.bbo_sequence:
            return
        m.bbo_sequence = event.last_seq
    publish_bbo(m.hub.bus, &m.pub, source.connection, event, ts_recv, ts_publish, 0)


cdef void market_trade(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """First arrival wins: a second source's copy is dropped by its id."""
    cdef MarketState* m = source.market
    cdef uint64_t[2] words
    cdef uint64_t slot
    memcpy(words, event.trade_id, 16)
    slot = (words[0] if event.id_kind == ID_INTEGER else words[0] ^ words[1]) & (RECENT_TRADES - 1)
    # An id of zero bytes is as good as any other: the slot remembers id + 1.
    if m.recent_trades[2 * slot] == words[0] + 1 and m.recent_trades[2 * slot + 1] == words[1]:
        return
    m.recent_trades[2 * slot] = words[0] + 1
    m.recent_trades[2 * slot + 1] = words[1]
    publish_trade(m.hub.bus, &m.pub, source.connection, event, ts_recv, ts_publish)


cdef void market_refuse(Source* source, int64_t ts_recv) noexcept nogil:
    """A message of the book's channel could not be read: it could have been a delta."""
    cdef MarketState* m = source.market
    m.pub.row.refused += 1
    if m.state == STATE_LIVE:
        source.chain.in_step = False
        if _others_in_step(m, source):
            m.pub.row.source_gaps += 1
            return
        _drop_book(m, REASON_MALFORMED, source.connection, m.sequence, ABSENT, ts_recv)
        m.asked = True
        _call(m, ATTENTION_WANTS_SNAPSHOT | ATTENTION_REFUSED)
    elif m.holding:
        # A hole among the held ones: the chain shows it, or this message was none.
        _call(m, ATTENTION_REFUSED)


# ---- the cold side

cdef class Hub:
    """What all markets of a process share: the bus, the pool of held deltas, the list of markets to look at.

    Parameters
    ----------
    bus : where everything is published
    held_bytes : room for deltas held while snapshots are on their way
    """

    def __cinit__(self, BusWriter bus not None, int64_t held_bytes=16 << 20):
        self.bus = bus
        self._taken = set()
        self.state.bus = &bus.publisher
        self.state.attention = NULL
        pool_init(&self.state.pool, held_bytes)
        self.event.levels = <int64_t*>malloc(2 * MAX_LEVELS * sizeof(int64_t))
        if self.event.levels == NULL:
            raise MemoryError

    def __dealloc__(self):
        pool_close(&self.state.pool)
        free(self.event.levels)

    def flush(self):
        """Publish the tail and the cells of what changed, wake readers."""
        publisher_flush(&self.bus.publisher)

    def attention(self):
        """Return [(market, flags, expected, received)] of the markets that called for it, and forget the calls."""
        cdef MarketState* m
        cdef list out = []
        while self.state.attention != NULL:
            m = self.state.attention
            self.state.attention = m.next_attention
            m.in_attention = False
            out.append((<Market>m.owner, m.attention, m.gap_expected, m.gap_received))
            m.attention = 0
        out.reverse()
        return out

    def call(self, Market market not None, unsigned int flags):
        """Call for attention again: whoever looked was not the one to do something about it."""
        _call(market.state, flags)

    @property
    def wants_attention(self):
        """True if `attention` would return anything."""
        return self.state.attention != NULL


@cython.no_gc_clear                         # `hub` is needed until the very end
cdef class Market:
    """An instrument in the feed.

    Parameters
    ----------
    hub : shared state
    instrument : row of the instrument table, which must exist
    px_exp, sz_exp : exponents of its mantissas
    tick : tick size in price mantissas; 0: no window of ticks
    book : whether a book is kept and published
    """

    def __cinit__(self, Hub hub not None, int instrument, int px_exp, int sz_exp, int64_t tick=0, bint book=True):
        cdef MarketState* m
        self.hub = hub
        self.instrument = instrument
        self.px_exp = px_exp
        self.sz_exp = sz_exp
        if instrument in hub._taken:
            raise ValueError(f"instrument {instrument} has a market already")
        self.state = <MarketState*>calloc(1, sizeof(MarketState))
        if self.state == NULL:
            raise MemoryError
        m = self.state
        m.hub = &hub.state
        m.state = STATE_SYNCING
        m.sequence = ABSENT
        m.bbo_sequence = ABSENT
        m.gap_expected = ABSENT
        m.gap_received = ABSENT
        m.has_book = book
        if book:
            book_init(&m.book, tick, hub.bus.publisher.images_depth)
        hub.bus.publish(&m.pub, instrument, &m.book if book else NULL)
        m.owner = <void*>self
        hub._taken.add(instrument)

    def __dealloc__(self):
        cdef Source* source
        cdef MarketState** link
        if self.state == NULL:
            return
        # The bus and the list of calls link to the state.
        publisher_forget(self.hub.state.bus, &self.state.pub)
        link = &self.hub.state.attention
        while link[0] != NULL:
            if link[0] == self.state:
                link[0] = self.state.next_attention
                break
            link = &link[0].next_attention
        while self.state.sources != NULL:
            source = self.state.sources
            self.state.sources = source.next
            free(source)
        _release_held(self.state)
        book_free(&self.state.book)
        free(self.state)

    cdef Source* attach(self, int connection, bint book) except NULL:
        """A new source; of the book channel it takes part in keeping the book."""
        cdef Source* source = <Source*>calloc(1, sizeof(Source))
        if source == NULL:
            raise MemoryError
        source.market = self.state
        self.state.attached += 1
        source.connection = <uint16_t>connection
        if book:
            source.next = self.state.sources
            self.state.sources = source
        return source

    cdef void detach(self, Source* source, bint book, int64_t ts) noexcept:
        """The connection is gone, and what it brought with it; without a source in step the book goes too."""
        cdef MarketState* m = self.state
        cdef Source** link = &m.sources
        cdef Held** held_link = &m.first_held
        cdef Held* held
        cdef bint in_step = False
        if book:
            while link[0] != source:
                link = &link[0].next
            link[0] = source.next
            m.last_held = NULL
            while held_link[0] != NULL:
                held = held_link[0]
                if held.source == source:
                    held_link[0] = held.next
                    pool_release(&m.hub.pool, held)
                else:
                    m.last_held = held
                    held_link = &held.next
            in_step = _others_in_step(m, NULL)
            if not in_step:
                _drop_book(m, REASON_DISCONNECTED, source.connection, ABSENT, ABSENT, ts)
        free(source)
        m.attached -= 1
        if m.attached == 0:
            # Nothing says that the venue's numbers go on where they were.
            m.bbo_sequence = ABSENT

    def expect_snapshot(self):
        """A request for a snapshot goes out now: hold what comes until it is here."""
        self.state.holding = True

    def abandon_snapshot(self):
        """No snapshot will come: forget what was held."""
        _release_held(self.state)
        self.state.holding = False
        self.state.asked = False

    def apply_snapshot(self, Decoder decoder not None, bytes body not None, int limit, int64_t ts_recv):
        """Replace the book by the one in a reply.

        Parameters
        ----------
        decoder : the venue's
        body : the reply
        limit : levels a side that were asked for: a side with as many is complete only down to its last; 0: all
        ts_recv : ns since the epoch

        Returns
        -------
        True if the book is live now, False if the snapshot is older than what was held, or a gap was found behind it.

        Raises
        ------
        ValueError : the reply cannot be read; (text, status, offset)
        """
        cdef Event* event = &self.hub.event
        cdef int code
        if decoder.decode_snapshot == NULL:
            raise TypeError("this venue has no snapshots by request")
        code = decoder.decode_snapshot(body, len(body), self.px_exp, self.sz_exp, event)
        if code != OK:
            raise ValueError(describe(code), code, event.offset)
        if self.state.state == STATE_LIVE:
            return True                     # came back by another way in the meantime
        if not _snapshot(self.state, 0xFFFF, event, limit, ts_recv):
            return False
        return self.state.state == STATE_LIVE

    @property
    def live(self):
        """True while the book is in step with the venue."""
        return self.state.state == STATE_LIVE

    @property
    def holding(self):
        """True while deltas are held for a snapshot to come."""
        return self.state.holding

    @property
    def sequence(self):
        """The venue's last sequence that the book has; None without a book."""
        return None if self.state.sequence == ABSENT else self.state.sequence

    @property
    def source_count(self):
        """Connections that feed the book."""
        cdef int n = 0
        cdef Source* source = self.state.sources
        while source != NULL:
            n += 1
            source = source.next
        return n

    def levels(self, int limit=1 << 30):
        """Return (bids, asks) of the working book as lists of (px, sz), best first."""
        cdef Walk walk
        cdef int64_t key = 0
        cdef int64_t sz = 0
        cdef list bids = []
        cdef list asks = []
        walk_begin(&walk, &self.state.book.bids)
        while len(bids) < limit and walk_next(&walk, &key, &sz):
            bids.append((key, sz))
        walk_begin(&walk, &self.state.book.asks)
        while len(asks) < limit and walk_next(&walk, &key, &sz):
            asks.append((-key, sz))
        return bids, asks

    @property
    def complete_to(self):
        """Worst (bid, ask) price mantissas down to which every level is known; None: the whole side."""
        cdef int64_t bid = side_complete_px(&self.state.book.bids)
        cdef int64_t ask = side_complete_px(&self.state.book.asks)
        return None if bid == ABSENT else bid, None if ask == ABSENT else ask

"""What an instrument owns in the feed: a book, a tape, the sources that bring them, and what Python sees of it."""

cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from fastfeed_core.book cimport (
    Book,
    Side,
    Walk,
    book_clear,
    book_free,
    book_init,
    side_complete_px,
    walk_begin,
    walk_next,
)
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport ABSENT, CHANNEL_BOOK, Channel, Event, event_begin, event_free, event_init
from fastfeed_core.keeper cimport keep_forget_source, keep_reply
from fastfeed_core.ledger cimport ledger_drop, ledger_fill, ledger_release
from fastfeed_core.pool cimport Held, pool_close, pool_init, pool_load
from fastfeed_core.publish cimport publish_status, publisher_flush, publisher_forget
from fastfeed_core.records cimport (
    REASON_NO_DATA,
    REASON_REPAIRED,
    REASON_SNAPSHOT,
    SCOPE_INSTRUMENT,
    STATE_LIVE,
    STATE_SYNCING,
    Reason,
)
from fastfeed_core.state cimport (
    ATTENTION_GAP,
    ATTENTION_HELD_LOST,
    ATTENTION_REFUSED,
    ATTENTION_WANTS_BOOK,
    MarketState,
    Source,
    market_call,
)
from fastfeed_core.status cimport OK
from fastfeed_core.tape cimport tape_attach, tape_detach, tape_forget

from enum import IntFlag

from fastfeed_core.status import describe


class Attention(IntFlag):
    """Why a market called for attention."""

    WANTS_BOOK = ATTENTION_WANTS_BOOK       # there is something to begin a book with, or it is lost
    GAP = ATTENTION_GAP
    HELD_LOST = ATTENTION_HELD_LOST         # no room to hold deltas for a snapshot to come
    REFUSED = ATTENTION_REFUSED             # a message of the book's channel could not be read


cdef bint _same(const Side* one, const Side* other) noexcept:
    """Whether two sides have the same levels as far as both are known."""
    cdef int64_t worst = max(one.complete, other.complete)
    cdef Walk walk, other_walk
    cdef int64_t key, sz, other_key, other_sz
    cdef bint more, other_more
    walk_begin(&walk, one)
    walk_begin(&other_walk, other)
    while True:
        key = sz = other_key = other_sz = 0
        more = walk_next(&walk, &key, &sz) and key >= worst
        other_more = walk_next(&other_walk, &other_key, &other_sz) and other_key >= worst
        if not more and not other_more:
            return True
        if more != other_more or key != other_key or sz != other_sz:
            return False


@cython.no_gc_clear                         # markets leave the bus until the very end
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
        event_init(&self.event)

    def __dealloc__(self):
        pool_close(&self.state.pool)
        event_free(&self.event)
        if self._has_shadow:
            book_free(&self.shadow)

    cdef Book* shadow_book(self) except NULL:
        if not self._has_shadow:
            book_init(&self.shadow, 0, self.state.bus.images_depth)
            self._has_shadow = True
        book_clear(&self.shadow)
        return &self.shadow

    def flush(self):
        """Publish the tail and the cells of what changed, wake readers."""
        publisher_flush(&self.bus.publisher)

    def attention(self):
        """Return [(market, flags, expected, received)] of the markets that called for it, and forget the calls.

        `flags` are bits of `Attention`; the sequences are those of the last gap.
        """
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
        market_call(market.state, flags)


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
    derive_bbo : publish the book's top as bbo, for a venue without a channel for it
    """

    def __cinit__(self, Hub hub not None, int instrument, int px_exp, int sz_exp, int64_t tick=0, bint book=True,
                  bint derive_bbo=False):
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
        m.verify_from = ABSENT
        m.derives_bbo = derive_bbo
        m.trade_sequence = ABSENT
        tape_forget(m)
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
        while self.state.quoters != NULL:
            source = self.state.quoters
            self.state.quoters = source.next
            free(source)
        ledger_release(self.state)
        book_free(&self.state.book)
        free(self.state)

    cdef Source* attach(self, int connection, Channel channel) except NULL:
        """A new source; of the book channel it takes part in keeping the book."""
        cdef Source* source = <Source*>calloc(1, sizeof(Source))
        if source == NULL:
            raise MemoryError
        source.market = self.state
        source.chain.last = ABSENT
        source.chain.reached = ABSENT
        source.chain.fallen = ABSENT
        self.state.attached += 1
        source.connection = <uint16_t>connection
        source.row = self.hub.bus.connection_row(connection)
        if channel == CHANNEL_BOOK:
            source.chain.epoch = self.state.epoch
            source.next = self.state.sources
            self.state.sources = source
        else:
            tape_attach(self.state, source, channel)
        return source

    cdef void detach(self, Source* source, Channel channel, int64_t ts) noexcept:
        """The connection is gone, and what it brought with it."""
        cdef MarketState* m = self.state
        if channel == CHANNEL_BOOK:
            keep_forget_source(m, source, ts)
        else:
            tape_detach(m, source, channel)
        free(source)
        m.attached -= 1
        if m.attached == 0:
            tape_forget(m)

    def begin_book(self, int64_t tick, bint chained):
        """Keep and publish a book from now on, also in a market that was made without one.

        Parameters
        ----------
        tick : tick size in price mantissas; 0: no window of ticks
        chained : whether a lost delta is seen at the next one

        Raises
        ------
        OSError : no room (ENOSPC); the market is as before
        """
        cdef MarketState* m = self.state
        m.pub.row.chained = chained
        if m.has_book:
            return
        publisher_forget(self.hub.state.bus, &m.pub)    # it is prepared anew
        try:
            book_init(&m.book, tick, self.hub.bus.publisher.images_depth)
            self.hub.bus.publish(&m.pub, self.instrument, &m.book)
        except BaseException:
            self.hub.bus.publish(&m.pub, self.instrument, NULL)
            book_free(&m.book)
            raise
        m.has_book = True

    def expect_snapshot(self):
        """A request for a snapshot goes out now: hold what comes until it is here."""
        self.state.holding = True

    def abandon_snapshot(self):
        """No snapshot will come: forget what was held."""
        ledger_release(self.state)
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
        self._decode(decoder, body)
        if self.state.state == STATE_LIVE:
            return True                     # came back by another way in the meantime
        if not keep_reply(self.state, &self.hub.event, limit, REASON_SNAPSHOT, ts_recv):
            return False
        return self.state.state == STATE_LIVE

    cdef int _decode(self, Decoder decoder, bytes body) except -1:
        """Read a reply into the hub's event."""
        cdef Event* event = &self.hub.event
        cdef int code
        if decoder.decode_snapshot == NULL:
            raise TypeError("this venue has no snapshots by request")
        event_begin(event)
        code = decoder.decode_snapshot(body, len(body), self.px_exp, self.sz_exp, event)
        if code != OK:
            raise ValueError(describe(code), code, event.offset)
        return 0

    def begin_verifying(self):
        """Hold copies of what comes from now on, for a snapshot that `verify` will get; False if not live."""
        if self.state.state != STATE_LIVE:
            return False
        ledger_release(self.state)
        self.state.verifying = True
        self.state.verify_from = self.state.sequence
        return True

    def end_verifying(self):
        """No snapshot will come: forget what was held."""
        if self.state.verifying:
            self.state.verifying = False
            ledger_release(self.state)

    def verify(self, Decoder decoder not None, bytes body not None, int limit, int64_t ts_recv, bint final=False):
        """Compare the live book with a snapshot and what was held since, and replace it if they differ.

        Parameters
        ----------
        decoder, body, limit, ts_recv : as of `apply_snapshot`
        final : compare even if the snapshot is ahead of the book: nothing more is on its way

        Returns
        -------
        "same", "repaired", "old" (from before `begin_verifying`: another one is needed), "ahead" (the stream has not
        come so far yet: try again a little later), or "gone" (the book is not live or what was held found no room)

        Raises
        ------
        ValueError : the reply cannot be read; (text, status, offset)
        """
        cdef MarketState* m = self.state
        cdef Event* event = &self.hub.event
        cdef Book* shadow
        cdef Held* held
        cdef int64_t sequence
        if m.state != STATE_LIVE or not m.verifying:
            return "gone"
        self._decode(decoder, body)
        sequence = event.last_seq
        if sequence < m.verify_from:
            return "old"
        if sequence > m.sequence and not final:
            return "ahead"
        shadow = self.hub.shadow_book()
        ledger_fill(shadow, event, limit)
        held = m.first_held
        while held != NULL:
            if held.last_seq > sequence:
                pool_load(held, event)
                ledger_fill(shadow, event, 0)
            held = held.next
        if _same(&m.book.bids, &shadow.bids) and _same(&m.book.asks, &shadow.asks):
            self.end_verifying()
            return "same"
        self._decode(decoder, body)
        m.pub.row.repairs += 1
        return "repaired" if keep_reply(m, event, limit, REASON_REPAIRED, ts_recv) else "gone"

    def compare(self, Decoder decoder not None, bytes body not None, int limit):
        """Return whether the book in a reply is this one; arguments and errors as of `apply_snapshot`.

        Returns
        -------
        "same" (not later than this one), "later" (by its sequence, but the same as far as both go: venues count what
        happens elsewhere, or the time of the reply), or "other"
        """
        cdef MarketState* m = self.state
        cdef Book* shadow
        self._decode(decoder, body)
        if m.sequence == ABSENT or self.hub.event.last_seq <= m.sequence:
            return "same"
        shadow = self.hub.shadow_book()
        ledger_fill(shadow, &self.hub.event, limit)
        if _same(&m.book.bids, &shadow.bids) and _same(&m.book.asks, &shadow.asks):
            return "later"
        return "other"

    def drop(self, int reason, int64_t ts):
        """The book cannot be trusted: readers are told why."""
        if reason == REASON_NO_DATA:
            self.state.pub.row.no_data += 1
        if not self.state.has_book:
            return
        if self.state.state != STATE_LIVE:
            publish_status(self.hub.state.bus, self.state.pub.instrument, 0xFFFF, SCOPE_INSTRUMENT, STATE_SYNCING,
                           <Reason>reason, ABSENT, ABSENT, 0, ts)
        ledger_drop(self.state, <Reason>reason, 0xFFFF, ABSENT, ABSENT, ts)

    @property
    def live(self):
        """True while the book is in step with the venue."""
        return self.state.state == STATE_LIVE

    @property
    def resyncs_crossed(self):
        """True if the book is dropped and asked for anew when its best bid comes to lie above its best ask."""
        return self.state.resyncs_crossed

    @resyncs_crossed.setter
    def resyncs_crossed(self, bint value):
        self.state.resyncs_crossed = value

    @property
    def derives_bbo(self):
        """True if the book's top is published as bbo."""
        return self.state.derives_bbo

    @derives_bbo.setter
    def derives_bbo(self, bint value):
        self.state.derives_bbo = value

    @property
    def has_book(self):
        """True if a book is kept and published."""
        return self.state.has_book

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

    @property
    def is_fed(self):
        """True while one of its connections, at least, is in step with the book."""
        cdef Source* source = self.state.sources
        while source != NULL and not source.chain.in_step:
            source = source.next
        return source != NULL

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

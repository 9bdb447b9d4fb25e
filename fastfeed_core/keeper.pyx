"""Keeping one book from deltas, snapshots and refreshes, and dropping it when it cannot be trusted.

Two ways lead to a live book. A snapshot by request: deltas are held from the request on and join it. A snapshot in the
stream: what follows it goes on from it. Either way every later message is judged by `sync_judge`, and a gap costs this
one book. A venue whose sequence starts again opens a new epoch. Each source tells its own restarts, and the book is in
the epoch of the source that it was taken from: what a source of an older epoch brings is ignored until it, too, has
started again. Without a book there are no epochs: whoever brings the next one is believed.
"""

from libc.stdint cimport int64_t

from fastfeed_core.event cimport (
    ABSENT,
    EVENT_DELTA,
    EVENT_HEARTBEAT,
    EVENT_REFRESH,
    EVENT_RESET,
    EVENT_SNAPSHOT,
)
from fastfeed_core.ledger cimport ledger_apply, ledger_drop, ledger_hold, ledger_release, ledger_replace
from fastfeed_core.pool cimport Held, pool_load, pool_release
from fastfeed_core.publish cimport publisher_now
from fastfeed_core.race cimport race_lost, race_won
from fastfeed_core.records cimport (
    REASON_DISCONNECTED,
    REASON_GAP,
    REASON_MALFORMED,
    REASON_SNAPSHOT,
    STATE_LIVE,
)
from fastfeed_core.state cimport ATTENTION_GAP, ATTENTION_REFUSED, ATTENTION_WANTS_BOOK, market_call
from fastfeed_core.sync cimport AHEAD_LIMIT, SYNC_APPLY, SYNC_OLD, SYNC_WAIT, Chain, Verdict, sync_judge

cdef enum:
    #: in records: no connection brought it
    NO_CONNECTION = 0xFFFF
    #: connections of one venue do not lie so far apart, seconds
    STILL_S = 10


cdef inline bint _others_in_step(const MarketState* m, const Source* source) noexcept nogil:
    cdef const Source* other = m.sources
    while other != NULL:
        if other != source and other.chain.in_step:
            return True
        other = other.next
    return False


cdef inline void _restart(Source* source) noexcept nogil:
    """The venue's sequence starts again for this source."""
    source.chain.epoch += 1
    source.chain.in_step = False
    source.chain.ahead = 0
    source.chain.reached = ABSENT
    source.chain.fallen = ABSENT


cdef void _follow(MarketState* m, Source* source) noexcept nogil:
    """The book goes on with the numbers of this source."""
    cdef Source* other = m.sources
    source.chain.in_step = True
    source.chain.ahead = 0
    if m.epoch == source.chain.epoch:
        return
    m.epoch = source.chain.epoch
    while other != NULL:
        if other.chain.epoch != m.epoch:
            other.chain.in_step = False
        other = other.next


# ---- deltas

cdef void _gap(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil:
    m.pub.row.gaps += 1
    m.gap_expected = m.sequence
    m.gap_received = event.prev_seq
    ledger_drop(m, REASON_GAP, source.connection, m.gap_expected, m.gap_received, ts_recv)
    m.asked = True
    market_call(m, ATTENTION_WANTS_BOOK | ATTENTION_GAP)


cdef inline bint _stands_still(const MarketState* m, const Event* event, int64_t ts_recv) noexcept nogil:
    """Whether the venue goes on below a book that stands still: its numbers fell, and what said so was lost."""
    return event.last_seq < m.sequence and ts_recv - m.pub.ts_recv > <int64_t>STILL_S * 1000000000


cdef inline bint _has_broken(Chain* chain, const Event* event) noexcept nogil:
    """Whether a source's own chain went back: the venue's numbers fell, and the message that said so was lost.

    A source's deltas go on one from the other. One that comes late or twice ends where the chain has been; what goes on
    from such a one, or ends beyond the chain without going on from it, is of another chain.
    """
    if event.prev_seq == ABSENT or chain.reached == ABSENT or event.prev_seq >= chain.reached:
        chain.fallen = ABSENT
        return False
    if event.last_seq > chain.reached or event.prev_seq == chain.fallen and event.last_seq > event.prev_seq:
        return True
    chain.fallen = event.last_seq
    return False


cdef void _delta(MarketState* m, Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """One delta or heartbeat to a live book."""
    cdef Chain* chain = &source.chain
    cdef Verdict verdict
    cdef bint was_in_step = chain.in_step
    if _has_broken(chain, event):
        if chain.epoch < m.epoch:
            m.pub.row.old += 1
            _restart(source)
        elif _others_in_step(m, source):
            m.pub.row.source_gaps += was_in_step
            _restart(source)                # as far as can be told; a snapshot of its own puts it right
        else:
            _gap(m, source, event, ts_recv)
        return
    if event.last_seq > chain.reached:
        chain.reached = event.last_seq
    if chain.epoch < m.epoch:
        # Numbers of before the restart, which another source has gone through already.
        m.pub.row.old += 1
        return
    if chain.epoch > m.epoch:
        # Numbers of after a restart that the book has not reached: as of a source that is ahead.
        chain.ahead += 1
        if chain.ahead > AHEAD_LIMIT or not _others_in_step(m, source):
            _gap(m, source, event, ts_recv)
        return
    verdict = sync_judge(m.sequence, event.prev_seq, event.last_seq, chain,
                         m.sources.next != NULL and _others_in_step(m, source))
    if verdict == SYNC_APPLY:
        if m.sources.next != NULL:
            race_won(&m.books, source.row, event.last_seq, ts_recv)
        ledger_apply(m, source, event, ts_recv, ts_publish)
    elif verdict == SYNC_OLD:
        m.pub.row.old += event.kind == EVENT_DELTA
        race_lost(&m.books, source.row, event.last_seq, ts_recv)
        if event.kind == EVENT_DELTA and _stands_still(m, event, ts_recv):
            _gap(m, source, event, ts_recv)
    elif verdict == SYNC_WAIT:
        m.pub.row.source_gaps += was_in_step
    else:
        _gap(m, source, event, ts_recv)


cdef void _reset(MarketState* m, Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """A delta behind which the numbers start again: it joins at `prev_seq` and nowhere else."""
    if source.chain.epoch == m.epoch and event.last_seq == m.sequence and source.chain.last == event.last_seq:
        m.pub.row.old += 1                  # the same once more
        return
    if source.chain.epoch == m.epoch and event.prev_seq == m.sequence:
        _restart(source)
        _follow(m, source)
        ledger_apply(m, source, event, ts_recv, ts_publish)
    elif source.chain.epoch < m.epoch:
        _restart(source)
        m.pub.row.old += 1
    elif _others_in_step(m, source):
        m.pub.row.source_gaps += source.chain.in_step
        _restart(source)                    # ahead of the book, which another source leads here
    else:
        _gap(m, source, event, ts_recv)
        return
    if m.state == STATE_LIVE:               # and not dropped for being crossed
        source.chain.last = event.last_seq


# ---- whole books

cdef bint keep_reply(MarketState* m, Event* event, int limit, Reason reason, int64_t ts_recv) noexcept nogil:
    """Replace the book by the one of a reply, then bring it up to date with what was held.

    False if the snapshot is too old for that. A snapshot of `limit` levels a side is complete down to its last.
    """
    cdef Held* held = m.first_held
    cdef Held* following
    cdef Source* source
    cdef bint connects = True
    if m.verifying:
        held = NULL                         # all that came since `verify_from` is held
    elif held != NULL and held.prev_seq == ABSENT:
        # Nothing chains these: only one from before the snapshot shows that none is missing behind it.
        connects = held.last_seq <= event.last_seq
        held = NULL
    while held != NULL:
        if held.last_seq > event.last_seq:
            connects = False
            if held.prev_seq <= event.last_seq:
                connects = True
                break
        held = held.next
    if not connects:
        return False
    event.limit = 0
    ledger_replace(m, NO_CONNECTION, event, limit, reason, ts_recv, publisher_now(m.hub.bus, ts_recv))
    if m.state != STATE_LIVE:
        return False                        # it is crossed, and was dropped for that
    source = m.sources
    while source != NULL:
        # One whose subscription is still to be taken could miss what the venue sends meanwhile.
        source.chain.in_step = source.heard or source.taken
        source.chain.ahead = 0
        source.chain.epoch = m.epoch
        source = source.next
    held = m.first_held
    m.first_held = NULL
    m.last_held = NULL
    m.holding = False
    m.verifying = False
    while held != NULL:
        # A gap among the held ones drops the book again; what is behind it goes with it.
        if m.state == STATE_LIVE:
            pool_load(held, event)
            _delta(m, <Source*>held.source, event, held.ts_recv, publisher_now(m.hub.bus, held.ts_recv))
        following = held.next
        pool_release(&m.hub.pool, held)
        held = following
    return True


cdef void _snapshot(MarketState* m, Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """A snapshot in the stream: what this source sends next goes on from it."""
    cdef Chain* chain = &source.chain
    # The venue may say itself that it starts again: then two restarts in a row are two.
    if chain.last != ABSENT and (event.restarts or event.last_seq < chain.last):
        _restart(source)
    chain.last = event.last_seq
    chain.reached = event.last_seq
    chain.fallen = ABSENT
    chain.ahead = 0
    if m.state == STATE_LIVE and _others_in_step(m, source) and _is_old(m, source, event, ts_recv):
        return
    ledger_release(m)
    m.holding = False
    m.verifying = False
    _follow(m, source)
    ledger_replace(m, source.connection, event, 0, REASON_SNAPSHOT, ts_recv, ts_publish)


cdef inline bint _is_old(MarketState* m, Source* source, const Event* event, int64_t ts_recv) noexcept nogil:
    """Whether the live book has what a whole book says."""
    if source.chain.epoch > m.epoch:
        return False
    if source.chain.epoch == m.epoch and (event.last_seq > m.sequence or _stands_still(m, event, ts_recv)):
        return False
    source.chain.in_step = source.chain.epoch == m.epoch
    m.pub.row.old += 1
    return True


cdef void _refresh(MarketState* m, Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """The whole book once more: the newest wins."""
    cdef Chain* chain = &source.chain
    if chain.last != ABSENT and event.last_seq < chain.last:
        # One alone came out of order; a second one says that the venue's numbers start again.
        chain.behind += 1
        if chain.behind == 1:
            m.pub.row.old += 1
            return
        _restart(source)
    chain.behind = 0
    chain.last = event.last_seq
    if m.state == STATE_LIVE and _is_old(m, source, event, ts_recv):
        race_lost(&m.books, source.row, event.last_seq, ts_recv)
        return
    if m.sources.next != NULL:
        race_won(&m.books, source.row, event.last_seq, ts_recv)
    _follow(m, source)
    ledger_replace(m, source.connection, event, 0, REASON_SNAPSHOT, ts_recv, ts_publish)


# ---- what comes in

cdef void keep_levels(Source* source, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Take one message of a book's channel."""
    cdef MarketState* m = source.market
    source.heard = True
    if event.kind == EVENT_REFRESH:
        _refresh(m, source, event, ts_recv, ts_publish)
        return
    if event.kind == EVENT_SNAPSHOT:
        _snapshot(m, source, event, ts_recv, ts_publish)
        return
    if m.state == STATE_LIVE:
        if event.kind == EVENT_RESET:
            _reset(m, source, event, ts_recv, ts_publish)
        else:
            _delta(m, source, event, ts_recv, ts_publish)
            # Only what goes on from a snapshot can tell that a later one is lower.
            if source.chain.last != ABSENT and event.last_seq > source.chain.last:
                source.chain.last = event.last_seq
    elif event.kind == EVENT_DELTA and m.holding:
        ledger_hold(m, source, event, ts_recv)
    elif event.kind != EVENT_HEARTBEAT and not m.asked:
        m.asked = True
        market_call(m, ATTENTION_WANTS_BOOK)


cdef void keep_refuse(Source* source, int64_t ts_recv) noexcept nogil:
    """A message of the book's channel could not be read: it could have been a delta."""
    cdef MarketState* m = source.market
    m.pub.row.refused += 1
    if m.state == STATE_LIVE:
        source.chain.in_step = False
        if _others_in_step(m, source):
            m.pub.row.source_gaps += 1
            return
        ledger_drop(m, REASON_MALFORMED, source.connection, m.sequence, ABSENT, ts_recv)
        m.asked = True
        market_call(m, ATTENTION_WANTS_BOOK | ATTENTION_REFUSED)
    elif m.holding:
        # A hole among the held ones: the chain shows it, or this message was none. Without a chain nothing does.
        if m.first_held != NULL and m.first_held.prev_seq == ABSENT:
            ledger_release(m)
        market_call(m, ATTENTION_REFUSED)


cdef void keep_forget_source(MarketState* m, Source* source, int64_t ts_recv) noexcept nogil:
    """The connection is gone, and what it brought with it; without a source in step the book goes too."""
    cdef Source** link = &m.sources
    cdef Held** held_link = &m.first_held
    cdef Held* held
    while link[0] != source:
        link = &link[0].next
    link[0] = source.next
    m.last_held = NULL
    while held_link[0] != NULL:
        held = held_link[0]
        if held.source == source:
            held_link[0] = held.next
            pool_release(&m.hub.pool, held)
            m.verifying = False             # what the book has of it cannot be told any more
        else:
            m.last_held = held
            held_link = &held.next
    if m.state == STATE_LIVE and not m.verifying:
        ledger_release(m)
    # A book that is on its way still joins what the others bring.
    if m.sources == NULL or m.state == STATE_LIVE and not _others_in_step(m, NULL):
        ledger_drop(m, REASON_DISCONNECTED, source.connection, ABSENT, ABSENT, ts_recv)
        if m.sources != NULL:               # a quiet market could be long in asking by a delta
            m.asked = True
            market_call(m, ATTENTION_WANTS_BOOK)

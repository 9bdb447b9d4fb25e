"""What passes through without a book: quotes, trades, liquidations, tickers, bars.

Several sources may bring the same. The first arrival wins: a later copy is told by its sequence, its id or its time,
whichever the venue gives, and dropped.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    CHANNEL_LIQUIDATION,
    CHANNEL_TRADE,
    EVENT_LIQUIDATION,
    ID_INTEGER,
    TICKER_FIELDS,
    Bar,
    Deal,
)
from fastfeed_core.publish cimport publish_bar, publish_bbo, publish_liquidation, publish_ticker, publish_trade
from fastfeed_core.race cimport race_lost, race_won
from fastfeed_core.records cimport FLAG_CROSSED, FLAG_LOCKED
from fastfeed_core.state cimport RECENT_LIQUIDATIONS, RECENT_SETS, RECENT_WAYS, RecentIds, Seen
from fastfeed_core.sync cimport Chain


cdef void tape_forget(MarketState* m) noexcept nogil:
    """No source is left: nothing says that the venue's numbers and values go on where they were.

    Trades are the exception: by the last number and the last ids those that came meanwhile are told from those that
    came before, when the next source brings its history.
    """
    cdef int i
    m.bbo_number = ABSENT
    m.bbo[0] = ABSENT
    m.bbo[1] = ABSENT
    m.bbo[2] = ABSENT
    m.bbo[3] = ABSENT
    m.liquidation_count = 0
    m.ticker_has = 0
    m.bar.interval_s = 0
    m.bar_ts = ABSENT
    for i in range(TICKER_FIELDS):
        m.ticker_ts[i] = ABSENT


cdef void tape_attach(MarketState* m, Source* source, Channel channel) noexcept nogil:
    """A new source of a channel other than the book's."""
    cdef uint64_t free = ~m.liquidators
    source.chain.epoch = m.bbo_epoch
    m.traders += channel == CHANNEL_TRADE
    if channel == CHANNEL_BBO:
        source.next = m.quoters
        m.quoters = source
    elif channel == CHANNEL_LIQUIDATION or channel == CHANNEL_TRADE:
        source.bit = free & -free if free else 1        # with more than 64, some share one
        m.liquidators |= source.bit


cdef void tape_detach(MarketState* m, Source* source, Channel channel) noexcept nogil:
    """The source is gone: what it brought is not its own any more, and what it told of restarts goes with it."""
    cdef Source** link = &m.quoters
    cdef int i
    m.traders -= channel == CHANNEL_TRADE
    m.liquidators &= ~source.bit
    for i in range(RECENT_LIQUIDATIONS):
        m.liquidations[i].sources &= ~source.bit
    if channel == CHANNEL_BBO:
        while link[0] != source:
            link = &link[0].next
        link[0] = source.next
        source = m.quoters
        while source != NULL:
            if source.chain.epoch == m.bbo_epoch:
                return
            source = source.next
        # Nobody is left who had gone through the last restart: believe the others.
        m.bbo_number = ABSENT
        source = m.quoters
        while source != NULL:
            source.chain.epoch = m.bbo_epoch
            source = source.next


cdef bint _is_new_quote(MarketState* m, Chain* chain, const Event* event) noexcept nogil:
    """Whether a quote is later than the last one, by its sequence, else by its time, else by what it says."""
    cdef bint same = event.bid_px == m.bbo[0] and event.bid_sz == m.bbo[1] and event.ask_px == m.bbo[2] \
        and event.ask_sz == m.bbo[3]
    cdef int64_t number = event.last_seq if event.last_seq != ABSENT else event.ts_event
    if number == ABSENT:
        return not same
    if number < chain.last:
        # One alone came out of order; a second one says that the venue's numbers start again.
        chain.behind += 1
        if chain.behind == 1:
            return False
        if chain.epoch == m.bbo_epoch:
            m.bbo_epoch += 1
            m.bbo_number = ABSENT
        chain.epoch += 1
    chain.behind = 0
    chain.last = number
    if chain.epoch != m.bbo_epoch or number < m.bbo_number:
        return False
    # Several quotes can have one time, but not one sequence.
    if number == m.bbo_number and (event.last_seq != ABSENT or same):
        return False
    m.bbo_number = number
    return True


cdef void tape_bbo(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef MarketState* m = source.market
    cdef int64_t number = event.last_seq if event.last_seq != ABSENT else event.ts_event
    cdef uint8_t flags
    cdef bint races = number != ABSENT and m.quoters.next != NULL
    if not _is_new_quote(m, &source.chain, event):
        if races:
            race_lost(&m.quotes, source.row, number, ts_recv)
        return
    if races:
        race_won(&m.quotes, source.row, number, ts_recv)
    m.bbo[0] = event.bid_px
    m.bbo[1] = event.bid_sz
    m.bbo[2] = event.ask_px
    m.bbo[3] = event.ask_sz
    if event.bid_px == ABSENT or event.ask_px == ABSENT or event.bid_px < event.ask_px:
        flags = 0
    else:
        flags = FLAG_LOCKED if event.bid_px == event.ask_px else FLAG_CROSSED
    publish_bbo(m.hub.bus, &m.pub, source.connection, event, ts_recv, ts_publish, flags)


cdef inline bint _is_new_trade(MarketState* m, const Deal* deal) noexcept nogil:
    cdef uint64_t[2] words
    cdef RecentIds* recent
    cdef uint64_t place
    cdef int i
    memcpy(words, deal.trade_id, 16)
    place = words[0]
    if deal.id_kind != ID_INTEGER:
        # Texts differ in their last bytes, and share their first: all have a say.
        place = (words[0] ^ words[1] * 0x9E3779B97F4A7C15ULL) * 0xFF51AFD7ED558CCDULL >> 57
    recent = &m.recent_trades[place % RECENT_SETS]
    words[0] += 1
    for i in range(RECENT_WAYS):
        if recent.first[i] == words[0] and recent.second[i] == words[1]:
            return False
    i = recent.count % RECENT_WAYS
    recent.count += 1
    recent.first[i] = words[0]
    recent.second[i] = words[1]
    return True


cdef bint _is_new_liquidation(MarketState* m, uint64_t bit, const Deal* deal, int64_t ts) noexcept nogil:
    """Two of one source that say the same are two; another source's copy of one is dropped."""
    cdef uint64_t key = <uint64_t>ts * 0x9E3779B97F4A7C15ULL
    cdef Seen* seen
    cdef int i
    key = (key ^ <uint64_t>deal.px) * 0xFF51AFD7ED558CCDULL
    key = (key ^ <uint64_t>deal.sz ^ (<uint64_t>deal.side << 62)) * 0xC4CEB9FE1A85EC53ULL
    for i in range(min(m.liquidation_count, <int>RECENT_LIQUIDATIONS)):
        seen = &m.liquidations[i]
        if seen.key == key and not seen.sources & bit:
            seen.sources |= bit             # one copy answers for one
            return False
    seen = &m.liquidations[m.liquidation_count % RECENT_LIQUIDATIONS]
    seen.key = key
    seen.sources = bit
    m.liquidation_count += 1
    if m.liquidation_count == 2 * RECENT_LIQUIDATIONS:
        m.liquidation_count = RECENT_LIQUIDATIONS
    return True


cdef inline void _trade(Route* route, const Event* event, const Deal* deal, int64_t ts_recv,
                        int64_t ts_publish) noexcept nogil:
    """A trade that did not come before: as what the route is asked for."""
    cdef Source* source = <Source*>route.source
    cdef MarketState* m = source.market
    if route.wants & 1 << CHANNEL_TRADE:
        publish_trade(m.hub.bus, &m.pub, source.connection, event, deal, ts_recv, ts_publish)
    if deal.liquidated and route.wants & 1 << CHANNEL_LIQUIDATION:
        publish_liquidation(m.hub.bus, &m.pub, source.connection, event, deal, deal.liquidated, ts_recv, ts_publish)


cdef void _history(Route* route, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Trades from before the subscription: those behind the last one that came. Without one nothing was missed."""
    cdef MarketState* m
    cdef const Deal* deal
    cdef int64_t seen
    cdef int i
    if route.source == NULL:
        return
    m = (<Source*>route.source).market
    seen = m.trade_sequence
    for i in range(event.n_deals):
        deal = &event.deals[i]
        m.trade_sequence = max(m.trade_sequence, deal.sequence)
        if _is_new_trade(m, deal) and seen != ABSENT and deal.sequence > seen:
            _trade(route, event, deal, ts_recv, ts_publish)


cdef void _liquidations(Route* route, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef Source* source
    cdef const Deal* deal
    cdef int64_t ts
    cdef int i
    for i in range(event.n_deals):
        deal = &event.deals[i]
        source = <Source*>(route if deal.route == NULL else <Route*>deal.route).source
        if source == NULL:
            continue                        # of a group, and of nobody in it
        ts = deal.ts_event if deal.ts_event != ABSENT else event.ts_event
        if _is_new_liquidation(source.market, source.bit, deal, ts):
            publish_liquidation(source.market.hub.bus, &source.market.pub, source.connection, event, deal, deal.side,
                                ts_recv, ts_publish)


cdef void tape_deals(Route* route, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Trades or liquidations, in the message's order."""
    cdef const Deal* deal
    cdef Route* its
    cdef MarketState* m
    cdef int64_t number
    cdef bint races
    cdef int i
    if event.kind == EVENT_LIQUIDATION:
        _liquidations(route, event, ts_recv, ts_publish)
        return
    if event.history:
        _history(route, event, ts_recv, ts_publish)
        return
    for i in range(event.n_deals):
        deal = &event.deals[i]
        its = route if deal.route == NULL else <Route*>deal.route
        if its.source == NULL:
            continue                        # of a group, and of nobody in it
        m = (<Source*>its.source).market
        if deal.sequence > m.trade_sequence:    # absent is less than any
            m.trade_sequence = deal.sequence
        races = m.traders > 1
        memcpy(&number, deal.trade_id, 8)
        if _is_new_trade(m, deal):
            if races:
                race_won(&m.trades, (<Source*>its.source).row, number, ts_recv)
            _trade(its, event, deal, ts_recv, ts_publish)
        elif races:
            race_lost(&m.trades, (<Source*>its.source).row, number, ts_recv)


cdef void tape_ticker(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Merge what the message has into what is known, field by field, and publish all if anything is new."""
    cdef MarketState* m = source.market
    cdef Chain* chain = &source.chain
    cdef bint changed = False
    cdef unsigned int bit
    cdef int i
    if event.ts_event != ABSENT:
        chain.behind = chain.behind + 1 if event.ts_event < chain.last else 0
        if chain.behind > 1:
            # Not one message out of order: the venue's clock was set back.
            chain.behind = 0
            for i in range(TICKER_FIELDS):
                m.ticker_ts[i] = ABSENT
        if chain.behind == 0:
            chain.last = event.ts_event
    for i in range(TICKER_FIELDS):
        bit = 1U << i
        # A copy that lags must not bring back what a faster source has replaced.
        if not event.ticker_has & bit or event.ts_event != ABSENT and event.ts_event < m.ticker_ts[i]:
            continue
        if event.ts_event != ABSENT:
            m.ticker_ts[i] = event.ts_event
        if m.ticker_has & bit and m.ticker[i].mantissa == event.ticker[i].mantissa \
                and m.ticker[i].exponent == event.ticker[i].exponent:
            continue
        m.ticker[i] = event.ticker[i]
        m.ticker_has |= bit
        changed = True
    if changed:
        publish_ticker(m.hub.bus, &m.pub, source.connection, event, m.ticker, m.ticker_has, ts_recv, ts_publish)


cdef void tape_bars(Source* source, const Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Bars of one interval: a state of one that was told already, or is older, is dropped."""
    cdef MarketState* m = source.market
    cdef const Bar* bar
    cdef int i
    for i in range(event.n_bars):
        bar = &event.bars[i]
        if m.bar.interval_s:
            if bar.start < m.bar.start:
                continue
            if bar.start == m.bar.start and (m.bar.closed or memcmp(bar, &m.bar, sizeof(Bar)) == 0
                                             or event.ts_event != ABSENT and event.ts_event < m.bar_ts):
                continue
        m.bar = bar[0]
        m.bar_ts = event.ts_event
        publish_bar(m.hub.bus, &m.pub, source.connection, event, bar, ts_recv, ts_publish)

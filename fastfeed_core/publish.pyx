"""Writing events into a bus: ring records at once; top cells, images, tail and wake-up at each flush."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastfeed_core.book cimport Side, side_complete_px, side_copy, side_count
from fastfeed_core.event cimport (
    ABSENT,
    TICKER_FUNDING,
    TICKER_INDEX,
    TICKER_LAST,
    TICKER_MARK,
    TICKER_NEXT_FUNDING,
    TICKER_OPEN_INTEREST,
    TICKER_VOLUME,
)
from fastfeed_core.records cimport (
    FLAG_FIRST,
    FLAG_LAST,
    KIND_BAR,
    KIND_BBO,
    KIND_LIQUIDATION,
    KIND_STATUS,
    KIND_TICKER,
    KIND_TRADE,
    BarRecord,
    BboRecord,
    Head,
    ImageHead,
    LevelsRecord,
    LiquidationRecord,
    StatusRecord,
    TickerRecord,
    TopHead,
    TradeRecord,
)
from fastfeed_core.ring cimport (
    ff_cell_begin,
    ff_cell_commit,
    ff_cells_begin,
    ff_cells_end,
    ff_head,
    ff_ring_claim,
    ff_ring_commit,
    ff_ring_flush,
)
from fastfeed_core.wake cimport ff_realtime, ff_wake

cdef enum:
    #: an image is refreshed after this many changed pairs a level that it holds, and never before IMAGE_MIN pairs:
    #: writing images then costs the feed a fraction of what applying the deltas did
    IMAGE_FACTOR = 4
    IMAGE_MIN = 8192


cdef int64_t publisher_now(const Publisher* bus, int64_t ts_recv) noexcept nogil:
    return ts_recv if bus.given_clock else ff_realtime()


cdef inline void _fill_head(Head* head, uint32_t instrument, uint16_t connection, const Event* event,
                            int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    head.instrument = instrument
    head.connection = connection
    head._reserved = 0
    head.ts_event = event.ts_event
    head.ts_send = event.ts_send
    head.ts_recv = ts_recv
    head.ts_publish = ts_publish
    head.sequence = event.last_seq


cdef void publish_bbo(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                      int64_t ts_recv, int64_t ts_publish, uint8_t flags) noexcept nogil:
    cdef BboRecord* record = <BboRecord*>ff_ring_claim(&bus.ring, sizeof(BboRecord))
    _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
    record.bid_px = event.bid_px
    record.bid_sz = event.bid_sz
    record.ask_px = event.ask_px
    record.ask_sz = event.ask_sz
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(BboRecord), KIND_BBO, flags | FLAG_FIRST | FLAG_LAST)
    pub.row.bbos += 1
    _after_record(bus)


cdef inline void _fill_deal(Head* head, const Deal* deal) noexcept nogil:
    if deal.ts_event != ABSENT:
        head.ts_event = deal.ts_event
    head.sequence = deal.sequence


cdef void publish_trade(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, const Deal* deal,
                        int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef TradeRecord* record = <TradeRecord*>ff_ring_claim(&bus.ring, sizeof(TradeRecord))
    _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
    _fill_deal(&record.head, deal)
    record.px = deal.px
    record.sz = deal.sz
    memcpy(record.trade_id, deal.trade_id, 16)
    record.id_kind = deal.id_kind
    record.side = deal.side
    memset(record._padding, 0, sizeof(record._padding))
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(TradeRecord), KIND_TRADE, FLAG_FIRST | FLAG_LAST)
    pub.row.trades += 1
    _after_record(bus)


cdef void publish_liquidation(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                              const Deal* deal, uint8_t side, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef LiquidationRecord* record = <LiquidationRecord*>ff_ring_claim(&bus.ring, sizeof(LiquidationRecord))
    _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
    _fill_deal(&record.head, deal)
    record.px = deal.px
    record.sz = deal.sz
    record.side = side
    memset(record._padding, 0, sizeof(record._padding))
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(LiquidationRecord), KIND_LIQUIDATION, FLAG_FIRST | FLAG_LAST)
    pub.row.liquidations += 1
    _after_record(bus)


cdef inline void _put(const Number* values, unsigned int has, int field, int64_t* mantissa,
                      int8_t* exponent) noexcept nogil:
    mantissa[0] = values[field].mantissa if has >> field & 1 else ABSENT
    exponent[0] = <int8_t>values[field].exponent if has >> field & 1 else 0


cdef void publish_ticker(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                         const Number* values, unsigned int has, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """All that is known now; `has` says which of the values are."""
    cdef TickerRecord* record = <TickerRecord*>ff_ring_claim(&bus.ring, sizeof(TickerRecord))
    _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
    memset(record._padding, 0, sizeof(record._padding))
    _put(values, has, TICKER_LAST, &record.last, &record.last_exp)
    _put(values, has, TICKER_MARK, &record.mark_price, &record.mark_price_exp)
    _put(values, has, TICKER_INDEX, &record.index_price, &record.index_price_exp)
    _put(values, has, TICKER_OPEN_INTEREST, &record.open_interest, &record.open_interest_exp)
    _put(values, has, TICKER_FUNDING, &record.funding_rate, &record.funding_rate_exp)
    _put(values, has, TICKER_VOLUME, &record.volume, &record.volume_exp)
    record.next_funding_time = values[<int>TICKER_NEXT_FUNDING].mantissa if has >> TICKER_NEXT_FUNDING & 1 else ABSENT
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(TickerRecord), KIND_TICKER, FLAG_FIRST | FLAG_LAST)
    pub.row.tickers += 1
    _after_record(bus)


cdef void publish_bar(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, const Bar* bar,
                      int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    cdef BarRecord* record = <BarRecord*>ff_ring_claim(&bus.ring, sizeof(BarRecord))
    _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
    record.head.sequence = ABSENT
    record.start = bar.start
    record.interval = <uint32_t>bar.interval_s
    record.open = bar.open
    record.high = bar.high
    record.low = bar.low
    record.close = bar.close
    record.volume = bar.volume.mantissa
    record.volume_exp = <int8_t>bar.volume.exponent
    record.closed = bar.closed
    memset(record._padding, 0, sizeof(record._padding))
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(BarRecord), KIND_BAR, FLAG_FIRST | FLAG_LAST)
    pub.row.bars += 1
    _after_record(bus)


cdef void publish_levels(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, uint8_t kind,
                         int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """A delta or a snapshot, in as many fragments as its levels need; the book has it already."""
    cdef LevelsRecord* record
    cdef uint32_t total = <uint32_t>(event.n_bids + event.n_asks)
    cdef uint32_t done = 0
    cdef uint32_t pairs, bids
    cdef uint8_t flags = FLAG_FIRST | <uint8_t>pub.flags
    cdef uint64_t length
    while True:
        pairs = min(total - done, bus.pairs_per_record)
        bids = 0
        if done < <uint32_t>event.n_bids:
            bids = min(pairs, <uint32_t>event.n_bids - done)
        if done + pairs == total:
            flags |= FLAG_LAST
        length = sizeof(LevelsRecord) + 16 * <uint64_t>pairs
        record = <LevelsRecord*>ff_ring_claim(&bus.ring, length)
        _fill_head(&record.head, pub.instrument, connection, event, ts_recv, ts_publish)
        record.prev_sequence = event.prev_seq
        record.complete_bid_px = side_complete_px(&pub.book.bids)
        record.complete_ask_px = side_complete_px(&pub.book.asks)
        record.n_bids = <uint16_t>bids
        record.n_asks = <uint16_t>(pairs - bids)
        record.total = total
        memcpy(<char*>record + sizeof(LevelsRecord), event.levels + 2 * done, 16 * <size_t>pairs)
        ff_ring_commit(&bus.ring, <ff_head*>record, length, kind, flags)
        done += pairs
        flags = <uint8_t>pub.flags
        if done == total:
            break
    pub.sequence = event.last_seq
    pub.ts_event = event.ts_event
    pub.ts_recv = ts_recv
    pub.ts_publish = ts_publish
    pub.book_version += 1
    pub.pairs_since_image += total
    publisher_touch(bus, pub)
    _after_record(bus)


cdef void publish_status(Publisher* bus, uint32_t instrument, uint16_t connection, ScopeCode scope, State state,
                         Reason reason, int64_t expected, int64_t received, uint8_t instrument_status,
                         int64_t ts, uint8_t health=0) noexcept nogil:
    cdef StatusRecord* record = <StatusRecord*>ff_ring_claim(&bus.ring, sizeof(StatusRecord))
    record.head.instrument = instrument
    record.head.connection = connection
    record.head._reserved = 0
    record.head.ts_event = ABSENT
    record.head.ts_send = ABSENT
    record.head.ts_recv = ts
    record.head.ts_publish = publisher_now(bus, ts)
    record.head.sequence = ABSENT
    record.scope = scope
    record.state = state
    record.reason = reason
    record.instrument_status = instrument_status
    record.health = health
    memset(record._padding, 0, sizeof(record._padding))
    record.expected = expected
    record.received = received
    ff_ring_commit(&bus.ring, <ff_head*>record, sizeof(StatusRecord), KIND_STATUS, FLAG_FIRST | FLAG_LAST)
    _after_record(bus)


cdef void publisher_touch(Publisher* bus, Publication* pub) noexcept nogil:
    """Have the instrument's cell refreshed at the next flush."""
    if not pub.dirty:
        pub.dirty = True
        pub.next_dirty = bus.dirty
        bus.dirty = pub


cdef void _write_top(Publisher* bus, Publication* pub) noexcept nogil:
    cdef uint64_t* version = <uint64_t*>pub.cell
    cdef unsigned slot
    cdef char* place
    cdef TopHead* head
    cdef int32_t n_bids, n_asks
    cdef Book* book = pub.book
    if book.bids.touched or book.asks.touched:
        book.bids.touched = False
        book.asks.touched = False
        pub.top_version += 1
    slot = ff_cell_begin(version)
    place = pub.cell + CELL_HEAD + slot * ((bus.cells_stride - CELL_HEAD) // 2)
    head = <TopHead*>place
    head.sequence = pub.sequence
    head.ts_event = pub.ts_event
    head.ts_recv = pub.ts_recv
    head.ts_publish = pub.ts_publish
    head.as_of = <int64_t>bus.ring.position
    head.state = <uint16_t>pub.state
    head.flags = pub.flags
    head.complete_bid_px = side_complete_px(&book.bids)
    head.complete_ask_px = side_complete_px(&book.asks)
    if pub.cell_version[slot] != pub.top_version:
        place += sizeof(TopHead)
        n_bids = side_copy(&book.bids, <int64_t*>(place), bus.cells_depth)
        n_asks = side_copy(&book.asks, <int64_t*>(place + 16 * bus.cells_depth), bus.cells_depth)
        head.n_bids = <uint16_t>n_bids
        head.n_asks = <uint16_t>n_asks
        pub.cell_version[slot] = pub.top_version
        _watch(&book.bids, <int64_t*>place, n_bids, bus.cells_depth)
        _watch(&book.asks, <int64_t*>(place + 16 * bus.cells_depth), n_asks, bus.cells_depth)
    ff_cell_commit(version)


cdef inline void _watch(Side* side, const int64_t* pairs, int32_t n, int32_t depth) noexcept nogil:
    """Only an update at or above the worst published level can change the top; with fewer levels any can."""
    side.watch = pairs[2 * (n - 1)] * side.sign if n == depth else ABSENT


cdef void _write_image(Publisher* bus, Publication* pub) noexcept nogil:
    cdef uint64_t* version = <uint64_t*>pub.image
    cdef unsigned slot = ff_cell_begin(version)
    cdef char* place = pub.image + CELL_HEAD + slot * ((bus.images_stride - CELL_HEAD) // 2)
    cdef ImageHead* head = <ImageHead*>place
    cdef int32_t n_bids, n_asks
    cdef Book* book = pub.book
    head.sequence = pub.sequence
    head.ts_event = pub.ts_event
    head.ts_recv = pub.ts_recv
    head.as_of = <int64_t>bus.ring.position
    head.state = pub.state
    if pub.image_version[slot] != pub.book_version:
        place += sizeof(ImageHead)
        n_bids = side_copy(&book.bids, <int64_t*>(place), bus.images_depth)
        n_asks = side_copy(&book.asks, <int64_t*>(place + 16 * bus.images_depth), bus.images_depth)
        head.n_bids = <uint32_t>n_bids
        head.n_asks = <uint32_t>n_asks
        # A book with more levels than the image holds is complete only down to the last one that it does.
        head.complete_bid_px = side_complete_px(&book.bids)
        head.complete_ask_px = side_complete_px(&book.asks)
        if side_count(&book.bids) > n_bids:
            head.complete_bid_px = _worst(&book.bids, <int64_t*>place, n_bids)
        if side_count(&book.asks) > n_asks:
            head.complete_ask_px = _worst(&book.asks, <int64_t*>(place + 16 * bus.images_depth), n_asks)
        pub.image_version[slot] = pub.book_version
    ff_cell_commit(version)
    pub.image_as_of = head.as_of
    pub.pairs_since_image = 0


cdef void publisher_prepare(Publisher* bus, Publication* pub) noexcept nogil:
    """Before anything is known of a book: a joiner finds it empty and syncing, as of now."""
    # Now must be a place where a reader can start.
    publisher_flush(bus)
    _write_top(bus, pub)
    _write_image(bus, pub)


cdef void publisher_forget(Publisher* bus, Publication* pub) noexcept nogil:
    """Unlink a publication whose memory is about to go; what it published stays as it is."""
    cdef Publication** link = &bus.dirty
    while link[0] != NULL:
        if link[0] == pub:
            link[0] = pub.next_dirty
            break
        link = &link[0].next_dirty
    link = &bus.with_image
    while link[0] != NULL:
        if link[0] == pub:
            link[0] = pub.next_image
            break
        link = &link[0].next_image


cdef inline int64_t _worst(const Side* side, const int64_t* pairs, int32_t n) noexcept nogil:
    cdef int64_t last = pairs[2 * (n - 1)]
    cdef int64_t complete = side_complete_px(side)
    if complete == ABSENT or last * side.sign > complete * side.sign:
        return last
    return complete


cdef inline void _after_record(Publisher* bus) noexcept nogil:
    """Keep every image's position inside of the ring, however little its instrument trades."""
    if bus.ring.position >= bus.next_sweep:
        _sweep(bus)


cdef void _sweep(Publisher* bus) noexcept nogil:
    cdef uint64_t capacity = bus.ring.mask + 1
    cdef int64_t oldest = <int64_t>bus.ring.position - <int64_t>(capacity // 4)
    cdef Publication* pub = bus.with_image
    # A joiner starts where the image was taken: the tail must have come there before he finds it.
    ff_ring_flush(&bus.ring)
    while pub != NULL:
        if pub.image_as_of < oldest:
            _write_image(bus, pub)
        pub = pub.next_image
    bus.next_sweep = bus.ring.position + capacity // 8


cdef void publisher_flush(Publisher* bus) noexcept nogil:
    """At the end of a socket read: the tail, the cells of the instruments that changed, then the wake-up."""
    cdef Publication* pub
    cdef int64_t levels
    ff_ring_flush(&bus.ring)
    ff_cells_begin(bus.ring.control, bus.ring.position)
    while bus.dirty != NULL:
        pub = bus.dirty
        bus.dirty = pub.next_dirty
        pub.dirty = False
        _write_top(bus, pub)
        levels = side_count(&pub.book.bids) + side_count(&pub.book.asks)
        if pub.pairs_since_image > IMAGE_MIN and pub.pairs_since_image > IMAGE_FACTOR * levels:
            _write_image(bus, pub)
    ff_cells_end(bus.ring.control, bus.ring.position)
    if bus.sleepers != NULL:
        bus.live.wakes += ff_wake(<uint32_t*>&bus.live.wake, bus.sleepers)

"""The layout of everything in shared memory that another process reads: the one place where it is written down.

numpy dtypes, the description in the bus header and the page in docs/ are derived from these structs. All numbers are
little endian. Every record of the ring starts with `Head`, one cache line; `*px` and `*sz` are mantissas of the
instrument's px_exp and sz_exp; times are ns since the Unix epoch; absent is INT64_MIN. Fields named `_*` are padding.
Structs hold scalars and arrays of scalars: an array of structs has no buffer format that numpy accepts.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define FF_MAGIC 0x31475F4445454646ULL
    """
    const uint64_t MAGIC "FF_MAGIC"     # "FFEED_G1"

cdef enum:
    LAYOUT_VERSION = 3
    HEADER_SIZE = 4096
    #: pairs of a delta or snapshot fragment never exceed this, whatever the ring's block
    MAX_PAIRS = 4000
    #: buckets of a latency histogram, see counters.pxd
    HISTOGRAM_SIZE = 1216

cpdef enum Kind:
    KIND_BBO = 1
    KIND_TRADE = 2
    KIND_DELTA = 3
    KIND_SNAPSHOT = 4
    KIND_STATUS = 5
    KIND_TICKER = 6
    KIND_BAR = 7
    KIND_LIQUIDATION = 8

cpdef enum Flag:
    #: first and last fragment of a message; both are set on a message of one record
    FLAG_FIRST = 1
    FLAG_LAST = 2
    #: a bbo that was computed from the book
    FLAG_DERIVED = 4
    #: the best bid is above the best ask, or equal to it
    FLAG_CROSSED = 8
    FLAG_LOCKED = 16

cpdef enum State:
    #: no book: waiting for a snapshot
    STATE_SYNCING = 0
    #: in step with the venue
    STATE_LIVE = 1
    #: the last known book; nothing says that it still holds
    STATE_STALE = 2

cpdef enum Reason:
    REASON_NONE = 0
    REASON_SUBSCRIBED = 1
    REASON_SNAPSHOT = 2
    REASON_GAP = 3
    REASON_DISCONNECTED = 4
    REASON_MALFORMED = 5
    REASON_BUFFER_FULL = 6
    REASON_STOPPED = 7
    REASON_CONNECTED = 8
    REASON_REFUSED = 9
    REASON_INSTRUMENT = 10
    REASON_VENUE_RESET = 11
    REASON_RESTARTED = 12
    #: a subscription that the venue took never brought anything
    REASON_NO_DATA = 13
    #: an unchained book was found to differ from the venue's, and replaced
    REASON_REPAIRED = 14
    #: the best bid has come to lie above the best ask
    REASON_CROSSED = 15
    #: said by a reader alone: it was overtaken, and values that it showed may be old
    REASON_LAPPED = 16
    #: nobody wants the book, or the instrument, any more
    REASON_UNSUBSCRIBED = 17
    #: the book was dropped at a word, to be asked for anew
    REASON_REQUESTED = 18
    #: of health: no frame for half of the time after which a connection is given up
    REASON_QUIET = 19
    #: of health: a stream stands still though its venue lives, and more than its market does
    REASON_STALLED = 20
    #: of health: a book is not in step for longer than it takes
    REASON_SYNCING = 21
    #: of health: a host does not answer, and is tried by single probes
    REASON_UNREACHABLE = 22
    #: of health: the venue asked for a pause of calls
    REASON_LIMITED = 23

cpdef enum ScopeCode:
    SCOPE_INSTRUMENT = 0
    SCOPE_CONNECTION = 1
    SCOPE_BUS = 2
    #: of health: all of a feed; the connection is its first
    SCOPE_VENUE = 3

cpdef enum Health:
    #: nothing is said of it, or nothing is known yet
    HEALTH_NONE = 0
    HEALTH_OK = 1
    #: something is late, missing or about to be
    HEALTH_DEGRADED = 2
    #: nothing comes
    HEALTH_DOWN = 3

cdef struct Head:
    uint64_t stamp              #: commit word of the ring
    uint32_t seq                #: low 32 bits of the number of records before this one
    uint16_t length             #: bytes with this head
    uint8_t kind                #: see Kind
    uint8_t flags               #: see Flag
    uint32_t instrument         #: row of the instrument table
    uint16_t connection         #: row of the connection table
    uint16_t _reserved
    int64_t ts_event            #: when it happened, by the venue's clock
    int64_t ts_send             #: when the venue sent it, by the venue's clock
    int64_t ts_recv             #: when the socket was read
    int64_t ts_publish          #: when it was committed to the ring
    int64_t sequence            #: the venue's last sequence that the record covers

cdef struct BboRecord:
    Head head
    int64_t bid_px              #: absent if nobody bids
    int64_t bid_sz              #: 0 if nobody bids
    int64_t ask_px              #: absent if nobody asks
    int64_t ask_sz              #: 0 if nobody asks

cdef struct TradeRecord:
    Head head
    int64_t px                  #: price
    int64_t sz                  #: size
    uint8_t[16] trade_id        #: uint64, 16 bytes of a UUID, or text padded with zeros
    uint8_t id_kind             #: 1 integer, 2 UUID, 3 text
    uint8_t side                #: the taker's: 1 buy, 2 sell
    uint8_t[6] _padding

#: the values last known; those that the venue never gave are absent. The exponents are those of the venue's text
cdef struct TickerRecord:
    Head head
    int64_t last                #: price of the last trade
    int64_t mark_price          #: by which positions are valued
    int64_t index_price         #: of the venues that the contract follows
    int64_t open_interest       #: in the unit of sizes
    int64_t funding_rate        #: the current one, for one interval of the venue
    int64_t volume              #: of 24 hours, in the unit of sizes
    int64_t next_funding_time   #: ns since the epoch
    int8_t last_exp             #: last * 10**last_exp is the price
    int8_t mark_price_exp       #: of mark_price, and so on
    int8_t index_price_exp
    int8_t open_interest_exp
    int8_t funding_rate_exp
    int8_t volume_exp
    uint8_t[2] _padding

cdef struct BarRecord:
    Head head
    int64_t start               #: ns since the epoch
    int64_t open                #: prices
    int64_t high                #: greatest price of a trade
    int64_t low                 #: least price of a trade
    int64_t close               #: last price of a trade
    int64_t volume              #: in the unit of sizes: volume * 10**volume_exp
    uint32_t interval           #: seconds
    int8_t volume_exp           #: of the volume
    uint8_t closed              #: 1: no further change
    uint8_t[2] _padding

cdef struct LiquidationRecord:
    Head head
    int64_t px                  #: price
    int64_t sz                  #: size
    uint8_t side                #: the liquidating order's: 2 sell closes a long
    uint8_t[7] _padding

#: deltas and snapshots: this, then n_bids and n_asks pairs (px, sz); size 0 removes the level
cdef struct LevelsRecord:
    Head head
    int64_t prev_sequence       #: the record covers the venue's sequences (prev_sequence, sequence]
    int64_t complete_bid_px     #: worst bid price down to which all is known from now on; absent: the whole side
    int64_t complete_ask_px     #: worst ask price up to which all is known from now on; absent: the whole side
    uint16_t n_bids             #: pairs of bids in this fragment
    uint16_t n_asks             #: pairs of asks in this fragment
    uint32_t total              #: pairs in all fragments of the message

cdef struct StatusRecord:
    Head head
    uint8_t scope               #: see ScopeCode
    uint8_t state               #: see State
    uint8_t reason              #: see Reason
    uint8_t instrument_status   #: with the reason `instrument`: index of the status words
    uint8_t health              #: see Health
    uint8_t[3] _padding
    int64_t expected            #: a gap: the sequence that should have come before; absent otherwise
    int64_t received            #: a gap: the one that came

#: a level as it stands behind a LevelsRecord, in cells and in images
cdef struct LevelPair:
    int64_t px                  #: price
    int64_t sz                  #: size, 0 removes

cdef struct BusHeader:
    uint64_t magic              #: "FFEED_G1"
    uint32_t layout_version     #: another one is refused
    uint32_t line               #: bytes of a cache line: 64
    uint64_t total_bytes        #: of the data file
    uint64_t generation         #: of this file; grows with each start of a feed
    uint64_t pid                #: the producer's
    uint64_t pid_start          #: its start time in clock ticks since boot
    int64_t created             #: ns since the epoch
    int64_t bell                #: id of the System V segment by which readers ask to be woken; -1: there is none
    uint64_t description_offset #: bytes from the start of the file, as all offsets
    uint64_t description_size   #: bytes of the records' own description
    uint64_t control_offset     #: the ring's control words
    uint64_t ring_offset        #: of the ring's first byte, on a page
    uint64_t ring_capacity      #: a power of two
    uint64_t instruments_offset #: of the instrument table
    uint64_t instruments_stride #: bytes of a row
    uint64_t instruments_capacity #: rows that there is room for
    uint64_t connections_offset #: of the connection table; memory is taken as rows come
    uint64_t connections_stride #: bytes of a row with its latencies
    uint64_t connections_capacity #: rows that there is room for
    uint64_t cells_offset       #: of the top cells, one a row of the instrument table
    uint64_t cells_stride       #: bytes of a cell: its version, then two slots
    uint64_t cells_depth        #: levels a side of a top cell
    uint64_t latencies_offset   #: of the instruments, one a row of the instrument table
    uint64_t latencies_stride   #: bytes of a LatencyHead with its counts
    uint64_t images_offset      #: of the images of whole books, one a row; memory is taken as books come
    uint64_t images_stride      #: bytes of an image: its version, then two slots
    uint64_t images_depth       #: levels a side of an image
    uint64_t histogram_size     #: buckets of a latency histogram

#: what changes while the feed lives; on lines of its own behind the header
cdef struct BusLive:
    uint64_t state              #: 0 being made, 1 ready, 2 closed
    int64_t heartbeat           #: CLOCK_MONOTONIC ns
    uint64_t instruments        #: rows in use
    uint64_t connections        #: rows in use
    uint64_t wake               #: futex word (low half): changed at each wake-up
    int64_t wakes               #: wake-ups of sleeping readers so far: system calls of the feed
    uint64_t huge_bytes         #: of the data file that the feed has mapped by huge pages

cdef struct InstrumentRow:
    char[64] name               #: UTF-8, zero padded
    char[48] symbol             #: the venue's
    char[16] venue              #: id of the venue
    char[16] base               #: what is traded
    char[16] quote              #: what it is priced in
    char[16] settle             #: empty on spot
    char[16] contract_unit      #: what one contract is measured in
    int64_t tick_mantissa       #: tick size = mantissa * 10**exponent
    int64_t lot_mantissa        #: lot size
    int64_t contract_mantissa   #: contract size: of contract_unit in one unit of size
    int64_t strike_mantissa     #: absent unless an option
    int64_t expiry              #: ns since the epoch, absent if none
    int8_t tick_exp             #: of the tick size, and so on
    int8_t lot_exp
    int8_t contract_exp
    int8_t strike_exp
    int8_t px_exp               #: price = px * 10**px_exp
    int8_t sz_exp               #: size = sz * 10**sz_exp
    uint8_t kind                #: index of spot, swap, future, option
    uint8_t option_type         #: 0 none, 1 call, 2 put
    uint8_t inverse             #: 1: settled in the base
    uint8_t chained             #: 1: a lost delta is seen at the next one
    uint8_t has_book            #: 1: a book is kept for it
    uint8_t health              #: see Health
    uint16_t status             #: index of the status words
    uint8_t health_reason       #: see Reason
    uint8_t _padding
    #: counters, by the feed alone
    int64_t deltas              #: published
    int64_t snapshots           #: published
    int64_t bbos                #: published
    int64_t trades              #: published
    int64_t tickers             #: published
    int64_t bars                #: published
    int64_t liquidations        #: published
    int64_t old                 #: deltas that the book had already
    int64_t gaps                #: sequences found missing: the book was dropped
    int64_t source_gaps         #: ... on one source while another was in step
    int64_t resyncs             #: times the book became live
    int64_t refused             #: messages with a value that does not fit
    int64_t held                #: deltas kept while a snapshot was on its way
    int64_t held_lost           #: deltas that found no room
    int64_t repairs             #: times an unchained book was found wrong, and replaced
    int64_t no_data             #: subscriptions that were taken and brought nothing
    int64_t crossed             #: messages that left the best bid above the best ask
    int64_t locked              #: ... equal to it

cdef struct ConnectionRow:
    char[64] label              #: venue, product and route
    int64_t connected           #: ns since the epoch of the last connect, 0 if closed
    int64_t connects            #: sockets opened
    int64_t disconnects         #: sockets lost or closed
    int64_t frames              #: messages that came
    int64_t bytes               #: of these messages
    int64_t controls            #: acks, errors, notices
    int64_t malformed           #: frames that were refused
    int64_t unrouted            #: frames of topics that nobody asked for
    int64_t fallbacks           #: frames that the specialised scanners left to the cursor
    int64_t wrong_symbol        #: frames of a known topic that name another symbol
    int64_t last_recv           #: ns since the epoch of the last socket read
    int64_t wins                #: messages that it brought first, of instruments with several sources
    int64_t losses              #: ... that another one had brought
    int64_t leads               #: ... that it brought first and another one later
    int64_t lead_sum            #: ns by which it was first, of all of those together
    int64_t lead_max            #: ns
    int64_t round_trip          #: ns from the last ping that was answered to its answer, 0 before the first
    int64_t round_trip_max      #: ns
    uint8_t health              #: see Health
    uint8_t health_reason       #: see Reason
    uint8_t venue_health        #: of the feed that it belongs to
    uint8_t venue_reason
    uint8_t[44] _padding

#: latencies of a connection (behind its row) or of an instrument, in ns; behind it HISTOGRAM_SIZE counts (int64) of
#: socket read to ring, then as many of venue to socket read. A difference of two clocks below 0 is counted as 0
cdef struct LatencyHead:
    int64_t ring_max            #: greatest from socket read to ring
    int64_t venue_max           #: greatest from the venue's time of sending to socket read
    int64_t venue_min           #: least of those, signed: how far the clocks disagree; INT64_MAX before the first
    int64_t venue_ahead         #: messages that the venue's clock had sent after they were read
    int64_t[4] _padding

#: head of a slot of a top cell; the pairs follow: cells_depth bids, then cells_depth asks
cdef struct TopHead:
    int64_t sequence            #: the venue's last sequence that the book has
    int64_t ts_event            #: of the last message that changed the book
    int64_t ts_recv             #: of that message
    int64_t ts_publish          #: of that message
    int64_t as_of               #: ring position up to which the slot has everything
    int64_t complete_bid_px     #: worst bid price down to which all is known; absent: the whole side
    int64_t complete_ask_px     #: worst ask price up to which all is known; absent: the whole side
    uint16_t state              #: see State
    uint16_t flags              #: crossed or locked, see Flag
    uint16_t n_bids             #: pairs of bids that are filled, best first
    uint16_t n_asks             #: pairs of asks that are filled, best first

#: head of a slot of an image; the pairs follow: images_depth bids, then images_depth asks
cdef struct ImageHead:
    int64_t sequence            #: the venue's last sequence that the image has
    int64_t ts_event            #: of the last message that changed the book
    int64_t ts_recv             #: of that message
    int64_t as_of               #: ring position up to which the image has everything
    int64_t complete_bid_px     #: worst bid price down to which all is known; absent: the whole side
    int64_t complete_ask_px     #: worst ask price up to which all is known; absent: the whole side
    uint32_t state              #: see State
    uint32_t n_bids             #: pairs of bids that are filled, best first
    uint32_t n_asks             #: pairs of asks that are filled, best first
    uint32_t _padding

#: one reader's row in the readers' file, which the feed never reads; behind it HISTOGRAM_SIZE counts (int64) of the
#: latency from publish to read. A row counts while its reader holds the lock of the row's first byte
cdef struct ReaderRow:
    uint64_t generation         #: of the bus that it reads
    uint32_t pid
    uint8_t wait                #: index of block, yield, spin
    uint8_t[3] _padding
    int64_t attached            #: ns since the epoch
    char[48] label              #: UTF-8, zero padded
    int64_t position            #: ring position of its next record
    int64_t read                #: records before that one
    int64_t lost                #: records that were overwritten before it read them
    int64_t behind              #: records between it and the tail
    int64_t heartbeat           #: CLOCK_MONOTONIC ns of this row
    int64_t latency_max         #: ns from publish to read; absent unless it is measured
    int64_t _reserved

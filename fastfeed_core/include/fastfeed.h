/* SPDX-License-Identifier: MIT

   fastfeed.h: reading a fastfeed bus from C11 or C++17. This one file is all that a reader needs.

   Made by `python -m tools.layout` from the structs that the feed itself is compiled from, and from the read side of
   its ring; not to be edited. A bus of another layout is refused by ff_open, with the first field that differs.

       ff_bus bus;
       static ff_reader reader;
       if (ff_open(&bus, "main") != FF_OK) { puts(bus.problem); return 1; }
       ff_reader_start(&reader, &bus, FF_START_NOW);
       for (;;) {
           const ff_record *record = ff_next(&reader);
           if (record == NULL) { ff_wait(&reader, FF_BLOCK, 100000000); continue; }
           if (record->head.kind == FF_KIND_TRADE) use(record->trade.px, record->trade.sz);
       }

   A reader cannot slow the feed down, nor can it be blocked by it. A slow one loses the oldest records and knows
   exactly how many (reader.ring.lost). On the idle path ask ff_is_closed, ff_is_alive and ff_is_current every
   100 ms or so. One thread at a time may use an ff_reader; any number of threads may share an ff_bus.

   Needs a little-endian machine of 64 bits, POSIX, and the atomic builtins of gcc or clang. */
#ifndef FASTFEED_H
#define FASTFEED_H

#if !defined(_GNU_SOURCE) && !defined(__cplusplus)
#define _GNU_SOURCE /* for flock and syscall under -std=c11 */
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#endif

#if defined(__GLIBC__) && !defined(__USE_MISC)
#error "include fastfeed.h before the system's headers, or define _GNU_SOURCE before them"
#endif
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a bus is little endian"
#endif

#ifdef __cplusplus
#define FF_STATIC_ASSERT(what, why) static_assert(what, why)
extern "C" {
#else
#define FF_STATIC_ASSERT(what, why) _Static_assert(what, why)
#endif

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */
#define FF_MAGIC 0x31475f4445454646ULL /* the first word of a data file */
#define FF_LAYOUT_VERSION 3
#define FF_HEADER_SIZE 4096
#define FF_MAX_PAIRS 4000    /* pairs of a delta or snapshot fragment never exceed this, whatever the ring's block */
#define FF_HISTOGRAM_SIZE 1216 /* buckets of a latency histogram, see counters.pxd */
#define FF_LIVE_OFFSET 512   /* of ff_bus_live in the data file */
#define FF_LIVE_READY 1      /* values of ff_bus_live.state */
#define FF_LIVE_CLOSED 2
#define FF_CELL_HEAD 128     /* bytes in front of the two slots of a cell or an image: the version word, alone */
#define FF_READER_ROWS 256   /* rows of the readers' file */
#define FF_READER_STRIDE 12288 /* bytes from one of them to the next */
#define FF_STALE_AFTER 1000000000 /* ns without a heartbeat after which nothing that the feed wrote is live */
#define FF_ID_INTEGER 1      /* values of ff_trade_record.id_kind */
#define FF_ID_UUID 2
#define FF_ID_TEXT 3
#define FF_SIDE_BUY 1        /* values of side */
#define FF_SIDE_SELL 2
#define FF_ABSENT INT64_MIN /* a value that the venue did not give */
#define FF_NO_INSTRUMENT UINT32_MAX /* head.instrument of a status of a connection or of the bus */

enum ff_kind {
    FF_KIND_BBO = 1,
    FF_KIND_TRADE = 2,
    FF_KIND_DELTA = 3,
    FF_KIND_SNAPSHOT = 4,
    FF_KIND_STATUS = 5,
    FF_KIND_TICKER = 6,
    FF_KIND_BAR = 7,
    FF_KIND_LIQUIDATION = 8,
};

enum ff_flag {
    FF_FLAG_FIRST = 1,   /* first and last fragment of a message; both are set on a message of one record */
    FF_FLAG_LAST = 2,
    FF_FLAG_DERIVED = 4, /* a bbo that was computed from the book */
    FF_FLAG_CROSSED = 8, /* the best bid is above the best ask, or equal to it */
    FF_FLAG_LOCKED = 16,
};

enum ff_state {
    FF_STATE_SYNCING = 0, /* no book: waiting for a snapshot */
    FF_STATE_LIVE = 1,    /* in step with the venue */
    FF_STATE_STALE = 2,   /* the last known book; nothing says that it still holds */
};

enum ff_reason {
    FF_REASON_NONE = 0,
    FF_REASON_SUBSCRIBED = 1,
    FF_REASON_SNAPSHOT = 2,
    FF_REASON_GAP = 3,
    FF_REASON_DISCONNECTED = 4,
    FF_REASON_MALFORMED = 5,
    FF_REASON_BUFFER_FULL = 6,
    FF_REASON_STOPPED = 7,
    FF_REASON_CONNECTED = 8,
    FF_REASON_REFUSED = 9,
    FF_REASON_INSTRUMENT = 10,
    FF_REASON_VENUE_RESET = 11,
    FF_REASON_RESTARTED = 12,
    FF_REASON_NO_DATA = 13,     /* a subscription that the venue took never brought anything */
    FF_REASON_REPAIRED = 14,    /* an unchained book was found to differ from the venue's, and replaced */
    FF_REASON_CROSSED = 15,     /* the best bid has come to lie above the best ask */
    FF_REASON_LAPPED = 16,      /* said by a reader alone: it was overtaken, and values that it showed may be old */
};

enum ff_scope_code {
    FF_SCOPE_INSTRUMENT = 0,
    FF_SCOPE_CONNECTION = 1,
    FF_SCOPE_BUS = 2,
};

/* The words of an instrument row: kind, option_type, status. */
enum {
    FF_INSTRUMENT_SPOT = 0,
    FF_INSTRUMENT_SWAP = 1,
    FF_INSTRUMENT_FUTURE = 2,
    FF_INSTRUMENT_OPTION = 3,
};
enum {
    FF_OPTION_NONE = 0,
    FF_OPTION_CALL = 1,
    FF_OPTION_PUT = 2,
};
enum {
    FF_STATUS_UNKNOWN = 0,
    FF_STATUS_TRADING = 1,
    FF_STATUS_CANCEL_ONLY = 2,
    FF_STATUS_HALTED = 3,
    FF_STATUS_PENDING = 4,
    FF_STATUS_CLOSED = 5,
};

/* ---- Records, cells and rows ------------------------------------------------------------------------------------- */
/* Times are ns since the Unix epoch unless a comment says otherwise; px and sz are mantissas:
   value = mantissa * 10**exponent of the instrument's row; ff_value makes a double of one. */

typedef struct {
    uint64_t stamp;      /* commit word of the ring */
    uint32_t seq;        /* low 32 bits of the number of records before this one */
    uint16_t length;     /* bytes with this head */
    uint8_t kind;        /* enum ff_kind */
    uint8_t flags;       /* enum ff_flag */
    uint32_t instrument; /* row of the instrument table */
    uint16_t connection; /* row of the connection table */
    uint16_t _reserved;
    int64_t ts_event;    /* when it happened, by the venue's clock */
    int64_t ts_send;     /* when the venue sent it, by the venue's clock */
    int64_t ts_recv;     /* when the socket was read */
    int64_t ts_publish;  /* when it was committed to the ring */
    int64_t sequence;    /* the venue's last sequence that the record covers */
} ff_record_head;

typedef struct {
    ff_record_head head;
    int64_t bid_px;      /* absent if nobody bids */
    int64_t bid_sz;      /* 0 if nobody bids */
    int64_t ask_px;      /* absent if nobody asks */
    int64_t ask_sz;      /* 0 if nobody asks */
} ff_bbo_record;

typedef struct {
    ff_record_head head;
    int64_t px;           /* price */
    int64_t sz;           /* size */
    uint8_t trade_id[16]; /* uint64, 16 bytes of a UUID, or text padded with zeros */
    uint8_t id_kind;      /* 1 integer, 2 UUID, 3 text */
    uint8_t side;         /* the taker's: 1 buy, 2 sell */
    uint8_t _padding[6];
} ff_trade_record;

/* the values last known; those that the venue never gave are absent. The exponents are those of the venue's text */
typedef struct {
    ff_record_head head;
    int64_t last;              /* price of the last trade */
    int64_t mark_price;        /* by which positions are valued */
    int64_t index_price;       /* of the venues that the contract follows */
    int64_t open_interest;     /* in the unit of sizes */
    int64_t funding_rate;      /* the current one, for one interval of the venue */
    int64_t volume;            /* of 24 hours, in the unit of sizes */
    int64_t next_funding_time; /* ns since the epoch */
    int8_t last_exp;           /* last * 10**last_exp is the price */
    int8_t mark_price_exp;     /* of mark_price, and so on */
    int8_t index_price_exp;
    int8_t open_interest_exp;
    int8_t funding_rate_exp;
    int8_t volume_exp;
    uint8_t _padding[2];
} ff_ticker_record;

typedef struct {
    ff_record_head head;
    int64_t start;       /* ns since the epoch */
    int64_t open;        /* prices */
    int64_t high;        /* greatest price of a trade */
    int64_t low;         /* least price of a trade */
    int64_t close;       /* last price of a trade */
    int64_t volume;      /* in the unit of sizes: volume * 10**volume_exp */
    uint32_t interval;   /* seconds */
    int8_t volume_exp;   /* of the volume */
    uint8_t closed;      /* 1: no further change */
    uint8_t _padding[2];
} ff_bar_record;

typedef struct {
    ff_record_head head;
    int64_t px;          /* price */
    int64_t sz;          /* size */
    uint8_t side;        /* the liquidating order's: 2 sell closes a long */
    uint8_t _padding[7];
} ff_liquidation_record;

/* deltas and snapshots: this, then n_bids and n_asks pairs (px, sz); size 0 removes the level */
typedef struct {
    ff_record_head head;
    int64_t prev_sequence;   /* the record covers the venue's sequences (prev_sequence, sequence] */
    int64_t complete_bid_px; /* worst bid price down to which all is known from now on; absent: the whole side */
    int64_t complete_ask_px; /* worst ask price up to which all is known from now on; absent: the whole side */
    uint16_t n_bids;         /* pairs of bids in this fragment */
    uint16_t n_asks;         /* pairs of asks in this fragment */
    uint32_t total;          /* pairs in all fragments of the message */
} ff_levels_record;

typedef struct {
    ff_record_head head;
    uint8_t scope;             /* enum ff_scope_code */
    uint8_t state;             /* enum ff_state */
    uint8_t reason;            /* enum ff_reason */
    uint8_t instrument_status; /* with the reason `instrument`: index of the status words */
    uint8_t _padding[4];
    int64_t expected;          /* a gap: the sequence that should have come before; absent otherwise */
    int64_t received;          /* a gap: the one that came */
} ff_status_record;

/* a level as it stands behind a LevelsRecord, in cells and in images */
typedef struct {
    int64_t px; /* price */
    int64_t sz; /* size, 0 removes */
} ff_level_pair;

typedef struct {
    uint64_t magic;                /* "FFEED_G1" */
    uint32_t layout_version;       /* another one is refused */
    uint32_t line;                 /* bytes of a cache line: 64 */
    uint64_t total_bytes;          /* of the data file */
    uint64_t generation;           /* of this file; grows with each start of a feed */
    uint64_t pid;                  /* the producer's */
    uint64_t pid_start;            /* its start time in clock ticks since boot */
    int64_t created;               /* ns since the epoch */
    int64_t bell;                  /* id of the System V segment by which readers ask to be woken; -1: there is none */
    uint64_t description_offset;   /* bytes from the start of the file, as all offsets */
    uint64_t description_size;     /* bytes of the records' own description */
    uint64_t control_offset;       /* the ring's control words */
    uint64_t ring_offset;          /* of the ring's first byte, on a page */
    uint64_t ring_capacity;        /* a power of two */
    uint64_t instruments_offset;   /* of the instrument table */
    uint64_t instruments_stride;   /* bytes of a row */
    uint64_t instruments_capacity; /* rows that there is room for */
    uint64_t connections_offset;   /* of the connection table; memory is taken as rows come */
    uint64_t connections_stride;   /* bytes of a row with its latencies */
    uint64_t connections_capacity; /* rows that there is room for */
    uint64_t cells_offset;         /* of the top cells, one a row of the instrument table */
    uint64_t cells_stride;         /* bytes of a cell: its version, then two slots */
    uint64_t cells_depth;          /* levels a side of a top cell */
    uint64_t latencies_offset;     /* of the instruments, one a row of the instrument table */
    uint64_t latencies_stride;     /* bytes of a LatencyHead with its counts */
    uint64_t images_offset;        /* of the images of whole books, one a row; memory is taken as books come */
    uint64_t images_stride;        /* bytes of an image: its version, then two slots */
    uint64_t images_depth;         /* levels a side of an image */
    uint64_t histogram_size;       /* buckets of a latency histogram */
} ff_bus_header;

/* what changes while the feed lives; on lines of its own behind the header */
typedef struct {
    uint64_t state;       /* 0 being made, 1 ready, 2 closed */
    int64_t heartbeat;    /* CLOCK_MONOTONIC ns */
    uint64_t instruments; /* rows in use */
    uint64_t connections; /* rows in use */
    uint64_t wake;        /* futex word (low half): changed at each wake-up */
    int64_t wakes;        /* wake-ups of sleeping readers so far: system calls of the feed */
    uint64_t huge_bytes;  /* of the data file that the feed has mapped by huge pages */
} ff_bus_live;

typedef struct {
    char name[64];             /* UTF-8, zero padded */
    char symbol[48];           /* the venue's */
    char venue[16];            /* id of the venue */
    char base[16];             /* what is traded */
    char quote[16];            /* what it is priced in */
    char settle[16];           /* empty on spot */
    char contract_unit[16];    /* what one contract is measured in */
    int64_t tick_mantissa;     /* tick size = mantissa * 10**exponent */
    int64_t lot_mantissa;      /* lot size */
    int64_t contract_mantissa; /* contract size: of contract_unit in one unit of size */
    int64_t strike_mantissa;   /* absent unless an option */
    int64_t expiry;            /* ns since the epoch, absent if none */
    int8_t tick_exp;           /* of the tick size, and so on */
    int8_t lot_exp;
    int8_t contract_exp;
    int8_t strike_exp;
    int8_t px_exp;             /* price = px * 10**px_exp */
    int8_t sz_exp;             /* size = sz * 10**sz_exp */
    uint8_t kind;              /* index of spot, swap, future, option */
    uint8_t option_type;       /* 0 none, 1 call, 2 put */
    uint8_t inverse;           /* 1: settled in the base */
    uint8_t chained;           /* 1: a lost delta is seen at the next one */
    uint8_t has_book;          /* 1: a book is kept for it */
    uint8_t _padding;
    uint32_t status;           /* index of the status words */
    /* counters, by the feed alone */
    int64_t deltas;            /* published */
    int64_t snapshots;         /* published */
    int64_t bbos;              /* published */
    int64_t trades;            /* published */
    int64_t tickers;           /* published */
    int64_t bars;              /* published */
    int64_t liquidations;      /* published */
    int64_t old;               /* deltas that the book had already */
    int64_t gaps;              /* sequences found missing: the book was dropped */
    int64_t source_gaps;       /* ... on one source while another was in step */
    int64_t resyncs;           /* times the book became live */
    int64_t refused;           /* messages with a value that does not fit */
    int64_t held;              /* deltas kept while a snapshot was on its way */
    int64_t held_lost;         /* deltas that found no room */
    int64_t repairs;           /* times an unchained book was found wrong, and replaced */
    int64_t no_data;           /* subscriptions that were taken and brought nothing */
    int64_t crossed;           /* messages that left the best bid above the best ask */
    int64_t locked;            /* ... equal to it */
} ff_instrument_row;

typedef struct {
    char label[64];       /* venue, product and route */
    int64_t connected;    /* ns since the epoch of the last connect, 0 if closed */
    int64_t connects;     /* sockets opened */
    int64_t disconnects;  /* sockets lost or closed */
    int64_t frames;       /* messages that came */
    int64_t bytes;        /* of these messages */
    int64_t controls;     /* acks, errors, notices */
    int64_t malformed;    /* frames that were refused */
    int64_t unrouted;     /* frames of topics that nobody asked for */
    int64_t fallbacks;    /* frames that the specialised scanners left to the cursor */
    int64_t wrong_symbol; /* frames of a known topic that name another symbol */
    int64_t last_recv;    /* ns since the epoch of the last socket read */
    int64_t wins;         /* messages that it brought first, of instruments with several sources */
    int64_t losses;       /* ... that another one had brought */
    int64_t leads;        /* ... that it brought first and another one later */
    int64_t lead_sum;     /* ns by which it was first, of all of those together */
    int64_t lead_max;     /* ns */
} ff_connection_row;

/* latencies of a connection (behind its row) or of an instrument, in ns; behind it HISTOGRAM_SIZE counts (int64) of socket read to ring, then as many of venue to socket read. A difference of two clocks below 0 is counted as 0 */
typedef struct {
    int64_t ring_max;    /* greatest from socket read to ring */
    int64_t venue_max;   /* greatest from the venue's time of sending to socket read */
    int64_t venue_min;   /* least of those, signed: how far the clocks disagree; INT64_MAX before the first */
    int64_t venue_ahead; /* messages that the venue's clock had sent after they were read */
    int64_t _padding[4];
} ff_latency_head;

/* head of a slot of a top cell; the pairs follow: cells_depth bids, then cells_depth asks */
typedef struct {
    int64_t sequence;        /* the venue's last sequence that the book has */
    int64_t ts_event;        /* of the last message that changed the book */
    int64_t ts_recv;         /* of that message */
    int64_t ts_publish;      /* of that message */
    int64_t as_of;           /* ring position up to which the slot has everything */
    int64_t complete_bid_px; /* worst bid price down to which all is known; absent: the whole side */
    int64_t complete_ask_px; /* worst ask price up to which all is known; absent: the whole side */
    uint16_t state;          /* enum ff_state */
    uint16_t flags;          /* crossed or locked, enum ff_flag */
    uint16_t n_bids;         /* pairs of bids that are filled, best first */
    uint16_t n_asks;         /* pairs of asks that are filled, best first */
} ff_top_head;

/* head of a slot of an image; the pairs follow: images_depth bids, then images_depth asks */
typedef struct {
    int64_t sequence;        /* the venue's last sequence that the image has */
    int64_t ts_event;        /* of the last message that changed the book */
    int64_t ts_recv;         /* of that message */
    int64_t as_of;           /* ring position up to which the image has everything */
    int64_t complete_bid_px; /* worst bid price down to which all is known; absent: the whole side */
    int64_t complete_ask_px; /* worst ask price up to which all is known; absent: the whole side */
    uint32_t state;          /* enum ff_state */
    uint32_t n_bids;         /* pairs of bids that are filled, best first */
    uint32_t n_asks;         /* pairs of asks that are filled, best first */
    uint32_t _padding;
} ff_image_head;

/* one reader's row in the readers' file, which the feed never reads; behind it HISTOGRAM_SIZE counts (int64) of the latency from publish to read. A row counts while its reader holds the lock of the row's first byte */
typedef struct {
    uint64_t generation; /* of the bus that it reads */
    uint32_t pid;
    uint8_t wait;        /* index of block, yield, spin */
    uint8_t _padding[3];
    int64_t attached;    /* ns since the epoch */
    char label[48];      /* UTF-8, zero padded */
    int64_t position;    /* ring position of its next record */
    int64_t read;        /* records before that one */
    int64_t lost;        /* records that were overwritten before it read them */
    int64_t behind;      /* records between it and the tail */
    int64_t heartbeat;   /* CLOCK_MONOTONIC ns of this row */
    int64_t latency_max; /* ns from publish to read; absent unless it is measured */
    int64_t _reserved;
} ff_reader_row;

/* The compiler lays them out as the feed's did. */
FF_STATIC_ASSERT(sizeof(ff_record_head) == 64, "size of ff_record_head");
FF_STATIC_ASSERT(offsetof(ff_record_head, stamp) == 0, "ff_record_head.stamp");
FF_STATIC_ASSERT(offsetof(ff_record_head, seq) == 8, "ff_record_head.seq");
FF_STATIC_ASSERT(offsetof(ff_record_head, length) == 12, "ff_record_head.length");
FF_STATIC_ASSERT(offsetof(ff_record_head, kind) == 14, "ff_record_head.kind");
FF_STATIC_ASSERT(offsetof(ff_record_head, flags) == 15, "ff_record_head.flags");
FF_STATIC_ASSERT(offsetof(ff_record_head, instrument) == 16, "ff_record_head.instrument");
FF_STATIC_ASSERT(offsetof(ff_record_head, connection) == 20, "ff_record_head.connection");
FF_STATIC_ASSERT(offsetof(ff_record_head, _reserved) == 22, "ff_record_head._reserved");
FF_STATIC_ASSERT(offsetof(ff_record_head, ts_event) == 24, "ff_record_head.ts_event");
FF_STATIC_ASSERT(offsetof(ff_record_head, ts_send) == 32, "ff_record_head.ts_send");
FF_STATIC_ASSERT(offsetof(ff_record_head, ts_recv) == 40, "ff_record_head.ts_recv");
FF_STATIC_ASSERT(offsetof(ff_record_head, ts_publish) == 48, "ff_record_head.ts_publish");
FF_STATIC_ASSERT(offsetof(ff_record_head, sequence) == 56, "ff_record_head.sequence");
FF_STATIC_ASSERT(sizeof(ff_bbo_record) == 96, "size of ff_bbo_record");
FF_STATIC_ASSERT(offsetof(ff_bbo_record, head) == 0, "ff_bbo_record.head");
FF_STATIC_ASSERT(offsetof(ff_bbo_record, bid_px) == 64, "ff_bbo_record.bid_px");
FF_STATIC_ASSERT(offsetof(ff_bbo_record, bid_sz) == 72, "ff_bbo_record.bid_sz");
FF_STATIC_ASSERT(offsetof(ff_bbo_record, ask_px) == 80, "ff_bbo_record.ask_px");
FF_STATIC_ASSERT(offsetof(ff_bbo_record, ask_sz) == 88, "ff_bbo_record.ask_sz");
FF_STATIC_ASSERT(sizeof(ff_trade_record) == 104, "size of ff_trade_record");
FF_STATIC_ASSERT(offsetof(ff_trade_record, head) == 0, "ff_trade_record.head");
FF_STATIC_ASSERT(offsetof(ff_trade_record, px) == 64, "ff_trade_record.px");
FF_STATIC_ASSERT(offsetof(ff_trade_record, sz) == 72, "ff_trade_record.sz");
FF_STATIC_ASSERT(offsetof(ff_trade_record, trade_id) == 80, "ff_trade_record.trade_id");
FF_STATIC_ASSERT(offsetof(ff_trade_record, id_kind) == 96, "ff_trade_record.id_kind");
FF_STATIC_ASSERT(offsetof(ff_trade_record, side) == 97, "ff_trade_record.side");
FF_STATIC_ASSERT(offsetof(ff_trade_record, _padding) == 98, "ff_trade_record._padding");
FF_STATIC_ASSERT(sizeof(ff_ticker_record) == 128, "size of ff_ticker_record");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, head) == 0, "ff_ticker_record.head");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, last) == 64, "ff_ticker_record.last");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, mark_price) == 72, "ff_ticker_record.mark_price");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, index_price) == 80, "ff_ticker_record.index_price");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, open_interest) == 88, "ff_ticker_record.open_interest");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, funding_rate) == 96, "ff_ticker_record.funding_rate");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, volume) == 104, "ff_ticker_record.volume");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, next_funding_time) == 112, "ff_ticker_record.next_funding_time");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, last_exp) == 120, "ff_ticker_record.last_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, mark_price_exp) == 121, "ff_ticker_record.mark_price_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, index_price_exp) == 122, "ff_ticker_record.index_price_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, open_interest_exp) == 123, "ff_ticker_record.open_interest_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, funding_rate_exp) == 124, "ff_ticker_record.funding_rate_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, volume_exp) == 125, "ff_ticker_record.volume_exp");
FF_STATIC_ASSERT(offsetof(ff_ticker_record, _padding) == 126, "ff_ticker_record._padding");
FF_STATIC_ASSERT(sizeof(ff_bar_record) == 120, "size of ff_bar_record");
FF_STATIC_ASSERT(offsetof(ff_bar_record, head) == 0, "ff_bar_record.head");
FF_STATIC_ASSERT(offsetof(ff_bar_record, start) == 64, "ff_bar_record.start");
FF_STATIC_ASSERT(offsetof(ff_bar_record, open) == 72, "ff_bar_record.open");
FF_STATIC_ASSERT(offsetof(ff_bar_record, high) == 80, "ff_bar_record.high");
FF_STATIC_ASSERT(offsetof(ff_bar_record, low) == 88, "ff_bar_record.low");
FF_STATIC_ASSERT(offsetof(ff_bar_record, close) == 96, "ff_bar_record.close");
FF_STATIC_ASSERT(offsetof(ff_bar_record, volume) == 104, "ff_bar_record.volume");
FF_STATIC_ASSERT(offsetof(ff_bar_record, interval) == 112, "ff_bar_record.interval");
FF_STATIC_ASSERT(offsetof(ff_bar_record, volume_exp) == 116, "ff_bar_record.volume_exp");
FF_STATIC_ASSERT(offsetof(ff_bar_record, closed) == 117, "ff_bar_record.closed");
FF_STATIC_ASSERT(offsetof(ff_bar_record, _padding) == 118, "ff_bar_record._padding");
FF_STATIC_ASSERT(sizeof(ff_liquidation_record) == 88, "size of ff_liquidation_record");
FF_STATIC_ASSERT(offsetof(ff_liquidation_record, head) == 0, "ff_liquidation_record.head");
FF_STATIC_ASSERT(offsetof(ff_liquidation_record, px) == 64, "ff_liquidation_record.px");
FF_STATIC_ASSERT(offsetof(ff_liquidation_record, sz) == 72, "ff_liquidation_record.sz");
FF_STATIC_ASSERT(offsetof(ff_liquidation_record, side) == 80, "ff_liquidation_record.side");
FF_STATIC_ASSERT(offsetof(ff_liquidation_record, _padding) == 81, "ff_liquidation_record._padding");
FF_STATIC_ASSERT(sizeof(ff_levels_record) == 96, "size of ff_levels_record");
FF_STATIC_ASSERT(offsetof(ff_levels_record, head) == 0, "ff_levels_record.head");
FF_STATIC_ASSERT(offsetof(ff_levels_record, prev_sequence) == 64, "ff_levels_record.prev_sequence");
FF_STATIC_ASSERT(offsetof(ff_levels_record, complete_bid_px) == 72, "ff_levels_record.complete_bid_px");
FF_STATIC_ASSERT(offsetof(ff_levels_record, complete_ask_px) == 80, "ff_levels_record.complete_ask_px");
FF_STATIC_ASSERT(offsetof(ff_levels_record, n_bids) == 88, "ff_levels_record.n_bids");
FF_STATIC_ASSERT(offsetof(ff_levels_record, n_asks) == 90, "ff_levels_record.n_asks");
FF_STATIC_ASSERT(offsetof(ff_levels_record, total) == 92, "ff_levels_record.total");
FF_STATIC_ASSERT(sizeof(ff_status_record) == 88, "size of ff_status_record");
FF_STATIC_ASSERT(offsetof(ff_status_record, head) == 0, "ff_status_record.head");
FF_STATIC_ASSERT(offsetof(ff_status_record, scope) == 64, "ff_status_record.scope");
FF_STATIC_ASSERT(offsetof(ff_status_record, state) == 65, "ff_status_record.state");
FF_STATIC_ASSERT(offsetof(ff_status_record, reason) == 66, "ff_status_record.reason");
FF_STATIC_ASSERT(offsetof(ff_status_record, instrument_status) == 67, "ff_status_record.instrument_status");
FF_STATIC_ASSERT(offsetof(ff_status_record, _padding) == 68, "ff_status_record._padding");
FF_STATIC_ASSERT(offsetof(ff_status_record, expected) == 72, "ff_status_record.expected");
FF_STATIC_ASSERT(offsetof(ff_status_record, received) == 80, "ff_status_record.received");
FF_STATIC_ASSERT(sizeof(ff_level_pair) == 16, "size of ff_level_pair");
FF_STATIC_ASSERT(offsetof(ff_level_pair, px) == 0, "ff_level_pair.px");
FF_STATIC_ASSERT(offsetof(ff_level_pair, sz) == 8, "ff_level_pair.sz");
FF_STATIC_ASSERT(sizeof(ff_bus_header) == 224, "size of ff_bus_header");
FF_STATIC_ASSERT(offsetof(ff_bus_header, magic) == 0, "ff_bus_header.magic");
FF_STATIC_ASSERT(offsetof(ff_bus_header, layout_version) == 8, "ff_bus_header.layout_version");
FF_STATIC_ASSERT(offsetof(ff_bus_header, line) == 12, "ff_bus_header.line");
FF_STATIC_ASSERT(offsetof(ff_bus_header, total_bytes) == 16, "ff_bus_header.total_bytes");
FF_STATIC_ASSERT(offsetof(ff_bus_header, generation) == 24, "ff_bus_header.generation");
FF_STATIC_ASSERT(offsetof(ff_bus_header, pid) == 32, "ff_bus_header.pid");
FF_STATIC_ASSERT(offsetof(ff_bus_header, pid_start) == 40, "ff_bus_header.pid_start");
FF_STATIC_ASSERT(offsetof(ff_bus_header, created) == 48, "ff_bus_header.created");
FF_STATIC_ASSERT(offsetof(ff_bus_header, bell) == 56, "ff_bus_header.bell");
FF_STATIC_ASSERT(offsetof(ff_bus_header, description_offset) == 64, "ff_bus_header.description_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, description_size) == 72, "ff_bus_header.description_size");
FF_STATIC_ASSERT(offsetof(ff_bus_header, control_offset) == 80, "ff_bus_header.control_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, ring_offset) == 88, "ff_bus_header.ring_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, ring_capacity) == 96, "ff_bus_header.ring_capacity");
FF_STATIC_ASSERT(offsetof(ff_bus_header, instruments_offset) == 104, "ff_bus_header.instruments_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, instruments_stride) == 112, "ff_bus_header.instruments_stride");
FF_STATIC_ASSERT(offsetof(ff_bus_header, instruments_capacity) == 120, "ff_bus_header.instruments_capacity");
FF_STATIC_ASSERT(offsetof(ff_bus_header, connections_offset) == 128, "ff_bus_header.connections_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, connections_stride) == 136, "ff_bus_header.connections_stride");
FF_STATIC_ASSERT(offsetof(ff_bus_header, connections_capacity) == 144, "ff_bus_header.connections_capacity");
FF_STATIC_ASSERT(offsetof(ff_bus_header, cells_offset) == 152, "ff_bus_header.cells_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, cells_stride) == 160, "ff_bus_header.cells_stride");
FF_STATIC_ASSERT(offsetof(ff_bus_header, cells_depth) == 168, "ff_bus_header.cells_depth");
FF_STATIC_ASSERT(offsetof(ff_bus_header, latencies_offset) == 176, "ff_bus_header.latencies_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, latencies_stride) == 184, "ff_bus_header.latencies_stride");
FF_STATIC_ASSERT(offsetof(ff_bus_header, images_offset) == 192, "ff_bus_header.images_offset");
FF_STATIC_ASSERT(offsetof(ff_bus_header, images_stride) == 200, "ff_bus_header.images_stride");
FF_STATIC_ASSERT(offsetof(ff_bus_header, images_depth) == 208, "ff_bus_header.images_depth");
FF_STATIC_ASSERT(offsetof(ff_bus_header, histogram_size) == 216, "ff_bus_header.histogram_size");
FF_STATIC_ASSERT(sizeof(ff_bus_live) == 56, "size of ff_bus_live");
FF_STATIC_ASSERT(offsetof(ff_bus_live, state) == 0, "ff_bus_live.state");
FF_STATIC_ASSERT(offsetof(ff_bus_live, heartbeat) == 8, "ff_bus_live.heartbeat");
FF_STATIC_ASSERT(offsetof(ff_bus_live, instruments) == 16, "ff_bus_live.instruments");
FF_STATIC_ASSERT(offsetof(ff_bus_live, connections) == 24, "ff_bus_live.connections");
FF_STATIC_ASSERT(offsetof(ff_bus_live, wake) == 32, "ff_bus_live.wake");
FF_STATIC_ASSERT(offsetof(ff_bus_live, wakes) == 40, "ff_bus_live.wakes");
FF_STATIC_ASSERT(offsetof(ff_bus_live, huge_bytes) == 48, "ff_bus_live.huge_bytes");
FF_STATIC_ASSERT(sizeof(ff_instrument_row) == 392, "size of ff_instrument_row");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, name) == 0, "ff_instrument_row.name");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, symbol) == 64, "ff_instrument_row.symbol");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, venue) == 112, "ff_instrument_row.venue");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, base) == 128, "ff_instrument_row.base");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, quote) == 144, "ff_instrument_row.quote");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, settle) == 160, "ff_instrument_row.settle");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, contract_unit) == 176, "ff_instrument_row.contract_unit");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, tick_mantissa) == 192, "ff_instrument_row.tick_mantissa");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, lot_mantissa) == 200, "ff_instrument_row.lot_mantissa");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, contract_mantissa) == 208, "ff_instrument_row.contract_mantissa");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, strike_mantissa) == 216, "ff_instrument_row.strike_mantissa");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, expiry) == 224, "ff_instrument_row.expiry");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, tick_exp) == 232, "ff_instrument_row.tick_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, lot_exp) == 233, "ff_instrument_row.lot_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, contract_exp) == 234, "ff_instrument_row.contract_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, strike_exp) == 235, "ff_instrument_row.strike_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, px_exp) == 236, "ff_instrument_row.px_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, sz_exp) == 237, "ff_instrument_row.sz_exp");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, kind) == 238, "ff_instrument_row.kind");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, option_type) == 239, "ff_instrument_row.option_type");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, inverse) == 240, "ff_instrument_row.inverse");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, chained) == 241, "ff_instrument_row.chained");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, has_book) == 242, "ff_instrument_row.has_book");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, _padding) == 243, "ff_instrument_row._padding");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, status) == 244, "ff_instrument_row.status");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, deltas) == 248, "ff_instrument_row.deltas");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, snapshots) == 256, "ff_instrument_row.snapshots");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, bbos) == 264, "ff_instrument_row.bbos");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, trades) == 272, "ff_instrument_row.trades");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, tickers) == 280, "ff_instrument_row.tickers");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, bars) == 288, "ff_instrument_row.bars");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, liquidations) == 296, "ff_instrument_row.liquidations");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, old) == 304, "ff_instrument_row.old");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, gaps) == 312, "ff_instrument_row.gaps");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, source_gaps) == 320, "ff_instrument_row.source_gaps");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, resyncs) == 328, "ff_instrument_row.resyncs");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, refused) == 336, "ff_instrument_row.refused");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, held) == 344, "ff_instrument_row.held");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, held_lost) == 352, "ff_instrument_row.held_lost");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, repairs) == 360, "ff_instrument_row.repairs");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, no_data) == 368, "ff_instrument_row.no_data");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, crossed) == 376, "ff_instrument_row.crossed");
FF_STATIC_ASSERT(offsetof(ff_instrument_row, locked) == 384, "ff_instrument_row.locked");
FF_STATIC_ASSERT(sizeof(ff_connection_row) == 192, "size of ff_connection_row");
FF_STATIC_ASSERT(offsetof(ff_connection_row, label) == 0, "ff_connection_row.label");
FF_STATIC_ASSERT(offsetof(ff_connection_row, connected) == 64, "ff_connection_row.connected");
FF_STATIC_ASSERT(offsetof(ff_connection_row, connects) == 72, "ff_connection_row.connects");
FF_STATIC_ASSERT(offsetof(ff_connection_row, disconnects) == 80, "ff_connection_row.disconnects");
FF_STATIC_ASSERT(offsetof(ff_connection_row, frames) == 88, "ff_connection_row.frames");
FF_STATIC_ASSERT(offsetof(ff_connection_row, bytes) == 96, "ff_connection_row.bytes");
FF_STATIC_ASSERT(offsetof(ff_connection_row, controls) == 104, "ff_connection_row.controls");
FF_STATIC_ASSERT(offsetof(ff_connection_row, malformed) == 112, "ff_connection_row.malformed");
FF_STATIC_ASSERT(offsetof(ff_connection_row, unrouted) == 120, "ff_connection_row.unrouted");
FF_STATIC_ASSERT(offsetof(ff_connection_row, fallbacks) == 128, "ff_connection_row.fallbacks");
FF_STATIC_ASSERT(offsetof(ff_connection_row, wrong_symbol) == 136, "ff_connection_row.wrong_symbol");
FF_STATIC_ASSERT(offsetof(ff_connection_row, last_recv) == 144, "ff_connection_row.last_recv");
FF_STATIC_ASSERT(offsetof(ff_connection_row, wins) == 152, "ff_connection_row.wins");
FF_STATIC_ASSERT(offsetof(ff_connection_row, losses) == 160, "ff_connection_row.losses");
FF_STATIC_ASSERT(offsetof(ff_connection_row, leads) == 168, "ff_connection_row.leads");
FF_STATIC_ASSERT(offsetof(ff_connection_row, lead_sum) == 176, "ff_connection_row.lead_sum");
FF_STATIC_ASSERT(offsetof(ff_connection_row, lead_max) == 184, "ff_connection_row.lead_max");
FF_STATIC_ASSERT(sizeof(ff_latency_head) == 64, "size of ff_latency_head");
FF_STATIC_ASSERT(offsetof(ff_latency_head, ring_max) == 0, "ff_latency_head.ring_max");
FF_STATIC_ASSERT(offsetof(ff_latency_head, venue_max) == 8, "ff_latency_head.venue_max");
FF_STATIC_ASSERT(offsetof(ff_latency_head, venue_min) == 16, "ff_latency_head.venue_min");
FF_STATIC_ASSERT(offsetof(ff_latency_head, venue_ahead) == 24, "ff_latency_head.venue_ahead");
FF_STATIC_ASSERT(offsetof(ff_latency_head, _padding) == 32, "ff_latency_head._padding");
FF_STATIC_ASSERT(sizeof(ff_top_head) == 64, "size of ff_top_head");
FF_STATIC_ASSERT(offsetof(ff_top_head, sequence) == 0, "ff_top_head.sequence");
FF_STATIC_ASSERT(offsetof(ff_top_head, ts_event) == 8, "ff_top_head.ts_event");
FF_STATIC_ASSERT(offsetof(ff_top_head, ts_recv) == 16, "ff_top_head.ts_recv");
FF_STATIC_ASSERT(offsetof(ff_top_head, ts_publish) == 24, "ff_top_head.ts_publish");
FF_STATIC_ASSERT(offsetof(ff_top_head, as_of) == 32, "ff_top_head.as_of");
FF_STATIC_ASSERT(offsetof(ff_top_head, complete_bid_px) == 40, "ff_top_head.complete_bid_px");
FF_STATIC_ASSERT(offsetof(ff_top_head, complete_ask_px) == 48, "ff_top_head.complete_ask_px");
FF_STATIC_ASSERT(offsetof(ff_top_head, state) == 56, "ff_top_head.state");
FF_STATIC_ASSERT(offsetof(ff_top_head, flags) == 58, "ff_top_head.flags");
FF_STATIC_ASSERT(offsetof(ff_top_head, n_bids) == 60, "ff_top_head.n_bids");
FF_STATIC_ASSERT(offsetof(ff_top_head, n_asks) == 62, "ff_top_head.n_asks");
FF_STATIC_ASSERT(sizeof(ff_image_head) == 64, "size of ff_image_head");
FF_STATIC_ASSERT(offsetof(ff_image_head, sequence) == 0, "ff_image_head.sequence");
FF_STATIC_ASSERT(offsetof(ff_image_head, ts_event) == 8, "ff_image_head.ts_event");
FF_STATIC_ASSERT(offsetof(ff_image_head, ts_recv) == 16, "ff_image_head.ts_recv");
FF_STATIC_ASSERT(offsetof(ff_image_head, as_of) == 24, "ff_image_head.as_of");
FF_STATIC_ASSERT(offsetof(ff_image_head, complete_bid_px) == 32, "ff_image_head.complete_bid_px");
FF_STATIC_ASSERT(offsetof(ff_image_head, complete_ask_px) == 40, "ff_image_head.complete_ask_px");
FF_STATIC_ASSERT(offsetof(ff_image_head, state) == 48, "ff_image_head.state");
FF_STATIC_ASSERT(offsetof(ff_image_head, n_bids) == 52, "ff_image_head.n_bids");
FF_STATIC_ASSERT(offsetof(ff_image_head, n_asks) == 56, "ff_image_head.n_asks");
FF_STATIC_ASSERT(offsetof(ff_image_head, _padding) == 60, "ff_image_head._padding");
FF_STATIC_ASSERT(sizeof(ff_reader_row) == 128, "size of ff_reader_row");
FF_STATIC_ASSERT(offsetof(ff_reader_row, generation) == 0, "ff_reader_row.generation");
FF_STATIC_ASSERT(offsetof(ff_reader_row, pid) == 8, "ff_reader_row.pid");
FF_STATIC_ASSERT(offsetof(ff_reader_row, wait) == 12, "ff_reader_row.wait");
FF_STATIC_ASSERT(offsetof(ff_reader_row, _padding) == 13, "ff_reader_row._padding");
FF_STATIC_ASSERT(offsetof(ff_reader_row, attached) == 16, "ff_reader_row.attached");
FF_STATIC_ASSERT(offsetof(ff_reader_row, label) == 24, "ff_reader_row.label");
FF_STATIC_ASSERT(offsetof(ff_reader_row, position) == 72, "ff_reader_row.position");
FF_STATIC_ASSERT(offsetof(ff_reader_row, read) == 80, "ff_reader_row.read");
FF_STATIC_ASSERT(offsetof(ff_reader_row, lost) == 88, "ff_reader_row.lost");
FF_STATIC_ASSERT(offsetof(ff_reader_row, behind) == 96, "ff_reader_row.behind");
FF_STATIC_ASSERT(offsetof(ff_reader_row, heartbeat) == 104, "ff_reader_row.heartbeat");
FF_STATIC_ASSERT(offsetof(ff_reader_row, latency_max) == 112, "ff_reader_row.latency_max");
FF_STATIC_ASSERT(offsetof(ff_reader_row, _reserved) == 120, "ff_reader_row._reserved");

/* The same as text: what the feed writes into each data file. */
static const char *const ff_description[] = {
    "Head 64 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 connection:u2@20 "
    "_reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 sequence:i8@56",
    "BboRecord 96 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 bid_px:i8@64 bid_sz:i8@72 ask_px:i8@80 ask_sz:i8@88",
    "TradeRecord 104 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 px:i8@64 sz:i8@72 trade_id:u1*16@80 id_kind:u1@96 side:u1@97 _padding:u1*6@98",
    "LevelsRecord 96 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 prev_sequence:i8@64 complete_bid_px:i8@72 complete_ask_px:i8@80 n_bids:u2@88 "
    "n_asks:u2@90 total:u4@92",
    "StatusRecord 88 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 scope:u1@64 state:u1@65 reason:u1@66 instrument_status:u1@67 _padding:u1*4@68 "
    "expected:i8@72 received:i8@80",
    "TickerRecord 128 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 last:i8@64 mark_price:i8@72 index_price:i8@80 open_interest:i8@88 funding_rate:i8@96 "
    "volume:i8@104 next_funding_time:i8@112 last_exp:i1@120 mark_price_exp:i1@121 index_price_exp:i1@122 "
    "open_interest_exp:i1@123 funding_rate_exp:i1@124 volume_exp:i1@125 _padding:u1*2@126",
    "BarRecord 120 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 start:i8@64 open:i8@72 high:i8@80 low:i8@88 close:i8@96 volume:i8@104 interval:u4@112 "
    "volume_exp:i1@116 closed:u1@117 _padding:u1*2@118",
    "LiquidationRecord 88 stamp:u8@0 seq:u4@8 length:u2@12 kind:u1@14 flags:u1@15 instrument:u4@16 "
    "connection:u2@20 _reserved:u2@22 ts_event:i8@24 ts_send:i8@32 ts_recv:i8@40 ts_publish:i8@48 "
    "sequence:i8@56 px:i8@64 sz:i8@72 side:u1@80 _padding:u1*7@81",
    "LevelPair 16 px:i8@0 sz:i8@8",
    "BusHeader 224 magic:u8@0 layout_version:u4@8 line:u4@12 total_bytes:u8@16 generation:u8@24 pid:u8@32 "
    "pid_start:u8@40 created:i8@48 bell:i8@56 description_offset:u8@64 description_size:u8@72 "
    "control_offset:u8@80 ring_offset:u8@88 ring_capacity:u8@96 instruments_offset:u8@104 "
    "instruments_stride:u8@112 instruments_capacity:u8@120 connections_offset:u8@128 "
    "connections_stride:u8@136 connections_capacity:u8@144 cells_offset:u8@152 cells_stride:u8@160 "
    "cells_depth:u8@168 latencies_offset:u8@176 latencies_stride:u8@184 images_offset:u8@192 "
    "images_stride:u8@200 images_depth:u8@208 histogram_size:u8@216",
    "BusLive 56 state:u8@0 heartbeat:i8@8 instruments:u8@16 connections:u8@24 wake:u8@32 wakes:i8@40 "
    "huge_bytes:u8@48",
    "InstrumentRow 392 name:S64@0 symbol:S48@64 venue:S16@112 base:S16@128 quote:S16@144 settle:S16@160 "
    "contract_unit:S16@176 tick_mantissa:i8@192 lot_mantissa:i8@200 contract_mantissa:i8@208 "
    "strike_mantissa:i8@216 expiry:i8@224 tick_exp:i1@232 lot_exp:i1@233 contract_exp:i1@234 "
    "strike_exp:i1@235 px_exp:i1@236 sz_exp:i1@237 kind:u1@238 option_type:u1@239 inverse:u1@240 "
    "chained:u1@241 has_book:u1@242 _padding:u1@243 status:u4@244 deltas:i8@248 snapshots:i8@256 "
    "bbos:i8@264 trades:i8@272 tickers:i8@280 bars:i8@288 liquidations:i8@296 old:i8@304 gaps:i8@312 "
    "source_gaps:i8@320 resyncs:i8@328 refused:i8@336 held:i8@344 held_lost:i8@352 repairs:i8@360 "
    "no_data:i8@368 crossed:i8@376 locked:i8@384",
    "ConnectionRow 192 label:S64@0 connected:i8@64 connects:i8@72 disconnects:i8@80 frames:i8@88 "
    "bytes:i8@96 controls:i8@104 malformed:i8@112 unrouted:i8@120 fallbacks:i8@128 wrong_symbol:i8@136 "
    "last_recv:i8@144 wins:i8@152 losses:i8@160 leads:i8@168 lead_sum:i8@176 lead_max:i8@184",
    "LatencyHead 64 ring_max:i8@0 venue_max:i8@8 venue_min:i8@16 venue_ahead:i8@24 _padding:i8*4@32",
    "TopHead 64 sequence:i8@0 ts_event:i8@8 ts_recv:i8@16 ts_publish:i8@24 as_of:i8@32 "
    "complete_bid_px:i8@40 complete_ask_px:i8@48 state:u2@56 flags:u2@58 n_bids:u2@60 n_asks:u2@62",
    "ImageHead 64 sequence:i8@0 ts_event:i8@8 ts_recv:i8@16 as_of:i8@24 complete_bid_px:i8@32 "
    "complete_ask_px:i8@40 state:u4@48 n_bids:u4@52 n_asks:u4@56 _padding:u4@60",
    "ReaderRow 128 generation:u8@0 pid:u4@8 wait:u1@12 _padding:u1*3@13 attached:i8@16 label:S48@24 "
    "position:i8@72 read:i8@80 lost:i8@88 behind:i8@96 heartbeat:i8@104 latency_max:i8@112 "
    "_reserved:i8@120",
};

/* ---- The ring and the cells, as the feed's own readers have them ------------------------------------------------- */
#define FF_LINE 64

#define FF_BLOCKS 64 /* blocks of a ring: a reader loses at most 1/64 of it to the block being claimed */

#define FF_KIND_PAD 255

/* Lines behind the head that a reader asks for while it waits for the head. */
#ifndef FF_LINES_ASKED
#define FF_LINES_ASKED 1
#endif

typedef struct {
    uint64_t stamp;  /* see ff_stamp; 0 while not published */
    uint32_t seq;    /* low 32 bits of the number of records before this one, padding excluded */
    uint16_t length; /* bytes with this head, before rounding up to lines */
    uint8_t kind;
    uint8_t flags;
} ff_head;

/* Written by the producer alone; each group on lines of its own, 128 bytes apart because neighbours are prefetched. */
typedef struct {
    uint64_t claimed;
    uint64_t _pad0[15];
    uint64_t tail;  /* position behind the last record of the last flush */
    uint64_t count; /* records before tail */
    uint64_t cells_next; /* what the cells being written have: all records before it */
    uint64_t cells;      /* what all cells have; equal to cells_next unless some are being written */
    uint64_t _pad1[12];
    uint64_t block_first[FF_BLOCKS]; /* records before the first one of each block */
} ff_ring_control;

FF_STATIC_ASSERT(sizeof(ff_head) == 16, "the head is part of the layout");

FF_STATIC_ASSERT(sizeof(ff_ring_control) == 256 + 8 * FF_BLOCKS, "the control words are part of the layout");

typedef struct {
    const ff_ring_control *control;
    const char *base;
    uint64_t mask;
    uint64_t block;
    uint64_t tag;
    uint64_t position; /* of the next record to read */
    uint64_t count;    /* records before it */
    uint64_t lost;     /* records that were overwritten before they were read */
} ff_ring_reader;

enum { FF_EMPTY = 0, FF_LAPPED = -1 };

static inline uint64_t ff_lines(uint64_t length) { return (length + FF_LINE - 1) & ~(uint64_t)(FF_LINE - 1); }

static inline uint64_t ff_stamp(uint64_t tag, uint64_t position) { return tag ^ ((position >> 6) + 1); }

static inline uint64_t ff_tag(uint64_t generation) { return generation << 48; }

static inline void ff_ring_attach(ff_ring_reader *r, const ff_ring_control *control, const char *base,
                                  uint64_t capacity, uint64_t generation)
{
    r->control = control;
    r->base = base;
    r->mask = capacity - 1;
    r->block = capacity / FF_BLOCKS;
    r->tag = ff_tag(generation);
    r->position = 0;
    r->count = 0;
    r->lost = 0;
}

/* Whether what was copied from `position` on had not been overwritten before the copy was finished. */
static inline int ff_ring_valid(const ff_ring_reader *r, uint64_t position)
{
    /* Acquire fence: the loads of the copy are done before `claimed` is read. Pairs with the release fence in
       ff_ring_next_block; without it the check could be made before the copy. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return position + r->mask + 1 >= __atomic_load_n(&r->control->claimed, __ATOMIC_RELAXED);
}

/* Bytes of the record at the reader's position (its head with them), FF_EMPTY or FF_LAPPED. The length is a hint until
   ff_ring_valid: it is clamped to the block, so that a copy of garbage stays inside of the mapping. */
static inline int64_t ff_ring_peek(ff_ring_reader *r, const ff_head **out)
{
    for (;;) {
        const ff_head *head = (const ff_head *)(r->base + (r->position & r->mask));
        /* Acquire: pairs with the release in ff_store_commit. */
        uint64_t stamp = __atomic_load_n(&head->stamp, __ATOMIC_ACQUIRE);
        uint64_t room = r->block - (r->position & (r->block - 1));
        uint64_t length;
        if (stamp != ff_stamp(r->tag, r->position)) {
            if (r->position + r->mask + 1 < __atomic_load_n(&r->control->claimed, __ATOMIC_ACQUIRE))
                return FF_LAPPED;
            /* Most records have two lines: with the second one asked for while the first is on its way, both arrive
               in the time of one. More would be taken from the producer for nothing. */
            for (int i = 1; i <= FF_LINES_ASKED; i++)
                __builtin_prefetch((const char *)head + i * FF_LINE);
            return FF_EMPTY;
        }
        if (head->kind == FF_KIND_PAD) {
            if (!ff_ring_valid(r, r->position))
                return FF_LAPPED;
            r->position += room;
            continue;
        }
        length = head->length;
        if (length < sizeof(ff_head))
            length = sizeof(ff_head);
        *out = head;
        return (int64_t)(length < room ? length : room);
    }
}

/* Step over a record whose copy was found valid. */
static inline void ff_ring_advance(ff_ring_reader *r, uint64_t length)
{
    r->position += ff_lines(length);
    r->count += 1;
}

/* Go to the start of the block that holds `position`; 0 if the ring does not hold it any more (or not yet). */
static inline int ff_ring_seek_block(ff_ring_reader *r, uint64_t position)
{
    uint64_t start = position & ~(r->block - 1);
    /* Acquire: what was written before this tail, block_first among it, is visible. */
    uint64_t tail = __atomic_load_n(&r->control->tail, __ATOMIC_ACQUIRE);
    uint64_t first;
    if (start > tail)
        return 0;
    first = __atomic_load_n(&r->control->block_first[(start / r->block) & (FF_BLOCKS - 1)], __ATOMIC_RELAXED);
    if (!ff_ring_valid(r, start))
        return 0;
    r->position = start;
    r->count = first;
    return 1;
}

/* Walk from the start of its block to `position`: 1 there, 0 if the ring does not hold it, -1 if no record starts
   there. After a 1 the reader knows how many records lie before it. */
static inline int ff_ring_seek(ff_ring_reader *r, uint64_t position)
{
    const ff_head *head;
    if (!ff_ring_seek_block(r, position))
        return 0;
    while (r->position < position) {
        uint64_t at = r->position;
        int64_t length = ff_ring_peek(r, &head);
        if (length == FF_LAPPED)
            return 0;
        if (r->position > at)
            continue; /* a pad was stepped over */
        if (length == FF_EMPTY)
            return 0; /* not yet */
        if (!ff_ring_valid(r, r->position))
            return 0;
        ff_ring_advance(r, (uint64_t)length);
    }
    return r->position == position ? 1 : -1;
}

static inline void ff_ring_seek_tail(ff_ring_reader *r)
{
    while (ff_ring_seek(r, __atomic_load_n(&r->control->tail, __ATOMIC_ACQUIRE)) != 1)
        ; /* lapped on the way: the tail has moved on by a whole ring; the next try starts in the newest block */
}

/* The oldest record that will not be lapped at once: the block being claimed next is left alone. */
static inline void ff_ring_seek_oldest(ff_ring_reader *r)
{
    uint64_t capacity = r->mask + 1;
    for (;;) {
        uint64_t claimed = __atomic_load_n(&r->control->claimed, __ATOMIC_ACQUIRE);
        uint64_t start = claimed > capacity ? claimed - capacity + r->block : 0;
        if (ff_ring_seek_block(r, start))
            return;
    }
}

/* After a lap: go on in the middle of the ring, where there is time to catch up, and count what was lost. */
static inline void ff_ring_recover(ff_ring_reader *r)
{
    uint64_t capacity = r->mask + 1;
    uint64_t before = r->count;
    for (;;) {
        uint64_t claimed = __atomic_load_n(&r->control->claimed, __ATOMIC_ACQUIRE);
        if (ff_ring_seek_block(r, claimed - capacity / 2))
            break;
    }
    r->lost += r->count - before;
}

static inline uint64_t ff_cell_read(const uint64_t *version, unsigned *slot)
{
    uint64_t v = __atomic_load_n(version, __ATOMIC_ACQUIRE);
    *slot = (unsigned)((v >> 1) & 1);
    return v;
}

static inline int ff_cell_valid(const uint64_t *version, uint64_t seen)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    /* Slot v & 1 is written again only after the word has become 2(v + 1) + 1. */
    return __atomic_load_n(version, __ATOMIC_RELAXED) < (seen & ~(uint64_t)1) + 3;
}

/* Position up to which every cell that is read from now on has everything. */
static inline uint64_t ff_cells(const ff_ring_control *control)
{
    return __atomic_load_n(&control->cells, __ATOMIC_ACQUIRE);
}

static inline int64_t ff_clock(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t ff_realtime(void) { return ff_clock(CLOCK_REALTIME); }

static inline int64_t ff_monotonic(void) { return ff_clock(CLOCK_MONOTONIC); }

/* Tests build without the fence, to show that they would see what it prevents. */
#ifdef FF_NO_WAKE_FENCE
#define ff_wake_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define ff_wake_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* A reader announces that it is about to sleep and must poll once more after this; the result goes to ff_sleep. */
static inline uint32_t ff_prepare_sleep(const uint32_t *word, uint32_t *sleepers)
{
    uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    __atomic_store_n(sleepers, 1, __ATOMIC_RELAXED);
    ff_wake_fence(); /* pairs with the one in ff_wake */
    return seen;
}

/* Sleep while the word is `seen`, until the time is up, a signal comes, or ff_interrupt has a bit of `mask`; returns 1
   after a signal. */
static inline int ff_sleep_as(const uint32_t *word, uint32_t seen, int64_t timeout_ns, uint32_t mask)
{
#ifdef __linux__
    int64_t until = ff_monotonic() + timeout_ns;
    struct timespec t = {until / 1000000000, until % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &t, 0, mask) == -1 && errno == EINTR;
#else
    struct timespec t = {0, timeout_ns < 500000 ? timeout_ns : 500000};
    (void)word;
    (void)seen;
    (void)mask;
    return nanosleep(&t, 0) == -1;
#endif
}

static inline void ff_sleep(const uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
    ff_sleep_as(word, seen, timeout_ns, 0xFFFFFFFF);
}

typedef struct {
    uint32_t sleepers; /* not 0: somebody may sleep. Anybody with access to the bus may write anything here */
    uint32_t _pad[31];
    uint64_t generation; /* ids belong to an IPC namespace and are used again: this tells whose segment it is */
} ff_bell;

/* NULL if it cannot be reached from here (another IPC namespace, no permission) or is another one. */
static inline ff_bell *ff_bell_attach(int64_t id, uint64_t generation)
{
#ifdef __linux__
    ff_bell *bell = id < 0 || id > INT_MAX ? (ff_bell *)-1 : (ff_bell *)shmat((int)id, 0, 0);
    if (bell == (ff_bell *)-1)
        return 0;
    if (bell->generation == generation)
        return bell;
    shmdt(bell);
#else
    (void)id;
    (void)generation;
#endif
    return 0;
}

static inline void ff_bell_detach(ff_bell *bell)
{
#ifdef __linux__
    if (bell)
        shmdt(bell);
#else
    (void)bell;
#endif
}

/* ---- Opening a bus ---------------------------------------------------------------------------------------------- */

/* What functions return that can fail: FF_OK, -errno of a system call, or one of these. */
enum {
    FF_OK = 0,
    FF_MISMATCH = -1001,  /* the file is no bus of this layout; ff_bus.problem names the first field that differs */
    FF_NO_BOOK = -1002,   /* no such instrument, or no book is kept of it */
    FF_UNSTABLE = -1003,  /* every copy was overwritten while it was made: this process is starved of its processor */
    FF_NOT_HELD = -1004,  /* the ring does not hold that position: overwritten, or not yet written */
    FF_NO_RECORD = -1005  /* no record starts at that position */
};

/* A mapped bus. Everything that is reached through it is read-only but for the bell. */
typedef struct {
    const char *base;
    const ff_bus_header *header;
    const ff_bus_live *live;
    const ff_ring_control *control;
    ff_bell *bell; /* NULL if it cannot be reached from here: FF_BLOCK then looks every millisecond */
    uint64_t size;
    uint64_t device; /* with inode: which file the name led to, so that a restart of the feed is seen */
    uint64_t inode;
    int fd;
    char path[512];    /* of the data file */
    char problem[256]; /* why ff_open failed, for people */
} ff_bus;

static inline uint64_t ff_load_acquire(const uint64_t *at)
{
    /* Acquire: pairs with the release stores by which the feed announces rows, its heartbeat and its end. */
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* Whether `count` things of `stride` bytes from `offset` on lie inside of the file; garbage cannot overflow it. */
static inline int ff_fits(const ff_bus *bus, uint64_t offset, uint64_t count, uint64_t stride)
{
    return offset <= bus->size && (count == 0 || stride <= (bus->size - offset) / count);
}

static inline int ff_mismatch(ff_bus *bus, const char *field, uint64_t expected, uint64_t found)
{
    snprintf(bus->problem, sizeof bus->problem, "%s: expected %llu, was %llu", field, (unsigned long long)expected,
             (unsigned long long)found);
    return FF_MISMATCH;
}

/* Compare the description that the feed wrote with the one that this header was made from: every struct must be there
   and the same to the last field. */
static inline int ff_compare(ff_bus *bus, const char *text, uint64_t size)
{
    size_t i;
    for (i = 0; i < sizeof ff_description / sizeof *ff_description; i++) {
        const char *mine = ff_description[i];
        size_t name = strcspn(mine, " ");
        const char *line = text;
        const char *end = text + size;
        size_t same = 0, word = 0;
        while (line < end) {
            const char *stop = (const char *)memchr(line, '\n', (size_t)(end - line));
            size_t length = (size_t)((stop ? stop : end) - line);
            if (length > name && memcmp(line, mine, name + 1) == 0) {
                while (same < length && mine[same] == line[same]) {
                    same++;
                    if (mine[same - 1] == ' ')
                        word = same;
                }
                if (same == length && mine[same] == '\0')
                    break;
                snprintf(bus->problem, sizeof bus->problem, "%.*s: expected %.*s, was %.*s", (int)name, mine,
                         (int)strcspn(mine + word, " "), mine + word, (int)strcspn(line + word, " \n"), line + word);
                return FF_MISMATCH;
            }
            line += length + 1;
        }
        if (line >= end) {
            snprintf(bus->problem, sizeof bus->problem, "%.*s: expected its description, was nothing", (int)name, mine);
            return FF_MISMATCH;
        }
    }
    return FF_OK;
}

/* Believe the header only after it agrees with the file and with this code's own layout. */
static inline int ff_validate(ff_bus *bus)
{
    const ff_bus_header *h = bus->header;
    char text[FF_HEADER_SIZE * 16];
    uint64_t tail, claimed;
    int differs;
    if (h->magic != FF_MAGIC)
        return ff_mismatch(bus, "magic", FF_MAGIC, h->magic);
    if (h->layout_version != FF_LAYOUT_VERSION)
        return ff_mismatch(bus, "layout_version", FF_LAYOUT_VERSION, h->layout_version);
    if (h->line != FF_LINE)
        return ff_mismatch(bus, "line", FF_LINE, h->line);
    if (h->total_bytes != bus->size)
        return ff_mismatch(bus, "total_bytes", bus->size, h->total_bytes);
    if (h->description_size >= sizeof text || !ff_fits(bus, h->description_offset, 1, h->description_size))
        return ff_mismatch(bus, "description_size", sizeof text - 1, h->description_size);
    /* A copy with an end: the comparison searches for one. */
    memcpy(text, bus->base + h->description_offset, (size_t)h->description_size);
    text[h->description_size] = '\0';
    differs = ff_compare(bus, text, h->description_size);
    if (differs)
        return differs;
    if (h->ring_capacity < 65536 || (h->ring_capacity & (h->ring_capacity - 1)))
        return ff_mismatch(bus, "ring_capacity", 65536, h->ring_capacity);
    if (!ff_fits(bus, h->ring_offset, 1, h->ring_capacity) || h->ring_offset % FF_LINE)
        return ff_mismatch(bus, "ring_offset", 0, h->ring_offset);
    if (!ff_fits(bus, h->control_offset, 1, sizeof(ff_ring_control)) || h->control_offset % FF_LINE)
        return ff_mismatch(bus, "control_offset", 0, h->control_offset);
    if (h->instruments_stride < sizeof(ff_instrument_row) ||
        !ff_fits(bus, h->instruments_offset, h->instruments_capacity, h->instruments_stride))
        return ff_mismatch(bus, "instruments_stride", sizeof(ff_instrument_row), h->instruments_stride);
    if (h->connections_stride < sizeof(ff_connection_row) ||
        !ff_fits(bus, h->connections_offset, h->connections_capacity, h->connections_stride))
        return ff_mismatch(bus, "connections_stride", sizeof(ff_connection_row), h->connections_stride);
    if (h->cells_depth > 65535 ||
        h->cells_stride < FF_CELL_HEAD + 2 * (sizeof(ff_top_head) + 2 * h->cells_depth * sizeof(ff_level_pair)) ||
        !ff_fits(bus, h->cells_offset, h->instruments_capacity, h->cells_stride))
        return ff_mismatch(bus, "cells_stride", FF_CELL_HEAD, h->cells_stride);
    if (h->images_depth > 1u << 24 ||
        h->images_stride < FF_CELL_HEAD + 2 * (sizeof(ff_image_head) + 2 * h->images_depth * sizeof(ff_level_pair)) ||
        !ff_fits(bus, h->images_offset, h->instruments_capacity, h->images_stride))
        return ff_mismatch(bus, "images_stride", FF_CELL_HEAD, h->images_stride);
    bus->control = (const ff_ring_control *)(const void *)(bus->base + h->control_offset);
    /* Tail before claimed: both only grow, and the producer moves the second first. */
    tail = ff_load_acquire(&bus->control->tail);
    claimed = ff_load_acquire(&bus->control->claimed);
    if (claimed == 0 || claimed % (h->ring_capacity / FF_BLOCKS) || tail > claimed)
        return ff_mismatch(bus, "ring_control.claimed", tail, claimed);
    return FF_OK;
}

static inline void ff_close(ff_bus *bus)
{
    ff_bell_detach(bus->bell);
    if (bus->base)
        munmap((void *)(uintptr_t)bus->base, (size_t)bus->size);
    if (bus->fd >= 0)
        close(bus->fd);
    bus->bell = NULL;
    bus->base = NULL;
    bus->fd = -1;
}

static inline int ff_failed(ff_bus *bus, const char *what)
{
    int code = errno;
    snprintf(bus->problem, sizeof bus->problem, "%s: %s", what, strerror(code));
    ff_close(bus);
    return -code;
}

/* What has the name of a bus and is none: in a folder that everybody writes, that may be anything. */
static inline int ff_not_plain(ff_bus *bus, const char *found)
{
    ff_close(bus);
    snprintf(bus->problem, sizeof bus->problem, "file: expected a plain file, was %s", found);
    return FF_MISMATCH;
}

/* Open the bus called `name` in the folder that FASTFEED_SHM names, else in the system's shared memory. No symbolic link
   is followed, no pipe waited for. Returns FF_OK, -errno (-ENOENT: its feed does not run) or FF_MISMATCH; the reason for
   people is in bus->problem. */
static inline int ff_open(ff_bus *bus, const char *name)
{
    const char *folder = getenv("FASTFEED_SHM");
    struct stat found;
    void *at;
    int code;
    memset(bus, 0, sizeof *bus);
    bus->fd = -1;
    if (folder == NULL || *folder == '\0')
        folder = stat("/dev/shm", &found) == 0 && S_ISDIR(found.st_mode) ? "/dev/shm" : "/tmp";
    if (snprintf(bus->path, sizeof bus->path, "%s/fastfeed.%s.data", folder, name) >= (int)sizeof bus->path) {
        errno = ENAMETOOLONG;
        return ff_failed(bus, "name of the bus");
    }
    bus->fd = open(bus->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (bus->fd < 0 && errno == ELOOP)
        return ff_not_plain(bus, "a symbolic link");
    if (bus->fd < 0)
        return ff_failed(bus, "data file of the bus");
    if (fstat(bus->fd, &found) != 0)
        return ff_failed(bus, "data file of the bus");
    if (!S_ISREG(found.st_mode))
        return ff_not_plain(bus, S_ISDIR(found.st_mode) ? "a folder" : S_ISFIFO(found.st_mode) ? "a pipe" : "a device");
    bus->device = (uint64_t)found.st_dev;
    bus->inode = (uint64_t)found.st_ino;
    bus->size = (uint64_t)found.st_size;
    if (bus->size < FF_HEADER_SIZE) {
        code = ff_mismatch(bus, "size", FF_HEADER_SIZE, bus->size);
        ff_close(bus);
        return code;
    }
    at = mmap(NULL, (size_t)bus->size, PROT_READ, MAP_SHARED, bus->fd, 0);
    if (at == MAP_FAILED)
        return ff_failed(bus, "mapping of the bus");
    bus->base = (const char *)at;
    bus->header = (const ff_bus_header *)at;
    bus->live = (const ff_bus_live *)(const void *)(bus->base + FF_LIVE_OFFSET);
    code = ff_validate(bus);
    if (code) {
        ff_close(bus);
        return code;
    }
    bus->bell = ff_bell_attach(bus->header->bell, bus->header->generation);
    return FF_OK;
}

/* ---- What the feed says of itself ------------------------------------------------------------------------------- */

/* 1 after a clean stop of the feed: what the ring holds now is all that will come. */
static inline int ff_is_closed(const ff_bus *bus) { return ff_load_acquire(&bus->live->state) == FF_LIVE_CLOSED; }

/* ns since the feed last said that it lives; it says so every 100 ms. */
static inline int64_t ff_heartbeat_age(const ff_bus *bus)
{
    return ff_monotonic() - (int64_t)ff_load_acquire((const uint64_t *)(const void *)&bus->live->heartbeat);
}

/* What may be believed of a state that the feed wrote: FF_STATE_LIVE only while the feed lives and says so. */
static inline uint32_t ff_effective(const ff_bus *bus, uint32_t state)
{
    if (state == FF_STATE_LIVE && (ff_is_closed(bus) || ff_heartbeat_age(bus) > FF_STALE_AFTER))
        return FF_STATE_STALE;
    return state;
}

/* 0 if the feed is dead, however it died: it holds a lock that the kernel drops with it. A feed that is merely stopped
   lives. Three system calls: for the idle path. */
static inline int ff_is_alive(const ff_bus *bus)
{
    if (ff_is_closed(bus))
        return 0;
    if (flock(bus->fd, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK;
    flock(bus->fd, LOCK_UN);
    return 0;
}

/* 0 if another generation has taken the name: read what this one still holds, then close and open again. One system
   call: for the idle path. */
static inline int ff_is_current(const ff_bus *bus)
{
    struct stat found;
    if (stat(bus->path, &found) != 0)
        return 1;
    return (uint64_t)found.st_dev == bus->device && (uint64_t)found.st_ino == bus->inode;
}

/* ---- Instruments ------------------------------------------------------------------------------------------------ */

/* Rows of the instrument table; they are only ever appended. */
static inline uint32_t ff_instrument_count(const ff_bus *bus)
{
    uint64_t count = ff_load_acquire(&bus->live->instruments);
    return (uint32_t)(count < bus->header->instruments_capacity ? count : bus->header->instruments_capacity);
}

/* A row of the instrument table, NULL if there is no such row. */
static inline const ff_instrument_row *ff_instrument(const ff_bus *bus, uint32_t index)
{
    if (index >= ff_instrument_count(bus))
        return NULL;
    return (const ff_instrument_row *)(const void *)(bus->base + bus->header->instruments_offset +
                                                     index * bus->header->instruments_stride);
}

/* The row of the instrument called `name` ("venue:BASE/QUOTE"), -1 if there is none. A later row of the same name is
   the instrument as it is now. */
static inline int64_t ff_find_instrument(const ff_bus *bus, const char *name)
{
    uint32_t index = ff_instrument_count(bus);
    while (index-- > 0)
        if (strncmp(ff_instrument(bus, index)->name, name, sizeof ff_instrument(bus, index)->name) == 0)
            return index;
    return -1;
}

/* mantissa * 10**exponent: correctly rounded where |mantissa| <= 2**53 and -22 <= exponent <= 22, which holds for
   prices; decide on mantissas. */
static inline double ff_value(int64_t mantissa, int exponent)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double value = (double)mantissa;
    for (; exponent < -22; exponent += 22)
        value /= 1e22;
    for (; exponent > 22; exponent -= 22)
        value *= 1e22;
    /* A quotient and not a product by 1e-2: only powers of ten above one are exact. */
    return exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
}

/* ---- Books: the top of one, and the image of all of it ----------------------------------------------------------- */

/* Copies of a cell before giving up: the second hardly ever is needed. */
#define FF_CELL_TRIES 1000

/* Copy `size` bytes of a head and the best `depth` levels a side of a cell, all of version `written` (0: none yet).
   Counts in the head are believed by nobody before this has returned FF_OK. */
static inline int ff_copy_cell(const char *cell, uint64_t stride, uint64_t cell_depth, uint64_t depth, void *head,
                               uint64_t size, ff_level_pair *bids, ff_level_pair *asks, uint64_t *written)
{
    const uint64_t *version = (const uint64_t *)(const void *)cell;
    uint64_t slot_size = (stride - FF_CELL_HEAD) / 2;
    int tries;
    for (tries = 0; tries < FF_CELL_TRIES; tries++) {
        unsigned slot;
        uint64_t seen = ff_cell_read(version, &slot);
        const char *at = cell + FF_CELL_HEAD + slot * slot_size;
        memcpy(head, at, (size_t)size);
        at += size;
        memcpy(bids, at, (size_t)(depth * sizeof(ff_level_pair)));
        memcpy(asks, at + cell_depth * sizeof(ff_level_pair), (size_t)(depth * sizeof(ff_level_pair)));
        if (ff_cell_valid(version, seen)) {
            *written = seen >> 1;
            return FF_OK;
        }
    }
    return FF_UNSTABLE;
}

/* Whether a book is published for that row: cells of other rows are empty, and their images have no memory. */
static inline int ff_has_book(const ff_bus *bus, uint32_t instrument)
{
    const ff_instrument_row *row = ff_instrument(bus, instrument);
    return row != NULL && row->has_book;
}

/* Copy the best levels of a book, best first, all of one moment: head->n_bids and head->n_asks of them, at most
   `depth`, which is the room in `bids` and `asks` (the bus publishes bus->header->cells_depth). head->state is the
   effective one: levels of a book that is not live are its last known ones. head->as_of is the position of now, also
   of a book that has not changed for long: every record of the instrument before it is in the copy, none behind it, and
   ff_reader_start takes it. Never waits for the feed. Returns FF_OK, FF_NO_BOOK or FF_UNSTABLE. */
static inline int ff_read_top(const ff_bus *bus, uint32_t instrument, uint32_t depth, ff_top_head *head,
                              ff_level_pair *bids, ff_level_pair *asks)
{
    uint64_t most = bus->header->cells_depth;
    uint64_t cells, written;
    int code;
    if (!ff_has_book(bus, instrument))
        return FF_NO_BOOK;
    if (depth > most)
        depth = (uint32_t)most;
    /* Before the version: whatever the copy turns out to be, it has what stands before `cells`. */
    cells = ff_cells(bus->control);
    code = ff_copy_cell(bus->base + bus->header->cells_offset + instrument * bus->header->cells_stride,
                        bus->header->cells_stride, most, depth, head, sizeof *head, bids, asks, &written);
    if (code)
        return code;
    /* The first version is still to come: its as_of may lie beyond the last flush, where no reader can start. */
    if (written == 0 || (uint64_t)head->as_of < cells)
        head->as_of = (int64_t)cells;
    if (head->n_bids > depth)
        head->n_bids = (uint16_t)depth;
    if (head->n_asks > depth)
        head->n_asks = (uint16_t)depth;
    head->state = (uint16_t)ff_effective(bus, head->state);
    return FF_OK;
}

/* Copy the whole book as of the ring position head->as_of; `bids` and `asks` have room for bus->header->images_depth
   levels each. The deltas from that position on make it the book of now:

       ff_read_image(...); ff_reader_start(&reader, bus, (uint64_t)head.as_of); then apply each delta of the instrument.

   If FF_NOT_HELD comes of the second call, the feed has moved the image on by now: begin again. head->state is what
   the feed wrote, for status records change it; ask ff_effective. Returns FF_OK, FF_NO_BOOK or FF_UNSTABLE. */
static inline int ff_read_image(const ff_bus *bus, uint32_t instrument, ff_image_head *head, ff_level_pair *bids,
                                ff_level_pair *asks)
{
    uint64_t depth = bus->header->images_depth;
    uint64_t written;
    int code;
    if (!ff_has_book(bus, instrument))
        return FF_NO_BOOK;
    code = ff_copy_cell(bus->base + bus->header->images_offset + instrument * bus->header->images_stride,
                        bus->header->images_stride, depth, depth, head, sizeof *head, bids, asks,
                        &written);
    if (code)
        return code;
    if (head->n_bids > depth)
        head->n_bids = (uint32_t)depth;
    if (head->n_asks > depth)
        head->n_asks = (uint32_t)depth;
    return FF_OK;
}

/* ---- Following the ring ----------------------------------------------------------------------------------------- */

/* Where a reader starts, if not at a position. */
#define FF_START_NOW UINT64_MAX
#define FF_START_OLDEST (UINT64_MAX - 1)

/* A record in the reader's own memory; head.kind says which one it is. */
typedef union {
    ff_record_head head;
    ff_bbo_record bbo;
    ff_trade_record trade;
    ff_levels_record levels; /* of kind delta and snapshot; ff_bids and ff_asks are its pairs */
    ff_status_record status;
    ff_ticker_record ticker;
    ff_bar_record bar;
    ff_liquidation_record liquidation;
    char bytes[65536];
} ff_record;

/* A cursor in the ring. 64 KiB: static or on the heap. ring.lost is the exact number of records that were overwritten
   before they were read, of all kinds; a change of it says that a message of several fragments may lack one. */
typedef struct {
    const ff_bus *bus;
    ff_ring_reader ring; /* ring.position: of the next record; ring.count: records before that */
    uint64_t position;   /* of the record that ff_next returned last */
    uint64_t kinds;      /* bit 1 << kind of each kind to deliver; all, unless changed after ff_reader_start */
    ff_record record;
} ff_reader;

typedef enum {
    FF_SPIN, /* keeps its core */
    FF_YIELD, /* gives its core away between looks */
    FF_BLOCK  /* sleeps in the kernel until the feed wakes it */
} ff_wait_mode;

#if defined(__x86_64__) || defined(__i386__)
#define FF_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define FF_PAUSE() __asm__ __volatile__("yield")
#else
#define FF_PAUSE() ((void)0)
#endif

/* Stand before the next record to come (FF_START_NOW), the oldest that the ring holds (FF_START_OLDEST), or the record
   at a position of this generation. Returns FF_OK, FF_NOT_HELD or FF_NO_RECORD. */
static inline int ff_reader_start(ff_reader *r, const ff_bus *bus, uint64_t start)
{
    int found = 1;
    r->bus = bus;
    r->kinds = UINT64_MAX;
    ff_ring_attach(&r->ring, bus->control, bus->base + bus->header->ring_offset, bus->header->ring_capacity,
                   bus->header->generation);
    if (start == FF_START_NOW)
        ff_ring_seek_tail(&r->ring);
    else if (start == FF_START_OLDEST)
        ff_ring_seek_oldest(&r->ring);
    else
        found = ff_ring_seek(&r->ring, start);
    r->position = r->ring.position;
    return found == 1 ? FF_OK : found == 0 ? FF_NOT_HELD : FF_NO_RECORD;
}

/* The next record of the wanted kinds, NULL if there is none yet. It stays as it is until the next call. After a lap
   the reader goes on in the middle of the ring, and ring.lost has grown by exactly what it missed. */
static inline const ff_record *ff_next(ff_reader *r)
{
    for (;;) {
        const ff_head *at = NULL;
        int64_t length = ff_ring_peek(&r->ring, &at);
        int wanted;
        if (length == FF_EMPTY)
            return NULL;
        if (length != FF_LAPPED) {
            /* The kind is read once: the producer may be overwriting it, which the check behind the copy tells. */
            wanted = (int)(r->kinds >> (__atomic_load_n(&at->kind, __ATOMIC_RELAXED) & 63) & 1);
            if (wanted)
                memcpy(&r->record, at, (size_t)length);
            if (ff_ring_valid(&r->ring, r->ring.position)) {
                r->position = r->ring.position;
                ff_ring_advance(&r->ring, (uint64_t)length);
                if (wanted)
                    return &r->record;
                continue;
            }
        }
        ff_ring_recover(&r->ring);
    }
}

/* The pairs of a delta or snapshot: levels.n_bids of the first, levels.n_asks of the second. */
static inline const ff_level_pair *ff_bids(const ff_record *record)
{
    return (const ff_level_pair *)(const void *)(record->bytes + sizeof(ff_levels_record));
}

static inline const ff_level_pair *ff_asks(const ff_record *record)
{
    return ff_bids(record) + record->levels.n_bids;
}

/* 1 if the ring holds a record, of any kind, that ff_next has not seen. */
static inline int ff_has_more(ff_reader *r)
{
    const ff_head *at = NULL;
    return ff_ring_peek(&r->ring, &at) != FF_EMPTY;
}

/* Wait until the ring holds more: 1. Else 0, when the time is up; with FF_BLOCK it may be earlier: after a signal, when
   somebody else was woken, or after a millisecond where the bell cannot be reached. */
static inline int ff_wait(ff_reader *r, ff_wait_mode how, int64_t timeout_ns)
{
    uint32_t nobody = 0;
    uint32_t *sleepers = r->bus->bell ? &r->bus->bell->sleepers : &nobody;
    /* The low half of a little-endian word. */
    const uint32_t *word = (const uint32_t *)(const void *)&r->bus->live->wake;
    uint32_t seen;
    int64_t until;
    int look;
    if (how != FF_BLOCK) {
        until = ff_monotonic() + timeout_ns;
        for (;;) {
            /* A clock read costs as much as a look, and a yield may take a whole time slice. */
            for (look = how == FF_SPIN ? 256 : 4; look > 0; look--) {
                if (ff_has_more(r))
                    return 1;
                if (how == FF_SPIN)
                    FF_PAUSE();
                else
                    sched_yield();
            }
            if (ff_monotonic() >= until)
                return ff_has_more(r);
        }
    }
    if (ff_has_more(r))
        return 1;
    if (sleepers == &nobody && timeout_ns > 1000000)
        timeout_ns = 1000000; /* nobody wakes us */
    seen = ff_prepare_sleep(word, sleepers);
    if (ff_has_more(r))
        return 1;
    ff_sleep(word, seen, timeout_ns);
    return ff_has_more(r);
}

#ifdef __cplusplus
}
#endif

#endif

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

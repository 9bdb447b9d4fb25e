/* SPDX-License-Identifier: MIT
   The broadcast ring: one producer, any number of readers that the producer never looks at.

   Positions are 64-bit byte counts that only grow; the byte of position p lies at p & (capacity - 1). A record is a run
   of whole cache lines whose first word, the stamp, commits it: a reader polls the very line that carries the data.
   Space is claimed a block at a time: `claimed` is the first position that the producer may not write yet, and it moves
   before any byte of the block is overwritten, so that a reader that copied a record can tell whether the copy is good
   by one load of a word that changes once a block. No record straddles a block: each block starts with a record.

   The copy of a record races with an overwriting producer by design; it is validated afterwards, and the fences named
   below are what makes the validation sound. This file needs a C11 compiler with GNU atomics and nothing else. */
#ifndef FASTFEED_RING_H
#define FASTFEED_RING_H

#include <stdint.h>
#include <string.h>

#define FF_LINE 64
#define FF_BLOCKS 64 /* blocks of a ring: a reader loses at most 1/64 of it to the block being claimed */
#define FF_KIND_PAD 255

/* Lines. The heads of lines ahead are zeroed for a record as long as the last one, within these bounds, and lines that
   far ahead of those are asked for. Measured with `python -m benchmarks.bus --variants`. */
#ifndef FF_ZERO_LEAST
#define FF_ZERO_LEAST 4
#endif
#ifndef FF_ZERO_MOST
#define FF_ZERO_MOST 16
#endif
#ifndef FF_FETCH_AHEAD
#define FF_FETCH_AHEAD 4
#endif
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

_Static_assert(sizeof(ff_head) == 16, "the head is part of the layout");
_Static_assert(sizeof(ff_ring_control) == 256 + 8 * FF_BLOCKS, "the control words are part of the layout");

typedef struct {
    ff_ring_control *control;
    char *base;
    uint64_t mask;     /* capacity - 1 */
    uint64_t block;    /* bytes of a block */
    uint64_t tag;      /* generation in the stamp's upper 16 bits: a reader of the wrong file reads nothing */
    uint64_t position; /* of the next record */
    uint64_t limit;    /* private copy of claimed */
    uint64_t count;    /* records written */
    uint64_t zeroed;   /* the first word of every line from position up to here is zero */
} ff_ring_writer;

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

/* The largest record: two of them always fit a block, so that padding never takes more than half of one. */
static inline uint64_t ff_max_record(uint64_t capacity)
{
    uint64_t half = capacity / FF_BLOCKS / 2;
    return half < 65536 - FF_LINE ? half : 65536 - FF_LINE;
}

/* The ring's memory must be zero. */
static inline void ff_ring_init(ff_ring_writer *w, ff_ring_control *control, char *base, uint64_t capacity,
                                uint64_t generation)
{
    memset(control, 0, sizeof *control);
    w->control = control;
    w->base = base;
    w->mask = capacity - 1;
    w->block = capacity / FF_BLOCKS;
    w->tag = ff_tag(generation);
    w->position = 0;
    w->limit = w->block;
    w->count = 0;
    w->zeroed = 0;
    control->claimed = w->limit;
}

static inline void ff_store_commit(ff_head *head, uint64_t stamp)
{
    /* Release: the record's bytes, and the zeroed stamp behind it, are visible to whoever sees the stamp. Pairs with
       the acquire load in ff_ring_peek; without it a reader could see the stamp and old bytes. */
    __atomic_store_n(&head->stamp, stamp, __ATOMIC_RELEASE);
}

/* At the end of a batch: tell joiners and monitors how far the ring goes. */
static inline void ff_ring_flush(ff_ring_writer *w)
{
    __atomic_store_n(&w->control->count, w->count, __ATOMIC_RELAXED);
    /* Release: pairs with the acquire loads of tail in the functions that position a reader. */
    __atomic_store_n(&w->control->tail, w->position, __ATOMIC_RELEASE);
}

/* Make room for the next block and step into it, padding what is left of this one. */
static inline void ff_ring_next_block(ff_ring_writer *w)
{
    ff_head *pad = (ff_head *)(w->base + (w->position & w->mask));
    ff_head *next = (ff_head *)(w->base + (w->limit & w->mask));
    uint64_t start = w->limit;
    w->limit += w->block;
    __atomic_store_n(&w->control->claimed, w->limit, __ATOMIC_RELAXED);
    /* Release fence: no byte of the new block is written before `claimed` says so. Pairs with the acquire fence in
       ff_ring_valid; without it a reader could copy new bytes and still find the old `claimed`, a torn record. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    /* Relaxed is enough: a joiner reads it for blocks at or before a tail that was stored with release later. */
    __atomic_store_n(&w->control->block_first[(start / w->block) & (FF_BLOCKS - 1)], w->count, __ATOMIC_RELAXED);
    /* Zero ahead, see ff_ring_commit; ordered before the pad's stamp by its release. */
    __atomic_store_n(&next->stamp, 0, __ATOMIC_RELAXED);
    w->zeroed = start + FF_LINE;
    pad->seq = (uint32_t)w->count;
    pad->length = 0;
    pad->kind = FF_KIND_PAD;
    pad->flags = 0;
    ff_store_commit(pad, ff_stamp(w->tag, w->position));
    w->position = start;
    ff_ring_flush(w); /* at least once a block, so that a joiner always finds a tail inside of the ring */
}

/* Room for a record of `length` bytes (at most ff_max_record): fill everything behind the head, then commit. */
static inline ff_head *ff_ring_claim(ff_ring_writer *w, uint64_t length)
{
    /* >= and not >: the head of the record behind this one must lie in claimed space too, for it is zeroed first. */
    if (__builtin_expect(w->position + ff_lines(length) >= w->limit, 0))
        ff_ring_next_block(w);
    return (ff_head *)(w->base + (w->position & w->mask));
}

/* Zero ahead: at the tail a reader finds 0 or the right stamp, never old bytes that look like one. The head behind a
   record must be zero before the record's stamp is stored; which line that is depends on its length. So all line heads
   where it may be are zeroed when the record before is done, and the stamp waits for no line but the record's own: a
   reader's prefetcher takes lines ahead of it, and getting one back costs as much as the record's transfer. `bytes` is
   the length of the last record: the next one is likely to be as long. */
static inline void ff_ring_zero_ahead(ff_ring_writer *w, uint64_t bytes)
{
    uint64_t until;
    if (bytes < FF_ZERO_LEAST * FF_LINE)
        bytes = FF_ZERO_LEAST * FF_LINE;
    if (bytes > FF_ZERO_MOST * FF_LINE)
        bytes = FF_ZERO_MOST * FF_LINE;
    until = w->position + ff_lines(bytes) + FF_LINE;
    if (until > w->limit)
        until = w->limit; /* nothing behind it may be written */
    for (; w->zeroed < until; w->zeroed += FF_LINE) {
        char *line = w->base + (w->zeroed & w->mask);
        /* Relaxed: ordered by the release of the stamps to come. */
        __atomic_store_n((uint64_t *)line, 0, __ATOMIC_RELAXED);
        /* Ask for ownership of lines further ahead, so that these stores do not wait either. */
        __builtin_prefetch(line + FF_FETCH_AHEAD * FF_LINE, 1);
    }
}

static inline void ff_ring_commit(ff_ring_writer *w, ff_head *head, uint64_t length, uint8_t kind, uint8_t flags)
{
    uint64_t end = w->position + ff_lines(length);
    /* A record longer than what was zeroed ahead: ordered before its stamp by the stamp's release. Its own lines are
       as zero as they need be, for they are written over. */
    if (__builtin_expect(end >= w->zeroed, 0)) {
        __atomic_store_n((uint64_t *)(w->base + (end & w->mask)), 0, __ATOMIC_RELAXED);
        w->zeroed = end + FF_LINE;
    }
    head->seq = (uint32_t)w->count;
    head->length = (uint16_t)length;
    head->kind = kind;
    head->flags = flags;
    ff_store_commit(head, ff_stamp(w->tag, w->position));
    w->position = end;
    w->count += 1;
    ff_ring_zero_ahead(w, length);
}

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

/* Copy whole lines; no call for the few that most records have. */
static inline void ff_copy_lines(char *to, const char *from, uint64_t size)
{
    uint64_t at;
    if (__builtin_expect(size > 8 * FF_LINE, 0)) {
        memcpy(to, from, size);
        return;
    }
    for (at = 0; at < size; at += FF_LINE)
        memcpy(to + at, from + at, FF_LINE);
}

/* Copy the next record and step over it: its length, FF_EMPTY or FF_LAPPED. `buffer` has room for the largest record,
   rounded up to lines. */
static inline int64_t ff_ring_copy(ff_ring_reader *r, char *buffer)
{
    const ff_head *head = 0;
    int64_t length = ff_ring_peek(r, &head);
    if (length <= 0)
        return length;
    ff_copy_lines(buffer, (const char *)head, ff_lines((uint64_t)length));
    if (__builtin_expect(!ff_ring_valid(r, r->position), 0))
        return FF_LAPPED;
    ff_ring_advance(r, (uint64_t)length);
    return length;
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

/* A double-buffered cell: version v lives in slot v & 1, so that a reader never waits and the last complete version
   outlives a writer that dies in the middle of the next. The word holds 2v, or 2v + 1 while v + 1 is being written. */
static inline unsigned ff_cell_begin(uint64_t *version)
{
    uint64_t v = *version;
    /* Release: a reader that sees the mark, and not the version before it, reads that version's slot. C11 would grant
       it to a relaxed store, too (a release sequence); C++20 does not. */
    __atomic_store_n(version, v | 1, __ATOMIC_RELEASE);
    /* Release fence: the mark stands before any byte of the slot changes. Pairs with the acquire fence in
       ff_cell_valid; without it a reader could copy bytes of the next version under the old word. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return (unsigned)(((v >> 1) + 1) & 1);
}

static inline void ff_cell_commit(uint64_t *version)
{
    /* Release: the slot's bytes are visible to whoever sees the version. Pairs with the acquire load in ff_cell_read. */
    __atomic_store_n(version, (*version | 1) + 1, __ATOMIC_RELEASE);
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

/* Around the writing of the cells that changed: a reader of several can tell whether they are of one moment. */
static inline void ff_cells_begin(ff_ring_control *control, uint64_t position)
{
    /* Relaxed: ordered before what is written behind it by the releases of the cells. Pairs with the acquire loads in
       ff_cell_read: a reader that found one of these cells finds this word, too. */
    __atomic_store_n(&control->cells_next, position, __ATOMIC_RELAXED);
}

static inline void ff_cells_end(ff_ring_control *control, uint64_t position)
{
    /* Release: whoever sees the word sees every cell that was written before it. Pairs with the load in ff_cells. */
    __atomic_store_n(&control->cells, position, __ATOMIC_RELEASE);
}

/* Position up to which every cell that is read from now on has everything. */
static inline uint64_t ff_cells(const ff_ring_control *control)
{
    return __atomic_load_n(&control->cells, __ATOMIC_ACQUIRE);
}

/* Whether no cell was being written when `cells` was loaded by ff_cells. Cells whose versions were read before that,
   and have not moved when their copies are done, are of that one moment: a version of a later writing would have
   brought the later `cells_next` with it, and one from before the last writing is not the current one any more. */
static inline int ff_cells_quiet(const ff_ring_control *control, uint64_t cells)
{
    return __atomic_load_n(&control->cells_next, __ATOMIC_RELAXED) == cells;
}

/* Whether the cell still holds what it held when ff_cell_read returned `seen`: copies of it are good, and current. */
static inline int ff_cell_same(const uint64_t *version, uint64_t seen)
{
    /* Acquire fence: the loads of the copies are done before the version is read again, as in ff_cell_valid. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(version, __ATOMIC_RELAXED) == seen;
}

#endif

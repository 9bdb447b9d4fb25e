/* Between the halves of a reader's copy the producer goes on: what the reader hands out must be whole all the same.

   Usage: interleave CASE; prints what came of it. The copies of fastfeed.h are hooked, so that this needs no luck. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void between(void);

static void *copy(void *target, const void *source, size_t size)
{
    size_t half = size / 2;
    memcpy(target, source, half);
    between();
    return memcpy((char *)target + half, (const char *)source + half, size - half);
}

#define memcpy(target, source, size) copy(target, source, size)
#include "fastfeed.h"
#undef memcpy

#include "producer.h"

#define CAPACITY 65536
#define DEPTH 25

static char *memory;
static ff_bus_header header;
static ff_bus_live live;
static ff_bus bus;
static ff_reader reader;
static ff_level_pair bids[DEPTH], asks[DEPTH];
static uint64_t value;
static int copies, writes_left, records_left, flushes_left;

static char *cell(void) { return memory + header.cells_offset; }

static void write_cell(int commit)
{
    uint64_t size = (header.cells_stride - FF_CELL_HEAD) / 2;
    producer_cell(cell(), cell() + FF_CELL_HEAD, size, size / 8, ++value, commit);
}

/* A flush in which the cell changes; its position is the value. */
static void flush(void)
{
    producer_cells_begin(memory + header.control_offset, value + 1);
    write_cell(1);
    producer_cells_end(memory + header.control_offset, value);
}

static void between(void)
{
    copies++;
    for (; writes_left > 0; writes_left--)
        write_cell(1);
    if (writes_left < 0) /* endlessly: two versions for each copy */
        write_cell(1), write_cell(1);
    if (records_left > 0) {
        producer_write((uint64_t)records_left);
        records_left = 0;
    }
    for (; flushes_left > 0; flushes_left--)
        flush();
}

static void build(void)
{
    memory = (char *)aligned_alloc(4096, 1 << 20);
    memset(memory, 0, 1 << 20);
    header.control_offset = 4096;
    header.instruments_offset = 8192;
    header.instruments_stride = sizeof(ff_instrument_row);
    header.instruments_capacity = 1;
    header.cells_offset = 16384;
    header.cells_depth = DEPTH;
    header.cells_stride = FF_CELL_HEAD + 2 * (sizeof(ff_top_head) + 2 * DEPTH * sizeof(ff_level_pair));
    header.ring_offset = 131072;
    header.ring_capacity = CAPACITY;
    header.generation = 7;
    live.instruments = 1;
    live.state = FF_LIVE_READY;
    bus.base = memory;
    bus.header = &header;
    bus.live = &live;
    bus.control = (const ff_ring_control *)(const void *)(memory + header.control_offset);
    ((ff_instrument_row *)(void *)(memory + header.instruments_offset))->has_book = 1;
    producer_init(memory + header.control_offset, memory + header.ring_offset, CAPACITY, 7);
}

/* One top, whole if all words of it are the same. */
static int top(void)
{
    ff_top_head head;
    const uint64_t *words = (const uint64_t *)(const void *)bids;
    int code, i;
    copies = 0;
    code = ff_read_top(&bus, 0, DEPTH, &head, bids, asks);
    if (code)
        return printf("code %d copies %d\n", code, copies);
    for (i = 0; i < 2 * DEPTH; i++)
        if (words[i] != (uint64_t)head.sequence || ((const uint64_t *)(const void *)asks)[i] != words[0])
            return printf("torn\n");
    if (head.as_of != head.sequence) /* the cell changes in every flush, so that it is as of no later one */
        return printf("misplaced\n");
    return printf("whole %lld of %llu tries %d\n", (long long)head.sequence, (unsigned long long)value, copies / 3);
}

/* Read all; each record whole, each in its place, and none missing that is not counted. */
static int ring(void)
{
    const ff_record *record;
    uint64_t read = 0;
    while ((record = ff_next(&reader)) != NULL) {
        const uint64_t *words = (const uint64_t *)(const void *)record;
        int i;
        for (i = 2; i < 16; i++)
            if (words[i] != reader.ring.count - 1)
                return printf("torn\n");
        if (read + reader.ring.lost != words[2])
            return printf("miscounted\n");
        read++;
    }
    if (read + reader.ring.lost != producer_count())
        return printf("miscounted\n");
    return printf("read %llu lost %llu\n", (unsigned long long)read, (unsigned long long)reader.ring.lost);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    build();
    write_cell(1);
    write_cell(1);
    producer_write(20);
    if (ff_reader_start(&reader, &bus, FF_START_OLDEST) != FF_OK)
        return 1;
    if (strcmp(what, "quiet") == 0)
        return top() < 0 || ring() < 0;
    if (strcmp(what, "once") == 0)
        writes_left = 1;
    else if (strcmp(what, "twice") == 0)
        writes_left = 2;
    else if (strcmp(what, "endless") == 0)
        writes_left = -1;
    else if (strcmp(what, "flush") == 0)
        flushes_left = 1;
    else if (strcmp(what, "dead") == 0)
        write_cell(0);
    else {
        records_left = atoi(what); /* that many records into the first copy of one */
        return ring() < 0;
    }
    return top() < 0;
}

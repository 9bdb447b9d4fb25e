#include "producer.h"

#include "ring.h"

static ff_ring_writer writer;

void producer_init(void *control, void *base, uint64_t capacity, uint64_t generation)
{
    ff_ring_init(&writer, (ff_ring_control *)control, (char *)base, capacity, generation);
}

void producer_write(uint64_t records)
{
    while (records-- > 0) {
        ff_head *head = ff_ring_claim(&writer, 128);
        uint64_t *words = (uint64_t *)(void *)head;
        int i;
        for (i = 2; i < 16; i++)
            words[i] = writer.count;
        ff_ring_commit(&writer, head, 128, 1, 3);
    }
    ff_ring_flush(&writer);
}

uint64_t producer_count(void) { return writer.count; }

void producer_cell(void *version, void *slots, uint64_t slot_size, uint64_t words, uint64_t value, int commit)
{
    unsigned slot = ff_cell_begin((uint64_t *)version);
    uint64_t *at = (uint64_t *)(void *)((char *)slots + slot * slot_size);
    uint64_t i;
    for (i = 0; i < (commit ? words : words / 2); i++)
        at[i] = value;
    if (commit)
        ff_cell_commit((uint64_t *)version);
}

void producer_cells_begin(void *control, uint64_t position) { ff_cells_begin((ff_ring_control *)control, position); }

void producer_cells_end(void *control, uint64_t position) { ff_cells_end((ff_ring_control *)control, position); }

/* Cells of ring.h under every kind of interleaving: one thread plays writer and reader a word at a time, in an order that
   a seed decides, so that each run can be had again. Memory order is not its subject.

   Built with -DWITHOUT_VALIDATION a reader believes every copy; with -DWITHOUT_QUIET it takes cells as of one moment
   though one may be being written; with -DWITHOUT_SAME though one may have moved. Each must show what it is there for.

   cells SEED FLUSHES prints: copies of single cells, torn ones; sets of all cells, mixed ones, and sets given up. */
#include <stdio.h>
#include <stdlib.h>

#include "ring.h"

enum { CELLS = 3, WORDS = 6 };

typedef struct {
    uint64_t version;
    uint64_t slot[2][WORDS];
} cell;

static cell cells[CELLS];
static ff_ring_control control;
static uint64_t random_state;

static unsigned chance(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % n);
}

/* The writer, one step at a time: flush f writes f into the words of some cells, and every cell is as of f then. */
static struct {
    uint64_t flush;
    int at; /* cell being written, CELLS: between two flushes */
    int word; /* next word, -1: not begun */
    unsigned slot;
    uint64_t expected[CELLS]; /* flush that wrote the cell last */
} writer = {.at = CELLS};

static uint64_t known[1 << 20][CELLS]; /* what the cells hold as of each flush */

static void write_step(void)
{
    cell *c;
    if (writer.at == CELLS) {
        writer.flush += 1;
        ff_cells_begin(&control, writer.flush);
        writer.at = 0;
        writer.word = -1;
        return;
    }
    c = &cells[writer.at];
    if (writer.word < 0) {
        if (chance(3) == 0) { /* unchanged in this flush */
            writer.at += 1;
        } else {
            writer.slot = ff_cell_begin(&c->version);
            writer.word = 0;
        }
    } else if (writer.word < WORDS) {
        c->slot[writer.slot][writer.word++] = writer.flush;
    } else {
        ff_cell_commit(&c->version);
        writer.expected[writer.at] = writer.flush;
        writer.at += 1;
        writer.word = -1;
    }
    if (writer.at == CELLS) {
        for (int i = 0; i < CELLS; i++)
            known[writer.flush][i] = writer.expected[i];
        ff_cells_end(&control, writer.flush);
    }
}

/* Between two steps of the reader the writer comes not at all, a little way, or through some flushes. */
static void interfere(void)
{
    unsigned steps = chance(20) ? 0 : chance(8) ? chance(4) : chance(3 * CELLS * WORDS);
    while (steps--)
        write_step();
}

static int copy(int i, unsigned slot, uint64_t *out)
{
    int same = 1;
    for (int k = 0; k < WORDS; k++) {
        interfere();
        out[k] = cells[i].slot[slot][k];
        same &= out[k] == out[0];
    }
    interfere();
    return same;
}

int main(int argc, char **argv)
{
    uint64_t out[CELLS][WORDS], seen[CELLS];
    long copies = 0, torn = 0, sets = 0, mixed = 0, given_up = 0;
    uint64_t flushes = argc > 2 ? (uint64_t)atol(argv[2]) : 100000;
    random_state = 88172645463325252ULL ^ (argc > 1 ? (uint64_t)atol(argv[1]) : 0) << 20;
    if (flushes > (1 << 20) - 100)
        return 2;
    while (writer.flush < flushes) {
        unsigned slot;
        int i = (int)chance(CELLS), same;
        uint64_t as_of = ff_cells(&control), newest;
        interfere();
        seen[0] = ff_cell_read(&cells[i].version, &slot);
        same = copy(i, slot, out[0]);
#ifndef WITHOUT_VALIDATION
        if (ff_cell_valid(&cells[i].version, seen[0]))
#endif
        {
            copies += 1;
            /* Whole, and with all that was written before the copy was begun: where a reader can go on from. */
            torn += !same || out[0][0] < known[as_of][i];
        }

        for (i = 0; i < CELLS; i++) {
            seen[i] = ff_cell_read(&cells[i].version, &slot);
            interfere();
        }
        as_of = ff_cells(&control);
        interfere();
#ifndef WITHOUT_QUIET
        if (!ff_cells_quiet(&control, as_of)) {
            given_up += 1;
            continue;
        }
#endif
        same = 1;
        for (i = 0; i < CELLS; i++)
            same &= copy(i, (seen[i] >> 1) & 1, out[i]);
#ifndef WITHOUT_SAME
        for (i = 0, newest = 1; i < CELLS; i++) {
            newest &= (uint64_t)ff_cell_same(&cells[i].version, seen[i]);
            interfere();
        }
        if (!newest) {
            given_up += 1;
            continue;
        }
#else
        (void)newest;
#endif
        sets += 1;
        for (i = 0; i < CELLS; i++)
            same &= out[i][0] == known[as_of][i];
        mixed += !same;
    }
    printf("%ld %ld %ld %ld %ld\n", copies, torn, sets, mixed, given_up);
    return 0;
}

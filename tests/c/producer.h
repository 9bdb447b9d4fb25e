/* The feed's side of a ring and of a cell, for a test that puts the producer's steps between a reader's. */
#include <stdint.h>

void producer_init(void *control, void *base, uint64_t capacity, uint64_t generation);
/* Records of one kind and 128 bytes; all words behind the head are the number of the record. */
void producer_write(uint64_t records);
uint64_t producer_count(void);
/* A version of a cell with `words` words in a slot, all of them `value`; not committed: the producer died. */
void producer_cell(void *version, void *slots, uint64_t slot_size, uint64_t words, uint64_t value, int commit);
/* Around the cells of a flush. */
void producer_cells_begin(void *control, uint64_t position);
void producer_cells_end(void *control, uint64_t position);

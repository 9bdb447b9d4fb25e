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

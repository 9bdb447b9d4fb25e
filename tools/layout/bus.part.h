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

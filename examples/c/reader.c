/* Prints the top of a book, then follows quotes and trades with the losses, across restarts of the feed.

   cc -std=c11 -O2 -I "$(python -m fastfeed.include)" reader.c -o reader
   ./reader [-i INSTRUMENT] [-w block|yield|spin] [-s now|oldest|POSITION] [-n COUNT] [-t LEVELS] BUS

   Ends after COUNT records, at a clean stop of the feed, or at an interrupt; exit code 1 if the bus cannot be opened,
   2 for wrong usage. */
#include "fastfeed.h"

#include <signal.h>

#define LOOK_EVERY_NS 100000000 /* how often an idle reader asks whether its feed still lives */

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* A mantissa as the number that it stands for, with all of its digits. */
static const char *number(char *text, size_t size, int64_t mantissa, int exponent)
{
    if (mantissa == FF_ABSENT)
        return "-";
    snprintf(text, size, "%.*f", exponent < 0 ? -exponent : 0, ff_value(mantissa, exponent));
    return text;
}

static void print_top(const ff_bus *bus, uint32_t instrument, uint32_t levels)
{
    static const char *const states[] = {"syncing", "live", "stale"};
    const ff_instrument_row *row = ff_instrument(bus, instrument);
    ff_level_pair bids[100], asks[100];
    ff_top_head head;
    char px[64], sz[64];
    uint32_t i;
    int code = ff_read_top(bus, instrument, levels < 100 ? levels : 100, &head, bids, asks);
    if (code) {
        printf("top %s %s\n", row->name, code == FF_NO_BOOK ? "no book" : "unstable");
        return;
    }
    printf("top %s %s position %lld\n", row->name, states[head.state < 3 ? head.state : 2], (long long)head.as_of);
    for (i = 0; i < head.n_bids; i++)
        printf("  bid %s %s\n", number(px, sizeof px, bids[i].px, row->px_exp),
               number(sz, sizeof sz, bids[i].sz, row->sz_exp));
    for (i = 0; i < head.n_asks; i++)
        printf("  ask %s %s\n", number(px, sizeof px, asks[i].px, row->px_exp),
               number(sz, sizeof sz, asks[i].sz, row->sz_exp));
}

static void print_record(const ff_bus *bus, uint64_t position, const ff_record *record)
{
    const ff_instrument_row *row = ff_instrument(bus, record->head.instrument);
    char text[4][64];
    if (row == NULL)
        return;
    if (record->head.kind == FF_KIND_BBO)
        printf("bbo %llu %s %s %s %s %s\n", (unsigned long long)position, row->name,
               number(text[0], sizeof *text, record->bbo.bid_px, row->px_exp),
               number(text[1], sizeof *text, record->bbo.bid_sz, row->sz_exp),
               number(text[2], sizeof *text, record->bbo.ask_px, row->px_exp),
               number(text[3], sizeof *text, record->bbo.ask_sz, row->sz_exp));
    else
        printf("trade %llu %s %s %s %s\n", (unsigned long long)position, row->name,
               record->trade.side == FF_SIDE_BUY ? "buy" : "sell",
               number(text[0], sizeof *text, record->trade.px, row->px_exp),
               number(text[1], sizeof *text, record->trade.sz, row->sz_exp));
}

typedef struct {
    const char *instrument; /* NULL: all */
    ff_wait_mode how;
    uint64_t start;
    uint64_t count;
    uint32_t levels;
} wishes;

enum { ENDED, RESTARTED };

/* Follow one generation of the bus until it has ended or another one has taken its name. */
static int follow(ff_bus *bus, ff_reader *reader, const wishes *wanted, uint64_t *read)
{
    uint64_t lost = 0;
    int gone = 0;
    while (!interrupted && *read < wanted->count) {
        const ff_record *record = ff_next(reader);
        if (reader->ring.lost != lost) {
            printf("lost %llu\n", (unsigned long long)(reader->ring.lost - lost));
            lost = reader->ring.lost;
        }
        if (record != NULL) {
            /* A strategy looks the row up once and compares head.instrument after that. */
            const ff_instrument_row *row = ff_instrument(bus, record->head.instrument);
            if (wanted->instrument && (row == NULL || strcmp(row->name, wanted->instrument) != 0))
                continue;
            print_record(bus, reader->position, record);
            *read += 1;
            continue;
        }
        fflush(stdout);
        if (ff_wait(reader, wanted->how, LOOK_EVERY_NS))
            continue;
        if (!ff_is_current(bus))
            return RESTARTED;
        if (ff_is_closed(bus) && !ff_has_more(reader))
            return ENDED;
        if (!gone && !ff_is_alive(bus) && !ff_is_closed(bus)) {
            gone = 1;
            printf("gone\n"); /* what was read stays true; what comes next comes with a new generation */
        }
    }
    return ENDED;
}

static int usage(void)
{
    fputs("usage: reader [-i INSTRUMENT] [-w block|yield|spin] [-s now|oldest|POSITION] [-n COUNT] [-t LEVELS] BUS\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static ff_reader reader; /* 64 KiB: not on the stack */
    wishes wanted = {NULL, FF_BLOCK, FF_START_NOW, UINT64_MAX, 5};
    struct sigaction on_interrupt;
    uint64_t read = 0;
    int64_t instrument;
    ff_bus bus;
    int option, code, end;
    while ((option = getopt(argc, argv, "i:w:s:n:t:")) != -1) {
        if (option == 'i')
            wanted.instrument = optarg;
        else if (option == 'w' && strchr("bys", *optarg) && *optarg)
            wanted.how = *optarg == 's' ? FF_SPIN : *optarg == 'y' ? FF_YIELD : FF_BLOCK;
        else if (option == 's')
            wanted.start = strcmp(optarg, "now") == 0      ? FF_START_NOW
                           : strcmp(optarg, "oldest") == 0 ? FF_START_OLDEST
                                                           : strtoull(optarg, NULL, 10);
        else if (option == 'n')
            wanted.count = strtoull(optarg, NULL, 10);
        else if (option == 't')
            wanted.levels = (uint32_t)strtoul(optarg, NULL, 10);
        else
            return usage();
    }
    if (optind != argc - 1)
        return usage();
    memset(&on_interrupt, 0, sizeof on_interrupt);
    on_interrupt.sa_handler = interrupt;
    sigaction(SIGINT, &on_interrupt, NULL);
    for (;;) {
        code = ff_open(&bus, argv[optind]);
        if (code != FF_OK) {
            fprintf(stderr, "reader: bus %s: %s\n", argv[optind], bus.problem);
            return 1;
        }
        instrument = wanted.instrument ? ff_find_instrument(&bus, wanted.instrument) : ff_instrument_count(&bus) ? 0 : -1;
        if (instrument >= 0 && wanted.levels)
            print_top(&bus, (uint32_t)instrument, wanted.levels);
        code = ff_reader_start(&reader, &bus, wanted.start);
        if (code != FF_OK) {
            fprintf(stderr, "reader: bus %s: %s\n", argv[optind],
                    code == FF_NOT_HELD ? "the ring does not hold that position" : "no record starts at that position");
            return 1;
        }
        reader.kinds = 1 << FF_KIND_BBO | 1 << FF_KIND_TRADE;
        end = follow(&bus, &reader, &wanted, &read);
        printf("end read %llu lost %llu position %llu\n", (unsigned long long)read,
               (unsigned long long)reader.ring.lost, (unsigned long long)reader.ring.position);
        ff_close(&bus);
        if (end != RESTARTED)
            return 0;
        printf("restarted\n");
        wanted.start = FF_START_OLDEST; /* the new generation from its beginning */
    }
}

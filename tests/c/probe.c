/* A reader that does what it is told, a command a line, and prints what it finds: the tests hold it to Python's.

   top INSTRUMENT DEPTH    image INSTRUMENT    start now|oldest|POSITION    read COUNT    wait spin|yield|block MS
   kinds MASK    state    find NAME */
#include "fastfeed.h"

static ff_bus bus;
static ff_reader reader;
static ff_level_pair bids[65536], asks[65536];

static void pairs(const char *side, const ff_level_pair *at, uint32_t n)
{
    uint32_t i;
    printf(" %s", side);
    for (i = 0; i < n; i++)
        printf(" %lld:%lld", (long long)at[i].px, (long long)at[i].sz);
}

static void top(uint32_t instrument, uint32_t depth)
{
    ff_top_head head;
    int code = ff_read_top(&bus, instrument, depth, &head, bids, asks);
    if (code) {
        printf("error %d", code);
        return;
    }
    printf("%u %lld %lld %lld", head.state, (long long)head.sequence, (long long)head.ts_recv, (long long)head.as_of);
    pairs("bids", bids, head.n_bids);
    pairs("asks", asks, head.n_asks);
}

static void image(uint32_t instrument)
{
    ff_image_head head;
    int code = ff_read_image(&bus, instrument, &head, bids, asks);
    if (code) {
        printf("error %d", code);
        return;
    }
    printf("%u %lld %lld", head.state, (long long)head.sequence, (long long)head.as_of);
    pairs("bids", bids, head.n_bids);
    pairs("asks", asks, head.n_asks);
}

static void one(const ff_record *record)
{
    const ff_record_head *head = &record->head;
    printf("\n%llu %u %u %d %lld %lld", (unsigned long long)reader.position, head->kind, head->flags,
           (int)(int32_t)head->instrument, (long long)head->sequence, (long long)head->ts_recv);
    switch (head->kind) {
    case FF_KIND_BBO:
        printf(" %lld %lld %lld %lld", (long long)record->bbo.bid_px, (long long)record->bbo.bid_sz,
               (long long)record->bbo.ask_px, (long long)record->bbo.ask_sz);
        break;
    case FF_KIND_TRADE:
        printf(" %lld %lld %u", (long long)record->trade.px, (long long)record->trade.sz, record->trade.side);
        break;
    case FF_KIND_DELTA:
    case FF_KIND_SNAPSHOT:
        pairs("bids", ff_bids(record), record->levels.n_bids);
        pairs("asks", ff_asks(record), record->levels.n_asks);
        break;
    case FF_KIND_STATUS:
        printf(" %u %u %u", record->status.scope, record->status.state, record->status.reason);
        break;
    }
}

static void read_some(long count)
{
    const ff_record *record;
    long n = 0;
    while (n < count && (record = ff_next(&reader)) != NULL) {
        one(record);
        n++;
    }
    printf("\nread %ld lost %llu count %llu position %llu", n, (unsigned long long)reader.ring.lost,
           (unsigned long long)reader.ring.count, (unsigned long long)reader.ring.position);
}

static uint64_t place(const char *word)
{
    if (strcmp(word, "now") == 0)
        return FF_START_NOW;
    return strcmp(word, "oldest") == 0 ? FF_START_OLDEST : strtoull(word, NULL, 10);
}

int main(int argc, char **argv)
{
    char line[256], word[32], text[128];
    long number;
    int code = argc == 2 ? ff_open(&bus, argv[1]) : -EINVAL;
    if (code) {
        printf("%d %s\n", code, bus.problem);
        return 1;
    }
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    printf("%u instruments generation %llu", ff_instrument_count(&bus), (unsigned long long)bus.header->generation);
    for (;;) {
        printf("\n.\n"); /* the end of an answer */
        fflush(stdout);
        if (fgets(line, sizeof line, stdin) == NULL)
            break;
        *text = '\0';
        number = 0;
        if (sscanf(line, "%31s %127s %ld", word, text, &number) < 1)
            continue;
        if (strcmp(word, "top") == 0)
            top((uint32_t)strtoul(text, NULL, 10), (uint32_t)number);
        else if (strcmp(word, "image") == 0)
            image((uint32_t)strtoul(text, NULL, 10));
        else if (strcmp(word, "start") == 0)
            printf("%d", ff_reader_start(&reader, &bus, place(text)));
        else if (strcmp(word, "read") == 0)
            read_some(strtol(text, NULL, 10));
        else if (strcmp(word, "kinds") == 0)
            reader.kinds = strtoull(text, NULL, 10);
        else if (strcmp(word, "wait") == 0)
            printf("%d", ff_wait(&reader, *text == 's' ? FF_SPIN : *text == 'y' ? FF_YIELD : FF_BLOCK, number * 1000000));
        else if (strcmp(word, "state") == 0)
            printf("closed %d alive %d current %d", ff_is_closed(&bus), ff_is_alive(&bus), ff_is_current(&bus));
        else if (strcmp(word, "find") == 0)
            printf("%lld", (long long)ff_find_instrument(&bus, text));
        else
            printf("unknown");
    }
    ff_close(&bus);
    return 0;
}

/* SPDX-License-Identifier: MIT
   Publishing with and without readers, to be run under callgrind with `--toggle-collect=counted`.

   count READERS RECORDS    the readers are processes that read a record a millisecond each */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "common.h"
#include "wake.h"

#define CAPACITY (1 << 20)

/* Records of one line, a flush and a look at who sleeps every 16. */
__attribute__((noinline)) void counted(ff_ring_writer *w, uint32_t *word, uint32_t *sleepers, int records)
{
    for (int i = 0; i < records; i++) {
        uint64_t *payload = claim(w, 64);
        for (int k = 0; k < 6; k++)
            payload[k] = w->count;
        ff_ring_commit(w, (ff_head *)(payload - 2), 64, 1, 3);
        if (i % 16 == 15) {
            ff_ring_flush(w);
            ff_wake(word, sleepers);
        }
    }
}

int main(int argc, char **argv)
{
    static char buffer[65536] __attribute__((aligned(64)));
    char *area, *ring;
    ff_ring_control *control;
    ff_ring_writer w;
    uint64_t *ready, *read;
    pid_t children[64];
    int readers, records;
    if (argc != 3 || (readers = atoi(argv[1])) > 64)
        die("count READERS RECORDS");
    records = atoi(argv[2]);
    area = share(AREA_HEAD + CAPACITY + 4096);
    control = (ff_ring_control *)(area + 32768);
    ring = area + AREA_HEAD;
    ready = (uint64_t *)(area + 4096);
    read = (uint64_t *)(area + 8192);
    ff_ring_init(&w, control, ring, CAPACITY, 1);
    for (int i = 0; i < readers; i++) {
        children[i] = spawn();
        if (children[i] == 0) {
            ff_ring_reader r;
            ff_ring_attach(&r, control, ring, CAPACITY, 1);
            __atomic_fetch_add(ready, 1, __ATOMIC_ACQ_REL);
            for (;;) {
                if (ff_ring_copy(&r, buffer) == 64)
                    __atomic_fetch_add(read, 1, __ATOMIC_ACQ_REL);
                usleep(1000);
            }
        }
    }
    while (load(ready) != (uint64_t)readers)
        usleep(1000);
    counted(&w, (uint32_t *)area, (uint32_t *)(area + 256), records);
    while (load(read) < (uint64_t)readers) /* they do read */
        usleep(1000);
    for (int i = 0; i < readers; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], 0, 0);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT

   fastfeed.h: reading a fastfeed bus from C11 or C++17. This one file is all that a reader needs.

   Made by `python -m tools.layout` from the structs that the feed itself is compiled from, and from the read side of
   its ring; not to be edited. A bus of another layout is refused by ff_open, with the first field that differs.

       ff_bus bus;
       static ff_reader reader;
       if (ff_open(&bus, "main") != FF_OK) { puts(bus.problem); return 1; }
       ff_reader_start(&reader, &bus, FF_START_NOW);
       for (;;) {
           const ff_record *record = ff_next(&reader);
           if (record == NULL) { ff_wait(&reader, FF_BLOCK, 100000000); continue; }
           if (record->head.kind == FF_KIND_TRADE) use(record->trade.px, record->trade.sz);
       }

   A reader cannot slow the feed down, nor can it be blocked by it. A slow one loses the oldest records and knows
   exactly how many (reader.ring.lost). On the idle path ask ff_is_closed, ff_is_alive and ff_is_current every
   100 ms or so. One thread at a time may use an ff_reader; any number of threads may share an ff_bus.

   Needs a little-endian machine of 64 bits, POSIX, and the atomic builtins of gcc or clang. */
#ifndef FASTFEED_H
#define FASTFEED_H

#if !defined(_GNU_SOURCE) && !defined(__cplusplus)
#define _GNU_SOURCE /* for flock and syscall under -std=c11 */
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#endif

#if defined(__GLIBC__) && !defined(__USE_MISC)
#error "include fastfeed.h before the system's headers, or define _GNU_SOURCE before them"
#endif
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a bus is little endian"
#endif

#ifdef __cplusplus
#define FF_STATIC_ASSERT(what, why) static_assert(what, why)
extern "C" {
#else
#define FF_STATIC_ASSERT(what, why) _Static_assert(what, why)
#endif

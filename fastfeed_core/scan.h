/* SPDX-License-Identifier: MIT
   Literals and integers of a message whose order of fields is known. Inlined by force: with a literal's size known, a
   comparison is a few instructions; as a call it would cost more than what it compares. */
#ifndef FASTFEED_SCAN_H
#define FASTFEED_SCAN_H

#include <stdint.h>
#include <string.h>

#include "decimal.h"

/* A literal is compared in words, the last of which may overlap the one before: where the compiler takes a place for a
   rare one, it would call memcmp. */
FF_INLINE int ff_is_same(const char *one, const char *other, int64_t size)
{
    uint64_t differ = 0;
    uint32_t a, b;
    if (!__builtin_constant_p(size) || size < 4)
        return memcmp(one, other, (size_t)size) == 0;
    if (size < 8) {
        memcpy(&a, one, 4);
        memcpy(&b, other, 4);
        differ = a ^ b;
        memcpy(&a, one + size - 4, 4);
        memcpy(&b, other + size - 4, 4);
        return (differ | (a ^ b)) == 0;
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i + 8 <= size; i += 8)
        differ |= ff_load8(one + i) ^ ff_load8(other + i);
    if (size % 8)
        differ |= ff_load8(one + size - 8) ^ ff_load8(other + size - 8);
    return differ == 0;
}

/* Step over `text` if it is what comes next. */
FF_INLINE int ff_scan_text(const char **cursor, const char *end, const char *text, int64_t size)
{
    if (end - *cursor < size || !ff_is_same(*cursor, text, size))
        return 0;
    *cursor += size;
    return 1;
}

/* The first quote or backslash from `p` on; `end` if there is none. */
FF_INLINE const char *ff_find_quote(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101ULL;
    while (end - p >= 8) {
        uint64_t quote = ff_load8(p) ^ (ones * '"'), slash = ff_load8(p) ^ (ones * '\\');
        /* A byte that was found may have its neighbours behind it found in vain, never one before it. */
        uint64_t found = (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & (ones * 0x80);
        if (found)
            return p + (__builtin_ctzll(found) >> 3);
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\')
        p += 1;
    return p;
}

/* A JSON integer of 1 to 18 digits that is not negative; eight digits at a time while there are eight to read. */
FF_INLINE int ff_scan_int(const char **cursor, const char *end, int64_t *out)
{
    const char *p = *cursor;
    const char *first = p;
    uint64_t value = 0;
    while (end - p >= 8) {
        uint64_t v = ff_load8(p);
        unsigned n = ff_digits8(v);
        if (n == 0)
            break;
        value = value * FF_POW10[n] + ff_number8(v, n);
        p += n;
        if (n < 8 || p - first > 18)
            break;
    }
    while (p < end && (unsigned char)(*p - '0') <= 9) {
        value = value * 10 + (uint64_t)(*p - '0');
        p += 1;
    }
    if (p == first || p - first > 18 || (*first == '0' && p - first > 1))
        return 0;
    *out = (int64_t)value;
    *cursor = p;
    return 1;
}

#endif

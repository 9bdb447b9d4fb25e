/* SPDX-License-Identifier: MIT
   Plain decimals of up to 8 digits on each side of the point, eight characters at a time. */
#ifndef FASTFEED_DECIMAL_H
#define FASTFEED_DECIMAL_H

#include <stdint.h>
#include <string.h>

/* Powers of ten that fit an uint64, as constants of each translation unit: no import, no indirection. */
static const uint64_t FF_POW10[20] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
    10000000000000000000ULL};

/* The greatest whole part that can stand before `keep` digits of fraction: INT64_MAX / 10**keep - 1, 0 at least. */
static const uint64_t FF_WHOLE_MAX[19] = {
    9223372036854775806ULL, 922337203685477579ULL, 92233720368547757ULL, 9223372036854774ULL, 922337203685476ULL,
    92233720368546ULL, 9223372036853ULL, 922337203684ULL, 92233720367ULL, 9223372035ULL, 922337202ULL, 92233719ULL,
    9223371ULL, 922336ULL, 92232ULL, 9222ULL, 921ULL, 91ULL, 8ULL};

static inline uint64_t ff_load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline int ff_all_digits8(uint64_t v)
{
    uint64_t t = v ^ 0x3030303030303030ULL;
    return (((t + 0x7676767676767676ULL) | t) & 0x8080808080808080ULL) == 0;
}

/* How many of the eight characters are digits, from the first on. */
static inline unsigned ff_digits8(uint64_t v)
{
    uint64_t t = v ^ 0x3030303030303030ULL;
    /* A carry can only come out of a byte that is no digit, and only the first of those counts. */
    uint64_t other = ((t + 0x7676767676767676ULL) | t) & 0x8080808080808080ULL;
    return other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
}

/* The number that the first `n` characters (1 to 8 digits) spell: neighbours are joined in pairs, fours, eights. */
static inline uint64_t ff_number8(uint64_t v, unsigned n)
{
    v = (v << (64 - 8 * n)) & 0x0F0F0F0F0F0F0F0FULL;
    v = (v * 2561) >> 8;
    v = ((v & 0x00FF00FF00FF00FFULL) * 6553601) >> 16;
    return ((v & 0x0000FFFF0000FFFFULL) * 42949672960001ULL) >> 32;
}

#define FF_INLINE static inline __attribute__((always_inline))

/* With `checked` false no byte is compared with `end` before it is read: FF_DECIMAL_ROOM bytes are there. */
#define FF_DECIMAL_ROOM 32
FF_INLINE int ff_decimal_some(const char **cursor, const char *end, int keep, int64_t *mantissa, const int checked)
{
    const char *p = *cursor;
    const char *first = p;
    uint64_t whole = 0, fraction = 0;
    unsigned digit;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        if ((checked && p >= end) || (digit = (unsigned char)(*p - '0')) > 9)
            break;
        whole = whole * 10 + digit;
        p += 1;
    }
    if ((uint64_t)(p - first) - 1 > 6 || (*first == '0' && p - first > 1)) /* none, or more than 7 */
        return 0;
    if ((!checked || p < end) && *p == '.') {
        uint64_t v;
        int missing = keep;
        p += 1;
        if ((!checked || end - p >= 8) && ff_all_digits8(v = ff_load8(p))) {
            p += 8;
            if (keep >= 8) {
                fraction = ff_number8(v, 8) * FF_POW10[keep - 8];
            } else if (keep) {
                /* Digits that the instrument does not keep must be zeros. */
                if ((v ^ 0x3030303030303030ULL) >> (8 * keep))
                    return 0;
                fraction = ff_number8(v, (unsigned)keep);
            } else if (v != 0x3030303030303030ULL) {
                return 0;
            }
        } else {
            const char *point = p;
            while ((!checked || p < end) && missing && (digit = (unsigned char)(*p - '0')) <= 9) {
                fraction = fraction * 10 + digit;
                missing -= 1;
                p += 1;
            }
            while (p < end && *p == '0')
                p += 1;
            if (p == point)
                return 0;
            fraction *= FF_POW10[missing];
        }
        if (p < end && (unsigned char)(*p - '0') <= 9)
            return 0;
    }
    if ((p < end && (*p | 0x20) == 'e') || whole > FF_WHOLE_MAX[keep])
        return 0;
    *mantissa = (int64_t)(whole * FF_POW10[keep] + fraction);
    *cursor = p;
    return 1;
}

/* Read the number at `*cursor` as a mantissa with `keep` (0 to 18) digits behind the point. Answers 0, having touched
   nothing, for whatever is not a plain number of 1 to 7 digits before the point and at most 8 (or `keep`, then zeros)
   behind it, exact at `keep`: the slow path tells what it is.

   Digits are read one by one, because a venue's numbers have nearly always the same length: the branches are predicted
   and the next number starts before this one is done, which a length computed from the characters would prevent. Only a
   fraction of exactly eight digits, which some venues always send, is taken at once. */
FF_INLINE int ff_decimal_fast(const char **cursor, const char *end, int keep, int64_t *mantissa)
{
    if (end - *cursor >= FF_DECIMAL_ROOM)
        return ff_decimal_some(cursor, end, keep, mantissa, 0);
    return ff_decimal_some(cursor, end, keep, mantissa, 1);
}

#endif

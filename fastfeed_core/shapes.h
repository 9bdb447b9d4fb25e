/* SPDX-License-Identifier: MIT
   Levels of a book by their shape: `["61234.50","0.120"],` has its digits where the level before it had them.

   A shape is where the bytes of a level stand that are no digits. Once a level was read one digit at a time, others of
   its shape are taken at once: one comparison says that all punctuation is the same and that digits which the
   instrument does not keep are zeros, one shuffle brings both numbers to their places. What was refused there is never
   taken here: a shape is learnt from a level that was accepted, and nothing but digits may differ. Needs AVX2, which is
   asked for when the program runs; without it there is no table and all levels are read digit by digit. */
#ifndef FASTFEED_SHAPES_H
#define FASTFEED_SHAPES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define FF_HAS_SHAPES 1
#include <immintrin.h>
#else
#define FF_HAS_SHAPES 0
#endif

#define FF_SHAPES 256    /* of a table; a miss costs a level read digit by digit */
#define FF_SHAPE_TEXT 32 /* bytes of a level at most, the bracket that closes it among them */
#define FF_SHAPE_ROOM 64 /* readable bytes from a level's start on: two loads of 16 and 32 that begin inside of it */

typedef struct {
    uint32_t key;    /* a bit for each byte up to the closing bracket that is no digit; 0: free */
    uint16_t keep;   /* digits behind the point that price and size keep: low and high byte */
    uint8_t second;  /* where the size starts */
    uint8_t unused;
    uint32_t first;  /* first digits of numbers that have more: a zero there is no number */
    uint32_t unused2;
    uint8_t care[FF_SHAPE_TEXT];    /* 0xFF for bytes that must be as in `text`: punctuation, zeros that are not kept */
    uint8_t text[FF_SHAPE_TEXT];
    uint8_t shuffle[FF_SHAPE_TEXT]; /* price, then size: 16 digits each, the last one kept at the end */
} ff_shape;

/* A table, empty; NULL without AVX2, or without memory: then levels are read digit by digit. */
static inline ff_shape *ff_shapes_new(void)
{
#if FF_HAS_SHAPES
    if (__builtin_cpu_supports("avx2"))
        return (ff_shape *)calloc(FF_SHAPES, sizeof(ff_shape));
#endif
    return NULL;
}

static inline uint32_t ff_shape_slot(uint32_t key, uint32_t keep)
{
    return ((key ^ keep * 0x85EBCA6BU) * 0x9E3779B1U) >> 24;
}

static inline int ff_is_digit(char c) { return (unsigned char)(c - '0') <= 9; }

/* Place the digits of the number at `at` for the shuffle of one half, and mark its zeros; 0 if it does not fit. */
static inline int ff_shape_number(ff_shape *shape, const char *level, int at, int base, int half, int keep)
{
    int whole = 0, i, place;
    while (ff_is_digit(level[at + whole]))
        whole++;
    if (whole == 0 || whole + keep > 16 || at + whole - base > 16)
        return 0;
    place = 16 - keep - whole;
    for (i = 0; i < whole; i++)
        shape->shuffle[16 * half + place + i] = (uint8_t)(at + i - base);
    if (level[at + whole] != '.')
        return 1;
    at += whole + 1;
    for (i = 0; ff_is_digit(level[at + i]); i++) {
        if (i < keep) {
            if (at + i - base > 15)
                return 0;
            shape->shuffle[16 * half + 16 - keep + i] = (uint8_t)(at + i - base);
        } else {
            shape->care[at + i] = 0xFF;
        }
    }
    return i > 0;
}

/* Learn the shape of a level that was read: `[`, text that may have a quote or a word in it, price, size, up to its
   first closing bracket at `close`. Both numbers must be plain. */
static inline void ff_shape_learn(ff_shape *shapes, const char *level, const char *close, int px_keep, int sz_keep)
{
    ff_shape made;
    int i, size = (int)(close - level) + 1, numbers = 0, at[2] = {0, 0};
    uint32_t key = 0;
    if (px_keep < 0 || sz_keep < 0 || close - level >= FF_SHAPE_TEXT || *level != '[' || *close != ']')
        return;
    memset(&made, 0, sizeof made);
    memset(made.shuffle, 0x80, sizeof made.shuffle);
    for (i = 0; i < size; i++) {
        if (!ff_is_digit(level[i])) {
            /* Signs and exponents are no plain numbers; a second bracket or an escape is for the other reader. */
            if (level[i] == '-' || level[i] == '+' || level[i] == '\\' || (level[i] == ']' && i < size - 1)
                || ((level[i] == 'e' || level[i] == 'E') && ff_is_digit(level[i - 1])))
                return;
            key |= 1U << i;
            made.care[i] = 0xFF;
        } else if (!ff_is_digit(level[i - 1]) && level[i - 1] != '.') {
            if (numbers < 2)
                at[numbers] = i;
            numbers++;
            if (ff_is_digit(level[i + 1]))
                made.first |= 1U << i;
        }
        made.text[i] = (uint8_t)level[i];
    }
    if (numbers < 2 || !ff_shape_number(&made, level, at[0], 0, 0, px_keep)
        || !ff_shape_number(&made, level, at[1], at[1], 1, sz_keep))
        return;
    made.key = key;
    made.keep = (uint16_t)(px_keep | sz_keep << 8);
    made.second = (uint8_t)at[1];
    shapes[ff_shape_slot(key, made.keep)] = made;
}

#if FF_HAS_SHAPES
/* Take levels of known shapes from `*cursor` on, at most `room`: how many. The cursor stops behind the comma of the last
   one that has a comma, or behind the bracket of one that has none, with `*more` telling which. */
__attribute__((target("avx2"))) static int ff_shapes_take_avx2(const char **cursor, const char *end,
                                                               const ff_shape *shapes, int px_keep, int sz_keep,
                                                               int64_t *pairs, int room, int *more)
{
    const uint32_t keep = (uint32_t)(px_keep | sz_keep << 8);
    const __m256i zeros = _mm256_set1_epi8('0'), nine = _mm256_set1_epi8(9), closing = _mm256_set1_epi8(']');
    const __m256i tens = _mm256_set1_epi16(0x010A), hundreds = _mm256_set1_epi32(0x00010064);
    const __m256i thousands = _mm256_set1_epi32(0x00012710);
    const char *p = *cursor;
    int n = 0;
    *more = 1;
    while (n < room && end - p >= FF_SHAPE_ROOM) {
        const __m256i text = _mm256_loadu_si256((const __m256i *)p);
        const __m256i digits = _mm256_sub_epi8(text, zeros);
        const uint32_t is_digit = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(digits, nine), digits));
        const uint32_t closes = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(text, closing));
        const uint32_t is_zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(text, zeros));
        const uint32_t key = ~is_digit & (closes ^ (closes - 1)); /* up to the first closing bracket */
        const ff_shape *shape = &shapes[ff_shape_slot(key, keep)];
        __m256i v;
        uint64_t px, sz;
        const char *behind;
        if (closes == 0 || shape->key != key || shape->keep != keep || (is_zero & shape->first))
            break;
        v = _mm256_and_si256(_mm256_xor_si256(text, _mm256_loadu_si256((const __m256i *)shape->text)),
                             _mm256_loadu_si256((const __m256i *)shape->care));
        if (!_mm256_testz_si256(v, v))
            break;
        v = _mm256_inserti128_si256(text, _mm_loadu_si128((const __m128i *)(p + shape->second)), 1);
        v = _mm256_shuffle_epi8(_mm256_sub_epi8(v, zeros), _mm256_loadu_si256((const __m256i *)shape->shuffle));
        v = _mm256_madd_epi16(_mm256_maddubs_epi16(v, tens), hundreds);
        v = _mm256_madd_epi16(_mm256_packus_epi32(v, v), thousands);
        px = (uint64_t)_mm256_extract_epi64(v, 0);
        sz = (uint64_t)_mm256_extract_epi64(v, 2);
        /* From the bracket and not from the table: the next level need not wait for what was looked up. */
        behind = p + __builtin_ctz(closes) + 1;
        if (*behind != ',' && *behind != ']')
            break;
        pairs[2 * n] = (int64_t)((px & 0xFFFFFFFFU) * 100000000U + (px >> 32));
        pairs[2 * n + 1] = (int64_t)((sz & 0xFFFFFFFFU) * 100000000U + (sz >> 32));
        n += 1;
        p = behind + 1;
        if (*behind == ']') {
            *more = 0;
            p = behind;
            break;
        }
    }
    *cursor = p;
    return n;
}
#endif

static inline int ff_shapes_take(const char **cursor, const char *end, const ff_shape *shapes, int px_keep, int sz_keep,
                                 int64_t *pairs, int room, int *more)
{
    *more = 1;
#if FF_HAS_SHAPES
    if (shapes != NULL && px_keep >= 0 && sz_keep >= 0)
        return ff_shapes_take_avx2(cursor, end, shapes, px_keep, sz_keep, pairs, room, more);
#endif
    return 0;
}

#endif

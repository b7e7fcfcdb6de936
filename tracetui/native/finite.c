/* Whether rows of floats hold NaN or infinities: their exponents are all ones. */

#include <stddef.h>

#include "parallel.h"
#include "rows.h"

/* One more than such an exponent carries into the sign bit. A part at a time stays in the cache, and ends the search. */
#define DEFINE_FINITE(NAME, TYPE, EXPONENT, TARGET)                                                                    \
    TARGET static int NAME(const TYPE *bits, size_t count) {                                                           \
        enum { PART = 4096 };                                                                                          \
        const TYPE exponent = (TYPE)(EXPONENT), least = exponent & (TYPE)-exponent;                                    \
        for (size_t start = 0; start < count; start += PART) {                                                         \
            size_t end = count - start < PART ? count : start + PART;                                                  \
            TYPE carried = 0;                                                                                          \
            for (size_t i = start; i < end; i++)                                                                       \
                carried |= (TYPE)((bits[i] & exponent) + least);                                                       \
            if (carried >> (8 * sizeof(TYPE) - 1))                                                                     \
                return 0;                                                                                              \
        }                                                                                                              \
        return 1;                                                                                                      \
    }

#define DEFINE_ALL(WIDTH, TARGET)                                                                                      \
    DEFINE_FINITE(float32_##WIDTH, uint32_t, 0x7F800000u, TARGET)                                                      \
    DEFINE_FINITE(float64_##WIDTH, uint64_t, 0x7FF0000000000000u, TARGET)                                              \
    DEFINE_FINITE(float16_##WIDTH, uint16_t, 0x7C00u, TARGET)                                                          \
    DEFINE_FINITE(bfloat16_##WIDTH, uint16_t, 0x7F80u, TARGET)                                                         \
    static int is_finite_##WIDTH(const Row *row) {                                                                     \
        const void *bits = (const void *)(uintptr_t)row->address;                                                      \
        size_t count = (size_t)row->count;                                                                             \
        switch ((Kind)row->kind) {                                                                                     \
        case FLOAT32:                                                                                                  \
            return float32_##WIDTH(bits, count);                                                                       \
        case FLOAT64:                                                                                                  \
            return float64_##WIDTH(bits, count);                                                                       \
        case FLOAT16:                                                                                                  \
            return float16_##WIDTH(bits, count);                                                                       \
        default:                                                                                                       \
            return bfloat16_##WIDTH(bits, count);                                                                      \
        }                                                                                                              \
    }

DEFINE_ALL(16, TARGET_16)
#ifdef TARGET_32
DEFINE_ALL(32, TARGET_32)
#endif
#ifdef TARGET_64
DEFINE_ALL(64, TARGET_64)
#endif

enum { SLICE = 1 << 16 };

typedef struct {
    const Row *rows;
    int64_t count;
    int64_t next;  /* the slice of all rows that nobody has begun with */
    int64_t first; /* the first row that is known to have something that isn't finite */
} Search;

static int64_t slices(const Row *row) {
    return (row->count + SLICE - 1) / SLICE;
}

static int64_t size_of(int64_t kind) {
    return kind == FLOAT32 ? 4 : kind == FLOAT64 ? 8 : 2;
}

/* Slices are taken in order: whoever comes to one behind a row that isn't finite leaves nothing before it undone. */
static void search(void *data) {
    Search *search = data;
    int (*is_finite)(const Row *) = is_finite_16;
    switch (register_width()) {
#ifdef TARGET_64
    case 64:
        is_finite = is_finite_64;
        break;
#endif
#ifdef TARGET_32
    case 32:
        is_finite = is_finite_32;
        break;
#endif
    }
    int64_t row = 0, before = 0; /* slices of the rows before it */
    for (;;) {
        int64_t slice = __atomic_fetch_add(&search->next, 1, __ATOMIC_RELAXED);
        while (row < search->count && slice - before >= slices(&search->rows[row]))
            before += slices(&search->rows[row++]);
        int64_t first = __atomic_load_n(&search->first, __ATOMIC_RELAXED);
        if (row == search->count || row >= first)
            return;
        Row part = search->rows[row];
        int64_t start = (slice - before) * SLICE;
        part.address += (uint64_t)(start * size_of(part.kind));
        part.count = part.count - start < SLICE ? part.count - start : SLICE;
        if (is_finite(&part))
            continue;
        while (row < first &&
               !__atomic_compare_exchange_n(&search->first, &first, row, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
}

/* The place of the first row in which an element isn't finite; how many rows there are where all are. */
int64_t tracetui_first_not_finite(const Row *rows, int64_t count, Parallel *parallel, int64_t threads) {
    Search all = {rows, count, 0, count};
    on_threads(parallel, threads, search, &all);
    return all.first;
}

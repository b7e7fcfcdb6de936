/* Blocks of statistics.c in registers of WIDTH bytes, as many of which as hold 16 floats or 8 doubles work side by side.
 *
 * Included once for each width. A loop over REGISTERS has a constant count and leaves no trace in what is compiled.
 */

#define REGISTERS (64 / WIDTH)
#define Floats NAMED(Floats)
#define FloatBits NAMED(FloatBits)
#define Doubles NAMED(Doubles)
#define DoubleBits NAMED(DoubleBits)
#define HalfAsMany NAMED(HalfAsMany)

typedef float Floats __attribute__((vector_size(WIDTH)));
typedef int32_t FloatBits __attribute__((vector_size(WIDTH)));
typedef double Doubles __attribute__((vector_size(WIDTH)));
typedef int64_t DoubleBits __attribute__((vector_size(WIDTH)));
typedef float HalfAsMany __attribute__((vector_size(WIDTH / 2)));

/* Each lane's lower and higher number; the second one where they are equal, or where either is NaN. */
#if defined(__x86_64__) && WIDTH == 64
#define INTRINSIC(NAME) _mm512_##NAME
#elif defined(__x86_64__) && WIDTH == 32
#define INTRINSIC(NAME) _mm256_##NAME
#elif defined(__x86_64__)
#define INTRINSIC(NAME) _mm_##NAME
#endif
#ifdef INTRINSIC
#define DEFINE_CHOICE(NAME, VECTOR, BITS, HOLDS, INSTRUCTION)                                                          \
    TARGET INLINE VECTOR NAMED(NAME)(VECTOR a, VECTOR b) { return INTRINSIC(INSTRUCTION)(a, b); }
#else
#define DEFINE_CHOICE(NAME, VECTOR, BITS, HOLDS, INSTRUCTION)                                                          \
    INLINE VECTOR NAMED(NAME)(VECTOR a, VECTOR b) {                                                                    \
        BITS first = a HOLDS b;                                                                                        \
        return (VECTOR)(((BITS)a & first) | ((BITS)b & ~first));                                                       \
    }
#endif
DEFINE_CHOICE(lower_floats, Floats, FloatBits, <, min_ps)
DEFINE_CHOICE(higher_floats, Floats, FloatBits, >, max_ps)
DEFINE_CHOICE(lower_doubles, Doubles, DoubleBits, <, min_pd)
DEFINE_CHOICE(higher_doubles, Doubles, DoubleBits, >, max_pd)
#undef DEFINE_CHOICE

/* NaN is neither lower nor higher, and infinities may stay in the extremes: a block with either is taken apart. Of
 * an exponent that isn't all ones less than all is left over. */
#define DEFINE_EXTREMES(KIND, TYPE, VECTOR, BITS, EXPONENT)                                                            \
    TARGET static void NAMED(extremes_of_##KIND)(const TYPE *elements, Extremes *all) {                                \
        enum { LANES = WIDTH / sizeof(TYPE) };                                                                         \
        VECTOR low[REGISTERS], high[REGISTERS];                                                                        \
        BITS zeros[REGISTERS] = {0}, special = {0};                                                                    \
        for (int r = 0; r < REGISTERS; r++)                                                                            \
            low[r] = high[r] = elements[0] - (VECTOR){0};                                                              \
        for (size_t i = 0; i < BLOCK; i += LANES * REGISTERS)                                                          \
            for (int r = 0; r < REGISTERS; r++) {                                                                      \
                VECTOR part;                                                                                           \
                memcpy(&part, elements + i + LANES * r, sizeof part);                                                  \
                low[r] = NAMED(lower_##KIND)(part, low[r]);                                                            \
                high[r] = NAMED(higher_##KIND)(part, high[r]);                                                         \
                zeros[r] -= part == 0;                                                                                 \
                special |= EXPONENT - 1 - ((BITS)part & EXPONENT);                                                     \
            }                                                                                                          \
        *all = (Extremes){low[0][0], high[0][0], 0, 0};                                                                \
        for (int r = 0; r < REGISTERS; r++)                                                                            \
            for (int lane = 0; lane < LANES; lane++) {                                                                 \
                all->low = low[r][lane] < all->low ? low[r][lane] : all->low;                                          \
                all->high = high[r][lane] > all->high ? high[r][lane] : all->high;                                     \
                all->zeros += zeros[r][lane];                                                                          \
            }                                                                                                          \
        for (int lane = 0; lane < LANES; lane++)                                                                       \
            all->special |= special[lane] < 0;                                                                         \
    }

DEFINE_EXTREMES(floats, float, Floats, FloatBits, 0x7F800000)
DEFINE_EXTREMES(doubles, double, Doubles, DoubleBits, 0x7FF0000000000000)
#undef DEFINE_EXTREMES

/* LOAD makes Doubles `part` of the elements from `at` on. The eight lanes are added up in one order. */
#define DEFINE_ADD(NAME, TYPE, LOAD)                                                                                   \
    TARGET static void NAMED(NAME)(Statistics * statistics, const TYPE *elements, Extremes extremes) {                 \
        enum { LANES = WIDTH / sizeof(double) };                                                                       \
        double middle = elements[0], s[8], q[8];                                                                       \
        Doubles sums[REGISTERS] = {0}, squares[REGISTERS] = {0};                                                       \
        for (size_t i = 0; i < BLOCK; i += LANES * REGISTERS)                                                          \
            for (int r = 0; r < REGISTERS; r++) {                                                                      \
                const TYPE *at = elements + i + LANES * r;                                                             \
                Doubles part;                                                                                          \
                LOAD;                                                                                                  \
                part -= middle;                                                                                        \
                sums[r] += part;                                                                                       \
                squares[r] += part * part;                                                                             \
            }                                                                                                          \
        memcpy(s, sums, sizeof s);                                                                                     \
        memcpy(q, squares, sizeof q);                                                                                  \
        double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));                                \
        double square = ((q[0] + q[4]) + (q[2] + q[6])) + ((q[1] + q[5]) + (q[3] + q[7]));                             \
        join(statistics, extremes, BLOCK, middle, sum, square);                                                        \
    }

DEFINE_ADD(add_floats, float, HalfAsMany narrow; memcpy(&narrow, at, sizeof narrow);
           part = __builtin_convertvector(narrow, Doubles))
DEFINE_ADD(add_doubles, double, memcpy(&part, at, sizeof part))
#undef DEFINE_ADD

TARGET static void NAMED(widen_halves)(const uint16_t *halves, float *widened) {
#if defined(__x86_64__) && WIDTH > 16
    for (size_t i = 0; i < BLOCK; i += 8)
        _mm256_storeu_ps(widened + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
#else
    for (size_t i = 0; i < BLOCK; i++)
        widened[i] = float_of_half(halves[i]);
#endif
}

/* WIDEN makes `block` of the elements from `start` on. */
#define ADD_BLOCKS(TYPE, WIDEN, EXTREMES_OF, ADD)                                                                      \
    for (; start + BLOCK <= count; start += BLOCK) {                                                                   \
        const TYPE *block;                                                                                             \
        Extremes extremes;                                                                                             \
        WIDEN;                                                                                                         \
        NAMED(EXTREMES_OF)(block, &extremes);                                                                          \
        if (extremes.special)                                                                                          \
            add_one_by_one(statistics, elements, kind, start, BLOCK);                                                  \
        else                                                                                                           \
            NAMED(ADD)(statistics, block, extremes);                                                                   \
    }

/* Adds all whole blocks; returns how many elements that are. */
TARGET static size_t NAMED(add_blocks)(const void *elements, size_t count, Kind kind, Statistics *statistics) {
    float widened[BLOCK];
    const uint16_t *halves = elements;
    size_t start = 0;
    switch (kind) {
    case FLOAT32:
        ADD_BLOCKS(float, block = (const float *)elements + start, extremes_of_floats, add_floats)
        break;
    case FLOAT64:
        ADD_BLOCKS(double, block = (const double *)elements + start, extremes_of_doubles, add_doubles)
        break;
    case FLOAT16:
        ADD_BLOCKS(float, block = widened; NAMED(widen_halves)(halves + start, widened), extremes_of_floats, add_floats)
        break;
    case BFLOAT16:
        ADD_BLOCKS(float, block = widened;
                   for (size_t i = 0; i < BLOCK; i++) widened[i] = float_of_bits((uint32_t)halves[start + i] << 16),
                   extremes_of_floats, add_floats)
        break;
    }
    return start;
}

#undef ADD_BLOCKS
#undef INTRINSIC
#undef REGISTERS
#undef Floats
#undef FloatBits
#undef Doubles
#undef DoubleBits
#undef HalfAsMany
#undef WIDTH
#undef NAMED
#undef TARGET

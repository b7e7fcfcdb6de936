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

/* As many floats as there is room for once they are doubles. */
TARGET INLINE Doubles NAMED(widened)(const float *floats) {
    HalfAsMany narrow;
    memcpy(&narrow, floats, sizeof narrow);
#if defined(__x86_64__) && WIDTH > 16
    return INTRINSIC(cvtps_pd)(narrow);
#else
    return __builtin_convertvector(narrow, Doubles);
#endif
}

/* a - b. Where there is a product with a sum behind it, that does it: it is not what all the others here wait for. */
TARGET INLINE Doubles NAMED(difference)(Doubles a, double b) {
#if defined(__x86_64__) && WIDTH > 16
    return INTRINSIC(fmsub_pd)(a, (Doubles){0} + 1, (Doubles){0} + b);
#else
    return a - b;
#endif
}

/* Adds a block, read once, if all of it is finite; else nothing, and returns 0. NaN is neither lower nor higher, and both
 * it and infinities stay in the sum of squares, which no finite floats make too large. Of doubles that may be: then the
 * block is taken apart too. LOAD makes Doubles `wide` of the elements from `at` on. The eight lanes are added up in one
 * order. */
#define DEFINE_ADD(KIND, TYPE, VECTOR, BITS, LOAD)                                                                     \
    TARGET static int NAMED(add_##KIND)(Statistics * statistics, const TYPE *elements) {                               \
        enum { LANES = WIDTH / sizeof(TYPE), WIDE = WIDTH / sizeof(double) };                                          \
        const double middle = elements[0];                                                                             \
        double s[8], q[8];                                                                                             \
        VECTOR low[REGISTERS], high[REGISTERS];                                                                        \
        BITS zeros[REGISTERS] = {0};                                                                                   \
        Doubles sums[REGISTERS] = {0}, squares[REGISTERS] = {0};                                                       \
        for (int r = 0; r < REGISTERS; r++)                                                                            \
            low[r] = high[r] = elements[0] - (VECTOR){0};                                                              \
        for (const TYPE *each = elements; each < elements + BLOCK; each += LANES * REGISTERS) {                        \
            for (int r = 0; r < REGISTERS; r++) {                                                                      \
                VECTOR part;                                                                                           \
                memcpy(&part, each + LANES * r, sizeof part);                                                          \
                low[r] = NAMED(lower_##KIND)(part, low[r]);                                                            \
                high[r] = NAMED(higher_##KIND)(part, high[r]);                                                         \
                zeros[r] -= part == 0;                                                                                 \
            }                                                                                                          \
            for (size_t i = 0; i < LANES * REGISTERS; i += 8)                                                          \
                for (int r = 0; r < REGISTERS; r++) {                                                                  \
                    const TYPE *at = each + i + WIDE * r;                                                              \
                    Doubles wide;                                                                                      \
                    LOAD;                                                                                              \
                    wide = NAMED(difference)(wide, middle);                                                            \
                    sums[r] += wide;                                                                                   \
                    squares[r] += wide * wide;                                                                         \
                }                                                                                                      \
        }                                                                                                              \
        memcpy(s, sums, sizeof s);                                                                                     \
        memcpy(q, squares, sizeof q);                                                                                  \
        double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));                                \
        double square = ((q[0] + q[4]) + (q[2] + q[6])) + ((q[1] + q[5]) + (q[3] + q[7]));                             \
        if (square - square != 0)                                                                                      \
            return 0;                                                                                                  \
        TYPE lows[LANES * REGISTERS], highs[LANES * REGISTERS];                                                        \
        memcpy(lows, low, sizeof lows);                                                                                \
        memcpy(highs, high, sizeof highs);                                                                             \
        for (size_t half = LANES * REGISTERS / 2; half; half /= 2)                                                     \
            for (size_t lane = 0; lane < half; lane++) {                                                               \
                lows[lane] = lows[lane + half] < lows[lane] ? lows[lane + half] : lows[lane];                          \
                highs[lane] = highs[lane + half] > highs[lane] ? highs[lane + half] : highs[lane];                     \
            }                                                                                                          \
        Extremes all = {lows[0], highs[0], 0};                                                                         \
        for (int r = 1; r < REGISTERS; r++)                                                                            \
            zeros[0] += zeros[r];                                                                                      \
        for (size_t lane = 0; lane < LANES; lane++)                                                                    \
            all.zeros += zeros[0][lane];                                                                               \
        join(statistics, all, BLOCK, middle, sum, square);                                                             \
        return 1;                                                                                                      \
    }

DEFINE_ADD(floats, float, Floats, FloatBits, wide = NAMED(widened)(at))
DEFINE_ADD(doubles, double, Doubles, DoubleBits, memcpy(&wide, at, sizeof wide))
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
#define ADD_BLOCKS(TYPE, WIDEN, ADD)                                                                                   \
    for (; start + BLOCK <= count; start += BLOCK) {                                                                   \
        const TYPE *block;                                                                                             \
        WIDEN;                                                                                                         \
        if (!NAMED(ADD)(statistics, block))                                                                            \
            add_one_by_one(statistics, elements, kind, start, BLOCK);                                                  \
    }

/* Adds all whole blocks; returns how many elements that are. */
TARGET static size_t NAMED(add_blocks)(const void *elements, size_t count, Kind kind, Statistics *statistics) {
    float widened[BLOCK];
    const uint16_t *halves = elements;
    size_t start = 0;
    switch (kind) {
    case FLOAT32:
        ADD_BLOCKS(float, block = (const float *)elements + start, add_floats)
        break;
    case FLOAT64:
        ADD_BLOCKS(double, block = (const double *)elements + start, add_doubles)
        break;
    case FLOAT16:
        ADD_BLOCKS(float, block = widened; NAMED(widen_halves)(halves + start, widened), add_floats)
        break;
    case BFLOAT16:
        ADD_BLOCKS(float, block = widened;
                   for (size_t i = 0; i < BLOCK; i++) widened[i] = float_of_bits((uint32_t)halves[start + i] << 16),
                   add_floats)
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

/* Whether tensors are sums of two others: looked at in a few runs of elements that lie one beside the other, since of
 * each cache line that is fetched for one number the others are there for nothing. */

#include "elements.h"

typedef struct {
    uint64_t total, stream, last; /* the addresses of their first elements */
} Sum;

typedef struct {
    double total_squares, stream_squares;
    int64_t moved; /* elements of the total that aren't the stream's */
    int64_t equal; /* whether each element of the total is what adding the other two makes */
} SumSample;

/* Rounded to the nearest one that the narrower kind has; where two are as near, to that with an even last digit. */
INLINE float as_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return value - value != 0 ? value : float_of_bits((bits + 0x7FFFu + (bits >> 16 & 1)) & 0xFFFF0000u);
}

/* Below a half's normal numbers all have the same last digit, which is that of floats between 1/2 and 1. */
INLINE float as_half(float value) {
    float magnitude = __builtin_fabsf(value);
    if (value - value != 0)
        return value;
    if (magnitude >= 65520)
        magnitude = __builtin_inff();
    else if (magnitude < 0x1p-14f)
        magnitude = (magnitude + 0.5f) - 0.5f;
    else {
        uint32_t bits;
        memcpy(&bits, &magnitude, sizeof bits);
        magnitude = float_of_bits((bits + 0xFFFu + (bits >> 13 & 1)) & 0xFFFFE000u);
    }
    return __builtin_copysignf(magnitude, value);
}

INLINE double sum_of(double one, double other, Kind kind) {
    switch (kind) {
    case FLOAT32:
        return (float)one + (float)other;
    case FLOAT16:
        return as_half((float)one + (float)other);
    case BFLOAT16:
        return as_bfloat16((float)one + (float)other);
    default:
        return one + other;
    }
}

INLINE SumSample look_at(const Sum *sum, Kind kind, const int64_t *starts, int64_t runs, int64_t length) {
    const void *total = (const void *)(uintptr_t)sum->total, *stream = (const void *)(uintptr_t)sum->stream;
    const void *last = (const void *)(uintptr_t)sum->last;
    SumSample sample = {0, 0, 0, 1};
    for (int64_t run = 0; run < runs && sample.equal; run++)
        for (int64_t i = starts[run]; i < starts[run] + length; i++) {
            double whole = element(total, kind, (size_t)i), before = element(stream, kind, (size_t)i);
            sample.equal &= whole == sum_of(before, element(last, kind, (size_t)i), kind);
            sample.moved += whole != before;
            sample.total_squares += whole * whole;
            sample.stream_squares += before * before;
        }
    return sample;
}

/* The same of each of several sums, all of one kind. starts: of the runs, each of `length` elements. */
void tracetui_look_at_sums(const Sum *sums, int64_t count, int64_t kind, const int64_t *starts, int64_t runs,
                           int64_t length, SumSample *samples) {
    for (int64_t i = 0; i < count; i++)
        switch ((Kind)kind) {
        case FLOAT32:
            samples[i] = look_at(&sums[i], FLOAT32, starts, runs, length);
            break;
        case FLOAT64:
            samples[i] = look_at(&sums[i], FLOAT64, starts, runs, length);
            break;
        case FLOAT16:
            samples[i] = look_at(&sums[i], FLOAT16, starts, runs, length);
            break;
        default:
            samples[i] = look_at(&sums[i], BFLOAT16, starts, runs, length);
        }
}

INLINE double product(const double *one, const double *other, int64_t count) {
    double parts[8] = {0}; /* so that no addition waits for the one before it */
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int lane = 0; lane < 8; lane++)
            parts[lane] += one[i + lane] * other[i + lane];
    for (; i < count; i++)
        parts[0] += one[i] * other[i];
    return ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

/* Takes from `values` what they have of a direction, whose sum of squares is `squares`. */
INLINE void take_away(double *values, const double *direction, double squares, int64_t count) {
    double share = squares > 0 ? product(values, direction, count) / squares : 0;
    for (int64_t i = 0; i < count; i++)
        values[i] -= share * direction[i];
}

/* What the best multiples of all tensors but the first leave of that one, in the same runs of each: the sums of squares
 * of what it was and of what is left. None of them is a number where an element isn't finite. values: room for all. */
void tracetui_left_of_sum(const Row *tensors, int64_t tensor_count, const int64_t *starts, int64_t runs, int64_t length,
                          double *values, double squares[2]) {
    int64_t count = runs * length;
    double *next = values;
    for (int64_t i = 0; i < tensor_count; i++)
        for (int64_t run = 0; run < runs; run++)
            for (int64_t place = starts[run]; place < starts[run] + length; place++)
                *next++ = element((const void *)(uintptr_t)tensors[i].address, (Kind)tensors[i].kind, (size_t)place);
    squares[0] = product(values, values, count);
    /* Twice: of columns that are nearly alike the first time leaves a part. */
    for (double *term = values + count; term < next; term += count) {
        for (int again = 0; again < 2; again++)
            for (double *before = values + count; before < term; before += count)
                take_away(term, before, product(before, before, count), count);
        double own = product(term, term, count);
        take_away(values, term, own, count);
        take_away(values, term, own, count);
    }
    squares[1] = product(values, values, count);
}

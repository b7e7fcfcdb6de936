/* The statistics of a row of floats in one pass over memory: the numbers of tracetui/recording/statistics.py.
 *
 * A block at a time is looked at for its extremes and zeros, and summed in doubles, about its own first element: then no
 * sum is more than BLOCK times larger than the spread that follows from it, however far from zero all of them lie. Blocks
 * are joined after Chan, Golub and LeVeque (1983). The lanes and their order are the same on every processor, and so are
 * the bits of what comes out.
 */

#include "elements.h"
#include "parallel.h"

enum { BLOCK = 512 };

typedef struct {
    double squares;    /* the sum of squares, about zero */
    double mean;
    double deviations; /* the sum of squares, about the mean */
    double low, high;
    int64_t finite;    /* how many elements the numbers above are of */
    int64_t nan, positive_infinities, negative_infinities;
    int64_t zeros;     /* of either sign */
} Statistics;

typedef struct {
    double low, high;
    int64_t zeros;
} Extremes;

/* Joins a block whose sum and sum of squares are taken about `middle`. */
INLINE void join(Statistics *statistics, Extremes extremes, size_t count, double middle, double sum, double squares) {
    double length = (double)count, before = (double)statistics->finite, all = before + length;
    double spread = squares - sum * sum / length;
    double apart = middle - statistics->mean + sum / length;
    if (statistics->finite == 0 || extremes.low < statistics->low)
        statistics->low = extremes.low;
    if (statistics->finite == 0 || extremes.high > statistics->high)
        statistics->high = extremes.high;
    statistics->mean += apart * (length / all);
    statistics->deviations += (spread > 0 ? spread : 0) + apart * apart * (before * length / all);
    statistics->squares += squares + middle * (2 * sum + length * middle);
    statistics->zeros += extremes.zeros;
    statistics->finite += (int64_t)count;
}

/* One by one: for blocks with something in them that isn't finite, and for the few elements after the last block. */
static void add_one_by_one(Statistics *statistics, const void *elements, Kind kind, size_t start, size_t count) {
    double middle = 0, sum = 0, squares = 0;
    size_t finite = 0;
    Extremes extremes = {0, 0, 0};
    for (size_t i = start; i < start + count; i++) {
        double value = element(elements, kind, i);
        if (value != value)
            statistics->nan++;
        else if (value - value != 0)
            *(value > 0 ? &statistics->positive_infinities : &statistics->negative_infinities) += 1;
        else {
            if (finite++ == 0)
                middle = extremes.low = extremes.high = value;
            extremes.low = value < extremes.low ? value : extremes.low;
            extremes.high = value > extremes.high ? value : extremes.high;
            extremes.zeros += value == 0;
            sum += value - middle;
            squares += (value - middle) * (value - middle);
        }
    }
    if (finite)
        join(statistics, extremes, finite, middle, sum, squares);
}

/* The same for registers of each width; what a processor has is asked when the library is called. */
#define WIDTH 16
#define NAMED(name) name##_16
#define TARGET TARGET_16
#include "statistics_blocks.h"

#ifdef TARGET_32
#define WIDTH 32
#define NAMED(name) name##_32
#define TARGET TARGET_32
#include "statistics_blocks.h"
#endif

#ifdef TARGET_64
#define WIDTH 64
#define NAMED(name) name##_64
#define TARGET TARGET_64
#include "statistics_blocks.h"
#endif

typedef struct {
    const Row *rows;
    Statistics *statistics;
    int64_t left; /* rows that nobody has begun with */
} Work;

/* From the last row on, which often is the longest: that of the logits. */
static void add_rows(void *data) {
    Work *work = data;
    size_t (*add_blocks)(const void *, size_t, Kind, Statistics *) = add_blocks_16;
    switch (register_width()) {
#ifdef TARGET_64
    case 64:
        add_blocks = add_blocks_64;
        break;
#endif
#ifdef TARGET_32
    case 32:
        add_blocks = add_blocks_32;
        break;
#endif
    }
    for (int64_t i; (i = __atomic_sub_fetch(&work->left, 1, __ATOMIC_RELAXED)) >= 0;) {
        const Row *row = &work->rows[i];
        const void *elements = (const void *)(uintptr_t)row->address;
        size_t length = (size_t)row->count;
        Kind kind = (Kind)row->kind;
        size_t added = add_blocks(elements, length, kind, &work->statistics[i]);
        add_one_by_one(&work->statistics[i], elements, kind, added, length - added);
    }
}

/* Adds the elements of each row to statistics of its own, which start as zeros. */
void tracetui_add_statistics(const Row *rows, int64_t count, Statistics *statistics, Parallel *parallel,
                             int64_t threads) {
    Work work = {rows, statistics, count};
    on_threads(parallel, threads, add_rows, &work);
}

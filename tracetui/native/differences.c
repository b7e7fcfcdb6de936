/* How far apart two matrices of floats are, row by row, in one pass over both: the numbers of
 * tracetui/analysis/diff/distances/sums.py.
 *
 * Rows are widened to doubles a chunk at a time. The lanes and their order are the same on every processor, and so are
 * the bits of what comes out. Where a sum isn't finite, nothing that is returned counts: some element isn't either, or
 * its square isn't.
 */

#include <math.h>

#include "elements.h"

enum { CHUNK = 512, LANE_COUNT = 8 };

typedef struct {
    /* What is allowed: an element is off where |a - b| > rtol·|b| + absolute, and far off from `slack` times that on. */
    double rtol, slack;
    double atol;    /* absolute, unless: */
    double per_row; /* if it isn't 0, absolute in units of the root mean square of b's row */
    int64_t counts; /* whether elements are held to all this */
    /* What comes out. */
    double greatest;       /* |a - b| */
    double greatest_ratio; /* |a - b|/|b|, where b isn't 0 */
    double square_a, dot;
    int64_t off;
    int64_t far_rows; /* those with an element that is far off */
    int64_t finite;   /* whether all sums are */
    int64_t equal;    /* whether both have the same bytes */
    double difference, reference; /* the sums of squares of a - b and of b */
    /* Of the row that is furthest apart in units of its norm in b, or of the median row's if that is more. */
    int64_t row, column; /* with the column of its greatest |a - b| */
    double judged, apart, norm, usual;
    double worst_a, worst_b; /* at that column */
    double levelled; /* the norm of all differences in these units, over the root of how many rows of b aren't zero */
} Differences;

typedef struct {
    double differences[LANE_COUNT], references[LANE_COUNT], squares[LANE_COUNT], products[LANE_COUNT];
    double greatest[LANE_COUNT], ratios[LANE_COUNT];
} Lanes;

INLINE double sum_of(const double lanes[LANE_COUNT]) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

INLINE double greatest_of(const double lanes[LANE_COUNT]) {
    double greatest = lanes[0];
    for (int lane = 1; lane < LANE_COUNT; lane++)
        greatest = lanes[lane] > greatest ? lanes[lane] : greatest;
    return greatest;
}

/* Fills whole groups of lanes: what is missing in the last one is 0. */
INLINE void widen(const void *elements, Kind kind, size_t start, size_t count, double *widened) {
    switch (kind) {
    case FLOAT32:
        for (size_t i = 0; i < count; i++)
            widened[i] = ((const float *)elements)[start + i];
        break;
    case FLOAT64:
        memcpy(widened, (const double *)elements + start, count * sizeof *widened);
        break;
    default:
        for (size_t i = 0; i < count; i++)
            widened[i] = element(elements, kind, start + i);
    }
    for (; count % LANE_COUNT; count++)
        widened[count] = 0;
}

/* The same for registers of each width, as in statistics.c. */
#define WIDTH 16
#define NAMED(name) name##_16
#define TARGET TARGET_16
#include "differences_rows.h"

#ifdef TARGET_32
#define WIDTH 32
#define NAMED(name) name##_32
#define TARGET TARGET_32
#include "differences_rows.h"
#endif

#ifdef TARGET_64
#define WIDTH 64
#define NAMED(name) name##_64
#define TARGET TARGET_64
#include "differences_rows.h"
#endif

/* The element that `place` others precede in order; puts the elements in another order. */
static double element_in_order(double *elements, size_t count, size_t place) {
    size_t first = 0, last = count - 1;
    while (first < last) {
        double low = elements[first], middle = elements[first + (last - first) / 2], high = elements[last];
        double pivot = low < middle ? (middle < high ? middle : low < high ? high : low)
                                    : (low < high ? low : middle < high ? high : middle);
        size_t i = first, j = last;
        for (;; i++, j--) {
            while (elements[i] < pivot)
                i++;
            while (pivot < elements[j])
                j--;
            if (i >= j)
                break;
            double other = elements[i];
            elements[i] = elements[j];
            elements[j] = other;
        }
        if (place <= j)
            last = j;
        else
            first = j + 1;
    }
    return elements[place];
}

/* Turns the rows' sums of squares into norms, [rows] each, and finds the row that is furthest apart. */
static void judge(double *apart, double *norms, double *scratch, size_t rows, Differences *all) {
    size_t known = 0;
    double usual = 0, squares = 0;
    for (size_t row = 0; row < rows; row++) {
        apart[row] = sqrt(apart[row]);
        norms[row] = sqrt(norms[row]);
        if (norms[row] > 0)
            scratch[known++] = norms[row];
    }
    if (known)
        usual = element_in_order(scratch, known, (known - 1) / 2);
    all->judged = -1;
    for (size_t row = 0; row < rows; row++) {
        double unit = norms[row] > usual ? norms[row] : usual;
        double judged = apart[row] > 0 ? apart[row] / unit : 0;
        squares += judged * judged;
        if (judged > all->judged) {
            all->judged = judged;
            all->row = (int64_t)row;
        }
    }
    all->apart = apart[all->row];
    all->norm = norms[all->row];
    all->usual = usual;
    all->levelled = usual > 0 ? sqrt(squares / (double)known) : squares > 0 ? INFINITY : 0;
}

static void find_worst(const void *a, Kind kind_a, const void *b, Kind kind_b, size_t width, Differences *all) {
    double greatest = -1;
    for (size_t column = 0, i = (size_t)all->row * width; column < width; column++, i++) {
        double x = element(a, kind_a, i), y = element(b, kind_b, i);
        if (fabs(x - y) > greatest) {
            greatest = fabs(x - y);
            all->column = (int64_t)column;
            all->worst_a = x;
            all->worst_b = y;
        }
    }
}

/* Of two matrices [rows, width], which lie row by row in memory. `of_rows` [4, rows] gets each row's sum of squares of
 * a - b, that of b, and by how much |a - b| - slack·rtol·|b| is at most, or -1 where no element of it is far off; if
 * `judges`, norms in place of the sums.
 */
void tracetui_differences(const void *a, int32_t kind_a, const void *b, int32_t kind_b, size_t rows, size_t width,
                          double *of_rows, int32_t judges, Differences *all) {
    static const size_t sizes[] = {4, 8, 2, 2};
    all->equal = kind_a == kind_b && memcmp(a, b, rows * width * sizes[kind_a]) == 0;
    switch (register_width()) {
#ifdef TARGET_64
    case 64:
        add_rows_64(a, (Kind)kind_a, b, (Kind)kind_b, rows, width, of_rows, all);
        break;
#endif
#ifdef TARGET_32
    case 32:
        add_rows_32(a, (Kind)kind_a, b, (Kind)kind_b, rows, width, of_rows, all);
        break;
#endif
    default:
        add_rows_16(a, (Kind)kind_a, b, (Kind)kind_b, rows, width, of_rows, all);
    }
    if (!judges || !all->finite)
        return;
    judge(of_rows, of_rows + rows, of_rows + 3 * rows, rows, all);
    find_worst(a, (Kind)kind_a, b, (Kind)kind_b, width, all);
}

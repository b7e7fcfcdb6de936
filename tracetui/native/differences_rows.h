/* Rows of differences.c in registers of WIDTH bytes, as many of which as hold 8 doubles work side by side.
 *
 * Included once for each width. A loop over REGISTERS has a constant count and leaves no trace in what is compiled.
 */

#define REGISTERS (64 / WIDTH)
#define LANES (WIDTH / (int)sizeof(double))
#define Doubles NAMED(Doubles)
#define DoubleBits NAMED(DoubleBits)

typedef double Doubles __attribute__((vector_size(WIDTH)));
typedef int64_t DoubleBits __attribute__((vector_size(WIDTH)));

/* Adds `count` elements, whole groups of lanes. */
TARGET static void NAMED(add_chunk)(const double *a, const double *b, size_t count, Lanes *lanes) {
    const int64_t magnitude = INT64_MAX;
    Doubles differences[REGISTERS], references[REGISTERS], squares[REGISTERS], products[REGISTERS];
    Doubles greatest[REGISTERS], ratios[REGISTERS];
    memcpy(differences, lanes->differences, sizeof differences);
    memcpy(references, lanes->references, sizeof references);
    memcpy(squares, lanes->squares, sizeof squares);
    memcpy(products, lanes->products, sizeof products);
    memcpy(greatest, lanes->greatest, sizeof greatest);
    memcpy(ratios, lanes->ratios, sizeof ratios);
    for (size_t i = 0; i < count; i += LANE_COUNT)
        for (int r = 0; r < REGISTERS; r++) {
            Doubles x, y;
            memcpy(&x, a + i + LANES * r, sizeof x);
            memcpy(&y, b + i + LANES * r, sizeof y);
            Doubles apart = (Doubles)((DoubleBits)(x - y) & magnitude), size = (Doubles)((DoubleBits)y & magnitude);
            Doubles ratio = (Doubles)((DoubleBits)(apart / size) & (size > 0));
            DoubleBits further = apart > greatest[r], larger = ratio > ratios[r];
            greatest[r] = (Doubles)(((DoubleBits)apart & further) | ((DoubleBits)greatest[r] & ~further));
            ratios[r] = (Doubles)(((DoubleBits)ratio & larger) | ((DoubleBits)ratios[r] & ~larger));
            differences[r] += apart * apart;
            references[r] += y * y;
            squares[r] += x * x;
            products[r] += x * y;
        }
    memcpy(lanes->differences, differences, sizeof differences);
    memcpy(lanes->references, references, sizeof references);
    memcpy(lanes->squares, squares, sizeof squares);
    memcpy(lanes->products, products, sizeof products);
    memcpy(lanes->greatest, greatest, sizeof greatest);
    memcpy(lanes->ratios, ratios, sizeof ratios);
}

/* The same of a chunk that is equal on both sides. */
TARGET static void NAMED(add_equal_chunk)(const double *b, size_t count, Lanes *lanes) {
    Doubles references[REGISTERS];
    memcpy(references, lanes->references, sizeof references);
    for (size_t i = 0; i < count; i += LANE_COUNT)
        for (int r = 0; r < REGISTERS; r++) {
            Doubles y;
            memcpy(&y, b + i + LANES * r, sizeof y);
            references[r] += y * y;
        }
    memcpy(lanes->references, references, sizeof references);
}

/* Counts what is off in a row, and returns by how much |a - b| - slack·rtol·|b| is at most. */
TARGET static double NAMED(count_off)(const void *a, Kind kind_a, const void *b, Kind kind_b, size_t start, size_t width,
                                      double absolute, Differences *all) {
    double x[CHUNK], y[CHUNK], rtol = all->rtol, far = all->slack * all->rtol, excess = -1;
    int64_t off = 0;
    for (size_t done = 0; done < width; done += CHUNK) {
        size_t count = width - done < CHUNK ? width - done : CHUNK;
        widen(a, kind_a, start + done, count, x);
        widen(b, kind_b, start + done, count, y);
        for (size_t i = 0; i < count; i++) {
            double apart = fabs(x[i] - y[i]), size = fabs(y[i]), beyond = apart - far * size;
            off += apart > rtol * size + absolute;
            excess = beyond > excess ? beyond : excess;
        }
    }
    all->off += off;
    return excess;
}

TARGET static void NAMED(add_rows)(const void *a, Kind kind_a, const void *b, Kind kind_b, size_t rows, size_t width,
                                   double *of_rows, Differences *all) {
    double x[CHUNK], y[CHUNK];
    all->finite = 1;
    for (size_t row = 0; row < rows; row++) {
        Lanes lanes = {{0}, {0}, {0}, {0}, {0}, {0}};
        size_t start = row * width;
        for (size_t done = 0; done < width; done += CHUNK) {
            size_t count = width - done < CHUNK ? width - done : CHUNK;
            size_t padded = (count + LANE_COUNT - 1) / LANE_COUNT * LANE_COUNT;
            widen(b, kind_b, start + done, count, y);
            if (all->equal) {
                NAMED(add_equal_chunk)(y, padded, &lanes);
                continue;
            }
            widen(a, kind_a, start + done, count, x);
            NAMED(add_chunk)(x, y, padded, &lanes);
        }
        double difference = sum_of(lanes.differences), reference = sum_of(lanes.references);
        double square = all->equal ? reference : sum_of(lanes.squares);
        double dot = all->equal ? reference : sum_of(lanes.products);
        double greatest = greatest_of(lanes.greatest), ratio = greatest_of(lanes.ratios);
        if (!(difference < INFINITY && reference < INFINITY && square < INFINITY)) {
            all->finite = 0;
            return;
        }
        double absolute = all->per_row > 0 ? all->per_row * sqrt(reference / (double)width) : all->atol;
        double excess = -1;
        if (all->counts && greatest > absolute) {
            excess = NAMED(count_off)(a, kind_a, b, kind_b, start, width, absolute, all);
            excess = excess > all->slack * absolute ? excess : -1;
        }
        all->far_rows += excess >= 0;
        all->greatest = greatest > all->greatest ? greatest : all->greatest;
        all->greatest_ratio = ratio > all->greatest_ratio ? ratio : all->greatest_ratio;
        all->difference += difference;
        all->reference += reference;
        all->square_a += square;
        all->dot += dot;
        of_rows[row] = difference;
        of_rows[rows + row] = reference;
        of_rows[2 * rows + row] = excess;
    }
}

#undef REGISTERS
#undef LANES
#undef Doubles
#undef DoubleBits
#undef WIDTH
#undef NAMED
#undef TARGET

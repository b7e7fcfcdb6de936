/* Work on threads that somebody else has at hand: those of an OpenMP that is loaded already, by its `GOMP_parallel`. */

#include <stdint.h>

typedef void Parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags);

/* Has each thread do `work`, which divides itself; the caller alone where there are no others. */
static inline void on_threads(Parallel *parallel, int64_t threads, void (*work)(void *), void *data) {
    if (parallel && threads > 1)
        parallel(work, data, (unsigned)threads, 0);
    else
        work(data);
}

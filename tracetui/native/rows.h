/* Floats that lie one beside the other in memory, as the caller tells of them: three numbers of 64 bits. */

#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

typedef enum { FLOAT32 = 0, FLOAT64 = 1, FLOAT16 = 2, BFLOAT16 = 3 } Kind;

typedef struct {
    uint64_t address; /* of the first element */
    int64_t count;
    int64_t kind;
} Row;

/* Registers of 64, 32 or 16 bytes: the widest that the processor has and this was compiled for. */
#ifndef WIDEST
#define WIDEST 64
#endif

#if defined(__x86_64__) && WIDEST >= 64
#define TARGET_64 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,f16c,fma")))
#endif
#if defined(__x86_64__) && WIDEST >= 32
#define TARGET_32 __attribute__((target("avx2,f16c,fma")))
#endif
#define TARGET_16

#ifdef TARGET_32
static int asked_register_width(void) {
    const unsigned fma_osxsave_f16c = 1u << 12 | 1u << 27 | 1u << 29, avx2 = 1u << 5;
    unsigned a, b, c, d, more, kept, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & fma_osxsave_f16c) != fma_osxsave_f16c)
        return 16;
    if (!__get_cpuid_count(7, 0, &a, &more, &c, &d) || !(more & avx2))
        return 16;
    /* Which registers the system keeps when another process has the processor. */
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    if ((kept & 0x06) != 0x06)
        return 16;
#ifdef TARGET_64
    const unsigned avx512f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((more & avx512f_dq_bw_vl) == avx512f_dq_bw_vl && (kept & 0xE6) == 0xE6)
        return 64;
#endif
    return 32;
}
#endif

/* The processor itself is asked, and once: what compilers have for it says nothing in some, or takes as long as a row. */
static inline int register_width(void) {
#ifdef TARGET_32
    static int width;
    int known = __atomic_load_n(&width, __ATOMIC_RELAXED);
    if (!known)
        __atomic_store_n(&width, known = asked_register_width(), __ATOMIC_RELAXED);
    return known;
#else
    return 16;
#endif
}

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

static inline int register_width(void) {
#ifdef TARGET_64
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return 64;
#endif
#ifdef TARGET_32
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    /* Not every compiler knows the name of the bit for halves. */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) &&
        (c & bit_F16C))
        return 32;
#endif
    return 16;
}

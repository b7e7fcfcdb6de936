/* CRC-32 as zip files have it, of whole groups of 16 bytes, where the processor multiplies without carrying.
 *
 * The bytes are the coefficients of a polynomial over two elements, the first one's lowest bit the highest coefficient.
 * Four parts of 128 bits are carried over 512 bits at a time, each by two products with powers of x modulo CRC-32's
 * polynomial (Gopal and others, Fast CRC Computation for Generic Polynomials Using PCLMULQDQ, 2009).
 */

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("pclmul,sse4.1")))

/* The two halves of `part` times those of `powers`, added up. */
TARGET static inline __m128i carried(__m128i part, __m128i powers) {
    return _mm_xor_si128(_mm_clmulepi64_si128(part, powers, 0x00), _mm_clmulepi64_si128(part, powers, 0x11));
}

TARGET static uint32_t remainder_of(const uint8_t *bytes, size_t size, uint32_t before) {
    const __m128i over_512 = _mm_set_epi64x(0x01C6E41596, 0x0154442BD4);
    const __m128i over_128 = _mm_set_epi64x(0x00CCAA009E, 0x01751997D0);
    const __m128i over_64 = _mm_set_epi64x(0, 0x0163CD6124);
    const __m128i polynomial = _mm_set_epi64x(0x01F7011641, 0x01DB710641); /* its reciprocal and itself */
    const __m128i low_words = _mm_set_epi32(0, -1, 0, -1);
    const __m128i *next = (const __m128i *)bytes;
    __m128i parts[4];
    for (int i = 0; i < 4; i++)
        parts[i] = _mm_loadu_si128(next++);
    parts[0] = _mm_xor_si128(parts[0], _mm_cvtsi32_si128((int)before));
    for (size -= 64; size >= 64; size -= 64)
        for (int i = 0; i < 4; i++)
            parts[i] = _mm_xor_si128(carried(parts[i], over_512), _mm_loadu_si128(next++));
    __m128i rest = parts[0];
    for (int i = 1; i < 4; i++)
        rest = _mm_xor_si128(carried(rest, over_128), parts[i]);
    for (; size >= 16; size -= 16)
        rest = _mm_xor_si128(carried(rest, over_128), _mm_loadu_si128(next++));
    /* 128 bits become 96, then 64, and the remainder of these is found by Barrett's way. */
    rest = _mm_xor_si128(_mm_srli_si128(rest, 8), _mm_clmulepi64_si128(rest, over_128, 0x10));
    rest = _mm_xor_si128(_mm_srli_si128(rest, 4),
                         _mm_clmulepi64_si128(_mm_and_si128(rest, low_words), over_64, 0x00));
    __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(rest, low_words), polynomial, 0x10);
    rest = _mm_xor_si128(rest, _mm_clmulepi64_si128(_mm_and_si128(quotient, low_words), polynomial, 0x00));
    return (uint32_t)_mm_extract_epi32(rest, 1);
}

/* Whether the processor has these instructions: it is asked itself, and once, as not all compilers know. */
static int can_multiply(void) {
    static int known; /* 1 where it can't, 2 where it can */
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!answer) {
        const unsigned pclmul_sse41 = 1u << 1 | 1u << 19;
        unsigned a, b, c = 0, d;
        answer = __get_cpuid(1, &a, &b, &c, &d) && (c & pclmul_sse41) == pclmul_sse41 ? 2 : 1;
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 2;
}
#endif

/* How many of the bytes it went through, from the first one on; 0 where the processor can't. `crc` is of all before. */
size_t tracetui_add_crc32(const uint8_t *bytes, size_t size, uint32_t *crc) {
    size_t done = 0;
#if defined(__x86_64__)
    if (size >= 64 && can_multiply()) {
        done = size / 16 * 16;
        *crc = ~remainder_of(bytes, done, ~*crc);
    }
#else
    (void)bytes, (void)size, (void)crc;
#endif
    return done;
}

/* One element of a row of floats, whatever their dtype. */

#include <stddef.h>
#include <string.h>

#include "rows.h"

#define INLINE static inline __attribute__((always_inline))

INLINE float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The exponent's bias is 15 here and 127 in a float; a product mends that, subnormal numbers included. */
INLINE float float_of_half(uint16_t half) {
    uint32_t bits = half;
    float finite = float_of_bits((bits & 0x7FFFu) << 13) * 0x1p112f;
    float special = float_of_bits(0x7F800000u | (bits & 0x3FFu) << 13);
    float magnitude = (bits & 0x7C00u) == 0x7C00u ? special : finite;
    return bits & 0x8000u ? -magnitude : magnitude;
}

INLINE double element(const void *elements, Kind kind, size_t i) {
    switch (kind) {
    case FLOAT32:
        return ((const float *)elements)[i];
    case FLOAT16:
        return float_of_half(((const uint16_t *)elements)[i]);
    case BFLOAT16:
        return float_of_bits((uint32_t)((const uint16_t *)elements)[i] << 16);
    default:
        return ((const double *)elements)[i];
    }
}

/* Numbers by their place: element i of a stream is known without the elements before it, on every processor alike.
 *
 * Sixteen bits of the generator Philox4x64-10 (Salmon, Moraes, Dror and Shaw, 2011; numpy.random.Philox) choose each
 * element from a table, so that its distribution is the table's.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PER_BLOCK = 16, ROUNDS = 10 };

/* The block's 16 × 16 bits, the lowest first. numpy counts from the block after the one that it is given. */
static inline void philox(uint64_t low_key, uint64_t high_key, uint64_t block, uint64_t bits[4]) {
    uint64_t a = block + 1, b = a == 0, c = 0, d = 0;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned __int128 first = (unsigned __int128)0xD2E7470EE14C6C93u * a;
        unsigned __int128 second = (unsigned __int128)0xCA5A826395121157u * c;
        a = (uint64_t)(second >> 64) ^ b ^ low_key;
        b = (uint64_t)second;
        c = (uint64_t)(first >> 64) ^ d ^ high_key;
        d = (uint64_t)first;
        low_key += 0x9E3779B97F4A7C15u;
        high_key += 0xBB67AE8584CAA73Bu;
    }
    bits[0] = a;
    bits[1] = b;
    bits[2] = c;
    bits[3] = d;
}

#define DEFINE_DRAW(NAME, TYPE)                                                                                        \
    static void NAME(uint64_t low, uint64_t high, uint64_t first, size_t count, const TYPE *table, TYPE *out) {        \
        uint64_t bits[4], block = first / PER_BLOCK;                                                                   \
        for (unsigned skipped = first % PER_BLOCK; count; skipped = 0) {                                               \
            if (skipped == 0)                                                                                          \
                for (; count >= PER_BLOCK; count -= PER_BLOCK) {                                                       \
                    philox(low, high, block++, bits);                                                                  \
                    for (int i = 0; i < PER_BLOCK; i++)                                                                \
                        *out++ = table[(uint16_t)(bits[i / 4] >> 16 * (i % 4))];                                       \
                }                                                                                                      \
            if (count)                                                                                                 \
                philox(low, high, block++, bits);                                                                      \
            for (unsigned i = skipped; i < PER_BLOCK && count; i++, count--)                                           \
                *out++ = table[(uint16_t)(bits[i / 4] >> 16 * (i % 4))];                                               \
        }                                                                                                              \
    }

DEFINE_DRAW(draw_of_two_bytes, uint16_t)
DEFINE_DRAW(draw_of_four_bytes, uint32_t)

/* Fills `out` with elements `first` to `first + count` of the stream of a key; the table has 65,536 of `size` bytes. */
void tracetui_draw(uint64_t low_key, uint64_t high_key, uint64_t first, size_t count, const void *table, int32_t size,
                   void *out) {
    if (size == 2)
        draw_of_two_bytes(low_key, high_key, first, count, table, out);
    else
        draw_of_four_bytes(low_key, high_key, first, count, table, out);
}

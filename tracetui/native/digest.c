/* What is remembered of a weight's bytes and their order: a sum of 64-bit lanes, each times an odd number of its own. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 1 << 16 };
static const uint64_t STEP = 0x9E3779B97F4A7C15u, PRIME = 0x100000001B3u;

/* `total` carried on over `lanes` times eight bytes, which may begin anywhere. */
uint64_t tracetui_add_digest(const uint8_t *bytes, size_t lanes, uint64_t total) {
    while (lanes) {
        const size_t part = lanes < LANES ? lanes : LANES;
        uint64_t sum = 0, place = 0, lane;
        for (size_t i = 0; i < part; i++, bytes += sizeof lane) {
            memcpy(&lane, bytes, sizeof lane);
            sum += lane * ((place += STEP) | 1);
        }
        total = total * PRIME + sum;
        lanes -= part;
    }
    return total;
}

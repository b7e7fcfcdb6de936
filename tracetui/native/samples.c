/* Single elements of many tensors, as they lie in memory. */

#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t address; /* of the first element */
    int64_t size;     /* bytes of an element */
    uint64_t places;  /* the address of the numbers of those that are taken, of 64 bits each */
    int64_t count;    /* how many they are */
} Sampled;

#define TAKE(TYPE)                                                                                                     \
    for (int64_t i = 0; i < count; i++, taken += sizeof(TYPE))                                                         \
        memcpy(taken, elements + places[i] * (int64_t)sizeof(TYPE), sizeof(TYPE))

/* Puts the elements of each tensor behind those of the one before it. */
void tracetui_take(const Sampled *tensors, int64_t tensor_count, char *taken) {
    for (const Sampled *each = tensors; each < tensors + tensor_count; each++) {
        const char *elements = (const char *)(uintptr_t)each->address;
        const int64_t *places = (const int64_t *)(uintptr_t)each->places;
        int64_t count = each->count;
        switch (each->size) {
        case 1:
            TAKE(uint8_t);
            break;
        case 2:
            TAKE(uint16_t);
            break;
        case 4:
            TAKE(uint32_t);
            break;
        default:
            TAKE(uint64_t);
        }
    }
}

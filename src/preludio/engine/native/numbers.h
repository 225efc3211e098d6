/* How numbers lie in memory: weights in panels of 64 rows, activations in rows, keys and values in panels of 64 positions. */
#ifndef PRELUDIO_NUMBERS_H
#define PRELUDIO_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

enum precision { FLOAT32, BFLOAT16, INT8 };

/* All sizes are multiples of 64, filled up with zeros: rows of a panel, inputs that share a scale, positions of a panel of keys. */
enum { PANEL = 64 };

/* A matrix in panels of 64 rows, streamed from beginning to end. Inputs are interleaved so that a vector holds as many rows:
       float32   [panel][input][row]
       bfloat16  [panel][input / 2][row][input % 2]
       int8      [panel][input / 4][row][input % 4], the weight + 128, and a scale for each row
   Keys lie in the same way (rows are positions, inputs the head's dimensions), and so do distances. int8 keys, and values, have their
   positions' 64 scales behind each panel. */
struct matrix {
    enum precision precision;
    int rows, inputs;
    void *data;
    float *scales;
};

static inline size_t panel_bytes(enum precision precision, int inputs) {
    return (size_t)PANEL * inputs * (precision == FLOAT32 ? 4 : precision == BFLOAT16 ? 2 : 1);
}

/* What matrices are multiplied with: rows of floats; for int8, bytes with one scale per 64 inputs, and `correction`, which takes back
   the 128 that was added to each weight. */
struct rows {
    int width;
    float *floats;
    int8_t *bytes;        /* [row][width], or NULL */
    float *scales;        /* [row][width / 64] */
    int32_t *corrections; /* [row][width / 64] */
};

/* Values of one head at 64 positions: [dimension / 32][position][32]. In bfloat16 the 32 stand as 16 words: dimension i and i + 16. In
   int8 they are a matrix whose rows are dimensions and whose inputs are positions. */
enum { VALUE_CHUNK = 32 };

/* Keys, or values, of one head at 64 positions. */
static inline size_t cache_panel_bytes(enum precision precision, int head) {
    return panel_bytes(precision, head) + (precision == INT8 ? PANEL * sizeof(float) : 0);
}

static inline uint16_t to_bfloat16(float x) { /* to the nearest, ties to even; x is finite */
    union { float f; uint32_t u; } bits = {x};
    return (uint16_t)((bits.u + 0x7fff + (bits.u >> 16 & 1)) >> 16);
}

/* A weight of int8, from -127 to 127, to the nearest, as it is stored: + 128. No number at all gives some byte. */
static inline uint8_t to_int8(float x) {
    union { float f; uint32_t u; } bits = {x + 12582912.0f}; /* 1.5 * 2^23: the last bits are the nearest whole number */
    return (uint8_t)(bits.u - 0x4b400000 + 128);
}

#endif

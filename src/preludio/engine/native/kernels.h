/* What is worth writing for each instruction set. One template (kernels.inc and its parts) makes all of them. */
#ifndef PRELUDIO_KERNELS_H
#define PRELUDIO_KERNELS_H

#include "numbers.h"

/* Some positions of one sequence's cache, for all layers and heads: [layer][head][panel of 64 positions] keys, then values. Forks share
   pages; who writes into a shared one takes a copy first. */
struct page {
    _Atomic int owners;
    struct page *next; /* in the list of free ones */
    char *data;
};

enum {
    MOST_HEADS = 4,  /* that are attended to together: they share the reading of the distances */
    MOST_TOKENS = 4, /* the same, and of the pages that they have in common: of one prompt, or that forks share */
};

/* What one token sees: positions first ... position of its sequence, of which p is in pages[p / page % ring]. */
struct view {
    int64_t first, position;
    struct page *const *pages;
};

/* Queries of some neighbouring heads and tokens against the cache. */
struct attention {
    int heads, tokens;
    const struct view *views;     /* [token] */
    const struct rows *queries;   /* [head][token][d_head] */
    const struct matrix *tables;  /* distances, the farthest first, the nearest the last row; one, or one for each of the heads */
    int own_tables;
    int page, ring;               /* positions in a page, pages of a sequence */
    size_t offset, head_bytes;    /* of this layer and the first head in a page; from a head to the next */
    enum precision precision;     /* of keys, values and distances */
    int d_head;
    float *scores, *by_distance;  /* [panel][token][64] and [head][token][stride]: room for the window's positions, and 5 panels more */
    int stride;
    float *halves;                /* [d_head / 64][token][2][64]: room for what int8 values sum up to */
};

struct kernels {
    const char *name;
    /* Rows `panel * 64 ...` of the matrix times activations first ... first + n - 1 -> out[n][64]. */
    void (*product)(const struct matrix *m, int panel, const struct rows *x, int first, int n, float *out);
    /* 64 floats -> inputs 64 * group ... of one activation row. */
    void (*store)(const float *values, struct rows *x, int row, int group);
    /* RMSNorm of d floats, stored in an activation row. */
    void (*normalise)(const float *values, const float *gain, int d, struct rows *x, int row);
    /* n floats: max(x, 0) squared. */
    void (*relu_square)(float *values, int n);
    /* -> out[head][token][d_head]: the values of what the query sees, by the softmax of its scores. */
    void (*attend)(const struct attention *a, float *out);
    /* Reads it all: how fast can this machine? */
    uint32_t (*read)(const void *memory, size_t bytes);
};

extern const struct kernels kernels_avx512, kernels_avx2vnni, kernels_avx2, kernels_plain;

const struct kernels *kernels_find(const char *name); /* NULL: this processor cannot; "" for the best */

#endif

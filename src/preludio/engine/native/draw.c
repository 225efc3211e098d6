/* Drawing one id from logits: the same as `preludio.compose.sampling.sample`, which explains it, in a hundredth of a step's time.

   The likeliest are taken off a heap one by one, as few as it takes: nearly always the draw falls on one of the first. */
#include "preludio.h"

enum { MOST_IDS = 1024 };

struct chance {
    double p;
    int id;
};

/* e^x for x <= 0, in float64: 2^n times Taylor's polynomial to the 13th power on [-ln 2 / 2, ln 2 / 2]. */
static double exponential(double x) {
    static const double factors[] = {1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040,
                                     1. / 720,        1. / 120,       1. / 24,       1. / 6,       1. / 2,      1,          1};
    if (x < -700) return 0; /* such a share of 391 takes no part in any draw */
    int n = (int)(x * 1.4426950408889634 - 0.5);
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10, sum = 0; /* ln 2 in two parts */
    for (int i = 0; i < 14; i++) sum = sum * r + factors[i];
    union { uint64_t bits; double value; } power = {(uint64_t)(n + 1023) << 52};
    return sum * power.value;
}

static int before(struct chance a, struct chance b) { return a.p > b.p || (a.p == b.p && a.id < b.id); }

static void sink(struct chance *heap, int n, int place) {
    struct chance moved = heap[place];
    for (int child; (child = 2 * place + 1) < n; place = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], moved)) break;
        heap[place] = heap[child];
    }
    heap[place] = moved;
}

/* The i-th likeliest of all n. They are taken off the heap as far as asked for, and lie behind it in their order. */
static struct chance likeliest(struct chance *heap, int n, int *left, int i) {
    while (n - *left <= i) {
        struct chance first = heap[0];
        heap[0] = heap[--*left];
        sink(heap, *left, 0);
        heap[*left] = first;
    }
    return heap[n - 1 - i];
}

/* The allowed ids with the weights of their logits; how many. */
static int weigh(const float *logits, const uint8_t *allowed, const struct drawing *d, struct chance *heap) {
    int n = 0, best = 0;
    for (int id = 0; id < d->ids; id++)
        if (allowed[id / 8] >> id % 8 & 1) {
            if (!n || logits[id] > logits[heap[best].id]) best = n;
            heap[n++].id = id;
        }
    for (int i = 0; i < n; i++) {
        double below = (double)logits[heap[i].id] - logits[heap[best].id];
        heap[i].p = d->temperature > 0 ? exponential(below / d->temperature) : i == best; /* at 0, the first of the likeliest */
    }
    return n;
}

/* How many of the likeliest stay in the draw, at least one, and what they weigh together. */
static int keep(struct chance *heap, int n, int *left, const struct drawing *d, double sum, double *total) {
    double least = d->min_p * heap[0].p;
    int most = d->top_k && d->top_k < n ? d->top_k : n, kept = 0;
    *total = 0;
    if (most == n && d->top_p >= 1) { /* their order does not matter */
        for (int i = 0; i < n; i++)
            if (heap[i].p >= least) kept++, *total += heap[i].p;
        return kept;
    }
    for (; kept < most && (d->top_p >= 1 || *total < d->top_p * sum); kept++) {
        struct chance next = likeliest(heap, n, left, kept);
        if (next.p < least) break;
        *total += next.p;
    }
    return kept;
}

int draw(const float *logits, const uint8_t *allowed, const struct drawing *d, double chance) {
    struct chance heap[MOST_IDS];
    if (d->ids > MOST_IDS) return -1;
    int n = weigh(logits, allowed, d, heap), left = n;
    if (!n) return -1;
    double all = 0, total, sum = 0;
    for (int i = 0; i < n; i++) all += heap[i].p;
    for (int i = n / 2; i-- > 0;) sink(heap, n, i);
    int kept = keep(heap, n, &left, d, all, &total), last = 0;
    for (int i = 0; i < kept && (!i || sum <= chance * total); i++) {
        struct chance next = likeliest(heap, n, &left, i);
        sum += next.p;
        last = next.id;
    }
    return last;
}

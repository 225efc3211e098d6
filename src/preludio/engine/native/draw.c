/* Drawing one id from logits: the same as `preludio.compose.sampling.sample`, which explains it, in a hundredth of a step's time.

   The likeliest are picked one by one, as few as it takes: nearly always the draw falls on one of the first. */
#include <stddef.h>
#include <string.h>

#include "engine.h"

enum { LANES = 2, RUN = 16 };

/* Two at a time: as long as vectors are everywhere. */
typedef double vd __attribute__((vector_size(8 * LANES)));
typedef uint64_t vl __attribute__((vector_size(8 * LANES)));

struct urn {
    int n, picked, runs;
    double weights[MOST_IDS];       /* of the allowed ids, the likeliest one's is 1; -1 once picked, and behind the last */
    double largest[MOST_IDS / RUN]; /* of each run of weights */
    double order[MOST_IDS];         /* the picked ones' weights */
    int16_t ids[MOST_IDS], order_ids[MOST_IDS];
};

/* Each value = e^((value - most) / temperature): 2^n times Taylor's polynomial to the 13th power on [-ln 2 / 2, ln 2 / 2]. Under e^-700 it is
   0: such a share of 391 takes no part in any draw. */
static void exponentials(double *values, int n, double most, double temperature) {
    static const double factors[] = {1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720,
                                     1. / 120,       1. / 24,       1. / 6,       1. / 2,      1,          1};
    const double rounder = 6755399441055744; /* 1.5 * 2^52: added, it makes the last bits the nearest whole number */
    for (int i = 0; i < n; i += LANES) {
        vd x;
        memcpy(&x, values + i, sizeof x);
        x = (x - most) / temperature;
        vl dead = (vl)(x < -700.0);
        vd rounded = x * 1.4426950408889634 + rounder, turns = rounded - rounder;
        vd r = (x - turns * 6.93147180369123816490e-01) - turns * 1.90821492927058770002e-10; /* ln 2 in two parts */
        vd sum = (vd){0} + 1. / 6227020800;
#pragma GCC unroll 13
        for (int k = 0; k < 13; k++) sum = sum * r + factors[k];
        vl scaled = ((vl)sum + ((vl)rounded << 52)) & ~dead;
        memcpy(values + i, &scaled, sizeof scaled);
    }
}

static int first_largest(const double *values, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

static double largest_of(const double *values) {
    double most[4] = {values[0], values[1], values[2], values[3]};
    for (int i = 4; i < RUN; i++) most[i % 4] = values[i] > most[i % 4] ? values[i] : most[i % 4];
    double a = most[0] > most[1] ? most[0] : most[1], b = most[2] > most[3] ? most[2] : most[3];
    return a > b ? a : b;
}

/* The i-th likeliest; of equals, the lowest id first. */
static double likeliest(struct urn *u, int i) {
    while (u->picked <= i) {
        int run = first_largest(u->largest, u->runs), place = run * RUN + first_largest(u->weights + run * RUN, RUN);
        u->order[u->picked] = u->weights[place];
        u->order_ids[u->picked++] = u->ids[place];
        u->weights[place] = -1;
        u->largest[run] = largest_of(u->weights + run * RUN);
    }
    return u->order[i];
}

/* Leaves the likeliest note-ons, which come first among the ids, that have the share `top_p` of all of their weight, and gives them all of it.
   Every weight is divided by the largest one then. */
static void narrow_strikes(struct urn *u, double top_p) {
    double left[NOTE_OFF], all = 0, kept = 0, most = 0;
    int n = 0;
    for (; n < u->n && u->ids[n] < NOTE_OFF; n++) left[n] = u->weights[n];
    for (int i = 0; i < n; i++) all += left[i];
    if (all <= 0) return;
    while (kept < top_p * all) {
        int best = first_largest(left, n);
        if (left[best] < 0) break;
        kept += left[best];
        left[best] = -1;
    }
    for (int i = 0; i < n; i++) u->weights[i] = left[i] < 0 ? u->weights[i] * (all / kept) : 0;
    for (int i = 0; i < u->n; i++) most = u->weights[i] > most ? u->weights[i] : most;
    for (int i = 0; i < u->n; i++) u->weights[i] /= most;
}

static void weigh(struct urn *u, const float *logits, int ids, const struct choice *c) {
    double most = 0;
    u->n = u->picked = 0;
    for (int word = 0; word < (ids + 63) / 64; word++)
        for (uint64_t left = c->allowed[word]; left; left &= left - 1) {
            int id = word * 64 + __builtin_ctzll(left);
            if (id >= ids) break;
            double logit = logits[id];
            if (!u->n || logit > most) most = logit;
            u->ids[u->n] = (int16_t)id;
            u->weights[u->n++] = logit;
        }
    u->runs = (u->n + RUN - 1) / RUN;
    for (int i = u->n; i < u->runs * RUN; i++) u->weights[i] = most;
    if (c->temperature > 0) {
        exponentials(u->weights, u->runs * RUN, most, c->temperature);
    } else {
        int best = first_largest(u->weights, u->n); /* one of several equals */
        for (int i = 0; i < u->n; i++) u->weights[i] = i == best;
    }
    if (c->strike_top_p < 1) narrow_strikes(u, c->strike_top_p);
    for (int i = u->n; i < u->runs * RUN; i++) u->weights[i] = -1;
    for (int run = 0; run < u->runs; run++) u->largest[run] = largest_of(u->weights + run * RUN);
}

/* How many of the likeliest stay in the draw, at least one, and what they weigh together. */
static int keep(struct urn *u, const struct choice *c, double *total) {
    int most = c->top_k && c->top_k < u->n ? c->top_k : u->n, kept = 0;
    double all = 0;
    *total = 0;
    for (int i = 0; i < u->n; i++) all += u->weights[i];
    if (most == u->n && c->top_p >= 1) { /* their order does not matter */
        for (int i = 0; i < u->n; i++)
            if (u->weights[i] >= c->min_p) kept++, *total += u->weights[i];
        return kept;
    }
    for (; kept < most && (c->top_p >= 1 || *total < c->top_p * all) && likeliest(u, kept) >= c->min_p; kept++) *total += u->order[kept];
    return kept ? kept : 1; /* none: the logits are no numbers */
}

int draw(const float *logits, int ids, const struct choice *c) {
    struct urn u;
    if (ids > MOST_IDS) return -1;
    weigh(&u, logits, ids, c);
    if (!u.n) return -1;
    double total, sum = 0;
    int kept = keep(&u, c, &total), last = 0;
    for (int i = 0; i < kept && (!i || sum <= c->chance * total); i++) sum += likeliest(&u, last = i);
    return u.order_ids[last];
}

#define FIELD(name) {#name, offsetof(struct choice, name), sizeof(((struct choice *)0)->name)}

int64_t choice_offset(const char *name, int64_t *size) {
    static const struct {
        const char *name;
        size_t offset, size;
    } fields[] = {FIELD(temperature), FIELD(top_p), FIELD(min_p), FIELD(strike_top_p), FIELD(top_k), FIELD(chance), FIELD(allowed)};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].name, name)) continue;
        *size = (int64_t)fields[i].size;
        return (int64_t)fields[i].offset;
    }
    return -1;
}

/* The musical state and the output relations; nothing here knows of the engine. */
#include <string.h>

#include "relations.h"

enum { NONE = -1, CHORD_STEPS = 4, MOST_AGE = 1600 };

static void put_first(int16_t *newest_first, int n, int value) {
    memmove(newest_first + 1, newest_first, (size_t)(n - 1) * sizeof *newest_first);
    newest_first[0] = (int16_t)value;
}

void tracker_start(struct tracker *t) {
    memset(t, 0, sizeof *t);
    for (int key = 0; key < N_KEYS; key++) t->changed[key] = NONE;
    for (int i = 0; i < N_BASES; i++) t->bases[i] = NONE;
    for (int i = 0; i <= N_GAPS; i++) t->chords[i] = NONE;
    t->last_strike = -CHORD_STEPS - 1;
}

static void strike(struct tracker *t, int pitch) {
    static const double decays[N_HALF_LIVES] = {0.9170040432046712, 0.9792145972460014, 0.9949897875388858}; /* 2 ** (-1 / half-life) */
    t->changed[pitch] = t->step;
    t->is_up[pitch] = 0;
    put_first(t->bases, N_STRUCK, pitch);
    if (t->step - t->last_strike >= CHORD_STEPS) {
        memmove(t->chords + 1, t->chords, N_GAPS * sizeof *t->chords);
        t->chords[0] = t->step;
    }
    t->last_strike = t->step;
    for (int k = 0; k < N_HALF_LIVES; k++) {
        for (int i = 0; i < N_CLASSES; i++) t->heard[k][i] *= decays[k];
        t->heard[k][pitch % N_CLASSES] += 1;
    }
}

void tracker_push(struct tracker *t, int32_t id) {
    if (id < NOTE_OFF) {
        strike(t, id);
    } else if (id < TIME_SHIFT) {
        t->changed[id - NOTE_OFF] = t->step;
        t->is_up[id - NOTE_OFF] = 1;
        put_first(t->bases + N_STRUCK, N_RELEASED, id - NOTE_OFF);
    } else if (id < VELOCITY) {
        t->step += id - TIME_SHIFT + 1;
    } else if (id < PAD) {
        put_first(t->bases + N_STRUCK + N_RELEASED, N_VELOCITIES, id - VELOCITY);
    }
}

static void read_keys(const struct tracker *t, uint8_t *states) {
    static const int16_t ages[N_AGES - 1] = {5, 12, 25, 50, 100, 200, 400, 800, MOST_AGE};
    int16_t since[N_KEYS], age[N_KEYS] = {0};
    for (int key = 0; key < N_KEYS; key++) {
        int64_t steps = t->step - t->changed[key];
        since[key] = (int16_t)(steps < MOST_AGE ? steps : MOST_AGE);
    }
    for (int i = 0; i < N_AGES - 1; i++)
        for (int key = 0; key < N_KEYS; key++) age[key] += since[key] >= ages[i];
    for (int key = 0; key < N_KEYS; key++) states[key] = (uint8_t)(t->changed[key] == NONE ? 0 : 1 + age[key] + N_AGES * t->is_up[key]);
}

/* The nearest whole number to 8 log2((since + 1 + shift) / gap) + 24, from 0 to 48, for each shift. It grows with the shift, so each of its
   borders, gap * 2 ** ((index - 23.5) / 8), is passed once; no whole number lies on one. */
static void read_rhythms(int64_t since, int64_t gap, uint8_t *indices) {
    static const double odd_sixteenths[8] = {1.0442737824274138, 1.1387886347566916, 1.241857812073484,  1.3542555469368927,
                                             1.4768261459394993, 1.6104903319492543, 1.7562521603732995, 1.9152065613971474};
    int index = 0;
    for (int shift = 0; shift < N_SHIFTS; shift++) {
        double steps = (double)(since + 1 + shift);
        while (index < N_RHYTHMS - 2 && steps > (double)gap / 8 * odd_sixteenths[index % 8] * (1 << index / 8)) index++;
        indices[shift] = (uint8_t)index;
    }
}

void tracker_read(const struct tracker *t, struct state *state) {
    read_keys(t, state->direct);
    for (int gap = 0; gap < N_GAPS; gap++) {
        uint8_t *indices = state->direct + N_KEYS + gap * N_SHIFTS;
        if (t->chords[gap + 1] == NONE) memset(indices, N_RHYTHMS - 1, N_SHIFTS);
        else read_rhythms(t->step - t->chords[0], t->chords[gap] - t->chords[gap + 1], indices);
    }
    memcpy(state->bases, t->bases, sizeof t->bases);
    for (int k = 0; k < N_HALF_LIVES; k++) {
        double total = 0;
        for (int i = 0; i < N_CLASSES; i++) total += t->heard[k][i];
        for (int i = 0; i < N_CLASSES; i++) state->shares[k * N_CLASSES + i] = total > 0 ? (float)(t->heard[k][i] / total) : 0;
    }
}

static int within(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

void relations_add_input(const struct tracker *t, const float *rows, int d, float *x) {
    for (int i = 1; i < N_STRUCK; i++, rows += (size_t)N_INTERVALS * d) {
        int known = t->bases[i] != NONE, index = known ? within(t->bases[0] - t->bases[i], -REACH, REACH) + REACH : N_INTERVALS - 1;
        for (int k = 0; k < d; k++) x[k] += rows[(size_t)index * d + k];
    }
}

static void add_named(const float *products, const uint8_t *indices, int n, float *logits) {
    for (int i = 0; i < n; i++) logits[i] += products[indices[i]];
}

/* logits[i] += products[i - base, within the reach, + reach]. */
static void add_differences(const float *products, int base, int reach, int n, float *logits) {
    if (base == NONE) {
        for (int i = 0; i < n; i++) logits[i] += products[2 * reach + 1];
        return;
    }
    int low = within(base - reach, 0, n), high = within(base + reach + 1, 0, n);
    for (int i = 0; i < low; i++) logits[i] += products[0];
    for (int i = low; i < high; i++) logits[i] += products[i - base + reach];
    for (int i = high; i < n; i++) logits[i] += products[2 * reach];
}

static void add_tonality(const float *products, const float *shares, float *logits) {
    float by_class[N_CLASSES] = {0};
    for (int k = 0; k < N_HALF_LIVES; k++, products += N_CLASSES, shares += N_CLASSES)
        for (int i = 0; i < N_CLASSES; i++)
            for (int class = 0; class < N_CLASSES; class++) by_class[class] += products[i] * shares[(class + i) % N_CLASSES];
    for (int key = 0; key < N_KEYS; key++) logits[key] += by_class[key % N_CLASSES];
}

void relations_add(const struct state *state, const float *products, float *logits) {
    static const int releases[] = {0, 1, N_STRUCK, N_STRUCK + 1}; /* bases that releases are compared with */
    const int16_t *velocities = state->bases + N_STRUCK + N_RELEASED;
    add_named(products, state->direct, N_KEYS, logits + NOTE_ON), products += N_KEY_STATES;
    add_named(products, state->direct, N_KEYS, logits + NOTE_OFF), products += N_KEY_STATES;
    for (int i = 0; i < N_STRUCK; i++, products += N_INTERVALS) add_differences(products, state->bases[i], REACH, N_KEYS, logits + NOTE_ON);
    for (int i = 0; i < 4; i++, products += N_INTERVALS)
        add_differences(products, state->bases[releases[i]], REACH, N_KEYS, logits + NOTE_OFF);
    for (int i = 0; i < N_VELOCITIES; i++, products += 2 * BIN_REACH + 2)
        add_differences(products, velocities[i], BIN_REACH, N_BINS, logits + VELOCITY);
    for (int i = 0; i < N_GAPS; i++, products += N_RHYTHMS)
        add_named(products, state->direct + N_KEYS + i * N_SHIFTS, N_SHIFTS, logits + TIME_SHIFT);
    add_tonality(products, state->shares, logits + NOTE_ON);
}

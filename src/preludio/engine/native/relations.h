/* The musical state of a sequence and what the output relations add to its logits: the same as `preludio.tokens.relations`, which explains
   it. */
#ifndef PRELUDIO_RELATIONS_H
#define PRELUDIO_RELATIONS_H

#include <stdint.h>

enum { NOTE_ON = 0, NOTE_OFF = 128, TIME_SHIFT = 256, VELOCITY = 356, PAD = 388, WITH_RELATIONS = 391 /* ids */ };
enum { N_KEYS = 128, N_SHIFTS = VELOCITY - TIME_SHIFT, N_BINS = PAD - VELOCITY, N_CLASSES = 12 };
enum { N_STRUCK = 4, N_RELEASED = 2, N_VELOCITIES = 4, N_BASES = N_STRUCK + N_RELEASED + N_VELOCITIES, N_GAPS = 3, N_HALF_LIVES = 3 };
enum { N_AGES = 10, N_KEY_STATES = 1 + 2 * N_AGES, REACH = 36, N_INTERVALS = 2 * REACH + 2, BIN_REACH = N_BINS - 1, N_RHYTHMS = 50 };
enum { N_INPUT_ROWS = (N_STRUCK - 1) * N_INTERVALS, N_SHARES = N_HALF_LIVES * N_CLASSES };
enum { RELATION_ROWS = 2 * N_KEY_STATES + 2 * N_STRUCK * N_INTERVALS + N_VELOCITIES * (2 * BIN_REACH + 2) + N_GAPS * N_RHYTHMS + N_SHARES };

/* What a sequence's ids so far leave behind, moved by one id. NONE: there was no such event. */
struct tracker {
    int64_t step, last_strike;
    int64_t changed[N_KEYS];      /* the step of each key's last event */
    int64_t chords[N_GAPS + 1];   /* steps at which the last chords began, newest first, as are all below */
    int16_t bases[N_BASES];       /* pitches struck, pitches released, bins of velocities */
    uint8_t is_up[N_KEYS];
    double heard[N_HALF_LIVES][N_CLASSES];
};

/* The state at one position, as `relations.States`. */
struct state {
    uint8_t direct[N_KEYS + N_GAPS * N_SHIFTS];
    int16_t bases[N_BASES];
    float shares[N_SHARES];
};

void tracker_start(struct tracker *t);
void tracker_push(struct tracker *t, int32_t id);
void tracker_read(const struct tracker *t, struct state *state);

/* x[d] += the three rows [N_INPUT_ROWS][d] that the state names. */
void relations_add_input(const struct tracker *t, const float *rows, int d, float *x);

/* logits[WITH_RELATIONS] += what the state names of the products [RELATION_ROWS] of the last hidden state. */
void relations_add(const struct state *state, const float *products, float *logits);

#endif

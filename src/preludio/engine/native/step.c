/* What a session is asked for: one thread at a time, and first of all the end of a step that has begun.

   A step that has begun is led by a helper, where there is one, while its session's owner is elsewhere; whatever comes next waits for it.
   All that it touches is the session's own: a caller that never comes back leaves nothing behind that is still written to. */
#include <string.h>

#include "engine.h"
#include "memory.h"

static size_t carve_step(struct block *block, const struct session *s, struct step *step) {
    step->ids = carve(block, (size_t)s->batch * sizeof *step->ids);
    step->logits = carve(block, (size_t)s->batch * s->engine->config.vocabulary * sizeof *step->logits);
    return block->used;
}

static int make_room(struct session *s) {
    struct step *step = &s->step, measured;
    if (step->ids) return 1;
    struct block block = {0};
    step->bytes = carve_step(&block, s, &measured);
    block = (struct block){memory_get(step->bytes), 0};
    if (!block.memory) return 0;
    carve_step(&block, s, step);
    return 1;
}

static void lead_step(void *session, int workers) {
    struct session *s = session;
    s->step.outcome = session_pass(s, s->step.ids, 1, 0, s->step.logits, workers);
}

static void begin(struct session *s) {
    s->step.ticket = team_hand_over(s->engine->threads, lead_step, s);
    s->step.stage = s->step.ticket ? UNDER_WAY : KEPT;
}

static void finish(struct session *s) {
    if (s->step.stage == UNDER_WAY) {
        team_join(s->step.ticket);
        s->step.stage = STEPPED;
    } else if (s->step.stage == KEPT) {
        int workers = team_begin(s->engine->threads);
        lead_step(s, workers);
        team_end(workers);
        s->step.stage = STEPPED;
    }
}

int session_enter(struct session *s) {
    if (atomic_flag_test_and_set(&s->busy)) return IN_USE;
    finish(s);
    int outcome = s->step.stage == STEPPED ? s->step.outcome : DONE;
    if (outcome != DONE) {
        s->step.stage = RESTING;
        session_leave(s);
    }
    return outcome;
}

void session_leave(struct session *s) { atomic_flag_clear(&s->busy); }

static int has_bad_id(const struct session *s, const int32_t *ids, int n) {
    for (int64_t i = 0; i < (int64_t)s->batch * n; i++)
        if (ids[i] < 0 || ids[i] >= s->engine->config.vocabulary) return 1;
    return 0;
}

int session_feed(struct session *s, const int32_t *ids, int n, int wants_all, float *logits) {
    if (n < 1 || n > AT_ONCE) return TOO_FAR;
    if (has_bad_id(s, ids, n)) return BAD_ID;
    int outcome = session_enter(s);
    if (outcome != DONE) return outcome;
    s->step.stage = RESTING;
    int workers = team_begin(s->engine->threads);
    outcome = session_pass(s, ids, n, wants_all, logits, workers);
    team_end(workers);
    session_leave(s);
    return outcome;
}

int session_begin(struct session *s, const int32_t *ids) {
    if (has_bad_id(s, ids, 1)) return BAD_ID;
    int outcome = session_enter(s);
    if (outcome != DONE) return outcome;
    if (make_room(s)) {
        memcpy(s->step.ids, ids, (size_t)s->batch * sizeof *ids);
        begin(s);
    } else {
        outcome = NO_MEMORY;
    }
    session_leave(s);
    return outcome;
}

int session_draw(struct session *s, const struct choice *choices, int32_t *ids) {
    int vocabulary = s->engine->config.vocabulary, outcome = session_enter(s);
    if (outcome != DONE) return outcome;
    if (s->step.stage != STEPPED) outcome = NOT_BEGUN;
    for (int row = 0; row < s->batch && outcome == DONE; row++) {
        ids[row] = s->step.ids[row] = draw(s->step.logits + (size_t)row * vocabulary, vocabulary, &choices[row]);
        if (ids[row] < 0) outcome = NONE_ALLOWED;
    }
    if (outcome == DONE) begin(s);
    session_leave(s);
    return outcome;
}

int step_fork(const struct session *s, const int32_t *rows, struct session *fork) {
    if (s->step.stage != STEPPED) return 1;
    if (!make_room(fork)) return 0;
    size_t vocabulary = (size_t)s->engine->config.vocabulary;
    for (int row = 0; row < fork->batch; row++)
        memcpy(fork->step.logits + row * vocabulary, s->step.logits + rows[row] * vocabulary, vocabulary * sizeof(float));
    fork->step.stage = STEPPED;
    return 1;
}

void step_close(struct session *s) {
    if (s->step.stage == UNDER_WAY) team_join(s->step.ticket);
    memory_free(s->step.ids, s->step.bytes);
}

int64_t session_position(struct session *s) {
    int free = !atomic_flag_test_and_set(&s->busy);
    if (free) finish(s);
    int64_t position = s->position;
    if (free) session_leave(s);
    return position;
}

static int64_t rewindable(const struct session *s) {
    if (s->oldest == 0) return s->position;
    int64_t n = s->position - s->oldest - (s->engine->config.window - 1); /* where one lands, the whole window before must be there */
    return n > 0 ? n : 0;
}

int64_t session_rewindable(struct session *s) {
    session_position(s);
    return rewindable(s);
}

int session_rewind(struct session *s, int64_t n) {
    int outcome = session_enter(s);
    if (outcome != DONE) return outcome;
    if (n < 0 || n > rewindable(s)) {
        outcome = TOO_FAR;
    } else {
        s->step.stage = RESTING;
        s->position -= n;
        if (s->trackers && n) cache_rewind(s, s->position);
    }
    session_leave(s);
    return outcome;
}

int session_state(struct session *s, int row, uint8_t *direct, int16_t *bases, float *shares) {
    struct state state;
    int outcome = session_enter(s);
    if (outcome != DONE) return outcome;
    if (s->trackers && row >= 0 && row < s->batch) {
        tracker_read(&s->trackers[row], &state);
        memcpy(direct, state.direct, sizeof state.direct);
        memcpy(bases, state.bases, sizeof state.bases);
        memcpy(shares, state.shares, sizeof state.shares);
    } else {
        outcome = OTHER_RELATIONS;
    }
    session_leave(s);
    return outcome;
}

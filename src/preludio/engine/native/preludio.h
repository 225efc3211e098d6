/* What Python sees of the engine. Sizes are checked in Python, ids and numbers here. */
#ifndef PRELUDIO_H
#define PRELUDIO_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

struct config {
    int32_t vocabulary, d_model, n_heads, n_layers, d_ff, window, relative_per_head;
    int32_t relations; /* rows of the output relations; 0: a model without them */
};

enum outcome {
    DONE = 0, NO_MEMORY = -1, NOT_FINITE = -2, BAD_ID = -3, IN_USE = -4, TOO_FAR = -5, NONE_ALLOWED = -6, NOT_BEGUN = -7,
    OTHER_RELATIONS = -8, /* than those of relations.h */
};

struct engine;
struct session;
struct reading;

/* arrays: float32, in the order of `preludio.checkpoint.array_shapes`. precision: 0 float32, 1 bfloat16, 2 int8. instructions: "" for
   the best that this processor has. NULL: see `why`. */
EXPORT struct engine *engine_open(const struct config *config, const float *const *arrays, int precision, const char *instructions,
                                  int threads, int *why);
EXPORT void engine_close(struct engine *engine);
EXPORT const char *engine_instructions(const struct engine *engine);
/* That a step of so many sequences must read: weights, distances, keys, values, and the scales of these. */
EXPORT int64_t engine_step_bytes(const struct engine *engine, int context, int batch);

EXPORT struct session *session_open(struct engine *engine, int batch);
EXPORT struct session *session_fork(struct session *session, const int32_t *rows, int n, int *why);
EXPORT void session_close(struct session *session);
EXPORT int64_t session_position(struct session *session);
EXPORT int64_t session_rewindable(struct session *session);
EXPORT int session_rewind(struct session *session, int64_t n);
/* For tests, with relations: the musical state of a sequence, as the arrays of `preludio.tokens.relations.States`. */
EXPORT int session_state(struct session *session, int row, uint8_t *direct, int16_t *bases, float *shares);

/* ids [batch][n], n <= 256 -> logits [batch][vocabulary] of what follows the last, or, with `all`, [batch][n][vocabulary]. */
EXPORT int session_feed(struct session *session, const int32_t *ids, int n, int all, float *logits);

enum { MOST_IDS = 1024 };

/* How an id is drawn; a temperature of 0 takes the likeliest. `chance` is in [0, 1); `allowed` has a bit for each id. */
struct choice {
    double temperature, top_p, min_p, strike_top_p; /* the last one among note-ons, the lowest ids, alone */
    int64_t top_k;
    double chance;
    uint64_t allowed[MOST_IDS / 64];
};

/* Where the field of that name lies in `struct choice`, in bytes, and its size; -1 if there is none. */
EXPORT int64_t choice_offset(const char *name, int64_t *size);

EXPORT int draw(const float *logits, int ids, const struct choice *choice); /* -1: none is allowed */

/* Starts a step by ids [batch] and returns, mostly before it is done: any other call on this session waits for its end. */
EXPORT int session_begin(struct session *session, const int32_t *ids);

/* What each choice draws from the logits of the step that has begun -> ids [batch], by which the next step begins. After NONE_ALLOWED the
   same logits can be drawn from once more; calls other than this one and `session_fork` forget them. */
EXPORT int session_draw(struct session *session, const struct choice *choices, int32_t *ids);

EXPORT int has_instructions(const char *name);
EXPORT int64_t memory_used(void); /* bytes, by all engines and sessions of this process */

/* Reads so many bytes `repeats` times; how many they were. */
EXPORT struct reading *reading_open(int64_t bytes);
EXPORT int64_t reading_run(struct reading *reading, int threads, int repeats);
EXPORT void reading_close(struct reading *reading);

#endif

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
};

enum outcome { DONE = 0, NO_MEMORY = -1, NOT_FINITE = -2, BAD_ID = -3, IN_USE = -4, TOO_FAR = -5, NONE_ALLOWED = -6 };

struct engine;
struct session;
struct reading;

/* arrays: float32, in the order of `preludio.checkpoint.array_shapes`. precision: 0 float32, 1 bfloat16, 2 int8. instructions: "" for
   the best that this processor has. NULL: see `why`. */
EXPORT struct engine *engine_open(const struct config *config, const float *const *arrays, int precision, const char *instructions,
                                  int threads, int *why);
EXPORT void engine_close(struct engine *engine);
EXPORT const char *engine_instructions(const struct engine *engine);
EXPORT int64_t engine_step_bytes(const struct engine *engine, int context); /* that a step must read: weights, keys, values, distances, their scales */

EXPORT struct session *session_open(struct engine *engine, int batch);
EXPORT struct session *session_fork(struct session *session, const int32_t *rows, int n, int *why);
EXPORT void session_close(struct session *session);
EXPORT int64_t session_position(const struct session *session);
EXPORT int64_t session_rewindable(const struct session *session);
EXPORT int session_rewind(struct session *session, int64_t n);

/* ids [batch][n], n <= 256 -> logits [batch][vocabulary] of what follows the last, or, with `all`, [batch][n][vocabulary]. */
EXPORT int session_feed(struct session *session, const int32_t *ids, int n, int all, float *logits);

enum { MOST_IDS = 1024 };

/* How an id is drawn; a temperature of 0 takes the likeliest. `chance` is in [0, 1); `allowed` has a bit for each id. */
struct choice {
    double chance, temperature, top_p, min_p;
    int64_t top_k;
    uint64_t allowed[MOST_IDS / 64];
};

EXPORT int draw(const float *logits, int ids, const struct choice *choice); /* -1: none is allowed */

/* A step by ids [batch], and what each choice draws from its logits in their place; `logits` is room for [batch][vocabulary]. */
EXPORT int session_step_and_draw(struct session *session, int32_t *ids, const struct choice *choices, float *logits);

EXPORT int has_instructions(const char *name);
EXPORT int64_t memory_used(void); /* bytes, by all engines and sessions of this process */

/* Reads so many bytes `repeats` times; how many they were. */
EXPORT struct reading *reading_open(int64_t bytes);
EXPORT int64_t reading_run(struct reading *reading, int threads, int repeats);
EXPORT void reading_close(struct reading *reading);

#endif

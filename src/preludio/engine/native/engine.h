/* Inside the engine: weights, caches, and what is shared between them. */
#ifndef PRELUDIO_ENGINE_H
#define PRELUDIO_ENGINE_H

#include <stdatomic.h>

#include "kernels.h"
#include "preludio.h"
#include "relations.h"
#include "threads.h"

enum {
    AT_ONCE = 256, /* tokens that go through the network at once */
    PAGE = 256,    /* positions in a page of the cache */
    REWIND = 512,  /* ids that can be taken back, whatever was fed before */
};

/* Memory in one block: pieces are carved twice, first from nothing, to see how much it takes. */
struct block {
    char *memory;
    size_t used;
};

static inline void *carve(struct block *block, size_t bytes) {
    void *piece = block->memory ? block->memory + block->used : NULL;
    block->used += (bytes + 127) / 128 * 128;
    return piece;
}

static inline int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

struct layer {
    float *attention_norm, *feed_forward_norm;
    struct matrix qkv; /* head by head: its rows of queries (scaled by d_head ** -0.5), of keys, of values */
    struct matrix *relative; /* one table, or one for each head */
    struct matrix attention_out, feed_forward_in, feed_forward_out;
};

/* Scratch for AT_ONCE tokens: one block of memory. */
struct workspace {
    struct workspace *next;
    size_t bytes;
    long loops;          /* so far */
    float *residual;     /* [token][d] */
    struct rows mixed;   /* what attention found */
    struct rows hidden;  /* what the feed-forward did */
    struct state *states; /* with relations, of each token whose logits are wanted: its musical state */
    float *outputs;       /* and the products of its last hidden state with all rows of the unembedding: [token][outputs] */
    struct own {         /* of one worker */
        long normalised; /* the loop that `normal` belongs to */
        struct rows normal;
        struct rows queries; /* [head of the item][token] */
        float *products;                /* [panel of a head's queries, keys, values][token][64] */
        float *scores, *by_distance, *halves, *out;
    } own[MOST_WORKERS];
};

struct engine {
    struct config config;
    int d, head, ff, window; /* filled up to whole panels */
    int outputs;             /* rows of the unembedding: the vocabulary, then the relations; not filled up */
    int threads, ring;                   /* pages of a sequence */
    int stride;                          /* of rows of scores */
    enum precision precision;
    const struct kernels *kernels;
    float *embedding, *norm; /* [id][d] */
    float *input_relations;  /* [N_INPUT_ROWS][d], with relations */
    struct matrix unembedding;
    struct layer *layers;
    size_t page_bytes, weight_bytes;
    void *weights; /* all of the above, one block */
    struct workspace *workspaces; /* `lists_lock` guards these */
    struct page *pages;
    int n_pages;
};

/* A step that has begun. KEPT: nobody is at it. STEPPED: its logits are there, and nothing is drawn from them yet. */
struct step {
    enum { RESTING, KEPT, UNDER_WAY, STEPPED } stage;
    int outcome;
    uint64_t ticket;
    int32_t *ids;  /* [sequence] */
    float *logits; /* [sequence][vocabulary] */
    size_t bytes;  /* of both */
};

struct session {
    struct engine *engine;
    int batch;
    int64_t position, oldest; /* positions before `oldest` are gone */
    struct page **pages;      /* [sequence][ring] */
    struct tracker *trackers; /* [sequence], with relations: the musical state at `position` */
    atomic_flag busy;         /* a thread is at it */
    struct step step;
};

/* step.c */
int session_enter(struct session *s); /* DONE: the session is the caller's until it leaves, and no step is under way */
void session_leave(struct session *s);
int step_fork(const struct session *s, const int32_t *rows, struct session *fork); /* what was begun goes on there; 0: no memory */
void step_close(struct session *s);

/* forward.c */
int session_pass(struct session *s, const int32_t *ids, int n, int wants_all, float *logits, int workers); /* `session_feed`, entered */

/* cache.c */
size_t cache_head_bytes(const struct engine *e);                  /* in a page: keys and values of a head, panel by panel */
size_t cache_offset(const struct engine *e, int layer, int head); /* where they begin */
size_t cache_page_bytes(const struct engine *e);
int cache_prepare(struct session *s, int n); /* pages for n more positions, not shared with anyone; 0: no memory */
void cache_free_pages(struct engine *e);
void cache_push(struct session *s, int row, int64_t position, int32_t id); /* with relations: moves the musical state on */
void cache_rewind(struct session *s, int64_t position);                    /* with relations: and back, to before this position */

/* workspace.c */
struct workspace *workspace_take(struct engine *e);
void workspace_return(struct engine *e, struct workspace *w);
void workspaces_free(struct engine *e);

#endif

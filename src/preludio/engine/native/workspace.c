/* Scratch memory of a pass through the network. An engine keeps what one pass used for the next. */
#include "engine.h"
#include "memory.h"

static void carve_rows(struct block *block, struct rows *rows, int width, int n, enum precision precision) {
    rows->width = width;
    if (precision != INT8) {
        rows->floats = carve(block, (size_t)n * width * 4);
    } else {
        rows->bytes = carve(block, (size_t)n * width);
        rows->scales = carve(block, (size_t)n * (width / 64) * 4);
        rows->corrections = carve(block, (size_t)n * (width / 64) * 4);
    }
}

/* The workspace itself is the block's beginning; before there is a block, `w` is one to be thrown away. */
static void carve_workspace(struct block *block, const struct engine *e, struct workspace *w) {
    carve(block, sizeof *w);
    w->residual = carve(block, (size_t)AT_ONCE * e->d * 4);
    carve_rows(block, &w->mixed, e->config.n_heads * e->head, AT_ONCE, e->precision);
    carve_rows(block, &w->hidden, e->ff, AT_ONCE, e->precision);
    if (e->config.relations) {
        w->states = carve(block, AT_ONCE * sizeof *w->states);
        w->outputs = carve(block, (size_t)AT_ONCE * e->outputs * 4);
    }
    for (int i = 0; i < e->threads; i++) {
        struct own *own = &w->own[i];
        carve_rows(block, &own->normal, e->d, AT_ONCE, e->precision);
        carve_rows(block, &own->queries, e->head, MOST_HEADS * MOST_TOKENS, e->precision);
        own->products = carve(block, (size_t)3 * e->head * MOST_HEADS * AT_ONCE * 4);
        own->scores = carve(block, (size_t)e->stride * MOST_TOKENS * 4);
        own->by_distance = carve(block, (size_t)e->stride * MOST_HEADS * MOST_TOKENS * 4);
        own->halves = carve(block, (size_t)e->head * MOST_TOKENS * 2 * 4);
        own->out = carve(block, (size_t)e->head * MOST_HEADS * MOST_TOKENS * 4);
    }
}

struct workspace *workspace_take(struct engine *e) {
    lists_lock();
    struct workspace *w = e->workspaces;
    if (w) e->workspaces = w->next;
    lists_unlock();
    if (w) return w;
    struct block block = {0};
    struct workspace measured = {0};
    carve_workspace(&block, e, &measured);
    size_t bytes = block.used;
    block = (struct block){(char *)(w = memory_get(bytes)), 0};
    if (!w) return NULL;
    carve_workspace(&block, e, w);
    w->bytes = bytes;
    return w;
}

void workspace_return(struct engine *e, struct workspace *w) {
    lists_lock();
    w->next = e->workspaces;
    e->workspaces = w;
    lists_unlock();
}

void workspaces_free(struct engine *e) {
    for (struct workspace *w = e->workspaces, *next; w; w = next) {
        next = w->next;
        memory_free(w, w->bytes);
    }
}

/* The cache: pages of keys and values, shared by forks. */
#include <string.h>

#include "engine.h"
#include "memory.h"

enum { MOST_FREE_PAGES = 16 }; /* kept for the next; others go back to the system */

static struct page *page_get(struct engine *e) {
    lists_lock();
    struct page *page = e->pages;
    if (page) {
        e->pages = page->next;
        e->n_pages--;
    }
    lists_unlock();
    if (page) {
        memset(page->data, 0, e->page_bytes); /* what is left there of another piece may not even be finite */
    } else {
        page = memory_get(sizeof *page);
        if (!page) return NULL;
        page->data = memory_get(e->page_bytes);
        if (!page->data) return memory_free(page, sizeof *page), NULL;
    }
    atomic_store(&page->owners, 1);
    return page;
}

static void page_free(struct engine *e, struct page *page) {
    memory_free(page->data, e->page_bytes);
    memory_free(page, sizeof *page);
}

static void page_drop(struct engine *e, struct page *page) {
    if (!page || atomic_fetch_sub(&page->owners, 1) > 1) return;
    lists_lock();
    int keep = e->n_pages < MOST_FREE_PAGES;
    if (keep) {
        page->next = e->pages;
        e->pages = page;
        e->n_pages++;
    }
    lists_unlock();
    if (!keep) page_free(e, page);
}

void cache_free_pages(struct engine *e) {
    for (struct page *page = e->pages, *next; page; page = next) {
        next = page->next;
        page_free(e, page);
    }
}

size_t cache_head_bytes(const struct engine *e) { return (size_t)PAGE / PANEL * 2 * cache_panel_bytes(e->precision, e->head); }

size_t cache_offset(const struct engine *e, int layer, int head) {
    return ((size_t)layer * e->config.n_heads + head) * cache_head_bytes(e);
}

/* With relations, behind the keys and values of each page: what the musical state is found by again. */
struct history {
    struct tracker before; /* the page's first position */
    int16_t ids[PAGE];
};

size_t cache_page_bytes(const struct engine *e) {
    return cache_offset(e, e->config.n_layers, 0) + (e->config.relations ? sizeof(struct history) : 0);
}

static struct history *history_of(const struct engine *e, struct page *page) {
    return (struct history *)(page->data + cache_offset(e, e->config.n_layers, 0));
}

static struct history *history_at(const struct session *s, int row, int64_t position) {
    const struct engine *e = s->engine;
    return history_of(e, s->pages[row * e->ring + position / PAGE % e->ring]);
}

void cache_push(struct session *s, int row, int64_t position, int32_t id) {
    struct history *history = history_at(s, row, position);
    if (position % PAGE == 0) history->before = s->trackers[row];
    history->ids[position % PAGE] = (int16_t)id;
    tracker_push(&s->trackers[row], id);
}

void cache_rewind(struct session *s, int64_t position) {
    for (int row = 0; row < s->batch; row++) {
        const struct history *history = history_at(s, row, position);
        s->trackers[row] = history->before;
        for (int i = 0; i < position % PAGE; i++) tracker_push(&s->trackers[row], history->ids[i]);
    }
}

/* The page, but of one's own, with what is in its first n positions. */
static struct page *page_own(struct engine *e, struct page *page, int n) {
    if (atomic_load(&page->owners) == 1) return page;
    struct page *own = page_get(e);
    if (!own) return NULL;
    size_t heads = (size_t)e->config.n_layers * e->config.n_heads, used = (size_t)padded(n) / PANEL * 2 * cache_panel_bytes(e->precision, e->head);
    for (size_t i = 0; i < heads; i++) memcpy(own->data + i * cache_head_bytes(e), page->data + i * cache_head_bytes(e), used);
    if (e->config.relations) *history_of(e, own) = *history_of(e, page);
    page_drop(e, page);
    return own;
}

int cache_prepare(struct session *s, int n) {
    struct engine *e = s->engine;
    int64_t first = s->position / PAGE, last = (s->position + n - 1) / PAGE, oldest = (last - e->ring + 1) * PAGE;
    if (oldest > s->oldest) s->oldest = oldest;
    for (int row = 0; row < s->batch; row++)
        for (int64_t number = first; number <= last; number++) {
            struct page **slot = &s->pages[row * e->ring + number % e->ring];
            int keeps = number == first ? (int)(s->position % PAGE) : 0; /* positions in it that are still wanted */
            if (*slot && !keeps) {
                page_drop(e, *slot);
                *slot = NULL;
            }
            struct page *page = *slot ? page_own(e, *slot, keeps) : page_get(e);
            if (!page) return 0;
            *slot = page;
        }
    return 1;
}

struct session *session_open(struct engine *e, int batch) {
    struct session *s = memory_get(sizeof *s);
    if (!s) return NULL;
    s->engine = e;
    s->batch = batch;
    s->pages = memory_get((size_t)batch * e->ring * sizeof *s->pages);
    if (e->config.relations) s->trackers = memory_get((size_t)batch * sizeof *s->trackers);
    if (!s->pages || (e->config.relations && !s->trackers)) return session_close(s), NULL;
    for (int row = 0; s->trackers && row < batch; row++) tracker_start(&s->trackers[row]);
    return s;
}

struct session *session_fork(struct session *s, const int32_t *rows, int n, int *why) {
    if ((*why = session_enter(s)) != DONE) return NULL;
    struct session *fork = session_open(s->engine, n);
    *why = NO_MEMORY;
    if (fork) {
        fork->position = s->position;
        fork->oldest = s->oldest;
        int ring = s->engine->ring;
        for (int i = 0; i < n * ring; i++) {
            struct page *page = s->pages[rows[i / ring] * ring + i % ring];
            if (page) atomic_fetch_add(&page->owners, 1);
            fork->pages[i] = page;
        }
        for (int i = 0; s->trackers && i < n; i++) fork->trackers[i] = s->trackers[rows[i]];
        if (!step_fork(s, rows, fork)) session_close(fork), fork = NULL;
    }
    session_leave(s);
    return fork;
}

void session_close(struct session *s) {
    if (!s) return;
    step_close(s);
    size_t slots = (size_t)s->batch * s->engine->ring;
    for (size_t i = 0; s->pages && i < slots; i++) page_drop(s->engine, s->pages[i]);
    memory_free(s->pages, slots * sizeof *s->pages);
    memory_free(s->trackers, (size_t)s->batch * sizeof *s->trackers);
    memory_free(s, sizeof *s);
}

/* A pass through the network: 4 loops a layer, whose items the workers share out. */
#include <string.h>

#include "engine.h"
#include "memory.h"

struct pass {
    struct engine *e;
    struct session *s;
    struct workspace *w;
    const struct layer *layer;
    int number, heads;          /* of the layer; how many heads an item has */
    int first, n, tokens;       /* sequences first ... , n tokens of each; token t is number t % n of sequence first + t / n */
    int stride, last, wanted;   /* of the tokens whose logits are wanted: last, last + stride ..., so many */
    const float *gain;          /* of the norm before this loop */
    float *logits;
};

/* The worker's normalised rows for this loop. Each worker makes its own: that takes less time than waiting for another's. */
static const struct rows *normal(struct pass *p, int worker, int first, int stride, int n) {
    struct own *own = &p->w->own[worker];
    if (own->normalised != p->w->loops) {
        for (int i = 0; i < n; i++)
            p->e->kernels->normalise(p->w->residual + (size_t)(first + i * stride) * p->e->d, p->gain, p->e->config.d_model, &own->normal, i);
        own->normalised = p->w->loops;
    }
    return &own->normal;
}

/* ---- Attention: an item is some neighbouring heads. ---- */

/* `inverse` is that of the position's scale in int8. */
static void write_key(enum precision precision, char *panel, int place, int from, const float *values, float inverse) {
    for (int i = 0; i < 64; i++) {
        int k = from + i;
        if (precision == FLOAT32) ((float *)panel)[k * PANEL + place] = values[i];
        if (precision == BFLOAT16) ((uint16_t *)panel)[(k / 2 * PANEL + place) * 2 + k % 2] = to_bfloat16(values[i]);
        if (precision == INT8) ((uint8_t *)panel)[(k / 4 * PANEL + place) * 4 + k % 4] = to_int8(values[i] * inverse);
    }
}

static void write_value(enum precision precision, char *panel, int place, int from, const float *values, float inverse) {
    for (int i = 0; i < 64; i++) {
        size_t row = ((size_t)(from + i) / VALUE_CHUNK * PANEL + place) * VALUE_CHUNK;
        int k = i % VALUE_CHUNK;
        if (precision == FLOAT32) ((float *)panel)[row + k] = values[i];
        if (precision == BFLOAT16) ((uint16_t *)panel)[row + k % 16 * 2 + k / 16] = to_bfloat16(values[i]);
        if (precision == INT8) ((uint8_t *)panel)[from * PANEL + (place / 4 * PANEL + i) * 4 + place % 4] = to_int8(values[i] * inverse);
    }
}

/* A token's products with a part of a head of the item (0 queries, 1 keys, 2 values), 64 dimensions from 64 * panel. */
static const float *part_of(const struct pass *p, const struct own *own, int head, int part, int panel, int token) {
    return own->products + ((size_t)((head * 3 + part) * (p->e->head / 64) + panel) * p->tokens + token) * 64;
}

/* What int8 multiplies the part's numbers by; its scale is written behind the panel. */
static float make_scale(const struct pass *p, const struct own *own, int head, int part, int token, char *panel, int place) {
    float largest = 0;
    for (int i = 0; i < p->e->head; i++) {
        float x = part_of(p, own, head, part, i / 64, token)[i % 64], magnitude = x < 0 ? -x : x;
        largest = magnitude > largest ? magnitude : largest;
    }
    ((float *)(panel + panel_bytes(INT8, p->e->head)))[place] = largest / 127;
    return largest > 1e-30f ? 127 / largest : 0;
}

static void remember(struct pass *p, const struct own *own, int first, int head, int token) {
    const struct engine *e = p->e;
    int64_t position = p->s->position + token % p->n;
    int place = position % PANEL;
    struct page *page = p->s->pages[(p->first + token / p->n) * e->ring + position / PAGE % e->ring];
    size_t bytes = cache_panel_bytes(e->precision, e->head);
    char *keys = page->data + cache_offset(e, p->number, first + head) + position % PAGE / PANEL * 2 * bytes, *values = keys + bytes;
    float key_inverse = e->precision == INT8 ? make_scale(p, own, head, 1, token, keys, place) : 1;
    float value_inverse = e->precision == INT8 ? make_scale(p, own, head, 2, token, values, place) : 1;
    for (int panel = 0; panel < e->head / 64; panel++) {
        write_key(e->precision, keys, place, panel * 64, part_of(p, own, head, 1, panel, token), key_inverse);
        write_value(e->precision, values, place, panel * 64, part_of(p, own, head, 2, panel, token), value_inverse);
    }
}

/* Tokens from `token` on, so many, and heads of the item. */
static void look_back(struct pass *p, struct own *own, int first, int heads, int token, int n) {
    const struct engine *e = p->e;
    int panels = e->head / 64, own_tables = e->config.relative_per_head;
    struct view views[MOST_TOKENS];
    for (int t = 0; t < n; t++) {
        int64_t position = p->s->position + (token + t) % p->n, oldest = position - e->config.window + 1;
        views[t] = (struct view){oldest > 0 ? oldest : 0, position, p->s->pages + (p->first + (token + t) / p->n) * e->ring};
        for (int i = 0; i < heads * panels; i++) {
            const float *query = part_of(p, own, i / panels, 0, i % panels, token + t);
            e->kernels->store(query, &own->queries, i / panels * n + t, i % panels);
        }
    }
    struct attention a = {
        .heads = heads, .tokens = n, .views = views, .queries = &own->queries,
        .tables = p->layer->relative + (own_tables ? first : 0), .own_tables = own_tables, .page = PAGE, .ring = e->ring,
        .offset = cache_offset(e, p->number, first), .head_bytes = cache_head_bytes(e), .precision = e->precision,
        .d_head = e->head, .scores = own->scores, .by_distance = own->by_distance, .stride = e->stride, .halves = own->halves,
    };
    e->kernels->attend(&a, own->out);
    for (int i = 0; i < heads * n * panels; i++)
        e->kernels->store(own->out + i * 64, &p->w->mixed, token + i / panels % n, (first + i / panels / n) * panels + i % panels);
}

static void attend(void *job, int item, int worker) {
    struct pass *p = job;
    struct own *own = &p->w->own[worker];
    const struct rows *x = normal(p, worker, 0, 1, p->tokens);
    int first = item * p->heads, left = p->e->config.n_heads - first, heads = left < p->heads ? left : p->heads;
    int panels = 3 * p->e->head / 64;
    for (int i = 0; i < heads * panels; i++)
        p->e->kernels->product(&p->layer->qkv, first * panels + i, x, 0, p->tokens, own->products + (size_t)i * p->tokens * 64);
    for (int i = 0; i < heads * p->tokens; i++) remember(p, own, first, i / p->tokens, i % p->tokens);
    for (int token = 0, n; token < p->tokens; token += n) {
        int left = p->n == 1 ? p->tokens - token : p->n - token % p->n; /* at one position, or of one sequence */
        n = left < MOST_TOKENS ? left : MOST_TOKENS;
        look_back(p, own, first, heads, token, n);
    }
}

/* As many heads an item as leave the busiest worker the least to do. */
static int heads_an_item(int n_heads, int workers) {
    int best = 1, least = n_heads;
    for (int heads = 1; heads <= MOST_HEADS; heads++) {
        int items = (n_heads + heads - 1) / heads, busiest = (items + workers - 1) / workers * heads;
        if (busiest <= least) best = heads, least = busiest;
    }
    return best;
}

/* ---- The products between: an item is a panel of 64 rows. ---- */

/* products[token][64] -> added to the residual stream. */
static void add_to_residual(struct pass *p, const float *products, int panel) {
    for (int token = 0; token < p->tokens; token++) {
        float *to = p->w->residual + (size_t)token * p->e->d + panel * 64;
        for (int i = 0; i < 64; i++) to[i] += products[token * 64 + i];
    }
}

static void project(void *job, int panel, int worker) {
    struct pass *p = job;
    float *products = p->w->own[worker].products;
    p->e->kernels->product(&p->layer->attention_out, panel, &p->w->mixed, 0, p->tokens, products);
    add_to_residual(p, products, panel);
}

static void feed_in(void *job, int panel, int worker) {
    struct pass *p = job;
    float *products = p->w->own[worker].products;
    const struct rows *x = normal(p, worker, 0, 1, p->tokens);
    p->e->kernels->product(&p->layer->feed_forward_in, panel, x, 0, p->tokens, products);
    p->e->kernels->relu_square(products, p->tokens * 64);
    for (int token = 0; token < p->tokens; token++) p->e->kernels->store(products + token * 64, &p->w->hidden, token, panel);
}

static void feed_out(void *job, int panel, int worker) {
    struct pass *p = job;
    float *products = p->w->own[worker].products;
    p->e->kernels->product(&p->layer->feed_forward_out, panel, &p->w->hidden, 0, p->tokens, products);
    add_to_residual(p, products, panel);
}

static void unembed(void *job, int panel, int worker) {
    struct pass *p = job;
    float *products = p->w->own[worker].products;
    float *outputs = p->s->trackers ? p->w->outputs : p->logits;
    int rows = p->e->outputs, width = rows - panel * 64 < 64 ? rows - panel * 64 : 64;
    const struct rows *x = normal(p, worker, p->last, p->stride, p->wanted);
    p->e->kernels->product(&p->e->unembedding, panel, x, 0, p->wanted, products);
    for (int i = 0; i < p->wanted; i++) memcpy(outputs + (size_t)i * rows + panel * 64, products + i * 64, (size_t)width * 4);
}

/* An item is a token whose logits are wanted. */
static void relate(void *job, int item, int worker) {
    struct pass *p = job;
    int vocabulary = p->e->config.vocabulary;
    const float *outputs = p->w->outputs + (size_t)item * p->e->outputs;
    float *logits = p->logits + (size_t)item * vocabulary;
    (void)worker;
    memcpy(logits, outputs, (size_t)vocabulary * 4);
    relations_add(&p->w->states[item], outputs + vocabulary, logits);
}

/* ---- All of it. ---- */

static void run(struct pass *p, int workers, int items, work *each) {
    p->w->loops++;
    team_run(workers, items, each, p);
}

static void embed(struct pass *p, const int32_t *ids) {
    int d = p->e->d;
    for (int token = 0; token < p->tokens; token++)
        memcpy(p->w->residual + (size_t)token * d, p->e->embedding + (size_t)ids[token] * d, (size_t)d * 4);
}

/* The token moves its sequence's musical state, which adds to its input, and says what will be added to its logits. */
static void move_state(struct pass *p, int token, int32_t id) {
    int row = p->first + token / p->n, from_first = token - p->last;
    const struct tracker *tracker = &p->s->trackers[row];
    cache_push(p->s, row, p->s->position + token % p->n, id);
    relations_add_input(tracker, p->e->input_relations, p->e->d, p->w->residual + (size_t)token * p->e->d);
    if (from_first >= 0 && from_first % p->stride == 0) tracker_read(tracker, &p->w->states[from_first / p->stride]);
}

static void forward(struct pass *p, int workers, const int32_t *ids) {
    struct engine *e = p->e;
    int heads = heads_an_item(e->config.n_heads, workers);
    embed(p, ids);
    for (int token = 0; p->s->trackers && token < p->tokens; token++) move_state(p, token, ids[token]);
    for (p->number = 0; p->number < e->config.n_layers; p->number++) {
        p->layer = &e->layers[p->number];
        p->gain = p->layer->attention_norm;
        p->heads = workers > 1 && team_lacks_one() ? (heads + 1) / 2 : heads;
        run(p, workers, (e->config.n_heads + p->heads - 1) / p->heads, attend);
        run(p, workers, e->d / 64, project);
        p->gain = p->layer->feed_forward_norm;
        run(p, workers, e->ff / 64, feed_in);
        run(p, workers, e->d / 64, feed_out);
    }
    p->gain = e->norm;
    run(p, workers, padded(e->outputs) / 64, unembed);
    if (p->s->trackers) run(p, p->wanted > 1 ? workers : 1, p->wanted, relate); /* one is done before another worker has come */
}

/* Sequences a few at a time, as many as the scratch has room for. */
int session_pass(struct session *s, const int32_t *ids, int n, int wants_all, float *logits, int workers) {
    struct engine *e = s->engine;
    struct workspace *w = workspace_take(e);
    if (!w || !cache_prepare(s, n)) {
        if (w) workspace_return(e, w);
        return NO_MEMORY;
    }
    struct pass p = {.e = e, .s = s, .w = w, .n = n, .stride = wants_all ? 1 : n, .last = wants_all ? 0 : n - 1};
    for (p.first = 0; p.first < s->batch; p.first += AT_ONCE / n) {
        int rows = s->batch - p.first < AT_ONCE / n ? s->batch - p.first : AT_ONCE / n;
        p.tokens = rows * n;
        p.wanted = wants_all ? p.tokens : rows;
        p.logits = logits + (size_t)p.first * (wants_all ? n : 1) * e->config.vocabulary;
        forward(&p, workers, ids + (size_t)p.first * n);
    }
    workspace_return(e, w);
    s->position += n;
    return DONE;
}

int has_instructions(const char *name) { return kernels_find(name) != NULL; }

int64_t memory_used(void) { return memory_in_use(); }

/* A checkpoint's arrays -> the engine's layout. */
#include <string.h>

#include "engine.h"
#include "memory.h"

static void carve_matrix(struct block *block, struct matrix *m, int rows, int inputs, enum precision precision) {
    *m = (struct matrix){precision, rows, inputs, NULL, NULL};
    m->data = carve(block, (size_t)rows / PANEL * panel_bytes(precision, inputs));
    if (precision == INT8) m->scales = carve(block, (size_t)rows * 4);
}

/* All of the weights, in the order in which a step reads them. */
static void carve_weights(struct block *block, struct engine *e) {
    int d = e->d, heads = e->config.n_heads * e->head, tables = e->config.relative_per_head ? e->config.n_heads : 1;
    e->layers = carve(block, sizeof *e->layers * e->config.n_layers);
    struct matrix *relative = carve(block, sizeof *relative * e->config.n_layers * tables);
    e->embedding = carve(block, (size_t)e->config.vocabulary * d * 4);
    if (e->config.relations) e->input_relations = carve(block, (size_t)N_INPUT_ROWS * d * 4);
    for (int i = 0; i < e->config.n_layers; i++) {
        struct layer unused, *layer = e->layers ? &e->layers[i] : &unused;
        struct matrix unused_table;
        layer->relative = relative ? relative + (size_t)i * tables : &unused_table;
        layer->attention_norm = carve(block, (size_t)d * 4);
        carve_matrix(block, &layer->qkv, 3 * heads, d, e->precision);
        for (int table = 0; table < tables; table++)
            carve_matrix(block, &layer->relative[relative ? table : 0], e->window, e->head, e->precision);
        carve_matrix(block, &layer->attention_out, d, heads, e->precision);
        layer->feed_forward_norm = carve(block, (size_t)d * 4);
        carve_matrix(block, &layer->feed_forward_in, e->ff, d, e->precision);
        carve_matrix(block, &layer->feed_forward_out, d, e->ff, e->precision);
    }
    e->norm = carve(block, (size_t)d * 4);
    carve_matrix(block, &e->unembedding, padded(e->outputs), d, e->precision);
}

static float largest_magnitude(const float *values, int n) {
    float most = 0;
    for (int i = 0; i < n; i++) {
        float magnitude = values[i] < 0 ? -values[i] : values[i];
        if (!(magnitude <= most)) most = magnitude; /* NaN gets in, and stays out of any comparison */
    }
    return most;
}

static int is_finite(float x) { return x - x == 0; }

/* Writes a row of the matrix: `inputs` floats, filled up with zeros. */
static void pack_row(struct matrix *m, int row, const float *values) {
    char *panel = (char *)m->data + row / PANEL * panel_bytes(m->precision, m->inputs);
    int r = row % PANEL;
    if (m->precision == FLOAT32) {
        for (int k = 0; k < m->inputs; k++) ((float *)panel)[k * PANEL + r] = values[k];
    } else if (m->precision == BFLOAT16) {
        for (int k = 0; k < m->inputs; k++) ((uint16_t *)panel)[(k / 2 * PANEL + r) * 2 + k % 2] = to_bfloat16(values[k]);
    } else {
        float largest = largest_magnitude(values, m->inputs), inverse = largest > 1e-30f ? 127 / largest : 0;
        for (int k = 0; k < m->inputs; k++) ((uint8_t *)panel)[(k / 4 * PANEL + r) * 4 + k % 4] = to_int8(values[k] * inverse);
        m->scales[row] = largest / 127;
    }
}

/* A source row of `parts` times `length` numbers, each part filled up to `wide`; 0 if one is not finite. */
static int fill_row(float *row, const float *source, int parts, int length, int wide, float scale) {
    for (int part = 0; part < parts; part++)
        for (int i = 0; i < length; i++) row[part * wide + i] = source[part * length + i] * scale;
    return is_finite(largest_magnitude(row, (parts - 1) * wide + length));
}

/* Rows first ... of the matrix from consecutive source rows. */
static int pack(struct matrix *m, int first, int rows, const float *source, int parts, int length, int wide, float scale, float *row) {
    memset(row, 0, (size_t)m->inputs * 4);
    for (int i = 0; i < rows; i++) {
        if (!fill_row(row, source + (size_t)i * parts * length, parts, length, wide, scale)) return 0;
        pack_row(m, first + i, row);
    }
    return 1;
}

/* Rows that stand for nothing: int8 holds its weights + 128, so their zeros must be written too. */
static void clear(struct matrix *m) {
    if (m->precision == INT8) memset(m->data, 128, (size_t)m->rows / PANEL * panel_bytes(INT8, m->inputs));
}

static int pack_qkv(struct engine *e, struct matrix *m, const float *source, float *row) {
    int d = e->config.d_model, d_head = d / e->config.n_heads, good = 1;
    clear(m);
    for (int part = 0; part < 3; part++)
        for (int head = 0; head < e->config.n_heads; head++) {
            const float *rows = source + ((size_t)part * d + (size_t)head * d_head) * d;
            float scale = part ? 1 : 1 / __builtin_sqrtf((float)d_head);
            good &= pack(m, (head * 3 + part) * e->head, d_head, rows, 1, d, d, scale, row);
        }
    return good;
}

/* Farthest first, and distance 0 the last row of the last panel: so that distances line up with keys. */
static int pack_relative(struct engine *e, struct matrix *tables, const float *source, float *row) {
    int window = e->config.window, d_head = e->config.d_model / e->config.n_heads;
    for (int table = 0; table < (e->config.relative_per_head ? e->config.n_heads : 1); table++) {
        clear(&tables[table]);
        memset(row, 0, (size_t)e->head * 4);
        for (int distance = 0; distance < window; distance++) {
            if (!fill_row(row, source + ((size_t)table * window + distance) * d_head, 1, d_head, d_head, 1)) return 0;
            pack_row(&tables[table], e->window - 1 - distance, row);
        }
    }
    return 1;
}

static int pack_layer(struct engine *e, struct layer *layer, const float *const **arrays, float *row) {
    int d = e->config.d_model, n_heads = e->config.n_heads, d_head = d / n_heads, d_ff = e->config.d_ff;
    clear(&layer->attention_out);
    clear(&layer->feed_forward_in);
    clear(&layer->feed_forward_out);
    int good = fill_row(layer->attention_norm, *(*arrays)++, 1, d, d, 1);
    good = good && pack_qkv(e, &layer->qkv, *(*arrays)++, row);
    good = good && pack_relative(e, layer->relative, *(*arrays)++, row);
    good = good && pack(&layer->attention_out, 0, d, *(*arrays)++, n_heads, d_head, e->head, 1, row);
    good = good && fill_row(layer->feed_forward_norm, *(*arrays)++, 1, d, d, 1);
    good = good && pack(&layer->feed_forward_in, 0, d_ff, *(*arrays)++, 1, d, d, 1, row);
    return good && pack(&layer->feed_forward_out, 0, d, *(*arrays)++, 1, d_ff, d_ff, 1, row);
}

/* Rows of the residual stream's width, as they are. */
static int fill_rows(const struct engine *e, float *rows, int n, const float *source) {
    int d = e->config.d_model;
    for (int i = 0; i < n; i++)
        if (!fill_row(rows + (size_t)i * e->d, source + (size_t)i * d, 1, d, d, 1)) return 0;
    return 1;
}

static int pack_all(struct engine *e, const float *const *arrays, float *row) {
    int d = e->config.d_model, vocabulary = e->config.vocabulary, relations = e->config.relations;
    if (!fill_rows(e, e->embedding, vocabulary, *arrays++)) return 0;
    for (int layer = 0; layer < e->config.n_layers; layer++)
        if (!pack_layer(e, &e->layers[layer], &arrays, row)) return 0;
    clear(&e->unembedding);
    if (!fill_row(e->norm, arrays[0], 1, d, d, 1) || !pack(&e->unembedding, 0, vocabulary, arrays[1], 1, d, d, 1, row)) return 0;
    if (!relations) return 1;
    return fill_rows(e, e->input_relations, N_INPUT_ROWS, arrays[2]) && pack(&e->unembedding, vocabulary, relations, arrays[3], 1, d, d, 1, row);
}

static void set_sizes(struct engine *e, const struct config *c, int precision, int threads) {
    e->config = *c;
    e->precision = (enum precision)precision;
    e->threads = threads < 1 ? 1 : threads > MOST_WORKERS ? MOST_WORKERS : threads;
    e->d = padded(c->d_model);
    e->head = padded(c->d_model / c->n_heads);
    e->ff = padded(c->d_ff);
    e->outputs = c->vocabulary + c->relations;
    e->window = padded(c->window);
    e->stride = e->window + 5 * PANEL;
    e->ring = (c->window + REWIND + PAGE - 3) / PAGE + 1; /* window - 1 + REWIND positions wherever in a page the last one is */
    e->page_bytes = cache_page_bytes(e);
}

struct engine *engine_open(const struct config *config, const float *const *arrays, int precision, const char *instructions, int threads,
                           int *why) {
    *why = OTHER_RELATIONS;
    if (config->relations && (config->relations != RELATION_ROWS || config->vocabulary != WITH_RELATIONS)) return NULL;
    *why = NO_MEMORY;
    struct engine *e = memory_get(sizeof *e);
    if (!e) return NULL;
    set_sizes(e, config, precision, threads);
    e->kernels = kernels_find(instructions);
    struct block block = {0};
    carve_weights(&block, e);
    e->weight_bytes = block.used;
    block = (struct block){e->weights = memory_get(block.used), 0};
    int widest = e->ff > e->d ? e->ff : e->d, heads = e->config.n_heads * e->head;
    size_t row_bytes = (size_t)(heads > widest ? heads : widest) * 4;
    float *row = memory_get(row_bytes);
    int good = e->kernels && block.memory && row;
    if (good) {
        carve_weights(&block, e);
        good = pack_all(e, arrays, row);
        if (!good) *why = NOT_FINITE;
    }
    memory_free(row, row_bytes);
    if (good) return e;
    engine_close(e);
    return NULL;
}

void engine_close(struct engine *e) {
    if (!e) return;
    workspaces_free(e);
    cache_free_pages(e);
    memory_free(e->weights, e->weight_bytes);
    memory_free(e, sizeof *e);
}

const char *engine_instructions(const struct engine *e) { return e->kernels->name; }

int64_t engine_step_bytes(const struct engine *e, int context, int batch) {
    static const int sizes[] = {4, 2, 1};
    const struct config *c = &e->config;
    int64_t d = c->d_model, layers = c->n_layers, n = context < c->window ? context : c->window, seen = n * batch;
    int64_t tables = c->relative_per_head ? c->n_heads : 1;
    int64_t matrices = layers * (4 * d * d + 2 * d * c->d_ff) + e->outputs * d, rows = layers * (5 * d + c->d_ff) + e->outputs;
    int64_t distances = layers * n * tables * (d / c->n_heads), cached = layers * 2 * seen * d;
    int64_t scales = rows + layers * (n * tables + 2 * seen * c->n_heads);
    return sizes[e->precision] * (matrices + distances + cached) + (e->precision == INT8 ? 4 * scales : 0);
}

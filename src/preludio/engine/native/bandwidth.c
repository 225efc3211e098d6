/* How fast this machine reads: the limit of every step. */
#include "engine.h"
#include "memory.h"

enum { PIECES = 64 };

struct reading {
    const struct kernels *kernels;
    char *memory;
    size_t piece;
    uint32_t seen[PIECES]; /* so that the compiler must read */
};

struct reading *reading_open(int64_t bytes) {
    struct reading *r = memory_get(sizeof *r);
    if (!r) return NULL;
    r->kernels = kernels_find("");
    r->piece = ((size_t)bytes / PIECES + 255) / 256 * 256;
    r->memory = memory_get(r->piece * PIECES);
    if (r->memory) return r;
    memory_free(r, sizeof *r);
    return NULL;
}

static void read_piece(void *job, int piece, int worker) {
    struct reading *r = job;
    (void)worker;
    r->seen[piece] |= r->kernels->read(r->memory + piece * r->piece, r->piece);
}

int64_t reading_run(struct reading *r, int threads, int repeats) {
    int workers = team_begin(threads);
    for (int i = 0; i < repeats; i++) team_run(workers, PIECES, read_piece, r);
    team_end(workers);
    return (int64_t)r->piece * PIECES * repeats;
}

void reading_close(struct reading *r) {
    memory_free(r->memory, r->piece * PIECES);
    memory_free(r, sizeof *r);
}

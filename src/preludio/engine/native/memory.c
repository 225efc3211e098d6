#include "memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

/* A step streams through all weights and the cache: with 4 KiB pages it spends its time looking up addresses. Small pieces are aligned to
   the cache's lines, large ones to 2 MiB, so that the system can back them with pages of that size. */
enum { LINE = 128, HUGE_PAGE = 2 << 20 };

static _Atomic int64_t in_use;

static size_t alignment_of(size_t bytes) { return bytes >= HUGE_PAGE ? HUGE_PAGE : LINE; }

static size_t rounded(size_t bytes) {
    size_t alignment = alignment_of(bytes);
    return (bytes + alignment - 1) / alignment * alignment;
}

void *memory_get(size_t bytes) {
    void *memory = NULL;
    size_t whole = rounded(bytes ? bytes : 1);
    if (whole < bytes) return NULL;
#if defined(_WIN32)
    memory = _aligned_malloc(whole, alignment_of(bytes));
#else
    memory = aligned_alloc(alignment_of(bytes), whole);
#endif
    if (!memory) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (whole >= HUGE_PAGE) madvise(memory, whole, MADV_HUGEPAGE); /* if the system declines, it is only slower */
#endif
    memset(memory, 0, whole);
    atomic_fetch_add(&in_use, (int64_t)whole);
    return memory;
}

void memory_free(void *memory, size_t bytes) {
    if (!memory) return;
    atomic_fetch_sub(&in_use, (int64_t)rounded(bytes ? bytes : 1));
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
}

int64_t memory_in_use(void) { return atomic_load(&in_use); }

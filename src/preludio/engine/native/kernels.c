#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static int has_avx_vnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int runs(const struct kernels *k) {
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (k == &kernels_avx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
    if (k == &kernels_avx2vnni) return avx2 && has_avx_vnni();
    if (k == &kernels_avx2) return avx2;
    return 1;
}

static const struct kernels *const all[] = {&kernels_avx512, &kernels_avx2vnni, &kernels_avx2, &kernels_plain};
#else
static int runs(const struct kernels *k) { return k != 0; }
static const struct kernels *const all[] = {&kernels_plain};
#endif

const struct kernels *kernels_find(const char *name) {
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((!*name || !strcmp(name, all[i]->name)) && runs(all[i])) return all[i];
    return NULL;
}

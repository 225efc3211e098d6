#if defined(__x86_64__)
#define KERNELS kernels_avx2vnni
#define KERNELS_NAME "avx2vnni"
#include "kernels.inc"
#endif

#if defined(__x86_64__)
#define KERNELS kernels_avx2
#define KERNELS_NAME "avx2"
#include "kernels.inc"
#endif

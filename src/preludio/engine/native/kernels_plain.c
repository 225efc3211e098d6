#define KERNELS kernels_plain
#define KERNELS_NAME "plain"
#include "kernels.inc"

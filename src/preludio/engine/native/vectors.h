/* Vectors of floats and of integers, as wide as the instruction set that this file is compiled for. The compiler's own vector types do
   nearly all; what they cannot say is below. */
#ifndef PRELUDIO_VECTORS_H
#define PRELUDIO_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* How many vectors of rows, and how many activations, are in work at once: as many as there are registers for. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS_ALONE = 4, ROWS_TOGETHER = 4, TOGETHER = 4, MIXED_TOGETHER = 4 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS_ALONE = 8, ROWS_TOGETHER = 2, TOGETHER = 4, MIXED_TOGETHER = 1 };
#else
enum { LANES = 4, ROWS_ALONE = 8, ROWS_TOGETHER = 2, TOGETHER = 4, MIXED_TOGETHER = 1 };
#endif
enum { VECTORS = 64 / LANES, LINE = 16 /* words that memory is read in */ };

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf all(float x) { return x - (vf){0}; }
INLINE vi all_i(int32_t x) { return x - (vi){0}; }

INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vi load_words(const void *p) {
    vi v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Into the second-level cache, from as many bytes further on; a place that does not exist does no harm. */
INLINE void fetch(const void *p, ptrdiff_t ahead) { __builtin_prefetch((const void *)((uintptr_t)p + (uintptr_t)ahead), 0, 2); }

/* The two bfloat16 of each word. */
INLINE vf low_half(vi words) { return (vf)(words << 16); }
INLINE vf high_half(vi words) { return (vf)(words & (int32_t)0xffff0000); }

/* The lanes as bytes, which they fit in. */
INLINE void store_bytes(int8_t *p, vi v) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(pairs, pairs));
#else
    typedef int8_t bytes __attribute__((vector_size(LANES)));
    bytes narrow = __builtin_convertvector(v, bytes);
    memcpy(p, &narrow, sizeof narrow);
#endif
}

INLINE vf larger(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON)
    return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    vi first = a > b;
    return (vf)(((vi)a & first) | ((vi)b & ~first));
#endif
}

/* acc + the products of each word's four weights (stored + 128) with four activations. Instructions that take unsigned bytes leave the
   128 in, and the sum starts with its correction; others take it out of each weight. */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
enum { LEAVES_128_IN = 1 };
#else
enum { LEAVES_128_IN = 0 };
#endif

INLINE vi dot4(vi acc, vi weights, int32_t activations) {
#if defined(__AVX512VNNI__)
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)weights, (__m512i)all_i(activations));
#elif defined(__AVXVNNI__)
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)weights, (__m256i)all_i(activations));
#elif defined(__AVX2__)
    /* Unsigned times signed: |activation| times the weight with the activation's sign. Pairs stay within 16 bits: 2 * 127 * 127. */
    __m256i a = (__m256i)all_i(activations), w = (__m256i)(weights ^ (int32_t)0x80808080);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(w, a));
    return acc + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__x86_64__)
    __m128i a = (__m128i)all_i(activations), w = (__m128i)(weights ^ (int32_t)0x80808080); /* even and odd bytes as 16 bits each */
    vi even = (vi)_mm_madd_epi16(_mm_srai_epi16(_mm_slli_epi16(w, 8), 8), _mm_srai_epi16(_mm_slli_epi16(a, 8), 8));
    return acc + even + (vi)_mm_madd_epi16(_mm_srai_epi16(w, 8), _mm_srai_epi16(a, 8));
#elif defined(__ARM_FEATURE_DOTPROD)
    int8x16_t w = (int8x16_t)(weights ^ (int32_t)0x80808080);
    return (vi)vdotq_s32((int32x4_t)acc, w, (int8x16_t)all_i(activations));
#else
    vi w = weights ^ (int32_t)0x80808080;
    for (int byte = 0; byte < 4; byte++) acc += (w << (24 - 8 * byte) >> 24) * (int32_t)(int8_t)(activations >> 8 * byte);
    return acc;
#endif
}

/* Across a vector: its quarters (of four lanes) first, then what is left of them. */
typedef float quad __attribute__((vector_size(16)));
enum { QUADS = LANES / 4 };

INLINE quad larger_quad(quad a, quad b) {
#if defined(__x86_64__)
    return (quad)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON)
    return (quad)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
#endif
}

INLINE float sum_of(vf v) {
    quad parts[QUADS];
    memcpy(parts, &v, sizeof v);
    for (int half = QUADS / 2; half; half /= 2)
        for (int i = 0; i < half; i++) parts[i] += parts[i + half];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

INLINE float largest_of(vf v) {
    quad parts[QUADS];
    memcpy(parts, &v, sizeof v);
    for (int i = 1; i < QUADS; i++) parts[0] = larger_quad(parts[0], parts[i]);
    float even = parts[0][0] > parts[0][2] ? parts[0][0] : parts[0][2], odd = parts[0][1] > parts[0][3] ? parts[0][1] : parts[0][3];
    return even > odd ? even : odd;
}

INLINE int32_t sum_of_whole(vi v) {
    int32_t sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += v[lane];
    return sum;
}

/* Adding this makes a float's last bits the nearest whole number, ties to even, for |x| < 2^22. */
#define ROUNDER 12582912.0f

INLINE vi nearest(vf x) { return (vi)(x + ROUNDER) - (vi)all(ROUNDER); }

/* e^x for x <= 0: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Taylor's to the seventh power; an error below the last bit). Under
   -87 it is 0, as it nearly is in float32. */
INLINE vf exponential(vf x) {
    vi dead = x < -87.0f;
    vf turns = (x * 1.44269504f + ROUNDER) - ROUNDER;
    vf r = x - turns * 0.693359375f; /* ln 2 in two parts: the first has few bits, so its product is exact */
    r = r - turns * -2.12194440e-4f;
    vf p = all(1.98412698e-4f);
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    vi scaled = (vi)p + (nearest(turns) << 23);
    return (vf)(scaled & ~dead);
}

#endif

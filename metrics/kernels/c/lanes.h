/* What the C kernels share: vectors of float32 as wide as the machine's, a few functions of them, points laid out for them.

   Distances are sums of squared differences, never |a|² + |b|² - 2 a·b: right for near points far from the origin, and as fast, since a
   difference and a product go to different units.

   A step of an inner loop takes ROWS points, one number of each at a time, against a block of 2 W points, which lie side by side:
   ROWS x 2 sums stay in registers. What a thread takes is a fixed set of rows, and sums over rows are in order: any number of threads
   gives the same bits. */

#pragma once
#define _GNU_SOURCE
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(_OPENMP)
#include <omp.h>
static int thread(void) { return omp_get_thread_num(); }
#else
static int thread(void) { return 0; }
#endif

#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX__)
#define W 8
#else
#define W 4
#endif
#define ROWS 4
#define BLOCK (2 * W)
#define GROUP 16 /* rows that one thread takes at a time, of pairs whose rows have gradients */
#define CHUNK 256 /* columns whose slopes or logarithms wait in the first or second cache */
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline)) /* a loop that needs all registers, for what stands around it would take some */

typedef float vec __attribute__((vector_size(4 * W), may_alias));
typedef int32_t lanes __attribute__((vector_size(4 * W), may_alias));
typedef double wide __attribute__((vector_size(8 * W), aligned(8), may_alias));

INLINE vec load(const float *x) { return *(const vec *)x; }
INLINE void store(float *x, vec v) { *(vec *)x = v; }
INLINE vec masked(vec v, lanes mask) { return (vec)((lanes)v & mask); }

#if defined(__AVX512F__)
/* Load once: the compiler would rather read memory again in every instruction that can. */
#define KEEP(v) __asm__("" : "+v"(v))
/* v - x and a + v x of one number x in memory. Inside an instruction its copies are free, a broadcast before it takes a cycle. */
INLINE vec minus(vec v, const float *x) {
    vec difference;
    __asm__("vsubps %2%{1to16%}, %1, %0" : "=v"(difference) : "v"(v), "m"(*x));
    return difference;
}
INLINE vec plus(vec a, vec v, const float *x) {
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(a) : "v"(v), "m"(*x));
    return a;
}
INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE int below(vec v, float limit) { return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(limit), _CMP_LT_OQ) == 0xffff; } /* all of it */
#else
#define KEEP(v) (void)(v)
INLINE vec minus(vec v, const float *x) { return v - *x; }
INLINE vec plus(vec a, vec v, const float *x) { return a + v * *x; }
INLINE vec larger(vec a, vec b) { lanes above = a > b; return (vec)(((lanes)a & above) | ((lanes)b & ~above)); }
INLINE int below(vec v, float limit) {
    int all = 1;
    for (int c = 0; c < W; c++) all &= v[c] < limit;
    return all;
}
#endif

INLINE long up(long n, long to) { return (n + to - 1) / to * to; }
static void *get(size_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

INLINE double sum(wide v) {
    double total = 0;
    for (int c = 0; c < W; c++) total += v[c];
    return total;
}

/* 1 / x to the last bit or two, of what is above 0; of more than 1e37, 1e-37. */
INLINE vec reciprocal(vec x) {
#if defined(__AVX512F__)
    x = (vec)_mm512_min_ps(_mm512_set1_ps(1e37f), (__m512)x); /* that of two which is no number, if there is one */
    vec y = (vec)_mm512_rcp14_ps((__m512)x);
    return y + y * (1.0f - x * y);
#else
    return 1.0f / x;
#endif
}

/* exp of what is at most about 80, as in Cephes; 0 below -87. */
INLINE vec exponential(vec x) {
    vec whole = (x * 1.44269504088896341f + 12582912.f) - 12582912.f;
    vec r = x - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    vec y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    lanes power = ((lanes)(x * 1.44269504088896341f + 12582912.f) << 23) + (127 << 23);
    return masked(y * (vec)power, ~(lanes)(x < -87.0f));
}

/* log of what is at least 1 and below 2, as in Cephes. */
INLINE vec logarithm(vec x) {
    lanes above = x > 1.41421356f;
    vec halved = (vec)((lanes)x - (above & (1 << 23))), f = halved - 1.0f;
    vec y = f * 7.0376836292e-2f - 1.1514610310e-1f;
    y = y * f + 1.1676998740e-1f;
    y = y * f - 1.2420140846e-1f;
    y = y * f + 1.4249322787e-1f;
    y = y * f - 1.6668057665e-1f;
    y = y * f + 2.0000714765e-1f;
    y = y * f - 2.4999993993e-1f;
    y = y * f + 3.3333331174e-1f;
    y = y * f * (f * f) - 0.5f * (f * f) + f;
    return y + masked((vec){0} + 0.69314718056f, above);
}

/* (N, D), whose rows begin `pitch` numbers apart, as blocks of (D, BLOCK), `stride` numbers from one dimension to the next; the points
   that the last block lacks are 0. */
static void pack(const float *x, long n, long d, long pitch, long stride, float *out) {
    for (long j = 0; j < n; j += BLOCK, out += d * stride)
        for (long c = 0; c < BLOCK; c++)
            for (long k = 0; k < d; k++) out[k * stride + c] = j + c < n ? x[(j + c) * pitch + k] : 0;
}

/* (N, D) with N padded to ROWS and D to W, by 0. */
static void pad(const float *x, long n, long d, float *out) {
    long width = up(d, W);
    memset(out, 0, sizeof(float) * up(n, ROWS) * width);
    for (long i = 0; i < n; i++) memcpy(out + i * width, x + i * d, sizeof(float) * d);
}

/* Whether none of these numbers is infinite or NaN. */
static int all_finite(const float *x, long count) {
    int all = 1;
    for (long i = 0; i < count; i++) all &= fabsf(x[i]) <= FLT_MAX;
    return all;
}

/* NaN everywhere, of an array that may be null. */
static void spoil(float *x, long count) {
    for (long i = 0; x && i < count; i++) x[i] = NAN;
}

#define BELOW 60.0f /* nats below the largest term from which all others together do not change a sum */

/* One more chunk of logarithms into Σ exp(l - top). */
static void include(const float *logs, long columns, float *top, double *total) {
    vec most = load(logs), part = {0};
    float new = *top;
    for (long c = W; c < columns; c += W) most = larger(load(logs + c), most);
    if (below(most, *top - BELOW)) return;
    for (int c = 0; c < W; c++) new = most[c] > new ? most[c] : new;
    if (new == -INFINITY) return;
    for (long c = 0; c < columns; c += W) part += exponential(load(logs + c) - new);
    *total = *total * exp((double)*top - new) + sum(__builtin_convertvector(part, wide));
    *top = new;
}

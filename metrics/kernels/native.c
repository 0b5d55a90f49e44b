/* MMD²_U and log Σ_j w_j N(z; μ_j, diag σ_j²) in float32, for `metrics/kernels/native.py`, which builds this file for the machine.

   The equations are those of `metrics/kernels/mmd.py` (Tolstikhin et al., arXiv:1711.01558, Algorithm 2) and of
   `metrics/kernels/log_mixture.py` (Tomczak & Welling, arXiv:1705.07120, Eq. 9). Distances are sums of squared differences, never
   |a|² + |b|² - 2 a·b: right for near points far from the origin, and as fast, since a difference and a product go to different units.

   A step of the inner loop takes ROWS points, one number of each at a time, against a block of 2 W points, which lie side by side:
   ROWS x 2 sums stay in registers. What a thread takes is a fixed set of rows, and sums over rows are in order: any number of threads
   gives the same bits. */

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
#define CHUNK 256 /* columns whose slopes or logarithms wait in the first or second cache */
#define GROUP 16 /* rows of MMD that one thread takes at a time */
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * W), may_alias));
typedef int32_t lanes __attribute__((vector_size(4 * W), may_alias));
typedef double wide __attribute__((vector_size(8 * W)));

INLINE vec load(const float *x) { return *(const vec *)x; }
INLINE void store(float *x, vec v) { *(vec *)x = v; }
INLINE vec masked(vec v, lanes mask) { return (vec)((lanes)v & mask); }
INLINE vec larger(vec a, vec b) { lanes above = a > b; return (vec)(((lanes)a & above) | ((lanes)b & ~above)); }
/* Load once: the compiler would rather read memory again in every instruction that can. */
#if defined(__AVX512F__)
#define KEEP(v) __asm__("" : "+v"(v))
#else
#define KEEP(v) (void)(v)
#endif
INLINE long up(long n, long to) { return (n + to - 1) / to * to; }
static void *get(size_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

INLINE double sum(wide v) {
    double total = 0;
    for (int c = 0; c < W; c++) total += v[c];
    return total;
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

/* (N, D) as blocks of (D, BLOCK), `stride` numbers from one dimension to the next; the points that the last block lacks are 0. */
static void pack(const float *x, long n, long d, long stride, float *out) {
    for (long j = 0; j < n; j += BLOCK, out += d * stride)
        for (long k = 0; k < d; k++)
            for (long c = 0; c < BLOCK; c++) out[k * stride + c] = j + c < n ? x[(j + c) * d + k] : 0;
}

/* (N, D) with N padded to ROWS and D to W, by 0. */
static void pad(const float *x, long n, long d, float *out) {
    long width = up(d, W);
    memset(out, 0, sizeof(float) * up(n, ROWS) * width);
    for (long i = 0; i < n; i++) memcpy(out + i * width, x + i * d, sizeof(float) * d);
}

typedef struct {
    long n, d, width;
    float *rows, *blocks; /* (up(n, ROWS), width), (n / BLOCK, d, BLOCK) */
} Points;

static int points(Points *s, const float *x, long n, long d) {
    *s = (Points){n, d, up(d, W), get(sizeof(float) * up(n, ROWS) * up(d, W)), get(sizeof(float) * up(n, BLOCK) * d)};
    if (!s->rows || !s->blocks) return 1;
    pad(x, n, d, s->rows);
    pack(x, n, d, BLOCK, s->blocks);
    return 0;
}

/* |x_i - y_j|² of ROWS rows and a block. */
INLINE void squares(const float *x, long width, const float *block, long d, vec out[ROWS][2]) {
    vec acc[ROWS][2] = {0};
    for (long k = 0; k < d; k++) {
        vec a = load(block + k * BLOCK), b = load(block + k * BLOCK + W);
        KEEP(a);
        KEEP(b);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            vec u = x[r * width + k] - a, v = x[r * width + k] - b;
            acc[r][0] += u * u;
            acc[r][1] += v * v;
        }
    }
    memcpy(out, acc, sizeof acc);
}

/* k and -k' by D = |a - b|² / C. */
INLINE vec similarity(int family, vec D, vec *slope) {
    static const float scales[] = {0.1f, 0.2f, 0.5f, 1.0f, 2.0f, 5.0f, 10.0f};
    vec k = {0}, s = {0};
    if (family == 0) k = 1.0f / (1.0f + D), s = k * k;
    if (family == 1)
#pragma GCC unroll 7
        for (int c = 0; c < 7; c++) {
            vec part = 1.0f / (scales[c] + D);
            k += scales[c] * part;
            s += scales[c] * part * part;
        }
    if (family == 2) k = s = exponential(-D);
    *slope = s;
    return k;
}

/* Σ_j -k'_ij (x_i - y_j) of ROWS rows and some columns, in `count` x W dimensions, times a factor, added to (ROWS, width). */
INLINE void pulls(int count, const float *x, const float *y, long width, const float *slopes, long columns, double times, double *to) {
    vec acc[ROWS][2] = {0}, own[ROWS][2] = {0};
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < count; c++) own[r][c] = load(x + r * width + c * W);
    for (long j = 0; j < columns; j++)
#pragma GCC unroll 2
        for (int c = 0; c < count; c++) {
            vec other = load(y + j * width + c * W);
            KEEP(other);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) acc[r][c] += slopes[r * CHUNK + j] * (own[r][c] - other);
        }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < count * W; c++) to[r * width + c] += times * acc[r][c / W][c % W];
}

/* Pairs of rows i ... i + ROWS with columns from ... to of another set: Σ k, and slopes where they are wanted.
   only: 0 every pair, 1 those with i ≠ j, 2 those with i < j. */
INLINE double strip(int family, const Points *a, const Points *b, long i, long from, long to, int only, float rate, float *slopes) {
    wide total = {0};
    lanes column;
    for (int c = 0; c < W; c++) column[c] = c;
    for (long j = from; j < to; j += BLOCK) {
        vec D[ROWS][2];
        squares(a->rows + i * a->width, a->width, b->blocks + j * b->d, b->d, D);
        int whole = j + BLOCK <= b->n && i + ROWS <= a->n && (!only || j >= i + ROWS || (only == 1 && j + BLOCK <= i));
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < 2; c++) {
                vec slope, k = similarity(family, D[r][c] * rate, &slope);
                if (!whole) {
                    lanes at = column + (int32_t)(j + c * W), live = (at < (int32_t)b->n) & -(i + r < a->n);
                    if (only) live &= only == 1 ? (lanes)(at != (int32_t)(i + r)) : (lanes)(at > (int32_t)(i + r));
                    k = masked(k, live), slope = masked(slope, live);
                }
                total += __builtin_convertvector(k, wide);
                if (slopes) store(slopes + r * CHUNK + j - from + c * W, slope);
            }
    }
    return sum(total);
}

/* A group of rows of a with all of b: Σ k; times Σ_j -k'_ij (x_i - y_j) added to `pull`, (GROUP, width), where it is wanted. */
INLINE double group(int family, const Points *a, const Points *b, long i, int only, float rate, double times, double *pull) {
    float slopes[ROWS * CHUNK] __attribute__((aligned(64)));
    double total = 0;
    for (long j = only == 2 ? i / BLOCK * BLOCK : 0; j < b->n; j += CHUNK)
        for (long r = i; r < i + GROUP && r < a->n; r += ROWS) {
            long to = j + CHUNK < b->n ? j + CHUNK : b->n, v = 0;
            total += strip(family, a, b, r, j, to, only, rate, pull ? slopes : 0);
            if (!pull) continue;
            const float *x = a->rows + r * a->width, *y = b->rows + j * b->width;
            double *out = pull + (r - i) * a->width;
            for (; v + BLOCK <= a->width; v += BLOCK) pulls(2, x + v, y + v, a->width, slopes, to - j, times, out + v);
            if (v < a->width) pulls(1, x + v, y + v, a->width, slopes, to - j, times, out + v);
        }
    return total;
}

static double group_of(int family, const Points *a, const Points *b, long i, int only, float rate, double times, double *pull) {
    if (family == 0) return group(0, a, b, i, only, rate, times, pull);
    return family == 1 ? group(1, a, b, i, only, rate, times, pull) : group(2, a, b, i, only, rate, times, pull);
}

/* MMD²_U of (n, d) and (m, d) and its gradients, where they are not null. family: imq, imq7, rbf. 1 where there is no memory. */
int mmd(const float *p, const float *q, long n, long m, long d, double C, int family, int threads, float *value, float *to_p, float *to_q) {
    Points sets[2];
    long groups = up(n, GROUP) / GROUP, all = groups + up(m, GROUP) / GROUP;
    int failed = points(&sets[0], p, n, d) | points(&sets[1], q, m, d);
    double *sums = get(sizeof(double) * 2 * all), within = 0, across = 0, counts[2] = {(double)n * (n - 1), (double)m * (m - 1)};
    float *to[2] = {to_p, to_q};
    failed |= !sums;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long g = 0; g < all; g++) {
        if (failed) continue;
        int which = g >= groups;
        const Points *own = &sets[which], *other = &sets[!which];
        long i = (which ? g - groups : g) * GROUP, size = GROUP * own->width;
        double *pull = to[which] ? get(sizeof(double) * size) : 0;
        if (pull) memset(pull, 0, sizeof(double) * size);
        sums[2 * g] = (pull ? 1 : 2) * group_of(family, own, own, i, pull ? 1 : 2, 1 / C, -4 / (C * counts[which]), pull) / counts[which];
        sums[2 * g + 1] = which || pull ? group_of(family, own, other, i, 0, 1 / C, 4 / (C * n * m), pull) : 0;
        for (long r = 0; pull && r < GROUP && i + r < own->n; r++)
            for (long k = 0; k < d; k++) to[which][(i + r) * d + k] = pull[r * own->width + k];
        free(pull);
    }
    for (long g = 0; g < all && !failed; g++) {
        within += sums[2 * g];
        if (g >= groups) across += sums[2 * g + 1];
    }
    *value = n > 1 && m > 1 ? within - 2 * across / ((double)n * m) : NAN;
    for (int s = 0; s < 2; s++) free(sets[s].rows), free(sets[s].blocks);
    free(sums);
    return failed;
}

#define SAMPLES 64 /* of a density that one thread takes at a time */
#define BELOW 60.0f /* nats below the largest term from which all others together do not change a sum */
#define LEAST 1e-20f /* a responsibility that moves no gradient */

typedef struct {
    long count, d;
    int broken; /* by a NaN */
    double reference; /* the largest log w - ½ Σ_k log σ²; what is left below it is small enough for float32 */
    float *blocks, *level; /* (count / BLOCK, d, 2, BLOCK) means and 1/σ, (count,) */
} Mixture;

static int mixture(Mixture *s, const float *mean, const float *log_variance, const float *log_weights, long count, long d, int threads) {
    long padded = up(count, BLOCK);
    double *level = get(sizeof(double) * count);
    *s = (Mixture){count, d, 0, -INFINITY, get(sizeof(float) * padded * d * 2), get(sizeof(float) * padded)};
    if (!level || !s->blocks || !s->level) return free(level), 1;
    int broken = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(| : broken)
    for (long j = 0; j < padded; j += BLOCK) {
        float *block = s->blocks + j * d * 2;
        long live = count - j < BLOCK ? count - j : BLOCK;
        pack(mean + j * d, live, d, BLOCK * 2, block);
        pack(log_variance + j * d, live, d, BLOCK * 2, block + BLOCK);
        for (long c = 0; c < live; c++) {
            double total = log_weights ? log_weights[j + c] : -log(count);
            for (long k = 0; k < d; k++) {
                total -= 0.5 * log_variance[(j + c) * d + k];
                broken |= isnan(mean[(j + c) * d + k]);
            }
            level[j + c] = total;
            broken |= isnan(total);
        }
        for (long k = 0; k < d; k++)
            for (long c = 0; c < BLOCK; c++) block[(2 * k + 1) * BLOCK + c] = expf(-0.5f * block[(2 * k + 1) * BLOCK + c]);
    }
    for (long j = 0; j < count; j++) s->reference = fmax(s->reference, level[j]);
    if (isinf(s->reference)) s->reference = 0;
    for (long j = 0; j < padded; j++) s->level[j] = j < count ? level[j] - s->reference : -INFINITY;
    s->broken = broken;
    free(level);
    return 0;
}

/* log w_j N_j(z_i), above the reference and without the constant, of ROWS samples and a block. */
INLINE void logarithms(const float *z, long width, const float *block, const float *level, long d, vec out[ROWS][2]) {
    vec acc[ROWS][2] = {0};
    for (long k = 0; k < d; k++, block += 2 * BLOCK) {
        vec m = load(block), n = load(block + W), s = load(block + BLOCK), t = load(block + BLOCK + W);
        KEEP(m);
        KEEP(n);
        KEEP(s);
        KEEP(t);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            vec u = (z[r * width + k] - m) * s, v = (z[r * width + k] - n) * t;
            acc[r][0] += u * u;
            acc[r][1] += v * v;
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 2; c++) out[r][c] = load(level + c * W) - 0.5f * acc[r][c];
}

/* One more chunk of logarithms into Σ exp(l - top). */
static void include(const float *logs, long columns, float *top, double *total) {
    vec most = load(logs), part = {0};
    float new = *top;
    for (long c = W; c < columns; c += W) most = larger(load(logs + c), most);
    for (int c = 0; c < W; c++) new = most[c] > new ? most[c] : new;
    int below = 1;
    for (int c = 0; c < W; c++) below &= most[c] < *top - BELOW;
    if (below || new == -INFINITY) return;
    for (long c = 0; c < columns; c += W) part += exponential(load(logs + c) - new);
    *total = *total * exp((double)*top - new) + sum(__builtin_convertvector(part, wide));
    *top = new;
}

/* log q(z) of (n, d) under (count, d) Gaussians. log_weights, top and total may be null; those two, (n,), are for the gradients. */
int density(const float *z, const float *mean, const float *log_variance, const float *log_weights, long n, long count, long d,
            int threads, float *out, float *top, float *total) {
    Mixture s;
    long width = up(d, W);
    float *rows = get(sizeof(float) * up(n, ROWS) * width);
    int failed = mixture(&s, mean, log_variance, log_weights, count, d, threads) | !rows;
    if (!failed) pad(z, n, d, rows);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long i = 0; i < n; i += SAMPLES) {
        float logs[SAMPLES * CHUNK] __attribute__((aligned(64))), tops[SAMPLES];
        double totals[SAMPLES] = {0};
        long live = failed ? 0 : n - i < SAMPLES ? n - i : SAMPLES;
        for (int r = 0; r < SAMPLES; r++) tops[r] = -INFINITY;
        for (long j = 0; j < count; j += CHUNK) {
            long columns = up(count - j < CHUNK ? count - j : CHUNK, BLOCK);
            for (long c = 0; c < columns; c += BLOCK)
                for (long r = 0; r < live; r += ROWS) {
                    vec l[ROWS][2];
                    logarithms(rows + (i + r) * width, width, s.blocks + (j + c) * d * 2, s.level + j + c, d, l);
                    for (int a = 0; a < ROWS; a++)
                        for (int b = 0; b < 2; b++) store(logs + (r + a) * CHUNK + c + b * W, l[a][b]);
                }
            for (long r = 0; r < live; r++) include(logs + r * CHUNK, columns, &tops[r], &totals[r]);
        }
        for (long r = 0; r < live; r++) {
            int broken = s.broken;
            for (long k = 0; k < d; k++) broken |= isnan(z[(i + r) * d + k]);
            out[i + r] = broken ? NAN : tops[r] + (log(totals[r]) + s.reference - 0.5 * d * log(2 * M_PI));
            if (top) top[i + r] = tops[r], total[i + r] = broken ? NAN : totals[r];
        }
    }
    free(rows), free(s.blocks), free(s.level);
    return failed;
}

/* What the passes back share: samples, their upstream gradients over Σ_j exp(l - top), and tops. */
typedef struct {
    long n, width;
    float *rows, *top, *factor;
} Samples;

/* g_i R_ij of ROWS samples and a block; whether any of them moves a gradient. */
INLINE int responsibilities(const Samples *z, const Mixture *s, long i, long j, vec R[ROWS][2]) {
    vec most = {0};
    logarithms(z->rows + i * z->width, z->width, s->blocks + j * s->d * 2, s->level + j, s->d, R);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 2; c++) {
            R[r][c] = exponential(R[r][c] - z->top[i + r]);
            most = larger(R[r][c], most);
            R[r][c] *= z->factor[i + r];
        }
    for (int c = 0; c < W; c++)
        if (!(most[c] < LEAST)) return 1;
    return 0;
}

/* ∂z_i = g_i Σ_j R_ij (μ_j - z_i) / σ_j² of ROWS samples; sums: (d, ROWS, W). */
static void of_samples(const Samples *z, const Mixture *s, long i, vec *sums, float *to) {
    memset(sums, 0, sizeof(vec) * s->d * ROWS);
    for (long j = 0; j < s->count; j += BLOCK) {
        vec R[ROWS][2];
        if (!responsibilities(z, s, i, j, R)) continue;
        const float *block = s->blocks + j * s->d * 2;
        for (long k = 0; k < s->d; k++, block += 2 * BLOCK)
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < 2; c++) {
                    vec scale = load(block + BLOCK + c * W), apart = (load(block + c * W) - z->rows[(i + r) * z->width + k]) * scale;
                    sums[k * ROWS + r] += R[r][c] * (apart * scale);
                }
    }
    for (long r = 0; r < ROWS && i + r < z->n; r++)
        for (long k = 0; k < s->d; k++) to[(i + r) * s->d + k] = sum(__builtin_convertvector(sums[k * ROWS + r], wide));
}

/* Of a block: ∂μ_j = Σ_i g_i R_ij t / σ_j with t = (z_i - μ_j) / σ_j, ∂log σ_j² = ½ Σ_i g_i R_ij (t² - 1), ∂log w_j = Σ_i g_i R_ij;
   sums: (d, 2, 2, W). */
static void of_components(const Samples *z, const Mixture *s, long j, vec *sums, float *to_mean, float *to_log_variance, float *to_weights) {
    vec weights[2] = {0};
    const float *block = s->blocks + j * s->d * 2;
    memset(sums, 0, sizeof(vec) * s->d * 4);
    for (long i = 0; i < z->n; i += ROWS) {
        vec R[ROWS][2];
        if (!responsibilities(z, s, i, j, R)) continue;
        for (int c = 0; c < 2; c++) {
            for (int r = 0; r < ROWS; r++) weights[c] += R[r][c];
            for (long k = 0; k < s->d; k++) {
                vec mean = load(block + 2 * k * BLOCK + c * W), scale = load(block + (2 * k + 1) * BLOCK + c * W);
                vec first = sums[k * 4 + c], second = sums[k * 4 + 2 + c];
                for (int r = 0; r < ROWS; r++) {
                    vec t = (z->rows[(i + r) * z->width + k] - mean) * scale, part = R[r][c] * t;
                    first += part;
                    second += part * t - R[r][c];
                }
                sums[k * 4 + c] = first, sums[k * 4 + 2 + c] = second;
            }
        }
    }
    for (long c = 0; c < BLOCK && j + c < s->count; c++) {
        for (long k = 0; k < s->d; k++) {
            to_mean[(j + c) * s->d + k] = sums[k * 4 + c / W][c % W] * block[(2 * k + 1) * BLOCK + c];
            to_log_variance[(j + c) * s->d + k] = 0.5f * sums[k * 4 + 2 + c / W][c % W];
        }
        to_weights[j + c] = weights[c / W][c % W];
    }
}

/* Gradients of Σ_i upstream_i log q(z_i), with what `density` left in top and total; to_z may be null, and so may the other three. */
int density_gradients(const float *z, const float *mean, const float *log_variance, const float *log_weights, long n, long count, long d,
                      int threads, const float *top, const float *total, const float *upstream, float *to_z, float *to_mean,
                      float *to_log_variance, float *to_weights) {
    Mixture s;
    long padded = up(n, ROWS), width = up(d, W), tasks = to_z ? padded / ROWS : 0, all = tasks + (to_mean ? up(count, BLOCK) / BLOCK : 0);
    Samples x = {n, width, get(sizeof(float) * padded * width), get(sizeof(float) * padded), get(sizeof(float) * padded)};
    vec *sums = get(sizeof(vec) * d * 4 * threads);
    int failed = mixture(&s, mean, log_variance, log_weights, count, d, threads) | !x.rows | !x.top | !x.factor | !sums;
    if (!failed) pad(z, n, d, x.rows);
    for (long i = 0; i < padded && !failed; i++) {
        int live = i < n && top[i] != -INFINITY;
        x.top[i] = live ? top[i] : 0;
        x.factor[i] = i >= n ? 0 : live ? upstream[i] / total[i] : NAN; /* where nothing is, the formula has no gradient either */
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4) if (threads > 1)
    for (long task = 0; task < all; task++) {
        if (failed) continue;
        vec *own = sums + d * 4 * thread();
        if (task < tasks)
            of_samples(&x, &s, task * ROWS, own, to_z);
        else
            of_components(&x, &s, (task - tasks) * BLOCK, own, to_mean, to_log_variance, to_weights);
    }
    free(x.rows), free(x.top), free(x.factor), free(sums), free(s.blocks), free(s.level);
    return failed;
}

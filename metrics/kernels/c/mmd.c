/* MMD²_U in float32, for `metrics/kernels/native.py`. The equations are those of `metrics/kernels/mmd.py` (Tolstikhin et al.,
   arXiv:1711.01558, Algorithm 2). */

#include "lanes.h"

/* Numbers in a vector of this build. */
int vector_width(void) { return W; }

typedef struct {
    long n, d, width;
    float *rows, *blocks; /* (up(n, ROWS), width), (n / BLOCK, d, BLOCK) */
} Points;

static int points(Points *s, const float *x, long n, long d) {
    *s = (Points){n, d, up(d, W), get(sizeof(float) * up(n, ROWS) * up(d, W)), get(sizeof(float) * up(n, BLOCK) * d)};
    if (!s->rows || !s->blocks) return 1;
    pad(x, n, d, s->rows);
    pack(x, n, d, d, BLOCK, s->blocks);
    return 0;
}

/* |x_i - y_j|² of ROWS rows and a block. */
APART void squares(const float *x, long width, const float *block, long d, vec out[ROWS][2]) {
    vec acc[ROWS][2] = {0};
    for (long k = 0; k < d; k++) {
        vec a = load(block + k * BLOCK), b = load(block + k * BLOCK + W);
        KEEP(a);
        KEEP(b);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            vec u = minus(a, x + r * width + k), v = minus(b, x + r * width + k);
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
    if (family == 0) k = reciprocal(1.0f + D), s = k * k;
    if (family == 1)
#pragma GCC unroll 7
        for (int c = 0; c < 7; c++) {
            vec part = reciprocal(scales[c] + D);
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
            for (int r = 0; r < ROWS; r++) acc[r][c] = plus(acc[r][c], own[r][c] - other, slopes + r * CHUNK + j);
        }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < count; c++) *(wide *)(to + r * width + c * W) += times * __builtin_convertvector(acc[r][c], wide);
}

/* Pairs of rows i ... i + ROWS with columns from ... to of another set: Σ k, and slopes where they are wanted.
   only: 0 every pair, 1 those with i ≠ j, 2 those with i < j. */
INLINE double strip(int family, const Points *a, const Points *b, long i, long from, long to, int only, float rate, float *slopes) {
    wide total = {0};
    lanes column;
    for (int c = 0; c < W; c++) column[c] = c;
    for (long j = from; j < to; j += BLOCK) {
        vec D[ROWS][2], part = {0};
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
                part += k;
                if (slopes) store(slopes + r * CHUNK + j - from + c * W, slope);
            }
        total += __builtin_convertvector(part, wide);
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

/* MMD²_U of two sets and its gradients, where they are not null. 1 where there is no memory. */
static int mmd_of(const Points sets[2], double C, int family, int threads, float *value, float *const to[2]) {
    long n = sets[0].n, m = sets[1].n, d = sets[0].d, groups = up(n, GROUP) / GROUP, all = groups + up(m, GROUP) / GROUP;
    double *sums = get(sizeof(double) * 2 * all), total[2] = {0}, counts[2] = {(double)n * (n - 1), (double)m * (m - 1)};
    int failed = !sums;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long g = 0; g < all; g++) {
        if (failed) continue;
        int which = g >= groups;
        const Points *own = &sets[which], *other = &sets[!which];
        long i = (which ? g - groups : g) * GROUP, size = GROUP * own->width;
        double *pull = to[which] ? get(sizeof(double) * size) : 0;
        if (pull) memset(pull, 0, sizeof(double) * size);
        double *found = sums + 2 * g; /* Σ k within a set, and across */
        found[0] = group_of(family, own, own, i, pull ? 1 : 2, 1 / C, -4 / (C * counts[which]), pull);
        found[0] *= (pull ? 1 : 2) / counts[which];
        found[1] = which || pull ? group_of(family, own, other, i, 0, 1 / C, 4 / (C * n * m), pull) : 0;
        for (long r = 0; pull && r < GROUP && i + r < own->n; r++)
            for (long k = 0; k < d; k++) to[which][(i + r) * d + k] = pull[r * own->width + k];
        free(pull);
    }
    for (long g = 0; g < all && !failed; g++)
        for (int c = 0; c < (g < groups ? 1 : 2); c++) total[c] += sums[2 * g + c];
    *value = n > 1 && m > 1 ? total[0] - 2 * total[1] / ((double)n * m) : NAN;
    free(sums);
    return failed;
}

static void release(Points sets[2]) {
    for (int s = 0; s < 2; s++) free(sets[s].rows), free(sets[s].blocks);
}

/* MMD²_U of (n, d) and (m, d) and its gradients, where they are not null; of what is not finite all are NaN, or the distance from a point
   at infinity would be one more that no kernel sees. family: imq, imq7, rbf. 1 where there is no memory. */
int mmd(const float *p, const float *q, long n, long m, long d, double C, int family, int threads, float *value, float *to_p, float *to_q) {
    Points sets[2];
    float *to[2] = {to_p, to_q};
    if (!all_finite(p, n * d) || !all_finite(q, m * d)) return *value = NAN, spoil(to_p, n * d), spoil(to_q, m * d), 0;
    int failed = points(&sets[0], p, n, d) | points(&sets[1], q, m, d);
    failed = failed || mmd_of(sets, C, family, threads, value, to);
    release(sets);
    return failed;
}

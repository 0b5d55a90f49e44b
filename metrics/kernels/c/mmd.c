/* MMD²_U in float32, for `metrics/kernels/native.py`. The equations are those of `metrics/kernels/mmd.py` (Tolstikhin et al.,
   arXiv:1711.01558, Algorithm 2). */

#include "lanes.h"

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

/* Pairs of rows i ... i + ROWS with columns from ... to of another set: Σ k, slopes where they are wanted, and Σ k D is added to the
   moment where it is. only: 0 every pair, 1 those with i ≠ j, 2 those with i < j. */
INLINE double strip(int family, const Points *a, const Points *b, long i, long from, long to, int only, float rate, float *slopes, double *moment) {
    wide total = {0}, first = {0};
    lanes column;
    for (int c = 0; c < W; c++) column[c] = c;
    for (long j = from; j < to; j += BLOCK) {
        vec D[ROWS][2], part = {0}, by_distance = {0};
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
                if (moment) by_distance += k * (D[r][c] * rate);
                if (slopes) store(slopes + r * CHUNK + j - from + c * W, slope);
            }
        total += __builtin_convertvector(part, wide);
        if (moment) first += __builtin_convertvector(by_distance, wide);
    }
    if (moment) *moment += sum(first);
    return sum(total);
}

/* A group of rows of a with all of b: Σ k; times Σ_j -k'_ij (x_i - y_j) added to `pull`, (GROUP, width), where it is wanted. */
INLINE double group(int family, const Points *a, const Points *b, long i, int only, float rate, double times, double *pull, double *moment) {
    float slopes[ROWS * CHUNK] __attribute__((aligned(64)));
    double total = 0;
    for (long j = only == 2 ? i / BLOCK * BLOCK : 0; j < b->n; j += CHUNK)
        for (long r = i; r < i + GROUP && r < a->n; r += ROWS) {
            long to = j + CHUNK < b->n ? j + CHUNK : b->n, v = 0;
            total += strip(family, a, b, r, j, to, only, rate, pull ? slopes : 0, moment);
            if (!pull) continue;
            const float *x = a->rows + r * a->width, *y = b->rows + j * b->width;
            double *out = pull + (r - i) * a->width;
            for (; v + BLOCK <= a->width; v += BLOCK) pulls(2, x + v, y + v, a->width, slopes, to - j, times, out + v);
            if (v < a->width) pulls(1, x + v, y + v, a->width, slopes, to - j, times, out + v);
        }
    return total;
}

static double group_of(int family, const Points *a, const Points *b, long i, int only, float rate, double times, double *pull, double *moment) {
    if (moment) return group(2, a, b, i, only, rate, times, pull, moment);
    if (family == 0) return group(0, a, b, i, only, rate, times, pull, 0);
    return family == 1 ? group(1, a, b, i, only, rate, times, pull, 0) : group(2, a, b, i, only, rate, times, pull, 0);
}

/* MMD²_U of two sets and its gradients, where they are not null; by C only with family rbf. 1 where there is no memory. */
static int mmd_of(const Points sets[2], double C, int family, int threads, float *value, float *const to[2], double *to_C) {
    long n = sets[0].n, m = sets[1].n, d = sets[0].d, groups = up(n, GROUP) / GROUP, all = groups + up(m, GROUP) / GROUP;
    double *sums = get(sizeof(double) * 4 * all), total[4] = {0}, counts[2] = {(double)n * (n - 1), (double)m * (m - 1)};
    int failed = !sums;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long g = 0; g < all; g++) {
        if (failed) continue;
        int which = g >= groups;
        const Points *own = &sets[which], *other = &sets[!which];
        long i = (which ? g - groups : g) * GROUP, size = GROUP * own->width;
        double *pull = to[which] ? get(sizeof(double) * size) : 0;
        if (pull) memset(pull, 0, sizeof(double) * size);
        double *found = sums + 4 * g, *moment = to_C ? found : 0;
        memset(found, 0, sizeof(double) * 4); /* Σ k D and Σ k within a set, Σ k D and Σ k across */
        found[1] = group_of(family, own, own, i, pull ? 1 : 2, 1 / C, -4 / (C * counts[which]), pull, moment);
        for (int c = 0; c < 2; c++) found[c] *= (pull ? 1 : 2) / counts[which];
        if (which || pull) found[3] = group_of(family, own, other, i, 0, 1 / C, 4 / (C * n * m), pull, moment ? moment + 2 : 0);
        for (long r = 0; pull && r < GROUP && i + r < own->n; r++)
            for (long k = 0; k < d; k++) to[which][(i + r) * d + k] = pull[r * own->width + k];
        free(pull);
    }
    for (long g = 0; g < all && !failed; g++)
        for (int c = 0; c < (g < groups ? 2 : 4); c++) total[c] += sums[4 * g + c];
    for (int c = 0; c < 2; c++) total[c] -= 2 * total[c + 2] / ((double)n * m);
    *value = n > 1 && m > 1 ? total[1] : NAN;
    if (to_C) *to_C = total[0] / C;
    free(sums);
    return failed;
}

static void release(Points sets[2]) {
    for (int s = 0; s < 2; s++) free(sets[s].rows), free(sets[s].blocks);
}

/* MMD²_U of (n, d) and (m, d) and its gradients, where they are not null. family: imq, imq7, rbf. 1 where there is no memory. */
int mmd(const float *p, const float *q, long n, long m, long d, double C, int family, int threads, float *value, float *to_p, float *to_q) {
    Points sets[2];
    float *to[2] = {to_p, to_q};
    int failed = points(&sets[0], p, n, d) | points(&sets[1], q, m, d);
    failed = failed || mmd_of(sets, C, family, threads, value, to, 0);
    release(sets);
    return failed;
}

/* Which of some numbers, none below 0, has that rank from the largest, which has 1: by their bits, 11 at a time. */
static long ranked(const float *x, long count, long rank, uint32_t *waiting) {
    long live = count;
    uint32_t known = 0, own;
    memcpy(waiting, x, sizeof(float) * count);
    for (int left = 32; left > 0; left -= 11) {
        int low = left > 11 ? left - 11 : 0;
        uint32_t counts[2048] = {0}, bucket = (1u << (left - low)) - 1, mask = bucket;
        long kept = 0;
        for (long i = 0; i < live; i++) counts[waiting[i] >> low & mask]++;
        while (rank > counts[bucket]) rank -= counts[bucket--];
        for (long i = 0; i < live; i++)
            if ((waiting[i] >> low & mask) == bucket) waiting[kept++] = waiting[i];
        known |= bucket << low, live = kept;
    }
    for (long i = 0; i < count; i++) {
        memcpy(&own, x + i, sizeof own);
        if (own == known) return i;
    }
    return 0;
}

/* |a_i - b_j|² of two sets, (a->n, b->n); of one set those with i < j, one row after the other. */
static void distances(const Points *a, const Points *b, float *out) {
    for (long i = 0; i < a->n; i += ROWS)
        for (long j = a == b ? i / BLOCK * BLOCK : 0; j < b->n; j += BLOCK) {
            vec D[ROWS][2];
            squares(a->rows + i * a->width, a->width, b->blocks + j * b->d, b->d, D);
            for (long r = i; r < i + ROWS && r < a->n; r++) {
                long from = a == b && r >= j ? r + 1 : j, to = j + BLOCK < b->n ? j + BLOCK : b->n;
                float *row = a == b ? out + r * (b->n - 1) - r * (r + 1) / 2 - 1 : out + r * b->n;
                if (from < to) memcpy(row + from, (float *)D[r - i] + (from - j), sizeof(float) * (to - from));
            }
        }
}

/* Adds times ∂|a_i - b_j|² to the gradients of its two points, where those are not null. */
static void pull_apart(const float *a, const float *b, long d, double times, float *to_a, float *to_b) {
    for (long k = 0; k < d; k++) {
        float part = 2 * times * ((double)a[k] - b[k]);
        if (to_a) to_a[k] += part;
        if (to_b) to_b[k] -= part;
    }
}

/* MMD²_U with exp(-|a - b|² / 2s), s the sum of the n(n-1)/2-th largest squared distance of p and q and of that of q and q (SPEC 1.3). */
int mmd_median(const float *p, const float *q, long n, long d, int threads, float *value, float *to_p, float *to_q) {
    Points sets[2];
    long pairs = n * (n - 1) / 2, across, i = 0, j;
    float *to[2] = {to_p, to_q}, *D = get(sizeof(float) * n * n);
    uint32_t *waiting = get(sizeof(float) * n * n);
    double s = 0, slope;
    int failed = points(&sets[0], p, n, d) | points(&sets[1], q, n, d) | !D | !waiting;
    if (!failed && pairs) {
        distances(&sets[0], &sets[1], D);
        across = ranked(D, n * n, pairs, waiting), s += D[across];
        distances(&sets[1], &sets[1], D);
        j = ranked(D, pairs, (pairs + 1) / 2, waiting), s += D[j]; /* each of them is there twice */
        failed = mmd_of(sets, 2 * s, 2, threads, value, to, &slope);
        for (; j >= n - 1 - i; i++) j -= n - 1 - i;
        j += i + 1;
        pull_apart(p + across / n * d, q + across % n * d, d, 2 * slope, to_p ? to_p + across / n * d : 0, to_q ? to_q + across % n * d : 0);
        pull_apart(q + i * d, q + j * d, d, 2 * slope, to_q ? to_q + i * d : 0, to_q ? to_q + j * d : 0);
    } else if (!failed) {
        *value = NAN;
        for (int which = 0; which < 2; which++)
            for (long k = 0; to[which] && k < n * d; k++) to[which][k] = NAN;
    }
    release(sets);
    free(D), free(waiting);
    return failed;
}

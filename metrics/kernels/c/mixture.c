/* log Σ_j w_j N(z; μ_j, diag σ_j²) in float32, for `metrics/kernels/native.py`. The equations are those of
   `metrics/kernels/log_mixture.py` (Tomczak & Welling, arXiv:1705.07120, Eq. 9). */

#include "lanes.h"

#define SAMPLES 256 /* of a density that one thread takes at a time, at most */
#define SOME 12 /* dimensions after which far components are left */
#define ENOUGH 20 /* nats: all components that are left move a density by at most exp(-20) = 2e-9 nats */
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
        pack(mean + j * d, live, d, d, BLOCK * 2, block);
        pack(log_variance + j * d, live, d, d, BLOCK * 2, block + BLOCK);
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

/* Whether all of these squared distances leave logarithms below those of each row. */
INLINE int far(vec acc[ROWS][2], vec level, vec next, const float *least) {
    int all = 1;
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) all &= below(level - least[r] - 0.5f * acc[r][0], 0) & below(next - least[r] - 0.5f * acc[r][1], 0);
    return all;
}

/* log w_j N_j(z_i), above the reference and without the constant, of ROWS samples and a block; 0, and they are not known, where some
   dimensions are enough for all to be below the `least` of their samples. */
INLINE int logarithms(const float *z, long width, const float *block, const float *level, long d, const float *least, vec out[ROWS][2]) {
    vec acc[ROWS][2] = {0}, first = load(level), second = load(level + W);
    for (long from = 0; from < d; from += SOME) {
        if (from && far(acc, first, second, least)) return 0;
        for (long k = from; k < d && k < from + SOME; k++, block += 2 * BLOCK) {
            vec m = load(block), n = load(block + W), s = load(block + BLOCK), t = load(block + BLOCK + W);
            KEEP(m);
            KEEP(n);
            KEEP(s);
            KEEP(t);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                vec u = minus(m, z + r * width + k) * s, v = minus(n, z + r * width + k) * t;
                acc[r][0] += u * u;
                acc[r][1] += v * v;
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) out[r][0] = first - 0.5f * acc[r][0], out[r][1] = second - 0.5f * acc[r][1];
    return 1;
}

/* log q(z) of (n, d) under (count, d) Gaussians. log_weights, top and total may be null; those two, (n,), are for the gradients. */
int density(const float *z, const float *mean, const float *log_variance, const float *log_weights, long n, long count, long d,
            int threads, float *out, float *top, float *total) {
    Mixture s;
    long width = up(d, W);
    float *rows = get(sizeof(float) * up(n, ROWS) * width), margin = log(count) + ENOUGH;
    long share = up(n / threads + 1, ROWS), taken = share < SAMPLES ? share : SAMPLES;
    int failed = mixture(&s, mean, log_variance, log_weights, count, d, threads) | !rows;
    if (!failed) pad(z, n, d, rows);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long i = 0; i < n; i += taken) {
        float logs[SAMPLES * CHUNK] __attribute__((aligned(64))), tops[SAMPLES], least[SAMPLES];
        double totals[SAMPLES] = {0};
        long live = failed ? 0 : n - i < taken ? n - i : taken;
        for (int r = 0; r < SAMPLES; r++) tops[r] = least[r] = -INFINITY;
        for (long j = 0; j < count; j += CHUNK) {
            long columns = up(count - j < CHUNK ? count - j : CHUNK, BLOCK);
            for (long c = 0; c < columns; c += BLOCK)
                for (long r = 0; r < live; r += ROWS) {
                    vec l[ROWS][2], lost = {0};
                    lost -= INFINITY;
                    int near = logarithms(rows + (i + r) * width, width, s.blocks + (j + c) * d * 2, s.level + j + c, d, least + r, l);
                    for (int a = 0; a < ROWS; a++)
                        for (int b = 0; b < 2; b++) store(logs + (r + a) * CHUNK + c + b * W, near ? l[a][b] : lost);
                }
            for (long r = 0; r < live; r++) include(logs + r * CHUNK, columns, &tops[r], &totals[r]), least[r] = tops[r] - margin;
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
    float least[ROWS];
    for (int r = 0; r < ROWS; r++) least[r] = z->top[i + r] - BELOW;
    if (!logarithms(z->rows + i * z->width, z->width, s->blocks + j * s->d * 2, s->level + j, s->d, least, R)) return 0;
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

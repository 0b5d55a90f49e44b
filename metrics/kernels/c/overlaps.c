/* KL_UB of a batch's mixture in float32, for `metrics/kernels/native.py`. The equations are those of `metrics/kernels/overlaps.py`
   (Lin et al., arXiv:1902.06160, Eq. 20-24), and so are the units: in each dimension a power of two of its largest variance. With
   s = σ_i² + σ_j² and δ = μ_i - μ_j, up to 8 dimensions share one quotient, Σ δ²/s = N/P with P = Π s, and all share one logarithm. */

#include "lanes.h"

#define FACTORS 8
#define AT_ONCE 4 /* dimensions whose gradients are summed in registers, of two posteriors */
#define SPREAD 40.0 /* nats between the variances of a dimension, */
#define REACH 1e15 /* a mean in deviations of the largest variance, */
#define DEPTH 80.0 /* and nats below 1 of a product, that float32 can hold */

typedef struct {
    const float *mean, *log_variance; /* (m, d) as they came */
    long m, d, width; /* (width, a multiple of FACTORS, adds dimensions that say nothing) */
    int factors; /* of a product; 0 where float32 cannot hold the variances or means */
    int middle; /* what is taken off the exponents of Π s, so that logarithms are small */
    float *rows, *blocks; /* (up(m, ROWS), 2, width), (m / BLOCK, width, 2, BLOCK): means and variances in units */
    double *scale, *shift; /* (d,): in units, a mean is mean times scale and a log variance log σ² + shift */
} Posteriors;

/* Largest and smallest log σ² and largest |μ| of each dimension, and with them the units. */
static void choose_units(Posteriors *s) {
    double spread = 0, reach = 0;
    for (long k = 0; k < s->d; k++) {
        double most = -INFINITY, least = INFINITY, far = 0;
        for (long i = 0; i < s->m; i++) {
            double v = s->log_variance[i * s->d + k], far_out = fabs(s->mean[i * s->d + k]);
            most = fmax(most, v), least = fmin(least, v), far = fmax(far, far_out);
        }
        double power = -ceil((most / M_LN2 + 1) / 2);
        s->scale[k] = exp2(power), s->shift[k] = 2 * M_LN2 * power;
        spread = fmax(spread, most - least), reach = fmax(reach, far * s->scale[k]);
    }
    if (spread > SPREAD || !(reach <= REACH)) return;
    for (s->factors = FACTORS; s->factors * (spread + 3 * M_LN2) > DEPTH && s->factors > 1;) s->factors /= 2;
}

static int posteriors(Posteriors *s, const float *mean, const float *log_variance, long m, long d) {
    long width = up(d, FACTORS), stride = 2 * width;
    double bits = 0;
    *s = (Posteriors){mean, log_variance, m, d, width, 0, 0, get(sizeof(float) * up(m, ROWS) * stride), get(sizeof(float) * up(m, BLOCK) * stride),
                      get(sizeof(double) * 2 * d), 0};
    if (!s->rows || !s->blocks || !s->scale) return 1;
    s->shift = s->scale + d;
    choose_units(s);
    for (long i = 0; i < up(m, ROWS) && s->factors; i++)
        for (long k = 0; k < width; k++) {
            int live = i < m && k < d;
            s->rows[i * stride + k] = live ? mean[i * d + k] * s->scale[k] : 0;
            s->rows[i * stride + width + k] = live ? exp(log_variance[i * d + k] + s->shift[k]) : 0.5;
            bits += live ? (log_variance[i * d + k] + s->shift[k]) / M_LN2 + 1 : 0;
        }
    s->middle = lrint(bits / m);
    for (int part = 0; part < 2 && s->factors; part++) pack(s->rows + part * width, m, width, stride, 2 * BLOCK, s->blocks + part * BLOCK);
    return 0;
}

/* N and P of ROWS posteriors and a block, over some dimensions: N/P becomes Σ δ²/s, P is multiplied by Π s. */
APART void products(const float *rows, long width, const float *block, long dimensions, vec N[ROWS][2], vec P[ROWS][2]) {
    vec n[ROWS][2] = {0}, p[ROWS][2];
    memcpy(p, P, sizeof p);
    for (long k = 0; k < dimensions; k++, block += 2 * BLOCK)
#pragma GCC unroll 2
        for (int c = 0; c < 2; c++) {
            vec mean = load(block + c * W), variance = load(block + BLOCK + c * W);
            KEEP(mean);
            KEEP(variance);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                vec apart = minus(mean, rows + r * 2 * width + k), s = variance + rows[r * 2 * width + width + k];
                n[r][c] = n[r][c] * s + apart * apart * p[r][c];
                p[r][c] *= s;
            }
        }
    memcpy(N, n, sizeof n);
    memcpy(P, p, sizeof p);
}

/* L_ij of ROWS posteriors and a block, above its constants; -inf where the block has no posterior. */
INLINE void log_overlaps(const Posteriors *s, long i, long j, vec L[ROWS][2]) {
    vec P[ROWS][2], N[ROWS][2], quotients[ROWS][2] = {0};
    lanes exponents[ROWS][2], column;
    for (int c = 0; c < W; c++) column[c] = j + c;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 2; c++) P[r][c] = (vec){0} + 1.0f, exponents[r][c] = (lanes){0} - s->middle;
    for (long k = 0; k < s->width; k += s->factors) {
        products(s->rows + i * 2 * s->width + k, s->width, s->blocks + (j * s->width + k * BLOCK) * 2, s->factors, N, P);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < 2; c++) {
                quotients[r][c] += N[r][c] / P[r][c];
                exponents[r][c] += ((lanes)P[r][c] >> 23) - 127;
                P[r][c] = (vec)(((lanes)P[r][c] & 0x7fffff) | 0x3f800000);
            }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 2; c++) {
            vec log_s = __builtin_convertvector(exponents[r][c], vec) * 0.69314718056f + logarithm(P[r][c]);
            lanes live = column + c * W < (int32_t)s->m;
            L[r][c] = (vec)(((lanes)(-0.5f * (quotients[r][c] + log_s)) & live) | ((lanes)((vec){0} - INFINITY) & ~live));
        }
}

/* log Σ_j exp L_ij of a group.   -> (GROUP,) */
static void log_mixtures(const Posteriors *s, long i, float *out) {
    float logs[GROUP * CHUNK] __attribute__((aligned(64))), tops[GROUP];
    double totals[GROUP] = {0};
    for (int r = 0; r < GROUP; r++) tops[r] = -INFINITY;
    for (long j = 0; j < s->m; j += CHUNK) {
        long columns = s->m - j < CHUNK ? up(s->m - j, BLOCK) : CHUNK;
        for (long r = 0; r < GROUP && i + r < s->m; r += ROWS)
            for (long c = 0; c < columns; c += BLOCK) {
                vec L[ROWS][2];
                log_overlaps(s, i + r, j + c, L);
                for (int a = 0; a < ROWS; a++)
                    for (int b = 0; b < 2; b++) store(logs + (r + a) * CHUNK + c + b * W, L[a][b]);
            }
        for (long r = 0; r < GROUP && i + r < s->m; r++) include(logs + r * CHUNK, columns, &tops[r], &totals[r]);
    }
    for (long r = 0; r < GROUP && i + r < s->m; r++) out[i + r] = tops[r] + log(totals[r]);
}

/* Σ_j Q δ/s and Σ_j Q (δ²/s² - 1/s) of two posteriors and some columns, in AT_ONCE dimensions, added to (2, width) each. */
INLINE void pulls(const Posteriors *s, const float *rows, const float *block, const float *Q, long columns, int shared, double *to) {
    vec first[2][AT_ONCE] = {0}, second[2][AT_ONCE] = {0};
    long stride = 2 * s->width;
    for (long j = 0; j < columns; j += W) {
        const float *at = block + j / BLOCK * BLOCK * stride + j % BLOCK;
#pragma GCC unroll 2
        for (int r = 0; r < 2; r++) {
            vec q = load(Q + r * CHUNK + j), sums[AT_ONCE], over[AT_ONCE];
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; k++) sums[k] = load(at + k * 2 * BLOCK + BLOCK) + rows[r * stride + s->width + k];
            if (shared) { /* one quotient for all */
                vec low = sums[0] * sums[1], high = sums[2] * sums[3], all = 1.0f / (low * high);
                vec of_low = all * high, of_high = all * low;
                over[0] = of_low * sums[1], over[1] = of_low * sums[0], over[2] = of_high * sums[3], over[3] = of_high * sums[2];
            } else
                for (int k = 0; k < AT_ONCE; k++) over[k] = 1.0f / sums[k];
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; k++) {
                vec apart = (rows[r * stride + k] - load(at + k * 2 * BLOCK)) * over[k], pull = q * apart;
                first[r][k] += pull;
                second[r][k] += pull * apart - q * over[k];
            }
        }
    }
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < AT_ONCE; k++) {
            to[r * stride + k] += sum(__builtin_convertvector(first[r][k], wide));
            to[r * stride + s->width + k] += sum(__builtin_convertvector(second[r][k], wide));
        }
}

/* Gradients of a group, by what `log_mixtures` left; sums: (GROUP, 2, width). */
static void group(const Posteriors *s, long i, const float *mixtures, double *sums, float *to_mean, float *to_log_variance) {
    float Q[ROWS * CHUNK] __attribute__((aligned(64)));
    long stride = 2 * s->width;
    memset(sums, 0, sizeof(double) * GROUP * stride);
    for (long j = 0; j < s->m; j += CHUNK)
        for (long r = i; r < i + GROUP && r < s->m; r += ROWS) {
            long columns = s->m - j < CHUNK ? up(s->m - j, BLOCK) : CHUNK;
            for (long c = 0; c < columns; c += BLOCK) {
                vec L[ROWS][2];
                log_overlaps(s, r, j + c, L);
                for (int a = 0; a < ROWS; a++)
                    for (int b = 0; b < 2; b++)
                        store(Q + a * CHUNK + c + b * W, exponential(L[a][b] - mixtures[r + a]) + exponential(L[a][b] - load(mixtures + j + c + b * W)));
            }
            for (int a = 0; a < ROWS; a += 2)
                for (long k = 0; k < s->width; k += AT_ONCE) {
                    const float *own = s->rows + (r + a) * stride + k, *others = s->blocks + j * stride + k * 2 * BLOCK;
                    double *to = sums + (r + a - i) * stride + k;
                    if (s->factors >= AT_ONCE)
                        pulls(s, own, others, Q + a * CHUNK, columns, 1, to);
                    else
                        pulls(s, own, others, Q + a * CHUNK, columns, 0, to);
                }
        }
    for (long r = 0; r < GROUP && i + r < s->m; r++)
        for (long k = 0; k < s->d; k++) {
            double variance = s->rows[(i + r) * stride + s->width + k], *own = sums + r * stride + k;
            long at = (i + r) * s->d + k;
            to_mean[at] = (s->mean[at] - own[0] * s->scale[k]) / s->m;
            to_log_variance[at] = 0.5 * variance * (own[s->width] + 1 / (s->scale[k] * s->scale[k])) / s->m;
        }
}

/* Where float32 cannot hold them: logarithms in float64, one pair after the other. */
typedef struct {
    double log_s, apart; /* log (σ_i² + σ_j²), δ/√s */
} Pair;

static Pair pair(const Posteriors *s, long i, long j, long k) {
    double a = s->log_variance[i * s->d + k], b = s->log_variance[j * s->d + k], log_s = fmax(a, b) + log1p(exp(-fabs(a - b)));
    double apart = ((double)s->mean[i * s->d + k] - s->mean[j * s->d + k]) * exp(-0.5 * log_s);
    return (Pair){log_s, apart > REACH ? REACH : apart < -REACH ? -REACH : apart};
}

static double wide_log_overlap(const Posteriors *s, long i, long j) {
    double total = 0;
    for (long k = 0; k < s->d; k++) {
        Pair of = pair(s, i, j, k);
        total += of.apart * of.apart + of.log_s;
    }
    return -0.5 * total;
}

static double wide_log_mixture(const Posteriors *s, long i) {
    double top = -INFINITY, total = 0;
    for (long j = 0; j < s->m; j++) {
        double L = wide_log_overlap(s, i, j), most = L > top ? L : top; /* a NaN stays one in the sum */
        total = total * exp(top - most) + exp(L - most);
        top = most;
    }
    return top + log(total);
}

static void wide_gradients(const Posteriors *s, long i, const double *mixtures, double *sums, float *to_mean, float *to_log_variance) {
    memset(sums, 0, sizeof(double) * 2 * s->d);
    for (long j = 0; j < s->m; j++) {
        double L = wide_log_overlap(s, i, j), Q = exp(L - mixtures[i]) + exp(L - mixtures[j]);
        for (long k = 0; k < s->d && Q != 0; k++) {
            Pair of = pair(s, i, j, k);
            sums[k] += Q * of.apart * exp(-0.5 * of.log_s);
            sums[s->d + k] += Q * (of.apart * of.apart - 1) * exp(s->log_variance[i * s->d + k] - of.log_s);
        }
    }
    for (long k = 0; k < s->d; k++) {
        long at = i * s->d + k;
        to_mean[at] = (s->mean[at] - sums[k]) / s->m;
        to_log_variance[at] = 0.5 * (sums[s->d + k] + exp(s->log_variance[at])) / s->m;
    }
}

/* KL_UB of (m, d) posteriors and its gradients, where they are not null; all are NaN of what is not finite. 1 where there is no memory. */
int bound(const float *mean, const float *log_variance, long m, long d, int threads, float *value, float *to_mean, float *to_log_variance) {
    Posteriors s;
    if (!all_finite(mean, m * d) || !all_finite(log_variance, m * d)) return *value = NAN, spoil(to_mean, m * d), spoil(to_log_variance, m * d), 0;
    int failed = posteriors(&s, mean, log_variance, m, d);
    long step = s.factors ? GROUP : 1;
    float *narrow = get(sizeof(float) * up(m, CHUNK));
    double *mixtures = get(sizeof(double) * m), *sums = get(sizeof(double) * GROUP * 2 * s.width * threads), total = 0;
    failed |= !narrow || !mixtures || !sums;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long i = 0; i < m; i += step) {
        if (failed) continue;
        if (s.factors)
            log_mixtures(&s, i, narrow);
        else
            mixtures[i] = wide_log_mixture(&s, i);
    }
    for (long j = m; j < up(m, CHUNK) && !failed; j++) narrow[j] = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (long i = 0; i < (to_mean ? m : 0); i += step) {
        if (failed) continue;
        double *own = sums + GROUP * 2 * s.width * thread();
        if (s.factors)
            group(&s, i, narrow, own, to_mean, to_log_variance);
        else
            wide_gradients(&s, i, mixtures, own, to_mean, to_log_variance);
    }
    for (long i = 0; i < m && !failed; i++) {
        total += s.factors ? narrow[i] : mixtures[i];
        for (long k = 0; k < d; k++) {
            double variance = s.factors ? s.rows[(2 * i + 1) * s.width + k] / (s.scale[k] * s.scale[k]) : exp(log_variance[i * d + k]);
            total += 0.5 * ((double)mean[i * d + k] * mean[i * d + k] + variance);
        }
    }
    total = total / m - log(m); /* log 2π of overlaps and of the cross-entropy cancel */
    if (s.factors)
        for (long k = 0; k < d; k++) total += 0.5 * s.shift[k];
    *value = total - (s.factors ? 0.5 * M_LN2 * s.middle : 0);
    free(s.rows), free(s.blocks), free(s.scale), free(narrow), free(mixtures), free(sums);
    return failed;
}

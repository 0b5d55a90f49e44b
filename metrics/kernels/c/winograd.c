/* Convolutions of stride 1 with fewer products, in float32, channels last, for `metrics/features/winograd.py` (Lavin and Gray,
   arXiv:1509.09308, section 4, with the points 0, 1, -1, 2, -2 and infinity): 4 x 4 results with 3 x 3 taps, 2 x 2 with 5 x 5.

   A thread takes some tiles, transforms them, multiplies and transforms back while they are in the second or third cache. */

#include "lanes.h"

#define POINTS 6 /* a side of a tile, of the image and of what is multiplied */
#define ALL (POINTS * POINTS)
#define COLUMNS 32 /* channels of the result that are summed at a time, as `winograd.py` packs weights */
#define TALL (W == 16 ? 12 : 2) /* tiles that are */
#define HELD (1 << 18) /* numbers of transforms that wait, of a thread */

typedef struct {
    long h, w, c, k; /* images (n, h, w, c) to (n, high, broad, k) */
    long high, broad, padding;
    long side, down, across; /* of a tile's results, and tiles in an image */
} Shape;

/* Bᵀ of six numbers. */
INLINE void spread(const vec x[POINTS], vec y[POINTS]) {
    vec even = x[4] - 4.0f * x[2], odd = x[3] - 4.0f * x[1], near = x[4] - x[2], far = 2.0f * (x[3] - x[1]);
    y[0] = 4.0f * x[0] + (x[4] - 5.0f * x[2]);
    y[1] = even + odd, y[2] = even - odd, y[3] = near + far, y[4] = near - far;
    y[5] = 4.0f * x[1] + (x[5] - 5.0f * x[3]);
}

/* Aᵀ of six numbers, to 4 or 2. */
INLINE void gather(int side, const vec x[POINTS], vec *y) {
    vec plus1 = x[1] + x[2], minus1 = x[1] - x[2], plus2 = x[3] + x[4], minus2 = x[3] - x[4];
    y[0] = x[0] + plus1 + plus2;
    y[1] = minus1 + 2.0f * minus2;
    if (side == 2) y[1] += x[5];
    if (side == 4) y[2] = plus1 + 4.0f * plus2, y[3] = minus1 + 8.0f * minus2 + x[5];
}

/* Tiles of images, transformed: (ALL, count, c). */
static void transform(const Shape *s, const float *x, const float *zeros, long from, long count, float *out) {
    for (long t = 0; t < count; t++) {
        long at = from + t, row = at / s->across % s->down * s->side - s->padding, column = at % s->across * s->side - s->padding;
        const float *image = x + at / (s->down * s->across) * s->h * s->w * s->c, *pixels[POINTS][POINTS];
        for (long i = 0; i < POINTS; i++)
            for (long j = 0; j < POINTS; j++) {
                int inside = row + i >= 0 && row + i < s->h && column + j >= 0 && column + j < s->w;
                pixels[i][j] = inside ? image + ((row + i) * s->w + column + j) * s->c : zeros;
            }
        for (long c = 0; c < s->c; c += W) {
            vec in[POINTS], half[POINTS][POINTS], y[POINTS];
            for (int j = 0; j < POINTS; j++) {
                for (int i = 0; i < POINTS; i++) in[i] = load_any(pixels[i][j] + c);
                spread(in, y);
                for (int i = 0; i < POINTS; i++) half[i][j] = y[i];
            }
            for (int i = 0; i < POINTS; i++) {
                spread(half[i], y);
                for (int j = 0; j < POINTS; j++) store(out + ((i * POINTS + j) * count + t) * s->c + c, y[j]);
            }
        }
    }
}

/* (rows, c) times (c, COLUMNS) to rows `pitch` numbers apart. All loops over registers are unrolled, or sums would be in memory. */
INLINE void times(int rows, const float *a, const float *b, long c, float *out, long pitch) {
    vec acc[TALL][COLUMNS / W] = {0}, own[COLUMNS / W];
    for (long k = 0; k < c; k++) {
#pragma GCC unroll 8
        for (int v = 0; v < COLUMNS / W; v++) {
            own[v] = load_any(b + k * COLUMNS + v * W);
            KEEP(own[v]);
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int v = 0; v < COLUMNS / W; v++) acc[r][v] = plus(acc[r][v], own[v], a + r * c + k);
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < COLUMNS / W; v++) store(out + r * pitch + v * W, acc[r][v]);
}

APART void times_tall(const float *a, const float *b, long c, float *out, long pitch) { times(TALL, a, b, c, out, pitch); }

/* (ALL, count, c) times (ALL, k / COLUMNS, c, COLUMNS) to (ALL, count, k). */
static void multiply(const Shape *s, const float *tiles, const float *weights, long count, float *out) {
    for (long p = 0; p < ALL; p++)
        for (long k = 0; k < s->k; k += COLUMNS) {
            const float *a = tiles + p * count * s->c, *b = weights + (p * s->k + k) * s->c;
            float *to = out + p * count * s->k + k;
            long t = 0;
            for (; t + TALL <= count; t += TALL) times_tall(a + t * s->c, b, s->c, to + t * s->k, s->k);
            for (; t < count; t++) times(1, a + t * s->c, b, s->c, to + t * s->k, s->k);
        }
}

/* (ALL, count, k) to the images. */
INLINE void back(int side, const Shape *s, const float *found, const float *bias, long from, long count, float *out) {
    for (long t = 0; t < count; t++) {
        long at = from + t, row = at / s->across % s->down * side, column = at % s->across * side;
        float *image = out + at / (s->down * s->across) * s->high * s->broad * s->k;
        for (long k = 0; k < s->k; k += W) {
            vec in[POINTS], half[4][POINTS], y[4], offset = load_any(bias + k);
            for (int j = 0; j < POINTS; j++) {
                for (int i = 0; i < POINTS; i++) in[i] = load(found + ((i * POINTS + j) * count + t) * s->k + k);
                gather(side, in, y);
                for (int i = 0; i < side; i++) half[i][j] = y[i];
            }
            for (int i = 0; i < side && row + i < s->high; i++) {
                gather(side, half[i], y);
                for (int j = 0; j < side && column + j < s->broad; j++)
                    store(image + ((row + i) * s->broad + column + j) * s->k + k, y[j] + offset);
            }
        }
    }
}

/* (n, h, w, c), (ALL, k / COLUMNS, c, COLUMNS) and (k) to (n, high, broad, k); c a multiple of W, k one of COLUMNS, taps 3 or 5; `out`
   at a multiple of 64 bytes. 1 where there is no memory. */
int winograd(const float *x, const float *weights, const float *bias, long n, long h, long w, long c, long k, long taps, long padding, int threads, float *out) {
    long side = POINTS + 1 - taps, high = h + 2 * padding - taps + 1, broad = w + 2 * padding - taps + 1;
    Shape s = {h, w, c, k, high, broad, padding, side, up(high, side) / side, up(broad, side) / side};
    long tiles = n * s.down * s.across, most = HELD / (ALL * (c + k)) / TALL * TALL;
    int failed = 0;
    if (most > up(tiles / threads + 1, TALL)) most = up(tiles / threads + 1, TALL);
    if (most < TALL) most = TALL;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *in = get(sizeof(float) * ALL * most * c), *found = get(sizeof(float) * ALL * most * k), *zeros = get(sizeof(float) * c);
        if (zeros) memset(zeros, 0, sizeof(float) * c);
#pragma omp for schedule(dynamic)
        for (long from = 0; from < tiles; from += most) {
            long count = from + most < tiles ? most : tiles - from;
            if (!in || !found || !zeros) {
#pragma omp atomic write
                failed = 1;
                continue;
            }
            transform(&s, x, zeros, from, count, in);
            multiply(&s, in, weights, count, found);
            if (side == 4) back(4, &s, found, bias, from, count, out);
            else back(2, &s, found, bias, from, count, out);
        }
        free(in), free(found), free(zeros);
    }
    return failed;
}

/* The elementwise parts of the edge block, `Loops` of miad/model/edges.py, on a processor: each in one pass over memory,
 * all sums in float. edge_loops.py compiles them on first use, with -DHALF for bfloat16; the shapes are with `Loops`.
 * Tensors are row-major; no sum crosses threads, so that results do not depend on their number.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 128 /* channels at a time: their sums stay in the first-level cache */

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#ifdef HALF
typedef uint16_t real; /* bfloat16 is the upper half of a float, rounded to even */
static inline float get(real x) { return float_of((uint32_t)x << 16); }
static inline uint32_t round_up(float x) { return bits_of(x) + 0x7fff + ((bits_of(x) >> 16) & 1); }
static inline real put(float x) { return (real)(round_up(x) >> 16); }
static inline float rounded(float x) { return float_of(round_up(x) & 0xffff0000u); }
#else
typedef float real;
static inline float get(real x) { return x; }
static inline real put(float x) { return x; }
static inline float rounded(float x) { return x; }
#endif

/* 1 / (1 + exp(-x)) without a call, so that the loops around it become vector code. 2^y with y = n + r, |r| <= 1/2, is
 * n added to the exponent of a polynomial in r (coefficients of Cephes' exp2f, relative error 2e-7). */
static inline float sigmoid(float x) {
    float y = fminf(fmaxf(x * -1.44269504f, -126.0f), 126.0f);
    float shifted = y + 12582912.0f; /* 1.5 * 2^23: its last bits are y rounded to a whole number */
    float r = y - (shifted - 12582912.0f);
    float p = 1.535336188e-4f;
    p = p * r + 1.339887440e-3f;
    p = p * r + 9.618437357e-3f;
    p = p * r + 5.550332548e-2f;
    p = p * r + 2.402264791e-1f;
    p = p * r + 6.931472028e-1f;
    p = p * r + 1.0f;
    return 1.0f / (1.0f + p * float_of((bits_of(shifted) - 0x4b400000 + 127) << 23));
}

static inline float silu(float x) { return x * sigmoid(x); }

static inline float slope(float x) { /* of SiLU */
    float s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}

/* Place of the unordered pair i < j in the order of torch.triu_indices. */
static inline ptrdiff_t pair(ptrdiff_t i, ptrdiff_t j, ptrdiff_t atoms) {
    return i * (2 * atoms - i - 1) / 2 + j - i - 1;
}

void first(real *restrict u, real *restrict a, const real *restrict receiver, const real *restrict sender,
           const real *restrict even, const real *restrict odd, const real *restrict alone, ptrdiff_t crystals,
           ptrdiff_t atoms, ptrdiff_t hidden) {
#pragma omp parallel for schedule(static)
    for (ptrdiff_t row = 0; row < crystals * atoms; row++) {
        ptrdiff_t c = row / atoms, i = row % atoms, pairs = atoms * (atoms - 1) / 2;
        const real *r = receiver + row * hidden;
        for (ptrdiff_t j = 0; j < atoms; j++) {
            ptrdiff_t edge = (row * atoms + j) * hidden;
            ptrdiff_t p = (c * pairs + (i < j ? pair(i, j, atoms) : pair(j, i, atoms))) * hidden;
            const real *s = sender + (c * atoms + j) * hidden;
            const real *e = i == j ? alone : even + p, *o = i == j ? alone : odd + p;
            float sign = i == j ? 0.0f : i < j ? 1.0f : -1.0f;
#pragma omp simd
            for (ptrdiff_t k = 0; k < hidden; k++) {
                float x = rounded(get(r[k]) + get(s[k]) + (get(e[k]) + sign * get(o[k])));
                if (u) u[edge + k] = put(x); /* without a backward pass nobody asks for it */
                a[edge + k] = put(silu(x));
            }
        }
    }
}

void second(real *restrict mean, const real *restrict v, const real *restrict bias, const float *restrict share,
            ptrdiff_t crystals, ptrdiff_t atoms, ptrdiff_t hidden) {
#pragma omp parallel for schedule(static)
    for (ptrdiff_t row = 0; row < crystals * atoms; row++)
        for (ptrdiff_t start = 0; start < hidden; start += BLOCK) {
            ptrdiff_t width = hidden - start < BLOCK ? hidden - start : BLOCK;
            float sum[BLOCK] = {0};
            for (ptrdiff_t j = 0; j < atoms; j++) {
                const real *x = v + (row * atoms + j) * hidden + start;
                float weight = share[row / atoms * atoms + j];
#pragma omp simd
                for (ptrdiff_t k = 0; k < width; k++) sum[k] += weight * silu(get(x[k]) + get(bias[start + k]));
            }
            for (ptrdiff_t k = 0; k < width; k++) mean[row * hidden + start + k] = put(sum[k]);
        }
}

void second_backward(real *restrict d_v, real *restrict a, float *restrict d_bias, const real *restrict grad,
                     const real *restrict u, const real *restrict v, const real *restrict bias,
                     const float *restrict share, ptrdiff_t crystals, ptrdiff_t atoms, ptrdiff_t hidden) {
#pragma omp parallel for schedule(static)
    for (ptrdiff_t row = 0; row < crystals * atoms; row++) {
        const real *g = grad + row * hidden;
        float *total = d_bias + row * hidden;
        memset(total, 0, hidden * sizeof(float));
        for (ptrdiff_t j = 0; j < atoms; j++) {
            ptrdiff_t edge = (row * atoms + j) * hidden;
            float weight = share[row / atoms * atoms + j];
#pragma omp simd
            for (ptrdiff_t k = 0; k < hidden; k++) {
                float d = weight * get(g[k]) * slope(get(v[edge + k]) + get(bias[k]));
                total[k] += d;
                d_v[edge + k] = put(d);
                a[edge + k] = put(silu(get(u[edge + k])));
            }
        }
    }
}

void first_backward(real *restrict receiver, real *restrict sender, real *restrict even, real *restrict odd,
                    float *restrict alone, const real *restrict d_a, const real *restrict u, ptrdiff_t crystals,
                    ptrdiff_t atoms, ptrdiff_t hidden) {
    ptrdiff_t pairs = atoms * (atoms - 1) / 2, blocks = (hidden + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (ptrdiff_t task = 0; task < crystals * blocks; task++) {
        ptrdiff_t c = task / blocks, start = task % blocks * BLOCK;
        ptrdiff_t width = hidden - start < BLOCK ? hidden - start : BLOCK;
        float to[atoms][BLOCK], from[atoms][BLOCK], itself[BLOCK] = {0};
        memset(to, 0, sizeof to);
        memset(from, 0, sizeof from);
        for (ptrdiff_t i = 0; i < atoms; i++) {
            const ptrdiff_t ii = ((c * atoms + i) * atoms + i) * hidden + start;
#pragma omp simd
            for (ptrdiff_t k = 0; k < width; k++) {
                float d = get(d_a[ii + k]) * slope(get(u[ii + k]));
                to[i][k] += d;
                from[i][k] += d;
                itself[k] += d;
            }
            for (ptrdiff_t j = i + 1; j < atoms; j++) {
                ptrdiff_t ij = ((c * atoms + i) * atoms + j) * hidden + start;
                ptrdiff_t ji = ((c * atoms + j) * atoms + i) * hidden + start;
                ptrdiff_t p = (c * pairs + pair(i, j, atoms)) * hidden + start;
#pragma omp simd
                for (ptrdiff_t k = 0; k < width; k++) {
                    float there = get(d_a[ij + k]) * slope(get(u[ij + k]));
                    float back = get(d_a[ji + k]) * slope(get(u[ji + k]));
                    to[i][k] += there;
                    from[j][k] += there;
                    to[j][k] += back;
                    from[i][k] += back;
                    even[p + k] = put(there + back);
                    odd[p + k] = put(there - back);
                }
            }
        }
        for (ptrdiff_t i = 0; i < atoms; i++)
            for (ptrdiff_t k = 0; k < width; k++) {
                receiver[(c * atoms + i) * hidden + start + k] = put(to[i][k]);
                sender[(c * atoms + i) * hidden + start + k] = put(from[i][k]);
            }
        memcpy(alone + c * hidden + start, itself, width * sizeof(float));
    }
}

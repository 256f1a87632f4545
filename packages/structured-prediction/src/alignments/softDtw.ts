import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkPositive, checkShape, defineLoss, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** Options of `softDtwLoss` beside those of every loss. */
export interface SoftDtwOptions extends LossOptions {
  /** How soft the minimum is; near 0 it is dynamic time warping. Default 1. */
  readonly gamma?: number;
  /** Cells farther than this from the diagonal are left out (Sakoe and Chiba). Default: none. */
  readonly band?: number;
  /** false: the plain value, which is below 0 for equal series and no divergence. Default true. */
  readonly divergence?: boolean;
}

/** The soft minimum over warpings of sum of |x_i - y_j|^2, with its expected path. */
function softDtw(x: Float64Array, y: Float64Array, n: number, m: number, F: number, gamma: number, band: number): { readonly value: number; readonly path: Float64Array } {
  const cost = new Float64Array(n * m), R = new Float64Array((n + 2) * (m + 2)).fill(Infinity), W = m + 2, near = (i: number, j: number): boolean => Math.abs(i * (m - 1) - j * (n - 1)) <= band * Math.max(n - 1, m - 1, 1);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) for (let f = 0; f < F; f++) cost[i * m + j] += (x[i * F + f] - y[j * F + f]) ** 2;
  R[0] = 0;
  const softMin = (a: number, b: number, c: number): number => {
    const least = Math.min(a, b, c);
    return least === Infinity ? least : least - gamma * log(exp((least - a) / gamma) + exp((least - b) / gamma) + exp((least - c) / gamma));
  };
  for (let i = 1; i <= n; i++) for (let j = 1; j <= m; j++) if (near(i - 1, j - 1)) R[i * W + j] = cost[(i - 1) * m + j - 1] + softMin(R[(i - 1) * W + j], R[i * W + j - 1], R[(i - 1) * W + j - 1]);
  const value = R[n * W + m], path = new Float64Array((n + 2) * (m + 2));
  if (value === Infinity) return { value, path: new Float64Array(n * m) };
  path[n * W + m] = 1;
  // A cell's share is that of its followers times how much of their minimum it is.
  const part = (i: number, j: number, k: number, l: number): number => (path[k * W + l] === 0 ? 0 : path[k * W + l] * exp((R[k * W + l] - cost[(k - 1) * m + l - 1] - R[i * W + j]) / gamma));
  for (let i = n; i >= 1; i--) for (let j = m; j >= 1; j--) {
    if ((i === n && j === m) || R[i * W + j] === Infinity) continue;
    path[i * W + j] = (i < n ? part(i, j, i + 1, j) : 0) + (j < m ? part(i, j, i, j + 1) : 0) + (i < n && j < m ? part(i, j, i + 1, j + 1) : 0);
  }
  return { value, path: Float64Array.from({ length: n * m }, (_, k) => path[(Math.floor(k / m) + 1) * W + (k % m) + 1]) };
}

/**
 * Soft dynamic time warping between series, as a divergence: 0 for equal series, above 0 else.
 *
 *   loss[b] = D(x, y) - (D(x, x) + D(y, y)) / 2,   D(x, y) = -gamma log sum over warpings of exp(-sum |x_i - y_j|^2 / gamma)
 *
 * @param x - float32 [B, T, F]
 * @param y - float32 [B, S, F]
 * @param options - `gamma` (1), `band`, `divergence` (true); `reduction` ("mean" over pairs), `weight` and `where` [B]
 * @returns float32 [B] ("none") or []; +Infinity where a band leaves no warping, with gradient 0. NaN in a series: NaN. `withGrad`: `grads` of both
 * @throws RangeError for another shape, series without rows, a gamma that is not positive
 * @example
 *   const { loss, grads } = softDtwLoss.withGrad([[[0], [1], [2]]], [[[0], [0], [1], [2]]], { gamma: 0.1 }); // nearly 0
 * Source: Cuturi, Blondel, "Soft-DTW", ICML 2017 (arXiv:1703.01541); the divergence: Blondel, Mensch, Vert, "Differentiable divergences between time series", AISTATS 2021 (arXiv:2010.08354).
 */
export const softDtwLoss: Loss<[x: TensorLike, y: TensorLike], SoftDtwOptions, { readonly grads: { readonly x: Tensor<"float32">; readonly y: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss("softDtwLoss", 2, (where, [first, second], options) => {
  const x = asFloat32(where, "x", first), y = asFloat32(where, "y", second), { gamma = 1, band = Infinity, divergence = true } = options;
  checkShape(where, "x", x, ["B", "T", "F"]);
  checkShape(where, "y", y, ["B", "S", "F"]);
  const [B, T, F] = x.shape, S = y.shape[1];
  if (y.shape[0] !== B || y.shape[2] !== F) throw rangeError(where, "y", `of shape [${B}, S, ${F}]`, `[${y.shape.join(", ")}]`);
  if (B > 0 && (T === 0 || S === 0)) throw rangeError(where, "x", "series with at least one row", `${T} and ${S} rows`);
  checkPositive(where, "gamma", gamma);
  if (band !== Infinity) checkInteger(where, "band", band, 0, 2147483647);
  const weights = rowWeights(where, B, options);
  return {
    shape: [B],
    weights,
    pass(coefficients) {
      const values = new Float64Array(B), gx = new Float32Array(coefficients ? x.size : 0), gy = new Float32Array(coefficients ? y.size : 0);
      for (let b = 0; b < B; b++) {
        if (weights?.[b] === 0) continue;
        const a = Float64Array.from(x.data.subarray(b * T * F, (b + 1) * T * F)), c = Float64Array.from(y.data.subarray(b * S * F, (b + 1) * S * F));
        for (const [p, q, n, m, share, left, right] of [[a, c, T, S, 1, gx, gy], ...(divergence ? [[a, a, T, T, -0.5, gx, gx], [c, c, S, S, -0.5, gy, gy]] : [])] as [Float64Array, Float64Array, number, number, number, Float32Array, Float32Array][]) {
          const { value, path } = softDtw(p, q, n, m, F, gamma, band), ofLeft = left === gx ? b * T * F : b * S * F, ofRight = right === gx ? b * T * F : b * S * F;
          values[b] += share * value;
          if (coefficients === undefined || values[b] === Infinity) continue;
          for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) {
            const e = path[i * m + j];
            if (e === 0) continue;
            for (let f = 0; f < F; f++) {
              const slope = 2 * coefficients[b] * share * e * (p[i * F + f] - q[j * F + f]);
              left[ofLeft + i * F + f] += slope;
              right[ofRight + j * F + f] -= slope;
            }
          }
        }
      }
      return { values, gradients: () => ({ grads: { x: new Tensor("float32", x.shape, gx), y: new Tensor("float32", y.shape, gy) } }) };
    },
  };
});

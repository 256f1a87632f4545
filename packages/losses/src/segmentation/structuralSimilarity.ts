import { exp } from "@logits/statistics";
import { checkPositive, rangeError } from "@logits/tensor";
import { planeLoss, type PlaneLoss, type PlaneOptions } from "./planes.ts";

/** Options of `structuralSimilarityLoss`. */
export interface StructuralSimilarityOptions extends PlaneOptions {
  /** Width of the Gaussian window in pixels, odd. Default 11. */
  readonly window?: number;
  /** Its standard deviation in pixels. Default 1.5. */
  readonly sigma?: number;
}

/**
 * One minus the structural similarity of predicted and true mask, averaged over the pixels of each plane: edges count.
 *
 *   loss[b] = 1 - mean (2 mx mt + C1)(2 cov + C2) / ((mx^2 + mt^2 + C1)(var x + var t + C2)),   C1 = 0.01^2, C2 = 0.03^2, moments in a Gaussian window, 0 beyond the border
 *
 * @param logits - float32 [..., H, W]
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss (`weight` and `where` of planes); `activation` ("sigmoid"), `window` (11), `sigma` (1.5)
 * @returns float32 [...] ("none") or [], in [0, 2]. `withGrad`: `grad`
 * @throws RangeError for shapes that differ, fewer than two axes, a target outside [0, 1], an even window
 * @example
 *   structuralSimilarityLoss([[[4, -4], [-4, 4]]], [[[1, 0], [0, 1]]]);
 * Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13, 2004; as a loss of masks, Qin et al., "BASNet", CVPR 2019.
 */
export const structuralSimilarityLoss: PlaneLoss<StructuralSimilarityOptions> = /* @__PURE__ */ planeLoss("structuralSimilarityLoss", ({ window = 11, sigma = 1.5 }: StructuralSimilarityOptions, where) => {
  if (!(window > 0 && window % 2 === 1 && window < 1e4)) throw rangeError(where, "window", "an odd integer in [1, 9999]", `${window}`);
  checkPositive(where, "sigma", sigma);
  const taps = Float64Array.from({ length: window }, (_, k) => exp(-((k - (window - 1) / 2) ** 2) / (2 * sigma * sigma))), total = taps.reduce((a, b) => a + b, 0), half = (window - 1) / 2;
  const along = (f: Float64Array, lines: number, length: number, lineStep: number, step: number): Float64Array => {
    const out = new Float64Array(f.length);
    for (let line = 0; line < lines; line++) for (let i = 0; i < length; i++) {
      let sum = 0;
      for (let j = Math.max(0, i - half); j <= Math.min(length - 1, i + half); j++) sum += taps[j - i + half] * f[line * lineStep + j * step];
      out[line * lineStep + i * step] = sum / total;
    }
    return out;
  };
  return (p, t, height, width, coefficient, gradient) => {
    // Symmetric taps with zeros beyond the border: the blur is its own adjoint.
    const blur = (f: Float64Array): Float64Array => along(along(f, height, width, width, 1), width, height, 1, width);
    const mx = blur(p), mt = blur(t), xx = blur(p.map((x) => x * x)), tt = blur(t.map((x) => x * x)), xt = blur(p.map((x, i) => x * t[i])), n = p.length, c1 = 1e-4, c2 = 9e-4;
    const byMean = new Float64Array(n), bySquare = new Float64Array(n), byProduct = new Float64Array(n);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const a = 2 * mx[i] * mt[i] + c1, b = 2 * (xt[i] - mx[i] * mt[i]) + c2, c = mx[i] ** 2 + mt[i] ** 2 + c1, d = xx[i] - mx[i] ** 2 + tt[i] - mt[i] ** 2 + c2, s = (a * b) / (c * d);
      sum += s;
      byMean[i] = (2 * mt[i] * (b - a)) / (c * d) - 2 * s * mx[i] * (1 / c - 1 / d);
      bySquare[i] = -s / d;
      byProduct[i] = (2 * a) / (c * d);
    }
    if (gradient) {
      const [m, q, r] = [byMean, bySquare, byProduct].map(blur);
      for (let i = 0; i < n; i++) gradient[i] -= (coefficient / n) * (m[i] + 2 * p[i] * q[i] + t[i] * r[i]);
    }
    return 1 - sum / n;
  };
});

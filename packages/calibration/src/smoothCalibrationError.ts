import { exp } from "@logits/statistics";
import type { TensorLike } from "@logits/tensor";
import { areConfidences, checkedConfidences, type CheckedConfidences, type Confidences } from "./confidences.ts";
import { CosineSums } from "./cosineSums.ts";

/** A smooth calibration error. */
export interface SmoothCalibrationError {
  /** The error, which is also the bandwidth of the kernel. */
  readonly value: number;
  /** Rows. */
  readonly n: number;
  /** What was computed, in words. */
  readonly convention: string;
}

/** Nodes per bandwidth at least: the cubic spread of a row over nodes is then wrong by less than 1e-7 of the value. */
const NODES = 32;
const SMALLEST = 1 / 16384;

/**
 * Smooth calibration error of the top label: the residuals smoothed by a Gaussian that is reflected at 0 and 1, with the bandwidth that equals the error itself. No bins.
 *
 *   r_n = correct_n - c_n        smECE_s = integral over t in [0, 1] of |(1 / N) sum_n r_n K_s(t, c_n)|        value = the s with smECE_s = s
 *   K_s(t, c) = sum over all integers m of normal density with deviation s at t - c - 2m and at t + c - 2m = 1 + 2 sum_k exp(-(pi k s)^2 / 2) cos(pi k t) cos(pi k c)
 *
 * The reflection is exact at the boundary, where confidences pile up. smECE_s falls with s, so there is one value.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @returns `value` in [0, 1], `n`, `convention`; 0 where every residual is 0; below 2^-14 it is smECE at that bandwidth, at most 2^-14 too small
 * @throws RangeError for no rows, another shape, a label outside [0, C), values that are no probabilities (NaN included; the row is named)
 * @example
 *   smoothCalibrationError({ confidence: [1, 1], correct: [1, 0] }).value; // 0.5
 * Source: Blasiok and Nakkiran, "Smooth ECE: principled reliability diagrams via kernel smoothing", ICLR 2024.
 */
export function smoothCalibrationError(probabilities: TensorLike, labels: TensorLike): SmoothCalibrationError;
export function smoothCalibrationError(confidences: Confidences): SmoothCalibrationError;
export function smoothCalibrationError(predictions: TensorLike | Confidences, labels?: TensorLike): SmoothCalibrationError {
  const rows = checkedConfidences("smoothCalibrationError", predictions, areConfidences(predictions) ? undefined : labels);
  return { value: fixedPoint(rows), n: rows.confidence.length, convention: "top label, reflected Gaussian on [0, 1], bandwidth = value" };
}

function fixedPoint(rows: CheckedConfidences): number {
  let lattice = new Lattice(rows, 8192), high = 1, low = 1, excess = 0, lack = 0;
  // excess = smECE - s at low, lack = that at high.
  for (; ; low /= 2) {
    if (lattice.size < NODES / low) lattice = new Lattice(rows, 8 * lattice.size);
    const at = lattice.error(low);
    excess = at - low;
    if (excess >= 0) break;
    high = low;
    lack = excess;
    if (low <= SMALLEST || at === 0) return at;
  }
  if (excess === 0 || low === high) return low;
  // Regula falsi with the correction of the side that stays (Illinois).
  for (let i = 0, side = 0; i < 60 && high - low > 1e-12 * high; i++) {
    const middle = (low * lack - high * excess) / (lack - excess), at = lattice.error(middle) - middle;
    if (at === 0) return middle;
    if (at > 0) {
      low = middle;
      excess = at;
      if (side > 0) lack /= 2;
      side = 1;
    } else {
      high = middle;
      lack = at;
      if (side < 0) excess /= 2;
      side = -1;
    }
  }
  return (low + high) / 2;
}

/** Residuals on M + 1 nodes, as cosine coefficients. */
class Lattice {
  readonly size: number;
  readonly #sums: CosineSums;
  readonly #coefficients: Float64Array;

  constructor({ confidence, correct }: CheckedConfidences, size: number) {
    this.size = size;
    this.#sums = new CosineSums(size);
    const nodes = new Float64Array(size + 1), n = confidence.length;
    for (let i = 0; i < n; i++) {
      const c = Math.min(1, confidence[i]), at = c * size, r = (correct[i] - c) / n;
      const j = Math.min(size - 1, Math.floor(at)), x = at - j;
      // Cubic Lagrange weights at -1, 0, 1, 2: what is spread has the same first four moments. Nodes outside are reflected.
      nodes[j === 0 ? 1 : j - 1] -= (r * x * (x - 1) * (x - 2)) / 6;
      nodes[j] += (r * (x + 1) * (x - 1) * (x - 2)) / 2;
      nodes[j + 1] -= (r * (x + 1) * x * (x - 2)) / 2;
      nodes[j + 2 > size ? size - 1 : j + 2] += (r * (x + 1) * x * (x - 1)) / 6;
    }
    this.#coefficients = this.#sums.of(nodes);
  }

  /** smECE of the bandwidth. */
  error(bandwidth: number): number {
    const m = this.size, a = this.#coefficients, smooth = new Float64Array(m + 1);
    smooth[0] = a[0];
    for (let k = 1; k <= m; k++) {
      const exponent = (Math.PI * k * bandwidth) ** 2 / 2;
      if (exponent > 40) break;
      smooth[k] = 2 * a[k] * exp(-exponent);
    }
    const f = this.#sums.of(smooth);
    let total = 0;
    for (let j = 0; j < m; j++) {
      const left = f[j], right = f[j + 1], both = Math.abs(left) + Math.abs(right);
      // Where the sign changes, the two triangles of the straight line.
      total += left * right >= 0 ? both / 2 : (left * left + right * right) / (2 * both);
    }
    return total / m;
  }
}

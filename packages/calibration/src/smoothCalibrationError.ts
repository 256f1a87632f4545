import { residualMoments } from "@logits/core-wasm/order";
import type { Estimate } from "@logits/metrics";
import { exp, normalQuantile } from "@logits/statistics";
import type { TensorLike } from "@logits/tensor";
import { areConfidences, checkLevel, checkedConfidences, type CheckedConfidences, type Confidences } from "./confidences.ts";
import { CosineSums } from "./cosineSums.ts";

/** Options of `smoothCalibrationError`. */
export interface SmoothCalibrationErrorOptions {
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** A smooth calibration error: `value` is also the bandwidth of the kernel. */
export type SmoothCalibrationError = Estimate;

/** Nodes per bandwidth at least: the cubic spread of a row over nodes is then wrong by less than 1e-7 of the value. */
const NODES = 32;
/** Nodes per bandwidth while the value is searched for, and for the interval. */
const COARSE = 8;
const SMALLEST = 1 / 16384;
/** Nodes of the integral at least: more than the lattice has, since a smoothed residual has no frequencies beyond 3 / bandwidth. */
const MESH = 8192;

/**
 * Smooth calibration error of the top label: the residuals smoothed by a Gaussian that is reflected at 0 and 1, with the bandwidth that equals the error itself. No bins.
 *
 *   r_n = correct_n - c_n        smECE_s = integral over t in [0, 1] of |(1 / N) sum_n r_n K_s(t, c_n)|        value = the s with smECE_s = s
 *   K_s(t, c) = sum over all integers m of normal density with deviation s at t - c - 2m and at t + c - 2m = 1 + 2 sum_k exp(-(pi k s)^2 / 2) cos(pi k t) cos(pi k c)
 *
 * `interval`: of the value that infinitely many rows would give; it begins at 0 where the model may be perfect. As the interval of `expectedCalibrationError` with norm 1: the smoothed residuals are
 * the truth and a Gaussian noise whose integral of absolute values has a known mean, exceeded no more than a normal would.
 *
 * The reflection is exact at the boundary, where confidences pile up. smECE_s falls with s, so there is one value.
 *
 * @param predictions - probabilities, float32 [N, C] with rows that sum to 1 within 1e-2; or `{ confidence, correct }`
 * @param labels - int32 [N], in [0, C); with probabilities only
 * @param options - `level` (0.95)
 * @returns `value` in [0, 1], `n`, `interval`, `level`, `convention`; 0 where every residual is 0; below 2^-14 it is smECE at that bandwidth, at most 2^-14 too small
 * @throws RangeError for no rows, another shape, a label outside [0, C), values that are no probabilities (NaN included; the row is named)
 * @example
 *   smoothCalibrationError({ confidence: [1, 1], correct: [1, 0] }).value; // 0.5
 * Source: Blasiok and Nakkiran, "Smooth ECE: principled reliability diagrams via kernel smoothing", ICLR 2024.
 */
export function smoothCalibrationError(probabilities: TensorLike, labels: TensorLike, options?: SmoothCalibrationErrorOptions): SmoothCalibrationError;
export function smoothCalibrationError(confidences: Confidences, options?: SmoothCalibrationErrorOptions): SmoothCalibrationError;
export function smoothCalibrationError(predictions: TensorLike | Confidences, second?: TensorLike | SmoothCalibrationErrorOptions, third?: SmoothCalibrationErrorOptions): SmoothCalibrationError {
  const where = "smoothCalibrationError", plain = areConfidences(predictions);
  const level = checkLevel(where, (((plain ? second : third) ?? {}) as SmoothCalibrationErrorOptions).level);
  const rows = checkedConfidences(where, predictions, plain ? undefined : (second as TensorLike | undefined));
  const search = new Search(rows), value = search.value();
  return { value, n: rows.confidence.length, interval: search.interval(value, level), level, convention: "top label, reflected Gaussian on [0, 1], bandwidth = value" };
}

/** Bandwidths and their errors, on a lattice that grows where a bandwidth needs it. */
class Search {
  readonly #rows: CheckedConfidences;
  #lattice: Lattice;

  constructor(rows: CheckedConfidences) {
    this.#rows = rows;
    this.#lattice = new Lattice(rows, 2048);
  }

  #error(bandwidth: number, nodes: number): number {
    while (this.#lattice.size < Math.min(nodes, NODES) / bandwidth) this.#lattice = new Lattice(this.#rows, 4 * this.#lattice.size);
    return this.#lattice.error(bandwidth, nodes);
  }

  value(): number {
    let value = this.#root(0);
    if (value <= SMALLEST) return this.#error(SMALLEST, COARSE);
    // The fine lattice, with the slope of the coarse one.
    const slope = (this.#error(1.01 * value, COARSE) - this.#error(0.99 * value, COARSE)) / (0.02 * value) - 1;
    for (let i = 0; i < 2; i++) value -= (this.#error(value, Infinity) - value) / Math.min(-1, slope);
    return Math.max(0, value);
  }

  /** The s with smECE_s + more = s, on coarse nodes; `SMALLEST` where it is below. */
  #root(more: number): number {
    let high = 1, low = 1, excess = 0, lack = 0;
    // excess = smECE + more - s at low, lack = that at high.
    for (; ; low /= 2) {
      excess = this.#error(low, COARSE) + more - low;
      if (excess >= 0) break;
      high = low;
      lack = excess;
      if (low <= SMALLEST) return SMALLEST;
    }
    if (excess === 0 || low === high) return low;
    // Regula falsi with the correction of the side that stays (Illinois).
    for (let i = 0, side = 0; i < 60 && high - low > 1e-9 * high; i++) {
      const middle = (low * lack - high * excess) / (lack - excess), at = this.#error(middle, COARSE) + more - middle;
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

  interval(value: number, level: number): readonly [low: number, high: number] {
    const n = this.#rows.confidence.length, { squares, right } = this.#lattice, p = (right + 2) / (n + 4);
    // Four rows more, two of them right, so that rows without an error are not certain.
    const variance = squares + n * p * (1 - p) - (right * (n - right)) / n, half = (normalQuantile((1 + level) / 2) * Math.sqrt(variance)) / n;
    const scale = squares > 0 ? Math.sqrt(variance / squares) : 0;
    /** Whether the error at a bandwidth is more than noise could add to the bandwidth. */
    const exceeds = (s: number): boolean => this.#error(s, COARSE) - scale * this.#lattice.noise(s) - half >= s;
    let low = 0;
    for (let k = 15; k > 0 && low === 0; k--) if ((value * k) / 16 > SMALLEST && exceeds((value * k) / 16)) low = (value * k) / 16;
    for (let step = value / 32, i = 0; low > 0 && i < 6; i++, step /= 2) if (low + step < value && exceeds(low + step)) low += step;
    return [low, Math.min(1, Math.max(value, this.#root(half)))];
  }
}

/** As `residualMoments`, for confidences that are no float32. */
function momentsOf(confidence: ArrayLike<number>, correct: Uint8Array, size: number): Float64Array {
  const sums = new Float64Array(6 * size);
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i] > 1 ? 1 : confidence[i], j = Math.min(size - 1, Math.floor(c * size)), x = c * size - j, r = correct[i] - c, at = 6 * j;
    sums[at] += r;
    sums[at + 1] += r * x;
    sums[at + 2] += r * x * x;
    sums[at + 3] += r * x * x * x;
    sums[at + 4] += r * r;
    sums[at + 5] += correct[i];
  }
  return sums;
}

/** Residuals on M + 1 nodes, as cosine coefficients. */
class Lattice {
  readonly size: number;
  /** Sum of squared residuals. */
  readonly squares: number;
  /** Right answers. */
  readonly right: number;
  readonly #rows: number;
  readonly #coefficients: Float64Array;
  /** Squared residuals in M cells. */
  readonly #variances: Float64Array;

  constructor({ confidence, correct }: CheckedConfidences, size: number) {
    this.size = size;
    const n = confidence.length, spread = new Float64Array(size + 3), variances = new Float64Array(size);
    const sums = confidence instanceof Float32Array ? residualMoments(confidence, correct, size) : momentsOf(confidence, correct, size);
    let squares = 0, right = 0;
    for (let j = 0, at = 0; j < size; j++, at += 6) {
      const m0 = sums[at], m1 = sums[at + 1], m2 = sums[at + 2], m3 = sums[at + 3];
      // Cubic Lagrange weights at -1, 0, 1, 2: what is spread has the same first four moments.
      spread[j] -= (m3 - 3 * m2 + 2 * m1) / 6;
      spread[j + 1] += (m3 - 2 * m2 - m1) / 2 + m0;
      spread[j + 2] -= (m3 - m2) / 2 - m1;
      spread[j + 3] += (m3 - m1) / 6;
      variances[j] = sums[at + 4];
      squares += sums[at + 4];
      right += sums[at + 5];
    }
    // Nodes outside are reflected; node j stands at j + 1.
    const nodes = spread.slice(1, size + 2);
    nodes[1] += spread[0];
    nodes[size - 1] += spread[size + 2];
    for (let j = 0; j <= size; j++) nodes[j] /= n;
    this.#rows = n;
    this.#coefficients = sumsOf(size).of(nodes);
    this.#variances = variances;
    this.squares = squares;
    this.right = right;
  }

  /** smECE of the bandwidth, integrated over so many nodes per bandwidth (a power of two in all), at most all of the mesh. */
  error(bandwidth: number, nodes: number): number {
    const a = this.#coefficients, m = Math.min(Math.max(this.size, MESH), powerOfTwo(nodes / bandwidth)), last = Math.min(m, this.size), smooth = new Float64Array(m + 1);
    smooth[0] = a[0];
    for (let k = 1; k <= last; k++) {
      const exponent = (Math.PI * k * bandwidth) ** 2 / 2;
      if (exponent > 40) break;
      smooth[k] = 2 * a[k] * exp(-exponent);
    }
    const f = sumsOf(m).of(smooth);
    let total = 0;
    for (let j = 0; j < m; j++) {
      const left = f[j], right = f[j + 1], both = Math.abs(left) + Math.abs(right);
      // Where the sign changes, the two triangles of the straight line.
      total += left * right >= 0 ? both / 2 : (left * left + right * right) / (2 * both);
    }
    return total / m;
  }

  /** Mean of the integral of |noise| at the bandwidth: root of 2 / pi times that of its deviation, root of sum_n r_n^2 K_s(t, c_n)^2 over N. */
  noise(bandwidth: number): number {
    const m = Math.min(this.size, powerOfTwo(4 / bandwidth)), group = this.size / m, weights = new Float64Array(m + 1), window = Math.min(m, Math.ceil(5 * bandwidth * m));
    for (let j = 0; j < this.size; j++) {
      const at = (j + 0.5) / group, node = Math.floor(at), share = at - node;
      weights[node] += this.#variances[j] * (1 - share);
      weights[node + 1] += this.#variances[j] * share;
    }
    // The reflected density at distances d / m, images at every even number.
    const density = new Float64Array(2 * m + 1);
    for (let d = 0; d <= 2 * m; d++) {
      for (let image = -4; image <= 4; image += 2) {
        const exponent = 0.5 * ((d / m - image) / bandwidth) ** 2;
        // exp(-746) is 0.
        if (exponent < 746) density[d] += exp(-exponent) / (bandwidth * Math.sqrt(2 * Math.PI));
      }
    }
    let total = 0;
    for (let i = 0; i <= m; i++) {
      let sum = 0;
      for (let j = Math.max(0, i - window), end = Math.min(m, i + window); j <= end; j++) {
        const kernel = density[Math.abs(i - j)] + density[i + j];
        sum += weights[j] * kernel * kernel;
      }
      total += (i === 0 || i === m ? 0.5 : 1) * Math.sqrt(sum);
    }
    return (Math.sqrt(2 / Math.PI) * total) / m / this.#rows;
  }
}

function powerOfTwo(least: number): number {
  let m = 16;
  while (m < least && m < 1048576) m *= 2;
  return m;
}

/** Tables by size. */
const tables = new Map<number, CosineSums>();

function sumsOf(size: number): CosineSums {
  let sums = tables.get(size);
  if (sums === undefined) {
    sums = new CosineSums(size);
    // What a larger one holds is not kept: 8,192 is the size of almost all calls.
    if (size <= 8192) tables.set(size, sums);
  }
  return sums;
}

import { addGram, addOuterProducts } from "@logits/core-wasm";
import { isCsr, rangeError, type CsrMatrix, type Steps, type Tensor } from "@logits/tensor";

/** How a prototype head scores: what the statistics must hold depends on it. */
export type PrototypeKind = "mean" | "tied" | "diagonal" | "cosine";

/** Sufficient statistics of labelled rows, in float64. */
export interface PrototypeStatistics {
  /** F. */
  readonly features: number;
  /** Rows of each class, [C]. */
  readonly counts: Float64Array;
  /** Mean of each class, [C, F]; of unit vectors for "cosine". 0 without rows. */
  readonly means: Float64Array;
  /** "diagonal": sum of (x - mean of the class)^2, [C, F]. "tied": sum over all classes of the outer products of x - mean of the class, [F, F], lower triangle. Else empty. */
  readonly scatter: Float64Array;
}

/** Elements of a dense block of rows: a few milliseconds. */
const BLOCK = 262144;

/** Rows [from, to) as a dense array; CSR elements of one column add up. */
export function denseRows(x: Tensor<"float32"> | CsrMatrix, from: number, to: number): Float32Array {
  const width = x.shape[1];
  if (!isCsr(x)) return x.data.subarray(from * width, to * width);
  const out = new Float32Array((to - from) * width);
  for (let n = from; n < to; n++) for (let j = x.indptr[n]; j < x.indptr[n + 1]; j++) out[(n - from) * width + x.indices[j]] += x.data[j];
  return out;
}

/** Calls for blocks of rows, dense and a few at a time. */
export function* denseBlocks(x: Tensor<"float32"> | CsrMatrix): Generator<{ from: number; to: number; data: Float32Array }, void, void> {
  const [rows, width] = x.shape;
  const step = Math.max(1, Math.floor(BLOCK / Math.max(1, width)));
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(rows, from + step);
    yield { from, to, data: denseRows(x, from, to) };
  }
}

/** 1 / |x|, in float64; Infinity for a row of zeros. */
export function inverseNorm(data: Float32Array, from: number, width: number): number {
  let square = 0;
  for (let i = from; i < from + width; i++) square += data[i] * data[i];
  return 1 / Math.sqrt(square);
}

/** Statistics of rows alone: means first, then what the rows differ from them by. */
export function* gather(where: string, argument: string, kind: PrototypeKind, x: Tensor<"float32"> | CsrMatrix, labels: Int32Array, classes: number): Steps<PrototypeStatistics> {
  const [rows, features] = x.shape;
  const counts = new Float64Array(classes), means = new Float64Array(classes * features);
  for (const { from, to, data } of denseBlocks(x)) {
    for (let n = from; n < to; n++) {
      const at = (n - from) * features, mean = labels[n] * features;
      for (let f = 0; f < features; f++) if (data[at + f] - data[at + f] !== 0) throw rangeError(where, argument, "of finite numbers", `${data[at + f]} in row ${n}, column ${f}`);
      const scale = kind === "cosine" ? inverseNorm(data, at, features) : 1;
      if (scale === Infinity) throw rangeError(where, argument, "with a direction in each row", `only zeros in row ${n}`);
      counts[labels[n]]++;
      for (let f = 0; f < features; f++) means[mean + f] += scale * data[at + f];
    }
    yield (0.5 * to) / rows;
  }
  for (let c = 0; c < classes; c++) if (counts[c] > 0) for (let f = 0; f < features; f++) means[c * features + f] /= counts[c];
  const scatter = new Float64Array(kind === "diagonal" ? classes * features : kind === "tied" ? features * features : 0);
  if (scatter.length > 0) {
    for (const { from, to, data } of denseBlocks(x)) {
      const centred = new Float32Array(kind === "tied" ? data.length : 0);
      for (let n = from; n < to; n++) {
        const at = (n - from) * features, mean = labels[n] * features;
        for (let f = 0; f < features; f++) {
          const d = data[at + f] - means[mean + f];
          if (kind === "tied") centred[at + f] = d;
          else scatter[mean + f] += d * d;
        }
      }
      if (kind === "tied") addGram(scatter, { data: centred, shape: [to - from, features] });
      yield 0.5 + (0.5 * to) / rows;
    }
  }
  return { features, counts, means, scatter };
}

/**
 * Statistics of two sets of rows together; `b` may have more classes.
 *
 * Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983).
 */
export function merge(kind: PrototypeKind, a: PrototypeStatistics, b: PrototypeStatistics): PrototypeStatistics {
  const { features } = a;
  const counts = b.counts.slice(), means = b.means.slice();
  const scatter = kind === "diagonal" ? b.scatter.slice() : a.scatter.slice();
  const shifts = new Float64Array(kind === "tied" ? a.counts.length * features : 0), weights = new Float64Array(kind === "tied" ? a.counts.length : 0);
  for (let c = 0; c < a.counts.length; c++) {
    const before = a.counts[c], more = b.counts[c];
    counts[c] = before + more;
    if (before === 0) continue;
    const weight = more === 0 ? 0 : (before * more) / counts[c];
    for (let f = 0, i = c * features; f < features; f++, i++) {
      const d = b.means[i] - a.means[i];
      means[i] = more === 0 ? a.means[i] : a.means[i] + (d * more) / counts[c];
      if (kind === "diagonal") scatter[i] += a.scatter[i] + weight * d * d;
      else if (kind === "tied") shifts[i] = d;
    }
    if (kind === "tied") weights[c] = weight;
  }
  if (kind === "tied") {
    for (let i = 0; i < scatter.length; i++) scatter[i] += b.scatter[i];
    addOuterProducts(scatter, shifts, weights);
  }
  return { features, counts, means, scatter };
}

import { core, nearestNeighbors } from "@logits/core-wasm";
import { Tensor, asFloat32, checkInteger, checkShape, lastingData, randomSource, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type RandomSource, type Steps, type TensorLike } from "@logits/tensor";
import { checkFinite } from "./featureRows.ts";

/** Options of `kMeans`. */
export interface KMeansOptions {
  /** An integer in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Starts, of which the one with the least inertia is kept; an integer >= 1. Default 4. */
  readonly restarts?: number;
  /** Rounds of a start at most, an integer >= 1. Default 100. */
  readonly maxIterations?: number;
}

/** Rows around centres. */
export interface KMeans {
  /** float32 [K, F]. */
  readonly centres: Tensor<"float32">;
  /** int32 [N]: the nearest centre, of equals the smaller. */
  readonly labels: Tensor<"int32">;
  /** Sum of the squared distances of the rows from their centres. */
  readonly inertia: number;
  /** Rounds of the start that was kept. */
  readonly iterations: number;
  /** Whether its labels had stopped changing. */
  readonly converged: boolean;
}

/**
 * K centres with the least sum of squared distances that several starts of Lloyd's rounds find.
 *
 *   labels[n] = argmin_k |x_n - c_k|^2        c_k = mean of the rows with label k        inertia = sum_n |x_n - c_{labels[n]}|^2
 *
 * Starts are drawn as in k-means++: the first row uniformly, each next with probability proportional to its squared distance from those before. A centre that loses all its rows moves to the row that is farthest from its own. A
 * local optimum: no start is known to be best.
 *
 * @param features - float32 [N, F], finite
 * @param count - K, an integer in [1, number of different rows]
 * @param options - `seed` (0), `restarts` (4), `maxIterations` (100)
 * @throws RangeError for another shape, a row with NaN or an infinity (named), fewer different rows than K, an option out of range
 * @example kMeans([[0], [1], [10], [11]], 2).centres; // 0.5 and 10.5, in the order of the start
 * Source: Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28 (1982); Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
 */
export function kMeans(features: TensorLike, count: number, options: KMeansOptions = {}): KMeans {
  return runSteps(kMeansSteps("kMeans", features, count, options));
}

/** `kMeans` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
export async function kMeansAsync(features: TensorLike, count: number, options: KMeansOptions & LongWorkOptions = {}): Promise<KMeans> {
  return runStepsAsync(kMeansSteps("kMeansAsync", features, count, options), options);
}

function* kMeansSteps(where: string, features: TensorLike, count: number, options: KMeansOptions): Steps<KMeans> {
  const { seed = 0, restarts = 4, maxIterations = 100 } = options;
  const x = asFloat32(where, "features", features);
  checkShape(where, "features", x, ["N", "F"]);
  const [n, width] = x.shape;
  if (n === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${n}, ${width}]`);
  checkInteger(where, "count", count, 1, n);
  checkInteger(where, "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkInteger(where, "restarts", restarts, 1, 10000);
  checkInteger(where, "maxIterations", maxIterations, 1, 2 ** 31 - 1);
  checkFinite(where, x.data, width, 0, n);
  const best = yield* clusterSteps(x, count, { random: randomSource(seed, 41), restarts, maxIterations });
  if (best === undefined) throw rangeError(where, "count", "at most the number of different rows", `${count}`);
  return best;
}

/** What `clusterSteps` needs besides the rows. */
export interface ClusterSettings {
  readonly random: RandomSource;
  readonly restarts: number;
  readonly maxIterations: number;
}

/** The best of several starts on rows that have been checked; undefined where the rows are too few different ones. */
export function* clusterSteps(rows: Tensor<"float32">, count: number, { random, restarts, maxIterations }: ClusterSettings): Steps<KMeans | undefined> {
  const resident = core.alloc(rows.shape), x = new Tensor("float32", rows.shape, lastingData(rows));
  try {
    resident.data.set(x.data);
    let best: KMeans | undefined;
    for (let start = 0; start < restarts; start++) {
      const centres = startOf(x, resident, count, random);
      if (centres === undefined) return undefined;
      const found = yield* rounds(x, resident, centres, maxIterations);
      if (best === undefined || found.inertia < best.inertia) best = found;
      yield (start + 1) / restarts;
    }
    return best;
  } finally {
    resident.dispose();
  }
}

/** k-means++: [K, F], or undefined where all rows coincide with the centres before there are K. */
function startOf({ data, shape: [n, width] }: Tensor<"float32">, resident: Tensor<"float32">, count: number, random: RandomSource): Float32Array | undefined {
  const centres = new Float32Array(count * width), nearest = new Float64Array(n).fill(Infinity);
  let row = random.integer(n);
  for (let k = 0; ; k++) {
    const own = data.subarray(row * width, (row + 1) * width);
    centres.set(own, k * width);
    if (k === count - 1) return centres;
    const distances = nearestNeighbors(resident, { data: own.slice(), shape: [1, width] }, 1).distances.data;
    let total = 0;
    for (let i = 0; i < n; i++) {
      if (distances[i] < nearest[i]) nearest[i] = distances[i];
      total += nearest[i];
    }
    if (!(total > 0)) return undefined;
    let left = random.uniform() * total;
    row = -1;
    for (let i = 0; i < n && left > 0; i++) {
      if (nearest[i] === 0) continue;
      left -= nearest[i];
      row = i;
    }
  }
}

function* rounds(x: Tensor<"float32">, resident: Tensor<"float32">, centres: Float32Array, maxIterations: number): Steps<KMeans> {
  const [n, width] = x.shape, count = centres.length / width, { data } = x;
  let labels: Int32Array | undefined, inertia = Infinity, iterations = 0, converged = false;
  for (;;) {
    const { distances, indices } = nearestNeighbors(resident, { data: centres, shape: [count, width] }, 1);
    inertia = 0;
    for (let i = 0; i < n; i++) inertia += distances.data[i];
    const before = labels;
    labels = indices.data;
    converged = before !== undefined && labels.every((label, i) => label === before[i]);
    if (converged || iterations === maxIterations) break;
    iterations++;
    const sums = new Float64Array(count * width), counts = new Float64Array(count);
    for (let i = 0, at = 0; i < n; i++) {
      counts[labels[i]]++;
      for (let j = labels[i] * width, end = j + width; j < end; j++, at++) sums[j] += data[at];
    }
    const far = counts.some((size) => size === 0) ? Float64Array.from(distances.data) : undefined;
    for (let k = 0; k < count; k++) {
      if (counts[k] > 0) for (let j = 0; j < width; j++) centres[k * width + j] = sums[k * width + j] / counts[k];
      else if (far) {
        const row = far.indexOf(far.reduce((a, b) => Math.max(a, b)));
        far[row] = 0;
        centres.set(data.subarray(row * width, (row + 1) * width), k * width);
      }
    }
    yield 0;
  }
  return { centres: new Tensor("float32", [count, width], centres), labels: new Tensor("int32", [n], Int32Array.from(labels)), inertia, iterations, converged };
}

import { quantile } from "@logits/statistics";
import { Tensor, asInt32, checkInteger, checkLabels, checkShape, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { isRandom, ruleOf } from "./conformalMethod.ts";
import { batchOf, probabilitiesOf, scoreOf, uniformOf } from "./scores.ts";
import type { SplitConformalOptions } from "./splitConformal.ts";

/** Options of `clusterClasses`: those of the fit that will use the clusters, and their number. */
export interface ClusterClassesOptions extends Pick<SplitConformalOptions, "method" | "randomize" | "seed" | "penalty" | "freeRanks"> {
  /** The most clusters, an integer >= 1. Default 4. */
  readonly clusters?: number;
  /** Classes with fewer rows are too rare to tell: they are a cluster of their own, the last. An integer >= 1. Default 10. */
  readonly minimumRows?: number;
}

/** The quantiles of a class's scores that say what it is like. */
const LEVELS = [0.5, 0.6, 0.7, 0.8, 0.9];

/**
 * Groups classes whose scores are alike, so that many classes with few rows each can share quantiles: the `classGroups` of `SplitConformal.fit`.
 *
 *   e_c = the quantiles 0.5, 0.6, 0.7, 0.8, 0.9 of the scores of class c;   clusters = weighted k-means of the e_c, weight sqrt(rows of c)
 *
 * k-means starts from equal parts of the classes in the order of the mean of e_c and is run to its fixed point: no random numbers of its own.
 *
 * @param logits - float32 [n, C], of rows that will not be calibration rows: the promise in each cluster needs clusters that did not see them
 * @param labels - int32 [n], in [0, C)
 * @param options - `method` and its options as at the fit, `clusters` (4), `minimumRows` (10)
 * @returns int32 [C], the cluster of each class, 0, 1, ... without gaps
 * @throws RangeError for no rows, another shape, a label outside [0, C)
 * @example
 *   SplitConformal.fit(calibrationLogits, calibrationLabels, { classGroups: clusterClasses(otherLogits, otherLabels) });
 * Source: Ding, Angelopoulos, Bates, Jordan, Tibshirani, "Class-conditional conformal prediction with many classes", NeurIPS 2023.
 */
export function clusterClasses(logits: TensorLike, labels: TensorLike, options: ClusterClassesOptions = {}): Tensor<"int32"> {
  return runSteps(clusterSteps("clusterClasses", logits, labels, options));
}

/**
 * `clusterClasses` with pauses at least every 16 ms: the same clusters. The data must not change meanwhile. Rejects with the signal's reason on abort.
 *
 * @param logits - float32 [n, C]
 * @param labels - int32 [n], in [0, C)
 * @param options - as for `clusterClasses`, and `signal`, `onProgress`
 * @returns int32 [C]
 * @throws RangeError as `clusterClasses`
 * @example
 *   await clusterClassesAsync(otherLogits, otherLabels, { signal });
 * Source: Ding, Angelopoulos, Bates, Jordan, Tibshirani, NeurIPS 2023.
 */
export async function clusterClassesAsync(logits: TensorLike, labels: TensorLike, options: ClusterClassesOptions & LongWorkOptions = {}): Promise<Tensor<"int32">> {
  return runStepsAsync(clusterSteps("clusterClassesAsync", logits, labels, options), options);
}

function* clusterSteps(where: string, logits: TensorLike, labels: TensorLike, options: ClusterClassesOptions): Steps<Tensor<"int32">> {
  const { clusters = 4, minimumRows = 10, randomize = true, seed = 0 } = options;
  checkInteger(where, "clusters", clusters, 1, 2147483647);
  checkInteger(where, "minimumRows", minimumRows, 1, 2147483647);
  if (!(Number.isSafeInteger(seed) && seed >= 0)) throw rangeError(where, "seed", "an integer in [0, 2^53)", `${seed}`);
  const rule = ruleOf(where, options);
  const batch = batchOf(where, logits), { rows, classes } = batch;
  if (rows === 0) throw rangeError(where, "logits", "with at least one row", `shape [0, ${classes}]`);
  const y = asInt32(where, "labels", labels);
  checkShape(where, "labels", y, [rows]);
  checkLabels(where, "labels", y, classes);
  const scores: number[][] = Array.from({ length: classes }, () => []);
  const piece = Math.max(4, Math.floor(2 ** 18 / classes) & ~3);
  for (let from = 0; from < rows; from += piece) {
    const to = Math.min(from + piece, rows), p = probabilitiesOf(where, batch, from, to);
    for (let n = from, at = 0; n < to; n++, at += classes) scores[y.data[n]].push(scoreOf(rule, p, at, classes, y.data[n], randomize && isRandom(rule.method) ? uniformOf(seed, 0, n) : 0));
    yield (0.8 * to) / rows;
  }
  const known = scores.flatMap((list, c) => (list.length >= minimumRows ? [c] : []));
  const points = known.map((c) => LEVELS.map((level) => quantile(scores[c], level))), weights = known.map((c) => Math.sqrt(scores[c].length));
  const found = yield* kMeans(points, weights, Math.min(clusters, known.length));
  const names = new Map<number, number>();
  for (const k of found) if (!names.has(k)) names.set(k, names.size);
  const out = new Int32Array(classes).fill(names.size);
  known.forEach((c, i) => (out[c] = names.get(found[i])!));
  return new Tensor("int32", [classes], out);
}

function* kMeans(points: readonly number[][], weights: readonly number[], clusters: number): Steps<number[]> {
  const order = points.map((_, i) => i).sort((a, b) => sum(points[a]) - sum(points[b]) || a - b);
  const of: number[] = new Array(points.length);
  order.forEach((i, rank) => (of[i] = Math.floor((rank * clusters) / points.length)));
  // Every round lowers the cost or ends; the bound is for ties of rounding.
  for (let round = 0; round < 1000; round++) {
    const centres = Array.from({ length: clusters }, (_, k) => {
      const own = points.flatMap((_, i) => (of[i] === k ? [i] : []));
      const total = own.reduce((all, i) => all + weights[i], 0);
      return own.length === 0 ? undefined : LEVELS.map((_, d) => own.reduce((all, i) => all + weights[i] * points[i][d], 0) / total);
    });
    let moved = false;
    points.forEach((point, i) => {
      let best = of[i], least = distance(point, centres[best]);
      for (let k = 0; k < clusters; k++) {
        const d = distance(point, centres[k]);
        if (d < least) [best, least] = [k, d];
      }
      if (best !== of[i]) moved = true;
      of[i] = best;
    });
    if (!moved) break;
    yield 0.9;
  }
  return of;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function distance(point: readonly number[], centre: readonly number[] | undefined): number {
  return centre === undefined ? Infinity : point.reduce((all, value, d) => all + (value - centre[d]) * (value - centre[d]), 0);
}

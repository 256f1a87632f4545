import { matmul } from "@logits/core-wasm";
import { sampleNormal } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkShape, describe, partOf, randomSource, rangeError, runSteps, runStepsAsync, typeError, type LongWorkOptions, type RandomSource, type Steps, type TensorLike } from "@logits/tensor";
import { checkFinite } from "./featureRows.ts";
import { clusterSteps, type KMeans } from "./kMeans.ts";
import { centredRows, silhouettes } from "./silhouettes.ts";
import { unitRows } from "./unitRows.ts";

/** Rows at most: the reference sets need a number for each pair. */
const MOST_ROWS = 4096;
const COUNTS = [2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32] as const;

/** Options of `groupRows`. */
export interface GroupRowsOptions {
  /** Numbers of groups to try, ascending integers in [2, N). Default: those of 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32 that leave 2 `leastRows` rows for each group. */
  readonly counts?: readonly number[];
  /** A group of fewer rows is not offered, an integer >= 1. Default 5. */
  readonly leastRows?: number;
  /** A group must have a mean silhouette above this, in [-1, 1). Default 0. */
  readonly leastSilhouette?: number;
  /** Gaussian reference sets, an integer >= 1. Default 19: the p-value is 0.05 at least. */
  readonly references?: number;
  /** There is more than one group where the p-value is at most this, in (0, 1). Default 0.05. */
  readonly level?: number;
  /** Rows are divided by their lengths, so that directions are compared. Default true. */
  readonly normalize?: boolean;
  /** Of the starts and of the reference sets, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Starts of each k-means, an integer >= 1. Default 2. */
  readonly restarts?: number;
}

/** Rows that belong together. */
export interface RowGroup {
  /** Indices of its rows, nearest to its centre first. */
  readonly rows: Int32Array;
  /** Mean silhouette of its rows; NaN where there is one group. */
  readonly silhouette: number;
  /** float32 [F]: the mean of its rows (of their directions with `normalize`). */
  readonly centre: Tensor<"float32">;
}

/** How good a number of groups is. */
export interface GroupCount {
  readonly count: number;
  /** Sum of the squared distances of the rows from the centres. */
  readonly inertia: number;
  /** Mean silhouette of the rows. */
  readonly silhouette: number;
}

/** Result of `groupRows`. */
export interface RowGroups {
  /** The groups that are offered, the one with the largest silhouette first. */
  readonly groups: readonly RowGroup[];
  /** int32 [N]: index into `groups`, -1 for a row that belongs to none of them. */
  readonly labels: Tensor<"int32">;
  /** "too few rows": no group. "one group": no division is better than those of Gaussian rows. "groups": the division with the largest silhouette. */
  readonly outcome: "too few rows" | "one group" | "groups";
  /** Share of the data and reference sets whose largest silhouette is at least that of the data; NaN where nothing was tried. */
  readonly pValue: number;
  /** One entry for each number of groups that was tried. */
  readonly criterion: readonly GroupCount[];
}

/**
 * Groups among rows that were refused, with an estimate of how many there are: none, one or several.
 *
 *   K = the number of groups whose k-means division has the largest mean silhouette S(K)
 *   p = (1 + #{ r : max_k S_r(k) >= S(K) }) / (R + 1),    r = 1..R sets of Gaussian rows with the mean and covariance of the rows, divided in the same way
 *
 * Several groups are reported where p <= `level`, else one; fewer than `leastRows` rows are none, and fewer than twice as many are not divided. Rows that resemble nothing are the rule among refused ones, so a group is
 * offered only with at least `leastRows` rows and a mean silhouette above `leastSilhouette`; the rows of the others have label -1.
 *
 * A reference set is (1 / sqrt N) Z (X - mean), Z standard normal [N, N]: its rows are Gaussian with the sample covariance exactly, without decomposing it. p is exact for rows that are Gaussian with that covariance, up
 * to its estimation.
 *
 * **What a group is not.** Its rows were chosen twice, by the detector that refused them and by their nearness to a centre. Rows of the same kind that come later are spread wider, so a threshold or a p-value that rests on
 * rows of a group promises nothing for them: see `withClass` of `@logits/head`.
 *
 * @param features - float32 [N, F], finite, N at most 4,096. Other rows than those behind a promise
 * @param options - see `GroupRowsOptions`
 * @throws RangeError for another shape, more rows, a row with NaN or an infinity (named), a row of zeros with `normalize` (named), an option out of range
 * @example
 *   groupRows([[9, 0], [9, 1], [8, 1], [0, 9], [1, 9], [1, 8]], { leastRows: 2, counts: [2, 3] }).labels; // the two directions
 * Source: Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20 (1987); the reference sets follow Tibshirani, Walther, Hastie, "Estimating the number of clusters in a data set via the gap statistic", JRSS B 63
 * (2001), with the Gaussian null hypothesis of Liu, Hayes, Nobel, Marron, "Statistical Significance of Clustering for High-Dimension, Low-Sample Size Data", JASA 103 (2008).
 */
export function groupRows(features: TensorLike, options: GroupRowsOptions = {}): RowGroups {
  return runSteps(groupRowsSteps("groupRows", features, options));
}

/** `groupRows` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
export async function groupRowsAsync(features: TensorLike, options: GroupRowsOptions & LongWorkOptions = {}): Promise<RowGroups> {
  return runStepsAsync(groupRowsSteps("groupRowsAsync", features, options), options);
}

function* groupRowsSteps(where: string, features: TensorLike, options: GroupRowsOptions): Steps<RowGroups> {
  const { leastRows = 5, leastSilhouette = 0, references = 19, level = 0.05, normalize = true, seed = 0, restarts = 2 } = options;
  const given = asFloat32(where, "features", features);
  checkShape(where, "features", given, ["N", "F"]);
  const [n, width] = given.shape;
  if (width === 0) throw rangeError(where, "features", "of shape [N, F], F >= 1", `[${n}, 0]`);
  if (n > MOST_ROWS) throw rangeError(where, "features", `of at most ${MOST_ROWS} rows`, `${n}`, "Draw some at random");
  checkFinite(where, given.data, width, 0, n);
  checkInteger(where, "leastRows", leastRows, 1, 2 ** 31 - 1);
  checkInteger(where, "references", references, 1, 100000);
  checkInteger(where, "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkInteger(where, "restarts", restarts, 1, 10000);
  if (!(leastSilhouette >= -1 && leastSilhouette < 1)) throw rangeError(where, "leastSilhouette", "in [-1, 1)", `${leastSilhouette}`);
  if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
  if (typeof normalize !== "boolean") throw typeError(where, "normalize", "true or false", describe(normalize));
  const counts = options.counts ?? COUNTS.filter((count) => count * 2 * leastRows <= n);
  counts.forEach((count, i) => checkInteger(where, "counts", count, i === 0 ? 2 : counts[i - 1] + 1, Math.max(2, n - 1)));
  const x = normalize ? directions(where, given) : given;

  if (n < leastRows) return { groups: [], labels: none(n), outcome: "too few rows", pValue: NaN, criterion: [] };
  const random = randomSource(seed, 42);
  const tried = n < 2 * leastRows ? [] : yield* partOf(divide(x, counts, random, restarts), 0, 1 / (references + 1));
  const criterion = tried.map(({ found, mean }) => ({ count: found.centres.shape[0], inertia: found.inertia, silhouette: mean }));
  const best = tried.reduce<Tried | undefined>((top, each) => (top === undefined || each.mean > top.mean ? each : top), undefined);
  let least = 1;
  if (best !== undefined) {
    const centred = centredRows(x);
    for (let r = 0; r < references; r++) {
      const own = yield* partOf(divide(gaussian(centred, random), counts, random, restarts), (r + 1) / (references + 1), 1 / (references + 1));
      if (own.some(({ mean }) => mean >= best.mean)) least++;
    }
  }
  const pValue = best === undefined ? NaN : least / (references + 1);
  if (best === undefined || pValue > level) {
    return { groups: [groupOf(x, Int32Array.from({ length: n }, (_, i) => i), NaN)], labels: new Tensor("int32", [n], new Int32Array(n)), outcome: "one group", pValue, criterion };
  }
  const count = best.found.centres.shape[0], members = Array.from({ length: count }, (): number[] => []);
  best.found.labels.data.forEach((label, i) => members[label].push(i));
  const groups = members
    .map((rows) => groupOf(x, Int32Array.from(rows), rows.reduce((sum, i) => sum + best.rows[i], 0) / rows.length))
    .filter(({ rows, silhouette }) => rows.length >= leastRows && silhouette > leastSilhouette)
    .sort((a, b) => b.silhouette - a.silhouette);
  const labels = none(n);
  groups.forEach(({ rows }, g) => rows.forEach((i) => (labels.data[i] = g)));
  return { groups, labels, outcome: "groups", pValue, criterion };
}

const none = (n: number): Tensor<"int32"> => new Tensor("int32", [n], new Int32Array(n).fill(-1));

/** A division and how good it is. */
interface Tried {
  readonly found: KMeans;
  readonly rows: Float64Array;
  readonly mean: number;
}

/** One division for each number of groups that there are different rows for. */
function* divide(x: Tensor<"float32">, counts: readonly number[], random: RandomSource, restarts: number): Steps<Tried[]> {
  const all: KMeans[] = [];
  for (let i = 0; i < counts.length; i++) {
    const found = yield* partOf(clusterSteps(x, counts[i], { random, restarts, maxIterations: 50 }), (0.9 * i) / counts.length, 0.9 / counts.length);
    if (found !== undefined) all.push(found);
  }
  const each = yield* partOf(silhouettes(x, all.map(({ centres, labels }) => ({ count: centres.shape[0], labels: labels.data }))), 0.9, 0.1);
  return all.map((found, i) => ({ found, rows: each[i], mean: each[i].reduce((a, b) => a + b, 0) / each[i].length }));
}

/** Gaussian rows whose covariance is that of the rows. */
function gaussian(centred: Tensor<"float32">, random: RandomSource): Tensor<"float32"> {
  const n = centred.shape[0], scale = 1 / Math.sqrt(n);
  const z = Float32Array.from({ length: n * n }, () => scale * sampleNormal(random));
  return matmul({ data: z, shape: [n, n] }, centred);
}

function groupOf({ data, shape: [, width] }: Tensor<"float32">, rows: Int32Array, silhouette: number): RowGroup {
  const mean = new Float64Array(width), distances = new Map<number, number>();
  for (const i of rows) for (let j = 0; j < width; j++) mean[j] += data[i * width + j] / rows.length;
  for (const i of rows) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += (data[i * width + j] - mean[j]) ** 2;
    distances.set(i, sum);
  }
  return { rows: rows.sort((a, b) => distances.get(a)! - distances.get(b)! || a - b), silhouette, centre: new Tensor("float32", [width], Float32Array.from(mean)) };
}

function directions(where: string, { data, shape: [n, width] }: Tensor<"float32">): Tensor<"float32"> {
  const unit = unitRows(data, width);
  for (let i = 0; i < n; i++) if (!unit.subarray(i * width, (i + 1) * width).some((value) => value !== 0)) throw rangeError(where, "features", "with a direction in each row", `only zeros in row ${i}`, "Drop it, or pass `normalize: false`");
  return new Tensor("float32", [n, width], unit);
}

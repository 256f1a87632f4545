import { betaQuantile, conformalRank } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkLabels, checkShape, lastingData, rangeError, runSteps, tensorToJSON, type JsonFields, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { picked, sortIndices, sortNumbers } from "./sortSteps.ts";

/** What is promised about the coverage of new rows. */
export interface ExpectedCoverage {
  /** k / (n + 1), k = ceil((n + 1)(1 - alpha)): over new calibration rows and new rows. At least 1 - alpha. */
  readonly mean: number;
  /** For the calibration rows at hand the coverage is a Beta(k, n + 1 - k) number; this interval holds it with probability `level`. */
  readonly interval: readonly [low: number, high: number];
}

/** The part of a JSON that a table writes. */
export interface ScoreTableJSON {
  readonly n: number;
  /** float32 [n], ascending within a group. */
  readonly scores: TensorJSON;
  /** int32 [G], rows of each group; only where there are groups. */
  readonly groupSizes?: TensorJSON;
  /** float32 [n], in the order of the scores; only where rows have weights. */
  readonly weights?: TensorJSON;
}

/**
 * Calibration scores, ascending within each group, with their weights beside them: thresholds and p-values for new rows.
 *
 *   threshold = the smallest score s with sum of the w_i with s_i <= s  >=  (1 - alpha) (sum of all w_i + w),   Infinity where there is none
 *
 * All weights 1: the k-th smallest score, k = ceil((n + 1)(1 - alpha)).
 */
export class ScoreTable {
  readonly n: number;
  /** Number of groups, or undefined where all rows are one. */
  readonly groups: number | undefined;
  readonly weighted: boolean;
  readonly #scores: Float32Array;
  readonly #starts: Int32Array;
  readonly #weights: Float32Array | undefined;
  /** Running sums of the weights within each group. */
  readonly #sums: Float64Array | undefined;

  private constructor(scores: Float32Array, starts: Int32Array, grouped: boolean, weights: Float32Array | undefined) {
    this.n = scores.length;
    this.groups = grouped ? starts.length - 1 : undefined;
    this.weighted = weights !== undefined;
    this.#scores = scores;
    this.#starts = starts;
    this.#weights = weights;
    if (weights) {
      const sums = (this.#sums = new Float64Array(scores.length));
      for (let g = 0; g + 1 < starts.length; g++) for (let i = starts[g], sum = 0; i < starts[g + 1]; i++) sums[i] = sum += weights[i];
    }
    Object.freeze(this);
  }

  /** Sorts the scores within their groups; a weight stays with its score. The arrays are not kept. */
  static from(scores: Float32Array, group?: { readonly of: Int32Array; readonly count: number }, weights?: Float32Array): ScoreTable {
    return runSteps(ScoreTable.fromSteps(scores, group, weights));
  }

  /** The pieces of `from`. */
  static *fromSteps(scores: Float32Array, group?: { readonly of: Int32Array; readonly count: number }, weights?: Float32Array): Steps<ScoreTable> {
    const n = scores.length;
    if (!group && !weights) return new ScoreTable(yield* sortNumbers(scores.slice()), Int32Array.of(0, n), false, undefined);
    const starts = new Int32Array((group?.count ?? 1) + 1);
    if (group) for (let i = 0; i < n; i++) starts[group.of[i] + 1]++;
    else starts[1] = n;
    for (let g = 1; g < starts.length; g++) starts[g] += starts[g - 1];
    const at = starts.slice(), order = new Int32Array(n);
    for (let i = 0; i < n; i++) order[at[group ? group.of[i] : 0]++] = i;
    // Equal scores by weight, so that the order of the rows does not matter.
    for (let g = 0; g + 1 < starts.length; g++) yield* sortIndices(order.subarray(starts[g], starts[g + 1]), (a, b) => scores[a] - scores[b] || (weights ? weights[a] - weights[b] : 0));
    return new ScoreTable(yield* picked(scores, order, new Float32Array(n)), starts, group !== undefined, weights && (yield* picked(weights, order, new Float32Array(n))));
  }

  /** Rows of each group. */
  sizes(): number[] {
    return Array.from({ length: this.#starts.length - 1 }, (_, g) => this.#starts[g + 1] - this.#starts[g]);
  }

  /** A new row of the group with this weight has a score above the threshold with probability at most alpha. alpha in [0, 1]; -Infinity at 1. */
  threshold(alpha: number, group: number, weight: number): number {
    if (alpha === 1) return -Infinity;
    const start = this.#starts[group], n = this.#starts[group + 1] - start;
    if (alpha === 0 || n === 0) return Infinity;
    const sums = this.#sums;
    if (!sums) {
      const k = conformalRank(n, alpha);
      return k > n ? Infinity : this.#scores[start + k - 1];
    }
    const all = sums[start + n - 1] + weight;
    // As conformalRank: what is an integer in exact arithmetic is not rounded up.
    const goal = (1 - alpha) * all - (1e-9 * all) / (n + 1);
    let low = 0, high = n;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[start + middle] >= goal && sums[start + middle] > 0) high = middle;
      else low = middle + 1;
    }
    return low === n ? Infinity : this.#scores[start + low];
  }

  /** Share of the scores of the group that are as high as the row's own, itself included; at a tie the rows of that score count with the part `tie`. */
  pValue(score: number, group: number, weight: number, tie: number): number {
    const start = this.#starts[group], end = this.#starts[group + 1];
    const first = this.#below(start, end, score, false), last = this.#below(first, end, score, true);
    const sums = this.#sums;
    const upTo = (i: number): number => (i === start ? 0 : sums ? sums[i - 1] : i - start);
    const all = upTo(end) + weight;
    // Nothing weighs anything: nothing speaks against the row.
    return all > 0 ? Math.min(1, (upTo(end) - upTo(last) + tie * (upTo(last) - upTo(first) + weight)) / all) : 1;
  }

  /** k / (n + 1) and the Beta interval of one group. */
  expectedCoverage(where: string, alpha: number, level: number, group: number): ExpectedCoverage {
    if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
    const n = this.#starts[group + 1] - this.#starts[group];
    const k = conformalRank(n, alpha);
    if (k > n) return { mean: 1, interval: [1, 1] };
    return { mean: k / (n + 1), interval: [betaQuantile((1 - level) / 2, k, n + 1 - k), betaQuantile((1 + level) / 2, k, n + 1 - k)] };
  }

  toJSON(): ScoreTableJSON {
    const { n, groups } = this;
    return {
      n, scores: tensorToJSON(new Tensor("float32", [n], this.#scores)),
      ...(groups !== undefined && { groupSizes: tensorToJSON(new Tensor("int32", [groups], Int32Array.from(this.sizes()))) }),
      ...(this.#weights && { weights: tensorToJSON(new Tensor("float32", [n], this.#weights)) }),
    };
  }

  /** Reads its part of an object; scores outside [low, high] are refused. */
  static fromJSON(fields: JsonFields, grouped: boolean, weighted: boolean, low: number, high: number): ScoreTable {
    const n = fields.integer("n", 1, 2147483647);
    const scores = fields.tensor("scores", "float32", 1).data;
    if (scores.length !== n) fields.fail("scores", `${n} numbers`, `${scores.length}`);
    const starts = [0];
    if (grouped) {
      const sizes = fields.tensor("groupSizes", "int32", 1).data;
      for (const size of sizes) starts.push(starts[starts.length - 1] + (size < 0 ? fields.fail("groupSizes", "of counts", `${size}`) : size));
      if (starts[starts.length - 1] !== n) fields.fail("groupSizes", `with the sum ${n}`, `${starts[starts.length - 1]}`);
    } else starts.push(n);
    const weights = weighted ? fields.tensor("weights", "float32", 1).data : undefined;
    if (weights && weights.length !== n) fields.fail("weights", `${n} numbers`, `${weights.length}`);
    const heads = new Set(starts);
    for (let i = 0; i < n; i++) {
      if (!(scores[i] >= low && scores[i] <= high)) fields.fail("scores", `in [${low}, ${high}]`, `${scores[i]} at index ${i}`);
      if (!heads.has(i) && scores[i] < scores[i - 1]) fields.fail("scores", "ascending", `${scores[i]} after ${scores[i - 1]} at index ${i}`);
      if (weights && !(weights[i] >= 0)) fields.fail("weights", ">= 0", `${weights[i]} at index ${i}`);
    }
    return new ScoreTable(scores, Int32Array.from(starts), grouped, weights);
  }

  #below(start: number, end: number, score: number, equal: boolean): number {
    let low = start, high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#scores[middle] < score || (equal && this.#scores[middle] === score)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** float32 [rows] weights, finite and >= 0. */
export function weightsOf(where: string, weights: TensorLike, rows: number): Float32Array {
  const w = asFloat32(where, "weights", weights);
  checkShape(where, "weights", w, [rows]);
  for (let i = 0; i < rows; i++) if (!(w.data[i] >= 0 && w.data[i] < Infinity)) throw rangeError(where, "weights", "of finite numbers >= 0", `${w.data[i]} at index ${i}`);
  return lastingData(w);
}

/** int32 [rows] groups in [0, count). */
export function groupsOf(where: string, groups: TensorLike, rows: number, count: number): Int32Array {
  const g = asInt32(where, "groups", groups);
  checkShape(where, "groups", g, [rows]);
  checkLabels(where, "groups", g, count);
  return lastingData(g);
}

/** One more than the largest group. */
export function countOf(groups: Int32Array): number {
  let most = 0;
  for (let i = 0; i < groups.length; i++) if (groups[i] >= most) most = groups[i] + 1;
  return most;
}

/** What rows to predict must come with: groups and weights exactly where the calibration rows had them. */
export function checkGiven(where: string, argument: "groups" | "weights", fitted: boolean, given: TensorLike | undefined): void {
  if (fitted !== (given !== undefined)) throw rangeError(where, argument, fitted ? "of the rows, as the fit had them" : "absent, as at the fit", fitted ? "none" : "some");
}

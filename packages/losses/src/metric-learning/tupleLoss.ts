import type { Similarity } from "@logits/core-wasm/similarity";
import { exp, log } from "@logits/statistics";
import { pairLoss, type PairLoss, type PairLossOptions } from "../pairs/pairLoss.ts";
import { checkChoice } from "../range.ts";

/** Options of a loss over distances. */
export interface DistanceOptions extends PairLossOptions {
  /** How far two embeddings are: "euclidean" |z - r|, "squaredEuclidean" |z - r|^2, "cosine" 1 - cos, "dot" -z . r. */
  readonly distance?: Similarity;
}

/** How the terms of one anchor become its value: the mean of all, the mean of those above 0, or their sum. */
export type TermAverage = "all" | "nonZero" | "sum";
export const AVERAGES: readonly TermAverage[] = ["all", "nonZero", "sum"];

/** The value of an anchor from its similarities or distances x with the columns listed as positives and as negatives; with `slopes`, zeros at first, adds d value / d x[j] to them. */
export type TupleRow = (x: Float32Array, positives: Int32Array, negatives: Int32Array, slopes: Float64Array | undefined) => number;

/** Makes a loss of labelled embeddings whose anchors look at lists of positives and negatives. `needs` says which anchors count: those with a positive, with both, or all. */
export function tupleLoss<Options extends PairLossOptions>(
  name: string,
  similarity: Similarity,
  plan: (options: Options, where: string) => TupleRow,
  needs: "both" | "positive" | "none" = "both",
): PairLoss<Options> {
  return made(name, () => similarity, plan, needs, false);
}

/** The same where the rows are distances, by default `distance`. */
export function distanceLoss<Options extends DistanceOptions>(
  name: string,
  distance: Similarity,
  plan: (options: Options, where: string) => TupleRow,
  needs: "both" | "positive" | "none" = "both",
): PairLoss<Options> {
  return made(name, (options) => options.distance ?? distance, plan, needs, true);
}

function made<Options extends DistanceOptions>(name: string, measure: (options: Options) => Similarity, plan: (options: Options, where: string) => TupleRow, needs: string, distances: boolean): PairLoss<Options> {
  return pairLoss(name, measure, (options, { rowLabels, columnLabels, self, positives }, where) => {
    const row = plan(options, where), m = columnLabels.length, slopes = new Float64Array(m), near = new Int32Array(m), far = new Int32Array(m), kind = measure(options);
    checkChoice(where, "distance", kind, ["euclidean", "squaredEuclidean", "cosine", "dot"]);
    const turned = distances && (kind === "cosine" || kind === "dot"), origin = kind === "cosine" ? 1 : 0, partners = self ? m - 1 : m;
    return {
      counts: (i) => needs === "none" || (positives(i) > 0 && (needs === "positive" || positives(i) < partners)),
      row(i, x, coefficient) {
        let p = 0, n = 0, broken = false;
        for (let j = 0; j < m; j++) {
          if (x[j] !== x[j]) broken = true;
          if (columnLabels[j] !== rowLabels[i]) far[n++] = j;
          else if (!self || j !== i) near[p++] = j;
          if (turned) x[j] = origin - x[j];
        }
        if (broken) {
          x.fill(NaN);
          return NaN;
        }
        if (coefficient === undefined) return row(x, near.subarray(0, p), far.subarray(0, n), undefined);
        slopes.fill(0);
        const value = row(x, near.subarray(0, p), far.subarray(0, n), slopes), factor = turned ? -coefficient : coefficient;
        // Slopes next to nothing become 0: products of subnormal numbers take a hundred times as long.
        for (let j = 0; j < m; j++) {
          const slope = factor * slopes[j];
          x[j] = slope < 1e-30 && slope > -1e-30 ? 0 : slope;
        }
        return value;
      },
    };
  });
}

/**
 * log(least + sum_j exp(scale (x[j] - base))) over the listed columns, and what adds factor times its slopes; least is 0 or 1. -Infinity where nothing is summed.
 */
export function logSum(x: ArrayLike<number>, columns: Int32Array, scale: number, base: number, least: 0 | 1): [value: number, add: (slopes: Float64Array, factor: number) => void] {
  const terms = new Float64Array(columns.length);
  let top = least === 1 ? 0 : -Infinity;
  for (let k = 0; k < terms.length; k++) top = Math.max(top, (terms[k] = scale * (x[columns[k]] - base)));
  if (top === -Infinity) return [top, () => undefined];
  let sum = least === 1 ? exp(-top) : 0;
  for (let k = 0; k < terms.length; k++) sum += terms[k] = exp(terms[k] - top);
  return [
    top + log(sum),
    (slopes, factor) => {
      const share = (factor * scale) / sum;
      for (let k = 0; k < terms.length; k++) slopes[columns[k]] += share * terms[k];
    },
  ];
}

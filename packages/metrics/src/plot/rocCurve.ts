import { sortOrder } from "@logits/statistics";
import { asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { auroc } from "../auroc.ts";
import { numbers } from "../rows.ts";
import type { Plot } from "./plot.ts";

/** What every threshold does, and the area under the curve. */
export interface RocCurve {
  /** Thresholds from high to low, each a score that occurs; Infinity (nothing is flagged) comes in front. A row is flagged at or above. */
  readonly threshold: Float64Array;
  /** Share of the negative rows that are flagged. */
  readonly falsePositiveRate: Float64Array;
  /** Share of the positive rows that are flagged. */
  readonly truePositiveRate: Float64Array;
  readonly auroc: number;
}

/**
 * The receiver operating characteristic: the rates of false and of true alarms at every threshold. Equal scores are one point.
 *
 *   falsePositiveRate[i] = P(s- >= threshold[i])        truePositiveRate[i] = P(s+ >= threshold[i])
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive
 * @returns float64 arrays with one entry more than there are different scores, from (0, 0) to (1, 1); `auroc`
 * @throws RangeError for another shape, a NaN (its row is named), and when there is no positive or no negative row
 * @example
 *   rocCurve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).truePositiveRate; // [0, 0.5, 0.5, 1, 1]
 * Source: Fawcett, "An introduction to ROC analysis", 2006, algorithm 1.
 */
export function rocCurve(scores: TensorLike, positives: TensorLike): RocCurve {
  const s = numbers("rocCurve", "scores", scores), mask = asMask("rocCurve", "positives", positives), n = s.length;
  checkShape("rocCurve", "positives", mask, ["N"]);
  if (mask.size !== n) throw rangeError("rocCurve", "positives", `of shape [${n}]`, `[${mask.size}]`);
  let count = 0;
  for (let i = 0; i < n; i++) count += mask.data[i];
  if (count === 0 || count === n) throw rangeError("rocCurve", "positives", "with at least one positive and one negative row", `${count} of ${n} positive`);
  const order = sortOrder(Float64Array.from(s, (value) => value + 0)).reverse();
  const threshold = [Infinity], falsePositives = [0], truePositives = [0];
  for (let start = 0, wrong = 0, right = 0; start < n; ) {
    const value = s[order[start]];
    for (; start < n && s[order[start]] === value; start++) {
      if (mask.data[order[start]]) right++;
      else wrong++;
    }
    threshold.push(value + 0);
    falsePositives.push(wrong / (n - count));
    truePositives.push(right / count);
  }
  return { threshold: Float64Array.from(threshold), falsePositiveRate: Float64Array.from(falsePositives), truePositiveRate: Float64Array.from(truePositives), auroc: auroc(scores, positives) };
}

/**
 * A ROC curve as a plot, with the line of chance.
 *
 * @param curve - of `rocCurve`
 * @example
 *   svg(rocPlot(rocCurve(scores, positives)), { width: 300, height: 300 });
 * Source: Fawcett, 2006.
 */
export function rocPlot({ falsePositiveRate, truePositiveRate, auroc: area }: RocCurve): Plot {
  return {
    title: "True alarms against false ones",
    description: `Area under the curve: ${area.toFixed(4)}; chance gives 0.5.`,
    x: { label: "false alarms: share of negative rows", domain: [0, 1], percent: true },
    y: { label: "true alarms: share of positive rows", domain: [0, 1], percent: true },
    series: [
      { kind: "line", x: [0, 1], y: [0, 1], colour: "soft", dashed: true },
      { kind: "line", x: falsePositiveRate, y: truePositiveRate, colour: 1 },
    ],
  };
}

/**
 * What every threshold does, as a plot: the rates of both kinds of alarms along the threshold.
 *
 * @param curve - of `rocCurve`
 * @param options - `threshold`: the one in use, drawn as a line; not drawn where it is infinite
 * @example
 *   svg(thresholdPlot(rocCurve(scores, positives), { threshold: 2.5 }));
 * Source: folklore.
 */
export function thresholdPlot({ threshold, falsePositiveRate, truePositiveRate }: RocCurve, options: { readonly threshold?: number } = {}): Plot {
  const at = options.threshold;
  return {
    title: "Alarms at every threshold",
    x: { label: "threshold" },
    y: { label: "share of rows flagged", domain: [0, 1], percent: true },
    series: [
      { kind: "line", name: "positive rows", x: threshold, y: truePositiveRate, colour: 2 },
      { kind: "line", name: "negative rows", x: threshold, y: falsePositiveRate, colour: 1 },
      // Infinity flags nothing: there is no place for it.
      ...(at !== undefined && Math.abs(at) < Infinity ? [{ kind: "rule", axis: "x", at, dashed: true, label: "in use" } as const] : []),
    ],
  };
}

import { pacOrderStatistic } from "@logits/statistics";
import type { Steps } from "@logits/tensor";
import type { LabelRule } from "./labelRule.ts";

/** Above every probability: the label is never given. */
export const NEVER = 2;

/** Probabilities of calibration rows and what is true of them, both [N, C]. */
export interface LabelRows {
  readonly probabilities: Float32Array;
  readonly targets: Uint8Array;
  readonly classes: number;
}

/** float32 [C]: the thresholds of a rule. */
export function* thresholdSteps(rule: LabelRule, rows: LabelRows): Steps<Float32Array> {
  const { classes } = rows, out = new Float32Array(classes);
  if ("maxMissed" in rule) return out.fill(missedThreshold(rows, rule.maxMissed));
  for (let c = 0; c < classes; c++) {
    if ("cost" in rule) out[c] = rule.cost.falsePositive / (rule.cost.falsePositive + rule.cost.falseNegative);
    else out[c] = "fMeasure" in rule ? fMeasureThreshold(rows, c, rule.fMeasure) : falsePositiveThreshold(rows, c, rule.maxFalsePositiveRate, rule.confidence!);
    yield c / classes;
  }
  return out;
}

/** The number above the k-th largest probability of the rows without the label: at most k - 1 of them, and a Beta(k, n + 1 - k) share of all such rows, reach it. */
function falsePositiveThreshold(rows: LabelRows, c: number, alpha: number, confidence: number): number {
  const negatives = column(rows, c, 0).sort();
  const answer = pacOrderStatistic(negatives.length, { alpha, confidence });
  return answer.attainable ? nextUp(negatives[negatives.length - answer.k]) : NEVER;
}

/** The largest F_beta = (1 + b) TP / ((1 + b) TP + b FN + FP), b = beta^2, over all thresholds; of equal ones the largest threshold; without a row that has the label: never. */
function fMeasureThreshold(rows: LabelRows, c: number, beta: number): number {
  const positives = column(rows, c, 1).sort(), negatives = column(rows, c, 0).sort(), b = beta * beta;
  let best = 0, threshold = NEVER;
  for (let i = positives.length - 1, j = negatives.length - 1; i >= 0; ) {
    // Lowering the threshold to a value without a positive only adds false positives.
    const p = positives[i];
    while (i >= 0 && positives[i] === p) i--;
    while (j >= 0 && negatives[j] >= p) j--;
    const hits = positives.length - 1 - i, alarms = negatives.length - 1 - j;
    const f = ((1 + b) * hits) / ((1 + b) * hits + b * (i + 1) + alarms);
    if (f > best) [best, threshold] = [f, p];
  }
  return threshold;
}

/** The largest threshold with (sum over the n rows of the missed share + 1) / (n + 1) <= alpha; 0 where n < 1 / alpha - 1, so that every label is given. */
function missedThreshold({ probabilities, targets, classes }: LabelRows, alpha: number): number {
  const rows = targets.length / classes;
  const missed = new Map<number, number>();
  for (let row = 0; row < rows; row++) {
    const own = targets.subarray(row * classes, (row + 1) * classes), count = own.reduce((sum, x) => sum + x, 0);
    own.forEach((given, c) => {
      const p = probabilities[row * classes + c];
      if (given) missed.set(p, (missed.get(p) ?? 0) + 1 / count);
    });
  }
  // A sum of 1 / 3 + 1 / 3 + 1 / 3 may be a rounding above what it stands for.
  const allowed = alpha * (rows + 1) - 1 + 1e-9;
  if (allowed < 0) return 0;
  let sum = 0;
  for (const p of Float32Array.from(missed.keys()).sort()) {
    sum += missed.get(p)!;
    // A threshold of p itself still gives the labels at p.
    if (sum > allowed) return p;
  }
  return NEVER;
}

/** The probabilities of label c in the rows with (1) or without (0) it. */
function column({ probabilities, targets, classes }: LabelRows, c: number, wanted: 0 | 1): Float32Array {
  const found: number[] = [];
  for (let at = c; at < targets.length; at += classes) if (targets[at] === wanted) found.push(probabilities[at]);
  return Float32Array.from(found);
}

/** The next float32 above a number in [0, 1]. */
function nextUp(x: number): number {
  const bits = new Int32Array(1), value = new Float32Array(bits.buffer);
  value[0] = x;
  bits[0]++;
  return value[0];
}

import { pacOrderStatistic } from "@logits/statistics";
import { percent, type Guarantee } from "./guarantees.ts";
import type { LabelRule } from "./labelRule.ts";

/** What the promises of a multi-label head rest on. */
export interface LabelFacts {
  readonly rule: LabelRule;
  readonly classes: readonly string[];
  readonly fitRows: number;
  readonly calibrationRows: number;
  readonly split: number | "given";
  readonly seed: number;
  /** Calibration rows with each label. */
  readonly positives: Int32Array;
}

/** The promises of the thresholds, with the rows that they rest on. */
export function labelGuarantees(facts: LabelFacts): readonly Guarantee[] {
  const { rule, classes, calibrationRows: n, fitRows, split, seed } = facts;
  const origin = split === "given"
    ? `the ${n} calibration rows that were given; the calibration of the probabilities saw ${fitRows} others`
    : `the ${n} calibration rows (of ${n + fitRows}, split with seed ${seed}); the calibration of the probabilities saw the other ${fitRows}`;
  const assumes = ["new rows are exchangeable with the calibration rows (drawn from the same source)", "no labelled row trained the model or served another choice"];
  if ("maxMissed" in rule) {
    const attainable = rule.maxMissed * (n + 1) - 1 + 1e-9 >= 0;
    return [{
      statement: `Of a new row's true labels a share of at most ${percent(rule.maxMissed)} is missed in the mean, rows without any label counted as 0${attainable ? "" : `; ${n} rows are too few for that, so every label is given`}.`,
      kind: "missed labels", level: rule.maxMissed, attainable, n, rows: origin, assumes,
    }];
  }
  if (!("maxFalsePositiveRate" in rule)) return [];
  const { maxFalsePositiveRate: level, confidence } = rule;
  return classes.map((name, c) => {
    const without = n - facts.positives[c];
    const { attainable } = pacOrderStatistic(without, { alpha: level, confidence: confidence! });
    return {
      statement: `With probability at least ${percent(confidence!)} over the drawing of the rows, at most ${percent(level)} of new rows without ${JSON.stringify(name)} get it${attainable ? "" : `; ${without} such rows are too few for that, so none does`}.`,
      kind: "false-positive rate", level, confidence, attainable, n: without, rows: `those without ${JSON.stringify(name)} of ${origin}`, assumes: [`calibration rows without ${JSON.stringify(name)} and new ones are independent draws from one source`, assumes[1]],
    };
  });
}

/** What the thresholds do not promise. */
export function notPromisedOfLabels(rule: LabelRule): readonly string[] {
  const always = ["anything about rows unlike the calibration rows: there is no detector", "that the probabilities are right: they are calibrated on the fit rows, nothing is tested"];
  if ("maxMissed" in rule) return ["how many labels are given that are not true", "the missed share of each label, or of these very calibration rows: it is a mean over drawings of calibration and new rows", ...always];
  if ("maxFalsePositiveRate" in rule) return ["which share of the true labels is found", "that the rates of all labels are kept together: each is kept with its own confidence", ...always];
  return ["cost" in rule ? "the expected cost: the thresholds are the best ones only if the probabilities are right" : "the F-measure on new rows: the thresholds are the best ones for the calibration rows", ...always];
}

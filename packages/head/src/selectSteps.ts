import { auroc, falsePositiveRateAtRecall } from "@logits/metrics";
import type { Detector } from "@logits/ood";
import { Tensor, partOf, randomSource, rangeError, typeError, type Steps } from "@logits/tensor";
import { fitChoice, isDetector, nameOf, type DetectorChoice } from "./detectorChoice.ts";
import { cut, detectorScores, scoresOf } from "./detectorScores.ts";
import { halves } from "./halves.ts";
import { taken, type LabelledRows, type Rows } from "./rows.ts";

/** What stands in for outliers where none are given. */
export const PROXY = "held-out classes";
export type Proxy = typeof PROXY;

/** Groups of classes that are held out in turn. */
const GROUPS = 4;
/** Rows that a latency is the median of. */
const TIMED = 65;

/** How to choose among detectors. */
export interface SelectionOptions {
  /** What decides: the largest "auroc" (default), or the smallest "falsePositiveRate" where 95 % of the outliers are found. The first of equals wins. */
  readonly criterion?: "auroc" | "falsePositiveRate";
  /** Most bytes of a detector as JSON text (`toBytes` needs three quarters of that for its numbers). */
  readonly maxBytes?: number;
  /** Longest time for one row, in milliseconds: the median of 65 rows one by one. Needs `clock`. */
  readonly maxLatencyMs?: number;
  /** Milliseconds since any moment, such as `() => performance.now()`: time is an argument, so that all else is the same in every run. */
  readonly clock?: () => number;
}

/** What a candidate showed. */
export interface CandidateScore {
  readonly name: string;
  /** Outliers against fit rows that did not fit it; with held-out classes the mean over the groups. */
  readonly auroc: number;
  /** Share of fit rows that did not fit it, and that are flagged where 95 % of the outliers are found. */
  readonly falsePositiveRate: number;
  /** As JSON text, fitted on all fit rows; where there is a `maxBytes`. */
  readonly bytes?: number;
  /** For one row, in milliseconds; where there is a `maxLatencyMs`. */
  readonly latencyMs?: number;
  /** Keeps the budgets. */
  readonly within: boolean;
}

/** A detector that was chosen, and the table behind it. */
export interface Selected {
  /** Fitted on all fit rows. */
  readonly detector: Detector;
  /** Its index in `candidates`. */
  readonly best: number;
  /** In the order of the candidates. */
  readonly candidates: readonly CandidateScore[];
  /** Fit rows that were scored. */
  readonly rows: number;
  /** Outliers that were scored. */
  readonly outliers: number;
  /** Where no outliers were given. */
  readonly proxy?: Proxy;
}

/** Rows to fit on, rows that must score low, rows that must score high. */
interface Trial {
  readonly own: LabelledRows;
  readonly held: LabelledRows;
  readonly outside: Rows;
  readonly kept?: Int32Array;
}

/**
 * The candidate that tells the outliers best from fit rows: each is fitted on one half of the fit rows and scored on the other, the winner is fitted on all. Without outliers classes are held
 * out in turn, in at most 4 groups: the fit sees the rows and the columns of the others, and the rows of the group are the outliers.
 */
export function* selectSteps(where: string, choices: readonly DetectorChoice[], fit: LabelledRows, outliers: Rows | undefined, seed: number, options: SelectionOptions = {}): Steps<Selected> {
  const { criterion = "auroc", maxBytes, maxLatencyMs, clock } = options;
  if (criterion !== "auroc" && criterion !== "falsePositiveRate") throw rangeError(where, "criterion", '"auroc" or "falsePositiveRate"', `${criterion as string}`);
  for (const [name, value] of [["maxBytes", maxBytes], ["maxLatencyMs", maxLatencyMs]] as const) if (value !== undefined && !(value > 0)) throw rangeError(where, name, "a number > 0", `${value}`);
  if (maxLatencyMs !== undefined && clock === undefined) throw typeError(where, "clock", "a function where there is a `maxLatencyMs`", "nothing", "Pass () => performance.now()");
  if (outliers?.logits.shape[0] === 0) throw rangeError(where, "outliers", "of at least one row", "none");
  if (fit.labels.size < 2) throw rangeError(where, "detector", "one detector where there are fewer than 2 fit rows", `${choices.length}`);
  let trials: Trial[];
  if (outliers === undefined) trials = yield* partOf(classesHeldOut(where, choices, fit, seed), 0, 0.1);
  else {
    const [own, held] = yield* partOf(halves(fit, randomSource(seed, 1)), 0, 0.1);
    trials = [{ own, held, outside: outliers }];
  }

  const budgets = maxBytes !== undefined || maxLatencyMs !== undefined, whole: Detector[] = [], table: CandidateScore[] = [];
  const share = 0.6 / choices.length;
  for (const [i, choice] of choices.entries()) {
    const start = 0.1 + i * share, each = share / (trials.length + Number(budgets));
    let name = "", area = 0, flagged = 0;
    for (const [t, trial] of trials.entries()) {
      const from = start + t * each;
      const detector = yield* partOf(fitChoice(where, choice, trial.own, trial.kept), from, 0.7 * each);
      name = nameOf(choice, detector);
      const inside = yield* partOf(detectorScores(where, detector, trial.held, ""), from + 0.7 * each, 0.2 * each);
      const outside = yield* partOf(detectorScores(where, detector, trial.outside, "outliers."), from + 0.9 * each, 0.1 * each);
      const scores = new Float32Array(inside.length + outside.length), positives = new Uint8Array(scores.length);
      scores.set(inside);
      scores.set(outside, inside.length);
      positives.fill(1, inside.length);
      area += auroc(scores, positives) / trials.length;
      flagged += falsePositiveRateAtRecall(scores, positives) / trials.length;
      // Matrices in WebAssembly memory; a detector that was given belongs to the caller.
      if (!isDetector(choice)) detector.dispose?.();
    }
    if (budgets) whole.push(yield* partOf(fitChoice(where, choice, fit), start + trials.length * each, each));
    const bytes = maxBytes === undefined ? undefined : new TextEncoder().encode(JSON.stringify(whole[i].toJSON())).length;
    const latencyMs = maxLatencyMs === undefined ? undefined : latencyOf(whole[i], fit, clock!);
    const within = !(bytes! > maxBytes!) && !(latencyMs! > maxLatencyMs!);
    table.push({ name, auroc: area, falsePositiveRate: flagged, ...(bytes !== undefined && { bytes }), ...(latencyMs !== undefined && { latencyMs }), within });
  }
  let best = -1;
  table.forEach((row, i) => {
    if (!row.within) return;
    if (best < 0 || (criterion === "auroc" ? row.auroc > table[best].auroc : row.falsePositiveRate < table[best].falsePositiveRate)) best = i;
  });
  if (best < 0) {
    throw rangeError(where, "detector", "one that keeps the budgets", table.map(({ name, bytes, latencyMs }) => `${name} of ${[...(bytes === undefined ? [] : [`${bytes} bytes`]), ...(latencyMs === undefined ? [] : [`${latencyMs} ms`])].join(" and ")}`).join(", "));
  }
  whole.forEach((detector, i) => {
    if (i !== best && !isDetector(choices[i])) detector.dispose?.();
  });
  const detector = budgets ? whole[best] : yield* partOf(fitChoice(where, choices[best], fit), 0.7, 0.3);
  const count = (of: (trial: Trial) => Rows): number => trials.reduce((sum, trial) => sum + of(trial).logits.shape[0], 0);
  return { detector, best, candidates: table, rows: count(({ held }) => held), outliers: count(({ outside }) => outside), ...(outliers === undefined && { proxy: PROXY }) };
}

function* classesHeldOut(where: string, choices: readonly DetectorChoice[], fit: LabelledRows, seed: number): Steps<Trial[]> {
  const given = choices.find(isDetector);
  if (given !== undefined) throw rangeError(where, "outliers", `to judge the fitted detector "${given.method}"`, "nothing", "It saw every class, so none can be held out: pass rows known to be outside, or a function that fits it");
  const { labels, logits } = fit, width = logits.shape[1], present = [...new Set(labels.data)].sort((a, b) => a - b);
  if (present.length < 3) throw rangeError(where, "outliers", `to choose among ${choices.length} detectors with fewer than 3 classes`, "nothing", "Pass rows known to be outside, or one detector");
  const order = randomSource(seed, 3).permutation(present.length), groups = Math.min(GROUPS, present.length), trials: Trial[] = [];
  for (let g = 0; g < groups; g++) {
    const out = new Set(Array.from(order).filter((_, i) => i % groups === g).map((i) => present[i]));
    const kept = Int32Array.from({ length: width }, (_, c) => c).filter((c) => !out.has(c));
    const rowsWhere = (wanted: boolean): Int32Array => Int32Array.from(labels.data.keys()).filter((row) => out.has(labels.data[row]) === wanted);
    const inside = narrowed(yield* taken(fit, rowsWhere(false)), kept), outside = narrowed(yield* taken(fit, rowsWhere(true)), kept);
    const [own, held] = yield* halves(inside, randomSource(seed, 4 + g));
    trials.push({ own, held, outside, kept });
    yield (g + 1) / groups;
  }
  return trials;
}

/** The columns of the kept classes, and labels among them. */
function narrowed({ logits, features, labels }: LabelledRows, kept: Int32Array): LabelledRows {
  const [rows, width] = logits.shape, columns = kept.length, data = new Float32Array(rows * columns), place = new Int32Array(width);
  kept.forEach((c, k) => (place[c] = k));
  for (let n = 0; n < rows; n++) for (let k = 0; k < columns; k++) data[n * columns + k] = logits.data[n * width + kept[k]];
  return { logits: new Tensor("float32", [rows, columns], data), ...(features && { features }), labels: new Tensor("int32", [rows], labels.data.map((y) => place[y])) };
}

/** The median time of rows that come one by one. */
function latencyOf(detector: Detector, rows: Rows, clock: () => number): number {
  const count = rows.logits.shape[0], times: number[] = [];
  for (let i = -8; i < TIMED; i++) {
    const row = cut(rows, ((i + 8) % count), ((i + 8) % count) + 1), start = clock();
    scoresOf(detector, row);
    // Engines compile what runs: the first rows do not count.
    if (i >= 0) times.push(clock() - start);
  }
  return times.sort((a, b) => a - b)[TIMED >> 1];
}

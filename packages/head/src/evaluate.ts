import { PredictionSets, coverageReport, type CoverageReport } from "@logits/conformal";
import { falsePositiveRateAtRecall } from "@logits/metrics";
import { clopperPearson } from "@logits/statistics";
import { Tensor, checkLabels, rangeError, type TensorLike } from "@logits/tensor";
import { areaOf } from "./areaOf.ts";
import { int32Of } from "./arguments.ts";
import { largest } from "./largest.ts";
import type { Flags, ReadRows } from "./readRows.ts";
import type { RowFields } from "./rows.ts";

/** Labelled rows that took no part in any fit, and if there are some, rows known to be outside. */
export interface EvaluationData extends RowFields {
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
  /** Rows without a label in [0, C), of a kind that the head should not know. */
  readonly outliers?: RowFields;
}

/** Options of `DecisionHead.evaluate`. */
export interface EvaluateOptions {
  /** Miscoverage of the sets. Default: that of the head. */
  readonly alpha?: number;
  /** Level of the intervals, in (0, 1). Default 0.95. */
  readonly level?: number;
  /** Randomised sets only: int32 [N], an id of each row. Default 0, 1, ... */
  readonly ids?: TensorLike;
}

/** A count among rows, with the exact (Clopper-Pearson) interval of the probability behind it. */
export interface Rate {
  readonly count: number;
  readonly rows: number;
  /** null without rows. */
  readonly rate: number | null;
  readonly interval: readonly [low: number, high: number] | null;
}

/** What a detector does on rows known to be outside. */
export interface OutlierReport {
  readonly rows: number;
  readonly invalid: number;
  /** Outliers that are flagged, of those that are valid. */
  readonly detected: Rate;
  /** Probability that an outlier scores higher than a row of the evaluation; null without a valid row of each kind. */
  readonly auroc: number | null;
  /** Share of the rows of the evaluation that are flagged where 95 % of the outliers are. */
  readonly flaggedAt95Detected: number | null;
  /** Share of the outliers that are kept where 95 % of the rows of the evaluation are: FPR95 as most papers on detection give it. */
  readonly keptAt95Kept: number | null;
}

/** What `DecisionHead.evaluate` says, as data. Rows are those of the evaluation, without the outliers. */
export interface EvaluationReport {
  readonly rows: number;
  /** Rows that are no distribution or have a feature that is not finite; nothing below counts them except `accuracy.answered`. */
  readonly invalid: number;
  /** Rows that the detector flags: false positives, as all rows here are in-distribution; null without a detector. */
  readonly falsePositives: Rate | null;
  /** The option that the head was fitted with; null without a detector. */
  readonly maxFalsePositiveRate: number | null;
  readonly alpha: number;
  /** Level of every interval. */
  readonly level: number;
  /** Sets that hold the label, by set size and class too; null without such rows. Flagged rows count in `all` with the set that they would get. */
  readonly coverage: {
    readonly all: CoverageReport | null;
    /** Rows that are not flagged. */
    readonly accepted: CoverageReport | null;
    /** Rows whose decision is `label`. */
    readonly label: CoverageReport | null;
  };
  readonly accuracy: {
    /** Most probable class, over all valid rows, flagged or not. */
    readonly all: Rate;
    /** Rows whose decision is `label` and right, of those whose decision is `label`. */
    readonly label: Rate;
    /** Rows that are neither flagged nor invalid and whose most probable class is right, of all rows: a rejected row is an error. */
    readonly answered: Rate;
  };
  /** Rows by decision. */
  readonly decisions: { readonly label: number; readonly ambiguous: number; readonly unknown: number; readonly invalid: number };
  /** null without `outliers` or without a detector. */
  readonly outliers: OutlierReport | null;
}

interface Seen {
  readonly read: ReadRows;
  readonly flags: Flags | undefined;
}

/** Counts what sets and detector did. `labels` are checked here. */
export function evaluationOf(
  where: string, rows: Seen & { readonly sets: PredictionSets }, outliers: Seen | undefined, labels: TensorLike, level: number, maxFalsePositiveRate: number | undefined,
): EvaluationReport {
  if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
  const { read, sets, flags } = rows, { count } = read, classes = sets.mask.shape[1];
  const y = int32Of(where, "labels", labels);
  if (count === 0) throw rangeError(where, "rows", "at least one", "none");
  if (y.shape.length !== 1 || y.size !== count) throw rangeError(where, "labels", `of shape [${count}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, "labels", y, classes);
  const rate = (hits: number, of: number): Rate => (of === 0 ? { count: hits, rows: of, rate: null, interval: null } : { count: hits, rows: of, rate: hits / of, interval: clopperPearson(hits, of, level) });
  const valid: number[] = [], accepted: number[] = [], single: number[] = [];
  let right = 0, answered = 0, rightLabels = 0;
  for (let n = 0; n < count; n++) {
    if (read.invalid.has(n)) continue;
    valid.push(n);
    const hit = largest(sets.probabilities, n) === y.data[n];
    right += Number(hit);
    if (flags?.flagged[n]) continue;
    accepted.push(n);
    answered += Number(hit);
    if (sets.sizes.data[n] !== 1) continue;
    single.push(n);
    rightLabels += sets.mask.data[n * classes + y.data[n]];
  }
  const coverage = (list: readonly number[]): CoverageReport | null => (list.length === 0 ? null : coverageReport(someOf(sets, list), Int32Array.from(list, (n) => y.data[n]), { level }));
  return {
    rows: count,
    invalid: read.invalid.size,
    falsePositives: flags ? rate(valid.length - accepted.length, valid.length) : null,
    maxFalsePositiveRate: maxFalsePositiveRate ?? null,
    alpha: sets.alpha,
    level,
    coverage: { all: coverage(valid), accepted: coverage(accepted), label: coverage(single) },
    accuracy: { all: rate(right, valid.length), label: rate(rightLabels, single.length), answered: rate(answered, count) },
    decisions: { label: single.length, ambiguous: accepted.length - single.length, unknown: valid.length - accepted.length, invalid: read.invalid.size },
    outliers: outliers?.flags && flags ? outlierReport(rows, outliers, rate) : null,
  };
}

function outlierReport(rows: Seen, outliers: Seen, rate: (hits: number, of: number) => Rate): OutlierReport {
  const scores = ({ read, flags }: Seen): number[] => Array.from({ length: read.count }, (_, n) => n).filter((n) => !read.invalid.has(n)).map((n) => flags!.scores[n]);
  const inside = scores(rows), outside = scores(outliers), { read, flags } = outliers;
  let detected = 0;
  for (let n = 0; n < read.count; n++) if (!read.invalid.has(n) && flags!.flagged[n]) detected++;
  const both = Float64Array.from([...inside, ...outside]), some = inside.length > 0 && outside.length > 0;
  const outer = Uint8Array.from(both, (_, i) => Number(i >= inside.length));
  return {
    rows: read.count,
    invalid: read.invalid.size,
    detected: rate(detected, outside.length),
    auroc: some ? areaOf(Float64Array.from(inside), Float64Array.from(outside)) : null,
    flaggedAt95Detected: some ? falsePositiveRateAtRecall(both, outer) : null,
    keptAt95Kept: some ? falsePositiveRateAtRecall(both.map((score) => -score), outer.map((mark) => 1 - mark)) : null,
  };
}

/** The sets of some rows. */
function someOf(sets: PredictionSets, rows: readonly number[]): PredictionSets {
  const classes = sets.mask.shape[1], { mask, sizes, probabilities } = sets;
  const marks = new Uint8Array(rows.length * classes), p = new Float32Array(rows.length * classes);
  rows.forEach((from, to) => {
    marks.set(mask.data.subarray(from * classes, (from + 1) * classes), to * classes);
    p.set(probabilities.data.subarray(from * classes, (from + 1) * classes), to * classes);
  });
  return new PredictionSets(
    new Tensor("uint8", [rows.length, classes], marks), new Tensor("int32", [rows.length], Int32Array.from(rows, (n) => sizes.data[n])),
    new Tensor("float32", [rows.length, classes], p), sets.alpha, sets.quantile,
  );
}

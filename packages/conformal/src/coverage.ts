import { clopperPearson } from "@logits/statistics";
import { asInt32, checkLabels, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { PredictionSets } from "./predictionSets.ts";
import { countOf, groupsOf } from "./scoreTable.ts";

/** How often sets held the label, with the exact (Clopper-Pearson) interval of the probability behind it. */
export interface Coverage {
  readonly rows: number;
  readonly covered: number;
  /** null without rows. */
  readonly coverage: number | null;
  readonly interval: readonly [low: number, high: number] | null;
}

/** Coverage of the rows whose set has from `low` to `high` classes. */
export interface SizeCoverage extends Coverage {
  readonly low: number;
  readonly high: number;
}

/** Coverage of the rows of one class. */
export interface ClassCoverage extends Coverage {
  readonly label: number;
}

/** Coverage of the rows of one group. */
export interface GroupCoverage extends Coverage {
  readonly group: number;
}

/** Everything about sets of rows whose labels are known. */
export interface CoverageReport extends Coverage {
  readonly alpha: number;
  readonly level: number;
  readonly meanSize: number;
  /** Rows with an empty set. */
  readonly emptySets: number;
  readonly bySize: readonly SizeCoverage[];
  readonly byClass: readonly ClassCoverage[];
  /** The class with rows whose coverage is the lowest; equal ones: the smaller index. */
  readonly worstClass: ClassCoverage;
}

/** Options of the coverage functions. */
export interface CoverageOptions {
  /** Level of the intervals, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** Sizes shown together: [low, high], the last one open. */
const GROUPS = [[0, 0], [1, 1], [2, 2], [3, 5], [6, Infinity]] as const;

/**
 * Coverage by the size of the set, in groups 0, 1, 2, 3 to 5, 6 and more (only those with rows). A promise over all rows often fails for large sets.
 *
 * @param sets - of `SplitConformal.predictionSet`, N rows
 * @param labels - int32 [N], in [0, C), of rows that took no part in any fit
 * @throws RangeError for no rows, another number of labels, a label outside [0, C)
 * Source: Angelopoulos, Bates, Malik, Jordan, "Uncertainty sets for image classifiers", ICLR 2021 (size-stratified coverage).
 */
export function coverageBySize(sets: PredictionSets, labels: TensorLike, options: CoverageOptions = {}): SizeCoverage[] {
  const { hits, level } = covered("coverageBySize", sets, labels, options);
  return bySize(sets, hits, level);
}

/**
 * Coverage by the true class, one entry per class [C].
 *
 * @param sets - of `SplitConformal.predictionSet`, N rows
 * @param labels - int32 [N], in [0, C), of rows that took no part in any fit
 * @returns one entry per class; `coverage` and `interval` are null for a class without rows
 * @throws RangeError for no rows, another number of labels, a label outside [0, C)
 * Source: Vovk, "Conditional validity of inductive conformal predictors", 2012.
 */
export function coverageByClass(sets: PredictionSets, labels: TensorLike, options: CoverageOptions = {}): ClassCoverage[] {
  const { hits, y, level } = covered("coverageByClass", sets, labels, options);
  return byClass(sets, hits, y, level);
}

/**
 * Coverage by groups of rows: a language, a source, a bin of a difficulty.
 *
 * @param sets - of `SplitConformal.predictionSet`, N rows
 * @param labels - int32 [N], in [0, C), of rows that took no part in any fit
 * @param groups - int32 [N], >= 0
 * @returns one entry per group from 0 to the largest; `coverage` and `interval` are null for a group without rows
 * @throws RangeError for no rows, another number of labels or groups, a label outside [0, C), a group below 0
 * Source: Vovk, "Conditional validity of inductive conformal predictors", 2012.
 */
export function coverageByGroup(sets: PredictionSets, labels: TensorLike, groups: TensorLike, options: CoverageOptions = {}): GroupCoverage[] {
  const { hits, level } = covered("coverageByGroup", sets, labels, options);
  const of = groupsOf("coverageByGroup", groups, hits.length, 16777216);
  const rows = new Int32Array(countOf(of)), total = new Int32Array(rows.length);
  for (let n = 0; n < hits.length; n++) {
    rows[of[n]]++;
    total[of[n]] += hits[n];
  }
  return Array.from(rows, (count, group) => ({ group, ...share(count, total[group], level) }));
}

/**
 * Coverage over all rows, by set size and by class, with exact intervals.
 *
 * @param sets - of `SplitConformal.predictionSet`, N rows
 * @param labels - int32 [N], in [0, C), of rows that took no part in any fit
 * @param options - `level` of the intervals (0.95)
 * @throws RangeError for no rows, another number of labels, a label outside [0, C)
 * @example
 *   const { coverage, bySize, worstClass } = coverageReport(sets, labels);
 * Source: Clopper and Pearson, 1934.
 */
export function coverageReport(sets: PredictionSets, labels: TensorLike, options: CoverageOptions = {}): CoverageReport {
  const { hits, y, level } = covered("coverageReport", sets, labels, options);
  const rows = hits.length, sizes = sets.sizes.data;
  let total = 0, size = 0, emptySets = 0;
  for (let n = 0; n < rows; n++) {
    total += hits[n];
    size += sizes[n];
    if (sizes[n] === 0) emptySets++;
  }
  const classes = byClass(sets, hits, y, level);
  let worstClass = classes[y[0]];
  for (const entry of classes) if (entry.coverage !== null && (entry.coverage < worstClass.coverage! || (entry.coverage === worstClass.coverage && entry.label < worstClass.label))) worstClass = entry;
  return { ...share(rows, total, level), alpha: sets.alpha, level, meanSize: size / rows, emptySets, bySize: bySize(sets, hits, level), byClass: classes, worstClass };
}

function covered(where: string, sets: PredictionSets, labels: TensorLike, { level = 0.95 }: CoverageOptions): { readonly hits: Uint8Array; readonly y: Int32Array; readonly level: number } {
  if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
  const [rows, classes] = sets.mask.shape;
  const y = asInt32(where, "labels", labels);
  if (rows === 0) throw rangeError(where, "sets", "with at least one row", "none");
  checkShape(where, "labels", y, [rows]);
  checkLabels(where, "labels", y, classes);
  return { hits: Uint8Array.from({ length: rows }, (_, n) => sets.mask.data[n * classes + y.data[n]]), y: y.data, level };
}

function bySize(sets: PredictionSets, hits: Uint8Array, level: number): SizeCoverage[] {
  const classes = sets.mask.shape[1], sizes = sets.sizes.data;
  return GROUPS.flatMap(([low, high]) => {
    let rows = 0, total = 0;
    for (let n = 0; n < hits.length; n++) {
      if (sizes[n] < low || sizes[n] > high) continue;
      rows++;
      total += hits[n];
    }
    return rows === 0 ? [] : [{ low, high: Math.min(high, classes), ...share(rows, total, level) }];
  });
}

function byClass(sets: PredictionSets, hits: Uint8Array, y: Int32Array, level: number): ClassCoverage[] {
  const classes = sets.mask.shape[1];
  const rows = new Int32Array(classes), total = new Int32Array(classes);
  for (let n = 0; n < hits.length; n++) {
    rows[y[n]]++;
    total[y[n]] += hits[n];
  }
  return Array.from(rows, (count, label) => ({ label, ...share(count, total[label], level) }));
}

function share(rows: number, covered: number, level: number): Coverage {
  return rows === 0 ? { rows, covered, coverage: null, interval: null } : { rows, covered, coverage: covered / rows, interval: clopperPearson(covered, rows, level) };
}

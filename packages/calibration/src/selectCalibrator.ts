import { logSoftmax } from "@logits/core-wasm";
import { Tensor, checkInteger, randomSource, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { checkUsable, checkedPairs, type Calibrator } from "./calibrator.ts";
import { EnsembleTemperatureScaling } from "./ensembleTemperatureScaling.ts";
import { MatrixScaling } from "./matrixScaling.ts";
import { TemperatureScaling } from "./temperatureScaling.ts";
import { VectorScaling } from "./vectorScaling.ts";

/** A way to calibrate that takes part in a selection. A class of this package is one as it stands; with options: `{ name, fitSteps: (where, z, y) => MatrixScaling.fitSteps(where, z, y, options) }`. */
export interface CalibratorCandidate {
  readonly name: string;
  fitSteps(where: string, logits: TensorLike, labels: TensorLike): Steps<Calibrator>;
}

/** Options of `selectCalibrator`. */
export interface SelectCalibratorOptions {
  /** The simplest first. Default: temperature, ensemble temperature, vector, and up to 100 classes matrix scaling. */
  readonly candidates?: readonly CalibratorCandidate[];
  /** Folds, an integer in [2, N]; default 5, or N where there are fewer rows. */
  readonly folds?: number;
  /** Chooses the folds; default 0. */
  readonly seed?: number;
  /** "nested" (default): the loss of the whole procedure, selection and all, on rows that it has not seen; folds times the work. "none": not estimated. */
  readonly estimate?: "nested" | "none";
}

/** How one candidate did on rows that it has not seen. */
export interface CandidateResult {
  readonly name: string;
  /** Mean negative log-likelihood over all rows, each by the fit of the other folds, in nats; Infinity where a label got probability 0. */
  readonly loss: number;
  /** Standard error of `loss` over the rows. */
  readonly standardError: number;
  /** `loss` minus that of the best candidate, and the standard error of this difference, row by row. */
  readonly difference: number;
  readonly differenceStandardError: number;
}

/** What `selectCalibrator` returns. */
export interface SelectedCalibrator {
  /** The chosen one, fitted on all rows. */
  readonly calibrator: Calibrator;
  readonly name: string;
  /** Every candidate, in the order given. */
  readonly results: readonly CandidateResult[];
  /** Mean negative log-likelihood of the whole procedure on rows that neither fit nor selection saw; NaN with `estimate: "none"`. Unlike the chosen one's `loss` it pays for the choosing. */
  readonly loss: number;
  readonly standardError: number;
}

const MATRIX_CLASSES = 100;

/**
 * Chooses a calibrator by cross-validated log loss: the simplest whose loss is at most one standard error of the difference above the best one's.
 *
 * Log loss is a proper score: it counts calibration and what is lost in sharpness; a calibration error alone would choose a constant. Folds are random, not stratified by label: rows left out with
 * just the label frequencies of the fit would praise a candidate for learning the frequencies of this sample.
 *
 * @param logits - float32 [N, C], N at least 2, C at least 1; -Infinity = impossible class
 * @param labels - int32 [N], in [0, C)
 * @param options - `candidates`, `folds` (default 5), `seed` (default 0), `estimate` (default "nested")
 * @returns the chosen calibrator fitted on all rows, what every candidate did, and the loss of the procedure itself
 * @throws RangeError for fewer than 2 rows, another shape, a label outside [0, C), a row with NaN, +Infinity or without a finite score, an impossible label, an option out of range; what a candidate's fit throws
 * @example
 *   selectCalibrator(logits, labels).calibrator.probabilities(fresh);
 * Source: Breiman, Friedman, Olshen, Stone, "Classification and regression trees" (1984), 3.4.3, for the rule of one standard error; Varma and Simon, BMC Bioinformatics 7 (2006), for nesting.
 */
export function selectCalibrator(logits: TensorLike, labels: TensorLike, options: SelectCalibratorOptions = {}): SelectedCalibrator {
  return runSteps(selectSteps("selectCalibrator", logits, labels, options));
}

/**
 * `selectCalibrator` with pauses at least every 16 ms: the same bits. The data must not change meanwhile.
 *
 * @param logits - as `selectCalibrator`
 * @param labels - as `selectCalibrator`
 * @throws as `selectCalibrator`; rejects with the signal's reason on abort
 * @example
 *   await selectCalibratorAsync(logits, labels, { signal });
 * Source: as `selectCalibrator`.
 */
export async function selectCalibratorAsync(logits: TensorLike, labels: TensorLike, options: SelectCalibratorOptions & LongWorkOptions = {}): Promise<SelectedCalibrator> {
  return runStepsAsync(selectSteps("selectCalibratorAsync", logits, labels, options), options);
}

interface Rows {
  readonly z: Tensor<"float32">;
  readonly y: Tensor<"int32">;
}

/** The pieces of `selectCalibrator`; `where` names the caller in errors. */
export function* selectSteps(where: string, logits: TensorLike, labels: TensorLike, options: SelectCalibratorOptions): Steps<SelectedCalibrator> {
  const { z, y, n, classes } = checkedPairs(where, logits, labels);
  const { seed = 0, folds = Math.min(5, n), estimate = "nested" } = options;
  const { candidates = [TemperatureScaling, EnsembleTemperatureScaling, VectorScaling, ...(classes <= MATRIX_CLASSES ? [MatrixScaling] : [])] } = options;
  if (n < 2) throw rangeError(where, "logits", "with at least 2 rows", `${n}`);
  if (candidates.length === 0) throw rangeError(where, "candidates", "with at least one", "none");
  checkInteger(where, "folds", folds, 2, n);
  if (estimate !== "nested" && estimate !== "none") throw rangeError(where, "estimate", '"nested" or "none"', `${estimate as string}`);
  yield* checkUsable(where, z, y);
  const rows = { z, y }, total = candidates.length * folds * (estimate === "nested" && n > 2 ? folds + 1 : 1) + 1;
  let done = 0;
  const fitted = function* (candidate: CalibratorCandidate, part: Rows): Steps<Calibrator> {
    const steps = candidate.fitSteps(where, part.z, part.y);
    for (;;) {
      const next = steps.next();
      if (next.done) {
        done++;
        return next.value;
      }
      yield Math.min(0.99, (done + next.value) / total);
    }
  };
  /** Loss of each candidate on each row, by fits without its fold; and the candidate that the rule takes. */
  const compared = function* (part: Rows, stream: number): Steps<{ losses: Float64Array[]; chosen: number; results: CandidateResult[] }> {
    const own = part.y.size, k = Math.min(folds, own), fold = folded(own, k, seed, stream), losses = candidates.map(() => new Float64Array(own));
    for (let f = 0; f < k; f++) {
      const train = taken(part, fold, (of) => of !== f), test = taken(part, fold, (of) => of === f), at = indices(fold, (of) => of === f);
      for (const [i, candidate] of candidates.entries()) {
        const own = rowLosses(yield* fitted(candidate, train), test);
        at.forEach((row, j) => (losses[i][row] = own[j]));
      }
    }
    const moments = losses.map((row) => meanAndError(row));
    const best = moments.reduce((least, { mean }, i) => (mean < moments[least].mean ? i : least), 0);
    const results = candidates.map(({ name }, i): CandidateResult => {
      const { mean: loss, error: standardError } = moments[i];
      const { mean: difference, error: differenceStandardError } = loss < Infinity && i !== best ? meanAndError(losses[i].map((value, row) => value - losses[best][row])) : { mean: i === best ? 0 : Infinity, error: i === best ? 0 : Infinity };
      return { name, loss, standardError, difference, differenceStandardError };
    });
    const chosen = results.findIndex(({ loss, difference, differenceStandardError }, i) => i === best || (loss < Infinity && difference <= differenceStandardError));
    return { losses, chosen, results };
  };
  const { chosen, results } = yield* compared(rows, 0);
  let procedure = { mean: NaN, error: NaN };
  if (estimate === "nested") {
    const fold = folded(n, folds, seed, 0), all = new Float64Array(n);
    for (let f = 0; f < folds; f++) {
      const train = taken(rows, fold, (of) => of !== f), test = taken(rows, fold, (of) => of === f);
      // One row left has no folds of its own: the simplest candidate.
      const inner = train.y.size < 2 ? 0 : (yield* compared(train, f + 1)).chosen;
      const own = rowLosses(yield* fitted(candidates[inner], train), test);
      indices(fold, (of) => of === f).forEach((row, j) => (all[row] = own[j]));
    }
    procedure = meanAndError(all);
  }
  const calibrator = yield* fitted(candidates[chosen], rows);
  return { calibrator, name: candidates[chosen].name, results, loss: procedure.mean, standardError: procedure.error };
}

/** The fold of each row: rows in random order, dealt out one after the other, so that folds have equal sizes. */
function folded(rows: number, folds: number, seed: number, stream: number): Int32Array {
  const fold = new Int32Array(rows);
  randomSource(seed, stream).permutation(rows).forEach((row, i) => (fold[row] = i % folds));
  return fold;
}

function indices(fold: Int32Array, keep: (of: number) => boolean): number[] {
  const rows: number[] = [];
  fold.forEach((of, row) => {
    if (keep(of)) rows.push(row);
  });
  return rows;
}

function taken({ z, y }: Rows, fold: Int32Array, keep: (of: number) => boolean): Rows {
  const rows = indices(fold, keep), classes = z.shape[1], data = new Float32Array(rows.length * classes);
  rows.forEach((row, i) => data.set(z.data.subarray(row * classes, (row + 1) * classes), i * classes));
  return { z: new Tensor("float32", [rows.length, classes], data), y: new Tensor("int32", [rows.length], Int32Array.from(rows, (row) => y.data[row])) };
}

/** -ln p of each row's label. */
function rowLosses(calibrator: Calibrator, { z, y }: Rows): Float64Array {
  const logP = logSoftmax(calibrator.transform(z)).data, classes = z.shape[1];
  return Float64Array.from(y.data, (label, row) => -logP[row * classes + label] + 0);
}

function meanAndError(values: Float64Array): { mean: number; error: number } {
  const n = values.length;
  let mean = 0, scatter = 0;
  for (const value of values) mean += value / n;
  if (!(mean < Infinity)) return { mean: Infinity, error: Infinity };
  for (const value of values) scatter += (value - mean) * (value - mean);
  return { mean, error: n > 1 ? Math.sqrt(scatter / (n - 1) / n) : 0 };
}

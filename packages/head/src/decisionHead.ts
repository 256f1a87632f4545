import { runSteps, runStepsAsync, type LongWorkOptions } from "@logits/tensor";
import { fromArtefact } from "./artefact.ts";
import { evaluationOf, type EvaluateOptions, type EvaluationData, type EvaluationReport } from "./evaluate.ts";
import { FittedHead } from "./fittedHead.ts";
import { fitSteps, type DecisionHeadData, type DecisionHeadOptions } from "./headFit.ts";
import { readHead, type ReadHeadOptions } from "./headJson.ts";
import type { ReadRows } from "./readRows.ts";

/**
 * Turns the outputs of a model into decisions: calibrator, detector, threshold, conformal sets and class names in one portable object.
 *
 * The labelled rows are split once by a seeded permutation. Fit rows give the calibrator, the statistics of the detector and every choice; calibration rows give the threshold, the
 * p-values and the quantile of the sets. No row serves both, so that the promises of `guarantees` hold for the whole.
 *
 *   invalid    the scores are no distribution, or a feature is not finite
 *   unknown    detector(row) > threshold
 *   label      the set { c : score(x, c) <= q } holds one class
 *   ambiguous  it holds several
 *
 * With `guarantee: "accepted"` the calibration rows are split again: the first part gives the threshold, the accepted rows of the second the quantile q.
 *
 * @example
 *   const head = DecisionHead.fit({ logits, features, labels, classes: ["cat", "dog", "bird"] }, { alpha: 0.1, maxFalsePositiveRate: 0.05 });
 *   const decision = head.decide({ logits: [4, 1, 0], features: [0.1, 0.7] });
 *   if (decision.kind === "label") console.log(decision.label, decision.probability);
 *
 * Sources: Vovk, Gammerman, Shafer, 2005 (sets, p-values); Tong, Feng, Li, 2018 (threshold); Vovk, "Cross-conformal predictors", 2015, and Vovk and Wang, "Combining p-values via
 * averaging", 2020 (folds).
 */
export class DecisionHead<L extends string = string> extends FittedHead<L> {
  /**
   * Fits calibrator and detector on the fit rows, threshold and conformal scores on the calibration rows.
   *
   * @param data - `logits` float32 [N, C] (or `scorer` and `features`), `labels` int32 [N], `classes`: C names, `features` float32 [N, F]; N at least 2; `calibration`, `fitted`, `outliers`
   * @param options - `split` (0.5), `seed` (0), `alpha` (0.1), `method` ("lac"), `input` ("logits"), `detector`, `maxFalsePositiveRate` (0.05), `confidence` (0.95), `guarantee` ("all"), `crossFit`
   * @throws RangeError for another shape, names that are not C different ones, a label outside [0, C), a row without a distribution or with a feature that is not finite, a split that
   *   leaves no row for a step, a calibration row that is also a fit row, an outlier that is a labelled row, rows that are all probabilities where `input` does not say what they are
   */
  static fit<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions = {}): DecisionHead<L> {
    return new DecisionHead(runSteps(fitSteps("DecisionHead.fit", data, options)));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions & LongWorkOptions = {}): Promise<DecisionHead<L>> {
    return new DecisionHead(await runStepsAsync(fitSteps("DecisionHead.fitAsync", data, options), options));
  }

  /**
   * What the head does on labelled rows that took no part in any fit: coverage, false positives, accuracy, and with `outliers` the detection of rows known to be outside.
   *
   * @param data - `logits`, `features` as for `decideAll`, `labels` int32 [N]; `outliers`: rows without labels
   * @param options - `alpha`, `level` of the intervals (0.95), `ids`
   * @throws RangeError for no rows, another shape, a label outside [0, C)
   */
  evaluate(data: EvaluationData, options: EvaluateOptions = {}): EvaluationReport {
    const where = "DecisionHead.evaluate";
    const { alpha = this.alpha, ids } = options;
    const rows = this.read(where, data, false), outliers = data.outliers && this.read(where, data.outliers, false, "outliers.");
    const seen = (read: ReadRows) => ({ read, sets: this.sets(where, read, { alpha, ids }), flags: this.flags(read) });
    return evaluationOf(where, seen(rows), outliers && { read: outliers, flags: this.flags(outliers) }, data.labels, options.level ?? 0.95, this.falsePositiveRate);
  }

  /**
   * Reads what `toJSON` wrote, bit by bit.
   *
   * @param json - a parsed JSON value
   * @param options - `detectors`: more classes of detectors to read
   * @throws FormatError, naming the field, for another format or version, a field that is missing or not what it must be, parts that do not belong together, a detector of a class that is not
   *   known here (the message says what to import and pass), or a self-test that comes out differently here
   */
  static fromJSON(json: unknown, options: ReadHeadOptions = {}): DecisionHead {
    return DecisionHead.#read("DecisionHead.fromJSON", json, options);
  }

  /**
   * Reads what `toBytes` wrote, bit by bit.
   *
   * @param bytes - the whole file
   * @param options - `detectors`, as for `fromJSON`
   * @throws TypeError if it is no Uint8Array; FormatError as `fromJSON`, and for a file that is truncated, damaged or of another kind
   */
  static fromBytes(bytes: Uint8Array, options: ReadHeadOptions = {}): DecisionHead {
    return DecisionHead.#read("DecisionHead.fromBytes", fromArtefact("DecisionHead.fromBytes", bytes), options);
  }

  static #read(where: string, json: unknown, { detectors }: ReadHeadOptions): DecisionHead {
    const { parts, selfTest } = readHead(where, json, detectors);
    return new DecisionHead(parts, { where, selfTest });
  }
}

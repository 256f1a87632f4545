import { TemperatureScaling } from "@logits/calibration";
import { ConformalPValues, readDetectorAs, type ConformalPValuesJSON, type Detector, type DetectorClass } from "@logits/ood";
import { Tensor, readJson } from "@logits/tensor";
import { nested } from "./nested.ts";

/** Folds stand inside a head and carry no format of their own. */
const FOLD = "fold";

/** One fold of a cross-fitted head, as JSON. */
export interface FoldJSON {
  readonly calibrator: ReturnType<TemperatureScaling["toJSON"]>;
  /** Scores 1 - p_y of the rows of the fold. */
  readonly scores: ConformalPValuesJSON;
  readonly detector?: ReturnType<Detector["toJSON"]>;
  /** Detector scores of the rows of the fold. */
  readonly pValues?: ConformalPValuesJSON;
}

/** Fits on all other folds, and the scores of the rows of this one. */
export interface Fold {
  readonly calibrator: TemperatureScaling;
  readonly scores: ConformalPValues;
  readonly detector?: Detector;
  readonly pValues?: ConformalPValues;
}

/** Adds to each element 1 + the number of reference scores that are at least the score. */
export function addCounts(sums: Float64Array, reference: ConformalPValues, scores: Float32Array): void {
  const p = reference.pValues(scores), size = reference.n + 1;
  for (let i = 0; i < sums.length; i++) sums[i] += Math.round(p[i] * size);
}

/** Probabilities of rows, the same bits alone and in any batch. */
export function rowByRow(calibrator: TemperatureScaling, logits: Tensor<"float32">): Float32Array {
  const [rows, width] = logits.shape, padded = new Float32Array(Math.ceil(rows / 4) * 4 * width);
  padded.set(logits.data);
  return calibrator.probabilities(new Tensor("float32", [padded.length / width, width], padded)).data.subarray(0, rows * width);
}

/** What a head writes of a fold. */
export function foldToJSON({ calibrator, scores, detector, pValues }: Fold): FoldJSON {
  return { calibrator: calibrator.toJSON(), scores: scores.toJSON(), ...(detector && { detector: detector.toJSON(), pValues: pValues!.toJSON() }) };
}

/** One fold of the artefact. */
export function foldOf(where: string, path: string, json: unknown, classes: number, guarded: boolean, detectors: readonly DetectorClass[]): Fold {
  const fields = readJson(`${where}: in \`${path}\``, typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json, format: FOLD, version: 1 } : json, FOLD, 1, "@logits/head");
  const calibrator = nested(where, `${path}.calibrator`, () => TemperatureScaling.fromJSON(fields.value("calibrator")));
  if (calibrator.classes !== classes) fields.fail("calibrator", `of ${classes} classes, as \`classes\` names`, `${calibrator.classes}`);
  const scores = nested(where, `${path}.scores`, () => ConformalPValues.fromJSON(fields.value("scores")));
  if (!guarded) return { calibrator, scores };
  const detector = nested(where, `${path}.detector`, () => readDetectorAs(where, "detectors", fields.value("detector"), detectors));
  const pValues = nested(where, `${path}.pValues`, () => ConformalPValues.fromJSON(fields.value("pValues")));
  if (pValues.n !== scores.n) fields.fail("pValues", `of ${scores.n} rows, as \`scores\``, `${pValues.n}`);
  return { calibrator, scores, detector, pValues };
}

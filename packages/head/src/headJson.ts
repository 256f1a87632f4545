import { TemperatureScaling } from "@logits/calibration";
import { SplitConformal, type SplitConformalJSON } from "@logits/conformal";
import { ConformalPValues, Threshold, readDetectorAs, type ConformalPValuesJSON, type Detector, type DetectorClass, type ThresholdJSON } from "@logits/ood";
import { readJson } from "@logits/tensor";
import { selectionOf, type Selection } from "./chooseDetector.ts";
import { namesProblem } from "./classNames.ts";
import { foldOf, type FoldJSON } from "./folds.ts";
import type { HeadParts } from "./headParts.ts";
import { nested } from "./nested.ts";
import { scorerFromJSON, type Scorer } from "./scorer.ts";
import type { SelfTestJSON } from "./selfTest.ts";

export const FORMAT = "logits/head";
/** What the numbers of an artefact mean, for readers in other languages. */
export const CONVENTIONS = { labels: "index in classes", probabilities: "softmax of logits over temperature", scores: "higher is more out-of-distribution" } as const;

/** What `DecisionHead` writes as JSON. */
export interface DecisionHeadJSON extends Pick<HeadParts<string>, "library" | "classes" | "input" | "alpha" | "guarantee" | "split" | "seed" | "calibrationRows" | "calibrationHash"> {
  readonly format: "logits/head";
  readonly version: 1;
  readonly conventions: { readonly labels: string; readonly probabilities: string; readonly scores: string };
  readonly fitRows: number;
  readonly calibrator: ReturnType<TemperatureScaling["toJSON"]>;
  /** Not in a cross-fitted head. */
  readonly conformal?: SplitConformalJSON;
  /** Cross-fitted heads only. */
  readonly folds?: readonly FoldJSON[];
  /** Cross-fitted heads with a detector only. */
  readonly maxFalsePositiveRate?: number;
  readonly scorer?: ReturnType<Scorer["toJSON"]>;
  readonly detector?: ReturnType<Detector["toJSON"]>;
  readonly threshold?: ThresholdJSON;
  /** Detector scores of the rows of the threshold. */
  readonly pValues?: ConformalPValuesJSON;
  readonly selection?: Selection;
  readonly selfTest: SelfTestJSON;
}

/** Options of `DecisionHead.fromJSON` and `fromBytes`. */
export interface ReadHeadOptions {
  /** Classes of detectors to read besides `LogitDetector`, `MahalanobisDetector` and `NearestNeighborDetector`: those of @logits/ood (`allDetectors` is the list of all), or your own with a static `format` and `fromJSON`. */
  readonly detectors?: readonly DetectorClass[];
}

/** The parts in a parsed artefact, each field checked; its self-test is still to be run. FormatError, naming the field. */
export function readHead(where: string, json: unknown, detectors: readonly DetectorClass[] = []): { readonly parts: HeadParts<string>; readonly selfTest: unknown } {
  const fields = readJson(where, json, FORMAT, 1, "@logits/head");
  const has = (field: string): boolean => Object.hasOwn(json as object, field);
  const classes = fields.strings("classes"), width = classes.length;
  const wrong = namesProblem(classes, width);
  if (wrong !== undefined) fields.fail("classes", "different names", wrong);
  const calibrator = nested(where, "calibrator", () => TemperatureScaling.fromJSON(fields.value("calibrator")));
  if (calibrator.classes !== width) fields.fail("calibrator", `of ${width} classes, as \`classes\` names`, `${calibrator.classes}`);
  const fitRows = fields.integer("fitRows", 1, Number.MAX_SAFE_INTEGER), calibrationRows = fields.integer("calibrationRows", 1, Number.MAX_SAFE_INTEGER);
  if (fitRows !== calibrator.n) fields.fail("fitRows", `${calibrator.n}, the rows of \`calibrator\``, `${fitRows}`);
  const open = (field: "alpha" | "split" | "maxFalsePositiveRate"): number => {
    const value = fields.number(field, 0, 1);
    return value > 0 && value < 1 ? value : fields.fail(field, "in (0, 1)", `${value}`);
  };
  const text = fields.value("split");
  const split = text === "given" || text === "folds" ? text : open("split");
  const guarantee = fields.oneOf("guarantee", ["all", "accepted"]), input = fields.oneOf("input", ["logits", "probabilities"]);
  const scorer = has("scorer") ? nested(where, "scorer", () => scorerFromJSON(fields.value("scorer"))) : undefined;
  if (scorer && scorer.classes !== width) fields.fail("scorer", `of ${width} classes, as \`classes\` names`, `${scorer.classes}`);
  const selection = has("selection") ? selectionOf(`${where}: in \`selection\``, fields.value("selection")) : undefined;
  const calibrationHash = fields.string("calibrationHash");
  if (!/^[0-9a-f]{64}$/.test(calibrationHash)) fields.fail("calibrationHash", "64 hexadecimal digits", "something else");
  const conventions = Object(fields.value("conventions")) as Record<string, unknown>;
  for (const [name, text] of Object.entries(CONVENTIONS)) if (conventions[name] !== text) fields.fail(`conventions.${name}`, JSON.stringify(text), JSON.stringify(conventions[name]) ?? "nothing");
  const common = { library: fields.string("library"), classes, input, alpha: open("alpha"), guarantee, split, seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), calibrationRows, calibrationHash, calibrator, scorer, selection } as const;
  const selfTest = fields.value("selfTest");

  if (split === "folds") {
    if (guarantee !== "all") fields.fail("guarantee", '"all" where `split` is "folds"', `"${guarantee}"`);
    if (fitRows !== calibrationRows) fields.fail("calibrationRows", `${fitRows}, as \`fitRows\` where \`split\` is "folds"`, `${calibrationRows}`);
    const list = fields.value("folds");
    if (!Array.isArray(list) || list.length < 2) return fields.fail("folds", "a list of at least 2", Array.isArray(list) ? `${list.length}` : typeof list);
    const guarded = has("maxFalsePositiveRate") || list.some((fold) => Object.hasOwn(Object(fold), "detector") || Object.hasOwn(Object(fold), "pValues"));
    const folds = list.map((fold, k) => foldOf(where, `folds.${k}`, fold, width, guarded, detectors));
    const total = folds.reduce((sum, fold) => sum + fold.scores.n, 0);
    if (total !== calibrationRows) fields.fail("folds", `of ${calibrationRows} rows together, as \`calibrationRows\``, `${total}`);
    return { parts: { ...common, folds, ...(guarded && { maxFalsePositiveRate: open("maxFalsePositiveRate") }) }, selfTest };
  }
  const conformal = nested(where, "conformal", () => SplitConformal.fromJSON(fields.value("conformal")));
  if (conformal.needsGroups || conformal.needsWeights || conformal.classGroups) fields.fail("conformal", "of all rows and classes together", "one with groups or weights");
  if (conformal.classes !== width) fields.fail("conformal", `of ${width} classes, as \`classes\` names`, `${conformal.classes}`);
  const guard = has("detector") || has("threshold") || has("pValues") || guarantee === "accepted" ? {
    detector: nested(where, "detector", () => readDetectorAs(where, "detectors", fields.value("detector"), detectors)),
    threshold: nested(where, "threshold", () => Threshold.fromJSON(fields.value("threshold"))),
    pValues: nested(where, "pValues", () => ConformalPValues.fromJSON(fields.value("pValues"))),
  } : undefined;
  if (guard && guard.pValues.n !== guard.threshold.n) fields.fail("pValues", `of ${guard.threshold.n} rows, as \`threshold\``, `${guard.pValues.n}`);
  if (guarantee === "all") {
    if (calibrationRows !== conformal.n) fields.fail("calibrationRows", `${conformal.n}, the rows of \`conformal\``, `${calibrationRows}`);
    if (guard && guard.threshold.n !== calibrationRows) fields.fail("threshold", `of ${calibrationRows} rows, as \`calibrationRows\``, `${guard.threshold.n}`);
  } else if (conformal.n + guard!.threshold.n > calibrationRows) fields.fail("calibrationRows", `at least ${conformal.n + guard!.threshold.n}, the rows of \`conformal\` and \`threshold\``, `${calibrationRows}`);
  return { parts: { ...common, conformal, guard }, selfTest };
}

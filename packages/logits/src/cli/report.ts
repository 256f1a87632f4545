import { TemperatureScaling, probabilitiesToLogits } from "@logits/calibration";
import { SplitConformal } from "@logits/conformal";
import { core } from "@logits/core-wasm";
import { DecisionHead } from "@logits/head";
import type { Tensor } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { measure, measureDetector, measureSets, type HeadRows } from "../report/measure.ts";
import { reportPage } from "../report/page.ts";
import type { ReportMetrics } from "../report/types.ts";
import { findings } from "../report/words.ts";
import { UsageError, readClassNames, readFeatures, readLabels, readScores, rowProblem, type InputKind } from "./input.ts";
import { printable, progress, writeAll } from "./output.ts";
import { pick, refuseOverlap, splitRows, together, type LabelledRows, type OutputRows } from "./rows.ts";

/** Options of `logits report`. */
export interface ReportOptions {
  readonly logits: string;
  readonly labels: string;
  readonly features?: string;
  readonly input?: InputKind;
  readonly calibrationLogits?: string;
  readonly calibrationLabels?: string;
  readonly calibrationFeatures?: string;
  readonly testLogits?: string;
  readonly testLabels?: string;
  readonly testFeatures?: string;
  readonly outliers?: string;
  readonly outlierFeatures?: string;
  readonly detector?: readonly DetectorName[];
  readonly maxFpr?: number;
  readonly confidence?: number | "marginal";
  readonly guarantee?: "all" | "accepted";
  readonly classes?: string;
  readonly alpha: number;
  readonly seed: number;
  readonly title: string;
  readonly json?: boolean;
  readonly out: string;
}

/** Detectors by name. */
export const DETECTORS = ["msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn"] as const;
export type DetectorName = (typeof DETECTORS)[number];
const NEED_FEATURES: readonly string[] = ["mahalanobis", "knn"] satisfies DetectorName[];

/** Reads scores and labels, fits on some rows, promises on others, measures on the rest, and writes the report. */
export async function report(options: ReportOptions): Promise<void> {
  const say = progress();
  const { alpha, seed, input = "logits" } = options;
  refuseOverlap({ "--logits": options.logits, "--calibration-logits": options.calibrationLogits, "--test-logits": options.testLogits, "--outliers": options.outliers });
  refuseOverlap({ "--labels": options.labels, "--calibration-labels": options.calibrationLabels, "--test-labels": options.testLabels });
  refuseOverlap({ "--features": options.features, "--calibration-features": options.calibrationFeatures, "--test-features": options.testFeatures, "--outlier-features": options.outlierFeatures });
  const candidates = candidatesOf(options);

  const clipped = { clipped: 0, clippedRows: 0 };
  const readOutputs = async (scores: string, features: string | undefined, like?: OutputRows): Promise<OutputRows & { readonly from: number; readonly path: string }> => {
    const { values, from, path } = await readScores(scores);
    const [rows, width] = values.shape;
    if (like && width !== like.logits.shape[1]) throw formatError("logits", path, `to have ${like.logits.shape[1]} columns, as --logits has`, `${width}`);
    for (let row = 0; row < rows; row++) {
      const problem = rowProblem(input, values.row(row).data);
      if (problem) throw formatError("logits", path, input === "logits" ? "to hold scores in every row" : "to hold probabilities in every row", `${problem} of row ${from + row}`);
    }
    say(`read ${rows} rows of ${width} classes from ${printable(scores)}`);
    const logits = input === "logits" ? values : toLogits(values, clipped);
    return { logits, scores: values, from, path, ...(features !== undefined && { features: await readFeatures(features, rows, like?.features?.shape[1]) }) };
  };
  const read = async (scores: string, labels: string, features: string | undefined, like?: OutputRows): Promise<LabelledRows> => {
    const { from, path, ...rows } = await readOutputs(scores, features, like);
    const [count, width] = rows.logits.shape;
    const target = await readLabels(labels, count, width);
    const impossible = target.data.findIndex((label, row) => rows.logits.data[row * width + label] === -Infinity);
    if (impossible >= 0) throw formatError("logits", path, "to have a finite score for the right label", `-Infinity in row ${from + impossible}`, "No temperature makes it possible: the model must not exclude the right label");
    return { ...rows, labels: target };
  };
  const given = await read(options.logits, options.labels, options.features);
  const classes = given.logits.shape[1];
  const featured = given.features !== undefined;
  const withFeatures = (name: string, features: string | undefined): void => {
    if ((features !== undefined) !== featured) throw new UsageError(`logits: expected --${name} where --features is given, and only there, got ${features === undefined ? "none" : features}`);
  };
  const readPair = async (name: string, scores: string | undefined, labels: string | undefined, features: string | undefined): Promise<LabelledRows | undefined> => {
    if (scores === undefined && labels === undefined && features === undefined) return undefined;
    if (scores === undefined || labels === undefined) throw new UsageError(`logits: expected both --${name}-logits and --${name}-labels, got one of them`);
    withFeatures(`${name}-features`, features);
    return read(scores, labels, features, given);
  };
  const calibrationGiven = await readPair("calibration", options.calibrationLogits, options.calibrationLabels, options.calibrationFeatures);
  const testGiven = await readPair("test", options.testLogits, options.testLabels, options.testFeatures);
  if (options.outliers !== undefined || options.outlierFeatures !== undefined) withFeatures("outlier-features", options.outlierFeatures);
  const outliers = options.outliers === undefined ? undefined : await readOutputs(options.outliers, options.outlierFeatures, given);
  const names = await readClassNames(options.classes, classes);
  const { fit, calibration, test, split } = arrange(given, calibrationGiven, testGiven, seed);
  say(`${fit.labels.size} rows fit the temperature, ${calibration.labels.size} calibrate the sets, ${test.labels.size} test (${split})`);

  // The rows are different ones by their place in the files; that two have the same numbers is a matter of the data (CIFAR-100 has an image twice).
  // Outliers that choose a detector must not measure it.
  const [choosing, measuring] = outliers === undefined ? [undefined, undefined] : candidates.length > 1 ? splitRows<OutputRows>(outliers, [1, 1], seed) : [undefined, outliers];
  const head = DecisionHead.fit(
    { ...rowsOf(fit), labels: fit.labels, calibration: { ...rowsOf(calibration), labels: calibration.labels }, duplicates: "allowed", classes: names, ...(choosing && { outliers: rowsOf(choosing) }) },
    {
      alpha, seed, ...(options.input && { input }),
      ...(candidates.length > 0 && { detector: candidates, guarantee: options.guarantee }),
      ...(options.maxFpr !== undefined && { maxFalsePositiveRate: options.maxFpr }),
      ...(options.confidence !== undefined && { confidence: options.confidence }),
    },
  );
  const temperature = head.calibrator;
  if (!(temperature instanceof TemperatureScaling)) throw new Error("report: expected a head calibrated by a temperature, got another calibrator");
  say(`temperature ${temperature.temperature.toFixed(4)} in ${temperature.passes} passes`);
  const shown = together(calibration, test);
  const before = measure(shown.logits, shown.labels, seed);
  const after = measure(temperature.transform(shown.logits), shown.labels, seed);
  say("measured before and after");
  const accepted = head.guarantee === "accepted";
  const insideScores = detectorScores(head, test), outsideScores = measuring ? detectorScores(head, measuring) : new Float32Array(0);
  const covered = accepted ? pick(test, [...insideScores.keys()].filter((row) => !head.threshold!.exceeds(insideScores[row]))) : test;
  const coveredLogits = temperature.transform(covered.logits);
  // APS comes from all calibration rows, so it promises nothing about accepted rows.
  const sets = accepted ? [head.conformal] : [head.conformal, SplitConformal.fit(temperature.transform(calibration.logits), calibration.labels, { method: "aps", seed })];
  const metrics: ReportMetrics = {
    format: "logits/report",
    version: 1,
    title: options.title,
    classes,
    rows: { fit: fit.labels.size, calibration: calibration.labels.size, test: test.labels.size, shown: shown.labels.size, split, seed },
    input: { kind: input, ...clipped },
    temperature: temperature.temperature,
    temperatureStandardError: temperature.atBound || temperature.standardError === Infinity ? null : temperature.standardError,
    temperatureAtBound: temperature.atBound,
    before,
    after,
    sets: sets.map((each) => measureSets(each, coveredLogits, covered.labels, alpha, names)),
    detector: head.detector ? measureDetector(head, { ...rowsOf(test), labels: test.labels }, measuring && rowsOf(measuring), { inside: insideScores, outside: outsideScores }) : null,
    versions: { logits: core.version, variant: core.variant },
  };
  say("measured the prediction sets");
  const json = `${JSON.stringify(metrics, null, 2)}\n`;
  const written = await writeAll(options.out, { "index.html": reportPage(metrics), "metrics.json": json, "head.json": `${JSON.stringify(head)}\n` });
  say(`wrote ${printable(written.join(", "))}`);
  const text = [options.title, ...findings(metrics).map((finding) => wrap(finding)), `Wrote ${written.join(", ")}`].map((part) => part.split("\n").map(printable).join("\n"));
  process.stdout.write(options.json ? json : `\n${text[0]}\n\n${text.slice(1, -1).join("\n")}\n\n${text.at(-1)}\n`);
}

/** The detectors that the options ask for; none: the head has none. */
function candidatesOf({ detector, maxFpr, confidence, guarantee, features, outliers, outlierFeatures }: ReportOptions): readonly DetectorName[] {
  if (outlierFeatures !== undefined && outliers === undefined) throw new UsageError("logits: expected --outliers with --outlier-features, got none");
  if (detector !== undefined) {
    const needs = detector.find((name) => NEED_FEATURES.includes(name));
    if (needs !== undefined && features === undefined) throw new UsageError(`logits: expected --features, which the detector ${needs} needs, got none`);
    if (detector.length > 1 && outliers === undefined) throw new UsageError(`logits: expected --outliers to choose among ${detector.length} detectors, got none`);
    return detector;
  }
  if (outliers !== undefined) return DETECTORS.filter((name) => features !== undefined || !NEED_FEATURES.includes(name));
  if (features !== undefined) return ["mahalanobis"];
  return maxFpr === undefined && confidence === undefined && (guarantee ?? "all") === "all" ? [] : ["msp"];
}

/** Rows as the head takes them: probabilities where the files hold those. */
function rowsOf({ scores, features }: OutputRows): HeadRows {
  return { logits: scores, ...(features && { features }) };
}

function detectorScores({ detector }: DecisionHead, { logits, features }: OutputRows): Float32Array {
  if (detector === undefined) return new Float32Array(0);
  return detector.score({ ...(detector.needs.includes("logits") && { logits }), ...(detector.needs.includes("features") && { features }) }).data;
}

function toLogits(probabilities: Tensor<"float32">, count: { clipped: number; clippedRows: number }): Tensor<"float32"> {
  const { logits, clipped, clippedRows } = probabilitiesToLogits(probabilities);
  count.clipped += clipped;
  count.clippedRows += clippedRows;
  return logits;
}

/** Which rows serve what: as given, and where nothing is given by a seeded split. */
function arrange(given: LabelledRows, calibration: LabelledRows | undefined, test: LabelledRows | undefined, seed: number): { fit: LabelledRows; calibration: LabelledRows; test: LabelledRows; split: string } {
  if (calibration && test) return { fit: given, calibration, test, split: "as given" };
  if (calibration) {
    const [fit, rest] = splitRows(given, [2, 1], seed);
    return { fit, calibration, test: rest, split: `fit and test 2 : 1 at random, seed ${seed}` };
  }
  if (test) {
    const [fit, rest] = splitRows(given, [2, 1], seed);
    return { fit, calibration: rest, test, split: `fit and calibration 2 : 1 at random, seed ${seed}` };
  }
  const [fit, second, third] = splitRows(given, [2, 1, 1], seed);
  return { fit, calibration: second, test: third, split: `fit, calibration and test 2 : 1 : 1 at random, seed ${seed}` };
}

function wrap(text: string, width = 100): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1)!.length + word.length + 1 > width && lines.at(-1) !== "") lines.push("");
    lines[lines.length - 1] += `${lines.at(-1) === "" ? "" : " "}${word}`;
  }
  return lines.map((line, i) => `${i === 0 ? "- " : "  "}${line}`).join("\n");
}

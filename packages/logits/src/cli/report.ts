import { probabilitiesToLogits } from "@logits/calibration";
import { SplitConformal } from "@logits/conformal";
import { core } from "@logits/core-wasm";
import { DecisionHead } from "@logits/head";
import { Tensor } from "@logits/tensor";
import { measure, measureSets } from "../report/measure.ts";
import { reportPage } from "../report/page.ts";
import type { ReportMetrics } from "../report/types.ts";
import { findings } from "../report/words.ts";
import { UsageError, readClassNames, readLabels, readScores } from "./input.ts";
import { progress, writeAll } from "./output.ts";
import { refuseOverlap, splitRows, type LabelledRows } from "./rows.ts";

/** Options of `logits report`. */
export interface ReportOptions {
  readonly logits: string;
  readonly labels: string;
  readonly input: string;
  readonly calibrationLogits?: string;
  readonly calibrationLabels?: string;
  readonly testLogits?: string;
  readonly testLabels?: string;
  readonly classes?: string;
  readonly alpha: number;
  readonly seed: number;
  readonly title: string;
  readonly json?: boolean;
  readonly out: string;
}

/** Reads scores and labels, fits on some rows, promises on others, measures on the rest, and writes the report. */
export async function report(options: ReportOptions): Promise<void> {
  const say = progress(false);
  const { alpha, seed } = options;
  if (options.input !== "logits" && options.input !== "probabilities") throw new UsageError(`logits: expected --input to be logits or probabilities, got ${options.input}`);
  refuseOverlap({ "--logits": options.logits, "--calibration-logits": options.calibrationLogits, "--test-logits": options.testLogits });

  let clipped = 0;
  let classes = 0;
  const read = async (name: string, scores: string | undefined, labels: string | undefined): Promise<LabelledRows | undefined> => {
    if (scores === undefined && labels === undefined) return undefined;
    if (scores === undefined || labels === undefined) throw new UsageError(`logits: expected both --${name}-logits and --${name}-labels, got one of them`);
    let logits = await readScores(scores);
    if (options.input === "probabilities") {
      const converted = probabilitiesToLogits(logits);
      logits = converted.logits;
      clipped += converted.clipped;
    }
    const [rows, width] = logits.shape;
    if (classes && width !== classes) throw new UsageError(`logits: expected ${scores} to have ${classes} classes like --logits, got ${width}`);
    classes = width;
    say(`read ${rows} rows of ${width} classes from ${scores}`);
    return { logits, labels: await readLabels(labels, rows, width) };
  };
  const given = (await read("", options.logits, options.labels))!;
  const calibrationGiven = await read("calibration", options.calibrationLogits, options.calibrationLabels);
  const testGiven = await read("test", options.testLogits, options.testLabels);
  const names = await readClassNames(options.classes, classes);
  const { fit, calibration, test, split } = arrange(given, calibrationGiven, testGiven, seed);
  say(`${fit.labels.size} rows fit the temperature, ${calibration.labels.size} calibrate the sets, ${test.labels.size} test (${split})`);

  const head = DecisionHead.fit({ ...fit, calibration, classes: names }, { alpha, seed });
  const temperature = head.calibrator;
  say(`temperature ${temperature.temperature.toFixed(4)} in ${temperature.passes} passes`);
  const shown = together(calibration, test);
  const before = measure(shown.logits, shown.labels, seed);
  const after = measure(temperature.transform(shown.logits), shown.labels, seed);
  say("measured before and after");
  const promiseRows = temperature.transform(calibration.logits);
  const testRows = temperature.transform(test.logits);
  const lac = head.conformal;
  const aps = SplitConformal.fit(promiseRows, calibration.labels, { method: "aps", seed });
  const metrics: ReportMetrics = {
    format: "logits/report",
    version: 1,
    title: options.title,
    classes,
    rows: { fit: fit.labels.size, calibration: calibration.labels.size, test: test.labels.size, shown: shown.labels.size, split, seed },
    input: { kind: options.input, clipped },
    temperature: temperature.temperature,
    temperatureStandardError: temperature.standardError,
    temperatureAtBound: temperature.atBound,
    before,
    after,
    sets: [lac, aps].map((sets) => measureSets(sets, testRows, test.labels, alpha, names)),
    versions: { logits: core.version, variant: core.variant },
  };
  say("measured the prediction sets");
  const json = `${JSON.stringify(metrics, null, 2)}\n`;
  const written = await writeAll(options.out, { "index.html": reportPage(metrics), "metrics.json": json, "head.json": `${JSON.stringify(head)}\n` });
  say("written");
  if (options.json) process.stdout.write(json);
  else process.stdout.write(`\n${options.title}\n\n${findings(metrics).map((text) => wrap(text)).join("\n")}\n\nWrote ${written.join(", ")}\n`);
}

/** Which rows serve what: as given, and where nothing is given by a seeded split. */
function arrange(given: LabelledRows, calibration: LabelledRows | undefined, test: LabelledRows | undefined, seed: number): { fit: LabelledRows; calibration: LabelledRows; test: LabelledRows; split: string } {
  if (calibration && test) return { fit: given, calibration, test, split: "as given" };
  if (calibration) {
    const [fit, rest] = splitRows(given, [2 / 3, 1 / 3], seed);
    return { fit, calibration, test: rest, split: `fit and test 2 : 1 at random, seed ${seed}` };
  }
  if (test) {
    const [fit, rest] = splitRows(given, [2 / 3, 1 / 3], seed);
    return { fit, calibration: rest, test, split: `fit and calibration 2 : 1 at random, seed ${seed}` };
  }
  const [fit, second, third] = splitRows(given, [0.5, 0.25, 0.25], seed);
  return { fit, calibration: second, test: third, split: `fit, calibration and test 2 : 1 : 1 at random, seed ${seed}` };
}

function together(a: LabelledRows, b: LabelledRows): LabelledRows {
  const classes = a.logits.shape[1];
  const logits = new Float32Array(a.logits.size + b.logits.size);
  logits.set(a.logits.data);
  logits.set(b.logits.data, a.logits.size);
  const labels = new Int32Array(a.labels.size + b.labels.size);
  labels.set(a.labels.data);
  labels.set(b.labels.data, a.labels.size);
  return { logits: new Tensor("float32", [labels.length, classes], logits), labels: new Tensor("int32", [labels.length], labels) };
}

function wrap(text: string, width = 100): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1)!.length + word.length + 1 > width && lines.at(-1) !== "") lines.push("");
    lines[lines.length - 1] += `${lines.at(-1) === "" ? "" : " "}${word}`;
  }
  return lines.map((line, i) => `${i === 0 ? "- " : "  "}${line}`).join("\n");
}

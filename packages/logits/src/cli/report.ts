import { probabilitiesToLogits } from "@logits/calibration";
import { SplitConformal } from "@logits/conformal";
import { core } from "@logits/core-wasm";
import { DecisionHead } from "@logits/head";
import type { Tensor } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { measure, measureSets } from "../report/measure.ts";
import { reportPage } from "../report/page.ts";
import type { ReportMetrics } from "../report/types.ts";
import { findings } from "../report/words.ts";
import { UsageError, readClassNames, readLabels, readScores, rowProblem, type InputKind } from "./input.ts";
import { printable, progress, writeAll } from "./output.ts";
import { refuseOverlap, splitRows, together, type LabelledRows } from "./rows.ts";

/** Options of `logits report`. */
export interface ReportOptions {
  readonly logits: string;
  readonly labels: string;
  readonly input: InputKind;
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
  const say = progress();
  const { alpha, seed, input } = options;
  refuseOverlap({ "--logits": options.logits, "--calibration-logits": options.calibrationLogits, "--test-logits": options.testLogits });
  refuseOverlap({ "--labels": options.labels, "--calibration-labels": options.calibrationLabels, "--test-labels": options.testLabels });

  const clipped = { clipped: 0, clippedRows: 0 };
  const read = async (scores: string, labels: string, classes?: number): Promise<LabelledRows> => {
    const { values, from, path } = await readScores(scores);
    const [rows, width] = values.shape;
    if (classes !== undefined && width !== classes) throw formatError("logits", path, `to have ${classes} columns, as --logits has`, `${width}`);
    for (let row = 0; row < rows; row++) {
      const problem = rowProblem(input, values.row(row).data);
      if (problem) throw formatError("logits", path, input === "logits" ? "to hold scores in every row" : "to hold probabilities in every row", `${problem} of row ${from + row}`);
    }
    say(`read ${rows} rows of ${width} classes from ${printable(scores)}`);
    const target = await readLabels(labels, rows, width);
    const logits = input === "logits" ? values : toLogits(values, clipped);
    const impossible = target.data.findIndex((label, row) => logits.data[row * width + label] === -Infinity);
    if (impossible >= 0) throw formatError("logits", path, "to have a finite score for the right label", `-Infinity in row ${from + impossible}`, "No temperature makes it possible: the model must not exclude the right label");
    return { logits, labels: target };
  };
  const given = await read(options.logits, options.labels);
  const classes = given.logits.shape[1];
  const readPair = async (name: string, scores: string | undefined, labels: string | undefined): Promise<LabelledRows | undefined> => {
    if (scores === undefined && labels === undefined) return undefined;
    if (scores === undefined || labels === undefined) throw new UsageError(`logits: expected both --${name}-logits and --${name}-labels, got one of them`);
    return read(scores, labels, classes);
  };
  const calibrationGiven = await readPair("calibration", options.calibrationLogits, options.calibrationLabels);
  const testGiven = await readPair("test", options.testLogits, options.testLabels);
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
  const testLogits = temperature.transform(test.logits);
  const aps = SplitConformal.fit(temperature.transform(calibration.logits), calibration.labels, { method: "aps", seed });
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
    sets: [head.conformal, aps].map((sets) => measureSets(sets, testLogits, test.labels, alpha, names)),
    versions: { logits: core.version, variant: core.variant },
  };
  say("measured the prediction sets");
  const json = `${JSON.stringify(metrics, null, 2)}\n`;
  const written = await writeAll(options.out, { "index.html": reportPage(metrics), "metrics.json": json, "head.json": `${JSON.stringify(head)}\n` });
  say(`wrote ${printable(written.join(", "))}`);
  const text = [options.title, ...findings(metrics).map((finding) => wrap(finding)), `Wrote ${written.join(", ")}`].map((part) => part.split("\n").map(printable).join("\n"));
  process.stdout.write(options.json ? json : `\n${text[0]}\n\n${text.slice(1, -1).join("\n")}\n\n${text.at(-1)}\n`);
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

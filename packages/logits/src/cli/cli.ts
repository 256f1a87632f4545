#!/usr/bin/env node
import { Command, CommanderError, Option } from "commander";
import { core } from "@logits/core-wasm";
import { LogitsError } from "@logits/tensor";
import { check } from "./check.ts";
import { compare } from "./compare.ts";
import { decide } from "./decide.ts";
import { demo } from "./demo.ts";
import { UsageError, parseCount, parseNumber } from "./input.ts";
import { addMonitorCommand } from "./monitorCommand.ts";
import { addOnnxCommands } from "./onnxCommands.ts";
import { printable } from "./output.ts";
import { DETECTORS, report, type DetectorName } from "./report.ts";
import { addTagCommands } from "./tagCommand.ts";

const program = new Command("logits")
  .description("From a model's raw scores to a decision one can trust.")
  .version(core.version)
  .exitOverride()
  .configureHelp({ helpWidth: 110 })
  // Its own words go into the one line that `fail` writes.
  .configureOutput({ outputError: () => {} });

const inputKind = (): Option => new Option("--input <kind>", "what the scores are; probabilities become logits by ln max(p, 2^-126)").choices(["logits", "probabilities"]);

/** "energy", "msp,knn": known names, each once. */
function parseDetectors(text: string): DetectorName[] {
  const names = text.split(",");
  const bad = names.find((name, i) => !(DETECTORS as readonly string[]).includes(name) || names.indexOf(name) < i);
  if (bad !== undefined) throw new UsageError(`logits: expected \`--detector\` names among ${DETECTORS.join(", ")}, each once, got ${JSON.stringify(text)}`);
  return names as DetectorName[];
}

const parseConfidence = (text: string): number | "marginal" => (text === "marginal" ? text : parseNumber("--confidence", 0, 1)(text));

program
  .command("report")
  .description("Calibrate scores, measure what that changed on rows that were not used for it, and write a page, the numbers and a decision head.")
  .requiredOption("--logits <file>", "scores [N, C]: .npy, .npz:key, .csv, .json, .ndjson, .safetensors:key, .parquet; rows as file[0:5000]")
  .requiredOption("--labels <file>", "right labels [N]")
  .addOption(inputKind())
  .option("--features <file>", "features [N, F] of the same rows, for a detector that takes them")
  .option("--calibration-logits <file>", "rows for the prediction sets' quantile and the detector's threshold; without: split off at random")
  .option("--calibration-labels <file>", "their labels")
  .option("--calibration-features <file>", "their features")
  .option("--test-logits <file>", "rows to test on; without: split off at random")
  .option("--test-labels <file>", "their labels")
  .option("--test-features <file>", "their features")
  .option("--detector <names>", `what flags rows unlike those of the fit: ${DETECTORS.join(", ")}; several, with commas, to choose by --outliers`, parseDetectors)
  .option("--max-fpr <number>", "share of rows that may be flagged by mistake (0.05 where there is a detector)", parseNumber("--max-fpr", 0, 1))
  .option("--confidence <number>", 'how sure that is over the drawing of the calibration rows (0.95), or "marginal": on average', parseConfidence)
  .addOption(new Option("--guarantee <rows>", "which rows the sets promise to cover: all, or those that the detector accepts").choices(["all", "accepted"]))
  .option("--outliers <file>", "scores of rows known to be unlike, to choose a detector and to measure it (never the same rows)")
  .option("--outlier-features <file>", "their features")
  .option("--classes <file>", "JSON array of class names")
  .option("--alpha <number>", "share of rows whose set may miss the right label", parseNumber("--alpha", 0, 1), 0.1)
  .option("--seed <integer>", "seed of the split, of the simulated perfect model and of the randomised sets", parseCount("--seed", 0), 0)
  .option("--title <text>", "title of the page", "Calibration report")
  .option("--json", "print metrics.json on stdout instead of words")
  .requiredOption("--out <directory>", "where index.html, metrics.json and head.json go")
  .addHelpText("after", `
No row is used twice. Without calibration and test rows of their own the rows are split 2 : 1 : 1 into fit,
calibration and test; where one of the two is given, 2 : 1. A detector is fitted where one of --features, --detector,
--max-fpr, --confidence, --outliers or --guarantee accepted is given: mahalanobis with features, msp without, the
one that tells the outliers best where there are some (half of them choose, the other half measure).

Examples:
  logits report --logits val.npz:logits --labels val.npz:labels --out report
  logits report --logits scores.csv --labels labels.csv --input probabilities --alpha 0.05 --out report --json
  logits report --logits a.npy --labels a-labels.npy --test-logits b.npy --test-labels b-labels.npy --classes names.json --out report
  logits report --logits a.npy --labels y.npy --features f.npy --max-fpr 0.02 --outliers o.npy --outlier-features of.npy --out report

Exit codes: 0 done, 2 wrong usage or input (one line on stderr, nothing written), 1 anything else.`)
  .action(report);

program
  .command("decide")
  .description("Decide on new rows with a head: one JSON object a line (label, ambiguous, unknown, invalid), with the row's index in the file.")
  .argument("[texts...]", "with --demo: texts to decide on; none or - reads lines from stdin")
  .option("--head <file>", "head.json as `logits report` wrote it")
  .option("--logits <file>", "scores [N, C] of new rows")
  .option("--features <file>", "features [N, F] of the same rows, where the head needs them")
  .addOption(inputKind())
  .option("--alpha <number>", "another alpha than the head's", parseNumber("--alpha", 0, 1))
  .option("--demo", "decide on texts with the intent classifier of the demo (in a checkout of the repository; trained on first use)")
  .addOption(new Option("--format <kind>", "json: an object a line; words: a line for people (the default of --demo on a terminal)").choices(["json", "words"]))
  .addHelpText("after", `
The head knows whether it takes logits or probabilities; an --input that contradicts it is an error.

Examples:
  logits decide --head report/head.json --logits new.npy
  logits decide --head report/head.json --logits new.npz:logits[0:100] --features new.npz:features[0:100]
  logits decide --head report/head.json --logits new.npy --alpha 0.05 > decisions.ndjson
  logits decide --demo "how do i sail to the moon" "wake me up at seven"

Exit codes: as for report. A row without a distribution (NaN, ...) is an "invalid" decision, no error.`)
  .action(decide);

program
  .command("check")
  .description("Test a head on labelled rows that it has not seen, for continuous integration: fails where they contradict what is asked for.")
  .requiredOption("--head <file>", "head.json as `logits report` wrote it")
  .option("--logits <file>", "scores [N, C]")
  .option("--features <file>", "features [N, F], where the head needs them")
  .requiredOption("--labels <file>", "right labels [N]")
  .option("--alpha <number>", "another alpha than the head's", parseNumber("--alpha", 0, 1))
  .option("--min-coverage <number>", "share of rows whose set must hold the right label (of the accepted ones, where the head promises those)", parseNumber("--min-coverage", 0, 1))
  .option("--max-fpr <number>", "share of rows that may be flagged as unknown", parseNumber("--max-fpr", 0, 1))
  .option("--min-accuracy <number>", "share of rows that must be answered and right (most probable class)", parseNumber("--min-accuracy", 0, 1))
  .option("--confidence <number>", "of the verdict: a head that keeps everything fails with probability at most 1 minus this", parseNumber("--confidence", 0, 1), 0.95)
  .option("--json", "one JSON object instead of sentences")
  .addHelpText("after", `
A limit is contradicted where it lies outside the exact one-sided (Clopper-Pearson) bound of what the rows show; several
limits share the risk equally (Bonferroni). One bad row contradicts nothing.

Examples:
  logits check --head report/head.json --logits new.npy --labels new-labels.npy --min-coverage 0.88
  logits check --head report/head.json --logits new.npy --features f.npy --labels y.npy --min-coverage 0.88 --max-fpr 0.05 --json

Exit codes: 0 nothing is contradicted, 1 something is (a sentence says what), 2 wrong usage or input.`)
  .action(check);

addMonitorCommand(program);

program
  .command("compare")
  .description("A paired test of two heads on the same rows, or of two files of scores, with the same labels.")
  .argument("<a>", "head.json, or scores [N, C]")
  .argument("<b>", "another one")
  .requiredOption("--labels <file>", "right labels [N]")
  .option("--logits <file>", "scores [N, C] that both heads decide on: then a and b are heads")
  .option("--features <file>", "features [N, F], where a head needs them")
  .addOption(inputKind())
  .option("--json", "one JSON object instead of sentences")
  .addHelpText("after", `
Accuracy: McNemar's exact test on the rows where only one is right (a rejected row counts as an error). Log-loss: paired t.

Examples:
  logits compare old.npy new.npy --labels labels.npy
  logits compare old/head.json new/head.json --logits val.npy --labels labels.npy --json

Exit codes: 0 compared, whatever the result, 2 wrong usage or input.`)
  .action(compare);

program
  .command("demo")
  .description("The intent classifier of the demo: trained on CLINC150 or read from the cache, tested on 4,500 queries and on 1,000 that are out of scope. Then intents that it never learned: refused, grouped, named and added.")
  .option("--retrain", "train even where the cache holds it")
  .option("--json", "the figures as JSON instead of words")
  .addHelpText("after", `
Needs a checkout of the repository, which carries the data. The classifier is kept in out/cache.

Examples:
  logits demo
  logits demo --retrain --json

Exit codes: 0 done, 2 no data.`)
  .action(demo);

addOnnxCommands(program);
addTagCommands(program);

function fail(text: string, code: number): void {
  process.stderr.write(`${printable(text)}\n`);
  process.exitCode = code;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that closes the pipe early (| head) has seen enough.
  if (error.code !== "EPIPE") fail(`logits: expected stdout to take the output, got ${error.code}`, 1);
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exitCode = 0;
    else if (error.code === "commander.help") process.exitCode = 2;
    else fail(`logits: expected a command and its options, got ${error.message.replace(/^error: |\.$/g, "").replaceAll("\n", " ")}. logits --help shows what there is`, 2);
  } else if (error instanceof UsageError || error instanceof LogitsError || error instanceof RangeError) fail(error.message, 2);
  else throw error;
}

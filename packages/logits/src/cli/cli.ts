#!/usr/bin/env node
import { Command, CommanderError, Option } from "commander";
import { core } from "@logits/core-wasm";
import { LogitsError } from "@logits/tensor";
import { decide } from "./decide.ts";
import { UsageError, parseCount, parseNumber } from "./input.ts";
import { addOnnxCommands } from "./onnxCommands.ts";
import { printable } from "./output.ts";
import { report } from "./report.ts";

const program = new Command("logits")
  .description("From a model's raw scores to a decision one can trust.")
  .version(core.version)
  .exitOverride()
  .configureHelp({ helpWidth: 110 })
  // Its own words go into the one line that `fail` writes.
  .configureOutput({ outputError: () => {} });

const inputKind = (): Option => new Option("--input <kind>", "what the scores are; probabilities become logits by ln max(p, 2^-126)").choices(["logits", "probabilities"]).default("logits");

program
  .command("report")
  .description("Calibrate scores, measure what that changed on rows that were not used for it, and write a page, the numbers and a decision head.")
  .requiredOption("--logits <file>", "scores [N, C]: .npy, .npz:key, .csv, .json, .ndjson, .safetensors:key, .parquet; rows as file[0:5000]")
  .requiredOption("--labels <file>", "right labels [N]")
  .addOption(inputKind())
  .option("--calibration-logits <file>", "rows for the prediction sets' quantile; without: split off at random")
  .option("--calibration-labels <file>", "their labels")
  .option("--test-logits <file>", "rows to test the sets on; without: split off at random")
  .option("--test-labels <file>", "their labels")
  .option("--classes <file>", "JSON array of class names")
  .option("--alpha <number>", "share of rows whose set may miss the right label", parseNumber("--alpha", 0, 1), 0.1)
  .option("--seed <integer>", "seed of the split, of the simulated perfect model and of the randomised sets", parseCount("--seed", 0), 0)
  .option("--title <text>", "title of the page", "Calibration report")
  .option("--json", "print metrics.json on stdout instead of words")
  .requiredOption("--out <directory>", "where index.html, metrics.json and head.json go")
  .addHelpText("after", `
No row is used twice. Without calibration and test rows of their own the rows are split 2 : 1 : 1 into fit,
calibration and test; where one of the two is given, 2 : 1.

Examples:
  logits report --logits val.npz:logits --labels val.npz:labels --out report
  logits report --logits scores.csv --labels labels.csv --input probabilities --alpha 0.05 --out report --json
  logits report --logits a.npy --labels a-labels.npy --test-logits b.npy --test-labels b-labels.npy --classes names.json --out report

Exit codes: 0 done, 2 wrong usage or input (one line on stderr, nothing written), 1 anything else.`)
  .action(report);

program
  .command("decide")
  .description("Decide on new rows with a head: one JSON object a line (label, ambiguous, invalid), with the row's index in the file.")
  .requiredOption("--head <file>", "head.json as `logits report` wrote it")
  .requiredOption("--logits <file>", "scores [N, C] of new rows")
  .addOption(inputKind())
  .option("--alpha <number>", "another alpha than the head's", parseNumber("--alpha", 0, 1))
  .addHelpText("after", `
Examples:
  logits decide --head report/head.json --logits new.npy
  logits decide --head report/head.json --logits new.npz:logits[0:100] --alpha 0.05 > decisions.ndjson

Exit codes: as for report. A row without a distribution (NaN, ...) is an "invalid" decision, no error.`)
  .action(decide);

addOnnxCommands(program);

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

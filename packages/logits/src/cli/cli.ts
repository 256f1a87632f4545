#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { core } from "@logits/core-wasm";
import { LogitsError } from "@logits/tensor";
import { decide } from "./decide.ts";
import { UsageError, parseCount, parseNumber } from "./input.ts";
import { report } from "./report.ts";

const program = new Command("logits")
  .description("From a model's raw scores to a decision one can trust.")
  .version(core.version)
  .exitOverride()
  .configureHelp({ helpWidth: 110 })
  .showHelpAfterError("(logits --help shows what there is)");

program
  .command("report")
  .description("Calibrate scores, measure what that changed on rows that were not used for it, and write a page, the numbers and a decision head.")
  .requiredOption("--logits <file>", "scores [N, C]: .npy, .npz:key, .csv, .json, .ndjson, .safetensors:key, .parquet; rows as file[0:5000]")
  .requiredOption("--labels <file>", "right labels [N]")
  .option("--input <kind>", 'what the scores are: "logits" or "probabilities" (they become logits by ln max(p, 2^-126))', "logits")
  .option("--calibration-logits <file>", "rows for the prediction sets' quantile; without: a third of the rows")
  .option("--calibration-labels <file>", "their labels")
  .option("--test-logits <file>", "rows to test on; without: a quarter of the rows")
  .option("--test-labels <file>", "their labels")
  .option("--classes <file>", "JSON array of class names")
  .option("--alpha <number>", "share of rows whose set may miss the right label", parseNumber("--alpha", 0, 1), 0.1)
  .option("--seed <integer>", "seed of the split and of the randomised sets", parseCount("--seed", 0), 0)
  .option("--title <text>", "title of the page", "Calibration report")
  .option("--json", "print metrics.json on stdout instead of words")
  .requiredOption("--out <directory>", "where index.html, metrics.json and head.json go")
  .addHelpText("after", `
Examples:
  logits report --logits val.npz:logits --labels val.npz:labels --out report
  logits report --logits scores.csv --labels labels.csv --input probabilities --alpha 0.05 --out report --json
  logits report --logits a.npy --labels a-labels.npy --test-logits b.npy --test-labels b-labels.npy --classes names.json --out report`)
  .action(report);

program
  .command("decide")
  .description("Decide on new rows with a head: one JSON object a line (label, ambiguous, invalid).")
  .requiredOption("--head <file>", "head.json as `logits report` wrote it")
  .requiredOption("--logits <file>", "scores [N, C] of new rows")
  .option("--input <kind>", 'what the scores are: "logits" or "probabilities"', "logits")
  .option("--alpha <number>", "another alpha than the head's", parseNumber("--alpha", 0, 1))
  .addHelpText("after", `
Examples:
  logits decide --head report/head.json --logits new.npy
  logits decide --head report/head.json --logits new.npz:logits[0:100] --alpha 0.05 > decisions.ndjson`)
  .action(decide);

// A reader that closes the pipe early (| head) has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof UsageError || error instanceof LogitsError || error instanceof RangeError || error instanceof TypeError) {
    process.stderr.write(`${error.message}\n`);
    if (process.env.LOGITS_DEBUG) process.stderr.write(`${error.stack}\n`);
    process.exitCode = 2;
  } else throw error;
}

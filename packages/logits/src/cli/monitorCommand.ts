import type { Command } from "commander";
import { parseCount, parseNumber } from "./input.ts";
import { monitor } from "./monitor.ts";

/** The command on streams. */
export function addMonitorCommand(program: Command): void {
  program
    .command("monitor")
    .description("Watch rows as they come, one JSON value a line, for a change: with a state of constant size in a file, which the next run goes on from.")
    .argument("[files...]", "rows; none or - reads stdin")
    .requiredOption("--state <file>", "where the state is kept; written anew where it is not there")
    .option("--reference <file>", "watch scores for a departure from these: an array [n], or rows as the stream has them")
    .option("--risk <number>", "watch losses for a mean above this", parseNumber("--risk", 0, Infinity))
    .option("--p-values", "watch p-values for ones that are too small")
    .option("--head <file>", "watch rows of logits, features and (where known) label by a head: its detector's p-values, the misses of its sets")
    .option("--field <name>", "field of each row with its number (a row that is a number; score, loss, pValue; a decision of logits decide)")
    .option("--level <number>", "chance of ever raising an alarm while nothing changes, for each monitor (0.01)", parseNumber("--level", 0, 1))
    .option("--bound <number>", "with --risk: the largest loss (1)", parseNumber("--bound", 0, Infinity))
    .option("--calibration-rows <integer>", "with --p-values: the rows that all of them were taken against; without: they are independent", parseCount("--calibration-rows", 1))
    .option("--bins <integer>", "with --reference: bins of the scores, the size of the state (100)", parseCount("--bins", 2))
    .option("--seed <integer>", "with --reference: seed of the order of the reference rows and of ties (0)", parseCount("--seed", 0))
    .option("--json", "JSON lines instead of words")
    .addHelpText("after", `
One line for each alarm as it is raised, one for each monitor at the end. An alarm stays on; remove the state to begin
anew. A later run needs --state alone (and --head, where there is one); an option that contradicts the state is refused.
A decision counts as a loss where it is unknown or invalid, and scores 1 - its largest probability (unknown: above 1).

Examples:
  logits decide --head report/head.json --logits new.npy | logits monitor --state flags.json --risk 0.07
  logits monitor --state drift.json --reference scores.npy < scores.ndjson
  logits monitor --state head-watch.json --head report/head.json rows.ndjson --json

Exit codes: 0 no alarm is on, 1 one is, 2 wrong usage or input (the state holds the rows before it).`)
    .action(monitor);
}

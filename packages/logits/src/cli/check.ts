import type { Coverage } from "@logits/conformal";
import type { Rate } from "@logits/head";
import { clopperPearson } from "@logits/statistics";
import { UsageError, readLabels } from "./input.ts";
import { headRows } from "./headRows.ts";

/** Options of `logits check`. */
export interface CheckOptions {
  readonly head: string;
  readonly logits?: string;
  readonly features?: string;
  readonly labels: string;
  readonly alpha?: number;
  readonly minCoverage?: number;
  readonly maxFpr?: number;
  readonly minAccuracy?: number;
  readonly confidence: number;
  readonly json?: boolean;
}

/** One requirement and what the rows say about it. Shares in [0, 1]. */
export interface CheckResult {
  readonly name: "coverage" | "false-positive rate" | "accuracy";
  readonly ok: boolean;
  readonly count: number;
  readonly rows: number;
  readonly share: number;
  /** What was asked for: at least, for the false-positive rate at most. */
  readonly limit: number;
  /** One-sided Clopper-Pearson bound of the share: the upper one, for the false-positive rate the lower one. */
  readonly bound: number;
  /** Of this bound. */
  readonly confidence: number;
  readonly sentence: string;
}

/** What `logits check --json` prints. */
export interface CheckReport {
  readonly format: "logits/check";
  readonly version: 1;
  readonly ok: boolean;
  readonly rows: number;
  readonly invalid: number;
  readonly checks: readonly CheckResult[];
}

/** Tests a head on labelled rows that it has not seen: exit code 1 where they contradict what is asked for. */
export async function check(options: CheckOptions): Promise<void> {
  const { minCoverage, maxFpr, minAccuracy, confidence, alpha } = options;
  const asked = [minCoverage, maxFpr, minAccuracy].filter((limit) => limit !== undefined).length;
  if (asked === 0) throw new UsageError("logits: expected at least one of --min-coverage, --max-fpr and --min-accuracy, got none");
  const { head, rows, count } = await headRows(options.head, options);
  if (maxFpr !== undefined && head.detector === undefined) throw new UsageError("logits: expected a head with a detector where --max-fpr is given, got one without: it flags nothing");
  const labels = await readLabels(options.labels, count, head.classes.length);
  const found = head.evaluate({ ...rows, labels }, { alpha });
  // Bonferroni: a head that keeps all that is asked for fails with probability at most 1 - confidence.
  const level = 1 - (1 - confidence) / asked;
  const accepted = head.guarantee === "accepted";
  const coverage = accepted ? found.coverage.accepted : found.coverage.all;
  const checks: CheckResult[] = [];
  if (minCoverage !== undefined) checks.push(judge("coverage", fromCoverage(coverage), minCoverage, level, `the sets hold the right label for {} ${accepted ? "answered rows" : "rows"}`));
  if (maxFpr !== undefined) checks.push(judge("false-positive rate", found.falsePositives!, maxFpr, level, "the head flags {} rows as unknown, all of them labelled"));
  if (minAccuracy !== undefined) checks.push(judge("accuracy", found.accuracy.answered, minAccuracy, level, "the head answers and is right on {} rows"));
  const ok = checks.every((each) => each.ok);
  const report: CheckReport = { format: "logits/check", version: 1, ok, rows: count, invalid: found.invalid, checks };
  const invalid = found.invalid === 0 ? [] : [`note: ${found.invalid} of ${count} rows are no distribution or have features that are not finite; coverage and false-positive rate do not count them, accuracy counts them as errors`];
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : `${[...checks.map((each) => each.sentence), ...invalid].join("\n")}\n`);
  if (!ok) process.exitCode = 1;
}

function fromCoverage(coverage: Coverage | null): Pick<Rate, "count" | "rows"> {
  return coverage === null ? { count: 0, rows: 0 } : { count: coverage.covered, rows: coverage.rows };
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const plain = (share: number): string => `${+(100 * share).toPrecision(12)} %`;

/** The data contradict a limit where it lies outside the exact one-sided bound of the share. */
function judge(name: CheckResult["name"], { count, rows }: Pick<Rate, "count" | "rows">, limit: number, level: number, words: string): CheckResult {
  if (rows === 0) throw new UsageError(`logits: expected rows to check the ${name} on, got none that counts`);
  const most = name === "false-positive rate";
  // Both ends of a two-sided interval at 2 level - 1 are one-sided bounds at `level`.
  const [low, high] = clopperPearson(count, rows, 2 * level - 1);
  const bound = most ? low : high, ok = most ? bound <= limit : bound >= limit;
  const what = `${name}: ${words.replace("{}", `${count} of ${rows}`)} (${percent(count / rows)}; asked for: at ${most ? "most" : "least"} ${plain(limit)})`;
  const verdict = ok
    ? "not contradicted"
    : `with ${plain(level)} confidence the ${name} is ${most ? "above" : "below"} ${percent(bound)}: these rows are unlike the calibration rows, or the head was fitted on rows it had seen`;
  return { name, ok, count, rows, share: count / rows, limit, bound, confidence: level, sentence: `${ok ? "ok  " : "FAIL"} ${what}: ${verdict}.` };
}

import { probabilitiesToLogits } from "@logits/calibration";
import { logSoftmax } from "@logits/core-wasm";
import type { DecisionHead } from "@logits/head";
import { betaQuantile, binomialTail, regularizedBeta } from "@logits/statistics";
import type { Tensor } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { rowsFor, type RowFiles } from "./headRows.ts";
import { UsageError, readHead, readLabels, readScores, rowProblem, type InputKind } from "./input.ts";
import { printable } from "./output.ts";

/** Options of `logits compare`. */
export interface CompareOptions extends RowFiles {
  readonly labels: string;
  readonly input?: InputKind;
  readonly json?: boolean;
}

/** What `logits compare --json` prints: A against B on the same rows. */
export interface Comparison {
  readonly format: "logits/compare";
  readonly version: 1;
  readonly a: string;
  readonly b: string;
  readonly rows: number;
  readonly accuracy: {
    readonly a: number;
    readonly b: number;
    /** Rows on which only one is right. */
    readonly onlyA: number;
    readonly onlyB: number;
    readonly test: "McNemar, exact, two-sided";
    readonly pValue: number;
  };
  /** Mean negative log-probability of the label, in nats; null where a label has probability 0, or there is one row. */
  readonly logLoss: {
    readonly a: number;
    readonly b: number;
    /** Mean of A minus B, with its 95 % interval. */
    readonly difference: number;
    readonly interval: readonly [low: number, high: number];
    readonly test: "paired t, two-sided";
    readonly pValue: number;
  } | null;
}

/** Rows that one side is right on, and its losses. */
interface Side {
  readonly right: Uint8Array;
  readonly losses: Float64Array;
}

/** A paired test of two heads on the same rows, or of two files of scores. */
export async function compare(a: string, b: string, options: CompareOptions): Promise<void> {
  const heads = options.logits !== undefined || options.features !== undefined;
  if (heads && options.input !== undefined) throw new UsageError("logits: expected no --input with two heads, which know theirs, got one");
  const [first, second] = heads ? await headSides(a, b, options) : await scoreSides(a, b, options);
  const result = comparison(a, b, first, second);
  process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : `${sentences(result, heads).map(printable).join("\n")}\n`);
}

async function headSides(a: string, b: string, options: CompareOptions): Promise<[Side, Side]> {
  const heads = [await readHead(a), await readHead(b)];
  if (heads[0].classes.join("\n") !== heads[1].classes.join("\n")) throw new UsageError(`logits: expected two heads of the same classes, got ${a} and ${b}`);
  // Each takes what it needs of what is given; a file that neither takes is a mistake.
  for (const name of ["logits", "features"] as const) {
    if (options[name] !== undefined && !heads.some((head) => head.needs.includes(name))) throw new UsageError(`logits: expected no --${name}, which neither head takes, got ${options[name]}`);
  }
  const sides: Side[] = [];
  for (const head of heads) {
    const { rows, count } = await rowsFor(head, { logits: head.needs.includes("logits") ? options.logits : undefined, features: head.needs.includes("features") ? options.features : undefined });
    sides.push(headSide(head, rows, await readLabels(options.labels, count, head.classes.length)));
  }
  return [sides[0], sides[1]];
}

function headSide(head: DecisionHead, rows: { logits?: Tensor<"float32">; features?: Tensor<"float32"> }, labels: Tensor<"int32">): Side {
  const decisions = head.decideAll(rows);
  const invalid = decisions.findIndex((decision) => decision.kind === "invalid");
  if (invalid >= 0) throw new UsageError(`logits: expected rows that are distributions, got row ${invalid} that is none`);
  const given = head.scorer ? head.scorer.logits(rows.features!) : rows.logits!;
  const logits = head.calibrator.transform(head.input === "probabilities" ? probabilitiesToLogits(given).logits : given);
  const { right, losses } = sideOf(logits, labels);
  // A rejected row is no right answer.
  decisions.forEach((decision, n) => decision.kind === "unknown" && (right[n] = 0));
  return { right, losses };
}

async function scoreSides(a: string, b: string, { labels, input = "logits" }: CompareOptions): Promise<[Side, Side]> {
  const [first, second] = [await readScores(a), await readScores(b)];
  const [rows, classes] = first.values.shape;
  if (second.values.shape[0] !== rows || second.values.shape[1] !== classes) throw formatError("logits", second.path, `of shape [${rows}, ${classes}], as ${first.path} has`, `[${second.values.shape.join(", ")}]`);
  const target = await readLabels(labels, rows, classes);
  const side = ({ values, from, path }: typeof first): Side => {
    for (let row = 0; row < rows; row++) {
      const problem = rowProblem(input, values.row(row).data);
      if (problem) throw formatError("logits", path, `to hold ${input === "logits" ? "scores" : "probabilities"} in every row`, `${problem} of row ${from + row}`);
    }
    return sideOf(input === "logits" ? values : probabilitiesToLogits(values).logits, target);
  };
  return [side(first), side(second)];
}

/** The smallest index of the largest score is the answer. */
function sideOf(logits: Tensor<"float32">, labels: Tensor<"int32">): Side {
  const [rows, classes] = logits.shape, p = logSoftmax(logits).data;
  const right = new Uint8Array(rows), losses = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits.data[n * classes + c] > logits.data[n * classes + best]) best = c;
    right[n] = Number(best === labels.data[n]);
    losses[n] = -p[n * classes + labels.data[n]];
  }
  return { right, losses };
}

/** The tests. Same rows, so differences of a row are what counts. */
function comparison(nameA: string, nameB: string, a: Side, b: Side): Comparison {
  const rows = a.right.length, mean = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, value) => sum + value, 0) / rows;
  let onlyA = 0, onlyB = 0;
  for (let n = 0; n < rows; n++) {
    if (a.right[n] > b.right[n]) onlyA++;
    if (b.right[n] > a.right[n]) onlyB++;
  }
  const differ = onlyA + onlyB;
  const differences = a.losses.map((loss, n) => loss - b.losses[n]);
  return {
    format: "logits/compare", version: 1, a: nameA, b: nameB, rows,
    accuracy: { a: mean(a.right), b: mean(b.right), onlyA, onlyB, test: "McNemar, exact, two-sided", pValue: differ === 0 ? 1 : Math.min(1, 2 * binomialTail(Math.max(onlyA, onlyB), differ, 0.5)) },
    logLoss: rows < 2 || differences.some((value) => !Number.isFinite(value)) ? null : { a: mean(a.losses), b: mean(b.losses), ...pairedT(differences) },
  };
}

function pairedT(differences: Float64Array): Pick<NonNullable<Comparison["logLoss"]>, "difference" | "interval" | "test" | "pValue"> {
  const n = differences.length, freedom = n - 1;
  const difference = differences.reduce((sum, value) => sum + value, 0) / n;
  const error = Math.sqrt(differences.reduce((sum, value) => sum + (value - difference) ** 2, 0) / freedom / n);
  // P(|T| >= |t|) = I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2).
  const t = error > 0 ? difference / error : 0;
  const pValue = error > 0 ? regularizedBeta(freedom / (freedom + t * t), freedom / 2, 0.5) : difference === 0 ? 1 : 0;
  const x = betaQuantile(0.05, freedom / 2, 0.5), margin = error * Math.sqrt((freedom * (1 - x)) / x);
  return { difference, interval: [difference - margin, difference + margin], test: "paired t, two-sided", pValue };
}

function sentences({ a, b, rows, accuracy, logLoss }: Comparison, heads: boolean): string[] {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  const p = (value: number): string => (value < 0.0001 ? "p < 0.0001" : `p = ${value.toFixed(4)}`);
  const verdict = (value: number, better: string): string => (value < 0.05 ? `${better} is better` : "no difference beyond chance");
  return [
    `A = ${a}, B = ${b}: ${rows} rows${heads ? "; a rejected row counts as an error" : ""}.`,
    `Accuracy: A ${percent(accuracy.a)}, B ${percent(accuracy.b)}; only A is right on ${accuracy.onlyA} rows, only B on ${accuracy.onlyB}; ${p(accuracy.pValue)} (McNemar, exact): ${verdict(accuracy.pValue, accuracy.onlyA > accuracy.onlyB ? "A" : "B")}.`,
    logLoss === null
      ? "Log-loss: not compared; a label has probability 0, or there is one row."
      : `Log-loss: A ${logLoss.a.toFixed(4)}, B ${logLoss.b.toFixed(4)} nats; A - B ${logLoss.difference.toFixed(4)} [${logLoss.interval.map((end) => end.toFixed(4)).join(", ")}]; ${p(logLoss.pValue)} (paired t): ${verdict(logLoss.pValue, logLoss.difference < 0 ? "A" : "B")}.`,
  ];
}

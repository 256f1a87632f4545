import { createHash } from "node:crypto";
import { once } from "node:events";
import { ExchangeabilityMonitor, PValueMonitor, RiskMonitor } from "@logits/conformal";
import type { DecisionHead } from "@logits/head";
import { LogitsError, Tensor, randomSource } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { UsageError, parseRows, readHead, readScores } from "./input.ts";
import { headReader, headWatches } from "./monitorHead.ts";
import { monitorRows, numberOf, type MonitorKind, type MonitorRow } from "./monitorRows.ts";
import { StateFile, type MonitorSettings, type MonitorState, type Watch } from "./monitorState.ts";

/** Options of `logits monitor`. */
export interface MonitorOptions {
  readonly state: string;
  readonly reference?: string;
  readonly risk?: number;
  readonly bound?: number;
  readonly pValues?: boolean;
  readonly calibrationRows?: number;
  readonly head?: string;
  readonly field?: string;
  readonly level?: number;
  readonly bins?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** What `logits monitor --json` prints in its last line. */
export interface MonitorSummary {
  readonly format: "logits/monitor-summary";
  readonly version: 1;
  readonly ok: boolean;
  /** Over all runs. */
  readonly rows: number;
  readonly watches: readonly {
    readonly name: Watch["name"];
    readonly ok: boolean;
    /** Rows that had something for this monitor. */
    readonly rows: number;
    /** A p-value that holds at every moment at once. */
    readonly pValue: number;
    /** The row at which the alarm was raised; null: none was. */
    readonly since: number | null;
    /** Losses: their mean, and what is allowed. */
    readonly mean?: number | null;
    readonly risk?: number;
  }[];
}

/** The state is written after so many rows or milliseconds, at each alarm and at the end. */
const SAVE_ROWS = 1000;
const SAVE_MS = 1000;

const KINDS: Readonly<Record<Exclude<MonitorSettings["mode"], "head">, MonitorKind>> = { scores: "score", losses: "loss", "p-values": "pValue" };

/** Watches rows as they come, with a state that goes on where the last run ended: exit code 1 where an alarm is on. */
export async function monitor(paths: readonly string[], options: MonitorOptions): Promise<void> {
  const file = new StateFile(options.state), before = await file.read();
  if (paths.length === 0 && process.stdin.isTTY) throw new UsageError("logits: expected rows, one JSON value a line, in files or on stdin, got a terminal");
  const head = options.head === undefined ? undefined : await readHead(options.head);
  const asked = await askedFor(options, head);
  const state = before ?? (await start(options, asked, head));
  if (before) agree(options.state, before.settings, asked);
  if (state.settings.mode === "head" && head === undefined) throw new UsageError(`logits: expected --head, which ${options.state} watches the rows of, got none`);
  const read = head && headReader(head);

  const stop = new AbortController(), end = (): void => stop.abort();
  process.once("SIGINT", end).once("SIGTERM", end);
  let unsaved = 0, saved = performance.now();
  const save = async (): Promise<void> => {
    if (unsaved === 0) return;
    await file.write(state);
    unsaved = 0;
    saved = performance.now();
  };
  try {
    for await (const row of monitorRows(paths, stop.signal)) {
      const raised = take(state, row, read);
      unsaved++;
      if (raised.length > 0 || unsaved >= SAVE_ROWS || performance.now() - saved >= SAVE_MS) await save();
      for (const watch of raised) await print(options.json ? JSON.stringify({ alarm: watch.name, row: watch.since, pValue: watch.monitor.pValue }) : `ALARM ${watch.name}: row ${watch.since}, p ${p(watch.monitor.pValue)}`);
    }
  } catch (error) {
    await save();
    // A first row that cannot be read has not begun anything.
    if (error instanceof LogitsError && state.rows > 0) throw new UsageError(`${error.message}. ${options.state} holds the ${state.rows} rows before it`, { cause: error });
    throw error;
  } finally {
    process.off("SIGINT", end).off("SIGTERM", end);
  }
  if (unsaved > 0 || !before) await file.write(state);
  const summary = summaryOf(state);
  await print(options.json ? JSON.stringify(summary) : summary.watches.map(sentence).join("\n"));
  if (!summary.ok) process.exitCode = 1;
}

/** Feeds a row to the monitors; returns those whose alarm it raised. */
function take(state: MonitorState, row: MonitorRow, read: ReturnType<typeof headReader> | undefined): Watch[] {
  const { mode, field } = state.settings, { watches } = state, raised: Watch[] = [];
  const through = mode === "head" ? read!(row, state.rows) : undefined, number = mode === "head" ? undefined : numberOf(KINDS[mode], field, row);
  for (const watch of watches) {
    const value = through ? through[watch.name as "drift" | "coverage"] : number;
    if (value === undefined) continue;
    try {
      watch.monitor.update(value);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw formatError("logits", row.where, mode === "p-values" ? "to have a p-value in [0, 1]" : mode === "losses" ? `to have a loss in [0, ${state.settings.bound}]` : "to have a number", `${value}`, undefined, cause);
    }
    if (watch.monitor.alarm && watch.since === null) {
      watch.since = state.rows;
      raised.push(watch);
    }
  }
  state.rows++;
  return raised;
}

/** What the options ask for, nothing filled in; undefined mode: they name none. */
type Asked = Partial<MonitorSettings>;

async function askedFor(options: MonitorOptions, head: DecisionHead | undefined): Promise<Asked> {
  const { reference, risk, bound, pValues, calibrationRows, field, level, bins, seed } = options;
  const modes = [["--reference", "scores", reference !== undefined], ["--risk", "losses", risk !== undefined], ["--p-values", "p-values", pValues === true], ["--head", "head", head !== undefined]] as const;
  const named = modes.filter(([, , given]) => given);
  if (named.length > 1) throw new UsageError(`logits: expected one of --reference, --risk, --p-values and --head, got ${named.map(([option]) => option).join(" and ")}`);
  const mode = named[0]?.[1];
  for (const [option, value, of] of [["--bound", bound, "losses"], ["--calibration-rows", calibrationRows, "p-values"], ["--bins", bins, "scores"], ["--seed", seed, "scores"]] as const) {
    if (value !== undefined && mode !== undefined && mode !== of) throw new UsageError(`logits: expected ${option} with ${modes.find(([, name]) => name === of)![0]} only, got it with ${named[0][0]}`);
  }
  if (field !== undefined && mode === "head") throw new UsageError("logits: expected no --field with --head, which reads logits, features and label, got one");
  const source = head ? createHash("sha256").update(JSON.stringify(head)).digest("hex") : reference === undefined ? undefined : digest((await referenceScores(reference, field)).data);
  return Object.fromEntries(Object.entries({ mode, source, field, level, risk, bound, calibrationRows, bins, seed }).filter(([, value]) => value !== undefined)) as Asked;
}

function digest(numbers: Float32Array): string {
  return createHash("sha256").update(Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)).digest("hex");
}

/** A state before its first row. */
async function start(options: MonitorOptions, asked: Asked, head: DecisionHead | undefined): Promise<MonitorState> {
  const { mode, level = 0.01, risk, bound = 1, bins = 100, seed = 0, calibrationRows } = asked;
  if (mode === undefined) throw new UsageError(`logits: expected --reference, --risk, --p-values or --head to start ${options.state}, which is not there, got none of them`);
  if (mode === "head") return { settings: { ...asked, mode, level }, rows: 0, watches: headWatches(head!, options.head!, level) };
  if (mode === "losses") return { settings: { ...asked, mode, level, bound }, rows: 0, watches: [{ name: "losses", monitor: RiskMonitor.start({ risk: risk!, bound, level }), since: null }] };
  if (mode === "p-values") return { settings: { ...asked, mode, level }, rows: 0, watches: [{ name: "p-values", monitor: PValueMonitor.start({ level, calibrationRows }), since: null }] };
  const scores = (await referenceScores(options.reference!, options.field)).data;
  // Its rows serve two purposes by turns: in an order that means nothing.
  const shuffled = Float32Array.from(randomSource(seed).permutation(scores.length), (i) => scores[i]);
  return { settings: { ...asked, mode, level, bins, seed }, rows: 0, watches: [{ name: "scores", monitor: ExchangeabilityMonitor.start(shuffled, { level, bins, seed }), since: null }] };
}

/** Scores of a file: an array of numbers, or rows as the stream has them. */
async function referenceScores(text: string, field: string | undefined): Promise<Tensor<"float32">> {
  const { path, key } = parseRows(text);
  if (key === undefined && text === path && /\.(ndjson|jsonl)$/i.test(path)) {
    const found: number[] = [];
    for await (const row of monitorRows([path], new AbortController().signal)) found.push(numberOf("score", field, row));
    return new Tensor("float32", [found.length], Float32Array.from(found));
  }
  const { values } = await readScores(text), [rows, columns] = values.shape;
  if (columns !== 1 && rows !== 1) throw formatError("logits", path, "to hold one score a row", `${columns} columns`);
  return new Tensor("float32", [values.size], values.data);
}

/** A state goes on as it was started. */
function agree(path: string, settings: MonitorSettings, asked: Asked): void {
  for (const [name, value] of Object.entries(asked)) {
    const own = settings[name as keyof MonitorSettings];
    if (own === value) continue;
    const option = name === "mode" ? "" : name === "source" ? (settings.mode === "head" ? "--head " : "--reference ") : `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} `;
    const wanted = name === "mode" ? `the options of ${String(own)}` : name === "source" ? `${option}with the content` : `${option}${String(own ?? "not given")}`;
    throw new UsageError(`logits: expected ${wanted} that ${path} was started with, got ${name === "source" ? "another one" : name === "mode" ? `those of ${value}` : `${value}`}. Name another state, or leave the option out`);
  }
}

function summaryOf({ rows, watches }: MonitorState): MonitorSummary {
  return {
    format: "logits/monitor-summary", version: 1, ok: watches.every(({ since }) => since === null), rows,
    watches: watches.map(({ name, monitor, since }) => ({ name, ok: since === null, rows: monitor.rows, pValue: monitor.pValue, since, ...(monitor instanceof RiskMonitor && { mean: monitor.mean, risk: monitor.risk }) })),
  };
}

const p = (value: number): string => (value < 0.0001 ? "< 0.0001" : value.toFixed(4));

function sentence({ name, ok, rows, pValue, since, mean, risk }: MonitorSummary["watches"][number]): string {
  const losses = risk === undefined ? "" : `, mean ${mean === null || mean === undefined ? "unknown" : mean.toFixed(4)} (allowed ${+risk.toPrecision(4)})`;
  return `${ok ? "ok   " : "ALARM"} ${name}: ${rows} rows${losses}, p ${p(pValue)}${since === null ? "" : `, since row ${since}`}`;
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, "drain");
}

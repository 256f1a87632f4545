import { createReadStream } from "node:fs";
import { message } from "@logits/tensor";
import { formatError, quote } from "../io/formatError.ts";
import { UsageError } from "./input.ts";

/** What the number of a row is. */
export type MonitorKind = "score" | "loss" | "pValue";

/** One line of NDJSON, parsed. */
export interface MonitorRow {
  readonly value: unknown;
  /** For messages: "line 3 of stdin". */
  readonly where: string;
}

/** Rows of files (`-` or none: stdin) as they come; blank lines are none. Once `stop` aborts it ends after the row at hand. */
export async function* monitorRows(paths: readonly string[], stop: AbortSignal): AsyncGenerator<MonitorRow> {
  for (const path of paths.length > 0 ? paths : ["-"]) {
    const name = path === "-" ? "stdin" : path;
    let line = 0;
    for await (const text of linesOf(path, name, stop)) {
      line++;
      const where = `line ${line} of ${name}`;
      if (text.trim() !== "") yield { value: parsed(text, where), where };
    }
    if (stop.aborted) return;
  }
}

async function* linesOf(path: string, name: string, stop: AbortSignal): AsyncGenerator<string> {
  const input = (path === "-" ? process.stdin : createReadStream(path)).setEncoding("utf8"), end = (): void => void input.destroy();
  stop.addEventListener("abort", end, { once: true });
  let rest = "";
  try {
    for await (const chunk of input) {
      const lines = (rest + (chunk as string)).split("\n");
      rest = lines.pop()!;
      for (const text of lines) {
        yield text;
        if (stop.aborted) return;
      }
    }
  } catch (cause) {
    if (stop.aborted) return;
    throw new UsageError(message("logits", name, "to be readable", `${(cause as NodeJS.ErrnoException).code}`), { cause });
  } finally {
    stop.removeEventListener("abort", end);
  }
  if (rest !== "" && !stop.aborted) yield rest;
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw formatError("logits", where, "to be JSON", quote(text), undefined, cause);
  }
}

/**
 * The number of a row: the row itself, its field, or what a decision of `logits decide` says.
 *
 * score: 1 - the largest probability of an answered row, 2 - pValue of one that is unknown, 3 of an invalid one. loss: 1 where the row was not answered; true and false are 1 and 0. pValue: no decision has one.
 */
export function numberOf(kind: MonitorKind, field: string | undefined, { value, where }: MonitorRow): number {
  const at = (name: string): unknown => (typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined);
  const decision = field === undefined && at("kind") !== undefined ? fromDecision(kind, at) : undefined;
  const name = field ?? kind, found = decision ?? (field === undefined && typeof value !== "object" ? value : at(name));
  if (typeof found === "number") return found;
  if (typeof found === "boolean" && kind === "loss") return Number(found);
  const wanted = kind === "pValue" ? `a number or to have a \`${name}\`` : `a number${kind === "loss" ? ", true or false" : ""}, a decision, or to have a \`${name}\``;
  throw formatError("logits", where, field === undefined ? `to be ${wanted}` : `to have a number as \`${name}\``, quote(JSON.stringify(value)), field === undefined ? "--field names another one" : undefined);
}

function fromDecision(kind: MonitorKind, at: (name: string) => unknown): number | undefined {
  const what = at("kind"), probabilities = at("probabilities"), pValue = at("pValue");
  if (kind === "pValue" || !["label", "ambiguous", "unknown", "invalid"].includes(what as string)) return undefined;
  if (kind === "loss") return what === "unknown" || what === "invalid" ? 1 : 0;
  if (what === "invalid") return 3;
  if (what === "unknown") return typeof pValue === "number" ? 2 - pValue : undefined;
  const probability = what === "label" ? at("probability") : Array.isArray(probabilities) ? (probabilities[0] as unknown) : undefined;
  return typeof probability === "number" ? 1 - probability : undefined;
}

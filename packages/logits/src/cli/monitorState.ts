import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { ExchangeabilityMonitor, PValueMonitor, RiskMonitor } from "@logits/conformal";
import { message, readJson } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { UsageError } from "./input.ts";
import { writeAll } from "./output.ts";

const FORMAT = "logits/monitor";
const MODES = ["scores", "losses", "p-values", "head"] as const;
const READERS = { scores: ExchangeabilityMonitor.fromJSON, losses: RiskMonitor.fromJSON, "p-values": PValueMonitor.fromJSON, drift: PValueMonitor.fromJSON, coverage: RiskMonitor.fromJSON } as const;

/** What a state was started with; a later run may say the same again, and nothing else. */
export interface MonitorSettings {
  readonly mode: (typeof MODES)[number];
  /** Digest of the reference scores or of the head. */
  readonly source?: string;
  readonly field?: string;
  readonly level: number;
  readonly risk?: number;
  readonly bound?: number;
  readonly calibrationRows?: number;
  readonly bins?: number;
  readonly seed?: number;
}

/** One monitor and the row at which it raised its alarm. */
export interface Watch {
  readonly name: keyof typeof READERS;
  readonly monitor: ExchangeabilityMonitor | PValueMonitor | RiskMonitor;
  since: number | null;
}

/** Everything that a state file holds. */
export interface MonitorState {
  readonly settings: MonitorSettings;
  /** Rows over all runs. */
  rows: number;
  readonly watches: readonly Watch[];
}

/** A state in a file that one process writes at a time. */
export class StateFile {
  readonly path: string;
  /** What is in the file, as far as this process knows; undefined: there is none. */
  #text: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** The state in the file; undefined where there is none. */
  async read(): Promise<MonitorState | undefined> {
    const text = (this.#text = await textOf(this.path));
    if (text === undefined) return undefined;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw formatError("logits", this.path, "to be the state of a monitor", text.trim() === "" ? "an empty file" : "damaged JSON", undefined, cause);
    }
    return stateOf(this.path, json);
  }

  /** Writes the state beside the file and renames it, so that a kill leaves the old one or the new one. Refuses where someone else wrote meanwhile. */
  async write(state: MonitorState): Promise<void> {
    if ((await textOf(this.path)) !== this.#text) throw new UsageError(message("logits", this.path, "to be as this process left it", "another content", "One process at a time for a state"));
    const { settings, rows, watches } = state;
    const text = `${JSON.stringify({ format: FORMAT, version: 1, settings, rows, watches: watches.map(({ name, since, monitor }) => ({ name, since: since ?? -1, state: monitor.toJSON() })) })}\n`;
    await writeAll(dirname(this.path), { [basename(this.path)]: text });
    this.#text = text;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UsageError(message("logits", path, "to be a readable file", `${(cause as NodeJS.ErrnoException).code}`), { cause });
  }
}

function stateOf(path: string, json: unknown): MonitorState {
  const where = `logits: in ${path}`;
  const fields = readJson(where, json, FORMAT, 1, "logits");
  const own = readJson(where, { ...Object(fields.value("settings")), format: FORMAT, version: 1 }, FORMAT, 1, "logits");
  const has = (name: string): boolean => Object.hasOwn(Object(fields.value("settings")), name);
  const settings: MonitorSettings = {
    mode: own.oneOf("mode", MODES),
    ...(has("source") && { source: own.string("source") }), ...(has("field") && { field: own.string("field") }), level: own.number("level", 0, 1),
    ...Object.fromEntries((["risk", "bound", "calibrationRows", "bins", "seed"] as const).flatMap((name) => (has(name) ? [[name, own.number(name)]] : []))),
  };
  const list = fields.value("watches");
  if (!Array.isArray(list) || list.length === 0) return fields.fail("watches", "a list of monitors", JSON.stringify(list));
  const watches = list.map((item: unknown): Watch => {
    const each = readJson(where, { ...Object(item), format: FORMAT, version: 1 }, FORMAT, 1, "logits");
    const name = each.oneOf("name", Object.keys(READERS) as (keyof typeof READERS)[]), monitor = READERS[name](each.value("state")), since = each.integer("since", -1, Number.MAX_SAFE_INTEGER);
    if (since >= 0 !== monitor.alarm) each.fail("since", "a row where there is an alarm, else -1", `${since}`);
    return { name, monitor, since: since < 0 ? null : since };
  });
  return { settings, rows: fields.integer("rows", 0, Number.MAX_SAFE_INTEGER), watches };
}

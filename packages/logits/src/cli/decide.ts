import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Decision } from "@logits/head";
import { Tensor } from "@logits/tensor";
import { rowsFor } from "./headRows.ts";
import { UsageError, readHead, type InputKind } from "./input.ts";
import { INTENT_OPTIONS } from "./intentClassifier.ts";
import { intentSource, loadIntents, type Intents } from "./intents.ts";
import { printable, progress } from "./output.ts";
import { decisionLine } from "./words.ts";

/** Options of `logits decide`. */
export interface DecideOptions {
  readonly head?: string;
  readonly logits?: string;
  readonly features?: string;
  readonly input?: InputKind;
  readonly alpha?: number;
  readonly demo?: boolean;
  readonly format?: "json" | "words";
}

/** Rows decided at a time. */
const BATCH = 1024;

/** Streams one decision a line: for new rows, `row` is the index in the file; with --demo for texts. */
export async function decide(given: readonly string[], options: DecideOptions): Promise<void> {
  const words = (options.format ?? (options.demo && process.stdout.isTTY ? "words" : "json")) === "words";
  if (options.demo) return decideTexts(given, options, words);
  if (given.length > 0) throw new UsageError(`logits: expected texts with --demo only, got ${JSON.stringify(given[0])}`);
  if (options.head === undefined) throw new UsageError("logits: expected --head and what it decides on, or --demo, got neither");
  const head = await readHead(options.head);
  if (options.input !== undefined && options.input !== head.input) {
    throw new UsageError(`logits: expected --input ${head.input}, which the head was fitted for, or no --input, got ${options.input}`);
  }
  const { rows: { logits, features }, count, from } = await rowsFor(head, options);
  for (let start = 0; start < count; start += BATCH) {
    const size = Math.min(BATCH, count - start);
    const ids = Int32Array.from({ length: size }, (_, i) => from + start + i);
    const part = ({ shape: [, width], data }: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", [size, width], data.subarray(start * width, (start + size) * width));
    const batch = { ...(logits && { logits: part(logits) }), ...(features && { features: part(features) }) };
    const decisions = head.decideAll(batch, { alpha: options.alpha, ids });
    await write(decisions.map((decision, i) => (words ? `${ids[i]}  ${printable(decisionLine(decision))}` : JSON.stringify({ row: ids[i], ...decision }))));
  }
}

async function decideTexts(given: readonly string[], { head, logits, features, input, alpha }: DecideOptions, words: boolean): Promise<void> {
  for (const [option, value] of Object.entries({ head, logits, features, input })) {
    if (value !== undefined) throw new UsageError(`logits: expected nothing but texts with --demo, got --${option}`);
  }
  const fromInput = given.length === 0 || (given.length === 1 && given[0] === "-");
  if (given.length === 0 && process.stdin.isTTY) throw new UsageError('logits: expected a text, as in logits decide --demo "how do i sail to the moon", got none');
  const say = progress();
  const intents = await loadIntents(await intentSource(), INTENT_OPTIONS, (text) => say(printable(text)));
  if (!fromInput) return write(textDecisions(intents, given, alpha, words));
  // As they come, so that a person typing is answered at each line.
  for await (const line of createInterface({ input: process.stdin })) await write(textDecisions(intents, [line], alpha, words));
}

function textDecisions({ ngrams, head }: Intents, texts: readonly string[], alpha: number | undefined, words: boolean): string[] {
  const decisions: Decision[] = head.decideAll({ features: ngrams.transform(texts) }, { alpha });
  return decisions.map((decision, i) => (words ? printable(`${decisionLine(decision)}${texts.length > 1 ? `  ${texts[i]}` : ""}`) : JSON.stringify({ text: texts[i], ...decision })));
}

async function write(lines: readonly string[]): Promise<void> {
  if (lines.length > 0 && !process.stdout.write(`${lines.join("\n")}\n`)) await once(process.stdout, "drain");
}

import { readFile } from "node:fs/promises";
import { once } from "node:events";
import { probabilitiesToLogits } from "@logits/calibration";
import { DecisionHead } from "@logits/head";
import { Tensor } from "@logits/tensor";
import { UsageError, readScores } from "./input.ts";

/** Options of `logits decide`. */
export interface DecideOptions {
  readonly head: string;
  readonly logits: string;
  readonly input: string;
  readonly alpha?: number;
}

/** Rows decided at a time. */
const BATCH = 1024;

/** Streams one decision a line for new rows. */
export async function decide({ head: path, logits: file, input, alpha }: DecideOptions): Promise<void> {
  if (input !== "logits" && input !== "probabilities") throw new UsageError(`logits: expected --input to be logits or probabilities, got ${input}`);
  const head = DecisionHead.fromJSON(await readJsonFile(path));
  let scores = await readScores(file);
  if (input === "probabilities") scores = probabilitiesToLogits(scores).logits;
  const [rows, classes] = scores.shape;
  for (let from = 0; from < rows; from += BATCH) {
    const to = Math.min(rows, from + BATCH);
    const batch = new Tensor("float32", [to - from, classes], scores.data.subarray(from * classes, to * classes));
    const ids = Int32Array.from({ length: to - from }, (_, i) => from + i);
    const lines = head.decideAll(batch, { alpha, ids }).map((decision, i) => JSON.stringify({ row: from + i, ...decision }));
    if (!process.stdout.write(`${lines.join("\n")}\n`)) await once(process.stdout, "drain");
  }
}

async function readJsonFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new UsageError(`logits: expected ${path} to be a readable JSON file, got ${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message}`, { cause });
  }
}

import { resolve } from "node:path";
import { Tensor, randomSource } from "@logits/tensor";
import { UsageError, parseRows } from "./input.ts";

/** Scores and labels of the same rows. */
export interface LabelledRows {
  /** float32 [N, C]. */
  readonly logits: Tensor<"float32">;
  /** int32 [N], in [0, C). */
  readonly labels: Tensor<"int32">;
}

/** The rows that `order` names. */
export function pick({ logits, labels }: LabelledRows, order: ArrayLike<number>): LabelledRows {
  const classes = logits.shape[1];
  const scores = new Float32Array(order.length * classes);
  const chosen = new Int32Array(order.length);
  for (let i = 0; i < order.length; i++) {
    scores.set(logits.data.subarray(order[i] * classes, (order[i] + 1) * classes), i * classes);
    chosen[i] = labels.data[order[i]];
  }
  return { logits: new Tensor("float32", [order.length, classes], scores), labels: new Tensor("int32", [order.length], chosen) };
}

/** The rows of both. */
export function together(a: LabelledRows, b: LabelledRows): LabelledRows {
  const classes = a.logits.shape[1];
  const logits = new Float32Array(a.logits.size + b.logits.size);
  logits.set(a.logits.data);
  logits.set(b.logits.data, a.logits.size);
  const labels = new Int32Array(a.labels.size + b.labels.size);
  labels.set(a.labels.data);
  labels.set(b.labels.data, a.labels.size);
  return { logits: new Tensor("float32", [labels.length, classes], logits), labels: new Tensor("int32", [labels.length], labels) };
}

/** Splits rows at random, by a seed, into parts whose sizes are as the given whole numbers: every row is in exactly one part. */
export function splitRows(rows: LabelledRows, sizes: readonly number[], seed: number): LabelledRows[] {
  const n = rows.labels.size;
  if (n < 2 * sizes.length) throw new UsageError(`logits: expected at least ${2 * sizes.length} rows to split ${sizes.join(" : ")}, got ${n}`);
  const total = sizes.reduce((a, b) => a + b, 0);
  const order = randomSource(seed).permutation(n);
  let parts = 0;
  return sizes.map((size) => {
    const from = Math.round((parts / total) * n);
    parts += size;
    return pick(rows, order.subarray(from, Math.round((parts / total) * n)).sort());
  });
}

/** A row serves one purpose: no two of these options may name the same rows of an array. */
export function refuseOverlap(options: Readonly<Record<string, string | undefined>>): void {
  const given = Object.entries(options).flatMap(([option, text]) => (text === undefined ? [] : [{ option, text, ...parseRows(text) }]));
  for (const [i, b] of given.entries()) {
    for (const a of given.slice(0, i)) {
      const sameArray = resolve(a.path) === resolve(b.path) && (a.key === b.key || a.key === undefined || b.key === undefined);
      if (sameArray && a.from < b.to && b.from < a.to) {
        throw new UsageError(`logits: expected ${a.option} and ${b.option} to name different rows, got ${a.text} and ${b.text}. A row serves one purpose; give ranges, as FILE[0:5000]`);
      }
    }
  }
}

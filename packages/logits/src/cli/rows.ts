import { resolve } from "node:path";
import { Tensor, randomSource } from "@logits/tensor";
import { UsageError, parseRows } from "./input.ts";

/** Outputs of a model on some rows. */
export interface OutputRows {
  /** float32 [N, C]. */
  readonly logits: Tensor<"float32">;
  /** float32 [N, C], as the file has them: `logits` itself, or probabilities. */
  readonly scores: Tensor<"float32">;
  /** float32 [N, F]. */
  readonly features?: Tensor<"float32">;
}

/** Outputs and labels of the same rows. */
export interface LabelledRows extends OutputRows {
  /** int32 [N], in [0, C). */
  readonly labels: Tensor<"int32">;
}

/** The rows that `order` names. */
export function pick<Rows extends OutputRows & { readonly labels?: Tensor<"int32"> }>(rows: Rows, order: ArrayLike<number>): Rows {
  const taken = (x: Tensor<"float32">): Tensor<"float32"> => {
    const width = x.shape[1], data = new Float32Array(order.length * width);
    for (let i = 0; i < order.length; i++) data.set(x.data.subarray(order[i] * width, (order[i] + 1) * width), i * width);
    return new Tensor("float32", [order.length, width], data);
  };
  const { logits, scores, features, labels } = rows, chosen = taken(logits);
  return {
    logits: chosen,
    scores: scores === logits ? chosen : taken(scores),
    ...(features && { features: taken(features) }),
    ...(labels && { labels: new Tensor("int32", [order.length], Int32Array.from({ length: order.length }, (_, i) => labels.data[order[i]])) }),
  } as Rows;
}

/** The logits and labels of both. */
export function together(a: LabelledRows, b: LabelledRows): { readonly logits: Tensor<"float32">; readonly labels: Tensor<"int32"> } {
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
export function splitRows<Rows extends OutputRows>(rows: Rows, sizes: readonly number[], seed: number): Rows[] {
  const n = rows.logits.shape[0];
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

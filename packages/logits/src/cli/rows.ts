import { Tensor, randomSource } from "@logits/tensor";
import { UsageError, parseRows } from "./input.ts";

/** Scores and labels of the same rows. */
export interface LabelledRows {
  readonly logits: Tensor<"float32">;
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

/** Splits rows at random into parts of the given shares, by a seed: every row is in exactly one part. */
export function splitRows(rows: LabelledRows, shares: readonly number[], seed: number): LabelledRows[] {
  const n = rows.labels.size;
  const order = randomSource(seed).permutation(n);
  let from = 0;
  let share = 0;
  const parts = shares.map((part) => {
    const to = Math.round((share += part) * n);
    const indices = order.subarray(from, to).toSorted();
    from = to;
    return indices;
  });
  const empty = parts.findIndex((part) => part.length === 0);
  if (empty >= 0) throw new UsageError(`logits: expected rows enough for ${shares.length} parts (${shares.map((s) => s.toFixed(2)).join(", ")}), got ${n}`);
  return parts.map((part) => pick(rows, part));
}

/** First row after the second of two, one of which may be open at its end. */
function overlap(a: { from: number; to: number }, b: { from: number; to: number }): boolean {
  return a.from < b.to && b.from < a.to;
}

/** No two of the given files may name the same rows: a row serves one purpose. */
export function refuseOverlap(given: Readonly<Record<string, string | undefined>>): void {
  const parsed = Object.entries(given).flatMap(([option, text]) => (text === undefined ? [] : [{ option, text, ...parseRows(text) }]));
  for (let i = 0; i < parsed.length; i++) {
    for (let j = 0; j < i; j++) {
      if (parsed[i].file === parsed[j].file && overlap(parsed[i], parsed[j])) {
        throw new UsageError(`logits: expected ${parsed[j].option} and ${parsed[i].option} to name different rows, got ${parsed[j].text} and ${parsed[i].text}. A row serves one purpose; give ranges as FILE[0:5000]`);
      }
    }
  }
}

import { asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { numbers } from "./rows.ts";

/** Scores with a mask; both kinds of rows are there. */
export interface BinaryRows {
  readonly scores: ArrayLike<number>;
  readonly positives: Uint8Array;
  /** Positive rows. */
  readonly count: number;
}

/** Checks scores [N] without NaN and a mask [N] with at least one row of each kind. */
export function binaryRows(where: string, scores: TensorLike, positives: TensorLike): BinaryRows {
  const s = numbers(where, "scores", scores), mask = asMask(where, "positives", positives);
  checkShape(where, "positives", mask, ["N"]);
  if (mask.size !== s.length) throw rangeError(where, "positives", `of shape [${s.length}]`, `[${mask.size}]`);
  const count = mask.data.reduce((sum, one) => sum + one, 0);
  if (count === 0 || count === s.length) throw rangeError(where, "positives", "with at least one positive and one negative row", `${count} of ${s.length} positive`);
  return { scores: s, positives: mask.data, count };
}

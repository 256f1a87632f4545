import { Tensor, checkInteger, type TensorLike } from "@logits/tensor";
import { answersOf, type Scores } from "./predictions.ts";

/** Options of `topPerClass`. */
export interface TopPerClassOptions {
  /** Rows of each class at most; at least 1. */
  readonly count: number;
  /** A row may stand for its so many most probable classes. Default 1. */
  readonly classesPerRow?: number;
  /** Default "logits". */
  readonly input?: Scores;
}

/**
 * Balanced pseudo-labels: of each class the rows that are most probable for it.
 *
 * @param scores - float32 [N, C]
 * @param options - `count`, `classesPerRow` (1), `input`
 * @returns C lists of rows, int32, by falling probability; at equal ones the smaller row. Fewer than `count` where not so many rows have the class among their own
 * @throws RangeError for a count below 1, a row with NaN
 * @example
 *   topPerClass([[3, 0], [2, 0], [0, 1]], { count: 1 }); // [0], [2]
 * Source: Yalniz, Jegou, Chen, Paluri, Mahajan, "Billion-scale semi-supervised learning for image classification", 2019 (arXiv:1905.00546).
 */
export function topPerClass(scores: TensorLike, { count, classesPerRow = 1, input }: TopPerClassOptions): Tensor<"int32">[] {
  const where = "topPerClass", { p, rows, classes } = answersOf(where, "scores", scores, input);
  checkInteger(where, "count", count, 1, 2147483647);
  checkInteger(where, "classesPerRow", classesPerRow, 1, classes);
  const own = Array.from({ length: classes }, (): number[] => []);
  for (let i = 0; i < rows; i++) {
    const row = p.data.subarray(i * classes, (i + 1) * classes);
    Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b).slice(0, classesPerRow).forEach((c) => own[c].push(i));
  }
  return own.map((list, c) => {
    const best = list.sort((a, b) => p.data[b * classes + c] - p.data[a * classes + c] || a - b).slice(0, count);
    return new Tensor("int32", [best.length], Int32Array.from(best));
  });
}

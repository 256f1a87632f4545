import { partOf, type RandomSource, type Steps } from "@logits/tensor";
import { taken, type LabelledRows } from "./rows.ts";

/** Rows to fit a candidate on, and rows to score it on. */
export function* halves(fit: LabelledRows, random: RandomSource): Steps<readonly [own: LabelledRows, held: LabelledRows]> {
  const rows = fit.labels.size, half = Math.floor(rows / 2), order = random.permutation(rows);
  return [yield* partOf(taken(fit, order.subarray(0, half)), 0, 0.5), yield* partOf(taken(fit, order.subarray(half)), 0.5, 0.5)];
}

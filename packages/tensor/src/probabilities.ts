import { rangeError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Checks rows of probabilities: each element in [0, 1 + 1e-5], each row with a sum within 1e-2 of 1 (float16 and
 * rounded exports stay within), so that logits handed over by mistake are an error. Names the first row that is not.
 */
export function checkProbabilities(where: string, argument: string, x: Tensor<"float32">, cols: number): void {
  const { data } = x;
  for (let at = 0, row = 0; at < data.length; row++) {
    let sum = 0;
    for (const end = at + cols; at < end; at++) {
      const p = data[at];
      if (!(p >= 0 && p <= 1.00001)) throw rangeError(where, argument, "with probabilities in [0, 1]", `${p} in row ${row}, column ${at - row * cols}`, "For logits apply softmax first");
      sum += p;
    }
    if (!(Math.abs(sum - 1) <= 0.01)) throw rangeError(where, argument, "with rows that sum to 1", `a sum of ${sum} in row ${row}`, "For logits apply softmax first");
  }
}

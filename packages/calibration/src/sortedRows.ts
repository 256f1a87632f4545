import { withTally } from "@logits/statistics";
import type { CheckedConfidences } from "./confidences.ts";

/** Rows in ascending order of confidence, right ones after wrong ones where confidences are equal: the same rows in any order give the same arrays. */
export interface SortedRows {
  readonly confidence: Float64Array;
  readonly correct: Uint8Array;
}

/** Sorts by confidence. */
export function sortedRows({ confidence, correct }: CheckedConfidences): SortedRows {
  const n = confidence.length, sorted = { confidence: new Float64Array(n), correct: new Uint8Array(n) };
  withTally(confidence as Float64Array, correct, ({ values, counts, ones }) => {
    for (let k = 0, i = 0; k < values.length; k++) {
      const value = values[k], end = i + counts[k];
      for (const first = end - ones[k]; i < end; i++) {
        sorted.confidence[i] = value;
        sorted.correct[i] = i < first ? 0 : 1;
      }
    }
  });
  return sorted;
}

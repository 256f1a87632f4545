import { tallySteps } from "@logits/core-wasm/order";
import { partOf, randomSource, type Steps } from "@logits/tensor";
import { PIECE, type BinaryPairs } from "./binaryCalibrator.ts";

/** The distinct scores in ascending order with their rows: what every monotone or binned fit starts from. */
export interface GroupedScores {
  /** float32 [K], strictly increasing; -0 counts as 0. */
  readonly x: Float32Array;
  /** Rows at each. */
  readonly count: Int32Array;
  /** Rows with yes at each. */
  readonly ones: Int32Array;
}

/** Groups equal scores. Counts are integers, so nothing depends on the order of the rows. */
export function* groupedSteps({ s, t }: BinaryPairs): Steps<GroupedScores> {
  const { values: x, counts: count, ones } = yield* partOf(tallySteps(s, t), 0, 0.9);
  return { x, count, ones };
}

/**
 * K parts of the rows, dealt out one by one in the order of the scores, equal ones in an order that is drawn: the same whatever the order of the rows. Dealing out the answers of equal scores
 * evenly would make the parts more alike than fresh rows are, and cross-validation blind to what is learned by heart.
 */
export function* dealtSteps(pairs: BinaryPairs, parts: number): Steps<BinaryPairs[]> {
  const { x, count, ones } = yield* groupedSteps(pairs), random = randomSource(0);
  const dealt = Array.from({ length: parts }, (_, k) => {
    const n = Math.ceil((pairs.n - k) / parts);
    return { s: new Float32Array(n), t: new Uint8Array(n), n, positives: 0 };
  });
  for (let i = 0, row = 0; i < x.length; i++) {
    for (let left = count[i], yes = ones[i]; left > 0; left--, row++) {
      const part = dealt[row % parts], at = Math.floor(row / parts), answer = yes > 0 && (yes === left || random.integer(left) < yes) ? 1 : 0;
      part.s[at] = x[i];
      part.positives += part.t[at] = answer;
      yes -= answer;
    }
    if (i % PIECE === PIECE - 1) yield 0.95;
  }
  return dealt;
}

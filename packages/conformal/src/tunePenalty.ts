import { Tensor, partOf, rangeError, type Steps, type TensorLike } from "@logits/tensor";
import { batchOf } from "./scores.ts";
import type { SplitConformal } from "./splitConformal.ts";

/** Penalties that `SplitConformal.tune` tries. */
const PENALTIES = { raps: [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1], saps: [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] } as const;

/** Options of `SplitConformal.tune`. */
export interface TuneOptions {
  readonly method: "raps" | "saps";
  /** The miscoverage whose sets are to be small, in (0, 1). Default 0.1. */
  readonly alpha?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** What `SplitConformal.tune` chose: options of `SplitConformal.fit`. */
export interface TunedOptions {
  readonly method: "raps" | "saps";
  readonly penalty: number;
  /** RAPS only. */
  readonly freeRanks?: number;
}

/** The work of `SplitConformal.tune`; `fitSteps` is that of `SplitConformal`. */
export function* tuneSteps(where: string, logits: TensorLike, labels: TensorLike, options: TuneOptions, fitSteps: typeof SplitConformal.fitSteps): Steps<TunedOptions> {
  const { method, alpha = 0.1, seed = 0 } = options;
  if (!(method in PENALTIES)) throw rangeError(where, "method", '"raps" or "saps"', `${method}`);
  if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
  const penalties = PENALTIES[method], share = 1 / (2 * penalties.length + 1);
  const ranks = yield* partOf(fitSteps(where, logits, labels, { seed, method: "topk", randomize: false }), 0, share);
  const { logits: z, rows, classes } = batchOf(where, logits), piece = Math.max(4, Math.floor(2 ** 17 / classes) & ~3);
  const freeRanks = Math.min(classes, ranks.quantile(alpha));
  let best: TunedOptions | undefined, smallest = Infinity;
  for (const [k, penalty] of penalties.entries()) {
    const choice = { method, penalty, ...(method === "raps" && { freeRanks }) }, start = (2 * k + 1) * share;
    const fitted = yield* partOf(fitSteps(where, logits, labels, { seed, ...choice }), start, share);
    let total = 0;
    for (let from = 0; from < rows; from += piece) {
      const to = Math.min(from + piece, rows);
      const ids = Int32Array.from({ length: to - from }, (_, i) => from + i);
      for (const size of fitted.predictionSet(new Tensor("float32", [to - from, classes], z.subarray(from * classes, to * classes)), { alpha, ids }).sizes.data) total += size;
      yield start + share + (share * to) / rows;
    }
    if (total < smallest) {
      smallest = total;
      best = choice;
    }
  }
  return best!;
}

import { checkPositive, partOf, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { lossTableOf } from "./lossTable.ts";

/** Options of `conformalRiskControl`. */
export interface ConformalRiskControlOptions {
  /** The mean loss that new rows may have, > 0. */
  readonly alpha: number;
  /** The largest loss there is, > 0. Default 1. */
  readonly bound?: number;
}

/** What `conformalRiskControl` chose. */
export interface RiskControl {
  /** The setting: a column of the table; null where even the last is not safe enough for n rows. */
  readonly index: number | null;
  /** Mean loss of each setting on the calibration rows. */
  readonly risks: readonly number[];
  /** (n risk + bound) / (n + 1) of each setting, what must not exceed alpha. */
  readonly bounds: readonly number[];
}

/**
 * The least cautious setting whose mean loss on new rows is at most alpha: any monotone loss takes the place of a miss (false negatives of a multi-label set, distance in a tree, pixels left out).
 *
 *   index = the first l with  n / (n + 1) R_l + B / (n + 1) <= alpha  for it and all after it,   R_l = mean loss of column l
 *
 * The promise: E[loss of a new row at `index`] <= alpha, over calibration rows and new rows that are exchangeable, where the loss of every row falls (or stays) from one setting to the next and the
 * last setting keeps to alpha; `null` means that no setting does, and that nothing is promised.
 *
 * @param losses - float32 [n, L], in [0, bound]: row i at setting l; settings from least to most cautious
 * @param options - `alpha`, `bound` (1)
 * @throws RangeError for no rows, a loss outside [0, bound], a loss that rises from one setting to the next (row and column are named)
 * @example
 *   const { index } = conformalRiskControl(losses, { alpha: 0.1 }); // thresholds[index]
 * Source: Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal risk control", ICLR 2024.
 */
export function conformalRiskControl(losses: TensorLike, options: ConformalRiskControlOptions): RiskControl {
  return runSteps(controlSteps("conformalRiskControl", losses, options));
}

/**
 * `conformalRiskControl` with pauses at least every 16 ms: the same setting. The table must not change meanwhile. Rejects with the signal's reason on abort.
 *
 * @param losses - float32 [n, L]
 * @param options - as for `conformalRiskControl`, and `signal`, `onProgress`
 * @throws RangeError as `conformalRiskControl`
 * @example
 *   const { index } = await conformalRiskControlAsync(losses, { alpha: 0.1, signal });
 * Source: Angelopoulos, Bates, Fisch, Lei, Schuster, ICLR 2024.
 */
export async function conformalRiskControlAsync(losses: TensorLike, options: ConformalRiskControlOptions & LongWorkOptions): Promise<RiskControl> {
  return runStepsAsync(controlSteps("conformalRiskControlAsync", losses, options), options);
}

function* controlSteps(where: string, losses: TensorLike, options: ConformalRiskControlOptions): Steps<RiskControl> {
  const { alpha, bound = 1 } = options;
  checkPositive(where, "alpha", alpha);
  checkPositive(where, "bound", bound);
  const table = yield* partOf(lossTableOf(where, losses, bound), 0, 0.5), { rows, settings, means } = table, piece = Math.max(1, Math.floor(262144 / settings));
  for (let i = 0; i < rows; i++) {
    for (let l = 1; l < settings; l++) {
      const [before, after] = [table.losses[i * settings + l - 1], table.losses[i * settings + l]];
      if (after > before) throw rangeError(where, "losses", "that do not rise from one setting to the next", `${after} after ${before} in row ${i}, column ${l}`, "Order the settings from least to most cautious, or use learnThenTest");
    }
    if (i % piece === piece - 1) yield 0.5 + (0.5 * i) / rows;
  }
  const bounds = means.map((risk) => (rows * risk + bound) / (rows + 1));
  // As conformalRank: what is equal in exact arithmetic counts as equal.
  const index = bounds.findIndex((upper) => upper <= alpha + (1e-9 * bound) / (rows + 1));
  return { index: index < 0 ? null : index, risks: means, bounds };
}

import { exp, log, regularizedBeta } from "@logits/statistics";
import { checkPositive, rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import { lossTableOf } from "./lossTable.ts";

const CORRECTIONS = ["fixed sequence", "bonferroni", "holm"] as const;

/** "fixed sequence": settings are tested in the order of the table until one fails. "bonferroni", "holm": all are tested, in no order. */
export type Correction = (typeof CORRECTIONS)[number];

/** Options of `learnThenTest`. */
export interface LearnThenTestOptions {
  /** The mean loss that new rows may have, in (0, bound). */
  readonly alpha: number;
  /** The chance, over the drawing of the rows, that a setting is passed whose mean loss is above alpha; in (0, 1). Default 0.05. */
  readonly delta?: number;
  /** The largest loss there is, > 0. Default 1. */
  readonly bound?: number;
  /** Default "fixed sequence": order the columns from the safest setting on, by prior belief or by other rows. */
  readonly correction?: Correction;
}

/** What `learnThenTest` found. */
export interface LearnThenTest {
  /** The settings that passed, ascending; any of them, chosen in any way, keeps the promise. Empty: none. */
  readonly passed: readonly number[];
  /** P-value of "the mean loss of the setting is above alpha", for each setting. */
  readonly pValues: readonly number[];
  /** Mean loss of each setting on the calibration rows. */
  readonly risks: readonly number[];
}

/**
 * The settings of which all have a mean loss of at most alpha, with probability 1 - delta: any loss in [0, bound], monotone or not, any set of settings.
 *
 *   p_l = min( exp(-n KL(min(R, alpha), alpha)), e P(Binomial(n, alpha) <= ceil(n R)) ),   R = mean loss of column l / bound (Hoeffding-Bentkus)
 *   fixed sequence: those before the first p_l > delta;   bonferroni: p_l <= delta / L;   holm: the k-th smallest p_l against delta / (L + 1 - k), until one fails
 *
 * The promise is about the mean loss of new rows given these calibration rows (they are independent and like the new ones), for all settings that passed together. The order of a fixed sequence must
 * not come from these rows.
 *
 * @param losses - float32 [n, L], in [0, bound]: row i at setting l
 * @param options - `alpha`, `delta` (0.05), `bound` (1), `correction` ("fixed sequence")
 * @throws RangeError for no rows, a loss outside [0, bound], an alpha outside (0, bound), a delta outside (0, 1)
 * @example
 *   const { passed } = learnThenTest(losses, { alpha: 0.1, delta: 0.05 });
 * Source: Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test", Annals of Applied Statistics 2025; Bates et al., JACM 2021 (p-values).
 */
export function learnThenTest(losses: TensorLike, options: LearnThenTestOptions): LearnThenTest {
  return runSteps(testSteps("learnThenTest", losses, options));
}

/**
 * `learnThenTest` with pauses at least every 16 ms: the same settings. The table must not change meanwhile. Rejects with the signal's reason on abort.
 *
 * @param losses - float32 [n, L]
 * @param options - as for `learnThenTest`, and `signal`, `onProgress`
 * @throws RangeError as `learnThenTest`
 * @example
 *   const { passed } = await learnThenTestAsync(losses, { alpha: 0.1, signal });
 * Source: Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test", Annals of Applied Statistics 2025.
 */
export async function learnThenTestAsync(losses: TensorLike, options: LearnThenTestOptions & LongWorkOptions): Promise<LearnThenTest> {
  return runStepsAsync(testSteps("learnThenTestAsync", losses, options), options);
}

function* testSteps(where: string, losses: TensorLike, options: LearnThenTestOptions): Steps<LearnThenTest> {
  const { alpha, delta = 0.05, bound = 1, correction = "fixed sequence" } = options;
  checkPositive(where, "bound", bound);
  if (!(alpha > 0 && alpha < bound)) throw rangeError(where, "alpha", `in (0, ${bound})`, `${alpha}`);
  if (!(delta > 0 && delta < 1)) throw rangeError(where, "delta", "in (0, 1)", `${delta}`);
  if (!CORRECTIONS.includes(correction)) throw rangeError(where, "correction", CORRECTIONS.map((name) => `"${name}"`).join(" or "), `${correction}`);
  const { rows, settings, means } = yield* lossTableOf(where, losses, bound);
  const pValues = means.map((risk) => hoeffdingBentkus(risk / bound, rows, alpha / bound));
  const passed: number[] = [];
  if (correction === "fixed sequence") for (let l = 0; l < settings && pValues[l] <= delta; l++) passed.push(l);
  else if (correction === "bonferroni") {
    for (let l = 0; l < settings; l++) if (pValues[l] <= delta / settings) passed.push(l);
  }
  else {
    const order = pValues.map((_, l) => l).sort((a, b) => pValues[a] - pValues[b] || a - b);
    for (let k = 0; k < settings && pValues[order[k]] <= delta / (settings - k); k++) passed.push(order[k]);
    passed.sort((a, b) => a - b);
  }
  return { passed, pValues, risks: means };
}

/** P-value of "the mean is above alpha" for n values in [0, 1] with mean r. */
function hoeffdingBentkus(r: number, n: number, alpha: number): number {
  // Rounding of the mean must not add one to the count.
  const count = Math.min(n, Math.max(0, Math.ceil(n * r - 1e-12 * n)));
  const low = Math.min(r, alpha);
  const divergence = (low > 0 ? low * log(low / alpha) : 0) + (low < 1 ? (1 - low) * log((1 - low) / (1 - alpha)) : 0);
  // P(Binomial(n, alpha) <= count) = I_(1 - alpha)(n - count, count + 1).
  const bentkus = count >= n ? 1 : 2.718281828459045 * regularizedBeta(1 - alpha, n - count, count + 1);
  return Math.min(1, exp(-n * divergence), bentkus);
}

import type { Steps } from "@logits/tensor";
import type { BinaryPairs } from "./binaryCalibrator.ts";
import { fitLogistic, type LogisticFit, type LogisticOptions } from "./logisticFit.ts";

/** sigmoid(slope s + intercept), slope >= 0. */
export interface SlopeFit {
  readonly slope: number;
  readonly intercept: number;
  /** Whether the best slope is 0: the scores speak against the answers, or do not vary. */
  readonly atBound: boolean;
  /** The regression that was taken: without the slope at the bound. */
  readonly fit: LogisticFit;
}

/** Platt's fit: the best slope and intercept to his targets (without `intercept` the slope alone), slope >= 0. */
export function* fitSlope(where: string, pairs: BinaryPairs, options: LogisticOptions = {}): Steps<SlopeFit> {
  const { intercept = true, prior } = options, free = yield* fitLogistic(where, pairs, [(score) => score], options);
  if (free.coefficients[0] > 0) return { slope: free.coefficients[0], intercept: free.coefficients[1] ?? 0, atBound: false, fit: free };
  if (!intercept) return { slope: 0, intercept: 0, atBound: true, fit: free };
  // What the prior says of the intercept where the slope is 0.
  const [, , cross, own] = prior?.information ?? [];
  const given = prior && own > 0 ? { at: [prior.at[1] + (cross * prior.at[0]) / own], information: [own] } : undefined;
  const fit = yield* fitLogistic(where, pairs, [], { prior: given });
  return { slope: 0, intercept: fit.coefficients[0], atBound: true, fit };
}

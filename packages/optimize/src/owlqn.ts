import { checkInteger, describe, rangeError, typeError } from "@logits/tensor";
import { checkEvaluation, checkStart, checkTolerance, normOf, startOf } from "./check.ts";
import { Curvature } from "./curvature.ts";
import type { Objective, OptimizerProgress, OptimizerResult, SteppedObjective } from "./result.ts";
import { run } from "./run.ts";

/** Options of `owlqn`. */
export interface OwlqnOptions {
  /** Weight of |x[i]|, finite and >= 0: one number, or one for each variable, shape [P]. */
  l1: number | Float64Array | readonly number[];
  /** Stops when the largest absolute component of the pseudo-gradient is at most this; default 1e-8. */
  gradientTolerance?: number;
  /** Accepted steps at most, integer >= 0; default 500. */
  maxIterations?: number;
  /** Pairs of differences that approximate the curvature of f, integer >= 1; default 10. */
  memory?: number;
  /** How far two values of F may differ by rounding, relative; default 1e-14. About 1e-7 where f is computed in float32. */
  noise?: number;
}

/** Share of the predicted decrease that a step must reach, and how often a step is halved at most. */
const DECREASE = 1e-4, HALVINGS = 40;

/**
 * Minimises a smooth function plus a weighted sum of absolute values: L-BFGS that stays within an orthant in each step, so that variables become exactly 0.
 *
 *   F(x) = f(x) + sum_i l1[i] |x[i]|
 *
 * Stopping rule: the largest component of the pseudo-gradient, the one-sided derivative of F of steepest descent, is at most `gradientTolerance`.
 *
 * @param f - the smooth part: returns its value and writes its gradient, without the absolute values
 * @param x0 - start, shape [P], P >= 1, finite; not changed
 * @returns the lowest point found, with F as its `value` and the largest component of the pseudo-gradient as `gradientNorm`; never throws because it has not converged
 * @throws RangeError as `lbfgs`, and for an `l1` that is negative, not finite or of another length
 * @example owlqn((x, g) => { g[0] = x[0] - 3; return (x[0] - 3) ** 2 / 2; }, [0], { l1: 1 }).x // Float64Array [2]
 * Source: Andrew and Gao, "Scalable training of L1-regularized log-linear models", ICML 2007.
 */
export function owlqn(f: Objective, x0: Float64Array | readonly number[], options: OwlqnOptions): OptimizerResult {
  return run(owlqnSteps(f, x0, options));
}

/**
 * `owlqn` one evaluation at a time, for `runAsync`; with an objective in pieces also one piece at a time.
 * @param f - as `owlqn`, or a generator of pieces that returns the value: what it yields is passed on
 * @param x0 - as `owlqn`
 * @throws RangeError as `owlqn`
 * @example await runAsync(owlqnSteps(f, x0, { l1: 1 }), { signal })
 * Source: as `owlqn`.
 */
export function* owlqnSteps<Piece = never>(f: Objective | SteppedObjective<Piece>, x0: Float64Array | readonly number[], options: OwlqnOptions): Generator<OptimizerProgress | Piece, OptimizerResult, void> {
  const { gradientTolerance = 1e-8, maxIterations = 500, memory = 10, noise = 1e-14 } = options;
  const where = "owlqn";
  checkTolerance(where, "gradientTolerance", gradientTolerance);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  checkInteger(where, "memory", memory, 1, 1000);
  checkTolerance(where, "noise", noise);
  const x = startOf(where, x0), p = x.length, l1 = weightsOf(where, options.l1, p);
  const gradient = new Float64Array(p), trial = new Float64Array(p), trialGradient = new Float64Array(p), pseudo = new Float64Array(p), direction = new Float64Array(p);
  let evaluations = 0, iterations = 0;
  const evaluate = function* (at: Float64Array, into: Float64Array): Generator<Piece, number, void> {
    const given = f(at, into), result = typeof given === "object" && given !== null ? yield* given : given;
    checkEvaluation(where, result, into, ++evaluations);
    let sum = 0;
    for (let i = 0; i < p; i++) sum += l1[i] * Math.abs(at[i]);
    return result + sum;
  };
  let value = yield* evaluate(x, gradient);
  checkStart(where, value);
  pseudoGradient(x, gradient, l1, pseudo);
  let gradientNorm = normOf(pseudo);
  const progress = (): OptimizerProgress => ({ x, value, gradientNorm, iterations, evaluations });
  const result = (reason: OptimizerResult["reason"]): OptimizerResult => ({ ...progress(), x: x.slice(), converged: reason === "gradient", reason });
  yield progress();
  const curvature = new Curvature(memory);
  while (gradientNorm > gradientTolerance) {
    if (iterations === maxIterations) return result("iterations");
    curvature.direct(pseudo, direction);
    // The curvature must not turn a component against the steepest descent.
    for (let i = 0; i < p; i++) if (direction[i] * pseudo[i] >= 0) direction[i] = 0;
    let step = curvature.isEmpty ? Math.min(1, 1 / gradientNorm) : 1, accepted = false, atValue = value;
    for (let halving = 0; halving <= HALVINGS && !accepted; halving++, step /= 2) {
      let slope = 0, moved = false;
      for (let i = 0; i < p; i++) {
        const to = x[i] + step * direction[i];
        // Where x is 0 the orthant is that of the steepest descent; a variable that would leave its orthant stops at 0.
        const side = x[i] !== 0 ? x[i] : -pseudo[i];
        trial[i] = to * side > 0 ? to : 0;
        slope += pseudo[i] * (trial[i] - x[i]);
        moved ||= trial[i] !== x[i];
      }
      if (!moved) break;
      atValue = yield* evaluate(trial, trialGradient);
      yield progress();
      accepted = atValue <= value + DECREASE * slope;
      if (!accepted && atValue <= value + noise * Math.abs(value)) {
        // Within rounding the decrease is judged by the slopes, as in `lbfgs`: within an orthant F is smooth.
        let after = 0;
        for (let i = 0; i < p; i++) {
          const moves = trial[i] - x[i], side = x[i] !== 0 ? x[i] : -pseudo[i];
          if (moves !== 0) after += (trialGradient[i] + (side > 0 ? l1[i] : -l1[i])) * moves;
        }
        accepted = after <= (2 * DECREASE - 1) * slope;
      }
    }
    if (!accepted) {
      // Curvature that misleads is forgotten once; then no lower value can be reached.
      if (curvature.isEmpty) return result("lineSearch");
      curvature.forget();
      continue;
    }
    curvature.learn(x, trial, gradient, trialGradient);
    x.set(trial);
    gradient.set(trialGradient);
    value = atValue;
    pseudoGradient(x, gradient, l1, pseudo);
    gradientNorm = normOf(pseudo);
    iterations++;
  }
  return result("gradient");
}

/** The derivative of F towards its steepest descent; 0 where x is 0 and F rises on both sides. */
function pseudoGradient(x: Float64Array, gradient: Float64Array, l1: Float64Array, into: Float64Array): void {
  for (let i = 0; i < x.length; i++) {
    const g = gradient[i], c = l1[i];
    into[i] = x[i] > 0 ? g + c : x[i] < 0 ? g - c : g + c < 0 ? g + c : g - c > 0 ? g - c : 0;
  }
}

function weightsOf(where: string, l1: OwlqnOptions["l1"], p: number): Float64Array {
  if (typeof l1 === "number") {
    checkTolerance(where, "l1", l1);
    return new Float64Array(p).fill(l1);
  }
  if (!(l1 instanceof Float64Array || Array.isArray(l1))) throw typeError(where, "l1", "a number, a Float64Array or an array of numbers", describe(l1));
  if (l1.length !== p) throw rangeError(where, "l1", `of shape [${p}]`, `[${l1.length}]`);
  for (let i = 0; i < p; i++) checkTolerance(where, `l1[${i}]`, l1[i]);
  return Float64Array.from(l1);
}

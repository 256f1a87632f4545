import { checkInteger } from "@logits/tensor";
import { checkEvaluation, checkStart, checkTolerance, dot, normOf, startOf } from "./check.ts";
import { Curvature } from "./curvature.ts";
import { type LinePoint, lineSearch } from "./lineSearch.ts";
import type { Objective, OptimizerProgress, OptimizerResult, SteppedObjective } from "./result.ts";
import { run } from "./run.ts";

/** Options of `lbfgs`. */
export interface LbfgsOptions {
  /** Stops when the largest absolute component of the gradient is at most this; default 1e-8. */
  gradientTolerance?: number;
  /** Accepted steps at most, integer >= 0; default 500. */
  maxIterations?: number;
  /** Pairs of differences that approximate the curvature, integer >= 1; default 10. */
  memory?: number;
  /** How far two values of f may differ by rounding, relative; default 1e-14. About 1e-7 where f is computed in float32. */
  noise?: number;
}

/**
 * Minimises a smooth function by limited-memory BFGS with a strong Wolfe line search.
 *
 * Stopping rule: max_i |df/dx_i| <= gradientTolerance. Every accepted step satisfies
 * f(x + s) <= f(x) + 1e-4 g's and |g(x + s)'s| <= 0.9 |g's| (within rounding of f, the decrease is judged by slopes).
 *
 * @param f - returns the value and writes the gradient; +Infinity is a point outside the domain
 * @param x0 - start, shape [P], P >= 1, finite, in the domain; not changed
 * @returns the lowest point found; `converged` says whether the rule was met, it never throws because it was not
 * @throws RangeError if f returns NaN or -Infinity or a gradient that is not finite, or an option is out of range
 * @example lbfgs((x, g) => { g[0] = 2 * (x[0] - 3); return (x[0] - 3) ** 2; }, [0]).x // Float64Array [3]
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
 */
export function lbfgs(f: Objective, x0: Float64Array | readonly number[], options: LbfgsOptions = {}): OptimizerResult {
  return run(lbfgsSteps(f, x0, options));
}

/**
 * `lbfgs` one evaluation at a time, for `runAsync`; with an objective in pieces also one piece at a time, so that a pass over many rows can pause.
 * @param f - as `lbfgs`, or a generator of pieces that returns the value: what it yields is passed on
 * @param x0 - as `lbfgs`
 * @throws RangeError as `lbfgs`
 * @example await runAsync(lbfgsSteps(f, x0), { signal })
 * Source: as `lbfgs`.
 */
export function* lbfgsSteps<Piece = never>(f: Objective | SteppedObjective<Piece>, x0: Float64Array | readonly number[], options: LbfgsOptions = {}): Generator<OptimizerProgress | Piece, OptimizerResult, void> {
  const { gradientTolerance = 1e-8, maxIterations = 500, memory = 10, noise = 1e-14 } = options;
  const where = "lbfgs";
  checkTolerance(where, "gradientTolerance", gradientTolerance);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  checkInteger(where, "memory", memory, 1, 1000);
  checkTolerance(where, "noise", noise);
  const x = startOf(where, x0);
  const p = x.length;
  const gradient = new Float64Array(p), trial = new Float64Array(p), trialGradient = new Float64Array(p), direction = new Float64Array(p);
  let evaluations = 0, iterations = 0;
  const evaluate = function* (at: Float64Array, into: Float64Array): Generator<Piece, number, void> {
    const given = f(at, into), result = typeof given === "object" && given !== null ? yield* given : given;
    checkEvaluation(where, result, into, ++evaluations);
    return result;
  };
  let value = yield* evaluate(x, gradient);
  checkStart(where, value);
  let gradientNorm = normOf(gradient);
  const progress = (): OptimizerProgress => ({ x, value, gradientNorm, iterations, evaluations });
  const result = (reason: OptimizerResult["reason"]): OptimizerResult => ({ ...progress(), x: x.slice(), converged: reason === "gradient", reason });
  yield progress();
  const curvature = new Curvature(memory);
  while (gradientNorm > gradientTolerance) {
    if (iterations === maxIterations) return result("iterations");
    curvature.direct(gradient, direction);
    const slope = dot(gradient, direction);
    if (!(slope < 0 && slope > -Infinity)) {
      if (curvature.isEmpty) return result("lineSearch");
      curvature.forget();
      continue;
    }
    const start: LinePoint = { step: 0, value, slope };
    const search = lineSearch(start, curvature.isEmpty ? Math.min(1, 1 / gradientNorm) : 1, noise);
    let asked = search.next();
    let atStep = 0, atValue = value;
    while (!asked.done) {
      atStep = asked.value;
      for (let i = 0; i < p; i++) trial[i] = x[i] + atStep * direction[i];
      atValue = yield* evaluate(trial, trialGradient);
      yield progress();
      asked = search.next({ step: atStep, value: atValue, slope: atValue < Infinity ? dot(trialGradient, direction) : NaN });
    }
    if (!asked.value.ok) {
      // Curvature that misleads is forgotten once; then no lower value can be reached.
      if (curvature.isEmpty) return result("lineSearch");
      curvature.forget();
      continue;
    }
    curvature.learn(x, trial, gradient, trialGradient);
    x.set(trial);
    gradient.set(trialGradient);
    value = atValue;
    gradientNorm = normOf(gradient);
    iterations++;
  }
  return result("gradient");
}

import { checkInteger } from "@logits/tensor";
import { checkEvaluation, checkStart, checkTolerance, dot, normOf, startOf } from "./check.ts";
import type { OptimizerResult, OptimizerSteps } from "./result.ts";
import { run } from "./run.ts";

/** An objective with gradient and Hessian: returns f(x), writes the gradient [P] and the symmetric Hessian [P, P], row-major. */
export type SecondOrderObjective = (x: Float64Array, gradient: Float64Array, hessian: Float64Array) => number;

/** Options of `newton`. */
export interface NewtonOptions {
  /** Stops when the largest absolute component of the gradient is at most this; default 1e-10. */
  gradientTolerance?: number;
  /** Accepted steps at most, integer >= 0; default 100. */
  maxIterations?: number;
}

/** Result of `newton`. */
export interface NewtonResult extends OptimizerResult {
  /** The largest ridge that had to be added to a Hessian's diagonal because it was not positive definite; 0 if none was. */
  readonly ridge: number;
}

/**
 * Minimises a function of few variables by damped Newton steps.
 *
 *   x <- x - t (H + ridge I)^-1 g,  t = 1, 1/2, 1/4, ... until f falls by 1e-4 t g'd (within rounding of f: until the gradient gets smaller)
 *
 * The Hessian is factored by Cholesky; where that fails, a ridge of 1e-10 times its largest absolute diagonal entry is added and multiplied by 10 until it succeeds; the largest is
 * reported. Stopping rule: max_i |df/dx_i| <= gradientTolerance.
 *
 * @param f - returns the value, writes gradient and Hessian; +Infinity is a point outside the domain
 * @param x0 - start, shape [P], P >= 1, finite, in the domain; not changed
 * @returns the lowest point found; `converged` says whether the rule was met
 * @throws RangeError if f returns NaN or -Infinity, a gradient or a Hessian that is not finite, or an option is out of range
 * @example newton((x, g, h) => { g[0] = 2 * x[0]; h[0] = 2; return x[0] ** 2; }, [5]).x // Float64Array [0]
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 3.2 and 3.3. Cost O(P^3) a step.
 */
export function newton(f: SecondOrderObjective, x0: Float64Array | readonly number[], options: NewtonOptions = {}): NewtonResult {
  return run(newtonSteps(f, x0, options));
}

/**
 * `newton` one evaluation at a time, for `runAsync`.
 * @param f - as `newton`
 * @param x0 - as `newton`
 * @throws RangeError as `newton`
 * @example await runAsync(newtonSteps(f, x0), { signal })
 * Source: as `newton`.
 */
export function* newtonSteps(f: SecondOrderObjective, x0: Float64Array | readonly number[], options: NewtonOptions = {}): OptimizerSteps<NewtonResult> {
  const where = "newton";
  const { gradientTolerance = 1e-10, maxIterations = 100 } = options;
  checkTolerance(where, "gradientTolerance", gradientTolerance);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  const x = startOf(where, x0);
  const p = x.length;
  const gradient = new Float64Array(p), hessian = new Float64Array(p * p), factor = new Float64Array(p * p);
  const trial = new Float64Array(p), trialGradient = new Float64Array(p), trialHessian = new Float64Array(p * p), direction = new Float64Array(p);
  let evaluations = 0, iterations = 0, ridge = 0;
  const evaluate = (at: Float64Array, g: Float64Array, h: Float64Array): number => {
    const y = f(at, g, h);
    evaluations++;
    checkEvaluation(where, y, g, evaluations);
    if (y < Infinity) checkEvaluation(where, y, h, evaluations);
    return y;
  };
  let value = evaluate(x, gradient, hessian);
  checkStart(where, value);
  let gradientNorm = normOf(gradient);
  const progress = (): { x: Float64Array; value: number; gradientNorm: number; iterations: number; evaluations: number } => ({ x, value, gradientNorm, iterations, evaluations });
  const result = (reason: OptimizerResult["reason"]): NewtonResult => ({ ...progress(), x: x.slice(), converged: reason === "gradient", reason, ridge });
  yield progress();
  search: while (gradientNorm > gradientTolerance) {
    if (iterations === maxIterations) return result("iterations");
    ridge = Math.max(ridge, factorise(hessian, factor, p));
    solve(factor, gradient, direction, p);
    const slope = dot(gradient, direction);
    for (let t = 1; t > 1e-18; t /= 2) {
      for (let i = 0; i < p; i++) trial[i] = x[i] + t * direction[i];
      const y = evaluate(trial, trialGradient, trialHessian);
      yield progress();
      if (y <= value + 1e-4 * t * slope || (y <= value + 1e-14 * Math.abs(value) && normOf(trialGradient) < gradientNorm)) {
        x.set(trial);
        gradient.set(trialGradient);
        hessian.set(trialHessian);
        value = y;
        gradientNorm = normOf(gradient);
        iterations++;
        continue search;
      }
    }
    return result("lineSearch");
  }
  return result("gradient");
}

/** Lower Cholesky factor of h + ridge I into `factor`; returns the ridge, 0 where h is positive definite. */
function factorise(h: Float64Array, factor: Float64Array, p: number): number {
  let largest = 0;
  for (let i = 0; i < p; i++) largest = Math.max(largest, Math.abs(h[i * p + i]));
  for (let ridge = 0; ; ridge = ridge === 0 ? 1e-10 * (largest || 1) : 10 * ridge) if (cholesky(h, ridge, factor, p)) return ridge;
}

function cholesky(h: Float64Array, ridge: number, factor: Float64Array, p: number): boolean {
  for (let i = 0; i < p; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[i * p + j] + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * p + k] * factor[j * p + k];
      if (i !== j) factor[i * p + j] = sum / factor[j * p + j];
      // A pivot that is all rounding is no pivot.
      else if (sum > 1e-14 * (Math.abs(h[i * p + i]) + ridge)) factor[i * p + i] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

/** direction = -(L L')^-1 gradient. */
function solve(factor: Float64Array, gradient: Float64Array, direction: Float64Array, p: number): void {
  for (let i = 0; i < p; i++) {
    let sum = -gradient[i];
    for (let k = 0; k < i; k++) sum -= factor[i * p + k] * direction[k];
    direction[i] = sum / factor[i * p + i];
  }
  for (let i = p - 1; i >= 0; i--) {
    let sum = direction[i];
    for (let k = i + 1; k < p; k++) sum -= factor[k * p + i] * direction[k];
    direction[i] = sum / factor[i * p + i];
  }
}

import { checkInteger, checkPositive, rangeError } from "@logits/tensor";
import { checkEvaluation, checkTolerance, normOf, startOf } from "./check.ts";
import type { Objective, OptimizerResult, OptimizerSteps } from "./result.ts";
import { run } from "./run.ts";

/** Options of `adam`; the defaults are those of the paper. */
export interface AdamOptions {
  /** Step size, finite and > 0; default 0.001. */
  learningRate?: number;
  /** Decay of the mean of gradients, in [0, 1); default 0.9. */
  beta1?: number;
  /** Decay of the mean of squares, in [0, 1); default 0.999. */
  beta2?: number;
  /** Added to the root of the mean square, finite and > 0; default 1e-8. */
  epsilon?: number;
  /** Stops when the largest absolute component of the gradient is at most this; default 0, which runs all steps. */
  gradientTolerance?: number;
  /** Steps, integer >= 0; default 1000. */
  maxIterations?: number;
}

/**
 * Minimises a function by Adam; the objective may be a new batch at every call.
 *
 *   m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  x <- x - a (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 *
 * Stopping rule: max_i |df/dx_i| <= gradientTolerance. Adam does not look at the value: the result is the last point, not the lowest.
 *
 * @param f - returns the value and writes the gradient; must be finite
 * @param x0 - start, shape [P], P >= 1, finite; not changed
 * @returns the last point; `converged` says whether the rule was met
 * @throws RangeError if f returns a value or a gradient that is not finite, or an option is out of range
 * @example adam((x, g) => { g[0] = 2 * x[0]; return x[0] ** 2; }, [1], { learningRate: 0.1, maxIterations: 3 }).iterations // 3
 * Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1.
 */
export function adam(f: Objective, x0: Float64Array | readonly number[], options: AdamOptions = {}): OptimizerResult {
  return run(adamSteps(f, x0, options));
}

/**
 * `adam` one evaluation at a time, for `runAsync`.
 * @param f - as `adam`
 * @param x0 - as `adam`
 * @throws RangeError as `adam`
 * @example await runAsync(adamSteps(f, x0), { signal })
 * Source: as `adam`.
 */
export function* adamSteps(f: Objective, x0: Float64Array | readonly number[], options: AdamOptions = {}): OptimizerSteps {
  const where = "adam";
  const { learningRate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, gradientTolerance = 0, maxIterations = 1000 } = options;
  checkPositive(where, "learningRate", learningRate);
  checkPositive(where, "epsilon", epsilon);
  for (const [name, value] of [["beta1", beta1], ["beta2", beta2]] as const) if (!(value >= 0 && value < 1)) throw rangeError(where, name, "a number in [0, 1)", `${value}`);
  checkTolerance(where, "gradientTolerance", gradientTolerance);
  checkInteger(where, "maxIterations", maxIterations, 0, Number.MAX_SAFE_INTEGER);
  const x = startOf(where, x0);
  const p = x.length;
  const gradient = new Float64Array(p), mean = new Float64Array(p), square = new Float64Array(p);
  let power1 = 1, power2 = 1;
  for (let iterations = 0; ; iterations++) {
    const value = f(x, gradient);
    checkEvaluation(where, value, gradient, iterations + 1);
    if (value === Infinity) throw rangeError(where, "f", "to return a finite number", `Infinity at evaluation ${iterations + 1}`);
    const gradientNorm = normOf(gradient);
    const reason = gradientNorm <= gradientTolerance ? "gradient" : "iterations";
    const progress = { x, value, gradientNorm, iterations, evaluations: iterations + 1 };
    yield progress;
    if (reason === "gradient" || iterations === maxIterations) return { ...progress, x: x.slice(), converged: reason === "gradient", reason };
    power1 *= beta1;
    power2 *= beta2;
    const step = learningRate / (1 - power1), root = Math.sqrt(1 - power2);
    for (let i = 0; i < p; i++) {
      mean[i] = beta1 * mean[i] + (1 - beta1) * gradient[i];
      square[i] = beta2 * square[i] + (1 - beta2) * gradient[i] * gradient[i];
      x[i] -= step * (mean[i] / (Math.sqrt(square[i]) / root + epsilon));
    }
  }
}

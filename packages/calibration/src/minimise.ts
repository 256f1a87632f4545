import { lineSearch } from "@logits/optimize";
import type { Steps } from "@logits/tensor";

/** Value of an objective in pieces; writes the gradient. */
export type SteppedObjective = (x: Float64Array, gradient: Float64Array) => Steps<number>;

/** Where a search ended. */
export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  /** Largest absolute component of the gradient. */
  readonly gradientNorm: number;
  readonly iterations: number;
  readonly converged: boolean;
}

/** Rounding of the objective, relative: rows in float32, their sum in float64. */
const NOISE = 1e-7;
/** Pairs of differences. */
const MEMORY = 10;

/**
 * L-BFGS with a strong Wolfe line search, as `lbfgs` of @logits/optimize, for an objective that runs in pieces: a pass over many rows is longer than a pause may be away.
 *
 * Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
 */
export function* minimise(f: SteppedObjective, x0: Float64Array, tolerance: number, maxIterations: number): Steps<Minimum> {
  const p = x0.length;
  let x = x0.slice(), gradient = new Float64Array(p), trial = new Float64Array(p), trialGradient = new Float64Array(p);
  const direction = new Float64Array(p), weights = new Float64Array(MEMORY);
  let value = yield* f(x, gradient), iterations = 0;
  let gradientNorm = largest(gradient);
  const end = (converged: boolean): Minimum => ({ x, value, gradientNorm, iterations, converged });
  let pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  while (gradientNorm > tolerance) {
    if (iterations === maxIterations) return end(false);
    for (let i = 0; i < p; i++) direction[i] = -gradient[i];
    for (let k = pairs.length - 1; k >= 0; k--) {
      weights[k] = pairs[k].rho * dot(pairs[k].s, direction);
      add(direction, -weights[k], pairs[k].y);
    }
    if (pairs.length > 0) {
      const { y, rho } = pairs[pairs.length - 1];
      const scale = 1 / (rho * dot(y, y));
      for (let i = 0; i < p; i++) direction[i] *= scale;
    }
    for (let k = 0; k < pairs.length; k++) add(direction, weights[k] - pairs[k].rho * dot(pairs[k].y, direction), pairs[k].s);
    const slope = dot(gradient, direction);
    if (!(slope < 0 && slope > -Infinity)) {
      if (pairs.length === 0) return end(false);
      pairs = [];
      continue;
    }
    const search = lineSearch({ step: 0, value, slope }, pairs.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(-slope)), NOISE);
    let asked = search.next(), atValue = value;
    while (!asked.done) {
      for (let i = 0; i < p; i++) trial[i] = x[i] + asked.value * direction[i];
      atValue = yield* f(trial, trialGradient);
      asked = search.next({ step: asked.value, value: atValue, slope: atValue < Infinity ? dot(trialGradient, direction) : NaN });
    }
    if (!asked.value.ok) {
      if (pairs.length === 0) return end(false);
      pairs = [];
      continue;
    }
    const pair = pairs.length === MEMORY ? pairs.shift()! : { s: new Float64Array(p), y: new Float64Array(p), rho: 0 };
    for (let i = 0; i < p; i++) {
      pair.s[i] = trial[i] - x[i];
      pair.y[i] = trialGradient[i] - gradient[i];
    }
    const sy = dot(pair.s, pair.y);
    [x, trial] = [trial, x];
    [gradient, trialGradient] = [trialGradient, gradient];
    value = atValue;
    gradientNorm = largest(gradient);
    iterations++;
    if (sy > 1e-10 * dot(pair.y, pair.y)) {
      pair.rho = 1 / sy;
      pairs.push(pair);
    }
  }
  return end(true);
}

function largest(x: Float64Array): number {
  let norm = 0;
  for (let i = 0; i < x.length; i++) norm = Math.max(norm, Math.abs(x[i]));
  return norm;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function add(x: Float64Array, scale: number, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i] += scale * y[i];
}

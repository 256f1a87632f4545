import { logit, sigmoid, softplus } from "@logits/statistics";
import { ConvergenceError, type Steps } from "@logits/tensor";
import { PIECE, plattTargets, type BinaryPairs } from "./binaryCalibrator.ts";

/** A logistic regression on features of a score. */
export interface LogisticFit {
  /** One coefficient for each feature, then the intercept. */
  readonly coefficients: readonly number[];
  /** Mean cross-entropy to Platt's targets, in nats. */
  readonly loss: number;
  /** Inverse of N times the Hessian: the covariance of the coefficients; row-major. */
  readonly covariance: readonly number[];
  readonly iterations: number;
}

const MAX_ITERATIONS = 100;

/**
 * Minimises the mean cross-entropy of sigmoid(sum_k x_k features_k(s) + x_K) to Platt's targets: damped Newton (iteratively reweighted least squares) on standardised features.
 * Features that do not vary get the coefficient 0.
 *
 * Source: Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector machines", Machine Learning 68 (2007).
 */
export function* fitLogistic(where: string, pairs: BinaryPairs, features: readonly ((s: number) => number)[]): Steps<LogisticFit> {
  const { s, t, n, positives } = pairs, { high, low } = plattTargets(pairs);
  const k = features.length, size = k + 1;
  const columns: Float64Array[] = [], means: number[] = [], spreads: number[] = [];
  for (const feature of features) {
    const column = new Float64Array(n);
    let mean = 0, scatter = 0;
    for (let i = 0; i < n; i++) {
      const value = feature(s[i]), off = value - mean;
      column[i] = value;
      mean += off / (i + 1);
      scatter += off * (value - mean);
      if (i % PIECE === PIECE - 1) yield 0;
    }
    const spread = Math.sqrt(scatter / n);
    for (let i = 0; i < n; i++) column[i] = spread > 1e-12 * Math.abs(mean) && spread > 0 ? (column[i] - mean) / spread : 0;
    columns.push(column);
    means.push(mean);
    spreads.push(spread > 1e-12 * Math.abs(mean) ? spread : 0);
    yield 0;
  }
  const level = (positives * high + (n - positives) * low) / n;
  let x = new Array<number>(size).fill(0);
  const gradient = new Float64Array(size), hessian = new Float64Array(size * size);
  const evaluate = function* (at: readonly number[], share: number): Steps<number> {
    gradient.fill(0);
    hessian.fill(0);
    let loss = 0;
    for (let i = 0; i < n; i++) {
      let score = at[k];
      for (let j = 0; j < k; j++) score += at[j] * columns[j][i];
      const target = t[i] ? high : low, p = sigmoid(score), r = p - target, weight = p * (1 - p);
      loss += softplus(score) - target * score;
      for (let j = 0; j < k; j++) {
        const value = columns[j][i];
        gradient[j] += r * value;
        for (let l = 0; l <= j; l++) hessian[j * size + l] += weight * value * columns[l][i];
        hessian[k * size + j] += weight * value;
      }
      gradient[k] += r;
      hessian[k * size + k] += weight;
      if (i % PIECE === PIECE - 1) yield share;
    }
    for (let j = 0; j < size; j++) {
      gradient[j] /= n;
      for (let l = 0; l <= j; l++) hessian[j * size + l] /= n;
    }
    return loss / n;
  };
  // The best constant: with Platt's targets never 0 or 1.
  x[k] = logit(level);
  let value = yield* evaluate(x, 0), iterations = 0;
  const norm = (): number => gradient.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
  for (; norm() > 1e-11 && iterations < MAX_ITERATIONS; iterations++) {
    const before = norm(), factor = cholesky(hessian, size, 1e-12), step = solve(factor, gradient, size);
    const slope = step.reduce((sum, d, j) => sum - d * gradient[j], 0);
    let accepted = false;
    for (let damp = 1; damp > 1e-10 && !accepted; damp /= 2) {
      const next = x.map((old, j) => old - damp * step[j]);
      const at = yield* evaluate(next, iterations / (iterations + 4));
      accepted = at <= value + 1e-4 * damp * slope || (at <= value + 1e-13 * Math.abs(value) && norm() < before);
      if (accepted) {
        x = next;
        value = at;
      }
    }
    if (!accepted) {
      value = yield* evaluate(x, 0.9); // rounding: no better point can be told from this one
      break;
    }
  }
  if (norm() > 1e-7) throw new ConvergenceError(`${where}: expected the logistic fit to converge, got a gradient of ${norm()}`, iterations, norm());
  const factor = cholesky(hessian, size, 1e-12);
  // d(standardised) / d(original): coefficients divide by the spread, the intercept takes the means back.
  const inverse = Array.from({ length: size }, (_, j) => solve(factor, Float64Array.from({ length: size }, (_, l) => (l === j ? 1 / n : 0)), size));
  const back = Array.from({ length: size }, (_, j) => Array.from({ length: size }, (_, l) => (l === k ? (j === k ? 1 : 0) : spreads[l] === 0 ? 0 : j === l ? 1 / spreads[l] : j === k ? -means[l] / spreads[l] : 0)));
  const covariance = back.flatMap((row) => back.map((other) => row.reduce((sum, a, i) => sum + a * other.reduce((inner, b, j) => inner + b * inverse[i][j], 0), 0)));
  return { coefficients: back.map((row) => row.reduce((sum, a, l) => sum + a * x[l], 0)), loss: value, covariance, iterations };
}

/** Lower Cholesky factor of the lower half of h, with a ridge relative to the diagonal where a feature does not vary. */
function cholesky(h: Float64Array, size: number, ridge: number): Float64Array {
  const factor = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = h[i * size + j];
      for (let l = 0; l < j; l++) sum -= factor[i * size + l] * factor[j * size + l];
      if (i === j) factor[i * size + i] = Math.sqrt(Math.max(sum, ridge * h[i * size + i], 1e-300));
      else factor[i * size + j] = sum / factor[j * size + j];
    }
  }
  return factor;
}

/** (L L')^-1 b. */
function solve(factor: Float64Array, b: Float64Array, size: number): number[] {
  const x = Array.from(b);
  for (let i = 0; i < size; i++) {
    for (let l = 0; l < i; l++) x[i] -= factor[i * size + l] * x[l];
    x[i] /= factor[i * size + i];
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let l = i + 1; l < size; l++) x[i] -= factor[l * size + i] * x[l];
    x[i] /= factor[i * size + i];
  }
  return x;
}

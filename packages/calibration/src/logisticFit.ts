import { logisticSums, type LogisticRows } from "@logits/core-wasm/affine";
import { log, logit } from "@logits/statistics";
import { ConvergenceError, type Steps } from "@logits/tensor";
import { PIECE, plattTargets, type BinaryPairs } from "./binaryCalibrator.ts";

type Feature = (s: number) => number;

/** What is known of the coefficients before the rows: (x - at)' information (x - at) / 2 is added to the summed loss. */
export interface LogisticPrior {
  readonly at: readonly number[];
  /** Row-major. */
  readonly information: readonly number[];
}

/** Options of `fitLogistic`. */
export interface LogisticOptions {
  /** Default true. */
  readonly intercept?: boolean;
  readonly prior?: LogisticPrior;
}

/** A logistic regression on features of a score. */
export interface LogisticFit {
  /** One coefficient for each feature, then the intercept. */
  readonly coefficients: readonly number[];
  /** Mean cross-entropy to Platt's targets, in nats; with a prior its share besides, up to a constant. */
  readonly loss: number;
  /** Inverse of N times the Hessian: the covariance of the coefficients, to 1e-7; row-major. */
  readonly covariance: readonly number[];
  /** N times the Hessian, with the prior's; row-major. */
  readonly information: readonly number[];
  readonly iterations: number;
}

const MAX_ITERATIONS = 100;
/** Every sixteenth row of so many gives a start that a step or two reach the optimum from: they cost less than the passes over all rows that they save. */
const THIN = 16, MANY = 131072;

/**
 * Minimises the mean cross-entropy of sigmoid(sum_k x_k features_k(s) + x_K) to Platt's targets: damped Newton (iteratively reweighted least squares) on standardised features.
 * Features that do not vary get the coefficient 0, or what the prior says.
 *
 * Source: Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector machines", Machine Learning 68 (2007).
 */
export function* fitLogistic(where: string, pairs: BinaryPairs, features: readonly [] | readonly [Feature] | readonly [Feature, Feature], { intercept = true, prior }: LogisticOptions = {}): Steps<LogisticFit> {
  const { s, t, n, positives } = pairs, { high, low } = plattTargets(pairs);
  const k = features.length, size = k + (intercept ? 1 : 0);
  const columns: Float64Array[] = [], means: number[] = [], spreads: number[] = [];
  // The squared norm of the longest row, at most.
  let reach = 1;
  for (const feature of features) {
    const column = new Float64Array(n), first = feature(s[0]);
    // About the first value, then about the mean: equal values have a spread of 0, large ones lose nothing.
    let total = 0;
    for (let from = 0; from < n; from += PIECE) {
      total += fill(column, s, feature, first, from, Math.min(n, from + PIECE));
      yield 0;
    }
    const mean = first + total / n;
    let squares = 0;
    for (let from = 0; from < n; from += PIECE) {
      squares += squaresAbout(column, mean, from, Math.min(n, from + PIECE));
      yield 0;
    }
    let farthest = 0;
    const centre = intercept ? mean : 0, spread = Math.sqrt(squares / n + (mean - centre) * (mean - centre)), varies = spread > 1e-12 * Math.abs(centre);
    for (let from = 0; from < n; from += PIECE) {
      if (varies) farthest = Math.max(farthest, standardise(column, centre, spread, from, Math.min(n, from + PIECE)));
      else column.fill(0, from, Math.min(n, from + PIECE));
      yield 0;
    }
    columns.push(column);
    reach += farthest * farthest;
    means.push(centre);
    spreads.push(varies ? spread : prior ? 1 : 0);
  }
  // Coefficients of the features from those of the standardised ones, and the other way round: a feature is mean + spread u.
  const back = square(size, (j, l) => (j === k ? (l === k ? 1 : spreads[l] === 0 ? 0 : -means[l] / spreads[l]) : j === l && spreads[l] > 0 ? 1 / spreads[l] : 0));
  const forth = square(size, (j, l) => (j === k ? (l === k ? 1 : 0) : l === k ? means[j] : j === l ? spreads[j] : 0));
  const information = prior && product(transposed(back), rowsOf(prior.information, size)), bend = information && product(information, back), pull = information && times(information, prior.at);
  const level = (positives * high + (n - positives) * low) / n;
  const constant = new Array<number>(size).fill(0);
  // The best constant: with Platt's targets never 0 or 1.
  if (intercept) constant[k] = logit(level);
  const gradient = new Float64Array(size), hessian = new Float64Array(size * size), sums = new Float64Array(10), part = new Float64Array(12);
  const [x0 = new Float64Array(n), y0] = columns, all: LogisticRows = { x: x0, y: y0, mask: t, targets: [low, high] };
  const evaluate = function* (rows: LogisticRows, at: readonly number[], share: number): Steps<number> {
    const n = rows.x.length;
    sums.fill(0);
    const a = k > 0 ? at[0] : 0, b = k > 1 ? at[1] : 0;
    for (let from = 0; from < n; from += PIECE) {
      logisticSums(rows, from, Math.min(n, from + PIECE), [a, b, at[k] ?? 0], part);
      for (let i = 0; i < 10; i++) sums[i] += part[i];
      sums[9] += log(part[10]) + part[11] * Math.LN2;
      yield share;
    }
    // Of (first, second, constant), lower half: the entries of the features that there are.
    const of = [0, 1].slice(0, k).concat(intercept ? 2 : []);
    for (let j = 0; j < size; j++) {
      gradient[j] = sums[of[j]] / n;
      for (let l = 0; l <= j; l++) hessian[j * size + l] = sums[3 + (of[j] * (of[j] + 1)) / 2 + of[l]] / n;
    }
    if (!bend || !pull) return sums[9] / n;
    const force = times(bend, at).map((value, j) => value - pull[j]);
    for (let j = 0; j < size; j++) {
      gradient[j] += force[j] / n;
      for (let l = 0; l <= j; l++) hessian[j * size + l] += bend[j][l] / n;
    }
    return (sums[9] + force.reduce((sum, value, j) => sum + (value - pull[j]) * at[j], 0) / 2) / n;
  };
  const norm = (): number => gradient.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
  // Newton from x, whose gradient and Hessian are there.
  const descend = function* (rows: LogisticRows, start: readonly number[], startValue: number, near: number): Steps<Descent> {
    let x = start, value = startValue, iterations = 0;
    for (; norm() > near && iterations < MAX_ITERATIONS; iterations++) {
      const before = norm(), factor = cholesky(hessian, size, 1e-12), step = solve(factor, gradient, size), from = x;
      const slope = step.reduce((sum, d, j) => sum - d * gradient[j], 0);
      // No third derivative of log(1 + exp(z)) exceeds the second. So Hessians on the way differ by a factor of exp(far) at most, and the gradient at the end is at most |H| |step| far: it need not be looked at.
      const length = Math.sqrt(step.reduce((sum, d) => sum + d * d, 0)), far = Math.sqrt(reach) * length;
      let trace = 0;
      for (let j = 0; j < size; j++) trace += hessian[j * size + j];
      if (before <= 1e-7 && far <= 1e-7 && trace * length * far <= near) {
        x = from.map((old, j) => old - step[j]);
        value += slope / 2;
        iterations++;
        break;
      }
      let accepted = false;
      for (let damp = 1; damp > 1e-10 && !accepted; damp /= 2) {
        const next = from.map((old, j) => old - damp * step[j]);
        const at = yield* evaluate(rows, next, iterations / (iterations + 4));
        accepted = at <= value + 1e-4 * damp * slope || (at <= value + 1e-13 * Math.abs(value) && norm() < before);
        if (accepted) {
          x = next;
          value = at;
        }
      }
      if (!accepted) {
        value = yield* evaluate(rows, x, 0.9); // rounding: no better point can be told from this one
        break;
      }
    }
    return { x, value, iterations };
  };
  let start: readonly number[] = constant;
  if (k > 0 && n >= MANY && !prior) {
    const room = Math.ceil(n / THIN), few = { ...all, x: thinned(x0, new Float64Array(room)), y: y0 && thinned(y0, new Float64Array(room)), mask: thinned(t, new Uint8Array(room)) };
    start = (yield* descend(few, constant, yield* evaluate(few, constant, 0), 1e-4)).x;
  }
  let reached = yield* evaluate(all, start, 0);
  // Rows in an order that misleads: what a few of them say may be worse than a constant.
  if (start !== constant && !(reached < (intercept ? -level * log(level) - (1 - level) * log(1 - level) : Math.LN2))) reached = yield* evaluate(all, (start = constant), 0);
  const { x, value, iterations } = yield* descend(all, start, reached, 1e-11);
  if (norm() > 1e-7) throw new ConvergenceError(`${where}: expected the logistic fit to converge, got a gradient of ${norm()}`, iterations, norm());
  const factor = cholesky(hessian, size, 1e-12);
  const inverse = Array.from({ length: size }, (_, j) => solve(factor, Float64Array.from({ length: size }, (_, l) => (l === j ? 1 / n : 0)), size));
  const own = square(size, (j, l) => hessian[Math.max(j, l) * size + Math.min(j, l)] * n);
  return {
    coefficients: times(back, x), loss: value, covariance: product(product(back, inverse), transposed(back)).flat(), iterations,
    information: product(product(forth, own), transposed(forth)).flat(),
  };
}

/** Where a descent ends. */
interface Descent {
  readonly x: readonly number[];
  readonly value: number;
  readonly iterations: number;
}

/** Features of the rows [from, to); returns their sum about `first`. */
function fill(column: Float64Array, s: Float32Array, feature: Feature, first: number, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) {
    const value = feature(s[i]);
    column[i] = value;
    sum += value - first;
  }
  return sum;
}

function squaresAbout(column: Float64Array, mean: number, from: number, to: number): number {
  let even = 0, odd = 0, i = from;
  for (; i + 1 < to; i += 2) {
    const a = column[i] - mean, b = column[i + 1] - mean;
    even += a * a;
    odd += b * b;
  }
  return even + odd + (i < to ? (column[i] - mean) ** 2 : 0);
}

/** Returns the largest magnitude. */
function standardise(column: Float64Array, centre: number, spread: number, from: number, to: number): number {
  let largest = 0;
  for (let i = from; i < to; i++) {
    const u = (column[i] - centre) / spread;
    column[i] = u;
    largest = Math.max(largest, Math.abs(u));
  }
  return largest;
}

/** Every sixteenth into `out`, which has room for as many. */
function thinned<List extends Float64Array | Uint8Array>(values: List, out: List): List {
  for (let i = 0, from = 0; from < values.length; i++, from += THIN) out[i] = values[from];
  return out;
}

type Matrix = readonly (readonly number[])[];

const square = (size: number, entry: (row: number, column: number) => number): Matrix => Array.from({ length: size }, (_, j) => Array.from({ length: size }, (_, l) => entry(j, l)));
const rowsOf = (values: readonly number[], size: number): Matrix => square(size, (j, l) => values[j * size + l]);
const transposed = (a: Matrix): Matrix => square(a.length, (j, l) => a[l][j]);
const times = (a: Matrix, x: readonly number[]): number[] => a.map((row) => row.reduce((sum, value, l) => sum + value * x[l], 0));
const product = (a: Matrix, b: Matrix): Matrix => square(a.length, (j, l) => a[j].reduce((sum, value, i) => sum + value * b[i][l], 0));

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

import { AssertionError } from "./compare.ts";

/** One repetition: a rate or any finite number, a violated promise (true), or counts. */
export type Outcome = number | boolean | { readonly successes: number; readonly trials: number };

/** A promise about a composed procedure, to be simulated from the raw data to the decision. */
export interface GuaranteeSpec {
  readonly name: string;
  /** How often the whole procedure is repeated, on new data each time; at least 30. */
  readonly repetitions: number;
  /** One repetition; draws all its data from `seed` (0, 1, 2, ...). */
  simulate(seed: number): Outcome;
  /**
   * "marginal mean": the mean of the outcomes over repetitions (a miscoverage rate, a false-positive rate).
   * "probability of exceeding": the probability that a repetition violates the promise; the outcome is true or 1 where it does.
   */
  readonly kind: "marginal mean" | "probability of exceeding";
  /** What is promised. */
  readonly level: number;
  /** Which side is promised; default "at most". "both": neither above nor below, so that a procedure that is needlessly cautious fails too. */
  readonly side?: "at most" | "at least" | "both";
  /** The promise holds up to this much on the other side (conformal coverage: 1 / (n + 1)); checks both sides. */
  readonly slack?: number;
  /** One minus the chance that a true promise fails here; default 0.999. */
  readonly confidence?: number;
}

/** What was seen. */
export interface GuaranteeResult {
  readonly mean: number;
  /** Standard error of the mean over repetitions. */
  readonly standardError: number;
}

/**
 * Simulates a promise and fails if what was seen is improbable under it: an exact binomial tail for a probability of exceeding, a normal band
 * with the standard error over repetitions for a mean. Repetitions that could not fail, whatever was seen, are an error.
 *
 * @example
 *   checkGuarantee({ name: "threshold", kind: "probability of exceeding", level: 0.05, repetitions: 500,
 *     simulate: (seed) => falsePositiveRate(fitOn(seed)) > 0.1 });
 */
export function checkGuarantee(spec: GuaranteeSpec): GuaranteeResult {
  const { name, repetitions, kind, level, side = "at most", slack, confidence = 0.999 } = spec;
  const fail = (text: string): never => {
    throw new AssertionError(`${name}: ${text}`);
  };
  if (!(Number.isInteger(repetitions) && repetitions >= 30)) fail(`expected at least 30 \`repetitions\`, got ${repetitions}`);
  if (!(confidence > 0.5 && confidence < 1)) fail(`expected \`confidence\` in (0.5, 1), got ${confidence}`);
  if (!Number.isFinite(level)) fail(`expected a finite \`level\`, got ${level}`);
  if (slack !== undefined && !(slack >= 0 && slack < Infinity && side !== "both")) fail(`expected a \`slack\` >= 0 with side "at most" or "at least", got ${slack} with "${side}"`);
  const outcomes = Array.from({ length: repetitions }, (_, seed) => numberOf(name, kind, spec.simulate(seed), seed));
  const mean = outcomes.reduce((sum, x) => sum + x, 0) / repetitions;
  const standardError = Math.sqrt(outcomes.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (repetitions - 1) / repetitions);
  const high = side === "at least" ? (slack === undefined ? undefined : level + slack) : level;
  const low = side === "at most" ? (slack === undefined ? undefined : level - slack) : level;
  const alpha = (1 - confidence) / (high !== undefined && low !== undefined ? 2 : 1);

  if (kind === "probability of exceeding") {
    const violations = outcomes.reduce((sum, x) => sum + x, 0);
    const seen = `${violations} of ${repetitions} repetitions violate the promise`;
    if (!(level >= 0 && level <= 1)) fail(`expected \`level\` in [0, 1], got ${level}`);
    if (high !== undefined) {
      if (high < 1 && upperTail(repetitions, repetitions, high) > alpha) fail(`${repetitions} repetitions cannot tell anything from a probability of at most ${high}`);
      const p = high >= 1 ? 1 : upperTail(violations, repetitions, high);
      if (p < alpha) fail(`${seen}, promised at most ${high}: the chance of so many is ${p.toPrecision(2)}, less than ${alpha.toPrecision(2)}`);
    }
    if (low !== undefined && low > 0) {
      if (upperTail(repetitions, repetitions, 1 - low) > alpha) fail(`${repetitions} repetitions cannot tell anything from a probability of at least ${low}`);
      const p = upperTail(repetitions - violations, repetitions, 1 - low);
      if (p < alpha) fail(`${seen}, promised at least ${low}: the chance of so few is ${p.toPrecision(2)}, less than ${alpha.toPrecision(2)}`);
    }
    return { mean, standardError };
  }
  const margin = normalQuantile(1 - alpha) * standardError;
  // Rounding of the mean of equal outcomes, whose standard error is 0.
  const rounding = 1e-12 * Math.max(1, Math.abs(level));
  const seen = `the mean over ${repetitions} repetitions is ${mean}, standard error ${standardError}`;
  if (high !== undefined && mean - margin > high + rounding) fail(`${seen}; promised at most ${high}`);
  if (low !== undefined && mean + margin < low - rounding) fail(`${seen}; promised at least ${low}`);
  return { mean, standardError };
}

function numberOf(name: string, kind: GuaranteeSpec["kind"], outcome: Outcome, seed: number): number {
  const x = typeof outcome === "object" && outcome !== null ? outcome.successes / outcome.trials : Number(outcome);
  if (!Number.isFinite(x)) throw new AssertionError(`${name}: the outcome of repetition ${seed} is ${x}`);
  if (kind === "probability of exceeding" && x !== 0 && x !== 1) throw new AssertionError(`${name}: the outcome of repetition ${seed} is ${x}; a promise is violated (1, true) or kept (0, false)`);
  return x;
}

/** P(X >= k) of a binomial with n trials, summed term by term in float64. */
export function upperTail(k: number, n: number, p: number): number {
  if (k <= 0) return 1;
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  let logTerm = k * Math.log(p) + (n - k) * Math.log1p(-p);
  for (let i = 1; i <= n - k; i++) logTerm += Math.log((k + i) / i);
  let tail = 0;
  for (let i = k; i <= n; i++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log(((n - i) / (i + 1)) * (p / (1 - p)));
  }
  return Math.min(1, tail);
}

/** z with P(Z <= z) = p, p in (0.5, 1), by bisection. */
export function normalQuantile(p: number): number {
  const cumulative = (z: number): number => {
    // Series of Marsaglia (2004), exact to float64 for |z| < 7.
    let term = z;
    let sum = z;
    for (let i = 3; term > 1e-17 * sum; i += 2) sum += term *= (z * z) / i;
    return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
  };
  let [low, high] = [0, 7];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (cumulative(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

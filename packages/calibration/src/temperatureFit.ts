import { temperatureMoments, type TemperatureMoments } from "@logits/core-wasm";
import { ConvergenceError, type Steps, type Tensor } from "@logits/tensor";

/** Bounds of beta = 1 / T. */
const LOW = 2 ** -10;
const HIGH = 2 ** 10;
/** Elements between two pauses: 1 to 4 ms. */
const PIECE = 2 ** 19;
/** Above this many rows the search starts on a sample of every k-th row. */
const SAMPLE_FROM = 2048;
const MAX_EVALUATIONS = 100;

/** Where a fit ended. */
export interface TemperatureOptimum {
  readonly beta: number;
  readonly atBound: boolean;
  /** Evaluations over all rows. */
  readonly passes: number;
  /** Sums over the rows at the last evaluation; beta is at most one certified Newton step away from it. */
  readonly moments: TemperatureMoments;
}

type Evaluate = (beta: number) => Steps<TemperatureMoments>;

/** The beta that minimises the loss over all rows: found on a sample, finished on all rows. Undefined where a row has no finite loss. */
export function* fitBeta(logits: Tensor<"float32">, labels: Tensor<"int32">): Steps<TemperatureOptimum | undefined> {
  const [rows, classes] = logits.shape;
  const step = rows < SAMPLE_FROM ? 1 : Math.floor(rows / Math.max(512, rows / 16));
  let done = 0;
  const over = (every: number): Evaluate =>
    function* (beta) {
      const available = Math.ceil(rows / every);
      const piece = Math.max(4, Math.floor(PIECE / classes) & ~3);
      let loss = 0, gradient = 0, curvature = 0;
      for (let at = 0; at < available; at += piece) {
        const count = Math.min(piece, available - at);
        const part = temperatureMoments(logits, labels, { beta, first: at * every, step: every, count });
        loss += part.loss;
        gradient += part.gradient;
        curvature += part.curvature;
        done += count;
        yield done / (2.5 * rows); // usually a sample and two passes
      }
      return { loss, gradient, curvature };
    };
  const sample = step > 1 ? yield* newton(over(step), 1, 1e-3) : undefined;
  return yield* newton(over(1), sample?.beta ?? 1, 2e-8);
}

/**
 * Safeguarded Newton on the derivative of a convex function of beta in [LOW, HIGH]: a step goes to at most 4 beta and at least beta / 4 and stays
 * inside the bracket; steps that gain little become bisections of log beta. Ends when the error that is left after the step, step^2 |L'''| / (2 L'')
 * with L''' from the last two evaluations, is at most `tolerance` beta.
 */
function* newton(evaluate: Evaluate, start: number, tolerance: number): Steps<TemperatureOptimum | undefined> {
  let low = LOW, high = HIGH, lowSeen = false, highSeen = false;
  let beta = Math.fround(start);
  let before: { beta: number; gradient: number; curvature: number } | undefined;
  let flat: TemperatureMoments | undefined;
  let older = Infinity;
  for (let passes = 1; passes <= MAX_EVALUATIONS; passes++) {
    const moments = yield* evaluate(beta);
    const { loss, gradient, curvature } = moments;
    if (!(loss < Infinity)) return undefined;
    if (gradient === 0 && curvature === 0) {
      // The loss does not change here: its smallest value is reached (every label has the highest score), or no temperature matters.
      if (lowSeen || beta === HIGH) return { beta: HIGH, atBound: true, passes, moments };
      if (beta === LOW) return { beta: 1, atBound: false, passes, moments };
      flat = moments;
      beta = LOW;
      continue;
    }
    if (gradient <= 0) {
      low = beta;
      lowSeen = true;
      if (flat || beta === HIGH) return { beta: HIGH, atBound: true, passes, moments: flat ?? moments };
    }
    if (gradient >= 0) {
      high = beta;
      highSeen = true;
      if (beta === LOW) return { beta, atBound: true, passes, moments };
    }
    const newtonStep = -gradient / curvature;
    const third = before && beta !== before.beta ? Math.abs((curvature - before.curvature) / (beta - before.beta)) : undefined;
    const left = third === undefined ? Math.abs(newtonStep) : (newtonStep * newtonStep * third) / (2 * curvature);
    if (left <= tolerance * beta && Math.abs(newtonStep) <= 0.01 * beta) return { beta: beta + newtonStep, atBound: false, passes, moments };
    let next = Math.min(4 * beta, Math.max(beta / 4, beta + newtonStep));
    if (passes === 8 && !highSeen) next = HIGH;
    else if (passes === 8 && !lowSeen) next = LOW;
    else if (passes === 1 && (beta === HIGH || beta === LOW)) next = 1; // the sample ended at a bound, all rows do not
    else if (next >= high && !highSeen) next = high;
    else if (next <= low && !lowSeen) next = low;
    else if (!(next > low && next < high) || (lowSeen && highSeen && Math.abs(gradient) > older / 2)) next = Math.sqrt(low * high);
    next = Math.fround(next);
    // No float32 lies between the two ends: as near as the arithmetic comes.
    if (lowSeen && highSeen && (next <= low || next >= high)) return { beta, atBound: false, passes, moments };
    older = before ? Math.abs(before.gradient) : Infinity;
    before = { beta, gradient, curvature };
    beta = next;
  }
  throw new ConvergenceError(`TemperatureScaling.fit: expected an optimum or a bound within ${MAX_EVALUATIONS} evaluations, got beta in [${low}, ${high}]`, MAX_EVALUATIONS, Math.abs(before?.gradient ?? NaN));
}

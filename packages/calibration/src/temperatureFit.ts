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
  /** Third derivative of the summed loss near beta, from the last two evaluations; 0 where there was one. */
  readonly third: number;
  /** Sums over the rows at beta, carried there from the last evaluation by its derivatives; the gradient is that of the evaluation. */
  readonly moments: TemperatureMoments;
}

type Evaluate = (beta: number) => Steps<TemperatureMoments>;

/** The beta that minimises the loss over all rows: found on a sample, finished on all rows. Undefined where a row has no finite loss. */
export function* fitBeta(logits: Tensor<"float32">, labels: Tensor<"int32">): Steps<TemperatureOptimum | undefined> {
  const [rows, classes] = logits.shape;
  const step = rows < SAMPLE_FROM ? 1 : Math.floor(rows / Math.max(256, rows / 32));
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
  const sample = step > 1 ? yield* newton(over(step), 1, 1e-3, 0) : undefined;
  return yield* newton(over(1), sample?.beta ?? 1, 2e-8, (sample?.third ?? 0) * step);
}

/**
 * Safeguarded Newton on the derivative of a convex function of beta in [LOW, HIGH], bent by the third derivative as in Halley's method: a step goes to at most
 * 4 beta and at least beta / 4 and stays inside the bracket; steps that gain little become bisections of log beta. The third derivative comes from the last two
 * evaluations; for the first step it is `hint` (that of the sample, or 0). Ends when the error of the last step, step^2 |error of L'''| / (2 L''), is at
 * most `tolerance` beta; the error of L''' is its change since the step before, at least a tenth of it.
 */
function* newton(evaluate: Evaluate, start: number, tolerance: number, hint: number): Steps<TemperatureOptimum | undefined> {
  let low = LOW, high = HIGH, lowSeen = false, highSeen = false;
  let beta = Math.fround(start);
  let before: { beta: number; gradient: number; curvature: number } | undefined;
  let third = hint;
  let flat: TemperatureMoments | undefined;
  let older = Infinity;
  for (let passes = 1; passes <= MAX_EVALUATIONS; passes++) {
    const moments = yield* evaluate(beta);
    const { loss, gradient, curvature } = moments;
    if (!(loss < Infinity)) return undefined;
    if (gradient === 0 && curvature === 0) {
      // The loss does not change here: its smallest value is reached (every label has the highest score), or no temperature matters.
      if (lowSeen || beta === HIGH) return { beta: HIGH, atBound: true, passes, third, moments };
      if (beta === LOW) return { beta: 1, atBound: false, passes, third, moments };
      flat = moments;
      beta = LOW;
      continue;
    }
    if (gradient <= 0) {
      low = beta;
      lowSeen = true;
      if (flat || beta === HIGH) return { beta: HIGH, atBound: true, passes, third, moments: flat ?? moments };
    }
    if (gradient >= 0) {
      high = beta;
      highSeen = true;
      if (beta === LOW) return { beta, atBound: true, passes, third, moments };
    }
    const straight = -gradient / curvature;
    const guess = third;
    if (before && beta !== before.beta) third = (curvature - before.curvature) / (beta - before.beta);
    const left = before ? (straight * straight * Math.max(Math.abs(third - guess), 0.1 * Math.abs(third))) / (2 * curvature) : Math.abs(straight);
    const bend = 1 + (straight * third) / (2 * curvature);
    const newtonStep = bend >= 0.5 && bend <= 2 ? straight / bend : straight;
    if (left <= tolerance * beta && Math.abs(straight) <= 0.01 * beta) {
      const there = { loss: loss + newtonStep * (gradient + (newtonStep * curvature) / 2), gradient, curvature: Math.max(0, curvature + third * newtonStep) };
      return { beta: beta + newtonStep, atBound: false, passes, third, moments: there };
    }
    let next = Math.min(4 * beta, Math.max(beta / 4, beta + newtonStep));
    if (passes === 8 && !highSeen) next = HIGH;
    else if (passes === 8 && !lowSeen) next = LOW;
    else if (passes === 1 && (beta === HIGH || beta === LOW)) next = 1; // the sample ended at a bound, all rows do not
    else if (next >= high && !highSeen) next = high;
    else if (next <= low && !lowSeen) next = low;
    else if (!(next > low && next < high) || (lowSeen && highSeen && Math.abs(gradient) > older / 2)) next = Math.sqrt(low * high);
    next = Math.fround(next);
    // No float32 lies between the two ends: as near as the arithmetic comes.
    if (lowSeen && highSeen && (next <= low || next >= high)) return { beta, atBound: false, passes, third, moments };
    older = before ? Math.abs(before.gradient) : Infinity;
    before = { beta, gradient, curvature };
    beta = next;
  }
  throw new ConvergenceError(`TemperatureScaling.fit: expected an optimum or a bound within ${MAX_EVALUATIONS} evaluations, got beta in [${low}, ${high}]`, MAX_EVALUATIONS, Math.abs(before?.gradient ?? NaN));
}

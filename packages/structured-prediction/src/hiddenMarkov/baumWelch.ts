import { log } from "@logits/statistics";
import { ConvergenceError, rangeError, type Steps } from "@logits/tensor";
import { expectedCounts, type HiddenMarkovParameters, type Observed } from "./expectedCounts.ts";

/** Where expectation-maximisation stopped. */
export interface BaumWelchOptimum {
  readonly parameters: HiddenMarkovParameters;
  readonly logLikelihood: number;
  /** The objective at the start and after every iteration. */
  readonly objective: readonly number[];
}

/** Expectation-maximisation from one start. The objective is the log-likelihood, plus `smoothing` times the sum of the logarithms of the parameters that the start has above 0. */
export function* baumWelch(where: string, start: HiddenMarkovParameters, observed: Observed, { smoothing, tolerance, maxIterations }: { readonly smoothing: number; readonly tolerance: number; readonly maxIterations: number }): Steps<BaumWelchOptimum> {
  const C = start.initial.length, rows = observed.offsets[observed.offsets.length - 1], names = ["initial", "transitions", "emissions"] as const;
  const possible = names.map((name) => start[name].map((p) => (p > 0 ? 1 : 0)));
  const objective: number[] = [];
  for (let parameters = start; ; ) {
    const counts = { initial: new Float64Array(C), transitions: new Float64Array(C * C), emissions: new Float64Array(parameters.emissions.length) };
    const steps = expectedCounts(parameters, observed, counts), share = objective.length / (objective.length + 30);
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield share + step.value / (objective.length + 60);
    const { logLikelihood, impossible } = step.value;
    if (impossible >= 0) throw rangeError(where, "observations", "that the start of the fit allows", `sequence ${impossible}, which has probability 0`);
    let value = logLikelihood;
    if (smoothing > 0) names.forEach((name, n) => parameters[name].forEach((p, k) => { if (possible[n][k]) value += smoothing * log(p); }));
    objective.push(value);
    const gain = objective.length > 1 ? (value - objective[objective.length - 2]) / rows : Infinity;
    if (gain <= tolerance) return { parameters, logLikelihood, objective };
    if (objective.length > maxIterations) throw new ConvergenceError(`${where}: expected a gain of at most ${tolerance} nats a row within ${maxIterations} iterations, got ${gain.toPrecision(3)}. Raise maxIterations or tolerance`, maxIterations, gain);
    const before = parameters;
    const [initial, transitions, emissions] = names.map((name, n) => normalised(counts[name], before[name], possible[n], name === "initial" ? 1 : C, smoothing));
    parameters = { initial, transitions, emissions };
  }
}

/** Rows of counts as probabilities; a row without counts stays as it was: nothing was seen of it. */
function normalised(counts: Float64Array, before: Float64Array, possible: Float64Array, rows: number, smoothing: number): Float64Array {
  const width = counts.length / rows, out = new Float64Array(counts.length);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (let k = r * width; k < (r + 1) * width; k++) sum += out[k] = counts[k] + smoothing * possible[k];
    for (let k = r * width; k < (r + 1) * width; k++) out[k] = sum > 0 ? out[k] / sum : before[k];
  }
  return out;
}

import { lbfgsSteps, owlqnSteps, type OptimizerProgress, type SteppedObjective } from "@logits/optimize";
import { checkInteger, message, rangeError, type Steps } from "@logits/tensor";
import type { LabelledSentence } from "./conll.ts";
import { encode, type Dataset, type Features } from "./dataset.ts";
import { crfObjective, parameterCount } from "./objective.ts";
import { averagedPerceptron } from "./perceptron.ts";

/** How a tagger learns. */
export type TaggerMethod = "lbfgs" | "owlqn" | "averaged-perceptron";

/** What decides a fit, beside the features. */
export interface TrainingOptions {
  /** `lbfgs`: a CRF with squared weights as penalty; `owlqn`: absolute values too, so that most weights are 0; `averaged-perceptron`. Default `owlqn` where l1 > 0, else `lbfgs`. */
  readonly method?: TaggerMethod;
  /** Weight of sum |w|, finite and >= 0. Default 0. */
  readonly l1?: number;
  /** Weight of sum w^2 / 2, finite and >= 0. Default 0.3. */
  readonly l2?: number;
  /** Attributes seen less often are left out, integer >= 1. Default 1. */
  readonly minCount?: number;
  /** Which attributes have a weight with which labels: those seen together, or all. Default `observed`. */
  readonly pairs?: "observed" | "all";
  /** Steps of the optimiser at most, integer >= 1. Default 100. */
  readonly maxIterations?: number;
  /** Stops when the last ten steps have lowered the objective by less than this share of it, >= 0; 0 goes on to the optimum. Default 0.1: labels hardly change after that. */
  readonly tolerance?: number;
  /** Passes of the perceptron over the sentences at most, integer >= 1. Default 10. */
  readonly epochs?: number;
  /** Of the order in which the perceptron sees the sentences. Default 0. */
  readonly seed?: number;
}

/** Where a fit stands. */
export interface TaggerProgress {
  /** Of the work, estimated, in [0, 1]. */
  readonly share: number;
  /** Steps of the optimiser, or passes of the perceptron, that are done. */
  readonly iterations: number;
  /** The objective: negative log-likelihood with penalties, in nats. Not of the perceptron. */
  readonly loss?: number;
  /** Tokens that the perceptron labelled wrongly during the pass. */
  readonly mistakes?: number;
}

/** How a fit ended. */
export interface TrainingSummary extends Omit<TaggerProgress, "share"> {
  readonly method: TaggerMethod;
  /** `tolerance`: the objective hardly falls any more; `gradient`: an optimum; `precision`: float32 cannot tell lower values apart; `iterations`: the limit; `separated`: the perceptron made no mistake. */
  readonly reason: "tolerance" | "gradient" | "precision" | "iterations" | "separated";
}

/** Share of the work that reading the sentences takes. */
const READING = 0.05;
/** Iterations whose decrease is compared with the tolerance. */
const PERIOD = 10;
/** Mean of p (1 - p) over labels, about: the curvature of an attribute's weight is this times how often it is seen. */
const CURVATURE = 0.1;

const OPTIONS: Readonly<Record<TaggerMethod, readonly (keyof TrainingOptions)[]>> = {
  lbfgs: ["l2", "maxIterations", "tolerance"],
  owlqn: ["l1", "l2", "maxIterations", "tolerance"],
  "averaged-perceptron": ["epochs", "seed"],
};

/** Learns weights, in pieces. */
export function* train(where: string, sentences: readonly LabelledSentence[], features: Features, options: TrainingOptions, onProgress: (progress: TaggerProgress) => void): Steps<{ data: Dataset; weights: Float64Array; summary: TrainingSummary }> {
  const { l1 = 0, l2 = 0.3, minCount = 1, pairs = "observed", maxIterations = 100, tolerance = 0.1, epochs = 10, seed = 0 } = options;
  const method = options.method ?? (l1 > 0 ? "owlqn" : "lbfgs");
  if (!Object.hasOwn(OPTIONS, method)) throw rangeError(where, "method", Object.keys(OPTIONS).map((name) => `"${name}"`).join(" or "), JSON.stringify(method));
  for (const name of ["l1", "l2", "maxIterations", "tolerance", "epochs", "seed"] as const) if (options[name] !== undefined && !OPTIONS[method].includes(name)) throw rangeError(where, name, `not with method "${method}"`, `${options[name]}`);
  for (const [name, value] of [["l1", l1], ["l2", l2], ["tolerance", tolerance]] as const) if (!(value >= 0 && value < Infinity)) throw rangeError(where, name, "a finite number >= 0", `${value}`);
  checkInteger(where, "minCount", minCount, 1, 0x7fffffff);
  checkInteger(where, "maxIterations", maxIterations, 1, 1e9);
  checkInteger(where, "epochs", epochs, 1, 1e9);
  if (pairs !== "observed" && pairs !== "all") throw rangeError(where, "pairs", '"observed" or "all"', JSON.stringify(pairs));
  if (!Array.isArray(sentences)) throw new TypeError(message(where, "sentences", "an array", typeof sentences));

  const reading = encode(where, sentences, { features, minCount, pairs });
  let read = reading.next();
  for (; !read.done; read = reading.next()) yield READING * read.value;
  const data = read.value;

  if (method === "averaged-perceptron") {
    let last = { iterations: 0, mistakes: 0 };
    const steps = averagedPerceptron(data, epochs, seed, ({ epoch, mistakes }) => {
      last = { iterations: epoch, mistakes };
      onProgress({ share: READING + (1 - READING) * (epoch / epochs), ...last });
    });
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield READING + (1 - READING) * step.value;
    return { data, weights: step.value, summary: { method, reason: last.mistakes === 0 ? "separated" : "iterations", ...last } };
  }

  const scale = scales(data, l2), P = scale.length, x = new Float64Array(P);
  const objective = crfObjective(data, l2, undefined);
  // Variables are the weights divided by what their curvature makes a natural step: attributes that are seen often and seldom then learn alike.
  const scaled: SteppedObjective<undefined> = function* (u, gradient) {
    for (let i = 0; i < P; i++) x[i] = u[i] * scale[i];
    const value = yield* objective(x, gradient) as Generator<undefined, number, void>;
    for (let i = 0; i < P; i++) gradient[i] *= scale[i];
    return value;
  };
  // Marginals are float32: of N of them, a gradient has about this noise.
  const settings = { maxIterations, memory: 8, noise: 1e-7, gradientTolerance: 1e-6 * Math.sqrt(data.gold.length) };
  const steps = method === "owlqn" ? owlqnSteps(scaled, new Float64Array(P), { ...settings, l1: scale.map((s) => l1 * s) }) : lbfgsSteps(scaled, new Float64Array(P), settings);
  const losses: number[] = [];
  const end = (u: Float64Array, reason: TrainingSummary["reason"]) => ({ data, weights: u.map((v, i) => v * scale[i]), summary: { method, reason, iterations: losses.length - 1, loss: losses[losses.length - 1] } });
  let share = READING;
  const accept = ({ value, iterations }: OptimizerProgress): boolean => {
    if (iterations < losses.length) return false;
    losses.push(value);
    share = READING + (1 - READING) * (iterations / maxIterations);
    onProgress({ share, iterations, loss: value });
    return tolerance > 0 && iterations >= PERIOD && losses[iterations - PERIOD] - value < tolerance * Math.abs(value);
  };
  for (;;) {
    const step = steps.next();
    if (step.done) {
      accept(step.value);
      return end(step.value.x, ({ gradient: "gradient", iterations: "iterations", lineSearch: "precision" } as const)[step.value.reason]);
    }
    if (step.value !== undefined && accept(step.value)) return end(step.value.x, "tolerance");
    yield share;
  }
}

/** 1 / sqrt(curvature) of each parameter at a point where labels are uncertain. */
function scales(data: Dataset, l2: number): Float64Array {
  const { labels: { length: C }, gold, offsets, pairStarts, pairCounts } = data, EDGES = 2 * C, PAIRS = 2 * C + C * C;
  const out = new Float64Array(parameterCount(data));
  const of = (count: number): number => 1 / Math.sqrt(CURVATURE * count + l2);
  out.fill(of(offsets.length / C + 1), 0, EDGES);
  out.fill(of(gold.length / C + 1), EDGES, PAIRS);
  for (let a = 0; a + 1 < pairStarts.length; a++) {
    let count = 0;
    for (let p = pairStarts[a]; p < pairStarts[a + 1]; p++) count += pairCounts[p];
    out.fill(of(count), PAIRS + pairStarts[a], PAIRS + pairStarts[a + 1]);
  }
  return out;
}

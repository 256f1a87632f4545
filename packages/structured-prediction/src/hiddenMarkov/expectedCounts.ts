import { exp, log } from "@logits/statistics";
import type { Steps } from "@logits/tensor";
import { logSum } from "../streaming/chainStep.ts";

/** Parameters of a hidden Markov model in float64; every row sums to 1. */
export interface HiddenMarkovParameters {
  /** [C]. */
  readonly initial: Float64Array;
  /** [C, C], [from, to]. */
  readonly transitions: Float64Array;
  /** [C, V]; empty where likelihoods are given. */
  readonly emissions: Float64Array;
}

/** What was observed, sequence after sequence without padding. */
export interface Observed {
  /** int32 [B + 1]. */
  readonly offsets: Int32Array;
  /** Symbols [N], -1 = not observed; or log-likelihoods of the rows, float32 [N, C]. */
  readonly symbols: ArrayLike<number> | undefined;
  readonly scores: Float32Array | undefined;
}

/** Rows between two pauses times states. */
const PIECE = 65536;
/** Weights beyond this may have met others that left float64. */
const FAR = 2 ** 900;

/**
 * The log-likelihood of what was observed, and the expected counts of initial states, transitions and emissions under the posterior of the states, added to `counts`.
 *
 * Scaled linear space in float64; a sequence where weights leave its range is done again over logarithms. The log-likelihood is -Infinity at the sequence that is
 * impossible, whose number is returned in `impossible`.
 */
export function* expectedCounts(parameters: HiddenMarkovParameters, { offsets, symbols, scores }: Observed, counts: HiddenMarkovParameters): Steps<{ logLikelihood: number; impossible: number }> {
  const C = parameters.initial.length, V = parameters.emissions.length / C, rows = offsets[offsets.length - 1];
  let longest = 0, total = 0;
  for (let b = 1; b < offsets.length; b++) longest = Math.max(longest, offsets[b] - offsets[b - 1]);
  const work = new Sequence(parameters, longest, symbols ? transposed(parameters.emissions, C, V) : undefined);
  const piece = Math.max(1, Math.floor(PIECE / (C * C)));
  for (let b = 0; b + 1 < offsets.length; b++) {
    const from = offsets[b], length = offsets[b + 1] - from;
    if (length === 0) continue;
    work.observe(length, symbols && ((t) => symbols[from + t]), scores?.subarray(from * C, (from + length) * C));
    for (let t = 0; t < length; t += piece) {
      work.forward(t, Math.min(length, t + piece));
      yield (from + t / 2) / rows;
    }
    for (let t = length; t > 0; t -= piece) {
      work.backward(Math.max(0, t - piece), t);
      yield (from + length - t / 2) / rows;
    }
    if (!(work.largest < FAR)) work.overLogarithms();
    if (work.logLikelihood === -Infinity) return { logLikelihood: -Infinity, impossible: b };
    total += work.logLikelihood;
    work.addTo(counts, symbols && ((t) => symbols[from + t]), V);
  }
  return { logLikelihood: total, impossible: -1 };
}

/** [V, C] of [C, V]. */
function transposed(emissions: Float64Array, C: number, V: number): Float64Array {
  const out = new Float64Array(C * V);
  for (let c = 0; c < C; c++) for (let v = 0; v < V; v++) out[v * C + c] = emissions[c * V + v];
  return out;
}

/** The recursions of one sequence. */
class Sequence {
  logLikelihood = 0;
  /** What weights that left float64 would have been multiplied with at most. */
  largest = 0;
  readonly #parameters: HiddenMarkovParameters;
  readonly #table: Float64Array | undefined;
  readonly #C: number;
  #length = 0;
  /** Weights of the rows; alpha, later the posterior; sums of rows; expected transitions less the factor of the transition. */
  readonly #x: Float64Array;
  readonly #alpha: Float64Array;
  readonly #scale: Float64Array;
  readonly #pairs: Float64Array;
  readonly #beta: Float64Array;
  /** Transitions, [to, from]. */
  readonly #into: Float64Array;
  readonly #z: Float64Array;
  #scores: Float32Array | undefined;

  constructor(parameters: HiddenMarkovParameters, longest: number, table: Float64Array | undefined) {
    const C = (this.#C = parameters.initial.length);
    this.#parameters = parameters;
    this.#table = table;
    this.#x = new Float64Array(longest * C);
    this.#alpha = new Float64Array(longest * C);
    this.#scale = new Float64Array(longest);
    this.#pairs = new Float64Array(C * C);
    this.#beta = new Float64Array(C);
    this.#z = new Float64Array(C);
    this.#into = transposed(parameters.transitions, C, C);
  }

  observe(length: number, symbol: ((t: number) => number) | undefined, scores: Float32Array | undefined): void {
    const C = this.#C, x = this.#x;
    this.#length = length;
    this.#scores = scores;
    this.logLikelihood = this.largest = 0;
    this.#pairs.fill(0);
    for (let t = 0; t < length; t++) {
      if (symbol) {
        const v = symbol(t);
        for (let c = 0; c < C; c++) x[t * C + c] = v < 0 ? 1 : this.#table![v * C + c];
        continue;
      }
      let top = -Infinity;
      for (let c = 0; c < C; c++) top = Math.max(top, scores![t * C + c]);
      if (top > -Infinity) this.logLikelihood += top;
      for (let c = 0; c < C; c++) x[t * C + c] = top === -Infinity ? 0 : exp(scores![t * C + c] - top);
    }
  }

  forward(first: number, end: number): void {
    if (this.largest === Infinity) return;
    const { initial } = this.#parameters, C = this.#C, x = this.#x, alpha = this.#alpha, scales = this.#scale, into = this.#into;
    // Sums are at most about 1: their product, as long as float64 holds it well.
    let logLikelihood = 0, product = 1;
    for (let t = first; t < end; t++) {
      const row = t * C, before = row - C, sources = t === 0 ? 0 : C;
      let sum = 0;
      for (let j = 0; j < C; j++) {
        let a = t === 0 ? initial[j] : 0;
        for (let i = 0, at = j * C; i < sources; i++) a += alpha[before + i] * into[at + i];
        sum += alpha[row + j] = a * x[row + j];
      }
      scales[t] = sum;
      // No weight is left: over logarithms it shows whether none is possible.
      if (sum === 0) {
        this.largest = Infinity;
        return;
      }
      if (product < 1e-150 || sum < 1e-150) {
        logLikelihood += log(product);
        product = 1;
      }
      product *= sum;
      const inverse = 1 / sum;
      // A sum among the denormals has no inverse.
      for (let j = 0; j < C; j++) alpha[row + j] = inverse < Infinity ? alpha[row + j] * inverse : alpha[row + j] / sum;
    }
    this.logLikelihood += logLikelihood + log(product);
  }

  backward(first: number, end: number): void {
    if (this.largest === Infinity) return;
    const { transitions } = this.#parameters, C = this.#C, x = this.#x, alpha = this.#alpha, scales = this.#scale, beta = this.#beta, z = this.#z, pairs = this.#pairs;
    let largest = this.largest;
    if (end === this.#length) beta.fill(1);
    for (let t = end - 1; t >= first; t--) {
      const row = t * C, before = row - C, scale = scales[t];
      for (let j = 0; j < C; j++) {
        const share = beta[j] / scale;
        if (share > largest) largest = share;
        z[j] = x[row + j] * share;
        alpha[row + j] *= beta[j];
      }
      if (t === 0) break;
      for (let i = 0; i < C; i++) {
        const a = alpha[before + i];
        let sum = 0;
        for (let j = 0, at = i * C; j < C; j++) {
          const v = z[j];
          pairs[at + j] += a * v;
          sum += transitions[at + j] * v;
        }
        beta[i] = sum;
      }
    }
    this.largest = largest;
  }

  /** All of it again, over logarithms. */
  overLogarithms(): void {
    const C = this.#C, T = this.#length, scores = this.#scores, x = this.#x;
    const initial = this.#parameters.initial.map((p) => log(p)), transitions = this.#parameters.transitions.map((p) => log(p));
    const e = (k: number): number => (scores ? scores[k] : log(x[k]));
    const alpha = new Float64Array(T * C), beta = new Float64Array(T * C), terms = new Float64Array(C);
    for (let t = 0; t < T; t++) {
      const sources = t === 0 ? 0 : C;
      for (let j = 0; j < C; j++) {
        for (let i = 0; i < sources; i++) terms[i] = alpha[(t - 1) * C + i] + transitions[i * C + j];
        alpha[t * C + j] = (t === 0 ? initial[j] : logSum(terms)) + e(t * C + j);
      }
    }
    const logLikelihood = (this.logLikelihood = logSum(alpha.subarray((T - 1) * C)));
    if (logLikelihood === -Infinity) return;
    for (let t = T - 2; t >= 0; t--) {
      for (let i = 0; i < C; i++) {
        for (let j = 0; j < C; j++) terms[j] = transitions[i * C + j] + e((t + 1) * C + j) + beta[(t + 1) * C + j];
        beta[t * C + i] = logSum(terms);
      }
    }
    this.#pairs.fill(0);
    for (let t = 0; t < T; t++) {
      const sources = t === 0 ? 0 : C;
      for (let j = 0; j < C; j++) {
        this.#alpha[t * C + j] = exp(alpha[t * C + j] + beta[t * C + j] - logLikelihood);
        for (let i = 0; i < sources; i++) {
          const a = transitions[i * C + j];
          if (a > -Infinity) this.#pairs[i * C + j] += exp(alpha[(t - 1) * C + i] + a + e(t * C + j) + beta[t * C + j] - logLikelihood) / this.#parameters.transitions[i * C + j];
        }
      }
    }
  }

  addTo(counts: HiddenMarkovParameters, symbol: ((t: number) => number) | undefined, V: number): void {
    const C = this.#C, posterior = this.#alpha;
    for (let j = 0; j < C; j++) counts.initial[j] += posterior[j];
    for (let k = 0; k < C * C; k++) counts.transitions[k] += this.#pairs[k] * this.#parameters.transitions[k];
    if (!symbol) return;
    for (let t = 0; t < this.#length; t++) {
      const v = symbol(t);
      if (v >= 0) for (let c = 0; c < C; c++) counts.emissions[c * V + v] += posterior[t * C + c];
    }
  }
}

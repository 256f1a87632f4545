import type { ChainSums } from "@logits/core-wasm/chains";
import { Tensor } from "@logits/tensor";
import type { ChainModel } from "./chainModel.ts";
import { addMatches, expectedMatches, walk } from "./matches.ts";
import type { Sequences } from "./sequences.ts";

/** Gradients of `logProbWithGrad` and `logPartitionWithGrad`. */
export interface ChainGradients {
  readonly emissions: Tensor<"float32">;
  /** [C, C]; [..., T, C, C] where the transitions differ from row to row. */
  readonly transitions: Tensor<"float32">;
  /** [C]. */
  readonly start: Tensor<"float32">;
  readonly end: Tensor<"float32">;
  /** [G], where the model has n-grams: of their scores. */
  readonly ngrams?: Tensor<"float32">;
}

/** Gradients by the parameters of a chain, summed in float64. */
export class GradientSums {
  readonly emissions: Float64Array;
  readonly transitions: Float64Array;
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly ngrams: Float64Array;
  readonly #model: ChainModel;
  readonly #sequences: Sequences;
  /** Transitions differ from row to row. */
  readonly #varying: boolean;

  /** sum_b weights[b] times the gradient of log Z of sequence b. `unary`: marginals by label; `sums` with pairs: rows where transitions vary, else counts. */
  constructor(model: ChainModel, sequences: Sequences, varying: boolean, sums: ChainSums, unary: Float32Array, weights: Float64Array) {
    this.#model = model;
    this.#sequences = sequences;
    this.#varying = varying;
    const C = model.labels, { chain: { arcs: { starts, sources } }, labelOf } = model.states, { offsets } = sequences, pairs = sums.pairs!;
    this.emissions = Float64Array.from(unary);
    this.transitions = new Float64Array(varying ? sequences.count * C * C : C * C);
    this.start = new Float64Array(C);
    this.end = new Float64Array(C);
    this.ngrams = new Float64Array(model.ngrams?.ngrams.length ?? 0);
    const { emissions, transitions, start, end, ngrams } = this;
    for (const [b, weight] of weights.entries()) {
      const from = offsets[b], to = offsets[b + 1];
      if (from === to) continue;
      for (let j = 0; j < C; j++) {
        start[j] += weight * emissions[from * C + j];
        end[j] += weight * emissions[(to - 1) * C + j];
      }
      for (let k = from * C; k < to * C; k++) emissions[k] *= weight;
      if (varying) for (let k = from * C * C; k < to * C * C; k++) transitions[k] = weight * pairs[k];
      else for (let j = 0; j < labelOf.length; j++) for (let k = starts[j]; k < starts[j + 1]; k++) transitions[labelOf[sources[k]] * C + labelOf[j]] += weight * pairs[b * sources.length + k];
      expectedMatches(model, sums, b, from, (history, label, p) => addMatches(model, ngrams, history, label, weight * p));
    }
  }

  /** Adds weights[b] times the gradient of the score of the labels of sequence b. */
  addLabels(y: Int32Array, weights: Float64Array): void {
    const model = this.#model, C = model.labels, { offsets } = this.#sequences, { emissions, transitions, start, end, ngrams } = this;
    for (const [b, weight] of weights.entries()) {
      const from = offsets[b], to = offsets[b + 1];
      if (from === to) continue;
      for (let t = from; t < to; t++) {
        emissions[t * C + y[t]] += weight;
        if (t > from) transitions[(this.#varying ? t * C * C : 0) + y[t - 1] * C + y[t]] += weight;
      }
      start[y[from]] += weight;
      end[y[to - 1]] += weight;
      walk(model, y, from, to, (history, label) => addMatches(model, ngrams, history, label, weight));
    }
  }

  add(other: GradientSums): void {
    for (const name of ["emissions", "transitions", "start", "end", "ngrams"] as const) other[name].forEach((v, k) => (this[name][k] += v));
  }

  /** float32, in the shapes that came. */
  tensors(): ChainGradients & Record<string, Tensor<"float32">> {
    const C = this.#model.labels, of = (x: Float64Array): Float32Array => Float32Array.from(x), { emissions, transitions, start, end, ngrams } = this;
    return {
      emissions: this.#sequences.floats(of(emissions), [C]),
      transitions: this.#varying ? this.#sequences.floats(of(transitions), [C, C]) : new Tensor("float32", [C, C], of(transitions)),
      start: new Tensor("float32", [C], of(start)), end: new Tensor("float32", [C], of(end)),
      ...(this.#model.ngrams && { ngrams: new Tensor("float32", [ngrams.length], of(ngrams)) }),
    };
  }
}

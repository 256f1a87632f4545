import { exp, log } from "@logits/statistics";
import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { ChainModel, ChainStates } from "../chainModel.ts";

/** Under this, a sum of weights may have lost terms that left float64: its target is summed over logarithms. */
const SMALL = 2 ** -900;

/** Arcs by target with their weights, exp(score - top). */
interface Direction {
  readonly starts: Int32Array;
  readonly sources: Int32Array;
  readonly scores: Float32Array;
  readonly weights: Float64Array;
  readonly top: number;
}

/**
 * Single steps of the recursions of a chain, in float64: messages are logarithms, sums run over weights. S exponentials and S logarithms a step, a product and a sum
 * an arc; where weights leave the range of float64, that one sum runs over logarithms, so that no path is lost.
 */
export class ChainStep {
  readonly states: ChainStates;
  readonly labels: number;
  readonly #forward: Direction;
  #backward: Direction | undefined;
  readonly #scaled: Float64Array;

  constructor(where: string, model: ChainModel) {
    if (model.free) throw rangeError(where, "model", "with transitions of its own", "one whose transitions come row by row");
    this.states = model.states;
    this.labels = model.labels;
    this.#forward = weighted(model.states.chain.arcs);
    this.#scaled = new Float64Array(this.size);
  }

  /** S. */
  get size(): number {
    return this.states.labelOf.length;
  }

  /** A row of emissions, checked. */
  row(where: string, given: TensorLike): Float32Array {
    const x = asFloat32(where, "row", given);
    checkShape(where, "row", x, [this.labels]);
    const bad = x.data.findIndex((v) => !(v < Infinity));
    if (bad >= 0) throw rangeError(where, "row", "finite or -Infinity", `${x.data[bad]} at index ${bad}`);
    return x.data;
  }

  /** into[j] = row[j] + log sum_i exp(from[i] + transition), or row[j] + start[j] where nothing came before. */
  forward(from: Float64Array | undefined, row: Float32Array | undefined, into: Float64Array): void {
    const { labelOf, start } = this.states;
    if (from) summed(this.#forward, from, this.#scaled, into);
    else into.set(start);
    if (row) for (let j = 0; j < into.length; j++) into[j] += row[labelOf[j]];
  }

  /** into[i] = log sum_j exp(transition + row[j] + from[j]). */
  backward(from: Float64Array, row: Float32Array, into: Float64Array): void {
    const { labelOf, chain } = this.states;
    const later = from.map((v, j) => v + row[labelOf[j]]);
    summed((this.#backward ??= weighted(chain.reversed)), later, this.#scaled, into);
  }

  /** into[j] = row[j] + max_i from[i] + transition; `back[j]` the smallest such i. */
  best(from: Float64Array | undefined, row: Float32Array, into: Float64Array, back: Int32Array): void {
    const { labelOf, start } = this.states, { starts, sources, scores } = this.#forward;
    for (let j = 0; j < into.length; j++) {
      let top = from ? -Infinity : start[j], source = -1;
      if (from) {
        for (let k = starts[j]; k < starts[j + 1]; k++) {
          const value = from[sources[k]] + scores[k];
          if (value > top) {
            top = value;
            source = sources[k];
          }
        }
      }
      into[j] = top + row[labelOf[j]];
      back[j] = source;
    }
  }

  /** Probabilities of labels from logarithms of weights of states; undefined where all are impossible. */
  byLabel(weights: Float64Array): Float32Array | undefined {
    const total = logSum(weights), { labelOf } = this.states;
    if (total === -Infinity) return undefined;
    const out = new Float64Array(this.labels);
    for (let j = 0; j < weights.length; j++) out[labelOf[j]] += exp(weights[j] - total);
    return Float32Array.from(out);
  }
}

/** log sum exp; -Infinity of nothing. */
export function logSum(x: ArrayLike<number>): number {
  let top = -Infinity, sum = 0;
  for (let k = 0; k < x.length; k++) if (x[k] > top) top = x[k];
  if (top === -Infinity) return top;
  for (let k = 0; k < x.length; k++) sum += exp(x[k] - top);
  return top + log(sum);
}

function weighted({ starts, sources, scores }: Omit<Direction, "weights" | "top">): Direction {
  let top = -Infinity;
  for (const score of scores) if (score > top) top = score;
  if (top === -Infinity) top = 0;
  return { starts, sources, scores, top, weights: Float64Array.from(scores, (score) => exp(score - top)) };
}

function summed({ starts, sources, scores, weights, top }: Direction, from: Float64Array, scaled: Float64Array, into: Float64Array): void {
  let shift = -Infinity;
  for (let i = 0; i < from.length; i++) if (from[i] > shift) shift = from[i];
  if (shift === -Infinity) {
    into.fill(-Infinity);
    return;
  }
  for (let i = 0; i < from.length; i++) scaled[i] = from[i] === -Infinity ? 0 : exp(from[i] - shift);
  for (let j = 0; j < into.length; j++) {
    let sum = 0;
    for (let k = starts[j]; k < starts[j + 1]; k++) sum += scaled[sources[k]] * weights[k];
    into[j] = sum > SMALL ? log(sum) + shift + top : logSum(Array.from({ length: starts[j + 1] - starts[j] }, (_, k) => from[sources[starts[j] + k]] + scores[starts[j] + k]));
  }
}

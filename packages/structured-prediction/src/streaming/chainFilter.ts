import { Tensor, rangeError, readJson, type TensorLike } from "@logits/tensor";
import { acceptsNothing } from "../automaton.ts";
import type { ChainModel } from "../chainModel.ts";
import { checkModel, fingerprint, numbers, toNumbers } from "./chainState.ts";
import { ChainStep, logSum } from "./chainStep.ts";

const FORMAT = "logits/chain-filter";

/** What `ChainFilter` writes as JSON: its size does not depend on how many rows came. */
export interface ChainFilterJSON {
  readonly format: "logits/chain-filter";
  readonly version: 1;
  /** Fingerprint of the model. */
  readonly model: number;
  readonly rows: number;
  readonly logPartition: number;
  /** log P(state | rows so far), [S]; null = impossible. */
  readonly messages: readonly (number | null)[];
}

/**
 * The forward filter of a chain: rows come one by one, and after each it says how probable the labels of that row are, given the rows so far.
 *
 *   P(y_t = j | rows 0 to t), proportional to the sum of exp(score) over the sequences of t + 1 labels that end in j, without `end`
 *
 * O(C^2) a row, in float64; its state is one number a state of the model. A row that is refused leaves it as it was.
 *
 * Source: Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE 77 (1989), section III.A.
 */
export class ChainFilter {
  readonly model: ChainModel;
  readonly #step: ChainStep;
  #messages: Float64Array | undefined;
  #spare: Float64Array;
  #rows = 0;
  #logPartition = 0;

  /**
   * @param model - of `LinearChain.compile`; also after its `dispose()`
   * @throws RangeError for a model without transitions of its own
   */
  constructor(model: ChainModel) {
    this.model = model;
    this.#step = new ChainStep("ChainFilter", model);
    this.#spare = new Float64Array(this.#step.size);
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** log of the sum of exp(score) over all sequences of the rows so far, without `end`: of a hidden Markov model, the log-likelihood of what was observed. 0 before the first row. */
  get logPartition(): number {
    return this.#logPartition;
  }

  /** log Z if the sequence ends here: as `LinearChain.logPartition`. -Infinity where it may not end here. */
  get finalLogPartition(): number {
    const { constraint, states } = this.model;
    if (this.#messages) return this.#logPartition + logSum(this.#messages.map((v, j) => v + states.end[j]));
    return acceptsNothing(constraint) ? 0 : -Infinity;
  }

  /**
   * Takes the next row.
   *
   * @param row - float32 [C]; -Infinity = impossible. A row of zeros says nothing: a missing observation
   * @returns by how much `logPartition` grew: of a hidden Markov model, the log-likelihood of this row given those before it
   * @throws RangeError for another shape, NaN or +Infinity, or a row that leaves no sequence possible; the filter stays as it was
   */
  push(row: TensorLike): number {
    const where = "ChainFilter.push", into = this.#spare;
    this.#step.forward(this.#messages, this.#step.row(where, row), into);
    const total = logSum(into);
    if (total === -Infinity) throw impossibleRow(where, this.#rows);
    for (let j = 0; j < into.length; j++) into[j] -= total;
    this.#spare = this.#messages ?? new Float64Array(into.length);
    this.#messages = into;
    this.#rows++;
    this.#logPartition += total;
    return total;
  }

  /** P(y_t = j | rows 0 to t) of the row that came last, float32 [C]. RangeError before the first row. */
  probabilities(): Tensor<"float32"> {
    if (!this.#messages) throw rangeError("ChainFilter.probabilities", "this", "after a row", "none so far");
    return new Tensor("float32", [this.model.labels], this.#step.byLabel(this.#messages)!);
  }

  /** The probabilities of the label of the next row, before that row is seen: proportional to the sum over what came before, float32 [C]. RangeError where nothing can follow. */
  next(): Tensor<"float32"> {
    const into = new Float64Array(this.#step.size);
    this.#step.forward(this.#messages, undefined, into);
    const probabilities = this.#step.byLabel(into);
    if (!probabilities) throw rangeError("ChainFilter.next", "this", "where a label can follow", "the end of every sequence");
    return new Tensor("float32", [this.model.labels], probabilities);
  }

  /** log P(state of the last row | rows so far), float64 [S]: a copy; undefined before the first row. */
  messages(): Float64Array | undefined {
    return this.#messages?.slice();
  }

  toJSON(): ChainFilterJSON {
    return { format: FORMAT, version: 1, model: fingerprint(this.model.states), rows: this.#rows, logPartition: this.#logPartition, messages: toNumbers(this.#messages ?? []) };
  }

  /** Goes on where `toJSON` was called, bit by bit. FormatError for another format or version, a state of another model, or a field that is not what it must be. */
  static fromJSON(model: ChainModel, json: unknown): ChainFilter {
    const fields = readJson("ChainFilter.fromJSON", json, FORMAT, 1, "@logits/structured-prediction");
    const filter = new ChainFilter(model);
    checkModel(fields, model.states);
    filter.#rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER);
    filter.#logPartition = fields.number("logPartition");
    const messages = numbers(fields, "messages", filter.#rows === 0 ? 0 : filter.#step.size);
    if (filter.#rows > 0 && logSum(messages) === -Infinity) fields.fail("messages", "with a possible state", "none");
    if (filter.#rows > 0) filter.#messages = messages;
    return filter;
  }
}

/** A row after which no sequence is possible. */
export function impossibleRow(where: string, row: number): RangeError {
  return rangeError(where, "row", "that some sequence of labels allows", `none after row ${row}`);
}

import { Tensor, checkInteger, rangeError, readJson, type TensorLike } from "@logits/tensor";
import type { ChainModel } from "../chainModel.ts";
import { ChainFilter, type ChainFilterJSON } from "./chainFilter.ts";
import { numberLists, toNumbers } from "./chainState.ts";
import { ChainStep } from "./chainStep.ts";

const FORMAT = "logits/fixed-lag-smoother";

/** Probabilities of the labels of a row that came some rows ago. */
export interface SmoothedRow {
  /** Which row, from 0. */
  readonly row: number;
  /** float32 [C]. */
  readonly probabilities: Tensor<"float32">;
}

/** What `FixedLagSmoother` writes as JSON: at most lag + 1 rows. */
export interface FixedLagSmootherJSON {
  readonly format: "logits/fixed-lag-smoother";
  readonly version: 1;
  readonly lag: number;
  readonly filter: ChainFilterJSON;
  /** log P(state | rows up to its own) of the rows that are held, oldest first. */
  readonly messages: readonly (readonly (number | null)[])[];
  /** Their emissions. */
  readonly emissions: readonly (readonly (number | null)[])[];
}

interface Held {
  readonly messages: Float64Array;
  readonly emissions: Float32Array;
}

/**
 * The fixed-lag smoother of a chain: the labels of a row, `lag` rows later.
 *
 *   P(y_(t - D) = j | rows 0 to t), without `end`
 *
 * With lag 0 it is the filter; the longer the lag, the nearer to the marginals of the whole sequence. O(D C^2) a row, in float64; it holds at most D + 1 rows.
 *
 * Source: Cappé, Moulines, Rydén, Inference in Hidden Markov Models (2005), section 3.3 (smoothing); Anderson and Moore, Optimal Filtering (1979), section 7.3 (fixed lag).
 */
export class FixedLagSmoother {
  readonly model: ChainModel;
  /** D. */
  readonly lag: number;
  readonly #step: ChainStep;
  #filter: ChainFilter;
  #held: Held[] = [];

  /**
   * @param model - of `LinearChain.compile`
   * @param options - `lag`: how many rows later a row is answered, 0 or more
   * @throws RangeError for a lag that is no integer from 0 up, a model without transitions of its own
   */
  constructor(model: ChainModel, options: { readonly lag: number }) {
    checkInteger("FixedLagSmoother", "lag", options.lag, 0, 0x7fffffff);
    this.#step = new ChainStep("FixedLagSmoother", model);
    this.#filter = new ChainFilter(model);
    this.model = model;
    this.lag = options.lag;
  }

  /** Rows so far. */
  get rows(): number {
    return this.#filter.rows;
  }

  /** As `ChainFilter.logPartition`. */
  get logPartition(): number {
    return this.#filter.logPartition;
  }

  /**
   * Takes the next row.
   *
   * @param row - float32 [C]; -Infinity = impossible, zeros = missing
   * @returns the row that came `lag` rows ago; undefined for the first `lag` rows
   * @throws RangeError as `ChainFilter.push`; the smoother stays as it was
   */
  push(row: TensorLike): SmoothedRow | undefined {
    const emissions = this.#step.row("FixedLagSmoother.push", row).slice();
    this.#filter.push(emissions);
    this.#held.push({ messages: this.#filter.messages()!, emissions });
    if (this.#held.length <= this.lag) return undefined;
    const answer = this.#smoothed(new Float64Array(this.#step.size), 1)[0]!;
    this.#held.shift();
    return answer;
  }

  /**
   * The rows that were not answered yet, oldest first, if the sequence ends here: with `end`, as the marginals of the whole sequence. The smoother can go on.
   *
   * @throws RangeError where no sequence may end here
   */
  finish(): SmoothedRow[] {
    if (this.#held.length === 0) return [];
    const rows = this.#smoothed(Float64Array.from(this.model.states.end), this.#held.length);
    if (!rows[0]) throw rangeError("FixedLagSmoother.finish", "this", "where a sequence may end", `none of ${this.rows} rows`);
    return rows as SmoothedRow[];
  }

  /** The first `count` of the rows that are held, given the weights after the last. */
  #smoothed(after: Float64Array, count: number): (SmoothedRow | undefined)[] {
    const held = this.#held, first = this.rows - held.length;
    let message = after, spare: Float64Array = new Float64Array(after.length);
    const out = new Array<SmoothedRow | undefined>(count);
    for (let k = held.length - 1; k >= 0; k--) {
      if (k < held.length - 1) {
        this.#step.backward(message, held[k + 1].emissions, spare);
        [message, spare] = [spare, message];
      }
      if (k >= count) continue;
      const probabilities = this.#step.byLabel(held[k].messages.map((v, j) => v + message[j]));
      out[k] = probabilities && { row: first + k, probabilities: new Tensor("float32", [this.model.labels], probabilities) };
    }
    return out;
  }

  toJSON(): FixedLagSmootherJSON {
    return { format: FORMAT, version: 1, lag: this.lag, filter: this.#filter.toJSON(), messages: this.#held.map(({ messages }) => toNumbers(messages)), emissions: this.#held.map(({ emissions }) => toNumbers(emissions)) };
  }

  /** Goes on where `toJSON` was called, bit by bit. FormatError for another format or version, a state of another model, or a field that is not what it must be. */
  static fromJSON(model: ChainModel, json: unknown): FixedLagSmoother {
    const fields = readJson("FixedLagSmoother.fromJSON", json, FORMAT, 1, "@logits/structured-prediction");
    const smoother = new FixedLagSmoother(model, { lag: fields.integer("lag", 0, 0x7fffffff) });
    smoother.#filter = ChainFilter.fromJSON(model, fields.value("filter"));
    const held = Math.min(smoother.lag, smoother.rows);
    const messages = numberLists(fields, "messages", smoother.#step.size, held), emissions = numberLists(fields, "emissions", model.labels, held);
    if (messages.length !== held || emissions.length !== held) fields.fail(messages.length !== held ? "messages" : "emissions", `of ${held} rows`, `${messages.length !== held ? messages.length : emissions.length}`);
    smoother.#held = messages.map((list, k) => ({ messages: list, emissions: Float32Array.from(emissions[k]) }));
    return smoother;
  }
}

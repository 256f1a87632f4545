import { Tensor } from "@logits/tensor";

/** A gradient [V, D] that is 0 outside a few rows: what a loss of a few words gives, without the cost of all. */
export interface RowGradient {
  /** [V, D]. */
  readonly shape: readonly [number, number];
  /** Ascending, each once. */
  readonly rows: Int32Array;
  /** float32 [rows.length, D]. */
  readonly values: Tensor<"float32">;
}

/**
 * A gradient of few rows as a whole matrix.
 *
 *   y[rows[i], d] = values[i, d], 0 elsewhere
 *
 * @param gradient - R rows of [V, D]
 * @returns float32 [V, D]
 * @example
 *   denseRows({ shape: [3, 1], rows: Int32Array.of(2), values: tensor([[5]]) }); // 0, 0, 5
 * Source: this library.
 */
export function denseRows({ shape, rows, values }: RowGradient): Tensor<"float32"> {
  const out = new Float32Array(shape[0] * shape[1]);
  rows.forEach((row, i) => out.set(values.row(i).data, row * shape[1]));
  return new Tensor("float32", shape, out);
}

/** Sums what is added to rows of a [V, D] matrix, in float64. */
export class RowSums {
  readonly #slots = new Map<number, Float64Array>();
  readonly #shape: readonly [number, number];

  constructor(shape: readonly [number, number]) {
    this.#shape = shape;
  }

  /** Adds factor x[from .. from + D) to a row. */
  add(row: number, factor: number, x: ArrayLike<number>, from: number): void {
    let sums = this.#slots.get(row);
    if (sums === undefined) this.#slots.set(row, (sums = new Float64Array(this.#shape[1])));
    for (let d = 0; d < sums.length; d++) sums[d] += factor * x[from + d];
  }

  finish(): RowGradient {
    const rows = Int32Array.from(this.#slots.keys()).sort(), width = this.#shape[1], values = new Float32Array(rows.length * width);
    rows.forEach((row, i) => values.set(this.#slots.get(row)!, i * width));
    return { shape: this.#shape, rows, values: new Tensor("float32", [rows.length, width], values) };
  }
}

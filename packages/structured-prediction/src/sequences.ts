import { Tensor, asFloat32, asInt32, asLengths, asOffsets, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** How sequences lie in the emissions: one [T, C]; padded [B, T, C] with lengths; or row after row [N, C] with offsets. */
export interface SequenceOptions {
  /** int32 [B]: how many rows of each sequence count, for emissions [B, T, C]. Default T. */
  readonly lengths?: TensorLike;
  /** int32 [B + 1]: sequence b has the rows from offsets[b] to offsets[b + 1] of emissions [N, C]. */
  readonly offsets?: TensorLike;
}

/** Sequences without padding, and how results go back to the shape that came. */
export class Sequences {
  /** B. */
  readonly batch: number;
  /** C. */
  readonly width: number;
  /** float32 [N, C], without padding. */
  readonly rows: Float32Array;
  /** int32 [B + 1]. */
  readonly offsets: Int32Array;
  /** Shape of the rows as they came, without C. */
  readonly shape: readonly number[];
  /** Index among the rows that came, of each row; undefined where they are the same. */
  readonly #source: Int32Array | undefined;

  constructor(where: string, emissions: TensorLike, width: number | undefined, options: SequenceOptions) {
    const x = asFloat32(where, "emissions", emissions);
    const rank = x.shape.length;
    if (rank !== 2 && rank !== 3) throw rangeError(where, "emissions", "of shape [T, C], [B, T, C] or, with offsets, [N, C]", `[${x.shape.join(", ")}]`);
    this.width = x.shape[rank - 1];
    if (this.width === 0 || (width !== undefined && this.width !== width)) throw rangeError(where, "emissions", `with ${width ?? "at least 1"} labels`, `shape [${x.shape.join(", ")}]`);
    this.shape = x.shape.slice(0, -1);
    if (options.lengths !== undefined && rank !== 3) throw rangeError(where, "lengths", "with emissions of shape [B, T, C]", `emissions of shape [${x.shape.join(", ")}]`);
    if (options.offsets !== undefined && rank !== 2) throw rangeError(where, "offsets", "with emissions of shape [N, C]", `emissions of shape [${x.shape.join(", ")}]`);
    if (rank === 2) {
      this.offsets = asOffsets(where, "offsets", options.offsets, x.shape[0]);
      this.batch = this.offsets.length - 1;
      this.rows = lastingData(x);
      return;
    }
    const [batch, T] = x.shape;
    this.batch = batch;
    const lengths = asLengths(where, "lengths", options.lengths, batch, T);
    this.offsets = new Int32Array(batch + 1);
    lengths.forEach((length, b) => (this.offsets[b + 1] = this.offsets[b] + length));
    if (this.offsets[batch] === batch * T) {
      this.rows = lastingData(x);
      return;
    }
    const source = (this.#source = new Int32Array(this.offsets[batch]));
    this.rows = new Float32Array(source.length * this.width);
    for (let b = 0; b < batch; b++) {
      for (let t = 0; t < lengths[b]; t++) source[this.offsets[b] + t] = b * T + t;
      this.rows.set(x.data.subarray(b * T * this.width, (b * T + lengths[b]) * this.width), this.offsets[b] * this.width);
    }
  }

  /** Number of rows. */
  get count(): number {
    return this.offsets[this.batch];
  }

  /** Each sequence with its rows [from, to). */
  *items(): Generator<readonly [b: number, from: number, to: number], void, void> {
    for (let b = 0; b < this.batch; b++) yield [b, this.offsets[b], this.offsets[b + 1]];
  }

  /** A number for each sequence, [B]. */
  each(f: (b: number, from: number, to: number) => number): Float64Array {
    return Float64Array.from({ length: this.batch }, (_, b) => f(b, this.offsets[b], this.offsets[b + 1]));
  }

  /** Labels in the shape of the rows that came, -1 in padding; `lead` sets of labels one after another get axes of their own. */
  labels(labels: Int32Array, lead: readonly number[] = []): Tensor<"int32"> {
    const sets = lead.reduce((a, b) => a * b, 1), size = this.shape.reduce((a, b) => a * b, 1), source = this.#source;
    if (!source) return new Tensor("int32", [...lead, ...this.shape], labels);
    const out = new Int32Array(sets * size).fill(-1);
    for (let k = 0; k < sets; k++) for (let row = 0; row < source.length; row++) out[k * size + source[row]] = labels[k * source.length + row];
    return new Tensor("int32", [...lead, ...this.shape], out);
  }

  /** float32 rows of `inner` elements in the shape that came, 0 in padding. */
  floats(x: Float32Array, inner: readonly number[]): Tensor<"float32"> {
    const size = inner.reduce((a, b) => a * b, 1), source = this.#source;
    if (!source) return new Tensor("float32", [...this.shape, ...inner], x);
    const out = new Float32Array(this.shape.reduce((a, b) => a * b, 1) * size);
    source.forEach((to, row) => out.set(x.subarray(row * size, (row + 1) * size), to * size));
    return new Tensor("float32", [...this.shape, ...inner], out);
  }

  /** Labels that came in the shape of the rows, without padding; what stands in padding is not read. */
  read(where: string, argument: string, given: TensorLike): Int32Array {
    const x = asInt32(where, argument, given);
    checkShape(where, argument, x, this.shape);
    const labels = this.#source ? Int32Array.from(this.#source, (from) => x.data[from]) : lastingData(x);
    const bad = labels.findIndex((y) => !(y >= 0 && y < this.width));
    if (bad >= 0) throw rangeError(where, argument, `in [0, ${this.width})`, `${labels[bad]} at index ${this.#source ? this.#source[bad] : bad}`);
    return labels;
  }

  /** float32 rows that came with the shape of the rows and `inner`, without padding. */
  readFloats(where: string, argument: string, given: TensorLike, inner: readonly number[]): Float32Array {
    const x = asFloat32(where, argument, given), shape = [...this.shape, ...inner], size = inner.reduce((a, b) => a * b, 1);
    checkShape(where, argument, x, shape);
    if (!this.#source) return lastingData(x);
    const out = new Float32Array(this.#source.length * size);
    this.#source.forEach((from, row) => out.set(x.data.subarray(from * size, (from + 1) * size), row * size));
    return out;
  }
}

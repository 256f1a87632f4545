import { rangeError, typeError } from "./errors.ts";

/** Element types of version 1. uint8 is for masks: 1 = takes part. */
export type DType = "float32" | "int32" | "uint8";

/** The typed array that holds a dtype. */
export type DataOf<D extends DType> = D extends "float32" ? Float32Array : D extends "int32" ? Int32Array : Uint8Array;

/** Nested number arrays, one level per axis. */
export type NestedArray = number | readonly NestedArray[];

/** Number of elements of a shape; 1 for `[]`. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i];
  return size;
}

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/**
 * A dense array: `dtype`, `shape`, `data`, row-major and contiguous. Answers to `dims` and `type` too, so that it can be
 * handed where an ONNX Runtime or Transformers.js tensor is read.
 *
 * `data` is a getter: for a tensor that lives in WebAssembly memory the view is made anew after the memory has grown.
 */
export class Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  protected readonly values: DataOf<D> | undefined;

  /**
   * @param values - the elements; `undefined` only for a subclass that overrides `data`
   * @throws TypeError if `dtype` is unknown or `values` does not hold it; RangeError if `shape` has another number of elements
   */
  constructor(dtype: D, shape: readonly number[], values: DataOf<D> | undefined) {
    this.dtype = dtype;
    this.shape = shape;
    this.size = sizeOf(shape);
    this.values = values;
    for (let i = 0; i < shape.length; i++) if (!(Number.isInteger(shape[i]) && shape[i] >= 0)) throw rangeError("Tensor", "shape", "of integers from 0 up", `${shape[i]} at axis ${i}`);
    if (values !== undefined) {
      if (!KINDS[dtype]) throw typeError("Tensor", "dtype", Object.keys(KINDS).join(" or "), `${dtype}`);
      if (!(values instanceof KINDS[dtype])) throw typeError("Tensor", "data", `a ${KINDS[dtype].name} for ${dtype}`, describe(values));
      if (values.length !== this.size) throw rangeError("Tensor", "data", `of length ${this.size} for shape [${shape.join(", ")}]`, `${values.length} elements`);
    }
  }

  get data(): DataOf<D> {
    return this.values!;
  }

  /** The shape, under the name ONNX Runtime uses. */
  get dims(): readonly number[] {
    return this.shape;
  }

  /** The dtype, under the name ONNX Runtime uses. */
  get type(): D {
    return this.dtype;
  }

  /** The only element. RangeError if there is not exactly one. */
  item(): number {
    if (this.size !== 1) throw rangeError("Tensor.item", "this", "with one element", `shape [${this.shape.join(", ")}]`);
    return this.data[0];
  }

  /** One element by its indices, one per axis. */
  at(...indices: number[]): number {
    const { shape } = this;
    if (indices.length !== shape.length || indices.some((index, axis) => !(Number.isInteger(index) && index >= 0 && index < shape[axis]))) {
      throw rangeError("Tensor.at", "indices", `inside shape [${shape.join(", ")}]`, `[${indices.join(", ")}]`);
    }
    return this.data[indices.reduce((offset, index, axis) => offset * shape[axis] + index, 0)];
  }

  /** Row `i` of the first axis: a view that shares memory. */
  row(i: number): Tensor<D> {
    const { shape } = this;
    if (!(shape.length > 0 && Number.isInteger(i) && i >= 0 && i < shape[0])) throw rangeError("Tensor.row", "i", `a row of shape [${shape.join(", ")}]`, `${i}`);
    const width = this.size / shape[0];
    return new Tensor<D>(this.dtype, shape.slice(1), this.data.subarray(i * width, (i + 1) * width) as DataOf<D>);
  }

  /** Nested number arrays, one level per axis; a number for shape `[]`. TypeScript does not know the axes: who does says them, `toArray<number[][]>()`. */
  toArray<Nested extends NestedArray = NestedArray>(): Nested {
    const { data, shape } = this;
    let next = 0;
    const build = (axis: number): NestedArray => (axis === shape.length ? data[next++] : Array.from({ length: shape[axis] }, () => build(axis + 1)));
    return build(0) as Nested;
  }

  /** `Tensor float32 [2, 3] 1, 2, 3, 4, 5, 6`; long data is cut after 16 elements. */
  toString(): string {
    const shown = Array.from(this.data.subarray(0, 16)).join(", ");
    return `Tensor ${this.dtype} [${this.shape.join(", ")}] ${shown}${this.size > 16 ? ", ..." : ""}`;
  }
}

// What Node, Deno and Bun print.
Object.defineProperty(Tensor.prototype, Symbol.for("nodejs.util.inspect.custom"), { value: Tensor.prototype.toString });

/** What a value is, in words for an error message: `Float64Array`, `String`, `null`, `object`. */
export function describe(value: unknown): string {
  return value?.constructor?.name ?? (value === null ? "null" : typeof value);
}

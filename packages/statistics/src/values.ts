import { type TensorLike, Tensor, asFloat32, rangeError } from "@logits/tensor";

/**
 * The elements of an argument as float64, in row-major order: a `Float64Array` as it is (not a copy), number arrays and other typed arrays
 * converted without rounding, tensors and nested arrays as `@logits/tensor` reads them.
 * @throws TypeError if it is no tensor
 */
export function asFloat64(where: string, argument: string, x: TensorLike): Float64Array {
  if (x instanceof Float64Array) return x;
  const data: unknown = x instanceof Tensor ? x.data : x;
  if (data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array) return Float64Array.from(data);
  if (Array.isArray(data) && data.every((value) => typeof value === "number")) return Float64Array.from(data as number[]);
  return Float64Array.from(asFloat32(where, argument, x).data);
}

/** As `asFloat64`, and no element is NaN. */
export function asOrderable(where: string, argument: string, x: TensorLike): Float64Array {
  const values = asFloat64(where, argument, x);
  for (let i = 0; i < values.length; i++) if (values[i] !== values[i]) throw rangeError(where, argument, "without NaN", `NaN at index ${i}`);
  return values;
}

/** As `asFloat64`, and every element is finite. */
export function asFinite(where: string, argument: string, x: TensorLike): Float64Array {
  const values = asFloat64(where, argument, x);
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] !== 0) throw rangeError(where, argument, "of finite numbers", `${values[i]} at index ${i}`);
  return values;
}

/** As `asFloat64` of `length` weights, each finite and at least 0 (or > 0 where `positive`). */
export function asWeights(where: string, argument: string, x: TensorLike, length: number, positive: boolean): Float64Array {
  const values = asFloat64(where, argument, x);
  if (values.length !== length) throw rangeError(where, argument, `of length ${length}`, `${values.length}`);
  for (let i = 0; i < length; i++) {
    if (!(values[i] < Infinity && (positive ? values[i] > 0 : values[i] >= 0))) {
      throw rangeError(where, argument, `of finite numbers ${positive ? "> 0" : ">= 0"}`, `${values[i]} at index ${i}`);
    }
  }
  return values;
}

import type { TensorLike } from "./convert.ts";
import { sizeOf } from "./tensor.ts";

/**
 * The bits of a tensor in half precision that is in memory and whole, where they are: a `Uint16Array` or `Float16Array` with type `float16`. Undefined for anything else, which `asFloat32` takes or refuses.
 *
 * @param x - what may be one
 * @example
 *   asFloat16Bits({ data: Uint16Array.of(0x3c00), dims: [1], type: "float16" })?.bits; // 0x3c00, which is 1
 * Source: this library.
 */
export function asFloat16Bits(x: TensorLike): { readonly bits: Uint16Array; readonly shape: readonly number[] } | undefined {
  const like = x as { readonly data?: unknown; readonly dims?: unknown; readonly shape?: unknown; readonly type?: unknown; readonly dtype?: unknown; readonly location?: unknown } | null;
  if (ArrayBuffer.isView(x) || Array.isArray(x) || typeof like !== "object" || like === null || (like.type ?? like.dtype) !== "float16" || !/^(undefined|cpu|cpu-pinned)$/.test(`${like.location as string}`)) return undefined;
  const { data } = like, shape = like.dims ?? like.shape;
  if (!ArrayBuffer.isView(data) || !Array.isArray(shape) || (data.constructor.name !== "Float16Array" && !(data instanceof Uint16Array))) return undefined;
  const bits = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  return bits.length === sizeOf(shape as number[]) ? { bits, shape: shape as number[] } : undefined;
}

/**
 * IEEE 754 half precision (as bits) to float32, exact for every one of the 65,536 patterns.
 *
 * Exponent and mantissa shifted to the float32's place give the value times 2^-112, subnormals too.
 */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i];
    words[i] = (h & 0x7fff) << 13;
    out[i] = (h >> 15 ? -1 : 1) * ((h & 0x7c00) < 0x7c00 ? out[i] * 2 ** 112 : h & 1023 ? NaN : Infinity);
  }
  return out;
}

/** float32 to half precision bits, round to nearest, ties to even; NaN becomes 0x7e00; beyond 65,504 becomes Infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    const word = words[i];
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) out[i] = 0x7e00;
    else if (magnitude >= 0x47800000) out[i] = sign | 0x7c00;
    else if (magnitude < 0x38800000) out[i] = sign | roundHalfEven(Math.abs(values[i]) * 16777216);
    else {
      const kept = magnitude - 0x38000000;
      out[i] = sign | ((kept + 0xfff + ((kept >>> 13) & 1)) >>> 13);
    }
  }
  return out;
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

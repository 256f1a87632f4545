import { rangeError } from "@logits/tensor";
import { relaxed, simd } from "#wasm/sample";
import { family } from "./family.ts";

/** Where random numbers come from: the words of `randomSource(seed, stream + r)` of @logits/tensor, for row r. */
export interface NoiseOptions {
  /** Integer in [0, 2^53). */
  readonly seed: number;
  /** Of row 0; row r uses `stream + r`, so that a row computed alone with its own stream is the same. Integer in [0, 2^53). Default 0. */
  readonly stream?: number;
}

/** The kernels of the `sample` family. Keys and streams are two words each, the lower first. */
export const kernels: () => {
  f32_gumbel(x: number, y: number, rows: number, cols: number, key0: number, key1: number, stream0: number, stream1: number, hard: number, scratch: number): void;
  f32_soft_grad(y: number, upstream: number, out: number, rows: number, cols: number, scale: number): void;
  f32_sample_categorical(
    x: number, y: number, rows: number, cols: number, count: number, scale: number, key0: number, key1: number, stream0: number, stream1: number, scratch: number,
  ): number;
} = family("sample", { simd, relaxed });

/** The lower and the upper 32 bits. */
export function halves(value: number): [number, number] {
  return [value >>> 0, Math.floor(value / 4294967296) >>> 0];
}

/** Checks seed and stream. */
export function checkNoise(where: string, { seed, stream = 0 }: NoiseOptions): void {
  for (const [name, value] of [["seed", seed], ["stream", stream]] as const) {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw rangeError(where, name, "an integer in [0, 2^53)", `${value}`);
  }
}

import type { RandomSource } from "@logits/tensor";
import { softmaxRef } from "./softmax.ref.ts";

/** softmax((x + g) / T) of one row, g = -log(-log u), u = (word + 1/2) / 2^32; log u through 1 - u where u is near 1. */
export function gumbelSoftmaxRef(x: Float64Array, random: RandomSource, temperature = 1): Float64Array {
  return softmaxRef(x.map((v) => v + gumbelRef(random.uint32())), temperature);
}

/** One standard Gumbel number from one word. */
export function gumbelRef(word: number): number {
  return -Math.log(-(word < 2147483648 ? Math.log((word + 0.5) / 4294967296) : Math.log1p(-(4294967295.5 - word) / 4294967296)));
}

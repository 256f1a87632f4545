import { softmaxRef } from "./softmax.ref.ts";

/** The first class whose cumulative probability exceeds u. */
export function sampleCategoricalRef(x: Float64Array, u: number, temperature = 1): number {
  let below = 0;
  return softmaxRef(x, temperature).findIndex((p) => (below += p) > u);
}

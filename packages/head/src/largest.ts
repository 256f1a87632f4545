import type { Tensor } from "@logits/tensor";

/** The index of the largest number of a row of [N, C]; the first of equals. */
export function largest(x: Tensor<"float32">, row: number): number {
  const width = x.shape[1], { data } = x;
  let best = 0;
  for (let c = 1; c < width; c++) if (data[row * width + c] > data[row * width + best]) best = c;
  return best;
}

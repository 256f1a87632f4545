import { log, softmax } from "@logits/core-wasm";
import { asFloat32, checkProbabilities, rangeError, type Tensor, type TensorLike } from "@logits/tensor";

/**
 * Probabilities made sharper: p^(1 / T), normalised. From logits it is `softmax(logits, { temperature })`.
 *
 *   y[c] = p[c]^(1 / T) / sum_k p[k]^(1 / T)
 *
 * @param probabilities - float32 [..., C]
 * @param temperature - T > 0: below 1 sharpens, 1 leaves p as it is, above 1 flattens
 * @returns float32, the same shape
 * @throws RangeError for what is no probability, a temperature that is not positive
 * @example
 *   sharpen([0.6, 0.4], 0.5); // 0.6923, 0.3077
 * Source: Berthelot et al., "MixMatch", NeurIPS 2019 (arXiv:1905.02249), equation 7.
 */
export function sharpen(probabilities: TensorLike, temperature: number): Tensor<"float32"> {
  const p = asFloat32("sharpen", "probabilities", probabilities), classes = p.shape.at(-1);
  if (classes === undefined) throw rangeError("sharpen", "probabilities", "of shape [..., C]", "[]");
  checkProbabilities("sharpen", "probabilities", p, classes);
  return softmax(log(p), { temperature });
}

import { asFloat32, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import type { PositionBias } from "./positionBias.ts";

/**
 * A learned number for each head and each distance up to R, the same for all further ones: as `positionWeights` the Toeplitz matrix of URPE attention, as `positionBias` a table of relative positions.
 *
 *   c[h](d) = table[h, R + min(max(d, -R), R)];   d = how far the query stands behind the key
 *
 * @param table - float32 [H, 2R + 1], distances -R to R; ones at the start of URPE's training
 * @returns the weights; their parameters are the table
 * @throws RangeError for another shape
 * @example
 *   toeplitz([[0, 1, 0.5]]).value(0, 7); // 0.5
 * Source: Luo et al., "Your Transformer May Not be as Powerful as You Expect", NeurIPS 2022, equation 7. Shaw, Uszkoreit, Vaswani, "Self-Attention with Relative Position Representations", NAACL 2018, for the clipping.
 */
export function toeplitz(table: TensorLike): PositionBias {
  const parameters = asFloat32("toeplitz", "table", table), { shape } = parameters, data = lastingData(parameters), [heads = 0, size = 0] = shape, reach = (size - 1) / 2;
  if (shape.length !== 2 || heads === 0 || !Number.isInteger(reach) || reach < 0) throw rangeError("toeplitz", "table", "of shape [H, 2R + 1], H >= 1", `[${shape.join(", ")}]`);
  const at = (head: number, distance: number): number => head * size + reach + Math.min(Math.max(distance, -reach), reach);
  return {
    heads, parameters,
    value: (head, distance) => data[at(head, distance)],
    addGradient(head, distance, upstream, sums) {
      sums[at(head, distance)] += upstream;
    },
  };
}

import { similarityPass } from "@logits/core-wasm/similarity";
import { sampleNormal } from "@logits/statistics";
import { checkInteger, ConvergenceError, rangeError, Tensor, type RandomSource } from "@logits/tensor";

/**
 * A simplex of unit vectors, every two at the same, widest angle: fixed class vectors for `normalizedSoftmaxLoss`.
 *
 *   vectors vectors' = C / (C - 1) (I - 1 1' / C): cosines of -1 / (C - 1)
 *
 * @param classes - C >= 2
 * @param features - F >= C - 1; columns beyond are 0
 * @returns float32 [C, F]
 * @throws RangeError for fewer classes or features
 * @example
 *   simplexEtf(3, 2); // three vectors 120 degrees apart
 * Source: Papyan, Han, Donoho, "Prevalence of neural collapse during the terminal phase of deep learning training", PNAS 2020, for the frame; coordinates: Helmert's.
 */
export function simplexEtf(classes: number, features: number): Tensor<"float32"> {
  checkInteger("simplexEtf", "classes", classes, 2, 65536);
  checkInteger("simplexEtf", "features", features, classes - 1, 2 ** 31);
  const out = new Float32Array(classes * features), scale = Math.sqrt(classes / (classes - 1));
  for (let j = 1; j < classes; j++) for (let i = 0; i <= j; i++) out[i * features + j - 1] = (scale * (i < j ? 1 : -j)) / Math.sqrt(j * (j + 1));
  return new Tensor("float32", [classes, features], out);
}

/**
 * Unit vectors of which every two are nearly at right angles: class vectors for more classes than features, made once and kept fixed.
 *
 *   minimise sum_{i != j} max(0, |cos(v[i], v[j])| - maxCosine)^2 until it is 0
 *
 * @param classes - C >= 2
 * @param features - F >= 2
 * @param random - where the start comes from
 * @param options - `maxCosine` alpha, above the Welch bound sqrt((C - F) / (F (C - 1))), which is the default times 2 (0.05 for C <= F); `steps`, at most 1000
 * @returns float32 [C, F], |cos| at most `maxCosine` within 1e-6
 * @throws RangeError for a `maxCosine` below the bound; ConvergenceError where `steps` do not reach it, with the largest |cos| in its message and as `gradientNorm`
 * @example
 *   equiangularBasisVectors(20, 16, randomSource(1)); // 20 classes in 16 dimensions
 * Source: Shen, Sun, Wei, "Equiangular Basis Vectors", CVPR 2023, eq. 4.
 */
export function equiangularBasisVectors(classes: number, features: number, random: RandomSource, options: { readonly maxCosine?: number; readonly steps?: number } = {}): Tensor<"float32"> {
  const where = "equiangularBasisVectors";
  checkInteger(where, "classes", classes, 2, 65536);
  checkInteger(where, "features", features, 2, 65536);
  const bound = classes > features ? Math.sqrt((classes - features) / (features * (classes - 1))) : 0, { maxCosine = Math.max(0.05, 2 * bound), steps = 1000 } = options;
  if (!(maxCosine >= bound && maxCosine <= 1)) throw rangeError(where, "maxCosine", `in [${bound.toFixed(4)}, 1], from the Welch bound`, `${maxCosine}`);
  const v = Float32Array.from({ length: classes * features }, () => sampleNormal(random));
  let most = 1;
  for (let step = 0; step < steps; step++) {
    most = 0;
    const { left } = similarityPass({ data: v }, undefined, features, "cosine", (i, row) => {
      for (let j = 0; j < classes; j++) {
        const size = Math.abs(row[j]);
        if (j !== i) most = Math.max(most, size);
        row[j] = j === i || size <= maxCosine ? 0 : Math.sign(row[j]) * (size - 0.98 * maxCosine);
      }
    }, true)!;
    for (let i = 0; i < classes; i++) {
      let square = 0;
      for (let k = i * features; k < (i + 1) * features; k++) {
        if (most > maxCosine + 1e-6) v[k] -= 0.25 * left[k];
        square += v[k] * v[k];
      }
      for (let k = i * features, scale = 1 / Math.sqrt(square); k < (i + 1) * features; k++) v[k] *= scale;
    }
    if (most <= maxCosine + 1e-6) return new Tensor("float32", [classes, features], v);
  }
  throw new ConvergenceError(`${where}: expected cosines of at most ${maxCosine}, got ${most.toFixed(4)} after ${steps} steps. Allow a larger \`maxCosine\` or more \`steps\`.`, steps, most);
}

import type { Tensor } from "@logits/tensor";
import { cholesky } from "./cholesky.ts";
import { solveTriangular } from "./solveTriangular.ts";

/** Made positive definite by its diagonal. */
function positive({ data, shape }: Tensor<"float32">): Float64Array {
  const a = Float64Array.from(data);
  for (let i = 0; i < shape[0]; i++) a[i * (shape[0] + 1)] = 20 * shape[0];
  return a;
}

/** Factor and inverse factor of a covariance; making the matrix is part of it. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [64, 512, 1024].flatMap((size) => [
  {
    name: `factor ${size}`, rows: size, cols: size,
    run: (x) => cholesky(positive(x)),
  },
  {
    name: `factor and inverse ${size}`, rows: size, cols: size,
    run: (x) => {
      const factor = positive(x), inverse = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
      cholesky(factor);
      solveTriangular(factor, inverse);
      return inverse;
    },
  },
]);

import { sigmoid } from "@logits/statistics";
import { asMask, defineLoss, rangeError, scoreRows, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { softmaxRows } from "../logSoftmaxRow.ts";
import { targetRows } from "../targetRows.ts";

/**
 * Boundary loss: probability times distance from the boundary, so that a pixel costs the more the further out it lies. Beside a loss of regions.
 *
 *   loss[i] = sum_c distances[i, c] p[i, c]   one value for each pixel;   p = softmax over the classes, of one class the sigmoid
 *
 * @param logits - float32 [B, C] or [B, ..., C], [B, C, H, W] with `axis` 1
 * @param distances - float32, the same shape: below 0 inside the region, from `signedDistance`; 0 for classes that do not count
 * @param options - those of every loss, `axis`
 * @returns float32 of the shape without the axis ("none") or []; negative where the prediction lies inside. `withGrad`: `grad`
 * @throws RangeError for shapes that differ or fewer than two axes
 * @example
 *   boundaryLoss([[0], [0]], [[-1], [3]]); // (-0.5 + 1.5) / 2
 * Source: Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, equation 5.
 */
export const boundaryLoss: Loss<[logits: TensorLike, distances: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("boundaryLoss", 2, (where, [logits, distances]: [TensorLike, TensorLike], options: RowLossOptions) => {
  const rows = scoreRows(where, "logits", logits, options), { classes, weights, z } = rows, d = targetRows(where, "distances", distances, rows, options).z.data;
  const p = classes === 1 ? Float64Array.from(z.data, sigmoid) : softmaxRows(z.data, classes);
  return {
    shape: rows.shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows.rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let r = 0; r < rows.rows; r++) {
        if (weights?.[r] === 0) continue;
        for (let i = r * classes; i < (r + 1) * classes; i++) values[r] += d[i] * p[i];
        if (coefficients) for (let i = r * classes; i < (r + 1) * classes; i++) grad[i] = coefficients[r] * p[i] * (classes === 1 ? d[i] * (1 - p[i]) : d[i] - values[r]);
      }
      return { values, gradients: () => ({ grad: rows.gradient(grad) }) };
    },
  };
});

/**
 * Euclidean distance of every pixel from the boundary of a mask, below 0 inside: outside the distance to the nearest pixel of the mask, inside minus that to the nearest pixel out of it, plus 1.
 *
 * @param masks - uint8 [H, W] or [..., H, W], 0 and 1
 * @returns float32 of that shape, in pixels; all 0 for a mask without a pixel or without a pixel outside
 * @throws RangeError for fewer than two axes or values other than 0 and 1
 * @example
 *   signedDistance([[0, 0, 1]]); // 2, 1, 0
 * Source: Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012; the convention is that of Kervadec et al.
 */
export function signedDistance(masks: TensorLike): Tensor<"float32"> {
  const { shape, data } = asMask("signedDistance", "masks", masks), [height, width] = shape.slice(-2), size = height * width, out = new Float32Array(data.length);
  if (shape.length < 2) throw rangeError("signedDistance", "masks", "of shape [..., H, W]", `[${shape.join(", ")}]`);
  for (let at = 0; at < data.length; at += size) {
    const mask = data.subarray(at, at + size);
    if (mask.every((x) => x === mask[0])) continue;
    const [outside, inside] = [1, 0].map((on) => squaredDistances(Float64Array.from(mask, (x) => (x === on ? 0 : Infinity)), height, width));
    mask.forEach((x, i) => (out[at + i] = x === 1 ? 1 - Math.sqrt(inside[i]) : Math.sqrt(outside[i])));
  }
  return new Tensor("float32", shape, out);
}

/** Squared distances to the zeros: along the columns, then along the rows. */
function squaredDistances(f: Float64Array, height: number, width: number): Float64Array {
  for (let x = 0; x < width; x++) lowerEnvelope(f, x, height, width);
  for (let y = 0; y < height; y++) lowerEnvelope(f, y * width, width, 1);
  return f;
}

/** min_j (i - j)^2 + f[j] of one line, in place: the lower envelope of parabolas. */
function lowerEnvelope(f: Float64Array, start: number, n: number, step: number): void {
  const values = Float64Array.from({ length: n }, (_, i) => f[start + i * step]), centers: number[] = [], from: number[] = [];
  for (let j = 0; j < n; j++) {
    if (values[j] === Infinity) continue;
    let cross = -Infinity;
    while (centers.length > 0) {
      const k = centers[centers.length - 1];
      cross = (values[j] + j * j - values[k] - k * k) / (2 * (j - k));
      if (cross > from[from.length - 1]) break;
      centers.pop();
      from.pop();
      cross = -Infinity;
    }
    centers.push(j);
    from.push(cross);
  }
  for (let i = 0, k = 0; i < n && centers.length > 0; i++) {
    while (k + 1 < centers.length && from[k + 1] < i) k++;
    f[start + i * step] = (i - centers[k]) ** 2 + values[centers[k]];
  }
}

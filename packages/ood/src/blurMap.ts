import { exp } from "@logits/statistics";
import { Tensor, checkInteger, checkPositive, rangeError, type TensorLike } from "@logits/tensor";
import { mapsOf } from "./mapShape.ts";

/** Options of `blurMap`. */
export interface BlurMapOptions {
  /** Standard deviation in elements, > 0. */
  readonly sigma: number;
  /** Elements on each side, an integer >= 0. Default: 4 sigma, rounded. */
  readonly radius?: number;
  /** What lies outside: the map mirrored at its edge ("reflect", the default: the outermost element twice), or 0 ("zero"). */
  readonly edge?: "reflect" | "zero";
}

/**
 * A map smoothed by a Gaussian, so that one noisy patch is no anomaly.
 *
 *   out[i, j] = sum_{a, b = -r..r} g_a g_b map[i + a, j + b],    g_a = exp(-a^2 / (2 sigma^2)) / sum_b exp(-b^2 / (2 sigma^2))
 *
 * As scipy's `gaussian_filter` with its defaults; Dinomaly uses sigma 4, radius 2 and edge "zero". Float64 inside.
 *
 * @param map - float32 [..., H, W]
 * @param options - `sigma`, `radius` (4 sigma), `edge` ("reflect")
 * @returns float32 [..., H, W]. NaN and infinities reach `radius` elements far
 * @throws RangeError for fewer than two axes, an axis of length 0, an option out of range
 * @example
 *   blurMap([[0, 0, 1, 0, 0]], { sigma: 1, radius: 1 }); // [[0, 0.2741, 0.4519, 0.2741, 0]]
 * Source: folklore.
 */
export function blurMap(map: TensorLike, options: BlurMapOptions): Tensor<"float32"> {
  const where = "blurMap", { x, count, height, width } = mapsOf(where, map), { sigma, edge = "reflect" } = options;
  checkPositive(where, "sigma", sigma);
  const { radius = Math.round(4 * sigma) } = options;
  checkInteger(where, "radius", radius, 0, 65536);
  if (edge !== "reflect" && edge !== "zero") throw rangeError(where, "edge", '"reflect" or "zero"', `${edge as string}`);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) => exp(-((i - radius) ** 2) / (2 * sigma * sigma))), total = kernel.reduce((a, b) => a + b, 0);
  for (let i = 0; i < kernel.length; i++) kernel[i] /= total;
  const out = new Float32Array(x.size), along = new Float64Array(height * width);
  const columns = places(width, radius, edge), rows = places(height, radius, edge);
  for (let n = 0; n < count; n++) {
    const from = n * height * width;
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) along[i * width + j] = weighted(kernel, columns[j], (at) => x.data[from + i * width + at]);
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) out[from + i * width + j] = weighted(kernel, rows[i], (at) => along[at * width + j]);
  }
  return new Tensor("float32", x.shape, out);
}

/** Where each tap of each element reads; -1 for nothing. */
function places(length: number, radius: number, edge: "reflect" | "zero"): Int32Array[] {
  return Array.from({ length }, (_, i) =>
    Int32Array.from({ length: 2 * radius + 1 }, (__, a) => {
      const at = i + a - radius;
      if (at >= 0 && at < length) return at;
      if (edge === "zero") return -1;
      const folded = ((at % (2 * length)) + 2 * length) % (2 * length);
      return folded < length ? folded : 2 * length - 1 - folded;
    }));
}

function weighted(kernel: Float64Array, places: Int32Array, value: (at: number) => number): number {
  let sum = 0;
  for (let a = 0; a < kernel.length; a++) if (places[a] >= 0 && kernel[a] > 0) sum += kernel[a] * value(places[a]);
  return sum;
}

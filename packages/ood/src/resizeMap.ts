import { Tensor, checkInteger, describe, typeError, type TensorLike } from "@logits/tensor";
import { mapsOf } from "./mapShape.ts";

/** Options of `resizeMap`. */
export interface ResizeMapOptions {
  /** Whether the centres of the corner elements lie on each other, else the edges of the pictures do. Default false. */
  readonly alignCorners?: boolean;
}

/**
 * A map in another size, by bilinear interpolation: from patches to pixels.
 *
 *   position of row i of H2 in the map of H rows = (i + 1/2) H / H2 - 1/2, not below 0        alignCorners: i (H - 1) / (H2 - 1), 0 where H2 = 1
 *
 * As torch's `interpolate(mode="bilinear")`, which does not average when a map shrinks.
 *
 * @param map - float32 [..., H, W]
 * @param size - H2 and W2, integers >= 1
 * @param options - `alignCorners` (false)
 * @returns float32 [..., H2, W2]. NaN and infinities reach as far as their weights do; an element of weight 0 does not count
 * @throws RangeError for fewer than two axes, an axis of length 0, a size below 1
 * @example
 *   resizeMap([[0, 1]], [1, 4]); // [[0, 0.25, 0.75, 1]]
 * Source: folklore.
 */
export function resizeMap(map: TensorLike, size: readonly [height: number, width: number], options: ResizeMapOptions = {}): Tensor<"float32"> {
  const where = "resizeMap", { x, lead, count, height, width } = mapsOf(where, map), [tall, wide] = size, { alignCorners = false } = options;
  checkInteger(where, "size[0]", tall, 1, 2 ** 24);
  checkInteger(where, "size[1]", wide, 1, 2 ** 24);
  if (typeof alignCorners !== "boolean") throw typeError(where, "alignCorners", "true or false", describe(alignCorners));
  const rows = taps(height, tall, alignCorners), columns = taps(width, wide, alignCorners), out = new Float32Array(count * tall * wide);
  for (let n = 0, at = 0; n < count; n++) {
    for (const [top, bottom, down] of rows) {
      const a = (n * height + top) * width, b = (n * height + bottom) * width;
      for (const [left, right, along] of columns) {
        const upper = mix(x.data[a + left], x.data[a + right], along), lower = down === 0 ? upper : mix(x.data[b + left], x.data[b + right], along);
        out[at++] = mix(upper, lower, down);
      }
    }
  }
  return new Tensor("float32", [...lead, tall, wide], out);
}

function mix(a: number, b: number, share: number): number {
  return share === 0 ? a : (1 - share) * a + share * b;
}

/** For each element of the new axis the two of the old one that it lies between, and the share of the second. */
function taps(from: number, to: number, alignCorners: boolean): [number, number, number][] {
  return Array.from({ length: to }, (_, i) => {
    const position = Math.max(0, alignCorners ? (to === 1 ? 0 : (i * (from - 1)) / (to - 1)) : ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(from - 1, Math.floor(position));
    return [low, Math.min(from - 1, low + 1), low === from - 1 ? 0 : position - low];
  });
}

import { Tensor, asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `connectedComponents`. */
export interface ConnectedComponentsOptions {
  /** 4: neighbours share an edge; 8 (the default): or a corner. */
  readonly connectivity?: 4 | 8;
}

/** One connected region; rows [top, bottom), columns [left, right). */
export interface Region {
  /** Elements. */
  readonly area: number;
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** Regions of a mask. */
export interface ConnectedComponents {
  /** int32 [H, W]: 0 outside, k for an element of `regions[k - 1]`. */
  readonly labels: Tensor<"int32">;
  /** In the order of their first elements, row by row. */
  readonly regions: readonly Region[];
}

/**
 * The connected regions of a mask.
 *
 * @param mask - uint8 [H, W], 1 = belongs to a region
 * @param options - `connectivity` (8)
 * @throws RangeError for another shape, a mask of other numbers than 0 and 1, another `connectivity`
 * @example
 *   connectedComponents([[1, 0, 1], [0, 1, 0]], { connectivity: 4 }).regions.length; // 3; with 8: 1
 * Source: Rosenfeld and Pfaltz, "Sequential Operations in Digital Picture Processing", Journal of the ACM 13 (1966); here by flooding.
 */
export function connectedComponents(mask: TensorLike, options: ConnectedComponentsOptions = {}): ConnectedComponents {
  const where = "connectedComponents", { connectivity = 8 } = options, m = asMask(where, "mask", mask);
  checkShape(where, "mask", m, ["H", "W"]);
  if (connectivity !== 4 && connectivity !== 8) throw rangeError(where, "connectivity", "4 or 8", `${connectivity as number}`);
  const [height, width] = m.shape, labels = new Int32Array(m.size), queue = new Int32Array(m.size), regions: Region[] = [];
  for (let start = 0; start < m.size; start++) {
    if (m.data[start] === 0 || labels[start] !== 0) continue;
    const label = regions.length + 1;
    let area = 0, length = 1, top = height, left = width, bottom = 0, right = 0;
    queue[0] = start;
    labels[start] = label;
    for (; area < length; area++) {
      const at = queue[area], i = Math.floor(at / width), j = at - i * width;
      [top, left, bottom, right] = [Math.min(top, i), Math.min(left, j), Math.max(bottom, i + 1), Math.max(right, j + 1)];
      for (let a = Math.max(0, i - 1); a <= Math.min(height - 1, i + 1); a++) {
        for (let b = Math.max(0, j - 1); b <= Math.min(width - 1, j + 1); b++) {
          const next = a * width + b;
          if (m.data[next] === 0 || labels[next] !== 0 || (connectivity === 4 && a !== i && b !== j)) continue;
          labels[next] = label;
          queue[length++] = next;
        }
      }
    }
    regions.push({ area, top, left, bottom, right });
  }
  return { labels: new Tensor("int32", [height, width], labels), regions };
}

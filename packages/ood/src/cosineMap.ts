import { nearestNeighbors } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { unitRows } from "./unitRows.ts";

/** What patches are compared with: one of the two. */
export interface CosineMapReference {
  /** float32 [M, F], patches of normal pictures: each patch is compared with the one nearest to it in direction. */
  readonly bank?: TensorLike;
  /** float32 [..., H, W, F], of the same shape: each patch is compared with its counterpart, as that of a decoder or a student. */
  readonly counterpart?: TensorLike;
}

/**
 * How far the direction of each patch's features is from what is normal. Higher = more anomalous.
 *
 *   map[h, w] = 1 - max_m cos(f[h, w], bank_m)        or        1 - cos(f[h, w], counterpart[h, w])
 *
 * In [0, 2]; computed as |u - v|^2 / 2 of the directions u, v, which keeps its digits where they nearly agree. A patch of zeros has no direction: 1. The same map in another metric, or with a subspace: `score` of any detector
 * of features, which takes [..., H, W, F] and gives [..., H, W] (`ResidualDetector` for the part outside the principal directions).
 *
 * @param features - float32 [..., H, W, F]
 * @param reference - `bank` or `counterpart`
 * @returns float32 [..., H, W]. A patch with NaN or an infinity: NaN; so is one whose counterpart has any. Patches of the bank that have any are nobody's neighbour, and where all have the map is NaN
 * @throws RangeError for shapes that do not fit, no patches in the bank; TypeError for none or both of the two
 * @example
 *   cosineMap([[[1, 0], [0, 3]]], { bank: [[2, 0]] }); // [[0, 1]]
 * Source: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022, equation 1 (counterpart); Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022 (bank).
 */
export function cosineMap(features: TensorLike, reference: CosineMapReference): Tensor<"float32"> {
  const where = "cosineMap", x = asFloat32(where, "features", features), width = x.shape[x.shape.length - 1];
  if (x.shape.length < 3 || width === 0) throw rangeError(where, "features", "of shape [..., H, W, F], F >= 1", `[${x.shape.join(", ")}]`);
  const { bank, counterpart } = reference, count = x.size / width, shape = x.shape.slice(0, -1), u = unitRows(x.data, width);
  if ((bank === undefined) === (counterpart === undefined)) throw typeError(where, "reference", "`bank` or `counterpart`", bank === undefined ? "neither" : "both");
  const map = new Float32Array(count);
  if (bank !== undefined) {
    const b = asFloat32(where, "bank", bank);
    checkShape(where, "bank", b, ["M", "F"]);
    if (b.shape[0] === 0 || b.shape[1] !== width) throw rangeError(where, "bank", `of shape [M, ${width}], M >= 1`, `[${b.shape.join(", ")}]`);
    if (count === 0) return new Tensor("float32", shape, map);
    // A patch of the bank without a direction has cosine 0 with all: it is last, not at |u|^2 / 2.
    const rows = [...Array(b.shape[0]).keys()].filter((m) => !zero(b.data, m * width, width)), none = rows.length < b.shape[0];
    if (rows.length === 0) return new Tensor("float32", shape, map.map((_, n) => (u[n * width] === u[n * width] ? 1 : NaN)));
    const directed = new Float32Array(rows.length * width);
    rows.forEach((m, i) => directed.set(b.data.subarray(m * width, (m + 1) * width), i * width));
    const { data } = nearestNeighbors({ data: u, shape: [count, width] }, { data: unitRows(directed, width), shape: [rows.length, width] }, 1).distances;
    for (let n = 0; n < count; n++) {
      const distance = data[n] < Infinity ? 0.5 * data[n] : NaN;
      map[n] = distance === distance && zero(x.data, n * width, width) ? 1 : none ? Math.min(1, distance) : distance;
    }
    return new Tensor("float32", shape, map);
  }
  const y = asFloat32(where, "counterpart", counterpart!);
  checkShape(where, "counterpart", y, x.shape);
  const v = unitRows(y.data, width);
  for (let n = 0, from = 0; n < count; n++, from += width) {
    let sum = 0;
    for (let i = from; i < from + width; i++) sum += (u[i] - v[i]) ** 2;
    map[n] = sum === sum && (zero(x.data, from, width) || zero(y.data, from, width)) ? 1 : 0.5 * sum;
  }
  return new Tensor("float32", shape, map);
}

function zero(x: Float32Array, from: number, width: number): boolean {
  for (let i = from; i < from + width; i++) if (x[i] !== 0) return false;
  return true;
}

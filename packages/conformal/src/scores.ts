import { softmax } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, philox, rangeError, type TensorLike } from "@logits/tensor";

/** Checked logits of a batch. */
export interface Batch {
  /** float32, [N, C] row-major. */
  readonly logits: Float32Array;
  readonly rows: number;
  readonly classes: number;
}

const MOST_CLASSES = 4194304;

/** Checks the shape [N, C]. */
export function batchOf(where: string, logits: TensorLike): Batch {
  const z = asFloat32(where, "logits", logits);
  checkShape(where, "logits", z, ["N", "C"]);
  const [rows, classes] = z.shape;
  if (classes === 0 || classes > MOST_CLASSES) throw rangeError(where, "logits", `of 1 to ${MOST_CLASSES} classes`, `shape [${rows}, ${classes}]`);
  return { logits: z.data, rows, classes };
}

/** softmax of the rows [from, to); a row without a distribution is an error that names it. */
export function probabilitiesOf(where: string, { logits, classes }: Batch, from: number, to: number): Float32Array {
  const p = softmaxByRow(logits.subarray(from * classes, to * classes), to - from, classes);
  // A row has a distribution or is NaN throughout.
  for (let n = from, at = 0; n < to; n++, at += classes) {
    if (p[at] !== p[at]) throw rangeError(where, "logits", "with finite or -Infinity scores and a finite one in each row", `row ${n} without a distribution (NaN, +Infinity or only -Infinity)`);
  }
  return p;
}

/**
 * softmax whose rows do not depend on their place in the batch: the kernel takes narrow rows four at a time and rounds a remainder of one to three
 * differently, so a remainder is filled up to four. A row's set is then the same alone and in any batch.
 */
function softmaxByRow(z: Float32Array, rows: number, classes: number): Float32Array {
  const out = new Tensor("float32", [rows, classes], new Float32Array(rows * classes));
  const whole = rows & ~3, at = whole * classes;
  if (whole > 0) softmax(new Tensor("float32", [whole, classes], z.subarray(0, at)), { out: new Tensor("float32", [whole, classes], out.data.subarray(0, at)) });
  if (whole < rows) {
    const four = new Float32Array(4 * classes);
    four.set(z.subarray(at));
    out.data.set(softmax(new Tensor("float32", [4, classes], four)).data.subarray(0, (rows - whole) * classes), at);
  }
  return out.data;
}

/** Nonconformity of LAC: 1 - p_c, rounded to float32, at the fit and at prediction alike. */
export function lacScore(p: number): number {
  return Math.fround(1 - p);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const words = new Uint32Array(4);

/** Orders one row by (p descending, class index ascending) into `order`. `keys` is scratch; both of length C. */
export function descending(p: Float32Array, start: number, keys: Float64Array, order: Int32Array): void {
  const classes = keys.length;
  // The bits of a float32 >= 0 order like the number; below them the index, so that a numeric sort without a comparator does.
  for (let c = 0; c < classes; c++) {
    float[0] = p[start + c] + 0;
    keys[c] = bits[0] * MOST_CLASSES + (MOST_CLASSES - 1 - c);
  }
  keys.sort();
  for (let r = 0; r < classes; r++) order[r] = MOST_CLASSES - 1 - (keys[classes - 1 - r] % MOST_CLASSES);
}

/** Nonconformity of APS: (sum of the probabilities before the class) + (1 - u) p_c, rounded to float32. */
export function apsScore(before: number, p: number, u: number): number {
  return Math.fround(before + (1 - u) * p);
}

/** Uniform on (0, 1) from a counter: the same for the same seed, stream and row id in every engine. */
export function uniformOf(seed: number, stream: 0 | 1, id: number): number {
  philox(words, seed >>> 0, Math.floor(seed / 4294967296) >>> 0, id >>> 0, Math.floor(id / 4294967296), stream, 0);
  return ((words[0] >>> 6) * 67108864 + (words[1] >>> 6) + 0.5) / 4503599627370496;
}

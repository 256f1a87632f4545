import { symmetricEigen } from "@logits/core-wasm";
import { asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { LinearHead } from "./linearHead.ts";

/** Eigenvalues of W W' below this share of the largest are 0: float32 weights hold no more. */
const NOTHING = 1e-10;

/** Where the origin of the features is. */
export interface OriginOptions {
  /** The classifier's last layer: `weights` float32 [F, C], `bias` float32 [C]. */
  readonly head?: LinearHead;
  /** o, float32 [F], instead of the head's. Default without either: the mean of the rows. */
  readonly origin?: TensorLike;
}

/** D, checked, or the default of ViM's authors. */
export function checkDimension(where: string, asked: number | undefined, features: number, least: number): number {
  const dimension = asked ?? (features >= 2048 ? 1000 : features >= 768 ? 512 : Math.floor(features / 2));
  checkInteger(where, "dimension", dimension, least, features - 1);
  return dimension;
}

/** -pinv(W) b of the head, the origin that was given, or undefined for the mean of the rows. */
export function originOf(where: string, options: OriginOptions, features: number): Float32Array | undefined {
  const { head, origin } = options;
  const vector = (argument: string, x: TensorLike, length: number, letter: string): Float32Array => {
    const { data, shape } = asFloat32(where, argument, x);
    if (shape.length !== 1 || shape[0] !== length) throw rangeError(where, argument, `of shape [${letter}] = [${length}]`, `[${shape.join(", ")}]`);
    const bad = data.findIndex((value) => value - value !== 0);
    if (bad >= 0) throw rangeError(where, argument, "of finite numbers", `${data[bad]} at index ${bad}`);
    return data;
  };
  if (origin !== undefined) {
    if (head !== undefined) throw rangeError(where, "origin", "nothing beside `head`", "one");
    return vector("origin", origin, features, "F").slice();
  }
  if (head === undefined) return undefined;
  const w = asFloat32(where, "weights", head.weights);
  checkShape(where, "weights", w, ["F", "C"]);
  const [width, classes] = w.shape;
  if (classes === 0 || width !== features) throw rangeError(where, "weights", `of shape [${features}, C], C >= 1`, `[${width}, ${classes}]`);
  const bad = w.data.findIndex((value) => value - value !== 0);
  if (bad >= 0) throw rangeError(where, "weights", "of finite numbers", `${w.data[bad]} in row ${Math.floor(bad / classes)}, column ${bad % classes}`);
  return headOrigin(w.data, vector("bias", head.bias ?? new Float32Array(classes), classes, "C"), classes, features);
}

/** -pinv(W) b, logits = W f + b, through the smaller of W W' and W' W; w holds W'. */
function headOrigin(w: Float32Array, b: Float32Array, classes: number, features: number): Float32Array {
  const wide = classes <= features, size = wide ? classes : features, gram = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      if (wide) for (let k = 0; k < features; k++) sum += w[k * classes + i] * w[k * classes + j];
      else for (let k = 0; k < classes; k++) sum += w[i * classes + k] * w[j * classes + k];
      gram[i * size + j] = sum;
    }
  }
  const right = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    if (wide) right[i] = b[i];
    else for (let k = 0; k < classes; k++) right[i] += w[i * classes + k] * b[k];
  }
  const solved = pseudoSolve(gram, right, size), out = new Float64Array(features);
  for (let j = 0; j < features; j++) {
    if (wide) for (let k = 0; k < classes; k++) out[j] -= w[j * classes + k] * solved[k];
    else out[j] = -solved[j];
  }
  return Float32Array.from(out);
}

/** pinv(A) y of a symmetric matrix without negative eigenvalues. */
function pseudoSolve(a: Float64Array, y: Float64Array, n: number): Float64Array {
  const { values, vectors } = symmetricEigen(a), out = new Float64Array(n);
  for (let i = 0; i < n && values[i] > NOTHING * values[0]; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += vectors[i * n + j] * y[j];
    for (let j = 0; j < n; j++) out[j] += (sum / values[i]) * vectors[i * n + j];
  }
  return out;
}

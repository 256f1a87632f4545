import { exp as expRows, matmul } from "@logits/core-wasm";
import { exp } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** How SOFT inverts the kernel of the landmarks. */
export interface SoftmaxFreeAttentionOptions {
  /** Steps of the Newton-Raphson iteration, in float64; it ends before where nothing changes any more. Default 20. */
  readonly iterations?: number;
  /** Added to the diagonal of the landmarks' kernel before it is inverted. Default 0.01. */
  readonly ridge?: number;
  /** SOFT++: the inverse between D^-1/2 and D^-1/2, D the sums of the rows of the landmarks' kernel. Default false. */
  readonly symmetric?: boolean;
}

/** What softmaxFreeAttention returns. */
export interface SoftmaxFreeAttentionOutput {
  /** float32 [B, H, T, E]; as many axes as the tokens have. */
  readonly output: Tensor<"float32">;
  /** float32 [B, H]: the largest element of |A X - I| that the iteration left. Far from 0, the result depends on `iterations`, and the gradient, which takes the inverse for exact, is off. */
  readonly residual: Tensor<"float32">;
}

/** Options of softmaxFreeAttention.withGrad. */
export interface SoftmaxFreeAttentionGradientOptions extends SoftmaxFreeAttentionOptions {
  /** Gradient of the loss in the output, float32, of its shape. */
  readonly upstream: TensorLike;
}

/** What softmaxFreeAttention.withGrad returns. */
export interface SoftmaxFreeAttentionWithGrad extends SoftmaxFreeAttentionOutput {
  readonly grads: { readonly tokens: Tensor<"float32">; readonly value: Tensor<"float32">; readonly landmarks: Tensor<"float32"> };
}

/** y = a b for squares of side m. */
function times(a: Float64Array, b: Float64Array, m: number): Float64Array {
  const y = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < m; k++) {
      const x = a[i * m + k];
      for (let j = 0; j < m; j++) y[i * m + j] += x * b[k * m + j];
    }
  }
  return y;
}

/**
 * X[k + 1] = 2 X[k] - X[k] A X[k] from 1.8 A / |A|_1^2, for a symmetric A, as the authors' code starts. The paper's 2 A / |A|_1^2 ends at 0 in the direction of the largest eigenvalue where all rows have the same sum.
 */
function newtonInverse(a: Float64Array, m: number, iterations: number): { readonly inverse: Float64Array; readonly residual: number } {
  let norm = 0, last = Infinity;
  for (let i = 0; i < m; i++) norm = Math.max(norm, a.subarray(i * m, (i + 1) * m).reduce((sum, x) => sum + Math.abs(x), 0));
  let inverse: Float64Array = a.map((x) => (1.8 * x) / (norm * norm));
  for (let k = 0; ; k++) {
    const near = times(a, inverse, m);
    let residual = 0;
    for (let at = 0; at < near.length; at++) {
      const off = Math.abs(near[at] - (at % (m + 1) === 0 ? 1 : 0));
      residual = off > residual || off !== off ? off : residual;
    }
    // Quadratic convergence ends where rounding starts: the residual grows again.
    if (k === iterations || (residual < 1e-6 && residual >= last / 2)) return { inverse, residual };
    last = residual;
    const next = times(inverse, near, m);
    inverse = inverse.map((x, at) => 2 * x - next[at]);
  }
}

interface Call {
  readonly items: number;
  readonly tokens: number;
  readonly marks: number;
  readonly features: number;
  readonly width: number;
  readonly query: Tensor<"float32">;
  readonly value: Tensor<"float32">;
  readonly landmarks: Tensor<"float32">;
  readonly iterations: number;
  readonly ridge: number;
  readonly symmetric: boolean;
}

function prepare(where: string, tokens: TensorLike, value: TensorLike, landmarks: TensorLike, { iterations = 20, ridge = 0.01, symmetric = false }: SoftmaxFreeAttentionOptions): Call {
  const query = asFloat32(where, "tokens", tokens), v = asFloat32(where, "value", value), marks = asFloat32(where, "landmarks", landmarks), axes = query.shape.length;
  const same = (shape: readonly number[], count: number): boolean => shape.length === axes && query.shape.slice(0, count).every((size, axis) => size === shape[axis]);
  if (axes < 2 || axes > 4 || query.shape[axes - 1] < 1) throw rangeError(where, "tokens", "of shape [T, D], [H, T, D] or [B, H, T, D], D >= 1", `[${query.shape.join(", ")}]`);
  if (!same(v.shape, axes - 1) || v.shape[axes - 1] < 1) throw rangeError(where, "value", `of shape [${[...query.shape.slice(0, -1), "E"].join(", ")}]`, `[${v.shape.join(", ")}]`);
  if (!same(marks.shape, axes - 2) || marks.shape[axes - 1] !== query.shape[axes - 1] || marks.shape[axes - 2] < 1) throw rangeError(where, "landmarks", `of shape [${[...query.shape.slice(0, -2), "M", query.shape[axes - 1]].join(", ")}], M >= 1`, `[${marks.shape.join(", ")}]`);
  checkInteger(where, "iterations", iterations, 1, 1000);
  if (!(ridge >= 0 && ridge < Infinity)) throw rangeError(where, "ridge", "a finite number from 0 on", `${ridge}`);
  return { items: query.shape.slice(0, -2).reduce((a, b) => a * b, 1), tokens: query.shape[axes - 2], marks: marks.shape[axes - 2], features: query.shape[axes - 1], width: v.shape[axes - 1], query, value: v, landmarks: marks, iterations, ridge, symmetric };
}

/** What one head has made. */
interface Head {
  /** Tokens and landmarks around the landmarks' mean. */
  readonly q: Tensor<"float32">;
  readonly l: Tensor<"float32">;
  readonly v: Tensor<"float32">;
  /** Kernel of tokens and landmarks [T, M] and among landmarks [M, M]. */
  readonly near: Tensor<"float32">;
  readonly among: Float64Array;
  readonly inverse: Float64Array;
  /** D^-1/2, or ones. */
  readonly sides: Float64Array;
  /** K' V [M, E], and the inverse with its sides times it. */
  readonly gathered: Tensor<"float32">;
  readonly spread: Tensor<"float32">;
  readonly residual: number;
}

const made = (shape: readonly number[], data: Float32Array): Tensor<"float32"> => new Tensor("float32", shape, data);
const squares = ({ data, shape: [rows, width] }: Tensor<"float32">): Float64Array => Float64Array.from({ length: rows }, (_, i) => data.subarray(i * width, (i + 1) * width).reduce((sum, x) => sum + x * x, 0));
/** Rows minus what all are near: distances stay, and their squares are no differences of large numbers. */
function around({ shape, data }: Tensor<"float32">, middle: Float64Array): Tensor<"float32"> {
  return made(shape, data.map((x, at) => x - middle[at % middle.length]));
}
const small = (x: Float64Array, m: number): Tensor<"float32"> => made([m, m], new Float32Array(x));

function head({ tokens, marks: m, features, width, query, value, landmarks, iterations, ridge, symmetric }: Call, item: number): Head {
  const part = (x: Tensor<"float32">, rows: number, size: number): Tensor<"float32"> => made([rows, size], x.data.slice(item * rows * size, (item + 1) * rows * size));
  const given = part(landmarks, m, features), middle = new Float64Array(features).map((_, f) => given.data.reduce((sum, x, at) => (at % features === f ? sum + x : sum), 0) / m);
  const q = around(part(query, tokens, features), middle), v = part(value, tokens, width), l = around(given, middle), by = -1 / (2 * Math.sqrt(features));
  const near = matmul(q, l, { transposeB: true }), ofTokens = squares(q), ofMarks = squares(l), { data } = near;
  for (let i = 0, at = 0; i < tokens; i++) for (let j = 0; j < m; j++, at++) data[at] = by * Math.max(0, ofTokens[i] + ofMarks[j] - 2 * data[at]);
  expRows(near, { out: near });
  const among = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let f = 0; f < features; f++) {
        const apart = l.data[i * features + f] - l.data[j * features + f];
        sum += apart * apart;
      }
      among[i * m + j] = among[j * m + i] = exp(by * sum);
    }
  }
  const { inverse, residual } = newtonInverse(among.map((x, at) => (at % (m + 1) === 0 ? x + ridge : x)), m, iterations);
  const sides = new Float64Array(m).fill(1);
  if (symmetric) for (let i = 0; i < m; i++) sides[i] = 1 / Math.sqrt(among.subarray(i * m, (i + 1) * m).reduce((sum, x) => sum + x, 0));
  const gathered = tokens > 0 ? matmul(near, v, { transposeA: true }) : made([m, width], new Float32Array(m * width));
  return { q, v, l, near, among, inverse, sides, gathered, spread: matmul(small(sided(inverse, sides, m), m), gathered), residual };
}

const sided = (x: Float64Array, sides: Float64Array, m: number): Float64Array => x.map((value, at) => value * sides[Math.floor(at / m)] * sides[at % m]);

function forward(tokens: TensorLike, value: TensorLike, landmarks: TensorLike, options: SoftmaxFreeAttentionOptions = {}): SoftmaxFreeAttentionOutput {
  return results(prepare("softmaxFreeAttention", tokens, value, landmarks, options), () => undefined);
}

/** Results of all heads; each is shown to `then`. */
function results(call: Call, then: (head: Head, item: number) => void): SoftmaxFreeAttentionOutput {
  const { items, tokens, width, query } = call, output = new Float32Array(items * tokens * width), residual = new Float32Array(items);
  for (let item = 0; item < items; item++) {
    const own = head(call, item);
    if (tokens > 0) output.set(matmul(own.near, own.spread).data, item * tokens * width);
    residual[item] = own.residual;
    then(own, item);
  }
  return { output: made([...query.shape.slice(0, -1), width], output), residual: made(query.shape.slice(0, -2), residual) };
}

function withGrad(tokens: TensorLike, value: TensorLike, landmarks: TensorLike, options: SoftmaxFreeAttentionGradientOptions): SoftmaxFreeAttentionWithGrad {
  const where = "softmaxFreeAttention.withGrad", call = prepare(where, tokens, value, landmarks, options), { tokens: rows, marks: m, features, width, query, symmetric } = call, up = asFloat32(where, "upstream", options.upstream), shape = [...query.shape.slice(0, -1), width];
  checkShape(where, "upstream", up, shape);
  const byQuery = new Float32Array(query.size), byValue = new Float32Array(call.value.size), byMarks = new Float32Array(call.landmarks.size), by = -1 / Math.sqrt(features);
  const out = results(call, ({ q, v, l, near, among, inverse, sides, gathered, spread }, item) => {
    if (rows === 0) return;
    const upstream = made([rows, width], up.data.slice(item * rows * width, (item + 1) * rows * width));
    const bySpread = matmul(near, upstream, { transposeA: true }), byNear = matmul(upstream, spread, { transposeB: true }), full = new Float64Array(matmul(bySpread, gathered, { transposeB: true }).data);
    const byGathered = matmul(small(sided(inverse, sides, m), m), bySpread), more = matmul(v, byGathered, { transposeB: true });
    byValue.set(matmul(near, byGathered).data, item * rows * width);
    // The inverse is not unrolled: dA = -X' dX X'.
    const byAmong = times(times(inverse, sided(full, sides, m), m), inverse, m).map((x) => -x);
    if (symmetric) {
      for (let i = 0; i < m; i++) {
        let bySide = 0;
        for (let j = 0; j < m; j++) bySide += (full[i * m + j] + full[j * m + i]) * inverse[i * m + j] * sides[j];
        for (let j = 0; j < m; j++) byAmong[i * m + j] -= 0.5 * sides[i] * sides[i] * sides[i] * bySide;
      }
    }
    // Gradient in the exponents, then in both ends of the distances.
    const toMarks = byNear, sums = new Float64Array(m), fromQuery = byQuery.subarray(item * rows * features, (item + 1) * rows * features), fromMarks = byMarks.subarray(item * m * features, (item + 1) * m * features);
    for (let at = 0; at < toMarks.size; at++) toMarks.data[at] = (toMarks.data[at] + more.data[at]) * near.data[at];
    const pulled = matmul(toMarks, l).data, pushed = matmul(toMarks, q, { transposeA: true }).data;
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let j = 0; j < m; j++) {
        sum += toMarks.data[i * m + j];
        sums[j] += toMarks.data[i * m + j];
      }
      for (let f = i * features; f < (i + 1) * features; f++) fromQuery[f] = by * (q.data[f] * sum - pulled[f]);
    }
    for (let i = 0; i < m; i++) {
      for (let f = 0; f < features; f++) {
        let sum = l.data[i * features + f] * sums[i] - pushed[i * features + f];
        for (let j = 0; j < m; j++) sum += (byAmong[i * m + j] + byAmong[j * m + i]) * among[i * m + j] * (l.data[i * features + f] - l.data[j * features + f]);
        fromMarks[i * features + f] = by * sum;
      }
    }
  });
  return { ...out, grads: { tokens: made(query.shape, byQuery), value: made(call.value.shape, byValue), landmarks: made(call.landmarks.shape, byMarks) } };
}

/**
 * SOFT: attention with a Gaussian kernel in place of the softmax of dot products, through a few landmarks (Nystrom), in time linear in T.
 *
 *   k(a, b) = exp(-|a - b|^2 / (2 sqrt(D))),   output = K X K' V,   K = k(tokens, landmarks),   X the inverse of A = k(landmarks, landmarks) + ridge I
 *
 * Queries and keys are the same tokens. X comes from Newton-Raphson, X <- 2 X - X A X from 1.8 A / |A|_1^2, in float64. With landmarks = tokens and no ridge the result is k(tokens, tokens) V. With `symmetric` X becomes
 * D^-1/2 X D^-1/2. The authors' gradient of the inverse is used, -X' dX X', that of the iterations' limit: exact where `residual` is near 0.
 *
 * @param tokens - float32 [B, H, T, D], or without B, or without B and H
 * @param value - float32 [B, H, T, E]
 * @param landmarks - float32 [B, H, M, D]: some of the tokens, or means over windows of them
 * @param options - iterations, ridge, symmetric
 * @returns output and residual. T = 0: empty. Landmarks that repeat make A singular where ridge is 0: see the residual. NaN in a head makes the head NaN
 * @throws RangeError for shapes that do not fit, M = 0, and options out of range
 * @example
 *   softmaxFreeAttention([[0], [1]], [[1], [0]], [[0], [1]], { ridge: 0 }).output.toArray(); // [[1], [exp(-1 / 2)]]
 * Source: Lu et al., "SOFT: Softmax-free Transformer with Linear Complexity", NeurIPS 2021, and "Softmax-free Linear Transformers", IJCV 2024; ridge and iterations as in their public code.
 */
export const softmaxFreeAttention: {
  (tokens: TensorLike, value: TensorLike, landmarks: TensorLike, options?: SoftmaxFreeAttentionOptions): SoftmaxFreeAttentionOutput;
  /** The same with gradients for tokens, value and landmarks. */
  withGrad(tokens: TensorLike, value: TensorLike, landmarks: TensorLike, options: SoftmaxFreeAttentionGradientOptions): SoftmaxFreeAttentionWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });

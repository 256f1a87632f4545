import { matmul } from "@logits/core-wasm";
import { log2, sigmoid } from "@logits/statistics";
import { Tensor, asFloat32, checkPositive, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** Weights of the network, as `nn.Linear` has them; A axes, F hidden units. */
export interface LogCpbParameters {
  /** float32 [F, A]. */
  readonly hiddenWeights: TensorLike;
  /** float32 [F]. */
  readonly hiddenBias: TensorLike;
  /** float32 [H, F]. */
  readonly outputWeights: TensorLike;
  /** float32 [H]. Default none, as in Swin v2. */
  readonly outputBias?: TensorLike;
}

/** Options of logCpb. */
export interface LogCpbOptions {
  /** Length of each axis in the training [A]: a difference of this much has the coordinate log(9) / log(8). Default what the queries span; 1 where that is 0. */
  readonly extent?: readonly number[];
  /** c: biases become c / (1 + exp(-x)). 16 in Swin v2; none in TransNeXt. Default none. */
  readonly bound?: number;
}

/** What logCpb returns. */
export interface LogCpb {
  /** float32 [H, T, S], for `bias` of attention. */
  readonly bias: Tensor<"float32">;
  /** Gradients of the parameters from that of the bias, `grads.bias` of attention.withGrad, [H, T, S]. */
  gradient(upstream: TensorLike): { readonly hiddenWeights: Tensor<"float32">; readonly hiddenBias: Tensor<"float32">; readonly outputWeights: Tensor<"float32">; readonly outputBias?: Tensor<"float32"> };
}

/** Numbers 0, 1, ... for different rows of differences, and the coordinates of each; axis by axis. */
function differences(queries: Tensor<"float32">, keys: Tensor<"float32">, extent: readonly number[]): { readonly index: Int32Array; readonly coordinates: Tensor<"float32"> } {
  const [length, axes] = queries.shape, [count] = keys.shape, index = new Int32Array(length * count);
  let rows: number[][] = [[]];
  for (let axis = 0; axis < axes; axis++) {
    // A difference together with what the axes before say.
    const seen = new Map<number, Map<number, number>>(), next: number[][] = [];
    for (let i = 0, at = 0; i < length; i++) {
      for (let j = 0; j < count; j++, at++) {
        const d = queries.data[i * axes + axis] - keys.data[j * axes + axis];
        let inner = seen.get(d);
        if (!inner) seen.set(d, (inner = new Map()));
        let id = inner.get(index[at]);
        if (id === undefined) {
          inner.set(index[at], (id = next.length));
          const x = (8 * d) / extent[axis];
          next.push([...rows[index[at]], (Math.sign(x) * log2(1 + Math.abs(x))) / 3]);
        }
        index[at] = id;
      }
    }
    rows = next;
  }
  return { index, coordinates: new Tensor("float32", [rows.length, axes], Float32Array.from(rows.flat())) };
}

/**
 * Log-spaced continuous position bias: a small network from the difference of two places to a bias for each head, so that a model of images runs at other resolutions than it was trained at.
 *
 *   bias[h, i, j] = outputWeights[h] . relu(hiddenWeights x + hiddenBias) + outputBias[h],   x[a] = sign(d) log2(1 + 8 |d|) / log2(8),   d = (queries[i, a] - keys[j, a]) / extent[a]
 *
 * Pairs with the same differences are computed once.
 *
 * @param parameters - the weights of the network
 * @param queries - float32 [T, A], places of the queries: rows and columns of an image, say
 * @param keys - float32 [S, A]: the same, or the centres of pooled regions
 * @param options - extent, bound
 * @returns `bias` and its gradient. T = 0 or S = 0: empty, gradients 0
 * @throws RangeError for shapes that do not fit, places that are not finite, and an extent or bound that is not above 0
 * @example
 *   const places = [[0, 0], [0, 1], [1, 0], [1, 1]];
 *   const { bias } = logCpb({ hiddenWeights: [[1, 0]], hiddenBias: [0], outputWeights: [[-1]] }, places, places); // rows further down look up less
 * Source: Liu et al., "Swin Transformer V2", CVPR 2022, section 3.3; Shi, "TransNeXt: Robust Foveal Visual Perception for Vision Transformers", CVPR 2024, and the authors' code.
 */
export function logCpb(parameters: LogCpbParameters, queries: TensorLike, keys: TensorLike, options: LogCpbOptions = {}): LogCpb {
  const where = "logCpb", { bound } = options, places = [["queries", queries], ["keys", keys]].map(([name, x]) => {
    const made = asFloat32(where, name as string, x as TensorLike);
    if (made.shape.length !== 2 || made.shape[1] < 1) throw rangeError(where, name as string, name === "keys" ? "of shape [S, A]" : "of shape [T, A]", `[${made.shape.join(", ")}]`);
    for (let i = 0; i < made.size; i++) if (!Number.isFinite(made.data[i])) throw rangeError(where, name as string, "finite", `${made.data[i]} at index ${i}`);
    return made;
  });
  const [from, to] = places, [length, axes] = from.shape, count = to.shape[0];
  if (to.shape[1] !== axes) throw rangeError(where, "keys", `of shape [S, ${axes}]`, `[${to.shape.join(", ")}]`);
  const shaped = (name: string, x: TensorLike, letters: string, ...shape: readonly (number | undefined)[]): Tensor<"float32"> => {
    const made = asFloat32(where, name, x);
    if (made.shape.length !== shape.length || made.shape.some((size, i) => size !== (shape[i] ?? Math.max(1, size)))) throw rangeError(where, name, `of shape [${shape.map((size, i) => size ?? letters[i]).join(", ")}]`, `[${made.shape.join(", ")}]`);
    return made;
  };
  const w1 = shaped("hiddenWeights", parameters.hiddenWeights, "FA", undefined, axes), hidden = w1.shape[0], b1 = lastingData(shaped("hiddenBias", parameters.hiddenBias, "F", hidden));
  const w2 = shaped("outputWeights", parameters.outputWeights, "HF", undefined, hidden), heads = w2.shape[0], b2 = parameters.outputBias === undefined ? undefined : lastingData(shaped("outputBias", parameters.outputBias, "H", heads));
  const extent = options.extent ?? Array.from({ length: axes }, (_, a) => spanOf(from, a));
  if (extent.length !== axes) throw rangeError(where, "extent", `of ${axes} numbers`, `${extent.length}`);
  for (const x of extent) checkPositive(where, "extent", x);
  if (bound !== undefined) checkPositive(where, "bound", bound);
  const { index, coordinates } = differences(from, to, extent), active = matmul(coordinates, w1, { transposeB: true });
  for (let at = 0; at < active.size; at++) active.data[at] = Math.max(0, active.data[at] + b1[at % hidden]);
  const table = matmul(active, w2, { transposeB: true }).data, bias = new Float32Array(heads * index.length);
  for (let at = 0; at < table.length; at++) {
    const x = table[at] + (b2 ? b2[at % heads] : 0);
    table[at] = bound === undefined ? x : bound * sigmoid(x);
  }
  for (let h = 0; h < heads; h++) for (let at = 0; at < index.length; at++) bias[h * index.length + at] = table[index[at] * heads + h];
  return {
    bias: new Tensor("float32", [heads, length, count], bias),
    gradient(upstream) {
      const { data } = shaped("upstream", upstream, "HTS", heads, length, count), sums = new Float64Array(table.length);
      for (let h = 0; h < heads; h++) for (let at = 0; at < index.length; at++) sums[index[at] * heads + h] += data[h * index.length + at];
      const ofOutput: Tensor<"float32"> = new Tensor("float32", [coordinates.shape[0], heads], Float32Array.from(sums, (x, at) => (bound === undefined ? x : x * table[at] * (1 - table[at] / bound)))), ofHidden = matmul(ofOutput, w2);
      for (let at = 0; at < ofHidden.size; at++) if (active.data[at] === 0) ofHidden.data[at] = 0;
      const across = (g: Tensor<"float32">, x: Tensor<"float32">): Tensor<"float32"> => matmul(g, x, { transposeA: true });
      return { hiddenWeights: across(ofHidden, coordinates), hiddenBias: columnSums(ofHidden), outputWeights: across(ofOutput, active), ...(b2 && { outputBias: columnSums(ofOutput) }) };
    },
  };
}

function columnSums({ data, shape: [, width] }: Tensor<"float32">): Tensor<"float32"> {
  const sums = new Float64Array(width);
  for (let at = 0; at < data.length; at++) sums[at % width] += data[at];
  return new Tensor("float32", [width], Float32Array.from(sums));
}

function spanOf({ data, shape: [rows, axes] }: Tensor<"float32">, axis: number): number {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < rows; i++) {
    low = Math.min(low, data[i * axes + axis]);
    high = Math.max(high, data[i * axes + axis]);
  }
  return high > low ? high - low : 1;
}

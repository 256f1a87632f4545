import { matmul } from "@logits/core-wasm/gemm";
import { topK } from "@logits/core-wasm/select";
import { Tensor, asFloat32, checkInteger, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { marks, tokenRows } from "./keepTokens.ts";

/** What is merged, and by which likeness. */
export interface MergeTokensOptions {
  /** r: how many tokens disappear into others. */
  readonly count: number;
  /** float32 [..., S, M]: what likeness is measured on, for example the keys of the layer. Default the tokens. */
  readonly metric?: TensorLike;
  /** float32 [..., S], above 0: for how many tokens each one stands, from merges before. Default 1. */
  readonly sizes?: TensorLike;
  /** 0 or 1 [S] or [..., S]: 1 = neither disappears nor takes others in (a class token). */
  readonly protect?: TensorLike;
}

/** What mergeTokens returns. */
export interface MergedTokens {
  /** float32 [..., S - r, F]: means weighted by the sizes, in the order of the tokens that stay. */
  readonly tokens: Tensor<"float32">;
  /** float32 [..., S - r]: the sums of the sizes. Their logarithm, as the `bias` of attention over merged keys, counts each key as often as it stands for a token. */
  readonly sizes: Tensor<"float32">;
  /** int32 [..., S]: the merged token in which each went. */
  readonly assignment: Tensor<"int32">;
  /** The same merge of other features, float32 [..., S, G]. */
  merge(features: TensorLike): Tensor<"float32">;
  /** float32 [..., S - r, G] back to [..., S, G]: each token gets that of the one in which it went. */
  unmerge(features: TensorLike): Tensor<"float32">;
}

/** Rows of the similarity matrix that are held at a time. */
const BLOCK = 256;

/** For each even token the most similar odd one that may take it in, ties to the earlier; both as places in their own set. */
function likeness(metric: Float32Array, width: number, even: readonly number[], odd: readonly number[]): { readonly best: Float32Array; readonly to: Int32Array } {
  const unit = (tokens: readonly number[]): Tensor<"float32"> => {
    const out = new Float32Array(tokens.length * width);
    for (const [i, j] of tokens.entries()) {
      let sum = 0;
      for (let m = 0; m < width; m++) sum += metric[j * width + m] * metric[j * width + m];
      const norm = Math.sqrt(sum);
      // A row of zeros is like no other: similarity 0.
      for (let m = 0; m < width; m++) out[i * width + m] = norm === 0 ? 0 : metric[j * width + m] / norm;
    }
    return new Tensor("float32", [tokens.length, width], out);
  };
  const b = unit(odd), best = new Float32Array(even.length), to = new Int32Array(even.length);
  for (let from = 0; from < even.length; from += BLOCK) {
    const part = even.slice(from, from + BLOCK), scores = matmul(unit(part), b, { transposeB: true }).data;
    for (let i = 0; i < part.length; i++) {
      let at = 0;
      for (let j = 1; j < odd.length; j++) if (scores[i * odd.length + j] > scores[i * odd.length + at]) at = j;
      best[from + i] = scores[i * odd.length + at];
      to[from + i] = at;
    }
  }
  return { best, to };
}

/** For each token the place of the one in which it goes: its own, or that of an odd one. */
function targets(where: string, row: number, metric: Float32Array, width: number, total: number, count: number, guarded?: (row: number, token: number) => boolean): Int32Array {
  const free = Array.from({ length: total }, (_, j) => j).filter((j) => !guarded?.(row, j)), even = free.filter((j) => j % 2 === 0), odd = free.filter((j) => j % 2 === 1), most = odd.length === 0 ? 0 : even.length;
  if (count > most) throw rangeError(where, "count", `at most ${most}, the tokens at even places that may go into one at an odd place`, `${count}${row > 0 ? ` in row ${row}` : ""}`, "Merge again what was merged");
  const into = Int32Array.from({ length: total }, (_, j) => j);
  if (count === 0) return into;
  const { best, to } = likeness(metric, width, even, odd);
  for (const i of topK(best, count, { sorted: false }).indices.data) into[even[i]] = odd[to[i]];
  return into;
}

function forward(tokens: TensorLike, options: MergeTokensOptions, where = "mergeTokens"): MergedTokens & { readonly before: Float32Array } {
  const given = tokenRows(where, tokens), { lead, rows, count: total } = given, { count } = options;
  checkInteger(where, "count", count, 0, total);
  const on = (argument: string, x: TensorLike, shape: readonly (number | string)[]): Tensor<"float32"> => {
    const made = asFloat32(where, argument, x);
    checkShape(where, argument, made, shape);
    return made;
  };
  const likened = options.metric === undefined ? undefined : on("metric", options.metric, [...lead, total, "M"]), metric = likened ? lastingData(likened) : given.data, width = likened ? likened.shape[lead.length + 1] : given.features;
  let unusual = 0;
  while (unusual < metric.length && metric[unusual] - metric[unusual] === 0) unusual++;
  if (unusual < metric.length && count > 0) throw rangeError(where, options.metric === undefined ? "tokens" : "metric", "finite", `${metric[unusual]} in row ${Math.floor(unusual / width)}`);
  const before = options.sizes === undefined ? new Float32Array(rows * total).fill(1) : lastingData(on("sizes", options.sizes, [...lead, total]));
  const wrong = before.findIndex((size) => !(size > 0 && size < Infinity));
  if (wrong >= 0) throw rangeError(where, "sizes", "finite and above 0", `${before[wrong]} at index ${wrong}`);
  const protect = marks(where, "protect", options.protect, [...lead, total]), left = total - count, assignment = new Int32Array(rows * total), sizes = new Float64Array(rows * left);
  for (let r = 0; r < rows; r++) {
    const into = targets(where, r, metric.subarray(r * total * width, (r + 1) * total * width), width, total, count, protect), place = new Int32Array(total);
    for (let j = 0, next = 0; j < total; j++) if (into[j] === j) place[j] = next++;
    for (let j = 0; j < total; j++) {
      assignment[r * total + j] = place[into[j]];
      sizes[r * left + place[into[j]]] += before[r * total + j];
    }
  }
  const features = (x: TensorLike, size: number): Tensor<"float32"> => on("features", x, [...lead, size, "G"]);
  const merge = (x: TensorLike): Tensor<"float32"> => {
    const { data, shape } = features(x, total), wide = shape[shape.length - 1], sums = new Float64Array(rows * left * wide);
    for (let at = 0; at < rows * total; at++) {
      const to = Math.floor(at / total) * left + assignment[at], share = before[at] / sizes[to];
      for (let f = 0; f < wide; f++) sums[to * wide + f] += share * data[at * wide + f];
    }
    return new Tensor("float32", [...lead, left, wide], Float32Array.from(sums));
  };
  const unmerge = (x: TensorLike): Tensor<"float32"> => {
    const { data, shape } = features(x, left), wide = shape[shape.length - 1], out = new Float32Array(rows * total * wide);
    for (let at = 0; at < rows * total; at++) {
      const from = Math.floor(at / total) * left + assignment[at];
      out.set(data.subarray(from * wide, (from + 1) * wide), at * wide);
    }
    return new Tensor("float32", [...lead, total, wide], out);
  };
  return { tokens: merge(tokens), sizes: new Tensor("float32", [...lead, left], Float32Array.from(sizes)), assignment: new Tensor("int32", [...lead, total], assignment), merge, unmerge, before };
}

function plain(tokens: TensorLike, options: MergeTokensOptions): MergedTokens {
  const { before: _, ...merged } = forward(tokens, options);
  return merged;
}

function withGrad(tokens: TensorLike, options: MergeTokensOptions & { readonly upstream: TensorLike }): MergedTokens & { readonly grad: Tensor<"float32"> } {
  const where = "mergeTokens.withGrad", { before, ...merged } = forward(tokens, options, where), upstream = asFloat32(where, "upstream", options.upstream), { shape } = merged.tokens;
  checkShape(where, "upstream", upstream, shape);
  const grad = merged.unmerge(upstream), totals = merged.unmerge(new Tensor("float32", [...merged.sizes.shape, 1], merged.sizes.data)).data, wide = shape[shape.length - 1];
  for (let i = 0; i < grad.size; i++) grad.data[i] *= before[Math.floor(i / wide)] / totals[Math.floor(i / wide)];
  return { ...merged, grad };
}

/**
 * Bipartite soft matching: the r tokens at even places that are most like one at an odd place go into it, and what is merged becomes the mean weighted by the sizes.
 *
 *   s[i, j] = cos(metric[2 i], metric[2 j + 1]);   the r largest of max_j s[i, j] are merged, each into its argmax;   tokens[k] = sum of size x over its group / sum of size
 *
 * Sums are kept: sum of sizes times tokens is the same before and after. Equal likeness: the earlier token. The tokens that stay keep their order. `mergeTokens.withGrad(tokens, { upstream, ... })` also gives `grad`, the
 * gradient in the tokens with the groups as they are: upstream[group] size / sum of size.
 *
 * @param tokens - float32 [..., S, F]
 * @param options - `count`, `metric`, `sizes`, `protect`
 * @returns `tokens` float32 [..., S - r, F], `sizes` float32 [..., S - r], `assignment` int32 [..., S], and functions `merge` and `unmerge` for other features. r = 0: the tokens as they are. A row of zeros has likeness 0 to all
 * @throws RangeError for shapes that do not fit, a count above the number of free tokens at even places, sizes that are not above 0, and a metric that is not finite
 * @example
 *   mergeTokens([[1, 0], [2, 0], [0, 1]], { count: 1 }).tokens.toArray(); // [[1.5, 0], [0, 1]]
 * Source: Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023, section 3, and its code (tome/merge.py), which puts the unmerged tokens at even places in front and takes fewer than asked without saying so.
 */
export const mergeTokens: {
  (tokens: TensorLike, options: MergeTokensOptions): MergedTokens;
  /** The same with the gradient in the tokens. */
  withGrad(tokens: TensorLike, options: MergeTokensOptions & { readonly upstream: TensorLike }): MergedTokens & { readonly grad: Tensor<"float32"> };
} = /* @__PURE__ */ Object.assign(plain, { withGrad });

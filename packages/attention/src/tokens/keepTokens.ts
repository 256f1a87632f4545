import { topK } from "@logits/core-wasm/select";
import { Tensor, asFloat32, asMask, checkInteger, checkNoNaN, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** How many tokens are kept, and which in any case. */
export interface KeepTokensOptions {
  /** K: how many are kept, those of `always` among them. */
  readonly count: number;
  /** 0 or 1 [S] or [..., S]: 1 = kept whatever its score (a class token, the last tokens of a cache). */
  readonly always?: TensorLike;
}

/** What keepTokens returns. */
export interface KeptTokens {
  /** float32 [..., K, F], in the order in which they stood. */
  readonly tokens: Tensor<"float32">;
  /** int32 [..., K]: where each stood, ascending. */
  readonly indices: Tensor<"int32">;
}

/** Whether row r's token j is marked; a mask of [S] serves for all rows. */
export function marks(where: string, argument: string, x: TensorLike | undefined, shape: readonly number[]): ((row: number, token: number) => boolean) | undefined {
  if (x === undefined) return undefined;
  const made = asMask(where, argument, x), bits = lastingData(made), size = shape[shape.length - 1], whole = made.shape.length === shape.length && shape.every((n, i) => n === made.shape[i]);
  if (!whole && (made.shape.length !== 1 || made.size !== size)) throw rangeError(where, argument, shape.length === 1 ? `of shape [${size}] ([S])` : `of shape [${size}] or [${shape.join(", ")}] ([S] or [..., S])`, `[${made.shape.join(", ")}]`);
  return (row, token) => bits[whole ? row * size + token : token] === 1;
}

/** Tokens as rows: [..., S, F]. */
export function tokenRows(where: string, x: TensorLike): { readonly data: Float32Array; readonly lead: readonly number[]; readonly rows: number; readonly count: number; readonly features: number } {
  const made = asFloat32(where, "tokens", x), { shape } = made;
  if (shape.length < 2) throw rangeError(where, "tokens", "of shape [..., S, F]", `[${shape.join(", ")}]`);
  const lead = shape.slice(0, -2);
  return { data: lastingData(made), lead, rows: lead.reduce((a, b) => a * b, 1), count: shape[shape.length - 2], features: shape[shape.length - 1] };
}

function forward(tokens: TensorLike, scores: TensorLike, options: KeepTokensOptions, where = "keepTokens"): KeptTokens {
  const { data, lead, rows, count: total, features } = tokenRows(where, tokens), given = asFloat32(where, "scores", scores), { count } = options;
  const shape = [...lead, total];
  if (given.shape.length !== shape.length || shape.some((n, i) => n !== given.shape[i])) throw rangeError(where, "scores", `of shape [${shape.join(", ")}] ([..., S])`, `[${given.shape.join(", ")}]`);
  checkInteger(where, "count", count, 0, total);
  checkNoNaN(where, "scores", given, total);
  const always = marks(where, "always", options.always, shape), indices = new Int32Array(rows * count), out = new Float32Array(rows * count * features);
  for (let r = 0; r < rows; r++) {
    const kept = chosen(where, r, given.data.subarray(r * total, (r + 1) * total), count, always);
    indices.set(kept, r * count);
    for (let i = 0; i < count; i++) out.set(data.subarray((r * total + kept[i]) * features, (r * total + kept[i] + 1) * features), (r * count + i) * features);
  }
  return { tokens: new Tensor("float32", [...lead, count, features], out), indices: new Tensor("int32", [...lead, count], indices) };
}

/** The marked tokens and the best of the others, ascending. */
function chosen(where: string, row: number, scores: Float32Array, count: number, always?: (row: number, token: number) => boolean): Int32Array {
  const sure: number[] = [], open: number[] = [];
  for (let j = 0; j < scores.length; j++) (always?.(row, j) ? sure : open).push(j);
  if (sure.length > count) throw rangeError(where, "always", `of at most ${count} tokens (\`count\`)`, `${sure.length} in row ${row}`);
  const rest = count - sure.length;
  if (rest === 0) return Int32Array.from(sure);
  const best = topK(Float32Array.from(open, (j) => scores[j]), rest, { sorted: false }).indices.data;
  return Int32Array.from([...sure, ...Array.from(best, (i) => open[i])]).sort();
}

function withGrad(tokens: TensorLike, scores: TensorLike, options: KeepTokensOptions & { readonly upstream: TensorLike }): KeptTokens & { readonly grad: Tensor<"float32"> } {
  const where = "keepTokens.withGrad", kept = forward(tokens, scores, options, where), upstream = asFloat32(where, "upstream", options.upstream), { shape } = kept.tokens;
  checkShape(where, "upstream", upstream, shape);
  const { lead, rows, count: total, features } = tokenRows(where, tokens), { count } = options, grad = new Float32Array(rows * total * features);
  for (let i = 0; i < kept.indices.size; i++) grad.set(upstream.data.subarray(i * features, (i + 1) * features), (Math.floor(i / count) * total + kept.indices.data[i]) * features);
  return { ...kept, grad: new Tensor("float32", [...lead, total, features], grad) };
}

/**
 * The tokens of the largest scores, in the order in which they stood.
 *
 *   indices = the K largest of scores[..., :], ascending;   tokens[..., i, :] = tokens[..., indices[..., i], :]
 *
 * Equal scores: the earlier token is kept. `keepTokens.withGrad(tokens, scores, { upstream, ... })` also gives `grad`, the gradient in the tokens: upstream where a token was kept, 0 elsewhere. Scores have none.
 *
 * @param tokens - float32 [..., S, F]
 * @param scores - float32 [..., S]; -Infinity and +Infinity are ordinary values
 * @param options - `count`, `always`
 * @returns `tokens` float32 [..., K, F] and `indices` int32 [..., K]. K = 0: empty; K = S: all
 * @throws RangeError for shapes that do not fit, a count outside [0, S], more than `count` tokens in `always`, and NaN among the scores, which has no rank (its row is named)
 * @example
 *   keepTokens([[10], [20], [30]], [0.2, 0.9, 0.5], { count: 2 }).indices.data; // 1, 2
 * Source: folklore; Ben-Kish et al., "DeciMamba", ICLR 2025, section 4, and Zhang et al., "H2O", NeurIPS 2023, keep tokens in order by a score.
 */
export const keepTokens: {
  (tokens: TensorLike, scores: TensorLike, options: KeepTokensOptions): KeptTokens;
  /** The same with the gradient in the tokens. */
  withGrad(tokens: TensorLike, scores: TensorLike, options: KeepTokensOptions & { readonly upstream: TensorLike }): KeptTokens & { readonly grad: Tensor<"float32"> };
} = /* @__PURE__ */ Object.assign((tokens: TensorLike, scores: TensorLike, options: KeepTokensOptions): KeptTokens => forward(tokens, scores, options), { withGrad });

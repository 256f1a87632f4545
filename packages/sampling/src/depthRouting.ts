import { tanh } from "@logits/core-wasm/math";
import { topK } from "@logits/core-wasm/select";
import { Tensor, asFloat32, checkNoNaN, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `depthRouting`. */
export interface DepthRoutingOptions {
  /** Share of the tokens that the layer processes, in [0, 1]: floor(ratio T) of them. */
  readonly ratio: number;
  /** Factor of tanh, finite. Default 0.2. */
  readonly scale?: number;
  /** Added to it, finite. Default 1. */
  readonly bias?: number;
}

/** Which tokens a layer processes, and what each is multiplied by. */
export interface DepthRouting {
  /** Processed tokens in their order, int32 [B, k]; [k] for one sequence. */
  readonly indices: Tensor<"int32">;
  /** scale tanh(score) + bias of every token, processed or not; float32 [B, T]. */
  readonly weights: Tensor<"float32">;
}

/**
 * Chooses the tokens that a layer of a mixture of depths processes: those with the largest router scores. The others skip it.
 *
 *   weights = scale tanh(scores) + bias
 *   processed: y = weight f(x) + x;   skipped: y = weight x
 *
 * Equal scores: the smaller token. All tokens (ratio 1) with scale 0 and bias 1: the dense layer.
 *
 * @param scores - of the router, float32 [B, T] or [T]
 * @param options - `ratio`, `scale` (0.2), `bias` (1)
 * @returns `indices`, rising, int32 [B, k] with k = floor(ratio T), and `weights`
 * @throws RangeError for another rank, NaN, or a ratio outside [0, 1]
 * @example
 *   depthRouting([0.1, 2, -1, 0.5], { ratio: 0.5 }).indices; // 1, 3
 * Source: Raposo et al., "Mixture-of-depths", 2024; weights: Zhang et al., "p-MoD", ICCV 2025 (tanh-gated normalisation, symmetric reweighting).
 */
export function depthRouting(scores: TensorLike, options: DepthRoutingOptions): DepthRouting {
  const where = "depthRouting", { ratio, scale = 0.2, bias = 1 } = options, x = asFloat32(where, "scores", scores), { shape } = x;
  if (shape.length !== 1 && shape.length !== 2) throw rangeError(where, "scores", "of shape [B, T] or [T]", `[${shape.join(", ")}]`);
  checkNoNaN(where, "scores", x, shape[shape.length - 1]);
  if (!(ratio >= 0 && ratio <= 1)) throw rangeError(where, "ratio", "in [0, 1]", `${ratio}`);
  for (const [name, value] of Object.entries({ scale, bias })) if (!Number.isFinite(value)) throw rangeError(where, name, "finite", `${value}`);
  // 0.29 of 100 is 29, not 28.999999999999996.
  const k = Math.floor(ratio * shape[shape.length - 1] * (1 + 2 ** -50)), lead = shape.slice(0, -1);
  const indices = k === 0 || x.size === 0 ? new Tensor("int32", [...lead, k], new Int32Array(lead.reduce((a, b) => a * b, 1) * k)) : topK(x, k, { sorted: false }).indices;
  return { indices, weights: new Tensor("float32", shape, tanh(x).data.map((t) => scale * t + bias)) };
}

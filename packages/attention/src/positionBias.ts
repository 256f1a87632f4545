import { Tensor, asFloat32, checkInteger, checkPositive, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { log, log1p, pow } from "@logits/statistics";

/**
 * A bias that depends on the distance of query and key alone, one function for each head, and its gradient in the parameters.
 *
 * `attention` asks for T + S - 1 values a head, however many tiles there are.
 */
export interface PositionBias {
  /** Heads that it is made for. */
  readonly heads: number;
  /** What `grads.positionBias` has the shape of. */
  readonly parameters: Tensor<"float32">;
  /** The bias of a head where the query stands `distance` behind the key (negative: before it). */
  value(head: number, distance: number): number;
  /** Adds d value / d parameters, times `upstream`, to `sums`, in the order of the parameters. */
  addGradient(head: number, distance: number, upstream: number, sums: Float64Array): void;
}

function headsOf(where: string, argument: string, x: TensorLike): Tensor<"float32"> {
  const made = asFloat32(where, argument, x);
  if (made.shape.length !== 1 || made.size === 0) throw rangeError(where, argument, "of shape [H], H >= 1", `[${made.shape.join(", ")}]`);
  for (let h = 0; h < made.size; h++) if (!Number.isFinite(made.data[h])) throw rangeError(where, argument, "finite", `${made.data[h]} at index ${h}`);
  return made;
}

/**
 * Slopes of ALiBi: 2^(-8 / n), 2^(-16 / n), ... for n heads where n is a power of two; else those of the largest power of two below it, then every second of twice as many.
 *
 * @param heads - H, 1 to 4,096
 * @returns float32 [H]
 * @throws RangeError for another number of heads
 * @example
 *   alibiSlopes(4).toArray(); // [0.25, 0.0625, 0.015625, 0.00390625]
 * Source: Press, Smith, Lewis, "Train Short, Test Long", ICLR 2022, section 3, and their code for other numbers of heads.
 */
export function alibiSlopes(heads: number): Tensor<"float32"> {
  checkInteger("alibiSlopes", "heads", heads, 1, 4096);
  const slopes = new Float32Array(heads), power = 1 << (31 - Math.clz32(heads));
  for (let h = 0; h < heads; h++) slopes[h] = h < power ? pow(2, (-8 * (h + 1)) / power) : pow(2, (-8 * (2 * (h - power) + 1)) / (2 * power));
  return new Tensor("float32", [heads], slopes);
}

/**
 * ALiBi: scores fall linearly with distance.
 *
 *   b[h](d) = -slopes[h] |d|
 *
 * @param slopes - float32 [H], finite; usually `alibiSlopes(H)`
 * @returns the bias; its parameters are the slopes
 * @throws RangeError for another shape or a slope that is not finite
 * @example
 *   alibi(alibiSlopes(8)).value(0, 3); // -1.5
 * Source: Press, Smith, Lewis, "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", ICLR 2022.
 */
export function alibi(slopes: TensorLike): PositionBias {
  const parameters = headsOf("alibi", "slopes", slopes), m = lastingData(parameters);
  return {
    heads: m.length, parameters,
    value: (head, distance) => -m[head] * Math.abs(distance),
    addGradient(head, distance, upstream, sums) {
      sums[head] -= upstream * Math.abs(distance);
    },
  };
}

/**
 * KERPLE: a conditionally positive definite kernel of the distance, with a scale and a rate for each head.
 *
 *   logarithmic: b[h](d) = -scales[h] log(1 + rates[h] |d|);   power: b[h](d) = -scales[h] |d|^rates[h]
 *
 * @param kind - "logarithmic", the better one in the paper's experiments, or "power"; power with rate 1 is ALiBi
 * @param scales - float32 [H], above 0
 * @param rates - float32 [H], above 0; of "power" at most 2
 * @returns the bias; its parameters have the shape [2, H]: scales, then rates
 * @throws RangeError for other shapes and values
 * @example
 *   kerple("logarithmic", [1], [1]).value(0, 1); // -0.693...
 * Source: Chi, Fan, Ramadge, Rudnicky, "KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation", NeurIPS 2022, corollary 1.
 */
export function kerple(kind: "logarithmic" | "power", scales: TensorLike, rates: TensorLike): PositionBias {
  if (kind !== "logarithmic" && kind !== "power") throw rangeError("kerple", "kind", '"logarithmic" or "power"', `${kind as string}`);
  const a = lastingData(headsOf("kerple", "scales", scales)), r = lastingData(headsOf("kerple", "rates", rates)), heads = a.length;
  if (r.length !== heads) throw rangeError("kerple", "rates", `of shape [${heads}] as scales`, `[${r.length}]`);
  for (let h = 0; h < heads; h++) {
    if (!(a[h] > 0)) throw rangeError("kerple", "scales", "above 0", `${a[h]} at index ${h}`);
    if (!(r[h] > 0 && (kind === "logarithmic" || r[h] <= 2))) throw rangeError("kerple", "rates", kind === "power" ? "in (0, 2]" : "above 0", `${r[h]} at index ${h}`);
  }
  const logarithmic = kind === "logarithmic";
  return {
    heads, parameters: new Tensor("float32", [2, heads], Float32Array.of(...a, ...r)),
    value(head, distance) {
      const d = Math.abs(distance);
      return d === 0 ? 0 : -a[head] * (logarithmic ? log1p(r[head] * d) : pow(d, r[head]));
    },
    addGradient(head, distance, upstream, sums) {
      const d = Math.abs(distance);
      if (d === 0) return;
      const power = logarithmic ? 0 : pow(d, r[head]);
      sums[head] -= upstream * (logarithmic ? log1p(r[head] * d) : power);
      sums[heads + head] -= upstream * a[head] * (logarithmic ? d / (1 + r[head] * d) : power * log(d));
    },
  };
}

/** Options of t5Bias. */
export interface T5BiasOptions {
  /** Keys after the query have buckets of their own: encoders. False, as in decoders: they all fall in bucket 0. Default true. */
  readonly bidirectional?: boolean;
  /** From here on all distances share the last bucket. Default 128. */
  readonly maxDistance?: number;
}

/**
 * The relative position bias of T5: a learned value for each bucket of distances, exact ones first, then ones that grow by a constant factor.
 *
 *   b[h](d) = table[bucket(d), h]
 *
 * @param table - float32 [buckets, H], the weights of `relative_attention_bias`; with `bidirectional` an even number of buckets
 * @param options - `bidirectional`, `maxDistance`
 * @returns the bias; its parameters are the table
 * @throws RangeError for another shape or a maxDistance that does not lie above the exact buckets
 * @example
 *   t5Bias([[0.5], [0.25], [0], [-1]], { bidirectional: false, maxDistance: 8 }).value(0, 1); // 0.25
 * Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 21 (2020), section 2.1; buckets as in its code.
 */
export function t5Bias(table: TensorLike, options: T5BiasOptions = {}): PositionBias {
  const { bidirectional = true, maxDistance = 128 } = options, parameters = asFloat32("t5Bias", "table", table), { shape } = parameters, data = lastingData(parameters);
  const [buckets = 0, heads = 0] = shape, side = bidirectional ? buckets / 2 : buckets, exact = Math.floor(side / 2);
  if (shape.length !== 2 || heads === 0 || exact < 1 || !Number.isInteger(side)) throw rangeError("t5Bias", "table", bidirectional ? "of shape [buckets, H], buckets even and at least 4" : "of shape [buckets, H], buckets at least 2", `[${shape.join(", ")}]`);
  checkPositive("t5Bias", "maxDistance", maxDistance);
  if (!(maxDistance > exact)) throw rangeError("t5Bias", "maxDistance", `above ${exact}, the buckets of one distance`, `${maxDistance}`);
  const factor = (side - exact) / log(maxDistance / exact);
  const bucket = (distance: number): number => {
    const first = bidirectional && distance < 0 ? side : 0, d = bidirectional ? Math.abs(distance) : Math.max(0, distance);
    // The slack puts a distance on the edge of a bucket into it, whatever the last digit of the logarithms.
    return first + (d < exact ? d : Math.min(side - 1, exact + Math.floor(log(d / exact) * factor + 1e-9)));
  };
  return {
    heads, parameters,
    value: (head, distance) => data[bucket(distance) * heads + head],
    addGradient(head, distance, upstream, sums) {
      sums[bucket(distance) * heads + head] += upstream;
    },
  };
}

import { exp, normalCdf, sampleNormal, sigmoid, softplus } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, defineLoss, randomSource, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** Options of `noisyTopKGating`. */
export interface NoisyTopKOptions {
  /** Experts for each token, an integer in [1, E]. */
  readonly k: number;
  /** How much noise each score gets: its standard deviation is softplus of this; float32 [N, E]. Default: none. */
  readonly noiseLogits?: TensorLike;
  /** Where the noise comes from, an integer in [0, 2^53); required with `noiseLogits`. */
  readonly seed?: number;
  /** Row r uses stream + r. Default 0. */
  readonly stream?: number;
}

/** Where tokens go. */
export interface Gating {
  /** Share of each expert in each token's output, 0 for all but k: float32 [N, E], rows that sum to 1. */
  readonly gates: Tensor<"float32">;
  /** The experts of each token, rising: int32 [N, k]. */
  readonly experts: Tensor<"int32">;
  /** Scores with their noise, float32 [N, E]: for `importanceLoss`. */
  readonly scores: Tensor<"float32">;
  /** The standard normal numbers eps, float32 [N, E]: for `loadLoss`. Zeros without noise. */
  readonly noise: Tensor<"float32">;
}

/** Options of `importanceLoss` and `loadLoss`. */
export interface BalanceOptions extends LossOptions {
  /** Experts for each token, an integer in [1, E]. */
  readonly k: number;
}

/** The k + 1 best experts of a row, the best first; of equal ones the smaller first. */
function best(row: Float64Array, k: number): Int32Array {
  return Int32Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b).subarray(0, k + 1);
}

/** Scores of tokens that take part are finite. */
function checkFinite(where: string, argument: string, x: Tensor<"float32">, mask?: Float32Array): void {
  const bad = x.data.findIndex((v, i) => !Number.isFinite(v) && mask?.[Math.floor(i / x.shape[1])] !== 0);
  if (bad >= 0) throw rangeError(where, argument, "finite", `${x.data[bad]} at index ${bad}`);
}

function scoresOf(where: string, argument: string, input: TensorLike, mask?: (rows: number) => Float32Array): { readonly data: Float32Array; readonly rows: number; readonly experts: number; readonly mask: Float32Array } {
  const x = asFloat32(where, argument, input);
  if (x.shape.length !== 2 || x.shape[1] === 0) throw rangeError(where, argument, "of shape [N, E], E >= 1", `[${x.shape.join(", ")}]`);
  const [rows, experts] = x.shape, taking = mask ? mask(rows) : new Float32Array(rows).fill(1);
  checkFinite(where, argument, x, taking);
  return { data: x.data, rows, experts, mask: taking };
}

function sameShape(where: string, argument: string, input: TensorLike, rows: number, experts: number, mask?: Float32Array): Float32Array {
  const x = asFloat32(where, argument, input);
  if (x.shape.length !== 2 || x.shape[0] !== rows || x.shape[1] !== experts) throw rangeError(where, argument, `of shape [${rows}, ${experts}]`, `[${x.shape.join(", ")}]`);
  checkFinite(where, argument, x, mask);
  return x.data;
}

/** Softmax over the k largest of a row; 0 elsewhere. */
function topGates(row: Float64Array, k: number, gates: Float64Array): Int32Array {
  const order = best(row, k).subarray(0, k), top = row[order[0]];
  let z = 0;
  gates.fill(0);
  for (const e of order) z += gates[e] = exp(row[e] - top);
  for (const e of order) gates[e] /= z;
  return order;
}

/**
 * Sends each token to its k best experts, with noise so that others are tried as well.
 *
 *   H = logits + eps * softplus(noiseLogits), eps standard normal
 *   gates = softmax of the k largest of H, 0 elsewhere
 *
 * Equal scores: the smaller expert. Noise of row r comes from `randomSource(seed, stream + r)`, by inversion.
 *
 * @param logits - scores of the experts, float32 [N, E], finite
 * @param options - `k`, `noiseLogits`, `seed`, `stream` (0)
 * @returns gates, experts, scores H and the noise eps
 * @throws RangeError for another shape, scores that are not finite, k outside [1, E], or noise without a seed
 * @example
 *   noisyTopKGating([[2, 0, 1]], { k: 2 }).gates; // 0.7311, 0, 0.2689
 * Source: Shazeer et al., "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer", ICLR 2017, section 2.1.
 */
export function noisyTopKGating(logits: TensorLike, options: NoisyTopKOptions): Gating {
  const where = "noisyTopKGating", { k, noiseLogits, seed, stream = 0 } = options, { data, rows, experts } = scoresOf(where, "logits", logits);
  checkInteger(where, "k", k, 1, experts);
  const spread = noiseLogits === undefined ? undefined : sameShape(where, "noiseLogits", noiseLogits, rows, experts);
  if (spread && seed === undefined) throw rangeError(where, "seed", "an integer in [0, 2^53) with `noiseLogits`", "undefined");
  const scores = new Float32Array(rows * experts), noise = new Float32Array(rows * experts), gates = new Float32Array(rows * experts), chosen = new Int32Array(rows * k);
  const row = new Float64Array(experts), shares = new Float64Array(experts);
  for (let n = 0; n < rows; n++) {
    const at = n * experts, random = spread && randomSource(seed!, stream + n);
    for (let e = 0; e < experts; e++) {
      noise[at + e] = random ? sampleNormal(random) : 0;
      row[e] = scores[at + e] = data[at + e] + (spread ? noise[at + e] * softplus(spread[at + e]) : 0);
    }
    chosen.set(topGates(row, k, shares).sort(), n * k);
    gates.set(shares, at);
  }
  const floats = (data: Float32Array): Tensor<"float32"> => new Tensor("float32", [rows, experts], data);
  return { gates: floats(gates), experts: new Tensor("int32", [rows, k], chosen), scores: floats(scores), noise: floats(noise) };
}

/** Squared coefficient of variation with its slope: mean((v - mean)^2) / mean^2; 0 where nothing takes part. */
function variation(v: Float64Array): { readonly value: number; readonly slope: Float64Array } {
  const sum = v.reduce((a, b) => a + b, 0), squares = v.reduce((a, b) => a + b * b, 0);
  if (sum === 0) return { value: 0, slope: new Float64Array(v.length) };
  return { value: Math.max(0, (v.length * squares) / (sum * sum) - 1), slope: v.map((one) => (2 * v.length * (one - squares / sum)) / (sum * sum)) };
}

/** 1 for each token that takes part: `where` is of tokens. */
function tokensOf(where: string, options: LossOptions): (rows: number) => Float32Array {
  return (rows) => rowWeights(where, rows, { where: options.where }) ?? new Float32Array(rows).fill(1);
}

/** One value for the whole batch; `weight` is its weight. */
function oneValue(where: string, { weight }: LossOptions): { readonly shape: readonly [1]; readonly weights: Float32Array | undefined } {
  return { shape: [1], weights: rowWeights(where, [1], { weight }) };
}

/**
 * How unequally the experts share the gates of a batch: the squared coefficient of variation of their sums.
 *
 *   I_e = sum_n gates[n, e];   loss = mean_e (I_e - mean I)^2 / (mean I)^2
 *
 * 0 where all are equal, E / k - 1 where the same k experts share everything alike, E - 1 where one has it all. There is one value, of shape [1] with reduction "none"; `where` is of tokens, [N].
 *
 * @param scores - with their noise, float32 [N, E], finite: `scores` of `noisyTopKGating`
 * @param options - `k`, `where`
 * @returns float32 []; 0 where no token takes part
 * @throws RangeError for another shape, scores that are not finite, or k outside [1, E]
 * @example
 *   importanceLoss([[1, 0], [0, 1]], { k: 1 }); // 0
 * Source: Shazeer et al. 2017, equations 6 and 7 (times their w_importance: use upstream).
 */
export const importanceLoss: Loss<[scores: TensorLike], BalanceOptions> = defineLoss("importanceLoss", 1, (where, [scores]: [scores: TensorLike], options: BalanceOptions) => {
  const { data, rows, experts, mask } = scoresOf(where, "scores", scores, tokensOf(where, options)), { k } = options;
  checkInteger(where, "k", k, 1, experts);
  return {
    ...oneValue(where, options),
    pass(coefficients) {
      const gates = new Float64Array(rows * experts), sums = new Float64Array(experts);
      for (let n = 0, at = 0; n < rows; n++, at += experts) {
        if (mask[n] === 0) continue;
        const own = gates.subarray(at, at + experts);
        topGates(Float64Array.from(data.subarray(at, at + experts)), k, own);
        for (let e = 0; e < experts; e++) sums[e] += own[e];
      }
      const { value, slope } = variation(sums);
      const gradients = (): { readonly grad: Tensor<"float32"> } => {
        const grad = new Float32Array(rows * experts), c = coefficients![0];
        for (let n = 0, at = 0; n < rows; n++, at += experts) {
          if (mask[n] === 0) continue;
          let mean = 0;
          for (let e = 0; e < experts; e++) mean += slope[e] * gates[at + e];
          for (let e = 0; e < experts; e++) grad[at + e] = c * gates[at + e] * (slope[e] - mean);
        }
        return { grad: new Tensor("float32", [rows, experts], grad) };
      };
      return { values: Float64Array.of(value), gradients };
    },
  };
});

/**
 * How unequally tokens are spread over the experts: the squared coefficient of variation of a smooth count of them.
 *
 *   P[n, e] = Phi((logits[n, e] - kth[n, e]) / softplus(noiseLogits[n, e])), the probability that e stays among the k best if its noise is drawn anew
 *   kth[n, e] = the k-th largest of logits + noise softplus(noiseLogits) without expert e
 *   L_e = sum_n P[n, e];   loss = mean_e (L_e - mean L)^2 / (mean L)^2
 *
 * With k = E every P is 1 and the loss 0. There is one value, of shape [1] with reduction "none"; `where` is of tokens, [N]. The gradient is exact, through the k-th largest score as well.
 *
 * @param logits - scores without noise, float32 [N, E], finite
 * @param noiseLogits - float32 [N, E], finite
 * @param noise - eps of the gating, float32 [N, E]
 * @param options - `k`, `where`
 * @returns float32 []; 0 where no token takes part
 * @throws RangeError for other shapes, numbers that are not finite, or k outside [1, E]
 * @example
 *   loadLoss([[1, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], { k: 1 }); // 0
 * Source: Shazeer et al. 2017, appendix A, equations 8 to 11 (times their w_load: use upstream).
 */
export const loadLoss: Loss<[logits: TensorLike, noiseLogits: TensorLike, noise: TensorLike], BalanceOptions, { readonly grads: { readonly logits: Tensor<"float32">; readonly noiseLogits: Tensor<"float32"> } }> = defineLoss("loadLoss", 3,
  (where, [logits, noiseLogits, drawn]: [logits: TensorLike, noiseLogits: TensorLike, noise: TensorLike], options: BalanceOptions) => {
    const { data, rows, experts, mask } = scoresOf(where, "logits", logits, tokensOf(where, options)), { k } = options;
    checkInteger(where, "k", k, 1, experts);
    const spread = sameShape(where, "noiseLogits", noiseLogits, rows, experts, mask), noise = sameShape(where, "noise", drawn, rows, experts, mask), sigma = new Float64Array(experts), h = new Float64Array(experts);
    /** Calls `visit` for each expert of each token with z = (logit - kth) / sigma, the expert whose score is the k-th (-1: none), and sigma. */
    const each = (visit: (at: number, e: number, z: number, rival: number, sigma: number) => void): void => {
      for (let n = 0, at = 0; n < rows; n++, at += experts) {
        if (mask[n] === 0) continue;
        for (let e = 0; e < experts; e++) h[e] = data[at + e] + noise[at + e] * (sigma[e] = softplus(spread[at + e]));
        const order = best(h, k), last = order[k - 1], next = k < experts ? order[k] : -1;
        const inside = new Set(order.subarray(0, k));
        for (let e = 0; e < experts; e++) {
          const rival = inside.has(e) ? next : last;
          const above = rival < 0 ? Infinity : data[at + e] - h[rival];
          visit(at, e, above === 0 ? 0 : above / sigma[e], rival, sigma[e]);
        }
      }
    };
    return {
      ...oneValue(where, options),
      pass(coefficients) {
        const loads = new Float64Array(experts);
        each((_, e, z) => void (loads[e] += normalCdf(z)));
        const { value, slope } = variation(loads);
        const gradients = (): { readonly grads: { readonly logits: Tensor<"float32">; readonly noiseLogits: Tensor<"float32"> } } => {
          const scores = new Float64Array(rows * experts), spreads = new Float64Array(rows * experts);
          each((at, e, z, rival, sigma) => {
            const density = 0.3989422804014327 * exp(-0.5 * z * z);
            if (density === 0) return;
            const c = (coefficients![0] * slope[e] * density) / sigma;
            scores[at + e] += c;
            scores[at + rival] -= c;
            spreads[at + e] -= c * z * sigmoid(spread[at + e]);
            spreads[at + rival] -= c * noise[at + rival] * sigmoid(spread[at + rival]);
          });
          const floats = (data: Float64Array): Tensor<"float32"> => new Tensor("float32", [rows, experts], Float32Array.from(data));
          return { grads: { logits: floats(scores), noiseLogits: floats(spreads) } };
        };
        return { values: Float64Array.of(value), gradients };
      },
    };
  });

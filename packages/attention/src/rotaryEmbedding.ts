import { log, pow } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkPositive, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { sinCos } from "./sinCos.ts";

/** How the frequencies of a model that was trained at one length are changed for a longer one; the names of `rope_scaling` in model files. */
export type RotaryScaling =
  /** Every frequency divided by `factor`: positions are interpolated. */
  | { readonly type: "linear"; readonly factor: number }
  /** A larger base: the fastest frequency stays, the slowest is divided by `factor`. Dynamic NTK is this with the factor s L / L0 - (s - 1) of the length L at hand. */
  | { readonly type: "ntk"; readonly factor: number }
  /** Fast frequencies stay, slow ones are divided by `factor`, a ramp between; scores grow by `attentionFactor` squared. */
  | {
    readonly type: "yarn";
    readonly factor: number;
    /** Length of the training. */
    readonly originalLength: number;
    /** Frequencies with at least so many turns over the original length stay. Default 32. */
    readonly betaFast?: number;
    /** Frequencies with at most so many turns are divided. Default 1. */
    readonly betaSlow?: number;
    /** What rotated features are multiplied with. Default 1 + log(factor) / 10. */
    readonly attentionFactor?: number;
  }
  /** Llama 3.1: as "yarn", with a ramp that is linear in the turns. */
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly originalLength: number;
    /** Frequencies with fewer turns over the original length are divided. Default 1. */
    readonly lowFrequencyFactor?: number;
    /** Frequencies with more turns stay. Default 4. */
    readonly highFrequencyFactor?: number;
  };

/** Options of RotaryEmbedding. */
export interface RotaryEmbeddingOptions {
  /** R: the first R features of a head are rotated, an even number; features behind them stay. */
  readonly dimensions: number;
  /** `rope_theta` of a model file. Default 10,000. */
  readonly base?: number;
  /** True: features 2 i and 2 i + 1 are a pair (GPT-J, the original paper). False: i and i + R / 2 (Llama in Transformers, GPT-NeoX). Default false. */
  readonly interleaved?: boolean;
  /** Default none. */
  readonly scaling?: RotaryScaling;
}

const WHERE = "RotaryEmbedding";

function factorOf(argument: string, factor: number): number {
  checkPositive(WHERE, argument, factor);
  if (factor < 1) throw rangeError(WHERE, argument, "at least 1", `${factor}`);
  return factor;
}

/** Angles per position [R / 2]. */
function frequenciesOf(base: number, dimensions: number, scaling: RotaryScaling | undefined): Float64Array {
  const half = dimensions / 2, plain = (from: number): Float64Array => Float64Array.from({ length: half }, (_, i) => pow(from, -i / half)), frequencies = plain(base);
  if (scaling === undefined) return frequencies;
  const { type } = scaling, factor = factorOf("scaling.factor", scaling.factor);
  switch (type) {
    case "linear": return frequencies.map((w) => w / factor);
    case "ntk":
      if (dimensions < 4) throw rangeError(WHERE, "dimensions", 'at least 4 with "ntk"', `${dimensions}`);
      return plain(base * pow(factor, dimensions / (dimensions - 2)));
    case "yarn": {
      const { originalLength, betaFast = 32, betaSlow = 1 } = scaling;
      for (const [name, x] of Object.entries({ originalLength, betaFast, betaSlow })) checkPositive(WHERE, `scaling.${name}`, x);
      if (!(betaFast >= betaSlow)) throw rangeError(WHERE, "scaling.betaFast", `at least betaSlow, ${betaSlow}`, `${betaFast}`);
      // The index at which a frequency makes so many turns over the original length.
      const indexOf = (turns: number): number => (half * log(originalLength / (turns * 2 * Math.PI))) / log(base);
      // Where even the slowest turns often enough, low lies beyond the last index: all stay.
      const low = Math.max(0, Math.floor(indexOf(betaFast))), high = Math.min(dimensions - 1, Math.ceil(indexOf(betaSlow))), width = high > low ? high - low : 0.001;
      return frequencies.map((w, i) => {
        const divided = Math.min(1, Math.max(0, (i - low) / width));
        return (w / factor) * divided + w * (1 - divided);
      });
    }
    case "llama3": {
      const { originalLength, lowFrequencyFactor: low = 1, highFrequencyFactor: high = 4 } = scaling;
      for (const [name, x] of Object.entries({ originalLength, lowFrequencyFactor: low, highFrequencyFactor: high })) checkPositive(WHERE, `scaling.${name}`, x);
      if (!(high > low)) throw rangeError(WHERE, "scaling.highFrequencyFactor", `above lowFrequencyFactor, ${low}`, `${high}`);
      return frequencies.map((w) => {
        const kept = Math.min(1, Math.max(0, ((originalLength * w) / (2 * Math.PI) - low) / (high - low)));
        return (1 - kept) * (w / factor) + kept * w;
      });
    }
    default: throw rangeError(WHERE, "scaling.type", '"linear", "ntk", "yarn" or "llama3"', `${type as string}`);
  }
}

/**
 * Rotary position embedding of queries and keys at given positions: pairs of features turn by an angle that grows with the position, so that q . k depends on the difference of positions alone.
 *
 *   (y[a], y[b]) = m (x[a] cos(p w) - x[b] sin(p w), x[a] sin(p w) + x[b] cos(p w)),   w[i] = base^(-2 i / R),   p the position
 *
 * The pair i is (2 i, 2 i + 1) where `interleaved`, else (i, i + R / 2); m is 1 but for "yarn". Sines and cosines are made once, for all heads and layers: make one for a prompt and one for each token that is decoded.
 *
 * @example
 *   const rotary = new RotaryEmbedding([0, 1, 2], { dimensions: 64 });
 *   attention(rotary.rotate(query), rotary.rotate(key), value, { causal: true }); // [H, 3, 64]
 * Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, section 3.2. Scaling: Chen et al., "Extending Context Window of Large Language Models via Positional Interpolation", 2023 (linear);
 * Peng et al., "YaRN", ICLR 2024, with NTK-aware scaling in section 3.1; all four as in `modeling_rope_utils.py` of Transformers.
 */
export class RotaryEmbedding {
  /** R. */
  readonly dimensions: number;
  readonly interleaved: boolean;
  /** w, float64 [R / 2], in radians for one step of position, after scaling. */
  readonly frequencies: Float64Array;
  /** m: what rotated features are multiplied with. */
  readonly attentionFactor: number;
  /** [T] or [B, T]. */
  readonly shape: readonly number[];
  // m cos and m sin, [B, T, R / 2].
  readonly #cosines: Float32Array;
  readonly #sines: Float32Array;

  /**
   * Makes the tables.
   *
   * @param positions - float32 or integers [T], or [B, T] where they differ in the batch: any real numbers from -2^24 to 2^24, in any order
   * @param options - dimensions, base, interleaved, scaling
   * @throws RangeError for positions that are not finite or beyond 2^24, an odd number of dimensions, and options out of range; TypeError without options
   */
  constructor(positions: TensorLike, options: RotaryEmbeddingOptions) {
    if (typeof options !== "object" || options === null) throw typeError(WHERE, "options", "an object such as { dimensions }", describe(options));
    const { dimensions, base = 10000, interleaved = false, scaling } = options, at = asFloat32(WHERE, "positions", positions);
    if (at.shape.length < 1 || at.shape.length > 2) throw rangeError(WHERE, "positions", "of shape [T] or [B, T]", `[${at.shape.join(", ")}]`);
    for (let i = 0; i < at.size; i++) if (!(Math.abs(at.data[i]) <= 16777216)) throw rangeError(WHERE, "positions", "in [-16777216, 16777216]", `${at.data[i]} at index ${i}`);
    checkInteger(WHERE, "dimensions", dimensions, 2, 65536);
    if (dimensions % 2 !== 0) throw rangeError(WHERE, "dimensions", "even", `${dimensions}`);
    checkPositive(WHERE, "base", base);
    if (!(base > 1)) throw rangeError(WHERE, "base", "above 1", `${base}`);
    const frequencies = frequenciesOf(base, dimensions, scaling), half = dimensions / 2, pair = new Float64Array(2);
    const factor = scaling?.type !== "yarn" ? 1 : (scaling.attentionFactor ?? 1 + 0.1 * log(scaling.factor));
    checkPositive(WHERE, "scaling.attentionFactor", factor);
    this.dimensions = dimensions;
    this.interleaved = interleaved;
    this.frequencies = frequencies;
    this.attentionFactor = factor;
    this.shape = [...at.shape];
    this.#cosines = new Float32Array(at.size * half);
    this.#sines = new Float32Array(at.size * half);
    for (let t = 0; t < at.size; t++) {
      for (let i = 0; i < half; i++) {
        sinCos(at.data[t] * frequencies[i], pair);
        this.#sines[t * half + i] = factor * pair[0];
        this.#cosines[t * half + i] = factor * pair[1];
      }
    }
  }

  /**
   * Turns queries or keys to their positions.
   *
   * @param x - float32 [T, D], [H, T, D] or [B, H, T, D], D >= R; B is that of the positions where they have one
   * @returns float32 of the shape of x. T = 0: empty; NaN stays in its pair
   * @throws RangeError for another shape
   */
  rotate(x: TensorLike): Tensor<"float32"> {
    return this.#turned("rotate", "x", x, 1);
  }

  /**
   * The gradient in x from that in the rotated: turned back, times m.
   *
   * @param upstream - float32, of the shape of x
   * @returns float32 of the same shape
   * @throws RangeError as `rotate`
   */
  gradient(upstream: TensorLike): Tensor<"float32"> {
    return this.#turned("gradient", "upstream", upstream, -1);
  }

  #turned(method: string, argument: string, given: TensorLike, sign: number): Tensor<"float32"> {
    const where = `${WHERE}.${method}`, x = asFloat32(where, argument, given), { shape, data } = x, rank = shape.length, batched = this.shape.length === 2, length = this.shape[this.shape.length - 1];
    const width = shape[rank - 1] ?? 0, fits = rank >= 2 && rank <= 4 && shape[rank - 2] === length && width >= this.dimensions && (!batched || (rank === 4 && shape[0] === this.shape[0]));
    if (!fits) throw rangeError(where, argument, batched ? `of shape [${this.shape[0]}, H, ${length}, D] ([B, H, T, D]), D >= ${this.dimensions}` : `of shape [..., ${length}, D] ([T, D], [H, T, D] or [B, H, T, D]), D >= ${this.dimensions}`, `[${shape.join(", ")}]`);
    const out = new Float32Array(data), cosines = this.#cosines, sines = this.#sines, half = this.dimensions / 2, step = this.interleaved ? 2 : 1, other = this.interleaved ? 1 : half, rows = length === 0 ? 0 : data.length / width, heads = batched ? shape[1] : 0;
    for (let row = 0; row < rows; row++) {
      const t = (batched ? Math.floor(row / (heads * length)) * length : 0) + (row % length);
      for (let i = 0, a = row * width, c = t * half; i < half; i++, a += step, c++) {
        const cosine = cosines[c], sine = sign * sines[c], first = data[a], second = data[a + other];
        out[a] = first * cosine - second * sine;
        out[a + other] = first * sine + second * cosine;
      }
    }
    return new Tensor("float32", shape, out);
  }
}

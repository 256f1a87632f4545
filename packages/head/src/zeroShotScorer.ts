import { TemperatureScaling } from "@logits/calibration";
import { matmul } from "@logits/core-wasm";
import { Tensor, checkPositive, isCsr, rangeError, readJson, tensorToJSON, typeError, type CsrMatrix, type TensorJSON, type TensorLike } from "@logits/tensor";
import { float32Of } from "./arguments.ts";
import type { Scorer } from "./scorer.ts";

const FORMAT = "logits/zero-shot-scorer";
/** exp of the logit scale that CLIP's training ends at. */
const CLIP_SCALE = 100;

/** Embeddings of the prompts: [C, F], one for each class; [C, P, F], P for each; or a list of C arrays, each [F] or [P, F] with a P of its own. */
export type Prompts = TensorLike | readonly TensorLike[];

/** Options of `ZeroShotScorer.of`. */
export interface ZeroShotOptions {
  /** What the cosines are multiplied by, > 0. Default 100, CLIP's. */
  readonly scale?: number;
}

/** What `ZeroShotScorer` writes as JSON. */
export interface ZeroShotScorerJSON {
  readonly format: "logits/zero-shot-scorer";
  readonly version: 1;
  readonly scale: number;
  /** float32 [C, F], each row of length 1. */
  readonly prompts: TensorJSON;
}

/**
 * Logits of embeddings by their angles to the embeddings of prompts: zero-shot classification with CLIP, SigLIP, CLAP or sentence embeddings.
 *
 *   z_c = scale * cos(x, w_c),   w_c = the mean of the normalised embeddings of the prompts of class c, normalised
 *
 * It is a `Scorer`: with labelled rows it goes into a `DecisionHead`, whose temperature learns the scale, whose sets promise coverage, and whose detector
 * `scorer.conceptMatching()` answers "none of these".
 *
 * Sources: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, section 3.1 (prompt ensembles in embedding space); Ming et al., "Delving into out-of-distribution detection with
 * vision-language representations", NeurIPS 2022 (maximum concept matching).
 *
 * @example
 *   const scorer = ZeroShotScorer.of([[1, 0], [0, 1]]);
 *   scorer.logits([[3, 4]]); // [[60, 80]]
 */
export class ZeroShotScorer implements Scorer {
  /** C. */
  readonly classes: number;
  /** F, the width of the embeddings. */
  readonly features: number;
  readonly scale: number;
  readonly #prompts: Tensor<"float32">;

  private constructor(prompts: Tensor<"float32">, scale: number) {
    [this.classes, this.features] = prompts.shape;
    this.scale = scale;
    this.#prompts = prompts;
    Object.freeze(this);
  }

  /**
   * From the prompts' embeddings and a scale that is known.
   *
   * @param prompts - float32, any length but 0
   * @param options - `scale` (100)
   * @throws RangeError for no class, no prompt of a class, another width, a number that is not finite, prompts without a direction (their sum is 0), a scale that is not > 0
   */
  static of(prompts: Prompts, options: ZeroShotOptions = {}): ZeroShotScorer {
    const { scale = CLIP_SCALE } = options;
    checkPositive("ZeroShotScorer.of", "scale", scale);
    return new ZeroShotScorer(ensembles("ZeroShotScorer.of", prompts), scale);
  }

  /**
   * With the scale that makes the labels of some rows most probable, in [2^-10, 2^10]. In a `DecisionHead` it is not needed: the head's temperature divides the scale.
   *
   * @param prompts - as `of`
   * @param features - float32 [N, F], embeddings that no later step uses
   * @param labels - int32 [N], in [0, C)
   * @throws RangeError as `of`, for rows of another shape or without a direction, labels outside [0, C)
   */
  static fit(prompts: Prompts, features: TensorLike, labels: TensorLike): ZeroShotScorer {
    const unit = new ZeroShotScorer(ensembles("ZeroShotScorer.fit", prompts), 1);
    return new ZeroShotScorer(unit.#prompts, 1 / TemperatureScaling.fit(unit.logits(features), labels).temperature);
  }

  /**
   * Logits of a batch.
   *
   * @param features - float32 [N, F], dense, of any length; or one row [F]
   * @returns float32 [N, C], or [C]; NaN for a row with NaN or infinities or of length 0
   * @throws TypeError for a CSR matrix; RangeError for another shape
   */
  logits(features: TensorLike | CsrMatrix): Tensor<"float32"> {
    if (isCsr(features)) throw typeError("ZeroShotScorer.logits", "features", "dense embeddings", "a CSR matrix");
    const x = float32Of("ZeroShotScorer.logits", "features", features);
    if (x.shape.length < 1 || x.shape.length > 2 || x.shape[x.shape.length - 1] !== this.features) throw rangeError("ZeroShotScorer.logits", "features", `of shape [N, ${this.features}] or [${this.features}]`, `[${x.shape.join(", ")}]`);
    const unit = new Float32Array(x.size);
    for (let from = 0; from < x.size; from += this.features) {
      const row = x.data.subarray(from, from + this.features), length = lengthOf(row);
      for (let i = 0; i < row.length; i++) unit[from + i] = length > 0 ? row[i] / length : NaN;
    }
    const { data } = matmul(new Tensor("float32", [x.size / this.features, this.features], unit), this.#prompts, { transposeB: true });
    for (let i = 0; i < data.length; i++) data[i] *= this.scale;
    return new Tensor("float32", [...x.shape.slice(0, -1), this.classes], data);
  }

  /**
   * The detector that answers "none of these": maximum concept matching, the largest of softmax(cos / tau), as a specification for `DecisionHead.fit`.
   *
   * @param tau - temperature of the cosines, > 0. Default 1, the paper's
   */
  conceptMatching(tau = 1): { readonly method: "msp"; readonly temperature: number } {
    checkPositive("ZeroShotScorer.conceptMatching", "tau", tau);
    return { method: "msp", temperature: tau * this.scale };
  }

  toJSON(): ZeroShotScorerJSON {
    return { format: FORMAT, version: 1, scale: this.scale, prompts: tensorToJSON(this.#prompts) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ZeroShotScorer {
    const fields = readJson("ZeroShotScorer.fromJSON", json, FORMAT, 1, "@logits/head");
    const scale = fields.number("scale");
    if (!(scale > 0)) fields.fail("scale", "> 0", `${scale}`);
    const prompts = fields.tensor("prompts", "float32", 2), [classes, width] = prompts.shape;
    if (classes === 0) fields.fail("prompts", "of at least one class", "none");
    for (let c = 0; c < classes; c++) {
      const length = lengthOf(prompts.data.subarray(c * width, (c + 1) * width));
      if (!(Math.abs(length - 1) < 1e-5)) fields.fail("prompts", "with rows of length 1", `${length} in row ${c}`);
    }
    return new ZeroShotScorer(new Tensor("float32", prompts.shape, prompts.data.slice()), scale);
  }
}

/** [C, F]: for each class the normalised sum of its normalised prompts, in float64. */
function ensembles(where: string, prompts: Prompts): Tensor<"float32"> {
  const each = Array.isArray(prompts) ? (prompts as readonly TensorLike[]).map((own, c) => float32Of(where, `prompts[${c}]`, own)) : rowsOf(float32Of(where, "prompts", prompts as TensorLike), where);
  if (each.length === 0) throw rangeError(where, "prompts", "of at least one class", "none");
  const width = each[0].shape[each[0].shape.length - 1];
  const out = new Float32Array(each.length * width);
  each.forEach(({ shape, size, data }, c) => {
    if (shape.length < 1 || shape.length > 2 || shape[shape.length - 1] !== width || size === 0) throw rangeError(where, `prompts[${c}]`, `of shape [${width}] or [P, ${width}], P at least 1`, `[${shape.join(", ")}]`);
    const sum = new Float64Array(width);
    for (let from = 0; from < size; from += width) {
      const row = data.subarray(from, from + width), length = lengthOf(row);
      if (!(length > 0 && length < Infinity)) throw rangeError(where, `prompts[${c}]`, "with a direction", length === 0 ? `only zeros in prompt ${from / width}` : `NaN or Infinity in prompt ${from / width}`);
      for (let i = 0; i < width; i++) sum[i] += row[i] / length;
    }
    const length = lengthOf(sum);
    // Opposite prompts leave nothing but rounding.
    if (!(length > 1e-6)) throw rangeError(where, `prompts[${c}]`, "with a common direction", "prompts that cancel");
    for (let i = 0; i < width; i++) out[c * width + i] = sum[i] / length;
  });
  return new Tensor("float32", [each.length, width], out);
}

function rowsOf(x: Tensor<"float32">, where: string): Tensor<"float32">[] {
  if (x.shape.length !== 2 && x.shape.length !== 3) throw rangeError(where, "prompts", "of shape [C, F] or [C, P, F]", `[${x.shape.join(", ")}]`);
  return Array.from({ length: x.shape[0] }, (_, c) => x.row(c));
}

/** Euclidean length, in float64. */
function lengthOf(row: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] * row[i];
  return Math.sqrt(sum);
}

import { Moments, type Accumulator } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, rangeError, readJson, type TensorLike } from "@logits/tensor";

const FORMAT = "logits/variance-scaling";

/** What `VarianceScaling` writes as JSON. */
export interface VarianceScalingJSON {
  readonly format: "logits/variance-scaling";
  readonly version: 1;
  readonly n: number;
  readonly scale: number;
  readonly standardError: number;
  readonly atBound: boolean;
}

/** One batch of `VarianceScalingAccumulator`: predictions of a mean and a standard deviation, and what came. */
export interface RegressionBatch {
  /** float32 [N], finite. */
  readonly means: TensorLike;
  /** float32 [N], finite and above 0. */
  readonly deviations: TensorLike;
  /** float32 [N], finite. */
  readonly targets: TensorLike;
}

/**
 * One factor s for all predicted standard deviations, chosen so that the standardised residuals have mean square 1.
 *
 *   s^2 = (1 / N) sum_n ((y_n - mu_n) / sigma_n)^2,   sigma' = s sigma
 *
 * That is the maximum of the likelihood of normal predictions, in closed form: the temperature scaling of regression. It leaves the means alone, and a bias in them counts as spread.
 *
 * Sources: Laves, Ihler, Fast, Kahrs, Ortmaier, "Well-calibrated regression uncertainty in medical imaging with deep learning", MIDL 2020; Levi, Gispan, Giladi, Fetaya, "Evaluating and calibrating
 * uncertainty prediction in regression tasks", Sensors 2022.
 */
export class VarianceScaling {
  /** s. Above 1: the model was overconfident. */
  readonly scale: number;
  /** Rows of the fit. */
  readonly n: number;
  /** Standard error of s by the delta method from the spread of the squared residuals, sqrt(Var(z^2) / N) / (2 s), whatever their distribution; 0 for one row and where s is 0. */
  readonly standardError: number;
  /** True where every target was predicted exactly: s is 0. */
  readonly atBound: boolean;

  private constructor(fields: Omit<VarianceScalingJSON, "format" | "version">) {
    this.scale = fields.scale;
    this.n = fields.n;
    this.standardError = fields.standardError;
    this.atBound = fields.atBound;
    Object.freeze(this);
  }

  /**
   * Fits s on rows that no later step uses.
   *
   * @param means - float32 [N], N at least 1, finite: the predicted means
   * @param deviations - float32 [N], finite and above 0: the predicted standard deviations
   * @param targets - float32 [N], finite
   * @returns the fitted factor; every target predicted exactly: 0 with `atBound`
   * @throws RangeError for no rows, another shape, a number that is not finite, a deviation that is not above 0 (with its index)
   * @example
   *   VarianceScaling.fit([0, 0], [1, 1], [2, -2]).scale; // 2
   */
  static fit(means: TensorLike, deviations: TensorLike, targets: TensorLike): VarianceScaling {
    const squares = squaredResiduals("VarianceScaling.fit", { means, deviations, targets });
    if (squares.length === 0) throw rangeError("VarianceScaling.fit", "means", "with at least one row", "none");
    return VarianceScaling.fromMoments(new Moments().update(squares));
  }

  /** The factor from the moments of the squared standardised residuals, as the accumulator keeps them. */
  static fromMoments(squares: Moments): VarianceScaling {
    const { count, mean, variance } = squares.finish();
    if (count === 0) throw rangeError("VarianceScaling.fromMoments", "squares", "with at least one row", "none");
    const scale = Math.sqrt(mean);
    return new VarianceScaling({ n: count, scale, standardError: count > 1 && scale > 0 ? Math.sqrt(variance / count) / (2 * scale) : 0, atBound: scale === 0 });
  }

  /**
   * Calibrated standard deviations: s sigma.
   *
   * @param deviations - float32 of any shape
   * @returns float32, the same shape; NaN stays NaN
   */
  transform(deviations: TensorLike): Tensor<"float32"> {
    const x = asFloat32("VarianceScaling.transform", "deviations", deviations), out = new Float32Array(x.size);
    for (let i = 0; i < out.length; i++) out[i] = this.scale * x.data[i];
    return new Tensor("float32", x.shape, out);
  }

  toJSON(): VarianceScalingJSON {
    return { format: FORMAT, version: 1, n: this.n, scale: this.scale, standardError: this.standardError, atBound: this.atBound };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): VarianceScaling {
    const fields = readJson("VarianceScaling.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const scale = fields.number("scale", 0), atBound = fields.boolean("atBound");
    if (atBound !== (scale === 0)) fields.fail("atBound", `${scale === 0} at scale ${scale}`, `${atBound}`);
    return new VarianceScaling({ n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), scale, standardError: fields.number("standardError", 0), atBound });
  }
}

/**
 * The fit of `VarianceScaling` over streams, workers and machines: count, mean and variance of the squared standardised residuals.
 *
 * @example
 *   new VarianceScalingAccumulator().update({ means: [0], deviations: [1], targets: [2] }).finish().scale; // 2
 * Source: as `VarianceScaling`; the merging of moments as in `Moments`.
 */
export class VarianceScalingAccumulator implements Accumulator<RegressionBatch, VarianceScaling> {
  #squares: Moments = new Moments();

  /** @throws RangeError as `VarianceScaling.fit`; an empty batch changes nothing */
  update(batch: RegressionBatch): this {
    this.#squares.update(squaredResiduals("VarianceScalingAccumulator.update", batch));
    return this;
  }

  merge(other: this): this {
    this.#squares.merge(other.#squares);
    return this;
  }

  /** The state: the bytes of the `Moments` of the squared residuals. */
  toBytes(): Uint8Array {
    return this.#squares.toBytes();
  }

  /** @throws FormatError if the bytes are not those of a `Moments` */
  static fromBytes(bytes: Uint8Array): VarianceScalingAccumulator {
    const out = new VarianceScalingAccumulator();
    out.#squares = Moments.fromBytes(bytes);
    return out;
  }

  /** @throws RangeError where no row was seen */
  finish(): VarianceScaling {
    return VarianceScaling.fromMoments(this.#squares);
  }
}

/** ((y - mu) / sigma)^2 in float64. */
function squaredResiduals(where: string, batch: RegressionBatch): Float64Array {
  const { means, deviations, targets } = checkedNormal(where, batch), out = new Float64Array(means.length);
  for (let i = 0; i < out.length; i++) {
    const z = (targets[i] - means[i]) / deviations[i];
    out[i] = z * z;
  }
  return out;
}

/** Means, deviations above 0 and targets of a fit, all [N] and finite. */
export function checkedNormal(where: string, batch: RegressionBatch): { means: Float32Array; deviations: Float32Array; targets: Float32Array } {
  const means = asFloat32(where, "means", batch.means);
  checkShape(where, "means", means, ["N"]);
  const read = (argument: "deviations" | "targets"): Float32Array => {
    const x = asFloat32(where, argument, batch[argument]);
    checkShape(where, argument, x, [means.size]);
    return x.data;
  };
  const deviations = read("deviations"), targets = read("targets");
  for (let i = 0; i < means.size; i++) {
    if (means.data[i] - means.data[i] !== 0) throw rangeError(where, "means", "of finite numbers", `${means.data[i]} at index ${i}`);
    if (!(deviations[i] > 0 && deviations[i] < Infinity)) throw rangeError(where, "deviations", "of finite numbers > 0", `${deviations[i]} at index ${i}`);
    if (targets[i] - targets[i] !== 0) throw rangeError(where, "targets", "of finite numbers", `${targets[i]} at index ${i}`);
  }
  return { means: means.data, deviations, targets };
}

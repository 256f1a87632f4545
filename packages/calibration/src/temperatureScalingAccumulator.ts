import { temperatureMoments, type TemperatureMoments } from "@logits/core-wasm";
import { ByteReader, ByteWriter, exp, log, pow, type Accumulator } from "@logits/statistics";
import { checkInteger, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { checkedLogits, checkedPairs, unusableRow } from "./calibrator.ts";
import { TemperatureScaling } from "./temperatureScaling.ts";

const FORMAT = "calibration.TemperatureScaling";
/** Points of the grid from one power of two of T to the next. */
const PER_OCTAVE = 4;

/** Labelled rows of logits. */
export interface LabelledBatch {
  /** float32 [N, C]; -Infinity = impossible class. */
  readonly logits: TensorLike;
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
}

/** Options of `TemperatureScalingAccumulator`. */
export interface TemperatureScalingAccumulatorOptions {
  /** C. */
  readonly classes: number;
  /** The temperatures that it can tell apart are those from 2^-octaves to 2^octaves: an integer in [1, 10], default 4. Each octave costs 8 passes over a batch. */
  readonly octaves?: number;
}

/**
 * `TemperatureScaling` over streams, workers and machines: the loss with its first two derivatives at a fixed grid of temperatures, four to each power of two.
 *
 * The rows are gone when the temperature is looked for, so the derivative between two points of the grid is the cubic with the values and slopes there: T within 2e-5 of that of
 * `TemperatureScaling.fit`, where a standard error at a million rows is about 1e-3. Where the optimum lies outside the grid the result is its end, with `atBound`.
 *
 * @example
 *   new TemperatureScalingAccumulator({ classes: 2 }).update({ logits: [[4, 0], [4, 0], [4, 0], [4, 0]], labels: [0, 0, 0, 1] }).finish().temperature; // 3.641
 * Source: as `TemperatureScaling`; Fritsch and Carlson, SIAM J. Numer. Anal. 17 (1980), for Hermite cubics.
 */
export class TemperatureScalingAccumulator implements Accumulator<LabelledBatch, TemperatureScaling> {
  /** C. */
  readonly classes: number;
  readonly octaves: number;
  readonly #betas: Float64Array;
  /** [points, 3]: loss, first and second derivative by beta, summed. */
  readonly #moments: Float64Array;
  #n = 0;

  /** @throws RangeError for an option out of range */
  constructor({ classes, octaves = 4 }: TemperatureScalingAccumulatorOptions) {
    checkInteger("TemperatureScalingAccumulator", "classes", classes, 1, 2147483647);
    checkInteger("TemperatureScalingAccumulator", "octaves", octaves, 1, 10);
    this.classes = classes;
    this.octaves = octaves;
    // float32, as the kernel takes them.
    this.#betas = Float64Array.from({ length: 2 * octaves * PER_OCTAVE + 1 }, (_, i) => Math.fround(pow(2, Math.floor(i / PER_OCTAVE) - octaves) * ROOTS[i % PER_OCTAVE]));
    this.#moments = new Float64Array(3 * this.#betas.length);
  }

  /** @throws RangeError as `TemperatureScaling.fit`, and for another width; a batch that throws leaves the accumulator as it was */
  update({ logits, labels }: LabelledBatch): this {
    const where = "TemperatureScalingAccumulator.update", { z, y, n } = checkedPairs(where, logits, labels);
    checkedLogits(where, z, this.classes);
    const unusable = unusableRow(where, z, y);
    if (unusable) throw unusable;
    const own = Array.from(this.#betas, (beta) => temperatureMoments(z, y, { beta }));
    if (own.some(({ loss }) => !(loss < Infinity))) throw rangeError(where, "logits", "with differences that float32 holds", "an infinite loss");
    own.forEach(({ loss, gradient, curvature }, i) => [loss, gradient, curvature].forEach((value, j) => (this.#moments[3 * i + j] += value)));
    this.#n += n;
    return this;
  }

  merge(other: this): this {
    const where = "TemperatureScalingAccumulator.merge";
    if (!(other instanceof TemperatureScalingAccumulator)) throw typeError(where, "other", "a TemperatureScalingAccumulator", describe(other));
    if (other.classes !== this.classes || other.octaves !== this.octaves) throw rangeError(where, "other", `of ${this.classes} classes and ${this.octaves} octaves`, `${other.classes} and ${other.octaves}`);
    for (let i = 0; i < this.#moments.length; i++) this.#moments[i] += other.#moments[i];
    this.#n += other.#n;
    return this;
  }

  toBytes(): Uint8Array {
    return new ByteWriter(FORMAT, 1).uint32(this.classes).uint32(this.octaves).float64(this.#n).float64Array(this.#moments).bytes();
  }

  /** @throws FormatError if the bytes are not those of a `TemperatureScalingAccumulator` */
  static fromBytes(bytes: Uint8Array): TemperatureScalingAccumulator {
    const reader = new ByteReader("TemperatureScalingAccumulator.fromBytes", bytes, FORMAT, 1), classes = reader.uint32(), octaves = reader.uint32(), n = reader.float64("n");
    if (!(classes >= 1 && classes <= 2147483647 && octaves >= 1 && octaves <= 10)) throw reader.error("with `classes` >= 1 and `octaves` in [1, 10]", `${classes} and ${octaves}`);
    if (!(Number.isSafeInteger(n) && n >= 0)) throw reader.error("with an integer `n` >= 0", `${n}`);
    const out = new TemperatureScalingAccumulator({ classes, octaves });
    out.#moments.set(reader.float64Array("moments", out.#moments.length));
    reader.end();
    const bad = out.#moments.findIndex((value, i) => i % 3 === 2 && value < 0);
    if (bad >= 0) throw reader.error("with second derivatives >= 0 in `moments`", `${out.#moments[bad]} at index ${bad}`);
    out.#n = n;
    return out;
  }

  /** The temperature so far. RangeError where no row was seen. */
  finish(): TemperatureScaling {
    const betas = this.#betas, last = betas.length - 1, points = Array.from(betas, (_, i) => this.#at(i));
    if (this.#n === 0) throw rangeError("TemperatureScalingAccumulator.finish", "this", "with at least one row", "none");
    const made = (beta: number, moments: TemperatureMoments, atBound: boolean): TemperatureScaling => TemperatureScaling.fromOptimum(this.#n, this.classes, { beta, moments, passes: betas.length, atBound });
    // One class, or rows of equal scores: no temperature matters.
    if (points.every(({ gradient, curvature }) => gradient === 0 && curvature === 0)) return made(1, points[last >> 1], false);
    if (points[0].gradient >= 0) return made(betas[0], points[0], true);
    if (points[last].gradient <= 0) return made(betas[last], points[last], true);
    const right = points.findIndex(({ gradient }) => gradient > 0), a = points[right - 1], b = points[right], low = log(betas[right - 1]), width = log(betas[right]) - low;
    // By u = log beta, in which the grid is even: f'(u) = beta f'(beta).
    const slope = (i: number, of: number): number => width * betas[i] * of;
    const gradient = hermite(a.gradient, b.gradient, slope(right - 1, a.curvature), slope(right, b.curvature));
    const loss = hermite(a.loss, b.loss, slope(right - 1, a.gradient), slope(right, b.gradient));
    let from = 0, to = 1;
    for (let i = 0; i < 60; i++) {
      const middle = (from + to) / 2;
      if (gradient.value(middle) < 0) from = middle;
      else to = middle;
    }
    const beta = exp(low + from * width), nearest = from < 0.5 ? a : b;
    return made(beta, { loss: loss.value(from), gradient: nearest.gradient, curvature: Math.max(0, gradient.slope(from) / (width * beta)) }, false);
  }

  #at(i: number): TemperatureMoments {
    const [loss, gradient, curvature] = this.#moments.subarray(3 * i, 3 * i + 3);
    return { loss, gradient, curvature };
  }
}

/** 2^(i / 4), rounded to float64. */
const ROOTS = [1, 1.189207115002721, Math.SQRT2, 1.681792830507429];

/** The cubic on [0, 1] with these values and slopes at the ends. */
function hermite(left: number, right: number, leftSlope: number, rightSlope: number): { value(t: number): number; slope(t: number): number } {
  const c = 3 * (right - left) - 2 * leftSlope - rightSlope, d = leftSlope + rightSlope - 2 * (right - left);
  return { value: (t) => left + t * (leftSlope + t * (c + t * d)), slope: (t) => leftSlope + t * (2 * c + 3 * t * d) };
}

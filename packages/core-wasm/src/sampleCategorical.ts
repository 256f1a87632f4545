import { Tensor, checkInteger, checkNoNaN, rangeError, type TensorLike } from "@logits/tensor";
import { eachPiece, rowsOf } from "./lastAxis.ts";
import { intView, scratch } from "./memory.ts";
import { checkNoise, halves, kernels, type NoiseOptions } from "./sample.ts";
import { inverseTemperature } from "./temperature.ts";

/** Options of sampleCategorical. */
export interface SampleCategoricalOptions extends NoiseOptions {
  /** Divides the scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

/**
 * Draws classes from scores, with replacement.
 *
 *   P(y[..., j] = c) = exp(logits[..., c] / T) / Z
 *
 * Draw j of row r inverts the distribution function at uniform number j of `randomSource(seed, stream + r)`, of 52 bits: the same classes in every engine,
 * and a row does not depend on its batch. Probabilities are within 3e-7 relative of float64; below 2^-125 of the largest they are 0.
 *
 * @param logits - scores, float32 [..., C], C >= 1; -Infinity = impossible, never drawn
 * @param count - draws for each row, an integer from 0 up
 * @param options - `seed` (required), `stream` (default 0), `temperature` T (default 1)
 * @returns int32 [..., count], classes in [0, C)
 * @throws RangeError for a row with NaN or +Infinity or without a possible class (it is named), a row without elements, a count, seed or stream out of range, or a temperature outside [2^-126, 2^126]
 * @example
 *   sampleCategorical([0, 0, -Infinity], 4, { seed: 7 }); // zeros and ones
 * Source: folklore (Devroye, Non-Uniform Random Variate Generation, 1986, III.2).
 */
export function sampleCategorical(logits: TensorLike, count: number, options: SampleCategoricalOptions): Tensor<"int32"> {
  const where = "sampleCategorical";
  const { seed, stream = 0, temperature = 1 } = options;
  checkNoise(where, options);
  const scale = inverseTemperature(where, temperature);
  checkInteger(where, "count", count, 0, 2147483647);
  const rows = rowsOf(where, "logits", logits);
  const { x, cols, step, resident } = rows;
  if (cols === 0) throw rangeError(where, "logits", "with at least one element in a row", `shape [${x.shape.join(", ")}]`);
  const { f32_sample_categorical } = kernels();
  const [key0, key1] = halves(seed);
  const work = (128 + 4 * (cols + 4) + 8 * (Math.ceil(cols / 32) + 3) + 63) & ~63;
  const base = scratch(work + 4 * step * count + (resident ? 0 : 4 * step * cols));
  const drawn = base + work;
  const result = new Int32Array(rows.rows * count);
  const refused = eachPiece(rows, drawn + 4 * step * count, (from, row, n) => {
    const bad = f32_sample_categorical(from, drawn, n, cols, count, scale, key0, key1, ...halves(stream + row), base);
    if (bad < 0) result.set(intView().subarray(drawn >>> 2, (drawn >>> 2) + n * count), row * count);
    return bad;
  });
  if (refused >= 0) refuse(where, x, cols, refused);
  return new Tensor("int32", [...x.shape.slice(0, -1), count], result);
}

/** Says why a row has no distribution. */
function refuse(where: string, x: Tensor<"float32">, cols: number, row: number): never {
  checkNoNaN(where, "logits", x, cols);
  const at = x.data.subarray(row * cols, (row + 1) * cols).indexOf(Infinity);
  if (at >= 0) throw rangeError(where, "logits", "below +Infinity", `+Infinity in row ${row}, column ${at}`);
  throw rangeError(where, "logits", "with a possible class in every row", `only -Infinity in row ${row}`);
}

import { log } from "@logits/statistics";
import { Tensor, asFloat32, rangeError, type TensorLike } from "@logits/tensor";

/** Logits, and what was lost. */
export interface LogitsOfProbabilities {
  /** ln max(p, 2^-126), float32, the shape of the probabilities. */
  readonly logits: Tensor<"float32">;
  /** Elements below 2^-126 that were raised to it. */
  readonly clipped: number;
  /** Rows with such an element. */
  readonly clippedRows: number;
}

const SMALLEST = 2 ** -126;

/**
 * Logits of probabilities: ln max(p, 2^-126). Softmax of the result gives the probabilities back (normalised).
 *
 * The clip changes a fitted temperature when it is too high (1e-10 moved T from 2.1209 to 2.1091 on real outputs), so it is the smallest normal float32, and
 * clipped elements are counted. Hand over logits where you have them.
 *
 * @param probabilities - float32 [..., C], each in [0, 1] (1 + 1e-5 is let through); rows need not sum to 1
 * @returns `logits` in [-87.3366, 0], `clipped`, `clippedRows`
 * @throws RangeError for rank 0 and for an element that is no probability (NaN included; its row is named)
 * @example
 *   probabilitiesToLogits([[1, 0]]).logits.toArray(); // [[0, -87.3366]]
 * Source: folklore.
 */
export function probabilitiesToLogits(probabilities: TensorLike): LogitsOfProbabilities {
  const p = asFloat32("probabilitiesToLogits", "probabilities", probabilities);
  if (p.shape.length === 0) throw rangeError("probabilitiesToLogits", "probabilities", "of shape [..., C]", "[]");
  const cols = Math.max(1, p.shape[p.shape.length - 1]);
  const { data } = p;
  const out = new Float32Array(data.length);
  let clipped = 0, clippedRows = 0;
  for (let i = 0, row = 0; i < out.length; row++) {
    const already = clipped;
    for (const end = i + cols; i < end; i++) {
      const value = data[i];
      if (!(value >= 0 && value <= 1.00001)) throw rangeError("probabilitiesToLogits", "probabilities", "in [0, 1]", `${value} in row ${row}, column ${i - row * cols}`, "Logits need no conversion");
      if (value < SMALLEST) clipped++;
      out[i] = log(value < SMALLEST ? SMALLEST : value);
    }
    if (clipped > already) clippedRows++;
  }
  return { logits: new Tensor("float32", p.shape, out), clipped, clippedRows };
}

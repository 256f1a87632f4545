import { rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import { relaxed, simd } from "#wasm/twopass";
import { family } from "./family.ts";
import { mapRows } from "./rows.ts";
import type { SoftmaxOptions } from "./softmax.ts";
import { inverseTemperature } from "./temperature.ts";

const kernels = family<{ f32_two_pass(x: number, y: number, rows: number, cols: number, scale: number): number }>("twopass", { simd, relaxed });

/**
 * Softmax in two passes over memory instead of three: sums are kept as pairs (mantissa, exponent), so that no maximum is needed and nothing overflows.
 *
 *   p[..., c] = exp(x[..., c] / T) / Z;   exp z = m 2^k,   k = round(z / ln 2)
 *
 * For its use of memory; `softmax` is faster wherever arithmetic and not memory is the limit. Within 1e-6 relative of float64 for rows of ordinary logits, and 5e-6 anywhere in the range.
 *
 * @param x - scores, float32 [..., C], C >= 1; -Infinity = impossible, probability exactly 0
 * @param options - `temperature` T (default 1), `axis` (default -1), `out`
 * @returns float32, shape of `x`. One element: 1 within rounding. A row with NaN or +Infinity, or of -Infinity only: NaN. Below 2^-126 of the largest: 0.
 * @throws RangeError for a row whose largest x / T is finite but beyond +-16384 (its exponent has no room; `softmax` takes it), a row without elements, or a
 *   temperature outside [2^-126, 2^126]
 * @example
 *   twoPassSoftmax([1, 2, 3]); // 0.0900, 0.2447, 0.6652
 * Source: Dukhan and Ablavatski, "The Two-Pass Softmax Algorithm", 2020.
 */
export function twoPassSoftmax(x: TensorLike, options: SoftmaxOptions = {}): Tensor<"float32"> {
  const scale = inverseTemperature("twoPassSoftmax", options.temperature ?? 1);
  const { f32_two_pass } = kernels();
  let row = 0;
  return mapRows("twoPassSoftmax", x, options, "row", (cols) => (px, py, rows) => {
    const refused = f32_two_pass(px, py, rows, cols, scale);
    if (refused >= 0) throw rangeError("twoPassSoftmax", "x", "with the largest x / temperature of a row within +-16384", `row ${row + refused} beyond it`, "Use softmax");
    row += rows;
  });
}

import { rangeError } from "@logits/tensor";
import { byteView, scratch, wasmMemory } from "./memory.ts";
import { kernels } from "./vectorScalingGradient.ts";

/** Rows in memory at a time. */
const CHUNK = 8192;
/** Bytes before the rows: the targets of pairs, then the sums. */
const HEAD = 192;

/** Rows and coefficients of `logisticSums`. */
export interface LogisticRows {
  /** float64 [N]. */
  readonly x: Float64Array;
  /** float64 [N]; none = 0. */
  readonly y?: Float64Array;
  /** uint8 [N] of 0 and 1: which target a row has. */
  readonly mask: Uint8Array;
  /** The target where the mask is 0, and where it is 1. */
  readonly targets: readonly [zero: number, one: number];
}

/**
 * Sums of a logistic regression of two features over rows, with z = a x + b y + c, p = sigmoid(z), r = p - target, w = p (1 - p):
 *
 *   sums = (sum r x, r y, r;   sum w x x, w y x, w y y, w x, w y, w;   sum max(z, 0) - target z;   m, k),      sum of log(1 + exp(-|z|)) = log m + k log 2,  m in [1, 2)
 *
 * so the loss, in nats, is sums[9] + log m + k log 2. In float64 throughout, without fused operations: the same bits in every engine; p within 2e-16, w within 4 ULP, where |z| <= 708; exp(-|z|) counts as exp(-708) beyond.
 *
 * @param rows - `x`, `y`, `mask`, `targets`
 * @param first - first row
 * @param end - past the last row
 * @param coefficients - a, b, c
 * @param sums - float64 [12], receives the sums
 * @throws RangeError for lists of other lengths
 * @example
 *   logisticSums({ x: Float64Array.of(0), mask: Uint8Array.of(1), targets: [0, 1] }, 0, 1, [0, 0, 0], sums); // 0, 0, -0.5, 0, 0, 0, 0, 0, 0.25, 0, 1, 1
 * Source: Lin, Lin, Weng, Machine Learning 68 (2007); exp as fdlibm, Sun Microsystems, 1993.
 */
export function logisticSums({ x, y, mask, targets: [zero, one] }: LogisticRows, first: number, end: number, [a, b, c]: readonly [number, number, number], sums: Float64Array): void {
  const where = "logisticSums", n = x.length;
  if (mask.length !== n) throw rangeError(where, "mask", `of length ${n}`, `${mask.length}`);
  if (y !== undefined && y.length !== n) throw rangeError(where, "y", `of length ${n}`, `${y.length}`);
  if (sums.length !== 12) throw rangeError(where, "sums", "of length 12", `${sums.length}`);
  if (!(first >= 0 && first <= end && end <= n)) throw rangeError(where, "end", `in [first, ${n}]`, `rows ${first} to ${end}`);
  const base = scratch(HEAD + 17 * CHUNK), { buffer } = wasmMemory(), px = base + HEAD, py = px + 8 * CHUNK, pm = py + 8 * CHUNK;
  new Float64Array(buffer, base, 8).set([zero, zero, one, zero, zero, one, one, one]);
  const part = new Float64Array(buffer, base + 64, 12), firsts = new Float64Array(buffer, px, CHUNK), seconds = new Float64Array(buffer, py, CHUNK), marks = byteView();
  const run = (count: number): void => {
    if (y === undefined) kernels().f64_logistic_one(px, pm, count, a, c, base, base + 64);
    else kernels().f64_logistic_two(px, py, pm, count, a, b, c, base, base + 64);
  };
  sums.fill(0);
  // The product of the parts so far.
  let mantissa = 1, exponent = 0;
  const add = (scale: number, m: number): void => {
    for (let i = 0; i < 10; i++) sums[i] += part[i] * scale;
    mantissa *= m;
    if (mantissa >= 2) {
      mantissa /= 2;
      exponent++;
    }
  };
  const even = end - ((end - first) & 1);
  for (let from = first; from < even; from += CHUNK) {
    const to = Math.min(even, from + CHUNK);
    firsts.set(x.subarray(from, to));
    if (y !== undefined) seconds.set(y.subarray(from, to));
    marks.set(mask.subarray(from, to), pm);
    run(to - from);
    add(1, part[10]);
    exponent += part[11];
  }
  if (even < end) {
    // The last row twice, and half of the sums.
    firsts.fill(x[even], 0, 2);
    if (y !== undefined) seconds.fill(y[even], 0, 2);
    marks.fill(mask[even], pm, pm + 2);
    run(2);
    // m 2^k is in [1, 4], k from 0 to 2.
    add(0.5, Math.sqrt(part[10] * (1 << part[11])));
  }
  sums[10] = mantissa;
  sums[11] = exponent;
}

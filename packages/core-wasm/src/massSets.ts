import { rangeError } from "@logits/tensor";
import * as binary from "#wasm/sets";
import { family } from "./family.ts";
import { byteView, floatView, intView, scratch, wasmMemory } from "./memory.ts";

const kernels = family<{
  f32_label_ranks(p: number, labels: number, rows: number, cols: number, mass: number, before: number, top: number): void;
  f32_mass_sets(p: number, rows: number, cols: number, thresholds: number, uniforms: number, penalty: number, free: number, mask: number, sizes: number, work: number): void;
}>("sets", binary);

/** Elements of probabilities in memory at a time: with what the kernels need beside them they stay in the second-level cache. */
const CHUNK = 65536;

/** Rows of one call. */
const stepOf = (cols: number): number => Math.max(1, Math.floor(CHUNK / cols));

function rowsOf(where: string, p: Float32Array, cols: number): number {
  const rows = p.length / cols;
  if (!Number.isInteger(rows)) throw rangeError(where, "p", `of a multiple of ${cols} elements`, `${p.length}`);
  return rows;
}

/** Where a label stands among the classes of its row. */
export interface LabelRanks {
  /** float64 [N]: the sum of the probabilities before the label's, each rounded to a multiple of 2^-52. */
  readonly mass: Float64Array;
  /** int32 [N]: how many classes are before the label; 0 = it is the most probable one. */
  readonly before: Int32Array;
  /** float32 [N]: the largest probability of the row. */
  readonly top: Float32Array;
}

/**
 * Where labels stand among the classes of their rows, ranked by probability (descending, equal ones by index): what the scores of adaptive prediction sets are made of.
 *
 * Probabilities are rounded to multiples of 2^-52 and added in float64, which is exact in any order.
 *
 * @param p - float32 [N, C] row-major, in [0, 1]
 * @param labels - int32 [N], in [0, C)
 * @param cols - C
 * @example
 *   labelRanks(Float32Array.of(0.25, 0.5, 0.25), Int32Array.of(2), 3); // mass 0.75, before 2, top 0.5
 * Source: Romano, Sesia, Candes, "Classification with valid and adaptive coverage", NeurIPS 2020.
 */
export function labelRanks(p: Float32Array, labels: Int32Array, cols: number): LabelRanks {
  const where = "labelRanks", rows = rowsOf(where, p, cols), step = Math.min(rows, stepOf(cols));
  if (labels.length !== rows) throw rangeError(where, "labels", `of length ${rows}`, `${labels.length}`);
  const result = { mass: new Float64Array(rows), before: new Int32Array(rows), top: new Float32Array(rows) };
  const base = scratch(20 * step + 64 + 4 * step * cols), py = base + 8 * step, pb = py + 4 * step, pt = pb + 4 * step, px = base + ((20 * step + 15) & ~15);
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    floatView().set(p.subarray(row * cols, (row + count) * cols), px >>> 2);
    intView().set(labels.subarray(row, row + count), py >>> 2);
    kernels().f32_label_ranks(px, py, count, cols, base, pb, pt);
    result.mass.set(new Float64Array(wasmMemory().buffer, base, count), row);
    result.before.set(intView().subarray(pb >>> 2, (pb >>> 2) + count), row);
    result.top.set(floatView().subarray(pt >>> 2, (pt >>> 2) + count), row);
  }
  return result;
}

/** What `massSets` writes. */
export interface MassSets {
  /** uint8 [N, C]: 1 = the class is in the set. */
  readonly mask: Uint8Array;
  /** int32 [N]. */
  readonly sizes: Int32Array;
}

/** What a rank costs. */
export interface MassSetsOptions {
  /** Price of each rank behind the free ones, finite and >= 0. Default 0. */
  readonly penalty?: number;
  /** Ranks without a price. Default 0. */
  readonly freeRanks?: number;
}

/**
 * The classes whose adaptive score is at most a threshold, ordering only those near the cut.
 *
 *   score(c) = float32(mass before c + (1 - u) p_c + penalty max(0, rank - freeRanks))    classes ranked from 1 by (p descending, index ascending); p_c < 2^-53: 1 takes the place of (1 - u) p_c
 *
 * @param p - float32 [N, C] row-major, in [0, 1], rows that sum to 1 within 1e-7 C
 * @param cols - C
 * @param thresholds - float64 [N], finite
 * @param uniforms - float64 [N], u of each row, in [0, 1)
 * @param out - receives the sets: `mask` [N C], `sizes` [N]
 * @example
 *   const out = { mask: new Uint8Array(3), sizes: new Int32Array(1) };
 *   massSets(Float32Array.of(0.25, 0.5, 0.25), 3, Float64Array.of(0.8), Float64Array.of(0), out); // mask 1, 1, 0
 * Source: Romano, Sesia, Candes, NeurIPS 2020; Angelopoulos, Bates, Malik, Jordan, ICLR 2021 (the price of a rank).
 */
export function massSets(p: Float32Array, cols: number, thresholds: Float64Array, uniforms: Float64Array, out: MassSets, options: MassSetsOptions = {}): void {
  const where = "massSets", { penalty = 0, freeRanks = 0 } = options;
  const rows = rowsOf(where, p, cols), step = Math.min(rows, stepOf(cols));
  const { mask, sizes } = out;
  for (const [name, list, length] of [["thresholds", thresholds, rows], ["uniforms", uniforms, rows], ["mask", mask, rows * cols], ["sizes", sizes, rows]] as const) {
    if (list.length !== length) throw rangeError(where, name, `of length ${length}`, `${list.length}`);
  }
  const work = (98368 + 16 * (cols + 4) + 63) & ~63;
  const base = scratch(work + 20 * step + 64 + 5 * step * cols), pt = base + work, pu = pt + 8 * step, ps = pu + 8 * step, px = pt + ((20 * step + 15) & ~15), pm = px + 4 * step * cols;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    floatView().set(p.subarray(row * cols, (row + count) * cols), px >>> 2);
    new Float64Array(wasmMemory().buffer, pt, count).set(thresholds.subarray(row, row + count));
    new Float64Array(wasmMemory().buffer, pu, count).set(uniforms.subarray(row, row + count));
    kernels().f32_mass_sets(px, count, cols, pt, pu, penalty, freeRanks, pm, ps, base);
    mask.set(byteView().subarray(pm, pm + count * cols), row * cols);
    sizes.set(intView().subarray(ps >>> 2, (ps >>> 2) + count), row);
  }
}

import { Tensor, checkAttached, rangeError, typeError, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/scores";
import { family } from "./family.ts";
import { eachPiece, rowsOf } from "./lastAxis.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { inverseTemperature } from "./temperature.ts";

/** The kernel of the family `scores`. */
export const kernels: () => {
  f32_logit_statistics(x: number, y: number, rows: number, cols: number, stride: number, beta: number, temperature: number, select: number, lanes: number): void;
} = family("scores", binary);

/** In the order of the kernel's bits. */
const NAMES = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax"] as const;
const ARGMAX = 6;

/** Scratch: one vector per column for up to 256 columns. */
const LANES = 4096;

/** What `logitStatistics` computes of each row. */
export type LogitStatistic = (typeof NAMES)[number];

/** Options of `logitStatistics`. */
export interface LogitStatisticsOptions<Name extends LogitStatistic = LogitStatistic> {
  /** T, divides the logits in `maxProbability`, `otherProbability`, `energy` and `entropy`; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** Which statistics. Default all. */
  readonly select?: readonly Name[];
}

/** One tensor per statistic, of the shape of the logits without the last axis: float32, `argmax` int32. */
export type LogitStatistics<Name extends LogitStatistic = LogitStatistic> = { readonly [Key in Name]: Key extends "argmax" ? Tensor<"int32"> : Tensor<"float32"> };

/**
 * Statistics of each row of logits in one pass: what confidences and out-of-distribution scores are made of.
 *
 *   maxProbability   max_c p_c,  p = softmax(logits / T)          energy   -T log sum_c exp(logits_c / T)
 *   otherProbability 1 - max_c p_c, as the sum of the others      entropy  -sum_c p_c log p_c, in nats
 *   maxLogit         max_c logits_c                               margin   largest minus second largest logit
 *   argmax           the smallest c with the largest logit
 *
 * A row is read from memory once and its maximum, weights and index are found while it is in the cache. `otherProbability` keeps the order of rows whose `maxProbability`
 * is 1 in float32. A row has the same bits alone and in any batch.
 *
 * @param logits - float32 [..., C], C >= 1; -Infinity = impossible class
 * @param options - `temperature` T (1; not applied to `maxLogit` and `margin`), `select` (all)
 * @returns float32 [...] each, `argmax` int32 [...]. A row with NaN: NaN. One possible class: margin +Infinity. A row with +Infinity or of -Infinity only has no
 *   distribution: probabilities and entropy NaN, energy minus the largest logit, margin the difference (NaN between equal infinities)
 * @throws RangeError for no classes, a temperature outside [2^-126, 2^126], a name that is no statistic, and, with `argmax`, a row with NaN (named)
 * @example
 *   logitStatistics([[2, 0]], { select: ["energy", "margin"] }).energy; // -2.1269
 * Source: energy: Liu, Wang, Owens, Li, "Energy-based out-of-distribution detection", NeurIPS 2020; the others are folklore.
 */
export function logitStatistics<const Name extends LogitStatistic = LogitStatistic>(logits: TensorLike, options: LogitStatisticsOptions<Name> = {}): LogitStatistics<Name> {
  const where = "logitStatistics";
  const { temperature = 1, select = NAMES as readonly LogitStatistic[] } = options;
  const beta = inverseTemperature(where, temperature);
  if (!Array.isArray(select)) throw typeError(where, "select", "a list of names", `${select as unknown}`);
  let bits = 0;
  for (const name of select as readonly LogitStatistic[]) {
    const bit = NAMES.indexOf(name);
    if (bit < 0) throw rangeError(where, "select", `of ${NAMES.join(", ")}`, `${name}`);
    bits |= 1 << bit;
  }
  const x = rowsOf(where, "logits", logits);
  const { rows, cols, step, resident } = x;
  const { shape } = x.x;
  if (cols === 0) throw rangeError(where, "logits", "with at least one class", `shape [${shape.join(", ")}]`);
  const outer = shape.slice(0, -1);
  const results: Partial<Record<LogitStatistic, Tensor<"float32"> | Tensor<"int32">>> = {};
  for (let i = 0; i < NAMES.length; i++) {
    if (bits & (1 << i)) results[NAMES[i]] = i === ARGMAX ? new Tensor("int32", outer, new Int32Array(rows)) : new Tensor("float32", outer, new Float32Array(rows));
  }
  const lanes = scratch(LANES + 4 * step * (NAMES.length + (resident ? 0 : cols)));
  const py = lanes + LANES, room = py + 4 * step * NAMES.length;
  // After scratch, which may have grown the memory: a view of it would be empty now.
  checkAttached(where, "logits", x.x);
  const { f32_logit_statistics } = kernels();
  eachPiece(x, room, (from, row, count) => {
    f32_logit_statistics(from, py, count, cols, step, beta, temperature, bits, lanes);
    for (let i = 0; i < NAMES.length; i++) {
      const data = results[NAMES[i]]?.data;
      if (data === undefined) continue;
      const at = (py >>> 2) + i * step, view = i === ARGMAX ? intView() : floatView();
      // One row is the common case of a decision: no view of a view.
      if (count === 1) data[row] = view[at];
      else data.set(view.subarray(at, at + count), row);
    }
    return -1;
  });
  const refused = results.argmax?.data.indexOf(-1) ?? -1;
  if (refused >= 0) throw rangeError(where, "logits", "without NaN where `argmax` is selected", `NaN in row ${refused}`);
  return results as LogitStatistics<Name>;
}

import { Tensor, checkAttached, checkInteger, rangeError, typeError, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/scores";
import { family } from "./family.ts";
import { eachPiece, rowsOf } from "./lastAxis.ts";
import { floatView, intView, scratch } from "./memory.ts";
import { inverseTemperature } from "./temperature.ts";

/** The kernel of the family `scores`. */
export const kernels: () => {
  f32_logit_statistics(x: number, y: number, rows: number, cols: number, stride: number, beta: number, temperature: number, select: number, lanes: number, gamma: number, count: number, chosen: number): void;
} = family("scores", binary);

/** In the order of the kernel's bits. */
const NAMES = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax", "concentration", "uniformDistance", "generalizedEntropy"] as const;
const ARGMAX = 6;
/** Those that take no more than what the others need: the default. */
const DEFAULT = NAMES.slice(0, 7) as readonly DefaultLogitStatistic[];

/** Scratch: one vector per column for up to 256 columns. */
const LANES = 4096;

/** What `logitStatistics` computes of each row. */
export type LogitStatistic = (typeof NAMES)[number];

/** The statistics that `logitStatistics` computes where nothing is selected. */
export type DefaultLogitStatistic = Exclude<LogitStatistic, "concentration" | "uniformDistance" | "generalizedEntropy">;

/** Options of `logitStatistics`. */
export interface LogitStatisticsOptions<Name extends LogitStatistic = LogitStatistic> {
  /** T, divides the logits in all but `maxLogit` and `margin`; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** Which statistics. Default the first seven. */
  readonly select?: readonly Name[];
  /** gamma of `generalizedEntropy`, in [2^-10, 2^10]. Default 0.1. */
  readonly gamma?: number;
  /** M of `generalizedEntropy`, an integer >= 1: how many of the largest probabilities take part, all where there are fewer. Default 100. */
  readonly top?: number;
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
 *   concentration    T log(C max_c p_c)                           uniformDistance     sum_c |C p_c - 1|
 *   generalizedEntropy   sum of (p_c (1 - p_c))^gamma over the M largest p_c
 *
 * The last three are computed where they are selected. `concentration` orders rows as `maxProbability` does, and keeps its digits where T is large and all probabilities are near 1 / C:
 * it tends to the largest minus the mean logit.
 *
 * A row is read from memory once and its maximum, weights and index are found while it is in the cache. `otherProbability` keeps the order of rows whose `maxProbability`
 * is 1 in float32. A row has the same bits alone and in any batch.
 *
 * @param logits - float32 [..., C], C >= 1; -Infinity = impossible class
 * @param options - `temperature` T (1; not applied to `maxLogit` and `margin`), `select` (the first seven), `gamma` (0.1) and `top` M (100) of `generalizedEntropy`
 * @returns float32 [...] each, `argmax` int32 [...]. A row with NaN: NaN. One possible class: margin +Infinity. A row with +Infinity or of -Infinity only has no
 *   distribution: probabilities, entropies, concentration and uniformDistance NaN, energy minus the largest logit, margin the difference (NaN between equal infinities)
 * @throws RangeError for no classes, a temperature outside [2^-126, 2^126], a `gamma` or `top` out of range, a name that is no statistic, and, with `argmax`, a row with NaN (named)
 * @example
 *   logitStatistics([[2, 0]], { select: ["energy", "margin"] }).energy; // -2.1269
 * Source: energy: Liu, Wang, Owens, Li, "Energy-based out-of-distribution detection", NeurIPS 2020; generalizedEntropy: Liu, Lochman, Zach, "GEN: Pushing the limits of softmax-based
 * out-of-distribution detection", CVPR 2023; uniformDistance: the factor of the logits in Huang, Geng, Li, "On the importance of gradients for detecting distributional shifts in the wild",
 * NeurIPS 2021; the others are folklore.
 */
export function logitStatistics<const Name extends LogitStatistic = DefaultLogitStatistic>(logits: TensorLike, options: LogitStatisticsOptions<Name> = {}): LogitStatistics<Name> {
  const where = "logitStatistics";
  const { temperature = 1, select = DEFAULT as readonly LogitStatistic[], gamma = 0.1, top = 100 } = options;
  const beta = inverseTemperature(where, temperature);
  if (!Array.isArray(select)) throw typeError(where, "select", "a list of names", `${select as unknown}`);
  if (!(gamma >= 2 ** -10 && gamma <= 2 ** 10)) throw rangeError(where, "gamma", "in [2^-10, 2^10]", `${gamma}`);
  checkInteger(where, "top", top, 1, 2 ** 31 - 1);
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
  // Where a part of a row is chosen, after the first guess of what belongs to it, and its weights.
  const chosen = bits >> 8 ? 2 * ((4 * cols + 127) & ~63) : 0;
  const lanes = scratch(LANES + chosen + 4 * step * (NAMES.length + (resident ? 0 : cols)));
  const py = lanes + LANES + chosen, room = py + 4 * step * NAMES.length;
  if (chosen) floatView()[(lanes + LANES) >>> 2] = 0;
  // After scratch, which may have grown the memory: a view of it would be empty now.
  checkAttached(where, "logits", x.x);
  const { f32_logit_statistics } = kernels();
  eachPiece(x, room, (from, row, count) => {
    f32_logit_statistics(from, py, count, cols, step, beta, temperature, bits, lanes, gamma, top, lanes + LANES);
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

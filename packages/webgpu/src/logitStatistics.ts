import { UnsupportedKernelError, rangeError, typeError } from "@logits/tensor";
import { statistics as code } from "#wgsl";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { distances, inverseTemperature, operand, rowsOf, runRows } from "./rows.ts";
import { sectionsFor, sectionsOf } from "./sections.ts";
import { checkIndices } from "./select.ts";

const FAMILY: Family = { name: "statistics", code, reads: 1, writes: 1, rows: true };

/** In the order of the shader's sections. */
const NAMES = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax"] as const;
/** Those that core-wasm has beyond them. */
const ELSEWHERE: readonly string[] = ["concentration", "uniformDistance", "generalizedEntropy"];

/** What `logitStatistics` computes of each row. */
export type LogitStatistic = (typeof NAMES)[number];

/** Options of `logitStatistics`. */
export interface LogitStatisticsOptions<Name extends LogitStatistic = LogitStatistic> {
  /** T, divides the logits in all but `maxLogit` and `margin`; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** Which statistics. Default all seven. */
  readonly select?: readonly Name[];
}

/** One tensor per statistic, of the shape of the logits without the last axis: float32, `argmax` int32. */
export type LogitStatistics<Name extends LogitStatistic = LogitStatistic> = { readonly [Key in Name]: Key extends "argmax" ? GpuTensor<"int32"> : GpuTensor<"float32"> };

/**
 * Statistics of each row of logits: what confidences and out-of-distribution scores are made of. `await gpu.read(logitStatistics(x))` reads them all at once.
 *
 *   maxProbability   max_c p_c,  p = softmax(logits / T)          energy   -T log sum_c exp(logits_c / T)
 *   otherProbability 1 - max_c p_c, as the sum of the others      entropy  -sum_c p_c log p_c, in nats
 *   maxLogit         max_c logits_c                               margin   largest minus second largest logit
 *   argmax           the smallest c with the largest logit
 *
 * The statistics share one buffer, which lives until all of them are disposed of.
 *
 * @param logits - on the GPU, float32 [..., C], C >= 1; -Infinity = impossible class
 * @param options - `temperature` T (1; not applied to `maxLogit` and `margin`), `select` (all)
 * @returns float32 [...] each, `argmax` int32 [...]. A row with NaN: NaN, and reading its `argmax` throws a RangeError that names the row. One possible class: margin +Infinity. A row with
 *   +Infinity or of -Infinity only has no distribution: probabilities and entropy NaN, energy minus the largest logit, margin the difference (NaN between equal infinities)
 * @throws RangeError for no classes, a temperature outside [2^-126, 2^126], a name that is no statistic; UnsupportedKernelError for one that has no GPU form; TypeError for a tensor outside the GPU
 * @example
 *   (await gpu.read(logitStatistics(gpu.tensor([[2, 0]]), { select: ["energy", "margin"] }))).energy; // -2.1269
 * Source: energy: Liu, Wang, Owens, Li, "Energy-based out-of-distribution detection", NeurIPS 2020; the others are folklore.
 */
export function logitStatistics<const Name extends LogitStatistic = LogitStatistic>(logits: GpuTensor, options: LogitStatisticsOptions<Name> = {}): LogitStatistics<Name> {
  const where = "logitStatistics";
  const { temperature = 1, select = NAMES as readonly LogitStatistic[] } = options;
  checkGpuTensor(where, "logits", logits);
  inverseTemperature(where, temperature);
  if (!Array.isArray(select)) throw typeError(where, "select", "a list of names", `${select as unknown}`);
  for (const name of select as readonly LogitStatistic[]) {
    if (ELSEWHERE.includes(name)) throw new UnsupportedKernelError(`logitStatistics: expected \`select\` of ${NAMES.join(", ")} on the GPU, got ${name}. Use logitStatistics of @logits/core-wasm on await logits.read()`);
    if (!NAMES.includes(name)) throw rangeError(where, "select", `of ${NAMES.join(", ")}`, `${name}`);
  }
  const rows = rowsOf(where, logits, -1), { outer, cols } = rows, all = sectionsFor(where, [logits], rows, NAMES), [twice, limit] = distances(temperature);
  runRows(logits.gpu, where, FAMILY, {}, [operand(logits, cols)], rows, (count, first) => [count, cols, outer, first], [twice, limit, temperature], { slot: all.slot, at: 0, count: all.size });
  return sectionsOf(all, rows, NAMES, { argmax: (data) => checkIndices(where, "logits", "without NaN where `argmax` is selected", data) }, select) as LogitStatistics<Name>;
}

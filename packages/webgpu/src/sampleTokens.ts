import { checkInteger, rangeError } from "@logits/tensor";
import { code } from "#wgsl/sample";
import type { Family } from "./gpu.ts";
import { GpuTensor, checkGpuTensor } from "./gpuTensor.ts";
import { distances, inverseTemperature, operand, rowsOf, runRows } from "./rows.ts";

const FAMILY: Family = { name: "sample", code, reads: 2, writes: 1, rows: true };

/** Options of `sampleTokens`: the rules act in the order of these fields. */
export interface SampleTokensOptions {
  /** One number in [0, 1) for each row, in the order of the rows. Not needed at temperature 0. */
  readonly uniforms?: ArrayLike<number>;
  /** Divides the scores; 0: the largest is taken. Otherwise in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** Keeps the k largest scores; an integer from 1 up. Default: all. */
  readonly topK?: number;
  /** Keeps the smallest set of the most probable tokens with at least this probability; in (0, 1]. Default 1: all. */
  readonly topP?: number;
  /** Keeps tokens with at least this share of the largest probability; in [0, 1]. Default 0: all. */
  readonly minP?: number;
}

/** Tokens and what is to be said about each, of the shape of the logits without the last axis. */
export type SampledTokens = {
  readonly tokens: GpuTensor<"int32">;
  /** The logits of the tokens. */
  readonly scores: GpuTensor<"float32">;
  /** Log of the probability with which the token was drawn. */
  readonly drawLogProbabilities: GpuTensor<"float32">;
  /** How many tokens the rules left. */
  readonly candidates: GpuTensor<"int32">;
};

/** In the order of the shader's sections. */
const NAMES = ["tokens", "scores", "drawLogProbabilities", "candidates"] as const;

/**
 * Draws one token from each row, under the rules of `Sampler` of @logits/sampling, whose `sampleAsync` is this with its random numbers. `await gpu.read(...)` of `tokens` reads 4 bytes a row, of all 16.
 *
 *   the token at which the running sum of exp((x_c - max x) / T) over the remaining tokens, in their order, first exceeds u times their sum
 *
 * Tokens and sets are those of float64 unless a sum lies within 1e-6 of its bound. The results share one buffer, which lives until all of them are disposed of.
 *
 * @param logits - on the GPU, float32 [..., V], V >= 1; -Infinity = impossible, never drawn
 * @param options - `uniforms` (required unless `temperature` is 0), `temperature` (1), `topK`, `topP`, `minP`
 * @returns int32 and float32 [...] each; reading `tokens` throws a RangeError for a row with NaN or +Infinity or without a possible token
 * @throws RangeError for an option out of its range, or too few uniforms; TypeError for a tensor outside the GPU
 * @example
 *   await sampleTokens(gpu.tensor([0, 1, -Infinity]), { uniforms: [0.3], topP: 0.5 }).tokens.read(); // 1
 * Source: the rules' papers are named at `Sampler` of @logits/sampling; a threshold by its digits: Alabi, Blanchard, Gordon, Steinbach, JEA 17 (2012).
 */
export function sampleTokens(logits: GpuTensor, options: SampleTokensOptions): SampledTokens {
  const where = "sampleTokens";
  const { uniforms, temperature = 1, topK, topP = 1, minP = 0 } = options;
  checkGpuTensor(where, "logits", logits);
  // The largest is what top-1 leaves.
  const greedy = temperature === 0;
  if (!greedy) inverseTemperature(where, temperature);
  if (topK !== undefined) checkInteger(where, "topK", topK, 1, 2147483647);
  if (!(topP > 0 && topP <= 1)) throw rangeError(where, "topP", "in (0, 1]", `${topP}`);
  if (!(minP >= 0 && minP <= 1)) throw rangeError(where, "minP", "in [0, 1]", `${minP}`);
  const { outer: rows, cols, rest } = rowsOf(where, logits, -1);
  const u = Float32Array.from({ length: Math.max(1, rows) }, (_, r) => {
    const value = greedy || rows === 0 ? 0 : (uniforms?.[r] ?? NaN);
    if (!(value >= 0 && value < 1)) throw rangeError(where, "uniforms", "in [0, 1), one for each row", `${value} for row ${r}`);
    return value;
  });
  const { gpu } = logits;
  if (NAMES.length * rows > gpu.reach) throw rangeError(where, "logits", `with at most ${Math.floor(gpu.reach / NAMES.length)} rows (bindingBytes of this backend)`, `${rows}`);
  const all = gpu.result(where, "float32", [NAMES.length * rows], [logits]);
  const drawn = gpu.tensor(u);
  const [twice, limit] = distances(greedy ? 1 : temperature);
  runRows(gpu, where, FAMILY, {}, [operand(logits, cols), operand(drawn, 1)], { outer: rows, cols, inner: 1 }, (count, first) => [count, cols, rows, first, greedy ? 1 : (topK ?? 2147483647)], [twice, limit, greedy ? 1 : topP, minP], { slot: all.slot, at: 0, count: all.size });
  drawn.dispose();
  const results: Partial<Record<(typeof NAMES)[number], GpuTensor>> = {};
  for (const [i, name] of NAMES.entries()) {
    all.slot.users++;
    results[name] = new GpuTensor(gpu, name === "tokens" || name === "candidates" ? "int32" : "float32", rest, all.slot, i * rows, all.doubtful, name === "tokens" ? (data) => checkTokens(where, data as Int32Array) : undefined);
  }
  all.dispose();
  return results as unknown as SampledTokens;
}

/** Tokens below 0 stand for rows without a distribution. */
function checkTokens(where: string, tokens: Int32Array): void {
  const row = tokens.findIndex((token) => token < 0);
  if (row < 0) return;
  throw rangeError(where, "logits", "below +Infinity, with a possible token in every row", `${["NaN", "+Infinity", "only -Infinity"][-1 - tokens[row]]} in row ${row}`);
}

import { checkInteger, rangeError, typeError, watchedOptions } from "@logits/tensor";
import { changes as changesCode, sample as code, guide } from "#wgsl";
import type { Family } from "./gpu.ts";
import { checkGpuTensor, type GpuTensor } from "./gpuTensor.ts";
import { distances, inverseTemperature, operand, rowsOf, runRows, shapeError, type Rows } from "./rows.ts";
import { sectionsFor, sectionsOf } from "./sections.ts";
import { topK } from "./topK.ts";

const FAMILY: Family = { name: "sample", code, reads: 3, writes: 1, rows: true };
const GUIDE: Family = { name: "guide", code: guide, reads: 4, writes: 1 };
const CHANGES: Family = { name: "changes", code: changesCode, reads: 1, writes: 2 };

/** Scores of several models, or of several prompts, in one: weights[0] logits + weights[1] references[0] + ..., for the tokens that count. */
export interface ScoreGuidance {
  /** One or two, on the same GPU, of the shape of the logits. */
  readonly references: readonly GpuTensor[];
  /** One more than references, finite. */
  readonly weights: readonly number[];
  /** Tokens count whose logit is at most this below the k-th largest, >= 0; the others are impossible. Default Infinity: all count. */
  readonly margin?: number;
  /** An integer from 1 up; the smallest logit counts where there are fewer, and more than 4,096 are refused. Default 1. */
  readonly k?: number;
}

/** What happens to the score of a token: v = score + bias, then (v > 0 ? v / penalty : v penalty) - loss. */
export interface ScoreChange {
  /** Finite, or -Infinity: impossible. Default 0. */
  readonly bias?: number;
  /** Finite, > 0. Default 1. */
  readonly penalty?: number;
  /** Finite. Default 0. */
  readonly loss?: number;
}

/** What happens to the scores of a row before the rules. */
export interface RowChanges {
  /** By token, in [0, V). */
  readonly scores: ReadonlyMap<number, ScoreChange>;
  /** Whether all other tokens are impossible. Default false. */
  readonly only?: boolean;
}

/** Options of `sampleTokens`: the rules act in the order of these fields. */
export interface SampleTokensOptions {
  /** One number in [0, 1) for each row, in the order of the rows. Not needed at temperature 0. */
  readonly uniforms?: ArrayLike<number>;
  /** Makes the scores of several. Default: the logits are the scores. */
  readonly guidance?: ScoreGuidance;
  /** One for each row: penalties, biases and what a grammar allows. Default: none. */
  readonly changes?: readonly RowChanges[];
  /** Divides the scores; 0: the largest is taken. Otherwise in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
  /** Keeps the k largest scores; an integer from 1 up. Default: all. */
  readonly topK?: number;
  /** Keeps the smallest set of the most probable tokens with at least this probability; in (0, 1]. Default 1: all. */
  readonly topP?: number;
  /** Keeps tokens with at least this share of the largest probability; in [0, 1]. Default 0: all. */
  readonly minP?: number;
  /** Keeps the smallest set, with at least this probability, of the tokens whose surprise is nearest to the entropy; in (0, 1]. Default 1: all. */
  readonly typicalP?: number;
  /** Keeps tokens with a probability of at least min(eta, sqrt(eta) exp(-entropy)); in [0, 1). Default 0: all. */
  readonly eta?: number;
  /** Keeps tokens with at least this probability, one number in [0, 1] for each row. Default 0: all. */
  readonly epsilons?: ArrayLike<number>;
}

/** Tokens and what is to be said about each, of the shape of the logits without the last axis. */
export type SampledTokens = {
  readonly tokens: GpuTensor<"int32">;
  /** The logits of the tokens, without changes. */
  readonly scores: GpuTensor<"float32">;
  /** Log of the probability with which the token was drawn. */
  readonly drawLogProbabilities: GpuTensor<"float32">;
  /** How many tokens the rules left; V where none is in force (`only` is one), impossible tokens among them. */
  readonly candidates: GpuTensor<"int32">;
  /** Minus the log of its probability before `eta` and `epsilons`, in nats: what mirostat follows. */
  readonly surprises: GpuTensor<"float32">;
};

/** In the order of the shader's sections. */
const NAMES = ["tokens", "scores", "drawLogProbabilities", "candidates", "surprises"] as const;

/**
 * Draws one token from each row, under the rules of `Sampler` of @logits/sampling, whose `sampleAsync` is this with its random numbers. `await gpu.read(...)` of `tokens` reads 4 bytes a row, of all 20.
 *
 *   the token at which the running sum of exp((x_c - max x) / T) over the remaining tokens, in their order, first exceeds u times their sum
 *
 * Each rule leaves at least one token. Tokens and sets are those of float64 unless a sum lies within 1e-6 of its bound. The results share one buffer, which lives until all of them are disposed of.
 *
 * @param logits - on the GPU, float32 [..., V], V >= 1; -Infinity = impossible, never drawn
 * @param options - `uniforms` (required unless `temperature` is 0), `guidance`, `changes`, `temperature` (1), `topK`, `topP`, `minP`, `typicalP`, `eta`, `epsilons`
 * @returns int32 and float32 [...] each; reading `tokens` throws a RangeError for a row with NaN or +Infinity or without a possible token
 * @throws RangeError for an option out of its range, or too few uniforms; TypeError for a tensor outside the GPU, and for an option that is none
 * @example
 *   await sampleTokens(gpu.tensor([0, 1, -Infinity]), { uniforms: [0.3], topP: 0.5 }).tokens.read(); // 1
 * Source: the rules' papers are named at `Sampler` of @logits/sampling; a threshold by its digits: Alabi, Blanchard, Gordon, Steinbach, JEA 17 (2012).
 */
export function sampleTokens(logits: GpuTensor, options: SampleTokensOptions): SampledTokens {
  const where = "sampleTokens", { options: given, refuseUnread } = watchedOptions(where, options);
  const { uniforms, guidance, changes, temperature = 1, topK = 2147483647, topP = 1, minP = 0, typicalP = 1, eta = 0, epsilons } = given;
  checkGpuTensor(where, "logits", logits);
  refuseUnread();
  // The largest is what top-1 leaves.
  const greedy = temperature === 0;
  if (!greedy) inverseTemperature(where, temperature);
  checkInteger(where, "topK", topK, 1, 2147483647);
  const check = (name: string, expected: string, holds: boolean, got: number, row = ""): void => {
    if (!holds) throw rangeError(where, name, expected, `${got}${row}`);
  };
  check("topP", "in (0, 1]", topP > 0 && topP <= 1, topP);
  check("minP", "in [0, 1]", minP >= 0 && minP <= 1, minP);
  check("typicalP", "in (0, 1]", typicalP > 0 && typicalP <= 1, typicalP);
  check("eta", "in [0, 1)", eta >= 0 && eta < 1, eta);
  const rows = rowsOf(where, logits, -1), { outer, cols } = rows, { gpu } = logits, numbers = new Float32Array(3 * outer);
  for (let r = 0; r < outer; r++) {
    const u = greedy ? 0 : (uniforms?.[r] ?? NaN), epsilon = epsilons ? epsilons[r] : 0;
    check("uniforms", "in [0, 1), one for each row", u >= 0 && u < 1, u, ` for row ${r}`);
    check("epsilons", "in [0, 1], one for each row", epsilon >= 0 && epsilon <= 1, epsilon, ` for row ${r}`);
    numbers.set([u, epsilon, Number(changes?.[r]?.only ?? false)], 3 * r);
  }
  const made: GpuTensor[] = [], keep = (y: GpuTensor): GpuTensor => (made.push(y), y);
  try {
    const scores = guidance ? keep(guided(where, logits, rows, guidance)) : logits, x = changes ? keep(changed(where, scores, rows, changes)) : scores, drawn = keep(gpu.tensor(numbers)), all = sectionsFor(where, [x], rows, NAMES);
    const [twice, limit] = distances(greedy ? 1 : temperature), floats = greedy ? [1, 0, 1, -1] : [topP, minP, typicalP, eta > 0 || epsilons ? eta : -1];
    runRows(gpu, where, FAMILY, {}, [operand(x, cols), operand(logits, cols), operand(drawn, 3)], rows, (count, first) => [count, cols, outer, first, greedy ? 1 : topK], [twice, limit, ...floats], { slot: all.slot, at: 0, count: all.size });
    return sectionsOf(all, rows, NAMES, { tokens: (data) => checkTokens(where, data as Int32Array), candidates: true }) as SampledTokens;
  } finally {
    for (const y of made) y.dispose();
  }
}

/** The scores of several models in one. */
function guided(where: string, logits: GpuTensor, rows: Rows, guidance: ScoreGuidance): GpuTensor {
  const { options, refuseUnread } = watchedOptions(where, guidance), { references, weights, margin = Infinity, k: place = 1 } = options;
  refuseUnread();
  const { gpu, shape } = logits, { cols } = rows, k = Math.min(place, cols), [a, b = a] = references, limited = margin < Infinity;
  if (!(references.length === 1 || references.length === 2) || weights.length !== references.length + 1 || !weights.every(Number.isFinite) || !(margin >= 0)) throw rangeError(where, "guidance", "of one or two references with one more finite weight, and a margin >= 0", `${references.length}, [${weights.join(", ")}] and ${margin}`);
  for (const reference of references) {
    checkGpuTensor(where, "references", reference, logits);
    if (`${reference.shape}` !== `${shape}`) throw shapeError(where, "references", `[${shape.join(", ")}]`, reference);
  }
  const tops = limited ? topK(logits, k) : undefined, { values = logits } = tops ?? {}, [w0, w1, w2 = 0] = weights;
  const y = gpu.result(where, "float32", shape, [logits, ...references, values]);
  runRows(gpu, where, GUIDE, {}, [operand(logits, cols), operand(a, cols), operand(b, cols), operand(values, limited ? k : cols), operand(y, cols)], rows, (count) => [count, cols, limited ? k : 0], [w0, w1, w2, limited ? margin : 0]);
  for (const made of Object.values(tops ?? {})) made.dispose();
  return y;
}

/** The scores with their changes. */
function changed(where: string, logits: GpuTensor, all: Rows, changes: readonly RowChanges[]): GpuTensor {
  const { gpu } = logits, { outer: rows, cols } = all, words = 2 * rows + 1, total = changes.reduce((sum, { scores }) => sum + scores.size, 0), list = new Int32Array(words + 4 * total), floats = new Float32Array(list.buffer);
  if (changes.length !== rows || list.length > gpu.reach) throw rangeError(where, "changes", `one for each of ${rows} rows, with at most ${gpu.reach} numbers in all`, `${changes.length} with ${list.length}`);
  let count = 0;
  for (const [r, row] of changes.entries()) {
    const { options, refuseUnread } = watchedOptions(where, row), { scores, only = false } = options;
    refuseUnread();
    for (const [token, change] of scores) {
      const { bias = 0, penalty = 1, loss = 0, ...unknown } = change;
      for (const name in unknown) throw typeError(where, "changes", "with bias, penalty and loss", `${name} of token ${token} in row ${r}`);
      const at = words + 4 * count++;
      if (!(Number.isInteger(token) && token >= 0 && token < cols && bias < Infinity && penalty > 0 && penalty < Infinity && Math.abs(loss) < Infinity)) throw rangeError(where, "changes", `of tokens in [0, ${cols}), with finite numbers and penalties above 0`, `token ${token}: ${[bias, penalty, loss].join(", ")} in row ${r}`);
      list[at] = token;
      floats.set([bias, penalty, loss], at + 1);
    }
    list[r + 1] = count;
    list[rows + 1 + r] = Number(only);
  }
  const y = gpu.result(where, "float32", logits.shape, [logits]), given = gpu.tensor(list, "int32");
  runRows(gpu, where, CHANGES, {}, [operand(logits, cols), operand(y, cols)], all, (blocks, first) => [blocks, cols, first, rows], [], { slot: given.slot, at: 0, count: given.size });
  given.dispose();
  return y;
}

/** Tokens below 0 stand for rows without a distribution. */
function checkTokens(where: string, tokens: Int32Array): void {
  const row = tokens.findIndex((token) => token < 0);
  if (row < 0) return;
  throw rangeError(where, "logits", "below +Infinity, with a possible token in every row", `${["NaN", "+Infinity", "only -Infinity"][-1 - tokens[row]]} in row ${row}`);
}

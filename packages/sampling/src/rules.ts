import type { TokenRules } from "@logits/core-wasm/sampling";
import { checkInteger, rangeError, typeError } from "@logits/tensor";
import type { Guidance } from "./guidance.ts";

/** Keeps the surprise of the text near a target, by a bound that follows it. */
export interface MirostatOptions {
  /** Surprise per token that is aimed at, in nats, > 0 (tau; 5 bits are 3.47). */
  readonly surprise: number;
  /** How fast the bound follows, > 0 (eta). Default 0.1. */
  readonly rate?: number;
}

/** How tokens are drawn. The rules act in the order of these fields, whatever the order in which they are given. */
export interface SamplerOptions {
  /** Where the random numbers come from, an integer in [0, 2^53). Required unless `temperature` is 0. */
  readonly seed?: number;
  /** Row r of a batch uses the numbers of stream + r. Integer from 0 up. Default 0. */
  readonly stream?: number;
  /** Scores of several models or prompts in one: the further ones come with each call as `references`. */
  readonly guidance?: Guidance;
  /** Added to the scores of tokens; -Infinity forbids one. */
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** Divides positive scores of tokens of the text (prompt included) and multiplies negative ones, once for each token; > 0. Default 1. */
  readonly repetitionPenalty?: number;
  /** Taken off the scores of tokens that were generated. Default 0. */
  readonly presencePenalty?: number;
  /** Taken off for each time that a token was generated. Default 0. */
  readonly frequencyPenalty?: number;
  /** The tokens that may follow `tokens` in row `row`, or undefined: all. What a grammar says; see `Sampler`. */
  readonly allowed?: (tokens: readonly number[], row: number) => ArrayLike<number> | undefined;
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
  /** Instead of the five rules before. */
  readonly mirostat?: MirostatOptions;
}

/** The largest and smallest temperature beside 0. */
const LIMIT = 2 ** 126;

function checkRange(where: string, name: string, value: number | undefined, expected: string, holds: (value: number) => boolean): void {
  if (value !== undefined && !(typeof value === "number" && holds(value))) throw rangeError(where, name, expected, `${value}`);
}

/** Checks what a sampler is given. */
export function checkOptions(where: string, options: SamplerOptions): void {
  const { seed, stream, temperature = 1, topK, topP, minP, typicalP, eta, mirostat, repetitionPenalty, presencePenalty, frequencyPenalty, allowed } = options;
  const integer = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  checkRange(where, "temperature", temperature, "0 or in [2^-126, 2^126]", (t) => t === 0 || (t >= 1 / LIMIT && t <= LIMIT));
  if (seed === undefined && temperature !== 0) throw rangeError(where, "seed", "an integer in [0, 2^53)", "undefined", "Randomness is an argument: the same seed gives the same tokens");
  checkRange(where, "seed", seed, "an integer in [0, 2^53)", integer);
  checkRange(where, "stream", stream, "an integer in [0, 2^53)", integer);
  if (topK !== undefined) checkInteger(where, "topK", topK, 1, 2147483647);
  checkRange(where, "topP", topP, "in (0, 1]", (p) => p > 0 && p <= 1);
  checkRange(where, "minP", minP, "in [0, 1]", (p) => p >= 0 && p <= 1);
  checkRange(where, "typicalP", typicalP, "in (0, 1]", (p) => p > 0 && p <= 1);
  checkRange(where, "eta", eta, "in [0, 1)", (p) => p >= 0 && p < 1);
  checkRange(where, "repetitionPenalty", repetitionPenalty, "a finite number > 0", (r) => r > 0 && r < Infinity);
  checkRange(where, "presencePenalty", presencePenalty, "finite", Number.isFinite);
  checkRange(where, "frequencyPenalty", frequencyPenalty, "finite", Number.isFinite);
  if (allowed !== undefined && typeof allowed !== "function") throw typeError(where, "allowed", "a function of the tokens so far", typeof allowed);
  if (mirostat === undefined) return;
  checkRange(where, "mirostat.surprise", mirostat.surprise, "a finite number > 0", (s) => s > 0 && s < Infinity);
  checkRange(where, "mirostat.rate", mirostat.rate, "a finite number > 0", (r) => r > 0 && r < Infinity);
  const others = Object.entries({ topK, topP, minP, typicalP, eta }).filter(([, value]) => value !== undefined).map(([name]) => `\`${name}\``);
  if (others.length > 0) throw typeError(where, "mirostat", "in place of the other rules", `${others.join(", ")} beside it`);
  if (temperature === 0) throw typeError(where, "mirostat", "with a temperature above 0", "temperature 0");
}

/** Smaller shares of the largest probability are 0 in float32: a rule that asks for less keeps everything. */
const LEAST = 2 ** -126;

/** The rules of a sampler, without those that keep everything. */
export function rulesOf(options: SamplerOptions): TokenRules {
  const { temperature = 1, topK, topP = 1, minP = 0, typicalP = 1, eta = 0 } = options;
  return { temperature, ...(topK !== undefined && { topK }), ...(topP < 1 && { topP }), ...(minP >= LEAST && { minP }), ...(typicalP < 1 && { typicalP }), ...(eta >= LEAST && { eta }) };
}

/** Tokens and what is added to their scores. */
export function biasOf(where: string, bias: SamplerOptions["logitBias"]): ReadonlyMap<number, number> {
  const entries = bias === undefined ? [] : bias instanceof Map ? [...bias] : Object.entries(bias).map(([id, value]) => [Number(id), value as number] as const);
  for (const [id, value] of entries) {
    if (!(Number.isInteger(id) && id >= 0)) throw rangeError(where, "logitBias", "of tokens, integers from 0 up", `${id}`);
    if (!(typeof value === "number" && value < Infinity)) throw rangeError(where, "logitBias", "finite or -Infinity", `${value} for token ${id}`);
  }
  return new Map(entries);
}

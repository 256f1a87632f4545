import { asFloat16Bits, asFloat32, float16ToFloat32, rangeError, sizeOf, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/sampling";
import { family } from "./family.ts";
import { byteView, floatView, intView, scratch, wasmMemory } from "./memory.ts";
import { pointerOf } from "./owner.ts";

const kernels = family<{
  f16_widen(x: number, y: number, n: number): void;
  f32_block_maxima(x: number, n: number, maxima: number): number;
  f32_first_and_second(x: number, n: number, maxima: number, top: number, second: number): number;
  f32_row_sums(x: number, n: number, top: number, scale: number, blocks: number, out: number): void;
  f32_draw_row(x: number, n: number, top: number, scale: number, blocks: number, target: number, scratch: number): number;
  f32_gather(x: number, n: number, maxima: number, limit: number, step: number, xs: number, ids: number): number;
  f32_mass_limit(xs: number, n: number, keys: number, weights: number, target: number, work: number): number;
  f32_pick(x: number, ids: number, n: number, xs: number): number;
  f32_list_weights(xs: number, n: number, top: number, scale: number, weights: number): void;
  f32_list_sums(xs: number, n: number, top: number, scale: number, weights: number, out: number): void;
  f32_keys(xs: number, n: number, top: number, scale: number, centre: number, keys: number): void;
  f32_keep_first(xs: number, ids: number, n: number, keys: number, weights: number, target: number, work: number): number;
  f32_lower_bound(maxima: number, blocks: number, k: number, keys: number, work: number): number;
  f32_keep_near(xs: number, ids: number, n: number, top: number, scale: number, bound: number): number;
  f32_draw_list(weights: number, n: number, target: number): number;
  f64_log(x: number): number;
}>("sampling", binary);

/** Scores of one row: float32; the bits of half precision, which are widened here; or the address of float32 in this memory, which are not written to. */
export type TokenRow = Float32Array | Uint16Array | { readonly pointer: number; readonly length: number };

/** Rows of the last axis. */
export interface TokenRows {
  /** Of the argument: [..., V]. */
  readonly shape: readonly number[];
  readonly rows: number;
  /** V. */
  readonly cols: number;
  row(index: number): TokenRow;
}

/**
 * The rows of scores of any dtype. Half precision (a `Uint16Array` with type `float16`, or a `Float16Array`) stays as it is, to be widened by a kernel; anything else becomes float32.
 *
 * @param where - function that is named in an error
 * @param argument - its argument
 * @param input - scores, [..., V], V >= 1
 * @throws RangeError for a scalar or an empty last axis; TypeError for what is no tensor
 * @example
 *   tokenRows("demo", "logits", [[1, 2], [3, 4]]).row(1); // Float32Array 3, 4
 * Source: this library.
 */
export function tokenRows(where: string, argument: string, input: TensorLike): TokenRows {
  const half = asFloat16Bits(input), x = half ?? asFloat32(where, argument, input), { shape } = x, cols = shape[shape.length - 1];
  if (shape.length === 0 || cols === 0) throw rangeError(where, argument, "of shape [..., V], V >= 1", `[${shape.join(", ")}]`);
  const rows = sizeOf(shape) / cols;
  if (half) return { shape, rows, cols, row: (index) => half.bits.subarray(index * cols, (index + 1) * cols) };
  const tensor = x as ReturnType<typeof asFloat32>, pointer = pointerOf(where, argument, tensor);
  return { shape, rows, cols, row: (index) => (pointer ? { pointer: pointer + 4 * index * cols, length: cols } : tensor.data.subarray(index * cols, (index + 1) * cols)) };
}

/** Which tokens remain. The rules are applied in the order of these fields, each to what the one before has left, its probabilities made to sum to 1. */
export interface TokenRules {
  /** Divides the scores; 0: the largest score is taken. */
  readonly temperature: number;
  /** The k largest scores. */
  readonly topK?: number;
  /** The smallest set of the most probable tokens with at least this probability, in (0, 1]. */
  readonly topP?: number;
  /** Tokens with at least this share of the largest probability, 0 or in [2^-126, 1]. */
  readonly minP?: number;
  /** The smallest set, with at least this probability, of the tokens whose surprise is nearest to the entropy; in (0, 1]. */
  readonly typicalP?: number;
  /** Tokens with a probability of at least min(eta, sqrt(eta) exp(-entropy)), 0 or in [2^-126, 1). */
  readonly eta?: number;
  /** Tokens with at most this surprise, in nats. */
  readonly surprise?: number;
}

/** What a row says before any rule: of softmax(logits). */
export interface TokenStatistics {
  /** The largest logit. */
  readonly top: number;
  /** The smallest token that has it. */
  readonly best: number;
  /** Log of the sum of exponentials. */
  readonly logPartition: number;
  /** In nats. */
  readonly entropy: number;
  /** Largest minus second largest logit; +Infinity where one token is possible. */
  readonly margin: number;
}

/** A token, and what is to be said about it. */
export interface TokenDraw extends TokenStatistics {
  readonly token: number;
  /** Log-probability under softmax(logits), before any rule. */
  readonly logProbability: number;
  /** Log of the probability with which it was drawn. */
  readonly drawLogProbability: number;
  /** Tokens that could have been drawn. */
  readonly kept: number;
  /** With the rule `surprise`: minus the log-probability before the rule, in nats. */
  readonly surprise?: number;
}

/** The smallest finite float32. */
const LOWEST = -3.4028234663852886e38;

/** Where things lie in the scratch of one call, in bytes. */
function layout(n: number): { x: number; out: number; maxima: number; blocks: number; xs: number; ids: number; weights: number; keys: number; work: number } {
  const list = (4 * n + 79) & ~63, blocks = Math.ceil(n / 64);
  const sizes = [list, 64 + 256, (4 * blocks + 79) & ~63, (8 * blocks + 79) & ~63, list, list, list, list, 24576 + 2 * list + 256];
  const at: number[] = [scratch(sizes.reduce((a, b) => a + b, 0))];
  for (const size of sizes) at.push(at[at.length - 1] + size);
  const [x, out, maxima, sums, xs, ids, weights, keys, work] = at;
  return { x, out, maxima, blocks: sums, xs, ids, weights, keys, work };
}

type Layout = ReturnType<typeof layout>;

/** Puts a row of n scores where the kernels read it; its address. */
function place(where: string, row: TokenRow, n: number, { x, xs }: Layout, copy: boolean): number {
  // The memory may have grown since: a view of it would be empty now.
  if (row.length !== n) throw rangeError(where, "logits", "with its elements", "a detached buffer", "Pass the tensor itself, or a copy");
  if (row instanceof Float32Array) floatView().set(row, x >>> 2);
  else if (row instanceof Uint16Array) {
    new Uint16Array(wasmMemory().buffer, xs, row.length).set(row);
    kernels().f16_widen(xs, x, row.length);
  } else if (copy) byteView().copyWithin(x, row.pointer, row.pointer + 4 * row.length);
  else return row.pointer;
  return x;
}

/** The logit of a token, as it came. */
function scoreOf(row: TokenRow, token: number): number {
  if (row instanceof Float32Array) return row[token];
  return row instanceof Uint16Array ? float16ToFloat32(row.subarray(token, token + 1))[0] : floatView()[(row.pointer >>> 2) + token];
}

/** The two numbers that the kernels write to `out`. */
function pair(out: number): readonly [number, number] {
  const [sum, moment] = new Float64Array(wasmMemory().buffer, out, 2);
  return [sum, moment];
}

/** Says why a row has no distribution. */
function refuse(where: string, index: number, x: number, n: number, top: number): never {
  const values = floatView().subarray(x >>> 2, (x >>> 2) + n), nan = values.findIndex((v) => v !== v);
  if (nan >= 0) throw rangeError(where, "logits", "without NaN", `NaN in row ${index}, column ${nan}`);
  if (top === Infinity) throw rangeError(where, "logits", "below +Infinity", `+Infinity in row ${index}, column ${values.indexOf(Infinity)}`);
  throw rangeError(where, "logits", "with a possible token in every row", `only -Infinity in row ${index}`);
}

/** Statistics of the row at x; leaves maxima and block sums. `half` is half the sum of exponentials at temperature 1. */
function statistics(where: string, index: number, x: number, n: number, at: Layout): TokenStatistics & { readonly half: number; readonly moment: number } {
  const { f32_block_maxima, f32_first_and_second, f32_row_sums, f64_log } = kernels();
  const top = f32_block_maxima(x, n, at.maxima);
  if (top - top !== 0) refuse(where, index, x, n, top);
  f32_row_sums(x, n, top, 1, at.blocks, at.out);
  const [half, moment] = pair(at.out);
  if (half !== half) refuse(where, index, x, n, top);
  const best = f32_first_and_second(x, n, at.maxima, top, at.out), logSum = f64_log(2 * half);
  return { top, best, logPartition: top + logSum, entropy: logSum + moment / half, margin: top - floatView()[at.out >>> 2], half, moment };
}

/**
 * Statistics of a row of scores, the same bits in every engine.
 *
 * @param where - function that is named in an error
 * @param row - at least one score; -Infinity = impossible
 * @param index - of the row, for errors
 * @throws RangeError for NaN, +Infinity or a row of -Infinity only
 * @example
 *   tokenStatistics("demo", Float32Array.of(0, 0), 0).entropy; // 0.6931
 * Source: folklore.
 */
export function tokenStatistics(where: string, row: TokenRow, index: number): TokenStatistics {
  const n = row.length, at = layout(n);
  const { top, best, logPartition, entropy, margin } = statistics(where, index, place(where, row, n, at, false), n, at);
  return { top, best, logPartition, entropy, margin };
}

/** What may change a draw. */
export interface TokenOptions {
  /** Changes the scores in place, behind the statistics. It must call no kernel and leave no NaN. */
  readonly edit?: (x: Float32Array) => void;
  /** Tokens in [0, V), rising; the others are impossible. */
  readonly allowed?: Int32Array;
  /** Receives the distribution that is drawn from, float32 [V]. */
  readonly probabilities?: Float32Array;
}

/** The candidates of one draw: a list that the rules shorten. */
class Candidates {
  readonly at: Layout;
  readonly top: number;
  readonly scale: number;
  /** Sums of the distribution that the next rule looks at. */
  half: number;
  moment: number;
  count: number;

  constructor(at: Layout, top: number, scale: number, count: number) {
    this.at = at;
    this.top = top;
    this.scale = scale;
    this.count = count;
    this.half = this.moment = 0;
  }

  /** Weights of the list: it is the distribution from now on. */
  weigh(): void {
    const { at } = this;
    kernels().f32_list_weights(at.xs, this.count, this.top, this.scale, at.weights);
    this.sum();
  }

  /** Sums of the list, whose weights are there. */
  sum(): void {
    const { at } = this;
    kernels().f32_list_sums(at.xs, this.count, this.top, this.scale, at.weights, at.out);
    [this.half, this.moment] = pair(at.out);
  }

  /** The first until their weights reach a target (`weights` 0: each weighs 1): from the largest score down, or by |distance - centre|. */
  keepFirst(target: number, weights: number, centre = -1): void {
    const { at } = this, { f32_keys, f32_keep_first } = kernels();
    f32_keys(at.xs, this.count, this.top, this.scale, centre, at.keys);
    this.count = f32_keep_first(at.xs, at.ids, this.count, at.keys, weights, target, at.work);
    if (weights) this.sum();
    else this.weigh();
  }

  /** Those within a distance; at least the first of the largest. */
  keepNear(distance: number): void {
    const { at, count } = this, { f32_block_maxima, f32_keep_near } = kernels();
    const largest = f32_block_maxima(at.xs, count, at.keys);
    if (!(Math.fround(Math.fround(this.top - largest) * this.scale) <= Math.fround(distance))) return this.keepFirst(1, 0);
    this.count = f32_keep_near(at.xs, at.ids, count, this.top, this.scale, distance);
    this.weigh();
  }
}

/** -ln of the probability from which `eta` keeps tokens: the smaller of eta and sqrt(eta) exp(-entropy). */
function etaSurprise(eta: number, half: number, moment: number): number {
  const { f64_log } = kernels(), log = f64_log(eta);
  return Math.max(-log, f64_log(2 * half) + moment / half - 0.5 * log);
}

/**
 * Draws a token from a row of scores under rules, by histograms and thresholds: nothing is sorted, and weights, sets and the token are the same bits in every engine.
 *
 *   the token at which the running sum of exp((x_c - max x) / T) over the remaining tokens, in their order, first exceeds u times their sum
 *
 * Weights are float32, at distance d below the largest score within (1.3 + 1.5 d) 2^-23 relative, their sums float64. Equal scores: the smaller token first.
 *
 * @param where - function that is named in an error
 * @param row - at least one score; -Infinity = impossible
 * @param index - of the row, for errors
 * @param rules - temperature 0 or in [2^-126, 2^126], and which tokens remain
 * @param u - in [0, 1)
 * @param options - `edit`, `allowed`, `probabilities`
 * @throws RangeError for NaN, +Infinity or a row without a possible token, before or behind `edit` and `allowed`
 * @example
 *   drawToken("demo", Float32Array.of(0, 1, -Infinity), 0, { temperature: 1, topP: 0.5 }, 0.3).token; // 1
 * Source: the rules' papers are named at `Sampler` of @logits/sampling.
 */
export function drawToken(where: string, row: TokenRow, index: number, rules: TokenRules, u: number, options: TokenOptions = {}): TokenDraw {
  const k = kernels(), n = row.length, at = layout(n), { edit, allowed, probabilities } = options;
  const x = place(where, row, n, at, edit !== undefined);
  const { half, moment, ...raw } = statistics(where, index, x, n, at);
  let { top, best } = raw;
  if (edit) {
    edit(floatView().subarray(x >>> 2, (x >>> 2) + n));
    top = k.f32_block_maxima(x, n, at.maxima);
    if (top - top !== 0) refuse(where, index, x, n, top);
  }
  let count = -1;
  if (allowed) {
    intView().set(allowed, at.ids >>> 2);
    count = k.f32_pick(x, at.ids, allowed.length, at.xs);
    if (count === 0) throw rangeError(where, "allowed", "with a possible token", `none in row ${index}`);
    top = k.f32_block_maxima(at.xs, count, at.maxima);
  }
  const done = (token: number, kept: number, drawLogProbability: number, surprise?: number): TokenDraw => ({
    ...raw, token, kept, logProbability: scoreOf(row, token) - raw.logPartition, drawLogProbability, ...(surprise !== undefined && { surprise }),
  });

  if (rules.temperature === 0) {
    if (count >= 0) best = intView()[(at.ids >>> 2) + k.f32_first_and_second(at.xs, count, at.maxima, top, at.out)];
    else if (edit) best = k.f32_first_and_second(x, n, at.maxima, top, at.out);
    if (probabilities) probabilities.fill(0)[best] = 1;
    return done(best, 1, 0);
  }

  const { topK = n, topP = 1, minP = 0, typicalP = 1, eta = 0, surprise = Infinity } = rules;
  const scale = Math.fround(1 / rules.temperature), list = new Candidates(at, top, scale, count);
  const active = [topK < n, topP < 1, minP > 0, typicalP < 1, eta > 0, surprise < Infinity];
  const rule = active.indexOf(true);
  if (count >= 0) list.weigh();
  else if (rule === 0 || rule === 2) {
    // Neither looks at the sums.
  } else if (edit || scale !== 1) {
    k.f32_row_sums(x, n, top, scale, at.blocks, at.out);
    [list.half, list.moment] = pair(at.out);
  } else [list.half, list.moment] = [half, moment];

  if (count < 0 && rule < 0 && !probabilities) {
    const token = k.f32_draw_row(x, n, top, scale, at.blocks, u * list.half, at.out + 64), score = floatView()[(x >>> 2) + token];
    return done(token, n, -Math.min(88, Math.fround(Math.fround(top - score) * scale)) - k.f64_log(2 * list.half));
  }
  const logSum = surprise < Infinity ? k.f64_log(2 * list.half) : 0;
  if (count < 0) {
    const limit = rule === 0 ? topBound(at, n, topK) : lowestOf(top, scale, reach(rule, rules, n, list));
    const near = rule === 1 ? nearLimit(x, n, list, limit, topP) : limit;
    const mass = gather(x, n, list, near);
    // A limit that was guessed holds where what it leaves reaches the probability.
    if (near > limit && !(mass >= topP * list.half)) gather(x, n, list, limit);
  }
  if (topK < list.count) list.keepFirst(topK, 0);
  else if (rule === 0) list.weigh();
  if (topP < 1) list.keepFirst(topP * list.half, at.weights);
  if (minP > 0) list.keepNear(-k.f64_log(minP));
  if (typicalP < 1) list.keepFirst(typicalP * list.half, at.weights, Math.fround(list.moment / list.half));
  if (eta > 0) list.keepNear(etaSurprise(eta, list.half, list.moment) - k.f64_log(2 * list.half));
  if (surprise < Infinity) list.keepNear(surprise - logSum);
  if (rule < 0) list.weigh();

  const drawn = k.f32_draw_list(at.weights, list.count, u * list.half);
  const weights = floatView().subarray(at.weights >>> 2), ids = intView().subarray(at.ids >>> 2), token = ids[drawn], score = floatView()[(at.xs >>> 2) + drawn];
  if (probabilities) {
    probabilities.fill(0);
    for (let i = 0; i < list.count; i++) probabilities[ids[i]] = weights[i] / list.half;
  }
  return done(token, list.count, k.f64_log(weights[drawn] / list.half), surprise < Infinity ? Math.min(88, Math.fround(Math.fround(top - score) * scale)) + logSum : undefined);
}

/** Puts the scores from a limit up on the list; the sum of their weights. */
function gather(x: number, n: number, list: Candidates, limit: number, step = 1): number {
  const { at } = list, { f32_gather, f32_list_weights, f32_list_sums } = kernels();
  list.count = f32_gather(x, n, at.maxima, limit, step, at.xs, at.ids);
  f32_list_weights(at.xs, list.count, list.top, list.scale, at.weights);
  f32_list_sums(at.xs, list.count, list.top, list.scale, at.weights, at.out);
  return pair(at.out)[0];
}

/** Rows of fewer tokens are not worth a guess. */
const LARGE = 8192;
const STEP = 16;

/** A guess between `limit` and the largest score: in every 16th block, what lies below has three quarters of the weight that a set with probability p may leave out. */
function nearLimit(x: number, n: number, list: Candidates, limit: number, p: number): number {
  if (n < LARGE) return limit;
  const { at, half } = list, blocks = Math.ceil(n / 64), sums = new Float64Array(wasmMemory().buffer, at.blocks, blocks);
  let sampled = 0;
  for (let b = 0; b < blocks; b += STEP) sampled += sums[b];
  gather(x, n, list, limit, STEP);
  if (list.count === 0) return list.top;
  return Math.max(limit, kernels().f32_mass_limit(at.xs, list.count, at.keys, at.weights, sampled - (0.75 * (1 - p) * half) / STEP, at.work));
}

/** The k-th largest maximum of a block is no larger than the k-th largest score. */
function topBound(at: Layout, n: number, topK: number): number {
  const blocks = Math.ceil(n / 64);
  return topK < blocks ? Math.max(LOWEST, kernels().f32_lower_bound(at.maxima, blocks, topK, at.keys, at.work)) : LOWEST;
}

/** How far below the largest score, in temperatures, the rule that comes first may reach. */
function reach(rule: number, { topP = 1, minP = 0, typicalP = 1, eta = 0, surprise = 0 }: TokenRules, n: number, { half, moment }: Candidates): number {
  const { f64_log } = kernels(), mean = moment / half;
  // Tokens beyond this are together less probable than what a set with probability p leaves out.
  const farOut = (p: number): number => -f64_log((2 * (1 - p) * half) / n);
  if (rule === 1) return farOut(topP);
  if (rule === 2) return -f64_log(minP);
  // Where all that is nearer than that to the mean is more probable than p, and that is on both sides.
  if (rule === 3) return farOut(typicalP) > 2.001 * mean + 0.001 ? farOut(typicalP) : Infinity;
  if (rule === 4) return etaSurprise(eta, half, moment) - f64_log(2 * half);
  return rule === 5 ? surprise - f64_log(2 * half) : Infinity;
}

/** A finite score that none within this distance lies below: distance and product are rounded by 2^-23 of themselves at most. */
function lowestOf(top: number, scale: number, distance: number): number {
  const below = (Math.max(0, distance) / scale) * 1.000001;
  return Math.max(LOWEST, Math.fround(top - below - 1e-6 * (Math.abs(top) + below) - 1e-37));
}

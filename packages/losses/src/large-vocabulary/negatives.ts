import { expm1, log, log1mExp, log1p, pow } from "@logits/statistics";
import { asFloat32, checkInteger, rangeError, type RandomSource, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";

/** A distribution Q over the words 0 to V - 1. */
export interface NoiseDistribution {
  /** V. */
  readonly words: number;
  /** log Q(v). */
  logProbability(v: number): number;
  draw(random: RandomSource): number;
}

/** Words drawn from a distribution, and how often each was to be expected among them. */
export interface Negatives {
  readonly indices: Int32Array;
  readonly words: number;
  /** log of the expected number of times that word v is drawn: log(K Q(v)), or for different words the log of the probability that v is among them. */
  logExpected(v: number): number;
}

/**
 * The distribution of words sorted from frequent to rare, by Zipf's law.
 *
 *   Q(v) = (log(v + 2) - log(v + 1)) / log(V + 1)
 *
 * @param words - V >= 1
 * @returns the distribution
 * @throws RangeError for another V
 * @example
 *   exp(logUniformNoise(3).logProbability(0)); // 0.5
 * Source: TensorFlow, log_uniform_candidate_sampler.
 */
export function logUniformNoise(words: number): NoiseDistribution {
  checkInteger("logUniformNoise", "words", words, 1, 2147483647);
  const total = log(words + 1);
  return {
    words,
    logProbability: (v) => log(log1p(1 / (v + 1)) / total),
    // exp(u log(V + 1)) - 1, rounded down.
    draw: (random) => Math.min(words - 1, Math.floor(expm1(random.uniform() * total))),
  };
}

/**
 * The distribution of counts, each to a power: 0.75 of the words' counts for word vectors, 0 for the uniform one. A draw takes two uniform numbers and constant time.
 *
 *   Q(v) = counts[v]^power / sum_w counts[w]^power
 *
 * @param counts - float32 [V], finite, not negative, not all 0
 * @param power - at least 0; default 1
 * @returns the distribution
 * @throws RangeError for other counts or another power
 * @example
 *   const noise = countNoise([30, 10]);
 *   exp(noise.logProbability(1)); // 0.25
 * Source: Walker, "An Efficient Method for Generating Discrete Random Variables with General Distributions", ACM TOMS 1977, in Vose's form; the power: Mikolov et al., NeurIPS 2013.
 */
export function countNoise(counts: TensorLike, power = 1): NoiseDistribution {
  const where = "countNoise", given = asFloat32(where, "counts", counts).data, words = given.length, bad = given.findIndex((n) => !(n >= 0 && n < Infinity));
  checkRange(where, "power", power, 0);
  if (bad >= 0) throw rangeError(where, "counts", "finite and not negative", `${given[bad]} at index ${bad}`);
  const mass = Float64Array.from(given, (n) => (power === 1 ? n : n === 0 ? 0 : pow(n, power))), total = mass.reduce((a, b) => a + b, 0);
  if (!(total > 0)) throw rangeError(where, "counts", "that are not all 0", `${words} of them`);
  // Every column holds its own word up to its share, and another one above.
  const share = mass.map((m) => (m / total) * words), other = Int32Array.from(share, (_, v) => v), small: number[] = [], large: number[] = [];
  share.forEach((s, v) => (s < 1 ? small : large).push(v));
  while (small.length > 0 && large.length > 0) {
    const low = small.pop()!, high = large[large.length - 1];
    other[low] = high;
    share[high] -= 1 - share[low];
    if (share[high] < 1) small.push(large.pop()!);
  }
  // What is left over is 1 but for rounding; a word without mass never is.
  for (const v of [...small, ...large]) if (mass[v] > 0) share[v] = 1;
  return {
    words,
    logProbability: (v) => (mass[v] === 0 ? -Infinity : log(mass[v] / total)),
    draw(random) {
      const v = random.integer(words);
      return random.uniform() < share[v] ? v : other[v];
    },
  };
}

/**
 * Draws words from a distribution: one set of negatives for a whole batch.
 *
 *   logExpected(v) = log(K Q(v));   unique: log(1 - (1 - Q(v))^n) after n draws that gave K different words
 *
 * @param noise - the distribution
 * @param count - K >= 1
 * @param random - source of random numbers
 * @param options - `unique`: K different words (default false)
 * @returns the words in the order of the draws
 * @throws RangeError for another K; with `unique`, K above the number of words with Q > 0
 * @example
 *   sampleNegatives(logUniformNoise(1000), 64, randomSource(1)).indices.length; // 64
 * Source: TensorFlow, candidate sampling (expected counts); Jean et al., ACL 2015.
 */
export function sampleNegatives(noise: NoiseDistribution, count: number, random: RandomSource, options: { readonly unique?: boolean } = {}): Negatives {
  const { words } = noise, where = "sampleNegatives", { unique = false } = options, drawn: number[] = [], seen = new Set<number>();
  checkInteger(where, "count", count, 1, 2147483647);
  if (unique) {
    let possible = 0;
    for (let v = 0; v < words && possible < count; v++) if (noise.logProbability(v) > -Infinity) possible++;
    if (possible < count) throw rangeError(where, "count", `at most ${possible}, the words that can be drawn`, `${count}`);
  }
  let tries = 0;
  for (; drawn.length < count; tries++) {
    const v = noise.draw(random);
    if (unique && seen.has(v)) continue;
    seen.add(v);
    drawn.push(v);
  }
  return {
    indices: Int32Array.from(drawn),
    words,
    logExpected(v) {
      const logQ = noise.logProbability(v);
      if (!unique) return log(count) + logQ;
      // All words are there: 1, not the limit of many draws.
      if (count === words) return 0;
      return log1mExp(tries * log1mExp(logQ));
    },
  };
}

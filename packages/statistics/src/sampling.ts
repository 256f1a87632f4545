import { type RandomSource, checkInteger, rangeError } from "@logits/tensor";
import { exp } from "./exponential.ts";
import { log } from "./logarithm.ts";
import { normalQuantile } from "./normal.ts";
import { sigmoid } from "./logistic.ts";

/**
 * A standard normal variate, by inversion: one uniform number each, the same in every engine.
 * @param random - source of random numbers
 * @example sampleNormal(randomSource(1))
 * Source: z = normalQuantile(u).
 */
export function sampleNormal(random: RandomSource): number {
  return normalQuantile(random.uniform());
}

/** The logarithm of a Gamma(shape, 1) variate: shapes below 1 give values whose exponential underflows. */
function sampleLogGamma(shape: number, random: RandomSource): number {
  const d = (shape < 1 ? shape + 1 : shape) - 1 / 3, c = 1 / (3 * Math.sqrt(d));
  for (;;) {
    const z = sampleNormal(random), t = 1 + c * z;
    if (t <= 0) continue;
    const logCube = 3 * log(t);
    if (log(random.uniform()) < 0.5 * z * z + d - d * t * t * t + d * logCube) {
      const value = log(d) + logCube;
      return shape < 1 ? value + log(random.uniform()) / shape : value;
    }
  }
}

function checkShape(where: string, argument: string, value: number): void {
  if (!(value > 0 && value < Infinity)) throw rangeError(where, argument, "a finite number > 0", `${value}`);
}

/**
 * A Gamma(shape, 1) variate.
 * @param shape - finite number > 0
 * @param random - source of random numbers
 * @returns number >= 0 (0 only where the value underflows, for tiny shapes)
 * @throws RangeError if the shape is not a finite number > 0
 * @example sampleGamma(2, randomSource(1))
 * Source: Marsaglia and Tsang, ACM TOMS 26 (2000), with the boost of section 6 for shapes below 1.
 */
export function sampleGamma(shape: number, random: RandomSource): number {
  checkShape("sampleGamma", "shape", shape);
  return exp(sampleLogGamma(shape, random));
}

/**
 * A Beta(a, b) variate.
 * @param a - finite number > 0
 * @param b - finite number > 0
 * @param random - source of random numbers
 * @returns number in [0, 1]
 * @throws RangeError if a shape is not a finite number > 0
 * @example sampleBeta(2, 3, randomSource(1))
 * Source: X / (X + Y) of two Gamma variates, from their logarithms.
 */
export function sampleBeta(a: number, b: number, random: RandomSource): number {
  checkShape("sampleBeta", "a", a);
  checkShape("sampleBeta", "b", b);
  const x = sampleLogGamma(a, random);
  return sigmoid(x - sampleLogGamma(b, random));
}

/**
 * A Binomial(n, p) variate: exact, O(log n) uniform numbers.
 * @param n - trials, integer in [0, 2^53)
 * @param p - probability in [0, 1]
 * @param random - source of random numbers
 * @returns integer in [0, n]
 * @throws RangeError if n is no such integer or p outside [0, 1]
 * @example sampleBinomial(10, 0.5, randomSource(1))
 * Source: Devroye, Non-Uniform Random Variate Generation (1986), section X.4.3: split at a Beta order statistic, then count.
 */
export function sampleBinomial(n: number, p: number, random: RandomSource): number {
  checkInteger("sampleBinomial", "n", n, 0, Number.MAX_SAFE_INTEGER);
  if (!(p >= 0 && p <= 1)) throw rangeError("sampleBinomial", "p", "a number in [0, 1]", `${p}`);
  let count = 0;
  while (n > 24 && p > 0 && p < 1) {
    const i = Math.floor(n / 2) + 1;
    const order = sampleBeta(i, n + 1 - i, random);
    if (order <= p) {
      count += i;
      n -= i;
      p = Math.min(1, (p - order) / (1 - order));
    } else {
      n = i - 1;
      p /= order;
    }
  }
  for (; n > 0; n--) if (random.uniform() < p) count++;
  return count;
}

import type { LinearCrossEntropyOptions } from "./linearCrossEntropy.ts";

/** Loss of one row by the definition, in float64: every logit, then its log-softmax against the target of every word. */
export function linearCrossEntropyRef(x: ArrayLike<number>, weights: ArrayLike<number>, target: (v: number) => number, { labelSmoothing: e = 0, zLoss = 0, softCap: cap, ...options }: LinearCrossEntropyOptions): number {
  const d = x.length, bias = options.bias as Float32Array | undefined, w = options.classWeight as Float32Array | undefined, words = Array.from({ length: weights.length / d }, (_, v) => v);
  const raw = words.map((v) => Array.from(x).reduce((sum, value, f) => sum + value * weights[v * d + f], bias ? bias[v] : 0)), z = raw.map((value) => (cap && value !== -Infinity ? cap * Math.tanh(value / cap) : value));
  const top = Math.max(...z), L = top + Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0)), possible = z.filter((value) => value !== -Infinity).length;
  const t = words.map((v) => (w ? w[v] : 1) * ((1 - e) * target(v) + (z[v] === -Infinity ? 0 : e / possible)));
  return z.reduce((sum, value, v) => sum + (t[v] === 0 ? 0 : t[v] * (L - value)), zLoss * L * L);
}

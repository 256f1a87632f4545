type Logits = readonly [own: number, samples: readonly number[]];

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const logSumExp = (x: readonly number[]): number => Math.max(...x) + Math.log(x.reduce((sum, v) => sum + Math.exp(v - Math.max(...x)), 0));

/** Losses of one row by their definitions, in float64, from logits that are corrected where the definition says so; samples that are hits are not among them. */
export const sampledRefs = {
  softmax: ([own, samples]: Logits): number => logSumExp([own, ...samples]) - own,
  importance: ([, samples]: Logits, uncorrected: number): number => logSumExp(samples) - uncorrected,
  nce: ([own, samples]: Logits): number => samples.reduce((sum, u) => sum + softplus(u), softplus(-own)),
  binary: ([own, samples]: Logits, factors: readonly number[]): number => samples.reduce((sum, z, k) => sum + factors[k] * softplus(z), softplus(-own)),
  blackOut: ([own, samples]: Logits): number => samples.reduce((sum, u) => sum - Math.log(1 - Math.exp(u - logSumExp([own, ...samples]))), logSumExp([own, ...samples]) - own),
};

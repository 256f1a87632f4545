import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, rangeError, type TensorLike } from "@logits/tensor";
import type { AttentionOutput } from "./attention.ts";

/**
 * Attention over several sets of keys from the attention over each: for caches in parts, shared prefixes, and keys on other machines.
 *
 *   L = log sum_p exp(L_p);   output = sum_p exp(L_p - L) output_p
 *
 * @param parts - at least one; outputs float32 [..., E] and logSumExp [...] of a softmax, the same shapes in all. A sink belongs into one part alone
 * @returns output and logSumExp over all keys. A part with -Infinity (it had no keys) adds nothing; all such: 0 and -Infinity; NaN stays NaN
 * @throws RangeError for no parts or shapes that differ
 * @example
 *   const parts = [[0, 1], [1, 2]].map(([from, to]) => attention([[1]], [[1], [2]].slice(from, to), [[3], [5]].slice(from, to)));
 *   mergeAttention(parts).output.item(); // that of both keys
 * Source: Dao, Haziza, Massa, Sizov, "Flash-Decoding", 2023; Ye et al., "Cascade Inference", 2024.
 */
export function mergeAttention(parts: readonly { readonly output: TensorLike; readonly logSumExp: TensorLike }[]): AttentionOutput {
  const where = "mergeAttention";
  if (parts.length === 0) throw rangeError(where, "parts", "of at least one", "none");
  const outputs = parts.map(({ output }) => asFloat32(where, "output", output)), totals = parts.map(({ logSumExp }) => asFloat32(where, "logSumExp", logSumExp));
  const { shape } = outputs[0], rows = totals[0].size, width = shape[shape.length - 1] ?? 0, same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((size, i) => size === b[i]);
  for (let p = 0; p < parts.length; p++) {
    if (!same(outputs[p].shape, shape)) throw rangeError(where, "output", `of shape [${shape.join(", ")}] as in part 0`, `[${outputs[p].shape.join(", ")}] in part ${p}`);
    if (!same(totals[p].shape, shape.slice(0, -1))) throw rangeError(where, "logSumExp", `of shape [${shape.slice(0, -1).join(", ")}]`, `[${totals[p].shape.join(", ")}] in part ${p}`);
  }
  const output = new Float32Array(rows * width), logSumExp = new Float32Array(rows), weights = new Float64Array(parts.length), sums = new Float64Array(width);
  for (let i = 0; i < rows; i++) {
    let top = -Infinity, sum = 0;
    // NaN stays the largest.
    for (const { data } of totals) if (data[i] > top || data[i] !== data[i]) top = data[i];
    if (top === -Infinity) {
      logSumExp[i] = -Infinity;
      continue;
    }
    for (let p = 0; p < parts.length; p++) {
      const l = totals[p].data[i];
      sum += weights[p] = l === -Infinity ? 0 : exp(l - top);
    }
    sums.fill(0);
    for (let p = 0; p < parts.length; p++) if (weights[p] !== 0) for (let e = 0; e < width; e++) sums[e] += weights[p] * outputs[p].data[i * width + e];
    for (let e = 0; e < width; e++) output[i * width + e] = sums[e] / sum;
    logSumExp[i] = top + log(sum);
  }
  return { output: new Tensor("float32", shape, output), logSumExp: new Tensor("float32", totals[0].shape, logSumExp) };
}

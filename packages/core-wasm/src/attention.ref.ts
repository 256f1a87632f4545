/** Attention of one query over keys [S, D] and values [S, E] in float64: weights from the scores by `softmax` (with a sink's score, or -Infinity) or `sigmoid`, which has shifted them. */
export function attentionRef(scores: readonly number[], value: readonly (readonly number[])[], normalizer: "softmax" | "sigmoid", sink: number): { output: number[]; logSumExp: number } {
  const width = value[0]?.length ?? 0, top = Math.max(sink, ...scores), shift = top === -Infinity ? 0 : top;
  const weights = scores.map((s) => (normalizer === "softmax" ? Math.exp(s - shift) : 1 / (1 + Math.exp(-s))));
  const total = weights.reduce((sum, w) => sum + w, Math.exp(sink - shift)), by = normalizer === "softmax" && total > 0 ? 1 / total : 1;
  const output = Array.from({ length: width }, (_, e) => by * weights.reduce((sum, w, j) => sum + (w === 0 ? 0 : w * value[j][e]), 0));
  return { output, logSumExp: normalizer === "softmax" ? shift + Math.log(total) : NaN };
}

import { batchLossChecks, testRandom, type BatchValues, type LossCase } from "@logits/testkit";
import { describe, it } from "vitest";
import { contrastiveLoss, marginLoss, thresholdConsistentMarginLoss } from "./pairwise.ts";
import { fastApLoss, rankedListLoss } from "./ranked.ts";
import { tripletMarginLoss } from "./triplet.ts";
import { lse, matrixRef, mean, softplusRef } from "./tuples.ref.ts";
import { circleLoss, generalizedLiftedStructureLoss, multiSimilarityLoss, nPairLoss, ncaLoss, tupletMarginLoss } from "./weightedPairs.ts";

type Anchor = (p: number[], n: number[], options: any) => number;
interface Spec {
  readonly name: string;
  readonly loss: any;
  readonly measure: string;
  readonly needs: "both" | "positive" | "none";
  readonly value: Anchor;
  readonly options?: readonly object[];
  /** Scale of the embeddings. */
  readonly size?: number;
  readonly extreme?: false;
}

const relu = (x: number): number => Math.max(0, x);
const over = (terms: number[], average = "all"): number => (average === "sum" ? 1 : 1 / Math.max(1, average === "all" ? terms.length : terms.filter((x) => x > 0).length)) * terms.reduce((a, b) => a + b, 0);
const triplets: Anchor = (p, n, { margin = 0.2, smooth, mining = "all", average }) => {
  const pairs = mining === "hard" ? [[Math.max(...p), Math.min(...n)]] : mining === "all" ? p.flatMap((a) => n.map((b) => [a, b])) : p.map((a) => [a, n.some((b) => b > a) ? Math.min(...n.filter((b) => b > a)) : Math.max(...n)]);
  return over(pairs.map(([a, b]) => (smooth ? softplusRef(a - b + margin) : relu(a - b + margin))), average);
};
const specs: Spec[] = [
  { name: "contrastiveLoss", loss: contrastiveLoss, measure: "euclidean", needs: "none", value: (p, n, { positiveMargin: a = 0, negativeMargin: b = 1, power: k = 2, average }) => over(p.map((d) => relu(d - a) ** k), average) + over(n.map((d) => relu(b - d) ** k), average), options: [{}, { positiveMargin: 0.3, negativeMargin: 2, power: 1, average: "nonZero" }, { average: "sum", distance: "cosine" }] },
  { name: "marginLoss", loss: marginLoss, measure: "euclidean", needs: "none", value: (p, n, { margin = 0.2, beta = 1.2 }) => over([...p.map((d) => relu(d - beta + margin)), ...n.map((d) => relu(beta - d + margin))], "nonZero"), options: [{}, { margin: 0.5 }] },
  { name: "thresholdConsistentMarginLoss", loss: thresholdConsistentMarginLoss, measure: "cosine", needs: "none", value: (p, n, { positiveMargin: a = 0.9, negativeMargin: b = 0.5, positiveWeight: w = 1, negativeWeight: v = 1 }) => w * mean(p.filter((d) => 1 - d < a).map((d) => a - 1 + d)) + v * mean(n.filter((d) => 1 - d > b).map((d) => 1 - d - b)), options: [{}, { positiveWeight: 0.5, negativeMargin: 0.1 }] },
  { name: "tripletMarginLoss", loss: tripletMarginLoss, measure: "euclidean", needs: "both", value: triplets, options: [{}, { margin: 1, average: "nonZero" }, { smooth: true }, { mining: "hard", margin: 1 }, { mining: "semihard", margin: 0.7, distance: "squaredEuclidean" }, { average: "sum", distance: "cosine" }] },
  { name: "multiSimilarityLoss", loss: multiSimilarityLoss, measure: "cosine", needs: "none", value: (p, n, { alpha = 2, beta = 50, base = 0.5, mining = 0.1 }) => {
    const a = mining === false ? p : p.filter((s) => s - mining < Math.max(...n)), b = mining === false ? n : n.filter((s) => s + mining > Math.min(...p));
    return lse([0, ...a.map((s) => -alpha * (s - base))]) / alpha + lse([0, ...b.map((s) => beta * (s - base))]) / beta;
  }, options: [{}, { mining: false, beta: 40 }] },
  { name: "circleLoss", loss: circleLoss, measure: "cosine", needs: "both", value: (p, n, { margin: m = 0.4, scale: g = 80 }) => softplusRef(lse(p.map((s) => -g * relu(1 + m - s) * (s - 1 + m))) + lse(n.map((s) => g * relu(s + m) * (s - m)))), options: [{ gradient: "exact" }, { gradient: "exact", scale: 4, margin: 0.25 }] },
  { name: "ncaLoss", loss: ncaLoss, measure: "squaredEuclidean", needs: "positive", value: (p, n, { scale = 1 }) => lse([...p, ...n].map((d) => -scale * d)) - lse(p.map((d) => -scale * d)), options: [{}, { scale: 0.5, distance: "euclidean" }] },
  { name: "nPairLoss", loss: nPairLoss, measure: "dot", needs: "both", value: (p, n) => mean(p.map((s) => softplusRef(lse(n) - s))) },
  { name: "tupletMarginLoss", loss: tupletMarginLoss, measure: "cosine", needs: "both", value: (p, n, { margin = 0.1, scale = 64 }) => mean(p.map((c) => softplusRef(lse(n.map((s) => scale * s)) - scale * Math.cos(Math.acos(Math.min(1, c)) - margin)))), options: [{}, { scale: 4, margin: 0.3 }] },
  { name: "generalizedLiftedStructureLoss", loss: generalizedLiftedStructureLoss, measure: "euclidean", needs: "both", value: (p, n, { margin = 1 }) => relu(lse(p) + lse(n.map((d) => margin - d))), options: [{}, { margin: 2 }] },
  { name: "rankedListLoss", loss: rankedListLoss, measure: "euclidean", needs: "none", value: (p, n, { margin = 0.4, alpha = 1.2, negativeTemperature: tn = 10, positiveTemperature: tp = 0, balance = 0.5 }) => {
    const part = (x: number[], t: number): number => (x.length === 0 ? 0 : x.reduce((sum, v) => sum + v * Math.exp(t * v), 0) / x.reduce((sum, v) => sum + Math.exp(t * v), 0));
    return (1 - balance) * part(p.map((d) => d - alpha + margin).filter((v) => v > 0), tp) + balance * part(n.map((d) => alpha - d).filter((v) => v > 0), tn);
  }, options: [{ gradient: "exact" }, { gradient: "exact", alpha: 3, negativeTemperature: 2, positiveTemperature: 1 }] },
  { name: "fastApLoss", loss: fastApLoss, measure: "cosine", needs: "positive", value: (p, n, { bins = 10 }) => {
    const h = (x: number[], k: number): number => x.reduce((sum, s) => sum + relu(1 - (Math.abs(2 - 2 * s - (4 * k) / bins) * bins) / 4), 0);
    let [near, all, value] = [0, 0, 1];
    for (let k = 0; k <= bins; k++) {
      near += h(p, k);
      all += h(p, k) + h(n, k);
      if (all > 0) value -= (h(p, k) * near) / all / p.length;
    }
    return value;
  }, options: [{}, { bins: 4 }] },
];

function cases(options: readonly object[], size: number): LossCase[] {
  const random = testRandom(5);
  return options.flatMap((o) => [[7, 3, [0, 1, 0, 1, 1, 2, 0]], [5, 2, [3, 3, 7, 7, 3]]].map(([rows, features, labels]) => ({
    name: `${rows as number} x ${features as number}, ${JSON.stringify(o)}`,
    arguments: [
      { dtype: "float32" as const, shape: [rows as number, features as number], data: Float32Array.from({ length: (rows as number) * (features as number) }, () => size * random.normal()) },
      { dtype: "int32" as const, shape: [rows as number], data: Int32Array.from(labels as number[]) },
    ],
    options: o,
  })));
}

describe.each(specs)("$name", ({ name, loss, measure, needs, value, options = [{}], size = 1 }) => {
  it.each(batchLossChecks({
    name,
    loss,
    cases: cases(options, size),
    reference: ([z, y], o: any, [[rows, features]]): BatchValues => {
      const kind = o.distance ?? measure, distances = matrixRef(z, features, kind).map((row) => row.map((x) => (kind === "cosine" && (o.distance || name.startsWith("threshold")) ? 1 - x : x)));
      const lists = Array.from({ length: rows }, (_, i) => [0, 1].map((far) => distances[i].filter((_, j) => j !== i && (y[j] === y[i]) === (far === 0))));
      const counts = lists.map(([p, n]) => (needs === "none" || (p.length > 0 && (needs === "positive" || n.length > 0)) ? 1 : 0));
      return { values: lists.map(([p, n], i) => (counts[i] ? value(p, n, o) : 0)), counts };
    },
    // Similarities are float32 sums, 1e-7 each, times scales of up to 80.
    bound: { rtol: 2e-6, atol: 1e-5 },
    gradientBound: { rtol: 2e-5, atol: 4e-5 },
    labels: { argument: 1 },
    extreme: false,
  }))("$name", ({ run }) => run());
});

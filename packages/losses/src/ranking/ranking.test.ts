import { batchLossChecks, lossChecks, testRandom, type LossCase, type LossLike, type LossSpec } from "@logits/testkit";
import { describe, it } from "vitest";
import { approxNdcgLoss, lambdaLoss, listMleLoss, listNetLoss, listwiseSoftmaxLoss, mannWhitneyLoss, plackettLuceLoss, rankNetLoss } from "./index.ts";
import { approxNdcgRef, lambdaRef, logSoftmaxRef, orderRef, pairsRef, plackettLuceRef } from "./ranking.ref.ts";

const random = testRandom(6);
const lists = (options: object = {}, rows = 5, items = 6): LossCase => ({
  name: JSON.stringify(options),
  arguments: [
    { dtype: "float32", shape: [rows, items], data: Float32Array.from({ length: rows * items }, () => random.normal()) },
    { dtype: "float32", shape: [rows, items], data: Float32Array.from({ length: rows * items }, (_, i) => (i < items ? 0 : random.integer(5))) },
  ],
  options,
});
// Values in float64 with one rounding; refs take ties in the order of the items, as the losses do.
const bound = { rtol: 3e-7, atol: 1e-7 }, gradientBound = { rtol: 1e-5, atol: 2e-6 };

const cases: [string, LossLike, LossSpec["reference"], LossCase[], (number | false)?][] = [
  ["listNetLoss", listNetLoss, ([s, y]) => -logSoftmaxRef(s).reduce((sum, v, i) => sum + v * Math.exp(logSoftmaxRef(y)[i]), 0), [lists(), lists({}, 4, 1)]],
  ["listwiseSoftmaxLoss", listwiseSoftmaxLoss, ([s, y]) => -logSoftmaxRef(s).reduce((sum, v, i) => sum + v * y[i], 0), [lists()]],
  ["listMleLoss", listMleLoss, ([s, y], { k = Infinity, placeWeight = () => 1 }) => plackettLuceRef(s, orderRef(y), (p) => (p < k ? placeWeight(p, s.length) : 0)), [lists(), lists({ k: 2 }), lists({ placeWeight: (p: number, n: number) => 2 ** (n - 1 - p) - 1 })]],
  ["rankNetLoss", rankNetLoss, ([s, y]) => pairsRef(s, y)[0] / (pairsRef(s, y)[1] || 1), [lists()]],
  ["lambdaLoss", lambdaLoss, ([s, y], options) => lambdaRef(s, y, options), [lists(), lists({ k: 3, sigma: 2 }), lists({ weighting: "ndcg-loss2" })], false], // ties at the extremes
  ["approxNdcgLoss", approxNdcgLoss, ([s, y], { temperature = 0.1 }) => approxNdcgRef(s, y, temperature), [lists({ temperature: 1 }), lists({ temperature: 0.3 })]],
];

describe.each(cases)("%s", (name, loss, reference, given, extreme = 1e4) => {
  it.each(lossChecks({ name, loss, cases: given, reference, bound, gradientBound, extreme }))("$name", ({ run }) => run());
});

describe("plackettLuceLoss", () => {
  const ranked = (places: number): LossCase => ({ name: `${places} places`, arguments: [lists().arguments[0], { dtype: "int32", shape: [5, places], data: Int32Array.from({ length: 5 * places }, (_, i) => ((i % places) * 5 + Math.floor(i / places)) % 6) }] });
  it.each(lossChecks({
    name: "plackettLuceLoss",
    loss: plackettLuceLoss,
    cases: [ranked(6), ranked(2), ranked(1)],
    reference: ([s, ranking]) => {
      const top = Array.from(ranking), rest = Array.from(s, (_, i) => i).filter((i) => !top.includes(i));
      return plackettLuceRef(s, [...top, ...rest], (k) => (k < top.length ? 1 : 0));
    },
    bound,
    gradientBound,
  }))("$name", ({ run }) => run());
});

describe("mannWhitneyLoss", () => {
  const batch = (options: object): LossCase => ({ name: JSON.stringify(options), arguments: [{ dtype: "float32", shape: [9], data: Float32Array.from({ length: 9 }, () => random.normal()) }, { dtype: "float32", shape: [9], data: Float32Array.of(1, 0, 0, 1, 1, 0, 1, 0, 0) }], options });
  it.each(batchLossChecks({
    name: "mannWhitneyLoss",
    loss: mannWhitneyLoss,
    cases: [batch({}), batch({ surrogate: "squared-hinge" }), batch({ surrogate: "squared-hinge", margin: 0.3 })],
    reference: ([s, y], { surrogate, margin = 1 }) => {
      const negatives = s.filter((_, i) => y[i] === 0), of = (d: number): number => (surrogate ? Math.max(0, margin - d) ** 2 : Math.max(0, -d) + Math.log1p(Math.exp(-Math.abs(d))));
      return { values: s.map((x, i) => (y[i] === 0 || negatives.length === 0 ? 0 : negatives.reduce((sum, v) => sum + of(x - v), 0) / negatives.length)), counts: y };
    },
    bound,
    gradientBound,
  }))("$name", ({ run }) => run());
});

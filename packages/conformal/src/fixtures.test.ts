import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import {
  AdaptiveAlpha, ConformalRegression, ExchangeabilityMonitor, MultiLabelConformal, PValueMonitor, RiskMonitor, SplitConformal, clusterClasses, conformalRiskControl, learnThenTest,
  type ConformalMethod, type ConformalRegressionOptions, type MultiLabelPromise, type PValueSide, type SplitConformalOptions,
} from "./index.ts";
import choices from "./fixtures/choices.json" with { type: "json" };
import regression from "./fixtures/regression.json" with { type: "json" };
import risk from "./fixtures/risk.json" with { type: "json" };
import split from "./fixtures/split.json" with { type: "json" };
import streams from "./fixtures/streams.json" with { type: "json" };

// Values of tools/fixtures/conformal.py: NumPy, SciPy and scikit-learn from the definitions. Its sets hang on no score within 1e-6 of a quantile.

type Case = Record<string, unknown>;
const matrix = (data: number[], width: number) => ({ shape: [data.length / width, width], data: Float32Array.from(data) });

describe("SplitConformal agrees with NumPy", () => {
  const [data, ...cases] = split.cases as unknown as [{ classes: number; logits: number[]; labels: number[]; test: number[]; groups: number[]; testGroups: number[]; weights: number[]; testWeights: number[]; classGroups: number[]; seed: number }, ...Case[]];
  const conditions: Record<string, [SplitConformalOptions, object]> = {
    none: [{}, {}], groups: [{ groups: data.groups }, { groups: data.testGroups }], each: [{ classGroups: "each" }, {}], clusters: [{ classGroups: data.classGroups }, {}], weights: [{ weights: data.weights }, { weights: data.testWeights }],
  };
  const labelled = cases.map((c) => ({ label: [c.kind, c.method, c.randomize === false ? "not randomised" : "", c.condition, c.alpha ?? ""].join(" "), c }));
  it.each(labelled)("$label", ({ c }) => {
    const { method, randomize, penalty, freeRanks, parents, ids, alpha } = c as { method: ConformalMethod; randomize?: boolean; penalty?: number; freeRanks?: number; parents?: number[]; ids: number[]; alpha: number };
    const [fit, predict] = conditions[c.condition as string];
    const fitted = SplitConformal.fit(matrix(data.logits, data.classes), data.labels, { method, seed: data.seed, ...(randomize === false && { randomize }), penalty, freeRanks, parents, ...fit });
    const test = matrix(data.test, data.classes);
    if (c.kind === "pValues") expectClose(fitted.pValues(test, { smooth: true, seed: data.seed, ids, ...predict }).data, c.pValues as number[], { rtol: 2e-7 }); // rounded up to float32; running sums of weights
    else {
      expect(Array.from(fitted.predictionSet(test, { alpha, allowEmpty: true, ids, ...predict }).mask.data)).toEqual(c.mask);
      if (c.quantile !== undefined) expectClose(fitted.quantile(alpha), c.quantile as number, { atol: 5e-7, rtol: 1e-7 }); // float32 probabilities and scores
    }
  });
});

describe("choices agree with NumPy and scikit-learn", () => {
  it.each((choices.cases as unknown as Case[]).map((c) => ({ label: [c.kind, c.method ?? c.promise ?? "", c.alpha ?? ""].join(" "), c })))("$label", ({ c }) => {
    const z = matrix(c.logits as number[], c.classes as number);
    if (c.kind === "tune") {
      expect(SplitConformal.tune(z, c.labels as number[], { method: c.method as "raps", alpha: c.alpha as number, seed: c.seed as number })).toEqual({ method: c.method, penalty: c.penalty, ...(c.freeRanks !== undefined && { freeRanks: c.freeRanks }) });
    } else if (c.kind === "clusters") expect(Array.from(clusterClasses(z, c.labels as number[], { clusters: c.clusters as number }).data)).toEqual(c.result);
    else {
      const fitted = MultiLabelConformal.fit(z, { shape: z.shape, data: Uint8Array.from(c.targets as number[]) }, { promise: c.promise as MultiLabelPromise });
      expectClose(fitted.quantile(c.alpha as number), c.quantile as number, { atol: 6e-8 }); // one float32 rounding
    }
  });
});

describe("ConformalRegression agrees with NumPy", () => {
  const [data, ...cases] = regression.cases as unknown as [Record<string, number[]> & { test: Record<string, number[]> }, ...Case[]];
  it.each(cases.map((c) => ({ label: [c.method, c.condition, c.alpha].join(" "), c })))("$label", ({ c }) => {
    const { method, condition, alpha } = c as { method: NonNullable<ConformalRegressionOptions["method"]>; condition: string; alpha: number };
    const of = (d: Record<string, number[]>) => ({ ...(method === "normalized" && { scale: d.scale }), ...(condition === "groups" && { groups: d.groups }), ...(condition === "weights" && { weights: d.weights }) });
    const fitted = ConformalRegression.fit(method === "cqr" ? matrix(data.quantiles, 2) : data.predictions, data.targets, { method, ...of(data), ...(method === "cv+" && { folds: data.folds }) });
    const at = method === "cqr" ? matrix(data.test.quantiles, 2) : method === "cv+" ? matrix(data.test.folds, 5) : method === "jackknife+" ? matrix(data.test.rows, 45) : data.test.predictions;
    const { low, high } = fitted.interval(at, { alpha, ...of(data.test) });
    // Scores and ends rounded outwards to float32: numbers below 8, twice 4.8e-7, and an end in 3 steps.
    const outward = { atol: 2e-6 };
    expectClose(low.data, (c.low as (number | string)[]).map(Number), outward);
    expectClose(high.data, (c.high as (number | string)[]).map(Number), outward);
    (c.low as number[]).forEach((end, i) => expect(low.data[i]).toBeLessThanOrEqual(end));
    (c.high as number[]).forEach((end, i) => expect(high.data[i]).toBeGreaterThanOrEqual(end));
  });
});

describe("risk control agrees with NumPy and SciPy", () => {
  it.each(risk.cases)("n $n, alpha $alpha", ({ n, alpha, delta, settings, losses, index, bounds, pValues, fixedSequence, bonferroni, holm }) => {
    const table = matrix(losses, settings), controlled = conformalRiskControl(table, { alpha });
    expect(controlled.index).toBe(index);
    expectClose(controlled.bounds, bounds, { rtol: 1e-12 });
    const turned = { shape: [n, settings], data: table.data.map((_, i) => table.data[i - (i % settings) + settings - 1 - (i % settings)]) };
    for (const [correction, passed] of [["fixed sequence", fixedSequence], ["bonferroni", bonferroni], ["holm", holm]] as const) {
      const tested = learnThenTest(turned, { alpha, delta, correction });
      expect(tested.passed).toEqual(passed);
      expectClose(tested.pValues, pValues, { rtol: 1e-9 });
    }
  });
});

describe("streams agree with NumPy", () => {
  const close = { rtol: 1e-11, atol: 1e-12 }; // sums of 60 logarithms
  it.each((streams.cases as unknown as Case[]).map((c) => ({ label: [c.kind, c.side ?? "", c.calibrationRows ?? ""].join(" "), c })))("$label", ({ c }) => {
    if (c.kind === "adaptive") {
      const adaptive = AdaptiveAlpha.start({ alpha: c.alpha as number, step: c.step as number });
      expectClose((c.covered as boolean[]).map((hit) => adaptive.update(hit).level), c.levels as number[], close);
    } else if (c.kind === "risk") {
      const monitor = RiskMonitor.start({ risk: c.risk as number });
      expectClose((c.losses as number[]).map((loss) => monitor.update(loss).logEvidence), c.logEvidence as number[], close);
    } else if (c.kind === "pValues") {
      const monitor = PValueMonitor.start({ level: c.level as number, jump: c.jump as number, side: c.side as PValueSide, calibrationRows: c.calibrationRows as number | undefined });
      expectClose(monitor.slack, c.slack as number, close);
      expectClose((c.pValues as number[]).map((p) => monitor.update(p).logEvidence), c.logEvidence as number[], close);
    } else {
      const monitor = ExchangeabilityMonitor.start(c.reference as number[], { bins: c.bins as number, seed: c.seed as number, jump: c.jump as number });
      expectClose((c.scores as number[]).map((score) => monitor.update(score).logEvidence), c.logEvidence as number[], close);
    }
  });
});

import { intervalScore, pinballLoss } from "@logits/metrics";
import { Tensor } from "@logits/tensor";
import { batchLossChecks, expectClose, expectExact, lossChecks, testRandom, type LossLike } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as losses from "./index.ts";
import { concordanceRef, cosineDistanceRef, elementRefs, scaleInvariantSnrRef } from "./regression.ref.ts";
import fixtures from "./fixtures/regression.json" with { type: "json" };

const { absoluteErrorLoss, concordanceLoss, cosineDistanceLoss, gaussianLoss, huberLoss, intervalLoss, laplaceLoss, logCoshLoss, poissonLoss, quantileLoss, scaleInvariantSnrLoss, smoothL1Loss, squaredErrorLoss, tweedieLoss, wingLoss } = losses;
const all = losses as unknown as Record<string, LossLike>;
const random = testRandom(8);
const column = (make: () => number): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape: [9], data: Float32Array.from({ length: 9 }, make) });
const normal = (): number => 2 * random.normal(), count = (): number => random.integer(5);

const cases: Record<string, { make: (() => number)[]; names?: string[]; options: object[]; extreme?: number | false }> = {
  squaredErrorLoss: { make: [normal, normal], options: [{}] },
  absoluteErrorLoss: { make: [normal, normal], options: [{}] },
  huberLoss: { make: [normal, normal], options: [{}, { delta: 0.5 }, { delta: 3 }] },
  smoothL1Loss: { make: [normal, normal], options: [{}, { beta: 0.3 }] },
  logCoshLoss: { make: [normal, normal], options: [{}] },
  quantileLoss: { make: [normal, normal], options: [{}, { quantile: 0.9 }] },
  wingLoss: { make: [() => 8 * random.normal(), normal], options: [{}, { width: 5, curvature: 0.5 }] },
  gaussianLoss: { make: [normal, () => random.normal(), normal], names: ["means", "logVariances"], options: [{}, { full: true }] },
  laplaceLoss: { make: [normal, () => random.normal(), normal], names: ["locations", "logScales"], options: [{}, { full: true }] },
  poissonLoss: { make: [() => random.normal(), count], options: [{}, { full: true }], extreme: 80 },
  tweedieLoss: { make: [() => random.normal(), () => Math.max(0, normal())], options: [{}, { power: 1.2 }, { power: 2 }], extreme: 40 },
  intervalLoss: { make: [() => -1 + random.normal(), () => 1 + random.normal(), normal], names: ["lower", "upper"], options: [{}, { alpha: 0.5 }] },
};

describe.each(Object.keys(cases))("%s", (name) => {
  const { make, names, options, extreme } = cases[name];
  it.each(lossChecks({
    name,
    loss: all[name],
    cases: options.map((one) => ({ name: JSON.stringify(one), arguments: make.map(column), options: one })),
    reference: (row, one) => elementRefs[name](row.map(([v]) => v), one),
    bound: { rtol: 3e-7, atol: 1e-7 },
    gradientBound: { atol: 2e-6, rtol: 1e-6 },
    differentiable: names?.map((key, argument) => ({ argument, read: (result) => result.grads[key] })),
    extreme,
  }))("$name", ({ run }) => run());
});

const matrix = (rows: number, cols: number, make: () => number = () => random.normal()): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape: [rows, cols], data: Float32Array.from({ length: rows * cols }, make) });

describe("cosineDistanceLoss", () => {
  it.each(lossChecks({ name: "cosineDistanceLoss", loss: cosineDistanceLoss, cases: [{ name: "5 x 4", arguments: [matrix(5, 4), matrix(5, 4)] }], reference: ([x, t]) => cosineDistanceRef(x, t), bound: { atol: 2e-7 }, gradientBound: { atol: 1e-6 } }))("$name", ({ run }) => run());
});

describe("scaleInvariantSnrLoss [paper:frcrn-boosting-feature-representation-using-frequency-recurrence-for-monaural]", () => {
  it.each(lossChecks({
    name: "scaleInvariantSnrLoss",
    loss: scaleInvariantSnrLoss,
    cases: [{}, { zeroMean: true }, { epsilon: 0.1 }].map((options) => ({ name: JSON.stringify(options), arguments: [matrix(4, 12), matrix(4, 12)], options })),
    reference: ([x, t], options) => scaleInvariantSnrRef(x, t, options),
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { atol: 2e-5 }, // decibels: 20 / log 10 times sums of 12 products, differences of the definition in 1e-5
  }))("$name", ({ run }) => run());

  it("does not depend on the scale of the estimate, and a perfect estimate is limited by epsilon", () => {
    const x = matrix(3, 16), t = matrix(3, 16), louder = { ...x, data: x.data.map((v) => 8 * v) };
    expectClose(scaleInvariantSnrLoss(louder, t, { reduction: "none", epsilon: 0 }).data, scaleInvariantSnrLoss(x, t, { reduction: "none", epsilon: 0 }).data.slice(), { rtol: 1e-6, atol: 1e-6 });
    expectClose(scaleInvariantSnrLoss([[1, 2, 2]], [[1, 2, 2]]).item(), -10 * Math.log10((9 + 1e-8) / 1e-8), { rtol: 1e-6 });
    const { grad } = scaleInvariantSnrLoss.withGrad(x, t, { reduction: "sum", epsilon: 0 });
    for (let r = 0; r < 3; r++) expectClose(Array.from({ length: 16 }, (_, j) => grad.at(r, j) * x.data[16 * r + j]).reduce((a, b) => a + b, 0), 0, { atol: 1e-5 });
  });
});

describe("concordanceLoss", () => {
  it.each(batchLossChecks({
    name: "concordanceLoss",
    loss: concordanceLoss,
    units: "fixed",
    cases: [{ name: "8 x 3", arguments: [matrix(8, 3), matrix(8, 3)] }],
    reference: ([x, t]) => [0, 1, 2].map((f) => concordanceRef(Array.from(x).filter((_, i) => i % 3 === f), Array.from(t).filter((_, i) => i % 3 === f))),
    bound: { atol: 3e-7 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());

  it("is 0 for x itself, and never below one minus the correlation", () => {
    const x = matrix(20, 1).data, t = matrix(20, 1).data, mean = (v: Float32Array): number => v.reduce((a, b) => a + b, 0) / v.length;
    expectClose(concordanceLoss(x, x).item(), 0, { atol: 1e-7 });
    const [mx, mt] = [mean(x), mean(t)], xt = x.reduce((s, v, i) => s + (v - mx) * (t[i] - mt), 0), r = xt / Math.sqrt(x.reduce((s, v) => s + (v - mx) ** 2, 0) * t.reduce((s, v) => s + (v - mt) ** 2, 0));
    expect(Math.abs(1 - concordanceLoss(x, t).item())).toBeLessThanOrEqual(Math.abs(r) + 1e-6);
    expectClose(concordanceLoss([1, 2, 3], [2, 3, 4]).item(), 3 / 7, { ulp: 1 });
    expectExact(concordanceLoss.withGrad([2, 2], [2, 2]).grad.data, [0, 0]);
    expect(concordanceLoss([1, 2], [1, 3]).shape).toEqual([]);
  });
});

describe("limits", () => {
  const x = matrix(1, 60, normal).data, t = matrix(1, 60, normal).data;
  it("Huber becomes half a squared error and, over delta, an absolute error", () => {
    expectClose(huberLoss(x, t, { delta: 1e6, reduction: "none" }).data, squaredErrorLoss(x, t, { reduction: "none" }).data.map((v) => v / 2), { ulp: 1 });
    expectClose(smoothL1Loss(x, t, { beta: 1e-9, reduction: "none" }).data, absoluteErrorLoss(x, t, { reduction: "none" }).data.slice(), { atol: 1e-9, ulp: 1 });
    expectClose(huberLoss(x, t, { delta: 0.3, reduction: "none" }).data, smoothL1Loss(x, t, { beta: 0.3, reduction: "none" }).data.map((v) => 0.3 * v), { ulp: 2 });
  });
  it("quantile 1/2 is half the absolute error; quantiles and intervals agree with the metrics", () => {
    expectClose(quantileLoss(x, t, { reduction: "none" }).data, absoluteErrorLoss(x, t, { reduction: "none" }).data.map((v) => v / 2), { ulp: 1 });
    expectClose(quantileLoss(x, t, { quantile: 0.8 }).item(), pinballLoss(x, t, { quantile: 0.8 }).value, { rtol: 1e-6 });
    const lower = x.map((v) => v - 1), upper = x.map((v) => v + 1);
    expectClose(intervalLoss(lower, upper, t, { alpha: 0.2 }).item(), intervalScore(lower, upper, t, { alpha: 0.2 }).value, { rtol: 1e-6 });
  });
  it("Tweedie between Poisson and gamma, by gradients; Gaussian with unit variance is half a squared error", () => {
    const counts = t.map((v) => Math.floor(Math.abs(v)));
    expectClose(tweedieLoss.withGrad(x, counts, { power: 1 + 1e-7, reduction: "sum" }).grad.data, poissonLoss.withGrad(x, counts, { reduction: "sum" }).grad.data.slice(), { rtol: 1e-5, atol: 1e-5 });
    expectClose(tweedieLoss.withGrad(x, counts, { power: 2 - 1e-7, reduction: "sum" }).grad.data, tweedieLoss.withGrad(x, counts, { power: 2, reduction: "sum" }).grad.data.slice(), { rtol: 1e-5, atol: 1e-5 });
    expectClose(gaussianLoss(x, new Float32Array(60), t, { reduction: "none" }).data, squaredErrorLoss(x, t, { reduction: "none" }).data.map((v) => v / 2), { ulp: 1 });
    expectClose(laplaceLoss(x, new Float32Array(60), t, { reduction: "none" }).data, absoluteErrorLoss(x, t, { reduction: "none" }).data.slice(), { ulp: 1 });
    expectClose(wingLoss([10], [0]).item(), wingLoss([10 - 1e-6], [0]).item(), { rtol: 1e-6 }); // continuous
  });
  it("keeps the digits of small errors, and special values", () => {
    expectClose(logCoshLoss([1e-5, 1e-3, 0.0099, 0.0101], [0, 0, 0, 0], { reduction: "none" }).data, [5e-11, 4.999999166667e-7, Math.log(Math.cosh(0.0099)), Math.log(Math.cosh(0.0101))], { rtol: 1e-6 });
    expectExact(poissonLoss([-Infinity, -Infinity], [0, 1], { reduction: "none" }).data, [0, Infinity]);
    expectExact(absoluteErrorLoss.withGrad([2, NaN], [2, 1], { reduction: "none" }).grad.data, [0, NaN]);
    expectExact(intervalLoss.withGrad([NaN, 0], [1, 1], [0.5, NaN], { reduction: "none" }).grads.lower.data, [NaN, NaN]);
    expectExact(huberLoss([NaN, 1], [0, 0], { reduction: "none" }).data, [NaN, 0.5]);
    expectExact(squaredErrorLoss([1, 5], [3, -1], { ignoreIndex: -1 }).data, [4]);
    expectClose(cosineDistanceLoss([[0, 0]], [[1, 0]]).item(), 1, { atol: 0 });
  });
});

describe("fixtures of torch", () => {
  it(`${fixtures.cases.length} cases at 1e-6`, () => {
    expect(fixtures.cases.length).toBeGreaterThanOrEqual(110);
    for (const [i, { loss, shape, inputs, options, value, grads }] of (fixtures.cases as unknown as { loss: string; shape: number[]; inputs: number[][]; options: object; value: number; grads: number[][] }[]).entries()) {
      const label = `${i}: ${loss} ${JSON.stringify(options)}`, got = all[loss].withGrad(...inputs.map((data) => new Tensor("float32", shape, Float32Array.from(data))), options) as { loss: Tensor; grad?: Tensor; grads?: Record<string, Tensor> };
      expectClose(got.loss.item(), value, { atol: 1e-6, rtol: 1e-6, label });
      const have = got.grad === undefined ? Object.values(got.grads!) : [got.grad];
      have.forEach((grad, k) => expectClose(grad.data, grads[k], { atol: 1e-6, rtol: 1e-6, label: `${label}, gradient ${k}` }));
    }
  });
});

it("says what is wrong", () => {
  expect(() => huberLoss([1], [1], { delta: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: huberLoss: expected \`delta\` a finite number > 0, got 0]`);
  expect(() => quantileLoss([1], [1], { quantile: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: quantileLoss: expected \`quantile\` in [0, 1], got 2]`);
  expect(() => poissonLoss([1], [-1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: poissonLoss: expected \`targets\` of at least 0, got -1 at index 0]`);
  expect(() => tweedieLoss([1], [1], { power: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tweedieLoss: expected \`power\` in (1, 2], got 3]`);
  expect(() => gaussianLoss([1, 2], [1], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: gaussianLoss: expected \`logVariances\` of shape [2], got [1]]`);
  expect(() => intervalLoss([1], [2], [1], { alpha: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: intervalLoss: expected \`alpha\` in (0, 1], got 0]`);
  expect(() => concordanceLoss([[[1]]], [[[1]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: concordanceLoss: expected \`predictions\` of shape [B] or [B, F], got [1, 1, 1]]`);
  expect(() => cosineDistanceLoss([[1]], [[1]], { epsilon: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosineDistanceLoss: expected \`epsilon\` a finite number >= 0, got -1]`);
  expect(() => scaleInvariantSnrLoss([[1]], [[1]], { epsilon: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: scaleInvariantSnrLoss: expected \`epsilon\` a finite number >= 0, got NaN]`);
  expect(() => scaleInvariantSnrLoss([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: scaleInvariantSnrLoss: expected \`targets\` of the shape of \`predictions\`, got [1, 1] for [1, 2]]`);
});

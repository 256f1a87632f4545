import { softmax } from "@logits/core-wasm";
import { brierScore, negativeLogLikelihood } from "@logits/metrics";
import { Tensor, randomSource } from "@logits/tensor";
import { densenetCifar100, expectClose, expectExact, finiteDifferenceGradient, lossChecks } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { correctnessAwareLossRef } from "./correctnessAwareLoss.ref.ts";
import { TemperatureScaling, correctnessAwareLoss, sdmActivation, sdmLoss } from "./index.ts";
import { sdmActivationRef, sdmLossRef } from "./sdmActivation.ref.ts";

const random = randomSource(5);
const floats = (shape: number[], make: () => number) => ({ dtype: "float32" as const, shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, make) });
const logits = floats([9, 4], () => 6 * (random.uniform() - 0.5)), labels = { dtype: "int32" as const, shape: [9], data: Int32Array.from({ length: 9 }, (_, i) => (i * 7) % 4) };
const rowsOf = (data: ArrayLike<number>, width: number): number[][] => Array.from({ length: data.length / width }, (_, i) => Array.from(data).slice(i * width, (i + 1) * width));

describe("correctnessAwareLoss [paper:optimizing-calibration-by-gaining-aware-of-prediction-correctness]", () => {
  it.each(lossChecks({
    name: "correctnessAwareLoss",
    loss: correctnessAwareLoss,
    cases: [{ name: "four classes", arguments: [logits, labels] }],
    reference: ([z, [label]]) => correctnessAwareLossRef(z, label),
    bound: { rtol: 2e-6, atol: 1e-7 }, // softmax of four scores in float32, squared
    gradientBound: { atol: 2e-6, rtol: 1e-5 },
    labels: { argument: 1, classes: 4 },
  }))("$name", ({ run }) => run());

  it("is the Brier score of the confidence: half the multi-class one for two classes", () => {
    const z = floats([50, 2], () => 4 * (random.uniform() - 0.5)), y = Int32Array.from({ length: 50 }, () => random.integer(2));
    expectClose(correctnessAwareLoss(z, y).item(), brierScore(softmax(z), y) / 2, { rtol: 1e-6 });
  });

  it("has a gradient with respect to the temperature by the chain rule, and no temperature changes the answers", () => {
    const mean = (t: Float64Array): number => rowsOf(logits.data, 4).reduce((sum, row, i) => sum + correctnessAwareLossRef(row.map((z) => z / t[i]), labels.data[i]) / 9, 0);
    const temperatures = Float64Array.from({ length: 9 }, (_, i) => 0.5 + i / 3), cooled = { ...logits, data: logits.data.map((z, i) => z / temperatures[i >> 2]) };
    const { grad } = correctnessAwareLoss.withGrad(cooled, labels);
    const chained = rowsOf(logits.data, 4).map((row, i) => -row.reduce((sum, z, c) => sum + z * grad.data[4 * i + c], 0) / temperatures[i] ** 2);
    expectClose(chained, finiteDifferenceGradient(mean, temperatures), { atol: 1e-6 });
    rowsOf(logits.data, 4).forEach((row, i) => expect(rowsOf(cooled.data, 4)[i].indexOf(Math.max(...rowsOf(cooled.data, 4)[i]))).toBe(row.indexOf(Math.max(...row))));
  });

  it("is smallest for a constant confidence at the accuracy", () => {
    // Rows alike, 7 of 10 right: over temperatures the best confidence is 0.7.
    const y = Int32Array.of(0, 0, 0, 0, 0, 0, 0, 1, 2, 1), at = (t: number): number => correctnessAwareLoss({ data: Float32Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? 2 / t : 0)), shape: [10, 3] }, y).item();
    const grid = Array.from({ length: 400 }, (_, i) => 0.5 + i / 200), best = grid.reduce((a, b) => (at(b) < at(a) ? b : a));
    expectClose(softmax([2 / best, 0, 0]).data[0], 0.7, { atol: 2e-3 }); // the grid
  });

  it("has its minimum over one temperature near that of the likelihood on the CIFAR-100 data", () => {
    const real = densenetCifar100(), rows = 500, classes = 100, z = real.logits.subarray(0, rows * classes), y = real.labels.subarray(0, rows);
    const at = (t: number): number => correctnessAwareLoss({ data: z.map((x) => x / t), shape: [rows, classes] }, y).item();
    const grid = Array.from({ length: 21 }, (_, i) => 1 + i / 10), best = grid.reduce((a, b) => (at(b) < at(a) ? b : a));
    expect(Math.abs(best - TemperatureScaling.fit({ data: z, shape: [rows, classes] }, y).temperature)).toBeLessThan(0.5);
    expect(at(best)).toBeLessThan(at(1));
  });

  it("answers special rows: impossible classes, ties, one class, no distribution", () => {
    const of = (row: number[], label: number): number => correctnessAwareLoss([row], [label], { reduction: "none" }).data[0];
    expectClose(of([0, -Infinity, 0], 2), 0.25, { rtol: 1e-6 });
    expectExact([of([3], 0), of([NaN, 0], 0), of([Infinity, 0], 0), of([-Infinity, -Infinity], 0)], [0, NaN, NaN, NaN]);
    expectClose(of([20, 0], 0), Math.exp(-40), { rtol: 1e-5 }); // 1 - p keeps its digits
    expect(correctnessAwareLoss({ data: new Float32Array(0), shape: [0, 3] }, new Int32Array(0)).item()).toBe(0);
  });

  it("has these messages", () => {
    expect(() => correctnessAwareLoss([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: correctnessAwareLoss: expected \`logits\` of shape [B, ..., C], got [2]]`);
    expect(() => correctnessAwareLoss([[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: correctnessAwareLoss: expected \`labels\` of shape [1], got [2]]`);
    expect(() => correctnessAwareLoss([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: correctnessAwareLoss: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => correctnessAwareLoss({ data: new Float32Array(0), shape: [1, 0] }, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: correctnessAwareLoss: expected \`logits\` with at least one class, got shape [1, 0]]`);
    expect(() => correctnessAwareLoss.withGrad([[1, 2]], [0], { upstream: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: correctnessAwareLoss.withGrad: expected \`upstream\` of shape [], got [2]]`);
  });
});

describe("sdmActivation and sdmLoss [paper:similarity-distance-magnitude-universal-verification]", () => {
  const similarity = floats([9], () => random.integer(20)), distance = floats([9], () => random.uniform());

  it("agrees with the definition", () => {
    const got = sdmActivation(logits, similarity, distance);
    expectClose(got.data, rowsOf(logits.data, 4).flatMap((row, i) => sdmActivationRef(row, similarity.data[i], distance.data[i])), { rtol: 5e-6 }); // exponents up to 3 * 3 in float32
    expect(got.shape).toEqual([9, 4]);
  });

  it("is softmax at q = e - 2 and d = 1, uniform at d = 0, and keeps the order of the classes", () => {
    const ones = new Float32Array(9).fill(1);
    expectClose(sdmActivation(logits, ones.map(() => Math.E - 2), ones).data, softmax(logits).data, { rtol: 1e-6 });
    expectExact(sdmActivation(logits, similarity, new Float32Array(9)).data, new Float32Array(36).fill(0.25));
    rowsOf(sdmActivation(logits, similarity, distance).data, 4).forEach((row, i) => {
      const z = rowsOf(logits.data, 4)[i], rank = (x: number[]): number[] => x.map((_, c) => c).sort((a, b) => x[a] - x[b]);
      expect(rank(row)).toEqual(rank(z));
    });
    expectClose(sdmActivation([[1, 0], [1, 0]], [0, 6], [1, 1]).data, [2 / 3, 1 / 3, 8 / 9, 1 / 9], { rtol: 1e-6 });
  });

  it.each(lossChecks({
    name: "sdmLoss",
    loss: sdmLoss,
    cases: [{ name: "four classes", arguments: [logits, labels, similarity, distance] }],
    reference: ([z, [label], [q], [d]]) => sdmLossRef(z, label, q, d),
    bound: { rtol: 2e-6, atol: 1e-6 },
    gradientBound: { atol: 3e-6 },
    labels: { argument: 1, classes: 4 },
  }))("$name", ({ run }) => run());

  it("changes the base of the logarithm: the loss is cross-entropy of d ln(2 + q) z over ln(2 + q)", () => {
    const p = sdmActivation(logits, similarity, distance), want = rowsOf(p.data, 4).map((row, i) => -Math.log(row[labels.data[i]]) / Math.log(2 + similarity.data[i]));
    expectClose(sdmLoss(logits, labels, similarity, distance, { reduction: "none" }).data, want, { rtol: 1e-5, atol: 1e-6 });
    const ones = new Float32Array(9).fill(1);
    expectClose(sdmLoss(logits, labels, ones.map(() => Math.E - 2), ones).item(), negativeLogLikelihood(logits, labels.data), { rtol: 1e-6 });
  });

  it("answers special rows", () => {
    expectExact(sdmActivation([[-Infinity, 1, 1], [NaN, 0, 0], [-Infinity, -Infinity, -Infinity]], [3, 3, 3], [0, 1, 1]).data, [0, 0.5, 0.5, NaN, NaN, NaN, NaN, NaN, NaN]);
    expect(sdmLoss([[-Infinity, 1]], [0], [1], [0.5]).item()).toBe(Infinity);
    expectExact(sdmActivation({ data: new Float32Array(0), shape: [0, 3] }, [], []), new Tensor("float32", [0, 3], new Float32Array(0)));
  });

  it("has these messages", () => {
    expect(() => sdmActivation([1, 2], [0], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sdmActivation: expected \`logits\` of shape [B, C], got [2]]`);
    expect(() => sdmActivation([[1, 2]], [-1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sdmActivation: expected \`similarity\` finite and not negative, got -1 at index 0]`);
    expect(() => sdmActivation([[1, 2]], [1], [1.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sdmActivation: expected \`distance\` in [0, 1], got 1.5 at index 0]`);
    expect(() => sdmActivation([[1, 2]], [1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sdmActivation: expected \`similarity\` of shape [1], got [2]]`);
    expect(() => sdmLoss([[1, 2]], [2], [1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sdmLoss: expected \`labels\` in [0, 2), got 2 at index 0]`);
  });
});

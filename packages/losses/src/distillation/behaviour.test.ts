import { crossEntropy } from "@logits/losses/classification";
import { softmax } from "@logits/core-wasm";
import { plackettLuceLoss } from "@logits/losses/ranking";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { binaryKlLoss, distillationLoss, distLoss, dkdLoss, jeffreysLoss, jensenShannonLoss, marginMseLoss, pldLoss, relationDistillationLoss, reverseKlLoss, skewKlLoss, totalVariationLoss } from "./index.ts";

const random = testRandom(4);
const matrix = (rows: number, classes: number, scale = 2): Tensor<"float32"> => new Tensor("float32", [rows, classes], Float32Array.from({ length: rows * classes }, () => scale * random.normal()));
const shifted = (x: Tensor<"float32">, by: number): Tensor<"float32"> => new Tensor("float32", x.shape, x.data.map((v) => v + by));
const none = { reduction: "none" } as const;
const entropy = (p: ArrayLike<number>): number => Array.prototype.reduce.call(p, (sum, v) => (sum as number) - (v as number) * Math.log(v as number), 0) as number;

describe("limits and laws", () => {
  it("takes the mean of the teachers' probabilities, and is 0 at a single teacher [paper:meal-v2-boosting-vanilla-resnet-50-to-80-top]", () => {
    const x = matrix(4, 5), teachers = [matrix(4, 5), matrix(4, 5), matrix(4, 5)], all = new Tensor("float32", [3, 4, 5], Float32Array.from(teachers.flatMap((t) => Array.from(t.data)))), temperature = 2;
    const probabilities = teachers.map((t) => softmax(t, { temperature }).data), mean = probabilities[0].map((_, i) => probabilities.reduce((sum, p) => sum + p[i] / 3, 0));
    const { loss, grad } = distillationLoss.withGrad(x, all, { temperature, reduction: "sum" }), s = softmax(x, { temperature }).data;
    expectClose(loss.item(), 4 * mean.reduce((sum, p, i) => sum + p * Math.log(p / s[i]), 0), { rtol: 1e-5 }); // the probabilities here are float32
    expectClose(grad.data, s.map((v, i) => temperature * (v - mean[i])), { atol: 1e-6 });
    expectClose(distillationLoss(x, new Tensor("float32", [1, 4, 5], x.data.slice()), { temperature }).item(), 0, { atol: 1e-15 });
    // Jensen: the mean is at least as uncertain as the teachers are on the whole.
    for (let r = 0; r < 4; r++) expect(entropy(mean.subarray(5 * r, 5 * r + 5))).toBeGreaterThanOrEqual(probabilities.reduce((sum, p) => sum + entropy(p.subarray(5 * r, 5 * r + 5)) / 3, 0));
  });

  it("does not change with the level of the scores, but for the binary divergence", () => {
    const [x, t] = [matrix(3, 4), matrix(3, 4)], labels = [0, 1, 3];
    for (const loss of [distillationLoss, reverseKlLoss, jeffreysLoss, jensenShannonLoss, skewKlLoss, totalVariationLoss, distLoss, marginMseLoss]) expectClose(loss(shifted(x, 3), shifted(t, -2)).item(), loss(x, t).item(), { rtol: 1e-5 }); // shifts round scores to 2^-22
    for (const loss of [dkdLoss, pldLoss]) expectClose(loss(shifted(x, 3), shifted(t, -2), labels).item(), loss(x, t, labels).item(), { rtol: 1e-5 });
    expect(binaryKlLoss(shifted(x, 3), t).item()).not.toBeCloseTo(binaryKlLoss(x, t).item(), 2);
  });

  it("gives cross-entropy less a constant for a teacher that is certain", () => {
    const x = matrix(4, 5), labels = [0, 2, 4, 1], certain = new Tensor("float32", [4, 5], Float32Array.from({ length: 20 }, (_, i) => (i % 5 === labels[Math.floor(i / 5)] ? 0 : -Infinity)));
    const { loss, grad } = crossEntropy.withGrad(x, labels);
    for (const { loss: got, grad: own } of [distillationLoss.withGrad(x, certain), pldLoss.withGrad(x, certain, labels)]) {
      expectClose(got.item(), loss.item(), { rtol: 1e-6 });
      expectClose(own.data, grad.data, { atol: 1e-6 });
    }
  });

  it("is distillation where DKD's beta is that of each row", () => {
    const [x, t] = [matrix(1, 5), matrix(1, 5)], rest = 1 - softmax(t).data[2];
    expectClose(dkdLoss(x, t, [2], { beta: rest }).item(), distillationLoss(x, t).item(), { rtol: 1e-6 });
  });

  it("joins the divergences: beta and alpha at their ends", () => {
    const [x, t] = [matrix(3, 4), matrix(3, 4)];
    expectExact(jensenShannonLoss(x, t, { beta: 0 }).item(), distillationLoss(x, t).item());
    expectExact(jensenShannonLoss(x, t, { beta: 1 }).item(), reverseKlLoss(x, t).item());
    expectClose(skewKlLoss(x, t, { alpha: 0 }).item(), distillationLoss(x, t).item(), { rtol: 1e-6 });
    expectClose(skewKlLoss(x, t, { alpha: 0, reverse: true }).item(), reverseKlLoss(x, t).item(), { rtol: 1e-6 });
    expectClose(jensenShannonLoss(x, t, { beta: 0.001 }).item() / 0.001, distillationLoss(x, t).item(), { rtol: 0.02 }); // its slope at 0
  });

  it("keeps Jeffreys and Jensen-Shannon apart: both symmetric, one bounded, the other at least 4 times it [paper:beyond-self-supervision-a-simple-yet-effective-network-distillation]", () => {
    for (const scale of [0.1, 1, 20]) {
      const [x, t] = [matrix(6, 4, scale), matrix(6, 4, scale)], js = jensenShannonLoss(x, t, none).data, jeffreys = jeffreysLoss(x, t, none).data;
      expectClose(jensenShannonLoss(t, x, none).data, js, { rtol: 1e-6 });
      expectClose(jeffreysLoss(t, x, none).data, jeffreys, { rtol: 1e-6 });
      js.forEach((v, i) => expect(v <= Math.fround(Math.LN2) && jeffreys[i] >= 4 * v * (1 - 1e-6)).toBe(true));
      expectClose(jeffreys, distillationLoss(x, t, none).data.map((v, i) => (v + reverseKlLoss(x, t, none).data[i]) / 2), { rtol: 1e-6 });
    }
    for (const loss of [jensenShannonLoss, jeffreysLoss]) expectClose(loss([[1, 2]], [[1, 2]]).item(), 0, { atol: 1e-15 }); // of float64
  });

  it("sees margins only [paper:improving-efficient-neural-ranking-models-with-cross-architecture-knowledge]", () => {
    const x = matrix(4, 3), level = [5, -3, 0.5, 2], t = new Tensor("float32", [4, 3], x.data.map((v, i) => v + level[Math.floor(i / 3)]));
    expectClose(marginMseLoss(x, t).item(), 0, { atol: 1e-10 }); // one float32 rounding of the sums, squared
    expectClose(marginMseLoss([[3, 1]], [[5, 2]]).item(), 1, { atol: 0 });
    expectClose(marginMseLoss.withGrad([[3, 1]], [[5, 2]]).grad.data, [-2, 2], { atol: 0 });
  });

  it("is a likelihood of rankings, convex, and cross-entropy at one weight [paper:pld-a-choice-theoretic-list-wise-knowledge-distillation]", () => {
    const scores = matrix(1, 4), permutations = (left: number[]): number[][] => (left.length === 0 ? [[]] : left.flatMap((i) => permutations(left.filter((j) => j !== i)).map((rest) => [i, ...rest])));
    expectClose(permutations([0, 1, 2, 3]).reduce((sum, order) => sum + Math.exp(-plackettLuceLoss(scores, [order]).item()), 0), 1, { atol: 1e-6 });
    // Along any line the value is at most the chord.
    for (let i = 0; i < 20; i++) {
      const [a, b, t] = [matrix(1, 5), matrix(1, 5), matrix(1, 5)], middle = new Tensor("float32", [1, 5], a.data.map((v, c) => (v + b.data[c]) / 2));
      expect(pldLoss(middle, t, [i % 5]).item()).toBeLessThanOrEqual(((pldLoss(a, t, [i % 5]).item() + pldLoss(b, t, [i % 5]).item()) / 2) * (1 + 1e-6));
    }
    // The label comes first, whatever the teacher thinks of it.
    const x = [[1, 2, 3]], t = [[3, 2, 1]], p = softmax(t).data;
    expectClose(pldLoss(x, t, [2]).item(), p[2] * plackettLuceLoss(x, [[2]]).item() + p[0] * (plackettLuceLoss(x, [[2, 0]]).item() - plackettLuceLoss(x, [[2]]).item()), { rtol: 1e-6 });
  });

  it("is log cosh of half the difference, with a bounded gradient [paper:dual-head-knowledge-distillation-enhancing-logits-utilization-with-an]", () => {
    const { loss, grad } = binaryKlLoss.withGrad([[2e-4, 1, 300]], [[1e-4, -1, 0]], none), T = 3;
    expectClose(loss.data, [1.25e-9 + Math.log(Math.cosh(1)) + 150 - Math.LN2], { rtol: 1e-6 });
    expectClose(grad.data, [2.5e-5, Math.tanh(1) / 2, 0.5], { rtol: 1e-4 }); // the difference of the first is rounded to float32
    expectClose(binaryKlLoss([[1e-4]], [[0]]).item(), 1.25e-9, { rtol: 1e-6 });
    expectClose(binaryKlLoss([[1]], [[-1]], { temperature: T }).item(), T * T * Math.log(Math.cosh(1 / T)), { rtol: 1e-6 });
    expect(binaryKlLoss([[1, 2]], [[1, 2]]).item()).toBe(0);
  });

  it("compares relations of any widths and is 0 at the teacher [paper:minilmv2-multi-head-self-attention-relation-distillation-for-compressing]", () => {
    const x = new Tensor("float32", [2, 3, 4], matrix(6, 4).data), wide = new Tensor("float32", [2, 3, 8], Float32Array.from({ length: 48 }, (_, i) => (i % 8 < 4 ? Math.SQRT2 ** 0.5 * x.data[4 * Math.floor(i / 8) + (i % 8)] : 0)));
    expect(relationDistillationLoss(x, x).item()).toBe(0);
    // The same scores from twice the width: dot products grow by sqrt 2, as the divisor does.
    expectClose(relationDistillationLoss(x, wide).item(), 0, { atol: 1e-6 });
    expect(relationDistillationLoss(x, x, { heads: 2 }).item()).toBe(0);
  });

  it("measures correlation, not equality", () => {
    // Probabilities that are an affine function of the teacher's row by row.
    const p = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], q = p.map((row) => row.map((v) => 0.5 * v + 0.5 / 3)), logs = (m: number[][]): number[][] => m.map((row) => row.map(Math.log));
    expectClose(distLoss(logs(q), logs(p)).item(), 0, { atol: 1e-6 });
    expect(distillationLoss(logs(q), logs(p)).item()).toBeGreaterThan(0.01);
  });

  it("standardises: scores of another scale and level are the same", () => {
    const [x, t] = [matrix(3, 5), matrix(3, 5)], scaled = new Tensor("float32", [3, 5], x.data.map((v) => 4 * v - 8));
    expectClose(distillationLoss(scaled, t, { standardize: true, temperature: 2 }).item(), distillationLoss(x, t, { standardize: true, temperature: 2 }).item(), { rtol: 1e-6 });
  });
});

describe("special values", () => {
  it("answers impossible classes", () => {
    const x = [[0, -Infinity, 1]], t = [[0, -Infinity, 2]], t2 = [[0, 1, -Infinity]];
    for (const loss of [distillationLoss, reverseKlLoss, jeffreysLoss, jensenShannonLoss, skewKlLoss, totalVariationLoss]) {
      expectClose(loss(x, t).item(), loss([[0, 1]], [[0, 2]]).item(), { rtol: 1e-6 });
      expectClose(loss.withGrad(x, t).grad.data[1], 0, { atol: 0 });
    }
    expect([distillationLoss(x, t2).item(), reverseKlLoss(x, t2).item(), jeffreysLoss(x, t2).item()]).toEqual([Infinity, Infinity, Infinity]);
    expect(jensenShannonLoss(x, t2).item()).toBeLessThanOrEqual(Math.fround(Math.LN2));
    expect(skewKlLoss(x, t2).item()).toBeLessThanOrEqual(-Math.log(0.1));
    // Only the label is possible, for both; for the student alone.
    const sure = dkdLoss.withGrad([[2, -Infinity, -Infinity]], [[1, -Infinity, -Infinity]], [0]);
    expectExact([sure.loss.item(), ...sure.grad.data], [0, 0, 0, 0]);
    expect(dkdLoss([[2, -Infinity]], [[1, 0]], [0]).item()).toBe(Infinity);
    expect([pldLoss([[0, -Infinity]], [[0, 0]], [1]).item(), pldLoss([[0, -Infinity]], [[0, 0]], [0]).item()]).toEqual([Infinity, 0]);
  });

  it("gives NaN for rows that are none", () => {
    for (const row of [[NaN, 0], [Infinity, 0], [-Infinity, -Infinity]]) {
      for (const loss of [distillationLoss, reverseKlLoss, jensenShannonLoss, totalVariationLoss, distLoss]) expect(loss([row, [0, 1]], [[0, 1], [1, 0]], none).data[0]).toBe(NaN);
      expect([dkdLoss([row], [[0, 1]], [0]).item(), pldLoss([[0, 1]], [row], [0]).item()]).toEqual([NaN, NaN]);
    }
  });

  it("has no correlation where one side does not vary", () => {
    const { loss, grad } = distLoss.withGrad([[1, 1], [1, 1]], [[0, 1], [1, 0]]);
    expect(loss.item()).toBe(2);
    expectExact(grad.data, [0, 0, 0, 0]);
    // Sevenths, and a mean of seven, are rounded: the deviations are no variation.
    const uniform = distLoss.withGrad([[0, 0, 0, 0, 0, 0, 0]], [[1, 2, 3, 0, 0, 0, 0]]), same = distLoss.withGrad(Array.from({ length: 7 }, () => [1, 0.3, -2]), Array.from({ length: 7 }, (_, i) => [i, 1, 0]), { beta: 0 });
    expect([uniform.loss.item(), same.loss.item()]).toEqual([2, 1]);
    expectExact([...uniform.grad.data, ...same.grad.data], new Float32Array(28));
    // Rows that differ by a shift have the same probabilities up to a rounding.
    expectExact(distLoss.withGrad([[0, 0.25], [5, 5.25], [9, 9.25]], [[1, 0], [0, 1], [2, 0]], { beta: 0 }).grad.data, new Float32Array(6));
    expect(distLoss([[0, 0], [0, 0]], [[NaN, 0], [0, 1]], none).data[0]).toBe(NaN);
  });

  it("takes the classes from any axis", () => {
    const x = [[[1, 2], [3, 5], [0, 1]]], t = [[[0, 1], [1, 0], [2, 2]]], turned = (m: number[][][]): number[][] => [0, 1].map((i) => m[0].map((row) => row[i]));
    expectClose(distillationLoss(x, t, { axis: 1, ...none }).data, distillationLoss(turned(x), turned(t), none).data, { atol: 0 });
    expect(distillationLoss(x, [t, t], { axis: 1, ...none }).shape).toEqual([1, 2]);
  });
});

it("says what is wrong", () => {
  expect(() => distillationLoss([[1, 2]], [[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: distillationLoss: expected \`teacher\` of shape [1, 2] or [teachers, 1, 2], got [1, 3]]`);
  expect(() => distillationLoss([[1, 2]], [[1, 2]], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: distillationLoss: expected \`temperature\` a finite number > 0, got 0]`);
  expect(() => jensenShannonLoss([[1, 2]], [[1, 2]], { beta: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: jensenShannonLoss: expected \`beta\` in [0, 1], got 1.5]`);
  expect(() => skewKlLoss([[1, 2]], [[1, 2]], { alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: skewKlLoss: expected \`alpha\` in [0, 1], got -1]`);
  expect(() => dkdLoss([[1, 2]], [[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: dkdLoss: expected \`labels\` in [0, 2), got 2 at index 0]`);
  expect(() => dkdLoss([[1, 2]], [[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: dkdLoss: expected \`labels\` of shape [1], got [2]]`);
  expect(() => marginMseLoss([[1, 2]], [[[1, 2]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: marginMseLoss: expected \`teacher\` of shape [1, 2], got [1, 1, 2]]`);
  expect(() => distLoss([[1, 2]], [[[1, 2]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: distLoss: expected \`teacher\` of the shape of \`logits\`, got [1, 1, 2] for [1, 2]]`);
  expect(() => relationDistillationLoss([[1, 2]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: relationDistillationLoss: expected \`student\` of shape [B, T, F], got [1, 2]]`);
  expect(() => relationDistillationLoss([[[1, 2]]], [[[1], [2]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: relationDistillationLoss: expected \`teacher\` of shape [1, 1, F], got [1, 2, 1]]`);
  expect(() => relationDistillationLoss([[[1, 2]]], [[[1, 2, 3]]], { heads: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: relationDistillationLoss: expected \`teacher\` with features divisible by 2 heads, got 3]`);
  expect(() => relationDistillationLoss([[[1, 2]]], [[[1, 2]]], { heads: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: relationDistillationLoss: expected \`heads\` an integer in [1, 2], got 3]`);
});

import { crossEntropy } from "@logits/losses/classification";
import { auroc } from "@logits/metrics";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { approxNdcgLoss, lambdaLoss, listMleLoss, listNetLoss, listwiseSoftmaxLoss, mannWhitneyLoss, plackettLuceLoss, rankNetLoss, type ListLoss } from "./index.ts";
import { ndcgRef } from "./ranking.ref.ts";

const random = testRandom(2), none = { reduction: "none" } as const;
const list = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal()), grades = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.integer(5));
const all: readonly ListLoss<any>[] = [listNetLoss, listwiseSoftmaxLoss, listMleLoss, rankNetLoss, lambdaLoss, approxNdcgLoss];

describe("lists", () => {
  it("are rows, or stand one after the other with offsets", () => {
    const s = list(12), y = grades(12), offsets = [0, 5, 5, 8, 12];
    for (const loss of all) {
      const { loss: values, grad } = loss.withGrad(s, y, { offsets, ...none });
      expect(values.data[1]).toBe(0); // a list without items takes no part
      [0, 2, 3].forEach((q) => {
        const part = (x: Float32Array): Float32Array[] => [x.slice(offsets[q], offsets[q + 1])], one = loss.withGrad(part(s).map((x) => Array.from(x)), part(y).map((x) => Array.from(x)));
        expectExact(values.data[q], one.loss.item());
        expectExact(grad.data.slice(offsets[q], offsets[q + 1]), Float64Array.from(one.grad.data));
      });
      expectClose(loss(s, y, { offsets }).item(), (values.data[0] + values.data[2] + values.data[3]) / 3, { rtol: 1e-6 });
    }
  });

  it("leave out items as if they were not there", () => {
    const s = Float32Array.of(1, NaN, 0.5, -1, 2, 0, NaN, NaN), y = Float32Array.of(2, NaN, 1, 0, 1, 0, NaN, NaN), where = { shape: [2, 4], data: Uint8Array.of(1, 0, 1, 1, 1, 1, 0, 0) };
    for (const loss of all) {
      const { loss: values, grad } = loss.withGrad({ shape: [2, 4], data: s }, { shape: [2, 4], data: y }, { where, ...none });
      expectExact(values.data, [loss([[1, 0.5, -1]], [[2, 1, 0]]).item(), loss([[2, 0]], [[1, 0]]).item()]);
      expectExact(Float64Array.of(grad.data[1], grad.data[6], grad.data[7]), [0, 0, 0]);
      expect(loss({ shape: [2, 4], data: s }, { shape: [2, 4], data: y }, { where: [[1, 0, 1, 1], [0, 0, 0, 0]] }).item()).toBe(values.data[0]);
    }
  });

  it("of equal relevance have no pairs, and of none no NDCG", () => {
    for (const loss of [rankNetLoss, lambdaLoss]) expectExact(loss.withGrad([[1, 2]], [[3, 3]]).grad.data, [0, 0]);
    const { loss, grad } = approxNdcgLoss.withGrad([[1, 2]], [[0, 0]]);
    expectExact([loss.item(), ...grad.data], [0, 0, 0]);
  });
});

describe("limits and laws", () => {
  it("does not change with the level of the scores", () => {
    const s = [Array.from(list(6))], y = [Array.from(grades(6))], up = s.map((row) => row.map((v) => v + 8));
    for (const loss of all) expectClose(loss(up, y).item(), loss(s, y).item(), { rtol: 2e-5, atol: 1e-6 }); // scores are rounded at 8: soft ranks divide by 0.1
  });

  it("is cross-entropy with one relevant item, and where one place is ranked", () => {
    const s = [[0.3, -1, 2, 0.5]];
    expectClose(listwiseSoftmaxLoss(s, [[0, 0, 0, 1]]).item(), crossEntropy(s, [3]).item(), { rtol: 1e-6 });
    expectClose(plackettLuceLoss(s, [[3]]).item(), crossEntropy(s, [3]).item(), { rtol: 1e-6 });
    expectClose(listMleLoss(s, [[0, 0, 0, 1]], { k: 1 }).item(), crossEntropy(s, [3]).item(), { rtol: 1e-6 });
    expectExact(plackettLuceLoss(s, [[2, 0, 3, 1]]).item(), listMleLoss(s, [[3, 1, 4, 2]]).item());
    expectClose(listNetLoss(s, [[0, 0, 0, 80]]).item(), crossEntropy(s, [3]).item(), { rtol: 1e-6 });
  });

  it("of pairs is one minus the area for binary relevance", () => {
    const s = [Array.from(list(8))], y = [[1, 0, 0, 1, 0, 1, 0, 0]];
    expectClose(rankNetLoss(s, y).item(), mannWhitneyLoss(s[0], y[0]).item(), { rtol: 1e-6 });
  });

  it("approaches one minus NDCG as the ranks harden, and bounds it", () => {
    for (let i = 0; i < 10; i++) {
      const s = Array.from(list(7)), y = Array.from(grades(7)).map((v, j) => (j === 0 ? 1 : v)), order = [...s.keys()].sort((a, b) => s[a] - s[b]), apart = s.map((_, j) => order.indexOf(j));
      expectClose(approxNdcgLoss([apart], [y], { temperature: 0.02 }).item(), 1 - ndcgRef(apart, y), { atol: 1e-6 });
      // LambdaLoss, 2008 to 2018: the weighted pairs in bits bound what NDCG loses.
      expect(lambdaLoss([apart], [y], { weighting: "ndcg-loss2" }).item() / Math.LN2).toBeGreaterThanOrEqual(1 - ndcgRef(apart, y) - 1e-6);
    }
  });

  it("weighs a pair by what a swap does to NDCG", () => {
    // Two items: the weight is the change of NDCG, log(1 + e^d) with d = 0.5 against the order.
    const change = ndcgRef([1, 0], [0, 2]) - ndcgRef([0, 1], [0, 2]);
    expectClose(lambdaLoss([[0.5, 0]], [[0, 2]]).item(), -change * Math.log(1 + Math.exp(0.5)), { rtol: 1e-6 });
    expectExact(lambdaLoss([[3, 2, 1]], [[0, 0, 1]], { k: 1 }).item(), lambdaLoss([[3, 2, 1]], [[0, 0, 1]], { k: 1, gain: (y) => y }).item());
  });

  it("bounds what the area under the curve lacks, over the whole batch [paper:optimizing-what-matters-auc-driven-learning-for-robust-neural]", () => {
    for (let i = 0; i < 20; i++) {
      const n = 12, y = Float32Array.from({ length: n }, (_, j) => Number(j < 2 || random.integer(3) === 0)).map((v, j) => (j === n - 1 ? 0 : v)), s = Float32Array.from(y, (v) => Math.round(2 * (v + 2 * random.normal())) / 2); // with ties
      const pairs = Array.from(s.keys()).flatMap((p) => Array.from(s.keys()).filter((q) => y[p] === 1 && y[q] === 0).map((q) => s[p] - s[q]));
      const area = pairs.reduce((sum, d) => sum + (d > 0 ? 1 : d === 0 ? 0.5 : 0), 0) / pairs.length; // U / (n+ n-)
      expectClose(auroc(s, Int32Array.from(y)), area, { rtol: 1e-12 });
      expect(mannWhitneyLoss(s, y).item() / Math.LN2).toBeGreaterThanOrEqual(1 - area);
      expect(mannWhitneyLoss(s, y, { surrogate: "squared-hinge" }).item()).toBeGreaterThanOrEqual(1 - area);
      expectClose(mannWhitneyLoss(s.map((v) => v + 4), y).item(), mannWhitneyLoss(s, y).item(), { rtol: 1e-6 });
    }
  });

  it("sorts instead of pairing: the squared hinge of 20,000 scores", () => {
    const n = 20000, s = list(n), y = Float32Array.from({ length: n }, (_, i) => i % 2), { loss, grad } = mannWhitneyLoss.withGrad(s, y, { surrogate: "squared-hinge" });
    expect(loss.item()).toBeGreaterThan(1);
    expectClose(grad.data.reduce((a, b) => a + b, 0), 0, { atol: 1e-6 }); // a common shift changes nothing
  });
});

describe("special values", () => {
  it("answers impossible and unknown scores", () => {
    expect(listMleLoss([[-Infinity, 0]], [[1, 0]]).item()).toBe(Infinity);
    expect(listMleLoss([[0, -Infinity]], [[1, 0]]).item()).toBe(0);
    // An impossible item at the end is in no order, whatever its score does.
    expectExact(listMleLoss.withGrad([[2, 1, -Infinity]], [[2, 1, 0]]).grad.data, [...listMleLoss.withGrad([[2, 1]], [[2, 1]]).grad.data, 0]);
    for (const loss of [listNetLoss, listMleLoss, rankNetLoss]) expect(loss([[NaN, 0]], [[1, 0]]).item()).toBe(NaN);
    expect([mannWhitneyLoss([1, 2], [1, 1]).item(), mannWhitneyLoss([1, 2], [0, 0]).item(), mannWhitneyLoss([], []).item()]).toEqual([0, 0, 0]);
    expect(listNetLoss({ shape: [0, 3], data: new Float32Array(0) }, { shape: [0, 3], data: new Float32Array(0) }).item()).toBe(0);
  });
});

it("says what is wrong", () => {
  expect(() => listNetLoss([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: listNetLoss: expected \`relevance\` of shape [1, 2], got [1, 1]]`);
  expect(() => listNetLoss([1, 2], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: listNetLoss: expected \`scores\` of shape [Q, L], got [2]]`);
  expect(() => listNetLoss([[1, 2]], [[1, 2]], { offsets: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: listNetLoss: expected \`scores\` of shape [N] with offsets, got [1, 2]]`);
  expect(() => listNetLoss([1, 2], [1, 2], { offsets: [0, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: listNetLoss: expected \`offsets\` from 0 to 2, got 0 to 3]`);
  expect(() => listMleLoss([[1, 2]], [[1, 2]], { k: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: listMleLoss: expected \`k\` an integer in [1, 2147483647], got 0]`);
  expect(() => lambdaLoss([[1, 2]], [[1, 2]], { sigma: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: lambdaLoss: expected \`sigma\` a finite number > 0, got 0]`);
  expect(() => plackettLuceLoss([[1, 2]], [[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: plackettLuceLoss: expected \`ranking\` different items in [0, 2), got 0 at index 1]`);
  expect(() => plackettLuceLoss([[1, 2]], [[2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: plackettLuceLoss: expected \`ranking\` different items in [0, 2), got 2 at index 0]`);
  expect(() => plackettLuceLoss([[1, 2]], [[0, 1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: plackettLuceLoss: expected \`ranking\` of shape [1, at most 2], got [1, 3]]`);
  expect(() => mannWhitneyLoss([1, 2], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: mannWhitneyLoss: expected \`labels\` 0 or 1, got 2 at index 1]`);
  expect(() => mannWhitneyLoss([1, 2], [1, 0], { surrogate: "hinge" as "logistic" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: mannWhitneyLoss: expected \`surrogate\` "logistic" or "squared-hinge", got "hinge"]`);
  expect(() => lambdaLoss([[1, 2]], [[1, 0]], { weighting: "ndcg" as "lambdarank" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: lambdaLoss: expected \`weighting\` "lambdarank" or "ndcg-loss2", got "ndcg"]`);
  expect(() => rankNetLoss([[1, 2]], [[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: rankNetLoss: expected \`relevance\` without NaN, got NaN at index 1. Leave items out with \`where\`]`);
  for (const loss of [listwiseSoftmaxLoss, lambdaLoss, approxNdcgLoss]) expect(() => loss([[1, 2, 3]], [[1, 0, -1]])).toThrowError("expected `relevance` of at least 0, got -1 at index 2. Leave items out with `where`");
  expect(() => mannWhitneyLoss([[1, 2]], [[1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: mannWhitneyLoss: expected \`scores\` of shape [N], got [1, 2]]`);
});

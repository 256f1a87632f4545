import { describe, expect, it } from "vitest";
import { logits } from "./inputs.ts";
import { logSumExpLoop, matmulLoop, softmaxLoop, topKSelect, topKSort } from "./peers/loops.ts";
import { checkOf, logSumExpOf, ulpOf } from "./reference.ts";
import { temperatureLoop } from "./suites/temperature.ts";
import type { Problem } from "./types.ts";

const rows = 3, cols = 50, x = logits(rows * cols, 1);

describe("ulpOf", () => {
  it("is the spacing of float32", () => {
    expect(ulpOf(1)).toBe(2 ** -23);
    expect(ulpOf(1.999)).toBe(2 ** -23);
    expect(ulpOf(-2)).toBe(2 ** -22);
    expect(ulpOf(2 ** -126)).toBe(2 ** -149);
    expect(ulpOf(0)).toBe(2 ** -149);
  });
});

describe("checks", () => {
  const softmax = new Float32Array(x.length), lse = new Float32Array(rows);
  softmaxLoop(x, softmax, cols);
  logSumExpLoop(x, lse, cols);
  const softmaxProblem: Problem = { op: "softmax", rows, cols, x };

  it("pass what plain loops compute", () => {
    expect(checkOf(softmaxProblem)({ values: softmax }, "ours").failure).toBeUndefined();
    expect(checkOf({ op: "logsumexp", rows, cols, x })({ values: lse }, "ours").failure).toBeUndefined();
    for (const topK of [topKSort, topKSelect]) expect(checkOf({ op: "topk", rows, cols, k: 7, x })(topK(x, cols, 7), "ours")).toEqual({});
    const a = logits(6 * 40, 2), b = logits(40 * 5, 3), y = new Float32Array(30);
    matmulLoop(a, b, y, 6, 40, 5);
    expect(checkOf({ op: "matmul", m: 6, k: 40, n: 5, a, b })({ values: y }, "ours").failure).toBeUndefined();
  });
  it("fail one value that is 1e-5 off", () => {
    const values = softmax.slice();
    values[77] *= 1 + 1e-5;
    expect(checkOf(softmaxProblem)({ values }, "ours").failure).toMatch(/ULP at index 77/);
  });
  it("fail a NaN", () => {
    const values = softmax.slice();
    values[3] = Number.NaN;
    expect(checkOf(softmaxProblem)({ values }, "peer").failure).toMatch(/at index 3 \(NaN/);
  });
  it("fail an answer of another length, and one that was never written", () => {
    expect(checkOf(softmaxProblem)({ values: softmax.subarray(1) }, "peer").failure).toBe("149 values instead of 150");
    expect(checkOf(softmaxProblem)({ values: new Float32Array(x.length) }, "peer").failure).toMatch(/ULP/);
  });
  it("fail a top-k with a value of another rank, an index that stands twice, or no indices", () => {
    const check = checkOf({ op: "topk", rows: 1, cols: 4, k: 2, x: Float32Array.of(1, 3, 2, 3) });
    expect(check({ values: [3, 3], indices: [3, 1] }, "ours")).toEqual({});
    expect(check({ values: [3, 2], indices: [1, 2] }, "ours").failure).toMatch(/value 2 instead of 3/);
    expect(check({ values: [3, 3], indices: [1, 1] }, "ours").failure).toMatch(/stands twice/);
    expect(check({ values: [3, 3] }, "ours").failure).toMatch(/expected 2 values and indices/);
  });
  it("fail a matmul that lost a product", () => {
    const a = Float32Array.of(1, 1, 1), b = Float32Array.of(1, 2, 4);
    const check = checkOf({ op: "matmul", m: 1, k: 3, n: 1, a, b });
    expect(check({ values: [7] }, "ours").ulp).toBe(0);
    expect(check({ values: [6] }, "ours").failure).toMatch(/ULP/);
  });
});

describe("definitions", () => {
  it("log-sum-exp does not overflow", () => expect(logSumExpOf(Float32Array.of(1000, 1000))).toBeCloseTo(1000 + Math.log(2), 12));
  it("the temperature loop ends where the slope of the NLL is zero", () => {
    const data = Float32Array.of(2, 0, 0, 2, 2, 0), labels = Int32Array.of(0, 1, 1);
    // Two of three labels have the larger score: p = 2/3 = sigmoid(2 / T).
    expect(temperatureLoop(data, 2, labels)).toBeCloseTo(2 / Math.log(2), 8);
  });
});

import { expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { reduceRows, rowWeights } from "./loss.ts";

const values = Float32Array.of(1, 2, 4, 8);

describe("reduceRows", () => {
  it("sums, and takes the mean by the weights that take part", () => {
    expectExact(reduceRows(values, undefined), { shape: [], data: [3.75] });
    expectExact(reduceRows(values, undefined, "sum"), { shape: [], data: [15] });
    expectExact(reduceRows(values, undefined, "none"), { shape: [4], data: [1, 2, 4, 8] });
    const weights = Float32Array.of(1, 0, 0.5, 2);
    expectExact(reduceRows(values, weights), { shape: [], data: [Math.fround(19 / 3.5)] });
    expectExact(reduceRows(values, weights, "sum"), { shape: [], data: [19] });
    expectExact(reduceRows(values, weights, "none"), { shape: [4], data: [1, 0, 2, 16] });
  });

  it("never reads a row without weight", () => {
    const spoiled = Float32Array.of(1, NaN, Infinity, 8);
    const weights = Float32Array.of(1, 0, 0, 1);
    expectExact(reduceRows(spoiled, weights), { shape: [], data: [4.5] });
    expectExact(reduceRows(spoiled, weights, "sum"), { shape: [], data: [9] });
    expectExact(reduceRows(spoiled, weights, "none"), { shape: [4], data: [1, 0, 0, 8] });
    expectExact(reduceRows(spoiled, Float32Array.of(1, 0, 1, 1)), { shape: [], data: [Infinity] });
    expectExact(reduceRows(spoiled, undefined), { shape: [], data: [NaN] });
  });

  it("gives 0 where nothing takes part", () => {
    for (const reduction of ["mean", "sum"] as const) {
      expectExact(reduceRows(values, new Float32Array(4), reduction), { shape: [], data: [0] });
      expectExact(reduceRows(new Float32Array(0), undefined, reduction), { shape: [], data: [0] });
    }
    expectExact(reduceRows(new Float32Array(0), undefined, "none"), { shape: [0], data: [] });
  });

  it("sums in float64", () => {
    const many = new Float32Array(1 << 20).fill(0.1);
    // One rounding, of the result; float32 sums would be off by 1e-2.
    expectClose(reduceRows(many, undefined).data, Math.fround(0.1), { ulp: 1 });
  });
});

describe("rowWeights", () => {
  it("joins weight and where", () => {
    expect(rowWeights("f", 3, {})).toBeUndefined();
    expectExact(rowWeights("f", 3, { weight: [1, 0.5, 2] })!, [1, 0.5, 2]);
    expectExact(rowWeights("f", 3, { where: Uint8Array.of(1, 0, 1) })!, [1, 0, 1]);
    expectExact(rowWeights("f", 3, { weight: [1, 0.5, 2], where: Uint8Array.of(1, 0, 1) })!, [1, 0, 2]);
  });

  it("leaves its arguments alone", () => {
    const weight = Float32Array.of(1, 2);
    rowWeights("f", 2, { weight, where: Uint8Array.of(0, 1) });
    expectExact(weight, [1, 2]);
  });

  it("says what it refuses", () => {
    expect(() => rowWeights("f", 3, { weight: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`weight\` of shape [3], got [2]]`);
    expect(() => rowWeights("f", 3, { weight: [1, -1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`weight\` finite and not negative, got -1 at index 1]`);
    expect(() => rowWeights("f", 3, { weight: [1, 1, NaN] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`weight\` finite and not negative, got NaN at index 2]`);
    expect(() => rowWeights("f", 3, { weight: [Infinity, 1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`weight\` finite and not negative, got Infinity at index 0]`);
    expect(() => rowWeights("f", 3, { where: Uint8Array.of(1, 2, 0) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`where\` of 0 and 1, got 2 at index 1]`);
    expect(() => rowWeights("f", 3, { where: Uint8Array.of(1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`where\` of shape [3], got [1]]`);
    expect(() => reduceRows(values, undefined, "batchmean" as "mean")).toThrowErrorMatchingInlineSnapshot(`[RangeError: reduceRows: expected \`reduction\` "mean", "sum" or "none", got batchmean]`);
  });
});

import { describe, expect, it } from "vitest";
import { checkAxis, checkInteger, checkLabels, checkNoNaN, checkPositive, checkShape } from "./check.ts";
import { tensor } from "./convert.ts";

const labels = (...values: number[]) => tensor(values, undefined, "int32");

describe("checks", () => {
  it("let through what is right", () => {
    checkShape("f", "x", tensor([[1]]), ["B", "C"]);
    checkShape("f", "x", tensor([1], []), []);
    checkShape("f", "x", tensor([[1, 2, 3]]), [1, 3]);
    checkShape("f", "x", tensor([[1, 2, 3]]), ["B", 3]);
    checkShape("f", "x", tensor([], [0, 3]), [0, "C"]);
    checkLabels("f", "labels", labels(0, 2), 3);
    checkLabels("f", "labels", labels(), 3);
    checkLabels("f", "labels", labels(0, -1, 7), 3 + 5, -1);
    for (const value of [5e-324, 1, 1.7e308]) checkPositive("f", "scale", value);
    for (const value of [1, 2, 5]) checkInteger("f", "k", value, 1, 5);
    checkNoNaN("f", "x", tensor([[-Infinity, Infinity]]), 2);
    checkNoNaN("f", "x", tensor([], [0, 2]), 2);
    expect([checkAxis("f", 0, 2), checkAxis("f", 1, 2), checkAxis("f", -1, 2), checkAxis("f", -2, 2)]).toEqual([0, 1, 1, 0]);
  });

  it("say what is wrong", () => {
    expect(() => checkShape("softmax", "logits", tensor([1, 2]), ["B", "C"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`logits\` of shape [B, C], got [2]]`);
    expect(() => checkShape("f", "x", tensor([[1, 2]]), [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`x\` of shape [], got [1, 2]]`);
    expect(() => checkShape("f", "upstream", tensor([[1, 2]]), [2, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`upstream\` of shape [2, 1], got [1, 2]]`);
    expect(() => checkShape("f", "weights", tensor([[1, 2]]), ["N", 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`weights\` of shape [N, 3], got [1, 2]]`);
    expect(() => checkShape("f", "labels", tensor([[1, 2]]), [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`labels\` of shape [2], got [1, 2]]`);
    expect(() => checkLabels("nll", "labels", labels(0, 1, 3), 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nll: expected \`labels\` in [0, 3), got 3 at index 2]`);
    expect(() => checkLabels("nll", "labels", labels(0, -1), 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nll: expected \`labels\` in [0, 3), got -1 at index 1]`);
    expect(() => checkLabels("nll", "labels", labels(-100, -1), 3, -100)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nll: expected \`labels\` in [0, 3), got -1 at index 1]`);
    expect(() => checkPositive("f", "temperature", 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`temperature\` a finite number > 0, got 0]`);
    expect(() => checkPositive("f", "temperature", Infinity)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`temperature\` a finite number > 0, got Infinity]`);
    expect(() => checkPositive("f", "temperature", NaN)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`temperature\` a finite number > 0, got NaN]`);
    expect(() => checkInteger("topK", "k", 0, 1, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 5], got 0]`);
    expect(() => checkInteger("topK", "k", 6, 1, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 5], got 6]`);
    expect(() => checkInteger("topK", "k", 1.5, 1, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 5], got 1.5]`);
    expect(() => checkNoNaN("argmax", "x", tensor([[1, 2, 3], [4, 5, NaN]]), 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: argmax: expected \`x\` without NaN, got NaN in row 1, column 2]`);
    expect(() => checkAxis("logSumExp", 2, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`axis\` an integer in [-2, 2), got 2]`);
    expect(() => checkAxis("logSumExp", -3, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`axis\` an integer in [-2, 2), got -3]`);
    expect(() => checkAxis("logSumExp", 0.5, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`axis\` an integer in [-2, 2), got 0.5]`);
    expect(() => checkAxis("logSumExp", 0, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExp: expected \`axis\` an integer in [-0, 0), got 0]`);
  });
});

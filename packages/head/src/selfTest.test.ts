import { createHash } from "node:crypto";
import { Tensor, runSteps } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { rowsDigest } from "./rowsDigest.ts";
import { checkSelfTest, selfTestRows, selfTestToJSON } from "./selfTest.ts";

const of = (...numbers: number[]): Tensor<"float32"> => new Tensor("float32", [numbers.length], Float32Array.from(numbers));
const numbers = { probabilities: of(0.25, 0.75), scores: of(-3, 1000) };
const json = selfTestToJSON(numbers);
const check = (got: Record<string, Tensor<"float32">>, from: unknown = json) => () => checkSelfTest("Head.fromJSON", from, got);

describe("a self-test", () => {
  it("has the same rows everywhere", () => {
    let state = 1n;
    const want = Array.from({ length: 8 }, () => Number((state = (1664525n * state + 1013904223n) % 2n ** 32n) / 65536n) / 32768 - 1);
    expect(Array.from(selfTestRows("features", 2).data)).toEqual(want);
    expect(Array.from(selfTestRows("logits", 2).data)).toEqual(Array.from(selfTestRows("features", 2).data, (u) => 8 * u));
    const p = selfTestRows("probabilities", 7);
    expect(p.shape).toEqual([4, 7]);
    for (let row = 0; row < 4; row++) expect(Math.abs(p.data.subarray(7 * row, 7 * row + 7).reduce((a, b) => a + b) - 1)).toBeLessThan(7 * 2 ** -24);
    expect(Math.min(...p.data)).toBeGreaterThan(0);
  });

  it("passes numbers within the bound, and is written on bit by bit", () => {
    expect(check(numbers)()).toEqual(json);
    expect(check({ probabilities: of(0.25009, 0.75), scores: of(-3, 1000.09) })()).toEqual(json);
    expect(check(numbers, JSON.parse(JSON.stringify(json)))()).toEqual(json);
  });

  it("leaves out a stage that is not finite", () => {
    expect(Object.keys(selfTestToJSON({ ...numbers, scores: of(1, Infinity) }).numbers)).toEqual(["probabilities"]);
  });

  it("says where an engine computes differently", () => {
    expect(check({ ...numbers, probabilities: of(0.2502, 0.75) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`probabilities\` of the self-test within 0.00010 of 0.25, got 0.2502000033855438 at index 0. This engine or version computes differently from the one that fitted, so the promises would not hold: fit again here, or use the version in \`library\`]`);
    expect(check({ ...numbers, scores: of(-3, NaN) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`numbers\` of probabilities, got probabilities, scores]`);
    expect(check({ probabilities: numbers.probabilities })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`numbers\` of probabilities, got probabilities, scores]`);
    expect(check({ ...numbers, scores: of(-3) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`scores\` of shape [1], got [2]]`);
    expect(check(numbers, { ...json, numbers: {} })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`numbers\` of probabilities, scores, got none]`);
    expect(check(numbers, { ...json, numbers: 7 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`numbers\` of probabilities, scores, got none]`);
    expect(check(numbers, { ...json, version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/head to read it]`);
  });
});

it("rowsDigest is SHA-256 of types, shapes and numbers", () => {
  const x = new Tensor("float32", [2, 1], Float32Array.of(1, -2)), y = new Tensor("int32", [70000], Int32Array.from({ length: 70000 }, (_, i) => i));
  const want = createHash("sha256").update("float32 [2, 1]\n").update(Buffer.from(x.data.buffer)).update("int32 [70000]\n").update(Buffer.from(y.data.buffer)).digest("hex");
  expect(runSteps(rowsDigest(x, y))).toBe(want);
  expect(runSteps(rowsDigest(new Tensor("float32", [0, 3], new Float32Array(0))))).toBe(createHash("sha256").update("float32 [0, 3]\n").digest("hex"));
});

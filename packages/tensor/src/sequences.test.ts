import { expect, it } from "vitest";
import { asLengths, asOffsets } from "./sequences.ts";

it("give what came, or all rows", () => {
  expect(asLengths("f", "lengths", undefined, 2, 5)).toEqual(Int32Array.of(5, 5));
  expect(asLengths("f", "lengths", [0, 5], 2, 5)).toEqual(Int32Array.of(0, 5));
  expect(asLengths("f", "lengths", [], 0, 5)).toEqual(new Int32Array(0));
  expect(asOffsets("f", "offsets", undefined, 3)).toEqual(Int32Array.of(0, 3));
  expect(asOffsets("f", "offsets", [0, 2, 2, 3], 3)).toEqual(Int32Array.of(0, 2, 2, 3));
  expect(asOffsets("f", "offsets", [0], 0)).toEqual(Int32Array.of(0));
});

it("say what is wrong", () => {
  expect(() => asLengths("f", "lengths", [1], 2, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`lengths\` of shape [2], got [1]]`);
  expect(() => asLengths("f", "lengths", [1, 6], 2, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`lengths\` in [0, 5], got 6 at index 1]`);
  expect(() => asLengths("f", "lengths", [-1, 6], 2, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`lengths\` in [0, 5], got -1 at index 0]`);
  expect(() => asLengths("f", "lengths", [1.5, 2], 2, 5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`lengths\` of integers that int32 holds, got 1.5 at index 0]`);
  expect(() => asOffsets("f", "offsets", [], 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`offsets\` from 0 to 0, got none]`);
  expect(() => asOffsets("f", "offsets", [1, 3], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`offsets\` from 0 to 3, got 1 to 3]`);
  expect(() => asOffsets("f", "offsets", [0, 2], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`offsets\` from 0 to 3, got 0 to 2]`);
  expect(() => asOffsets("f", "offsets", [0, 2, 1, 3], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`offsets\` not decreasing, got 1 after 2 at index 2]`);
});

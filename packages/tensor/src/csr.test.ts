import { expect, it } from "vitest";
import { checkCsr, isCsr, type CsrMatrix } from "./index.ts";

const good: CsrMatrix = { shape: [2, 3], indptr: Int32Array.of(0, 1, 3), indices: Int32Array.of(2, 0, 1), data: Float32Array.of(5, 6, 7) };

const text = (x: unknown): string => {
  try {
    checkCsr("f", "x", x as CsrMatrix);
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return "accepted";
};

it("takes what SciPy writes, empty matrices included", () => {
  expect(checkCsr("f", "x", good)).toBe(good);
  expect(text({ shape: [0, 0], indptr: Int32Array.of(0), indices: new Int32Array(0), data: new Float32Array(0) })).toBe("accepted");
  expect(text({ shape: [2, 0], indptr: Int32Array.of(0, 0, 0), indices: new Int32Array(0), data: new Float32Array(0) })).toBe("accepted");
});

it("takes columns in any order, a column twice in a row, and any value", () => {
  expect(text({ ...good, indices: Int32Array.of(2, 1, 0) })).toBe("accepted");
  expect(text({ ...good, indices: Int32Array.of(2, 1, 1) })).toBe("accepted");
  expect(text({ ...good, data: Float32Array.of(NaN, 0, -Infinity) })).toBe("accepted");
});

it("tells a CSR matrix from what is none", () => {
  expect([good, {}, [], null, undefined, 3, { indptr: 1 }].map(isCsr)).toEqual([true, false, false, false, false, false, true]);
});

it("names the field that is malformed", () => {
  expect(text(3)).toMatchInlineSnapshot(`"TypeError: f: expected \`x\` a CSR matrix { shape, indptr, indices, data }, got Number"`);
  expect(text({ ...good, shape: undefined })).toMatchInlineSnapshot(`"TypeError: f: expected \`x.shape\` [N, F], got undefined"`);
  expect(text({ ...good, shape: [2] })).toMatchInlineSnapshot(`"TypeError: f: expected \`x.shape\` [N, F], got [2]"`);
  expect(text({ ...good, shape: [2, 0.5] })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.shape\` of integers in [0, 2147483647], got 0.5 at index 1"`);
  expect(text({ ...good, shape: [-1, 3] })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.shape\` of integers in [0, 2147483647], got -1 at index 0"`);
  expect(text({ ...good, indptr: [0, 1, 3] })).toMatchInlineSnapshot(`"TypeError: f: expected \`x.indptr\` an Int32Array, got Array"`);
  expect(text({ ...good, indices: Float32Array.of(2, 0, 1) })).toMatchInlineSnapshot(`"TypeError: f: expected \`x.indices\` an Int32Array, got Float32Array"`);
  expect(text({ ...good, data: Float64Array.of(5, 6, 7) })).toMatchInlineSnapshot(`"TypeError: f: expected \`x.data\` a Float32Array, got Float64Array"`);
  expect(text({ ...good, indptr: Int32Array.of(0, 3) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indptr\` of length 3 for shape [2, 3], got 2"`);
  expect(text({ ...good, indptr: Int32Array.of(1, 1, 3) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indptr\` that begins with 0, got 1"`);
  expect(text({ ...good, indptr: Int32Array.of(0, 3, 1) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indptr\` that never falls, got 1 after 3 at index 2"`);
  expect(text({ ...good, indices: Int32Array.of(2, 0) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indices\` of length 3, the last of indptr, got 2"`);
  expect(text({ ...good, data: Float32Array.of(5, 6) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.data\` of length 3, the last of indptr, got 2"`);
  expect(text({ ...good, indices: Int32Array.of(2, 0, 3) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indices\` in [0, 3), got 3 at index 2"`);
  expect(text({ ...good, indices: Int32Array.of(-1, 0, 1) })).toMatchInlineSnapshot(`"RangeError: f: expected \`x.indices\` in [0, 3), got -1 at index 0"`);
});

import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { labelSums } from "./labelSums.ts";
import { labelSumsRef } from "./labelSums.ref.ts";

const random = testRandom(5);
const rowsOf = (rows: number, cols: number, scale = 4): { z: Tensor<"float32">; y: Int32Array } => ({
  z: new Tensor("float32", [rows, cols], Float32Array.from({ length: rows * cols }, () => scale * random.normal())),
  y: Int32Array.from({ length: rows }, () => random.integer(cols)),
});

describe("labelSums", () => {
  it.each([[1, 1], [5, 2], [7, 3], [9, 10], [3, 64], [4, 1027], [2, 70001], [700, 131], [37, 4], [203, 10], [21, 48], [22, 49]])("agrees with the definition, %i x %i", (rows, cols) => {
    const { z, y } = rowsOf(rows, cols), before = z.data.slice(), seen: number[] = [], grad = new Float32Array(z.size).fill(7), want = new Float64Array(z.size);
    labelSums("test", z, y, (row, gap, others, max, scales, own, logSum) => {
      seen.push(row);
      const ref = labelSumsRef(z.row(row).data as Float32Array, y[row]);
      expectExact([gap, max], [ref.gap, ref.max]);
      expectClose(others, ref.others, { rtol: 1e-6, atol: 0 }); // exp to 1.2 ULP, lanes of 256 summands
      expectClose(own, Math.exp(ref.gap), { rtol: 2.5e-6, atol: 1e-37 }); // as the gradient below
      expectClose(logSum, ref.gap === 0 ? Math.log1p(ref.others) : Math.log(Math.exp(ref.gap) + ref.others), ref.gap === 0 ? { rtol: 1e-6, atol: 0 } : { atol: 1e-6 }); // as others, where these are 1 or more
      if (row % 3 === 1) return;
      scales.scale = row + 0.5;
      scales.label = -row;
      for (let c = 0; c < cols; c++) want[row * cols + c] = c === y[row] ? -row : (row + 0.5) * Math.exp(z.data[row * cols + c] - ref.max);
    }, grad);
    expect(seen).toEqual(Array.from({ length: rows }, (_, i) => i));
    expectClose(grad, want, { rtol: 2.5e-6, atol: 1e-37 }); // z - max, up to 40, is rounded to 2^-20, exp adds 1.2 ULP; results below 2^-126 are 0
    expectExact(z.data, before);
  });

  it("gives a row the same bits wherever it stands", () => {
    for (const cols of [5, 10, 48, 49]) {
      const { z, y } = rowsOf(7, cols), all: number[][] = [], alone: number[][] = [];
      labelSums("test", z, y, (...given) => void all.push([given[1], given[2], given[3], given[5], given[6]]));
      for (let row = 0; row < 7; row++) labelSums("test", new Tensor("float32", [1, cols], z.data.slice(row * cols, (row + 1) * cols)), y.slice(row, row + 1), (...given) => void alone.push([given[1], given[2], given[3], given[5], given[6]]));
      alone.forEach((numbers, row) => expectExact(numbers, all[row]));
    }
  });

  it("keeps the digits of 1 - p where p is near 1", () => {
    const z = new Tensor("float32", [1, 3], Float32Array.of(30, 0, -2)), got: number[] = [];
    labelSums("test", z, Int32Array.of(0), (_, gap, others, _max, _scales, own, logSum) => void got.push(gap, others, own, logSum));
    expectExact([got[0], got[2]], [0, 1]);
    expectClose([got[1], got[3]], [Math.exp(-30) + Math.exp(-32), Math.exp(-30) + Math.exp(-32)], { rtol: 2e-7 });
  });

  it("answers special rows", () => {
    const z = new Tensor("float32", [6, 3], Float32Array.of(NaN, 0, 0, 0, NaN, 0, Infinity, 0, 0, -Infinity, -Infinity, -Infinity, -Infinity, 1, 2, -Infinity, -Infinity, 3)), got: number[][] = [], grad = new Float32Array(18);
    labelSums("test", z, Int32Array.of(0, 0, 0, 0, 0, 2), (row, gap, others, _, scales, _own, logSum) => {
      got.push([gap, others]);
      if (row < 4) expect(logSum).toBe(NaN);
      if (row > 3) scales.scale = 1;
    }, grad);
    expect(got[0][0]).toBe(NaN);
    expect(got[1][1]).toBe(NaN);
    expect(got[2][0]).toBe(NaN);
    expect(got[3][0]).toBe(NaN);
    expect(got[4][0]).toBe(-Infinity);
    expectClose(got[4][1], 1 + Math.exp(-1), { rtol: 2e-7 });
    expectExact(got[5], [0, 0]);
    expectExact(grad.subarray(0, 12), new Float32Array(12));
    expectExact(grad.subarray(15), [0, 0, 0]);
  });

  it("says what it refuses", () => {
    const { z, y } = rowsOf(2, 3);
    expect(() => labelSums("f", z, y.subarray(1), () => {})).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`labels\` of length 2, got 1]`);
    expect(() => labelSums("f", z, y, () => {}, new Float32Array(5))).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`grad\` of length 6, got 5]`);
  });
});

import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { core, temperatureMoments } from "./index.ts";
import { temperatureMomentsRef } from "./temperatureMoments.ref.ts";

function sample(rows: number, cols: number, seed = 1, spread = 3): { x: Float32Array; y: Int32Array } {
  const random = testRandom(seed);
  return { x: Float32Array.from({ length: rows * cols }, () => spread * random.normal() + 20), y: Int32Array.from({ length: rows }, () => random.integer(cols)) };
}

function reference(x: Float32Array, y: Int32Array, cols: number, beta: number): [number, number, number] {
  const sums: [number, number, number] = [0, 0, 0];
  y.forEach((label, r) => temperatureMomentsRef(x.subarray(r * cols, (r + 1) * cols), label, beta).forEach((v, i) => (sums[i] += v)));
  return sums;
}

const logits = (x: Float32Array, cols: number) => ({ data: x, shape: [x.length / cols, cols] });

describe("temperatureMoments", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 511, 512, 513, 1000, 1027])("agrees with the definition for %i columns", (cols) => {
    for (const rows of [1, 3, 4, 5, 9]) {
      for (const beta of [0.0625, 0.5, 1, 3]) {
        const { x, y } = sample(rows, cols, cols + rows);
        const got = temperatureMoments(logits(x, cols), y, { beta });
        const [loss, gradient, curvature] = reference(x, y, cols, Math.fround(beta));
        // exp within 1.2 ULP, float32 sums over blocks of 64 to 256 terms: 1e-6 of the sizes of what is added (loss of a row, its spread and its square).
        const spread = rows * 30;
        expectClose(got.loss, loss, { atol: 1e-6 * rows * (1 + beta * 30), label: "loss" });
        expectClose(got.gradient, gradient, { atol: 1e-6 * spread, label: "gradient" });
        expectClose(got.curvature, curvature, { atol: 1e-6 * spread * 30, label: "curvature" });
      }
    }
  });

  it("writes the loss of each row", () => {
    const { x, y } = sample(10, 7);
    const each = new Float32Array(10);
    const { loss } = temperatureMoments(logits(x, 7), y, { beta: 0.7, each });
    const want = Array.from(y, (label, r) => temperatureMomentsRef(x.subarray(r * 7, r * 7 + 7), label, Math.fround(0.7))[0]);
    expectClose(each, want, { atol: 2e-6 });
    expectClose(loss, want.reduce((a, b) => a + b), { atol: 1e-5 });
  });

  it("takes every step-th row from the first, in chunks, resident or not", () => {
    const { x, y } = sample(1000, 300); // several chunks of 216 rows
    const all = temperatureMoments(logits(x, 300), y);
    const [loss, gradient] = reference(x, y, 300, 1);
    expectClose(all.loss, loss, { rtol: 1e-6 }); // as above
    expectClose(all.gradient, gradient, { rtol: 1e-6, atol: 1e-3 });
    const kept = Array.from({ length: 143 }, (_, i) => 2 + 7 * i).filter((r) => r < 1000);
    const picked = Float32Array.from(kept.flatMap((r) => Array.from(x.subarray(r * 300, (r + 1) * 300))));
    expect(temperatureMoments(logits(x, 300), y, { first: 2, step: 7 })).toEqual(temperatureMoments(logits(picked, 300), Int32Array.from(kept, (r) => y[r])));
    const resident = core.alloc([1000, 300]);
    resident.data.set(x);
    expect(temperatureMoments(resident, y)).toEqual(all);
    expect(temperatureMoments(resident, y, { first: 501, count: 37 })).toEqual(temperatureMoments(logits(x, 300), y, { first: 501, count: 37 }));
    resident.dispose();
  });

  it("does not change with a shift of the row, and the derivatives are those of the loss", () => {
    const { x, y } = sample(50, 12, 5);
    const at = (beta: number): number => temperatureMoments(logits(x, 12), y, { beta }).loss;
    const h = 2 ** -6;
    const { gradient, curvature } = temperatureMoments(logits(x, 12), y, { beta: 1 });
    expectClose((at(1 + h) - at(1 - h)) / (2 * h), gradient, { rtol: 2e-3, atol: 1e-2 }); // h^2 of the third derivative
    const up = temperatureMoments(logits(x, 12), y, { beta: 1 + h }).gradient, down = temperatureMoments(logits(x, 12), y, { beta: 1 - h }).gradient;
    expectClose((up - down) / (2 * h), curvature, { rtol: 2e-3 });
    const shifted = temperatureMoments(logits(x.map((v) => v + 64), 12), y);
    expectClose(shifted.loss, temperatureMoments(logits(x.map((v) => Math.fround(v + 64) - 64), 12), y).loss, { rtol: 1e-6 });
  });

  it.each([1, 4])("keeps the special values of %i equal rows", (rows) => {
    const run = (row: number[], label: number, beta = 1) => temperatureMoments(tensor(Array.from({ length: rows }, () => row)), new Int32Array(rows).fill(label), { beta });
    expect(run([5], 0)).toEqual({ loss: 0, gradient: 0, curvature: 0 });
    expect(run([0, 0, 0, -Infinity], 0).gradient).toBe(0);
    expectClose(run([0, 0, -Infinity], 0).loss, rows * Math.log(2), { atol: 1e-12 });
    expect(run([0, -Infinity], 0)).toEqual({ loss: 0, gradient: 0, curvature: 0 });
    expect(run([0, -1e30], 0, 1024)).toEqual({ loss: 0, gradient: 0, curvature: 0 });
    expectExact([run([0, -Infinity], 1).loss, run([0, -Infinity], 1).gradient], [Infinity, Infinity]);
    for (const row of [[0, NaN], [NaN, 0], [Infinity, 0], [Infinity, Infinity], [-Infinity, -Infinity]]) expectExact([run(row, 0).loss, run(row, 0).gradient, run(row, 0).curvature], [NaN, NaN, NaN]);
    expect(temperatureMoments({ data: new Float32Array(0), shape: [0, 3] }, new Int32Array(0))).toEqual({ loss: 0, gradient: 0, curvature: 0 });
  });

  it("says what is wrong", () => {
    const x = tensor([[1, 2], [3, 4]]);
    expect(() => temperatureMoments([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`x\` of shape [N, C], got [2]]`);
    expect(() => temperatureMoments({ data: new Float32Array(0), shape: [2, 0] }, [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`x\` with at least one class, got shape [2, 0]]`);
    expect(() => temperatureMoments(x, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`labels\` of shape [2], got [1]]`);
    expect(() => temperatureMoments(x, [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => temperatureMoments(x, [0, -1], { first: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`labels\` in [0, 2), got -1 at index 1]`);
    expect(() => temperatureMoments(x, [0, 1], { beta: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`beta\` a finite float32 > 0, got 0]`);
    expect(() => temperatureMoments(x, [0, 1], { first: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`first\` an integer in [0, 2], got 3]`);
    expect(() => temperatureMoments(x, [0, 1], { count: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`count\` an integer in [0, 2], got 3]`);
    expect(() => temperatureMoments(x, [0, 1], { step: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`step\` an integer in [1, 2147483647], got 0]`);
    expect(() => temperatureMoments(x, [0, 1], { each: new Float32Array(1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: temperatureMoments: expected \`each\` of length 2, got 1]`);
  });
});

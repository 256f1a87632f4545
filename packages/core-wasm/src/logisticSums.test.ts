import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { expect, it } from "vitest";
import { logisticSums } from "./families/affine.ts";

it("logisticSums agrees with the definition: one and two features, odd and even rows, over pieces, far scores", () => {
  const random = testRandom(8);
  for (const [n, first, spread] of [[1, 0, 1], [2, 0, 1], [7, 3, 5], [1500, 1, 60], [20_003, 2, 2]]) {
    const draw = (): Float64Array => Float64Array.from({ length: n }, () => spread * random.normal());
    const x = draw(), second = draw(), mask = Uint8Array.from(x, () => random.integer(2)), targets = [0.01, 0.98] as const;
    for (const y of [undefined, second]) {
      const a = 0.7, b = y ? -1.3 : 0, c = 0.2, want = new Float64Array(10), got = new Float64Array(12), size = new Float64Array(10);
      let tail = 0;
      for (let i = first; i < n; i++) {
        const u = x[i], v = y?.[i] ?? 0, z = a * u + b * v + c, t = targets[mask[i]], e = Math.exp(-Math.abs(z)), p = z < 0 ? e / (1 + e) : 1 / (1 + e), r = p - t, w = e / (1 + e) ** 2;
        [r * u, r * v, r, w * u * u, w * v * u, w * v * v, w * u, w * v, w, Math.max(z, 0) - t * z].forEach((term, k) => {
          want[k] += term;
          size[k] += Math.abs(term);
        });
        tail += Math.log1p(e);
      }
      logisticSums({ x, y, mask, targets }, first, n, [a, b, c], got);
      // Float64 sums in another order: 1e-14 of the sum of sizes.
      for (let k = 0; k < 10; k++) expectClose([got[k]], [want[k]], { atol: 1e-14 * size[k], label: `sum ${k} of ${n} rows` });
      expectClose([Math.log(got[10]) + got[11] * Math.LN2], [tail], { rtol: 1e-13, atol: 1e-13 });
      expect(got[10] >= 1 && got[10] < 2).toBe(true);
    }
  }
});

it("logisticSums has exact special values: no rows, a score of 0, scores without end", () => {
  const sums = new Float64Array(12), x = Float64Array.of(0, 1e6, -1e6), mask = Uint8Array.of(1, 1, 0);
  logisticSums({ x, mask, targets: [0, 1] }, 0, 0, [1, 0, 0], sums);
  expectExact(sums, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  logisticSums({ x, mask, targets: [0, 1] }, 0, 1, [1, 0, 0], sums);
  expectExact(sums, [0, 0, -0.5, 0, 0, 0, 0, 0, 0.25, 0, 1, 1]);
  // exp(-708) takes the place of exp(-1e6).
  logisticSums({ x, mask, targets: [0, 1] }, 1, 3, [1, 0, 0], sums);
  expectClose(sums, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], { atol: 1e-290 });
  logisticSums({ x, mask, targets: [0, 1] }, 0, 2, [NaN, 0, 0], sums);
  expect(sums[2]).toBeNaN();
});

it("logisticSums refuses lists of other lengths", () => {
  const x = new Float64Array(2), sums = new Float64Array(12);
  expect(() => logisticSums({ x, mask: new Uint8Array(1), targets: [0, 1] }, 0, 2, [0, 0, 0], sums)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logisticSums: expected \`mask\` of length 2, got 1]`);
  expect(() => logisticSums({ x, y: new Float64Array(3), mask: new Uint8Array(2), targets: [0, 1] }, 0, 2, [0, 0, 0], sums)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logisticSums: expected \`y\` of length 2, got 3]`);
  expect(() => logisticSums({ x, mask: new Uint8Array(2), targets: [0, 1] }, 0, 3, [0, 0, 0], sums)).toThrowErrorMatchingInlineSnapshot(`[RangeError: logisticSums: expected \`end\` in [first, 2], got rows 0 to 3]`);
  expect(() => logisticSums({ x, mask: new Uint8Array(2), targets: [0, 1] }, 0, 2, [0, 0, 0], new Float64Array(10))).toThrowErrorMatchingInlineSnapshot(`[RangeError: logisticSums: expected \`sums\` of length 12, got 10]`);
});

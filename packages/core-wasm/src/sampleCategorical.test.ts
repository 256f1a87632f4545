import { randomSource, Tensor, tensor } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { core, sampleCategorical } from "./index.ts";
import { sampleCategoricalRef } from "./sampleCategorical.ref.ts";
import { softmaxRef } from "./softmax.ref.ts";

const INF = Infinity;
const seed = 20260101;

describe("sampleCategorical", () => {
  it("agrees with the definition, but for draws within rounding of an edge, around the widths of vectors and blocks", () => {
    const random = testRandom(3);
    for (const temperature of [1, 2.5]) {
      for (const cols of [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100, 1027]) {
        const x = Float32Array.from({ length: 3 * cols }, () => (random.normal() > 1.5 ? -INF : 2 * random.normal()));
        x[0] = x[cols] = x[2 * cols] = 0; // at least one possible class
        const y = sampleCategorical(new Tensor("float32", [3, cols], x), 50, { seed, stream: cols, temperature });
        for (let r = 0; r < 3; r++) {
          const source = randomSource(seed, cols + r), row = Float64Array.from(x.subarray(r * cols, (r + 1) * cols));
          for (let j = 0; j < 50; j++) {
            const u = source.uniform();
            // Probabilities are within 3e-7 relative: so is the distribution function.
            const near = [sampleCategoricalRef(row, u - 1e-6, temperature), sampleCategoricalRef(row, u, temperature), sampleCategoricalRef(row, Math.min(u + 1e-6, 1 - 1e-15), temperature)];
            expect(near, `row ${r} of ${cols}, draw ${j}`).toContain(y.at(r, j));
          }
        }
      }
    }
  });

  it("draws from softmax: chi-square of 200,000 draws [paper:gumbel-softmax-flow-matching-with-straight-through-guidance-for]", () => {
    const row = Float64Array.from({ length: 40 }, (_, c) => (c % 5 === 4 ? -INF : Math.fround(Math.sin(c))));
    const draws = 200000;
    for (const temperature of [1, 0.5]) {
      const p = softmaxRef(row, temperature);
      const y = sampleCategorical(Float32Array.from(row), draws, { seed, temperature }).data;
      const counts = new Float64Array(40);
      for (const c of y) counts[c]++;
      let chi2 = 0;
      p.forEach((q, c) => (q === 0 ? expect(counts[c]).toBe(0) : (chi2 += (counts[c] - draws * q) ** 2 / (draws * q))));
      expect(chi2).toBeLessThan(61.1); // 99.9 % point of chi-square with 31 degrees of freedom
    }
  });

  it("draws each row for itself, whatever its batch", () => {
    const random = testRandom(9);
    const x = new Tensor("float32", [2000, 50], Float32Array.from({ length: 100000 }, () => random.normal()));
    const y = sampleCategorical(x, 3, { seed, stream: 4 });
    for (const r of [0, 1, 1309, 1310, 1311, 1999]) expectExact(sampleCategorical(x.row(r), 3, { seed, stream: 4 + r }).data, y.row(r).data);
    expectExact(sampleCategorical(x.row(0), 20, { seed, stream: 4 }).data.subarray(0, 3), y.row(0).data);
    expect([...sampleCategorical(x, 3, { seed, stream: 5 }).data]).not.toEqual([...y.data]);
  });

  it("never draws an impossible class, not even where one class or one block is left", () => {
    for (const cols of [1, 5, 33, 200]) {
      for (const only of [0, cols >> 1, cols - 1]) {
        const x = new Float32Array(cols).fill(-INF);
        x[only] = -3e38;
        expectExact(sampleCategorical(x, 20, { seed }).data, new Int32Array(20).fill(only));
      }
    }
    const half = new Float32Array(96).fill(-INF);
    half[0] = half[70] = 1;
    expect(new Set(sampleCategorical(half, 100, { seed }).data)).toEqual(new Set([0, 70]));
  });

  it("draws the largest as T falls and each possible class alike as T grows", () => {
    expectExact(sampleCategorical([1, 2, 1.5], 50, { seed, temperature: 2 ** -126 }).data, new Int32Array(50).fill(1));
    const counts = new Float64Array(3);
    for (const c of sampleCategorical([100, -INF, 200], 1000, { seed, temperature: 2 ** 126 }).data) counts[c]++;
    expect(counts[1]).toBe(0);
    expect(Math.abs(counts[0] - 500)).toBeLessThan(60); // 3.8 standard errors of 16
  });

  it("keeps the leading shape, takes no rows and no draws, reads resident tensors", () => {
    expect(sampleCategorical([[[1, 2], [3, 4]]], 5, { seed }).shape).toEqual([1, 2, 5]);
    expect(sampleCategorical([1, 2], 0, { seed }).shape).toEqual([0]);
    expect(sampleCategorical(new Tensor("float32", [0, 3], new Float32Array(0)), 2, { seed }).shape).toEqual([0, 2]);
    const x = core.alloc([2, 3]);
    x.data.set([1, 2, 3, 4, 5, 6]);
    expectExact(sampleCategorical(x, 9, { seed }).data, sampleCategorical(tensor([[1, 2, 3], [4, 5, 6]]), 9, { seed }).data);
    x.dispose();
  });

  it("gives the same classes in every engine and variant", () => {
    const x = Float32Array.from({ length: 1000 }, (_, c) => ((c * 7919) % 1000) / 200);
    expect(sampleCategorical(x, 2000, { seed: 1 }).data.reduce((hash, c) => Math.imul(hash ^ c, 16777619) >>> 0, 2166136261)).toMatchInlineSnapshot(`2494302280`);
  });

  it("says what is wrong", () => {
    expect(() => sampleCategorical([[1, 2], [-INF, -INF]], 1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`logits\` with a possible class in every row, got only -Infinity in row 1]`);
    expect(() => sampleCategorical([[1, 2], [NaN, 2]], 1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`logits\` without NaN, got NaN in row 1, column 0]`);
    expect(() => sampleCategorical([[1, 2], [2, INF]], 1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`logits\` below +Infinity, got +Infinity in row 1, column 1]`);
    expect(() => sampleCategorical([], 1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`logits\` with at least one element in a row, got shape [0]]`);
    expect(() => sampleCategorical(tensor([1], []), 1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`logits\` with at least one axis, got shape []]`);
    expect(() => sampleCategorical([1], -1, { seed })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`count\` an integer in [0, 2147483647], got -1]`);
    expect(() => sampleCategorical([1], 1, { seed: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`seed\` an integer in [0, 2^53), got 1.5]`);
    expect(() => sampleCategorical([1], 1, { seed, temperature: Infinity })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleCategorical: expected \`temperature\` in [2^-126, 2^126], got Infinity]`);
  });
});

import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { farthestPointsRef } from "./farthestPoints.ref.ts";
import { core, farthestPoints, nearestNeighbors } from "./index.ts";

const draw = (n: number, cols: number, seed: number): number[][] => {
  const random = testRandom(seed);
  return Array.from({ length: n }, () => Array.from({ length: cols }, () => Math.fround(random.normal())));
};

describe("farthestPoints", () => {
  it.each([[1, 1, 1], [2, 3, 2], [30, 1, 7], [60, 2, 60], [120, 5, 20], [80, 33, 40]])("agrees with the definition for N = %i, F = %i, K = %i", (n, cols, count) => {
    const rows = draw(n, cols, n), got = farthestPoints(rows, count), want = farthestPointsRef(rows, count);
    expectExact(got.indices.data, want.indices);
    // Squares to (F / 16 + 8) 2^-24, half of it for the root.
    expectClose(got.radius, want.radius, { rtol: (cols / 16 + 9) * 2 ** -25 });
  });

  it("covers: no row is further than the radius from a chosen one, the next one is just as far, and no two chosen ones are nearer to each other", () => {
    const rows = draw(3000, 8, 5), { indices, radius } = farthestPoints(rows, 100);
    const chosen = Array.from(indices.data, (i) => rows[i]);
    expectClose(Math.sqrt(Math.max(...nearestNeighbors(rows, chosen, 1).distances.data)), radius, { atol: 0, ulp: 1 });
    const between = nearestNeighbors(chosen, chosen, 2).distances.data.filter((_, i) => i % 2 === 1);
    expect(Math.sqrt(Math.min(...between))).toBeGreaterThanOrEqual(radius);
    expect(new Set(indices.data).size).toBe(100);
  });

  it("does not depend on where the rows lie in memory; a longer choice begins with a shorter one", () => {
    const rows = draw(200, 6, 9), resident = core.alloc([200, 6]);
    resident.data.set(rows.flat());
    const long = farthestPoints(rows, 50);
    expectExact(farthestPoints(resident, 50).indices, long.indices);
    expectExact(farthestPoints(rows, 20).indices.data, long.indices.data.slice(0, 20));
    expectExact(resident.data.slice(), Float32Array.from(rows.flat()));
    resident.dispose();
    const before = core.bytesInUse;
    farthestPoints(rows, 5);
    expect(core.bytesInUse).toBe(before);
  });

  it("equal rows: the smaller index first, radius 0", () => {
    const { indices, radius } = farthestPoints([[1, 2], [1, 2], [1, 2]], 2);
    expectExact(indices.data, [0, 1]);
    expect(radius).toBe(0);
    expect(farthestPoints([[1], [2]], 2).radius).toBe(0);
  });

  it("says what is wrong", () => {
    expect(() => farthestPoints([1, 2], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: farthestPoints: expected \`x\` of shape [N, F], got [2]]`);
    expect(() => farthestPoints([[1, 2]], 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: farthestPoints: expected \`count\` an integer in [1, 1], got 2]`);
    expect(() => farthestPoints({ data: new Float32Array(0), shape: [0, 2] }, 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: farthestPoints: expected \`x\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
    expect(() => farthestPoints([[1, 2], [NaN, 1]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: farthestPoints: expected \`x\` of finite numbers whose squared distances are finite, got row 1]`);
    expect(() => farthestPoints([[0, 0], [3e38, 1], [1, 1]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: farthestPoints: expected \`x\` of finite numbers whose squared distances are finite, got row 1]`);
  });
});

import { Tensor } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { core, nearestNeighbors } from "./index.ts";
import { nearestNeighborsRef } from "./nearestNeighbors.ref.ts";

const seed = 20261123;

function normal(count: number, stream: number, offset = 0): Float32Array {
  const random = testRandom(stream);
  return Float32Array.from({ length: count }, () => offset + random.normal());
}

const matrix = (data: Float32Array, cols: number): Tensor<"float32"> => new Tensor("float32", [data.length / cols, cols], data);

/** The reference's distances within the stated bound, and the reference's rows wherever they are further apart than that. */
function check(q: Float32Array, b: Float32Array, cols: number, k: number): void {
  const got = nearestNeighbors(matrix(q, cols), matrix(b, cols), k);
  // A difference is rounded and squared (3 roundings), cols / 16 + 1 sums of positive numbers in a lane, 3 more to the end.
  const bound = (cols / 16 + 8) * 2 ** -24;
  for (let n = 0; n < q.length / cols; n++) {
    const all = nearestNeighborsRef(q.subarray(n * cols, (n + 1) * cols), b), byIndex = new Map(all.map(({ index, distance }) => [index, distance]));
    const seen = new Set<number>();
    for (let j = 0; j < k; j++) {
      const distance = got.distances.data[n * k + j], index = got.indices.data[n * k + j];
      expect(seen.has(index)).toBe(false);
      seen.add(index);
      expect(Math.abs(distance - byIndex.get(index)!)).toBeLessThanOrEqual(bound * byIndex.get(index)!);
      expect(Math.abs(distance - all[j].distance)).toBeLessThanOrEqual(bound * all[j].distance);
      if (j > 0) expect(distance > got.distances.data[n * k + j - 1] || (distance === got.distances.data[n * k + j - 1] && index > got.indices.data[n * k + j - 1])).toBe(true);
    }
  }
}

describe("agrees with the definition", () => {
  // Queries: direct up to 6, products of 192, 1024 together. Rows: blocks of 512. Columns around the vectors of 4 and steps of 16.
  it.each([
    [1, 1, 1, 1], [1, 9, 3, 9], [2, 20, 4, 5], [6, 513, 5, 3], [7, 511, 15, 7], [8, 512, 16, 1], [9, 1030, 17, 20], [193, 70, 31, 70], [200, 600, 33, 50], [1030, 40, 8, 4], [12, 530, 300, 100],
  ])("for %i queries, %i rows, %i columns, k = %i", (n, m, cols, k) => {
    check(normal(n * cols, 1), normal(m * cols, 2), cols, k);
  });

  it("where rows nearly agree and lie far from the origin: nothing cancels", () => {
    const cols = 40, bank = normal(300 * cols, 3, 1000), random = testRandom(4);
    for (const n of [2, 20]) {
      const queries = Float32Array.from({ length: n * cols }, (_, i) => bank[i] + 0.001 * random.normal());
      check(queries, bank, cols, 5);
    }
  });
});

describe("laws", () => {
  it("equal distances: the smaller index first, in both paths", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3 }), fc.integer(), (n, m, cols, stream) => {
      const random = testRandom(stream);
      const small = (count: number): Float32Array => Float32Array.from({ length: count }, () => Math.round(random.normal()));
      const q = small(n * cols), b = small(m * cols), k = 1 + Math.floor(random.uniform() * m);
      const got = nearestNeighbors(matrix(q, cols), matrix(b, cols), k);
      for (let i = 0; i < n; i++) {
        const want = nearestNeighborsRef(q.subarray(i * cols, (i + 1) * cols), b).slice(0, k);
        expect(Array.from(got.indices.data.subarray(i * k, (i + 1) * k))).toEqual(want.map(({ index }) => index));
        expect(Array.from(got.distances.data.subarray(i * k, (i + 1) * k))).toEqual(want.map(({ distance }) => distance));
      }
    }), { seed, numRuns: 100 });
  });

  it("a query has the same bits alone, among few and among many, with a resident bank and resident queries", () => {
    const cols = 37, q = matrix(normal(1100 * cols, 5), cols), b = matrix(normal(700 * cols, 6), cols);
    const all = nearestNeighbors(q, b, 13);
    const rb = core.alloc(b.shape), rq = core.alloc(q.shape);
    rb.data.set(b.data);
    rq.data.set(q.data);
    const resident = nearestNeighbors(rq, rb, 13);
    expectExact(resident.distances, all.distances);
    expectExact(resident.indices, all.indices);
    expectExact(rb.data, b.data);
    expectExact(rq.data, q.data);
    for (const [from, to] of [[0, 1], [3, 8], [1000, 1024], [1023, 1025], [1099, 1100]]) {
      for (const bank of [b, rb]) {
        const part = nearestNeighbors(matrix(q.data.subarray(from * cols, to * cols), cols), bank, 13);
        expectExact(part.distances.data, all.distances.data.subarray(from * 13, to * 13));
        expectExact(part.indices.data, all.indices.data.subarray(from * 13, to * 13));
      }
    }
    rb.dispose();
    rq.dispose();
  });

  it("a query has the same bits alone and among many where squares underflow", () => {
    const random = testRandom(7);
    for (const [cols, size] of [[1, 1e-22], [9, 1e-22], [40, 3e-23], [300, 3e-23], [17, 1e-25]]) {
      const draw = (count: number): Float32Array => Float32Array.from({ length: count }, () => size * random.normal());
      const q = matrix(draw(40 * cols), cols), b = matrix(draw(60 * cols), cols), all = nearestNeighbors(q, b, 7);
      for (let n = 0; n < 40; n++) {
        const one = nearestNeighbors(matrix(q.data.subarray(n * cols, (n + 1) * cols), cols), b, 7);
        expectExact(one.indices.data, all.indices.data.subarray(7 * n, 7 * n + 7));
        expectExact(one.distances.data, all.distances.data.subarray(7 * n, 7 * n + 7));
      }
    }
  });

  it("a bank in the worst order, from far to near, changes nothing", () => {
    const cols = 20, q = normal(30 * cols, 7), b = normal(600 * cols, 8);
    const order = nearestNeighborsRef(q.subarray(0, cols), b).map(({ index }) => index).reverse();
    const sorted = Float32Array.from(b, (_, i) => b[order[Math.floor(i / cols)] * cols + (i % cols)]);
    check(q, sorted, cols, 10);
  });
});

describe("special values", () => {
  for (const n of [1, 10]) {
    const near = (bank: number[][], k: number, query: number[] = [0, 0]) => {
      const got = nearestNeighbors(Array.from({ length: n }, () => query), bank, k);
      expectExact(got.distances.data.slice((n - 1) * k), got.distances.data.subarray(0, k));
      return [Array.from(got.indices.data.subarray(0, k)), Array.from(got.distances.data.subarray(0, k))];
    };
    it(`of the bank, ${n} queries`, () => {
      expect(near([[1, 0], [NaN, 0], [2, 0]], 3)).toEqual([[0, 2, -1], [1, 4, Infinity]]);
      expect(near([[1, 0], [Infinity, 0], [2, 0]], 2)).toEqual([[0, 2], [1, 4]]);
      expect(near([[-Infinity, 0]], 1)).toEqual([[-1], [Infinity]]);
      expect(near([[1, 0], [1, 0], [1, 0]], 2)).toEqual([[0, 1], [1, 1]]);
      // Squares beyond float32: certainly not near, but near rows there are measured.
      expect(near([[3e38, 0], [1, 0]], 2)).toEqual([[1, -1], [1, Infinity]]);
      expect(near([[2 ** 100, 1], [2 ** 100, 2], [0, 0]], 2, [2 ** 100, 0])).toEqual([[0, 1], [1, 4]]);
      expect(near([[0, -0]], 1, [-0, 0])).toEqual([[0], [0]]);
    });
    it(`of the queries, ${n} queries`, () => {
      expect(near([[1, 0], [2, 0]], 2, [NaN, 0])).toEqual([[-1, -1], [NaN, NaN]]);
      expect(near([[1, 0], [2, 0]], 2, [Infinity, 0])).toEqual([[-1, -1], [Infinity, Infinity]]);
    });
  }

  it("a NaN spoils its own query only", () => {
    const q = normal(20 * 9, 9), b = matrix(normal(50 * 9, 10), 9);
    const clean = nearestNeighbors(matrix(q, 9), b, 3);
    const bad = q.slice();
    bad[5 * 9 + 4] = NaN;
    const got = nearestNeighbors(matrix(bad, 9), b, 3);
    expectExact(got.distances.data, clean.distances.data.map((v, i) => (Math.floor(i / 3) === 5 ? NaN : v)));
    expectExact(got.indices.data, clean.indices.data.map((v, i) => (Math.floor(i / 3) === 5 ? -1 : v)));
  });

  it("no queries give no neighbours", () => {
    expect(nearestNeighbors(matrix(new Float32Array(0), 3), [[1, 2, 3]], 1).distances.shape).toEqual([0, 1]);
  });
});

it("says what is wrong", () => {
  expect(() => nearestNeighbors([[1, 2]], [[1, 2, 3]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nearestNeighbors: expected \`bank\` of shape [M, 2] as the queries have it, got [1, 3]]`);
  expect(() => nearestNeighbors([[1, 2]], [[1, 2]], 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nearestNeighbors: expected \`k\` an integer in [1, 1], got 2]`);
  expect(() => nearestNeighbors([[1, 2]], [[1, 2]], 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nearestNeighbors: expected \`k\` an integer in [1, 1], got 0]`);
  expect(() => nearestNeighbors([1, 2], [[1, 2]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nearestNeighbors: expected \`queries\` of shape [N, F], got [2]]`);
  expect(() => nearestNeighbors({ data: new Float32Array(0), shape: [1, 0] }, { data: new Float32Array(0), shape: [1, 0] }, 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: nearestNeighbors: expected \`bank\` of shape [M, F], F >= 1, got [1, 0]]`);
});

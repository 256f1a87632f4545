import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Int8Bank, core, nearestNeighbors } from "./index.ts";

const matrix = (data: Float32Array, cols: number) => ({ data, shape: [data.length / cols, cols] });

/** Kinds of rows: round, in clusters, far from the origin, with equal rows, with one large column, sparse, of one direction. */
const KINDS: Readonly<Record<string, (i: number, j: number, normal: () => number) => number>> = {
  round: (_, __, normal) => normal(),
  clusters: (i, j, normal) => Math.sin(i % 5 + 3 * j) * 4 + 0.05 * normal(),
  far: (_, __, normal) => 1000 + normal(),
  equal: (i, j) => Math.sin((i % 4) + j),
  largeColumn: (_, j, normal) => (j === 0 ? 300 : 1) * normal(),
  sparse: (i, j, normal) => ((i + j) % 3 === 0 ? normal() : 0),
  line: (i, j, normal) => i * (j === 1 ? 1 : 0) + 1e-6 * normal(),
};

function rows(kind: string, n: number, cols: number, seed: number): Float32Array {
  const random = testRandom(seed);
  return Float32Array.from({ length: n * cols }, (_, at) => KINDS[kind](Math.floor(at / cols), at % cols, () => random.normal()));
}

describe("gives the neighbours of nearestNeighbors to the bit", () => {
  for (const kind of Object.keys(KINDS)) {
    it.each([1, 2, 3, 5, 8, 15, 16, 17, 33, 100])(`${kind}, %i columns`, (cols) => {
      for (const n of [1, 2, 3, 4, 5, 7, 8, 33, 600]) {
        const data = rows(kind, n, cols, n + cols), bank = Int8Bank.of(matrix(data, cols));
        const queries = Float32Array.from([...rows(kind, 3, cols, 99), ...data.subarray(0, cols), ...new Float32Array(cols)]);
        for (const k of new Set([1, Math.min(3, n), n])) {
          const want = nearestNeighbors(matrix(queries, cols), matrix(data, cols), k), got = bank.nearest(matrix(queries, cols), k);
          expectExact(got.distances, want.distances, `${n} rows, k = ${k}`);
          expectExact(got.indices, want.indices, `${n} rows, k = ${k}`);
        }
        bank.dispose();
      }
    });
  }

  it("for a bank of several pieces, one and many queries, resident or not", () => {
    const cols = 20, data = rows("round", 20000, cols, 1), queries = rows("round", 9, cols, 2);
    const resident = core.alloc([20000, cols]);
    resident.data.set(data);
    const banks = [Int8Bank.of(matrix(data, cols)), Int8Bank.of(resident)], want = nearestNeighbors(matrix(queries, cols), resident, 50);
    for (const bank of banks) {
      expect([bank.rows, bank.cols]).toEqual([20000, cols]);
      expectExact(bank.nearest(matrix(queries, cols), 50).distances, want.distances);
      for (let i = 0; i < 9; i++) {
        const one = bank.nearest(matrix(queries.subarray(i * cols, (i + 1) * cols), cols), 50);
        expectExact(one.distances.data, want.distances.data.slice(50 * i, 50 * (i + 1)));
        expectExact(one.indices.data, want.indices.data.slice(50 * i, 50 * (i + 1)));
      }
      bank.dispose();
    }
    expectExact(resident.data.slice(), data);
    resident.dispose();
  });

  it("for wide rows, whose integer sums stay below 2^31", () => {
    const cols = 9000, data = Float32Array.from({ length: 12 * cols }, (_, i) => (i % 2 === 0 ? 1 : -1) * (1 + Math.floor(i / cols) / 7)), bank = Int8Bank.of(matrix(data, cols));
    for (const query of [data.slice(0, cols), data.slice(0, cols).map((v) => -v)]) {
      expectExact(bank.nearest(matrix(query, cols), 12).distances, nearestNeighbors(matrix(query, cols), matrix(data, cols), 12).distances);
    }
    bank.dispose();
  });

  it("for rows and queries of any size, NaN and infinities", () => {
    const banks = [[[1e-30, 0], [0, 1e-30]], [[1e30, 0], [1, 2]], [[NaN, 0], [1, 1]], [[Infinity, 1], [2, 2]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]];
    for (const rowsOf of banks) {
      const bank = Int8Bank.of(rowsOf);
      for (const query of [[1, 1], [0, 0], [1e-30, 1e-30], [1e30, 0], [NaN, 1], [Infinity, 0], [1e-44, 0]]) {
        const want = nearestNeighbors([query], rowsOf, 2), got = bank.nearest([query], 2);
        expectExact(got.distances, want.distances, `${query} in ${rowsOf}`);
        expectExact(got.indices, want.indices, `${query} in ${rowsOf}`);
      }
      bank.dispose();
    }
  });
});

it("gives its memory back, but not that of a bank it was given", () => {
  const resident = core.alloc([500, 64]), before = core.bytesInUse, bank = Int8Bank.of(resident);
  expect(core.bytesInUse).toBeGreaterThan(before);
  bank.dispose();
  bank.dispose();
  expect(core.bytesInUse).toBe(before);
  expect(resident.data.length).toBe(32000);
  resident.dispose();
  const own = Int8Bank.of([[1, 2]]);
  own.dispose();
  expect(() => own.nearest([[1, 2]], 1)).toThrowErrorMatchingInlineSnapshot(`[DisposedError: Int8Bank.nearest: expected a bank that is in use, got one after dispose()]`);
});

it("takes no queries", () => {
  const bank = Int8Bank.of([[1, 2]]);
  expect(bank.nearest({ data: new Float32Array(0), shape: [0, 2] }, 1).distances.shape).toEqual([0, 1]);
  bank.dispose();
});

it("says what is wrong", () => {
  const bank = Int8Bank.of([[1, 2]]);
  expect(() => Int8Bank.of([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Int8Bank.of: expected \`bank\` of shape [M, F], got [2]]`);
  expect(() => Int8Bank.of({ data: new Float32Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Int8Bank.of: expected \`bank\` of shape [M, F], M >= 1 and F >= 1, got [0, 2]]`);
  expect(() => bank.nearest([[1]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Int8Bank.nearest: expected \`queries\` of shape [N, 2], got [1, 1]]`);
  expect(() => bank.nearest([1, 2], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Int8Bank.nearest: expected \`queries\` of shape [N, F], got [2]]`);
  expect(() => bank.nearest([[1, 2]], 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Int8Bank.nearest: expected \`k\` an integer in [1, 1], got 2]`);
  bank.dispose();
});

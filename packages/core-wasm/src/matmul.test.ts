import { Tensor, tensor } from "@logits/tensor";
import { expectExact, guarded, guardedInput, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { core, matmul, topK } from "./index.ts";
import { gemm, gemmScratch } from "./matmul.ts";
import { matmulRef } from "./matmul.ref.ts";
import { scratch } from "./memory.ts";

const seed = 20260301;
// Around the tiles of 4, 6 and 8.
const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33];
const BOTH = [false, true];

function normal(count: number, stream: number): Float32Array {
  const random = testRandom(stream);
  return Float32Array.from({ length: count }, () => random.normal());
}

function matrix(data: Float32Array, ...shape: number[]): Tensor<"float32"> {
  return new Tensor("float32", shape, data);
}

function transpose(x: Float32Array, rows: number, cols: number): Float32Array {
  return Float32Array.from(x, (_, i) => x[(i % rows) * cols + Math.floor(i / rows)]);
}

function resident(x: Tensor<"float32">): Tensor<"float32"> & { dispose(): void } {
  const made = core.alloc(x.shape);
  made.data.set(x.data);
  return made;
}

/**
 * Largest error in units of the bound. In a block of d products the first is rounded and d - 1 additions follow, or d - 1 fused steps: d roundings of 2^-24 on the way of each product,
 * and one for each block added; 1 more covers their squares.
 */
function excess(got: ArrayLike<number>, { y, size }: ReturnType<typeof matmulRef>, k: number): number {
  const bound = (Math.min(k, 256) + Math.ceil(k / 256)) * 2 ** -24;
  let worst = got.length === y.length ? 0 : Infinity;
  for (let i = 0; i < y.length; i++) worst = Math.max(worst, Math.abs(got[i] - y[i]) / (bound * size[i]));
  return worst;
}

describe("agrees with the definition", () => {
  it.each(SIZES)("for M = %i, around the tile sizes of K and N, with the same bits for all four transposes", (m) => {
    for (const k of SIZES) {
      for (const n of SIZES) {
        const a = normal(m * k, 1), b = normal(k * n, 2);
        const got = matmul(matrix(a, m, k), matrix(b, k, n));
        expect(got.shape).toEqual([m, n]);
        expect(excess(got.data, matmulRef(a, b, m, k, n), k)).toBeLessThanOrEqual(1);
        const at = matrix(transpose(a, m, k), k, m), bt = matrix(transpose(b, k, n), n, k);
        const label = `${m} x ${k} x ${n}`;
        expectExact(matmul(at, matrix(b, k, n), { transposeA: true }), got, `${label}, A transposed`);
        expectExact(matmul(matrix(a, m, k), bt, { transposeB: true }), got, `${label}, B transposed`);
        expectExact(matmul(at, bt, { transposeA: true, transposeB: true }), got, `${label}, both transposed`);
      }
    }
  });

  // Beyond the blocks: 256 products, 512 columns packed, 1024 columns of one row, 1024 a side of a copied piece.
  it.each([
    [13, 255, 9], [14, 256, 24], [7, 257, 513], [3, 513, 1031], [1, 300, 1029], [1, 1031, 2], [1030, 2, 1], [1029, 6, 5], [9, 1290, 7], [2, 3, 2100], [70, 515, 600],
  ])("for %i x %i x %i", (m, k, n) => {
    const a = normal(m * k, 3), b = normal(k * n, 4);
    const got = matmul(matrix(a, m, k), matrix(b, k, n));
    expect(excess(got.data, matmulRef(a, b, m, k, n), k)).toBeLessThanOrEqual(1);
    const at = matrix(transpose(a, m, k), k, m), bt = matrix(transpose(b, k, n), n, k);
    for (const transposeA of BOTH) {
      for (const transposeB of BOTH) {
        const x = transposeA ? at : matrix(a, m, k), y = transposeB ? bt : matrix(b, k, n);
        expectExact(matmul(x, y, { transposeA, transposeB }), got);
      }
    }
  });

  it("exactly where the sums are integers below 2^24", () => {
    const a = normal(37 * 530, 5).map((v) => Math.round(8 * v)), b = normal(530 * 45, 6).map((v) => Math.round(8 * v));
    expectExact(matmul(matrix(a, 37, 530), matrix(b, 530, 45)).data, Float32Array.from(matmulRef(a, b, 37, 530, 45).y));
  });

  it("better than one long sum where K is large: an equal sum of 2^24 + 2^18 ones", () => {
    const k = 2 ** 24 + 2 ** 18;
    const ones = new Float32Array(k).fill(1);
    expect(matmul(matrix(ones, 1, k), matrix(ones, k, 1)).item()).toBe(k);
  });
});

describe("one order of summation", () => {
  // More than one copied piece along every axis, and pieces that are not square.
  it.each([[1100, 1040, 1070], [1, 700, 4099], [5000, 300, 3], [2, 2100000, 1]])("gives resident and ordinary tensors the same bits: %i x %i x %i", (m, k, n) => {
    const a = matrix(normal(m * k, 7), m, k), b = matrix(normal(k * n, 8), k, n);
    const want = matmul(a, b);
    const ra = resident(a), rb = resident(b), rc = core.alloc([m, n]);
    rc.data.fill(NaN);
    expect(matmul(ra, rb, { out: rc })).toBe(rc);
    expectExact(rc.data, want.data);
    rc.data.fill(NaN);
    expectExact(matmul(ra, b, { out: rc }).data, want.data);
    expectExact(matmul(a, rb), want);
    expectExact(ra.data, a.data);
    const random = testRandom(9);
    for (let check = 0; check < 200; check++) {
      const i = Math.floor(random.uniform() * m), j = Math.floor(random.uniform() * n);
      let sum = 0, size = 0;
      for (let p = 0; p < k; p++) {
        sum += a.data[i * k + p] * b.data[p * n + j];
        size += Math.abs(a.data[i * k + p] * b.data[p * n + j]);
      }
      expect(Math.abs(want.data[i * n + j] - sum)).toBeLessThanOrEqual((Math.min(k, 256) + Math.ceil(k / 256)) * 2 ** -24 * size);
      if (k > 100_000) break;
    }
    for (const x of [ra, rb, rc]) x.dispose();
  });

  it("gives a row alone the bits that it has among others", () => {
    const [m, k, n] = [11, 523, 530];
    const a = matrix(normal(m * k, 10), m, k), b = matrix(normal(k * n, 11), k, n);
    const all = matmul(a, b);
    for (let i = 0; i < m; i++) expectExact(matmul(matrix(a.data.subarray(i * k, (i + 1) * k), 1, k), b).data, all.row(i).data, `row ${i}`);
  });

  it("gives the same bits again, whatever ran between", () => {
    const a = matrix(normal(40 * 50, 12), 40, 50), b = matrix(normal(50 * 60, 13), 50, 60);
    const first = matmul(a, b);
    matmul(matrix(new Float32Array(90000).fill(NaN), 300, 300), matrix(new Float32Array(90000).fill(NaN), 300, 300));
    topK(normal(1000, 14), 10);
    expectExact(matmul(a, b), first);
  });
});

describe("batches", () => {
  it.each(BOTH.flatMap((transposeA) => BOTH.map((transposeB) => ({ transposeA, transposeB }))))("are as many products: %o", ({ transposeA, transposeB }) => {
    const [m, k, n] = [5, 7, 9];
    const a = matrix(normal(6 * m * k, 15), 2, 3, ...(transposeA ? [k, m] : [m, k]));
    const b = matrix(normal(6 * k * n, 16), 2, 3, ...(transposeB ? [n, k] : [k, n]));
    const pairs: [Tensor<"float32">, Tensor<"float32">][] = [[a, b], [a, b.row(1).row(2) as Tensor<"float32">], [a.row(1).row(0) as Tensor<"float32">, b]];
    for (const [x, y] of pairs) {
      const got = matmul(x, y, { transposeA, transposeB });
      expect(got.shape).toEqual([2, 3, m, n]);
      const rx = resident(x), ry = resident(y);
      expectExact(matmul(rx, ry, { transposeA, transposeB }), got);
      rx.dispose();
      ry.dispose();
      for (let s = 0; s < 2; s++) {
        for (let t = 0; t < 3; t++) {
          const one = matmul(x.shape.length > 2 ? x.row(s).row(t) : x, y.shape.length > 2 ? y.row(s).row(t) : y, { transposeA, transposeB });
          expectExact(got.row(s).row(t), one);
        }
      }
    }
  });

  it("larger than one piece, with a shared side, are cut between products or inside them", () => {
    for (const [items, m, k, n] of [[20, 300, 256, 20], [3, 1100, 1030, 2]]) {
      const a = matrix(normal(items * m * k, 17), items, k, m), b = matrix(normal(k * n, 18), k, n);
      const got = matmul(a, b, { transposeA: true });
      for (let i = 0; i < items; i++) expectExact(got.row(i), matmul(a.row(i), b, { transposeA: true }));
    }
  });
});

describe("laws", () => {
  it("A I = A and I A = A", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.integer(), (m, n, stream) => {
        const a = matrix(normal(m * n, stream), m, n);
        const eye = (size: number): Tensor<"float32"> => matrix(Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)), size, size);
        expectExact(matmul(a, eye(n)), a);
        expectExact(matmul(eye(m), a), a);
      }),
      { seed },
    );
  });

  it("(A B)' = B' A', to the bit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 40 }), fc.integer(), (m, k, n, stream) => {
        const a = matrix(normal(m * k, stream), m, k), b = matrix(normal(k * n, stream + 1), k, n);
        expectExact(matmul(b, a, { transposeA: true, transposeB: true }).data, transpose(matmul(a, b).data, m, n));
      }),
      { seed },
    );
  });

  it("a factor that is a power of two goes through, to the bit", () => {
    const a = matrix(normal(33 * 40, 19), 33, 40), b = matrix(normal(40 * 21, 20), 40, 21);
    expectExact(matmul(matrix(a.data.map((v) => -8 * v), 33, 40), b).data, matmul(a, b).data.map((v) => -8 * v));
  });
});

describe("special values", () => {
  it("nothing to sum gives zeros, and empty sides an empty result", () => {
    expectExact(matmul(matrix(new Float32Array(0), 2, 0), matrix(new Float32Array(0), 0, 3)), matrix(new Float32Array(6), 2, 3));
    const out = matrix(new Float32Array(6).fill(NaN), 2, 3);
    expectExact(matmul(matrix(new Float32Array(0), 2, 0), matrix(new Float32Array(0), 0, 3), { out }), matrix(new Float32Array(6), 2, 3));
    expect(matmul(matrix(new Float32Array(0), 0, 4), matrix(normal(12, 21), 4, 3)).shape).toEqual([0, 3]);
    expect(matmul(matrix(normal(8, 21), 2, 4), matrix(new Float32Array(0), 4, 0)).shape).toEqual([2, 0]);
    expect(matmul(matrix(new Float32Array(0), 0, 2, 4), matrix(normal(12, 21), 4, 3)).shape).toEqual([0, 2, 3]);
  });

  it("a NaN spoils its row or column and nothing else, on every path", () => {
    for (const [m, k, n] of [[9, 5, 11], [1, 9, 37], [37, 9, 1], [1, 260, 5], [13, 300, 17]]) {
      for (const transposed of BOTH) {
        const a = normal(m * k, 22), b = normal(k * n, 23);
        const y = (x: Float32Array): Tensor<"float32"> => (transposed ? matrix(transpose(x, k, n), n, k) : matrix(x, k, n));
        const clean = matmul(matrix(a, m, k), y(b), { transposeB: transposed }).data;
        const i = m >> 1, j = n >> 1, p = k - 1;
        const badA = a.slice(), badB = b.slice();
        badA[i * k + p] = NaN;
        badB[p * n + j] = NaN;
        expectExact(matmul(matrix(badA, m, k), y(b), { transposeB: transposed }).data, clean.map((v, at) => (Math.floor(at / n) === i ? NaN : v)));
        expectExact(matmul(matrix(a, m, k), y(badB), { transposeB: transposed }).data, clean.map((v, at) => (at % n === j ? NaN : v)));
      }
    }
  });

  it("infinities follow IEEE sums", () => {
    expectExact(matmul([[Infinity, 1], [Infinity, -Infinity], [Infinity, 0]], [[1, 0], [1, 1]]), tensor([[Infinity, NaN], [NaN, NaN], [Infinity, NaN]]));
    expectExact(matmul([[3e38, 3e38]], [[1], [1]]).item(), Infinity);
    expectExact(matmul([[-0]], [[1]]).item(), 0);
  });

  it("results below the smallest normal number are kept", () => {
    expectExact(matmul([[2 ** -100]], [[2 ** -49]]).item(), 2 ** -149);
  });
});

describe("memory", () => {
  it("reads and writes exactly what the shapes cover, adds where told to, and overwrites poison", () => {
    const arena = core.alloc([20000]);
    for (const [m, k, n] of [[1, 5, 6], [7, 3, 1], [6, 8, 8], [13, 9, 21], [4, 260, 9], [1, 261, 19], [17, 7, 3]]) {
      for (const transposeA of BOTH) {
        for (const transposeB of BOTH) {
          const work = scratch(gemmScratch(n, k));
          const a = normal(m * k, 24), b = normal(k * n, 25);
          const place = [arena.pointer + 64, arena.pointer + 64 + 4 * m * k + 132, arena.pointer + 64 + 4 * (m * k + k * n) + 268];
          const guards = [guardedInput(core.memory, place[0], transposeA ? transpose(a, m, k) : a), guardedInput(core.memory, place[1], transposeB ? transpose(b, k, n) : b), guarded(core.memory, place[2], m * n)];
          const left = { at: place[0], row: transposeA ? 1 : k, col: transposeA ? m : 1 }, right = { at: place[1], row: transposeB ? 1 : n, col: transposeB ? k : 1 };
          gemm(left, right, { at: place[2], row: n, col: 1 }, m, n, k, false, work);
          for (const guard of guards) guard.check();
          const got = new Float32Array(core.memory.buffer, place[2], m * n);
          const want = matmul(matrix(a, m, k), matrix(b, k, n)).data;
          expectExact(got, want);
          gemm(left, right, { at: place[2], row: n, col: 1 }, m, n, k, true, scratch(gemmScratch(n, k)));
          // Blocks of K are added one by one: twice the sum to the bit only where there is one block.
          if (k <= 256) expectExact(got, want.map((v) => 2 * v));
        }
      }
    }
    arena.dispose();
  });

  it("writes into a block of a larger matrix and leaves its neighbours alone", () => {
    const c = core.alloc([20, 50]);
    c.data.fill(7);
    const a = resident(matrix(normal(11 * 13, 26), 11, 13)), b = resident(matrix(normal(13 * 19, 27), 13, 19));
    const at = (x: Tensor): number => (x as unknown as { pointer: number }).pointer;
    gemm({ at: at(a), row: 13, col: 1 }, { at: at(b), row: 19, col: 1 }, { at: c.pointer + 4 * (3 * 50 + 5), row: 50, col: 1 }, 11, 19, 13, false, scratch(gemmScratch(19, 13)));
    const want = matmul(a, b).data;
    expectExact(c.data, Float32Array.from({ length: 1000 }, (_, i) => {
      const row = Math.floor(i / 50) - 3, col = (i % 50) - 5;
      return row >= 0 && row < 11 && col >= 0 && col < 19 ? want[row * 19 + col] : 7;
    }));
    for (const x of [a, b, c]) x.dispose();
  });

  it("keeps its scratch bounded", () => {
    expect(core.bytesInUse).toBeLessThanOrEqual(3 * 4 * 2 ** 20 + gemmScratch(512, 256) + 2 * 65536 + 65536); // the arena of all calls above
    matmul(matrix(new Float32Array(3_000_000), 1, 3_000_000), matrix(new Float32Array(3_000_000), 3_000_000, 1));
    matmul(matrix(new Float32Array(1500 * 2000), 1500, 2000), matrix(new Float32Array(2000 * 1500), 2000, 1500));
    expect(core.bytesInUse).toBeLessThanOrEqual(3 * 4 * 2 ** 20 + gemmScratch(512, 256) + 2 * 65536 + 65536);
    expect(gemmScratch(1e6, 1e6)).toBeLessThanOrEqual(527 * 1024);
  });

  it("takes an ordinary out, also as a view of a larger array", () => {
    const store = new Float32Array(10).fill(7);
    const out = matrix(store.subarray(2, 6), 2, 2);
    expect(matmul([[1, 2], [3, 4]], [[1, 0], [0, 1]], { out })).toBe(out);
    expectExact(store, [7, 7, 1, 2, 3, 4, 7, 7, 7, 7]);
  });
});

it("says what is wrong", () => {
  const square = [[1, 2], [3, 4]];
  expect(() => matmul([1, 2], square)).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`a\` of shape [..., M, K], got [2]. A row is [1, C], a column [C, 1]]`);
  expect(() => matmul(square, [1, 2], { transposeB: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`b\` of shape [..., N, K], got [2]. A row is [1, C], a column [C, 1]]`);
  expect(() => matmul([1, 2], square, { transposeA: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`a\` of shape [..., K, M], got [2]. A row is [1, C], a column [C, 1]]`);
  expect(() => matmul(square, [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`b\` of shape [..., K, N], got [2]. A row is [1, C], a column [C, 1]]`);
  expect(() => matmul(square, [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`b\` with K = 2 as in a of shape [2, 2], got K = 1 in shape [1, 2]]`);
  expect(() => matmul([square, square], [square])).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`b\` with batch axes [2] as in a, or none, got [1]]`);
  expect(() => matmul([square], [[square]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`b\` with batch axes [1] as in a, or none, got [1, 1]]`);
  expect(() => matmul(square, square, { out: matrix(new Float32Array(4), 4) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`out\` float32 of shape [2, 2], got float32 of shape [4]]`);
  expect(() => matmul(square, square, { out: new Tensor("int32", [2, 2], new Int32Array(4)) as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`out\` float32 of shape [2, 2], got int32 of shape [2, 2]]`);
  const x = matrix(new Float32Array(4), 2, 2);
  expect(() => matmul(x, square, { out: x })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`out\` that shares no memory with a, got one that does]`);
  const r = core.alloc([3, 2, 2]);
  expect(() => matmul(square, r.row(1), { out: r.row(1) as Tensor<"float32"> })).toThrowErrorMatchingInlineSnapshot(`[RangeError: matmul: expected \`out\` that shares no memory with b, got one that does]`);
  matmul(r.row(0), r.row(1), { out: r.row(2) as Tensor<"float32"> });
  r.dispose();
  expect(() => matmul(r, square)).toThrowErrorMatchingInlineSnapshot(`[DisposedError: ResidentTensor: expected a live tensor, got one after dispose()]`);
  expect(() => matmul("x" as never, square)).toThrowErrorMatchingInlineSnapshot(`[TypeError: matmul: expected \`a\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
});

import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { core } from "./resident.ts";
import { checkVectors, expRow, sigmoidRow, similarityPass, type Similarity } from "./similarity.ts";

const KINDS: readonly Similarity[] = ["dot", "cosine", "squaredEuclidean", "euclidean"];
const random = testRandom(5);
const normal = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());

/** The definition in float64. */
function similarityRef(kind: Similarity, z: ArrayLike<number>, r: ArrayLike<number>, features: number): number[][] {
  const rows = (x: ArrayLike<number>): number[][] => {
    const all = Array.from(x);
    return Array.from({ length: x.length / features }, (_, i) => all.slice(i * features, (i + 1) * features));
  };
  const right = rows(r);
  const dot = (a: number[], b: number[]): number => a.reduce((s, v, f) => s + v * b[f], 0);
  return rows(z).map((a) => right.map((b) => {
    if (kind === "dot") return dot(a, b);
    if (kind === "cosine") return dot(a, a) === 0 || dot(b, b) === 0 ? 0 : dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const square = a.reduce((s, v, f) => s + (v - b[f]) ** 2, 0);
    return kind === "euclidean" ? Math.sqrt(square) : square;
  }));
}

describe.each(KINDS)("similarityPass by %s", (kind) => {
  it.each([[1, 1, 1], [2, 3, 2], [7, 5, 3], [5, 9, 4], [50, 61, 7], [101, 13, 19], [60, 3000, 2]])("agrees with the definition for %i x %i of %i features", (n, m, f) => {
    const z = normal(n * f), r = normal(m * f), want = similarityRef(kind, z, r, f);
    let seen = 0;
    similarityPass({ data: z }, { data: r }, f, kind, (i, row) => {
      expect(i).toBe(seen++);
      // A float32 sum of F products of size |z||r| (up to about 2 F), and of three such terms for distances.
      expectClose(row, want[i], { atol: 2e-7 * f, rtol: 2e-6 });
    }, false);
    expect(seen).toBe(n);
  });

  it("reads resident vectors, however much the memory grows meanwhile", () => {
    const f = 8, r = core.alloc([2, f]), n = Math.ceil((core.memory.buffer.byteLength - core.bytesInUse) / 4 / f) + 10, z = core.alloc([n, f]);
    r.data.set(normal(2 * f));
    z.data.set(normal(n * f));
    const left = z.data.slice(), right = r.data.slice(), before = core.memory.buffer.byteLength, rows = (a: Float32Array, b: Float32Array): [number[], ArrayLike<number>, ArrayLike<number>] => {
      const seen: number[] = [], grads = similarityPass({ data: a }, { data: b }, f, kind, (_, row) => { seen.push(...row); row[0] = 1; row[1] = -2; }, true)!;
      return [seen, grads.left, grads.right!];
    };
    const got = rows(z.data, r.data), after = core.memory.buffer.byteLength;
    expect(after).toBeGreaterThan(before);
    rows(left, right).forEach((want, k) => expectExact(got[k], want));
    r.dispose();
    z.dispose();
  });

  it("has the gradients of the definition on both sides", () => {
    const [n, m, f] = [7, 6, 5], z = normal(n * f), r = normal(m * f), g = normal(n * m);
    const value = (a: ArrayLike<number>, b: ArrayLike<number>): number => similarityRef(kind, a, b, f).flat().reduce((s, v, k) => s + v * g[k], 0);
    const got = similarityPass({ data: z }, { data: r }, f, kind, (i, row) => row.set(g.subarray(i * m, (i + 1) * m)), true)!;
    // Float32 products of a few units.
    expectClose(got.left, finiteDifferenceGradient((x) => value(x, r), z), { atol: 1e-5 });
    expectClose(got.right!, finiteDifferenceGradient((x) => value(z, x), r), { atol: 1e-5 });
  });

  it("has the gradient of a matrix compared with itself across tiles, the diagonal apart for distances", () => {
    // 400 x 400: two tiles of 324 rows at most.
    const [n, f] = [400, 3], z = normal(n * f), g = normal(n * n).map((v, k) => (k % (n + 1) === 0 && kind === "euclidean" ? 0 : v));
    const value = (a: ArrayLike<number>): number => similarityRef(kind, a, a, f).flat().reduce((s, v, k) => s + (g[k] === 0 ? 0 : v * g[k]), 0);
    const got = similarityPass({ data: z }, undefined, f, kind, (i, row) => row.set(g.subarray(i * n, (i + 1) * n)), true)!;
    expect(got.right).toBeUndefined();
    for (let k = 0; k < 3; k++) {
      const at = random.integer(n * f);
      const want = finiteDifferenceGradient(([t]) => value(Float64Array.from(z, (v, j) => (j === at ? v + t : v))), [0]);
      // 800 float32 terms of size about 1.
      expectClose([got.left[at]], want, { atol: 3e-4 });
    }
  });

  it("never reads rows that take no part, and gives the bits of a matrix without them", () => {
    const f = 6, rows = [4, 1, 3], z = normal(5 * f), few = Float32Array.from(rows.flatMap((i) => [...z.subarray(i * f, (i + 1) * f)]));
    for (const i of [0, 2]) z.fill(NaN, i * f, (i + 1) * f);
    const collect = (data: Float32Array, which?: number[]): [number[][], Float32Array] => {
      const seen: number[][] = [];
      const { left } = similarityPass({ data, rows: which }, undefined, f, kind, (i, row) => (seen.push([...row]), row.fill(i + 1)), true)!;
      return [seen, left];
    };
    const [a, grad] = collect(z, rows), [b, want] = collect(few);
    a.forEach((row, i) => expectExact(row, b[i]));
    rows.forEach((i, k) => expectExact(grad.subarray(i * f, (i + 1) * f), [...want.subarray(k * f, (k + 1) * f)]));
    for (const i of [0, 2]) expectExact(grad.subarray(i * f, (i + 1) * f), new Array(f).fill(0));
  });

  it("gives memory back, also when the visit throws", () => {
    const z = normal(64 * 8);
    const run = (): unknown => similarityPass({ data: z }, undefined, 8, kind, () => { throw new Error("stop"); }, true);
    expect(run).toThrow("stop");
    const before = core.bytesInUse;
    expect(run).toThrow("stop");
    expect(core.bytesInUse).toBe(before);
  });

  it("has nothing to visit without rows, and empty rows without columns", () => {
    const never = (): void => expect.unreachable();
    expectExact(similarityPass({ data: new Float32Array(0) }, undefined, 3, kind, never, true)!.left, []);
    expectExact(similarityPass({ data: normal(6) }, { data: new Float32Array(0) }, 3, kind, never, true)!.left, new Float32Array(6));
  });
});

describe("similarityPass", () => {
  it("keeps the digits of small distances beside a large offset", () => {
    const z = Float32Array.from([1000, 1000.125, 1000, 1000.25]);
    const seen: number[][] = [];
    similarityPass({ data: z }, undefined, 2, "euclidean", (_, row) => seen.push([...row]), false);
    expectExact(seen.flat(), [0, 0.125, 0.125, 0]);
  });

  it("takes the cosine with a vector of zeros as 0, with a gradient of 0, whatever the lengths", () => {
    const z = Float32Array.from([0, 0, 3e38, 3e38, 1e-30, 1e-30]);
    const seen: number[][] = [];
    const { left } = similarityPass({ data: z }, undefined, 2, "cosine", (_, row) => (seen.push([...row]), row.fill(1)), true)!;
    // One rounding of each component of length sqrt(1/2), squared and added.
    expectClose(seen.flat(), [0, 0, 0, 0, 1, 1, 0, 1, 1], { atol: 2e-7 });
    expectExact(left.subarray(0, 2), [0, 0]);
    for (const v of left) expect(Number.isFinite(v)).toBe(true);
  });

  it("takes less than 8 MiB beyond its argument for 2048 rows of 256 features, gradients and the result included", () => {
    const z = normal(2048 * 256), before = core.bytesInUse;
    let height = 0;
    const { left } = similarityPass({ data: z }, undefined, 256, "cosine", (_, row) => {
      height = Math.max(height, core.bytesInUse);
      row.fill(0);
    }, true)!;
    expect(height - before + left.byteLength).toBeLessThan(6.6 * 2 ** 20);
  });

  it("does not read what the visit leaves in the scratch", () => {
    const z = normal(130 * 4), collect = (spoil: boolean): Float32Array => similarityPass({ data: z }, undefined, 4, "dot", (_, row) => {
      if (spoil) new Float32Array(core.memory.buffer, 65536, 200000).fill(NaN);
      row.fill(1);
    }, true)!.left;
    expectExact(collect(true), [...collect(false)]);
  });
});

describe("checkVectors", () => {
  it("lets matrices through and says what it refuses", () => {
    expectExact(checkVectors("f", "x", [[1, 2]], 2), { shape: [1, 2], data: [1, 2] });
    expect(checkVectors("f", "x", { data: new Float32Array(0), shape: [0, 3] }).shape).toEqual([0, 3]);
    expect(() => checkVectors("f", "x", [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`x\` of shape [N, F], F >= 1, got [2]]`);
    expect(() => checkVectors("f", "x", [[], []])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`x\` of shape [N, F], F >= 1, got [2, 0]]`);
    expect(() => checkVectors("f", "x", [[1, 2]], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`x\` of shape [N, 3], got [1, 2]]`);
  });
});

describe("sigmoidRow", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 1030])("agrees with the definition for %i columns", (m) => {
    const r = normal(m);
    similarityPass({ data: Float32Array.of(1) }, { data: r }, 1, "dot", (_, row) => {
      row[0] = -Infinity;
      const x = Array.from(r, (v, j) => (j === 0 ? -Infinity : 10 * v - 3));
      // Two roundings of an argument up to 40, and the kernels' own.
      expectClose(sigmoidRow(row, 10, -3), x.reduce((s, v) => s + Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))), 0), { rtol: 1e-5, atol: 1e-6 });
      expectClose(row, x.map((v) => 1 / (1 + Math.exp(-v))), { rtol: 1e-5 });
    }, false);
  });

  it("says what it refuses", () => {
    expect(() => sigmoidRow(new Float32Array(4), 1, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: sigmoidRow: expected \`row\` of similarityPass, got an array outside of WebAssembly memory]`);
  });
});

describe("expRow", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 1030])("agrees with the definition for %i columns", (m) => {
    const r = normal(m);
    r[0] = -Infinity;
    similarityPass({ data: Float32Array.of(1) }, { data: r.map((v) => (v === -Infinity ? 0 : v)) }, 1, "dot", (_, row) => {
      row[0] = -Infinity;
      const want = Array.from(r, (v) => Math.exp(2.5 * (v - 3)));
      // Two roundings of an exponent up to 20, and the kernel's own.
      expectClose(expRow(row, 2.5, 3), want.reduce((a, b) => a + b, 0), { rtol: 3e-6 });
      expectClose(row, want, { rtol: 3e-6 });
    }, false);
  });

  it("gives ones at the scale 0, but 0 for what is impossible", () => {
    similarityPass({ data: Float32Array.of(1) }, { data: normal(6) }, 1, "dot", (_, row) => {
      row[1] = row[5] = -Infinity;
      expect(expRow(row, 0, 3)).toBe(4);
      expectExact(row, [1, 0, 1, 1, 1, 0]);
    }, false);
  });

  it("says what it refuses", () => {
    expect(() => expRow(new Float32Array(4), 1, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: expRow: expected \`row\` of similarityPass, got an array outside of WebAssembly memory]`);
  });
});

import { Tensor, tensor } from "@logits/tensor";
import { expectExact, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/topK.json" with { type: "json" };
import { core, topK } from "./index.ts";
import { topKRef } from "./topK.ref.ts";

const INF = Infinity;
const seed = 20260101;

for (const k of [1, 3]) {
  const spec = {
    bound: { atol: 0 }, // values are copied, indices are integers
    columns: [3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 100, 257, 769, 1025],
    nan: "refused" as const,
    run: (x: Parameters<typeof topK>[0]) => topK(x, k).indices,
    reference: (row: Float64Array) => topKRef(row, k),
  };
  describe(`indices of the ${k} largest`, () => {
    const special = k === 1 ? [] : [
      { name: "equal", row: [7, 7, 7, 7], want: [0, 1, 2] },
      { name: "zeros of both signs are ties", row: [-1, 0, -0, 0, -0], want: [1, 2, 3] },
      { name: "infinities", row: [-INF, INF, 0, INF], want: [1, 3, 2] },
      { name: "nothing possible", row: [-INF, -INF, -INF, -INF], want: [0, 1, 2] },
      { name: "one possible", row: [-INF, -INF, -INF, 2], want: [3, 0, 1] },
    ];
    it.each(kernelChecks({ ...spec, name: "topK indices", special }))("$name", ({ run }) => run());
    it.each(kernelChecks({ ...spec, name: "topK indices", generate: (random) => Math.round(random.normal()) }))("$name with ties", ({ run }) => run());
  });
  describe(`values of the ${k} largest`, () => {
    it.each(kernelChecks({ ...spec, name: "topK values", run: (x) => topK(x, k).values, reference: (row) => topKRef(row, k).map((c) => row[c]) }))("$name", ({ run }) => run());
  });
}

// Every path of the kernel: sorted rows, single elements, blocks of 16 and of 64; data that are bad for thresholds.
const shapes: [string, (i: number, cols: number, normal: number) => number][] = [
  ["random", (_, __, normal) => normal],
  ["few values", (_, __, normal) => Math.round(normal)],
  ["ascending", (i) => i],
  ["descending", (i) => -i],
  ["equal", () => -3],
  ["large values in few blocks", (i, _, normal) => (i < 600 ? 100 + normal : normal)],
  ["mostly impossible", (i, cols, normal) => (i % Math.ceil(cols / 7) === 3 ? normal : -INF)],
];
describe("topK", () => {
  it.each(shapes)("agrees with the definition on %s rows for every k", (_, make) => {
    const random = testRandom(11);
    for (const cols of [64, 65, 80, 255, 256, 300, 1000, 2560, 2561, 10243, 20007]) {
      const x = Float32Array.from({ length: cols }, (__, i) => make(i, cols, random.normal()));
      const all = topKRef(Float64Array.from(x), cols);
      for (const k of [1, 2, 5, 10, 16, 39, 40, 64, 78, 79, 128, 129, 312, cols - 1, cols]) {
        if (k > cols) continue;
        const { values, indices } = topK(x, k);
        expectExact(indices.data, all.subarray(0, k), `${k} of ${cols}`);
        expectExact(values.data, Float32Array.from(indices.data, (c) => x[c]), `${k} of ${cols}`);
        const byIndex = topK(x, k, { sorted: false });
        expectExact(byIndex.indices.data, indices.data.slice().sort(), `${k} of ${cols} by index`);
        expectExact(byIndex.values.data, Float32Array.from(byIndex.indices.data, (c) => x[c]), `${k} of ${cols} by index`);
      }
    }
  });

  it("finds a NaN at every place, whatever path the row takes", () => {
    for (const [cols, k] of [[10, 3], [100, 5], [300, 70], [1027, 10], [2565, 3]]) {
      for (let c = 0; c < cols; c += cols > 500 ? 37 : 1) {
        const x = new Float32Array(2 * cols).fill(1);
        x[cols + c] = NaN;
        expect(() => topK(new Tensor("float32", [2, cols], x), k)).toThrow(`NaN in row 1, column ${c}`);
      }
    }
  });

  it("commutes with a shift and with the choice of k", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 300 }), fc.nat(), fc.nat(), (list, a, b) => {
        const k = 1 + (a % list.length), smaller = 1 + (b % k);
        const { indices } = topK(list, k);
        expectExact(topK(list.map((v) => v + 7), k).indices, indices);
        expectExact(topK(list, smaller).indices.data, indices.data.subarray(0, smaller));
      }),
      { seed },
    );
  });

  it("agrees with torch, and with NumPy's stable sort where there are ties", () => {
    for (const { name, shape, k, x, values, indices } of fixture.cases) {
      const got = topK(new Tensor("float32", shape, Float32Array.from(x, Number)), k);
      expectExact(got.values.data, Float32Array.from(values, Number), name);
      expectExact(got.indices.data, indices, name);
    }
  });

  it("keeps the leading shape and takes no rows", () => {
    const { values, indices } = topK([[[3, 1, 2], [1, 2, 3]]], 2);
    expectExact(values, new Tensor("float32", [1, 2, 2], Float32Array.of(3, 2, 3, 2)));
    expectExact(indices, new Tensor("int32", [1, 2, 2], Int32Array.of(0, 2, 2, 1)));
    expect(topK(new Tensor("float32", [0, 3], new Float32Array(0)), 2).values.shape).toEqual([0, 2]);
  });

  it("reads resident tensors, more rows than fit one piece, and leaves them unchanged", () => {
    const random = testRandom(5);
    const x = core.alloc([700, 130]);
    x.data.set(Float32Array.from({ length: x.size }, () => random.normal()));
    const before = x.data.slice();
    const { indices } = topK(x, 4);
    for (const r of [0, 1, 503, 504, 699]) expectExact(indices.row(r).data, topKRef(Float64Array.from(before.subarray(130 * r, 130 * (r + 1))), 4));
    expectExact(x.data, before);
    expectExact(topK(new Tensor("float32", [700, 130], before), 4).indices, indices);
    x.dispose();
  });

  it("says what is wrong", () => {
    expect(() => topK([1, 2], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 2], got 3]`);
    expect(() => topK([1, 2], 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 2], got 0]`);
    expect(() => topK([1, 2], 1.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 2], got 1.5]`);
    expect(() => topK([], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`k\` an integer in [1, 0], got 1]`);
    expect(() => topK([[1, 2], [3, NaN]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`x\` without NaN, got NaN in row 1, column 1]`);
    expect(() => topK(tensor([1], []), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: topK: expected \`x\` with at least one axis, got shape []]`);
    expect(() => topK("x" as never, 1)).toThrowErrorMatchingInlineSnapshot(`[TypeError: topK: expected \`x\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
  });
});

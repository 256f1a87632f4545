import { Tensor, tensor } from "@logits/tensor";
import { expectExact, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { argsortRef } from "./argsort.ref.ts";
import fixture from "./fixtures/argsort.json" with { type: "json" };
import { argsort, core } from "./index.ts";

const INF = Infinity;
const seed = 20260101;

for (const descending of [false, true]) {
  describe(descending ? "argsort, descending" : "argsort", () => {
    const spec = {
      name: "argsort",
      run: (x: Parameters<typeof argsort>[0]) => argsort(x, { descending }),
      reference: (row: Float64Array) => argsortRef(row, descending),
      bound: { atol: 0 }, // indices
      columns: [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 66, 300],
      nan: "refused" as const,
      special: [
        { name: "one element", row: [3], want: [0] },
        { name: "equal", row: [7, 7, 7], want: [0, 1, 2] },
        { name: "zeros of both signs are ties", row: [0, -0, 0, -0], want: [0, 1, 2, 3] },
        { name: "infinities", row: [INF, 0, -INF, INF, -INF], want: descending ? [0, 3, 1, 2, 4] : [2, 4, 1, 0, 3] },
        { name: "smallest and largest", row: [1e-45, -1e-45, 0, 3.4e38, -3.4e38], want: descending ? [3, 0, 2, 1, 4] : [4, 1, 2, 0, 3] },
      ],
    };
    it.each(kernelChecks(spec))("$name", ({ run }) => run());
    // Few values: the order of ties decides.
    it.each(kernelChecks({ ...spec, generate: (random) => Math.round(random.normal()), special: [] }))("$name with ties", ({ run }) => run());

    it("sorts wide rows, sorted, reversed and equal rows", () => {
      const random = testRandom(3);
      for (const cols of [255, 256, 257, 1000, 4099, 70001]) {
        const x = Float32Array.from({ length: cols }, () => random.normal());
        const sorted = x.slice().sort();
        for (const row of [x, sorted, sorted.slice().reverse(), new Float32Array(cols).fill(2)]) {
          expectExact(argsort(row, { descending }).data, argsortRef(Float64Array.from(row), descending), `${cols} columns`);
        }
      }
    });
  });
}

describe("laws of argsort", () => {
  const values = fc.array(fc.float({ noNaN: true }), { maxLength: 200 });
  it("gives a permutation that sorts, ties by index", () => {
    fc.assert(
      fc.property(values, fc.boolean(), (list, descending) => {
        const x = Float32Array.from(list);
        const y = argsort(x, { descending }).data;
        expectExact(y.slice().sort(), Int32Array.from(x.keys()));
        for (let j = 1; j < y.length; j++) {
          const [a, b] = descending ? [x[y[j]], x[y[j - 1]]] : [x[y[j - 1]], x[y[j]]];
          expect(a < b || (a === b && y[j - 1] < y[j])).toBe(true);
        }
      }),
      { seed },
    );
  });

  it("is unchanged by a strictly increasing map", () => {
    fc.assert(
      fc.property(values, (list) => {
        const x = Float32Array.from(list, (v) => Math.max(-1e30, Math.min(1e30, v)));
        expectExact(argsort(x.map((v) => 4 * v)), argsort(x)); // times 4 is exact here, subnormals included
      }),
      { seed },
    );
  });
});

describe("argsort", () => {
  it("agrees with NumPy's stable sort", () => {
    for (const { name, x, ascending, descending } of fixture.cases) {
      expectExact(argsort(Float32Array.from(x, Number)).data, ascending, name);
      expectExact(argsort(Float32Array.from(x, Number), { descending: true }).data, descending, name);
    }
  });

  it("keeps the shape, works on the last axis and takes no elements", () => {
    expectExact(argsort([[[3, 1, 2], [1, 2, 3]]]), new Tensor("int32", [1, 2, 3], Int32Array.of(1, 2, 0, 0, 1, 2)));
    expectExact(argsort([]), new Tensor("int32", [0], new Int32Array(0)));
    expectExact(argsort(new Tensor("float32", [2, 0], new Float32Array(0))), new Tensor("int32", [2, 0], new Int32Array(0)));
  });

  it("reads resident tensors, more rows than fit one piece, and leaves them unchanged", () => {
    const random = testRandom(5);
    const x = core.alloc([700, 130]);
    x.data.set(Float32Array.from({ length: x.size }, () => random.normal()));
    const before = x.data.slice();
    const y = argsort(x);
    for (const r of [0, 1, 503, 504, 699]) expectExact(y.row(r).data, argsortRef(Float64Array.from(before.subarray(130 * r, 130 * (r + 1)))));
    expectExact(x.data, before);
    expectExact(argsort(new Tensor("float32", [700, 130], before)), y);
    x.dispose();
  });

  it("says what is wrong", () => {
    expect(() => argsort([[1, 2], [3, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: argsort: expected \`x\` without NaN, got NaN in row 1, column 1]`);
    expect(() => argsort(tensor([1], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: argsort: expected \`x\` with at least one axis, got shape []]`);
    expect(() => argsort("x" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: argsort: expected \`x\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
  });
});

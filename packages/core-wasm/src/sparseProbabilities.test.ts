import { Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import entmax15Fixture from "./fixtures/entmax15.json" with { type: "json" };
import sparsemaxFixture from "./fixtures/sparsemax.json" with { type: "json" };
import { core, entmax15, entmax15Grad, sparsemax, sparsemaxGrad } from "./index.ts";
import { entmax15Ref } from "./entmax15.ref.ts";
import { sparsemaxRef } from "./sparsemax.ref.ts";

// The two probability mappings with zeros have one contract.

const INF = Infinity;
const seed = 20260101;
const even = (n: number, value: number): number[] => Array<number>(n).fill(value);
const mappings = [
  {
    name: "sparsemax", sparse: sparsemax, sparseGrad: sparsemaxGrad, reference: sparsemaxRef, fixture: sparsemaxFixture,
    // A score has up to three roundings of 2^-24 of at most 1 (x - max, 1 / T, their product), its tau the mean of such: 6 * 2^-24 = 3.6e-7; the sum is of rounded results.
    bound: 4e-7,
    // Roundings of upstreams of up to 4 over T; the definition is linear inside the support, so that the differences are exact to 1e-10.
    gradientBound: 2e-6,
  },
  {
    name: "entmax15", sparse: entmax15, sparseGrad: entmax15Grad, reference: entmax15Ref, fixture: entmax15Fixture,
    // p = d^2 with d <= 1 and an error of d as in sparsemax, 6 * 2^-24: twice that, 7.2e-7, and roundings of p.
    bound: 8e-7,
    // The square root of a small probability is as far off as d: 4e-7 over T, times upstreams of up to 4.
    gradientBound: 4e-6,
  },
] as const;

describe.each(mappings)("$name", ({ name, sparse, sparseGrad, reference, fixture, bound, gradientBound }) => {
  for (const temperature of [1, 2.5, 0.3]) {
    describe(`at temperature ${temperature}`, () => {
      const spec = {
        name,
        run: (x: Parameters<typeof sparse>[0]) => sparse(x, { temperature }),
        reference: (row: Float64Array) => reference(row, temperature),
        bound: { atol: bound },
        columns: [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100],
        special: [
          { name: "one element", row: [-3e38], want: [1] },
          { name: "equal", row: [7, 7, 7, 7], want: even(4, 0.25) },
          { name: "equal and huge", row: [3e38, 3e38], want: even(2, 0.5), ...(name === "entmax15" && { bound: { atol: bound } }) },
          { name: "an impossible class", row: [-INF, 5, -INF, 5, -INF], want: [0, 0.5, 0, 0.5, 0], bound: { atol: bound } },
          { name: "one possible class", row: [-INF, -3e38, -INF], want: [0, 1, 0] },
          { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
          { name: "one impossible element", row: [-INF], want: [NaN] },
          { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
          { name: "+Infinity alone", row: [INF], want: [NaN] },
          { name: "far apart", row: [3e38, -3e38, 0], want: [1, 0, 0] },
          { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
          { name: "zeros of both signs", row: [0, -0], want: even(2, 0.5), bound: { atol: bound } },
        ],
      };
      it.each(kernelChecks(spec))("$name", ({ run }) => run());
      // Rows with most elements in the support.
      it.each(kernelChecks({ ...spec, special: [], generate: (random) => 0.05 * temperature * random.normal() }))("$name, dense", ({ run }) => run());
    });
  }

  describe("rows and gradients", () => {
    it("agrees with the definition on wide rows, sparse and dense, whether or not the candidates fit the scratch", () => {
      const random = testRandom(2);
      for (const cols of [1000, 4095, 4096, 4097, 20003]) {
        for (const deviation of [3, 0.3, 1e-3]) {
          const x = Float32Array.from({ length: cols }, () => deviation * random.normal());
          const y = sparse(x);
          expectClose(y.data, reference(Float64Array.from(x)), { atol: bound, label: `${cols} columns, deviation ${deviation}` });
          expectClose(y.data.reduce((a, b) => a + b, 0), 1, { atol: bound });
        }
      }
    });

    it("ends for geometric rows, in which the support shrinks slowly", () => {
      const x = Float32Array.from({ length: 300 }, (_, i) => -(2 ** (i / 4 - 60)));
      expectClose(sparse(x).data, reference(Float64Array.from(x)), { atol: bound });
      expectClose(sparse(x.slice().reverse()).data, reference(Float64Array.from(x)).reverse(), { atol: bound });
    });

    it("sums to 1, keeps the order, ignores a shift and commutes with a permutation", () => {
      fc.assert(
        fc.property(fc.array(fc.integer({ min: -4000, max: 4000 }), { minLength: 1, maxLength: 60 }), (list) => {
          const x = list.map((v) => v / 1024); // so that a shift by 64 is exact
          const y = sparse(x).data;
          expectClose(y.reduce((a, b) => a + b, 0), 1, { atol: bound });
          for (let i = 1; i < x.length; i++) if (x[i] >= x[i - 1]) expect(y[i]).toBeGreaterThanOrEqual(y[i - 1]);
          expectExact(sparse(x.map((v) => v + 64)).data, y);
          expectClose(sparse(x.toReversed()).data, y.slice().reverse(), { atol: bound });
        }),
        { seed },
      );
    });

    it("works along any axis, into `out` and in WebAssembly memory", () => {
      const x = tensor([[1, 5, 2], [1.5, 4.75, 1]]);
      const columns = sparse(x, { axis: 0 });
      for (let c = 0; c < 3; c++) expectClose([columns.at(0, c), columns.at(1, c)], reference(Float64Array.of(x.at(0, c), x.at(1, c))), { atol: bound });
      const out = core.alloc([2, 3]);
      const resident = core.alloc([2, 3]);
      resident.data.set(x.data);
      expect(sparse(resident, { out })).toBe(out);
      expectExact(out.data, sparse(x).data);
      expectExact(sparse(resident, { out: resident }).data, out.data);
      out.dispose();
      resident.dispose();
    });

    it("takes the limits of the temperature", () => {
      expectExact(sparse([1, 2, 1.5], { temperature: 2 ** -126 }).data, [0, 1, 0]);
      expectClose(sparse([1, 2, -INF, 1.5], { temperature: 2 ** 126 }).data, [1 / 3, 1 / 3, 0, 1 / 3], { atol: bound });
    });

    it("agrees with an independent implementation, and so does its gradient", () => {
      for (const { name, shape, x, y, upstream, grad } of fixture.cases) {
        const p = sparse(new Tensor("float32", shape, Float32Array.from(x, Number)));
        const want = y.map(Number);
        expectClose(p.data, want, { atol: bound, label: name });
        p.data.forEach((v, i) => (want[i] === 0 ? expect(v, `${name} element ${i}`).toBe(0) : want[i] > bound && expect(v, `${name} element ${i}`).toBeGreaterThan(0)));
        // The exact probabilities go in, so that only the roundings of the product remain.
        const g = sparseGrad(new Tensor("float32", shape, Float32Array.from(want)), new Tensor("float32", shape, Float32Array.from(upstream, Number)));
        expectClose(g.data, grad.map(Number), { atol: gradientBound, label: name }); // a few roundings of upstreams of up to 4
      }
    });

    it("has the gradient that central differences of the definition show, for every element", () => {
      const random = testRandom(8);
      for (const temperature of [1, 0.7]) {
        for (const cols of [1, 2, 5, 9]) {
          const x = Float64Array.from({ length: cols }, () => Math.fround(random.normal())), u = Float64Array.from({ length: cols }, () => Math.fround(random.normal()));
          const want = finiteDifferenceGradient((v) => reference(v, temperature).reduce((sum, p, i) => sum + p * u[i], 0), x, { step: 1e-5 });
          const got = sparseGrad(sparse(Float32Array.from(x), { temperature }), Float32Array.from(u), { temperature });
          expectClose(got.data, want, { atol: gradientBound, label: `${cols} columns at ${temperature}` });
        }
      }
    });

    it("has a gradient that sums to 0, works along any axis and leaves exact zeros out", () => {
      const y = sparse([[0.5, 0, -9], [0.25, 0.5, -9]]);
      const upstream = tensor([[1, 2, INF], [3, -4, NaN]]);
      const g = sparseGrad(y, upstream);
      expect(g.at(0, 2)).toBe(0);
      expect(g.at(1, 2)).toBe(0);
      expectClose(g.at(0, 0) + g.at(0, 1), 0, { atol: 1e-6 });
      const turn = (x: Tensor): Tensor => new Tensor("float32", [3, 2], Float32Array.from({ length: 6 }, (_, i) => x.at(i % 2, i >> 1)));
      expectExact(sparseGrad(turn(y), turn(upstream), { axis: 0 }), turn(g));
      expectExact(sparseGrad([NaN, NaN], [1, 2]).data, [NaN, NaN]);
      expect(sparseGrad(new Tensor("float32", [0, 3], new Float32Array(0)), new Tensor("float32", [0, 3], new Float32Array(0))).shape).toEqual([0, 3]);
    });

    it("has a gradient for more rows than fit one piece", () => {
      const random = testRandom(4);
      const x = new Tensor("float32", [400, 130], Float32Array.from({ length: 52000 }, () => random.normal()));
      const u = new Tensor("float32", [400, 130], Float32Array.from({ length: 52000 }, () => random.normal()));
      const y = sparse(x), g = sparseGrad(y, u);
      for (const r of [0, 251, 252, 399]) expectExact(g.row(r).data, sparseGrad(y.row(r), u.row(r)).data);
    });

    it("says what is wrong", () => {
      expect(() => sparse([1, 2], { temperature: 0 })).toThrow(`${name}: expected \`temperature\` in [2^-126, 2^126], got 0`);
      expect(() => sparse([])).toThrow(`${name}: expected \`x\` with elements along the axis, got shape [0]`);
      expect(() => sparse([1], { axis: 1 })).toThrow(`${name}: expected \`axis\` an integer in [-1, 1), got 1`);
      expect(() => sparseGrad([1, 0], [1])).toThrow(`${name}Grad: expected \`upstream\` of shape [2], got [1]`);
      expect(() => sparseGrad([1, 0], [1, 2], { temperature: NaN })).toThrow(`${name}Grad: expected \`temperature\` in [2^-126, 2^126], got NaN`);
      expect(() => sparseGrad([1, 0], [1, 2], { axis: 1 })).toThrow(`${name}Grad: expected \`axis\` an integer in [-1, 1), got 1`);
    });
  });
});

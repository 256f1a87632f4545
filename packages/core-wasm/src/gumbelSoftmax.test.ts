import { randomSource, Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, kernelChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/gumbelSoftmax.json" with { type: "json" };
import { core, gumbelSoftmax, gumbelSoftmaxGrad } from "./index.ts";
import { gumbelRef, gumbelSoftmaxRef } from "./gumbelSoftmax.ref.ts";
import { floatView, scratch } from "./memory.ts";
import { kernels } from "./sample.ts";
import { softmaxRef } from "./softmax.ref.ts";

const INF = Infinity;
const even = (n: number, value: number): number[] => Array<number>(n).fill(value);
const seed = 20260101;

/** The noise of one row, as the kernel makes it. */
function noise(cols: number, key: [number, number], stream: [number, number]): Float32Array {
  const at = scratch(64 + 4 * cols) + 64;
  floatView().fill(0, at >> 2, (at >> 2) + cols);
  kernels().f32_gumbel(at, at, 1, cols, ...key, ...stream, 0, at - 64);
  return floatView().slice(at >> 2, (at >> 2) + cols);
}

describe("Gumbel noise", () => {
  it("is -log(-log u) of the words of randomSource(seed, stream), of both halves of each", () => {
    for (const [high, low, streamHigh, streamLow] of [[0, 1, 0, 0], [5, 123, 0, 9], [0x1fffff, 0xffffffff, 0x1fffff, 0xffffffff]]) {
      const random = randomSource(high * 2 ** 32 + low, streamHigh * 2 ** 32 + streamLow);
      const got = noise(20011, [low, high], [streamLow, streamHigh]);
      // Two logarithms of 1.5 ULP, the first in the argument of the second: 3e-7 absolute, and roundings of the result (up to 22.9).
      got.forEach((g, i) => {
        const want = gumbelRef(random.uint32());
        expectClose(g, want, { atol: 3e-7 * Math.max(1, Math.abs(want)), label: `word ${i}` });
      });
    }
  });

  it("is the same bits in every engine and variant", () => {
    const words = new Uint32Array(noise(1000, [7, 0], [3, 0]).buffer);
    expect(words.reduce((hash, w) => Math.imul(hash ^ w, 16777619) >>> 0, 2166136261)).toMatchInlineSnapshot(`4252414374`);
  });
});

// The noise is a function of seed, stream and place, so that one row has one answer: the definition of row r needs its stream. Rows of the battery are
// told apart by calling with one row at a time.
const rowwise = (hard: boolean, temperature = 1) => (x: { shape: readonly number[]; data: ArrayLike<number> }): Tensor<"float32"> => {
  const [rows, cols] = x.shape;
  const out = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++) out.set(gumbelSoftmax(Float32Array.from(x.data).subarray(r * cols, (r + 1) * cols), { seed, hard, temperature }).data, r * cols);
  return new Tensor("float32", [rows, cols], out);
};

for (const temperature of [1, 0.5]) {
  describe(`gumbelSoftmax at temperature ${temperature}`, () => {
    it.each(
      kernelChecks({
        name: "gumbelSoftmax",
        run: rowwise(false, temperature),
        reference: (row) => gumbelSoftmaxRef(row, randomSource(seed), temperature),
        // Perturbed scores of up to 40 are rounded to 2^-24 relative and divided by T: 5e-6 absolute in the exponent at T = 1/2.
        bound: { rtol: 1e-5, atol: 1e-37 },
        special: [
          { name: "one element", row: [-3e38], want: [1] },
          { name: "one possible class", row: [-INF, -3, -INF], want: [0, 1, 0] },
          { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
          { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
          { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
          { name: "far apart", row: [3e38, -3e38, 0], want: [1, 0, 0] },
        ],
      }),
    )("$name", ({ run }) => run());
  });
}

describe("hard gumbelSoftmax", () => {
  const oneHot = (row: Float64Array): Float64Array => {
    const y = gumbelSoftmaxRef(row, randomSource(seed));
    return y.map((_, c) => (c === y.indexOf(Math.max(...y)) ? 1 : 0));
  };
  it.each(
    kernelChecks({
      name: "gumbelSoftmax, hard",
      run: rowwise(true),
      reference: oneHot,
      bound: { atol: 0 }, // exactly one-hot; no two perturbed scores of this seed are within rounding
      special: [
        { name: "one element", row: [-3e38], want: [1] },
        { name: "one possible class", row: [-INF, -3, -INF], want: [0, 1, 0] },
        { name: "ties that noise cannot break", row: [3e38, 3e38, 0], want: [1, 0, 0] },
        { name: "nothing possible", row: even(5, -INF), want: even(5, NaN) },
        { name: "+Infinity", row: [0, INF, -INF, 1, 2], want: even(5, NaN) },
        { name: "+Infinity alone", row: [INF], want: [NaN] },
        { name: "NaN beside -Infinity", row: [-INF, NaN, -INF], want: even(3, NaN) },
      ],
    }),
  )("$name", ({ run }) => run());

  it("is drawn from softmax: chi-square of 200,000 draws, at any temperature [paper:gumbel-softmax-flow-matching-with-straight-through-guidance-for]", () => {
    const row = [0, 1, -1, 2, 0.5, -2, 1.5, -INF];
    const p = softmaxRef(Float64Array.from(row));
    const draws = 200000;
    for (const temperature of [1, 0.1]) {
      const x = new Tensor("float32", [draws, row.length], Float32Array.from({ length: draws * row.length }, (_, i) => row[i % row.length]));
      const y = gumbelSoftmax(x, { seed, stream: 1000, temperature, hard: true }).data;
      const counts = p.map((_, c) => y.reduce((sum, v, i) => (i % row.length === c ? sum + v : sum), 0));
      expect(counts[7]).toBe(0);
      const chi2 = [...counts.subarray(0, 7)].reduce((sum, n, c) => sum + (n - draws * p[c]) ** 2 / (draws * p[c]), 0);
      expect(chi2).toBeLessThan(22.46); // 99.9 % point of chi-square with 6 degrees of freedom
    }
  });
});

describe("gumbelSoftmax", () => {
  it("gives a row that does not depend on its batch, and another row for another stream or seed", () => {
    const random = testRandom(1);
    const x = new Tensor("float32", [3000, 33], Float32Array.from({ length: 99000 }, () => random.normal()));
    const hard = gumbelSoftmax(x, { seed, stream: 5, hard: true }), soft = gumbelSoftmax(x, { seed, stream: 5 });
    for (const r of [0, 1, 1985, 1986, 2999]) {
      expectExact(gumbelSoftmax(x.row(r), { seed, stream: 5 + r, hard: true }).data, hard.row(r).data);
      expectClose(soft.row(r).data, gumbelSoftmaxRef(Float64Array.from(x.row(r).data), randomSource(seed, 5 + r)), { rtol: 1e-5 });
    }
    expect([...gumbelSoftmax(x.row(0), { seed, stream: 6 }).data]).not.toEqual([...soft.row(0).data]);
    expect([...gumbelSoftmax(x.row(0), { seed: seed + 1, stream: 5 }).data]).not.toEqual([...soft.row(0).data]);
    expectExact(gumbelSoftmax(x, { seed, stream: 2 ** 32 - 1, hard: true }).row(1).data, gumbelSoftmax(x.row(1), { seed, stream: 2 ** 32, hard: true }).data);
  });

  it("tends to one-hot as T falls and to uniform as T grows [paper:gumbel-softmax-flow-matching-with-straight-through-guidance-for]", () => {
    const x = [0.3, 1, -2, 0, 0.7];
    expectExact(gumbelSoftmax(x, { seed, temperature: 1e-6 }).data, gumbelSoftmax(x, { seed, hard: true }).data);
    expectClose(gumbelSoftmax(x, { seed, temperature: 1e6 }).data, even(5, 0.2), { atol: 1e-5 }); // |x + g| / T is about 1e-5
  });

  it("is softmax of perturbed scores as torch computes it, and so is the straight-through gradient [paper:gumbel-softmax-flow-matching-with-straight-through-guidance-for]", () => {
    for (const { name, shape, temperature, logits, noise: g, soft, hard, upstream, grad } of fixture.cases) {
      const cols = shape[1];
      for (let r = 0; r < shape[0]; r++) {
        const want = soft.slice(r * cols, (r + 1) * cols);
        expectClose(softmaxRef(Float64Array.from(want, (_, c) => logits[r * cols + c] + g[r * cols + c]), temperature), want, { rtol: 1e-12, label: name }); // float64 on both sides
        expect(want.indexOf(Math.max(...want)), name).toBe(hard[r]);
      }
      const got = gumbelSoftmaxGrad(new Tensor("float32", shape, Float32Array.from(soft)), new Tensor("float32", shape, Float32Array.from(upstream)), { temperature });
      expectClose(got.data, grad, { atol: 2e-6, label: name }); // roundings of upstreams of up to 4 over T
    }
  });

  it("has the gradient of central differences, for every element", () => {
    const random = testRandom(8);
    for (const temperature of [1, 0.5]) {
      for (const cols of [1, 2, 5, 9]) {
        const x = Float64Array.from({ length: cols }, () => Math.fround(random.normal())), u = Float64Array.from({ length: cols }, () => Math.fround(random.normal()));
        const want = finiteDifferenceGradient((v) => gumbelSoftmaxRef(v, randomSource(seed), temperature).reduce((sum, p, i) => sum + p * u[i], 0), x, { step: 1e-5 });
        const got = gumbelSoftmaxGrad(gumbelSoftmax(Float32Array.from(x), { seed, temperature }), Float32Array.from(u), { temperature });
        expectClose(got.data, want, { atol: 5e-6, label: `${cols} columns at ${temperature}` }); // the bound of the sample times upstreams over T
      }
    }
  });

  it("leaves exact zeros and their upstream out of the gradient, keeps NaN", () => {
    expectExact(gumbelSoftmaxGrad([0.5, 0.5, 0], [1, 0, INF]).data, [0.25, -0.25, 0]);
    expectExact(gumbelSoftmaxGrad([NaN, NaN], [1, 2]).data, [NaN, NaN]);
    expectExact(gumbelSoftmaxGrad([[0.5], [0.5]], [[1], [0]], { axis: 0 }).data, [0.25, -0.25]);
  });

  it("works along any axis, into `out` and in WebAssembly memory", () => {
    const x = tensor([[1, 5, 2], [1.5, 4.75, 1]]);
    const turned = tensor([[1, 1.5], [5, 4.75], [2, 1]]);
    for (const hard of [false, true]) {
      const columns = gumbelSoftmax(x, { seed, hard, axis: 0 }), rows = gumbelSoftmax(turned, { seed, hard });
      for (let c = 0; c < 3; c++) expectExact([columns.at(0, c), columns.at(1, c)], rows.row(c).data);
      const resident = core.alloc([2, 3]), out = core.alloc([2, 3]);
      resident.data.set(x.data);
      expect(gumbelSoftmax(resident, { seed, hard, out })).toBe(out);
      expectExact(resident.data, x.data);
      expectExact(out.data, gumbelSoftmax(x, { seed, hard }).data);
      resident.dispose();
      out.dispose();
    }
  });

  it("says what is wrong", () => {
    expect(() => gumbelSoftmax([1, 2], { seed: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmax: expected \`seed\` an integer in [0, 2^53), got -1]`);
    expect(() => gumbelSoftmax([1, 2], {} as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmax: expected \`seed\` an integer in [0, 2^53), got undefined]`);
    expect(() => gumbelSoftmax([1, 2], { seed: 1, stream: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmax: expected \`stream\` an integer in [0, 2^53), got 0.5]`);
    expect(() => gumbelSoftmax([1, 2], { seed: 1, temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmax: expected \`temperature\` in [2^-126, 2^126], got 0]`);
    expect(() => gumbelSoftmax([], { seed: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmax: expected \`x\` with elements along the axis, got shape [0]]`);
    expect(() => gumbelSoftmaxGrad([1, 0], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmaxGrad: expected \`upstream\` of shape [2], got [1]]`);
    expect(() => gumbelSoftmaxGrad([1, 0], [1, 2], { temperature: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: gumbelSoftmaxGrad: expected \`temperature\` in [2^-126, 2^126], got -1]`);
  });
});

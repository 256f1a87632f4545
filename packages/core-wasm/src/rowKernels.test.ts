import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, guarded, guardedInput, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entropyRef } from "./entropy.ref.ts";
import entropyFixture from "./fixtures/entropy.json" with { type: "json" };
import logSoftmaxFixture from "./fixtures/logSoftmax.json" with { type: "json" };
import logSumExpFixture from "./fixtures/logSumExp.json" with { type: "json" };
import softmaxFixture from "./fixtures/softmax.json" with { type: "json" };
import { argmax, core, entropy, entropyGrad, logSoftmax, logSoftmaxGrad, logSumExpGrad, max, softmax, softmaxGrad, sum } from "./index.ts";
import { kernels } from "./rowKernels.ts";
import { logSoftmaxRef, logSumExpRef, softmaxRef } from "./softmax.ref.ts";

const INF = Infinity;
const U = 2 ** -24;
const PAYLOADS = [0x7fc00000, 0x7fc00001, 0x7f800001, 0xffc12345, 0xff800001];
const total = (row: Float64Array): number => row.reduce((a, b) => a + b, 0);

describe("sum", () => {
  it.each(kernelChecks({
    name: "sum",
    run: (x) => sum(x),
    reference: total,
    bound: (row) => ({ atol: 70 * U * row.reduce((a, b) => a + Math.abs(b), 0) }),
    special: [
      { name: "infinity", row: [1, INF, 2, 3, 4], want: INF },
      { name: "-Infinity", row: [-INF, 1], want: -INF },
      { name: "both infinities", row: [-INF, 1, 2, 3, 4, 5, INF], want: NaN },
      { name: "cancelling", row: [3, -3, 1, -1], want: 0 },
      { name: "NaN", row: [1, 2, 3, 4, NaN], want: NaN },
    ],
  }))("$name", ({ run }) => run());

  it("stays within its bound over long rows: equal, growing and alternating elements", () => {
    for (const n of [1023, 1024, 1025, 5000, 151936, 1_000_003]) {
      for (const f of [() => 0.1, (i: number) => i, (i: number) => (i % 2 ? 1 : -1) * (1 + i / n), (i: number) => (i === 0 ? 2 ** 24 : 1)]) {
        const x = Float32Array.from({ length: n }, (_, i) => f(i));
        const exact = Float64Array.from(x);
        expectClose(sum(x).item(), total(exact), { atol: 70 * U * exact.reduce((a, b) => a + Math.abs(b), 0), label: `${n} elements` });
      }
    }
  });
});

describe("max", () => {
  it.each(kernelChecks({
    name: "max",
    run: (x) => max(x),
    reference: (row) => row.reduce((a, b) => (a > b || a !== a ? a : b), -INF),
    bound: { ulp: 0 },
    special: [
      { name: "impossible", row: [-INF, -INF, -INF, -INF, -INF], want: -INF },
      { name: "+Infinity", row: [1, INF, 2], want: INF },
      { name: "zeros of both signs", row: [-0, 0], want: 0 },
      { name: "negative zeros", row: [-0, -0, -0, -0, -0], want: -0 },
      { name: "NaN beside +Infinity", row: [INF, NaN, 2, 3, 4, 5], want: NaN },
    ],
  }))("$name", ({ run }) => run());
});

describe("argmax", () => {
  const definition = (row: Float64Array): number => row.indexOf(Math.max(...row));
  it.each(kernelChecks({
    name: "argmax",
    run: (x) => argmax(x),
    reference: definition,
    bound: { atol: 0 },
    nan: "refused",
    generate: (random) => random.integer(5), // ties
    special: [
      { name: "impossible", row: [-INF, -INF, -INF, -INF, -INF], want: 0 },
      { name: "zeros of both signs", row: [-1, -0, 0], want: 1 },
      { name: "the last of many", row: [0, 0, 0, 0, 0, 0, 0, 0, 1], want: 8 },
      { name: "ties", row: [1, 3, 3, 3, 3, 3, 3], want: 1 },
      { name: "two infinities", row: [1, INF, INF], want: 1 },
    ],
  }))("$name", ({ run }) => run());

  it("is the index of the maximum in wide rows, along any axis, from resident scores", () => {
    const random = testRandom(4);
    const x = Float32Array.from({ length: 60 * 1030 }, () => random.integer(4000));
    const rows = argmax({ data: x, shape: [60, 1030] });
    expect(rows.dtype).toBe("int32");
    for (let r = 0; r < 60; r++) expect(rows.data[r]).toBe(definition(Float64Array.from(x.subarray(r * 1030, (r + 1) * 1030))));
    const columns = argmax({ data: x, shape: [60, 1030] }, { axis: 0 });
    expect(columns.shape).toEqual([1030]);
    for (let c = 0; c < 1030; c++) expect(columns.data[c]).toBe(definition(Float64Array.from({ length: 60 }, (_, r) => x[r * 1030 + c])));
    const resident = core.alloc([60, 1030]);
    resident.data.set(x);
    expectExact(argmax(resident), rows);
    resident.dispose();
  });
});

for (const temperature of [1, 0.5, 3]) {
  describe(`entropy at temperature ${temperature}`, () => {
    const even = (n: number): number[] => Array<number>(n).fill(2);
    it.each(kernelChecks({
      name: "entropy",
      run: (x) => entropy(x, { temperature }),
      reference: (row) => entropyRef(row, temperature),
      // Rounding of x - max and of its multiple of 1/T, up to 88 * 2^-24 each, relative in every weight and therefore in H.
      bound: { rtol: 1e-5 },
      special: [
        { name: "one element", row: [3], want: 0 },
        { name: "one possible class", row: [-INF, 3, -INF, -INF, -INF], want: 0 },
        { name: "equal", row: even(8), want: Math.fround(Math.log(8)), bound: { ulp: 1 } },
        { name: "two of three", row: [1, -INF, 1], want: Math.fround(Math.LN2), bound: { ulp: 1 } },
        { name: "far apart", row: [0, -3e38], want: 0 },
        { name: "nothing possible", row: [-INF, -INF], want: NaN },
        { name: "+Infinity", row: [0, INF], want: NaN },
        { name: "NaN", row: [0, 1, 2, 3, NaN], want: NaN },
      ],
    }))("$name", ({ run }) => run());
  });
}

describe("entropy", () => {
  it("is right to 1e-5 relative where one class dominates, which log Z - E x in float32 is not", () => {
    for (const gap of [1, 10, 17, 30, 60, 80]) {
      for (const n of [2, 5, 1000]) {
        const row = Float32Array.from({ length: n }, (_, i) => (i === 1 ? gap : i / 2000));
        expectClose(entropy(row).item(), -exactTail(row), { rtol: 1e-5, label: `gap ${gap}, ${n} classes` });
      }
    }
  });
  /** sum p log p from the weights relative to the largest, in float64, without 1 + d. */
  function exactTail(row: Float32Array): number {
    const top = Math.max(...row);
    const z = Array.from(row, (v) => v - top).filter((v) => v !== 0);
    const others = z.reduce((s, v) => s + Math.exp(v), 0);
    return z.reduce((s, v) => s + v * Math.exp(v), 0) / (1 + others) - Math.log1p(others);
  }

  it("agrees with scipy", () => {
    for (const { x, shape, y, name } of entropyFixture.cases) {
      const exact = Float64Array.from(x as (number | string)[], Number);
      expectClose(entropy({ data: Float32Array.from(exact), shape }).data, Float64Array.from(y, Number), { rtol: 1e-5, atol: 1e-15, label: name });
    }
  });

  it("does not change with the order or a shift of the scores, and lies in [0, log C]", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -600, max: 600 }), { minLength: 1, maxLength: 30 }), fc.integer(), (steps, salt) => {
      const x = steps.map((k) => k / 64);
      const h = entropy(x).item();
      expect(h).toBeGreaterThanOrEqual(0);
      expect(h).toBeLessThanOrEqual(Math.log(x.length) * (1 + 1e-6));
      expectClose(entropy(testRandom(salt).permutation(x.length).map((i) => x[i] + 512)).item(), h, { rtol: 1e-5 });
    }), { seed: 9, numRuns: 200 });
  });
});

describe("gradients", () => {
  const settings = [1, 0.5, 2.5].flatMap((temperature) => [1, 2, 3, 4, 5, 7, 8, 9, 17, 33].map((cols) => ({ temperature, cols })));
  const draw = (seed: number, n: number, deviation = 1.5): Float32Array => {
    const random = testRandom(seed);
    return Float32Array.from({ length: n }, () => deviation * random.normal());
  };
  const rows = 3;
  /** Differences of sum_r f(row r of x), weighted by upstream. */
  const differences = (x: Float32Array, cols: number, f: (row: Float64Array, r: number) => number): Float64Array =>
    finiteDifferenceGradient((point) => Array.from({ length: rows }, (_, r) => f(point.subarray(r * cols, (r + 1) * cols), r)).reduce((a, b) => a + b, 0), x);
  const dot = (u: Float32Array, from: number, y: Float64Array): number => y.reduce((s, v, i) => s + u[from + i] * v, 0);

  it.each(settings)("of all four are central differences in every element, with a random upstream: $cols columns, T = $temperature", ({ temperature, cols }) => {
    const x = draw(cols, rows * cols), u = draw(100 + cols, rows * cols), perRow = draw(200 + cols, rows);
    const shaped = { data: x, shape: [rows, cols] }, above = { data: u, shape: [rows, cols] };
    // Float32 results of size |u| C / T against differences that are right to 1e-9.
    const bound = { atol: (2e-6 * 5 * Math.max(1, cols / 8)) / temperature };
    expectClose(softmaxGrad(softmax(shaped, { temperature }), above, { temperature }).data, differences(x, cols, (row, r) => dot(u, r * cols, softmaxRef(row, temperature))), { ...bound, label: "softmaxGrad" });
    expectClose(logSoftmaxGrad(logSoftmax(shaped, { temperature }), above, { temperature }).data, differences(x, cols, (row, r) => dot(u, r * cols, logSoftmaxRef(row, temperature))), { ...bound, label: "logSoftmaxGrad" });
    expectClose(logSumExpGrad(shaped, perRow, { temperature }).data, differences(x, cols, (row, r) => perRow[r] * logSumExpRef(row, temperature)), { ...bound, label: "logSumExpGrad" });
    expectClose(entropyGrad(shaped, perRow, { temperature }).data, differences(x, cols, (row, r) => perRow[r] * entropyRef(row, temperature)), { ...bound, label: "entropyGrad" });
  });

  it("agree with torch", () => {
    const values = (list: unknown): Float32Array => Float32Array.from(list as (number | string)[], Number);
    for (const [fixture, gradient, bound] of [
      [softmaxFixture, (_: Float32Array, y: Float32Array, u: Float32Array, shape: number[]) => softmaxGrad({ data: y, shape }, { data: u, shape }), { atol: 1e-6 }],
      [logSoftmaxFixture, (_: Float32Array, y: Float32Array, u: Float32Array, shape: number[]) => logSoftmaxGrad({ data: y, shape }, { data: u, shape }), { atol: 1e-5, rtol: 1e-5 }],
      [logSumExpFixture, (x: Float32Array, _: Float32Array, u: Float32Array, shape: number[]) => logSumExpGrad({ data: x, shape }, u), { atol: 1e-6 }],
    ] as const) {
      for (const { name, x, y, upstream, grad, shape } of fixture.cases) {
        if (upstream === undefined) continue;
        expectClose(gradient(values(x), values(y), values(upstream), shape).data, Float64Array.from(grad as (number | string)[], Number), { ...bound, label: name });
      }
    }
  });

  it("sum to 0 over a row (softmax, logSoftmax, entropy) or to upstream / T (logSumExp)", () => {
    const cols = 1500;
    const x = draw(1, rows * cols, 3), u = draw(2, rows * cols), perRow = draw(3, rows);
    const shaped = { data: x, shape: [rows, cols] }, above = { data: u, shape: [rows, cols] };
    const sums = (g: Tensor): number[] => Array.from({ length: rows }, (_, r) => total(Float64Array.from(g.row(r).data)));
    expectClose(sums(softmaxGrad(softmax(shaped), above)), [0, 0, 0], { atol: 1e-5 });
    expectClose(sums(logSoftmaxGrad(logSoftmax(shaped), above)), [0, 0, 0], { atol: 1e-3 });
    expectClose(sums(entropyGrad(shaped, perRow)), [0, 0, 0], { atol: 1e-5 });
    expectClose(sums(logSumExpGrad(shaped, perRow, { temperature: 2 })), Array.from(perRow, (v) => v / 2), { atol: 1e-5 });
  });

  it("take another axis, resident scores and more rows than the scratch holds", () => {
    const data = draw(5, 10000 * 3);
    const u = draw(6, 10000);
    const wide = logSumExpGrad({ data, shape: [10000, 3] }, u);
    const resident = core.alloc([10000, 3]);
    resident.data.set(data);
    expectExact(logSumExpGrad(resident, u), wide);
    expectExact(resident.data.slice(), data);
    resident.dispose();
    for (const r of [0, 4095, 4096, 9999]) expectExact(logSumExpGrad({ data: data.slice(3 * r, 3 * r + 3), shape: [1, 3] }, [u[r]]).data, wide.row(r).data.slice());
    const turned = Float32Array.from(data, (_, i) => data[(i % 10000) * 3 + Math.floor(i / 10000)]);
    const other = logSumExpGrad({ data: turned, shape: [3, 10000] }, u, { axis: 0 });
    expectExact(Float32Array.from(data, (_, i) => other.data[(i % 3) * 10000 + Math.floor(i / 3)]), wide.data);
    expect(entropyGrad([1, 2, 3], new Tensor("float32", [], Float32Array.of(1))).shape).toEqual([3]);
  });

  it("special rows", () => {
    expectExact(logSumExpGrad([[-INF, 0, -INF]], [2]).data, [0, 2, 0]);
    expectExact(entropyGrad([[-INF, 0, -INF], [1, 1, 1]], [2, 3]).data, [0, 0, 0, 0, 0, 0]);
    expectExact(softmaxGrad([[1, 0, 0]], [[5, 6, 7]]).data, [0, 0, 0]);
    expectExact(logSoftmaxGrad([[0, -INF]], [[1, 2]]).data, [-2, 2]);
    for (const row of [[-INF, -INF, -INF], [0, INF, 1], [0, NaN, 1]]) {
      expectExact(logSumExpGrad([row], [1]).data, [NaN, NaN, NaN]);
      expectExact(entropyGrad([row], [1]).data, [NaN, NaN, NaN]);
      expectExact(softmaxGrad(softmax([row]), [[1, 2, 3]]).data, [NaN, NaN, NaN]);
      expectExact(logSoftmaxGrad(logSoftmax([row]), [[1, 2, 3]]).data, [NaN, NaN, NaN]);
    }
  });

  it("a NaN of any payload in the scores makes its row NaN and no other", () => {
    for (const cols of [1, 3, 4, 5, 9]) {
      for (const payload of PAYLOADS) {
        for (let at = 0; at < 3 * cols; at++) {
          const data = draw(cols, 3 * cols);
          new Uint32Array(data.buffer)[at] = payload;
          for (const g of [logSumExpGrad, entropyGrad]) {
            const got = g({ data, shape: [3, cols] }, [1, 2, 3]).data;
            expect(got.every((v, i) => Number.isNaN(v) === (Math.floor(i / cols) === Math.floor(at / cols)))).toBe(true);
          }
        }
      }
    }
  });
});

it("the kernels stay in their arrays", () => {
  const room = core.alloc([4000]);
  const [px, pu, py] = [room.pointer + 1024, room.pointer + 5120, room.pointer + 9216];
  const { f32_sum, f32_max, f32_argmax, f32_entropy, f32_softmax_grad } = kernels();
  for (const cols of [1, 2, 3, 4, 5, 7, 16, 17, 33]) {
    for (const rows of [1, 2, 5]) {
      const random = testRandom(cols);
      const x = Float32Array.from({ length: rows * cols }, () => random.normal());
      const watch = (upstream: Float32Array, size: number, run: () => void): void => {
        const guards = [guardedInput(core.memory, px, x), guardedInput(core.memory, pu, upstream), guarded(core.memory, py, size)];
        run();
        for (const guard of guards) guard.check();
        expect(new Float32Array(core.memory.buffer, py, size).every(Number.isFinite)).toBe(true);
      };
      for (const kernel of [f32_sum, f32_max, f32_argmax]) watch(x, rows, () => kernel(px, py, rows, cols));
      watch(x.slice(0, rows), rows, () => f32_entropy(px, py, pu, rows, cols, 1, 0));
      for (const mode of [1, 2]) watch(x.slice(0, rows), rows * cols, () => f32_entropy(px, py, pu, rows, cols, 1, mode));
      for (const mode of [0, 1]) watch(x, rows * cols, () => f32_softmax_grad(px, pu, py, rows, cols, 1, mode));
    }
  }
  room.dispose();
});

it("messages", () => {
  expect(() => argmax([[1, 2], [NaN, 1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: argmax: expected \`x\` without NaN, got NaN in row 1]`);
  expect(() => argmax([[1, NaN], [0, 1]], { axis: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: argmax: expected \`x\` without NaN, got NaN in row 1]`);
  expect(() => argmax([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: argmax: expected \`x\` with elements along the axis, got shape [0]]`);
  expect(() => sum({ data: new Float32Array(0), shape: [2, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sum: expected \`x\` with elements along the axis, got shape [2, 0]]`);
  expect(() => max([1, 2], { axis: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: max: expected \`axis\` an integer in [-1, 1), got 1]`);
  expect(() => sum([[1, 2]], { out: new Tensor("float32", [2], new Float32Array(2)) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sum: expected \`out\` float32 of shape [1], got float32 of shape [2]]`);
  expect(() => entropy([1], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: entropy: expected \`temperature\` in [2^-126, 2^126], got 0]`);
  expect(() => entropyGrad([[1, 2]], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: entropyGrad: expected \`upstream\` of shape [1], got [2]]`);
  expect(() => logSumExpGrad([1, 2], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExpGrad: expected \`upstream\` of shape [], got [2]]`);
  expect(() => logSumExpGrad([[1, 2]], [1], { temperature: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logSumExpGrad: expected \`temperature\` in [2^-126, 2^126], got -1]`);
  expect(() => softmaxGrad([1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmaxGrad: expected \`upstream\` of shape [2], got [1]]`);
  expect(() => softmaxGrad([1, 2], [1, 2], { temperature: INF })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmaxGrad: expected \`temperature\` in [2^-126, 2^126], got Infinity]`);
  expect(() => logSoftmaxGrad("no" as never, [1])).toThrowErrorMatchingInlineSnapshot(`[TypeError: logSoftmaxGrad: expected \`logProbabilities\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
});

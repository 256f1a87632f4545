import { core } from "@logits/core-wasm";
import { Tensor, type CsrMatrix } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { crossEntropy } from "../classification/index.ts";
import { linearCrossEntropyRef } from "./linearCrossEntropy.ref.ts";
import { linearCrossEntropy, linearSoftCrossEntropy, linearStatistics, type LinearCrossEntropyOptions } from "./linearCrossEntropy.ts";

const random = testRandom(8);
const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * random.normal());
const grads = [{ argument: 0, read: (r: any) => r.grads.hidden }, { argument: 1, read: (r: any) => r.grads.weights }];
const layer = (rows: number, width: number, words: number): LossArgument[] => [{ dtype: "float32", shape: [rows, width], data: normals(rows * width) }, { dtype: "float32", shape: [words, width], data: normals(words * width) }];

describe("linearCrossEntropy", () => {
  const bias = Float32Array.from(normals(9), (b, v) => (v === 7 ? -Infinity : b));
  const cases = ([["plain", 5, 3, 9, {}], ["one word", 3, 2, 1, {}], ["many words", 4, 2, 70, {}], ["bias and cap", 5, 3, 9, { bias, softCap: 2 }], ["smoothing and z-loss", 5, 3, 9, { bias, labelSmoothing: 0.2, zLoss: 0.05 }], ["everything but weights", 5, 3, 9, { bias, labelSmoothing: 0.1, zLoss: 0.02, softCap: 4 }]] as const)
    .map(([name, rows, width, words, options]) => ({ name, arguments: [...layer(rows, width, words), { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, () => random.integer(Math.min(words, 7))) }] as LossArgument[], options }));
  const checks = lossChecks({
    name: "linearCrossEntropy", loss: linearCrossEntropy, cases, differentiable: grads, shared: [1], labels: { argument: 2, classes: 9 },
    reference: ([x, w, [y]], options) => linearCrossEntropyRef(x, w, (v) => Number(v === y), options),
    // Logits of up to 3 products, of about 5 in size (1e4 in size where predictions are 1e4: z-loss squares them).
    bound: { atol: 2e-6, rtol: 1e-6 }, gradientBound: { atol: 5e-6, rtol: 1e-6 }, extreme: 100,
  }).filter(({ name }) => /^(plain|bias and cap)/.test(name) || !/label|ignoreIndex/.test(name));
  it.each(checks)("[paper:cut-your-losses-in-large-vocabulary-language-models] $name", ({ run }) => run());

  it("is finite where logits are 1e8 apart", () => {
    const { loss, grads: { hidden, weights } } = linearCrossEntropy.withGrad([[1e4, -1e4]], [[1e4, 0], [0, 1e4]], [1]);
    expectClose(loss.item(), 2e8, { rtol: 1e-7 });
    expectExact(hidden.data, [1e4, -1e4]);
    expectExact(weights.data, [1e4, -1e4, -1e4, 1e4]);
  });

  it("equals crossEntropy of its logits, with every option that both have", () => {
    const [rows, width, words] = [11, 6, 40], x = normals(rows * width), w = normals(words * width), b = Float32Array.from(normals(words), (v, i) => (i === 3 ? -Infinity : v)), y = Int32Array.from({ length: rows }, (_, i) => (i === 4 ? -100 : 4 + random.integer(36)));
    const z = Float32Array.from({ length: rows * words }, (_, i) => { let sum = b[i % words]; for (let f = 0; f < width; f++) sum += x[Math.floor(i / words) * width + f] * w[(i % words) * width + f]; return sum; });
    const weight = Float32Array.from({ length: rows }, () => random.uniform()), where = Uint8Array.from({ length: rows }, (_, i) => Number(i !== 6)), classWeight = Float32Array.from({ length: words }, (_, c) => (c === 9 ? 0 : 0.1 + random.uniform()));
    for (const own of [{}, { labelSmoothing: 0.1 }, { zLoss: 0.01 }, { softCap: 3 }, { classWeight }, { classWeight, labelSmoothing: 0.1, zLoss: 0.01, softCap: 3 }]) {
      for (const reduction of ["mean", "sum", "none"] as const) {
        const options = { ...own, reduction, weight, where, ignoreIndex: -100 }, got = linearCrossEntropy.withGrad({ data: x, shape: [rows, width] }, { data: w, shape: [words, width] }, y, { ...options, bias: b }), want = crossEntropy.withGrad({ data: z, shape: [rows, words] }, y, options);
        // Logits of 6 products and about 5 in size: their rounding is 1e-6.
        expectClose(got.loss, want.loss, { atol: 1e-5, rtol: 1e-6 });
        const sums = Float64Array.from({ length: words }, (_, v) => { let sum = 0; for (let i = 0; i < rows; i++) sum += want.grad.data[i * words + v]; return sum; });
        expectClose(got.grads.bias!.data, sums, { atol: 1e-5, label: JSON.stringify([Object.keys(own), reduction]) });
        expectClose(got.grads.hidden.data, x.map((_, i) => { let sum = 0; for (let v = 0; v < words; v++) sum += want.grad.data[Math.floor(i / width) * words + v] * w[v * width + (i % width)]; return sum; }), { atol: 2e-5 });
      }
    }
  });

  it("takes sparse rows, and gives the gradient of their elements", () => {
    const csr: CsrMatrix = { shape: [3, 4], indptr: Int32Array.of(0, 2, 2, 5), indices: Int32Array.of(3, 0, 1, 1, 2), data: Float32Array.of(1, -2, 3, 0.5, 1) }, dense = [[-2, 0, 0, 1], [0, 0, 0, 0], [0, 3.5, 1, 0]], w = normals(20), weights = { data: w, shape: [5, 4] };
    const got = linearCrossEntropy.withGrad(csr, weights, [1, 2, 3]), want = linearCrossEntropy.withGrad(dense, weights, [1, 2, 3]);
    expectClose(got.loss, want.loss, { atol: 1e-6 });
    expectClose(got.grads.weights, want.grads.weights, { atol: 1e-6 });
    expectClose(got.grads.hidden, [3, 0, 9, 9, 10].map((i) => want.grads.hidden.data[i]), { atol: 1e-6 });
  });

  it("takes [B, T, D], resident or not", () => {
    const x = normals(24), w = normals(15), weights = { data: w, shape: [5, 3] }, labels = { data: Int32Array.of(0, 1, 2, 3, 4, 0, 1, 2), dims: [2, 4] }, flat = linearCrossEntropy.withGrad({ data: x, shape: [8, 3] }, weights, labels.data, { reduction: "none" });
    const resident = core.alloc([2, 4, 3]);
    resident.data.set(x);
    for (const hidden of [resident, { data: x, shape: [2, 4, 3] }]) {
      const { loss, grads: g, statistics } = linearCrossEntropy.withGrad(hidden, weights, labels, { reduction: "none", topK: 2 });
      expect([loss.shape, g.hidden.shape, statistics.topIndices.shape]).toEqual([[2, 4], [2, 4, 3], [2, 4, 2]]);
      expectExact(loss.data, flat.loss.data);
      expectExact(g.hidden.data, flat.grads.hidden.data);
    }
    resident.dispose();
  });

  it("knows entropy, likeliest words, the label's log-probability and accuracy of the same pass", () => {
    const x = normals(12), w = normals(40), labels = Int32Array.of(3, -1, 0, 9), options = { topK: 3, ignoreIndex: -1 }, hidden = { data: x, shape: [4, 3] }, weights = { data: w.slice(0, 30), shape: [10, 3] };
    const { statistics } = linearCrossEntropy.withGrad(hidden, weights, labels, options), alone = linearStatistics(hidden, weights, labels, options);
    let right = 0;
    for (const i of [0, 2, 3]) {
      const z = Float64Array.from({ length: 10 }, (_, v) => x[3 * i] * w[3 * v] + x[3 * i + 1] * w[3 * v + 1] + x[3 * i + 2] * w[3 * v + 2]), L = Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0)), order = Array.from(z.keys()).sort((a, b) => z[b] - z[a]);
      right += Number(order[0] === labels[i]);
      expectClose([statistics.logSumExp.data[i], statistics.labelLogProb.data[i], statistics.entropy.data[i]], [L, z[labels[i]] - L, -z.reduce((sum, value) => sum + Math.exp(value - L) * (value - L), 0)], { atol: 2e-6 });
      expectClose(statistics.topLogProbs.row(i).data, order.slice(0, 3).map((v) => z[v] - L), { atol: 2e-6 });
      expectExact(statistics.topIndices.row(i).data, order.slice(0, 3));
      expect(statistics.argmax.data[i]).toBe(order[0]);
    }
    expect(statistics.accuracy).toBe(right / 3);
    expect([statistics.argmax.data[1], statistics.entropy.data[1], statistics.topIndices.data[3]]).toEqual([-1, 0, -1]);
    for (const name of ["logSumExp", "entropy", "labelLogProb", "argmax", "topLogProbs", "topIndices"] as const) expectExact(alone[name], { shape: statistics[name].shape, data: Float64Array.from(statistics[name].data) });
    expect(linearStatistics(hidden, weights, [0, 0, 0, 0], { where: [0, 0, 0, 0] }).accuracy).toBe(0);
    expect(() => linearStatistics(hidden, weights, [0, 0, 0, 0], { labelSmoothing: 0.1 } as object)).toThrowErrorMatchingInlineSnapshot(`[TypeError: linearStatistics: expected \`options\` with names among [bias, ignoreIndex, softCap, topK, where], got labelSmoothing]`);
  });

  it("keeps the bound of `skip` that its description states", () => {
    const [rows, width, words] = [12, 8, 900], x = normals(rows * width), w = normals(words * width, 1.5), hidden = { data: x, shape: [rows, width] }, weights = { data: w, shape: [words, width] }, y = Int32Array.from({ length: rows }, () => random.integer(words));
    const norm = (data: Float32Array, i: number): number => Math.hypot(...data.subarray(i * width, (i + 1) * width));
    for (const skip of [2 ** -12, 0.01]) {
      for (const own of [{}, { labelSmoothing: 0.05 }]) {
        const exact = linearCrossEntropy.withGrad(hidden, weights, y, own).grads, got = linearCrossEntropy.withGrad(hidden, weights, y, { ...own, skip }).grads, s = skip + ("labelSmoothing" in own ? 0.05 / words : 0), out: number[] = [];
        for (let v = 0; v < words; v++) {
          if (got.weights.row(v).data.every((g) => g === 0)) out.push(v);
          const error = Math.hypot(...got.weights.row(v).data.map((g, f) => g - exact.weights.row(v).data[f]));
          expect(error).toBeLessThanOrEqual((s * 1.0001 * Array.from({ length: rows }, (_, i) => norm(x, i)).reduce((a, c) => a + c, 0)) / rows + 1e-6);
        }
        expect(out.length).toBeGreaterThan(words / 20);
        const reach = out.reduce((sum, v) => sum + norm(w, v), 0);
        for (let i = 0; i < rows; i++) expect(Math.hypot(...got.hidden.row(i).data.map((g, f) => g - exact.hidden.row(i).data[f]))).toBeLessThanOrEqual((s * 1.0001 * reach) / rows + 1e-6);
      }
    }
  });

  it("refuses what does not fit", () => {
    const say = (run: () => unknown): string => { try { run(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } return "nothing"; };
    const w = [[1, 2], [3, 4]], x = [[1, 2]], of = (options: LinearCrossEntropyOptions): string => say(() => linearCrossEntropy(x, w, [0], options));
    expect([
      say(() => linearCrossEntropy([[1, 2, 3]], w, [0])), say(() => linearCrossEntropy([1, 2, 3], w, [0])), say(() => linearCrossEntropy(x, [1, 2], [0])), say(() => linearCrossEntropy(x, new Tensor("float32", [0, 2], new Float32Array(0)), [0])), say(() => linearCrossEntropy(x, w, [0, 1])),
      say(() => linearCrossEntropy.withGrad(x, w, [2])), say(() => linearSoftCrossEntropy(x, w, [[1, 2, 3]])), of({ bias: [1] }), of({ labelSmoothing: 1 }), of({ classWeight: [1, -1] }), of({ zLoss: -1 }), of({ softCap: 0 }), of({ skip: NaN }), of({ topK: 3 }),
    ].join("\n")).toMatchInlineSnapshot(`
      "RangeError: linearCrossEntropy: expected \`hidden\` of shape [..., 2], got [1, 3]
      RangeError: linearCrossEntropy: expected \`hidden\` of shape [..., 2], got [3]
      RangeError: linearCrossEntropy: expected \`weights\` of shape [V, D], got [2]
      RangeError: linearCrossEntropy: expected \`weights\` with at least one word, got shape [0, 2]
      RangeError: linearCrossEntropy: expected \`labels\` of shape [1], got [2]
      RangeError: linearCrossEntropy.withGrad: expected \`labels\` in [0, 2), got 2 at index 0
      RangeError: linearSoftCrossEntropy: expected \`targets\` of shape [1, 2], got [1, 3]
      RangeError: linearCrossEntropy: expected \`bias\` of shape [2], got [1]
      RangeError: linearCrossEntropy: expected \`labelSmoothing\` in [0, 0.9999999403953552], got 1
      RangeError: linearCrossEntropy: expected \`classWeight\` finite and not negative, got -1 at index 1
      RangeError: linearCrossEntropy: expected \`zLoss\` a finite number >= 0, got -1
      RangeError: linearCrossEntropy: expected \`softCap\` a finite number > 0, got 0
      RangeError: linearCrossEntropy: expected \`skip\` a finite number >= 0, got NaN
      RangeError: linearCrossEntropy: expected \`topK\` an integer in [0, 2], got 3"
    `);
  });
});

describe("linearSoftCrossEntropy", () => {
  const target = (rows: number, words: number): LossArgument => ({ dtype: "float32", shape: [rows, words], data: Float32Array.from({ length: rows * words }, () => (random.uniform() < 0.4 ? 0 : random.uniform())) });
  const cases = ([["plain", 4, 3, 7, {}], ["everything", 4, 3, 7, { bias: normals(7), labelSmoothing: 0.1, classWeight: Float32Array.of(1, 2, 0, 1, 0.5, 1, 3), zLoss: 0.02, softCap: 4 }]] as const).map(([name, rows, width, words, options]) => ({ name, arguments: [...layer(rows, width, words), target(rows, words)], options }));
  it.each(lossChecks({
    name: "linearSoftCrossEntropy", loss: linearSoftCrossEntropy, cases, differentiable: grads, shared: [1], reference: ([x, w, t], options) => linearCrossEntropyRef(x, w, (v) => t[v], options),
    // Targets of a row weigh up to 10 together.
    bound: { atol: 1e-5, rtol: 1e-6 }, gradientBound: { atol: 2e-5, rtol: 1e-6 }, extreme: 100,
  }))("$name", ({ run }) => run());

  it("takes sparse targets, and one-hot ones are labels", () => {
    const [x, w] = layer(3, 4, 6) as [LossArgument, LossArgument], csr: CsrMatrix = { shape: [3, 6], indptr: Int32Array.of(0, 1, 2, 3), indices: Int32Array.of(5, 0, 2), data: Float32Array.of(1, 1, 1) };
    const got = linearSoftCrossEntropy.withGrad(x, w, csr, { labelSmoothing: 0.1 }), want = linearCrossEntropy.withGrad(x, w, [5, 0, 2], { labelSmoothing: 0.1 });
    expectExact(got.loss.data, want.loss.data);
    expectExact(got.grads.weights.data, want.grads.weights.data);
  });

  it("has the gradient of the bias", () => {
    const [x, w] = layer(3, 4, 6), t = target(3, 6), bias = Float64Array.from(normals(6)), value = (b: Float64Array): number => linearCrossEntropyRef(x.data.subarray(0, 4), w.data, (v) => t.data[v], { bias: b as never });
    expectClose(linearSoftCrossEntropy.withGrad({ ...x, shape: [1, 4], data: x.data.slice(0, 4) } as never, w as never, { dtype: "float32", shape: [1, 6], data: t.data.slice(0, 6) } as never, { bias: Float32Array.from(bias) }).grads.bias!.data, finiteDifferenceGradient(value, Float64Array.from(Float32Array.from(bias))), { atol: 1e-5 });
  });
});

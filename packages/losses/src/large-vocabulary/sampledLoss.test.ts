import { core } from "@logits/core-wasm";
import { randomSource } from "@logits/tensor";
import { chiSquareSurvival } from "@logits/statistics";
import { expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { crossEntropy } from "../classification/index.ts";
import { blackOutLoss, countNoise, denseRows, estimateLogPartition, importanceSampledLoss, linearCrossEntropy, logUniformNoise, memoryBankLoss, nceLoss, sampleNegatives, sampledBinaryLoss, sampledSoftmaxLoss, samplingCorrection, type Negatives, type SampledLoss } from "./index.ts";
import { sampledRefs } from "./sampledLoss.ref.ts";

const random = testRandom(21);
const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * random.normal());
const words = 12, width = 3, rows = 5;
const noise = countNoise(Float32Array.from({ length: words }, (_, v) => v + 1), 0.75);
const negatives = sampleNegatives(noise, 6, randomSource(5)), different = sampleNegatives(noise, 7, randomSource(6), { unique: true });
const bias = normals(words);
const make = (): LossArgument[] => [{ dtype: "float32", shape: [rows, width], data: normals(rows * width) }, { dtype: "float32", shape: [words, width], data: normals(words * width) }, { dtype: "int32", shape: [rows], data: Int32Array.from({ length: rows }, (_, i) => (i < 2 ? negatives.indices[i] : random.integer(words))) }];
const grads = [{ argument: 0, read: (r: any) => r.grads.hidden }, { argument: 1, read: (r: any) => denseRows(r.grads.weights) }];

/** Logits of the label and the samples by the definition, with or without correction and hits. */
function logitsOf([x, w, [y]]: readonly Float64Array[], options: { negatives: Negatives; bias?: Float32Array }, correct: boolean, dropHits: boolean, shift = 0): [number, number[]] {
  const z = (v: number): number => Array.from(x).reduce((sum, value, d) => sum + value * w[v * width + d], (options.bias ? options.bias[v] : 0) - (correct ? options.negatives.logExpected(v) : 0) - shift);
  return [z(y), [...options.negatives.indices].filter((v) => !(dropHits && v === y)).map(z)];
}

const SPECS: readonly [string, SampledLoss<any>, object, (row: readonly Float64Array[], options: any) => number][] = [
  ["sampledSoftmaxLoss", sampledSoftmaxLoss, {}, (row, o) => sampledRefs.softmax(logitsOf(row, o, true, o.removeHits ?? true))],
  ["sampledSoftmaxLoss with hits", sampledSoftmaxLoss, { removeHits: false }, (row, o) => sampledRefs.softmax(logitsOf(row, o, true, false))],
  ["importanceSampledLoss", importanceSampledLoss, {}, (row, o) => sampledRefs.importance(logitsOf(row, o, true, false), logitsOf(row, o, false, false)[0])],
  ["nceLoss", nceLoss, {}, (row, o) => sampledRefs.nce(logitsOf(row, o, true, false))],
  ["nceLoss with a partition", nceLoss, { logPartition: 1.5 }, (row, o) => sampledRefs.nce(logitsOf(row, o, true, false, 1.5))],
  ["sampledBinaryLoss", sampledBinaryLoss, {}, (row, o) => sampledRefs.binary(logitsOf(row, o, false, false), [...o.negatives.indices].map(() => 1))],
  ["sampledBinaryLoss by importance", sampledBinaryLoss, { criterion: "importance" }, (row, o) => sampledRefs.binary(logitsOf(row, o, false, false), [...o.negatives.indices].map((v: number) => Math.exp(-o.negatives.logExpected(v))))],
  ["sampledBinaryLoss, compensated", sampledBinaryLoss, { criterion: "compensated" }, (row, o) => sampledRefs.binary(logitsOf(row, o, false, false), [...o.negatives.indices].map(() => words / o.negatives.indices.length))],
  ["blackOutLoss", blackOutLoss, {}, (row, o) => sampledRefs.blackOut(logitsOf(row, o, true, true))],
];

describe.each(SPECS)("%s", (name, loss, own, reference) => {
  it.each(lossChecks({
    name, loss, reference, differentiable: grads, shared: [1], labels: { argument: 2, classes: words },
    cases: [{ name: "words that may repeat", arguments: make(), options: { ...own, negatives } }, { name: "different words, bias", arguments: make(), options: { ...own, negatives: different, bias } }],
    // Logits of 3 products; products of the gradient over 7 samples.
    bound: { atol: 5e-6, rtol: 1e-6 }, gradientBound: { atol: 1e-5, rtol: 1e-6 }, extreme: /black/.test(name) ? false : 30,
  }))("[paper:on-sampling-based-training-criteria-for-neural-language-modeling] $name", ({ run }) => run());
});

describe("sampled losses", () => {
  const [x, w, y] = make() as [any, any, any];

  it("have the gradient of the bias", () => {
    for (const [, loss, own, reference] of SPECS) {
      const options = { ...own, negatives }, value = (b: Float64Array): number => Array.from(y.data as Int32Array, (label, i) => reference([Float64Array.from(x.data.subarray(i * width, (i + 1) * width)), Float64Array.from(w.data), Float64Array.of(label)], { ...options, bias: b })).reduce((a, c) => a + c, 0);
      expectClose(loss.withGrad(x, w, y, { ...options, bias, reduction: "sum" }).grads.bias!.data, finiteDifferenceGradient(value, Float64Array.from(bias)), { atol: 1e-5 });
    }
  });

  it("[paper:on-sampling-based-training-criteria-for-neural-language-modeling] are cross-entropy where every word is drawn once", () => {
    const all = sampleNegatives(noise, words, randomSource(2), { unique: true }), want = linearCrossEntropy.withGrad(x, w, y);
    for (const loss of [sampledSoftmaxLoss, importanceSampledLoss]) {
      const got = loss.withGrad(x, w, y, { negatives: all });
      expectClose(got.loss, want.loss, { atol: 2e-6 });
      expectClose(got.grads.hidden, want.grads.hidden, { atol: 2e-6 });
      expectClose(denseRows(got.grads.weights), want.grads.weights, { atol: 2e-6 });
    }
  });

  it("[paper:on-sampling-based-training-criteria-for-neural-language-modeling] importance sampling has the mean Z, and the binary criteria have the sums that they promise", () => {
    // Every outcome of two draws, weighed by its probability: expectations without an error of simulation.
    const row = [Float64Array.from(x.data.subarray(0, width)), Float64Array.from(w.data)], z = (v: number): number => row[0].reduce((sum, value, d) => sum + value * row[1][v * width + d], 0);
    let partition = 0;
    const sums = { monteCarlo: 0, importance: 0, compensated: 0 };
    for (let a = 0; a < words; a++) {
      for (let b = 0; b < words; b++) {
        const chance = Math.exp(noise.logProbability(a) + noise.logProbability(b)), two = { indices: Int32Array.of(a, b), words, logExpected: (v: number) => Math.log(2) + noise.logProbability(v) };
        const at = (loss: SampledLoss<any>, options = {}): number => loss([Array.from(row[0])], w, [0], { ...options, negatives: two }).item();
        partition += chance * Math.exp(at(importanceSampledLoss) + z(0));
        for (const criterion of ["monteCarlo", "importance", "compensated"] as const) sums[criterion] += chance * (at(sampledBinaryLoss, { criterion }) - Math.log1p(Math.exp(-z(0))));
      }
    }
    const every = Array.from({ length: words }, (_, v) => v), full = (factor: (v: number) => number): number => every.reduce((sum, v) => sum + factor(v) * Math.log1p(Math.exp(z(v))), 0);
    // 144 losses, each rounded to float32: 1e-6.
    expectClose(partition, every.reduce((sum, v) => sum + Math.exp(z(v)), 0), { rtol: 3e-6 });
    expectClose(sums.monteCarlo, full((v) => 2 * Math.exp(noise.logProbability(v))), { rtol: 3e-6 });
    expectClose(sums.importance, full(() => 1), { rtol: 3e-6 });
    expectClose(sums.compensated, full((v) => words * Math.exp(noise.logProbability(v))), { rtol: 3e-6 });
  });

  it("[paper:on-sampling-based-training-criteria-for-neural-language-modeling] are at their minimum where the corrected logits are the log-probabilities", () => {
    // p log s(z) + a E log(1 - s(z)), summed over the words: its derivative at log p - correction is 0.
    const p = Float64Array.from({ length: words }, (_, v) => (v + 2) / 90), sigmoid = (t: number): number => 1 / (1 + Math.exp(-t));
    for (const criterion of ["monteCarlo", "importance", "compensated"] as const) {
      const correction = samplingCorrection(criterion, negatives).data;
      for (let v = 0; v < words; v++) {
        const z = Math.log(p[v]) - correction[v], factor = criterion === "monteCarlo" ? 1 : criterion === "importance" ? Math.exp(-negatives.logExpected(v)) : words / negatives.indices.length;
        expectClose(p[v] * (1 - sigmoid(z)) - factor * Math.exp(negatives.logExpected(v)) * sigmoid(z), 0, { atol: 1e-7 });
      }
    }
    // Noise-contrastive estimation, over labels from p and all draws: the derivative in the logit of each word is 0 at log p.
    for (let v = 0; v < words; v++) expectClose(p[v] * (sigmoid(Math.log(p[v]) - negatives.logExpected(v)) - 1) + Math.exp(negatives.logExpected(v)) * sigmoid(Math.log(p[v]) - negatives.logExpected(v)), 0, { atol: 1e-15 });
  });

  it("draw from the distribution that they say", () => {
    for (const [q, seed] of [[noise, 1], [logUniformNoise(9), 2], [countNoise([0, 3, 1, 0, 4]), 3]] as const) {
      const draws = 20_000, source = randomSource(seed), counts = new Float64Array(q.words);
      for (let i = 0; i < draws; i++) counts[q.draw(source)]++;
      let chi = 0, free = -1, mass = 0;
      counts.forEach((n, v) => {
        const expected = draws * Math.exp(q.logProbability(v));
        mass += expected / draws;
        if (expected === 0) return expect(n).toBe(0);
        chi += (n - expected) ** 2 / expected;
        free++;
      });
      expectClose(mass, 1, { atol: 1e-12 });
      // A fixed seed: one draw of a p-value, below 0.001 in one of a thousand sequences.
      expect(chiSquareSurvival(chi, free)).toBeGreaterThan(1e-3);
    }
  });

  it("expect different words as often as they come", () => {
    const q = logUniformNoise(8), runs = 4000, seen = new Float64Array(8), expected = new Float64Array(8), source = randomSource(4);
    for (let i = 0; i < runs; i++) {
      const drawn = sampleNegatives(q, 4, source, { unique: true });
      expect(new Set(drawn.indices).size).toBe(4);
      drawn.indices.forEach((v) => seen[v]++);
      for (let v = 0; v < 8; v++) expected[v] += Math.exp(drawn.logExpected(v));
    }
    // The formula takes the number of draws as if it had been fixed: that is off by some per cent of a word where half of all words are drawn, as here (measured 11), and by less where few are.
    expectClose(seen, expected, { rtol: 0.15 });
    for (let v = 0; v < 8; v++) expect(sampleNegatives(q, 8, source, { unique: true }).logExpected(v)).toBe(0);
  });

  it("take resident weights, which memory that grows moves", () => {
    const large = Float32Array.from({ length: 300 * 64 }, () => random.normal()), hidden = { data: normals(100 * 64), shape: [100, 64] }, labels = Int32Array.from({ length: 100 }, () => random.integer(300)), many = sampleNegatives(countNoise(new Float32Array(300).fill(1)), 4000, randomSource(3));
    const resident = core.alloc([300, 64]);
    resident.data.set(large);
    const before = core.memory.buffer.byteLength, got = sampledSoftmaxLoss.withGrad(hidden, resident, labels, { negatives: many }), want = sampledSoftmaxLoss.withGrad(hidden, { data: large, shape: [300, 64] }, labels, { negatives: many });
    expect(core.memory.buffer.byteLength).toBeGreaterThan(before);
    expectExact(got.loss.data, want.loss.data);
    expectExact(got.grads.hidden.data, want.grads.hidden.data);
    expectExact(got.grads.weights.values.data, want.grads.weights.values.data);
    resident.dispose();
  });

  it("refuse what does not fit", () => {
    const say = (run: () => unknown): string => { try { run(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } return "nothing"; };
    const other = sampleNegatives(logUniformNoise(3), 2, randomSource(1));
    expect([
      say(() => nceLoss([[1]], [[1], [2]], [0], { negatives: other })), say(() => nceLoss([[1]], [[1, 2]], [0], { negatives: other })), say(() => nceLoss([[1]], [[1], [2], [3]], [0, 1], { negatives: other })), say(() => nceLoss([[1]], [[1], [2], [3]], [0], { negatives: other, bias: [1] })),
      say(() => sampledBinaryLoss([[1]], [[1], [2], [3]], [0], { negatives: other, criterion: "all" as never })), say(() => countNoise([1, -1])), say(() => countNoise([0, 0])), say(() => countNoise([1], -1)), say(() => logUniformNoise(0)),
      say(() => sampleNegatives(countNoise([1, 0, 1]), 3, randomSource(1), { unique: true })), say(() => sampleNegatives(logUniformNoise(3), 0, randomSource(1))), say(() => memoryBankLoss([[1]], [[1], [2], [3]], [0], { negatives: other, logPartition: 0, temperature: 0 })),
      say(() => memoryBankLoss([[1]], [[1], [2], [3]], [0], { negatives: other, logPartition: 0, proximal: -1 })), say(() => estimateLogPartition([[1]], [[1]], other)),
    ].join("\n")).toMatchInlineSnapshot(`
      "RangeError: nceLoss: expected \`negatives\` drawn from 2 words, got 3
      RangeError: nceLoss: expected \`weights\` of shape [V, 1], got [1, 2]
      RangeError: nceLoss: expected \`labels\` of shape [1], got [2]
      RangeError: nceLoss: expected \`bias\` of shape [3], got [1]
      RangeError: sampledBinaryLoss: expected \`criterion\` "monteCarlo", "importance" or "compensated", got "all"
      RangeError: countNoise: expected \`counts\` finite and not negative, got -1 at index 1
      RangeError: countNoise: expected \`counts\` that are not all 0, got 2 of them
      RangeError: countNoise: expected \`power\` a finite number >= 0, got -1
      RangeError: logUniformNoise: expected \`words\` an integer in [1, 2147483647], got 0
      RangeError: sampleNegatives: expected \`count\` at most 2, the words that can be drawn, got 3
      RangeError: sampleNegatives: expected \`count\` an integer in [1, 2147483647], got 0
      RangeError: memoryBankLoss: expected \`temperature\` a finite number > 0, got 0
      RangeError: memoryBankLoss: expected \`proximal\` a finite number >= 0, got -1
      RangeError: estimateLogPartition: expected \`negatives\` drawn from 1 entries, got 3"
    `);
  });
});

describe("memoryBankLoss", () => {
  const bank = countNoise(new Float32Array(words).fill(1)), drawn = sampleNegatives(bank, 5, randomSource(9));
  const reference = (row: readonly Float64Array[], { temperature = 0.07, logPartition, proximal = 0 }: any): number => {
    const [x, f, [y]] = row, [own, samples] = logitsOf([x.map((v) => v / temperature), f, row[2]], { negatives: drawn }, true, false, logPartition);
    return sampledRefs.nce([own, samples]) + proximal * x.reduce((sum, v, d) => sum + (v - f[y * width + d]) ** 2, 0);
  };
  it.each(lossChecks({
    name: "memoryBankLoss", loss: memoryBankLoss, reference, shared: [1], labels: { argument: 2, classes: words },
    cases: [{ name: "plain", arguments: make(), options: { negatives: drawn, logPartition: 2, temperature: 0.5 } }, { name: "proximal", arguments: make(), options: { negatives: drawn, logPartition: 3, temperature: 0.5, proximal: 2 } }],
    bound: { atol: 1e-5, rtol: 1e-6 }, gradientBound: { atol: 3e-5, rtol: 1e-6 }, extreme: 100,
  }))("[paper:unsupervised-feature-learning-via-non-parametric-instance-level-discrimination] $name", ({ run }) => run());

  it("[paper:unsupervised-feature-learning-via-non-parametric-instance-level-discrimination] has the gradient of maximum likelihood in the limit of many samples", () => {
    const [x, f] = make() as [any, any], row = Array.from(x.data.subarray(0, width) as Float32Array), logits = Array.from({ length: words }, (_, v) => row.reduce((sum, value, d) => sum + value * f.data[v * width + d], 0) / 0.5);
    const logZ = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)), want = crossEntropy.withGrad([logits], [3]).grad.data, gradient = row.map((_, d) => want.reduce((sum, g, v) => sum + (g * f.data[v * width + d]) / 0.5, 0));
    // Every entry as often as expected, many times: the sum over the noise has no error, what is left falls as 1 / m.
    const errors = [100, 1000].map((times) => {
      const many = { indices: Int32Array.from({ length: words * times }, (_, k) => k % words), words, logExpected: () => Math.log(times) };
      const got = memoryBankLoss.withGrad([row], f, [3], { negatives: many, logPartition: logZ, temperature: 0.5 }).grad.data;
      return Math.hypot(...got.map((g, d) => g - gradient[d]));
    });
    expect(errors[0]).toBeLessThan(0.2);
    expect(errors[1]).toBeLessThan(errors[0] / 5);
    // And Z from the bank itself.
    expectClose(estimateLogPartition([row], f, { indices: Int32Array.from({ length: words }, (_, v) => v), words, logExpected: () => 0 }, 0.5), logZ, { atol: 1e-5 });
  });
});

it("denseRows puts rows in their places", () => {
  const { grads } = sampledSoftmaxLoss.withGrad([[1, 2]], [[1, 0], [0, 1], [1, 1]], [2], { negatives: sampleNegatives(countNoise([1, 0, 0]), 1, randomSource(1)) });
  expectExact(grads.weights.rows, [0, 2]);
  expectExact(denseRows(grads.weights).row(1).data, [0, 0]);
  expectExact(denseRows(grads.weights).row(2).data, grads.weights.values.row(1).data);
});

it("blackOutLoss keeps its digits where one sampled word is nearly sure, value and gradient", () => {
  // u = 0 for the label, 90, 50 and 20 for three words, each expected once.
  const negatives: Negatives = { indices: Int32Array.of(1, 2, 3), words: 4, logExpected: () => 0 }, u = [0, 90, 50, 20];
  const { loss, grads } = blackOutLoss.withGrad([[1]], u.map((v) => [v]), [0], { negatives, bias: [0, 0, 0, 0] });
  // log Z = 90, and 1 - p of the first word is exp(-40): 90 + 40; its slope is 2 p less p times the others' odds.
  expectClose(loss.item(), 130, { rtol: 1e-6 });
  expectClose(grads.bias!.data, [-1 - Math.exp(-90 + 40), 2, Math.exp(-40) * 2 - Math.exp(-40) * Math.exp(40), 0], { atol: 1e-6 });
});

import { Tensor } from "@logits/tensor";
import { batchLossChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { depthRouting, importanceLoss, loadLoss, noisyTopKGating } from "./index.ts";

const N = 7, E = 5;
const random = testRandom(3);
const plain = (scale: number) => ({ dtype: "float32" as const, shape: [N, E], data: Float32Array.from({ length: N * E }, () => scale * random.normal()) });

/** Mean squared deviation over squared mean. */
const variation = (v: readonly number[]): number => {
  const mean = v.reduce((a, b) => a + b, 0) / v.length;
  return v.reduce((sum, x) => sum + (x - mean) ** 2, 0) / v.length / mean ** 2;
};
const columns = (rows: number, of: (n: number, e: number) => number): number[] => Array.from({ length: E }, (_, e) => Array.from({ length: rows }, (_, n) => of(n, e)).reduce((a, b) => a + b, 0));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** Simpson's rule for the normal distribution, to 1e-12 where it is used. */
const normalCdf = (z: number): number => {
  if (z > 9 || z < -9) return z > 0 ? 1 : 0;
  const steps = 2000, h = z / steps, density = (t: number): number => Math.exp(-0.5 * t * t) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(z);
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * h);
  return 0.5 + (sum * h) / 3;
};
const kept = (row: ArrayLike<number>, k: number): number[] => Array.from(row, (_, e) => e).sort((a, b) => row[b] - row[a] || a - b).slice(0, k);

describe("importanceLoss [paper:outrageously-large-neural-networks-the-sparsely-gated-mixture-of]", () => {
  it.each(batchLossChecks({
    name: "importanceLoss", loss: importanceLoss as never, units: "fixed", bound: { atol: 1e-6, rtol: 1e-6 }, gradientBound: { atol: 1e-5, rtol: 1e-4 },
    cases: [1, 2, 3, E].map((k) => ({ name: `k = ${k}`, arguments: [plain(1)], options: { k } })),
    reference: ([x], { k }: { k: number }) => [variation(columns(x.length / E, (n, e) => {
      const row = x.subarray(n * E, (n + 1) * E), best = kept(row, k), top = row[best[0]], z = best.reduce((sum, i) => sum + Math.exp(row[i] - top), 0);
      return best.includes(e) ? Math.exp(row[e] - top) / z : 0;
    }))],
  }))("$name", ({ run }) => run());

  it("is 0 for equal shares and E - 1 where one expert has everything", () => {
    expectExact(importanceLoss([[9, 0], [0, 9]], { k: 1 }).item(), 0);
    expectExact(importanceLoss([[9, 0, 0], [9, 0, 0]], { k: 1 }).item(), 2);
    expectClose(importanceLoss([[9, 9, 0], [9, 9, 0]], { k: 2 }), 0.5, { atol: 1e-7 });
  });
});

describe("loadLoss [paper:outrageously-large-neural-networks-the-sparsely-gated-mixture-of]", () => {
  it.each(batchLossChecks({
    name: "loadLoss", loss: loadLoss as never, units: "fixed", bound: { atol: 1e-6, rtol: 1e-6 }, gradientBound: { atol: 1e-5, rtol: 1e-4 }, extreme: false,
    cases: [1, 2, E].map((k) => ({ name: `k = ${k}`, arguments: [plain(1), plain(1), plain(1)], options: { k } })),
    differentiable: [{ argument: 0, read: (r) => r.grads.logits }, { argument: 1, read: (r) => r.grads.noiseLogits }],
    reference: ([x, s, noise], { k }: { k: number }) => [variation(columns(x.length / E, (n, e) => {
      const h = Array.from({ length: E }, (_, i) => x[n * E + i] + noise[n * E + i] * softplus(s[n * E + i])), others = h.filter((_, i) => i !== e).sort((a, b) => b - a);
      return k === E ? 1 : normalCdf((x[n * E + e] - others[k - 1]) / softplus(s[n * E + e]));
    }))],
  }))("$name", ({ run }) => run());

  it("counts the tokens that each expert would get: its P are the shares of 20,000 new draws", () => {
    const [x, s] = [plain(1), plain(0.5)], first = noisyTopKGating(x, { k: 2, noiseLogits: s, seed: 5 }), draws = 20000;
    // The gradient of CV^2 knows the loads only through their slopes, so P is checked through single experts: two columns of one token.
    const one = (e: number): number => {
      const h = first.scores.data.subarray(0, E), others = Array.from(h).filter((_, i) => i !== e).sort((a, b) => b - a), source = testRandom(e);
      let count = 0;
      for (let i = 0; i < draws; i++) if (x.data[e] + source.normal() * softplus(s.data[e]) > others[1]) count++;
      return count / draws;
    };
    const row = new Tensor("float32", [1, E], x.data.slice(0, E)), spread = new Tensor("float32", [1, E], s.data.slice(0, E)), noise = new Tensor("float32", [1, E], first.noise.data.slice(0, E));
    const loads = [0, 1, 2, 3, 4].map(one);
    expectClose(loadLoss(row, spread, noise, { k: 2 }).item(), variation(loads), { atol: 0.03 }); // standard errors of 0.004 in each share
  });

  it("is finite where a spread vanishes, 0 with all experts", () => {
    const zero = [[0, 0, 0]];
    expectExact(loadLoss([[3, 1, 2]], [[-1e4, -1e4, -1e4]], zero, { k: 1 }).item(), 2);
    expectExact(loadLoss([[3, 1, 2]], [[1, 2, 3]], zero, { k: 3 }).item(), 0);
    const { loss, grads } = loadLoss.withGrad([[3, 1, 2]], [[-1e4, -1e4, -1e4]], zero, { k: 1 });
    expect([loss.item(), ...grads.logits.data, ...grads.noiseLogits.data].every(Number.isFinite)).toBe(true);
  });
});

describe("noisyTopKGating [paper:outrageously-large-neural-networks-the-sparsely-gated-mixture-of]", () => {
  it("without noise and with all experts is softmax, with k experts exactly k shares", () => {
    const x = plain(2);
    for (let k = 1; k <= E; k++) {
      const { gates, experts, scores } = noisyTopKGating(x, { k });
      expectExact(scores.data, x.data);
      for (let n = 0; n < N; n++) {
        const row = x.data.subarray(n * E, (n + 1) * E), best = kept(row, k), z = best.reduce((sum, e) => sum + Math.exp(row[e]), 0);
        expectClose(gates.row(n), Array.from(row, (v, e) => (best.includes(e) ? Math.exp(v) / z : 0)), { rtol: 1e-6 }); // one rounding to float32
        expect([...experts.row(n).data]).toEqual(best.sort((a, b) => a - b));
      }
    }
    expect([...noisyTopKGating([[1, 1, 1]], { k: 2 }).experts.data]).toEqual([0, 1]);
  });

  it("adds normal noise of standard deviation softplus, the same for a row with its own stream", () => {
    const rows = 4000, x = new Tensor("float32", [rows, 2], new Float32Array(rows * 2)), s = new Tensor("float32", [rows, 2], new Float32Array(rows * 2).fill(1));
    const { scores, noise } = noisyTopKGating(x, { k: 1, noiseLogits: s, seed: 3 });
    const mean = scores.data.reduce((a, b) => a + b, 0) / scores.size, sd = Math.sqrt(scores.data.reduce((a, b) => a + (b - mean) ** 2, 0) / scores.size);
    expect(Math.abs(mean)).toBeLessThan(0.06); // 4 standard errors of 1.31 / sqrt(8000)
    expect(Math.abs(sd / Math.log1p(Math.E) - 1)).toBeLessThan(0.032); // 4 of 1 / sqrt(16000)
    const single = noisyTopKGating(x.row(9).data.length === 2 ? [[0, 0]] : [], { k: 1, noiseLogits: [[1, 1]], seed: 3, stream: 9 });
    expectExact(single.noise.data, noise.row(9).data);
  });

  it("says what is wrong", () => {
    expect(() => noisyTopKGating([1, 2], { k: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: noisyTopKGating: expected \`logits\` of shape [N, E], E >= 1, got [2]]`);
    expect(() => noisyTopKGating([[1, 2]], { k: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: noisyTopKGating: expected \`k\` an integer in [1, 2], got 3]`);
    expect(() => noisyTopKGating([[1, NaN]], { k: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: noisyTopKGating: expected \`logits\` finite, got NaN at index 1]`);
    expect(() => noisyTopKGating([[1, 2]], { k: 1, noiseLogits: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: noisyTopKGating: expected \`seed\` an integer in [0, 2^53) with \`noiseLogits\`, got undefined]`);
    expect(() => noisyTopKGating([[1, 2]], { k: 1, noiseLogits: [[1]], seed: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: noisyTopKGating: expected \`noiseLogits\` of shape [1, 2], got [1, 1]]`);
    expect(() => importanceLoss([[1, Infinity]], { k: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: importanceLoss: expected \`scores\` finite, got Infinity at index 1]`);
    expect(() => loadLoss([[1, 2]], [[1, 2]], [[1, 2, 3]], { k: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: loadLoss: expected \`noise\` of shape [1, 2], got [1, 3]]`);
    expect(() => loadLoss.withGrad([[1, 2]], [[1, 2]], [[1, 2]], { k: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: loadLoss.withGrad: expected \`k\` an integer in [1, 2], got 0]`);
  });
});

describe("depthRouting [paper:p-mod-building-mixture-of-depths-mllms-via-progressive]", () => {
  it("takes the largest scores in the order of the tokens, and weighs all of them", () => {
    const source = testRandom(1), x = Float32Array.from({ length: 60 }, () => source.normal());
    for (const ratio of [0, 0.01, 0.1, 0.5, 0.99, 1]) {
      const { indices, weights } = depthRouting({ data: x, shape: [3, 20] }, { ratio, scale: 0.3, bias: 0.9 }), k = Math.floor(20 * ratio);
      expect(indices.shape).toEqual([3, k]);
      for (let b = 0; b < 3; b++) expect([...indices.data.subarray(b * k, (b + 1) * k)]).toEqual(kept(x.subarray(20 * b, 20 * (b + 1)), k).sort((a, c) => a - c));
      expectClose(weights, { shape: [3, 20], data: x.map((v) => 0.3 * Math.tanh(v) + 0.9) }, { atol: 1e-6 }); // float32
    }
  });

  it("gathers and scatters to the same sequence, and is the dense layer at ratio 1 with weights of 1", () => {
    const tokens = [10, 20, 30, 40, 50], { indices, weights } = depthRouting([0.3, 0.1, 0.5, 0.2, 0.4], { ratio: 0.6 }), out = tokens.slice();
    const gathered = Array.from(indices.data, (i) => tokens[i]);
    indices.data.forEach((i, j) => void (out[i] = gathered[j]));
    expect(out).toEqual(tokens);
    expect(weights.shape).toEqual([5]);
    const dense = depthRouting([0.3, 0.1, 0.5], { ratio: 1, scale: 0 });
    expect([[...dense.indices.data], [...dense.weights.data]]).toEqual([[0, 1, 2], [1, 1, 1]]);
    expect([...depthRouting([1, 1, 1, 1], { ratio: 0.5 }).indices.data]).toEqual([0, 1]);
    expect([0.29, 0.57, 0.07, 0.999].map((ratio) => depthRouting(new Float32Array(100), { ratio }).indices.size)).toEqual([29, 57, 7, 99]);
    expect(depthRouting([], { ratio: 0.5 }).indices.shape).toEqual([0]);
  });

  it("says what is wrong", () => {
    expect(() => depthRouting([1, 2], { ratio: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: depthRouting: expected \`ratio\` in [0, 1], got 1.5]`);
    expect(() => depthRouting([[[1]]], { ratio: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: depthRouting: expected \`scores\` of shape [B, T] or [T], got [1, 1, 1]]`);
    expect(() => depthRouting([1, NaN], { ratio: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: depthRouting: expected \`scores\` without NaN, got NaN in row 0, column 1]`);
    expect(() => depthRouting([1], { ratio: 1, scale: Infinity })).toThrowErrorMatchingInlineSnapshot(`[RangeError: depthRouting: expected \`scale\` finite, got Infinity]`);
  });
});

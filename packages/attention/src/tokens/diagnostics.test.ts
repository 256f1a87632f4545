import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { alibi, attention, type AttentionOptions } from "../index.ts";
import { sparsemax } from "../normalizers/index.ts";
import fixtures from "./fixtures/tokens.json" with { type: "json" };
import { attentionEntropy, attentionReceived, attentionRollout, attentionSink, type AttentionEntropyOptions } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const of = (data: ArrayLike<number>, ...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));
const [causal, rollout] = fixtures.cases as unknown as Record<string, number[]>[];

/** All weights, from the gradient in values of one query at a time being those weights: P[b, h, i, :] by identity values. */
function weights(q: Tensor<"float32">, k: Tensor<"float32">, options: AttentionOptions): number[][][] {
  const [heads, queries] = q.shape, [groups, keys] = k.shape, eye = of(Array.from({ length: groups * keys * keys }, (_, at) => Number(at % keys === Math.floor(at / keys) % keys)), groups, keys, keys), { output } = attention(q, k, eye, options);
  return Array.from({ length: heads }, (_, h) => Array.from({ length: queries }, (_, i) => Array.from(output.data.subarray((h * queries + i) * keys, (h * queries + i + 1) * keys))));
}

/** Sums of at most 40 float32 weights, each within 3e-6. */
const CLOSE = { atol: 2e-5, rtol: 1e-5 };
const cases: [string, AttentionOptions][] = [
  ["plain", {}], ["causal", { causal: true }], ["window", { windowSize: 3 }], ["softmax-one", { softmaxOne: true }], ["sinks", { sinks: [0.5, -1, 2, 0], causal: true }], ["mask", { mask: Uint8Array.from({ length: 11 }, (_, j) => Number(j % 4 !== 1)) }],
  ["ranges", { ranges: { from: [0, 1, 2, 3, 4, 5], to: [3, 5, 5, 9, 11, 11] } }],
];

describe("attentionReceived", () => {
  const q = random([4, 6, 8], 1), k = random([2, 11, 8], 2), counts = random([4, 6], 3);
  for (const [name, options] of [...cases, ["ALiBi, soft cap", { positionBias: alibi([0.5, 0.25, 1, 2]), softCap: 3 }], ["sigmoid", { normalizer: "sigmoid" }], ["sparsemax", { normalizer: sparsemax }]] as [string, AttentionOptions][]) {
    it(`is the sum of the weights over the queries of the heads that read a key: ${name}`, () => {
      const p = weights(q, k, options), want = (count: (h: number, i: number) => number): number[] => [0, 1].flatMap((g) => Array.from({ length: 11 }, (_, j) => [2 * g, 2 * g + 1].reduce((sum, h) => sum + p[h].reduce((s, row, i) => s + count(h, i) * row[j], 0), 0)));
      expectClose(attentionReceived(q, k, options).data, want(() => 1), CLOSE);
      expectClose(attentionReceived(q, k, { ...options, weights: counts }).data, want((h, i) => counts.data[h * 6 + i]), CLOSE);
    });
  }

  it("agrees with PyTorch", () => {
    expectClose(attentionReceived(of(causal.query, 2, 5, 4), of(causal.key, 2, 7, 4), { causal: true, weights: of(causal.weights, 2, 5) }).data, causal.received, CLOSE);
  });

  it("sums to the number of queries, window by window", () => {
    const x = random([1, 40, 4], 4), y = random([1, 40, 4], 5), whole = attentionReceived(x, y, { causal: true }), last = new Tensor("float32", [1, 8, 4], x.data.slice(32 * 4));
    expectClose([whole.data.reduce((a, b) => a + b, 0)], [40], CLOSE);
    // The last queries alone stand at the end of the keys: what a window sees is the whole with the others at 0.
    expectClose(attentionReceived(last, y, { causal: true }).data, attentionReceived(x, y, { causal: true, weights: of(Array.from({ length: 40 }, (_, i) => Number(i >= 32)), 1, 40) }).data, CLOSE);
  });

  it("is 0 without queries and empty without keys, and needs memory linear in length", () => {
    expectExact(attentionReceived(of([], 0, 3), random([4, 3], 1)).data, new Float32Array(4));
    expect(attentionReceived(random([2, 3], 1), of([], 0, 3)).shape).toEqual([0]);
    expectExact(attentionReceived(random([2, 3], 1), random([4, 3], 2), { mask: [1, 0, 1, 1] }).data.slice(1, 2), [0]);
    expect(attentionReceived(random([2, 3], 1), of([NaN, 0, 0, 1, 1, 1], 2, 3)).data.every(Number.isNaN)).toBe(true);
    const x = random([8192, 4], 1), before = core.memory.buffer.byteLength;
    attentionReceived(x, x, { causal: true, windowSize: 64 });
    // Weights would take 256 MiB.
    expect(core.memory.buffer.byteLength - before).toBeLessThan(8 * 2 ** 20);
  });
});

describe("attentionRollout", () => {
  it("is the rows of the product of the layers' matrices", () => {
    const layers = [0, 1, 2].map((l) => ({ query: of(rollout[`query${l}`], 2, 6, 3), key: of(rollout[`key${l}`], 2, 6, 3) })), eye = of(Array.from({ length: 36 }, (_, at) => Number(at % 7 === 0)), 6, 6);
    expectClose(attentionRollout(layers, { start: eye }).data, rollout.rollout, CLOSE);
    const start = Float32Array.of(0, 0.5, 0, 0.25, 0, 0.25), got = attentionRollout(layers, { start });
    expect(got.shape).toEqual([6]);
    expectClose(got.data, Array.from({ length: 6 }, (_, j) => start.reduce((sum, s, i) => sum + s * rollout.rollout[i * 6 + j], 0)), CLOSE);
    // Every layer keeps the sum.
    expectClose([got.data.reduce((a, b) => a + b, 0)], [1], CLOSE);
    expectExact(attentionRollout([], { start }).data, start);
    expectExact(attentionRollout(layers, { start, residual: 1 }).data, start);
    expect(attentionRollout(layers, { start: of([], 0, 6) }).shape).toEqual([0, 6]);
  });

  it("takes heads that share keys, and causal layers", () => {
    const zeros = of(new Float32Array(8), 1, 4, 2), lost = attentionRollout([{ query: zeros, key: zeros, options: { softmaxOne: true } }], { start: [1, 0, 0, 0], residual: 0 });
    // Softmax-one over four equal scores of 0: a fifth goes nowhere.
    expectClose(lost.data, [0.2, 0.2, 0.2, 0.2], { ulp: 4 });
    const query = random([4, 5, 3], 1), key = random([2, 5, 3], 2), options = { causal: true }, p = weights(query, key, options);
    expectClose(attentionRollout([{ query, key, options }], { start: [0, 0, 0, 1, 0], residual: 0 }).data, Array.from({ length: 5 }, (_, j) => (p[0][3][j] + p[1][3][j] + p[2][3][j] + p[3][3][j]) / 4), CLOSE);
  });
});

describe("attentionEntropy", () => {
  const q = random([4, 6, 8], 6), k = random([2, 11, 8], 7);
  const biased: [string, AttentionOptions][] = [["ALiBi, causal", { positionBias: alibi([0.5, 0.25, 1, 2]), causal: true }], ["soft cap", { softCap: 1 }], ["bias", { bias: random([11], 14), windowSize: 4 }], ["a hidden query", { softCap: 2, mask: new Tensor("uint8", [6, 11], Uint8Array.from({ length: 66 }, (_, at) => Number(at > 10))) }]];
  for (const [name, options] of [...cases, ...biased] as [string, AttentionEntropyOptions][]) {
    it(`is the entropy of the weights, a sink's included: ${name}`, () => {
      const p = weights(q, k, options), sink = options.sinks !== undefined || options.softmaxOne;
      const want = p.flatMap((head) => head.map((row) => [...row, sink ? Math.max(0, 1 - row.reduce((a, b) => a + b, 0)) : 0].reduce((sum, x) => sum - (x > 0 ? x * Math.log(x) : 0), 0)));
      // Log-sum-exp and mean score within 3e-6 each, at scores of up to 10.
      expectClose(attentionEntropy(q, k, options).data, want, { atol: 2e-5 });
    });
  }

  it("agrees with PyTorch, and its gradients with autograd", () => {
    const x = of(causal.query, 2, 5, 4), y = of(causal.key, 2, 7, 4), { entropy, grads } = attentionEntropy.withGrad(x, y, { causal: true, upstream: of(causal.weights, 2, 5) });
    expectClose(entropy.data, causal.entropy, { atol: 5e-6 });
    expectClose(grads.query.data, causal.entropyQuery, { atol: 1e-5 });
    expectClose(grads.key.data, causal.entropyKey, { atol: 1e-5 });
  });

  it("has exact gradients with shared keys, softmax-one, sinks and biases", () => {
    const x = random([2, 3, 4], 8), y = random([1, 5, 4], 9), upstream = random([2, 3], 10);
    for (const options of [{ softmaxOne: true }, { sinks: [0.7, -0.4], causal: true }, { scale: 0.9 }, { positionBias: alibi([0.5, 1]) }]) {
      const { grads, entropy } = attentionEntropy.withGrad(x, y, { ...options, upstream });
      expectExact(entropy.data, attentionEntropy(x, y, options).data);
      const value = (a: Float64Array, b: Float64Array): number => {
        let sum = 0;
        for (let h = 0; h < 2; h++) {
          for (let i = 0; i < 3; i++) {
            const scale = "scale" in options ? 0.9 : 0.5, s = Array.from({ length: 5 }, (_, j) => ("causal" in options && j > i + 2 ? -Infinity : scale * [0, 1, 2, 3].reduce((t, f) => t + a[(h * 3 + i) * 4 + f] * b[j * 4 + f], 0) - ("positionBias" in options ? (h + 1) * 0.5 * Math.abs(i + 2 - j) : 0)));
            if ("softmaxOne" in options) s.push(0);
            if ("sinks" in options) s.push(options.sinks![h]);
            const z = s.reduce((t, e) => t + Math.exp(e), 0);
            sum -= upstream.data[h * 3 + i] * s.reduce((t, e) => t + (e === -Infinity ? 0 : (Math.exp(e) / z) * Math.log(Math.exp(e) / z)), 0);
          }
        }
        return sum;
      };
      const [a, b] = [x, y].map((t) => Float64Array.from(t.data)), near = { atol: 1e-5 };
      expectClose(grads.query.data, finiteDifferenceGradient((c) => value(c, b), a), near);
      expectClose(grads.key.data, finiteDifferenceGradient((c) => value(a, c), b), near);
    }
  });

  it("errs in proportion to the scores, less over whole rows", () => {
    const { uniform } = testRandom(3);
    for (const size of [100, 10_000]) {
      const root = Math.sqrt(size / 4), x = of(Array.from({ length: 30 * 8 }, () => root + uniform() - 0.5), 30, 8), y = of(Array.from({ length: 20 * 8 }, () => root + (4 * uniform()) / root), 20, 8);
      const want = Array.from({ length: 30 }, (_, i) => {
        const s = Array.from({ length: 20 }, (__, j) => 0.5 * Array.from(y.row(j).data).reduce((sum, value, f) => sum + value * x.at(i, f), 0)), top = Math.max(...s), z = s.reduce((sum, score) => sum + Math.exp(score - top), 0);
        return Math.log(z) - s.reduce((sum, score) => sum + (Math.exp(score - top) / z) * (score - top), 0);
      });
      // Float32 steps of a log-sum-exp and of a mean score, 6e-8 of their size each, and of the mean key's eight elements.
      expectClose(attentionEntropy(x, y, { scale: 0.5 }).data, want, { atol: 4e-7 * size });
      expectClose(attentionEntropy(x, y, { scale: 0.5, bias: new Float32Array(20) }).data, want, { atol: 8e-8 * size });
    }
  });

  it("is log n for equal scores, and 0 for one key or none", () => {
    expectClose(attentionEntropy([[0, 0]], random([7, 2], 1)).data, [Math.log(7)], { ulp: 4 });
    expectClose(attentionEntropy([[0, 0]], random([7, 2], 1), { softmaxOne: true }).data, [Math.log(8)], { ulp: 4 });
    expectClose(attentionEntropy([[3, 1]], [[1, 2]]).data, [0], { atol: 1e-6 });
    expectExact(attentionEntropy([[3, 1]], of([], 0, 2)).data, [0]);
    expectExact(attentionEntropy([[3, 1]], [[1, 2]], { mask: [0] }).data, [0]);
    expectExact(attentionEntropy([[3, 1]], [[1, 2]], { mask: [0], softmaxOne: true }).data, [0]);
    expectExact(attentionEntropy([[NaN, 1]], [[1, 2]]).data, [NaN]);
    expect(attentionEntropy(of([], 0, 2), [[1, 2]]).shape).toEqual([0]);
  });
});

describe("attentionSink [paper:active-dormant-attention-heads-mechanistically-demystifying-extreme-token-phenomena]", () => {
  const q = random([4, 6, 8], 11), k = random([2, 11, 8], 12), v = random([2, 11, 3], 13);
  for (const [name, options] of [...cases, ["ALiBi, soft cap", { positionBias: alibi([0.5, 0.25, 1, 2]), softCap: 3 }]] as [string, AttentionOptions][]) {
    it(`agrees with the weights: ${name}`, () => {
      const p = weights(q, k, options), { gap, share, rate } = attentionSink(q, k, v, { ...options, sink: 3, threshold: 0.1 });
      expectClose(share.data, p.flatMap((head) => head.map((row) => row[3])), CLOSE);
      expectClose(gap.data, p.flatMap((head) => head.map((row) => Math.log(row[3] / (1 - row[3])))), { atol: 1e-4 });
      expectClose(rate.data, p.map((head) => head.filter((row) => row[3] > 0.1).length / 6), { ulp: 4 });
    });
  }

  it("tells a dormant head from an active one, exactly where the share rounds to 1", () => {
    // Scores 40 for the sink and 0 for the others in one head, 0 for all in the other.
    const query = of([1, 1, 0, 0], 2, 2, 1), key = of([40, 0, 0, 40, 0, 0], 2, 3, 1), value = of([0.01, 1, 2, 0, 0, 0], 2, 3, 1), { gap, share, rate, drain } = attentionSink(query, key, value, { scale: 1, threshold: 0.5 });
    expectClose(gap.data, [40 - Math.log(2), 40 - Math.log(2), -Math.log(2), -Math.log(2)], { ulp: 2 });
    expectClose(share.data, [1, 1, 1 / 3, 1 / 3], { ulp: 2 });
    expectExact(rate.data, [1, 0]);
    expectClose(drain.data, [0.03 / 3.01, NaN], { rtol: 1e-6 });
  });

  it("has gaps of infinity where a query sees the sink alone, or does not see it", () => {
    const x = random([3, 2], 1), made = attentionSink(x, x, x, { causal: true, sink: 1 });
    expectExact(made.gap.data.slice(0, 1), [-Infinity]);
    expectExact(made.share.data.slice(0, 1), [0]);
    expectExact(attentionSink(x, x, x, { causal: true }).gap.data.slice(0, 1), [Infinity]);
    expectExact(attentionSink(x, x, x, { causal: true }).share.data.slice(0, 1), [1]);
    expect(made.rate.shape).toEqual([]);
    // All of 49 queries are 1, exactly.
    expectExact(attentionSink(of(new Array<number>(49).fill(1), 49, 1), of([9, 0], 2, 1), of([1, 1], 2, 1), { scale: 1 }).rate.data, [1]);
    expectExact(attentionSink(of([], 0, 2), x, x).rate.data, [0]);
    expectExact(attentionSink([[NaN, 0]], x, x).rate.data, [0]);
  });
});

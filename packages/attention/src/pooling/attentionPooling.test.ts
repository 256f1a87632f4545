import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixtures from "./fixtures/pooling.json" with { type: "json" };
import { attentionPooling, type AttentionPoolingParameters } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const of = (data: ArrayLike<number>, ...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));
const gated = fixtures.cases[0] as unknown as Record<string, number[]>;
/** Float32 products of at most 5 numbers near 1, a tanh, an exponential. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

/** One bag in float64. */
function definition(x: ArrayLike<number>, n: number, f: number, p: { v: ArrayLike<number>; b?: ArrayLike<number>; u?: ArrayLike<number>; c?: ArrayLike<number>; w: ArrayLike<number> }, seen: (i: number) => boolean = () => true): { output: number[]; weights: number[] } {
  const dot = (m: ArrayLike<number>, a: number, i: number): number => Array.from({ length: f }, (_, e) => m[a * f + e] * x[i * f + e]).reduce((s, t) => s + t, 0);
  const s = Array.from({ length: n }, (_, i) => (seen(i) ? Math.exp(Array.from({ length: p.w.length }, (_, a) => (p.w[a] * Math.tanh(dot(p.v, a, i) + (p.b?.[a] ?? 0))) / (p.u ? 1 + Math.exp(-dot(p.u, a, i) - (p.c?.[a] ?? 0)) : 1)).reduce((t, y) => t + y, 0)) : 0)), z = s.reduce((t, y) => t + y, 0), weights = s.map((y) => (z === 0 ? 0 : y / z));
  return { weights, output: Array.from({ length: f }, (_, e) => weights.reduce((t, y, i) => t + y * x[i * f + e], 0)) };
}

describe("attentionPooling", () => {
  it("agrees with PyTorch, gated, biased, under a mask, and its gradients with autograd [paper:multiple-instance-learning-framework-with-masked-hard-instance-mining] [paper:multiple-instance-learning-framework-with-masked-hard-instance-mining-2]", () => {
    const parameters = { hidden: of(gated.hidden, 3, 4), hiddenBias: gated.hiddenBias, gate: of(gated.gate, 3, 4), gateBias: gated.gateBias, score: gated.score };
    const mask = new Tensor("uint8", [2, 5], Uint8Array.from(gated.mask)), x = of(gated.features, 2, 5, 4), { output, weights, grads } = attentionPooling.withGrad(x, parameters, { mask, upstream: of(gated.upstream, 2, 4) });
    expectClose(output.data, gated.output, CLOSE);
    expectClose(weights.data, gated.weights, CLOSE);
    for (const name of ["features", "hidden", "hiddenBias", "gate", "gateBias", "score"] as const) expectClose(grads[name]!.data, gated[`grad_${name}`], { atol: 1e-5, rtol: 1e-5, label: name });
    const plain = attentionPooling(x, parameters, { mask });
    expectExact(plain.output.data, output.data);
    expectExact(plain.weights.data, weights.data);
  });

  it("is additive without a gate [paper:attention-based-lstm-for-psychological-stress-detection-from-spoken] [paper:ntua-slp-at-semeval-2018-task-1-predicting-affective]", () => {
    const x = random([7, 5], 1), v = random([4, 5], 2), w = random([4], 3), b = random([4], 4), upstream = random([5], 5), seen = (i: number): boolean => i < 5, mask = Uint8Array.from({ length: 7 }, (_, i) => Number(seen(i)));
    const got = attentionPooling.withGrad(x, { hidden: v, hiddenBias: b, score: w }, { mask, upstream }), want = definition(x.data, 7, 5, { v: v.data, b: b.data, w: w.data }, seen);
    expectClose(got.output.data, want.output, CLOSE);
    expectClose(got.weights.data, want.weights, CLOSE);
    expectExact(got.weights.data.slice(5), [0, 0]);
    expect([got.output.shape, got.weights.shape, got.grads.gate]).toEqual([[5], [7], undefined]);
    const value = (parts: Partial<Record<"x" | "v" | "b" | "w", Float64Array>>): number => definition(parts.x ?? x.data, 7, 5, { v: parts.v ?? v.data, b: parts.b ?? b.data, w: parts.w ?? w.data }, seen).output.reduce((s, o, e) => s + o * upstream.data[e], 0), near = { atol: 1e-5 };
    expectClose(got.grads.features.data, finiteDifferenceGradient((y) => value({ x: y }), x.data), near);
    expectClose(got.grads.hidden.data, finiteDifferenceGradient((y) => value({ v: y }), v.data), near);
    expectClose(got.grads.hiddenBias!.data, finiteDifferenceGradient((y) => value({ b: y }), b.data), near);
    expectClose(got.grads.score.data, finiteDifferenceGradient((y) => value({ w: y }), w.data), near);
  });

  it("is the mean for equal scores, does not see the order, and takes a mask as leaving out", () => {
    const x = random([6, 3], 6), parameters: AttentionPoolingParameters = { hidden: random([4, 3], 7), gate: random([4, 3], 8), score: random([4], 9) }, { output, weights } = attentionPooling(x, parameters);
    expectClose([weights.data.reduce((a, b) => a + b, 0)], [1], CLOSE);
    expectClose(attentionPooling(x, { ...parameters, score: new Float32Array(4) }).output.data, [0, 1, 2].map((f) => [0, 1, 2, 3, 4, 5].reduce((s, i) => s + x.at(i, f) / 6, 0)), CLOSE);
    const order = [3, 1, 5, 0, 4, 2], rows = (which: readonly number[]): Tensor<"float32"> => of(which.flatMap((i) => [...x.row(i).data]), which.length, 3);
    expectClose(attentionPooling(rows(order), parameters).output.data, output.data, CLOSE);
    expectClose(attentionPooling(rows(order), parameters).weights.data, order.map((i) => weights.data[i]), CLOSE);
    expectClose(attentionPooling(x, parameters, { mask: [1, 0, 1, 1, 0, 0] }).output.data, attentionPooling(rows([0, 2, 3]), parameters).output.data, CLOSE);
    // A batch is its bags.
    const both = attentionPooling(of([...x.data, ...rows(order).data], 2, 6, 3), parameters, { mask: [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]] });
    expectClose(both.output.row(1).data, attentionPooling(rows([3, 1]), parameters).output.data, CLOSE);
  });

  it("has weights that sum to 1 for scores in the thousands", () => {
    // A log-sum-exp in float32 is 0.001 off there.
    expectExact(attentionPooling([[1, 1], [1, 2], [1, 3], [-9, 0]], { hidden: [[1, 0]], score: [33333] }, { mask: [1, 1, 0, 1] }).weights.data, [0.5, 0.5, 0, 0]);
  });

  it("is 0 for nobody, the element for one, NaN for NaN", () => {
    const parameters = { hidden: [[1, -1]], score: [3] }, none = attentionPooling.withGrad(of([], 2, 0, 2), parameters, { upstream: of([1, 1, 1, 1], 2, 2) });
    expectExact(none.output.data, new Float32Array(4));
    expect(none.weights.shape).toEqual([2, 0]);
    expectExact(none.grads.hidden.data.map(Math.abs), [0, 0]);
    const hidden = attentionPooling([[1, 2], [3, 4]], parameters, { mask: [0, 0] });
    expectExact([...hidden.output.data, ...hidden.weights.data], [0, 0, 0, 0]);
    expectExact(attentionPooling([[5, 7]], parameters).output.data, [5, 7]);
    expect(attentionPooling([[NaN, 7], [1, 1]], parameters).output.data.every(Number.isNaN)).toBe(true);
  });
});

import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { attention } from "../index.ts";
import fixtures from "./fixtures/tokens.json" with { type: "json" };
import { attentionRelevance, linearRelevance, matmulRelevance, softmaxRelevance } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const of = (data: ArrayLike<number>, ...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));
const total = (x: Tensor<"float32">): number => x.data.reduce((a, b) => a + b, 0);
const [causal] = fixtures.cases as unknown as Record<string, number[]>[];
const EXACT = { epsilon: 0 };

/** Outputs near 0 divide: float32 results within 3e-6 / |output|, outputs above 0.01 here. */
const CLOSE = { atol: 1e-3, rtol: 1e-3 };

describe("relevance [paper:attnlrp-attention-aware-layer-wise-relevance-propagation-for-transformers]", () => {
  it("of an attention is that of the rules one after the other, with every matrix made", () => {
    const got = attentionRelevance(of(causal.query, 2, 5, 4), of(causal.key, 2, 7, 4), of(causal.value, 2, 7, 3), { causal: true, relevance: of(causal.relevance, 2, 5, 3), ...EXACT });
    expectClose(got.query.data, causal.relevanceQuery, CLOSE);
    expectClose(got.key.data, causal.relevanceKey, CLOSE);
    expectClose(got.value.data, causal.relevanceValue, CLOSE);
  });

  it("of an attention is conserved: half goes to the values, and what the softmax leaves for the scores half to queries and half to keys", () => {
    const q = random([2, 6, 8], 1), k = random([1, 9, 8], 2), v = random([1, 9, 4], 3), { output } = attention(q, k, v), relevance = new Tensor("float32", output.shape, output.data.map((o) => o * o));
    for (const options of [{}, { causal: true }, { softmaxOne: true }]) {
      const made = attention(q, k, v, options).output, given = new Tensor("float32", made.shape, made.data.map((o) => o * o)), got = attentionRelevance(q, k, v, { ...options, relevance: given, ...EXACT });
      // Relevance in proportion to the output divides by nothing small: sums of 36 numbers of size 0.1.
      expectClose([total(got.value)], [total(given) / 2], { rtol: 1e-5 });
      expectClose([total(got.query)], [total(got.key)], { atol: 1e-5 });
    }
    // In steps: P, then scores, with the rules of the parts.
    const eye = of(Array.from({ length: 81 }, (_, at) => Number(at % 10 === 0)), 1, 9, 9), p = attention(q, k, eye).output, wide = of([...v.data, ...v.data], 2, 9, 4), first = matmulRelevance(p, wide, relevance, EXACT);
    const scores = new Tensor("float32", [2, 6, 9], p.data.map((_, at) => Array.from({ length: 8 }, (_, f) => q.data[Math.floor(at / 9) * 8 + f] * k.data[(at % 9) * 8 + f]).reduce((a, b) => a + b, 0) / Math.sqrt(8))), second = softmaxRelevance(scores, first.a), got = attentionRelevance(q, k, v, { relevance, ...EXACT });
    expectClose([total(first.a), total(first.b)], [total(relevance) / 2, total(relevance) / 2], { rtol: 1e-5 });
    expectClose([total(got.query), total(got.key)], [total(second) / 2, total(second) / 2], { atol: 1e-5 });
  });

  it("of a softmax is its scores times the gradient of its probabilities' relevance per probability", () => {
    const x = random([7], 4), r = random([7], 5), p = (y: ArrayLike<number>): number[] => {
      const e = Array.from(y, Math.exp), z = e.reduce((a, b) => a + b, 0);
      return e.map((t) => t / z);
    };
    const at = p(x.data), want = finiteDifferenceGradient((y) => p(y).reduce((sum, t, i) => sum + (t * r.data[i]) / at[i], 0), x.data).map((g, i) => g * x.data[i]);
    expectClose(softmaxRelevance(x, r).data, want, { atol: 2e-6 });
    expectExact(softmaxRelevance([-Infinity, 0], [5, 1]).data.map(Math.abs), [0, 0]);
    expectExact(softmaxRelevance([[NaN, 0]], [[1, 1]]).data, [NaN, NaN]);
  });

  it("of a matrix product goes half to each factor, in proportion to what each entry gave", () => {
    const a = random([2, 3, 4], 6), b = random([2, 4, 5], 7), relevance = random([2, 3, 5], 8);
    for (const epsilon of [0, 0.5]) {
      const got = matmulRelevance(a, b, relevance, { epsilon }), [ra, rb] = [new Float64Array(24), new Float64Array(40)];
      for (let n = 0; n < 2; n++) {
        for (let i = 0; i < 3; i++) {
          for (let j = 0; j < 5; j++) {
            const part = (k: number): number => a.data[(n * 3 + i) * 4 + k] * b.data[(n * 4 + k) * 5 + j], y = part(0) + part(1) + part(2) + part(3), each = relevance.data[(n * 3 + i) * 5 + j] / (2 * y + (y < 0 ? -epsilon : epsilon));
            for (let k = 0; k < 4; k++) {
              ra[(n * 3 + i) * 4 + k] += part(k) * each;
              rb[(n * 4 + k) * 5 + j] += part(k) * each;
            }
          }
        }
      }
      expectClose(got.a.data, ra, CLOSE);
      expectClose(got.b.data, rb, CLOSE);
      if (epsilon === 0) expectClose([total(got.a), total(got.b)], [total(relevance) / 2, total(relevance) / 2], CLOSE);
    }
    expectExact(matmulRelevance([[1, -1]], [[1], [1]], [[3]], EXACT).a.data.map(Math.abs), [0, 0]);
  });

  it("of a linear layer is conserved without a bias, and the bias keeps its share", () => {
    const x = random([2, 3, 4], 9), weight = random([5, 4], 10), relevance = random([2, 3, 5], 11), got = linearRelevance(x, weight, relevance, EXACT);
    expect(got.shape).toEqual([2, 3, 4]);
    expectClose([total(got)], [total(relevance)], CLOSE);
    // y = 8 + 2: the input keeps 8 of 10.
    expectClose(linearRelevance([[1, 3]], [[2, 2]], [[10]], { bias: [2], ...EXACT }).data, [2, 6], { ulp: 2 });
    expectClose(linearRelevance([[-1]], [[1]], [[1]], { epsilon: 1 }).data, [0.5], { ulp: 2 });
  });

  it("of a biased attention: the bias keeps its share of the scores' relevance", () => {
    // One query, two keys: scores s + b. R of the scores alone is s dS, that of the whole (s + b) dS.
    const q = [[1.5]], k = [[2], [-1]], v = [[1], [3]], bias = [[0.7, -0.2]], relevance = [[2]], got = attentionRelevance(q, k, v, { scale: 1, bias, relevance, ...EXACT }), p = 1 / (1 + Math.exp(-(3 + 0.7 - (-1.5 - 0.2)))), output = p + 3 * (1 - p), u = 2 / (2 * output), dS = [p * (u - u * output), (1 - p) * (3 * u - u * output)];
    // Float32 numbers of size 1, subtracted.
    expectClose([total(got.query), total(got.key)], new Float64Array(2).fill((3 * dS[0] - 1.5 * dS[1]) / 2), { atol: 2e-6 });
  });

  it("of a query that sees nothing, and of an output of 0, is lost", () => {
    const none = attentionRelevance([[1, 2]], [[1, 0], [0, 1]], [[1], [3]], { mask: [0, 0], relevance: [[4]], ...EXACT });
    expectExact([...none.query.data, ...none.key.data, ...none.value.data].map(Math.abs), new Float64Array(8));
    expectExact(attentionRelevance([[0]], [[0], [0]], [[1], [-1]], { relevance: [[4]], ...EXACT }).value.data.map(Math.abs), [0, 0]);
    expect(attentionRelevance(of([], 0, 2), [[1, 0]], [[1]], { relevance: of([], 0, 1) }).query.shape).toEqual([0, 2]);
  });
});

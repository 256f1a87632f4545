import { chiSquareSurvival } from "@logits/statistics";
import { Tensor, float32ToFloat16, randomSource, tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Sampler, classifierFreeGuidance, comparatorDecoding, contrastiveDecoding, perplexity, sequenceScores, speculativeSampling, tokenScores } from "./index.ts";

const INF = Infinity;

function rows(n: number, cols: number, seed: number): Tensor<"float32"> {
  const random = testRandom(seed);
  return new Tensor("float32", [n, cols], Float32Array.from({ length: n * cols }, () => 2 * random.normal()));
}

const logSoftmax = (x: ArrayLike<number>): number[] => {
  const top = Math.max(...Array.from(x)), z = top + Math.log(Array.from(x).reduce((sum, v) => sum + Math.exp(v - top), 0));
  return Array.from(x, (v) => v - z);
};

describe("tokenScores, perplexity, sequenceScores", () => {
  it("agree with the definition for any number of columns and any dtype", () => {
    for (const cols of [1, 2, 5, 63, 64, 65, 300]) {
      const x = rows(6, cols, cols), labels = Int32Array.from({ length: 6 }, (_, i) => (i * 7) % cols), p = [0, 1, 2, 3, 4, 5].map((i) => logSoftmax(x.row(i).data));
      const { logProbabilities, entropies, margins } = tokenScores(x, labels);
      expectClose(logProbabilities, p.map((row, i) => row[labels[i]]), { atol: 1e-6, rtol: 1e-6 }); // float32
      expectClose(entropies, p.map((row) => -row.reduce((sum, q) => sum + q * Math.exp(q), 0)), { atol: 1e-6 });
      expectClose(margins, p.map((row) => { const [a, b = -INF] = row.toSorted((u, v) => v - u); return a - b; }), { atol: 1e-5 }); // the definition's differences cancel
      expectClose(perplexity(x, labels), Math.exp(-p.reduce((sum, row, i) => sum + row[labels[i]], 0) / 6), { rtol: 1e-6 });
      const half = { data: float32ToFloat16(x.data), dims: [6, cols], type: "float16" };
      expect(tokenScores(half, labels)).toEqual(tokenScores(tensor(half), labels));
    }
  });

  it("leave ignored labels out, and know impossible ones", () => {
    const x = [[[2, 0], [0, 0], [0, -INF]]];
    const { logProbabilities, entropies, margins } = tokenScores(x, [[0, -100, 1]], { ignoreIndex: -100 });
    expect(logProbabilities.shape).toEqual([1, 3]);
    expectExact(logProbabilities.data.subarray(1), [0, -INF]);
    expectExact(entropies.data.subarray(1), [0, 0]);
    expectExact(margins.data, [2, 0, INF]);
    expect([perplexity(x, [[0, -100, 1]], { ignoreIndex: -100 }), perplexity(x, [[-100, -100, -100]], { ignoreIndex: -100 }), perplexity([[0, 0], [0, 0]], [0, 1])]).toEqual([INF, NaN, 2]);
    expect(perplexity([[0, NaN], [0, 0]], [-1, 0], { ignoreIndex: -1 })).toBe(2); // a row that takes no part is not read
  });

  it("score sequences by sum, mean and length penalty", () => {
    const x = [[-1, -2, -3], [-1, 0, -5]];
    const { logProbabilities, scores, perplexities } = sequenceScores(x, { lengths: [3, 2] });
    expectClose(logProbabilities, [-6, -1], { atol: 0 });
    expectClose(scores, [-2, -0.5], { atol: 0 });
    expectClose(perplexities, [Math.exp(2), Math.exp(0.5)], { rtol: 1e-7 }); // one rounding to float32
    expectClose(sequenceScores(x, { lengthPenalty: 0 }).scores, [-6, -6], { atol: 0 });
    expectClose(sequenceScores(x, { lengthPenalty: 0.6 }).scores, [-6 / 3 ** 0.6, -6 / 3 ** 0.6], { rtol: 1e-7 });
    expect(sequenceScores([-1, -3]).scores.item()).toBe(-2);
    expectExact(sequenceScores([[-1]], { lengths: [0] }).logProbabilities.data, [0]);
    expectExact(sequenceScores([[-1]], { lengths: [0] }).perplexities.data, [NaN]);
  });

  it("say what is wrong", () => {
    expect(() => tokenScores([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: tokenScores: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => tokenScores([[1, 2]], [1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: tokenScores: expected \`labels\` of shape [1], got [2]]`);
    expect(() => perplexity([[1, NaN]], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: perplexity: expected \`logits\` without NaN, got NaN in row 0, column 1]`);
    expect(() => sequenceScores(tensor([1], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceScores: expected \`logProbabilities\` of shape [B, T] or [T], got []]`);
    expect(() => sequenceScores([1], { lengthPenalty: INF })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceScores: expected \`lengthPenalty\` finite, got Infinity]`);
    expect(() => sequenceScores([1], { lengths: [2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceScores: expected \`lengths\` in [0, 1], got 2 at index 0]`);
    expect(() => sequenceScores([1], { lengths: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceScores: expected \`lengths\` of shape [1], got [2]]`);
  });
});

describe("guidance", () => {
  it("classifier-free: 1 gives the conditional scores, 0 the others, log-probabilities the same distribution [paper:scaling-autoregressive-multi-modal-models-pretraining-and-instruction-tuning]", () => {
    const x = rows(3, 9, 1), u = rows(3, 9, 2);
    expectClose(classifierFreeGuidance(x, u, { scale: 1 }), x, { atol: 1e-6 }); // u + (x - u)
    expectExact(classifierFreeGuidance(x, u, { scale: 0 }).data, u.data);
    expectClose(classifierFreeGuidance(x, u, { scale: 3 }), { shape: [3, 9], data: x.data.map((v, i) => u.data[i] + 3 * (v - u.data[i])) }, { atol: 1e-5 });
    const shifted = (t: Tensor<"float32">): number[][] => [0, 1, 2].map((r) => logSoftmax(t.row(r).data));
    const a = classifierFreeGuidance(x, u, { scale: 2 }), b = classifierFreeGuidance(shifted(x), shifted(u), { scale: 2 });
    for (const r of [0, 1, 2]) expectClose(logSoftmax(a.row(r).data), logSoftmax(b.row(r).data), { atol: 1e-5 });
    expectExact(classifierFreeGuidance([-INF, 1], [0, 1], { scale: 2 }).data, [-INF, 1]);
  });

  it("contrastive: what the amateur does not say, among plausible tokens; k = 1 is the paper's [paper:scaling-autoregressive-multi-modal-models-pretraining-and-instruction-tuning]", () => {
    for (const [plausibility, k] of [[0.1, 1], [1, 1], [0.5, 3], [1, 4], [0.1, 1000]] as const) {
      const x = rows(5, 30, 3), a = rows(5, 30, 4), y = contrastiveDecoding(x, a, { plausibility, k });
      for (let r = 0; r < 5; r++) {
        const p = logSoftmax(x.row(r).data), q = logSoftmax(a.row(r).data), limit = Math.log(plausibility) + p.toSorted((u, v) => v - u)[Math.min(k, 30) - 1];
        const shift = logSoftmax(p.map((v, c) => (v >= limit - 1e-9 ? v - q[c] : -INF)));
        expectClose(logSoftmax(y.row(r).data), shift, { atol: 1e-5 }); // differences of float32
        expect(y.row(r).data.some((v) => v > -INF)).toBe(true);
      }
    }
    expectExact(contrastiveDecoding([3, 1], [3, 1], { plausibility: 0.001 }).data, [0, 0]);
    expectExact(contrastiveDecoding([3, -20], [3, -INF]).data, [0, -INF]); // not plausible: the amateur is not looked at
  });

  it("comparators: p t^beta / h^gamma among plausible tokens; 0 and equal ones change nothing [paper:improving-factuality-in-large-language-models-via-decoding-time]", () => {
    const x = rows(4, 20, 5), t = rows(4, 20, 6), h = rows(4, 20, 7);
    const head = contrastiveDecoding(x, x).data.map((v, i) => (v === -INF ? v : x.data[i]));
    expectExact(comparatorDecoding(x, t, h, { beta: 0, gamma: 0 }).data, head);
    expectClose(comparatorDecoding(x, t, t, { beta: 5, gamma: 5 }).data, head, { atol: 0 });
    for (const [beta, gamma] of [[1, 1], [0.5, 0.2]]) {
      const y = comparatorDecoding(x, t, h, { beta, gamma });
      for (let r = 0; r < 4; r++) {
        const [p, q, s] = [x, t, h].map((one) => logSoftmax(one.row(r).data));
        expectClose(logSoftmax(y.row(r).data), logSoftmax(p.map((v, c) => (head[20 * r + c] === -INF ? -INF : v + beta * q[c] - gamma * s[c]))), { atol: 1e-5 }); // sums of float32
      }
    }
  });

  it("inside a sampler they are what they are outside", () => {
    const x = rows(3, 50, 1), t = rows(3, 50, 6), h = rows(3, 50, 7), options = { seed: 1, topP: 0.9 };
    for (const [guidance, references, y] of [
      [{ kind: "classifier-free", scale: 2 }, [t], classifierFreeGuidance(x, t, { scale: 2 })],
      [{ kind: "contrastive", plausibility: 0.2 }, [t], contrastiveDecoding(x, t, { plausibility: 0.2 })],
      [{ kind: "comparator", beta: 0.7, k: 2 }, [t, h], comparatorDecoding(x, t, h, { beta: 0.7, k: 2 })],
    ] as const) {
      const inside = new Sampler({ ...options, guidance }).sample(x, { position: 3, references }), outside = new Sampler(options).sample(y, { position: 3 });
      expectExact(inside.tokens.data, outside.tokens.data);
      expectExact(inside.drawLogProbabilities.data, outside.drawLogProbabilities.data);
      expectClose(inside.logProbabilities, [0, 1, 2].map((r) => logSoftmax(x.row(r).data)[inside.tokens.at(r)]), { atol: 1e-6 }); // of the model itself
    }
  });

  it("say what is wrong", () => {
    expect(() => classifierFreeGuidance([1, 2], [1, -INF], { scale: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: classifierFreeGuidance: expected \`references\` finite where the logits are, got -Infinity for token 1]`);
    expect(() => classifierFreeGuidance([1, 2], [1], { scale: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: classifierFreeGuidance: expected \`unconditional\` of shape [2], got [1]]`);
    expect(() => classifierFreeGuidance([1, 2], [1, 2], { scale: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: classifierFreeGuidance: expected \`scale\` finite, got NaN]`);
    expect(() => contrastiveDecoding([1, 2], [1, 2], { plausibility: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: contrastiveDecoding: expected \`plausibility\` in (0, 1], got 0]`);
    expect(() => contrastiveDecoding([1, 2], [1, 2], { k: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: contrastiveDecoding: expected \`k\` an integer in [1, 2147483647], got 0]`);
    expect(() => comparatorDecoding([], [], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: comparatorDecoding: expected \`logits\` of shape [..., V], V >= 1, got [0]]`);
  });
});

describe("speculativeSampling", () => {
  it("keeps the target's distribution, whatever the draft: chi-square of 60,000 pairs of tokens [paper:generation-meets-verification-accelerating-large-language-model-inference-with]", () => {
    const cols = 6, target = new Sampler({ seed: 1, topP: 0.95 }), draft = new Sampler({ seed: 1, topK: 4, temperature: 1.5 });
    // Conditional rows: what follows each token, for both models.
    const p0 = target.distribution(rows(1, cols, 11)).row(0), p1 = target.distribution(rows(cols, cols, 12)), q0 = draft.distribution(rows(1, cols, 13)).row(0), logits1 = rows(cols, cols, 14), q1 = draft.distribution(logits1);
    const draws = 60000, counts = new Float64Array(cols * cols);
    let accepted = 0;
    for (let i = 0; i < draws; i++) {
      const stream = i, source = randomSource(1, stream);
      const pick = (q: Float32Array, u: number): number => { let sum = 0; const at = q.findIndex((v) => (sum += v) > u); return at < 0 ? q.findLastIndex((v) => v > 0) : at; };
      // The draft uses the very numbers that a sampler with this seed and stream would.
      const first = pick(q0.data, source.uniform()), second = pick(q1.row(first).data, source.uniform());
      const three = new Tensor("float32", [3, cols], Float32Array.of(...p0.data, ...p1.row(first).data, ...p1.row(second).data));
      const result = speculativeSampling(three, new Tensor("float32", [2, cols], Float32Array.of(...q0.data, ...q1.row(first).data)), [first, second], { seed: 1, stream, position: 0 });
      accepted += result.accepted;
      const [a] = result.tokens.data;
      // After a rejection at the first token the second comes from the target itself.
      const b = result.tokens.size > 1 ? result.tokens.at(1) : pick(p1.row(a).data, randomSource(2, stream).uniform());
      counts[a * cols + b]++;
    }
    let chi2 = 0, cells = 0;
    for (let a = 0; a < cols; a++) for (let b = 0; b < cols; b++) {
      const want = draws * p0.data[a] * p1.at(a, b);
      if (want === 0) expect(counts[a * cols + b]).toBe(0);
      else { chi2 += (counts[a * cols + b] - want) ** 2 / want; cells++; }
    }
    expect(chiSquareSurvival(chi2, cells - 1)).toBeGreaterThan(0.001);
    expect(accepted / draws).toBeGreaterThan(0.2); // the draft is of some use, so that both branches are tested
    expect(accepted / draws).toBeLessThan(1.7);
  });

  it("accepts everything where the draft is the target, and adds a token", () => {
    const p = new Sampler({ seed: 1 }).distribution(rows(5, 20, 3));
    for (let position = 0; position < 200; position++) {
      const { tokens, accepted } = speculativeSampling(p, new Tensor("float32", [4, 20], p.data.slice(0, 80)), [3, 1, 4, 1], { seed: 8, position });
      expect(accepted).toBe(4);
      expect([...tokens.data.subarray(0, 4)]).toEqual([3, 1, 4, 1]);
    }
  });

  it("never gives a token that the target has not, where rounding leaves p below q everywhere", () => {
    for (let position = 0; position < 2000; position++) expect(speculativeSampling([[0, 0.991], [0, 1]], [[0, 1]], [1], { seed: 5, position }).tokens.data[0]).toBe(1);
  });

  it("at temperature 0 is plain greedy decoding [paper:generation-meets-verification-accelerating-large-language-model-inference-with]", () => {
    const greedy = new Sampler({ temperature: 0 }), logits = rows(5, 12, 9), best = greedy.sample(logits).tokens.data, target = greedy.distribution(logits);
    for (let wrong = 0; wrong <= 4; wrong++) {
      const guess = best.slice(0, 4).map((token, t) => (t === wrong ? (token + 1) % 12 : token)), q = new Float32Array(48);
      guess.forEach((token, t) => void (q[12 * t + token] = 1));
      const { tokens, accepted } = speculativeSampling(target, { data: q, shape: [4, 12] }, guess, { seed: 0, position: wrong });
      expect(accepted).toBe(wrong);
      expect([...tokens.data]).toEqual([...best.subarray(0, wrong + 1)]);
    }
    expect([...speculativeSampling([[0, 1]], new Tensor("float32", [0, 2], new Float32Array(0)), [], { seed: 0, position: 0 }).tokens.data]).toEqual([1]);
  });

  it("says what is wrong", () => {
    const at = { seed: 1, position: 0 };
    expect(() => speculativeSampling([[0, 1]], [[0, 1]], [1], at)).toThrowErrorMatchingInlineSnapshot(`[RangeError: speculativeSampling: expected \`target\` of shape [2, 2], got [1, 2]]`);
    expect(() => speculativeSampling([[0, 1], [1, 0]], [[0, 1]], [0], at)).toThrowErrorMatchingInlineSnapshot(`[RangeError: speculativeSampling: expected \`tokens\` drawn from \`draft\`, got token 0 of probability 0 at step 0]`);
    expect(() => speculativeSampling([[0, 1], [1, 0]], [[0, 1]], [1, 1], at)).toThrowErrorMatchingInlineSnapshot(`[RangeError: speculativeSampling: expected \`tokens\` of shape [1], got [2]]`);
    expect(() => speculativeSampling([[0, 2], [1, 0]], [[0, 1]], [1], at)).toThrowErrorMatchingInlineSnapshot(`[RangeError: speculativeSampling: expected \`target\` with probabilities in [0, 1], got 2 in row 0, column 1. For logits apply softmax first]`);
    expect(() => speculativeSampling([[0, 1], [1, 0]], [[0, 1]], [1], { seed: 1, position: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: speculativeSampling: expected \`position\` an integer in [0, 9007199254740991], got -1]`);
  });
});

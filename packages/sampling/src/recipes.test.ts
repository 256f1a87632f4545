import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import { chiSquareSurvival, normalCdf } from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";

type Rows = Tensor<"float32">;
const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = testRandom(17);
const rows = (shape: readonly number[], make: (i: number) => number = () => 2 * random.normal()): Rows => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => make(i)));
const logSoftmaxOf = (z: ArrayLike<number>): number[] => {
  const list = Array.from(z), top = Math.max(...list), sum = top + Math.log(list.reduce((s, v) => s + Math.exp(v - top), 0));
  return list.map((v) => v - sum);
};
const lists = (x: Rows): number[][] => Array.from({ length: x.shape[0] }, (_, r) => Array.from(x.row(r).data));

describe("integers only [paper:i-bert-integer-only-bert-quantization]", () => {
  interface Quantised { readonly q: readonly number[]; readonly scale: number }
  const { intExp, intSoftmax, intGelu, intSqrt } = recipe<{ intExp(x: Quantised): Quantised; intSoftmax(x: Quantised, bits?: number): Quantised; intGelu(x: Quantised): Quantised; intSqrt(n: number): number }>(
    "integer-only", ["intExp", "intSoftmax", "intGelu", "intSqrt"], modules,
  );
  const real = ({ q, scale }: Quantised): number[] => q.map((v) => v * scale), scale = 2 ** -11;
  const grid = (low: number, high: number): Quantised => ({ q: Array.from({ length: Math.round((high - low) / scale) + 1 }, (_, i) => Math.round(low / scale) + i), scale });

  it("exp and GELU are within the paper's errors on a dense grid", () => {
    const x = grid(-12, 0), e = real(intExp(x)), y = grid(-6, 6), g = real(intGelu(y));
    expect(Math.max(...real(x).map((v, i) => Math.abs(e[i] - Math.exp(v))))).toBeLessThan(2.4e-3); // 2.1e-3, and rounding of the constants at this scale
    expect(Math.max(...real(y).map((v, i) => Math.abs(g[i] - v * normalCdf(v))))).toBeLessThan(2e-2);
  });

  it("are integers, bit for bit", () => {
    const x = { q: [0, -100, -1000, -2000, -5000, -20000], scale }, all = [...intExp(x).q, ...intGelu({ q: [-3000, -10, 0, 10, 3000], scale }).q, ...intSoftmax({ q: [0, 300, 2000, -700], scale }).q];
    expect(all.every(Number.isSafeInteger)).toBe(true);
    expect(all.join()).toMatchInlineSnapshot(`"11697559,11153559,7157559,4408190,1016673,669,13534128000,261529960,0,-319398580,-160744434000,46,53,123,32"`);
  });

  it("softmax sums to 1 within its steps, whatever the shift", () => {
    for (let t = 0; t < 20; t++) {
      const q = Array.from({ length: 12 }, () => Math.round(2000 * random.normal())), y = intSoftmax({ q, scale }, 10), sum = real(y).reduce((a, b) => a + b, 0);
      expect(sum).toBeLessThanOrEqual(1);
      expect(sum).toBeGreaterThan(1 - 12 * 2 ** -10);
      expect(intSoftmax({ q: q.map((v) => v + 12345), scale }, 10)).toEqual(y);
      expectClose(real(y), logSoftmaxOf(q.map((v) => v * scale)).map(Math.exp), { atol: 6e-3 }); // 2.1e-3 in numerator and denominator, and a step of 2^-10
    }
  });

  it("square roots are exact", () => {
    for (const n of [0, 1, 2, 3, 4, 8, 9, 15, 16, 99, 100, 65535, 65536, 2 ** 31 - 1, ...Array.from({ length: 200 }, () => random.integer(2 ** 31))]) expect(intSqrt(n)).toBe(Math.floor(Math.sqrt(n)));
  });
});

describe("two sources of logits [paper:understanding-and-improving-encoder-layer-fusion-in-sequence-to]", () => {
  const { hardFusion, softFusion, linearFusion } = recipe<{ hardFusion(t: Rows, s: Rows, gate: (row: number) => number): Rows; softFusion(t: Rows, s: Rows, tau?: number): Rows; linearFusion(t: Rows, s: Rows, lambda: number): Rows }>(
    "logit-fusion", ["hardFusion", "softFusion", "linearFusion"], modules,
  );
  const t = rows([5, 8]), s = rows([5, 8]);

  it("agree with the definition in float64", () => {
    for (let r = 0; r < 5; r++) {
      const p = logSoftmaxOf(t.row(r).data), q = logSoftmaxOf(s.row(r).data), tau = 0.4;
      expectClose(hardFusion(t, s, (row) => 0.1 * row + 0.2).row(r), p.map((v, c) => (0.1 * r + 0.2) * v + (0.8 - 0.1 * r) * q[c]), { atol: 1e-5 }); // float32 log-softmax
      expectClose(softFusion(t, s, tau).row(r), logSoftmaxOf(Array.from(t.row(r).data, (v, c) => v + logSoftmaxOf(s.row(r).data.map((x) => tau * x))[c])), { atol: 1e-5 });
      expectClose(linearFusion(t, s, 0.7).row(r), p.map((v, c) => Math.log(0.7 * Math.exp(v) + 0.3 * Math.exp(q[c]))), { atol: 1e-5 });
    }
  });

  it("gates 0 and 1 give one source; mixtures sum to 1, products only after a softmax", () => {
    for (const [gate, want] of [[1, t], [0, s]] as const) {
      expectClose(hardFusion(t, s, () => gate), core.logSoftmax(want), { atol: 1e-6 });
      expectClose(linearFusion(t, s, gate), core.logSoftmax(want), { atol: 1e-6 });
    }
    const mass = (x: Rows): number[] => lists(x).map((row) => row.reduce((sum, v) => sum + Math.exp(v), 0));
    expectClose(mass(linearFusion(t, s, 0.3)), [1, 1, 1, 1, 1], { atol: 1e-5 });
    expectClose(mass(softFusion(t, s)), [1, 1, 1, 1, 1], { atol: 1e-5 });
    for (const m of mass(hardFusion(t, s, () => 0.5))) expect(m).toBeLessThan(0.999);
    expectClose(softFusion(t, rows([5, 8], () => 3)), core.logSoftmax(t), { atol: 1e-5 });
  });
});

describe("noise masks [paper:policy-gradient-driven-noise-mask]", () => {
  interface Policy { readonly alpha: Float64Array; readonly beta: Float64Array }
  const { drawMask, logProb, score, reinforce } = recipe<{ drawMask(p: Policy, r: RandomSource): Float64Array; logProb(p: Policy, m: Float64Array): number; score(p: Policy, m: Float64Array): Policy; reinforce(p: Policy, m: Float64Array, reward: number, baseline: number): Policy }>(
    "noise-masks", ["drawMask", "logProb", "score", "reinforce"], modules,
  );
  const policy = { alpha: Float64Array.of(0.3, -0.2, 1), beta: Float64Array.of(0.5, 0.1, -0.4) };

  it("has the density of the Beta distribution and its gradient", () => {
    // scipy.stats.beta(2, 3).logpdf(0.25), beta(0.5, 0.5).logpdf(0.9)
    expectClose(logProb({ alpha: Float64Array.of(Math.log(2)), beta: Float64Array.of(Math.log(3)) }, Float64Array.of(0.25)), 0.523248143764548, { rtol: 1e-12 });
    expectClose(logProb({ alpha: Float64Array.of(Math.log(0.5)), beta: Float64Array.of(Math.log(0.5)) }, Float64Array.of(0.9)), 0.05924291847653618, { rtol: 1e-12 });
    const mask = Float64Array.of(0.2, 0.7, 0.95), { alpha, beta } = score(policy, mask);
    expectClose(alpha, finiteDifferenceGradient((a) => logProb({ alpha: Float64Array.from(a), beta: policy.beta }, mask), policy.alpha), { rtol: 1e-6 }); // central differences
    expectClose(beta, finiteDifferenceGradient((b) => logProb({ alpha: policy.alpha, beta: Float64Array.from(b) }, mask), policy.beta), { rtol: 1e-6 });
  });

  it("draws from it: chi-square of 20,000 masks in ten equal cells of the distribution function", () => {
    const source = randomSource(5), counts = new Float64Array(10);
    for (let i = 0; i < 20000; i++) counts[Math.min(9, Math.floor(10 * statistics.regularizedBeta(drawMask(policy, source)[0], Math.exp(0.3), Math.exp(0.5))))]++;
    expect(chiSquareSurvival(counts.reduce((sum, n) => sum + (n - 2000) ** 2 / 2000, 0), 9)).toBeGreaterThan(0.001);
  });

  it("REINFORCE has the gradient of the mean reward on average, with any baseline", () => {
    const one = { alpha: Float64Array.of(0.4), beta: Float64Array.of(0.2) }, a = Math.exp(0.4), b = Math.exp(0.2), exact = (a * b) / (a + b) ** 2; // d (a / (a + b)) / d log a
    for (const baseline of [0, 0.5]) {
      const source = randomSource(9), draws = 40000;
      let sum = 0, squares = 0;
      for (let i = 0; i < draws; i++) {
        const mask = drawMask(one, source), g = -reinforce(one, mask, mask[0], baseline).alpha[0];
        sum += g;
        squares += g * g;
      }
      const mean = sum / draws, error = Math.sqrt((squares / draws - mean ** 2) / draws);
      expect(Math.abs(mean - exact)).toBeLessThan(4 * error);
    }
  });
});

describe("a differentiable reward [paper:differentiable-reward-optimization-for-llm-based-tts-system]", () => {
  const { soft, tokenEmbeddings, rewardGrad, tokenDivergence } = recipe<{ soft(z: Rows, seed: number, t?: number): Rows; tokenEmbeddings(z: Rows, e: Rows, seed: number): Rows; rewardGrad(z: Rows, e: Rows, u: Rows, seed: number, t?: number): Rows; tokenDivergence(z: Rows, r: Rows): { values: Float64Array; grad: Rows } }>(
    "differentiable-reward", ["soft", "tokenEmbeddings", "rewardGrad", "tokenDivergence"], modules,
  );
  const z = rows([4, 6]), reference = rows([4, 6]), embeddings = rows([6, 3]), upstream = rows([4, 3]);

  it("shows the reward model exact tokens, and takes the gradient of the soft path", () => {
    const hard = tokenEmbeddings(z, embeddings, 3);
    for (const row of lists(hard)) expect(lists(embeddings)).toContainEqual(row);
    // R = <upstream, soft E>, whose Jacobian is that of softmax over T.
    const temperature = 0.7, y = lists(soft(z, 3, temperature)), back = lists(upstream).map((u) => lists(embeddings).map((e) => e.reduce((sum, v, f) => sum + v * u[f], 0)));
    const want = y.flatMap((p, t) => { const mean = p.reduce((sum, v, k) => sum + v * back[t][k], 0); return p.map((v, k) => (v * (back[t][k] - mean)) / temperature); });
    expectClose(rewardGrad(z, embeddings, upstream, 3, temperature), { shape: [4, 6], data: want }, { atol: 1e-5 }); // float32
  });

  it("the divergence is that of the sum, with its gradient; 0 for the same model", () => {
    const { values, grad } = tokenDivergence(z, reference), q = lists(reference).map(logSoftmaxOf);
    const divergence = (row: ArrayLike<number>, t: number): number => logSoftmaxOf(row).reduce((sum, p, k) => sum + Math.exp(p) * (p - q[t][k]), 0);
    expectClose(values, lists(z).map(divergence), { atol: 1e-5 });
    for (let t = 0; t < 4; t++) expectClose(grad.row(t), finiteDifferenceGradient((row) => divergence(row, t), Float64Array.from(z.row(t).data)), { atol: 1e-5 });
    expectExact(tokenDivergence(z, z).values, new Float64Array(4));
    expectExact(tokenDivergence(rows([1, 2], (i) => [0, -Infinity][i]), rows([1, 2], () => 0)).grad.data, [0, 0]);
  });
});

describe("binary vectors [paper:bipft-binary-pre-trained-foundation-transformer-with-low-rank]", () => {
  interface Bits { readonly words: Uint32Array; readonly scale: number; readonly length: number }
  interface Token { readonly bits: Bits; readonly estimate: number; readonly residual: number }
  const { binarise, signDot, binaryDot, straightThrough, attentionScore } = recipe<{ binarise(x: ArrayLike<number>): Bits; signDot(a: Bits, b: Bits): number; binaryDot(a: Bits, b: Bits): number; straightThrough(x: number, u: number): number; attentionScore(q: Token, k: Token): number }>(
    "binary-attention", ["binarise", "signDot", "binaryDot", "straightThrough", "attentionScore"], modules,
  );
  const vector = (n: number): Float64Array => Float64Array.from({ length: n }, () => random.normal());

  it("counts bits to the product of the signs", () => {
    for (const n of [1, 2, 31, 32, 33, 64, 100, 257]) {
      const a = vector(n), b = vector(n), want = a.reduce((sum, v, i) => sum + Math.sign(v) * Math.sign(b[i]), 0);
      expect(signDot(binarise(a), binarise(b))).toBe(want);
      const mean = (x: Float64Array): number => x.reduce((sum, v) => sum + Math.abs(v), 0) / n;
      expectClose(binaryDot(binarise(a), binarise(b)), mean(a) * mean(b) * want, { rtol: 1e-12, atol: 1e-15 });
    }
  });

  it("has the scale that loses least, and passes gradients inside [-1, 1]", () => {
    const x = vector(50), { scale } = binarise(x), loss = (a: number): number => x.reduce((sum, v) => sum + (v - a * Math.sign(v)) ** 2, 0);
    expectClose(finiteDifferenceGradient(([a]) => loss(a), Float64Array.of(scale)), [0], { atol: 1e-6 }); // central differences of a parabola
    expect([straightThrough(0.5, 3), straightThrough(-1, 3), straightThrough(1.1, 3)]).toEqual([3, 3, 0]);
  });

  it("residuals of one number each make up for what the signs lose, where it has rank one", () => {
    const [a, b] = [vector(16), vector(16)], q = binarise(a), k = binarise(b), token = (bits: Bits, estimate: number, residual: number): Token => ({ bits, estimate, residual });
    expectClose(attentionScore(token(q, 0, 0), token(k, 0, 0)), binaryDot(q, k) / 4, { rtol: 1e-12 });
    expectClose(attentionScore(token(q, 0.3, 0.2), token(k, -0.5, 0.7)), (binaryDot(q, k) + 0.3 * 0.7 + 0.2 * -0.5 + 0.2 * 0.7) / 4, { rtol: 1e-12 });
  });
});

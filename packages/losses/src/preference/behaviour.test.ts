import { randomSource, Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { aotLoss, apoDownLoss, bcoLoss, coverageLoss, cpoLoss, discopopLoss, dpoLoss, exoLoss, grpoLoss, ipoLoss, ktoLoss, orpoLoss, rewardModelLoss, robustDpoLoss, sequenceLogProbs, simpoLoss, slicLoss } from "./index.ts";

const random = testRandom(3), none = { reduction: "none" } as const;
const list = (n: number, scale = 2): Float32Array => Float32Array.from({ length: n }, () => scale * random.normal());
const ls = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

describe("limits and laws", () => {
  it("starts at log 2 and answers swapped pairs", () => {
    const [w, l, rw, rl] = [list(4), list(4), list(4), list(4)];
    expectClose(dpoLoss(w, l, w, l, none).data, [1, 1, 1, 1].map(() => Math.LN2), { rtol: 1e-7 });
    // -log sigmoid(m) - -log sigmoid(-m) = -m.
    const m = w.map((x, i) => x - rw[i] - (l[i] - rl[i]));
    expectClose(dpoLoss(w, l, rw, rl, { beta: 1, ...none }).data.map((v, i) => v - dpoLoss(l, w, rl, rw, { beta: 1, ...none }).data[i]), m.map((x) => -x), { atol: 1e-6 });
  });

  it("turns one loss into another", () => {
    const [w, l, rw, rl] = [list(5), list(5), list(5), list(5)], zero = new Float32Array(5);
    expectExact(robustDpoLoss(w, l, rw, rl).item(), dpoLoss(w, l, rw, rl).item());
    expectExact(cpoLoss(w, l).item(), dpoLoss(w, l, zero, zero).item());
    expectExact(simpoLoss(w, l, { gamma: 0, beta: 0.1 }).item(), cpoLoss(w, l).item());
    expectExact(rewardModelLoss(w, l).item(), cpoLoss(w, l, { beta: 1 }).item());
    expectExact(dpoLoss(w, l, rw, rl, { divergence: 1 }).item(), dpoLoss(w, l, rw, rl).item());
    expectExact(dpoLoss(w, l, rw, rl, { divergence: 0 }).item(), dpoLoss(w, l, rw, rl, { divergence: "forward-kl" }).item());
    expectClose(simpoLoss(w, l, { alpha: 1e-7 }).item(), simpoLoss(w, l).item(), { rtol: 1e-5 });
    expectExact(aotLoss([1], [2], [3], [4]).item(), dpoLoss([1], [2], [3], [4]).item());
    // Small label noise: EXO's divergence less that of certainty is a multiple of log e.
    expect(exoLoss([0], [9], [0], [0], { beta: 1 }).item()).toBeGreaterThan(6);
  });

  it("is right in the mean over swapped pairs (robust DPO)", () => {
    const [w, l, rw, rl] = [list(5), list(5), list(5), list(5)], labelSmoothing = 0.3, options = { beta: 1, labelSmoothing, ...none };
    const straight = robustDpoLoss(w, l, rw, rl, options).data, swapped = robustDpoLoss(l, w, rl, rw, options).data;
    expectClose(straight.map((v, i) => (1 - labelSmoothing) * v + labelSmoothing * swapped[i]), dpoLoss(w, l, rw, rl, { beta: 1, ...none }).data, { atol: 1e-6 });
  });

  it("sorts: the order of pairs does not matter to optimal transport", () => {
    const [w, l, rw, rl] = [list(6), list(6), list(6), list(6)], order = randomSource(1).permutation(6), turned = (x: Float32Array): Float32Array => Float32Array.from(order, (i) => x[i]);
    expectClose(aotLoss(w, l, turned(rw), turned(rl)).item(), aotLoss(w, l, rw, rl).item(), { rtol: 1e-6 });
    expectClose(aotLoss(w, turned(l), rw, turned(rl), { unpaired: true }).item(), aotLoss(w, l, rw, rl, { unpaired: true }).item(), { rtol: 1e-6 });
  });

  it("is the likelihood at one sample, and the chance of N draws [paper:rethinking-fine-tuning-when-scaling-test-time-compute-limiting]", () => {
    const x = list(5).map((v) => -Math.abs(v));
    expectExact(coverageLoss(x, none).data, x.map((v) => -v));
    // F: from 1 where p is small to 0 where it is near 1.
    const { grad } = coverageLoss.withGrad([-60, -Math.LN2, -1e-3], { samples: 16, reduction: "sum" });
    expectClose(grad.data, [-1, -16 * 0.5 ** 16 / (1 - 0.5 ** 16), 0], { atol: 2e-7 }); // 1 - F is 7.5 e^-60 there
    // p = 1e-30 in float32 and below its range: the union of N rare events.
    expectClose(coverageLoss([Math.log(1e-30), -1000], { samples: 64, ...none }).data, [30 * Math.LN10 - Math.log(64), 1000 - Math.log(64)], { rtol: 2e-7 });
    expectClose(coverageLoss([-1e-6], { samples: 2 }).item(), Math.fround(-1e-6) ** 2, { rtol: 2e-6 });
    expectExact(coverageLoss([0], { samples: 4 }).item(), 0);
    // pass@k of c right answers among n is the mean of the indicator over all k-subsets.
    const passAtK = (n: number, c: number, k: number): number => 1 - Array.from({ length: k }, (_, i) => Math.max(0, n - c - i) / (n - i)).reduce((a, b) => a * b, 1);
    const subsets = (n: number, k: number, from = 0): number[][] => (k === 0 ? [[]] : Array.from({ length: n - from }, (_, i) => from + i).flatMap((i) => subsets(n, k - 1, i + 1).map((rest) => [i, ...rest])));
    for (const [n, c, k] of [[6, 2, 3], [5, 0, 2], [5, 4, 2], [4, 1, 4]]) expectClose(passAtK(n, c, k), subsets(n, k).filter((s) => s.some((i) => i < c)).length / subsets(n, k).length, { rtol: 1e-12 });
  });

  it("weighs corrected segments: dense DPO [paper:rlhf-v-towards-trustworthy-mllms-via-behavior-alignment-from]", () => {
    const logits = new Tensor("float32", [1, 4, 3], list(12)), labels = [[0, 2, 1, 1]], gamma = 5, corrected = [[1, gamma, gamma, 1]], token = [0, 1, 2, 3].map((t) => sequenceLogProbs(logits, labels, { where: [[0, 1, 2, 3].map((i) => Number(i === t))] }).item());
    expectClose(sequenceLogProbs(logits, labels, { weight: corrected, normalize: true }).data, [(token[0] + token[3] + gamma * (token[1] + token[2])) / (2 + 2 * gamma)], { rtol: 1e-6 });
    expectClose(sequenceLogProbs(logits, labels, { weight: [[1, 1, 1, 1]], normalize: true }).data, [token.reduce((a, b) => a + b, 0) / 4], { rtol: 1e-6 });
    const policy = sequenceLogProbs(logits, labels, { weight: corrected, normalize: true });
    expectClose(dpoLoss(policy, policy, policy, policy).item(), Math.LN2, { rtol: 1e-7 });
    expectClose(dpoLoss.withGrad([1], [0], [0], [0], { beta: 2 }).grads.chosen.data, [-2 * Math.exp(ls(-2))], { rtol: 1e-6 });
  });

  it("goes from the scores of tokens to the loss and back", () => {
    const shape = [2, 3, 4], [w, l] = [new Tensor("float32", shape, list(24, 1)), new Tensor("float32", shape, list(24, 1))], labels = [[[0, 1, 2], [3, 3, -100]], [[1, 1, -100], [0, 2, 1]]], options = { ignoreIndex: -100 }, reference = [[-3, -2], [-2.5, -4]], beta = 0.7;
    const value = (x: ArrayLike<number>, y: ArrayLike<number>): number => {
      const sum = (z: ArrayLike<number>, b: number, own: number[][]): number => own[b].reduce((total, label, t) => {
        const row = Array.from({ length: 4 }, (_, c) => z[(3 * b + t) * 4 + c]);
        return label < 0 ? total : total + row[label] - Math.log(row.reduce((s, v) => s + Math.exp(v), 0));
      }, 0);
      return [0, 1].reduce((total, b) => total - ls(beta * (sum(x, b, labels[0]) - reference[0][b] - sum(y, b, labels[1]) + reference[1][b])) / 2, 0);
    };
    const logps = [sequenceLogProbs(w, labels[0], options), sequenceLogProbs(l, labels[1], options)], { loss, grads } = dpoLoss.withGrad(logps[0], logps[1], reference[0], reference[1], { beta });
    expectClose(loss.item(), value(w.data, l.data), { rtol: 1e-6 });
    const { grad, logProbs } = sequenceLogProbs.withGrad(w, labels[0], { ...options, upstream: grads.chosen });
    expectExact(logProbs.data, Float64Array.from(logps[0].data));
    expectClose(grad.data, finiteDifferenceGradient((x) => value(x, l.data), w.data), { atol: 1e-6 });
    expectClose(sequenceLogProbs.withGrad(l, labels[1], { ...options, upstream: grads.rejected }).grad.data, finiteDifferenceGradient((x) => value(w.data, x), l.data), { atol: 1e-6 });
  });
});

describe("special values", () => {
  it("is finite where peers overflow", () => {
    // exp(-m) sigma(m / tau) is infinity times 0 as two factors.
    const { loss, grads } = discopopLoss.withGrad([-9000, 9000], [0, 0], [0, 0], [0, 0], { ...none, beta: 1 });
    expectClose(loss.data, [9000, 0], { rtol: 1e-7 });
    expectClose(grads.chosen.data, [-1, 0], { atol: 1e-7 });
    // Both rewards beyond float64: the order decides.
    expect(dpoLoss([-800, -900], [-900, -800], [0, 0], [0, 0], { divergence: "forward-kl", ...none }).toArray()).toEqual([0, Infinity]);
    expect(dpoLoss.withGrad([-800], [-900], [0], [0], { divergence: "forward-kl" }).grads.chosen.item()).toBe(0);
  });

  it("has an odds ratio next to certainty", () => {
    const { loss, grads } = orpoLoss.withGrad([-1e-8, 0, -30], [-1, -1, -40], { ...none, beta: 1 });
    const odds = 1e8, rejected = Math.exp(-1) / (1 - Math.exp(-1)), p = Math.fround(-1e-8);
    expectClose(loss.data, [Math.log1p(rejected / odds), 0, Math.log1p(Math.exp(-10))], { rtol: 1e-6 });
    expectClose(grads.chosen.data, [-rejected / (-p * (1 / -p)), -Math.exp(-1) / (1 - Math.exp(-1)), -Math.exp(-10) / (1 + Math.exp(-10))], { rtol: 1e-4 });
    expect(orpoLoss([0], [0]).item()).toBe(NaN);
    expect(orpoLoss([-1], [0]).item()).toBe(Infinity);
    expect(orpoLoss.withGrad([-1], [0]).grads.rejected.item()).toBe(Infinity); // beta / (1 - p) grows without bound as p nears 1
    expect(orpoLoss([0.5], [-1]).item()).toBe(NaN);
  });

  it("gives nothing where nothing is asked: hinge, clip", () => {
    expectExact(slicLoss.withGrad([10], [0], [0], [0], { beta: 0.1 }).grads.chosen.data, [0]);
    const { loss, grad } = grpoLoss.withGrad([0.5, 0.5, -0.5, -0.5], [0, 0, 0, 0], [1, -1, 1, -1], { ...none });
    expectClose(loss.data, [-1.2, Math.exp(0.5), -Math.exp(-0.5), 0.8], { rtol: 1e-6 });
    expectClose(grad.data, [0, Math.exp(0.5), -Math.exp(-0.5), 0], { rtol: 1e-6 });
    expectClose(grpoLoss([1], [0], [-1], { maxRatio: 2 }).item(), 2, { rtol: 1e-7 });
  });

  it("takes an option that is undefined for one that is not given", () => {
    expectExact(simpoLoss([-1], [-2], { beta: undefined, gamma: undefined }), simpoLoss([-1], [-2]));
  });

  it("propagates NaN and answers empty batches", () => {
    for (const loss of [dpoLoss, ipoLoss, apoDownLoss, exoLoss]) {
      expect(loss([NaN, 1], [0, 0], [0, 0], [0, 0], none).data[0]).toBe(NaN);
      expect(loss(new Float32Array(0), new Float32Array(0), new Float32Array(0), new Float32Array(0)).item()).toBe(0);
    }
    expect(sequenceLogProbs([[[0, 1]], [[1, 0]]], [[-1], [0]], { ignoreIndex: -1, normalize: true }).data[0]).toBe(0);
  });
});

it("says what is wrong", () => {
  expect(() => dpoLoss([0], [0, 1], [0], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`rejected\` of shape [1], got [2]]`);
  expect(() => dpoLoss([[0]], [[0]], [[0]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`chosen\` of shape [B], got [1, 1]]`);
  expect(() => dpoLoss([0], [0], [0], [0], { beta: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`beta\` a finite number > 0, got 0]`);
  expect(() => dpoLoss([0], [0], [0], [0], { labelSmoothing: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`labelSmoothing\` in [0, 1/2), got 0.5]`);
  expect(() => dpoLoss([0], [0], [0], [0], { divergence: "chi" as "forward-kl" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`divergence\` "reverse-kl", "forward-kl", "jensen-shannon" or an alpha, got chi]`);
  expect(() => exoLoss([0], [0], [0], [0], { labelSmoothing: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: exoLoss: expected \`labelSmoothing\` in (0, 1/2), got 0]`);
  expect(() => discopopLoss([0], [0], [0], [0], { tau: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: discopopLoss: expected \`tau\` a finite number > 0, got -1]`);
  expect(() => rewardModelLoss([0], [0], { margin: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: rewardModelLoss: expected \`margin\` of shape [1], got [2]]`);
  expect(() => ktoLoss([0], [0], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ktoLoss: expected \`targets\` in [0, 1], got 2 at index 0]`);
  expect(() => ktoLoss([0], [0], [1], { kl: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ktoLoss: expected \`kl\` finite and at least 0, got -1]`);
  expect(() => bcoLoss([0], [0, 1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: bcoLoss: expected \`reference\` of shape [1], got [2]]`);
  expect(() => coverageLoss([0], { samples: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageLoss: expected \`samples\` a finite number of at least 1, got 0]`);
  expect(() => grpoLoss([0], [0], [0], { clip: [0.2, NaN] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: grpoLoss: expected \`clip\` at least 0, or [low, high] of that, got 0.2,NaN]`);
  expect(() => grpoLoss([0], [0], [0], { maxRatio: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: grpoLoss: expected \`maxRatio\` a finite number > 0, got 0]`);
  expect(() => grpoLoss([0], [0], [0], { beta: 1, reference: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: grpoLoss: expected \`reference\` of shape [1], got [2]]`);
  expect(() => grpoLoss([0], [0], [0], { beta: 1 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: grpoLoss: expected \`reference\` a tensor, typed array, { data, dims } or nested number arrays, got undefined]`);
  expect(() => sequenceLogProbs([[0, 1]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceLogProbs: expected \`logits\` of shape [B, T, C], got [1, 2]]`);
  expect(() => sequenceLogProbs([[[0, 1]]], [[2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sequenceLogProbs: expected \`labels\` in [0, 2), got 2 at index 0]`);
});

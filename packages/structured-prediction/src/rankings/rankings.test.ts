import { Tensor, randomSource } from "@logits/tensor";
import { distributionChecks, expectClose, expectExact, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { PlackettLuce, assignment, fitPlackettLuce, pointerBeam, pointerLoss, pointerScores, sinkhorn, tiedRankingLogProb } from "./index.ts";

const random = testRandom(17);

function arrangements(n: number, k: number): number[][] {
  return k === 0 ? [[]] : arrangements(n, k - 1).flatMap((prefix) => Array.from({ length: n }, (_, j) => j).filter((j) => !prefix.includes(j)).map((j) => [...prefix, j]));
}

/** The definition. */
function logP(s: readonly number[], order: readonly number[]): number {
  const left = new Set(s.keys());
  let total = 0;
  for (const j of order) {
    total += s[j] - Math.log([...left].reduce((sum, i) => sum + Math.exp(s[i]), 0));
    left.delete(j);
  }
  return order.some((j) => s[j] === -Infinity) ? -Infinity : total;
}

describe("PlackettLuce", () => {
  const cases = ([[[0.3, -1, 2], 3], [[1, 1, 1, 1], 2], [[0.5, -Infinity, 2, -1.5], 3], [[3, -2, 0.1, 1, 0], 5], [[0.2, 0.1, 3, -4], 1], [[7], 1], [[0, -Infinity], 2]] as [number[], number][]).map(([given, places]) => {
    const scores = given.map(Math.fround), other = scores.map((x, i) => Math.fround(x === -Infinity ? x : x / 2 + 0.3 * i)), all = arrangements(scores.length, places);
    return {
      name: `${scores.join(" ")}, ${places} places`,
      make: () => new PlackettLuce(Float32Array.from(scores), { places }),
      other: () => new PlackettLuce(Float32Array.from(other), { places }),
      structures: all.map((labels) => ({ labels, score: logP(scores, labels), other: logP(other, labels) })),
      structure: (labels: readonly number[]) => Int32Array.from(labels),
      marginals: (d: PlackettLuce) => d.marginals().places.data,
      parts: (labels: readonly number[]) => labels.map((j, r) => j * places + r),
    };
  });
  it.each(distributionChecks(cases as never))("$name", ({ run }) => run());

  it("has the gradient of log p", () => {
    const s = Float32Array.of(0.3, -1, 2, 0.7, -Infinity), order = [2, 0, 3], { value, grads } = new PlackettLuce(s, { places: 3 }).logProbWithGrad(Int32Array.from(order), { upstream: [2] }), h = 1e-5;
    expectClose(value[0], logP(Array.from(s), order), { rtol: 1e-12 });
    const want = Array.from(s, (x, j) => (x === -Infinity ? 0 : (2 * (logP(Array.from(s, (y, i) => (i === j ? y + h : y)), order) - logP(Array.from(s, (y, i) => (i === j ? y - h : y)), order))) / (2 * h)));
    expectClose(grads.scores.data, want, { atol: 1e-7 });
    expectExact(new PlackettLuce([0, -Infinity], { places: 1 }).logProbWithGrad([1]).grads.scores.data, [0, 0]);
  });

  it("answers a batch as single items, and keeps its digits at scores of any size", () => {
    const scores = [[2, 1, 0], [500, -500, 0]], both = new PlackettLuce(scores, { places: 2 }), alone = scores.map((s) => new PlackettLuce(s, { places: 2 })), y = [[1, 0], [0, 2]];
    expectExact(both.logProb(y), alone.flatMap((d, b) => Array.from(d.logProb([y[b]]))));
    expectExact(both.marginals().included.data, alone.flatMap((d) => Array.from(d.marginals().included.data)));
    expectExact(both.argmax().labels.data, [0, 1, 0, 2]);
    expect(both.topK(2).labels.shape).toEqual([2, 2, 2]);
    expect(both.sample(randomSource(1), 3).shape).toEqual([3, 2, 2]);
    expectClose(alone[1].marginals().included.data, [1, Math.exp(-500), 1], { atol: 1e-12 });
    expectClose(alone[1].logProb([1, 0])[0], -1000, { rtol: 1e-12 });
  });

  it("has inclusion probabilities that sum to the places, for many items", () => {
    const scores = Float32Array.from({ length: 400 }, () => 3 * random.normal()), d = new PlackettLuce(scores, { places: 10 }), { places, included } = d.marginals();
    expectClose(included.data.reduce((a, b) => a + b, 0), 10, { rtol: 1e-6 });
    for (let r = 0; r < 10; r++) expectClose(Array.from({ length: 400 }, (_, j) => places.at(j, r)).reduce((a, b) => a + b, 0), 1, { rtol: 1e-6 });
    // The first place is softmax.
    const z = scores.reduce((sum, x) => sum + Math.exp(x), 0);
    for (let j = 0; j < 400; j++) expectClose(places.at(j, 0), Math.exp(scores[j]) / z, { rtol: 1e-6 });
  });

  it("says who comes first of two, and estimates entropies that are too many to sum", () => {
    const d = new PlackettLuce([1, 0, -2]), all = arrangements(3, 3), p = d.pairwise();
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) if (i !== j) expectClose(p.at(i, j), all.filter((y) => y.indexOf(i) < y.indexOf(j)).reduce((sum, y) => sum + Math.exp(logP([1, 0, -2], y)), 0), { rtol: 1e-6 });
    const { mean, standardError } = d.entropyEstimate(randomSource(2), 2000);
    expect(Math.abs(mean[0] - d.entropy()[0])).toBeLessThan(4 * standardError[0] + 1e-12);
    const wide = new PlackettLuce(Float32Array.from({ length: 60 }, () => random.normal()));
    expect(() => wide.entropy()).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.entropy: expected \`places\` so few that at most 262144 sets of items can be left, got 60 places of 60 items. Take entropyEstimate, or fewer places]`);
    // All 60 places: log 60! less what the scores know.
    expect(wide.entropyEstimate(randomSource(3), 50).mean[0]).toBeLessThan(Array.from({ length: 60 }, (_, i) => Math.log(i + 1)).reduce((a, b) => a + b, 0));
    expectClose(new PlackettLuce(new Float32Array(40), { places: 2 }).entropy()[0], Math.log(40) + Math.log(39), { rtol: 1e-9 });
  });

  it("has these messages", () => {
    const d = new PlackettLuce([1, 2, 3], { places: 2 });
    expect(() => new PlackettLuce([[[1]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce: expected \`scores\` of shape [N] or [B, N] with at least one item, got [1, 1, 1]]`);
    expect(() => new PlackettLuce([1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce: expected \`scores\` finite, or -Infinity for items that are never ranked, got NaN at index 1]`);
    expect(() => new PlackettLuce([1, 2], { places: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce: expected \`places\` an integer in [1, 2], got 3]`);
    expect(() => d.logProb([0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.score: expected \`rankings\` of shape [2], got [1]]`);
    expect(() => d.logProb([0, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.score: expected \`rankings\` in [0, 3), got 3 at index 1]`);
    expect(() => d.logProb([1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.score: expected \`rankings\` of different items, got 1 again at index 1]`);
    expect(() => d.topK(0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.topK: expected \`k\` an integer in [1, 2147483647], got 0]`);
    expect(() => d.crossEntropy(new PlackettLuce([1, 2]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.crossEntropy: expected \`other\` over 2 places of 3 items, a batch of 1, got 2 of 2, 1]`);
    expect(() => new PlackettLuce([0, -Infinity]).argmax()).toThrowErrorMatchingInlineSnapshot(`[RangeError: PlackettLuce.argmax: no ranking has a finite score in batch item 0: fewer than 2 items can be ranked]`);
  });
});

describe("fitPlackettLuce", () => {
  it("finds planted scores, from full and partial rankings", () => {
    const planted = [1.2, 0.4, 0, -0.6, -1], source = randomSource(9), centre = planted.reduce((a, b) => a + b, 0) / 5;
    for (const places of [5, 2]) {
      const rankings = new PlackettLuce(planted, { places }).sample(source, 4000), { scores, iterations } = fitPlackettLuce(rankings, { prior: 0, items: 5 });
      expectClose(scores.data, planted.map((x) => x - centre), { atol: 0.1 }); // standard errors about 0.025
      expect(iterations).toBeLessThan(200);
    }
  });

  it("is at the maximum of the likelihood, with its prior", () => {
    const rankings = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, -1, -1]], prior = 0.5, { scores, logLikelihood } = fitPlackettLuce(rankings, { prior });
    const fit = (s: readonly number[]): number => rankings.reduce((sum, y) => sum + logP(s, y.filter((j) => j >= 0)), 0);
    expectClose(logLikelihood, fit(Array.from(scores.data)), { rtol: 1e-6 });
    // The item beside has score 0: the scores are those of the maximum up to a common shift, found here along it.
    const penalised = (s: readonly number[], shift: number): number => fit(s) + s.reduce((sum, x) => sum + prior * (x + shift - 2 * Math.log(1 + Math.exp(x + shift))), 0);
    const best = (s: readonly number[]): number => Math.max(...Array.from({ length: 4001 }, (_, i) => penalised(s, -2 + i / 1000)));
    const own = best(Array.from(scores.data));
    for (let trial = 0; trial < 40; trial++) expect(best(Array.from(scores.data, (x) => x + 0.05 * random.normal()))).toBeLessThanOrEqual(own + 1e-6);
  });

  it("agrees with Bradley and Terry's closed form for two items, and keeps items apart that always win", () => {
    const { scores } = fitPlackettLuce([[0, 1], [0, 1], [0, 1], [1, 0]], { prior: 0 });
    expectClose(scores.data, [Math.log(3) / 2, -Math.log(3) / 2], { rtol: 1e-6 });
    const sure = fitPlackettLuce([[0, 1], [0, 1]]);
    expectClose(sure.scores.data[0], -sure.scores.data[1], { rtol: 1e-6 });
    expect(sure.scores.data[0]).toBeGreaterThan(0.5);
    expect(() => fitPlackettLuce([[0, 1]], { prior: 0, maxIterations: 50 })).toThrowErrorMatchingInlineSnapshot(`[ConvergenceError: fitPlackettLuce: expected scores that settle within 50 steps, got scores that run away or move slowly. Take a prior above 0]`);
  });

  it("has these messages", () => {
    expect(() => fitPlackettLuce([[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitPlackettLuce: expected \`rankings\` of different items, got 0 again at index 1]`);
    expect(() => fitPlackettLuce([[-1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitPlackettLuce: expected \`rankings\` in [0, 1), with -1 only at the end, got 0 at index 1]`);
    expect(() => fitPlackettLuce([[0, 5]], { items: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitPlackettLuce: expected \`rankings\` in [0, 3), with -1 only at the end, got 5 at index 1]`);
    expect(() => fitPlackettLuce([0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitPlackettLuce: expected \`rankings\` of shape [M, K] with at least one ranking, got [2]]`);
    expect(() => fitPlackettLuce([[0, 1]], { prior: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fitPlackettLuce: expected \`prior\` finite and not negative, got -1]`);
  });
});

describe("tiedRankingLogProb", () => {
  /** Every ranking with ties of n items. */
  const weak = (n: number): number[][] => {
    const of = (items: number[]): number[][][] => (items.length === 0 ? [[]] : Array.from({ length: 2 ** items.length - 1 }, (_, m) => items.filter((_, i) => ((m + 1) >> i) & 1)).flatMap((first) => of(items.filter((j) => !first.includes(j))).map((rest) => [first, ...rest])));
    return of(Array.from({ length: n }, (_, j) => j)).map((places) => Array.from({ length: n }, (_, j) => places.findIndex((place) => place.includes(j))));
  };

  it("gives all rankings with ties probabilities that sum to 1", () => {
    for (const [scores, delta] of [[[0.3, -1, 2], [0.7, 0.2]], [[1, 1, 1, 1], [1, 0, 0.5]], [[2, -3], [1]]] as [number[], number[]][]) {
      expectClose(weak(scores.length).reduce((sum, ranks) => sum + Math.exp(tiedRankingLogProb(scores, ranks, { delta })), 0), 1, { rtol: 1e-12 });
    }
  });

  it("is Plackett and Luce without ties, and knows its two-item case", () => {
    expectClose(tiedRankingLogProb([0.5, 2, -1], [1, 0, 2], { delta: [] }), new PlackettLuce([0.5, 2, -1]).logProb([1, 0, 2])[0], { rtol: 1e-12 });
    expectClose(tiedRankingLogProb([0, 0], [5, 5]), Math.log(1 / 3), { rtol: 1e-12 });
    expectClose(tiedRankingLogProb([1, 0], [0, 0], { delta: [0.5] }), Math.log((0.5 * Math.exp(0.5)) / (Math.E + 1 + 0.5 * Math.exp(0.5))), { rtol: 1e-12 });
    expect(tiedRankingLogProb([1, 0, 2], [0, 0, 0])).toBe(-Infinity);
    expectClose(tiedRankingLogProb([1000, -1000], [0, 1]), Math.log(1 / (1 + Math.exp(-1000))), { atol: 1e-12 });
    expect(tiedRankingLogProb([], [])).toBe(0);
  });

  it("has these messages", () => {
    expect(() => tiedRankingLogProb([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: tiedRankingLogProb: expected \`ranks\` of shape [2], got [1]]`);
    expect(() => tiedRankingLogProb([1, -Infinity], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: tiedRankingLogProb: expected \`scores\` finite, got -Infinity at index 1]`);
    expect(() => tiedRankingLogProb([1, 2], [0, 1], { delta: [-1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tiedRankingLogProb: expected \`delta\` finite and not negative, got -1 at index 0]`);
  });
});

describe("pointers [paper:pointer-networks]", () => {
  const floats = (shape: number[]): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()) });

  it("scores by additive attention", () => {
    const x = floats([4, 3]), q = floats([2, 5]), encoder = floats([3, 6]), decoder = floats([5, 6]), v = floats([6]), got = pointerScores(x, q, { encoder, decoder, v });
    for (let m = 0; m < 2; m++) for (let n = 0; n < 4; n++) {
      let want = 0;
      for (let h = 0; h < 6; h++) {
        let inner = 0;
        for (let e = 0; e < 3; e++) inner += x.data[3 * n + e] * encoder.data[6 * e + h];
        for (let d = 0; d < 5; d++) inner += q.data[5 * m + d] * decoder.data[6 * d + h];
        want += v.data[h] * Math.tanh(inner);
      }
      expectClose(got.at(m, n), want, { atol: 2e-6 });
    }
    // Another order of the positions is another order of the scores.
    const order = [2, 0, 3, 1], moved = { ...x, data: Float32Array.from(order.flatMap((n) => Array.from(x.data.subarray(3 * n, 3 * n + 3)))) };
    expectClose(pointerScores(moved, q, { encoder, decoder, v }).data, [0, 1].flatMap((m) => order.map((n) => got.at(m, n))), { atol: 1e-6 });
    expect(() => pointerScores(x, q, { encoder: decoder, decoder, v })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pointerScores: expected \`weights.encoder\` of shape [3, 6], got [5, 6]]`);
  });

  const scores = floats([4, 3, 4]), targets = { dtype: "int32" as const, shape: [4, 3], data: Int32Array.of(0, 1, 2, 3, 1, 0, 2, 3, -1, 1, -1, -1) };
  const definition = (s: ArrayLike<number>, y: ArrayLike<number>): number => {
    let total = 0;
    for (let t = 0; t < 3 && y[t] >= 0; t++) {
      const taken = Array.from(y).slice(0, t), row = [0, 1, 2, 3].filter((n) => !taken.includes(n)).map((n) => s[4 * t + n]), top = Math.max(...row);
      total += top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0)) - s[4 * t + y[t]];
    }
    return total;
  };
  it.each(lossChecks({ name: "pointerLoss", loss: pointerLoss, cases: [{ name: "four sequences", arguments: [scores, targets] }], reference: ([s, y]) => definition(s, y), bound: { rtol: 3e-6, atol: 1e-6 }, gradientBound: { atol: 2e-6 } }))("$name", ({ run }) => run());

  it("gives permutations probabilities that sum to 1", () => {
    const s = floats([1, 4, 4]), total = arrangements(4, 4).reduce((sum, y) => sum + Math.exp(-pointerLoss(s, { data: Int32Array.from(y), shape: [1, 4] }).item()), 0);
    expectClose(total, 1, { rtol: 1e-5 });
  });

  it("finds the best sequence with a wide beam, the greedy one with width 1", () => {
    const s = floats([1, 4, 4]), row = (t: number): Float32Array => s.data.subarray(4 * t, 4 * t + 4), all = arrangements(4, 4).map((y) => ({ y, p: -pointerLoss(s, { data: Int32Array.from(y), shape: [1, 4] }).item() })).sort((a, b) => b.p - a.p);
    const found = pointerBeam({ length: 4, scores: (prefix) => row(prefix.length) }, { width: 24 });
    expect(found.map(({ positions }) => positions)).toEqual(all.map(({ y }) => y));
    expectClose(found.map(({ logProb }) => logProb), all.map(({ p }) => p), { rtol: 1e-5 });
    const [greedy] = pointerBeam({ length: 4, scores: (prefix) => row(prefix.length) });
    const taken: number[] = [];
    for (let t = 0; t < 4; t++) taken.push([0, 1, 2, 3].filter((n) => !taken.includes(n)).reduce((a, n) => (row(t)[n] > row(t)[a] ? n : a), [0, 1, 2, 3].find((n) => !taken.includes(n))!));
    expect(greedy.positions).toEqual(taken);
    expect(pointerBeam({ length: 5, scores: () => row(0) })).toEqual([]);
    expect(pointerBeam({ length: 2, scores: () => row(0), allowed: (n, prefix) => n === prefix.length })[0].positions).toEqual([0, 1]);
  });

  it("has these messages", () => {
    expect(() => pointerLoss([[[1, 2]]], [[2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: pointerLoss: expected \`targets\` in [0, 2), with -1 only at the end, got 2 at index 0]`);
    expect(() => pointerLoss([[[1, 2], [1, 2]]], [[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: pointerLoss: expected \`targets\` of positions that were not taken before, got 0 again at index 1]`);
    expect(() => pointerLoss([[[1, 2], [1, 2]]], [[-1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: pointerLoss: expected \`targets\` in [0, 2), with -1 only at the end, got 0 at index 1]`);
    expect(() => pointerBeam({ length: 1, scores: () => [NaN] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: pointerBeam: expected \`scores\` finite, or -Infinity, got NaN at position 0 after []]`);
  });
});

describe("sinkhorn", () => {
  it("has the masses of rows and columns, and the form of a Gibbs distribution", () => {
    const N = 5, M = 4, s = new Tensor("float32", [N, M], Float32Array.from({ length: 20 }, () => 2 * random.normal())), rows = Float32Array.of(0.1, 0.2, 0.3, 0.15, 0.25), columns = Float32Array.of(0.4, 0.1, 0.2, 0.3);
    const { plan, residual } = sinkhorn(s, { temperature: 0.5, rows, columns, tolerance: 1e-9, maxIterations: 5000 });
    expect(residual).toBeLessThan(1e-8);
    for (let i = 0; i < N; i++) expectClose(plan.row(i).data.reduce((a: number, b: number) => a + b, 0), rows[i], { atol: 1e-6 });
    for (let j = 0; j < M; j++) expectClose(Array.from({ length: N }, (_, i) => plan.at(i, j)).reduce((a, b) => a + b, 0), columns[j], { atol: 1e-6 });
    // Cross ratios know only the scores.
    expectClose(Math.log((plan.at(0, 0) * plan.at(1, 1)) / (plan.at(0, 1) * plan.at(1, 0))), (s.at(0, 0) + s.at(1, 1) - s.at(0, 1) - s.at(1, 0)) / 0.5, { atol: 1e-4 });
  });

  it("has the plan as the gradient of its value", () => {
    const data = Float32Array.from({ length: 9 }, () => random.normal()), value = (k: number, h: number): number => sinkhorn({ data: Float64Array.from(data, (x, i) => x + (i === k ? h : 0)), shape: [3, 3] }, { tolerance: 1e-12, maxIterations: 10000 }).value, h = 2 ** -8;
    const { plan } = sinkhorn({ data, shape: [3, 3] }, { tolerance: 1e-12, maxIterations: 10000 });
    for (let k = 0; k < 9; k++) expectClose(plan.data[k], (value(k, h) - value(k, -h)) / (2 * h), { atol: 3e-5 }); // scores are float32
  });

  it("becomes the assignment as it cools, and leaves out what cannot be", () => {
    const s = new Tensor("float32", [6, 6], Float32Array.from({ length: 36 }, () => random.normal())), { columns } = assignment(s), { plan } = sinkhorn(s, { temperature: 0.005, maxIterations: 20000 });
    for (let i = 0; i < 6; i++) expect(plan.at(i, columns.at(i)) * 6).toBeGreaterThan(0.9);
    expectClose(sinkhorn([[0, -Infinity], [0, 0]], { rows: [0.5, 0.5], columns: [0.5, 0.5], tolerance: 1e-3, maxIterations: 100000 }).plan.data, [0.5, 0, 0, 0.5], { atol: 2e-3 });
    expectClose(sinkhorn([[1e4, 0], [0, 1e4]]).plan.data, [0.5, 0, 0, 0.5], { atol: 1e-7 });
    expectClose(sinkhorn([[1, 2]], { rows: [1], columns: [0, 1] }).plan.data, [0, 1], { atol: 1e-7 });
  });

  it("has these messages", () => {
    expect(() => sinkhorn([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sinkhorn: expected \`scores\` finite, or -Infinity for pairs that cannot be, got NaN at index 1]`);
    expect(() => sinkhorn([[1, 2]], { columns: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sinkhorn: expected \`columns\` masses with the sum 1 of the rows, got 2]`);
    expect(() => sinkhorn([[1, 2]], { columns: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sinkhorn: expected \`columns\` of shape [2], got [1]]`);
    expect(() => sinkhorn([[-Infinity, -Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: sinkhorn: expected \`rows\` mass only where a pair is possible, got mass 1 at index 0]`);
    expect(() => sinkhorn([[1, 2]], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sinkhorn: expected \`temperature\` a finite number > 0, got 0]`);
  });
});

describe("assignment", () => {
  it("agrees with trying all, square, wide and tall", () => {
    for (const [N, M] of [[1, 1], [4, 4], [3, 5], [5, 3], [2, 6]]) {
      for (let trial = 0; trial < 20; trial++) {
        const s = new Tensor("float32", [N, M], Float32Array.from({ length: N * M }, () => (random.uniform() < 0.1 ? -1e6 : Math.round(8 * random.normal()) / 4)));
        const want = Math.max(...arrangements(Math.max(N, M), Math.min(N, M)).map((y) => y.reduce((sum, other, own) => sum + (N <= M ? s.at(own, other) : s.at(other, own)), 0))), { columns, score } = assignment(s);
        expectClose(score, want, { rtol: 1e-9 });
        const taken = Array.from(columns.data).filter((c) => c >= 0);
        expect(new Set(taken).size).toBe(Math.min(N, M));
        expectClose(Array.from(columns.data).reduce((sum, c, i) => sum + (c < 0 ? 0 : s.at(i, c)), 0), score, { rtol: 1e-9 });
      }
    }
  });

  it("avoids what cannot be, and says where nothing can", () => {
    expectExact(assignment([[5, -Infinity], [6, 1]]).columns.data, [0, 1]);
    expectExact(assignment({ data: new Float32Array(0), shape: [0, 3] }).columns.data, []);
    expect(() => assignment([[1, -Infinity], [1, -Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: assignment: expected \`scores\` an assignment of 2 pairs that can all be, got none]`);
    expect(() => assignment([[NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: assignment: expected \`scores\` finite, or -Infinity for pairs that cannot be, got NaN at index 0]`);
  });
});

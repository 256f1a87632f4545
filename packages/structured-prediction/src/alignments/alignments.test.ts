import { expectClose, expectExact, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { editDistance, expectedErrorLoss, monotonicMarginals, monotonicSearch, rnntLoss, softDtwLoss, transducerLoss } from "./index.ts";

const random = testRandom(61);
const floats = (shape: number[], scale = 1): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * random.normal()) });
const logSum = (x: number[]): number => { const top = Math.max(...x); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };

/** Every path of T blanks and U labels, the last a blank, as the scores of its moves. */
function paths(T: number, U: number, blank: (t: number, u: number) => number, label: (t: number, u: number) => number, t = 0, u = 0): number[] {
  const out: number[] = [];
  if (u < U) out.push(...paths(T, U, blank, label, t, u + 1).map((s) => s + label(t, u)));
  if (t < T - 1) out.push(...paths(T, U, blank, label, t + 1, u).map((s) => s + blank(t, u)));
  else if (u === U) out.push(blank(t, u));
  return out;
}

describe("transducers [paper:incorporating-class-based-language-model-for-named-entity-recognition]", () => {
  it.each(lossChecks({
    name: "transducerLoss",
    loss: transducerLoss,
    cases: [{ name: "4 frames, 2 labels", arguments: [floats([3, 4, 3]), floats([3, 4, 2])] }, { name: "1 frame, 3 labels", arguments: [floats([3, 1, 4]), floats([3, 1, 3])] }],
    reference: ([b, l]) => { const U = l.length === 8 ? 2 : 3, T = l.length / U; return -logSum(paths(T, U, (t, u) => b[t * (U + 1) + u], (t, u) => l[t * U + u])); },
    differentiable: [{ argument: 0, read: ({ grads }) => grads.blank }, { argument: 1, read: ({ grads }) => grads.labels }],
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());

  const joint = floats([3, 3, 3, 4]), labels = { dtype: "int32" as const, shape: [3, 2], data: Int32Array.of(1, 2, 3, 3, 2, 1) };
  it.each(lossChecks({
    name: "rnntLoss",
    loss: rnntLoss,
    cases: [{ name: "3 frames, 2 labels", arguments: [joint, labels] }],
    reference: ([x, y]) => { const logP = (t: number, u: number, k: number): number => { const row = Array.from(x.subarray((t * 3 + u) * 4, (t * 3 + u) * 4 + 4)); return row[k] - logSum(row); }; return -logSum(paths(3, 2, (t, u) => logP(t, u, 0), (t, u) => logP(t, u, y[u]))); },
    bound: { rtol: 2e-6, atol: 2e-6 },
    gradientBound: { atol: 2e-6 },
    extreme: 1e3,
  }))("$name", ({ run }) => run());

  it("reads lengths, and nothing beyond them", () => {
    const alone = rnntLoss({ data: Float32Array.from({ length: 16 }, (_, k) => joint.data[(Math.floor(k / 8) * 3 + (Math.floor(k / 4) % 2)) * 4 + (k % 4)]), shape: [1, 2, 2, 4] }, [[1]]);
    const spoiled = { ...joint, data: joint.data.map((v, k) => (Math.floor(k / 12) % 3 === 2 || Math.floor(k / 4) % 3 === 2 ? NaN : v)) }, { loss, grad } = rnntLoss.withGrad(spoiled, labels, { lengths: [2, 2, 2], labelLengths: [1, 1, 1], reduction: "none" });
    expectClose(loss.data[0], alone.item(), { rtol: 1e-6 });
    expect(grad.data.every(Number.isFinite)).toBe(true);
  });

  it("is NaN with its gradient where a score that counts is NaN", () => {
    const { loss, grads } = transducerLoss.withGrad([[[NaN, 0], [0, 0]], [[1, 0], [0, 0]]], [[[0], [0]], [[0], [0]]], { reduction: "none" });
    expect([...loss.data].map(Number.isNaN)).toEqual([true, false]);
    expect([...grads.blank.data].map(Number.isNaN)).toEqual([true, true, true, true, false, false, false, false]);
    expect(rnntLoss.withGrad([[[[NaN, 0], [0, 0]]]], [[1]]).grad.data.every(Number.isNaN)).toBe(true);
  });

  it("is Infinity without frames for labels, 0 for nothing, and says what it refuses", () => {
    expect(rnntLoss({ data: new Float32Array(0), shape: [1, 0, 2, 3] }, [[1]]).item()).toBe(Infinity);
    expect(rnntLoss({ data: new Float32Array(0), shape: [1, 0, 1, 3] }, { data: new Int32Array(0), shape: [1, 0] }).item()).toBe(0);
    expect(() => rnntLoss(joint, [[0, 1], [1, 1], [1, 1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: rnntLoss: expected \`labels\` in [0, 4) and not the blank, 0, got 0 at index 0]`);
    expect(() => rnntLoss([[1]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: rnntLoss: expected \`logits\` of shape [B, T, U + 1, C], got [1, 1]]`);
    expect(() => rnntLoss(joint, labels, { lengths: [4, 1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: rnntLoss: expected \`lengths\` in [0, 3], got 4 at index 0]`);
    expect(() => transducerLoss([[[1, 2]]], [[[1, 2]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: transducerLoss: expected \`labels\` of shape [1, 1, 1], got [1, 1, 2]]`);
  });
});

describe("monotone alignments [paper:a-study-of-latent-monotonic-attention-variants]", () => {
  const all = (T: number, S: number, step: (d: number) => boolean): number[][] => (T === 0 ? [[]] : all(T - 1, S, step).flatMap((head) => Array.from({ length: S }, (_, s) => s).filter((s) => head.length === 0 || step(s - head.at(-1)!)).map((s) => [...head, s])));

  it("finds the best path from the first to the last position", () => {
    for (const [T, S] of [[1, 1], [4, 2], [5, 3], [3, 3], [6, 4]]) {
      const x = floats([T, S]), { positions, score } = monotonicSearch(x), legal = all(T, S, (d) => d === 0 || d === 1).filter((y) => y[0] === 0 && y.at(-1) === S - 1);
      const of = (y: number[]): number => y.reduce((sum, s, t) => sum + x.data[t * S + s], 0);
      expectClose(score, Math.max(...legal.map(of)), { rtol: 1e-12 });
      expectClose(of(Array.from(positions.data)), score, { rtol: 1e-12 });
      expect(legal.some((y) => y.join() === positions.data.join())).toBe(true);
    }
    expect(monotonicSearch([[1, 0], [0, 2], [0, 2]]).positions.toArray()).toEqual([0, 1, 1]);
    expect(() => monotonicSearch([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: monotonicSearch: expected \`scores\` of shape [T, S] with T >= S >= 1, got [1, 2]]`);
    expect(() => monotonicSearch([[-Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: monotonicSearch: expected \`scores\` a path from the first to the last position, got none]`);
    expect(() => monotonicSearch([[NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: monotonicSearch: expected \`scores\` finite, or -Infinity for pairs that cannot be, got NaN at index 0]`);
  });

  it("sums over all that never fall, with steps and windows", () => {
    for (const [T, S, options] of [[3, 4, {}], [4, 3, { steps: [-0.5, 0, 0.3] }], [4, 4, { window: 1 }], [1, 3, {}]] as [number, number, { steps?: number[]; window?: number }][]) {
      const x = floats([T, S]), longest = Math.min(options.window ?? S, (options.steps?.length ?? S + 1) - 1), legal = all(T, S, (d) => d >= 0 && d <= longest);
      const scores = legal.map((y) => y.reduce((sum, s, t) => sum + x.data[t * S + s] + (t > 0 ? (options.steps?.[s - y[t - 1]] ?? 0) : 0), 0)), z = logSum(scores), want = new Float64Array(T * S);
      legal.forEach((y, k) => y.forEach((s, t) => (want[t * S + s] += Math.exp(scores[k] - z))));
      const { logPartition, marginals } = monotonicMarginals(x, options);
      expectClose(logPartition, z, { rtol: 1e-6 });
      expectClose(marginals.data, want, { atol: 1e-6 });
    }
    expectClose(monotonicMarginals([[0, 0], [0, 0]]).logPartition, Math.log(3), { rtol: 1e-12 });
    const none = monotonicMarginals([[-Infinity, -Infinity]]);
    expect(none.logPartition).toBe(-Infinity);
    expectExact(none.marginals.data, [0, 0]);
  });
});

describe("softDtwLoss", () => {
  const warpings = (n: number, m: number, i = 0, j = 0): [number, number][][] => {
    if (i === n - 1 && j === m - 1) return [[[i, j]]];
    return [[1, 0], [0, 1], [1, 1]].filter(([a, b]) => i + a < n && j + b < m).flatMap(([a, b]) => warpings(n, m, i + a, j + b).map((rest): [number, number][] => [[i, j], ...rest]));
  };
  const D = (x: ArrayLike<number>, y: ArrayLike<number>, F: number, gamma: number): number => {
    const n = x.length / F, m = y.length / F;
    return -gamma * logSum(warpings(n, m).map((path) => -path.reduce((sum, [i, j]) => { for (let f = 0; f < F; f++) sum += (x[i * F + f] - y[j * F + f]) ** 2; return sum; }, 0) / gamma));
  };
  it.each(lossChecks({
    name: "softDtwLoss",
    loss: softDtwLoss,
    cases: [{ name: "divergence", arguments: [floats([3, 4, 2]), floats([3, 3, 2])] }, { name: "plain, sharp", arguments: [floats([3, 4, 2]), floats([3, 3, 2])], options: { gamma: 0.2, divergence: false } }],
    reference: ([x, y], { gamma = 1, divergence = true }) => D(x, y, 2, gamma) - (divergence ? (D(x, x, 2, gamma) + D(y, y, 2, gamma)) / 2 : 0),
    differentiable: [{ argument: 0, read: ({ grads }) => grads.x }, { argument: 1, read: ({ grads }) => grads.y }],
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { rtol: 1e-5, atol: 1e-5 },
    extreme: 100,
  }))("$name", ({ run }) => run());

  it("is 0 for equal series, above 0 else, and dynamic time warping as gamma falls", () => {
    const x = floats([1, 5, 2]), y = floats([1, 4, 2]);
    expectClose(softDtwLoss(x, x).item(), 0, { atol: 1e-6 });
    expect(softDtwLoss(x, y).item()).toBeGreaterThan(0);
    expectClose(softDtwLoss(x, y, { gamma: 1e-4, divergence: false }).item(), Math.min(...warpings(5, 4).map((path) => path.reduce((sum, [i, j]) => sum + (x.data[2 * i] - y.data[2 * j]) ** 2 + (x.data[2 * i + 1] - y.data[2 * j + 1]) ** 2, 0))), { atol: 1e-3 });
    // A band of 0 on series of one length is the sum along the diagonal.
    const z = floats([1, 5, 2]);
    expectClose(softDtwLoss(x, z, { band: 0, divergence: false }).item(), x.data.reduce((sum, v, k) => sum + (v - z.data[k]) ** 2, 0), { rtol: 1e-6 });
    const { loss, grads } = softDtwLoss.withGrad([[[1], [3]], [[1], [3]]], [[[1], [2], [4], [5], [9]], [[1], [2], [4], [5], [9]]], { band: 0, weight: [1, 2], reduction: "sum" });
    expect(loss.item()).toBe(Infinity);
    expectExact([...grads.x.data, ...grads.y.data], new Array(14).fill(0));
    expect(() => softDtwLoss(x, [[[1]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softDtwLoss: expected \`y\` of shape [1, S, 2], got [1, 1, 1]]`);
    expect(() => softDtwLoss(x, x, { gamma: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: softDtwLoss: expected \`gamma\` a finite number > 0, got 0]`);
    expect(() => softDtwLoss({ data: new Float32Array(0), shape: [1, 0, 2] }, x)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softDtwLoss: expected \`x\` series with at least one row, got 0 and 5 rows]`);
  });
});

describe("edit distances", () => {
  it("counts the fewest edits and shows them", () => {
    const words = (text: string): string[] => text.split(" ").filter((w) => w !== "");
    expect(editDistance("kitten".split(""), "sitting".split(""))).toMatchObject({ distance: 3, substitutions: 2, insertions: 0, deletions: 1 });
    expect(editDistance(words("a b c"), words("a c"))).toMatchObject({ distance: 1, insertions: 1, alignment: [[0, 0], [1, -1], [2, 1]] });
    expect(editDistance([], [1, 2])).toMatchObject({ distance: 2, deletions: 2 });
    expect(editDistance([], []).alignment).toEqual([]);
    for (let trial = 0; trial < 60; trial++) {
      const a = Array.from({ length: random.integer(6) }, () => random.integer(3)), b = Array.from({ length: random.integer(6) }, () => random.integer(3));
      const brute = (i: number, j: number): number => (i === a.length ? b.length - j : j === b.length ? a.length - i : Math.min(brute(i + 1, j + 1) + Number(a[i] !== b[j]), brute(i + 1, j) + 1, brute(i, j + 1) + 1));
      const { distance, substitutions, insertions, deletions, alignment } = editDistance(a, b);
      expect(distance).toBe(brute(0, 0));
      expect(substitutions + insertions + deletions).toBe(distance);
      expect(alignment.filter(([i]) => i >= 0).map(([i]) => i)).toEqual(a.map((_, i) => i));
      expect(alignment.filter(([, j]) => j >= 0).map(([, j]) => j)).toEqual(b.map((_, j) => j));
    }
  });

  it.each(lossChecks({
    name: "expectedErrorLoss",
    loss: expectedErrorLoss,
    cases: [{ name: "five hypotheses", arguments: [floats([4, 5]), { dtype: "float32", shape: [4, 5], data: Float32Array.from({ length: 20 }, () => random.integer(6)) }] }],
    reference: ([s, e]) => { const z = logSum(Array.from(s)), mean = e.reduce((a, b) => a + b, 0) / 5; return s.reduce((sum, x, i) => sum + Math.exp(x - z) * (e[i] - mean), 0); },
    bound: { rtol: 1e-5, atol: 2e-6 },
    gradientBound: { atol: 2e-6 },
  }))("$name", ({ run }) => run());

  it("leaves out what is not in a shorter list", () => {
    expectClose(expectedErrorLoss([[1, 0, -Infinity]], [[0, 2, 9]]).item(), expectedErrorLoss([[1, 0]], [[0, 2]]).item(), { rtol: 1e-6 });
    expect(() => expectedErrorLoss([[1, 0]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedErrorLoss: expected \`errors\` of shape [1, 2], got [1, 1]]`);
    expect(() => expectedErrorLoss([[1, 0], [2, 5]], [0, 2, 3, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: expectedErrorLoss: expected \`errors\` of shape [2, 2], got [4]]`);
    expectExact(expectedErrorLoss([[1, 2], [0, 5]], [[0, 3], [2, 1]], { axis: 0, reduction: "none" }).data, [...expectedErrorLoss([[1, 0], [2, 5]], [[0, 2], [3, 1]], { reduction: "none" }).data]);
  });
});

import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/ctc.json" with { type: "json" };
import { ctcAlign, ctcBeam, ctcGreedy, ctcLoss } from "./index.ts";

const random = testRandom(51);
const floats = (shape: number[], scale = 2): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * random.normal()) });
const collapse = (path: readonly number[], blank: number): number[] => path.filter((k, t) => k !== blank && (t === 0 || path[t - 1] !== k));

/** log p of every sequence of labels, by enumeration of all paths. */
function spelt(x: ArrayLike<number>, T: number, C: number, blank = 0): Map<string, number> {
  const logs = Array.from({ length: T }, (_, t) => { const row = Array.from({ length: C }, (_, c) => x[t * C + c]), max = Math.max(...row), z = max + Math.log(row.reduce((s, v) => s + Math.exp(v - max), 0)); return row.map((v) => v - z); }), out = new Map<string, number>();
  for (let code = 0; code < C ** T; code++) {
    const path = Array.from({ length: T }, (_, t) => Math.floor(code / C ** t) % C), key = collapse(path, blank).join();
    out.set(key, (out.get(key) ?? 0) + Math.exp(path.reduce((s, k, t) => s + logs[t][k], 0)));
  }
  return out;
}

describe("ctcLoss [paper:unified-speech-recognition-a-single-model-for-auditory-visual]", () => {
  it.each(lossChecks({
    name: "ctcLoss",
    loss: ctcLoss,
    cases: [{ name: "five frames", arguments: [floats([4, 5, 3]), { dtype: "int32", shape: [4, 2], data: Int32Array.of(1, 2, 1, 1, 2, 1, 2, 2) }] }],
    reference: ([x, y]) => -Math.log(spelt(x, 5, 3).get(Array.from(y).join())!),
    bound: { rtol: 3e-6, atol: 2e-6 },
    gradientBound: { atol: 3e-6 },
    extreme: false, // the definition underflows; sizes are tested below
  }))("$name", ({ run }) => run());

  it.each(fixture.cases.map((one, i) => [i, one] as const))("agrees with torch, case %i", (_, { shape, blank, logits, labels, lengths, labelLengths, loss, grad }) => {
    const got = ctcLoss.withGrad({ data: Float32Array.from(logits), shape }, labels, { blank, lengths, labelLengths, reduction: "none" });
    expectClose(got.loss.data, loss.map(Number), { rtol: 2e-6, atol: 2e-6 });
    expectClose(got.grad.data, grad, { atol: 2e-6 });
  });

  it("sums to 1 over everything that can be spelt", () => {
    const x = floats([4, 3]);
    let total = 0;
    for (const key of spelt(x.data, 4, 3).keys()) total += Math.exp(-ctcLoss(x, Int32Array.from(key === "" ? [] : key.split(",").map(Number))).item());
    expectClose(total, 1, { rtol: 1e-5 });
  });

  it("lets a wildcard be any class: the sum over all labels in its place, with its gradient", () => {
    // One frame for a wildcard alone: any class, the blank too; its weight is 1.
    const x = floats([5, 4]), loss = ctcLoss(x, [1, -7, 2], { wildcard: -7 }), definition = (data: ArrayLike<number>): number => {
      // The recursion with a column of weight 1.
      const e = [0, 1, 0, 4, 0, 2, 0], logs = Array.from({ length: 5 }, (_, t) => { const row = Array.from({ length: 4 }, (_, c) => Math.exp(data[4 * t + c])), z = row.reduce((a, b) => a + b, 0); return [...row.map((v) => v / z), 1]; });
      let alpha = e.map((k, s) => (s < 2 ? logs[0][k] : 0));
      for (let t = 1; t < 5; t++) alpha = e.map((k, s) => logs[t][k] * (alpha[s] + (s > 0 ? alpha[s - 1] : 0) + (s > 1 && k !== 0 && k !== e[s - 2] ? alpha[s - 2] : 0)));
      return -Math.log(alpha[6] + alpha[5]);
    };
    expectClose(loss.item(), definition(x.data), { atol: 2e-6 });
    const { grad } = ctcLoss.withGrad(x, [1, -7, 2], { wildcard: -7 }), h = 1e-4;
    expectClose(grad.data, Array.from(x.data, (_, k) => { const at = (d: number): number => definition(Array.from(x.data, (v, j) => (j === k ? v + d : v))); return (at(h) - at(-h)) / (2 * h); }), { atol: 3e-6 });
  });

  it("is finite for scores of any size, Infinity with gradient 0 where nothing spells the labels", () => {
    const { loss, grad } = ctcLoss.withGrad([[0, 1e4], [1e4, 0], [0, 1e4]], [1]);
    expectClose(loss.item(), 1e4 - Math.log(3), { rtol: 1e-7 }); // three paths with one wrong frame
    expect(grad.data.every(Number.isFinite)).toBe(true);
    const none = ctcLoss.withGrad([[0, 1], [1, 0]], [1, 1]);
    expect(none.loss.item()).toBe(Infinity);
    expectExact(none.grad.data, [0, 0, 0, 0]);
    expect(ctcLoss([[0, -Infinity], [1, -Infinity]], [1]).item()).toBe(Infinity);
    expect(ctcLoss([[NaN, 0]], [1]).item()).toBe(NaN);
    expectClose(ctcLoss([[0, 0], [0, 0]], []).item(), Math.log(4), { rtol: 1e-6 });
    expect(ctcLoss({ data: new Float32Array(0), shape: [0, 2] }, []).item()).toBe(0);
    expect(ctcLoss({ data: new Float32Array(0), shape: [0, 2] }, [1]).item()).toBe(Infinity);
    expectExact(ctcLoss.withGrad({ data: Float32Array.of(0, 1, NaN, NaN), shape: [1, 2, 2] }, [[1]], { lengths: [1] }).grad.data.subarray(2), [0, 0]);
  });

  it("keeps lengths that a resident tensor held while the memory grows", () => {
    const lengths = core.alloc([2], "int32"), frames = core.memory.buffer.byteLength >> 3, logits = new Tensor("float32", [2, frames, 2], new Float32Array(4 * frames)), labels = [[1], [1]];
    lengths.data.set([frames, 3]);
    const loss = ctcLoss(logits, labels, { lengths, reduction: "none" });
    lengths.dispose();
    expectExact(loss.data, ctcLoss(logits, labels, { lengths: [frames, 3], reduction: "none" }).data);
  });

  it("has these messages", () => {
    expect(() => ctcLoss([1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`logits\` of shape [B, T, C] or [T, C], got [2]]`);
    expect(() => ctcLoss([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`labels\` of shape [S], got [1, 1]]`);
    expect(() => ctcLoss([[1, 2]], [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`labels\` in [0, 2), got 2 at index 0]`);
    expect(() => ctcLoss([[1, 2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`labels\` other than the blank, 0, got 0 at index 0]`);
    expect(() => ctcLoss([[1, 2]], [1], { blank: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`blank\` an integer in [0, 1], got 2]`);
    expect(() => ctcLoss([[1, 2]], [1], { lengths: [2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`lengths\` in [0, 1], got 2 at index 0]`);
    expect(() => ctcLoss([[1, 2]], [1], { labelLengths: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`labelLengths\` of shape [1], got [2]]`);
    expect(() => ctcLoss([[1, 2]], [1], { wildcard: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcLoss: expected \`wildcard\` a number that is no class, got 1]`);
  });
});

describe("ctcAlign", () => {
  it("finds where the labels lie, with times and confidences", () => {
    const logits = [[5, 0, 0], [0, 5, 0], [0, 5, 0], [5, 0, 0], [0, 0, 5], [5, 0, 0]], { labels, path, score, logProb } = ctcAlign(logits, [1, 2], { secondsPerFrame: 0.5, confidence: true });
    expectExact(path.data, [-1, 0, 0, -1, 1, -1]);
    expect(labels.map(({ label, from, to, start, end }) => [label, from, to, start, end])).toEqual([[1, 1, 3, 0.5, 1.5], [2, 4, 5, 2, 2.5]]);
    const p = Math.exp(5) / (Math.exp(5) + 2);
    for (const { probability, confidence } of labels) {
      expectClose(probability, p, { rtol: 1e-6 });
      expect(confidence).toBeGreaterThan(0.98);
    }
    expectClose(score, 6 * Math.log(p), { rtol: 1e-6 });
    expectClose(logProb!, -ctcLoss(logits, [1, 2]).item(), { rtol: 1e-6 });
  });

  it("has posteriors as confidences", () => {
    const x = floats([6, 3]), { labels, path } = ctcAlign(x, [1, 2], { confidence: true });
    // By enumeration: paths that spell 1 2, and how often frame t is in the first or second label.
    const logs = (t: number, k: number): number => x.data[3 * t + k] - Math.log([0, 1, 2].reduce((s, c) => s + Math.exp(x.data[3 * t + c]), 0)), share = [0, 0];
    let total = 0;
    for (let code = 0; code < 3 ** 6; code++) {
      const other = Array.from({ length: 6 }, (_, t) => Math.floor(code / 3 ** t) % 3);
      if (collapse(other, 0).join() !== "1,2") continue;
      const p = Math.exp(other.reduce((s, k, t) => s + logs(t, k), 0));
      total += p;
      path.data.forEach((i, t) => { if (i >= 0 && other[t] === i + 1) share[i] += p; });
    }
    labels.forEach(({ confidence, from, to }, i) => expectClose(confidence!, share[i] / total / (to - from), { atol: 2e-6 }));
  });

  it("aligns ten minutes, 30,000 frames with 1,500 characters, in 40 MB", () => {
    const T = 30_000, C = 32, labels = Int32Array.from({ length: 1500 }, () => 1 + random.integer(C - 1)), x = new Tensor("float32", [T, C], Float32Array.from({ length: T * C }, () => random.normal()));
    // Label i sounds in frames 20 i + 5 to 20 i + 9.
    for (let t = 0; t < T; t++) x.data[t * C + (t % 20 >= 5 && t % 20 < 10 ? labels[Math.floor(t / 20)] : 0)] += 9;
    const before = process.memoryUsage(), { labels: spans } = ctcAlign(x, labels, { secondsPerFrame: 0.02, confidence: true }), after = process.memoryUsage();
    spans.forEach(({ from, to, confidence }, i) => {
      expect([from, to]).toEqual([20 * i + 5, 20 * i + 10]);
      expect(confidence).toBeGreaterThan(0.9);
    });
    // States of all frames would be 180 MB as bits of paths, 720 MB as sums.
    expect(after.arrayBuffers + after.external - before.arrayBuffers - before.external).toBeLessThan(40e6);
  });

  it("takes wildcards, no labels and no frames", () => {
    expect(ctcAlign([[3, 0, 0], [0, 3, 0], [0, 0, 9], [0, 3, 0]], [1, -1, 1], { wildcard: -1 }).labels.map(({ from, to }) => [from, to])).toEqual([[1, 2], [2, 3], [3, 4]]);
    expect(ctcAlign([[0, 1]], []).path.toArray()).toEqual([-1]);
    expect(ctcAlign({ data: new Float32Array(0), shape: [0, 2] }, []).score).toBe(0);
  });

  it("has these messages", () => {
    expect(() => ctcAlign([[0, 1]], [1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`labels\` 2 labels that 1 frames can spell: a frame for each, one more between equal ones, none of them impossible, got labels without a path]`);
    expect(() => ctcAlign([[[0, 1]]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`logits\` of shape [T, C], got [1, 1, 2]]`);
    expect(() => ctcAlign([[NaN, 1]], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`logits\` without NaN, got NaN in frame 0, column 0]`);
    expect(() => ctcAlign([[0, 1]], [1], { secondsPerFrame: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`secondsPerFrame\` a finite number > 0, got 0]`);
  });
});

describe("ctcGreedy and ctcBeam", () => {
  it("joins repetitions and drops blanks", () => {
    const { labels, logProb } = ctcGreedy([[0, 3], [0, 3], [3, 0], [0, 3]]);
    expect(labels).toEqual([1, 1]);
    expectClose(logProb, -4 * Math.log(1 + Math.exp(-3)), { rtol: 1e-6 });
    expect(ctcGreedy([[0, 3], [3, 0]], { blank: 1 }).labels).toEqual([0]);
    expect(ctcGreedy([[1, 1]]).labels).toEqual([]);
  });

  it("has the exact probabilities of all sequences with a wide beam", () => {
    for (const blank of [0, 2]) {
      const x = floats([5, 3]), want = [...spelt(x.data, 5, 3, blank)].sort((a, b) => b[1] - a[1]), got = ctcBeam(x, { blank, width: 1000, count: 1000, least: 0 });
      expect(got.map(({ labels }) => labels.join()).sort()).toEqual(want.map(([key]) => key).sort());
      expectClose(got.map(({ logProb }) => Math.exp(logProb)), want.map(([, p]) => p), { rtol: 1e-5, atol: 1e-9 });
    }
  });

  it("beats the best path where many paths spell the same", () => {
    // The best path says nothing; two frames of "1" at 0.4 each say 1 with 0.64.
    const x = new Tensor("float32", [2, 2], Float32Array.of(Math.log(0.6), Math.log(0.4), Math.log(0.6), Math.log(0.4)));
    expect(ctcGreedy(x).labels).toEqual([]);
    const [first] = ctcBeam(x, { width: 4 });
    expect(first.labels).toEqual([1]);
    expectClose(Math.exp(first.logProb), 0.64, { rtol: 1e-5 });
  });

  it("lets a language model decide, and forbid", () => {
    const x = [[0, 2, 1.9], [5, 0, 0], [0, 2, 1.9]];
    expect(ctcBeam(x)[0].labels).toEqual([1, 1]);
    const [best] = ctcBeam(x, { languageModel: (label, prefix) => (label === prefix.at(-1) ? -Infinity : label === 2 ? 0.5 : 0) });
    expect(best.labels.length).toBe(2);
    expect(best.labels[0]).not.toBe(best.labels[1]);
    expectClose(best.score - best.logProb, 0.5, { rtol: 1e-6 });
    expect(() => ctcBeam(x, { languageModel: () => NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcBeam: expected \`languageModel\` a finite number, or -Infinity, got NaN for 1 behind []]`);
    expect(() => ctcBeam(x, { width: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcBeam: expected \`width\` an integer in [1, 2147483647], got 0]`);
    expect(() => ctcBeam([[NaN, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcBeam: expected \`logits\` without NaN, got NaN in frame 0, column 0]`);
    const gone = [[0, 1], [-Infinity, -Infinity]], above = [[0, 1], [Infinity, 0]];
    expect(() => ctcBeam(gone)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcBeam: expected \`logits\` with a possible class in every frame, got only -Infinity in frame 1]`);
    expect(() => ctcGreedy(gone)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcGreedy: expected \`logits\` with a possible class in every frame, got only -Infinity in frame 1]`);
    expect(() => ctcAlign(gone, [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`logits\` with a possible class in every frame, got only -Infinity in frame 1]`);
    expect(() => ctcGreedy(above)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcGreedy: expected \`logits\` below +Infinity, got +Infinity in frame 1, column 0]`);
    expect(() => ctcAlign(above, [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ctcAlign: expected \`logits\` below +Infinity, got +Infinity in frame 1, column 0]`);
  });

  it("never gets worse with a wider beam than its own best", () => {
    const x = floats([30, 6], 3), best = [1, 4, 16, 64].map((width) => ctcBeam(x, { width, least: 0 })[0]);
    for (const { labels, logProb } of best) expect(logProb).toBeLessThanOrEqual(-ctcLoss(x, Int32Array.from(labels)).item() + 1e-5);
    expectClose(best[3].logProb, -ctcLoss(x, Int32Array.from(best[3].labels)).item(), { atol: 0.5 }); // paths that fell off the beam are missing
  });
});

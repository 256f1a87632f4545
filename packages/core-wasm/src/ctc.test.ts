import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { ctcPath, ctcSums, type CtcSequence } from "./ctc.ts";
import { ctcLogProbRef } from "./ctc.ref.ts";

const random = testRandom(41);
const sequence = (frames: number, classes: number, labels: readonly number[], { scale = 2, blank = 0 } = {}): CtcSequence => ({
  scores: new Tensor("float32", [frames, classes], Float32Array.from({ length: frames * classes }, () => scale * random.normal())), classes, labels: Int32Array.from(labels), blank,
});
const rows = ({ scores }: CtcSequence): number[][] => Array.from({ length: scores.shape[0] }, (_, t) => Array.from(scores.row(t).data));
const logProb = (s: CtcSequence): number => {
  const { mantissa, exponent, sums } = ctcSums("test", s);
  return Math.log(mantissa) + exponent * Math.LN2 - sums.reduce((sum, v) => sum + Math.log(v), 0);
};

/** The textbook recursion in log space, float64. */
function forward(x: readonly (readonly number[])[], labels: readonly number[], blank: number): number {
  const extended = [blank, ...labels.flatMap((k) => [k, blank])], add = (...terms: number[]): number => { const top = Math.max(...terms); return top === -Infinity ? top : top + Math.log(terms.reduce((sum, v) => sum + Math.exp(v - top), 0)); };
  let alpha = extended.map((_, s) => (s === 0 ? 0 : -Infinity)).map(() => -Infinity);
  x.forEach((row, t) => {
    const z = add(...row);
    alpha = extended.map((k, s) => {
      const own = row[k] - z;
      if (t === 0) return s < 2 ? own : -Infinity;
      return own + add(alpha[s], s > 0 ? alpha[s - 1] : -Infinity, s > 1 && k !== blank && k !== extended[s - 2] ? alpha[s - 2] : -Infinity);
    });
  });
  return add(alpha[extended.length - 1], extended.length > 1 ? alpha[extended.length - 2] : -Infinity);
}

describe("ctcSums", () => {
  it.each([[3, 3, [1, 2]], [4, 3, [1, 1]], [4, 2, [1]], [5, 3, []], [5, 3, [2, 1, 2]], [2, 3, [1, 1]], [1, 4, [3]], [6, 3, [1, 2, 2]]] as [number, number, number[]][])("agrees with the enumeration of paths: %i frames, %i classes, labels %j", (frames, classes, labels) => {
    for (const blank of [0, classes - 1]) {
      const s = sequence(frames, classes, labels.map((k) => (blank === 0 ? k : k - 1)), { blank });
      expectClose(logProb(s), ctcLogProbRef(rows(s), Array.from(s.labels), blank), { atol: 2e-6 });
    }
  });

  it.each([[40, 7, 12], [300, 20, 80], [700, 33, 260]])("agrees with the recursion in log space: %i frames, %i classes, %i labels", (frames, classes, count) => {
    const s = sequence(frames, classes, Array.from({ length: count }, () => 1 + random.integer(classes - 1)), { scale: 4 });
    const want = forward(rows(s), Array.from(s.labels), 0);
    expectClose(logProb(s), want, { rtol: 1e-6 });
  });

  it("has the gradient of the definition", () => {
    const s = sequence(9, 5, [1, 2, 2, 4]), grad = new Float32Array(45);
    ctcSums("test", s, { grad, coefficient: 0.7 });
    const want = finiteDifferenceGradient((x) => -0.7 * forward(Array.from({ length: 9 }, (_, t) => Array.from(x.subarray(5 * t, 5 * t + 5))), [1, 2, 2, 4], 0), Float64Array.from(s.scores.data));
    expectClose(grad, want, { atol: 2e-6 });
    for (let t = 0; t < 9; t++) expectClose(grad.subarray(5 * t, 5 * t + 5).reduce((a, b) => a + b, 0), 0, { atol: 2e-6 });
  });

  it("goes through many frames in blocks: the same value, gradients that sum to 0, posteriors that sum to at most 1", () => {
    // Rows of states of 1,000 labels: 16 KB each, 500 frames in a block.
    const labels = Array.from({ length: 1000 }, () => 1 + random.integer(29)), s = sequence(2600, 30, labels, { scale: 1 }), grad = new Float32Array(2600 * 30), seen: number[] = [];
    const sum = ctcSums("test", s, { grad, posteriors: (first, frames, width, shares) => {
      seen.push(first);
      for (let r = 0; r < frames; r++) expect(shares.subarray(r * width, (r + 1) * width).reduce((a, b) => a + b, 0)).toBeLessThan(1.0001);
    } });
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.at(-1)).toBe(0);
    expectClose(logProb(s), forward(rows(s), labels, 0), { rtol: 2e-6 });
    expect(sum.mantissa).toBeGreaterThan(0);
    for (let t = 0; t < 2600; t++) expectClose(grad.subarray(30 * t, 30 * t + 30).reduce((a, b) => a + b, 0), 0, { atol: 2e-5 });
  });

  it("is finite for scores of any size, and 0 where the labels cannot be spelt", () => {
    const s = sequence(20, 4, [1, 2, 3], { scale: 1e4 });
    expectClose(logProb(s), forward(rows(s), [1, 2, 3], 0), { rtol: 1e-6 });
    const short = sequence(3, 3, [1, 1, 2]), grad = new Float32Array(9).fill(1);
    expect(ctcSums("test", short, { grad }).mantissa).toBe(0);
    expectExact(grad, new Float32Array(9));
    const barred = sequence(3, 3, [1, 2]);
    for (let t = 0; t < 3; t++) barred.scores.data[3 * t + 2] = -Infinity;
    expect(ctcSums("test", barred).mantissa).toBe(0);
    const spoiled = sequence(3, 3, [1]);
    spoiled.scores.data[4] = NaN;
    expect(ctcSums("test", spoiled).mantissa).toBe(NaN);
    expect(ctcSums("test", sequence(0, 3, [])).mantissa).toBe(1);
    expect(ctcSums("test", sequence(0, 3, [1])).mantissa).toBe(0);
    expect(() => ctcSums("f", short, { grad: new Float32Array(3) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`grad\` of length 9, got 3]`);
  });
});

describe("ctcPath", () => {
  const spelt = (path: Int32Array): number[] => Array.from(path).filter((i, t) => i >= 0 && (t === 0 || path[t - 1] !== i));
  const scoreOf = (s: CtcSequence, path: Int32Array): number => path.reduce((sum, i, t) => sum + s.scores.at(t, i < 0 ? s.blank : s.labels[i]), 0);

  it("finds the best of all paths", () => {
    for (const [frames, labels] of [[5, [1, 2]], [5, [1, 1]], [4, [2]], [3, []], [6, [1, 2, 1]]] as [number, number[]][]) {
      const s = sequence(frames, 3, labels), path = ctcPath("test", s)!;
      expect(spelt(path)).toEqual(labels.map((_, i) => i));
      let best = -Infinity;
      for (let code = 0; code < 3 ** frames; code++) {
        const other = Array.from({ length: frames }, (_, t) => Math.floor(code / 3 ** t) % 3);
        if (other.filter((k, t) => k !== 0 && (t === 0 || other[t - 1] !== k)).join() === labels.join()) best = Math.max(best, other.reduce((sum, k, t) => sum + s.scores.at(t, k), 0));
      }
      expectClose(scoreOf(s, path), best, { rtol: 1e-6 });
    }
    expect(ctcPath("test", sequence(2, 3, [1, 1]))).toBeUndefined();
  });

  it("finds a planted alignment over blocks", () => {
    const labels = Array.from({ length: 1200 }, () => 1 + random.integer(29)), frames = 3600, s = sequence(frames, 30, labels, { scale: 0.5 });
    labels.forEach((k, i) => { s.scores.data[30 * (3 * i + 1) + k] += 12; s.scores.data[30 * (3 * i)] += 12; s.scores.data[30 * (3 * i + 2)] += 12; });
    const path = ctcPath("test", s)!;
    expectExact(path, Int32Array.from({ length: frames }, (_, t) => (t % 3 === 1 ? Math.floor(t / 3) : -1)));
  });
});

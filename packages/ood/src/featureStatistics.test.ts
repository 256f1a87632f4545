import { ByteWriter } from "@logits/statistics";
import { runStepsAsync } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FeatureStatistics, GaussianPrototypes, type FeatureBatch, type FeatureMoments } from "./index.ts";

const seed = 20261124;

interface World {
  readonly x: Float32Array;
  readonly y: Int32Array;
  readonly n: number;
  readonly f: number;
  readonly classes: number;
}

function world(n: number, f: number, classes: number, stream: number, offset = 0, spread = 1): World {
  const random = testRandom(stream);
  const centres = Float32Array.from({ length: classes * f }, () => offset + spread * random.normal());
  const y = Int32Array.from({ length: n }, () => random.integer(classes));
  const x = new Float32Array(n * f);
  for (let i = 0; i < n; i++) for (let j = 0; j < f; j++) x[i * f + j] = centres[y[i] * f + j] + random.normal() + (j > 0 ? 0.5 * (x[i * f + j - 1] - centres[y[i] * f + j - 1]) : 0);
  return { x, y, n, f, classes };
}

const batch = ({ x, y, f }: World, from: number, to: number): FeatureBatch => ({ features: { data: x.subarray(from * f, to * f), shape: [to - from, f] }, labels: y.subarray(from, to) });
const empty = ({ classes, f }: World): FeatureStatistics => new FeatureStatistics({ classes, features: f });
const all = (w: World): FeatureStatistics => empty(w).update(batch(w, 0, w.n));

/** The definition, two passes in float64. */
function reference({ x, y, n, f, classes }: World): { counts: Float64Array; means: Float64Array; scatter: Float64Array; size: Float64Array } {
  const counts = new Float64Array(classes), means = new Float64Array(classes * f), scatter = new Float64Array(f * f), size = new Float64Array(f * f);
  for (let i = 0; i < n; i++) counts[y[i]]++;
  for (let i = 0; i < n; i++) for (let j = 0; j < f; j++) means[y[i] * f + j] += x[i * f + j] / counts[y[i]];
  for (let c = 0; c < classes; c++) if (counts[c] === 0) means.fill(NaN, c * f, (c + 1) * f);
  for (let i = 0; i < n; i++) {
    for (let p = 0; p < f * f; p++) {
      const product = (x[i * f + Math.floor(p / f)] - means[y[i] * f + Math.floor(p / f)]) * (x[i * f + (p % f)] - means[y[i] * f + (p % f)]);
      scatter[p] += product;
      size[p] += Math.abs(product);
    }
  }
  return { counts, means, scatter, size };
}

/** Within `bound` of sqrt(s_ii s_jj), which no |s_ij| exceeds. */
function closeScatter(got: Float64Array, want: Float64Array, f: number, bound: number): void {
  for (let i = 0; i < f; i++) {
    for (let j = 0; j < f; j++) expect(Math.abs(got[i * f + j] - want[i * f + j])).toBeLessThanOrEqual(bound * Math.sqrt(want[i * f + i] * want[j * f + j]));
  }
}

function same(got: FeatureMoments, want: FeatureMoments): void {
  expectExact(got.counts, want.counts);
  expectExact(got.means, want.means);
  expectExact(got.scatter, want.scatter);
  expect(got.count).toBe(want.count);
  expectExact(got.fingerprints.words(), want.fingerprints.words());
}

describe("FeatureStatistics", () => {
  it.each([[1, 1, 1], [5, 3, 2], [255, 4, 3], [256, 7, 2], [257, 5, 4], [1500, 19, 6], [700, 3, 300]])("agrees with the definition for N = %i, F = %i, C = %i", (n, f, classes) => {
    const w = world(n, f, classes, n);
    const got = all(w).finish(), want = reference(w);
    expectExact(got.counts, want.counts);
    // Sums of n float32 numbers about a centre, in float64: the float32 centring errs by 2^-24 of what is left, about 4.
    expectClose(got.means, want.means, { atol: 4 * 2 ** -24 });
    for (let p = 0; p < f * f; p++) {
      // In a block 256 roundings for each product and two for the centring of its factors, about centres that are not yet the means: at most 4 times the sum of |products|, plus 1e-9 for an empty sum.
      expect(Math.abs(got.scatter[p] - want.scatter[p])).toBeLessThanOrEqual(4 * 260 * 2 ** -24 * Math.sqrt(want.size[Math.floor(p / f) * (f + 1)] * want.size[(p % f) * (f + 1)]) + 1e-9);
    }
    for (let i = 0; i < f; i++) for (let j = 0; j < i; j++) expect(got.scatter[i * f + j]).toBe(got.scatter[j * f + i]);
    expect([got.count, got.classes, got.features, got.fingerprints.size]).toEqual([n, classes, f, n]);
  });

  it("keeps its digits at an offset of 1000 standard deviations, where sums of squares lose theirs", () => {
    const w = world(3000, 6, 3, 4, 1000);
    const got = all(w).finish(), want = reference(w);
    // In practice 1e-6 of the diagonal; the one-pass float32 formula would be off by 1000^2 2^-24 = 0.06.
    closeScatter(got.scatter, want.scatter, 6, 2e-6);
  });

  it("keeps its digits after an odd first row", () => {
    const w = world(3000, 5, 1, 5);
    w.x.fill(3000, 0, 5);
    const got = all(w).finish(), want = reference(w);
    closeScatter(got.scatter, want.scatter, 5, 2e-6);
  });

  it("does not depend on how rows are cut into batches, to the bit", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 8 }), fc.integer({ min: 0, max: 5 }), (cuts, stream) => {
      const w = world(700, 5, 4, stream);
      const statistics = empty(w);
      [...cuts, 0, 700].sort((a, b) => a - b).forEach((to, i, sorted) => i > 0 && statistics.update(batch(w, sorted[i - 1], to)));
      same(statistics.finish(), all(w).finish());
    }), { seed, numRuns: 25 });
  });

  it("does not depend on whether it was looked at", () => {
    const w = world(900, 6, 3, 6), looked = empty(w);
    for (let from = 0; from < 900; from += 90) {
      looked.update(batch(w, from, from + 90)).finish();
      looked.toBytes();
    }
    same(looked.finish(), all(w).finish());
  });

  it("merges in any order and grouping to 1e-12", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1000 }), fc.constantFrom(0, 50), (stream, offset) => {
      const w = world(1200, 7, 5, stream, offset, 5), random = testRandom(stream);
      const parts = (): FeatureStatistics[] => Array.from({ length: 6 }, (_, i) => empty(w).update(batch(w, 200 * i, 200 * i + 200)));
      const straight = parts().reduce((a, b) => a.merge(b)).finish();
      for (let trial = 0; trial < 3; trial++) {
        const list = parts();
        while (list.length > 1) list.push(list.splice(random.integer(list.length), 1)[0].merge(list.splice(random.integer(list.length), 1)[0]));
        const got = list[0].finish();
        expectExact(got.counts, straight.counts);
        // Means of size 50 at most, a few roundings.
        expectClose(got.means, straight.means, { atol: 1e-13 * (offset + 20) });
        closeScatter(got.scatter, straight.scatter, 7, 1e-12);
        expectExact(got.fingerprints.words(), straight.fingerprints.words());
      }
      const one = all(w).finish();
      closeScatter(straight.scatter, one.scatter, 7, 4e-6);
    }), { seed, numRuns: 15 });
  });

  it("merging with nothing changes nothing but rounding, and the other is left alone", () => {
    const w = world(300, 4, 3, 7), a = all(w), b = all(w), before = b.finish();
    same(empty(w).merge(a).finish(), a.finish());
    same(all(w).merge(empty(w)).finish(), a.finish());
    empty(w).merge(b).merge(b);
    same(b.finish(), before);
    const doubled = empty(w).merge(b).merge(b).finish();
    closeScatter(doubled.scatter, before.scatter.map((v) => 2 * v), 4, 1e-14);
    expect(doubled.fingerprints.size).toBe(300);
  });

  it("survives bytes bit by bit, and goes on", () => {
    const w = world(600, 5, 4, 8), part = empty(w).update(batch(w, 0, 400));
    const restored = FeatureStatistics.fromBytes(part.toBytes());
    same(restored.finish(), part.finish());
    expectExact(restored.toBytes(), part.toBytes());
    const got = restored.update(batch(w, 400, 600)).finish(), want = all(w).finish();
    // Other blocks: within the error of float32 products.
    closeScatter(got.scatter, want.scatter, 5, 2e-6);
    expectExact(got.counts, want.counts);
    expect(restored.count).toBe(600);
    same(FeatureStatistics.fromBytes(empty(w).toBytes()).finish(), empty(w).finish());
  });

  it("refuses bytes that are not its own", () => {
    const bytes = all(world(50, 3, 2, 9)).toBytes();
    for (let i = 0; i < bytes.length; i += 7) {
      const bad = bytes.slice();
      bad[i] ^= 1;
      expect(() => FeatureStatistics.fromBytes(bad)).toThrowError(expect.objectContaining({ name: "FormatError" }));
    }
    for (let length = 0; length < bytes.length; length += 11) expect(() => FeatureStatistics.fromBytes(bytes.subarray(0, length))).toThrowError(expect.objectContaining({ name: "FormatError" }));
  });

  it("a batch that is refused leaves it as it was", () => {
    const w = world(500, 4, 3, 10), statistics = all(w), before = statistics.finish();
    const bad = batch(w, 0, 300), data = w.x.slice(0, 1200);
    data[4 * 299 + 1] = NaN;
    expect(() => statistics.update({ ...bad, features: { data, shape: [300, 4] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.update: expected \`features\` of finite numbers, got NaN in row 299, column 1]`);
    data[4 * 299 + 1] = -Infinity;
    expect(() => statistics.update({ ...bad, features: { data, shape: [300, 4] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.update: expected \`features\` of finite numbers, got -Infinity in row 299, column 1]`);
    expect(() => statistics.update({ features: [[1, 2, 3, 4], [1, 2, 3, 4]], labels: [0, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.update: expected \`labels\` in [0, 3), got 3 at index 1]`);
    expect(() => statistics.update({ features: [[1, 2, 3, 4]], labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.update: expected \`labels\` of shape [1], got [2]]`);
    expect(() => statistics.update({ features: [[1, 2, 3]], labels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.update: expected \`features\` of shape [N, 4], got [1, 3]]`);
    same(statistics.finish(), before);
  });

  it("counts, and takes nothing", () => {
    const w = world(300, 2, 2, 11), statistics = empty(w);
    expect(statistics.count).toBe(0);
    const none = statistics.finish();
    expect([none.count, Array.from(none.means), Array.from(none.scatter)]).toEqual([0, [NaN, NaN, NaN, NaN], [0, 0, 0, 0]]);
    statistics.update({ features: { data: new Float32Array(0), shape: [0, 2] }, labels: new Int32Array(0) });
    expect(statistics.update(batch(w, 0, 300)).count).toBe(300);
  });

  it("in pieces gives the same bits", async () => {
    const w = world(1000, 8, 3, 12), statistics = empty(w);
    await runStepsAsync(statistics.updateSteps("test", batch(w, 0, 1000)), {});
    same(statistics.finish(), all(w).finish());
  });

  it("says what is wrong with its settings and partners", () => {
    expect(() => new FeatureStatistics({ classes: 0, features: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics: expected \`classes\` an integer in [1, 4194304], got 0]`);
    expect(() => new FeatureStatistics({ classes: 1, features: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics: expected \`features\` an integer in [1, 32768], got 1.5]`);
    const two = new FeatureStatistics({ classes: 2, features: 1 });
    expect(() => two.merge(new FeatureStatistics({ classes: 1, features: 1 }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.merge: expected \`other\` of 2 classes and 1 features, got 1 and 1]`);
    expect(() => two.merge({} as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: FeatureStatistics.merge: expected \`other\` a FeatureStatistics, got Object]`);
  });
});

describe("views", () => {
  const w = world(700, 5, 4, 20, 3, 3);

  /** The definition, in float64. */
  function squaresOf({ x, y, f, classes }: World): Float64Array {
    const { means } = reference(w), out = new Float64Array(classes * f);
    y.forEach((c, n) => means.subarray(c * f, (c + 1) * f).forEach((mean, j) => (out[c * f + j] += (x[n * f + j] - mean) ** 2)));
    return out;
  }

  it("class variances agree with the definition, and add up to the diagonal of the scatter", () => {
    const { squares, scatter } = all(w).finish(), want = squaresOf(w);
    // The rows are centred in float32, within 2^-24 of a few deviations; the means are exact to 2^-53.
    expectClose(squares, want, { rtol: 2e-6 });
    for (let j = 0; j < 5; j++) expectClose([0, 1, 2, 3].reduce((sum, c) => sum + squares[5 * c + j], 0), scatter[6 * j], { rtol: 2e-6 });
  });

  it("class variances merge in any order to 1e-12 and survive bytes", () => {
    const parts = (): FeatureStatistics[] => [0, 1, 2, 3].map((i) => empty(w).update(batch(w, 175 * i, 175 * i + 175)));
    const straight = parts().reduce((a, b) => a.merge(b)).finish(), other = parts().reduceRight((a, b) => a.merge(b)).finish();
    expectClose(other.squares, straight.squares, { rtol: 1e-12 });
    expectExact(FeatureStatistics.fromBytes(all(w).toBytes()).finish().squares, all(w).finish().squares);
  });

  it("pooled is the same rows as one class", () => {
    const one = { ...w, y: new Int32Array(w.n), classes: 1 }, got = all(w).pooled().finish(), want = reference(one);
    expectExact(got.counts, want.counts);
    expectClose(got.means, want.means, { atol: 1e-6 });
    closeScatter(got.scatter, want.scatter, 5, 2e-6);
    for (let j = 0; j < 5; j++) expectClose(got.squares[j], want.scatter[6 * j], { rtol: 2e-6 });
    expectExact(got.fingerprints.words(), all(w).finish().fingerprints.words());
    expect(got.count).toBe(w.n);
    const merged = empty(w).update(batch(w, 300, 700)).merge(empty(w).update(batch(w, 0, 300))).pooled().finish();
    closeScatter(merged.scatter, got.scatter, 5, 2e-6);
    expect(empty(w).pooled().finish().count).toBe(0);
  });

  it("grows by classes, in the middle of a block too, and is then what it would have been", () => {
    const first = { ...w, classes: 2, y: w.y.map((c) => c % 2) }, statistics = empty(first).update(batch(first, 0, 300)).grow(4);
    const rest = { ...w, y: w.y.map((c, n) => (n < 300 ? c % 2 : c)) };
    same(statistics.update(batch(rest, 300, 700)).finish(), all(rest).finish());
    expect([statistics.classes, statistics.count]).toEqual([4, 700]);
    expect(empty(w).grow(4).classes).toBe(4);
    expect(() => empty(w).grow(3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: FeatureStatistics.grow: expected \`classes\` an integer in [4, 4194304], got 3]`);
  });

  it("reads bytes of version 1, which have no class variances", () => {
    const { means, scatter, fingerprints } = all(w).finish(), words = fingerprints.words();
    const lower = Float64Array.from({ length: 15 }, (_, p) => scatter[[0, 5, 6, 10, 11, 12, 15, 16, 17, 18, 20, 21, 22, 23, 24][p]]);
    const writer = new ByteWriter("ood.FeatureStatistics", 1).uint32(4).uint32(5).float64Array(all(w).finish().counts).float64Array(means).float64Array(lower).uint32(words.length / 2);
    for (const word of words) writer.uint32(word);
    const old = FeatureStatistics.fromBytes(writer.bytes());
    same(old.finish(), all(w).finish());
    expect(old.finish().squares.every((value) => Number.isNaN(value))).toBe(true);
    same(FeatureStatistics.fromBytes(old.toBytes()).finish(), old.finish());
    expect(() => GaussianPrototypes.from(old)).toThrowErrorMatchingInlineSnapshot(`[RangeError: GaussianPrototypes.from: expected \`statistics\` with class variances, got none: bytes of version 1. Accumulate the rows again, or pass covariance "shared"]`);
    expect(GaussianPrototypes.from(old, { covariance: "shared" }).features).toBe(5);
  });
});

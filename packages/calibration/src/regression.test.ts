import { isotonicRegression, normalCdf, normalQuantile, sampleNormal } from "@logits/statistics";
import { Tensor, randomSource } from "@logits/tensor";
import { estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PitRecalibration, VarianceScaling, VarianceScalingAccumulator } from "./index.ts";

/** Normal predictions whose true deviations are `factor` times the predicted ones, around a mean that is off by `bias` predicted deviations. */
function rows(n: number, factor: number, seed: number, bias: number = 0): { means: Float32Array; deviations: Float32Array; targets: Float32Array } {
  const random = randomSource(seed), means = Float32Array.from({ length: n }, () => 10 * random.uniform()), deviations = Float32Array.from({ length: n }, () => 0.2 + 2 * random.uniform());
  return { means, deviations, targets: means.map((mean, i) => mean + deviations[i] * (bias + factor * sampleNormal(random))) };
}
const vector = (data: Float32Array) => ({ dtype: "float32" as const, shape: [data.length], data });
const fitted = rows(400, 1.7, 1), { means, deviations, targets } = fitted;

describe("VarianceScaling", () => {
  it("agrees with the definition, and with no other factor is the likelihood of normal predictions larger", () => {
    const got = VarianceScaling.fit(means, deviations, targets);
    const squares = Array.from(means, (mean, i) => ((targets[i] - mean) / deviations[i]) ** 2), mean = squares.reduce((sum, z) => sum + z, 0) / 400;
    expectClose(got.scale, Math.sqrt(mean), { rtol: 1e-13 }); // 400 additions in another order
    expectClose(got.standardError, Math.sqrt(squares.reduce((sum, z) => sum + (z - mean) ** 2, 0) / 399 / 400) / (2 * got.scale), { rtol: 1e-12 });
    const loss = (s: number): number => squares.reduce((sum, z) => sum + Math.log(s) + z / (2 * s * s), 0);
    for (const s of [0.9, 0.99, 0.999, 1.001, 1.01, 1.1]) expect(loss(s * got.scale)).toBeGreaterThan(loss(got.scale));
    expectExact(got.transform(deviations).data, deviations.map((d) => got.scale * d));
  });

  it("ignores the units of the targets", () => {
    const { scale } = VarianceScaling.fit(means, deviations, targets), times = (x: Float32Array): Float32Array => x.map((v) => 1024 * v);
    expect(VarianceScaling.fit(times(means), times(deviations), times(targets)).scale).toBe(scale); // powers of two are exact
  });

  it("says where every target was predicted exactly, and takes one row", () => {
    expect(VarianceScaling.fit([1, 2], [1, 3], [1, 2])).toMatchObject({ scale: 0, standardError: 0, atBound: true, n: 2 });
    expect(VarianceScaling.fit([1], [2], [7])).toMatchObject({ scale: 3, standardError: 0, atBound: false });
    expectExact(VarianceScaling.fit([1], [2], [7]).transform([[0, NaN], [Infinity, 1]]), new Tensor("float32", [2, 2], Float32Array.of(0, NaN, Infinity, 3)));
    expect(VarianceScaling.fit([-3e38], [1e-40], [3e38]).scale).toBeGreaterThan(1e78); // no overflow in float64
  });

  it.each(estimatorChecks<VarianceScaling>({
    name: "VarianceScaling",
    data: [vector(means), vector(deviations), vector(targets)],
    fit: (m, d, t) => VarianceScaling.fit(m, d, t),
    output: (one) => [{ shape: [2], data: [one.scale, one.standardError] }, one.transform(deviations)],
    fromJSON: VarianceScaling.fromJSON,
    rowOrder: { rtol: 1e-6 }, // float64 sums in another order, then float32
    recovers: [{ name: "s", estimate: (one) => one.scale, truth: 1.7, standardError: 1.7 / Math.sqrt(800) }],
  }))("$name", ({ run }) => run());

  it("recovers planted factors over seeds: the standard error is that of the estimates", () => {
    const estimates = Array.from({ length: 200 }, (_, i) => VarianceScaling.fit(...(Object.values(rows(200, 0.6, 100 + i)) as [Float32Array, Float32Array, Float32Array])));
    const away = estimates.map(({ scale, standardError }) => ((scale - 0.6) / standardError) ** 2).reduce((sum, z) => sum + z, 0) / 200;
    // A mean of 200 squared normals has a deviation of 0.1; the estimated errors of 200 rows vary by a tenth.
    expect(away).toBeGreaterThan(0.7);
    expect(away).toBeLessThan(1.4);
  });

  it("accumulates: any split gives the fit, the same merge tree the same bits, bytes come back", () => {
    const whole = VarianceScaling.fit(means, deviations, targets), part = (from: number, to: number) => ({ means: means.subarray(from, to), deviations: deviations.subarray(from, to), targets: targets.subarray(from, to) });
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 5 }), (cuts) => {
      const edges = [0, ...cuts.sort((a, b) => a - b), 400], parts = edges.slice(1).map((to, i) => new VarianceScalingAccumulator().update(part(edges[i], to)));
      const merge = (): VarianceScaling => parts.map((one) => VarianceScalingAccumulator.fromBytes(one.toBytes())).reduce((all, one) => all.merge(one)).finish();
      expectClose(merge().scale, whole.scale, { rtol: 1e-12 });
      expect(merge()).toEqual(merge());
    }), { seed: 1, numRuns: 30 });
    expect(new VarianceScalingAccumulator().update(fitted).finish()).toEqual(whole);
  });

  it("has these messages", () => {
    expect(() => VarianceScaling.fit([], [], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fit: expected \`means\` with at least one row, got none]`);
    expect(() => VarianceScaling.fit([1], [1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fit: expected \`deviations\` of shape [1], got [2]]`);
    expect(() => VarianceScaling.fit([1], [0], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fit: expected \`deviations\` of finite numbers > 0, got 0 at index 0]`);
    expect(() => VarianceScaling.fit([NaN], [1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fit: expected \`means\` of finite numbers, got NaN at index 0]`);
    expect(() => VarianceScaling.fit([1], [1], [Infinity])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fit: expected \`targets\` of finite numbers, got Infinity at index 0]`);
    expect(() => new VarianceScalingAccumulator().finish()).toThrowErrorMatchingInlineSnapshot(`[RangeError: VarianceScaling.fromMoments: expected \`squares\` with at least one row, got none]`);
    expect(() => VarianceScaling.fromJSON({ format: "logits/variance-scaling", version: 1, n: 1, scale: 2, standardError: 0, atBound: true })).toThrowErrorMatchingInlineSnapshot(`[FormatError: VarianceScaling.fromJSON: expected \`atBound\` false at scale 2, got true]`);
  });
});

describe("PitRecalibration", () => {
  const pit = means.map((mean, i) => normalCdf((targets[i] - mean) / deviations[i]));

  it("agrees with the definition at every row, ties counted together", () => {
    const ties = Float32Array.from({ length: 200 }, (_, i) => Math.fround(((i * 37) % 50) / 50 + 0.01)), got = PitRecalibration.fit(ties);
    for (const u of ties) expectClose(got.at(u), ties.filter((v) => v <= u).length / 201, { atol: 1e-7 }); // probits in float32
    expectExact([got.at(0), got.at(1), got.level(0), got.level(1)], [0, 1, 0, 1]);
  });

  it("is linear in probits between the rows and goes on with the mean slope", () => {
    const got = PitRecalibration.fitNormal([0, 0, 0], [1, 1, 1], [-1, 1, 5]), probits = [0.25, 0.5, 0.75].map(normalQuantile);
    const quantiles = (levels: number[]): Float32Array => got.normalQuantiles([0], [1], levels.map(normalCdf)).data;
    expectClose(quantiles(probits), [-1, 1, 5], { rtol: 1e-6 });
    expectClose(quantiles([(probits[0] + probits[1]) / 2, probits[2] * 0.75]), [0, 4], { atol: 1e-6 });
    expectClose(quantiles([probits[0] - 1, probits[2] + 1]), [-1 - 6 / (probits[2] - probits[0]), 5 + 6 / (probits[2] - probits[0])], { rtol: 1e-6 });
  });

  it("is the isotonic regression of Kuleshov's points, up to N + 1 in the place of N", () => {
    const share = pit.map((u) => pit.filter((v) => v <= u).length / 400), regression = isotonicRegression(pit, share), got = PitRecalibration.fit(pit);
    expectClose(Array.from(regression.x, (u) => (u < 1 ? got.at(u) : 400 / 401) * (401 / 400)), regression.y, { atol: 1e-6 }); // shares and probits in float32
  });

  it("inverts itself and keeps the order", () => {
    const got = PitRecalibration.fit(pit);
    fc.assert(fc.property(fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (p, q) => {
      expectClose(got.at(got.level(p)), p, { atol: 1e-9 }); // rounding at 1 - 1e-7, where the slope of R is some hundreds
      expect(got.at(p) <= got.at(q) || p > q).toBe(true);
    }), { seed: 2, numRuns: 200 });
  });

  it("keeps its promise: a new row lies below the k / (N + 1) quantile in that share of the fits", () => {
    // Models that are wrong in spread and mean; N = 19, so that 0.05 and 0.95 are such levels. One new row for each fit.
    const repeats = process.env.LOGITS_SLOW ? 10000 : 1500, levels = [0.05, 0.5, 0.95], below = [0, 0, 0];
    for (let i = 0; i < repeats; i++) {
      const all = rows(20, 2.5, 1000 + i, 0.8), fit = PitRecalibration.fitNormal(all.means.subarray(1), all.deviations.subarray(1), all.targets.subarray(1));
      const quantiles = fit.normalQuantiles(all.means.subarray(0, 1), all.deviations.subarray(0, 1), levels).data;
      levels.forEach((_, k) => (below[k] += Number(all.targets[0] <= quantiles[k])));
    }
    // 99.9 % of a binomial: 3.29 standard deviations.
    levels.forEach((p, k) => expect(Math.abs(below[k] / repeats - p), `level ${p}`).toBeLessThan(3.29 * Math.sqrt((p * (1 - p)) / repeats)));
  });

  it("makes the PIT of new rows uniform where the model's is not", () => {
    const got = PitRecalibration.fitNormal(...(Object.values(rows(5000, 2.5, 7, 0.8)) as [Float32Array, Float32Array, Float32Array]));
    const fresh = rows(5000, 2.5, 8, 0.8), u = fresh.means.map((mean, i) => normalCdf((fresh.targets[i] - mean) / fresh.deviations[i]));
    const distance = (values: Float32Array): number => Array.from(values.toSorted()).reduce((worst, v, i) => Math.max(worst, Math.abs(v - (i + 0.5) / 5000)), 0);
    expect(distance(u)).toBeGreaterThan(0.2);
    expect(distance(got.transform(u).data)).toBeLessThan(1.95 * Math.sqrt(2 / 5000)); // Kolmogorov-Smirnov of two samples, 99.9 %
  });

  it("repairs a model that is overconfident by a hundred deviations", () => {
    const got = PitRecalibration.fitNormal(...(Object.values(rows(2000, 100, 9)) as [Float32Array, Float32Array, Float32Array])), fresh = rows(2000, 100, 10);
    const quantiles = got.normalQuantiles(fresh.means, fresh.deviations, [0.05, 0.95]).data, inside = fresh.targets.filter((y, i) => y > quantiles[2 * i] && y <= quantiles[2 * i + 1]).length / 2000;
    expect(Math.abs(inside - 0.9)).toBeLessThan(3.29 * Math.sqrt(2 * 0.09 / 2000)); // rows of the fit and of the check
  });

  it("answers the ends", () => {
    const got = PitRecalibration.fit([0, 0, 0.5, 1]);
    expectExact([got.at(0), got.at(-0.1), got.at(NaN), got.at(1.1), got.at(1)], [0.4, NaN, NaN, NaN, 1]);
    expectExact([got.level(0.3), got.level(0.4), got.level(2), got.level(0.9), got.level(1)], [0, 0, NaN, 1, 1]);
    expectClose([got.at(1e-30), got.at(0.5), got.at(1 - 1e-9)], [0.4, 0.6, 0.8], { atol: 1e-12 });
    expectExact(got.normalQuantiles([1], [2], [0, 0.2, 0.9, 1]).data, [-Infinity, -Infinity, Infinity, Infinity]);
    expectClose(PitRecalibration.fit([0.5]).transform([[0.1, 0.5, 0.9]]).data, [0.1, 0.5, 0.9], { rtol: 1e-6 });
    expectExact(PitRecalibration.fit([0.5]).transform([[0, 0.5, 1, NaN]]), new Tensor("float32", [1, 4], Float32Array.of(0, 0.5, 1, NaN)));
    expectExact([PitRecalibration.fit([0]).level(0.5), PitRecalibration.fit([0]).at(0.3), PitRecalibration.fit([1]).at(0.7)], [0, 0.5, 0.5]);
    expect(PitRecalibration.fit([-0]).below).toBe(1);
  });

  it.each(estimatorChecks<PitRecalibration>({
    name: "PitRecalibration",
    data: [vector(means), vector(deviations), vector(targets)],
    fit: (m, d, t) => PitRecalibration.fitNormal(m, d, t),
    output: (one) => [one.transform(pit), one.normalQuantiles(means, deviations, [0.05, 0.5, 0.95])],
    fromJSON: PitRecalibration.fromJSON,
    base64: ["knots.data"],
    wrongWidth: [(one) => one.normalQuantiles([1, 2], [1], [0.5])],
    invariants: [{ name: "gives quantiles that increase", holds: (one) => Array.from({ length: 400 }, (_, i) => one.normalQuantiles(means, deviations, [0.05, 0.5, 0.95]).data.subarray(3 * i, 3 * i + 3)).every(([a, b, c]) => a < b && b < c) }],
  }))("$name", ({ run }) => run());

  it("has these messages", () => {
    expect(() => PitRecalibration.fit([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.fit: expected \`pit\` with at least one row, got none]`);
    expect(() => PitRecalibration.fit([0.5, 1.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.fit: expected \`pit\` in [0, 1], got 1.5 at index 1]`);
    expect(() => PitRecalibration.fit([NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.fit: expected \`pit\` in [0, 1], got NaN at index 0]`);
    expect(() => PitRecalibration.fitNormal([], [], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.fitNormal: expected \`means\` with at least one row, got none]`);
    expect(() => PitRecalibration.fitNormal([1], [-1], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.fitNormal: expected \`deviations\` of finite numbers > 0, got -1 at index 0]`);
    expect(() => PitRecalibration.fit([0.5]).normalQuantiles([1], [1], [1.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.normalQuantiles: expected \`levels\` in [0, 1], got 1.5 at index 0]`);
    expect(() => PitRecalibration.fit([0.5]).normalQuantiles([1], [1, 2], [0.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PitRecalibration.normalQuantiles: expected \`deviations\` of shape [1], got [2]]`);
    const json = JSON.parse(JSON.stringify(PitRecalibration.fit([0.25, 0.5])));
    expect(() => PitRecalibration.fromJSON({ ...json, n: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PitRecalibration.fromJSON: expected \`counts\` numbers that end with 3, got 2]`);
    expect(() => PitRecalibration.fromJSON({ ...json, below: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PitRecalibration.fromJSON: expected \`counts\` strictly increasing numbers above 1, got 1 at index 0]`);
    expect(() => PitRecalibration.fromJSON({ ...json, knots: PitRecalibration.fit([0.5, 0.75]).toJSON().knots, counts: { ...json.counts, shape: [2], data: btoa("\x02\0\0\0\x01\0\0\0") } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PitRecalibration.fromJSON: expected \`counts\` strictly increasing numbers above 0, got 1 at index 1]`);
    expect(() => PitRecalibration.fromJSON({ ...json, counts: PitRecalibration.fit([0.5]).toJSON().counts })).toThrowErrorMatchingInlineSnapshot(`[FormatError: PitRecalibration.fromJSON: expected \`counts\` 2 numbers, one for each of \`knots\`, got 1]`);
  });
});

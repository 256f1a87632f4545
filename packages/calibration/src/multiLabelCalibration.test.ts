import { sigmoid } from "@logits/statistics";
import { estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { MultiLabelCalibration, PlattScaling } from "./index.ts";

const SLOPES = [0.5, 2, 1], INTERCEPTS = [-1, 0.5, -2];

/** Scores and labels with p_c = sigmoid(slopes[c] z_c + intercepts[c]). */
function world(rows: number, seed: number, slopes: readonly number[] = SLOPES, intercepts: readonly number[] = INTERCEPTS) {
  const random = testRandom(seed), classes = slopes.length, shape = [rows, classes];
  const z = Float32Array.from({ length: rows * classes }, () => 2 * random.normal());
  return { z: { dtype: "float32" as const, shape, data: z }, t: { shape, data: Uint8Array.from(z, (score, i) => (random.uniform() < sigmoid(slopes[i % classes] * score + intercepts[i % classes]) ? 1 : 0)) } };
}
const column = (x: ArrayLike<number>, c: number, classes = 3): number[] => Array.from(x).filter((_, i) => i % classes === c);
const { z, t } = world(900, 1), probe = world(60, 2).z;

describe("MultiLabelCalibration", () => {
  it("without shrinkage is Platt's fit of each label", () => {
    const fitted = MultiLabelCalibration.fit(z, t, { shrinkage: 0 });
    for (let c = 0; c < 3; c++) {
      const { slope, intercept } = PlattScaling.fit(column(z.data, c), column(t.data, c));
      expectExact([fitted.slopes.data[c], fitted.intercepts.data[c]], [Math.fround(slope), Math.fround(intercept)]);
    }
  });

  it("with a large one is the fit of all labels together", () => {
    const fitted = MultiLabelCalibration.fit(z, t, { shrinkage: 1e9 }), { slope, intercept } = PlattScaling.fit(z.data, t.data);
    expectClose([fitted.pooledSlope, fitted.pooledIntercept], [slope, intercept], { rtol: 1e-10 });
    expectClose(fitted.slopes.data, [slope, slope, slope], { atol: 1e-5 }); // 900 rows against 1e9
    expectClose(fitted.intercepts.data, [intercept, intercept, intercept], { atol: 1e-5 });
  });

  it("is at the minimum of the definition: the gradient with the prior's vanishes, by a slope at its bound 0 it is not negative", () => {
    for (const slopes of [SLOPES, [-1, 2, 1]]) {
      const { z, t } = world(900, 1, slopes), kappa = 30, fitted = MultiLabelCalibration.fit(z, t, { shrinkage: kappa }), { pooledSlope, pooledIntercept } = fitted;
      const weights = Array.from(z.data, (score) => { const p = sigmoid(pooledSlope * score + pooledIntercept); return p * (1 - p); });
      const mean = (power: number): number => weights.reduce((sum, w, i) => sum + w * z.data[i] ** power, 0) / z.data.length;
      for (let c = 0; c < 3; c++) {
        const s = column(z.data, c), y = column(t.data, c), positives = y.reduce((a, b) => a + b), a = fitted.slopes.data[c], b = fitted.intercepts.data[c];
        const rest = s.map((score, n) => sigmoid(a * score + b) - (y[n] ? (positives + 1) / (positives + 2) : 1 / (902 - positives)));
        const off = [a - pooledSlope, b - pooledIntercept];
        const gradient = [rest.reduce((sum, r, n) => sum + r * s[n], kappa * (mean(2) * off[0] + mean(1) * off[1])) / 900, rest.reduce((sum, r) => sum + r, kappa * (mean(1) * off[0] + mean(0) * off[1])) / 900];
        // Rounding of a and b to float32 moves each p by at most 1e-6.
        expect(Math.abs(gradient[1])).toBeLessThan(1e-6);
        expect(a === 0).toBe(slopes[c] < 0);
        if (a === 0) expect(gradient[0]).toBeGreaterThan(0);
        else expect(Math.abs(gradient[0])).toBeLessThan(1e-6);
      }
    }
  });

  it("recovers planted slopes and intercepts within their standard errors", () => {
    const big = world(20000, 6), fitted = MultiLabelCalibration.fit(big.z, big.t);
    for (let c = 0; c < 3; c++) {
      const { slopeStandardError, interceptStandardError } = PlattScaling.fit(column(big.z.data, c), column(big.t.data, c));
      expect(Math.abs(fitted.slopes.data[c] - SLOPES[c]) / slopeStandardError).toBeLessThan(4);
      expect(Math.abs(fitted.intercepts.data[c] - INTERCEPTS[c]) / interceptStandardError).toBeLessThan(4);
    }
  });

  it("temperature: the slope alone, 1 / T of each label", () => {
    const { z, t } = world(20000, 7, [0.4, 1, 2.5], [0, 0, 0]), fitted = MultiLabelCalibration.fit(z, t, { method: "temperature" });
    expectExact(fitted.intercepts.data, [0, 0, 0]);
    expectClose(fitted.slopes.data, [0.4, 1, 2.5], { rtol: 0.1 }); // standard errors of about 2 % at 20,000 rows
    const s = column(z.data, 0), y = column(t.data, 0), positives = y.reduce((a, b) => a + b), plain = MultiLabelCalibration.fit(z, t, { method: "temperature", shrinkage: 0 }).slopes.data[0];
    const gradient = s.reduce((sum, score, n) => sum + score * (sigmoid(plain * score) - (y[n] ? (positives + 1) / (positives + 2) : 1 / (20002 - positives))), 0) / 20000;
    expect(Math.abs(gradient)).toBeLessThan(1e-6); // float32 slope
    expectExact(MultiLabelCalibration.fit([[2], [1], [-1]], [[0], [0], [1]], { method: "temperature", shrinkage: 0 }).probabilities([[5], [-Infinity]]).data, [0.5, 0.5]);
  });

  it("lowers the loss of rare labels on fresh rows", () => {
    // 20 labels of one network: slopes and intercepts vary by 40 %, a label has 1 to 8 rows of 60.
    let alone = 0, shrunk = 0, pooled = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const random = testRandom(seed), slopes = Array.from({ length: 20 }, () => 0.7 * Math.exp(0.4 * random.normal())), intercepts = Array.from({ length: 20 }, () => -2.5 + 0.4 * random.normal());
      const train = world(60, 100 + seed, slopes, intercepts), test = world(500, 200 + seed, slopes, intercepts);
      const loss = (shrinkage: number): number => { const p = MultiLabelCalibration.fit(train.z, train.t, { shrinkage }).probabilities(test.z).data; return p.reduce((sum, q, i) => sum - Math.log(test.t.data[i] ? q : 1 - q), 0) / p.length; };
      alone += loss(0);
      shrunk += loss(10);
      pooled += loss(1e6);
    }
    expect(shrunk).toBeLessThan(alone - 0.01);
    expect(shrunk).toBeLessThan(pooled - 0.01);
  });

  it("has a documented result for labels of one kind, equal scores, one row and one label: never NaN", () => {
    const inputs = [-1e30, -3, 0, 3, 1e30, -Infinity, Infinity];
    for (const [scores, targets] of [[[[1], [2], [3]], [[0], [0], [0]]], [[[1], [2], [3]], [[1], [1], [1]]], [[[3], [3], [3]], [[1], [0], [0]]], [[[5]], [[1]]], [[[-2], [-1], [1], [2]], [[0], [0], [1], [1]]], [[[3], [2], [-2]], [[0], [0], [1]]]]) {
      for (const method of ["platt", "temperature"] as const) for (const shrinkage of [0, 10]) {
        const fitted = MultiLabelCalibration.fit(scores, targets, { method, shrinkage });
        expect(fitted.probabilities(inputs.map((x) => [x])).data.every((p) => p >= 0 && p <= 1), JSON.stringify([scores, targets, method, shrinkage])).toBe(true);
        expect(fitted.slopes.data[0]).toBeGreaterThanOrEqual(0);
      }
    }
    // Smoothed targets 2/3 for one positive, 1/5 for three negatives: their mean is 19/60, whose log-odds are ln(19/41).
    expectClose(MultiLabelCalibration.fit([[3], [3], [3], [3]], [[1], [0], [0], [0]], { shrinkage: 0 }).intercepts.data, [Math.log(19 / 41)], { atol: 1e-7 });
    expectExact(MultiLabelCalibration.fit(z, t).transform([[NaN, 0, Infinity]]).data.map((x) => Number(x !== x)), [1, 0, 0]);
  });

  it("a label without rows of one kind takes the slope of the others", () => {
    const targets = t.data.map((value, i) => (i % 3 === 2 ? 0 : value)), fitted = MultiLabelCalibration.fit(z, { shape: t.shape, data: targets }, { shrinkage: 50 });
    expect(fitted.slopes.data[2]).toBeGreaterThan(0.2 * fitted.pooledSlope);
    expect(fitted.slopes.data[2]).toBeGreaterThan(2 * MultiLabelCalibration.fit(z, { shape: t.shape, data: targets }, { shrinkage: 0 }).slopes.data[2]);
  });

  it.each((["platt", "temperature"] as const).flatMap((method) => estimatorChecks<MultiLabelCalibration>({
    name: `MultiLabelCalibration ${method}`,
    data: [z, t],
    fit: (scores, targets) => MultiLabelCalibration.fit(scores as never, targets as never, { method }),
    output: (fitted) => [fitted.transform(probe), fitted.probabilities(probe)],
    fromJSON: MultiLabelCalibration.fromJSON,
    rowOrder: { rtol: 1e-5, atol: 1e-6 }, // float64 sums in another order
    wrongWidth: [(fitted) => fitted.transform(new Float32Array(4)), (fitted) => fitted.probabilities([[1, 2]])],
    base64: ["slopes.data", "intercepts.data"],
  }).map((check) => ({ ...check, name: `${method}: ${check.name}` }))))("$name", ({ run }) => run());

  it("fits the same bits in pieces", async () => {
    const shares: number[] = [];
    expect(await MultiLabelCalibration.fitAsync(z, t, { onProgress: (share) => shares.push(share) })).toEqual(MultiLabelCalibration.fit(z, t));
    expect(shares.every((share, i) => share >= (shares[i - 1] ?? 0))).toBe(true);
  });

  it("says what is wrong", () => {
    expect(() => MultiLabelCalibration.fit([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.fit: expected \`targets\` of shape [1, 2], got [1, 1]]`);
    expect(() => MultiLabelCalibration.fit([[1], [Infinity]], [[1], [0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.fit: expected \`logits\` of finite scores, got Infinity in row 1, column 0]`);
    expect(() => MultiLabelCalibration.fit({ data: new Float32Array(0), shape: [0, 2] }, { data: new Uint8Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.fit: expected \`logits\` with at least one row and one label, got shape [0, 2]]`);
    expect(() => MultiLabelCalibration.fit([[1]], [[1]], { shrinkage: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.fit: expected \`shrinkage\` a finite number >= 0, got -1]`);
    expect(() => MultiLabelCalibration.fit([[1]], [[1]], { method: "beta" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.fit: expected \`method\` "platt" or "temperature", got beta]`);
    expect(() => MultiLabelCalibration.fit(z, t).probabilities([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelCalibration.probabilities: expected \`logits\` of 3 classes on the last axis, got shape [2]]`);
    const json = MultiLabelCalibration.fit(z, t).toJSON();
    expect(() => MultiLabelCalibration.fromJSON({ ...json, classes: 4 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelCalibration.fromJSON: expected \`slopes\` of shape [4], got [3]]`);
  });
});

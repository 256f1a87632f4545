import { softmax } from "@logits/core-wasm";
import { estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { EnsembleTemperatureScaling, PriorCorrection, TemperatureScaling, calibratorFromJSON } from "./index.ts";
import { planted, standardErrors } from "./planted.ref.ts";

const train = planted(600, 4, 41, (row) => row.map((z) => z / 2), 3), probe = planted(20, 4, 42, (row) => row, 3).z;
const argmax = (row: ArrayLike<number>): number => Array.from(row).indexOf(Math.max(...Array.from(row)));

describe("EnsembleTemperatureScaling", () => {
  it("mixes three distributions", () => {
    const fitted = EnsembleTemperatureScaling.fit(train.z, train.y), { temperature, scaledWeight, plainWeight, uniformWeight } = fitted;
    const scaled = softmax(probe, { temperature }).data, plain = softmax(probe).data;
    expectClose(fitted.probabilities(probe).data, scaled.map((p, i) => scaledWeight * p + plainWeight * plain[i] + uniformWeight / 4), { rtol: 1e-6 });
    expectClose(softmax(fitted.transform(probe)).data, fitted.probabilities(probe).data, { rtol: 1e-5 }); // ln and exp in float32
    expect(temperature).toBe(TemperatureScaling.fit(train.z, train.y).temperature);
    expect(fitted.loss).toBeLessThanOrEqual(TemperatureScaling.fit(train.z, train.y).loss + 1e-6);
  });

  it("has the best weights: no other point of a grid is better by more than the gap", () => {
    const { temperature, loss, gap } = EnsembleTemperatureScaling.fit(train.z, train.y);
    const scaled = softmax(train.z, { temperature }).data, plain = softmax(train.z).data;
    for (let a = 0; a <= 20; a++) for (let b = 0; a + b <= 20; b++) {
      const at = train.y.reduce((sum, label, n) => sum - Math.log((a * scaled[4 * n + label] + b * plain[4 * n + label] + (20 - a - b) / 4) / 20) / 600, 0);
      expect(loss).toBeLessThanOrEqual(at + gap + 1e-9);
    }
    expect(gap).toBeLessThanOrEqual(1e-9);
  });

  it("recovers the share of labels that were drawn at random", () => {
    const random = testRandom(44), { z, y } = planted(20000, 4, 43, (row) => row.map((x) => x), 3), noise = 0.2;
    const noisy = y.map((label) => (random.uniform() < noise ? random.integer(4) : label));
    const fitted = EnsembleTemperatureScaling.fit(z, noisy);
    const components = [softmax(z, { temperature: fitted.temperature }).data, softmax(z).data];
    const q = [...noisy].map((label, n) => [components[0][4 * n + label], components[1][4 * n + label], 0.25]);
    const loss = ([a, b]: Float64Array): number => -q.reduce((sum, [s, p, u]) => sum + Math.log(a * s + b * p + (1 - a - b) * u), 0) / q.length;
    // One direction at the bound: with the plain part alone the model is exact.
    expectClose(fitted.plainWeight + fitted.scaledWeight + fitted.uniformWeight, 1, { rtol: 1e-12 });
    const error = standardErrors((x) => loss(Float64Array.of(fitted.scaledWeight, 1 - fitted.scaledWeight - x[0])), Float64Array.of(fitted.uniformWeight), 20000, 0.01)[0];
    expect(Math.abs(fitted.uniformWeight - noise) / error).toBeLessThan(4);
  });

  it("laplace: bounded loss where there was no error", () => {
    const fitted = EnsembleTemperatureScaling.fit([[4, 0, -Infinity], [0, 2, 1]], [0, 1], { weights: "laplace" });
    expect([fitted.atBound, fitted.temperature]).toEqual([true, 2 ** -10]);
    expectClose(fitted.probabilities([9, 0, -Infinity]).data, [1 - 1 / 6, 1 / 6, 0], { rtol: 1e-6 });
    expectClose(fitted.probabilities([9, 0, 0]).data, [1 - 2 / 9, 1 / 9, 1 / 9], { rtol: 1e-6 });
    expectClose(fitted.transform([9, 0, -Infinity]).data, [Math.log(5 / 6), Math.log(1 / 6), -Infinity], { rtol: 1e-6 });
    for (const [z, y] of [[[[5], [7]], [0, 0]], [[[1, 1], [2, 2]], [0, 1]], [[[1, 0]], [0]]] as const) {
      for (const weights of ["laplace", "fitted"] as const) expect([...EnsembleTemperatureScaling.fit(z, y, { weights }).probabilities(z).data].every((p) => p > 0 && p <= 1)).toBe(true);
    }
  });

  it.each((["fitted", "laplace"] as const).flatMap((weights) => estimatorChecks<EnsembleTemperatureScaling>({
    name: `EnsembleTemperatureScaling ${weights}`,
    data: [train.z, { shape: [600], data: train.y }],
    fit: (z, y) => EnsembleTemperatureScaling.fit(z, y, { weights }),
    output: (fitted) => [fitted.transform(probe), fitted.probabilities(probe)],
    fromJSON: EnsembleTemperatureScaling.fromJSON,
    rowOrder: { rtol: 1e-4, atol: 1e-6 }, // T to 1e-7; weights where the loss is flat within 1e-9
    wrongWidth: [(fitted) => fitted.transform(new Float32Array(5)), (fitted) => fitted.probabilities([[1, 2]])],
    invariants: [{ name: `${weights} keeps the highest class`, holds: (fitted) => Array.from({ length: 20 }, (_, n) => argmax(probe.data.subarray(4 * n, 4 * n + 4)) === argmax(fitted.probabilities(probe).data.subarray(4 * n, 4 * n + 4))).every(Boolean) }],
  })))("$name", ({ run }) => run());

  it("is read by calibratorFromJSON and fits the same bits in pieces", async () => {
    const fitted = EnsembleTemperatureScaling.fit(train.z, train.y);
    expect(calibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    expect(await EnsembleTemperatureScaling.fitAsync(train.z, train.y)).toEqual(fitted);
  });
});

/** Rows of a calibrated model under `target` shares: a label, then Gaussian evidence; logits of the source shares. */
function shifted(rows: number, seed: number, source: readonly number[], target: readonly number[]): Float32Array {
  const random = testRandom(seed), out: number[] = [];
  for (let n = 0; n < rows; n++) {
    let u = random.uniform(), label = 0;
    while (label < source.length - 1 && (u -= target[label]) >= 0) label++;
    // x ~ N(1.5 e_label, I): log p(x | c) = 1.5 x_c + constant.
    for (let c = 0; c < source.length; c++) out.push(1.5 * (random.normal() + (c === label ? 1.5 : 0)) + Math.log(source[c]));
  }
  return Float32Array.from(out);
}

describe("PriorCorrection", () => {
  const source = [0.5, 0.3, 0.2], target = [0.1, 0.2, 0.7];

  it("moves the prior: Bayes' rule", () => {
    const correction = PriorCorrection.fromPriors(source, target);
    expectClose(correction.probabilities(source.map(Math.log)).data, target, { rtol: 1e-6 });
    const p = [0.7, 0.2, 0.1], w = p.map((x, c) => (x * target[c]) / source[c]), total = w.reduce((a, b) => a + b);
    expectClose(correction.probabilities(p.map(Math.log)).data, w.map((x) => x / total), { rtol: 1e-6 });
    expectClose(PriorCorrection.fromPriors(source, source).transform([1, 2, 3]).data, [1, 2, 3], { atol: 1e-7 });
    expect([correction.n, correction.converged, correction.atBound]).toEqual([0, true, false]);
  });

  it("recovers planted shares from rows without labels, within their standard error", () => {
    const data = shifted(4000, 51, source, target), fitted = PriorCorrection.fit({ data, shape: [4000, 3] }, source), p = softmax({ data, shape: [4000, 3] }).data;
    const loss = ([a, b]: Float64Array): number => { const w = [a, b, 1 - a - b]; let sum = 0; for (let n = 0; n < 4000; n++) sum -= Math.log(w.reduce((total, x, c) => total + (x * p[3 * n + c]) / source[c], 0)); return sum / 4000; };
    const found = [...fitted.prior.data], errors = standardErrors(loss, Float64Array.of(found[0], found[1]), 4000, 0.005);
    [0, 1].forEach((c) => expect(Math.abs(found[c] - target[c]) / errors[c]).toBeLessThan(4));
    expect(fitted.converged).toBe(true);
    expectClose(found.reduce((a, b) => a + b), 1, { rtol: 1e-6 });
    // A maximum: no move along the simplex is better.
    for (const [a, b] of [[0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01], [0.01, -0.01]]) expect(loss(Float64Array.of(found[0] + a, found[1] + b))).toBeGreaterThan(loss(Float64Array.of(found[0], found[1])));
  });

  it("has the closed form of two classes", () => {
    // Three rows with odds e^2 for the first class, one against: the derivative of the likelihood is 0 where w = (3 e^2 - 1) / (4 (e^2 - 1)).
    const e2 = Math.exp(2);
    expectClose(PriorCorrection.fit([[2, 0], [2, 0], [2, 0], [0, 2]], [0.5, 0.5], { tolerance: 1e-12 }).prior.data[0], (3 * e2 - 1) / (4 * (e2 - 1)), { rtol: 1e-5 });
  });

  it("gives a class that no row speaks for the share 0, as 2^-126", () => {
    const fitted = PriorCorrection.fit([[5, 0], [4, 0], [6, 0]], [0.5, 0.5]);
    expectClose(fitted.prior.data[0], 1, { atol: 1e-6 });
    expect([...fitted.transform([1, 1]).data].every(Number.isFinite)).toBe(true);
    expect(PriorCorrection.fromPriors([0.5, 0.5], [1, 0]).atBound).toBe(true);
    expect(PriorCorrection.fromPriors([0.5, 0.5], [1, 0]).probabilities([0, 0]).data[1]).toBeLessThan(1e-37);
    expect(PriorCorrection.fit([[3], [2]], [1]).probabilities([7]).data[0]).toBe(1);
    expectClose(PriorCorrection.fit([[0, 0, -Infinity], [1, 1, 0]], [0.25, 0.25, 0.5]).probabilities([0, 0, -Infinity]).data, [0.5, 0.5, 0], { atol: 1e-6 });
  });

  it("takes a prompt's preference away: empty questions then have equal answers", () => {
    const empty = [[2, 0, -1], [1.5, 0.5, -1]], fitted = PriorCorrection.fitPrompt(empty), mean = softmax(empty).data;
    expectClose(fitted.offset.data, [0, 1, 2].map((c) => -Math.log((mean[c] + mean[c + 3]) / 2) - Math.log(3)), { rtol: 1e-6, atol: 1e-6 });
    expectClose(PriorCorrection.fitPrompt([[2, 0, -1]]).probabilities([2, 0, -1]).data, [1 / 3, 1 / 3, 1 / 3], { rtol: 1e-6 });
    expectExact(PriorCorrection.fitPrompt([[2, 0, -Infinity]]).probabilities([2, 0, -Infinity]).data.subarray(2), [0]);
  });

  it.each(estimatorChecks<PriorCorrection>({
    name: "PriorCorrection",
    data: [{ shape: [300, 3], data: shifted(300, 52, source, target) }, { shape: [3], data: Float32Array.from(source) }],
    fit: (z, prior) => PriorCorrection.fit(z, prior),
    output: (fitted) => [fitted.transform([[1, 2, 3]]), fitted.probabilities([[1, 2, 3]]), fitted.prior],
    fromJSON: PriorCorrection.fromJSON,
    rowOrder: { rtol: 1e-5 }, // float64 sums in another order, float32 shares
    wrongWidth: [(fitted) => fitted.transform([1, 2]), (fitted) => fitted.probabilities([[1, 2]])],
    base64: ["prior.data", "offset.data"],
  }))("$name", ({ run }) => run());

  it("is read by calibratorFromJSON and fits the same bits in pieces", async () => {
    const data = shifted(300, 52, source, target), fitted = PriorCorrection.fit({ data, shape: [300, 3] }, source);
    expect(calibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    expect(await PriorCorrection.fitAsync({ data, shape: [300, 3] }, source)).toEqual(fitted);
  });
});

describe("messages", () => {
  it("say what is wrong", () => {
    expect(() => EnsembleTemperatureScaling.fit([[1, 0]], [0], { weights: "none" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: EnsembleTemperatureScaling.fit: expected \`weights\` "fitted" or "laplace", got none]`);
    expect(() => EnsembleTemperatureScaling.fit([[1, 0], [NaN, 0]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: EnsembleTemperatureScaling.fit: expected \`logits\` finite or -Infinity, got NaN in row 1, column 0]`);
    expect(() => EnsembleTemperatureScaling.fromJSON({ ...EnsembleTemperatureScaling.fit([[1, 0]], [0]).toJSON(), uniformWeight: 0.9 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: EnsembleTemperatureScaling.fromJSON: expected \`uniformWeight\` weights that sum to 1, got a sum of 1.9]`);
    expect(() => PriorCorrection.fromPriors([0.5, 0.5], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fromPriors: expected \`target\` of shape [2], got [1]]`);
    expect(() => PriorCorrection.fromPriors([1, 0], [0.5, 0.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fromPriors: expected \`source\` of shares > 0, got 0 at index 1]`);
    expect(() => PriorCorrection.fromPriors([0.5, 0.4], [0.5, 0.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fromPriors: expected \`source\` with a sum of 1, got 0.9000000059604645]`);
    expect(() => PriorCorrection.fit([[1, 2]], [0.5, 0.25, 0.25])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fit: expected \`source\` of shape [2], got [3]]`);
    expect(() => PriorCorrection.fit([[1, 2]], [0.5, 0.5], { tolerance: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fit: expected \`tolerance\` a finite number >= 0, got -1]`);
    expect(() => PriorCorrection.fitPrompt({ data: new Float32Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrection.fitPrompt: expected \`logits\` with at least one row and one class, got shape [0, 2]]`);
  });
});

import { softmax } from "@logits/core-wasm";
import { densenetCifar100, estimatorChecks, expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DirichletScaling, MatrixScaling, TemperatureScaling, VectorScaling, calibratorFromJSON, type AffineScaling } from "./index.ts";
import fixture from "./fixtures/affine.json" with { type: "json" };
import { planted, standardErrors } from "./planted.ref.ts";

const [data, ...cases] = fixture.cases as unknown as { name: string; shape: number[]; logits: number[]; labels: number[]; ridge: number; weights: number[]; bias: number[]; loss: number; probabilities: number[] }[];
const logits = { data: Float32Array.from(data.logits), shape: data.shape }, labels = Int32Array.from(data.labels);
const first = { data: logits.data.subarray(0, 24), shape: [6, 4] };

/** Mean negative log-likelihood. */
const meanLoss = (p: ArrayLike<number>, y: ArrayLike<number>, classes: number): number => Array.from(y).reduce((sum, label, n) => sum - Math.log(p[n * classes + label]), 0) / y.length;

describe("vector, matrix and Dirichlet scaling", () => {
  it.each<[string, () => AffineScaling]>([
    ["vector", () => VectorScaling.fit(logits, labels, { ridge: 0 })],
    ["vector structured", () => VectorScaling.fit(logits, labels)],
    ["matrix structured", () => MatrixScaling.fit(logits, labels)],
    ["matrix ridge", () => MatrixScaling.fit(logits, labels, { ridge: 0.001 })],
    ["dirichlet", () => DirichletScaling.fit(logits, labels, { lambda: 0.1, mu: 0.02 })],
  ])("end where SciPy's BFGS ends: %s", (name, fit) => {
    const want = cases.find((item) => item.name === name)!, got = fit();
    expect([got.converged, got.atBound]).toEqual([true, false]);
    // A gradient of 1e-6 over a curvature of 1 at the start, less at the optimum; a standard error is 0.06.
    expectClose(got.weights.data, want.weights, { atol: 3e-5 });
    expectClose(got.bias.data, want.bias, { atol: 3e-5 });
    expectClose(got.loss, want.loss, { atol: 1e-6 }); // float32 logits
    expectClose(got.probabilities(first).data, want.probabilities, { atol: 2e-5 });
  });

  it("are at a stationary point: no change of a parameter lowers the loss", () => {
    const got = VectorScaling.fit(logits, labels, { ridge: 0 });
    const loss = (w: number[], b: number[]): number => meanLoss(softmax({ data: logits.data.map((z, i) => w[i % 4] * z + b[i % 4]), shape: data.shape }).data, labels, 4);
    const w = [...got.weights.data], b = [...got.bias.data], at = loss(w, b);
    for (let i = 0; i < 8; i++) for (const step of [-0.03, 0.03]) expect(loss(w.map((x, c) => (c === i ? x + step : x)), b.map((x, c) => (c === i - 4 ? x + step : x)))).toBeGreaterThan(at);
  });

  it("give temperature scaling under a large ridge, and the identity from identity", () => {
    const { temperature } = TemperatureScaling.fit(logits, labels);
    for (const fitted of [VectorScaling.fit(logits, labels, { ridge: 1e6 }), MatrixScaling.fit(logits, labels, { ridge: 1e6 })]) {
      expectClose(fitted.transform(first).data, Array.from(first.data, (z) => z / temperature), { atol: 1e-4 }); // 1 / ridge
    }
  });

  it("leave a class impossible that is, and let it count nothing for the others", () => {
    const z = Float32Array.from({ length: 960 + 240 }, (_, i) => (i % 5 === 4 ? -Infinity : data.logits[4 * Math.floor(i / 5) + (i % 5)]));
    for (const [wide, narrow] of [
      [VectorScaling.fit({ data: z, shape: [240, 5] }, labels, { ridge: 0.01 }), VectorScaling.fit(logits, labels, { ridge: 0.01 })],
      [MatrixScaling.fit({ data: z, shape: [240, 5] }, labels, { ridge: 0.01 }), MatrixScaling.fit(logits, labels, { ridge: 0.01 })],
      [DirichletScaling.fit({ data: z, shape: [240, 5] }, labels, { lambda: 20 * 0.01, mu: 5 * 0.01 }), DirichletScaling.fit(logits, labels, { lambda: 12 * 0.01, mu: 4 * 0.01 })],
    ] as const) {
      const got = wide.probabilities({ data: z.subarray(0, 10), shape: [2, 5] }).data, want = narrow.probabilities({ data: first.data.subarray(0, 8), shape: [2, 4] }).data;
      expectClose(got, [...want.subarray(0, 4), 0, ...want.subarray(4), 0], { atol: 2e-4 }); // two searches, each to 1e-6 of the gradient
      expect(wide.transform({ data: z.subarray(0, 5), shape: [5] }).data[4]).toBe(-Infinity);
    }
  });

  it("answer to rows without a distribution with NaN", () => {
    for (const fitted of [VectorScaling.fit(logits, labels), MatrixScaling.fit(logits, labels), DirichletScaling.fit(logits, labels)]) {
      const got = fitted.probabilities([[NaN, 0, 0, 0], [Infinity, 0, 0, 0], [-Infinity, -Infinity, -Infinity, -Infinity], [0, 0, 0, 1]]).data;
      expect(Array.from(got.subarray(0, 12)).every(Number.isNaN)).toBe(true);
      expectClose(got.subarray(12).reduce((a, b) => a + b, 0), 1, { rtol: 1e-6 }); // four float32 roundings
      expect(fitted.transform({ data: new Float32Array(0), shape: [0, 4] }).shape).toEqual([0, 4]);
    }
  });

  it("say where the loss has no minimum, and stay finite", () => {
    const right = { data: Float32Array.of(4, 0, 0, 3, 2, 1), shape: [3, 2] }, y = [0, 1, 0];
    for (const Kind of [VectorScaling, MatrixScaling]) {
      const plain = Kind.fit(right, y, { ridge: 0, maxIterations: 20 });
      expect(plain.atBound, "every label highest").toBe(true);
      expect([...plain.weights.data, ...plain.bias.data].every(Number.isFinite)).toBe(true);
      expect(Kind.fit(right, y).atBound, "with a ridge").toBe(false);
      expect(Kind.fit([[1, 0, 0.5], [0, 1, 0.5], [0, 0.5, 0.2]], [0, 1, 0], { ridge: 0, maxIterations: 30 }).atBound, "a class without a row").toBe(true);
      expect(Kind.fit([[5], [7]], [0, 0]).probabilities([3]).data[0], "one class").toBe(1);
      expectClose(Kind.fit([[1, 0]], [0]).probabilities([1, 0]).data.reduce((a, b) => a + b, 0), 1, { rtol: 1e-6 });
      expect(Kind.fit([[1, 1], [1, 1], [1, 1]], [0, 0, 1], { ridge: 0 }).converged, "ties").toBe(true);
    }
  });

  it("have the closed form of equal scores: the bias is the label's share", () => {
    const got = VectorScaling.fit([[0, 0], [0, 0], [0, 0], [0, 0]], [0, 0, 0, 1], { ridge: 0 });
    expectClose(got.probabilities([0, 0]).data, [0.75, 0.25], { atol: 1e-5 });
  });

  it("recover what was planted", () => {
    const w = [0.5, 1.2, 0.8], b = [0.4, -0.1, -0.3];
    const { z, y } = planted(3000, 3, 21, (row) => row.map((x, c) => w[c] * x + b[c]), 2);
    const got = VectorScaling.fit(z, y, { ridge: 0 });
    const rows = (t: Float64Array): number => meanLoss(softmax({ data: z.data.map((x, i) => t[i % 3] * x + (i % 3 === 2 ? -t[3] - t[4] : t[3 + (i % 3)])), shape: z.shape }).data, y, 3);
    const found = [...got.weights.data, got.bias.data[0], got.bias.data[1]];
    const errors = standardErrors(rows, Float64Array.from(found), 3000, 0.05);
    [...w, b[0], b[1]].forEach((truth, i) => expect(Math.abs(found[i] - truth) / errors[i]).toBeLessThan(4));
  });
});

const train = planted(400, 3, 31, (row) => row.map((x) => x / 2), 2);
const probe = planted(20, 3, 32, (row) => row, 2).z;
describe.each([
  ["VectorScaling", VectorScaling.fit, VectorScaling.fromJSON],
  ["MatrixScaling", MatrixScaling.fit, MatrixScaling.fromJSON],
  ["DirichletScaling", DirichletScaling.fit, DirichletScaling.fromJSON],
] as const)("%s", (name, fit, fromJSON) => {
  it.each(estimatorChecks<AffineScaling>({
    name,
    data: [{ shape: train.z.shape, data: train.z.data }, { shape: [400], data: train.y }],
    fit: (z, y) => fit(z, y),
    output: (fitted) => [fitted.transform(probe), fitted.probabilities(probe), fitted.weights, fitted.bias],
    fromJSON,
    rowOrder: { atol: 1e-4 }, // two searches, each to 1e-6 of the gradient
    wrongWidth: [(fitted) => fitted.transform(new Float32Array(4)), (fitted) => fitted.probabilities([[1, 2]])],
    base64: ["weights.data", "bias.data"],
  }))("$name", ({ run }) => run());

  it("is read by calibratorFromJSON and fits the same bits in pieces", async () => {
    const fitted = fit(train.z, train.y);
    expect(calibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    const Kind = { VectorScaling, MatrixScaling, DirichletScaling }[name];
    expect(await Kind.fitAsync(train.z, train.y)).toEqual(fitted);
    await expect(Kind.fitAsync(train.z, train.y, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
    expect(Object.isFrozen(fitted)).toBe(true);
  });
});

describe("DenseNet-BC-100 on CIFAR-100, fitted on 5,000 rows, shown on 5,000 others", () => {
  const real = densenetCifar100();
  const fit = [{ data: real.logits.subarray(0, 500000), shape: [5000, 100] }, real.labels.subarray(0, 5000)] as const;
  const shown = (p: Float32Array): number => meanLoss(p, real.labels.subarray(5000), 100);
  const rest = { data: real.logits.subarray(500000), shape: [5000, 100] };
  const temperature = shown(TemperatureScaling.fit(...fit).probabilities(rest).data);

  it("matrix scaling without a ridge learns the rows by heart: worse than one temperature", () => {
    const plain = MatrixScaling.fit(...fit, { ridge: 0, maxIterations: 50 });
    expect([plain.converged, plain.atBound]).toEqual([false, false]);
    expect(shown(plain.probabilities(rest).data)).toBeGreaterThan(1.3 * temperature);
  });

  it("vector scaling with the ridge is better than one temperature", () => {
    const structured = VectorScaling.fit(...fit);
    expect(structured.converged).toBe(true);
    const value = shown(structured.probabilities(rest).data);
    expect(value).toBeLessThan(temperature);
    expectClose(value, 0.8601, { atol: 2e-4 });
  });
});

describe("messages", () => {
  it("say what is wrong", () => {
    const z = [[1, 0], [0, 1]];
    expect(() => VectorScaling.fit(z, [0, 1], { ridge: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: VectorScaling.fit: expected \`ridge\` a finite number >= 0 or "structured", got -1]`);
    expect(() => MatrixScaling.fit(z, [0, 1], { maxIterations: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MatrixScaling.fit: expected \`maxIterations\` an integer in [0, 9007199254740991], got -1]`);
    expect(() => DirichletScaling.fit(z, [0, 1], { lambda: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DirichletScaling.fit: expected \`lambda\` a finite number >= 0 or "structured", got NaN]`);
    expect(() => VectorScaling.fit([[1, NaN]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VectorScaling.fit: expected \`logits\` finite or -Infinity, got NaN in row 0, column 1]`);
    expect(() => VectorScaling.fit(z, [0, 1]).transform([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: VectorScaling.transform: expected \`logits\` of 2 classes on the last axis, got shape [3]]`);
    expect(() => MatrixScaling.fit(z, [0, 1]).probabilities([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MatrixScaling.probabilities: expected \`logits\` of 2 classes on the last axis, got shape [3]]`);
    const json = VectorScaling.fit(z, [0, 1]).toJSON();
    expect(() => VectorScaling.fromJSON({ ...json, classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: VectorScaling.fromJSON: expected \`weights\` of shape [3], got [2]]`);
    expect(() => MatrixScaling.fromJSON(json)).toThrowErrorMatchingInlineSnapshot(`[FormatError: MatrixScaling.fromJSON: expected \`format\` "logits/matrix-scaling", got "logits/vector-scaling"]`);
  });
});

import { logSoftmax, softmax } from "@logits/core-wasm";
import { tensor } from "@logits/tensor";
import { cifar10Vgg16, densenetCifar100, estimatorChecks, expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TemperatureScaling, calibratorFromJSON, probabilitiesToLogits } from "./index.ts";
import densenet from "./fixtures/densenet-cifar100.json" with { type: "json" };
import vgg from "./fixtures/cifar10-vgg16.json" with { type: "json" };

/** Logits with labels drawn from softmax(logits / T). */
function planted(rows: number, classes: number, temperature: number, seed: number) {
  const random = testRandom(seed);
  const data = Float32Array.from({ length: rows * classes }, () => 4 * random.normal());
  const labels = Int32Array.from({ length: rows }, (_, n) => {
    const weights = Array.from(data.subarray(n * classes, (n + 1) * classes), (z) => Math.exp(z / temperature));
    let u = random.uniform() * weights.reduce((a, b) => a + b);
    const at = weights.findIndex((w) => (u -= w) < 0);
    return at < 0 ? classes - 1 : at;
  });
  return { logits: { dtype: "float32" as const, shape: [rows, classes], data }, labels: { dtype: "int32" as const, shape: [rows], data: labels } };
}

/** Mean loss in float64. */
function meanLoss(rows: readonly (readonly number[])[], labels: readonly number[], beta: number): number {
  return rows.reduce((sum, row, n) => sum + Math.log(row.reduce((z, x) => z + Math.exp(beta * (x - row[labels[n]])), 0)), 0) / rows.length;
}

const data = planted(3000, 5, 2.5, 11);
const probe = planted(50, 5, 1, 12).logits;

describe("TemperatureScaling.fit", () => {
  it("finds the minimum that a golden-section search in float64 finds", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 2, max: 6 }), (seed, classes) => {
      const random = testRandom(seed);
      const rows = Array.from({ length: 30 }, () => Array.from({ length: classes }, () => Math.fround(3 * random.normal())));
      const labels = rows.map((row) => (random.uniform() < 0.5 ? row.indexOf(Math.max(...row)) : random.integer(classes)));
      const fitted = TemperatureScaling.fit(rows, labels);
      let [low, high] = [Math.log(2 ** -10), Math.log(2 ** 10)];
      for (let i = 0; i < 80; i++) {
        const a = high - (high - low) / 1.618033988749895, b = low + (high - low) / 1.618033988749895;
        if (meanLoss(rows, labels, Math.exp(a)) < meanLoss(rows, labels, Math.exp(b))) high = b;
        else low = a;
      }
      const beta = Math.exp((low + high) / 2);
      if (fitted.atBound) expect(Math.min(beta * 2 ** 10, 2 ** 10 / beta)).toBeLessThan(1.001);
      // Comparing losses cannot see a beta better than the square root of the precision.
      else expectClose(1 / fitted.temperature, beta, { rtol: 2e-6, atol: 1e-6 });
      expect(meanLoss(rows, labels, 1 / fitted.temperature)).toBeLessThanOrEqual(meanLoss(rows, labels, beta) + 1e-12);
    }), { seed: 3, numRuns: 60 });
  });

  it("is never worse than that search, whatever the scale, tails, impossible classes and errors", () => {
    for (let seed = 0; seed < (process.env.LOGITS_SLOW ? 3000 : 100); seed++) {
      const random = testRandom(seed);
      const classes = 2 + random.integer(6), n = seed % 50 === 0 ? 2500 : 1 + random.integer(60);
      const scale = 2 ** (random.integer(44) - 22), heavy = random.uniform() < 0.3, right = random.uniform();
      const rows = Array.from({ length: n }, () => {
        const s = heavy ? scale * Math.exp(3 * random.normal()) : scale;
        return Array.from({ length: classes }, (_, c) => (c > 0 && random.uniform() < 0.02 ? -Infinity : Math.fround(s * random.normal())));
      });
      const labels = rows.map((row) => (random.uniform() < right ? row.indexOf(Math.max(...row)) : row.findLastIndex((z) => z > -Infinity)));
      const loss = (beta: number): number => rows.reduce((sum, row, i) => { const top = Math.max(...row); return sum + Math.log(row.reduce((z, x) => z + Math.exp(beta * (x - top)), 0)) + beta * (top - row[labels[i]]); }, 0) / n;
      let [low, high] = [Math.log(2 ** -10), Math.log(2 ** 10)];
      for (let i = 0; i < 80; i++) {
        const a = high - (high - low) / 1.618033988749895, b = low + (high - low) / 1.618033988749895;
        if (loss(Math.exp(a)) <= loss(Math.exp(b))) high = b;
        else low = a;
      }
      const best = Math.min(loss(Math.exp((low + high) / 2)), loss(2 ** -10), loss(2 ** 10)), got = loss(1 / TemperatureScaling.fit(rows, labels).temperature);
      expect(got - best, `seed ${seed}`).toBeLessThan(1e-13 * Math.max(1, Math.abs(best))); // rounding of the float64 sums
    }
  });

  it("has the closed form of two classes", () => {
    // Three of four right with a gap of 4: p = 3/4 where 4 beta = ln 3.
    const fitted = TemperatureScaling.fit([[4, 0], [4, 0], [0, 4], [4, 0]], [0, 0, 1, 1]);
    expectClose(fitted.temperature, 4 / Math.log(3), { rtol: 1e-7 }); // the accuracy that is promised
    expectClose(fitted.information, 4 * 16 * 0.75 * 0.25, { rtol: 1e-6 });
    expectClose(fitted.standardError, fitted.temperature ** 2 / Math.sqrt(12), { rtol: 1e-6 });
    expectClose(fitted.loss, -0.75 * Math.log(0.75) - 0.25 * Math.log(0.25), { atol: 1e-6 });
    expect([fitted.n, fitted.classes, fitted.atBound]).toEqual([4, 2, false]);
  });

  it("is at a stationary point, and information is the second derivative", () => {
    const { logits, labels } = planted(200, 4, 3, 5);
    const rows = Array.from({ length: 200 }, (_, n) => Array.from(logits.data.subarray(4 * n, 4 * n + 4)));
    const fitted = TemperatureScaling.fit(logits, labels);
    const slope = (beta: number): number => finiteDifferenceGradient(([b]) => meanLoss(rows, Array.from(labels.data), b), Float64Array.of(beta))[0];
    const beta = 1 / fitted.temperature;
    expectClose(slope(beta), 0, { atol: 1e-6 }); // differences of a loss of 1 have 1e-9, times the step
    expectClose((200 * (slope(beta + 1e-3) - slope(beta - 1e-3))) / 2e-3, fitted.information, { rtol: 1e-3 });
    expect(fitted.gradientNorm).toBeLessThan(1e-3);
  });

  it("scales with the logits and does not change with shifts of rows", () => {
    const { logits, labels } = planted(500, 4, 1.5, 6);
    const { temperature } = TemperatureScaling.fit(logits, labels);
    expectClose(TemperatureScaling.fit({ ...logits, data: logits.data.map((z) => 8 * z) }, labels).temperature, 8 * temperature, { rtol: 1e-7 });
    expectClose(TemperatureScaling.fit(logSoftmax(logits), labels).temperature, temperature, { rtol: 1e-6 }); // one float32 rounding per logit
  });

  it("starts on a sample where there are many rows and ends where a fit without one ends", () => {
    const { logits, labels } = planted(4096, 3, 2, 8);
    const once = TemperatureScaling.fit(logits, labels);
    const twice = TemperatureScaling.fit({ ...logits, shape: [2 * 4096, 3], data: Float32Array.of(...logits.data, ...logits.data) }, Int32Array.of(...labels.data, ...labels.data));
    expectClose(twice.temperature, once.temperature, { rtol: 1e-7 });
    const few = [0, 1, 2].map((part) => ({ z: logits.data.subarray(part * 1500, part * 1500 + 1500), y: labels.data.subarray(part * 500, part * 500 + 500) }));
    for (const { z, y } of few) expect(TemperatureScaling.fit({ data: z, shape: [500, 3] }, y).atBound).toBe(false);
    expect(once.passes).toBeLessThan(5);
  });

  it("ends at a stated bound where no temperature is best", () => {
    const right = TemperatureScaling.fit([[4, 0], [0, 2]], [0, 1]);
    expect([right.temperature, right.atBound, right.information, right.standardError]).toEqual([2 ** -10, true, 0, Infinity]);
    const certain = TemperatureScaling.fit([[400, 0], [0, 200]], [0, 1]);
    expect([certain.temperature, certain.atBound, certain.loss]).toEqual([2 ** -10, true, 0]);
    const wrong = TemperatureScaling.fit([[4, 0], [0, 2]], [1, 0]);
    expect([wrong.temperature, wrong.atBound]).toEqual([2 ** 10, true]);
    const many = TemperatureScaling.fit({ data: Float32Array.from({ length: 6000 }, (_, i) => (i % 2 ? 1 : 3)), shape: [3000, 2] }, new Int32Array(3000));
    expect([many.temperature, many.atBound]).toEqual([2 ** -10, true]);
  });

  it("leaves a bound that only the sample has", () => {
    // Every 2nd to 5th row is in the sample; the errors stand where it does not look.
    const z = Float32Array.from({ length: 8000 }, (_, i) => (i % 2 ? 0 : 3));
    const y = Int32Array.from({ length: 4000 }, (_, n) => (n % 7 !== 0 ? 0 : n % 100 === 49 ? 1 : 0));
    const fitted = TemperatureScaling.fit({ data: z, shape: [4000, 2] }, y);
    const errors = y.reduce((a, b) => a + b, 0);
    expectClose(fitted.temperature, 3 / Math.log((4000 - errors) / errors), { rtol: 1e-6 });
  });

  it("gives 1 where no temperature matters", () => {
    for (const [z, y] of [[[[5], [7]], [0, 0]], [[[1, 1], [2, 2]], [0, 1]], [[[0, -Infinity]], [0]]] as [number[][], number[]][]) {
      const fitted = TemperatureScaling.fit(z, y);
      expect([fitted.temperature, fitted.atBound, fitted.information]).toEqual([1, false, 0]);
    }
  });

  it("takes impossible classes and one row", () => {
    expectClose(TemperatureScaling.fit([[4, 0, -Infinity], [4, 0, -Infinity], [4, -Infinity, 0], [4, 0, -Infinity]], [0, 0, 0, 1]).temperature, 4 / Math.log(3), { rtol: 1e-7 });
    expect(TemperatureScaling.fit([[1, 0]], [0]).atBound).toBe(true);
  });
});

describe("TemperatureScaling", () => {
  it.each(estimatorChecks<TemperatureScaling>({
    name: "TemperatureScaling",
    data: [data.logits, data.labels],
    fit: (z, y) => TemperatureScaling.fit(z, y),
    output: (fitted) => [fitted.transform(probe), fitted.probabilities(probe), { shape: [2], data: [fitted.temperature, fitted.standardError] }],
    fromJSON: TemperatureScaling.fromJSON,
    rowOrder: { rtol: 1e-5 }, // float64 sums in another order, another sample to start from: 1e-7 in T; the summed information 1e-6
    wrongWidth: [(fitted) => fitted.transform(new Float32Array(6)), (fitted) => fitted.probabilities([[1, 2, 3, 4]])],
    invariants: [
      { name: "keeps the order of the classes", holds: (fitted) => argmaxes(fitted.transform(probe).data, 5).every((c, n) => c === argmaxes(probe.data, 5)[n]) },
      { name: "gives the probabilities of the transformed logits", holds: (fitted) => expectClose(softmax(fitted.transform(probe)), fitted.probabilities(probe), { rtol: 1e-5 }) }, // two roundings of z / T, |z / T| < 10
    ],
    recovers: [{ name: "the temperature", estimate: (fitted) => fitted.temperature, truth: 2.5, standardError: TemperatureScaling.fit(data.logits, data.labels).standardError }],
  }))("$name", ({ run }) => run());

  it("is read by calibratorFromJSON and cannot be changed", () => {
    const fitted = TemperatureScaling.fit(data.logits, data.labels);
    expect(calibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    expect(Object.isFrozen(fitted)).toBe(true);
  });

  it("keeps infinities and NaN of single rows", () => {
    const fitted = TemperatureScaling.fit([[4, 0], [4, 0], [4, 0]], [0, 0, 1]);
    expectExact(fitted.transform([[-Infinity, NaN], [Infinity, 0]]).data, [-Infinity, NaN, Infinity, 0]);
    expectExact(fitted.probabilities([[-Infinity, 3], [NaN, 0], [Infinity, 0]]).data, [0, 1, NaN, NaN, NaN, NaN]);
    expect(fitted.transform(new Float32Array(2)).shape).toEqual([2]);
  });
});

function argmaxes(z: Float32Array, classes: number): number[] {
  return Array.from({ length: z.length / classes }, (_, n) => { const row = z.subarray(n * classes, (n + 1) * classes); return row.indexOf(Math.max(...row)); });
}

describe("TemperatureScaling.fitAsync", () => {
  it("gives the bits of fit and reports progress", async () => {
    const { logits, labels } = planted(4000, 400, 2, 9);
    const shares: number[] = [];
    const fitted = await TemperatureScaling.fitAsync(logits, labels, { onProgress: (share) => shares.push(share) });
    expect(fitted).toEqual(TemperatureScaling.fit(logits, labels));
    expect(shares.every((share, i) => share >= (shares[i - 1] ?? 0) && share <= 1)).toBe(true);
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
  });

  it("stops on abort with the signal's reason", async () => {
    const { logits, labels } = planted(500, 10, 2, 9);
    await expect(TemperatureScaling.fitAsync(logits, labels, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
    const controller = new AbortController();
    const big = planted(20000, 200, 2, 9);
    await expect(TemperatureScaling.fitAsync(big.logits, big.labels, { signal: controller.signal, onProgress: () => controller.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("real outputs", () => {
  it("give the temperature of DenseNet-BC-100 on CIFAR-100", () => {
    const { logits, labels } = densenetCifar100();
    const fitted = TemperatureScaling.fit({ data: logits.subarray(0, 500000), shape: [5000, 100] }, labels.subarray(0, 5000));
    const want = densenet.cases[1].temperature!;
    expectClose(fitted.temperature, want, { rtol: 1e-7 });
    expect(fitted.temperature.toFixed(3)).toBe("2.121");
  });

  it("give the temperature and the loss of VGG-16 on CIFAR-10", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const { logits, clipped, clippedRows } = probabilitiesToLogits({ data: probabilities, shape });
    const fitted = TemperatureScaling.fit(logits, labels);
    const { temperature, negativeLogLikelihoodOfLogits } = vgg.cases[1] as { temperature: number; negativeLogLikelihoodOfLogits: number };
    expectClose(fitted.temperature, temperature, { rtol: 1e-7 });
    expectClose(fitted.loss, negativeLogLikelihoodOfLogits, { atol: 1e-8 });
    expect([clipped, clippedRows]).toEqual([0, 0]);
  });
});

describe("probabilitiesToLogits", () => {
  it("is ln max(p, 2^-126) and counts what it raised", () => {
    const p = [[1, 0, 2 ** -140], [0.5, 0.25, 0.25]];
    const { logits, clipped, clippedRows } = probabilitiesToLogits(p);
    expectClose(logits, tensor([[0, Math.log(2 ** -126), Math.log(2 ** -126)], [Math.log(0.5), Math.log(0.25), Math.log(0.25)]]), { ulp: 0 });
    expect([clipped, clippedRows]).toEqual([2, 1]);
    expect(probabilitiesToLogits([2 ** -126, 2 ** -127]).clipped).toBe(1);
    expect(probabilitiesToLogits(new Float32Array(0)).logits.shape).toEqual([0]);
  });

  it("comes back through softmax", () => {
    const p = softmax(data.logits);
    expectClose(softmax(probabilitiesToLogits(p).logits), p, { rtol: 3e-6, atol: 1e-37 }); // half an ULP of |ln p| < 90, and exp
  });
});

describe("messages", () => {
  const z = [[1, 0], [0, 1]];
  it("of a fit say what is wrong", () => {
    expect(() => TemperatureScaling.fit([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`logits\` of shape [N, C], got [2]]`);
    expect(() => TemperatureScaling.fit({ data: new Float32Array(0), shape: [0, 2] }, [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`logits\` with at least one row and one class, got shape [0, 2]]`);
    expect(() => TemperatureScaling.fit(z, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`labels\` of shape [2], got [1]]`);
    expect(() => TemperatureScaling.fit(z, [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => TemperatureScaling.fit([[1, 0], [NaN, 1]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`logits\` finite or -Infinity, got NaN in row 1, column 0]`);
    expect(() => TemperatureScaling.fit([[1, 0], [0, Infinity]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`logits\` finite or -Infinity, got Infinity in row 1, column 1]`);
    expect(() => TemperatureScaling.fit([[-Infinity, -Infinity]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`logits\` with a finite score in each row, got only -Infinity in row 0]`);
    expect(() => TemperatureScaling.fit([[1, 0], [0, -Infinity]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.fit: expected \`labels\` possible under the logits, got label 1 of row 1, whose score is -Infinity. No temperature makes it possible; raise the score or drop the row]`);
    expect(() => TemperatureScaling.fit(z, [0, 0]).transform([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.transform: expected \`logits\` of 2 classes on the last axis, got shape [3]]`);
    expect(() => TemperatureScaling.fit(z, [0, 0]).probabilities([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScaling.probabilities: expected \`logits\` of 2 classes on the last axis, got shape [3]]`);
  });

  it("of JSON say what is wrong", () => {
    const json = TemperatureScaling.fit(z, [0, 0]).toJSON();
    expect(() => TemperatureScaling.fromJSON({ ...json, version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: TemperatureScaling.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/calibration to read it]`);
    expect(() => TemperatureScaling.fromJSON({ ...json, temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: TemperatureScaling.fromJSON: expected \`temperature\` a finite number in [0.00048828125, 2048], got 0]`);
    expect(() => calibratorFromJSON({ ...json, format: "logits/other" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: calibratorFromJSON: expected \`format\` that of a calibrator of rows of logits, got "logits/other"]`);
    expect(() => calibratorFromJSON(null)).toThrowErrorMatchingInlineSnapshot(`[FormatError: calibratorFromJSON: expected \`format\` that of a calibrator of rows of logits, got undefined]`);
  });

  it("of probabilities say what is wrong", () => {
    expect(() => probabilitiesToLogits([[0.5, 0.5], [1.5, -0.5]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: probabilitiesToLogits: expected \`probabilities\` in [0, 1], got 1.5 in row 1, column 0. Logits need no conversion]`);
    expect(() => probabilitiesToLogits([[0.5, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: probabilitiesToLogits: expected \`probabilities\` in [0, 1], got NaN in row 0, column 1. Logits need no conversion]`);
    expect(() => probabilitiesToLogits({ data: new Float32Array(1), shape: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: probabilitiesToLogits: expected \`probabilities\` of shape [..., C], got []]`);
  });
});

import { softmax } from "@logits/core-wasm";
import { densenetCifar100, estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { Tensor, asFloat32, randomSource, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { EnsembleTemperatureScaling, IsotonicCalibration, MatrixScaling, OneVsRest, PlattScaling, TemperatureScaling, TopLabel, VectorScaling, calibratorFromJSON, expectedCalibrationError, selectCalibrator, selectCalibratorAsync, type BinaryMethod, type Calibrator, type CalibratorCandidate } from "./index.ts";
import { planted } from "./planted.ref.ts";

const METHODS: readonly BinaryMethod[] = ["platt", "beta", "isotonic", "centred-isotonic", "histogram", "scaling-binning", "venn-abers", "cross-venn-abers", "spline"];
const train = planted(900, 3, 61, (row) => row.map((z) => z / 2), 3), probe = planted(30, 3, 62, (row) => row, 3).z;

/** log-odds of a class by definition. */
const logOdds = (row: number[], c: number): number => row[c] - Math.log(row.reduce((sum, z, j) => sum + (j === c ? 0 : Math.exp(z)), 0));
const rowsOf = (data: Float32Array, classes: number): number[][] => Array.from({ length: data.length / classes }, (_, n) => Array.from(data.subarray(n * classes, (n + 1) * classes)));
const top = (row: number[]): number => row.indexOf(Math.max(...row));
const loss = (p: Float32Array, y: ArrayLike<number>, classes: number): number => Array.from(y).reduce((sum, label, n) => sum - Math.log(p[n * classes + label]), 0) / y.length;

describe("OneVsRest", () => {
  it("calibrates each class by itself and divides by the sum, by definition", () => {
    const fitted = OneVsRest.fit(train.z, train.y), rows = rowsOf(train.z.data, 3);
    const binaries = [0, 1, 2].map((c) => PlattScaling.fit(rows.map((row) => logOdds(row, c)), [...train.y].map((label) => (label === c ? 1 : 0))));
    rowsOf(probe.data, 3).forEach((row, n) => {
      const q = binaries.map((binary, c) => binary.at(logOdds(row, c))), sum = q.reduce((a, b) => a + b);
      expectClose(fitted.probabilities(probe).data.subarray(3 * n, 3 * n + 3), q.map((x) => x / sum), { rtol: 1e-6 }); // scores in float32
    });
  });

  it("lowers the log loss of an overconfident model", () => {
    const before = loss(softmax(train.z).data, train.y, 3);
    for (const method of METHODS) expect(loss(OneVsRest.fit(train.z, train.y, { method }).probabilities(train.z).data, train.y, 3), method).toBeLessThan(before - 0.1);
  });

  it("gives rows without yes anywhere the uniform distribution over possible classes, and keeps impossible ones so", () => {
    const fitted = OneVsRest.fit([[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0], [0, 3, 0], [0, 0, 3]], [0, 1, 2, 0, 1, 2], { method: "isotonic" });
    expectExact(fitted.probabilities([0, 0, 0]).data, [1 / 3, 1 / 3, 1 / 3].map(Math.fround));
    expectExact(fitted.probabilities([0, 0, -Infinity]).data.subarray(2), [0]);
    expectExact(fitted.probabilities([[1, -Infinity, -Infinity], [NaN, 0, 0], [-Infinity, -Infinity, -Infinity]]).data, [1, 0, 0, NaN, NaN, NaN, NaN, NaN, NaN]);
    const partly = OneVsRest.fit([[1, 0, -Infinity], [0, 1, -Infinity]], [0, 1]);
    expect(partly.calibrators[2]).toBeUndefined();
    expectClose(partly.probabilities([1, 1, 1]).data.reduce((a, b) => a + b, 0), 1, { rtol: 1e-6 });
    expect(OneVsRest.fit([[2], [3]], [0, 0]).probabilities([7]).data[0]).toBe(1);
  });

  it("takes scores that are further apart than e^x can tell", () => {
    const fitted = OneVsRest.fit([[1000, 0], [0, 1000], [900, 0]], [0, 1, 1]);
    expect([...fitted.probabilities([[2000, 0], [0, 1e30]]).data].every((p) => p >= 0 && p <= 1)).toBe(true);
  });
});

describe("TopLabel", () => {
  it("calibrates the answer and shares the rest in proportion, by definition", () => {
    const fitted = TopLabel.fit(train.z, train.y, { method: "isotonic" }), rows = rowsOf(train.z.data, 3);
    const binary = IsotonicCalibration.fit(rows.map((row) => logOdds(row, top(row))), rows.map((row, n) => (top(row) === train.y[n] ? 1 : 0)));
    rowsOf(probe.data, 3).forEach((row, n) => {
      const t = top(row), q = binary.at(Math.fround(logOdds(row, t))), rest = row.reduce((sum, z, c) => sum + (c === t ? 0 : Math.exp(z)), 0);
      expectClose(fitted.probabilities(probe).data.subarray(3 * n, 3 * n + 3), row.map((z, c) => (c === t ? q : ((1 - q) * Math.exp(z)) / rest)), { rtol: 1e-5, atol: 1e-6 }); // an edge of the float32 score
    });
  });

  it("removes the calibration error of the answer; per class given the answer", () => {
    for (const per of ["all", "class"] as const) {
      const fitted = TopLabel.fit(train.z, train.y, { per });
      const before = expectedCalibrationError(softmax(train.z), train.y).value, after = expectedCalibrationError(fitted.probabilities(train.z), train.y).value;
      expect(after).toBeLessThan(before / 2);
      expect(fitted.calibrators.length).toBe(per === "class" ? 3 : 0);
    }
  });

  it("takes the calibrator of all rows for a class that was never the answer, and rows of one possible class as they are", () => {
    const fitted = TopLabel.fit([[2, 0, 0], [2, 1, 0], [0, 2, 0]], [0, 1, 1], { per: "class" });
    expect(fitted.calibrators[2]).toBeUndefined();
    expectClose(fitted.probabilities([0, 0, 2]).data[2], fitted.all!.at(logOdds([0, 0, 2], 2)), { rtol: 1e-6 });
    expectExact(fitted.probabilities([[1, -Infinity, -Infinity], [Infinity, 0, 0]]).data, [1, 0, 0, NaN, NaN, NaN]);
    expect(TopLabel.fit([[2], [3]], [0, 0]).all).toBeUndefined();
    expect(TopLabel.fit([[2], [3]], [0, 0]).probabilities([7]).data[0]).toBe(1);
  });
});

describe.each([
  ["OneVsRest", (z: never, y: never, method: BinaryMethod): Calibrator => OneVsRest.fit(z, y, { method }), OneVsRest.fromJSON],
  ["TopLabel", (z: never, y: never, method: BinaryMethod): Calibrator => TopLabel.fit(z, y, { method, per: "class" }), TopLabel.fromJSON],
] as const)("%s", (name, fit, fromJSON) => {
  it.each(estimatorChecks<Calibrator>({
    name,
    data: [train.z, { shape: [900], data: train.y }],
    fit: (z, y) => fit(z as never, y as never, "platt"),
    output: (fitted) => [fitted.transform(probe), fitted.probabilities(probe)],
    fromJSON,
    rowOrder: { rtol: 1e-5, atol: 1e-6 }, // float64 sums in another order
    wrongWidth: [(fitted) => fitted.transform(new Float32Array(4)), (fitted) => fitted.probabilities([[1, 2]])],
    invariants: [{ name: "gives rows that sum to 1", holds: (fitted) => rowsOf(fitted.probabilities(probe).data, 3).forEach((row) => expectClose(row.reduce((a, b) => a + b), 1, { rtol: 1e-6 })) }],
  }))("$name", ({ run }) => run());

  it.each(METHODS)("works with %s, comes back from JSON and fits the same bits in pieces", async (method) => {
    const fitted = fit(train.z as never, train.y as never, method), Kind = { OneVsRest, TopLabel }[name];
    expect(calibratorFromJSON(JSON.parse(JSON.stringify(fitted)))).toEqual(fitted);
    expect(await Kind.fitAsync(train.z, train.y, { method, per: "class" } as never)).toEqual(fitted);
    expect(fitted.probabilities(probe).data.every((p) => p >= 0 && p <= 1)).toBe(true);
    expect(fitted.transform(probe).data.every((z) => z <= 0)).toBe(true);
  });
});

/** A calibrator that says the same of every row: no calibration error to speak of, and no information. */
const constant: CalibratorCandidate = {
  name: "constant",
  *fitSteps(where, logits) {
    const classes = asFloat32(where, "logits", logits).shape[1], fitted = TemperatureScaling.fit([Array<number>(classes).fill(0)], [0]);
    const flat = (z: TensorLike): { data: Float32Array; shape: readonly number[] } => { const { shape, size } = asFloat32(where, "logits", z); return { data: new Float32Array(size), shape }; };
    yield 0;
    return { classes, n: 1, toJSON: () => fitted.toJSON(), probabilities: (z) => fitted.probabilities(flat(z)), transform: (z) => fitted.transform(flat(z)) };
  },
};

describe("selectCalibrator", () => {
  it("does not praise a candidate for learning the label frequencies of the sample: folds stratified by label would", () => {
    // Labels are uniform and independent of the scores: nothing beats the uniform distribution, whatever the frequencies are by chance.
    const classes = 10, rows = 60, z = new Tensor("float32", [rows, classes], new Float32Array(rows * classes));
    const calibrator = (shift: Float32Array, n: number): Calibrator => {
      const transform = (logits: TensorLike) => {
        const x = logits as Tensor<"float32">;
        return new Tensor("float32", x.shape, x.data.map((value, i) => value + shift[i % classes]));
      };
      return { classes, n, transform, probabilities: (logits) => softmax(transform(logits)), toJSON: () => ({ format: "none", version: 1 }) };
    };
    const uniform: CalibratorCandidate = { name: "uniform", *fitSteps(_, __, labels) {
      yield 0;
      return calibrator(new Float32Array(classes), (labels as Tensor<"int32">).size);
    } };
    const frequencies: CalibratorCandidate = { name: "frequencies", *fitSteps(_, __, labels) {
      const { data, size } = labels as Tensor<"int32">, counts = new Float32Array(classes).fill(1);
      for (const label of data) counts[label]++;
      yield 0;
      return calibrator(counts.map(Math.log), size);
    } };
    let gain = 0, wrong = 0;
    for (let seed = 0; seed < 40; seed++) {
      const random = randomSource(seed, 9), y = new Tensor("int32", [rows], Int32Array.from({ length: rows }, () => random.integer(classes)));
      const { results, name } = selectCalibrator(z, y, { candidates: [uniform, frequencies], seed, estimate: "none" });
      gain += (results[0].loss - results[1].loss) / 40;
      wrong += Number(name === "frequencies");
    }
    // Frequencies smoothed by one cost about (C - 1) / (2 n) = 0.07 nats; stratified folds would show a gain of as much.
    expect(gain).toBeLessThan(-0.02);
    expect(wrong).toBeLessThan(8);
  });

  it("takes the simplest of equals", () => {
    const chosen = selectCalibrator(train.z, train.y, { estimate: "none" });
    expect(chosen.name).toBe("TemperatureScaling");
    expect(chosen.calibrator.toJSON()).toEqual(TemperatureScaling.fit(train.z, train.y).toJSON());
    expect(chosen.results.map(({ name }) => name)).toEqual(["TemperatureScaling", "EnsembleTemperatureScaling", "VectorScaling", "MatrixScaling"]);
    expect(Math.min(...chosen.results.map(({ difference }) => difference))).toBe(0);
    expect(chosen.loss).toBeNaN();
  });

  it("takes vector scaling where classes differ, and says what that costs on rows it has not seen", () => {
    const { z, y } = planted(1500, 3, 63, (row) => [row[0], row[1] / 4, row[2] / 2 + 1], 3);
    const chosen = selectCalibrator(z, y, { folds: 3, candidates: [TemperatureScaling, VectorScaling] });
    expect(chosen.name).toBe("VectorScaling");
    const fresh = planted(4000, 3, 64, (row) => [row[0], row[1] / 4, row[2] / 2 + 1], 3);
    expect(Math.abs(chosen.loss - loss(chosen.calibrator.probabilities(fresh.z).data, fresh.y, 3))).toBeLessThan(4 * chosen.standardError);
    expect(chosen.results[0].difference).toBeGreaterThan(chosen.results[0].differenceStandardError);
  });

  it("never takes a constant, whose calibration error is small, nor one with an infinite loss", () => {
    const { z, y } = planted(400, 2, 65, (row) => row, 2);
    const isotonic: CalibratorCandidate = { name: "isotonic", fitSteps: (where, a, b) => OneVsRest.fitSteps(where, a, b, { method: "isotonic" }) };
    const chosen = selectCalibrator(z, y, { candidates: [constant, isotonic, TemperatureScaling], estimate: "none" });
    expect(chosen.name).toBe("TemperatureScaling");
    expect(chosen.results[1].loss).toBe(Infinity);
    expect(chosen.results[1].difference).toBe(Infinity);
  });

  it("has the same bits twice, in pieces too, and another seed has other folds", async () => {
    const options = { candidates: [TemperatureScaling, EnsembleTemperatureScaling], folds: 3 };
    const chosen = selectCalibrator(train.z, train.y, options);
    expect(selectCalibrator(train.z, train.y, options)).toEqual(chosen);
    expect(await selectCalibratorAsync(train.z, train.y, options)).toEqual(chosen);
    expect(selectCalibrator(train.z, train.y, { ...options, seed: 1 }).results).not.toEqual(chosen.results);
  });

  it("takes two rows, one class and one label", () => {
    for (const [z, y] of [[[[1, 0], [0, 1]], [0, 1]], [[[1], [2], [3]], [0, 0, 0]], [[[1, 0], [2, 0], [0, 0]], [0, 0, 0]]] as const) {
      const chosen = selectCalibrator(z, y);
      expect([...chosen.calibrator.probabilities(z).data].every((p) => p >= 0 && p <= 1)).toBe(true);
      expect(chosen.loss).not.toBeNaN();
    }
  });

  it("does not take matrix scaling without a ridge on CIFAR-100", () => {
    const real = densenetCifar100(), z = { data: real.logits.subarray(0, 300000), shape: [3000, 100] }, y = real.labels.subarray(0, 3000);
    const plain: CalibratorCandidate = { name: "matrix without a ridge", fitSteps: (where, a, b) => MatrixScaling.fitSteps(where, a, b, { ridge: 0, maxIterations: 60 }) };
    const chosen = selectCalibrator(z, y, { candidates: [TemperatureScaling, VectorScaling, plain], folds: 2, estimate: "none" });
    expect(chosen.name).not.toBe("matrix without a ridge");
    expect(chosen.results[2].difference).toBeGreaterThan(5 * chosen.results[2].differenceStandardError);
  });
});

describe("messages", () => {
  const z = [[1, 0], [0, 1]];
  it("say what is wrong", () => {
    expect(() => OneVsRest.fit(z, [0, 1], { method: "bayes" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: OneVsRest.fit: expected \`method\` "platt", "beta", "isotonic", "centred-isotonic", "histogram", "scaling-binning", "venn-abers", "cross-venn-abers", "spline", got bayes]`);
    expect(() => TopLabel.fit(z, [0, 1], { per: "row" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: TopLabel.fit: expected \`per\` "all" or "class", got row]`);
    expect(() => OneVsRest.fit([[NaN, 0]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: OneVsRest.fit: expected \`logits\` finite or -Infinity, got NaN in row 0, column 0]`);
    const json = OneVsRest.fit(z, [0, 1]).toJSON();
    expect(() => OneVsRest.fromJSON({ ...json, calibrators: json.calibrators.slice(1) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OneVsRest.fromJSON: expected \`calibrators\` a list of 2 calibrators, got 1]`);
    expect(() => OneVsRest.fromJSON({ ...json, calibrators: [null, null] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: OneVsRest.fromJSON: expected \`calibrators\` binary calibrators or "none", got null at index 0]`);
    expect(() => TopLabel.fromJSON({ ...TopLabel.fit(z, [0, 1]).toJSON(), calibrators: ["none"] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: TopLabel.fromJSON: expected \`calibrators\` a list of 2 calibrators, or of none, got 1]`);
    expect(() => selectCalibrator([[1, 0]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectCalibrator: expected \`logits\` with at least 2 rows, got 1]`);
    expect(() => selectCalibrator(z, [0, 1], { folds: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectCalibrator: expected \`folds\` an integer in [2, 2], got 3]`);
    expect(() => selectCalibrator(z, [0, 1], { candidates: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectCalibrator: expected \`candidates\` with at least one, got none]`);
    expect(() => selectCalibrator(z, [0, 1], { estimate: "ece" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selectCalibrator: expected \`estimate\` "nested" or "none", got ece]`);
  });
});

import { TemperatureScaling } from "@logits/calibration";
import { LogitDetector } from "@logits/ood";
import { randomSource } from "@logits/tensor";
import { checkGuarantee, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead } from "./index.ts";

const CLASSES = ["a", "b", "c"] as const;

function world(rows: number, seed: number, shift = 0) {
  const random = testRandom(seed);
  const features = new Float32Array(rows * 5), logits = new Float32Array(rows * 3), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const y = (labels[n] = random.integer(3));
    for (let f = 0; f < 5; f++) features[n * 5 + f] = (f === y ? 1.5 : 0) + random.normal() + (f >= 3 ? shift : 0);
    for (let c = 0; c < 3; c++) logits[n * 3 + c] = 2 * features[n * 5 + c];
  }
  return { logits: { data: logits, shape: [rows, 3] }, features: { data: features, shape: [rows, 5] }, labels };
}

describe("crossFit", () => {
  const data = world(47, 1), probe = world(40, 2), K = 5;
  const head = DecisionHead.fit({ ...data, classes: CLASSES }, { crossFit: K, seed: 3, detector: "energy", maxFalsePositiveRate: 0.3, alpha: 0.25 });

  it("agrees with the definition: pooled p-values of fits on the other folds", () => {
    const order = randomSource(3, 0).permutation(47);
    const row = (x: { data: Float32Array }, n: number, width: number) => Array.from(x.data.subarray(n * width, (n + 1) * width));
    const folds = Array.from({ length: K }, (_, k) => ({ own: Array.from(order).filter((_, i) => i % K === k), other: Array.from(order).filter((_, i) => i % K !== k).sort((a, b) => a - b) }));
    const energy = (z: number[]) => LogitDetector.of("energy").score({ logits: [z] }).data[0];
    const fitted = folds.map(({ own, other }) => {
      const calibrator = TemperatureScaling.fit(other.map((n) => row(data.logits, n, 3)), other.map((n) => data.labels[n]));
      const score = (z: number[], c: number) => Math.fround(1 - calibrator.probabilities([z, z, z, z]).data[c]);
      return { score, sets: own.map((n) => score(row(data.logits, n, 3), data.labels[n])), detector: own.map((n) => energy(row(data.logits, n, 3))) };
    });
    const kinds = new Set<string>();
    head.decideAll(probe).forEach((decision, n) => {
      kinds.add(decision.kind);
      const z = row(probe.logits, n, 3);
      const pooled = (counts: number[]) => (K + counts.reduce((a, b) => a + b)) / (47 + K);
      const flag = pooled(fitted.map(({ detector }) => detector.filter((s) => s >= energy(z)).length));
      if (decision.kind === "unknown") {
        expect([decision.pValue, flag <= 0.3]).toEqual([flag, true]);
        return;
      }
      expect(flag).toBeGreaterThan(0.3);
      const set = [0, 1, 2].filter((c) => pooled(fitted.map(({ score, sets }) => sets.filter((s) => s >= score(z, c)).length)) > 0.25);
      const names = set.length === 0 ? [CLASSES[z.indexOf(Math.max(...z))]] : set.map((c) => CLASSES[c]);
      if (decision.kind === "invalid") throw new Error(decision.why.text);
      expect(new Set(decision.set)).toEqual(new Set(names));
    });
    expect(kinds).toEqual(new Set(["label", "ambiguous", "unknown"]));
  });

  it("decides a row alone as in a batch, and says invalid", () => {
    const mahalanobis = DecisionHead.fit({ ...world(120, 4), classes: CLASSES }, { crossFit: 4, detector: "mahalanobis", maxFalsePositiveRate: 0.3 });
    const all = mahalanobis.decideAll(probe);
    all.forEach((decision, n) => expect(mahalanobis.decide({ logits: probe.logits.data.subarray(3 * n, 3 * n + 3), features: probe.features.data.subarray(5 * n, 5 * n + 5) })).toEqual(decision));
    expect(all.some(({ kind }) => kind === "unknown")).toBe(true);
    expect(mahalanobis.decide({ logits: [0, 0, NaN], features: [0, 0, 0, 0, 0] }).kind).toBe("invalid");
    expect(mahalanobis.evaluate(probe).decisions.invalid).toBe(0);
  });

  it("decides where the folds chose detectors of different methods", () => {
    // Forty rows and a weak shift: the folds disagree about the better detector. The first fold's needs no features, another one's does.
    const chosen = (seed: number) => {
      const { labels: _, ...outliers } = world(15, 100 + seed, 0.6);
      return DecisionHead.fit({ ...world(40, seed), outliers, classes: CLASSES }, { crossFit: 4, seed, detector: ["msp", "mahalanobis"], maxFalsePositiveRate: 0.3 });
    };
    const methods = (fitted: DecisionHead) => fitted.toJSON().folds!.map(({ detector }) => (detector!.format === "logits/logit-detector" ? "msp" : "mahalanobis"));
    const mixed = [3, 4, 6, 8, 9].map(chosen).find((fitted) => methods(fitted)[0] === "msp" && methods(fitted).includes("mahalanobis"))!;
    expect(mixed.needs).toEqual(["logits", "features"]);
    const decisions = mixed.decideAll(probe);
    const unknown = decisions.find((decision) => decision.kind === "unknown")!;
    expect(unknown.kind === "unknown" && unknown.why.detector).toBe("msp or mahalanobis");
    expect(DecisionHead.fromBytes(mixed.toBytes()).decideAll(probe)).toEqual(decisions);
    expect(mixed.notPromised[0]).toContain("the msp or mahalanobis detector");
    expect(() => mixed.decide([1, 0, 0])).toThrow('which the detector "mahalanobis" needs');
  });

  it("says that a score reaches the threshold, for it may be equal", () => {
    // 5 folds of 95 rows: pooled p-values are multiples of 0.01, and 0.3 is one of them.
    const fitted = DecisionHead.fit({ ...world(95, 1), classes: CLASSES }, { crossFit: 5, detector: "energy", maxFalsePositiveRate: 0.3 });
    const equal = fitted.decideAll(world(400, 5)).find((decision) => decision.kind === "unknown" && decision.pValue === 0.3)!;
    expect(equal.kind === "unknown" && equal.why).toMatchInlineSnapshot(`
      {
        "code": "OUT_OF_DISTRIBUTION",
        "detector": "energy",
        "score": 0.7,
        "text": "unlike the rows of the fit: the energy score 0.7 reaches the threshold 0.7 for a false-positive rate of at most 60 %",
        "threshold": 0.7,
      }
    `);
  });

  it("promises twice alpha and twice the rate, and says so", () => {
    expect(head.guarantees.map(({ kind, level, n, attainable, confidence }) => ({ kind, level, n, attainable, confidence }))).toEqual([
      { kind: "marginal coverage", level: 0.5, n: 47, attainable: true, confidence: undefined },
      { kind: "false-positive rate", level: 0.6, n: 47, attainable: true, confidence: undefined },
    ]);
    expect(head.guarantees.map(({ statement, rows }) => `${statement} ${rows}`)).toMatchInlineSnapshot(`
      [
        "The set of a new row holds its true class with probability at least 50 %, over all rows together, flagged ones counted with the set they would get: an answer misses the true class for at most 50 % of all rows. all 47 rows in 5 folds (seed 3); the rows of a fold are scored by fits on the other folds",
        "A new row like the calibration rows is \`unknown\` with probability at most 60 %, over drawings of the rows. all 47 rows in 5 folds (seed 3); the rows of a fold are scored by fits on the other folds",
      ]
    `);
    expect(head.notPromised).toMatchInlineSnapshot(`
      [
        "which share of rows unlike the calibration rows is flagged: the energy detector shows what it shows, and \`evaluate\` with \`outliers\` measures it on rows of one kind",
        "coverage for each class, each set size or each kind of row: \`evaluate\` shows it by size and class",
        "coverage among the rows with a single label",
        "the usual coverage of 1 - alpha: folds that overlap promise 1 - 2 alpha",
        "that the probabilities are right: they are calibrated on the fit rows, nothing is tested",
        "coverage among the rows that are answered: that needs a split",
        "a false-positive rate with a confidence (PAC): that needs rows of its own, not folds",
      ]
    `);
    const few = DecisionHead.fit({ ...data, classes: CLASSES }, { crossFit: 5, maxFalsePositiveRate: 0.05, alpha: 0.05 });
    expect(few.guarantees.map(({ statement, attainable }) => [attainable, statement])).toMatchInlineSnapshot(`
      [
        [
          false,
          "The set of a new row holds its true class with probability at least 90 %, over all rows together, flagged ones counted with the set they would get: an answer misses the true class for at most 10 % of all rows; 47 rows are too few for that, so every set holds all classes.",
        ],
        [
          false,
          "A new row like the calibration rows is \`unknown\` with probability at most 10 %, over drawings of the rows; 47 rows are too few to flag any row at that rate, so none is (95 would do).",
        ],
      ]
    `);
    // 95 rows in 5 folds: 5 / (95 + 5) = 0.05 is the smallest pooled p-value.
    const attainable = (rows: number) => DecisionHead.fit({ ...world(rows, 1), classes: CLASSES }, { crossFit: 5, maxFalsePositiveRate: 0.05, alpha: 0.05 }).guarantees.map((promise) => promise.attainable);
    expect([attainable(94), attainable(95)]).toEqual([[false, false], [true, true]]);
  });

  it("keeps the promises, simulated", () => {
    const repetitions = process.env.LOGITS_SLOW ? 10000 : 300;
    const outcomes = Array.from({ length: repetitions }, (_, seed) => {
      const rows = world(80, 7000 + seed), cut = (from: number, to: number) => ({ logits: { data: rows.logits.data.subarray(3 * from, 3 * to), shape: [to - from, 3] }, features: { data: rows.features.data.subarray(5 * from, 5 * to), shape: [to - from, 5] }, labels: rows.labels.subarray(from, to) });
      const fitted = DecisionHead.fit({ ...cut(0, 60), classes: CLASSES }, { crossFit: 5, seed, alpha: 0.15, detector: "mahalanobis", maxFalsePositiveRate: 0.15 });
      const { coverage, falsePositives } = fitted.evaluate(cut(60, 80));
      return { missed: 20 - coverage.all!.covered, flagged: falsePositives!.count };
    });
    const missed = checkGuarantee({ name: "coverage", kind: "marginal mean", level: 0.3, repetitions, simulate: (i) => ({ successes: outcomes[i].missed, trials: 20 }) });
    const flagged = checkGuarantee({ name: "false positives", kind: "marginal mean", level: 0.3, repetitions, simulate: (i) => ({ successes: outcomes[i].flagged, trials: 20 }) });
    console.info(`crossFit: misses ${missed.mean}, flagged ${flagged.mean}, nominal 0.15 each, promised 0.3`);
    // Usually near the nominal level, below it for the smallest p-value is K / (N + K).
    expect(missed.mean).toBeLessThan(0.15);
    expect(missed.mean).toBeGreaterThan(0.05);
    expect(flagged.mean).toBeGreaterThan(0.05);
  }, process.env.LOGITS_SLOW ? 3_600_000 : 60_000);

  it("says what does not go with it", () => {
    const fit = (options: object, over: object = {}) => () => DecisionHead.fit({ ...data, classes: CLASSES, ...over }, { crossFit: 5, ...options });
    expect(fit({ crossFit: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`crossFit\` an integer in [2, 47], the rows, got 1]`);
    expect(fit({ crossFit: 48 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`crossFit\` an integer in [2, 47], the rows, got 48]`);
    expect(fit({ split: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`split\` nothing with \`crossFit\`, got 0.5]`);
    expect(fit({ confidence: 0.95 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`confidence\` nothing with \`crossFit\`, got 0.95]`);
    expect(fit({ method: "aps" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`method\` "lac" with \`crossFit\`, got "aps"]`);
    expect(fit({ guarantee: "accepted" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`guarantee\` "all" with \`crossFit\`, got "accepted". Coverage among accepted rows needs a split]`);
    expect(fit({}, { calibration: data })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration\` nothing with \`crossFit\`, got rows]`);
    expect(() => head.conformal).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.conformal: expected \`this\` fitted with a split, got a cross-fitted head. Use decideAll or evaluate]`);
    const json = head.toJSON();
    const read = (over: object) => () => DecisionHead.fromJSON({ ...json, ...over });
    expect(read({ folds: [json.folds![0]] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`folds\` a list of at least 2, got 1]`);
    expect(read({ folds: json.folds!.slice(1) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`folds\` of 47 rows together, as \`calibrationRows\`, got 37]`);
    expect(read({ calibrationRows: 46 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`calibrationRows\` 47, as \`fitRows\` where \`split\` is "folds", got 46]`);
    expect(read({ guarantee: "accepted" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`guarantee\` "all" where \`split\` is "folds", got "accepted"]`);
    expect(read({ folds: json.folds!.map((fold, k) => (k === 2 ? { ...fold, pValues: json.folds![0].pValues } : fold)) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`folds.2\`: expected \`pValues\` of 9 rows, as \`scores\`, got 10]`);
  });
});

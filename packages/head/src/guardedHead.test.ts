import { TemperatureScaling, probabilitiesToLogits } from "@logits/calibration";
import { SplitConformal } from "@logits/conformal";
import { auroc } from "@logits/metrics";
import { ConformalPValues, LogitDetector, Threshold, fitDetector } from "@logits/ood";
import { Tensor, randomSource, type TensorLike } from "@logits/tensor";
import { estimatorChecks, expectClose, testRandom } from "@logits/testkit";
import { describe, expect, expectTypeOf, it } from "vitest";
import { DecisionHead, LinearHead, type Decision, type UnknownWhy } from "./index.ts";

const CLASSES = ["cat", "dog", "bird"] as const;
const F = 4;

/** Features around three class means, logits from them, labels; `shift` moves the features away. */
function world(rows: number, seed: number, shift = 0) {
  const random = testRandom(seed);
  const features = new Float32Array(rows * F), logits = new Float32Array(rows * 3), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const y = (labels[n] = random.integer(3));
    for (let f = 0; f < F; f++) features[n * F + f] = (f === y ? 2 : 0) + random.normal() + (f === 3 ? shift : 0);
    for (let c = 0; c < 3; c++) logits[n * 3 + c] = 1.5 * features[n * F + c] + 0.2 * random.normal();
  }
  const tensor = (data: Float32Array, width: number) => ({ dtype: "float32" as const, shape: [rows, width], data });
  return { logits: tensor(logits, 3), features: tensor(features, F), labels: { dtype: "int32" as const, shape: [rows], data: labels } };
}

/** The rows of a batch. */
const rowsOf = ({ logits, features }: ReturnType<typeof world>) =>
  Array.from({ length: logits.shape[0] }, (_, n) => ({ logits: logits.data.subarray(3 * n, 3 * n + 3), features: features.data.subarray(F * n, F * n + F) }));

const data = world(800, 1), probe = world(100, 2), far = world(100, 3, 9);
const options = { seed: 4, maxFalsePositiveRate: 0.1, confidence: 0.9 } as const;
const guarded = DecisionHead.fit({ ...data, classes: CLASSES }, { ...options, detector: "mahalanobis" });
const kinds = (decisions: readonly Decision[]) => Object.fromEntries(["label", "ambiguous", "unknown", "invalid"].map((kind) => [kind, decisions.filter((d) => d.kind === kind).length]));

/** What the head must have done, stage by stage, from the seeds alone. */
function stages(split = 0.5, accepted = false) {
  const order = randomSource(4, 0).permutation(800), fitRows = Math.floor(800 * split);
  const fit = Array.from(order.subarray(0, fitRows)).sort((a, b) => a - b), calibration = Array.from(order.subarray(fitRows)).sort((a, b) => a - b);
  const again = randomSource(4, 2).permutation(calibration.length), half = calibration.length >> 1;
  const pick = (part: Int32Array) => Array.from(part).sort((a, b) => a - b).map((i) => calibration[i]);
  return { fit, threshold: accepted ? pick(again.subarray(0, half)) : calibration, sets: accepted ? pick(again.subarray(half)) : calibration };
}
const some = (rows: readonly number[]) => ({
  logits: rows.map((n) => Array.from(data.logits.data.subarray(3 * n, 3 * n + 3))),
  features: rows.map((n) => Array.from(data.features.data.subarray(F * n, F * n + F))),
  labels: rows.map((n) => data.labels.data[n]),
});

describe("a head with a detector", () => {
  it("is the composition of its parts on rows of their own", () => {
    const { fit, threshold, sets } = stages();
    expect(new Set([...fit, ...threshold]).size).toBe(800);
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { ...options, detector: "energy" });
    const scores = LogitDetector.of("energy").score(some(threshold));
    const calibrator = TemperatureScaling.fit(some(fit).logits, some(fit).labels);
    expect(head.threshold!.toJSON()).toEqual(Threshold.fit(scores, { maxFalsePositiveRate: 0.1, confidence: 0.9 }).toJSON());
    expect(head.toJSON().pValues).toEqual(ConformalPValues.fit(scores).toJSON());
    expect(head.calibrator.toJSON()).toEqual(calibrator.toJSON());
    expect(head.conformal.toJSON()).toEqual(SplitConformal.fit(calibrator.transform(some(sets).logits), some(sets).labels).toJSON());
  });

  it("with coverage among accepted rows: threshold from one part of the calibration rows, sets from the accepted rows of the other", () => {
    const { fit, threshold, sets } = stages(0.5, true);
    expect([fit.length, threshold.length, sets.length, new Set([...fit, ...threshold, ...sets]).size]).toEqual([400, 200, 200, 800]);
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { ...options, detector: "energy", guarantee: "accepted" });
    const detector = LogitDetector.of("energy"), limit = Threshold.fit(detector.score(some(threshold)), { maxFalsePositiveRate: 0.1, confidence: 0.9 });
    expect(head.threshold!.toJSON()).toEqual(limit.toJSON());
    const calibrator = TemperatureScaling.fit(some(fit).logits, some(fit).labels);
    const flagged = limit.exceedsAll(detector.score(some(sets))).data, accepted = some(sets.filter((_, i) => !flagged[i]));
    expect(accepted.labels.length).toBeLessThan(200);
    expect(head.conformal.toJSON()).toEqual(SplitConformal.fit(calibrator.transform(accepted.logits), accepted.labels).toJSON());
    expect(head.guarantees[0]).toMatchObject({ kind: "coverage among accepted", n: accepted.labels.length });
  });

  it("flags what is far and says why", () => {
    expect(kinds(guarded.decideAll(far)).unknown).toBe(100);
    expect(kinds(guarded.decideAll(probe)).unknown).toBeLessThan(20);
    const [decision] = guarded.decideAll(far);
    if (decision.kind !== "unknown") throw new Error(decision.kind);
    expect(decision.pValue).toBe(1 / 401);
    expect(CLASSES).toContain(decision.nearest);
    expect(decision.why.score).toBeGreaterThan(decision.why.threshold);
    expect({ ...decision.why, score: 0, threshold: 0, text: decision.why.text.replace(/\d+(\.\d+)?(?= exceeds| for a)/g, "#") }).toMatchInlineSnapshot(`
      {
        "code": "OUT_OF_DISTRIBUTION",
        "detector": "mahalanobis",
        "score": 0,
        "text": "unlike the rows of the fit: the mahalanobis score # exceeds the threshold # for a false-positive rate of at most 10 %",
        "threshold": 0,
      }
    `);
  });

  it("scores the logits as the model gave them, and gives p-values against the calibration rows", () => {
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { ...options, maxFalsePositiveRate: 0.5, detector: "energy" });
    const scores = LogitDetector.of("energy").score(probe).data, p = ConformalPValues.fit(LogitDetector.of("energy").score(some(stages().threshold)));
    let flagged = 0;
    head.decideAll(probe).forEach((decision, n) => {
      if (decision.kind !== "unknown") return expect(head.threshold!.exceeds(scores[n])).toBe(false);
      flagged++;
      expect([decision.why.score, decision.pValue]).toEqual([scores[n], p.pValue(scores[n])]);
      expect(decision.pValue).toBeLessThanOrEqual(0.5);
    });
    expect(flagged).toBeGreaterThan(20);
  });

  it.each(["msp", "energy", "mahalanobis", "knn"] as const)("decides a row alone as in a batch: %s", (detector) => {
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { ...options, maxFalsePositiveRate: 0.5, detector });
    for (const batch of [probe, far]) {
      const all = head.decideAll(batch), rows = rowsOf(batch);
      rows.forEach((row, n) => expect(head.decide(row)).toEqual(all[n]));
    }
    expect(kinds(head.decideAll(probe)).unknown).toBeGreaterThan(20);
  });

  it.each(["mahalanobis", "knn"] as const)("decides a row of many features alone as in batches of any size: %s", (detector) => {
    const random = testRandom(8), d = 131, rows = 203;
    const features = Float32Array.from({ length: rows * d }, () => random.normal()), logits = Float32Array.from({ length: rows * 3 }, () => 3 * random.normal()), labels = Int32Array.from({ length: rows }, () => random.integer(3));
    const cut = (from: number, to: number) => ({ logits: new Tensor("float32", [to - from, 3], logits.subarray(3 * from, 3 * to)), features: new Tensor("float32", [to - from, d], features.subarray(d * from, d * to)) });
    const head = DecisionHead.fit({ ...cut(0, rows), labels, classes: CLASSES }, { detector, maxFalsePositiveRate: 0.6, confidence: "marginal" });
    const all = head.decideAll(cut(0, rows));
    expect(all.some(({ kind }) => kind === "unknown")).toBe(true);
    for (const size of [1, 3, 16, 67]) for (let from = 0; from < rows; from += size) expect(head.decideAll(cut(from, Math.min(rows, from + size)))).toEqual(all.slice(from, from + size));
  });

  it("says invalid for a feature that is not finite, and leaves the other rows alone", () => {
    const rows = rowsOf(probe).slice(0, 3), bad = rows[1].features.slice();
    bad[2] = NaN;
    const batch = { logits: rows.map((row) => Array.from(row.logits)), features: [Array.from(rows[0].features), Array.from(bad), [0, Infinity, 0, 0]] };
    const decisions = guarded.decideAll(batch);
    expect(decisions.map((d) => ("why" in d ? d.why : d.kind))).toEqual(["label", { code: "NO_FEATURES", text: "NaN in feature 2" }, { code: "NO_FEATURES", text: "Infinity in feature 1" }]);
    expect(decisions[0]).toEqual(guarded.decide(rows[0]));
    expect(guarded.decide({ ...rows[1], features: bad }).kind).toBe("invalid");
    expect(guarded.decide({ logits: [NaN, 0, 0], features: rows[0].features })).toEqual({ kind: "invalid", why: { code: "NO_DISTRIBUTION", text: "NaN in column 0" } });
    expect(guarded.decideAll({ logits: new Tensor("float32", [0, 3], new Float32Array(0)), features: new Tensor("float32", [0, F], new Float32Array(0)) })).toEqual([]);
  });

  it("says invalid where the detector has no score of finite numbers", () => {
    const detector = { method: "odd", needs: ["features"] as const, score: ({ features }: { features?: TensorLike }) => new Tensor("float32", [(features as Tensor).shape[0]], (features as Tensor).data.filter((_, i) => i % F === 0).map((x) => (x > 1e6 ? NaN : x)) as Float32Array), toJSON: () => ({ format: "odd", version: 1 }) };
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { detector });
    expect(head.decide({ logits: [1, 2, 3], features: [1e7, 0, 0, 0] })).toEqual({ kind: "invalid", why: { code: "NO_SCORE", text: "the odd score is NaN" } });
  });

  it("chooses by AUROC on fit rows, the calibration rows and their order left out", () => {
    const head = DecisionHead.fit({ ...data, outliers: far, classes: CLASSES }, { seed: 4, detector: ["msp", "mahalanobis"] });
    expect(head.detector!.method).toBe("mahalanobis");
    expect(head.selection).toMatchObject({ candidates: ["msp", "mahalanobis"], rows: 200, outliers: 100 });
    const order = randomSource(4, 1).permutation(400), { fit, threshold } = stages();
    const held = some(Array.from(order.subarray(200)).map((i) => fit[i]));
    const inside = Array.from(LogitDetector.of("msp").score(held).data), outside = Array.from(LogitDetector.of("msp").score(far).data);
    expectClose(head.selection!.auroc[0], auroc([...inside, ...outside], [...inside.map(() => 0), ...outside.map(() => 1)]), { atol: 1e-12 });
    // Other calibration rows, the same choice and the same statistics.
    const changed = { ...data, logits: { ...data.logits, data: data.logits.data.slice() }, features: { ...data.features, data: data.features.data.slice() } };
    for (const row of threshold) {
      changed.features.data.fill(row, F * row, F * row + F);
      changed.logits.data[3 * row] += 5;
    }
    const other = DecisionHead.fit({ ...changed, outliers: far, classes: CLASSES }, { seed: 4, detector: ["msp", "mahalanobis"] });
    expect(other.selection).toEqual(head.selection);
    expect(other.detector!.toJSON()).toEqual(head.detector!.toJSON());
    expect(other.calibrator.toJSON()).toEqual(head.calibrator.toJSON());
    expect(other.threshold!.value).not.toBe(head.threshold!.value);
  });

  it("has a default detector where another option asks for one", () => {
    const method = (with_: object, given: object = {}) => DecisionHead.fit({ ...data, classes: CLASSES, ...given }, with_).detector?.method;
    const { features: _, ...logitsOnly } = data;
    expect(method({})).toBeUndefined();
    expect(method({ maxFalsePositiveRate: 0.05 })).toBe("mahalanobis");
    expect(DecisionHead.fit({ ...logitsOnly, classes: CLASSES }, { confidence: "marginal" }).detector!.method).toBe("msp");
    expect(method({ guarantee: "accepted" })).toBe("mahalanobis");
    expect(method({}, { fitted: LogitDetector.of("margin") })).toBe("margin");
    expect(DecisionHead.fit({ ...data, outliers: far, classes: CLASSES }).selection!.candidates).toEqual(["msp", "maxLogit", "energy", "entropy", "mahalanobis", "knn"]);
  });

  it("says that nothing is flagged where the rows are too few, and fits all the same", () => {
    const head = DecisionHead.fit({ ...data, classes: CLASSES }, { detector: "mahalanobis", maxFalsePositiveRate: 0.001 });
    expect(head.threshold!.value).toBe(Infinity);
    expect(kinds(head.decideAll(far)).unknown).toBe(0);
    expect(head.guarantees[1].attainable).toBe(false);
    expect(head.guarantees[1].statement).toMatchInlineSnapshot(`"With probability at least 95 % over the drawing of the rows, at most 0.1 % of new rows like them are \`unknown\`; 400 rows are too few to flag any row at that rate, so none is (2995 would do)."`);
    expect(head.notPromised.at(-1)).toMatchInlineSnapshot(`"any detection: with 400 rows no row can be flagged"`);
    const restored = DecisionHead.fromJSON(JSON.parse(JSON.stringify(head)));
    expect(restored.decideAll(far)).toEqual(head.decideAll(far));
  });

  it("knows the types of its decisions", () => {
    const decision = guarded.decide({ logits: [1, 2, 3], features: [1, 2, 3, 4] });
    // @ts-expect-error a label is read after the kind was asked for: refusal cannot be forgotten
    void decision.label;
    // @ts-expect-error the same for the set
    void decision.set;
    if (decision.kind === "unknown") {
      expectTypeOf(decision.nearest).toEqualTypeOf<"cat" | "dog" | "bird">();
      expectTypeOf(decision.why).toEqualTypeOf<UnknownWhy>();
      // @ts-expect-error no label for an unknown row
      void decision.label;
    }
    if (decision.kind === "ambiguous") expectTypeOf(decision.set).toEqualTypeOf<readonly ("cat" | "dog" | "bird")[]>();
    // @ts-expect-error a head needs logits or a scorer
    expect(() => DecisionHead.fit({ labels: [0], classes: ["a"] })).toThrow("logits");
  });

  it("fits with pauses, the same", async () => {
    const shares: number[] = [];
    const given = { ...data, outliers: far, classes: CLASSES };
    const head = await DecisionHead.fitAsync(given, { ...options, guarantee: "accepted", onProgress: (share) => shares.push(share) });
    expect(JSON.stringify(head)).toBe(JSON.stringify(DecisionHead.fit(given, { ...options, guarantee: "accepted" })));
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
  });
});

/** A decision as numbers, for the batteries. */
function asNumbers(decisions: readonly Decision[]): { shape: number[]; data: number[] } {
  const rows = decisions.flatMap((d) => (d.kind === "label" ? [1, d.probability, d.label.length, 0, 0] : d.kind === "ambiguous" ? [2, ...d.probabilities, ...Array(4 - d.probabilities.length).fill(0)]
    : d.kind === "unknown" ? [4, d.pValue, d.nearest.length, d.why.score, d.why.threshold] : [3, 0, 0, 0, 0]));
  return { shape: [rows.length], data: rows };
}

describe.each([
  ["mahalanobis", { detector: "mahalanobis" }, ["conformal.scores.data", "pValues.scores.data"]],
  ["accepted, knn", { detector: "knn", guarantee: "accepted", confidence: "marginal" }, ["conformal.scores.data", "pValues.scores.data"]],
  ["chosen", { detector: ["msp", "energy"] }, ["conformal.scores.data", "pValues.scores.data"]],
  ["folds", { detector: "energy", crossFit: 3 }, []],
] as const)("the battery of a head: %s", (name, given, base64) => {
  it.each(estimatorChecks<DecisionHead>({
    name,
    data: [data.logits, data.features, data.labels],
    fit: (logits, features, labels) => DecisionHead.fit({ logits, features: features as Tensor, labels, classes: CLASSES, ...(name === "chosen" && { outliers: far }) }, { seed: 4, maxFalsePositiveRate: 0.2, ...(given as object) }),
    output: (fitted) => [asNumbers(fitted.decideAll(probe)), asNumbers(fitted.decideAll(far)), { shape: [2], data: [fitted.guarantees.length, fitted.calibrationRows] }],
    fromJSON: DecisionHead.fromJSON,
    rowOrder: "matters", // the split goes by position
    wrongWidth: [(fitted) => fitted.decide([1, 2]), (fitted) => fitted.decideAll({ logits: [[1, 2, 3, 4]], features: [[1, 2, 3, 4]] })],
    optional: name === "chosen" ? ["selection"] : [],
    base64: [...base64],
  }))("$name", ({ run }) => run());
});

describe("probabilities as input", () => {
  const p = TemperatureScaling.fit(data.logits, data.labels).probabilities(data.logits);
  const head = DecisionHead.fit({ logits: p, labels: data.labels, classes: CLASSES }, { input: "probabilities", maxFalsePositiveRate: 0.1 });
  it("become logits at the fit and at every decision", () => {
    const same = DecisionHead.fit({ logits: probabilitiesToLogits(p).logits, labels: data.labels, classes: CLASSES }, { maxFalsePositiveRate: 0.1 });
    expect({ ...head.toJSON(), input: "logits" }).toEqual(same.toJSON());
    const some = p.data.subarray(0, 60);
    expect(head.decideAll({ data: some, shape: [20, 3] })).toEqual(same.decideAll(probabilitiesToLogits({ data: some, shape: [20, 3] }).logits));
    expect(DecisionHead.fromJSON(JSON.parse(JSON.stringify(head))).input).toBe("probabilities");
  });
  it("that are none are invalid", () => {
    expect(head.decideAll([[0.5, 0.4, 0.1], [2, -1, 0], [0.5, 0, 0], [NaN, 0, 1], [1, 0, 0]]).map((d) => (d.kind === "invalid" ? d.why.text : d.kind))).toEqual(
      [expect.stringMatching(/label|ambiguous|unknown/), "2 in column 0", "a sum of 0.5", "NaN in column 0", expect.stringMatching(/label|unknown/)]);
    expect(() => DecisionHead.fit({ logits: data.logits, labels: data.labels, classes: CLASSES }, { input: "probabilities" })).toThrow("with rows of probabilities, as `input` says");
  });
});

describe("a head with a scorer", () => {
  const scorer = LinearHead.fit(data.features, data.labels, { classes: 3 });
  const own = world(600, 7);
  const head = DecisionHead.fit({ scorer, features: own.features, labels: own.labels, classes: CLASSES }, { ...options, detector: "mahalanobis" });
  it("decides from features alone, as from its logits", () => {
    const same = DecisionHead.fit({ logits: scorer.logits(own.features), features: own.features, labels: own.labels, classes: CLASSES }, { ...options, detector: "mahalanobis" });
    expect(head.needs).toEqual(["features"]);
    const { scorer: carried, selfTest, ...rest } = head.toJSON();
    expect({ ...rest, selfTest: same.toJSON().selfTest }).toEqual(same.toJSON());
    expect(Object.keys(selfTest.numbers)).toEqual(["logits", "probabilities", "scores"]);
    expect(carried).toEqual(scorer.toJSON());
    const all = head.decideAll({ features: probe.features });
    expect(all).toEqual(same.decideAll({ logits: scorer.logits(probe.features), features: probe.features }));
    rowsOf(probe).forEach(({ features }, n) => expect(head.decide({ features })).toEqual(all[n]));
    expect(DecisionHead.fromJSON(JSON.parse(JSON.stringify(head))).decideAll({ features: probe.features })).toEqual(all);
    expect(head.decide({ features: [NaN, 0, 0, 0] })).toEqual({ kind: "invalid", why: { code: "NO_FEATURES", text: "NaN in feature 0" } });
  });
  it("takes sparse features where the detector needs logits only", () => {
    const csr = ({ features }: ReturnType<typeof world>) => {
      const rows = features.shape[0];
      return { shape: [rows, F] as const, indptr: Int32Array.from({ length: rows + 1 }, (_, n) => n * F), indices: Int32Array.from({ length: rows * F }, (_, i) => i % F), data: features.data };
    };
    const sparse = DecisionHead.fit({ scorer, features: csr(own), labels: own.labels, classes: CLASSES }, { ...options, detector: "energy" });
    const dense = DecisionHead.fit({ scorer, features: own.features, labels: own.labels, classes: CLASSES }, { ...options, detector: "energy" });
    const all = sparse.decideAll({ features: csr(probe) });
    expect(all.map(({ kind }) => kind)).toEqual(dense.decideAll({ features: probe.features }).map(({ kind }) => kind));
    rowsOf(probe).slice(0, 20).forEach(({ features }, n) => expect(sparse.decide({ features: { shape: [1, F], indptr: Int32Array.of(0, F), indices: Int32Array.of(0, 1, 2, 3), data: features.slice() } })).toEqual(all[n]));
    expect(() => DecisionHead.fit({ scorer, features: csr(own), labels: own.labels, classes: CLASSES }, { detector: "mahalanobis" })).toThrow("features");
    const bad = csr(probe);
    bad.data = bad.data.slice();
    bad.data[F] = Infinity;
    expect(sparse.decideAll({ features: bad }).map(({ kind }) => kind).indexOf("invalid")).toBe(1);
  });
});

describe("rows that would serve twice", () => {
  const calibration = world(60, 11);
  const copied = (rows: readonly number[]) => {
    const { logits, features, labels } = world(60, 11);
    rows.forEach((from, i) => {
      features.data.set(data.features.data.subarray(F * from, F * from + F), F * (20 + i));
      logits.data.set(data.logits.data.subarray(3 * from, 3 * from + 3), 3 * (20 + i));
    });
    return { logits, features, labels };
  };
  it("are refused: a calibration row among the fit rows", () => {
    expect(() => DecisionHead.fit({ ...data, calibration: copied([5]), classes: CLASSES })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration\` of rows that are not among the others, got row 20, which is row 5 of them. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    const { logits, labels } = copied([5]);
    expect(() => DecisionHead.fit({ logits: data.logits, labels: data.labels, calibration: { logits, labels }, classes: CLASSES })).toThrow("row 20, which is row 5 of them");
    // The same logits of other features are another row.
    const { features: _, ...rest } = copied([5]);
    expect(DecisionHead.fit({ ...data, calibration: { ...rest, features: calibration.features }, classes: CLASSES }).calibrationRows).toBe(60);
  });
  it("are refused: an outlier among the labelled rows, or among the calibration rows", () => {
    const own = copied([5]);
    expect(() => DecisionHead.fit({ ...data, outliers: own, classes: CLASSES })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers\` of rows that are not among the labelled ones, got row 20, which is row 5 of them. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    expect(() => DecisionHead.fit({ ...data, outliers: own, classes: CLASSES }, { crossFit: 4 })).toThrow("row 20, which is row 5 of them");
    expect(() => DecisionHead.fit({ ...world(50, 12), calibration: data, outliers: own, classes: CLASSES })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers\` of rows that are not among the calibration rows, got row 20, which is row 5 of them. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    expect(DecisionHead.fit({ ...world(50, 12), calibration: data, duplicates: "allowed", outliers: own, classes: CLASSES }).selection!.outliers).toBe(60);
  });
  it("are refused: equal rows on both sides of a split, where a detector keeps its rows", () => {
    const twice = world(60, 11);
    for (const { data, shape: [, width] } of [twice.logits, twice.features]) data.copyWithin(30 * width, 0, 30 * width);
    expect(() => DecisionHead.fit({ ...twice, classes: CLASSES }, { detector: "knn" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`features\` of calibration rows that did not fit the detector, got row 4, which is one of its fit. Leave one of the equal rows out: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    expect(DecisionHead.fit({ ...twice, classes: CLASSES }, { detector: "msp" }).detector!.method).toBe("msp");
    // Texts that people wrote twice are other examples.
    expect(DecisionHead.fit({ ...twice, duplicates: "allowed", classes: CLASSES }, { detector: "knn" }).detector!.method).toBe("knn");
    expect(DecisionHead.fit({ ...twice, duplicates: "allowed", classes: CLASSES }, { detector: "knn", crossFit: 3 }).detector!.method).toBe("knn");
  });
  it("but probabilities that name one class and nothing else are no row", () => {
    const p = (rows: number) => ({ logits: Array.from({ length: rows }, (_, n) => [0, 1, 2].map((c) => Number(c === n % 3))), labels: Array.from({ length: rows }, (_, n) => n % 3) });
    expect(DecisionHead.fit({ ...p(6), calibration: p(6), classes: CLASSES }, { input: "probabilities" }).calibrationRows).toBe(6);
  });
  it("are refused: a calibration row that fitted the detector", () => {
    const fitted = fitDetector("mahalanobis", { ...data, classes: 3 });
    expect(() => DecisionHead.fit({ ...world(50, 12), calibration: copied([5, 6]), fitted, classes: CLASSES })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration.features\` of calibration rows that did not fit the detector, got row 20, which is one of its fit. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    // Which of the split's calibration rows it is: the first that is among the rows of the detector.
    expect(() => DecisionHead.fit({ ...data, fitted, classes: CLASSES }, { seed: 4 })).toThrow(`row ${stages().threshold[0]}, which is one of its fit`);
    expect(DecisionHead.fit({ ...world(50, 12), calibration, fitted, classes: CLASSES }).detector).toBe(fitted);
  });
});

describe("messages of a head with a detector", () => {
  const { features: _, ...logitsOnly } = data;
  it("of a fit say what is wrong", () => {
    const fit = (given: object, over: object = {}) => () => DecisionHead.fit({ ...data, classes: CLASSES, ...over } as never, given);
    expect(fit({ maxFalsePositiveRate: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`maxFalsePositiveRate\` in (0, 1), got 0]`);
    expect(fit({ confidence: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`confidence\` in (0, 1) or "marginal", got 1]`);
    expect(fit({ guarantee: "some" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`guarantee\` "all" or "accepted", got some]`);
    expect(fit({ input: "scores" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`input\` "logits" or "probabilities", got scores]`);
    expect(fit({ detector: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`detector\` at least one, got an empty list]`);
    expect(fit({ detector: "magic" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`detector\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", got magic. Another detector goes in by a function that fits it: ({ features, logits, labels }) => SsdDetector.fit(features)]`);
    expect(fit({ detector: ["msp", "energy"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers\` to choose among 2 detectors, got nothing. Pass rows known to be outside, or one detector; \`selectDetector\` chooses without]`);
    expect(fit({ detector: "msp" }, { outliers: far })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers\` nothing where there is one detector, got rows. \`evaluate\` measures how many of them it flags]`);
    expect(fit({}, { outliers: { logits: far.logits } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fit: expected \`outliers.features\` dense features, which the detector "mahalanobis" needs, got nothing]`);
    expect(fit({}, { outliers: { logits: { data: new Float32Array(0), shape: [0, 3] }, features: { data: new Float32Array(0), shape: [0, F] } } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers\` of at least one row, got none]`);
    expect(fit({}, { outliers: { logits: [[1, 2]] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`outliers.logits\` of 3 classes on the last axis, got shape [1, 2]]`);
    expect(fit({}, { features: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`features\` of 800 rows, as \`logits\` has, got 1]`);
    expect(fit({}, { features: { data: Float32Array.from(data.features.data, (x, i) => (i === 9 ? NaN : x)), shape: [800, F] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`features\` of finite numbers, got row 2 with NaN in feature 1]`);
    expect(fit({}, { features: { shape: [800, 2], indptr: new Int32Array(801), indices: new Int32Array(0), data: new Float32Array(0) } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fit: expected \`features\` dense: only a \`scorer\` takes sparse ones, got a CSR matrix]`);
    expect(fit({}, { logits: undefined })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fit: expected \`logits\` of shape [N, C], got nothing]`);
    expect(() => DecisionHead.fit({ ...logitsOnly, classes: CLASSES }, { detector: "knn" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`features\` for the method knn, got none]`);
    expect(() => DecisionHead.fit({ logits: [[0.5, 0.5], [0.4, 0.6]], labels: [0, 1], classes: ["a", "b"] }, { input: "probabilities", detector: "energy" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`detector\` another than "energy" for probabilities, got "energy". The energy of a row of probabilities is 0, whatever they are; pass logits]`);
    const scorer = LinearHead.fit(data.features, data.labels, { classes: 3 });
    expect(fit({}, { scorer })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` nothing where there is a \`scorer\`, got logits]`);
    expect(fit({ input: "probabilities" }, { scorer, logits: undefined })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`input\` "logits" where there is a \`scorer\`, got "probabilities"]`);
    expect(fit({ guarantee: "accepted", detector: "msp" }, { logits: [[2, 0, 0], [0, 2, 0]], features: [[1, 2, 3, 4], [5, 4, 1, 2]], labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration\` of at least 2 rows with \`guarantee\` "accepted", got 1]`);
    const flags = { method: "odd", needs: ["logits"] as const, score: ({ logits }: { logits?: TensorLike }) => new Tensor("float32", [(logits as Tensor).shape[0]], Float32Array.from({ length: (logits as Tensor).shape[0] }, () => NaN)), toJSON: () => ({ format: "odd", version: 1 }) };
    expect(fit({ detector: flags })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` with a score by the detector "odd", got NaN for row 0]`);
  });
  it("of a decision say what is wrong", () => {
    expect(() => guarded.decide([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.decide: expected \`features\` dense features, which the detector "mahalanobis" needs, got nothing]`);
    expect(() => guarded.decide({ features: [1, 2, 3, 4] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.decide: expected \`logits\` of shape [C], got nothing]`);
    expect(() => guarded.decide({ logits: [1, 2, 3], features: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`features\` of 4 features on the last axis, as the fit had, got 2]`);
    expect(() => guarded.decide({ logits: [1, 2, 3], features: [[1, 2, 3, 4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`features\` of shape [F], got [1, 4]. For a batch use decideAll]`);
    expect(() => guarded.decideAll({ logits: [[1, 2, 3]], features: [1, 2, 3, 4] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAll: expected \`features\` of shape [N, F], got [4]]`);
    expect(() => guarded.decideAll({ logits: [[1, 2, 3]], features: [[1, 2, 3, 4], [1, 2, 3, 4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAll: expected \`features\` of 1 rows, as \`logits\` has, got 2]`);
  });
  it("of JSON say what is wrong", () => {
    const json = guarded.toJSON();
    const read = (over: object) => () => DecisionHead.fromJSON({ ...json, ...over });
    expect(read({ input: "scores" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`input\` "logits" or "probabilities", got "scores"]`);
    expect(read({ guarantee: "accepted" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`calibrationRows\` at least 800, the rows of \`conformal\` and \`threshold\`, got 400]`);
    expect(read({ threshold: { ...json.threshold, n: 399 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`pValues\` of 399 rows, as \`threshold\`, got 400]`);
    expect(read({ pValues: { ...json.pValues, n: 401, positiveInfinities: 1 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`pValues\` of 400 rows, as \`threshold\`, got 401]`);
    expect(read({ detector: { ...json.detector, format: "odd" } })).toThrow("DecisionHead.fromJSON: in `detector`: DecisionHead.fromJSON: expected `format`");
    expect(read({ selection: { candidates: ["msp"], auroc: [1], rows: 1, outliers: 1 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`selection\`: expected \`candidates\` at least 2, got 1]`);
    expect(read({ selection: { candidates: ["msp", "energy"], auroc: [1, 2], rows: 1, outliers: 1 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`selection\`: expected \`auroc\` 2 numbers in [0, 1], got [1,2]]`);
    expect(read({ scorer: { format: "odd" } })).toThrow("DecisionHead.fromJSON: in `scorer`: scorerFromJSON: expected `format`");
  });
});

describe("guarantees of a head with a detector", () => {
  it("name their rows, and what is not promised", () => {
    expect(guarded.guarantees).toMatchInlineSnapshot(`
      [
        {
          "assumes": [
            "new rows are exchangeable with the calibration rows (drawn from the same source)",
            "no labelled row trained the model or served another choice, and no calibration row fitted a detector that came from elsewhere",
          ],
          "attainable": true,
          "kind": "marginal coverage",
          "level": 0.9,
          "n": 400,
          "rows": "the 400 calibration rows (of 800, split with seed 4); what was fitted or chosen here saw only the other 400",
          "statement": "The set of a new row holds its true class with probability at least 90 %, over all rows together, flagged ones counted with the set they would get: an answer misses the true class for at most 10 % of all rows.",
        },
        {
          "assumes": [
            "calibration rows and new rows are independent draws from one source",
            "no labelled row trained the model or served another choice, and no calibration row fitted a detector that came from elsewhere",
          ],
          "attainable": true,
          "confidence": 0.9,
          "kind": "false-positive rate",
          "level": 0.1,
          "n": 400,
          "rows": "the 400 calibration rows (of 800, split with seed 4); what was fitted or chosen here saw only the other 400",
          "statement": "With probability at least 90 % over the drawing of the rows, at most 10 % of new rows like them are \`unknown\`.",
        },
      ]
    `);
    expect(guarded.notPromised).toMatchInlineSnapshot(`
      [
        "which share of rows unlike the calibration rows is flagged: the mahalanobis detector shows what it shows, and \`evaluate\` with \`outliers\` measures it on rows of one kind",
        "coverage for each class, each set size or each kind of row: \`evaluate\` shows it by size and class",
        "coverage among the rows with a single label",
        "the coverage of these very calibration rows: it is a mean over drawings of calibration rows; \`conformal.expectedCoverage\` gives its spread",
        "that the probabilities are right: they are calibrated on the fit rows, nothing is tested",
        "coverage among the rows that are answered: \`guarantee: "accepted"\` promises that",
      ]
    `);
    const accepted = DecisionHead.fit({ ...data, outliers: far, classes: CLASSES }, { guarantee: "accepted", confidence: "marginal", seed: 4 });
    expect(accepted.guarantees.map(({ kind, statement, level, n, rows, confidence }) => ({ kind, statement, level, n, rows, confidence }))).toMatchInlineSnapshot(`
      [
        {
          "confidence": undefined,
          "kind": "coverage among accepted",
          "level": 0.9,
          "n": 192,
          "rows": "the 192 accepted rows of the second part of 400 calibration rows (of 800, split with seed 4); what was fitted or chosen here saw only the other 400; the threshold comes from the 200 rows of the first part",
          "statement": "Among new rows that are answered (label or ambiguous), the set holds the true class with probability at least 90 %.",
        },
        {
          "confidence": undefined,
          "kind": "false-positive rate",
          "level": 0.05,
          "n": 200,
          "rows": "the 200 rows of the first part of 400 calibration rows (of 800, split with seed 4); what was fitted or chosen here saw only the other 400",
          "statement": "A new row like the calibration rows is \`unknown\` with probability at most 5 %, over drawings of the rows.",
        },
      ]
    `);
    expect(accepted.notPromised.slice(5)).toMatchInlineSnapshot(`
      [
        "coverage over all rows together, flagged ones included",
        "the false-positive rate of these very calibration rows: it is a mean over drawings of calibration rows",
      ]
    `);
    expect(DecisionHead.fit({ ...data, calibration: world(30, 5), classes: CLASSES }, { detector: "energy" }).guarantees.map(({ rows }) => rows)).toMatchInlineSnapshot(`
      [
        "the 30 calibration rows that were given; what was fitted or chosen here saw only 800 others",
        "the 30 calibration rows that were given; what was fitted or chosen here saw only 800 others",
      ]
    `);
  });
});

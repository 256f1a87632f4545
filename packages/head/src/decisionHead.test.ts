import { TemperatureScaling } from "@logits/calibration";
import { SplitConformal, coverageReport } from "@logits/conformal";
import { randomSource } from "@logits/tensor";
import { checkGuarantee, densenetCifar100, estimatorChecks, expectClose } from "@logits/testkit";
import { describe, expect, expectTypeOf, it } from "vitest";
import { DecisionHead, type Decision } from "./index.ts";

const CLASSES = ["cat", "dog", "bird"] as const;

/** Overconfident scores: labels from softmax(z / 2). */
function world(rows: number, classes: number, seed: number) {
  const random = randomSource(seed);
  const data = new Float32Array(rows * classes), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    let total = 0;
    for (let c = 0; c < classes; c++) total += Math.exp((data[n * classes + c] = 12 * (random.uniform() - 0.5)) / 2);
    let u = random.uniform() * total;
    labels[n] = classes - 1;
    for (let c = 0; c < classes - 1; c++) if ((u -= Math.exp(data[n * classes + c] / 2)) < 0) { labels[n] = c; break; }
  }
  return { logits: { dtype: "float32" as const, shape: [rows, classes], data }, labels: { dtype: "int32" as const, shape: [rows], data: labels } };
}

const data = world(600, 3, 1), probe = world(50, 3, 2).logits;
const head = DecisionHead.fit({ ...data, classes: CLASSES }, { seed: 4 });

/** A decision as numbers, for the batteries. */
function asNumbers(decisions: readonly Decision[]): { shape: number[]; data: number[] } {
  const rows = decisions.flatMap((d) => (d.kind === "label" ? [1, d.probability, d.label.length, 0, 0] : d.kind === "ambiguous" ? [2, ...d.probabilities, ...Array(4 - d.probabilities.length).fill(0)] : [3, 0, 0, 0, 0]));
  return { shape: [rows.length], data: rows };
}

describe("DecisionHead", () => {
  it("is a temperature of the fit rows and conformal scores of the calibration rows, and no row is both", () => {
    const order = randomSource(4).permutation(600);
    const rows = (from: number, to: number) => {
      const list = Array.from(order.subarray(from, to)).sort((a, b) => a - b);
      return { z: list.map((n) => Array.from(data.logits.data.subarray(3 * n, 3 * n + 3))), y: list.map((n) => data.labels.data[n]) };
    };
    const fit = rows(0, 300), calibration = rows(300, 600);
    const calibrator = TemperatureScaling.fit(fit.z, fit.y);
    expect(head.calibrator.toJSON()).toEqual(calibrator.toJSON());
    expect(head.conformal.toJSON()).toEqual(SplitConformal.fit(calibrator.transform(calibration.z), calibration.y).toJSON());
  });

  it("decides by the size of the set, most probable first", () => {
    const sets = head.conformal.predictionSet(head.calibrator.transform(probe), { alpha: 0.1 });
    const p = head.calibrator.probabilities(probe).data;
    const decisions = head.decideAll(probe);
    expect(new Set(decisions.map(({ kind }) => kind))).toEqual(new Set(["label", "ambiguous"]));
    decisions.forEach((decision, n) => {
      const set = sets.labels(n).sort((a, b) => p[3 * n + b] - p[3 * n + a]);
      const names = set.map((c) => CLASSES[c]);
      if (decision.kind === "label") {
        expect([decision.label, decision.set]).toEqual([names[0], names]);
        expectClose(decision.probability, p[3 * n + set[0]], { rtol: 1e-5 }); // z / T rounded once more
      } else if (decision.kind === "ambiguous") {
        expect(decision.set).toEqual(names);
        expectClose(decision.probabilities, set.map((c) => p[3 * n + c]), { rtol: 1e-5 });
      } else throw new Error(decision.kind);
    });
  });

  it("decides a row alone as in a batch", () => {
    const decisions = head.decideAll(probe);
    decisions.forEach((decision, n) => expect(head.decide(probe.data.subarray(3 * n, 3 * n + 3))).toEqual(decision));
    const alone = DecisionHead.fit({ ...data, classes: CLASSES }, { method: "aps" });
    alone.decideAll(probe, { ids: Int32Array.from({ length: 50 }, (_, n) => 7 * n) }).forEach((decision, n) => expect(alone.decide(probe.data.subarray(3 * n, 3 * n + 3), { ids: [7 * n] })).toEqual(decision));
  });

  it("takes another alpha at decision", () => {
    const sizes = [0.5, 0.1, 0.01].map((alpha) => head.decideAll(probe, { alpha }).reduce((sum, d) => sum + (d.kind === "label" || d.kind === "ambiguous" ? d.set.length : 0), 0));
    expect(sizes[0]).toBeLessThan(sizes[1]);
    expect(sizes[1]).toBeLessThan(sizes[2]);
  });

  it("says invalid where the scores are no distribution, and leaves the other rows alone", () => {
    const good = [3, 0, -1];
    const decisions = head.decideAll([good, [0, NaN, 1], [Infinity, 0, 0], [-Infinity, -Infinity, -Infinity], good, [0, -Infinity, -Infinity]]);
    expect(decisions.map(({ kind }) => kind)).toEqual(["label", "invalid", "invalid", "invalid", "label", "label"]);
    expect(decisions.slice(1, 4)).toEqual(["NaN in column 1", "Infinity in column 0", "no finite score"].map((text) => ({ kind: "invalid", why: { code: "NO_DISTRIBUTION", text } })));
    expect(decisions[0]).toEqual(head.decide(good));
    expect(head.decide([NaN, 0, 0]).kind).toBe("invalid");
    expect(head.decideAll({ data: new Float32Array(0), shape: [0, 3] })).toEqual([]);
  });

  it("knows its class names as types", () => {
    const decision = DecisionHead.fit({ ...data, classes: ["cat", "dog", "bird"] }).decide([1, 2, 3]);
    if (decision.kind === "label") expectTypeOf(decision.label).toEqualTypeOf<"cat" | "dog" | "bird">();
    expectTypeOf(DecisionHead.fromJSON).returns.toEqualTypeOf<DecisionHead>();
  });

  it.each(estimatorChecks<DecisionHead>({
    name: "DecisionHead",
    data: [data.logits, data.labels],
    fit: (logits, labels) => DecisionHead.fit({ logits, labels, classes: CLASSES }, { seed: 4 }),
    output: (fitted) => [asNumbers(fitted.decideAll(probe)), asNumbers(fitted.decideAll(probe, { alpha: 0.02 })), { shape: [3], data: [fitted.alpha, fitted.split, fitted.seed] }],
    fromJSON: DecisionHead.fromJSON,
    rowOrder: "matters", // the split goes by position
    wrongWidth: [(fitted) => fitted.decide([1, 2]), (fitted) => fitted.decideAll([[1, 2, 3, 4]])],
    base64: ["conformal.scores.data"],
  }))("$name", ({ run }) => run());

  it("takes calibration rows of their own: all other rows fit the calibrator then", () => {
    const calibration = world(200, 3, 9);
    const given = DecisionHead.fit({ ...data, classes: CLASSES, calibration });
    const calibrator = TemperatureScaling.fit(data.logits, data.labels);
    expect(given.calibrator.toJSON()).toEqual(calibrator.toJSON());
    expect(given.conformal.toJSON()).toEqual(SplitConformal.fit(calibrator.transform(calibration.logits), calibration.labels).toJSON());
    expect([given.split, given.guarantees[0].n, given.guarantees[0].rows]).toEqual(["given", 200, "the 200 calibration rows that were given; the calibrator saw 600 others"]);
    // An impossible label there is a row that no set covers.
    expect(DecisionHead.fit({ ...data, classes: CLASSES, calibration: { logits: [[0, 1, -Infinity]], labels: [2] } }).conformal.quantile(0.5)).toBe(1);
    const again = DecisionHead.fromJSON(JSON.parse(JSON.stringify(given)));
    expect(again.toJSON()).toEqual(given.toJSON());
    expect(again.decideAll(probe)).toEqual(given.decideAll(probe));
  });

  it("gives the same in pieces, and stops on abort", async () => {
    const shares: number[] = [];
    const fitted = await DecisionHead.fitAsync({ ...data, classes: CLASSES }, { seed: 4, onProgress: (share) => shares.push(share) });
    expect(fitted.toJSON()).toEqual(head.toJSON());
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
    await expect(DecisionHead.fitAsync({ ...data, classes: CLASSES }, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});

describe("guarantees", () => {
  it("name their rows", () => {
    expect(head.guarantees).toMatchInlineSnapshot(`
      [
        {
          "assumes": [
            "new rows are exchangeable with the calibration rows (drawn from the same source)",
            "no labelled row trained the model or served another choice",
          ],
          "attainable": true,
          "kind": "marginal coverage",
          "level": 0.9,
          "n": 300,
          "rows": "the 300 calibration rows (of 600, split with seed 4); the calibrator saw the other 300",
          "statement": "The set of a new row holds its true class with probability at least 90 %, over all rows together.",
        },
      ]
    `);
    expect(DecisionHead.fit({ ...data, classes: CLASSES }, { alpha: 0.001 }).guarantees[0].statement).toMatchInlineSnapshot(`"The set of a new row holds its true class with probability at least 99.9 %, over all rows together; 300 rows are too few for that, so every set holds all classes."`);
  });

  it("hold for the composed object, over fits and new rows", () => {
    checkGuarantee({
      name: "DecisionHead", repetitions: process.env.LOGITS_SLOW ? 10000 : 400, kind: "marginal mean", level: 0.1, side: "at most",
      simulate: (seed) => {
        const { logits, labels } = world(120, 4, 1000 + seed);
        const rows = (from: number, to: number) => ({ data: logits.data.subarray(4 * from, 4 * to), shape: [to - from, 4] });
        const fitted = DecisionHead.fit({ logits: rows(0, 100), labels: labels.data.subarray(0, 100), classes: ["a", "b", "c", "d"] }, { seed });
        const wrong = fitted.decideAll(rows(100, 120)).filter((d, n) => (d.kind === "label" || d.kind === "ambiguous") && !d.set.includes((["a", "b", "c", "d"] as const)[labels.data[100 + n]])).length;
        return { successes: wrong, trials: 20 };
      },
    });
  }, process.env.LOGITS_SLOW ? 3_600_000 : 60_000);

  it("hold on DenseNet-BC-100 on CIFAR-100", () => {
    const { logits, labels } = densenetCifar100();
    const classes = Array.from({ length: 100 }, (_, c) => `class ${c}`);
    const fitted = DecisionHead.fit({ logits: { data: logits.subarray(0, 500000), shape: [5000, 100] }, labels: labels.subarray(0, 5000), classes });
    expect([fitted.calibrator.n, fitted.conformal.n]).toEqual([2500, 2500]);
    const sets = fitted.conformal.predictionSet(fitted.calibrator.transform({ data: logits.subarray(500000), shape: [5000, 100] }));
    const [low, high] = fitted.conformal.expectedCoverage(0.1, 0.999).interval;
    // Beta interval of the calibration rows, and three standard errors of 5,000 new rows.
    expect(coverageReport(sets, labels.subarray(5000)).coverage).toBeGreaterThan(low - 0.013);
    expect(coverageReport(sets, labels.subarray(5000)).coverage).toBeLessThan(high + 0.013);
  });

  it("hold there with a detector, among accepted rows too", () => {
    const { logits, labels } = densenetCifar100();
    const classes = Array.from({ length: 100 }, (_, c) => `class ${c}`);
    const given = { logits: { data: logits.subarray(0, 500000), shape: [5000, 100] }, labels: labels.subarray(0, 5000), classes };
    const fresh = { logits: { data: logits.subarray(500000), shape: [5000, 100] }, labels: labels.subarray(5000) };
    for (const guarantee of ["all", "accepted"] as const) {
      const fitted = DecisionHead.fit(given, { detector: "energy", guarantee });
      const { falsePositives, coverage, accuracy } = fitted.evaluate(fresh), kept = coverage[guarantee]!;
      // Three standard errors of 5,000 new rows; the threshold keeps room for its confidence.
      expect(falsePositives!.rate!).toBeLessThan(0.05 + 3 * Math.sqrt((0.05 * 0.95) / 5000));
      const [low, high] = fitted.conformal.expectedCoverage(0.1, 0.999).interval;
      expect(kept.coverage!).toBeGreaterThan(low - 0.013);
      expect(kept.coverage!).toBeLessThan(high + 0.013);
      expect(accuracy.label.rate!).toBeGreaterThan(accuracy.all.rate!);
    }
  });
});

describe("messages", () => {
  const z = [[1, 0, 2], [0, 1, 1], [3, 1, 0], [0, 0, 1]], y = [0, 1, 2, 0];
  it("of a fit say what is wrong", () => {
    const fit = (over: object, options = {}) => () => DecisionHead.fit({ logits: z, labels: y, classes: CLASSES as readonly string[], ...over }, options);
    expect(fit({ logits: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` of shape [N, C], got [3]]`);
    expect(fit({ classes: ["a", "b"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`classes\` 3 different names, got 2]`);
    expect(fit({ classes: ["a", "b", "a"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`classes\` 3 different names, got "a" twice]`);
    expect(fit({ classes: undefined })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`classes\` 3 different names, got no list of strings]`);
    expect(fit({ labels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`labels\` of shape [4], got [1]]`);
    expect(fit({ labels: [0, 1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`labels\` in [0, 3), got 3 at index 3]`);
    expect(fit({ logits: [...z.slice(0, 3), [NaN, 0, 0]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` with rows that are distributions, got row 3 with NaN in column 0]`);
    expect(fit({ logits: [...z.slice(0, 3), [-Infinity, 0, 0]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`labels\` possible under the logits, got label 0 of row 3, whose score is -Infinity. No temperature makes it possible; raise the score (without the row the promise would be too good)]`);
    const p = [[0, 1, 0], [0.2, 0.5, 0.3], [0.9, 0.1, 0.0005], [0.25, 0.25, 0.5]];
    expect(fit({ logits: p })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` of scores before the softmax, got probabilities: each row >= 0 with a sum of 1. Pass \`input: "probabilities"\`, or \`input: "logits"\` if that is what they are]`);
    for (const input of ["logits", "probabilities"]) expect(fit({ logits: p }, { input })().input).toBe(input);
    // One row that is none, or one class: nothing to ask.
    for (const row of [[0.25, 0.25, 0.6], [-0.1, 0.6, 0.5]]) expect(fit({ logits: [...p, row], labels: [...y, 0] })().input).toBe("logits");
    expect(fit({ logits: [[1], [1]], labels: [0, 0], classes: ["a"] })().input).toBe("logits");
    expect(fit({}, { split: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`split\` in (0, 1), got 1]`);
    expect(fit({}, { split: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`split\` that leaves a row for the calibrator and one for the conformal scores, got 0.1 of 4 rows]`);
    expect(fit({}, { alpha: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`alpha\` in (0, 1), got 0]`);
    expect(fit({}, { seed: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: randomSource: expected \`seed\` an integer in [0, 2^53), got 0.5]`);
    expect(fit({ calibration: { logits: z, labels: y } }, { split: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`split\` nothing where \`calibration\` rows are given, got 0.5]`);
    expect(fit({ calibration: { logits: [[1, 2]], labels: [0] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration.logits\` of 3 classes on the last axis, got shape [1, 2]]`);
    expect(fit({ calibration: { logits: [[1, 2, NaN]], labels: [0] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration.logits\` with rows that are distributions, got row 0 with NaN in column 2]`);
    expect(fit({ calibration: { logits: z, labels: [0] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration.labels\` of shape [4], got [1]]`);
    expect(fit({ calibration: { logits: { data: new Float32Array(0), shape: [0, 3] }, labels: [] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration\` of at least one row, got none]`);
    expect(fit({}, { method: "knn" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`method\` "lac" or "aps" or "raps" or "saps" or "topk" or "margin" or "tree", got knn]`);
  });

  it("of a decision say what is wrong", () => {
    expect(() => head.decide([[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`logits\` of shape [C], got [1, 3]. For a batch use decideAll]`);
    expect(() => head.decide([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`logits\` of 3 classes on the last axis, got shape [2]]`);
    expect(() => head.decideAll([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAll: expected \`logits\` of shape [N, C], got [3]]`);
    expect(() => head.decide([1, 2, 3], { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`alpha\` in (0, 1), got 1]`);
    expect(() => DecisionHead.fit({ ...data, classes: CLASSES }, { method: "aps" }).decide([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decide: expected \`ids\` the id of the row, got none. Randomised sets draw by row id: pass one that no other row has]`);
  });

  it("of JSON say what is wrong", () => {
    const json = head.toJSON();
    expect(() => DecisionHead.fromJSON({ ...json, version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/head to read it]`);
    expect(() => DecisionHead.fromJSON({ ...json, classes: ["a", "b"] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`calibrator\` of 2 classes, as \`classes\` names, got 3]`);
    expect(() => DecisionHead.fromJSON({ ...json, calibrator: { ...json.calibrator, temperature: NaN } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`calibrator\`: TemperatureScaling.fromJSON: expected \`temperature\` a finite number in [0.00048828125, 2048], got NaN]`);
    expect(() => DecisionHead.fromJSON({ ...json, calibrator: { ...json.calibrator, classes: 4 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`calibrator\` of 3 classes, as \`classes\` names, got 4]`);
    expect(() => DecisionHead.fromJSON({ ...json, calibrationRows: 7 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`calibrationRows\` 300, the rows of \`conformal\`, got 7]`);
    expect(() => DecisionHead.fromJSON({ ...json, fitRows: 7 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`fitRows\` 300, the rows of \`calibrator\`, got 7]`);
    expect(() => DecisionHead.fromJSON({ ...json, split: "half" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`split\` a finite number in [0, 1], got "half"]`);
    expect(() => DecisionHead.fromJSON({ ...json, alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`alpha\` in (0, 1), got 1]`);
    const byClass = SplitConformal.fit([[1, 0, 2], [0, 1, 1], [3, 1, 0]], [0, 1, 2], { classGroups: "each" }).toJSON();
    expect(() => DecisionHead.fromJSON({ ...json, conformal: byClass })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`conformal\` of all rows and classes together, got one with groups or weights]`);
    expect(() => DecisionHead.fromJSON({ ...json, conformal: { ...json.conformal, scores: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`conformal\`: SplitConformal.fromJSON: expected \`scores\` a tensor of float32 and rank 1, got ""]`);
  });
});

import { coverageReport } from "@logits/conformal";
import { auroc } from "@logits/metrics";
import { clopperPearson } from "@logits/statistics";
import { testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead, type Decision } from "./index.ts";

const CLASSES = ["a", "b", "c"] as const;

function world(rows: number, seed: number, shift = 0) {
  const random = testRandom(seed);
  const features = new Float32Array(rows * 4), logits = new Float32Array(rows * 3), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const y = (labels[n] = random.integer(3));
    for (let f = 0; f < 4; f++) features[n * 4 + f] = (f === y ? 1.5 : 0) + random.normal() + (f === 3 ? shift : 0);
    for (let c = 0; c < 3; c++) logits[n * 3 + c] = 1.5 * features[n * 4 + c];
  }
  return { logits: { data: logits, shape: [rows, 3] }, features: { data: features, shape: [rows, 4] }, labels };
}

const head = DecisionHead.fit({ ...world(800, 1), classes: CLASSES }, { detector: "mahalanobis", maxFalsePositiveRate: 0.2, alpha: 0.2 });
const fresh = world(300, 2), { labels: _, ...far } = world(80, 3, 3);
fresh.logits.data[3 * 7] = NaN;
fresh.features.data[4 * 11] = Infinity;
far.features.data[0] = NaN;

describe("DecisionHead.evaluate", () => {
  const report = head.evaluate({ ...fresh, outliers: far });
  const decisions: Decision<(typeof CLASSES)[number]>[] = head.decideAll(fresh);
  const count = (kind: Decision["kind"]) => decisions.filter((d) => d.kind === kind).length;

  it("counts what decideAll decides", () => {
    expect(report.decisions).toEqual({ label: count("label"), ambiguous: count("ambiguous"), unknown: count("unknown"), invalid: 2 });
    expect([report.rows, report.invalid, report.alpha, report.level, report.maxFalsePositiveRate]).toEqual([300, 2, 0.2, 0.95, 0.2]);
    expect(report.falsePositives).toEqual({ count: count("unknown"), rows: 298, rate: count("unknown") / 298, interval: clopperPearson(count("unknown"), 298, 0.95) });
    const right = decisions.filter((d, n) => d.kind === "label" && d.label === CLASSES[fresh.labels[n]]).length;
    expect(report.accuracy.label).toMatchObject({ count: right, rows: count("label") });
    const answered = decisions.filter((d, n) => (d.kind === "label" || d.kind === "ambiguous") && d.set[0] === CLASSES[fresh.labels[n]]).length;
    expect(report.accuracy.answered).toMatchObject({ count: answered, rows: 300, rate: answered / 300 });
    expect(report.accuracy.all.count).toBeGreaterThan(answered);
  });

  it("gives coverage over all, accepted and single-label rows, by size and class", () => {
    const covered = (kinds: readonly string[]) => decisions.filter((d, n) => kinds.includes(d.kind) && "set" in d && (d.set as readonly string[]).includes(CLASSES[fresh.labels[n]])).length;
    expect(report.coverage.accepted).toMatchObject({ rows: count("label") + count("ambiguous"), covered: covered(["label", "ambiguous"]) });
    expect(report.coverage.label).toMatchObject({ rows: count("label"), covered: covered(["label"]), meanSize: 1 });
    const valid = Array.from({ length: 300 }, (_, n) => n).filter((n) => decisions[n].kind !== "invalid");
    const logits = { data: Float32Array.from(valid.flatMap((n) => Array.from(fresh.logits.data.subarray(3 * n, 3 * n + 3)))), shape: [valid.length, 3] };
    expect(report.coverage.all).toEqual(coverageReport(head.conformal.predictionSet(head.calibrator.transform(logits), { alpha: 0.2 }), valid.map((n) => fresh.labels[n])));
    expect(report.coverage.all!.byClass).toHaveLength(3);
    expect(head.evaluate(fresh, { alpha: 0.05 }).coverage.all!.meanSize).toBeGreaterThan(report.coverage.all!.meanSize);
  });

  it("measures the detection of rows known to be outside, both ways", () => {
    const detected = head.decideAll(far).filter(({ kind }) => kind === "unknown").length;
    expect(report.outliers).toMatchObject({ rows: 80, invalid: 1, detected: { count: detected, rows: 79, rate: detected / 79 } });
    const scores = (rows: typeof far, skip: readonly number[]) => Array.from(head.detector!.score(rows).data).filter((_, n) => !skip.includes(n));
    const inside = scores(fresh, [7, 11]), outside = scores(far, [0]);
    expect(report.outliers!.auroc).toBe(auroc([...inside, ...outside], [...inside.map(() => 0), ...outside.map(() => 1)]));
    const limit = outside.sort((a, b) => b - a)[Math.ceil(0.95 * 79) - 1], kept = inside.sort((a, b) => a - b)[Math.ceil(0.95 * 298) - 1];
    expect(report.outliers!.flaggedAt95Detected).toBe(inside.filter((s) => s >= limit).length / 298);
    expect(report.outliers!.keptAt95Kept).toBe(outside.filter((s) => s <= kept).length / 79);
    expect(report.outliers!.flaggedAt95Detected).not.toBe(report.outliers!.keptAt95Kept);
  });

  it("is null where there is nothing to count", () => {
    const plain = DecisionHead.fit({ logits: world(60, 5).logits, labels: world(60, 5).labels, classes: CLASSES });
    const { falsePositives, maxFalsePositiveRate, outliers, coverage } = plain.evaluate({ logits: [[NaN, 0, 0]], labels: [0], outliers: { logits: [[1, 2, 3]] } });
    expect([falsePositives, maxFalsePositiveRate, outliers, coverage]).toEqual([null, null, null, { all: null, accepted: null, label: null }]);
    expect(head.evaluate({ ...fresh, outliers: { logits: [[NaN, 0, 0]], features: [[0, 0, 0, 0]] } }).outliers).toEqual({ rows: 1, invalid: 1, detected: { count: 0, rows: 0, rate: null, interval: null }, auroc: null, flaggedAt95Detected: null, keptAt95Kept: null });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("says what is wrong", () => {
    expect(() => head.evaluate({ ...fresh, labels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.evaluate: expected \`labels\` of shape [300], got [1]]`);
    expect(() => head.evaluate({ ...fresh, labels: new Int32Array(300).fill(3) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.evaluate: expected \`labels\` in [0, 3), got 3 at index 0]`);
    expect(() => head.evaluate({ logits: fresh.logits, labels: fresh.labels })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.evaluate: expected \`features\` dense features, which the detector "mahalanobis" needs, got nothing]`);
    expect(() => head.evaluate({ ...fresh, outliers: { logits: fresh.logits } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.evaluate: expected \`outliers.features\` dense features, which the detector "mahalanobis" needs, got nothing]`);
    expect(() => head.evaluate(fresh, { level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.evaluate: expected \`level\` in (0, 1), got 1]`);
    expect(() => head.evaluate({ logits: { data: new Float32Array(0), shape: [0, 3] }, features: { data: new Float32Array(0), shape: [0, 4] }, labels: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.evaluate: expected \`rows\` at least one, got none]`);
  });
});

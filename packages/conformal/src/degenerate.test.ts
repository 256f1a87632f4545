import { randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { ConformalRegression, MultiLabelConformal, SplitConformal, clusterClasses, conformalRiskControl, coverageReport, learnThenTest, type SplitConformalOptions } from "./index.ts";

const random = randomSource(1);
const table = (rows: number, classes: number, value: () => number) => ({ shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, value) });
const spread = () => 6 * random.uniform();

/** Data of which nothing can be learned, or little. */
const DATA: Record<string, { logits: ReturnType<typeof table>; labels: Int32Array }> = {
  "one row": { logits: table(1, 3, spread), labels: Int32Array.of(2) },
  "one class": { logits: table(20, 1, spread), labels: new Int32Array(20) },
  "all equal": { logits: table(30, 4, () => 0), labels: Int32Array.from({ length: 30 }, (_, n) => n % 4) },
  "all correct and certain": { logits: { shape: [25, 3], data: Float32Array.from({ length: 75 }, (_, i) => (i % 3 === Math.floor(i / 3) % 3 ? 200 : 0)) }, labels: Int32Array.from({ length: 25 }, (_, n) => n % 3) },
  "all wrong and certain": { logits: { shape: [25, 3], data: Float32Array.from({ length: 75 }, (_, i) => (i % 3 === Math.floor(i / 3) % 3 ? 200 : 0)) }, labels: Int32Array.from({ length: 25 }, (_, n) => (n + 1) % 3) },
  "labels without probability": { logits: { shape: [12, 2], data: Float32Array.from({ length: 24 }, (_, i) => (i % 2 ? -Infinity : 0)) }, labels: new Int32Array(12).fill(1) },
  "one label of three": { logits: table(15, 3, spread), labels: new Int32Array(15).fill(1) },
};

describe.each(Object.entries(DATA))("%s", (_, { logits, labels }) => {
  const [rows, classes] = logits.shape;
  const kinds: SplitConformalOptions[] = [
    ...(["lac", "aps", "raps", "saps", "topk", "margin"] as const).flatMap((method) => [{ method }, { method, randomize: false }]),
    ...(classes > 1 ? [{ method: "tree" as const, parents: [...new Array<number>(classes).fill(classes), -1] }] : []),
    { classGroups: "each" }, { groups: new Int32Array(rows) }, { weights: new Float32Array(rows) }, { weights: new Float32Array(rows).fill(2) },
  ];

  it.each(kinds.map((options) => ({ name: JSON.stringify(options), options })))("SplitConformal $name gives sets and p-values, never NaN", ({ options }) => {
    const fitted = SplitConformal.fit(logits, labels, options);
    const own = { ids: Int32Array.from({ length: rows }, (_, n) => n), ...(options.groups !== undefined && { groups: new Int32Array(rows) }), ...(options.weights !== undefined && { weights: new Float32Array(rows).fill(2) }) };
    let before: Uint8Array | undefined;
    for (const alpha of [1, 0.9, 0.5, 0.1, 0.01, 0]) {
      // With quantiles by class the most probable class, which an empty set would get, need not be the next to come in.
      const allowEmpty = options.classGroups !== undefined, sets = fitted.predictionSet(logits, { alpha, allowEmpty, ...own });
      expect(sets.sizes.data.every((size) => size >= (allowEmpty ? 0 : 1) && size <= classes)).toBe(true);
      if (before) expect(sets.mask.data.every((inside, i) => inside >= before![i])).toBe(true);
      before = sets.mask.data;
      const { coverage, meanSize } = coverageReport(sets, labels);
      expect([coverage! >= 0, meanSize >= 0]).toEqual([true, true]);
    }
    expect(before!.every((inside) => inside === 1)).toBe(true);
    for (const smooth of [false, true]) expect(fitted.pValues(logits, { smooth, ...own }).data.every((p) => p > 0 && p <= 1)).toBe(true);
    if (options.weights === undefined) {
      for (const alpha of [0.5, 0.01]) {
        expect(fitted.quantile(alpha)).not.toBeNaN();
        const { mean, interval: [low, high] } = fitted.expectedCoverage(alpha);
        expect([low <= mean, mean <= high, mean >= 1 - alpha - 1e-12]).toEqual([true, true, true]);
      }
    }
    expect(SplitConformal.fromJSON(JSON.parse(JSON.stringify(fitted))).predictionSet(logits, { alpha: 0.3, ...own }).mask.data).toEqual(fitted.predictionSet(logits, { alpha: 0.3, ...own }).mask.data);
  });

  it("a penalty and clusters are chosen all the same", () => {
    for (const method of ["raps", "saps"] as const) {
      const tuned = SplitConformal.tune(logits, labels, { method });
      expect(tuned.penalty).toBeGreaterThanOrEqual(0);
      if (method === "raps") expect(tuned.freeRanks! >= 1 && tuned.freeRanks! <= classes).toBe(true);
      expect(SplitConformal.fit(logits, labels, tuned).n).toBe(rows);
    }
    expect(clusterClasses(logits, labels, { minimumRows: 1 }).data.every((k) => k >= 0 && k < classes)).toBe(true);
  });

  it("several labels and intervals too", () => {
    const targets = { shape: [rows, classes], data: Uint8Array.from({ length: rows * classes }, (_, i) => (i % classes === labels[Math.floor(i / classes)] ? 1 : 0)) };
    for (const promise of ["recall", "all"] as const) {
      const fitted = MultiLabelConformal.fit(logits, targets, { promise });
      for (const alpha of [0.05, 0.5, 0.95]) {
        expect(fitted.quantile(alpha)).not.toBeNaN();
        expect(fitted.predictionSet(logits, { alpha }).probabilities.data.every((p) => p >= 0 && p <= 1)).toBe(true);
      }
    }
    const y = Float32Array.from(labels), m = new Float32Array(rows).fill(1);
    for (const method of ["absolute", "normalized", "cqr", "jackknife+"] as const) {
      const own = method === "normalized" ? { scale: new Float32Array(rows).fill(0.5) } : {}, given = method === "cqr" ? { shape: [rows, 2], data: new Float32Array(2 * rows) } : m;
      const fitted = ConformalRegression.fit(given, y, { method, ...own });
      for (const alpha of [0, 0.1, 0.5, 1]) {
        const { low, high } = fitted.interval(method === "jackknife+" ? table(2, rows, () => 1) : given, { alpha, ...own });
        expect([...low.data, ...high.data].some(Number.isNaN)).toBe(false);
      }
    }
  });
});

describe("tables of losses", () => {
  it.each([["none lost", 0], ["all lost", 1], ["half", 0.5]] as const)("one row or equal rows, %s: a setting or none, p-values in (0, 1]", (_, loss) => {
    for (const rows of [1, 40]) {
      const losses = table(rows, 3, () => loss);
      for (const alpha of [0.01, 0.2, 0.9]) {
        const { index, bounds } = conformalRiskControl(losses, { alpha });
        expect(index === null ? bounds.every((bound) => bound > alpha) : bounds[index] <= alpha + 1e-9).toBe(true);
        for (const correction of ["fixed sequence", "bonferroni", "holm"] as const) expect(learnThenTest(losses, { alpha, correction }).pValues.every((p) => p > 0 && p <= 1)).toBe(true);
      }
    }
  });
});

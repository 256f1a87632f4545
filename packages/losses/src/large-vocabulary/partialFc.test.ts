import { randomSource } from "@logits/tensor";
import { expectClose, expectExact, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { arcFaceLoss, cosFaceLoss } from "../metric-learning/index.ts";
import { denseRows, hardestNegativesLoss, partialFcLoss, sampleClasses } from "./index.ts";

const random = testRandom(51);
const normals = (...shape: number[]): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => random.normal()) });
const say = (run: () => unknown): string => { try { run(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } return "nothing"; };

describe("partialFcLoss [paper:killing-two-birds-with-one-stone-efficient-and-robust]", () => {
  const x = normals(5, 4), w = normals(12, 4), labels = Int32Array.of(3, 11, 3, 0, 7), all = Int32Array.from({ length: 12 }, (_, c) => c);

  it("is the loss itself with all classes", () => {
    for (const [loss, options] of [[arcFaceLoss, { scale: 8 }], [cosFaceLoss, { scale: 8, margin: 0.1, reduction: "none" as const, weight: [1, 2, 0, 1, 3] }]] as const) {
      const want = loss.withGrad(x, w, labels, options), got = partialFcLoss(loss).withGrad(x, w, labels, { ...options, classes: all });
      expectExact(got.loss.data, want.loss.data);
      expectExact(partialFcLoss(loss)(x, w, labels, { ...options, classes: all }).data, want.loss.data);
      expectExact(got.grads.embeddings.data, want.grads.embeddings.data);
      expectExact(denseRows(got.grads.weights).data, want.grads.weights.data);
    }
  });

  it("is the loss on the vectors that take part: others are neither read nor moved", () => {
    const classes = sampleClasses(labels, 12, 6, randomSource(3)), spoiled = w.data.slice(), out = [...all].filter((c) => !classes.includes(c));
    for (const c of out) spoiled.fill(NaN, 4 * c, 4 * c + 4);
    const got = partialFcLoss(arcFaceLoss).withGrad(x, { data: spoiled, shape: [12, 4] }, labels, { classes, scale: 8 }), rows = [...classes].map((c) => Array.from(w.data.subarray(4 * c, 4 * c + 4)));
    const want = arcFaceLoss.withGrad(x, rows, labels.map((y) => classes.indexOf(y)), { scale: 8 });
    expectExact(got.loss.data, want.loss.data);
    expectExact(got.grads.weights.rows, classes);
    for (const c of out) expectExact(denseRows(got.grads.weights).row(c).data, [0, 0, 0, 0]);
    const some = partialFcLoss(arcFaceLoss)(x, w, labels.map((y, i) => (i === 1 ? -1 : y)), { classes, scale: 8, ignoreIndex: -1, reduction: "sum" }).item();
    expectClose(some, arcFaceLoss(x, w, labels, { scale: 8, reduction: "none" }).size === 5 ? arcFaceLoss(x, rows, labels.map((y) => classes.indexOf(y)), { scale: 8, reduction: "sum", where: [1, 0, 1, 1, 1] }).item() : 0, { rtol: 1e-6 });
  });

  it("samples the labels' classes always, and each other one as often", () => {
    const counts = new Int32Array(12), source = randomSource(8), runs = 3000;
    for (let i = 0; i < runs; i++) {
      const classes = sampleClasses(labels, 12, 7, source);
      expect(classes.length).toBe(7);
      expectExact(classes, [...new Set(classes)].sort((a, b) => a - b));
      classes.forEach((c) => counts[c]++);
    }
    for (const c of all) {
      if (labels.includes(c)) expect(counts[c]).toBe(runs);
      // 3 of 8: five standard errors of 3,000 draws are 133.
      else expect(Math.abs(counts[c] - (runs * 3) / 8)).toBeLessThan(133);
    }
    expectExact(sampleClasses(labels, 12, 0, source), [0, 3, 7, 11]);
    expectExact(sampleClasses(labels, 12, 12, source), all);
    expectExact(sampleClasses([], 3, 0, source), []);
  });

  it("refuses what does not fit", () => {
    const loss = partialFcLoss(arcFaceLoss);
    expect([
      say(() => loss(x, w, labels, { classes: Int32Array.of(0, 3, 7) })), say(() => loss.withGrad(x, w, labels, { classes: Int32Array.of(3, 3) })), say(() => loss(x, w, labels, { classes: Int32Array.of(0, 12) })), say(() => loss(x, [1], labels, { classes: all })),
      say(() => sampleClasses([3], 3, 1, randomSource(1))), say(() => sampleClasses([1], 3, 4, randomSource(1))), say(() => sampleClasses([0], 0, 0, randomSource(1))),
    ].join("\n")).toMatchInlineSnapshot(`
      "RangeError: partialFcLoss: expected \`labels\` among \`classes\`, got 11 at index 1
      RangeError: partialFcLoss.withGrad: expected \`classes[1]\` an integer in [4, 11], got 3
      RangeError: partialFcLoss: expected \`classes[1]\` an integer in [1, 11], got 12
      RangeError: partialFcLoss: expected \`weights\` of shape [C, F], got [1]
      RangeError: sampleClasses: expected \`labels\` in [0, 3), got 3 at index 0
      RangeError: sampleClasses: expected \`count\` an integer in [0, 3], got 4
      RangeError: sampleClasses: expected \`classes\` an integer in [1, 2147483647], got 0"
    `);
  });
});

describe("hardestNegativesLoss", () => {
  const positives = Uint8Array.from({ length: 40 }, (_, i) => Number([0, 9, 17, 21, 35, 38].includes(i)));
  /** The definition, with all irrelevant scores sorted. */
  const reference = (s: ArrayLike<number>, y: number, { count = 100, margin = 0.3, temperature = 0.1 }: any, relevant: (c: number) => boolean): number => {
    const hard = Array.from(s, (v, c) => [v, c]).filter(([, c]) => c !== y && !relevant(c)).sort((a, b) => b[0] - a[0]).slice(0, count).map(([v]) => v).filter((v) => v - s[y] + margin > 0), p = hard.map((v) => (temperature === Infinity ? 1 : Math.exp(v / temperature))), total = temperature === Infinity ? 1 : p.reduce((a, c) => a + c, 0);
    return hard.reduce((sum, v, k) => sum + (p[k] / total) * (v - s[y] + margin), 0);
  };
  it.each(lossChecks({
    name: "hardestNegativesLoss", loss: hardestNegativesLoss, labels: { argument: 1, classes: 8 }, reference: ([s, [y]], options) => reference(s, y, options, () => false), extreme: 5,
    cases: [["three", { count: 3 }], ["all, unweighted", { temperature: Infinity, margin: 1 }], ["soft", { temperature: 2, margin: 0.5, count: 4 }]].map(([name, options]) => ({ name: name as string, options: options as object, arguments: [normals(5, 8), { dtype: "int32", shape: [5], data: Int32Array.of(0, 7, 2, 2, 4) }] as LossArgument[] })),
    bound: { rtol: 1e-6, atol: 1e-7 }, gradientBound: { atol: 2e-5, rtol: 1e-5 }, differences: { step: 1e-6 },
  }))("[paper:ngame-negative-mining-aware-mini-batching-for-extreme-classification] $name", ({ run }) => run());

  it("[paper:ngame-negative-mining-aware-mini-batching-for-extreme-classification] never takes a relevant class", () => {
    const s = normals(5, 8), labels = [0, 1, 1, 5, 3], options = { positives: { data: positives, shape: [5, 8] }, count: 2, margin: 5, reduction: "none" as const }, { loss, grad } = hardestNegativesLoss.withGrad(s, labels, options);
    labels.forEach((y, i) => {
      expectClose(loss.data[i], reference(s.data.subarray(8 * i, 8 * i + 8), y, options, (c) => positives[8 * i + c] === 1), { rtol: 1e-6 });
      for (let c = 0; c < 8; c++) if (c !== y && positives[8 * i + c] === 1) expect(grad.at(i, c)).toBe(0);
      expectClose(grad.row(i).data.reduce((a, b) => a + b, 0), 0, { atol: 1e-6 });
    });
  });

  it("answers special rows, and says what it refuses", () => {
    const { loss, grad } = hardestNegativesLoss.withGrad([[NaN, 1], [5, 1], [1, -Infinity]], [1, 0, 0], { reduction: "none" });
    expectExact(loss.data, [NaN, 0, 0]);
    expectExact(grad.data, [NaN, NaN, 0, 0, 0, 0]);
    expect([say(() => hardestNegativesLoss([[1, 2]], [0], { count: 0 })), say(() => hardestNegativesLoss([[1, 2]], [0], { margin: -1 })), say(() => hardestNegativesLoss([[1, 2]], [0], { temperature: 0 })), say(() => hardestNegativesLoss([[1, 2]], [0], { positives: [[1, 0, 0]] }))].join("\n")).toMatchInlineSnapshot(`
      "RangeError: hardestNegativesLoss: expected \`count\` an integer in [1, 2147483647], got 0
      RangeError: hardestNegativesLoss: expected \`margin\` a finite number >= 0, got -1
      RangeError: hardestNegativesLoss: expected \`temperature\` a finite number > 0, got 0
      RangeError: hardestNegativesLoss: expected \`positives\` of shape [1, 2], got [1, 3]"
    `);
  });
});

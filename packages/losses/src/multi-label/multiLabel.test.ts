import { batchLossChecks, expectClose, expectExact, lossChecks, testRandom, type LossLike } from "@logits/testkit";
import { Tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import * as losses from "./index.ts";
import { elementRefs, rowRefs } from "./multiLabel.ref.ts";
import fixtures from "./fixtures/multiLabel.json" with { type: "json" };

const { anyLoss, asymmetricLoss, binaryCrossEntropy, crammerSingerLoss, entropyMaximizationLoss, hingeLoss, multilabelMarginLoss, qualityFocalLoss, sigmoidFocalLoss, varifocalLoss, westonWatkinsLoss } = losses;
const all = losses as unknown as Record<string, LossLike>;
const random = testRandom(5);
const column = (n: number, make: (i: number) => number): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape: [n], data: Float32Array.from({ length: n }, (_, i) => make(i)) });
const SOFT = [1, 0, 0.75, 0, 1, 0.25, 0.5, 1, 0], HARD = [1, 0, 1, 0, 1, 0, 0, 1, 0];

const options: Record<string, object[]> = {
  binaryCrossEntropy: [{}, { posWeight: 2.5, labelSmoothing: 0.2 }, { margin: 0.4 }],
  sigmoidFocalLoss: [{}, { alpha: null, gamma: 0.5 }, { gamma: 0 }],
  qualityFocalLoss: [{}, { beta: 1 }],
  varifocalLoss: [{}, { alpha: 0.5, gamma: 1 }],
  asymmetricLoss: [{}, { gammaPositive: 1, clip: 0 }, { gammaNegative: 2, gammaPositive: 1, clip: 0.1 }],
  entropyMaximizationLoss: [{}, { alpha: 0.5, beta: 0.7 }],
  hingeLoss: [{}, { power: 2 }, { margin: 0.3 }],
  modifiedHuberLoss: [{}],
  perceptronLoss: [{}],
  hingeEmbeddingLoss: [{}, { margin: 2, power: 2 }],
};

describe.each(Object.keys(elementRefs))("%s", (name) => {
  const targets = name === "entropyMaximizationLoss" ? [1, 0, -0.1, 0, 1, -0.4, 0, 1, 0] : name.startsWith("hinge") || /perceptron|modified/.test(name) ? HARD : SOFT;
  it.each(lossChecks({
    name,
    loss: all[name],
    cases: options[name].map((one) => ({ name: JSON.stringify(one), arguments: [column(9, () => 2 * random.normal()), column(9, (i) => targets[i])], options: one })),
    reference: ([[x], [t]], one) => elementRefs[name](x, t, one),
    bound: { rtol: 3e-7, atol: 1e-9 }, // float64 inside, one rounding
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());
});

describe.each(Object.keys(rowRefs))("%s", (name) => {
  const labelled = name !== "multilabelMarginLoss";
  it.each(lossChecks({
    name,
    loss: all[name],
    cases: [{}, { margin: 0.5 }, { power: 2 }].map((one) => ({
      name: JSON.stringify(one),
      arguments: [
        { dtype: "float32", shape: [6, 4], data: Float32Array.from({ length: 24 }, () => 2 * random.normal()) },
        labelled ? { dtype: "int32", shape: [6], data: Int32Array.from({ length: 6 }, () => random.integer(4)) } : { dtype: "float32", shape: [6, 4], data: Float32Array.from({ length: 24 }, () => random.integer(2)) },
      ],
      options: one,
    })),
    reference: ([z, t], one) => rowRefs[name](z, t, one),
    bound: { rtol: 3e-7, atol: 1e-9 },
    gradientBound: { atol: 2e-6, rtol: 1e-6 }, // differences of squares of scores of some units
    labels: labelled ? { argument: 1, classes: 4 } : undefined,
  }))("$name", ({ run }) => run());
});

describe("anyLoss [paper:anyloss-transforming-classification-metrics-into-loss-functions]", () => {
  const amplified = (x: number, slope: number): number => 1 / (1 + Math.exp(-slope * (1 / (1 + Math.exp(-x)) - 0.5)));
  const metrics: Record<string, (tp: number, fp: number, fn: number, tn: number, beta: number) => number> = {
    accuracy: (tp, fp, fn, tn) => (tp + tn) / (tp + fp + fn + tn),
    "f-score": (tp, fp, fn, _, beta) => ((1 + beta ** 2) * tp) / ((1 + beta ** 2) * tp + beta ** 2 * fn + fp),
    "balanced-accuracy": (tp, fp, fn, tn) => (tp / (tp + fn) + tn / (tn + fp)) / 2,
    "geometric-mean": (tp, fp, fn, tn) => Math.sqrt((tp / (tp + fn)) * (tn / (tn + fp))),
    matthews: (tp, fp, fn, tn) => ((tp + 1e-5) * (tn + 1e-5) - (fp + 1e-5) * (fn + 1e-5)) / Math.sqrt((tp + fp + 2e-5) * (tp + fn + 2e-5) * (tn + fp + 2e-5) * (tn + fn + 2e-5)),
  };
  const counts = (z: ArrayLike<number>, t: ArrayLike<number>, columns: number, c: number, slope: number): [number, number, number, number] => {
    const sums: [number, number, number, number] = [0, 0, 0, 0];
    for (let i = c; i < z.length; i += columns) {
      const a = amplified(z[i], slope);
      [a * t[i], a * (1 - t[i]), (1 - a) * t[i], (1 - a) * (1 - t[i])].forEach((v, k) => (sums[k] += v));
    }
    return sums;
  };
  const z = { dtype: "float32" as const, shape: [8, 2], data: Float32Array.from({ length: 16 }, () => 0.3 * random.normal()) }, t = { dtype: "float32" as const, shape: [8, 2], data: Float32Array.from({ length: 16 }, (_, i) => (i % 3 === 0 ? 1 : i % 5 === 0 ? 1 : 0)) };
  it.each(batchLossChecks({
    name: "anyLoss",
    loss: anyLoss,
    units: "fixed",
    cases: Object.keys(metrics).map((metric) => ({ name: metric, arguments: [z, t], options: { metric, beta: metric === "f-score" ? 2 : 1, amplification: 9 } })),
    reference: ([a, b], { metric, beta, amplification }) => [0, 1].map((c) => 1 - metrics[metric](...counts(a, b, 2, c, amplification), beta)),
    bound: { atol: 3e-7 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());

  it("becomes the metric of the decisions where it is steep", () => {
    const logits = [[3], [-2], [1], [-1], [2]], targets = [[1], [1], [0], [0], [1]]; // TP 2, FN 1, FP 1, TN 1
    for (const [metric, want] of [["accuracy", 3 / 5], ["f-score", 2 / 3], ["balanced-accuracy", (2 / 3 + 1 / 2) / 2], ["geometric-mean", Math.sqrt(1 / 3)], ["matthews", 1 / 6]] as const) {
      expectClose(anyLoss(logits, targets, { metric, amplification: 1e4 }).item(), 1 - want, { atol: 2e-5, label: metric }); // 1e-5 is Matthews' epsilon
    }
  });

  it("a label without positives that is counted: sensitivity 1", () => {
    const a = Array.from([1, -2], (x) => 1 / (1 + Math.exp(-73 * (1 / (1 + Math.exp(-x)) - 0.5)))), specificity = 1 - (a[0] + a[1]) / 2;
    expectClose(anyLoss([[1], [-2]], [[0], [0]], { metric: "balanced-accuracy", absent: "count" }).item(), 1 - (1 + specificity) / 2, { rtol: 1e-6 });
    expectClose(anyLoss([[1], [-2]], [[0], [0]], { metric: "geometric-mean", absent: "count" }).item(), 1 - Math.sqrt(specificity), { rtol: 1e-6 });
    expect(anyLoss.withGrad([[1], [-2]], [[0], [0]], { metric: "geometric-mean", absent: "count" }).grad.data.every((g) => g >= 0 && g < 1)).toBe(true);
  });

  it("counts add up over batches, and to the number of rows", () => {
    const parts = [0, 1].map((half) => counts(z.data.slice(8 * half, 8 * half + 8), t.data.slice(8 * half, 8 * half + 8), 2, 0, 73)), whole = counts(z.data, t.data, 2, 0, 73);
    expectClose(whole, whole.map((_, k) => parts[0][k] + parts[1][k]), { atol: 1e-12 });
    expectClose(whole.reduce((a, b) => a + b, 0), 8, { atol: 1e-12 });
    expectClose(anyLoss(z, t, { reduction: "none" }).at(0), 1 - metrics["f-score"](...whole, 1), { atol: 1e-6 });
  });
});

describe("limits", () => {
  const x = Float32Array.from({ length: 40 }, () => 3 * random.normal()), hard = x.map(() => random.integer(2)), soft = x.map(() => random.uniform());
  it("focal, quality focal and asymmetric losses without focusing are cross-entropy", () => {
    const want = binaryCrossEntropy(x, soft, { reduction: "none" }).data;
    expectClose(sigmoidFocalLoss(x, soft, { gamma: 0, alpha: null, reduction: "none" }).data, want, { ulp: 1 });
    expectClose(qualityFocalLoss(x, soft, { beta: 0, reduction: "none" }).data, want, { ulp: 1 });
    expectClose(asymmetricLoss(x, soft, { gammaNegative: 0, clip: 0, reduction: "none" }).data, want, { ulp: 1 });
    expectClose(varifocalLoss(x, hard, { alpha: 1, gamma: 0, reduction: "none" }).data, binaryCrossEntropy(x, hard, { reduction: "none" }).data, { ulp: 1 });
    expectClose(sigmoidFocalLoss(x, hard, { alpha: 0.5, reduction: "none" }).data, qualityFocalLoss(x, hard, { reduction: "none" }).data.map((v) => v / 2), { ulp: 2 });
  });
  it("the margin moves logits, and at the boundary the loss rises with it [paper:gridformer-point-grid-transformer-for-surface-reconstruction]", () => {
    expectClose(binaryCrossEntropy(x, hard, { margin: 0, reduction: "none" }).data, binaryCrossEntropy(x, hard, { reduction: "none" }).data.slice(), { ulp: 0 });
    expectClose(binaryCrossEntropy([0.4, -0.4], [1, 0], { margin: 0.4, reduction: "none" }).data, [Math.LN2, Math.LN2], { ulp: 1 });
    expectClose(binaryCrossEntropy.withGrad([1, 1], [1, 0], { margin: 0.4, reduction: "sum" }).grad.data, [1 / (1 + Math.exp(-0.6)) - 1, 1 / (1 + Math.exp(-1.4))], { ulp: 1 });
    const values = [0, 0.1, 0.4, 1, 2].map((margin) => binaryCrossEntropy([0], [1], { margin }).item());
    expect(values.every((v, i) => i === 0 || v > values[i - 1])).toBe(true);
  });
  it("unknown labels: gradient alpha p (1 - p) x, nothing where undecided, alpha 0 ignores them [paper:acknowledging-the-unknown-for-multi-label-learning-with-single]", () => {
    const { grad } = entropyMaximizationLoss.withGrad(x, new Float32Array(40), { alpha: 0.3, reduction: "sum" });
    expectClose(grad.data, Array.from(x, (v) => (0.3 * v) / (1 + Math.exp(-v)) / (1 + Math.exp(v))), { rtol: 3e-7 });
    expectExact(entropyMaximizationLoss.withGrad([0], [0]).grad.data, [0]);
    expectClose(entropyMaximizationLoss([0], [0]).item(), -0.2 * Math.LN2, { ulp: 1 });
    expectClose(entropyMaximizationLoss(x, hard, { alpha: 0, reduction: "sum" }).item(), binaryCrossEntropy(x, hard, { where: Uint8Array.from(hard), reduction: "sum" }).item(), { ulp: 1 });
  });
  it("the official gradient of the asymmetric loss takes the focusing factor as a constant", () => {
    for (let i = 0; i < x.length; i++) {
      const { grad } = asymmetricLoss.withGrad([x[i]], [hard[i]], { gradient: "official", gammaPositive: 1 }), p = 1 / (1 + Math.exp(-x[i])), over = Math.max(0, p - 0.05);
      expectClose(grad.item(), hard[i] === 1 ? -((1 - p) ** 2) : p > 0.05 ? (over ** 4 * p * (1 - p)) / (1 - over) : 0, { rtol: 1e-6, atol: 1e-12 });
    }
  });
  it("hinges are 0 exactly where every margin holds; C times sums, squares and limits [paper:an-architecture-combining-convolutional-neural-network-cnn-and-support]", () => {
    const z = [[3, 1.5, 0], [1, 0.5, 0.25]], kept = [0, 0];
    expectExact(westonWatkinsLoss(z, kept, { reduction: "none" }).data, [0, 0.75]);
    expectExact(crammerSingerLoss(z, kept, { reduction: "none" }).data, [0, 0.5]);
    expectExact(crammerSingerLoss([[2, 1.5, 0]], [2], { margin: 0 }).data, [2]); // the multiclass perceptron: max x - x_y
    const two = [[0.25, -0.5], [-1, 2], [0.3, 0.1]];
    expectClose(westonWatkinsLoss(two, [0, 0, 1], { reduction: "none" }).data, crammerSingerLoss(two, [0, 0, 1], { reduction: "none" }).data.slice(), { ulp: 0 }); // two classes: the same
    expectClose(multilabelMarginLoss([[2, 1.5, 1.25]], [[1, 0, 0]]).item(), westonWatkinsLoss([[2, 1.5, 1.25]], [0]).item() / 3, { ulp: 1 });
  });
  it("a squared hinge with a ridge is the objective of an L2-SVM [paper:a-neural-network-architecture-combining-gated-recurrent-unit-gru]", () => {
    const features = [[1, 2], [-1, 0.5], [0.25, -2]], w = [0.5, -0.25], y = [1, 0, 1], c = 5, scores = features.map(([a, b]) => a * w[0] + b * w[1]);
    const { loss, grad } = hingeLoss.withGrad(scores, y, { power: 2, reduction: "sum", upstream: [c] });
    const objective = (v: number[]): number => 0.5 * (v[0] ** 2 + v[1] ** 2) + c * features.reduce((sum, [a, b], i) => sum + Math.max(0, 1 - (2 * y[i] - 1) * (a * v[0] + b * v[1])) ** 2, 0);
    expectClose(0.5 * (w[0] ** 2 + w[1] ** 2) + c * loss.item(), objective(w), { rtol: 1e-6 });
    for (const k of [0, 1]) {
      const step = (h: number): number[] => w.map((v, j) => v + (j === k ? h : 0));
      expectClose(w[k] + features.reduce((sum, row, i) => sum + row[k] * grad.at(i), 0), (objective(step(1e-5)) - objective(step(-1e-5))) / 2e-5, { rtol: 1e-6 });
    }
  });
});

describe("special values", () => {
  it("keeps digits, impossible and NaN", () => {
    expectClose(binaryCrossEntropy([40, -40], [1, 0], { reduction: "none" }).data, [Math.exp(-40), Math.exp(-40)], { rtol: 2e-7 });
    expectExact(binaryCrossEntropy([-Infinity, Infinity, -Infinity, Infinity, NaN], [0, 1, 1, 0, 0.5], { reduction: "none" }).data, [0, 0, Infinity, Infinity, NaN]);
    expectExact(sigmoidFocalLoss.withGrad([-Infinity, 200], [0, 1], { gamma: 0.5, reduction: "none" }).grad.data.map((g) => g + 0), [0, 0]);
    // Wrong and certain: the slope of cross-entropy times the weight, whatever the focusing.
    for (const [loss, wanted] of [[sigmoidFocalLoss, [-0.25, 0.75]], [qualityFocalLoss, [-1, 1]], [varifocalLoss, [-1, 0.75]], [asymmetricLoss, [-1, 0]]] as const) expectExact(loss.withGrad([-Infinity, Infinity], [1, 0], { reduction: "sum" }).grad.data, wanted);
    expectExact(asymmetricLoss.withGrad([-Infinity, Infinity], [1, 0], { clip: 0, reduction: "sum" }).grad.data, [-1, 1]);
    expectExact(binaryCrossEntropy([NaN, 1, -1], [1, -1, 0.5], { ignoreIndex: -1, where: [0, 1, 1], reduction: "none" }).data.map(Math.sign), [0, 0, 1]);
    expectExact(westonWatkinsLoss([[NaN, 1, 2]], [1]).data, [NaN]);
    expectExact(crammerSingerLoss([[NaN, 1, 2]], [1]).data, [NaN]);
    expectExact(crammerSingerLoss([[5]], [0]).data, [0]);
    expectExact(multilabelMarginLoss([[1, 2], [3, 4]], [[1, 1], [0, 0]], { reduction: "none" }).data, [0, 0]);
    expectExact(hingeLoss([1], [1]).data, [0]);
  });
  it("takes weights and masks of the leading axes", () => {
    const z = [[1, -2, 0.5], [0.25, 1, -1]], t = [[1, 0, 1], [0, 1, 1]], each = binaryCrossEntropy(z, t, { reduction: "none" });
    expect(each.shape).toEqual([2, 3]);
    expectClose(binaryCrossEntropy(z, t, { where: [0, 1] }).item(), (each.data[3] + each.data[4] + each.data[5]) / 3, { ulp: 1 });
    expectClose(binaryCrossEntropy(z, t, { weight: [[1, 0, 2], [0, 0, 0]] }).item(), (each.data[0] + 2 * each.data[2]) / 3, { ulp: 1 });
    expectClose(binaryCrossEntropy(z, t, { posWeight: [1, 5, 3], reduction: "none" }).data, Array.from(each.data, (v, i) => v * [1, 1, 3, 1, 5, 3][i]), { ulp: 1 });
  });
});

describe("fixtures of torch", () => {
  const kept = (list: readonly (number | string)[]): number[] => list.map(Number);
  it(`${fixtures.cases.length} cases at 1e-6`, () => {
    expect(fixtures.cases.length).toBeGreaterThanOrEqual(110);
    for (const [i, { loss, shape, x, y, ySet, options: given, value, grad }] of (fixtures.cases as unknown as { loss: string; shape: number[]; x: number[]; y: number[]; ySet: string; options: any; value: number; grad: number[] }[]).entries()) {
      const z = new Tensor("float32", shape, Float32Array.from(kept(x))), t = ySet === "labels" ? new Tensor("int32", shape.slice(0, 1), Int32Array.from(y)) : new Tensor("float32", shape, Float32Array.from(y));
      const got = all[loss].withGrad(z, t, given) as { loss: Tensor; grad: Tensor }, label = `${i}: ${loss} ${JSON.stringify(given)}`;
      expectClose(got.loss.item(), value, { atol: 1e-6, rtol: 1e-6, label });
      expectClose(got.grad.data, grad, { atol: 1e-6, rtol: 1e-6, label: `${label}, gradient` });
    }
  });
});

it("says what is wrong", () => {
  expect(() => binaryCrossEntropy([1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` of shape [2], got [1]]`);
  expect(() => binaryCrossEntropy([1, 2], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`targets\` in [0, 1], got 2 at index 1]`);
  expect(() => binaryCrossEntropy([[1, 2]], [[1, 0]], { posWeight: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`posWeight\` of shape [2], got [3]]`);
  expect(() => anyLoss([[1]], [[1]], { metric: "recall" as "accuracy" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: anyLoss: expected \`metric\` "accuracy", "balanced-accuracy", "f-score", "geometric-mean" or "matthews", got "recall"]`);
  expect(() => anyLoss([[1]], [[1]], { beta: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: anyLoss: expected \`beta\` a finite number >= 0, got NaN]`);
  expect(() => binaryCrossEntropy([1], [1], { labelSmoothing: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`labelSmoothing\` in [0, 1], got 2]`);
  expect(() => binaryCrossEntropy([1], [1], { margin: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: binaryCrossEntropy: expected \`margin\` a finite number >= 0, got NaN]`);
  expect(() => sigmoidFocalLoss.withGrad([1], [1], { gamma: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sigmoidFocalLoss.withGrad: expected \`gamma\` a finite number >= 0, got -1]`);
  expect(() => asymmetricLoss([1], [1], { gradient: "half" as "exact" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: asymmetricLoss: expected \`gradient\` "exact" or "official", got "half"]`);
  expect(() => crammerSingerLoss([[1, 2]], [0], { power: 3 as 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: crammerSingerLoss: expected \`power\` an integer in [1, 2], got 3]`);
  expect(() => multilabelMarginLoss([[1, 2]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: multilabelMarginLoss: expected \`targets\` of the shape of \`scores\`, got [1, 1] for [1, 2]]`);
});

import { f1Score } from "@logits/metrics";
import { Tensor } from "@logits/tensor";
import { batchLossChecks, expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type LossLike } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as losses from "./index.ts";
import { classRefs, clDiceRef, generalizedDiceRef, lovaszRef, sigmoidRef, softmaxRef, softSkeletonRef, structuralSimilarityRef } from "./segmentation.ref.ts";
import fixtures from "./fixtures/segmentation.json" with { type: "json" };

const { boundaryLoss, clDiceLoss, diceLoss, generalizedDiceLoss, jaccardLoss, lovaszHingeLoss, lovaszSoftmaxLoss, matthewsLoss, selfAdjustingDiceLoss, signedDistance, structuralSimilarityLoss, tverskyLoss } = losses;
const all = losses as unknown as Record<string, LossLike>;
const random = testRandom(13);
type Plane = { dtype: "float32"; shape: number[]; data: Float32Array };
const normal = (shape: number[], scale = 1): Plane => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * random.normal()) });
const bits = (shape: number[]): Plane => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.integer(2)) });
const labels = (shape: number[], classes: number): { dtype: "int32"; shape: number[]; data: Int32Array } => ({ dtype: "int32", shape, data: Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i < classes ? i : random.integer(classes))) });
const column = (values: ArrayLike<number>, classes: number, c: number): number[] => Array.from(values).filter((_, i) => i % classes === c);
/** Probabilities of rows [n, classes], by softmax or sigmoid. */
const probabilities = (z: ArrayLike<number>, classes: number, softmax: boolean): number[] => (softmax ? Array.from({ length: z.length / classes }, (_, r) => softmaxRef(Array.from(z).slice(r * classes, (r + 1) * classes))).flat() : Array.from(z, sigmoidRef));
const oneHot = (y: ArrayLike<number>, classes: number): number[] => Array.from(y).flatMap((label) => Array.from({ length: classes }, (_, c) => (c === label ? 1 : 0)));
const valuesOf = (name: string, p: number[], t: number[], classes: number, options: any): { values: number[]; counts: number[] } => {
  const present = Array.from({ length: classes }, (_, c) => column(t, classes, c).some((v) => v > 0));
  return { values: present.map((on, c) => (on ? classRefs[name](column(p, classes, c), column(t, classes, c), options) : 0)), counts: present.map(Number) };
};

const options: Record<string, object[]> = {
  diceLoss: [{}, { squared: true, smooth: 1 }, { logarithm: true }],
  tverskyLoss: [{}, { alpha: 0.8, beta: 0.1, smooth: 0.5 }],
  jaccardLoss: [{}, { smooth: 1, logarithm: true }],
  focalTverskyLoss: [{}, { gamma: 2 }],
  logCoshDiceLoss: [{}],
  matthewsLoss: [{}, { epsilon: 0.1 }],
  lovaszSoftmaxLoss: [{}],
};

describe.each(Object.keys(classRefs))("%s", (name) => {
  const bound = { atol: 4e-7, rtol: 4e-7 }, gradientBound = { atol: 1e-6, rtol: 1e-6 };
  it.each(batchLossChecks({
    name,
    loss: all[name],
    units: "fixed",
    cases: options[name].map((one) => ({ name: `labels, ${JSON.stringify(one)}`, arguments: [normal([9, 3], 1.5), labels([9], 3)], options: one })),
    reference: ([z, y], one) => valuesOf(name, probabilities(z, 3, true), oneHot(y, 3), 3, one),
    bound, gradientBound,
    labels: { argument: 1, name: "targets", classes: 3 },
    extreme: name === "focalTverskyLoss" || JSON.stringify(options[name]).includes("logarithm") ? false : 1e4,
  }))("$name", ({ run }) => run());
  it.each(batchLossChecks({
    name,
    loss: all[name],
    units: "fixed",
    cases: [{ name: "masks", arguments: [normal([8, 2], 1.5), bits([8, 2])] }],
    reference: ([z, t], one) => valuesOf(name, probabilities(z, 2, false), Array.from(t), 2, one),
    bound, gradientBound,
    extreme: false,
  }))("$name", ({ run }) => run());
  // One value for each image and class: rows are images.
  it.each(batchLossChecks({
    name,
    loss: all[name],
    cases: [{ name: "per image", arguments: [normal([4, 5, 2], 1.5), { ...labels([4, 5], 2), data: Int32Array.from([0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]) }], options: { per: "image" } }],
    reference: ([z, y], one, [[images]]) => {
      const parts = Array.from({ length: images }, (_, m) => valuesOf(name, probabilities(z.slice(10 * m, 10 * m + 10), 2, true), oneHot(y.slice(5 * m, 5 * m + 5), 2), 2, one));
      return { values: parts.flatMap(({ values }) => values), counts: parts.flatMap(({ counts }) => counts) };
    },
    bound, gradientBound,
    extreme: false,
  }))("$name", ({ run }) => run());
});

describe("generalizedDiceLoss", () => {
  it.each(batchLossChecks({
    name: "generalizedDiceLoss",
    loss: generalizedDiceLoss,
    cases: [{ name: "per image", arguments: [normal([4, 6, 3]), labels([4, 6], 3)], options: { per: "image", smooth: 0.5 } }],
    reference: ([z, y], one, [[images]]) => Array.from({ length: images }, (_, m) => {
      const p = probabilities(z.slice(18 * m, 18 * m + 18), 3, true), t = oneHot(y.slice(6 * m, 6 * m + 6), 3);
      return generalizedDiceRef([0, 1, 2].map((c) => column(p, 3, c)), [0, 1, 2].map((c) => column(t, 3, c)), one);
    }),
    bound: { atol: 4e-7 },
    gradientBound: { atol: 1e-6 },
    extreme: false,
  }))("$name", ({ run }) => run());

  it("is one number for a batch; one class is Dice; an absent class counts as MONAI has it", () => {
    const z = [[1, 0, -1], [0.5, 1, 0], [-1, 2, 0]], y = [0, 1, 1];
    const value = generalizedDiceLoss(z, y, { reduction: "none" });
    expect(value.shape).toEqual([]);
    expectClose(generalizedDiceLoss([z], [y], { per: "image", reduction: "none" }).data, value.data.slice(), { ulp: 0 });
    expectClose(generalizedDiceLoss([[1], [2], [-1]], [1, 0, 1]).item(), diceLoss([[1], [2], [-1]], [1, 0, 1]).item(), { ulp: 1 });
    const p = z.flatMap((row) => softmaxRef(row)), g = [1, 1 / 4, 1], t = oneHot(y, 3);
    const total = (f: (i: number) => number): number => p.reduce((s, _, i) => s + g[i % 3] * f(i), 0);
    expectClose(generalizedDiceLoss(z, y, { absent: "count" }).item(), 1 - (2 * total((i) => p[i] * t[i])) / total((i) => p[i] + t[i]), { rtol: 1e-6 });
    expectClose(generalizedDiceLoss.withGrad(z, y, { absent: "count" }).grad.data, finiteDifferenceGradient((x) => {
      const q = probabilities(x, 3, true), of = (f: (i: number) => number): number => q.reduce((s, _, i) => s + g[i % 3] * f(i), 0);
      return 1 - (2 * of((i) => q[i] * t[i])) / of((i) => q[i] + t[i]);
    }, z.flat()), { atol: 1e-6 });
  });
});

describe("lovaszHingeLoss", () => {
  const errorsOf = (z: ArrayLike<number>, t: ArrayLike<number>): number[] => Array.from(z, (x, i) => 1 - (2 * t[i] - 1) * x);
  it.each(batchLossChecks({
    name: "lovaszHingeLoss",
    loss: lovaszHingeLoss,
    cases: [{ name: "per image", arguments: [normal([4, 5, 2]), bits([4, 5, 2])], options: { per: "image" } }],
    reference: ([z, t], _, [[images]]) => Array.from({ length: 2 * images }, (_v, u) => {
      const at = 10 * Math.floor(u / 2), part = column(t.slice(at, at + 10), 2, u % 2), errors = errorsOf(column(z.slice(at, at + 10), 2, u % 2), part);
      // relu after the order: negative errors come last, and count 0.
      return lovaszRef(errors.map((e) => Math.max(0, e)), part);
    }),
    bound: { atol: 1e-6, rtol: 4e-7 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());
});

describe("selfAdjustingDiceLoss [paper:dice-loss-for-data-imbalanced-nlp-tasks]", () => {
  const values = (n: number, make: () => number): Plane => ({ dtype: "float32", shape: [n], data: Float32Array.from({ length: n }, make) });
  it.each(lossChecks({
    name: "selfAdjustingDiceLoss",
    loss: selfAdjustingDiceLoss,
    cases: [{}, { alpha: 0.5, gamma: 0.1 }, { alpha: 0 }].map((one) => ({ name: JSON.stringify(one), arguments: [values(9, () => 2 * random.normal()), values(9, () => random.integer(2))], options: one })),
    reference: ([[x], [t]], { alpha = 1, gamma = 1 }) => {
      const a = sigmoidRef(-x) ** alpha * sigmoidRef(x);
      return 1 - (2 * a * t + gamma) / (a + t + gamma);
    },
    bound: { atol: 2e-7 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());

  it("on hard decisions Dice is one minus F1, Tversky at 1/2 is Dice, and smoothing fills an empty class", () => {
    const y = [0, 1, 2, 2, 1, 0, 2, 1], guess = [0, 1, 1, 2, 1, 0, 2, 0], hard = guess.map((c) => [0, 1, 2].map((k) => (k === c ? 1e4 : 0)));
    expectClose(diceLoss(hard, y, { reduction: "none" }).data, f1Score(guess, y, { average: "none" }).map((v) => 1 - v), { ulp: 1 });
    const z = normal([12, 3]), t = labels([12], 3);
    expectClose(tverskyLoss(z, t, { alpha: 0.5, beta: 0.5, reduction: "none" }).data, diceLoss(z, t, { reduction: "none" }).data.slice(), { ulp: 1 });
    const dice = diceLoss(z, t, { reduction: "none" }).data, jaccard = jaccardLoss(z, t, { reduction: "none" }).data;
    expectClose(jaccard, dice.map((v) => 1 - (1 - v) / (1 + v)), { atol: 2e-7 }); // J = D / (2 - D)
    expectClose(diceLoss([[0], [0]], [[0], [0]], { absent: "count", smooth: 1 }).item(), 1 - 1 / 2, { ulp: 1 });
    expectClose(selfAdjustingDiceLoss([0], [0]).item(), 1 - 1 / 1.25, { ulp: 1 });
  });

  it("turns where a positive is surer than 1 / (1 + alpha), as published", () => {
    const slope = (x: number, alpha: number): number => selfAdjustingDiceLoss.withGrad([x], [1], { alpha }).grad.item();
    expect([slope(-0.5, 1) < 0, slope(0.5, 1) > 0, slope(5, 0) < 0]).toEqual([true, true, true]);
  });
});

describe("boundaryLoss and signedDistance", () => {
  it.each(lossChecks({
    name: "boundaryLoss",
    loss: boundaryLoss,
    cases: [{ name: "three classes", arguments: [normal([6, 3]), normal([6, 3], 3)] }, { name: "one class", arguments: [normal([6, 1]), normal([6, 1], 3)] }],
    reference: ([z, d]) => (z.length === 1 ? [sigmoidRef(z[0])] : softmaxRef(z)).reduce((s, p, c) => s + p * d[c], 0),
    bound: { atol: 1e-6, rtol: 4e-7 },
    gradientBound: { atol: 2e-6 },
  }))("$name", ({ run }) => run());

  it("measures every pixel as brute force does", () => {
    for (const [height, width] of [[7, 9], [1, 12], [12, 1], [8, 8]]) {
      const mask = Uint8Array.from({ length: height * width }, () => (random.uniform() < 0.3 ? 1 : 0));
      [mask[0], mask[1]] = [1, 0];
      const nearest = (i: number, on: number): number => Math.min(...Array.from(mask.keys()).filter((j) => mask[j] === on).map((j) => Math.hypot(Math.floor(i / width) - Math.floor(j / width), (i % width) - (j % width))));
      expectClose(signedDistance({ data: mask, shape: [height, width] }).data, Array.from(mask, (on, i) => (on ? 1 - nearest(i, 0) : nearest(i, 1))), { ulp: 1 });
    }
    expectExact(signedDistance([[[0, 0], [0, 0]], [[1, 1], [1, 1]]]).data, new Float32Array(8));
  });
});

describe("structuralSimilarityLoss [paper:boundary-aware-segmentation-network-for-mobile-and-web-applications]", () => {
  const planes = (): Plane[] => [normal([3, 5, 4]), bits([3, 5, 4])];
  it.each(lossChecks({
    name: "structuralSimilarityLoss",
    loss: structuralSimilarityLoss,
    cases: [{ window: 3, sigma: 1 }, {}].map((one) => ({ name: JSON.stringify(one), arguments: planes(), options: one })),
    reference: ([x, t], one) => structuralSimilarityRef(Array.from(x, sigmoidRef), t, 5, 4, one),
    bound: { atol: 1e-6 },
    gradientBound: { atol: 1e-6 },
  }))("$name", ({ run }) => run());
  it("is 0 for a plane and itself; Dice is 2 J / (1 + J)", () => {
    const { data, shape } = bits([2, 6, 6]);
    expectClose(structuralSimilarityLoss({ data, shape }, { data, shape }, { activation: "none" }).item(), 0, { atol: 1e-7 });
    const z = { data: data.map((v) => (v ? 1e4 : -1e4)), shape: [72, 1] }, t = { data: bits([72]).data, shape: [72, 1] }, j = 1 - jaccardLoss(z, t).item();
    expectClose(1 - diceLoss(z, t).item(), (2 * j) / (1 + j), { rtol: 1e-6 });
  });
});

describe("clDiceLoss [paper:topomortar-a-dataset-to-evaluate-image-segmentation-methods-focused]", () => {
  it.each(lossChecks({
    name: "clDiceLoss",
    loss: clDiceLoss,
    cases: [{}, { iterations: 1, smooth: 0.1 }].map((one) => ({ name: JSON.stringify(one), arguments: [normal([3, 5, 4]), bits([3, 5, 4])], options: one })),
    reference: ([x, t], one) => clDiceRef(Array.from(x, sigmoidRef), Array.from(t), 4, one),
    bound: { atol: 1e-6 },
    gradientBound: { atol: 1e-6 },
    extreme: false, // saturated planes are full of ties, where the loss has a kink
  }))("$name", ({ run }) => run());
  it("is nearly 0 for a tube and itself, and sees a gap that Dice hardly sees", () => {
    const shape = [1, 7, 21], tube = Float32Array.from({ length: 147 }, (_, i) => (Math.abs(Math.floor(i / 21) - 3) <= 1 ? 1 : 0)), cut = tube.map((v, i) => (i % 21 === 10 ? 0 : v)), thin = tube.map((v, i) => (Math.floor(i / 21) === 2 ? 0 : v));
    const of = (data: Float32Array): number => clDiceLoss({ data, shape }, { data: tube, shape }, { activation: "none" }).item(), dice = (data: Float32Array): number => diceLoss({ data, shape: [147, 1] }, { data: tube, shape: [147, 1] }, { activation: "none" }).item();
    expectClose(of(tube), 0, { atol: 1e-6 });
    expect(dice(cut)).toBeLessThan(dice(thin));
    expect(of(cut)).toBeGreaterThan(of(thin));
    expectClose(softSkeletonRef(Array.from(tube), 21, 3).map((v, i) => (i % 21 > 1 && i % 21 < 19 ? v : 0)), tube.map((_, i) => (Math.floor(i / 21) === 3 && i % 21 > 1 && i % 21 < 19 ? 1 : 0)), { atol: 0 });
    // Skeleton recall is Tversky with alpha 0 and beta 1 against the tube around the skeleton.
    expectClose(tverskyLoss({ data: thin, shape: [147, 1] }, { data: tube, shape: [147, 1] }, { activation: "none", alpha: 0, beta: 1 }).item(), 1 - thin.reduce((a, b) => a + b, 0) / 63, { ulp: 1 });
  });
});

describe("layouts and special values", () => {
  it("[B, C, H, W] with axis 1 is [B, H, W, C]; a mask of one class may leave its axis out", () => {
    const z = normal([2, 3, 2, 2]), y = labels([2, 2, 2], 3), last = new Float32Array(24);
    for (let b = 0; b < 2; b++) for (let c = 0; c < 3; c++) for (let i = 0; i < 4; i++) last[(b * 4 + i) * 3 + c] = z.data[(b * 3 + c) * 4 + i];
    for (const name of Object.keys(classRefs)) {
      const a = all[name].withGrad(z, y, { axis: 1, reduction: "none" }) as any, b = all[name].withGrad({ data: last, shape: [2, 2, 2, 3] }, y, { reduction: "none" }) as any;
      expectClose(a.loss.data, b.loss.data, { atol: 0 });
      for (let k = 0; k < 24; k++) expect(a.grad.data[(Math.floor(k / 12) * 3 + (k % 3)) * 4 + (Math.floor(k / 3) % 4)]).toBe(b.grad.data[k]);
    }
    expectClose(diceLoss({ data: z.data.slice(0, 8), shape: [2, 1, 2, 2] }, { data: new Int32Array([1, 0, 0, 1, 1, 1, 0, 0]), shape: [2, 2, 2] }, { axis: 1 }).item(), diceLoss({ data: z.data.slice(0, 8), shape: [8, 1] }, { data: Float32Array.of(1, 0, 0, 1, 1, 1, 0, 0), shape: [8, 1] }).item(), { atol: 0 });
  });
  it("skips, counts or zeroes a class that is absent", () => {
    const z = [[2, 0, -1], [0, 1, 0.5]], y = [0, 1], each = diceLoss(z, y, { reduction: "none", absent: "count" }).data;
    expectClose(diceLoss(z, y).item(), (each[0] + each[1]) / 2, { ulp: 1 });
    expectClose(diceLoss(z, y, { absent: "count" }).item(), (each[0] + each[1] + 1) / 3, { ulp: 1 });
    expectClose(diceLoss(z, y, { absent: "zero" }).item(), (each[0] + each[1]) / 3, { ulp: 1 });
    expectClose(lovaszSoftmaxLoss(z, y, { absent: "zero" }).item(), (2 * lovaszSoftmaxLoss(z, y).item()) / 3, { ulp: 1 });
    expectExact(diceLoss.withGrad(z, [-1, -1], { ignoreIndex: -1 }).grad.data, new Float32Array(6));
    expectClose(diceLoss(z, y, { weight: [3, 1, 5] }).item(), (3 * each[0] + each[1]) / 4, { ulp: 1 });
  });
  it("a mask drops pixels, also single ones of a class; NaN takes part only where it counts [paper:orthogonal-annotation-benefits-barely-supervised-medical-image-segmentation]", () => {
    const z = normal([6, 2]), t = bits([6, 2]), masked = { ...t, data: t.data.map((v, i) => (i === 3 ? -1 : v)) };
    t.data.set([1, 1], 0);
    masked.data.set([1, 1], 0);
    const p = Array.from(z.data, sigmoidRef), own = [1, 5, 7, 9, 11], value = 1 - (2 * own.reduce((s, i) => s + p[i] * t.data[i], 0)) / own.reduce((s, i) => s + p[i] + t.data[i], 0);
    expectClose(diceLoss(z, masked, { ignoreIndex: -1, reduction: "none" }).at(1), value, { rtol: 1e-6 });
    expectExact(diceLoss(z, t, { where: [1, 1, 1, 1, 1, 1], reduction: "none" }).data, diceLoss(z, t, { reduction: "none" }).data.slice());
    z.data[4] = NaN;
    expectExact(lovaszSoftmaxLoss(z, t, { reduction: "none" }).data.map((v) => (v === v ? 0 : NaN)), [NaN, 0]);
    expectExact(diceLoss(z, t, { reduction: "none" }).data.map((v) => (v === v ? 0 : NaN)), [NaN, 0]);
  });
  it("sure predictions stay finite: powers of 0, logarithms of nearly nothing, hinges without a step", () => {
    for (let n = 1; n < 40; n++) {
      const z = { data: new Float32Array(n).fill(50), shape: [n, 1] }, { loss, grad } = losses.focalTverskyLoss.withGrad(z, { data: new Float32Array(n).fill(1), shape: [n, 1] });
      expectExact(loss.data, [0]);
      expect(grad.data.every((g) => Math.abs(g) === 0)).toBe(true);
    }
    // Every pixel wrong: the ratio is 2 e^-50 (Dice) or e^-50 / 2 (Jaccard) of one pixel each.
    const [dice, jaccard] = [diceLoss, jaccardLoss].map((loss) => loss.withGrad([[-50], [50]], [[1], [0]], { logarithm: true }));
    expectClose(dice.loss.item(), 50, { rtol: 1e-7 });
    expectClose(jaccard.loss.item(), 50 + Math.LN2, { rtol: 1e-7 });
    expectClose(dice.grad.data, [-1, 0], { atol: 1e-7 });
    expectClose(diceLoss([[30]], [[1]], { logarithm: true }).item(), Math.exp(-30) / 2, { rtol: 2e-3 }); // p is a multiple of 2^-53: 1 - p has three digits left
    const sure = lovaszHingeLoss.withGrad([[-Infinity], [Infinity], [Infinity]], [[1], [0], [0]]);
    expectExact(sure.loss.data, [Infinity]);
    expectExact(sure.grad.data, [-1, 0, 0]);
  });
  it("probabilities that rounding left above 1 are 1; pixels that take no part are not read", () => {
    expectExact(losses.focalTverskyLoss([[1 + 1e-7], [7]], [1, 0], { activation: "none", where: [1, 0] }).data, [0]);
  });
  it("an empty batch of planes is 0, as with every loss", () => {
    const none = { data: new Float32Array(0), shape: [0, 3, 3] };
    for (const loss of [clDiceLoss, structuralSimilarityLoss]) expectExact(loss.withGrad(none, none).loss.data, [0]);
  });
  it("Lovasz of hard decisions is the Jaccard loss; a perfect image costs nothing", () => {
    const y = [0, 1, 1, 0, 1], guess = [0, 1, 0, 1, 1], hard = guess.map((c) => [0, 1].map((k) => (k === c ? 1e4 : 0)));
    expectClose(lovaszSoftmaxLoss(hard, y, { reduction: "none" }).data, jaccardLoss(hard, y, { reduction: "none" }).data.slice(), { atol: 1e-7 });
    expectExact(lovaszHingeLoss([[2], [-3]], [1, 0]).data, [0]);
    expectClose(lovaszHingeLoss([[2], [-1], [0.5]], [1, 0, 0]).item(), 0.75, { ulp: 1 });
    expectClose(matthewsLoss([[1e4], [-1e4]], [1, 0]).item(), 0, { atol: 4e-5 });
  });
});

describe("fixtures of torch", () => {
  it(`${fixtures.cases.length} cases at 1e-6`, () => {
    expect(fixtures.cases.length).toBeGreaterThanOrEqual(110);
    for (const [i, { loss, shape, x, y, yShape, options: given, value, grad }] of (fixtures.cases as unknown as { loss: string; shape: number[]; x: number[]; y: number[]; yShape: number[]; options: any; value: number; grad: number[] }[]).entries()) {
      const target = yShape.length < shape.length ? new Tensor("int32", yShape, Int32Array.from(y)) : new Tensor("float32", yShape, Float32Array.from(y)), label = `${i}: ${loss} ${JSON.stringify(given)} ${JSON.stringify(shape)}`;
      const got = all[loss].withGrad(new Tensor("float32", shape, Float32Array.from(x)), target, given) as { loss: Tensor; grad: Tensor };
      expectClose(got.loss.item(), value, { atol: 1e-6, rtol: 1e-6, label });
      expectClose(got.grad.data, grad, { atol: 1e-6, rtol: 1e-6, label: `${label}, gradient` });
    }
  });
});

it("says what is wrong", () => {
  expect(() => diceLoss([[1, 2]], [3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`targets\` in [0, 2), got 3 at index 0]`);
  expect(() => diceLoss([[1, 2]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`targets\` in [0, 1], got 2 at index 1]`);
  expect(() => diceLoss([[1, 2]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`targets\` of shape [1], got [2]]`);
  expect(() => diceLoss([[1, 2]], [0], { per: "class" as "image" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`per\` "batch" or "image", got "class"]`);
  expect(() => diceLoss([[1, 2]], [0], { smooth: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`smooth\` a finite number >= 0, got -1]`);
  expect(() => tverskyLoss([[1, 2]], [0], { weight: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tverskyLoss: expected \`weight\` of shape [2], got [3]]`);
  expect(() => structuralSimilarityLoss([[1, 2]], [[1, 0]], { window: 4 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: structuralSimilarityLoss: expected \`window\` an odd integer in [1, 9999], got 4]`);
  expect(() => clDiceLoss({ data: new Float32Array(0), shape: [1, 0, 3] }, { data: new Float32Array(0), shape: [1, 0, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: clDiceLoss: expected \`logits\` with at least one pixel, got shape [1, 0, 3]]`);
  expect(() => clDiceLoss([1, 2], [1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: clDiceLoss: expected \`logits\` of shape [..., H, W], got [2]]`);
  expect(() => boundaryLoss([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: boundaryLoss: expected \`distances\` of the shape of \`logits\`, got [1, 1] for [1, 2]]`);
  expect(() => diceLoss([[0.5], [-3]], [1, 0], { activation: "none" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: diceLoss: expected \`logits\` in [0, 1] with activation "none", got -3 at index 1]`);
  expect(() => clDiceLoss([[1, 2]], [[1, 0]], { smooth: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: clDiceLoss: expected \`smooth\` a finite number > 0, got 0]`);
  expect(() => selfAdjustingDiceLoss([1], [1], { alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selfAdjustingDiceLoss: expected \`alpha\` a finite number >= 0, got -1]`);
  expect(() => selfAdjustingDiceLoss([1], [1], { gamma: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: selfAdjustingDiceLoss: expected \`gamma\` a finite number >= 0, got NaN]`);
  expect(() => signedDistance([1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: signedDistance: expected \`masks\` of shape [..., H, W], got [2]]`);
});

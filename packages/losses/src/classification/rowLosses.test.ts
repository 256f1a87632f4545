import { expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type LossCase } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { dot, brierRef, cumulativeRef, elrRef, entropyRef, jensenShannonRef, labelCases, setRef, softmaxRef } from "./classification.ref.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { earlyLearningLoss, TemporalEnsemble } from "./earlyLearning.ts";
import { brierLoss, entropyLoss } from "./entropy.ts";
import { entmax15Loss, fenchelYoungLoss } from "./fenchelYoung.ts";
import { jensenShannonConsistencyLoss } from "./jensenShannon.ts";
import { cumulativeLinkLoss } from "./ordinal.ts";
import { partialLabelLoss } from "./partialLabels.ts";
import { smoothLabels } from "./softCrossEntropy.ts";

const random = testRandom(21), normals = (shape: readonly number[], scale = 2) => ({ dtype: "float32" as const, shape, data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => scale * random.normal()) });
const targets = (shape: readonly number[], most = 1) => ({ dtype: "float32" as const, shape, data: Float32Array.from({ length: shape[0] * shape[1] }, () => (most * random.uniform()) / shape[1]) });
const one = (name: string, options: object, ...args: LossCase["arguments"]): LossCase => ({ name, arguments: args, options });
// Values of a few terms of size 1, rounded once; central differences to 1e-9.
const bounds = { bound: { rtol: 1e-6, atol: 1e-6 }, gradientBound: { rtol: 2e-6, atol: 2e-6 } };

describe("entropyLoss", () => {
  it.each(lossChecks({ name: "entropyLoss", loss: entropyLoss, cases: [one("6 x 5", {}, normals([6, 5])), one("4 x 1", {}, normals([4, 1]))], reference: ([z]) => entropyRef(z), ...bounds, extreme: 100 }))("$name", ({ run }) => run());

  it("answers special rows", () => {
    expectExact(entropyLoss([[0, -Infinity], [NaN, 0], [-Infinity, -Infinity], [Infinity, 0]], { reduction: "none" }).data, [0, NaN, NaN, NaN]);
    expectExact(entropyLoss.withGrad([[0, -Infinity]]).grad.data.map(Math.abs), [0, 0]);
  });
});

describe("brierLoss", () => {
  it.each(lossChecks({ name: "brierLoss", loss: brierLoss, cases: [one("6 x 5", {}, normals([6, 5]), targets([6, 5], 2))], reference: ([z, t]) => brierRef(z, t), ...bounds }))("$name", ({ run }) => run());

  it("[paper:the-closeness-of-in-context-learning-and-weight-shifting] is half of it that softmax regression minimises: the gradient is the softmax's Jacobian times the residual", () => {
    const z = [0.5, -1, 2, 0], t = [0.1, 0.2, 0.3, 0.4], p = softmaxRef(z);
    const jacobian = p.map((a, i) => p.map((b, j) => (i === j ? a : 0) - a * b)), residual = p.map((a, i) => a - t[i]);
    expectClose(brierLoss.withGrad([z], [t]).grad.data, jacobian.map((row) => 2 * dot(row, residual)), { atol: 1e-7 });
    jacobian.forEach((row) => expect(Math.abs(row.reduce((a, b) => a + b))).toBeLessThan(1e-15));
  });
});

describe("partialLabelLoss", () => {
  const candidates = { dtype: "uint8" as const, shape: [6, 5], data: Uint8Array.from({ length: 30 }, (_, i) => (i % 5 === 2 || random.uniform() < 0.4 ? 1 : 0)) };
  it.each(lossChecks({ name: "partialLabelLoss", loss: partialLabelLoss, cases: [one("6 x 5", {}, normals([6, 5]), candidates)], reference: ([z, set]) => setRef(z, set), ...bounds, extreme: 100 }))("$name", ({ run }) => run());

  it("is cross-entropy for one candidate, 0 for all, infinite for none", () => {
    const z = [[0.5, -1, 2], [1, 1, 0]], { loss, grad } = partialLabelLoss.withGrad(z, [[0, 0, 1], [1, 0, 0]]), want = crossEntropy.withGrad(z, [2, 0]);
    expectClose(loss.item(), want.loss.item(), { rtol: 2e-7 });
    expectClose(grad.data, want.grad.data, { atol: 5e-8 });
    const all = partialLabelLoss.withGrad(z, [[1, 1, 1], [1, 1, 1]]);
    expect(Math.abs(all.loss.item())).toBe(0);
    expectClose(all.grad.data, new Float32Array(6), { atol: 3e-8 });
    expect(partialLabelLoss([[0, 0]], [[0, 0]]).item()).toBe(Infinity);
    expect(partialLabelLoss([[-Infinity, 0]], [[1, 0]]).item()).toBe(Infinity);
    expectClose(partialLabelLoss([[60, 0, 0]], [[1, 1, 0]]).item(), Math.exp(-60), { rtol: 1e-6 });
  });

  it("takes classes on another axis", () => {
    const z = normals([2, 3, 4]), mask = Uint8Array.from({ length: 24 }, (_, i) => (i + (i >> 2)) % 2), moved = <T extends Float32Array | Uint8Array>(x: T): T => x.map((_, i) => x[12 * Math.floor(i / 12) + 4 * (i % 3) + Math.floor((i % 12) / 3)]) as T;
    for (const axis of [1, -2]) expect(partialLabelLoss(z, { data: mask, shape: [2, 3, 4] }, { axis }).item()).toBe(partialLabelLoss({ data: moved(z.data), shape: [2, 4, 3] }, { data: moved(mask), shape: [2, 4, 3] }).item());
  });

  it("says what it refuses", () => {
    expect(() => partialLabelLoss([[0, 0]], [[1, 1, 1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: partialLabelLoss: expected \`candidates\` of the shape of \`logits\`, got [1, 3] for [1, 2]]`);
    expect(() => partialLabelLoss([[0, 0]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: partialLabelLoss: expected \`candidates\` of 0 and 1, got 2 at index 1]`);
  });
});

describe("jensenShannonConsistencyLoss", () => {
  it.each(lossChecks({ name: "jensenShannonConsistencyLoss", loss: jensenShannonConsistencyLoss, cases: [one("5 x 3 x 4", {}, normals([5, 3, 4])), one("4 x 1 x 3", {}, normals([4, 1, 3]))], reference: ([z]) => jensenShannonRef(z, z.length === 12 ? 4 : 3), ...bounds, extreme: 100 }))("$name", ({ run }) => run());

  it("is 0 to float64 where the views agree, and log 2 where two of them exclude each other", () => {
    expect(Math.abs(jensenShannonConsistencyLoss([[[1, 2, -Infinity], [1, 2, -Infinity]]]).item())).toBeLessThan(1e-15);
    expect(jensenShannonConsistencyLoss([[[0, -Infinity], [-Infinity, 0]]]).item()).toBe(Math.fround(Math.log(2)));
    for (const gap of [744, 744.5, 745, 746]) expectClose(jensenShannonConsistencyLoss([[[0, gap], [0, gap]], [[0, gap], [gap, 0]]], { reduction: "none" }).data, [0, Math.log(2)], { atol: 1e-15, rtol: 1e-7 });
    expect(jensenShannonConsistencyLoss([[[0, NaN], [0, 0]]]).item()).toBe(NaN);
    expect(jensenShannonConsistencyLoss([[[0, 0], [-Infinity, -Infinity]]]).item()).toBe(NaN);
  });

  it("says what it refuses", () => {
    expect(() => jensenShannonConsistencyLoss([[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: jensenShannonConsistencyLoss: expected \`views\` of shape [B, K, C], K at least 1, got [1, 2]]`);
  });
});

describe("earlyLearningLoss", () => {
  const [{ arguments: [z, y] }] = labelCases([[6, 5]]);
  it.each(lossChecks({
    name: "earlyLearningLoss",
    loss: earlyLearningLoss,
    cases: [{}, { lambda: 7 }].map((options) => one(`6 x 5 ${JSON.stringify(options)}`, options, z, y, targets([6, 5]))),
    reference: ([x, [label], t], options) => elrRef(x, label, t, options),
    labels: { argument: 1, classes: 5 },
    ...bounds,
    extreme: 100,
  }))("$name", ({ run }) => run());

  it("has the gradient of the paper [paper:early-learning-regularization-prevents-memorization-of-noisy-labels]: cross-entropy's, and -lambda p (t - <p, t>) / (1 - <p, t>)", () => {
    const x = [0.5, -1, 2], t = [0.6, 0.2, 0.1], p = softmaxRef(x), pt = dot(p, t);
    expectClose(earlyLearningLoss.withGrad([x], [1], [t]).grad.data, p.map((v, c) => v - Number(c === 1) - (3 * v * (t[c] - pt)) / (1 - pt)), { atol: 2e-7 });
    expectClose(earlyLearningLoss([x], [1], [t], { lambda: 0 }).item(), crossEntropy([x], [1]).item(), { rtol: 2e-7 });
  });

  it("stays finite where prediction and target are sure of the same class", () => {
    const { loss, grad } = earlyLearningLoss.withGrad([[200, 0]], [0], [[1, 0]]);
    expectClose(loss.item(), 3 * Math.log(1e-4), { rtol: 1e-6 });
    grad.data.forEach((g) => expect(Math.abs(g)).toBe(0));
  });

  it("says what it refuses", () => {
    expect(() => earlyLearningLoss([[1, 2]], [0], [[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: earlyLearningLoss: expected \`targets\` of the shape of \`logits\`, got [1, 3] for [1, 2]]`);
    expect(() => earlyLearningLoss([[1, 2]], [0], [[0.5, 0.5]], { lambda: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: earlyLearningLoss: expected \`lambda\` a finite number >= 0, got -1]`);
  });
});

describe("TemporalEnsemble", () => {
  it("averages what a row was predicted to be", () => {
    const ensemble = new TemporalEnsemble(3, 2, { beta: 0.5 }), p = softmaxRef([1, 0]), r = softmaxRef([0, 2]);
    expectClose(ensemble.update([2, 0], [[1, 0], [0, 2]]), { shape: [2, 2], data: [...p, ...r].map((v) => v / 2) }, { rtol: 3e-7 });
    expectClose(ensemble.update([2], [[0, 2]]).data, p.map((v, c) => v / 4 + r[c] / 2), { rtol: 3e-7 });
    expectClose(ensemble.targets.data, [...r.map((v) => v / 2), 0, 0, ...p.map((v, c) => v / 4 + r[c] / 2)], { rtol: 3e-7 });
    expectClose(new TemporalEnsemble(1, 2).update([0], [[50, 0]]).data, [0.3 * (1 - 1e-4), 0.3 * 1e-4], { rtol: 1e-5 });
  });

  it("says what it refuses", () => {
    const ensemble = new TemporalEnsemble(3, 2);
    expect(() => new TemporalEnsemble(0, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemporalEnsemble: expected \`rows\` an integer in [1, 2147483647], got 0]`);
    expect(() => new TemporalEnsemble(3, 2, { beta: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemporalEnsemble: expected \`beta\` in [0, 1), got 1]`);
    expect(() => ensemble.update([3], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemporalEnsemble.update: expected \`rows\` in [0, 3), got 3 at index 0]`);
    expect(() => ensemble.update([0], [[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemporalEnsemble.update: expected \`logits\` of shape [1, 2], got [1, 3]]`);
  });
});

describe("cumulativeLinkLoss", () => {
  const thresholds = { dtype: "float32" as const, shape: [3], data: Float32Array.of(-1, 0.25, 1.5) };
  it.each(lossChecks({
    name: "cumulativeLinkLoss",
    loss: cumulativeLinkLoss,
    cases: [one("8", {}, normals([8]), thresholds, { dtype: "int32", shape: [8], data: Int32Array.of(0, 1, 2, 3, 3, 2, 1, 0) })],
    shared: [1],
    reference: ([[s], t, [label]]) => cumulativeRef(s, t, label),
    differentiable: [{ argument: 0, read: ({ grads }) => grads.scores }, { argument: 1, read: ({ grads }) => grads.thresholds }],
    labels: { argument: 2, classes: 4 },
    ...bounds,
    extreme: 20,
  }))("$name", ({ run }) => run());

  it("keeps its digits far out and between thresholds that nearly touch", () => {
    expectClose(cumulativeLinkLoss([500], [-1, 1], [1]).item(), 500 - 1 - Math.log(1 - Math.exp(-2)), { rtol: 1e-6 });
    expectClose(cumulativeLinkLoss([0], [0, 2 ** -20], [1]).item(), Math.log(4) + 20 * Math.log(2), { rtol: 1e-6 });
    expect(cumulativeLinkLoss([3], [0], [1]).item()).toBe(Math.fround(Math.log1p(Math.exp(-3))));
  });

  it("says what it refuses", () => {
    expect(() => cumulativeLinkLoss([0], [1, 1], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: cumulativeLinkLoss: expected \`thresholds\` of shape [C - 1], finite and strictly increasing, got [1, 1]]`);
    expect(() => cumulativeLinkLoss([0], [], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: cumulativeLinkLoss: expected \`thresholds\` of shape [C - 1], finite and strictly increasing, got []]`);
  });
});

describe("fenchelYoungLoss", () => {
  const logSumExp = (x: Float64Array, p: Float64Array): number => {
    const e = x.map(Math.exp), sum = e.reduce((a, b) => a + b);
    p.set(e.map((v) => v / sum));
    return Math.log(sum);
  };
  it.each(lossChecks({
    name: "fenchelYoungLoss",
    loss: fenchelYoungLoss,
    cases: [one("6 x 5", { potential: logSumExp }, normals([6, 5]), targets([6, 5], 2))],
    reference: ([z, t]) => Math.log(Array.from(z, Math.exp).reduce((a, b) => a + b)) - dot(t, z),
    ...bounds,
    extreme: 100,
  }))("$name", ({ run }) => run());

  it("is crossEntropy, entmax15Loss and the perceptron's loss with their potentials", () => {
    const z = [[0.5, -1, 2], [1, 1.5, 0]], y = [2, 0], t = smoothLabels(y, 3, 0);
    expectClose(fenchelYoungLoss(z, t, { potential: logSumExp }).item(), crossEntropy(z, y).item(), { rtol: 2e-7 });
    expect(fenchelYoungLoss(z, t, { potential: (x, p) => ((p[x.indexOf(0)] = 1), 0) }).item()).toBe(0.25);
    const grid = (x: Float64Array, p: Float64Array): number => {
      // The largest <p, x> - Omega(p) by gradient steps of the loss of entmax itself.
      const { loss, grad } = entmax15Loss.withGrad([Array.from(x)], [0]);
      p.set(grad.data.map((g, c) => g + Number(c === 0)));
      return loss.item() + x[0];
    };
    expectClose(fenchelYoungLoss(z, t, { potential: grid }).item(), entmax15Loss(z, y).item(), { rtol: 3e-7 });
  });

  it("says what it refuses", () => {
    expect(() => fenchelYoungLoss([[1, 2]], [[1, 0]], {} as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: fenchelYoungLoss: expected \`potential\` a function, got undefined]`);
  });
});

it("finite differences of the whole chain: gradients of a mean with weights", () => {
  const [{ arguments: [z, y] }] = labelCases([[4, 3]]), weight = [1, 0, 2, 0.5];
  const want = finiteDifferenceGradient((x) => [0, 2, 3].reduce((sum, b) => sum + (weight[b] / 3.5) * entropyRef(x.slice(3 * b, 3 * b + 3)), 0), z.data);
  expectClose(entropyLoss.withGrad(z, { weight }).grad.data, want, { atol: 2e-7 });
  expect(y.shape).toEqual([4]);
});

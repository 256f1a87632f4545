import { batchLossChecks, expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type BatchLossSpec, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import {
  barlowTwinsRef, cacrRef, clipRef, cosentRef, decoupledContrastiveRef, decoupledSoftmaxRef, hardNegativeRef, infoNceRef, ntXentRef, pairedSquares, sigLipRef, softTopKRef, supConRef, uniformityRef, vicRegRef,
  weightedContrastiveRef, type Values,
} from "./contrastive.ref.ts";
import {
  alignmentLoss, barlowTwinsLoss, byolLoss, cacrLoss, clipLoss, cosentLoss, decoupledContrastiveLoss, decoupledSoftmaxLoss, hardNegativeContrastiveLoss, infoNceLoss, multipleNegativesRankingLoss, ntXentLoss, sigLipLoss,
  simSiamLoss, softTopK, softTopKGrad, softTopKLoss, supConLoss, uniformityLoss, vicRegLoss, weightedContrastiveLoss,
} from "./index.ts";

const random = testRandom(7);
const matrix = (n: number, f: number): LossArgument => ({ dtype: "float32", shape: [n, f], data: Float32Array.from({ length: n * f }, () => random.normal()) });
const labels = (...y: number[]): LossArgument => ({ dtype: "int32", shape: [y.length], data: Int32Array.from(y) });
// Cosines of float32 vectors are within about 2^-22; the logits are these over T (down to 0.1 here) and the gradient once more.
const bounds = { bound: { atol: 3e-6, rtol: 2e-6 }, gradientBound: { atol: 2e-5 } };
const references = { references: matrix(6, 3), referenceLabels: labels(0, 1, 2, 0, 5, 1) };
const sides = { differentiable: [{ argument: 0, read: (r: any) => r.grads[Object.keys(r.grads)[0]] }, { argument: 1, read: (r: any) => r.grads[Object.keys(r.grads)[1]] }] };

describe.each<[string, BatchLossSpec["loss"], (z: ArrayLike<number>, y: ArrayLike<number>, f: number, options: any) => Values, object[]]>([
  ["supConLoss", supConLoss, supConRef, [{}, { temperature: 0.5 }, references]],
  ["ntXentLoss", ntXentLoss, ntXentRef, [{}, { temperature: 0.5 }, references]],
  ["decoupledContrastiveLoss", decoupledContrastiveLoss, decoupledContrastiveRef, [{}, { temperature: 0.5 }, references]],
  ["hardNegativeContrastiveLoss", hardNegativeContrastiveLoss, hardNegativeRef, [{}, { beta: 0, tauPlus: 0 }, { temperature: 0.3, beta: 2, tauPlus: 0.2 }, references]],
  ["cacrLoss", cacrLoss, cacrRef, [{}, { positiveSharpness: 0, negativeSharpness: 0 }, { positiveSharpness: 2, negativeSharpness: 3 }, references]],
])("%s", (name, loss, reference, options) => {
  it.each(batchLossChecks({
    name,
    loss,
    cases: options.map((one, k) => ({ name: `case ${k}`, arguments: [matrix(7, 3), labels(0, 1, 0, 2, 1, 0, 3)], options: one })),
    reference: ([z, y], given) => reference(z, y, 3, given),
    labels: { argument: 1 },
    ...bounds,
  }))("$name", ({ run }) => run());

  it("agrees with the definition across tiles", () => {
    const n = 400, z = matrix(n, 3), y = labels(...Array.from({ length: n }, (_, i) => i % 57));
    const given = name === "cacrLoss" ? {} : { temperature: 0.5 }, { values } = reference(z.data, y.data, 3, given);
    expectClose(loss(z, y, { ...given, reduction: "none" }).data, values, { atol: 5e-6, rtol: 3e-6 });
  });
});

describe("supConLoss", () => {
  it("is NT-Xent where every row has one positive [paper:big-self-supervised-models-are-strong-semi-supervised-learners]", () => {
    const z = matrix(10, 5), y = labels(0, 1, 2, 3, 4, 0, 1, 2, 3, 4);
    const a = supConLoss.withGrad(z, y), b = ntXentLoss.withGrad(z, y);
    expectClose(a.loss.data, b.loss.data, { rtol: 1e-6 });
    expectClose(a.grad.data, b.grad.data, { atol: 2e-6 });
    // Identical embeddings: every one of 2N - 1 partners is as likely.
    expectClose(ntXentLoss({ ...z, data: new Float32Array(50).fill(0.3) } as LossArgument, y).item(), Math.log(9), { rtol: 1e-6 });
    expectClose(ntXentLoss([[1, 2], [3, -1]], [0, 0]).item(), 0, { atol: 0 });
  });

  it("does not depend on lengths, and its gradient is orthogonal to each row", () => {
    const z = matrix(6, 4), y = labels(0, 1, 0, 1, 2, 2), scaled = { ...z, data: z.data.map((v, k) => v * 2 ** (Math.floor(k / 4) - 3)) } as LossArgument;
    expectClose(supConLoss(scaled, y).item(), supConLoss(z, y).item(), { rtol: 1e-6 });
    const { grad } = supConLoss.withGrad(z, y);
    for (let i = 0; i < 6; i++) expectClose(grad.row(i).data.reduce((s, g, f) => s + g * z.data[i * 4 + f], 0), 0, { atol: 2e-6 });
  });

  it("answers special rows", () => {
    expectExact(supConLoss([[1, 0], [0, 1]], [0, 1]), { shape: [], data: [0] });
    const empty = { dtype: "float32", shape: [0, 3], data: new Float32Array(0) } as const;
    expectExact(supConLoss(empty, []), { shape: [], data: [0] });
    expect(supConLoss.withGrad([[1, NaN], [0, 1], [1, 1]], [0, 0, 1], { reduction: "none" }).loss.data[1]).toBe(NaN);
  });
});

describe("losses of labelled embeddings", () => {
  it("say what they refuse", () => {
    expect(() => supConLoss([1, 2], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`embeddings\` of shape [N, F], F >= 1, got [2]]`);
    expect(() => supConLoss([[1], [2]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`labels\` of shape [2], got [1]]`);
    expect(() => supConLoss([[], []], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`embeddings\` of shape [N, F], F >= 1, got [2, 0]]`);
    expect(() => supConLoss([[1], [2]], [0, 1], { references: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`references\` of shape [N, 1], got [1, 2]]`);
    expect(() => supConLoss([[1], [2]], [0, 1], { references: [[1]], referenceLabels: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`referenceLabels\` of shape [1], got [2]]`);
    expect(() => supConLoss([[1], [2]], [0, 1], { referenceLabels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`referenceLabels\` with \`references\`, got no references]`);
    expect(() => supConLoss([[1], [2]], [0, 1], { references: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: supConLoss: expected \`referenceLabels\` of shape [1], got [0]]`);
  });
});

describe("ntXentLoss", () => {
  it("is the mean over pairs, as optax and pytorch-metric-learning take it, with the number of positives as weight", () => {
    const z = matrix(7, 3), y = labels(0, 1, 0, 2, 1, 0, 3), weight = Float32Array.of(2, 1, 2, 0, 1, 2, 0), { values } = ntXentRef(z.data, y.data, 3, { temperature: 0.2 });
    // Rows without a partner (3 and 6) are negatives all the same: their weight would leave them out, so it is 1; having no positive they do not count.
    expectClose(ntXentLoss(z, y, { temperature: 0.2, weight: weight.map((w) => w || 1) }).item(), values.reduce((s, v, i) => s + weight[i] * v, 0) / 8, { rtol: 2e-6 });
  });

  it("leaves rows of one group out of the negatives [paper:g-simclr-self-supervised-contrastive-learning-with-guided-projection]", () => {
    const z = matrix(8, 3), y = labels(0, 1, 2, 3, 0, 1, 2, 3), groups = Int32Array.of(0, 0, 1, 2, 0, 0, 1, 2);
    const value = (x: ArrayLike<number>): number => ntXentRef(x, y.data, 3, { groups }).values.reduce((a, b) => a + b, 0) / 8;
    const { loss, grad } = ntXentLoss.withGrad(z, y, { groups });
    expectClose(loss.item(), value(z.data), { rtol: 2e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-5 });
    // Everything in one group: no negative is left.
    expectExact(ntXentLoss(z, y, { groups: new Int32Array(8) }), { shape: [], data: [0] });
  });

  it("says what it refuses", () => {
    expect(() => ntXentLoss([[1], [2]], [0, 0], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ntXentLoss: expected \`temperature\` a finite number > 0, got 0]`);
    expect(() => ntXentLoss([[1], [2]], [0, 0], { groups: [0, 1], references: [[1]], referenceLabels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ntXentLoss: expected \`groups\` without \`references\`, got both]`);
    expect(() => ntXentLoss([[1], [2]], [0, 0], { groups: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ntXentLoss: expected \`groups\` of shape [2], got [1]]`);
    expect(() => hardNegativeContrastiveLoss([[1], [2]], [0, 0], { beta: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hardNegativeContrastiveLoss: expected \`beta\` a finite number >= 0, got -1]`);
    expect(() => hardNegativeContrastiveLoss([[1], [2]], [0, 0], { tauPlus: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hardNegativeContrastiveLoss: expected \`tauPlus\` in [0, 1), got 1]`);
    expect(() => cacrLoss([[1], [2]], [0, 0], { positiveSharpness: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cacrLoss: expected \`positiveSharpness\` a finite number >= 0, got -1]`);
  });
});

describe("hardNegativeContrastiveLoss", () => {
  it("is NT-Xent without sharpness and correction", () => {
    const z = matrix(8, 3), y = labels(0, 1, 2, 3, 0, 1, 2, 3), options = { temperature: 0.4 };
    expectClose(hardNegativeContrastiveLoss(z, y, { ...options, beta: 0, tauPlus: 0 }).item(), ntXentLoss(z, y, options).item(), { rtol: 1e-6 });
  });

  it("keeps to the lower limit of the corrected negatives, with a gradient through the positive alone", () => {
    const z = { dtype: "float32", shape: [4, 2], data: Float32Array.of(1, 0, 1, 0.1, -1, 0, -1, 0.1) } as LossArgument, y = labels(0, 0, 1, 1);
    const value = (x: ArrayLike<number>): number => hardNegativeRef(x, y.data, 2, { tauPlus: 0.3 }).values.reduce((a, b) => a + b, 0) / 4;
    const { loss, grad } = hardNegativeContrastiveLoss.withGrad(z, y, { tauPlus: 0.3 });
    expectClose(loss.item(), Math.log1p(2 * Math.exp(-2) / Math.exp((2 * 1) / Math.sqrt(1.01))), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 1e-6 });
  });
});

describe("cacrLoss", () => {
  it("is the difference of mean costs without sharpness, and of the farthest and the nearest in the limit [paper:contrastive-attraction-and-contrastive-repulsion-for-representation-learning]", () => {
    const z = matrix(9, 3), y = labels(0, 1, 2, 0, 1, 2, 0, 1, 2), cost = (i: number, j: number): number => pairedSquares(z.data.subarray(3 * i, 3 * i + 3), z.data.subarray(3 * j, 3 * j + 3), 3)[0];
    const each = (own: boolean, i: number): number[] => Array.from({ length: 9 }, (_, j) => j).filter((j) => j !== i && (j % 3 === i % 3) === own).map((j) => cost(i, j));
    const mean = (x: number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
    expectClose(cacrLoss(z, y, { positiveSharpness: 0, negativeSharpness: 0, reduction: "none" }).data, Array.from({ length: 9 }, (_, i) => mean(each(true, i)) - mean(each(false, i))), { atol: 2e-6 });
    expectClose(cacrLoss(z, y, { positiveSharpness: 1e5, negativeSharpness: 1e5, reduction: "none" }).data, Array.from({ length: 9 }, (_, i) => Math.max(...each(true, i)) - Math.min(...each(false, i))), { atol: 1e-4 });
  });
});

describe("weightedContrastiveLoss", () => {
  it("is supConLoss where weights are equality of labels", () => {
    const z = matrix(7, 4), y = [0, 1, 0, 2, 1, 0, 3], a = y.map((u) => y.map((v) => (u === v ? 1 : 0)));
    for (const where of [undefined, Uint8Array.of(1, 0, 1, 1, 1, 1, 1)]) {
      const options = { reduction: "none", ...(where && { where }) } as const;
      const got = weightedContrastiveLoss.withGrad(z, a, options), want = supConLoss.withGrad(z, y, options);
      expectClose(got.loss.data, [...want.loss.data], { rtol: 1e-6 });
      expectClose(got.grad.data, [...want.grad.data], { atol: 1e-6 });
    }
  });

  it("has the value and gradient of the definition with any weights and candidates", () => {
    const n = 6, z = matrix(n, 3), a = Array.from({ length: n }, () => Array.from({ length: n }, () => Math.fround(random.uniform()))), mask = Uint8Array.from({ length: n * n }, (_, k) => (k % 5 === 0 ? 0 : 1));
    a[2] = [0, 0, 9, 0, 0, 0];
    const reference = (x: ArrayLike<number>): Values => weightedContrastiveRef(x, a, 3, { temperature: 0.3 }, (i, j) => mask[i * n + j] === 1);
    const value = (x: ArrayLike<number>): number => reference(x).values.reduce((s, v) => s + v, 0) / reference(x).counts.reduce((s, v) => s + v, 0);
    const { loss, grad } = weightedContrastiveLoss.withGrad(z, a, { temperature: 0.3, candidates: { dtype: "uint8", shape: [n, n], data: mask } });
    expectClose(loss.item(), value(z.data), { rtol: 2e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, z.data), { atol: 5e-6 });
  });

  it("says what it refuses", () => {
    expect(() => weightedContrastiveLoss([[1], [2]], [[1, 1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: weightedContrastiveLoss: expected \`affinities\` of shape [2, 2], got [1, 2]]`);
    expect(() => weightedContrastiveLoss([[1], [2]], [[0, -1], [1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: weightedContrastiveLoss: expected \`affinities\` finite and not negative, got -1 at row 0, column 1]`);
    expect(() => weightedContrastiveLoss([[1], [2]], [[0, 1], [1, 0]], { candidates: Uint8Array.of(1, 1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: weightedContrastiveLoss: expected \`candidates\` of shape [2, 2], got [2]]`);
  });
});

describe("infoNceLoss", () => {
  it.each(batchLossChecks({
    name: "infoNceLoss",
    loss: infoNceLoss,
    cases: [{}, { temperature: 0.3, similarity: "dot" }].map((options, k) => ({ name: `case ${k}`, arguments: [matrix(6, 4), matrix(6, 4)], options })),
    reference: ([q, k], options) => infoNceRef(q, k, 4, options),
    ...sides,
    ...bounds,
  }))("$name", ({ run }) => run());

  it.each([true, false])("takes further keys as negatives, inBatch %s", (inBatch) => {
    const q = matrix(4, 3), k = matrix(9, 3), options = { temperature: 0.2, inBatch }, mean = (x: number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
    const { loss, grads } = infoNceLoss.withGrad(q, k, options);
    expectClose(loss.item(), mean(infoNceRef(q.data, k.data, 3, options)), { rtol: 2e-6 });
    expectClose(grads.queries.data, finiteDifferenceGradient((x) => mean(infoNceRef(x, k.data, 3, options)), q.data), { atol: 1e-5 });
    expectClose(grads.keys.data, finiteDifferenceGradient((x) => mean(infoNceRef(q.data, x, 3, options)), k.data), { atol: 1e-5 });
    const dropped = infoNceLoss.withGrad(q, k, { ...options, where: Uint8Array.of(1, 0, 1, 1) });
    expectExact(dropped.grads.keys.row(1).data, [0, 0, 0]);
    const few = (x: LossArgument): LossArgument => ({ ...x, shape: [x.shape[0] - 1, 3], data: Float32Array.from([...x.data.subarray(0, 3), ...x.data.subarray(6)]) }) as LossArgument;
    expectExact(dropped.loss, infoNceLoss(few(q), few(k), options));
  });

  it("has soft targets, of which the own key alone is the plain loss", () => {
    const q = matrix(3, 4), k = matrix(5, 4), one = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]], soft = one.map((row) => row.map((v) => Math.fround(0.6 * v + 0.08)));
    expectExact(infoNceLoss(q, k, { targets: one }), infoNceLoss(q, k));
    const options = { temperature: 0.2, targets: soft }, value = (x: ArrayLike<number>, y: ArrayLike<number>): number => infoNceRef(x, y, 4, options).reduce((t, v) => t + v / 3, 0);
    const { loss, grads } = infoNceLoss.withGrad(q, k, options);
    expectClose(loss.item(), value(q.data, k.data), { rtol: 2e-6 });
    expectClose(grads.queries.data, finiteDifferenceGradient((x) => value(x, k.data), q.data), { atol: 1e-5 });
    expectClose(grads.keys.data, finiteDifferenceGradient((x) => value(q.data, x), k.data), { atol: 1e-5 });
  });

  it("is multipleNegativesRankingLoss at the scale 20", () => {
    const [a, b] = [matrix(5, 3), matrix(8, 3)];
    expectExact(multipleNegativesRankingLoss(a, b), infoNceLoss(a, b, { temperature: 0.05 }));
  });

  it("says what it refuses", () => {
    expect(() => infoNceLoss([[1], [2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`keys\` of shape [2 or more, 1], got [1, 1]]`);
    expect(() => infoNceLoss([[1]], [[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`keys\` of shape [N, 1], got [1, 2]]`);
    expect(() => infoNceLoss([[1]], [[1]], { targets: [[1, 0]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`targets\` of shape [1, 1], got [1, 2]]`);
    expect(() => infoNceLoss([[1]], [[1]], { targets: [[-1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`targets\` finite and not negative, got -1 at row 0, column 0]`);
    expect(() => infoNceLoss([[1]], [[1]], { similarity: "euclidean" as "dot" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`similarity\` "cosine" or "dot", got "euclidean"]`);
    expect(() => infoNceLoss([[]], [[]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: infoNceLoss: expected \`queries\` of shape [N, F], F >= 1, got [1, 0]]`);
  });
});

describe("clipLoss and sigLipLoss", () => {
  it.each([
    ...batchLossChecks({ name: "clipLoss", loss: clipLoss, cases: [{}, { logScale: 1 }].map((options, k) => ({ name: `clip ${k}`, arguments: [matrix(6, 4), matrix(6, 4)], options })), reference: ([a, b], { logScale }) => clipRef(a, b, 4, logScale), ...sides, ...bounds }),
    ...batchLossChecks({ name: "sigLipLoss", loss: sigLipLoss, cases: [{}, { logScale: 1, bias: -1 }].map((options, k) => ({ name: `sigLip ${k}`, arguments: [matrix(6, 4), matrix(6, 4)], options })), reference: ([a, b], { logScale, bias }) => sigLipRef(a, b, 4, logScale, bias), ...sides, ...bounds }),
  ])("$name", ({ run }) => run());

  it("has the gradients of scale and bias", () => {
    const [a, b] = [matrix(5, 3), matrix(5, 3)], upstream = Float32Array.of(1, -2, 0.5, 3, 1), up = (v: number[]): number => v.reduce((s, x, i) => s + upstream[i] * x, 0);
    const clip = clipLoss.withGrad(a, b, { logScale: 1.5, reduction: "none", upstream }), sig = sigLipLoss.withGrad(a, b, { logScale: 1.5, bias: -2, reduction: "none", upstream });
    expectClose(clip.grads.logScale.data, finiteDifferenceGradient(([t]) => up(clipRef(a.data, b.data, 3, t)), [1.5]), { rtol: 1e-5, atol: 1e-5 });
    expectClose(sig.grads.logScale.data, finiteDifferenceGradient(([t]) => up(sigLipRef(a.data, b.data, 3, t, -2)), [1.5]), { rtol: 1e-5, atol: 1e-5 });
    expectClose(sig.grads.bias.data, finiteDifferenceGradient(([t]) => up(sigLipRef(a.data, b.data, 3, 1.5, t)), [-2]), { rtol: 1e-5, atol: 1e-5 });
  });

  it("clipLoss is the mean of InfoNCE in both directions, and the same with the sides exchanged", () => {
    const [a, b] = [matrix(6, 3), matrix(6, 3)], options = { reduction: "none" } as const, t = 0.07;
    const both = [infoNceLoss(a, b, { ...options, temperature: t }), infoNceLoss(b, a, { ...options, temperature: t })];
    expectClose(clipLoss(a, b, options).data, [...both[0].data].map((v, i) => (v + both[1].data[i]) / 2), { rtol: 1e-6, atol: 1e-6 });
    expectExact(clipLoss(b, a, options).data, [...clipLoss(a, b, options).data]);
  });

  it("says what they refuse", () => {
    expect(() => clipLoss([[1]], [[1]], { logScale: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: clipLoss: expected \`logScale\` in [-80, 80], got NaN]`);
    expect(() => sigLipLoss([[1]], [[1]], { bias: Infinity })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sigLipLoss: expected \`bias\` finite, got Infinity]`);
    expect(() => clipLoss([[1]], [[1], [2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: clipLoss: expected \`texts\` of shape [1, 1], got [2, 1]]`);
  });
});

describe("losses of paired rows", () => {
  const both = { shared: [], bound: { atol: 1e-6 }, gradientBound: { atol: 1e-6 } };
  it.each([
    ...lossChecks({ name: "alignmentLoss", loss: alignmentLoss, cases: [{}, { alpha: 1 }, { alpha: 3 }].map((options, k) => ({ name: `alignment ${k}`, arguments: [matrix(5, 3), matrix(5, 3)], options })), reference: ([a, b], { alpha = 2 }) => pairedSquares(a, b, 3)[0] ** (alpha / 2), ...both, ...sides }),
    ...lossChecks({ name: "byolLoss", loss: byolLoss, cases: [{ name: "byol", arguments: [matrix(5, 3), matrix(5, 3)] }], reference: ([a, b]) => pairedSquares(a, b, 3)[0], ...both }),
    ...lossChecks({ name: "simSiamLoss", loss: simSiamLoss, cases: [{ name: "simSiam", arguments: [matrix(5, 3), matrix(5, 3)] }], reference: ([a, b]) => pairedSquares(a, b, 3)[0] / 2 - 1, ...both }),
  ])("$name", ({ run }) => run());

  it("answers special rows", () => {
    expectExact(byolLoss([[0, 0], [1, 0], [3, 0]], [[1, 0], [-2, 0], [1, 0]], { reduction: "none" }).data, [2, 4, 0]);
    expectExact(byolLoss.withGrad([[0, 0]], [[1, 0]]).grad.data, [0, 0]);
    expectExact(simSiamLoss([[0, 0]], [[1, 0]]).item(), 0);
    expectExact(byolLoss.withGrad([[NaN, 0]], [[1, 0]]).grad.data, [NaN, NaN]);
    expectExact(alignmentLoss.withGrad([[1, 2]], [[1, 2]], { alpha: 1 }).grads.first.data, [0, 0]);
  });
});

describe("uniformityLoss", () => {
  it.each(batchLossChecks({ name: "uniformityLoss", loss: uniformityLoss, units: "fixed", cases: [{}, { sharpness: 5 }].map((options, k) => ({ name: `case ${k}`, arguments: [matrix(7, 3)], options })), reference: ([z], { sharpness }) => [uniformityRef(z, 3, sharpness)], ...bounds }))("$name", ({ run }) => run());

  it("answers special batches and says what it refuses", () => {
    expectExact(uniformityLoss([[1, 2]]).item(), 0);
    expectClose(uniformityLoss([[1, 0], [-1, 0]]).item(), -8, { rtol: 1e-6 });
    expect(() => uniformityLoss([[1], [2]], { sharpness: 21 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: uniformityLoss: expected \`sharpness\` in (0, 20], got 21]`);
  });
});

describe("cosentLoss", () => {
  it.each(batchLossChecks({
    name: "cosentLoss", loss: cosentLoss, units: "fixed",
    cases: [{}, { scale: 3 }].map((options, k) => ({ name: `case ${k}`, arguments: [matrix(7, 3), matrix(7, 3), { dtype: "float32", shape: [7], data: Float32Array.of(1, 3, 2, 3, 0, 2, 2) }], options })),
    reference: ([a, b, y], { scale }) => [cosentRef(a, b, y, 3, scale)], ...sides, ...bounds, gradientBound: { atol: 1e-5, rtol: 1e-5 },
  }))("$name", ({ run }) => run());

  it("answers special batches and says what it refuses", () => {
    expectExact(cosentLoss([[1, 0], [1, 0]], [[1, 0], [0, 1]], [1, 1]).item(), 0);
    expectClose(cosentLoss([[1, 0], [1, 0]], [[1, 0], [0, 1]], [0, 1], { scale: 1e4 }).item(), 1e4, { rtol: 1e-7 });
    expect(() => cosentLoss([[1]], [[1]], [NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosentLoss: expected \`targets\` without NaN, got NaN at index 0]`);
    expect(() => cosentLoss([[1]], [[1]], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosentLoss: expected \`targets\` of shape [1], got [2]]`);
  });
});

describe("vicRegLoss and barlowTwinsLoss", () => {
  it.each([
    ...batchLossChecks({ name: "vicRegLoss", loss: vicRegLoss, units: "fixed", cases: [{}, { invariance: 0, variance: 1, covariance: 3 }].map((options, k) => ({ name: `vicReg ${k}`, arguments: [matrix(7, 3), matrix(7, 3)], options })), reference: ([a, b], options) => [vicRegRef(a, b, 3, options)], ...sides, bound: { rtol: 2e-6 }, gradientBound: { atol: 2e-5, rtol: 1e-5 } }),
    ...batchLossChecks({ name: "barlowTwinsLoss", loss: barlowTwinsLoss, units: "fixed", cases: [{}, { redundancy: 0.5 }].map((options, k) => ({ name: `barlow ${k}`, arguments: [matrix(7, 3), matrix(7, 3)], options })), reference: ([a, b], options) => [barlowTwinsRef(a, b, 3, options)], ...sides, bound: { rtol: 2e-6 }, gradientBound: { atol: 1e-5, rtol: 1e-5 } }),
  ])("$name", ({ run }) => run());

  it("answers special batches and says what they refuse", () => {
    expectExact(vicRegLoss([[1]], [[2]]).item(), 0);
    expectExact(vicRegLoss([[1], [-1]], [[1], [-1]]).item(), 0);
    expectClose(barlowTwinsLoss([[1], [-1]], [[-1], [1]]).item(), 4, { rtol: 3e-5 });
    expect(() => vicRegLoss([[1]], [[1]], { variance: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: vicRegLoss: expected \`variance\` a finite number >= 0, got -1]`);
    expect(() => barlowTwinsLoss([[1]], [[1]], { redundancy: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: barlowTwinsLoss: expected \`redundancy\` a finite number >= 0, got NaN]`);
  });
});

describe("decoupledSoftmaxLoss and softTopKLoss [paper:dual-encoders-for-extreme-multi-label-classification]", () => {
  const sets = (): LossArgument => ({ dtype: "uint8", shape: [5, 6], data: Uint8Array.from({ length: 30 }, (_, k) => (k % 6 === Math.floor(k / 6) || k % 4 === 0 ? 1 : 0)) });
  const set = { bound: { atol: 2e-6, rtol: 1e-6 }, gradientBound: { atol: 2e-6 } };
  it.each([
    ...lossChecks({ name: "decoupledSoftmaxLoss", loss: decoupledSoftmaxLoss, cases: [{ name: "decoupled", arguments: [matrix(5, 6), sets()] }], reference: ([z, t]) => decoupledSoftmaxRef(z, t), ...set }),
    ...lossChecks({ name: "softTopKLoss", loss: softTopKLoss as never, cases: [{ k: 2 }, { k: 3.5, alpha: 2 }].map((options, k) => ({ name: `soft ${k}`, arguments: [matrix(5, 6), sets()], options })), extreme: 30, reference: ([z, t], { k, alpha }) => {
      const y = softTopKRef(z, k, alpha), own = y.filter((_, j) => t[j] === 1);
      return own.reduce((s, v) => s - Math.log(v), 0) / own.length;
    }, ...set }),
  ])("$name", ({ run }) => run());

  it("is cross-entropy with one relevant class", () => {
    const z = [[1, 2, 0.5, -1]];
    expectClose(decoupledSoftmaxLoss(z, [[0, 1, 0, 0]]).item(), Math.log(z[0].reduce((s, v) => s + Math.exp(v), 0)) - 2, { rtol: 1e-6 });
  });

  it("softTopK sums to k, is the mask of the k largest in the limit, and has its gradient", () => {
    const z = matrix(4, 7), g = matrix(4, 7);
    for (const [k, alpha] of [[1, 1], [3, 2], [6.5, 0.5], [0.01, 1]]) {
      const y = softTopK(z, k, { alpha });
      for (let b = 0; b < 4; b++) {
        // Seven roundings of float32.
        expectClose([...y.row(b).data].reduce((s, v) => s + v, 0), k, { rtol: 2e-7 });
        const row = z.data.slice(7 * b, 7 * b + 7), up = g.data.subarray(7 * b, 7 * b + 7);
        expectClose(y.row(b).data, softTopKRef(row, k, alpha), { atol: 1e-7 });
        expectClose(softTopKGrad(y, g, { alpha }).row(b).data, finiteDifferenceGradient((x) => softTopKRef(x, k, alpha).reduce((s, v, j) => s + v * up[j], 0), row), { atol: 2e-6 });
      }
    }
    const order = [...z.data.subarray(0, 7)].map((v, j) => [v, j]).sort(([a], [b]) => b - a).map(([, j]) => j), mask = new Array<number>(7).fill(0);
    for (const j of order.slice(0, 3)) mask[j] = 1;
    expectClose(softTopK(z, 3, { alpha: 1e4 }).row(0).data, mask, { atol: 1e-3 });
  });

  it("answers special rows and says what it refuses", () => {
    expectExact(softTopK([[-Infinity, 0, 0]], 1).data, [0, 0.5, 0.5]);
    expectExact(decoupledSoftmaxLoss([[1, 2]], [[1, 1]]).item(), 0);
    expectExact(decoupledSoftmaxLoss([[1, 2]], [[0, 0]]).item(), 0);
    expect(() => softTopK([[1, 2]], 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softTopK: expected \`k\` in (0, 2), below the number of possible classes of row 0, got 2]`);
    expect(() => softTopK([[1, NaN]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softTopK: expected \`scores\` below +Infinity and without NaN, got NaN in row 0]`);
    expect(() => softTopK([1, 2], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softTopK: expected \`scores\` of shape [B, C], got [2]]`);
    expect(() => softTopKGrad([[1, 2]], [[1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: softTopKGrad: expected \`upstream\` of shape [1, 2], got [1, 1]]`);
    expect(() => decoupledSoftmaxLoss([[1, 2]], Uint8Array.of(1, 1))).toThrowErrorMatchingInlineSnapshot(`[RangeError: decoupledSoftmaxLoss: expected \`targets\` of shape [1, 2], got [2]]`);
  });
});
